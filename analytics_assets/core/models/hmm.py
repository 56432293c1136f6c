"""Hidden Markov model of sessions: phases of work that show themselves only in the events.

Put here: the published model, the choice of the number of states, their order and names, the artefact. Keep out:
passes over sessions (``hmm_inference.py``), estimation (``hmm_training.py``), tables (``hmm_tables.py``), pictures
(``hmm_figures.py``).

The number of states is the smallest whose bits per event on the validation sessions are within one standard error of
the best (Breiman et al. 1984, section 3.4.3), or within `NEGLIGIBLE_BITS` where that error is smaller still: it is the
error of the difference to the best, over sessions, since all numbers are judged by the same sessions. BIC is shown
beside it. A chain of states explains behaviour; a Markov chain of events may predict better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.files import read_json, write_json
from analytics_assets.core.models import hmm_training as training
from analytics_assets.core.models.hmm_inference import Floats, Parameters, chances, next_events, overlap, passes
from analytics_assets.core.models.hmm_training import Fitted
from analytics_assets.core.models.next_event import MIN_PROBABILITY
from analytics_assets.core.models.sequences import Ints, Sequences

MAX_STATES = 12
STATES_LIMIT = 20
"""More states than this have no names that a reader could tell apart; memory grows with their square."""

SEARCH_EVENTS = 40_000
"""Training events on which every number of states is tried: some 3,000 sessions, a few seconds per number."""

FIT_EVENTS = 150_000
"""Training events of the final fit, 10,000 sessions and more; the bits of fits from halves are recorded beside it."""

NEGLIGIBLE_BITS = 0.01
"""Bits per event that do not justify a further state that readers have to understand."""

NAMING_SHARE = 0.05
"""An event names a state when the state emits it at least this often: rarer ones have a high lift by chance."""


@dataclass(frozen=True)
class HiddenMarkov:
    """A fitted model.

    Parameters
    ----------
    vocabulary : list of str
        Event types, `OTHER` last.
    parameters : Parameters
        States by falling share of the training events.
    names : list of str
        One per state, distinct.
    shares : float64 array, shape (events,)
        Chance of each event type over all states, weighted by their shares of the training events: what a state's
        chances are compared with. Where runs of one event are one event it counts, as the states do, the events inside.
    """

    vocabulary: list[str]
    parameters: Parameters
    names: list[str]
    shares: Floats

    @property
    def lift(self) -> Floats:
        """How much likelier each event is in each state than over all states; shape (states, events)."""
        return self.parameters.emission / self.shares

    def distributions(self, sequences: Sequences) -> Floats:
        """See ``next_event.NextEventModel``; the states are filtered from the events so far only."""
        return next_events(self.parameters, sequences)

    def posteriors(self, sequences: Sequences) -> Floats:
        """Chances of the states of each event given its whole session; shape (events, states)."""
        return passes(self.parameters, sequences).posterior

    def decode(self, sequences: Sequences) -> NDArray[np.int64]:
        """Likeliest state of each event given its whole session; shape (events,)."""
        return np.asarray(self.posteriors(sequences).argmax(axis=1), dtype=np.int64)

    def save(self, folder: Path) -> None:
        """Write ``model.json`` into `folder`; numbers are written so that they are read back bit for bit."""
        model = {
            "kind": "hidden_markov",
            "vocabulary": self.vocabulary,
            "names": self.names,
            "repeats": self.parameters.repeats,
            "initial": self.parameters.initial.tolist(),
            "moves": self.parameters.moves.tolist(),
            "emission": self.parameters.emission.tolist(),
            "shares": self.shares.tolist(),
        }
        write_json(folder / "model.json", model)

    @classmethod
    def load(cls, folder: Path) -> HiddenMarkov:
        """Read what `save` wrote."""
        model = read_json(folder / "model.json")
        parameters = Parameters(
            np.array(model["initial"]), np.array(model["moves"]), np.array(model["emission"]), repeats=model["repeats"]
        )
        return cls(model["vocabulary"], parameters, model["names"], np.array(model["shares"]))


def telling_events(emission: Floats, shares: Floats) -> list[Ints]:
    """Events of each state that set it apart, most telling first.

    Events that the state emits with at least `NAMING_SHARE`, by chance times the logarithm of lift, their part in the
    divergence of the state's events from all events (Kullback and Leibler 1951); `OTHER` comes last, ties by place.
    """
    found = []
    for row in emission:
        parts = row * np.log(row / shares)
        parts[row < NAMING_SHARE] = -np.inf
        parts[-1] = np.minimum(parts[-1], -1e300)
        order = np.argsort(-parts, kind="stable")
        named = order[row[order] >= NAMING_SHARE]
        found.append(named if len(named) else np.array([int(row.argmax())]))
    return found


def state_names(emission: Floats, shares: Floats, vocabulary: list[str]) -> list[str]:
    """Name of each state: its most telling event, with further ones where two states would share a name."""
    telling = telling_events(emission, shares)
    used = [1] * len(telling)

    def name(state: int) -> str:
        return " + ".join(vocabulary[event] for event in telling[state][: used[state]])

    while True:
        names = [name(state) for state in range(len(telling))]
        longer = [
            state
            for state, text in enumerate(names)
            if names.count(text) > 1 and used[state] < min(3, len(telling[state]))
        ]
        if not longer:
            break
        for state in longer:
            used[state] += 1
    return [
        text if names.count(text) == 1 else f"{text} ({names[: state + 1].count(text)})"
        for state, text in enumerate(names)
    ]


def matched(first: Floats, second: Floats) -> tuple[Ints, Ints, Floats]:
    """Pair the rows of two sets of distributions so that their overlaps are greatest (Kuhn 1955).

    Returns
    -------
    rows, columns : int64 array
        Pairs; the larger set keeps unpaired rows.
    overlaps : float64 array
        1 for equal distributions, 0 for those without a common event.
    """
    from scipy.optimize import linear_sum_assignment

    similar = overlap(first, second)
    rows, columns = linear_sum_assignment(similar, maximize=True)
    return rows, columns, similar[rows, columns]


def held_out_bits(parameters: Parameters, sequences: Sequences) -> Floats:
    """-log2 of the chance of the event at each of ``sequences.positions``, which is at least `MIN_PROBABILITY`."""
    found = chances(parameters, sequences)[sequences.positions]
    return np.asarray(-np.log2(np.maximum(found, MIN_PROBABILITY)))


def fit(
    train: Sequences,
    validation: Sequences,
    *,
    max_states: int = MAX_STATES,
    search_events: int = SEARCH_EVENTS,
    fit_events: int = FIT_EVENTS,
    max_iterations: int = training.MAX_ITERATIONS,
    seed: int = 7,
) -> tuple[HiddenMarkov, dict[str, Any]]:
    """Choose the number of states on `validation` and estimate the model from `train`.

    Parameters
    ----------
    train, validation : Sequences
        Of one vocabulary.
    max_states : int
        Numbers of states tried: 1 to this, which is at most `STATES_LIMIT`. Those with more free parameters than events
        to estimate them from, or more states than event types, are left out.
    search_events, fit_events : int
        Training events, in whole sessions drawn at random, from which the numbers of states are compared, and from
        which the chosen one is estimated.
    max_iterations : int
        Cap on the iterations of each fit.
    seed : int
        Of samples and starts.

    Returns
    -------
    model : HiddenMarkov
    training : dict
        ``states`` chosen and by what (``chosen_by``); ``grid`` with the held-out bits, their distance from the best and
        its standard error, BIC and convergence of every number of states; ``samples``; ``held_out_bits`` of the final
        fit, of fits from its two halves and of one state; ``stability``: overlap of the emissions of the states of
        these halves, matched with each other (``mean_overlap``), and by state the smaller one of those with the final
        fit (``by_state``), None without two sessions; ``convergence`` of the final fit; ``repeats``: whether events can
        follow themselves. Bits are None without a validation position. The halves are fitted from fresh starts on at
        most `search_events` events each and without splits of smaller models, so their figures hold the luck of starts
        as well.

    Raises
    ------
    ValueError
        There is no training session, or a number is out of bounds.
    """
    if not train.sessions:
        raise ValueError("there is no training session to learn hidden states from")
    if not 1 <= max_states <= STATES_LIMIT:
        raise ValueError(f"the number of states must lie between 1 and {STATES_LIMIT}")
    if min(search_events, fit_events, max_iterations) < 1:
        raise ValueError("samples and iterations must be at least 1")
    rng = np.random.default_rng(seed)
    repeats = training.can_repeat(train)
    short = training.shortened(train)
    sample = training.sampled(short, fit_events, rng)
    search = training.sampled(sample, search_events, rng)

    tried: list[Fitted] = []
    for states in range(1, max_states + 1):
        fitted = training.best_fit(
            search,
            states,
            repeats=repeats,
            rng=rng,
            iterations=max_iterations,
            smaller=tried[-1].parameters if tried else None,
        )
        types = int((np.bincount(search.codes, minlength=len(train.vocabulary)) > 0).sum())
        tried.append(fitted)
        if states >= types or _free(states + 1, types) >= len(search.codes):
            break
    grid, chosen = _choose(tried, search, validation)
    final = tried[chosen]
    if sample.sessions > search.sessions:
        final = training.improved(final, sample, max_iterations)

    halves = [
        training.best_fit(
            training.sampled(half, search_events, rng),
            final.parameters.states,
            repeats=repeats,
            rng=rng,
            iterations=max_iterations,
        )
        for half in _halves(sample, rng)
    ]
    sizes = passes(final.parameters, sample).posterior.mean(axis=0)
    order = np.argsort(-sizes, kind="stable")
    parameters = final.parameters.in_order(order)
    shares = sizes[order] @ parameters.emission
    names = state_names(parameters.emission, shares, train.vocabulary)
    model = HiddenMarkov(train.vocabulary, parameters, names, shares)
    report = {
        "states": parameters.states,
        "chosen_by": "held-out bits within one standard error" if len(validation.positions) else "BIC",
        "names": names,
        "repeats": repeats,
        "grid": grid,
        "samples": {
            "train_sessions": train.sessions,
            "train_events": len(train.codes),
            "shortened_sessions": int((train.lengths > training.MAX_SESSION_EVENTS).sum()),
            "search_sessions": search.sessions,
            "search_events": len(search.codes),
            "fit_sessions": sample.sessions,
            "fit_events": len(sample.codes),
        },
        "held_out_bits": {
            "one_state": _mean_bits(tried[0].parameters, validation),
            "halves": [_mean_bits(half.parameters, validation) for half in halves],
            "final": _mean_bits(parameters, validation),
        },
        "stability": _stability(parameters, halves),
        "convergence": {
            "start": final.start,
            "iterations": final.iterations,
            "cap": max_iterations,
            "converged": final.converged,
            "tolerance_nats_per_event": training.TOLERANCE,
        },
    }
    return model, report


def _free(states: int, types: int) -> int:
    """Free parameters of a model with so many states and event types."""
    return states - 1 + states * (states - 1) + states * (types - 1)


def _mean_bits(parameters: Parameters, sequences: Sequences) -> float | None:
    return float(held_out_bits(parameters, sequences).mean()) if len(sequences.positions) else None


def _choose(tried: list[Fitted], search: Sequences, validation: Sequences) -> tuple[list[dict[str, Any]], int]:
    """One row per number of states, and the place of the chosen one."""
    events = len(search.codes)
    types = int((np.bincount(search.codes) > 0).sum())
    bic = [-2 * fitted.log_likelihood + _free(fitted.parameters.states, types) * math.log(events) for fitted in tried]
    positions = validation.positions
    bits = [held_out_bits(fitted.parameters, validation) for fitted in tried]
    best = int(np.argmin([found.mean() for found in bits])) if len(positions) else int(np.argmin(bic))
    session = validation.session_of[positions]
    distances, errors = [], []
    for found in bits if len(positions) else []:
        by_session = np.bincount(session, weights=found - bits[best], minlength=validation.sessions)
        distances.append(float(by_session.sum() / len(positions)))
        errors.append(float(by_session.std() * math.sqrt(validation.sessions) / len(positions)))
    within = [place for place, distance in enumerate(distances) if distance <= max(errors[place], NEGLIGIBLE_BITS)]
    grid = [
        {
            "states": fitted.parameters.states,
            "held_out_bits": float(bits[place].mean()) if len(positions) else None,
            "distance_from_best": distances[place] if len(positions) else None,
            "standard_error": errors[place] if len(positions) else None,
            "bic": bic[place],
            "log_likelihood": fitted.log_likelihood,
            "start": fitted.start,
            "iterations": fitted.iterations,
            "converged": fitted.converged,
        }
        for place, fitted in enumerate(tried)
    ]
    return grid, min([*within, best])


def _halves(sample: Sequences, rng: np.random.Generator) -> list[Sequences]:
    """Two random halves of the sessions; no halves of a single session."""
    order = rng.permutation(sample.sessions)
    middle = sample.sessions // 2
    return [sample.take(np.sort(part)) for part in (order[:middle], order[middle:])] if middle else []


def _stability(parameters: Parameters, halves: list[Fitted]) -> dict[str, Any] | None:
    """How alike the states found in the two halves are, to each other and to those of the final fit."""
    if not halves:
        return None
    first, second = (half.parameters.emission for half in halves)
    smaller = np.minimum(*(matched(parameters.emission, emission)[2] for emission in (first, second)))
    return {"mean_overlap": float(matched(first, second)[2].mean()), "by_state": smaller.tolist()}
