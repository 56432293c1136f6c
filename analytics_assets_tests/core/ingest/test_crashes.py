"""What an ingestion leaves behind that is killed, fails or is disturbed, wherever that happens.

The runs are children of a server process that has everything imported and compiled, so that one costs the time of its
work only; started as a script, this module is that server.
"""

from __future__ import annotations

import errno
import gc
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

from analytics_assets.core.errors import PipelineError
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
    rows,
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
        later ones. ``interrupted``: Ctrl-C arrives there.
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
            try:
                result = original(*args, **options)
            finally:
                if number == self._at and self._how == "after":
                    os._exit(DIED)
            if number == self._at and self._how == "interrupted":
                raise KeyboardInterrupt
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
    os.write(report, json.dumps({**answer, "calls": strike.calls, "ended": time.perf_counter()}).encode())
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
    answer = json.loads(report) if code == 0 else {"ended": started}
    return {"code": code, "seconds": answer.pop("ended") - started, **answer}


def serve() -> None:
    """Fork a child for each order that arrives as a line of JSON."""
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        content = lines([event(1), event(1, city="other"), b"{bad"])
        put(lake, "a.json.gz", gzipped(content))
        put(lake, "b.zip", zipped({"m.json.gz": content}))
        ingest_year(lake, YEAR)
    gc.freeze()  # else the collections of each child would copy the memory that it shares with this process
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
        hold.with_suffix(".reached").unlink(missing_ok=True)
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


def ready(lake: Lake) -> bool:
    """Whether the next run has a publication to complete."""
    return (lake.staging() / f"event_chunks-{YEAR}" / "READY").exists()


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
        The calls of an uninterrupted run at which something may go wrong.
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
        """What holds the moment after a process died."""
        state = state_of(lake)
        assert state in self.states or (ready(lake) and state in self.passing())
        assert manifest_holds(lake)

    def check_completed(self, lake: Lake, server: Server, **options: Any) -> None:
        """The next run ends as if nothing had happened before it."""
        outcome = server.run(lake, **options)
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
    calls = outcome.calls
    if name == "another crash before":  # after what it left behind is completed, the calls are those of other scenarios
        calls = calls[: calls.index(f"mkdir {whole.staging() / f'event_chunks-{YEAR}'} 511") + 1]
    return Scenario(lake.root, [*states, state_of(whole)], names(whole), calls, sorted(seconds)[1])


KILLS = 36
"""Per scenario: 216 in all."""


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_run_killed_at_any_instant_is_completed_by_the_next(place: Path, server: Server, name: str) -> None:
    scenario = prepare(place, server, name, count=300)
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


WITH_DIFFERENT_CALLS = ("first run", "file added", "no change", "another crash before")


@pytest.mark.parametrize("name", WITH_DIFFERENT_CALLS)
@pytest.mark.parametrize("how", ["before", "after"])
def test_a_run_that_dies_at_any_call_is_completed_by_the_next(place: Path, server: Server, name: str, how: str) -> None:
    scenario = prepare(place, server, name, count=20)
    for at, call in enumerate(scenario.calls):
        lake = scenario.lake(place / "lake")
        assert server.run(lake, at=at, how=how).code == DIED, call
        scenario.check_killed(lake)
        scenario.check_completed(lake, server)


@pytest.mark.parametrize("name", WITH_DIFFERENT_CALLS)
def test_no_space_at_any_call_leaves_a_whole_state(place: Path, server: Server, name: str) -> None:
    scenario = prepare(place, server, name, count=20)
    for at, call in enumerate(scenario.calls):
        lake = scenario.lake(place / "lake")
        outcome = server.run(lake, at=at, how="full")
        if outcome.error:
            assert outcome.error == "PipelineError", (call, outcome.text)
            assert "no space left" in outcome.text or "cannot be removed" in outcome.text, call
            assert state_of(lake) in scenario.whole(), call
            assert state_of(lake) != scenario.states[0] or not ready(lake), call
        else:  # the call could be done without, as a link or the removal of what is left over
            assert state_of(lake) == scenario.states[-1], call
        scenario.check_completed(lake, server)


