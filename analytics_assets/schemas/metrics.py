"""Every published number: name, label, unit, denominator, population, source.

Put here: what a number means. Keep out: its computation (``core/results.py``).
"""

from __future__ import annotations

from dataclasses import dataclass


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
