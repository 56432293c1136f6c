"""Statistics of one column and of pairs, against scipy, numpy and definitions written out."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analytics_assets.core.features.distributions import Distribution, correlations, described, entropy_bits, gini

NUMBERS = st.lists(st.one_of(st.integers(0, 9), st.integers(-(10**6), 10**6)), min_size=1, max_size=60)


def distribution(values: list[int], scale: float = 1.0) -> Distribution:
    counts = sorted(Counter(values).items())
    return Distribution(
        np.array([value for value, _ in counts], np.float64) / scale, np.array([n for _, n in counts], np.int64)
    )


def close(actual: float | None, expected: float, scale: float = 1.0) -> bool:
    return actual is not None and math.isclose(actual, expected, rel_tol=1e-9, abs_tol=1e-12 * max(scale, 1))


@given(NUMBERS)
def test_moments_and_quartiles_are_those_of_numpy_and_scipy(values: list[int]) -> None:
    found, array = described(distribution(values), z_limit=3, iqr_factor=1.5), np.array(values, np.float64)
    size = float(np.abs(array).max())
    assert found["count"] == len(values)
    assert (found["min"], found["max"]) == (array.min(), array.max())
    assert close(found["mean"], array.mean(), size)
    for name, share in (("q1", 25), ("median", 50), ("q3", 75)):
        assert close(found[name], float(np.percentile(array, share)), size)
    if len(set(values)) > 1:
        assert close(found["std"], array.std(ddof=1))
        assert close(found["skewness"], stats.skew(array))
        assert found["excess_kurtosis"] == pytest.approx(stats.kurtosis(array), rel=1e-9, abs=1e-9)
    else:
        assert found["std"] == (0.0 if len(values) > 1 else None)
        assert found["skewness"] is found["excess_kurtosis"] is None
        assert found["iqr"]["outliers"] == found["z"]["outliers"] == 0


@given(NUMBERS, st.sampled_from([0.5, 1.5, 3.0]), st.sampled_from([1.0, 2.0, 3.0]))
def test_outliers_are_counted_in_rows(values: list[int], factor: float, limit: float) -> None:
    found, array = described(distribution(values), z_limit=limit, iqr_factor=factor), np.array(values, np.float64)
    q1, q3 = found["q1"], found["q3"]
    assert found["iqr"]["below"] == (array < q1 - factor * (q3 - q1)).sum()
    assert found["iqr"]["above"] == (array > q3 + factor * (q3 - q1)).sum()
    assert found["iqr"]["share"] == pytest.approx((found["iqr"]["below"] + found["iqr"]["above"]) / len(values))
    if len(set(values)) > 1:
        # A value that lies on the border to the last bits may fall on either side.
        distance = np.abs(array - array.mean()) / array.std(ddof=1)
        assert (distance > limit + 1e-9).sum() <= found["z"]["outliers"] <= (distance > limit - 1e-9).sum()
        assert found["z"]["share"] == found["z"]["outliers"] / len(values)


def test_large_values_close_together_keep_their_digits() -> None:
    values = [10**15 + value for value in (1, 2, 2, 3, 9)]
    found, small = (
        described(distribution(rows), z_limit=3, iqr_factor=1.5) for rows in (values, [v - 10**15 for v in values])
    )
    for name in ("std", "skewness", "excess_kurtosis"):
        assert found[name] == pytest.approx(small[name], rel=1e-12)


def test_planted_outliers() -> None:
    found = described(distribution([10, 11, 12, 13, 14] * 20 + [1000, -1000]), z_limit=3, iqr_factor=1.5)
    assert (found["iqr"]["below"], found["iqr"]["above"], found["z"]["outliers"]) == (1, 1, 2)


def test_a_column_without_values_has_no_figures() -> None:
    found = described(distribution([]), z_limit=3, iqr_factor=1.5)
    assert found.pop("count") == 0 and set(found.values()) == {None}


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=40))
def test_gini_is_half_the_relative_mean_difference(values: list[int]) -> None:
    array = np.array(values, np.float64)
    if not array.sum():
        assert gini(distribution(values)) is None
        return
    expected = np.abs(array[:, None] - array).mean() / (2 * array.mean())
    assert gini(distribution(values)) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert gini(distribution([7 * value for value in values])) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_gini_at_its_ends() -> None:
    assert gini(distribution([5] * 10)) == pytest.approx(0, abs=1e-15)
    assert gini(distribution([0] * 99 + [5])) == pytest.approx(0.99)
    assert gini(distribution([])) is None


@given(st.lists(st.integers(0, 10**6), max_size=40))
def test_entropy(counts: list[int]) -> None:
    expected = stats.entropy(counts, base=2) if sum(counts) else 0.0
    assert entropy_bits(counts) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    random = np.random.default_rng(5)
    base = random.lognormal(0, 2, 400)
    frame = pd.DataFrame(
        {
            "base": base,
            "rank_only": np.exp(base / base.max() * 20),
            "opposite": -3 * base + 1,
            "noise": random.normal(size=400).round(1),
            "ties": random.integers(0, 3, 400),
            "gaps": np.where(random.random(400) < 0.5, np.nan, base + random.normal(size=400)),
            "constant": 4.0,
            "unknown": np.nan,
            "nearly_unknown": [1.0, 2.0, *([np.nan] * 398)],
        }
    )
    return frame


def test_correlations_are_those_of_scipy(frame: pd.DataFrame) -> None:
    with duckdb.connect() as engine:
        engine.register("frame", frame)
        rows = ", ".join(f"nullif({name}, 'nan'::DOUBLE) AS {name}" for name in frame)
        found = correlations(engine, f"SELECT {rows} FROM frame", list(frame), grain="row", limit=0.9)
    assert found["rows"] == 400
    assert found["constant_columns"] == ["constant", "unknown"]
    assert found["columns"] == [name for name in frame if name not in ("constant", "unknown")]
    methods: dict[str, Any] = {"pearson": stats.pearsonr, "spearman": stats.spearmanr}
    for method, reference in methods.items():
        for i, first in enumerate(found["columns"]):
            for j, second in enumerate(found["columns"]):
                both = frame[[first, second]].dropna().to_numpy()
                actual = found[method][i][j]
                if len(both) < 3:
                    assert actual is None
                else:
                    expected = reference(both[:, 0], both[:, 1]).statistic
                    assert actual == pytest.approx(expected, rel=1e-9, abs=1e-12), (method, first, second)
    strong = {(pair["first"], pair["second"]) for pair in found["strong_pairs"]}
    assert {("base", "opposite"), ("base", "rank_only"), ("rank_only", "opposite")} <= strong
    assert all("noise" not in pair and "ties" not in pair for pair in strong)
    assert found["strong_pairs"] == sorted(
        found["strong_pairs"], key=lambda pair: -max(abs(pair["pearson"]), abs(pair["spearman"]))
    )


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_too_few_rows_have_no_correlation(rows: int) -> None:
    with duckdb.connect() as engine:
        query = f"SELECT i AS a, -i AS b FROM range({rows}) AS r(i)"
        found = correlations(engine, query, ["a", "b"], grain="row", limit=0.9)
    assert found["strong_pairs"] == [] and found["rows"] == rows
    assert all(value is None for row in found["pearson"] for value in row)
