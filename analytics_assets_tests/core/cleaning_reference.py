"""Cleaning in plain Python: which rows each step removes, written from the rules in words.

Put here: what the cleaning tests and the feature tests compare with. Keep out: assertions.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from statistics import fmean
from typing import Any

from analytics_assets.core.settings import Settings
from analytics_assets_tests.core.event_data import Event

DELIVERY = ("uuid", "client_upload_time", "server_received_time", "server_upload_time", "processed_time")
ORDER = (
    "exact_duplicates",
    "rows_without_actor",
    "rows_without_user",
    "single_event_sessions",
    "session_end_only_sessions",
    "mobile_rows",
    "zscore_outliers",
    "iqr_outliers",
)
MICROSECOND = timedelta(microseconds=1)


def quantile(values: Iterable[float], share: float) -> float:
    """Linear interpolation between the two nearest of the sorted values."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * share
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def removed_by(events: Sequence[Event], settings: Settings) -> dict[str, str]:
    """Step that removes each removed event, by uuid."""
    found: dict[str, str] = {}
    for step in ORDER:
        if step in settings.cleaning.steps:
            kept = [event for event in events if event["uuid"] not in found]
            found.update(dict.fromkeys(_STEPS[step](kept, settings), step))
    return found


def _sessions(events: Sequence[Event]) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event.session is not None:
            found[event.session].append(event)
    return found


def _rows(sessions: Iterable[Sequence[Event]]) -> list[str]:
    return [event["uuid"] for members in sessions for event in members]


def _duplicates(events: Sequence[Event], settings: Settings) -> list[str]:
    groups: dict[Any, list[Event]] = defaultdict(list)
    for event in events:
        if event["$insert_id"] is not None and event["device_id"] is not None:
            content = tuple(sorted((name, str(value)) for name, value in event.values.items() if name not in DELIVERY))
            groups[content].append(event)
    found = []
    for members in groups.values():
        members.sort(key=lambda e: (e["server_upload_time"] is None, str(e["server_upload_time"]), e["uuid"]))
        found += [event["uuid"] for event in members[1:]]
    return found


def _end_only(events: Sequence[Event], settings: Settings) -> list[str]:
    ends = settings.events.session_end_events
    return _rows(m for m in _sessions(events).values() if all(event["event_type"] in ends for event in m))


def _mobile(events: Sequence[Event], settings: Settings) -> list[str]:
    cleaning = settings.cleaning
    return [
        event["uuid"]
        for event in events
        if event["platform"] in cleaning.mobile_platforms or event["device_family"] in cleaning.mobile_device_families
    ]


def _durations(events: Sequence[Event]) -> dict[str, int]:
    return {
        session: (max(event.time for event in members) - min(event.time for event in members)) // MICROSECOND
        for session, members in _sessions(events).items()
    }


def _zscore(events: Sequence[Event], settings: Settings) -> list[str]:
    durations = _durations(events)
    if len(durations) < 2:
        return []
    mean = fmean(durations.values())
    std = math.sqrt(sum((value - mean) ** 2 for value in durations.values()) / (len(durations) - 1))
    limit = settings.cleaning.z_limit
    return _rows(m for s, m in _sessions(events).items() if std > 0 and abs(durations[s] - mean) / std > limit)


def _iqr(events: Sequence[Event], settings: Settings) -> list[str]:
    durations = _durations(events)
    if not durations:
        return []
    low, high = (quantile(durations.values(), share) for share in (0.25, 0.75))
    reach = settings.cleaning.iqr_factor * (high - low)
    return _rows(m for s, m in _sessions(events).items() if not low - reach <= durations[s] <= high + reach)


_STEPS: dict[str, Callable[[Sequence[Event], Settings], list[str]]] = {
    "exact_duplicates": _duplicates,
    "rows_without_actor": lambda events, _: [event["uuid"] for event in events if event.actor is None],
    "rows_without_user": lambda events, _: [event["uuid"] for event in events if event["user_id"] is None],
    "single_event_sessions": lambda events, _: _rows(m for m in _sessions(events).values() if len(m) == 1),
    "session_end_only_sessions": _end_only,
    "mobile_rows": _mobile,
    "zscore_outliers": _zscore,
    "iqr_outliers": _iqr,
}


def entropy(values: Iterable[Any]) -> float:
    """Shannon entropy in bits."""
    counts = Counter(values)
    total = sum(counts.values())
    return -sum(n / total * math.log2(n / total) for n in counts.values()) + 0.0


def is_noise(name: str, settings: Settings) -> bool:
    """Whether the user interface made an event by itself."""
    events = settings.events
    return name in events.noise_events or any(name.endswith(end) for end in events.noise_suffixes if end)


def screen_of(name: str, settings: Settings) -> str | None:
    """First parts of the name; None for noise."""
    mark, parts = settings.events.screen_separator, settings.events.screen_parts
    return None if is_noise(name, settings) else mark.join(name.split(mark)[:parts])


def classes_of(events: Sequence[Event], settings: Settings) -> dict[str, dict[str, Any]]:
    """Row of the ``actors`` table of every actor."""
    from analytics_assets.schemas import SENTINEL_IDS

    by_actor: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event.actor is not None:
            by_actor[event.actor].append(event)
    rows: dict[str, dict[str, Any]] = {}
    for actor, members in by_actor.items():
        sequences: dict[str, list[str]] = {}
        for event in sorted(members, key=lambda e: e.order):
            if event.session is not None:
                sequence = sequences.setdefault(event.session, [])
                name = event["event_type"]
                if not is_noise(name, settings) and sequence[-1:] != [name]:
                    sequence.append(name)
        days = len({event.time.date() for event in members})
        rows[actor] = {
            "actor": actor,
            "events": len(members),
            "sessions": len(sequences),
            "active_days": days,
            "sessions_per_active_day": len(sequences) / days,
            "sequence_entropy": entropy(map(tuple, sequences.values())) if sequences else None,
        }
    if not rows:
        return rows
    limits = settings.actors
    busy = quantile((row["sessions_per_active_day"] for row in rows.values()), limits.scripted_quantile)
    total = sum(row["events"] for row in rows.values())
    top = min(rows, key=lambda actor: (-rows[actor]["events"], actor))
    for actor, row in rows.items():
        kind, name = actor.split(":", 1)
        if name.lower() in SENTINEL_IDS:
            found = "sentinel"
        elif (
            row["sessions_per_active_day"] > busy
            and row["sessions"] >= limits.scripted_min_sessions
            and row["sequence_entropy"] < limits.scripted_max_entropy_bits
        ):
            found = "scripted"
        else:
            found = "user" if kind == "user" else "device"
        row |= {"actor_class": found, "event_share": row["events"] / total, "is_top_actor": actor == top}
    return rows
