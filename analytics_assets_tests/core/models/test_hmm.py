"""Passes equal enumeration and hmmlearn, planted states are found, and tiny data have a defined result."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.core.models import hmm, hmm_recovery, hmm_training, next_event
from analytics_assets.core.models.baselines import MostFrequent
from analytics_assets.core.models.ceiling import BayesOptimal
from analytics_assets.core.models.hmm_figures import figures
from analytics_assets.core.models.hmm_inference import Parameters, chances, forecasts, next_events, passes
from analytics_assets.core.models.hmm_tables import tables
from analytics_assets.core.models.sequences import OTHER, Sequences, Vocabulary
from analytics_assets.sample.assembly import Sample, assemble
from analytics_assets.sample.config import SampleConfig
from analytics_assets.schemas.hmm import HMM_TABLES
from analytics_assets_tests.core.models.building import make_sequences, planted

NAMES = ["a", "b", "c", OTHER]


def encoded(sessions: Sequence[Sequence[str]], names: list[str] = NAMES) -> Sequences:
    return Vocabulary(names).encode(make_sequences(sessions))


def random_parameters(rng: np.random.Generator, states: int, events: int, *, repeats: bool) -> Parameters:
    return Parameters(
        rng.dirichlet(np.ones(states)),
        rng.dirichlet(np.ones(states), states),
        rng.dirichlet(np.ones(events), states),
        repeats=repeats,
    )


TRUE = Parameters(
    np.array([0.6, 0.3, 0.1]),
    np.array([[0.8, 0.15, 0.05], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]),
    np.array(
        [
            [0.5, 0.4, 0.04, 0.02, 0.02, 0.02, 0],
            [0.02, 0.02, 0.5, 0.4, 0.04, 0.02, 0],
            [0.02, 0.04, 0.02, 0.02, 0.5, 0.4, 0],
        ]
    ),
    repeats=True,
)
TRUE_NAMES = ["e0", "e1", "e2", "e3", "e4", "e5", OTHER]


def drawn(count: int, seed: int, *, collapse: bool = False, length: int = 12) -> Sequences:
    """Sessions of `TRUE`; with `collapse` runs of one event are one event."""
    rng = np.random.default_rng(seed)
    sessions = []
    for _ in range(count):
        state = int(rng.choice(3, p=TRUE.initial))
        path = []
        for _ in range(length):
            path.append(TRUE_NAMES[int(rng.choice(7, p=TRUE.emission[state]))])
            state = int(rng.choice(3, p=TRUE.moves[state]))
        sessions.append([event for event, _ in itertools.groupby(path)] if collapse else path)
    return encoded(sessions, TRUE_NAMES)


def hmmlearn_model(parameters: Parameters) -> object:
    from hmmlearn.hmm import CategoricalHMM

    model = CategoricalHMM(parameters.states, n_features=parameters.emission.shape[1])
    model.startprob_, model.transmat_, model.emissionprob_ = (
        parameters.initial,
        parameters.moves,
        parameters.emission,
    )
    return model


@pytest.mark.parametrize("seed", range(4))
def test_chances_equal_the_sum_over_all_state_paths(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parameters = random_parameters(rng, 3, 4, repeats=True)
    sessions = [["a", "c", "c", "b"], ["b"], ["c", "a"]]
    sequences = encoded(sessions)
    found = chances(parameters, sequences)
    for number, session in enumerate(sessions):
        codes = [NAMES.index(event) for event in session]
        total = 0.0
        for path in itertools.product(range(3), repeat=len(codes)):
            chance = parameters.initial[path[0]] * parameters.emission[path[0], codes[0]]
            for before, now, code in zip(path, path[1:], codes[1:], strict=False):
                chance *= parameters.moves[before, now] * parameters.emission[now, code]
            total += chance
        own = found[sequences.offsets[number] : sequences.offsets[number + 1]]
        assert own.prod() == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_posteriors_and_likelihood_equal_hmmlearn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parameters = random_parameters(rng, 4, 4, repeats=True)
    sessions = [[NAMES[code] for code in rng.integers(3, size=rng.integers(1, 9))] for _ in range(30)]
    sequences = encoded(sessions)
    reference = hmmlearn_model(parameters)
    lengths, rows = sequences.lengths, sequences.codes[:, None]
    model = hmm.HiddenMarkov(NAMES, parameters, list("wxyz"), np.full(4, 0.25))
    np.testing.assert_allclose(model.posteriors(sequences), reference.predict_proba(rows, lengths), atol=1e-10)
    _, states = reference.decode(rows, lengths, algorithm="map")
    assert model.decode(sequences).tolist() == states.tolist()
    assert hmm_training.log_likelihood(parameters, sequences) == pytest.approx(reference.score(rows, lengths))


def run_weights(parameters: Parameters, session: list[int]) -> dict[tuple[int, ...], float]:
    """Likelihood of the states that begin each run: every run as the sum over its lengths 1 to 400, the last one as
    its first event."""
    length_sums = []
    for code in session:
        step = parameters.moves * parameters.emission[:, code]
        power = total = np.eye(parameters.states)
        for _ in range(400):
            power = power @ step
            total = total + power
        length_sums.append(total)
    weights = {}
    for path in itertools.product(range(parameters.states), repeat=len(session)):
        weight = parameters.initial[path[0]] * parameters.emission[path[0], session[0]]
        for place in range(1, len(session)):
            leave = length_sums[place - 1] @ parameters.moves
            weight *= leave[path[place - 1], path[place]] * parameters.emission[path[place], session[place]]
        weights[path] = float(weight)
    return weights


@pytest.mark.parametrize("seed", range(3))
def test_runs_equal_the_sum_over_their_lengths(seed: int) -> None:
    parameters = random_parameters(np.random.default_rng(seed), 2, 4, repeats=False)
    session = ["a", "b", "a", "c"]
    sequences = encoded([session])
    weights = run_weights(parameters, [NAMES.index(event) for event in session])
    found = passes(parameters, sequences)
    assert found.chance.prod() == pytest.approx(sum(weights.values()), rel=1e-9)
    for place in range(len(session)):
        begun = sum(weight for path, weight in weights.items() if path[place] == 0) / sum(weights.values())
        assert found.posterior[place, 0] == pytest.approx(begun, rel=1e-9)


def test_the_filter_equals_the_exact_one_of_the_generator() -> None:
    """``ceiling.BayesOptimal`` was written apart from it."""
    sample = small_sample()
    sequences, truth = of_sample(sample, collapse=True)
    names = sequences.vocabulary
    optimal = BayesOptimal.of(truth, names)
    for persona, moves in optimal.moves.items():
        chosen = np.array([name.startswith(f"user:{persona}") for name in sequences.actor_names])[sequences.actors]
        own = sequences.take(chosen)
        parameters = Parameters(optimal.initial[persona], moves, optimal.emission, repeats=False)
        np.testing.assert_allclose(next_events(parameters, own), optimal.distributions(own), atol=1e-12)


@given(seed=st.integers(0, 10_000), states=st.integers(1, 4), repeats=st.booleans())
@settings(max_examples=40, deadline=None)
def test_distributions_sum_to_one_and_know_nothing_of_later_events(seed: int, states: int, repeats: bool) -> None:
    rng = np.random.default_rng(seed)
    parameters = random_parameters(rng, states, 4, repeats=repeats)
    sessions = [[NAMES[code] for code in rng.integers(4, size=rng.integers(1, 6))] for _ in range(5)]
    sequences = encoded(sessions)
    found = next_events(parameters, sequences)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-9)
    last = sequences.codes[sequences.positions - 1]
    if not repeats:
        single = np.flatnonzero(last != 3)
        assert not found[single, last[single]].any()
    changed = encoded([[*session[:-1], "c" if session[-1] != "c" else "a"] for session in sessions])
    np.testing.assert_array_equal(next_events(parameters, changed), found)


def test_an_impossible_event_says_nothing() -> None:
    parameters = Parameters(np.array([1.0]), np.array([[1.0]]), np.array([[0.5, 0.5, 0, 0]]), repeats=True)
    sequences = encoded([["c", "a"]])
    assert chances(parameters, sequences).tolist() == [0, 0.5]
    assert all(np.isfinite(entry).all() for _, _, entry in forecasts(parameters, sequences))


def test_planted_states_are_found() -> None:
    train, validation, test = drawn(500, 1), drawn(150, 2), drawn(300, 3)
    model, training = hmm.fit(train, validation, max_states=4)
    assert training["states"] == 3 and training["repeats"]
    assert training["convergence"]["converged"]
    _, _, overlaps = hmm.matched(TRUE.emission, model.parameters.emission)
    assert overlaps.min() > 0.93
    assert training["stability"]["mean_overlap"] > 0.9
    best = float(hmm.held_out_bits(TRUE, test).mean())
    assert float(hmm.held_out_bits(model.parameters, test).mean()) < best + 0.03
    shares = passes(model.parameters, train).posterior.mean(axis=0)
    assert (np.diff(shares) < 0).all()
    assert len(set(model.names)) == 3
    expected = {frozenset(("e0", "e1")), frozenset(("e2", "e3")), frozenset(("e4", "e5"))}
    tops = {
        frozenset(TRUE_NAMES[code] for code in found[:2])
        for found in hmm.telling_events(model.parameters.emission, model.shares)
    }
    assert tops == expected


def test_planted_states_are_found_where_runs_are_one_event() -> None:
    train, validation, test = (drawn(n, s, collapse=True) for n, s in ((700, 1), (150, 2), (300, 3)))
    model, training = hmm.fit(train, validation, max_states=4)
    assert training["states"] == 3 and not training["repeats"]
    rows, columns, overlaps = hmm.matched(TRUE.emission, model.parameters.emission)
    assert overlaps.min() > 0.9
    ordered = model.parameters.in_order(columns[np.argsort(rows)])
    assert np.abs(ordered.moves - TRUE.moves).max() < 0.1
    true = Parameters(TRUE.initial, TRUE.moves, np.maximum(TRUE.emission, 1e-9), repeats=False)
    ours, best = (float(hmm.held_out_bits(found, test).mean()) for found in (model.parameters, true))
    assert ours < best + 0.04
    # The same data as if events could repeat, the last one left out afterwards: what the likelihood of runs is for.
    plain = hmm_training.best_fit(train, 3, repeats=True, rng=np.random.default_rng(1)).parameters
    rows_of = next_events(plain, test)
    last, actual = test.codes[test.positions - 1], test.codes[test.positions]
    rows_of[np.arange(len(last)), last] = 0
    rows_of /= rows_of.sum(axis=1, keepdims=True)
    assert ours < float(-np.log2(rows_of[np.arange(len(actual)), actual]).mean()) - 0.01


def test_runs_become_likelier_with_every_iteration_up_to_the_priors() -> None:
    sample = drawn(200, 4, collapse=True)
    begun = hmm_training.starts(sample, 3, repeats=False, rng=np.random.default_rng(2))["sticky 1"]
    fitted = hmm_training.Fitted(begun, "", 0.0, 0, converged=False)
    history = []
    for _ in range(15):
        fitted = hmm_training.fit_runs(fitted, sample, 1)
        found = fitted.parameters
        prior = sum(np.log(part).sum() for part in (found.initial, found.moves, found.emission)) * (
            hmm_training.PRIOR - 1
        )
        history.append(fitted.log_likelihood + prior)
    assert (np.diff(history) > -1e-6).all() and history[-1] > history[0] + 10


def test_one_iteration_equals_hmmlearn_where_no_run_can_grow() -> None:
    """With `OTHER` the only event that could repeat and no repetition in sight, both likelihoods are the same."""
    sample = encoded([[OTHER, OTHER, OTHER], [OTHER, OTHER]] * 10)
    begun = random_parameters(np.random.default_rng(3), 2, 4, repeats=False)
    ours = hmm_training.fit_runs(hmm_training.Fitted(begun, "", 0.0, 0, converged=False), sample, 1)
    theirs = hmm_training.fit_repeating(hmm_training.Fitted(begun, "", 0.0, 0, converged=False), sample, 1)
    np.testing.assert_allclose(ours.parameters.moves, theirs.parameters.moves, atol=1e-9)
    np.testing.assert_allclose(ours.parameters.initial, theirs.parameters.initial, atol=1e-9)
    np.testing.assert_allclose(ours.parameters.emission, theirs.parameters.emission, atol=1e-9)


def test_reaching_the_cap_is_not_convergence() -> None:
    sample = drawn(100, 5)
    start = hmm_training.starts(sample, 3, repeats=True, rng=np.random.default_rng(1))["sticky 1"]
    begun = hmm_training.Fitted(start, "sticky 1", 0.0, 0, converged=False)
    capped = hmm_training.fit_repeating(begun, sample, 2)
    assert capped.iterations == 2 and not capped.converged
    assert hmm_training.fit_repeating(begun, sample, 500).converged


def test_a_split_leads_from_merged_states_to_the_true_ones() -> None:
    sample = drawn(400, 1)
    merged = hmm_training.best_fit(sample, 2, repeats=True, rng=np.random.default_rng(1))
    for state in range(2):
        halved = hmm_training.split(merged.parameters, state)
        for rows in (halved.initial[None], halved.moves, halved.emission):
            np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-12)
    fits = [
        hmm_training.improved(
            hmm_training.Fitted(hmm_training.split(merged.parameters, state), "", 0.0, 0, converged=False), sample, 200
        )
        for state in range(2)
    ]
    best = max(fits, key=lambda fitted: fitted.log_likelihood)
    assert best.log_likelihood > merged.log_likelihood
    assert hmm.matched(TRUE.emission, best.parameters.emission)[2].min() > 0.9


def test_shuffled_order_falls_to_the_shares_of_events() -> None:
    rng = np.random.default_rng(6)
    train, validation, test = planted(200, 1), planted(60, 2), planted(120, 3)

    def shuffled(sequences: Sequences) -> Sequences:
        names = np.array(sequences.vocabulary)[rng.permutation(sequences.codes)]
        return make_sequences([part.tolist() for part in np.split(names, sequences.offsets[1:-1])])

    vocabulary = Vocabulary.fit(train, 1)
    parts = [vocabulary.encode(shuffled(part)) for part in (train, validation, test)]
    model, training = hmm.fit(parts[0], parts[1], max_states=4)
    assert training["states"] == 1
    trivial = next_event.score(MostFrequent.fit(parts[0]), parts[2]).bits.mean()
    assert abs(next_event.score(model, parts[2]).bits.mean() - trivial) < 0.02
    ordered, _ = hmm.fit(vocabulary.encode(train), vocabulary.encode(validation), max_states=5)
    assert next_event.score(ordered, vocabulary.encode(test)).hits(1).mean() > 0.6


def test_the_same_seed_gives_the_same_model_and_a_saved_one_predicts_the_same(tmp_path: Path) -> None:
    train, validation = drawn(120, 1, collapse=True), drawn(40, 2, collapse=True)
    first, told = hmm.fit(train, validation, max_states=3, seed=3)
    again, told_again = hmm.fit(train, validation, max_states=3, seed=3)
    assert told == told_again and json.dumps(told, allow_nan=False)
    first.save(tmp_path)
    loaded = hmm.HiddenMarkov.load(tmp_path)
    for other in (again, loaded):
        np.testing.assert_array_equal(other.distributions(validation), first.distributions(validation))
        np.testing.assert_array_equal(other.decode(validation), first.decode(validation))
        assert other.names == first.names
    assert [path.name for path in tmp_path.iterdir()] == ["model.json"]
    found = next_event.predict(loaded, ["e0", "e1"])
    assert sum(found.values()) == pytest.approx(1) and found["e1"] == 0
    assert max(found, key=lambda name: found[name]) == "e0"
    assert sum(next_event.predict(loaded, ["never seen", "e1", "e1"]).values()) == pytest.approx(1)


def test_samples_are_whole_sessions_within_their_bound() -> None:
    sequences = drawn(100, 1)
    sample = hmm_training.sampled(sequences, 250, np.random.default_rng(1))
    assert sample.sessions == 20 and set(sample.session_keys.to_pylist()) < set(sequences.session_keys.to_pylist())
    assert hmm_training.sampled(sequences, 1, np.random.default_rng(1)).sessions == 1
    short = hmm_training.shortened(sequences, 5)
    assert short.lengths.tolist() == [5] * 100 and len(short.uuids) == 500
    np.testing.assert_array_equal(short.codes.reshape(100, 5), sequences.codes.reshape(100, 12)[:, :5])
    _, training = hmm.fit(sequences, drawn(10, 2), max_states=2, search_events=240, fit_events=600)
    assert training["samples"]["search_sessions"] == 20 and training["samples"]["fit_sessions"] == 50
    assert training["samples"]["train_sessions"] == 100 and len(training["held_out_bits"]["halves"]) == 2


def empty(names: list[str]) -> Sequences:
    return encoded([["a"]], names).take(np.zeros(1, dtype=bool))


@pytest.mark.parametrize(
    "sessions",
    [
        pytest.param([["a", "a", "a"], ["a", "a"]], id="one event type"),
        pytest.param([["a"], ["b"], ["a"]], id="sessions of one event"),
        pytest.param([["a"]], id="one session of one event"),
        pytest.param([["a", "b"], ["b", "a"]], id="two users"),
        pytest.param([["a", "b", "a", "b"]] * 60, id="no repetition, two types"),
        pytest.param([[OTHER, OTHER], [OTHER, "a"]], id="rare events"),
    ],
)
@pytest.mark.parametrize("with_validation", [True, False])
def test_tiny_data_have_a_defined_result(sessions: list[list[str]], with_validation: bool) -> None:
    names = ["a", "b", OTHER]
    train = encoded(sessions, names)
    model, training = hmm.fit(train, train if with_validation else empty(names), max_states=3)
    json.dumps(training, allow_nan=False)
    np.testing.assert_allclose(model.distributions(train).sum(axis=1), 1, atol=1e-9)
    assert len(model.decode(train)) == len(train.codes)
    assert model.distributions(empty(names)).shape == (0, 3)
    assert len(next_event.predict(model, ["b"])) == 3
    found = tables(model, train)
    assert all(picture[:4] == b"\x89PNG" for picture in figures(model, training, found).values())


def test_without_validation_bic_chooses() -> None:
    _, training = hmm.fit(drawn(300, 1), empty(TRUE_NAMES), max_states=4)
    assert training["chosen_by"] == "BIC" and training["states"] == 3
    assert training["held_out_bits"]["final"] is None


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="no training session"):
        hmm.fit(empty(NAMES), empty(NAMES))
    for arguments in ({"max_states": 0}, {"max_states": hmm.STATES_LIMIT + 1}, {"fit_events": 0}):
        with pytest.raises(ValueError):
            hmm.fit(encoded([["a", "b"]]), empty(NAMES), **arguments)


def test_names_are_distinct_and_tell_the_states_apart() -> None:
    names = ["x", "y", "z", OTHER]
    emission = np.array([[0.6, 0.3, 0.05, 0.05], [0.6, 0.05, 0.3, 0.05], [0.02, 0.02, 0.02, 0.94]])
    assert hmm.state_names(emission, np.array([0.3, 0.25, 0.25, 0.2]), names) == ["x + y", "x + z", OTHER]
    twins = np.array([[0.96, 0.02, 0.01, 0.01], [0.96, 0.01, 0.02, 0.01]])
    assert hmm.state_names(twins, np.full(4, 0.25), names) == ["x (1)", "x (2)"]


def test_tables_follow_their_declarations_and_count_every_event() -> None:
    train, validation = drawn(150, 1), drawn(50, 2)
    model, training = hmm.fit(train, validation, max_states=3)
    found = tables(model, train)
    for table in HMM_TABLES:
        rows = found[table.name]
        assert rows.schema.equals(table.arrow_schema())
        keys = list(zip(*(rows[name].to_pylist() for name in table.key), strict=True))
        assert len(set(keys)) == len(keys)
        for column in table.columns:
            assert column.nullable or not rows[column.name].null_count
    state = model.decode(train)
    states = found["hmm_states"].to_pylist()
    assert [row["events"] for row in states] == [int((state == place).sum()) for place in range(3)]
    assert sum(row["share"] for row in states) == pytest.approx(1)
    assert sum(found["hmm_state_hours"]["events"].to_pylist()) == len(train.codes)
    assert sum(found["hmm_state_transitions"]["transitions"].to_pylist()) == len(train.positions)
    # Written out for one state: stretches of it inside sessions, and the seconds until each is left.
    lengths, seconds = [], []
    for first, last in itertools.pairwise(train.offsets.tolist()):
        place = first
        for value, group in itertools.groupby(state[first:last].tolist()):
            after = place + len(list(group))
            if value == 0:
                lengths.append(after - place)
                if after < last:
                    seconds.append((train.times[after] - train.times[place]) / 1e6)
            place = after
    assert states[0]["dwell_events"] == pytest.approx(np.mean(lengths))
    assert states[0]["dwell_seconds"] == pytest.approx(np.median(seconds))
    pictures = figures(model, training, found)
    assert len(pictures) == 4 and all(len(picture) < 70_000 for picture in pictures.values())


def small_sample() -> Sample:
    return assemble(SampleConfig(events=70_000, users=150))


def of_sample(sample: Sample, *, collapse: bool = False) -> tuple[Sequences, dict[str, object]]:
    """Actions of a generated sample's people, and the truth about them."""
    model, journeys = sample.model, sample.journeys.head(sample.n_human)
    names = np.array(model.actions)[journeys.action]
    sessions, actors = [], []
    bounds = np.concatenate([[0], np.cumsum(journeys.n_actions)])
    for number, (first, last) in enumerate(itertools.pairwise(bounds.tolist())):
        if first == last:
            continue
        events = names[first:last].tolist()
        sessions.append([event for event, _ in itertools.groupby(events)] if collapse else events)
        user = int(sample.user[number])
        actors.append(f"user:{model.personas[int(sample.persona[user])]} {user}")
    truth: dict[str, object] = {
        "hidden_states": list(model.states),
        "intent_events": list(model.actions),
        "emission": model.emission.tolist(),
        "personas": {
            name: {"initial": model.initial[place].tolist(), "transition": model.transition[place].tolist()}
            for place, name in enumerate(model.personas)
        },
        "users": {
            actor: {"user_id": actor.removeprefix("user:"), "persona": actor[5:].split()[0], "device_ids": []}
            for actor in set(actors)
        },
    }
    return Vocabulary([*sorted(model.actions), OTHER]).encode(make_sequences(sessions, actors=actors)), truth


