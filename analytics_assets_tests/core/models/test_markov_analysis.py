"""Tables of a chain equal counting by hand, agree with each other, and are defined for tiny logs."""

from __future__ import annotations

from collections import Counter
from math import log, log2
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.core.files import json_bytes, write_table
from analytics_assets.core.models import markov_analysis as analysing
from analytics_assets.core.models import markov_states
from analytics_assets.core.models.markov_states import EXIT, START, Chain, Moves
from analytics_assets.core.models.sequences import OTHER, Vocabulary
from analytics_assets.schemas import Table
from analytics_assets.schemas import markov as schemas
from analytics_assets_tests.core.models.building import make_sequences, planted
from analytics_assets_tests.core.models.chains import SESSIONS, independent

TABLES: dict[str, Table] = {
    "edges": schemas.MARKOV_EDGES,
    "states": schemas.MARKOV_STATES,
    "goals": schemas.MARKOV_GOALS,
    "orders": schemas.MARKOV_ORDERS,
    "what_if": schemas.MARKOV_WHAT_IF,
    "periods": schemas.MARKOV_PERIODS,
    "flows": schemas.MARKOV_FLOWS,
}


@given(SESSIONS)
@settings(max_examples=15, deadline=None)
def test_the_entropy_rate_is_the_code_length_of_the_log(sessions: list[list[str]]) -> None:
    """A chain fitted to a log codes each of its moves with -log2 of its share: the mean is the entropy rate."""
    found, _ = analysing.analysis(make_sequences(sessions), resamples=5, permutations=3, journeys=10)
    pairs = Counter(pair for session in sessions for pair in zip([START, *session], [*session, EXIT], strict=True))
    leaving: Counter[str] = Counter()
    for (before, _), n in pairs.items():
        leaving[before] += n
    bits = sum(-n * log2(n / leaving[before]) for (before, _), n in pairs.items()) / sum(pairs.values())
    assert found["entropy_rate"] == pytest.approx(bits, abs=1e-12)
    assert found["events_per_session"] == pytest.approx(np.mean([len(session) for session in sessions]))


def test_the_bias_of_the_entropy_rate_is_about_what_is_said() -> None:
    """Draws of a small log from a known chain are too low by the stated bias on average."""
    truth = planted(4_000, 1)
    moves = Moves.of(truth)
    exact = markov_states.stationary(moves.counts) @ markov_states.row_entropies(
        Chain.of(moves.names, moves.counts).probability
    )
    gaps, stated = [], []
    for part in range(60):
        small = truth.take(np.arange(part * 60, part * 60 + 60))
        found, _ = analysing.analysis(small, resamples=2, permutations=1, journeys=2)
        gaps.append(exact - found["entropy_rate"])
        stated.append(found["entropy_rate_bias"])
    assert np.mean(gaps) == pytest.approx(np.mean(stated), rel=0.35)


@given(SESSIONS, st.integers(0, 4))
@settings(deadline=None)
def test_information_criterion_equals_counting_by_hand(sessions: list[list[str]], order: int) -> None:
    sequences = make_sequences(sessions)
    table = analysing.order_table(sequences, 4)
    pairs: Counter[tuple[tuple[str, ...], str]] = Counter()
    for session in sessions:
        padded = ["-"] * 5 + session
        for place in range(6, len(padded)):
            pairs[tuple(padded[place - order : place]), padded[place]] += 1
    if not pairs:
        assert table.num_rows == 0
        return
    totals: Counter[tuple[str, ...]] = Counter()
    for (context, _), n in pairs.items():
        totals[context] += n
    likelihood = sum(n * log(n / totals[context]) for (context, _), n in pairs.items())
    events = sum(pairs.values())
    parameters = len(totals) * (len({event for _, event in pairs}) - 1)
    row = table.to_pylist()[order]
    assert (row["contexts"], row["parameters"]) == (len(totals), parameters)
    assert row["bic"] == pytest.approx(-2 * likelihood + parameters * log(events), abs=1e-9)
    assert row["bits"] == pytest.approx(-likelihood / events / log(2), abs=1e-9)


def test_information_criterion_finds_the_planted_order() -> None:
    rng = np.random.default_rng(1)
    memory = []
    for _ in range(200):
        path = [int(event) for event in rng.integers(0, 3, 2)]
        while len(path) < 12:
            path.append((path[-2] + 1) % 3 if rng.random() < 0.8 else int(rng.integers(3)))
        memory.append([str(event) for event in path])
    for sequences, order in (
        (independent(300, 1, collapsed=False), 0),
        (planted(200, 1), 1),
        (make_sequences(memory), 2),
    ):
        bic = analysing.order_table(sequences, 4)["bic"].to_numpy()
        assert int(np.argmin(bic)) == order


@given(SESSIONS, st.integers(1, 3), st.integers(1, 6))
@settings(deadline=None)
def test_flows_are_conserved_and_count_every_session_once(sessions: list[list[str]], nodes: int, steps: int) -> None:
    table = analysing.step_flows(make_sequences(sessions), steps=steps, nodes=nodes).to_pylist()
    assert sum(row["sessions"] for row in table if row["step"] == 0) == len(sessions)
    for step in range(1, steps):
        arriving: Counter[str] = Counter()
        leaving: Counter[str] = Counter()
        for row in table:
            if row["step"] == step - 1 and row["to_event"] != EXIT:
                arriving[row["to_event"]] += row["sessions"]
            if row["step"] == step:
                leaving[row["from_event"]] += row["sessions"]
        assert arriving == leaving
        gone = sum(row["sessions"] for row in table if row["step"] == step and row["to_event"] == EXIT)
        assert gone == sum(len(session) == step for session in sessions)
        named = {row["to_event"] for row in table if row["step"] == step} - {OTHER, EXIT}
        frequent = Counter(session[step] for session in sessions if len(session) > step)
        assert named == set(sorted(frequent, key=lambda event: (-frequent[event], event))[:nodes])


