"""Sessions and actors of chunk files in plain Python, by the written rules.

Put here: what the tests of sequences, funnels and cohorts compare with. Keep out: fixtures, and expectations of tables.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path

from analytics_assets_tests.core.event_data import Event, events_of
from analytics_assets_tests.core.summaries.reference import actor_classes, is_noise

Step = tuple[str, int]
"""Name of an event or screen, and its time in microseconds."""


@dataclass(frozen=True)
class Unit:
    """A session, or an actor, with its events in order and the populations that it belongs to."""

    key: str
    events: list[Event]
    populations: tuple[str, ...]

    @property
    def streams(self) -> dict[str, list[Step]]:
        """The events as steps in each stream that has one."""
        raw = [(event["event_type"], microseconds(event)) for event in self.events]
        intent = [next(run) for _, run in groupby((s for s in raw if not is_noise(s[0])), key=lambda step: step[0])]
        places = [("::".join(name.split("::")[:2]), time) for name, time in intent]
        screen = [next(run) for _, run in groupby(places, key=lambda step: step[0])]
        return {name: steps for name, steps in (("raw", raw), ("intent", intent), ("screen", screen)) if steps}


def microseconds(event: Event) -> int:
    """Time of an event as a number."""
    return (event.time - datetime(1970, 1, 1)) // timedelta(microseconds=1)


@dataclass(frozen=True)
class Visits:
    """Sessions and actors of one year."""

    sessions: list[Unit]
    actors: list[Unit]


def visits_of(files: Sequence[Path]) -> Visits:
    """Read chunk files; a session belongs to the actor of its first event."""
    events = sorted(events_of(files), key=lambda event: event.order)
    classes = actor_classes(events)

    def populations(actor: str | None) -> tuple[str, ...]:
        kind, is_top = ("sentinel", False) if actor is None else classes[actor]
        names = {"all": True, "people": kind in ("user", "device"), "without_top_actor": not is_top}
        return tuple(name for name, member in names.items() if member)

    sessions: dict[str, list[Event]] = defaultdict(list)
    actors: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event.session is not None:
            sessions[event.session].append(event)
        if event.actor is not None:
            actors[event.actor].append(event)
    return Visits(
        [Unit(key, own, populations(own[0].actor)) for key, own in sessions.items()],
        [Unit(key, own, populations(key)) for key, own in actors.items()],
    )
