"""Each lower rung equals its definition written out with dictionaries."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.core.models import baselines
from analytics_assets.core.models.baselines import BASELINES
from analytics_assets.core.models.next_event import predict, score
from analytics_assets.core.models.sequences import OTHER, Sequences, Vocabulary
from analytics_assets_tests.core.models.building import make_sequences, make_task, planted

EVENTS = ["a", "b", "c", "d", OTHER]
SESSIONS = st.lists(st.lists(st.sampled_from("abcdx"), min_size=1, max_size=14), min_size=1, max_size=10)


def encoded(sessions: list[list[str]], *, minutes: float = 25) -> Sequences:
    return Vocabulary(EVENTS).encode(make_sequences(sessions, gap_seconds=60 * minutes))


def named(sessions: list[list[str]]) -> list[list[str]]:
    return [[event if event in EVENTS else OTHER for event in session] for session in sessions]


def shares(sessions: list[list[str]]) -> list[float]:
    events = [event for session in named(sessions) for event in session]
    return [(events.count(event) + 0.2) / (len(events) + 1) for event in EVENTS]


def prefixes(sessions: list[list[str]]) -> list[list[str]]:
    return [session[:place] for session in named(sessions) for place in range(1, len(session))]


def check(found: np.ndarray, expected: list[list[float]]) -> None:
    assert found.shape == (len(expected), len(EVENTS))
    assert found == pytest.approx(np.array(expected).reshape(-1, len(EVENTS)))


@given(SESSIONS, SESSIONS)
@settings(deadline=None, max_examples=40)
def test_most_frequent(train: list[list[str]], test: list[list[str]]) -> None:
    model = BASELINES["most_frequent"].fit(encoded(train))
    check(model.distributions(encoded(test)), [shares(train) for _ in prefixes(test)])


@given(SESSIONS, SESSIONS)
@settings(deadline=None, max_examples=40)
def test_hour_popularity(train: list[list[str]], test: list[list[str]]) -> None:
    """Events are 25 minutes apart and sessions start on the hour, so the hour before event k of session s is known."""
    counts: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for number, session in enumerate(named(train)):
        for place in range(1, len(session)):
            counts[(number + 25 * (place - 1) // 60) % 24][session[place]] += 1
    expected = []
    for number, session in enumerate(test):
        for place in range(1, len(session)):
            of_hour = counts[(number + 25 * (place - 1) // 60) % 24]
            total = sum(of_hour.values()) + 100
            expected.append(
                [(of_hour[event] + 100 * share) / total for event, share in zip(EVENTS, shares(train), strict=True)]
            )
    check(BASELINES["hour_popularity"].fit(encoded(train)).distributions(encoded(test)), expected)


@given(SESSIONS, SESSIONS)
@settings(deadline=None, max_examples=40)
def test_repeat_last(train: list[list[str]], test: list[list[str]]) -> None:
    pairs = [pair for session in named(train) for pair in pairwise(session)]
    repeated = sum(first == second for first, second in pairs) / len(pairs) if pairs else 0
    weight = min(0.99, max(0.5, repeated))
    expected = [
        [
            (1 - weight) * share + weight * (event == prefix[-1])
            for event, share in zip(EVENTS, shares(train), strict=True)
        ]
        for prefix in prefixes(test)
    ]
    found = BASELINES["repeat_last"].fit(encoded(train)).distributions(encoded(test))
    check(found, expected)
    assert found.argmax(axis=1).tolist() == [EVENTS.index(prefix[-1]) for prefix in prefixes(test)]


@given(SESSIONS, SESSIONS)
@settings(deadline=None, max_examples=40)
def test_sequential_rules(train: list[list[str]], test: list[list[str]]) -> None:
    rules: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for session in named(train):
        for first in range(len(session)):
            for second in range(first + 1, min(len(session), first + 11)):
                rules[session[first]][session[second]] += 1 / (second - first)
    expected = []
    for prefix in prefixes(test):
        found = rules[prefix[-1]]
        total = sum(found.values())
        known = [found[event] / total for event in EVENTS] if total else shares(train)
        expected.append([0.9 * rule + 0.1 * share for rule, share in zip(known, shares(train), strict=True)])
    check(BASELINES["sequential_rules"].fit(encoded(train)).distributions(encoded(test)), expected)


def neighbours(train: list[list[str]], prefix: list[str]) -> list[float]:
    """Votes of the most similar training sessions, the newer one of equals."""
    weights: dict[str, float] = {}
    for back, event in enumerate(reversed(prefix[-10:]), start=1):
        weights.setdefault(event, 1 / back)
    candidates = [set(session) for session in named(train) if len(session) > 1]
    similar = [
        (round(sum(weights.get(event, 0) for event in found) / sqrt(len(found)), 6), number)
        for number, found in enumerate(candidates)
    ]
    votes: dict[str, float] = defaultdict(float)
    for similarity, number in sorted(similar)[-baselines.NEIGHBOURS :]:
        for event in candidates[number]:
            votes[event] += similarity
    total = sum(votes.values())
    known = [votes[event] / total for event in EVENTS] if total else shares(train)
    return [0.9 * vote + 0.1 * share for vote, share in zip(known, shares(train), strict=True)]


@given(SESSIONS, SESSIONS)
@settings(deadline=None, max_examples=40)
def test_nearest_sessions(train: list[list[str]], test: list[list[str]]) -> None:
    found = BASELINES["nearest_sessions"].fit(encoded(train)).distributions(encoded(test))
    expected = [neighbours(train, prefix) for prefix in prefixes(test)]
    assert found == pytest.approx(np.array(expected).reshape(-1, len(EVENTS)), abs=1e-5)


def test_only_the_nearest_sessions_vote_and_newer_ones_first() -> None:
    rng = np.random.default_rng(1)
    train = [[str(event) for event in rng.choice(list("abcdx"), rng.integers(1, 6))] for _ in range(400)]
    test = [[str(event) for event in rng.choice(list("abcdx"), 4)] for _ in range(700)]
    model = BASELINES["nearest_sessions"].fit(encoded(train))
    found = model.distributions(encoded(test))
    assert len(found) > baselines.NEIGHBOUR_ROWS, "more than one portion"
    assert found[:90] == pytest.approx(
        np.array([neighbours(train, prefix) for prefix in prefixes(test[:30])]), abs=1e-5
    )
    assert found[-90:] == pytest.approx(model.distributions(encoded(test[-30:])), abs=1e-12)


def test_the_latest_sessions_are_kept() -> None:
    many = [["a", "b"]] * 50 + [["a", "c"]] * baselines.SAMPLED_SESSIONS
    model = BASELINES["nearest_sessions"].fit(encoded(many))
    assert model.members.shape[0] == baselines.SAMPLED_SESSIONS
    held = np.asarray(model.members.sum(axis=0)).ravel()
    assert held.tolist() == [baselines.SAMPLED_SESSIONS, 0, baselines.SAMPLED_SESSIONS, 0, 0]


@pytest.mark.parametrize("name", BASELINES)
def test_tiny_data_has_a_defined_result(name: str) -> None:
    nothing = encoded([["a"]]).take(np.array([], dtype=np.int64))
    for train in (nothing, encoded([["a"]]), encoded([["a", "a", "a"]]), encoded([["a", "b"], ["b", "a"]])):
        model = BASELINES[name].fit(train)
        chances = model.distributions(encoded([list("abxd"), ["c"]]))
        assert chances.shape == (3, 5)
        assert chances.sum(axis=1) == pytest.approx(np.ones(3))
        assert (chances >= 0).all()
        assert model.distributions(nothing).shape == (0, 5)
        assert model.distributions(encoded([["c"]])).shape == (0, 5)
        assert sum(predict(model, ["never seen"]).values()) == pytest.approx(1)


@pytest.mark.parametrize("name", BASELINES)
def test_a_distribution_knows_nothing_of_what_comes(name: str) -> None:
    """The events after a position do not change its distribution."""
    model = BASELINES[name].fit(encoded([list("abcd"), list("bdca"), list("aacc")]))
    one = encoded([list("abca")])
    two = replace(one, codes=np.array([*one.codes[:2], 3, 3], dtype=np.int32))
    assert model.distributions(one)[:2].tolist() == model.distributions(two)[:2].tolist()


def test_a_planted_rule_is_used_by_rules_only() -> None:
    task = make_task(planted(300, 1), planted(20, 2), planted(150, 3))
    top1 = {name: score(rung.fit(task.train), task.test).hits(1).mean() for name, rung in BASELINES.items()}
    assert top1["sequential_rules"] == pytest.approx(0.76, abs=0.03)
    for name in ("most_frequent", "hour_popularity"):
        assert top1[name] == pytest.approx(0.2, abs=0.05)
    assert top1["repeat_last"] == pytest.approx(0.06, abs=0.03)
