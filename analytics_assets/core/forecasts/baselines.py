"""Simple ways to forecast, which every model must beat, and which step in where data are too few for a model.

Put here: naive, seasonal naive, means, exponential smoothing. Keep out: Prophet and ARIMA.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analytics_assets.core.forecasts.prediction import Fitted, Prediction
from analytics_assets.core.forecasts.scales import Scale
from analytics_assets.core.forecasts.series import DAY_HOURS, Floats, Series

SAME_PHASES = 4
"""Weeks of the mean of same weekdays: a month, the usual look-back of people who plan by the week."""


@dataclass(frozen=True)
class Repeated:
    """One value per phase of a cycle, repeated.

    Parameters
    ----------
    scale : Scale
    cycle : float64 (m,)
        Means of the next m steps, then again from the first.
    spread : float
        Standard deviation of one step on the scale.
    walks : bool
        Whether the spread grows with the square root of the cycles ahead, as for the last value of a random walk.
    """

    scale: Scale
    cycle: Floats
    spread: float
    walks: bool

    def predict(self, steps: int) -> Prediction:
        """Forecast the next `steps` steps."""
        mean = np.maximum(np.resize(self.cycle, steps), 0.0)
        cycles = np.arange(steps) // len(self.cycle) + 1
        spread = self.spread * (np.sqrt(cycles) if self.walks else np.ones(steps))
        return Prediction(mean, self.scale.forward(mean), spread)


def _spread(errors: Floats) -> float:
    known = errors[~np.isnan(errors)]
    return float(np.sqrt(np.square(known).mean())) if len(known) else 0.0


def _known_mean(values: Floats) -> Floats:
    """Means over the first axis of what is known; NaN where nothing is."""
    known = ~np.isnan(values)
    counts = known.sum(axis=0)
    return np.where(counts > 0, np.where(known, values, 0.0).sum(axis=0) / np.maximum(counts, 1), np.nan)


def naive(series: Series, scale: Scale) -> Repeated:
    """The last value."""
    values = series.filled()
    return Repeated(scale, values[-1:], _spread(np.diff(scale.forward(values))), walks=True)


def seasonal_naive(series: Series, scale: Scale) -> Repeated:
    """The value of the same phase of the last season."""
    values, season = series.filled(), min(series.season, len(series))
    scaled = scale.forward(values)
    return Repeated(scale, values[-season:], _spread(scaled[season:] - scaled[:-season]), walks=True)


def season_mean(series: Series, scale: Scale) -> Repeated:
    """The mean of the last season: of 7 days."""
    values, season = series.filled(), min(series.season, len(series))
    running = np.convolve(values, np.full(season, 1 / season), mode="valid")
    errors = scale.forward(values[season:]) - scale.forward(np.maximum(running[:-1], 0.0))
    return Repeated(scale, running[-1:], _spread(errors), walks=False)


def phase_mean(series: Series, scale: Scale) -> Repeated:
    """The mean of the same phase of the last four seasons: of the last four Mondays, and so on."""
    values, season = series.filled(), min(series.season, len(series))
    seasons = min(SAME_PHASES, len(values) // season)
    shifted = [values[season * back : len(values) - season * (seasons - back)] for back in range(seasons)]
    means = _known_mean(np.array(shifted)) if len(shifted[0]) else np.array([])
    errors = scale.forward(values[season * seasons :]) - scale.forward(means)
    return Repeated(
        scale, _known_mean(values[-season * seasons :].reshape(seasons, season)), _spread(errors), walks=False
    )


@dataclass(frozen=True)
class Smoothed:
    """Centres, spreads and mean correction of an exponential smoothing, for as many steps as asked."""

    scale: Scale
    correction: float
    forecast: Callable[[int], tuple[Floats, Floats]]

    def predict(self, steps: int) -> Prediction:
        """Forecast the next `steps` steps."""
        centre, spread = self.forecast(steps)
        return Prediction(self.scale.back(centre) * self.correction, centre, spread)


def ets(series: Series, scale: Scale) -> Fitted:
    """Exponential smoothing with additive errors, damped trend, additive season: ETS(A, Ad, A), Hyndman et al. 2008."""
    import pandas as pd
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    scaled = scale.forward(series.filled())
    season = series.season if series.frequency == "D" else DAY_HOURS  # 168 seasonal states take minutes to estimate
    if len(scaled) < 2 * season + 3 or float(np.ptp(scaled)) == 0:  # its starting values need that much
        return seasonal_naive(series, scale)
    index = pd.RangeIndex(len(scaled))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of convergence: a poor optimum shows in the backtest
        found = ETSModel(
            pd.Series(scaled, index=index),
            error="add",
            trend="add",
            damped_trend=True,
            seasonal="add",
            seasonal_periods=season,
        ).fit(disp=False)

    def forecast(steps: int) -> tuple[Floats, Floats]:
        ahead = found.get_prediction(start=len(scaled), end=len(scaled) + steps - 1)
        variance = np.asarray(ahead.forecast_variance, dtype=np.float64)
        return np.asarray(ahead.predicted_mean, dtype=np.float64), np.sqrt(np.maximum(variance, 0.0))

    correction = scale.correction(series.values, np.asarray(found.fittedvalues, dtype=np.float64))
    return Smoothed(scale, correction, forecast)


def overall_mean(series: Series, scale: Scale) -> Repeated:
    """The mean of everything known; 0 where nothing is."""
    known = series.values[~np.isnan(series.values)]
    mean = float(known.mean()) if len(known) else 0.0
    scaled = scale.forward(known)
    return Repeated(scale, np.array([mean]), float(scaled.std()) if len(known) else 0.0, walks=False)


SEASONAL_NAIVE = "seasonal_naive"
BASELINES: dict[str, Callable[[Series, Scale], Fitted]] = {
    "naive": naive,
    SEASONAL_NAIVE: seasonal_naive,
    "season_mean": season_mean,
    "phase_mean": phase_mean,
    "ets": ets,
}
"""Baselines from the simplest up."""
