"""Spark summaries of one year's chunks.

Put here: reading the chunks under the declared schema and the aggregation behind each summary table. Keep out: the
session's life and settings (``resources/spark.py``), identity rules (``expressions.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from analytics_assets.core.expressions import ACTOR, SESSION_KEY, SESSION_ORDER, TIME, null_normalized, quoted
from analytics_assets.core.features.engine import chunk_header
from analytics_assets.schemas import EVENT_CHUNKS, NULL_MARK, SUMMARY_TABLES, ColumnType, Table

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

TIME_FORMAT = "yyyy-MM-dd HH:mm:ss.SSSSSS"
DERIVED: dict[str, ColumnType] = {"time": "timestamp", "actor": "string", "session_key": "string"}
DEVICE_DIMENSIONS = ("device_family", "device_type", "os_name", "os_version", "platform", "language")


@dataclass(frozen=True)
class SummaryResult:
    """One computed summary.

    Parameters
    ----------
    table : Table
        Its declaration.
    rows : pyarrow.Table
        Its content.
    seconds : float
        Wall time of the computation.
    heap_mb, rss_mb : float
        JVM heap in use and resident memory of this Python process just after it, in MB.
    """

    table: Table
    rows: pa.Table
    seconds: float
    heap_mb: float
    rss_mb: float


def header_schema(files: list[Path]) -> StructType:
    """Spark schema in the order of the files' own header, which must hold the declared columns."""
    from pyspark.sql.types import StructType

    declared = {field.name: field for field in EVENT_CHUNKS.spark_schema()}
    return StructType([declared[name] for name in chunk_header(files)])


def read_chunks(spark: SparkSession, files: list[Path]) -> DataFrame:
    """Events of the chunks with null tokens as nulls, columns by name, and ``time``, ``actor``, ``session_key`` added.

    A value that does not fit the schema fails the job: the chunks are our own and must be right.
    """
    raw = (
        spark.read.format("csv")
        .schema(header_schema(files))
        .option("header", True)
        .option("enforceSchema", False)  # the default applies the schema by position, whatever the header says
        .option("mode", "FAILFAST")
        .option("multiLine", True)
        .option("quote", '"')
        .option("escape", '"')
        .option("nullValue", NULL_MARK)
        .option("emptyValue", "")
        .option("timestampNTZFormat", TIME_FORMAT)
        .option("maxCharsPerColumn", -1)
        .load([str(path) for path in files])
    )
    normalized = raw.selectExpr(*(f"{null_normalized(c, '`')} AS {quoted(c.name, '`')}" for c in EVENT_CHUNKS.columns))
    return normalized.selectExpr("*", f"{TIME} AS time", f"{ACTOR} AS actor", f"{SESSION_KEY} AS session_key")


def _as_text(name: str, kind: str) -> str:
    column = quoted(name, "`")
    return f"date_format({column}, '{TIME_FORMAT}')" if kind == "timestamp" else f"CAST({column} AS STRING)"


def dataset_overview(events: DataFrame) -> DataFrame:
    """Completeness and variety of every column: see ``SPARK_DATASET_OVERVIEW``."""
    spark = events.sparkSession
    kinds: dict[str, ColumnType] = {c.name: c.type for c in EVENT_CHUNKS.columns} | DERIVED
    ends = ", ".join(
        f"'{name}', '{kind}', {_as_text_end('min', name, kind)}, {_as_text_end('max', name, kind)}"
        for name, kind in kinds.items()
    )
    extremes = events.selectExpr("count(*) AS events", *_extreme_aggregates(kinds)).selectExpr(
        "events", f"stack({len(kinds)}, {ends}) AS (column_name, column_type, min_value, max_value)"
    )
    pairs = ", ".join(f"'{name}', {_as_text(name, kind)}" for name, kind in kinds.items())
    values = events.selectExpr(f"stack({len(kinds)}, {pairs}) AS (column_name, value)").where("value IS NOT NULL")
    counted = values.groupBy("column_name", "value").count()
    counted.createOrReplaceTempView("counted_values")
    variety = spark.sql(
        """
        SELECT column_name, count(*) AS distinct_values, sum(count) AS present,
               min_by(value, struct(-count, value)) AS top_value, max(count) AS top_value_events
        FROM counted_values GROUP BY column_name
        """
    )
    return extremes.join(variety, "column_name", "left").selectExpr(
        "column_name",
        "column_type",
        "events",
        "events - coalesce(present, 0) AS nulls",
        "CASE WHEN events = 0 THEN 0D ELSE CAST(events - coalesce(present, 0) AS DOUBLE) / events END AS null_share",
        "coalesce(distinct_values, 0) AS distinct_values",
        "min_value",
        "max_value",
        "top_value",
        "top_value_events",
    )


