"""Which files an asset's figures are made from, down to the chunks.

Put here: the way from an asset to the tables it reads, and the state of their files. Keep out: the content of tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from analytics_assets.core.lake import Lake
from analytics_assets.schemas import FEATURE_TABLES, SUMMARY_TABLES
from dashboards import data

_EVENTS = ("clean_events", "dropped_events")

READS: dict[str, tuple[str, ...]] = {
    # clean_events of a metric stands for both tables, which together hold every accepted event.
    "clean_events": ("dropped_events", "actors", "event_chunks"),
    "dropped_events": ("actors", "event_chunks"),
    "actors": ("event_chunks",),
    "sessions": _EVENTS,
    "user_features": (*_EVENTS, "sessions"),
    "user_profiles": _EVENTS,
    "daily_metrics": (*_EVENTS, "sessions"),
    "kmeans_segments": (*_EVENTS, "sessions"),
    "analysis_results": (*_EVENTS, "sessions"),
    **{table.name: ("actors", "event_chunks") for table in SUMMARY_TABLES},
}
"""What each asset reads; the first of them lead to all others."""


@dataclass(frozen=True)
class TableFile:
    """One file of one asset.

    Parameters
    ----------
    asset, year : str
        Asset that writes it, and its delivery; empty for a file over all years.
    path : Path
        Where it lies.
    rows : int, optional
        Rows in it; None where it has none or cannot be read.
    written : str
        Time of writing (UTC).
    state : str
        ✓, or what is wrong with it.
    """

    asset: str
    year: str
    path: Path
    rows: int | None
    written: str
    state: str


def assets(source: str) -> list[str]:
    """An asset and all that it is made from, nearest first."""
    found = [source]
    for asset in found:
        found += [name for name in READS.get(asset, ()) if name not in found]
    return found


def tables(lake: Lake, years: Sequence[str], source: str) -> list[TableFile]:
    """Files of an asset and of all that it is made from."""
    return [_file(asset, year, path) for asset in assets(source) for year, path in _paths(lake, years, asset)]


def _paths(lake: Lake, years: Sequence[str], asset: str) -> Iterator[tuple[str, Path]]:
    if asset in {table.name for table in FEATURE_TABLES}:
        yield from ((year, lake.feature(asset, year)) for year in years)
    elif asset in {table.name for table in SUMMARY_TABLES}:
        yield from ((year, lake.summary(year, asset)) for year in years)
    elif asset == "event_chunks":
        yield from ((year, lake.manifest(year)) for year in years)
    elif asset == "kmeans_segments":
        yield "", lake.model(asset) / "assignments.parquet"
    elif asset == "analysis_results":
        yield "", lake.analysis_results()


def _file(asset: str, year: str, path: Path) -> TableFile:
    try:
        key = data.file_key(path, asset)
    except data.MissingFileError:
        return TableFile(asset, year, path, None, "", "not there yet: materialize it")
    except data.DamagedFileError as error:
        return TableFile(asset, year, path, None, "", error.fact)
    written = f"{datetime.fromtimestamp(key.mtime_ns / 1e9, UTC):%Y-%m-%d %H:%M:%S}"
    try:
        return TableFile(asset, year, path, _rows(asset, path), written, "✓")
    except data.LakeFileError as error:
        return TableFile(asset, year, path, None, written, f"{error.fact}: materialize it again")


def _rows(asset: str, path: Path) -> int | None:
    if path.suffix == ".parquet":
        [(number,)] = data.query("SELECT count(*) FROM {files}", [path], asset)
        return int(number)
    if asset == "event_chunks":
        lake, year = Lake(path.parents[2]), path.parent.name
        return int(data.manifest(lake, year)["total"]["loaded"])
    return None
