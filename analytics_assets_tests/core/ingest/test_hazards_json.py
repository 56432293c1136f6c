"""What Amplitude files, proxies and broken downloads do to JSON, and the one right outcome of each.

Put here: hazards of the JSON itself, each as a whole ingestion with both decoders. Keep out: the grammar in full
(``test_json_grammar.py``), archives and files (``test_hazards_archives.py``).

Where a test is named ``ours``, other readers would choose differently with good reason, and the comment says why we
chose so.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.lake import Lake
from analytics_assets_tests.core.ingest.exports import array, encoded, event, leftovers, lines, put
from analytics_assets_tests.core.ingest.outcomes import both_decoders, ingest, ingest_alone, ingest_bytes

A, B, C = event(1), event(2), event(3)
NAMES = ["event 1", "event 2", "event 3"]
BOM = b"\xef\xbb\xbf"
both_layouts = pytest.mark.parametrize("layout", [array, lines], ids=["array", "lines"])


def second(old: bytes = b'{"n": 2}', new: bytes = b"") -> bytes:
    """The second event with some bytes replaced, by default those of its properties."""
    whole = encoded(B)
    assert whole.count(old) == 1
    return whole.replace(old, new)


def doubled(key: str, first: str, then: str) -> bytes:
    """The second event with one more key, twice."""
    return second(new=b'{"n": 2}, ' + f'"{key}": {first}, "{key}": {then}'.encode())


# Between two good events: bytes of the second one, and the reason for which it alone is refused.
REFUSED: dict[str, tuple[bytes, str]] = {
    # Ours: NaN and the infinities are no JSON (RFC 8259, section 6), so they have no reason code of their own.
    "ours: NaN": (second(new=b'{"n": NaN}'), "malformed_json"),
    "ours: Infinity": (second(new=b'{"n": Infinity}'), "malformed_json"),
    "ours: -Infinity": (second(new=b'{"n": -Infinity}'), "malformed_json"),
    "ours: NaN in an id": (second(b'"session_id": -1', b'"session_id": NaN'), "malformed_json"),
    "id of 2^63": (second(b'"session_id": -1', b'"session_id": 9223372036854775808'), "bad_integer"),
    "id of -2^63-1": (second(b'"session_id": -1', b'"session_id": -9223372036854775809'), "bad_integer"),
    "id of 1e300": (second(b'"session_id": -1', b'"session_id": 1e300'), "bad_integer"),
    "fraction beyond a double": (second(new=b'{"n": 1.5e309}'), "number_out_of_range"),
    "key twice, values differ": (doubled("city", '"x"', '"y"'), "duplicate_key"),
    "key twice, types differ": (doubled("city", '"1"', "1"), "duplicate_key"),
    "key twice, once escaped": (doubled("city", '"x"', '"y"').replace(b'"city"', b'"\\u0063ity"', 1), "duplicate_key"),
    "properties twice": (second(new=b'{"n": 2}, "event_properties": {"n": 3}'), "duplicate_key"),
    "65 levels": (second(new=b'{"v": ' + b"[" * 63 + b"]" * 63 + b"}"), "too_deep"),
    "2,000 levels": (second(new=b'{"v": ' + b"[" * 2_000 + b"]" * 2_000 + b"}"), "too_deep"),
    "2,000 objects": (second(new=b'{"v":' * 2_000 + b"1" + b"}" * 2_000), "too_deep"),
    "invalid UTF-8 in a value": (second(new=b'{"n": "caf\xe9"}'), "malformed_json"),
    "invalid UTF-8 in a key": (second(new=b'{"\xff": 2}'), "malformed_json"),
    "invalid UTF-8 in a column": (second(b'"event 2"', b'"event \x80"'), "malformed_json"),
    "lone surrogate": (second(new=b'{"n": "\\ud800"}'), "lone_surrogate"),
    "lone second surrogate": (second(new=b'{"n": "\\udfff!"}'), "lone_surrogate"),
    "lone surrogate in a key": (second(new=b'{"\\uD83D": 2}'), "lone_surrogate"),
    "lone surrogate in a column": (second(b'"event 2"', b'"event \\ud800"'), "lone_surrogate"),
    "raw NUL": (second(new=b'{"n": "\x00"}'), "malformed_json"),
    "raw control character": (second(new=b'{"n": "\x1f"}'), "malformed_json"),
    "raw tab": (second(new=b'{"n": "\t"}'), "malformed_json"),
    "raw line end": (second(b'"event 2"', b'"event\n2"'), "malformed_json"),
    "raw NUL between tokens": (second(new=b'\x00{"n": 2}'), "malformed_json"),
    "event_type is null": (encoded(event(2, event_type=None)), "missing_event_type"),
    "no time": (encoded(event(2, event_time="yesterday")), "no_event_time"),
    "id is a text": (encoded(event(2, event_id="seven")), "bad_integer"),
    "id is a truth value": (encoded(event(2, event_id=True)), "bad_integer"),
    "a number": (b"12", "not_an_object"),
}


@both_decoders
@both_layouts
@pytest.mark.parametrize(("bad", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_a_bad_record_is_refused_with_its_exact_bytes_and_its_neighbours_load(
    lake: Lake, bad: bytes, reason: str, layout: Callable, reference: bool
) -> None:
    outcome = ingest_bytes(lake, layout([A, bad, C]), reference=reference)
    assert outcome.loaded == ["event 1", "event 3"]
    assert outcome.refused == [(reason, bad)]
    assert outcome.file["irregularities"] == {}
    assert outcome.file["complete"]


@dataclass(frozen=True)
class Delivery:
    """A file, and what must become of it: nothing refused and nothing noted unless said otherwise."""

    content: bytes
    loaded: list[str] = field(default_factory=lambda: NAMES)
    refused: list[tuple[str, bytes]] = field(default_factory=list)
    noted: dict[str, int] = field(default_factory=dict)
    complete: bool = True


TWO, ONE = NAMES[:2], NAMES[:1]
CUT = {"truncated": 1}
UNDER_KEY = {"array_under_key": 1}

DELIVERIES: dict[str, Delivery] = {
    # Byte order marks.
    "mark before an array": Delivery(BOM + array([A, B, C]), noted={"byte_order_mark": 1}),
    "mark before lines": Delivery(BOM + lines([A, B, C]), noted={"byte_order_mark": 1}),
    "mark before a wrapper": Delivery(
        BOM + b'{"data": ' + array([A, B, C]) + b"}", noted={"byte_order_mark": 1} | UNDER_KEY
    ),
    "second mark, of a file put behind another": Delivery(
        BOM + lines([A, B]) + BOM + lines([C]), refused=[("malformed_json", BOM)], noted={"byte_order_mark": 1}
    ),
    # Ends.
    "last line cut": Delivery(lines([A, B]) + encoded(C)[:-7], TWO, [("truncated", encoded(C)[:-7])], CUT, False),
    "last line cut in a text": Delivery(
        lines([A, B]) + encoded(C)[:30], TWO, [("truncated", encoded(C)[:30])], CUT, False
    ),
    "last line cut in an escape": Delivery(
        lines([A, B]) + b'{"uuid": "\\u00', TWO, [("truncated", b'{"uuid": "\\u00')], CUT, False
    ),
    "last line cut in a character": Delivery(
        lines([A, B]) + b'{"city": "\xc3', TWO, [("truncated", b'{"city": "\xc3')], CUT, False
    ),
    "last line cut before a brace": Delivery(
        lines([A, B]) + encoded(C)[:-1], TWO, [("truncated", encoded(C)[:-1])], CUT, False
    ),
    "last line without its end": Delivery(lines([A, B, C])[:-1]),
    # Ours: a line that is no JSON from its first byte on is not the beginning of a record, so it says nothing about
    # the file's end: a log line looks the same at the end as in the middle.
    "ours: last line is garbage": Delivery(
        lines([A, B]) + b"upstream reset", TWO, [("malformed_json", b"upstream reset")]
    ),
    "ours: last line begins like a record": Delivery(lines([A, B]) + b"{oops", TWO, [("malformed_json", b"{oops")]),
    "array cut in a record": Delivery(array([A, B, C])[:-20], TWO, [("truncated", encoded(C)[:-19])], CUT, False),
    "array cut after a record": Delivery(array([A, B])[:-1], TWO, [], CUT, False),
    "array cut after a comma": Delivery(array([A, B])[:-1] + b",", TWO, [], CUT, False),
    "array cut after its bracket": Delivery(b"[", [], [], CUT, False),
    "wrapper cut after its array": Delivery(b'{"data": ' + array([A, B]), TWO, [], CUT | UNDER_KEY, False),
    "wrapper cut in a record": Delivery(
        b'{"data": ' + array([A, B, C])[:-20], TWO, [("truncated", encoded(C)[:-19])], CUT | UNDER_KEY, False
    ),
    # Several values.
    "two objects on one line": Delivery(encoded(A) + encoded(B) + b"\n" + encoded(C)),
    "two objects on one line with a blank": Delivery(encoded(A) + b" " + encoded(B) + b"\n" + encoded(C)),
    "garbage after an object": Delivery(encoded(A) + b" xyz\n" + lines([B, C]), refused=[("malformed_json", b"xyz")]),
    "garbage right after an object": Delivery(
        encoded(A) + b"xyz\n" + lines([B, C]), refused=[("malformed_json", b"xyz")]
    ),
    "garbage after an object of an array": Delivery(
        b"[" + encoded(A) + b" xyz, " + encoded(B) + b"]",
        TWO,
        [("malformed_json", b"xyz")],
        {"missing_comma": 1},
    ),
    "concatenated arrays": Delivery(array([A]) + array([B, C])),
    "concatenated arrays on lines": Delivery(array([A]) + b"\n" + array([]) + b"\n" + array([B, C]) + b"\n"),
    "array, then lines": Delivery(array([A]) + b"\n" + lines([B, C])),
    "array of arrays": Delivery(b"[" + array([A, B]) + b", " + array([C]) + b"]", noted={"nested_array": 2}),
    "garbage after an array": Delivery(
        array([A, B]) + b"<!-- cached -->", TWO, [("malformed_json", b"<!-- cached -->")]
    ),
    "garbage after an array on a line": Delivery(array([A, B]) + b"\n\x00\x00", TWO, [("malformed_json", b"\x00\x00")]),
    # Commas and brackets.
    "trailing comma": Delivery(array([A, B, C])[:-1] + b",]", noted={"trailing_comma": 1}),
    "leading comma": Delivery(b"[," + array([A, B, C])[1:], noted={"extra_comma": 1}),
    "double comma": Delivery(
        b"[" + encoded(A) + b",," + encoded(B) + b"," + encoded(C) + b"]", noted={"extra_comma": 1}
    ),
    "missing comma": Delivery(
        b"[" + encoded(A) + b"," + encoded(B) + b" " + encoded(C) + b"]", noted={"missing_comma": 1}
    ),
    "lines with commas": Delivery(
        encoded(A) + b",\n" + encoded(B) + b",\n" + encoded(C) + b"\n", noted={"extra_comma": 2}
    ),
    "extra bracket": Delivery(array([A, B, C]) + b"]", noted={"extra_bracket": 1}),
    # Nothing inside.
    "empty array": Delivery(b"[]", []),
    "empty arrays": Delivery(b"[]\n[ ]\n", []),
    "array of nothing but commas": Delivery(b"[,,]", [], [], {"extra_comma": 2, "trailing_comma": 1}),
    # Lines.
    "blank lines": Delivery(b"\n\n" + encoded(A) + b"\n \n\t\n" + encoded(B) + b"\n\n\n" + encoded(C) + b"\n\n"),
    "CRLF": Delivery(lines([A, B, C]).replace(b"\n", b"\r\n")),
    "CR": Delivery(lines([A, B, C]).replace(b"\n", b"\r")),
    "no line ends": Delivery(lines([A, B, C]).replace(b"\n", b"")),
    # Under a key.
    "wrapper": Delivery(b'{"data": ' + array([A, B, C]) + b"}", noted=UNDER_KEY),
    "wrapper with other keys": Delivery(
        b'{"count": 3, "events": ' + array([A, B, C]) + b', "next": null}', noted=UNDER_KEY
    ),
    "wrapper over lines": Delivery(
        b'{\n "status" : "o\\"k]",\n "data" : [\n' + b"\n,\n".join(map(encoded, (A, B, C))) + b"\n]\n}\n",
        noted=UNDER_KEY,
    ),
    "wrapper of nothing": Delivery(b'{"data": []}', [], noted=UNDER_KEY),
    "wrapper of nothing with other keys": Delivery(b'{"count": 0, "data": [ ], "next": null}\n', [], noted=UNDER_KEY),
    "concatenated wrappers": Delivery(
        b'{"data": ' + array([A]) + b', "next": "p2"}{"data": ' + array([B, C]) + b', "next": null}',
        noted={"array_under_key": 2},
    ),
    "wrappers on lines, one of nothing": Delivery(
        b'{"data": ' + array([A]) + b'}\n{"data": []}\n{"data": ' + array([B, C]) + b"}\n",
        noted={"array_under_key": 3},
    ),
    "wrapper, then lines": Delivery(b'{"data": ' + array([A]) + b"}\n" + lines([B, C]), noted=UNDER_KEY),
    "wrapper with a bad record inside": Delivery(
        b'{"data": ' + array([A, second(new=b'{"n": NaN}'), C]) + b"}",
        ["event 1", "event 3"],
        [("malformed_json", second(new=b'{"n": NaN}'))],
        UNDER_KEY,
    ),
    "wrapper whose first record is malformed": Delivery(
        b'{"data": ' + array([second(new=b'{"n": NaN}'), A, C]) + b"}",
        ["event 1", "event 3"],
        [("malformed_json", second(new=b'{"n": NaN}'))],
        UNDER_KEY,
    ),
    "wrapper whose first record has no event type": Delivery(
        b'{"data": ' + array([event(2, event_type=None), A, C]) + b"}",
        ["event 1", "event 3"],
        [("missing_event_type", encoded(event(2, event_type=None)))],
        UNDER_KEY,
    ),
    "wrapper whose first record is no event": Delivery(
        b'{"data": ' + array([{"id": 1}, A, B]) + b"}", TWO, [("missing_event_type", b'{"id": 1}')], UNDER_KEY
    ),
    "one event with a list before its other keys": Delivery(b'{"tags": [], ' + encoded(A)[1:] + b"\n", ONE),
    # An event is an event, whatever it holds; only its own unknown key is set aside.
    "one event that quotes others": Delivery(b'{"related": ' + array([A, B]) + b", " + encoded(C)[1:], ["event 3"]),
    "events that quote others": Delivery(
        lines([b'{"x": 1, "related": ' + array([B]) + b", " + encoded(e)[1:] for e in (A, C)]), ["event 1", "event 3"]
    ),
}


@both_decoders
@pytest.mark.parametrize("given", DELIVERIES.values(), ids=DELIVERIES.keys())
def test_a_delivery_gives_its_events_and_says_what_was_odd(lake: Lake, given: Delivery, reference: bool) -> None:
    outcome = ingest_bytes(lake, given.content, reference=reference)
    assert outcome.loaded == given.loaded
    assert outcome.refused == given.refused
    assert outcome.file["irregularities"] == given.noted
    assert outcome.file["complete"] == given.complete


ERRORS: dict[str, tuple[bytes, str]] = {
    # A vendor's empty hour is an array of nothing; a file of nothing is a download that failed.
    "no bytes": (b"", "the file is empty"),
    "blanks only": (b" \r\n\t\n", "the file is empty"),
    "a mark only": (BOM, "the file is empty"),
    "UTF-16, small end first": (array([A]).decode().encode("utf-16"), "UTF-16"),
    "UTF-16, big end first": (b"\xfe\xff" + lines([A]).decode().encode("utf-16-be"), "UTF-16"),
    "UTF-32": (array([A]).decode().encode("utf-32"), "UTF-16 or UTF-32"),
    "a page": (b"<html><body>502 Bad Gateway</body></html>", "not JSON"),
    "a message": (b'"rate limit exceeded"', "JSON scalar"),
    "CSV": (b"uuid,event_type\n", "not JSON"),
}


@both_decoders
@pytest.mark.parametrize(("content", "fact"), ERRORS.values(), ids=ERRORS.keys())
def test_what_holds_no_records_is_an_error_that_names_the_file_and_a_remedy(
    lake: Lake, content: bytes, fact: str, reference: bool
) -> None:
    put(lake, "a-good.json", array([A]))
    before = ingest(lake, reference=reference)
    path = put(lake, "b-bad.json", content)
    with pytest.raises(PipelineError) as caught:
        ingest(lake, reference=reference)
    assert caught.value.place.startswith(str(path))
    assert fact in caught.value.fact
    assert "remove the file" in caught.value.remedy
    assert before.loaded == ONE
    assert leftovers(lake) == []


def in_properties(lake: Lake, text: bytes, **options: Any) -> dict[str, str]:
    """The row of an event with these properties."""
    outcome = ingest_bytes(lake, lines([A, second(new=text), C]), **options)
    assert outcome.loaded == NAMES
    assert outcome.refused == []
    return outcome.rows[1]


@both_decoders
@pytest.mark.parametrize(
    "digits", ["9007199254740993", "9223372036854775807", "9223372036854775808", "-9223372036854775809", "7" * 300]
)
def test_ours_integers_in_properties_keep_every_digit(lake: Lake, digits: str, reference: bool) -> None:
    """Readers that go by way of a float lose digits from 2^53 on; the chunks hold JSON text, so nothing has to fit."""
    row = in_properties(lake, b'{"n": [' + digits.encode() + b"]}", reference=reference)
    assert row["event_properties"] == f'{{"n":[{digits}]}}'


@both_decoders
@pytest.mark.parametrize("number", [2**53 + 1, 2**63 - 1, -(2**63), 0, -1])
def test_ids_are_exact_64_bit_integers(lake: Lake, number: int, reference: bool) -> None:
    outcome = ingest_bytes(lake, lines([event(1, amplitude_id=number, session_id=number)]), reference=reference)
    assert [outcome.rows[0][name] for name in ("amplitude_id", "session_id")] == [str(number)] * 2


@both_decoders
@pytest.mark.parametrize(
    ("key", "first", "then"),
    [("city", '"Oslo"', '"Oslo"'), ("city", '"Oslo"', '"\\u004fslo"'), ("event_id", "7", "7"), ("new", "1", "2")],
    ids=["equal", "spelled differently", "integer", "unknown key"],
)
def test_a_key_that_occurs_twice_without_consequence_is_counted(
    lake: Lake, key: str, first: str, then: str, reference: bool
) -> None:
    outcome = ingest_bytes(lake, lines([A, doubled(key, first, then), C]), reference=reference)
    assert outcome.loaded == NAMES
    assert outcome.file["irregularities"] == {"repeated_keys": 1}
    assert outcome.rows[1].get(key, "") == {"city": "Oslo", "event_id": "7"}.get(key, "")


@both_decoders
def test_ours_keys_that_occur_twice_in_properties_stay_as_delivered(lake: Lake, reference: bool) -> None:
    """Properties are kept as text, so no value wins and none is lost: whoever reads them decides."""
    row = in_properties(lake, b'{"n": 1, "n": 2}', reference=reference)
    assert row["event_properties"] == '{"n":1,"n":2}'


@both_decoders
def test_64_levels_load(lake: Lake, reference: bool) -> None:
    row = in_properties(lake, b'{"v": ' + b"[" * 62 + b"]" * 62 + b"}", reference=reference)
    assert row["event_properties"] == '{"v":' + "[" * 62 + "]" * 62 + "}"


@pytest.mark.parametrize(
    ("opening", "inside", "closing", "reference"),
    [(b"[", b"", b"]", False), (b"[", b"", b"]", True), (b'{"a":', b"1", b"}", False)],
    ids=["arrays-compiled", "arrays-reference", "objects-compiled"],
)
def test_a_million_levels_are_refused_in_flat_memory(
    lake: Lake, opening: bytes, inside: bytes, closing: bytes, reference: bool
) -> None:
    bad = second(new=b'{"v": ' + opening * 1_000_000 + inside + closing * 1_000_000 + b"}")
    put(lake, "a.json", array([A, bad, C]))
    result = ingest_alone(lake, reference=reference)
    assert result["reasons"] == {"too_deep": 1}
    assert (result["file"]["loaded"], result["file"]["refused_bytes"]) == (2, len(bad))
    assert result["file"]["complete"]


@both_decoders
def test_ours_the_character_u0000_is_kept(lake: Lake, reference: bool) -> None:
    """It is valid JSON, and the chunks' dialect carries it; Spark, pandas and DuckDB read it back."""
    record = event(1, city="a\0b", event_properties={"\0": "\0"})
    outcome = ingest_bytes(lake, b"[" + json.dumps(record).encode() + b"]", reference=reference)
    assert outcome.rows[0]["city"] == "a\0b"
    assert json.loads(outcome.rows[0]["event_properties"]) == {"\0": "\0"}


