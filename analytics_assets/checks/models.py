"""Checks of trained models: does a model beat what is trivially known?

Put here: comparisons with baselines. Keep out: how the metrics are measured (``core/models``).
"""

from __future__ import annotations

import dagster as dg


def baseline_check_spec(asset: str, baseline: str, *, description: str) -> dg.AssetCheckSpec:
    """Check that a model is better than one baseline."""
    return dg.AssetCheckSpec(f"beats_{baseline}", asset=asset, description=description)


def check_baseline(
    baseline: str, *, model: float | None, reference: float | None, severity: dg.AssetCheckSeverity
) -> dg.AssetCheckResult:
    """Compare two figures where more is better; without test data there is nothing to fail."""
    measured = model is not None and reference is not None
    return dg.AssetCheckResult(
        check_name=f"beats_{baseline}",
        passed=not measured or float(model or 0) > float(reference or 0),
        severity=severity,
        metadata={
            "model": model if model is not None else "not measured",
            "baseline": reference if reference is not None else "not measured",
            "improvement": float(model or 0) - float(reference or 0) if measured else "not measured",
        },
    )
