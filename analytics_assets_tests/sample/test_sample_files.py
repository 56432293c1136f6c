"""Files: reproducible, whole or absent, of the promised shape."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import itertools
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from analytics_assets.sample.generator import SampleConfig, write_sample
from analytics_assets.sample.records import APP_ID
from analytics_assets_tests.sample.reading import FIELDS, TIMES, WrittenSample, elements, export_path, milliseconds

TINY = SampleConfig(events=1_500, users=30, seed=3)


def digests(raw: Path) -> dict[str, str]:
    """SHA-256 of every file under a folder."""
    return {
        str(path.relative_to(raw)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(raw.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("shape", ["array", "zip"])
@pytest.mark.parametrize("compress", [True, False])
def test_same_settings_give_the_same_bytes(tmp_path: Path, shape: Literal["array", "zip"], compress: bool) -> None:
    config = dataclasses.replace(TINY, shape=shape, compress=compress)
    write_sample(tmp_path / "a", config)
    write_sample(tmp_path / "b", config)
    first = digests(tmp_path / "a")
    assert first == digests(tmp_path / "b")
    ending = "zip" if shape == "zip" else "json.gz" if compress else "json"
    assert set(first) == {
        f"2024/synthetic_events_2024.{ending}",
        f"2025/synthetic_events_2025.{ending}",
        "truth.json",
        "truth_hidden_states.csv.gz",
    }


def test_another_seed_gives_other_events(tmp_path: Path) -> None:
    write_sample(tmp_path / "a", TINY)
    write_sample(tmp_path / "b", dataclasses.replace(TINY, seed=4))
    a, b = digests(tmp_path / "a"), digests(tmp_path / "b")
    assert a.keys() == b.keys()
    assert all(a[name] != b[name] for name in a)
    uuids = [{e["uuid"] for e in elements(export_path(tmp_path / s, "2025")) if isinstance(e, dict)} for s in "ab"]
    assert not uuids[0] & uuids[1]


def test_content_is_the_same_on_every_machine(tmp_path: Path) -> None:
    """Pinned digests of the uncompressed content: a change of the generator, or of NumPy's streams, shows here."""
    truth = write_sample(tmp_path, TINY)
    assert {year: figures["content_sha256"] for year, figures in truth["years"].items()} == {
        "2024": "6e6395ff0959fbb7c6f9048bdd8d0ebcb109d305b1913d4d4026901f6c5a18cb",
        "2025": "3ce7f48b9b516d64485eedb8ef227ecd91ad95895f2fcce0fbcf19fc65e1acf4",
    }


def test_content_digest_is_that_of_the_file(small: WrittenSample, small_zip: WrittenSample) -> None:
    for year, figures in small.truth["years"].items():
        content = gzip.decompress(export_path(small.raw, year).read_bytes())
        assert hashlib.sha256(content).hexdigest() == figures["content_sha256"]
    for year, figures in small_zip.truth["years"].items():
        digest = hashlib.sha256()
        with zipfile.ZipFile(export_path(small_zip.raw, year)) as archive:
            for name in archive.namelist():
                digest.update(gzip.decompress(archive.read(name)))
        assert digest.hexdigest() == figures["content_sha256"]


def test_returned_truth_is_the_written_one(tmp_path: Path) -> None:
    assert write_sample(tmp_path, TINY) == json.loads((tmp_path / "truth.json").read_text(encoding="utf-8")) | {
        "config": dataclasses.asdict(TINY) | {"years": list(TINY.years)}
    }
    text = (tmp_path / "truth.json").read_text(encoding="utf-8")
    keys = re.findall(r'"(\w+)":', text[: text.index('"bayes_optimal"') + 20])
    assert keys[0] == "bayes_optimal"


def test_compressed_files_carry_no_time_and_no_name(small: WrittenSample) -> None:
    for path in [*(export_path(small.raw, year) for year in small.years), small.raw / "truth_hidden_states.csv.gz"]:
        header = path.read_bytes()[:10]
        assert header[:2] == b"\x1f\x8b"
        assert header[3] == 0, "no file name, no comment"
        assert header[4:8] == b"\x00" * 4, "no time stamp"


def test_every_valid_record_has_the_55_fields_in_sorted_order(small: WrittenSample) -> None:
    assert len(FIELDS) == 55
    for event in small.events.values():
        assert list(event) == sorted(FIELDS)


def test_records_are_labelled_as_synthetic(small: WrittenSample) -> None:
    assert small.truth["synthetic"] is True
    for event in small.events.values():
        assert event["library"] == "synthetic-sample/1.0"
        assert event["event_properties"]["synthetic"] is True
        assert event["ip_address"].rsplit(".", 1)[0] in {"192.0.2", "198.51.100", "203.0.113"}


