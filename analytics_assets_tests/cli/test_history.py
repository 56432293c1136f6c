"""Runs without a process are ended, old runs are pruned, and what the UI shows figures of stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import EngineEventData

from analytics_assets.assets.ingestion import event_chunks, raw_export
from analytics_assets.cli.history import end_orphans, latest_runs, prune
from analytics_assets.core.lake import Lake
from analytics_assets.definitions import build_defs
from analytics_assets.resources.lake import LakeResource
from analytics_assets_tests.core.event_data import Records


@pytest.fixture
def instance(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """The history of a lake, as ``analytics up`` opens it."""
    home = lake.dagster_home()
    home.mkdir(parents=True)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with dg.DagsterInstance.get() as made:
        yield made


def begun(instance: dg.DagsterInstance, pid: int) -> dg.DagsterRun:
    """A run that says it is being executed by a process."""
    job = build_defs().resolve_job_def("yearly_job")
    run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags={"dagster/partition": "2024"})
    instance.report_engine_event("Started", run, EngineEventData(metadata={"pid": dg.MetadataValue.text(str(pid))}))
    return run


def status(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status.value


def test_only_runs_whose_process_is_gone_are_ended(instance: dg.DagsterInstance) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    lost, alive = begun(instance, dead.pid), begun(instance, os.getpid())
    instance.event_log_storage.set_concurrency_slots("spark", 1)
    claim = instance.event_log_storage.claim_concurrency_slot("spark", lost.run_id, "spark_summaries")
    assert claim.is_claimed
    assert end_orphans(instance) == [lost.run_id]
    assert (status(instance, lost), status(instance, alive)) == ("FAILURE", "STARTED")
    assert instance.event_log_storage.claim_concurrency_slot("spark", alive.run_id, "spark_summaries").is_claimed
    assert end_orphans(instance) == []


def test_another_process_with_the_same_number_is_not_the_run(instance: dg.DagsterInstance) -> None:
    """Numbers are given again: the process must be older than the log entry that names it."""
    run = begun(instance, os.getpid())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("psutil.Process.create_time", lambda _process: time.time() + 60)
        assert end_orphans(instance) == [run.run_id]


def deliver(lake: Lake, year: str) -> None:
    new = Records()
    new.add(f"{year}-05-01 10:00:00")
    lake.raw(year).mkdir(parents=True, exist_ok=True)
    (lake.raw(year) / "export.json").write_text("\n".join(map(json.dumps, new.made)))


def run_year(instance: dg.DagsterInstance, lake: Lake, year: str) -> str:
    result = dg.materialize(
        [raw_export, event_chunks],
        partition_key=year,
        instance=instance,
        resources={"lake": LakeResource(root=str(lake.root))},
    )
    assert result.success
    return result.run_id


def test_pruning_keeps_what_the_ui_shows(instance: dg.DagsterInstance, lake: Lake, capsys) -> None:
    for year in ("2024", "2025"):
        deliver(lake, year)
    old = run_year(instance, lake, "2024")
    shown = {run_year(instance, lake, "2024"), run_year(instance, lake, "2025")}
    assert latest_runs(instance) == shown
    assert prune(lake, 1, dry=False) == 0, "all are young"
    assert prune(lake, 0, dry=True) == 1
    assert len(instance.get_runs()) == 3
    assert prune(lake, 0, dry=False) == 1
    assert {run.run_id for run in instance.get_runs()} == shown
    assert instance.get_materialized_partitions(dg.AssetKey("event_chunks")) == {"2024", "2025"}
    assert "1 runs older than 0 days removed; 2" in capsys.readouterr().out
    assert not list((Path(os.environ["DAGSTER_HOME"])).rglob(f"*{old}*.db"))
