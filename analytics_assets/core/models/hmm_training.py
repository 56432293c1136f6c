"""Estimating the parameters of a hidden Markov model with a given number of states.

Put here: samples, starts, expectation maximisation. Keep out: the choice of the number of states (``hmm.py``).

Expectation maximisation finds the optimum near its start, and for event streams most starts end in poor ones. Starts
come from clusters of short windows of events with sticky moves: events that occur together share a state. Each start
gets a few iterations; the best ones go on to convergence (Biernacki, Celeux and Govaert 2003, "short runs"). Where a
model with one state fewer is known, each of its states split into two is a start as well: a poor optimum has two true
states in one (Ueda et al. 2000, "split and merge").

Where events can repeat the work is done by hmmlearn's ``CategoricalHMM``. Where runs of one event are one event,
hmmlearn makes the first, rough iterations and `fit_runs` finishes: the same algorithm for the likelihood in which a run
has any length (see ``hmm_inference.py``). All estimates are modes under Dirichlet priors of 1.1, a tenth of an
observation per parameter: with 1.0 an event that a state never emitted would be impossible there.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.models.hmm_inference import Floats, Parameters, chances, counts_by_event, passes
from analytics_assets.core.models.sequences import Sequences

PRIOR = 1.1

WINDOWS = (8, 4, 2)
"""Events per window of the clustered starts: from whole tasks down to neighbours; which is best differs by stream."""

CLUSTER_ITERATIONS = 20
"""Of k-means on windows: the rest is left to the estimation."""

STICKY_STARTS = 2
"""Starts with random emissions around the shares of events: they find optima that clusters exclude."""

SPLIT_ITERATIONS = 5
"""Iterations before the splits of a smaller model are compared with other starts: they begin near an optimum."""

STAY = 0.8
"""Chance to stay in a state at the start of the estimation: a stay of five events."""

SHORT_ITERATIONS = 10
"""Iterations before starts are compared: enough to drop hopeless ones, too few to foresee the order of the rest."""

SHORT_RUN_ITERATIONS = 5
"""Iterations of `fit_runs` before starts are compared, after the short ones without it."""

FINALISTS = 3
"""Starts that go on: one is too few, since likelihood after the short iterations tells the end only roughly."""

MAX_ITERATIONS = 200
"""Cap on iterations; typical fits need 20 to 70."""

TOLERANCE = 1e-5
"""Gain in log-likelihood, nats per event, below which iterations end: 1 nat for 100,000 events."""

COARSE_TOLERANCE = 1e-4
"""The same until the finalists are compared: what separates optima is far larger, and only the best goes on."""

MAX_SESSION_EVENTS = 200
"""Events of a session that count: one endless session must not stand for many."""


@dataclass(frozen=True)
class Fitted:
    """Parameters and how they were found.

    Parameters
    ----------
    parameters : Parameters
    start : str
        Which start led to them.
    log_likelihood : float
        Of the sample under `parameters`, nats.
    iterations : int
        Of the last stage of the estimation.
    converged : bool
        Whether the gain fell below the tolerance before the cap was reached.
    """

    parameters: Parameters
    start: str
    log_likelihood: float
    iterations: int
    converged: bool


def shortened(sequences: Sequences, events: int = MAX_SESSION_EVENTS) -> Sequences:
    """The first `events` events of each session."""
    if sequences.lengths.max(initial=0) <= events:
        return sequences
    since = np.arange(len(sequences.codes)) - np.repeat(sequences.offsets[:-1], sequences.lengths)
    kept = since < events
    return replace(
        sequences,
        codes=sequences.codes[kept],
        times=sequences.times[kept],
        uuids=sequences.uuids.filter(kept),
        offsets=np.concatenate([[0], np.cumsum(np.minimum(sequences.lengths, events))]).astype(np.int64),
    )


def sampled(sequences: Sequences, events: int, rng: np.random.Generator) -> Sequences:
    """Sessions drawn at random, in their order, of together at most `events` events; at least one session."""
    order = rng.permutation(sequences.sessions)
    fitting = int(np.searchsorted(np.cumsum(sequences.lengths[order]), events, side="right"))
    return sequences.take(np.sort(order[: max(1, fitting)]))


def can_repeat(sequences: Sequences) -> bool:
    """Whether events follow themselves: False when sessions go on but none does so (`OTHER` apart)."""
    positions = sequences.positions
    now, before = sequences.codes[positions], sequences.codes[positions - 1]
    named = now != len(sequences.vocabulary) - 1
    return not named.any() or bool((now == before)[named].any())


def event_counts(sequences: Sequences) -> Floats:
    """Occurrences of each event type and the prior's share of one."""
    return np.asarray(np.bincount(sequences.codes, minlength=len(sequences.vocabulary)) + (PRIOR - 1), dtype=np.float64)


