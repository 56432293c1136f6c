"""XGBoost's next-event model: features against brute force, no leak, known optimum, artefact, explanations."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.core.models import (
    markov,
    xgboost_features,
    xgboost_figures,
    xgboost_history,
    xgboost_next,
    xgboost_reports,
    xgboost_training,
)
from analytics_assets.core.models.metrics import beats, improvement, positions_of
from analytics_assets.core.models.next_event import Task, predict, score, score_rows
from analytics_assets.core.models.sequences import Sequences, Vocabulary
from analytics_assets.core.models.xgboost_features import ACTOR_PRIOR, Past, Rows, Specification, rows
from analytics_assets.core.models.xgboost_history import Before, Counted, History, folds
from analytics_assets.core.models.xgboost_next import XgboostNext
from analytics_assets.core.models.xgboost_reports import explain
from analytics_assets.core.models.xgboost_training import Grouped, fit, sample
from analytics_assets_tests.core.models.building import DAY, make_sequences, make_task, planted

LATER = [datetime(2024, 3, 1, 12)]
"""When a session begins that comes after all made ones."""

QUICK = {"rounds": 30, "multiclass_rounds": 8, "max_order": 2, "threads": 1}


def small(seed: int, sessions: int = 25, events: int = 4) -> Sequences:
    """Sessions of random events, some of which overlap the actor's next one."""
    rng = np.random.default_rng(seed)
    paths = [[f"e{code}" for code in rng.integers(events, size=rng.integers(1, 8))] for _ in range(sessions)]
    found = make_sequences(
        paths,
        actors=[f"user:{number}" for number in rng.integers(3, size=sessions)],
        devices=[("Mac", "Linux", "")[number] for number in rng.integers(3, size=sessions)],
        gap_seconds=37,
        between=100_000_000,
    )
    return Vocabulary.fit(found, 1).encode(found)


