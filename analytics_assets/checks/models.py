"""Checks of trained models: does a model beat what is trivially known, and is it as good as it was?

Put here: comparisons with baselines and with the last materialization. Keep out: how figures are measured
(``core/models``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

NOT_MEASURED = "not measured"


def baseline_check_spec(asset: str, baseline: str, description: str) -> dg.AssetCheckSpec:
    """Check that a model is better than one baseline: see `check_baseline` and `check_beats`."""
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
            "model": model if model is not None else NOT_MEASURED,
            "baseline": reference if reference is not None else NOT_MEASURED,
            "improvement": float(model or 0) - float(reference or 0) if measured else NOT_MEASURED,
        },
    )


def check_beats(
    baseline: str,
    improvement: Mapping[str, Any],
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
    *,
    name: str | None = None,
) -> dg.AssetCheckResult:
    """Pass when the lower end of the improvement's interval is above 0, and where there was nothing to predict.

    Parameters
    ----------
    baseline : str
        Its name.
    improvement : mapping
        From ``metrics.improvement``.
    severity : AssetCheckSeverity
    name : str, optional
        Of the check; ``beats_<baseline>`` by default.
    """
    from analytics_assets.core.models.metrics import beats

    interval = improvement["top1_interval"]
    return dg.AssetCheckResult(
        check_name=name or f"beats_{baseline}",
        passed=interval is None or beats(dict(improvement)),
        severity=severity,
        description="" if interval is None else f"top-1 accuracy {improvement['top1']:+.4f} against {baseline}",
        metadata={
            "baseline": baseline,
            "improvement": NOT_MEASURED if interval is None else improvement["top1"],
            "interval_low": NOT_MEASURED if interval is None else interval[0],
            "interval_high": NOT_MEASURED if interval is None else interval[1],
            "threshold": "interval_low > 0",
        },
    )


def not_fallen_check_spec(asset: str) -> dg.AssetCheckSpec:
    """Check that a model is about as good as at its last materialization."""
    return dg.AssetCheckSpec(
        "has_not_fallen",
        asset=asset,
        description="Top-1 accuracy has not fallen by more than max_fall since the last materialization.",
    )


def check_not_fallen(now: float | None, before: float | None, max_fall: float) -> dg.AssetCheckResult:
    """Compare top-1 accuracy with that of the artefact that was replaced, if any."""
    measured = now is not None and before is not None
    return dg.AssetCheckResult(
        check_name="has_not_fallen",
        passed=not measured or float(now or 0) >= float(before or 0) - max_fall,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "now": now if now is not None else NOT_MEASURED,
            "before": before if before is not None else NOT_MEASURED,
            "max_fall": max_fall,
        },
    )


CROWNED = ("markov_chain", "lstm_next_event", "xgboost_next_event")
"""Models that are meant to predict best; the hidden Markov model explains and may lose."""


def leaderboard_check_specs(asset: str) -> list[dg.AssetCheckSpec]:
    """Checks of models side by side."""
    return [
        dg.AssetCheckSpec(
            "same_test_sessions",
            asset=asset,
            description="Every model is published and was judged by the same test sessions.",
        ),
        *(
            dg.AssetCheckSpec(
                f"{model}_beats_simpler", asset=asset, description=f"{model} beats the best simpler way to predict."
            )
            for model in CROWNED
        ),
        dg.AssetCheckSpec(
            "no_model_beats_the_optimum",
            asset=asset,
            description="No model is better than the best that is possible on generated data: one that is has seen "
            "what it should not. Nothing to check on real data.",
        ),
    ]


def check_same_test_sessions(left_out: Mapping[str, str]) -> dg.AssetCheckResult:
    """Pass when no model had to be left out."""
    return dg.AssetCheckResult(
        check_name="same_test_sessions",
        passed=not left_out,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"left_out": dict(left_out)},
    )


def check_beats_simpler(model: str, row: Mapping[str, Any] | None) -> dg.AssetCheckResult:
    """Compare a model with the best rung below it; a model that is left out has nothing to fail.

    Parameters
    ----------
    model : str
    row : mapping, optional
        Its row of ``NEXT_EVENT_LEADERBOARD``.
    """
    measured = row is not None and row["improvement_top1"] is not None
    shown = row if measured and row is not None else {}
    return dg.AssetCheckResult(
        check_name=f"{model}_beats_simpler",
        passed=not measured or bool(shown["beats_best_simpler"]),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "best_simpler": shown.get("best_simpler_rung") or NOT_MEASURED,
            "improvement": shown.get("improvement_top1", NOT_MEASURED),
            "interval_low": shown.get("improvement_top1_low", NOT_MEASURED),
            "interval_high": shown.get("improvement_top1_high", NOT_MEASURED),
            "threshold": "interval_low > 0",
        },
    )


def check_optimum(over: Mapping[str, Mapping[str, Any]]) -> dg.AssetCheckResult:
    """Pass when no improvement over the Bayes-optimal predictor is clear of chance."""
    from analytics_assets.core.models.metrics import beats

    beaten = {model: found["top1"] for model, found in over.items() if beats(dict(found))}
    return dg.AssetCheckResult(
        check_name="no_model_beats_the_optimum",
        passed=not beaten,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "beaten_by": beaten,
            "difference": {model: found["top1"] for model, found in over.items()} or NOT_MEASURED,
        },
    )
