"""The published lists that are counted from the events of all years.

Put here: rankings, series, matrices and distributions. Keep out: single figures (``figures.py``) and what the yearly
summaries hold (``summarized.py``).

Every list with ``events`` also says how many of them people made and how many are left without the most active actor.
Places are as observed, spelling unified; imputed ones are counted apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import duckdb

from analytics_assets.core.results.frames import CONDITIONS, PLACES, rows

Rows = list[dict[str, Any]]

TOP = 20
"""Rows of a ranked list: as many as a person reads."""

TOP_DAYS = 10
"""Rows of the list of the busiest days."""

TOP_HOURS = 5
"""Rows of the lists of busiest and quietest hours."""

TOP_OF_PLACE = 10
"""Events listed per region."""

ACTIVITY = (
    "count(*) AS events, count(DISTINCT actor) AS actors, count(DISTINCT session_key) AS sessions, "
    "count(*) / max(total) AS event_share, count(*) FILTER (is_person) AS people_events, "
    "count(*) FILTER (NOT is_top) AS events_without_top_actor"
)
"""Counts of every list over events."""

EVENTS = "(SELECT *, (SELECT count(*) FROM events) AS total FROM events)"


class Listed(NamedTuple):
    """One list: the asset it comes from, what a row is, and its query."""

    source: str
    about: str
    query: str


def event_lists(engine: duckdb.DuckDBPyConnection) -> dict[str, Rows]:
    """Every list of `LISTS` by name; without events all of them are empty.

    Parameters
    ----------
    engine : duckdb.DuckDBPyConnection
        Connection with the tables of `frames.prepare`.
    """
    found = {name: rows(engine, listed.query) for name, listed in LISTS.items() if listed.query}
    return found | {"ngrams": _ngrams(engine), "distributions": _distributions(engine)}


def _ranked(*columns: str) -> str:
    names = ", ".join(columns)
    order = ", ".join(f"{name} NULLS LAST" for name in columns)
    return f"SELECT {names}, {ACTIVITY} FROM {EVENTS} GROUP BY {names} ORDER BY events DESC, {order} LIMIT {TOP}"


def _by_time(name: str, expression: str) -> str:
    return f"SELECT {expression} AS {name}, {ACTIVITY} FROM {EVENTS} GROUP BY 1 ORDER BY 1"


def _places(levels: Sequence[str]) -> str:
    names = ", ".join(levels)
    order = ", ".join(f"{name} NULLS LAST" for name in levels)
    same = " AND ".join(f"own.{name} IS NOT DISTINCT FROM known.{name}" for name in levels)
    known = ", ".join(f"known_{name} AS {name}" for name in levels)
    place = levels[-1]
    code = "" if place == "city" else f", min({place}_code) FILTER ({place} IS NOT NULL) AS {place}_code"
    column = "" if place == "city" else f"{place}_code, "
    return f"""
        WITH own AS (SELECT {names}{code}, {ACTIVITY} FROM {EVENTS} GROUP BY {names}),
        known AS (SELECT {known}, count(*) AS n FROM events GROUP BY ALL)
        SELECT {", ".join(f"own.{name}" for name in levels)}, {column}events, actors, sessions, event_share,
            people_events, events_without_top_actor, coalesce(n, 0) AS events_with_imputed
        FROM own LEFT JOIN known ON {same} ORDER BY events DESC, {order} LIMIT {TOP}
    """


_METHODS = " UNION ALL ".join(
    f"""
    SELECT {level} AS place, '{place}' AS level, coalesce({place}_method, 'unknown') AS method,
        sum(n)::BIGINT AS events, sum(n) / (SELECT count(*) FROM accepted) AS event_share,
        sum(n * {place}_confidence ORDER BY {place}_confidence) / sum(n) AS mean_confidence
    FROM (SELECT {place}_method, {place}_confidence, count(*) AS n FROM accepted GROUP BY ALL) GROUP BY ALL
    """
    for level, place in enumerate(PLACES)
)
_METHODS = f"SELECT * EXCLUDE (place) FROM ({_METHODS}) ORDER BY place, events DESC, method"
"""How many events carry an observed, an imputed or no place, by method."""

_WEEKDAY_HOURS = f"""
    WITH found AS (SELECT weekday, hour, {ACTIVITY} FROM {EVENTS} GROUP BY weekday, hour)
    SELECT weekday, hour, coalesce(events, 0) AS events, coalesce(actors, 0) AS actors,
        coalesce(sessions, 0) AS sessions, coalesce(event_share, 0) AS event_share,
        coalesce(people_events, 0) AS people_events, coalesce(events_without_top_actor, 0) AS events_without_top_actor
    FROM (SELECT * FROM (SELECT unnest(range(1, 8)) AS weekday), (SELECT unnest(range(24)) AS hour))
        LEFT JOIN found USING (weekday, hour)
    WHERE EXISTS (FROM found) ORDER BY weekday, hour
