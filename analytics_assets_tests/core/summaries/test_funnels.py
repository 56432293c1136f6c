"""Funnels against plain Python: every chain of events on random units, and whole tables.

Put here: ``funnels.py``. Keep out: years that hold next to nothing (``test_sequences.py``).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from copy import copy
from itertools import combinations
from statistics import median
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from analytics_assets.core.settings import FunnelDiscoverySettings, FunnelSettings, default_settings
from analytics_assets.core.summaries.frames import sorted_rows
from analytics_assets.core.summaries.funnels import Funnel, discovered, funnels, furthest_chains
from analytics_assets.schemas import SPARK_FUNNELS
from analytics_assets_tests.core.event_data import assert_same_rows
from analytics_assets_tests.core.summaries.conftest import Dataset
from analytics_assets_tests.core.summaries.visits import Step, Unit, Visits, visits_of

POPULATIONS = ("all", "people", "without_top_actor")


def chain_by_hand(steps: Sequence[Step], wanted: Sequence[str], window_us: float) -> list[int]:
    """Times of the furthest chain when first completed: forward from every start, then back from the last event."""
    best: tuple[int, int] | None = None
    for start, (name, began) in enumerate(steps):
        if name != wanted[0]:
            continue
        depth, end = 1, start
        for place in range(start + 1, len(steps)):
            if depth == len(wanted) or steps[place][1] - began > window_us:
                break
            if steps[place][0] == wanted[depth]:
                depth, end = depth + 1, place
        best = min(best or (-depth, end), (-depth, end))
    if best is None:
        return []
    depth, place = -best[0], best[1]
    chain = [steps[place][1]]
    for step in range(depth - 2, -1, -1):
        place = max(before for before in range(place) if steps[before][0] == wanted[step])
        chain.insert(0, steps[place][1])
    return chain


def chain_by_force(steps: Sequence[Step], wanted: Sequence[str], window_us: float) -> list[int]:
    """The same from all subsequences: furthest, then earliest end, then latest events from the end backwards."""
    for depth in range(len(wanted), 0, -1):
        chains = [
            places
            for places in combinations(range(len(steps)), depth)
            if all(steps[place][0] == name for place, name in zip(places, wanted, strict=False))
            and steps[places[-1]][1] - steps[places[0]][1] <= window_us
        ]
        if chains:
            end = min(places[-1] for places in chains)
            return [steps[p][1] for p in max((c for c in chains if c[-1] == end), key=lambda c: c[::-1])]
    return []


RANDOM_FUNNELS = {
    0: Funnel("in order", "configured", "session", 5 / 6e7, ("a", "b", "c")),
    1: Funnel("repeated", "configured", "session", 4 / 6e7, ("a", "a", "b")),
    2: Funnel("back again", "configured", "session", 1.0, ("a", "b", "a", "b")),
    3: Funnel("at once", "configured", "session", 1 / 6e7, ("b", "a")),
    7: Funnel("never", "configured", "session", 1.0, ("a", "nothing", "b")),
}
UNITS = st.lists(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from([0, 0, 1, 2, 3])), max_size=9), min_size=20, max_size=60
)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(units=UNITS)
def test_chains_are_those_of_all_subsequences(spark: Any, units: list[list[tuple[str, int]]]) -> None:
    walks: dict[str, list[Step]] = {}
    for number, unit in enumerate(units):
        time, walks[f"unit {number}"] = 0, []
        for name, gap in unit:
            time += gap
            walks[f"unit {number}"].append((name, time))
    rows = [(key, True, False, n, name, us) for key, steps in walks.items() for n, (name, us) in enumerate(steps)]
    events = spark.createDataFrame(
        rows[::-1], "unit STRING, is_person BOOLEAN, is_top BOOLEAN, position INT, event_type STRING, us BIGINT"
    )
    found = furthest_chains(events, RANDOM_FUNNELS, "unit", "position").collect()
    actual = {(row.funnel_number, row.unit): list(row.chain) for row in found}
    assert len(actual) == len(found)
    expected = {
        (number, key): chain
        for number, funnel in RANDOM_FUNNELS.items()
        for key, steps in walks.items()
        if (chain := chain_by_force(steps, funnel.steps, round(funnel.window_minutes * 6e7)))
    }
    assert actual == expected
    by_hand = {
        (number, key): chain_by_hand(walks[key], funnel.steps, round(funnel.window_minutes * 6e7))
        for number, funnel in RANDOM_FUNNELS.items()
        for key in walks
    }
    assert {place: chain for place, chain in by_hand.items() if chain} == expected


@pytest.fixture(scope="module")
def visits(dataset: Dataset) -> Visits:
    return visits_of(dataset.files)


def _funnels_for(visits: Visits) -> tuple[FunnelSettings, ...]:
    """Funnels over the data's own most common events."""
    common = Counter(name for unit in visits.sessions for name, _ in unit.streams.get("intent", []))
    first, second, third = [name for name, _ in common.most_common(3)]
    return (
        FunnelSettings(name="in a session", steps=(first, second, third), window_minutes=30),
        FunnelSettings(name="by an actor", steps=(first, second, third), scope="actor", window_minutes=60 * 24 * 40),
        FunnelSettings(name="twice", steps=(first, first), scope="actor", window_minutes=60),
        FunnelSettings(name="three times", steps=(second, second, second), window_minutes=0.5),
        FunnelSettings(name="through noise", steps=("session_start", first, "session_end"), window_minutes=1e9),
        FunnelSettings(name="an event that never happens", steps=(first, "it's never", second), scope="actor"),
        FunnelSettings(name="never begun", steps=("it's never", first)),
        FunnelSettings(name="long", steps=(first, second) * 4, window_minutes=60 * 24),
    )


