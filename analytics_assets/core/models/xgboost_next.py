"""Gradient-boosted trees for the next event: a re-ranker of the Markov chain's candidates, and a multi-class form.

Put here: boosting, the choice of the published form, reports on it, explanations, its artefact. Keep out: features
(``xgboost_features.py``), pictures (``xgboost_figures.py``).

Both forms start from the back-off Markov chain and learn what to correct. With s(c) the sum of a candidate's leaves and
P the chain,

    re-ranker:    P'(c) = M exp(s(c)) P(c) / sum over candidates d of exp(s(d)) P(d),  M = sum of P over candidates,
    multi-class:  P'(k) = exp(s_k) P(k) / sum over classes j of exp(s_j) P(j),

the first a conditional logit over the candidates (McFadden 1974), whose gradient P' - y and curvature P' (1 - P') are
given to XGBoost as an objective; the second its own ``multi:softprob``. Events that are no candidates keep the chain's
probability; the multi-class form divides its last class in the chain's proportions. What is published is the form with
fewer bits per event on the validation sessions, mixed with the chain in the share that is best there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.files import read_json, write_bytes, write_json
from analytics_assets.core.models import markov
from analytics_assets.core.models.next_event import (
    NextEventModel,
    Scores,
    one_session,
    score_rows,
)
from analytics_assets.core.models.sequences import Ints, Sequences
from analytics_assets.core.models.xgboost_features import (
    CANDIDATES,
    TINY,
    Counted,
    Feature,
    Floats,
    History,
    Past,
    Rows,
    Singles,
    Specification,
    folds,
    rows,
)

if TYPE_CHECKING:
    from xgboost import Booster, QuantileDMatrix

Form = Literal["reranker", "multiclass"]

CLASSES = 60
"""Classes of the multi-class form beside the one for all others: the top 60 types hold 99 % of intent events, and time
grows with classes x rows."""

MAX_POSITIONS = 40_000
"""Positions that the re-ranker learns from: with 20 candidates each they are 800,000 rows."""

MULTICLASS_POSITIONS = 30_000
"""Positions that the multi-class form learns from; a round costs 60 trees."""

PER_SESSION = 20
"""Positions taken from one session: a long one would otherwise count for hundreds of much alike rows."""

VALIDATION_POSITIONS = 20_000
"""Validation positions for early stopping and choices."""

ROUNDS = 600
MULTICLASS_ROUNDS = 100
PATIENCE = 50
"""Rounds without improvement on the validation positions before boosting stops."""

MULTICLASS_PATIENCE = 10
"""The same of the multi-class form, whose rounds cost ten times as much and whose best round comes early."""

MULTICLASS_DEPTH = 4
"""Deepest tree of the multi-class form: 60 trees a round learn as much as with 6, in a third of the time. One thread
grows them: threads meet after each level of each tree, which on a busy machine costs many times what it saves."""

UNVALIDATED_ROUNDS = 100
"""Rounds where nothing can stop boosting early: with the step used most runs are near their best there."""

PARAMETERS: dict[str, Any] = {"tree_method": "hist", "base_score": 0.0}
"""Histograms of feature values are the one quick way on a CPU; all margins start from the chain's."""

MIXTURE = tuple(round(0.05 * step, 2) for step in range(21))
"""Weights of the chain that are tried."""

IMPORTANCE_POSITIONS = 4_000
EXPLAINED_POSITIONS = 500
"""Positions whose Shapley values are averaged: they cost 20 times as much as a prediction."""

IMPORTANCE_REPEATS = 3
"""Permutations averaged for each group of features."""

CONFUSIONS = 20
MIN_CURVATURE = 1e-6
"""Floor under second derivatives: a leaf of decided rows would otherwise divide by nothing."""


