"""Figures of the page "Retention & lifecycle": cohorts, states of actors, and how often they come.

Put here: reading the published tables, and counting the same over the events in scope. Keep out: wording and drawing.

Everything is about one delivery. Without a filter of countries, devices or segments the figures are those of
``spark_retention``, ``spark_user_lifecycle`` and ``spark_stickiness``; with one they are counted over its events by
the same definitions. The filter of days does not apply: cut short, everybody would be new on its first day.
"""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from analytics_assets.core.intervals import wilson
from dashboards import data, populations, selection, text
from dashboards.charts.cohorts import PeriodStates
from dashboards.selection import Scope

RETENTION, LIFECYCLE, STICKINESS = "spark_retention", "spark_user_lifecycle", "spark_stickiness"

PERIODS = {"day": 30, "week": 52}
"""Last period of a cohort, as in ``spark_retention``."""

DAYS = {"day": 1, "week": 7}

MONTH_DAYS = 30
"""Days of the longest window of stickiness."""

STATES = ("new", "returning", "resurrected", "dormant")


@dataclass(frozen=True)
class Cell:
    """One cohort so many periods after its first.

    Parameters
    ----------
    cohort : date
        First day of the cohort's period.
    period : int
        Days or weeks later.
    actors, active : int
        Of the cohort; those of them that came.
    complete : bool
        The period had ended when the data end.
    """

    cohort: date
    period: int
    actors: int
    active: int
    complete: bool


