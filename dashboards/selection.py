"""What the global filters mean, and the headline figures under them.

Put here: the scope of a page and what it counts. Keep out: reading files (``data.py``), drawing, and figures that only
one page shows (modules beside the pages).

Without a filter every figure is the published one (``analysis_results``). With one, the same figures are counted from
the feature tables: over the events whose own time (UTC), country, device and segment are chosen, and over the sessions
that started in the chosen time and whose own country, device and segment are chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any

from analytics_assets.core.lake import Lake
from dashboards import data, text

TOP = 20
"""Rows of a ranked list, as many as the published lists have."""

Ranking = list[tuple[str | None, int]]

_OBSERVED_COUNTRY = "CASE WHEN country_method = 'observed' THEN country END"
"""Country of an event as the published list counts it: imputed ones left out."""


_RANKED = {
    "observed_country": ("countries", "country"),
    "device_family": ("device_families", "device_family"),
    "event_type": ("top_events", "event_type"),
}
"""By column of the events, the published list that ranks its values and the key of a value in it."""


@dataclass(frozen=True)
class Scope:
    """What the insights pages speak about.

    Parameters
    ----------
    lake : Lake
        Where the files lie.
    chosen : tuple of int
        Calendar years to narrow the figures to; empty for all.
    days : tuple of date, optional
        First and last day to narrow the figures to.
    countries, devices : tuple of str
        Observed countries and device families; empty for all.
    segments : tuple of int
        Segments of ``kmeans_segments``; empty for all.
    """

    lake: Lake
    chosen: tuple[int, ...] = ()
    days: tuple[date, date] | None = None
    countries: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    segments: tuple[int, ...] = ()

    @property
    def results(self) -> dict[str, Any]:
        """The published figures."""
        return data.results(self.lake)

    @property
    def all_years(self) -> list[int]:
        """Calendar years with an event."""
        return [entry["year"] for entry in self.results["lists"]["years"]]

    @property
    def years(self) -> list[int]:
        """Calendar years in scope."""
        years = sorted(self.chosen) or self.all_years
        if self.days:
            years = [year for year in years if self.days[0].year <= year <= self.days[1].year]
        return years

    @property
    def narrowed(self) -> bool:
        """Whether a filter leaves something out."""
        return self.narrowed_in_time or self.narrowed_in_kind

    @property
    def narrowed_in_time(self) -> bool:
        """Whether the filters of years or days leave something out."""
        return self.days is not None or (bool(self.chosen) and set(self.chosen) != set(self.all_years))

    @property
    def narrowed_in_kind(self) -> bool:
        """Whether countries, devices or segments are chosen."""
        return bool(self.countries or self.devices or self.segments)

    @property
    def words(self) -> str:
        """The filters for people, as plain text; empty without any."""
        parts = []
        if self.chosen and set(self.chosen) != set(self.all_years):
            parts.append(text.span(self.chosen))
        if self.days:
            parts.append(" to ".join(dict.fromkeys(text.day(day.isoformat()) for day in self.days)))
        parts += [text.visible(name) for name in (*self.countries, *self.devices)]
        if self.segments:
            parts.append(f"segment {text.listed([str(segment) for segment in self.segments])}")
        return ", ".join(parts)

    def covers(self, day: date) -> bool:
        """Whether the filters of years and days include a day."""
        inside = self.days is None or self.days[0] <= day <= self.days[1]
        return inside and (not self.chosen or day.year in self.chosen)

    @property
    def as_of(self) -> str:
        """Time of the last event in the data, for people."""
        return text.minute(self.results["data_as_of"])

    @cached_property
    def daily(self) -> list[dict[str, Any]]:
        """Days in scope, those without events included."""
        if self.narrowed_in_kind:
            return _counted_daily(self)
        return [entry for entry in self.results["lists"]["daily"] if self.covers(date.fromisoformat(entry["date"]))]

    @cached_property
    def months(self) -> list[dict[str, Any]]:
        """Months in scope, those without events included."""
        listed = _counted_months(self) if self.narrowed else self.results["lists"]["months"]
        active = {entry["month"]: entry for entry in listed}
        names = dict.fromkeys(entry["date"][:7] for entry in self.daily)
        return [active.get(name, {"month": name, "events": 0, "actors": 0, "sessions": 0}) for name in names]

    @cached_property
    def event_counts(self) -> EventCounts:
        """Events in scope, counted."""
        return EventCounts.of(self)

    @cached_property
    def session_counts(self) -> SessionCounts:
        """Sessions in scope, counted."""
        return SessionCounts.of(self)

    @cached_property
    def observed(self) -> tuple[date, date] | None:
        """First and last day with events in the delivered years; None without any. The last one may not be over."""
        inside = [entry["date"] for entry in self.results["lists"]["daily"] if not entry["outside_year"]]
        return (date.fromisoformat(min(inside)), date.fromisoformat(max(inside))) if inside else None

    def metric(self, name: str) -> dict[str, Any]:
        """One published metric with its meaning, over all years."""
        return published_metric(self.lake, name)


@dataclass(frozen=True)
class Figures:
    """Headline figures and ranked lists of a scope."""

    events: int
    users: int
    sessions: int
    session_seconds_mean: float | None
    event_session_seconds_mean: float | None
    top_events: Ranking
    entry_events: Ranking
    exit_events: Ranking
    countries: Ranking
    device_families: Ranking


def published_metric(lake: Lake, name: str) -> dict[str, Any]:
    """One published metric with its meaning."""
    for metric in data.results(lake)["metrics"]:
        if metric["name"] == name:
            return metric
    raise data.DamagedFileError(lake.analysis_results(), "analysis_results", f"it has no metric {name!r}")


def figures(scope: Scope) -> Figures:
    """Figures of the scope."""
    return _counted(scope) if scope.narrowed else _published(scope)


def _published(scope: Scope) -> Figures:
    lists = scope.results["lists"]

    def ranking(name: str, key: str, number: str) -> Ranking:
        return [(entry[key], entry[number]) for entry in lists[name]]

    def value(name: str) -> Any:
        return scope.metric(name)["value"]

    return Figures(
        events=value("events") or 0,
        users=value("users") or 0,
        sessions=value("sessions") or 0,
        session_seconds_mean=value("session_seconds_mean"),
        event_session_seconds_mean=value("event_session_seconds_mean"),
        top_events=ranking("top_events", "event_type", "events"),
        entry_events=ranking("entry_events", "event_type", "sessions"),
        exit_events=ranking("exit_events", "event_type", "sessions"),
        countries=ranking("countries", "country", "events"),
        device_families=ranking("device_families", "device_family", "events"),
    )


def _counted(scope: Scope) -> Figures:
    events, sessions = scope.event_counts, scope.session_counts
    return Figures(
        events=events.events,
        users=events.users,
        sessions=sessions.sessions,
        session_seconds_mean=sessions.seconds_mean,
        event_session_seconds_mean=sessions.event_seconds_mean,
        top_events=events.event_types,
        entry_events=sessions.entry_events,
        exit_events=sessions.exit_events,
        countries=events.countries,
        device_families=events.device_families,
    )


def _counted_daily(scope: Scope) -> list[dict[str, Any]]:
    events, sessions = scope.event_counts.days, scope.session_counts.days
    active = events.keys() | sessions.keys()
    if not active:
        return []
    first, last = min(active), max(active)
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    counted = []
    for day in days:
        if scope.covers(day):
            started, seconds = sessions.get(day, (0, None))
            counted.append(
                {
                    "date": day.isoformat(),
                    "events": events.get(day, 0),
                    "sessions": started,
                    "mean_session_seconds": seconds,
                }
            )
    return counted


def _counted_months(scope: Scope) -> list[dict[str, Any]]:
    started: dict[str, int] = {}
    for day, (sessions, _) in scope.session_counts.days.items():
        month = day.isoformat()[:7]
        started[month] = started.get(month, 0) + sessions
    return [
        {"month": month, "events": number, "actors": actors, "sessions": started.get(month, 0)}
        for month, (number, actors) in sorted(scope.event_counts.months.items())
    ]


@dataclass(frozen=True)
class EventCounts:
    """Events in scope by all that is shown of them.

    Parameters
    ----------
    events, users : int
        All events and the different user ids.
    top_actor_share : float, optional
        Share of the most active actor in the events that have one; None without any.
    days : dict of date to int
        Events of each UTC day that has any.
    months : dict of str to (int, int)
        Events and actors of each UTC month that has events, such as "2024-05".
    hours : dict of (int, int) to int
        Events by UTC weekday, Monday 1, and hour.
    event_types, countries, device_families : Ranking
        The most frequent ones, a missing value last among equals; countries as observed.
    """

    events: int
    users: int
    top_actor_share: float | None
    days: dict[date, int]
    months: dict[str, tuple[int, int]]
    hours: dict[tuple[int, int], int]
    event_types: Ranking
    countries: Ranking
    device_families: Ranking

    @classmethod
    def of(cls, scope: Scope) -> EventCounts:
        """Counted in one pass: asked one by one the figures take three times as long."""
        ranked = " UNION ALL ".join(
            f"(SELECT '{column}', {column}, NULL, number, NULL FROM counted WHERE part = '{column}' "
            f"ORDER BY number DESC, {column} NULLS LAST LIMIT {TOP})"
            for column in _RANKED
        )
        parts: dict[str, list[tuple[Any, ...]]] = {}
        for part, *values in rows(
            scope,
            f"""
            WITH counted AS MATERIALIZED (
                SELECT count(*) AS number, day, day_hour, month, actor, user_id, {", ".join(_RANKED)},
                    CASE
                        WHEN grouping(day) = 0 THEN 'day'
                        WHEN grouping(day_hour) = 0 THEN 'day_hour'
                        WHEN grouping(actor) = 0 THEN 'actor'
                        WHEN grouping(user_id) = 0 THEN 'user_id'
                        {" ".join(f"WHEN grouping({column}) = 0 THEN '{column}'" for column in _RANKED)}
                    END AS part
                FROM (
                    SELECT *, time::DATE AS day, 24 * isodow(time) + hour(time) AS day_hour,
                        date_trunc('month', time) AS month
                    FROM {{events}}
                )
                GROUP BY GROUPING SETS (
                    (day), (day_hour), (month, actor), (user_id), {", ".join(f"({column})" for column in _RANKED)}
                )
            )
            SELECT 'all', NULL, NULL, coalesce(sum(number), 0)::BIGINT, count(user_id)
            FROM counted WHERE part = 'user_id'
            UNION ALL SELECT 'actor', NULL, NULL, sum(number)::BIGINT, max(number)::BIGINT FROM (
                SELECT sum(number) AS number FROM counted WHERE part = 'actor' AND actor IS NOT NULL GROUP BY actor
            )
            UNION ALL SELECT 'day', NULL, day, number, NULL FROM counted WHERE part = 'day' AND day IS NOT NULL
            UNION ALL SELECT part, day_hour::VARCHAR, NULL, number, NULL
            FROM counted WHERE part = 'day_hour' AND day_hour IS NOT NULL
            UNION ALL SELECT 'month', strftime(month, '%Y-%m'), NULL, sum(number)::BIGINT, count(actor)
            FROM counted WHERE part = 'actor' AND month IS NOT NULL GROUP BY month
            UNION ALL {ranked}
            """,
        ):
            parts.setdefault(part, []).append(tuple(values))

        def ranking(column: str) -> Ranking:
            return largest({name: number for name, _, number, _ in parts.get(column, [])})

        [(_, _, events, users)] = parts["all"]
        [(_, _, with_actor, most)] = parts["actor"]
        return cls(
            events=events,
            users=users,
            top_actor_share=text.ratio(most, with_actor) if with_actor else None,
            days={day: number for _, day, number, _ in parts.get("day", [])},
            months={month: (number, actors) for month, _, number, actors in parts.get("month", [])},
            hours={divmod(int(place), 24): number for place, _, number, _ in parts.get("day_hour", [])},
            event_types=ranking("event_type"),
            countries=ranking("observed_country"),
            device_families=ranking("device_family"),
        )


@dataclass(frozen=True)
class SessionCounts:
    """Sessions in scope by all that is shown of them.

    Parameters
    ----------
    sessions : int
        All sessions.
    seconds_mean, event_seconds_mean : float, optional
        Mean duration over sessions, and over their events; None without any.
    days : dict of date to (int, float)
        Sessions that started on each UTC day that has any, and their mean duration in seconds.
    entry_events, exit_events : Ranking
        The most frequent first and last events.
    """

    sessions: int
    seconds_mean: float | None
    event_seconds_mean: float | None
    days: dict[date, tuple[int, float | None]]
    entry_events: Ranking
    exit_events: Ranking

    @classmethod
    def of(cls, scope: Scope) -> SessionCounts:
        """Counted in one pass, because putting sessions together costs most of it."""
        counted = rows(
            scope,
            """
            SELECT grouping(day) = 0, grouping(entry_event) = 0, grouping(exit_event) = 0,
                day, entry_event, exit_event,
                count(*), avg(seconds), sum(seconds * events) / nullif(sum(events), 0)
            FROM (SELECT *, start_time::DATE AS day FROM {sessions})
            GROUP BY GROUPING SETS ((), (day), (entry_event), (exit_event))
            """,
        )
        entries: dict[str | None, int] = {}
        exits: dict[str | None, int] = {}
        days: dict[date, tuple[int, float | None]] = {}
        every: tuple[int, float | None, float | None] = (0, None, None)
        for by_day, by_entry, by_exit, day, entry, exit_, number, mean, event_mean in counted:
            if by_day:
                days[day] = (number, mean)
            elif by_entry:
                entries[entry] = number
            elif by_exit:
                exits[exit_] = number
            else:
                every = (number, mean, event_mean)
        return cls(*every, days, largest(entries)[:TOP], largest(exits)[:TOP])


def largest(counted: dict[str | None, int]) -> Ranking:
    """Counts in falling order, equal ones by name, a missing name last."""
    return sorted(counted.items(), key=lambda row: (-row[1], row[0] is None, row[0] or ""))


def top_actor_share(scope: Scope) -> float | None:
    """Share of the most active actor in the events that have an actor; None without any."""
    return scope.event_counts.top_actor_share if scope.narrowed else scope.metric("top_actor_share")["value"]


def by_weekday_and_hour(scope: Scope) -> list[list[int]]:
    """Events by UTC weekday (Monday first) and hour."""
    hours = scope.event_counts.hours
    return [[hours.get((weekday, hour), 0) for hour in range(24)] for weekday in range(1, 8)]


def rows(scope: Scope, sql: str, **tables: data.Table) -> list[tuple[Any, ...]]:
    """Rows of a query over what is in scope.

    Parameters
    ----------
    scope : Scope
        The filters.
    sql : str
        ``{events}`` in it stands for the events in scope: columns of ``clean_events`` and `observed_country`; those
        that cleaning set aside are included, as in the published figures. ``{sessions}`` stands for the sessions in
        scope: `session_key`, `actor`, `actor_class`, `start_time`, `end_time`, `seconds`, `events`, `intent_events`,
        `entry_event`, `exit_event`, `country`, `device_family`; a session that crosses New Year is one row.
    tables : Table
        Further tables, each named in `sql` by its keyword in braces.
    """
    sql = sql.replace("{events}", _events(scope)).replace("{sessions}", _sessions(scope))
    # A delivery holds few events of another year, so every delivery is read.
    years = scope.results["years"]
    own = {
        # The published figures count what cleaning sets aside, too.
        "clean_events": [
            scope.lake.feature(name, year) for name in ("clean_events", "dropped_events") for year in years
        ],
        "session_parts": [scope.lake.feature("sessions", year) for year in years],
        "assignments": [scope.lake.model("kmeans_segments") / "assignments.parquet"],
    }
    assets = {"clean_events": "clean_events", "session_parts": "sessions", "assignments": "kmeans_segments"}
    used = {name: data.Table.of(files, assets[name]) for name, files in own.items() if "{" + name + "}" in sql}
    return data.query_tables(sql, {**used, **tables})


def _events(scope: Scope) -> str:
    where = _where(scope, "time", "observed_country")
    return f"(SELECT * FROM (SELECT *, {_OBSERVED_COUNTRY} AS observed_country FROM {{clean_events}}) {where})"


def _sessions(scope: Scope) -> str:
    # A session that crosses New Year has one row in each delivery.
    return f"""(
        SELECT * FROM (
            SELECT session_key, any_value(actor) AS actor, any_value(actor_class) AS actor_class,
                min(start_time) AS start_time, max(end_time) AS end_time,
                date_diff('microsecond', min(start_time), max(end_time)) / 1e6 AS seconds,
                sum(events) AS events, sum(intent_events) AS intent_events,
                arg_min(entry_event, (start_time, end_time)) AS entry_event,
                arg_max(exit_event, (end_time, start_time)) AS exit_event,
                arg_min(country, (start_time, end_time)) AS country,
                arg_min(device_family, (start_time, end_time)) AS device_family
            FROM {{session_parts}} GROUP BY session_key
        ) {_where(scope, "start_time", "country")}
    )"""


def _where(scope: Scope, time: str, country: str) -> str:
    conditions = []
    if scope.chosen:
        conditions.append(f"year({time}) IN ({', '.join(str(year) for year in scope.chosen)})")
    if scope.days:
        first, last = scope.days
        conditions.append(f"{time}::DATE BETWEEN '{first.isoformat()}' AND '{last.isoformat()}'")
    for column, names in ((country, scope.countries), ("device_family", scope.devices)):
        if names:
            conditions.append(f"{column} IN ({', '.join(quoted(name) for name in names)})")
    if scope.segments:
        chosen = ", ".join(str(segment) for segment in scope.segments)
        conditions.append(f"actor IN (SELECT actor FROM {{assignments}} WHERE segment IN ({chosen}))")
    return f"WHERE {' AND '.join(conditions)}" if conditions else ""


def quoted(name: str) -> str:
    """Text as an SQL literal; braces are kept out of the way of relations' names."""
    literal = "'" + name.replace("'", "''") + "'"
    return literal.replace("{", "' || chr(123) || '")


