"""Lists and figures that the yearly Spark summaries hold already.

Put here: funnels, retention, lifecycle and stickiness, year by year: actors are counted inside one delivery there, so
their rows are listed with their year and never added up over years, except counts of cohorts. Keep out: what is
counted from the events of all years (``lists.py``, ``figures.py``).

A year without a summary is left out of what needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import duckdb

from analytics_assets.core.expressions import literal
from analytics_assets.core.features.engine import parquet
from analytics_assets.core.lake import Lake
from analytics_assets.core.results.frames import rows
from analytics_assets.schemas import EVENT_CHUNKS, POPULATIONS, SUMMARY_TABLES

Rows = list[dict[str, Any]]

TOP_VALUES = 5
"""Values listed per column."""

IDENTIFYING = frozenset(
    {"uuid", "$insert_id", "amplitude_id", "session_id", "event_id", "session_key", "actor", "device_id", "time"}
    | {column.name for column in EVENT_CHUNKS.columns if column.personal or column.type == "timestamp"}
)
"""Columns whose values are not published: they stand for one person, session or event, or are times."""


def summaries_of(lake: Lake, year: str) -> list[str]:
    """Names of the Spark summaries that a year has."""
    return [table.name for table in SUMMARY_TABLES if lake.summary(year, table.name).is_file()]


def years_with(lake: Lake, years: Sequence[str], name: str) -> list[str]:
    """Those of the years that have a summary."""
    return [year for year in years if lake.summary(year, name).is_file()]


def _relation(lake: Lake, years: Sequence[str], name: str) -> str:
    """All rows of one summary with their delivery year as a number; `years` must not be empty."""
    parts = [f"SELECT {int(year)} AS year, * FROM {parquet([lake.summary(year, name)])}" for year in years]
    return f"({' UNION ALL '.join(parts)})"


def _funnels(relation: str) -> str:
    return f"""
        SELECT year, population, funnel, origin, scope, window_minutes, step, event_type, reached, share_of_first,
            share_of_previous, share_low, share_high, median_seconds
        FROM {relation} ORDER BY year, population, origin, funnel, step
    """


def _retention(relation: str) -> str:
    return f"""
        SELECT year, population, period AS week, count(*) AS cohorts, sum(cohort_actors)::BIGINT AS cohort_actors,
            sum(active_actors)::BIGINT AS active_actors,
            sum(active_actors) / nullif(sum(cohort_actors), 0) AS retention
        FROM {relation} WHERE granularity = 'week' AND is_complete
        GROUP BY ALL ORDER BY year, population, week
    """


def _lifecycle(relation: str) -> str:
    return f"""
        SELECT year, population, period::VARCHAR AS week, active_actors, new_actors, returning_actors,
            resurrected_actors, dormant_actors, is_complete
        FROM {relation} WHERE granularity = 'week' ORDER BY year, population, period
    """


def _stickiness(relation: str) -> str:
    return f"""
        SELECT date::VARCHAR AS date, dau, wau, mau, dau_wau, dau_mau, is_complete
        FROM (
            SELECT *, row_number() OVER (PARTITION BY date ORDER BY year(date) = year DESC, year) AS choice
            FROM {relation} WHERE population = 'all'
        )
        WHERE choice = 1 ORDER BY date
    """


def _columns(relation: str) -> str:
    return f"""
        SELECT year, column_name, column_type, events, nulls, null_share, distinct_values
        FROM {relation} ORDER BY year, column_name
    """


def _top_values(relation: str) -> str:
    names = ", ".join(literal(name) for name in sorted(IDENTIFYING))
    return f"""
        SELECT year, column_name, place, value, events, event_share FROM {relation}
        WHERE column_name NOT IN ({names}) AND place <= {TOP_VALUES} ORDER BY year, column_name, place
    """


class Summarized(NamedTuple):
    """One list made from a summary: its asset, what a row is, and the query over the asset's rows."""

    source: str
    about: str
    query: Callable[[str], str]


LISTS: dict[str, Summarized] = {
    "columns": Summarized("spark_dataset_overview", "Completeness and variety of the delivered columns.", _columns),
    "top_values": Summarized(
        "spark_top_values", "Most frequent values of the delivered columns that identify nobody.", _top_values
    ),
    "funnels": Summarized("spark_funnels", "Steps of every funnel, by year and population.", _funnels),
    "retention_weekly": Summarized(
        "spark_retention",
        "Actors back so many weeks after the week in which the year's delivery first shows them, where that week had "
        "ended.",
        _retention,
    ),
    "lifecycle_weekly": Summarized(
        "spark_user_lifecycle", "New, returning, resurrected and dormant actors by week, inside a year.", _lifecycle
    ),
    "stickiness": Summarized("spark_stickiness", "Daily, weekly and monthly active actors by date.", _stickiness),
}
"""Every list made from a summary."""


def summary_lists(engine: duckdb.DuckDBPyConnection, lake: Lake, years: Sequence[str]) -> dict[str, Rows]:
    """Every list of `LISTS`; empty where no year has the summary."""
    found = {}
    for name, listed in LISTS.items():
        covered = years_with(lake, years, listed.source)
        found[name] = rows(engine, listed.query(_relation(lake, covered, listed.source))) if covered else []
    return found


def summary_figures(engine: duckdb.DuckDBPyConnection, lake: Lake, years: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Metrics taken from the summaries, by population.

    Actors of a day, 7 and 30 days are those of the last complete date before the last date of the latest year that has
    one; retention is pooled over all cohorts of all years.
    """
    found: dict[str, dict[str, Any]] = {population: {} for population in POPULATIONS}
    sticky, cohorts = years_with(lake, years, "spark_stickiness"), years_with(lake, years, "spark_retention")
    if sticky:
        relation = _relation(lake, sticky, "spark_stickiness")
        last = f"""
            SELECT population, dau AS daily_active_actors, wau AS weekly_active_actors, mau AS monthly_active_actors,
                dau_mau
            FROM (SELECT *, max(date) OVER (PARTITION BY year) AS last_date FROM {relation})
            WHERE is_complete AND date < last_date
            QUALIFY row_number() OVER (PARTITION BY population ORDER BY year DESC, date DESC) = 1
        """
        for row in rows(engine, last):
            found[row.pop("population")] |= row
    if cohorts:
        pooled = f"""
            SELECT population, sum(active_actors) / nullif(sum(cohort_actors), 0) AS week1_retention
            FROM {_relation(lake, cohorts, "spark_retention")}
            WHERE granularity = 'week' AND period = 1 AND is_complete GROUP BY population
        """
        for row in rows(engine, pooled):
            found[row.pop("population")] |= row
    return found
