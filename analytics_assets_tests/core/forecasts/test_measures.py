"""Measures equal scikit-learn and plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, mean_pinball_loss, root_mean_squared_error

from analytics_assets.core.forecasts import measures
from analytics_assets_tests.core.forecasts.series_data import make_series

VALUES = st.floats(0, 1e6, allow_subnormal=False)
PAIRS = st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=40)


@given(PAIRS, st.sampled_from([0.025, 0.1, 0.5, 0.9, 0.975]))
@settings(max_examples=100, deadline=None)
def test_errors_equal_scikit_learn(pairs: list[tuple[float, float]], level: float) -> None:
    actual, forecast = np.array(pairs).T
    assert measures.mean_absolute_error(actual, forecast) == pytest.approx(mean_absolute_error(actual, forecast))
    rmse = root_mean_squared_error(actual, forecast)
    assert measures.root_mean_squared_error(actual, forecast) == pytest.approx(rmse)
    pinball = mean_pinball_loss(actual, forecast, alpha=level)
    assert measures.pinball_loss(actual, forecast, level) == pytest.approx(pinball)


@given(PAIRS)
@settings(max_examples=100, deadline=None)
def test_percentage_error_equals_a_loop_and_stays_between_0_and_2(pairs: list[tuple[float, float]]) -> None:
    expected = sum(2 * abs(a - f) / (a + f) if a + f else 0.0 for a, f in pairs) / len(pairs)
    found = measures.symmetric_percentage_error(*np.array(pairs).T)
    assert found == pytest.approx(expected)
    assert 0 <= found <= 2 + 1e-12


def test_percentage_error_of_two_zeros_is_none_and_of_one_zero_is_all() -> None:
    assert measures.symmetric_percentage_error(np.zeros(2), np.zeros(2)) == 0
    assert measures.symmetric_percentage_error(np.array([0.0]), np.array([3.0])) == 2


@given(st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=40))
@settings(max_examples=100, deadline=None)
def test_coverage_equals_a_loop(rows: list[tuple[float, float, float]]) -> None:
    actual, one, other = np.array(rows).T
    low, high = np.minimum(one, other), np.maximum(one, other)
    expected = sum(a <= v <= b for v, a, b in zip(actual, low, high, strict=True)) / len(rows)
    assert measures.coverage(actual, low, high) == pytest.approx(expected)


def test_ends_of_an_interval_are_inside() -> None:
    assert measures.coverage(np.array([1.0, 2.0, 2.1]), np.ones(3), np.full(3, 2.0)) == pytest.approx(2 / 3)


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e6)), min_size=1, max_size=40), st.sampled_from([1, 3, 7]))
@settings(max_examples=100, deadline=None)
def test_scale_of_mase_equals_a_loop_over_known_pairs(values: list[float | None], season: int) -> None:
    pairs = [
        abs(now - before)
        for before, now in zip(values, values[season:], strict=False)
        if now is not None and before is not None
    ]
    found = measures.seasonal_scale(make_series(values, season=season))
    if sum(pairs) > 0:
        assert found == pytest.approx(sum(pairs) / len(pairs))
    else:
        assert math.isnan(found)


def test_an_unknown_value_is_never_counted_as_an_error_of_nothing() -> None:
    actual, forecast = np.array([1.0, np.nan]), np.array([1.0, 5.0])
    assert math.isnan(measures.mean_absolute_error(actual, forecast))
    assert math.isnan(measures.root_mean_squared_error(actual, forecast))
    assert math.isnan(measures.pinball_loss(actual, forecast, 0.9))
