"""Figures of the page "Journeys" that the Markov chain gives: moves, goals, removed events, surprising sessions.

Put here: reading what ``markov_chain`` and the other next-event models published. Keep out: counting sessions
(``journeys_figures.py``), drawing, wording.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from analytics_assets.core.lake import Lake
from analytics_assets.core.models.next_event import MIN_PROBABILITY
from dashboards import data
from dashboards.selection import quoted

START, EXIT, ANY_GOAL = "(start)", "(exit)", "(any goal)"
"""Names that the chain's tables use for the session's start and end, and for any of the goals."""

Weight = Literal["probability", "transitions"]

FEW_TRANSITIONS = 10
"""Moves that happened less often are not drawn by probability: one of two occurrences is 50 % and says nothing."""

MAX_NODES = 40
"""Nodes of the network: more labels than that overlap."""

SHORTEST_SURPRISE = 5
"""Scored events of a session that can be called surprising: one odd event of two is no odd session."""

_ASSET = "markov_chain"


def _read(lake: Lake, table: str, columns: str, rest: str = "") -> list[tuple[Any, ...]]:
    return data.query(f"SELECT {columns} FROM {{files}} {rest}", [lake.model(_ASSET) / f"{table}.parquet"], _ASSET)


@dataclass(frozen=True)
class Edge:
    """A move from one event to the next."""

    origin: str
    target: str
    transitions: int
    sessions: int
    probability: float
    low: float | None
    high: float | None
    significant: bool
    median_seconds: float | None


def edges(lake: Lake, weight: Weight, limit: int) -> list[Edge]:
    """The strongest moves, at most `limit` and between at most `MAX_NODES` events; an event to itself is left out."""
    least = FEW_TRANSITIONS if weight == "probability" else 1
    rows = _read(
        lake,
        "edges",
        "from_event, to_event, transitions, sessions, probability, probability_low, probability_high, significant, "
        "dwell_median",
        f"WHERE transitions >= {least} AND from_event <> to_event "
        f"ORDER BY {weight} DESC, transitions DESC, from_event, to_event LIMIT {int(limit)}",
    )
    found: list[Edge] = []
    nodes: set[str] = set()
    for row in rows:
        edge = Edge(*row)
        if len(nodes | {edge.origin, edge.target}) <= MAX_NODES:
            nodes |= {edge.origin, edge.target}
            found.append(edge)
    return found


@dataclass(frozen=True)
class State:
    """An event type as a state of the chain."""

    event: str
    occurrences: int
    exit_probability: float
    events_to_exit: float | None
    removal_effect: float | None
    low: float | None
    high: float | None
    credit: float | None


def states(lake: Lake) -> list[State]:
    """Event types by removal effect, those without one last."""
    rows = _read(
        lake,
        "states",
        "event, occurrences, exit_probability, events_to_exit, removal_effect, removal_effect_low, "
        "removal_effect_high, credit",
        "ORDER BY removal_effect DESC NULLS LAST, occurrences DESC, event",
    )
    return [State(*row) for row in rows]


def goals(lake: Lake) -> list[str]:
    """Goals that chances are known for; any of them last."""
    rows = _read(lake, "goals", "DISTINCT goal", f"ORDER BY goal = {quoted(ANY_GOAL)}, goal")
    return [name for (name,) in rows]


def goal_chances(lake: Lake, goal: str) -> list[tuple[str, float, float | None]]:
    """Event, chance to come to the goal from it, expected events to it; best first."""
    rows = _read(
        lake,
        "goals",
        "from_event, probability, events_to_goal",
        f"WHERE goal = {quoted(goal)} ORDER BY probability DESC, from_event",
    )
    return [(event, chance, distance) for event, chance, distance in rows]


_WHAT_IF = (
    *("removed_event", "reading", "journeys", "goal_rate", "goal_rate_exact", "goal_rate_change"),
    *("goal_rate_change_low", "goal_rate_change_high", "events", "events_exact", "events_change"),
    *("events_change_low", "events_change_high"),
)


def what_if(lake: Lake) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """The chain as it is, and each removed event in both readings, largest loss first."""
    rows = [
        dict(zip(_WHAT_IF, row, strict=True))
        for row in _read(
            lake, "what_if", ", ".join(_WHAT_IF), "ORDER BY goal_rate_change NULLS FIRST, removed_event, reading"
        )
    ]
    plain = next((row for row in rows if row["removed_event"] is None), None)
    return plain, [row for row in rows if row["removed_event"] is not None]


@dataclass(frozen=True)
class Surprise:
    """A test session and how badly it was foreseen: mean bits per event by model, and the worst step's."""

    session: str
    events: int
    bits: tuple[float, ...]
    worst: float


def _bits(model: int) -> str:
    return f"-log2(greatest(m{model}.actual_probability, {MIN_PROBABILITY}))"


def _joined(lake: Lake, models: Sequence[str]) -> tuple[str, dict[str, data.Table]]:
    tables = {
        f"p{number}": data.Table.of([lake.model(name) / "test_predictions.parquet"], name)
        for number, name in enumerate(models)
    }
    relation = "{p0} AS m0" + "".join(
        f" JOIN {{p{number}}} AS m{number} USING (uuid)" for number in range(1, len(models))
    )
    return relation, tables


def surprising_sessions(lake: Lake, models: Sequence[str], limit: int) -> list[Surprise]:
    """Test sessions of at least `SHORTEST_SURPRISE` scored events by falling mean bits under the first model."""
    relation, tables = _joined(lake, models)
    means = ", ".join(f"avg({_bits(number)})" for number in range(len(models)))
    rows = data.query_tables(
        f"SELECT m0.session_key, count(*), max({_bits(0)}), {means} FROM {relation} GROUP BY m0.session_key "
        f"HAVING count(*) >= {SHORTEST_SURPRISE} ORDER BY 4 DESC, 1 LIMIT {int(limit)}",
        tables,
    )
    return [Surprise(row[0], row[1], tuple(row[3:]), row[2]) for row in rows]


@dataclass(frozen=True)
class Step:
    """One scored event of a session."""

    uuid: str
    before: str
    came: str
    expected: str
    bits: tuple[float, ...]


def steps(lake: Lake, models: Sequence[str], session: str) -> list[Step]:
    """Scored events of a test session in their order; what was expected is the first model's."""
    relation, tables = _joined(lake, models)
    bits = ", ".join(_bits(number) for number in range(len(models)))
    rows = data.query_tables(
        f"SELECT m0.uuid, m0.current_event, m0.actual_event, m0.predicted_event, {bits} FROM {relation} "
        f"WHERE m0.session_key = {quoted(session)} ORDER BY m0.file_row_number",
        tables,
    )
    return [Step(row[0], row[1], row[2], row[3], tuple(row[4:])) for row in rows]
