"""Sessions as integer sequences, and the one split in time that every next-event model uses.

Put here: loading, encoding, splitting. Keep out: models and metrics.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.expressions import SESSION_ORDER
from analytics_assets.core.features.engine import parquet

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

TRAIN_SHARE = 0.8
"""Share of sessions, by start, that models may learn from."""


@dataclass(frozen=True)
class Sequences:
    """Events of many sessions, session after session.

    Parameters
    ----------
    codes : int32 array, shape (events,)
        Event types as places in `vocabulary`; sessions ordered by (start, actor, session_id), events inside them by
        (time, event_id, uuid).
    offsets : int64 array, shape (sessions + 1,)
        Session ``i`` is ``codes[offsets[i]:offsets[i + 1]]``.
    vocabulary : list of str
        Event types in ascending order, so that the smallest code is the alphabetically first name.
    uuids, session_keys : pyarrow.ChunkedArray, length events
        Identity of every event and its session.
    starts : list of str
        Start of each session.
    """

    codes: NDArray[np.int32]
    offsets: NDArray[np.int64]
    vocabulary: list[str]
    uuids: pa.ChunkedArray
    session_keys: pa.ChunkedArray
    starts: list[str]

    @property
    def sessions(self) -> int:
        """Number of sessions."""
        return len(self.offsets) - 1

    def train_sessions(self, share: float = TRAIN_SHARE) -> int:
        """Number of leading sessions to learn from: floor(share x sessions)."""
        return math.floor(share * self.sessions)


def load_sequences(engine: duckdb.DuckDBPyConnection, clean: Sequence[Path]) -> Sequences:
    """Load every session of the given clean_events files; a session that crosses years is one."""
    source = parquet(clean)
    rows = engine.sql(
        f"""
        WITH events AS (
            SELECT session_key, uuid, event_type, time, event_id,
                min(time) OVER whole AS start, first(actor) OVER ordered AS first_actor,
                session_id
            FROM {source} WHERE session_key IS NOT NULL
            WINDOW whole AS (PARTITION BY session_key),
                ordered AS (PARTITION BY session_key ORDER BY {SESSION_ORDER}
                            ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
        )
        SELECT session_key, uuid, event_type, start::VARCHAR AS start FROM events
        ORDER BY events.start, first_actor, session_id, session_key, {SESSION_ORDER}
        """
    ).to_arrow_table()
    encoded = rows["event_type"].combine_chunks().dictionary_encode()
    names = encoded.dictionary.to_pylist()
    vocabulary = sorted(names)
    place = {name: code for code, name in enumerate(vocabulary)}
    translate = np.array([place[name] for name in names], dtype=np.int32)
    codes = translate[encoded.indices.to_numpy()] if len(names) else np.empty(0, dtype=np.int32)
    keys = rows["session_key"].combine_chunks().dictionary_encode().indices.to_numpy()
    first = np.flatnonzero(np.diff(keys, prepend=-1)) if len(keys) else np.empty(0, dtype=np.int64)
    offsets = np.append(first, len(keys)).astype(np.int64)
    starts = rows["start"].take(first).to_pylist()
    return Sequences(codes, offsets, vocabulary, rows["uuid"], rows["session_key"], starts)
