"""Spark summaries, cleaning, features, quality and results at two sizes.

Put here: the data, and one function per piece of work, run as ``python -m analytics_assets_tests.bench.analysis WORK
FOLDER``, or ``prepare FOLDER EVENTS``. Keep out: repetition and printing (``__main__.py``).
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from analytics_assets.core.files import read_json, write_json, write_table
from analytics_assets.core.lake import Lake
from analytics_assets.core.settings import default_settings
from analytics_assets_tests.core.event_data import chunk_files, publish_features

YEAR = "2024"
SMALL, LARGE = 200_000, 1_850_000
"""The larger is the size of the export that the sample imitates; the smaller shows whether time per event grows."""
USERS = 868
"""Users of that export, besides its monitor."""


def prepare(lake: Lake, events: int) -> None:
    """Generate and ingest one year."""
    from analytics_assets.core.ingest.run import ingest_year
    from analytics_assets.sample.generator import SampleConfig, write_sample

    write_sample(lake.raw(), SampleConfig(years=(int(YEAR),), events=events, users=USERS))
    ingest_year(lake, YEAR)


def features(lake: Lake) -> dict[str, float]:
    """Actors, cleaning, sessions, users, profiles, days."""
    publish_features(lake, YEAR)
    return {}


def summaries(lake: Lake) -> dict[str, float]:
    """All Spark summaries, the session's start included."""
    from analytics_assets.core.summaries.run import summarize
    from analytics_assets.resources.spark import SparkResource

    started, found = time.perf_counter(), {}
    spark = SparkResource()
    session = spark.session
    found["session start"] = time.perf_counter() - started
    actors = lake.feature("actors", YEAR)
    for result in summarize(session, chunk_files(lake, YEAR), actors, YEAR, default_settings()):
        write_table(lake.summary(YEAR, result.table.name), result.rows, result.table)
        found |= {cost.name: cost.seconds for cost in (*result.shared, result.cost)}
    spark.stop()
    return found


def quality(lake: Lake) -> dict[str, float]:
    """The year's quality."""
    from analytics_assets.core.features.engine import open_engine
    from analytics_assets.core.features.quality import quality_report

    with open_engine(lake.staging() / "duckdb") as engine:
        manifest = read_json(lake.manifest(YEAR))
        write_json(lake.quality(YEAR), quality_report(engine, lake, YEAR, manifest, default_settings()))
    return {}


def results(lake: Lake) -> dict[str, float]:
    """The one file with every figure."""
    from analytics_assets.core.features.engine import open_engine
    from analytics_assets.core.results import analysis_results

    with open_engine(lake.staging() / "duckdb") as engine:
        write_json(lake.analysis_results(), analysis_results(engine, lake, [YEAR], ()))
    return {}


WORK: dict[str, Callable[[Lake], dict[str, float]]] = {
    work.__name__: work for work in (features, summaries, quality, results)
}
"""In the order in which one needs the other."""


class ChildMemory:
    """Peak resident memory of this process's children (the Java of Spark), looked at ten times a second."""

    def __init__(self) -> None:
        self.peak_mb, self._stop = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        process = psutil.Process(os.getpid())
        while not self._stop.wait(0.1):
            total = 0
            for child in process.children(recursive=True):
                try:
                    total += child.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak_mb = max(self.peak_mb, total / 2**20)

    def stop(self) -> float:
        """End the watch; peak in MB."""
        self._stop.set()
        self._thread.join()
        return self.peak_mb


def main() -> None:
    """Do one piece of work and print seconds, peaks of memory and its parts as JSON."""
    work, lake = sys.argv[1], Lake(Path(sys.argv[2]))
    if work == "prepare":
        prepare(lake, int(sys.argv[3]))
        print(json.dumps({"events": read_json(lake.manifest(YEAR))["total"]["loaded"]}))
        return
    memory, started = ChildMemory(), time.perf_counter()
    parts = WORK[work](lake)
    figures: dict[str, Any] = {"seconds": time.perf_counter() - started, "parts": parts}
    figures["children_mb"] = memory.stop()
    figures["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