@pytest.mark.parametrize("name", ["file added", "another crash before"])
@pytest.mark.parametrize("how", ["stays full", "interrupted"])
def test_a_failure_that_cannot_be_undone_is_as_good_as_a_kill(place: Path, server: Server, name: str, how: str) -> None:
    scenario = prepare(place, server, name, count=20)
    for at, call in enumerate(scenario.calls):
        lake = scenario.lake(place / "lake")
        outcome = server.run(lake, at=at, how=how)
        assert outcome.error in ("", {"stays full": "PipelineError", "interrupted": "KeyboardInterrupt"}[how]), call
        scenario.check_killed(lake)
        scenario.check_completed(lake, server)


def test_a_killed_run_leaves_no_unfinished_file_for_good(place: Path, server: Server) -> None:
    scenario = prepare(place, server, "file added", count=20)
    for at, call in enumerate(scenario.calls):
        if call.startswith("replace"):
            lake = scenario.lake(place / "lake")
            assert server.run(lake, at=at, how="before").code == DIED
            scenario.check_completed(lake, server)
            assert [str(path) for path in lake.root.rglob("*.tmp")] == [], call


# -------------------------------------------------------------------------------------------- several at a time


@pytest.fixture
def lake(place: Path) -> Iterator[Lake]:
    """An empty lake whose path every user may follow."""
    root = place / "analyst's lake"
    yield Lake(root)
    shutil.rmtree(root, ignore_errors=True)


def test_a_second_run_of_a_year_fails_at_once_and_names_the_first(lake: Lake, place: Path, server: Server) -> None:
    put(lake, "a.json", array([event(1)]))
    hold = place / "hold"
    child = server.start(lake, hold)
    for _ in range(2):
        started = time.monotonic()
        with pytest.raises(PipelineError) as caught:
            ingest_year(lake, YEAR)
        assert time.monotonic() - started < 5
        assert caught.value.fact == f"process {child} is ingesting {YEAR} right now"
        assert "Wait" in caught.value.remedy
    assert state_of(lake) == (None, None)
    hold.unlink()
    assert server.finish(child).error == ""
    assert len(rows(lake)) == 1
    assert leftovers(lake) == []


def test_a_second_run_in_the_same_process_fails_too(lake: Lake) -> None:
    put(lake, "a.json", array([event(1)]))
    seen = []

    def again(_: object) -> None:
        with pytest.raises(PipelineError, match=f"process {os.getpid()} is ingesting"):
            ingest_year(lake, YEAR)
        seen.append(1)

    ingest_year(lake, YEAR, progress=again)
    assert seen
    assert len(rows(lake)) == 1


def test_different_years_are_ingested_at_the_same_time(lake: Lake, place: Path, server: Server) -> None:
    put(lake, "a.json", array([event(1), b"{bad"]), "2023")
    put(lake, "a.json", array([event(2), event(3)]))
    hold = place / "hold"
    child = server.start(lake, hold, year="2023")
    assert ingest_year(lake, YEAR)["total"]["loaded"] == 2
    assert rows(lake, "2023") == []
    hold.unlink()
    assert server.finish(child).error == ""
    assert [len(rows(lake, year)) for year in ("2023", YEAR)] == [1, 2]
    assert leftovers(lake) == []


def test_the_lock_of_a_killed_process_does_not_block(lake: Lake, place: Path, server: Server) -> None:
    put(lake, "a.json", array([event(1)]))
    hold = place / "hold"
    child = server.start(lake, hold)
    os.kill(child, signal.SIGKILL)
    assert server.finish(child).code == -signal.SIGKILL
    hold.unlink()
    assert str(child) in lake.lock(f"event_chunks-{YEAR}").read_text()
    assert ingest_year(lake, YEAR)["total"]["loaded"] == 1
    assert leftovers(lake) == []


