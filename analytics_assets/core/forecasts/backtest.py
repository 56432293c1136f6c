"""Rolling-origin evaluation: what a forecaster would have said, with what was known then.

Put here: fitting at every origin and calibrating each origin's bands from earlier ones. Keep out: where origins lie
(`plan.py`), measures of the result (`leaderboard.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from analytics_assets.core.forecasts.conformal import Calibration, native_bands, scores_of
from analytics_assets.core.forecasts.measures import mean_absolute_error
from analytics_assets.core.forecasts.prediction import Fitted, Prediction
from analytics_assets.core.forecasts.scales import Scale
from analytics_assets.core.forecasts.series import Dates, Floats, Series

FitSeries = Callable[[Series], Fitted]
CANNOT_ESTIMATE = (ValueError, ArithmeticError, np.linalg.LinAlgError, RuntimeError)
"""What numerical libraries raise when data cannot be fitted with given settings; Prophet's optimizer the last."""

Bands = list[tuple[Floats, Floats]]


@dataclass(frozen=True)
class Origin:
    """One forecast of the past.

    Parameters
    ----------
    cut : int
        Steps known.
    times : datetime64 (h,)
        Of the steps forecast.
    actual : float64 (h,)
        What came; NaN where unknown.
    prediction : Prediction
    native, calibrated : list of (low, high)
        Bands by level, those of the forecaster and those calibrated on origins whose outcome was known at this cut.
    judged : bool
        Whether it counts for measures; others served to choose settings.
    """

    cut: int
    times: Dates
    actual: Floats
    prediction: Prediction
    native: Bands
    calibrated: Bands
    judged: bool


@dataclass(frozen=True)
class Past:
    """How one way forecast one series before.

    Parameters
    ----------
    series : Series
    model : str
        Name of the way.
    scale : Scale
    horizon : int
        Steps forecast from each origin.
    origins : list of Origin
    """

    series: Series
    model: str
    scale: Scale
    horizon: int
    origins: list[Origin]


def backtest(
    series: Series, scale: Scale, origins: Sequence[int], horizon: int, *, judging: int, fit: FitSeries
) -> list[Origin]:
    """Fit and forecast at every origin.

    Parameters
    ----------
    series : Series
    scale : Scale
    origins : sequence of int
        Ascending numbers of known steps.
    horizon : int
        Steps forecast.
    judging : int
        First origin that counts for measures.
    fit : callable
        Receives the series up to an origin and nothing after it.
    """
    found: list[Origin] = []
    for cut in origins:
        prediction = fit(series.until(cut)).predict(horizon)
        actual = np.full(horizon, np.nan)
        known = series.values[cut : cut + horizon]
        actual[: len(known)] = known
        found.append(
            Origin(
                cut,
                series.times(cut, cut + horizon),
                actual,
                prediction,
                native_bands(scale, prediction),
                calibration(scale, found, cut).bands(scale, prediction),
                cut >= judging,
            )
        )
    return found


def calibration(scale: Scale, origins: Sequence[Origin], cut: int | None = None) -> Calibration:
    """Calibration from past forecasts; with `cut`, only from outcomes that were known after that many steps."""
    scores = []
    for origin in origins:
        row = scores_of(scale, origin.actual, origin.prediction)
        scores.append(row if cut is None else row[: max(0, cut - origin.cut)])
    return Calibration.of(scores)


def choice_error(series: Series, scale: Scale, origins: Sequence[int], centre: Callable[[Series], Floats]) -> float:
    """Mean absolute error over origins on the scale: what settings are chosen by. Infinite when fitting fails.

    `centre` receives the series up to an origin and returns the medians of the steps after it on the scale.
    """
    errors = []
    for cut in origins:
        try:
            medians = centre(series.until(cut))
        except CANNOT_ESTIMATE:
            return float("inf")
        actual = scale.forward(series.values[cut : cut + len(medians)])
        known = ~np.isnan(actual)
        if known.any():
            errors.append(mean_absolute_error(actual[known], medians[: len(actual)][known]))
    return float(np.mean(errors)) if errors else float("inf")


def shown_error(error: float) -> float | None:
    """A choice's error as it is published; None where fitting failed."""
    return error if np.isfinite(error) else None
