"""One schema per published table: names, types, units, meanings and keys.

Put here: the tables by name. Keep out: how a table is computed (``core/``), and conversions that need a heavy library
at import time. From these declarations come the Spark schema, the Arrow schema, Dagster's column schema and the blocking
schema check.
"""

from __future__ import annotations

from analytics_assets.schemas.columns import NULL_TOKENS, Column, ColumnType, Table
from analytics_assets.schemas.events import (
    EVENT_CHUNKS,
    MAX_CHUNK_ROWS,
    NESTED_COLUMNS,
    NO_SESSION,
    NULL_MARK,
    PERSONAL_COLUMNS,
    SENTINEL_IDS,
)
from analytics_assets.schemas.features import (
    CLEAN_EVENTS,
    DAILY_METRICS,
    FEATURE_TABLES,
    SESSIONS,
    USER_FEATURES,
)
from analytics_assets.schemas.metrics import METRICS, Metric
from analytics_assets.schemas.models import KMEANS_ASSIGNMENTS, MARKOV_PREDICTIONS, MARKOV_TRANSITIONS
from analytics_assets.schemas.summaries import (
    SPARK_DATASET_OVERVIEW,
    SPARK_DEVICE_USAGE,
    SPARK_EVENT_TRANSITIONS,
    SPARK_GEOGRAPHY,
    SPARK_SESSION_BEHAVIOR,
    SPARK_TEMPORAL_PATTERNS,
    SUMMARY_TABLES,
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        EVENT_CHUNKS,
        *SUMMARY_TABLES,
        *FEATURE_TABLES,
        MARKOV_TRANSITIONS,
        MARKOV_PREDICTIONS,
        KMEANS_ASSIGNMENTS,
    )
}
"""Every published table by name."""

__all__ = [
    "CLEAN_EVENTS",
    "DAILY_METRICS",
    "EVENT_CHUNKS",
    "FEATURE_TABLES",
    "KMEANS_ASSIGNMENTS",
    "MARKOV_PREDICTIONS",
    "MARKOV_TRANSITIONS",
    "MAX_CHUNK_ROWS",
    "METRICS",
    "NESTED_COLUMNS",
    "NO_SESSION",
    "NULL_MARK",
    "NULL_TOKENS",
    "PERSONAL_COLUMNS",
    "SENTINEL_IDS",
    "SESSIONS",
    "SPARK_DATASET_OVERVIEW",
    "SPARK_DEVICE_USAGE",
    "SPARK_EVENT_TRANSITIONS",
    "SPARK_GEOGRAPHY",
    "SPARK_SESSION_BEHAVIOR",
    "SPARK_TEMPORAL_PATTERNS",
    "SUMMARY_TABLES",
    "TABLES",
    "USER_FEATURES",
    "Column",
    "ColumnType",
    "Metric",
    "Table",
]
