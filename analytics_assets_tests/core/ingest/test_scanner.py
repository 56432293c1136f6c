from __future__ import annotations

import io
import json
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.ingest import scanner
from analytics_assets.core.ingest.scanner import RecordScanner, RecordSpan
from analytics_assets_tests.core.ingest.exports import array, encoded, event, lines

BOM = b"\xef\xbb\xbf"
BETWEEN = b" \t\r\n,[]"


class Drip:
    """A stream that returns at most `sizes` bytes per read, in turn."""

    def __init__(self, content: bytes, sizes: tuple[int, ...]) -> None:
        self._stream, self._sizes, self._turn = io.BytesIO(content), sizes, 0

    def read(self, size: int = -1, /) -> bytes:
        self._turn += 1
        return self._stream.read(self._sizes[self._turn % len(self._sizes)])


def scan(content: bytes) -> tuple[list[RecordSpan], dict[str, int]]:
    """Scan, after checking what must hold for any content."""
    reader = RecordScanner(io.BytesIO(content), "export.json")
    spans = list(reader)
    assert reader.position == len(content)
    at = len(BOM) if content.startswith(BOM) else 0
    for span in spans:
        assert at <= span.start < span.end <= len(content)
        assert span.raw == content[span.start : span.end]
        assert not content[at : span.start].strip(BETWEEN), content[at : span.start]
        assert (span.value is None) or not span.problem
        if not span.problem:
            assert span.value == json.loads(span.raw, parse_float=Decimal)
        at = span.end
    assert not content[at:].strip(BETWEEN)
    return spans, reader.irregularities


def loaded(content: bytes) -> list[Any]:
    return [span.value for span in scan(content)[0] if not span.problem]


def problems(content: bytes) -> list[tuple[str, bytes]]:
    return [(span.problem, span.raw) for span in scan(content)[0] if span.problem]


EVENTS = [event(n) for n in range(4)]
TRICKY = [
    event(0, event_type='brackets ]}{[ and "quotes" and \\ backslashes \\" },{'),
    event(1, event_properties={"items": [{"a": [1, {"b": []}]}, {"c": {}}], "deep": [[[{}]]]}),
    event(2, event_type="line\nend\r\n\t \u2028 \x85 \U0001f600 nul \0"),
    event(3, event_properties={"text": '{"event_type": "x", "event_time": "y"}, {"event_type": "z"}'}),
]


@pytest.mark.parametrize("events", [EVENTS, TRICKY], ids=["plain", "tricky"])
@pytest.mark.parametrize(
    "content",
    [
        array,
        lines,
        lambda events: json.dumps(events, indent=2).encode(),
        lambda events: json.dumps(events, separators=(",", ":")).encode(),
        lambda events: array(events[:2]) + array(events[2:]),
        lambda events: array(events[:2]) + b"\n\n" + array(events[2:]) + b"\n",
        lambda events: b"".join(encoded(e) for e in events),
        lambda events: b" ".join(encoded(e) for e in events),
        lambda events: lines(events[:2]) + array(events[2:]),
        lambda events: BOM + array(events),
        lambda events: BOM + lines(events),
        lambda events: b"\r\n".join(encoded(e) for e in events) + b"\r\n",
        lambda events: b"\n \r\n\n" + b"\n\n\t\n".join(encoded(e) for e in events) + b"\n\n",
        lambda events: lines(events)[:-1],
    ],
)
def test_every_layout_gives_the_same_events_without_a_refusal(content, events) -> None:
    assert loaded(content(events)) == events
    assert problems(content(events)) == []


def test_a_byte_order_mark_is_noted_and_not_part_of_a_record() -> None:
    spans, irregularities = scan(BOM + lines(EVENTS))
    assert spans[0].start == 3
    assert irregularities == {"byte_order_mark": 1}


def test_a_clean_array_has_no_irregularities() -> None:
    assert scan(array(EVENTS))[1] == {}


@pytest.mark.parametrize("content", [b"[]", b"[ ]\n", b"[][]"])
def test_an_empty_array_has_no_records(content: bytes) -> None:
    assert scan(content) == ([], {})


