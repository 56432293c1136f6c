"""Every page of both apps in a real browser: light and dark, wide and on a phone, with data and without.

The pages are read from the apps' own navigation, so a new page is visited without being named here.
"""

from __future__ import annotations

import csv
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from analytics_assets.core.lake import DATA_DIR_VARIABLE, Lake
from analytics_assets_tests.browser import chromium, visible_text, wait_for
from analytics_assets_tests.core.results_reference import Row, accepted_rows, metrics, visits_of
from analytics_assets_tests.dashboards import accessibility
from analytics_assets_tests.dashboards.conftest import SCRIPTS
from dashboards import selection, text
from dashboards.selection import Scope

APPS = ("visualize_analysis.py", "data_processing.py")
THEMES = ("light", "dark")
WIDE, PHONE = 1400, 390
START_SECONDS = 120

DRAWN_SECONDS = 180
"""Far more than a page takes: only a page that never ends must fail, not one on a busy machine."""

_STATE = """
const app = document.querySelector('[data-testid="stApp"]');
return {
    done: !!app && app.getAttribute('data-test-script-state') === 'notRunning'
        && document.querySelectorAll('h1, [data-testid="stException"]').length > 0
        && !document.querySelector('[data-testid="stSkeleton"]')
        && [...document.querySelectorAll('[data-testid="stPlotlyChart"]')].every(c => c.querySelector('.main-svg')),
    title: (document.querySelector('h1') || {}).innerText || '',
}
"""

_FINDINGS = """
const main = document.querySelector('[data-testid="stMain"]');
const elsewhere = performance.getEntriesByType('resource').map(entry => entry.name)
    .filter(name => !/^(data|blob):/.test(name) && new URL(name).host !== location.host);
return {
    exceptions: [...document.querySelectorAll('[data-testid="stException"]')].map(e => e.innerText),
    overflow: Math.max(document.documentElement.scrollWidth - innerWidth, main.scrollWidth - main.clientWidth),
    elsewhere,
}
"""

_TILES = """
return [...document.querySelectorAll('[data-testid=stMetric]')].map(tile => [
    tile.querySelector('[data-testid=stMetricLabel] p').innerText,
    tile.querySelector('[data-testid=stMetricValue]').innerText.trim(),
])
"""

_LENGTH = "return document.querySelector('[data-testid=stMain]').scrollHeight"

_LINKS = "return [...document.querySelectorAll('a[data-testid=stSidebarNavLink]')].map(link => link.href)"


@dataclass(frozen=True)
class Served:
    """Addresses of both apps by script, on a lake with everything and on one with nothing."""

    full: dict[str, str]
    empty: dict[str, str]


@contextmanager
def served_app(script: str, root: Path, log: Path) -> Iterator[str]:
    """One app on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "streamlit", "run", str(SCRIPTS / script), "--server.headless", "true"]
    command += ["--server.address", "127.0.0.1", "--server.port", str(port)]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, env={**os.environ, DATA_DIR_VARIABLE: str(root)}, stdout=stream, stderr=stream, cwd=SCRIPTS.parent
        )
        url = f"http://127.0.0.1:{port}"
        try:
            wait_for(lambda: process.poll() is not None or _listens(url), f"{url} ({log.read_text()})", START_SECONDS)
            assert process.poll() is None, log.read_text()
            yield url
        finally:
            process.terminate()
            process.wait(30)


def _listens(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/_stcore/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def served(modelled_lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    nothing = folder / "nothing"
    nothing.mkdir()
    with ExitStack() as stack:

        def serve(script: str, root: Path, name: str) -> str:
            return stack.enter_context(served_app(script, root, folder / f"{script}-{name}.log"))

        yield Served(
            {script: serve(script, modelled_lake.root, "full") for script in APPS},
            {script: serve(script, nothing, "empty") for script in APPS},
        )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with chromium(tmp_path_factory.mktemp("browser")) as opened:
        opened.set_script_timeout(DRAWN_SECONDS)
        yield opened


def resize(page: Chrome, width: int, height: int = 1000) -> None:
    """A window of any size: a real one cannot be as narrow as a phone."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def theme(page: Chrome, name: str) -> None:
    """What the operating system says it prefers, which Streamlit follows."""
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": name}]})


