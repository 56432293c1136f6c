"""Pictures of XGBoost's next-event model: learning curves, what it rests on, where it errs.

Put here: pictures of what ``xgboost_training.fit`` reports. Keep out: the reports themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analytics_assets.core.models.drawing import PALETTE, canvas, label, png

SHOWN_FEATURES = 18
SHOWN_EVENTS = 15
SHOWN_CONFUSIONS = 10
"""Pairs of events: each takes two long names."""


def figures(training: Mapping[str, Any]) -> dict[str, bytes]:
    """Draw the reports of a fit.

    Parameters
    ----------
    training : mapping
        From ``xgboost_training.fit``.

    Returns
    -------
    dict of str to bytes
        File names and PNG contents: ``learning_curves.png``, ``importance_by_group.png``,
        ``contributions_by_feature.png``, ``recall_by_event.png``, ``confusions.png``. What was not measured is not
        drawn: without validation sessions nothing, without an error no confusions.
    """
    drawn: dict[str, bytes] = {}
    if training["reranker"]["validation_curve"]:
        drawn["learning_curves.png"] = _curves(training)
    if "importance" not in training:
        return drawn
    groups = sorted(training["importance"].items(), key=lambda entry: -entry[1])
    drawn["importance_by_group.png"] = _bars(
        [name for name, _ in groups],
        [value for _, value in groups],
        "rise in bits per event when exchanged between positions",
        "What predictions rest on, by group of features",
    )
    features = sorted(training["contributions"].items(), key=lambda entry: -entry[1])[:SHOWN_FEATURES]
    drawn["contributions_by_feature.png"] = _bars(
        [name for name, _ in features],
        [value for _, value in features],
        "mean absolute Shapley value, log odds",
        "What predictions rest on, by feature",
    )
    recall = training["recall"][:SHOWN_EVENTS]
    drawn["recall_by_event.png"] = _bars(
        [entry["event"] for entry in recall],
        [entry["recall"] for entry in recall],
        "share that was the first choice (number of occurrences beside the bars)",
        "Recall of the most frequent events",
        notes=[f"{entry['count']:,}" for entry in recall],
    )
    confusions = training["confusions"][:SHOWN_CONFUSIONS]
    if confusions:
        drawn["confusions.png"] = _bars(
            [f"{label(entry['actual'], 24)} ← {label(entry['predicted'], 24)}" for entry in confusions],
            [entry["count"] for entry in confusions],
            "validation positions",
            "Most frequent errors: what came ← what was expected",
            width=8.0,
            raw=True,
        )
    return drawn


def _curves(training: Mapping[str, Any]) -> bytes:
    names = {"reranker": "re-ranker, among its candidates", "multiclass": "multi-class, among its classes"}
    with canvas() as (figure, axes):
        for colour, (form, name) in zip(PALETTE, names.items(), strict=False):
            curve = training[form]["validation_curve"]
            axes.plot(range(1, len(curve) + 1), curve, color=colour, label=name)
            best = training[form]["rounds"]
            axes.plot([best], [curve[best - 1]], "o", color=colour)
        axes.set_xlabel("round (dot: kept)")
        axes.set_ylabel("bits per event on validation")
        axes.set_title("Learning curves")
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
        return png(figure)


def _bars(
    names: Sequence[str],
    values: Sequence[float],
    unit: str,
    title: str,
    *,
    notes: Sequence[str] = (),
    width: float = 7.0,
    raw: bool = False,
) -> bytes:
    """Horizontal bars, the first on top; `raw` names are labels already."""
    with canvas(width, 1.2 + 0.24 * len(names)) as (figure, axes):
        places = range(len(names))
        axes.barh(places, values, color=PALETTE[0])
        axes.set_yticks(places, [name if raw else label(name) for name in names], fontsize=8)
        axes.invert_yaxis()
        for place, note in zip(places, notes, strict=False):
            axes.annotate(
                note, (values[place], place), xytext=(3, 0), textcoords="offset points", va="center", fontsize=7
            )
        axes.set_xlabel(unit)
        axes.set_title(title)
        axes.spines[["top", "right"]].set_visible(False)
        return png(figure)
