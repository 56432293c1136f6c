"""One schema per published table: names, types, units, meanings and keys.

Put here: the tables by name. Keep out: how a table is computed (``core/``), and conversions that need a heavy library
at import time. From these declarations come the Spark schema, the Arrow schema, Dagster's column schema and the
blocking schema check.
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
    ACTOR_CLASSES,
    ACTORS,
    CLEAN_EVENTS,
    DAILY_METRICS,
    DROPPED_EVENTS,
    FEATURE_TABLES,
    PEOPLE_CLASSES,
    SESSIONS,
    USER_FEATURES,
    USER_PROFILES,
)
from analytics_assets.schemas.hmm import HMM_EMISSIONS, HMM_STATE_HOURS, HMM_STATES, HMM_TRANSITIONS
from analytics_assets.schemas.leaderboard import NEXT_EVENT_LEADERBOARD
from analytics_assets.schemas.markov import (
    MARKOV_EDGES,
    MARKOV_FLOWS,
    MARKOV_GOALS,
    MARKOV_ORDERS,
    MARKOV_PERIODS,
    MARKOV_STATES,
    MARKOV_WHAT_IF,
)
from analytics_assets.schemas.metrics import METRICS, Metric
from analytics_assets.schemas.models import (
    KMEANS_ASSIGNMENTS,
    MARKOV_CONTEXTS,
    MARKOV_PREDICTIONS,
    MARKOV_TRANSITIONS,
    NEXT_EVENT_PREDICTIONS,
)
from analytics_assets.schemas.segments import (
    KMEANS_CHOICES,
    KMEANS_MOVES,
    KMEANS_PROFILES,
    KMEANS_REPRESENTATIVES,
)
from analytics_assets.schemas.summaries import (
    POPULATIONS,
    SPARK_DATASET_OVERVIEW,
    SPARK_DEVICE_USAGE,
    SPARK_EVENT_NGRAMS,
    SPARK_EVENT_TRANSITIONS,
    SPARK_FUNNELS,
    SPARK_GEOGRAPHY,
    SPARK_LATENCY,
    SPARK_RETENTION,
    SPARK_SESSION_BEHAVIOR,
    SPARK_STICKINESS,
    SPARK_TEMPORAL_PATTERNS,
    SPARK_TOP_VALUES,
    SPARK_USER_LIFECYCLE,
    STREAMS,
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
        MARKOV_CONTEXTS,
        MARKOV_EDGES,
        MARKOV_FLOWS,
        MARKOV_GOALS,
        MARKOV_ORDERS,
        MARKOV_PERIODS,
        MARKOV_STATES,
        MARKOV_WHAT_IF,
        HMM_EMISSIONS,
        HMM_STATE_HOURS,
        HMM_STATES,
        HMM_TRANSITIONS,
        NEXT_EVENT_PREDICTIONS,
        NEXT_EVENT_LEADERBOARD,
        KMEANS_ASSIGNMENTS,
        KMEANS_CHOICES,
        KMEANS_MOVES,
        KMEANS_PROFILES,
        KMEANS_REPRESENTATIVES,
    )
}
"""Every published table by name."""

__all__ = [
    "ACTORS",
    "ACTOR_CLASSES",
    "CLEAN_EVENTS",
    "DAILY_METRICS",
    "DROPPED_EVENTS",
    "EVENT_CHUNKS",
    "FEATURE_TABLES",
    "HMM_EMISSIONS",
    "HMM_STATES",
    "HMM_STATE_HOURS",
    "HMM_TRANSITIONS",
    "KMEANS_ASSIGNMENTS",
    "KMEANS_CHOICES",
    "KMEANS_MOVES",
    "KMEANS_PROFILES",
    "KMEANS_REPRESENTATIVES",
    "MARKOV_CONTEXTS",
    "MARKOV_EDGES",
    "MARKOV_FLOWS",
    "MARKOV_GOALS",
    "MARKOV_ORDERS",
    "MARKOV_PERIODS",
    "MARKOV_PREDICTIONS",
    "MARKOV_STATES",
    "MARKOV_TRANSITIONS",
    "MARKOV_WHAT_IF",
    "MAX_CHUNK_ROWS",
    "METRICS",
    "NESTED_COLUMNS",
    "NEXT_EVENT_LEADERBOARD",
    "NEXT_EVENT_PREDICTIONS",
    "NO_SESSION",
    "NULL_MARK",
    "NULL_TOKENS",
    "PEOPLE_CLASSES",
    "PERSONAL_COLUMNS",
    "POPULATIONS",
    "SENTINEL_IDS",
    "SESSIONS",
    "SPARK_DATASET_OVERVIEW",
    "SPARK_DEVICE_USAGE",
    "SPARK_EVENT_NGRAMS",
    "SPARK_EVENT_TRANSITIONS",
    "SPARK_FUNNELS",
    "SPARK_GEOGRAPHY",
    "SPARK_LATENCY",
    "SPARK_RETENTION",
    "SPARK_SESSION_BEHAVIOR",
    "SPARK_STICKINESS",
    "SPARK_TEMPORAL_PATTERNS",
    "SPARK_TOP_VALUES",
    "SPARK_USER_LIFECYCLE",
    "STREAMS",
    "SUMMARY_TABLES",
    "TABLES",
    "USER_FEATURES",
    "USER_PROFILES",
    "Column",
    "ColumnType",
    "Metric",
    "Table",
]
