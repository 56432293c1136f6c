"""From a series to its forecast: suitability, plan, scale, choice, backtest, calibrated bands.

Put here: the steps that models and baselines share. Keep out: each step's own work (the other modules), tables
(`tables.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from analytics_assets.core.forecasts import arima_model, prophet_model
from analytics_assets.core.forecasts.backtest import (
    CANNOT_ESTIMATE,
    Bands,
    FitSeries,
    Origin,
    Past,
    backtest,
    calibration,
)
from analytics_assets.core.forecasts.baselines import SEASONAL_NAIVE, seasonal_naive
from analytics_assets.core.forecasts.conformal import MIN_SPREAD, Calibration
from analytics_assets.core.forecasts.plan import ORIGINS, Plan, plan
from analytics_assets.core.forecasts.prediction import Fitted, Prediction
from analytics_assets.core.forecasts.scale_choice import choose_scale
from analytics_assets.core.forecasts.scales import Scale
from analytics_assets.core.forecasts.series import DAY_HOURS, WEEK, Floats, Series
from analytics_assets.core.forecasts.suitability import fallback, unsuitable

HORIZONS = (1, 7, 14, 30)
"""Days ahead: tomorrow, a week, two, a month."""

HOURLY_HORIZONS = (1, 6, 24)
"""Hours ahead: the next one, the rest of a shift, a day."""

Prepare = Callable[[Series, Scale, Plan], tuple[FitSeries, dict[str, Any]]]
"""Chooses settings on what is known at the first judged origin; gives the fit and what was tried."""


@dataclass(frozen=True)
class SeriesForecast:
    """The forecast of one series by one way, and how that way did before.

    Parameters
    ----------
    series : Series
    model : str
        Name of the way; of the fallback when there is a `reason`.
    reason : str or None
        Why a fallback stands in.
    scale : Scale
    plan : Plan or None
        None for a fallback.
    notes : dict
        Settings and what was tried.
    origins : list of Origin
        The backtest.
    forecaster : Fitted or None
        None once it was written to its file.
    prediction : Prediction
    bands : list of (low, high)
        By level; NaN where withheld, and for a model beyond the horizon that was backtested.
    """

    series: Series
    model: str
    reason: str | None
    scale: Scale
    plan: Plan | None
    forecaster: Fitted | None
    prediction: Prediction
    bands: Bands
    notes: dict[str, Any] = field(default_factory=dict)
    origins: list[Origin] = field(default_factory=list)

    @property
    def past(self) -> Past | None:
        """Its backtest; None for a fallback."""
        if self.plan is None:
            return None
        return Past(self.series, self.model, self.scale, self.plan.horizon, self.origins)


def horizons_of(series: Series) -> tuple[int, ...]:
    """Horizons that a series is judged at, in its steps."""
    return HORIZONS if series.frequency == "D" else HOURLY_HORIZONS


def plan_of(series: Series, origins: int = ORIGINS) -> Plan | None:
    """Where its backtest cuts a series."""
    cycle = WEEK if series.frequency == "D" else DAY_HOURS
    return plan(len(series), series.season, horizons_of(series), origins, cycle=cycle)


def forecast_series(
    series: Series, model: str, prepare: Prepare, origins: int = ORIGINS, *, scale: Scale | None = None
) -> SeriesForecast:
    """Choose, backtest, calibrate, fit and forecast one series; a documented fallback where no model can be fitted.

    `scale` is chosen when none is given.
    """
    reason, cuts = unsuitable(series), plan_of(series, origins)
    if reason is not None or cuts is None:
        return _without_model(series, reason or "too short to hold anything out")
    first = cuts.judging[0]
    scale = scale or choose_scale(series.until(first), cuts.choosing, cuts.horizon)
    fit, notes = prepare(series.until(first), scale, cuts)
    past = backtest(series, scale, cuts.origins, cuts.horizon, judging=first, fit=fit)
    forecaster = fit(series)
    prediction = forecaster.predict(max(horizons_of(series)))
    bands = calibration(scale, past).bands(scale, prediction)
    for low, high in bands:
        low[cuts.horizon :] = high[cuts.horizon :] = np.nan
    return SeriesForecast(series, model, None, scale, cuts, forecaster, prediction, bands, notes, past)


def _without_model(series: Series, reason: str) -> SeriesForecast:
    name, forecaster = fallback(series)
    scale, steps = Scale("log"), max(horizons_of(series))
    prediction = forecaster.predict(steps)
    known = series.values[~np.isnan(series.values)]
    scores = _inner_scores(series, scale, prediction, seasonal=name == SEASONAL_NAIVE)
    bands = Calibration.without_horizon(scores).bands(scale, prediction)
    if not len(known):
        nothing = np.full(steps, np.nan)
        prediction = Prediction(nothing, nothing, nothing)
    return SeriesForecast(series, name, reason, scale, None, forecaster, prediction, bands)


def _inner_scores(series: Series, scale: Scale, prediction: Prediction, *, seasonal: bool) -> Floats:
    """Scores inside the series, all that can be had without holding anything out.

    Of values against those one season before, or against the median where the forecast is a mean.
    """
    scaled = scale.forward(series.values)
    known = scaled[~np.isnan(scaled)]
    if not len(known):
        return known
    errors = scaled[series.season :] - scaled[: -series.season] if seasonal else known - np.median(known)
    return np.asarray(np.abs(errors[~np.isnan(errors)]) / max(float(prediction.spread[0]), MIN_SPREAD))


def yearly_season(series: Series) -> bool:
    """Whether a yearly season can be learned already at the first judged origin; else it could not be judged."""
    return series.frequency == "D" and len(series) >= prophet_model.YEARLY_FROM_DAYS


def prophet(*, priors: tuple[float, ...], holidays: bool, seed: int) -> Prepare:
    """Prophet with its prior and holidays chosen; on a cut where it finds no optimum, the seasonal naive forecast: the
    notes name the cuts.
    """

    def prepare(known: Series, scale: Scale, cuts: Plan) -> tuple[FitSeries, dict[str, Any]]:
        settings, tried = prophet_model.choose(
            known,
            scale,
            cuts.choosing,
            cuts.horizon,
            priors,
            holidays=holidays,
            yearly=yearly_season(known),
            seed=seed,
        )
        replaced: dict[str, str] = {}

        def fit(series: Series) -> Fitted:
            try:
                return prophet_model.fit(series, scale, settings)
            except CANNOT_ESTIMATE:
                replaced[_last_step(series)] = SEASONAL_NAIVE
                return seasonal_naive(series, scale)

        return fit, {"settings": vars(settings), "tried": tried, "replaced_at": replaced}

    return prepare


def arima(*, max_lags: int, holidays: bool) -> Prepare:
    """ARIMA with its order chosen; where that cannot be estimated on some cut, (0,1,1), and where even that cannot,
    the seasonal naive forecast: the notes name the cuts.
    """

    def prepare(known: Series, scale: Scale, cuts: Plan) -> tuple[FitSeries, dict[str, Any]]:
        settings, notes = arima_model.choose(
            known,
            scale,
            cuts.choosing,
            cuts.horizon,
            holidays=holidays,
            yearly=yearly_season(known),
            max_lags=max_lags,
        )
        simpler = replace(settings, order=(0, 1, 1), seasonal=False)
        replaced: dict[str, str] = {}

        def fit(series: Series) -> Fitted:
            for tried in (settings, simpler):
                try:
                    return arima_model.fit(series, scale, tried)
                except CANNOT_ESTIMATE:
                    replaced[_last_step(series)] = "ARIMA(0,1,1)" if tried is settings else SEASONAL_NAIVE
            return seasonal_naive(series, scale)

        described = arima_model.described(settings, known.season)
        return fit, {"model": described, "settings": vars(settings), **notes, "replaced_at": replaced}

    return prepare


def _last_step(series: Series) -> str:
    return str(series.times(len(series) - 1, len(series))[0])


def plain(fit: Callable[[Series, Scale], Fitted]) -> Prepare:
    """A baseline, which has nothing to choose."""
    return lambda _known, scale, _cuts: (lambda series: fit(series, scale), {})
