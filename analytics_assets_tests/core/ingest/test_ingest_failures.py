from __future__ import annotations

import errno
import gc
import io
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.ingest import parse, publish, run
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
    rows,
    zipped,
)


@pytest.fixture
def filled(lake: Lake) -> Lake:
    """A lake with one good file and its published result."""
    put(lake, "a-good.json", array([event(1), event(2), b"{bad"]))
    ingest_year(lake, YEAR)
    return lake


def failure(lake: Lake) -> PipelineError:
    """The error of an ingestion that leaves the published result and the staging folder as they were."""
    before = published(lake)
    with pytest.raises(PipelineError) as caught:
        ingest_year(lake, YEAR)
    assert published(lake) == before
    assert leftovers(lake) == []
    assert caught.value.remedy.endswith(".")
    return caught.value


def test_a_missing_folder_names_the_folder_and_what_to_put_there(lake: Lake) -> None:
    error = failure(lake)
    assert error.place == str(lake.raw(YEAR))
    assert "does not exist" in error.fact
    assert "JSON array" in error.remedy and str(lake.raw(YEAR)) in error.remedy


@pytest.mark.parametrize("names", [[], [".hidden"], ["complete"], [".folder/a.json"], ["p/complete"]])
def test_a_folder_without_a_file_is_an_error(filled: Lake, names: list[str]) -> None:
    (filled.raw(YEAR) / "a-good.json").unlink()
    for name in names:
        put(filled, name, b"")
    error = failure(filled)
    assert error.place == str(filled.raw(YEAR))
    assert "empty" in error.fact


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (gzipped(b""), "empty"),
        (zipped({"m.json.gz": b"\n"}), "empty"),
        (b"42", "JSON scalar"),
        (b"<html></html>", "not JSON"),
        (gzipped(b"a,b\n"), "not JSON"),
        (zipped({"m.json.gz": b"<html>"}), "not JSON"),
        (random.Random(1).randbytes(5_000), "not JSON"),
    ],
)
def test_a_file_that_holds_no_records_is_an_error(filled: Lake, content: bytes, fact: str) -> None:
    path = put(filled, "b-bad", content)
    error = failure(filled)
    assert str(path) in error.place
    assert fact in error.fact
    assert "remove the file" in error.remedy


def flipped(content: bytes, place: int) -> bytes:
    """`content` with one bit turned."""
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def _encrypted() -> bytes:
    content = bytearray(zipped({"m.json.gz": lines([event(1)])}))
    local, central = content.index(b"PK\x03\x04"), content.index(b"PK\x01\x02")
    content[local + 6] |= 1
    content[central + 8] |= 1
    return bytes(content)


def _unknown_compression() -> bytes:
    content = bytearray(zipped({"m.json.gz": lines([event(1)])}))
    struct.pack_into("<H", content, content.index(b"PK\x03\x04") + 8, 9)
    struct.pack_into("<H", content, content.index(b"PK\x01\x02") + 10, 9)
    return bytes(content)


PACKED = gzipped(lines(event(n) for n in range(200)))
ZIPPED = zipped({"m.json.gz": lines(event(n) for n in range(200))})


