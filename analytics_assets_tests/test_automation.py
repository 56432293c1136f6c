"""The nightly schedule and the sensors decide as documented, over nights, years, and failing runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.definitions.automation_tick_evaluation_context import build_run_requests_with_backfill_policies
from dagster._core.definitions.events import AssetKeyPartitionKey
from dagster._utils.schedules import schedule_execution_time_iterator

from analytics_assets.automation import AFTER_RUN_TAG, PARTITION_TAG, YEARLY_ASSETS, current_years, training
from analytics_assets.core.errors import PipelineError
from analytics_assets.core.ingest.digests import raw_digest
from analytics_assets.core.lake import Lake
from analytics_assets.definitions import build_defs
from analytics_assets.jobs import models_job
from analytics_assets.notifications import WEBHOOK_VARIABLE
from analytics_assets.resources.lake import LakeResource
from analytics_assets.schedules import NIGHTLY_CRON, TIMEZONE_VARIABLE, nightly, nightly_decision, time_zone
from analytics_assets.sensors import models_after_year, new_raw_files, notify_failure
from analytics_assets_tests.webhook import receiving

NIGHT = datetime(2025, 3, 9, 2, 0, tzinfo=UTC)
SUCCESS, FAILURE = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def raw_lake(lake: Lake) -> Lake:
    deliver(lake, "2025")
    return lake


def deliver(lake: Lake, year: str, name: str = "export.json") -> None:
    lake.raw(year).mkdir(parents=True, exist_ok=True)
    (lake.raw(year) / name).write_text(f'[{{"event_type": "{name}"}}]')


def materialize(
    instance: dg.DagsterInstance, lake: Lake, year: str = "2025", names: tuple[str, ...] = YEARLY_ASSETS
) -> None:
    for name in names:
        instance.report_runless_asset_event(
            dg.AssetMaterialization(name, partition=year, metadata={"raw_digest": raw_digest(lake, year)})
        )


def years_of(decision: list[dg.RunRequest] | dg.SkipReason) -> list[str | None]:
    return [] if isinstance(decision, dg.SkipReason) else [request.partition_key for request in decision]


def test_new_files_request_the_current_year(instance: dg.DagsterInstance, raw_lake: Lake) -> None:
    assert years_of(nightly_decision(instance, raw_lake, NIGHT)) == ["2025"]


def test_unchanged_files_are_skipped(instance: dg.DagsterInstance, raw_lake: Lake) -> None:
    materialize(instance, raw_lake)
    decision = nightly_decision(instance, raw_lake, NIGHT)
    assert isinstance(decision, dg.SkipReason)
    assert decision.skip_message is not None and raw_digest(raw_lake, "2025")[:12] in decision.skip_message


@pytest.mark.parametrize("missing", ["event_chunks", "spark_stickiness", "dropped_events", "data_quality"])
def test_a_half_finished_year_is_asked_for_again(instance: dg.DagsterInstance, raw_lake: Lake, missing: str) -> None:
    materialize(instance, raw_lake, names=tuple(name for name in YEARLY_ASSETS if name != missing))
    assert years_of(nightly_decision(instance, raw_lake, NIGHT)) == ["2025"]


def test_every_asset_of_the_yearly_job_is_looked_at() -> None:
    keys = build_defs().resolve_job_def("yearly_job").asset_layer.executable_asset_keys
    assert {key.to_user_string() for key in keys} == {"raw_export", *YEARLY_ASSETS}


def test_no_files_is_a_skip_that_names_the_folder(instance: dg.DagsterInstance, lake: Lake) -> None:
    decision = nightly_decision(instance, lake, NIGHT)
    assert isinstance(decision, dg.SkipReason)
    assert str(lake.raw("2025")) in str(decision.skip_message)


def test_each_night_observes_the_files(instance: dg.DagsterInstance, raw_lake: Lake) -> None:
    nightly_decision(instance, raw_lake, NIGHT)
    [record] = instance.fetch_observations(dg.AssetKey("raw_export"), limit=5).records
    assert record.partition_key == "2025"
    assert record.asset_observation is not None
    assert record.asset_observation.tags["dagster/data_version"] == raw_digest(raw_lake, "2025")


@pytest.mark.parametrize(
    ("night", "expected"),
    [
        (datetime(2025, 12, 31, 2, tzinfo=UTC), ["2025"]),
        (datetime(2026, 1, 1, 2, tzinfo=UTC), ["2025", "2026"]),
        (datetime(2026, 1, 14, 2, tzinfo=UTC), ["2025", "2026"]),
        (datetime(2026, 1, 15, 2, tzinfo=UTC), ["2026"]),
        (datetime(2024, 2, 29, 2, tzinfo=UTC), ["2024"]),
        # Local midnight has passed, in UTC it is still the old year.
        (datetime(2026, 1, 1, 2, tzinfo=ZoneInfo("Asia/Tokyo")), ["2025", "2026"]),
        (datetime(2025, 12, 31, 2, tzinfo=ZoneInfo("America/Los_Angeles")), ["2025"]),
    ],
)
def test_the_last_days_of_a_year_are_asked_for_in_the_next(night: datetime, expected: list[str]) -> None:
    assert current_years(night) == expected


def test_december_delivered_in_january_is_not_missed(instance: dg.DagsterInstance, raw_lake: Lake) -> None:
    materialize(instance, raw_lake)
    deliver(raw_lake, "2025", "december-31.json")
    night = datetime(2026, 1, 1, 2, tzinfo=UTC)
    assert years_of(nightly_decision(instance, raw_lake, night)) == ["2025"]
    deliver(raw_lake, "2026")
    assert years_of(nightly_decision(instance, raw_lake, night)) == ["2025", "2026"]


def test_a_year_that_is_running_is_not_asked_for_twice(instance: dg.DagsterInstance, raw_lake: Lake) -> None:
    run = yearly_run(instance, "2025", dg.DagsterRunStatus.STARTED)
    decision = nightly_decision(instance, raw_lake, NIGHT)
    assert isinstance(decision, dg.SkipReason)
    assert run.run_id in str(decision.skip_message)


def test_the_schedule_asks_through_dagster(raw_lake: Lake) -> None:
    assert nightly.cron_schedule == NIGHTLY_CRON == "0 2 * * *"
    with (
        dg.instance_for_test() as instance,
        dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=NIGHT,
            repository_def=build_defs().get_repository_def(),
            resources={"lake": LakeResource(root=str(raw_lake.root))},
        ) as context,
    ):
        data = nightly.evaluate_tick(context)
    [request] = data.run_requests or []
    assert request.partition_key == "2025"
    assert request.tags[PARTITION_TAG] == "2025"


def ticks(zone: str, start: datetime, count: int) -> list[datetime]:
    iterator = schedule_execution_time_iterator(start.timestamp(), NIGHTLY_CRON, zone, ascending=True)
    return [next(iterator) for _ in range(count)]


def test_the_clock_change_neither_skips_nor_repeats_a_night(monkeypatch: pytest.MonkeyPatch) -> None:
    """In Oslo 02:00 does not exist on 30 March 2025 and comes twice on 26 October."""
    for start in (datetime(2025, 3, 28, 12, tzinfo=UTC), datetime(2025, 10, 24, 12, tzinfo=UTC)):
        days = [tick.astimezone(ZoneInfo("Europe/Oslo")).date() for tick in ticks("Europe/Oslo", start, 5)]
        assert days == [start.date() + timedelta(days=n) for n in range(1, 6)]
    monkeypatch.setenv(TIMEZONE_VARIABLE, "Europe/Oslo")
    assert time_zone() == "Europe/Oslo"
    monkeypatch.setenv(TIMEZONE_VARIABLE, "Europe/Nowhere")
    with pytest.raises(PipelineError, match="there is no time zone 'Europe/Nowhere'"):
        time_zone()


def fail_run(instance: dg.DagsterInstance, year: str) -> dg.RunFailureSensorContext:
    """A yearly run that breaks, and what Dagster then tells the sensor."""
    run = yearly_run(instance, year, dg.DagsterRunStatus.STARTED)
    event = instance.report_run_failed(run, "The export is damaged.")
    return dg.build_run_status_sensor_context("notify_failure", event, instance, run).for_run_failure()


def test_ten_nights(instance: dg.DagsterInstance, raw_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unchanged nights skip; one new file is one run and one training; a failing year alerts and waits for the night.

    A file arrives before the third night, whose run and that of the fourth fail.
    """
    asked, trained, alerted, reasons = [], [], [], {}
    with receiving() as webhook:
        monkeypatch.setenv(WEBHOOK_VARIABLE, webhook.address)
        for night, tick in enumerate(ticks("UTC", datetime(2025, 3, 1, 3, tzinfo=UTC), 10)):
            if night == 3:
                deliver(raw_lake, "2025", "later.json")
            for _ in range(2):  # the daemon may look at one tick twice
                decision = nightly_decision(instance, raw_lake, tick)
                if isinstance(decision, dg.SkipReason):
                    reasons[night] = decision.skip_message
                    continue
                [request] = decision
                assert request.partition_key == "2025"
                if (night, request.run_key) in asked:
                    continue  # Dagster starts one run for each key
                asked.append((night, request.run_key))
                if night in (3, 4):
                    notify_failure(fail_run(instance, "2025"))
                else:
                    yearly_run(instance, "2025", SUCCESS)
                    materialize(instance, raw_lake)
            for _ in range(3):
                follow_up = training(instance)
                if isinstance(follow_up, dg.RunRequest):
                    trained.append(night)
                    training_run(instance, follow_up)
            if len(webhook.received) > len(alerted):
                alerted.append(night)
    assert [night for night, _ in asked] == [0, 3, 4, 5]
    assert len({key for _, key in asked}) == 4
    assert trained == [0, 5]
    assert alerted == [3, 4] and len(webhook.received) == 2
    assert all("yearly_job of 2025 failed" in message["text"] for message in webhook.received)
    unchanged = [night for night, reason in reasons.items() if reason and "is unchanged since" in reason]
    assert {1, 2, 6, 7, 8, 9} <= set(unchanged)


