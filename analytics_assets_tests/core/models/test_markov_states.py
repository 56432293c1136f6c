"""What follows from a chain equals what counting, iterating and simulating give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.core.models import markov_states
from analytics_assets.core.models.markov_states import EXIT, START, Chain, Moves
from analytics_assets_tests.core.models.building import make_sequences, planted
from analytics_assets_tests.core.models.chains import SESSIONS, chain_of, random_chain


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
    chance, moves = markov_states.goal_chances(chain, ["g"])
    assert chance == pytest.approx([1 / 3, 2 / 3, 1, 1 / 3])
    assert moves == pytest.approx([8 / 3, 5 / 3, 0, 11 / 3])
    left, steps = markov_states.exit_moves(chain)
    assert left == pytest.approx([1, 1, 1, 1])
    # t(a) = 1 + t(b) / 2, t(b) = 1 + t(a) / 2 + t(g) / 2, t(g) = 1.
    assert steps == pytest.approx([7 / 3, 8 / 3, 1, 10 / 3])
    # Without b nobody comes to g; without a nobody starts.
    reached, effects = markov_states.removal_effects(chain, ["g"])
    assert reached == pytest.approx(1 / 3)
    assert effects == pytest.approx([1, 1, 1])


@given(st.integers(0, 10_000), st.integers(1, 3))
@settings(max_examples=50, deadline=None)
def test_absorption_equals_stepping_through_time(seed: int, goals: int) -> None:
    chain = random_chain(seed)
    chance, moves = markov_states.goal_chances(chain, chain.names[:goals])
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
    before = markov_states.goal_chances(chain, wanted)[0][-1]
    reached, effects = markov_states.removal_effects(chain, wanted)
    assert reached == pytest.approx(before)
    if before == 0:
        assert np.isnan(effects).all()
        return
    for event, effect in zip(chain.names, effects, strict=True):
        after = markov_states.goal_chances(chain.without(event, "exit"), wanted)[0][-1]
        assert effect == pytest.approx(1 - after / before, abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("reading", ["exit", "reroute"])
def test_simulation_agrees_with_linear_algebra(seed: int, reading: markov_states.Reading) -> None:
    chain = chain_of(planted(60, seed, length=5))
    for removed in (None, "event 2"):
        altered = chain if removed is None else chain.without(removed, reading)
        drawn = markov_states.simulate(chain, 20_000, seed, removed=removed, reading=reading)
        assert drawn.ended.all()
        expected = markov_states.goal_chances(altered, ["event 4"])[0][-1]
        error = np.sqrt(expected * (1 - expected) / 20_000)
        assert drawn.reached(chain.mask(["event 4"])).mean() == pytest.approx(expected, abs=4.5 * error)
        mean = drawn.lengths.std() / np.sqrt(20_000)
        assert drawn.lengths.mean() == pytest.approx(markov_states.exit_moves(altered)[1][-1] - 1, abs=4.5 * mean)
        names = {chain.names[code] for code in np.unique(drawn.codes)}
        assert (removed in names) is False


def test_simulated_journeys_make_the_same_moves() -> None:
    chain = chain_of(planted(300, 5))
    drawn = markov_states.simulate(chain, 20_000, 3)
    again = markov_states.simulate(chain, 20_000, 3)
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
    chance, steps = markov_states.exit_moves(chain)
    assert chance == pytest.approx([0.5, 0, 0, 0.5, 0.5])
    assert steps[[0, 3, 4]] == pytest.approx([1, 2, 2])
    assert np.isnan(steps[[1, 2]]).all()
    assert markov_states.goal_chances(chain, ["c"])[0] == pytest.approx([0.5, 1, 1, 0.5, 0.5])
    assert markov_states.goal_chances(chain, ["d"])[0] == pytest.approx([0, 0, 0, 1, 0])
    assert np.isnan(markov_states.removal_effects(chain, ["d"])[1]).all()
    assert markov_states.removal_effects(chain, ["c"])[1] == pytest.approx([1, 1, 1, 0])
    drawn = markov_states.simulate(chain, 400, 1)
    assert drawn.ended.mean() == pytest.approx(0.5, abs=0.12)
    assert set(drawn.lengths[~drawn.ended].tolist()) == {markov_states.MAX_EVENTS}


def test_two_readings_of_a_removed_event() -> None:
    chain = chain_of(make_sequences([list("ab"), list("ac"), list("ab"), list("acb")]))
    assert chain.names == ["a", "b", "c"]
    gone = chain.without("c", "exit")
    assert gone.probability[0].tolist() == [0, 0.5, 0, 0.5]
    goes_on = chain.without("c", "reroute")
    assert goes_on.probability[0].tolist() == [0, 1, 0, 0]
    only = chain.without("a", "reroute")
    assert only.probability[-1].tolist() == [0, 0, 0, 1], "without the only entry nobody comes"
    assert markov_states.simulate(chain, 10, 1, removed="a").lengths.tolist() == [0] * 10
    with pytest.raises(ValueError, match="no journey holds the event 'x'"):
        chain.without("x", "exit")


@given(SESSIONS)
@settings(deadline=None)
def test_the_stationary_distribution_does_not_move(sessions: list[list[str]]) -> None:
    moves = Moves.of(make_sequences(sessions))
    chain = Chain.of(moves.names, moves.counts)
    stationary = markov_states.stationary(moves.counts)
    assert stationary @ chain.probability == pytest.approx(stationary)
    values, vectors = np.linalg.eig(chain.probability.T)
    left = np.real(vectors[:, np.argmin(np.abs(values - 1))])
    assert left / left.sum() == pytest.approx(stationary, abs=1e-8)


def test_default_goals_are_where_more_sessions_end_than_start() -> None:
    sessions = [list("abz")] * 6 + [list("az")] * 3 + [list("ab")] * 2 + [list("za")] * 1
    assert markov_states.default_goals(Moves.of(make_sequences(sessions))) == ["z", "b"]
    assert markov_states.default_goals(Moves.of(make_sequences([["a"], ["b"]]))) == []
