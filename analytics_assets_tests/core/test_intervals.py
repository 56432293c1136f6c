"""Intervals of shares equal statsmodels' and the equation they solve."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

from analytics_assets.core.intervals import Z95, wilson


def test_the_quantile_is_that_of_95_percent() -> None:
    assert pytest.approx(norm.ppf(0.975), abs=1e-7) == Z95


@given(st.integers(1, 1_000_000), st.floats(0, 1), st.sampled_from([0.1, 0.05, 0.01, 0.001]))
def test_wilson_equals_statsmodels(n: int, part: float, alpha: float) -> None:
    count = round(part * n)
    expected = proportion_confint(count, n, alpha=alpha, method="wilson")
    assert wilson(count / n, n, norm.ppf(1 - alpha / 2)) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_wilson_at_95_percent_is_the_default() -> None:
    low, high = wilson(0.5, 100)
    assert (round(low, 4), round(high, 4)) == (0.4038, 0.5962)
    assert (low, high) == pytest.approx(proportion_confint(50, 100, method="wilson"))


@pytest.mark.parametrize("n", [1, 2.5, 10, 1e9])
def test_none_and_all_have_an_end_at_the_share_itself(n: float) -> None:
    width = Z95**2 / (n + Z95**2)
    assert wilson(0.0, n) == (0.0, pytest.approx(width))
    assert wilson(1.0, n) == (pytest.approx(1 - width), 1.0)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0, math.nan])
def test_without_a_trial_nothing_is_known(share: float) -> None:
    assert wilson(share, 0) == (0.0, 1.0)
    assert wilson(0.4, 1e-9) == pytest.approx((0, 1), abs=1e-4), "as with hardly any"


def test_wilson_equals_its_quadratic() -> None:
    """Ends p of the interval solve (share - p)^2 = z^2 p (1 - p) / n."""
    share, n = np.array([0.0, 0.1, 0.5, 1.0]), np.array([5.0, 40.5, 7.0, 3.0])
    for end in np.vectorize(wilson)(share, n):
        assert (share - end) ** 2 == pytest.approx(1.959964**2 * end * (1 - end) / n, abs=1e-9)


@given(st.floats(0, 1), st.floats(1e-6, 1e12), st.floats(0, 10))
def test_wilson_encloses_the_share_within_0_and_1(share: float, n: float, z: float) -> None:
    low, high = wilson(share, n, z)
    assert 0 <= low <= share <= high <= 1
