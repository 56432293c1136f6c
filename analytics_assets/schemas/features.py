"""Feature tables of one year.

Put here: their columns, each with its unit and formula. Keep out: their queries (``core/features``).
"""

from __future__ import annotations

from analytics_assets.schemas.columns import Column, Table, count, real, text, time

ACTOR_CLASSES = ("user", "device", "scripted", "sentinel")
"""Whose events they are: a login, a device or person without one, a machine, nobody in particular."""

PEOPLE_CLASSES = ("user", "device")
"""Classes that stand for people."""

_ACTOR = "user:<user_id>, else device:<device_id>, else person:<amplitude_id>"
_CLASS = text("actor_class", "user, device, scripted (a machine) or sentinel (nobody in particular).", nullable=False)


def _flag(name: str, description: str) -> Column:
    return Column(name, "bool", description, nullable=False)


ACTORS = Table(
    "actors",
    "One row per actor of the year's delivery: how much it did, and whether it is a person or a machine.",
    (
        text("actor", f"{_ACTOR}.", nullable=False),
        _CLASS,
        count("events", "Events."),
        real("event_share", "events / events of all actors.", "share", nullable=False),
        count("sessions", "Distinct sessions with an event of the actor."),
        Column("active_days", "int64", "Distinct UTC dates with an event.", nullable=False, unit="days"),
        real("sessions_per_active_day", "sessions / active_days.", "sessions per day", nullable=False),
        real(
            "sequence_entropy",
            "Shannon entropy of the intent sequences of the actor's sessions; 0 when all are the same, null without a "
            "session.",
            "bits",
        ),
        _flag("is_top_actor", "The actor with most events; ties go to the smallest name."),
    ),
    key=("actor",),
)

_EVENT_COLUMNS = (
    text("uuid", "Identity of the event.", nullable=False),
    time("time", "event_time, else client_event_time, else server_received_time.", nullable=False),
    text("event_type", "Name of the event.", nullable=False),
    text("actor", f"{_ACTOR}; null when none is known."),
    _CLASS,
    text("session_key", "Person (amplitude_id, else user_id, else device_id) and session_id; null outside a session."),
    Column("position", "int64", "Place of the event in its session from 1, by (time, event_id, uuid).", minimum=1),
    Column("session_id", "int64", "Session start in epoch milliseconds as delivered."),
    Column("event_id", "int64", "Per-device counter."),
    Column("amplitude_id", "int64", "Person id after identity merge."),
    text("user_id", "Login id."),
    text("device_id", "Device id."),
    text("platform", "Web, iOS, Android."),
    text("os_name", "Browser on the web, operating system on mobile."),
    text("os_version", "Version of os_name as text."),
    text("device_family", "Operating system on the web, device on mobile."),
    text("device_type", "Kind of device."),
    text("country", "Country by its common English name; delivered text where it names none."),
    text("country_code", "ISO 3166-1 alpha-3 code of the country."),
    text("country_method", "observed, or how the country was imputed; null where it is unknown."),
    real("country_confidence", "1 where observed; else the share of known rows that the method rests on.", "share"),
    text("region", "Region by its name in ISO 3166-2 where it has one there, else as delivered."),
    text("region_code", "ISO 3166-2 code of the region."),
    text("region_method", "observed, or how the region was imputed; null where it is unknown."),
    real("region_confidence", "1 where observed; else the share of known rows that the method rests on.", "share"),
    text("city", "City, spelling of its most frequent form."),
    text("city_method", "observed, or how the city was imputed; null where it is unknown."),
    real("city_confidence", "1 where observed; else the share of known rows that the method rests on.", "share"),
    text("language", "Language name."),
    text("version_name", "Version of the product."),
    real("latency_ms", "server_received_time - client_upload_time.", "ms"),
    real("processing_ms", "processed_time - server_received_time.", "ms"),
    _flag("outside_year", "The event's time lies in another year than its delivery."),
    Column("hour", "int64", "UTC hour of time, 0 to 23.", nullable=False, unit="h"),
    Column("weekday", "int64", "UTC weekday of time, 1 = Monday.", nullable=False, minimum=1, maximum=7),
    real("hour_sin", "sin(2 pi hour / 24).", nullable=False, minimum=-1, maximum=1),
    real("hour_cos", "cos(2 pi hour / 24).", nullable=False, minimum=-1, maximum=1),
    real("weekday_sin", "sin(2 pi (weekday - 1) / 7).", nullable=False, minimum=-1, maximum=1),
    real("weekday_cos", "cos(2 pi (weekday - 1) / 7).", nullable=False, minimum=-1, maximum=1),
    real("seconds_since_start", "time - time of the session's first event; null outside a session.", "s"),
    real("seconds_since_previous", "time - time of the event before in the session; null for the first one.", "s"),
    Column(
        "is_burst",
        "bool",
        "seconds_since_previous is below the burst limit: the order of the two is not certain; null without it.",
    ),
    _flag("is_noise", "The user interface made the event by itself (see analytics.toml)."),
    text("screen", "First parts of the event's name; null for noise."),
    Column(
        "intent_step",
        "int64",
        "Step of the session's intent stream that the event belongs to, from 1: a run of one event is one step, noise "
        "belongs to the step before it and to 0 before the first. Null outside a session.",
    ),
    Column(
        "screen_step",
        "int64",
        "Step of the session's screen stream, counted alike. Null outside a session.",
    ),
)