@pytest.fixture(scope="module")
def chosen(visits: Visits) -> tuple[FunnelSettings, ...]:
    return _funnels_for(visits)


@pytest.fixture(scope="module")
def rows(dataset: Dataset, chosen: tuple[FunnelSettings, ...]) -> list[dict[str, Any]]:
    frames = copy(dataset.frames)
    frames.settings = dataset.settings.model_copy(update={"funnels": chosen})
    return sorted_rows(funnels(frames), SPARK_FUNNELS).to_pylist()


def expected_discovery(visits: Visits, count: int, length: int) -> list[tuple[str, ...]]:
    people = [unit for unit in visits.sessions if "people" in unit.populations]
    for size in range(length, 1, -1):
        sessions: dict[tuple[str, ...], set[str]] = defaultdict(set)
        for unit in people or visits.sessions:
            names = [name for name, _ in unit.streams.get("intent", [])]
            for start in range(len(names) - size + 1):
                run = tuple(names[start : start + size])
                if len(set(run)) == size:
                    sessions[run].add(unit.key)
        kept: list[tuple[str, ...]] = []
        for run in sorted(sessions, key=lambda run: (-len(sessions[run]), run)):
            if all(2 * len({*run} & {*other}) <= size for other in kept):
                kept.append(run)
        if kept:
            return kept[:count]
    return []


def expected_funnels(visits: Visits, every: Sequence[Funnel]) -> list[dict[str, Any]]:
    rows = []
    for funnel in every:
        units: list[Unit] = visits.sessions if funnel.scope == "session" else visits.actors
        chains = [
            (unit, chain_by_hand(unit.streams["raw"], funnel.steps, funnel.window_minutes * 6e7)) for unit in units
        ]
        for population in POPULATIONS:
            own = [chain for unit, chain in chains if population in unit.populations]
            reached = [sum(len(chain) > step for chain in own) for step in range(len(funnel.steps))]
            for step, name in enumerate(funnel.steps):
                gaps = [chain[step] - chain[step - 1] for chain in own if len(chain) > step > 0]
                low, high = (
                    proportion_confint(reached[step], reached[0], 0.05, "wilson") if reached[0] else (None, None)
                )
                rows.append(
                    {
                        "population": population,
                        "funnel": funnel.name,
                        "origin": funnel.origin,
                        "scope": funnel.scope,
                        "window_minutes": float(funnel.window_minutes),
                        "step": step + 1,
                        "event_type": name,
                        "reached": reached[step],
                        "share_of_first": reached[step] / reached[0] if reached[0] else None,
                        "share_of_previous": reached[step] / reached[step - 1] if step and reached[step - 1] else None,
                        "share_low": None if low is None else float(low),
                        "share_high": None if high is None else float(high),
                        "median_seconds": median(gaps) / 1e6 if gaps else None,
                    }
                )
    return rows


def test_funnels(rows: list[dict[str, Any]], chosen: tuple[FunnelSettings, ...], visits: Visits) -> None:
    every = [Funnel(f.name, "configured", f.scope, f.window_minutes, f.steps) for f in chosen]
    shipped = default_settings().funnel_discovery
    for place, steps in enumerate(expected_discovery(visits, shipped.count, shipped.steps), 1):
        name = f"discovered {place}: {steps[0]} → {steps[-1]}"
        every.append(Funnel(name, "discovered", "session", shipped.window_minutes, steps))
    assert len(every) > len(chosen)
    assert_same_rows(rows, expected_funnels(visits, every), SPARK_FUNNELS.key)


def test_laws(rows: list[dict[str, Any]]) -> None:
    groups: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["population"], row["funnel"]].append(row)
    assert len(groups) % 3 == 0
    for steps in groups.values():
        reached = [row["reached"] for row in steps]
        assert reached == sorted(reached, reverse=True)
        for row in steps:
            if reached[0]:
                assert 0 <= row["share_low"] <= row["share_of_first"] + 1e-12
                assert row["share_of_first"] - 1e-12 <= row["share_high"] <= 1
            assert (row["median_seconds"] is None) == (row["step"] == 1 or not row["reached"])
            minutes = (row["median_seconds"] or 0) / 60
            assert 0 <= minutes <= row["window_minutes"]


def test_data_tell_funnels_apart(dataset: Dataset, rows: list[dict[str, Any]]) -> None:
    """Else scopes, windows and steps that never happen could be mixed up unseen."""
    last = {row["funnel"]: row["reached"] for row in rows if row["population"] == "all"}
    assert last["an event that never happens"] == last["never begun"] == 0
    if dataset.name == "sample":
        assert len({last[name] for name in ("in a session", "by an actor", "twice", "three times")} - {0}) > 2
        assert last["through noise"] > 0


@pytest.mark.parametrize(("count", "steps"), [(0, 4), (1, 2), (50, 5)])
def test_discovery(dataset: Dataset, visits: Visits, count: int, steps: int) -> None:
    taken = FunnelSettings(name="discovered 1: x → y", steps=("x", "y"))
    wanted = FunnelDiscoverySettings(count=count, steps=steps, window_minutes=5)
    frames = copy(dataset.frames)
    frames.settings = dataset.settings.model_copy(update={"funnel_discovery": wanted, "funnels": (taken,)})
    found = discovered(frames)
    assert [funnel.steps for funnel in found] == (expected_discovery(visits, count, steps) if count else [])
    assert len({funnel.name for funnel in found} | {taken.name}) == len(found) + 1
    assert {(funnel.scope, funnel.window_minutes) for funnel in found} <= {("session", 5)}
