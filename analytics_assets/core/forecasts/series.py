"""The series that are forecast, and what is known about their calendar.

Put here: how a series is read from the published tables, its gaps, its end. Keep out: what is computed from it
(`plan.py` on), the tables themselves (``core/features/tables.py``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.features.engine import parquet
from analytics_assets.schemas import FORECAST_METRICS, HOURLY_METRIC

if TYPE_CHECKING:
    import duckdb

Floats = NDArray[np.float64]
Dates = NDArray[np.datetime64]
Frequency = Literal["D", "h"]

HOURLY_DAYS = 56
"""Days of hourly history: eight of every hour of the week, and recent enough for the next day."""

WEEK, DAY_HOURS, WEEK_HOURS = 7, 24, 168
NO_HOLIDAYS: Mapping[dt.date, float] = MappingProxyType({})


@dataclass(frozen=True)
class Series:
    """One value per day or hour.

    Parameters
    ----------
    metric, unit : str
        Name and unit.
    start : numpy.datetime64
        First day (unit D) or hour (unit h), UTC.
    values : float64 (n,)
        NaN where nothing is known: days in years that were not delivered, means of days without anything to average.
        A day without events inside a delivered year is a 0 of counts.
    season : int
        Steps of the main seasonal cycle: 7 days, or 168 hours.
    holidays : mapping of date to float
        Share of the events that come from countries where the date is a holiday; known for future dates too.
    """

    metric: str
    unit: str
    start: np.datetime64
    values: Floats
    season: int = WEEK
    holidays: Mapping[dt.date, float] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def frequency(self) -> Frequency:
        """D for days, h for hours."""
        return "D" if np.datetime_data(self.start.dtype)[0] == "D" else "h"

    def times(self, first: int, stop: int) -> Dates:
        """Days or hours of the steps `first` to `stop` - 1, which may lie after the end."""
        return np.asarray(self.start + np.arange(first, stop))

    def until(self, stop: int) -> Series:
        """The first `stop` steps."""
        return replace(self, values=self.values[:stop])

    def holiday_share(self, first: int, stop: int) -> Floats:
        """Share of events whose country has a holiday, by step."""
        days = self.times(first, stop).astype("datetime64[D]").astype(object)
        return np.array([self.holidays.get(day, 0.0) for day in days], dtype=np.float64)

    def filled(self) -> Floats:
        """Values with unknown ones taken from the same phase of the last season, else of the next, else the mean."""
        values = self.values.copy()
        for direction in (range(self.season, len(values)), range(len(values) - self.season - 1, -1, -1)):
            shift = -self.season if direction.step > 0 else self.season
            for step in direction:
                if np.isnan(values[step]):
                    values[step] = values[step + shift]
        known = ~np.isnan(values)
        return np.where(known, values, values[known].mean() if known.any() else 0.0)


def daily_rows(
    engine: duckdb.DuckDBPyConnection,
    daily: Mapping[str, Path],
    events: Sequence[Path],
    sessions: Sequence[Path],
) -> dict[dt.date, dict[str, float | None]]:
    """Daily figures over all delivery years, by date.

    A date that two years' files hold, because some of its events were delivered in the other year, is counted anew
    from the events of all years: distinct actors cannot be added. So are the dates on which parts of one session
    begin, which both files count when it crosses New Year. Dates outside every delivered year are false clocks and left
    out.

    Parameters
    ----------
    engine : duckdb.DuckDBPyConnection
    daily : mapping of str to Path
        File of ``DAILY_METRICS`` by delivery year.
    events, sessions : sequence of Path
        Files of ``CLEAN_EVENTS`` and ``SESSIONS`` of the same years.
    """
    from analytics_assets.core.features.tables import daily_metrics

    columns = ", ".join(FORECAST_METRICS)
    years = sorted(daily)
    inside = f"year(date) IN ({', '.join(years)})"
    rows = f"(SELECT date, {columns} FROM {parquet(list(daily.values()))} WHERE {inside})"
    crossing = f"(SELECT session_key FROM {parquet(list(sessions))} GROUP BY session_key HAVING count(*) > 1)"
    repeated = f"""(SELECT date FROM {rows} GROUP BY date HAVING count(*) > 1
        UNION SELECT start_time::DATE FROM {parquet(list(sessions))} WHERE session_key IN {crossing})"""
    [(several,)] = engine.execute(f"SELECT count(*) FROM {repeated}").fetchall()
    if several:
        anew = daily_metrics(parquet(list(events)), sessions, years)
        rows = (
            f"(SELECT * FROM {rows} WHERE date NOT IN {repeated} "
            f"UNION ALL SELECT date, {columns} FROM ({anew}) WHERE {inside} AND date IN {repeated})"
        )
    found = engine.execute(f"SELECT date, {columns} FROM {rows} ORDER BY date").fetchall()
    return {date: dict(zip(FORECAST_METRICS, values, strict=True)) for date, *values in found}


def last_complete_day(engine: duckdb.DuckDBPyConnection, events: Sequence[Path], last: dt.date) -> dt.date:
    """`last`, or the day before when its events end before its last hour: a day that is still filling up."""
    query = f"SELECT max(time) FROM {parquet(list(events))} WHERE time::DATE = $day"
    [(latest,)] = engine.execute(query, {"day": last}).fetchall()
    whole = latest is not None and latest.hour == DAY_HOURS - 1
    return last if whole else last - dt.timedelta(days=1)


def daily_series(
    rows: Mapping[dt.date, Mapping[str, float | None]],
    last: dt.date,
    metrics: Sequence[str] = tuple(FORECAST_METRICS),
    holidays: Mapping[dt.date, float] = NO_HOLIDAYS,
) -> list[Series]:
    """Series of `metrics` from the first date to `last` on a complete index; dates without a row are unknown."""
    first = min(rows, default=last)
    days = [first + dt.timedelta(days=step) for step in range((last - first).days + 1)]
    nothing: dict[str, float | None] = {}

    def values(metric: str) -> Floats:
        found = [rows.get(day, nothing).get(metric) for day in days]
        return np.array([np.nan if value is None else value for value in found], dtype=np.float64)

    return [
        Series(name, FORECAST_METRICS[name], np.datetime64(first, "D"), values(name), WEEK, holidays)
        for name in metrics
    ]


def hourly_series(
    engine: duckdb.DuckDBPyConnection,
    events: Sequence[Path],
    last: dt.date,
    *,
    days: int = HOURLY_DAYS,
    holidays: Mapping[dt.date, float] = NO_HOLIDAYS,
    known: Sequence[dt.date] = (),
) -> Series:
    """Events of each hour of the `days` days up to `last`; hours of dates outside `known` are unknown."""
    first = max(last - dt.timedelta(days=days - 1), min(known, default=last))
    start = np.datetime64(first, "h")
    counts = np.zeros(((last - first).days + 1) * DAY_HOURS)
    query = f"""SELECT date_diff('hour', $first::TIMESTAMP, date_trunc('hour', time)) AS step, count(*)
        FROM {parquet(list(events))} WHERE time::DATE BETWEEN $first AND $last GROUP BY step"""
    for step, count in engine.execute(query, {"first": first, "last": last}).fetchall():
        counts[step] = count
    present = set(known)
    for day in range(len(counts) // DAY_HOURS):
        if first + dt.timedelta(days=day) not in present:
            counts[day * DAY_HOURS : (day + 1) * DAY_HOURS] = np.nan
    return Series(HOURLY_METRIC, "events", start, counts, WEEK_HOURS, holidays)


def country_shares(
    engine: duckdb.DuckDBPyConnection, events: Sequence[Path], until: dt.date, least: float
) -> dict[str, float]:
    """Share of the events before `until` by ISO 3166 country code; countries below `least` are left out."""
    query = f"""SELECT country_code, count(*) / sum(count(*)) OVER () AS share FROM {parquet(list(events))}
        WHERE time::DATE < $until AND country_code IS NOT NULL GROUP BY country_code
        ORDER BY share DESC, country_code"""
    return {code: share for code, share in engine.execute(query, {"until": until}).fetchall() if share >= least}


def holiday_shares(shares: Mapping[str, float], years: Sequence[int]) -> dict[dt.date, float]:
    """Share of events from countries on holiday, by date, from the ``holidays`` package; unknown countries: none."""
    import holidays

    found: dict[dt.date, float] = {}
    for code, share in shares.items():
        try:
            days: Any = holidays.country_holidays(code, years=list(years))
        except NotImplementedError:
            continue
        for day in days:
            found[day] = found.get(day, 0.0) + share
    return found
