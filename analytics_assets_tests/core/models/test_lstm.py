"""The LSTM learns what can be learned and nothing else; its NumPy form gives what Keras gives."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.core.models import lstm, lstm_figures
from analytics_assets.core.models.lstm_forward import GAP_EDGES, Encoder, History, LstmModel
from analytics_assets.core.models.next_event import predict, score
from analytics_assets.core.models.sequences import OTHER, Sequences, Vocabulary
from analytics_assets_tests.core.models.building import START, make_sequences, make_task, planted

OPTIMUM = 0.76
"""Of `planted`."""

QUICK: dict[str, Any] = {"embedding": 8, "units": 16, "epochs": 12}

Fitted = tuple[lstm.TrainedLstm, dict[str, Any]]


def encoded(sequences: Sequences, vocabulary: list[str]) -> Sequences:
    return Vocabulary(vocabulary).encode(sequences)


def shuffled_within(sequences: Sequences, seed: int) -> Sequences:
    """The same sessions with their events in random order."""
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.random(len(sequences.codes)), sequences.session_of))
    return replace(sequences, codes=sequences.codes[order])


def uneven(seed: int, third_device: str = "") -> Sequences:
    """Sessions of 1 to 130 events of seven users on three devices, 1 to 6,000 s from event to event."""
    rng = np.random.default_rng(seed)
    lengths = [1, 2, 130, *rng.integers(1, 30, size=20).tolist()]
    sessions = [[f"event {event}" for event in rng.integers(6, size=length)] for length in lengths]
    devices = [("iOS", "Linux", third_device)[number % 3] for number in range(len(lengths))]
    sequences = make_sequences(sessions, devices=devices)
    gaps = 10 ** rng.uniform(0, np.log10(6000), size=len(sequences.codes))
    since = np.cumsum(gaps * 1e6).astype(np.int64)
    times = since - np.repeat(since[sequences.offsets[:-1]] - sequences.starts, sequences.lengths)
    return replace(sequences, times=times, ends=times[sequences.offsets[1:] - 1])


@pytest.fixture(scope="module")
def planted_fit() -> Fitted:
    task = make_task(planted(600, 1), planted(100, 2), planted(1, 3))
    return lstm.fit(task.train, task.validation, epochs=15)


@pytest.fixture(scope="module")
def mixed_fit() -> Fitted:
    """Two device families, unequal gaps, a few users: every input matters."""
    train, held_out = uneven(1), uneven(2)
    task = make_task(train, held_out, held_out)
    return lstm.fit(task.train, task.validation, epochs=6, max_length=20)


def test_a_planted_rule_is_learned_to_its_optimum(planted_fit: Fitted) -> None:
    model, training = planted_fit
    scores = score(model, encoded(planted(400, 4), model.vocabulary))
    assert abs(scores.hits(1).mean() - OPTIMUM) < 0.03
    # -0.76 log2 0.76 - 4 x 0.06 log2 0.06
    assert scores.bits.mean() == pytest.approx(1.275, abs=0.06)
    assert training["validation_top1"] == pytest.approx(OPTIMUM, abs=0.06)


def test_shuffled_sessions_teach_nothing(planted_fit: Fitted) -> None:
    task = make_task(shuffled_within(planted(600, 1), 5), shuffled_within(planted(100, 2), 6), planted(1, 3))
    model, _ = lstm.fit(task.train, task.validation, **QUICK)
    test = encoded(shuffled_within(planted(400, 4), 7), model.vocabulary)
    assert score(model, test).hits(1).mean() < 0.30
    assert score(planted_fit[0], test).hits(1).mean() < 0.30


def test_predictions_equal_those_of_the_saved_keras_model(mixed_fit: Fitted, tmp_path: Path) -> None:
    import keras

    model, _ = mixed_fit
    model.save(tmp_path)
    saved = keras.models.load_model(tmp_path / "model.keras")
    test = encoded(uneven(3, "never seen"), model.vocabulary)
    found = np.zeros((len(test.codes), len(model.vocabulary)))
    found[test.positions] = model.distributions(test)
    stored = History.of(*(encoded(uneven(seed), model.vocabulary) for seed in (1, 2)))
    past = stored.before(test)
    for number in range(test.sessions):
        first, end = test.offsets[number], test.offsets[number + 1]
        events, gaps, hours = [1], [0], [test.starts[number] // 3_600_000_000 % 24]
        for place in range(first, end - 1):
            events.append(test.codes[place] + 2)
            gap = 0.0 if place == first else (test.times[place] - test.times[place - 1]) / 1e6
            gaps.append(1 + sum(gap >= edge for edge in GAP_EDGES))
            hours.append(datetime.fromtimestamp(test.times[place] / 1e6, UTC).hour)
        device = {"Linux": 1, "iOS": 2, "never seen": 0}[test.device_names[test.devices[number]]]
        amount = past[number].sum()
        history = np.sqrt(np.append(past[number], amount) / (amount + 10))
        columns = [np.array([column]) for column in (events, gaps, hours, [device] * len(events))]
        expected = saved.predict_on_batch([*columns, history[None]])[0]
        assert np.abs(found[first + 1 : end] - expected[1:]).max(initial=0) < 1e-5
    assert np.allclose(found[test.positions].sum(axis=1), 1, atol=1e-5)


def test_a_loaded_model_is_the_fitted_one(mixed_fit: Fitted, tmp_path: Path) -> None:
    model, _ = mixed_fit
    test = encoded(uneven(3), model.vocabulary)
    model.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.keras", "weights.npz"]
    loaded = LstmModel.load(tmp_path)
    assert np.array_equal(loaded.distributions(test), model.distributions(test))
    assert loaded.settings == model.settings


def test_a_prediction_needs_no_tensorflow(mixed_fit: Fitted, tmp_path: Path) -> None:
    model, _ = mixed_fit
    model.save(tmp_path)
    script = """
