"""Publishing: whole or not at all, whoever dies, and whoever else publishes."""

from __future__ import annotations

import contextlib
import errno
import shutil
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import s3fs.core

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.files import write_bytes
from analytics_assets.core.lake import Lake
from analytics_assets.core.remote import units, versions
from analytics_assets.core.remote.bucket import Bucket
from analytics_assets.core.remote.working_copy import WorkingCopy
from analytics_assets_tests.core.remote.conftest import YEAR, Worker, fill, pulled, tree, write_results


class Killed(BaseException):
    """The process is gone: nothing may tidy up after it."""


WRITES = ("upload", "create")


def dying(monkeypatch: pytest.MonkeyPatch, calls: Iterator[str], *names: str) -> None:
    """Let the given calls to the bucket happen as `calls` says: ``done``, ``before`` or ``after`` which to die."""
    for name in names:
        real = getattr(Bucket, name)

        def call(self: Bucket, *arguments: Any, _real: Any = real) -> Any:
            fate = next(calls)
            if fate == "before":
                raise Killed
            result = _real(self, *arguments)
            if fate == "after":
                raise Killed
            return result

        monkeypatch.setattr(Bucket, name, call)


def fates(done: int, last: str) -> Iterator[str]:
    yield from ["done"] * done
    yield last


def test_a_lake_comes_back_byte_for_byte(worker: Worker) -> None:
    first, second = worker(), worker()
    fill(first.lake, "abc")
    write_bytes(first.lake.suppressed(), b"{}")
    assert first.push() == (2, 4)
    assert pulled(second) == tree(first.lake)
    assert first.push() == (0, 0), "nothing is uploaded twice"


