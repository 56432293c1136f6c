"""What XGBoost sees of a session so far: its features.

Put here: everything between sessions and numbers. Keep out: histories and counts that features rest on
(``xgboost_history.py``), boosting (``xgboost_training.py``).

Every feature of a position is made from the events before it, from sessions of the same actor that ended before this
one began, and from counts over training sessions. For a training row these counts leave out the row's own fold
(``xgboost_history.folds``): a count that holds the row's own answer would be trusted more than it deserves on unseen
sessions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.models.next_event import NextEventModel, batches
from analytics_assets.core.models.sequences import Ints, Sequences
from analytics_assets.core.models.xgboost_history import Before, Codes, Counted, Floats, History

Singles = NDArray[np.float32]

LAGS = 5
"""Last events that are features of their own; the chain of order 5 gains nothing from older ones."""

CANDIDATES = 20
"""Likeliest events of the chain that are ranked anew; on generated data 97 % of what comes is among them."""

HISTORY_EVENTS = 20
"""Most frequent events whose share in an actor's past describes the actor to the multi-class form."""

ACTOR_PRIOR = 20.0
"""Events by which an actor's own counts are drawn towards everybody's: about one long session."""

PORTION = 10_000
"""Positions described at once: 10,000 positions x 20 candidates x 40 features are 32 MB as float32."""

TINY = 1e-12
"""Floor under probabilities before a logarithm."""


@dataclass(frozen=True)
class Feature:
    """One column of a matrix of features.

    Parameters
    ----------
    name : str
    group : str
        Features that are permuted together when their importance is measured.
    categories : str
        ``event`` or ``device`` where values are codes of the vocabulary or of the devices; empty for numbers.
    """

    name: str
    group: str
    categories: str = ""


CONTEXT: tuple[Feature, ...] = (
    *(Feature(f"last_{back}", "last events", "event") for back in range(1, LAGS + 1)),
    Feature("entry", "last events", "event"),
    Feature("position", "counts so far"),
    Feature("distinct_events", "counts so far"),
    Feature("current_count", "counts so far"),
    Feature("gap", "gaps"),
    Feature("gap_before", "gaps"),
    Feature("elapsed", "gaps"),
    Feature("hour", "time of day and week"),
    Feature("weekday", "time of day and week"),
    Feature("device", "device", "device"),
    Feature("earlier_sessions", "actor's history"),
    Feature("earlier_events", "actor's history"),
    Feature("since_last_session", "actor's history"),
    Feature("last_session_entry", "actor's history", "event"),
    Feature("last_session_exit", "actor's history", "event"),
    Feature("chain_first", "Markov chain", "event"),
    Feature("chain_first_chance", "Markov chain"),
    Feature("chain_entropy", "Markov chain"),
)
"""Features of a position."""

CANDIDATE: tuple[Feature, ...] = (
    Feature("candidate", "candidate", "event"),
    Feature("chain_chance", "Markov chain"),
    Feature("chain_rank", "Markov chain"),
    Feature("chain_order1", "Markov chain"),
    Feature("count_so_far", "counts so far"),
    Feature("steps_since", "counts so far"),
    Feature("followed_so_far", "counts so far"),
    Feature("hour_lift", "time of day and week"),
    Feature("actor_lift", "actor's history"),
    Feature("actor_follows", "actor's history"),
    Feature("actor_follows_lift", "actor's history"),
)
"""Features of a candidate at a position."""


