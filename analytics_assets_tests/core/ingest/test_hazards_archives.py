"""Damaged, hostile and merely odd archives, files and folders, and the one right outcome of each.

Put here: hazards of what surrounds the JSON, each as a whole ingestion; limits and the variables that set them. Keep
out: the JSON itself (``test_hazards_json.py``), kills, full disks and files that grow (``test_crashes.py``).
"""

from __future__ import annotations

import gzip
import io
import json
import random
import re
import struct
import time
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.ingest.limits import Limits
from analytics_assets.core.lake import Lake
from analytics_assets_tests.core.ingest.exports import (
    YEAR,
    array,
    encoded,
    event,
    gzipped,
    leftovers,
    lines,
    put,
    zipped,
)
from analytics_assets_tests.core.ingest.outcomes import (
    TWO_THREADS,
    Outcome,
    both_decoders,
    ingest,
    ingest_alone,
    ingest_bytes,
)

SALVAGE = Limits(workers=2, salvage=True)
EVENTS = [event(n, city=random.Random(n).randbytes(20).hex()) for n in range(200)]
CONTENT = lines(EVENTS)
PACKED = gzip.compress(CONTENT, mtime=0)


def error_of(lake: Lake, **options: Any) -> PipelineError:
    """The error of an ingestion, which leaves nothing behind."""
    with pytest.raises(PipelineError) as caught:
        ingest(lake, **options)
    assert leftovers(lake) == []
    assert caught.value.remedy.endswith(".")
    return caught.value


