from __future__ import annotations

import csv
import hashlib
import json
import random
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.core.features.engine import raw_chunks
from analytics_assets.core.ingest import identity
from analytics_assets.core.ingest.digests import raw_digest
from analytics_assets.core.ingest.quarantine import read_quarantine
from analytics_assets.core.ingest.records import REASONS
from analytics_assets.core.ingest.run import Progress, ingest_year
from analytics_assets.core.lake import Lake
from analytics_assets.schemas import EVENT_CHUNKS, NULL_MARK
from analytics_assets_tests.core.ingest.exports import (
    YEAR,
    array,
    decompressed_size,
    encoded,
    event,
    gzipped,
    leftovers,
    lines,
    published,
    put,
    refused,
    rows,
    unpacked,
    zipped,
)

BESIDE_CHUNKS = {"manifest.json", "unreadable_values.ndjson", ".ledger"}
COUNTS = ("records_seen", "loaded", "duplicates", "quarantined")


def check(lake: Lake, manifest: dict[str, Any], max_rows: int) -> None:
    """Everything that must hold after any ingestion, read from the published files alone."""
    assert json.loads(lake.manifest(YEAR).read_bytes()) == manifest
    found, bad = rows(lake), refused(lake)
    total = manifest["total"]
    for counts in [*manifest["files"], total]:
        assert counts["records_seen"] == counts["loaded"] + counts["duplicates"] + counts["quarantined"]
        accounted = counts["record_bytes"] + counts["refused_bytes"] + counts["separator_bytes"] + counts["merge_bytes"]
        assert counts["decompressed_bytes"] == accounted
    for name in (*COUNTS, "bytes"):
        assert total[name] == sum(file[name] for file in manifest["files"])
    assert total["loaded"] == len(found)
    assert total["quarantined"] == len(bad)
    assert manifest["quarantine_reasons"] == dict(sorted(Counter(line["reason"] for line in bad).items()))
    assert set(manifest["quarantine_reasons"]) <= set(REASONS)
    assert len({row["uuid"] for row in found}) == len(found)

    names = [file["path"] for file in manifest["files"]]
    assert names == sorted(p.relative_to(lake.raw(YEAR)).as_posix() for p in lake.raw(YEAR).rglob("*") if p.is_file())
    for file in manifest["files"]:
        raw = (lake.raw(YEAR) / file["path"]).read_bytes()
        assert (file["bytes"], file["sha256"]) == (len(raw), hashlib.sha256(raw).hexdigest())
        assert file["decompressed_bytes"] == decompressed_size(raw)
        assert file["refused_bytes"] == sum(len(line["raw"]) for line in bad if line["file"] == file["path"])
        assert file["quarantined"] == sum(line["file"] == file["path"] for line in bad)
    for line in bad:
        content = unpacked(lake.raw(YEAR) / line["file"], line["member"])
        assert line["raw"] == content[line["start"] : line["end"]]
    assert [item.raw for item in read_quarantine(lake.quarantine(YEAR))] == [line["raw"] for line in bad]
    assert manifest["raw_digest"] == raw_digest(lake, YEAR)

    loaded_by_file: Counter[str] = Counter()
    for chunk in manifest["chunks"]:
        content = (lake.chunks(YEAR) / chunk["path"]).read_bytes()
        assert (chunk["bytes"], chunk["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
        assert chunk["rows"] == len(list(csv.reader(content.decode().splitlines(keepends=True)))) - 1 <= max_rows
        assert chunk["rows"] == sum(span["rows"] for span in chunk["sources"])
        for span in chunk["sources"]:
            assert 0 <= span["start"] < span["end"]
            assert span["rows"] >= 0
            loaded_by_file[span["file"]] += span["rows"]
    assert loaded_by_file == {
        file["path"]: file["loaded"] for file in manifest["files"] if file["path"] in loaded_by_file
    }
    assert sum(loaded_by_file.values()) == len(found)
    on_disk = {path.name for path in lake.chunks(YEAR).iterdir()}
    assert on_disk == {chunk["path"] for chunk in manifest["chunks"]} | BESIDE_CHUNKS
    assert leftovers(lake) == []


PACKINGS = {
    "plain.json": lambda content: content,
    "one.json.gz": gzipped,
    "many.json.gz": lambda content: gzipped(content, 3),
    "export.zip": lambda content: zipped({"7/7_2024-03-01_9#70.json.gz": content}),
}


@pytest.mark.parametrize("name", PACKINGS)
@pytest.mark.parametrize("layout", [array, lines], ids=["array", "lines"])
def test_every_packing_gives_the_same_chunk(lake: Lake, name: str, layout) -> None:
    events = [event(n) for n in range(50)]
    content = layout(events)
    put(lake, name, PACKINGS[name](content))
    manifest = ingest_year(lake, YEAR)
    check(lake, manifest, 100_000)
    assert [row["event_type"] for row in rows(lake)] == [e["event_type"] for e in events]
    file = manifest["files"][0]
    assert file["compression"] == {"plain.json": "none", "export.zip": "zip"}.get(name, "gzip")
    assert file["decompressed_bytes"] == len(content)
    span = manifest["chunks"][0]["sources"][0]
    assert span["start"] == content.index(b"{")
    assert span["end"] == content.rindex(b"}") + 1
    assert span["rows"] == 50


def test_zip_members_are_read_in_order_of_names_and_named_in_the_spans(lake: Lake) -> None:
    members = {"p/b.json.gz": lines([event(2), b"{bad"]), "p/a.json.gz": lines([event(1)]), "p/": b""}
    put(lake, "export.zip", zipped(members))
    manifest = ingest_year(lake, YEAR)
    check(lake, manifest, 100_000)
    assert [row["event_type"] for row in rows(lake)] == ["event 1", "event 2"]
    assert [span["member"] for span in manifest["chunks"][0]["sources"]] == ["p/a.json.gz", "p/b.json.gz"]
    assert [line["member"] for line in refused(lake)] == ["p/b.json.gz"]


def test_files_below_folders_are_read_and_hidden_ones_and_markers_are_not(lake: Lake) -> None:
    put(lake, "a/b/one.json", lines([event(1)]))
    put(lake, "two.json", lines([event(2)]))
    put(lake, ".hidden.json", lines([event(3)]))
    put(lake, ".checkpoints/three.json", lines([event(4)]))
    put(lake, "a/complete", b"")
    manifest = ingest_year(lake, YEAR)
    assert [file["path"] for file in manifest["files"]] == ["a/b/one.json", "two.json"]
    assert len(rows(lake)) == 2


def test_chunks_hold_at_most_the_given_rows_and_all_of_them(lake: Lake) -> None:
    put(lake, "a.json", array(event(n) for n in range(25)))
    put(lake, "b.json", lines(event(n) for n in range(25, 40)))
    manifest = ingest_year(lake, YEAR, max_rows=10)
    check(lake, manifest, 10)
    assert [chunk["rows"] for chunk in manifest["chunks"]] == [10, 10, 5, 10, 5]
    assert [row["event_type"] for row in rows(lake)] == [f"event {n}" for n in range(40)]
    assert [[(s["file"], s["rows"]) for s in chunk["sources"]] for chunk in manifest["chunks"]] == [
        [("a.json", 10)],
        [("a.json", 10)],
        [("a.json", 5)],
        [("b.json", 10)],
        [("b.json", 5)],
    ]


def test_small_files_share_a_chunk(lake: Lake) -> None:
    for number in range(6):
        put(lake, f"{number}.json", lines([event(number * 4 + n) for n in range(4)]))
    manifest = ingest_year(lake, YEAR, max_rows=10)
    check(lake, manifest, 10)
    assert [[s["file"] for s in chunk["sources"]] for chunk in manifest["chunks"]] == [
        ["0.json", "1.json"],
        ["2.json", "3.json"],
        ["4.json", "5.json"],
    ]


def test_a_file_with_an_empty_array_gives_one_chunk_with_a_header_only(lake: Lake) -> None:
    put(lake, "a.json", b"[]")
    manifest = ingest_year(lake, YEAR)
    check(lake, manifest, 100_000)
    assert manifest["total"]["records_seen"] == 0
    assert (lake.chunks(YEAR) / "part-00000.csv").read_text().count("\n") == 1


def test_a_second_delivery_of_the_same_events_changes_no_row(lake: Lake) -> None:
    put(lake, "a.json", array(event(n) for n in range(20)))
    ingest_year(lake, YEAR)
    before = rows(lake)
    put(lake, "b.json", lines(dict(reversed(event(n).items())) for n in reversed(range(20))))
    manifest = ingest_year(lake, YEAR)
    check(lake, manifest, 100_000)
    assert rows(lake) == before
    assert [manifest["total"][name] for name in COUNTS] == [40, 20, 20, 0]


def test_of_two_contents_with_one_uuid_the_first_uploaded_is_kept_and_the_other_quarantined(lake: Lake) -> None:
    early = event(1, city="early", server_upload_time="2024-03-01 10:00:00")
    late = event(1, city="late", server_upload_time="2024-03-01 10:00:00.000001")
    never = event(1, city="never", server_upload_time=None)
    put(lake, "a.json", array([late, event(2), never]))
    put(lake, "b.json.gz", gzipped(lines([event(3), early, late])))
    manifest = ingest_year(lake, YEAR, max_rows=2)
    check(lake, manifest, 2)
    assert {row["city"] for row in rows(lake)} == {"early", NULL_MARK}
    assert [(line["reason"], json.loads(line["raw"])["city"]) for line in refused(lake)] == [
        ("identity_conflict", "late"),
        ("identity_conflict", "never"),
    ]
    assert [manifest["total"][name] for name in COUNTS] == [6, 3, 1, 2]


def test_conflicts_restore_the_exact_bytes_from_every_packing(lake: Lake) -> None:
    for number, (name, pack) in enumerate(PACKINGS.items()):
        noise = [event(100 * number + n, event_type="x" * n * 7) for n in range(10, 30)]
        mine = [event(n, city=f"{number}-{n}", server_upload_time=f"2024-03-0{number + 1} 00:00:00") for n in range(8)]
        mixed = noise + mine
        random.Random(number).shuffle(mixed)
        put(lake, name, pack(array(mixed) if number % 2 else lines(mixed)))
    members = {
        f"m{n}.json.gz": lines([event(n, city="zip", server_upload_time="2025-01-01 00:00:00")]) for n in range(8)
    }
    put(lake, "members.zip", zipped(members))
    manifest = ingest_year(lake, YEAR, max_rows=7)
    check(lake, manifest, 7)
    assert manifest["quarantine_reasons"] == {"identity_conflict": 8 * 4}


TORN = [
    b"{bad",
    encoded(event(900))[:-1],
    encoded(event(901)).replace(b'"n": 901', b'"n": NaN'),
    encoded(event(902)).replace(b"event 902", b"event\n902"),
    b"\xff\x00 noise",
]
UNUSABLE = [
    b'"text"',
    b'{"a": ' + b"[" * 70 + b"]" * 70 + b"}",
    encoded(event(903, event_type=None)),
    encoded(event(904, event_time="never")),
    encoded(event(905, app=True)),
    encoded(event(906, city=NULL_MARK)),
    encoded(event(907, city="@")).replace(b"@", b"\\ud800"),
]


@st.composite
def deliveries(draw: st.DrawFn) -> dict[str, list[bytes]]:
    """Files with records of a small set of identities: duplicates, conflicts and malformed ones are frequent."""
    numbers = st.integers(0, 7)
    cities = st.sampled_from([None, "a", "b"])
    uploads = st.sampled_from([None, "2024-03-01 11:00:00.000000", "2024-03-01 12:00:00"])
    good = st.builds(lambda n, c, u: encoded(event(n, city=c, server_upload_time=u)), numbers, cities, uploads)
    anonymous = st.builds(lambda n, c: encoded(event(n, uuid=None, city=c)), numbers, cities)
    inserted = st.builds(
        lambda n, c: encoded(event(n, uuid=None, city=c, device_id="d") | {"$insert_id": str(n)}), numbers, cities
    )
    turned = st.builds(
        lambda n: encoded(dict(reversed(event(n, event_properties={"b": 1, "a": n}).items())), separators=(",", ":")),
        numbers,
    )
    straight = st.builds(lambda n: encoded(event(n, event_properties={"a": n, "b": 1})), numbers)
    record = st.one_of(good, good, anonymous, inserted, turned, straight, st.sampled_from(TORN + UNUSABLE))
    names = draw(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=4, unique=True))
    # The first record is whole: a file that does not begin as JSON is an error of its own.
    return {name: [draw(straight), *draw(st.lists(record, max_size=10))] for name in names}


def write(lake: Lake, delivery: dict[str, list[bytes]], order: random.Random) -> None:
    for name, records in delivery.items():
        packing = order.choice(sorted(PACKINGS))
        layout = order.choice([array, lines]) if records[0].startswith(b"{") else array
        put(lake, f"{name}-{packing}", PACKINGS[packing](layout(records)))


@settings(max_examples=60, deadline=None)
@given(deliveries(), st.integers(1, 5), st.randoms(use_true_random=False))
def test_any_delivery_is_fully_accounted_for_and_a_second_run_is_byte_identical(delivery, max_rows, order) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        write(lake, delivery, order)
        check(lake, ingest_year(lake, YEAR, max_rows=max_rows), max_rows)
        before = published(lake)
        shutil.rmtree(lake.ledger(YEAR))  # so that nothing is taken over
        ingest_year(lake, YEAR, max_rows=max_rows)
        assert published(lake) == before


def whole(delivery: dict[str, list[bytes]]) -> dict[str, list[bytes]]:
    """Without bytes that are no JSON: next to a torn record the order of lines may decide where it ends."""
    return {name: [r for r in records if r not in TORN] for name, records in delivery.items()}


@settings(max_examples=40, deadline=None)
@given(deliveries(), st.randoms(use_true_random=False))
def test_the_order_and_names_of_files_and_lines_never_decide_what_is_loaded(delivery, order) -> None:
    outcomes = []
    delivery = whole(delivery)
    for turn in range(3):
        with tempfile.TemporaryDirectory() as folder:
            lake = Lake(Path(folder))
            write(lake, delivery, order)
            manifest = ingest_year(lake, YEAR, max_rows=3)
            found = sorted(tuple(row.items()) for row in rows(lake))
            losers = sorted({json.dumps(json.loads(line["raw"]), sort_keys=True) for line in refused(lake)})
            outcomes.append((found, losers, [manifest["total"][name] for name in COUNTS]))
        everything = [record for records in delivery.values() for record in records]
        order.shuffle(everything)
        cut = order.randint(0, len(everything) - 1)
        delivery = {f"{order.choice('xyz')}{turn}": everything[cut:], "m": everything[:cut]}
        delivery = {name: records for name, records in delivery.items() if records}
    assert outcomes[0] == outcomes[1] == outcomes[2]


def test_identities_that_are_compared_in_groups_give_the_same_result(tmp_path: Path, monkeypatch) -> None:
    results = []
    for name, at_once in (("one", 1_000), ("many", 3)):
        monkeypatch.setattr(identity, "ROWS_AT_ONCE", at_once)
        lake = Lake(tmp_path / name)
        put(lake, "a.json", array(event(n % 40, city=f"city {n % 3}") for n in range(120)))
        put(lake, "b.json", lines(event(n, city="late", server_upload_time="2025-01-01") for n in range(20, 60)))
        check(lake, ingest_year(lake, YEAR, max_rows=7), 7)
        results.append(published(lake))
    assert results[0] == results[1]


HOSTILE = [
    "",
    " ",
    "  both  ",
    "a,b",
    '"',
    '""',
    '"quoted"',
    'say "hi", ok',
    '","',
    "'",
    '{"a": "b", "c": [1, "x,y"]}',
    "back\\slash",
    "\\",
    "end\\",
    '\\"',
    "\\\\N",
    "\\n",
    "\\n\\N",
    "line\nfeed",
    "\n",
    "crlf\r\nend\r\n",
    "lone\rcr",
    "\r",
    "\ttab\t",
    "NA",
    "NaN",
    "nan",
    "null",
    "NULL",
    "None",
    "N/A",
    "#N/A",
    "nul\0inside",
    "\0",
    "line\u2028paragraph\u2029",
    "nel\x85",
    "vt\x0bff\x0c",
    "\ufeffbom",
    "emoji \U0001f600\u200d\U0001f680",
    "combining e\u0301",
    "=1+1",
    "+1",
    "-1",
    "@x",
    "007",
    "1e5",
    "10.0",
    "True",
    "2024-01-01",
    "#comment",
    "x" * 100_001,
    ('"' + "\n,") * 20_000,
]


def hostile_lake(lake: Lake) -> list[str]:
    put(lake, "a.json", array(event(n, region=text, version_name=text) for n, text in enumerate(HOSTILE)))
    manifest = ingest_year(lake, YEAR)
    check(lake, manifest, 100_000)
    assert manifest["total"]["loaded"] == len(HOSTILE)
    return [str(path) for path in sorted(lake.chunks(YEAR).glob("*.csv"))]


def test_hostile_texts_come_back_equal_through_the_csv_module(lake: Lake) -> None:
    hostile_lake(lake)
    found = rows(lake)
    assert [row["region"] for row in found] == HOSTILE
    assert [row["version_name"] for row in found] == HOSTILE
    assert {row["city"] for row in found} == {NULL_MARK}


def test_hostile_texts_come_back_equal_through_pandas(lake: Lake) -> None:
    (path,) = hostile_lake(lake)
    frame = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[NULL_MARK])
    assert list(frame.columns) == EVENT_CHUNKS.column_names
    assert frame["region"].tolist() == HOSTILE
    assert frame["version_name"].tolist() == HOSTILE
    assert frame["city"].isna().all()


