"""Tables computed by Spark from one year's chunks.

Put here: their columns. Keep out: their computation (``core/summaries``).

Every table with a ``population`` holds each figure three times: over ``all`` events, over those of ``people`` (actors
that are neither scripted nor sentinel) and ``without_top_actor`` (all but the most active actor's). A session belongs
to the actor of its first event.
"""

from __future__ import annotations

import math

from analytics_assets.schemas.columns import Column, Table, count, real, text

POPULATIONS = ("all", "people", "without_top_actor")
STREAMS = ("raw", "intent", "screen")

_POPULATION = text("population", "all, people or without_top_actor.", nullable=False)
_STREAM = text(
    "stream",
    "raw: every event; intent: noise removed, runs of one event collapsed; screen: screens of the intent stream, runs "
    "collapsed.",
    nullable=False,
)

SPARK_DATASET_OVERVIEW = Table(
    "spark_dataset_overview",
    "One row per source column and per derived identity (time, actor, session_key): completeness and variety.",
    (
        text("column_name", "Name of the column.", nullable=False),
        text("column_type", "Its type in the schema.", nullable=False),
        count("events", "All events of the year."),
        count("nulls", "Events without a value, null tokens included."),
        real("null_share", "nulls / events.", "share"),
        count("distinct_values", "Distinct values, nulls left out; exact."),
        text("min_value", "Smallest value as text; null for nested columns."),
        text("max_value", "Largest value as text; null for nested columns."),
        text("top_value", "Most frequent value; ties go to the smallest text; null for nested columns."),
        Column("top_value_events", "int64", "Events with the most frequent value.", unit="rows"),
    ),
    key=("column_name",),
)

SPARK_TOP_VALUES = Table(
    "spark_top_values",
    "The 20 most frequent values of every column that is not nested.",
    (
        text("column_name", "Name of the column.", nullable=False),
        Column("place", "int64", "1 for the most frequent; ties go to the smallest text.", nullable=False),
        text("value", "The value as text.", nullable=False),
        count("events", "Events with it."),
        real("event_share", "events over all events of the year.", "share", nullable=False),
    ),
    key=("column_name", "place"),
)

SPARK_TEMPORAL_PATTERNS = Table(
    "spark_temporal_patterns",
    "Events, actors and sessions by UTC hour, weekday (1 = Monday), weekday and hour, month and date, with peaks and "
    "month-over-month change.",
    (
        _POPULATION,
        text("granularity", "hour, weekday, weekday_hour, month or date.", nullable=False),
        text("bucket", "The bucket as text: 07, 1, 1-07, 2024-03 or 2024-03-09.", nullable=False),
        count("events", "Events in the bucket."),
        count("actors", "Distinct actors with an event in the bucket."),
        count("sessions", "Distinct sessions with an event in the bucket."),
        Column(
            "busy_place",
            "int64",
            "1 for the bucket with most events of its granularity; ties go to the earlier.",
            nullable=False,
        ),
        Column(
            "in_year", "bool", "Months and dates: the bucket lies in the delivery year; true elsewhere.", nullable=False
        ),
        real(
            "events_change",
            "Months and dates: events / events of the bucket before - 1; null where either lies outside the year, and "
            "where the one before has no events or is not there.",
            "share",
            minimum=-1,
            maximum=math.inf,
        ),
    ),
    key=("population", "granularity", "bucket"),
)

SPARK_SESSION_BEHAVIOR = Table(
    "spark_session_behavior",
    "Distribution of session measures over sessions, and over events (each event carrying its session's value).",
    (
        _POPULATION,
        text("measure", "duration_seconds, events, event_types or intent_events.", nullable=False),
        text("weighting", "sessions or events: what one observation is.", nullable=False),
        count("observations", "Number of observations."),
        real("mean", "Arithmetic mean."),
        real("std", "Sample standard deviation; null for fewer than two observations."),
        real("min", "Minimum."),
        real("p25", "25th percentile, linear interpolation."),
        real("median", "50th percentile, linear interpolation."),
        real("p75", "75th percentile, linear interpolation."),
        real("p90", "90th percentile, linear interpolation."),
        real("p95", "95th percentile, linear interpolation."),
        real("p99", "99th percentile, linear interpolation."),
        real("max", "Maximum."),
    ),
    key=("population", "measure", "weighting"),
)

