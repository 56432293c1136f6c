"""Hidden Markov models of event types: chances of events and states of sessions from given parameters.

Put here: forward and backward passes, vectorised over sessions. Keep out: estimating parameters (``hmm_training.py``),
the published model (``hmm.py``).

With f the weights of the hidden states before an event, B_x the chances that each state emits x and A the moves, the
forward recursion (Rabiner 1989, eq. 19 to 20, scaled as in eq. 91) is ``f' = (f * B_x) A``.

In a stream in which runs of one event are one event, such a recursion would have to learn that no event repeats. It is
known instead: the run is the visible part of a chain that emits x any number of times. With E_x = diag(B_x), the
weights of the states at the end of the run are ``(f * B_x) (I - A E_x)^-1``, summed over all lengths of the run, and
the next event is a different one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.models.sequences import Ints, Sequences

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Parameters:
    """Parameters of a hidden Markov model.

    Parameters
    ----------
    initial : float64 array, shape (states,)
        Chances of the first event's state.
    moves : float64 array, shape (states, states)
        Chances of the next action's state; rows may sum to less than 1 where the session may end.
    emission : float64 array, shape (states, events)
        Chances of each event type in each state; the last type is `OTHER`.
    repeats : bool
        False: runs of one event are one event. `OTHER` may repeat all the same, since it stands for several types.
    """

    initial: Floats
    moves: Floats
    emission: Floats
    repeats: bool

    @property
    def states(self) -> int:
        """Number of states."""
        return len(self.initial)

    @property
    def free(self) -> int:
        """Number of free parameters over the event types that a state can emit."""
        emitted = int((self.emission.sum(axis=0) > 0).sum())
        return self.states - 1 + self.states * (self.states - 1) + self.states * (emitted - 1)

    def runs(self) -> Floats:
        """Expected visits of each state in a run of each event by the state that began it: (I - A E_x)^-1.

        Returns
        -------
        float64 array, shape (events, states, states)
            The identity for every event where it can repeat.
        """
        identity = np.eye(self.states)
        repeating = self.moves[None] * self.emission.T[:, None, :]
        repeating[-1] = 0
        if self.repeats:
            repeating[:] = 0
        return np.asarray(np.linalg.inv(identity - repeating))

    def in_order(self, order: Ints) -> Parameters:
        """The same model with its states in another order."""
        return Parameters(
            self.initial[order], self.moves[np.ix_(order, order)], self.emission[order], repeats=self.repeats
        )


def steps(sequences: Sequences) -> list[Ints]:
    """Places of the first, second, ... events of all sessions that are that long, longest sessions first."""
    lengths = sequences.lengths
    order = np.argsort(-lengths, kind="stable")
    falling, first = -lengths[order], sequences.offsets[:-1][order]
    longest = int(lengths.max(initial=0))
    return [first[: int(np.searchsorted(falling, -step, side="left"))] + step for step in range(longest)]


def forecasts(parameters: Parameters, sequences: Sequences) -> Iterator[tuple[Ints, Floats, Floats]]:
    """States of the events of one step of all sessions, before and after each event is known.

    Yields
    ------
    places : int64 array, shape (n,)
        Events of this step.
    before : float64 array, shape (n, states)
        Weights of the states from the events before, so that ``before @ emission`` are chances of the possible events.
    entry : float64 array, shape (n, states)
        Chances of the states given the event as well. An event that no state can emit says nothing.
    """
    by_event = np.ascontiguousarray(parameters.emission.T)
    other = len(by_event) - 1
    after = parameters.runs() @ parameters.moves
    before = np.empty((0, parameters.states))
    for step, places in enumerate(steps(sequences)):
        before = before[: len(places)] if step else np.tile(parameters.initial, (len(places), 1))
        events = sequences.codes[places]
        entry = before * by_event[events]
        total = entry.sum(axis=1, keepdims=True)
        impossible = total[:, 0] <= 0
        if impossible.any():
            entry[impossible] = before[impossible]
            total = entry.sum(axis=1, keepdims=True)
        entry /= total
        yield places, before, entry
        if parameters.repeats:
            before = entry @ parameters.moves
            possible = before.sum(axis=1)
        else:
            before = np.einsum("nk,nkj->nj", entry, after[events])
            possible = before.sum(axis=1) - np.where(events == other, 0, (before * by_event[events]).sum(axis=1))
        before /= possible[:, None]


def chances(parameters: Parameters, sequences: Sequences) -> Floats:
    """Chance of each event given the events before it in the session, that of each first event from the start.

    Returns
    -------
    float64 array, shape (events,)
    """
    by_event = np.ascontiguousarray(parameters.emission.T)
    found = np.empty(len(sequences.codes))
    for places, before, _ in forecasts(parameters, sequences):
        found[places] = (before * by_event[sequences.codes[places]]).sum(axis=1)
    return found


def next_events(parameters: Parameters, sequences: Sequences) -> Floats:
    """Distribution over the event types at every one of ``sequences.positions``.

    Returns
    -------
    float64 array, shape (positions, events)
        Rows sum to 1; the event before has chance 0 where events cannot repeat.
    """
    other = parameters.emission.shape[1] - 1
    found = np.empty((len(sequences.positions), other + 1))
    # Each session has one position fewer than events: its events before place i are those before position i - session.
    row_of = np.arange(len(sequences.codes)) - sequences.session_of - 1
    for step, (places, before, _) in enumerate(forecasts(parameters, sequences)):
        if not step:
            continue
        rows = before @ parameters.emission
        if not parameters.repeats:
            last = sequences.codes[places - 1]
            single = np.flatnonzero(last != other)
            rows[single, last[single]] = 0
        found[row_of[places]] = rows / rows.sum(axis=1, keepdims=True)
    return found


@dataclass(frozen=True)
class Passes:
    """Forward and backward passes over sessions.

    Parameters
    ----------
    chance : float64 array, shape (events,)
        See `chances`.
    entry : float64 array, shape (events, states)
        Chances of the states given the events so far.
    future : float64 array, shape (events, states)
        Likelihood of the events after, by the state of this one, scaled so that ``entry * future`` are chances.
    """

    chance: Floats
    entry: Floats
    future: Floats

    @property
    def posterior(self) -> Floats:
        """Chances of the states given the whole session; where runs are one event, of the state that began the run."""
        weights = self.entry * self.future
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def passes(parameters: Parameters, sequences: Sequences) -> Passes:
    """Run both passes (Rabiner 1989, eq. 25 for the backward one)."""
    by_event = np.ascontiguousarray(parameters.emission.T)
    codes = sequences.codes
    shape = (len(codes), parameters.states)
    chance, entry, future = np.empty(shape[0]), np.empty(shape), np.ones(shape)
    walked: list[Ints] = []
    for places, before, entered in forecasts(parameters, sequences):
        chance[places] = (before * by_event[codes[places]]).sum(axis=1)
        entry[places] = entered
        walked.append(places)
    runs = parameters.runs()
    for places in reversed(walked[1:]):
        following = by_event[codes[places]] * future[places] / chance[places][:, None]
        back = following @ parameters.moves.T
        if not parameters.repeats:
            back = np.einsum("nkj,nj->nk", runs[codes[places - 1]], back)
        future[places - 1] = back
    return Passes(chance, entry, future)


def counts_by_event(codes: NDArray[np.int32], weights: Floats, events: int) -> Floats:
    """Sums of the rows of `weights` by event type; shape (states, events)."""
    columns = [np.bincount(codes, weights=column, minlength=events) for column in weights.T]
    return np.array(columns, dtype=np.float64).reshape(weights.shape[1], events)


def overlap(first: Any, second: Any) -> Floats:
    """Similarity of every pair of rows of two sets of distributions: the sum of the smaller chances, 1 where equal."""
    return np.array([np.minimum(row, second).sum(axis=1) for row in first]).reshape(len(first), len(second))
