"""The chain of variable order equals its formula written out, and its artefact predicts the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import log2
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.core.models import markov
from analytics_assets.core.models.markov import MarkovChain
from analytics_assets.core.models.next_event import MIN_PROBABILITY, predict, score
from analytics_assets.core.models.sequences import OTHER, Sequences, Vocabulary
from analytics_assets_tests.core.models.building import make_sequences, make_task, planted

EVENTS = ["a", "b", "c", OTHER]
SESSIONS = st.lists(st.lists(st.sampled_from("abcx"), min_size=1, max_size=6), min_size=1, max_size=12)


def encoded(sessions: list[list[str]]) -> Sequences:
    return Vocabulary(EVENTS).encode(make_sequences(sessions))


def named(sessions: list[list[str]]) -> list[list[str]]:
    return [[event if event in EVENTS else OTHER for event in session] for session in sessions]


class Plain:
    """P(x | h) = (c(h, x) + m P(x | h')) / (c(h) + m) by dictionaries."""

    def __init__(self, sessions: list[list[str]], strengths: list[float], events: list[str]) -> None:
        self.strengths, self.events = strengths, len(events)
        self.single = Counter(event for session in sessions for event in session)
        self.pairs: Counter[tuple[tuple[str, ...], str]] = Counter()
        for session in sessions:
            for place in range(1, len(session)):
                for order in range(1, len(strengths) + 1):
                    self.pairs[context(session, place, order), session[place]] += 1
        self.totals: Counter[tuple[str, ...]] = Counter()
        for (history, _), n in self.pairs.items():
            self.totals[history] += n

    def chance(self, session: list[str], place: int, event: str, order: int) -> float:
        if order == 0:
            return (self.single[event] + 1 / self.events) / (self.single.total() + 1)
        history, strength = context(session, place, order), self.strengths[order - 1]
        shorter = self.chance(session, place, event, order - 1)
        if not self.totals[history]:
            return shorter
        return (self.pairs[history, event] + strength * shorter) / (self.totals[history] + strength)

    def bits(self, sessions: list[list[str]], order: int) -> float:
        chances = [
            self.chance(session, place, session[place], order)
            for session in sessions
            for place in range(1, len(session))
        ]
        return -sum(log2(max(chance, MIN_PROBABILITY)) for chance in chances) / len(chances)


def context(session: list[str], place: int, order: int) -> tuple[str, ...]:
    return tuple((["^"] * order + session)[place : place + order])


@given(SESSIONS, SESSIONS, st.integers(0, 4))
@settings(deadline=None, max_examples=60)
def test_distributions_equal_the_formula(train: list[list[str]], test: list[list[str]], max_order: int) -> None:
    chain, choice = markov.fit(encoded(train), encoded(train), max_order=max_order)
    plain = Plain(named(train), choice["strengths"], EVENTS)
    order = len(chain.orders)
    if any(len(session) > 1 for session in train):
        assert order == choice["order"]
    found = chain.distributions(encoded(test))
    expected = [
        [plain.chance(session, place, event, order) for event in EVENTS]
        for session in named(test)
        for place in range(1, len(session))
    ]
    assert found.shape == (len(expected), 4)
    assert found == pytest.approx(np.array(expected).reshape(-1, 4))
    assert found.sum(axis=1) == pytest.approx(np.ones(len(expected)))


def test_strengths_and_order_are_the_best_on_validation() -> None:
    train, validation = planted(40, 1), planted(30, 2)
    names = [*train.vocabulary, OTHER]
    train, validation = Vocabulary(names).encode(train), Vocabulary(names).encode(validation)
    tried = (0.5, 5.0, 50.0)
    chain, choice = markov.fit(train, validation, max_order=3, strengths=tried)

    def sessions(sequences: Sequences) -> list[list[str]]:
        return [
            [names[code] for code in sequences.codes[start:end]]
            for start, end in zip(sequences.offsets[:-1], sequences.offsets[1:], strict=True)
        ]

    learned, held_out = sessions(train), sessions(validation)
    strengths: list[float] = []
    bits = [Plain(learned, [], names).bits(held_out, 0)]
    for order in range(1, 4):
        by_strength = {
            strength: Plain(learned, [*strengths, strength], names).bits(held_out, order) for strength in tried
        }
        strengths.append(min(by_strength, key=lambda strength: (by_strength[strength], strength)))
        bits.append(by_strength[strengths[-1]])
    assert choice["strengths"] == strengths
    assert choice["validation_bits"] == pytest.approx(bits)
    assert choice["order"] == len(chain.orders) == int(np.argmin(bits))
    assert score(chain, validation).bits.mean() == pytest.approx(min(bits))


def test_contexts_pay_up_to_the_order_of_the_data() -> None:
    """Longer ones neither gain nor, thanks to strong priors, cost more than noise."""
    one = make_task(planted(200, 1), planted(60, 2), planted(60, 3))
    bits = markov.fit(one.train, one.validation)[1]["validation_bits"]
    assert bits[0] - bits[1] > 0.5
    assert bits[1:] == pytest.approx([bits[1]] * 5, abs=0.02)
    rng = np.random.default_rng(1)

    def remembering(count: int) -> Sequences:
        sessions = []
        for _ in range(count):
            path = [int(event) for event in rng.integers(0, 4, 2)]
            while len(path) < 12:
                path.append((path[-2] + 1) % 4 if rng.random() < 0.8 else int(rng.integers(4)))
            sessions.append([str(event) for event in path])
        return make_sequences(sessions)

    two = make_task(remembering(200), remembering(60), remembering(60))
    chain, choice = markov.fit(two.train, two.validation)
    bits = choice["validation_bits"]
    assert bits[1] - bits[2] > 0.5
    assert bits[2:] == pytest.approx([bits[2]] * 4, abs=0.03)
    assert len(chain.orders) == choice["order"] >= 2


def test_it_comes_near_the_optimum_and_falls_to_chance_in_shuffled_order() -> None:
    rng = np.random.default_rng(3)

    def shuffled(sequences: Sequences) -> Sequences:
        """Each session's events in random order: equally frequent, without structure."""
        parts = [
            rng.permutation(sequences.codes[start:end])
            for start, end in zip(sequences.offsets[:-1], sequences.offsets[1:], strict=True)
        ]
        return replace(sequences, codes=np.concatenate(parts))

    task = make_task(planted(400, 1), planted(80, 2), planted(200, 3))
    chain, _ = markov.fit(task.train, task.validation)
    assert score(chain, task.test).hits(1).mean() == pytest.approx(0.76, abs=0.03)
    control, _ = markov.fit(shuffled(task.train), shuffled(task.validation))
    found = score(control, shuffled(task.test))
    assert found.hits(1).mean() < 0.27
    assert found.bits.mean() > log2(5) - 0.05


def test_counts_come_from_training_sessions_only() -> None:
    train, names = planted(60, 1), [*planted(60, 1).vocabulary, OTHER]
    train = Vocabulary(names).encode(train)
    validation = Vocabulary(names).encode(planted(30, 2))
    corrupted = replace(validation, codes=validation.codes[::-1].copy())
    one, _ = markov.fit(train, validation, strengths=(2.0,))
    two, _ = markov.fit(train, corrupted, strengths=(2.0,))
    assert one.base.tolist() == two.base.tolist()
    for first, second in zip(one.orders, two.orders, strict=False):
        assert first.codes.tolist() == second.codes.tolist()
        assert (first.counts != second.counts).nnz == 0


def test_a_saved_chain_predicts_the_same_to_the_last_bit(tmp_path: Path) -> None:
    task = make_task(planted(100, 1), planted(30, 2), planted(30, 3))
    for max_order in (0, 1, 3):
        folder = tmp_path / str(max_order)
        folder.mkdir()
        chain, _ = markov.fit(task.train, task.validation.take(np.array([], dtype=np.int64)), max_order=max_order)
        assert len(chain.orders) == max_order
        chain.save(folder)
        again = MarkovChain.load(folder)
        assert again.vocabulary == chain.vocabulary
        assert again.distributions(task.test).tolist() == chain.distributions(task.test).tolist()
        events = ["event 1", "event 2", "never seen"]
        assert predict(again, events) == predict(chain, events)


def test_a_shorter_chain_is_the_longer_one_without_its_longest_contexts() -> None:
    task = make_task(planted(80, 1), planted(20, 2), planted(20, 3))
    nothing = task.validation.take(np.array([], dtype=np.int64))
    long, _ = markov.fit(task.train, nothing, max_order=3)
    short, _ = markov.fit(task.train, nothing, max_order=1)
    assert long.truncated(1).distributions(task.test).tolist() == short.distributions(task.test).tolist()


def test_the_start_of_a_session_is_a_context_of_its_own() -> None:
    sessions = [["a", "b"]] * 10 + [["c", "a", "c"]] * 10
    chain, _ = markov.fit(encoded(sessions), encoded([["a"]]), max_order=2)
    assert predict(chain, ["a"])["b"] > 0.9
    assert predict(chain, ["c", "a"])["c"] > 0.9


def test_unseen_events_and_contexts_back_off() -> None:
    chain, _ = markov.fit(encoded([list("abab"), list("cb")]), encoded([["a"]]), max_order=2)
    after_unseen = predict(chain, ["who knows"])
    assert list(after_unseen.values()) == pytest.approx(chain.base.tolist()), "(other) never came: the shares"
    after_pair = predict(chain, ["c", "a"])
    assert list(after_pair.values()) == pytest.approx(
        chain.truncated(1).distributions(encoded([["c", "a", "a"]]))[1].tolist()
    )
    assert sum(after_pair.values()) == pytest.approx(1)


def test_tiny_data_has_a_defined_result(tmp_path: Path) -> None:
    nothing = encoded([["a"]]).take(np.array([], dtype=np.int64))
    cases = {
        "one event type": (encoded([["a", "a", "a"], ["a", "a"]]), encoded([["a", "a"]])),
        "single events": (encoded([["a"], ["b"]]), encoded([["a"]])),
        "no validation": (encoded([list("ab"), list("ba")]), nothing),
        "no training": (nothing, encoded([list("ab")])),
        "nothing": (nothing, nothing),
    }
    for name, (train, validation) in cases.items():
        chain, choice = markov.fit(train, validation)
        folder = tmp_path / name
        folder.mkdir()
        chain.save(folder)
        chances = MarkovChain.load(folder).distributions(encoded([list("abcx")]))
        assert chances.sum(axis=1) == pytest.approx(np.ones(3)), name
        assert (chances > 0).all(), name
        assert len(choice["validation_bits"]) == (6 if len(validation.positions) else 0), name
    assert markov.fit(*cases["no validation"])[1]["order"] == markov.MAX_ORDER
    assert predict(markov.fit(*cases["one event type"])[0], ["a"])["a"] > 0.9
    assert markov.fit(*cases["single events"])[0].distributions(encoded([["a"]])).shape == (0, 4)


def test_orders_that_cannot_be_coded_are_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 7"):
        markov.fit(encoded([["a"]]), encoded([["a"]]), max_order=8)
    many = make_sequences([[f"event {number}" for number in range(600)]])
    with pytest.raises(ValueError, match=r"600 event types .* 7 events"):
        markov.context_codes(many, 7)
    assert len(np.unique(markov.context_codes(many, 6))) == 599