def test_hostile_texts_come_back_equal_through_duckdb(lake: Lake) -> None:
    (path,) = hostile_lake(lake)
    query = f"SELECT region, version_name, city, event_type FROM {raw_chunks([Path(path)])}"
    found = sorted(duckdb.connect().sql(query).fetchall(), key=lambda row: int(row[3].removeprefix("event ")))
    assert [row[0] for row in found] == HOSTILE
    assert [row[1] for row in found] == HOSTILE
    assert {row[2] for row in found} == {None}


def test_64_bit_integers_and_sessions_outside_come_back_exactly(lake: Lake) -> None:
    numbers = [2**53 + 1, 2**63 - 1, -(2**63), 0, -1, None]
    put(lake, "a.json", array(event(n, amplitude_id=x, session_id=x) for n, x in enumerate(numbers)))
    ingest_year(lake, YEAR)
    assert [row["amplitude_id"] for row in rows(lake)] == [NULL_MARK if x is None else str(x) for x in numbers]
    path = lake.chunks(YEAR) / "part-00000.csv"
    query = f"SELECT amplitude_id, session_id, event_time FROM {raw_chunks([path])} ORDER BY event_type"
    found = duckdb.connect().sql(query).fetchall()
    assert [row[0] for row in found] == [row[1] for row in found] == numbers
    frame = pd.read_csv(path, dtype={"session_id": "Int64"}, keep_default_na=False, na_values=[NULL_MARK])
    assert [None if pd.isna(x) else int(x) for x in frame["session_id"]] == numbers