def described(sequences: Sequences, history: History | None = None, **settings: int) -> tuple[Specification, Rows]:
    wanted = {"classes": 60, "candidates": 20, "with_hmm": False} | settings
    specification = Specification.of(sequences, **wanted)
    past = Past.of(sequences, history or History.empty())
    counted = Counted.of(sequences, [2.0, 5.0])
    return specification, Rows.joined(list(rows(specification, counted, past)))


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=30),
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 10)), min_size=1, max_size=10),
)
def test_records_before_a_moment_are_those_found_by_looking_at_all(records, queries):
    keys, moments = (np.array([record[part] for record in records], dtype=np.int64) for part in (0, 1))
    before = Before.of(keys, moments, 11)
    asked = np.array(queries, dtype=np.int64)
    counted, latest = before.count(asked[:, 0], asked[:, 1]), before.latest(asked[:, 0], asked[:, 1])
    for (key, moment), count, record in zip(queries, counted, latest, strict=True):
        fitting = [(m, place) for place, (k, m) in enumerate(records) if k == key and m < moment]
        assert count == len(fitting)
        assert record == (max(fitting)[1] if fitting else -1)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_features_equal_a_plain_computation(seed):
    sequences = small(seed)
    specification, found = described(sequences)
    columns = {feature.name: place for place, feature in enumerate(specification.reranker)}
    width = found.context.shape[1]
    chain = Counted.of(sequences, [2.0, 5.0]).chain
    offsets, codes = sequences.offsets, sequences.codes
    for row, place in enumerate(sequences.positions.tolist()):
        session = int(np.searchsorted(offsets, place, side="right") - 1)
        so_far = codes[offsets[session] : place].tolist()
        start, actor = sequences.starts[session], sequences.actors[session]
        earlier = [s for s in range(sequences.sessions) if sequences.actors[s] == actor and sequences.ends[s] < start]
        paths = [codes[offsets[s] : offsets[s + 1]].tolist() for s in earlier]
        seen = Counter(code for path in paths for code in path)
        steps = Counter(pair for path in paths for pair in pairwise(path))
        own = dict(zip(columns, found.context[row], strict=False))
        assert own["position"] == len(so_far)
        assert own["distinct_events"] == len(set(so_far))
        assert own["current_count"] == so_far.count(so_far[-1])
        assert own["last_1"] == so_far[-1] and own["entry"] == so_far[0]
        assert np.isnan(own["last_3"]) if len(so_far) < 3 else own["last_3"] == so_far[-3]
        assert own["gap"] == pytest.approx(math.log(38)) if len(so_far) > 1 else np.isnan(own["gap"])
        assert own["elapsed"] == pytest.approx(math.log1p(37 * (len(so_far) - 1)))
        assert own["earlier_sessions"] == pytest.approx(math.log1p(len(earlier)))
        assert own["earlier_events"] == pytest.approx(math.log1p(seen.total()))
        if earlier:
            latest = max(earlier, key=lambda s: sequences.ends[s])
            idle = (start - sequences.ends[latest]) / 1e6
            assert own["since_last_session"] == pytest.approx(math.log1p(idle), rel=1e-5)
            assert own["last_session_exit"] == codes[offsets[latest + 1] - 1]
            assert own["last_session_entry"] == codes[offsets[latest]]
        else:
            assert np.isnan(own["since_last_session"]) and np.isnan(own["last_session_exit"])
        device = sequences.device_names[sequences.devices[session]]
        expected = specification.devices.index(device) if device else np.nan
        np.testing.assert_equal(own["device"], np.float32(expected))
        names = list(columns)[width:]
        for number, code in enumerate(found.found[row].tolist()):
            candidate = dict(zip(names, found.candidate[row, number], strict=True))
            assert candidate["candidate"] == code and candidate["chain_rank"] == number
            assert candidate["count_so_far"] == so_far.count(code)
            back = so_far[::-1].index(code) + 1 if code in so_far else np.nan
            np.testing.assert_equal(candidate["steps_since"], np.float32(back))
            pairs = list(pairwise(so_far))
            assert candidate["followed_so_far"] == pairs.count((so_far[-1], code))
            share = (seen[code] + ACTOR_PRIOR * chain.base[code]) / (seen.total() + ACTOR_PRIOR)
            assert candidate["actor_lift"] == pytest.approx(math.log(share / chain.base[code]), abs=1e-5)
            assert candidate["actor_follows"] == steps[so_far[-1], code]
            left = sum(count for (first, _), count in steps.items() if first == so_far[-1])
            chance = found.chain[row, code]
            follows = (steps[so_far[-1], code] + ACTOR_PRIOR * chance) / (left + ACTOR_PRIOR)
            assert candidate["actor_follows_lift"] == pytest.approx(math.log(follows / chance), abs=1e-4)
        assert found.actual[row] == codes[place]


def test_remembered_sessions_count_as_given_ones_and_none_twice():
    sequences = small(5, sessions=40)
    first, second = (sequences.take(np.arange(low, high)) for low, high in ((0, 25), (25, 40)))
    _, whole = described(sequences)
    specification = Specification.of(sequences, classes=60, candidates=20, with_hmm=False)
    counted = Counted.of(sequences, [2.0, 5.0])
    tail = len(second.positions)
    for history in (History.of(first), History.of(first).added(second), History.of(sequences)):
        later = Rows.joined(list(rows(specification, counted, Past.of(second, history))))
        np.testing.assert_array_equal(later.context, whole.context[-tail:])
        np.testing.assert_array_equal(later.candidate, whole.candidate[-tail:])
        np.testing.assert_array_equal(later.shares, whole.shares[-tail:])


def test_an_actor_without_a_name_has_no_history():
    sequences = make_sequences([["a", "b"], ["a", "b"]], actors=["", ""], between=DAY)
    specification, found = described(Vocabulary.fit(sequences, 1).encode(sequences))
    place = [feature.name for feature in specification.context].index("earlier_sessions")
    assert found.context[:, place].tolist() == [0, 0]


