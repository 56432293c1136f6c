"""A failed run is posted to the configured webhook, with its reason and without secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator

import dagster as dg
import pytest

from analytics_assets import notifications
from analytics_assets.assets.ingestion import event_chunks, raw_export
from analytics_assets.core.lake import Lake
from analytics_assets.notifications import CUT, WEBHOOK_VARIABLE, send
from analytics_assets.resources.lake import LakeResource
from analytics_assets.sensors import active_sensors, notify_failure
from analytics_assets_tests.webhook import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications, "PAUSE_SECONDS", 0.0)


def fail(lake: Lake, instance: dg.DagsterInstance) -> dg.RunFailureSensorContext:
    """Materialize a year without files, and what the sensor is told of it."""
    job = dg.Definitions(
        [raw_export, event_chunks],
        jobs=[dg.define_asset_job("yearly_job", [event_chunks])],
        resources={"lake": LakeResource(root=str(lake.root))},
    ).resolve_job_def("yearly_job")
    result = job.execute_in_process(instance=instance, partition_key="2024", raise_on_error=False)
    assert not result.success
    return dg.build_run_status_sensor_context(
        "notify_failure", result.get_run_failure_event(), instance, result.dagster_run
    ).for_run_failure()


def test_a_failed_run_is_posted_with_place_and_remedy(
    lake: Lake, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WEBHOOK_VARIABLE, receiver.address)
    monkeypatch.setenv("ANALYTICS_UI_URL", "https://dagster.example.org/")
    with dg.DagsterInstance.ephemeral() as instance:
        context = fail(lake, instance)
        notify_failure(context)
    [message] = receiver.received
    assert message["job"] == "yearly_job" and message["year"] == "2024"
    assert message["address"] == f"https://dagster.example.org/runs/{message['run_id']}"
    [step] = message["steps"]
    assert step["step"] == "event_chunks"
    assert str(lake.raw("2024")) in step["error"] and "Put the year's Amplitude export" in step["error"]
    for part in ("yearly_job of 2024 failed", step["error"], message["address"]):
        assert part in message["text"]
    assert len(step["error"]) <= CUT
    assert "secret-token" not in json.dumps(message)


def test_a_busy_receiver_is_asked_again(receiver: Receiver) -> None:
    receiver.answers = [503, 500]
    send(receiver.address, {"text": "a"})
    assert receiver.received == [{"text": "a"}] * 3


@pytest.mark.parametrize("answers", [[500] * 3, None])
def test_a_receiver_that_stays_away_fails_the_tick_and_is_not_named(
    receiver: Receiver, answers: list[int] | None
) -> None:
    address = receiver.address
    if answers is None:
        address = "http://127.0.0.1:9/hook/secret-token"
    else:
        receiver.answers = answers
    with pytest.raises(RuntimeError, match="did not take the message") as failure:
        send(address, {})
    assert "secret-token" not in str(failure.value)
    assert ("answered 500" in str(failure.value)) is (answers is not None)


def test_without_an_address_there_is_no_such_sensor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WEBHOOK_VARIABLE, raising=False)
    assert "notify_failure" not in [sensor.name for sensor in active_sensors()]
    monkeypatch.setenv(WEBHOOK_VARIABLE, "http://127.0.0.1:1")
    assert "notify_failure" in [sensor.name for sensor in active_sensors()]