def test_rows_removed_after_a_conflict_leave_the_other_hostile_rows_as_they_were(lake: Lake) -> None:
    put(lake, "a.json", array(event(n, region=text) for n, text in enumerate(HOSTILE)))
    put(lake, "b.json", array(event(n, region="later", server_upload_time="2025-01-01") for n in range(len(HOSTILE))))
    put(lake, "c.json", array([event(0, region="earlier", server_upload_time="2023-01-01")]))
    manifest = ingest_year(lake, YEAR)
    check(lake, manifest, 100_000)
    assert sorted(row["region"] for row in rows(lake)) == sorted(["earlier", *HOSTILE[1:]])


def test_the_manifest_reports_unknown_keys_coercions_unreadable_times_and_irregularities(lake: Lake) -> None:
    records = [event(1, brand_new=1), event(2, os_version=10), event(3, processed_time="soon", brand_new=2)]
    put(lake, "a.json", array(records)[:-1] + b",")
    manifest = ingest_year(lake, YEAR)
    assert manifest["unknown_keys"] == {"brand_new": 2}
    assert manifest["coerced_values"] == {"os_version": 1}
    assert manifest["unreadable_times"] == {"processed_time": 1}
    assert manifest["files"][0]["irregularities"] == {"truncated": 1}
    assert manifest["columns"] == EVENT_CHUNKS.column_names
    assert manifest["year"] == YEAR


