"""On series whose true mean is known both models beat the seasonal naive by far, with intervals that hold."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from analytics_assets.core.forecasts.baselines import seasonal_naive
from analytics_assets.core.forecasts.forecasting import (
    Prepare,
    SeriesForecast,
    arima,
    forecast_series,
    plain,
    prophet,
)
from analytics_assets_tests.core.forecasts.series_data import LOG, Planted, planted

SEEDS = (1, 2, 3)
DIPS = (10, 24, 38, 53, 67, 73, 81, 95, 109, 123)
WAYS: dict[str, Prepare] = {
    "prophet": prophet(priors=(0.05,), holidays=True, seed=7),
    "arima": arima(max_lags=1, holidays=True),
    "naive": plain(seasonal_naive),
}


@cache
def runs(name: str) -> list[tuple[Planted, SeriesForecast]]:
    found = []
    for seed in SEEDS:
        data = planted(seed, 130, dips=DIPS)
        found.append((data, forecast_series(data.series, name, WAYS[name], scale=LOG)))
    return found


def distance(name: str) -> float:
    """Mean absolute distance of the judged forecasts from the true mean."""
    gaps = [
        np.abs(origin.prediction.mean - data.mean[origin.cut : origin.cut + len(origin.actual)])
        for data, found in runs(name)
        for origin in found.origins
        if origin.judged
    ]
    return float(np.concatenate(gaps).mean())


@pytest.mark.parametrize("name", ["prophet", "arima"])
def test_models_are_far_nearer_to_the_true_mean_than_the_seasonal_naive(name: str) -> None:
    assert distance(name) < 0.75 * distance("naive")


@pytest.mark.parametrize("name", ["prophet", "arima"])
def test_calibrated_intervals_cover_what_they_say(name: str) -> None:
    for place, (least, most) in enumerate(((0.72, 0.92), (0.90, 0.99))):
        inside = []
        for _, found in runs(name):
            for origin in found.origins:
                low, high = origin.calibrated[place]
                there = ~np.isnan(low) & ~np.isnan(origin.actual)
                if origin.judged:
                    inside.append(((origin.actual >= low) & (origin.actual <= high))[there])
        assert least <= np.concatenate(inside).mean() <= most


@pytest.mark.parametrize("name", ["prophet", "arima"])
def test_every_candidate_is_recorded_and_the_best_is_used(name: str) -> None:
    for _, found in runs(name):
        tried = found.notes["tried" if name == "prophet" else "candidates"]
        assert len(tried) == 2 if name == "prophet" else len(tried) in (2, 3)
        errors = [one["error"] for one in tried]
        assert all(0 < error < 1 for error in errors)
        best = tried[int(np.argmin(errors))]
        for setting in set(best) - {"error"}:
            assert found.notes["settings"][setting] == best[setting]


def test_holidays_are_used_where_they_were_planted() -> None:
    assert all(found.notes["settings"]["holidays"] for _, found in runs("prophet"))
    assert all(found.notes["aicc"] and found.notes["candidates"][0]["holidays"] for _, found in runs("arima"))


@pytest.mark.parametrize("name", ["prophet", "arima"])
def test_a_holiday_after_the_end_lowers_its_forecast(name: str) -> None:
    data = planted(9, 120, dips=(20, 41, 55, 76, 90, 102, 130))
    [fit_prophet, fit_arima] = _fits()
    prediction = (fit_prophet if name == "prophet" else fit_arima)(data.series).predict(14)
    np.testing.assert_allclose(prediction.mean, data.mean[120:134], rtol=0.12)
    assert prediction.mean[10] < 0.65 * prediction.mean[3]


def _fits() -> list:
    from analytics_assets.core.forecasts import arima_model, prophet_model

    return [
        lambda series: prophet_model.fit(series, LOG, prophet_model.ProphetSettings(0.05, holidays=True)),
        lambda series: arima_model.fit(series, LOG, arima_model.ArimaSettings((0, 1, 1), holidays=True)),
    ]


@pytest.mark.parametrize("name", ["prophet", "arima"])
def test_forecasts_end_with_the_judged_horizon_in_intervals_but_not_in_means(name: str) -> None:
    _, found = runs(name)[0]
    assert found.reason is None and found.plan is not None
    assert found.plan.horizon == 30 and len(found.prediction.mean) == 30
    assert (found.prediction.mean >= 0).all()
    for low, high in found.bands:
        assert (low <= high).all()


def test_intervals_are_withheld_beyond_the_judged_horizon() -> None:
    found = forecast_series(planted(1, 60).series, "naive", plain(seasonal_naive), scale=LOG)
    assert found.plan is not None and found.plan.horizon == 14
    for low, high in found.bands:
        assert not np.isnan(low[:14]).any() and np.isnan(low[14:]).all() and np.isnan(high[14:]).all()
    assert not np.isnan(found.prediction.mean).any()
