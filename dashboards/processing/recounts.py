"""Published figures counted again, and the rows behind them.

Put here: for each metric the rows that it rests on and its formula over them. Keep out: lists (``list_recounts.py``),
where a row came from (``reading.py``), drawing.

The queries are written anew from the definitions in ``schemas/metrics.py``, over the same tables as the published
figures: a figure and its rows can only agree when both are right.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analytics_assets.core.lake import Lake
from dashboards import data
from dashboards.data import DamagedFileError, Table
from dashboards.selection import quoted

EVENTS = """(
    SELECT *, time::DATE AS date, regexp_extract(filename, '([0-9]+)[.]parquet$', 1) AS delivery,
        CASE WHEN country_method = 'observed' THEN country END AS observed_country,
        CASE WHEN region_method = 'observed' THEN region END AS observed_region,
        CASE WHEN city_method = 'observed' THEN city END AS observed_city
    FROM {accepted}
)"""
"""Every accepted event with its delivery year; places as they were delivered."""

DROPPED = """(
    SELECT *, regexp_extract(filename, '([0-9]+)[.]parquet$', 1) AS delivery FROM {dropped}
)"""

SESSIONS = """(
    SELECT session_key, any_value(actor) AS actor, min(start_time) AS start_time, max(end_time) AS end_time,
        date_diff('microsecond', min(start_time), max(end_time)) AS duration_us, sum(events)::BIGINT AS events
    FROM {session_parts} GROUP BY session_key
)"""
"""A session that crosses New Year has a row in each delivery; here it is one."""

ORDER = "PARTITION BY session_key ORDER BY time, event_id NULLS LAST, uuid"

STEPS = f"""(
    SELECT * FROM (
        SELECT *, lag(event_type) OVER inside AS previous,
            date_diff('microsecond', lag(time) OVER inside, time) AS gap_us
        FROM {EVENTS} WHERE session_key IS NOT NULL WINDOW inside AS ({ORDER})
    ) WHERE previous IS NOT NULL
)"""
"""Each event inside a session that follows another one."""

RUNS = f"""(
    SELECT * FROM {EVENTS} WHERE session_key IS NOT NULL AND NOT is_noise
    QUALIFY event_type IS DISTINCT FROM lag(event_type) OVER ({ORDER})
)"""
"""First event of each step of intent."""

VISITS = f"""(
    SELECT s.*, coalesce(i.intent_steps, 0) AS intent_steps
    FROM {SESSIONS} s LEFT JOIN (SELECT session_key, count(*) AS intent_steps FROM {RUNS} GROUP BY session_key) i
        USING (session_key)
)"""

ACTORS = f"""(
    SELECT actor, count(*) AS events, count(DISTINCT session_key) AS sessions, count(DISTINCT date) AS days,
        arg_min(uuid, (time, uuid)) AS uuid
    FROM {EVENTS} WHERE actor IS NOT NULL GROUP BY actor
)"""


@dataclass(frozen=True)
class Grain:
    """What a row behind a figure is.

    Parameters
    ----------
    name : str
        Plural, for people.
    columns : dict of str to str
        What is shown: heading and SQL. An event's identity has the heading ``uuid``, its delivery year ``Delivery``.
    order : str
        Which rows come first.
    """

    name: str
    columns: Mapping[str, str]
    order: str


EVENT = Grain(
    "events",
    {
        "Delivery": "delivery", "Time (UTC)": "time::VARCHAR", "Event": "event_type", "Actor": "actor",
        "Session": "session_key", "uuid": "uuid",
    },
    "time, uuid",
)  # fmt: skip

STEP = Grain("transitions", {"From": "previous", "To": "event_type", "Seconds": "gap_us / 1e6", **EVENT.columns},
             "time, uuid")  # fmt: skip

SESSION = Grain(
    "sessions",
    {
        "Session": "session_key", "Actor": "actor", "Start (UTC)": "start_time::VARCHAR",
        "Seconds": "duration_us / 1e6", "Events": "events",
    },
    "start_time, session_key",
)  # fmt: skip

ACTOR = Grain(
    "actors",
    {"Actor": "actor", "Events": "events", "Sessions": "sessions", "Days": "days", "uuid": "uuid"},
    "events DESC, actor",
)

COHORT = Grain(
    "weekly cohorts",
    {"Cohort": "cohort::VARCHAR", "Actors": "cohort_actors", "Came back": "active_actors"},
    "cohort",
)


def group(name: str, column: str, heading: str) -> Grain:
    """Grain of the distinct values of one column of `distinct`."""
    return Grain(name, {heading: f"{column}::VARCHAR", "Events": "events", "uuid": "uuid"}, f"events DESC, {column}")


def distinct(column: str, condition: str = "true") -> str:
    """Relation of the distinct values of a column of the events, with an example."""
    return f"""(
        SELECT {column}, count(*) AS events, arg_min(uuid, (time, uuid)) AS uuid
        FROM {EVENTS} WHERE {column} IS NOT NULL AND {condition} GROUP BY {column}
    )"""


@dataclass(frozen=True)
class Recount:
    """The rows behind a figure and its formula.

    Parameters
    ----------
    grain : Grain
        What a row is.
    rows : str
        Relation of the rows.
    formula : str
        Query of the one value; ``{rows}`` stands for the relation.
    """

    grain: Grain
    rows: str
    formula: str = "SELECT count(*) FROM {rows}"

    @property
    def is_count(self) -> bool:
        """Whether the value is the number of rows."""
        return self.formula == "SELECT count(*) FROM {rows}"

    @property
    def sql(self) -> str:
        """The whole query of the value."""
        return self.formula.replace("{rows}", self.rows)


def _where(relation: str, condition: str) -> str:
    return f"(SELECT * FROM {relation} WHERE {condition})"


def _share(grain: Grain, relation: str, condition: str) -> Recount:
    """Share of the rows of a relation that meet a condition."""
    whole = f"SELECT (SELECT count(*) FROM {{rows}}) / nullif((SELECT count(*) FROM {relation}), 0)"
    return Recount(grain, _where(relation, condition), whole)


def _over(grain: Grain, relation: str, aggregate: str) -> Recount:
    """An aggregate over all rows of a relation."""
    return Recount(grain, relation, f"SELECT {aggregate} FROM {{rows}}")


_SYNCHRONISED = _where(EVENTS, "abs(latency_ms) <= 60000")
_PROCESSED = _where(EVENTS, "processing_ms IS NOT NULL")


def _milliseconds(column: str, quantile: float | None) -> str:
    exact = f"round({column} * 1000)::BIGINT"
    return f"avg({exact}) / 1000" if quantile is None else f"quantile_cont({exact}, {quantile}) / 1000"


_OF_TOP_ACTOR = f"""
    actor = (SELECT actor FROM {EVENTS} WHERE actor IS NOT NULL GROUP BY actor ORDER BY count(*) DESC, actor LIMIT 1)
