"""What is left to do: years whose files are not the ones materialized, and models that have not seen the latest year.

Put here: decisions from the run history and the raw files, which schedule and sensors share. Keep out: when they are
asked (``schedules.py``, ``sensors.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.ingest.digests import raw_digests
from analytics_assets.core.ingest.sources import digest_of
from analytics_assets.core.lake import Lake
from analytics_assets.jobs import YEARLY_REPORTS, models_job
from analytics_assets.partitions import event_years
from analytics_assets.schemas import FEATURE_TABLES, SUMMARY_TABLES

YEARLY_ASSETS = (
    "event_chunks",
    *(table.name for table in SUMMARY_TABLES),
    *(table.name for table in FEATURE_TABLES),
    "data_quality",
    *YEARLY_REPORTS,
)
"""Everything that is made from one delivery: when all of it was, nothing of the delivery is left to do."""

MODEL_INPUTS = {"clean_events", "sessions", "user_features", "daily_metrics"}
"""What models read: a run that made none of these leaves them as they are."""

LATE_DAYS = 14
"""Days into a new year in which the old one is looked at too: its last days are delivered after it is over."""

IN_PROGRESS = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

ENDED_BACKFILLS = {"COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED"}
LOOKED_BACK = 20
"""Backfills and runs looked at, latest first: what is older has been followed long ago."""

PARTITION_TAG = "dagster/partition"
AFTER_RUN_TAG = "analytics/after_run"
"""Tag of a training run: the yearly run that it follows."""


@dataclass(frozen=True)
class Delivery:
    """The raw files of one year, and whether they are still to be materialized.

    Parameters
    ----------
    year : str
    digest : str
        Of all files; empty when there are none.
    files : int
    nothing_to_do : str
        Why no run is needed; empty when one is.
    """

    year: str
    digest: str
    files: int
    nothing_to_do: str


def current_years(now: datetime) -> list[str]:
    """The year of `now`, and for `LATE_DAYS` also the year before."""
    return sorted({str((now - timedelta(days=LATE_DAYS)).year), str(now.year)})


def materialized_digests(instance: dg.DagsterInstance, year: str) -> set[str | None]:
    """Digests of the raw files that the yearly assets were made from; None where one was never made."""
    digests: set[str | None] = set()
    for name in YEARLY_ASSETS:
        found = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=dg.AssetKey(name), asset_partitions=[year]), limit=1
        ).records
        event = found[0].asset_materialization if found else None
        entry = event.metadata.get("raw_digest") if event else None
        digests.add(str(entry.value) if entry else None)
    return digests


def delivery(instance: dg.DagsterInstance, lake: Lake, year: str) -> Delivery:
    """Compare a year's files with what was materialized from them."""
    try:
        digests = raw_digests(lake, year)
        digest = digest_of(digests)
    except PipelineError as error:
        return Delivery(year, "", 0, str(error))
    if materialized_digests(instance, year) == {digest}:
        reason = f"raw/{year} is unchanged since it was materialized (digest {digest[:12]})."
        return Delivery(year, digest, len(digests), reason)
    busy = instance.get_runs(dg.RunsFilter(tags={PARTITION_TAG: year}, statuses=IN_PROGRESS), limit=1)
    if busy:
        return Delivery(year, digest, len(digests), f"Run {busy[0].run_id} of {year} is not over.")
    return Delivery(year, digest, len(digests), "")


def training(instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    """Ask for the models once after the last of any number of yearly runs, failed ones among them or not."""
    years = list(event_years.get_partition_keys())
    busy = instance.get_runs(dg.RunsFilter(tags={PARTITION_TAG: years}, statuses=IN_PROGRESS), limit=1)
    if busy:
        return dg.SkipReason(f"Run {busy[0].run_id} of a year is not over; training follows the last one.")
    backfills = instance.get_backfills(limit=LOOKED_BACK)
    active = next((backfill for backfill in backfills if backfill.status.value not in ENDED_BACKFILLS), None)
    if active is not None:
        return dg.SkipReason(f"Backfill {active.backfill_id} is not over; training follows its last run.")
    succeeded = dg.RunsFilter(tags={PARTITION_TAG: years}, statuses=[dg.DagsterRunStatus.SUCCESS])
    done = instance.get_run_records(succeeded, limit=LOOKED_BACK)
    record = next((found for found in done if _made_inputs(found.dagster_run)), None)
    if record is None:
        return dg.SkipReason("No year has been materialized by a run yet.")
    last = record.dagster_run
    over = datetime.fromtimestamp(record.end_time, UTC) if record.end_time else record.create_timestamp
    # Whoever started it: `analytics demo` and people train, too.
    later = instance.get_runs(dg.RunsFilter(job_name=models_job.name, created_after=over), limit=1)
    if later:
        return dg.SkipReason(f"Run {later[0].run_id} already followed the last yearly run {last.run_id}.")
    return dg.RunRequest(run_key=last.run_id, tags={AFTER_RUN_TAG: last.run_id})


def _made_inputs(run: dg.DagsterRun) -> bool:
    """Whether a run made something that models read."""
    chosen = run.asset_selection
    return chosen is None or bool({key.to_user_string() for key in chosen} & MODEL_INPUTS)