import sys
from pathlib import Path
from analytics_assets.core.models.lstm_forward import LstmModel
from analytics_assets.core.models.next_event import predict
chances = predict(LstmModel.load(Path(sys.argv[1])), ["event 1", "event 2"], actor="user:1", device="iOS")
assert abs(sum(chances.values()) - 1) < 1e-5
assert not {"tensorflow", "keras", "dagster"} & set(sys.modules)
print(chances["event 3"])
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    expected = predict(model, ["event 1", "event 2"], actor="user:1", device="iOS")["event 3"]
    assert float(done.stdout) == pytest.approx(expected, abs=1e-6)


def test_equal_seeds_give_equal_files(tmp_path: Path) -> None:
    task = make_task(uneven(1), uneven(2), uneven(3))
    curves = []
    for name, seed in (("first", 7), ("second", 7), ("other", 8)):
        (tmp_path / name).mkdir()
        model, training = lstm.fit(task.train, task.validation, seed=seed, **QUICK | {"epochs": 2})
        model.save(tmp_path / name)
        curves.append(training["epochs"])
    for file in ("model.keras", "weights.npz", "model.json"):
        content = [(tmp_path / name / file).read_bytes() for name in ("first", "second", "other")]
        assert content[0] == content[1]
        assert content[0] != content[2]
    assert curves[0] == curves[1] != curves[2]


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_what_comes_later_changes_nothing(mixed_fit: Fitted, data: st.DataObject) -> None:
    model, _ = mixed_fit
    test = encoded(uneven(3), model.vocabulary)
    at = data.draw(st.integers(0, len(test.codes) - 1))
    end = int(test.offsets[np.searchsorted(test.offsets, at, side="right")])
    codes, times = test.codes.copy(), test.times.copy()
    codes[at:end] = data.draw(st.integers(0, len(model.vocabulary) - 1))
    times[at:end] += data.draw(st.integers(0, 10_000_000_000))
    changed = model.distributions(replace(test, codes=codes, times=times))
    outside = (test.positions <= at) | (test.positions >= end)
    assert np.allclose(changed[outside], model.distributions(test)[outside], atol=1e-6)


def test_a_session_is_predicted_alike_alone_and_among_others(mixed_fit: Fitted) -> None:
    model, _ = mixed_fit
    test = encoded(uneven(3), model.vocabulary)
    together = model.distributions(test)
    alone = [model.distributions(test.take(np.array([number]))) for number in range(test.sessions)]
    assert np.allclose(np.concatenate(alone), together, atol=1e-6)


past_sessions = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 20), st.integers(0, 5), st.lists(st.integers(0, 2), min_size=1)),
    min_size=1,
    max_size=12,
)


@given(past=past_sessions, asked=past_sessions)
def test_history_is_what_had_ended_before(
    past: list[tuple[int, int, int, list[int]]], asked: list[tuple[int, int, int, list[int]]]
) -> None:
    def built(rows: list[tuple[int, int, int, list[int]]]) -> Sequences:
        sequences = make_sequences([["abc"[e] for e in row[3]] for row in rows], actors=[f"u{row[0]}" for row in rows])
        starts = START + np.array([row[1] for row in rows], dtype=np.int64)
        ends = starts + np.array([row[2] for row in rows])
        return replace(encoded(sequences, ["a", "b", "c", OTHER]), starts=starts, ends=ends)

    before = History.of(built(past)).before(built(asked))
    for row, (actor, start, _, _) in enumerate(asked):
        expected = [0, 0, 0, 0]
        for other, begin, length, events in past:
            if other == actor and begin + length < start:
                for event in events:
                    expected[event] += 1
        assert before[row].tolist() == expected


