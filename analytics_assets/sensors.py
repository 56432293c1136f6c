"""What follows a run, and what follows a delivery.

Put here: sensors. Keep out: what there is to do (``automation.py``), messages (``notifications.py``).
"""

from __future__ import annotations

import json
import os

import dagster as dg

from analytics_assets.automation import delivery, training
from analytics_assets.jobs import models_job, yearly_job
from analytics_assets.notifications import WEBHOOK_VARIABLE, failure_message, send
from analytics_assets.partitions import event_years
from analytics_assets.resources.lake import LakeResource


@dg.sensor(
    job=models_job,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def models_after_year(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Once after the last of any number of yearly runs: retrain.

    It looks at the run history instead of following single runs: a backfill is over only some time after its last run,
    and when that one fails, the years before it still want to be learned from.
    """
    return training(context.instance)


@dg.sensor(
    job=yearly_job,
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.STOPPED,
)
def new_raw_files(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.SensorResult:
    """Off by default, instead of waiting for the night: any year whose files have changed.

    A year is asked for when its files are the same at two looks: a file that still grows is left alone. One delivery
    is asked for once; a failed run waits for other files, or for a person.
    """
    lake.fetch_exports()
    data = lake.lake
    known = set(event_years.get_partition_keys())
    before: dict[str, str] = json.loads(context.cursor or "{}")
    found = [delivery(context.instance, data, year) for year in data.raw_years() if year in known]
    requests = [
        dg.RunRequest(run_key=f"{one.year}-{one.digest}", partition_key=one.year)
        for one in found
        if not one.nothing_to_do and before.get(one.year) == one.digest
    ]
    unsettled = [one.year for one in found if not one.nothing_to_do and before.get(one.year) != one.digest]
    reason = f"Files of {', '.join(unsettled)} may still be growing." if unsettled else "No year has new files."
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else dg.SkipReason(reason),
        cursor=json.dumps({one.year: one.digest for one in found if one.digest}, sort_keys=True),
    )


@dg.run_failure_sensor(default_status=dg.DefaultSensorStatus.RUNNING)
def notify_failure(context: dg.RunFailureSensorContext) -> None:
    """Post every failed run to the webhook of ``ANALYTICS_WEBHOOK_URL``."""
    send(os.environ[WEBHOOK_VARIABLE], failure_message(context))


def active_sensors() -> list[dg.SensorDefinition]:
    """All sensors; the one that notifies is absent, not only stopped, where no webhook is configured."""
    return [models_after_year, new_raw_files, *([notify_failure] if os.environ.get(WEBHOOK_VARIABLE) else [])]