def test_run_keys_let_a_failed_night_be_repeated_the_next_night_only(
    instance: dg.DagsterInstance, raw_lake: Lake
) -> None:
    def keys(night: datetime) -> list[str | None]:
        decision = nightly_decision(instance, raw_lake, night)
        return [] if isinstance(decision, dg.SkipReason) else [request.run_key for request in decision]

    assert keys(NIGHT) == keys(NIGHT + timedelta(minutes=5))
    assert keys(NIGHT) != keys(NIGHT + timedelta(days=1))


def yearly_run(
    instance: dg.DagsterInstance, year: str, status: dg.DagsterRunStatus, assets: set[str] | None = None
) -> dg.DagsterRun:
    job = build_defs().resolve_job_def("yearly_job")
    run = instance.create_run_for_job(
        job,
        status=status,
        tags={PARTITION_TAG: year},
        asset_selection=frozenset(dg.AssetKey(name) for name in assets) if assets else None,
    )
    return run


def training_run(instance: dg.DagsterInstance, request: dg.RunRequest) -> dg.DagsterRun:
    job = build_defs().resolve_job_def(models_job.name)
    return instance.create_run_for_job(job, status=SUCCESS, tags=dict(request.tags))


def test_training_follows_the_last_of_several_years_once(instance: dg.DagsterInstance) -> None:
    assert isinstance(training(instance), dg.SkipReason)
    yearly_run(instance, "2024", SUCCESS)
    last = yearly_run(instance, "2025", SUCCESS)
    waiting = yearly_run(instance, "2026", dg.DagsterRunStatus.NOT_STARTED)
    assert waiting.run_id in str(training(instance).skip_message)  # type: ignore[union-attr]
    instance.delete_run(waiting.run_id)
    request = training(instance)
    assert isinstance(request, dg.RunRequest)
    assert request.run_key == request.tags[AFTER_RUN_TAG] == last.run_id
    training_run(instance, request)
    assert isinstance(training(instance), dg.SkipReason)


