"""The leaderboard's figures equal a plain computation, and nothing sabotaged or merely dearer is ever crowned."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from analytics_assets.core.files import write_table
from analytics_assets.core.models import baselines, markov
from analytics_assets.core.models.leaderboard import LADDER, MODELS, leaderboard
from analytics_assets.core.models.metrics import positions_of
from analytics_assets.core.models.next_event import Scores, Task, score, score_rows
from analytics_assets.schemas.leaderboard import NEXT_EVENT_LEADERBOARD
from analytics_assets_tests.core.models.building import make_sequences, make_task, planted


@pytest.fixture(scope="module")
def task() -> Task:
    return make_task(planted(300, 1), planted(40, 2), planted(200, 3))


@pytest.fixture(scope="module")
def scored(task: Task) -> dict[str, Scores]:
    found = {name: score(kind.fit(task.train), task.test) for name, kind in baselines.BASELINES.items()}
    found["markov_order1"] = score(markov.fit(task.train, task.validation, max_order=1)[0], task.test)
    return found


def truth(task: Task) -> np.ndarray:
    """Distributions of the rule that made the sessions."""
    places = task.test.positions
    chances = np.zeros((len(places), len(task.vocabulary.names)))
    current = task.test.codes[places - 1]
    chances[:, :5] = 0.3 / 5
    chances[np.arange(len(places)), (current + 1) % 5] += 0.7
    return chances


def actual(task: Task) -> np.ndarray:
    return task.test.codes[task.test.positions]


def rows_of(table: pa.Table) -> dict[str, dict[str, object]]:
    return {row["rung"]: row for row in table.to_pylist()}


def test_rows_are_in_ladder_order_and_fit_the_declared_table(task, scored, tmp_path):
    costs = {"most_frequent": {"train_seconds": 0.5, "microseconds_per_prediction": 2.0, "model_bytes": None}}
    table, details = leaderboard(task, scored, costs, positions_of(task))
    assert table["rung"].to_pylist() == [rung for rung in LADDER if rung in scored]
    assert write_table(tmp_path / "board.parquet", table, NEXT_EVENT_LEADERBOARD) == len(scored)
    rows = rows_of(table)
    assert rows["most_frequent"]["train_seconds"] == 0.5
    assert rows["repeat_last"]["train_seconds"] is None
    assert sorted(row["rank"] for row in rows.values()) == list(range(1, len(scored) + 1))
    assert "seconds" not in json.dumps(details, allow_nan=False)


def test_figures_equal_a_plain_computation(task, scored):
    model = score_rows(truth(task), actual(task))
    table, details = leaderboard(task, {**scored, "lstm_next_event": model}, {}, positions_of(task))
    row = rows_of(table)["lstm_next_event"]
    came, places = actual(task), task.test.positions
    right = [int(np.argmax(chances)) == event for chances, event in zip(truth(task), came, strict=True)]
    assert row["top1"] == pytest.approx(np.mean(right))
    assert row["bits"] == pytest.approx(np.mean([-np.log2(p[e]) for p, e in zip(truth(task), came, strict=True)]))
    by_session: dict[int, list[bool]] = {}
    for session, hit in zip(task.test.session_of[places], right, strict=True):
        by_session.setdefault(int(session), []).append(hit)
    assert row["session_top1"] == pytest.approx(np.mean([np.mean(hits) for hits in by_session.values()]))
    assert row["top1_low"] < row["top1"] < row["top1_high"]
    simpler = max((rung for rung in LADDER if rung in scored), key=lambda name: scored[name].hits(1).mean())
    assert row["best_simpler_rung"] == simpler
    assert row["improvement_top1"] == pytest.approx(np.mean(right) - scored[simpler].hits(1).mean())
    recall = {entry["event"]: entry["lstm_next_event"] for entry in details["recall"]}
    for code, name in enumerate(task.vocabulary.names[:-1]):
        assert recall[name] == pytest.approx(np.mean([hit for hit, e in zip(right, came, strict=True) if e == code]))
    assert details["agreement"]["lstm_next_event"]["repeat_last"] == pytest.approx(
        np.mean(model.predicted == scored["repeat_last"].predicted)
    )


def test_a_model_that_is_clearly_better_is_champion(task, scored):
    weak = {name: scored[name] for name in ("most_frequent", "repeat_last")}
    board = {**weak, "xgboost_next_event": score_rows(truth(task), actual(task))}
    table, details = leaderboard(task, board, {}, positions_of(task))
    row = rows_of(table)["xgboost_next_event"]
    assert row["is_champion"] and details["champion"] == "xgboost_next_event"
    assert row["beats_most_frequent"] and row["beats_repeat_last"] and row["beats_best_simpler"]


@pytest.mark.parametrize("seed", range(5))
def test_a_sabotaged_model_is_never_crowned(task, scored, seed):
    shuffled = np.random.default_rng(seed).permutation(truth(task))
    board = {**scored, "lstm_next_event": score_rows(shuffled, actual(task))}
    table, details = leaderboard(task, board, {}, positions_of(task))
    row = rows_of(table)["lstm_next_event"]
    assert not row["is_champion"] and not row["beats_best_simpler"]
    assert details["champion"] in scored
    assert row["improvement_top1"] < -0.3


def test_a_model_that_is_better_by_accident_gives_way_to_the_simpler_rung(task, scored):
    order1 = scored["markov_order1"]
    lucky = order1.rank.copy()
    miss = np.flatnonzero(lucky > 1)[0]
    lucky[miss] = 1
    board = {**scored, "markov_chain": order1, "xgboost_next_event": replace(order1, rank=lucky)}
    table, details = leaderboard(task, board, {}, positions_of(task))
    rows = rows_of(table)
    assert rows["xgboost_next_event"]["rank"] == 1
    assert details["champion"] == "markov_order1" and rows["markov_order1"]["is_champion"]
    assert sum(row["is_champion"] for row in rows.values()) == 1


def test_champion_gives_way_step_by_step(task, scored):
    """A model that no better than another model gives way to it, and that one stays if it is clearly better itself."""
    good = score_rows(truth(task), actual(task))
    board = {"most_frequent": scored["most_frequent"], "markov_chain": good, "lstm_next_event": good}
    _, details = leaderboard(task, board, {}, positions_of(task))
    assert details["champion"] == "markov_chain"


def test_share_of_the_ceiling_is_over_known_positions(task, scored):
    best = score_rows(truth(task), actual(task))
    known = np.arange(len(best.rank)) % 3 == 0
    table, details = leaderboard(task, scored, {}, positions_of(task), best, known)
    rows = rows_of(table)
    for name, scores in scored.items():
        expected = (scores.rank[known] == 1).sum() / (best.rank[known] == 1).sum()
        assert rows[name]["share_of_ceiling"] == pytest.approx(expected)
    assert details["ceiling"]["positions"] == known.sum()
    nowhere, _ = leaderboard(task, scored, {}, positions_of(task), best, np.zeros(len(known), dtype=bool))
    assert nowhere["share_of_ceiling"].to_pylist() == [None] * len(scored)
    without, found = leaderboard(task, scored, {}, positions_of(task))
    assert without["share_of_ceiling"].to_pylist() == [None] * len(scored) and found["ceiling"] is None


def test_slices_hold_every_rung(task, scored):
    positions = positions_of(task)
    _, details = leaderboard(task, scored, {}, positions)
    assert set(details["slices"]) == set(positions.slices)
    changes = positions.slices["changes"]
    assert details["slices"]["changes"]["repeat_last"]["top1"] == 0.0
    assert details["slices"]["changes"]["markov_order1"]["top1"] == pytest.approx(
        scored["markov_order1"].hits(1)[changes].mean()
    )


def test_the_first_rung_has_nothing_below_it(task, scored):
    row = rows_of(leaderboard(task, scored, {}, positions_of(task))[0])["most_frequent"]
    assert row["best_simpler_rung"] is None and row["improvement_top1"] is None
    assert row["beats_best_simpler"] is None and row["beats_most_frequent"] is None
    assert row["beats_repeat_last"] is not None


def test_without_a_position_nobody_is_champion():
    train = planted(30, 1)
    task = make_task(train, planted(5, 2), make_sequences([["event 1"], ["event 2"]]))
    rungs = {name: score(kind.fit(task.train), task.test) for name, kind in baselines.BASELINES.items()}
    table, details = leaderboard(task, rungs, {}, positions_of(task))
    assert details["champion"] is None and not any(table["is_champion"].to_pylist())
    assert table["top1"].to_pylist() == [None] * len(rungs) and table["positions"].to_pylist() == [0] * len(rungs)
    json.dumps(details, allow_nan=False)


def test_unknown_rungs_and_other_positions_are_refused(task, scored):
    with pytest.raises(ValueError, match="no rung is called oracle"):
        leaderboard(task, {"oracle": scored["repeat_last"]}, {}, positions_of(task))
    short = score_rows(truth(task)[:5], actual(task)[:5])
    with pytest.raises(ValueError, match="other positions"):
        leaderboard(task, {"repeat_last": short}, {}, positions_of(task))


def test_every_model_is_a_rung():
    assert set(MODELS) <= set(LADDER)
