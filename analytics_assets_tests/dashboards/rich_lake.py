"""The small lake with places, devices and latencies that the hand-made exports lack.

Put here: rewriting the feature tables of a lake, and reading them back for comparison. Keep out: assertions.
"""

from __future__ import annotations

import duckdb
import pandas as pd
from pyarrow import parquet

from analytics_assets.core.lake import Lake

HOSTILE_REGION = "=cmd|' /C calc'!A0"
HOSTILE_CITY = "<script>alert(2)</script>"
YEARS = ("2020", "2021")

_ENRICHED = """
    SELECT * REPLACE (
        'user:user-' || event_id % 11 AS actor,
        CASE event_id % 4 WHEN 0 THEN 'United States' WHEN 1 THEN 'India' WHEN 2 THEN 'Germany' END AS country,
        CASE event_id % 4 WHEN 0 THEN 'USA' WHEN 1 THEN 'IND' WHEN 2 THEN 'DEU' END AS country_code,
        CASE WHEN event_id % 4 = 3 THEN NULL WHEN event_id % 5 = 0 THEN 'device_history' ELSE 'observed' END
            AS country_method,
        CASE WHEN event_id % 4 = 3 THEN NULL WHEN event_id % 5 = 0 THEN 0.5 ELSE 1 END AS country_confidence,
        CASE WHEN event_id % 4 = 3 OR event_id % 7 = 0 THEN NULL WHEN event_id % 11 = 1 THEN $hostile_region
            ELSE 'Main' END AS region,
        CASE WHEN event_id % 4 = 3 OR event_id % 7 = 0 THEN NULL WHEN event_id % 3 = 0 THEN 'distribution'
            ELSE 'observed' END AS region_method,
        CASE WHEN event_id % 4 = 3 OR event_id % 7 = 0 THEN NULL ELSE 1 END AS region_confidence,
        CASE WHEN event_id % 4 = 3 OR event_id % 7 = 0 THEN NULL ELSE $hostile_city END AS city,
        CASE WHEN event_id % 4 = 3 OR event_id % 7 = 0 THEN NULL ELSE 'observed' END AS city_method,
        'Chrome' AS os_name, '1' || event_id % 3 AS os_version,
        CASE WHEN event_id % 11 = 0 THEN 7200000 WHEN event_id % 13 = 0 THEN NULL
            ELSE (10 * (1 + event_id % 17))::DOUBLE END AS latency_ms
    )
    FROM read_parquet($source)
"""


def enrich(lake: Lake) -> None:
    """Give the events of a lake places, devices and latencies, which follow from their counters."""
    for year in YEARS:
        for table in ("clean_events", "dropped_events"):
            path = lake.feature(table, year)
            names = {"source": str(path), "hostile_region": HOSTILE_REGION, "hostile_city": HOSTILE_CITY}
            parquet.write_table(duckdb.sql(_ENRICHED, params=names).to_arrow_table(), path)


def events(lake: Lake) -> pd.DataFrame:
    """Every accepted event, as the pages count them."""
    return _read(lake, ("clean_events", "dropped_events"))


def sessions(lake: Lake) -> pd.DataFrame:
    """Sessions, one that crosses New Year as one row."""
    parts = _read(lake, ("sessions",)).sort_values("start_time")
    joined = parts.groupby("session_key").agg(
        start=("start_time", "min"), end=("end_time", "max"), events=("events", "sum"),
        intents=("intent_events", "sum"), entry=("entry_event", "first"), exit=("exit_event", "last"),
    )  # fmt: skip
    return joined.assign(seconds=(joined["end"] - joined["start"]).dt.total_seconds())


def _read(lake: Lake, tables: tuple[str, ...]) -> pd.DataFrame:
    files = [str(lake.feature(table, year)) for table in tables for year in YEARS]
    return duckdb.sql("FROM read_parquet($files)", params={"files": files}).df()
