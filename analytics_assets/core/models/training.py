"""From a task to a published next-event model: fit, score once, write artefact, predictions, pictures, figures, card.

Put here: the steps that all next-event models share. Keep out: the models, and which asset uses them (``assets/``).

Every file of a model is the same byte for byte in another run of the same input and seed; times and memory, which
differ, are apart in ``cost.json``.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from analytics_assets.core.files import write_bytes, write_json, write_table, write_text
from analytics_assets.core.models import baselines
from analytics_assets.core.models.cards import next_event_card
from analytics_assets.core.models.metrics import Positions, improvement, positions_of, report
from analytics_assets.core.models.next_event import NextEventModel, Scores, Task, prediction_rows, score
from analytics_assets.schemas import NEXT_EVENT_PREDICTIONS, Table

if TYPE_CHECKING:
    import pyarrow as pa

PREDICTIONS = "test_predictions.parquet"
TRIVIAL = ("most_frequent", "repeat_last")
"""Baselines that every model's own checks compare it with; the leaderboard holds the whole ladder."""


class SavedModel(NextEventModel, Protocol):
    """A next-event model with an artefact."""

    def save(self, folder: Path) -> None:
        """Write the artefact into an existing folder."""
        ...


@dataclass(frozen=True)
class Details:
    """What one kind of model adds to the files of all.

    Parameters
    ----------
    pictures : mapping of str to bytes
        PNG by file name.
    figures : mapping
        Entries of ``metrics.json``.
    tables : mapping of str to pyarrow.Table
        By file name without ending, declared in ``schemas``.
    """

    pictures: Mapping[str, bytes] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, pa.Table] = field(default_factory=dict)


@dataclass(frozen=True)
class Trained:
    """A fitted model and how it did on the test sessions.

    Parameters
    ----------
    task : Task
    model : SavedModel
    training : dict
        What fitting tells: choices, curves, samples; without ``timing``, which goes to the cost.
    scores : Scores
        Of the test positions.
    positions : Positions
        The same positions' description.
    cost : dict
        ``train_seconds``, ``microseconds_per_prediction`` (None without a prediction), ``peak_mb`` of the process.
    """

    task: Task
    model: SavedModel
    training: dict[str, Any]
    scores: Scores
    positions: Positions
    cost: dict[str, Any]


def train(task: Task, fit: Callable[[Task], tuple[SavedModel, dict[str, Any]]], seed: int) -> Trained:
    """Fit on the training and validation sessions, score the test sessions once."""
    started = time.perf_counter()
    model, training = fit(task)
    fitted = time.perf_counter()
    timing = training.pop("timing", None)
    scores = score(model, task.test)
    scored = time.perf_counter()
    predictions = len(scores.rank)
    cost = {
        "train_seconds": fitted - started,
        "microseconds_per_prediction": (scored - fitted) / predictions * 1e6 if predictions else None,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    if timing is not None:
        cost["timing"] = timing
    return Trained(task, model, training, scores, positions_of(task, seed), cost)


def measured(trained: Trained) -> dict[str, Any]:
    """Figures of a trained model for ``metrics.json``: all of ``metrics.report``, the trivial baselines at the same
    positions and the improvement over them, data and split, and what training told.
    """
    task = trained.task
    rungs = {name: score(baselines.BASELINES[name].fit(task.train), task.test) for name in TRIVIAL}
    return {
        "stream": task.stream,
        "event_types": len(task.vocabulary.names) - 1,
        "split": task.split,
        "events": {
            part: len(sequences.codes)
            for part, sequences in (("train", task.train), ("validation", task.validation), ("test", task.test))
        },
        **report(trained.scores, trained.positions),
        "baselines": {
            name: {"top1": float(found.hits(1).mean()) if len(found.rank) else None} for name, found in rungs.items()
        },
        "improvement": {name: improvement(trained.scores, found, trained.positions) for name, found in rungs.items()},
        "training": trained.training,
    }


def write_model(folder: Path, trained: Trained, details: Details, declared: Mapping[str, Table]) -> None:
    """Write artefact, predictions, tables (declared by file name without ending) and pictures into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    trained.model.save(folder)
    write_table(folder / PREDICTIONS, prediction_rows(trained.task.test, trained.scores), NEXT_EVENT_PREDICTIONS)
    for name, rows in details.tables.items():
        write_table(folder / f"{name}.parquet", rows, declared[name])
    for name, content in details.pictures.items():
        write_bytes(folder / "figures" / name, content)


def write_figures(
    folder: Path,
    title: str,
    streams: Mapping[str, dict[str, Any]],
    costs: Mapping[str, dict[str, Any]],
    *,
    provenance: Mapping[str, Any],
    own: Mapping[str, Any],
) -> dict[str, Any]:
    """Write ``metrics.json``, ``cost.json`` and ``card.md``; the first stream is the headline.

    Parameters
    ----------
    folder : Path
        Of the model.
    title : str
        For the card.
    streams, costs : mapping of str to dict
        `measured` figures and ``Trained.cost`` by stream.
    provenance : mapping
        See ``inputs.provenance``.
    own : mapping
        Further figures of this model.

    Returns
    -------
    dict
        What ``metrics.json`` holds: the headline's figures, all streams under ``streams``.
    """
    headline = next(iter(streams.values()))
    metrics = {**own, **headline, "streams": dict(list(streams.items())[1:]), **provenance}
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.suffix != ".png")
    write_json(folder / "metrics.json", metrics)
    write_json(folder / "cost.json", {"model_bytes": size, "streams": dict(costs)})
    write_text(folder / "card.md", next_event_card(title, metrics))
    return metrics
