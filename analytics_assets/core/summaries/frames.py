"""What every Spark summary starts from: one scan of a year's chunks, and small frames grouped from it.

Put here: reading under the declared schema, the cached frames and the split by population. Keep out: the aggregation
behind any single table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from analytics_assets.core.errors import PipelineError
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
from analytics_assets.core.summaries.measuring import Meter
from analytics_assets.schemas import EVENT_CHUNKS, NESTED_COLUMNS, NULL_MARK, PEOPLE_CLASSES, Table

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

PLACES = ("country", "region", "city")
DEVICE_COLUMNS = ("device_family", "device_type", "os_name", "os_version", "platform", "language", "version_name")
REPEATED_COLUMNS = (
    *("app", "amplitude_id", "user_id", "device_id", "session_id", "ip_address"),
    *PLACES,
    *DEVICE_COLUMNS,
    *("dma", "library"),
)
"""Chunk columns that hardly ever change inside a session; ``activity`` is grouped by them."""
TRANSPORT_TIMES = ("client_upload_time", "server_received_time", "server_upload_time", "processed_time")
"""Times of the upload that an event came with."""


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


def sorted_rows(frame: DataFrame, table: Table) -> pa.Table:
    """Rows of a summary with the declared columns and types, sorted by the table's key with nulls last."""
    ordered = frame.selectExpr(*(quoted(name, "`") for name in table.column_names)).orderBy(
        *(frame[name].asc_nulls_last() for name in table.key)
    )
    return ordered.toArrow().cast(table.arrow_schema())


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


@dataclass(frozen=True)
class Totals:
    """What a year holds in all.

    Parameters
    ----------
    events, session_events, actor_events : int
        Events; those inside a session; those with an actor.
    sessions, actors : int
        Distinct ones.
    year_actors, year_actor_days : int
        Distinct actors with an event inside the delivery year, and distinct pairs of an actor and a date of that year.
    """

    events: int
    session_events: int
    actor_events: int
    sessions: int
    actors: int
    year_actors: int
    year_actor_days: int


_UNREADABLE = re.compile(r"\[FAILED_READ_FILE\S*\] Encountered error while reading file (file:\S+?)\.?\s")


def _named_failure(trace: str) -> PipelineError | None:
    """What is wrong with which file, from the trace of a failed scan; None when no file is to blame."""
    found = _UNREADABLE.search(trace)
    if found is None:
        return None
    causes = [line.removeprefix("Caused by: ") for line in trace.splitlines() if line.startswith("Caused by: ")]
    place = Path(unquote(urlsplit(found[1]).path))
    fact = f"it does not fit the schema of event_chunks ({causes[-1][:200]})" if causes else "it cannot be read"
    return PipelineError(place, fact, "Materialize event_chunks again for this year.")


