"""What a piece of Spark work costs: wall time, memory of both processes, and Spark's own figures of its stages.

Put here: measuring. Keep out: what is computed, and where the figures are written (``core/run_log.py``).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from itertools import count
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MEGABYTE = 1e6

LISTENER_PATIENCE_MS = 30_000
"""How long Spark may take to book the last tasks: it does so on a thread of its own, within milliseconds when idle."""

_NUMBERS = count()
"""Numbers of the job groups of this process: a group's name is never used twice in one session."""


@dataclass(frozen=True)
class StageFigures:
    """Sums over all stages of a piece of work, from Spark's status store.

    Parameters
    ----------
    jobs, stages, tasks : int
        Jobs, completed stages and their tasks.
    run_seconds, cpu_seconds, gc_seconds : float
        Time of all tasks together: by the clock, on processors, in garbage collection.
    input_records, input_bytes : int
        Read by tasks: rows of files, or batches and bytes of cached frames.
    shuffle_read_bytes, shuffle_write_bytes : int
        Exchanged between stages.
    spilled_memory_bytes, spilled_disk_bytes : int
        Moved to disk for lack of memory: size in memory and size written.
    peak_execution_bytes : int
        Sum over tasks of the most memory that their sorts and hash tables held.
    """

    jobs: int = 0
    stages: int = 0
    tasks: int = 0
    run_seconds: float = 0.0
    cpu_seconds: float = 0.0
    gc_seconds: float = 0.0
    input_records: int = 0
    input_bytes: int = 0
    shuffle_read_bytes: int = 0
    shuffle_write_bytes: int = 0
    spilled_memory_bytes: int = 0
    spilled_disk_bytes: int = 0
    peak_execution_bytes: int = 0


@dataclass(frozen=True)
class Cost:
    """Cost of one piece of work, without that of the shared frames first made in it.

    Parameters
    ----------
    name : str
        What was done.
    seconds : float
        Wall time.
    jvm_heap_mb, jvm_heap_peak_mb : float
        Heap of Spark's driver in use just after, and the sum of its pools' peaks since the piece began, in MB.
    jvm_rss_mb, python_rss_mb : float
        Resident memory of Spark's driver and of this Python process just after, in MB.
    stages : StageFigures
        Spark's own figures.
    """

    name: str
    seconds: float
    jvm_heap_mb: float
    jvm_heap_peak_mb: float
    jvm_rss_mb: float
    python_rss_mb: float
    stages: StageFigures

    def figures(self) -> dict[str, int | float]:
        """Every number by name."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("name", "stages")}
        return own | {f"spark_{f.name}": getattr(self.stages, f.name) for f in fields(self.stages)}


@dataclass
class Meter:
    """Measures pieces of work of one session; a piece inside another is counted once, as its own.

    Parameters
    ----------
    spark : SparkSession
        Its driver runs on this machine.
    costs : list of Cost
        What was measured, in the order of completion.
    """

    spark: SparkSession
    costs: list[Cost] = field(default_factory=list)
    _open: list[_Piece] = field(default_factory=list)

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Measure the body and keep its cost; the body's jobs are in a job group of their own."""
        context = self.spark.sparkContext
        piece = _Piece(f"{name}-{next(_NUMBERS)}")
        self._open.append(piece)
        context.setJobGroup(piece.group, name)
        self._reset_peak()
        try:
            yield
        finally:
            self._open.pop()
            outer = self._open[-1] if self._open else None
            if outer is None:
                context._jsc.clearJobGroup()
            else:
                context.setJobGroup(outer.group, outer.group)
        whole = time.perf_counter() - piece.started
        if outer is not None:
            outer.inner_seconds += whole
        self.costs.append(self._cost(name, piece.group, whole - piece.inner_seconds))

    def _cost(self, name: str, group: str, seconds: float) -> Cost:
        runtime = self._java.lang.Runtime.getRuntime()
        return Cost(
            name,
            seconds,
            jvm_heap_mb=(runtime.totalMemory() - runtime.freeMemory()) / MEGABYTE,
            jvm_heap_peak_mb=sum(pool.getPeakUsage().getUsed() for pool in self._heap_pools()) / MEGABYTE,
            jvm_rss_mb=psutil.Process(self._java.lang.ProcessHandle.current().pid()).memory_info().rss / MEGABYTE,
            python_rss_mb=psutil.Process().memory_info().rss / MEGABYTE,
            stages=self._figures(group),
        )

    @property
    def _java(self) -> Any:
        """Java's own packages in the driver."""
        return self.spark.sparkContext._jvm.java

    def _heap_pools(self) -> list[Any]:
        pools = self._java.lang.management.ManagementFactory.getMemoryPoolMXBeans()
        return [pool for pool in pools if pool.getType().name() == "HEAP"]

    def _reset_peak(self) -> None:
        for pool in self._heap_pools():
            pool.resetPeakUsage()

    def _figures(self, group: str) -> StageFigures:
        core = self.spark.sparkContext._jsc.sc()
        core.listenerBus().waitUntilEmpty(LISTENER_PATIENCE_MS)
        jobs = list(core.statusTracker().getJobIdsForGroup(group))
        store = core.statusStore()
        numbers = set()
        for job in jobs:
            ids = store.job(job).stageIds()
            numbers |= {ids.apply(place) for place in range(ids.size())}
        found = [_stage(store, number) for number in sorted(numbers)]
        done = [stage for stage in found if stage is not None and stage.status().name() == "COMPLETE"]
        return StageFigures(
            jobs=len(jobs),
            stages=len(done),
            tasks=sum(stage.numCompleteTasks() for stage in done),
            run_seconds=sum(stage.executorRunTime() for stage in done) / 1e3,
            cpu_seconds=sum(stage.executorCpuTime() for stage in done) / 1e9,
            gc_seconds=sum(stage.jvmGcTime() for stage in done) / 1e3,
            input_records=sum(stage.inputRecords() for stage in done),
            input_bytes=sum(stage.inputBytes() for stage in done),
            shuffle_read_bytes=sum(stage.shuffleReadBytes() for stage in done),
            shuffle_write_bytes=sum(stage.shuffleWriteBytes() for stage in done),
            spilled_memory_bytes=sum(stage.memoryBytesSpilled() for stage in done),
            spilled_disk_bytes=sum(stage.diskBytesSpilled() for stage in done),
            peak_execution_bytes=sum(stage.peakExecutionMemory() for stage in done),
        )


def _stage(store: Any, number: int) -> Any:
    """The last attempt of a stage; None for one that the store has forgotten.

    A job also names the stages whose shuffle files it found ready. They did nothing for it, and in a session of more
    than a thousand stages (``spark.ui.retainedStages``) the store may not know them any more.
    """
    from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]

    try:
        return store.lastStageAttempt(number)
    except Py4JJavaError as error:
        if error.java_exception.getClass().getSimpleName() == "NoSuchElementException":
            return None
        raise


@dataclass
class _Piece:
    group: str
    started: float = field(default_factory=time.perf_counter)
    inner_seconds: float = 0.0
