"""What is told of a fitted XGBoost next-event model: its figures, what it rests on, where it errs, why it says so.

Put here: reports on validation positions and explanations of single predictions. Keep out: fitting
(``xgboost_training.py``), pictures (``xgboost_figures.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.models.next_event import Scores, one_session, score_rows
from analytics_assets.core.models.xgboost_features import Feature, Past, Rows, Specification, rows
from analytics_assets.core.models.xgboost_history import Floats
from analytics_assets.core.models.xgboost_next import XgboostNext, class_labels, class_prior, kinds

IMPORTANCE_POSITIONS = 4_000
EXPLAINED_POSITIONS = 500
"""Positions whose Shapley values are averaged: they cost 20 times as much as a prediction."""

IMPORTANCE_REPEATS = 3
"""Permutations averaged for each group of features."""

CONFUSIONS = 20


def reports(model: XgboostNext, judged: Rows, seed: int) -> dict[str, Any]:
    """What the published form rests on and where it errs, on validation positions.

    Returns
    -------
    dict
        ``importance``: by group of features, the rise in bits when the group's values are exchanged between positions
        (Breiman 2001; the chain that boosting starts from stays as it is); ``contributions``: by feature, the mean
        absolute Shapley value of the trees in log odds (Lundberg et al. 2020), those of a position's candidates or
        classes against each other; ``gain``: by feature, mean gain of its splits; ``recall``: by event, how often it
        came and the share of it that was the first choice; ``confusions``: the most frequent errors.
    """
    rng = np.random.default_rng(seed)
    some = judged.take(np.sort(rng.permutation(len(judged.actual))[:IMPORTANCE_POSITIONS]))
    booster = model.reranker if model.published == "reranker" else model.multiclass
    features = model.features
    values = np.abs(contributions(model, some.take(np.arange(min(len(some.actual), EXPLAINED_POSITIONS)))))
    gain = booster.get_score(importance_type="gain")
    scores = score_rows(model.chances(judged), judged.actual)
    came = np.bincount(judged.actual, minlength=len(model.vocabulary))
    right = np.bincount(judged.actual[judged.actual == scores.predicted], minlength=len(model.vocabulary))
    wrong = judged.actual != scores.predicted
    pairs, counts = np.unique(
        np.stack([judged.actual[wrong], scores.predicted[wrong]], axis=1), axis=0, return_counts=True
    )
    return {
        "importance": permutation_importance(model, some, rng),
        "contributions": {
            feature.name: float(value)
            for feature, value in zip(features, values[..., :-1].mean(axis=(0, 1)), strict=True)
        },
        "gain": {feature.name: float(gain.get(feature.name, 0.0)) for feature in features},
        "recall": [
            {"event": model.vocabulary[code], "count": int(came[code]), "recall": float(right[code] / came[code])}
            for code in np.argsort(-came, kind="stable").tolist()
            if came[code]
        ],
        "confusions": [
            {
                "actual": model.vocabulary[pairs[place, 0]],
                "predicted": model.vocabulary[pairs[place, 1]],
                "count": int(counts[place]),
            }
            for place in np.argsort(-counts, kind="stable")[:CONFUSIONS].tolist()
        ],
    }


def permutation_importance(model: XgboostNext, judged: Rows, rng: np.random.Generator) -> dict[str, float]:
    """Mean rise in bits, by group of features, when the group's values are exchanged between positions."""
    before = bits(model.chances(judged), judged.actual)
    width = judged.context.shape[1]
    found: dict[str, float] = {}
    for group in dict.fromkeys(feature.group for feature in model.features):
        columns = np.array([place for place, feature in enumerate(model.features) if feature.group == group])
        own, other = columns[columns < width], columns[columns >= width] - width
        rises = []
        for _ in range(IMPORTANCE_REPEATS):
            order = rng.permutation(len(judged.actual))
            context, candidate, shares = judged.context.copy(), judged.candidate.copy(), judged.shares.copy()
            context[:, own] = context[order][:, own]
            if model.published == "reranker":
                candidate[:, :, other] = candidate[order][:, :, other]
            else:
                shares[:, other] = shares[order][:, other]
            mixed = replace(judged, context=context, candidate=candidate, shares=shares)
            rises.append(bits(model.chances(mixed), judged.actual) - before)
        found[group] = float(np.mean(rises))
    return found


