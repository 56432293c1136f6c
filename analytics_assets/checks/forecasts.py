"""Checks of forecasts: are they better than repeating last week, and do their intervals cover what they say?

Put here: these checks. Keep out: how the figures are measured (``core/forecasts``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

MIN_POINTS = 30
"""Outcomes that a check judges by at least: with fewer, a coverage of 95 % cannot be told from one of 85 %."""

COVERAGE_RANGE = (0.90, 0.99)
"""Observed coverage that a 95 % interval is allowed on a backtest of about eight months."""


def beats_naive_check_spec(asset: str) -> dg.AssetCheckSpec:
    """Check that a model errs less than repeating last week."""
    return dg.AssetCheckSpec(
        "beats_seasonal_naive",
        asset=asset,
        description="For every metric the mean absolute error over the longest judged horizon is below that of the "
        "seasonal naive forecast on the same points.",
    )


def check_beats_naive(metrics: Mapping[str, Mapping[str, Any]]) -> dg.AssetCheckResult:
    """Compare by metric; those with a fallback have nothing to fail.

    Parameters
    ----------
    metrics : mapping
        By metric, with ``horizons``: see ``leaderboard.measured``.
    """
    relative = {name: found["horizons"][-1]["relative_mae"] for name, found in metrics.items() if found["horizons"]}
    worse = {name: value for name, value in relative.items() if value is not None and value >= 1}
    return dg.AssetCheckResult(
        check_name="beats_seasonal_naive",
        passed=not worse,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"not better: {', '.join(worse)}" if worse else "",
        metadata={"relative_mae": relative, "threshold": "< 1", "worse": worse},
    )


def coverage_check_spec(asset: str) -> dg.AssetCheckSpec:
    """Check that 95 % intervals held about 95 % of what came."""
    return dg.AssetCheckSpec(
        "intervals_cover",
        asset=asset,
        description="Calibrated 95 % intervals held 90 to 99 % of the outcomes of the judged cuts, for every metric "
        f"with at least {MIN_POINTS} of them.",
    )


def check_coverage(metrics: Mapping[str, Mapping[str, Any]]) -> dg.AssetCheckResult:
    """Judge by metric over the longest judged horizon."""
    low, high = COVERAGE_RANGE
    rows = {name: found["horizons"][-1] for name, found in metrics.items() if found["horizons"]}
    covered = {
        name: row["coverage95"]
        for name, row in rows.items()
        if row["coverage95"] is not None and row["points"] >= MIN_POINTS
    }
    outside = {name: value for name, value in covered.items() if not low <= value <= high}
    return dg.AssetCheckResult(
        check_name="intervals_cover",
        passed=not outside,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"outside: {', '.join(outside)}" if outside else "",
        metadata={"coverage95": covered, "threshold": f"{low} to {high}", "outside": outside},
    )


def leaderboard_check_specs(asset: str) -> list[dg.AssetCheckSpec]:
    """Checks of forecasts side by side."""
    return [
        dg.AssetCheckSpec(
            "same_series",
            asset=asset,
            description="Every model is published and was judged on the same series at the same cuts.",
        ),
        dg.AssetCheckSpec(
            "mase_below_one",
            asset=asset,
            description="The best forecast of every metric and horizon errs less than the seasonal naive forecast did "
            f"inside the known data (MASE < 1); judged where at least {MIN_POINTS} outcomes are known.",
        ),
    ]


def check_same_series(left_out: Mapping[str, str]) -> dg.AssetCheckResult:
    """Pass when no model had to be left out."""
    return dg.AssetCheckResult(
        check_name="same_series",
        passed=not left_out,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"left_out": dict(left_out)},
    )


def check_mase(rows: Sequence[Mapping[str, Any]]) -> dg.AssetCheckResult:
    """Judge the champions; without a seasonal naive error inside the data there is nothing to fail.

    Parameters
    ----------
    rows : sequence of mapping
        Of ``FORECAST_LEADERBOARD``.
    """
    best = {f"{row['metric']}, {row['step']}s 1-{row['horizon']}": row for row in rows if row["is_champion"]}
    above = {
        name: f"{row['model']} {row['mase']:.3f}"
        for name, row in best.items()
        if row["mase"] is not None and row["mase"] >= 1 and row["points"] >= MIN_POINTS
    }
    return dg.AssetCheckResult(
        check_name="mase_below_one",
        passed=not above,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"not below 1: {', '.join(above)}" if above else "",
        metadata={
            "mase": {name: row["mase"] if row["mase"] is not None else "not measured" for name, row in best.items()},
            "threshold": "< 1",
            "above": above,
        },
    )