@pytest.mark.parametrize("sizes", [(1,), (2,), (3,), (4,), (5,), (6,), (7,), (1, 7, 3)])
@pytest.mark.parametrize(
    "content",
    [
        BOM + array(TRICKY),
        lines(TRICKY),
        json.dumps([EVENTS[0], {"event_type": 1}, EVENTS[1]]).encode().replace(b": 1}", b": NaN}"),
        b"[" + encoded(EVENTS[0]) + b' , {"event_type": "bad , "x": 1} \n ,   ' + encoded(EVENTS[1]) + b" ]",
        b"[" + encoded(EVENTS[0]) + b", some garbage 12 , , " + encoded(EVENTS[1]) + b', "text", 1e5, tru, null]',
        array([EVENTS[0], encoded(EVENTS[1])[:-1], EVENTS[2]]),
        array(EVENTS)[:-30],
        b"[" + encoded(EVENTS[0]) + b']]}, {"a": 1}}, ' + encoded(EVENTS[1]),
    ],
)
def test_spans_do_not_depend_on_read_sizes(monkeypatch, content: bytes, sizes: tuple[int, ...]) -> None:
    whole, irregularities = scan(content)
    monkeypatch.setattr(scanner, "BLOCK_BYTES", 1)
    dripped = RecordScanner(Drip(content, sizes), "export.json")
    assert list(dripped) == whole
    assert dripped.irregularities == irregularities


def _replaced(old: bytes, new: bytes) -> bytes:
    bad = encoded(event(9, event_properties={"items": [{"uuid": "nested"}], "n": 9}))
    assert old in bad
    return bad.replace(old, new, 1)


MALFORMED = {
    "missing value": _replaced(b'"n": 9', b'"n": '),
    "NaN": _replaced(b'"n": 9', b'"n": NaN'),
    "minus infinity": _replaced(b'"n": 9', b'"n": -Infinity'),
    "bare word": _replaced(b'"n": 9', b'"n": None'),
    "single quotes": _replaced(b'"nested"', b"'nested'"),
    "leading zero": _replaced(b'"n": 9', b'"n": 09'),
    "raw line end in a string": _replaced(b'"event 9"', b'"event\n9"'),
    "raw NUL in a string": _replaced(b'"event 9"', b'"event\0009"'),
    "bad escape": _replaced(b'"event 9"', b'"event\\x9"'),
    "invalid UTF-8": _replaced(b'"event 9"', b'"event \xff"'),
    "missing closing quote": _replaced(b'"event 9"', b'"event 9'),
    "missing opening quote": _replaced(b'"event 9"', b'event 9"'),
    "missing inner brace": _replaced(b'"n": 9}', b'"n": 9'),
    "missing outer brace": encoded(event(9))[:-1],
    "missing all braces": encoded(event(9))[:-2],
    "missing opening brace": encoded(event(9))[1:],
    "missing bracket": _replaced(b"}]", b"}"),
    "brackets crossed": _replaced(b"}]", b"]}"),
    "bracket for brace": _replaced(b'{"uuid": "nested"}', b'{"uuid": "nested"]'),
    "extra comma": _replaced(b'"n": 9', b'"n": 9,'),
    "missing comma": _replaced(b', "n"', b' "n"'),
    "missing colon": _replaced(b'"n": 9', b'"n" 9'),
    "comment": _replaced(b'"n": 9', b'/* ] */ "n": 9'),
    "cut after a colon": encoded(event(9)).partition(b'"event_properties":')[0] + b'"event_properties":',
    "cut inside a string": encoded(event(9))[:70],
    "cut inside an array": b'{"event_type": "cut", "tags": ["a",',
    "too long integer": _replaced(b'"n": 9', b'"n": ' + b"9" * 4301),
    "too large exponent": _replaced(b'"n": 9', b'"n": 1e999999999999999999999'),
}