def one_state(sequences: Sequences, *, repeats: bool) -> Fitted:
    """The model without hidden states."""
    counts = event_counts(sequences)
    parameters = Parameters(np.ones(1), np.ones((1, 1)), (counts / counts.sum())[None], repeats=repeats)
    if not repeats:
        return fit_runs(Fitted(parameters, "shares of events", 0.0, 0, converged=False), sequences, MAX_ITERATIONS)
    return Fitted(parameters, "shares of events", log_likelihood(parameters, sequences), 0, converged=True)


def log_likelihood(parameters: Parameters, sequences: Sequences) -> float:
    """Log-likelihood of sessions, given that each goes on as long as it does, nats."""
    return float(np.log(chances(parameters, sequences)).sum())


def starts(sample: Sequences, states: int, *, repeats: bool, rng: np.random.Generator) -> dict[str, Parameters]:
    """Parameters to begin with, by name.

    Parameters
    ----------
    sample : Sequences
    states : int
        At least 2.
    repeats : bool
        See ``Parameters``.
    rng : numpy.random.Generator
    """
    shares = event_counts(sample) / event_counts(sample).sum()
    moves = np.full((states, states), (1 - STAY) / (states - 1))
    np.fill_diagonal(moves, STAY)
    initial = np.full(states, 1 / states)
    found = {}
    for events in WINDOWS:
        state = _clustered_windows(sample, states, events, int(rng.integers(2**31)))
        if state is not None:
            chosen = np.eye(states)[state]
            emission = counts_by_event(sample.codes, chosen, len(shares)) + PRIOR - 1
            emission /= emission.sum(axis=1, keepdims=True)
            found[f"windows of {events}"] = Parameters(initial, moves, emission, repeats=repeats)
    for number in range(1, STICKY_STARTS + 1):
        emission = 0.5 * shares + 0.5 * rng.dirichlet(np.ones(len(shares)), states)
        found[f"sticky {number}"] = Parameters(initial, moves, emission, repeats=repeats)
    return found


def _clustered_windows(sample: Sequences, states: int, events: int, seed: int) -> NDArray[np.int64] | None:
    """Cluster of each event's window, or None where fewer windows differ than there are to be clusters.

    Windows are square roots of shares of events, whose Euclidean distance is the Hellinger distance up to a constant.
    """
    from scipy.cluster.vq import kmeans2

    session = sample.session_of
    since = np.arange(len(sample.codes)) - sample.offsets[:-1][session]
    opens = since % events == 0
    window = np.cumsum(opens) - 1
    counts = np.zeros((int(opens.sum()), len(sample.vocabulary)))
    np.add.at(counts, (window, sample.codes), 1)
    if len(np.unique(counts, axis=0)) < states:
        return None
    rows = np.sqrt(counts / counts.sum(axis=1, keepdims=True))
    with warnings.catch_warnings():
        # A cluster that lost its windows gives a state the emissions of the prior alone, one poor start among several.
        warnings.filterwarnings("ignore", "One of the clusters is empty")
        _, clusters = kmeans2(rows, states, iter=CLUSTER_ITERATIONS, minit="++", rng=seed)
    return np.asarray(clusters[window], dtype=np.int64)


def fit_repeating(begun: Fitted, sample: Sequences, iterations: int, tolerance: float = TOLERANCE) -> Fitted:
    """Maximise the likelihood with hmmlearn, as if events could repeat.

    Parameters
    ----------
    begun : Fitted
        Where to start.
    sample : Sequences
    iterations : int
        Cap. hmmlearn calls itself converged when it reaches it; here that is not convergence.
    tolerance : float
        Nats per event.
    """
    from hmmlearn.hmm import CategoricalHMM

    given = begun.parameters
    model = CategoricalHMM(
        given.states,
        startprob_prior=PRIOR,
        transmat_prior=PRIOR,
        emissionprob_prior=PRIOR,
        n_features=given.emission.shape[1],
        n_iter=iterations,
        tol=tolerance * len(sample.codes),
        init_params="",
        implementation="scaling",
    )
    model.startprob_, model.transmat_, model.emissionprob_ = given.initial, given.moves, given.emission
    model.fit(sample.codes[:, None], sample.lengths)
    found = Parameters(model.startprob_, model.transmat_, model.emissionprob_, repeats=given.repeats)
    done = int(model.monitor_.iter)
    return Fitted(found, begun.start, log_likelihood(found, sample), done, converged=done < iterations)


