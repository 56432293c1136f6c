"""Markov chain of events: counts, back-off prediction, evaluation in time, artefact.

Put here: the model itself. Keep out: where its files lie (``core/lake.py``) and the split (``sequences.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.files import read_json, write_json, write_table
from analytics_assets.core.models.sequences import Sequences
from analytics_assets.schemas import MARKOV_PREDICTIONS, MARKOV_TRANSITIONS

if TYPE_CHECKING:
    import pyarrow as pa

Codes = NDArray[np.int64]

SESSION_START = -1
"""Stands for the event before the first one of a session."""

UNKNOWN = -2
"""Stands for an event that training never saw."""


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
        pairs, counts = np.unique(np.stack([contexts, following]), axis=1, return_counts=True)
        order = np.lexsort((pairs[1], -counts, pairs[0]))
        return cls(pairs[0][order], pairs[1][order], counts[order])

    def ranked(self, contexts: Codes, rank: int) -> Codes:
        """The successor of given rank (0 = most frequent) for each context, -1 where there is none."""
        if not len(self.contexts):
            return np.full(len(contexts), -1, dtype=np.int64)
        left = np.searchsorted(self.contexts, contexts, side="left")
        right = np.searchsorted(self.contexts, contexts, side="right")
        wanted = left + rank
        found = wanted < right
        return np.where(found, self.following[np.minimum(wanted, len(self.following) - 1)], -1)

    def distribution(self, context: int) -> dict[int, float]:
        """Next-event probabilities of one context, empty when it was never seen."""
        left, right = np.searchsorted(self.contexts, [context, context + 1])
        total = self.counts[left:right].sum()
        return {
            int(c): float(n / total) for c, n in zip(self.following[left:right], self.counts[left:right], strict=True)
        }


@dataclass(frozen=True)
class MarkovChain:
    """Order-1 and order-2 successor counts with back-off: order 2, else order 1, else the most frequent event."""

    vocabulary: list[str]
    order1: Successors
    order2: Successors
    most_frequent: int

    def predict(self, sequence: Sequence[str]) -> dict[str, float]:
        """Distribution of the next event of a session, by back-off.

        Parameters
        ----------
        sequence : sequence of str
            Events of the session so far, from its start. An event that training never saw breaks the context; an empty
            or unknown context gives the most frequent event.
        """
        place = {name: code for code, name in enumerate(self.vocabulary)}
        known = [place.get(name, UNKNOWN) for name in sequence[-2:]]
        found: dict[int, float] = {}
        if known and known[-1] != UNKNOWN:
            previous = known[0] if len(known) == 2 else SESSION_START
            if previous != UNKNOWN:
                found = self.order2.distribution(pair(previous, known[-1], len(self.vocabulary)))
            found = found or self.order1.distribution(known[-1])
        return {self.vocabulary[code]: p for code, p in (found or {self.most_frequent: 1.0}).items()}

    def save(self, folder: Path) -> None:
        """Write ``transitions.parquet`` and ``model.json`` into `folder`."""
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
        write_table(folder / "transitions.parquet", pa.concat_tables(parts), MARKOV_TRANSITIONS)
        model = {
            "kind": "markov_chain",
            "vocabulary": self.vocabulary,
            "most_frequent": self.vocabulary[self.most_frequent],
        }
        write_json(folder / "model.json", model)

    @classmethod
    def load(cls, folder: Path) -> MarkovChain:
        """Read what `save` wrote."""
        import pyarrow.parquet as pq

        model = read_json(folder / "model.json")
        vocabulary = model["vocabulary"]
        place = {name: code for code, name in enumerate(vocabulary)}
        rows = pq.read_table(folder / "transitions.parquet").to_pylist()
        orders = []
        for order in (1, 2):
            chosen = [row for row in rows if row["order"] == order]
            contexts = [
                pair(place.get(row["previous_event"], SESSION_START), place[row["from_event"]], len(vocabulary))
                for row in chosen
            ]
            orders.append(
                Successors(
                    np.array(contexts, dtype=np.int64),
                    np.array([place[row["to_event"]] for row in chosen], dtype=np.int64),
                    np.array([row["transitions"] for row in chosen], dtype=np.int64),
                )
            )
        return cls(vocabulary, orders[0], orders[1], place[model["most_frequent"]])


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


def fit(sequences: Sequences, train_sessions: int) -> MarkovChain:
    """Learn from the first `train_sessions` sessions."""
    train = transitions_of(sequences, 0, train_sessions)
    counts = np.bincount(
        sequences.codes[: sequences.offsets[train_sessions]], minlength=max(1, len(sequences.vocabulary))
    )
    pairs = pair(train.previous, train.current, len(sequences.vocabulary))
    return MarkovChain(
        sequences.vocabulary,
        Successors.of(train.current, train.following),
        Successors.of(pairs, train.following),
        int(counts.argmax()),
    )


def evaluate(model: MarkovChain, sequences: Sequences, train_sessions: int) -> tuple[dict[str, Any], pa.Table]:
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
        "first_test_session_start": sequences.starts[train_sessions] if train_sessions < sequences.sessions else None,
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
            "session_key": sequences.session_keys.take(pa.array(test.place)),
            "current_event": names.take(pa.array(test.current)),
            "actual_event": names.take(pa.array(test.following)),
            "order1_event": names.take(pa.array(first)),
            "order2_event": names.take(pa.array(second)),
        }
    )
    return metrics, predictions.select(MARKOV_PREDICTIONS.column_names)
