"""What Dagster pays whatever the data; run as ``python -m analytics_assets_tests.bench.location WORK FOLDER``.

Put here: loading the code location, a trivial one to compare with, and a night without new files. Keep out: repetition
and printing.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

EVENTS = 20_000
"""Events of the year that the nightly look finds unchanged: their number does not matter, that of files does."""


def load_ours() -> None:
    from analytics_assets.definitions import defs

    defs.get_repository_def().load_all_definitions()


def load_trivial() -> None:
    import dagster as dg

    @dg.asset
    def one() -> int:
        return 1

    dg.Definitions([one]).get_repository_def().load_all_definitions()


def prepare(folder: Path) -> None:
    """A year whose every asset was made from the files that lie there."""
    import dagster as dg

    from analytics_assets.automation import YEARLY_ASSETS
    from analytics_assets.core.ingest.digests import raw_digest
    from analytics_assets.core.lake import Lake
    from analytics_assets.sample.generator import SampleConfig, write_sample

    lake = Lake(folder)
    write_sample(lake.raw(), SampleConfig(years=(2024,), events=EVENTS))
    lake.dagster_home().mkdir()
    with dg.DagsterInstance.from_config(str(lake.dagster_home())) as instance:
        for name in YEARLY_ASSETS:
            metadata = {"raw_digest": raw_digest(lake, "2024")}
            instance.report_runless_asset_event(dg.AssetMaterialization(name, partition="2024", metadata=metadata))


def tick(folder: Path) -> float:
    """Seconds of a nightly tick that finds nothing to do, as the schedule takes it."""
    import dagster as dg

    from analytics_assets.definitions import defs
    from analytics_assets.resources.lake import LakeResource
    from analytics_assets.schedules import nightly

    repository = defs.get_repository_def()
    home = str(folder / ".dagster")
    with (
        dg.DagsterInstance.from_config(home) as instance,
        dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=datetime(2024, 3, 9, 2, tzinfo=UTC),
            repository_def=repository,
            resources={"lake": LakeResource(root=str(folder))},
        ) as context,
    ):
        started = time.perf_counter()
        data = nightly.evaluate_tick(context)
        seconds = time.perf_counter() - started
    if data.run_requests or "unchanged" not in (data.skip_message or ""):
        raise RuntimeError(f"the night was to find nothing to do: {data}")
    return seconds


def main() -> None:
    work, folder = sys.argv[1], Path(sys.argv[2])
    started = time.perf_counter()
    if work == "tick":
        seconds = tick(folder)
    elif work == "prepare":
        prepare(folder)
        seconds = time.perf_counter() - started
    else:
        {"ours": load_ours, "trivial": load_trivial}[work]()
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mb": peak, "cpus": os.cpu_count()}))


if __name__ == "__main__":
    main()
