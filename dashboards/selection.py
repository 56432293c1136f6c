"""Figures of the chosen calendar years.

Put here: what a page's year filter means. Keep out: reading files (``data.py``) and drawing.

Without a filter every figure is the published one (``analysis_results``). With one, the same figures are counted from
the feature tables over the events whose UTC time lies in the chosen years, and over the sessions that started in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from analytics_assets.core.lake import Lake
from dashboards import data, text

TOP = 20
"""Rows of a ranked list, as many as the published lists have."""

Ranking = list[tuple[str | None, int]]

_OBSERVED_COUNTRY = "CASE WHEN country_method = 'observed' THEN country END"
"""Country of an event as the published list counts it: imputed ones left out."""


@dataclass(frozen=True)
class Scope:
    """What the insights pages speak about.

    Parameters
    ----------
    lake : Lake
        Where the files lie.
    chosen : tuple of int
        Calendar years to narrow the figures to; empty for all.
    """

    lake: Lake
    chosen: tuple[int, ...] = ()

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
        return sorted(self.chosen) or self.all_years

    @property
    def narrowed(self) -> bool:
        """Whether the filter leaves something out."""
        return bool(self.chosen) and set(self.chosen) != set(self.all_years)

    @property
    def as_of(self) -> str:
        """Time of the last event in the data, for people."""
        return text.minute(self.results["data_as_of"])

    @cached_property
    def daily(self) -> list[dict[str, Any]]:
        """Days in scope, those without events included."""
        years = set(self.years)
        return [entry for entry in self.results["lists"]["daily"] if int(entry["date"][:4]) in years]

    @cached_property
    def months(self) -> list[dict[str, Any]]:
        """Months in scope, those without events included."""
        active = {entry["month"]: entry for entry in self.results["lists"]["months"]}
        names = dict.fromkeys(entry["date"][:7] for entry in self.daily)
        return [active.get(name, {"month": name, "events": 0, "actors": 0, "sessions": 0}) for name in names]

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
    inside = f"year(time) IN ({', '.join(str(year) for year in scope.chosen)})"
    started = inside.replace("time", "start_time")
    # A session that crosses New Year has one row in each delivery.
    visits = """(
        SELECT session_key, min(start_time) AS start_time,
            date_diff('microsecond', min(start_time), max(end_time)) / 1e6 AS seconds, sum(events) AS events,
            arg_min(entry_event, (start_time, end_time)) AS entry_event,
            arg_max(exit_event, (end_time, start_time)) AS exit_event
        FROM {files} GROUP BY session_key
    )"""

    def events(columns: str, rest: str = "") -> list[tuple[Any, ...]]:
        return _rows(scope, "clean_events", f"SELECT {columns} FROM {{files}} WHERE {inside} {rest}")

    def sessions(columns: str, rest: str = "") -> list[tuple[Any, ...]]:
        return _rows(scope, "sessions", f"SELECT {columns} FROM {visits} WHERE {started} {rest}")

    def ranked(column: str) -> str:
        return f"GROUP BY ALL ORDER BY 2 DESC, {column} NULLS LAST LIMIT {TOP}"

    def ranking(rows: Sequence[tuple[Any, ...]]) -> Ranking:
        return [(name, number) for name, number in rows]

    [(event_count, users)] = events("count(*), count(DISTINCT user_id)")
    [(session_count, mean, event_mean)] = sessions(
        "count(*), avg(seconds), sum(seconds * events) / nullif(sum(events), 0)"
    )
    return Figures(
        events=event_count,
        users=users,
        sessions=session_count,
        session_seconds_mean=mean,
        event_session_seconds_mean=event_mean,
        top_events=ranking(events("event_type, count(*)", ranked("event_type"))),
        entry_events=ranking(sessions("entry_event, count(*)", ranked("entry_event"))),
        exit_events=ranking(sessions("exit_event, count(*)", ranked("exit_event"))),
        countries=ranking(events(f"{_OBSERVED_COUNTRY} AS country, count(*)", ranked("country"))),
        device_families=ranking(events("device_family, count(*)", ranked("device_family"))),
    )


def by_weekday_and_hour(scope: Scope) -> list[list[int]]:
    """Events by UTC weekday (Monday first) and hour."""
    counted = [[0] * 24 for _ in range(7)]
    rows = _rows(
        scope,
        "clean_events",
        "SELECT year(time), isodow(time), hour(time), count(*) FROM {files} GROUP BY ALL",
    )
    years = set(scope.years)
    for year, weekday, hour, number in rows:
        if year in years:
            counted[weekday - 1][hour] += number
    return counted


def _rows(scope: Scope, table: str, sql: str) -> list[tuple[Any, ...]]:
    # The published figures count what cleaning sets aside, too.
    tables = ("clean_events", "dropped_events") if table == "clean_events" else (table,)
    files = [scope.lake.feature(name, year) for name in tables for year in scope.results["years"]]
    return data.query(sql, files, table)


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
