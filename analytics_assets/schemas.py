"""One schema per published table: names, types, units, meanings and keys.

Put here: columns of every table that the lake publishes, and the lists that give raw text its meaning (null tokens).
Keep out: how a table is computed (``core/``), and conversions that need a heavy library at import time. From these
declarations come the Spark schema, the Arrow schema, Dagster's column schema and the blocking schema check.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql.types import StructType

ColumnType = Literal["string", "int64", "float64", "bool", "timestamp", "date"]

MAX_CHUNK_ROWS = 100_000
"""Records per CSV chunk: the size the rest of the pipeline and its memory figures are planned for."""

NULL_MARK = r"\N"
"""How a null is written in the CSV chunks. A record whose text equals it is quarantined, so it is never ambiguous."""

NULL_TOKENS: tuple[str, ...] = ("", "EMPTY", "(none)", "Unknown", "--")
"""Texts that event sources write where they mean "no value"."""

SENTINEL_IDS: frozenset[str] = frozenset(
    "anonymous nil none null n/a na undefined unknown {} [] 0 -1 00000000-0000-0000-0000-000000000000".split()
)
"""Ids, in small letters, that stand for nobody: the vendor refuses them by default, exports still hold them."""

NO_SESSION = -1
"""``session_id`` of an event outside any session."""


@dataclass(frozen=True)
class Column:
    """One column of a published table.

    Parameters
    ----------
    name, type, description
        Type is one of ``string``, ``int64``, ``float64``, ``bool``, ``timestamp`` (UTC, microseconds, without zone)
        and ``date``.
    nullable : bool
        False makes a null in this column an error.
    unit : str
        Unit of a number, empty where it has none.
    null_tokens : tuple of str
        Texts that mean null in this column; cleaning and every summary read them as null.
    personal : bool
        The value identifies a person by itself; ingestion writes a pseudonym in its place.
    """

    name: str
    type: ColumnType
    description: str
    nullable: bool = True
    unit: str = ""
    null_tokens: tuple[str, ...] = ()
    personal: bool = False


@dataclass(frozen=True)
class Table:
    """One published table; ``key`` names the columns whose values identify a row."""

    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = field(default=())

    @property
    def column_names(self) -> list[str]:
        """Column names in published order."""
        return [column.name for column in self.columns]

    def column(self, name: str) -> Column:
        """Return the column called `name`; KeyError when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"table {self.name} has no column {name!r}")

    def arrow_schema(self) -> pa.Schema:
        """Arrow schema with the declared types and nullability."""
        import pyarrow as pa

        types: dict[str, pa.DataType] = {
            "string": pa.string(),
            "int64": pa.int64(),
            "float64": pa.float64(),
            "bool": pa.bool_(),
            "timestamp": pa.timestamp("us"),
            "date": pa.date32(),
        }
        return pa.schema([pa.field(c.name, types[c.type], nullable=c.nullable) for c in self.columns])

    def spark_schema(self) -> StructType:
        """Spark schema with the declared types; timestamps are zoneless (TIMESTAMP_NTZ)."""
        from pyspark.sql import types as T

        kinds: dict[str, T.DataType] = {
            "string": T.StringType(),
            "int64": T.LongType(),
            "float64": T.DoubleType(),
            "bool": T.BooleanType(),
            "timestamp": T.TimestampNTZType(),
            "date": T.DateType(),
        }
        return T.StructType([T.StructField(c.name, kinds[c.type], True) for c in self.columns])


def _text(
    name: str, description: str, *, nullable: bool = True, tokens: bool = False, personal: bool = False
) -> Column:
    return Column(
        name, "string", description, nullable=nullable, null_tokens=NULL_TOKENS if tokens else (), personal=personal
    )


def _count(name: str, description: str) -> Column:
    return Column(name, "int64", description, nullable=False, unit="rows")


def _real(name: str, description: str, unit: str = "", *, nullable: bool = True) -> Column:
    return Column(name, "float64", description, unit=unit, nullable=nullable)


def _time(name: str, description: str, *, nullable: bool = True) -> Column:
    return Column(name, "timestamp", description, unit="UTC", nullable=nullable)


