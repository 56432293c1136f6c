"""What is remembered and counted for XGBoost's features: earlier sessions by actor, counts over training sessions.

Put here: records that can be asked for any moment, the history, counts and the folds that keep a row's own answer out
of them. Keep out: features (``xgboost_features.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.models.baselines import HourPopularity, event_shares
from analytics_assets.core.models.markov import Contexts, MarkovChain, context_codes
from analytics_assets.core.models.sequences import Ints, Sequences

Floats = NDArray[np.float64]
Codes = NDArray[np.int32]

ORDER1_PRIOR = 10.0
"""Events by which what follows one event is drawn towards all events' shares; the chain's own strength, chosen on
validation sessions, is of this size."""

FOLDS = 5
"""Parts of the training time; each row's counts rest on the other four, about what the published counts rest on."""


@dataclass(frozen=True)
class Before:
    """Records that can be counted, and the latest one found, by key and up to a moment.

    Parameters
    ----------
    entries : int64 array, shape (records,)
        Ascending key x `span` + moment.
    order : int64 array, shape (records,)
        Record of each entry.
    span : int
        More than every moment.
    """

    entries: Ints
    order: Ints
    span: int

    @classmethod
    def of(cls, keys: Ints, moments: Ints, span: int) -> Before:
        """Sort records; keys and moments, shape (records,), are not negative."""
        entries = keys * span + moments
        order = np.argsort(entries, kind="stable")
        return cls(entries[order], order, span)

    def count(self, keys: Ints, moments: Ints) -> Ints:
        """Records of each key with a smaller moment; arrays of any one shape."""
        first = keys * self.span
        return np.searchsorted(self.entries, first + moments) - np.searchsorted(self.entries, first)

    def latest(self, keys: Ints, moments: Ints) -> Ints:
        """Record of each key with the greatest smaller moment, -1 where there is none."""
        if not len(self.entries):
            return np.full(np.shape(keys), -1, dtype=np.int64)
        first = keys * self.span
        place = np.searchsorted(self.entries, first + moments) - 1
        found = (place >= 0) & (self.entries[place] >= first)
        return np.where(found, self.order[place], -1)


@dataclass(frozen=True)
class History:
    """Sessions that a model remembers, by actor.

    Parameters
    ----------
    actor_names : list of str
    actors : int32 array, shape (sessions,)
        Places in `actor_names`.
    starts, ends : int64 array, shape (sessions,)
        Microseconds since 1970.
    codes : int32 array, shape (events,)
        Events, session after session.
    offsets : int64 array, shape (sessions + 1,)
        Session ``i`` is ``codes[offsets[i]:offsets[i + 1]]``.
    """

    actor_names: list[str]
    actors: Codes
    starts: Ints
    ends: Ints
    codes: Codes
    offsets: Ints

    @classmethod
    def of(cls, sequences: Sequences) -> History:
        """Remember sessions."""
        return cls(
            list(sequences.actor_names),
            sequences.actors.astype(np.int32),
            sequences.starts.astype(np.int64),
            sequences.ends.astype(np.int64),
            sequences.codes.astype(np.int32),
            sequences.offsets.astype(np.int64),
        )

    @classmethod
    def empty(cls) -> History:
        """No session."""
        none = np.empty(0, dtype=np.int64)
        return cls([], none.astype(np.int32), none, none, none.astype(np.int32), np.zeros(1, dtype=np.int64))

    def take(self, sessions: Ints) -> History:
        """The given sessions, as places."""
        lengths = np.diff(self.offsets)[sessions]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        events = np.repeat(self.offsets[:-1][sessions] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return History(
            self.actor_names,
            self.actors[sessions],
            self.starts[sessions],
            self.ends[sessions],
            self.codes[events],
            offsets,
        )

    def with_sessions(self, sequences: Sequences) -> History:
        """What is remembered of the actors of `sequences`, and these sessions, with the actors' codes of `sequences`.

        A session that is remembered already (same actor, start and end) is not added again.
        """
        present = {sequences.actor_names[actor] for actor in np.unique(sequences.actors).tolist()}
        ours = np.array([name in present for name in self.actor_names], dtype=bool)
        return self.take(np.flatnonzero(ours[self.actors])).added(sequences, list(sequences.actor_names))

    def added(self, sequences: Sequences, actor_names: list[str] | None = None) -> History:
        """What is remembered and the sessions of `sequences`, none of them twice; actors get the codes of
        `actor_names`, by default those of all actors in ascending order.
        """
        names = actor_names or sorted({*self.actor_names, *sequences.actor_names})
        place = {name: code for code, name in enumerate(names)}
        held = np.array([place.get(name, -1) for name in self.actor_names], dtype=np.int32)[self.actors]
        own = np.array([place[name] for name in sequences.actor_names], dtype=np.int32)[sequences.actors]
        keys = set(zip(held.tolist(), self.starts.tolist(), self.ends.tolist(), strict=True))
        given = zip(own.tolist(), sequences.starts.tolist(), sequences.ends.tolist(), strict=True)
        fresh = np.array([session for session, key in enumerate(given) if key not in keys], dtype=np.int64)
        new = History.of(sequences).take(fresh)
        return History(
            names,
            np.concatenate([held, own[fresh]]),
            np.concatenate([self.starts, new.starts]),
            np.concatenate([self.ends, new.ends]),
            np.concatenate([self.codes, new.codes]),
            np.concatenate([self.offsets, self.offsets[-1] + new.offsets[1:]]),
        )

    def save(self, path: Path) -> None:
        """Write arrays and names as one NPZ file."""
        np.savez_compressed(
            path,
            actor_names=np.array(self.actor_names, dtype=np.str_),
            actors=self.actors,
            starts=self.starts,
            ends=self.ends,
            codes=self.codes,
            offsets=self.offsets,
        )

    @classmethod
    def load(cls, path: Path) -> History:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as held:
            return cls(
                held["actor_names"].tolist(),
                held["actors"],
                held["starts"],
                held["ends"],
                held["codes"],
                held["offsets"],
            )


@dataclass(frozen=True)
class Counted:
    """Counts over training sessions.

    Parameters
    ----------
    chain : MarkovChain
    first : float64 array, shape (events, events)
        Smoothed shares of what follows one event, wherever in a session.
    hours : float64 array, shape (24, events)
        Shares of events by the UTC hour of the event before (``baselines.HourPopularity``).
    """

    chain: MarkovChain
    first: Floats
    hours: Floats

    @classmethod
    def of(cls, train: Sequences, strengths: Sequence[float]) -> Counted:
        """Count with prior strengths that are chosen already, one for each order."""
        following = train.codes[train.positions]
        orders = tuple(
            Contexts(contexts.codes, contexts.counts, strength)
            for order, strength in enumerate(strengths, start=1)
            for contexts in [Contexts.count(context_codes(train, order), following, len(train.vocabulary))]
        )
        chain = MarkovChain(train.vocabulary, event_shares(train), orders)
        counts = np.zeros((len(train.vocabulary), len(train.vocabulary)))
        np.add.at(counts, (train.codes[train.positions - 1], following), 1)
        first = (counts + ORDER1_PRIOR * chain.base) / (counts.sum(axis=1, keepdims=True) + ORDER1_PRIOR)
        return cls(chain, first, HourPopularity.fit(train).shares)


def folds(train: Sequences, count: int = FOLDS) -> list[tuple[int, int]]:
    """First and last (exclusive) session of each part of the training time, with about equal numbers of sessions."""
    bounds = np.linspace(0, train.sessions, count + 1).round().astype(int).tolist()
    return [(low, high) for low, high in pairwise(bounds) if high > low]
