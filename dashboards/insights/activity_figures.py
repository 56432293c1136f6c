"""Figures of the page "Activity".

Put here: months, busiest days and local time. Keep out: wording and drawing (``activity.py``), the week's hours
(``selection.py``, which the overview shows, too).
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import date
from statistics import median

from dashboards import selection
from dashboards.charts.country_places import has_one_clock
from dashboards.selection import Scope


@dataclass(frozen=True)
class Month:
    """One calendar month.

    Parameters
    ----------
    name : str
        As in ``2024-03``.
    events, actors, sessions : int
        Counts.
    is_whole : bool
        Whether the data and the filters cover every day of it.
    change : float, optional
        Events against the month before, less one; None unless both are whole and the one before has events.
    """

    name: str
    events: int
    actors: int
    sessions: int
    is_whole: bool
    change: float | None


@dataclass(frozen=True)
class BusyDay:
    """One of the busiest days.

    Parameters
    ----------
    day : date
        In UTC.
    events, sessions : int
        Counts.
    usual : float
        Median events of the days of the same weekday in scope.
    """

    day: date
    events: int
    sessions: int
    usual: float


def months(scope: Scope) -> list[Month]:
    """Months in scope, in order."""
    found: list[Month] = []
    for entry in scope.months:
        before = found[-1] if found else None
        is_whole = _is_whole(scope, entry["month"])
        follows = before is not None and _next(before.name) == entry["month"]
        change = None
        if before is not None and follows and is_whole and before.is_whole and before.events:
            change = entry["events"] / before.events - 1
        found.append(Month(entry["month"], entry["events"], entry["actors"], entry["sessions"], is_whole, change))
    return found


def _next(month: str) -> str:
    year, number = map(int, month.split("-"))
    return f"{year + number // 12}-{number % 12 + 1:02}"


def _is_whole(scope: Scope, month: str) -> bool:
    year, number = map(int, month.split("-"))
    days = [date(year, number, day) for day in range(1, monthrange(year, number)[1] + 1)]
    return (
        scope.observed is not None
        and str(year) in scope.results["years"]
        and scope.observed[0] <= days[0]
        and days[-1] <= scope.observed[1]
        and all(scope.covers(day) for day in days)
    )


def busiest_days(scope: Scope, limit: int) -> list[BusyDay]:
    """The days with most events; of equal ones the earlier first."""
    by_weekday: dict[int, list[int]] = {}
    for entry in scope.daily:
        by_weekday.setdefault(date.fromisoformat(entry["date"]).weekday(), []).append(entry["events"])
    usual = {weekday: float(median(counts)) for weekday, counts in by_weekday.items()}
    ranked = sorted(
        (entry for entry in scope.daily if entry["events"]), key=lambda entry: (-entry["events"], entry["date"])
    )
    found = []
    for entry in ranked[:limit]:
        day = date.fromisoformat(entry["date"])
        found.append(BusyDay(day, entry["events"], entry["sessions"], usual[day.weekday()]))
    return found


def by_clock(scope: Scope) -> tuple[list[int], list[int]]:
    """Events by UTC hour from countries with one clock, and those whose local time is unknown.

    The exports name no time zone. Where all of a country has one clock, local time follows from the country; in the
    others, and without a country, it does not. Imputed countries count as unknown.
    """
    known, unknown = [0] * 24, [0] * 24
    for hour, code, number in selection.rows(
        scope,
        "SELECT hour(time), CASE WHEN country_method = 'observed' THEN country_code END, count(*) FROM {events} "
        "WHERE time IS NOT NULL GROUP BY ALL",
    ):
        (known if has_one_clock(code) else unknown)[hour] += number
    return known, unknown
