"""Checks of a year's quality: its grades, each as a warning.

Put here: how a grade becomes an asset check. Keep out: which figure has which limit (``core/features/grades.py``).

None of them blocks: the tables are right whatever the year is like, and a person decides what a warning is worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from analytics_assets.core.features.grades import GRADES

QUALITY_ASSET = "data_quality"

_NOTHING = {
    "stable_against_previous_year": "There are no tables of the year before to compare with.",
}
"""Why a grade has no value, where that is not for want of events."""


def quality_check_specs() -> list[dg.AssetCheckSpec]:
    """One check per grade."""
    return [dg.AssetCheckSpec(name, asset=QUALITY_ASSET, description=what) for name, what in GRADES.items()]


def check_quality(report: Mapping[str, Any]) -> list[dg.AssetCheckResult]:
    """Results of all grades of a quality report: the figure, its limit and what is beyond it."""
    return [_result(grade) for grade in report["grades"]]


def _result(grade: Mapping[str, Any]) -> dg.AssetCheckResult:
    measured = grade["value"] is not None
    return dg.AssetCheckResult(
        asset_key=QUALITY_ASSET,
        check_name=grade["name"],
        passed=grade["passed"],
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "limit": grade["limit"],
            "actual": grade["value"] if measured else "not measured",
            "offenders": {offender["name"]: offender["value"] for offender in grade["offenders"]},
            **({} if measured else {"note": _NOTHING.get(grade["name"], "There are no events to measure it on.")}),
        },
    )