def test_types_of_the_fields(small: WrittenSample) -> None:
    uuid4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
    for event in small.events.values():
        assert uuid4.fullmatch(event["uuid"])
        assert uuid4.fullmatch(event["$insert_id"])
        assert event["app"] == APP_ID
        assert 1_200_000_000_000 < event["amplitude_id"] < 1_300_000_000_000
        for name in ("event_id", "session_id", "amplitude_id"):
            assert type(event[name]) is int
        for name in ("data", "event_properties", "group_properties", "groups", "plan", "user_properties"):
            assert type(event[name]) is dict
        assert type(event["os_version"]) is str
        for name in TIMES:
            assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}000", event[name])
    assert {v for e in small.events.values() for k, v in e["user_properties"].items() if k.startswith("initial_")} == {
        "EMPTY"
    }


def test_records_stand_in_no_order_of_time(small: WrittenSample) -> None:
    for year in small.years.values():
        times = [e["event_time"] for e in year.elements if isinstance(e, dict) and "event_time" in e]
        backwards = sum(a > b for a, b in itertools.pairwise(times))
        assert backwards > len(times) / 4


def test_files_are_cut_by_server_upload(small: WrittenSample) -> None:
    first, last = min(small.years), max(small.years)
    for year, content in small.years.items():
        for event in content.events.values():
            uploaded = event["server_upload_time"][:4]
            assert uploaded == year or (year == last and uploaded > last)
    late = [e for e in small.years[last].events.values() if e["event_time"][:4] == first]
    assert late, "events of December must lie in the next year's file"


def test_zip_holds_the_same_events(small: WrittenSample, small_zip: WrittenSample) -> None:
    for year in small.years:
        assert small.years[year].events == small_zip.years[year].events
        assert small.years[year].duplicates == small_zip.years[year].duplicates
        assert small.years[year].refused == small_zip.years[year].refused


def test_zip_members_are_the_hours_of_their_records(small_zip: WrittenSample) -> None:
    pattern = re.compile(rf"{APP_ID}/{APP_ID}_(\d{{4}}-\d\d-\d\d)_(0|[1-9]\d?)#\d+\.json\.gz")
    for year in small_zip.years:
        with zipfile.ZipFile(export_path(small_zip.raw, year)) as archive:
            names = archive.namelist()
            assert len(set(names)) == len(names)
            for info in archive.infolist():
                assert info.date_time == (1980, 1, 1, 0, 0, 0)
                match = pattern.fullmatch(info.filename)
                assert match
                for line in gzip.decompress(archive.read(info)).decode().splitlines():
                    record = json.loads(line)
                    if isinstance(record, dict) and re.match(r"\d{4}-", record.get("server_upload_time", "")):
                        moment = milliseconds(record["server_upload_time"]) // 3_600_000
                        assert record["server_upload_time"][:10] == match[1]
                        assert moment % 24 == int(match[2])


def test_another_shape_replaces_the_earlier_file(tmp_path: Path) -> None:
    write_sample(tmp_path, TINY)
    keep = tmp_path / "2024" / "own.json"
    keep.write_text("[]")
    write_sample(tmp_path, dataclasses.replace(TINY, shape="zip"))
    assert sorted(p.name for p in (tmp_path / "2024").iterdir()) == ["own.json", "synthetic_events_2024.zip"]


def test_a_failed_run_leaves_earlier_files_whole(tmp_path: Path) -> None:
    write_sample(tmp_path, TINY)
    before = digests(tmp_path)

    def fail_at(stage_part: str) -> Callable[[str, int, int], None]:
        def progress(stage: str, done: int, total: int) -> None:
            if stage_part in stage and done:
                raise KeyboardInterrupt

        return progress

    for part in ("2024", "simulate"):
        with pytest.raises(KeyboardInterrupt):
            write_sample(tmp_path, dataclasses.replace(TINY, seed=99), fail_at(part))
        assert digests(tmp_path) == before


def test_progress_ends_with_everything_done(tmp_path: Path) -> None:
    seen: dict[str, tuple[int, int]] = {}

    def progress(stage: str, done: int, total: int) -> None:
        assert done >= seen.get(stage, (0, 0))[0]
        seen[stage] = (done, total)

    truth = write_sample(tmp_path, TINY, progress)
    assert all(done == total for done, total in seen.values())
    assert seen["write synthetic_events_2025.json.gz"][1] == truth["years"]["2025"]["records"]


@pytest.mark.parametrize(
    "bad",
    [
        {"years": ()},
        {"years": (2025, 2024)},
        {"years": (2023, 2025)},
        {"years": (1900,)},
        {"events": 10},
        {"users": 2},
        {"seed": -1},
        {"shape": "csv"},
        {"duplicate_share": 0.9},
        {"late_share": -0.1},
        {"malformed_records": -1},
    ],
)
def test_senseless_settings_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must"):
        SampleConfig(**bad)  # type: ignore[arg-type]