"""

_MONTHS = f"""
    WITH span AS (SELECT min(date) AS first, max(date) AS last FROM events WHERE in_years),
    found AS (
        SELECT strftime(time, '%Y-%m') AS month, any_value(date_trunc('month', date)::DATE) AS start,
            bool_and(in_years) AS in_years, {ACTIVITY}
        FROM {EVENTS} GROUP BY 1
    ),
    judged AS (
        SELECT *, in_years AND first <= start AND last >= last_day(start) AS is_complete FROM found, span
    )
    SELECT m.month, m.events, m.actors, m.sessions, m.event_share, m.people_events, m.events_without_top_actor,
        m.in_years, coalesce(m.is_complete, false) AS is_complete,
        CASE WHEN m.is_complete AND b.is_complete THEN m.events / b.events - 1 END AS events_change,
        CASE WHEN m.is_complete AND b.is_complete
            THEN m.events_without_top_actor / nullif(b.events_without_top_actor, 0) - 1
            END AS events_change_without_top_actor
    FROM judged m LEFT JOIN judged b ON b.start = (m.start - INTERVAL 1 MONTH)::DATE ORDER BY m.month
"""
"""A month is complete when it lies in the delivered years and the days observed cover it."""

_DAILY = """
    SELECT date::VARCHAR AS date, events, intent_events, machine_events, actors, users, sessions,
        mean_session_seconds, median_session_seconds, mean_latency_ms, p95_latency_ms, outside_year, is_gap
    FROM daily ORDER BY date
"""

_BUSIEST_DAYS = f"""
    SELECT date::VARCHAR AS date, isodow(date) AS weekday, {ACTIVITY} FROM {EVENTS} GROUP BY date
    ORDER BY events DESC, date LIMIT {TOP_DAYS}
"""

_HOURLY = """
    SELECT hour, coalesce(n, 0) AS events, coalesce(n, 0) / (SELECT count(*) FROM events) AS event_share
    FROM (SELECT unnest(range(24)) AS hour) LEFT JOIN (SELECT hour, count(*) AS n FROM events GROUP BY hour)
        USING (hour)
    WHERE EXISTS (FROM events)
