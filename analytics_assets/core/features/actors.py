"""Who acts: people, machines, nobody in particular.

Put here: the query of the ``actors`` table. Keep out: what the classes are used for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analytics_assets.core.expressions import ACTOR, IS_SENTINEL, SESSION_KEY, SESSION_ORDER, TIME, is_noise
from analytics_assets.core.features.engine import normalized_chunks
from analytics_assets.core.settings import Settings


def actors(chunks: Sequence[Path], settings: Settings) -> str:
    """One row per actor of one year's chunks: see ``ACTORS``.

    An actor is scripted when it has more sessions per active day than the quantile over all actors (linear
    interpolation), at least the least number of sessions, and sessions whose intent sequences are the same again and
    again (Shannon entropy below the limit).
    """
    limits = settings.actors
    inside = f"PARTITION BY actor, session_key ORDER BY {SESSION_ORDER}"
    return f"""
        WITH normalized AS (SELECT *, {TIME} AS time FROM {normalized_chunks(chunks)}),
        events AS (
            SELECT {ACTOR} AS actor, {SESSION_KEY} AS session_key, time, event_id, uuid, event_type,
                {is_noise(settings.events, "duckdb")} AS noise
            FROM normalized
        ),
        totals AS (
            SELECT actor, count(*) AS events, count(DISTINCT session_key) AS sessions,
                count(DISTINCT time::DATE) AS active_days
            FROM events WHERE actor IS NOT NULL GROUP BY actor
        ),
        intents AS (
            SELECT actor, session_key, time, event_id, uuid, event_type,
                event_type IS DISTINCT FROM lag(event_type) OVER ({inside}) AS is_step
            FROM events WHERE actor IS NOT NULL AND session_key IS NOT NULL AND NOT noise
        ),
        sequences AS (
            SELECT actor, session_key, hash(list(event_type ORDER BY {SESSION_ORDER})) AS sequence
            FROM intents WHERE is_step GROUP BY actor, session_key
        ),
        visits AS (
            SELECT DISTINCT actor, session_key FROM events WHERE actor IS NOT NULL AND session_key IS NOT NULL
        ),
        variety AS (
            SELECT actor, sequence, count(*) AS n, count(*) / sum(count(*)) OVER (PARTITION BY actor) AS p
            FROM visits LEFT JOIN sequences USING (actor, session_key) GROUP BY actor, sequence
        ),
        entropy AS (
            SELECT actor, greatest(0, -sum(p * log2(p) ORDER BY p, n)) AS sequence_entropy FROM variety GROUP BY actor
        ),
        rates AS (
            SELECT *, sessions / active_days AS sessions_per_active_day FROM totals LEFT JOIN entropy USING (actor)
        ),
        busy AS (SELECT quantile_cont(sessions_per_active_day, {limits.scripted_quantile}) AS busy FROM rates)
        SELECT actor,
            CASE WHEN {IS_SENTINEL} THEN 'sentinel'
                WHEN sessions_per_active_day > busy AND sessions >= {limits.scripted_min_sessions}
                    AND sequence_entropy < {limits.scripted_max_entropy_bits} THEN 'scripted'
                WHEN actor LIKE 'user:%' THEN 'user' ELSE 'device' END AS actor_class,
            events, events / sum(events) OVER () AS event_share, sessions, active_days, sessions_per_active_day,
            sequence_entropy, row_number() OVER (ORDER BY events DESC, actor) = 1 AS is_top_actor
        FROM rates CROSS JOIN busy ORDER BY actor
    """
