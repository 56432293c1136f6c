"""How a year differs from the one before: column by column, event types, transitions.

Put here: the measures of drift and the comparison of two years' tables. Keep out: the judgement (``grades.py``).

Two years differ by chance too, and more so when few actors made many of the events. So each figure comes with what
chance gives: the year before is drawn twice by its actors (bootstrap of clusters; Efron and Tibshirani 1993) and the
two draws are compared like the two years. A column has drifted when it is beyond its limit and beyond chance.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from analytics_assets.core.settings import QualitySettings

EVENT_COLUMNS = (
    "event_type",
    "country",
    "region",
    "city",
    "device_family",
    "os_name",
    "platform",
    "language",
    "hour",
    "weekday",
    "actor_class",
)
"""Compared by value, each event once."""

TINY_SHARE = 0.001
"""A value below this share in both years is counted as "other": hundreds of rare values would only add noise."""

SMOOTHING = 0.5
"""Added to every count before the population stability index, which has no value where one year has none (Jeffreys)."""

DRAWS, DRAW_GROUPS, CHANCE, SEED = 100, 200, 0.95, 20
"""Pairs of draws, groups that the actors are drawn in, the quantile over draws that counts as chance, and the seed.
Groups keep memory small however many actors there are; 200 leave the spread between actors as it is."""

LARGEST = 5
"""Values shown per column: those that moved most."""

LISTED_TYPES = 50
"""New and vanished event types listed."""

MIN_TRANSITIONS = 100
"""Transitions that an event must have in both years before its next events are compared."""

LISTED_TRANSITIONS = 10
"""Events listed whose next events changed most."""

Counts = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]


@dataclass(frozen=True)
class YearTables:
    """What is compared of one year: relations of its accepted events and of its sessions."""

    year: str
    events: str
    sessions: str


def population_stability_index(expected: npt.ArrayLike, actual: npt.ArrayLike) -> Reals:
    """PSI = sum((a - e) ln(a / e)) over the shares of the values (Siddiqi 2006; Jeffreys divergence).

    Parameters
    ----------
    expected, actual : array (..., values)
        Counts; each is smoothed by `SMOOTHING`.

    Returns
    -------
    array (...)
        At least 0, which it is for equal shares.
    """
    shares = []
    for counts in (expected, actual):
        smoothed = np.asarray(counts, np.float64) + SMOOTHING
        shares.append(smoothed / smoothed.sum(axis=-1, keepdims=True))
    before, now = shares
    return np.asarray(((now - before) * np.log(now / before)).sum(axis=-1))


def jensen_shannon_bits(first: npt.ArrayLike, second: npt.ArrayLike) -> Reals:
    """Jensen-Shannon divergence in bits: mean of the two Kullback-Leibler divergences to the mixture (Lin 1991).

    Parameters
    ----------
    first, second : array (..., values)
        Counts, each with a positive sum.

    Returns
    -------
    array (...)
        From 0 for equal shares to 1 for shares that have no value in common; symmetric.
    """
    shares = [np.asarray(counts, np.float64) for counts in (first, second)]
    p, q = (counts / counts.sum(axis=-1, keepdims=True) for counts in shares)
    mixture = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.where(share > 0, share * np.log2(share / mixture), 0.0).sum(axis=-1) for share in (p, q)]
    return np.clip((parts[0] + parts[1]) / 2, 0.0, 1.0)


def drift(
    engine: duckdb.DuckDBPyConnection, current: YearTables, previous: YearTables, limits: QualitySettings
) -> dict[str, Any]:
    """Compare a year with the one before.

    Parameters
    ----------
    engine : duckdb.DuckDBPyConnection
        Open connection.
    current, previous : YearTables
        The years.
    limits : QualitySettings
        ``max_psi`` and ``max_js``.

    Returns
    -------
    dict
        ``columns`` (``column``, ``grain``, ``values``, ``psi``, ``js``, ``psi_by_chance``, ``js_by_chance``,
        ``times_limit``: the larger of both as a multiple of its limit, 0 within chance; ``drifted``: beyond 1;
        ``largest`` changes), ``event_types`` (``new``, ``vanished``) and ``transitions``.
    """
    columns = [_of_values(engine, name, current, previous, limits) for name in EVENT_COLUMNS]
    for name, grain, expression in (
        ("duration_seconds", "session", "date_diff('microsecond', start_time, end_time)"),
        ("events_per_session", "session", "events"),
        ("latency_ms", "event", "round(latency_ms * 1000)::BIGINT"),
    ):
        columns.append(_of_deciles(engine, name, grain, expression, current=current, previous=previous, limits=limits))
    return {
        "previous_year": previous.year,
        "limits": {"psi": limits.max_psi, "js_bits": limits.max_js},
        "smoothing": SMOOTHING,
        "columns": columns,
        "event_types": _event_types(engine, current, previous),
        "transitions": _transitions(engine, current, previous),
    }


def _grouped(engine: duckdb.DuckDBPyConnection, relation: str, value: str) -> list[tuple[Any, int, int]]:
    """Value, group of the actor, rows; actors are dealt out to the groups in the order of their names."""
    rows: list[tuple[Any, int, int]] = engine.execute(
        f"""
        WITH rows AS (SELECT actor, {value} AS value FROM {relation}),
        groups AS (
            SELECT actor, (row_number() OVER (ORDER BY actor) - 1) % {DRAW_GROUPS} AS draw
            FROM (SELECT DISTINCT actor FROM rows)
        )
        SELECT value, draw, count(*) FROM rows JOIN groups ON rows.actor IS NOT DISTINCT FROM groups.actor
        GROUP BY ALL ORDER BY ALL
        """
    ).fetchall()
    return rows


def _counted(engine: duckdb.DuckDBPyConnection, relation: str, value: str) -> dict[Any, int]:
    return dict(engine.execute(f"SELECT {value} AS value, count(*) FROM {relation} GROUP BY ALL ORDER BY 1").fetchall())


def _compared(
    column: str,
    grain: str,
    values: Sequence[Any],
    *,
    now: dict[Any, int],
    before: Sequence[tuple[Any, int, int]],
    limits: QualitySettings,
) -> dict[str, Any]:
    """Figures of one column, given the order of its values, their rows now, and those before by group of actors."""
    place = {value: number for number, value in enumerate(values)}
    by_group: Counts = np.zeros((max((draw for _, draw, _ in before), default=-1) + 1, len(values)), np.int64)
    for value, draw, rows in before:
        by_group[draw, place[value]] += rows
    expected = by_group.sum(axis=0)
    actual: Counts = np.asarray([now.get(value, 0) for value in values], np.int64)
    facts = {"column": column, "grain": grain, "values": len(values)}
    unknown: dict[str, Any] = dict.fromkeys(("psi", "js", "psi_by_chance", "js_by_chance"))
    if not expected.sum() or not actual.sum():
        return {**facts, **unknown, "times_limit": None, "drifted": False, "largest": []}
    psi, js = float(population_stability_index(expected, actual)), float(jensen_shannon_bits(expected, actual))
    psi_by_chance, js_by_chance = _by_chance(by_group)
    times_limit = max(
        psi / limits.max_psi if psi > (psi_by_chance or 0.0) else 0.0,
        js / limits.max_js if js > (js_by_chance or 0.0) else 0.0,
    )
    shares = expected / expected.sum(), actual / actual.sum()
    moved = sorted(range(len(values)), key=lambda number: (-abs(shares[1][number] - shares[0][number]), number))
    return {
        **facts,
        "psi": max(0.0, psi),
        "js": js,
        "psi_by_chance": psi_by_chance,
        "js_by_chance": js_by_chance,
        "times_limit": times_limit,
        "drifted": times_limit > 1,
        "largest": [
            {
                "value": None if values[number] is None else str(values[number]),
                "share_before": float(shares[0][number]),
                "share_now": float(shares[1][number]),
            }
            for number in moved[:LARGEST]
            if shares[0][number] != shares[1][number]
        ],
    }


def _by_chance(by_group: Counts) -> tuple[float | None, float | None]:
    """What PSI and JS rarely exceed between two draws of one year; None when one group has everything."""
    groups = len(by_group)
    if groups < 2:
        return None, None
    generator = np.random.default_rng(SEED)
    first, second = (generator.multinomial(groups, np.full(groups, 1 / groups), DRAWS) @ by_group for _ in range(2))
    drawn = (first.sum(axis=1) > 0) & (second.sum(axis=1) > 0)
    if not drawn.any():
        return None, None
    first, second = first[drawn], second[drawn]
    return (
        float(np.quantile(population_stability_index(first, second), CHANCE)),
        float(np.quantile(jensen_shannon_bits(first, second), CHANCE)),
    )


def _of_values(
    engine: duckdb.DuckDBPyConnection, column: str, current: YearTables, previous: YearTables, limits: QualitySettings
) -> dict[str, Any]:
    now, before = _counted(engine, current.events, column), _grouped(engine, previous.events, column)
    then: dict[Any, int] = defaultdict(int)
    for value, _, rows in before:
        then[value] += rows
    least = [TINY_SHARE * sum(counts.values()) for counts in (now, then)]
    tiny = {
        value
        for value in now.keys() | then.keys()
        if value is not None and now.get(value, 0) < least[0] and then.get(value, 0) < least[1]
    }
    kept = sorted((now.keys() | then.keys()) - tiny, key=lambda value: (value is None, str(value)))
    merged: dict[Any, int] = defaultdict(int)
    for value, rows in now.items():
        merged[_OTHER if value in tiny else value] += rows
    return _compared(
        column,
        "event",
        [*kept, *([_OTHER] if tiny else [])],
        now=merged,
        before=[(_OTHER if value in tiny else value, draw, rows) for value, draw, rows in before],
        limits=limits,
    )


class _Other:
    """Stands for all tiny values; no text of the data can equal it."""

    def __str__(self) -> str:
        return "other"


_OTHER = _Other()


def _of_deciles(
    engine: duckdb.DuckDBPyConnection,
    column: str,
    grain: str,
    expression: str,
    *,
    current: YearTables,
    previous: YearTables,
    limits: QualitySettings,
) -> dict[str, Any]:
    """Compare a number by the deciles of the year before; equal deciles are one, and a null is a value of its own."""
    relations = [year.sessions if grain == "session" else year.events for year in (previous, current)]
    [(deciles,)] = engine.execute(
        f"SELECT quantile_disc({expression}, [{', '.join(f'{n / 10}' for n in range(1, 10))}]) FROM {relations[0]}"
    ).fetchall()
    edges = sorted(set(deciles or []))
    cases = " ".join(f"WHEN {expression} <= {edge} THEN {number}" for number, edge in enumerate(edges))
    known = f"CASE {cases} ELSE {len(edges)} END" if edges else "0"
    bins = f"CASE WHEN {expression} IS NOT NULL THEN {known} END"
    scale = {"duration_seconds": 1e6, "latency_ms": 1e3}.get(column, 1)
    ends = [edge / scale for edge in edges]
    labels: dict[int | None, str | None] = {
        number: f"up to {end}" if not number else f"over {ends[number - 1]} to {end}" for number, end in enumerate(ends)
    }
    labels |= {len(ends): f"over {ends[-1]}" if ends else "any", None: None}
    now = {labels[found]: rows for found, rows in _counted(engine, relations[1], bins).items()}
    before = [(labels[found], draw, rows) for found, draw, rows in _grouped(engine, relations[0], bins)]
    used = now.keys() | {label for label, _, _ in before}
    values = [label for label in labels.values() if label in used]
    return _compared(column, grain, values, now=now, before=before, limits=limits)


def _event_types(
    engine: duckdb.DuckDBPyConnection, current: YearTables, previous: YearTables
) -> dict[str, list[dict[str, Any]]]:
    now, before = (_counted(engine, year.events, "event_type") for year in (current, previous))

    def only(here: dict[str, int], there: dict[str, int]) -> list[dict[str, Any]]:
        names = sorted(here.keys() - there.keys(), key=lambda name: (-here[name], name))
        return [{"event_type": name, "events": here[name]} for name in names[:LISTED_TYPES]]

    return {"new": only(now, before), "vanished": only(before, now)}


def _moves(engine: duckdb.DuckDBPyConnection, events: str) -> dict[str, dict[str, int]]:
    """Next events of each event in the intent streams of all sessions, with how often each follows."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for origin, target, rows in engine.execute(
        f"""
        WITH steps AS (
            SELECT session_key, intent_step, any_value(event_type) AS event_type FROM {events}
            WHERE session_key IS NOT NULL AND NOT is_noise GROUP BY ALL
        ),
        moves AS (
            SELECT event_type AS origin, lead(event_type) OVER (PARTITION BY session_key ORDER BY intent_step) AS target
            FROM steps
        )
        SELECT origin, target, count(*) FROM moves WHERE target IS NOT NULL GROUP BY ALL ORDER BY ALL
        """
    ).fetchall():
        found[origin][target] = rows
    return found


def _transitions(engine: duckdb.DuckDBPyConnection, current: YearTables, previous: YearTables) -> dict[str, Any]:
    """JS divergence of the next events of each event, and its mean weighted by this year's transitions."""
    now, before = (_moves(engine, year.events) for year in (current, previous))
    rows: list[dict[str, Any]] = []
    for origin in sorted(now.keys() & before.keys()):
        sizes = [sum(moves[origin].values()) for moves in (now, before)]
        if min(sizes) < MIN_TRANSITIONS:
            continue
        targets = sorted(now[origin].keys() | before[origin].keys())
        counts = [[moves[origin].get(target, 0) for target in targets] for moves in (before, now)]
        rows.append(
            {
                "from_event": origin,
                "transitions": sizes[0],
                "previous_transitions": sizes[1],
                "js": float(jensen_shannon_bits(*counts)),
            }
        )
    weight = sum(row["transitions"] for row in rows)
    return {
        "stream": "intent",
        "min_transitions": MIN_TRANSITIONS,
        "compared_events": len(rows),
        "mean_js": sum(row["js"] * row["transitions"] for row in rows) / weight if weight else None,
        "largest": sorted(rows, key=lambda row: (-row["js"], row["from_event"]))[:LISTED_TRANSITIONS],
    }
