"""Plain transition counts and their accuracies equal an implementation with dictionaries."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.core.files import write_table
from analytics_assets.core.models import transitions
from analytics_assets.schemas import MARKOV_PREDICTIONS, MARKOV_TRANSITIONS
from analytics_assets_tests.core.models.building import make_sequences

ACCURACIES = (
    "markov1_accuracy",
    "markov1_top3_accuracy",
    "markov2_backoff_accuracy",
    "most_frequent_accuracy",
    "repeat_accuracy",
)
SESSIONS = st.lists(st.lists(st.sampled_from("abcde"), min_size=1, max_size=8), min_size=2, max_size=25)


def best(counts: Counter[str]) -> str:
    return min(counts, key=lambda event: (-counts[event], event))


def plain_scores(sessions: list[list[str]], train: int) -> dict[str, float | None]:
    """Accuracies by dictionaries, as the definitions say."""
    order1: dict[str, Counter[str]] = defaultdict(Counter)
    order2: dict[tuple[str | None, str], Counter[str]] = defaultdict(Counter)
    frequency: Counter[str] = Counter()
    for session in sessions[:train]:
        frequency.update(session)
        for place in range(1, len(session)):
            previous = session[place - 2] if place > 1 else None
            order1[session[place - 1]][session[place]] += 1
            order2[previous, session[place - 1]][session[place]] += 1
    hits: Counter[str] = Counter()
    total = 0
    for session in sessions[train:]:
        for place in range(1, len(session)):
            previous = session[place - 2] if place > 1 else None
            current, actual = session[place - 1], session[place]
            frequent = best(frequency)
            first = best(order1[current]) if order1[current] else frequent
            second = best(order2[previous, current]) if order2[previous, current] else first
            ranked = sorted(order1[current], key=lambda event: (-order1[current][event], event))[:3] or [frequent]
            hits["markov1_accuracy"] += first == actual
            hits["markov1_top3_accuracy"] += actual in ranked
            hits["markov2_backoff_accuracy"] += second == actual
            hits["most_frequent_accuracy"] += frequent == actual
            hits["repeat_accuracy"] += current == actual
            total += 1
    return {name: hits[name] / total if total else None for name in ACCURACIES}


@given(SESSIONS, st.floats(0.1, 0.95))
@settings(deadline=None)
def test_scores_equal_a_plain_implementation(sessions: list[list[str]], share: float) -> None:
    sequences = make_sequences(sessions)
    train = max(1, transitions.train_sessions_of(sequences, share))
    model = transitions.fit(sequences, train)
    metrics, predictions = transitions.evaluate(model, sequences, train)
    assert {name: metrics[name] for name in ACCURACIES} == pytest.approx(plain_scores(sessions, train))
    assert predictions.num_rows == metrics["test_transitions"]


def test_the_share_learned_from_is_rounded_down() -> None:
    sequences = make_sequences([["a", "b"]] * 9)
    assert transitions.train_sessions_of(sequences) == 7
    assert transitions.train_sessions_of(sequences, 0.5) == 4


def test_predictions_are_those_that_are_scored(tmp_path: Path) -> None:
    sequences = make_sequences([list("abcabc"), list("abd"), list("abcab")])
    model = transitions.fit(sequences, 2)
    metrics, predictions = transitions.evaluate(model, sequences, 2)
    rows = predictions.to_pylist()
    assert [row["uuid"] for row in rows] == ["e10", "e11", "e12", "e13"]
    assert {row["session_key"] for row in rows} == {"s2"}
    assert [row["current_event"] for row in rows] == list("abca")
    hits = [row["order1_event"] == row["actual_event"] for row in rows]
    assert sum(hits) / len(hits) == metrics["markov1_accuracy"]
    assert metrics["first_test_session_start"] == "2024-01-01 02:00:00"
    assert metrics["most_frequent_event"] == "a"
    assert write_table(tmp_path / "p.parquet", predictions, MARKOV_PREDICTIONS) == 4


@given(SESSIONS)
@settings(max_examples=30, deadline=None)
def test_published_counts_equal_counting_by_hand(
    tmp_path_factory: pytest.TempPathFactory, sessions: list[list[str]]
) -> None:
    sequences = make_sequences(sessions)
    path = tmp_path_factory.mktemp("counts") / "transitions.parquet"
    transitions.fit(sequences, len(sessions) - 1).save(path)
    plain: Counter[tuple[int, str | None, str, str]] = Counter()
    for session in sessions[:-1]:
        for place in range(1, len(session)):
            plain[1, None, session[place - 1], session[place]] += 1
            plain[2, session[place - 2] if place > 1 else None, session[place - 1], session[place]] += 1
    totals: Counter[tuple[int, str | None, str]] = Counter()
    for (order, previous, current, _), n in plain.items():
        totals[order, previous, current] += n
    rows = pq.read_table(path).to_pylist()
    found = {tuple(row[name] for name in MARKOV_TRANSITIONS.key): row for row in rows}
    assert len(found) == len(rows)
    assert found.keys() == plain.keys()
    for key, row in found.items():
        assert row["transitions"] == plain[key]
        assert row["probability"] == pytest.approx(plain[key] / totals[key[:3]])


def test_order_two_backs_off() -> None:
    train = [list("abcd"), list("abcd"), list("xbe"), list("aaaa")]
    test = [["a", "b", "c"], ["x", "b", "e"], ["d", "b", "c"], ["a", "d", "a"]]
    sequences = make_sequences(train + test)
    _, predictions = transitions.evaluate(transitions.fit(sequences, 4), sequences, 4)
    second = [row["order2_event"] for row in predictions.to_pylist() if row["current_event"] != "a"]
    assert second == ["c", "b", "e", "a", "c", "a"], (
        "after ab, x, xb; d has no successor: the most frequent event; unseen pair db: order 1; ad: the same as d"
    )


def test_shuffled_order_loses_the_structure() -> None:
    """Negative control: a planted cycle is learned; the same events in random order are not."""
    rng = np.random.default_rng(2)
    cycle = [[str((start + step) % 6) for step in range(12)] for start in rng.integers(0, 6, 60)]
    shuffled = [[session[place] for place in rng.permutation(len(session))] for session in cycle]
    scores = []
    for sessions in (cycle, shuffled):
        sequences = make_sequences(sessions)
        scores.append(transitions.evaluate(transitions.fit(sequences, 48), sequences, 48)[0]["markov1_accuracy"])
    assert scores[0] == 1.0
    assert scores[1] < 0.35


def test_later_sessions_do_not_change_what_is_learned(tmp_path: Path) -> None:
    early = [list("abc"), list("abd")]
    for name, later in (("one", [list("abc")]), ("two", [list("cba")])):
        transitions.fit(make_sequences(early + later), 2).save(tmp_path / f"{name}.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


@pytest.mark.parametrize("sessions", [[["a"], ["a"]], [["a"], ["b", "a"]], [["a", "a", "a"], ["a", "a"]]])
def test_tiny_data_has_a_defined_result(sessions: list[list[str]], tmp_path: Path) -> None:
    sequences = make_sequences(sessions)
    model = transitions.fit(sequences, 1)
    metrics, _ = transitions.evaluate(model, sequences, 1)
    assert metrics["markov1_accuracy"] is None or 0 <= metrics["markov1_accuracy"] <= 1
    model.save(tmp_path / "transitions.parquet")
    assert pq.read_table(tmp_path / "transitions.parquet").num_rows == 2 * (len(sessions[0]) > 1) + (
        len(sessions[0]) > 2
    )
