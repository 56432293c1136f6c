"""A series that cannot carry a model gets a reason and a defined fallback."""

from __future__ import annotations

import numpy as np
import pytest

from analytics_assets.core.forecasts.baselines import seasonal_naive
from analytics_assets.core.forecasts.forecasting import Prepare, SeriesForecast, arima, forecast_series, plain, prophet
from analytics_assets.core.forecasts.series import Series
from analytics_assets.core.forecasts.suitability import fallback, unsuitable
from analytics_assets.core.forecasts.tables import arrow, backtest_rows, forecast_rows, history_rows
from analytics_assets.schemas import FORECAST_TABLES
from analytics_assets_tests.core.forecasts.series_data import make_series, planted

WAYS: dict[str, Prepare] = {
    "prophet_forecast": prophet(priors=(0.05,), holidays=True, seed=7),
    "arima_forecast": arima(max_lags=1, holidays=True),
    "seasonal_naive": plain(seasonal_naive),
}


def half_known(share: float) -> np.ndarray:
    values = planted(1, 100).series.values.copy()
    values[: round(100 * (1 - share))] = np.nan
    return values


CASES: dict[str, tuple[np.ndarray, str, str, float | None]] = {
    "unknown": (np.full(60, np.nan), "no value is known", "mean", None),
    "zeros": (np.zeros(60), "every value is 0", "mean", 0.0),
    "constant": (np.full(60, 5.0), "every value is the same", "mean", 5.0),
    "short": (np.arange(1.0, 15.0), "14 known values, 15 are needed", "seasonal_naive", 8.0),
    "shorter": (np.arange(1.0, 10.0), "9 known values, 15 are needed", "mean", 5.0),
    "one": (np.array([4.0]), "1 known values, 15 are needed", "mean", 4.0),
    "gaps": (half_known(0.4), "60% of the values are unknown", "seasonal_naive", None),
}


def forecast_of(name: str, way: str) -> SeriesForecast:
    return forecast_series(make_series(CASES[name][0]), way, WAYS[way])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
def test_an_unsuitable_series_has_a_reason_and_a_fallback(name: str, way: str) -> None:
    _, reason, model, first = CASES[name]
    found = forecast_of(name, way)
    assert (found.reason, found.model) == (reason, model)
    assert found.plan is None and found.past is None and found.origins == []
    assert backtest_rows(found) == []
    rows = forecast_rows(found)
    if name == "unknown":
        assert rows == []
        return
    assert len(rows) == 30 and {row["fallback_reason"] for row in rows} == {reason}
    assert all(row["mean"] >= 0 for row in rows)
    if first is not None:
        assert rows[0]["mean"] == pytest.approx(first)
    assert arrow(rows, FORECAST_TABLES["prophet_forecast"]["forecast"]).num_rows == 30


def test_a_fallback_states_the_levels_that_its_few_values_allow() -> None:
    expected = {"one": (False, False), "shorter": (True, False), "short": (True, False), "gaps": (True, True)}
    for name, given in expected.items():
        bands = forecast_of(name, "seasonal_naive").bands
        assert tuple(not np.isnan(low).any() for low, _ in bands) == given, name
        assert tuple(not np.isnan(high).all() for _, high in bands) == given, name
    for low, high in forecast_of("unknown", "seasonal_naive").bands:
        assert np.isnan(low).all() and np.isnan(high).all()


def test_bands_of_a_fallback_are_nested_and_hold_the_forecast() -> None:
    for name in ("zeros", "constant", "gaps"):
        found = forecast_of(name, "seasonal_naive")
        (low80, high80), (low95, high95) = found.bands
        mean = found.prediction.mean
        assert (low95 <= low80 + 1e-9).all() and (high80 <= high95 + 1e-9).all() and (low95 >= 0).all()
        assert (low80 <= mean + 1e-6).all() and (mean <= high80 + 1e-6).all()


def test_bands_of_a_mean_are_quantiles_of_the_distances_from_the_median() -> None:
    values = np.array([1.0, 3.0, 4.0, 8.0, 20.0, 21.0, 22.0, 30.0, 55.0])
    found = forecast_series(make_series(values), "seasonal_naive", WAYS["seasonal_naive"])
    scaled = np.log1p(values)
    distances = np.sort(np.abs(scaled - np.median(scaled)))
    reach = distances[8 - 1]  # ceil(10 x 0.8) of 9
    centre = np.log1p(values.mean())
    low, high = found.bands[0]
    np.testing.assert_allclose(low, np.expm1(max(centre - reach, 0)))
    np.testing.assert_allclose(high, np.expm1(centre + reach))


def test_half_of_the_values_may_be_unknown_but_no_more() -> None:
    assert unsuitable(make_series(half_known(0.5))) is None
    assert unsuitable(make_series(half_known(0.49))) == "51% of the values are unknown"
    assert unsuitable(planted(1, 15).series) is None


def test_hours_need_two_weeks_and_one() -> None:
    values = np.random.default_rng(1).poisson(5, 337).astype(float)
    hours: Series = make_series(values, start="2024-01-01T00", season=168)
    assert unsuitable(hours) is None
    assert unsuitable(hours.until(336)) == "336 known values, 337 are needed"
    name, forecaster = fallback(hours.until(336))
    assert name == "seasonal_naive"
    np.testing.assert_array_equal(forecaster.predict(24).mean, values[168:192])


ODD = {
    "exact": np.arange(28.0) % 7 + 1,
    "one event": np.r_[np.zeros(27), 1.0],
    "constant at first": np.r_[np.full(20, 3.0), 4.0, 5.0, 6.0, 5.0, 7.0, 9.0, 4.0, 6.0],
}


# Prophet's optimizer takes a minute to find that nothing is left to explain.
ODD_CASES = [(name, way) for name in ODD for way in WAYS if (name, way) != ("exact", "prophet_forecast")]


@pytest.mark.parametrize(("name", "way"), ODD_CASES)
def test_odd_but_suitable_series_are_forecast(name: str, way: str) -> None:
    found = forecast_series(make_series(ODD[name]), way, WAYS[way])
    assert found.reason is None and found.model == way
    assert np.isfinite(found.prediction.mean).all() and (found.prediction.mean >= 0).all()
    assert len(backtest_rows(found)) == 8 * 7
    assert arrow(backtest_rows(found), FORECAST_TABLES["prophet_forecast"]["backtest"]).num_rows == 8 * 7


@pytest.mark.parametrize("way", WAYS)
def test_a_latency_below_0_stops_no_model(way: str) -> None:
    values = np.random.default_rng(1).normal(200, 30, 60)
    values[[10, 20, 31]] = -40, -1, -500
    series = make_series(values[:32], metric="mean_latency_ms", unit="ms")
    found = forecast_series(series, way, WAYS[way])
    assert found.reason is None
    assert np.isfinite(found.prediction.mean).all() and (found.prediction.mean >= 0).all()
    assert len(history_rows(found.series)) == 32