def habits(count: int, seed: int) -> Sequences:
    """After a, half of the users do b and the others c: only their past tells which."""
    rng = np.random.default_rng(seed)
    users = rng.integers(20, size=count)
    return make_sequences([["a", "bc"[user % 2]] for user in users], actors=[f"user:{user:02d}" for user in users])


def later(sequences: Sequences, days: int) -> Sequences:
    shift = days * 86_400_000_000
    return replace(
        sequences, times=sequences.times + shift, starts=sequences.starts + shift, ends=sequences.ends + shift
    )


def test_an_actors_past_is_used_where_it_tells_something() -> None:
    task = make_task(habits(600, 1), later(habits(60, 2), 100), later(habits(200, 3), 200))
    with_history, _ = lstm.fit(task.train, task.validation, **QUICK | {"epochs": 20})
    without, _ = lstm.fit(task.train, task.validation, use_history=False, **QUICK | {"epochs": 3})
    assert score(with_history, task.test).hits(1).mean() > 0.95
    assert score(without, task.test).hits(1).mean() < 0.65
    times = [datetime(2025, 1, 1)]
    assert predict(with_history, ["a"], actor="user:02", times=times)["b"] > 0.8
    assert predict(with_history, ["a"], actor="user:03", times=times)["c"] > 0.8
    # Before its first session an actor has no past.
    unknown = predict(with_history, ["a"], actor="user:02", times=[datetime(2023, 1, 1)])
    assert unknown == pytest.approx(predict(with_history, ["a"], actor="new", times=[datetime(2023, 1, 1)]), abs=1e-6)


def test_the_model_kept_is_the_best_on_validation(planted_fit: Fitted) -> None:
    _, training = planted_fit
    bits = [entry["validation_bits"] for entry in training["epochs"]]
    assert bits[training["best_epoch"] - 1] <= min(bits) + lstm.MIN_GAIN
    assert training["validation_bits"] <= bits[training["best_epoch"] - 1] + 1e-6
    assert bits[0] > 1.2 * min(bits)
    assert training["epochs"][0]["train_bits"] > training["epochs"][-1]["train_bits"]


def test_training_ends_when_validation_no_longer_improves() -> None:
    """Random events: everything learned after the shares of events is noise."""
    task = make_task(shuffled_within(planted(60, 1), 5), shuffled_within(planted(30, 2), 6), planted(1, 3))
    model, training = lstm.fit(task.train, task.validation, epochs=60, patience=2)
    assert training["stopped_early"]
    assert len(training["epochs"]) == training["best_epoch"] + 2
    assert training["validation_bits"] < np.log2(5) + 0.2
    assert model.settings["temperature"] == training["temperature"]


def test_the_temperature_gives_the_fewest_bits(planted_fit: Fitted) -> None:
    model, _ = planted_fit
    kernel, bias = (3 * model.weights[name] for name in ("output_kernel", "output_bias"))
    sharp = replace(model, weights={**model.weights, "output_kernel": kernel, "output_bias": bias})
    held_out = encoded(planted(200, 8), model.vocabulary)
    rows, actual = sharp.distributions(held_out).astype(float), held_out.codes[held_out.positions]
    tried = []
    for temperature in np.arange(0.5, 3.0, 0.02):
        powers = rows ** (1 / temperature)
        chances = powers[np.arange(len(actual)), actual] / powers.sum(axis=1)
        tried.append((-np.log2(chances).mean(), temperature))
    found = lstm.tempered(sharp, held_out)
    assert score(found, held_out).bits.mean() <= min(tried)[0] + 1e-3
    assert found.settings["temperature"] / sharp.settings["temperature"] == pytest.approx(min(tried)[1], abs=0.1)
    assert np.array_equal(score(found, held_out).predicted, score(sharp, held_out).predicted)


