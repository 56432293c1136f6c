"""Plain transition counts of all sessions, and the accuracy of the chain that they are.

Put here: the published table of transitions of orders 1 and 2 over *raw* events, and the figures by which the data set
can be compared with others: sessions by start, the first 80 % learned from, none purged, every actor. Keep out: the
model proper (``markov.py``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.files import write_table
from analytics_assets.core.models.sequences import Sequences, SessionEvents
from analytics_assets.core.models.split import TRAIN_SHARE
from analytics_assets.schemas import MARKOV_PREDICTIONS, MARKOV_TRANSITIONS

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

Codes = NDArray[np.int64]

SESSION_START = -1
"""Stands for the event before the first one of a session."""


def pair(previous: Any, current: Any, vocabulary: int) -> Any:
    """Code of a context of two events; of one event when `previous` is `SESSION_START` throughout."""
    return (previous + 1) * vocabulary + current


@dataclass(frozen=True)
class Successors:
    """What followed each context.

    Parameters
    ----------
    contexts : int64 array, shape (pairs,)
        Context of each (context, next) pair, ascending.
    following : int64 array, shape (pairs,)
        Next event; inside a context by falling count, ties by ascending code.
    counts : int64 array, shape (pairs,)
        Occurrences.
    """

    contexts: Codes
    following: Codes
    counts: Codes

    @classmethod
    def of(cls, contexts: Codes, following: Codes) -> Successors:
        """Count (context, next) pairs."""
        if not len(contexts):
            empty = np.empty(0, dtype=np.int64)
            return cls(empty, empty, empty)
        # Each pair as one number: 1.5 million take 0.06 s, as columns 2.3 s.
        base = int(following.max()) + 1
        pairs, counts = np.unique(contexts * base + following, return_counts=True)
        context, follower = np.divmod(pairs, base)
        order = np.lexsort((follower, -counts, context))
        return cls(context[order], follower[order], counts[order])

    def ranked(self, contexts: Codes, rank: int) -> Codes:
        """The successor of given rank (0 = most frequent) for each context, -1 where there is none."""
        if not len(self.contexts):
            return np.full(len(contexts), -1, dtype=np.int64)
        left = np.searchsorted(self.contexts, contexts, side="left")
        right = np.searchsorted(self.contexts, contexts, side="right")
        wanted = left + rank
        found = wanted < right
        return np.where(found, self.following[np.minimum(wanted, len(self.following) - 1)], -1)


@dataclass(frozen=True)
class TransitionCounts:
    """Order-1 and order-2 successor counts with back-off: order 2, else order 1, else the most frequent event."""

    vocabulary: list[str]
    order1: Successors
    order2: Successors
    most_frequent: int

    def save(self, path: Path) -> None:
        """Write the rows of ``MARKOV_TRANSITIONS``."""
        import pyarrow as pa

        names = pa.array(self.vocabulary, pa.string())
        parts = []
        for successors, order in ((self.order1, 1), (self.order2, 2)):
            previous, current = divmod(successors.contexts, max(1, len(self.vocabulary)))
            previous -= 1
            totals = np.zeros(0)
            if len(successors.contexts):
                _, start, inverse = np.unique(successors.contexts, return_index=True, return_inverse=True)
                totals = np.add.reduceat(successors.counts, start)[inverse]
            parts.append(
                pa.table(
                    {
                        "order": np.full(len(current), order, dtype=np.int64),
                        "previous_event": names.take(pa.array(previous, mask=previous == SESSION_START)),
                        "from_event": names.take(pa.array(current)),
                        "to_event": names.take(pa.array(successors.following)),
                        "transitions": successors.counts,
                        "probability": successors.counts / totals,
                    }
                )
            )
        write_table(path, pa.concat_tables(parts), MARKOV_TRANSITIONS)


@dataclass(frozen=True)
class Transitions:
    """Successive events inside sessions; ``previous`` is `SESSION_START` where ``current`` opens its session."""

    previous: Codes
    current: Codes
    following: Codes
    place: Codes


def transitions_of(sequences: Sequences, first: int, last: int) -> Transitions:
    """Transitions inside sessions `first` to `last` (exclusive)."""
    start, end = sequences.offsets[first], sequences.offsets[last]
    codes = sequences.codes[start:end].astype(np.int64)
    opens = np.zeros(len(codes), dtype=bool)
    opens[sequences.offsets[first:last] - start] = True
    place = np.flatnonzero(~opens)
    previous = np.where(opens[place - 1], SESSION_START, codes[place - 2]) if len(place) else place
    return Transitions(previous, codes[place - 1], codes[place], place + start)


def train_sessions_of(sequences: Sequences, share: float = TRAIN_SHARE) -> int:
    """Number of leading sessions to learn from: floor(share x sessions)."""
    return math.floor(share * sequences.sessions)


def fit(sequences: Sequences, train_sessions: int) -> TransitionCounts:
    """Learn from the first `train_sessions` sessions."""
    train = transitions_of(sequences, 0, train_sessions)
    counts = np.bincount(
        sequences.codes[: sequences.offsets[train_sessions]], minlength=max(1, len(sequences.vocabulary))
    )
    pairs = pair(train.previous, train.current, len(sequences.vocabulary))
    return TransitionCounts(
        sequences.vocabulary,
        Successors.of(train.current, train.following),
        Successors.of(pairs, train.following),
        int(counts.argmax()),
    )


def evaluate(model: TransitionCounts, sequences: Sequences, train_sessions: int) -> tuple[dict[str, Any], pa.Table]:
    """Score the sessions after the first `train_sessions`.

    Returns
    -------
    metrics : dict
        Top-1 accuracy of orders 1 and 2 and of two baselines over all transitions of the test sessions, top-3 of
        order 1; ``None`` where there is no test transition.
    predictions : pyarrow.Table
        Rows of ``MARKOV_PREDICTIONS``.
    """
    import pyarrow as pa

    test = transitions_of(sequences, train_sessions, sequences.sessions)
    frequent = np.full(len(test.current), model.most_frequent)
    ranks = [model.order1.ranked(test.current, rank) for rank in range(3)]
    first = np.where(ranks[0] >= 0, ranks[0], frequent)
    second = model.order2.ranked(pair(test.previous, test.current, len(model.vocabulary)), 0)
    second = np.where(second >= 0, second, first)
    top3 = (first == test.following) | (ranks[1] == test.following) | (ranks[2] == test.following)

    def share(hits: NDArray[np.bool_]) -> float | None:
        return float(hits.mean()) if len(hits) else None

    metrics = {
        "protocol": {
            "order": "sessions by (start, actor, session_id)",
            "scored": "all transitions of test sessions, no end symbol",
        },
        "train_sessions": train_sessions,
        "test_sessions": sequences.sessions - train_sessions,
        "first_test_session_start": str(sequences.starts[train_sessions].astype("datetime64[us]").item())
        if train_sessions < sequences.sessions
        else None,
        "test_transitions": len(test.following),
        "event_types": len(sequences.vocabulary),
        "most_frequent_event": sequences.vocabulary[model.most_frequent] if sequences.vocabulary else None,
        "markov1_accuracy": share(first == test.following),
        "markov1_top3_accuracy": share(top3),
        "markov2_backoff_accuracy": share(second == test.following),
        "most_frequent_accuracy": share(frequent == test.following),
        "repeat_accuracy": share(test.current == test.following),
    }
    names = pa.array(sequences.vocabulary, pa.string())
    predictions = pa.table(
        {
            "uuid": sequences.uuids.take(pa.array(test.place)),
            "session_key": sequences.session_keys.take(pa.array(sequences.session_of[test.place])),
            "current_event": names.take(pa.array(test.current)),
            "actual_event": names.take(pa.array(test.following)),
            "order1_event": names.take(pa.array(first)),
            "order2_event": names.take(pa.array(second)),
        }
    )
    return metrics, predictions.select(MARKOV_PREDICTIONS.column_names)


def reference(
    engine: duckdb.DuckDBPyConnection, clean: Sequence[Path], share: float
) -> tuple[TransitionCounts, dict[str, Any], pa.Table]:
    """Counts of the first `share` of all sessions and how they do on the others; returns as `fit` and `evaluate`."""
    sequences = SessionEvents.load(engine, clean, screens=False).sequences()
    train = train_sessions_of(sequences, share)
    counted = fit(sequences, train)
    return counted, *evaluate(counted, sequences, train)
