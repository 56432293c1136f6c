"""Row counts across steps: nothing is lost or doubled between the raw files and a table.

Put here: checks that compare counts of two places. Keep out: checks inside one table (``tables.py``).
"""

from __future__ import annotations

from typing import Any

import dagster as dg

CONSERVATION_CHECK = "every_record_accounted_for"
RECONCILIATION_CHECK = "rows_reconcile"
COMPLETE_CHECK = "files_complete"


def conservation_check_spec() -> dg.AssetCheckSpec:
    """Blocking check of the manifest's law, per file and in total, and of the chunks' rows against it."""
    return dg.AssetCheckSpec(
        CONSERVATION_CHECK,
        asset="event_chunks",
        blocking=True,
        description="Per file and in total: records seen = loaded + duplicates + quarantined + forgotten; every "
        "decompressed byte belongs to a record, a refused span, a separator or a merge record. Another reader finds "
        "the loaded rows in the chunk files, and the refused records and their bytes in the quarantine.",
    )


def check_conservation(
    manifest: dict[str, Any], chunk_rows: int, quarantine_rows: int, quarantine_bytes: int
) -> dg.AssetCheckResult:
    """Judge a manifest against what other code than the writer's counted in the published files."""
    unbalanced = [entry["path"] for entry in manifest["files"] if not _balanced(entry)]
    total = manifest["total"]
    sums_match = all(
        value == sum(entry[name] for entry in manifest["files"]) for name, value in manifest["total"].items()
    )
    found = {
        "rows_in_chunks": (chunk_rows, total["loaded"]),
        "rows_in_quarantine": (quarantine_rows, total["quarantined"]),
        "bytes_in_quarantine": (quarantine_bytes, total["refused_bytes"]),
    }
    return dg.AssetCheckResult(
        check_name=CONSERVATION_CHECK,
        passed=not unbalanced and sums_match and all(counted == stated for counted, stated in found.values()),
        metadata={
            "unbalanced_files": unbalanced,
            "total_equals_sum_of_files": sums_match,
            "loaded": total["loaded"],
            "quarantined": total["quarantined"],
            "refused_bytes": total["refused_bytes"],
            **{name: counted for name, (counted, _) in found.items()},
        },
    )


def _balanced(entry: dict[str, Any]) -> bool:
    records = entry["loaded"] + entry["duplicates"] + entry["quarantined"] + entry["forgotten"]
    accounted = sum(entry[name] for name in ("record_bytes", "refused_bytes", "separator_bytes", "merge_bytes"))
    stored = entry["bytes"] if entry["compression"] == "none" else entry["decompressed_bytes"]
    return entry["records_seen"] == records and entry["decompressed_bytes"] == accounted == stored


def complete_check_spec() -> dg.AssetCheckSpec:
    """Warning when a file ended in the middle of its data."""
    return dg.AssetCheckSpec(
        COMPLETE_CHECK, asset="event_chunks", description="No file ended in the middle of an array or a record."
    )


def check_complete(manifest: dict[str, Any]) -> dg.AssetCheckResult:
    """Name the files that ended early; their complete records are loaded."""
    cut = [entry["path"] for entry in manifest["files"] if not entry["complete"]]
    return dg.AssetCheckResult(
        check_name=COMPLETE_CHECK,
        passed=not cut,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"incomplete_files": cut, "remedy": "Download these files again and materialize the year again."},
    )


def reconciliation_check_spec(asset: str, against: str) -> dg.AssetCheckSpec:
    """Blocking check that the rows an asset accounts for are those of another place."""
    return dg.AssetCheckSpec(
        RECONCILIATION_CHECK, asset=asset, blocking=True, description=f"Accounts for exactly the rows of {against}."
    )


def check_reconciliation(asset: str, *, expected: int, actual: int) -> dg.AssetCheckResult:
    """Compare two counts."""
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=RECONCILIATION_CHECK,
        passed=expected == actual,
        metadata={"expected": expected, "actual": actual, "difference": actual - expected},
    )
