"""Effect sizes and tests that decide which findings are shown.

Put here: formulas. Keep out: which figures are compared (``findings.py``).

Tests are two-sided at `ALPHA`; where the strongest of several candidates was picked, each is tested at `ALPHA` divided
by their number (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import asin, copysign, inf, log, pi, sqrt
from statistics import NormalDist, fmean, variance

from analytics_assets.core.intervals import wilson

ALPHA = 0.01
"""Chance that a finding without substance passes its test: a dozen rules run at every materialization."""

MIN_SUPPORT = 30
"""Observations below which the normal approximation of the tests does not hold."""

MIN_EFFECT = 0.05
"""Effect below which a difference is real but too small to read about."""


def effect_of_shares(first: float, second: float) -> float:
    """Cohen's h, 0 to pi: distance of two shares on the arcsine scale (0.2 small, 0.5 medium, 0.8 large).

    Cohen, Statistical Power Analysis for the Behavioral Sciences, 2nd ed., chapter 6.
    """
    return abs(2 * asin(sqrt(first)) - 2 * asin(sqrt(second)))


def effect_of_amounts(first: float, second: float) -> float:
    """Absolute log ratio of two amounts, at most pi so that it can be ranked with `effect_of_shares`."""
    if first <= 0 or second <= 0:
        return 0.0 if first == second else pi
    return min(abs(log(first / second)), pi)


def critical(candidates: int = 1) -> float:
    """Normal quantile that the test statistic must exceed when the strongest of `candidates` was picked."""
    return NormalDist().inv_cdf(1 - ALPHA / candidates / 2)


def outside_wilson(share: float, n: int, other: float, candidates: int = 1) -> bool:
    """Whether the Wilson interval of a share leaves `other` out."""
    low, high = wilson(share, n, critical(candidates))
    return not low <= other <= high


def _statistic(difference: float, error: float) -> float:
    """Difference in standard errors; without any error 0 for no difference, else infinite."""
    if error:
        return difference / error
    return copysign(inf, difference) if difference else 0.0


def z_of_shares(successes: int, trials: int, other_successes: int, other_trials: int) -> float:
    """Statistic of two independent shares with pooled variance."""
    pooled = (successes + other_successes) / (trials + other_trials)
    error = sqrt(pooled * (1 - pooled) * (1 / trials + 1 / other_trials))
    return _statistic(successes / trials - other_successes / other_trials, error)


def z_of_competing_shares(first: int, second: int, trials: int) -> float:
    """Statistic of the difference of two shares of one total, which exclude each other."""
    p, q = first / trials, second / trials
    error = sqrt((p + q - (p - q) ** 2) / trials)
    return _statistic(p - q, error)


def z_of_means(first: Sequence[float], second: Sequence[float]) -> float:
    """Welch's statistic of two independent samples of at least two values."""
    error = sqrt(variance(first) / len(first) + variance(second) / len(second))
    return _statistic(fmean(first) - fmean(second), error)


def z_of_differences(differences: Sequence[float]) -> float:
    """Statistic of paired differences, at least two."""
    error = sqrt(variance(differences) / len(differences))
    return _statistic(fmean(differences), error)


def z_of_clusters(clusters: Sequence[tuple[int, int]], share: float) -> float:
    """Statistic of a share over clusters (successes, trials) against a fixed share, clusters independent.

    Ratio estimator (Cochran, Sampling Techniques, 3rd ed., section 3.12): the many events of one actor count as one
    observation. At least two clusters.
    """
    trials = sum(n for _, n in clusters)
    estimate = sum(k for k, _ in clusters) / trials
    m = len(clusters)
    error = sqrt(m / (m - 1) * sum((k - estimate * n) ** 2 for k, n in clusters)) / trials
    return _statistic(estimate - share, error)