@pytest.mark.parametrize("layout", [array, lines], ids=["array", "lines"])
@pytest.mark.parametrize("bad", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_record_costs_only_itself(bad: bytes, layout) -> None:
    content = layout([EVENTS[0], EVENTS[1], bad, EVENTS[2], EVENTS[3]])
    assert [value for value in loaded(content) if isinstance(value, dict) and "event_time" in value] == EVENTS
    spans = [span for span in scan(content)[0] if span.value not in EVENTS]
    start = content.index(bad)
    assert spans[0].start == start
    # A closing quote or brace that is gone may leave the line end in doubt, never the next record.
    assert start + len(bad.rstrip()) <= spans[-1].end + 1
    assert spans[-1].end <= content.index(encoded(EVENTS[2]))


@pytest.mark.parametrize("layout", [array, lines], ids=["array", "lines"])
@pytest.mark.parametrize(
    "name",
    [
        "missing value",
        "NaN",
        "bare word",
        "leading zero",
        "raw line end in a string",
        "raw NUL in a string",
        "bad escape",
        "invalid UTF-8",
        "extra comma",
        "missing closing quote",
        "missing outer brace",
        "too long integer",
    ],
)
def test_a_malformed_record_is_refused_as_one_span_of_exactly_its_bytes(name: str, layout) -> None:
    bad = MALFORMED[name]
    content = layout([EVENTS[0], bad, EVENTS[1]])
    assert [raw for _, raw in problems(content)] == [bad]


@pytest.mark.parametrize("name", ["missing value", "NaN", "raw line end in a string", "invalid UTF-8", "extra comma"])
def test_a_malformed_last_record_leaves_the_array_whole(name: str) -> None:
    content = array([EVENTS[0], MALFORMED[name]])
    assert problems(content) == [("malformed_json", MALFORMED[name])]
    assert scan(content)[1] == {}


def test_an_extra_brace_is_refused_alone() -> None:
    content = b"[" + encoded(EVENTS[0]) + b"}, " + encoded(EVENTS[1]) + b"]"
    assert loaded(content) == EVENTS[:2]
    assert problems(content) == [("malformed_json", b"}")]


def test_an_array_that_closes_early_does_not_cost_what_follows() -> None:
    content = b"[" + encoded(EVENTS[0]) + b"], " + b", ".join(map(encoded, EVENTS[1:])) + b"]"
    spans, irregularities = scan(content)
    assert [span.value for span in spans] == EVENTS
    assert irregularities == {"extra_comma": 3, "extra_bracket": 1}


def test_garbage_between_elements_is_refused_and_neighbours_load() -> None:
    content = b"[" + encoded(EVENTS[0]) + b", \x00\x01 garbage here; 12, " + encoded(EVENTS[1]) + b"]"
    assert loaded(content) == [EVENTS[0], 12, EVENTS[1]] or loaded(content) == EVENTS[:2]
    assert problems(content)[0][1].startswith(b"\x00\x01 garbage here")


def test_a_log_line_between_lines_is_one_refused_span() -> None:
    line = b'2024-01-01 ERROR [worker 3] {not json} "half'
    content = lines([EVENTS[0], line, EVENTS[1]])
    assert loaded(content)[0] == EVENTS[0]
    assert loaded(content)[-1] == EVENTS[1]
    assert problems(content) == [("malformed_json", line)]


def test_elements_that_are_no_objects_are_decoded_for_the_next_step() -> None:
    content = b'[1, "two", null, true, [3, {"a": 4}], -0.5, ' + encoded(EVENTS[0]) + b"]"
    assert loaded(content) == [1, "two", None, True, [3, {"a": 4}], Decimal("-0.5"), EVENTS[0]]


def test_events_in_nested_arrays_load() -> None:
    content = b"[" + array(EVENTS[:2]) + b", [" + array(EVENTS[2:3]) + b"], [7], " + encoded(EVENTS[3]) + b"]"
    spans, irregularities = scan(content)
    assert [span.value for span in spans] == [*EVENTS[:3], [7], EVENTS[3]]
    assert irregularities == {"nested_array": 3}


@pytest.mark.parametrize("text", [r'"\udc00"', r'"\ud83d\ud83d\ude00"', r'{"\udfff": 1}'])
def test_a_second_half_of_a_surrogate_pair_is_refused_as_such(text: str) -> None:
    bad = encoded(event(9, city="@")).replace(b'"@"', text.encode()) if text[0] == '"' else text.encode()
    assert problems(array([EVENTS[0], bad, EVENTS[1]])) == [("lone_surrogate", bad)]


def test_numbers_that_python_cannot_convert_are_refused_as_such_and_long_digits_in_texts_load() -> None:
    for number in (b"9" * 4301, b"-" + b"9" * 70_000, b"1e999999999999999999999"):
        bad = MALFORMED["NaN"].replace(b"NaN", number)
        assert problems(array([EVENTS[0], bad, EVENTS[1]])) == [("number_out_of_range", bad)]
    fine = event(1, city="9" * 5000, user_id='"' + "8" * 5000, event_properties={"n": int("7" * 4300)})
    assert loaded(array([fine])) == [fine]


def test_words_that_merely_begin_like_a_value_are_no_values() -> None:
    assert [raw for _, raw in problems(b"[12abc, truefalse, 01, nul]")] == [b"12abc", b"truefalse", b"01", b"nul"]


@pytest.mark.parametrize(
    ("content", "noted"),
    [
        (array(EVENTS)[:-1] + b",]", "trailing_comma"),
        (array(EVENTS).replace(b"},\n{", b"}\n{", 1), "missing_comma"),
        (array(EVENTS).replace(b"},\n{", b"},,\n{", 1), "extra_comma"),
        (array(EVENTS)[:-1], "truncated"),
        (b",\n".join(map(encoded, EVENTS)), "extra_comma"),
    ],
)
def test_wrong_separators_cost_no_record_and_are_noted(content: bytes, noted: str) -> None:
    spans, irregularities = scan(content)
    assert [span.value for span in spans] == EVENTS
    assert set(irregularities) == {noted}


@pytest.mark.parametrize("layout", [array, lines], ids=["array", "lines"])
@pytest.mark.parametrize("cut", [2, 5, 30, 60])
def test_a_truncated_record_is_refused_as_truncated(cut: int, layout) -> None:
    content = layout(EVENTS).rstrip(b"\n]")[:-cut]
    spans, irregularities = scan(content)
    assert [span.value for span in spans[:-1]] == EVENTS[:-1]
    assert spans[-1].problem == "truncated"
    assert spans[-1].raw == encoded(EVENTS[-1])[:-cut]
    assert irregularities == {"truncated": 1}


def test_nesting_beyond_the_limit_is_refused_and_at_the_limit_loads() -> None:
    def nested(depth: int) -> bytes:  # the record itself is one level
        return b'{"event_type": "deep", "event_properties": ' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"

    assert problems(array([EVENTS[0], nested(64), EVENTS[1]])) == []
    assert problems(array([EVENTS[0], nested(65), EVENTS[1]])) == [("too_deep", nested(65))]
    assert loaded(array([EVENTS[0], nested(65), EVENTS[1]])) == EVENTS[:2]


def test_too_deep_records_are_never_parsed(monkeypatch) -> None:
    def decode(raw: bytes) -> Any:
        assert raw.count(b"[") <= 64, "a deep record reached the parser"
        return json.loads(raw)

    monkeypatch.setattr(scanner, "decode", decode)
    deep = b"[" * 100_000 + b"]" * 100_000
    assert [problem for problem, _ in problems(array([EVENTS[0], deep, EVENTS[1]]))] == ["too_deep"]
    unclosed = b'{"a":[' * 20_000
    assert loaded(lines([EVENTS[0], unclosed, EVENTS[1]])) == EVENTS[:2]


def test_too_large_records_are_refused_in_pieces_and_reading_goes_on(monkeypatch) -> None:
    monkeypatch.setattr(scanner, "MAX_RECORD_BYTES", 10_000)
    numbers = encoded(event(9, event_properties={"values": list(range(5_000))}))
    string = encoded(event(9, event_type="x" * 35_000))
    unclosed = b'{"event_type": "' + b"y" * 25_000
    for large in (numbers, string, unclosed):
        content = array([EVENTS[0], large, EVENTS[1]])
        assert loaded(content) == EVENTS[:2]
        assert b"".join(raw for _, raw in problems(content)).startswith(large)
        assert {problem for problem, _ in problems(content)} == {"record_too_large"}
        assert len(problems(content)) == len(large) // 10_000 + 1
        monkeypatch.setattr(scanner, "BLOCK_BYTES", 512)
        whole = scan(content)[0]
        assert list(RecordScanner(Drip(content, (700,)), "x")) == whole
        monkeypatch.setattr(scanner, "BLOCK_BYTES", 1 << 20)


def test_memory_stays_bounded_by_the_largest_record(monkeypatch) -> None:
    monkeypatch.setattr(scanner, "MAX_RECORD_BYTES", 10_000)
    monkeypatch.setattr(scanner, "BLOCK_BYTES", 1_000)
    content = b'[{"event_type": "' + b"y" * 300_000 + b'"}, ' + encoded(EVENTS[0]) + b"]"
    reader = RecordScanner(io.BytesIO(content), "x")
    held = 0
    for _ in reader:
        held = max(held, len(reader._buffer))
    assert 0 < held <= 40_000


@pytest.mark.parametrize(
    "content",
    [
        b'[{"event_type": "a", "values": [' + b"1.5, " * 600_000 + b"1]}]",
        b'[{"event_type": "' + b"1234567890" * 300_000 + b'"}]',
        b'[{"event_type": "a", "x": NaN' + b"\n" * 3_000_000 + b"}]",
        b'[{"event_type": ' + b"\n" * 3_000_000 + b'"a" "b"}]',
        b"[x" + b",{" * 300_000 + b"]",
        b"[x" + b',{"a":' * 100_000,
        b'[{"event_type":"a","x":[' * 20_000,
        b"[" + b'{"event_type": "a", ' * 20_000 + b"]",
        b"[" + b'"' * 200_001 + b"]",
    ],
    ids=["numbers", "digits", "blank lines", "blanks", "braces", "objects", "deep", "openings", "quotes"],
)
def test_hostile_content_takes_linear_time(content: bytes) -> None:
    started = time.process_time()
    scan(content)
    assert time.process_time() - started < 8


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b"", "empty"),
        (b" \n\t\r\n", "empty"),
        (BOM, "empty"),
        (b"42", "JSON scalar"),
        (b'"text"\n', "JSON scalar"),
        (b"null", "JSON scalar"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "not JSON"),
        (b"event_type,event_time\na,b\n", "not JSON"),
        ('[{"event_type": "a"}]'.encode("utf-16"), "UTF-16"),
    ],
)
def test_a_file_without_records_is_an_error_that_names_file_and_remedy(content: bytes, fact: str) -> None:
    for stream in (io.BytesIO(content), Drip(content, (1,))):
        with pytest.raises(PipelineError) as caught:
            list(RecordScanner(stream, "2024/export.json"))
        assert "2024/export.json" in caught.value.place
        assert fact in caught.value.fact
        assert "remove the file" in caught.value.remedy