def test_a_training_row_is_not_among_its_own_counts():
    """The pair x -> y occurs once in all of training: its own row must see a chain that never saw it."""
    common = [["a", "b", "a", "b"]] * 20
    sequences = make_sequences([*common[:10], ["x", "y"], *common[10:], ["a", "x"], ["a", "y"]])
    sequences = Vocabulary.fit(sequences, 1).encode(sequences)
    specification = Specification.of(sequences, classes=60, candidates=20, with_hmm=False)
    everything = np.ones(len(sequences.positions), dtype=bool)
    found = xgboost_training.training_rows(sequences, [1.0], specification, chosen=everything, hmm=None)
    np.testing.assert_array_equal(found.actual, sequences.codes[sequences.positions])
    x, y = sequences.vocabulary.index("x"), sequences.vocabulary.index("y")
    row = int(np.flatnonzero(sequences.codes[sequences.positions - 1] == x)[0])
    low, high = next(bounds for bounds in folds(sequences) if bounds[0] <= 10 < bounds[1])
    others = sequences.take(np.array([s for s in range(sequences.sessions) if not low <= s < high]))
    share = (np.count_nonzero(others.codes == y) + 1 / 5) / (len(others.codes) + 1)
    assert found.chain[row, y] == pytest.approx(share)
    assert Counted.of(sequences, [1.0]).chain.distributions(sequences)[row, y] > 10 * share


def test_counts_with_chosen_strengths_are_the_fitted_chain():
    train, validation = small(1, sessions=60), small(2, sessions=20)
    chain, choice = markov.fit(train, validation, max_order=3)
    counted = Counted.of(train, choice["strengths"][: len(chain.orders)])
    np.testing.assert_array_equal(counted.chain.distributions(validation), chain.distributions(validation))
    np.testing.assert_allclose(counted.first.sum(axis=1), 1)


def test_folds_divide_the_sessions():
    sequences = small(1, sessions=23)
    assert [session for low, high in folds(sequences) for session in range(low, high)] == list(range(23))
    assert folds(small(1, sessions=2)) and folds(sequences.take(np.arange(0))) == []


@given(st.integers(1, 60), st.integers(1, 6), st.integers(0, 9))
@settings(max_examples=30)
def test_samples_keep_their_limits(limit, per_session, seed):
    sequences = small(seed)
    chosen = sample(sequences, limit, per_session, np.random.default_rng(seed))
    session = sequences.session_of[sequences.positions]
    fitting = np.minimum(np.bincount(session, minlength=1), per_session).sum()
    assert chosen.sum() == min(limit, fitting)
    assert np.bincount(session[chosen], minlength=1).max() <= per_session


def test_objective_is_the_derivative_of_the_likelihood():
    rng = np.random.default_rng(0)
    margins, came = rng.normal(size=(4, 3)), np.array([0, 2, 1, 1])
    gradient, curvature = Grouped(came, 3).objective(margins.ravel().astype(np.float32), None)

    def loss(values: np.ndarray) -> float:
        return float(sum(np.log(np.exp(row).sum()) - row[place] for row, place in zip(values, came, strict=True)))

    for place in np.ndindex(4, 3):
        up, down = margins.copy(), margins.copy()
        up[place] += 1e-4
        down[place] -= 1e-4
        flat = place[0] * 3 + place[1]
        assert gradient[flat] == pytest.approx((loss(up) - loss(down)) / 2e-4, abs=1e-5)
        assert curvature[flat] == pytest.approx((loss(up) - 2 * loss(margins) + loss(down)) / 1e-8, abs=1e-3)
    name, measured = Grouped(came, 3).measure(margins.ravel().astype(np.float32), None)
    assert name == "bits" and measured == pytest.approx(loss(margins) / 4 / math.log(2), rel=1e-5)