@dataclass(frozen=True)
class Specification:
    """What must be the same whenever features are made.

    Parameters
    ----------
    vocabulary : list of str
        Event types, `OTHER` last.
    devices : list of str
        Device families of training; others are missing values.
    history_events : list of int
        Codes of the events whose share in the actor's past is a feature of the multi-class form.
    classes : list of int
        Codes of the multi-class form's classes; one more class stands for all other events.
    candidates : int
        Candidates of the re-ranker.
    with_hmm : bool
        Whether scores of a hidden Markov model are features.
    """

    vocabulary: list[str]
    devices: list[str]
    history_events: list[int]
    classes: list[int]
    candidates: int
    with_hmm: bool

    @property
    def context(self) -> tuple[Feature, ...]:
        """Features of a position."""
        own = (Feature("hmm_first", "hidden Markov model", "event"), Feature("hmm_first_chance", "hidden Markov model"))
        return CONTEXT + (own if self.with_hmm else ())

    @property
    def reranker(self) -> tuple[Feature, ...]:
        """Columns of the re-ranker."""
        own = (Feature("hmm_chance", "hidden Markov model"),)
        return self.context + CANDIDATE + (own if self.with_hmm else ())

    @property
    def multiclass(self) -> tuple[Feature, ...]:
        """Columns of the multi-class form."""
        return self.context + tuple(
            Feature(f"past_share_{self.vocabulary[code]}", "actor's history") for code in self.history_events
        )

    def as_json(self) -> dict[str, Any]:
        """All of it, with the columns of both forms."""

        def columns(features: Sequence[Feature]) -> list[dict[str, str]]:
            return [{"name": f.name, "group": f.group, "categories": f.categories} for f in features]

        return {
            "vocabulary": self.vocabulary,
            "devices": self.devices,
            "history_events": self.history_events,
            "classes": self.classes,
            "candidates": self.candidates,
            "with_hmm": self.with_hmm,
            "lags": LAGS,
            "actor_prior": ACTOR_PRIOR,
            "columns": {"reranker": columns(self.reranker), "multiclass": columns(self.multiclass)},
        }

    @classmethod
    def from_json(cls, held: dict[str, Any]) -> Specification:
        """Read what `as_json` gave.

        Raises
        ------
        ValueError
            The columns are not those that this version of the program makes.
        """
        found = cls(
            held["vocabulary"],
            held["devices"],
            held["history_events"],
            held["classes"],
            held["candidates"],
            held["with_hmm"],
        )
        if found.as_json() != held:
            raise ValueError("the model was saved with other features than this version makes: train it again")
        return found

    @classmethod
    def of(cls, train: Sequences, *, classes: int, candidates: int, with_hmm: bool) -> Specification:
        """Freeze categories on the training sessions."""
        counts = np.bincount(train.codes, minlength=len(train.vocabulary))[:-1]
        frequent = np.argsort(-counts, kind="stable")
        present = [int(code) for code in frequent if counts[code]]
        return cls(
            list(train.vocabulary),
            sorted({train.device_names[device] for device in np.unique(train.devices).tolist()} - {""}),
            present[:HISTORY_EVENTS],
            present[:classes],
            min(candidates, len(train.vocabulary)),
            with_hmm,
        )


