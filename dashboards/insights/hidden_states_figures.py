"""Figures of the page "Hidden states": the states, their events, moves and hours.

Put here: reading what ``hidden_markov_model`` published. Keep out: decoding a made-up journey (``scoring.py``),
drawing, wording.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from analytics_assets.core.lake import Lake
from dashboards import data, shapes

ASSET = "hidden_markov_model"

METRICS = {
    "training": {
        "chosen_by": str,
        "samples": {"train_sessions": int, "fit_events": int},
        "held_out_bits": {"one_state": shapes.MAYBE_NUMBER, "final": shapes.MAYBE_NUMBER},
        "stability": (dict, type(None)),
        "grid": [{"states": int, "held_out_bits": shapes.MAYBE_NUMBER, "bic": shapes.NUMBER}],
    }
}
"""What the page reads of the model's metrics."""


def _read(lake: Lake, table: str, columns: str, rest: str = "") -> list[tuple[Any, ...]]:
    return data.query(f"SELECT {columns} FROM {{files}} {rest}", [lake.model(ASSET) / f"{table}.parquet"], ASSET)


@dataclass(frozen=True)
class HiddenState:
    """One hidden state."""

    number: int
    name: str
    events: int
    share: float
    initial: float
    stay: float
    dwell_events: float | None
    dwell_seconds: float | None


def states(lake: Lake) -> list[HiddenState]:
    """The states, largest first."""
    rows = _read(
        lake,
        "hmm_states",
        "state, state_name, events, share, initial_probability, stay_probability, dwell_events, dwell_seconds",
        "ORDER BY state",
    )
    return [HiddenState(*row) for row in rows]


@dataclass(frozen=True)
class Lifted:
    """An event of a state: its chance there, and how many times likelier it is than over all states."""

    event: str
    probability: float
    lift: float


def lifted(lake: Lake, state: int, least: float, limit: int) -> list[Lifted]:
    """Events that a state emits with at least the probability `least`, by falling lift."""
    rows = _read(
        lake,
        "hmm_emissions",
        "event_type, probability, lift",
        f"WHERE state = {int(state)} AND probability >= {least} "
        f"ORDER BY lift DESC, probability DESC, event_type LIMIT {int(limit)}",
    )
    return [Lifted(*row) for row in rows]


def moves(lake: Lake, states: int) -> list[list[float | None]]:
    """Estimated chance of the move from each state (row) to each state (column)."""
    matrix: list[list[float | None]] = [[None] * states for _ in range(states)]
    for start, end, chance in _read(lake, "hmm_state_transitions", "from_state, to_state, probability"):
        if start < states and end < states:
            matrix[start][end] = chance
    return matrix


def hours(lake: Lake, states: int) -> tuple[list[list[float | None]], list[int]]:
    """Share of each state (row) in the events of each hour (column), and the events of each hour.

    An hour without events has no shares; a state without events in an hour that has some has the share 0.
    """
    events = [0] * 24
    counted = [[0] * 24 for _ in range(states)]
    for hour, state, number in _read(lake, "hmm_state_hours", "hour, state, events"):
        events[hour] += number
        if state < states:
            counted[state][hour] = number
    return [
        [number / total if total else None for number, total in zip(row, events, strict=True)] for row in counted
    ], events