def habits(count: int, seed: int, start: int = 0) -> Sequences:
    """Sessions of actors of two kinds: over six events, one kind goes one step on, the other two, with chance 0.9."""
    rng = np.random.default_rng(seed)
    paths, actors = [], []
    for _ in range(count):
        user = int(rng.integers(20))
        state = int(rng.integers(6))
        path = [state]
        for _ in range(3):
            state = (state + 1 + user % 2) % 6 if rng.random() < 0.9 else int(rng.integers(6))
            path.append(state)
        paths.append([f"e{code}" for code in path])
        actors.append(f"user:{user:02d}")
    found = make_sequences(paths, actors=actors)
    shift = start * 3_600_000_000
    return replace(found, times=found.times + shift, starts=found.starts + shift, ends=found.ends + shift)


@pytest.fixture(scope="module")
def habit_task() -> Task:
    return make_task(habits(500, 1), habits(80, 2, 500), habits(200, 3, 580))


@pytest.fixture(scope="module")
def fitted(habit_task: Task) -> tuple[XgboostNext, dict]:
    return fit(habit_task.train, habit_task.validation, **QUICK)


def test_the_actors_past_is_learned_from(habit_task, fitted):
    """At a session's second event the chain cannot know the actor's kind; the past can."""
    model, training = fitted
    chain, _ = markov.fit(habit_task.train, habit_task.validation, max_order=2)
    positions = positions_of(habit_task)
    mine, simpler = score(model, habit_task.test), score(chain, habit_task.test)
    gained = improvement(mine, simpler, positions)
    assert beats(gained) and beats(gained, "bits")
    assert mine.hits(1).mean() > 0.85, "the optimum is 0.917"
    assert training["importance"]["actor's history"] > 0.1
    assert training["importance"]["device"] == 0.0


def test_both_forms_are_distributions_and_measured(habit_task, fitted):
    model, training = fitted
    for published in ("reranker", "multiclass"):
        chances = replace(model, published=published).distributions(habit_task.test)
        assert chances.shape == (len(habit_task.test.positions), len(model.vocabulary))
        np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-9)
        assert (chances >= 0).all()
    figures = training["validation"]
    assert set(figures) == {"markov_chain", "reranker", "multiclass", "published"}
    assert figures["published"]["bits"] <= min(figures[name]["bits"] for name in figures) + 1e-12
    assert training["published"] in ("reranker", "multiclass")
    json.dumps(training, allow_nan=False)


def test_known_optimum_is_approached():
    task = make_task(planted(500, 1), planted(80, 2), planted(300, 3))
    model, _ = fit(task.train, task.validation, **QUICK)
    assert score(model, task.test).hits(1).mean() > 0.73, "the optimum is 0.76"


@pytest.mark.parametrize("seed", [1, 2])
def test_shuffled_order_falls_to_chance(seed):
    def shuffled(sequences: Sequences) -> Sequences:
        return replace(sequences, codes=np.random.default_rng(seed).permutation(sequences.codes))

    task = make_task(shuffled(planted(400, 1)), shuffled(planted(80, 2)), planted(300, 3))
    model, training = fit(task.train, task.validation, **QUICK)
    scores = score(model, task.test)
    assert scores.hits(1).mean() < 0.3, "chance is 0.2, the optimum of the unshuffled order 0.76"
    assert scores.bits.mean() > math.log2(5) - 0.05
    assert training["validation"]["published"]["bits"] > math.log2(5) - 0.05


def test_shuffled_answers_fall_to_chance(habit_task):
    """Labels exchanged between rows: nothing but the shares of events is left to learn."""
    specification, found = described(habit_task.train, candidates=7)
    mixed = replace(found, actual=np.random.default_rng(1).permutation(found.actual))
    parameters = {**xgboost_training.PARAMETERS, "max_depth": 4, "eta": 0.1, "nthread": 1, "seed": 1}
    taught, _ = xgboost_training.boost_reranker(mixed, None, specification, parameters, 40)
    model = XgboostNext(
        specification, Counted.of(habit_task.train, [2.0, 5.0]), History.empty(), taught, taught, "reranker", 0.0
    )
    chances = model.formed(found, "reranker")
    assert score_rows(found.chain, found.actual).hits(1).mean() > 0.7
    assert score_rows(chances, found.actual).hits(1).mean() < 0.25, (
        "chance is 0.17: boosting unlearned what the chain knew"
    )