@settings(max_examples=50, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=20),
    longest=st.integers(2, 12),
    seed=st.integers(0, 100),
)
def test_batches_hold_every_event_once(lengths: list[int], longest: int, seed: int) -> None:
    sequences = encoded(make_sequences([["a"] * length for length in lengths]), ["a", OTHER])
    windows = lstm.Windows.of(sequences, longest)
    inputs = Encoder([], GAP_EDGES, History.none(2)).encode(sequences)
    seen = np.zeros(len(sequences.codes))
    weight = 0.0
    for chosen in windows.batches(np.random.default_rng(seed)):
        assert len(chosen) <= windows.batch_size
        for window in chosen:
            first, size = windows.begins[window], windows.lengths[window]
            assert size <= longest
            assert set(sequences.session_of[first : first + size]) == {windows.sessions[window]}
            seen[first : first + size] += 1
        batch = lstm.padded(sequences, inputs, windows, chosen, np.ones(2, dtype=np.float32))
        assert ((batch[-1] > 0) == (batch[0] > 0)).all()
        weight += batch[-1].sum()
    expected = np.repeat(np.array(lengths) > 1, lengths)
    assert seen.tolist() == expected.astype(float).tolist()
    assert weight == expected.sum()


@pytest.mark.parametrize(("sessions", "size"), [(10, 32), (8_000, 32), (16_000, 64), (16_001, 65), (60_000, 128)])
def test_batches_grow_with_the_sessions(sessions: int, size: int) -> None:
    ones = np.ones(sessions, dtype=np.int64)
    windows = lstm.Windows(np.arange(sessions), 2 * np.arange(sessions), 2 * ones)
    batches = list(windows.batches(np.random.default_rng(1)))
    assert max(map(len, batches)) == min(size, sessions)
    assert np.array_equal(np.sort(np.concatenate(batches)), np.arange(sessions))


def test_class_weights_are_the_balanced_ones() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    codes = np.array([0] * 40 + [1] * 20 + [3] * 10, dtype=np.int32)
    balanced = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=codes)
    found = lstm.class_weights(codes, 5)
    assert found[[2, 4]].tolist() == [0, 0]
    assert found[[0, 1, 3]].tolist() == pytest.approx((balanced / balanced.mean()).tolist())
    rare = lstm.class_weights(np.array([0] * 100_000 + [1] * 100_000 + list(range(2, 40)) * 200, dtype=np.int32), 40)
    assert 0 < rare.min() < rare.max() <= lstm.MAX_CLASS_WEIGHT


def test_class_weights_raise_the_recall_of_rare_events() -> None:
    """After a comes b with chance 0.8, else c: weighted by 1 / 0.8 and 1 / 0.2 both are as likely."""

    def rare(count: int, seed: int) -> Sequences:
        rng = np.random.default_rng(seed)
        return make_sequences([["a", "b" if rng.random() < 0.8 else "c"] for _ in range(count)])

    task = make_task(rare(400, 1), rare(60, 2), rare(200, 3))
    model, _ = lstm.fit(task.train, task.validation, class_weight=True, patience=12, **QUICK)
    weighted = model.distributions(task.test)[:, task.vocabulary.names.index("c")].mean()
    assert weighted > 0.3


def test_samples_are_drawn_by_session_and_their_effect_is_told() -> None:
    task = make_task(planted(300, 1), planted(40, 2), planted(1, 3))
    told: list[str] = []
    few = QUICK | {"epochs": 3}
    model, training = lstm.fit(
        task.train, task.validation, max_sessions=200, sample_shares=(0.25,), progress=told.append, **few
    )
    assert (training["sessions"], training["events"], training["available_sessions"]) == (200, 1600, 300)
    assert [size["sessions"] for size in training["sample_sizes"]] == [50, 200]
    assert training["sample_sizes"][-1]["validation_bits"] == training["validation_bits"]
    assert training["sample_sizes"][0]["validation_bits"] > training["validation_bits"]
    assert told[0].startswith("epoch 1: training ")
    assert "validation" in told[0]
    # All sessions are part of the past, sampled or not, and those of the validation part too.
    assert len(model.encoder.history.ends) == 340
    assert len(training["timing"]) == len(training["epochs"])


def test_long_sessions_are_cut_for_training_and_predicted_whole() -> None:
    cycle = [f"event {number % 4}" for number in range(400)]
    train = make_sequences([cycle[start:] for start in range(12)])
    task = make_task(train, train, train)
    model, training = lstm.fit(task.train, task.validation, max_length=25, **QUICK)
    assert training["events"] == sum(400 - start for start in range(12))
    assert score(model, task.test).hits(1).mean() > 0.98


def test_nothing_to_learn_from_is_named() -> None:
    single = make_task(make_sequences([["a"], ["b"]]), planted(5, 1), planted(5, 1))
    with pytest.raises(ValueError, match="no training session has two events"):
        lstm.fit(single.train, single.validation)
    empty = planted(5, 1).take(np.zeros(5, dtype=bool))
    with pytest.raises(ValueError, match="no training session has two events"):
        lstm.fit(empty, empty)