"""


def _hours(direction: str) -> str:
    """Busiest or quietest UTC hours, those without any event included."""
    return f"{_HOURLY} ORDER BY events {direction}, hour LIMIT {TOP_HOURS}"


def _peak(inside: str, best: str) -> str:
    """Per value of `inside` the value of `best` with most events; ties go to the earlier."""
    return f"""
        SELECT {inside}, {best}, events, events / of_all AS share FROM (
            SELECT {inside}, {best}, count(*) AS events, sum(count(*)) OVER (PARTITION BY {inside}) AS of_all
            FROM events GROUP BY {inside}, {best}
        ) QUALIFY row_number() OVER (PARTITION BY {inside} ORDER BY events DESC, {best}) = 1 ORDER BY {inside}
    """


def _transitions(table: str) -> str:
    """Most frequent successions of two events; lift compares with how often the second one follows anything."""
    return f"""
        WITH pairs AS (
            SELECT event_1, event_2, count(*) AS n, count(DISTINCT session_key) AS sessions,
                quantile_cont(gap_us, 0.5) / 1e6 AS median_seconds,
                count(*) FILTER (is_person) AS people, count(*) FILTER (NOT is_top) AS without_top
            FROM {table} WHERE event_2 IS NOT NULL GROUP BY event_1, event_2
        ),
        judged AS (
            SELECT *, n / sum(n) OVER (PARTITION BY event_1) AS probability,
                sum(n) OVER (PARTITION BY event_2) / sum(n) OVER () AS end_share FROM pairs
        )
        SELECT event_1 AS from_event, event_2 AS to_event, n AS transitions, sessions, probability,
            probability / end_share AS lift, median_seconds, people AS people_transitions,
            without_top AS transitions_without_top_actor
        FROM judged ORDER BY transitions DESC, from_event, to_event LIMIT {TOP}
    """


def _ends(condition: str) -> str:
    return f"""
        SELECT event_1 AS event_type, count(*) AS sessions, count(*) / (SELECT count(*) FROM visits) AS session_share,
            count(*) FILTER (is_person) AS people_sessions, count(*) FILTER (NOT is_top) AS sessions_without_top_actor
        FROM steps WHERE {condition} GROUP BY event_1 ORDER BY sessions DESC, event_type LIMIT {TOP}
    """


def _session_timing(name: str, expression: str) -> str:
    return f"""
        SELECT {expression} AS {name}, count(*) AS sessions, avg(duration_us) / 1e6 AS mean_session_seconds,
            quantile_cont(duration_us, 0.5) / 1e6 AS median_session_seconds,
            avg(duration_us) FILTER (NOT is_top) / 1e6 AS mean_session_seconds_without_top_actor
        FROM visits GROUP BY 1 ORDER BY 1
    """


def _latency(dimension: str) -> str:
    """Upload latency of the values with most events; clocks more than a minute off are left out."""
    order = "events DESC, country NULLS LAST" if dimension == "country" else dimension
    return f"""
        SELECT {dimension}, count(upload_us) AS events, count(*) - count(upload_us) AS left_out,
            avg(upload_us) / 1000 AS mean_ms, quantile_cont(upload_us, 0.5) / 1000 AS median_ms,
            quantile_cont(upload_us, 0.95) / 1000 AS p95_ms, quantile_cont(upload_us, 0.99) / 1000 AS p99_ms
        FROM events GROUP BY {dimension} ORDER BY {order} LIMIT {max(TOP, 24)}
    """


_REGIONAL_PREFERENCES = f"""
    WITH counted AS (
        SELECT country, region, event_type, count(*) AS events FROM events
        WHERE region IS NOT NULL AND NOT is_noise GROUP BY ALL
    ),
    judged AS (
        SELECT *, sum(events) OVER (PARTITION BY country, region) AS of_region,
            row_number() OVER (PARTITION BY country, region ORDER BY events DESC, event_type) AS place
        FROM counted
    ),
    chosen AS (
        SELECT country, region FROM counted GROUP BY ALL
        ORDER BY sum(events) DESC, country NULLS LAST, region LIMIT {TOP}
    )
    SELECT country, region, place, event_type, events, events / of_region AS region_share
    FROM judged SEMI JOIN chosen ON judged.country IS NOT DISTINCT FROM chosen.country
        AND judged.region = chosen.region
    WHERE place <= {TOP_OF_PLACE} ORDER BY of_region DESC, country NULLS LAST, region, place