def names(scope: Scope, column: str) -> list[str]:
    """Values of a column of the events in scope, the most frequent first."""
    published, key = _RANKED.get(column, ("", ""))
    ranked = scope.results["lists"].get(published, [])
    if not scope.narrowed and 0 < len(ranked) < TOP:
        # The list holds them all; every page draws the filters and should not count the events for them.
        return [entry[key] for entry in ranked if entry[key] is not None]
    try:
        found = rows(
            scope,
            f"SELECT {column}, count(*) FROM {{events}} WHERE {column} IS NOT NULL GROUP BY ALL ORDER BY 2 DESC, 1",
        )
    except data.LakeFileError:
        return []  # The part of the page that needs the file says so.
    return [name for name, _ in found]


def segment_names(lake: Lake) -> dict[int, str]:
    """Names of the segments by number; empty when there are none."""
    files = [lake.model("kmeans_segments") / "assignments.parquet"]
    try:
        found = data.query(
            "SELECT DISTINCT segment, segment_name FROM {files} WHERE segment >= 0 ORDER BY 1", files, "kmeans_segments"
        )
    except data.LakeFileError:
        return {}
    return dict(found)


def segment_points(lake: Lake, limit: int) -> tuple[list[tuple[int, str, float, float]], int]:
    """Places of at most `limit` clustered actors and how many there are in all.

    The choice is by a hash of the actor, so that it is the same at every visit and favours no segment.
    """
    files = [lake.model("kmeans_segments") / "assignments.parquet"]
    [(number,)] = data.query("SELECT count(*) FROM {files} WHERE segment >= 0", files, "kmeans_segments")
    points = data.query(
        "SELECT segment, segment_name, component_1, component_2 FROM {files} WHERE segment >= 0 "
        f"ORDER BY hash(actor), actor LIMIT {limit}",
        files,
        "kmeans_segments",
    )
    return [(row[0], row[1], row[2], row[3]) for row in points], number
