"""How well the next event can be predicted at best: exact filtering with all parameters known.

Belongs here: the Bayes-optimal predictor of the behaviour model and its score on generated journeys.
Does not belong here: models that learn from data.

Three streams are scored, each over all transitions inside the sessions of human personas:

``intent``
    Actions only: no renders, no session boundaries, repetitions kept.
``intent_collapsed``
    The same with runs of one action collapsed to one event; how long a run was is unknown to the predictor.
``raw``
    All events.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analytics_assets.sample.journeys import HUMAN_EMPTY_SHARE, HUMAN_SINGLE_SHARE, Model
from analytics_assets.sample.simulation import ACTIVE, EMPTY, Journeys

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TIE_DIGITS: Final = 12
"""Probabilities are rounded to this many digits before they are compared: equal ones then tie on every machine, and
the first code wins."""

DEFINITION: Final = (
    "Score, on the generated sessions of human personas, of the predictor that knows the persona and all parameters, "
    "filters the hidden state exactly from the events of the session so far, and predicts "
    "P(next event | events so far, the session goes on). top1/top3/top5 = share of transitions "
    "whose next event is among its first 1/3/5 choices; "
    "bits_per_event = mean of -log2 P(event that came); positions = transitions inside sessions. Streams: intent = "
    "actions only, runs not collapsed; intent_collapsed = actions with runs collapsed to one event, predicting the "
    "next different action; raw = all events including renders and boundaries (top1 only, and bits)."
)


@dataclass
class Score:
    """Running totals of one stream."""

    positions: int = 0
    hits: dict[int, int] = field(default_factory=dict)
    bits: float = 0.0

    def add(self, rank: Ints, probability: Floats, tops: tuple[int, ...]) -> None:
        """Count predictions.

        Parameters
        ----------
        rank : int64 (n,)
            How many events the predictor put before the one that came.
        probability : float64 (n,)
            Its probability for the one that came.
        tops : tuple of int
        """
        self.positions += len(rank)
        for top in tops:
            self.hits[top] = self.hits.get(top, 0) + int((rank < top).sum())
        self.bits -= float(np.log2(probability).sum())

    def merged(self, other: Score) -> Score:
        """Sum of two scores."""
        tops = {*self.hits, *other.hits}
        hits = {top: self.hits.get(top, 0) + other.hits.get(top, 0) for top in tops}
        return Score(self.positions + other.positions, hits, self.bits + other.bits)

    def report(self) -> dict[str, float | int | None]:
        """Rates for the truth file; None where nothing was predicted."""
        n = self.positions
        rates: dict[str, float | int | None] = {"positions": n}
        for top in sorted(self.hits):
            rates[f"top{top}"] = self.hits[top] / n if n else None
        # Sums of logarithms may differ in their last digits between machines.
        rates["bits_per_event"] = round(self.bits / n, 9) if n else None
        return rates


INTENT_TOPS: Final = (1, 3, 5)
RAW_TOPS: Final = (1,)


def _rank(probability: Floats, actual: Ints) -> Ints:
    """Number of columns each row's predictor prefers to the actual one; ties go to the lower column."""
    rounded = np.round(probability, TIE_DIGITS)
    came = rounded[np.arange(len(actual)), actual][:, None]
    lower = np.arange(probability.shape[1])[None, :] < actual[:, None]
    return np.asarray(((rounded > came) | ((rounded == came) & lower)).sum(axis=1))


def _paths(journeys: Journeys, sessions: Ints) -> tuple[Ints, Ints]:
    """Sessions by falling length, and the index of each one's first action."""
    first = np.cumsum(journeys.n_actions) - journeys.n_actions
    order = sessions[np.argsort(-journeys.n_actions[sessions], kind="stable")]
    return order, first[order]


def score_intent(model: Model, persona: int, journeys: Journeys, sessions: Ints) -> Score:
    """Score the exact filter on one persona's actions.

    Parameters
    ----------
    model : Model
    persona : int
    journeys : Journeys
    sessions : int64 (n,)
        Active sessions of that persona.

    Returns
    -------
    Score
    """
    score = Score()
    moves = model.transition[persona][:, : len(model.states)]
    order, first = _paths(journeys, sessions)
    length = journeys.n_actions[order]
    forecast = np.tile(model.initial[persona], (len(order), 1))
    for step in range(int(length.max(initial=0)) - 1):
        live = int(np.searchsorted(-length, -(step + 1), side="left"))
        event = journeys.action[first[:live] + step]
        filtered = forecast[:live] * model.emission[:, event].T
        filtered /= filtered.sum(axis=1, keepdims=True)
        forecast = filtered @ moves
        # Given that the session goes on: the chance to end is left out and the rest scaled up.
        forecast /= forecast.sum(axis=1, keepdims=True)
        chance = forecast @ model.emission
        following = journeys.action[first[:live] + step + 1]
        score.add(_rank(chance, following), chance[np.arange(live), following], INTENT_TOPS)
    return score