CLEAN_EVENTS = Table(
    "clean_events",
    "The events that cleaning keeps: null tokens as nulls, one time, one actor, one session key, places standardized "
    "and imputed, features of each event. Together with dropped_events every accepted event.",
    _EVENT_COLUMNS,
    key=("uuid",),
)

DROPPED_EVENTS = Table(
    "dropped_events",
    "The events that cleaning removes, with all columns of clean_events, the step that removed them and why.",
    (
        *_EVENT_COLUMNS,
        text("dropped_by", "Cleaning step.", nullable=False),
        text("reason", "Why this row meets the step's rule.", nullable=False),
    ),
    key=("uuid",),
)

SESSIONS = Table(
    "sessions",
    "One row per session and delivery year, over all accepted events; readers of several years merge rows of one "
    "session_key.",
    (
        text("session_key", "Person and session_id.", nullable=False),
        text("actor", "Actor of the session's first event."),
        _CLASS,
        Column("session_id", "int64", "Session start in epoch milliseconds as delivered.", nullable=False),
        text("person", "amplitude_id, else user_id, else device_id, as text.", nullable=False),
        time("start_time", "Time of the first event.", nullable=False),
        time("end_time", "Time of the last event.", nullable=False),
        real("duration_seconds", "end_time - start_time.", "s", nullable=False),
        Column("start_hour", "int64", "UTC hour of start_time.", nullable=False, unit="h"),
        Column(
            "start_weekday", "int64", "UTC weekday of start_time, 1 = Monday.", nullable=False, minimum=1, maximum=7
        ),
        count("events", "Events of the session in this year's delivery."),
        count("event_types", "Distinct event types."),
        count("intent_events", "Steps of the intent stream."),
        real("event_entropy", "Shannon entropy of the session's event types.", "bits", nullable=False),
        text("entry_event", "First event by (time, event_id, uuid).", nullable=False),
        text("exit_event", "Last event by (time, event_id, uuid).", nullable=False),
        _flag("is_bounce", "At most one step of intent."),
        real("mean_latency_ms", "Mean of latency_ms over clocks within a minute; null without one.", "ms"),
        text("country", "Country of the first event that has one."),
        text("device_family", "Device family of the first event that has one."),
        _flag(
            "may_cross_year",
            "An event or the session's start lies outside the year, or the last event is within 30 minutes of its end.",
        ),
    ),
    key=("session_key",),
)