# ------------------------------------------------------------------------------------------ disks and permissions


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system in memory with the given options."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if subprocess.run(command, check=False, capture_output=True).returncode != 0:
            pytest.skip("no right to mount a file system")
        return folder

    yield mount
    if os.path.ismount(folder):
        subprocess.run(["umount", str(folder)], check=True)


PAGE = 4096


def _leave_space(disk: Path, pages: int) -> None:
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    with (disk / "filler").open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, free - pages * PAGE)


def _leave_inodes(disk: Path, inodes: int) -> None:
    (disk / "filler").mkdir()
    for number in range(os.statvfs(disk).f_favail - inodes):
        (disk / "filler" / str(number)).touch()


@pytest.mark.parametrize("name", ["first run", "file added"])
@pytest.mark.parametrize(
    ("options", "leave", "step"),
    [("size=2m", _leave_space, 3), ("size=8m,nr_inodes=160", _leave_inodes, 2)],
    ids=["space", "inodes"],
)
def test_a_disk_that_is_really_full_at_any_point_leaves_the_old_state(
    mounted, place: Path, server: Server, name: str, options: str, leave: Callable[[Path, int], None], step: int
) -> None:
    scenario = prepare(place, server, name, count=20)
    disk = mounted(options)
    failed, free, error = 0, 0, "yes"
    while error:
        lake = scenario.lake(disk / "lake")
        leave(disk, free)
        outcome = server.run(lake)
        error = outcome.error
        assert outcome.code == 0, "a signal"
        if error:
            failed += 1
            assert error == "PipelineError", (free, outcome.text)
            assert "no space left" in outcome.text
            assert state_of(lake) == scenario.states[0]
            assert leftovers(lake) == []
        filler = disk / "filler"
        shutil.rmtree(filler) if filler.is_dir() else filler.unlink()
        scenario.check_completed(lake, server)
        free += step
    assert failed > 3


def test_a_read_only_lake_is_an_error_that_says_so(mounted, place: Path, server: Server) -> None:
    scenario = prepare(place, server, "file added", count=20)
    disk = mounted("size=8m")
    lake = scenario.lake(disk / "lake")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    outcome = server.run(lake)
    assert outcome.error == "PipelineError"
    assert "the file system is read-only" in outcome.text
    assert "ANALYTICS_DATA_DIR" in outcome.text
    assert state_of(lake) == scenario.states[0]
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    scenario.check_completed(lake, server)


