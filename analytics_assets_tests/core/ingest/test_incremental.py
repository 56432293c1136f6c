"""What an ingestion takes over from the one before: nothing is read twice, and the result is that of a full run."""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.core.ingest import chunks, digests, run
from analytics_assets.core.ingest.digests import raw_digest
from analytics_assets.core.ingest.limits import Limits
from analytics_assets.core.ingest.parse import SourceParser
from analytics_assets.core.ingest.run import ingest_year
from analytics_assets.core.lake import Lake
from analytics_assets_tests.core.ingest.exports import (
    YEAR,
    array,
    encoded,
    event,
    gzipped,
    leftovers,
    lines,
    published,
    put,
    refused,
    rows,
    zipped,
)

MAX_ROWS = 8


def ingest(lake: Lake, **options: Any) -> dict[str, Any]:
    """Ingest with small chunks."""
    return ingest_year(lake, YEAR, **{"max_rows": MAX_ROWS, "limits": Limits(workers=2), **options})


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files need not lie still for two seconds before their digests are remembered."""
    monkeypatch.setattr(digests, "SETTLED_NANOSECONDS", -1)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are parsed from here on."""
    names: list[str] = []
    original = SourceParser.parse

    def parse(parser: SourceParser) -> Any:
        names.append(parser._source.name)
        return original(parser)

    monkeypatch.setattr(SourceParser, "parse", parse)
    return names


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the raw files that are opened from here on."""
    names: list[str] = []
    original = Path.open

    def note(path: Path, *args: Any, **options: Any) -> Any:
        if "raw" in path.parts:
            names.append(path.name)
        return original(path, *args, **options)

    monkeypatch.setattr(Path, "open", note)
    return names


def fill(lake: Lake) -> None:
    """Three files: own records, duplicates and conflicts over two of them, refused ones."""
    put(lake, "a.json", array([*(event(n) for n in range(20)), b"{bad"]))
    put(lake, "b.json.gz", gzipped(lines([*(event(n, city="other") for n in range(15, 30)), event(3)])))
    put(lake, "c.zip", zipped({"m.json.gz": lines([*(event(n) for n in range(40, 55)), event(40, event_time="x")])}))


def from_scratch(lake: Lake, **options: Any) -> dict[str, bytes]:
    """What a new lake with the same raw files publishes."""
    with memory() as folder:
        fresh = Lake(Path(folder))
        shutil.copytree(lake.raw(), fresh.raw())
        ingest(fresh, **options)
        return published(fresh)


def memory() -> tempfile.TemporaryDirectory[str]:
    """A temporary folder in memory where there is one: many small runs would mostly wait for the disk."""
    return tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)


def inodes(lake: Lake) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in lake.chunks(YEAR).glob("*.csv")}


# ------------------------------------------------------------------------------------------------ nothing has changed


def test_an_unchanged_year_is_not_read_again(lake: Lake, opened: list[str], parsed: list[str]) -> None:
    fill(lake)
    manifest = ingest(lake)
    time.sleep(digests.SETTLED_NANOSECONDS / 1e9 + 0.1)
    assert ingest(lake) == manifest  # now the digests may be remembered
    before = published(lake)
    opened.clear()
    parsed.clear()
    assert ingest(lake) == manifest
    assert (opened, parsed) == ([], [])
    assert published(lake) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.usefixtures("settled")
def test_an_unchanged_year_needs_no_right_to_read_its_files() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to other users
        Path(folder).chmod(0o755)
        lake = Lake(Path(folder) / "lake")
        fill(lake)
        ingest(lake)
        for path in lake.raw(YEAR).iterdir():
            path.chmod(0)  # this changes the time of the metadata, so the files are hashed once more
        manifest = ingest(lake)
        for path in (lake.root, *lake.root.rglob("*")):
            if path.parent != lake.raw(YEAR):
                os.chown(path, 65534, 65534)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.setgid(65534)
                os.setuid(65534)
                code = 0 if ingest(lake) == manifest else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.usefixtures("settled")
def test_a_touched_file_is_hashed_and_not_parsed(lake: Lake, opened: list[str], parsed: list[str]) -> None:
    fill(lake)
    manifest = ingest(lake)
    os.utime(lake.raw(YEAR) / "b.json.gz", (1, 1))
    opened.clear()
    parsed.clear()
    assert ingest(lake) == manifest
    assert (opened, parsed) == (["b.json.gz"], [])
    assert ingest(lake) == manifest
    assert opened == ["b.json.gz"]


@pytest.mark.usefixtures("settled")
def test_a_copied_lake_is_hashed_and_not_parsed(lake: Lake, tmp_path: Path, parsed: list[str]) -> None:
    fill(lake)
    manifest = ingest(lake)
    parsed.clear()
    copy = Lake(tmp_path / "copy")
    shutil.copytree(lake.root, copy.root)
    assert ingest(copy) == manifest
    assert parsed == []


@pytest.mark.usefixtures("settled")
def test_markers_that_come_and_go_are_noted_without_parsing(lake: Lake, parsed: list[str]) -> None:
    fill(lake)
    ingest(lake)
    parsed.clear()
    marker = put(lake, "complete", b"")
    assert ingest(lake)["markers"] == ["complete"]
    assert published(lake) == from_scratch(lake)
    marker.unlink()
    parsed.clear()
    assert ingest(lake)["markers"] == []
    assert parsed == []
    assert published(lake) == from_scratch(lake)


# ------------------------------------------------------------------------------------------------- files come and go


def test_only_a_new_file_is_parsed(lake: Lake, parsed: list[str]) -> None:
    fill(lake)
    ingest(lake)
    parsed.clear()
    put(lake, "b2.json", lines([*(event(n, city="third") for n in range(10, 25)), b"{worse", event(100)]))
    ingest(lake)
    assert parsed == ["b2.json"]
    assert published(lake) == from_scratch(lake)


@pytest.mark.usefixtures("settled")
def test_files_without_conflicts_are_not_even_opened_for_a_new_one(
    lake: Lake, opened: list[str], parsed: list[str]
) -> None:
    fill(lake)
    ingest(lake)
    opened.clear()
    parsed.clear()
    put(lake, "d.json", lines([event(200), event(201)]))
    ingest(lake)
    assert parsed == ["d.json"]
    # The two files with conflicts among them are read at the records in question; c.zip has none.
    assert "c.zip" not in opened
    assert published(lake) == from_scratch(lake)


def test_a_replaced_file_alone_is_parsed(lake: Lake, parsed: list[str]) -> None:
    fill(lake)
    ingest(lake)
    parsed.clear()
    put(lake, "a.json", array([*(event(n) for n in range(20)), event(800)]))
    ingest(lake)
    assert parsed == ["a.json"]
    assert published(lake) == from_scratch(lake)


def test_a_removed_file_costs_no_parsing_unless_its_rows_are_missed(lake: Lake, parsed: list[str]) -> None:
    fill(lake)
    ingest(lake)
    parsed.clear()
    (lake.raw(YEAR) / "c.zip").unlink()
    ingest(lake)
    assert parsed == []
    assert published(lake) == from_scratch(lake)
    parsed.clear()
    (lake.raw(YEAR) / "a.json").unlink()  # some rows of b.json.gz had given way to it
    ingest(lake)
    assert parsed == ["b.json.gz"]
    assert len(rows(lake)) == 16
    assert published(lake) == from_scratch(lake)


def test_a_file_whose_duplicate_is_removed_is_parsed_and_the_new_one_only_once(lake: Lake, parsed: list[str]) -> None:
    """The row that was left out as a duplicate is needed once the other copy has gone."""
    put(lake, "a.json", lines([event(1), event(2)]))
    put(lake, "b.json", lines([event(2), event(3)]))
    ingest(lake)
    (lake.raw(YEAR) / "a.json").unlink()
    put(lake, "c.json", lines([event(4)]))
    parsed.clear()
    ingest(lake)
    assert sorted(parsed) == ["b.json", "c.json"]
    assert [row["event_type"] for row in rows(lake)] == ["event 2", "event 3", "event 4"]
    assert published(lake) == from_scratch(lake)


CITIES = st.sampled_from([None, "a", "b"])
UPLOADS = st.sampled_from([None, "2024-03-01 11:00:00.000000", "2024-03-01 12:00:00"])
GOOD = st.builds(lambda n, c, u: encoded(event(n, city=c, server_upload_time=u)), st.integers(0, 9), CITIES, UPLOADS)
ODD = st.sampled_from(
    [
        b"{bad",
        b'"text"',
        encoded(event(900, event_time="never")),
        encoded(event(901, processed_time="soon")),
        encoded(event(902, os_version=10, unheard_of=1)),
        encoded(dict(reversed(event(1).items()))),
        encoded(event(2)).replace(b'"n": 2', b'"n": 2, "n": 2'),
        encoded(event(903, city=None, uuid=None)),
    ]
)
# The first record is whole: a file that does not begin as JSON is an error of its own.
RECORDS = st.builds(lambda first, rest: [first, *rest], GOOD, st.lists(st.one_of(GOOD, GOOD, ODD), max_size=12))
PACKINGS: dict[str, Callable[[list[bytes]], bytes]] = {
    "array": array,
    "lines": lines,
    "gzip": lambda records: gzipped(lines(records)),
    "zip": lambda records: zipped({"p/a.json.gz": lines(records[:4]), "p/b.json.gz": lines(records[:1] + records[4:])}),
}
CONTENTS = st.builds(lambda packing, records: PACKINGS[packing](records), st.sampled_from(sorted(PACKINGS)), RECORDS)
NAMES = st.sampled_from(["a", "b", "c/d", "e", "f"])
CHANGES = st.one_of(
    st.tuples(st.just("put"), NAMES, CONTENTS),
    st.tuples(st.just("put"), NAMES, CONTENTS),
    st.tuples(st.just("remove"), NAMES, st.just(b"")),
    st.tuples(st.just("rename"), NAMES, NAMES),
    st.tuples(st.just("copy"), NAMES, NAMES),
    st.tuples(st.just("touch"), NAMES, st.just(b"")),
)


def change(lake: Lake, how: str, name: str, what: Any) -> None:
    """Apply one change; what makes no sense is left undone."""
    path = lake.raw(YEAR) / name
    if how == "put":
        put(lake, name, what)
    elif path.exists():
        others = [other for other in lake.raw(YEAR).rglob("*") if other.is_file() and other != path]
        if how == "remove" and others:
            path.unlink()
        elif how in ("rename", "copy") and what != name:
            target = put(lake, what, path.read_bytes())
            if how == "rename":
                path.unlink()
            else:
                shutil.copystat(path, target)
        elif how == "touch":
            os.utime(path, (1, 1))


@settings(max_examples=60, deadline=None)
@given(
    first=st.dictionaries(NAMES, CONTENTS, min_size=1, max_size=3),
    steps=st.lists(st.lists(CHANGES, min_size=1, max_size=3), min_size=1, max_size=4),
    max_rows=st.integers(1, 12),
    remembered=st.booleans(),
)
def test_any_sequence_of_changes_gives_what_a_full_run_gives(first, steps, max_rows, remembered) -> None:
    with memory() as folder, pytest.MonkeyPatch.context() as patch:
        if remembered:
            patch.setattr(digests, "SETTLED_NANOSECONDS", -1)
        lake = Lake(Path(folder))
        for name, content in first.items():
            put(lake, name, content)
        for changes in [[], *steps]:
            for one in changes:
                change(lake, *one)
            manifest = ingest(lake, max_rows=max_rows)
            assert manifest == json.loads(lake.manifest(YEAR).read_bytes())
            assert published(lake) == from_scratch(lake, max_rows=max_rows)
            assert leftovers(lake) == []


# ---------------------------------------------------------------------------------------------------------- the chunks


def test_unchanged_chunks_are_links_to_the_old_ones(lake: Lake) -> None:
    fill(lake)
    manifest = ingest(lake)
    before = inodes(lake)
    put(lake, "d.json", lines(event(n) for n in range(300, 320)))
    new = ingest(lake)
    digest_of = {chunk["path"]: chunk["sha256"] for chunk in manifest["chunks"]}
    same = [chunk["path"] for chunk in new["chunks"] if digest_of.get(chunk["path"]) == chunk["sha256"]]
    assert len(same) >= 5
    after = inodes(lake)
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert published(lake) == from_scratch(lake)


def test_a_chunk_keeps_its_file_when_its_number_changes(lake: Lake) -> None:
    put(lake, "b.json", lines(event(n) for n in range(MAX_ROWS)))
    ingest(lake)
    (before,) = inodes(lake).values()
    put(lake, "a.json", lines(event(n) for n in range(100, 100 + MAX_ROWS)))
    ingest(lake)
    assert inodes(lake)["part-00001.csv"] == before
    assert inodes(lake)["part-00000.csv"] != before
    assert published(lake) == from_scratch(lake)


def test_a_chunk_that_a_reader_holds_open_does_not_change(lake: Lake) -> None:
    """A link shares its bytes with the old chunk: they must never be written to."""
    fill(lake)
    ingest(lake)
    streams = {path.name: path.open("rb") for path in sorted(lake.chunks(YEAR).glob("*.csv"))}
    content = {path.name: path.read_bytes() for path in lake.chunks(YEAR).glob("*.csv")}
    put(lake, "0.json", lines([event(5, city="earlier", server_upload_time="2020-01-01 00:00:00"), event(400)]))
    ingest(lake)
    assert {name: stream.read() for name, stream in streams.items()} == content
    for stream in streams.values():
        stream.close()
    assert published(lake) == from_scratch(lake)


def test_without_hard_links_chunks_are_copied(lake: Lake, monkeypatch: pytest.MonkeyPatch, parsed: list[str]) -> None:
    fill(lake)
    ingest(lake)
    before = inodes(lake)

    def no_links(*_: object, **__: object) -> None:
        raise PermissionError("links are not supported")

    monkeypatch.setattr(chunks.os, "link", no_links)
    put(lake, "d.json", lines([event(500)]))
    parsed.clear()
    ingest(lake)
    assert parsed == ["d.json"]
    assert not set(inodes(lake).values()) & set(before.values())
    assert published(lake) == from_scratch(lake)


# ------------------------------------------------------------------------------------ what cannot be taken over is not


def _damage(content: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content(path.read_bytes())) and None


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "missing": lambda path: path.unlink(),
    "empty": _damage(lambda content: b""),
    "cut": _damage(lambda content: content[: len(content) // 2]),
    "zeros": _damage(lambda content: bytes(len(content) + 1)),
    "longer": _damage(lambda content: content + content),
}


def _flipped(content: bytes) -> bytes:
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


FLIPPED = {"flipped": _damage(_flipped)}
"""One bit; a chunk's size alone does not show it, a ledger's digests do."""


def damaged_and_ingested(lake: Lake, damage: Callable[[], None]) -> None:
    """After the damage, a run with one more file and a run without it both give what a full run gives."""
    fill(lake)
    ingest(lake)
    for name in ("d.json", ""):
        damage()
        if name:
            put(lake, name, lines([event(600), event(601), event(5, city="d")]))
        else:
            (lake.raw(YEAR) / "d.json").unlink()
        ingest(lake)
        assert published(lake) == from_scratch(lake)
        assert leftovers(lake) == []


@pytest.mark.parametrize("damage", [*DAMAGES, "flipped"])
def test_a_damaged_ledger_costs_a_full_run_and_nothing_else(lake: Lake, damage: str) -> None:
    fill(lake)
    ingest(lake)
    names = sorted(path.name for path in lake.ledger(YEAR).iterdir() if path.stat().st_size or damage == "missing")
    assert len(names) > 6
    for name in names:
        with memory() as folder:
            fresh = Lake(Path(folder))
            damaged_and_ingested(fresh, lambda: (DAMAGES | FLIPPED)[damage](fresh.ledger(YEAR) / name))  # noqa: B023


def test_a_flipped_bit_anywhere_in_the_list_of_the_ledger_changes_nothing(lake: Lake) -> None:
    fill(lake)
    ingest(lake)
    template = lake.root
    size = (lake.ledger(YEAR) / "ledger.json").stat().st_size
    new = lines([event(600), event(601), event(5, city="d")])
    expected: dict[str, bytes] = {}
    order = random.Random(11)
    for _ in range(80):
        with memory() as folder:
            copy = Lake(Path(folder) / "lake")
            shutil.copytree(template, copy.root)
            put(copy, "0.json", new)
            expected = expected or from_scratch(copy)
            path, at = copy.ledger(YEAR) / "ledger.json", order.randrange(size)
            content = path.read_bytes()
            path.write_bytes(content[:at] + bytes([content[at] ^ 1 << order.randrange(8)]) + content[at + 1 :])
            ingest(copy)
            assert published(copy) == expected, content[max(0, at - 40) : at + 40]


@pytest.mark.parametrize("content", [b"[]", b"null", b"{}", b'{"chunks": [], "sources": {}, "settings": {}}', b"\xff"])
def test_a_ledger_of_another_form_costs_a_full_run_and_nothing_else(lake: Lake, content: bytes) -> None:
    damaged_and_ingested(lake, lambda: (lake.ledger(YEAR) / "ledger.json").write_bytes(content) and None)


def test_a_missing_ledger_costs_a_full_run_and_nothing_else(lake: Lake, parsed: list[str]) -> None:
    damaged_and_ingested(lake, lambda: shutil.rmtree(lake.ledger(YEAR)))


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["part-00000.csv", "part-00003.csv"])
def test_a_damaged_chunk_is_made_anew(lake: Lake, name: str, damage: str, parsed: list[str]) -> None:
    damaged_and_ingested(lake, lambda: DAMAGES[damage](lake.chunks(YEAR) / name))
    DAMAGES[damage](lake.chunks(YEAR) / name)
    parsed.clear()
    ingest(lake)
    assert sorted(parsed) == ["a.json", "b.json.gz", "c.zip"]
    assert published(lake) == from_scratch(lake)


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "zeros"])
@pytest.mark.usefixtures("settled")
def test_a_damaged_manifest_is_made_anew(lake: Lake, damage: str) -> None:
    fill(lake)
    manifest = ingest(lake)
    DAMAGES[damage](lake.manifest(YEAR))
    assert ingest(lake) == manifest
    assert published(lake) == from_scratch(lake)


@pytest.mark.parametrize("what", ["folder", "file"])
@pytest.mark.usefixtures("settled")
def test_a_missing_quarantine_is_made_anew(lake: Lake, what: str) -> None:
    fill(lake)
    ingest(lake)
    before = refused(lake)
    shutil.rmtree(lake.quarantine(YEAR))
    if what == "file":
        lake.quarantine(YEAR).mkdir()
    ingest(lake)
    assert refused(lake) == before
    assert published(lake) == from_scratch(lake)


SETTINGS: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "rows per chunk": ({}, {"max_rows": 5}),
    "personal values kept": ({"ANALYTICS_PII": "keep"}, {}),
    "another key": ({"ANALYTICS_PII_KEY": "a key that nobody used before"}, {}),
    "longest record": ({}, {"limits": Limits(workers=2, max_record_bytes=400)}),
    "salvage": ({}, {"limits": Limits(workers=2, salvage=True)}),
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.usefixtures("settled")
def test_a_changed_setting_costs_a_full_run(lake: Lake, monkeypatch, parsed: list[str], name: str) -> None:
    variables, options = SETTINGS[name]
    fill(lake)
    put(lake, "d.json", lines([event(700, user_id="person", device_id="device", city="x" * 300)]))
    ingest(lake)
    before = published(lake)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    parsed.clear()
    ingest(lake, **options)
    assert sorted(parsed) == ["a.json", "b.json.gz", "c.zip", "d.json"]
    assert published(lake) == from_scratch(lake, **options)
    assert published(lake) != before
    parsed.clear()
    ingest(lake, **options)
    assert parsed == []


@pytest.mark.usefixtures("settled")
def test_the_reference_decoder_and_the_number_of_threads_change_nothing(lake: Lake, parsed: list[str]) -> None:
    fill(lake)
    manifest = ingest(lake)
    parsed.clear()
    assert ingest(lake, reference=True, limits=Limits(workers=1)) == manifest
    assert parsed == []


# -------------------------------------------------------------------------------------------- remembered digests


def rewritten(path: Path) -> bytes:
    """The file with other content of the same size, its times as before."""
    before = path.stat()
    content = path.read_bytes().replace(b"event 1", b"EVENT 1")
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return content


def test_a_file_rewritten_at_once_with_the_same_size_and_time_is_noticed(lake: Lake) -> None:
    path = put(lake, "a.json", lines(event(n) for n in range(10)))
    ingest(lake)
    for _ in range(5):
        rewritten(path)
        ingest(lake)
        assert published(lake) == from_scratch(lake)
        path.write_bytes(path.read_bytes().replace(b"EVENT 1", b"event 1"))
        ingest(lake)
        assert published(lake) == from_scratch(lake)


class CoarseClock:
    """A file system that keeps the times of files as whole multiples of a tick, as FAT does with two seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        self._tick = int(seconds * 1e9)
        original = digests.stamp_of

        def stamp_of(path: Path) -> digests.Stamp:
            size, modified, changed, _ = original(path)
            return size, modified // self._tick * self._tick, changed // self._tick * self._tick, 0

        for module in (digests, run):
            monkeypatch.setattr(module, "stamp_of", stamp_of)
        monkeypatch.setattr(digests, "SETTLED_NANOSECONDS", self._tick)

    def wait(self) -> None:
        """Wait for the next tick."""
        time.sleep((self._tick - time.time_ns() % self._tick) / 1e9 + 0.001)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[CoarseClock]:
    yield CoarseClock(monkeypatch, 0.5)


