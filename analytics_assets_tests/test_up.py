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

import psutil
import pytest
from selenium.webdriver.remote.webdriver import WebDriver

from analytics_assets.core.files import read_json
from analytics_assets.core.lake import Lake
from analytics_assets_tests.browser import chromium, visible_text, wait_for
from analytics_assets_tests.conftest import ROOT, SPARK_JAVA_OPTIONS, Demo

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
    environment |= {"ANALYTICS_DATA_DIR": str(lake.root), "ANALYTICS_SPARK_JAVA_OPTIONS": SPARK_JAVA_OPTIONS}
    environment |= dict(zip(names, map(str, ports), strict=True))
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


def test_a_year_backfill_from_the_ui_rebuilds_the_year(served: Served) -> None:
    """What the UI's backfill dialog sends; the daemon runs it with every step in a process of its own."""
    lake = served.lake
    tables = [*sorted((lake.root / "features").rglob("2024.parquet")), lake.summary("2024", "spark_stickiness")]
    before = {path: path.read_bytes() for path in tables}
    for path in before:
        path.unlink()
    manifest = lake.manifest("2024").read_bytes()
    lake.manifest("2024").unlink()
    graph = graphql(served, "{ assetNodes { assetKey { path } isPartitioned isMaterializable } }")
    every = [n["assetKey"]["path"] for n in graph["assetNodes"] if n["isPartitioned"] and n["isMaterializable"]]
    keys = [path for path in every if not path[0].startswith("spark_") or path[0] == "spark_stickiness"]
    assert {"event_chunks", "user_features", "data_quality", "spark_stickiness"} <= {path[0] for path in keys}
    launched = graphql(
        served,
        """
        mutation Launch($backfill: LaunchBackfillParams!) {
          launchPartitionBackfill(backfillParams: $backfill) {
            __typename
            ... on LaunchBackfillSuccess { backfillId }
            ... on PythonError { message }
          }
        }
        """,
        backfill={
            "assetSelection": [{"path": path} for path in keys],
            "partitionNames": ["2024"],
            "fromFailure": False,
        },
    )["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    status: list[str] = []

    def over() -> bool:
        query = """query Status($id: String!) {
          partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } }
        }"""
        status[:] = [graphql(served, query, id=launched["backfillId"])["partitionBackfillOrError"]["status"]]
        return status[0] not in {"REQUESTED", "COMPLETING"}

    wait_for(over, "the backfill", BACKFILL_SECONDS)
    assert status == ["COMPLETED_SUCCESS"]
    assert lake.manifest("2024").read_bytes() == manifest
    assert {path: path.read_bytes() for path in before} == before


def test_interrupting_stops_every_service(served: Served) -> None:
    """Last in this module: it ends the servers."""
    family = psutil.Process(served.process.pid).children(recursive=True)
    assert len(family) >= 4
    os.killpg(served.process.pid, signal.SIGINT)
    served.process.wait(60)
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
    assert not any(listens(url) for url in (served.dagster, served.insights, served.processing))