@dataclass(frozen=True)
class XgboostNext:
    """A fitted model.

    Parameters
    ----------
    specification : Specification
    counted : Counted
        Over all training sessions.
    history : History
        Training and validation sessions.
    reranker, multiclass : xgboost.Booster
    published : {"reranker", "multiclass"}
        Form that `distributions` gives.
    chain_weight : float
        Share of the chain in it.
    hmm : NextEventModel, optional
        Given where the specification has its scores; it is no part of the artefact.
    """

    specification: Specification
    counted: Counted
    history: History
    reranker: Booster
    multiclass: Booster
    published: Form
    chain_weight: float
    hmm: NextEventModel | None = None

    @property
    def vocabulary(self) -> list[str]:
        """Event types, `OTHER` last."""
        return self.specification.vocabulary

    @property
    def features(self) -> tuple[Feature, ...]:
        """Columns of the published form."""
        return self.specification.reranker if self.published == "reranker" else self.specification.multiclass

    def distributions(self, sequences: Sequences) -> Floats:
        """See ``next_event.NextEventModel``; earlier ones of the given sessions are history of their actors."""
        past = Past.of(sequences, self.history)
        parts = [self.chances(part) for part in rows(self.specification, self.counted, past, hmm=self.hmm)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.vocabulary)))

    def chances(self, described: Rows) -> Floats:
        """Published distributions at described positions, shape (n, events)."""
        formed = self.formed(described, self.published)
        return (1 - self.chain_weight) * formed + self.chain_weight * described.chain

    def formed(self, described: Rows, form: Form) -> Floats:
        """Distributions of one form alone, shape (n, events)."""
        if form == "reranker":
            return reranked(self.margins(described, form), described)
        return classified(self.margins(described, form), described, self.specification)

    def margins(self, described: Rows, form: Form) -> Floats:
        """Log odds of each candidate or class with the chain's in them, shape (n, candidates or classes + 1)."""
        if form == "reranker":
            leaves = self.reranker.inplace_predict(described.reranker, predict_type="margin")
            return leaves.reshape(described.found.shape).astype(np.float64) + described.prior
        leaves = self.multiclass.inplace_predict(described.multiclass, predict_type="margin")
        prior = class_prior(described, self.specification)
        return leaves.reshape(prior.shape).astype(np.float64) + prior

    def save(self, folder: Path) -> None:
        """Write ``reranker.ubj``, ``multiclass.ubj``, ``features.json``, ``history.npz``, ``counts.npz`` and the folder
        ``chain`` into `folder`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for name, booster in (("reranker", self.reranker), ("multiclass", self.multiclass)):
            write_bytes(folder / f"{name}.ubj", bytes(booster.save_raw("ubj")))
        self.history.save(folder / "history.npz")
        np.savez_compressed(folder / "counts.npz", first=self.counted.first, hours=self.counted.hours)
        (folder / "chain").mkdir(exist_ok=True)
        self.counted.chain.save(folder / "chain")
        features = {
            "kind": "xgboost_next_event",
            "published": self.published,
            "chain_weight": self.chain_weight,
            **self.specification.as_json(),
        }
        write_json(folder / "features.json", features)

    @classmethod
    def load(cls, folder: Path, hmm: NextEventModel | None = None) -> XgboostNext:
        """Read what `save` wrote; distributions are those of the saved model bit by bit.

        Parameters
        ----------
        folder : Path
        hmm : NextEventModel, optional
            The hidden Markov model that the model was fitted with, if any.

        Raises
        ------
        ValueError
            The model was fitted with a hidden Markov model and none is given, or made other features.
        """
        from xgboost import Booster

        held = read_json(folder / "features.json")
        del held["kind"]
        published, weight = held.pop("published"), held.pop("chain_weight")
        specification = Specification.from_json(held)
        if specification.with_hmm and hmm is None:
            raise ValueError("the model was fitted with scores of a hidden Markov model: hand that model in")
        chain = markov.MarkovChain.load(folder / "chain")
        with np.load(folder / "counts.npz", allow_pickle=False) as counts:
            counted = Counted(chain, counts["first"], counts["hours"])
        reranker, multiclass = (Booster(model_file=folder / f"{name}.ubj") for name in ("reranker", "multiclass"))
        history = History.load(folder / "history.npz")
        return cls(specification, counted, history, reranker, multiclass, published, weight, hmm)


def softmax(margins: NDArray[np.floating[Any]]) -> Floats:
    """Rows of exp(margins) divided by their sums."""
    margins = margins.astype(np.float64)
    raised = np.exp(margins - margins.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def reranked(margins: Floats, described: Rows) -> Floats:
    """The chain's distributions with the candidates' mass divided anew, shape (n, events)."""
    chances = described.chain.copy()
    mass = np.take_along_axis(chances, described.found, axis=1).sum(axis=1, keepdims=True)
    np.put_along_axis(chances, described.found, mass * softmax(margins), axis=1)
    return chances


def class_prior(described: Rows, specification: Specification) -> Floats:
    """Log of the chain's probability of each class, the last one for all other events; shape (n, classes + 1)."""
    named = described.chain[:, specification.classes]
    rest = np.maximum(1 - named.sum(axis=1, keepdims=True), 0)
    return np.log(np.maximum(np.concatenate([named, rest], axis=1), TINY))


