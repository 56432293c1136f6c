"""Forecasts as published tables.

Put here: rows of the tables in ``schemas/forecasts.py``. Keep out: what is in them (`forecasting.py`,
`leaderboard.py`), files (`training.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from analytics_assets.core.forecasts.backtest import Bands, Origin
from analytics_assets.core.forecasts.cycles import Cycle
from analytics_assets.core.forecasts.forecasting import SeriesForecast
from analytics_assets.core.forecasts.prediction import Prediction
from analytics_assets.core.forecasts.series import WEEK, WEEK_HOURS, Dates, Floats, Series
from analytics_assets.schemas.columns import Table

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]
BAND_NAMES = (("lo80", "hi80"), ("lo95", "hi95"))


def arrow(rows: Iterable[Row], table: Table) -> pa.Table:
    """Rows as an Arrow table with the declared columns, sorted by the key."""
    import pyarrow as pa

    schema = table.arrow_schema()
    return pa.Table.from_pylist(list(rows), schema=schema).sort_by([(name, "ascending") for name in table.key])


def number(value: float) -> float | None:
    """NaN as null."""
    return None if np.isnan(value) else float(value)


def moment(time: np.datetime64) -> dt.datetime:
    """A day or hour as the time at which it starts."""
    return time.astype("datetime64[us]").astype(dt.datetime)


def _ends(bands: Bands, step: int, prefix: str = "") -> Row:
    return {
        f"{prefix}{name}": number(ends[step])
        for names, pair in zip(BAND_NAMES, bands, strict=True)
        for name, ends in zip(names, pair, strict=True)
    }


def forecast_rows(found: SeriesForecast) -> list[Row]:
    """Rows of ``FORECASTS``; none when nothing of the series is known."""
    series, steps = found.series, len(found.prediction.mean)
    if not len(series) or np.isnan(series.values).all():
        return []
    times = series.times(len(series), len(series) + steps)
    until = moment(series.times(len(series) - 1, len(series))[0])
    hourly = series.frequency == "h"
    return [
        {
            "metric": series.metric,
            "unit": series.unit,
            "model": found.model,
            "horizon": step + 1,
            "date": moment(time).date(),
            "hour": moment(time).hour if hourly else None,
            "mean": number(found.prediction.mean[step]),
            **_ends(found.bands, step),
            "trained_until": until,
            "fallback_reason": found.reason,
        }
        for step, time in enumerate(times)
    ]


def backtest_rows(found: SeriesForecast) -> list[Row]:
    """Rows of ``FORECAST_BACKTEST``."""
    return [
        {
            "metric": found.series.metric,
            "model": found.model,
            "cut": moment(found.series.times(origin.cut - 1, origin.cut)[0]),
            "horizon": step + 1,
            "time": moment(time),
            "actual": number(origin.actual[step]),
            "mean": float(origin.prediction.mean[step]),
            "centre": float(origin.prediction.centre[step]),
            "spread": float(origin.prediction.spread[step]),
            **_ends(origin.calibrated, step),
            **_ends(origin.native, step, "native_"),
            "judged": origin.judged,
        }
        for origin in found.origins
        for step, time in enumerate(origin.times)
    ]


def history_rows(series: Series) -> list[Row]:
    """Rows of ``FORECAST_HISTORY``."""
    shares = series.holiday_share(0, len(series))
    return [
        {
            "metric": series.metric,
            "unit": series.unit,
            "time": moment(time),
            "value": number(value),
            "holiday_share": float(share),
        }
        for time, value, share in zip(series.times(0, len(series)), series.values, shares, strict=True)
    ]


def component_rows(series: Series, parts: dict[str, Floats]) -> list[Row]:
    """Rows of ``FORECAST_COMPONENTS``."""
    return [
        {"metric": series.metric, "time": moment(time), "component": name, "value": float(value)}
        for name, values in parts.items()
        for time, value in zip(series.times(0, len(values)), values, strict=True)
    ]


def cycle_rows(series: Series, found: Sequence[Cycle]) -> list[Row]:
    """Rows of ``FORECAST_CYCLES``."""
    return [{"metric": series.metric, **vars(cycle)} for cycle in found]


def read_history(rows: pa.Table) -> dict[str, Series]:
    """Series by metric from rows of ``FORECAST_HISTORY``."""
    columns = rows.sort_by([("metric", "ascending"), ("time", "ascending")]).to_pydict()
    metrics = np.array(columns["metric"])
    times = np.array(columns["time"], dtype="datetime64[us]")
    values = np.array([np.nan if value is None else value for value in columns["value"]], dtype=np.float64)
    found = {}
    for metric in dict.fromkeys(columns["metric"]):
        mine = metrics == metric
        hourly = mine.sum() > 1 and times[mine][1] - times[mine][0] == np.timedelta64(1, "h")
        unit = columns["unit"][int(np.argmax(mine))]
        holidays = {
            time.date(): share
            for time, share, own in zip(columns["time"], columns["holiday_share"], mine, strict=True)
            if own and share
        }
        start = times[mine][0].astype("datetime64[h]" if hourly else "datetime64[D]")
        found[metric] = Series(metric, unit, start, values[mine], WEEK_HOURS if hourly else WEEK, holidays)
    return found


def read_origins(rows: pa.Table, series: Series) -> list[Origin]:
    """Backtest of one series and model from rows of ``FORECAST_BACKTEST``."""
    ordered = rows.sort_by([("cut", "ascending"), ("horizon", "ascending")]).to_pylist()
    by_cut: dict[dt.datetime, list[Row]] = {}
    for row in ordered:
        by_cut.setdefault(row["cut"], []).append(row)

    def column(group: list[Row], name: str) -> Floats:
        return np.array([np.nan if row[name] is None else row[name] for row in group], dtype=np.float64)

    def bands(group: list[Row], prefix: str = "") -> Bands:
        return [(column(group, prefix + low), column(group, prefix + high)) for low, high in BAND_NAMES]

    found = []
    for cut, group in by_cut.items():
        known = int((np.datetime64(cut, "us").astype(series.start.dtype) - series.start).astype(int)) + 1
        times: Dates = series.times(known, known + len(group))
        prediction = Prediction(column(group, "mean"), column(group, "centre"), column(group, "spread"))
        found.append(
            Origin(
                known,
                times,
                column(group, "actual"),
                prediction,
                bands(group, "native_"),
                bands(group),
                bool(group[0]["judged"]),
            )
        )
    return found
