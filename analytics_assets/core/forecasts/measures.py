"""How good forecasts are.

Put here: single measures. Keep out: which forecasts are compared (`leaderboard.py`), where they come from
(`backtest.py`). Sources: Hyndman and Koehler 2006 (MASE), Gneiting and Raftery 2007 (pinball loss).
"""

from __future__ import annotations

import numpy as np

from analytics_assets.core.forecasts.series import Floats, Series


def mean_absolute_error(actual: Floats, forecast: Floats) -> float:
    """Mean of |actual - forecast|."""
    return float(np.abs(actual - forecast).mean())


def root_mean_squared_error(actual: Floats, forecast: Floats) -> float:
    """Square root of the mean of (actual - forecast)^2."""
    return float(np.sqrt(np.square(actual - forecast).mean()))


def symmetric_percentage_error(actual: Floats, forecast: Floats) -> float:
    """sMAPE: mean of 2 |actual - forecast| / (|actual| + |forecast|), from 0 to 2; 0 where both are 0."""
    total = np.abs(actual) + np.abs(forecast)
    return float(np.where(total > 0, 2 * np.abs(actual - forecast) / np.where(total > 0, total, 1.0), 0.0).mean())


def pinball_loss(actual: Floats, quantile: Floats, level: float) -> float:
    """Mean of level (actual - quantile) above the quantile and (1 - level) (quantile - actual) below it."""
    difference = actual - quantile
    return float(np.maximum(level * difference, (level - 1) * difference).mean())


def coverage(actual: Floats, low: Floats, high: Floats) -> float:
    """Share of the values inside [low, high]."""
    return float(((actual >= low) & (actual <= high)).mean())


def seasonal_scale(series: Series) -> float:
    """Mean absolute error of the seasonal naive forecast inside the series, one season ahead: MASE's denominator.

    NaN when no pair of values one season apart is known or all are equal.
    """
    differences = np.abs(series.values[series.season :] - series.values[: -series.season])
    known = differences[~np.isnan(differences)]
    scale = float(known.mean()) if len(known) else 0.0
    return scale if scale > 0 else float("nan")
