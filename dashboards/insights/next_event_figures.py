"""Figures of the page "Next event": the leaderboard, calibration, and what models were right about before.

Put here: reading them from the lake. Keep out: asking a model about a made-up journey (``scoring.py``), drawing,
wording.

What models said of past events are their published test predictions. A *hit* is a position at which what came was the
first choice, as in the leaderboard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from analytics_assets.core.intervals import wilson
from analytics_assets.core.lake import Lake
from dashboards import data
from dashboards.selection import quoted

MODEL_NAMES = {
    "markov_chain": "Markov chain",
    "hidden_markov_model": "Hidden Markov model",
    "lstm_next_event": "LSTM",
    "xgboost_next_event": "XGBoost",
}
"""Next-event models by asset, from the simplest, as people call them."""

CALIBRATION_BINS = 15
"""Bins of confidence, as many as the published calibration error has."""

FEW_POSITIONS = 30
"""Below this many positions a hit rate says little: its interval is wider than 30 percentage points."""

_COLUMNS = (
    *("rung", "name", "is_model", "rank", "is_champion", "positions", "sessions", "users"),
    *(f"{measure}{end}" for measure in ("top1", "top3", "top5", "mrr10", "bits") for end in ("", "_low", "_high")),
    *("ece", "train_seconds", "microseconds_per_prediction", "model_bytes", "best_simpler_rung"),
    *("improvement_top1", "improvement_top1_low", "improvement_top1_high", "beats_best_simpler", "share_of_ceiling"),
)

_ORDERED = """
    SELECT *, lag(current_event) OVER (PARTITION BY session_key ORDER BY file_row_number) AS event_before,
        file_row_number AS place
    FROM {predictions}
"""
"""Predictions in the order of the file: session after session, each in the order of its events."""


def leaderboard(lake: Lake) -> list[dict[str, Any]]:
    """Every way to predict by rank, those without one last; `_COLUMNS` of ``NEXT_EVENT_LEADERBOARD``."""
    rows = data.query(
        f"SELECT {', '.join(_COLUMNS)} FROM {{files}} ORDER BY rank NULLS LAST, step",
        [lake.leaderboard("next_event")],
        "next_event_leaderboard",
    )
    return [dict(zip(_COLUMNS, row, strict=True)) for row in rows]


def predictions(lake: Lake, model: str) -> data.Table:
    """Test predictions of a model; `MissingFileError` when there are none."""
    return data.Table.of([lake.model(model) / "test_predictions.parquet"], model)


def published(lake: Lake) -> list[str]:
    """Models of `MODEL_NAMES` whose test predictions are there."""
    return [name for name in MODEL_NAMES if (lake.model(name) / "test_predictions.parquet").is_file()]


@dataclass(frozen=True)
class ConfidenceBin:
    """Test positions at which a model was about equally sure of its first choice."""

    confidence: float
    hits: int
    positions: int

    @property
    def hit_rate(self) -> float:
        """Share of hits."""
        return self.hits / self.positions

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the hit rate."""
        return wilson(self.hit_rate, self.positions)


def calibration(lake: Lake, model: str) -> list[ConfidenceBin]:
    """How often a model was right by how sure it was: bins with a position, by rising confidence."""
    rows = data.query_tables(
        f"SELECT least(floor(confidence * {CALIBRATION_BINS}), {CALIBRATION_BINS - 1}) AS bin, avg(confidence), "
        "count(*) FILTER (actual_rank = 1), count(*) FROM {predictions} GROUP BY bin ORDER BY bin",
        {"predictions": predictions(lake, model)},
    )
    return [ConfidenceBin(confidence, hits, positions) for _, confidence, hits, positions in rows]


def calibration_error(bins: Sequence[ConfidenceBin]) -> float | None:
    """Mean over positions of the distance between confidence and hit rate of their bin."""
    positions = sum(found.positions for found in bins)
    if not positions:
        return None
    return sum(abs(found.confidence * found.positions - found.hits) for found in bins) / positions


@dataclass(frozen=True)
class Record:
    """How often a model was right at some of the test positions."""

    positions: int
    first: int
    first_five: int

    def rate(self, hits: int) -> float | None:
        """Share of the positions; None when there are none."""
        return hits / self.positions if self.positions else None


def in_context(lake: Lake, model: str, journey: Sequence[str], events: int) -> Record:
    """Record of a model at the test positions whose last `events` (1 or 2) events were those of `journey`.

    With 2 and a journey of one event these are the positions that follow the first event of a session.
    """
    before = journey[-2] if len(journey) > 1 else None
    condition = f"current_event = {quoted(journey[-1])}"
    if events == 2:
        condition += f" AND event_before IS NOT DISTINCT FROM {quoted(before) if before is not None else 'NULL'}"
    [(positions, first, first_five)] = data.query_tables(
        "SELECT count(*), count(*) FILTER (actual_rank = 1), count(*) FILTER (actual_rank <= 5) "
        f"FROM ({_ORDERED}) WHERE {condition}",
        {"predictions": predictions(lake, model)},
    )
    return Record(positions, first, first_five)


@dataclass(frozen=True)
class Agreement:
    """What it is worth when models name the same event: test positions of all of them, and hits."""

    agreed: int
    agreed_hits: int
    others: int
    best_hits: int
    """Hits of the model that was right most often where they do not all agree."""


def agreement(lake: Lake, models: Sequence[str]) -> Agreement:
    """Test positions at which all of at least two models had the same first choice, and the others."""
    tables = {f"predictions{number}": predictions(lake, name) for number, name in enumerate(models)}
    joined = "{predictions0} AS m0" + "".join(
        f" JOIN {{predictions{number}}} AS m{number} USING (uuid)" for number in range(1, len(models))
    )
    same = " AND ".join(f"m{number}.predicted_event = m0.predicted_event" for number in range(1, len(models)))
    hits = ", ".join(f"count(*) FILTER (NOT same AND hit{number})" for number in range(len(models)))
    columns = ", ".join(f"m{number}.actual_rank = 1 AS hit{number}" for number in range(len(models)))
    [(agreed, agreed_hits, others, *apart)] = data.query_tables(
        f"SELECT count(*) FILTER (same), count(*) FILTER (same AND hit0), count(*) FILTER (NOT same), {hits} "
        f"FROM (SELECT {same} AS same, {columns} FROM {joined})",
        tables,
    )
    return Agreement(agreed, agreed_hits, others, max(apart))


def runs_are_one(lake: Lake, model: str) -> bool:
    """Whether the stream that a model learned shows a run of one event as one event."""
    [(repeats,)] = data.query_tables(
        "SELECT count(*) FROM {predictions} WHERE current_event = actual_event AND actual_event <> '(other)'",
        {"predictions": predictions(lake, model)},
    )
    return not repeats


def opening(lake: Lake, model: str) -> str | None:
    """The most frequent first event of the test sessions; None when none of them has a name."""
    rows = data.query_tables(
        f"SELECT current_event, count(*) FROM ({_ORDERED}) WHERE event_before IS NULL AND current_event <> '(other)' "
        "GROUP BY current_event ORDER BY 2 DESC, 1 LIMIT 1",
        {"predictions": predictions(lake, model)},
    )
    return rows[0][0] if rows else None
