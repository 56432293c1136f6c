"""What every Spark summary starts from: one scan of a year's chunks, and small frames grouped from it.

Put here: reading under the declared schema, the cached frames and the split by population. Keep out: the aggregation
behind any single table.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from analytics_assets.core.expressions import (
    ACTOR,
    SESSION_KEY,
    SESSION_ORDER,
    TIME,
    is_noise,
    null_normalized,
    quoted,
    screen,
)
from analytics_assets.core.features.engine import chunk_header
from analytics_assets.core.settings import Settings
from analytics_assets.schemas import EVENT_CHUNKS, NESTED_COLUMNS, NULL_MARK, PEOPLE_CLASSES

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

PLACES = ("country", "region", "city")
DEVICE_COLUMNS = ("device_family", "device_type", "os_name", "os_version", "platform", "language", "version_name")


def header_schema(files: Sequence[Path]) -> StructType:
    """Spark schema in the order of the files' own header, which must hold the declared columns."""
    from pyspark.sql.types import StructType

    declared = {field.name: field for field in EVENT_CHUNKS.spark_schema()}
    return StructType([declared[name] for name in chunk_header(files)])


def read_chunks(spark: SparkSession, files: Sequence[Path]) -> DataFrame:
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
        .option("maxCharsPerColumn", -1)
        .load([str(path) for path in files])
    )
    normalized = raw.selectExpr(*(f"{null_normalized(c, '`')} AS {quoted(c.name, '`')}" for c in EVENT_CHUNKS.columns))
    return normalized.selectExpr("*", f"{TIME} AS time", f"{ACTOR} AS actor", f"{SESSION_KEY} AS session_key")


def by_population(frame: DataFrame, person: str = "is_person", top: str = "is_top") -> DataFrame:
    """Each row once per population that it belongs to, named in the column ``population``.

    Parameters
    ----------
    frame : DataFrame
        With a column that says whether the actor is a person, and one that says whether it is the top actor.
    person, top : str
        Their names.
    """
    populations = (
        f"filter(array('all', CASE WHEN {person} THEN 'people' END, CASE WHEN NOT {top} THEN 'without_top_actor' END), "
        "name -> name IS NOT NULL)"
    )
    return frame.selectExpr("*", f"explode({populations}) AS population")


class Frames:
    """The events of one year, read once, and what is grouped from them; every frame is cached when first used.

    Parameters
    ----------
    spark : SparkSession
        Session with ANSI mode and UTC.
    files : sequence of Path
        The year's chunks.
    actors : Path
        The year's ``actors`` table.
    year : str
        Delivery year.
    settings : Settings
        Meaning of the events.
    """

    def __init__(self, spark: SparkSession, files: Sequence[Path], actors: Path, year: str, settings: Settings) -> None:
        self.spark, self.year, self.settings = spark, int(year), settings
        self._files, self._actors = files, actors
        self._cached: list[DataFrame] = []

    def _cache(self, frame: DataFrame) -> DataFrame:
        from pyspark import StorageLevel

        self._cached.append(frame.persist(StorageLevel.MEMORY_AND_DISK))
        return self._cached[-1]

    def release(self) -> None:
        """Forget every cached frame."""
        while self._cached:
            self._cached.pop().unpersist()

    @cached_property
    def events(self) -> DataFrame:
        """One row per event.

        All chunk columns, the nested ones as two 64-bit hashes each (``<name>_hash_1``, ``<name>_hash_2``; null where
        the value is null), ``time``, ``actor``, ``session_key``, ``upload_us`` and ``processing_us`` (latencies in
        microseconds, bigint, null where a time is missing), ``is_person`` and ``is_top`` of the actor (bool, never
        null), ``is_noise`` (bool), ``screen`` (null for noise).
        """
        from pyspark.sql import functions as F

        classes = ", ".join(f"'{name}'" for name in PEOPLE_CLASSES)
        actors = self.spark.read.parquet(str(self._actors)).selectExpr(
            "actor", f"actor_class IN ({classes}) AS person", "is_top_actor AS top"
        )
        noise = is_noise(self.settings.events, "spark")
        plain = [quoted(name, "`") for name in EVENT_CHUNKS.column_names if name not in NESTED_COLUMNS]
        hashes = [
            f"CASE WHEN {name} IS NOT NULL THEN xxhash64({name}, {seed}) END AS {name}_hash_{seed}"
            for name in NESTED_COLUMNS
            for seed in (1, 2)
        ]
        events = read_chunks(self.spark, self._files).selectExpr(
            *plain,
            *hashes,
            "time",
            "actor",
            "session_key",
            "timestampdiff(MICROSECOND, client_upload_time, server_received_time) AS upload_us",
            "timestampdiff(MICROSECOND, server_received_time, processed_time) AS processing_us",
            f"{noise} AS is_noise",
            f"CASE WHEN NOT {noise} THEN {screen(self.settings.events, 'spark')} END AS screen",
        )
        joined = events.join(F.broadcast(actors), "actor", "left")
        return self._cache(
            joined.selectExpr(
                "* EXCEPT (person, top)", "coalesce(person, false) AS is_person", "coalesce(top, false) AS is_top"
            )
        )

    @cached_property
    def activity(self) -> DataFrame:
        """Events counted by who, when and where: far fewer rows than events.

        ``actor``, ``is_person``, ``is_top``, ``session_key``, ``date``, ``hour`` (int), the places and device columns,
        and ``events`` (bigint).
        """
        from pyspark.sql import functions as F

        return self._cache(
            self.events.selectExpr(
                "actor", "is_person", "is_top", "session_key", "CAST(time AS DATE) AS date", "hour(time) AS hour",
                *PLACES, *DEVICE_COLUMNS,
            )
            .groupBy("actor", "is_person", "is_top", "session_key", "date", "hour", *PLACES, *DEVICE_COLUMNS)
            .agg(F.count(F.lit(1)).alias("events"))
        )  # fmt: skip

    @cached_property
    def steps(self) -> DataFrame:
        """One row per event inside a session.

        ``session_key``, ``position`` (from 1, by the order of a session), ``event_type``, ``screen``, ``is_noise``,
        ``time``, ``actor``, and ``is_person``, ``is_top`` of the session, which are those of its first event's actor.
        """
        window = f"PARTITION BY session_key ORDER BY {SESSION_ORDER}"
        return self._cache(
            self.events.where("session_key IS NOT NULL").selectExpr(
                "session_key", f"row_number() OVER ({window}) AS position", "event_type", "screen", "is_noise", "time",
                "actor", f"first(is_person) OVER ({window}) AS is_person", f"first(is_top) OVER ({window}) AS is_top",
            )
        )  # fmt: skip