def test_predictions_rest_on_what_came_before_only(habit_task, fitted):
    """Cutting sessions off, and changing what comes after, leaves the distributions of earlier positions alone."""
    model, _ = fitted
    test = habit_task.test
    whole = model.distributions(test)
    place = np.arange(len(test.codes)) - np.repeat(test.offsets[:-1], test.lengths)
    changed = replace(test, codes=np.where(place == 3, (test.codes + 1) % 6, test.codes).astype(np.int32))
    last_session = test.take(np.array([test.sessions - 1]))
    changed_last = changed.take(np.array([test.sessions - 1]))
    rows_at = len(last_session.positions)
    np.testing.assert_array_equal(model.distributions(last_session), model.distributions(changed_last))
    first = test.take(np.arange(150))
    np.testing.assert_array_equal(model.distributions(first), whole[: len(first.positions)])
    assert rows_at == 3


def test_test_sessions_play_no_part_in_the_fit(habit_task, fitted, tmp_path):
    corrupted = replace(habit_task.test, codes=np.zeros_like(habit_task.test.codes))
    again, training = fit(habit_task.train, habit_task.validation, **QUICK)
    again.distributions(corrupted)
    fitted[0].save(tmp_path / "one")
    again.save(tmp_path / "other")
    assert training == fitted[1]
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert files == sorted(p.relative_to(tmp_path / "other") for p in (tmp_path / "other").rglob("*") if p.is_file())
    for path in files:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "other" / path).read_bytes(), path
    remembered = again.history
    assert len(remembered.starts) == habit_task.train.sessions + habit_task.validation.sessions


def test_loaded_model_predicts_the_same_bit_by_bit(habit_task, fitted, tmp_path):
    for published in ("reranker", "multiclass"):
        model = replace(fitted[0], published=published, chain_weight=0.25)
        model.save(tmp_path / published)
        loaded = XgboostNext.load(tmp_path / published)
        np.testing.assert_array_equal(loaded.distributions(habit_task.test), model.distributions(habit_task.test))
    found = predict(loaded, ["e0", "e1"], actor="user:00")
    assert set(found) == set(model.vocabulary) and sum(found.values()) == pytest.approx(1)
    suffixes = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert suffixes == {".ubj", ".json", ".npz", ".parquet"}


def test_an_artefact_with_other_features_is_refused(fitted, tmp_path):
    fitted[0].save(tmp_path)
    path = tmp_path / "features.json"
    path.write_text(path.read_text().replace('"lags": 5', '"lags": 4'))
    with pytest.raises(ValueError, match="train it again"):
        XgboostNext.load(tmp_path)


def test_prediction_knows_the_actor_and_takes_unseen_events(fitted):
    model = fitted[0]
    one, two = (predict(model, ["e0"], times=LATER, actor=f"user:{kind:02d}") for kind in (0, 1))
    assert max(one, key=one.__getitem__) == "e1" and max(two, key=two.__getitem__) == "e2"
    unseen = predict(model, ["never seen", "e3"], actor="nobody", device="Toaster")
    assert sum(unseen.values()) == pytest.approx(1) and all(math.isfinite(chance) for chance in unseen.values())


