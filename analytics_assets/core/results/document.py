"""The whole of ``analysis_results.json``.

Put here: which parts the file has and where each comes from. Keep out: their computation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb

from analytics_assets.core.features.engine import parquet
from analytics_assets.core.files import read_json
from analytics_assets.core.lake import Lake
from analytics_assets.core.results import evidence, figures, frames, lists, summarized
from analytics_assets.core.results.facts import Facts
from analytics_assets.core.results.findings import findings
from analytics_assets.core.results.frames import record, rows
from analytics_assets.core.results.validation import validate
from analytics_assets.core.settings import load_settings
from analytics_assets.schemas import FEATURE_TABLES

RESULTS_VERSION = 2
"""Raised when a key is removed or changes its meaning; new keys leave it."""

QUALITY_SECTIONS = (
    "quality_version",
    "ingestion",
    "profile",
    "waterfall",
    "columns",
    "numeric",
    "imbalance",
    "correlations",
    "time",
    "clock",
    "order",
    "identity",
    "geography",
    "concentration",
    "drift",
    "grades",
)
"""Sections of ``quality/<year>.json`` that are published; rows shown as examples there are not."""

SEGMENT_EVENTS = 3
"""Events listed per segment of actors."""


def analysis_results(
    engine: duckdb.DuckDBPyConnection, lake: Lake, years: Sequence[str], models: Sequence[str]
) -> dict[str, Any]:
    """Compute every published figure.

    Parameters
    ----------
    engine : duckdb.DuckDBPyConnection
        Open connection.
    lake : Lake
        Where the tables lie.
    years : sequence of str
        Years with the feature tables ``frames.TABLES``.
    models : sequence of str
        Models whose ``metrics.json`` is included.

    Returns
    -------
    dict
        The document that ``schemas/analysis_results.schema.json`` describes.

    Raises
    ------
    PipelineError
        The document breaks that schema.
    """
    settings = load_settings(lake)
    frames.prepare(engine, lake, years, settings)
    manifests = {year: read_json(lake.manifest(year)) for year in years}
    delivered = {
        name: sum(manifest["total"][name] for manifest in manifests.values())
        for name in ("records_seen", "duplicates", "quarantined")
    }
    dropped = parquet([lake.feature("dropped_events", year) for year in years])
    delivered |= record(
        engine,
        f"""
        SELECT dropped AS dropped_events, dropped / nullif(events, 0) AS dropped_share
        FROM (SELECT (SELECT count(*) FROM {dropped}) AS dropped, (SELECT count(*) FROM events) AS events)
        """,
    )
    metrics = figures.metrics(engine, settings, delivered, summarized.summary_figures(engine, lake, years))
    listed = {
        **lists.event_lists(engine),
        "cleaning": _cleaning(engine, lake, years),
        **summarized.summary_lists(engine, lake, years),
        "user_segments": _segments(engine, lake, models),
    }
    quality = {year: _quality(read_json(lake.quality(year))) for year in years if lake.quality(year).is_file()}
    facts = Facts(
        years=years,
        metrics={metric["name"]: metric for metric in metrics},
        lists=listed,
        evidence=evidence.gather(engine),
        quality=quality,
        top_actor_limit=settings.actors.top_actor_limit,
    )
    document = {
        "results_version": RESULTS_VERSION,
        "years": list(years),
        "synthetic": lake.is_synthetic(),
        "data_as_of": record(engine, "SELECT max(time)::VARCHAR AS time FROM events")["time"],
        "sources": {
            year: {"raw_digest": manifest["raw_digest"], **manifest["total"]} for year, manifest in manifests.items()
        },
        "tables": {year: _tables(lake, year) for year in years},
        "findings": findings(facts),
        "metrics": metrics,
        "lists": listed,
        "list_info": _list_info(lake, years),
        "quality": quality,
        "models": {name: read_json(lake.model(name) / "metrics.json") for name in models},
    }
    validate(document, lake.analysis_results())
    return document


def _tables(lake: Lake, year: str) -> dict[str, Any]:
    """Which tables a year had when the results were made."""
    return {
        "features": [table.name for table in FEATURE_TABLES if lake.feature(table.name, year).is_file()],
        "summaries": summarized.summaries_of(lake, year),
        "quality": lake.quality(year).is_file(),
    }


def _list_info(lake: Lake, years: Sequence[str]) -> dict[str, Any]:
    """Source, meaning and years of every list."""
    info = {
        name: {"source": listed.source, "about": listed.about, "years": list(years)}
        for name, listed in lists.LISTS.items()
    }
    info["cleaning"] = {
        "source": "dropped_events",
        "about": "Events removed by each step of cleaning that removed any.",
        "years": list(years),
    }
    for name, listed in summarized.LISTS.items():
        covered = summarized.years_with(lake, years, listed.source)
        info[name] = {"source": listed.source, "about": listed.about, "years": covered}
    info["user_segments"] = {
        "source": "kmeans_segments",
        "about": "Segments of actors with similar behaviour and their most frequent events.",
        "years": list(years),
    }
    return info


def _cleaning(engine: duckdb.DuckDBPyConnection, lake: Lake, years: Sequence[str]) -> list[dict[str, Any]]:
    parts = " UNION ALL ".join(
        f"SELECT {int(year)} AS year, dropped_by FROM {parquet([lake.feature('dropped_events', year)])}"
        for year in years
    )
    return rows(
        engine,
        f"""
        SELECT year, dropped_by AS step, count(*) AS events, count(*) / (SELECT count(*) FROM events) AS event_share
        FROM ({parts}) GROUP BY ALL ORDER BY year, events DESC, step
        """,
    )


def _segments(engine: duckdb.DuckDBPyConnection, lake: Lake, models: Sequence[str]) -> list[dict[str, Any]]:
    path = lake.model("kmeans_segments") / "assignments.parquet"
    if "kmeans_segments" not in models or not path.is_file():
        return []
    return rows(
        engine,
        f"""
        WITH assigned AS (SELECT * FROM {parquet([path])}),
        sizes AS (
            SELECT segment, min(segment_name) AS name, count(*) AS actors,
                count(*) / (SELECT count(*) FROM assigned) AS actor_share
            FROM assigned GROUP BY segment
        ),
        mix AS (
            SELECT segment, e.event_type, count(*) AS n FROM events e JOIN assigned ON e.actor::VARCHAR = assigned.actor
            GROUP BY ALL
        ),
        favourites AS (
            SELECT segment, sum(n)::BIGINT AS events,
                list(event_type ORDER BY n DESC, event_type)[:{SEGMENT_EVENTS}] AS top_events
            FROM mix GROUP BY segment
        )
        SELECT segment, name, actors, actor_share, coalesce(events, 0) AS events, coalesce(top_events, []) AS top_events
        FROM sizes LEFT JOIN favourites USING (segment) ORDER BY segment
        """,
    )


def _quality(report: dict[str, Any]) -> dict[str, Any]:
    """What of a quality report is published: no example rows, and no range of a column of ids."""
    sections = {name: report[name] for name in QUALITY_SECTIONS if name in report}
    sections["waterfall"] = [
        {name: value for name, value in step.items() if name != "examples"} for step in report["waterfall"]
    ]
    sections["columns"] = [
        {name: None if name in ("min", "max") and _is_id(column["column"]) else value for name, value in column.items()}
        for column in report["columns"]
    ]
    return sections


def _is_id(column: str) -> bool:
    return column == "uuid" or column.endswith("_id")
