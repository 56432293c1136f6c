"""How numbers are spread: moments, quartiles, outliers, concentration, correlation.

Put here: statistics of one column or table at one grain, from its distinct values and how often each occurs. Keep out:
which columns are looked at (``quality.py``) and how two years differ (``drift.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Distribution:
    """Distinct values of a number, ascending, and how often each occurs: a year of rows in little memory.

    Parameters
    ----------
    values : array of float64
        Strictly ascending.
    counts : array of int64
        Occurrences, each at least 1.
    """

    values: Floats
    counts: Integers

    @classmethod
    def read(cls, engine: duckdb.DuckDBPyConnection, query: str, scale: float = 1.0) -> Distribution:
        """Distribution of a query's one column of integers, each divided by `scale`; nulls are left out."""
        found = engine.execute(
            f"SELECT v, count(*) AS n FROM ({query}) AS rows(v) WHERE v IS NOT NULL GROUP BY v ORDER BY v"
        ).fetchnumpy()
        return cls(np.asarray(found["v"], np.float64) / scale, np.asarray(found["n"], np.int64))

    @cached_property
    def size(self) -> int:
        """Number of rows."""
        return int(self.counts.sum())

    @cached_property
    def _excess(self) -> float:
        """Mean above the least value: large values that are close together keep their digits."""
        return float(((self.values - self.values[0]) * self.counts).sum() / self.size)

    @property
    def mean(self) -> float:
        """Arithmetic mean; the distribution must not be empty."""
        return float(self.values[0]) + self._excess

    @property
    def deviations(self) -> Floats:
        """Each value - mean."""
        return self.values - self.values[0] - self._excess

    def central_moment(self, order: int) -> float:
        """Mean of (value - mean) to the power of `order`."""
        return float((self.deviations**order * self.counts).sum() / self.size)

    def quantile(self, share: float) -> float:
        """Quantile by linear interpolation between order statistics (Hyndman and Fan 1996, type 7)."""
        place = (self.size - 1) * share
        below = int(np.floor(place))
        ends = np.cumsum(self.counts)
        low, high = (float(self.values[np.searchsorted(ends, rank, side="right")]) for rank in (below, np.ceil(place)))
        return low + (high - low) * (place - below)

    def rows_where(self, chosen: npt.NDArray[np.bool_]) -> int:
        """Rows whose value is chosen."""
        return int(self.counts[chosen].sum())


def described(found: Distribution, *, z_limit: float, iqr_factor: float) -> dict[str, Any]:
    """Moments, quartiles and outliers of a distribution.

    Parameters
    ----------
    found : Distribution
        One value per thing of the grain that is looked at.
    z_limit : float
        Standard deviations from the mean beyond which a value is an outlier.
    iqr_factor : float
        Interquartile ranges outside the quartiles beyond which a value is an outlier (Tukey 1977).

    Returns
    -------
    dict
        ``count``, ``mean``, ``std`` (n - 1), ``min``, ``q1``, ``median``, ``q3``, ``max``, ``skewness`` (g1 = m3 /
        m2^1.5), ``excess_kurtosis`` (g2 = m4 / m2^2 - 3), ``iqr`` (``low``, ``high``, ``below``, ``above``,
        ``outliers``, ``share``) and ``z`` (``limit``, ``outliers``, ``share``). What has no meaning is None: all of it
        without values, spread and shape with one or with equal values.
    """
    names = ("mean", "std", "min", "q1", "median", "q3", "max", "skewness", "excess_kurtosis", "iqr", "z")
    if not found.size:
        return {"count": 0, **dict.fromkeys(names)}
    q1, median, q3 = (found.quantile(share) for share in (0.25, 0.5, 0.75))
    low, high = q1 - iqr_factor * (q3 - q1), q3 + iqr_factor * (q3 - q1)
    below, above = found.rows_where(found.values < low), found.rows_where(found.values > high)
    varies = found.values.size > 1
    variance = found.central_moment(2) if varies else 0.0
    std = float(np.sqrt(variance * found.size / (found.size - 1))) if found.size > 1 else None
    far = found.rows_where(np.abs(found.deviations) > z_limit * std) if varies and std else 0
    return {
        "count": found.size,
        "mean": found.mean,
        "std": std,
        "min": float(found.values[0]),
        "q1": q1,
        "median": median,
        "q3": q3,
        "max": float(found.values[-1]),
        "skewness": found.central_moment(3) / variance**1.5 if variance else None,
        "excess_kurtosis": found.central_moment(4) / variance**2 - 3 if variance else None,
        "iqr": {
            "low": low,
            "high": high,
            "below": below,
            "above": above,
            "outliers": below + above,
            "share": (below + above) / found.size,
        },
        "z": {"limit": z_limit, "outliers": far, "share": far / found.size},
    }


