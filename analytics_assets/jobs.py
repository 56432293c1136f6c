"""The two jobs: one per year, one over all years.

Put here: asset jobs. Mixing partitioned and unpartitioned assets in one job would retrain every model for each year.
"""

from __future__ import annotations

import dagster as dg

from analytics_assets.executors import step_processes

YEARLY_GROUPS = ("ingestion", "spark_summaries", "features")
MODEL_GROUPS = ("models", "reports")
YEARLY_REPORTS = ("exploration_notebook",)
"""Reports of one year, which go with the year and not with the models."""

yearly_job = dg.define_asset_job(
    "yearly_job",
    selection=dg.AssetSelection.groups(*YEARLY_GROUPS, include_sources=True)
    | dg.AssetSelection.assets(*YEARLY_REPORTS),
    description="One year from raw files to summaries, features and its notebook.",
    executor_def=step_processes,
)

models_job = dg.define_asset_job(
    "models_job",
    selection=dg.AssetSelection.groups(*MODEL_GROUPS) - dg.AssetSelection.assets(*YEARLY_REPORTS),
    description="Every model and report over all materialized years.",
    executor_def=step_processes,
)