class Frames:
    """The events of one year, read once, and what is grouped from them.

    Every frame is made and cached when first used, and measured as a step of its own: its time and memory are in
    `meter`, not in the figures of the summary that happens to need it first.

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
        self.meter = Meter(spark)
        self._files, self._actors = files, actors
        self._cached: dict[str, DataFrame] = {}

    def cached(self, name: str, make: Callable[[], DataFrame]) -> DataFrame:
        """The frame kept under `name` until `release`; computed and measured when first asked for."""
        from pyspark import StorageLevel

        if name not in self._cached:
            with self.meter.measure(name):
                self._cached[name] = make().persist(StorageLevel.MEMORY_AND_DISK)
                self._cached[name].count()
        return self._cached[name]

    def release(self) -> None:
        """Forget every cached frame."""
        while self._cached:
            self._cached.popitem()[1].unpersist()

    @cached_property
    def events(self) -> DataFrame:
        """One row per event.

        All chunk columns, the nested ones as two 64-bit hashes each (``<name>_hash_1``, ``<name>_hash_2``; null where
        the value is null), ``time``, ``actor``, ``session_key``, ``is_person`` and ``is_top`` of the actor (bool, never
        null), ``is_noise`` (bool), ``screen`` (null for noise).
        """
        from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]

        try:
            return self.cached("scan", self._events)
        except Py4JJavaError as error:
            raise _named_failure(str(error)) or error from error

    def _events(self) -> DataFrame:
        from pyspark.sql import functions as F

        if not self._actors.is_file():
            raise PipelineError(self._actors, "there is no such table", "Materialize actors for this year.")
        classes = ", ".join(f"'{name}'" for name in PEOPLE_CLASSES)
        actors = self.spark.read.parquet(str(self._actors)).selectExpr(
            "actor", f"actor_class IN ({classes}) AS person", "is_top_actor AS top"
        )
        noise = is_noise(self.settings.events, "spark")
        plain = [quoted(name, "`") for name in EVENT_CHUNKS.column_names if name not in NESTED_COLUMNS]
        # The number comes first: Spark hashes from left to right, so it seeds the hash of the text.
        hashes = [
            f"CASE WHEN {name} IS NOT NULL THEN xxhash64({seed}, {name}) END AS {name}_hash_{seed}"
            for name in NESTED_COLUMNS
            for seed in (1, 2)
        ]
        events = read_chunks(self.spark, self._files).selectExpr(
            *plain,
            *hashes,
            "time",
            "actor",
            "session_key",
            f"{noise} AS is_noise",
            f"CASE WHEN NOT {noise} THEN {screen(self.settings.events, 'spark')} END AS screen",
        )
        joined = events.join(F.broadcast(actors), "actor", "left")
        return joined.selectExpr(
            "* EXCEPT (person, top)", "coalesce(person, false) AS is_person", "coalesce(top, false) AS is_top"
        )

    @cached_property
    def activity(self) -> DataFrame:
        """Events counted by who, when and where: far fewer rows than events.

        ``actor``, ``is_person``, ``is_top``, ``session_key``, ``date``, ``hour`` (int), ``REPEATED_COLUMNS`` (among
        them the places and device columns), and ``events`` (bigint).
        """
        return self.cached("activity", self._activity)

    def _activity(self) -> DataFrame:
        from pyspark.sql import functions as F

        names = ("actor", "is_person", "is_top", "session_key", "date", "hour", *REPEATED_COLUMNS)
        dated = self.events.selectExpr("*", "CAST(time AS DATE) AS date", "hour(time) AS hour")
        return dated.groupBy(*names).agg(F.count(F.lit(1)).alias("events"))

    @cached_property
    def uploads(self) -> DataFrame:
        """Events counted by their times of transport: those of one upload share them.

        ``is_person``, ``is_top``, ``country``, ``hour`` (int), `TRANSPORT_TIMES`, and ``events`` (bigint).
        """
        return self.cached("uploads", self._uploads)

    def _uploads(self) -> DataFrame:
        from pyspark.sql import functions as F

        names = ("is_person", "is_top", "country", "hour", *TRANSPORT_TIMES)
        return self.events.selectExpr("*", "hour(time) AS hour").groupBy(*names).agg(F.count(F.lit(1)).alias("events"))

    @cached_property
    def steps(self) -> DataFrame:
        """One row per event inside a session.

        ``session_key``, ``position`` (from 1, by the order of a session), ``event_type``, ``screen``, ``is_noise``,
        ``time``, ``actor``, ``in_intent`` and ``in_screen`` (bool: the event is kept in the intent and in the screen
        stream, as the first of its run), and ``is_person``, ``is_top`` of the session, which are those of its first
        event's actor.
        """
        return self.cached("steps", self._steps)

    def _steps(self) -> DataFrame:
        window = f"PARTITION BY session_key ORDER BY {SESSION_ORDER}"
        earlier = f"OVER ({window} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
        found = self.events.where("session_key IS NOT NULL").selectExpr(
            "session_key", f"row_number() OVER ({window}) AS position", "event_type", "screen", "is_noise", "time",
            "actor", f"first(is_person) OVER ({window}) AS is_person", f"first(is_top) OVER ({window}) AS is_top",
            f"last(CASE WHEN NOT is_noise THEN event_type END, true) {earlier} AS previous",
            f"last(screen, true) {earlier} AS previous_screen",
        )  # fmt: skip
        return found.selectExpr(
            "* EXCEPT (previous, previous_screen)",
            "NOT is_noise AND event_type IS DISTINCT FROM previous AS in_intent",
            "NOT is_noise AND screen IS DISTINCT FROM previous_screen AS in_screen",
        )

    @cached_property
    def sessions(self) -> DataFrame:
        """One row per session.

        ``session_key``, ``duration_us``, ``events``, ``event_types`` (distinct), ``intent_events`` (bigint),
        ``is_person``, ``is_top`` of the first event's actor.
        """
        return self.cached("sessions", self._sessions)

    def _sessions(self) -> DataFrame:
        from pyspark.sql import functions as F

        return self.steps.groupBy("session_key").agg(
            F.expr("timestampdiff(MICROSECOND, min(time), max(time))").alias("duration_us"),
            F.count(F.lit(1)).alias("events"),
            F.expr("CAST(size(collect_set(event_type)) AS BIGINT)").alias("event_types"),
            F.expr("count_if(in_intent)").alias("intent_events"),
            F.bool_and("is_person").alias("is_person"),
            F.bool_and("is_top").alias("is_top"),
        )

    @cached_property
    def totals(self) -> Totals:
        """What the year holds in all."""
        inside = f"actor IS NOT NULL AND year(date) = {self.year}"
        [row] = self.activity.selectExpr(
            "coalesce(sum(events), 0)",
            "coalesce(sum(events) FILTER (WHERE session_key IS NOT NULL), 0)",
            "coalesce(sum(events) FILTER (WHERE actor IS NOT NULL), 0)",
            "count(DISTINCT session_key)",
            "count(DISTINCT actor)",
            f"count(DISTINCT CASE WHEN {inside} THEN actor END)",
            f"count(DISTINCT CASE WHEN {inside} THEN struct(actor, date) END)",
        ).collect()
        return Totals(*row)
