"""Feature tables of one year.

Put here: their columns. Keep out: their queries (``core/features``).
"""

from __future__ import annotations

from analytics_assets.schemas.columns import Column, Table, count, real, text, time

CLEAN_EVENTS = Table(
    "clean_events",
    "Every accepted event with null tokens as nulls, one time, one actor and one session key; nothing is removed.",
    (
        text("uuid", "Identity of the event.", nullable=False),
        time("time", "event_time, else client_event_time, else server_received_time.", nullable=False),
        text("event_type", "Name of the event.", nullable=False),
        text("actor", "user:<user_id>, else device:<device_id>, else person:<amplitude_id>; null when none is known."),
        text(
            "session_key", "Person (amplitude_id, else user_id, else device_id) and session_id; null outside a session."
        ),
        Column("position", "int64", "Place of the event in its session from 1, by (time, event_id, uuid)."),
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
        text("country", "Country."),
        text("region", "Region."),
        text("city", "City."),
        text("language", "Language name."),
        text("version_name", "Version of the product."),
        real("latency_ms", "server_received_time - client_upload_time.", "ms"),
        real("processing_ms", "processed_time - server_received_time.", "ms"),
        Column("outside_year", "bool", "The event's time lies in another year than its delivery.", nullable=False),
    ),
    key=("uuid",),
)

SESSIONS = Table(
    "sessions",
    "One row per session and delivery year; readers of several years merge rows of one session_key.",
    (
        text("session_key", "Person and session_id.", nullable=False),
        text("actor", "Actor of the session's first event."),
        Column("session_id", "int64", "Session start in epoch milliseconds as delivered.", nullable=False),
        text("person", "amplitude_id, else user_id, else device_id, as text.", nullable=False),
        time("start_time", "Time of the first event.", nullable=False),
        time("end_time", "Time of the last event.", nullable=False),
        real("duration_seconds", "end_time - start_time.", "s", nullable=False),
        count("events", "Events of the session in this year's delivery."),
        count("event_types", "Distinct event types."),
        text("entry_event", "First event by (time, event_id, uuid).", nullable=False),
        text("exit_event", "Last event by (time, event_id, uuid).", nullable=False),
        text("country", "Country of the first event that has one."),
        text("device_family", "Device family of the first event that has one."),
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
        text("actor", "user:<user_id>, else device:<device_id>, else person:<amplitude_id>.", nullable=False),
        time("first_seen", "First event.", nullable=False),
        time("last_seen", "Last event.", nullable=False),
        Column("active_days", "int64", "Distinct UTC dates with an event.", nullable=False, unit="days"),
        real("tenure_days", "last_seen - first_seen.", "days", nullable=False),
        real("recency_days", "Last event of all actors - last_seen.", "days", nullable=False),
        count("events", "Events."),
        count("sessions", "Distinct sessions."),
        count("event_types", "Distinct event types."),
        real("events_per_active_day", "events / active_days.", "events per day", nullable=False),
        real("events_per_session", "Events inside sessions / sessions; null without a session.", "events"),
        real("mean_session_seconds", "Mean duration over the actor's sessions.", "s"),
        real("median_session_seconds", "Median duration over the actor's sessions.", "s"),
        real("action_session_share", "Sessions longer than one second / sessions.", "share"),
        real("weekend_share", "Events on Saturday or Sunday (UTC) / events.", "share", nullable=False),
        real("hour_sin", "Mean of sin(2 pi hour / 24) over events (UTC).", nullable=False),
        real("hour_cos", "Mean of cos(2 pi hour / 24) over events (UTC).", nullable=False),
        real("event_entropy", "Shannon entropy of the actor's event types.", "bits", nullable=False),
        text("top_event", "Most frequent event type; ties go to the smallest text.", nullable=False),
        text("country", "Country with most events; ties go to the smallest text."),
        text("device_family", "Device family with most events; ties go to the smallest text."),
    ),
    key=("actor",),
)

DAILY_METRICS = Table(
    "daily_metrics",
    "One row per UTC date from the first to the last event, days without events included.",
    (
        Column("date", "date", "UTC date of the event time.", nullable=False),
        count("events", "Events."),
        count("actors", "Distinct actors with an event."),
        count("sessions", "Sessions that started."),
        real("mean_session_seconds", "Mean duration of the sessions that started; null without one.", "s"),
        real("mean_latency_ms", "Mean of latency_ms over clocks within a minute; null without one.", "ms"),
        Column("is_gap", "bool", "No event on this date.", nullable=False),
    ),
    key=("date",),
)

FEATURE_TABLES: tuple[Table, ...] = (CLEAN_EVENTS, SESSIONS, USER_FEATURES, DAILY_METRICS)