SPARK_EVENT_TRANSITIONS = Table(
    "spark_event_transitions",
    "Which event follows which inside a session, and which events open and close sessions, in three streams.",
    (
        _POPULATION,
        _STREAM,
        text("kind", "transition, entry (from_event is null) or exit (to_event is null).", nullable=False),
        text("from_event", "Event that was left."),
        text("to_event", "Event that followed at once."),
        count("transitions", "Occurrences."),
        count("sessions", "Distinct sessions with it."),
        real(
            "probability",
            "Transition: over all that leave from_event. Entry, exit: over all sessions of the stream.",
            "share",
            nullable=False,
        ),
        real(
            "lift",
            "Transition: probability / share of to_event among all transitions' ends. Above 1: follows more often than "
            "chance. Null for entries and exits.",
        ),
        real("median_seconds", "Transition: median time between the two events.", "s"),
        Column("ties", "int64", "Transition: occurrences at equal times, whose order is a convention.", unit="rows"),
        Column(
            "bursts",
            "int64",
            "Transition: occurrences closer than the burst limit, ties included; null elsewhere.",
            unit="rows",
        ),
    ),
    key=("population", "stream", "kind", "from_event", "to_event"),
)

SPARK_EVENT_NGRAMS = Table(
    "spark_event_ngrams",
    "The 100 most frequent runs of 2 to 5 successive events inside a session, in three streams.",
    (
        _POPULATION,
        _STREAM,
        Column("length", "int64", "Number of events, 2 to 5.", nullable=False),
        Column("place", "int64", "1 for the most frequent; ties go to the smallest events.", nullable=False),
        text("event_1", "First event.", nullable=False),
        text("event_2", "Second event.", nullable=False),
        text("event_3", "Third event; null in shorter runs."),
        text("event_4", "Fourth event."),
        text("event_5", "Fifth event."),
        count("occurrences", "Occurrences, overlapping ones included."),
        count("sessions", "Distinct sessions with it."),
        real("occurrence_share", "occurrences over all runs of that length in the stream.", "share", nullable=False),
    ),
    key=("population", "stream", "length", "place"),
)

SPARK_GEOGRAPHY = Table(
    "spark_geography",
    "Events, actors and sessions by country, by region and by city as delivered; a null place is a row of its own.",
    (
        _POPULATION,
        text("level", "country, region or city.", nullable=False),
        text("country", "Country as delivered."),
        text("country_code", "ISO 3166-1 alpha-3 code of the country; null where the text names none."),
        text("region", "Region; null at level country."),
        text("city", "City; null at levels country and region."),
        count("events", "Events."),
        count("actors", "Distinct actors."),
        count("sessions", "Distinct sessions."),
        real("event_share", "events over all events of the population.", "share", nullable=False),
    ),
    key=("population", "level", "country", "region", "city"),
)

SPARK_DEVICE_USAGE = Table(
    "spark_device_usage",
    "Events, actors and sessions by each device dimension, and by country and device family; a missing value is a row "
    "of its own.",
    (
        _POPULATION,
        text(
            "dimension",
            "device_family, device_type, os_name, os_version, platform, language, version_name or "
            "country_device_family.",
            nullable=False,
        ),
        text("country", "Country; null except for country_device_family."),
        text(
            "value",
            "Value of the dimension; os_version is prefixed with its os_name. On the web os_name is the browser and "
            "device_family the operating system.",
        ),
        count("events", "Events."),
        count("actors", "Distinct actors."),
        count("sessions", "Distinct sessions."),
        real("event_share", "events over all events of the population.", "share", nullable=False),
    ),
    key=("population", "dimension", "country", "value"),
)

SPARK_LATENCY = Table(
    "spark_latency",
    "Upload latency (server receipt - device upload) and processing latency (end of processing - server receipt): "
    "overall, by country and by UTC hour. Upload latency leaves out clocks more than a minute off.",
    (
        _POPULATION,
        text("measure", "upload_ms or processing_ms.", nullable=False),
        text("dimension", "overall, country or hour.", nullable=False),
        text("value", "Country or two-digit hour; null for overall and for events without a country."),
        count("events", "Events with a latency that counts."),
        count("left_out", "Events without one: a time is missing, or the device's clock is off."),
        real("mean", "Mean.", "ms"),
        real("median", "Median, linear interpolation.", "ms"),
        real("p95", "95th percentile, linear interpolation.", "ms"),
        real("p99", "99th percentile, linear interpolation.", "ms"),
    ),
    key=("population", "measure", "dimension", "value"),
)

