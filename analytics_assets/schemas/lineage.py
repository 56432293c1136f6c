"""Which input columns each column of a feature table is computed from.

Put here: the declaration that Dagster shows as column lineage. Keep out: the queries (``core/features``); a test
changes one input column at a time and compares what then changes with this declaration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Input = tuple[str, str]
"""Table and column."""


@dataclass(frozen=True)
class Lineage:
    """Inputs of one table.

    Parameters
    ----------
    rows : tuple of Input
        What decides which rows there are: the grouping key. Every column depends on it.
    columns : mapping of str to tuple of Input
        What each column's values are computed from besides.
    """

    rows: tuple[Input, ...]
    columns: Mapping[str, tuple[Input, ...]]

    def of(self, column: str) -> tuple[Input, ...]:
        """All inputs of a column, those of its rows first."""
        return tuple(dict.fromkeys((*self.rows, *self.columns[column])))


def _inputs(table: str, names: str) -> tuple[Input, ...]:
    return tuple((table, name) for name in names.split())


def _same(table: str, names: str) -> dict[str, tuple[Input, ...]]:
    """Columns that are carried over under their own name."""
    return {name: ((table, name),) for name in names.split()}


def _each(names: str, inputs: tuple[Input, ...]) -> dict[str, tuple[Input, ...]]:
    return dict.fromkeys(names.split(), inputs)


def _chunk(names: str) -> tuple[Input, ...]:
    return _inputs("event_chunks", names)


_TIME = _chunk("event_time client_event_time server_received_time")
_WHO = _chunk("user_id device_id amplitude_id")
_VISIT = (*_WHO, *_chunk("session_id"))
_ORDER = (*_TIME, *_chunk("event_id uuid"))
_STEPS = (*_VISIT, *_ORDER, *_chunk("event_type"))
_PLACE = (*_WHO, *_chunk("country region city dma"))

_ACTORS = Lineage(
    rows=_WHO,
    columns={
        **_each("actor events event_share is_top_actor", ()),
        **_each("sessions", _VISIT),
        **_each("active_days", _TIME),
        **_each("sessions_per_active_day", (*_VISIT, *_TIME)),
        **_each("actor_class sequence_entropy", _STEPS),
    },
)

_EVENT_COLUMNS: dict[str, tuple[Input, ...]] = {
    **_same(
        "event_chunks",
        "uuid event_type session_id event_id amplitude_id user_id device_id platform os_name os_version device_family "
        "device_type language version_name",
    ),
    **_each("time outside_year hour weekday hour_sin hour_cos weekday_sin weekday_cos", _TIME),
    **_each("actor", _WHO),
    **_each("actor_class", (*_WHO, *_inputs("actors", "actor actor_class"))),
    **_each("session_key", _VISIT),
    **_each("position seconds_since_start seconds_since_previous is_burst", (*_VISIT, *_ORDER)),
    **_each(
        "country country_code country_method country_confidence region region_code region_method region_confidence "
        "city city_method city_confidence",
        _PLACE,
    ),
    **_each("latency_ms", _chunk("client_upload_time server_received_time")),
    **_each("processing_ms", _chunk("server_received_time processed_time")),
    **_each("is_noise screen", _chunk("event_type")),
    **_each("intent_step screen_step", _STEPS),
}

_CLEANING = (*_STEPS, *_chunk("app $insert_id server_upload_time platform device_family"))
"""What the steps of the cleaning profiles look at by name; a repeated row must also agree in everything else."""


def _event(names: str) -> tuple[Input, ...]:
    """Columns of both tables of events."""
    return (*_inputs("clean_events", names), *_inputs("dropped_events", names))


def _clean(names: str) -> tuple[Input, ...]:
    return _inputs("clean_events", names)


_LENGTH = (*_clean("session_key"), *_inputs("sessions", "session_key start_time end_time"))

_SESSIONS = Lineage(
    rows=_event("session_key"),
    columns={
        **_each("session_key events", ()),
        **_each("actor", _event("actor position")),
        **_each("actor_class", _event("actor_class position")),
        **_each("session_id person", _event("session_id")),
        **_each("start_time end_time duration_seconds start_hour start_weekday", _event("time")),
        **_each("event_types event_entropy", _event("event_type")),
        **_each("intent_events is_bounce", _event("intent_step")),
        **_each("entry_event exit_event", _event("event_type position")),
        **_each("mean_latency_ms", _event("latency_ms")),
        **_each("country", _event("country position")),
        **_each("device_family", _event("device_family position")),
        **_each("may_cross_year", _event("time session_id")),
    },
)

_USER_FEATURES = Lineage(
    rows=_clean("actor"),
    columns={
        **_each("actor events", ()),
        **_each("actor_class", _clean("actor_class time uuid")),
        **_each(
            "first_seen last_seen active_days tenure_days recency_days active_day_share events_per_active_day",
            _clean("time"),
        ),
        **_each("sessions", (*_clean("session_key"), *_inputs("sessions", "session_key"))),
        **_each("sessions_per_active_day", (*_clean("session_key time"), *_inputs("sessions", "session_key"))),
        **_each("events_per_session", (*_clean("session_key"), *_inputs("sessions", "session_key"))),
        **_each("mean_session_seconds median_session_seconds action_session_share", _LENGTH),
        **_each("noise_share", _clean("is_noise")),
        **_each("weekend_share", _clean("weekday")),
        **_each("hour_sin hour_cos peak_hour", _clean("hour")),
        **_each("event_types event_entropy top_event top_event_share", _clean("event_type")),
        **_each("mean_latency_ms", _clean("latency_ms")),
        **_each("country", _clean("country")),
        **_each("device_family", _clean("device_family")),
    },
)

_USER_PROFILES = Lineage(
    rows=_clean("actor actor_class event_type screen hour"),
    columns=_each("actor actor_class dimension value events share", ()),
)

_DAILY_METRICS = Lineage(
    rows=(*_clean("time session_key"), *_inputs("sessions", "session_key start_time")),
    columns={
        **_each("date events outside_year is_gap sessions", ()),
        **_each("intent_events", _clean("is_noise")),
        **_each("machine_events", _clean("actor_class")),
        **_each("actors", _clean("actor")),
        **_each("users", _clean("user_id")),
        **_each("mean_session_seconds median_session_seconds", _inputs("sessions", "end_time")),
        **_each("mean_latency_ms p95_latency_ms", _clean("latency_ms")),
    },
)

LINEAGE: dict[str, Lineage] = {
    "actors": _ACTORS,
    "clean_events": Lineage(rows=_CLEANING, columns=_EVENT_COLUMNS),
    "dropped_events": Lineage(
        rows=_CLEANING, columns={**_EVENT_COLUMNS, **_each("dropped_by reason", _chunk("server_upload_time"))}
    ),
    "sessions": _SESSIONS,
    "user_features": _USER_FEATURES,
    "user_profiles": _USER_PROFILES,
    "daily_metrics": _DAILY_METRICS,
}
"""Inputs of every feature table."""