EVENT_CHUNKS = Table(
    "event_chunks",
    "Essential columns of every accepted event, one row each, names and meanings as in the Amplitude export.",
    (
        _text("uuid", "Identity of the event; derived from the content where the source has none.", nullable=False),
        _text("$insert_id", "Client's deduplication key."),
        Column("app", "int64", "Project id."),
        Column("amplitude_id", "int64", "Person id after identity merge."),
        _text("user_id", "Login id given by the product.", tokens=True, personal=True),
        _text("device_id", "Device id.", tokens=True, personal=True),
        Column(
            "session_id", "int64", "Session start in epoch milliseconds, -1 outside a session; not unique over users."
        ),
        Column("event_id", "int64", "Per-device counter; breaks ties of equal times."),
        _text("event_type", "Name of the event.", nullable=False),
        _time("event_time", "Time of the event, corrected for the device clock."),
        _time("client_event_time", "Time of the event by the device clock."),
        _time("client_upload_time", "Upload by the device clock."),
        _time("server_received_time", "Receipt by the server clock."),
        _time("server_upload_time", "Upload by the server clock; exports are cut by it."),
        _time("processed_time", "End of the vendor's processing."),
        _text("platform", "Web, iOS, Android.", tokens=True),
        _text("os_name", "Browser on the web, operating system on mobile.", tokens=True),
        _text("os_version", "Version of os_name as text.", tokens=True),
        _text("device_family", "Operating system on the web, device on mobile.", tokens=True),
        _text("device_type", "Kind of device; structurally null for some families.", tokens=True),
        _text("country", "Country from the IP address.", tokens=True),
        _text("region", "Region from the IP address.", tokens=True),
        _text("city", "City from the IP address.", tokens=True),
        _text("dma", "US designated market area.", tokens=True),
        _text("language", "Language name.", tokens=True),
        _text("library", "Sending library and version.", tokens=True),
        _text("version_name", "Version of the product.", tokens=True),
        _text("ip_address", "IP address.", tokens=True, personal=True),
        _text("event_properties", "Properties of the event as JSON text."),
        _text("user_properties", "Properties of the user as JSON text."),
    ),
    key=("uuid",),
)

NESTED_COLUMNS = ("event_properties", "user_properties")
"""Columns of ``EVENT_CHUNKS`` that hold JSON text."""

PERSONAL_COLUMNS = tuple(column.name for column in EVENT_CHUNKS.columns if column.personal)
"""Columns of ``EVENT_CHUNKS`` that are pseudonymized. Of the other fields that identify a person, ``location_lat``,
``location_lng``, ``adid`` and ``idfa`` are not carried into the chunks at all."""

SPARK_DATASET_OVERVIEW = Table(
    "spark_dataset_overview",
    "One row per source column and per derived identity (time, actor, session_key): completeness and variety.",
    (
        _text("column_name", "Name of the column.", nullable=False),
        _text("column_type", "Its type in the schema.", nullable=False),
        _count("events", "All events of the year."),
        _count("nulls", "Events without a value, null tokens included."),
        _real("null_share", "nulls / events.", "share"),
        _count("distinct_values", "Distinct values, nulls left out."),
        _text("min_value", "Smallest value as text."),
        _text("max_value", "Largest value as text."),
        _text("top_value", "Most frequent value; ties go to the smallest text."),
        Column("top_value_events", "int64", "Events with the most frequent value.", unit="rows"),
    ),
    key=("column_name",),
)

SPARK_TEMPORAL_PATTERNS = Table(
    "spark_temporal_patterns",
    "Events, actors and sessions by UTC hour, weekday (1 = Monday), weekday and hour, month and date.",
    (
        _text("granularity", "hour, weekday, weekday_hour, month or date.", nullable=False),
        _text("bucket", "The bucket as text: 07, 1, 1-07, 2024-03 or 2024-03-09.", nullable=False),
        _count("events", "Events in the bucket."),
        _count("actors", "Distinct actors with an event in the bucket."),
        _count("sessions", "Distinct sessions with an event in the bucket."),
    ),
    key=("granularity", "bucket"),
)

SPARK_SESSION_BEHAVIOR = Table(
    "spark_session_behavior",
    "Distribution of session measures over sessions, and over events (each event carrying its session's value).",
    (
        _text("measure", "duration_seconds, events or event_types.", nullable=False),
        _text("weighting", "sessions or events: what one observation is.", nullable=False),
        _count("observations", "Number of observations."),
        _real("mean", "Arithmetic mean."),
        _real("std", "Sample standard deviation; null for fewer than two observations."),
        _real("min", "Minimum."),
        _real("p25", "25th percentile, linear interpolation."),
        _real("median", "50th percentile, linear interpolation."),
        _real("p75", "75th percentile, linear interpolation."),
        _real("p95", "95th percentile, linear interpolation."),
        _real("max", "Maximum."),
    ),
    key=("measure", "weighting"),
)