def fit_runs(begun: Fitted, sample: Sequences, iterations: int, tolerance: float = TOLERANCE) -> Fitted:
    """Maximise the likelihood of runs of unknown length; arguments as `fit_repeating`.

    In the expectation step the states inside a run count as well: with u the weights of the states that a run of x
    visits, given the past, and w the likelihood of what follows, by the state that the run is in, the expected moves
    inside are ``A_ab B_bx sum(u_a w_b)`` over the runs. The last run of a session counts once: what came after it is
    unknown.
    """
    parameters = begun.parameters
    codes, events = sample.codes, parameters.emission.shape[1]
    ends = np.zeros(len(codes), dtype=bool)
    ends[sample.offsets[1:] - 1] = True
    left = np.flatnonzero(~ends)
    inside = left[codes[left] != events - 1]
    before, done, gaining = -np.inf, 0, True
    while gaining and done < iterations:
        done += 1
        by_event = np.ascontiguousarray(parameters.emission.T)
        both = passes(parameters, sample)
        visits = _times_own(both.entry[left], parameters.runs(), codes[left])
        following = by_event[codes[left + 1]] * both.future[left + 1] / both.chance[left + 1][:, None]
        within = codes[left] != events - 1
        again = by_event[codes[inside]] * both.future[inside]
        moved = parameters.moves * (visits.T @ following + visits[within].T @ again)
        emitted = counts_by_event(codes, both.entry * both.future, events)
        emitted += counts_by_event(codes[inside], (visits[within] @ parameters.moves) * again, events)
        begins = (both.entry * both.future)[sample.offsets[:-1]].sum(axis=0)
        parameters = Parameters(_mode(begins[None])[0], _mode(moved), _mode(emitted), repeats=begun.parameters.repeats)
        likelihood = float(np.log(both.chance).sum())
        gaining = likelihood - before >= tolerance * len(codes)
        before = likelihood
    return Fitted(parameters, begun.start, log_likelihood(parameters, sample), done, converged=not gaining)


def _times_own(rows: Floats, matrices: Floats, events: NDArray[np.int32]) -> Floats:
    """Each row times its event's matrix."""
    product = np.empty_like(rows)
    order = np.argsort(events, kind="stable")
    for own in np.split(order, np.flatnonzero(np.diff(events[order])) + 1):
        if len(own):
            product[own] = rows[own] @ matrices[events[own[0]]]
    return product


def _mode(counts: Floats) -> Floats:
    """Rows of chances from expected counts."""
    raised = counts + PRIOR - 1
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def improved(begun: Fitted, sample: Sequences, iterations: int, tolerance: float = TOLERANCE) -> Fitted:
    """Go on until convergence with the likelihood that fits the stream; arguments as `fit_repeating`."""
    finish = fit_repeating if begun.parameters.repeats else fit_runs
    return finish(begun, sample, iterations, tolerance)


def split(parameters: Parameters, state: int) -> Parameters:
    """A model with one state more: `state` and a copy of it, which part at their two most frequent events."""
    shares = np.full(parameters.emission.shape[1], 0.5)
    first, second = np.argsort(-parameters.emission[state], kind="stable")[:2]
    shares[first], shares[second] = 0.9, 0.1
    order = np.append(np.arange(parameters.states), state)
    copied = parameters.in_order(order)
    initial, moves, emission = copied.initial.copy(), copied.moves.copy(), copied.emission.copy()
    initial[[state, -1]] /= 2
    stay = moves[state, state]
    moves[:, [state, -1]] /= 2
    moves[[state, -1], [state, -1]] = STAY * stay
    moves[[state, -1], [-1, state]] = (1 - STAY) * stay
    emission[state] *= shares
    emission[-1] *= 1 - shares
    emission[[state, -1]] /= emission[[state, -1]].sum(axis=1, keepdims=True)
    return Parameters(initial, moves, emission, repeats=parameters.repeats)


def best_fit(
    sample: Sequences,
    states: int,
    *,
    repeats: bool,
    rng: np.random.Generator,
    iterations: int = MAX_ITERATIONS,
    smaller: Parameters | None = None,
) -> Fitted:
    """The likeliest parameters found from all starts.

    Parameters
    ----------
    sample : Sequences
        With at least one event.
    states : int
    repeats : bool
        See ``Parameters``.
    rng : numpy.random.Generator
        Draws the starts.
    iterations : int
        Cap on the iterations after the short ones.
    smaller : Parameters, optional
        A fitted model with one state fewer, of which splits are starts.
    """
    if states == 1:
        return one_state(sample, repeats=repeats)
    begun = []
    for name, parameters in starts(sample, states, repeats=repeats, rng=rng).items():
        short = fit_repeating(Fitted(parameters, name, 0.0, 0, converged=False), sample, SHORT_ITERATIONS, 0.0)
        begun.append(short if repeats else fit_runs(short, sample, SHORT_RUN_ITERATIONS, 0.0))
    if smaller is not None:
        for state in range(smaller.states):
            halved = Fitted(split(smaller, state), f"split of state {state}", 0.0, 0, converged=False)
            begun.append(improved(halved, sample, SPLIT_ITERATIONS, 0.0))
    begun.sort(key=lambda fitted: -fitted.log_likelihood)
    finalists = [improved(fitted, sample, iterations, COARSE_TOLERANCE) for fitted in begun[:FINALISTS]]
    return improved(max(finalists, key=lambda fitted: fitted.log_likelihood), sample, iterations)