def classified(margins: Floats, described: Rows, specification: Specification) -> Floats:
    """Distributions over all events from those over classes, shape (n, events)."""
    chances = softmax(margins)
    rest = described.chain.copy()
    rest[:, specification.classes] = 0
    total = rest.sum(axis=1, keepdims=True)
    others = np.ones(rest.shape[1])
    others[specification.classes] = 0
    shares = np.divide(rest, total, out=np.tile(others / others.sum(), (len(rest), 1)), where=total > 0)
    found = chances[:, -1:] * shares
    found[:, specification.classes] = chances[:, :-1]
    return found


def class_labels(actual: NDArray[np.int32], specification: Specification) -> Ints:
    """Class of each event, shape (n,)."""
    place = np.full(len(specification.vocabulary), len(specification.classes), dtype=np.int64)
    place[specification.classes] = np.arange(len(specification.classes))
    return place[actual]


def bits(chances: Floats, actual: NDArray[np.int32]) -> float:
    """Mean -log2 of the probability of what came."""
    return float(score_rows(chances, actual).bits.mean())


def sample(sequences: Sequences, limit: int, per_session: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Choose positions by chance, at most `per_session` of each session and `limit` in all; shape (positions,)."""
    session = sequences.session_of[sequences.positions]
    drawn = rng.random(len(session))
    order = np.lexsort([drawn, session])
    first = np.searchsorted(session, session[order])
    kept = order[np.arange(len(order)) - first < per_session]
    if len(kept) > limit:
        kept = rng.permutation(kept)[:limit]
    chosen = np.zeros(len(session), dtype=bool)
    chosen[kept] = True
    return chosen


def matrix(values: Singles, features: Sequence[Feature], **given: Any) -> QuantileDMatrix:
    """Matrix for training; columns of codes are categorical."""
    from xgboost import QuantileDMatrix

    return QuantileDMatrix(
        values,
        feature_names=[feature.name for feature in features],
        feature_types=kinds(features),
        enable_categorical=True,
        **given,
    )


def kinds(features: Sequence[Feature]) -> list[str]:
    """XGBoost's type of each column."""
    return ["c" if feature.categories else "q" for feature in features]


@dataclass(frozen=True)
class Grouped:
    """Which candidate came at each position, for the objective and the measure of the re-ranker.

    Parameters
    ----------
    came : int64 array, shape (n,)
        Place of the candidate that came.
    size : int
        Candidates of a position.
    """

    came: Ints
    size: int

    def objective(self, margins: Singles, _: Any) -> tuple[Floats, Floats]:
        """Gradient and curvature of the negative log-likelihood of a conditional logit."""
        chances = softmax(margins.reshape(len(self.came), self.size))
        curvature = np.maximum(chances * (1 - chances), MIN_CURVATURE)
        chances[np.arange(len(self.came)), self.came] -= 1
        return chances.ravel(), curvature.ravel()

    def measure(self, margins: Singles, _: Any) -> tuple[str, float]:
        """Bits per event among the candidates."""
        chances = softmax(margins.reshape(len(self.came), self.size))
        return "bits", float(-np.log2(np.maximum(chances[np.arange(len(self.came)), self.came], TINY)).mean())


def answered(described: Rows) -> tuple[Rows, Ints]:
    """Rows whose event is among the candidates, and its place among them."""
    hit = described.found == described.actual[:, None]
    known = np.flatnonzero(hit.any(axis=1))
    return described.take(known), hit[known].argmax(axis=1)


def boost_reranker(
    train: Rows, validation: Rows | None, specification: Specification, parameters: dict[str, Any], rounds: int
) -> tuple[Booster, list[float]]:
    """Fit the re-ranker; with validation rows stop early and keep the best round.

    Returns
    -------
    booster : xgboost.Booster
    curve : list of float
        Validation bits among the candidates after each round, empty without validation rows.
    """
    import xgboost

    kept, came = answered(train)
    if not len(came):
        raise ValueError("no training event is among its candidates: more candidates or more sessions are needed")
    grouped = Grouped(came, specification.candidates)

    def margin(described: Rows) -> Singles:
        return described.prior.ravel().astype(np.float32)

    settings = {**parameters, "disable_default_eval_metric": True}
    data = matrix(kept.reranker, specification.reranker, base_margin=margin(kept))
    if validation is None:
        return xgboost.train(settings, data, rounds, obj=grouped.objective), []
    judged, judged_came = answered(validation)
    seen = matrix(judged.reranker, specification.reranker, base_margin=margin(judged), ref=data)
    history: dict[str, dict[str, list[float]]] = {}
    booster = xgboost.train(
        settings,
        data,
        rounds,
        obj=grouped.objective,
        evals=[(seen, "validation")],
        custom_metric=Grouped(judged_came, specification.candidates).measure,
        maximize=False,
        early_stopping_rounds=PATIENCE,
        evals_result=history,
        verbose_eval=False,
    )
    return booster[: booster.best_iteration + 1], history["validation"]["bits"]


def boost_multiclass(
    train: Rows, validation: Rows | None, specification: Specification, parameters: dict[str, Any], rounds: int
) -> tuple[Booster, list[float]]:
    """Fit the multi-class form; as `boost_reranker`, the curve in bits among the classes."""
    import xgboost

    def given(described: Rows) -> dict[str, Any]:
        return {
            "label": class_labels(described.actual, specification),
            "base_margin": class_prior(described, specification).astype(np.float32),
        }

    settings = {
        **parameters,
        "objective": "multi:softprob",
        "num_class": len(specification.classes) + 1,
        "eval_metric": "mlogloss",
        "max_depth": min(MULTICLASS_DEPTH, parameters["max_depth"]),
        "nthread": 1,
    }
    data = matrix(train.multiclass, specification.multiclass, **given(train))
    if validation is None:
        return xgboost.train(settings, data, rounds), []
    seen = matrix(validation.multiclass, specification.multiclass, **given(validation), ref=data)
    history: dict[str, dict[str, list[float]]] = {}
    booster = xgboost.train(
        settings,
        data,
        rounds,
        evals=[(seen, "validation")],
        early_stopping_rounds=MULTICLASS_PATIENCE,
        evals_result=history,
        verbose_eval=False,
    )
    return booster[: booster.best_iteration + 1], [loss / np.log(2) for loss in history["validation"]["mlogloss"]]


def training_rows(
    train: Sequences,
    strengths: Sequence[float],
    specification: Specification,
    *,
    chosen: NDArray[np.bool_],
    hmm: NextEventModel | None,
) -> Rows:
    """Describe chosen training positions, each by counts over the other folds of the training time."""
    past = Past.of(train, History.empty())
    parts: list[Rows] = []
    for low, high in folds(train):
        others = np.ones(train.sessions, dtype=bool)
        others[low:high] = False
        rest = train.take(others)
        counted = Counted.of(rest if rest.sessions else train, strengths)
        parts += rows(specification, counted, past, hmm=hmm, sessions=(low, high), chosen=chosen)
    return Rows.joined(parts)


def fit(
    train: Sequences,
    validation: Sequences,
    *,
    rounds: int = ROUNDS,
    multiclass_rounds: int = MULTICLASS_ROUNDS,
    depth: int = 6,
    step: float = 0.1,
    min_child_weight: float = 5.0,
    subsample: float = 0.8,
    candidates: int = CANDIDATES,
    classes: int = CLASSES,
    max_positions: int = MAX_POSITIONS,
    multiclass_positions: int = MULTICLASS_POSITIONS,
    max_order: int = markov.MAX_ORDER,
    hmm: NextEventModel | None = None,
    threads: int = 2,
    seed: int = 7,
    progress: Callable[[str], None] | None = None,
) -> tuple[XgboostNext, dict[str, Any]]:
    """Fit both forms on `train`, choose on `validation`.

    Parameters
    ----------
    train, validation : Sequences
        Of one vocabulary, all validation sessions after the training ones.
    rounds, multiclass_rounds : int
        Most rounds of boosting; validation stops it earlier.
    depth, step, min_child_weight, subsample : int, float, float, float
        Of the trees: ``max_depth``, ``eta``, and the parameters of these names.
    candidates, classes : int
        Events that the re-ranker ranks anew; classes of the multi-class form.
    max_positions, multiclass_positions : int
        Training positions of each form, at most `PER_SESSION` of a session; the second are drawn from the first.
    max_order : int
        Of the Markov chain.
    hmm : NextEventModel, optional
        Its probabilities become features. Fitted on all of `train`, it has seen the training rows' answers; with a few
        hundred parameters it remembers hardly any of them, with many states the trees trust it too much.
    threads : int
        Of the re-ranker; the multi-class form has one.
    seed : int
        Of sampling and boosting. The same number of threads gives the same trees.
    progress : callable, optional
        Told what happens.

    Returns
    -------
    model : XgboostNext
    training : dict
        Choices, sizes of samples, curves; ``validation`` figures of the chain, of both forms and of what is published,
        of a re-ranker from half of the positions, and `reports`; without a validation position no figures.

    Raises
    ------
    ValueError
        There is no training position, no named event type, or no training event among its candidates; a number of
        candidates, classes, positions or rounds is below 1.
    """
    if min(rounds, multiclass_rounds, candidates, classes, max_positions, multiclass_positions) < 1:
        raise ValueError("rounds, candidates, classes and positions must be at least 1")
    if not len(train.positions):
        raise ValueError("no session has a second event: there is nothing to learn from")
    if len(train.vocabulary) < 2:
        raise ValueError("no event type is frequent enough in training: there is nothing to tell apart")
    say = progress or (lambda _: None)
    chain, choice = markov.fit(train, validation, max_order=max_order)
    strengths = choice["strengths"][: len(chain.orders)]
    specification = Specification.of(train, classes=classes, candidates=candidates, with_hmm=hmm is not None)
    counted = Counted.of(train, strengths)
    rng = np.random.default_rng(seed)
    chosen = sample(train, max_positions, PER_SESSION, rng)
    learned = training_rows(train, strengths, specification, chosen=chosen, hmm=hmm)
    judged = None
    if len(validation.positions):
        past = Past.of(validation, History.of(train))
        picked = sample(validation, VALIDATION_POSITIONS, VALIDATION_POSITIONS, rng)
        judged = Rows.joined(list(rows(specification, counted, past, hmm=hmm, chosen=picked)))
    parameters = {
        **PARAMETERS,
        "max_depth": depth,
        "eta": step,
        "min_child_weight": min_child_weight,
        "subsample": subsample,
        "nthread": threads,
        "seed": seed,
    }
    judge = judged if judged is not None and len(answered(judged)[1]) else None
    limit = rounds if judge is not None else min(rounds, UNVALIDATED_ROUNDS)
    say(f"re-ranker: {len(learned.actual):,} positions, {specification.candidates} candidates each")
    reranker, curve = boost_reranker(learned, judge, specification, parameters, limit)
    fewer = learned.take(np.sort(rng.permutation(len(learned.actual))[:multiclass_positions]))
    say(f"multi-class: {len(fewer.actual):,} positions, {len(specification.classes) + 1} classes")
    multiclass, class_curve = boost_multiclass(fewer, judged, specification, parameters, min(multiclass_rounds, limit))
    model = XgboostNext(specification, counted, History.of(train), reranker, multiclass, "reranker", 0.0, hmm)
    training: dict[str, Any] = {
        "chain": choice,
        "available_positions": len(train.positions),
        "reranker": {
            "positions": len(learned.actual),
            "answer_among_candidates": float((learned.found == learned.actual[:, None]).any(axis=1).mean()),
            "rounds": reranker.num_boosted_rounds(),
            "validation_curve": curve,
        },
        "multiclass": {
            "positions": len(fewer.actual),
            "classes": len(specification.classes) + 1,
            "rounds": multiclass.num_boosted_rounds(),
            "validation_curve": class_curve,
        },
        "validation_positions": 0 if judged is None else len(judged.actual),
        "with_hmm": hmm is not None,
        "published": model.published,
        "chain_weight": model.chain_weight,
    }
    if judged is not None:
        training["reranker"]["half_sample"] = half_sample(model, learned, judged, parameters, rng)
        model, figures = choose(model, judged)
        training |= figures
        training |= reports(model, judged, seed)
        say(f"published: {model.published} with {model.chain_weight:.0%} of the chain")
    return replace(model, history=History.of(train).added(validation)), training


def half_sample(
    model: XgboostNext, learned: Rows, judged: Rows, parameters: dict[str, Any], rng: np.random.Generator
) -> dict[str, Any] | None:
    """Validation figures of a re-ranker of as many rounds from half of the positions; None where these are too few."""
    half = learned.take(np.sort(rng.permutation(len(learned.actual))[: (len(learned.actual) + 1) // 2]))
    if not len(answered(half)[1]):
        return None
    rounds = model.reranker.num_boosted_rounds()
    taught, _ = boost_reranker(half, None, model.specification, parameters, rounds)
    chances = replace(model, reranker=taught).formed(judged, "reranker")
    return {"positions": len(half.actual), **_figures(score_rows(chances, judged.actual))}


def choose(model: XgboostNext, judged: Rows) -> tuple[XgboostNext, dict[str, Any]]:
    """Choose form and share of the chain by validation bits.

    Returns
    -------
    model : XgboostNext
        With the choice.
    figures : dict
        ``published``, ``chain_weight``, and ``validation``: ``bits``, ``top1``, ``top3`` of the chain, both forms and
        what is published.
    """
    formed: dict[Form, Floats] = {form: model.formed(judged, form) for form in ("reranker", "multiclass")}
    tried = [
        (bits((1 - weight) * chances + weight * judged.chain, judged.actual), number, weight, form)
        for number, (form, chances) in enumerate(formed.items())
        for weight in MIXTURE
    ]
    _, _, weight, form = min(tried, key=lambda entry: entry[:3])
    best = replace(model, published=form, chain_weight=weight)
    scored: dict[str, Floats] = {
        "markov_chain": judged.chain,
        **{str(name): chances for name, chances in formed.items()},
        "published": best.chances(judged),
    }
    return best, {
        "published": form,
        "chain_weight": weight,
        "validation": {name: _figures(score_rows(chances, judged.actual)) for name, chances in scored.items()},
    }


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


def _figures(scores: Scores) -> dict[str, float]:
    return {
        "bits": float(scores.bits.mean()),
        "top1": float(scores.hits(1).mean()),
        "top3": float(scores.hits(3).mean()),
    }
