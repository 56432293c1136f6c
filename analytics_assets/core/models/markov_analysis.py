"""What a Markov chain of order 1 says about journeys: which moves are no chance, where they lead, what a step is worth.

Put here: quantities derived from sessions as a chain with entry and exit: tested moves, stationary shares, absorption,
removal effects, simulation, change in time, BIC by order. Keep out: prediction (``markov.py``), pictures
(``markov_figures.py``), files.

The chain has one state per event type that occurs, and the outside: every session is a path from outside (`START`) to
outside (`EXIT`), so that with n event types all moves fit in a matrix of n + 1 rows (events, then START) and n + 1
columns (events, then EXIT). Probabilities are plain shares: what is described is this log, and nothing is predicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.models.markov import MAX_ORDER, context_codes
from analytics_assets.core.models.sequences import OTHER, Ints, Sequences
from analytics_assets.schemas.markov import MARKOV_GOALS, MARKOV_ORDERS, MARKOV_WHAT_IF

if TYPE_CHECKING:
    import pyarrow as pa
    from scipy.sparse import csr_matrix

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Reading = Literal["exit", "reroute"]

START, EXIT = "(start)", "(exit)"
ANY_GOAL = "(any goal)"

LEVEL = 0.95
ALPHA = 0.05
"""Share of false discoveries among the moves that are called significant (Benjamini and Hochberg 1995)."""

FEW = 5.0
"""Below this expected count the normal approximation fails (Cochran 1954) and Poisson tails are used."""

FIT_ROUNDS, FIT_ERROR = 2_000, 1e-9
"""Proportional fitting stops when margins are met to this share of all moves: far below one move."""

RESAMPLES = 200
"""Bootstrap repetitions: each end of a 95 % interval rests on five values, and each costs one inverse."""

GOALS = 3
"""Goals chosen when none are given: more make the report long, not better."""

GOAL_SHARE = 0.05
"""Share of sessions, net, that must end on an event for it to be chosen as a goal."""

JOURNEYS = 10_000
"""Simulated journeys: a rate of one half is then known to one percentage point (95 %)."""

MAX_EVENTS = 2_000
"""Simulated journeys end here: only one that circles without a way out gets so far."""

REMOVED = 5
"""Events whose disappearance is simulated: those with the largest removal effects."""

PERIODS = 8
"""Periods with equally many sessions that are compared: weeks of a small log hold too few moves."""

PERMUTATIONS = 199
"""Shuffles of sessions over periods: the smallest p-value is 1 / 200."""

FLOW_STEPS, FLOW_NODES = 5, 7
"""Steps of a flow diagram and event types named at each: more cannot be read."""


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


@dataclass(frozen=True)
class Expected:
    """Moves to expect if what follows did not depend on what came before.

    Parameters
    ----------
    allowed : bool array, shape (n + 1, n + 1)
        Moves that can happen at all.
    counts : float64 array, shape (n + 1, n + 1)
        Expected moves, 0 where not allowed.
    spread : float64 array, shape (n + 1, n + 1)
        Variance of observed minus expected, in parts of the expected count.
    """

    allowed: Mask
    counts: Floats
    spread: Floats


def independence(counts: Floats, never_twice: Mask) -> Expected:
    """Quasi-independence: what follows does not depend on what came before, among the moves that can happen.

    In streams whose runs are collapsed no event follows itself, and no session is empty. These cells are structural
    zeros; with plain independence every other cell would look too frequent. Expected counts are a_i b_j in the allowed
    cells, a and b from iterative proportional fitting (Goodman 1968; Bishop, Fienberg and Holland 1975, ch. 5). The
    variance of a residual is E_ij (1 - h_ij) with the leverage h of the Poisson log-linear model (Haberman 1973), which
    without structural zeros is (1 - row share) (1 - column share).

    Parameters
    ----------
    counts : float64 array, shape (n + 1, n + 1)
        Every row and column has a move.
    never_twice : bool array, shape (n,)
        Events that cannot follow themselves.
    """
    states = len(counts)
    allowed = np.ones((states, states), dtype=bool)
    allowed[np.arange(states), np.arange(states)] = [*~never_twice, False]
    rows, columns, total = counts.sum(axis=1), counts.sum(axis=0), counts.sum()
    weights = allowed.astype(np.float64)
    high = np.ones(states)
    for _ in range(FIT_ROUNDS):
        wide = rows / (weights @ high)
        high = columns / (wide @ weights)
        if np.abs(wide * (weights @ high) - rows).max() <= FIT_ERROR * total:
            break
    expected = wide[:, None] * weights * high
    information = np.block([[np.diag(expected.sum(axis=1)), expected], [expected.T, np.diag(expected.sum(axis=0))]])
    inverse = np.linalg.pinv(information, hermitian=True)
    variances = np.diag(inverse)
    leverage = expected * (variances[:states, None] + variances[states:] + 2 * inverse[:states, states:])
    return Expected(allowed, expected, np.clip(1 - leverage, 0, 1))


def wilson(share: Floats, n: Floats) -> tuple[Floats, Floats]:
    """95 % interval of shares of `n` trials (Wilson 1927); `n` need not be whole."""
    z = 1.959964
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return np.maximum(0, middle - half), np.minimum(1, middle + half)


def design_effects(moves: Moves, cells: Ints) -> Floats:
    """How much more a share of a row varies than with independent draws, because actors have habits.

    The share of move ij among the moves from i is a ratio of sums over actors u. Its linearised variance is
    U / (U - 1) sum_u (c_uij - p_ij c_ui)^2 / c_i^2 (Cochran 1977, ch. 6); the effect is its ratio to
    p_ij (1 - p_ij) / c_i (Kish 1965), at least 1; 1 as well where one actor made all moves of the row, or all moves
    of the row are one.

    Parameters
    ----------
    moves : Moves
    cells : int64 array, shape (k,)
        Ascending cells that occur.

    Returns
    -------
    float64 array, shape (k,)
    """
    size = moves.states
    both, joint = np.unique(moves.actor * size**2 + moves.cells, return_counts=True)
    actor, cell = np.divmod(both, size**2)
    made, leaving = np.unique(moves.actor * size + moves.origin, return_counts=True)
    of_row = leaving[np.searchsorted(made, actor * size + cell // size)]
    place = np.searchsorted(cells, cell)
    row = cells // size
    origins = made % size
    actors = np.bincount(origins, minlength=size)[row]
    total = np.bincount(origins, weights=leaving, minlength=size)[row]
    squared = np.bincount(origins, weights=leaving.astype(float) ** 2, minlength=size)[row]
    share = np.bincount(place, weights=joint) / total
    errors = (
        np.bincount(place, weights=joint.astype(float) ** 2)
        - 2 * share * np.bincount(place, weights=joint * of_row.astype(float))
        + share**2 * squared
    )
    plain = share * (1 - share) * total
    known = (actors > 1) & (plain > 0)
    effect = np.divide(errors * actors, plain * np.maximum(actors - 1, 1), out=np.ones(len(cells)), where=known)
    return np.maximum(effect, 1)


def chance_of(observed: Floats, expected: Floats, spread: Floats) -> tuple[Floats, Floats]:
    """Standardized residuals and two-sided p-values of counts.

    From `FEW` expected on normal, below it twice the smaller Poisson tail, which is the wider one; counts need not be
    whole (they may have been divided by a design effect), as the tails are regularized gamma functions.
    """
    from scipy.special import gammainc, gammaincc, ndtr

    error = np.sqrt(expected * spread)
    # A cell that the margins fix (as in a chain without choice) has no spread and no surprise.
    free = spread > 1e-9
    residual = np.divide(observed - expected, error, out=np.zeros_like(expected), where=free & (expected > 0))
    above = np.where(observed > 0, gammainc(np.where(observed > 0, observed, 1), expected), 1)
    tails = np.minimum(1, 2 * np.minimum(above, gammaincc(observed + 1, expected)))
    return residual, np.where(free, np.where(expected >= FEW, 2 * ndtr(-np.abs(residual)), tails), 1)


def false_discovery_rates(chance: Floats) -> Floats:
    """p-values adjusted for their number (Benjamini and Hochberg 1995): the smallest rate at which each is called."""
    order = np.argsort(-chance, kind="stable")
    ranks = np.arange(len(chance), 0, -1)
    rates = np.empty(len(chance))
    rates[order] = np.minimum(1, np.minimum.accumulate(chance[order] * len(chance) / ranks))
    return rates


def transition_table(moves: Moves, *, collapsed: bool | None = None) -> tuple[pa.Table, dict[str, Any]]:
    """Every move that happened, and every one that significantly did not.

    Intervals and tests count each move as 1 / design effect (see `design_effects`) of an independent one, so that one
    actor's habit is not taken for everybody's. Tested are all allowed moves between states that occur, against
    quasi-independence (`independence`).

    Parameters
    ----------
    moves : Moves
    collapsed : bool, optional
        Whether no event but `OTHER` can follow itself; by default whether none does.

    Returns
    -------
    table : pyarrow.Table
        Rows of ``MARKOV_EDGES`` by falling number of moves.
    tested : dict
        ``collapsed``; ``tested`` moves; ``more_than_chance`` and ``less_than_chance``, numbers of significant ones.
    """
    import pyarrow as pa

    size, counts = moves.states, moves.counts
    repeats = np.diag(counts)[:-1]
    other = np.array([name == OTHER for name in moves.names], dtype=bool)
    if collapsed is None:
        collapsed = not repeats[~other].any()
    null = independence(counts, ~other & (repeats == 0) if collapsed else np.zeros(len(other), dtype=bool))
    happened = np.flatnonzero(counts.ravel())
    effect = np.ones(size**2)
    effect[happened] = design_effects(moves, happened)
    observed, expected = counts.ravel(), null.counts.ravel()
    residual, chance = chance_of(observed / effect, expected / effect, null.spread.ravel())
    tested = np.flatnonzero(null.allowed.ravel())
    adjusted = np.ones(size**2)
    adjusted[tested] = false_discovery_rates(chance[tested])
    significant = adjusted <= ALPHA
    shown = np.flatnonzero((observed > 0) | significant)
    shown = shown[np.lexsort((shown, -observed[shown]))]
    leaving = counts.sum(axis=1)[shown // size]
    share = observed[shown] / leaving
    low, high = wilson(share, leaving / effect[shown])
    dwell = _dwell(moves)
    names_from, names_to = pa.array([*moves.names, START]), pa.array([*moves.names, EXIT])
    table = pa.table(
        {
            "from_event": names_from.take(pa.array(shown // size)),
            "to_event": names_to.take(pa.array(shown % size)),
            "transitions": observed[shown].astype(np.int64),
            "sessions": _distinct(moves.session, moves)[shown],
            "actors": _distinct(moves.actor, moves)[shown],
            "probability": share,
            "probability_low": low,
            "probability_high": high,
            "design_effect": effect[shown],
            "expected": expected[shown],
            "lift": pa.array(observed[shown] / np.maximum(expected[shown], 1e-300), mask=expected[shown] <= 0),
            "residual": residual[shown],
            "p_value": chance[shown],
            "q_value": adjusted[shown],
            "significant": significant[shown],
            **{
                name: pa.array(values[shown], from_pandas=True)
                for name, values in zip(("dwell_p25", "dwell_median", "dwell_p75"), dwell, strict=True)
            },
        }
    )
    more = significant & (observed > expected)
    found = {
        "collapsed": bool(collapsed),
        "tested": len(tested),
        "more_than_chance": int(more.sum()),
        "less_than_chance": int((significant & ~more).sum()),
    }
    return table, found


def _distinct(group: Ints, moves: Moves) -> Ints:
    """Number of different groups with each move, shape (states^2,)."""
    pairs = np.unique(group * moves.states**2 + moves.cells)
    return np.bincount(pairs % moves.states**2, minlength=moves.states**2)


def _dwell(moves: Moves) -> list[Floats]:
    """Quartiles of the seconds of each move, NaN without any, each of shape (states^2,); linear between values."""
    timed = np.flatnonzero(~np.isnan(moves.seconds))
    order = timed[np.lexsort((moves.seconds[timed], moves.cells[timed]))]
    seconds = moves.seconds[order]
    cells, first, number = np.unique(moves.cells[order], return_index=True, return_counts=True)
    quartiles = []
    for q in (0.25, 0.5, 0.75):
        place = first + q * (number - 1)
        below = np.floor(place).astype(np.int64)
        above = np.minimum(below + 1, first + number - 1)
        values = np.full(moves.states**2, np.nan)
        values[cells] = seconds[below] + (place - below) * (seconds[above] - seconds[below])
        quartiles.append(values)
    return quartiles


def bootstrap_chains(moves: Moves, resamples: int, seed: int) -> list[Chain]:
    """Chains of actors drawn anew with replacement; none when there is one actor only."""
    actors = int(moves.actor.max()) + 1
    if actors < 2:
        return []
    made = _by_actor(moves)
    draws = np.random.default_rng(seed).multinomial(actors, np.full(actors, 1 / actors), size=resamples)
    size = moves.states
    cells = np.unique(moves.cells)
    chains = []
    for row in draws.astype(np.float64) @ made:
        counts = np.zeros(size**2)
        counts[cells] = row
        chains.append(Chain.of(moves.names, counts.reshape(size, size)))
    return chains


def _by_actor(moves: Moves) -> csr_matrix:
    """Moves of each actor, shape (actors, cells that occur)."""
    from scipy.sparse import csr_matrix

    cells, place = np.unique(moves.cells, return_inverse=True)
    shape = (int(moves.actor.max()) + 1, len(cells))
    return csr_matrix((np.ones(len(place)), (moves.actor, place)), shape=shape)


def percentiles(values: Floats) -> tuple[Floats, Floats]:
    """95 % percentile interval over the first axis; NaN where a repetition has no value or there is none."""
    if not len(values):
        return np.full(values.shape[1:], np.nan), np.full(values.shape[1:], np.nan)
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, high


def order_table(sequences: Sequences, max_order: int = MAX_ORDER, *, collapsed: bool = False) -> pa.Table:
    """Bayesian information criterion of contexts of 0 to `max_order` events (Schwarz 1978; Singer et al. 2014).

    Counted are the positions that a model predicts (all but the first of each session), with the contexts of
    ``markov.context_codes`` and without smoothing. Contexts that never occur have no parameters. Without a position
    the table is empty.

    Parameters
    ----------
    sequences : Sequences
    max_order : int
    collapsed : bool
        Whether no event follows itself, so that from order 1 on each context has one parameter less.

    Returns
    -------
    pyarrow.Table
        Rows of ``MARKOV_ORDERS``.
    """
    import pyarrow as pa
    from scipy.special import xlogy

    following = sequences.codes[sequences.positions].astype(np.int64)
    n, choices = len(following), len(np.unique(following))
    rows = []
    for order in range(max_order + 1) if n else ():
        known, context = np.unique(context_codes(sequences, order), return_inverse=True)
        _, pairs = np.unique(context * len(sequences.vocabulary) + following, return_counts=True)
        totals = np.bincount(context)
        likelihood = float(xlogy(pairs, pairs).sum() - xlogy(totals, totals).sum())
        parameters = len(known) * max(0, choices - 1 - (collapsed and order > 0))
        bic = -2 * likelihood + parameters * np.log(n)
        rows.append(
            {
                "order": order,
                "contexts": len(known),
                "parameters": parameters,
                "bits": -likelihood / n / np.log(2),
                "bic": bic,
                "bic_bits": bic / (2 * n * np.log(2)),
            }
        )
    return pa.Table.from_pylist(rows, MARKOV_ORDERS.arrow_schema())


def stationarity(
    moves: Moves, starts: Ints, *, periods: int = PERIODS, permutations: int = PERMUTATIONS, seed: int = 7
) -> tuple[pa.Table, dict[str, Any]]:
    """Whether the chain is the same throughout.

    Sessions in order of their start are cut into periods of equally many. The likelihood ratio of one chain per
    period against one for all (Anderson and Goodman 1957) is compared with the same after sessions were shuffled over
    periods, which needs no expected counts. A change in who came counts as a change.

    Parameters
    ----------
    moves : Moves
    starts : int64 array, shape (sessions,)
        Start of each session, microseconds since 1970.
    periods, permutations, seed : int

    Returns
    -------
    table : pyarrow.Table
        Rows of ``MARKOV_PERIODS``. ``distance`` is the mean over a period's moves of the total variation distance of
        its row from the row of all; ``p_value`` the share of shuffles in which any period is as far off.
    found : dict
        ``periods``; ``p_value`` of the likelihood ratio; ``excess_bits``, the bits per move lost by pooling, beyond
        the mean of the shuffles. None without two sessions.
    """
    import pyarrow as pa
    from scipy.special import xlogy

    sessions = len(starts)
    periods = min(periods, sessions)
    label = np.empty(sessions, dtype=np.int64)
    label[np.argsort(starts, kind="stable")] = np.arange(sessions) * periods // sessions
    cells, cell = np.unique(moves.cells, return_inverse=True)
    row = cells // moves.states
    pooled = np.bincount(cell)
    pooled_rows = np.bincount(row, weights=pooled, minlength=moves.states)
    shares = pooled / pooled_rows[row]

    def measure(labels: Ints) -> tuple[float, Floats]:
        """Likelihood (up to what does not depend on the labels), and distance of each period."""
        counts = np.bincount(labels[moves.session] * len(cells) + cell, minlength=periods * len(cells))
        counts = counts.reshape(periods, len(cells)).astype(np.float64)
        by_row = np.stack([np.bincount(row, weights=line, minlength=moves.states) for line in counts])
        likelihood = float(xlogy(counts, counts).sum() - xlogy(by_row, by_row).sum())
        return likelihood, np.abs(counts - by_row[:, row] * shares).sum(axis=1) / 2 / counts.sum(axis=1)

    likelihood, distance = measure(label)
    rng = np.random.default_rng(seed)
    shuffled = [measure(rng.permutation(label)) for _ in range(permutations)] if periods > 1 else []
    farthest = np.array([found.max() for _, found in shuffled])
    likelihoods = np.array([found for found, _ in shuffled])
    tested = len(shuffled) > 0
    bounds = [np.flatnonzero(label == period) for period in range(periods)]
    counts = np.bincount(label[moves.session], minlength=periods)
    table = pa.table(
        {
            "period": np.arange(1, periods + 1),
            "first_start": pa.array([int(starts[found].min()) for found in bounds], pa.timestamp("us")),
            "last_start": pa.array([int(starts[found].max()) for found in bounds], pa.timestamp("us")),
            "sessions": np.array([len(found) for found in bounds]),
            "transitions": counts,
            "distance": distance,
            "chance_distance": pa.array(
                np.mean([found for _, found in shuffled], axis=0) if tested else np.full(periods, np.nan),
                from_pandas=True,
            ),
            "p_value": pa.array(
                (1 + (farthest >= distance[:, None]).sum(axis=1)) / (1 + permutations)
                if tested
                else np.full(periods, np.nan),
                from_pandas=True,
            ),
        }
    )
    found = {
        "periods": periods,
        "p_value": float((1 + (likelihoods >= likelihood - 1e-9).sum()) / (1 + permutations)) if tested else None,
        "excess_bits": float((likelihood - likelihoods.mean()) / len(cell) / np.log(2)) if tested else None,
    }
    return table, found


def step_flows(sequences: Sequences, *, steps: int = FLOW_STEPS, nodes: int = FLOW_NODES) -> pa.Table:
    """How sessions flow through their first events.

    Parameters
    ----------
    sequences : Sequences
    steps : int
        Events of a session that are looked at.
    nodes : int
        Most frequent event types at each step that keep their name; the others are `OTHER` together.

    Returns
    -------
    pyarrow.Table
        Rows of ``MARKOV_FLOWS``: step 0 leads from `START` to the first events, step k from the k-th event to the
        next one or to `EXIT`; what comes to a node of a step before the last also leaves it.
    """
    import pyarrow as pa

    other, gone = len(sequences.vocabulary), len(sequences.vocabulary) + 1
    names = [*sequences.vocabulary, OTHER, EXIT]
    if OTHER in sequences.vocabulary:
        other = sequences.vocabulary.index(OTHER)
    columns = []
    for step in range(steps):
        inside = sequences.lengths > step
        code = sequences.codes[np.where(inside, sequences.offsets[:-1] + step, 0)].astype(np.int64)
        frequent = np.bincount(code[inside & (code != other)], minlength=len(names))
        kept = np.argsort(-frequent, kind="stable")[:nodes]
        columns.append(np.where(inside, np.where(np.isin(code, kept), code, other), gone))
    parts = []
    for step, column in enumerate(columns):
        origin = columns[step - 1] if step else np.zeros(sequences.sessions, dtype=np.int64)
        present = origin != gone
        pairs, number = np.unique(np.stack([origin[present], column[present]]), axis=1, return_counts=True)
        origins = pa.array(names).take(pa.array(pairs[0])) if step else pa.array([START] * pairs.shape[1], pa.string())
        parts.append(
            pa.table(
                {
                    "step": np.full(len(number), step, dtype=np.int64),
                    "from_event": origins,
                    "to_event": pa.array(names, pa.string()).take(pa.array(pairs[1])),
                    "sessions": number,
                }
            )
        )
    return pa.concat_tables(parts)


def _goal_table(chain: Chain, goals: Sequence[str]) -> pa.Table:
    """Rows of ``MARKOV_GOALS``: chance and distance of each goal, and of any of several, from each state."""
    import pyarrow as pa

    parts = []
    for name, wanted in [*((goal, [goal]) for goal in goals), *([(ANY_GOAL, list(goals))] if len(goals) > 1 else [])]:
        chance, moves = goal_chances(chain, wanted)
        parts.append(
            pa.table(
                {
                    "goal": pa.array([name] * len(chance), pa.string()),
                    "from_event": pa.array([*chain.names, START], pa.string()),
                    "probability": chance,
                    "events_to_goal": pa.array(moves, from_pandas=True),
                }
            )
        )
    return pa.concat_tables(parts) if parts else MARKOV_GOALS.arrow_schema().empty_table()


def _state_table(moves: Moves, chain: Chain, effects: Floats, resampled: Floats) -> pa.Table:
    """Rows of ``MARKOV_STATES`` by falling occurrences; `effects` and their bootstrap from `removal_effects`."""
    import pyarrow as pa

    counts = moves.counts
    inside = ~np.isnan(moves.seconds)
    seconds = np.bincount(moves.origin[inside], weights=moves.seconds[inside], minlength=moves.states)[:-1]
    occurrences = counts.sum(axis=1)[:-1]
    low, high = percentiles(resampled)
    _, left = exit_moves(chain)
    order = np.argsort(-occurrences, kind="stable")
    known = np.nansum(effects)
    columns: dict[str, Floats] = {
        "stationary": stationary(counts)[:-1],
        "time_share": seconds / seconds.sum() if seconds.sum() > 0 else np.full(len(seconds), np.nan),
        "entry_probability": chain.probability[-1, :-1],
        "exit_probability": chain.probability[:-1, -1],
        "events_to_exit": left[:-1] - 1,
        "entropy": row_entropies(chain.probability)[:-1],
        "removal_effect": effects,
        "removal_effect_low": low,
        "removal_effect_high": high,
        "credit": effects / known if known > 0 else np.full(len(effects), np.nan),
    }
    return pa.table(
        {
            "event": pa.array(chain.names, pa.string()).take(pa.array(order)),
            "occurrences": occurrences[order].astype(np.int64),
            "entries": counts[-1, :-1][order].astype(np.int64),
            "exits": counts[:-1, -1][order].astype(np.int64),
            **{name: pa.array(values[order], from_pandas=True) for name, values in columns.items()},
        }
    )


def what_if_table(chain: Chain, goals: Sequence[str], removed: Sequence[str], *, journeys: int, seed: int) -> pa.Table:
    """What happens when events disappear, simulated and exact, in both readings (see ``Chain.without``).

    Changes are against as many journeys of the whole chain, with independent draws; their 95 % intervals are normal
    and hold what simulation leaves open. What the data leave open is in the interval of the removal effect.

    Returns
    -------
    pyarrow.Table
        Rows of ``MARKOV_WHAT_IF``; the first is the whole chain, without ``removed_event`` and changes.
    """
    import pyarrow as pa

    goal = chain.mask(goals)
    cases: list[tuple[str | None, Reading]] = [(None, "exit")]
    cases += [(event, reading) for event in removed for reading in ("exit", "reroute")]
    rows: list[dict[str, Any]] = []
    before: list[Floats] = []
    for number, (event, reading) in enumerate(cases):
        drawn = simulate(chain, journeys, seed + number, removed=event, reading=reading)
        altered = chain if event is None else chain.without(event, reading)
        sample = [drawn.reached(goal).astype(np.float64), drawn.lengths[drawn.ended].astype(np.float64)]
        exact = [float(goal_chances(altered, goals)[0][-1]), float(exit_moves(altered)[1][-1] - 1)]
        row: dict[str, Any] = {"removed_event": event, "reading": reading if event else None, "journeys": journeys}
        for place, name in enumerate(("goal_rate", "events")):
            values = sample[place]
            row[name] = float(values.mean()) if len(values) else None
            row[f"{name}_exact"] = None if np.isnan(exact[place]) else exact[place]
            if event is not None:
                row.update(_change(name, values, before[place]))
        row["endless_share"] = float(1 - drawn.ended.mean())
        if event is None:
            before = sample
        rows.append(row)
    return pa.Table.from_pylist(rows, MARKOV_WHAT_IF.arrow_schema())


def _change(name: str, values: Floats, before: Floats) -> dict[str, float | None]:
    """Difference of two means of independent samples with its normal interval."""
    if not len(values) or not len(before):
        return {}
    change = float(values.mean() - before.mean())
    half = 1.959964 * float(np.sqrt(values.var() / len(values) + before.var() / len(before)))
    return {f"{name}_change": change, f"{name}_change_low": change - half, f"{name}_change_high": change + half}


def analysis(
    sequences: Sequences,
    *,
    goals: Sequence[str] | None = None,
    max_order: int = MAX_ORDER,
    resamples: int = RESAMPLES,
    permutations: int = PERMUTATIONS,
    journeys: int = JOURNEYS,
    seed: int = 7,
) -> tuple[dict[str, Any], dict[str, pa.Table]]:
    """Everything this module derives from sessions.

    Parameters
    ----------
    sequences : Sequences
        The training sessions, or all of them where the log as such is described.
    goals : sequence of str, optional
        Events to be reached; by default (None or empty) `default_goals`.
    max_order : int
        Highest order of the BIC table.
    resamples, permutations, journeys : int
        Bootstrap repetitions over actors, shuffles over periods, simulated journeys per case.
    seed : int

    Returns
    -------
    figures : dict
        For ``metrics.json``: ``sessions``, ``events``, ``actors``, ``event_types``; ``transitions`` (see
        `transition_table`); ``entropy_rate`` in bits per move, the exit counted as a move, and ``entropy_rate_bias``,
        by how much the plain estimate is about too low (Miller 1955); ``events_per_session``; ``goals``: ``names``,
        ``chosen`` ("given" or "default"), ``probability`` from the start under the chain with its 95 % ``interval``
        (bootstrap over actors), and ``observed``, the share of sessions that hold a goal; None for all three without
        a goal; ``bic_order``, None without a position; ``stationarity`` (see `stationarity`).
    tables : dict of str to pyarrow.Table
        ``edges``, ``states``, ``goals``, ``orders``, ``what_if``, ``periods``, ``flows``.

    Raises
    ------
    ValueError
        There is no session, or a goal is not in the vocabulary.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    moves = Moves.of(sequences)
    unknown = [goal for goal in goals or () if goal not in sequences.vocabulary]
    if unknown:
        raise ValueError(f"goals that are no event types of the sessions: {', '.join(map(repr, unknown))}")
    wanted = list(dict.fromkeys(goals)) if goals else default_goals(moves)
    # Hundreds of small matrices: threads that wait for each other cost ten times what they share.
    with threadpool_limits(limits=1, user_api="blas"):
        figures, tables = _derived(
            sequences,
            moves,
            wanted,
            max_order=max_order,
            resamples=resamples,
            permutations=permutations,
            journeys=journeys,
            seed=seed,
        )
    figures["goals"]["chosen"] = "given" if goals else "default"
    return figures, tables


