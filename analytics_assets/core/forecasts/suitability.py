"""Whether a series can carry a model, and what steps in when it cannot.

Put here: the reasons and the fallback. Keep out: the forecasters (`baselines.py`).
"""

from __future__ import annotations

import numpy as np

from analytics_assets.core.forecasts.baselines import SEASONAL_NAIVE, overall_mean, seasonal_naive
from analytics_assets.core.forecasts.plan import TRAIN_SEASONS
from analytics_assets.core.forecasts.prediction import Fitted
from analytics_assets.core.forecasts.scales import Scale
from analytics_assets.core.forecasts.series import Series

MAX_UNKNOWN = 0.5
"""Largest share of unknown steps: beyond it most of a fit would rest on filled-in values."""


def unsuitable(series: Series) -> str | None:
    """Why no model is fitted; None when one can be."""
    known = series.values[~np.isnan(series.values)]
    if not len(known):
        return "no value is known"
    if not known.any():
        return "every value is 0"
    if len(known) > 1 and float(np.ptp(known)) == 0:
        return "every value is the same"
    need = TRAIN_SEASONS * series.season + 1
    if len(known) < need:
        return f"{len(known)} known values, {need} are needed"
    unknown = 1 - len(known) / len(series)
    if unknown > MAX_UNKNOWN:
        return f"{unknown:.0%} of the values are unknown"
    return None


def fallback(series: Series) -> tuple[str, Fitted]:
    """Name and forecaster for an unsuitable series: seasonal naive when two seasons are known, else the mean."""
    scale = Scale("log")
    known = series.values[~np.isnan(series.values)]
    if len(known) >= TRAIN_SEASONS * series.season and float(np.ptp(known)) > 0:
        return SEASONAL_NAIVE, seasonal_naive(series, scale)
    return "mean", overall_mean(series, scale)
