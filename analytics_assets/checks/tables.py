"""Schema check of a published table: it must hold what ``schemas`` declares.

Put here: the check that every table shares. Keep out: counts across tables (``reconciliation.py``).
"""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from analytics_assets.schemas import Table

SCHEMA_CHECK = "matches_schema"


def schema_check_spec(asset: str, table: Table, *, name: str = SCHEMA_CHECK) -> dg.AssetCheckSpec:
    """Blocking check that the file of `asset` has the columns, types, nulls and key of `table`."""
    return dg.AssetCheckSpec(
        name,
        asset=asset,
        blocking=True,
        description=f"Columns, types, non-null columns and unique key ({', '.join(table.key)}) are as declared.",
    )


def check_schema(asset: str, table: Table, path: Path, *, name: str = SCHEMA_CHECK) -> dg.AssetCheckResult:
    """Compare the Parquet file at `path` with the declaration."""
    import duckdb
    import pyarrow.parquet as pq

    from analytics_assets.core.features.engine import parquet

    expected = {field.name: str(field.type) for field in table.arrow_schema()}
    actual = {field.name: str(field.type) for field in pq.read_schema(path)}
    columns = [name for name in table.column_names if not table.column(name).nullable and name in actual]
    key = ", ".join(f'"{name}"' for name in table.key)
    counts = ", ".join(f'count(*) - count("{name}")' for name in columns)
    with duckdb.connect(":memory:") as engine:
        engine.execute(f"CREATE VIEW rows AS SELECT * FROM {parquet([path])}")
        [nulls] = engine.execute(f"SELECT {counts} FROM rows").fetchall() if columns else [()]
        [(repeated,)] = (
            engine.execute(
                f"SELECT count(*) FROM (SELECT {key} FROM rows GROUP BY {key} HAVING count(*) > 1)"
            ).fetchall()
            if set(table.key) <= actual.keys()
            else [(0,)]
        )
    wrong_types = {
        name: f"{actual[name]}, expected {expected[name]}"
        for name in expected.keys() & actual
        if actual[name] != expected[name]
    }
    null_counts = {name: count for name, count in zip(columns, nulls, strict=True) if count}
    missing, extra = sorted(expected.keys() - actual), sorted(actual.keys() - expected)
    passed = not (missing or extra or wrong_types or null_counts or repeated)
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=name,
        passed=passed,
        metadata={
            "missing_columns": missing,
            "extra_columns": extra,
            "wrong_types": wrong_types,
            "unexpected_nulls": null_counts,
            "repeated_keys": repeated,
        },
    )
