"""Figures equal scikit-learn and plain loops; intervals hold what they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss, recall_score, top_k_accuracy_score

from analytics_assets.core.models.metrics import (
    CALIBRATION_BINS,
    beats,
    calibration_error,
    figures,
    improvement,
    positions_of,
    report,
)
from analytics_assets.core.models.next_event import Scores, score_rows
from analytics_assets_tests.core.models.building import make_sequences, make_task, planted


def random_rows(seed: int, count: int = 400, events: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """Distributions over `events` types and OTHER, and what came (never OTHER)."""
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(events + 1), size=count), rng.integers(events, size=count).astype(np.int32)


def test_accuracies_equal_scikit_learn() -> None:
    chances, actual = random_rows(1)
    scores = score_rows(chances, actual)
    named = chances[:, :-1]
    for top in (1, 3, 5):
        expected = top_k_accuracy_score(actual, named, k=top, labels=range(named.shape[1]))
        assert scores.hits(top).mean() == pytest.approx(expected)
    assert scores.bits.mean() == pytest.approx(log_loss(actual, chances, labels=range(10)) / math.log(2))
    assert scores.predicted.tolist() == named.argmax(axis=1).tolist()


@given(
    st.lists(st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.3]), min_size=4, max_size=4), min_size=1, max_size=20),
    st.data(),
)
@settings(max_examples=100, deadline=None)
def test_ranks_with_ties_equal_a_sort(rows: list[list[float]], data: st.DataObject) -> None:
    chances = np.array(rows)
    actual = np.array([data.draw(st.integers(0, 3)) for _ in rows], dtype=np.int32)
    scores = score_rows(chances, actual)
    for row, came, rank in zip(rows, actual.tolist(), scores.rank.tolist(), strict=True):
        order = sorted(range(3), key=lambda code: (-row[code], code))
        if came == 3:
            assert rank > 10
        else:
            assert rank == order.index(came) + 1


def task_and_scores() -> tuple:
    task = make_task(planted(50, 1), planted(10, 2), planted(60, 3))
    rng = np.random.default_rng(5)
    actual = task.test.codes[task.test.positions]
    chances = rng.dirichlet(np.ones(len(task.vocabulary.names)), size=len(actual))
    return task, score_rows(chances, actual), actual


def test_figures_equal_plain_loops() -> None:
    task, scores, actual = task_and_scores()
    positions = positions_of(task)
    found = figures(scores, positions)
    hits = [rank == 1 for rank in scores.rank.tolist()]
    sessions = task.test.session_of[task.test.positions].tolist()
    by_session: dict[int, list[bool]] = {}
    for session, hit in zip(sessions, hits, strict=True):
        by_session.setdefault(session, []).append(hit)
    assert found["top1"] == pytest.approx(sum(hits) / len(hits))
    assert found["by_session"]["top1"] == pytest.approx(np.mean([np.mean(row) for row in by_session.values()]))
    assert found["mrr10"] == pytest.approx(np.mean([1 / r if r <= 10 else 0 for r in scores.rank.tolist()]))
    assert found["macro_recall"] == pytest.approx(
        recall_score(actual, scores.predicted, average="macro", labels=np.unique(actual), zero_division=0)
    )
    assert found["positions"] == len(hits)
    assert found["sessions"] == len(by_session)
    low, high = found["interval"]["top1"]
    assert low < found["top1"] < high


def test_calibration_error_equals_its_definition() -> None:
    rng = np.random.default_rng(2)
    confidence, hits = rng.random(500), (rng.random(500) < 0.4).astype(float)
    expected = 0.0
    for number in range(CALIBRATION_BINS):
        low, high = number / CALIBRATION_BINS, (number + 1) / CALIBRATION_BINS
        inside = (confidence >= low) & ((confidence < high) | (number == CALIBRATION_BINS - 1))
        if inside.any():
            expected += inside.mean() * abs(hits[inside].mean() - confidence[inside].mean())
    assert calibration_error(confidence, hits) == pytest.approx(expected)
    assert calibration_error(np.ones(10), np.ones(10)) == 0


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Users differ (beta-binomial hits), so an interval over events would cover far less."""
    rng = np.random.default_rng(11)
    sessions = [["a", "b"] * 5 for _ in range(80)]
    actors = [f"user:{number // 2}" for number in range(80)]
    test = make_sequences(sessions, actors=actors)
    positions = positions_of(make_task(test, test, test))
    covered = 0
    for _ in range(200):
        chance = rng.beta(2, 3, size=40)[positions.users]
        hits = rng.random(len(chance)) < chance
        scores = Scores(
            np.where(hits, 1, 2), np.full(len(hits), 0.5), np.zeros(len(hits), dtype=np.int32), np.full(len(hits), 0.5)
        )
        low, high = figures(scores, positions)["interval"]["top1"]
        covered += low <= 0.4 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_slices_divide_the_positions() -> None:
    train = make_sequences([["a", "b", "c", "d"], ["a", "a", "b"]], actors=["user:1", "user:2"])
    test = make_sequences([["a", "b", "c", "d"], ["b", "a", "a"], ["d", "c"]], actors=["user:1", "user:3", "user:1"])
    task = make_task(train, train, test)
    slices = positions_of(task).slices
    assert slices["changes"].tolist() == [True, True, True, True, False, True]
    # Contexts before each position: a; ab; abc; b; ba; d. No training session opens with b or d.
    assert slices["seen_contexts"].tolist() == [True, True, True, False, False, False]
    assert slices["cold_users"].tolist() == [False, False, False, True, True, False]
    assert slices["without_top_actor"].tolist() == [False, False, False, True, True, False]
    assert slices["sessions_of_2_to_4"].all()
    assert not slices["sessions_of_5_to_9"].any()
    assert (slices["seen_contexts"] ^ slices["unseen_contexts"]).all()


def test_a_report_without_positions_is_defined() -> None:
    one = make_sequences([["a"]])
    task = make_task(one, one, one)
    found = report(score_rows(np.zeros((0, 2)), np.zeros(0, dtype=np.int32)), positions_of(task))
    assert (found["positions"], found["sessions"], found["users"]) == (0, 0, 0)
    assert "top1" not in found


def test_improvement_is_paired_and_beats_needs_a_clear_lead() -> None:
    task, scores, actual = task_and_scores()
    positions = positions_of(task)
    perfect = score_rows(np.eye(len(task.vocabulary.names))[actual], actual)
    lead = improvement(perfect, scores, positions)
    assert lead["top1"] == pytest.approx(1 - scores.hits(1).mean())
    assert lead["bits"] == pytest.approx(scores.bits.mean())
    assert beats(lead) and beats(lead, "bits")
    same = improvement(scores, scores, positions)
    assert same["top1"] == 0 and same["top1_interval"] == [0.0, 0.0]
    assert not beats(same)
    assert not beats(improvement(scores, perfect, positions))


def test_the_same_seed_gives_the_same_interval() -> None:
    task, scores, _ = task_and_scores()
    assert report(scores, positions_of(task)) == report(scores, positions_of(task))