def _extreme_aggregates(kinds: dict[str, ColumnType]) -> Iterator[str]:
    for name in kinds:
        yield f"min({quoted(name, '`')}) AS {quoted(f'min {name}', '`')}"
        yield f"max({quoted(name, '`')}) AS {quoted(f'max {name}', '`')}"


def _as_text_end(end: str, name: str, kind: str) -> str:
    return _as_text(f"{end} {name}", kind)


def temporal_patterns(events: DataFrame) -> DataFrame:
    """Activity by hour, weekday, both, month and date: see ``SPARK_TEMPORAL_PATTERNS``."""
    hour, weekday = "date_format(time, 'HH')", "CAST(weekday(time) + 1 AS STRING)"
    buckets = {
        "hour": hour,
        "weekday": weekday,
        "weekday_hour": f"concat({weekday}, '-', {hour})",
        "month": "date_format(time, 'yyyy-MM')",
        "date": "date_format(time, 'yyyy-MM-dd')",
    }
    pairs = ", ".join(f"'{name}', {expression}" for name, expression in buckets.items())
    return (
        events.selectExpr("actor", "session_key", f"stack({len(buckets)}, {pairs}) AS (granularity, bucket)")
        .groupBy("granularity", "bucket")
        .agg(*_activity())
    )


def _activity() -> list:
    from pyspark.sql import functions as F

    return [
        F.count(F.lit(1)).alias("events"),
        F.countDistinct("actor").alias("actors"),
        F.countDistinct("session_key").alias("sessions"),
    ]


def session_behavior(events: DataFrame) -> DataFrame:
    """Distributions of session measures over sessions and over events: see ``SPARK_SESSION_BEHAVIOR``.

    Equal values are first counted as integers, then every sum of reals runs in the order of the values: the last bit
    does not depend on how the events are spread over files and threads.
    """
    sessions = events.where("session_key IS NOT NULL").groupBy("session_key").agg(*_session_measures())
    values = sessions.selectExpr(
        "events", "stack(3, 'duration_seconds', duration_us, 'events', events, 'event_types', event_types)"
    ).toDF("events", "measure", "value")
    counted = values.groupBy("measure", "value").agg(*_weights())
    weighted = counted.selectExpr(
        "measure",
        "CAST(value AS DOUBLE) / CASE WHEN measure = 'duration_seconds' THEN 1e6D ELSE 1D END AS value",
        "stack(2, 'sessions', sessions, 'events', events) AS (weighting, times)",
    )
    ordered = (
        "OVER (PARTITION BY measure, weighting ORDER BY value ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)"
    )
    centred = weighted.selectExpr("*", f"sum(value * times) {ordered} / sum(times) {ordered} AS mean_value")
    return (
        centred.groupBy("measure", "weighting")
        .agg(*_distribution())
        .selectExpr(
            "measure",
            "weighting",
            "observations",
            "mean",
            "std",
            "min",
            "quantiles[0] AS p25",
            "quantiles[1] AS median",
            "quantiles[2] AS p75",
            "quantiles[3] AS p95",
            "max",
        )
    )


def _session_measures() -> list:
    from pyspark.sql import functions as F

    return [
        F.expr("timestampdiff(MICROSECOND, min(time), max(time))").alias("duration_us"),
        F.count(F.lit(1)).alias("events"),
        F.countDistinct("event_type").alias("event_types"),
    ]


def _weights() -> list:
    from pyspark.sql import functions as F

    return [F.count(F.lit(1)).alias("sessions"), F.sum("events").alias("events")]


def _distribution() -> list:
    from pyspark.sql import functions as F

    return [
        F.sum("times").alias("observations"),
        F.min("mean_value").alias("mean"),
        F.expr("sqrt(sum(times * pow(value - mean_value, 2)) / nullif(sum(times) - 1, 0))").alias("std"),
        F.min("value").alias("min"),
        F.expr("percentile(value, array(0.25D, 0.5D, 0.75D, 0.95D), times)").alias("quantiles"),
        F.max("value").alias("max"),
    ]


