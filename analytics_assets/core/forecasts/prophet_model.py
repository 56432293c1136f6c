"""Prophet: a piecewise linear trend, seasonalities and holidays, fitted on the series' scale.

Put here: fitting, choosing, forecasting, the artefact, the components. Keep out: the backtest (`backtest.py`), pictures
(`figures.py`). Taylor and Letham 2018.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analytics_assets.core.files import write_json
from analytics_assets.core.forecasts.backtest import choice_error, shown_error
from analytics_assets.core.forecasts.prediction import Prediction
from analytics_assets.core.forecasts.scales import Scale, ScaleName
from analytics_assets.core.forecasts.series import Floats, Series

if TYPE_CHECKING:
    import pandas as pd
    from prophet import Prophet

CHANGEPOINT_PRIORS = (0.01, 0.05, 0.1)
"""From a nearly straight trend to twice the library's default; above it trends follow noise."""

WEEKLY_FROM_DAYS = 14
YEARLY_FROM_DAYS = 730
"""A season is learned from two full turns: one alone cannot be told from a trend."""

PATHS = 200
"""Simulated trends behind the native spread: its error is a few percent, and calibration corrects it anyway."""

NATIVE_LEVEL, NATIVE_REACH = 0.8, 1.2815515655446004
"""Level of the library's own interval, and its half-width in standard deviations."""

HOLIDAY = "holiday_share"


@dataclass(frozen=True)
class ProphetSettings:
    """What is chosen before fitting.

    Parameters
    ----------
    changepoint_prior : float
        Flexibility of the trend.
    holidays : bool
        Whether the share of events from countries on holiday is a regressor.
    yearly : bool
        Whether there is a yearly season.
    seed : int
        Of the simulated trends.
    """

    changepoint_prior: float = 0.05
    holidays: bool = False
    yearly: bool = False
    seed: int = 7


@dataclass(frozen=True)
class ProphetForecaster:
    """A fitted Prophet model of one series.

    Parameters
    ----------
    model : Prophet
    scale : Scale
    correction : float
        Factor from back-transformed centres to means.
    series : Series
        What it was fitted to; times and holidays of the future come from it.
    settings : ProphetSettings
    """

    model: Prophet
    scale: Scale
    correction: float
    series: Series
    settings: ProphetSettings

    def centre(self, steps: int) -> Floats:
        """Medians of the next `steps` steps on the scale, without the trends that the spread is simulated from."""
        first = len(self.series)
        return self._predicted(first, first + steps, paths=0)["yhat"].to_numpy(np.float64)

    def predict(self, steps: int) -> Prediction:
        """Forecast the next `steps` steps."""
        first = len(self.series)
        found = self._predicted(first, first + steps)
        centre = found["yhat"].to_numpy(np.float64)
        width = (found["yhat_upper"] - found["yhat_lower"]).to_numpy(np.float64)
        return Prediction(self.scale.back(centre) * self.correction, centre, width / 2 / NATIVE_REACH)

    def components(self, steps: int) -> dict[str, Floats]:
        """Trend, seasons and holidays on the scale, over the history and the next `steps` steps."""
        found = self._predicted(0, len(self.series) + steps, paths=0)
        names = ["trend", *self.model.seasonalities, *(["holidays"] if self.settings.holidays else [])]
        columns = {"holidays": HOLIDAY}
        return {name: found[columns.get(name, name)].to_numpy(np.float64) for name in names}

    def _predicted(self, first: int, stop: int, paths: int = PATHS) -> pd.DataFrame:
        self.model.uncertainty_samples = paths
        state = np.random.get_state()
        np.random.seed(self.settings.seed)  # the library draws its simulated trends from the global generator
        try:
            return self.model.predict(_frame(self.series, first, stop, self.settings))
        finally:
            np.random.set_state(state)

    def save(self, path: Path) -> None:
        """Write the artefact: the library's own JSON form, and what surrounds it here."""
        from prophet.serialize import model_to_json

        write_json(
            path,
            {
                "scale": self.scale.name,
                "correction": self.correction,
                "settings": vars(self.settings),
                "series": {
                    "metric": self.series.metric,
                    "unit": self.series.unit,
                    "start": str(self.series.start),
                    "steps": len(self.series),
                    "season": self.series.season,
                },
                "holidays": {str(day): share for day, share in sorted(self.series.holidays.items())},
                "model": json.loads(model_to_json(self.model)),
            },
        )