TEXTS = st.text(st.sampled_from('ab{}[],:"\\\n\t é\u2028\U0001f600'), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.sampled_from([0.5, -1e20]) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
PROPERTIES = st.dictionaries(st.sampled_from(["items", "n", "s"]), VALUES, max_size=3) | st.just(
    {"items": [{"event_type": "nested", "event_time": "2024-01-01"}, {"uuid": "nested"}]}
)


@st.composite
def documents(draw: st.DrawFn) -> tuple[list[bytes], int]:
    """Records as bytes, one of them with a mutation inside (its number; -1 when there is none)."""
    properties = draw(st.lists(PROPERTIES, min_size=1, max_size=5))
    ascii_only, spaced = draw(st.booleans()), draw(st.booleans())
    separators = (", ", ": ") if spaced else (",", ":")
    records = [
        json.dumps(event(n, event_properties=value), ensure_ascii=ascii_only, separators=separators).encode()
        for n, value in enumerate(properties)
    ]
    if not draw(st.booleans()):
        return records, -1
    number = draw(st.integers(0, len(records) - 1))
    record = records[number]
    at = draw(st.integers(0, len(record) - 1))
    cut = draw(st.sampled_from([0, 1, 1, 2, 10, 40]))
    new = draw(st.sampled_from([b"", b'"', b"{", b"}", b"[", b"]", b",", b":", b"\n", b"\\", b"NaN", b"\xff", b"x y"]))
    records[number] = record[:at] + new + record[at + cut :]
    return records, number


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents(), st.booleans(), st.lists(st.integers(1, 7), min_size=1, max_size=3), st.sampled_from([0, 0, 1, 9]))
@example(([b'{"event_type": "a"', encoded(event(1))], 0), True, [1], 0)
def test_any_document_is_covered_and_untouched_records_load(monkeypatch, document, as_array, sizes, cut) -> None:
    records, mutated = document
    content = b" \n" + (b"[" + b" , ".join(records) + b"]" if as_array else b"\n".join(records))
    content = content[: len(content) - cut]
    try:
        spans, irregularities = scan(content)
    except PipelineError:
        assert mutated == 0 or len(content) < 12
        return
    kept = {span.raw for span in spans if not span.problem}
    for number, record in enumerate(records):
        if number != mutated and (cut == 0 or number < len(records) - 1):
            assert record in kept
    with monkeypatch.context() as patch:
        patch.setattr(scanner, "BLOCK_BYTES", 1)
        dripped = RecordScanner(Drip(content, tuple(sizes)), "x")
        assert list(dripped) == spans
        assert dripped.irregularities == irregularities


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.text(st.sampled_from('[]{},:"\\ \n1aeN'), max_size=60).map(str.encode))
def test_any_bytes_are_covered(tail: bytes) -> None:
    scan(b"[" + tail)
    scan(encoded(EVENTS[0]) + b"\n" + tail)
