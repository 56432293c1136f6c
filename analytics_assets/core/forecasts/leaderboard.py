"""Which forecast to trust: models and baselines measured on the same backtest.

Put here: measures by horizon, ranks, champions. Keep out: single measures (`measures.py`), the forecasts.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analytics_assets.core.forecasts.backtest import Origin, Past
from analytics_assets.core.forecasts.baselines import BASELINES, SEASONAL_NAIVE
from analytics_assets.core.forecasts.conformal import LEVELS
from analytics_assets.core.forecasts.forecasting import SeriesForecast, forecast_series, horizons_of, plain
from analytics_assets.core.forecasts.measures import (
    coverage,
    mean_absolute_error,
    pinball_loss,
    root_mean_squared_error,
    seasonal_scale,
    symmetric_percentage_error,
)
from analytics_assets.core.forecasts.scales import Scale
from analytics_assets.core.forecasts.series import Floats, Series

Row = dict[str, Any]
MODELS = ("arima_forecast", "prophet_forecast")
"""Published models, the simpler one first."""

TRUE_METRIC = "events"
"""The metric whose true daily mean is known for generated data."""


def measured(found: Past, naive: Past, truth: Mapping[dt.date, float] | None = None) -> list[Row]:
    """Measures of one way's judged forecasts by horizon, over the steps up to it.

    Parameters
    ----------
    found : Past
    naive : Past
        Seasonal naive forecasts from the same cuts.
    truth : mapping of date to float, optional
        True means.

    Returns
    -------
    list of dict
        By horizon that the backtest reaches, with the columns of ``FORECAST_LEADERBOARD`` but for ranks.
    """
    judged = [origin for origin in found.origins if origin.judged]
    reference = {origin.cut: origin for origin in naive.origins if origin.judged}
    scales = {origin.cut: seasonal_scale(found.series.until(origin.cut)) for origin in judged}
    rows = []
    for horizon in horizons_of(found.series):
        if horizon > found.horizon:
            break
        actual = _together(judged, horizon, lambda origin: origin.actual)
        known = ~np.isnan(actual)
        if not known.any():
            continue
        actual = actual[known]
        mean = _together(judged, horizon, lambda origin: origin.prediction.mean)[known]
        scale = _together(judged, horizon, lambda origin: np.full(len(origin.actual), scales[origin.cut]))[known]
        naive_mean = _together(judged, horizon, lambda origin: reference[origin.cut].prediction.mean)[known]
        error, naive_error = mean_absolute_error(actual, mean), mean_absolute_error(actual, naive_mean)
        scaled = np.abs(actual - mean) / scale
        rows.append(
            {
                "metric": found.series.metric,
                "unit": found.series.unit,
                "step": "day" if found.series.frequency == "D" else "hour",
                "horizon": horizon,
                "model": found.model,
                "points": int(known.sum()),
                "cuts": len(judged),
                "mae": error,
                "rmse": root_mean_squared_error(actual, mean),
                "smape": symmetric_percentage_error(actual, mean),
                "mase": None if np.isnan(scaled).any() else float(scaled.mean()),
                "relative_mae": error / naive_error if naive_error else None,
                "cuts_won": _cuts_won(judged, reference, horizon),
                **_interval_measures(judged, horizon, actual, known),
                "true_mae": _distance_from(truth, judged, horizon),
            }
        )
    return rows


def _together(origins: Sequence[Origin], horizon: int, values: Any) -> Floats:
    return np.concatenate([np.asarray(values(origin))[:horizon] for origin in origins])


def _cuts_won(judged: Sequence[Origin], reference: Mapping[int, Origin], horizon: int) -> float:
    won = compared = 0
    for origin in judged:
        actual = origin.actual[:horizon]
        known = ~np.isnan(actual)
        if known.any():
            compared += 1
            mine = mean_absolute_error(actual[known], origin.prediction.mean[:horizon][known])
            other = mean_absolute_error(actual[known], reference[origin.cut].prediction.mean[:horizon][known])
            won += mine < other
    return won / compared if compared else 0.0


def _interval_measures(judged: Sequence[Origin], horizon: int, actual: Floats, known: Any) -> Row:
    """Coverage, width and pinball loss; over the points whose interval was not withheld, None when all were."""
    found: Row = {}
    losses = []
    for place, level in enumerate(LEVELS):
        name = round(level * 100)
        native = [origin.native[place] for origin in judged]
        calibrated = [origin.calibrated[place] for origin in judged]
        for prefix, bands in (("", calibrated), ("native_", native)):
            low, high = (np.concatenate([pair[end][:horizon] for pair in bands])[known] for end in (0, 1))
            there = ~np.isnan(low)
            some = bool(there.any())
            found[f"{prefix}coverage{name}"] = coverage(actual[there], low[there], high[there]) if some else None
            if bands is calibrated:
                found[f"width{name}"] = float((high - low)[there].mean()) if some else None
                if some:
                    losses.append(pinball_loss(actual[there], low[there], (1 - level) / 2))
                    losses.append(pinball_loss(actual[there], high[there], (1 + level) / 2))
    found["pinball"] = float(np.mean(losses)) if len(losses) == 2 * len(LEVELS) else None
    return found


def _distance_from(truth: Mapping[dt.date, float] | None, judged: Sequence[Origin], horizon: int) -> float | None:
    if not truth:
        return None
    pairs = [
        (truth[day], float(mean))
        for origin in judged
        for day, mean in zip(
            origin.times[:horizon].astype("datetime64[D]").astype(object), origin.prediction.mean, strict=False
        )
        if day in truth
    ]
    return mean_absolute_error(*map(np.array, zip(*pairs, strict=True))) if pairs else None


def baseline_forecasts(series: Series, origins: int, scale: Scale) -> dict[str, SeriesForecast]:
    """Every baseline on one series, by name."""
    return {name: forecast_series(series, name, plain(fit), origins, scale=scale) for name, fit in BASELINES.items()}


def ranked(rows: Sequence[Row]) -> list[Row]:
    """Rows with rank, champion and kind added, within each metric and horizon.

    By root mean squared error: what is published is the mean, which minimizes it; the absolute error is smallest for a
    median, so on skewed metrics it would crown whoever forecasts too low. Of equal errors the simpler is first.
    """
    order = {name: place for place, name in enumerate((*BASELINES, *MODELS))}
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["metric"], row["horizon"]), []).append(row)
    return [
        {**row, "rank": place, "is_champion": place == 1, "is_model": row["model"] in MODELS}
        for group in groups.values()
        for place, row in enumerate(sorted(group, key=lambda row: (row["rmse"], order[row["model"]])), start=1)
    ]


def champion_of(rows: Sequence[Row], metric: str) -> str | None:
    """The best at a metric's longest judged horizon."""
    own = [row for row in rows if row["metric"] == metric and row["is_champion"]]
    return max(own, key=lambda row: row["horizon"])["model"] if own else None


def best(rows: Sequence[Row]) -> dict[str, Row]:
    """By metric, the champion's figures at the longest judged horizon: what is shown where there is room for one."""
    names = ("model", "step", "horizon", "points", "mae", "relative_mae", "mase", "coverage80", "coverage95")
    ordered = sorted((row for row in rows if row["is_champion"]), key=lambda row: (row["metric"], row["horizon"]))
    return {row["metric"]: {name: row[name] for name in names} for row in ordered}


def judge(
    models: Mapping[str, Mapping[str, Past]],
    baselines: Mapping[str, Mapping[str, Past]],
    truth: Mapping[dt.date, float] | None,
) -> list[Row]:
    """Rows of ``FORECAST_LEADERBOARD``.

    Parameters
    ----------
    models : mapping
        By model, then by metric.
    baselines : mapping
        By metric, then by baseline.
    truth : mapping of date to float, optional
        True daily means of `TRUE_METRIC`.
    """
    rows: list[Row] = []
    for metric, ways in baselines.items():
        known = truth if metric == TRUE_METRIC else None
        naive = ways[SEASONAL_NAIVE]
        own = [found[metric] for found in models.values() if metric in found]
        for found in (*ways.values(), *own):
            rows += measured(found, naive, known)
    return ranked(rows)
