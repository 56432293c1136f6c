"""The compiled decoder against the reference: ijson, record by record."""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.ingest import decoding, sources
from analytics_assets.core.ingest.limits import Limits
from analytics_assets.core.ingest.records import SOURCE_FIELDS, read_time
from analytics_assets.core.ingest.run import ingest_year
from analytics_assets.core.lake import Lake
from analytics_assets.core.privacy import Privacy, suppress
from analytics_assets_tests.core.ingest.exports import YEAR, array, encoded, event, lines, put, rows


def suppress_ids(lake: Lake, ids: dict[str, str]) -> None:
    privacy = Privacy.of(lake)
    suppress(lake, privacy, {column: [privacy.digest(column, value)] for column, value in ids.items()})


def outcome(content: bytes, *, reference: bool, workers: int = 2, forgotten: str = "") -> Any:
    """Chunks, quarantine and manifest of one file, or the error."""
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        if forgotten:
            suppress_ids(lake, {"user_id": forgotten, "device_id": forgotten, "amplitude_id": "7"})
        put(lake, "a.json", content)
        try:
            ingest_year(lake, YEAR, max_rows=7, reference=reference, limits=Limits(workers=workers))
        except PipelineError as error:
            return error.fact
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for top in (lake.chunks(YEAR), lake.quarantine(YEAR))
            for path in top.glob("[a-z]*.*")
        }


def assert_same(content: bytes, **options: Any) -> None:
    assert outcome(content, reference=False, **options) == outcome(content, reference=True, **options)


texts = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["EMPTY", "\\N", "\\", '"', "a\\u0041", "né", "\U0001f600", "\n", "\x00", "x" * 40, "anonymous", "\u2028"]
    ),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(-5, 5),
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
)
nested = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)
times = st.sampled_from(
    [
        "2024-03-01 10:00:00.123456",
        "2024-03-01T10:00:00.123456",
        "2024-03-01T10:00:00Z",
        "2024-03-01 10:00:00.5",
        "2024-03-01 10:00:00.123456789",
        "2024-03-01T10:00:00.123+00:00",
        "2024-03-01T10:00:00+02:00",
        "2022:05:27 01:02:50.047099",
        "2023-02-29 00:00:00.000000",
        "2024-02-29 23:59:59.999999",
        "0000-01-01 00:00:00.000000",
        "0001-01-01 00:00:00.000000",
        "9999-12-31 24:00:00.000000",
        "2024-03-01 23:59:60.000000",
        "2024-03-01 10:00:00,5",
        "2024-03-01 10:00:00.",
        "2024-03-01",
        "soon",
        None,
        5,
    ]
)


@st.composite
def records(draw: st.DrawFn) -> bytes:
    """Events in which any field may hold anything, in any spelling of JSON."""
    record = event(draw(st.integers(0, 6)))
    for name in draw(st.lists(st.sampled_from([*sorted(SOURCE_FIELDS), "new", "né"]), max_size=6)):
        if name.endswith("_time"):
            record[name] = draw(times)
        else:
            record[name] = draw(st.one_of(nested, texts, st.none()))
    keys = draw(st.permutations(list(record)))
    record = {key: record[key] for key in keys}
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " :\r\n "), (",", ":")]))
    indent = draw(st.sampled_from([None, None, None, 1]))
    text = json.dumps(record, ensure_ascii=draw(st.booleans()), separators=separators, indent=indent)
    if draw(st.integers(0, 9)) == 0:
        text = text.replace(
            '"event_type"', draw(st.sampled_from(['"city": "x", "city"', '"event_typ\\u0065"', '"new":1, "new"'])), 1
        )
    content = text.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 4)) == 0:
        place = draw(st.integers(0, len(content) - 1))
        damage = draw(
            st.sampled_from([b"", b"\xff", b"\x00", b'"', b"}", b"\\", b",", b"\n", b"\xed\xa0\x80", b"1e999"])
        )
        content = content[:place] + damage + content[place + draw(st.integers(0, 2)) :]
    return content


@settings(max_examples=250, deadline=None)
@given(st.lists(records(), min_size=1, max_size=12), st.sampled_from([array, lines]))
def test_both_decoders_give_the_same_bytes(elements: list[bytes], layout: Any) -> None:
    assert_same(layout([encoded(event(90)), *elements]))