def _lzma() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("m.json", lines(event(n) for n in range(200)))
    content = bytearray(target.getvalue())
    content[60:90] = b"\xff" * 30
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [
        PACKED[: len(PACKED) // 2],
        PACKED[:-4],
        PACKED[:3],
        flipped(PACKED, len(PACKED) - 6),
        flipped(PACKED, len(PACKED) - 1),
        PACKED[:100] + b"\xff" * 40 + PACKED[140:],
        ZIPPED[: len(ZIPPED) // 2],
        ZIPPED[:-10],
        flipped(ZIPPED, 200),
        _lzma(),
        _encrypted(),
        _unknown_compression(),
    ],
    ids=[
        *("gzip cut", "gzip trailer cut", "gzip header cut", "gzip CRC", "gzip length", "gzip data"),
        *("zip cut", "zip end cut", "zip data", "lzma data", "zip encrypted", "zip method"),
    ],
)
def test_a_damaged_archive_is_an_error_and_never_a_smaller_result(filled: Lake, content: bytes) -> None:
    path = put(filled, "b-bad.gz", content)
    error = failure(filled)
    assert error.place == str(path)
    assert "damaged" in error.fact
    assert "Download it again" in error.remedy


def test_a_link_to_nothing_is_an_error_that_names_it(filled: Lake) -> None:
    link = filled.raw(YEAR) / "b.json"
    link.symlink_to("nowhere.json")
    error = failure(filled)
    assert error.place == str(link)
    assert "link to nothing" in error.fact


def test_a_pipe_is_an_error_and_does_not_block(filled: Lake) -> None:
    os.mkfifo(filled.raw(YEAR) / "b.json")
    assert "no regular file" in failure(filled).fact


def test_a_file_name_that_is_not_utf8_is_an_error_that_can_be_printed(filled: Lake) -> None:
    name = os.fsencode(filled.raw(YEAR)) + b"/b\xff.json"
    try:
        Path(os.fsdecode(name)).write_bytes(b"[]")
    except OSError:
        pytest.skip("the file system takes UTF-8 names only")
    error = failure(filled)
    assert error.place.encode("utf-8").endswith(b"/b\\udcff.json")
    assert "Rename" in error.remedy


@pytest.mark.parametrize("call", ["open", "walk", "write"])
def test_a_missing_permission_names_the_place(filled: Lake, monkeypatch, call: str) -> None:
    secret = put(filled, "b.json", array([event(3)]))
    original = Path.open

    def denied(path: Path, mode: str = "r", *args, **options):
        if (path == secret and call == "open") or (path.suffix == ".csv" and "w" in mode and call == "write"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return original(path, mode, *args, **options)

    def walk(top: Path, onerror: Callable[[OSError], None]):
        onerror(PermissionError(errno.EACCES, "Permission denied", str(top)))
        return iter(())

    monkeypatch.setattr(Path, "open", denied)
    if call == "walk":
        monkeypatch.setattr(os, "walk", walk)
    before = {path: path.read_bytes() for path in filled.chunks(YEAR).glob("[a-z]*.*")}
    with pytest.raises(PipelineError) as caught:
        ingest_year(filled, YEAR)
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in filled.chunks(YEAR).glob("[a-z]*.*")} == before
    assert leftovers(filled) == []
    assert {"open": str(secret), "walk": str(filled.raw(YEAR)), "write": "part-00000.csv"}[call] in caught.value.place
    assert "permission denied" in caught.value.fact
    assert "access" in caught.value.remedy


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_file_of_another_user_is_a_missing_permission() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to other users
        Path(folder).chmod(0o755)
        _read_as_nobody(Lake(Path(folder) / "lake"))


def _read_as_nobody(lake: Lake) -> None:
    put(lake, "a.json", array([event(1)]))
    ingest_year(lake, YEAR)
    secret = put(lake, "b.json", array([event(3)]))
    secret.chmod(0)
    for path in (lake.root, *lake.root.rglob("*")):
        os.chown(path, 65534, 65534)
    os.chown(secret, 0, 0)
    before = published(lake)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgid(65534)
            os.setuid(65534)
            ingest_year(lake, YEAR)
        except PipelineError as error:
            code = 0 if (error.place, error.fact) == (str(secret), "permission denied") else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert published(lake) == before
    assert leftovers(lake) == []


@pytest.fixture
def small_disk(tmp_path: Path):
    """A real file system of 2 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("no right to mount a file system")
    yield place
    gc.collect()  # errors keep what was open where they were raised
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_really_full_leaves_the_old_result(small_disk: Path) -> None:
    lake = Lake(small_disk / "lake")
    put(lake, "a.json", array([event(1), b"{bad"]))
    ingest_year(lake, YEAR)
    big = gzipped(array(event(n, city="x" * 10_000) for n in range(1_000)))
    assert len(big) < 100_000
    put(lake, "b.json.gz", big)
    error = failure(lake)
    assert "no space left" in error.fact
    assert "Free space" in error.remedy
    (lake.raw(YEAR) / "b.json.gz").unlink()
    ingest_year(lake, YEAR)
    assert len(rows(lake)) == 1


@pytest.mark.parametrize("target", ["chunks", "quarantine", "publish", "publish chunks"])
def test_an_error_while_writing_leaves_the_old_result(filled: Lake, monkeypatch, target: str) -> None:
    put(filled, "b.json", array([event(3), b"{worse"]))

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    place, name = {
        "chunks": (parse._PartWriter, "_add"),
        "quarantine": (parse.QuarantineWriter, "add"),
        "publish": (run, "json_bytes"),
        "publish chunks": (publish, "_swap"),
    }[target]
    monkeypatch.setattr(place, name, full)
    error = failure(filled)
    assert "no space left" in error.fact
    monkeypatch.undo()
    assert ingest_year(filled, YEAR)["total"]["loaded"] == 3


def test_a_file_that_grows_while_it_is_read_is_an_error(filled: Lake) -> None:
    path = put(filled, "b.json", lines([event(3), event(4)]))
    before = published(filled)

    def grow(_: object) -> None:
        with path.open("ab") as stream:
            stream.write(encoded(event(5)))

    with pytest.raises(PipelineError, match=r"b\.json: the file changed while it was read"):
        ingest_year(filled, YEAR, progress=grow)
    assert published(filled) == before
    assert leftovers(filled) == []


def test_any_other_error_leaves_the_old_result_too(filled: Lake) -> None:
    put(filled, "b.json", lines([event(3)]))
    before = published(filled)

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest_year(filled, YEAR, progress=stop)
    assert published(filled) == before
    assert leftovers(filled) == []


PEAK = """
import json, resource, sys, time
from pathlib import Path
from analytics_assets.core.ingest.run import ingest_year
from analytics_assets.core.lake import Lake

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
manifest = ingest_year(Lake(Path(sys.argv[1])), "2024")
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([(after - before) * 1024, manifest["total"]["loaded"]]))
"""


def test_memory_stays_far_below_the_size_of_a_60_mb_file(lake: Lake) -> None:
    padding = {f"property {n}": "value " * 40 for n in range(80)}
    count = 3_000
    content = array(event(n, event_properties=padding) for n in range(count))
    path = put(lake, "a.json", content)
    assert len(content) > 58_000_000
    with path.open("r+b") as stream:  # one record of 8 MB in the middle
        stream.seek(-1, os.SEEK_END)
        stream.write(b"," + encoded(event(count, user_properties={"text": "x" * 8_000_000})) + b"]")
    done = subprocess.run([sys.executable, "-c", PEAK, str(lake.root)], check=True, capture_output=True, text=True)
    grown, loaded = json.loads(done.stdout)
    assert loaded == count + 1
    assert grown < 150_000_000