def load(path: Path) -> ProphetForecaster:
    """Read an artefact; its forecasts equal those of the saved forecaster."""
    import datetime as dt

    from prophet.serialize import model_from_json

    _quiet()
    kept = json.loads(path.read_text(encoding="utf-8"))
    about = kept["series"]
    series = Series(
        about["metric"],
        about["unit"],
        np.datetime64(about["start"]),
        np.full(about["steps"], np.nan),
        about["season"],
        {dt.date.fromisoformat(day): share for day, share in kept["holidays"].items()},
    )
    scale: ScaleName = kept["scale"]
    model = model_from_json(json.dumps(kept["model"]))
    return ProphetForecaster(model, Scale(scale), kept["correction"], series, ProphetSettings(**kept["settings"]))


def _quiet() -> None:
    for name in ("cmdstanpy", "prophet"):
        logger = logging.getLogger(name)
        if not logger.hasHandlers():  # else cmdstanpy adds its own at the first fit and sets the level back
            logger.addHandler(logging.StreamHandler())
        logger.setLevel(logging.ERROR)


def _frame(series: Series, first: int, stop: int, settings: ProphetSettings) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame({"ds": series.times(first, stop).astype("datetime64[ns]")})
    if settings.holidays:
        frame[HOLIDAY] = series.holiday_share(first, stop)
    return frame


def fit(series: Series, scale: Scale, settings: ProphetSettings) -> ProphetForecaster:
    """Fit to a series; unknown values are left out."""
    from prophet import Prophet

    _quiet()
    known_holidays = bool(series.holiday_share(0, len(series)).any())
    used = replace(settings, holidays=settings.holidays and known_holidays)
    model = Prophet(
        changepoint_prior_scale=used.changepoint_prior,
        weekly_seasonality=series.frequency == "D" and len(series) >= WEEKLY_FROM_DAYS,
        yearly_seasonality=used.yearly,
        daily_seasonality=False,
        uncertainty_samples=PATHS,
        interval_width=NATIVE_LEVEL,
    )
    if used.holidays:
        model.add_regressor(HOLIDAY, standardize=False)
    frame = _frame(series, 0, len(series), used)
    frame["y"] = scale.forward(series.values)
    model.fit(frame.dropna(), seed=used.seed)
    unfinished = ProphetForecaster(model, scale, 1.0, series, used)
    fitted = unfinished._predicted(0, len(series), paths=0)["yhat"].to_numpy(np.float64)
    return replace(unfinished, correction=scale.correction(series.values, fitted))


def choose(
    series: Series,
    scale: Scale,
    origins: Sequence[int],
    horizon: int,
    priors: Sequence[float] = CHANGEPOINT_PRIORS,
    *,
    holidays: bool,
    yearly: bool,
    seed: int,
) -> tuple[ProphetSettings, list[dict[str, Any]]]:
    """Try every prior, with and without holidays, on the choosing origins.

    Parameters
    ----------
    series : Series
        Up to the first origin that models are judged on.
    origins : sequence of int
        Empty when the data allow no choice; then the middle prior is used, without holidays.
    holidays : bool
        Whether holidays may be used.

    Returns
    -------
    settings, tried
        `tried` holds each candidate with its ``error``, the mean absolute error on the scale; None when it could not be
        estimated.
    """
    middle = sorted(priors)[len(priors) // 2]
    if not origins:
        return ProphetSettings(middle, False, yearly, seed), []
    offered = (False, True) if holidays and series.holiday_share(0, origins[0]).any() else (False,)
    candidates = [ProphetSettings(prior, chosen, yearly, seed) for chosen in offered for prior in priors]
    errors = [
        choice_error(series, scale, origins, lambda known, c=c: fit(known, scale, c).centre(horizon))  # type: ignore[misc]
        for c in candidates
    ]
    tried = [
        {
            "changepoint_prior": c.changepoint_prior,
            "holidays": c.holidays,
            "error": shown_error(error),
        }
        for c, error in zip(candidates, errors, strict=True)
    ]
    return candidates[int(np.argmin(errors))], tried
