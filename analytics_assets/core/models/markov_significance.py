"""Which moves of a chain are no chance, how sure its figures are, and whether it is the same throughout.

Put here: tests and intervals of a chain, by actors, sessions and periods. Keep out: the chain itself
(``markov_states.py``), descriptions without a test (``markov_analysis.py``), tests of the published findings
(``core/results/significance.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analytics_assets.core.intervals import wilson
from analytics_assets.core.models.markov_states import EXIT, START, Chain, Floats, Mask, Moves
from analytics_assets.core.models.sequences import OTHER, Ints

if TYPE_CHECKING:
    import pyarrow as pa
    from scipy.sparse import csr_matrix

LEVEL = 0.95
ALPHA = 0.05
"""Share of false discoveries among the moves that are called significant (Benjamini and Hochberg 1995)."""

FEW = 5.0
"""Below this expected count the normal approximation fails (Cochran 1954) and Poisson tails are used."""

FIT_ROUNDS, FIT_ERROR = 2_000, 1e-9
"""Proportional fitting stops when margins are met to this share of all moves: far below one move."""

PERIODS = 8
"""Periods with equally many sessions that are compared: weeks of a small log hold too few moves."""

PERMUTATIONS = 199
"""Shuffles of sessions over periods: the smallest p-value is 1 / 200."""


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


def transition_table(moves: Moves, *, collapsed: bool | None = None) -> tuple[pa.Table, dict[str, Any]]:
    """Every move that happened, and every one that significantly did not.

    Intervals and tests count each move as 1 / design effect (see `design_effects`) of an independent one, so that one
    actor's habit is not taken for everybody's. Tested are all allowed moves between states that occur, against
    quasi-independence (`independence`); q-values are the smallest rates of false discoveries at which each move is
    called.

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
    from scipy.stats import false_discovery_control

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
    adjusted[tested] = false_discovery_control(chance[tested])
    significant = adjusted <= ALPHA
    shown = np.flatnonzero((observed > 0) | significant)
    shown = shown[np.lexsort((shown, -observed[shown]))]
    leaving = counts.sum(axis=1)[shown // size]
    share = observed[shown] / leaving
    low, high = np.vectorize(wilson, otypes=[float, float])(share, leaving / effect[shown])
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
    # A session goes to one period as a whole: its equal moves are counted once, not for each shuffle.
    joint, times = np.unique(moves.session * len(cells) + cell, return_counts=True)
    joint_session, joint_cell = np.divmod(joint, len(cells))
    pooled_rows = np.bincount(row, weights=pooled, minlength=moves.states)
    shares = pooled / pooled_rows[row]

    def measure(labels: Ints) -> tuple[float, Floats]:
        """Likelihood (up to what does not depend on the labels), and distance of each period."""
        place = labels[joint_session] * len(cells) + joint_cell
        counts = np.bincount(place, weights=times, minlength=periods * len(cells)).reshape(periods, len(cells))
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
