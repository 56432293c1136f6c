"""The identity rules of an event as SQL that Spark and DuckDB read alike.

Put here: null tokens, event time, person, actor, session key, order inside a session, noise and screens, each said
once. Keep out: queries (``core/summaries``, ``core/features``). Every expression reads the columns of ``EVENT_CHUNKS``
after `null_normalized`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from analytics_assets.schemas import EVENT_CHUNKS, NO_SESSION, SENTINEL_IDS, Column

if TYPE_CHECKING:
    from analytics_assets.core.settings import EventSettings


def quoted(name: str, mark: str) -> str:
    """Quote a column name with the engine's mark: a backtick for Spark, a double quote for DuckDB."""
    return f"{mark}{name}{mark}"


Engine = Literal["duckdb", "spark"]


def literal(text: str, engine: Engine = "duckdb") -> str:
    """Text as a SQL literal; in Spark a backslash escapes."""
    text = text.replace("\\", "\\\\") if engine == "spark" else text
    return "'" + text.replace("'", "''") + "'"


def null_normalized(column: Column, mark: str) -> str:
    """The column with its null tokens read as null; a column without tokens is returned as it is."""
    name = quoted(column.name, mark)
    if not column.null_tokens:
        return name
    tokens = ", ".join(literal(token) for token in column.null_tokens)
    return f"CASE WHEN {name} IN ({tokens}) THEN NULL ELSE {name} END"


def normalized_select(mark: str, names: Sequence[str] = EVENT_CHUNKS.column_names) -> str:
    """Select list of chunk columns with null tokens as nulls, under their own names."""
    columns = [EVENT_CHUNKS.column(name) for name in names]
    return ", ".join(f"{null_normalized(c, mark)} AS {quoted(c.name, mark)}" for c in columns)


TIME = "coalesce(event_time, client_event_time, server_received_time)"
"""Time of an event."""

PERSON = (
    "CASE WHEN amplitude_id IS NOT NULL THEN concat('amplitude:', CAST(amplitude_id AS STRING)) "
    "WHEN user_id IS NOT NULL THEN concat('user:', user_id) "
    "WHEN device_id IS NOT NULL THEN concat('device:', device_id) END"
)
"""Whose session an event belongs to."""

ACTOR = (
    "CASE WHEN user_id IS NOT NULL THEN concat('user:', user_id) "
    "WHEN device_id IS NOT NULL THEN concat('device:', device_id) "
    "WHEN amplitude_id IS NOT NULL THEN concat('person:', CAST(amplitude_id AS STRING)) END"
)
"""Who acted: the real user, else the device."""

SESSION_KEY = (
    f"CASE WHEN session_id IS NOT NULL AND session_id <> {NO_SESSION} AND ({PERSON}) IS NOT NULL "
    f"THEN concat({PERSON}, '|', CAST(session_id AS STRING)) END"
)
"""Identity of a session; null outside a session. ``session_id`` alone is not unique over persons."""

SYNCHRONISED = "abs(latency_ms) <= 60000"
"""Whether a device's clock can be trusted for a latency: the vendor corrects times beyond a minute of difference, and
one clock that is a year off would own the mean."""

SESSION_ORDER = "time ASC, event_id ASC NULLS LAST, uuid ASC"
"""Order of events inside a session; the counter and the identity settle equal times."""

IS_SENTINEL = (
    f"(actor IS NULL OR lower(substr(actor, position(':' IN actor) + 1)) IN "
    f"({', '.join(literal(name) for name in sorted(SENTINEL_IDS))}))"
)
"""Whether an actor stands for nobody in particular."""


def is_noise(events: EventSettings, engine: Engine) -> str:
    """Whether the user interface made an event by itself."""
    tests = [f"event_type = {literal(name, engine)}" for name in events.noise_events]
    tests += [f"right(event_type, {len(end)}) = {literal(end, engine)}" for end in events.noise_suffixes if end]
    return f"({' OR '.join(tests) or 'false'})"


def screen(events: EventSettings, engine: Engine) -> str:
    """The first parts of an event's name; the whole name where it has fewer."""
    mark, parts = literal(events.screen_separator, engine), events.screen_parts
    if engine == "spark":
        return f"substring_index(event_type, {mark}, {parts})"
    return f"array_to_string(string_split(event_type, {mark})[:{parts}], {mark})"