SPARK_FUNNELS = Table(
    "spark_funnels",
    "Funnels: how many sessions or actors reach each step strictly after the step before, inside the window from the "
    "first step. Configured in analytics.toml, and found in the data as the most common journeys of distinct steps.",
    (
        _POPULATION,
        text("funnel", "Name.", nullable=False),
        text("origin", "configured or discovered.", nullable=False),
        text("scope", "session or actor: what one unit is.", nullable=False),
        real("window_minutes", "Longest time from the first step.", "min", nullable=False),
        Column("step", "int64", "Number of the step from 1.", nullable=False),
        text("event_type", "Event of the step.", nullable=False),
        count("reached", "Units that reached the step."),
        real("share_of_first", "reached / reached of step 1; null when nobody reached step 1.", "share"),
        real("share_of_previous", "reached / reached of the step before; null for step 1 and when that is 0.", "share"),
        real("share_low", "Lower end of share_of_first's 95 % Wilson interval.", "share"),
        real("share_high", "Upper end of share_of_first's 95 % Wilson interval.", "share"),
        real("median_seconds", "Median time since the step before, over the units that reached this one.", "s"),
    ),
    key=("population", "funnel", "step"),
)

SPARK_RETENTION = Table(
    "spark_retention",
    "Retention: of the actors first seen in the delivery on a day or in a week, how many came back so many days or "
    "weeks later.",
    (
        _POPULATION,
        text("granularity", "day or week (weeks begin on Monday).", nullable=False),
        Column("cohort", "date", "First day of the cohort's period, UTC.", nullable=False),
        Column("period", "int64", "Days (0 to 30) or weeks (0 to 52) after the cohort's own.", nullable=False),
        count("cohort_actors", "Actors first seen in the cohort's period."),
        count("active_actors", "Those of them with an event in the period."),
        real("retention", "active_actors / cohort_actors.", "share", nullable=False),
        Column(
            "is_complete",
            "bool",
            "The period had ended when the last event inside the year happened; incomplete ones must not be compared.",
            nullable=False,
        ),
    ),
    key=("population", "granularity", "cohort", "period"),
)

SPARK_USER_LIFECYCLE = Table(
    "spark_user_lifecycle",
    "Actors by day, week and month: new, returning, resurrected, and dormant ones that stayed away.",
    (
        _POPULATION,
        text("granularity", "day, week (from Monday) or month.", nullable=False),
        Column("period", "date", "First day of the period, UTC.", nullable=False),
        count("active_actors", "Actors with an event: new + returning + resurrected."),
        count("new_actors", "First seen in the delivery in this period."),
        count("returning_actors", "Active in this period and in the one before."),
        count("resurrected_actors", "Active now and earlier, but not in the period before."),
        count("dormant_actors", "Active in the period before, not in this one."),
        Column("is_complete", "bool", "The period had ended when the year's last event happened.", nullable=False),
    ),
    key=("population", "granularity", "period"),
)

SPARK_STICKINESS = Table(
    "spark_stickiness",
    "Daily, weekly (7 days) and monthly (30 days) active actors by date, and how often the monthly ones come.",
    (
        _POPULATION,
        Column("date", "date", "Last day of the windows, UTC.", nullable=False),
        count("dau", "Distinct actors on the date."),
        count("wau", "Distinct actors on the date and the 6 days before."),
        count("mau", "Distinct actors on the date and the 29 days before."),
        real("dau_wau", "dau / wau; null when wau is 0.", "share"),
        real("dau_mau", "dau / mau; null when mau is 0.", "share"),
        Column("is_complete", "bool", "The 30 days lie inside the days observed.", nullable=False),
    ),
    key=("population", "date"),
)

SUMMARY_TABLES: tuple[Table, ...] = (
    SPARK_DATASET_OVERVIEW,
    SPARK_TOP_VALUES,
    SPARK_TEMPORAL_PATTERNS,
    SPARK_SESSION_BEHAVIOR,
    SPARK_EVENT_TRANSITIONS,
    SPARK_EVENT_NGRAMS,
    SPARK_GEOGRAPHY,
    SPARK_DEVICE_USAGE,
    SPARK_LATENCY,
    SPARK_FUNNELS,
    SPARK_RETENTION,
    SPARK_USER_LIFECYCLE,
    SPARK_STICKINESS,
)
