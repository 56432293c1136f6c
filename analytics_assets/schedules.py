"""The nightly run.

Put here: when the current year is asked for. Keep out: what there is to do (``automation.py``).
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import dagster as dg

from analytics_assets.automation import Delivery, current_years, delivery
from analytics_assets.core.errors import PipelineError
from analytics_assets.core.lake import Lake
from analytics_assets.jobs import yearly_job
from analytics_assets.resources.lake import LakeResource

NIGHTLY_CRON = "0 2 * * *"
TIMEZONE_VARIABLE = "ANALYTICS_TIMEZONE"


def time_zone() -> str:
    """Zone of the nightly clock: ``ANALYTICS_TIMEZONE``, else UTC.

    Raises
    ------
    PipelineError
        There is no such zone.
    """
    name = os.environ.get(TIMEZONE_VARIABLE) or "UTC"
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise PipelineError(
            TIMEZONE_VARIABLE, f"there is no time zone {name!r}", "Use a name like Europe/Oslo."
        ) from error
    return name


def nightly_decision(instance: dg.DagsterInstance, lake: Lake, now: datetime) -> list[dg.RunRequest] | dg.SkipReason:
    """Ask for the current year, and in January for the last one, unless the files are the ones already materialized.

    A year that fails is asked for again the next night, once.

    Parameters
    ----------
    instance : dagster.DagsterInstance
        Where materializations are recorded.
    lake : Lake
        Where the raw files lie.
    now : datetime
        Time of the tick in the schedule's zone.
    """
    found = [delivery(instance, lake, year) for year in current_years(now)]
    for one in found:
        _observe(instance, lake, one)
    requests = [
        dg.RunRequest(run_key=f"{one.year}-{one.digest}-{now:%Y-%m-%d}", partition_key=one.year)
        for one in found
        if not one.nothing_to_do
    ]
    return requests or dg.SkipReason(" ".join(one.nothing_to_do for one in found))


def _observe(instance: dg.DagsterInstance, lake: Lake, found: Delivery) -> None:
    """Record what lies in the year's folder, as observing the asset does, without a run."""
    if found.digest:
        instance.report_runless_asset_event(
            dg.AssetObservation(
                "raw_export",
                partition=found.year,
                metadata={
                    "files": found.files,
                    "folder": dg.MetadataValue.path(str(lake.raw(found.year))),
                    "raw_digest": found.digest,
                },
                tags={"dagster/data_version": found.digest},
            )
        )


@dg.schedule(
    job=yearly_job,
    cron_schedule=NIGHTLY_CRON,
    execution_timezone=time_zone(),
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def nightly(context: dg.ScheduleEvaluationContext, lake: LakeResource) -> list[dg.RunRequest] | dg.SkipReason:
    """Every night at 02:00: the current year, when its files have changed; in early January also the year before."""
    now = context.scheduled_execution_time
    lake.fetch_exports(current_years(now))
    return nightly_decision(context.instance, Lake(Path(lake.root)), now)
