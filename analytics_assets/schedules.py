"""The nightly run.

Put here: when the current year is asked for, and when there is nothing to do.
"""

from datetime import datetime
from pathlib import Path

import dagster as dg

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.ingest.digests import raw_digest
from analytics_assets.core.lake import Lake
from analytics_assets.jobs import yearly_job
from analytics_assets.resources.lake import LakeResource

NIGHTLY_CRON = "0 2 * * *"
LAST_YEARLY_ASSETS = (
    "spark_dataset_overview",
    "spark_temporal_patterns",
    "spark_session_behavior",
    "spark_event_transitions",
    "spark_geography",
    "spark_device_usage",
    "user_features",
    "daily_metrics",
    "data_quality",
)
"""Ends of the yearly graph: when all of them were made from a delivery, nothing of it is left to do."""


def materialized_digests(instance: dg.DagsterInstance, year: str) -> set[str | None]:
    """Digests of the raw files that the last assets of one year were made from; None where one was never made."""
    digests: set[str | None] = set()
    for name in LAST_YEARLY_ASSETS:
        found = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=dg.AssetKey(name), asset_partitions=[year]), limit=1
        ).records
        event = found[0].asset_materialization if found else None
        entry = event.metadata.get("raw_digest") if event else None
        digests.add(str(entry.value) if entry else None)
    return digests


def nightly_decision(instance: dg.DagsterInstance, lake: Lake, now: datetime) -> dg.RunRequest | dg.SkipReason:
    """Ask for the current year unless its files are the ones already materialized.

    Parameters
    ----------
    instance : dagster.DagsterInstance
        Where materializations are recorded.
    lake : Lake
        Where the raw files lie.
    now : datetime
        Time of the tick.
    """
    year = str(now.year)
    try:
        digest = raw_digest(lake, year)
    except PipelineError as error:
        return dg.SkipReason(str(error))
    if materialized_digests(instance, year) == {digest}:
        return dg.SkipReason(f"raw/{year} is unchanged since it was materialized (digest {digest[:12]}).")
    return dg.RunRequest(run_key=f"{year}-{digest}-{now:%Y-%m-%d}", partition_key=year)


@dg.schedule(
    job=yearly_job,
    cron_schedule=NIGHTLY_CRON,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def nightly(context: dg.ScheduleEvaluationContext, lake: LakeResource) -> dg.RunRequest | dg.SkipReason:
    """Every night at 02:00: the current year, when its files have changed."""
    return nightly_decision(context.instance, Lake(Path(lake.root)), context.scheduled_execution_time)
