"""Figures of next-event models from their scores, each with an interval.

Put here: accuracy, bits, calibration, slices, comparisons of two models. Keep out: making scores (``next_event.py``).

Intervals are percentile bootstraps over users (Efron and Tibshirani 1993, ch. 13; clusters as in Field and Welsh 2007):
sessions of one user resemble each other, so events are no independent draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.models.next_event import Scores, Task
from analytics_assets.core.models.sequences import Ints, Sequences

Mask = NDArray[np.bool_]

RESAMPLES = 500
"""Bootstrap repetitions: the ends of a 95 % interval then rest on a dozen values each."""

LEVEL = 0.95
CALIBRATION_BINS = 15
"""Equal-width bins of confidence (Guo et al. 2017)."""

LENGTHS = ((2, 4), (5, 9), (10, 19), (20, None))
"""Bounds of the session lengths that are reported apart."""

CONTEXT_EVENTS = 3
"""A context is seen when training holds the same last events, up to this many."""


@dataclass(frozen=True)
class Positions:
    """Whose the scored positions are, and how users are drawn anew.

    Parameters
    ----------
    actual : int32 array, shape (positions,)
        What came.
    sessions, users : int64 array, shape (positions,)
        Session and user of each position, counted from 0 without gaps.
    draws : float64 array, shape (RESAMPLES, users)
        How often each user is in each bootstrap sample.
    slices : dict of str to bool array
        Named subsets of the positions.
    """

    actual: NDArray[np.int32]
    sessions: Ints
    users: Ints
    draws: NDArray[np.float64]
    slices: dict[str, Mask]


def positions_of(task: Task, seed: int = 7) -> Positions:
    """Describe the positions of a task's test sessions."""
    test = task.test
    places = test.positions
    session = test.session_of[places]
    _, sessions = np.unique(session, return_inverse=True)
    actors, users = np.unique(test.actors[session], return_inverse=True)
    rng = np.random.default_rng(seed)
    n = len(actors)
    draws = rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(np.float64) if n else np.zeros((RESAMPLES, 0))
    return Positions(test.codes[places], sessions, users, draws, _slices(task, session))


def _slices(task: Task, session: Ints) -> dict[str, Mask]:
    test, places = task.test, task.test.positions
    seen = np.isin(_contexts(test)[places - 1], np.unique(_contexts(task.train)))
    known = {task.train.actor_names[actor] for actor in np.unique(task.train.actors).tolist()}
    cold = np.array([name not in known for name in test.actor_names], dtype=bool)
    lengths = test.lengths[session]
    slices = {
        "changes": test.codes[places] != test.codes[places - 1],
        "seen_contexts": seen,
        "unseen_contexts": ~seen,
        "cold_users": cold[test.actors[session]],
    }
    if len(places):
        top = np.bincount(test.actors[session]).argmax()
        slices["without_top_actor"] = test.actors[session] != top
    for low, high in LENGTHS:
        name = f"sessions_of_{low}_to_{high}" if high else f"sessions_of_{low}_or_more"
        slices[name] = (lengths >= low) & (lengths <= (high or np.inf))
    return slices


def _contexts(sequences: Sequences) -> Ints:
    """Code of the last `CONTEXT_EVENTS` events up to each event, fewer at a session's start."""
    base = len(sequences.vocabulary) + 1
    codes = sequences.codes.astype(np.int64) + 1
    since = np.arange(len(codes)) - np.repeat(sequences.offsets[:-1], sequences.lengths)
    context = np.zeros(len(codes), dtype=np.int64)
    for back in range(CONTEXT_EVENTS):
        shifted = np.roll(codes, back)
        context = context * base + np.where(since >= back, shifted, 0)
    return context


def _measures(scores: Scores) -> dict[str, NDArray[np.float64]]:
    """What is averaged over positions."""
    return {
        "top1": scores.hits(1),
        "top3": scores.hits(3),
        "top5": scores.hits(5),
        "mrr10": scores.reciprocal_rank,
        "bits": scores.bits,
    }


def _sums(values: NDArray[np.float64], users: Ints, count: int) -> NDArray[np.float64]:
    return np.bincount(users, weights=values, minlength=count).astype(np.float64)