def test_runs_of_a_backfill_name_their_year(instance: dg.DagsterInstance) -> None:
    """The queue, the schedule and the sensors know a yearly run by this tag, whoever asked for it."""
    asked = [AssetKeyPartitionKey(dg.AssetKey(name), year) for name in YEARLY_ASSETS for year in ("2024", "2025")]
    graph = build_defs().resolve_asset_graph()
    requests = build_run_requests_with_backfill_policies(asked, graph, instance)
    assert sorted(request.tags[PARTITION_TAG] for request in requests) == ["2024", "2025"]
    assert all(len(request.asset_selection or []) == len(YEARLY_ASSETS) for request in requests)


def test_a_training_that_somebody_else_started_counts(instance: dg.DagsterInstance) -> None:
    yearly_run(instance, "2025", SUCCESS)
    training_run(instance, dg.RunRequest())
    assert isinstance(training(instance), dg.SkipReason)


def test_training_follows_also_when_the_last_year_failed(instance: dg.DagsterInstance) -> None:
    good = yearly_run(instance, "2024", SUCCESS)
    yearly_run(instance, "2025", FAILURE)
    request = training(instance)
    assert isinstance(request, dg.RunRequest) and request.run_key == good.run_id


def test_a_run_that_changes_nothing_models_read_is_not_followed(instance: dg.DagsterInstance) -> None:
    good = yearly_run(instance, "2024", SUCCESS)
    training_run(instance, dg.RunRequest(tags={AFTER_RUN_TAG: good.run_id}))
    yearly_run(instance, "2025", SUCCESS, {"spark_latency"})
    assert isinstance(training(instance), dg.SkipReason)
    yearly_run(instance, "2025", SUCCESS, {"spark_latency", "sessions"})
    assert isinstance(training(instance), dg.RunRequest)


