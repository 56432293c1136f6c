"""Chance is not taken for dependence, one actor not for everybody, and what is planted is found."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from analytics_assets.core.models import markov_significance
from analytics_assets.core.models.markov_states import EXIT, START, Moves
from analytics_assets.core.models.sequences import OTHER, Sequences, Vocabulary
from analytics_assets_tests.core.models.building import DAY, make_sequences, planted
from analytics_assets_tests.core.models.chains import SESSIONS, independent


def test_quasi_independence_keeps_margins_and_products() -> None:
    counts = Moves.of(independent(200, 1)).counts
    never = np.ones(5, dtype=bool)
    null = markov_significance.independence(counts, never)
    assert not null.counts[~null.allowed].any()
    assert null.counts.sum(axis=0) == pytest.approx(counts.sum(axis=0))
    assert null.counts.sum(axis=1) == pytest.approx(counts.sum(axis=1))
    # a_i b_j: the cross ratio of any four allowed cells is 1.
    grid = null.counts
    assert grid[0, 2] * grid[1, 3] == pytest.approx(grid[0, 3] * grid[1, 2])
    assert grid[5, 0] * grid[2, 1] == pytest.approx(grid[5, 1] * grid[2, 0])


def test_spread_equals_the_hat_matrix_of_the_log_linear_model() -> None:
    counts = Moves.of(independent(150, 2, events=4)).counts
    null = markov_significance.independence(counts, np.ones(4, dtype=bool))
    rows, columns = np.nonzero(null.allowed)
    design = np.zeros((len(rows), 10))
    design[np.arange(len(rows)), rows] = 1
    design[np.arange(len(rows)), 5 + columns] = 1
    weighted = np.sqrt(null.counts[rows, columns])[:, None] * design
    hat = weighted @ np.linalg.pinv(weighted)
    assert null.spread[rows, columns] == pytest.approx(1 - np.diag(hat), abs=1e-8)


def test_spread_is_the_variance_of_residuals() -> None:
    """Tables drawn from the null and fitted anew: the variance of observed minus expected."""
    null = markov_significance.independence(Moves.of(independent(300, 3, events=4)).counts, np.ones(4, dtype=bool))
    rng = np.random.default_rng(1)
    total = int(null.counts.sum())
    residuals = []
    for _ in range(600):
        drawn = rng.multinomial(total, (null.counts / null.counts.sum()).ravel()).reshape(5, 5).astype(float)
        residuals.append(drawn - markov_significance.independence(drawn, np.ones(4, dtype=bool)).counts)
    allowed = null.allowed
    found = np.var(residuals, axis=0)[allowed]
    assert found == pytest.approx((null.counts * null.spread)[allowed], rel=0.3)


def test_plain_independence_has_the_known_residual() -> None:
    """Only (start) -> (exit) is impossible; where it hardly matters, the closed form of a full table is near."""
    rng = np.random.default_rng(4)
    counts = rng.integers(50, 200, (6, 6)).astype(float)
    counts[-1, :] = [1, 1, 1, 1, 1, 0]
    counts[:, -1] = [1, 1, 1, 1, 1, 0]
    null = markov_significance.independence(counts, np.zeros(5, dtype=bool))
    shares = counts[:5].sum(axis=1) / counts.sum(), counts[:, :5].sum(axis=0) / counts.sum()
    assert null.spread[:5, :5] == pytest.approx((1 - shares[0])[:, None] * (1 - shares[1]), rel=0.01)


def test_p_values_are_uniform_without_dependence_and_discoveries_rare() -> None:
    small, significant, tested = 0, 0, 0
    for seed in range(25):
        moves = Moves.of(independent(150, seed))
        table, found = markov_significance.transition_table(moves)
        assert found["collapsed"]
        chance = table["p_value"].to_numpy()
        small += int((chance < 0.05).sum())
        tested += len(chance)
        significant += found["more_than_chance"] + found["less_than_chance"]
    assert 0.015 < small / tested < 0.07, "design effects below 1 are not believed, so somewhat under 0.05"
    assert significant <= 5


def test_without_the_structural_zeros_chance_would_look_like_dependence() -> None:
    moves = Moves.of(independent(400, 1))
    _, right = markov_significance.transition_table(moves)
    _, wrong = markov_significance.transition_table(moves, collapsed=False)
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
            for row in markov_significance.transition_table(Moves.of(log))[0].to_pylist()
            if row["significant"] and row["lift"] > 1 and row["from_event"] != START and row["to_event"] != EXIT
        }

    assert found(sequences) == {(f"event {state}", f"event {(state + 1) % 5}") for state in range(5)}
    assert len(found(control)) <= 1


def test_the_habit_of_one_actor_is_not_taken_for_everybodys() -> None:
    rng = np.random.default_rng(3)
    sessions = [[str(event) for event in rng.integers(0, 6, 12)] for _ in range(150)]
    actors = [f"user:{number % 30}" for number in range(150)]
    machine = [["3", "5"] * 6 for _ in range(20)]
    table, _ = markov_significance.transition_table(
        Moves.of(make_sequences(sessions + machine, actors=actors + ["one"] * 20))
    )
    row = next(row for row in table.to_pylist() if (row["from_event"], row["to_event"]) == ("3", "5"))
    assert row["lift"] > 1.3
    assert row["design_effect"] > 5
    assert not row["significant"]
    everybody = [f"user:{number % 30}" for number in range(20)]
    table, _ = markov_significance.transition_table(
        Moves.of(make_sequences(sessions + machine, actors=actors + everybody))
    )
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
    effect = dict(zip(cells.tolist(), markov_significance.design_effects(moves, cells).tolist(), strict=True))
    chains = markov_significance.bootstrap_chains(moves, 2_000, 1)
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
        table, _ = markov_significance.transition_table(Moves.of(make_sequences(sessions, actors=actors)))
        row = next(row for row in table.to_pylist() if (row["from_event"], row["to_event"]) == ("a", "b"))
        covered += row["probability_low"] <= 0.5 <= row["probability_high"]
        half = 1.96 * np.sqrt(0.25 / len(sessions))
        plain += abs(row["probability"] - 0.5) <= half
    assert covered >= 70
    assert plain < 65, "independent draws would promise too much"


def test_small_counts_have_poisson_tails() -> None:
    from scipy.stats import norm, poisson

    observed, expected = np.array([0.0, 1, 3, 0, 2, 30]), np.array([0.01, 0.01, 1.5, 4.0, 2.0, 20.0])
    spread = np.full(6, 0.9)
    residual, chance = markov_significance.chance_of(observed, expected, spread)
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
    rows = markov_significance.transition_table(Moves.of(sequences))[0].to_pylist()
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
    table, found = markov_significance.transition_table(moves)
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
    _, found = markov_significance.transition_table(Moves.of(encoded))
    assert found["collapsed"]
    assert found["tested"] == 4 * 4 - 1 - 2
    _, never = markov_significance.transition_table(Moves.of(make_sequences([list("aab")])))
    assert not never["collapsed"]


def test_a_chain_that_changes_is_told_from_one_that_does_not() -> None:
    chances = []
    for seed in range(12):
        steady = planted(160, seed)
        chances.append(markov_significance.stationarity(Moves.of(steady), steady.starts, permutations=49, seed=seed)[1])
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
    table, found = markov_significance.stationarity(Moves.of(both), both.starts, permutations=49)
    assert found["p_value"] == 1 / 50
    assert found["excess_bits"] > 0.1
    assert table["sessions"].to_pylist() == [20] * 8
    assert table["p_value"].to_pylist() == [1 / 50] * 8
    mixed = np.random.default_rng(1).permutation(both.starts)
    assert markov_significance.stationarity(Moves.of(both), mixed, permutations=49)[1]["p_value"] > 0.05


def test_likelihood_ratio_of_periods_equals_its_definition() -> None:
    """Two periods, by dictionaries: the distance of each from all, averaged over its moves."""
    sessions = [list("abab"), list("abb"), list("aab"), list("bba")]
    sequences = make_sequences(sessions)
    table, _ = markov_significance.stationarity(Moves.of(sequences), sequences.starts, periods=2, permutations=1)

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
