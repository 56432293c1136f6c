"""Which files an asset publishes together, and which it reads: the lake's contract with its bucket.

Put here: assets and the paths of their files, as ``core/lake.py`` has them. Keep out: how files travel
(``versions.py``, ``working_copy.py``).

A unit is called like its asset, with the year where it has one: ``sessions/2024``, ``markov_chain``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from analytics_assets.core.lake import Lake
from analytics_assets.schemas import FEATURE_TABLES, SUMMARY_TABLES

RAW = "raw_export"
"""The asset whose files people deliver; they are no unit (``delivered.py``)."""

CHUNKS = "event_chunks"
REPAIRS, PRIVACY = "repairs", "privacy"
"""Units that commands write: corrected records of a year, and the suppression list with the receipts."""

TOGETHER = {"dropped_events": "clean_events"}
"""Assets that are published with another one: the two share the year's events between them."""

LEARNED_FROM = ("clean_events", "sessions", "daily_metrics")
"""What every model reads of each year, if only to tell whether the year is complete."""

COMPARED_WITH = ("clean_events", "sessions")
"""What data_quality reads of the year before, for drift."""

_LEADERBOARDS = {"next_event_leaderboard": "next_event", "forecast_leaderboard": "forecast"}
_FEATURES = {table.name for table in FEATURE_TABLES}
_SUMMARIES = {table.name for table in SUMMARY_TABLES}
_YEARLY = (CHUNKS, *sorted(_FEATURES | _SUMMARIES), "data_quality", "exploration_notebook", REPAIRS)
_REPORTS = ("analysis_results", "figures")


class Part(NamedTuple):
    """Some or all files of a unit.

    Parameters
    ----------
    unit : str
    paths : tuple of str
        Files and folders below the lake's root, in the order in which they are replaced.
    keep : bool
        Whether local files stay when the bucket has none: people cannot compute them again.
    """

    unit: str
    paths: tuple[str, ...]
    keep: bool = False


def unit_of(asset: str, year: str | None) -> str:
    """Name of the unit that an asset publishes."""
    name = TOGETHER.get(asset, asset)
    return name if year is None else f"{name}/{year}"


def whole(lake: Lake, unit: str) -> Part:
    """A unit with all its files."""
    asset, _, year = unit.partition("/")
    paths = _yearly_paths(lake, asset, year) if year else _paths(lake, asset)
    return Part(unit, _below(lake, paths), keep=asset in (REPAIRS, PRIVACY))


def _yearly_paths(lake: Lake, asset: str, year: str) -> list[Path]:
    if asset in _SUMMARIES:
        return [lake.summary(year, asset)]
    if asset in _FEATURES:
        tables = (asset, *(other for other, first in TOGETHER.items() if first == asset))
        report = [lake.cleaning_report(year)] if asset in TOGETHER.values() else []
        return [*(lake.feature(table, year) for table in tables), *report]
    return {
        CHUNKS: [lake.quarantine(year), lake.chunks(year)],
        "data_quality": [lake.quality(year)],
        "exploration_notebook": [lake.notebook(year)],
        REPAIRS: [lake.repairs(year)],
    }[asset]


def _paths(lake: Lake, asset: str) -> list[Path]:
    others = {
        "analysis_results": [lake.analysis_results()],
        "figures": [lake.figures()],
        PRIVACY: [lake.receipts(), lake.suppressed()],
    }
    leaderboard = [lake.leaderboard(_LEADERBOARDS[asset])] if asset in _LEADERBOARDS else []
    return others.get(asset) or [lake.model(asset), *leaderboard]


def counts(lake: Lake, year: str) -> Part:
    """The manifest of a year's chunks without the chunks: record counts and the digest of the raw files."""
    return Part(unit_of(CHUNKS, year), _below(lake, [lake.manifest(year)]))


def without_chunks(lake: Lake, part: Part) -> Part:
    """What dashboards read of a unit: of chunks the manifest and the quarantine."""
    asset, _, year = part.unit.partition("/")
    if asset != CHUNKS:
        return part
    return Part(part.unit, _below(lake, [lake.quarantine(year), lake.manifest(year)]))


def read_by(lake: Lake, asset: str, deps: Iterable[str], year: str | None, years: Iterable[str]) -> list[Part]:
    """What an asset reads apart from raw files and what it published before.

    Parameters
    ----------
    lake : Lake
    asset : str
    deps : iterable of str
        Assets that it depends on in the graph.
    year : str or None
        Its year; None for an asset over all years.
    years : iterable of str
        All years, for an asset over all of them.
    """
    others = sorted(set(deps) - {RAW})
    if asset == CHUNKS and year is not None:
        units = [unit_of(REPAIRS, year), PRIVACY]
    elif year is not None:
        before = str(int(year) - 1)
        units = [unit_of(dep, year) for dep in others]
        units += [unit_of(table, before) for table in COMPARED_WITH if asset == "data_quality"]
    else:
        # Chunks are never read over all years: only their manifests are.
        yearly = [dep for dep in others if dep in _YEARLY and dep != CHUNKS]
        units = [unit_of(dep, one) for one in years for dep in (*yearly, *LEARNED_FROM)]
        units += [dep for dep in others if dep not in _YEARLY]
    parts = {unit: whole(lake, unit) for unit in units}
    # Tables name the digest of the raw files that they were made from.
    for one in years if year is None else [year]:
        if asset != CHUNKS and unit_of(CHUNKS, one) not in parts:
            parts[unit_of(CHUNKS, one)] = counts(lake, one)
    return list(parts.values())


def builds_on_itself(asset: str, year: str | None) -> bool:
    """Whether an asset reads what it published before: chunks take it over, models are compared with it."""
    return asset == CHUNKS or year is None


def local_years(lake: Lake) -> set[str]:
    """Years of which the folder holds anything that assets make."""
    tables = (year for table in _FEATURES for year in lake.feature_years(table))
    return {*lake.ingested_years(), *tables, *lake.summary_years()}


def local_units(lake: Lake) -> list[Part]:
    """All units of which the folder holds files."""
    years = sorted(local_years(lake) | set(lake.raw_years()))
    named = {unit_of(asset, year): None for year in years for asset in _YEARLY}
    models = sorted(folder.name for folder in lake.models().glob("[!.]*") if folder.is_dir())
    parts = [whole(lake, unit) for unit in (*named, *models, *_REPORTS, PRIVACY)]
    return [part for part in parts if any((lake.root / path).exists() for path in part.paths)]


def _below(lake: Lake, paths: Iterable[Path]) -> tuple[str, ...]:
    return tuple(path.relative_to(lake.root).as_posix() for path in paths)
