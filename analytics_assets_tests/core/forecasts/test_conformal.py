"""Calibrated intervals cover at least what they say, and are withheld where too little is known."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from analytics_assets.core.forecasts.conformal import (
    LEVELS,
    MIN_SPREAD,
    Calibration,
    conformal_quantile,
    native_bands,
    scores_of,
)
from analytics_assets.core.forecasts.prediction import Prediction
from analytics_assets.core.forecasts.scales import Scale
from analytics_assets_tests.core.forecasts.series_data import LOG, SQRT

SCORES = st.lists(st.floats(0, 1e6), max_size=80)
EXACT = {0.8: Fraction(4, 5), 0.95: Fraction(19, 20), 0.5: Fraction(1, 2), 0.9: Fraction(9, 10)}


@given(SCORES, st.sampled_from(sorted(EXACT)))
@settings(max_examples=300, deadline=None)
def test_quantile_equals_numpy_at_the_corrected_rank(scores: list[float], level: float) -> None:
    rank = math.ceil(EXACT[level] * (len(scores) + 1))
    found = conformal_quantile(np.array(scores), level)
    if rank > len(scores):
        assert found is None
    else:
        assert found == np.quantile(scores, (rank - 0.5) / len(scores), method="inverted_cdf")


@pytest.mark.parametrize(("level", "least"), [(0.95, 19), (0.8, 4)])
def test_quantile_is_withheld_below_the_fewest_scores(level: float, least: int) -> None:
    scores = np.arange(least, dtype=float)
    assert conformal_quantile(scores[1:], level) is None
    assert conformal_quantile(scores, level) == least - 1


@given(SCORES, st.floats(0.05, 0.95), st.floats(0.05, 0.95))
@settings(max_examples=200, deadline=None)
def test_a_higher_level_never_has_a_smaller_quantile(scores: list[float], one: float, other: float) -> None:
    low, high = (conformal_quantile(np.array(scores), level) for level in sorted((one, other)))
    assert high is None or (low is not None and low <= high)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("count", [19, 30, 100])
def test_exchangeable_scores_are_covered_as_the_theory_says(level: float, count: int) -> None:
    rng = np.random.default_rng(count)
    draws = 4000
    scores = rng.gamma(0.7, size=(draws, count + 1))
    covered = np.mean([row[-1] <= conformal_quantile(row[:-1], level) for row in scores])
    expected = math.ceil(EXACT[level] * (count + 1)) / (count + 1)
    assert expected >= level
    assert covered == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / draws))


def prediction_of(centre: np.ndarray, spread: np.ndarray) -> Prediction:
    return Prediction(np.maximum(centre, 0.0), centre, spread)


def test_scores_are_distances_on_the_scale_in_spreads() -> None:
    centre, spread = np.array([2.0, 3.0, 1.0]), np.array([0.5, 2.0, 0.0])
    found = scores_of(SQRT, np.array([9.0, np.nan, 1.0]), prediction_of(centre, spread))
    assert found[0] == pytest.approx((3 - 2) / 0.5)
    assert np.isnan(found[1]) and found[2] == 0
    certain = scores_of(SQRT, np.array([4.0]), prediction_of(np.array([1.0]), np.array([0.0])))
    assert certain[0] == pytest.approx(1 / MIN_SPREAD)


ROWS = st.lists(st.lists(st.one_of(st.just(math.nan), st.floats(0, 50)), min_size=20, max_size=20), max_size=12)


@given(ROWS, st.sampled_from([LOG, SQRT]), st.floats(0, 8), st.floats(0, 2))
@settings(max_examples=200, deadline=None)
def test_bands_are_nested_never_negative_and_unknown_where_withheld(
    rows: list[list[float]], scale: Scale, centre: float, spread: float
) -> None:
    prediction = prediction_of(np.full(20, centre), np.full(20, spread))
    calibration = Calibration.of([np.array(row) for row in rows])
    (low80, high80), (low95, high95) = calibration.bands(scale, prediction)
    known = sum(not math.isnan(value) for row in rows for value in row)
    assert np.isnan(low80).all() if known < 4 else not np.isnan(low80).any()
    assert np.isnan(high95).all() if known < 19 else not np.isnan(high95).any()
    middle = scale.back(prediction.centre)
    for low, high in ((low80, high80), (low95, high95)):
        there = ~np.isnan(low)
        assert (np.isnan(low) == np.isnan(high)).all()
        assert (low[there] >= 0).all()
        assert (low[there] <= middle[there] * (1 + 1e-9)).all() and (high[there] >= middle[there] * (1 - 1e-9)).all()
    both = ~np.isnan(low95)
    assert (low95[both] <= low80[both]).all() and (high80[both] <= high95[both]).all()


def test_each_week_has_the_quantile_of_its_own_errors() -> None:
    rng = np.random.default_rng(2)
    rows = [np.abs(rng.normal(size=30)) * np.repeat([1.0, 2.0, 4.0], [7, 7, 16]) for _ in range(9)]
    found = Calibration.of(rows)
    for place, level in enumerate(LEVELS):
        groups = [np.concatenate([row[a:b] for row in rows]) for a, b in ((0, 7), (7, 14), (14, 30))]
        assert found.quantiles[place] == tuple(conformal_quantile(group, level) for group in groups)
    first, second, rest = found.quantiles[1]
    (_, (_, high)) = found.bands(LOG, prediction_of(np.full(16, 5.0), np.full(16, 0.1)))
    np.testing.assert_allclose(np.log1p(high), 5 + 0.1 * np.repeat([first, second, rest], [7, 7, 2]))


def test_a_group_with_too_few_errors_uses_those_of_all_steps() -> None:
    rows = [np.arange(10.0), np.arange(10.0, 20.0)]
    found = Calibration.of(rows)
    everything = conformal_quantile(np.concatenate(rows), 0.95)
    assert found.quantiles[1] == (everything, everything, everything)
    assert found.quantiles[0] == (14.0, 19.0, 19.0)


def test_a_quantile_that_falls_with_the_horizon_is_pooled_with_the_one_before() -> None:
    rows = [np.concatenate([np.full(7, 1.0), np.full(7, 5.0), np.full(6, 2.0)]) for _ in range(20)]
    near, middle, far = Calibration.of(rows).quantiles[1]
    assert near == 1.0
    assert middle == far == conformal_quantile(np.concatenate([row[7:] for row in rows]), 0.95)


def test_the_wider_level_contains_the_narrower_also_where_only_that_has_a_group_of_its_own() -> None:
    near, far = np.full(7, 1.0), np.full(2, 50.0)
    rows = [np.concatenate([near, near, far]) for _ in range(4)]
    rows += [near] * 20
    found = Calibration.of(rows)
    assert found.quantiles[0][2] == 50.0
    assert found.quantiles[1][2] == 50.0


def test_the_models_own_bands_are_normal_quantiles() -> None:
    prediction = prediction_of(np.array([5.0, 0.2]), np.array([0.3, 0.3]))
    for level, (low, high) in zip(LEVELS, native_bands(LOG, prediction), strict=True):
        reach = norm.ppf(0.5 + level / 2) * 0.3
        np.testing.assert_allclose(low, np.expm1(np.maximum(prediction.centre - reach, 0)))
        np.testing.assert_allclose(high, np.expm1(prediction.centre + reach))