def test_a_file_rewritten_within_one_tick_of_the_file_system_is_noticed(lake: Lake, clock: CoarseClock) -> None:
    clock.wait()
    path = put(lake, "a.json", lines(event(n) for n in range(10)))
    stamp = digests.stamp_of(path)
    old = raw_digest(lake, YEAR)
    path.write_bytes(path.read_bytes().replace(b"event 1", b"EVENT 1"))
    assert digests.stamp_of(path) == stamp, "too slow for this test"
    assert raw_digest(lake, YEAR) != old


def test_a_digest_is_as_old_as_the_reading_and_not_as_the_end_of_the_run(
    lake: Lake, clock: CoarseClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file rewritten within the tick in which it was read must not keep its old digest when the run takes long."""
    ingest_something_else_first(lake)
    clock.wait()
    path = put(lake, "a.json", lines(event(n) for n in range(10)))
    stamp = digests.stamp_of(path)
    changed = []

    def rewrite(_: object) -> None:
        if not changed:
            changed.append(path.write_bytes(path.read_bytes().replace(b"event 1", b"EVENT 1")))
            assert digests.stamp_of(path) == stamp, "too slow for this test"
            time.sleep(1.2)

    ingest(lake, progress=rewrite)  # nobody can notice it in this run
    ingest(lake)
    assert [row["event_type"] for row in rows(lake)][1] == "EVENT 1"
    assert published(lake) == from_scratch(lake)


def ingest_something_else_first(lake: Lake) -> None:
    """So that everything is compiled and loaded."""
    put(lake, "a.json", lines([event(1)]))
    ingest(lake)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"a.json": 1}', b'{"a.json": {}}', b"\xff"])
@pytest.mark.usefixtures("settled")
def test_damaged_remembered_digests_are_made_anew(lake: Lake, parsed: list[str], content: bytes) -> None:
    fill(lake)
    manifest = ingest(lake)
    lake.raw_digests(YEAR).write_bytes(content)
    parsed.clear()
    assert ingest(lake) == manifest
    assert raw_digest(lake, YEAR) == manifest["raw_digest"]
    assert parsed == []


@pytest.mark.usefixtures("settled")
def test_files_that_swap_their_names_are_noticed(lake: Lake) -> None:
    first = put(lake, "a.json", lines([event(1, city="x")]))
    second = put(lake, "b.json", lines([event(2, city="y")]))
    for path in (first, second):
        os.utime(path, (1, 1))
    ingest(lake)
    first.rename(lake.root / "aside")
    second.rename(first)
    (lake.root / "aside").rename(second)
    ingest(lake)
    assert [row["event_type"] for row in rows(lake)] == ["event 2", "event 1"]
    assert published(lake) == from_scratch(lake)


def test_many_small_changes_in_a_row_give_what_a_full_run_gives(lake: Lake) -> None:
    """A long history: what one run takes over, it had taken over itself."""
    order = random.Random(7)
    for _ in range(25):
        name = f"{order.randrange(8)}.json"
        path = lake.raw(YEAR) / name
        if path.exists() and order.random() < 0.3 and len(list(lake.raw(YEAR).iterdir())) > 1:
            path.unlink()
        else:
            numbers = [order.randrange(60) for _ in range(order.randrange(1, 30))]
            put(lake, name, lines(event(n, city=order.choice("ab")) for n in numbers))
        ingest(lake)
    assert published(lake) == from_scratch(lake)
