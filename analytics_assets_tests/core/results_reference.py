"""The published figures in plain Python, from chunk files and without the code under test.

Put here: events, sessions and the reference of single figures. Keep out: lists (``results_reference_lists.py``).
Places (standardized) and classes of actors are read from the feature tables: they have references of their own.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import fmean
from typing import Any

import pyarrow.parquet as pq

from analytics_assets.core.lake import Lake
from analytics_assets_tests.core.event_data import Event, chunk_files, events_of

TOP = 20
PLACES = ("country", "region", "city")
NOISE_EVENTS = ("session_start", "session_end")
BURST = timedelta(milliseconds=50)
SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Row:
    """One accepted event."""

    year: str
    event: Event
    features: dict[str, Any]
    is_top: bool

    def __getitem__(self, name: str) -> Any:
        return self.event[name]

    @property
    def kind(self) -> str:
        return self.event["event_type"]

    @property
    def time(self) -> datetime:
        return self.event.time

    @property
    def is_person(self) -> bool:
        return self.features["actor_class"] in ("user", "device")

    @property
    def is_noise(self) -> bool:
        return self.kind.endswith(":render") or self.kind in NOISE_EVENTS

    def observed(self, level: str) -> str | None:
        """Standardized place where it was delivered."""
        return self.features[level] if self.features[f"{level}_method"] == "observed" else None

    def milliseconds(self, start: str, end: str) -> float | None:
        if self[start] is None or self[end] is None:
            return None
        return (self[end] - self[start]) / timedelta(milliseconds=1)

    @property
    def latency(self) -> float | None:
        found = self.milliseconds("client_upload_time", "server_received_time")
        return found if found is not None and abs(found) <= 60_000 else None


def accepted_rows(lake: Lake, years: Sequence[str]) -> list[Row]:
    """Every accepted event of the years."""
    found = []
    for year in years:
        features = {
            row["uuid"]: row
            for table in ("clean_events", "dropped_events")
            for row in pq.read_table(lake.feature(table, year)).to_pylist()
        }
        found += [(year, event, features[event["uuid"]]) for event in events_of(chunk_files(lake, year))]
        assert len(features) == len(events_of(chunk_files(lake, year)))
    actors = Counter(event.actor for _, event, _ in found if event.actor is not None)
    top = min(actors, key=lambda actor: (-actors[actor], actor), default=None)
    return [Row(year, event, row, event.actor is not None and event.actor == top) for year, event, row in found]


@dataclass(frozen=True)
class Visit:
    """One session over all years."""

    members: list[Row]

    @property
    def start(self) -> datetime:
        return self.members[0].time

    @property
    def seconds(self) -> float:
        return (self.members[-1].time - self.start).total_seconds()

    @property
    def is_person(self) -> bool:
        return self.members[0].is_person

    @property
    def is_top(self) -> bool:
        return self.members[0].is_top

    @property
    def intents(self) -> list[Row]:
        kept: list[Row] = []
        for row in self.members:
            if not row.is_noise and (not kept or kept[-1].kind != row.kind):
                kept.append(row)
        return kept


def visits_of(rows: Iterable[Row]) -> list[Visit]:
    groups = defaultdict(list)
    for row in rows:
        if row.event.session is not None:
            groups[row.event.session].append(row)
    return [Visit(sorted(members, key=lambda row: row.event.order)) for members in groups.values()]


POPULATIONS: dict[str, Callable[[Any], bool]] = {
    "all": lambda _: True,
    "people": lambda thing: thing.is_person,
    "without_top_actor": lambda thing: not thing.is_top,
}


def percentile(values: Iterable[float], share: float) -> float | None:
    ordered = sorted(values)
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    low = ordered[math.floor(place)]
    return low + (ordered[math.ceil(place)] - low) * (place - math.floor(place))


def mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def counted(things: Iterable[Any]) -> int:
    return len(set(things) - {None})


def grouped(rows: Iterable[Row], of: Callable[[Row], Hashable]) -> dict[Any, list[Row]]:
    groups = defaultdict(list)
    for row in rows:
        groups[of(row)].append(row)
    return groups


def metrics(every: list[Row], sessions: list[Visit], population: str) -> dict[str, Any]:
    """Metrics over one population, those of the summaries and manifests left out."""
    chosen = POPULATIONS[population]
    rows, visits = [row for row in every if chosen(row)], [visit for visit in sessions if chosen(visit)]
    seconds = [visit.seconds for visit in visits]
    carried = [visit.seconds for visit in visits for _ in visit.members]
    sizes = [len(visit.members) for visit in visits]
    intents = [len(visit.intents) for visit in visits]
    actors = grouped((row for row in rows if row.event.actor is not None), lambda row: row.event.actor).values()
    of_actor = [len(members) for members in actors]
    sessions_of_actor = [counted(row.event.session for row in members) for members in actors]
    steps = [pair for visit in visits for pair in pairwise(visit.members)]
    gaps = [after.time - before.time for before, after in steps]
    latencies = [row.latency for row in rows if row.latency is not None]
    processing = [
        value for row in rows if (value := row.milliseconds("server_received_time", "processed_time")) is not None
    ]
    found: dict[str, Any] = {
        "events": len(rows),
        "events_outside_year": sum(row.time.year != int(row.year) for row in rows),
        "users": counted(row["user_id"] for row in rows),
        "actors": len(actors),
        "top_actor_share": share(max(of_actor, default=0), sum(of_actor)),
        "events_per_actor_mean": mean(of_actor),
        "events_per_actor_median": percentile(of_actor, 0.5),
        "events_per_actor_max": max(of_actor, default=None),
        "sessions_per_actor_mean": mean(sessions_of_actor),
        "sessions_per_actor_median": percentile(sessions_of_actor, 0.5),
        "returning_actor_share": share(
            sum(len({row.time.date() for row in members}) > 1 for members in actors), len(actors)
        ),
        "event_types": counted(row.kind for row in rows),
        "noise_share": share(sum(row.is_noise for row in rows), len(rows)),
        "sessions": len(visits),
        "active_sessions": sum(number > 0 for number in intents),
        "active_session_share": share(sum(number > 0 for number in intents), len(visits)),
        "bounce_share": share(sum(number <= 1 for number in intents), len(visits)),
        "single_event_sessions": sizes.count(1),
        "short_sessions": sum(value <= 1 for value in seconds),
        "end_only_sessions": sum(all(row.kind == "session_end" for row in visit.members) for visit in visits),
        "session_seconds_mean": mean(seconds),
        "session_seconds_median": percentile(seconds, 0.5),
        "session_seconds_max": max(seconds, default=None),
        "event_session_seconds_mean": mean(carried),
        "event_session_seconds_median": percentile(carried, 0.5),
        "events_per_session_mean": mean(sizes),
        "events_per_session_median": percentile(sizes, 0.5),
        "events_per_session_max": max(sizes, default=None),
        "intent_steps_per_session_mean": mean(intents),
        "transitions": len(steps),
        "distinct_transitions": len({(a.kind, b.kind) for a, b in steps}),
        "seconds_between_events_median": percentile([gap.total_seconds() for gap in gaps], 0.5),
        "tie_share": share(sum(not gap for gap in gaps), len(gaps)),
        "burst_share": share(sum(gap < BURST for gap in gaps), len(gaps)),
        "active_days": counted(row.time.date() for row in rows),
        "weekend_share": share(sum(row.time.isoweekday() >= 6 for row in rows), len(rows)),
        "countries": counted(row.observed("country") for row in rows),
        "latency_ms_mean": mean(latencies),
        "latency_ms_median": percentile(latencies, 0.5),
        "latency_ms_p95": percentile(latencies, 0.95),
        "latency_ms_p99": percentile(latencies, 0.99),
        "processing_ms_mean": mean(processing),
        "processing_ms_median": percentile(processing, 0.5),
        "processing_ms_p95": percentile(processing, 0.95),
    }
    for level in PLACES:
        imputed = sum(row.features[f"{level}_method"] not in (None, "observed") for row in rows)
        found[f"imputed_{level}_share"] = share(imputed, len(rows))
    if population == "all":
        for name in ("scripted", "sentinel"):
            members = [row for row in rows if row.features["actor_class"] == name]
            found[f"{name}_actors"] = counted(row.event.actor for row in members)
            found[f"{name}_event_share"] = share(len(members), len(rows))
        found["events_without_actor"] = sum(row.event.actor is None for row in rows)
        found["events_without_session"] = sum(row.event.session is None for row in rows)
    return found
