"""The published figures over all years: ``analysis_results.json``.

Put here: the figures and lists of that file. Keep out: labels and units of single figures (``schemas.METRICS``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import duckdb

from analytics_assets.core.expressions import SESSION_ORDER, SYNCHRONISED
from analytics_assets.core.features.engine import parquet
from analytics_assets.core.features.tables import daily_metrics, merged_sessions
from analytics_assets.core.files import read_json
from analytics_assets.core.lake import Lake
from analytics_assets.schemas import METRICS

RESULTS_VERSION = 1
TOP = 20
"""Rows of a ranked list: as many as a person reads."""


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
        Years with feature tables.
    models : sequence of str
        Models whose ``metrics.json`` is included.

    Returns
    -------
    dict
        ``years``, ``synthetic``, ``data_as_of``, ``sources``, ``metrics`` (see ``schemas.METRICS``), ``lists`` (ranked
        and by time), ``models``.
    """
    clean = [lake.feature("clean_events", year) for year in years]
    session_files = [lake.feature("sessions", year) for year in years]
    engine.execute(f"CREATE OR REPLACE TEMP VIEW events AS SELECT * FROM {parquet(clean)}")
    engine.execute(f"CREATE OR REPLACE TEMP TABLE visits AS {merged_sessions(session_files)}")
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE steps AS
        SELECT event_type AS from_event, lead(event_type) OVER inside AS to_event,
            row_number() OVER inside = 1 AS is_entry
        FROM events WHERE session_key IS NOT NULL
        WINDOW inside AS (PARTITION BY session_key ORDER BY {SESSION_ORDER})
        """
    )
    manifests = {year: read_json(lake.manifest(year)) for year in years}
    values = _figures(engine)
    for name in ("records_seen", "duplicates", "quarantined"):
        values[name] = sum(manifest["total"][name] for manifest in manifests.values())
    [as_of] = engine.execute("SELECT max(time)::VARCHAR FROM events").fetchall()
    return {
        "results_version": RESULTS_VERSION,
        "years": list(years),
        "synthetic": lake.is_synthetic(),
        "data_as_of": as_of[0],
        "sources": {
            year: {"raw_digest": manifest["raw_digest"], **manifest["total"]} for year, manifest in manifests.items()
        },
        "metrics": [{**asdict(metric), "value": values[metric.name]} for metric in METRICS.values()],
        "lists": _lists(engine, daily_metrics(clean, session_files)),
        "models": {name: read_json(lake.model(name) / "metrics.json") for name in models},
    }


def _record(engine: duckdb.DuckDBPyConnection, query: str) -> dict[str, Any]:
    cursor = engine.execute(query)
    names = [column[0] for column in cursor.description or []]
    [row] = cursor.fetchall()
    return dict(zip(names, row, strict=True))


def _rows(engine: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    cursor = engine.execute(query)
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _figures(engine: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    queries = (
        f"""
        SELECT count(*) AS events, count(DISTINCT user_id) AS users, count(DISTINCT actor) AS actors,
            count(DISTINCT event_type) AS event_types, count(*) FILTER (outside_year) AS events_outside_year,
            avg(round(latency_ms * 1000)::BIGINT) FILTER ({SYNCHRONISED}) / 1000 AS latency_ms_mean,
            quantile_cont(latency_ms, 0.95) FILTER ({SYNCHRONISED}) AS latency_ms_p95
        FROM events
        """,
        """
        SELECT count(*) AS sessions, avg(duration_us) / 1e6 AS session_seconds_mean,
            quantile_cont(duration_us, 0.5) / 1e6 AS session_seconds_median,
            max(duration_us) / 1e6 AS session_seconds_max,
            avg(events) AS events_per_session_mean, quantile_cont(events, 0.5) AS events_per_session_median,
            max(events) AS events_per_session_max, count(*) FILTER (events = 1) AS single_event_sessions
        FROM visits
        """,
        """
        SELECT avg(duration_us) / 1e6 AS event_session_seconds_mean,
            quantile_cont(duration_us, 0.5) / 1e6 AS event_session_seconds_median
        FROM events JOIN visits USING (session_key)
        """,
        """
        SELECT avg(n) AS events_per_actor_mean, quantile_cont(n, 0.5) AS events_per_actor_median,
            max(n) AS events_per_actor_max, max(n) / sum(n) AS top_actor_share
        FROM (SELECT count(*) AS n FROM events WHERE actor IS NOT NULL GROUP BY actor)
        """,
        """
        SELECT count(*) AS transitions, count(DISTINCT (from_event, to_event)) AS distinct_transitions
        FROM steps WHERE to_event IS NOT NULL
        """,
    )
    return {name: value for query in queries for name, value in _record(engine, query).items()}


def _lists(engine: duckdb.DuckDBPyConnection, daily: str) -> dict[str, list[dict[str, Any]]]:
    activity = "count(*) AS events, count(DISTINCT actor) AS actors, count(DISTINCT session_key) AS sessions"

    def ranked(column: str) -> str:
        order = f"ORDER BY events DESC, {column} NULLS LAST LIMIT {TOP}"
        return f"SELECT {column}, {activity} FROM events GROUP BY {column} {order}"

    def by_time(name: str, expression: str) -> str:
        return f"SELECT {expression} AS {name}, {activity} FROM events GROUP BY 1 ORDER BY 1"

    queries = {
        "top_events": ranked("event_type"),
        "top_transitions": "SELECT from_event, to_event, count(*) AS transitions FROM steps WHERE to_event IS NOT NULL "
        f"GROUP BY ALL ORDER BY transitions DESC, from_event, to_event LIMIT {TOP}",
        "entry_events": "SELECT from_event AS event_type, count(*) AS sessions FROM steps WHERE is_entry GROUP BY ALL "
        f"ORDER BY sessions DESC, event_type LIMIT {TOP}",
        "exit_events": "SELECT from_event AS event_type, count(*) AS sessions FROM steps WHERE to_event IS NULL "
        "GROUP BY ALL "
        f"ORDER BY sessions DESC, event_type LIMIT {TOP}",
        "countries": ranked("country"),
        "device_families": ranked("device_family"),
        "hours": by_time("hour", "hour(time)"),
        "weekdays": by_time("weekday", "isodow(time)"),
        "months": by_time("month", "strftime(time, '%Y-%m')"),
        "years": by_time("year", "year(time)"),
        "daily": "SELECT date::VARCHAR AS date, events, actors, sessions, mean_session_seconds, mean_latency_ms, "
        f"is_gap FROM ({daily}) ORDER BY date",
    }
    return {name: _rows(engine, query) for name, query in queries.items()}