def test_rare_types_and_less_frequent_ones_are_one_node() -> None:
    encoded = Vocabulary(["a", "b", OTHER]).encode(make_sequences([["a"], ["a"], ["b"], ["x"], ["y"], ["y"]]))
    table = analysing.step_flows(encoded, steps=1, nodes=1)
    assert {row["to_event"]: row["sessions"] for row in table.to_pylist()} == {"a": 2, OTHER: 4}


@pytest.mark.parametrize(
    "sessions",
    [
        [["a"]],
        [["a"], ["a"]],
        [["a"], ["b"]],
        [["a", "a", "a"]],
        [["a", "b"], ["b", "a"]],
        [["a", "b", "c"], ["c"]],
        [["a", "b"] * 200],
    ],
    ids=["one event", "one type", "single events", "one run", "two sessions", "two users", "one long session"],
)
def test_tiny_logs_have_defined_results(sessions: list[list[str]], tmp_path: Path) -> None:
    found, tables = analysing.analysis(make_sequences(sessions), permutations=9, journeys=50)
    json_bytes(found)
    assert tables.keys() == TABLES.keys()
    for name, table in tables.items():
        assert table.column_names == TABLES[name].column_names
        assert write_table(tmp_path / f"{name}.parquet", table, TABLES[name]) == table.num_rows
        for column in TABLES[name].columns:
            if not column.nullable:
                assert table[column.name].null_count == 0
            if column.type == "float64":
                assert not np.isnan(table[column.name].drop_null().to_numpy()).any()
    assert sum(tables["states"]["occurrences"].to_pylist()) == sum(map(len, sessions))


def test_the_whole_analysis_is_consistent_and_repeatable(tmp_path: Path) -> None:
    sequences = planted(120, 4)
    settings = {"goals": ["event 4"], "resamples": 60, "permutations": 19, "journeys": 4_000}
    found, tables = analysing.analysis(sequences, **settings)
    again, same = analysing.analysis(sequences, **settings)
    assert json_bytes(found) == json_bytes(again)
    for name, table in tables.items():
        assert same[name].equals(table)
        rows = table.select(TABLES[name].key).to_pylist()
        assert len({tuple(row.values()) for row in rows}) == len(rows)
        write_table(tmp_path / f"{name}.parquet", table, TABLES[name])
    goals = found["goals"]
    start = next(row for row in tables["goals"].to_pylist() if row["from_event"] == START)
    assert goals["probability"] == pytest.approx(start["probability"])
    assert goals["interval"][0] < goals["probability"] < goals["interval"][1]
    held = [
        "event 4" in {sequences.vocabulary[code] for code in sequences.codes[start:end]}
        for start, end in zip(sequences.offsets[:-1], sequences.offsets[1:], strict=True)
    ]
    assert goals["observed"] == np.mean(held)
    base, *cases = tables["what_if"].to_pylist()
    assert base["goal_rate_exact"] == pytest.approx(goals["probability"])
    effects = {row["event"]: row for row in tables["states"].to_pylist()}
    for case in cases:
        if case["reading"] == "exit":
            lost = 1 - case["goal_rate_exact"] / base["goal_rate_exact"]
            assert lost == pytest.approx(effects[case["removed_event"]]["removal_effect"])
        exact = case["goal_rate_exact"] - base["goal_rate_exact"]
        half = case["goal_rate_change"] - case["goal_rate_change_low"]
        assert abs(case["goal_rate_change"] - exact) <= 2.3 * half
        assert case["goal_rate_change_high"] - case["goal_rate_change"] == pytest.approx(half)
        spread = sum(row["goal_rate"] * (1 - row["goal_rate"]) / row["journeys"] for row in (case, base))
        assert half == pytest.approx(1.959964 * np.sqrt(spread))
    for row in effects.values():
        assert row["removal_effect_low"] - 1e-9 <= row["removal_effect"] <= row["removal_effect_high"] + 1e-9
    first = sum(row["entry_probability"] * (1 + row["events_to_exit"]) for row in effects.values())
    assert first == pytest.approx(found["events_per_session"])
    assert base["events_exact"] == pytest.approx(found["events_per_session"])
    assert sum(row["credit"] for row in effects.values()) == pytest.approx(1)
    assert sum(row["time_share"] for row in effects.values()) == pytest.approx(1)


def test_contexts_have_one_parameter_less_where_nothing_follows_itself() -> None:
    found, tables = analysing.analysis(independent(100, 1), resamples=2, permutations=1, journeys=2)
    assert found["transitions"]["collapsed"]
    zero, *longer = tables["orders"].to_pylist()
    assert zero["parameters"] == 4
    assert [row["parameters"] for row in longer] == [3 * row["contexts"] for row in longer]


def test_bad_questions_are_answered_clearly() -> None:
    with pytest.raises(ValueError, match="goals that are no event types of the sessions: 'x'"):
        analysing.analysis(make_sequences([["a", "b"]]), goals=["x"])
    nothing = make_sequences([["a", "b"]]).take(np.array([], dtype=np.int64))
    with pytest.raises(ValueError, match="no session"):
        analysing.analysis(nothing)


def test_a_goal_that_never_happens_is_not_reached() -> None:
    encoded = Vocabulary(["a", "b", "never", OTHER]).encode(make_sequences([list("ab"), list("ba")]))
    found, tables = analysing.analysis(encoded, goals=["never"], permutations=3, journeys=20)
    assert found["goals"]["probability"] == 0
    assert found["goals"]["observed"] == 0
    assert set(tables["states"]["removal_effect"].to_pylist()) == {None}
