"""``make up``: the real servers with a real browser, a year backfill through the UI's interface, and a clean stop."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
from selenium.webdriver.remote.webdriver import WebDriver

from analytics_assets.core.files import read_json
from analytics_assets.core.lake import Lake
from analytics_assets_tests.browser import chromium, visible_text, wait_for
from analytics_assets_tests.conftest import ROOT, Demo

START_SECONDS = 240
BACKFILL_SECONDS = 600


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Served:
    lake: Lake
    dagster: str
    insights: str
    processing: str
    process: subprocess.Popen[bytes]


def listens(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def served(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The demo's lake, copied, behind ``make up`` on free ports."""
    folder = tmp_path_factory.mktemp("up")
    lake = Lake(folder / "lake")
    shutil.copytree(demo.lake.root, lake.root)
    ports = [free_port() for _ in range(3)]
    names = ("ANALYTICS_DAGSTER_PORT", "ANALYTICS_INSIGHTS_PORT", "ANALYTICS_PROCESSING_PORT")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANALYTICS_", "DAGSTER_"))}
    environment |= {"ANALYTICS_DATA_DIR": str(lake.root), **dict(zip(names, map(str, ports), strict=True))}
    # The command of the Makefile's target, with the interpreter that runs the tests.
    command = ["make", "up", f"BIN={Path(sys.executable).parent}", f"VENV={Path(sys.prefix)}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        try:
            for url in urls:
                wait_for(
                    lambda url=url: listens(url) or process.poll() is not None,  # type: ignore[misc]
                    f"{url} (log: {(folder / 'log').read_text()[-2000:]})",
                    START_SECONDS,
                )
            assert process.poll() is None, (folder / "log").read_text()
            yield Served(lake, *urls, process)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
                process.wait(60)


def graphql(served: Served, query: str, **variables: Any) -> Any:
    request = urllib.request.Request(
        f"{served.dagster}/graphql",
        json.dumps({"query": query, "variables": variables}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            content = json.load(answer)
    except urllib.error.HTTPError as failure:
        pytest.fail(failure.read().decode())
    assert "errors" not in content, content
    return content["data"]


def words(page: WebDriver) -> set[str]:
    return set(visible_text(page).split())


def headline(lake: Lake, name: str) -> Any:
    metrics = read_json(lake.analysis_results())["metrics"]
    return next(metric["value"] for metric in metrics if metric["name"] == name)


def test_only_loopback_is_served(served: Served) -> None:
    family = psutil.Process(served.process.pid).children(recursive=True)
    listening = [
        connection.laddr.ip
        for process in family
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 3
    assert set(listening) <= {"127.0.0.1", "::1"}


def test_dagster_ui_shows_the_materialized_graph(served: Served, tmp_path: Path) -> None:
    with chromium(tmp_path) as page:
        page.get(f"{served.dagster}/assets/raw_export?view=lineage&lineageScope=downstream&lineageDepth=9")
        wait_for(lambda: {"event_chunks", "clean_events", "analysis_results"} <= words(page), "the asset graph", 90)
        page.get(f"{served.dagster}/assets/event_chunks?view=overview")
        wait_for(lambda: {"materialization", "records_seen", "2025"} <= words(page), "event_chunks", 90)
        page.get(f"{served.dagster}/assets/markov_chain?view=overview")
        wait_for(lambda: "markov1_accuracy" in visible_text(page), "the model's figures", 90)


def test_insights_show_the_results(served: Served, tmp_path: Path) -> None:
    with chromium(tmp_path) as page:
        page.get(served.insights)
        events = f"{headline(served.lake, 'events'):,}"
        wait_for(lambda: events in visible_text(page), f"{events} events on the insights page", 90)
        assert "synthetic" in visible_text(page).lower()
        assert "Traceback" not in visible_text(page)


def test_processing_shows_the_results(served: Served, tmp_path: Path) -> None:
    with chromium(tmp_path) as page:
        page.get(served.processing)
        seen = f"{headline(served.lake, 'records_seen'):,}"
        wait_for(lambda: seen in visible_text(page), f"{seen} records on the processing page", 90)
        assert "Traceback" not in visible_text(page)


LAUNCH_BACKFILL = """
mutation Launch($backfill: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $backfill) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""
BACKFILL_STATUS = """
query Status($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill { status assetBackfillData { assetBackfillStatuses { __typename } } }
  }
}
"""
RERUN = """
mutation Rerun($run: String!) {
  launchRunReexecution(reexecutionParams: { parentRunId: $run, strategy: FROM_FAILURE }) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
RUN_STATUS = "query Run($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
PARTITIONS = """
query Partitions($key: AssetKeyInput!) {
  assetNodeOrError(assetKey: $key) {
    ... on AssetNode { assetPartitionStatuses { ... on TimePartitionStatuses { ranges { status startKey endKey } } } }
  }
}
"""
CHECKS = """
query Checks($key: AssetKeyInput!) {
  assetCheckExecutions(assetKey: $key, checkName: "rows_reconcile", limit: 5) { status runId }
}
"""
SUMMARIES = ("spark_stickiness",)
"""Summaries of the backfills: one says as much as all."""


def backfill(served: Served, years: list[str]) -> str:
    """What the UI's backfill dialog sends for every yearly asset; the summaries aside from `SUMMARIES`."""
    graph = graphql(served, "{ assetNodes { assetKey { path } isPartitioned isMaterializable } }")
    keys = [n["assetKey"]["path"] for n in graph["assetNodes"] if n["isPartitioned"] and n["isMaterializable"]]
    chosen = [path for path in keys if not path[0].startswith("spark_") or path[0] in SUMMARIES]
    assert {"event_chunks", "user_features", "data_quality", *SUMMARIES} <= {path[0] for path in chosen}
    wanted = {"assetSelection": [{"path": path} for path in chosen], "partitionNames": years, "fromFailure": False}
    launched = graphql(served, LAUNCH_BACKFILL, backfill=wanted)["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    return str(launched["backfillId"])


def backfill_ends(served: Served, backfill_id: str) -> str:
    status: list[str] = []

    def over() -> bool:
        status[:] = [graphql(served, BACKFILL_STATUS, id=backfill_id)["partitionBackfillOrError"]["status"]]
        return status[0] not in {"REQUESTED", "COMPLETING", "FAILING"}

    wait_for(over, "the backfill", BACKFILL_SECONDS)
    return status[0]


def run_ends(served: Served, run_id: str) -> str:
    status: list[str] = []

    def over() -> bool:
        status[:] = [graphql(served, RUN_STATUS, id=run_id)["runOrError"]["status"]]
        return status[0] in {"SUCCESS", "FAILURE", "CANCELED"}

    wait_for(over, "the run", BACKFILL_SECONDS)
    return status[0]


def partitions(served: Served, asset: str, status: str) -> set[str]:
    """Years of an asset that the UI paints as materialized or failed."""
    node = graphql(served, PARTITIONS, key={"path": [asset]})["assetNodeOrError"]
    ranges = [found for found in node["assetPartitionStatuses"]["ranges"] if found["status"] == status]
    return {str(year) for found in ranges for year in range(int(found["startKey"][:4]), int(found["endKey"][:4]) + 1)}


def worker_of_a_started_step(lake: Lake, step: str) -> tuple[str, int] | None:
    """Run and process of the first run in which a step has begun and not ended."""
    with dg.DagsterInstance.from_config(str(lake.dagster_home())) as instance:
        for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
            events = [entry.dagster_event for entry in instance.all_logs(run.run_id) if entry.dagster_event]
            kinds = {(event.event_type_value, event.step_key) for event in events}
            if ("STEP_START", step) in kinds and ("STEP_SUCCESS", step) not in kinds:
                pids = [
                    event.event_specific_data.metadata["pid"].value
                    for event in events
                    if event.event_type_value == "ENGINE_EVENT" and "pid" in event.event_specific_data.metadata
                ]
                return run.run_id, int(str(pids[0]))
    return None


def test_a_killed_backfill_is_seen_and_finished_from_where_it_broke(served: Served) -> None:
    """Two years from the UI's interface; the process of one run is killed in the middle of a step."""
    lake = served.lake
    tables = [path for name in ("features", "quality") for path in sorted((lake.root / name).rglob("*.*"))]
    tables += [lake.summary(year, name) for year in ("2024", "2025") for name in SUMMARIES]
    before = {path: path.read_bytes() for path in tables}
    for path in before:
        path.unlink()
    manifests = {year: lake.manifest(year).read_bytes() for year in ("2024", "2025")}
    backfill_id = backfill(served, ["2024", "2025"])

    found: list[tuple[str, int]] = []
    wait_for(lambda: bool(found or _note(found, worker_of_a_started_step(lake, "spark_summaries"))), "a step", 300)
    [(run_id, pid)] = found
    os.kill(pid, signal.SIGKILL)
    assert run_ends(served, run_id) == "FAILURE"
    assert backfill_ends(served, backfill_id) == "COMPLETED_FAILED"
    [failed] = partitions(served, "spark_stickiness", "FAILED")
    [good] = {"2024", "2025"} - {failed}
    assert partitions(served, "spark_stickiness", "MATERIALIZED") == {good}
    assert partitions(served, "event_chunks", "MATERIALIZED") == {"2024", "2025"}

    again = graphql(served, RERUN, run=run_id)["launchRunReexecution"]
    assert again["__typename"] == "LaunchRunSuccess", again
    assert run_ends(served, again["run"]["runId"]) == "SUCCESS"
    assert partitions(served, "spark_stickiness", "MATERIALIZED") == {"2024", "2025"}
    checks = graphql(served, CHECKS, key={"path": ["spark_stickiness"]})["assetCheckExecutions"]
    assert {check["status"] for check in checks[:2]} == {"SUCCEEDED"}
    assert {year: lake.manifest(year).read_bytes() for year in manifests} == manifests
    assert {path: path.read_bytes() for path in before} == before


def _note(found: list[Any], value: Any) -> bool:
    if value is not None:
        found.append(value)
    return value is not None


def test_interrupting_stops_every_service(served: Served) -> None:
    """Last in this module: it ends the servers."""
    family = psutil.Process(served.process.pid).children(recursive=True)
    assert len(family) >= 4
    os.killpg(served.process.pid, signal.SIGINT)
    served.process.wait(60)
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
    assert not any(listens(url) for url in (served.dagster, served.insights, served.processing))
