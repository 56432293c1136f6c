"""What is derived from a chain equals what counting, iterating and simulating give."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from math import log, log2
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.core.files import json_bytes, write_table
from analytics_assets.core.models import markov_analysis as analysing
from analytics_assets.core.models.markov_analysis import EXIT, START, Chain, Moves
from analytics_assets.core.models.sequences import OTHER, Sequences, Vocabulary
from analytics_assets.schemas import Table
from analytics_assets.schemas import markov as schemas
from analytics_assets_tests.core.models.building import DAY, make_sequences, planted

TABLES: dict[str, Table] = {
    "edges": schemas.MARKOV_EDGES,
    "states": schemas.MARKOV_STATES,
    "goals": schemas.MARKOV_GOALS,
    "orders": schemas.MARKOV_ORDERS,
    "what_if": schemas.MARKOV_WHAT_IF,
    "periods": schemas.MARKOV_PERIODS,
    "flows": schemas.MARKOV_FLOWS,
}

SESSIONS = st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=7), min_size=1, max_size=20)


def chain_of(sequences: Sequences) -> Chain:
    moves = Moves.of(sequences)
    return Chain.of(moves.names, moves.counts)


def random_chain(seed: int, events: int = 5, *, density: float = 0.5) -> Chain:
    """Any stochastic matrix: with unreachable events and closed classes among them."""
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.3, 1, (events + 1, events + 1)) * (rng.random((events + 1, events + 1)) < density)
    weights[-1, -1] = 0
    if not weights[-1].any():
        weights[-1, 0] = 1
    return Chain.of([f"e{number}" for number in range(events)], weights)


def independent(count: int, seed: int, *, events: int = 5, collapsed: bool = True) -> Sequences:
    """Sessions in which what comes next does not depend on what came before, but for runs being one event."""
    rng = np.random.default_rng(seed)
    shares = np.arange(1, events + 1) / np.arange(1, events + 1).sum()
    sessions = []
    for _ in range(count):
        path: list[str] = []
        while not path or rng.random() < 0.85:
            event = str(rng.choice(events, p=shares))
            if not (collapsed and path and path[-1] == event):
                path.append(event)
        sessions.append(path)
    return make_sequences(sessions, actors=[f"user:{number % 40}" for number in range(count)])


@given(SESSIONS)
@settings(deadline=None)
def test_moves_are_all_steps_from_outside_to_outside(sessions: list[list[str]]) -> None:
    moves = Moves.of(make_sequences(sessions))
    names_from, names_to = [*moves.names, START], [*moves.names, EXIT]
    found = [
        (int(session), names_from[origin], names_to[target])
        for session, origin, target in zip(moves.session, moves.origin, moves.target, strict=True)
    ]
    plain = [
        (number, before, after)
        for number, session in enumerate(sessions)
        for before, after in zip([START, *session], [*session, EXIT], strict=True)
    ]
    assert found == plain
    assert np.isnan(moves.seconds).sum() == 2 * len(sessions)
    assert np.nanmax(moves.seconds, initial=10) == 10


def test_a_chain_solved_by_hand() -> None:
    """From a: half to b, half out. From b: half back to a, half to the goal. Sessions start at a.

    h(a) = h(b) / 2, h(b) = h(a) / 2 + 1/2: h(a) = 1/3, h(b) = 2/3. Of the ways from a to the goal, a b (a b)^k g has
    the chance (1/4)^(k + 1): the expected events are 2 + 2 k with k geometric of ratio 1/4, so 2 + 2/3.
    """
    chain = Chain(
        ["a", "b", "g"],
        np.array([[0, 0.5, 0, 0.5], [0.5, 0, 0.5, 0], [0, 0, 0, 1], [1, 0, 0, 0]]),
    )
    chance, moves = analysing.goal_chances(chain, ["g"])
    assert chance == pytest.approx([1 / 3, 2 / 3, 1, 1 / 3])
    assert moves == pytest.approx([8 / 3, 5 / 3, 0, 11 / 3])
    left, steps = analysing.exit_moves(chain)
    assert left == pytest.approx([1, 1, 1, 1])
    # t(a) = 1 + t(b) / 2, t(b) = 1 + t(a) / 2 + t(g) / 2, t(g) = 1.
    assert steps == pytest.approx([7 / 3, 8 / 3, 1, 10 / 3])
    # Without b nobody comes to g; without a nobody starts.
    reached, effects = analysing.removal_effects(chain, ["g"])
    assert reached == pytest.approx(1 / 3)
    assert effects == pytest.approx([1, 1, 1])


@given(st.integers(0, 10_000), st.integers(1, 3))
@settings(max_examples=50, deadline=None)
def test_absorption_equals_stepping_through_time(seed: int, goals: int) -> None:
    chain = random_chain(seed)
    chance, moves = analysing.goal_chances(chain, chain.names[:goals])
    # Row by row where a journey is after some moves, while it is neither at a goal nor outside again.
    here = np.eye(len(chain.names) + 1)
    total, weighted = np.zeros(len(here)), np.zeros(len(here))
    for step in range(1, 2_000):
        ahead = here @ chain.probability
        hit = ahead[:, :goals].sum(axis=1)
        total += hit
        weighted += step * hit
        here = ahead
        here[:, :goals] = 0
        here[:, -1] = 0
    assert chance[:goals].tolist() == [1] * goals
    assert moves[:goals].tolist() == [0] * goals
    assert chance[goals:] == pytest.approx(total[goals:], abs=1e-6)
    for start in range(goals, len(here)):
        if chance[start] > 1e-3:
            assert moves[start] == pytest.approx(weighted[start] / total[start], rel=1e-3)
        elif total[start] == 0:
            assert np.isnan(moves[start])


@given(st.integers(0, 10_000), st.integers(1, 3))
@settings(deadline=None)
def test_removal_effects_equal_solving_each_chain_without_the_event(seed: int, goals: int) -> None:
    chain = random_chain(seed)
    wanted = chain.names[:goals]
    before = analysing.goal_chances(chain, wanted)[0][-1]
    reached, effects = analysing.removal_effects(chain, wanted)
    assert reached == pytest.approx(before)
    if before == 0:
        assert np.isnan(effects).all()
        return
    for event, effect in zip(chain.names, effects, strict=True):
        after = analysing.goal_chances(chain.without(event, "exit"), wanted)[0][-1]
        assert effect == pytest.approx(1 - after / before, abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("reading", ["exit", "reroute"])
def test_simulation_agrees_with_linear_algebra(seed: int, reading: analysing.Reading) -> None:
    chain = chain_of(planted(60, seed, length=5))
    for removed in (None, "event 2"):
        altered = chain if removed is None else chain.without(removed, reading)
        drawn = analysing.simulate(chain, 20_000, seed, removed=removed, reading=reading)
        assert drawn.ended.all()
        expected = analysing.goal_chances(altered, ["event 4"])[0][-1]
        error = np.sqrt(expected * (1 - expected) / 20_000)
        assert drawn.reached(chain.mask(["event 4"])).mean() == pytest.approx(expected, abs=4.5 * error)
        mean = drawn.lengths.std() / np.sqrt(20_000)
        assert drawn.lengths.mean() == pytest.approx(analysing.exit_moves(altered)[1][-1] - 1, abs=4.5 * mean)
        names = {chain.names[code] for code in np.unique(drawn.codes)}
        assert (removed in names) is False


def test_simulated_journeys_make_the_same_moves() -> None:
    chain = chain_of(planted(300, 5))
    drawn = analysing.simulate(chain, 20_000, 3)
    again = analysing.simulate(chain, 20_000, 3)
    assert again.codes.tolist() == drawn.codes.tolist()
    counts = np.zeros_like(chain.probability)
    for journey in range(len(drawn.ended)):
        path = drawn.codes[drawn.offsets[journey] : drawn.offsets[journey + 1]].tolist()
        for origin, target in zip([-1, *path], [*path, -1], strict=True):
            counts[origin, target] += 1
    shares = counts / counts.sum(axis=1, keepdims=True)
    assert shares == pytest.approx(chain.probability, abs=0.02)
    assert not counts[chain.probability == 0].any()


def test_closed_classes_and_unreachable_events_have_defined_results() -> None:
    # a -> b <-> c for ever, d is never reached, and half of the sessions leave from a.
    chain = Chain(
        ["a", "b", "c", "d"],
        np.array([[0, 0.5, 0, 0, 0.5], [0, 0, 1, 0, 0], [0, 1, 0, 0, 0], [1, 0, 0, 0, 0], [1, 0, 0, 0, 0]]),
    )
    chance, steps = analysing.exit_moves(chain)
    assert chance == pytest.approx([0.5, 0, 0, 0.5, 0.5])
    assert steps[[0, 3, 4]] == pytest.approx([1, 2, 2])
    assert np.isnan(steps[[1, 2]]).all()
    assert analysing.goal_chances(chain, ["c"])[0] == pytest.approx([0.5, 1, 1, 0.5, 0.5])
    assert analysing.goal_chances(chain, ["d"])[0] == pytest.approx([0, 0, 0, 1, 0])
    assert np.isnan(analysing.removal_effects(chain, ["d"])[1]).all()
    assert analysing.removal_effects(chain, ["c"])[1] == pytest.approx([1, 1, 1, 0])
    drawn = analysing.simulate(chain, 400, 1)
    assert drawn.ended.mean() == pytest.approx(0.5, abs=0.12)
    assert set(drawn.lengths[~drawn.ended].tolist()) == {analysing.MAX_EVENTS}


def test_two_readings_of_a_removed_event() -> None:
    chain = chain_of(make_sequences([list("ab"), list("ac"), list("ab"), list("acb")]))
    assert chain.names == ["a", "b", "c"]
    gone = chain.without("c", "exit")
    assert gone.probability[0].tolist() == [0, 0.5, 0, 0.5]
    goes_on = chain.without("c", "reroute")
    assert goes_on.probability[0].tolist() == [0, 1, 0, 0]
    only = chain.without("a", "reroute")
    assert only.probability[-1].tolist() == [0, 0, 0, 1], "without the only entry nobody comes"
    assert analysing.simulate(chain, 10, 1, removed="a").lengths.tolist() == [0] * 10
    with pytest.raises(ValueError, match="no journey holds the event 'x'"):
        chain.without("x", "exit")


@given(SESSIONS)
@settings(deadline=None)
def test_the_stationary_distribution_does_not_move(sessions: list[list[str]]) -> None:
    moves = Moves.of(make_sequences(sessions))
    chain = Chain.of(moves.names, moves.counts)
    stationary = analysing.stationary(moves.counts)
    assert stationary @ chain.probability == pytest.approx(stationary)
    values, vectors = np.linalg.eig(chain.probability.T)
    left = np.real(vectors[:, np.argmin(np.abs(values - 1))])
    assert left / left.sum() == pytest.approx(stationary, abs=1e-8)


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
    exact = analysing.stationary(moves.counts) @ analysing.row_entropies(
        Chain.of(moves.names, moves.counts).probability
    )
    gaps, stated = [], []
    for part in range(60):
        small = truth.take(np.arange(part * 60, part * 60 + 60))
        found, _ = analysing.analysis(small, resamples=2, permutations=1, journeys=2)
        gaps.append(exact - found["entropy_rate"])
        stated.append(found["entropy_rate_bias"])
    assert np.mean(gaps) == pytest.approx(np.mean(stated), rel=0.35)


def test_quasi_independence_keeps_margins_and_products() -> None:
    counts = Moves.of(independent(200, 1)).counts
    never = np.ones(5, dtype=bool)
    null = analysing.independence(counts, never)
    assert not null.counts[~null.allowed].any()
    assert null.counts.sum(axis=0) == pytest.approx(counts.sum(axis=0))
    assert null.counts.sum(axis=1) == pytest.approx(counts.sum(axis=1))
    # a_i b_j: the cross ratio of any four allowed cells is 1.
    grid = null.counts
    assert grid[0, 2] * grid[1, 3] == pytest.approx(grid[0, 3] * grid[1, 2])
    assert grid[5, 0] * grid[2, 1] == pytest.approx(grid[5, 1] * grid[2, 0])


def test_spread_equals_the_hat_matrix_of_the_log_linear_model() -> None:
    counts = Moves.of(independent(150, 2, events=4)).counts
    null = analysing.independence(counts, np.ones(4, dtype=bool))
    rows, columns = np.nonzero(null.allowed)
    design = np.zeros((len(rows), 10))
    design[np.arange(len(rows)), rows] = 1
    design[np.arange(len(rows)), 5 + columns] = 1
    weighted = np.sqrt(null.counts[rows, columns])[:, None] * design
    hat = weighted @ np.linalg.pinv(weighted)
    assert null.spread[rows, columns] == pytest.approx(1 - np.diag(hat), abs=1e-8)


def test_spread_is_the_variance_of_residuals() -> None:
    """Tables drawn from the null and fitted anew: the variance of observed minus expected."""
    null = analysing.independence(Moves.of(independent(300, 3, events=4)).counts, np.ones(4, dtype=bool))
    rng = np.random.default_rng(1)
    total = int(null.counts.sum())
    residuals = []
    for _ in range(600):
        drawn = rng.multinomial(total, (null.counts / null.counts.sum()).ravel()).reshape(5, 5).astype(float)
        residuals.append(drawn - analysing.independence(drawn, np.ones(4, dtype=bool)).counts)
    allowed = null.allowed
    found = np.var(residuals, axis=0)[allowed]
    assert found == pytest.approx((null.counts * null.spread)[allowed], rel=0.3)


def test_plain_independence_has_the_known_residual() -> None:
    """Only (start) -> (exit) is impossible; where it hardly matters, the closed form of a full table is near."""
    rng = np.random.default_rng(4)
    counts = rng.integers(50, 200, (6, 6)).astype(float)
    counts[-1, :] = [1, 1, 1, 1, 1, 0]
    counts[:, -1] = [1, 1, 1, 1, 1, 0]
    null = analysing.independence(counts, np.zeros(5, dtype=bool))
    shares = counts[:5].sum(axis=1) / counts.sum(), counts[:, :5].sum(axis=0) / counts.sum()
    assert null.spread[:5, :5] == pytest.approx((1 - shares[0])[:, None] * (1 - shares[1]), rel=0.01)


def test_p_values_are_uniform_without_dependence_and_discoveries_rare() -> None:
    small, significant, tested = 0, 0, 0
    for seed in range(25):
        moves = Moves.of(independent(150, seed))
        table, found = analysing.transition_table(moves)
        assert found["collapsed"]
        chance = table["p_value"].to_numpy()
        small += int((chance < 0.05).sum())
        tested += len(chance)
        significant += found["more_than_chance"] + found["less_than_chance"]
    assert 0.015 < small / tested < 0.07, "design effects below 1 are not believed, so somewhat under 0.05"
    assert significant <= 5


def test_without_the_structural_zeros_chance_would_look_like_dependence() -> None:
    moves = Moves.of(independent(400, 1))
    _, right = analysing.transition_table(moves)
    _, wrong = analysing.transition_table(moves, collapsed=False)
    assert right["more_than_chance"] + right["less_than_chance"] <= 1
    assert wrong["less_than_chance"] >= 5, "every event's own repetition is missing"


def test_planted_moves_are_found_and_nothing_is_left_of_them_in_shuffled_order() -> None:
    sequences = planted(150, 1)
    rng = np.random.default_rng(2)
    shuffled = [
        rng.permutation(sequences.codes[start:end])
        for start, end in zip(sequences.offsets[:-1], sequences.offsets[1:], strict=True)
    ]
    control = replace(sequences, codes=np.concatenate(shuffled).astype(np.int32))

    def found(log: Sequences) -> set[tuple[str, str]]:
        return {
            (row["from_event"], row["to_event"])
            for row in analysing.transition_table(Moves.of(log))[0].to_pylist()
            if row["significant"] and row["lift"] > 1 and row["from_event"] != START and row["to_event"] != EXIT
        }

    assert found(sequences) == {(f"event {state}", f"event {(state + 1) % 5}") for state in range(5)}
    assert len(found(control)) <= 1


def test_the_habit_of_one_actor_is_not_taken_for_everybodys() -> None:
    rng = np.random.default_rng(3)
    sessions = [[str(event) for event in rng.integers(0, 6, 12)] for _ in range(150)]
    actors = [f"user:{number % 30}" for number in range(150)]
    machine = [["3", "5"] * 6 for _ in range(20)]
    table, _ = analysing.transition_table(Moves.of(make_sequences(sessions + machine, actors=actors + ["one"] * 20)))
    row = next(row for row in table.to_pylist() if (row["from_event"], row["to_event"]) == ("3", "5"))
    assert row["lift"] > 1.3
    assert row["design_effect"] > 5
    assert not row["significant"]
    everybody = [f"user:{number % 30}" for number in range(20)]
    table, _ = analysing.transition_table(Moves.of(make_sequences(sessions + machine, actors=actors + everybody)))
    row = next(row for row in table.to_pylist() if (row["from_event"], row["to_event"]) == ("3", "5"))
    assert row["significant"]


def test_design_effects_equal_the_variance_over_drawn_actors() -> None:
    rng = np.random.default_rng(5)
    sessions, actors = [], []
    for user in range(120):
        prefers = rng.random()
        for _ in range(6):
            sessions.append(["a", "b"] if rng.random() < prefers else ["a", "c"])
            actors.append(f"user:{user}")
    moves = Moves.of(make_sequences(sessions, actors=actors))
    cells = np.flatnonzero(moves.counts.ravel())
    effect = dict(zip(cells.tolist(), analysing.design_effects(moves, cells).tolist(), strict=True))
    chains = analysing.bootstrap_chains(moves, 2_000, 1)
    shares = np.array([chain.probability[0, 1] for chain in chains])
    p = float((np.array([session[1] for session in sessions]) == "b").mean())
    assert effect[1] == pytest.approx(shares.var() / (p * (1 - p) / len(sessions)), rel=0.15)
    assert effect[1] > 2, "an actor's six sessions are alike"
    assert effect[3 * 4] == 1, "the entry is always a"


def test_intervals_cover_the_truth_though_actors_differ() -> None:
    rng = np.random.default_rng(6)
    covered = plain = 0
    for _ in range(80):
        sessions, actors = [], []
        for user in range(60):
            prefers = rng.beta(1, 1)
            for _ in range(8):
                sessions.append(["a", "b"] if rng.random() < prefers else ["a", "c"])
                actors.append(f"user:{user:02d}")
        table, _ = analysing.transition_table(Moves.of(make_sequences(sessions, actors=actors)))
        row = next(row for row in table.to_pylist() if (row["from_event"], row["to_event"]) == ("a", "b"))
        covered += row["probability_low"] <= 0.5 <= row["probability_high"]
        half = 1.96 * np.sqrt(0.25 / len(sessions))
        plain += abs(row["probability"] - 0.5) <= half
    assert covered >= 70
    assert plain < 65, "independent draws would promise too much"


def test_wilson_equals_its_quadratic() -> None:
    """Ends p of the interval solve (share - p)^2 = z^2 p (1 - p) / n."""
    share, n = np.array([0.0, 0.1, 0.5, 1.0]), np.array([5.0, 40.5, 7.0, 3.0])
    for end in analysing.wilson(share, n):
        assert (share - end) ** 2 == pytest.approx(1.959964**2 * end * (1 - end) / n, abs=1e-9)


def test_small_counts_have_poisson_tails() -> None:
    from scipy.stats import norm, poisson

    observed, expected = np.array([0.0, 1, 3, 0, 2, 30]), np.array([0.01, 0.01, 1.5, 4.0, 2.0, 20.0])
    spread = np.full(6, 0.9)
    residual, chance = analysing.chance_of(observed, expected, spread)
    above, below = poisson.sf(observed - 1, expected), poisson.cdf(observed, expected)
    assert chance[:5] == pytest.approx(np.minimum(1, 2 * np.minimum(above, below))[:5])
    assert residual[5] == pytest.approx(10 / np.sqrt(18))
    assert chance[5] == pytest.approx(2 * norm.sf(10 / np.sqrt(18)))


@given(SESSIONS)
@settings(deadline=None)
def test_the_table_of_moves_equals_counting_by_hand(sessions: list[list[str]]) -> None:
    rng = np.random.default_rng(len(sessions))
    actors = [f"user:{number % 3}" for number in range(len(sessions))]
    sequences = make_sequences(sessions, actors=actors)
    times = np.concatenate([np.cumsum(rng.integers(1, 90, len(session))) * 1_000_000 for session in sessions])
    sequences = replace(sequences, times=sequences.starts[sequences.session_of] + times)
    counts: Counter[tuple[str, str]] = Counter()
    in_sessions, by_actors, seconds = defaultdict(set), defaultdict(set), defaultdict(list)
    event = 0
    for number, session in enumerate(sessions):
        for before, after in zip([START, *session], [*session, EXIT], strict=True):
            counts[before, after] += 1
            in_sessions[before, after].add(number)
            by_actors[before, after].add(actors[number])
            if before != START and after != EXIT:
                seconds[before, after].append((sequences.times[event + 1] - sequences.times[event]) / 1e6)
                event += 1
        event += 1
    leaving: Counter[str] = Counter()
    for (before, _), n in counts.items():
        leaving[before] += n
    rows = analysing.transition_table(Moves.of(sequences))[0].to_pylist()
    found = {(row["from_event"], row["to_event"]): row for row in rows if row["transitions"]}
    assert found.keys() == counts.keys()
    assert [row["transitions"] for row in rows] == sorted((row["transitions"] for row in rows), reverse=True)
    for pair, row in found.items():
        assert row["transitions"] == counts[pair]
        assert (row["sessions"], row["actors"]) == (len(in_sessions[pair]), len(by_actors[pair]))
        assert row["probability"] == pytest.approx(counts[pair] / leaving[pair[0]])
        assert row["probability_low"] <= row["probability"] <= row["probability_high"] + 1e-12
        quartiles = [row["dwell_p25"], row["dwell_median"], row["dwell_p75"]]
        if seconds[pair]:
            assert quartiles == pytest.approx(np.quantile(seconds[pair], [0.25, 0.5, 0.75]).tolist())
        else:
            assert quartiles == [None] * 3


def test_adjusted_p_values_follow_benjamini_and_hochberg() -> None:
    moves = Moves.of(planted(100, 3))
    table, found = analysing.transition_table(moves)
    # All 35 allowed moves of five events and the outside occur but for none: the table holds them all.
    assert table.num_rows == found["tested"] == 35
    chance, adjusted = table["p_value"].to_numpy(), table["q_value"].to_numpy()
    for value, q in zip(chance, adjusted, strict=True):
        plain = min(35 * other / (chance <= other).sum() for other in chance if other >= value)
        assert q == pytest.approx(min(1, plain))
    assert table["significant"].to_pylist() == (adjusted <= 0.05).tolist()


def test_rare_types_may_follow_themselves_in_a_collapsed_stream() -> None:
    sequences = make_sequences([list("axyab"), list("byxab"), list("abab"), list("baxy")])
    encoded = Vocabulary(["a", "b", OTHER]).encode(sequences)
    _, found = analysing.transition_table(Moves.of(encoded))
    assert found["collapsed"]
    assert found["tested"] == 4 * 4 - 1 - 2
    _, never = analysing.transition_table(Moves.of(make_sequences([list("aab")])))
    assert not never["collapsed"]


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


def test_a_chain_that_changes_is_told_from_one_that_does_not() -> None:
    chances = []
    for seed in range(12):
        steady = planted(160, seed)
        chances.append(analysing.stationarity(Moves.of(steady), steady.starts, permutations=49, seed=seed)[1])
    values = [found["p_value"] for found in chances]
    assert np.mean(values) == pytest.approx(0.5, abs=0.3)
    assert sum(value <= 0.05 for value in values) <= 3
    assert np.mean([found["excess_bits"] for found in chances]) == pytest.approx(0, abs=0.01)
    forwards = planted(80, 20)
    backwards = replace(forwards, codes=(4 - forwards.codes).astype(np.int32), starts=forwards.starts + 100 * DAY)
    both = make_sequences(
        [
            [sequences.vocabulary[code] for code in sequences.codes[start:end]]
            for sequences in (forwards, backwards)
            for start, end in zip(sequences.offsets[:-1], sequences.offsets[1:], strict=True)
        ]
    )
    table, found = analysing.stationarity(Moves.of(both), both.starts, permutations=49)
    assert found["p_value"] == 1 / 50
    assert found["excess_bits"] > 0.1
    assert table["sessions"].to_pylist() == [20] * 8
    assert table["p_value"].to_pylist() == [1 / 50] * 8
    mixed = np.random.default_rng(1).permutation(both.starts)
    assert analysing.stationarity(Moves.of(both), mixed, permutations=49)[1]["p_value"] > 0.05


def test_likelihood_ratio_of_periods_equals_its_definition() -> None:
    """Two periods, by dictionaries: the distance of each from all, averaged over its moves."""
    sessions = [list("abab"), list("abb"), list("aab"), list("bba")]
    sequences = make_sequences(sessions)
    table, _ = analysing.stationarity(Moves.of(sequences), sequences.starts, periods=2, permutations=1)

    def shares(some: list[list[str]]) -> tuple[Counter[str], dict[str, Counter[str]]]:
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for session in some:
            for before, after in zip([START, *session], [*session, EXIT], strict=True):
                found[before][after] += 1
        return Counter({name: row.total() for name, row in found.items()}), found

    totals, pooled = shares(sessions)
    for part, distance in zip((sessions[:2], sessions[2:]), table["distance"].to_pylist(), strict=True):
        own_totals, own = shares(part)
        plain = sum(
            own_totals[name]
            / own_totals.total()
            * sum(abs(own[name][after] / own_totals[name] - n / totals[name]) for after, n in pooled[name].items())
            / 2
            for name in own_totals
        )
        assert distance == pytest.approx(plain)


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


def test_default_goals_are_where_more_sessions_end_than_start() -> None:
    sessions = [list("abz")] * 6 + [list("az")] * 3 + [list("ab")] * 2 + [list("za")] * 1
    assert analysing.default_goals(Moves.of(make_sequences(sessions))) == ["z", "b"]
    assert analysing.default_goals(Moves.of(make_sequences([["a"], ["b"]]))) == []


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