@dataclass(frozen=True)
class CurvePoint:
    """Share of all actors, of every cohort whose window has elapsed, that came so many periods later."""

    period: int
    cohorts: int
    actors: int
    active: int

    @property
    def share(self) -> float | None:
        """Mean weighted by the size of the cohorts; None without any."""
        return text.ratio(self.active, self.actors)

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson interval at 95 %: each actor is in one cohort, so it counts once."""
        return wilson(self.share or 0.0, self.actors)


@dataclass(frozen=True)
class Activity:
    """Distinct actors of a date, of 7 and of 30 days up to it; `complete` when all 30 days were observed."""

    day: date
    dau: int
    wau: int
    mau: int
    complete: bool


def cells(scope: Scope, year: str, granularity: str, population: str) -> list[Cell]:
    """Cohorts of a delivery by day or week, the first cohort first."""
    if not scope.narrowed_in_kind:
        found = data.query(
            "SELECT cohort, period, cohort_actors, active_actors, is_complete FROM {files} "
            f"WHERE granularity = '{granularity}' AND population = '{population}' ORDER BY cohort, period",
            [scope.lake.summary(year, RETENTION)],
            RETENTION,
        )
        return [Cell(*row) for row in found]
    observed = _observed(scope, year)
    if observed is None:
        return []
    start = "day" if granularity == "day" else f"date_trunc('{granularity}', day)::DATE"
    found = _rows(
        scope,
        year,
        population,
        f"""
        WITH active AS (SELECT DISTINCT actor, {start} AS period FROM days),
        aged AS (SELECT *, min(period) OVER (PARTITION BY actor) AS cohort FROM active)
        SELECT cohort, date_diff('day', cohort, period) // {DAYS[granularity]} AS age, count(*) FROM aged GROUP BY ALL
        """,
    )
    return _triangle({(cohort, age): number for cohort, age, number in found}, granularity, observed[1])


def _triangle(counted: dict[tuple[date, int], int], granularity: str, last: date) -> list[Cell]:
    """Cells of every cohort up to the last date observed, those without an actor included."""
    days = DAYS[granularity]
    made = []
    for cohort in sorted(cohort for cohort, age in counted if age == 0):
        for period in range(PERIODS[granularity] + 1):
            start = cohort + timedelta(days=period * days)
            if start > last:
                break
            complete = start + timedelta(days=days - 1) < last
            made.append(Cell(cohort, period, counted[cohort, 0], counted.get((cohort, period), 0), complete))
    return made


def curve(found: Sequence[Cell]) -> list[CurvePoint]:
    """Weighted mean over the cohorts by period, from cells whose window has elapsed."""
    points = []
    for period in sorted({cell.period for cell in found}):
        elapsed = [cell for cell in found if cell.period == period and cell.complete]
        if elapsed:
            actors, active = (sum(getattr(cell, name) for cell in elapsed) for name in ("actors", "active"))
            points.append(CurvePoint(period, len(elapsed), actors, active))
    return points


def states(scope: Scope, year: str, granularity: str, population: str) -> list[PeriodStates]:
    """New, returning, resurrected and dormant actors by day, week or month of a delivery."""
    if not scope.narrowed_in_kind:
        found = data.query(
            "SELECT period, new_actors, returning_actors, resurrected_actors, dormant_actors, is_complete FROM {files} "
            f"WHERE granularity = '{granularity}' AND population = '{population}' ORDER BY period",
            [scope.lake.summary(year, LIFECYCLE)],
            LIFECYCLE,
        )
        return [PeriodStates(*row) for row in found]
    observed = _observed(scope, year)
    if observed is None:
        return []
    start = f"date_trunc('{granularity}', day)::DATE"
    step = f"INTERVAL 1 {granularity}"
    found = _rows(
        scope,
        year,
        population,
        f"""
        WITH active AS (SELECT DISTINCT actor, {start} AS period FROM days),
        placed AS (
            SELECT period, lag(period) OVER own AS previous, lead(period) OVER own AS next FROM active
            WINDOW own AS (PARTITION BY actor ORDER BY period)
        )
        SELECT period, CASE WHEN previous IS NULL THEN 'new'
            WHEN (previous + {step})::DATE = period THEN 'returning' ELSE 'resurrected' END AS state, count(*)
        FROM placed GROUP BY ALL
        UNION ALL
        SELECT (period + {step})::DATE, 'dormant', count(*) FROM placed
        WHERE next IS NULL OR next > (period + {step})::DATE GROUP BY ALL
        """,
    )
    counted = {(period, state): number for period, state, number in found}
    made = []
    for period in _periods(*observed, granularity):
        new, returning, resurrected, dormant = (counted.get((period, state), 0) for state in STATES)
        complete = _end(period, granularity) < observed[1]
        made.append(PeriodStates(period, new, returning, resurrected, dormant, complete))
    return made


def _periods(first: date, last: date, granularity: str) -> list[date]:
    """First days of the periods from the one of `first` to the one of `last`; weeks begin on Monday."""
    start = {"day": first, "week": first - timedelta(days=first.weekday()), "month": first.replace(day=1)}[granularity]
    found = []
    while start <= last:
        found.append(start)
        start = _end(start, granularity) + timedelta(days=1)
    return found


def _end(start: date, granularity: str) -> date:
    """Last day of the period that begins on `start`."""
    if granularity == "month":
        return start.replace(day=calendar.monthrange(start.year, start.month)[1])
    return start + timedelta(days=DAYS[granularity] - 1)


def activity(scope: Scope, year: str, population: str) -> list[Activity]:
    """Daily, weekly and monthly active actors by date of a delivery."""
    if not scope.narrowed_in_kind:
        found = data.query(
            f"SELECT date, dau, wau, mau, is_complete FROM {{files}} WHERE population = '{population}' ORDER BY date",
            [scope.lake.summary(year, STICKINESS)],
            STICKINESS,
        )
        return [Activity(*row) for row in found]
    observed = _observed(scope, year)
    if observed is None:
        return []
    # An active date counts in the windows up to the actor's next one, so that each actor counts once in a window.
    found = _rows(
        scope,
        year,
        population,
        f"""
        WITH free AS (
            SELECT day, coalesce(date_diff('day', day, lead(day) OVER (PARTITION BY actor ORDER BY day)), {MONTH_DAYS})
                AS days
            FROM days
        ),
        windows AS (SELECT day, unnest(range(0, least(days, {MONTH_DAYS}))) AS age FROM free)
        SELECT (day + age::INTEGER)::DATE AS date, count_if(age = 0), count_if(age < 7), count(*)
        FROM windows GROUP BY ALL
        """,
    )
    counted = {day: (dau, wau, mau) for day, dau, wau, mau in found}
    first, last = observed
    return [
        Activity(day, *counted.get(day, (0, 0, 0)), day >= first + timedelta(days=MONTH_DAYS - 1))
        for day in _periods(first, last, "day")
    ]


def _observed(scope: Scope, year: str) -> tuple[date, date] | None:
    """First and last date inside the year of its delivery, whoever acted; None when there is none."""
    [(first, last)] = selection.rows(
        Scope(scope.lake),
        f"SELECT min(time)::DATE, max(time)::DATE FROM {{events}} WHERE year(time) = {int(year)}",
        clean_events=_delivery(scope, year),
    )
    return None if first is None else (first, last)


def _delivery(scope: Scope, year: str) -> data.Table:
    """Accepted events of one delivery."""
    files = [scope.lake.feature(name, year) for name in ("clean_events", "dropped_events")]
    return data.Table.of(files, "clean_events")


def _rows(scope: Scope, year: str, population: str, sql: str) -> list[tuple]:
    """Rows of a query that begins with WITH; ``days`` in it holds each actor's active dates inside the year."""
    tables = populations.tables(scope, population, [year])
    days = f"""
        days AS (
            SELECT DISTINCT actor, time::DATE AS day FROM {{events}}
            WHERE actor IS NOT NULL AND year(time) = {int(year)} AND {populations.of_events(population)}
        )"""
    whole = sql.replace("WITH ", f"WITH {days}, ", 1)
    return selection.rows(replace(scope, chosen=(), days=None), whole, clean_events=_delivery(scope, year), **tables)
