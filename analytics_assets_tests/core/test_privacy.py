"""Pseudonyms, the key, the suppression list, and forgetting a person."""

from __future__ import annotations

import csv
import json
import os
import stat
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.forget import forget, is_genuine
from analytics_assets.core.ingest.run import ingest_year
from analytics_assets.core.lake import Lake
from analytics_assets.core.privacy import KEY_VARIABLE, MODE_VARIABLE, Privacy, key_id
from analytics_assets.schemas import NULL_MARK, PERSONAL_COLUMNS
from analytics_assets_tests.core.ingest.exports import YEAR, array, event, gzipped, lines, put, refused, rows

PRIVACY = Privacy("pseudonymize", b"k" * 32)


def test_personal_columns_hold_pseudonyms_and_nobody_stays_nobody(lake: Lake) -> None:
    put(
        lake,
        "a.json",
        lines(
            [
                event(1, user_id="ann@example.com", device_id="d-1", ip_address="203.0.113.7"),
                event(2, user_id=" ann@example.com ", device_id="ann@example.com"),
                event(3, user_id="EMPTY", device_id="Anonymous", ip_address=None),
                event(4, user_id=12345),
                event(5, user_id="12345"),
            ]
        ),
    )
    manifest = ingest_year(lake, YEAR)
    first, second, third, fourth, fifth = rows(lake)
    key = os.environ[KEY_VARIABLE].encode()
    assert first["user_id"] == second["user_id"] == Privacy("pseudonymize", key).digest("user_id", "ann@example.com")
    assert second["device_id"] != second["user_id"], "each column has its own domain"
    assert len({first[name] for name in PERSONAL_COLUMNS}) == 3
    assert (third["user_id"], third["device_id"], third["ip_address"]) == ("EMPTY", "Anonymous", NULL_MARK)
    assert fourth["user_id"] == fifth["user_id"]
    assert manifest["privacy"]["key_id"] == key_id(key)
    assert manifest["privacy"]["columns"] == ["user_id", "device_id", "ip_address"]
    everything = b"".join(path.read_bytes() for path in lake.chunks(YEAR).rglob("*") if path.is_file())
    assert b"ann@example.com" not in everything
    assert b"203.0.113.7" not in everything


def test_keep_writes_the_delivered_values_and_says_so(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODE_VARIABLE, "keep")
    put(lake, "a.json", lines([event(1, user_id="ann@example.com")]))
    manifest = ingest_year(lake, YEAR)
    assert rows(lake)[0]["user_id"] == "ann@example.com"
    assert manifest["privacy"] == {"mode": "keep"}


@given(st.text(), st.text())
def test_pseudonyms_follow_the_normalized_value(first: str, second: str) -> None:
    same = unicodedata.normalize("NFC", first).strip() == unicodedata.normalize("NFC", second).strip()
    assert (PRIVACY.digest("user_id", first) == PRIVACY.digest("user_id", second)) == same
    assert PRIVACY.digest("user_id", first) != PRIVACY.digest("device_id", first)
    assert PRIVACY.digest("user_id", first) != Privacy("pseudonymize", b"l" * 32).digest("user_id", first)


