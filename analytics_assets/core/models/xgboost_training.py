"""Fitting of XGBoost's next-event model: samples of positions, boosting, the choice of the published form.

Put here: everything between sessions and a fitted model. Keep out: the model itself (``xgboost_next.py``), features
(``xgboost_features.py``), what is told of a fitted model (``xgboost_reports.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from analytics_assets.core.models import markov
from analytics_assets.core.models.next_event import NextEventModel, score_rows
from analytics_assets.core.models.sequences import Ints, Sequences
from analytics_assets.core.models.xgboost_features import (
    CANDIDATES,
    TINY,
    Feature,
    Past,
    Rows,
    Singles,
    Specification,
    rows,
)
from analytics_assets.core.models.xgboost_history import Counted, Floats, History, folds
from analytics_assets.core.models.xgboost_next import Form, XgboostNext, class_labels, class_prior, kinds
from analytics_assets.core.models.xgboost_reports import bits, reports, validation_figures

if TYPE_CHECKING:
    from xgboost import Booster, QuantileDMatrix

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

MIN_CURVATURE = 1e-6
"""Floor under second derivatives: a leaf of decided rows would otherwise divide by nothing."""


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
        chances = softmax(margins.astype(np.float64).reshape(len(self.came), self.size), axis=1)
        curvature = np.maximum(chances * (1 - chances), MIN_CURVATURE)
        chances[np.arange(len(self.came)), self.came] -= 1
        return chances.ravel(), curvature.ravel()

    def measure(self, margins: Singles, _: Any) -> tuple[str, float]:
        """Bits per event among the candidates."""
        chances = softmax(margins.astype(np.float64).reshape(len(self.came), self.size), axis=1)
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
    return {"positions": len(half.actual), **validation_figures(score_rows(chances, judged.actual))}


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
        "validation": {
            name: validation_figures(score_rows(chances, judged.actual)) for name, chances in scored.items()
        },
    }