def _derived(
    sequences: Sequences,
    moves: Moves,
    wanted: list[str],
    *,
    max_order: int,
    resamples: int,
    permutations: int,
    journeys: int,
    seed: int,
) -> tuple[dict[str, Any], dict[str, pa.Table]]:
    """What `analysis` returns, for known goals."""
    counts = moves.counts
    chain = Chain.of(moves.names, counts)
    edges, tested = transition_table(moves)
    probability, effects = removal_effects(chain, wanted)
    resampled = [removal_effects(drawn, wanted) for drawn in bootstrap_chains(moves, resamples, seed)] if wanted else []
    low, high = percentiles(np.array([chance for chance, _ in resampled]))
    by_event = np.array([found for _, found in resampled]).reshape(len(resampled), len(chain.names))
    orders = order_table(sequences, max_order, collapsed=tested["collapsed"])
    periods, changing = stationarity(moves, sequences.starts, permutations=permutations, seed=seed)
    goal = chain.mask(wanted)
    ranked = [place for place in np.argsort(-effects, kind="stable").tolist() if effects[place] > 0 and not goal[place]]
    tables = {
        "edges": edges,
        "states": _state_table(moves, chain, effects, by_event),
        "goals": _goal_table(chain, wanted),
        "orders": orders,
        "what_if": what_if_table(
            chain, wanted, [chain.names[place] for place in ranked[:REMOVED]], journeys=journeys, seed=seed
        ),
        "periods": periods,
        "flows": step_flows(sequences),
    }
    held = np.bincount(moves.session, weights=goal[moves.origin]) > 0
    rates = row_entropies(chain.probability)
    figures: dict[str, Any] = {
        "sessions": sequences.sessions,
        "events": len(sequences.codes),
        "actors": int(moves.actor.max()) + 1,
        "event_types": len(moves.names),
        "transitions": tested,
        "entropy_rate": float(stationary(counts) @ rates),
        "entropy_rate_bias": float(((counts > 0).sum() - moves.states) / (2 * counts.sum() * np.log(2))),
        "events_per_session": float(exit_moves(chain)[1][-1] - 1),
        "goals": {
            "names": wanted,
            "probability": probability if wanted else None,
            "interval": [float(low), float(high)] if resampled else None,
            "observed": float(held.mean()) if wanted else None,
        },
        "bic_order": int(np.argmin(orders["bic"].to_numpy())) if orders.num_rows else None,
        "stationarity": changing,
    }
    return figures, tables