@pytest.mark.parametrize(("status", "waits"), [("REQUESTED", True), ("CANCELING", True), ("COMPLETED_FAILED", False)])
def test_training_waits_for_a_backfill(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, status: str, waits: bool
) -> None:
    yearly_run(instance, "2024", SUCCESS)
    backfill = SimpleNamespace(backfill_id="abc", status=SimpleNamespace(value=status))
    monkeypatch.setattr(instance, "get_backfills", lambda **_more: [backfill])
    decision = training(instance)
    assert isinstance(decision, dg.SkipReason) is waits
    if waits:
        assert "abc" in str(decision.skip_message)  # type: ignore[union-attr]


def test_the_training_sensor_says_what_the_history_says(instance: dg.DagsterInstance) -> None:
    run = yearly_run(instance, "2025", SUCCESS)
    request = models_after_year(dg.build_sensor_context(instance=instance))
    assert isinstance(request, dg.RunRequest) and request.run_key == run.run_id
    assert models_after_year.default_status == dg.DefaultSensorStatus.RUNNING


def look(instance: dg.DagsterInstance, lake: Lake, cursor: str | None) -> Any:
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, resources={"lake": LakeResource(root=str(lake.root))}
    )
    return new_raw_files(context)


def test_new_files_of_any_year_are_asked_for_when_they_have_settled(
    instance: dg.DagsterInstance, raw_lake: Lake
) -> None:
    assert new_raw_files.default_status == dg.DefaultSensorStatus.STOPPED
    deliver(raw_lake, "2019")
    deliver(raw_lake, "1999")  # before the first year
    first = look(instance, raw_lake, None)
    assert not first.run_requests and "2019, 2025 may still be growing" in first.skip_reason.skip_message
    deliver(raw_lake, "2025", "more.json")
    second = look(instance, raw_lake, first.cursor)
    assert [request.partition_key for request in second.run_requests] == ["2019"]
    third = look(instance, raw_lake, second.cursor)
    assert [request.partition_key for request in third.run_requests] == ["2019", "2025"]
    assert third.run_requests[0].run_key == second.run_requests[0].run_key, "one delivery is asked for once"
    for year in ("2019", "2025"):
        materialize(instance, raw_lake, year)
    last = look(instance, raw_lake, third.cursor)
    assert not last.run_requests and last.skip_reason.skip_message == "No year has new files."
