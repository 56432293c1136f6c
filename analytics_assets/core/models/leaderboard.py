"""Next-event models beside the simpler ways to predict: who is better, by how much, at what cost.

Put here: the comparison of given scores. Keep out: making scores (``compare.py``, ``next_event.py``).

A rung beats another when the lower end of the 95 % interval of its paired improvement is above 0. The champion is the
rung of the best top-1 accuracy; a model that does not beat the best rung below it gives way to that rung, and so on
down: what costs more must be clearly better.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.models.metrics import Mask, Positions, beats, figures, improvement
from analytics_assets.core.models.next_event import Scores, Task
from analytics_assets.schemas.leaderboard import MEASURES, NEXT_EVENT_LEADERBOARD

if TYPE_CHECKING:
    import pyarrow as pa

LADDER: dict[str, str] = {
    "most_frequent": "Most frequent event",
    "hour_popularity": "Most frequent event of the hour",
    "repeat_last": "Same event again",
    "markov_order1": "Markov chain of order 1",
    "sequential_rules": "Sequential rules",
    "nearest_sessions": "Nearest sessions",
    "markov_chain": "Markov chain with back-off",
    "hidden_markov_model": "Hidden Markov model",
    "lstm_next_event": "LSTM",
    "xgboost_next_event": "XGBoost",
}
"""Rungs from the simplest up, with names for people."""

MODELS = ("markov_chain", "hidden_markov_model", "lstm_next_event", "xgboost_next_event")
"""Rungs that are published models."""

REFERENCES = ("most_frequent", "repeat_last")
"""Rungs that every other one is compared with, beside the best simpler one."""

RECALL_EVENTS = 20
"""Event types whose recall is given for each rung: the most frequent ones hold most of the positions."""

COSTS = ("train_seconds", "microseconds_per_prediction", "model_bytes")


def leaderboard(  # noqa: PLR0917
    task: Task,
    scored: Mapping[str, Scores],
    costs: Mapping[str, Mapping[str, Any]],
    positions: Positions,
    ceiling: Scores | None = None,
    known: Mask | None = None,
) -> tuple[pa.Table, dict[str, Any]]:
    """Compare rungs on the test positions of a task.

    Parameters
    ----------
    task : Task
    scored : mapping of str to Scores
        Of some or all rungs of `LADDER`, at ``task.test.positions``.
    costs : mapping of str to mapping
        ``train_seconds``, ``microseconds_per_prediction``, ``model_bytes`` of rungs, where known.
    positions : Positions
        Of the task.
    ceiling : Scores, optional
        Of the best possible predictor.
    known : bool array, shape (positions,), optional
        Where the best possible predictor is known; everywhere by default.

    Returns
    -------
    table : pyarrow.Table
        Rows of ``NEXT_EVENT_LEADERBOARD`` in the order of `LADDER`.
    details : dict
        JSON-able and without times: ``champion`` (None without a position), ``ladder`` (rungs present, the simplest
        first), ``slices`` (figures by slice and rung), ``improvements`` (by rung over the best simpler rung and the
        references), ``agreement`` (share of positions at which two rungs name the same event), ``recall`` (by frequent
        event and rung), ``ceiling`` (its figures where it is known, None without one).

    Raises
    ------
    ValueError
        A rung is unknown, or scores are of other positions.
    """
    import pyarrow as pa

    unknown = sorted(set(scored) - set(LADDER))
    if unknown:
        raise ValueError(f"no rung is called {', '.join(unknown)}")
    count = len(positions.actual)
    given = {**scored, **({"the ceiling": ceiling} if ceiling is not None else {})}
    wrong = sorted(name for name, scores in given.items() if len(scores.rank) != count)
    if wrong or len(task.test.positions) != count:
        raise ValueError(f"scores of other positions than the {count} of the test sessions: {', '.join(wrong)}")
    rungs = [rung for rung in LADDER if rung in scored]
    found = {rung: figures(scored[rung], positions) for rung in rungs}
    compared = _compared(rungs, found, scored, positions)
    ranked = sorted(rungs, key=lambda rung: -found[rung]["top1"]) if count else []
    champion = _champion(ranked, compared)
    where = known if known is not None else np.ones(count, dtype=bool)
    rows = [
        {
            "rung": rung,
            "step": list(LADDER).index(rung) + 1,
            "name": LADDER[rung],
            "is_model": rung in MODELS,
            "rank": ranked.index(rung) + 1 if rung in ranked else None,
            "is_champion": rung == champion,
            **_measured(found[rung]),
            **{cost: costs.get(rung, {}).get(cost) for cost in COSTS},
            **_beaten(compared[rung]),
            "share_of_ceiling": _share(scored[rung], ceiling, where),
        }
        for rung in rungs
    ]
    details = {
        "champion": champion,
        "ladder": rungs,
        "slices": {
            name: {rung: figures(scored[rung], positions, mask) for rung in rungs}
            for name, mask in positions.slices.items()
        },
        "improvements": compared,
        "agreement": _agreement(rungs, scored),
        "recall": _recall(task, rungs, scored, positions.actual),
        "ceiling": figures(ceiling, positions, where) if ceiling is not None else None,
    }
    return pa.Table.from_pylist(rows, schema=NEXT_EVENT_LEADERBOARD.arrow_schema()), details


def _compared(
    rungs: list[str], found: Mapping[str, dict[str, Any]], scored: Mapping[str, Scores], positions: Positions
) -> dict[str, dict[str, Any]]:
    """Improvement of each rung over the references and the best simpler rung, whose name is ``best_simpler_rung``."""
    compared: dict[str, dict[str, Any]] = {}
    for place, rung in enumerate(rungs):
        below = rungs[:place]
        # max() keeps the first of equals, which is the simpler one.
        best = max(below, key=lambda name: found[name].get("top1", 0.0)) if below else None
        wanted = [*REFERENCES, *([best] if best is not None else [])]
        others = [name for name in dict.fromkeys(wanted) if name in scored and name != rung]
        compared[rung] = {
            "best_simpler_rung": best,
            "over": {name: improvement(scored[rung], scored[name], positions) for name in others},
        }
    return compared


def _champion(ranked: list[str], compared: Mapping[str, dict[str, Any]]) -> str | None:
    if not ranked:
        return None
    champion = ranked[0]
    while champion in MODELS:
        best = compared[champion]["best_simpler_rung"]
        if best is None or beats(compared[champion]["over"][best]):
            break
        champion = best
    return champion


def _measured(found: Mapping[str, Any]) -> dict[str, Any]:
    """Counts, means and intervals as columns; means are None without a position."""
    columns: dict[str, Any] = {name: found[name] for name in ("positions", "sessions", "users")}
    intervals = found.get("interval", {})
    for name in MEASURES:
        columns[name] = found.get(name)
        columns[f"{name}_low"], columns[f"{name}_high"] = intervals.get(name, (None, None))
        columns[f"session_{name}"] = found.get("by_session", {}).get(name)
        ends = intervals.get(f"by_session_{name}", (None, None))
        columns[f"session_{name}_low"], columns[f"session_{name}_high"] = ends
    return {**columns, "ece": found.get("ece"), "macro_recall": found.get("macro_recall")}


def _beaten(compared: Mapping[str, Any]) -> dict[str, Any]:
    best, over = compared["best_simpler_rung"], compared["over"]
    columns: dict[str, Any] = {"best_simpler_rung": best}
    for measure in ("top1", "bits"):
        gained = over.get(best, {})
        columns[f"improvement_{measure}"] = gained.get(measure)
        low, high = gained.get(f"{measure}_interval") or (None, None)
        columns[f"improvement_{measure}_low"], columns[f"improvement_{measure}_high"] = low, high
    for name, other in (("most_frequent",) * 2, ("repeat_last",) * 2, ("best_simpler", best)):
        measured = other in over and over[other]["top1"] is not None
        columns[f"beats_{name}"] = beats(over[other]) if measured else None
    return columns


def _share(scores: Scores, ceiling: Scores | None, where: NDArray[np.bool_]) -> float | None:
    """Hits over the ceiling's hits, at the positions where it is known."""
    best = float(ceiling.hits(1)[where].sum()) if ceiling is not None else 0.0
    return float(scores.hits(1)[where].sum()) / best if best else None


def _agreement(rungs: list[str], scored: Mapping[str, Scores]) -> dict[str, dict[str, float]]:
    return {
        one: {
            other: float((scored[one].predicted == scored[other].predicted).mean())
            for other in rungs
            if other != one and len(scored[one].predicted)
        }
        for one in rungs
    }


def _recall(
    task: Task, rungs: list[str], scored: Mapping[str, Scores], actual: NDArray[np.int32]
) -> list[dict[str, Any]]:
    counts = np.bincount(actual, minlength=len(task.vocabulary.names))
    frequent = [int(code) for code in np.argsort(-counts, kind="stable")[:RECALL_EVENTS] if counts[code]]
    return [
        {
            "event": task.vocabulary.names[code],
            "positions": int(counts[code]),
            **{rung: float((scored[rung].predicted[actual == code] == code).mean()) for rung in rungs},
        }
        for code in frequent
    ]
