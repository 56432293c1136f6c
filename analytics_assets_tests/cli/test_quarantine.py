"""``analytics quarantine list | export | replay``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analytics_assets.core.ingest.run import ingest_year
from analytics_assets.core.lake import Lake
from analytics_assets_tests.conftest import run_analytics
from analytics_assets_tests.core.ingest.exports import YEAR, array, encoded, event, lines, put, refused, rows, zipped

TORN = encoded(event(2, city="Zürich")).replace(b'"n": 2', b'"n": NaN')
NO_TYPE = encoded(event(3, event_type=None))
RIVAL = event(1, city="other", server_upload_time="2025-01-01 00:00:00")
TEXTS = {
    "malformed_json": encoded(event(2, city="Zürich")).decode(),
    "missing_event_type": encoded(event(3, event_type="found")).decode(),
}
"""What a person makes of the refused records, by their reason."""


@pytest.fixture
def filled(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A year with refused records in a plain file and in an archive, and a conflict."""
    monkeypatch.delenv("ANALYTICS_PII_KEY")  # the command is run without it, too
    put(lake, "a.json", array([event(1), TORN, NO_TYPE, RIVAL]))
    put(lake, "b.zip", zipped({"m.json.gz": lines([event(4), b"\xff\xfe noise"])}))
    ingest_year(lake, YEAR)
    return lake


def exported(lake: Lake, tmp_path: Path) -> tuple[Path, dict[str, dict[str, object]]]:
    """The file that a person is to correct, and its lines by reason; the noise in the archive is left aside."""
    file = tmp_path / "refused.ndjson"
    done = run_analytics("quarantine", "export", YEAR, str(file), data_dir=lake.root)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(found) == 4
    return file, {line["reason"]: line for line in found if line["file"] == "a.json"}


def hand_in(lake: Lake, file: Path, lines_: list[dict[str, object]]) -> tuple[int, str, str]:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines_))
    done = run_analytics("quarantine", "replay", YEAR, str(file), data_dir=lake.root)
    return done.returncode, done.stdout, done.stderr


def test_list_shows_reason_file_span_and_bytes(filled: Lake) -> None:
    done = run_analytics("quarantine", "list", data_dir=filled.root)
    assert done.returncode == 0, done.stderr
    assert "4 refused records" in done.stdout
    for text in ("malformed_json", "missing_event_type", "identity_conflict", "b.zip!m.json.gz", "a.json"):
        assert text in done.stdout
    for line in refused(filled):
        assert line["id"] in done.stdout
        assert f"{line['start']}-{line['end']}" in done.stdout
    done = run_analytics("quarantine", "list", YEAR, "--reason", "identity_conflict", data_dir=filled.root)
    assert "1 refused records" in done.stdout


def test_corrected_records_load_exactly_once(filled: Lake, tmp_path: Path) -> None:
    file, found = exported(filled, tmp_path)
    lines_ = [found[reason] | {"text": text} for reason, text in TEXTS.items()]
    raw = {path: path.read_bytes() for path in filled.raw(YEAR).iterdir()}
    for applied in (2, 0):
        code, output, error = hand_in(filled, file, lines_)
        assert code == 0, error
        assert f"{applied} corrections applied" in output
        assert [row["event_type"] for row in rows(filled)] == ["event 1", "event 2", "found", "event 4"]
        assert sorted(line["reason"] for line in refused(filled)) == ["identity_conflict", "malformed_json"]
    assert rows(filled)[1]["city"] == "Zürich"
    manifest = json.loads(filled.manifest(YEAR).read_bytes())
    assert manifest["total"]["repaired"] == 2
    assert {path: path.read_bytes() for path in filled.raw(YEAR).iterdir()} == raw
    # The vendor delivers the same events again, whole: they are duplicates of the corrected ones.
    put(filled, "c.json", lines([event(2, city="Zürich"), event(3, event_type="found")]))
    assert ingest_year(filled, YEAR)["total"]["duplicates"] == 2
    assert len(rows(filled)) == 4


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"text": "{"}, "is not JSON"),
        ({"text": '{"event_type": "a"}'}, "no_event_time"),
        ({"text": "5"}, "not_an_object"),
        ({"id": "0" * 16, "text": "x"}, "not in the quarantine"),
        ({"id": 5}, "must be texts"),
    ],
)
def test_a_correction_that_does_not_help_changes_nothing(
    filled: Lake, tmp_path: Path, change: dict[str, object], fact: str
) -> None:
    file, found = exported(filled, tmp_path)
    good = found["missing_event_type"] | {"text": TEXTS["missing_event_type"]}
    before = rows(filled)
    code, _, error = hand_in(filled, file, [good, found["malformed_json"] | change])
    assert code == 1
    assert fact in error
    assert "line 2" in error
    assert rows(filled) == before
    assert not filled.repairs(YEAR).exists()


def test_a_conflict_cannot_be_corrected(filled: Lake, tmp_path: Path) -> None:
    file, found = exported(filled, tmp_path)
    code, _, error = hand_in(filled, file, [found["identity_conflict"] | {"text": encoded(event(9)).decode()}])
    assert code == 1
    assert "another one with its uuid was preferred" in error


def test_a_year_that_is_not_ingested_is_named(lake: Lake) -> None:
    done = run_analytics("quarantine", "list", "1999", data_dir=lake.root)
    assert done.returncode == 1
    assert "1999 is not ingested" in done.stderr