def test_the_generators_states_are_recovered() -> None:
    sample = small_sample()
    sequences, truth = of_sample(sample)
    order = np.random.default_rng(0).permutation(sequences.sessions)
    cut = int(0.8 * sequences.sessions)
    train, held_out = sequences.take(np.sort(order[:cut])), sequences.take(np.sort(order[cut:]))
    states = np.array(sample.model.states)[sample.journeys.state[: len(sequences.codes)]]
    hidden = dict(zip(sequences.uuids.to_pylist(), states.tolist(), strict=True))
    fitted = hmm_training.best_fit(train, 12, repeats=True, rng=np.random.default_rng(7))
    names = [str(place) for place in range(12)]
    model = hmm.HiddenMarkov(train.vocabulary, fitted.parameters, names, np.full(61, 1 / 61))
    found = hmm_recovery.recovery(model, truth, held_out, hidden=hidden)
    assert found is not None and found["sessions"] == held_out.sessions
    bits = found["bits"]
    assert bits["truth_persona_known"] < bits["truth_persona_blind"] < bits["model"] < bits["one_state"]
    assert found["share_of_gain_persona_blind"] > 0.85
    assert found["share_of_gain_persona_known"] > 0.8
    assert found["mean_overlap"] > 0.8 and found["decoded_share"] > 0.8

    random = hmm.HiddenMarkov(
        train.vocabulary, random_parameters(np.random.default_rng(1), 12, 61, repeats=True), names, model.shares
    )
    poor = hmm_recovery.recovery(random, truth, held_out, hidden=hidden)
    assert poor is not None and poor["share_of_gain_persona_blind"] < 0.2
    assert poor["mean_overlap"] < 0.5 and poor["decoded_share"] < 0.4

    few = hmm.HiddenMarkov(
        train.vocabulary, random_parameters(np.random.default_rng(1), 2, 61, repeats=True), names[:2], model.shares
    )
    reduced = hmm_recovery.recovery(few, truth, held_out)
    assert reduced is not None and sum(row["model_state"] is None for row in reduced["states"]) == 10
    assert hmm_recovery.recovery(model, {**truth, "users": {}}, held_out) is None


def test_the_true_parameters_of_one_persona_recover_everything() -> None:
    sequences, truth = of_sample(small_sample())
    optimal = BayesOptimal.of(truth, sequences.vocabulary)
    chosen = np.array([name.startswith("user:reviewer") for name in sequences.actor_names])[sequences.actors]
    parameters = Parameters(optimal.initial["reviewer"], optimal.moves["reviewer"], optimal.emission, repeats=True)
    model = hmm.HiddenMarkov(sequences.vocabulary, parameters, [str(n) for n in range(12)], np.full(61, 1 / 61))
    found = hmm_recovery.recovery(model, truth, sequences.take(chosen))
    assert found is not None
    assert found["share_of_gain_persona_known"] == pytest.approx(1)
    assert found["share_of_gain_persona_blind"] == pytest.approx(1)
    assert found["mean_overlap"] == pytest.approx(1)