def test_a_missing_key_is_made_once_for_the_owner_only(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE)
    code = "import sys; from pathlib import Path; from analytics_assets.core.lake import Lake\n"
    code += "from analytics_assets.core.privacy import Privacy; print(Privacy.of(Lake(Path(sys.argv[1]))).key_id)"
    runs = [
        subprocess.Popen([sys.executable, "-c", code, str(lake.root)], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    keys = {run.communicate()[0] for run in runs}
    assert len(keys) == 1, "processes that start together agree on one key"
    assert stat.S_IMODE(lake.pii_key().stat().st_mode) == 0o600
    assert [path.name for path in lake.pii_key().parent.iterdir()] == ["pii.key"]
    assert Privacy.of(lake).key == lake.pii_key().read_bytes().strip()


@pytest.mark.parametrize(
    ("variable", "value", "fact"),
    [(KEY_VARIABLE, "tiny-key", "shorter than"), (MODE_VARIABLE, "maybe", "unknown")],
)
def test_settings_that_make_no_sense_are_named(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, fact: str
) -> None:
    monkeypatch.setenv(variable, value)
    put(lake, "a.json", lines([event(1)]))
    with pytest.raises(PipelineError, match=fact) as caught:
        ingest_year(lake, YEAR)
    assert caught.value.place == variable
    assert value not in str(caught.value) or variable == MODE_VARIABLE, "a key is never printed"


def no_tables(years: list[str]) -> None:
    raise AssertionError(f"no tables were made, none can be computed anew: {years}")


def person_lake(lake: Lake) -> None:
    """Ann with two devices, one shared with Bob, and events before her login."""
    put(
        lake,
        "a.json.gz",
        gzipped(
            array(
                [
                    event(1, user_id="ann@example.com", device_id="own", amplitude_id=1),
                    event(2, user_id=None, device_id="own", amplitude_id=None),
                    event(3, user_id=None, device_id="other", amplitude_id=1),
                    event(4, user_id="ann@example.com", device_id="shared", amplitude_id=1),
                    event(5, user_id="bob", device_id="shared", amplitude_id=2),
                    event(6, user_id=None, device_id="shared", amplitude_id=None),
                    event(7, user_id="bob", device_id="own-2", amplitude_id=2),
                    event(8, event_type=None, user_id="ann@example.com"),
                    event(9, event_type=None, user_id="bob"),
                    b'{"uuid": "x", "event_type": "torn", "user_id": "ann\\u0040example.com", "event_time": NaN}',
                    b'{"uuid": "y", "event_type": "torn", "device_id": "own", "event_time": NaN}',
                ]
            )
        ),
    )


def test_a_forgotten_person_is_gone_and_others_are_not(lake: Lake) -> None:
    person_lake(lake)
    ingest_year(lake, YEAR)
    said: list[str] = []
    receipt = forget(lake, "ann@example.com", no_tables, said.append)
    assert [row["event_type"] for row in rows(lake)] == ["event 5", "event 6", "event 7"]
    assert [json.loads(line["raw"])["user_id"] for line in refused(lake)] == ["bob"]
    assert receipt["removed"] == {YEAR: {"events": 4, "quarantined": 3}}
    assert receipt["tables"]["event_chunks"] == {"before": 2, "after": 0}
    assert receipt["raw_files_with_forgotten_records"] == {YEAR: {"a.json.gz": 7}}
    written = json.loads(Path(receipt["path"]).read_bytes())
    assert is_genuine(written, Privacy.of(lake).key)
    assert not is_genuine(written | {"finished": "later"}, Privacy.of(lake).key)
    kept = [path for path in lake.root.rglob("*") if path.is_file() and lake.raw() not in path.parents]
    assert not [path for path in kept if b"ann@example.com" in path.read_bytes()]


def test_files_delivered_again_do_not_bring_a_forgotten_person_back(lake: Lake) -> None:
    person_lake(lake)
    ingest_year(lake, YEAR)
    forget(lake, "ann@example.com", no_tables, lambda text: None)
    before = rows(lake)
    put(lake, "again.ndjson", lines([event(1, user_id="ann@example.com"), event(20, user_id="ann@example.com")]))
    put(lake, "z.json", array([event(30, user_id="carl", device_id="c")]))
    manifest = ingest_year(lake, YEAR)
    assert [row["event_type"] for row in rows(lake)] == [*(row["event_type"] for row in before), "event 30"]
    assert {entry["path"]: entry["forgotten"] for entry in manifest["files"]} == {
        "a.json.gz": 7,
        "again.ndjson": 2,
        "z.json": 0,
    }
    put(lake, "a.json", lines([event(40, user_id="ann@example.com")]), "2025")
    ingest_year(lake, "2025")
    assert rows(lake, "2025") == []


def test_a_forgotten_person_stays_forgotten_under_another_key_or_not_at_all(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    person_lake(lake)
    ingest_year(lake, YEAR)
    forget(lake, "ann@example.com", no_tables, lambda text: None)
    monkeypatch.setenv(KEY_VARIABLE, "another key for tests, not the first")
    with pytest.raises(PipelineError, match="forgotten under the key"):
        ingest_year(lake, YEAR)


def test_forgetting_needs_the_raw_files_and_a_person(lake: Lake) -> None:
    person_lake(lake)
    ingest_year(lake, YEAR)
    for nobody in ("EMPTY", "anonymous", ""):
        with pytest.raises(PipelineError, match="stands for nobody"):
            forget(lake, nobody, no_tables, lambda text: None)
    lake.raw(YEAR).rename(lake.raw("2023"))
    with pytest.raises(PipelineError, match="raw files of 2024 are gone"):
        forget(lake, "ann@example.com", no_tables, lambda text: None)
    assert not lake.suppressed().exists()


def test_csv_rows_stay_readable_when_ids_hold_quotes_and_breaks(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODE_VARIABLE, "keep")
    odd = ['a"b', "line\nbreak", "né", "\\", "x" * 300]
    put(lake, "a.json", lines(event(n, user_id=text, device_id=text) for n, text in enumerate(odd)))
    ingest_year(lake, YEAR)
    with (lake.chunks(YEAR) / "part-00000.csv").open(newline="") as stream:
        assert [row["user_id"] for row in csv.DictReader(stream)] == odd
    forget(lake, odd[0], no_tables, lambda text: None)
    assert [row["user_id"] for row in rows(lake)] == odd[1:]
