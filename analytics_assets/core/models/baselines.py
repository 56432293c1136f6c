"""The ladder's lower rungs: what a model must beat before it is worth its cost.

Put here: predictors without or with trivial training. Keep out: the models proper, each in a module of its own.

All of them are measured by accuracy first; to give bits as well, each mixes its scores with the shares of events in
training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.models.sequences import Ints, Sequences

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Chances = NDArray[np.float64]

MIXED_SHARE = 0.1
"""Weight of the event shares in the distributions of rules and neighbours."""

HOUR_PRIOR = 100.0
"""Events by which an hour's shares are drawn towards those of the whole day."""

RULE_STEPS = 10
"""Longest distance of two events that a rule connects (Ludewig and Jannach 2018)."""

NEIGHBOURS = 100
"""Most similar sessions that vote (Ludewig and Jannach 2018)."""

SAMPLED_SESSIONS = 5_000
"""Latest training sessions among which neighbours are looked for: similarity to all is quadratic."""

NEIGHBOUR_ROWS = 2_000
"""Positions compared at once: 2,000 x 5,000 similarities are 40 MB."""


def event_shares(train: Sequences) -> Chances:
    """Share of each event in training, one occurrence of a uniform event added."""
    events = len(train.vocabulary)
    counts = np.bincount(train.codes, minlength=events).astype(np.float64)
    return (counts + 1 / events) / (counts.sum() + 1)


@dataclass(frozen=True)
class MostFrequent:
    """The shares of events in training, whatever came before."""

    vocabulary: list[str]
    shares: Chances

    @classmethod
    def fit(cls, train: Sequences) -> MostFrequent:
        """Count events."""
        return cls(train.vocabulary, event_shares(train))

    def distributions(self, sequences: Sequences) -> Chances:
        """See ``next_event.NextEventModel``."""
        return np.tile(self.shares, (len(sequences.positions), 1))


@dataclass(frozen=True)
class HourPopularity:
    """The shares of events in the UTC hour of the event before; rows of `shares` are hours."""

    vocabulary: list[str]
    shares: Chances

    @classmethod
    def fit(cls, train: Sequences) -> HourPopularity:
        """Count events by the hour of the event before."""
        counts = np.zeros((24, len(train.vocabulary)))
        positions = train.positions
        np.add.at(counts, (train.hours[positions - 1], train.codes[positions]), 1)
        mixed = counts + HOUR_PRIOR * event_shares(train)
        return cls(train.vocabulary, mixed / mixed.sum(axis=1, keepdims=True))

    def distributions(self, sequences: Sequences) -> Chances:
        """See ``next_event.NextEventModel``."""
        return self.shares[sequences.hours[sequences.positions - 1]]


@dataclass(frozen=True)
class RepeatLast:
    """The event before once more, with the share of repetitions in training but always first; else the shares."""

    vocabulary: list[str]
    shares: Chances
    weight: float

    @classmethod
    def fit(cls, train: Sequences) -> RepeatLast:
        """Count repetitions."""
        positions = train.positions
        repeated = float((train.codes[positions] == train.codes[positions - 1]).mean()) if len(positions) else 0.0
        return cls(train.vocabulary, event_shares(train), float(np.clip(repeated, 0.5, 0.99)))

    def distributions(self, sequences: Sequences) -> Chances:
        """See ``next_event.NextEventModel``."""
        positions = sequences.positions
        chances = np.tile((1 - self.weight) * self.shares, (len(positions), 1))
        chances[np.arange(len(positions)), sequences.codes[positions - 1]] += self.weight
        return chances


@dataclass(frozen=True)
class SequentialRules:
    """Events that follow the last one within a few steps, nearer ones counting more (SR, Ludewig and Jannach 2018).

    Parameters
    ----------
    rules : float64 array, shape (events, events)
        Distribution over the next event by the last one.
    """

    vocabulary: list[str]
    rules: Chances

    @classmethod
    def fit(cls, train: Sequences) -> SequentialRules:
        """Sum 1 / distance over all pairs of a session at most `RULE_STEPS` apart."""
        events = len(train.vocabulary)
        weights = np.zeros((events, events))
        session = train.session_of
        for step in range(1, RULE_STEPS + 1):
            inside = session[step:] == session[:-step]
            np.add.at(weights, (train.codes[:-step][inside], train.codes[step:][inside]), 1 / step)
        totals = weights.sum(axis=1, keepdims=True)
        shares = event_shares(train)
        known = np.divide(weights, totals, out=np.tile(shares, (events, 1)), where=totals > 0)
        return cls(train.vocabulary, (1 - MIXED_SHARE) * known + MIXED_SHARE * shares)

    def distributions(self, sequences: Sequences) -> Chances:
        """See ``next_event.NextEventModel``."""
        return self.rules[sequences.codes[sequences.positions - 1]]


