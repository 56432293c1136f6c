"""Sequences are ordered as documented, whatever the order of rows and files."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analytics_assets.core.features.engine import open_engine
from analytics_assets.core.models.sequences import OTHER, SessionEvents, Vocabulary
from analytics_assets.schemas import CLEAN_EVENTS
from analytics_assets_tests.core.models.building import make_sequences

BASE = datetime(2024, 12, 31, 23, 0)


def row(
    uuid: str, session: int | None, minute: int, event: str, actor: str = "user:u", event_id: int | None = None
) -> dict:
    key = None if session is None else f"{actor}|{session}"
    plain = {"string": "", "int64": 0, "float64": 0.0, "bool": False}
    values = {c.name: None if c.nullable else plain.get(c.type) for c in CLEAN_EVENTS.columns}
    return values | {
        "uuid": uuid,
        "time": BASE + timedelta(minutes=minute),
        "event_type": event,
        "actor": actor,
        "session_key": key,
        "session_id": session,
        "event_id": event_id,
        "outside_year": False,
    }


ROWS = [
    row("1", 1, 0, "open"),
    row("2", 1, 5, "b", event_id=2),
    row("3", 1, 5, "a", event_id=1),
    row("4", 1, 5, "z", event_id=None),
    row("5", 2, 3, "open", actor="user:v"),
    row("6", None, 4, "ignored"),
    row("7", 1, 90, "after midnight"),
    row("8", 3, 0, "open", actor="user:a"),
]


@pytest.mark.parametrize("seed", range(5))
def test_order_and_sessions(tmp_path: Path, seed: int) -> None:
    rows = random.Random(seed).sample(ROWS, len(ROWS))
    files = [tmp_path / "2024.parquet", tmp_path / "2025.parquet"]
    for path, part in zip(files, (rows[:4], rows[4:]), strict=True):
        pq.write_table(pa.Table.from_pylist(part, CLEAN_EVENTS.arrow_schema()), path)
    with open_engine(tmp_path / "spill") as engine:
        sequences = SessionEvents.load(engine, files, screens=False).sequences()
    assert sequences.vocabulary == ["a", "after midnight", "b", "open", "z"]
    names = [sequences.vocabulary[code] for code in sequences.codes]
    sessions = [names[start:end] for start, end in zip(sequences.offsets[:-1], sequences.offsets[1:], strict=True)]
    assert sessions == [["open"], ["open", "a", "b", "z", "after midnight"], ["open"]]
    assert sequences.uuids.to_pylist() == ["8", "1", "3", "2", "4", "7", "5"]
    assert sequences.starts[0] == sequences.times[0] == BASE.replace(tzinfo=UTC).timestamp() * 1e6
    assert [sequences.actor_names[actor] for actor in sequences.actors] == ["user:a", "user:u", "user:v"]
    assert sequences.positions.tolist() == [2, 3, 4, 5]
    assert sequences.gaps.tolist() == [0, 0, 300, 0, 0, 5100, 0]
    assert sequences.hours.tolist() == [23, 23, 23, 23, 23, 0, 23]
    assert sequences.weekdays.tolist() == [1, 1, 1, 1, 1, 2, 1], "2024-12-31 was a Tuesday"


NOISY = ["open::x", "r:render", "r:render", "open::x", "b::y", "r:render", "open::x", "open::z"]


def written(tmp_path: Path, names: list[str], *, noise: bool, classes: list[str] | None = None) -> Path:
    rows = [
        row(str(n), 1, n, name)
        | {
            "is_noise": noise and name.endswith(":render"),
            "screen": None if noise and name.endswith(":render") else name.split("::")[0],
            "actor_class": classes[n] if classes else "user",
        }
        for n, name in enumerate(names)
    ]
    path = tmp_path / "2024.parquet"
    pq.write_table(pa.Table.from_pylist(rows, CLEAN_EVENTS.arrow_schema()), path)
    return path


def shown(path: Path, tmp_path: Path, people_only: bool = False, **how: Any) -> list[str]:
    with open_engine(tmp_path / "spill") as engine:
        sequences = SessionEvents.load(engine, [path], people_only=people_only).sequences(**how)
    return [sequences.vocabulary[code] for code in sequences.codes]


def test_streams_take_noise_out_and_runs_together(tmp_path: Path) -> None:
    path = written(tmp_path, NOISY, noise=True)
    assert shown(path, tmp_path, stream="raw") == NOISY
    assert shown(path, tmp_path, stream="intent") == ["open::x", "b::y", "open::x", "open::z"]
    assert shown(path, tmp_path, stream="screen") == ["open", "b", "open"]
    actions = [name for name in NOISY if not name.endswith(":render")]
    assert shown(path, tmp_path, stream="intent", keep_runs=True) == actions


def test_a_log_without_noise_passes_through(tmp_path: Path) -> None:
    path = written(tmp_path, NOISY, noise=False)
    assert shown(path, tmp_path, stream="intent") == NOISY
    assert shown(path, tmp_path, stream="screen") == [name.split("::")[0] for name in NOISY]


def test_machines_can_be_left_out(tmp_path: Path) -> None:
    classes = ["user", "device", "scripted", "sentinel"]
    path = written(tmp_path, ["a", "b", "c", "d"], noise=False, classes=classes)
    assert shown(path, tmp_path, people_only=True) == ["a", "b"]
    assert shown(path, tmp_path) == ["a", "b", "c", "d"]


def test_taking_sessions_keeps_everything_in_step() -> None:
    made = make_sequences([["a", "b"], ["c"], ["b", "b", "a"]], actors=["u", "v", "w"], devices=["x", "y", "x"])
    taken = made.take(np.array([2, 0]))
    assert [taken.vocabulary[code] for code in taken.codes] == ["b", "b", "a", "a", "b"]
    assert taken.offsets.tolist() == [0, 3, 5]
    assert taken.uuids.to_pylist() == ["e3", "e4", "e5", "e0", "e1"]
    assert taken.session_keys.to_pylist() == ["s2", "s0"]
    assert [taken.actor_names[actor] for actor in taken.actors] == ["w", "u"]
    assert made.take(np.array([True, False, True])).offsets.tolist() == [0, 2, 5]
    assert made.take(np.empty(0, dtype=np.int64)).sessions == 0


def test_rare_and_unknown_events_are_other() -> None:
    train = make_sequences([["a"] * 3 + ["b"] * 2])
    vocabulary = Vocabulary.fit(train, 3)
    assert vocabulary.names == ["a", OTHER]
    assert vocabulary.encode(make_sequences([["b", "a", "new"]])).codes.tolist() == [1, 0, 1]
    assert vocabulary.codes_of(["a", "zzz"]).tolist() == [0, 1]
