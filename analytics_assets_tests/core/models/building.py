"""Sessions made by hand or by a rule, for the tests of models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from analytics_assets.core.models.next_event import Task
from analytics_assets.core.models.sequences import Sequences, Vocabulary

DAY = 86_400_000_000
START = 1_704_067_200_000_000
"""2024-01-01 in microseconds."""


def make_sequences(
    sessions: Sequence[Sequence[str]],
    *,
    actors: Sequence[str] | None = None,
    devices: Sequence[str] | None = None,
    gap_seconds: float = 10,
    between: int = 3_600_000_000,
) -> Sequences:
    """Sessions one after another, `between` microseconds from start to start, events `gap_seconds` apart."""
    vocabulary = sorted({event for session in sessions for event in session})
    place = {name: code for code, name in enumerate(vocabulary)}
    lengths = np.array([len(session) for session in sessions], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    starts = START + np.arange(len(sessions), dtype=np.int64) * between
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    times = np.repeat(starts, lengths) + (within * gap_seconds * 1e6).astype(np.int64)
    names = list(actors) if actors is not None else [f"user:{number % 7}" for number in range(len(sessions))]
    families = list(devices) if devices is not None else [""] * len(sessions)
    actor_names, device_names = sorted(set(names)), sorted(set(families))
    codes = np.array([place[event] for session in sessions for event in session], dtype=np.int32)
    repeats = np.diff(codes, prepend=-1) == 0
    repeats[offsets[:-1]] = False
    return Sequences(
        codes=codes,
        offsets=offsets,
        vocabulary=vocabulary,
        repeats=repeats,
        times=times,
        starts=starts,
        ends=starts + ((lengths - 1) * gap_seconds * 1e6).astype(np.int64),
        actors=np.array([actor_names.index(name) for name in names], dtype=np.int32),
        devices=np.array([device_names.index(name) for name in families], dtype=np.int32),
        actor_names=actor_names,
        device_names=device_names,
        uuids=pa.array([f"e{number}" for number in range(offsets[-1])], pa.string()),
        session_keys=pa.array([f"s{number}" for number in range(len(sessions))], pa.string()),
    )


def make_task(train: Sequences, validation: Sequences, test: Sequences, *, min_events: int = 1) -> Task:
    """A task of three given parts."""
    vocabulary = Vocabulary.fit(train, min_events)
    return Task(
        stream="intent",
        vocabulary=vocabulary,
        train=vocabulary.encode(train),
        validation=vocabulary.encode(validation),
        test=vocabulary.encode(test),
        split={"protocol": "given"},
    )


def planted(count: int, seed: int, *, length: int = 8, users: int = 20) -> Sequences:
    """Sessions of a rule with known optimum: over five events, the next one is the successor of the last with chance
    0.7 and any of the five with chance 0.3, so that the best top-1 accuracy is 0.76 and order 1 suffices."""
    rng = np.random.default_rng(seed)
    sessions = []
    for _ in range(count):
        state = int(rng.integers(5))
        path = [state]
        for _ in range(length - 1):
            state = (state + 1) % 5 if rng.random() < 0.7 else int(rng.integers(5))
            path.append(state)
        sessions.append([f"event {state}" for state in path])
    actors = [f"user:{int(user):02d}" for user in rng.integers(users, size=count)]
    return make_sequences(sessions, actors=actors)