@dataclass(frozen=True)
class NearestSessions:
    """Events of the sessions most similar to the one so far (V-SKNN, Ludewig and Jannach 2018).

    The session so far is a vector of its events in which the k-th last one weighs 1 / k; similarity is its product with
    the set of a training session's events, over the root of their number. The nearest sessions vote for their events
    with their similarity.

    Parameters
    ----------
    members : csr_matrix of float32, shape (sessions, events)
        1 where a training session holds an event.
    """

    vocabulary: list[str]
    shares: Chances
    members: csr_matrix

    @classmethod
    def fit(cls, train: Sequences) -> NearestSessions:
        """Keep the latest sessions with at least two events."""
        from scipy.sparse import csr_matrix

        chosen = np.flatnonzero(train.lengths > 1)[-SAMPLED_SESSIONS:]
        kept = train.take(chosen)
        cells = np.unique(np.stack([kept.session_of, kept.codes.astype(np.int64)]), axis=1)
        ones = np.ones(cells.shape[1], dtype=np.float32)
        shape = (kept.sessions, len(train.vocabulary))
        return cls(train.vocabulary, event_shares(train), csr_matrix((ones, (cells[0], cells[1])), shape=shape))

    def distributions(self, sequences: Sequences) -> Chances:
        """See ``next_event.NextEventModel``."""
        positions = sequences.positions
        parts = [
            self._votes(sequences, positions[first : first + NEIGHBOUR_ROWS])
            for first in range(0, len(positions), NEIGHBOUR_ROWS)
        ]
        votes = np.concatenate(parts) if parts else np.zeros((0, len(self.vocabulary)))
        totals = votes.sum(axis=1, keepdims=True)
        known = np.divide(votes, totals, out=np.tile(self.shares, (len(votes), 1)), where=totals > 0)
        return (1 - MIXED_SHARE) * known + MIXED_SHARE * self.shares

    def _votes(self, sequences: Sequences, positions: Ints) -> Chances:
        from scipy.sparse import csr_matrix

        since = positions - sequences.offsets[:-1][sequences.session_of[positions]]
        vectors = np.zeros((len(positions), len(self.vocabulary)), dtype=np.float32)
        # From the oldest to the newest, so that an event weighs by its latest occurrence.
        for back in range(int(min(since.max(initial=0), RULE_STEPS)), 0, -1):
            inside = np.flatnonzero(since >= back)
            vectors[inside, sequences.codes[positions[inside] - back]] = 1 / back
        if not self.members.shape[0]:
            return np.zeros((len(positions), len(self.vocabulary)))
        sizes = np.sqrt(np.asarray(self.members.sum(axis=1)).ravel())
        similar = (self.members @ vectors.T).T / sizes
        nearest = min(NEIGHBOURS, similar.shape[1])
        # Among equals the newer session, which comes later, is preferred: the order is then the same everywhere.
        preferred = similar + np.arange(similar.shape[1]) * 1e-9
        best = np.argpartition(preferred, similar.shape[1] - nearest, axis=1)[:, -nearest:]
        rows = np.repeat(np.arange(len(positions)), nearest)
        weights = np.take_along_axis(similar, best, axis=1).ravel()
        return np.asarray((csr_matrix((weights, (rows, best.ravel())), shape=similar.shape) @ self.members).toarray())


BASELINES: dict[str, Any] = {
    "most_frequent": MostFrequent,
    "hour_popularity": HourPopularity,
    "repeat_last": RepeatLast,
    "sequential_rules": SequentialRules,
    "nearest_sessions": NearestSessions,
}
"""Rungs that need no choice; the order-1 chain is ``markov.fit`` with `max_order` 1."""
