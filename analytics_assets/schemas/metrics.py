"""Every published number: name, label, unit, denominator, population, source.

Put here: what a number means. Keep out: its computation (``core/results``).
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
        Asset that the value is computed from; ``clean_events`` stands for clean_events and dropped_events together,
        which hold every accepted event.
    by_population : bool
        Whether the number is also published over people and without the most active actor.
    """

    name: str
    label: str
    unit: str
    denominator: str
    population: str
    source: str
    by_population: bool = True


_EVENTS = "all loaded events, those that cleaning drops included"
_SYNCHRONISED = "events whose device clock is within a minute of the server's"
_RECEIVED = "events with a time of receipt and of processing"
_SESSIONS = "all sessions, one that crosses New Year once"
_ACTOR_EVENTS = "events with an actor"
_STICKY = "the last day that had ended when the data end, with 30 days observed up to it"
_CARRIED = "events, each carrying its session's duration"
_PAIRS = "pairs of successive events inside sessions"
_FILES = "all raw files"


def _file(name: str, label: str) -> Metric:
    return Metric(name, label, "records", "", _FILES, "event_chunks", by_population=False)


def _of_events(name: str, label: str, unit: str, denominator: str = "", population: str = _EVENTS) -> Metric:
    return Metric(name, label, unit, denominator, population, "clean_events")


def _of_sessions(name: str, label: str, unit: str, denominator: str = "") -> Metric:
    return Metric(name, label, unit, denominator, _SESSIONS, "sessions")


