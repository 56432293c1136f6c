"""Both forecasting models and their leaderboard on two generated years, whose true daily means are known.

Put here: the data and materializing one asset, run as ``python -m analytics_assets_tests.bench.forecasts NAME FOLDER``
after ``prepare FOLDER EVENTS``. Keep out: repetition and printing (``__main__.py``).
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from analytics_assets.core.files import read_json
from analytics_assets.core.lake import Lake
from analytics_assets.schemas import FORECAST_METRICS
from analytics_assets_tests.bench.analysis import USERS, ChildMemory

EVENTS = 200_000
MODELS = ("prophet_forecast", "arima_forecast")
NAMES = (*MODELS, "forecast_leaderboard")
"""In the order in which one needs the other."""

ORIGINS, WORKERS = 12, 2
TARGET_SECONDS, TARGET_MB = 240, 2048
"""For five daily metrics with 12 cuts, by model."""

METRIC, HORIZON = "events", 30
"""The metric whose true means are known, and the horizon that is compared."""


def prepare(lake: Lake, events: int) -> int:
    """Generate two years up to daily_metrics; events accepted."""
    from analytics_assets.core.ingest.run import ingest_year
    from analytics_assets.sample.generator import SampleConfig, write_sample
    from analytics_assets_tests.core.event_data import publish_features

    write_sample(lake.raw(), SampleConfig(events=events, users=USERS))
    for year in lake.raw_years():
        ingest_year(lake, year)
        publish_features(lake, year)
    return sum(read_json(lake.manifest(year))["total"]["loaded"] for year in lake.raw_years())


def materialize(name: str, lake: Lake) -> dict[str, Any]:
    """Seconds of the whole asset, memory of its processes; of the leaderboard also the compared errors."""
    import dagster as dg
    import pyarrow.parquet as pq

    from analytics_assets.assets import forecasts
    from analytics_assets.resources.lake import LakeResource

    config = {"metrics": list(FORECAST_METRICS), "origins": ORIGINS, "workers": WORKERS} if name in MODELS else {}
    memory, started = ChildMemory(), time.perf_counter()
    dg.materialize(
        [getattr(forecasts, name)],
        resources={"lake": LakeResource(root=str(lake.root))},
        run_config={"ops": {name: {"config": config}}} if config else None,
    )
    figures: dict[str, Any] = {"seconds": time.perf_counter() - started, "children_mb": memory.stop()}
    figures["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if name not in MODELS:
        rows = pq.read_table(lake.leaderboard("forecast")).to_pylist()
        figures["rows"] = [
            {key: row[key] for key in ("metric", "model", "is_model", "relative_mae", "coverage95", "true_mae")}
            for row in rows
            if row["horizon"] == HORIZON
        ]
    return figures


def main() -> None:
    """Do one piece of work and print its figures as JSON."""
    work, lake = sys.argv[1], Lake(Path(sys.argv[2]))
    figures = {"events": prepare(lake, int(sys.argv[3]))} if work == "prepare" else materialize(work, lake)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