@pytest.mark.parametrize(
    "wrong", [{"units": 0}, {"epochs": 0}, {"max_length": 1}, {"dropout": 1.0}, {"sample_shares": (1.5,)}]
)
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        lstm.fit(planted(5, 1), planted(5, 2), **wrong)


def test_without_validation_all_epochs_are_run() -> None:
    task = make_task(planted(40, 1), planted(1, 2).take(np.zeros(1, dtype=bool)), planted(20, 3))
    model, training = lstm.fit(task.train, task.validation, patience=1, **QUICK | {"epochs": 4})
    assert len(training["epochs"]) == training["best_epoch"] == 4
    assert training["validation_bits"] is None
    assert training["temperature"] == 1
    assert np.isfinite(score(model, task.test).bits).all()
    assert lstm_figures.figures(training, task.test, score(model, task.test))


@pytest.mark.parametrize(
    "sessions",
    [
        pytest.param([["a", "a", "a"]] * 6, id="one event type"),
        pytest.param([["a", "b"], ["b"], ["a"], ["b", "a"]], id="two users and sessions of one event"),
    ],
)
def test_little_data_gives_a_defined_result(sessions: list[list[str]]) -> None:
    train = make_sequences(sessions, actors=[f"user:{number % 2}" for number in range(len(sessions))], gap_seconds=0)
    task = make_task(train, train, train)
    model, _ = lstm.fit(task.train, task.validation, **QUICK | {"epochs": 1})
    rows = model.distributions(task.test)
    assert rows.shape == (len(task.test.positions), len(task.vocabulary.names))
    assert np.allclose(rows.sum(axis=1), 1, atol=1e-5)
    nothing = task.test.take(np.flatnonzero(task.test.lengths > 99))
    assert model.distributions(nothing).shape == (0, len(task.vocabulary.names))


def test_only_rare_types_are_one_class() -> None:
    train = make_sequences([["a", "b"]] * 3)
    task = make_task(train, train, train, min_events=50)
    model, _ = lstm.fit(task.train, task.validation, **QUICK | {"epochs": 1})
    assert model.distributions(task.test).tolist() == [[1.0]] * 3


def test_what_training_never_saw_is_other(mixed_fit: Fitted) -> None:
    model, _ = mixed_fit
    chances = predict(model, ["never", "seen"], actor="nobody", device="toaster", times=[datetime(2030, 1, 1)] * 2)
    assert sum(chances.values()) == pytest.approx(1, abs=1e-5)
    assert chances == predict(model, [OTHER, OTHER], times=[datetime(2030, 1, 1)] * 2)


def test_pictures_show_what_was_counted(planted_fit: Fitted) -> None:
    from sklearn.metrics import confusion_matrix, recall_score

    model, training = planted_fit
    test = encoded(planted(100, 4), model.vocabulary)
    scores = score(model, test)
    drawn = lstm_figures.figures(
        {**training, "sample_sizes": [{"sessions": 9, "validation_bits": 2.0, "validation_top1": 0.5}] * 2},
        test,
        scores,
    )
    assert set(drawn) == {"learning_curve.png", "sample_size.png", "event_accuracy.png", "confusion.png"}
    assert all(content.startswith(b"\x89PNG") and len(content) < 60_000 for content in drawn.values())
    actual = test.codes[test.positions]
    codes = lstm_figures.frequent(actual, 3)
    counts = np.bincount(actual)
    assert counts[codes].tolist() == sorted(counts.tolist(), reverse=True)[:3]
    table = lstm_figures.confusion(codes, actual, scores.predicted)
    expected = confusion_matrix(actual, scores.predicted, labels=range(5), normalize="true")
    assert np.allclose(table[:, :3], expected[np.ix_(codes, codes)])
    assert np.allclose(table.sum(axis=1), 1)
    shares, number = lstm_figures.accuracies(codes, actual, scores.predicted)
    assert np.allclose(shares, recall_score(actual, scores.predicted, average=None, labels=codes))
    assert number.tolist() == counts[codes].tolist()


def test_no_position_gives_the_learning_curve_only(planted_fit: Fitted) -> None:
    model, training = planted_fit
    nothing = encoded(planted(1, 1), model.vocabulary).take(np.zeros(1, dtype=bool))
    assert set(lstm_figures.figures(training, nothing, score(model, nothing))) == {"learning_curve.png"}