"""

_PAIRS = f"""(
    SELECT previous, event_type, count(*) AS events, arg_min(uuid, (time, uuid)) AS uuid
    FROM {STEPS} GROUP BY previous, event_type
)"""

_FIXED: dict[str, Recount] = {
    "events": Recount(EVENT, EVENTS),
    "dropped_events": Recount(EVENT, DROPPED),
    "dropped_share": Recount(
        EVENT, DROPPED, f"SELECT (SELECT count(*) FROM {{rows}}) / nullif((SELECT count(*) FROM {EVENTS}), 0)"
    ),
    "events_outside_year": Recount(EVENT, _where(EVENTS, "outside_year")),
    "users": Recount(group("users", "user_id", "User"), distinct("user_id")),
    "actors": Recount(ACTOR, ACTORS),
    "events_without_actor": Recount(EVENT, _where(EVENTS, "actor IS NULL")),
    "scripted_actors": Recount(group("actors", "actor", "Actor"), distinct("actor", "actor_class = 'scripted'")),
    "scripted_event_share": _share(EVENT, EVENTS, "actor_class = 'scripted'"),
    "sentinel_actors": Recount(group("actors", "actor", "Actor"), distinct("actor", "actor_class = 'sentinel'")),
    "sentinel_event_share": _share(EVENT, EVENTS, "actor_class = 'sentinel'"),
    "top_actor_share": _share(EVENT, _where(EVENTS, "actor IS NOT NULL"), _OF_TOP_ACTOR),
    "events_per_actor_mean": _over(ACTOR, ACTORS, "avg(events)"),
    "events_per_actor_median": _over(ACTOR, ACTORS, "quantile_cont(events, 0.5)"),
    "events_per_actor_max": _over(ACTOR, ACTORS, "max(events)"),
    "sessions_per_actor_mean": _over(ACTOR, ACTORS, "avg(sessions)"),
    "sessions_per_actor_median": _over(ACTOR, ACTORS, "quantile_cont(sessions, 0.5)"),
    "returning_actor_share": _share(ACTOR, ACTORS, "days > 1"),
    "event_types": Recount(group("event types", "event_type", "Event"), distinct("event_type")),
    "noise_share": _share(EVENT, EVENTS, "is_noise"),
    "sessions": Recount(SESSION, SESSIONS),
    "events_without_session": Recount(EVENT, _where(EVENTS, "session_key IS NULL")),
    "active_sessions": Recount(SESSION, _where(VISITS, "intent_steps > 0")),
    "active_session_share": _share(SESSION, VISITS, "intent_steps > 0"),
    "bounce_share": _share(SESSION, VISITS, "intent_steps <= 1"),
    "single_event_sessions": Recount(SESSION, _where(SESSIONS, "events = 1")),
    "short_sessions": Recount(SESSION, _where(SESSIONS, "duration_us <= 1000000")),
    "session_seconds_mean": _over(SESSION, SESSIONS, "avg(duration_us) / 1e6"),
    "session_seconds_median": _over(SESSION, SESSIONS, "quantile_cont(duration_us, 0.5) / 1e6"),
    "session_seconds_max": _over(SESSION, SESSIONS, "max(duration_us) / 1e6"),
    "event_session_seconds_mean": _over(
        SESSION, SESSIONS, "sum(duration_us::HUGEINT * events)::DOUBLE / sum(events) / 1e6"
    ),
    "event_session_seconds_median": Recount(
        SESSION,
        SESSIONS,
        "SELECT quantile_cont(duration_us, 0.5) / 1e6 FROM (SELECT duration_us, unnest(range(events)) FROM {rows})",
    ),
    "events_per_session_mean": _over(SESSION, SESSIONS, "avg(events)"),
    "events_per_session_median": _over(SESSION, SESSIONS, "quantile_cont(events, 0.5)"),
    "events_per_session_max": _over(SESSION, SESSIONS, "max(events)"),
    "intent_steps_per_session_mean": _over(SESSION, VISITS, "avg(intent_steps)"),
    "transitions": Recount(STEP, STEPS),
    "distinct_transitions": Recount(
        Grain(
            "pairs of events",
            {"From": "previous", "To": "event_type", "Transitions": "events", "uuid": "uuid"},
            "events DESC, previous, event_type",
        ),
        _PAIRS,
    ),
    "seconds_between_events_median": _over(STEP, STEPS, "quantile_cont(gap_us, 0.5) / 1e6"),
    "tie_share": _share(STEP, STEPS, "gap_us = 0"),
    "active_days": Recount(group("days", "date", "Day (UTC)"), distinct("date")),
    "weekend_share": _share(EVENT, EVENTS, "weekday >= 6"),
    "countries": Recount(group("countries", "observed_country", "Country"), distinct("observed_country")),
    **{
        f"imputed_{place}_share": _share(EVENT, EVENTS, f"{place} IS NOT NULL AND {place}_method <> 'observed'")
        for place in ("country", "region", "city")
    },
    **{
        f"latency_ms_{name}": _over(EVENT, _SYNCHRONISED, _milliseconds("latency_ms", quantile))
        for name, quantile in (("mean", None), ("median", 0.5), ("p95", 0.95), ("p99", 0.99))
    },
    **{
        f"processing_ms_{name}": _over(EVENT, _PROCESSED, _milliseconds("processing_ms", quantile))
        for name, quantile in (("mean", None), ("median", 0.5), ("p95", 0.95))
    },
    "week1_retention": _over(
        COHORT,
        "(SELECT * FROM {retention} WHERE population = 'all' AND granularity = 'week' AND period = 1 AND is_complete)",
        "sum(active_actors) / nullif(sum(cohort_actors), 0)",
    ),
}
"""Metrics whose rows depend on nothing but the tables."""

WINDOWS = {"daily_active_actors": 1, "weekly_active_actors": 7, "monthly_active_actors": 30}
"""Days up to the last complete one in which an actor counts."""


def recount(lake: Lake, years: Sequence[str], name: str) -> Recount | None:
    """How a metric is counted again; None for the metrics of the delivery (``delivered.py``) and unknown ones.

    Parameters
    ----------
    lake : Lake
        Settings and the summary of active actors are read from it.
    years : sequence of str
        Delivery years that the published figures cover.
    name : str
        Name of the metric.
    """
    if name in _FIXED:
        return _FIXED[name]
    if name in WINDOWS or name == "dau_mau":
        return _active_actors(lake, years, name)
    if name == "burst_share":
        return _share(STEP, STEPS, f"gap_us < {_settings(lake).events.burst_milliseconds * 1000}")
    if name == "end_only_sessions":
        ends = ", ".join(quoted(event) for event in _settings(lake).events.session_end_events) or "NULL"
        return Recount(SESSION, f"""(
            SELECT s.* FROM {SESSIONS} s JOIN (
                SELECT session_key FROM {EVENTS} WHERE session_key IS NOT NULL GROUP BY session_key
                HAVING bool_and(event_type IN ({ends}))
            ) USING (session_key)
        )""")  # fmt: skip
    return None


def _settings(lake: Lake) -> Any:
    # Validating settings takes a library that no other figure needs.
    from analytics_assets.core.errors import PipelineError
    from analytics_assets.core.settings import load_settings

    try:
        return load_settings(lake)
    except PipelineError as error:
        raise DamagedFileError(lake.settings(), "clean_events", str(error)) from error


def _active_actors(lake: Lake, years: Sequence[str], name: str) -> Recount | None:
    summary = "spark_stickiness"
    for year in sorted(years, reverse=True):
        path = lake.summary(year, summary)
        if not path.is_file():
            continue
        [(day,)] = data.query(
            "SELECT max(date)::VARCHAR FROM {files} WHERE population = 'all' AND is_complete "
            "AND date < (SELECT max(date) FROM {files})",
            [path],
            summary,
        )
        if day is None:
            continue

        def active(days: int, year: str = year, day: str = day) -> str:
            window = f"date > DATE '{day}' - {days} AND date <= DATE '{day}'"
            return distinct("actor", f"delivery = '{int(year)}' AND {window}")

        grain = group("actors", "actor", "Actor")
        if name == "dau_mau":
            month = f"SELECT (SELECT count(*) FROM {{rows}}) / nullif((SELECT count(*) FROM {active(30)}), 0)"
            return Recount(grain, active(1), month)
        return Recount(grain, active(WINDOWS[name]))
    return None


def tables(lake: Lake, years: Sequence[str], sql: str) -> dict[str, Table]:
    """The tables that a query names."""
    both = [lake.feature(name, year) for name in ("clean_events", "dropped_events") for year in years]
    own = {
        "accepted": ("clean_events", both),
        "dropped": ("dropped_events", [lake.feature("dropped_events", year) for year in years]),
        "session_parts": ("sessions", [lake.feature("sessions", year) for year in years]),
        "retention": (
            "spark_retention",
            [path for path in (lake.summary(year, "spark_retention") for year in years) if path.is_file()],
        ),
        "assignments": ("kmeans_segments", [lake.model("kmeans_segments") / "assignments.parquet"]),
    }
    used = {name: found for name, found in own.items() if "{" + name + "}" in sql}
    for asset, files in used.values():
        if not files:
            raise data.MissingFileError(lake.summary(years[-1], asset) if years else lake.root, asset)
    return {name: Table.of(files, asset) for name, (asset, files) in used.items()}


def value(lake: Lake, years: Sequence[str], found: Recount) -> float | None:
    """The figure, counted now."""
    [(counted,)] = data.query_tables(found.sql, tables(lake, years, found.sql))
    return counted


def count(lake: Lake, years: Sequence[str], found: Recount) -> int:
    """Number of rows behind the figure."""
    sql = f"SELECT count(*) FROM {found.rows}"
    [(number,)] = data.query_tables(sql, tables(lake, years, sql))
    return int(number)


def first_rows(lake: Lake, years: Sequence[str], found: Recount, limit: int) -> list[dict[str, Any]]:
    """The first rows behind the figure by heading, with the ``uuid`` of an event of each where there is one."""
    grain = found.grain
    names = ", ".join(grain.columns.values())
    sql = f"SELECT {names} FROM {found.rows} ORDER BY {grain.order} LIMIT {limit}"
    rows = [dict(zip(grain.columns, row, strict=True)) for row in data.query_tables(sql, tables(lake, years, sql))]
    if "uuid" in grain.columns or "Session" not in grain.columns or not rows:
        return rows
    listed = ", ".join(quoted(row["Session"]) for row in rows)
    sql = f"""
        SELECT session_key, uuid, delivery FROM {EVENTS} WHERE session_key IN ({listed})
        QUALIFY row_number() OVER ({ORDER}) = 1
    """
    openings = {key: (uuid, year) for key, uuid, year in data.query_tables(sql, tables(lake, years, sql))}
    for row in rows:
        row["uuid"], row["Delivery"] = openings.get(row["Session"], (None, None))
    return rows


def agrees(published: float | None, counted: float | None) -> bool:
    """Whether two values of one figure are the same but for the last bits of a division."""
    if published is None or counted is None:
        return published is counted
    return math.isclose(published, counted, rel_tol=1e-9, abs_tol=1e-12)
