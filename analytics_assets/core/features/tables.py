"""The feature tables as queries: clean_events, sessions, user_features, daily_metrics.

Put here: one function per table that returns its SQL. Keep out: what the columns mean (``schemas.py``) and how rows
are written (``engine.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analytics_assets.core.expressions import ACTOR, SESSION_KEY, SESSION_ORDER, SYNCHRONISED, TIME
from analytics_assets.core.features.engine import normalized_chunks, parquet

SESSION_TIMEOUT_MINUTES = 30
"""A web session goes on until this long without an event: a later part of it may lie in the next year's delivery."""

ACTION_SECONDS = 1
"""Sessions that last no longer than this hold only their own start and end marks."""


def clean_events(chunks: Sequence[Path], year: str) -> str:
    """Every event of one year's chunks: null tokens as nulls, one time, one actor, one session key."""
    return f"""
        WITH normalized AS (SELECT *, {TIME} AS time FROM {normalized_chunks(chunks)}),
        identified AS (SELECT *, {ACTOR} AS actor, {SESSION_KEY} AS session_key FROM normalized)
        SELECT *,
            CASE WHEN session_key IS NOT NULL
                THEN row_number() OVER (PARTITION BY session_key ORDER BY {SESSION_ORDER}) END AS position,
            date_diff('microsecond', client_upload_time, server_received_time) / 1000.0 AS latency_ms,
            date_diff('microsecond', server_received_time, processed_time) / 1000.0 AS processing_ms,
            year(time) <> {int(year)} AS outside_year
        FROM identified ORDER BY time, uuid
    """


def sessions(clean: Sequence[Path], year: str) -> str:
    """One row per session of one year."""
    start, end = f"TIMESTAMP '{int(year)}-01-01'", f"TIMESTAMP '{int(year) + 1}-01-01'"
    return f"""
        SELECT session_key, arg_min(actor, position) AS actor, any_value(session_id) AS session_id,
            left(session_key, length(session_key) - length(any_value(session_id)::VARCHAR) - 1) AS person,
            min(time) AS start_time, max(time) AS end_time,
            date_diff('microsecond', min(time), max(time)) / 1e6 AS duration_seconds,
            count(*) AS events, count(DISTINCT event_type) AS event_types,
            arg_min(event_type, position) AS entry_event, arg_max(event_type, position) AS exit_event,
            arg_min(country, position) FILTER (country IS NOT NULL) AS country,
            arg_min(device_family, position) FILTER (device_family IS NOT NULL) AS device_family,
            min(time) < {start} OR max(time) >= {end} - INTERVAL {SESSION_TIMEOUT_MINUTES} MINUTE
                OR any_value(session_id) < epoch_ms({start}) OR any_value(session_id) >= epoch_ms({end})
                AS may_cross_year
        FROM {parquet(clean)} WHERE session_key IS NOT NULL
        GROUP BY session_key ORDER BY start_time, session_key
    """


def merged_sessions(files: Sequence[Path]) -> str:
    """Sessions of several years: the parts of one that crosses New Year become one row.

    Parts that begin (end) at the same time are told apart by their other end, then by name: which event was first
    (last) among equal times only the events can say.
    """
    return f"""
        SELECT session_key, arg_min(actor, (start_time, end_time, actor)) AS actor, any_value(session_id) AS session_id,
            min(start_time) AS start_time, max(end_time) AS end_time,
            date_diff('microsecond', min(start_time), max(end_time)) AS duration_us,
            sum(events)::BIGINT AS events,
            arg_min(entry_event, (start_time, end_time, entry_event)) AS entry_event,
            arg_max(exit_event, (end_time, start_time, exit_event)) AS exit_event
        FROM {parquet(files)} GROUP BY session_key
    """