def score_collapsed(model: Model, persona: int, journeys: Journeys, sessions: Ints) -> Score:
    """Score the exact filter on one persona's actions with runs collapsed; arguments as :func:`score_intent`.

    The length of a run is not seen, so the filter sums over it: with ``A`` the moves and ``E_x`` the diagonal of the
    emission chances of action x, state weights after a run of any length are ``entry + entry A E_x + ... =
    entry (I - A E_x)^-1``.
    """
    score = Score()
    k = len(model.states)
    moves = model.transition[persona][:, :k]
    over_runs = np.linalg.inv(np.eye(k) - moves[None, :, :] * model.emission.T[:, None, :])
    order, first = _paths(journeys, sessions)
    collapsed = []
    for session, at in zip(order.tolist(), first.tolist(), strict=True):
        path = journeys.action[at : at + int(journeys.n_actions[session])]
        collapsed.append(path[np.append(True, path[1:] != path[:-1])])
    collapsed.sort(key=len, reverse=True)
    length = np.array([len(path) for path in collapsed], dtype=np.int64)
    start = np.cumsum(length) - length
    events = np.concatenate(collapsed) if collapsed else np.zeros(0, dtype=np.int64)
    forecast = np.tile(model.initial[persona], (len(length), 1))
    for step in range(int(length.max(initial=0)) - 1):
        live = int(np.searchsorted(-length, -(step + 1), side="left"))
        event = events[start[:live] + step]
        entry = forecast[:live] * model.emission[:, event].T
        after_run = np.einsum("nk,nkj->nj", entry, over_runs[event])
        forecast = after_run @ moves
        forecast /= forecast.sum(axis=1, keepdims=True)
        chance = forecast @ model.emission
        chance[np.arange(live), event] = 0
        chance /= chance.sum(axis=1, keepdims=True)
        following = events[start[:live] + step + 1]
        score.add(_rank(chance, following), chance[np.arange(live), following], INTENT_TOPS)
    return score


def score_raw(model: Model, persona: int, journeys: Journeys, sessions: Ints, n_empty: int) -> Score:
    """Score the exact filter on one persona's raw events.

    Renders depend on the page only, so they do not move the filter; all positions after an action and its renders
    share one prediction: the page's main widget, the likeliest next action, or the end of the session.

    Parameters
    ----------
    model, persona, journeys, sessions
        As :func:`score_intent`.
    n_empty : int
        Empty sessions of that persona, each one transition from start to end.

    Returns
    -------
    Score
    """
    score = Score()
    k, m = len(model.states), len(model.actions)
    end_column = m + len(model.renders)
    moves, ends = model.transition[persona][:, :k], model.transition[persona][:, k]
    order, first = _paths(journeys, sessions)
    length = journeys.n_actions[order]
    goes_empty = HUMAN_EMPTY_SHARE / (1 - HUMAN_SINGLE_SHARE)
    opening = np.zeros((1, end_column + 1))
    opening[0, :m] = (1 - goes_empty) * (model.initial[persona] @ model.emission)
    opening[0, end_column] = goes_empty
    opened = np.concatenate([journeys.action[first], np.full(n_empty, end_column, dtype=np.int64)])
    chance = np.repeat(opening, len(opened), axis=0)
    score.add(_rank(chance, opened), chance[np.arange(len(opened)), opened], RAW_TOPS)
    render_first = np.cumsum(journeys.n_renders) - journeys.n_renders
    forecast = np.tile(model.initial[persona], (len(order), 1))
    for step in range(int(length.max(initial=0))):
        live = int(np.searchsorted(-length, -step, side="left"))
        at = first[:live] + step
        event = journeys.action[at]
        filtered = forecast[:live] * model.emission[:, event].T
        filtered /= filtered.sum(axis=1, keepdims=True)
        forecast = filtered @ moves
        page = model.action_page[event]
        stop = model.stop[page][:, None]
        chance = np.zeros((live, end_column + 1))
        chance[:, :m] = stop * (forecast @ model.emission)
        chance[:, m:end_column] = (1 - stop) * (model.render_page[None, :] == page[:, None]) * model.render_share
        chance[:, end_column] = stop[:, 0] * (filtered @ ends)
        is_last = length[:live] == step + 1
        next_action = journeys.action[np.minimum(at + 1, len(journeys.action) - 1)]
        leave = np.where(is_last, end_column, next_action)
        score.add(_rank(chance, leave), chance[np.arange(live), leave], RAW_TOPS)
        renders = journeys.n_renders[at]
        row = np.repeat(np.arange(live), renders)
        within = np.arange(len(row)) - np.repeat(np.cumsum(renders) - renders, renders)
        widget = m + journeys.render[np.repeat(render_first[at], renders) + within]
        score.add(_rank(chance[row], widget), chance[row, widget], RAW_TOPS)
        forecast /= forecast.sum(axis=1, keepdims=True)
    return score


def bayes_optimal(model: Model, journeys: Journeys, persona: Ints) -> dict[str, object]:
    """Score the Bayes-optimal predictor on all human sessions.

    Parameters
    ----------
    model : Model
    journeys : Journeys
        Human sessions only.
    persona : int64 (S,)
        Persona of each session.

    Returns
    -------
    dict
        ``definition`` and, per stream, positions, hit rates and bits, overall and by persona.
    """
    total = {"intent": Score(), "intent_collapsed": Score(), "raw": Score()}
    by_persona: dict[str, dict[str, object]] = {}
    for p, name in enumerate(model.personas):
        active = np.flatnonzero((persona == p) & (journeys.kind == ACTIVE))
        n_empty = int(((persona == p) & (journeys.kind == EMPTY)).sum())
        scores = {
            "intent": score_intent(model, p, journeys, active),
            "intent_collapsed": score_collapsed(model, p, journeys, active),
            "raw": score_raw(model, p, journeys, active, n_empty),
        }
        total = {stream: total[stream].merged(score) for stream, score in scores.items()}
        by_persona[name] = {stream: score.report() for stream, score in scores.items()}
    return {
        "definition": DEFINITION,
        **{stream: score.report() for stream, score in total.items()},
        "by_persona": by_persona,
    }
