"""Behaviour: journeys follow the published parameters, and the best possible score is right."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import pytest

from analytics_assets_tests.sample.reading import WrittenSample, sessions_of


def human_paths(sample: WrittenSample) -> dict[str, list[list[str]]]:
    """Raw event names of every human session, by persona."""
    persona_of = sample.persona_of
    out: dict[str, list[list[str]]] = defaultdict(list)
    for (person, _), events in sessions_of(sample.events).items():
        if persona_of[person] in sample.truth["personas"]:
            out[persona_of[person]].append([e["event_type"] for e in events])
    return out


def actions_of(path: Sequence[str]) -> list[str]:
    """The actions of a raw path."""
    return [name for name in path if "::" in name and not name.endswith("::render")]


def within_error(count: int, total: int, chance: float) -> bool:
    """Whether a count agrees with its chance: five standard errors, plus one for counts near zero."""
    return abs(count - total * chance) <= 5 * math.sqrt(total * chance * (1 - chance)) + 1


def test_parameters_are_probabilities(small: WrittenSample) -> None:
    truth = small.truth
    states, actions = truth["hidden_states"], truth["intent_events"]
    assert len(states) == 12
    assert len(actions) == 60
    assert truth["transition_columns"] == [*states, "END"]
    rows = [*truth["emission"]]
    for persona in truth["personas"].values():
        assert len(persona["transition"]) == len(states)
        rows += [persona["initial"], *persona["transition"]]
    for page in truth["render"].values():
        assert 0 < page["stop_probability"] < 1
        rows.append(list(page["widgets"].values()))
    for row in rows:
        assert sum(row) == pytest.approx(1, abs=1e-9)
        assert min(row) >= 0


def test_hidden_states_follow_the_transitions(moderate: WrittenSample) -> None:
    truth = moderate.truth
    rows = moderate.hidden_states()
    actions = {u: e for u, e in moderate.events.items() if actions_of([e["event_type"]])}
    (monitor,) = (u["amplitude_id"] for u in truth["users"].values() if u["scripted"])
    assert {row["uuid"] for row in rows} == {u for u, e in actions.items() if e["amplitude_id"] != monitor}
    state_of = {row["uuid"]: row["state"] for row in rows}
    assert all(row["persona"] == moderate.persona_of[actions[row["uuid"]]["amplitude_id"]] for row in rows)

    first: dict[str, Counter[str]] = defaultdict(Counter)
    moves: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    emitted: dict[str, Counter[str]] = defaultdict(Counter)
    for (person, _), events in sessions_of(moderate.events).items():
        path = [(state_of[e["uuid"]], e["event_type"]) for e in events if e["uuid"] in state_of]
        if not path:
            continue
        persona = moderate.persona_of[person]
        first[persona][path[0][0]] += 1
        for state, action in path:
            emitted[state][action] += 1
        following = [state for state, _ in path[1:]] + ["END"]
        for (state, _), nxt in zip(path, following, strict=True):
            moves[persona, state][nxt] += 1

    checked = 0
    for s, state in enumerate(truth["hidden_states"]):
        total = sum(emitted[state].values())
        for a, action in enumerate(truth["intent_events"]):
            chance = truth["emission"][s][a]
            assert within_error(emitted[state][action], total, chance)
            assert chance > 0 or not emitted[state][action]
            checked += total * chance > 10
        for name, persona in truth["personas"].items():
            n_first = sum(first[name].values())
            assert within_error(first[name][state], n_first, persona["initial"][s])
            leaving = sum(moves[name, state].values())
            for column, nxt in enumerate(truth["transition_columns"]):
                chance = persona["transition"][s][column]
                assert within_error(moves[name, state][nxt], leaving, chance)
                checked += leaving * chance > 10
    assert checked > 80, "too few frequencies were large enough to say anything"


def test_renders_follow_their_pages(moderate: WrittenSample) -> None:
    stops: Counter[str] = Counter()
    widgets: dict[str, Counter[str]] = defaultdict(Counter)
    for paths in human_paths(moderate).values():
        for path in paths:
            for name in path:
                if name.endswith("::render"):
                    widgets[name.split("::")[0]][name] += 1
                elif "::" in name:
                    stops[name.split("::")[0]] += 1
    for page, parameters in moderate.truth["render"].items():
        drawn = sum(widgets[page].values())
        assert within_error(stops[page], stops[page] + drawn, parameters["stop_probability"])
        for name, chance in parameters["widgets"].items():
            assert within_error(widgets[page][name], drawn, chance)


# The best possible score once more: one session at a time, with lists, from the published parameters only.


def pick(chances: dict[str, float]) -> str:
    """The likeliest event; equal chances go to the one listed first."""
    return max(chances, key=lambda name: round(chances[name], 12))


class SlowFilter:
    """State chances of one persona given the actions so far."""

    def __init__(self, truth: dict[str, Any], persona: str) -> None:
        self.actions: list[str] = truth["intent_events"]
        self.emission: list[list[float]] = truth["emission"]
        self.moves: list[list[float]] = [row[:-1] for row in truth["personas"][persona]["transition"]]
        self.ends: list[float] = [row[-1] for row in truth["personas"][persona]["transition"]]
        self.initial: list[float] = truth["personas"][persona]["initial"]

    def step(self, weights: list[float]) -> list[float]:
        """Weights one move later, sessions that end left out."""
        n = range(len(weights))
        return [sum(weights[i] * self.moves[i][j] for i in n) for j in n]

    def seen(self, weights: list[float], action: str) -> list[float]:
        """Weights after an action was seen."""
        a = self.actions.index(action)
        out = [w * row[a] for w, row in zip(weights, self.emission, strict=True)]
        return [w / sum(out) for w in out]

    def forecast(self, weights: list[float]) -> dict[str, float]:
        """Chance of each next action."""
        return {
            action: sum(w * row[a] for w, row in zip(weights, self.emission, strict=True))
            for a, action in enumerate(self.actions)
        }


def normalised(chances: dict[str, float]) -> dict[str, float]:
    total = sum(chances.values())
    return {name: chance / total for name, chance in chances.items()}


def score(predictions: list[tuple[dict[str, float], str]]) -> dict[str, float]:
    """Top-1 rate and bits of a list of (chances, event that came)."""
    n = len(predictions)
    hits = sum(pick(chances) == came for chances, came in predictions)
    bits = -sum(math.log2(chances[came]) for chances, came in predictions)
    return {"positions": n, "top1": hits / n, "bits_per_event": bits / n}


def slow_intent(f: SlowFilter, path: list[str]) -> list[tuple[dict[str, float], str]]:
    actions, out, weights = actions_of(path), [], f.initial
    for action, following in itertools.pairwise(actions):
        weights = f.step(f.seen(weights, action))
        out.append((normalised(f.forecast(weights)), following))
    return out


def slow_collapsed(f: SlowFilter, path: list[str]) -> list[tuple[dict[str, float], str]]:
    actions = actions_of(path)
    runs = [a for i, a in enumerate(actions) if i == 0 or actions[i - 1] != a]
    out, weights = [], f.initial
    for action, following in itertools.pairwise(runs):
        column = f.actions.index(action)
        # All lengths the run may have had, one after another, until nothing is left to add.
        part = [w * row[column] for w, row in zip(weights, f.emission, strict=True)]
        after = part
        while sum(part) > 1e-18 * sum(after):
            part = [w * row[column] for w, row in zip(f.step(part), f.emission, strict=True)]
            after = [x + y for x, y in zip(after, part, strict=True)]
        weights = f.step([w / sum(after) for w in after])
        out.append((normalised({a: p for a, p in f.forecast(weights).items() if a != action}), following))
    return out


def slow_raw(
    f: SlowFilter, path: list[str], render: dict[str, Any], empty: float
) -> list[tuple[dict[str, float], str]]:
    opening = {a: (1 - empty) * p for a, p in f.forecast(f.initial).items()} | {"session_end": empty}
    out, chances, weights = [], opening, f.initial
    for name, following in itertools.pairwise(path):
        if "::" in name and not name.endswith("::render"):
            weights = f.seen(weights, name)
            page = render[name.split("::")[0]]
            stop = page["stop_probability"]
            ahead = f.step(weights)
            chances = {a: stop * p for a, p in f.forecast(ahead).items()}
            chances |= {w: (1 - stop) * p for w, p in page["widgets"].items()}
            chances["session_end"] = stop * sum(w * e for w, e in zip(weights, f.ends, strict=True))
            weights = ahead
        out.append((chances, following))
    return out


def test_bayes_optimal_score_is_that_of_a_plain_filter(small: WrittenSample) -> None:
    truth = small.truth
    streams: dict[str, list[tuple[dict[str, float], str]]] = {"intent": [], "intent_collapsed": [], "raw": []}
    # Half of the human sessions are empty, 7 % have no end and so no transition.
    empty = 0.5 / 0.93
    for persona, paths in human_paths(small).items():
        f = SlowFilter(truth, persona)
        mine = {
            "intent": [p for path in paths for p in slow_intent(f, path)],
            "intent_collapsed": [p for path in paths for p in slow_collapsed(f, path)],
            "raw": [p for path in paths for p in slow_raw(f, path, truth["render"], empty)],
        }
        for stream, predictions in mine.items():
            streams[stream] += predictions
            if predictions:
                reported = truth["bayes_optimal"]["by_persona"][persona][stream]
                assert reported["top1"] == pytest.approx(score(predictions)["top1"], abs=1e-12)
    for stream, predictions in streams.items():
        assert len(predictions) > 500
        for chances, _ in random.Random(1).sample(predictions, 20):
            assert sum(chances.values()) == pytest.approx(1, abs=1e-9)
        mine_total = score(predictions)
        reported = truth["bayes_optimal"][stream]
        assert reported["positions"] == mine_total["positions"]
        assert reported["top1"] == pytest.approx(mine_total["top1"], abs=1e-12)
        assert reported["bits_per_event"] == pytest.approx(mine_total["bits_per_event"], abs=1e-8)


def test_no_learned_table_beats_the_optimum(moderate: WrittenSample) -> None:
    best = moderate.truth["bayes_optimal"]
    assert 0.45 <= best["intent"]["top1"] <= 0.7
    assert best["intent"]["top1"] < best["intent"]["top3"] < best["intent"]["top5"] < 1
    paths = [path for of_persona in human_paths(moderate).values() for path in of_persona]
    random.Random(2).shuffle(paths)
    half = len(paths) // 2
    for stream, view in (("intent", actions_of), ("raw", list)):
        table: dict[str, Counter[str]] = defaultdict(Counter)
        everything: Counter[str] = Counter()
        for path in paths[:half]:
            events = view(path)
            everything.update(events)
            for a, b in itertools.pairwise(events):
                table[a][b] += 1
        ((majority, _),) = everything.most_common(1)
        hits = majority_hits = n = 0
        for path in paths[half:]:
            events = view(path)
            for a, b in itertools.pairwise(events):
                n += 1
                hits += (table[a].most_common(1)[0][0] if table[a] else majority) == b
                majority_hits += majority == b
        assert majority_hits / n < hits / n < best[stream]["top1"] + 0.01
        assert best[stream]["top1"] - hits / n < 0.15, "the table should come close: the process is nearly of order one"


def test_personas_are_told_apart_by_their_actions(moderate: WrittenSample) -> None:
    """Lloyd's algorithm on the square roots of action shares finds the personas of users with enough actions."""
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for event in moderate.events.values():
        if actions_of([event["event_type"]]):
            counts[event["amplitude_id"]][event["event_type"]] += 1
    persona_of = moderate.persona_of
    users = [u for u in sorted(counts) if counts[u].total() >= 30 and persona_of[u] in moderate.truth["personas"]]
    names = moderate.truth["intent_events"]
    points = [[math.sqrt(counts[u][a] / counts[u].total()) for a in names] for u in users]
    labels = min((lloyd(points, 5, seed) for seed in range(8)), key=lambda fit: fit[0])[1]
    assert len(users) > 40
    assert adjusted_rand([persona_of[u] for u in users], labels) >= 0.8


def lloyd(points: list[list[float]], k: int, seed: int) -> tuple[float, list[int]]:
    """One run of k-means from random points: total squared distance and labels."""
    centres = random.Random(seed).sample(points, k)
    labels: list[int] = []
    cost = 0.0
    for _ in range(15):
        distances = [[math.dist(p, c) for c in centres] for p in points]
        labels = [d.index(min(d)) for d in distances]
        cost = sum(min(d) ** 2 for d in distances)
        for c in range(k):
            mine = [p for p, label in zip(points, labels, strict=True) if label == c]
            if mine:
                centres[c] = [sum(column) / len(mine) for column in zip(*mine, strict=True)]
    return cost, labels


def adjusted_rand(truth: Sequence[object], found: Sequence[object]) -> float:
    """Adjusted Rand index of two labellings."""

    def pairs(labels: Sequence[object]) -> int:
        return sum(math.comb(n, 2) for n in Counter(labels).values())

    together = pairs(list(zip(truth, found, strict=True)))
    a, b, total = pairs(truth), pairs(found), math.comb(len(truth), 2)
    by_chance = a * b / total
    return (together - by_chance) / ((a + b) / 2 - by_chance)
