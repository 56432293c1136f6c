"""What models are made from: the years that are there, and the record of it in ``metrics.json``.

Put here: input years and provenance of every model. Keep out: loading of rows (``sequences.py``, ``kmeans.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.files import read_json
from analytics_assets.core.lake import Lake


def input_years(lake: Lake, tables: Sequence[str], chosen: Sequence[str] = ()) -> list[str]:
    """Years to learn from: the chosen ones, else every complete one that has all tables.

    Raises
    ------
    PipelineError
        There is none, or a chosen one lacks a table.
    """
    there = set.intersection(*(set(lake.feature_years(table)) for table in tables))
    missing = sorted(set(chosen) - there)
    if missing:
        raise PipelineError(
            lake.root / "features",
            f"{', '.join(missing)} lacks one of {', '.join(tables)}",
            "Materialize these years, or choose others in the model's settings.",
        )
    years = sorted(chosen or (year for year in there if is_complete(lake, year)))
    if not years:
        half = f"; the tables of {', '.join(sorted(there))} stem from different deliveries" if there else ""
        raise PipelineError(
            lake.root / "features",
            f"no year has {' and '.join(tables)}{half}",
            "Materialize at least one year, then the models.",
        )
    return years


def is_complete(lake: Lake, year: str) -> bool:
    """Whether a year's tables account for the same events: else a run broke off between them.

    Rows of ``clean_events`` and ``dropped_events`` against the manifest, events of ``daily_metrics`` against the rows
    of ``clean_events``; a table that was never made is not missed here.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    clean, dropped, daily = (lake.feature(table, year) for table in ("clean_events", "dropped_events", "daily_metrics"))
    if not clean.is_file():
        return False
    rows, agree = pq.read_metadata(clean).num_rows, True
    if daily.is_file():
        events = pq.read_table(daily, columns=["events"]).column("events")
        agree = rows == (pc.sum(events).as_py() or 0)
    if dropped.is_file():
        loaded = read_json(lake.manifest(year))["total"]["loaded"]
        agree = agree and rows + pq.read_metadata(dropped).num_rows == loaded
    return agree


def provenance(lake: Lake, years: Sequence[str], config: Mapping[str, Any], packages: Sequence[str]) -> dict[str, Any]:
    """Input years with the digests of their raw files, resolved settings, and versions of libraries."""
    return {
        "input_years": list(years),
        "raw_digests": {year: read_json(lake.manifest(year))["raw_digest"] for year in years},
        "config": dict(config),
        "versions": {name: version(name) for name in packages},
    }