def event_transitions(events: DataFrame) -> DataFrame:
    """Which event follows which, opens and closes sessions: see ``SPARK_EVENT_TRANSITIONS``."""
    window = f"OVER (PARTITION BY session_key ORDER BY {SESSION_ORDER})"
    steps = events.where("session_key IS NOT NULL").selectExpr(
        "event_type", f"lag(event_type) {window} AS previous", f"lead(event_type) {window} AS next"
    )
    pairs = (
        steps.where("next IS NOT NULL")
        .selectExpr("'transition' AS kind", "event_type AS from_event", "next AS to_event")
        .unionAll(steps.where("previous IS NULL").selectExpr("'entry'", "CAST(NULL AS STRING)", "event_type"))
        .unionAll(steps.where("next IS NULL").selectExpr("'exit'", "event_type", "CAST(NULL AS STRING)"))
    )
    counted = pairs.groupBy("kind", "from_event", "to_event").count()
    leaving = "OVER (PARTITION BY kind, CASE WHEN kind = 'transition' THEN from_event END)"
    return counted.selectExpr(
        "kind",
        "from_event",
        "to_event",
        "count AS transitions",
        f"CAST(count AS DOUBLE) / sum(count) {leaving} AS probability",
    )


def _with_share(grouped: DataFrame, total: str) -> DataFrame:
    """Add ``event_share``: events over all events; `total` selects the rows that add up to all events."""
    return grouped.selectExpr("*", f"CAST(events AS DOUBLE) / sum(events) OVER (PARTITION BY {total}) AS event_share")


def geography(events: DataFrame) -> DataFrame:
    """Activity by country, region and city: see ``SPARK_GEOGRAPHY``."""
    none = "CAST(NULL AS STRING)"
    levels = f"'country', country, {none}, {none}, 'region', country, region, {none}, 'city', country, region, city"
    grouped = (
        events.selectExpr("actor", "session_key", f"stack(3, {levels}) AS (level, country, region, city)")
        .groupBy("level", "country", "region", "city")
        .agg(*_activity())
    )
    return _with_share(grouped, "level")


def device_usage(events: DataFrame) -> DataFrame:
    """Activity by each device dimension: see ``SPARK_DEVICE_USAGE``."""
    values = {name: name for name in DEVICE_DIMENSIONS} | {"os_version": "concat(os_name, ' ', os_version)"}
    pairs = ", ".join(f"'{name}', {expression}" for name, expression in values.items())
    grouped = (
        events.selectExpr("actor", "session_key", f"stack({len(values)}, {pairs}) AS (dimension, value)")
        .groupBy("dimension", "value")
        .agg(*_activity())
    )
    return _with_share(grouped, "dimension")


COMPUTATIONS: dict[str, Callable[[DataFrame], DataFrame]] = {
    "spark_dataset_overview": dataset_overview,
    "spark_temporal_patterns": temporal_patterns,
    "spark_session_behavior": session_behavior,
    "spark_event_transitions": event_transitions,
    "spark_geography": geography,
    "spark_device_usage": device_usage,
}


def summarize(spark: SparkSession, files: list[Path], names: list[str] | None = None) -> Iterator[SummaryResult]:
    """Compute summaries of one year from one scan of its chunks.

    Parameters
    ----------
    spark : SparkSession
        Session with ANSI mode and UTC.
    files : list of Path
        The year's chunks.
    names : list of str, optional
        Summaries to compute, all by default.

    Yields
    ------
    SummaryResult
        One after the other, rows sorted by the table's key with nulls last.
    """
    from pyspark import StorageLevel

    events = read_chunks(spark, files).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        for table in SUMMARY_TABLES:
            if names is not None and table.name not in names:
                continue
            started = time.perf_counter()
            frame = COMPUTATIONS[table.name](events)
            ordered = frame.selectExpr(*(quoted(name, "`") for name in table.column_names)).orderBy(
                *(frame[name].asc_nulls_last() for name in table.key)
            )
            rows = ordered.toArrow()
            yield SummaryResult(
                table,
                rows,
                time.perf_counter() - started,
                _heap_mb(spark),
                psutil.Process().memory_info().rss / 1e6,
            )
    finally:
        events.unpersist()


def _heap_mb(spark: SparkSession) -> float:
    runtime = spark.sparkContext._jvm.java.lang.Runtime.getRuntime()
    return float(runtime.totalMemory() - runtime.freeMemory()) / 1e6
