"""Actors over time: who comes back, who is new, who stays away, how often they come.

Put here: tables of actors by date, week and month. Keep out: counts of events by time (``temporal.py``).

Only dates inside the delivery year count: one event of a clock that is decades off would otherwise make a row for every
day in between. Events without an actor are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analytics_assets.core.summaries.frames import Frames, by_population
from analytics_assets.schemas import POPULATIONS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

PERIODS = {"day": 30, "week": 52}
"""Last period of a cohort, by granularity."""

GRANULARITIES = ("day", "week", "month")
WEEK_DAYS, MONTH_DAYS = 7, 30


def _active_dates(frames: Frames) -> DataFrame:
    """One row per actor and date inside the delivery year: ``actor``, ``is_person``, ``is_top``, ``date``."""
    return frames.cached(
        "active_dates",
        lambda: (
            frames.activity.where(f"actor IS NOT NULL AND year(date) = {frames.year}")
            .select("actor", "is_person", "is_top", "date")
            .distinct()
        ),
    )


def _observed(frames: Frames) -> DataFrame:
    """The one row of ``first_date`` and ``last_date`` inside the year, whoever acted; no row when there is none."""
    from pyspark.sql import functions as F

    return (
        frames.activity.where(f"year(date) = {frames.year}")
        .agg(F.min("date").alias("first_date"), F.max("date").alias("last_date"))
        .where("first_date IS NOT NULL")
    )


def _periods(granularities: tuple[str, ...]) -> str:
    """Generator of a date's periods: their granularity and first day; weeks begin on Monday."""
    starts = {name: "date" if name == "day" else f"trunc(date, '{name}')" for name in granularities}
    pairs = ", ".join(f"'{name}', {start}" for name, start in starts.items())
    return f"stack({len(starts)}, {pairs}) AS (granularity, period)"


def _end(start: str) -> str:
    """Last day of the period that begins on `start`."""
    return f"CASE granularity WHEN 'day' THEN {start} WHEN 'week' THEN date_add({start}, 6) ELSE last_day({start}) END"


def retention(frames: Frames) -> DataFrame:
    """Actors that come back, by day and week of their first event in the year: see ``SPARK_RETENTION``."""
    from pyspark.sql import functions as F

    granularities = tuple(PERIODS)
    days = "CASE granularity WHEN 'day' THEN 1 ELSE 7 END"
    limit = " ".join(f"WHEN '{name}' THEN {last}" for name, last in PERIODS.items())
    active = _active_dates(frames).selectExpr("actor", "is_person", "is_top", _periods(granularities)).distinct()
    aged = active.selectExpr(
        "*", "min(period) OVER (PARTITION BY granularity, actor) AS cohort"
    ).selectExpr("*", f"CAST(datediff(period, cohort) DIV {days} AS INT) AS age")  # fmt: skip
    counted = aged.groupBy("granularity", "cohort", "age", "is_person", "is_top").agg(F.count(F.lit(1)).alias("actors"))
    populated = (
        by_population(counted)
        .groupBy("population", "granularity", "cohort", "age")
        .agg(F.sum("actors").alias("active_actors"))
    )
    cohorts = populated.where("age = 0").selectExpr(
        "population", "granularity", "cohort", "active_actors AS cohort_actors"
    )
    every = (
        cohorts.crossJoin(F.broadcast(_observed(frames)))
        .selectExpr("*", f"explode(sequence(0, CASE granularity {limit} END)) AS age")
        .selectExpr("*", f"date_add(cohort, age * {days}) AS start")
        .where("start <= last_date")
    )
    joined = every.join(populated, ["population", "granularity", "cohort", "age"], "left")
    return joined.selectExpr(
        "population", "granularity", "cohort", "CAST(age AS BIGINT) AS period", "cohort_actors",
        "coalesce(active_actors, 0) AS active_actors",
        "CAST(coalesce(active_actors, 0) AS DOUBLE) / cohort_actors AS retention",
        f"{_end('start')} < last_date AS is_complete",
    )  # fmt: skip


