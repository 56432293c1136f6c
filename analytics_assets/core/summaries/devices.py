"""What events are sent with.

Put here: ``spark_device_usage``. Keep out: where from (``places.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analytics_assets.core.summaries.aggregates import activity_by, stacked, with_share
from analytics_assets.core.summaries.frames import DEVICE_COLUMNS, Frames

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_NONE = "CAST(NULL AS STRING)"
DIMENSIONS = {
    **{name: f"{_NONE}, {name}" for name in DEVICE_COLUMNS},
    "os_version": f"{_NONE}, concat(os_name, ' ', os_version)",
    "country_device_family": "country, device_family",
}
"""Country and value of an event by dimension."""


def device_usage(frames: Frames) -> DataFrame:
    """Activity by each device dimension, and by country and device family: see ``SPARK_DEVICE_USAGE``."""
    valued = frames.activity.selectExpr(
        "actor", "is_person", "is_top", "session_key", "events", stacked(DIMENSIONS, "dimension, country, value")
    )
    return with_share(activity_by(valued, ["dimension", "country", "value"]), ["population", "dimension"])
