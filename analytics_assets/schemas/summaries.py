"""Tables computed by Spark from one year's chunks.

Put here: their columns. Keep out: their computation (``core/summaries``).
"""

from __future__ import annotations

from analytics_assets.schemas.columns import Column, Table, count, real, text

SPARK_DATASET_OVERVIEW = Table(
    "spark_dataset_overview",
    "One row per source column and per derived identity (time, actor, session_key): completeness and variety.",
    (
        text("column_name", "Name of the column.", nullable=False),
        text("column_type", "Its type in the schema.", nullable=False),
        count("events", "All events of the year."),
        count("nulls", "Events without a value, null tokens included."),
        real("null_share", "nulls / events.", "share"),
        count("distinct_values", "Distinct values, nulls left out."),
        text("min_value", "Smallest value as text."),
        text("max_value", "Largest value as text."),
        text("top_value", "Most frequent value; ties go to the smallest text."),
        Column("top_value_events", "int64", "Events with the most frequent value.", unit="rows"),
    ),
    key=("column_name",),
)

SPARK_TEMPORAL_PATTERNS = Table(
    "spark_temporal_patterns",
    "Events, actors and sessions by UTC hour, weekday (1 = Monday), weekday and hour, month and date.",
    (
        text("granularity", "hour, weekday, weekday_hour, month or date.", nullable=False),
        text("bucket", "The bucket as text: 07, 1, 1-07, 2024-03 or 2024-03-09.", nullable=False),
        count("events", "Events in the bucket."),
        count("actors", "Distinct actors with an event in the bucket."),
        count("sessions", "Distinct sessions with an event in the bucket."),
    ),
    key=("granularity", "bucket"),
)

SPARK_SESSION_BEHAVIOR = Table(
    "spark_session_behavior",
    "Distribution of session measures over sessions, and over events (each event carrying its session's value).",
    (
        text("measure", "duration_seconds, events or event_types.", nullable=False),
        text("weighting", "sessions or events: what one observation is.", nullable=False),
        count("observations", "Number of observations."),
        real("mean", "Arithmetic mean."),
        real("std", "Sample standard deviation; null for fewer than two observations."),
        real("min", "Minimum."),
        real("p25", "25th percentile, linear interpolation."),
        real("median", "50th percentile, linear interpolation."),
        real("p75", "75th percentile, linear interpolation."),
        real("p95", "95th percentile, linear interpolation."),
        real("max", "Maximum."),
    ),
    key=("measure", "weighting"),
)

SPARK_EVENT_TRANSITIONS = Table(
    "spark_event_transitions",
    "Which event follows which inside a session, and which events open and close sessions.",
    (
        text("kind", "transition, entry (from_event is null) or exit (to_event is null).", nullable=False),
        text("from_event", "Event that was left."),
        text("to_event", "Event that followed at once."),
        count("transitions", "Occurrences."),
        real(
            "probability",
            "Transition: over all that leave from_event. Entry, exit: over all sessions.",
            "share",
            nullable=False,
        ),
    ),
    key=("kind", "from_event", "to_event"),
)

SPARK_GEOGRAPHY = Table(
    "spark_geography",
    "Events, actors and sessions by country, by region and by city; a null place is a row of its own.",
    (
        text("level", "country, region or city.", nullable=False),
        text("country", "Country."),
        text("region", "Region; null at level country."),
        text("city", "City; null at levels country and region."),
        count("events", "Events."),
        count("actors", "Distinct actors."),
        count("sessions", "Distinct sessions."),
        real("event_share", "events over all events of the year.", "share", nullable=False),
    ),
    key=("level", "country", "region", "city"),
)

SPARK_DEVICE_USAGE = Table(
    "spark_device_usage",
    "Events, actors and sessions by each device dimension; a missing value is a row of its own.",
    (
        text("dimension", "device_family, device_type, os_name, os_version, platform, language.", nullable=False),
        text("value", "Value of the dimension; os_version is prefixed with its os_name."),
        count("events", "Events."),
        count("actors", "Distinct actors."),
        count("sessions", "Distinct sessions."),
        real("event_share", "events over all events of the year.", "share", nullable=False),
    ),
    key=("dimension", "value"),
)

SUMMARY_TABLES: tuple[Table, ...] = (
    SPARK_DATASET_OVERVIEW,
    SPARK_TEMPORAL_PATTERNS,
    SPARK_SESSION_BEHAVIOR,
    SPARK_EVENT_TRANSITIONS,
    SPARK_GEOGRAPHY,
    SPARK_DEVICE_USAGE,
)
