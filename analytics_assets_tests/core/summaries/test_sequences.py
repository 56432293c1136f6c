"""Transitions and n-grams against plain Python, their laws, and what must not change any table about order.

Put here: both tables of ``sequences.py``, and for all tables about order and return: years that hold next to nothing,
and the layout of the files. Keep out: funnels and cohorts themselves.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from analytics_assets.core.lake import Lake
from analytics_assets.core.settings import default_settings
from analytics_assets.core.summaries.cohorts import retention, stickiness, user_lifecycle
from analytics_assets.core.summaries.frames import Frames, sorted_rows
from analytics_assets.core.summaries.funnels import funnels
from analytics_assets.core.summaries.sequences import event_ngrams, event_transitions
from analytics_assets.schemas import (
    SPARK_EVENT_NGRAMS,
    SPARK_EVENT_TRANSITIONS,
    SPARK_FUNNELS,
    SPARK_RETENTION,
    SPARK_STICKINESS,
    SPARK_USER_LIFECYCLE,
    Table,
)
from analytics_assets_tests.core.event_data import (
    Records,
    assert_same_rows,
    ingest,
    ingest_nothing,
    read_rows,
    write_rows,
)
from analytics_assets_tests.core.summaries.conftest import Dataset, publish_actors
from analytics_assets_tests.core.summaries.visits import Visits, visits_of

BURST_US = 50_000

TABLES: dict[str, tuple[Table, Callable[[Frames], Any]]] = {
    table.name: (table, computation)
    for table, computation in (
        (SPARK_EVENT_TRANSITIONS, event_transitions),
        (SPARK_EVENT_NGRAMS, event_ngrams),
        (SPARK_FUNNELS, funnels),
        (SPARK_RETENTION, retention),
        (SPARK_USER_LIFECYCLE, user_lifecycle),
        (SPARK_STICKINESS, stickiness),
    )
}


@pytest.fixture(scope="module")
def visits(dataset: Dataset) -> Visits:
    return visits_of(dataset.files)


@pytest.fixture(scope="module")
def transitions(dataset: Dataset) -> list[dict[str, Any]]:
    return dataset.table(SPARK_EVENT_TRANSITIONS, event_transitions).to_pylist()


@pytest.fixture(scope="module")
def ngrams(dataset: Dataset) -> list[dict[str, Any]]:
    return dataset.table(SPARK_EVENT_NGRAMS, event_ngrams).to_pylist()


def expected_transitions(visits: Visits) -> list[dict[str, Any]]:
    gaps: dict[tuple[str, str], dict[tuple[Any, Any], list[tuple[int, str]]]] = defaultdict(lambda: defaultdict(list))
    ends: dict[tuple[str, str], Counter[tuple[str, str]]] = defaultdict(Counter)
    for unit in visits.sessions:
        for stream, steps in unit.streams.items():
            for population in unit.populations:
                ends[population, stream][("entry", steps[0][0])] += 1
                ends[population, stream][("exit", steps[-1][0])] += 1
                for (left, before), (entered, after) in pairwise(steps):
                    gaps[population, stream][left, entered].append((after - before, unit.key))
    rows = []
    for (population, stream), counts in ends.items():
        own = gaps[population, stream]
        total = sum(len(found) for found in own.values())
        for (left, entered), found in own.items():
            leaving = sum(len(others) for pair, others in own.items() if pair[0] == left)
            arriving = sum(len(others) for pair, others in own.items() if pair[1] == entered)
            row = {
                "kind": "transition",
                "from_event": left,
                "to_event": entered,
                "transitions": len(found),
                "sessions": len({key for _, key in found}),
                "probability": len(found) / leaving,
                "lift": len(found) * total / (leaving * arriving),
                "median_seconds": median(gap for gap, _ in found) / 1e6,
                "ties": sum(gap == 0 for gap, _ in found),
                "bursts": sum(gap < BURST_US for gap, _ in found),
            }
            rows.append({"population": population, "stream": stream, **row})
        sessions = sum(n for (kind, _), n in counts.items() if kind == "entry")
        for (kind, name), n in counts.items():
            row = {
                "kind": kind,
                "from_event": name if kind == "exit" else None,
                "to_event": name if kind == "entry" else None,
                "transitions": n,
                "sessions": n,
                "probability": n / sessions,
                "lift": None,
                "median_seconds": None,
                "ties": None,
                "bursts": None,
            }
            rows.append({"population": population, "stream": stream, **row})
    return rows


def test_transitions(transitions: list[dict[str, Any]], visits: Visits) -> None:
    assert_same_rows(transitions, expected_transitions(visits), SPARK_EVENT_TRANSITIONS.key)


def test_data_show_ties_and_bursts(hostile: Dataset) -> None:
    """Else ties, bursts and medians could be wrong unseen: equal times, gaps just under, at and over the limit."""
    gaps: dict[tuple[str, str], list[int]] = defaultdict(list)
    for unit in visits_of(hostile.files).sessions:
        for (left, before), (entered, after) in pairwise(unit.streams["raw"]):
            gaps[left, entered].append(after - before)
    assert {0, BURST_US - 1000, BURST_US, BURST_US + 1000} <= {gap for found in gaps.values() for gap in found}
    assert {len(set(found)) % 2 for found in gaps.values() if len(set(found)) > 1} == {0, 1}


def test_every_event_is_entered_and_left_once(transitions: list[dict[str, Any]], visits: Visits) -> None:
    for population in ("all", "people", "without_top_actor"):
        own = [unit for unit in visits.sessions if population in unit.populations]
        for stream in ("raw", "intent", "screen"):
            rows = [row for row in transitions if (row["population"], row["stream"]) == (population, stream)]
            total = Counter[str]()
            into, out_of = Counter[str](), Counter[str]()
            for row in rows:
                total[row["kind"]] += row["transitions"]
                into[row["to_event"]] += row["transitions"]
                out_of[row["from_event"]] += row["transitions"]
            with_stream = [unit.streams[stream] for unit in own if stream in unit.streams]
            assert total["entry"] == total["exit"] == len(with_stream)
            assert total["transition"] + total["entry"] == sum(len(steps) for steps in with_stream)
            assert {k: n for k, n in into.items() if k is not None} == {
                k: n for k, n in out_of.items() if k is not None
            }


def test_probabilities_add_up_to_one(transitions: list[dict[str, Any]]) -> None:
    sums: dict[Any, float] = defaultdict(float)
    for row in transitions:
        assert 0 < row["probability"] <= 1
        assert row["sessions"] <= row["transitions"]
        left = row["from_event"] if row["kind"] == "transition" else None
        sums[row["population"], row["stream"], row["kind"], left] += row["probability"]
    assert all(total == pytest.approx(1) for total in sums.values())


def test_collapsed_streams_never_stay(transitions: list[dict[str, Any]]) -> None:
    collapsed = [row for row in transitions if row["stream"] != "raw"]
    assert collapsed
    assert not [row for row in collapsed if row["from_event"] == row["to_event"]]


def expected_ngrams(visits: Visits) -> list[dict[str, Any]]:
    found: dict[tuple[str, str, int], dict[tuple[str, ...], list[str]]] = defaultdict(lambda: defaultdict(list))
    for unit in visits.sessions:
        for stream, steps in unit.streams.items():
            names = [name for name, _ in steps]
            for length in (2, 3, 4, 5):
                for start in range(len(names) - length + 1):
                    for population in unit.populations:
                        run = tuple(names[start : start + length])
                        found[population, stream, length][run].append(unit.key)
    rows = []
    for (population, stream, length), runs in found.items():
        total = sum(map(len, runs.values()))
        ranked = sorted(runs.items(), key=lambda item: (-len(item[1]), item[0]))
        for place, (run, keys) in enumerate(ranked[:100], 1):
            events = {f"event_{n + 1}": run[n] if n < length else None for n in range(5)}
            row = {"population": population, "stream": stream, "length": length, "place": place, **events}
            counts = {"occurrences": len(keys), "sessions": len(set(keys)), "occurrence_share": len(keys) / total}
            rows.append(row | counts)
    return rows


def test_ngrams(dataset: Dataset, ngrams: list[dict[str, Any]], visits: Visits) -> None:
    expected = expected_ngrams(visits)
    if dataset.name == "sample":
        assert max(row["place"] for row in expected) == 100, "nothing is left out: the limit is not tested"
    assert_same_rows(ngrams, expected, SPARK_EVENT_NGRAMS.key)


def test_ngrams_of_two_are_transitions(ngrams: list[dict[str, Any]], transitions: list[dict[str, Any]]) -> None:
    pairs = {
        (row["population"], row["stream"], row["from_event"], row["to_event"]): (row["transitions"], row["sessions"])
        for row in transitions
        if row["kind"] == "transition"
    }
    twos = [row for row in ngrams if row["length"] == 2]
    assert twos
    for row in twos:
        key = (row["population"], row["stream"], row["event_1"], row["event_2"])
        assert pairs[key] == (row["occurrences"], row["sessions"])


@pytest.fixture(scope="module")
def shuffled(spark: Any, hostile: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Frames]:
    """The hostile events in another order, over other files."""
    rows = read_rows(hostile.files)
    names = list(rows[0])
    random.Random(7).shuffle(rows)
    random.Random(8).shuffle(names)
    folder = tmp_path_factory.mktemp("shuffled")
    size = len(rows) // 7 + 1
    files = [
        write_rows(folder / f"part-{n:05d}.csv", names, rows[n * size : (n + 1) * size]) for n in (4, 0, 6, 2, 5, 1, 3)
    ]
    frames = Frames(spark, files, hostile.actors, hostile.year, hostile.settings)
    yield frames
    frames.release()


@pytest.mark.parametrize("name", TABLES)
def test_layout_of_the_files_changes_nothing(hostile: Dataset, shuffled: Frames, name: str) -> None:
    table, computation = TABLES[name]
    first = hostile.table(table, computation)
    assert first.num_rows
    assert sorted_rows(computation(shuffled), table).equals(first)


def _one_user(folder: Path, **changes: Any) -> list[Path]:
    new = Records()
    for day in (3, 4, 20):
        for second in range(6):
            new.add(f"2024-05-{day:02d} 10:00:{second:02d}", "view", **changes)
    return ingest(Lake(folder), "2024", new.made)


SMALL: dict[str, Callable[[Path], list[Path]]] = {
    "empty year": lambda folder: ingest_nothing(Lake(folder), "2024"),
    "one user, one event type": _one_user,
    "no session": lambda folder: _one_user(folder, session_id=-1),
    "only noise": lambda folder: ingest(Lake(folder), "2024", _noise()),
}


def _noise() -> list[dict[str, Any]]:
    new = Records()
    new.add("2024-05-03 10:00:00", "session_start")
    return new.made


@pytest.fixture(scope="module", params=SMALL)
def small(request: Any, spark: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, Any]]]:
    """All tables of a year that holds next to nothing."""
    folder = tmp_path_factory.mktemp("small")
    files = SMALL[request.param](folder)
    frames = Frames(spark, files, publish_actors(Lake(folder), "2024"), "2024", default_settings())
    tables = {name: sorted_rows(computation(frames), table) for name, (table, computation) in TABLES.items()}
    yield request.param, {name: rows.to_pylist() for name, rows in tables.items()}
    frames.release()


def test_years_of_next_to_nothing(small: tuple[str, dict[str, Any]]) -> None:
    name, rows = small
    moves = [row for row in rows["spark_event_transitions"] if row["population"] == "all"]
    counts = {(row["stream"], row["kind"]): row["transitions"] for row in moves}
    if name in ("empty year", "no session"):
        assert not moves
        assert not rows["spark_event_ngrams"]
    elif name == "only noise":
        assert counts == {("raw", "entry"): 1, ("raw", "exit"): 1}
        assert not rows["spark_event_ngrams"]
    else:
        ends = {(stream, kind): 1 for stream in ("raw", "intent", "screen") for kind in ("entry", "exit")}
        assert counts == {("raw", "transition"): 17} | ends
        assert {row["stream"] for row in rows["spark_event_ngrams"]} == {"raw"}
    assert not rows["spark_funnels"], "no two distinct events, no funnel to discover"
    days = [row for row in rows["spark_stickiness"] if row["population"] == "all"]
    assert len(days) == {"empty year": 0, "only noise": 1}.get(name, 18)
    cohorts = [row for row in rows["spark_retention"] if (row["population"], row["granularity"]) == ("all", "day")]
    if name == "empty year":
        assert not rows["spark_retention"]
        assert not rows["spark_user_lifecycle"]
    elif name == "only noise":
        assert [row["active_actors"] for row in cohorts] == [1]
    else:
        assert [row["active_actors"] for row in cohorts] == [1, 1, *[0] * 15, 1]
        # The only actor is the top one.
        assert {row["mau"] for row in rows["spark_stickiness"] if row["population"] == "without_top_actor"} == {0}
