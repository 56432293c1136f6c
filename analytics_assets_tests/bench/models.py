"""Every model on a year of the size of the export that the sample imitates.

Put here: materializing one model's asset, run as ``python -m analytics_assets_tests.bench.models NAME FOLDER`` after
``prepare FOLDER EVENTS``. Keep out: repetition and printing (``__main__.py``).
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
from analytics_assets_tests.bench import analysis

NAMES = (
    "markov_chain",
    "hidden_markov_model",
    "lstm_next_event",
    "xgboost_next_event",
    "next_event_leaderboard",
    "kmeans_segments",
)
"""In the order in which one needs the other."""


def materialize(name: str, lake: Lake) -> dict[str, Any]:
    """Seconds of the whole asset, and of training where the model tells; its top-1 accuracy."""
    import dagster as dg

    from analytics_assets.assets import next_event_models, segments
    from analytics_assets.resources.lake import LakeResource

    asset = getattr(segments if name == "kmeans_segments" else next_event_models, name)
    started = time.perf_counter()
    result = dg.materialize([asset], resources={"lake": LakeResource(root=str(lake.root))})
    figures: dict[str, Any] = {"seconds": time.perf_counter() - started, "success": result.success}
    [event] = result.asset_materializations_for_node(name)
    shown = {key: value.value for key, value in event.metadata.items()}
    return {**figures, **{key: shown.get(key) for key in ("train_seconds", "microseconds_per_prediction", "top1")}}


def main() -> None:
    """Do one piece of work and print its figures as JSON."""
    work, lake = sys.argv[1], Lake(Path(sys.argv[2]))
    if work == "prepare":
        analysis.prepare(lake, int(sys.argv[3]))
        analysis.features(lake)
        print(json.dumps({"events": read_json(lake.manifest(analysis.YEAR))["total"]["loaded"]}))
        return
    figures = materialize(work, lake)
    figures["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
