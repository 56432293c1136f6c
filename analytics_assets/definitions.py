"""The code location: all assets, jobs, schedules, sensors and resources.

Put here: assembly only. Importing this module stays light: libraries for models and Spark are imported inside assets,
because every worker and every step pays for what is imported here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import dagster as dg

from analytics_assets.assets import (
    features,
    forecasts,
    ingestion,
    next_event_models,
    quality,
    reports,
    segments,
    spark_summaries,
)
from analytics_assets.core.lake import default_root
from analytics_assets.jobs import models_job, yearly_job
from analytics_assets.resources.lake import LakeResource
from analytics_assets.resources.spark import SparkResource
from analytics_assets.schedules import nightly
from analytics_assets.sensors import active_sensors


def default_resources() -> dict[str, Any]:
    """Resources as the environment configures them."""
    return {
        "lake": LakeResource(root=str(default_root()), url=os.environ.get("ANALYTICS_LAKE_URL", "")),
        "spark": SparkResource(
            master=os.environ.get("ANALYTICS_SPARK_MASTER", "local[*]"),
            driver_memory=os.environ.get("ANALYTICS_SPARK_DRIVER_MEMORY", "4g"),
            java_options=os.environ.get("ANALYTICS_SPARK_JAVA_OPTIONS", ""),
        ),
    }


def build_defs(*, resource_overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Assemble the code location.

    Parameters
    ----------
    resource_overrides : mapping, optional
        Resources to use instead of the default ones, by name.
    """
    assets = dg.load_assets_from_modules(
        [ingestion, spark_summaries, features, quality, next_event_models, segments, forecasts, reports]
    )
    return dg.Definitions(
        assets=dg.with_source_code_references(assets),
        jobs=[yearly_job, models_job],
        schedules=[nightly],
        sensors=active_sensors(),
        resources={**default_resources(), **(resource_overrides or {})},
    )


defs = build_defs()
