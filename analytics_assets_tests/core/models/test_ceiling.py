"""The exact filter equals adding up all hidden paths, and scores what the sample says is possible."""

from __future__ import annotations

import itertools
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from analytics_assets.core.models.ceiling import BayesOptimal, personas_of
from analytics_assets.core.models.markov import fit
from analytics_assets.core.models.next_event import score
from analytics_assets.core.models.sequences import OTHER, Sequences, Vocabulary
from analytics_assets.sample.generator import SampleConfig, write_sample
from analytics_assets_tests.core.models.building import make_sequences
from analytics_assets_tests.sample.reading import read_sample, sessions_of

TRUTH = {
    "hidden_states": ["look", "work"],
    "intent_events": ["a", "b", "c"],
    "emission": [[0.6, 0.3, 0.1], [0.1, 0.3, 0.6]],
    "personas": {
        # The last column is the session's end.
        "brisk": {"initial": [0.7, 0.3], "transition": [[0.2, 0.3, 0.5], [0.15, 0.25, 0.6]]},
        "other": {"initial": [0.1, 0.9], "transition": [[0.1, 0.2, 0.7], [0.3, 0.05, 0.65]]},
    },
    "users": {
        "1": {"user_id": "ann", "device_ids": ["d1", "d2"], "persona": "brisk"},
        "2": {"user_id": None, "device_ids": ["d2", "d3"], "persona": "other"},
    },
}
LONGEST = 11
"""Events of an uncollapsed path that are added up: what is left out has a chance below 1e-4 of the rest."""


def path_weight(persona: str, events: str) -> float:
    """Chance that a session starts with exactly these events, over all hidden paths."""
    parameters = TRUTH["personas"][persona]
    total = 0.0
    for hidden in itertools.product(range(2), repeat=len(events)):
        weight = parameters["initial"][hidden[0]]
        for place, event in enumerate(events):
            weight *= TRUTH["emission"][hidden[place]]["abc".index(event)]
            if place:
                weight *= parameters["transition"][hidden[place - 1]][hidden[place]]
        total += weight
    return total


def collapsed_weight(persona: str, runs: str) -> float:
    """Chance that the session starts with these runs, the last one having begun: all lengths of the runs before."""
    before = len(runs) - 1
    total = 0.0
    for lengths in itertools.product(range(1, LONGEST), repeat=before):
        if sum(lengths) < LONGEST:
            spelled = "".join(event * length for event, length in zip(runs, lengths, strict=False))
            total += path_weight(persona, spelled + runs[-1])
    return total


@pytest.mark.parametrize(
    ("actor", "persona"),
    [("user:ann", "brisk"), ("device:d1", "brisk"), ("device:d2", "brisk"), ("device:d3", "other")],
)
def test_the_filter_adds_up_all_hidden_paths_and_lengths_of_runs(actor: str, persona: str) -> None:
    vocabulary = ["a", "b", "c", OTHER]
    model = BayesOptimal.of(TRUTH, vocabulary)
    for runs in ("ab", "abc", "cba"):
        session = Vocabulary(vocabulary).encode(make_sequences([list(runs)], actors=[actor]))
        assert model.known(session).all()
        for place, found in enumerate(model.distributions(session), start=1):
            so_far = runs[:place]
            weights = [0 if event == so_far[-1] else collapsed_weight(persona, so_far + event) for event in "abc"]
            assert found == pytest.approx([*(np.array(weights) / sum(weights)), 0], abs=2e-3)


def test_sessions_do_not_mix() -> None:
    vocabulary = ["a", "b", "c", OTHER]
    model = BayesOptimal.of(TRUTH, vocabulary)
    sessions = [list("abca"), list("b"), list("ca"), list("bcbcb")]
    actors = ["user:ann", "device:d3", "device:d3", "device:d1"]
    together = model.distributions(Vocabulary(vocabulary).encode(make_sequences(sessions, actors=actors)))
    alone = [
        model.distributions(Vocabulary(vocabulary).encode(make_sequences([session], actors=[actor])))
        for session, actor in zip(sessions, actors, strict=True)
    ]
    assert together == pytest.approx(np.concatenate(alone))
    assert together.sum(axis=1) == pytest.approx(np.ones(8))


