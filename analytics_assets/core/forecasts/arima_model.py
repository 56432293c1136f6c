"""ARIMA: regression on harmonics of the week and the year and on holidays, with ARIMA errors, on the series' scale.

Put here: order, fitting, choosing, forecasting, the artefact, residual tests. Keep out: the backtest (`backtest.py`),
periods of the series (`cycles.py`). Dynamic harmonic regression: Hyndman and Athanasopoulos, Forecasting, chapter 10.
"""

from __future__ import annotations

import datetime as dt
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from analytics_assets.core.files import write_json
from analytics_assets.core.forecasts.backtest import CANNOT_ESTIMATE, choice_error, shown_error
from analytics_assets.core.forecasts.prediction import Prediction
from analytics_assets.core.forecasts.scales import Scale, ScaleName
from analytics_assets.core.forecasts.series import DAY_HOURS, WEEK, WEEK_HOURS, Floats, Series

MAX_LAGS = 3
"""Largest p and q: with the season in the regression, more lags fit noise."""

MAX_TERMS = 4
"""Largest p + q: beyond it the polynomials share roots, and the search for their likelihood takes most of the time."""

LEAST_RANGE = 1e-9
"""Residuals that vary less are rounding: nothing is left to model."""

SIGNIFICANT = 0.05
YEAR_DAYS = 365.25
YEARLY_HARMONICS = 2
"""A yearly wave that is not a plain sine, without following single months."""

WEEKLY_HARMONICS = 3
"""All that seven days allow: the same as one effect per weekday."""

DAILY_HARMONICS, HOURLY_WEEKLY_HARMONICS = 4, 6
"""Of the hours of the day and of the week: the working day's shape and its difference between weekdays."""

SEASONAL = (0, 1, 1)
"""Alternative to harmonics: a season that drifts, as in the airline model of Box and Jenkins."""

MAX_ITERATIONS = 60
"""A likelihood still rising after that many steps has no optimum worth waiting for; the backtest judges the fit."""

FILLED_ITERATIONS = 15
"""From the estimate with unknown values filled in, only as many steps as move it by more than its error."""

GLS_ROUNDS = 2
"""Rounds between regression and errors; more no longer changed the likelihood by 0.1 on a year of days."""


@dataclass(frozen=True)
class ArimaSettings:
    """What is chosen before fitting.

    Parameters
    ----------
    order : tuple of int
        p, d, q of the errors.
    seasonal : bool
        Whether a seasonal difference and moving average stand in for the weekly harmonics.
    holidays, yearly : bool
        Whether holidays and yearly harmonics are regressors.
    """

    order: tuple[int, int, int] = (1, 0, 1)
    seasonal: bool = False
    holidays: bool = False
    yearly: bool = False


@dataclass(frozen=True)
class ArimaForecaster:
    """A fitted model of one series.

    Parameters
    ----------
    results : statsmodels results
    scale : Scale
    correction : float
        Factor from back-transformed centres to means.
    series : Series
    settings : ArimaSettings
    """

    results: Any
    scale: Scale
    correction: float
    series: Series
    settings: ArimaSettings

    def predict(self, steps: int) -> Prediction:
        """Forecast the next `steps` steps."""
        first = len(self.series)
        regressors = regression(self.series, first, first + steps, self.settings)
        ahead = self.results.get_forecast(steps, exog=regressors if regressors.shape[1] else None)
        centre = np.asarray(ahead.predicted_mean, dtype=np.float64)
        spread = np.asarray(ahead.se_mean, dtype=np.float64)
        return Prediction(self.scale.back(centre) * self.correction, centre, spread)

    @property
    def parameters(self) -> dict[str, float]:
        """Fitted parameters by name."""
        return {
            name: float(value) for name, value in zip(self.results.model.param_names, self.results.params, strict=True)
        }

    def save(self, path: Path) -> None:
        """Write the artefact: settings, parameters and the series, from which filtering restores the last state."""
        write_json(
            path,
            {
                "scale": self.scale.name,
                "correction": self.correction,
                "settings": asdict(self.settings),
                "parameters": self.parameters,
                "series": {
                    "metric": self.series.metric,
                    "unit": self.series.unit,
                    "start": str(self.series.start),
                    "season": self.series.season,
                    "values": [None if np.isnan(value) else value for value in self.series.values.tolist()],
                },
                "holidays": {str(day): share for day, share in sorted(self.series.holidays.items())},
            },
        )