def gini(found: Distribution) -> float | None:
    """Gini coefficient of amounts that are not negative: 0 where all are equal, near 1 where one has everything.

    G = 2 sum(i x_i) / (n sum(x_i)) - (n + 1) / n over the ascending x_1 ... x_n; None when they sum to nothing.
    """
    total = float((found.values * found.counts).sum())
    if not total:
        return None
    last = np.cumsum(found.counts)
    places = (2 * last - found.counts + 1) * (found.counts / 2)  # sum of the places that equal values take
    size = found.size
    return max(0.0, float(2 * (places * found.values).sum() / (size * total) - (size + 1) / size))


def entropy_bits(counts: Sequence[int]) -> float:
    """Shannon entropy of a count per value, in bits; 0 without counts."""
    shares = np.sort(np.asarray([count for count in counts if count], np.float64))
    if not shares.size:
        return 0.0
    shares /= shares.sum()
    return max(0.0, float(-(shares * np.log2(shares)).sum()))


def correlations(
    engine: duckdb.DuckDBPyConnection, query: str, columns: Sequence[str], *, grain: str, limit: float
) -> dict[str, Any]:
    """Pearson's r and Spearman's rank correlation of every pair of columns, over rows where both have a value.

    Parameters
    ----------
    engine : duckdb.DuckDBPyConnection
        Open connection.
    query : str
        Rows with the columns, in a stated order.
    columns : sequence of str
        Numbers.
    grain : str
        What a row is.
    limit : float
        Pairs beyond it, in either coefficient, are listed.

    Returns
    -------
    dict
        ``grain``, ``rows``, ``limit``, ``columns``, ``constant_columns`` (left out: nothing varies with them),
        ``pearson`` and ``spearman`` (square matrices; None where a pair has fewer than three rows or does not vary)
        and ``strong_pairs``, strongest first.
    """
    names = ", ".join(f'"{name}"::DOUBLE AS "{name}"' for name in columns)
    frame = engine.execute(f"SELECT {names} FROM ({query})").df()
    varying = [name for name in columns if frame[name].nunique() > 1]
    found = {
        method: frame[varying].corr(method=method, min_periods=3).to_numpy() if varying else np.empty((0, 0))
        for method in ("pearson", "spearman")
    }
    matrices = {
        method: [[float(np.clip(r, -1, 1)) if np.isfinite(r) else None for r in row] for row in matrix]
        for method, matrix in found.items()
    }
    pairs = [
        {"first": varying[i], "second": varying[j], **{method: matrices[method][i][j] for method in matrices}}
        for i in range(len(varying))
        for j in range(i + 1, len(varying))
    ]

    def strength(pair: dict[str, Any]) -> float:
        return max(abs(pair[method] or 0.0) for method in matrices)

    return {
        "grain": grain,
        "rows": len(frame),
        "limit": limit,
        "columns": varying,
        "constant_columns": [name for name in columns if name not in varying],
        **matrices,
        "strong_pairs": sorted(
            (pair for pair in pairs if strength(pair) > limit),
            key=lambda pair: (-strength(pair), pair["first"], pair["second"]),
        ),
    }