def test_times_in_the_chunks_are_utc_with_microseconds(lake: Lake) -> None:
    put(lake, "a.json", array([event(1, event_time="2024-03-01T12:00:00+02:00")]))
    ingest_year(lake, YEAR)
    assert rows(lake)[0]["event_time"] == "2024-03-01 10:00:00.000000"


def test_a_new_run_replaces_everything_of_the_old_one(lake: Lake) -> None:
    first = put(lake, "a.json", array([event(n) for n in range(30)] + [b"{bad"]))
    ingest_year(lake, YEAR, max_rows=10)
    first.unlink()
    put(lake, "b.json", array([event(99)]))
    manifest = ingest_year(lake, YEAR, max_rows=10)
    check(lake, manifest, 10)
    assert [row["event_type"] for row in rows(lake)] == ["event 99"]
    assert refused(lake) == []


def test_other_years_are_left_alone(lake: Lake) -> None:
    put(lake, "a.json", array([event(1)]), "2023")
    ingest_year(lake, "2023")
    before = published(lake, "2023")
    put(lake, "a.json", array([event(2)]))
    ingest_year(lake, YEAR)
    assert published(lake, "2023") == before


def test_raw_files_are_never_written_to(lake: Lake) -> None:
    paths = [put(lake, name, pack(array([event(1), b"{bad", event(1, city="x")]))) for name, pack in PACKINGS.items()]
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in paths]
    ingest_year(lake, YEAR)
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in paths] == before


