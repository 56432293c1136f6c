"""ARIMA: difference and order, harmonics, residual tests, artefact."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from analytics_assets.core.forecasts import arima_model
from analytics_assets.core.forecasts.arima_model import ArimaSettings
from analytics_assets_tests.core.forecasts.series_data import LOG, WEEKDAYS, make_series, planted, red_noise

DATA = planted(5, 90, dips=(15, 30, 44, 60, 95))
GAPS = DATA.series.values.copy()
GAPS[[3, 40, 41, 42, 89]] = np.nan
SERIES = {
    "whole": DATA.series,
    "gaps": make_series(GAPS, holidays=DATA.series.holidays),
    "hours": make_series(red_noise(3, 24 * 16, 0.5), start="2024-01-01T00", season=168),
}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("whole", ArimaSettings((1, 0, 1), holidays=True)),
        ("gaps", ArimaSettings((1, 0, 0), holidays=True)),
        ("gaps", ArimaSettings((0, 1, 1))),
        ("whole", ArimaSettings((0, 1, 1), seasonal=True)),
        ("gaps", ArimaSettings((0, 1, 1), seasonal=True, holidays=True)),
        ("hours", ArimaSettings((1, 0, 0))),
    ],
)
def test_a_saved_forecaster_forecasts_the_same_and_is_json(name: str, settings: ArimaSettings, tmp_path: Path) -> None:
    fitted = arima_model.fit(SERIES[name], LOG, settings)
    fitted.save(tmp_path / "events.json")
    kept = json.loads((tmp_path / "events.json").read_text(encoding="utf-8"))
    assert kept["parameters"] == fitted.parameters
    loaded = arima_model.load(tmp_path / "events.json")
    assert loaded.settings == fitted.settings
    one, other = fitted.predict(30), loaded.predict(30)
    assert np.isfinite(one.mean).all()
    for part in ("mean", "centre", "spread"):
        np.testing.assert_allclose(getattr(other, part), getattr(one, part), rtol=1e-9)


def test_equal_input_gives_equal_forecasts() -> None:
    one, other = (arima_model.fit(SERIES["gaps"], LOG, ArimaSettings((1, 0, 1))).predict(14) for _ in range(2))
    np.testing.assert_array_equal(one.mean, other.mean)
    np.testing.assert_array_equal(one.spread, other.spread)


def test_weekly_harmonics_find_the_planted_weekdays() -> None:
    data = planted(3, 140, noise=0.05)
    fitted = arima_model.fit(data.series, LOG, ArimaSettings((0, 1, 1)))
    waves = arima_model.regression(data.series, 0, 7, fitted.settings)
    assert waves.shape == (7, 6)
    weights = [value for name, value in fitted.parameters.items() if name.startswith("x")]
    assert len(weights) == 6
    pattern = waves @ np.array(weights)
    expected = np.log(WEEKDAYS)
    np.testing.assert_allclose(pattern - pattern.mean(), expected - expected.mean(), atol=0.05)


def test_regressors_depend_on_the_calendar_alone() -> None:
    whole = arima_model.regression(DATA.series, 0, 90, ArimaSettings(holidays=True, yearly=True))
    shown = arima_model.regression(DATA.series.until(40), 50, 90, ArimaSettings(holidays=True, yearly=True))
    np.testing.assert_allclose(shown, whole[50:])
    assert whole[:, -1].nonzero()[0].tolist() == [15, 30, 44, 60]
    assert whole.shape[1] == 6 + 4 + 1
    assert arima_model.regression(DATA.series, 0, 90, ArimaSettings(seasonal=True)).shape == (90, 0)


def search(values: np.ndarray) -> arima_model.OrderSearch:
    return arima_model.search_order(make_series(values), LOG, holidays=True, yearly=False, max_lags=0)


def test_a_random_walk_is_differenced_and_white_noise_is_not() -> None:
    steps = 400
    walks = [
        search(np.expm1(6 + 0.05 * np.cumsum(np.random.default_rng(seed).normal(size=steps)))).settings.order[1]
        for seed in range(20)
    ]
    noises = [search(red_noise(seed, steps, 0.0)).settings.order[1] for seed in range(20)]
    assert np.mean(walks) >= 0.75
    assert np.mean(noises) <= 0.05


def test_order_has_the_smallest_criterion_of_all_tried() -> None:
    found = arima_model.search_order(make_series(red_noise(2, 250, 0.8)), LOG, holidays=True, yearly=False, max_lags=2)
    assert len(found.tried) == 9
    best = min(found.tried, key=lambda row: row["aicc"])
    assert found.settings.order == (best["p"], best["d"], best["q"])
    assert found.settings.order[0] + found.settings.order[2] >= 1
    white = next(row for row in found.tried if row["p"] == row["q"] == 0)
    assert best["aicc"] < white["aicc"] - 50
    assert not found.settings.holidays, "there are none"


def test_a_constant_has_no_unit_root_and_the_simplest_difference_continues_it() -> None:
    assert arima_model.unit_roots(np.full(50, 3.0)) == (1.0, 1.0)
    found = search(np.full(50, 3.0))
    assert found.tried == [] and found.settings.order == (0, 1, 1)
    ahead = arima_model.fit(make_series(np.full(50, 3.0)), LOG, found.settings).predict(9)
    np.testing.assert_allclose(ahead.mean, 3.0, rtol=1e-3)


def test_residuals_pass_where_the_order_is_right_and_fail_where_a_lag_is_missing() -> None:
    passed, failed = [], []
    for seed in range(6):
        series = make_series(red_noise(seed, 300, 0.7))
        right = arima_model.diagnostics(arima_model.fit(series, LOG, ArimaSettings((1, 0, 0))))
        wrong = arima_model.diagnostics(arima_model.fit(series, LOG, ArimaSettings((0, 0, 0))))
        assert set(right["ljung_box"]) == {"7", "14"}
        assert right["residuals"] == 299 and wrong["residuals"] == 300
        passed.append(right["ljung_box"]["14"] > 0.01)
        failed.append(wrong["ljung_box"]["7"] < 1e-6)
        assert 0 <= right["jarque_bera_p"] <= 1
    assert all(failed)
    assert sum(passed) >= 5


def test_residual_tests_are_withheld_where_there_are_too_few() -> None:
    found = arima_model.diagnostics(arima_model.fit(make_series(red_noise(1, 15, 0.0)), LOG, ArimaSettings((0, 1, 1))))
    assert found["ljung_box"] == {} and found["jarque_bera_p"] is None


def test_without_origins_tests_and_criterion_decide_alone() -> None:
    settings, notes = arima_model.choose(DATA.series, LOG, (), 7, holidays=True, yearly=False, max_lags=0)
    assert notes["candidates"] == [] and notes["aicc"]
    assert settings.holidays


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (ArimaSettings((2, 1, 0), yearly=True), "ARIMA(2,1,0) + harmonics + yearly harmonics"),
        (ArimaSettings((0, 1, 1), seasonal=True, holidays=True), "ARIMA(0,1,1)(0,1,1)7 + holidays"),
    ],
)
def test_a_model_is_named_in_the_usual_notation(settings: ArimaSettings, expected: str) -> None:
    assert arima_model.described(settings, 7) == expected