def test_only_what_differs_travels(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = worker(), worker()
    fill(first.lake, "abc")
    first.push()
    pulled(second)
    travelled: list[str] = []
    for name, position in (("upload", 1), ("download", 0)):
        real = getattr(Bucket, name)

        def call(self: Bucket, *arguments: Any, _real: Any = real, _position: int = position) -> None:
            travelled.append(str(arguments[_position]).partition(f"{YEAR}/")[2].partition("/")[2])
            _real(self, *arguments)

        monkeypatch.setattr(Bucket, name, call)
    write_bytes(first.lake.chunks(YEAR) / "part-00001.csv", b"new")
    (first.lake.chunks(YEAR) / "part-00002.csv").unlink()
    assert first.publish(units.local_units(first.lake)) == 1
    assert pulled(second) == tree(first.lake)
    assert travelled == [f"chunks/{YEAR}/part-00001.csv"] * 2


@pytest.mark.parametrize("fate", ["before", "after"])
def test_whoever_dies_at_any_write_leaves_the_version_before(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, fate: str
) -> None:
    first, reader = worker(), worker()
    part = units.whole(first.lake, f"event_chunks/{YEAR}")
    trees: list[dict[str, bytes]] = []
    for content in ("old", "new!"):
        shutil.rmtree(first.lake.chunks(YEAR), ignore_errors=True)
        write_results(first.lake, content)
        trees.append({name: body for name, body in tree(first.lake).items() if name.startswith(part.paths)})
        if content == "old":
            first.publish([part])
    old, new = trees
    last = 6  # four chunks, the manifest, the text of ledger and quarantine; then the version that names them
    for done in range(last + 2):
        with monkeypatch.context() as patch:
            dying(patch, fates(done, fate), *WRITES)
            with pytest.raises(Killed) if done <= last else contextlib.nullcontext():
                first.publish([part])
        reader.fetch([part])
        published = done > last or (fate == "after" and done == last)
        assert tree(reader.lake) == (new if published else old), done
    assert first.versions.numbers()[part.unit] == [1, 2]


def test_what_the_dead_left_is_removed(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    first = worker()
    fill(first.lake, "old")
    first.push()
    there = set(first.bucket.list("objects"))
    write_results(first.lake, "new!")
    with monkeypatch.context() as patch:
        dying(patch, fates(3, "after"), *WRITES)
        with pytest.raises(Killed):
            first.publish([units.whole(first.lake, f"event_chunks/{YEAR}")])
    assert first.versions.prune().objects == 0, "it may be an upload in progress"
    monkeypatch.setattr(versions, "UNFINISHED", timedelta(0))
    assert first.versions.prune(dry=True).objects == 4
    assert first.versions.prune().objects == 4
    assert set(first.bucket.list("objects")) == there


def test_a_worker_that_dies_while_fetching_has_whole_folders(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    first, reader = worker(), worker()
    fill(first.lake, "old")
    first.push()
    pulled(reader)
    write_results(first.lake, "new!")
    parts = units.local_units(first.lake)
    first.publish(parts)
    for done in range(100):
        with monkeypatch.context() as patch:
            dying(patch, fates(done, "before"), "download")
            try:
                reader.fetch(parts)
            except Killed:
                pass
            else:
                break
        chunks = [path.read_text()[0] for path in sorted(reader.lake.chunks(YEAR).glob("part-*.csv"))]
        assert reader.lake.manifest(YEAR).read_text().count("".join(chunks)) == 1
    assert done == 7
    assert tree(reader.lake) == tree(first.lake)


def test_the_second_of_two_publishers_is_told(worker: Worker) -> None:
    first, second = worker(), worker()
    fill(first.lake, "old")
    first.push()
    pulled(second)
    part = units.whole(first.lake, f"sessions/{YEAR}")
    base = first.versions.latest(part.unit)
    write_bytes(first.lake.feature("sessions", YEAR), b"first")
    write_bytes(second.lake.feature("sessions", YEAR), b"second")
    first.versions.publish(base, {part.paths[0]: first.lake.root / part.paths[0]})
    with pytest.raises(PipelineError, match=f"another worker has published sessions/{YEAR} while this one"):
        second.versions.publish(base, {part.paths[0]: second.lake.root / part.paths[0]})
    assert pulled(second)[part.paths[0]] == b"first"
    again = second.versions.publish(base, {part.paths[0]: second.lake.root / part.paths[0]})
    assert again.number == base.number + 1, "the same files are no conflict"


def test_of_many_publishers_at_once_one_wins_whole(worker: Worker) -> None:
    workers = [worker() for _ in range(5)]
    part = units.whole(workers[0].lake, "markov_chain")
    told: list[str] = []

    def publish(number: int, copy: WorkingCopy) -> None:
        files = {f"models/markov_chain/{name}": copy.lake.model("markov_chain") / name for name in "abc"}
        for path in files.values():
            write_bytes(path, f"{number}".encode())
        try:
            copy.versions.publish(versions.Version(part.unit, 0, {}), files)
        except PipelineError as error:
            told.append(str(error))

    threads = [threading.Thread(target=publish, args=one) for one in enumerate(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == len(workers) - 1
    found = pulled(worker())
    assert len(found) == 3 and len(set(found.values())) == 1


def test_a_lost_answer_is_no_conflict(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store wrote, the answer was lost, the client tried again and found its own object."""
    first = worker()
    fill(first.lake, "a")
    real = Bucket.create
    monkeypatch.setattr(Bucket, "create", lambda *arguments: real(*arguments) and real(*arguments))
    assert first.push() == (2, 3)


def test_without_conditional_writes_the_last_one_wins_whole(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = worker(), worker()
    part = units.whole(first.lake, "markov_chain")
    for copy, content in ((first, b"first"), (second, b"second")):
        store = copy.bucket._store
        real = store.pipe_file

        def pipe_file(path: str, data: bytes, mode: str = "overwrite", _real: Any = real) -> None:
            if mode == "create":
                error = OSError(errno.ENOSYS, "")
                error.__cause__ = Exception()
                error.__cause__.response = {"Error": {"Code": "NotImplemented"}}  # type: ignore[attr-defined]
                raise error
            _real(path, data)

        monkeypatch.setattr(store, "pipe_file", pipe_file)
        files = {f"models/markov_chain/{name}": copy.lake.model("markov_chain") / name for name in "ab"}
        for path in files.values():
            write_bytes(path, content)
        copy.versions.publish(versions.Version(part.unit, 0, {}), files)
    assert set(pulled(worker()).values()) == {b"second"}


def test_pruning_keeps_the_last_versions_and_what_they_share(worker: Worker) -> None:
    first = worker()
    part = units.whole(first.lake, f"event_chunks/{YEAR}")
    for content in ("a", "ab", "abc", "abcd"):
        write_results(first.lake, content)
        first.publish([part])
    assert first.versions.prune(2)[:2] == (2, 4), "manifests and the text of ledger and quarantine of two versions"
    assert first.versions.numbers() == {part.unit: [3, 4]}
    assert first.versions.prune(1).versions == 1
    assert pulled(worker()) == {name: body for name, body in tree(first.lake).items() if name.startswith(part.paths)}


def test_a_reader_whose_version_is_pruned_meanwhile_gets_the_next(worker: Worker) -> None:
    first, reader = worker(), worker()
    part = units.whole(first.lake, f"sessions/{YEAR}")
    write_bytes(first.lake.feature("sessions", YEAR), b"1")
    first.publish([part])
    listed = reader.versions.numbers()
    write_bytes(first.lake.feature("sessions", YEAR), b"2")
    first.publish([part])
    first.versions.prune(1)
    reader.fetch([part], listed)
    assert reader.lake.feature("sessions", YEAR).read_bytes() == b"2"


def test_large_files_travel_in_parts(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3fs.core, "calculate_chunksize", lambda *_, **__: 5 << 20)
    first, second = worker(), worker()
    content = bytes(range(256)) * 4096 * 12
    write_bytes(first.lake.feature("sessions", YEAR), content)
    first.publish([units.whole(first.lake, f"sessions/{YEAR}")])
    assert pulled(second) == {f"features/sessions/{YEAR}.parquet": content}


def test_a_step_publishes_against_what_it_began_with(worker: Worker) -> None:
    """Whoever publishes while a step computes makes the step fail, not the other's result disappear."""
    first, second = worker(), worker()
    fill(first.lake, "old")
    first.push()
    with second.step(["sessions"], ["clean_events"], YEAR) as publish:
        assert second.lake.manifest(YEAR).is_file() and not list(second.lake.chunks(YEAR).glob("part-*"))
        write_bytes(second.lake.feature("sessions", YEAR), b"second")
        write_bytes(first.lake.feature("sessions", YEAR), b"first")
        first.publish([units.whole(first.lake, f"sessions/{YEAR}")])
        with pytest.raises(PipelineError, match="Run the step again"):
            publish("sessions")
    with second.step(["sessions"], ["clean_events"], YEAR) as publish:
        write_bytes(second.lake.feature("sessions", YEAR), b"second")
        publish("sessions")
    assert pulled(first)[f"features/sessions/{YEAR}.parquet"] == b"second"


def test_a_unit_that_the_bucket_lost_is_gone_here_too_but_not_what_people_wrote(worker: Worker) -> None:
    first = worker()
    first.attach()
    lake: Lake = first.lake
    write_results(lake, "left by a step that died")
    write_bytes(lake.repairs(YEAR), b"{}")
    write_bytes(lake.suppressed(), b"{}")
    first.fetch(units.local_units(lake))
    assert set(tree(lake)) == {f"repairs/{YEAR}.json", "privacy/suppressed.json"}
