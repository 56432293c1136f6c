"""What follows a run.

Put here: run-status sensors.
"""

import dagster as dg

from analytics_assets.jobs import models_job, yearly_job


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[yearly_job],
    request_job=models_job,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def models_after_year(context: dg.RunStatusSensorContext) -> dg.RunRequest | dg.SkipReason:
    """After a successful year: retrain, unless another year is still waiting or running."""
    busy = context.instance.get_runs(
        dg.RunsFilter(
            job_name=yearly_job.name,
            statuses=[
                dg.DagsterRunStatus.QUEUED,
                dg.DagsterRunStatus.NOT_STARTED,
                dg.DagsterRunStatus.STARTING,
                dg.DagsterRunStatus.STARTED,
            ],
        ),
        limit=1,
    )
    if busy:
        return dg.SkipReason(f"Run {busy[0].run_id} of another year is not over; training follows the last one.")
    return dg.RunRequest(run_key=context.dagster_run.run_id)