def user_features(clean: Sequence[Path], session_files: Sequence[Path]) -> str:
    """One row per actor over the given years.

    A session counts for every actor with an event in it, at its full length: who logs in on the way shares it with the
    device it began on.
    """
    events = parquet(clean)
    return f"""
        WITH events AS (SELECT * FROM {events} WHERE actor IS NOT NULL),
        last AS (SELECT max(time) AS time FROM events),
        totals AS (
            SELECT actor, min(time) AS first_seen, max(time) AS last_seen, count(DISTINCT time::DATE) AS active_days,
                count(*) AS events, count(*) FILTER (isodow(time) >= 6) AS weekend_events
            FROM events GROUP BY actor
        ),
        hours AS (SELECT actor, hour(time) AS hour, count(*) AS n FROM events GROUP BY ALL),
        rhythm AS (
            SELECT actor, sum(n * sin(2 * pi() * hour / 24) ORDER BY hour) / sum(n) AS hour_sin,
                sum(n * cos(2 * pi() * hour / 24) ORDER BY hour) / sum(n) AS hour_cos
            FROM hours GROUP BY actor
        ),
        types AS (
            SELECT actor, event_type, count(*) AS n, count(*) / sum(count(*)) OVER (PARTITION BY actor) AS p
            FROM events GROUP BY actor, event_type
        ),
        mix AS (
            SELECT actor, count(*) AS event_types, greatest(0, -sum(p * log2(p) ORDER BY event_type)) AS event_entropy,
                first(event_type ORDER BY n DESC, event_type) AS top_event
            FROM types GROUP BY actor
        ),
        places AS (
            SELECT actor, first(country ORDER BY n DESC, country) AS country
            FROM (SELECT actor, country, count(*) AS n FROM events WHERE country IS NOT NULL GROUP BY ALL)
            GROUP BY actor
        ),
        devices AS (
            SELECT actor, first(device_family ORDER BY n DESC, device_family) AS device_family
            FROM (SELECT actor, device_family, count(*) AS n FROM events WHERE device_family IS NOT NULL GROUP BY ALL)
            GROUP BY actor
        ),
        own AS (
            SELECT actor, session_key, count(*) AS own_events FROM events WHERE session_key IS NOT NULL GROUP BY ALL
        ),
        lengths AS (SELECT session_key, duration_us FROM ({merged_sessions(session_files)})),
        visits AS (
            SELECT actor, count(*) AS sessions, sum(own_events)::BIGINT AS session_events,
                avg(duration_us) / 1e6 AS mean_session_seconds,
                quantile_cont(duration_us, 0.5) / 1e6 AS median_session_seconds,
                count(*) FILTER (duration_us > {ACTION_SECONDS} * 1000000) / count(*) AS action_session_share
            FROM own JOIN lengths USING (session_key) GROUP BY actor
        )
        SELECT actor, first_seen, last_seen, active_days,
            date_diff('microsecond', first_seen, last_seen) / 86400e6 AS tenure_days,
            date_diff('microsecond', last_seen, last.time) / 86400e6 AS recency_days,
            events, coalesce(sessions, 0) AS sessions, event_types,
            events / active_days AS events_per_active_day, session_events / sessions AS events_per_session,
            mean_session_seconds, median_session_seconds, action_session_share,
            weekend_events / events AS weekend_share, hour_sin, hour_cos, event_entropy, top_event, country,
            device_family
        FROM totals CROSS JOIN last JOIN rhythm USING (actor) JOIN mix USING (actor)
            LEFT JOIN places USING (actor) LEFT JOIN devices USING (actor) LEFT JOIN visits USING (actor)
        ORDER BY actor
    """


def daily_metrics(clean: Sequence[Path], session_files: Sequence[Path]) -> str:
    """One row per date from the first to the last event of the given years."""
    return f"""
        WITH events AS (SELECT time::DATE AS date, actor, latency_ms FROM {parquet(clean)}),
        days AS (
            SELECT unnest(generate_series(min(date), max(date), INTERVAL 1 DAY))::DATE AS date FROM events
        ),
        activity AS (
            SELECT date, count(*) AS events, count(DISTINCT actor) AS actors,
                avg(round(latency_ms * 1000)::BIGINT) FILTER ({SYNCHRONISED}) / 1000 AS mean_latency_ms
            FROM events GROUP BY date
        ),
        visits AS (
            SELECT start_time::DATE AS date, count(*) AS sessions, avg(duration_us) / 1e6 AS mean_session_seconds
            FROM ({merged_sessions(session_files)}) GROUP BY ALL
        )
        SELECT date, coalesce(events, 0) AS events, coalesce(actors, 0) AS actors, coalesce(sessions, 0) AS sessions,
            mean_session_seconds, mean_latency_ms, events IS NULL AS is_gap
        FROM days LEFT JOIN activity USING (date) LEFT JOIN visits USING (date) ORDER BY date
    """
