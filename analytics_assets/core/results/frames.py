"""What every published figure starts from: the accepted events of all years in one compact form.

Put here: the temp tables that figures, lists and findings share, and the populations. Keep out: the figures.

Tables made by `prepare`; texts are enumerations in the order of their UTF-8 bytes, so they group and sort as numbers:

- ``events``: every accepted event with its time, actor, session, observed place, device and latencies (microseconds).
- ``steps``: events inside sessions in their order, sessions of several deliveries joined, with the four that follow.
- ``intents``: the intent stream in the same form: noise left out, runs of one event collapsed.
- ``visits``: one row per session.
- ``daily``: the columns of ``daily_metrics`` over all years.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb

from analytics_assets.core.expressions import SESSION_ORDER, SYNCHRONISED, literal
from analytics_assets.core.features import tables
from analytics_assets.core.lake import Lake
from analytics_assets.core.settings import Settings
from analytics_assets.schemas import PEOPLE_CLASSES

CONDITIONS = {"all": "true", "people": "is_person", "without_top_actor": "NOT is_top"}
"""Which rows of a table belong to a population."""

PLACES = ("country", "region", "city")
DEVICES = ("device_family", "device_type", "os_name", "os_version", "platform", "language", "version_name")

_TEXTS = ("event_type", "actor", "session_key", "user_id", "country_code", "region_code", *PLACES, *DEVICES)

TABLES = ("clean_events", "dropped_events", "sessions")
"""Feature tables that a year must have to be covered."""


def rows(engine: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    """Rows of a query as dictionaries."""
    cursor = engine.execute(query)
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def record(engine: duckdb.DuckDBPyConnection, query: str) -> dict[str, Any]:
    """The one row of a query."""
    [found] = rows(engine, query)
    return found


def of_type(column: str) -> str:
    """Name of the enumeration of a text column."""
    return f"{column}_values"


def prepare(engine: duckdb.DuckDBPyConnection, lake: Lake, years: Sequence[str], settings: Settings) -> None:
    """Make the tables of this module's docstring.

    Parameters
    ----------
    engine : duckdb.DuckDBPyConnection
        Open connection.
    lake : Lake
        Where the feature tables lie.
    years : sequence of str
        Delivery years, each with all of `TABLES`.
    settings : Settings
        Which events end a session.
    """
    clean, dropped, session_files = ([lake.feature(name, year) for year in years] for name in TABLES)
    accepted = tables.accepted_events(clean, dropped)
    engine.execute(f"CREATE OR REPLACE TEMP VIEW accepted AS SELECT * FROM {accepted}")
    for name in ("runs", "visits", "intents", "steps", "events"):
        engine.execute(f"DROP TABLE IF EXISTS {name}")
    for name in _TEXTS:
        engine.execute(f"DROP TYPE IF EXISTS {of_type(name)}")
        engine.execute(
            f"CREATE TYPE {of_type(name)} AS ENUM "
            f"(SELECT DISTINCT {name} FROM accepted WHERE {name} IS NOT NULL ORDER BY {name})"
        )
    is_top = _is_top(engine)
    _events(engine, years, is_top)
    _steps(engine, is_top)
    _intents(engine)
    _visits(engine, settings)
    engine.execute(f"CREATE OR REPLACE TEMP TABLE daily AS {tables.daily_metrics('accepted', session_files, years)}")


def _classes(names: Sequence[str]) -> str:
    return ", ".join(literal(name) for name in names)


def _is_top(engine: duckdb.DuckDBPyConnection) -> str:
    """Whether the actor is the one with most events of all years; ties go to the smallest name."""
    top = engine.execute(
        "SELECT actor FROM accepted WHERE actor IS NOT NULL GROUP BY actor ORDER BY count(*) DESC, actor LIMIT 1"
    ).fetchone()
    return f"actor IS NOT DISTINCT FROM {literal(top[0])}" if top else "false"


def _events(engine: duckdb.DuckDBPyConnection, years: Sequence[str], is_top: str) -> None:
    observed = [
        f"CASE WHEN {place}_method = 'observed' THEN {place} END::{of_type(place)} AS {place}, "
        f"{place}::{of_type(place)} AS known_{place}, "
        f"{place} IS NOT NULL AND {place}_method <> 'observed' AS {place}_imputed"
        for place in PLACES
    ]
    plain = ("event_type", "actor", "session_key", "user_id", "country_code", "region_code", *DEVICES)
    own = ", ".join(str(int(year)) for year in years)
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE events AS
        SELECT {", ".join(f"{name}::{of_type(name)} AS {name}" for name in plain)}, {", ".join(observed)},
            time, time::DATE AS date, hour::TINYINT AS hour, weekday::TINYINT AS weekday, outside_year,
            year(time) IN ({own}) AS in_years, is_noise,
            CASE WHEN {SYNCHRONISED} THEN round(latency_ms * 1000)::BIGINT END AS upload_us,
            round(processing_ms * 1000)::BIGINT AS processing_us,
            actor_class IN ({_classes(PEOPLE_CLASSES)}) AS is_person, actor_class = 'scripted' AS is_scripted,
            actor_class = 'sentinel' AS is_sentinel, {is_top} AS is_top
        FROM accepted
        """
    )


def _following(column: str) -> str:
    return ", ".join(f"lead({column}, {place - 1}) OVER inside AS event_{place}" for place in range(2, 6))


def _steps(engine: duckdb.DuckDBPyConnection, is_top: str) -> None:
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE steps AS
        SELECT session_key, row_number() OVER inside AS position, event_type AS event_1, {_following("event_type")},
            time, date_diff('microsecond', time, lead(time) OVER inside) AS gap_us, is_noise,
            first_value(is_person) OVER inside AS is_person, first_value(is_top) OVER inside AS is_top
        FROM (
            SELECT session_key::{of_type("session_key")} AS session_key,
                event_type::{of_type("event_type")} AS event_type, time, event_id, uuid, is_noise,
                actor_class IN ({_classes(PEOPLE_CLASSES)}) AS is_person, {is_top} AS is_top
            FROM accepted WHERE session_key IS NOT NULL
        )
        WINDOW inside AS (PARTITION BY session_key ORDER BY {SESSION_ORDER})
        """
    )


def _intents(engine: duckdb.DuckDBPyConnection) -> None:
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE intents AS
        SELECT session_key, row_number() OVER inside AS position, event_1, {_following("event_1")}, time,
            date_diff('microsecond', time, lead(time) OVER inside) AS gap_us, is_person, is_top
        FROM (
            SELECT * FROM steps WHERE NOT is_noise
            QUALIFY event_1 IS DISTINCT FROM lag(event_1) OVER (PARTITION BY session_key ORDER BY position)
        )
        WINDOW inside AS (PARTITION BY session_key ORDER BY position)
        """
    )


def _visits(engine: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    ends = ", ".join(literal(name) for name in settings.events.session_end_events) or "NULL"
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE visits AS
        SELECT *, coalesce(intents, 0) AS intent_steps FROM (
            SELECT session_key, min(time) AS start_time, date_diff('microsecond', min(time), max(time)) AS duration_us,
                count(*) AS events, count(DISTINCT event_1) AS event_types,
                coalesce(bool_and(event_1::VARCHAR IN ({ends})), false) AS is_end_only, bool_or(is_person) AS is_person,
                bool_or(is_top) AS is_top
            FROM steps GROUP BY session_key
        ) LEFT JOIN (SELECT session_key, count(*) AS intents FROM intents GROUP BY session_key) USING (session_key)
        """
    )
