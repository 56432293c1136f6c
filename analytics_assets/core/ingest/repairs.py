"""Corrected texts of quarantined records.

Put here: the file of corrections and which record each belongs to. Keep out: reading and judging records.

A correction is tied to the exact bytes it replaces and to where they were found, and is applied whenever the file is
read; so it loads its record once, however often it is handed in, and the raw file stays as delivered.
"""

from __future__ import annotations

from typing import Any

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.files import read_json, write_json
from analytics_assets.core.ingest.quarantine import Refused
from analytics_assets.core.lake import Lake


class Repairs:
    """Corrections of one year by the id of the quarantined record.

    Parameters
    ----------
    texts : dict of str to dict
        For each id the file's name and the corrected JSON text.
    """

    def __init__(self, texts: dict[str, dict[str, str]] | None = None) -> None:
        self.texts = texts or {}

    @classmethod
    def of(cls, lake: Lake, year: str) -> Repairs:
        """Read a year's corrections; none when there is no file."""
        path = lake.repairs(year)
        if not path.exists():
            return cls()
        try:
            texts: dict[str, Any] = read_json(path)
            return cls({key: {"file": str(entry["file"]), "text": str(entry["text"])} for key, entry in texts.items()})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PipelineError(path, f"the corrections cannot be read ({error})", "Restore the file.") from error

    def save(self, lake: Lake, year: str) -> None:
        """Write the corrections."""
        write_json(lake.repairs(year), dict(sorted(self.texts.items())))

    def get(self, refused: Refused) -> bytes | None:
        """Corrected text for a refused record, if there is one."""
        entry = self.texts.get(refused.id) if self.texts else None
        return entry["text"].encode("utf-8") if entry else None

    def of_file(self, name: str) -> dict[str, str]:
        """Corrections that belong to one file, by id."""
        return {key: entry["text"] for key, entry in sorted(self.texts.items()) if entry["file"] == name}