"""
"""Most frequent events that are not noise in the regions with most of them."""

_CITY_PATTERNS = f"""
    WITH places AS (
        SELECT country, region, city, count(*) AS events, count(DISTINCT actor) AS actors,
            count(DISTINCT session_key) AS sessions
        FROM events WHERE city IS NOT NULL GROUP BY ALL
        ORDER BY events DESC, country NULLS LAST, region NULLS LAST, city LIMIT {TOP}
    ),
    inside AS (
        SELECT p.country, p.region, p.city, e.hour, e.event_type, e.is_noise FROM events e JOIN places p
            ON e.city = p.city AND e.country IS NOT DISTINCT FROM p.country AND e.region IS NOT DISTINCT FROM p.region
    ),
    hours AS (
        SELECT country, region, city, first(hour ORDER BY n DESC, hour) AS peak_hour
        FROM (SELECT country, region, city, hour, count(*) AS n FROM inside GROUP BY ALL) GROUP BY ALL
    ),
    favourites AS (
        SELECT country, region, city, list(event_type ORDER BY n DESC, event_type)[:5] AS top_events
        FROM (SELECT country, region, city, event_type, count(*) AS n FROM inside WHERE NOT is_noise GROUP BY ALL)
        GROUP BY ALL
    )
    SELECT p.*, p.events / nullif(actors, 0) AS events_per_actor, sessions / nullif(actors, 0) AS sessions_per_actor,
        peak_hour, coalesce(top_events, []) AS top_events
    FROM places p
        LEFT JOIN hours h ON p.city = h.city AND p.country IS NOT DISTINCT FROM h.country
            AND p.region IS NOT DISTINCT FROM h.region
        LEFT JOIN favourites f ON p.city = f.city AND p.country IS NOT DISTINCT FROM f.country
            AND p.region IS NOT DISTINCT FROM f.region
    ORDER BY p.events DESC, p.country NULLS LAST, p.region NULLS LAST, p.city
"""

_TIME_BETWEEN = f"""
    SELECT event_2 AS event_type, count(*) AS gaps, avg(gap_us) / 1e6 AS mean_seconds,
        quantile_cont(gap_us, 0.25) / 1e6 AS p25_seconds, quantile_cont(gap_us, 0.5) / 1e6 AS median_seconds,
        quantile_cont(gap_us, 0.75) / 1e6 AS p75_seconds, quantile_cont(gap_us, 0.95) / 1e6 AS p95_seconds
    FROM steps WHERE event_2 IS NOT NULL GROUP BY event_2 ORDER BY gaps DESC, event_type LIMIT {TOP}
