"""All summaries of one year, one after the other, each with its cost.

Put here: which computation makes which table, and running them. Keep out: the computations, and publication
(``assets/spark_summaries.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from analytics_assets.core.settings import Settings
from analytics_assets.core.summaries.cohorts import retention, stickiness, user_lifecycle
from analytics_assets.core.summaries.devices import device_usage
from analytics_assets.core.summaries.frames import Frames, Totals, sorted_rows
from analytics_assets.core.summaries.funnels import funnels
from analytics_assets.core.summaries.latency import latency
from analytics_assets.core.summaries.measuring import Cost
from analytics_assets.core.summaries.overview import dataset_overview, top_values
from analytics_assets.core.summaries.places import geography
from analytics_assets.core.summaries.sequences import event_ngrams, event_transitions
from analytics_assets.core.summaries.sessions import session_behavior
from analytics_assets.core.summaries.temporal import temporal_patterns
from analytics_assets.schemas import SUMMARY_TABLES, Table

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

COMPUTATIONS: dict[str, Callable[[Frames], DataFrame]] = {
    "spark_dataset_overview": dataset_overview,
    "spark_top_values": top_values,
    "spark_temporal_patterns": temporal_patterns,
    "spark_session_behavior": session_behavior,
    "spark_event_transitions": event_transitions,
    "spark_event_ngrams": event_ngrams,
    "spark_geography": geography,
    "spark_device_usage": device_usage,
    "spark_latency": latency,
    "spark_funnels": funnels,
    "spark_retention": retention,
    "spark_user_lifecycle": user_lifecycle,
    "spark_stickiness": stickiness,
}
"""What computes each table."""


SMALL_BYTES = 256 * 1024**2
"""Chunks up to this size count as small: most of their time goes into planning and compiling some 150 queries. Treated
as such, 8,000 events took 27 s instead of 48 s, and 165,000 events in 267 MB 69 s instead of 81 s."""

SMALL_SETTINGS = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
}
"""Interpret expressions instead of compiling them, and plan each query once."""


@contextmanager
def suited_to(spark: SparkSession, size: int) -> Iterator[None]:
    """Settings of the session that suit chunks of `size` bytes; they change the speed, never a result."""
    changed = SMALL_SETTINGS if size <= SMALL_BYTES else {}
    before = {name: spark.conf.get(name, None) for name in changed}
    try:
        for name, value in changed.items():
            spark.conf.set(name, value)
        yield
    finally:
        for name, old in before.items():
            if old is None:
                spark.conf.unset(name)
            else:
                spark.conf.set(name, old)


@dataclass(frozen=True)
class SummaryResult:
    """One computed summary.

    Parameters
    ----------
    table : Table
        Its declaration.
    rows : pyarrow.Table
        Its content.
    cost : Cost
        Its own cost, shared frames left out.
    shared : tuple of Cost
        Costs of what was made on the way to it and serves others too, the scan of the chunks first.
    totals : Totals
        What the year holds in all.
    """

    table: Table
    rows: pa.Table
    cost: Cost
    shared: tuple[Cost, ...]
    totals: Totals


def summarize(
    spark: SparkSession,
    files: Sequence[Path],
    actors: Path,
    year: str,
    settings: Settings,
    *,
    names: Collection[str] | None = None,
) -> Iterator[SummaryResult]:
    """Compute summaries of one year from one scan of its chunks.

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
    names : collection of str, optional
        Summaries to compute, all by default.

    Yields
    ------
    SummaryResult
        One after the other in the order of ``SUMMARY_TABLES``, rows sorted by the table's key with nulls last.

    Raises
    ------
    PipelineError
        A chunk's header is not the declared one.
    """
    wanted = [table for table in SUMMARY_TABLES if names is None or table.name in names]
    if not wanted:
        return
    frames = Frames(spark, files, actors, year, settings)
    costs, reported = frames.meter.costs, 0
    with suited_to(spark, sum(path.stat().st_size for path in files)):
        try:
            with frames.meter.measure("totals"):
                totals = frames.totals
            for table in wanted:
                with frames.meter.measure(table.name):
                    rows = sorted_rows(COMPUTATIONS[table.name](frames), table)
                shared, reported = tuple(costs[reported:-1]), len(costs)
                yield SummaryResult(table, rows, costs[-1], shared, totals)
        finally:
            frames.release()
