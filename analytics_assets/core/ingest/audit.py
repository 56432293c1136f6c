"""Counting what is published by other means than it was written.

Put here: independent counts for the conservation check. Keep out: the judgement (``checks/reconciliation.py``).
"""

from __future__ import annotations

from analytics_assets.core.features.engine import open_engine, raw_chunks
from analytics_assets.core.ingest.quarantine import read_quarantine
from analytics_assets.core.lake import Lake


def count_published(lake: Lake, year: str) -> tuple[int, int, int]:
    """Rows that DuckDB reads from a year's chunks, records in its quarantine, and their bytes."""
    with open_engine(lake.staging() / "duckdb") as engine:
        query = f"SELECT count(*) FROM {raw_chunks(sorted(lake.chunks(year).glob('part-*.csv')))}"
        rows = int(engine.execute(query).fetchall()[0][0])
    records = size = 0
    for refused in read_quarantine(lake.quarantine(year)):
        records += 1
        size += len(refused.raw)
    return rows, records, size
