"""When things happen: activity by hour, weekday, month and date.

Put here: ``spark_temporal_patterns``. Keep out: how actors come back over time (``cohorts.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analytics_assets.core.summaries.aggregates import activity_by, stacked
from analytics_assets.core.summaries.frames import Frames

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_HOUR = "lpad(CAST(hour AS STRING), 2, '0')"
_WEEKDAY = "CAST(weekday(date) + 1 AS STRING)"
_DATE = "CAST(date AS STRING)"

BUCKETS = {
    "hour": _HOUR,
    "weekday": _WEEKDAY,
    "weekday_hour": f"concat({_WEEKDAY}, '-', {_HOUR})",
    "month": f"substring({_DATE}, 1, 7)",
    "date": _DATE,
}
"""Bucket of an event by granularity."""


def temporal_patterns(frames: Frames) -> DataFrame:
    """Activity by each granularity with peaks and changes: see ``SPARK_TEMPORAL_PATTERNS``.

    A change is told only between neighbours of the calendar inside the delivery year: events of other years that came
    late must not look like growth.
    """
    bucketed = frames.activity.selectExpr(
        "actor", "is_person", "is_top", "session_key", "events", stacked(BUCKETS, "granularity, bucket")
    )
    counted = activity_by(bucketed, ["granularity", "bucket"])
    busy = "OVER (PARTITION BY population, granularity ORDER BY events DESC, bucket)"
    before = "OVER (PARTITION BY population, granularity ORDER BY bucket)"
    numbered = counted.selectExpr(
        "*",
        f"CAST(row_number() {busy} AS BIGINT) AS busy_place",
        f"granularity NOT IN ('month', 'date') OR substring(bucket, 1, 4) = '{frames.year:04}' AS in_year",
        "CASE granularity WHEN 'date' THEN datediff(CAST(bucket AS DATE), DATE '1970-01-01') "
        "WHEN 'month' THEN 12 * CAST(substring(bucket, 1, 4) AS INT) + CAST(substring(bucket, 6, 2) AS INT) END "
        "AS number",
    )
    changed = numbered.selectExpr(
        "*",
        f"CASE WHEN in_year AND lag(in_year) {before} AND lag(number) {before} = number - 1 "
        f"THEN CAST(events AS DOUBLE) / lag(events) {before} - 1 END AS events_change",
    )
    return changed.drop("number")
