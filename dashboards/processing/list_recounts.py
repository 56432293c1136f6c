"""Entries of published lists counted again, and the rows behind them.

Put here: which rows an entry of each list stands for, and which of its numbers counts them. Keep out: single metrics
and the relations (``recounts.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dashboards.processing.recounts import (
    DROPPED,
    EVENT,
    EVENTS,
    ORDER,
    RUNS,
    SESSION,
    SESSIONS,
    STEP,
    STEPS,
    Grain,
    Recount,
)
from dashboards.selection import quoted

Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Counted:
    """How the entries of one list are counted.

    Parameters
    ----------
    grain : Grain
        What a row behind an entry is.
    relation : str
        Relation of the rows of all entries.
    keys : dict of str to str
        Fields of an entry, and the SQL that must have their values.
    number : str
        Field that holds the number of rows.
    """

    grain: Grain
    relation: str
    keys: Mapping[str, str]
    number: str = "events"


def _columns(*names: str) -> dict[str, str]:
    places = ("country", "region", "city")
    return {name: f"observed_{name}" if name in places else name for name in names}


_OPENINGS = f"(SELECT * FROM {EVENTS} WHERE session_key IS NOT NULL QUALIFY row_number() OVER ({ORDER}) = 1)"
_ENDINGS = (
    f"(SELECT * FROM {EVENTS} WHERE session_key IS NOT NULL QUALIFY row_number() OVER "
    "(PARTITION BY session_key ORDER BY time DESC, event_id DESC NULLS FIRST, uuid DESC) = 1)"
)
_INTENT_STEPS = f"""(
    SELECT * FROM (
        SELECT *, lag(event_type) OVER inside AS previous,
            date_diff('microsecond', lag(time) OVER inside, time) AS gap_us
        FROM {RUNS} WINDOW inside AS ({ORDER})
    ) WHERE previous IS NOT NULL
)"""
_SYNCHRONISED = f"(SELECT * FROM {EVENTS} WHERE abs(latency_ms) <= 60000)"

_OPENING = Grain("sessions, by their first event", EVENT.columns, EVENT.order)
_ENDING = Grain("sessions, by their last event", EVENT.columns, EVENT.order)
_MEMBER = Grain("actors", {"Actor": "actor", "Segment": "segment_name"}, "actor")

_LISTS: dict[str, Counted] = {
    **{
        name: Counted(EVENT, EVENTS, _columns(*columns))
        for name, columns in (
            ("top_events", ("event_type",)),
            ("countries", ("country",)),
            ("regions", ("country", "region")),
            ("cities", ("country", "region", "city")),
            ("city_patterns", ("country", "region", "city")),
            ("device_families", ("device_family",)),
            ("device_types", ("device_type",)),
            ("os_names", ("os_name",)),
            ("os_versions", ("os_name", "os_version")),
            ("platforms", ("platform",)),
            ("languages", ("language",)),
            ("versions", ("version_name",)),
            ("country_devices", ("country", "device_family")),
            ("hours", ("hour",)),
            ("weekdays", ("weekday",)),
            ("weekday_hours", ("weekday", "hour")),
            ("busiest_hours", ("hour",)),
            ("quietest_hours", ("hour",)),
            ("peak_hour_by_weekday", ("weekday", "hour")),
            ("peak_weekday_by_hour", ("weekday", "hour")),
        )
    },
    "months": Counted(EVENT, EVENTS, {"month": "strftime(time, '%Y-%m')"}),
    "years": Counted(EVENT, EVENTS, {"year": "year(time)"}),
    "daily": Counted(EVENT, EVENTS, {"date": "date::VARCHAR"}),
    "busiest_days": Counted(EVENT, EVENTS, {"date": "date::VARCHAR"}),
    "regional_preferences": Counted(
        EVENT, f"(SELECT * FROM {EVENTS} WHERE NOT is_noise)", _columns("country", "region", "event_type")
    ),
    "latency_by_country": Counted(EVENT, _SYNCHRONISED, _columns("country")),
    "latency_by_hour": Counted(EVENT, _SYNCHRONISED, _columns("hour")),
    "cleaning": Counted(EVENT, DROPPED, {"year": "delivery::BIGINT", "step": "dropped_by"}),
    "top_transitions": Counted(STEP, STEPS, {"from_event": "previous", "to_event": "event_type"}, "transitions"),
    "intent_transitions": Counted(
        STEP, _INTENT_STEPS, {"from_event": "previous", "to_event": "event_type"}, "transitions"
    ),
    "time_between_events": Counted(STEP, STEPS, _columns("event_type"), "gaps"),
    "entry_events": Counted(_OPENING, _OPENINGS, _columns("event_type"), "sessions"),
    "exit_events": Counted(_ENDING, _ENDINGS, _columns("event_type"), "sessions"),
    "session_hours": Counted(SESSION, SESSIONS, {"hour": "hour(start_time)"}, "sessions"),
    "session_weekdays": Counted(SESSION, SESSIONS, {"weekday": "isodow(start_time)"}, "sessions"),
    "session_months": Counted(SESSION, SESSIONS, {"month": "strftime(start_time, '%Y-%m')"}, "sessions"),
    "user_segments": Counted(_MEMBER, "(SELECT * FROM {assignments})", _columns("segment"), "actors"),
}


def _methods(entry: Entry) -> Counted | None:
    level = entry.get("level")
    if level not in ("country", "region", "city"):
        return None
    return Counted(EVENT, EVENTS, {"method": f"coalesce({level}_method, 'unknown')"})


def _ngrams(entry: Entry) -> Counted | None:
    length = entry.get("length")
    if not isinstance(length, int) or not 2 <= length <= 5:
        return None
    relation = RUNS if entry.get("stream") == "intent" else f"(SELECT * FROM {EVENTS} WHERE session_key IS NOT NULL)"
    following = ", ".join(f"lead(event_type, {place}) OVER inside" for place in range(1, length))
    listed = f"(SELECT *, [event_type, {following}] AS run FROM {relation} WINDOW inside AS ({ORDER}))"
    grain = Grain("runs, by their first event", EVENT.columns, EVENT.order)
    return Counted(grain, listed, {"events": "run"}, "occurrences")


_BY_ENTRY: dict[str, Callable[[Entry], Counted | None]] = {"geography_methods": _methods, "ngrams": _ngrams}
"""Lists whose relation depends on the entry."""


def counted(name: str, entry: Entry) -> Counted | None:
    """How the entries of a list are counted; None for a list whose entries are no counts of rows of the lake."""
    return _BY_ENTRY[name](entry) if name in _BY_ENTRY else _LISTS.get(name)


def recount(name: str, entry: Entry) -> tuple[Recount, int] | None:
    """The rows behind one entry and the published number of them; None where there is no such thing."""
    found = counted(name, entry)
    if found is None:
        return None
    number = entry.get(found.number)
    if not isinstance(number, int) or not all(key in entry for key in found.keys):
        return None
    conditions = " AND ".join(f"{sql} IS NOT DISTINCT FROM {_literal(entry[key])}" for key, sql in found.keys.items())
    return Recount(found.grain, f"(SELECT * FROM {found.relation} WHERE {conditions})"), number


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(_literal(part) for part in value)}]"
    return quoted(str(value))
