"""Baselines equal hand computation and always give a forecast."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.core.forecasts.baselines import (
    BASELINES,
    Repeated,
    ets,
    naive,
    overall_mean,
    phase_mean,
    season_mean,
    seasonal_naive,
)
from analytics_assets.core.forecasts.scales import Scale
from analytics_assets_tests.core.forecasts.series_data import LOG, SQRT, make_series, planted

VALUES = np.array([float(7 * week + day**2) for week in range(6) for day in range(7)])
LATER = 10


def test_naive_repeats_the_last_value_and_widens_like_a_random_walk() -> None:
    found = naive(make_series(VALUES), LOG).predict(LATER)
    assert found.mean.tolist() == [VALUES[-1]] * LATER
    errors = np.diff(np.log1p(VALUES))
    one = math.sqrt(sum(error**2 for error in errors) / len(errors))
    np.testing.assert_allclose(found.spread, [one * math.sqrt(step) for step in range(1, LATER + 1)])


def test_seasonal_naive_repeats_the_last_season_and_widens_by_season() -> None:
    found = seasonal_naive(make_series(VALUES), SQRT).predict(LATER)
    assert found.mean.tolist() == [VALUES[-7 + step % 7] for step in range(LATER)]
    errors = [math.sqrt(now) - math.sqrt(before) for before, now in zip(VALUES, VALUES[7:], strict=False)]
    one = math.sqrt(sum(error**2 for error in errors) / len(errors))
    np.testing.assert_allclose(found.spread, [one] * 7 + [one * math.sqrt(2)] * 3)
    np.testing.assert_allclose(found.centre, np.sqrt(found.mean))


def test_season_mean_is_that_of_the_last_seven_days() -> None:
    found = season_mean(make_series(VALUES), LOG).predict(LATER)
    np.testing.assert_allclose(found.mean, sum(VALUES[-7:]) / 7)
    errors = [math.log1p(VALUES[step]) - math.log1p(sum(VALUES[step - 7 : step]) / 7) for step in range(7, len(VALUES))]
    np.testing.assert_allclose(found.spread, math.sqrt(sum(error**2 for error in errors) / len(errors)))


def test_phase_mean_is_that_of_the_last_four_same_weekdays() -> None:
    found = phase_mean(make_series(VALUES), LOG).predict(LATER)
    expected = [np.mean([VALUES[-7 * back + step % 7] for back in (1, 2, 3, 4)]) for step in range(LATER)]
    np.testing.assert_allclose(found.mean, expected)
    errors = [
        math.log1p(VALUES[step]) - math.log1p(np.mean([VALUES[step - 7 * back] for back in (1, 2, 3, 4)]))
        for step in range(28, len(VALUES))
    ]
    np.testing.assert_allclose(found.spread, math.sqrt(sum(error**2 for error in errors) / len(errors)))


def test_phase_mean_of_two_seasons_takes_both() -> None:
    found = phase_mean(make_series(VALUES[:14]), LOG).predict(7)
    np.testing.assert_allclose(found.mean, (VALUES[:7] + VALUES[7:14]) / 2)


def test_unknown_values_are_taken_from_the_same_weekday_before() -> None:
    values = VALUES.copy()
    values[[-1, -3]] = np.nan
    filled = VALUES.copy()
    filled[[-1, -3]] = VALUES[[-8, -10]]
    for way in (naive, seasonal_naive, season_mean, phase_mean):
        got = way(make_series(values), LOG).predict(LATER)
        want = way(make_series(filled), LOG).predict(LATER)
        np.testing.assert_array_equal(got.mean, want.mean)


def test_overall_mean_takes_known_values_only() -> None:
    found = overall_mean(make_series([1.0, None, 5.0]), LOG).predict(3)
    assert found.mean.tolist() == [3.0] * 3
    np.testing.assert_allclose(found.spread, np.std(np.log1p([1.0, 5.0])))
    assert overall_mean(make_series([None, None]), LOG).predict(2).mean.tolist() == [0.0, 0.0]


def test_smoothing_follows_trend_and_season() -> None:
    data = planted(1, 120, noise=0.01)
    found = ets(data.series, LOG).predict(14)
    np.testing.assert_allclose(found.mean, data.mean[120:134], rtol=0.05)
    assert (np.diff(found.spread) >= -1e-12).all() and found.spread[0] > 0


@pytest.mark.parametrize(
    "values", [VALUES[:16], np.full(60, 5.0), np.zeros(60)], ids=["two weeks and two days", "constant", "zeros"]
)
def test_smoothing_falls_back_where_it_cannot_be_estimated(values: np.ndarray) -> None:
    series = make_series(values)
    found = ets(series, LOG)
    assert isinstance(found, Repeated)
    np.testing.assert_array_equal(found.predict(9).mean, seasonal_naive(series, LOG).predict(9).mean)


def test_smoothing_of_hours_has_the_season_of_the_day() -> None:
    hours = np.arange(24 * 15)
    values = 50 + 40 * np.sin(2 * np.pi * hours / 24) + np.random.default_rng(1).normal(0, 1, len(hours))
    found = ets(make_series(values, start="2024-01-01T00", season=168), SQRT).predict(24)
    np.testing.assert_allclose(found.mean, 50 + 40 * np.sin(2 * np.pi * np.arange(24) / 24), atol=6)


@given(
    st.lists(st.one_of(st.none(), st.floats(-50, 1e5)), min_size=1, max_size=60),
    st.sampled_from([LOG, SQRT]),
    st.sampled_from(sorted({*BASELINES} - {"ets"})),
)
@settings(max_examples=200, deadline=None)
def test_any_series_gets_a_forecast_that_is_never_negative(values: list[float | None], scale: Scale, name: str) -> None:
    found = BASELINES[name](make_series(values), scale).predict(17)
    for part in (found.mean, found.centre, found.spread):
        assert part.shape == (17,) and np.isfinite(part).all()
    assert (found.mean >= 0).all() and (found.spread >= 0).all()


@pytest.mark.parametrize("scale", [LOG, SQRT], ids=["log", "sqrt"])
def test_smoothing_of_a_falling_series_stays_above_0(scale: Scale) -> None:
    series = make_series([max(0.0, 60 - step) + step % 3 for step in range(60)])
    found = ets(series, scale).predict(60)
    assert (found.mean >= 0).all() and np.isfinite(found.mean).all()
