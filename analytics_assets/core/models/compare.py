"""From published models to the leaderboard: which can be compared, and on which positions.

Put here: reading models' predictions, the simpler rungs, the optimum of generated data. Keep out: the table itself
(``leaderboard.py``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.features.engine import open_engine
from analytics_assets.core.files import read_json
from analytics_assets.core.lake import Lake
from analytics_assets.core.models import baselines, markov
from analytics_assets.core.models.ceiling import BayesOptimal
from analytics_assets.core.models.leaderboard import leaderboard
from analytics_assets.core.models.metrics import improvement, positions_of
from analytics_assets.core.models.next_event import NextEventModel, Scores, Task, prepare_task, score, scores_of
from analytics_assets.core.models.training import PREDICTIONS
from analytics_assets.core.privacy import Privacy

if TYPE_CHECKING:
    import pyarrow as pa

TASK_SETTINGS = ("protocol", "train_share", "validation_share", "seed", "min_train_events")
"""Settings of a model that say which task it was trained for, beside ``cut``."""


@dataclass(frozen=True)
class Comparison:
    """A leaderboard and how it came about.

    Parameters
    ----------
    table : pyarrow.Table
        Rows of ``NEXT_EVENT_LEADERBOARD``.
    details : dict
        From ``leaderboard.leaderboard``, with ``stream`` and ``split``.
    left_out : dict of str to str
        Models that cannot be compared, with the reason.
    over_the_optimum : dict of str to dict
        Improvement over the Bayes-optimal predictor of each model, on the positions where it is known; empty for real
        data.
    """

    table: pa.Table
    details: dict[str, Any]
    left_out: dict[str, str]
    over_the_optimum: dict[str, dict[str, Any]]


def compare(lake: Lake, models: Sequence[str], seed: int) -> Comparison:
    """Score the simpler rungs and read the models' scores on the same test positions.

    Parameters
    ----------
    lake : Lake
    models : sequence of str
        Names of models; the first published one says which stream and split are compared.
    seed : int
        Of the bootstraps.

    Raises
    ------
    PipelineError
        No model is published, or its years are gone.
    """
    published = {
        name: read_json(lake.model(name) / "metrics.json")
        for name in models
        if (lake.model(name) / "metrics.json").is_file()
    }
    if not published:
        raise PipelineError(
            lake.root / "models",
            "no next-event model is published",
            "Materialize at least one year, then the models.",
        )
    first = next(iter(published.values()))
    task = _task_of(lake, first)
    positions = positions_of(task, seed)
    scored, costs = _simpler_ways(task)
    left_out = {name: "not materialized" for name in models if name not in published}
    for name, metrics in published.items():
        if metrics["split"]["digest"] != task.split["digest"] or metrics["stream"] != task.stream:
            left_out[name] = "trained for another stream or other test sessions: materialize it again"
            continue
        found = _published_scores(lake.model(name), task)
        if len(found.rank) != len(task.test.positions):
            left_out[name] = "clean_events has changed since it was trained: materialize it again"
            continue
        scored[name] = found
        cost = read_json(lake.model(name) / "cost.json")
        costs[name] = {"model_bytes": cost["model_bytes"], **cost["streams"][task.stream]}
    optimum, known = None, None
    over: dict[str, dict[str, Any]] = {}
    if lake.is_synthetic() and task.stream == "intent":
        best = BayesOptimal.of(read_json(lake.sample_truth()), task.vocabulary.names, Privacy.of(lake).shown)
        optimum, known = score(best, task.test), best.known(task.test)
        if known.all():
            over = {name: improvement(scored[name], optimum, positions) for name in published if name in scored}
    table, details = leaderboard(task, scored, costs, positions, optimum, known)
    return Comparison(table, {**details, "stream": task.stream, "split": task.split}, left_out, over)


def _simpler_ways(task: Task) -> tuple[dict[str, Scores], dict[str, dict[str, Any]]]:
    """Scores on the test sessions, and costs, of the rungs that are no published models."""
    scored: dict[str, Scores] = {}
    costs: dict[str, dict[str, Any]] = {}
    for name, fit in {**baselines.BASELINES, "markov_order1": None}.items():
        started = time.perf_counter()
        model: NextEventModel = fit.fit(task.train) if fit else markov.fit(task.train, task.validation, max_order=1)[0]
        fitted = time.perf_counter()
        scored[name] = score(model, task.test)
        count = len(scored[name].rank)
        costs[name] = {
            "train_seconds": fitted - started,
            "microseconds_per_prediction": (time.perf_counter() - fitted) / count * 1e6 if count else None,
            "model_bytes": None,
        }
    return scored, costs


def _task_of(lake: Lake, metrics: dict[str, Any]) -> Task:
    years, config = metrics["input_years"], metrics["config"]
    files = [lake.feature("clean_events", year) for year in years]
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise PipelineError(missing[0], "a year that the models learned from is gone", "Materialize the models again.")
    with open_engine(lake.staging() / "duckdb") as engine:
        return prepare_task(
            engine,
            files,
            stream=metrics["stream"],
            cut=datetime.fromisoformat(config["cut"]) if config["cut"] else None,
            **cast("dict[str, Any]", {name: config[name] for name in TASK_SETTINGS}),
        )


def _published_scores(folder: Path, task: Task) -> Scores:
    import pyarrow.parquet as pq

    return scores_of(pq.read_table(folder / PREDICTIONS), task.vocabulary)
