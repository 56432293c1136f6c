"""The latest weeks against those before them.

Put here: which days are compared, and their totals. Keep out: how a page shows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from dashboards import selection, text
from dashboards.selection import Scope

COMPARED_DAYS = 28
"""Four whole weeks: both sides have the same weekdays, which months do not."""


@dataclass(frozen=True)
class Totals:
    """Figures of a run of days.

    Parameters
    ----------
    first, last : date
        The days.
    events, users, sessions : int
        Counts.
    session_seconds_mean : float, optional
        Mean duration of the sessions that started on these days; None without one.
    """

    first: date
    last: date
    events: int
    users: int
    sessions: int
    session_seconds_mean: float | None

    @property
    def words(self) -> str:
        """The days for people."""
        return f"{text.day(self.first.isoformat())} to {text.day(self.last.isoformat())}"


@dataclass(frozen=True)
class Comparison:
    """The last `COMPARED_DAYS` whole days and as many before them."""

    current: Totals
    previous: Totals

    def change(self, name: str) -> float | None:
        """Relative change of one of the totals; None where there is nothing to compare with."""
        now, before = getattr(self.current, name), getattr(self.previous, name)
        return now / before - 1 if now is not None and before else None


def last_whole_day(scope: Scope) -> date | None:
    """The last day in scope that was over when the data end; None without one."""
    if scope.observed is None:
        return None
    last = scope.observed[1] - timedelta(days=1)
    if scope.days:
        last = min(last, scope.days[1])
    if scope.chosen:
        ends = [min(last, date(year, 12, 31)) for year in scope.chosen if date(year, 1, 1) <= last]
        return max(ends, default=None)
    return last


def latest(scope: Scope) -> Comparison | None:
    """The comparison; None when the scope does not hold enough days of data in a row."""
    last = last_whole_day(scope)
    if last is None or scope.observed is None:
        return None
    middle = last - timedelta(days=COMPARED_DAYS)
    first = middle - timedelta(days=COMPARED_DAYS - 1)
    days = [first + timedelta(days=number) for number in range(2 * COMPARED_DAYS)]
    if first < scope.observed[0] or not all(scope.covers(day) for day in days):
        return None
    [(now, before)] = selection.rows(
        scope,
        f"SELECT count(DISTINCT user_id) FILTER (time::DATE > '{middle}'), "
        f"count(DISTINCT user_id) FILTER (time::DATE <= '{middle}') "
        f"FROM {{events}} WHERE time >= '{first}' AND time < '{last + timedelta(days=1)}'",
    )
    return Comparison(_totals(scope, middle + timedelta(days=1), last, now), _totals(scope, first, middle, before))


def _totals(scope: Scope, first: date, last: date, users: int) -> Totals:
    own = [entry for entry in scope.daily if first.isoformat() <= entry["date"] <= last.isoformat()]
    sessions = sum(entry["sessions"] for entry in own)
    seconds = sum((entry["mean_session_seconds"] or 0) * entry["sessions"] for entry in own)
    return Totals(first, last, sum(entry["events"] for entry in own), users, sessions, text.ratio(seconds, sessions))