def test_the_digest_of_raw_files_follows_names_and_content_only(lake: Lake) -> None:
    first, second = put(lake, "a.json", b"[1]"), put(lake, "b.json", b"[2]")
    digest = raw_digest(lake, YEAR)
    shutil.copytree(lake.raw(YEAR), lake.raw("2025"))
    assert raw_digest(lake, "2025") == digest
    second.write_bytes(b"[3]")
    assert raw_digest(lake, YEAR) != digest
    second.write_bytes(b"[2]")
    assert raw_digest(lake, YEAR) == digest
    first.rename(first.with_name("c.json"))
    assert raw_digest(lake, YEAR) != digest


def test_progress_rises_to_the_whole_delivery(lake: Lake) -> None:
    put(lake, "a.json", array(event(n) for n in range(35)))
    put(lake, "b.json.gz", gzipped(array(event(n) for n in range(35, 60))))
    reports: list[Progress] = []
    ingest_year(lake, YEAR, progress=reports.append)
    assert [report.records_seen for report in reports] == sorted(report.records_seen for report in reports)
    assert reports[-1].records_seen == 60
    done = [report.bytes_read for report in reports]
    assert done == sorted(done)
    assert done[-1] == reports[-1].bytes_total == sum(p.stat().st_size for p in lake.raw(YEAR).iterdir())
