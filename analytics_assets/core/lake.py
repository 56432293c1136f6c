"""Every path of the lake, in one place.

Put here: where a file lies and which years exist. Keep out: how files are written (``core/files.py``) and what is in
them (``schemas``). The dashboards read through this module, so it imports the standard library only.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

_YEAR = re.compile(r"(?:19|20|21)\d\d")

DATA_DIR_VARIABLE = "ANALYTICS_DATA_DIR"
DEFAULT_DATA_DIR = "data"


def default_root() -> Path:
    """Root of the lake: ``ANALYTICS_DATA_DIR``, else ``data`` in the working directory."""
    return Path(os.environ.get(DATA_DIR_VARIABLE) or DEFAULT_DATA_DIR).expanduser().resolve()


def _years_in(folder: Path, suffix: str = "") -> list[str]:
    if not folder.is_dir():
        return []
    names = (entry.name.removesuffix(suffix) for entry in folder.iterdir() if entry.name.endswith(suffix))
    return sorted(name for name in names if _YEAR.fullmatch(name))


@dataclass(frozen=True)
class Lake:
    """Paths below one root folder.

    Parameters
    ----------
    root : Path
        Folder that holds ``raw/``, ``chunks/``, ``summaries/`` and the rest.
    """

    root: Path

    @classmethod
    def default(cls) -> Lake:
        """The lake that the environment names (see `default_root`)."""
        return cls(default_root())

    def settings(self) -> Path:
        """The lake's own settings, if any (see ``core/settings.py``)."""
        return self.root / "analytics.toml"

    # raw exports
    def raw(self, year: str | None = None) -> Path:
        """Folder of the exports as delivered, of all years or of one."""
        return self.root / "raw" if year is None else self.root / "raw" / year

    def raw_years(self) -> list[str]:
        """Years that have a folder under ``raw/``, ascending."""
        return _years_in(self.raw())

    def sample_truth(self) -> Path:
        """Ground truth beside generated sample exports; present only when the data are synthetic."""
        return self.raw() / "truth.json"

    def is_synthetic(self) -> bool:
        """Whether the raw exports are the generated sample."""
        return self.sample_truth().is_file()

    # chunks and quarantine
    def chunks(self, year: str) -> Path:
        """Folder of one year's CSV chunks and manifest."""
        return self.root / "chunks" / year

    def manifest(self, year: str) -> Path:
        """Manifest of one year's chunks; it is written last, so its presence means the chunks are whole."""
        return self.chunks(year) / "manifest.json"

    def quarantine(self, year: str) -> Path:
        """Folder of one year's refused records."""
        return self.root / "quarantine" / year

    def ingested_years(self) -> list[str]:
        """Years whose chunks are whole, ascending."""
        return [year for year in _years_in(self.root / "chunks") if self.manifest(year).is_file()]

    def ledger(self, year: str) -> Path:
        """Folder of what the next ingestion of a year takes over instead of reading it again."""
        return self.chunks(year) / ".ledger"

    def raw_digests(self, year: str) -> Path:
        """Remembered digests of one year's raw files."""
        return self.root / ".digests" / f"{year}.json"

    def repairs(self, year: str) -> Path:
        """Corrected texts of quarantined records, applied whenever their file is read."""
        return self.root / "repairs" / f"{year}.json"

    # privacy
    def pii_key(self) -> Path:
        """Key of the pseudonyms, made once when the environment gives none."""
        return self.root / ".keys" / "pii.key"

    def suppressed(self) -> Path:
        """Keyed digests of the ids of forgotten persons."""
        return self.root / "privacy" / "suppressed.json"

    def receipts(self) -> Path:
        """Folder of the receipts of deletions."""
        return self.root / "privacy" / "receipts"

    # tables
    def summary(self, year: str, name: str) -> Path:
        """One Spark summary of one year."""
        return self.root / "summaries" / year / f"{name}.parquet"

    def summary_years(self) -> list[str]:
        """Years that have a folder of summaries, ascending."""
        return _years_in(self.root / "summaries")

    def feature(self, table: str, year: str) -> Path:
        """One feature table of one year."""
        return self.root / "features" / table / f"{year}.parquet"

    def feature_years(self, table: str) -> list[str]:
        """Years for which a feature table exists, ascending."""
        return _years_in(self.root / "features" / table, ".parquet")

    def quality(self, year: str) -> Path:
        """Quality figures and row waterfall of one year."""
        return self.root / "quality" / f"{year}.json"

    def cleaning_report(self, year: str) -> Path:
        """What cleaning did to one year: its profile, and every step with rows before and after."""
        return self.root / "quality" / f"{year}_cleaning.json"

    # models and reports
    def models(self) -> Path:
        """Folder with a folder per model."""
        return self.root / "models"

    def model(self, name: str) -> Path:
        """Folder of one model: artefact, ``metrics.json``, ``card.md``, predictions."""
        return self.models() / name

    def reports(self) -> Path:
        """Folder of everything made for people."""
        return self.root / "reports"

    def analysis_results(self) -> Path:
        """The one file with every published figure."""
        return self.reports() / "analysis_results.json"

    def leaderboard(self, name: str) -> Path:
        """Table that compares models of one task."""
        return self.reports() / f"leaderboard_{name}.parquet"

    def notebook(self, year: str) -> Path:
        """Executed exploration notebook of one year."""
        return self.reports() / "notebooks" / f"{year}.ipynb"

    def figures(self) -> Path:
        """Folder of the main charts as files."""
        return self.reports() / "figures"

    def spark_log(self) -> Path:
        """Log of Spark summaries: times and memory."""
        return self.reports() / "spark_analysis.log"

    # the lake in a bucket
    def fetched(self) -> Path:
        """Folder of what this working copy remembers of its bucket."""
        return self.root / ".bucket"

    # working space
    def staging(self) -> Path:
        """Folder for unfinished work, on the same file system as the results so that a rename publishes them."""
        return self.root / ".staging"

    def lock(self, name: str) -> Path:
        """File that a process locks while it does the work called `name`."""
        return self.root / ".locks" / name

    def dagster_home(self) -> Path:
        """Dagster's run history for this lake."""
        return self.root / ".dagster"
