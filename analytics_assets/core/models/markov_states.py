"""A Markov chain of order 1 with entry and exit: its moves, where they lead, what a step is worth.

Put here: the chain as such and what follows from its probabilities: absorption, removal effects, stationary shares,
entropies, simulated journeys. Keep out: whether a move is more than chance (``markov_significance.py``), tables
(``markov_analysis.py``), prediction (``markov.py``).

The chain has one state per event type that occurs, and the outside: every session is a path from outside (`START`) to
outside (`EXIT`), so that with n event types all moves fit in a matrix of n + 1 rows (events, then START) and n + 1
columns (events, then EXIT). Probabilities are plain shares: what is described is this log, and nothing is predicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.models.sequences import OTHER, Ints, Sequences

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Reading = Literal["exit", "reroute"]

START, EXIT = "(start)", "(exit)"

GOALS = 3
"""Goals chosen when none are given: more make the report long, not better."""

GOAL_SHARE = 0.05
"""Share of sessions, net, that must end on an event for it to be chosen as a goal."""

MAX_EVENTS = 2_000
"""Simulated journeys end here: only one that circles without a way out gets so far."""


@dataclass(frozen=True)
class Moves:
    """Moves of all sessions, from outside and back.

    Parameters
    ----------
    names : list of str, length n
        Event types that occur, in the vocabulary's order.
    origin, target : int64 array, shape (moves,)
        Places in `names`; n is `START` as origin and `EXIT` as target.
    session : int64 array, shape (moves,)
    actor : int64 array, shape (moves,)
        Counted from 0 without gaps.
    seconds : float64 array, shape (moves,)
        Time between the two events, NaN for entry and exit.
    """

    names: list[str]
    origin: Ints
    target: Ints
    session: Ints
    actor: Ints
    seconds: Floats

    @property
    def states(self) -> int:
        """Event types and the outside."""
        return len(self.names) + 1

    @property
    def cells(self) -> Ints:
        """Each move as place in the flattened matrix."""
        return self.origin * self.states + self.target

    @property
    def counts(self) -> Floats:
        """Occurrences of every move, shape (states, states)."""
        found = np.bincount(self.cells, minlength=self.states**2)
        return found.reshape(self.states, self.states).astype(np.float64)

    @classmethod
    def of(cls, sequences: Sequences) -> Moves:
        """Moves of the given sessions.

        Raises
        ------
        ValueError
            There is no session.
        """
        if not sequences.sessions:
            raise ValueError("there is no session whose journey could be analysed")
        seen, codes = np.unique(sequences.codes, return_inverse=True)
        outside = len(seen)
        opens, ends = sequences.offsets[:-1], sequences.offsets[1:]
        gaps = sequences.gaps
        gaps[opens] = np.nan
        _, actors = np.unique(sequences.actors, return_inverse=True)
        session = np.repeat(np.arange(sequences.sessions), sequences.lengths + 1)
        return cls(
            [sequences.vocabulary[code] for code in seen.tolist()],
            np.insert(codes, opens, outside).astype(np.int64),
            np.insert(codes, ends, outside).astype(np.int64),
            session,
            actors[session].astype(np.int64),
            np.insert(gaps, ends, np.nan),
        )


@dataclass(frozen=True)
class Chain:
    """Probabilities of moves.

    Parameters
    ----------
    names : list of str, length n
        Event types.
    probability : float64 array, shape (n + 1, n + 1)
        Rows: events, then `START`; columns: events, then `EXIT`; rows sum to 1.
    """

    names: list[str]
    probability: Floats

    @classmethod
    def of(cls, names: list[str], counts: Floats) -> Chain:
        """Shares of counted moves; what was never left leads to exit."""
        totals = counts.sum(axis=1, keepdims=True)
        probability = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
        probability[totals.ravel() == 0, -1] = 1
        return cls(names, probability)

    @property
    def inner(self) -> Floats:
        """Probabilities of moves to states that are not the exit, shape (n + 1, n + 1); nothing leads to `START`."""
        inner = self.probability.copy()
        inner[:, -1] = 0
        return inner

    def mask(self, events: Sequence[str]) -> Mask:
        """Which rows are one of `events`, shape (n + 1,)."""
        return np.array([*(name in events for name in self.names), False], dtype=bool)

    def without(self, event: str, reading: Reading) -> Chain:
        """The chain in which no journey comes to `event` any more.

        Parameters
        ----------
        event : str
        reading : {"exit", "reroute"}
            ``exit``: who would go there leaves instead. ``reroute``: who would go there goes on to one of the other
            successors of the event before (the exit is one), in their proportions; without any other successor they
            leave. The truth of a removed step lies between the two.

        Raises
        ------
        ValueError
            The chain has no such event.
        """
        if event not in self.names:
            raise ValueError(f"no journey holds the event {event!r}")
        place = self.names.index(event)
        probability = self.probability.copy()
        lost = probability[:, place].copy()
        probability[:, place] = 0
        if reading == "exit":
            probability[:, -1] += lost
            return Chain(self.names, probability)
        return Chain.of(self.names, probability)


def hitting(inner: Floats, into: Floats) -> tuple[Floats, Floats]:
    """Chance to reach a target, and the expected number of moves to it given that it is reached.

    With Q the moves between states from which the target can be reached and r the chances to enter it next, the chance
    is h = (I - Q)^-1 r, and the moves are (I - Q)^-1 h / h (Kemeny and Snell 1960, ch. 3; the second from the chain
    conditioned on reaching the target). States that cannot reach the target are left out first, so that closed classes
    do not make the system singular.

    Parameters
    ----------
    inner : float64 array, shape (states, states)
        Moves between states.
    into : float64 array, shape (states,)
        Chance that the next move enters the target.

    Returns
    -------
    chance, moves : float64 array, shape (states,)
        Chance 0 and moves NaN where the target cannot be reached.
    """
    chance, moves = np.zeros(len(into)), np.full(len(into), np.nan)
    able = np.flatnonzero(_able(inner, into > 0))
    if len(able):
        system = np.eye(len(able)) - inner[np.ix_(able, able)]
        found = np.linalg.solve(system, into[able])
        moves[able] = np.linalg.solve(system, found) / found
        chance[able] = np.clip(found, 0, 1)
    return chance, moves


def _able(inner: Floats, enters: Mask) -> Mask:
    """States with a path to the target, given those that enter it at once."""
    able = enters.copy()
    while True:
        more = able | (inner[:, able] > 0).any(axis=1)
        if more.sum() == able.sum():
            return able
        able = more


def goal_chances(chain: Chain, goals: Sequence[str]) -> tuple[Floats, Floats]:
    """Chance to come to one of `goals` before the exit, and expected moves given that.

    Returns
    -------
    chance, moves : float64 array, shape (n + 1,)
        From each event, and last from `START`; 1 and 0 from a goal itself.
    """
    goal = chain.mask(goals)
    inner, into = _towards(chain, goal)
    chance, moves = hitting(inner, into)
    chance[goal], moves[goal] = 1, 0
    return chance, moves


def exit_moves(chain: Chain) -> tuple[Floats, Floats]:
    """Chance to come to the exit, and expected moves given that, the move to the exit included.

    Returns
    -------
    chance, moves : float64 array, shape (n + 1,)
        The chance is below 1 only from where a closed class of events can be reached.
    """
    return hitting(chain.inner, chain.probability[:, -1])


def _towards(chain: Chain, goal: Mask) -> tuple[Floats, Floats]:
    """Moves among states that are no goal, and chances to enter a goal."""
    inner = chain.inner
    into = inner[:, goal].sum(axis=1)
    inner[:, goal] = 0
    inner[goal] = 0
    into[goal] = 0
    return inner, into


def removal_effects(chain: Chain, goals: Sequence[str]) -> tuple[float, Floats]:
    """Share of the journeys to a goal that is lost when an event leads to the exit instead.

    The removal effect of attribution (Anderl et al. 2016). With N = (I - Q)^-1 and h as in `hitting`, the journeys that
    pass event e on their way have the share (N[START, e] / N[e, e]) h[e] / h[START]; for a goal it is the share of the
    journeys whose first goal it is.

    Returns
    -------
    chance : float
        Chance that a journey comes to a goal.
    effects : float64 array, shape (n,)
        NaN everywhere when no journey comes to a goal.
    """
    n = len(chain.names)
    goal = chain.mask(goals)
    inner, into = _towards(chain, goal)
    able = _able(inner, into > 0)
    effects = np.zeros(n + 1)
    if not able[-1]:
        return 0.0, np.full(n, np.nan)
    places = np.flatnonzero(able)
    visits = np.linalg.inv(np.eye(len(places)) - inner[np.ix_(places, places)])
    chance = visits @ into[places]
    effects[places] = visits[-1] / np.diag(visits) * chance / chance[-1]
    effects[goal] = visits[-1] @ chain.inner[places][:, goal] / chance[-1]
    return min(1.0, float(chance[-1])), np.clip(effects[:n], 0, 1)


def stationary(counts: Floats) -> Floats:
    """Stationary distribution of the counted chain with the exit leading to `START`.

    Every visit that begins ends, so the shares of moves that leave each state are the distribution: pi P = pi holds
    exactly.

    Parameters
    ----------
    counts : float64 array, shape (n + 1, n + 1)

    Returns
    -------
    float64 array, shape (n + 1,)
        Events, and last the outside.
    """
    return counts.sum(axis=1) / counts.sum()


def row_entropies(probability: Floats) -> Floats:
    """Entropy of the next move from each state, bits."""
    from scipy.special import entr

    return np.asarray(entr(probability).sum(axis=1) / np.log(2))


@dataclass(frozen=True)
class Journeys:
    """Simulated journeys.

    Parameters
    ----------
    codes : int64 array, shape (events,)
        Events as places in the chain's names, journey after journey.
    offsets : int64 array, shape (journeys + 1,)
        A journey may be empty: whose first event was removed never came.
    ended : bool array, shape (journeys,)
        Whether each came to the exit within `MAX_EVENTS` events.
    """

    codes: Ints
    offsets: Ints
    ended: Mask

    @property
    def lengths(self) -> Ints:
        """Events of each journey."""
        return np.diff(self.offsets)

    def reached(self, goal: Mask) -> Mask:
        """Whether each journey holds an event of the given places."""
        journey = np.repeat(np.arange(len(self.ended)), self.lengths)
        return np.bincount(journey, weights=goal[self.codes], minlength=len(self.ended)) > 0


def simulate(
    chain: Chain, journeys: int, seed: int, *, removed: str | None = None, reading: Reading = "exit"
) -> Journeys:
    """Draw journeys from `START` to the exit.

    Parameters
    ----------
    chain : Chain
    journeys : int
    seed : int
    removed, reading
        An event that is no longer there, see ``Chain.without``.
    """
    if removed is not None:
        chain = chain.without(removed, reading)
    outside = len(chain.names)
    rng = np.random.default_rng(seed)
    reach = np.cumsum(chain.probability, axis=1)
    # One ascending list for all rows: row r takes the values r to r + 1.
    ladder = (reach / reach[:, -1:] + np.arange(outside + 1)[:, None]).ravel()
    live = np.arange(journeys)
    state = np.full(journeys, outside)
    paths: list[tuple[Ints, Ints]] = []
    while len(live) and len(paths) < MAX_EVENTS:
        drawn = np.searchsorted(ladder, state + rng.random(len(live)), side="right") - state * (outside + 1)
        goes_on = drawn < outside
        live, state = live[goes_on], drawn[goes_on]
        paths.append((live, state))
    lengths = np.zeros(journeys, dtype=np.int64)
    for place, _ in paths:
        lengths[place] += 1
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    codes = np.empty(offsets[-1], dtype=np.int64)
    for step, (place, event) in enumerate(paths):
        codes[offsets[place] + step] = event
    ended = np.ones(journeys, dtype=bool)
    ended[live] = False
    return Journeys(codes, offsets, ended)


def default_goals(moves: Moves) -> list[str]:
    """Goals when none are given: up to `GOALS` events by which more sessions end than start, by that difference.

    Entry pages are left out because as many sessions start there; rare types together are no goal. Only a stand-in:
    what counts as success is for people to say.
    """
    counts = moves.counts
    net = (counts[:-1, -1] - counts[-1, :-1]) / counts[-1].sum()
    ranked = np.argsort(-net, kind="stable").tolist()
    return [moves.names[place] for place in ranked if net[place] >= GOAL_SHARE and moves.names[place] != OTHER][:GOALS]
