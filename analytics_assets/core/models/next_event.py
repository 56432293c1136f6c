"""The task of predicting a session's next event: its data, the interface of a model, and how a model is scored.

Put here: what every next-event model shares. Keep out: single models, the split (``split.py``), and figures made from
scores (``metrics.py``).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.models import split as splitting
from analytics_assets.core.models.sequences import (
    MIN_TRAIN_EVENTS,
    Ints,
    Sequences,
    SessionEvents,
    Stream,
    Vocabulary,
)
from analytics_assets.core.models.split import Split, sessions_in, split_sessions

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

Floats = NDArray[np.floating[Any]]

BATCH_POSITIONS = 20_000
"""Positions scored at once: 20,000 rows of 300 types are 24 MB as float32."""

MIN_PROBABILITY = 1e-6
"""Floor under the probability of what came, so that one impossible event does not make a mean of bits infinite: it
costs 20 bits."""


class NextEventModel(Protocol):
    """A fitted model that gives a distribution over the vocabulary at every position of a session."""

    @property
    def vocabulary(self) -> list[str]:
        """Event types, `OTHER` last."""
        ...

    def distributions(self, sequences: Sequences) -> Floats:
        """Distributions of the next event.

        Parameters
        ----------
        sequences : Sequences
            Sessions in the codes of `vocabulary`.

        Returns
        -------
        float array, shape (positions, len(vocabulary))
            One row per place of ``sequences.positions``, made from the events before it; rows sum to 1.
        """
        ...


@dataclass(frozen=True)
class Task:
    """Sessions of one stream, divided and encoded alike for all models.

    Parameters
    ----------
    stream : str
        ``intent``, ``raw`` or ``screen``.
    vocabulary : Vocabulary
        Event types, fitted on `train`.
    train, validation, test : Sequences
        In the codes of `vocabulary`.
    split : dict
        ``Split.description``.
    """

    stream: Stream
    vocabulary: Vocabulary
    train: Sequences
    validation: Sequences
    test: Sequences
    split: dict[str, Any]


def prepare_task(
    engine: duckdb.DuckDBPyConnection, clean: Sequence[Path], *, stream: Stream = "intent", **settings: Any
) -> Task:
    """The one task of `prepare_tasks` for `stream`."""
    [task] = prepare_tasks(engine, clean, [stream], **settings)
    return task


def prepare_tasks(
    engine: duckdb.DuckDBPyConnection,
    clean: Sequence[Path],
    streams: Sequence[Stream],
    *,
    protocol: splitting.Protocol = "time",
    train_share: float = splitting.TRAIN_SHARE,
    validation_share: float = splitting.VALIDATION_SHARE,
    cut: datetime | None = None,
    seed: int = 7,
    min_train_events: int = MIN_TRAIN_EVENTS,
) -> list[Task]:
    """Load the sessions of people, divide them and encode them; arguments as `SessionEvents` and `split_sessions`.

    The sessions of the raw stream, by which every stream is divided, are not kept.
    """
    events = SessionEvents.load(engine, clean, people_only=True, screens="screen" in streams)
    raw = events.sequences("raw")
    found = split_sessions(
        raw, protocol=protocol, train_share=train_share, validation_share=validation_share, cut=cut, seed=seed
    )
    return [
        divided(
            raw,
            raw if stream == "raw" else events.sequences(stream),
            found,
            stream,
            min_train_events,
        )
        for stream in streams
    ]


def divided(raw: Sequences, chosen: Sequences, found: Split, stream: Stream, min_train_events: int) -> Task:
    """Task of a stream from its sessions and the split of the raw ones."""
    train = sessions_in(found.train, raw, chosen)
    vocabulary = Vocabulary.fit(train, min_train_events)
    return Task(
        stream=stream,
        vocabulary=vocabulary,
        train=vocabulary.encode(train),
        validation=vocabulary.encode(sessions_in(found.validation, raw, chosen)),
        test=vocabulary.encode(sessions_in(found.test, raw, chosen)),
        split=found.description,
    )


@dataclass(frozen=True)
class Scores:
    """How a model did at each position of the scored sessions.

    Parameters
    ----------
    rank : int64 array, shape (positions,)
        Place of the event that came by falling probability, from 1; ties go to the smaller name. Where it cannot be
        named (see `score_rows`) it is beyond 10.
    probability : float64 array, shape (positions,)
        Probability given to what came.
    predicted : int32 array, shape (positions,)
        Likeliest event type that can be named.
    confidence : float64 array, shape (positions,)
        Its probability.
    """

    rank: Ints
    probability: NDArray[np.float64]
    predicted: NDArray[np.int32]
    confidence: NDArray[np.float64]

    def hits(self, top: int) -> NDArray[np.float64]:
        """1 where the event that came was among the first `top`."""
        return (self.rank <= top).astype(np.float64)

    @property
    def reciprocal_rank(self) -> NDArray[np.float64]:
        """1 / rank, 0 beyond 10."""
        return np.where(self.rank <= 10, 1.0 / self.rank, 0.0)

    @property
    def bits(self) -> NDArray[np.float64]:
        """-log2 of the probability of what came, which is at least `MIN_PROBABILITY`."""
        return -np.log2(np.maximum(self.probability, MIN_PROBABILITY))


def batches(sequences: Sequences, positions: int = BATCH_POSITIONS) -> Iterator[Sequences]:
    """Sessions in portions of about `positions` events to predict."""
    ends = np.cumsum(sequences.lengths - 1)
    portion = ends // positions
    for number in np.unique(portion):
        yield sequences.take(np.flatnonzero(portion == number))


def score_rows(
    chances: Floats,
    actual: NDArray[np.int32],
    *,
    after_other: NDArray[np.bool_] | None = None,
    repeated: NDArray[np.bool_] | None = None,
) -> Scores:
    """Scores of distributions for the events that came.

    `OTHER` names no event, so it is neither ranked nor a hit; after an event of `OTHER` it stands for that very event
    once more, which is ranked, and a hit where it came.

    Parameters
    ----------
    chances : float array, shape (n, V)
        `OTHER` as the last column.
    actual : int32 array, shape (n,)
        What came.
    after_other, repeated : bool array, shape (n,), optional
        Whether the event before was of `OTHER`, and whether what came is of its type; nowhere by default.
    """
    other, rows = chances.shape[1] - 1, np.arange(len(actual))
    after = np.zeros(len(actual), dtype=bool) if after_other is None else after_other
    nameable = (actual != other) | (after & (False if repeated is None else repeated))
    ranked = np.array(chances, dtype=np.float64)
    ranked[~after, other] = -1
    came = ranked[rows, actual]
    lower = np.arange(chances.shape[1])[None, :] < actual[:, None]
    rank = 1 + ((ranked > came[:, None]) | ((ranked == came[:, None]) & lower)).sum(axis=1)
    rank = np.where(nameable, rank, max(11, chances.shape[1]))
    predicted = ranked.argmax(axis=1)
    return Scores(
        rank.astype(np.int64),
        np.asarray(chances[rows, actual], dtype=np.float64),
        predicted.astype(np.int32),
        np.asarray(chances[rows, predicted], dtype=np.float64),
    )


def score(model: NextEventModel, sequences: Sequences) -> Scores:
    """Score a model at every position of `sequences`, in the order of ``sequences.positions``."""
    other = len(sequences.vocabulary) - 1
    parts = [
        score_rows(
            model.distributions(batch),
            batch.codes[batch.positions],
            after_other=batch.codes[batch.positions - 1] == other,
            repeated=batch.repeats[batch.positions],
        )
        for batch in batches(sequences)
        if len(batch.positions)
    ]
    if not parts:
        return Scores(
            np.empty(0, dtype=np.int64), np.empty(0), np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float64)
        )
    return Scores(
        np.concatenate([part.rank for part in parts]),
        np.concatenate([part.probability for part in parts]),
        np.concatenate([part.predicted for part in parts]),
        np.concatenate([part.confidence for part in parts]),
    )


def prediction_rows(test: Sequences, scores: Scores) -> pa.Table:
    """Rows of ``NEXT_EVENT_PREDICTIONS``: every scored position, traceable to its raw row by uuid."""
    import pyarrow as pa

    positions = test.positions
    return pa.table(
        {
            "uuid": test.uuids.take(pa.array(positions)),
            "session_key": test.session_keys.take(pa.array(test.session_of[positions])),
            "current_event": test.names(test.codes[positions - 1]),
            "actual_event": test.names(test.codes[positions]),
            "predicted_event": test.names(scores.predicted),
            "confidence": scores.confidence,
            "actual_probability": scores.probability,
            "actual_rank": scores.rank,
        }
    )


def scores_of(predictions: pa.Table, vocabulary: Vocabulary) -> Scores:
    """Scores from the rows that `prediction_rows` made."""
    return Scores(
        predictions["actual_rank"].to_numpy(),
        predictions["actual_probability"].to_numpy(),
        vocabulary.codes_of(predictions["predicted_event"].to_pylist()),
        predictions["confidence"].to_numpy(),
    )


def one_session(
    vocabulary: Sequence[str],
    events: Sequence[str],
    *,
    times: Sequence[datetime] | None = None,
    device: str = "",
    actor: str = "",
) -> Sequences:
    """A session so far as `Sequences`, with one event more in the place that is to be predicted.

    Parameters
    ----------
    vocabulary : sequence of str
        Of the model, `OTHER` last.
    events : sequence of str
        Events so far, at least one; names that the model does not know are `OTHER`.
    times : sequence of datetime, optional
        Their times, naive UTC; without them all events happen at noon of one Thursday, at once.
    device, actor : str
        Device family and actor, "" where unknown.

    Raises
    ------
    ValueError
        There is no event, or there are more or fewer times than events.
    """
    import pyarrow as pa

    if not events:
        raise ValueError("a session needs an event before its next one can be predicted")
    if times is not None and len(times) != len(events):
        raise ValueError(f"there are {len(events)} events and {len(times)} times")
    codes = Vocabulary(list(vocabulary)).codes_of(events)
    moments = np.array(times if times is not None else [datetime(1970, 1, 1, 12)] * len(events), dtype="datetime64[us]")
    micros = moments.astype(np.int64)
    return Sequences(
        codes=np.append(codes, np.int32(len(vocabulary) - 1)).astype(np.int32),
        offsets=np.array([0, len(codes) + 1]),
        vocabulary=list(vocabulary),
        repeats=np.append([False], [a == b for a, b in itertools.pairwise((*events, None))]),
        times=np.append(micros, micros[-1]),
        starts=micros[:1],
        ends=micros[-1:],
        actors=np.zeros(1, dtype=np.int32),
        devices=np.zeros(1, dtype=np.int32),
        actor_names=[actor],
        device_names=[device],
        uuids=pa.array([str(place) for place in range(len(codes) + 1)]),
        session_keys=pa.array(["session"]),
    )


def predict(model: NextEventModel, events: Sequence[str], **context: Any) -> dict[str, float]:
    """Distribution over the event that follows a session so far; arguments as `one_session`."""
    chances = model.distributions(one_session(model.vocabulary, events, **context))[-1]
    return {name: float(chance) for name, chance in zip(model.vocabulary, chances, strict=True)}
