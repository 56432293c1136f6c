"""What forecasts are made from: the series of every materialized year.

Put here: reading all series at once with their holidays. Keep out: single queries (`series.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.features.engine import open_engine
from analytics_assets.core.forecasts.forecasting import plan_of
from analytics_assets.core.forecasts.series import (
    HOURLY_DAYS,
    NO_HOLIDAYS,
    Series,
    country_shares,
    daily_rows,
    daily_series,
    holiday_shares,
    hourly_series,
    last_complete_day,
)
from analytics_assets.core.lake import Lake
from analytics_assets.schemas import HOURLY_METRIC

LEAST_SHARE = 0.05
"""Countries with fewer events cannot move a total by more than noise does."""


def load_series(
    lake: Lake,
    years: Sequence[str],
    metrics: Sequence[str],
    *,
    holidays: bool,
    origins: int,
    hourly_days: int = HOURLY_DAYS,
) -> list[Series]:
    """All series of `metrics`, columns of ``daily_metrics`` and ``events_per_hour``.

    Countries are weighed by the events before the first judged cut, so that a backtest sees nothing after its cuts.

    Raises
    ------
    PipelineError
        No event lies inside a delivered year.
    """
    events = [lake.feature("clean_events", year) for year in years]
    sessions = [lake.feature("sessions", year) for year in years]
    with open_engine(lake.staging() / "duckdb") as engine:
        rows = daily_rows(engine, {year: lake.feature("daily_metrics", year) for year in years}, events, sessions)
        if not rows:
            raise PipelineError(
                lake.root / "features" / "daily_metrics",
                "no event lies inside a delivered year",
                "Check the clocks of the events, or materialize the year that they belong to.",
            )
        last = max(min(rows), last_complete_day(engine, events, max(rows)))
        calendar = NO_HOLIDAYS
        if holidays:
            [longest] = daily_series(rows, last, metrics=("events",))
            cuts = plan_of(longest, origins)
            until = longest.times(cuts.judging[0], cuts.judging[0] + 1)[0].astype(object) if cuts else last
            shares = country_shares(engine, events, until, LEAST_SHARE)
            calendar = holiday_shares(shares, range(min(rows).year, last.year + 2))
        daily = [metric for metric in metrics if metric != HOURLY_METRIC]
        found = daily_series(rows, last, metrics=daily, holidays=calendar)
        if HOURLY_METRIC in metrics:
            known = [day for day in rows if day <= last]
            found.append(hourly_series(engine, events, last, days=hourly_days, holidays=calendar, known=known))
    return found
