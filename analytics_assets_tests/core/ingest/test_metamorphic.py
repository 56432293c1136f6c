"""The same events in other shapes: the same set of rows, the same summaries.

Put here: transformations of a delivery that must not change what is loaded. Keep out: what single shapes look like
(``test_ingest_year.py``).
"""

from __future__ import annotations

import gzip
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.core.ingest.run import ingest_year
from analytics_assets.core.lake import Lake
from analytics_assets.core.settings import default_settings
from analytics_assets.schemas import NESTED_COLUMNS, NULL_MARK
from analytics_assets_tests.core.ingest.exports import YEAR, array, encoded, event, gzipped, lines, put, rows, zipped

EVENTS = [
    event(
        number,
        user_id=f"user {number % 7}",
        device_id=f"device {number % 9}",
        amplitude_id=1000 + number % 7,
        session_id=1_709_287_200_000 + number // 10,
        event_id=number,
        country=["Norway", "Chile", None][number % 3],
        city="né" if number % 2 else "x,y",
        event_type=f"type {number % 5}",
        event_time=f"2024-03-{1 + number % 28:02d} 10:{number % 60:02d}:00.000000",
        event_properties={"n": number, "b": [1.5, {"c": None}]},
    )
    for number in range(500)
]


def pretty(records: list[Any]) -> bytes:
    """JSON array with one token per line."""
    return json.dumps(records, indent=2).encode("utf-8")


def turned(records: list[Any]) -> list[dict[str, Any]]:
    """Every record with its keys in the opposite order."""
    return [dict(reversed(record.items())) for record in records]


def members(content: bytes) -> bytes:
    """Gzip members that end anywhere, in the middle of records too."""
    size = len(content) // 5 + 1
    return b"".join(gzip.compress(content[at : at + size]) for at in range(0, len(content), size))


SHAPES: dict[str, Callable[[list[Any]], dict[str, bytes]]] = {
    "array": lambda events: {"a.json": array(events)},
    "lines": lambda events: {"a.ndjson": lines(events)},
    "pretty": lambda events: {"a.json": pretty(events)},
    "other key order": lambda events: {"a.json": array(turned(events))},
    "wrapped": lambda events: {"a.json": b'{"data": ' + array(events) + b', "next": null}'},
    "gzip": lambda events: {"a.json.gz": gzipped(lines(events))},
    "gzip members": lambda events: {"a.json.gz": members(array(events))},
    # A member without a record is refused as an empty file, so a single event has one member.
    "zip": lambda events: {
        "a.zip": zipped({name: lines(part) for name, part in (("b", events[::2]), ("a", events[1::2])) if part})
    },
    "many files": lambda events: {f"{n % 3}/{n}.json": lines(events[n::20]) for n in range(min(20, len(events)))},
    "twice": lambda events: {"a.json": array(events), "b.json.gz": gzipped(lines(events))},
    "file by file twice": lambda events: {"a": array(events), "b": array(events), "c": lines(turned(events[:40]))},
}


def loaded(lake: Lake, events: list[Any], shape: str) -> list[dict[str, Any]]:
    """Rows in order of their uuid, with JSON texts as values."""
    for name, content in SHAPES[shape](events).items():
        put(lake, name, content)
    total = ingest_year(lake, YEAR, max_rows=60)["total"]
    assert total["records_seen"] == total["loaded"] + total["duplicates"]
    found: list[dict[str, Any]] = sorted(rows(lake), key=lambda row: row["uuid"])
    for row in found:
        for name in NESTED_COLUMNS:
            row[name] = None if row[name] == NULL_MARK else json.loads(row[name])
    return found


@pytest.fixture(scope="module")
def expected() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        return loaded(Lake(Path(folder)), EVENTS, "array")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_no_shape_and_no_order_changes_the_set_of_rows(
    lake: Lake, expected: list[dict[str, Any]], shape: str, seed: int | None
) -> None:
    events = list(EVENTS)
    if seed is not None:
        random.Random(seed).shuffle(events)
    assert loaded(lake, events, shape) == expected
    assert len(expected) == len(EVENTS)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from(range(40)), min_size=1, max_size=30),
    st.sampled_from(sorted(SHAPES)),
    st.sampled_from(sorted(SHAPES)),
    st.randoms(use_true_random=False),
)
def test_any_two_shapes_of_any_events_agree(numbers: list[int], first: str, second: str, order: random.Random) -> None:
    events = [EVENTS[number] for number in numbers]
    found = []
    for shape in (first, second):
        with tempfile.TemporaryDirectory() as folder:
            found.append(loaded(Lake(Path(folder)), events, shape))
        order.shuffle(events)
    assert found[0] == found[1]
    assert [row["uuid"] for row in found[0]] == sorted({EVENTS[number]["uuid"] for number in numbers})


def test_summaries_do_not_depend_on_the_shape_either(tmp_path: Path, spark: Any) -> None:
    from analytics_assets.core.summaries.run import summarize
    from analytics_assets_tests.core.summaries.conftest import publish_actors

    # One table each of columns, of time, of sessions and of order: what the shape could reach.
    names = ["spark_top_values", "spark_temporal_patterns", "spark_session_behavior", "spark_event_transitions"]
    summaries = []
    shuffled = list(EVENTS)
    random.Random(3).shuffle(shuffled)
    for name, events, shape in (("one", EVENTS, "pretty"), ("two", shuffled, "twice"), ("three", shuffled, "zip")):
        lake = Lake(tmp_path / name)
        loaded(lake, events, shape)
        files = sorted(lake.chunks(YEAR).glob("part-*.csv"))
        found = summarize(spark, files, publish_actors(lake, YEAR), YEAR, default_settings(), names=names)
        summaries.append({result.table.name: result.rows.to_pylist() for result in found})
    assert summaries[0] == summaries[1] == summaries[2]
    assert list(summaries[0]) == names


def test_a_torn_record_more_or_less_changes_no_other_row(lake: Lake, expected: list[dict[str, Any]]) -> None:
    torn = [encoded(EVENTS[5])[:-9], b"{", b'{"event_type": nul}', b"\xff"]
    mixed: list[Any] = list(EVENTS)
    for number, record in enumerate(torn):
        mixed.insert(100 * number + 50, record)
    put(lake, "a.ndjson", lines(mixed))
    manifest = ingest_year(lake, YEAR)
    assert manifest["total"]["loaded"] == len(expected)
    assert {row["uuid"] for row in rows(lake)} == {row["uuid"] for row in expected}
