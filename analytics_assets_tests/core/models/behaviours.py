"""Actors of planted kinds, and files of their events, for the tests of segments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analytics_assets.core.features.engine import open_engine
from analytics_assets.core.models.kmeans_features import MEASURES, Behaviour
from analytics_assets.core.models.sequences import OTHER
from analytics_assets.schemas import CLEAN_EVENTS

EVENTS = [f"page {letter}::view" for letter in "abcdef"]


def planted(
    groups: int = 3, per_group: int = 40, seed: int = 0, events: int = 100, favour: float = 0.6
) -> tuple[Behaviour, np.ndarray]:
    """Actors of several kinds: each kind has its favourite event, `favour` of all; measures are the same for all."""
    rng = np.random.default_rng(seed)
    kinds = np.repeat(np.arange(groups), per_group)
    chances = np.full((groups, len(EVENTS)), (1 - favour) / len(EVENTS))
    chances[np.arange(groups), np.arange(groups)] += favour
    counts = np.array([rng.multinomial(events, chances[kind]) for kind in kinds]).reshape(-1, len(EVENTS))
    return behaviour_of(counts, rng), kinds


def behaviour_of(counts: np.ndarray, rng: np.random.Generator) -> Behaviour:
    rows = len(counts)
    return Behaviour(
        actors=[f"user:{number:04d}" for number in range(rows)],
        classes=["user"] * rows,
        measures=np.exp(rng.normal(0, 0.3, (rows, len(MEASURES)))),
        counts=np.column_stack([counts, np.zeros(rows, dtype=np.int64)]).astype(np.int64),
        event_names=[*EVENTS, OTHER],
        active_days=np.full(rows, 9, dtype=np.int64),
        countries=[str(value) for value in rng.choice(["Norway", "Poland"], rows)],
        devices=[None if value < 0.2 else "Windows" for value in rng.random(rows)],
    )


def truth_file(labels: np.ndarray) -> dict[str, Any]:
    return {
        "users": {
            str(number): {"user_id": f"{number:04d}", "persona": f"p{label}", "device_ids": []}
            for number, label in enumerate(labels)
        }
    }


def event(uuid: int, actor: str, day: int, name: str, *, noise: bool = False, **changes: Any) -> dict[str, Any]:
    plain = {"string": "", "int64": 0, "float64": 0.0, "bool": False}
    values = {c.name: None if c.nullable else plain.get(c.type) for c in CLEAN_EVENTS.columns}
    time = datetime(2024, 5, 1 + day, 6) + timedelta(minutes=uuid)
    return values | {
        "uuid": f"{uuid:05d}",
        "time": time,
        "hour": 6,
        "weekday": time.isoweekday(),
        "event_type": name,
        "actor": actor,
        "actor_class": "user",
        "session_key": f"{actor}|{day}",
        "is_noise": noise,
        "country": "Norway",
        **changes,
    }


@contextmanager
def engine_of(folder: Path, rows: list[dict[str, Any]]) -> Iterator[tuple[Any, Path, Path]]:
    """An engine with the files of events and of their sessions."""
    events, visits = folder / "events.parquet", folder / "sessions.parquet"
    pq.write_table(pa.Table.from_pylist(rows, CLEAN_EVENTS.arrow_schema()), events)
    sessions: dict[str, list[datetime]] = {}
    for row in rows:
        sessions.setdefault(row["session_key"], []).append(row["time"])
    pq.write_table(
        pa.Table.from_pylist(
            [
                {
                    "session_key": key,
                    "actor": key.split("|")[0],
                    "session_id": 1,
                    "start_time": min(times),
                    "end_time": max(times),
                    "events": len(times),
                    "entry_event": "",
                    "exit_event": "",
                }
                for key, times in sessions.items()
            ]
        ),
        visits,
    )
    with open_engine(folder / "spill") as engine:
        yield engine, events, visits
