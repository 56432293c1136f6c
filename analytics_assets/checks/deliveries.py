"""Check of the raw files: what was delivered before is still there as it was.

Put here: comparing a year's files with those that its chunks were made from. Keep out: what is inside the files
(``reconciliation.py``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import dagster as dg

from analytics_assets.core.files import read_json
from analytics_assets.core.lake import Lake

RAW_ASSET = "raw_export"
DELIVERY_CHECK = "deliveries_stay"

SHOWN_FILES = 10
"""Names shown of each kind: an export by hours has thousands."""


def delivery_check_spec() -> dg.AssetCheckSpec:
    """Warning when delivered files are gone or have other bytes than before."""
    return dg.AssetCheckSpec(
        DELIVERY_CHECK,
        asset=RAW_ASSET,
        description="Every file that the year's chunks were made from is still there with the same bytes. A delivery "
        "adds files; one that is gone or replaced takes its events out of every figure.",
    )


def delivered_before(lake: Lake, year: str) -> dict[str, str] | None:
    """SHA-256 by name of the files that the year's chunks were made from; None where there are no chunks."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return {entry["path"]: entry["sha256"] for entry in read_json(lake.manifest(year))["files"]}
    return None


def check_delivery(now: Mapping[str, str], before: Mapping[str, str] | None) -> dg.AssetCheckResult:
    """Compare the files of now with those of the last ingestion, both SHA-256 by name."""
    known = before or {}
    gone = sorted(known.keys() - now)
    replaced = sorted(name for name in known.keys() & now if known[name] != now[name])
    return dg.AssetCheckResult(
        asset_key=RAW_ASSET,
        check_name=DELIVERY_CHECK,
        passed=not gone and not replaced,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "expected_unchanged": len(known),
            "actual_unchanged": len(known) - len(gone) - len(replaced),
            "new_files": len(now.keys() - known),
            "gone": gone[:SHOWN_FILES],
            "replaced": replaced[:SHOWN_FILES],
            "gone_files": len(gone),
            "replaced_files": len(replaced),
            **({} if before is not None else {"note": "The year has not been ingested before."}),
        },
    )
