"""The single published numbers of ``schemas.METRICS``, over all, over people and without the most active actor.

Put here: the computation of each metric. Keep out: its meaning (``schemas/metrics.py``) and lists (``lists.py``).

Shares and means are divisions of exact counts and of sums of integers (microseconds): their last bits do not depend on
the order in which rows are read.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import duckdb

from analytics_assets.core.features.tables import ACTION_SECONDS
from analytics_assets.core.results.frames import CONDITIONS, record
from analytics_assets.core.settings import Settings
from analytics_assets.schemas import METRICS

Values = dict[str, Any]


def metrics(
    engine: duckdb.DuckDBPyConnection, settings: Settings, delivered: Values, summarized: dict[str, Values]
) -> list[dict[str, Any]]:
    """Every metric with its meaning and value.

    Parameters
    ----------
    engine : duckdb.DuckDBPyConnection
        Connection with the tables of `frames.prepare`.
    settings : Settings
        The burst limit.
    delivered : dict
        Values that the manifests and the cleaning give.
    summarized : dict
        Values from the Spark summaries by population; without one where no summary is there.

    Returns
    -------
    list of dict
        Fields of ``Metric`` and ``value``; where `Metric.by_population` also ``people`` and ``without_top_actor``.
    """
    values = {
        population: {**_counted(engine, condition, settings), **summarized.get(population, {})}
        for population, condition in CONDITIONS.items()
    }
    values["all"] |= {**delivered, **_classes(engine)}
    return [
        {
            **asdict(metric),
            "value": values["all"].get(name),
            **(
                {other: values[other].get(name) for other in CONDITIONS if other != "all"}
                if metric.by_population
                else {}
            ),
        }
        for name, metric in METRICS.items()
    ]


def _share(condition: str) -> str:
    """SQL: share of the rows that meet a condition; null without rows."""
    return f"count(*) FILTER ({condition}) / nullif(count(*), 0)"


def _counted(engine: duckdb.DuckDBPyConnection, condition: str, settings: Settings) -> Values:
    imputed = ", ".join(
        f"{_share(f'{place}_imputed')} AS imputed_{place}_share" for place in ("country", "region", "city")
    )
    burst = settings.events.burst_milliseconds * 1000
    queries = (
        f"""
        SELECT count(*) AS events, count(DISTINCT user_id) AS users, count(DISTINCT actor) AS actors,
            count(DISTINCT event_type) AS event_types, count(*) FILTER (outside_year) AS events_outside_year,
            count(DISTINCT date) AS active_days, count(DISTINCT country) AS countries,
            {_share("is_noise")} AS noise_share, {_share("weekday >= 6")} AS weekend_share, {imputed},
            {_latency("upload_us", "latency_ms")}, quantile_cont(upload_us, 0.99) / 1000 AS latency_ms_p99,
            {_latency("processing_us", "processing_ms")}
        FROM events WHERE {condition}
        """,
        f"""
        SELECT count(*) AS sessions, avg(duration_us) / 1e6 AS session_seconds_mean,
            quantile_cont(duration_us, 0.5) / 1e6 AS session_seconds_median,
            max(duration_us) / 1e6 AS session_seconds_max,
            sum(duration_us::HUGEINT * events)::DOUBLE / sum(events) / 1e6 AS event_session_seconds_mean,
            avg(events) AS events_per_session_mean, quantile_cont(events, 0.5) AS events_per_session_median,
            max(events) AS events_per_session_max, count(*) FILTER (events = 1) AS single_event_sessions,
            count(*) FILTER (duration_us <= {ACTION_SECONDS} * 1000000) AS short_sessions,
            count(*) FILTER (is_end_only) AS end_only_sessions,
            count(*) FILTER (intent_steps > 0) AS active_sessions, {_share("intent_steps > 0")} AS active_session_share,
            {_share("intent_steps <= 1")} AS bounce_share, avg(intent_steps) AS intent_steps_per_session_mean
        FROM visits WHERE {condition}
        """,
        f"""
        SELECT quantile_cont(duration_us, 0.5) / 1e6 AS event_session_seconds_median
        FROM (SELECT duration_us, unnest(range(events)) FROM visits WHERE {condition})
        """,
        f"""
        SELECT avg(events) AS events_per_actor_mean, quantile_cont(events, 0.5) AS events_per_actor_median,
            max(events) AS events_per_actor_max, max(events) / sum(events) AS top_actor_share,
            avg(sessions) AS sessions_per_actor_mean, quantile_cont(sessions, 0.5) AS sessions_per_actor_median,
            {_share("days > 1")} AS returning_actor_share
        FROM (
            SELECT count(*) AS events, count(DISTINCT session_key) AS sessions, count(DISTINCT date) AS days
            FROM events WHERE actor IS NOT NULL AND {condition} GROUP BY actor
        )
        """,
        f"""
        SELECT count(*) AS transitions, count(DISTINCT (event_1, event_2)) AS distinct_transitions,
            quantile_cont(gap_us, 0.5) / 1e6 AS seconds_between_events_median,
            {_share("gap_us = 0")} AS tie_share, {_share(f"gap_us < {burst}")} AS burst_share
        FROM steps WHERE event_2 IS NOT NULL AND {condition}
        """,
    )
    return {name: value for query in queries for name, value in record(engine, query).items()}


def _latency(column: str, name: str) -> str:
    return (
        f"avg({column}) / 1000 AS {name}_mean, quantile_cont({column}, 0.5) / 1000 AS {name}_median, "
        f"quantile_cont({column}, 0.95) / 1000 AS {name}_p95"
    )


def _classes(engine: duckdb.DuckDBPyConnection) -> Values:
    return record(
        engine,
        f"""
        SELECT count(*) FILTER (actor IS NULL) AS events_without_actor,
            count(*) FILTER (session_key IS NULL) AS events_without_session,
            count(DISTINCT actor) FILTER (is_scripted) AS scripted_actors,
            {_share("is_scripted")} AS scripted_event_share,
            count(DISTINCT actor) FILTER (is_sentinel) AS sentinel_actors,
            {_share("is_sentinel")} AS sentinel_event_share
        FROM events
        """,
    )
