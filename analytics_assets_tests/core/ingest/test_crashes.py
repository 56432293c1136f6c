"""What an ingestion leaves behind that is killed, fails or is disturbed, wherever that happens.

The runs are children of a server process that has everything imported and compiled, so that one costs the time of its
work only; started as a script, this module is that server.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from analytics_assets.core.ingest import digests
from analytics_assets.core.ingest.limits import Limits
from analytics_assets.core.ingest.run import ingest_year
from analytics_assets.core.lake import Lake
from analytics_assets_tests.core.ingest.exports import (
    YEAR,
    array,
    event,
    gzipped,
    leftovers,
    lines,
    put,
    zipped,
)

MAX_ROWS = 300
CALLS = ("replace", "rename", "link", "fsync", "unlink", "remove", "mkdir", "rmdir", "truncate")
"""The calls of `os` that change what lies on disk beyond a file's bytes, or make it last."""

DIED = 77
"""Exit code of a child that died at a call, as if it had been killed there."""

NOBODY = 65534
WAIT_SECONDS = 60


# ---------------------------------------------------------------------------------------------- the server's side


class Strike:
    """Counts the calls of a run and lets one of them go wrong.

    Parameters
    ----------
    at : int
        Which call, from 0; -1 for none.
    how : str
        ``before`` and ``after``: the process dies there. ``full``: the call finds no space. ``stays full``: so do all
        later ones.
    """

    def __init__(self, at: int, how: str) -> None:
        self.calls: list[str] = []
        self._at, self._how, self._lock = at, how, threading.Lock()
        for name in CALLS:
            setattr(os, name, self._guarded(name, getattr(os, name)))

    def _guarded(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            with self._lock:
                number = len(self.calls)
                self.calls.append(" ".join(map(str, (name, *args))))
            if number == self._at and self._how == "before":
                os._exit(DIED)
            if "full" in self._how and (number == self._at or (self._how == "stays full" and number > self._at >= 0)):
                raise OSError(errno.ENOSPC, "No space left on device", str(args[0]))
            result = original(*args, **options)
            if number == self._at and self._how == "after":
                os._exit(DIED)
            return result

        return call


def _work(order: dict[str, Any], report: int) -> None:
    answer = {"error": "", "text": ""}
    if order["user"]:
        os.setgid(order["user"])
        os.setuid(order["user"])
    digests.SETTLED_NANOSECONDS = -(10**18)  # new files are as good as old ones, so the digests are written too
    strike = Strike(order["at"], order["how"])

    def wait(_: object) -> None:
        hold = Path(order["hold"])
        hold.with_suffix(".reached").touch()
        while hold.exists():
            time.sleep(0.005)

    try:
        ingest_year(
            Lake(Path(order["root"])),
            order["year"],
            max_rows=MAX_ROWS,
            limits=Limits(workers=1),
            progress=wait if order["hold"] else None,
        )
    except BaseException as error:
        answer = {"error": type(error).__name__, "text": str(error)}
    os.write(report, json.dumps({**answer, "calls": strike.calls}).encode())
    os._exit(0)


def _start(order: dict[str, Any]) -> tuple[int, int, float]:
    receiving, sending = os.pipe()
    started = time.perf_counter()
    child = os.fork()
    if child == 0:
        os.close(receiving)
        _work(order, sending)
    os.close(sending)
    return child, receiving, started


def _finish(child: int, receiving: int, started: float) -> dict[str, Any]:
    with os.fdopen(receiving, "rb") as stream:
        report = stream.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {"code": code, "seconds": time.perf_counter() - started, **(json.loads(report) if code == 0 else {})}


def serve() -> None:
    """Fork a child for each order that arrives as a line of JSON."""
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        put(lake, "a.json", array([event(1), event(1, city="other"), b"{bad"]))
        ingest_year(lake, YEAR)
    assert len(os.listdir("/proc/self/task")) == 1, "a fork copies the calling thread alone"
    running = {}
    print("{}", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        answer: dict[str, Any] = {}
        if "finish" in order:
            answer = _finish(*running.pop(order["finish"]))
        else:
            child, receiving, started = _start(order)
            if order["kill_after"] is not None:
                time.sleep(order["kill_after"])
                os.kill(child, signal.SIGKILL)
            if order["hold"]:
                running[child] = child, receiving, started
                answer = {"child": child}
            else:
                answer = _finish(child, receiving, started)
        print(json.dumps(answer), flush=True)


# ----------------------------------------------------------------------------------------------- the tests' side


@dataclass
class Outcome:
    """How a child ended: its exit code, what it raised, the calls it made."""

    code: int
    seconds: float
    error: str = ""
    text: str = ""
    calls: list[str] = field(default_factory=list)


class Server:
    """Runs ingestions in children of a process of its own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "analytics_assets_tests.core.ingest.test_crashes"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            cwd=Path(__file__).resolve().parents[3],
        )
        self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the server died"
        return json.loads(line)

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _order(self, lake: Lake, **options: Any) -> dict[str, Any]:
        base = {"year": YEAR, "kill_after": None, "at": -1, "how": "", "hold": "", "user": 0}
        return {"root": str(lake.root), **base, **options}

    def run(self, lake: Lake, **options: Any) -> Outcome:
        """Run to the end, or to what `options` provide for: `kill_after` seconds, `at` and `how` of `Strike`."""
        return Outcome(**self._ask(self._order(lake, **options)))

    def start(self, lake: Lake, hold: Path, **options: Any) -> int:
        """Start a run that waits at its first progress report while the file `hold` exists; returns its process id."""
        hold.touch()
        child = self._ask(self._order(lake, hold=str(hold), **options))["child"]
        until = time.monotonic() + WAIT_SECONDS
        while not hold.with_suffix(".reached").exists():
            assert time.monotonic() < until, "the run never reported progress"
            time.sleep(0.005)
        return child

    def finish(self, child: int) -> Outcome:
        """Wait for a started run."""
        return Outcome(**self._ask({"finish": child}))

    def close(self) -> None:
        """End the server."""
        self._process.communicate(timeout=WAIT_SECONDS)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    started = Server()
    yield started
    started.close()


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder in memory where there is one: with a disk, most of the time would go by waiting for it."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


Tree = dict[str, bytes] | None
State = tuple[Tree, Tree]
"""Content of the published chunks and quarantine; None for a folder that is not there."""


def _tree(folder: Path) -> Tree:
    if not folder.exists():
        return None
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def state_of(lake: Lake) -> State:
    return _tree(lake.chunks(YEAR)), _tree(lake.quarantine(YEAR))


def names(lake: Lake) -> set[str]:
    """Every file of a lake."""
    return {
        str(path.relative_to(lake.root)) for path in lake.root.rglob("*") if path.is_file() and path.suffix != ".tmp"
    }


def manifest_holds(lake: Lake) -> bool:
    """Whether each chunk of the manifest, if there is one, is there with its digest."""
    if not lake.manifest(YEAR).exists():
        return True
    chunks = json.loads(lake.manifest(YEAR).read_bytes())["chunks"]
    return all(
        hashlib.sha256((lake.chunks(YEAR) / chunk["path"]).read_bytes()).hexdigest() == chunk["sha256"]
        for chunk in chunks
    )


@dataclass
class Scenario:
    """A lake to be ingested, and what that publishes.

    Parameters
    ----------
    template : Path
        The lake before.
    states : list of State
        What may be seen, in this order: the first is there before, the last after an uninterrupted run.
    files : set of str
        All files of the lake after an uninterrupted run.
    calls : list of str
        The calls of an uninterrupted run.
    seconds : float
        Its time.
    """

    template: Path
    states: list[State]
    files: set[str]
    calls: list[str]
    seconds: float

    def lake(self, root: Path) -> Lake:
        """A fresh copy of the lake."""
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(self.template, root)
        return Lake(root)

    def whole(self) -> list[State]:
        """States that may stay behind a failure."""
        lake = Lake(self.template)
        return [state_of(lake), *self.states]

    def passing(self) -> list[State]:
        """States that are seen for a moment, while ``READY`` says that they will be completed."""
        pairs = [
            between
            for old, new in zip(self.states, self.states[1:], strict=False)
            for between in ((old[0], None), (old[0], new[1]), (None, new[1]))
        ]
        return [pair for pair in pairs if pair not in self.states]

    def check_killed(self, lake: Lake) -> None:
        """What must hold the moment after a process died."""
        state = state_of(lake)
        ready = (lake.staging() / f"event_chunks-{YEAR}" / "READY").exists()
        assert state in self.states or (ready and state in self.passing())
        assert manifest_holds(lake)

    def check_completed(self, lake: Lake, server: Server) -> None:
        """The next run must end as if nothing had happened before it."""
        outcome = server.run(lake)
        assert (outcome.error, outcome.text) == ("", "")
        assert state_of(lake) == self.states[-1]
        assert leftovers(lake) == []
        assert names(lake) == self.files


def delivery(first: int, count: int, **fields: Any) -> list[Any]:
    """Good records, and two that are refused."""
    return [*(event(n, **fields) for n in range(first, first + count)), b"{bad", event(first, event_time="never")]


def _first_run(lake: Lake, server: Server, count: int) -> list[State]:
    put(lake, "a.json", array(delivery(0, count)))
    put(lake, "b.json.gz", gzipped(lines(delivery(count // 2, count, city="other"))))
    return [(None, None)]


def _published(lake: Lake, server: Server, count: int) -> list[State]:
    _first_run(lake, server, count)
    assert server.run(lake).error == ""
    return [state_of(lake)]


def _file_added(lake: Lake, server: Server, count: int) -> list[State]:
    states = _published(lake, server, count)
    put(lake, "c.zip", zipped({"m.json.gz": lines(delivery(count, count, city="third"))}))
    return states


def _file_replaced(lake: Lake, server: Server, count: int) -> list[State]:
    states = _published(lake, server, count)
    put(lake, "b.json.gz", gzipped(lines(delivery(count // 3, count, city="new"))))
    return states


def _file_removed(lake: Lake, server: Server, count: int) -> list[State]:
    states = _published(lake, server, count)
    (lake.raw(YEAR) / "a.json").unlink()
    return states


def _no_change(lake: Lake, server: Server, count: int) -> list[State]:
    return _published(lake, server, count)


def _another_crash(lake: Lake, server: Server, count: int) -> list[State]:
    """An earlier run died between the renames, and then one more file came."""
    states = _file_added(lake, server, count)
    copy = Lake(lake.root.with_name("copy"))
    shutil.copytree(lake.root, copy.root)
    calls = server.run(copy).calls
    states.append(state_of(copy))
    (swapped,) = (n for n, call in enumerate(calls) if call.endswith(f"quarantine {copy.quarantine(YEAR)}"))
    shutil.rmtree(copy.root)
    assert server.run(lake, at=swapped, how="after").code == DIED
    assert state_of(lake) == (states[0][0], states[1][1])
    put(lake, "d.json", lines(delivery(2 * count, count)))
    return states


SCENARIOS: dict[str, Callable[[Lake, Server, int], list[State]]] = {
    "first run": _first_run,
    "file added": _file_added,
    "file replaced": _file_replaced,
    "file removed": _file_removed,
    "no change": _no_change,
    "another crash before": _another_crash,
}


def prepare(place: Path, server: Server, name: str, count: int) -> Scenario:
    """Build a lake and see what an uninterrupted run makes of it."""
    root = place / name
    shutil.rmtree(root, ignore_errors=True)
    lake = Lake(root / "template")
    states = SCENARIOS[name](lake, server, count)
    whole = Lake(root / "whole")
    seconds = []
    for _ in range(3):
        shutil.rmtree(whole.root, ignore_errors=True)
        shutil.copytree(lake.root, whole.root)
        outcome = server.run(whole)
        assert outcome.error == ""
        seconds.append(outcome.seconds)
    return Scenario(lake.root, [*states, state_of(whole)], names(whole), outcome.calls, sorted(seconds)[1])


KILLS = 45


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_run_killed_at_any_instant_is_completed_by_the_next(place: Path, server: Server, name: str) -> None:
    scenario = prepare(place, server, name, count=700)
    order = random.Random(name)
    killed, attempts = 0, 0
    while killed < KILLS:
        attempts += 1
        assert attempts < 20 * KILLS, "most runs end before they are killed"
        lake = scenario.lake(place / "lake")
        outcome = server.run(lake, kill_after=order.uniform(0, 1.1 * scenario.seconds))
        killed += outcome.code == -signal.SIGKILL
        scenario.check_killed(lake)
        scenario.check_completed(lake, server)


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("how", ["before", "after"])
def test_a_run_that_dies_at_any_call_is_completed_by_the_next(place: Path, server: Server, name: str, how: str) -> None:
    scenario = prepare(place, server, name, count=20)
    for at, call in enumerate(scenario.calls):
        lake = scenario.lake(place / "lake")
        assert server.run(lake, at=at, how=how).code == DIED, call
        scenario.check_killed(lake)
        scenario.check_completed(lake, server)


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("how", ["full", "stays full"])
def test_no_space_at_any_call_leaves_a_whole_state(place: Path, server: Server, name: str, how: str) -> None:
    scenario = prepare(place, server, name, count=20)
    bad = []
    for at, call in enumerate(scenario.calls):
        lake = scenario.lake(place / "lake")
        outcome = server.run(lake, at=at, how=how)
        state = state_of(lake)
        if outcome.error:
            if (outcome.error, "no space left" in outcome.text) != ("PipelineError", True):
                bad.append((at, call, outcome.error, outcome.text))
        else:
            if state != scenario.states[-1]:
                bad.append((at, call, "success but state"))
        ready = (lake.staging() / f"event_chunks-{YEAR}" / "READY").exists()
        if state not in scenario.whole():
            bad.append((at, call, "mixed", "ready" if ready else "NOT READY", state in scenario.passing()))
        if state == scenario.states[0] and ready:
            bad.append((at, call, "old state but ready"))
        if not manifest_holds(lake):
            bad.append((at, call, "manifest"))
        try:
            scenario.check_completed(lake, server)
        except AssertionError as e:
            bad.append((at, call, "completed", str(e)[:300]))
    for b in bad:
        print(b)
    assert not bad


if __name__ == "__main__":
    serve()