def is_done(page: Chrome) -> bool:
    """Whether the page has been drawn to its end."""
    state: dict[str, Any] = page.execute_script(_STATE)
    return bool(state["done"])


def problems(page: Chrome) -> list[str]:
    """What is wrong with the page at its present width."""
    found: dict[str, Any] = page.execute_script(_FINDINGS)
    said = [f"exception: {text}" for text in found["exceptions"]]
    said += [f"request to {name}" for name in found["elsewhere"]]
    if found["overflow"] > 0:
        said.append(f"{found['overflow']} pixels too wide")
    return said


def visit(page: Chrome, url: str) -> list[str]:
    """Open an address; what is wrong with it, wide and on a phone, light and dark."""
    theme(page, THEMES[0])
    resize(page, WIDE)
    page.get_log("browser")
    page.get(url)
    wait_for(lambda: is_done(page), f"{url} to be drawn", DRAWN_SECONDS)
    found = []
    for name in THEMES:
        theme(page, name)
        for width in (WIDE, PHONE):
            resize(page, width)
            settle(page, f"{url} to be drawn {name} and {width} pixels wide")
            found += [f"{name}, {width} pixels: {problem}" for problem in problems(page)]
        if accessibility.SCRIPT.is_file():
            # The scan judges the colours of what is on the screen only: all of the page must be.
            resize(page, WIDE)
            resize(page, WIDE, page.execute_script(_LENGTH))
            settle(page, f"{url} to be drawn {name} in a tall window")
            found += [f"barrier, {name}: {violation}" for violation in accessibility.violations(page)]
    return found + [f"console: {said}" for said in console_errors(page)]


def settle(page: Chrome, what: str) -> None:
    """Wait for a page whose look has changed: charts are drawn anew in the next frames."""
    time.sleep(0.3)
    wait_for(lambda: is_done(page), what, DRAWN_SECONDS)


def console_errors(page: Chrome) -> list[str]:
    """Errors in the console since the last look, less those that every deep link into a Streamlit app causes."""
    said = [entry["message"] for entry in page.get_log("browser") if entry["level"] == "SEVERE"]
    # Streamlit looks for its server below the page's path first, and then above it.
    return [message for message in said if not re.search(r"/[^/]+/_stcore/(health|host-config) ", message)]


def pages(page: Chrome, url: str) -> list[str]:
    """Addresses of an app's pages; an app of one page has no navigation."""
    resize(page, WIDE)
    page.get(url)
    wait_for(lambda: is_done(page), f"{url} to be drawn", DRAWN_SECONDS)
    links: list[str] = page.execute_script(_LINKS)
    return links or [url]


@pytest.mark.parametrize("script", APPS)
def test_every_page_is_whole_in_every_look(served: Served, page: Chrome, script: str) -> None:
    addresses = pages(page, served.full[script])
    assert len(addresses) == len(set(addresses))
    found: dict[str, list[str]] = {}
    for address in addresses:
        start = time.monotonic()
        wrong = visit(page, address)
        print(f"{address}: {time.monotonic() - start:.1f} s")
        if wrong:
            found[address] = wrong
    assert not found


def key_figures(page: Chrome, url: str) -> dict[str, str]:
    """Label and value of each tile."""
    page.get(url)
    wait_for(lambda: is_done(page), f"{url} to be drawn", DRAWN_SECONDS)
    return dict(page.execute_script(_TILES))