@both_decoders
def test_only_a_line_end_ends_a_line(lake: Lake, reference: bool) -> None:
    """Python's splitlines would also cut at these characters, inside texts."""
    text = "a\u2028b\u2029c\x85d"
    outcome = ingest_bytes(lake, lines([event(1, city=text), B]), reference=reference)
    assert outcome.rows[0]["city"] == text
    assert outcome.loaded == TWO


@both_decoders
@pytest.mark.parametrize("between", ["\u2028", "\x85", "\x0b", "\x0c", "\xa0", "\ufeff"])
def test_other_blanks_between_lines_are_refused_alone(lake: Lake, between: str, reference: bool) -> None:
    content = encoded(A) + b"\n" + between.encode() + b"\n" + encoded(B) + b"\n"
    outcome = ingest_bytes(lake, content, reference=reference)
    assert outcome.loaded == TWO
    assert outcome.refused == [("malformed_json", between.encode())]


@both_decoders
def test_other_types_in_a_text_column_become_their_json_text(lake: Lake, reference: bool) -> None:
    values = ["two", 2, 2.50, True, ["a", 1], {"b": None}]
    outcome = ingest_bytes(lake, lines(event(n, city=value) for n, value in enumerate(values)), reference=reference)
    assert [row["city"] for row in outcome.rows] == ["two", "2", "2.5", "true", '["a",1]', '{"b":null}']
    assert outcome.manifest["coerced_values"] == {"city": 5}