@dataclass(frozen=True)
class Past:
    """Sessions with what came before each of their events, ready to be asked at any place.

    Parameters
    ----------
    sequences : Sequences
    history : History
        Of the actors of `sequences`, these sessions included.
    moments : int64 array, shape (sessions,)
        Number of remembered sessions that ended before each session began.
    past_events : int64 array, shape (sessions,)
        Events of the actor's remembered sessions that ended before each session began.
    distinct : int64 array, shape (events,)
        Different events of the session up to each event, itself included.
    sessions_of, events_of, left_of, pairs_of : Before
        Remembered sessions by actor; their events by actor and code; those of them that another event follows, by the
        same; pairs of successive events by actor and both codes. Moments are ranks of the sessions' ends.
    seen, followed : Before
        Events of `sequences` by session and code; pairs of successive ones by session and both codes. Moments are
        places.
    """

    sequences: Sequences
    history: History
    moments: Ints
    past_events: Ints
    distinct: Ints
    sessions_of: Before
    events_of: Before
    left_of: Before
    pairs_of: Before
    seen: Before
    followed: Before

    @classmethod
    def of(cls, sequences: Sequences, remembered: History) -> Past:
        """Index the sessions and what is remembered of their actors; an actor without a name has no history."""
        events = len(sequences.vocabulary)
        history = remembered.with_sessions(sequences)
        named = np.array([name != "" for name in history.actor_names], dtype=bool)
        history = history.take(np.flatnonzero(named[history.actors]))
        ends = np.sort(history.ends)
        rank, span = np.searchsorted(ends, history.ends), len(ends) + 1
        lengths = np.diff(history.offsets)
        actor = np.repeat(history.actors.astype(np.int64), lengths)
        moment = np.repeat(rank, lengths)
        code = history.codes.astype(np.int64)
        opens = np.zeros(len(code) + 1, dtype=bool)
        opens[history.offsets] = True
        second = np.flatnonzero(~opens[:-1])
        pair = (actor[second] * events + code[second - 1]) * events + code[second]
        by_actor = Before.of(history.actors.astype(np.int64), rank, span)
        moments = np.searchsorted(ends, sequences.starts)
        reached = np.concatenate([[0], np.cumsum(lengths[by_actor.order])])
        first = sequences.actors.astype(np.int64) * span
        low, high = np.searchsorted(by_actor.entries, first), np.searchsorted(by_actor.entries, first + moments)
        session, own = sequences.session_of, sequences.codes.astype(np.int64)
        places = np.arange(len(own))
        positions = sequences.positions
        seen = Before.of(session * events + own, places, len(own) + 1)
        new = np.cumsum(seen.count(session * events + own, places) == 0)
        starts = sequences.offsets[:-1]
        return cls(
            sequences,
            history,
            moments,
            reached[high] - reached[low],
            new - np.repeat(new[starts] - 1, sequences.lengths),
            by_actor,
            Before.of(actor * events + code, moment, span),
            Before.of(actor[second] * events + code[second - 1], moment[second], span),
            Before.of(pair, moment[second], span),
            seen,
            Before.of(
                (session[positions] * events + own[positions - 1]) * events + own[positions], positions, len(own) + 1
            ),
        )

    def context(self, specification: Specification, places: Ints) -> dict[str, Floats]:
        """Features of `CONTEXT` but those of the chain, at `places` of ``sequences.positions``; NaN where missing."""
        sequences, history = self.sequences, self.history
        session = sequences.session_of[places]
        since = places - sequences.offsets[:-1][session]
        codes = sequences.codes.astype(np.float64)
        gaps = np.log1p(np.maximum(sequences.gaps, 0))
        columns: dict[str, Floats] = {}
        for back in range(1, LAGS + 1):
            columns[f"last_{back}"] = np.where(since >= back, codes[np.maximum(places - back, 0)], np.nan)
        columns["entry"] = codes[sequences.offsets[:-1][session]]
        columns["position"] = since.astype(np.float64)
        columns["distinct_events"] = self.distinct[places - 1].astype(np.float64)
        current = session * len(sequences.vocabulary) + sequences.codes[places - 1]
        columns["current_count"] = self.seen.count(current, places).astype(np.float64)
        columns["gap"] = np.where(since >= 2, gaps[places - 1], np.nan)
        columns["gap_before"] = np.where(since >= 3, gaps[np.maximum(places - 2, 0)], np.nan)
        first = sequences.times[sequences.offsets[:-1][session]]
        columns["elapsed"] = np.log1p(np.maximum(sequences.times[places - 1] - first, 0) / 1e6)
        columns["hour"] = sequences.hours[places - 1].astype(np.float64)
        columns["weekday"] = sequences.weekdays[places - 1].astype(np.float64)
        device = {name: code for code, name in enumerate(specification.devices)}
        columns["device"] = np.array([device.get(name, np.nan) for name in sequences.device_names])[
            sequences.devices[session]
        ]
        actors = sequences.actors.astype(np.int64)
        earlier = self.sessions_of.count(actors, self.moments)
        columns["earlier_sessions"] = np.log1p(earlier)[session]
        columns["earlier_events"] = np.log1p(self.past_events)[session]
        latest = self.sessions_of.latest(actors, self.moments)
        known = latest >= 0
        held = np.where(known, latest, 0)
        if not len(history.ends):
            nothing = np.full(len(places), np.nan)
            return {
                **columns,
                "since_last_session": nothing,
                "last_session_entry": nothing,
                "last_session_exit": nothing,
            }
        idle = np.log1p(np.maximum(sequences.starts - history.ends[held], 0) / 1e6)
        columns["since_last_session"] = np.where(known, idle, np.nan)[session]
        opening, closing = history.codes[history.offsets[:-1][held]], history.codes[history.offsets[1:][held] - 1]
        columns["last_session_entry"] = np.where(known, opening, np.nan)[session]
        columns["last_session_exit"] = np.where(known, closing, np.nan)[session]
        return columns

    def past_shares(self, sessions: Ints, codes: Ints, base: Floats) -> Floats:
        """Log ratio of events' shares in sessions' actors' pasts to `base`, drawn to 0 by `ACTOR_PRIOR` events.

        Parameters
        ----------
        sessions : int64 array, shape (m,)
            Places of sessions.
        codes : int64 array, shape (n,)
        base : float64 array, shape (n,)
            Shares of these events in training.

        Returns
        -------
        float64 array, shape (m, n)
        """
        actors = self.sequences.actors[sessions].astype(np.int64)
        keys = actors[:, None] * len(self.sequences.vocabulary) + codes[None, :]
        counts = self.events_of.count(keys, self.moments[sessions][:, None])
        return _lift(counts, self.past_events[sessions][:, None], base[None, :])

    def candidates(self, counted: Counted, places: Ints, found: Codes, chances: Floats) -> dict[str, Floats]:
        """Features of `CANDIDATE` that do not come from the chain alone.

        Parameters
        ----------
        counted : Counted
        places : int64 array, shape (n,)
            Of ``sequences.positions``.
        found : int32 array, shape (n, candidates)
            Codes of the candidates.
        chances : float64 array, shape (n, candidates)
            The chain's probabilities of them.

        Returns
        -------
        dict of str to float64 array, shape (n, candidates)
        """
        sequences, events = self.sequences, len(self.sequences.vocabulary)
        session = sequences.session_of[places]
        codes = found.astype(np.int64)
        current = sequences.codes[places - 1].astype(np.int64)
        actor, moment = sequences.actors[session].astype(np.int64), self.moments[session]
        seen_key = session[:, None] * events + codes
        latest = self.seen.latest(seen_key, places[:, None])
        pairs = ((session * events + current) * events)[:, None] + codes
        past = self.events_of.count(actor[:, None] * events + codes, moment[:, None])
        pair = ((actor * events + current) * events)[:, None] + codes
        follows = self.pairs_of.count(pair, moment[:, None])
        left = self.left_of.count(actor * events + current, moment)
        hour = sequences.hours[places - 1]
        base = counted.chain.base
        return {
            "count_so_far": self.seen.count(seen_key, places[:, None]).astype(np.float64),
            "steps_since": np.where(latest >= 0, places[:, None] - latest, np.nan),
            "followed_so_far": self.followed.count(pairs, places[:, None]).astype(np.float64),
            "hour_lift": np.log(counted.hours[hour[:, None], codes]) - np.log(base[codes]),
            "actor_lift": _lift(past, self.past_events[session][:, None], base[codes]),
            "actor_follows": follows.astype(np.float64),
            "actor_follows_lift": _lift(follows, left[:, None], np.maximum(chances, TINY)),
        }


