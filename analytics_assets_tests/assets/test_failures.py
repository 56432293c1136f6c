"""Bad surroundings end as a failure that names the place and the remedy, and leave earlier results untouched."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import dagster as dg
import pytest

from analytics_assets.assets.forecasts import arima_forecast, prophet_forecast
from analytics_assets.assets.ingestion import event_chunks, raw_export
from analytics_assets.assets.next_event_models import (
    hidden_markov_model,
    lstm_next_event,
    markov_chain,
    next_event_leaderboard,
    xgboost_next_event,
)
from analytics_assets.assets.reports import analysis_results
from analytics_assets.assets.segments import kmeans_segments
from analytics_assets.core.errors import PipelineError
from analytics_assets.core.lake import Lake
from analytics_assets.resources.lake import LakeResource

GOOD = [{"uuid": "a", "event_type": "open", "event_time": "2024-05-01 10:00:00.000000", "user_id": "u"}]


def ingest(lake: Lake, year: str = "2024") -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [raw_export, event_chunks],
        selection="event_chunks",
        partition_key=year,
        resources={"lake": LakeResource(root=str(lake.root))},
        raise_on_error=False,
    )


def failure_text(result: dg.ExecuteInProcessResult) -> str:
    assert not result.success
    [event] = [event for event in result.all_events if event.is_step_failure]
    failure = event.step_failure_data.user_failure_data
    assert failure is not None, event.step_failure_data.error
    assert {"place", "fact", "remedy"} <= failure.metadata.keys()
    return failure.description or ""


def deliver(lake: Lake, content: bytes, name: str = "export.json") -> Path:
    lake.raw("2024").mkdir(parents=True, exist_ok=True)
    path = lake.raw("2024") / name
    path.write_bytes(content)
    return path


def published(lake: Lake) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted((lake.root / "chunks").rglob("*")) if path.is_file()}


@pytest.fixture
def good_lake(lake: Lake) -> Lake:
    deliver(lake, json.dumps(GOOD).encode())
    assert ingest(lake).success
    return lake


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b"<html>login</html>", "is not JSON"),
        (b"42", "JSON scalar"),
        (b'"text"', "JSON scalar"),
        (b"", "is empty"),
        (b"\x1f\x8b\x08damaged", "damaged"),
    ],
)
def test_a_file_that_is_no_export(good_lake: Lake, content: bytes, fact: str) -> None:
    before = published(good_lake)
    path = deliver(good_lake, content, "other.json")
    text = failure_text(ingest(good_lake))
    assert fact in text and str(path) in text
    assert "remove" in text or "Download" in text
    assert published(good_lake) == before


def test_no_raw_files(lake: Lake) -> None:
    text = failure_text(ingest(lake))
    assert str(lake.raw("2024")) in text and "Put the year's Amplitude export" in text


def test_observing_a_missing_year_fails_with_the_same_words(lake: Lake) -> None:
    result = dg.materialize(
        [raw_export, event_chunks],
        partition_key="2024",
        resources={"lake": LakeResource(root=str(lake.root))},
        raise_on_error=False,
    )
    assert str(lake.raw("2024")) in failure_text(result)


def test_an_unreadable_folder(good_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so the operating system's answer is injected where the folder is listed."""
    real_walk = os.walk

    def refusing_walk(folder: Path, onerror: object = None, **options: object) -> object:
        if Path(folder) == good_lake.raw("2024") and callable(onerror):
            onerror(PermissionError(13, "Permission denied", str(folder)))
        return real_walk(folder, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "walk", refusing_walk)
    before = published(good_lake)
    text = failure_text(ingest(good_lake))
    assert "permission denied" in text and str(good_lake.raw("2024")) in text
    assert published(good_lake) == before


def test_no_space_left(good_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    from analytics_assets.core.ingest import chunks

    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device", str(good_lake.staging()))

    before = published(good_lake)
    deliver(good_lake, json.dumps(GOOD * 2).encode())
    monkeypatch.setattr(chunks, "sync_file", full)
    text = failure_text(ingest(good_lake))
    assert "no space left" in text and str(good_lake.staging()) in text
    assert published(good_lake) == before
    assert not list(good_lake.staging().glob("event_chunks*"))


def test_a_malformed_record_is_quarantined_and_never_stops_the_run(lake: Lake) -> None:
    from analytics_assets.core.files import read_json
    from analytics_assets.core.ingest.quarantine import read_quarantine

    bad = b'{"uuid": "b", "event_type": }'
    deliver(lake, b"[" + json.dumps(GOOD[0]).encode() + b", " + bad + b"]")
    assert ingest(lake).success
    total = read_json(lake.manifest("2024"))["total"]
    assert (total["records_seen"], total["loaded"], total["quarantined"]) == (2, 1, 1)
    [refused] = read_quarantine(lake.quarantine("2024"))
    assert refused.raw == bad and refused.reason == "malformed_json"
    assert refused.detail == "The bytes are not JSON."


@pytest.mark.parametrize(
    "asset",
    [
        markov_chain,
        hidden_markov_model,
        lstm_next_event,
        xgboost_next_event,
        next_event_leaderboard,
        kmeans_segments,
        prophet_forecast,
        arima_forecast,
        analysis_results,
    ],
)
def test_models_without_a_year_say_what_to_materialize(lake: Lake, asset: dg.AssetsDefinition) -> None:
    result = dg.materialize([asset], resources={"lake": LakeResource(root=str(lake.root))}, raise_on_error=False)
    assert "Materialize at least one year" in failure_text(result)


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (ConnectionResetError("lost"), 3),
        (OSError(errno.ESTALE, "stale handle"), 3),
        (TimeoutError(), 3),
        (OSError(errno.ENOSPC, "full"), 1),
        (ValueError("a mistake"), 1),
        (PipelineError("here", "wrong", "Mend it."), 1),
    ],
)
def test_only_what_passes_by_itself_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, error: Exception, attempts: int
) -> None:
    from analytics_assets import metadata

    monkeypatch.setattr(metadata, "RETRY_SECONDS", 0)
    tried = []

    @dg.asset
    def flaky() -> None:
        tried.append(1)
        with metadata.failing_clearly(Path("here")):
            raise error

    assert not dg.materialize([flaky], raise_on_error=False).success
    assert len(tried) == attempts
