"""Checks of ``analysis_results.json``: it is as its schema says, and its totals are those of other places.

Put here: how those judgements are shown. Keep out: the judgements (``core/results``).
"""

from __future__ import annotations

from typing import Any

import dagster as dg

RESULTS_SCHEMA_CHECK = "matches_json_schema"
AGREEMENT_CHECK = "figures_agree"
ASSET = "analysis_results"

SHOWN_VIOLATIONS = 20
"""Violations shown: the first ones tell what is wrong."""


def results_check_specs() -> list[dg.AssetCheckSpec]:
    """The checks of this module."""
    return [
        dg.AssetCheckSpec(
            RESULTS_SCHEMA_CHECK,
            asset=ASSET,
            blocking=True,
            description="The file is as the shipped JSON Schema says.",
        ),
        dg.AssetCheckSpec(
            AGREEMENT_CHECK,
            asset=ASSET,
            description="Events and sessions equal those of the manifests, the sessions and the Spark summaries.",
        ),
    ]


def check_results_schema(violations: list[str]) -> dg.AssetCheckResult:
    """Name the places that break the schema."""
    return dg.AssetCheckResult(
        asset_key=ASSET,
        check_name=RESULTS_SCHEMA_CHECK,
        passed=not violations,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"violations": len(violations), "first": violations[:SHOWN_VIOLATIONS]},
    )


def check_agreement(comparisons: list[dict[str, Any]]) -> dg.AssetCheckResult:
    """Name the totals that differ."""
    differing = [entry for entry in comparisons if entry["published"] != entry["counted"]]
    return dg.AssetCheckResult(
        asset_key=ASSET,
        check_name=AGREEMENT_CHECK,
        passed=not differing,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"compared": len(comparisons), "differing": differing},
    )