USER_FEATURES = Table(
    "user_features",
    "One row per actor with what it did in the year; actors are real users, else devices.",
    (
        text("actor", f"{_ACTOR}.", nullable=False),
        _CLASS,
        time("first_seen", "First event.", nullable=False),
        time("last_seen", "Last event.", nullable=False),
        Column("active_days", "int64", "Distinct UTC dates with an event.", nullable=False, unit="days"),
        real("tenure_days", "last_seen - first_seen.", "days", nullable=False),
        real("recency_days", "Last event of all actors - last_seen.", "days", nullable=False),
        real("active_day_share", "active_days / calendar dates from first_seen to last_seen.", "share", nullable=False),
        count("events", "Events."),
        count("sessions", "Distinct sessions."),
        count("event_types", "Distinct event types."),
        real("events_per_active_day", "events / active_days.", "events per day", nullable=False),
        real("sessions_per_active_day", "sessions / active_days.", "sessions per day", nullable=False),
        real("events_per_session", "Events inside sessions / sessions; null without a session.", "events"),
        real("mean_session_seconds", "Mean duration over the actor's sessions.", "s"),
        real("median_session_seconds", "Median duration over the actor's sessions.", "s"),
        real("action_session_share", "Sessions longer than one second / sessions.", "share"),
        real("noise_share", "Noise events / events.", "share", nullable=False),
        real("weekend_share", "Events on Saturday or Sunday (UTC) / events.", "share", nullable=False),
        real("hour_sin", "Mean of sin(2 pi hour / 24) over events (UTC).", nullable=False, minimum=-1, maximum=1),
        real("hour_cos", "Mean of cos(2 pi hour / 24) over events (UTC).", nullable=False, minimum=-1, maximum=1),
        Column("peak_hour", "int64", "UTC hour with most events; ties go to the earlier.", nullable=False, unit="h"),
        real("event_entropy", "Shannon entropy of the actor's event types.", "bits", nullable=False),
        text("top_event", "Most frequent event type; ties go to the smallest text.", nullable=False),
        real("top_event_share", "Events of top_event / events.", "share", nullable=False),
        real("mean_latency_ms", "Mean of latency_ms over clocks within a minute; null without one.", "ms"),
        text("country", "Country with most events; ties go to the smallest text."),
        text("device_family", "Device family with most events; ties go to the smallest text."),
    ),
    key=("actor",),
)

USER_PROFILES = Table(
    "user_profiles",
    "How each actor's events are spread over event types, screens and hours: its event mix and its hour profile.",
    (
        text("actor", f"{_ACTOR}.", nullable=False),
        _CLASS,
        text("dimension", "event_type, screen or hour (UTC, two digits).", nullable=False),
        text("value", "Value of the dimension.", nullable=False),
        count("events", "Events."),
        real("share", "events / the actor's events that have the dimension.", "share", nullable=False),
    ),
    key=("actor", "dimension", "value"),
)

DAILY_METRICS = Table(
    "daily_metrics",
    "One row per UTC date: every date between the first and the last event inside the delivery year, days without "
    "events included, and each date outside it that has an event.",
    (
        Column("date", "date", "UTC date of the event time.", nullable=False),
        count("events", "Events."),
        count("intent_events", "Events that are not noise."),
        count("machine_events", "Events of scripted and sentinel actors."),
        count("actors", "Distinct actors with an event."),
        count("users", "Distinct user_id with an event."),
        count("sessions", "Sessions that started."),
        real("mean_session_seconds", "Mean duration of the sessions that started; null without one.", "s"),
        real("median_session_seconds", "Median duration of the sessions that started; null without one.", "s"),
        real("mean_latency_ms", "Mean of latency_ms over clocks within a minute; null without one.", "ms"),
        real("p95_latency_ms", "95th percentile of latency_ms over clocks within a minute; null without one.", "ms"),
        _flag("outside_year", "The date lies in no delivery year."),
        _flag("is_gap", "No event on this date."),
    ),
    key=("date",),
)

FEATURE_TABLES: tuple[Table, ...] = (
    ACTORS,
    CLEAN_EVENTS,
    DROPPED_EVENTS,
    SESSIONS,
    USER_FEATURES,
    USER_PROFILES,
    DAILY_METRICS,
)
