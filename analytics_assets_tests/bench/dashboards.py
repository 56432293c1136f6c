"""Both dashboards on a materialized lake, asked as a browser asks them, without the time that a browser takes to draw.

Put here: serving an app and timing its answers, run as ``python -m analytics_assets_tests.bench.dashboards SCRIPT
FOLDER``. Keep out: repetition and printing (``__main__.py``), and whether pages are right (the tests).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Common_pb2 import StringArray
from streamlit.proto.DateInput_pb2 import DateInput
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.Selectbox_pb2 import Selectbox
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.sync.client import ClientConnection, connect

from analytics_assets.core.files import read_json
from analytics_assets.core.lake import Lake

SCRIPTS = ("visualize_analysis.py", "data_processing.py")
VIEWS = 3
"""Views of a page after its first one; the median counts."""

START_SECONDS = 60
FUNNELS, OWN_STEPS, DAYS = "funnels", 3, "Days"

SIDEBAR = 1
"""Number of the sidebar in the path of an element."""

TARGETS = {"first content": 2.0, "warm page": 0.5, "filter": 0.7}
TARGET_MB = 700


@dataclass(frozen=True)
class View:
    """Seconds until the title of a page was sent, and until all of it was."""

    title: float
    whole: float


class Visitor:
    """One session of an app, over the protocol that Streamlit's own page speaks."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.pages: dict[str, str] = {}
        self.widgets: dict[str, Any] = {}
        self.filters: list[str] = []

    def view(self, page: str = "", choices: Mapping[str, list[str]] | None = None) -> View:
        """Ask for a page, with choices by the labels of widgets, and wait until the app has sent all of it."""
        wish = BackMsg()
        wish.rerun_script.page_script_hash = self.pages.get(page, "")
        wish.rerun_script.widget_states.widgets.extend(
            self._state(label, values) for label, values in (choices or {}).items()
        )
        started, title = time.perf_counter(), None
        self._connection.send(wish.SerializeToString())
        while True:
            answer = ForwardMsg.FromString(self._connection.recv(decode=False))
            kind = answer.WhichOneof("type")
            if kind == "navigation":
                self.pages = {entry.url_pathname: entry.page_script_hash for entry in answer.navigation.app_pages}
            elif kind == "delta":
                element = answer.delta.new_element
                if element.WhichOneof("type") == "exception":
                    raise RuntimeError(element.exception.message)
                if element.WhichOneof("type") == "heading" and title is None:
                    title = time.perf_counter() - started
                self._note_widget(element, in_sidebar=answer.metadata.delta_path[0] == SIDEBAR)
            elif kind == "script_finished":
                if answer.script_finished != ForwardMsg.FINISHED_SUCCESSFULLY or title is None:
                    raise RuntimeError(f"page {page!r} with {choices!r} was not drawn")
                return View(title, time.perf_counter() - started)

    def choices(self, label: str) -> list[str]:
        """Options of a widget; of dates, the first and last day of the last month."""
        widget = self.widgets[label]
        return [f"{widget.max[:8]}01", widget.max] if isinstance(widget, DateInput) else list(widget.options)

    def _note_widget(self, element: Element, in_sidebar: bool) -> None:
        kind = element.WhichOneof("type")
        if kind in ("multiselect", "date_input", "selectbox"):
            widget = getattr(element, kind)
            self.widgets[widget.label] = widget
            if in_sidebar and kind != "selectbox" and widget.label not in self.filters:
                self.filters.append(widget.label)

    def _state(self, label: str, values: list[str]) -> WidgetState:
        widget = self.widgets[label]
        if isinstance(widget, Selectbox):
            return WidgetState(id=widget.id, string_value=values[0])
        return WidgetState(id=widget.id, string_array_value=StringArray(data=values))


@contextlib.contextmanager
def served(script: str, folder: Path) -> Iterator[tuple[int, int]]:
    """An app on a free port of the loopback interface; yields port and process number once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "streamlit", "run", f"dashboards/{script}", "--server.headless", "true"]
    command += ["--server.address", "127.0.0.1", "--server.port", str(port)]
    server = subprocess.Popen(command, env={**os.environ, "ANALYTICS_DATA_DIR": str(folder)}, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with (
                contextlib.suppress(urllib.error.URLError),
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health"),
            ):
                break
            if time.monotonic() > deadline:
                raise TimeoutError(f"{script} did not start in {START_SECONDS} s")
            time.sleep(0.1)
        yield port, server.pid
    finally:
        server.terminate()
        server.wait()


@contextlib.contextmanager
def visitor(port: int) -> Iterator[Visitor]:
    """A new session, as a browser opens one."""
    with connect(f"ws://127.0.0.1:{port}/_stcore/stream", max_size=None) as connection:
        yield Visitor(connection)


def measure(script: str, folder: Path) -> dict[str, Any]:
    """Seconds of each page: first view, views after it, and the first under each filter; peak memory in MB."""
    pages: dict[str, dict[str, float]] = {}
    with served(script, folder) as (port, pid):
        with visitor(port) as first:
            opened = first.view()
            for page in first.pages:
                pages[page] = {"first view": opened.whole if page == "" else first.view(page).whole}
            for page, seconds in pages.items():
                seconds["warm page"] = statistics.median(first.view(page).whole for _ in range(VIEWS))
            # One choice is made on all pages before the next one, as people do; pages share queries.
            for label in first.filters:
                values = first.choices(label)
                choice = {label: values if label == DAYS else values[:1]}
                for page, seconds in pages.items():
                    seconds[f"filter {label}"] = first.view(page, choice).whole
            if FUNNELS in pages:
                own = {"Funnel": first.choices("Funnel")[-1:]}
                first.view(FUNNELS, own)
                steps = {f"Step {n + 1}": first.choices("Step 1")[n : n + 1] for n in range(OWN_STEPS)}
                pages[FUNNELS]["own funnel"] = first.view(FUNNELS, {**own, **steps}).whole
        peak = _peak_mb(pid)
    return {"first content": opened.title, "pages": pages, "peak_mb": peak}


def _peak_mb(pid: int) -> float:
    """Most resident memory of a process so far, see https://man7.org/linux/man-pages/man5/proc_pid_status.5.html."""
    [kilobytes] = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
    return int(kilobytes) / 1024


def main() -> None:
    """Measure one app and print its figures as JSON."""
    script, folder = sys.argv[1], Path(sys.argv[2])
    events = sum(read_json(Lake(folder).manifest(year))["total"]["loaded"] for year in Lake(folder).ingested_years())
    print(json.dumps({**measure(script, folder), "events": events}))


if __name__ == "__main__":
    main()
