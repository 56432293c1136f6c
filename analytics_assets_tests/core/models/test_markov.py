"""The Markov chain equals a plain implementation with dictionaries, and its artefact predicts the same."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_assets.core.files import write_table
from analytics_assets.core.models import markov
from analytics_assets.core.models.sequences import Sequences
from analytics_assets.schemas import MARKOV_PREDICTIONS


def as_sequences(sessions: list[list[str]]) -> Sequences:
    vocabulary = sorted({event for session in sessions for event in session})
    flat = [event for session in sessions for event in session]
    return Sequences(
        codes=np.array([vocabulary.index(event) for event in flat], dtype=np.int32),
        offsets=np.cumsum([0, *map(len, sessions)]).astype(np.int64),
        vocabulary=vocabulary,
        uuids=pa.chunked_array([pa.array([f"e{place}" for place in range(len(flat))], pa.string())]),
        session_keys=pa.chunked_array(
            [pa.array([f"s{number}" for number, session in enumerate(sessions) for _ in session], pa.string())]
        ),
        starts=[f"2024-01-{number + 1:02d}" for number in range(len(sessions))],
    )


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
    names = (
        "markov1_accuracy",
        "markov1_top3_accuracy",
        "markov2_backoff_accuracy",
        "most_frequent_accuracy",
        "repeat_accuracy",
    )
    return {name: hits[name] / total if total else None for name in names}


@given(
    st.lists(st.lists(st.sampled_from("abcde"), min_size=1, max_size=8), min_size=2, max_size=25),
    st.floats(0.1, 0.95),
)
def test_scores_equal_a_plain_implementation(sessions: list[list[str]], share: float) -> None:
    sequences = as_sequences(sessions)
    train = max(1, sequences.train_sessions(share))
    model = markov.fit(sequences, train)
    metrics, predictions = markov.evaluate(model, sequences, train)
    assert {name: metrics[name] for name in plain_scores(sessions, train)} == pytest.approx(
        plain_scores(sessions, train)
    )
    assert predictions.num_rows == metrics["test_transitions"]


def test_predictions_are_those_that_are_scored(tmp_path: Path) -> None:
    sequences = as_sequences([list("abcabc"), list("abd"), list("abcab")])
    model = markov.fit(sequences, 2)
    metrics, predictions = markov.evaluate(model, sequences, 2)
    rows = predictions.to_pylist()
    assert [row["uuid"] for row in rows] == ["e10", "e11", "e12", "e13"]
    hits = [row["order1_event"] == row["actual_event"] for row in rows]
    assert sum(hits) / len(hits) == metrics["markov1_accuracy"]
    assert write_table(tmp_path / "p.parquet", predictions, MARKOV_PREDICTIONS) == 4


def test_a_saved_model_predicts_the_same(tmp_path: Path) -> None:
    sequences = as_sequences([list("abcabc"), list("bad"), list("abcab"), ["c"]])
    model = markov.fit(sequences, 3)
    model.save(tmp_path)
    again = markov.MarkovChain.load(tmp_path)
    for sequence in (["a"], ["a", "b"], ["d"], ["b", "a"], ["x", "a"], ["x"], []):
        assert again.predict(sequence) == model.predict(sequence)


def test_prediction_backs_off() -> None:
    sequences = as_sequences([list("abcd"), list("abcd"), list("xbe"), list("aaaa")])
    model = markov.fit(sequences, 4)
    assert model.predict(["a", "b"]) == {"c": 1.0}
    assert model.predict(["x", "b"]) == {"e": 1.0}
    assert model.predict(["d", "b"]) == pytest.approx({"c": 2 / 3, "e": 1 / 3}), "unseen pair: order 1"
    assert model.predict(["a", "d"]) == {"a": 1.0}, "d has no successor: the most frequent event"
    assert model.predict(["new"]) == {"a": 1.0}


def test_distributions_sum_to_one() -> None:
    rng = np.random.default_rng(1)
    sequences = as_sequences([[str(event) for event in rng.integers(0, 6, 30)] for _ in range(20)])
    model = markov.fit(sequences, 20)
    for first in sequences.vocabulary:
        for second in sequences.vocabulary:
            assert sum(model.predict([first, second]).values()) == pytest.approx(1)


def test_shuffled_order_loses_the_structure() -> None:
    """Negative control: a planted cycle is learned; the same events in random order are not."""
    rng = np.random.default_rng(2)
    cycle = [[str((start + step) % 6) for step in range(12)] for start in rng.integers(0, 6, 60)]
    shuffled = [[session[place] for place in rng.permutation(len(session))] for session in cycle]
    scores = []
    for sessions in (cycle, shuffled):
        sequences = as_sequences(sessions)
        scores.append(markov.evaluate(markov.fit(sequences, 48), sequences, 48)[0]["markov1_accuracy"])
    assert scores[0] == 1.0
    assert scores[1] < 0.35


@pytest.mark.parametrize("sessions", [[["a"], ["a"]], [["a"], ["b", "a"]], [["a", "a", "a"], ["a", "a"]]])
def test_tiny_data_has_a_defined_result(sessions: list[list[str]], tmp_path: Path) -> None:
    sequences = as_sequences(sessions)
    model = markov.fit(sequences, 1)
    metrics, _ = markov.evaluate(model, sequences, 1)
    assert metrics["markov1_accuracy"] is None or 0 <= metrics["markov1_accuracy"] <= 1
    model.save(tmp_path)
    assert markov.MarkovChain.load(tmp_path).predict(["a"]) == model.predict(["a"])
