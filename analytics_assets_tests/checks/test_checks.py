"""Every check fails when what it guards is broken."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analytics_assets.checks.deliveries import check_delivery, delivered_before
from analytics_assets.checks.models import check_baseline
from analytics_assets.checks.reconciliation import check_complete, check_conservation, check_reconciliation
from analytics_assets.checks.tables import check_schema
from analytics_assets.core.lake import Lake
from analytics_assets.schemas import MARKOV_TRANSITIONS as TABLE
from analytics_assets.schemas import Column

GOOD = {
    "order": [1, 2],
    "previous_event": [None, None],
    "from_event": ["a", "a"],
    "to_event": ["b", "b"],
    "transitions": [1, 1],
    "probability": [1.0, 1.0],
}


def schema_result(tmp_path: Path, table: pa.Table) -> dg.AssetCheckResult:
    path = tmp_path / "table.parquet"
    pq.write_table(table, path)
    return check_schema("markov_chain", TABLE, path)


def fact(result: dg.AssetCheckResult, name: str) -> Any:
    return result.metadata[name].value


def test_schema_check_accepts_the_declared_table(tmp_path: Path) -> None:
    assert schema_result(tmp_path, pa.table(GOOD, TABLE.arrow_schema())).passed


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda t: t.drop_columns(["from_event"]), "missing_columns"),
        (lambda t: t.append_column("surprise", pa.array([1, 2])), "extra_columns"),
        (lambda t: t.set_column(4, "transitions", pa.array(["1", "1"])), "wrong_types"),
        (lambda t: t.set_column(3, "to_event", pa.array(["b", None])), "unexpected_nulls"),
        (lambda t: t.set_column(0, "order", pa.array([1, 1])), "repeated_keys"),
    ],
)
def test_schema_check_names_what_is_wrong(tmp_path: Path, change: Any, name: str) -> None:
    result = schema_result(tmp_path, change(pa.table(GOOD, TABLE.arrow_schema())))
    assert not result.passed
    assert fact(result, name)


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("transitions", [1, -3], "1 rows outside 0 to inf; found -3 to 1"),
        ("probability", [0.5, 1.25], "1 rows outside 0 to 1; found 0.5 to 1.25"),
        ("probability", [0.5, math.inf], "1 rows outside 0 to 1; found 0.5 to inf"),
        ("probability", [math.nan, math.nan], "2 rows outside 0 to 1; found nan to nan"),
    ],
)
def test_schema_check_names_numbers_out_of_range(tmp_path: Path, column: str, values: list[float], words: str) -> None:
    table = pa.table(GOOD | {column: values}, TABLE.arrow_schema())
    result = schema_result(tmp_path, table)
    assert not result.passed
    assert fact(result, "out_of_range") == {column: words}
    assert fact(result, "offenders")[column][-1].startswith("2, null, a, b: ")


def test_shares_that_round_beyond_one_are_in_range(tmp_path: Path) -> None:
    table = pa.table(GOOD | {"probability": [1.0 + 1e-15, -1e-15]}, TABLE.arrow_schema())
    assert schema_result(tmp_path, table).passed


def test_a_column_may_declare_a_range_of_its_own() -> None:
    assert Column("a", "float64", "", unit="share").bounds == (0, 1)
    assert Column("a", "float64", "", unit="share", minimum=-1, maximum=math.inf).bounds == (-1, math.inf)
    assert Column("a", "float64", "", unit="ms").bounds == (-math.inf, math.inf)


def test_failures_show_the_worst_keys(tmp_path: Path) -> None:
    table = pa.table(GOOD | {"order": [1, 1]}, TABLE.arrow_schema())
    assert fact(schema_result(tmp_path, table), "repeated_keys") == ["1, null, a, b: 2 rows"]


@pytest.mark.parametrize(
    ("now", "gone", "replaced", "new"),
    [
        ({"a": "1", "b": "2"}, [], [], 0),
        ({"a": "1", "b": "2", "c": "3"}, [], [], 1),
        ({"b": "2"}, ["a"], [], 0),
        ({"a": "9", "b": "2", "c": "3"}, [], ["a"], 1),
    ],
)
def test_deliveries_that_go_or_change_are_warned_of(
    now: dict[str, str], gone: list[str], replaced: list[str], new: int
) -> None:
    result = check_delivery(now, {"a": "1", "b": "2"})
    assert result.passed is not bool(gone or replaced)
    assert result.severity == dg.AssetCheckSeverity.WARN
    assert (fact(result, "gone"), fact(result, "replaced"), fact(result, "new_files")) == (gone, replaced, new)
    assert fact(result, "actual_unchanged") == 2 - len(gone) - len(replaced)


def test_a_first_delivery_has_nothing_to_compare_with(lake: Lake) -> None:
    assert delivered_before(lake, "2024") is None
    result = check_delivery({"a": "1"}, None)
    assert result.passed and "not been ingested" in str(fact(result, "note"))
    lake.chunks("2024").mkdir(parents=True)
    lake.manifest("2024").write_text("{broken")
    assert delivered_before(lake, "2024") is None


def manifest(**changes: int) -> dict[str, Any]:
    """Two files of which the first has changed figures; the totals follow."""
    first = {"records_seen": 10, "loaded": 6, "duplicates": 2, "quarantined": 1, "forgotten": 1}
    first |= {"bytes": 100, "decompressed_bytes": 100}
    first |= {"record_bytes": 80, "refused_bytes": 9, "separator_bytes": 10, "merge_bytes": 1}
    second = dict.fromkeys(first, 0) | {"records_seen": 1, "loaded": 1, "bytes": 5, "decompressed_bytes": 40}
    second |= {"record_bytes": 38, "separator_bytes": 2}
    files = [first | changes, second]
    about = [{"path": "a.json", "compression": "none"}, {"path": "b.json.gz", "compression": "gzip"}]
    return {
        "files": [facts | file | {"complete": True} for facts, file in zip(about, files, strict=True)],
        "total": {name: sum(file[name] for file in files) for name in first},
    }


def test_conservation() -> None:
    assert check_conservation(manifest(), chunk_rows=7, quarantine_rows=1, quarantine_bytes=9).passed
    assert not check_conservation(manifest(loaded=5), chunk_rows=6, quarantine_rows=1, quarantine_bytes=9).passed
    assert not check_conservation(manifest(), chunk_rows=6, quarantine_rows=1, quarantine_bytes=9).passed
    assert not check_conservation(manifest(), chunk_rows=7, quarantine_rows=0, quarantine_bytes=9).passed
    assert not check_conservation(manifest(), chunk_rows=7, quarantine_rows=1, quarantine_bytes=8).passed
    unequal = manifest()
    unequal["total"] = unequal["total"] | {"records_seen": 12, "loaded": 8}
    assert not check_conservation(unequal, chunk_rows=8, quarantine_rows=1, quarantine_bytes=9).passed


@pytest.mark.parametrize("changes", [{"separator_bytes": 9}, {"decompressed_bytes": 101}, {"bytes": 101}])
def test_bytes_that_are_not_accounted_for_fail(changes: dict[str, int]) -> None:
    result = check_conservation(manifest(**changes), chunk_rows=7, quarantine_rows=1, quarantine_bytes=9)
    assert not result.passed and fact(result, "unbalanced_files") == ["a.json"]


def test_incomplete_files_warn() -> None:
    cut = manifest()
    assert check_complete(cut).passed
    cut["files"][0]["complete"] = False
    result = check_complete(cut)
    assert not result.passed and result.severity == dg.AssetCheckSeverity.WARN
    assert fact(result, "incomplete_files") == ["a.json"]


def test_reconciliation_shows_the_difference() -> None:
    assert check_reconciliation("sessions", expected=5, actual=5).passed
    result = check_reconciliation("sessions", expected=5, actual=4)
    assert not result.passed and fact(result, "difference") == -1


@pytest.mark.parametrize(
    ("model", "reference", "passed"), [(0.5, 0.4, True), (0.4, 0.4, False), (0.3, 0.4, False), (None, 0.4, True)]
)
def test_baseline(model: float | None, reference: float, passed: bool) -> None:
    result = check_baseline("repeat_last", model=model, reference=reference, severity=dg.AssetCheckSeverity.WARN)
    assert result.passed is passed