def load(path: Path) -> ArimaForecaster:
    """Read an artefact; its forecasts equal those of the saved forecaster."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    about = kept["series"]
    series = Series(
        about["metric"],
        about["unit"],
        np.datetime64(about["start"]),
        np.array([np.nan if value is None else value for value in about["values"]], dtype=np.float64),
        about["season"],
        {dt.date.fromisoformat(day): share for day, share in kept["holidays"].items()},
    )
    settings = ArimaSettings(**{**kept["settings"], "order": tuple(kept["settings"]["order"])})
    name: ScaleName = kept["scale"]
    scale = Scale(name)
    with _quiet():
        results = _model(series, scale, settings).filter(list(kept["parameters"].values()))
    return ArimaForecaster(results, scale, kept["correction"], series, settings)


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of starting values and convergence: a poor optimum shows in the backtest
        yield


def _least_squares_fit(model: Any) -> Any:
    """Feasible GLS: a search over all coefficients at once takes several times as long to the same likelihood."""
    return model.fit(method="innovations_mle", gls=True, gls_kwargs={"max_iter": GLS_ROUNDS})


def regression(series: Series, first: int, stop: int, settings: ArimaSettings) -> Floats:
    """Regressors of the steps `first` to `stop` - 1, shape (stop - first, k); they depend on the calendar alone."""
    times = series.times(first, stop)
    hours = times.astype("datetime64[h]").astype(np.int64)
    days = hours / DAY_HOURS
    waves: list[tuple[float, int]] = []
    if series.frequency == "h":
        waves += [(float(DAY_HOURS), k) for k in range(1, DAILY_HARMONICS + 1)]
        # Multiples of 7 are the daily waves again.
        waves += [(float(WEEK_HOURS), k) for k in range(1, HOURLY_WEEKLY_HARMONICS + 1)]
    elif not settings.seasonal:
        waves += [(float(WEEK * DAY_HOURS), k) for k in range(1, WEEKLY_HARMONICS + 1)]
    columns = [turn(2 * np.pi * k * hours / period) for period, k in waves for turn in (np.sin, np.cos)]
    if settings.yearly:
        columns += [
            turn(2 * np.pi * k * days / YEAR_DAYS) for k in range(1, YEARLY_HARMONICS + 1) for turn in (np.sin, np.cos)
        ]
    if settings.holidays:
        columns.append(series.holiday_share(first, stop))
    return np.column_stack(columns) if columns else np.empty((stop - first, 0))


def _model(series: Series, scale: Scale, settings: ArimaSettings) -> Any:
    from statsmodels.tsa.arima.model import ARIMA

    regressors = regression(series, 0, len(series), settings)
    differenced = settings.order[1] + settings.seasonal
    return ARIMA(
        scale.forward(series.values),
        exog=regressors if regressors.shape[1] else None,
        order=settings.order,
        seasonal_order=(*SEASONAL, series.season) if settings.seasonal else (0, 0, 0, 0),
        trend="n" if differenced else "c",
    )


def fit(series: Series, scale: Scale, settings: ArimaSettings) -> ArimaForecaster:
    """Fit by maximum likelihood; unknown values are skipped by the Kalman filter.

    Raises
    ------
    ValueError, ArithmeticError, numpy.linalg.LinAlgError
        Nothing can be estimated with these settings (`CANNOT_ESTIMATE`).
    """
    # A column that never varies would stand for the constant.
    used = replace(settings, holidays=settings.holidays and bool(series.holiday_share(0, len(series)).any()))
    model = _model(series, scale, used)
    filled = replace(series, values=series.filled())
    with _quiet():
        if used.seasonal or float(np.ptp(filled.values)) == 0:  # a constant has no innovations to learn from
            results = model.fit(method_kwargs={"maxiter": MAX_ITERATIONS})
        elif not np.isnan(series.values).any():
            results = _least_squares_fit(model)
        else:
            near = _least_squares_fit(_model(filled, scale, used)).params
            results = model.fit(start_params=near, method_kwargs={"maxiter": FILLED_ITERATIONS})
    fitted = np.asarray(results.fittedvalues, dtype=np.float64).copy()
    fitted[: int(results.loglikelihood_burn) + used.order[1]] = np.nan  # the first ones start from nothing
    correction = scale.correction(series.values, fitted)
    return ArimaForecaster(results, scale, correction, series, used)


@dataclass(frozen=True)
class OrderSearch:
    """How an order was found.

    Parameters
    ----------
    settings : ArimaSettings
    adf_p, kpss_p : float
        P values of the unit-root test of Dickey and Fuller (a unit root is its null) and of Kwiatkowski et al. (its
        absence is), on the residuals of the regression.
    tried : list of dict
        ``p``, ``d``, ``q`` and ``aicc`` of every order that could be fitted.
    """

    settings: ArimaSettings
    adf_p: float
    kpss_p: float
    tried: list[dict[str, Any]]


def search_order(
    series: Series, scale: Scale, *, holidays: bool, yearly: bool, max_lags: int = MAX_LAGS
) -> OrderSearch:
    """Difference by unit-root tests, then p and q by AICc, on the residuals of the regression.

    The regression is estimated by least squares first, which makes the grid of orders cheap; the chosen order is then
    fitted jointly with it. Holidays are kept when they lower the regression's own AICc.
    """
    scaled = scale.forward(series.filled())
    settings = ArimaSettings(holidays=False, yearly=yearly)
    rest, plain = _least_squares(series, scaled, settings)
    if holidays and series.holiday_share(0, len(series)).any():
        candidate = replace(settings, holidays=True)
        without, better = _least_squares(series, scaled, candidate)
        if better < plain:
            settings, rest = candidate, without
    adf_p, kpss_p = unit_roots(rest)
    d = int(kpss_p < SIGNIFICANT and adf_p > SIGNIFICANT)
    tried = _grid(rest, d, max_lags)
    best = min(tried, key=lambda row: row["aicc"], default={"p": 0, "d": 1, "q": 1})
    return OrderSearch(replace(settings, order=(best["p"], best["d"], best["q"])), adf_p, kpss_p, tried)


def _least_squares(series: Series, scaled: Floats, settings: ArimaSettings) -> tuple[Floats, float]:
    """Residuals, and the AICc of independent normal errors."""
    regressors = np.column_stack([np.ones(len(scaled)), regression(series, 0, len(series), settings)])
    solved, *_ = np.linalg.lstsq(regressors, scaled, rcond=None)
    rest = scaled - regressors @ solved
    n, k = len(scaled), regressors.shape[1] + 1
    aic = n * np.log(max(float(np.square(rest).mean()), 1e-12)) + 2 * k
    return rest, aic + 2 * k * (k + 1) / max(n - k - 1, 1)


def unit_roots(values: Floats) -> tuple[float, float]:
    """P values of the augmented Dickey-Fuller and the KPSS test of a level; 1 each when the values never change.

    KPSS p values end at 0.01 and 0.1, the ends of its table.
    """
    from statsmodels.tsa.stattools import adfuller, kpss

    if float(np.ptp(values)) < LEAST_RANGE:
        return 1.0, 1.0
    with _quiet():
        return float(adfuller(values, autolag="AIC")[1]), float(kpss(values, regression="c", nlags="auto")[1])


def _grid(rest: Floats, d: int, max_lags: int) -> list[dict[str, Any]]:
    from statsmodels.tsa.arima.model import ARIMA

    errors = np.diff(rest) if d else rest - rest.mean()
    tried: list[dict[str, Any]] = []
    if float(np.ptp(errors)) < LEAST_RANGE:
        return tried
    for p in range(max_lags + 1):
        for q in range(min(max_lags, MAX_TERMS - p) + 1):
            try:
                with _quiet():
                    found = ARIMA(errors, order=(p, 0, q), trend="n").fit(method="innovations_mle")
            except CANNOT_ESTIMATE:
                continue
            if np.isfinite(found.aicc):
                tried.append({"p": p, "d": d, "q": q, "aicc": float(found.aicc)})
    return tried


def choose(
    series: Series,
    scale: Scale,
    origins: Sequence[int],
    horizon: int,
    *,
    holidays: bool,
    yearly: bool,
    max_lags: int = MAX_LAGS,
) -> tuple[ArimaSettings, dict[str, Any]]:
    """Order by tests and AICc; against a differenced and a seasonally differenced model on the choosing origins.

    Parameters
    ----------
    series : Series
        Up to the first origin that models are judged on.
    origins : sequence of int
        Empty when the data allow no choice; then tests and AICc decide alone.
    """
    search = search_order(series, scale, holidays=holidays, yearly=yearly, max_lags=max_lags)
    tests = {"adf_p": search.adf_p, "kpss_p": search.kpss_p, "aicc": search.tried}
    first = search.settings
    if not origins or series.frequency == "h":
        return first, {**tests, "candidates": []}
    plain = replace(first, order=(0, 1, 1))
    candidates = list(dict.fromkeys([first, plain, replace(plain, seasonal=True, yearly=False)]))
    errors = [
        choice_error(
            series,
            scale,
            origins,
            lambda known, c=c: fit(known, scale, c).predict(horizon).centre,  # type: ignore[misc]
        )
        for c in candidates
    ]
    shown = [{**asdict(c), "error": shown_error(error)} for c, error in zip(candidates, errors, strict=True)]
    return candidates[int(np.argmin(errors))], {**tests, "candidates": shown}


def diagnostics(forecaster: ArimaForecaster) -> dict[str, Any]:
    """Residual tests: Ljung-Box at one and two seasons, Jarque-Bera; residuals of the start are left out.

    Returns
    -------
    dict
        ``ljung_box``: by lag, the p value of no autocorrelation (degrees of freedom less p + q); ``jarque_bera_p``, the
        p value of normality; ``residuals``: how many. None where there are too few.
    """
    from scipy.stats import jarque_bera
    from statsmodels.stats.diagnostic import acorr_ljungbox

    order, season = forecaster.settings.order, forecaster.series.season
    burn = int(forecaster.results.loglikelihood_burn) + order[1] + max(order[0], order[2])
    rest = np.asarray(forecaster.results.resid, dtype=np.float64)[burn:]
    rest = rest[~np.isnan(rest)]
    lags = [lag for lag in (season, 2 * season) if order[0] + order[2] < lag < len(rest) // 2]
    if not lags or float(np.ptp(rest)) == 0:
        return {"ljung_box": {}, "jarque_bera_p": None, "residuals": len(rest)}
    tests = acorr_ljungbox(rest, lags=lags, model_df=order[0] + order[2])
    return {
        "ljung_box": {str(lag): float(p) for lag, p in tests["lb_pvalue"].items()},
        "jarque_bera_p": float(jarque_bera(rest).pvalue),
        "residuals": len(rest),
    }


def described(settings: ArimaSettings, season: int) -> str:
    """The model in the usual notation."""
    p, d, q = settings.order
    parts = [f"ARIMA({p},{d},{q})" + (f"({','.join(map(str, SEASONAL))}){season}" if settings.seasonal else "")]
    extras: Mapping[str, bool] = {
        "harmonics": not settings.seasonal,
        "yearly harmonics": settings.yearly,
        "holidays": settings.holidays,
    }
    return " + ".join([*parts, *(name for name, used in extras.items() if used)])