def archive(members: Iterable[tuple[str | zipfile.ZipInfo, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    """Zip archive of members as they are; names may repeat."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as stream:
        for name, content in members:
            stream.writestr(name, content)
    return target.getvalue()


def readable(packed: bytes) -> bytes:
    """What zlib gives out of damaged gzip data when fed byte by byte, so that nothing before the damage is lost."""
    inflate = zlib.decompressobj(wbits=31)
    found = b""
    for place in range(len(packed)):
        try:
            found += inflate.decompress(packed[place : place + 1])
        except zlib.error:
            break
    return found


# --- damaged gzip


def flipped(content: bytes, place: int) -> bytes:
    """`content` with one bit turned."""
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


CUT = PACKED[: len(PACKED) // 2]
DAMAGED = {
    "cut in the middle": CUT,
    "cut before the checksum": PACKED[:-8],
    "cut in the checksum": PACKED[:-5],
    "checksum wrong": flipped(PACKED, len(PACKED) - 8),
    "length wrong": flipped(PACKED, len(PACKED) - 4),
    "second of two parts cut": gzipped(CONTENT, 2)[:-50],
    "second of two parts has a wrong checksum": flipped(gzipped(CONTENT, 2), -8 + len(gzipped(CONTENT, 2))),
}


@both_decoders
@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_gzip_is_an_error_that_names_the_file(lake: Lake, content: bytes, reference: bool) -> None:
    path = put(lake, "a.json.gz", content)
    error = error_of(lake, reference=reference)
    assert error.place == str(path)
    assert "damaged" in error.fact
    assert "ANALYTICS_DAMAGED_FILES=salvage" in error.remedy


@both_decoders
@pytest.mark.parametrize(("size", "layout"), [(2, lines), (2, array), (80_000, lines)], ids=["small", "array", "8 MB"])
def test_of_a_cut_gzip_file_salvage_loads_every_record_before_the_cut(
    lake: Lake, size: int, layout: Any, reference: bool
) -> None:
    """8 MB are more than the product holds at a time."""
    noise = random.Random(1)
    events = [event(n, city=noise.randbytes(size // 2).hex()) for n in range(200)]
    packed = gzip.compress(layout(events), mtime=0)
    packed = packed[: len(packed) * 2 // 3]
    content = readable_fast(packed)
    whole = content[: content.rindex(b"\n")]
    assert 50 < whole.count(b'"uuid"') < 190
    outcome = ingest_bytes(lake, packed, reference=reference, limits=SALVAGE)
    assert outcome.loaded == re.findall(r'"(event \d+)"', whole.decode())
    assert outcome.refused == [("truncated", content[len(whole) + 1 :])]
    assert outcome.file["decompressed_bytes"] == len(content)
    assert outcome.file["irregularities"] == {"damaged": 1, "truncated": 1}
    assert not outcome.file["complete"]


def readable_fast(packed: bytes) -> bytes:
    """Like `readable`, for data that are cut and not wrong."""
    return zlib.decompressobj(wbits=31).decompress(packed)


@both_decoders
@pytest.mark.parametrize("name", ["cut before the checksum", "cut in the checksum", "checksum wrong", "length wrong"])
def test_with_only_the_checksum_gone_salvage_loads_everything_and_marks_the_file(
    lake: Lake, name: str, reference: bool
) -> None:
    outcome = ingest_bytes(lake, DAMAGED[name], reference=reference, limits=SALVAGE)
    assert outcome.loaded == [record["event_type"] for record in EVENTS]
    assert outcome.refused == []
    assert outcome.file["irregularities"] == {"damaged": 1}
    assert not outcome.file["complete"]


def test_salvage_gives_every_byte_that_can_be_decompressed_before_wrong_ones(lake: Lake) -> None:
    """What lies between the damage and its detection is noise; it is accounted for, and the file is marked."""
    packed = PACKED[: len(PACKED) // 2] + b"\xff" * 40 + PACKED[len(PACKED) // 2 + 40 :]
    content = readable(packed)
    before = readable(packed[: len(PACKED) // 2])
    outcome = ingest_bytes(lake, packed, limits=SALVAGE)
    assert outcome.file["decompressed_bytes"] == len(content)
    whole = before[: before.rindex(b"\n") + 1].count(b"\n")
    assert outcome.loaded[:whole] == [record["event_type"] for record in EVENTS[:whole]]
    assert whole > 50
    assert outcome.file["irregularities"]["damaged"] == 1
    assert not outcome.file["complete"]


def test_salvage_loads_the_other_members_of_an_archive(lake: Lake) -> None:
    good = gzipped(lines([event(901), event(902)]))
    put(lake, "a.zip", archive([("a.json.gz", CUT), ("b.json.gz", good), ("c.json.gz", PACKED[:5])]))
    outcome = ingest(lake, limits=SALVAGE)
    whole = readable(CUT).count(b"\n")
    assert outcome.loaded == [record["event_type"] for record in EVENTS[:whole]] + ["event 901", "event 902"]
    assert [reason for reason, _ in outcome.refused] == ["truncated"]
    assert outcome.file["irregularities"] == {"damaged": 2, "truncated": 1}
    assert not outcome.file["complete"]


def test_salvage_loads_other_files_and_the_next_delivery_repairs(lake: Lake) -> None:
    put(lake, "a.json.gz", CUT)
    put(lake, "b.json.gz", gzipped(lines([event(901)])))
    outcome = ingest(lake, limits=SALVAGE)
    assert [file["complete"] for file in outcome.manifest["files"]] == [False, True]
    assert "event 901" in outcome.loaded
    put(lake, "a.json.gz", PACKED)
    outcome = ingest(lake, limits=SALVAGE)
    assert outcome.manifest["total"]["loaded"] == 201
    assert outcome.refused == []
    assert [file["complete"] for file in outcome.manifest["files"]] == [True, True]


# --- odd gzip


@both_decoders
@pytest.mark.parametrize(
    ("tail", "noted"),
    [
        (b"", {}),
        (b"\0" * 5_000, {}),
        (b"garbage", {"bytes_after_gzip": 7}),
        (b"\0" * 512 + b"garbage", {"bytes_after_gzip": 7}),
        (b"\x1f", {"bytes_after_gzip": 1}),
        (b"\n", {"bytes_after_gzip": 1}),
    ],
    ids=["nothing", "zeros", "garbage", "zeros and garbage", "half a magic number", "line end"],
)
@pytest.mark.parametrize("parts", [1, 2, 50])
def test_gzip_in_several_parts_is_read_whole_whatever_follows(
    lake: Lake, parts: int, tail: bytes, noted: dict[str, int], reference: bool
) -> None:
    outcome = ingest_bytes(lake, gzipped(CONTENT, parts) + tail, reference=reference)
    assert outcome.loaded == [record["event_type"] for record in EVENTS]
    assert outcome.file["decompressed_bytes"] == len(CONTENT)
    assert outcome.file["irregularities"] == noted
    assert outcome.file["complete"]


def test_zeros_between_gzip_parts_are_padding(lake: Lake) -> None:
    outcome = ingest_bytes(lake, gzipped(lines(EVENTS[:100])) + b"\0" * 512 + gzipped(lines(EVENTS[100:])))
    assert len(outcome.loaded) == 200
    assert outcome.file["irregularities"] == {}


@pytest.mark.parametrize(
    "content",
    [gzipped(PACKED), gzipped(zipped({"a.json": CONTENT})), archive([("a.zip", zipped({"a.json": CONTENT}))])],
    ids=["gzip in gzip", "zip in gzip", "zip in zip"],
)
def test_an_archive_in_an_archive_is_not_opened(lake: Lake, content: bytes) -> None:
    path = put(lake, "a", content)
    error = error_of(lake)
    assert error.place.startswith(str(path))
    assert "not JSON" in error.fact


# --- damaged and odd zip


ZIP = zipped({"a.json.gz": lines(EVENTS[:100]), "b.json.gz": lines(EVENTS[100:])})


@both_decoders
@pytest.mark.parametrize("limits", [TWO_THREADS, SALVAGE], ids=["fail", "salvage"])
@pytest.mark.parametrize("left", [0.1, 0.5, 0.9, 0.999])
def test_a_cut_zip_is_an_error_and_never_an_empty_result(
    lake: Lake, left: float, limits: Limits, reference: bool
) -> None:
    """The directory at its end is gone, so nobody knows what was inside."""
    path = put(lake, "a.zip", ZIP[: int(len(ZIP) * left)])
    error = error_of(lake, limits=limits, reference=reference)
    assert error.place == str(path)
    assert "damaged" in error.fact


NAMES = {
    "parent folder": "../../../evil.json",
    "parent folder inside": "a/../../../evil.json",
    "backslashes": "..\\..\\evil.json",
    "absolute": "/tmp/analytics-evil.json",
    "drive": "C:\\evil.json",
    "drive without a folder": "C:evil.json",
    "network": "\\\\server\\evil.json",
}


@both_decoders
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_a_member_whose_name_leaves_the_folder_is_read_and_flagged_and_written_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, reference: bool
) -> None:
    here = tmp_path / "a" / "b" / "c"
    lake = Lake(here / "lake")
    lake.root.mkdir(parents=True)
    monkeypatch.chdir(here)
    put(lake, "a.zip", archive([(name, lines([event(1)])), ("b.json", lines([event(2)]))]))
    outcome = ingest(lake, reference=reference)
    assert sorted(outcome.loaded) == ["event 1", "event 2"]
    assert outcome.file["irregularities"] == {"member_name_leaves_folder": 1}
    assert {path for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(lake.root)} == set()
    assert not list(lake.root.rglob("*evil*"))
    assert not Path("/tmp/analytics-evil.json").exists()


def test_a_name_with_a_nul_is_cut_there_and_hides_no_member(lake: Lake) -> None:
    content = archive([("a__.json", lines([event(1)])), ("a__.exe", lines([event(2)])), ("a", lines([event(3)]))])
    put(lake, "a.zip", content.replace(b"a__", b"a\0_"))
    assert sorted(ingest(lake).loaded) == ["event 1", "event 2", "event 3"]


@both_decoders
def test_members_with_one_name_or_names_that_differ_in_case_are_all_read(lake: Lake, reference: bool) -> None:
    names = ["a.json", "A.json", "a.json", "a.JSON", "a.json"]
    with pytest.warns(UserWarning, match="Duplicate name"):
        content = archive((name, lines([event(n), b"{bad"])) for n, name in enumerate(names))
    put(lake, "a.zip", content)
    outcome = ingest(lake, reference=reference)
    assert sorted(outcome.loaded) == [f"event {n}" for n in range(5)]
    assert outcome.file["irregularities"] == {"member_name_twice": 2}
    quarantine = (lake.quarantine(YEAR) / "refused.ndjson").read_text().splitlines()
    members = [json.loads(line)["member"] for line in quarantine]
    assert sorted(members) == ["A.json", "a.JSON", "a.json", "a.json (2)", "a.json (3)"]


def test_a_member_that_is_a_link_is_an_error(lake: Lake) -> None:
    link = zipfile.ZipInfo("link.json")
    link.external_attr = 0o120777 << 16
    path = put(lake, "a.zip", archive([("a.json", lines([event(1)])), (link, b"/etc/passwd")]))
    error = error_of(lake)
    assert error.place == f"{path}!link.json"
    assert "link" in error.fact


def overlapping() -> bytes:
    """An archive whose directory lists one member three times."""
    content = archive([("a.json", lines([event(1)]))])
    at, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    entry, tail = content[at:end], bytearray(content[end:])
    struct.pack_into("<HHI", tail, 8, 3, 3, 3 * len(entry))
    return content[:at] + entry * 3 + bytes(tail)


def nested_members() -> bytes:
    """An archive of two members, of which the first claims the bytes of the second too."""
    content = bytearray(archive([("a.json", lines([event(1)])), ("b.json", lines([event(2)]))]))
    at = content.index(b"PK\x01\x02")
    struct.pack_into("<I", content, at + 20, 300)
    return bytes(content)


@pytest.mark.parametrize("content", [overlapping(), nested_members()], ids=["one member thrice", "one in another"])
def test_members_that_overlap_are_an_error(lake: Lake, content: bytes) -> None:
    path = put(lake, "a.zip", content)
    error = error_of(lake)
    assert error.place == str(path)
    assert "overlaps another" in error.fact


# --- bombs: small files that want to become large


def squeezed(content: bytes, times: int, head: bytes = b"", tail: bytes = b"") -> bytes:
    """Gzip of `head`, `content` repeated and `tail`, made in little memory."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
    pieces = [deflate.compress(head), *(deflate.compress(content) for _ in range(times)), deflate.compress(tail)]
    return b"".join(pieces) + deflate.flush()


MEGABYTE, MEGABYTES = 1 << 20, 200
FIRST = b"[" + encoded(event(1)) + b","
BOMBS = {
    "zeros": (squeezed(b"\0" * MEGABYTE, MEGABYTES), "not JSON"),
    "blanks": (squeezed(b" " * MEGABYTE, MEGABYTES), "decompression bomb"),
    "zeros after an event": (squeezed(b"\0" * MEGABYTE, MEGABYTES, FIRST), "decompression bomb"),
    "blanks after an event": (squeezed(b" " * MEGABYTE, MEGABYTES, FIRST), "decompression bomb"),
    "brackets": (squeezed(b"[" * MEGABYTE, MEGABYTES), "decompression bomb"),
    "gzip in gzip": (gzipped(squeezed(b" " * MEGABYTE, MEGABYTES)), "not JSON"),
    "zip member": (
        archive([("a.json", b"[" + b" " * (MEGABYTES * MEGABYTE) + b"]")], zipfile.ZIP_DEFLATED),
        "decompression bomb",
    ),
    "zip of gzip": (
        archive([("a.json.gz", squeezed(b" " * MEGABYTE, MEGABYTES, b"[", b"]"))], zipfile.ZIP_DEFLATED),
        "decompression bomb",
    ),
}


@pytest.mark.parametrize(("content", "fact"), BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_is_refused_by_name_in_flat_memory_and_soon(
    lake: Lake, content: bytes, fact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The smaller limit of a record only makes the brackets faster, which are looked at one by one."""
    assert len(content) < MEGABYTE
    monkeypatch.setenv("ANALYTICS_MAX_RECORD_BYTES", "65536")
    path = put(lake, "bomb.json", content)
    began = time.monotonic()
    result = ingest_alone(lake)
    assert time.monotonic() - began < 60
    assert fact in result["error"]
    assert str(path) in result["error"]


def test_an_honest_file_that_expands_less_is_read(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """64 MB of blanks are within what is never judged; a file of 300 times its size is let through on demand."""
    content = squeezed(b" " * MEGABYTE, 80, FIRST, encoded(event(2)) + b"]")
    put(lake, "a.json.gz", content)
    assert "ANALYTICS_MAX_EXPANSION" in error_of(lake, limits=Limits.from_environment()).remedy
    monkeypatch.setenv("ANALYTICS_MAX_EXPANSION", "5000")
    assert ingest(lake, limits=Limits.from_environment()).loaded == ["event 1", "event 2"]
    put(lake, "a.json.gz", squeezed(b" " * MEGABYTE, 50, FIRST, encoded(event(2)) + b"]"))
    monkeypatch.delenv("ANALYTICS_MAX_EXPANSION")
    assert ingest(lake, limits=Limits.from_environment()).loaded == ["event 1", "event 2"]


def test_blanks_in_many_members_are_a_bomb_too(lake: Lake) -> None:
    """Each member stays below what is judged; together they do not."""
    member = b"[" + b" " * (30 << 20) + b"]"
    put(lake, "a.zip", archive([(f"{n}.json", member) for n in range(4)], zipfile.ZIP_DEFLATED))
    assert "decompression bomb" in error_of(lake).fact


def test_memory_stays_flat_when_much_is_refused(lake: Lake) -> None:
    """350 MB of records that are cut; their exact bytes go into the quarantine."""
    bad = encoded(event(1, city="x" * (14 << 20)))[:-1] + b"\n"
    path = put(lake, "a.json", b"")
    with path.open("wb") as stream:
        stream.write(lines([event(0)]))
        for _ in range(25):
            stream.write(bad)
        stream.write(lines([event(2)]))
    result = ingest_alone(lake)
    assert result["error"] == ""
    assert result["file"]["loaded"] == 2
    assert set(result["reasons"]) <= {"malformed_json", "record_too_large"}
    assert 0 <= 25 * len(bad) - result["file"]["refused_bytes"] <= 25, "all of them but line ends"


# --- limits


def many_members(count: int, stated: int | None = None) -> bytes:
    """Archive of `count` tiny members; the directory's end may state another number.

    Above 65,534 it is in the zip64 form, as it has to be.
    """
    local, directory = [], []
    offset = 0
    body = b"[]"
    crc = zlib.crc32(body)
    for number in range(count):
        name = b"%06d.json" % number
        fields = struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 0, crc, len(body), len(body), len(name), 0)
        local.append(b"PK\x03\x04" + fields + name + body)
        end = struct.pack("<HHHII", 0, 0, 0, 0, offset)
        directory.append(b"PK\x01\x02" + struct.pack("<H", 20) + fields + end + name)
        offset += len(local[-1])
    listing = b"".join(directory)
    number = count if stated is None else stated
    end = b""
    if number > 0xFFFE:
        record = struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, number, number, len(listing), offset)
        end = b"PK\x06\x06" + record + b"PK\x06\x07" + struct.pack("<IQI", 0, offset + len(listing), 1)
        number = 0xFFFF
    end += b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, number, number, len(listing), offset, 0)
    return b"".join(local) + listing + end


def test_the_archives_of_these_tests_are_archives() -> None:
    for count in (3, 70_000):
        with zipfile.ZipFile(io.BytesIO(many_members(count))) as opened:
            assert len(opened.infolist()) == count
            assert opened.read(opened.namelist()[-1]) == b"[]"


@pytest.mark.parametrize("stated", [None, 1, 49_999], ids=["honest", "says it has 1", "says it has 49,999"])
def test_an_archive_of_100000_members_is_an_error_that_names_the_limit(lake: Lake, stated: int | None) -> None:
    path = put(lake, "a.zip", many_members(100_000, stated))
    result = ingest_alone(lake)
    assert str(path) in result["error"]
    assert "50,000 members" in result["error"]
    assert "ANALYTICS_MAX_ARCHIVE_MEMBERS" in result["error"]


def test_an_archive_at_the_limit_is_read_and_one_above_is_not(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANALYTICS_MAX_ARCHIVE_MEMBERS", "20")
    put(lake, "a.zip", many_members(20))
    assert ingest(lake, limits=Limits.from_environment()).file["complete"]
    put(lake, "a.zip", many_members(21))
    assert "more than 20 members" in error_of(lake, limits=Limits.from_environment()).fact


def test_a_large_archive_with_fields_of_the_zip64_form_is_not_mistaken_for_many_members(lake: Lake) -> None:
    """Go and Java write all fields of the directory's end as "see above" once one of them needs it."""
    content = many_members(70_000)
    small = many_members(100)
    end = small.index(b"PK\x05\x06")
    listing = small.index(b"PK\x01\x02")
    record = struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 100, 100, end - listing, listing)
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, end, 1)
    padding = b"\0" * len(content)  # an archive may begin with other bytes, as one that extracts itself does
    tail = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    put(lake, "a.zip", small[:listing] + b"" + small[listing:end] + b"PK\x06\x06" + record + locator + tail)
    assert ingest(lake).file["complete"]
    assert padding


@pytest.mark.parametrize(
    "content",
    [CONTENT, gzipped(CONTENT, 3), zipped({f"{n}.json.gz": lines(EVENTS[n::10]) for n in range(10)})],
    ids=["plain", "gzip", "zip"],
)
def test_the_limit_of_a_file_counts_all_its_decompressed_bytes(
    lake: Lake, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(lake, "a", content)
    monkeypatch.setenv("ANALYTICS_MAX_FILE_BYTES", str(len(CONTENT) - 1))
    error = error_of(lake, limits=Limits.from_environment())
    assert error.place.startswith(str(path))
    assert f"more than {len(CONTENT) - 1:,} bytes" in error.fact
    assert "ANALYTICS_MAX_FILE_BYTES" in error.remedy
    monkeypatch.setenv("ANALYTICS_MAX_FILE_BYTES", str(len(CONTENT)))
    assert len(ingest(lake, limits=Limits.from_environment()).loaded) == 200


@both_decoders
@pytest.mark.parametrize("layout", [array, lines], ids=["array", "lines"])
def test_a_record_beyond_its_limit_is_refused_in_pieces_and_its_neighbours_load(
    lake: Lake, layout: Any, monkeypatch: pytest.MonkeyPatch, reference: bool
) -> None:
    long = encoded(event(2, city="x" * 2_000))
    monkeypatch.setenv("ANALYTICS_MAX_RECORD_BYTES", str(len(long)))
    limits = Limits.from_environment()
    content = layout([event(1), long, event(3)])
    assert ingest_bytes(lake, content, limits=limits, reference=reference).refused == []
    monkeypatch.setenv("ANALYTICS_MAX_RECORD_BYTES", str(len(long) - 1))
    outcome = ingest_bytes(lake, content, limits=Limits.from_environment(), reference=reference)
    assert outcome.loaded == ["event 1", "event 3"]
    assert {reason for reason, _ in outcome.refused} == {"record_too_large"}
    assert b"".join(raw for _, raw in outcome.refused) == long


VARIABLES = [
    "ANALYTICS_MAX_EXPANSION",
    "ANALYTICS_MAX_ARCHIVE_MEMBERS",
    "ANALYTICS_MAX_FILE_BYTES",
    "ANALYTICS_MAX_RECORD_BYTES",
    "ANALYTICS_INGEST_WORKERS",
]


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize(
    "text", ["0", "-1", "1.5", "1e6", "many", "1_000", "0x10", "²", "9" * 5_000], ids=lambda text: text[:8]
)
def test_a_variable_that_makes_no_sense_is_an_error_that_names_it(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, variable: str, text: str
) -> None:
    put(lake, "a.json", lines([event(1)]))
    monkeypatch.setenv(variable, text)
    error = error_of(lake, limits=None)
    assert error.place == variable
    assert "positive number" in error.fact


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("text", ["", "  ", " 1000 "], ids=["empty", "blanks", "blanks around"])
def test_an_empty_variable_is_none_and_blanks_around_a_number_do_not_matter(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, variable: str, text: str
) -> None:
    put(lake, "a.json", lines([event(1)]))
    monkeypatch.setenv(variable, text.replace("1000", "8") if "WORKERS" in variable else text)
    assert ingest(lake, limits=None).loaded == ["event 1"]


def test_what_to_do_with_damaged_files_is_one_of_two_words(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    put(lake, "a.json.gz", PACKED[:-1])
    monkeypatch.setenv("ANALYTICS_DAMAGED_FILES", "ignore")
    error = error_of(lake, limits=None)
    assert error.place == "ANALYTICS_DAMAGED_FILES"
    assert "'ignore'" in error.fact
    monkeypatch.setenv("ANALYTICS_DAMAGED_FILES", "fail")
    assert "damaged" in error_of(lake, limits=None).fact
    monkeypatch.setenv("ANALYTICS_DAMAGED_FILES", "salvage")
    assert not ingest(lake, limits=None).file["complete"]


# --- folders


def test_a_link_to_a_file_outside_the_years_folder_is_an_error(lake: Lake, tmp_path: Path) -> None:
    outside = tmp_path / "outside.json"
    outside.write_bytes(lines([event(2)]))
    put(lake, "a.json", lines([event(1)]))
    for target in (outside, Path("../2023/b.json"), lake.raw("2023") / "b.json"):
        put(lake, "b.json", lines([event(2)]), "2023")
        link = lake.raw(YEAR) / "link.json"
        link.symlink_to(target)
        error = error_of(lake)
        assert error.place == str(link)
        assert "leaves the folder" in error.fact
        link.unlink()
    assert ingest(lake).loaded == ["event 1"]


@pytest.mark.parametrize("inside", [False, True], ids=["to outside", "to inside"])
def test_a_link_to_a_folder_is_an_error(lake: Lake, tmp_path: Path, inside: bool) -> None:
    """Also inside: everything below it would be read twice, or for ever."""
    target = lake.raw(YEAR) / "folder" if inside else tmp_path / "folder"
    target.mkdir(parents=True)
    (target / "a.json").write_bytes(lines([event(1)]))
    put(lake, "b.json", lines([event(2)]))
    link = lake.raw(YEAR) / "link"
    link.symlink_to(target, target_is_directory=True)
    error = error_of(lake)
    assert error.place == str(link)
    assert "the folder is a link" in error.fact


def test_a_link_inside_the_years_folder_is_a_second_copy(lake: Lake) -> None:
    put(lake, "folder/a.json", lines([event(1), event(2)]))
    (lake.raw(YEAR) / "link.json").symlink_to("folder/a.json")
    outcome = ingest(lake)
    assert outcome.loaded == ["event 1", "event 2"]
    assert outcome.manifest["total"]["duplicates"] == 2


def test_a_years_folder_that_is_itself_a_link_is_read(lake: Lake, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.json").write_bytes(lines([event(1)]))
    lake.raw().mkdir(parents=True)
    lake.raw(YEAR).symlink_to(elsewhere, target_is_directory=True)
    assert ingest(lake).loaded == ["event 1"]


# --- the same events again


def row_set(outcome: Outcome) -> set[tuple[tuple[str, str], ...]]:
    return {tuple(row.items()) for row in outcome.rows}


SECOND_COPIES = {
    "the same file": CONTENT,
    "renamed and packed": gzipped(CONTENT),
    "in another order": lines(reversed(EVENTS)),
    "as an array": array(EVENTS),
    "keys in another order": lines(dict(reversed(record.items())) for record in EVENTS),
    "other blanks": json.dumps(EVENTS, indent=3).encode(),
    "in a zip": zipped({"one.json.gz": lines(EVENTS[50:]), "two.json.gz": lines(EVENTS[:100])}),
}


@both_decoders
@pytest.mark.parametrize("copy", SECOND_COPIES.values(), ids=SECOND_COPIES.keys())
@pytest.mark.parametrize("name", ["0-before.json", "z-after.json"])
def test_a_second_copy_changes_no_row(lake: Lake, copy: bytes, name: str, reference: bool) -> None:
    put(lake, "a.json", CONTENT)
    before = row_set(ingest(lake, reference=reference))
    put(lake, name, copy)
    outcome = ingest(lake, reference=reference)
    assert row_set(outcome) == before
    total = outcome.manifest["total"]
    assert (total["loaded"], total["quarantined"]) == (200, 0)
    assert total["duplicates"] == total["records_seen"] - 200 >= 200


def test_a_renamed_file_gives_the_same_rows(lake: Lake) -> None:
    path = put(lake, "a.json", CONTENT)
    before = row_set(ingest(lake))
    path.rename(path.with_name("b.json"))
    outcome = ingest(lake)
    assert row_set(outcome) == before
    assert outcome.file["path"] == "b.json"


# --- times and places of rows


@both_decoders
def test_rows_of_another_year_than_their_folder_are_kept(lake: Lake, reference: bool) -> None:
    """A client without a network delivers late, one with a wrong clock early; which days count is a later decision."""
    times = ["2023-12-31 23:59:59.999999", "2025-01-01 00:00:00.000000", "2031-05-05 05:05:05.050505"]
    put(lake, "100_2024-03-01_10#0.json", lines(event(n, event_time=text) for n, text in enumerate(times)))
    outcome = ingest(lake, reference=reference)
    assert [row["event_time"] for row in outcome.rows] == times


@both_decoders
@pytest.mark.parametrize(
    "text",
    [
        "1970-01-01 00:00:00.000000",
        "1969-12-31 23:59:59.999999",
        "0001-01-01 00:00:00.000000",
        "1677-09-21 00:12:43.000000",
        "2262-04-11 23:47:16.854776",
        "9999-12-31 23:59:59.999999",
    ],
)
def test_far_times_are_kept_to_the_microsecond(lake: Lake, text: str, reference: bool) -> None:
    """1677 and 2262 are where 64-bit nanoseconds end."""
    put(lake, "a.json", lines([event(1, event_time=text, client_event_time=text, server_upload_time=text)]))
    (row,) = ingest(lake, reference=reference).rows
    assert [row[name] for name in ("event_time", "client_event_time", "server_upload_time")] == [text] * 3


@both_decoders
def test_the_zone_of_the_machine_does_not_matter(lake: Lake, monkeypatch: pytest.MonkeyPatch, reference: bool) -> None:
    """02:30 on that day does not exist in New York, and 01:30 on the other one exists twice."""
    times = ["2025-03-09 02:30:00.000000", "2025-11-02 01:30:00.000000"]
    put(lake, "a.json", lines(event(n, event_time=text) for n, text in enumerate(times)))
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        outcome = ingest(lake, reference=reference)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert [row["event_time"] for row in outcome.rows] == times


@both_decoders
@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("x")'])
def test_ours_formulas_stay_as_they_are(lake: Lake, text: str, reference: bool) -> None:
    """The chunks are read by machines; a guard would change the data, and session -1 begins with a minus too."""
    put(lake, "a.json", lines([event(1, city=text)]))
    (row,) = ingest(lake, reference=reference).rows
    assert (row["city"], row["session_id"]) == (text, "-1")
