"""Scales can be undone, stay above 0, and their means are right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.core.forecasts import scale_choice
from analytics_assets.core.forecasts.scale_choice import choose_scale
from analytics_assets.core.forecasts.scales import MAX_CORRECTION, Scale
from analytics_assets_tests.core.forecasts.series_data import LOG, SQRT, WEEKDAYS, Fixed, make_series

BOTH = st.sampled_from([LOG, SQRT])


@given(BOTH, st.lists(st.floats(0, 1e9), max_size=30))
@settings(max_examples=100, deadline=None)
def test_going_there_and_back_changes_nothing(scale: Scale, values: list[float]) -> None:
    given_values = np.array(values)
    np.testing.assert_allclose(scale.back(scale.forward(given_values)), given_values, rtol=1e-9, atol=1e-9)


@given(BOTH, st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
@settings(max_examples=100, deadline=None)
def test_nothing_comes_back_negative_or_infinite(scale: Scale, scaled: list[float]) -> None:
    found = scale.back(np.array(scaled))
    assert (found >= 0).all() and np.isfinite(found).all()


@given(BOTH, st.lists(st.floats(-1e5, 1e5), min_size=2, max_size=30))
@settings(max_examples=100, deadline=None)
def test_order_is_kept_and_values_below_0_count_as_0(scale: Scale, values: list[float]) -> None:
    found = scale.forward(np.sort(values))
    assert np.isfinite(found).all() and (np.diff(found) >= 0).all()
    assert (found[np.sort(values) <= 0] == 0).all()


def test_unknown_stays_unknown() -> None:
    for scale in (LOG, SQRT):
        assert np.isnan(scale.forward(np.array([np.nan, 1.0]))).tolist() == [True, False]


POSITIVE = st.lists(st.tuples(st.floats(0.5, 1e4), st.floats(0.5, 1e4)), min_size=1, max_size=30)


@given(BOTH, POSITIVE)
@settings(max_examples=100, deadline=None)
def test_corrected_fit_adds_up_to_the_values_unless_it_is_clipped(
    scale: Scale, pairs: list[tuple[float, float]]
) -> None:
    values, fits = np.array(pairs).T
    fitted = scale.forward(fits)
    found = scale.correction(values, fitted)
    assert 1 / MAX_CORRECTION <= found <= MAX_CORRECTION
    ratio = values.sum() / fits.sum()
    if 1 / MAX_CORRECTION < ratio < MAX_CORRECTION:
        assert found * scale.back(fitted).sum() == pytest.approx(values.sum())
    else:
        assert found == pytest.approx(np.clip(ratio, 1 / MAX_CORRECTION, MAX_CORRECTION))


def test_unknown_values_and_fits_do_not_correct() -> None:
    values, fits = np.array([2.0, np.nan, 1e9]), np.array([1.0, 1e9, np.nan])
    assert LOG.correction(values, LOG.forward(fits)) == pytest.approx(2.0)
    assert LOG.correction(values, np.full(3, np.nan)) == 1.0
    assert LOG.correction(np.array([5.0]), np.array([0.0])) == 1.0


def test_correction_of_a_median_recovers_the_mean() -> None:
    values = np.random.default_rng(3).lognormal(5, 0.6, 20_000)
    centre = np.full(len(values), np.median(LOG.forward(values)))
    mean = LOG.back(centre[:1])[0] * LOG.correction(values, centre)
    assert mean == pytest.approx(values.mean())
    assert LOG.back(centre[:1])[0] < 0.9 * values.mean()


def counts(seed: int, steps: int = 140) -> np.ndarray:
    return np.random.default_rng(seed).poisson(30 * WEEKDAYS[np.arange(steps) % 7] ** 2).astype(float)


def multiplied(seed: int, steps: int = 140) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 500 * WEEKDAYS[np.arange(steps) % 7] * rng.lognormal(0, 0.5, steps)


def test_without_origins_counts_go_to_the_square_root_and_factors_to_the_logarithm() -> None:
    assert [choose_scale(make_series(counts(seed)), (), 7).name for seed in range(5)] == ["sqrt"] * 5
    assert [choose_scale(make_series(multiplied(seed)), (), 7).name for seed in range(5)] == ["log"] * 5


def test_with_origins_the_scale_with_the_smaller_error_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    series = make_series(np.full(40, 10.0))
    for best in ("log", "sqrt"):
        monkeypatch.setattr(
            scale_choice, "ets", lambda _series, scale, best=best: Fixed(10.0 if scale.name == best else 14.0)
        )
        assert choose_scale(series, (20, 25), 7).name == best


def test_a_choice_is_made_with_unknown_and_negative_values() -> None:
    values = counts(1)
    values[[20, 21, 90]] = np.nan
    values[50] = -4.0
    assert choose_scale(make_series(values), (), 7).name == "sqrt"
    assert choose_scale(make_series(values), (60, 70), 7).name in ("log", "sqrt")