SPARK_EVENT_TRANSITIONS = Table(
    "spark_event_transitions",
    "Which event follows which inside a session, and which events open and close sessions.",
    (
        _text("kind", "transition, entry (from_event is null) or exit (to_event is null).", nullable=False),
        _text("from_event", "Event that was left."),
        _text("to_event", "Event that followed at once."),
        _count("transitions", "Occurrences."),
        _real(
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
        _text("level", "country, region or city.", nullable=False),
        _text("country", "Country."),
        _text("region", "Region; null at level country."),
        _text("city", "City; null at levels country and region."),
        _count("events", "Events."),
        _count("actors", "Distinct actors."),
        _count("sessions", "Distinct sessions."),
        _real("event_share", "events over all events of the year.", "share", nullable=False),
    ),
    key=("level", "country", "region", "city"),
)

SPARK_DEVICE_USAGE = Table(
    "spark_device_usage",
    "Events, actors and sessions by each device dimension; a missing value is a row of its own.",
    (
        _text("dimension", "device_family, device_type, os_name, os_version, platform, language.", nullable=False),
        _text("value", "Value of the dimension; os_version is prefixed with its os_name."),
        _count("events", "Events."),
        _count("actors", "Distinct actors."),
        _count("sessions", "Distinct sessions."),
        _real("event_share", "events over all events of the year.", "share", nullable=False),
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

CLEAN_EVENTS = Table(
    "clean_events",
    "Every accepted event with null tokens as nulls, one time, one actor and one session key; nothing is removed.",
    (
        _text("uuid", "Identity of the event.", nullable=False),
        _time("time", "event_time, else client_event_time, else server_received_time.", nullable=False),
        _text("event_type", "Name of the event.", nullable=False),
        _text("actor", "user:<user_id>, else device:<device_id>, else person:<amplitude_id>; null when none is known."),
        _text(
            "session_key", "Person (amplitude_id, else user_id, else device_id) and session_id; null outside a session."
        ),
        Column("position", "int64", "Place of the event in its session from 1, by (time, event_id, uuid)."),
        Column("session_id", "int64", "Session start in epoch milliseconds as delivered."),
        Column("event_id", "int64", "Per-device counter."),
        Column("amplitude_id", "int64", "Person id after identity merge."),
        _text("user_id", "Login id."),
        _text("device_id", "Device id."),
        _text("platform", "Web, iOS, Android."),
        _text("os_name", "Browser on the web, operating system on mobile."),
        _text("os_version", "Version of os_name as text."),
        _text("device_family", "Operating system on the web, device on mobile."),
        _text("device_type", "Kind of device."),
        _text("country", "Country."),
        _text("region", "Region."),
        _text("city", "City."),
        _text("language", "Language name."),
        _text("version_name", "Version of the product."),
        _real("latency_ms", "server_received_time - client_upload_time.", "ms"),
        _real("processing_ms", "processed_time - server_received_time.", "ms"),
        Column("outside_year", "bool", "The event's time lies in another year than its delivery.", nullable=False),
    ),
    key=("uuid",),
)

SESSIONS = Table(
    "sessions",
    "One row per session and delivery year; readers of several years merge rows of one session_key.",
    (
        _text("session_key", "Person and session_id.", nullable=False),
        _text("actor", "Actor of the session's first event."),
        Column("session_id", "int64", "Session start in epoch milliseconds as delivered.", nullable=False),
        _text("person", "amplitude_id, else user_id, else device_id, as text.", nullable=False),
        _time("start_time", "Time of the first event.", nullable=False),
        _time("end_time", "Time of the last event.", nullable=False),
        _real("duration_seconds", "end_time - start_time.", "s", nullable=False),
        _count("events", "Events of the session in this year's delivery."),
        _count("event_types", "Distinct event types."),
        _text("entry_event", "First event by (time, event_id, uuid).", nullable=False),
        _text("exit_event", "Last event by (time, event_id, uuid).", nullable=False),
        _text("country", "Country of the first event that has one."),
        _text("device_family", "Device family of the first event that has one."),
        Column(
            "may_cross_year",
            "bool",
            "An event or the session's start lies outside the year, or the last event is within 30 minutes of its end.",
            nullable=False,
        ),
    ),
    key=("session_key",),
)

USER_FEATURES = Table(
    "user_features",
    "One row per actor with what it did in the year; actors are real users, else devices.",
    (
        _text("actor", "user:<user_id>, else device:<device_id>, else person:<amplitude_id>.", nullable=False),
        _time("first_seen", "First event.", nullable=False),
        _time("last_seen", "Last event.", nullable=False),
        Column("active_days", "int64", "Distinct UTC dates with an event.", nullable=False, unit="days"),
        _real("tenure_days", "last_seen - first_seen.", "days", nullable=False),
        _real("recency_days", "Last event of all actors - last_seen.", "days", nullable=False),
        _count("events", "Events."),
        _count("sessions", "Distinct sessions."),
        _count("event_types", "Distinct event types."),
        _real("events_per_active_day", "events / active_days.", "events per day", nullable=False),
        _real("events_per_session", "Events inside sessions / sessions; null without a session.", "events"),
        _real("mean_session_seconds", "Mean duration over the actor's sessions.", "s"),
        _real("median_session_seconds", "Median duration over the actor's sessions.", "s"),
        _real("action_session_share", "Sessions longer than one second / sessions.", "share"),
        _real("weekend_share", "Events on Saturday or Sunday (UTC) / events.", "share", nullable=False),
        _real("hour_sin", "Mean of sin(2 pi hour / 24) over events (UTC).", nullable=False),
        _real("hour_cos", "Mean of cos(2 pi hour / 24) over events (UTC).", nullable=False),
        _real("event_entropy", "Shannon entropy of the actor's event types.", "bits", nullable=False),
        _text("top_event", "Most frequent event type; ties go to the smallest text.", nullable=False),
        _text("country", "Country with most events; ties go to the smallest text."),
        _text("device_family", "Device family with most events; ties go to the smallest text."),
    ),
    key=("actor",),
)

DAILY_METRICS = Table(
    "daily_metrics",
    "One row per UTC date from the first to the last event, days without events included.",
    (
        Column("date", "date", "UTC date of the event time.", nullable=False),
        _count("events", "Events."),
        _count("actors", "Distinct actors with an event."),
        _count("sessions", "Sessions that started."),
        _real("mean_session_seconds", "Mean duration of the sessions that started; null without one.", "s"),
        _real("mean_latency_ms", "Mean of latency_ms over clocks within a minute; null without one.", "ms"),
        Column("is_gap", "bool", "No event on this date.", nullable=False),
    ),
    key=("date",),
)

FEATURE_TABLES: tuple[Table, ...] = (CLEAN_EVENTS, SESSIONS, USER_FEATURES, DAILY_METRICS)

MARKOV_TRANSITIONS = Table(
    "markov_chain_transitions",
    "Transition counts and probabilities learned from the training sessions, for contexts of one and two events.",
    (
        Column("order", "int64", "1: the context is from_event; 2: previous_event and from_event.", nullable=False),
        _text("previous_event", "Event before from_event in contexts of order 2; null where the session starts."),
        _text("from_event", "Current event.", nullable=False),
        _text("to_event", "Next event.", nullable=False),
        _count("transitions", "Occurrences in training sessions."),
        _real("probability", "Occurrences over all that leave the context.", "share", nullable=False),
    ),
    key=("order", "previous_event", "from_event", "to_event"),
)

MARKOV_PREDICTIONS = Table(
    "markov_chain_predictions",
    "Every scored position of the test sessions with the predictions of order 1 and of order 2 with back-off.",
    (
        _text("uuid", "Event that was to be predicted.", nullable=False),
        _text("session_key", "Session.", nullable=False),
        _text("current_event", "Event before it.", nullable=False),
        _text("actual_event", "What followed.", nullable=False),
        _text("order1_event", "Most probable successor in training; ties go to the smallest text.", nullable=False),
        _text("order2_event", "The same for contexts of two events, backing off to order 1.", nullable=False),
    ),
    key=("uuid",),
)

KMEANS_ASSIGNMENTS = Table(
    "kmeans_segments_assignments",
    "Segment of every actor, with its place on the two main components.",
    (
        _text("actor", "Actor.", nullable=False),
        Column(
            "segment", "int64", "Segment from 0, largest first; -1 for actors with too little activity.", nullable=False
        ),
        _text("segment_name", "Name from the most distinguishing features.", nullable=False),
        _real("distance", "Distance to the segment's centre in the scaled space."),
        _real("component_1", "First principal component."),
        _real("component_2", "Second principal component."),
    ),
    key=("actor",),
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        EVENT_CHUNKS,
        *SUMMARY_TABLES,
        *FEATURE_TABLES,
        MARKOV_TRANSITIONS,
        MARKOV_PREDICTIONS,
        KMEANS_ASSIGNMENTS,
    )
}


@dataclass(frozen=True)
class Metric:
    """One published number and what it means.

    Parameters
    ----------
    name, label : str
        Key in ``analysis_results.json`` and text for people.
    unit : str
        Unit of the value.
    denominator : str
        What a mean or share is taken over, empty for counts.
    population : str
        Which rows count.
    source : str
        Asset that the value is computed from.
    """

    name: str
    label: str
    unit: str
    denominator: str
    population: str
    source: str


_ALL = "all loaded events"
_SYNCHRONISED = "events whose device clock is within a minute of the server's"
_ALL_SESSIONS = "all sessions, one that crosses New Year once"

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("records_seen", "Records delivered", "records", "", "all raw files", "event_chunks"),
        Metric("events", "Events", "events", "", _ALL, "clean_events"),
        Metric("duplicates", "Exact duplicates dropped", "records", "", "all raw files", "event_chunks"),
        Metric("quarantined", "Records in quarantine", "records", "", "all raw files", "event_chunks"),
        Metric("users", "Users", "users", "", "distinct user_id, null tokens left out", "clean_events"),
        Metric("actors", "Actors", "actors", "", "real users, else devices", "clean_events"),
        Metric("sessions", "Sessions", "sessions", "", _ALL_SESSIONS, "sessions"),
        Metric("event_types", "Event types", "types", "", _ALL, "clean_events"),
        Metric("events_outside_year", "Events outside their delivery year", "events", "", _ALL, "clean_events"),
        Metric(
            "session_seconds_mean", "Mean session duration, over sessions", "s", "sessions", _ALL_SESSIONS, "sessions"
        ),
        Metric(
            "session_seconds_median",
            "Median session duration, over sessions",
            "s",
            "sessions",
            _ALL_SESSIONS,
            "sessions",
        ),
        Metric("session_seconds_max", "Longest session", "s", "", _ALL_SESSIONS, "sessions"),
        Metric(
            "event_session_seconds_mean",
            "Mean session duration, over events",
            "s",
            "events, each carrying its session's duration",
            "events inside sessions",
            "clean_events",
        ),
        Metric(
            "event_session_seconds_median",
            "Median session duration, over events",
            "s",
            "events, each carrying its session's duration",
            "events inside sessions",
            "clean_events",
        ),
        Metric("events_per_session_mean", "Mean events per session", "events", "sessions", _ALL_SESSIONS, "sessions"),
        Metric(
            "events_per_session_median", "Median events per session", "events", "sessions", _ALL_SESSIONS, "sessions"
        ),
        Metric("events_per_session_max", "Most events in a session", "events", "", _ALL_SESSIONS, "sessions"),
        Metric("single_event_sessions", "Sessions of one event", "sessions", "", _ALL_SESSIONS, "sessions"),
        Metric(
            "events_per_actor_mean", "Mean events per actor", "events", "actors", "events with an actor", "clean_events"
        ),
        Metric(
            "events_per_actor_median",
            "Median events per actor",
            "events",
            "actors",
            "events with an actor",
            "clean_events",
        ),
        Metric("events_per_actor_max", "Most events of an actor", "events", "", "events with an actor", "clean_events"),
        Metric(
            "top_actor_share",
            "Share of the most active actor",
            "share",
            "events",
            "events with an actor",
            "clean_events",
        ),
        Metric("transitions", "Transitions inside sessions", "transitions", "", _ALL_SESSIONS, "clean_events"),
        Metric("distinct_transitions", "Distinct transitions", "pairs", "", _ALL_SESSIONS, "clean_events"),
        Metric("latency_ms_mean", "Mean upload latency", "ms", "events", _SYNCHRONISED, "clean_events"),
        Metric(
            "latency_ms_p95",
            "95th percentile of upload latency",
            "ms",
            "events",
            _SYNCHRONISED,
            "clean_events",
        ),
    )
}
"""Every published number by name; the results file, asset metadata and dashboards take labels and units from here."""
