"""Every row of a chunk leads back to its own bytes, in the chunk and in the raw file."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from analytics_assets.core.ingest.limits import Limits
from analytics_assets.core.ingest.parse import key_of
from analytics_assets.core.ingest.run import ingest_year
from analytics_assets.core.ingest.tracing import LEDGER_FILE, Tracer, chunk_row, uuid_hash
from analytics_assets.core.lake import Lake
from analytics_assets_tests.core.ingest.exports import (
    YEAR,
    array,
    encoded,
    event,
    gzipped,
    lines,
    put,
    rows,
    unpacked,
    zipped,
)

MAX_ROWS = 5


def ingest(lake: Lake) -> dict:
    return ingest_year(lake, YEAR, max_rows=MAX_ROWS, limits=Limits(workers=2))


def deliver(lake: Lake) -> None:
    """Three files of several kinds with a duplicate, a conflict, a refused record and events without a uuid."""
    put(lake, "a/plain.json", array([*(event(n) for n in range(7)), event(3), b'{"event_type": }']))
    put(lake, "b.json.gz", gzipped(lines([event(n, city='Łódź, "x"') for n in range(20, 32)]), members=2))
    nameless = [{**event(n), "uuid": None} for n in range(50, 53)]
    conflict = event(4, event_type="other", server_upload_time="2024-03-01 12:00:00.000000")
    put(lake, "c.zip", zipped({"one.json": lines([event(40), conflict]), "two.json": lines([*nameless, event(41)])}))


def check(lake: Lake, manifest: dict) -> None:
    found = rows(lake)
    origins = Tracer(lake, YEAR).find([row["uuid"] for row in found])
    assert len(origins) == len(found) == manifest["total"]["loaded"] > 0
    for row in found:
        origin = origins[row["uuid"]]
        line = next(csv.reader(io.StringIO(chunk_row(lake, YEAR, origin).decode("utf-8"), newline="")))
        assert line == list(row.values())
        record = json.loads(unpacked(lake.raw(YEAR) / origin.file, origin.member)[origin.start : origin.end])
        assert record["event_type"] == row["event_type"]
        assert record["uuid"] in (row["uuid"], None)
        assert str(record["event_properties"]["n"]) in row["event_properties"]


@pytest.mark.parametrize(
    "uuid", ["", "a", "12345678", "123456789", "40cd66a6-ff38-4f1d-a4c8-762b1b78a721", "ü" * 20, "x" * 400]
)
def test_the_hash_of_a_uuid_is_that_of_the_compiled_decoder(uuid: str) -> None:
    assert uuid_hash(uuid) == key_of(uuid)


def test_every_row_leads_to_its_bytes(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    deliver(lake)
    manifest = ingest(lake)
    assert len(manifest["chunks"]) > 3
    check(lake, manifest)
    # What the next run takes over from the ledger leads there, too; a new file comes first in order.
    put(lake, "a/another.json", array([event(n) for n in range(60, 70)] + [event(20)]))
    check(lake, ingest(lake))


def test_what_is_in_no_chunk_is_counted(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    deliver(lake)
    total = ingest(lake)["total"]
    tracer = Tracer(lake, YEAR)
    assert tracer.count(kept=True) == total["loaded"]
    # The refused text was never read as an event; the conflict was.
    assert total["quarantined"] == 2 and total["duplicates"] == 1
    assert tracer.count(kept=False) == 2
    left_out = list(tracer.records(kept=False))
    assert all(origin.chunk == "" for origin in left_out)
    bytes_of = [unpacked(lake.raw(YEAR) / o.file, o.member)[o.start : o.end] for o in left_out]
    assert bytes_of[0] == encoded(event(3)) and b'"other"' in bytes_of[1]


def test_unknown_uuids_are_left_out(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    put(lake, "empty.json", b"[]")
    ingest(lake)
    tracer = Tracer(lake, YEAR)
    assert tracer.find(["nobody"]) == {} and tracer.find([]) == {}
    assert tracer.count(kept=True) == tracer.count(kept=False) == 0


@pytest.mark.parametrize("damage", [b"{}", b"[]", b"", b"\xff", None])
def test_a_damaged_ledger_says_so(tmp_path: Path, damage: bytes | None) -> None:
    lake = Lake(tmp_path)
    deliver(lake)
    ingest(lake)
    path = lake.ledger(YEAR) / LEDGER_FILE
    if damage is None:
        content = json.loads(path.read_text())
        content["content"]["sources"] = {}
        damage = json.dumps(content).encode()
    path.write_bytes(damage)
    with pytest.raises(ValueError):
        Tracer(lake, YEAR)
    path.unlink()
    with pytest.raises(OSError):
        Tracer(lake, YEAR)


def test_a_damaged_index_says_so(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    deliver(lake)
    ingest(lake)
    uuids = [row["uuid"] for row in rows(lake)]
    for path in lake.ledger(YEAR).glob("*.index"):
        path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises((ValueError, IndexError)):
        Tracer(lake, YEAR).find(uuids)
