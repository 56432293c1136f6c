"""The feature tables in plain Python, written from their descriptions.

Put here: the rows that each table must have for given events. Keep out: assertions, and the rules of cleaning and of
actors (``cleaning_reference``).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from statistics import fmean, median
from typing import Any

import duckdb
import pyarrow as pa

from analytics_assets.core.features.imputation import build_places
from analytics_assets.core.settings import default_settings
from analytics_assets.schemas import CLEAN_EVENTS
from analytics_assets_tests.core.cleaning_reference import (
    classes_of,
    entropy,
    is_noise,
    quantile,
    removed_by,
    screen_of,
)
from analytics_assets_tests.core.event_data import Event

MICROSECOND = timedelta(microseconds=1)


def micros(start: datetime | None, end: datetime | None) -> int | None:
    return None if start is None or end is None else (end - start) // MICROSECOND


def in_sessions(events: Sequence[Event]) -> dict[str, list[Event]]:
    found = defaultdict(list)
    for event in events:
        if event.session is not None:
            found[event.session].append(event)
    return {session: sorted(members, key=lambda e: e.order) for session, members in found.items()}


def places_of(events: Sequence[Event]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """What ``build_places`` says about each combination of actor, device and delivered place."""
    key = ("actor", "device_id", "country", "region", "city", "dma")
    columns = {name: [e.actor if name == "actor" else e[name] for e in events] for name in key}
    rows = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    with duckdb.connect() as engine:
        engine.register("rows", rows)
        found = engine.sql(f"SELECT * FROM {build_places(engine, 'rows')}").to_arrow_table().to_pylist()
    names = ("actor", "device_id", "delivered_country", "delivered_region", "delivered_city", "delivered_dma")
    return {tuple(row[name] for name in names): row for row in found}


def steps_of(members: Sequence[Event], name_of: Callable[[str], str | None]) -> list[int]:
    """Number of the step that each event of a session belongs to, when the unnamed ones belong to the one before."""
    found: list[int] = []
    number, last = 0, None
    for event in members:
        name = name_of(event["event_type"])
        if name is not None and name != last:
            number, last = number + 1, name
        found.append(number)
    return found


def expected_events(events: Sequence[Event], year: str) -> dict[str, dict[str, Any]]:
    """Row of clean_events or dropped_events of every event, by uuid."""
    settings = default_settings()
    actors, places = classes_of(events, settings), places_of(events)
    derived: dict[str, dict[str, Any]] = {}
    for members in in_sessions(events).values():
        intents = steps_of(members, lambda name: None if is_noise(name, settings) else name)
        screens = steps_of(members, lambda name: screen_of(name, settings))
        for n, event in enumerate(members):
            gap = (event.time - members[n - 1].time).total_seconds() if n else None
            derived[event["uuid"]] = {
                "position": n + 1,
                "seconds_since_start": (event.time - members[0].time).total_seconds(),
                "seconds_since_previous": gap,
                "is_burst": None if gap is None else gap < 0.05,
                "intent_step": intents[n],
                "screen_step": screens[n],
            }
    outside = ("position", "seconds_since_start", "seconds_since_previous", "is_burst", "intent_step", "screen_step")
    found = {}
    for event in events:
        latency = micros(event["client_upload_time"], event["server_received_time"])
        processing = micros(event["server_received_time"], event["processed_time"])
        key = (event.actor, *(event[name] for name in ("device_id", "country", "region", "city", "dma")))
        hour, weekday = 2 * math.pi * event.time.hour / 24, 2 * math.pi * event.time.weekday() / 7
        row = {name: event.values.get(name) for name in CLEAN_EVENTS.column_names}
        row |= {
            name: value for name, value in places[key].items() if name in row and name not in ("actor", "device_id")
        }
        row |= {
            "time": event.time,
            "actor": event.actor,
            "actor_class": actors[event.actor]["actor_class"] if event.actor else "sentinel",
            "session_key": event.session,
            "latency_ms": None if latency is None else latency / 1000,
            "processing_ms": None if processing is None else processing / 1000,
            "outside_year": event.time.year != int(year),
            "hour": event.time.hour,
            "weekday": event.time.isoweekday(),
            "hour_sin": math.sin(hour),
            "hour_cos": math.cos(hour),
            "weekday_sin": math.sin(weekday),
            "weekday_cos": math.cos(weekday),
            "is_noise": is_noise(event["event_type"], settings),
            "screen": screen_of(event["event_type"], settings),
            **derived.get(event["uuid"], dict.fromkeys(outside)),
        }
        found[event["uuid"]] = row
    return found


def expected_clean(events: Sequence[Event], year: str) -> list[dict[str, Any]]:
    gone = removed_by(events, default_settings())
    return [row for uuid, row in expected_events(events, year).items() if uuid not in gone]


def expected_dropped(events: Sequence[Event], year: str) -> list[dict[str, Any]]:
    gone = removed_by(events, default_settings())
    return [row | {"dropped_by": gone[uuid]} for uuid, row in expected_events(events, year).items() if uuid in gone]


def kept(events: Sequence[Event]) -> list[Event]:
    gone = removed_by(events, default_settings())
    return [event for event in events if event["uuid"] not in gone]


def expected_sessions(events: Sequence[Event], year: str) -> list[dict[str, Any]]:
    start, end = datetime(int(year), 1, 1), datetime(int(year) + 1, 1, 1)
    epoch = datetime(1970, 1, 1)
    milliseconds = [(moment - epoch) // timedelta(milliseconds=1) for moment in (start, end)]
    settings = default_settings()
    actors = classes_of(events, settings)
    countries = {uuid: row["country"] for uuid, row in expected_events(events, year).items()}
    found = []
    for session, members in in_sessions(events).items():
        first, last = members[0], members[-1]
        number = first["session_id"]
        intents = steps_of(members, lambda name: None if is_noise(name, settings) else name)[-1]
        found.append(
            {
                "session_key": session,
                "actor": first.actor,
                "actor_class": actors[first.actor]["actor_class"],
                "session_id": number,
                "person": session.removesuffix(f"|{number}"),
                "start_time": first.time,
                "end_time": last.time,
                "duration_seconds": (last.time - first.time).total_seconds(),
                "start_hour": first.time.hour,
                "start_weekday": first.time.isoweekday(),
                "events": len(members),
                "event_types": len({event["event_type"] for event in members}),
                "intent_events": intents,
                "event_entropy": entropy(event["event_type"] for event in members),
                "is_bounce": intents <= 1,
                "mean_latency_ms": mean_latency(members),
                "entry_event": first["event_type"],
                "exit_event": last["event_type"],
                "country": next((c for e in members if (c := countries[e["uuid"]]) is not None), None),
                "device_family": next((e["device_family"] for e in members if e["device_family"] is not None), None),
                "may_cross_year": first.time < start
                or last.time >= end - timedelta(minutes=30)
                or not milliseconds[0] <= number < milliseconds[1],
            }
        )
    return found


def latencies(events: Sequence[Event]) -> list[float]:
    known = [micros(event["client_upload_time"], event["server_received_time"]) for event in events]
    return [latency / 1000 for latency in known if latency is not None and abs(latency) <= 60_000_000]


def mean_latency(events: Sequence[Event]) -> float | None:
    known = latencies(events)
    return fmean(known) if known else None


def most_frequent(values: Sequence[Any]) -> Any:
    counts = Counter(value for value in values if value is not None)
    return min(counts, key=lambda value: (-counts[value], value)) if counts else None


def expected_users(
    events: Sequence[Event], all_events: Sequence[Event], classes: dict[str, str]
) -> list[dict[str, Any]]:
    """Rows over `events`; sessions have the length that they have over `all_events`."""
    sessions = in_sessions(all_events)
    countries = {uuid: row["country"] for uuid, row in expected_events(all_events, "2024").items()}
    by_actor = defaultdict(list)
    for event in events:
        if event.actor is not None:
            by_actor[event.actor].append(event)
    newest = max((event.time for members in by_actor.values() for event in members), default=None)
    found = []
    for actor, members in by_actor.items():
        times = [event.time for event in members]
        days = len({time.date() for time in times})
        own = {event.session for event in members if event.session is not None}
        seconds = [(sessions[key][-1].time - sessions[key][0].time).total_seconds() for key in own]
        types = [event["event_type"] for event in members]
        inside = sum(event.session is not None for event in members)
        angles = [2 * math.pi * time.hour / 24 for time in times]
        top = most_frequent(types)
        found.append(
            {
                "actor": actor,
                "actor_class": classes[actor],
                "first_seen": min(times),
                "last_seen": max(times),
                "active_days": days,
                "tenure_days": (max(times) - min(times)) / timedelta(days=1),
                "recency_days": (newest - max(times)) / timedelta(days=1),
                "active_day_share": days / ((max(times).date() - min(times).date()).days + 1),
                "events": len(members),
                "sessions": len(own),
                "event_types": len(set(types)),
                "events_per_active_day": len(members) / days,
                "sessions_per_active_day": len(own) / days,
                "events_per_session": inside / len(own) if own else None,
                "mean_session_seconds": fmean(seconds) if own else None,
                "median_session_seconds": median(seconds) if own else None,
                "action_session_share": sum(s > 1 for s in seconds) / len(own) if own else None,
                "noise_share": sum(is_noise(name, default_settings()) for name in types) / len(types),
                "weekend_share": sum(time.weekday() >= 5 for time in times) / len(times),
                "hour_sin": fmean(map(math.sin, angles)),
                "hour_cos": fmean(map(math.cos, angles)),
                "peak_hour": most_frequent([time.hour for time in times]),
                "event_entropy": entropy(types),
                "top_event": top,
                "top_event_share": types.count(top) / len(types),
                "mean_latency_ms": mean_latency(members),
                "country": most_frequent([countries[event["uuid"]] for event in members]),
                "device_family": most_frequent([event["device_family"] for event in members]),
            }
        )
    return found


def expected_profiles(events: Sequence[Event], classes: dict[str, str]) -> list[dict[str, Any]]:
    settings = default_settings()
    found = []
    for dimension, value_of in {
        "event_type": lambda event: event["event_type"],
        "screen": lambda event: screen_of(event["event_type"], settings),
        "hour": lambda event: f"{event.time.hour:02d}",
    }.items():
        pairs = Counter((e.actor, value_of(e)) for e in events if e.actor is not None and value_of(e) is not None)
        totals: Counter[str] = Counter()
        for (actor, _), number in pairs.items():
            totals[actor] += number
        found += [
            {
                "actor": actor,
                "actor_class": classes[actor],
                "dimension": dimension,
                "value": value,
                "events": number,
                "share": number / totals[actor],
            }
            for (actor, value), number in pairs.items()
        ]
    return found


def expected_days(
    events: Sequence[Event], all_events: Sequence[Event], years: Sequence[str], classes: dict[str, str]
) -> list[dict[str, Any]]:
    by_day: dict[date, list[Event]] = defaultdict(list)
    for event in events:
        by_day[event.time.date()].append(event)
    own = {event.session for event in events}
    durations: dict[date, list[float]] = defaultdict(list)
    for session, members in in_sessions(all_events).items():
        if session in own:
            durations[members[0].time.date()].append((members[-1].time - members[0].time).total_seconds())
    inside = [day for day in by_day if str(day.year) in years]
    days = set(by_day) | set(durations)
    days |= {min(inside) + timedelta(days=n) for n in range((max(inside) - min(inside)).days + 1)} if inside else set()
    settings = default_settings()
    found = []
    for day in days:
        members = by_day.get(day, [])
        known = latencies(members)
        found.append(
            {
                "date": day,
                "events": len(members),
                "intent_events": sum(not is_noise(event["event_type"], settings) for event in members),
                "machine_events": sum(
                    event.actor is None or classes[event.actor] in ("scripted", "sentinel") for event in members
                ),
                "actors": len({event.actor for event in members} - {None}),
                "users": len({event["user_id"] for event in members} - {None}),
                "sessions": len(durations.get(day, [])),
                "mean_session_seconds": fmean(durations[day]) if day in durations else None,
                "median_session_seconds": median(durations[day]) if day in durations else None,
                "mean_latency_ms": fmean(known) if known else None,
                "p95_latency_ms": quantile(known, 0.95) if known else None,
                "outside_year": str(day.year) not in years,
                "is_gap": not members,
            }
        )
    return found


def class_by_actor(events: Sequence[Event]) -> dict[str, str]:
    return {actor: row["actor_class"] for actor, row in classes_of(events, default_settings()).items()}