def _interval(totals: NDArray[np.float64], weights: NDArray[np.float64], draws: NDArray[np.float64]) -> list[float]:
    """Percentile interval of sum(totals) / sum(weights) over the drawn users."""
    counted = draws @ weights
    ratios = (draws @ totals)[counted > 0] / counted[counted > 0]
    low, high = np.quantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return [float(low), float(high)]


def calibration_error(confidence: NDArray[np.float64], hits: NDArray[np.float64]) -> float:
    """Expected calibration error: mean over positions of |accuracy - confidence| of their bin of confidence."""
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, weights=hits, minlength=CALIBRATION_BINS)
    gaps -= np.bincount(bins, weights=confidence, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(hits))


def macro_recall(actual: NDArray[np.int32], predicted: NDArray[np.int32]) -> float:
    """Mean over the event types that came of the share of them that was the first choice."""
    came = np.bincount(actual)
    right = np.bincount(actual[actual == predicted], minlength=len(came))
    return float((right[came > 0] / came[came > 0]).mean())


def figures(scores: Scores, positions: Positions, mask: Mask | None = None) -> dict[str, Any]:
    """Figures over all or some positions.

    Parameters
    ----------
    scores : Scores
    positions : Positions
        Of the same positions.
    mask : bool array, optional
        Which of them.

    Returns
    -------
    dict
        ``positions``, ``sessions``, ``users``; ``top1``, ``top3``, ``top5`` (shares of positions whose event was among
        the first choices), ``mrr10``, ``bits`` (per event), ``ece``, ``macro_recall``; the first five again under
        ``by_session`` as means of sessions' means; 95 % intervals of all of these means under ``interval``. Without a
        position only the three counts.
    """
    chosen = np.arange(len(positions.actual)) if mask is None else np.flatnonzero(mask)
    users, sessions = positions.users[chosen], positions.sessions[chosen]
    counts: dict[str, Any] = {
        "positions": len(chosen),
        "sessions": len(np.unique(sessions)),
        "users": len(np.unique(users)),
    }
    if not len(chosen):
        return counts
    number = positions.draws.shape[1]
    ones = np.ones(len(chosen))
    in_session = np.bincount(sessions)[sessions]
    by_event, by_session, interval = {}, {}, {}
    for name, values in _measures(scores).items():
        taken = values[chosen]
        by_event[name] = float(taken.mean())
        interval[name] = _interval(_sums(taken, users, number), _sums(ones, users, number), positions.draws)
        shared, weights = _sums(taken / in_session, users, number), _sums(ones / in_session, users, number)
        by_session[name] = float(shared.sum() / weights.sum())
        interval[f"by_session_{name}"] = _interval(shared, weights, positions.draws)
    return {
        **counts,
        **by_event,
        "ece": calibration_error(scores.confidence[chosen], scores.hits(1)[chosen]),
        "macro_recall": macro_recall(positions.actual[chosen], scores.predicted[chosen]),
        "by_session": by_session,
        "interval": interval,
    }


def report(scores: Scores, positions: Positions) -> dict[str, Any]:
    """Figures over all positions, and under ``slices`` over each named subset."""
    slices = {name: figures(scores, positions, mask) for name, mask in positions.slices.items()}
    return {**figures(scores, positions), "slices": slices}


def improvement(model: Scores, baseline: Scores, positions: Positions) -> dict[str, Any]:
    """How much better a model is than another at the same positions.

    Returns
    -------
    dict
        ``top1`` and ``bits``: mean improvement (more hits, fewer bits), and ``top1_interval``, ``bits_interval``, their
        95 % intervals over users. A model *beats* another when the lower end is above 0.
    """
    number = positions.draws.shape[1]
    weights = _sums(np.ones(len(positions.users)), positions.users, number)
    found: dict[str, Any] = {}
    for name, gain in (("top1", model.hits(1) - baseline.hits(1)), ("bits", baseline.bits - model.bits)):
        found[name] = float(gain.mean()) if len(gain) else None
        totals = _sums(gain, positions.users, number)
        found[f"{name}_interval"] = _interval(totals, weights, positions.draws) if len(gain) else None
    return found


def beats(found: dict[str, Any], measure: str = "top1") -> bool:
    """Whether the lower end of an improvement's interval is above 0; False where nothing was measured."""
    interval = found[f"{measure}_interval"]
    return interval is not None and interval[0] > 0
