"""Checks of forecasts fail when a forecast is no better than a simple one, or its interval is not what it says."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from analytics_assets.checks.forecasts import (
    MIN_POINTS,
    beats_naive_check_spec,
    check_beats_naive,
    check_coverage,
    check_mase,
    check_same_series,
    coverage_check_spec,
    leaderboard_check_specs,
)

FALLBACK: dict[str, Any] = {"horizons": []}


def judged(**longest: Any) -> dict[str, Any]:
    """Figures of one metric: a first horizon that nothing is judged by, and the longest."""
    first = {"relative_mae": 9.0, "coverage95": 0.1, "points": 1000}
    return {"horizons": [first, {"relative_mae": 0.5, "coverage95": 0.95, "points": MIN_POINTS, **longest}]}


def champion(**changes: Any) -> dict[str, Any]:
    row = {"metric": "events", "step": "day", "horizon": 30, "model": "ets", "is_champion": True}
    return {**row, "mase": 0.8, "points": MIN_POINTS, **changes}


def fact(result: dg.AssetCheckResult, name: str) -> Any:
    return result.metadata[name].value


@pytest.mark.parametrize(
    ("relative", "passed"),
    [(0.999, True), (1.0, False), (1.5, False), (None, True)],
    ids=["less", "equal", "more", "0"],
)
def test_errors_are_compared_at_the_longest_horizon(relative: float | None, passed: bool) -> None:
    result = check_beats_naive({"events": judged(relative_mae=relative), "sessions": judged(), "actors": FALLBACK})
    assert result.passed is passed
    assert result.severity == dg.AssetCheckSeverity.WARN
    assert fact(result, "relative_mae") == {"events": relative, "sessions": 0.5}
    assert fact(result, "worse") == ({} if passed else {"events": relative})
    assert result.description == ("" if passed else "not better: events")


@pytest.mark.parametrize(
    ("covered", "points", "passed"),
    [
        (0.90, MIN_POINTS, True),
        (0.99, MIN_POINTS, True),
        (0.89, MIN_POINTS, False),
        (1.0, MIN_POINTS, False),
        (0.5, MIN_POINTS - 1, True),
        (None, MIN_POINTS, True),
    ],
)
def test_coverage_is_judged_with_enough_points(covered: float | None, points: int, passed: bool) -> None:
    result = check_coverage({"events": judged(coverage95=covered, points=points), "actors": FALLBACK})
    assert result.passed is passed
    assert result.severity == dg.AssetCheckSeverity.WARN
    counts = covered is not None and points >= MIN_POINTS
    assert fact(result, "coverage95") == ({"events": covered} if counts else {})
    assert fact(result, "outside") == ({} if passed else {"events": covered})


def test_every_left_out_model_is_named() -> None:
    assert check_same_series({}).passed
    result = check_same_series({"arima_forecast": "it is not materialized"})
    assert not result.passed and result.severity == dg.AssetCheckSeverity.WARN
    assert fact(result, "left_out") == {"arima_forecast": "it is not materialized"}


@pytest.mark.parametrize(
    ("changes", "passed"),
    [
        ({"mase": 0.99}, True),
        ({"mase": 1.0}, False),
        ({"mase": 1.0, "points": MIN_POINTS - 1}, True),
        ({"mase": None}, True),
        ({"mase": 3.0, "is_champion": False}, True),
    ],
)
def test_the_champion_errs_less_than_the_naive_forecast_inside(changes: dict[str, Any], passed: bool) -> None:
    result = check_mase([champion(**changes), champion(horizon=7)])
    assert result.passed is passed
    assert result.severity == dg.AssetCheckSeverity.WARN
    assert fact(result, "above") == ({} if passed else {"events, days 1-30": "ets 1.000"})
    assert fact(result, "mase")["events, days 1-7"] == 0.8
    if changes["mase"] is None:
        assert fact(result, "mase")["events, days 1-30"] == "not measured"


def test_nothing_to_judge_passes() -> None:
    assert all(check({}).passed for check in (check_beats_naive, check_coverage, check_same_series))
    assert check_mase([]).passed


def test_specs_have_the_names_of_the_results() -> None:
    assert beats_naive_check_spec("a").name == check_beats_naive({}).check_name
    assert coverage_check_spec("a").name == check_coverage({}).check_name
    names = [spec.name for spec in leaderboard_check_specs("a")]
    assert names == [check_same_series({}).check_name, check_mase([]).check_name]