@both_decoders
def test_other_types_in_an_integer_column_are_read_only_where_nothing_is_lost(lake: Lake, reference: bool) -> None:
    given = [b"7", b'"7"', b"7.0", b"70e-1", b"7.5", b'"seven"', b"true", b"[7]"]
    records = [encoded(event(n, event_id="@")).replace(b'"@"', text) for n, text in enumerate(given)]
    outcome = ingest_bytes(lake, array(records), reference=reference)
    assert [row["event_id"] for row in outcome.rows] == ["7"] * 4
    assert outcome.refused == [("bad_integer", record) for record in records[4:]]
    assert outcome.manifest["coerced_values"] == {"event_id": 3}


@both_decoders
def test_keys_that_differ_in_case_only_are_different_keys(lake: Lake, reference: bool) -> None:
    record = event(1, City="other", city="mine", EVENT_TYPE="other", event_properties={"Plan": 1, "plan": 2, "PLAN": 3})
    outcome = ingest_bytes(lake, lines([record, B]), reference=reference)
    assert outcome.loaded == TWO
    assert outcome.rows[0]["city"] == "mine"
    assert outcome.rows[0]["event_properties"] == '{"Plan":1,"plan":2,"PLAN":3}'
    assert outcome.manifest["unknown_keys"] == {"City": 1, "EVENT_TYPE": 1}


