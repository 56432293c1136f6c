"""Counts that only the findings need, besides the published figures and lists.

Put here: small queries over the tables of `frames.prepare`. Keep out: judging them (``findings.py``).
"""

from __future__ import annotations

from typing import Any

import duckdb

from analytics_assets.core.results.frames import rows
from analytics_assets.core.results.significance import MIN_SUPPORT

Evidence = dict[str, Any]

MAX_COUNTRIES = 50
"""Countries whose latency is judged: those with most actors; the others have too few for a test."""


def gather(engine: duckdb.DuckDBPyConnection) -> Evidence:
    """Everything of this module.

    Returns
    -------
    dict
        ``hours``: events of each date inside the delivered years by hour. ``countries``: actors by calendar year (0
        for all years) and by the country where the actor has most events. ``transitions``: frequent transitions of the
        intent stream. ``latency``: per country the 95th percentile, and per actor the events above the overall one.
        ``bounce_event_share``, ``noise_types``.
    """
    return {
        "hours": rows(engine, _HOURS),
        "countries": rows(engine, _COUNTRIES),
        "transitions": rows(engine, _TRANSITIONS),
        "latency": rows(engine, _LATENCY),
        **rows(engine, _SHARES)[0],
    }


_HOURS = """
    SELECT date::VARCHAR AS date, list(n ORDER BY hour) AS events FROM (
        SELECT date, h.hour, coalesce(any_value(n), 0) AS n
        FROM (SELECT DISTINCT date FROM events WHERE in_years) CROSS JOIN (SELECT unnest(range(24)) AS hour) h
            LEFT JOIN (SELECT date, hour, count(*) AS n FROM events WHERE in_years GROUP BY ALL) USING (date, hour)
        GROUP BY date, h.hour
    ) GROUP BY date ORDER BY date
"""

_COUNTRIES = """
    WITH counted AS (
        SELECT year(time) AS year, actor, country, count(*) AS n FROM events
        WHERE actor IS NOT NULL AND country IS NOT NULL AND in_years GROUP BY ALL
    ),
    spans AS (
        FROM counted UNION ALL
        SELECT 0 AS year, actor, country, sum(n)::BIGINT AS n FROM counted GROUP BY actor, country
    ),
    homes AS (SELECT year, actor, first(country ORDER BY n DESC, country) AS country FROM spans GROUP BY year, actor)
    SELECT year, country, count(*) AS actors FROM homes GROUP BY ALL ORDER BY year, actors DESC, country
"""

_TRANSITIONS = f"""
    WITH pairs AS (
        SELECT event_1, event_2, count(*) AS n, count(DISTINCT session_key) AS sessions FROM intents
        WHERE event_2 IS NOT NULL GROUP BY ALL
    ),
    judged AS (
        SELECT *, sum(n) OVER (PARTITION BY event_1) AS leaving, sum(n) OVER (PARTITION BY event_2) AS arriving,
            sum(n) OVER () AS total
        FROM pairs
    )
    SELECT event_1 AS from_event, event_2 AS to_event, n::BIGINT AS n, sessions, leaving::BIGINT AS leaving,
        arriving::BIGINT AS arriving, total::BIGINT AS total
    FROM judged WHERE sessions >= {MIN_SUPPORT} ORDER BY n / (leaving * arriving) DESC, from_event, to_event
"""

_LATENCY = f"""
    WITH overall AS (SELECT quantile_cont(upload_us, 0.95) AS limit_us FROM events),
    places AS (
        SELECT country, quantile_cont(upload_us, 0.95) / 1000 AS p95_ms, count(DISTINCT actor) AS actors
        FROM events WHERE upload_us IS NOT NULL AND country IS NOT NULL AND actor IS NOT NULL GROUP BY country
        HAVING actors >= {MIN_SUPPORT} ORDER BY actors DESC, country LIMIT {MAX_COUNTRIES}
    ),
    clusters AS (
        SELECT country, actor, count(*) FILTER (upload_us > limit_us) AS above, count(*) AS n
        FROM events, overall WHERE upload_us IS NOT NULL AND actor IS NOT NULL GROUP BY country, actor
    )
    SELECT country, p95_ms, list([above, n] ORDER BY n, above, actor) AS clusters
    FROM clusters JOIN places USING (country) GROUP BY country, p95_ms ORDER BY p95_ms DESC, country
"""

_SHARES = """
    SELECT
        (SELECT sum(events) FILTER (intent_steps <= 1) / nullif(sum(events), 0) FROM visits) AS bounce_event_share,
        (SELECT count(DISTINCT event_type) FILTER (is_noise) FROM events) AS noise_types
"""