def _lift(counts: Ints, totals: Ints, base: Floats) -> Floats:
    """Log ratio of a share with `ACTOR_PRIOR` events of `base` added to `base`."""
    return np.log((counts + ACTOR_PRIOR * base) / ((totals + ACTOR_PRIOR) * base))


@dataclass(frozen=True)
class Rows:
    """Positions as numbers for both forms.

    Parameters
    ----------
    context : float32 array, shape (n, len(specification.context))
    candidate : float32 array, shape (n, candidates, columns of the candidate)
        NaN where missing, as in `context`.
    shares : float32 array, shape (n, len(specification.history_events))
        Log ratios of the events' shares in the actor's past.
    found : int32 array, shape (n, candidates)
        Codes of the candidates, the chain's likeliest first.
    chain : float64 array, shape (n, events)
        The chain's distribution.
    actual : int32 array, shape (n,)
        What came.
    """

    context: Singles
    candidate: Singles
    shares: Singles
    found: Codes
    chain: Floats
    actual: Codes

    @property
    def prior(self) -> Floats:
        """Log of the chain's probability of each candidate, shape (n, candidates)."""
        return np.log(np.maximum(np.take_along_axis(self.chain, self.found, axis=1), TINY))

    @property
    def reranker(self) -> Singles:
        """Matrix of the re-ranker: ``candidates`` rows for each position, shape (n x candidates, columns)."""
        size = self.found.shape[1]
        return np.concatenate(
            [np.repeat(self.context, size, axis=0), self.candidate.reshape(len(self.found) * size, -1)], axis=1
        )

    @property
    def multiclass(self) -> Singles:
        """Matrix of the multi-class form, shape (n, columns)."""
        return np.concatenate([self.context, self.shares], axis=1)

    def take(self, rows: Ints) -> Rows:
        """The given rows."""
        return Rows(
            self.context[rows],
            self.candidate[rows],
            self.shares[rows],
            self.found[rows],
            self.chain[rows],
            self.actual[rows],
        )

    @classmethod
    def joined(cls, parts: Sequence[Rows]) -> Rows:
        """Rows one after another; at least one part."""
        return cls(
            np.concatenate([part.context for part in parts]),
            np.concatenate([part.candidate for part in parts]),
            np.concatenate([part.shares for part in parts]),
            np.concatenate([part.found for part in parts]),
            np.concatenate([part.chain for part in parts]),
            np.concatenate([part.actual for part in parts]),
        )


