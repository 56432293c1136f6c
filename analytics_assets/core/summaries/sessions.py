"""How long and how varied sessions are.

Put here: ``spark_session_behavior``. Keep out: what follows what inside a session (``sequences.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analytics_assets.core.summaries.aggregates import QUANTILES, distributions, stacked
from analytics_assets.core.summaries.frames import Frames, by_population

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

MEASURES = {
    "duration_seconds": "duration_us",
    "events": "events",
    "event_types": "event_types",
    "intent_events": "intent_events",
}
"""Whole number behind each measure: durations are in microseconds until they are published."""


def session_behavior(frames: Frames) -> DataFrame:
    """Distributions of session measures over sessions and over events: see ``SPARK_SESSION_BEHAVIOR``."""
    from pyspark.sql import functions as F

    measured = frames.sessions.selectExpr("is_person", "is_top", "events", stacked(MEASURES, "measure, number"))
    counted = (
        by_population(measured)
        .groupBy("population", "measure", "number")
        .agg(F.count(F.lit(1)).alias("sessions"), F.sum("events").alias("events"))
    )
    weighted = counted.selectExpr(
        "population", "measure", "number", "stack(2, 'sessions', sessions, 'events', events) AS (weighting, times)"
    )
    unit = "CASE WHEN measure = 'duration_seconds' THEN 1e6D ELSE 1D END"
    described = distributions(weighted, ["population", "measure", "weighting"])
    reals = ("mean", "std", "min", *QUANTILES, "max")
    return described.selectExpr(
        "population", "measure", "weighting", "observations", *(f"{name} / {unit} AS {name}" for name in reals)
    )