@pytest.mark.parametrize("published", ["reranker", "multiclass"])
def test_explanations_add_up(fitted, published):
    model = replace(fitted[0], published=published, chain_weight=0.0)
    found = explain(model, ["e0"], times=LATER, actor="user:01")
    chances = predict(model, ["e0"], times=LATER, actor="user:01")
    assert found["event"] == max(chances, key=chances.__getitem__)
    assert found["probability"] == pytest.approx(chances[found["event"]])
    parts = sum(entry["contribution"] for entry in found["contributions"])
    assert found["log_odds"] == pytest.approx(found["chain"] + parts)
    # Softmax: differences of log odds are log ratios of probabilities.
    other = explain(model, ["e0"], times=LATER, actor="user:01", event="e4")
    expected = math.log(chances[found["event"]] / chances["e4"])
    assert found["log_odds"] - other["log_odds"] == pytest.approx(expected, abs=1e-4)
    if published == "reranker":
        by_group = Counter()
        for entry in found["contributions"]:
            by_group[entry["group"]] += entry["contribution"]
        assert found["event"] == "e2" and max(by_group, key=by_group.__getitem__) == "actor's history"
    assert {entry["feature"]: entry["value"] for entry in found["contributions"]}["last_1"] == "e0"
    with pytest.raises(ValueError, match="does not know"):
        explain(model, ["e0"], event="never seen")


def test_reports_equal_scikit_learn(habit_task, fitted):
    from sklearn.metrics import confusion_matrix, recall_score

    model, training = fitted
    past_only = replace(model, history=History.of(habit_task.train))
    actual = habit_task.validation.codes[habit_task.validation.positions]
    predicted = score_rows(past_only.distributions(habit_task.validation), actual).predicted
    came = np.unique(actual)
    expected = recall_score(actual, predicted, labels=came, average=None)
    recall = {entry["event"]: entry for entry in training["recall"]}
    for code, value in zip(came, expected, strict=True):
        assert recall[model.vocabulary[code]]["recall"] == pytest.approx(value)
        assert recall[model.vocabulary[code]]["count"] == (actual == code).sum()
    matrix = confusion_matrix(actual, predicted, labels=np.arange(len(model.vocabulary)))
    np.fill_diagonal(matrix, 0)
    counts = [entry["count"] for entry in training["confusions"]]
    assert counts == sorted(matrix[matrix > 0].tolist(), reverse=True)[: len(counts)]
    for entry in training["confusions"]:
        place = model.vocabulary.index(entry["actual"]), model.vocabulary.index(entry["predicted"])
        assert matrix[place] == entry["count"]


def test_few_candidates_and_classes_leave_the_rest_to_the_chain(habit_task):
    model, _ = fit(habit_task.train, habit_task.validation, **QUICK, candidates=2, classes=3)
    _, found = described(habit_task.test, candidates=2)
    chances = model.formed(found, "reranker")
    outside = np.ones_like(chances, dtype=bool)
    np.put_along_axis(outside, found.found, False, axis=1)
    np.testing.assert_allclose(chances[outside], found.chain[outside])
    for published in ("reranker", "multiclass"):
        whole = replace(model, published=published).distributions(habit_task.test)
        np.testing.assert_allclose(whole.sum(axis=1), 1, atol=1e-9)
    with pytest.raises(ValueError, match="not among the candidates"):
        explain(replace(model, published="reranker"), ["e0"], event="(other)")


class Uniform:
    """A model that gives every event the same chance."""

    def __init__(self, vocabulary: list[str]) -> None:
        self.vocabulary = vocabulary

    def distributions(self, sequences: Sequences) -> np.ndarray:
        return np.full((len(sequences.positions), len(self.vocabulary)), 1 / len(self.vocabulary))


def test_scores_of_a_hidden_markov_model_are_features_where_one_is_given(habit_task, tmp_path):
    hmm = Uniform(habit_task.vocabulary.names)
    model, training = fit(habit_task.train, habit_task.validation, **QUICK, hmm=hmm)
    assert training["with_hmm"] and training["importance"]["hidden Markov model"] == pytest.approx(0, abs=1e-9)
    model.save(tmp_path)
    with pytest.raises(ValueError, match="hand that model in"):
        XgboostNext.load(tmp_path)
    loaded = XgboostNext.load(tmp_path, hmm)
    np.testing.assert_array_equal(loaded.distributions(habit_task.test), model.distributions(habit_task.test))


