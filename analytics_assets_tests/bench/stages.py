"""The measured stages; run as ``python -m analytics_assets_tests.bench.stages STAGE FOLDER EVENTS``.

Put here: one function per stage, with its preparation outside the clock. Keep out: repetition and printing.
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from analytics_assets.core.lake import Lake

YEAR = "2024"


def generate(lake: Lake, events: int) -> Callable[[], object]:
    from analytics_assets.sample.generator import SampleConfig, write_sample

    return lambda: write_sample(lake.raw(), SampleConfig(years=(int(YEAR),), events=events))


def ingest(lake: Lake, events: int) -> Callable[[], object]:
    from analytics_assets.core.ingest.run import ingest_year

    def work() -> None:
        shutil.rmtree(lake.chunks(YEAR), ignore_errors=True)
        ingest_year(lake, YEAR)

    return work


def summaries(lake: Lake, events: int) -> Callable[[], object]:
    from analytics_assets_tests.bench import analysis
    from analytics_assets_tests.core.event_data import publish_features

    publish_features(lake, YEAR)
    return lambda: analysis.summaries(lake)


def features(lake: Lake, events: int) -> Callable[[], object]:
    from analytics_assets_tests.core.event_data import publish_features

    return lambda: publish_features(lake, YEAR)


def import_definitions(lake: Lake, events: int) -> Callable[[], object]:
    return lambda: __import__("analytics_assets.definitions")


def main() -> None:
    stage, folder, events = sys.argv[1:]
    work = globals()[stage](Lake(Path(folder)), int(events))
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    own, children = (
        resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(json.dumps({"seconds": seconds, "peak_mb": max(own, children)}))


if __name__ == "__main__":
    main()