def contributions(model: XgboostNext, described: Rows) -> NDArray[np.float64]:
    """Shapley values of the published form's trees, against the mean of the position's candidates or classes.

    Returns
    -------
    float64 array, shape (n, candidates or classes + 1, columns + 1)
        In log odds, the last column what is left of the trees' mean; sums over columns are the trees' margins less
        their mean over the position.
    """
    from xgboost import DMatrix

    reranks = model.published == "reranker"
    booster, values = (model.reranker, described.reranker) if reranks else (model.multiclass, described.multiclass)
    data = DMatrix(
        values,
        feature_names=[feature.name for feature in model.features],
        feature_types=kinds(model.features),
        enable_categorical=True,
    )
    found = booster.predict(data, pred_contribs=True).astype(np.float64)
    found = found.reshape(len(described.actual), -1, len(model.features) + 1)
    return found - found.mean(axis=1, keepdims=True)


def explain(
    model: XgboostNext,
    events: Sequence[str],
    *,
    event: str | None = None,
    times: Sequence[datetime] | None = None,
    device: str = "",
    actor: str = "",
) -> dict[str, Any]:
    """Why the published form finds an event likely after a session so far.

    Parameters
    ----------
    model : XgboostNext
    events, times, device, actor
        As ``next_event.one_session``.
    event : str, optional
        The event to explain; the likeliest named one by default.

    Returns
    -------
    dict
        ``event``, ``probability``; ``log_odds`` against the (geometric) mean of the position's candidates or classes,
        which is ``chain`` (what the Markov chain says) plus the sum of ``contributions``, a list of ``feature``,
        ``group``, ``value`` (name of an event or device, number, None where missing) and ``contribution``, the largest
        first. A share of the chain in what is published changes ``probability`` only.

    Raises
    ------
    ValueError
        `event` is not known, or no candidate here.
    """
    session = one_session(model.vocabulary, events, times=times, device=device, actor=actor)
    past = Past.of(session, model.history)
    described = Rows.joined(list(rows(model.specification, model.counted, past, hmm=model.hmm)))
    described = described.take(np.array([len(described.actual) - 1]))
    chances = model.chances(described)[0]
    if event is not None and event not in model.vocabulary:
        raise ValueError(f"the model does not know the event {event!r}")
    code = model.vocabulary.index(event) if event is not None else int(chances[:-1].argmax())
    if model.published == "reranker":
        places = np.flatnonzero(described.found[0] == code)
        if not len(places):
            raise ValueError(f"{model.vocabulary[code]!r} is not among the candidates here")
        place, prior = int(places[0]), described.prior[0]
        values = described.reranker[place]
    else:
        place = int(class_labels(np.array([code], dtype=np.int32), model.specification)[0])
        prior = class_prior(described, model.specification)[0]
        values = described.multiclass[0]
    shares = contributions(model, described)[0, place]
    chain = float(prior[place] - prior.mean())
    entries = [
        {
            "feature": feature.name,
            "group": feature.group,
            "value": shown(model.specification, feature, float(value)),
            "contribution": float(share),
        }
        for feature, value, share in zip(model.features, values, shares[:-1], strict=True)
    ]
    entries.append({"feature": "mean of the trees", "group": "", "value": None, "contribution": float(shares[-1])})
    return {
        "event": model.vocabulary[code],
        "probability": float(chances[code]),
        "log_odds": chain + float(shares.sum()),
        "chain": chain,
        "contributions": sorted(entries, key=lambda entry: -abs(entry["contribution"])),
    }


def shown(specification: Specification, feature: Feature, value: float) -> str | float | None:
    """A feature's value for people: None where missing."""
    if np.isnan(value):
        return None
    if feature.categories:
        return (specification.vocabulary if feature.categories == "event" else specification.devices)[int(value)]
    return value


def bits(chances: Floats, actual: NDArray[np.int32]) -> float:
    """Mean -log2 of the probability of what came."""
    return float(score_rows(chances, actual).bits.mean())


def validation_figures(scores: Scores) -> dict[str, float]:
    """Bits, top-1 and top-3 accuracy over all positions."""
    return {
        "bits": float(scores.bits.mean()),
        "top1": float(scores.hits(1).mean()),
        "top3": float(scores.hits(3).mean()),
    }
