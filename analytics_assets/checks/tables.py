"""Schema check of a published table: it must hold what ``schemas`` declares.

Put here: the check that every table shares. Keep out: counts across tables (``reconciliation.py``).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from analytics_assets.schemas import Column, Table

if TYPE_CHECKING:
    import duckdb

SCHEMA_CHECK = "matches_schema"

OFFENDERS = 5
"""Rows shown of each kind of mistake: enough to find the cause, small in the event log."""

TOLERANCE = 1e-9
"""How far beyond a bound a real number may lie: shares that are sums of shares round to a little more than 1."""


def schema_check_spec(asset: str, table: Table, *, name: str = SCHEMA_CHECK) -> dg.AssetCheckSpec:
    """Blocking check that the file of `asset` has the columns, types, nulls, key and ranges of `table`."""
    return dg.AssetCheckSpec(
        name,
        asset=asset,
        blocking=True,
        description=f"Columns, types, non-null columns, unique key ({', '.join(table.key)}) and the ranges of numbers "
        "are as declared; no number is infinite or NaN.",
    )


def check_schema(asset: str, table: Table, path: Path, *, name: str = SCHEMA_CHECK) -> dg.AssetCheckResult:
    """Compare the Parquet file at `path` with the declaration."""
    import duckdb
    import pyarrow.parquet as pq

    from analytics_assets.core.features.engine import parquet

    expected = {field.name: str(field.type) for field in table.arrow_schema()}
    actual = {field.name: str(field.type) for field in pq.read_schema(path)}
    columns = [name for name in table.column_names if not table.column(name).nullable and name in actual]
    numbers = [
        column
        for column in table.columns
        if column.type in ("int64", "float64") and actual.get(column.name) == expected[column.name]
    ]
    with duckdb.connect(":memory:") as engine:
        engine.execute(f"CREATE VIEW rows AS SELECT * FROM {parquet([path])}")
        nulls = _counted(engine, {name: f'"{name}" IS NULL' for name in columns})
        repeated = _repeated_keys(engine, table) if set(table.key) <= actual.keys() else []
        outside = _counted(engine, {column.name: _is_outside(column) for column in numbers})
        beyond = {name: _range_in_words(engine, table.column(name), count) for name, count in outside.items()}
        offenders = {
            name: _offenders(engine, table, name, _is_outside(table.column(name)), actual.keys()) for name in outside
        } | {name: _offenders(engine, table, name, f'"{name}" IS NULL', actual.keys()) for name in nulls}
    wrong_types = {
        name: f"{actual[name]}, expected {expected[name]}"
        for name in expected.keys() & actual
        if actual[name] != expected[name]
    }
    missing, extra = sorted(expected.keys() - actual), sorted(actual.keys() - expected)
    passed = not (missing or extra or wrong_types or nulls or repeated or outside)
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=name,
        passed=passed,
        metadata={
            "missing_columns": missing,
            "extra_columns": extra,
            "wrong_types": wrong_types,
            "unexpected_nulls": nulls,
            "repeated_keys": repeated,
            "out_of_range": beyond,
            **({"offenders": offenders} if offenders else {}),
        },
    )


def _counted(engine: duckdb.DuckDBPyConnection, conditions: dict[str, str]) -> dict[str, int]:
    """How many rows meet each condition, where any do."""
    if not conditions:
        return {}
    counts = ", ".join(f"count(*) FILTER ({condition})" for condition in conditions.values())
    [row] = engine.execute(f"SELECT {counts} FROM rows").fetchall()
    return {name: count for name, count in zip(conditions, row, strict=True) if count}


def _is_outside(column: Column) -> str:
    """Whether a number lies outside its column's bounds, or is none."""
    name, (low, high) = f'"{column.name}"', column.bounds
    tests = []
    if math.isfinite(low):
        tests.append(f"{name} < {low - TOLERANCE!r}" if column.type == "float64" else f"{name} < {low:.0f}")
    if math.isfinite(high):
        tests.append(f"{name} > {high + TOLERANCE!r}" if column.type == "float64" else f"{name} > {high:.0f}")
    if column.type == "float64":
        tests.append(f"NOT isfinite({name})")
    return f"({' OR '.join(tests) or 'false'})"


def _range_in_words(engine: duckdb.DuckDBPyConnection, column: Column, count: int) -> str:
    [(least, most)] = engine.execute(f'SELECT min("{column.name}"), max("{column.name}") FROM rows').fetchall()
    low, high = column.bounds
    return f"{count} rows outside {low:g} to {high:g}; found {least:g} to {most:g}"


def _repeated_keys(engine: duckdb.DuckDBPyConnection, table: Table) -> list[str]:
    """The most repeated keys with the number of their rows."""
    key = ", ".join(f'"{name}"' for name in table.key)
    rows = engine.execute(
        f"SELECT {key}, count(*) FROM rows GROUP BY {key} HAVING count(*) > 1 ORDER BY count(*) DESC, {key} "
        f"LIMIT {OFFENDERS}"
    ).fetchall()
    return [f"{', '.join(_shown(value) for value in row[:-1])}: {row[-1]} rows" for row in rows]


def _offenders(engine: duckdb.DuckDBPyConnection, table: Table, name: str, condition: str, there: Any) -> list[str]:
    """Keys of some rows that meet a condition, with the column's value."""
    key = [column for column in table.key if column in there]
    chosen = ", ".join(f'"{column}"' for column in [*key, name])
    rows = engine.execute(f"SELECT {chosen} FROM rows WHERE {condition} ORDER BY ALL LIMIT {OFFENDERS}").fetchall()
    return [f"{', '.join(_shown(value) for value in row[:-1])}: {_shown(row[-1])}" for row in rows]


def _shown(value: object) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= 60 else text[:59] + "…"