def test_types_beyond_the_vocabulary_are_one() -> None:
    model = BayesOptimal.of(TRUTH, ["b", OTHER])
    assert model.emission.tolist() == pytest.approx(np.array([[0.3, 0.7], [0.3, 0.7]]))


def test_unknown_actors_get_equal_chances_and_are_told() -> None:
    vocabulary = ["a", "b", "c", OTHER]
    model = BayesOptimal.of(TRUTH, vocabulary)
    both = Vocabulary(vocabulary).encode(make_sequences([list("ab"), list("abc")], actors=["user:ann", "user:who"]))
    assert model.known(both).tolist() == [True, False, False]
    assert model.distributions(both)[1:].tolist() == [[0.25] * 4] * 2


def test_an_impossible_event_says_nothing() -> None:
    truth = {**TRUTH, "emission": [[0.5, 0.5, 0], [0.5, 0.5, 0]]}
    vocabulary = ["a", "b", "c", OTHER]
    session = Vocabulary(vocabulary).encode(make_sequences([list("acb")], actors=["user:ann"]))
    chances = BayesOptimal.of(truth, vocabulary).distributions(session)
    assert np.isfinite(chances).all()
    assert chances.sum(axis=1) == pytest.approx([1, 1])


def test_personas_are_found_under_the_names_of_the_tables() -> None:
    shown = {"ann": "u-1", "d1": "x1", "d2": "x2", "d3": "x3"}
    columns: set[str] = set()

    def replaced(column: str, value: str) -> str:
        columns.add(column)
        return shown[value]

    found = personas_of(TRUTH, replaced)
    assert found == {"user:u-1": "brisk", "device:x1": "brisk", "device:x2": "brisk", "device:x3": "other"}
    assert columns == {"user_id", "device_id"}


def test_it_scores_what_the_sample_says_is_possible(tmp_path: Path) -> None:
    """Over all human sessions of a sample read from its files, against the figure of its truth.json."""
    write_sample(tmp_path, SampleConfig(events=12_000, users=60, seed=5))
    sample = read_sample(tmp_path)
    intents = set(sample.truth["intent_events"])
    by_actor: dict[str, list[list[str]]] = defaultdict(list)
    for (person, _), events in sorted(sessions_of(sample.events).items()):
        if sample.persona_of[person] not in sample.truth["personas"]:
            continue
        names = [event["event_type"] for event in events if event["event_type"] in intents]
        runs = [name for place, name in enumerate(names) if not place or names[place - 1] != name]
        first = events[0]
        user = first["user_id"]
        actor = f"user:{user}" if user not in (None, "EMPTY") else f"device:{first['device_id']}"
        if runs:
            by_actor[actor].append(runs)
    sessions = [session for found in by_actor.values() for session in found]
    actors = [actor for actor, found in by_actor.items() for _ in found]
    sequences = make_sequences(sessions, actors=actors)
    vocabulary = Vocabulary.fit(sequences, 1)
    encoded: Sequences = vocabulary.encode(sequences)
    model = BayesOptimal.of(sample.truth, vocabulary.names)
    assert model.known(encoded).all()
    scores = score(model, encoded)
    possible = sample.truth["bayes_optimal"]["intent_collapsed"]
    assert len(scores.rank) == possible["positions"]
    assert scores.hits(1).mean() == pytest.approx(possible["top1"], abs=0.002)
    assert scores.hits(3).mean() == pytest.approx(possible["top3"], abs=0.002)
    assert scores.bits.mean() == pytest.approx(possible["bits_per_event"], abs=0.001)
    half = encoded.take(np.arange(encoded.sessions) % 2 == 0), encoded.take(np.arange(encoded.sessions) % 2 == 1)
    learned, _ = fit(half[0], half[0], max_order=1)
    assert score(learned, half[1]).bits.mean() > score(model, half[1]).bits.mean()
