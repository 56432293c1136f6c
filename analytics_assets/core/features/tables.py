"""The feature tables as queries: sessions, user_features, user_profiles, daily_metrics.

Put here: one function per table that returns its SQL. Keep out: what the columns mean (``schemas/features.py``), events
and their cleaning (``events.py``, ``cleaning.py``) and how rows are written (``engine.py``).

Each query reads a relation: SQL that can stand after FROM, such as that of ``engine.parquet`` or of `accepted_events`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analytics_assets.core.expressions import SYNCHRONISED
from analytics_assets.core.features.engine import parquet
from analytics_assets.schemas import CLEAN_EVENTS

SESSION_TIMEOUT_MINUTES = 30
"""A web session goes on until this long without an event: a later part of it may lie in the next year's delivery."""

ACTION_SECONDS = 1
"""Sessions that last no longer than this hold only their own start and end marks."""


def accepted_events(clean: Sequence[Path], dropped: Sequence[Path]) -> str:
    """Relation of every accepted event: those that cleaning kept and those that it removed."""
    names = ", ".join(CLEAN_EVENTS.column_names)
    return f"(SELECT {names} FROM {parquet(clean)} UNION ALL SELECT {names} FROM {parquet(dropped)})"


def sessions(events: str, year: str) -> str:
    """One row per session of one year: see ``SESSIONS``."""
    start, end = f"TIMESTAMP '{int(year)}-01-01'", f"TIMESTAMP '{int(year) + 1}-01-01'"
    return f"""
        WITH events AS (SELECT * FROM {events} WHERE session_key IS NOT NULL),
        types AS (
            SELECT session_key, count(*) / sum(count(*)) OVER (PARTITION BY session_key) AS p, count(*) AS n, event_type
            FROM events GROUP BY session_key, event_type
        ),
        entropy AS (
            SELECT session_key, greatest(0, -sum(p * log2(p) ORDER BY n, event_type)) AS event_entropy
            FROM types GROUP BY session_key
        ),
        visits AS (
            SELECT session_key, arg_min(struct_pack(actor, actor_class), position) AS opening,
                any_value(session_id) AS session_id, min(time) AS start_time, max(time) AS end_time,
                count(*) AS events, count(DISTINCT event_type) AS event_types, max(intent_step) AS intent_events,
                arg_min(event_type, position) AS entry_event, arg_max(event_type, position) AS exit_event,
                avg(round(latency_ms * 1000)::BIGINT) FILTER ({SYNCHRONISED}) / 1000 AS mean_latency_ms,
                arg_min(country, position) FILTER (country IS NOT NULL) AS country,
                arg_min(device_family, position) FILTER (device_family IS NOT NULL) AS device_family
            FROM events GROUP BY session_key
        )
        SELECT *, opening.actor AS actor, opening.actor_class AS actor_class,
            left(session_key, length(session_key) - length(session_id::VARCHAR) - 1) AS person,
            date_diff('microsecond', start_time, end_time) / 1e6 AS duration_seconds,
            hour(start_time) AS start_hour, isodow(start_time) AS start_weekday, intent_events <= 1 AS is_bounce,
            start_time < {start} OR end_time >= {end} - INTERVAL {SESSION_TIMEOUT_MINUTES} MINUTE
                OR session_id < epoch_ms({start}) OR session_id >= epoch_ms({end}) AS may_cross_year
        FROM visits JOIN entropy USING (session_key) ORDER BY start_time, session_key
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


def user_features(events: str, session_files: Sequence[Path]) -> str:
    """One row per actor over the given years: see ``USER_FEATURES``.

    A session counts for every actor with an event in it, at its full length: who logs in on the way shares it with the
    device it began on. An actor's class is that of its last year.
    """
    return f"""
        WITH events AS (SELECT * FROM {events} WHERE actor IS NOT NULL),
        last AS (SELECT max(time) AS time FROM events),
        totals AS (
            SELECT actor, arg_max(actor_class, (time, uuid)) AS actor_class, min(time) AS first_seen,
                max(time) AS last_seen, count(DISTINCT time::DATE) AS active_days, count(*) AS events,
                count(*) FILTER (weekday >= 6) AS weekend_events, count(*) FILTER (is_noise) AS noise_events,
                avg(round(latency_ms * 1000)::BIGINT) FILTER ({SYNCHRONISED}) / 1000 AS mean_latency_ms
            FROM events GROUP BY actor
        ),
        hours AS (SELECT actor, hour, count(*) AS n FROM events GROUP BY ALL),
        rhythm AS (
            SELECT actor, sum(n * sin(2 * pi() * hour / 24) ORDER BY hour) / sum(n) AS hour_sin,
                sum(n * cos(2 * pi() * hour / 24) ORDER BY hour) / sum(n) AS hour_cos,
                first(hour ORDER BY n DESC, hour) AS peak_hour
            FROM hours GROUP BY actor
        ),
        types AS (
            SELECT actor, event_type, count(*) AS n, count(*) / sum(count(*)) OVER (PARTITION BY actor) AS p
            FROM events GROUP BY actor, event_type
        ),
        mix AS (
            SELECT actor, count(*) AS event_types, greatest(0, -sum(p * log2(p) ORDER BY event_type)) AS event_entropy,
                first(event_type ORDER BY n DESC, event_type) AS top_event, max(p) AS top_event_share
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
        SELECT actor, actor_class, first_seen, last_seen, active_days,
            date_diff('microsecond', first_seen, last_seen) / 86400e6 AS tenure_days,
            date_diff('microsecond', last_seen, last.time) / 86400e6 AS recency_days,
            active_days / (date_diff('day', first_seen::DATE, last_seen::DATE) + 1) AS active_day_share,
            events, coalesce(sessions, 0) AS sessions, event_types,
            events / active_days AS events_per_active_day,
            coalesce(sessions, 0) / active_days AS sessions_per_active_day,
            session_events / sessions AS events_per_session,
            mean_session_seconds, median_session_seconds, action_session_share, noise_events / events AS noise_share,
            weekend_events / events AS weekend_share, hour_sin, hour_cos, peak_hour, event_entropy, top_event,
            top_event_share, mean_latency_ms, country, device_family
        FROM totals CROSS JOIN last JOIN rhythm USING (actor) JOIN mix USING (actor)
            LEFT JOIN places USING (actor) LEFT JOIN devices USING (actor) LEFT JOIN visits USING (actor)
        ORDER BY actor
    """


def user_profiles(events: str) -> str:
    """Each actor's events by event type, screen and hour: see ``USER_PROFILES``."""
    counted = " UNION ALL ".join(
        f"SELECT actor, actor_class, '{dimension}' AS dimension, {value} AS value, count(*) AS events "
        f"FROM events WHERE {value} IS NOT NULL GROUP BY ALL"
        for dimension, value in (
            ("event_type", "event_type"),
            ("screen", "screen"),
            ("hour", "lpad(hour::VARCHAR, 2, '0')"),
        )
    )
    return f"""
        WITH events AS (SELECT * FROM {events} WHERE actor IS NOT NULL)
        SELECT *, events / sum(events) OVER (PARTITION BY actor, dimension) AS share
        FROM ({counted}) ORDER BY actor, dimension, value
    """


def daily_metrics(events: str, session_files: Sequence[Path], years: Sequence[str]) -> str:
    """One row per date of the given delivery years: see ``DAILY_METRICS``.

    Sessions are those with at least one of the events. Days without events are added between the first and the last
    event inside the delivery years only: a single clock that says 1970 or 9999 must not add thousands of days.
    """
    start, end = f"DATE '{min(map(int, years))}-01-01'", f"DATE '{max(map(int, years))}-12-31'"
    return f"""
        WITH events AS (
            SELECT time::DATE AS date, actor, actor_class, user_id, is_noise, latency_ms, session_key FROM {events}
        ),
        span AS (SELECT min(date) AS first, max(date) AS last FROM events WHERE date BETWEEN {start} AND {end}),
        activity AS (
            SELECT date, count(*) AS events, count(*) FILTER (NOT is_noise) AS intent_events,
                count(*) FILTER (actor_class IN ('scripted', 'sentinel')) AS machine_events,
                count(DISTINCT actor) AS actors, count(DISTINCT user_id) AS users,
                avg(round(latency_ms * 1000)::BIGINT) FILTER ({SYNCHRONISED}) / 1000 AS mean_latency_ms,
                quantile_cont(latency_ms, 0.95) FILTER ({SYNCHRONISED}) AS p95_latency_ms
            FROM events GROUP BY date
        ),
        visits AS (
            SELECT start_time::DATE AS date, count(*) AS sessions, avg(duration_us) / 1e6 AS mean_session_seconds,
                quantile_cont(duration_us, 0.5) / 1e6 AS median_session_seconds
            FROM ({merged_sessions(session_files)})
            WHERE session_key IN (SELECT session_key FROM events WHERE session_key IS NOT NULL) GROUP BY ALL
        ),
        days AS (
            SELECT unnest(generate_series(first, last, INTERVAL 1 DAY))::DATE AS date FROM span WHERE first IS NOT NULL
            UNION SELECT date FROM events
            UNION SELECT date FROM visits
        )
        SELECT date, coalesce(events, 0) AS events, coalesce(intent_events, 0) AS intent_events,
            coalesce(machine_events, 0) AS machine_events, coalesce(actors, 0) AS actors, coalesce(users, 0) AS users,
            coalesce(sessions, 0) AS sessions, mean_session_seconds, median_session_seconds, mean_latency_ms,
            p95_latency_ms, date NOT BETWEEN {start} AND {end} AS outside_year, events IS NULL AS is_gap
        FROM days LEFT JOIN activity USING (date) LEFT JOIN visits USING (date) ORDER BY date
    """