def encoded(sessions: list[list[str]], **kinds: list[str]) -> Sequences:
    found = make_sequences(sessions, **kinds)
    return Vocabulary.fit(found, 1).encode(found)


def test_one_event_type():
    sequences = encoded([["a", "a", "a"]] * 30)
    model, _ = fit(sequences, sequences.take(np.arange(25, 30)), **QUICK)
    assert predict(model, ["a"])["a"] > 0.9


def test_two_users_and_constant_features():
    sequences = encoded([["a", "b"], ["b", "a"]] * 20, actors=["user:1", "user:2"] * 20)
    model, training = fit(sequences.take(np.arange(32)), sequences.take(np.arange(32, 40)), **QUICK)
    assert predict(model, ["a"])["b"] > 0.8
    assert training["confusions"] == []


def test_sessions_of_one_event_have_no_positions(fitted):
    alone = replace(encoded([["e0"], ["e1"]]), vocabulary=fitted[0].vocabulary)
    assert fitted[0].distributions(alone).shape == (0, len(fitted[0].vocabulary))
    with pytest.raises(ValueError, match="second event"):
        fit(encoded([["a"], ["b"]]), encoded([["a"], ["b"]]), **QUICK)


def test_nothing_to_learn_from_is_a_clear_error():
    empty = encoded([["a", "b"]]).take(np.arange(0))
    with pytest.raises(ValueError, match="second event"):
        fit(empty, empty, **QUICK)
    rare = make_sequences([["a", "b"], ["c", "d"]])
    rare = Vocabulary.fit(rare, 20).encode(rare)
    with pytest.raises(ValueError, match="frequent enough"):
        fit(rare, rare, **QUICK)


@pytest.mark.parametrize(("sessions", "judged", "events"), [(1, 1, 3), (2, 1, 40), (3, 3, 40), (12, 2, 60)])
def test_little_data_give_distributions(sessions, judged, events):
    train = small(sessions, sessions, events)
    train = train if len(train.positions) else encoded([["e0", "e1"]])
    validation = Vocabulary(train.vocabulary).encode(small(9, judged, events))
    model, training = fit(train, validation, rounds=3, multiclass_rounds=2, threads=1, max_order=2)
    chances = model.distributions(validation)
    np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-9)
    assert np.isfinite(chances).all()
    json.dumps(training, allow_nan=False)


def test_settings_below_one_are_refused(habit_task):
    with pytest.raises(ValueError, match="at least 1"):
        fit(habit_task.train, habit_task.validation, candidates=0)


def test_without_validation_a_model_without_figures(habit_task):
    nothing = habit_task.validation.take(np.arange(0))
    model, training = fit(habit_task.train, nothing, **QUICK)
    assert training["validation_positions"] == 0 and "importance" not in training
    assert score(model, habit_task.test).hits(1).mean() > 0.8
    assert xgboost_figures.figures(training) == {}
    json.dumps(training, allow_nan=False)


def test_pictures(fitted):
    drawn = xgboost_figures.figures(fitted[1])
    assert set(drawn) == {
        "learning_curves.png",
        "importance_by_group.png",
        "contributions_by_feature.png",
        "recall_by_event.png",
        "confusions.png",
    }
    for name, content in drawn.items():
        assert content.startswith(b"\x89PNG") and len(content) < 60_000, name
    assert drawn == xgboost_figures.figures(fitted[1])


def test_core_modules_load_without_heavy_libraries():
    modules = (
        xgboost_figures,
        xgboost_features,
        xgboost_history,
        xgboost_next,
        xgboost_reports,
        xgboost_training,
    )
    for module in modules:
        source = Path(module.__file__).read_text(encoding="utf-8").splitlines()
        assert not [line for line in source if line.startswith(("import xgboost", "from xgboost", "import dagster"))]
