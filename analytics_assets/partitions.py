"""The year partitions that every yearly asset shares.

Put here: the one partitions definition, its first year, and checks of a year. See https://docs.dagster.io/guides/build/partitions-and-backfills

Assets have no backfill policy, not even one that says one run a year: with a policy the runs of a backfill would name a
range of years in place of the year by which the queue, the schedule and the sensors know them.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable

import dagster as dg

from analytics_assets.core.lake import Lake

DEFAULT_FIRST_YEAR = "2024"
FIRST_YEAR_VARIABLE = "ANALYTICS_FIRST_YEAR"


def first_year(lake: Lake) -> str:
    """``ANALYTICS_FIRST_YEAR``, else the earliest year folder under ``raw/``, else 2024."""
    return os.environ.get(FIRST_YEAR_VARIABLE) or next(iter(lake.raw_years()), DEFAULT_FIRST_YEAR)


event_years = dg.TimeWindowPartitionsDefinition(
    start=first_year(Lake.default()),
    fmt="%Y",
    cron_schedule="0 0 1 1 *",
    end_offset=1,  # without it the current year would exist only when it is over
)


def checked_by_year(specs: Iterable[dg.AssetCheckSpec]) -> list[dg.AssetCheckSpec]:
    """Checks of a yearly asset; their results belong to the year that was checked, and the UI shows them there."""
    with warnings.catch_warnings():
        # Partitions of checks are called a preview; without them a year shows its checks as skipped.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [spec._replace(partitions_def=event_years) for spec in specs]
