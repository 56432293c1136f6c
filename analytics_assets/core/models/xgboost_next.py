"""Gradient-boosted trees for the next event: a re-ranker of the Markov chain's candidates, and a multi-class form.

Put here: the model with its artefact, and how leaves of trees become distributions. Keep out: boosting and choices
(``xgboost_training.py``), reports and explanations (``xgboost_reports.py``), features (``xgboost_features.py``),
pictures (``xgboost_figures.py``).

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

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from analytics_assets.core.files import read_json, write_bytes, write_json
from analytics_assets.core.models import markov
from analytics_assets.core.models.next_event import NextEventModel
from analytics_assets.core.models.sequences import Ints, Sequences
from analytics_assets.core.models.xgboost_features import TINY, Feature, Past, Rows, Specification, rows
from analytics_assets.core.models.xgboost_history import Counted, Floats, History

if TYPE_CHECKING:
    from xgboost import Booster

Form = Literal["reranker", "multiclass"]


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


def reranked(margins: Floats, described: Rows) -> Floats:
    """The chain's distributions with the candidates' mass divided anew, shape (n, events)."""
    chances = described.chain.copy()
    mass = np.take_along_axis(chances, described.found, axis=1).sum(axis=1, keepdims=True)
    np.put_along_axis(chances, described.found, mass * softmax(margins, axis=1), axis=1)
    return chances


def class_prior(described: Rows, specification: Specification) -> Floats:
    """Log of the chain's probability of each class, the last one for all other events; shape (n, classes + 1)."""
    named = described.chain[:, specification.classes]
    rest = np.maximum(1 - named.sum(axis=1, keepdims=True), 0)
    return np.log(np.maximum(np.concatenate([named, rest], axis=1), TINY))


def classified(margins: Floats, described: Rows, specification: Specification) -> Floats:
    """Distributions over all events from those over classes, shape (n, events)."""
    chances = softmax(margins, axis=1)
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


def kinds(features: Sequence[Feature]) -> list[str]:
    """XGBoost's type of each column."""
    return ["c" if feature.categories else "q" for feature in features]
