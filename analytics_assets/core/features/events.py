"""Events of one year, interpreted: one time, actor, session and place each, with the features of an event.

Put here: the query that turns chunks into rows of ``clean_events`` before anything is removed. Keep out: removing rows
(``cleaning.py``), the rules of identity (``core/expressions.py``) and of places (``imputation.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analytics_assets.core.expressions import (
    ACTOR,
    SESSION_KEY,
    SESSION_ORDER,
    TIME,
    is_noise,
    normalized_select,
    quoted,
    screen,
)
from analytics_assets.core.features.engine import parquet, raw_chunks
from analytics_assets.core.settings import Settings
from analytics_assets.schemas import EVENT_CHUNKS, NESTED_COLUMNS

DELIVERY_COLUMNS = ("uuid", "client_upload_time", "server_received_time", "server_upload_time", "processed_time")
"""What differs between two deliveries of one event; everything else is its content."""

PLACE_KEY = ("actor", "device_id", "country", "region", "city", "dma")
"""What a row of the places table is made from: it is the same for all events that share these."""


def staged_chunks(chunks: Sequence[Path]) -> str:
    """The chunks as delivered, with a hash in place of the nested columns."""
    return f"""
        SELECT * EXCLUDE ({", ".join(NESTED_COLUMNS)}), hash({", ".join(NESTED_COLUMNS)}) AS nested
        FROM {raw_chunks(chunks)}
    """


def identified_events(staged: str) -> str:
    """Every event of the relation of `staged_chunks` with ``time``, ``actor``, ``session_key`` and a hash of its
    ``content``; null tokens as nulls.
    """
    names = [name for name in EVENT_CHUNKS.column_names if name not in NESTED_COLUMNS]
    content = ", ".join(quoted(name, '"') for name in names if name not in DELIVERY_COLUMNS)
    return f"""
        SELECT *, {TIME} AS time, {ACTOR} AS actor, {SESSION_KEY} AS session_key, hash({content}, nested) AS content
        FROM (SELECT {normalized_select('"', names)}, nested FROM {staged})
    """


def interpreted_events(events: str, actors: Path, places: str, year: str, settings: Settings) -> str:
    """Rows of ``clean_events`` and ``dropped_events`` together, with what cleaning needs besides.

    Parameters
    ----------
    events : str
        Relation of `identified_events`.
    actors : Path
        The year's ``actors`` table.
    places : str
        Table made by ``imputation.build_places``.
    year : str
        Delivery year.
    settings : Settings
        Meaning of the events.

    Returns
    -------
    str
        Query with the columns of ``CLEAN_EVENTS`` and ``app``, ``$insert_id``, ``content``, ``server_upload_time``.
    """
    inside = f"PARTITION BY session_key ORDER BY {SESSION_ORDER}"
    before = "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
    burst = settings.events.burst_milliseconds / 1000
    key = " AND ".join(
        f"e.{name} IS NOT DISTINCT FROM p.{name if name in ('actor', 'device_id') else f'delivered_{name}'}"
        for name in PLACE_KEY
    )
    return f"""
        WITH named AS (
            SELECT *, CASE WHEN NOT is_noise THEN {screen(settings.events, "duckdb")} END AS screen
            FROM (SELECT *, {is_noise(settings.events, "duckdb")} AS is_noise FROM {events})
        ),
        ordered AS (
            SELECT *,
                row_number() OVER ({inside}) AS place,
                date_diff('microsecond', min(time) OVER (PARTITION BY session_key), time) / 1e6 AS since_start,
                date_diff('microsecond', lag(time) OVER ({inside}), time) / 1e6 AS since_previous,
                NOT is_noise AND event_type IS DISTINCT FROM
                    last_value(CASE WHEN NOT is_noise THEN event_type END IGNORE NULLS) OVER ({inside} {before})
                    AS new_intent,
                NOT is_noise AND screen IS DISTINCT FROM last_value(screen IGNORE NULLS) OVER ({inside} {before})
                    AS new_screen
            FROM named
        ),
        counted AS (
            SELECT * EXCLUDE (place, since_start, since_previous),
                CASE WHEN session_key IS NOT NULL THEN place END AS position,
                CASE WHEN session_key IS NOT NULL THEN since_start END AS seconds_since_start,
                CASE WHEN session_key IS NOT NULL THEN since_previous END AS seconds_since_previous,
                CASE WHEN session_key IS NOT NULL THEN count(*) FILTER (new_intent) OVER ({inside}
                    ROWS UNBOUNDED PRECEDING) END AS intent_step,
                CASE WHEN session_key IS NOT NULL THEN count(*) FILTER (new_screen) OVER ({inside}
                    ROWS UNBOUNDED PRECEDING) END AS screen_step,
                hour(time) AS hour, isodow(time) AS weekday
            FROM ordered
        )
        SELECT e.* EXCLUDE (country, region, city),
            coalesce(a.actor_class, 'sentinel') AS actor_class,
            p.country, p.country_code, p.country_method, p.country_confidence,
            p.region, p.region_code, p.region_method, p.region_confidence,
            p.city, p.city_method, p.city_confidence,
            date_diff('microsecond', client_upload_time, server_received_time) / 1000.0 AS latency_ms,
            date_diff('microsecond', server_received_time, processed_time) / 1000.0 AS processing_ms,
            year(time) <> {int(year)} AS outside_year,
            sin(2 * pi() * e.hour / 24) AS hour_sin, cos(2 * pi() * e.hour / 24) AS hour_cos,
            sin(2 * pi() * (e.weekday - 1) / 7) AS weekday_sin, cos(2 * pi() * (e.weekday - 1) / 7) AS weekday_cos,
            seconds_since_previous < {burst} AS is_burst
        FROM counted e LEFT JOIN {parquet([actors])} a ON e.actor = a.actor LEFT JOIN {places} p ON {key}
    """