def rows(
    specification: Specification,
    counted: Counted,
    past: Past,
    *,
    hmm: NextEventModel | None = None,
    sessions: tuple[int, int] | None = None,
    chosen: NDArray[np.bool_] | None = None,
) -> Iterator[Rows]:
    """Describe positions in portions of about `PORTION`.

    Parameters
    ----------
    specification : Specification
    counted : Counted
    past : Past
    hmm : NextEventModel, optional
        Needed when the specification has its scores.
    sessions : (int, int), optional
        First and last (exclusive) session to describe; all by default.
    chosen : bool array, shape (positions,), optional
        Which of ``past.sequences.positions`` to describe; all by default.
    """
    sequences = past.sequences
    low, high = sessions if sessions is not None else (0, sequences.sessions)
    positions = sequences.positions
    at = int(sequences.offsets[low]) - low
    for batch in batches(sequences.take(np.arange(low, high)), PORTION):
        count = len(batch.positions)
        kept = np.arange(count) if chosen is None else np.flatnonzero(chosen[at : at + count])
        places = positions[at : at + count][kept]
        at += count
        if not len(places):
            continue
        chain = counted.chain.distributions(batch)[kept]
        scores = hmm.distributions(batch)[kept] if hmm is not None and specification.with_hmm else None
        yield _described(specification, counted, past, places=places, chain=chain, scores=scores)


def _described(
    specification: Specification,
    counted: Counted,
    past: Past,
    *,
    places: Ints,
    chain: Floats,
    scores: NDArray[np.floating[Any]] | None,
) -> Rows:
    sequences = past.sequences
    history = np.array(specification.history_events, dtype=np.int64)
    sessions, row = np.unique(sequences.session_of[places], return_inverse=True)
    order = np.argsort(-chain, axis=1, kind="stable")[:, : specification.candidates]
    found = order.astype(np.int32)
    chances = np.take_along_axis(chain, order, axis=1)
    context = past.context(specification, places)
    context["chain_first"] = found[:, 0].astype(np.float64)
    context["chain_first_chance"] = chances[:, 0]
    context["chain_entropy"] = -(chain * np.log2(np.maximum(chain, TINY))).sum(axis=1)
    candidate = past.candidates(counted, places, found, chances)
    candidate["candidate"] = found.astype(np.float64)
    candidate["chain_order1"] = np.log(counted.first[sequences.codes[places - 1][:, None], order])
    candidate["chain_chance"] = np.log(np.maximum(chances, TINY))
    candidate["chain_rank"] = np.broadcast_to(np.arange(found.shape[1], dtype=np.float64), found.shape)
    if scores is not None:
        context["hmm_first"] = scores.argmax(axis=1).astype(np.float64)
        context["hmm_first_chance"] = scores.max(axis=1).astype(np.float64)
        candidate["hmm_chance"] = np.log(np.maximum(np.take_along_axis(scores, order, axis=1), TINY))
    return Rows(
        np.column_stack([context[feature.name] for feature in specification.context]).astype(np.float32),
        np.stack([candidate[f.name] for f in specification.reranker[len(specification.context) :]], axis=2).astype(
            np.float32
        ),
        past.past_shares(sessions, history, counted.chain.base[history])[row].astype(np.float32),
        found,
        chain,
        sequences.codes[places],
    )
