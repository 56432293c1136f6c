"""Intervals of shares.

Put here: formulas that results, models and dashboards have in common, with nothing but the standard library. Keep out:
tests (``core/results/significance.py``), intervals from resampling (``core/models``).
"""

from __future__ import annotations

from math import sqrt

Z95 = 1.959964
"""Normal quantile of a two-sided interval at 95 %."""


def wilson(share: float, n: float, z: float = Z95) -> tuple[float, float]:
    """Score interval of a share, which stays inside 0 to 1 and has a width at both ends.

    E. B. Wilson (1927), Probable inference, the law of succession, and statistical inference, JASA 22, 209-212: all p
    with (share - p)^2 <= z^2 p (1 - p) / n, the interval ``(share + z^2 / 2n ± z sqrt(share (1 - share) / n +
    z^2 / 4n^2)) / (1 + z^2 / n)``.

    Parameters
    ----------
    share : float
        From 0 to 1; of no trials it may be anything, NaN too.
    n : float
        Trials, which need not be whole; not negative.
    z : float
        Normal quantile.

    Returns
    -------
    low, high : float
        They enclose `share`; of no trials they are 0 and 1, as nothing is known.
    """
    if n == 0:
        return 0.0, 1.0
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # The ends for shares of 0 and 1 are these numbers themselves but for rounding.
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))
