"""Sequences are ordered as documented, whatever the order of rows and files."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analytics_assets.core.features.engine import open_engine
from analytics_assets.core.models.sequences import load_sequences
from analytics_assets.schemas import CLEAN_EVENTS

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
        sequences = load_sequences(engine, files)
    assert sequences.vocabulary == ["a", "after midnight", "b", "open", "z"]
    names = [sequences.vocabulary[code] for code in sequences.codes]
    sessions = [names[start:end] for start, end in zip(sequences.offsets[:-1], sequences.offsets[1:], strict=True)]
    assert sessions == [["open"], ["open", "a", "b", "z", "after midnight"], ["open"]]
    assert sequences.uuids.to_pylist() == ["8", "1", "3", "2", "4", "7", "5"]
    assert sequences.starts[0].startswith("2024-12-31 23:00")


def test_train_share_is_rounded_down(tmp_path: Path) -> None:
    path = tmp_path / "2024.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS, CLEAN_EVENTS.arrow_schema()), path)
    with open_engine(tmp_path / "spill") as engine:
        sequences = load_sequences(engine, [path])
    assert sequences.sessions == 3
    assert sequences.train_sessions(0.8) == 2