"""
"""Time since the event before it in the session, by event."""


def _ngrams(engine: duckdb.DuckDBPyConnection) -> Rows:
    """Most frequent runs of 2 to 5 successive events in the raw and in the intent stream."""
    found: Rows = []
    for stream, table in (("raw", "steps"), ("intent", "intents")):
        for length in range(2, 6):
            names = [f"event_{place}" for place in range(1, length + 1)]
            listed = ", ".join(names)
            # Sessions are counted for the runs that are listed only: there are millions of others.
            query = f"""
                WITH counted AS (
                    SELECT {listed}, count(*) AS n, count(*) FILTER (NOT is_top) AS without_top
                    FROM {table} WHERE event_{length} IS NOT NULL GROUP BY {listed}
                ),
                best AS (
                    SELECT *, n / (SELECT sum(n) FROM counted) AS share,
                        row_number() OVER (ORDER BY n DESC, {listed}) AS place
                    FROM counted ORDER BY place LIMIT {TOP}
                )
                SELECT '{stream}' AS stream, {length} AS length, place, [{listed}]::VARCHAR[] AS events,
                    any_value(n) AS occurrences, count(DISTINCT session_key) AS sessions,
                    any_value(share) AS occurrence_share, any_value(without_top) AS occurrences_without_top_actor
                FROM best JOIN {table} USING ({listed}) GROUP BY place, {listed} ORDER BY place
            """
            found += rows(engine, query)
    return found


class Measure(NamedTuple):
    """What one observation of a distribution is: an integer, in `divisor` parts of its unit."""

    name: str
    unit: str
    divisor: float
    column: str
    source: str


_MEASURES = (
    Measure("events_per_session", "events", 1, "events", "FROM visits"),
    Measure("event_types_per_session", "types", 1, "event_types", "FROM visits"),
    Measure("intent_steps_per_session", "steps", 1, "intent_steps", "FROM visits"),
    Measure("session_seconds", "s", 1e6, "duration_us", "FROM visits"),
    Measure("event_session_seconds", "s", 1e6, "duration_us", "FROM (SELECT *, unnest(range(events)) FROM visits)"),
    Measure("seconds_between_events", "s", 1e6, "gap_us", "FROM steps"),
    Measure("seconds_between_intents", "s", 1e6, "gap_us", "FROM intents"),
    Measure("latency_ms", "ms", 1e3, "upload_us", "FROM events"),
    Measure("processing_ms", "ms", 1e3, "processing_us", "FROM events"),
)

_ACTOR_MEASURES = (
    Measure("events_per_actor", "events", 1, "count(*)", "FROM events"),
    Measure("sessions_per_actor", "sessions", 1, "count(DISTINCT session_key)", "FROM events"),
    Measure("active_days_per_actor", "days", 1, "count(DISTINCT date)", "FROM events"),
    Measure("event_types_per_actor", "types", 1, "count(DISTINCT event_type)", "FROM events"),
)

_DAYS = Measure("events_per_day", "events", 1, "events", "FROM daily")


def _distributions(engine: duckdb.DuckDBPyConnection) -> Rows:
    found: Rows = []
    for population, condition in CONDITIONS.items():
        for measure in _MEASURES:
            values = f"SELECT {measure.column} AS x {measure.source} WHERE {measure.column} IS NOT NULL AND {condition}"
            found += _described(engine, measure, population, values)
        for measure in _ACTOR_MEASURES:
            values = (
                f"SELECT {measure.column} AS x {measure.source} WHERE actor IS NOT NULL AND {condition} GROUP BY actor"
            )
            found += _described(engine, measure, population, values)
    return found + _described(engine, _DAYS, "all", "SELECT events AS x FROM daily WHERE NOT outside_year")


def _described(engine: duckdb.DuckDBPyConnection, measure: Measure, population: str, values: str) -> Rows:
    """Summary of a distribution of the integers `x`; no row without values.

    The mean is an exact sum divided; the sample standard deviation adds squares in the order of the values.
    """
    divisor = measure.divisor
    query = f"""
        WITH found AS ({values}),
        centre AS (
            SELECT count(*) AS n, avg(x) AS mean, min(x) AS low, max(x) AS high,
                quantile_cont(x, [0.25, 0.5, 0.75, 0.95]) AS q
            FROM found
        ),
        spread AS (
            SELECT sum(c.n * pow(x - mean, 2) ORDER BY x) AS squares
            FROM (SELECT x, count(*) AS n FROM found GROUP BY x) c, centre
        )
        SELECT '{measure.name}' AS measure, '{measure.unit}' AS unit, '{population}' AS population, n,
            mean / {divisor} AS mean, CASE WHEN n > 1 THEN sqrt(squares / (n - 1)) / {divisor} END AS std,
            low / {divisor} AS min, q[1] / {divisor} AS p25, q[2] / {divisor} AS median, q[3] / {divisor} AS p75,
            q[4] / {divisor} AS p95, high / {divisor} AS max
        FROM centre, spread WHERE n > 0
    """
    return rows(engine, query)


LISTS: dict[str, Listed] = {
    name: Listed(source, about, query)
    for name, source, about, query in (
        ("top_events", "clean_events", "Most frequent event types.", _ranked("event_type")),
        (
            "top_transitions",
            "clean_events",
            "Most frequent successions of two events inside sessions, all events.",
            _transitions("steps"),
        ),
        (
            "intent_transitions",
            "clean_events",
            "The same in the intent stream: noise left out, runs of one event collapsed.",
            _transitions("intents"),
        ),
        ("ngrams", "clean_events", "Most frequent runs of 2 to 5 events, in the raw and the intent stream.", ""),
        ("entry_events", "sessions", "Events that sessions begin with.", _ends("position = 1")),
        ("exit_events", "sessions", "Events that sessions end with.", _ends("event_2 IS NULL")),
        ("countries", "clean_events", "Countries with most events.", _places(("country",))),
        ("regions", "clean_events", "Regions with most events.", _places(("country", "region"))),
        ("cities", "clean_events", "Cities with most events.", _places(PLACES)),
        ("geography_methods", "clean_events", "How the place of an event is known.", _METHODS),
        (
            "regional_preferences",
            "clean_events",
            "Most frequent events, noise left out, of the regions with most of them.",
            _REGIONAL_PREFERENCES,
        ),
        ("city_patterns", "clean_events", "Activity, peak hour and favourite events of cities.", _CITY_PATTERNS),
        (
            "device_families",
            "clean_events",
            "Device families; the operating system on the web.",
            _ranked("device_family"),
        ),
        ("device_types", "clean_events", "Device types.", _ranked("device_type")),
        ("os_names", "clean_events", "Browsers on the web, operating systems on mobile.", _ranked("os_name")),
        ("os_versions", "clean_events", "Versions of os_name.", _ranked("os_name", "os_version")),
        ("platforms", "clean_events", "Platforms.", _ranked("platform")),
        ("languages", "clean_events", "Languages.", _ranked("language")),
        ("versions", "clean_events", "Versions of the product.", _ranked("version_name")),
        (
            "country_devices",
            "clean_events",
            "Pairs of country and device family with most events.",
            _ranked("country", "device_family"),
        ),
        ("hours", "clean_events", "UTC hours with an event.", _by_time("hour", "hour")),
        ("weekdays", "clean_events", "UTC weekdays with an event, 1 = Monday.", _by_time("weekday", "weekday")),
        ("weekday_hours", "clean_events", "All 168 UTC hours of the week.", _WEEKDAY_HOURS),
        ("months", "clean_events", "Months with an event, and the change between complete ones.", _MONTHS),
        ("years", "clean_events", "Calendar years with an event.", _by_time("year", "year(time)")),
        ("daily", "daily_metrics", "Dates, those without events inside the delivered years included.", _DAILY),
        ("busiest_days", "clean_events", "Dates with most events.", _BUSIEST_DAYS),
        ("busiest_hours", "clean_events", "UTC hours with most events.", _hours("DESC")),
        ("quietest_hours", "clean_events", "UTC hours with fewest events.", _hours("ASC")),
        ("peak_hour_by_weekday", "clean_events", "Busiest hour of each weekday.", _peak("weekday", "hour")),
        ("peak_weekday_by_hour", "clean_events", "Busiest weekday of each hour.", _peak("hour", "weekday")),
        (
            "session_hours",
            "sessions",
            "Durations of sessions by the UTC hour of their start.",
            _session_timing("hour", "hour(start_time)"),
        ),
        (
            "session_weekdays",
            "sessions",
            "Durations of sessions by the UTC weekday of their start.",
            _session_timing("weekday", "isodow(start_time)"),
        ),
        (
            "session_months",
            "sessions",
            "Durations of sessions by the month of their start.",
            _session_timing("month", "strftime(start_time, '%Y-%m')"),
        ),
        (
            "latency_by_country",
            "clean_events",
            "Upload latency of the countries with most events.",
            _latency("country"),
        ),
        ("latency_by_hour", "clean_events", "Upload latency by UTC hour of the event.", _latency("hour")),
        (
            "time_between_events",
            "clean_events",
            "Time since the event before it in the session, by event type.",
            _TIME_BETWEEN,
        ),
        ("distributions", "clean_events", "How measures of sessions, events, actors and days are spread.", ""),
    )
}
"""Every list of this module; those without a query take several."""
