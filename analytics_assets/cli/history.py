"""Dagster's run history: runs whose process is gone are ended, old logs are removed.

Put here: ``analytics prune`` and ``analytics recover``, which ``analytics up`` does before it starts. Keep out: what
runs do.
"""

from __future__ import annotations

import contextlib
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click
import psutil

from analytics_assets.cli.environment import prepare_dagster_home
from analytics_assets.core.lake import Lake

if TYPE_CHECKING:
    import dagster as dg

CLOCK_SECONDS = 5.0
"""How much later than its own log entry a process may seem to have begun: log and kernel round differently."""

PAGE = 500
"""Runs read at a time."""


def end_orphans(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs as failed whose process is gone, and free their places in the pools.

    While a code server lives it notices a run that dies; when it was killed with the run, nobody did, and the run
    would stay "started" and hold its pool for ever. Runs of a process that lives, such as ``analytics demo`` in
    another terminal, are left alone.

    Returns
    -------
    list of str
        Ids of the ended runs.
    """
    import dagster as dg

    begun = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    ended = []
    for run in instance.get_runs(dg.RunsFilter(statuses=begun)):
        if _lives(instance, run.run_id):
            continue
        instance.report_run_failed(run, "Its process is gone: the machine or the code server stopped. Run it again.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        ended.append(run.run_id)
    return ended


def _lives(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether one of the processes that the run's log names is alive and not a later one with the same number."""
    import dagster as dg

    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        event = entry.dagster_event
        found = event.engine_event_data.metadata.get("pid") if event else None
        if found is None:
            continue
        with contextlib.suppress(psutil.Error, ValueError):
            process = psutil.Process(int(str(found.value)))
            if process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= entry.timestamp + CLOCK_SECONDS:
                return True
    return False


def recover(lake: Lake) -> list[str]:
    """End the runs of the lake's history that were left behind, and say which; return their ids."""
    import dagster as dg

    prepare_dagster_home(lake)
    with dg.DagsterInstance.get() as instance:
        ended = end_orphans(instance)
    for run_id in ended:
        click.echo(f"Run {run_id} was left behind by an earlier start and is marked as failed.")
    return ended


def prune(lake: Lake, days: int, *, dry: bool) -> int:
    """Delete the logs of runs that ended more than `days` ago; print and return how many.

    Runs with the latest materialization, observation or check of anything stay: the UI takes what it shows from them.
    """
    import dagster as dg

    home = prepare_dagster_home(lake)
    with dg.DagsterInstance.get() as instance:
        before = datetime.now(UTC) - timedelta(days=days)
        ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
        kept = latest_runs(instance)
        removable: list[str] = []
        cursor: str | None = None
        while page := instance.get_run_records(
            dg.RunsFilter(statuses=ended, updated_before=before), limit=PAGE, cursor=cursor
        ):
            cursor = page[-1].dagster_run.run_id
            removable += [record.dagster_run.run_id for record in page if record.dagster_run.run_id not in kept]
        for run_id in [] if dry else removable:
            instance.delete_run(run_id)
            _remove_files(home, run_id)
    verb = "would be removed" if dry else "removed"
    click.echo(f"{len(removable):,} runs older than {days} days {verb}; {len(kept):,} with figures of the UI stay.")
    return len(removable)


def _remove_files(home: Path, run_id: str) -> None:
    """Remove a deleted run's own database and console output: Dagster empties the one and leaves the other."""
    for file in (home / "history" / "runs").glob(f"{run_id}.db*"):
        file.unlink()
    shutil.rmtree(home / "storage" / run_id, ignore_errors=True)


def latest_runs(instance: dg.DagsterInstance) -> set[str]:
    """Runs that hold the latest event of an asset, of one of its partitions, or of one of its checks."""
    import dagster as dg

    from analytics_assets.definitions import defs

    graph = defs.resolve_asset_graph()
    found: set[str | None] = set()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        partitions = node.partitions_def.get_partition_keys() if node.partitions_def else [None]
        fetch = instance.fetch_materializations if node.is_materializable else instance.fetch_observations
        for partition in partitions:
            wanted = dg.AssetRecordsFilter(key, asset_partitions=[partition] if partition else None)
            found.update(record.run_id for record in fetch(wanted, limit=1).records)
    checks = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(graph.asset_check_keys))
    found.update(record.run_id for record in checks.values())
    return {run_id for run_id in found if run_id}
