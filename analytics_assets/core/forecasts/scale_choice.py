"""Which scale a series is modelled on.

Put here: the choice. Keep out: the scales (`scales.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analytics_assets.core.forecasts.baselines import ets
from analytics_assets.core.forecasts.measures import mean_absolute_error
from analytics_assets.core.forecasts.scales import Scale
from analytics_assets.core.forecasts.series import Series

SCALES = (Scale("log"), Scale("sqrt"))
SQRT_SHIFT = 0.375
"""Anscombe's shift (1948): the square root's derivative is finite at 0."""


def choose_scale(series: Series, origins: Sequence[int], horizon: int) -> Scale:
    """The scale on which exponential smoothing forecasts best from the choosing origins, by mean absolute error.

    Without such origins, the scale with the higher profile likelihood after the means of the season's phases (Box and
    Cox 1964).
    """
    if not origins:
        return max(SCALES, key=lambda scale: _likelihood(series, scale))

    def error(scale: Scale) -> float:
        errors = []
        for cut in origins:
            actual = series.values[cut : cut + horizon]
            known = ~np.isnan(actual)
            if known.any():
                mean = ets(series.until(cut), scale).predict(len(actual)).mean
                errors.append(mean_absolute_error(actual[known], mean[known]))
        return float(np.mean(errors)) if errors else float("inf")

    return min(SCALES, key=error)


def _likelihood(series: Series, scale: Scale) -> float:
    known = ~np.isnan(series.values)
    values, phases = np.maximum(series.values[known], 0.0), (np.arange(len(series)) % series.season)[known]
    scaled = scale.forward(values)
    sums = np.bincount(phases, scaled, minlength=series.season)
    counts = np.bincount(phases, minlength=series.season)
    rest = scaled - (sums / np.maximum(counts, 1))[phases]
    variance = float(np.square(rest).mean())
    if scale.name == "log":
        jacobian = -float(np.log1p(values).sum())
    else:
        jacobian = -0.5 * float(np.log(4 * (values + SQRT_SHIFT)).sum())
    return jacobian - len(values) / 2 * float(np.log(max(variance, 1e-12)))
