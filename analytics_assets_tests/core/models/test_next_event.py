"""Scoring sees the whole test part once, in order, whatever the batches; a prediction needs no Dagster."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from analytics_assets.core.models import markov
from analytics_assets.core.models.baselines import MostFrequent, RepeatLast
from analytics_assets.core.models.next_event import (
    MIN_PROBABILITY,
    Scores,
    batches,
    one_session,
    predict,
    prediction_rows,
    score,
    score_rows,
    scores_of,
)
from analytics_assets.core.models.sequences import OTHER, Vocabulary
from analytics_assets.schemas import NEXT_EVENT_PREDICTIONS
from analytics_assets_tests.core.models.building import make_sequences, make_task, planted


def test_batches_change_nothing() -> None:
    sequences = planted(40, 1)
    whole = [sequences]
    for size in (1, 7, 50, 10_000):
        parts = list(batches(sequences, size))
        assert np.concatenate([part.codes for part in parts]).tolist() == whole[0].codes.tolist()
        assert sum(len(part.positions) for part in parts) == len(sequences.positions)


def test_predictions_can_be_traced_and_read_back() -> None:
    task = make_task(planted(50, 1), planted(10, 2), planted(10, 3))
    model, _ = markov.fit(task.train, task.validation)
    scores = score(model, task.test)
    rows = prediction_rows(task.test, scores)
    assert rows.column_names == NEXT_EVENT_PREDICTIONS.column_names
    assert rows["uuid"].to_pylist() == [f"e{n}" for n in range(80) if n % 8]
    assert rows["session_key"].to_pylist() == [f"s{n // 8}" for n in range(80) if n % 8]
    again = scores_of(rows, task.vocabulary)
    for field in ("rank", "probability", "predicted", "confidence"):
        assert getattr(again, field).tolist() == getattr(scores, field).tolist()
    named = [name for name in task.vocabulary.names if name != OTHER]
    assert set(rows["predicted_event"].to_pylist()) <= set(named)


def test_an_other_event_is_never_a_hit() -> None:
    scores = score_rows(np.array([[0.1, 0.2, 0.7]]), np.array([2], dtype=np.int32))
    assert scores.hits(5).tolist() == [0]
    assert scores.reciprocal_rank.tolist() == [0]
    assert scores.probability.tolist() == [0.7]
    assert scores.predicted.tolist() == [1]


def test_other_after_other_stands_for_the_same_event_again() -> None:
    chances = np.array([[0.1, 0.2, 0.7]] * 4)
    actual = np.array([2, 2, 0, 2], dtype=np.int32)
    after, repeated = np.array([True, True, True, False]), np.array([True, False, False, False])
    scores = score_rows(chances, actual, after_other=after, repeated=repeated)
    assert scores.hits(1).tolist() == [1, 0, 0, 0]
    assert scores.predicted.tolist() == [2, 2, 2, 1]
    assert scores.rank.tolist() == [1, 11, 3, 11]
    test = make_sequences([["new", "new", "newer", "a"]])
    task = make_task(make_sequences([["a", "b"] * 20]), test, test)
    assert score(RepeatLast.fit(task.train), task.test).hits(1).tolist() == [1, 0, 0]


def test_an_impossible_event_costs_finite_bits() -> None:
    scores = Scores(np.array([2]), np.array([0.0]), np.array([0], dtype=np.int32), np.array([1.0]))
    assert scores.bits.tolist() == [pytest.approx(-np.log2(MIN_PROBABILITY))]


def test_only_unknown_event_types() -> None:
    train = make_sequences([["a", "b"]])
    task = make_task(train, train, train, min_events=5)
    assert task.vocabulary.names == [OTHER]
    scores = score(MostFrequent.fit(task.train), task.test)
    assert scores.hits(1).tolist() == [0]


def test_prediction_of_a_session_so_far() -> None:
    task = make_task(planted(200, 1), planted(20, 2), planted(1, 3))
    model, _ = markov.fit(task.train, task.validation)
    chances = predict(model, ["event 0", "event 1"])
    assert sum(chances.values()) == pytest.approx(1)
    assert max(chances, key=chances.__getitem__) == "event 2"
    assert predict(model, ["never seen"]).keys() == chances.keys()


def test_what_cannot_be_predicted_from_is_named() -> None:
    vocabulary = Vocabulary(["a", OTHER]).names
    with pytest.raises(ValueError, match="needs an event"):
        one_session(vocabulary, [])
    with pytest.raises(ValueError, match="2 events and 1 times"):
        one_session(vocabulary, ["a", "a"], times=[datetime(2024, 1, 1)])
    session = one_session(vocabulary, ["a", "b"], times=[datetime(2024, 1, 1, 5), datetime(2024, 1, 1, 6)], device="x")
    assert session.codes.tolist() == [0, 1, 1]
    assert session.hours.tolist() == [5, 6, 6]
    assert session.device_names == ["x"]
