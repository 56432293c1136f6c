"""The Spark assets as Dagster runs them: subset, checks, metadata, log, settings, failures.

Put here: publication of summaries. Keep out: their columns (``core/summaries``).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from analytics_assets.core.files import read_json, sha256_of
from analytics_assets.core.lake import Lake
from analytics_assets_tests.conftest import ROOT
from analytics_assets_tests.core.event_data import hostile_records, ingest
from analytics_assets_tests.core.summaries.conftest import publish_actors
from analytics_assets_tests.spark_cluster import spark_cluster

CHOSEN = ("spark_device_usage", "spark_session_behavior", "spark_funnels", "spark_stickiness")


def materialize(lake: Lake, home: Path, *names: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Materialize summaries of 2024 in a process of its own: a run stops its Spark session."""
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    program = Path(sys.executable).with_name("dagster")
    arguments = ["--select", ",".join(names), "--partition", "2024", "-m", "analytics_assets.definitions"]
    return subprocess.run(
        [str(program), "asset", "materialize", *arguments],
        env={**os.environ, "ANALYTICS_DATA_DIR": str(lake.root), "DAGSTER_HOME": str(home), **variables},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


@dataclass(frozen=True)
class Materialized:
    """A lake with chosen summaries and what Dagster knows of them."""

    lake: Lake
    instance: dg.DagsterInstance
    output: str

    def metadata(self, name: str) -> dict[str, Any]:
        event = self.instance.get_latest_materialization_event(dg.AssetKey(name))
        assert event is not None, self.output[-3000:]
        assert event.asset_materialization is not None
        return {key: value.value for key, value in event.asset_materialization.metadata.items()}


@pytest.fixture(scope="module")
def materialized(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Materialized]:
    folder = tmp_path_factory.mktemp("spark assets")
    lake = Lake(folder / "lake")
    ingest(lake, "2024", hostile_records(), max_rows=100)
    publish_actors(lake, "2024")
    lake.settings().write_text('[[funnels]]\nname = "own"\nsteps = ["start", "stop"]\n')
    result = materialize(lake, folder / "home", *CHOSEN)
    assert result.returncode == 0, result.stderr[-3000:]
    with dg.DagsterInstance.from_config(str(folder / "home")) as instance:
        yield Materialized(lake, instance, result.stdout + result.stderr)


def test_only_the_chosen_tables_are_published(materialized: Materialized) -> None:
    published = {path.name for path in (materialized.lake.root / "summaries" / "2024").iterdir()}
    assert published == {f"{name}.parquet" for name in CHOSEN}


@pytest.mark.parametrize("name", CHOSEN)
def test_checks_pass_and_metadata_hold_the_cost(materialized: Materialized, name: str) -> None:
    path = materialized.lake.summary("2024", name)
    metadata = materialized.metadata(name)
    assert metadata["dagster/partition_row_count"] == pq.read_metadata(path).num_rows
    assert metadata["raw_digest"] == read_json(materialized.lake.manifest("2024"))["raw_digest"]
    numbers = ("seconds", "jvm_heap_mb", "jvm_heap_peak_mb", "jvm_rss_mb", "python_rss_mb", "spark_cpu_seconds")
    for number in (*numbers, "spark_tasks", "shared_scan_seconds", "shared_session_start_seconds"):
        assert metadata[number] > 0, number
    keys = [dg.AssetCheckKey(dg.AssetKey(name), check) for check in ("matches_schema", "rows_reconcile")]
    for key in keys:
        [record] = materialized.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
        evaluation = record.event.dagster_event.asset_check_evaluation_data  # type: ignore[union-attr]
        assert evaluation.passed, (key, evaluation.metadata)
        assert evaluation.blocking


def test_the_log_says_what_ran_and_what_it_cost(materialized: Materialized) -> None:
    lines = materialized.lake.spark_log().read_text("utf-8").splitlines()
    assert "run=begin" in lines[0]
    assert f"events={len(hostile_records())}" in lines[0]
    assert "java=" in lines[0]
    assert "spark=4" in lines[0]
    assert [line.split("summary=")[1].split()[0] for line in lines if " summary=" in line] == [
        "spark_session_behavior", "spark_device_usage", "spark_funnels", "spark_stickiness"
    ]  # fmt: skip
    assert sum(" step=scan " in line for line in lines) == 1
    assert "run=end summaries=4" in lines[-1]


def test_a_second_run_publishes_equal_bytes_with_the_lakes_own_settings(materialized: Materialized) -> None:
    """Also a run of another selection."""
    lake = materialized.lake
    before = sha256_of(lake.summary("2024", "spark_device_usage"))
    result = materialize(lake, lake.root.parent / "home", "spark_device_usage")
    assert result.returncode == 0, result.stderr[-3000:]
    assert sha256_of(lake.summary("2024", "spark_device_usage")) == before
    funnels = pq.read_table(lake.summary("2024", "spark_funnels")).to_pylist()
    assert {row["event_type"] for row in funnels if row["funnel"] == "own"} == {"start", "stop"}


def test_wrong_settings_fail_before_spark_starts(materialized: Materialized, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    ingest(lake, "2024", hostile_records()[:2])
    lake.settings().write_text("[events]\nscreen_parts = 0\n")
    result = materialize(lake, tmp_path / "home", "spark_device_usage")
    assert result.returncode != 0
    text = result.stdout + result.stderr
    assert str(lake.settings()) in text
    assert "screen_parts" in text
    assert not (lake.root / "summaries").exists()


def test_a_cluster_publishes_the_same_bytes_as_one_machine(materialized: Materialized, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    shutil.copytree(materialized.lake.root, lake.root)
    shutil.rmtree(lake.root / "summaries")
    with spark_cluster(tmp_path / "cluster") as cluster:
        settings = {"ANALYTICS_SPARK_MASTER": cluster.master, "SPARK_LOCAL_IP": "127.0.0.1"}
        result = materialize(lake, tmp_path / "home", *CHOSEN[:2], **settings)
        assert result.returncode == 0, result.stderr[-3000:]
        [application] = cluster.status()["completedapps"]
    assert application["name"] == "analytics-summaries" and application["cores"] >= 1
    assert f"master={cluster.master}" in lake.spark_log().read_text("utf-8")
    for name in CHOSEN[:2]:
        assert sha256_of(lake.summary("2024", name)) == sha256_of(materialized.lake.summary("2024", name)), name
