"""Figures of the page "Sessions".

Put here: what is counted over the sessions in scope. Keep out: wording and drawing (``sessions.py``).

A session that crosses New Year has a row in each delivery; ``{sessions}`` joins them, so it counts once.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

from dashboards import selection
from dashboards.selection import Scope

DURATIONS: tuple[tuple[float, str], ...] = (
    (0, "0 s"), (1, "<1 s"), (10, "1–10 s"), (30, "10–30 s"), (60, "30–60 s"), (180, "1–3 m"), (600, "3–10 m"),
    (1_800, "10–30 m"), (3_600, "30–60 m"), (10_800, "1–3 h"), (36_000, "3–10 h"), (float("inf"), ">10 h"),
)  # fmt: skip
"""Upper ends and names of the classes of durations, in steps of about three: they reach from a millisecond to hours."""

EVENT_COUNTS: tuple[tuple[float, str], ...] = (
    (1, "1"), (2, "2"), (5, "3–5"), (10, "6–10"), (20, "11–20"), (50, "21–50"), (100, "51–100"), (200, "101–200"),
    (500, "201–500"), (float("inf"), ">500"),
)  # fmt: skip
"""Upper ends, included, and names of the classes of events per session; single events are a class of their own."""


@dataclass(frozen=True)
class Weighting:
    """Session durations under one way of counting, in seconds; None without observations."""

    observations: int
    mean: float | None
    median: float | None
    p95: float | None
    longest: float | None


@dataclass(frozen=True)
class SessionFigures:
    """Headline figures.

    Parameters
    ----------
    sessions : int
        Sessions that started in scope.
    over_sessions, over_events : Weighting
        Durations with every session counted once, and with every event carrying its session's duration.
    events_mean, events_median, events_p95 : float, optional
        Events per session.
    most_events : int, optional
        Events of the longest row of them.
    bounces : int
        Sessions with at most one step of intent.
    single_events : int
        Sessions of one event.
    over_new_year : int
        Sessions that end in another year than they start in.
    """

    sessions: int
    over_sessions: Weighting
    over_events: Weighting
    events_mean: float | None
    events_median: float | None
    events_p95: float | None
    most_events: int | None
    bounces: int
    single_events: int
    over_new_year: int


@dataclass(frozen=True)
class EntryEvent:
    """Sessions that begin with an event, and how many of them bounce."""

    event: str
    sessions: int
    bounces: int
    median_seconds: float


def figures(scope: Scope) -> SessionFigures:
    """Headline figures of the scope."""
    [row] = selection.rows(
        scope,
        """
        SELECT count(*), avg(seconds), quantile_cont(seconds, [0.5, 0.95]), max(seconds),
            sum(events)::BIGINT, sum(seconds * events) / nullif(sum(events), 0),
            avg(events), quantile_cont(events, [0.5, 0.95]), max(events)::BIGINT,
            count(*) FILTER (intent_events <= 1), count(*) FILTER (events = 1),
            count(*) FILTER (year(start_time) <> year(end_time))
        FROM {sessions}
        """,
    )
    sessions, mean, quantiles, longest, events, event_mean, events_mean, event_quantiles, most, *counts = row
    median, p95 = quantiles or (None, None)
    events_median, events_p95 = event_quantiles or (None, None)
    event_median, event_p95 = _over_events(scope, int(events or 0))
    return SessionFigures(
        sessions,
        Weighting(sessions, mean, median, p95, longest),
        Weighting(int(events or 0), event_mean, event_median, event_p95, longest),
        events_mean,
        events_median,
        events_p95,
        most,
        *counts,
    )


def _over_events(scope: Scope, events: int) -> tuple[float | None, float | None]:
    """Median and 95th percentile of durations over events, interpolated as over a row per event."""
    if not events:
        return None, None
    places = [(events - 1) * share for share in (0.5, 0.95)]
    wanted = sorted({int(end) for place in places for end in (floor(place), ceil(place))})
    # The value at place k of the row of all events is that of the first session whose running sum exceeds k.
    columns = ", ".join(f"min(seconds) FILTER (upto > {place})" for place in wanted)
    [row] = selection.rows(
        scope,
        f"""
        SELECT {columns} FROM (
            SELECT seconds, sum(sum(events)) OVER (ORDER BY seconds) AS upto FROM {{sessions}} GROUP BY seconds
        )
        """,
    )
    at = dict(zip(wanted, row, strict=True))
    median, p95 = (at[floor(place)] + (place - floor(place)) * (at[ceil(place)] - at[floor(place)]) for place in places)
    return median, p95


def distribution(scope: Scope, column: str, classes: tuple[tuple[float, str], ...]) -> list[tuple[str, int, int]]:
    """Sessions and their events by class of a column; classes without sessions are zero.

    Parameters
    ----------
    scope : Scope
        The filters.
    column : str
        Column of ``{sessions}``.
    classes : tuple
        Upper ends, included, and names, in order.
    """
    cases = " ".join(f"WHEN {column} <= {end} THEN {place}" for place, (end, _) in enumerate(classes[:-1]))
    counted = {
        place: (sessions, events)
        for place, sessions, events in selection.rows(
            scope,
            f"SELECT CASE {cases} ELSE {len(classes) - 1} END AS place, count(*), sum(events)::BIGINT "
            "FROM {sessions} GROUP BY place ORDER BY place",
        )
    }
    return [(name, *counted.get(place, (0, 0))) for place, (_, name) in enumerate(classes)]


def entries(scope: Scope, limit: int) -> list[EntryEvent]:
    """Events that sessions begin with, the most frequent first."""
    return [
        EntryEvent(*row)
        for row in selection.rows(
            scope,
            "SELECT entry_event, count(*), count(*) FILTER (intent_events <= 1), median(seconds) "
            f"FROM {{sessions}} GROUP BY entry_event ORDER BY 2 DESC, 1 LIMIT {limit}",
        )
    ]


def exits(scope: Scope, limit: int) -> list[tuple[str, int]]:
    """Events that sessions end with, the most frequent first."""
    found = selection.rows(
        scope, f"SELECT exit_event, count(*) FROM {{sessions}} GROUP BY exit_event ORDER BY 2 DESC, 1 LIMIT {limit}"
    )
    return [(name, number) for name, number in found]


def starts(scope: Scope) -> list[list[int]]:
    """Sessions by UTC weekday (Monday first) and hour of their start."""
    counted = [[0] * 24 for _ in range(7)]
    for weekday, hour, number in selection.rows(
        scope, "SELECT isodow(start_time), hour(start_time), count(*) FROM {sessions} GROUP BY ALL"
    ):
        counted[weekday - 1][hour] = number
    return counted
