"""Checks of a year's quality: its grades, and how recent its events are, each as a warning.

Put here: how a figure becomes an asset check. Keep out: which grade has which limit (``core/features/grades.py``).

None of them blocks: the tables are right whatever the year is like, and a person decides what a warning is worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from analytics_assets.core.features.grades import GRADES

QUALITY_ASSET = "data_quality"

_NOTHING = {
    "stable_against_previous_year": "There are no tables of the year before to compare with.",
}
"""Why a grade has no value, where that is not for want of events."""


RECENCY_CHECK = "events_are_recent"


def quality_check_specs() -> list[dg.AssetCheckSpec]:
    """One check per grade, and that of recency."""
    recency = dg.AssetCheckSpec(
        RECENCY_CHECK,
        asset=QUALITY_ASSET,
        description="The newest event of the current year is not older than max_age_days: the source still delivers. "
        "The asset's freshness only says when it was last computed.",
    )
    return [*(dg.AssetCheckSpec(name, asset=QUALITY_ASSET, description=what) for name, what in GRADES.items()), recency]


def check_recency(report: Mapping[str, Any], year: str, max_age_days: float, now: datetime) -> dg.AssetCheckResult:
    """Age of the newest event against its limit; a year that is over only has to be there.

    Parameters
    ----------
    report : mapping
        Quality report of the year.
    year : str
    max_age_days : float
    now : datetime
        With a zone.
    """
    last = report["time"]["last_event_time"]
    over = int(year) < now.astimezone(UTC).year
    age = (now - datetime.fromisoformat(last).replace(tzinfo=UTC)) / timedelta(days=1) if last else None
    return dg.AssetCheckResult(
        asset_key=QUALITY_ASSET,
        check_name=RECENCY_CHECK,
        passed=over or (age is not None and age <= max_age_days),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "limit_days": max_age_days,
            "age_days": "no event" if age is None else round(age, 3),
            "last_event_time": last or "none",
            **({"note": f"{year} is over."} if over else {}),
        },
    )


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
