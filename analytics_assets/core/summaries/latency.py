"""How long events travel.

Put here: ``spark_latency``. Keep out: what late arrivals mean for a year (``core/features/quality.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analytics_assets.core.summaries.aggregates import distributions, stacked
from analytics_assets.core.summaries.frames import Frames, by_population

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

CLOCK_LIMIT_US = 60_000_000
"""Microseconds between the device's clock and the server's beyond which the vendor no longer trusts the device's."""

_UPLOAD = "timestampdiff(MICROSECOND, client_upload_time, server_received_time)"
MEASURES = {
    "upload_ms": f"CASE WHEN abs({_UPLOAD}) <= {CLOCK_LIMIT_US} THEN {_UPLOAD} END",
    "processing_ms": "timestampdiff(MICROSECOND, server_received_time, processed_time)",
}
"""Microseconds behind each measure; null where there is none that counts."""

DIMENSIONS = {
    "overall": "CAST(NULL AS STRING)",
    "country": "country",
    "hour": "lpad(CAST(hour AS STRING), 2, '0')",
}
"""Value of an event by dimension."""


def latency(frames: Frames) -> DataFrame:
    """Upload and processing latency overall, by country and by hour: see ``SPARK_LATENCY``."""
    from pyspark.sql import functions as F

    measured = frames.uploads.selectExpr(
        "is_person", "is_top", "country", "hour", "events AS times", stacked(MEASURES, "measure, number")
    )
    valued = measured.selectExpr(
        "is_person", "is_top", "measure", "number", "times", stacked(DIMENSIONS, "dimension, value")
    )
    classes = ["measure", "dimension", "value", "number"]
    by_class = valued.groupBy("is_person", "is_top", *classes).agg(F.sum("times").alias("times"))
    counted = by_population(by_class).groupBy("population", *classes).agg(F.sum("times").alias("times"))
    described = distributions(counted, ["population", "measure", "dimension", "value"])
    return described.selectExpr(
        "population",
        "measure",
        "dimension",
        "value",
        "observations AS events",
        "left_out",
        *(f"{name} / 1000D AS {name}" for name in ("mean", "median", "p95", "p99")),
    )