def test_key_figures_are_those_of_the_files(served: Served, page: Chrome, built_lake: Lake) -> None:
    resize(page, WIDE)
    rows = accepted_rows(built_lake, built_lake.ingested_years())

    def counted_in_files(rows: list[Row]) -> dict[str, str]:
        found = metrics(rows, visits_of(rows), "all")
        numbers = {name: f"{found[name.lower()]:,}" for name in ("Events", "Users", "Sessions")}
        return {**numbers, "Average session": text.duration(found["session_seconds_mean"])}

    assert key_figures(page, served.full[APPS[0]]) == counted_in_files(rows)
    narrowed = [row for row in rows if row.observed("country") == "Germany" and row.time.year == 2021]
    assert 0 < len(narrowed) < len(rows)
    assert key_figures(page, f"{served.full[APPS[0]]}/?country=Germany&years=2021") == counted_in_files(narrowed)

    delivered = key_figures(page, served.full[APPS[1]])
    assert delivered["Loaded"] == f"{len(rows):,}"
    in_quarantine = sum(len(path.read_bytes().splitlines()) for path in built_lake.root.glob("quarantine/*/*.ndjson"))
    assert delivered["In quarantine"] == f"{in_quarantine:,}"


def test_the_scan_of_every_visit_finds_a_barrier(served: Served, page: Chrome) -> None:
    if not accessibility.SCRIPT.is_file():
        pytest.skip("axe-core is not installed, see .ci/run")
    page.get(served.empty[APPS[0]])
    wait_for(lambda: is_done(page), "the page to be drawn", DRAWN_SECONDS)
    page.execute_script("document.querySelector('h1').insertAdjacentHTML('afterend', '<img src=\"data:,\">')")
    assert any(violation.startswith("image-alt") for violation in accessibility.violations(page))


@pytest.mark.parametrize("script", APPS)
def test_an_empty_lake_says_what_to_do_in_every_look(served: Served, page: Chrome, script: str) -> None:
    assert not visit(page, served.empty[script])
    assert "make demo" in visible_text(page)


def test_the_theme_follows_the_system(served: Served, page: Chrome) -> None:
    colours = []
    for name in THEMES:
        theme(page, name)
        page.get(served.empty[APPS[0]])
        wait_for(lambda: is_done(page), "the page to be drawn", DRAWN_SECONDS)
        style = "return getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"
        colours.append(page.execute_script(style))
    assert colours[0] != colours[1]


def test_a_chart_is_taken_away_as_table_and_page(
    served: Served, page: Chrome, built_lake: Lake, tmp_path: Path
) -> None:
    resize(page, WIDE)
    theme(page, "light")
    page.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    page.get(f"{served.full[APPS[0]]}/activity")
    wait_for(lambda: is_done(page), "the page to be drawn", DRAWN_SECONDS)
    page.find_element(By.CSS_SELECTOR, ".st-key-export-events-by-weekday-and-hour button").click()
    for ending in ("csv", "html"):
        button = f".st-key-export-events-by-weekday-and-hour-{ending} button"
        wait_for(lambda button=button: bool(page.find_elements(By.CSS_SELECTOR, button)), button)  # type: ignore[misc]
        page.find_element(By.CSS_SELECTOR, button).click()
        name = tmp_path / f"events-by-weekday-and-hour_2021-03-29.{ending}"
        wait_for(name.is_file, f"{name.name} among {sorted(path.name for path in tmp_path.iterdir())}", DRAWN_SECONDS)
    lines = (tmp_path / "events-by-weekday-and-hour_2021-03-29.csv").read_text("utf-8-sig").splitlines()
    assert lines[1] == "# Filters: none: all years and all actors"
    rows = list(csv.reader(line for line in lines if not line.startswith("#")))[1:]
    assert [[int(cell) for cell in row[1:]] for row in rows] == selection.by_weekday_and_hour(Scope(built_lake))
    page.get((tmp_path / "events-by-weekday-and-hour_2021-03-29.html").as_uri())
    wait_for(lambda: bool(page.find_elements(By.CSS_SELECTOR, ".main-svg")), "the chart on a page of its own")
    assert "Data as of: 29 Mar 2021" in visible_text(page)
    assert not console_errors(page)