@both_decoders
def test_a_time_that_cannot_be_read_becomes_null_and_its_text_is_kept(lake: Lake, reference: bool) -> None:
    outcome = ingest_bytes(lake, lines([event(1, processed_time="soon"), B]), reference=reference)
    assert outcome.loaded == TWO
    assert outcome.rows[0]["processed_time"] == r"\N"
    assert outcome.manifest["unreadable_times"] == {"processed_time": 1}
    kept = json.loads((lake.chunks("2024") / "unreadable_values.ndjson").read_bytes())
    assert (kept["uuid"], kept["column"], kept["text"]) == (A["uuid"], "processed_time", '"soon"')


MERGE = {
    "scope": 1,
    "merge_time": "2024-03-01 10:00:00.000000",
    "merge_server_time": "2024-03-01 10:00:01.000000",
    "amplitude_id": 5,
    "merged_amplitude_id": 6,
}


@both_decoders
@pytest.mark.parametrize(
    ("content", "merges", "loaded"),
    [
        (lines([MERGE, MERGE]), 2, []),
        (array([MERGE]), 1, []),
        (lines([A, MERGE, B]), 1, TWO),
        (array([MERGE, A, MERGE, B, MERGE]), 3, TWO),
        (b'{"data": ' + array([MERGE, MERGE]) + b"}", 2, []),
        (b'{"data": ' + array([A, MERGE]) + b"}", 1, ONE),
    ],
    ids=["lines", "array", "between lines", "between elements", "under a key", "under a key after an event"],
)
def test_merged_identities_are_counted_and_are_no_events(
    lake: Lake, content: bytes, merges: int, loaded: list[str], reference: bool
) -> None:
    outcome = ingest_bytes(lake, content, reference=reference)
    assert outcome.file["merges"] == merges
    assert outcome.file["merge_bytes"] == merges * len(encoded(MERGE))
    assert outcome.loaded == loaded
    assert outcome.file["records_seen"] == len(loaded)


@both_decoders
def test_markers_of_complete_deliveries_are_listed_and_not_read(lake: Lake, reference: bool) -> None:
    put(lake, "complete", b"")
    put(lake, "project/day/complete", b"")
    put(lake, "project/day/a.json", lines([A]))
    put(lake, "with-content/complete", lines([B]))
    outcome = ingest(lake, reference=reference)
    assert outcome.manifest["markers"] == ["complete", "project/day/complete"]
    assert [file["path"] for file in outcome.manifest["files"]] == ["project/day/a.json", "with-content/complete"]
    assert outcome.loaded == TWO