def _of_classes(name: str, label: str, unit: str, denominator: str = "") -> Metric:
    return Metric(name, label, unit, denominator, _EVENTS, "clean_events", by_population=False)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        # What was delivered, and what became of it.
        _file("records_seen", "Records delivered"),
        _of_events("events", "Events", "events"),
        _file("duplicates", "Exact duplicates dropped"),
        _file("quarantined", "Records in quarantine"),
        Metric(
            "dropped_events", "Events dropped by cleaning", "events", "", _EVENTS, "dropped_events", by_population=False
        ),
        Metric(
            "dropped_share",
            "Share of events dropped by cleaning",
            "share",
            "events",
            _EVENTS,
            "dropped_events",
            by_population=False,
        ),
        _of_events("events_outside_year", "Events outside their delivery year", "events"),
        # Who.
        _of_events("users", "Users", "users", population="distinct user_id, null tokens left out"),
        _of_events("actors", "Actors", "actors", population="real users, else devices"),
        _of_classes("events_without_actor", "Events without an actor", "events"),
        _of_classes("scripted_actors", "Scripted actors", "actors"),
        _of_classes("scripted_event_share", "Share of events by scripted actors", "share", "events"),
        _of_classes("sentinel_actors", "Actors that stand for nobody", "actors"),
        _of_classes("sentinel_event_share", "Share of events by nobody in particular", "share", "events"),
        _of_events("top_actor_share", "Share of the most active actor", "share", "events", _ACTOR_EVENTS),
        _of_events("events_per_actor_mean", "Mean events per actor", "events", "actors", _ACTOR_EVENTS),
        _of_events("events_per_actor_median", "Median events per actor", "events", "actors", _ACTOR_EVENTS),
        _of_events("events_per_actor_max", "Most events of an actor", "events", "", _ACTOR_EVENTS),
        _of_events("sessions_per_actor_mean", "Mean sessions per actor", "sessions", "actors", _ACTOR_EVENTS),
        _of_events("sessions_per_actor_median", "Median sessions per actor", "sessions", "actors", _ACTOR_EVENTS),
        _of_events(
            "returning_actor_share", "Share of actors seen on more than one day", "share", "actors", _ACTOR_EVENTS
        ),
        # What.
        _of_events("event_types", "Event types", "types"),
        _of_events("noise_share", "Share of events that the interface makes by itself", "share", "events"),
        # Sessions.
        _of_sessions("sessions", "Sessions", "sessions"),
        _of_classes("events_without_session", "Events outside any session", "events"),
        _of_sessions("active_sessions", "Sessions with a step of intent", "sessions"),
        _of_sessions("active_session_share", "Share of sessions with a step of intent", "share", "sessions"),
        _of_sessions("bounce_share", "Share of sessions with at most one step of intent", "share", "sessions"),
        _of_sessions("single_event_sessions", "Sessions of one event", "sessions"),
        _of_sessions("short_sessions", "Sessions of at most one second", "sessions"),
        _of_sessions("end_only_sessions", "Sessions of nothing but session ends", "sessions"),
        _of_sessions("session_seconds_mean", "Mean session duration, over sessions", "s", "sessions"),
        _of_sessions("session_seconds_median", "Median session duration, over sessions", "s", "sessions"),
        _of_sessions("session_seconds_max", "Longest session", "s"),
        _of_events(
            "event_session_seconds_mean",
            "Mean session duration, over events",
            "s",
            _CARRIED,
            "events inside sessions",
        ),
        _of_events(
            "event_session_seconds_median",
            "Median session duration, over events",
            "s",
            _CARRIED,
            "events inside sessions",
        ),
        _of_sessions("events_per_session_mean", "Mean events per session", "events", "sessions"),
        _of_sessions("events_per_session_median", "Median events per session", "events", "sessions"),
        _of_sessions("events_per_session_max", "Most events in a session", "events"),
        _of_sessions("intent_steps_per_session_mean", "Mean steps of intent per session", "steps", "sessions"),
        # Order.
        _of_events("transitions", "Transitions inside sessions", "transitions", "", _SESSIONS),
        _of_events("distinct_transitions", "Distinct transitions", "pairs", "", _SESSIONS),
        _of_events("seconds_between_events_median", "Median time between events of a session", "s", _PAIRS, _SESSIONS),
        _of_events("tie_share", "Share of transitions at equal times", "share", "transitions", _SESSIONS),
        _of_events(
            "burst_share",
            "Share of transitions below the burst limit, ties included",
            "share",
            "transitions",
            _SESSIONS,
        ),
        # When.
        _of_events("active_days", "Days with an event", "days"),
        _of_events("weekend_share", "Share of events on Saturday or Sunday (UTC)", "share", "events"),
        Metric("daily_active_actors", "Actors active on a day", "actors", "", _STICKY, "spark_stickiness"),
        Metric("weekly_active_actors", "Actors active in 7 days", "actors", "", _STICKY, "spark_stickiness"),
        Metric("monthly_active_actors", "Actors active in 30 days", "actors", "", _STICKY, "spark_stickiness"),
        Metric(
            "dau_mau",
            "Daily over monthly active actors",
            "share",
            "actors active in 30 days",
            _STICKY,
            "spark_stickiness",
        ),
        Metric(
            "week1_retention",
            "Share of actors that come back in the week after their first",
            "share",
            "actors, by the week in which their year's delivery first shows them",
            "cohorts whose second week had ended when the data end",
            "spark_retention",
        ),
        # Where.
        _of_events("countries", "Countries", "countries", population="countries as delivered, spelling unified"),
        _of_events("imputed_country_share", "Share of events with an imputed country", "share", "events"),
        _of_events("imputed_region_share", "Share of events with an imputed region", "share", "events"),
        _of_events("imputed_city_share", "Share of events with an imputed city", "share", "events"),
        # Technology.
        _of_events("latency_ms_mean", "Mean upload latency", "ms", "events", _SYNCHRONISED),
        _of_events("latency_ms_median", "Median upload latency", "ms", "events", _SYNCHRONISED),
        _of_events("latency_ms_p95", "95th percentile of upload latency", "ms", "events", _SYNCHRONISED),
        _of_events("latency_ms_p99", "99th percentile of upload latency", "ms", "events", _SYNCHRONISED),
        _of_events("processing_ms_mean", "Mean processing latency", "ms", "events", _RECEIVED),
        _of_events("processing_ms_median", "Median processing latency", "ms", "events", _RECEIVED),
        _of_events("processing_ms_p95", "95th percentile of processing latency", "ms", "events", _RECEIVED),
    )
}
"""Every published number by name; the results file, asset metadata and dashboards take labels and units from here."""
