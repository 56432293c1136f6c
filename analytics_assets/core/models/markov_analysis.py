"""What a Markov chain of order 1 says about journeys, as tables and figures.

Put here: the tables of states, goals, orders, removed events and flows, and `analysis`, which ties everything together.
Keep out: the chain itself (``markov_states.py``), tested moves and change in time (``markov_significance.py``),
prediction (``markov.py``), pictures (``markov_figures.py``), files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from analytics_assets.core.intervals import Z95
from analytics_assets.core.models.markov import MAX_ORDER, context_codes
from analytics_assets.core.models.markov_significance import (
    PERMUTATIONS,
    bootstrap_chains,
    percentiles,
    stationarity,
    transition_table,
)
from analytics_assets.core.models.markov_states import (
    EXIT,
    START,
    Chain,
    Floats,
    Moves,
    Reading,
    default_goals,
    exit_moves,
    goal_chances,
    removal_effects,
    row_entropies,
    simulate,
    stationary,
)
from analytics_assets.core.models.sequences import OTHER, Sequences
from analytics_assets.core.threads import one_thread
from analytics_assets.schemas.markov import MARKOV_GOALS, MARKOV_ORDERS, MARKOV_WHAT_IF

if TYPE_CHECKING:
    import pyarrow as pa

ANY_GOAL = "(any goal)"

RESAMPLES = 200
"""Bootstrap repetitions: each end of a 95 % interval rests on five values, and each costs one inverse."""

JOURNEYS = 10_000
"""Simulated journeys: a rate of one half is then known to one percentage point (95 %)."""

REMOVED = 5
"""Events whose disappearance is simulated: those with the largest removal effects."""

FLOW_STEPS, FLOW_NODES = 5, 7
"""Steps of a flow diagram and event types named at each: more cannot be read."""


def order_table(sequences: Sequences, max_order: int = MAX_ORDER, *, collapsed: bool = False) -> pa.Table:
    """Bayesian information criterion of contexts of 0 to `max_order` events (Schwarz 1978; Singer et al. 2014).

    Counted are the positions that a model predicts (all but the first of each session), with the contexts of
    ``markov.context_codes`` and without smoothing. Contexts that never occur have no parameters. Without a position
    the table is empty.

    Parameters
    ----------
    sequences : Sequences
    max_order : int
    collapsed : bool
        Whether no event follows itself, so that from order 1 on each context has one parameter less.

    Returns
    -------
    pyarrow.Table
        Rows of ``MARKOV_ORDERS``.
    """
    import pyarrow as pa
    from scipy.special import xlogy

    following = sequences.codes[sequences.positions].astype(np.int64)
    n, choices = len(following), len(np.unique(following))
    rows = []
    for order in range(max_order + 1) if n else ():
        known, context = np.unique(context_codes(sequences, order), return_inverse=True)
        _, pairs = np.unique(context * len(sequences.vocabulary) + following, return_counts=True)
        totals = np.bincount(context)
        likelihood = float(xlogy(pairs, pairs).sum() - xlogy(totals, totals).sum())
        parameters = len(known) * max(0, choices - 1 - (collapsed and order > 0))
        bic = -2 * likelihood + parameters * np.log(n)
        rows.append(
            {
                "order": order,
                "contexts": len(known),
                "parameters": parameters,
                "bits": -likelihood / n / np.log(2),
                "bic": bic,
                "bic_bits": bic / (2 * n * np.log(2)),
            }
        )
    return pa.Table.from_pylist(rows, MARKOV_ORDERS.arrow_schema())


def step_flows(sequences: Sequences, *, steps: int = FLOW_STEPS, nodes: int = FLOW_NODES) -> pa.Table:
    """How sessions flow through their first events.

    Parameters
    ----------
    sequences : Sequences
    steps : int
        Events of a session that are looked at.
    nodes : int
        Most frequent event types at each step that keep their name; the others are `OTHER` together.

    Returns
    -------
    pyarrow.Table
        Rows of ``MARKOV_FLOWS``: step 0 leads from `START` to the first events, step k from the k-th event to the
        next one or to `EXIT`; what comes to a node of a step before the last also leaves it.
    """
    import pyarrow as pa

    other, gone = len(sequences.vocabulary), len(sequences.vocabulary) + 1
    names = [*sequences.vocabulary, OTHER, EXIT]
    if OTHER in sequences.vocabulary:
        other = sequences.vocabulary.index(OTHER)
    columns = []
    for step in range(steps):
        inside = sequences.lengths > step
        code = sequences.codes[np.where(inside, sequences.offsets[:-1] + step, 0)].astype(np.int64)
        frequent = np.bincount(code[inside & (code != other)], minlength=len(names))
        kept = np.argsort(-frequent, kind="stable")[:nodes]
        columns.append(np.where(inside, np.where(np.isin(code, kept), code, other), gone))
    parts = []
    for step, column in enumerate(columns):
        origin = columns[step - 1] if step else np.zeros(sequences.sessions, dtype=np.int64)
        present = origin != gone
        pairs, number = np.unique(np.stack([origin[present], column[present]]), axis=1, return_counts=True)
        origins = pa.array(names).take(pa.array(pairs[0])) if step else pa.array([START] * pairs.shape[1], pa.string())
        parts.append(
            pa.table(
                {
                    "step": np.full(len(number), step, dtype=np.int64),
                    "from_event": origins,
                    "to_event": pa.array(names, pa.string()).take(pa.array(pairs[1])),
                    "sessions": number,
                }
            )
        )
    return pa.concat_tables(parts)


def _goal_table(chain: Chain, goals: Sequence[str]) -> pa.Table:
    """Rows of ``MARKOV_GOALS``: chance and distance of each goal, and of any of several, from each state."""
    import pyarrow as pa

    parts = []
    for name, wanted in [*((goal, [goal]) for goal in goals), *([(ANY_GOAL, list(goals))] if len(goals) > 1 else [])]:
        chance, moves = goal_chances(chain, wanted)
        parts.append(
            pa.table(
                {
                    "goal": pa.array([name] * len(chance), pa.string()),
                    "from_event": pa.array([*chain.names, START], pa.string()),
                    "probability": chance,
                    "events_to_goal": pa.array(moves, from_pandas=True),
                }
            )
        )
    return pa.concat_tables(parts) if parts else MARKOV_GOALS.arrow_schema().empty_table()


def _state_table(moves: Moves, chain: Chain, effects: Floats, resampled: Floats) -> pa.Table:
    """Rows of ``MARKOV_STATES`` by falling occurrences; `effects` and their bootstrap from `removal_effects`."""
    import pyarrow as pa

    counts = moves.counts
    inside = ~np.isnan(moves.seconds)
    seconds = np.bincount(moves.origin[inside], weights=moves.seconds[inside], minlength=moves.states)[:-1]
    occurrences = counts.sum(axis=1)[:-1]
    low, high = percentiles(resampled)
    _, left = exit_moves(chain)
    order = np.argsort(-occurrences, kind="stable")
    known = np.nansum(effects)
    columns: dict[str, Floats] = {
        "stationary": stationary(counts)[:-1],
        "time_share": seconds / seconds.sum() if seconds.sum() > 0 else np.full(len(seconds), np.nan),
        "entry_probability": chain.probability[-1, :-1],
        "exit_probability": chain.probability[:-1, -1],
        "events_to_exit": left[:-1] - 1,
        "entropy": row_entropies(chain.probability)[:-1],
        "removal_effect": effects,
        "removal_effect_low": low,
        "removal_effect_high": high,
        "credit": effects / known if known > 0 else np.full(len(effects), np.nan),
    }
    return pa.table(
        {
            "event": pa.array(chain.names, pa.string()).take(pa.array(order)),
            "occurrences": occurrences[order].astype(np.int64),
            "entries": counts[-1, :-1][order].astype(np.int64),
            "exits": counts[:-1, -1][order].astype(np.int64),
            **{name: pa.array(values[order], from_pandas=True) for name, values in columns.items()},
        }
    )


def what_if_table(chain: Chain, goals: Sequence[str], removed: Sequence[str], *, journeys: int, seed: int) -> pa.Table:
    """What happens when events disappear, simulated and exact, in both readings (see ``Chain.without``).

    Changes are against as many journeys of the whole chain, with independent draws; their 95 % intervals are normal
    and hold what simulation leaves open. What the data leave open is in the interval of the removal effect.

    Returns
    -------
    pyarrow.Table
        Rows of ``MARKOV_WHAT_IF``; the first is the whole chain, without ``removed_event`` and changes.
    """
    import pyarrow as pa

    goal = chain.mask(goals)
    cases: list[tuple[str | None, Reading]] = [(None, "exit")]
    cases += [(event, reading) for event in removed for reading in ("exit", "reroute")]
    rows: list[dict[str, Any]] = []
    before: list[Floats] = []
    for number, (event, reading) in enumerate(cases):
        drawn = simulate(chain, journeys, seed + number, removed=event, reading=reading)
        altered = chain if event is None else chain.without(event, reading)
        sample = [drawn.reached(goal).astype(np.float64), drawn.lengths[drawn.ended].astype(np.float64)]
        exact = [float(goal_chances(altered, goals)[0][-1]), float(exit_moves(altered)[1][-1] - 1)]
        row: dict[str, Any] = {"removed_event": event, "reading": reading if event else None, "journeys": journeys}
        for place, name in enumerate(("goal_rate", "events")):
            values = sample[place]
            row[name] = float(values.mean()) if len(values) else None
            row[f"{name}_exact"] = None if np.isnan(exact[place]) else exact[place]
            if event is not None:
                row.update(_change(name, values, before[place]))
        row["endless_share"] = float(1 - drawn.ended.mean())
        if event is None:
            before = sample
        rows.append(row)
    return pa.Table.from_pylist(rows, MARKOV_WHAT_IF.arrow_schema())


def _change(name: str, values: Floats, before: Floats) -> dict[str, float | None]:
    """Difference of two means of independent samples with its normal interval."""
    if not len(values) or not len(before):
        return {}
    change = float(values.mean() - before.mean())
    half = Z95 * float(np.sqrt(values.var() / len(values) + before.var() / len(before)))
    return {f"{name}_change": change, f"{name}_change_low": change - half, f"{name}_change_high": change + half}


def analysis(
    sequences: Sequences,
    *,
    goals: Sequence[str] | None = None,
    max_order: int = MAX_ORDER,
    resamples: int = RESAMPLES,
    permutations: int = PERMUTATIONS,
    journeys: int = JOURNEYS,
    seed: int = 7,
) -> tuple[dict[str, Any], dict[str, pa.Table]]:
    """Everything that is derived from sessions.

    Parameters
    ----------
    sequences : Sequences
        The training sessions, or all of them where the log as such is described.
    goals : sequence of str, optional
        Events to be reached; by default (None or empty) `default_goals`.
    max_order : int
        Highest order of the BIC table.
    resamples, permutations, journeys : int
        Bootstrap repetitions over actors, shuffles over periods, simulated journeys per case.
    seed : int

    Returns
    -------
    figures : dict
        For ``metrics.json``: ``sessions``, ``events``, ``actors``, ``event_types``; ``transitions`` (see
        `transition_table`); ``entropy_rate`` in bits per move, the exit counted as a move, and ``entropy_rate_bias``,
        by how much the plain estimate is about too low (Miller 1955); ``events_per_session``; ``goals``: ``names``,
        ``chosen`` ("given" or "default"), ``probability`` from the start under the chain with its 95 % ``interval``
        (bootstrap over actors), and ``observed``, the share of sessions that hold a goal; None for all three without
        a goal; ``bic_order``, None without a position; ``stationarity`` (see `stationarity`).
    tables : dict of str to pyarrow.Table
        ``edges``, ``states``, ``goals``, ``orders``, ``what_if``, ``periods``, ``flows``.

    Raises
    ------
    ValueError
        There is no session, or a goal is not in the vocabulary.
    """
    moves = Moves.of(sequences)
    unknown = [goal for goal in goals or () if goal not in sequences.vocabulary]
    if unknown:
        raise ValueError(f"goals that are no event types of the sessions: {', '.join(map(repr, unknown))}")
    wanted = list(dict.fromkeys(goals)) if goals else default_goals(moves)
    # Hundreds of small matrices: threads that wait for each other cost ten times what they share.
    with one_thread():
        figures, tables = _derived(
            sequences,
            moves,
            wanted,
            max_order=max_order,
            resamples=resamples,
            permutations=permutations,
            journeys=journeys,
            seed=seed,
        )
    figures["goals"]["chosen"] = "given" if goals else "default"
    return figures, tables


def _derived(
    sequences: Sequences,
    moves: Moves,
    wanted: list[str],
    *,
    max_order: int,
    resamples: int,
    permutations: int,
    journeys: int,
    seed: int,
) -> tuple[dict[str, Any], dict[str, pa.Table]]:
    """What `analysis` returns, for known goals."""
    counts = moves.counts
    chain = Chain.of(moves.names, counts)
    edges, tested = transition_table(moves)
    probability, effects = removal_effects(chain, wanted)
    resampled = [removal_effects(drawn, wanted) for drawn in bootstrap_chains(moves, resamples, seed)] if wanted else []
    low, high = percentiles(np.array([chance for chance, _ in resampled]))
    by_event = np.array([found for _, found in resampled]).reshape(len(resampled), len(chain.names))
    orders = order_table(sequences, max_order, collapsed=tested["collapsed"])
    periods, changing = stationarity(moves, sequences.starts, permutations=permutations, seed=seed)
    goal = chain.mask(wanted)
    ranked = [place for place in np.argsort(-effects, kind="stable").tolist() if effects[place] > 0 and not goal[place]]
    tables = {
        "edges": edges,
        "states": _state_table(moves, chain, effects, by_event),
        "goals": _goal_table(chain, wanted),
        "orders": orders,
        "what_if": what_if_table(
            chain, wanted, [chain.names[place] for place in ranked[:REMOVED]], journeys=journeys, seed=seed
        ),
        "periods": periods,
        "flows": step_flows(sequences),
    }
    held = np.bincount(moves.session, weights=goal[moves.origin]) > 0
    rates = row_entropies(chain.probability)
    figures: dict[str, Any] = {
        "sessions": sequences.sessions,
        "events": len(sequences.codes),
        "actors": int(moves.actor.max()) + 1,
        "event_types": len(moves.names),
        "transitions": tested,
        "entropy_rate": float(stationary(counts) @ rates),
        "entropy_rate_bias": float(((counts > 0).sum() - moves.states) / (2 * counts.sum() * np.log(2))),
        "events_per_session": float(exit_moves(chain)[1][-1] - 1),
        "goals": {
            "names": wanted,
            "probability": probability if wanted else None,
            "interval": [float(low), float(high)] if resampled else None,
            "observed": float(held.mean()) if wanted else None,
        },
        "bic_order": int(np.argmin(orders["bic"].to_numpy())) if orders.num_rows else None,
        "stationarity": changing,
    }
    return figures, tables