FORBIDDEN: dict[str, Callable[[Lake], list[Path]]] = {
    "raw file": lambda lake: [lake.raw(YEAR) / "c.zip"],
    "raw folder": lambda lake: [lake.raw(YEAR)],
    "lock": lambda lake: [lake.lock(f"event_chunks-{YEAR}")],
    "staging": lambda lake: [lake.staging()],
    "published chunks": lambda lake: sorted(lake.chunks(YEAR).glob("*.csv")),
    "folder of quarantines": lambda lake: [lake.root / "quarantine"],
    "folder of chunks": lambda lake: [lake.root / "chunks"],
}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_belongs_to_another_user_is_a_missing_permission(place: Path, server: Server, name: str) -> None:
    scenario = prepare(place, server, "file added", count=20)
    lake = scenario.lake(place / "lake")
    for path in (lake.root, *lake.root.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    closed = FORBIDDEN[name](lake)
    for path in closed:
        os.chown(path, 0, 0)
        path.chmod(0o555 if "folder of" in name or name == "staging" else 0)
    outcome = server.run(lake, user=NOBODY)
    assert outcome.error == "PipelineError", outcome.text
    assert "permission denied" in outcome.text or "not permitted" in outcome.text
    assert str(closed[0]) in outcome.text
    assert "Give the user" in outcome.text
    assert state_of(lake) == scenario.states[0]
    for path in closed:
        path.chmod(0o755)
        os.chown(path, NOBODY, NOBODY)
    scenario.check_completed(lake, server, user=NOBODY)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("where", ["chunks/.2024.previous", "quarantine/.2024.previous", ".staging/event_chunks-2024"])
def test_left_over_files_of_another_user_are_named(place: Path, server: Server, where: str) -> None:
    scenario = prepare(place, server, "file added", count=20)
    lake = scenario.lake(place / "lake")
    for path in (lake.root, *lake.root.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    kept = lake.root / where / "folder" / "file"
    kept.parent.mkdir(parents=True)
    kept.touch()
    outcome = server.run(lake, user=NOBODY)
    assert outcome.error == "PipelineError", outcome.text
    assert str(lake.root / where) in outcome.text
    assert state_of(lake) == scenario.states[0]
    shutil.rmtree(lake.root / where)
    scenario.check_completed(lake, server, user=NOBODY)


# --------------------------------------------------------------------------------- raw files that do not hold still


def _grow(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(path.read_bytes()[-200:])


def _shrink(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _replace(path: Path) -> None:
    """Another file of the same size and age."""
    before = path.stat()
    other = path.with_name(".other")
    other.write_bytes(path.read_bytes()[::-1])
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(path)


def _remove(path: Path) -> None:
    path.unlink()


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain.json": lambda content: content,
    "packed.json.gz": gzipped,
    "export.zip": lambda content: zipped({"m.json.gz": content}),
}


def disturbed(lake: Lake, path: Path, change: Callable[[Path], None], at: int) -> tuple[int, Exception | None]:
    """Ingest, and change a file at one of the progress reports; returns their number and what went wrong."""
    reports = 0

    def report(_: object) -> None:
        nonlocal reports
        if reports == at:
            change(path)
        reports += 1

    try:
        ingest_year(lake, YEAR, max_rows=MAX_ROWS, limits=Limits(workers=1), progress=report)
    except Exception as error:
        return reports, error
    return reports, None


@pytest.mark.parametrize("change", [_grow, _shrink, _replace, _remove])
@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("known", [False, True], ids=["new file", "known file"])
def test_a_file_that_changes_while_it_is_read_leaves_the_old_state(
    lake: Lake, change: Callable[[Path], None], packing: str, known: bool
) -> None:
    """The conflicts between the files make the run read both a second time."""
    content = PACKINGS[packing](lines(event(n, city="changing") for n in range(30)))
    path = put(lake, packing, content)
    put(lake, "old.json", array(delivery(0, 20)))
    ingest_year(lake, YEAR, max_rows=MAX_ROWS)
    before = state_of(lake)
    put(lake, "zz new.json", lines(event(n, city="new") for n in range(5, 15)))
    if not known:
        path.unlink()
        ingest_year(lake, YEAR, max_rows=MAX_ROWS)
        before = state_of(lake)
    at, reports = 0, 1
    while at < reports:
        path.write_bytes(content)
        reports, error = disturbed(lake, path, change, at)
        assert isinstance(error, PipelineError), (at, repr(error))
        assert str(path) in error.place
        assert "changed while" in error.fact or "damaged" in error.fact
        assert state_of(lake) == before
        assert leftovers(lake) == []
        at += 1
    path.write_bytes(content)
    assert disturbed(lake, path, change, -1)[1] is None


@pytest.mark.parametrize("change", [_grow, _shrink, _replace, _remove])
@pytest.mark.parametrize("packing", PACKINGS)
def test_a_large_file_that_changes_in_the_middle_leaves_the_old_state(
    lake: Lake, change: Callable[[Path], None], packing: str
) -> None:
    """Large enough that the change comes while most of it has not been read."""
    order = random.Random(1)
    put(lake, "a.json", array(delivery(0, 20)))
    ingest_year(lake, YEAR)
    before = state_of(lake)
    content = PACKINGS[packing](lines(event(n, city=order.randbytes(15_000).hex()) for n in range(500)))
    assert len(content) > 7_000_000
    path = put(lake, packing, content)
    _, error = disturbed(lake, path, change, 0)
    assert isinstance(error, PipelineError), repr(error)
    assert str(path) in error.place
    assert state_of(lake) == before
    assert leftovers(lake) == []


if __name__ == "__main__":
    serve()
