"""``make up``: the real servers with a real browser, and a clean stop."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
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


def test_interrupting_stops_every_service(served: Served) -> None:
    """Last in this module: it ends the servers."""
    family = psutil.Process(served.process.pid).children(recursive=True)
    assert len(family) >= 4
    os.killpg(served.process.pid, signal.SIGINT)
    served.process.wait(60)
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
    assert not any(listens(url) for url in (served.dagster, served.insights, served.processing))
