"""The nightly schedule and the training sensor decide as documented."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
import pytest

from analytics_assets.core.ingest.digests import raw_digest
from analytics_assets.core.lake import Lake
from analytics_assets.definitions import build_defs
from analytics_assets.resources.lake import LakeResource
from analytics_assets.schedules import LAST_YEARLY_ASSETS, nightly, nightly_decision
from analytics_assets.sensors import models_after_year

NIGHT = datetime(2025, 3, 9, 2, 0, tzinfo=UTC)


@pytest.fixture
def raw_lake(lake: Lake) -> Lake:
    lake.raw("2025").mkdir(parents=True)
    (lake.raw("2025") / "export.json").write_text('[{"event_type": "a"}]')
    return lake


def materialize(instance: dg.DagsterInstance, digest: str, names: tuple[str, ...] = LAST_YEARLY_ASSETS) -> None:
    for name in names:
        instance.report_runless_asset_event(
            dg.AssetMaterialization(name, partition="2025", metadata={"raw_digest": digest})
        )


def test_new_files_request_the_current_year(raw_lake: Lake) -> None:
    with dg.instance_for_test() as instance:
        decision = nightly_decision(instance, raw_lake, NIGHT)
    assert isinstance(decision, dg.RunRequest)
    assert decision.partition_key == "2025"


def test_unchanged_files_are_skipped(raw_lake: Lake) -> None:
    digest = raw_digest(raw_lake, "2025")
    with dg.instance_for_test() as instance:
        materialize(instance, digest)
        decision = nightly_decision(instance, raw_lake, NIGHT)
    assert isinstance(decision, dg.SkipReason)
    assert decision.skip_message is not None and digest[:12] in decision.skip_message


def test_a_half_finished_year_is_asked_for_again(raw_lake: Lake) -> None:
    with dg.instance_for_test() as instance:
        materialize(instance, raw_digest(raw_lake, "2025"), LAST_YEARLY_ASSETS[:-1])
        assert isinstance(nightly_decision(instance, raw_lake, NIGHT), dg.RunRequest)


def test_a_changed_file_is_asked_for_again(raw_lake: Lake) -> None:
    with dg.instance_for_test() as instance:
        materialize(instance, raw_digest(raw_lake, "2025"))
        (raw_lake.raw("2025") / "later.json").write_text("[]")
        assert isinstance(nightly_decision(instance, raw_lake, NIGHT), dg.RunRequest)


def test_no_files_is_a_skip_that_names_the_folder(lake: Lake) -> None:
    with dg.instance_for_test() as instance:
        decision = nightly_decision(instance, lake, NIGHT)
    assert isinstance(decision, dg.SkipReason)
    assert str(lake.raw("2025")) in str(decision.skip_message)


def test_new_year_belongs_to_the_new_year(raw_lake: Lake) -> None:
    with dg.instance_for_test() as instance:
        decision = nightly_decision(instance, raw_lake, datetime(2026, 1, 1, 2, 0, tzinfo=UTC))
    assert isinstance(decision, dg.SkipReason)
    assert "2026" in str(decision.skip_message)


def test_schedule_runs_at_two_and_only_asks_for_one_year(raw_lake: Lake) -> None:
    assert nightly.cron_schedule == "0 2 * * *"
    with (
        dg.instance_for_test() as instance,
        dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=NIGHT,
            resources={"lake": LakeResource(root=str(raw_lake.root))},
        ) as context,
    ):
        request = nightly(context)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == "2025"


def _sensor_result(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.RunRequest | dg.SkipReason:
    event = dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, run.job_name)
    context = dg.build_run_status_sensor_context(
        sensor_name="models_after_year", dagster_event=event, dagster_instance=instance, dagster_run=run
    )
    result = models_after_year(context)
    assert isinstance(result, dg.RunRequest | dg.SkipReason)
    return result


def test_training_follows_the_last_year_only() -> None:
    job = build_defs().resolve_job_def("yearly_job")
    with dg.instance_for_test() as instance:
        done = instance.create_run_for_job(job, status=dg.DagsterRunStatus.SUCCESS)
        waiting = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
        assert isinstance(_sensor_result(instance, done), dg.SkipReason)
        instance.delete_run(waiting.run_id)
        request = _sensor_result(instance, done)
    assert isinstance(request, dg.RunRequest)
    assert request.run_key == done.run_id