@settings(max_examples=40, deadline=None)
@given(st.lists(records(), min_size=1, max_size=8), st.integers(0, 3))
def test_both_decoders_leave_out_the_same_persons(elements: list[bytes], spread: int) -> None:
    known = [event(n + 50, user_id=u, device_id=d, amplitude_id=a) for n, (u, d, a) in enumerate(PERSONS)]
    assert_same(lines([*known[spread:], *elements, *known[:spread]]), forgotten="gone")


PERSONS = [
    ("gone", "x", 1),
    ("stays", "gone", 7),
    (None, "gone", 1),
    ("EMPTY", "y", 7),
    ("anonymous", "gone", 2),
    (" gone ", "y", 3),
    (None, None, 8),
]


def test_forgotten_persons_are_those_of_the_rule(lake: Lake) -> None:
    suppress_ids(lake, {"user_id": "gone", "device_id": "gone", "amplitude_id": "7"})
    put(lake, "a.json", lines(event(n, user_id=u, device_id=d, amplitude_id=a) for n, (u, d, a) in enumerate(PERSONS)))
    manifest = ingest_year(lake, YEAR)
    assert [row["event_type"] for row in rows(lake)] == ["event 1", "event 6"]
    assert manifest["total"]["forgotten"] == 5
    assert manifest["total"]["records_seen"] == 7


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "READ_AHEAD_BYTES", 3_000)
    monkeypatch.setattr(decoding, "SEGMENT_BYTES", 200)
    monkeypatch.setattr(decoding, "BATCH_RECORDS", 5)


DECOYS = [
    event(1, event_properties={"list": [{"uuid": "x", "a": 1}, {"uuid": "y"}]}),
    event(2, event_properties={"text": '},{"uuid": "z"},\n{"uuid":'}),
    event(3, event_properties=[[{"uuid": "deep"}], {"uuid": "w"}]),
]


@pytest.mark.parametrize("layout", [array, lines], ids=["array", "lines"])
@pytest.mark.parametrize("workers", [1, 2, 3, 7])
@pytest.mark.parametrize("seed", range(5))
def test_cuts_never_change_the_result(small_blocks: None, layout: Any, workers: int, seed: int) -> None:
    """What looks like the beginning of a record lies everywhere: in lists of properties and in texts."""
    chance = random.Random(seed)
    elements: list[Any] = []
    for number in range(150):
        decoy = chance.choice(DECOYS)
        elements.append(event(number, event_properties=decoy["event_properties"], city="c" * chance.randint(0, 60)))
        if chance.random() < 0.05:
            elements.append(chance.choice([b"{bad", b'{"uuid": "q", "event_type": 5}', b"1e5"]))
    assert_same(layout(elements), workers=workers)


@given(st.datetimes(), st.integers(0, 9), st.sampled_from([" ", "T"]), st.sampled_from(["", "Z", "+00:00"]))
@settings(max_examples=100, deadline=None)
def test_times_are_read_alike(moment: Any, digits: int, between: str, zone: str) -> None:
    text = moment.strftime("%Y").zfill(4) + moment.strftime("-%m-%d") + between + moment.strftime("%H:%M:%S")
    text += ("." + f"{moment.microsecond:06d}789"[:digits] if digits else "") + zone
    content = lines([event(1, event_time=text)])
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        put(lake, "a.json", content)
        ingest_year(lake, YEAR)
        assert rows(lake)[0]["event_time"] == read_time(text)


def test_most_records_take_the_fast_way(lake: Lake) -> None:
    """Otherwise the comparisons above would compare the reference with itself."""
    from concurrent.futures import ThreadPoolExecutor

    from analytics_assets.core.ingest.decoding import Batch, Decoder
    from analytics_assets.core.ingest.scanner import RecordScanner

    class Whole:
        def __init__(self, content: bytes) -> None:
            self.content = content

        def read(self, size: int = -1, /) -> bytes:
            content, self.content = self.content, b""
            return content

    content = array([event(n, city="né", event_properties={"a": [n, 1.5e3]}) for n in range(100)] + [b"{bad"])
    with ThreadPoolExecutor(1) as pool:
        items = list(RecordScanner(Whole(content), "x", Decoder(Privacy("pseudonymize", b"k" * 16), pool, 1, 1 << 24)))
    assert sum(len(item.starts) for item in items if isinstance(item, Batch)) == 100
    assert sum(not isinstance(item, Batch) for item in items) == 1
