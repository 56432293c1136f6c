"""Drift between two years: laws of its measures, figures against pandas and scipy, planted shifts and none."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from analytics_assets.core.features.drift import (
    EVENT_COLUMNS,
    YearTables,
    drift,
    jensen_shannon_bits,
    population_stability_index,
)
from analytics_assets.core.features.engine import open_engine, parquet
from analytics_assets.core.features.tables import accepted_events
from analytics_assets.core.files import json_bytes
from analytics_assets.core.lake import Lake
from analytics_assets.core.settings import default_settings
from analytics_assets_tests.core.quality_data import make_year, random_events, sessions_of

COUNTS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=20)


def near(value: float) -> Any:
    return pytest.approx(value, rel=1e-9, abs=1e-12)


def psi_by_definition(before: list[int], now: list[int]) -> float:
    total = 0.0
    for old, new in zip(before, now, strict=True):
        e = (old + 0.5) / (sum(before) + 0.5 * len(before))
        a = (new + 0.5) / (sum(now) + 0.5 * len(now))
        total += (a - e) * math.log(a / e)
    return total


@given(COUNTS)
def test_population_stability_index(pairs: list[tuple[int, int]]) -> None:
    before, now = ([pair[side] for pair in pairs] for side in (0, 1))
    found = float(population_stability_index(before, now))
    assert found == near(psi_by_definition(before, now))
    assert found >= -1e-12
    assert float(population_stability_index(now, before)) == near(found)
    assert float(population_stability_index(before, before)) == 0


@given(COUNTS)
def test_jensen_shannon_divergence(pairs: list[tuple[int, int]]) -> None:
    before, now = ([pair[side] for pair in pairs] for side in (0, 1))
    assume(sum(before) and sum(now))
    found = float(jensen_shannon_bits(before, now))
    distance = float(jensenshannon(before, now, base=2))
    # scipy takes the root of a difference that may come out below nothing.
    assert found == pytest.approx(0.0 if math.isnan(distance) else distance**2, rel=1e-9, abs=1e-9)
    assert 0 <= found <= 1
    assert float(jensen_shannon_bits(now, before)) == found
    assert float(jensen_shannon_bits(before, before)) == 0
    assert float(jensen_shannon_bits(before, [7 * count for count in before])) == pytest.approx(0, abs=1e-12)


def test_shares_with_nothing_in_common_are_one_bit_apart() -> None:
    assert float(jensen_shannon_bits([5, 0, 3], [0, 9, 0])) == 1


def compare(lake: Lake) -> dict[str, Any]:
    """Drift of 2024 against 2023 as the report has it."""
    years = [
        YearTables(
            year,
            accepted_events([lake.feature("clean_events", year)], [lake.feature("dropped_events", year)]),
            parquet([lake.feature("sessions", year)]),
        )
        for year in ("2024", "2023")
    ]
    with open_engine(lake.staging() / "duckdb") as engine:
        found = drift(engine, *years, default_settings().quality)
    assert json_bytes(found)
    return found


def by_column(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {column["column"]: column for column in found["columns"]}


def drifted(found: dict[str, Any]) -> set[str]:
    return {column["column"] for column in found["columns"] if column["drifted"]}


Years = tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]


@pytest.fixture(scope="module")
def years(tmp_path_factory: pytest.TempPathFactory) -> Years:
    """Accepted events of two years, and their comparison; one value each is too rare to stand alone."""
    lake = Lake(tmp_path_factory.mktemp("drift"))
    before, now = random_events(1, year=2023), random_events(2)
    before.loc[before.index[:1], "city"] = "a hamlet"
    now.loc[now.index[:1], "city"] = "a village"
    now.loc[now.index[200:800], "city"] = "other"
    frames = [make_year(lake, "2023", before), make_year(lake, "2024", now)]
    return frames[0], frames[1], compare(lake)


def test_values_are_compared_as_by_hand(years: Years) -> None:
    columns = by_column(years[2])
    for name in EVENT_COLUMNS:
        counts = [
            Counter("(null)" if value is None or value != value else value for value in f[name]) for f in years[:2]
        ]
        for tiny in [v for v in counts[0] | counts[1] if all(c[v] < 1.5 for c in counts) and v != "(null)"]:
            for count in counts:
                count["(tiny)"] += count.pop(tiny, 0)
        values = sorted(counts[0] | counts[1], key=str)
        old, new = ([count[value] for value in values] for count in counts)
        assert columns[name]["values"] == len(values), name
        assert columns[name]["psi"] == near(psi_by_definition(old, new)), name
        assert columns[name]["js"] == pytest.approx(float(jensenshannon(old, new, base=2)) ** 2, rel=1e-9), name
        moves = sorted((abs(n / sum(new) - o / sum(old)) for o, n in zip(old, new, strict=True)), reverse=True)
        shown = [abs(entry["share_now"] - entry["share_before"]) for entry in columns[name]["largest"]]
        assert shown == [near(move) for move in moves[:5] if move]
    # The data's own "other" stays apart from the rare ones.
    assert "other" in {entry["value"] for entry in columns["city"]["largest"]}
    assert {"a hamlet", "a village"}.isdisjoint(entry["value"] for entry in columns["city"]["largest"])


def test_numbers_are_compared_by_the_deciles_of_the_year_before(years: Years) -> None:
    before, now, found = years
    columns = by_column(found)
    visits = [sessions_of(frame) for frame in (before, now)]
    for name, (old, new) in {
        "duration_seconds": [visit["duration_seconds"].to_numpy() for visit in visits],
        "events_per_session": [visit["events"].to_numpy() for visit in visits],
        "latency_ms": [frame["latency_ms"].to_numpy() for frame in (before, now)],
    }.items():
        known = np.sort(old[~np.isnan(old)])
        edges = np.unique(np.quantile(known, np.arange(1, 10) / 10, method="inverted_cdf"))
        counts = []
        for values in (old, new):
            bins = np.searchsorted(edges, values[~np.isnan(values)])
            counts.append([*np.bincount(bins, minlength=len(edges) + 1), np.isnan(values).sum()])
        used = [place for place in range(len(edges) + 2) if counts[0][place] or counts[1][place]]
        first, second = ([int(count[place]) for place in used] for count in counts)
        assert columns[name]["values"] == len(used), name
        assert columns[name]["psi"] == near(psi_by_definition(first, second)), name
        assert columns[name]["js"] == pytest.approx(float(jensenshannon(first, second, base=2)) ** 2, rel=1e-9), name


def moves_of(frame: pd.DataFrame) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = defaultdict(Counter)
    inside = frame[frame["session_key"].notna() & ~frame["is_noise"]].sort_values(["session_key", "position"])
    for _, names in inside.groupby("session_key")["event_type"]:
        steps = [name for place, name in enumerate(names) if not place or name != names.iloc[place - 1]]
        for origin, target in pairwise(steps):
            found[origin][target] += 1
    return found


def test_next_events_are_compared_as_by_hand(tmp_path_factory: pytest.TempPathFactory) -> None:
    lake = Lake(tmp_path_factory.mktemp("moves"))
    before = make_year(lake, "2023", random_events(11, rows=3000, year=2023))
    now = make_year(lake, "2024", random_events(12, rows=3000))
    found, old, new = compare(lake)["transitions"], moves_of(before), moves_of(now)
    expected = {}
    for origin in old.keys() & new.keys():
        if min(old[origin].total(), new[origin].total()) >= 100:
            targets = sorted(old[origin] | new[origin])
            pair = [[moves[origin][target] for target in targets] for moves in (old, new)]
            expected[origin] = (new[origin].total(), old[origin].total(), float(jensenshannon(*pair, base=2)) ** 2)
    assert len(expected) >= 2
    assert found["compared_events"] == len(expected)
    for row in found["largest"]:
        transitions, previous, js = expected[row["from_event"]]
        assert (row["transitions"], row["previous_transitions"]) == (transitions, previous)
        assert row["js"] == pytest.approx(js, rel=1e-9, abs=1e-12)
    weights = sum(size for size, _, _ in expected.values())
    assert found["mean_js"] == pytest.approx(sum(size * js for size, _, js in expected.values()) / weights, rel=1e-9)


def resampled(events: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The year before with as many of its actors, drawn with replacement, as a year of its own."""
    random = np.random.default_rng(seed)
    names = events["actor"].dropna().unique()
    parts = []
    for number, name in enumerate(random.choice(names, len(names))):
        part = events[events["actor"] == name].copy()
        part["uuid"] = part["uuid"] + f"-{number}"
        part["session_key"] = f"{number}-" + part["session_key"]
        part["actor"] = part["actor"] + f"-{number}"
        part["time"] = part["time"] + pd.Timedelta(days=364)  # whole weeks, so that weekdays stay
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("seed", range(5))
def test_no_alarm_on_a_resample(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    lake = Lake(tmp_path_factory.mktemp("resample"))
    events = random_events(20 + seed, year=2023)
    make_year(lake, "2023", events)
    make_year(lake, "2024", resampled(events, seed))
    found = compare(lake)
    assert drifted(found) == set()
    assert found["event_types"] == {"new": [], "vanished": []}


def test_an_equal_year_has_not_moved(tmp_path_factory: pytest.TempPathFactory) -> None:
    lake = Lake(tmp_path_factory.mktemp("equal"))
    for year in ("2023", "2024"):
        make_year(lake, year, random_events(3, year=2023))
    found = compare(lake)
    assert {(column["psi"], column["js"], column["drifted"]) for column in found["columns"]} == {(0.0, 0.0, False)}
    assert all(column["largest"] == [] for column in found["columns"])
    assert found["transitions"]["mean_js"] in (0.0, None)


def test_planted_shifts_are_found(tmp_path_factory: pytest.TempPathFactory) -> None:
    lake = Lake(tmp_path_factory.mktemp("planted"))
    make_year(lake, "2023", random_events(4, year=2023))
    events = random_events(5)
    random = np.random.default_rng(1)
    events.loc[random.random(len(events)) < 0.5, "platform"] = "Android"
    events["latency_ms"] *= 3
    events["event_type"] = events["event_type"].replace({"c::click": "c::tap"})
    make_year(lake, "2024", events)
    found = compare(lake)
    assert {"platform", "latency_ms", "event_type"} <= drifted(found)
    assert drifted(found).isdisjoint({"hour", "weekday", "language", "os_name", "actor_class", "city"})
    columns = by_column(found)
    assert columns["platform"]["times_limit"] == max(columns["platform"]["psi"] / 0.25, columns["platform"]["js"] / 0.1)
    top = columns["platform"]["largest"][0]
    assert top["value"] in ("Web", "Android") and abs(top["share_now"] - top["share_before"]) > 0.4
    assert [entry["event_type"] for entry in found["event_types"]["new"]] == ["c::tap"]
    assert [entry["event_type"] for entry in found["event_types"]["vanished"]] == ["c::click"]
    assert found["event_types"]["new"][0]["events"] == (events["event_type"] == "c::tap").sum()


def test_few_actors_cannot_raise_an_alarm_by_chance(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Six actors, each in a country of its own: to leave out one and have one twice moves countries far."""
    lake = Lake(tmp_path_factory.mktemp("few"))
    events = random_events(8, rows=900, actors=6, year=2023)
    events = events[events["actor"].notna()]
    events["country"] = "land of " + events["actor"]
    make_year(lake, "2023", events)
    alarms = []
    for seed in range(3):
        make_year(lake, "2024", resampled(events, seed))
        country = by_column(compare(lake))["country"]
        alarms.append(country["psi"] > 0.25)
        assert country["psi_by_chance"] > 0.25 and not country["drifted"]
    assert any(alarms), "the limit alone must have raised one"