def user_lifecycle(frames: Frames) -> DataFrame:
    """New, returning, resurrected and dormant actors by day, week and month: see ``SPARK_USER_LIFECYCLE``."""
    from pyspark.sql import functions as F

    active = _active_dates(frames).selectExpr("actor", "is_person", "is_top", _periods(GRANULARITIES)).distinct()
    own = "OVER (PARTITION BY granularity, actor ORDER BY period)"
    following = _next("period")
    states = active.selectExpr(
        "*", f"lag(period) {own} AS previous", f"lead(period) {own} AS next", f"{following} AS following"
    )
    before = _next("previous")
    kinds = states.selectExpr(
        "granularity", "is_person", "is_top",
        "inline(filter(array("
        "struct(period, CASE WHEN previous IS NULL THEN 'new_actors' "
        f"WHEN {before} = period THEN 'returning_actors' ELSE 'resurrected_actors' END AS kind), "
        "struct(following AS period, CASE WHEN next IS NULL OR next > following THEN 'dormant_actors' END AS kind)), "
        "state -> state.kind IS NOT NULL))",
    )  # fmt: skip
    names = ("new_actors", "returning_actors", "resurrected_actors", "dormant_actors")
    counted = (
        by_population(kinds)
        .groupBy("population", "granularity", "period")
        .agg(*(F.expr(f"count_if(kind = '{name}') AS {name}") for name in names))
    )
    every = _every_period(frames, GRANULARITIES)
    joined = every.join(counted, ["population", "granularity", "period"], "left").selectExpr(
        "population", "granularity", "period", "last_date", *(f"coalesce({name}, 0) AS {name}" for name in names)
    )
    return joined.selectExpr(
        "population", "granularity", "period", "new_actors + returning_actors + resurrected_actors AS active_actors",
        *names, f"{_end('period')} < last_date AS is_complete",
    )  # fmt: skip


def _next(start: str) -> str:
    """First day of the period after the one that begins on `start`."""
    return (
        f"CASE granularity WHEN 'day' THEN date_add({start}, 1) WHEN 'week' THEN date_add({start}, 7) "
        f"ELSE add_months({start}, 1) END"
    )


def _every_period(frames: Frames, granularities: tuple[str, ...]) -> DataFrame:
    """Every population and period from the first to the last date observed, with ``first_date`` and ``last_date``."""
    dates = _observed(frames).selectExpr("*", "explode(sequence(first_date, last_date)) AS date")
    periods = dates.selectExpr("first_date", "last_date", _periods(granularities)).distinct()
    return periods.selectExpr("*", f"explode(array({', '.join(repr(name) for name in POPULATIONS)})) AS population")


def stickiness(frames: Frames) -> DataFrame:
    """Daily, weekly and monthly active actors by date: see ``SPARK_STICKINESS``.

    An active date counts in the windows that end on it and on the days after, up to the actor's next active date: so
    each actor counts once in a window.
    """
    from pyspark.sql import functions as F

    dates = by_population(_active_dates(frames)).selectExpr(
        "population", "date",
        "coalesce(datediff(lead(date) OVER (PARTITION BY population, actor ORDER BY date), date), "
        f"{MONTH_DAYS}) AS free_days",
    )  # fmt: skip
    windows = dates.selectExpr(
        "population", f"explode(sequence(0, least(free_days, {MONTH_DAYS}) - 1)) AS age", "date"
    ).selectExpr("population", "age", "date_add(date, age) AS date")
    counted = windows.groupBy("population", "date").agg(
        F.expr("count_if(age = 0) AS dau"), F.expr(f"count_if(age < {WEEK_DAYS}) AS wau"), F.expr("count(*) AS mau")
    )
    every = _every_period(frames, ("day",)).withColumnRenamed("period", "date")
    joined = every.join(counted, ["population", "date"], "left").selectExpr(
        "population", "date", "first_date", *(f"coalesce({name}, 0) AS {name}" for name in ("dau", "wau", "mau"))
    )
    return joined.selectExpr(
        "population", "date", "dau", "wau", "mau",
        "CAST(dau AS DOUBLE) / nullif(wau, 0) AS dau_wau", "CAST(dau AS DOUBLE) / nullif(mau, 0) AS dau_mau",
        f"date_add(first_date, {MONTH_DAYS - 1}) <= date AS is_complete",
    )  # fmt: skip
