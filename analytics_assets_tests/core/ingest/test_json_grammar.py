"""The JSON grammar of RFC 8259, rule by rule: what it allows loads with its exact value, what it forbids is refused.

Put here: fragments of JSON inside ``event_properties``, each with its verdict. Keep out: what goes wrong with whole
files (``test_hazards_json.py``).

The verdicts were written from the RFC. Two readers that share no code with the product judge them too: Python's
``json`` and ``jiter`` (in Rust, inside pydantic).
"""

from __future__ import annotations

import itertools
import json
import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import pydantic_core
import pytest

from analytics_assets.core.lake import Lake
from analytics_assets_tests.core.ingest.exports import array, encoded, event, lines, put, refused
from analytics_assets_tests.core.ingest.outcomes import ingest

LONG = "x" * 70_000

# The text of a value and what it means.
VALUES: dict[str, tuple[bytes, Any]] = {
    # Numbers: int, frac, exp.
    "0": (b"0", 0),
    "-0": (b"-0", 0),
    "1": (b"1", 1),
    "-1": (b"-1", -1),
    "10": (b"10", 10),
    "1234567890": (b"1234567890", 1234567890),
    "0.0": (b"0.0", 0.0),
    "-0.0": (b"-0.0", -0.0),
    "0.5": (b"0.5", 0.5),
    "-0.5": (b"-0.5", -0.5),
    "1.00": (b"1.00", 1.0),
    "10.01": (b"10.01", 10.01),
    "1e5": (b"1e5", 1e5),
    "1E5": (b"1E5", 1e5),
    "1e+5": (b"1e+5", 1e5),
    "1E+2": (b"1E+2", 1e2),
    "1e-5": (b"1e-5", 1e-5),
    "1.5E-3": (b"1.5E-3", 0.0015),
    "-1.5e3": (b"-1.5e3", -1500.0),
    "0e0": (b"0e0", 0.0),
    "-0e-1": (b"-0e-1", -0.0),
    "0e+1": (b"0e+1", 0.0),
    "1e05": (b"1e05", 1e5),
    "1e00": (b"1e00", 1.0),
    "2^53+1": (b"9007199254740993", 9007199254740993),
    "2^63-1": (b"9223372036854775807", 9223372036854775807),
    "2^63": (b"9223372036854775808", 9223372036854775808),
    "-2^63": (b"-9223372036854775808", -9223372036854775808),
    "-2^63-1": (b"-9223372036854775809", -9223372036854775809),
    "10^30": (b"1" + b"0" * 30, 10**30),
    "100 digits": (b"9" * 100, 10**100 - 1),
    "300 digits": (b"-" + b"7" * 300, -int("7" * 300)),
    "1e308": (b"1e308", 1e308),
    "largest double": (b"1.7976931348623157e308", 1.7976931348623157e308),
    "smallest double": (b"5e-324", 5e-324),
    "smaller than any double": (b"1e-400", 0.0),
    "digits that no double has": (b"3.14159265358979323846264338327950288", math.pi),
    "0.1": (b"0.1", 0.1),
    "200 zeros, then 1": (b"0." + b"0" * 200 + b"1", 1e-201),
    # Literals.
    "true": (b"true", True),
    "false": (b"false", False),
    "null": (b"null", None),
    # Strings.
    "empty string": (b'""', ""),
    "escaped quote": (b'"\\""', '"'),
    "escaped backslash": (b'"\\\\"', "\\"),
    "escaped slash": (b'"\\/"', "/"),
    "escapes b f n r t": (b'"\\b\\f\\n\\r\\t"', "\b\f\n\r\t"),
    "two backslashes, then a quote": (b'"\\\\\\""', '\\"'),
    "backslash at the end": (b'"a\\\\"', "a\\"),
    "\\u0041": (b'"\\u0041"', "A"),
    "\\u in small letters": (b'"\\u00e9\\uabcd"', "é\uabcd"),
    "\\U in the digits": (b'"\\u00E9\\uABCD"', "é\uabcd"),
    "\\u0000": (b'"\\u0000"', "\0"),
    "\\u001f": (b'"\\u001f"', "\x1f"),
    "\\u007f": (b'"\\u007F"', "\x7f"),
    "\\u0022 and \\u005c": (b'"\\u0022\\u005C"', '"\\'),
    "\\uffff": (b'"\\uFFFF"', "\uffff"),
    "\\ufeff": (b'"\\uFEFF"', "\ufeff"),
    "surrogate pair": (b'"\\uD83D\\uDE00"', "\U0001f600"),
    "first surrogate pair": (b'"\\ud800\\udc00"', "\U00010000"),
    "last surrogate pair": (b'"\\uDBFF\\uDFFF"', "\U0010ffff"),
    "escaped backslash before u": (b'"\\\\u0041"', "\\u0041"),
    "escaped backslash before ud800": (b'"\\\\ud800"', "\\ud800"),
    "raw slash": (b'"a/b"', "a/b"),
    "raw single quote": (b'"it\'s"', "it's"),
    "raw DEL": (b'"\x7f"', "\x7f"),
    "raw U+0080": (b'"\xc2\x80"', "\x80"),
    "raw U+07FF": (b'"\xdf\xbf"', "\u07ff"),
    "raw U+0800": (b'"\xe0\xa0\x80"', "\u0800"),
    "raw U+2028": (b'"\xe2\x80\xa8"', "\u2028"),
    "raw U+D7FF": (b'"\xed\x9f\xbf"', "\ud7ff"),
    "raw U+E000": (b'"\xee\x80\x80"', "\ue000"),
    "raw U+FEFF": (b'"\xef\xbb\xbf"', "\ufeff"),
    "raw U+FFFE": (b'"\xef\xbf\xbe"', "\ufffe"),
    "raw U+FFFF": (b'"\xef\xbf\xbf"', "\uffff"),
    "raw U+10000": (b'"\xf0\x90\x80\x80"', "\U00010000"),
    "raw U+10FFFF": (b'"\xf4\x8f\xbf\xbf"', "\U0010ffff"),
    "brackets in a string": (b'"]}{[,:"', "]}{[,:"),
    "a comment in a string": (b'"// /* */ #"', "// /* */ #"),
    "NaN in a string": (b'"NaN"', "NaN"),
    "a record in a string": (b'"},\\n{\\"uuid\\": \\"x\\"}"', '},\n{"uuid": "x"}'),
    "blanks in a string": (b'"  a \xc2\xa0 "', "  a \xa0 "),
    "70,000 characters": (b'"' + LONG.encode() + b'"', LONG),
    # Structure.
    "empty array": (b"[]", []),
    "empty object": (b"{}", {}),
    "blanks in an empty array": (b"[ \t\r\n]", []),
    "blanks in an empty object": (b"{ \t\r\n}", {}),
    "arrays in arrays": (b"[[[[]],[]]]", [[[[]], []]]),
    "objects in objects": (b'{"a":{"b":{"c":{}}}}', {"a": {"b": {"c": {}}}}),
    "objects in arrays": (b'[{},{"a":[{}]},[]]', [{}, {"a": [{}]}, []]),
    "elements of every type": (b'[1,-2.5,"x",true,false,null,[],{}]', [1, -2.5, "x", True, False, None, [], {}]),
    "empty key": (b'{"":1}', {"": 1}),
    "empty keys in each other": (b'{"":{"":""}}', {"": {"": ""}}),
    "escaped key": (b'{"\\u0061\\n":1}', {"a\n": 1}),
    "key of blanks": (b'{" ":1}', {" ": 1}),
    "key with brackets": (b'{"]}":1}', {"]}": 1}),
    "many members": (
        b"{" + b",".join(b'"k%d":%d' % (n, n) for n in range(200)) + b"}",
        {f"k{n}": n for n in range(200)},
    ),
    "blank before and after": (b"  7  ", 7),
    "tab before and after": (b"\t7\t", 7),
    "line feed before and after": (b"\n7\n", 7),
    "carriage return before and after": (b"\r7\r", 7),
    "all blanks everywhere": (
        b'\r\n\t {\r\n\t "a"\r\n\t :\r\n\t [\r\n\t 1\r\n\t ,\r\n\t 2\r\n\t ]\r\n\t }\r\n\t ',
        {"a": [1, 2]},
    ),
    "50 levels": (b"[" * 50 + b"]" * 50, json.loads("[" * 50 + "]" * 50)),
}

# Texts that are no value, by the rule they break.
FORBIDDEN: dict[str, bytes] = {
    # Numbers.
    "01": b"01",
    "-01": b"-01",
    "00": b"00",
    "-00": b"-00",
    "+1": b"+1",
    "+0": b"+0",
    "1.": b"1.",
    "-1.": b"-1.",
    ".1": b".1",
    "-.1": b"-.1",
    "0.": b"0.",
    ".": b".",
    "1e": b"1e",
    "1E+": b"1E+",
    "1e-": b"1e-",
    "0e": b"0e",
    "1.e1": b"1.e1",
    ".e1": b".e1",
    "e1": b"e1",
    "1e1.5": b"1e1.5",
    "1e1e1": b"1e1e1",
    "1ee1": b"1ee1",
    "1e+-1": b"1e+-1",
    "1.2.3": b"1.2.3",
    "1..2": b"1..2",
    "0x1": b"0x1",
    "0X1F": b"0X1F",
    "0b1": b"0b1",
    "0o7": b"0o7",
    "1_000": b"1_000",
    "1 000": b"1 000",
    "1,000": b"1,000",
    "-": b"-",
    "+": b"+",
    "--1": b"--1",
    "- 1": b"- 1",
    "1-1": b"1-1",
    "1+1": b"1+1",
    "1 .5": b"1 .5",
    "1e 5": b"1e 5",
    "1f": b"1f",
    "1L": b"1L",
    "1n": b"1n",
    "1%": b"1%",
    "Arabic digit": "٣".encode(),
    "full-width digit": "１".encode(),
    "minus sign U+2212": "−1".encode(),
    "Infinity": b"Infinity",
    "-Infinity": b"-Infinity",
    "+Infinity": b"+Infinity",
    "inf": b"inf",
    "NaN": b"NaN",
    "-NaN": b"-NaN",
    "nan": b"nan",
    # Literals.
    "True": b"True",
    "FALSE": b"FALSE",
    "Null": b"Null",
    "nul": b"nul",
    "nulll": b"nulll",
    "tru": b"tru",
    "truee": b"truee",
    "fals": b"fals",
    "true false": b"true false",
    "truefalse": b"truefalse",
    "true with a NUL": b"true\x00",
    "None": b"None",
    "undefined": b"undefined",
    "yes": b"yes",
    "nothing": b"",
    "blank": b" ",
    # Strings.
    "single quotes": b"'a'",
    "no quotes": b"a",
    "no first quote": b'a"',
    "no last quote": b'"a',
    "one quote": b'"',
    "three quotes": b'"""',
    "backtick quotes": b"`a`",
    "typographic quotes": "“a”".encode(),
    "strings side by side": b'"a" "b"',
    "strings touching": b'"a""b"',
    "escape x": b'"\\x41"',
    "escape a": b'"\\a"',
    "escape v": b'"\\v"',
    "escape e": b'"\\e"',
    "escape 0": b'"\\0"',
    "escape 1": b'"\\101"',
    "escape '": b'"\\\'"',
    "escape N": b'"\\N"',
    "escape U": b'"\\U0041"',
    "escape of a blank": b'"\\ "',
    "escape of a line end": b'"\\\n"',
    "escape of a NUL": b'"\\\x00"',
    "escape of U+00E9": b'"\\\xc3\xa9"',
    "escape and the end": b'"\\"',
    "\\u": b'"\\u"',
    "\\u1": b'"\\u1"',
    "\\u12": b'"\\u12"',
    "\\u123": b'"\\u123"',
    "\\u12G4": b'"\\u12G4"',
    "\\ug": b'"\\ug000"',
    "\\u with a blank": b'"\\u 123"',
    "\\u with a plus": b'"\\u+123"',
    "\\u with a minus": b'"\\u-123"',
    "\\u{}": b'"\\u{41}"',
    "\\u with 0x": b'"\\u0x41"',
    "raw NUL": b'"\x00"',
    "raw 0x01": b'"\x01"',
    "raw backspace": b'"\x08"',
    "raw tab": b'"\t"',
    "raw line feed": b'"\n"',
    "raw carriage return": b'"\r"',
    "raw 0x1f": b'"\x1f"',
    # UTF-8.
    "continuation alone 0x80": b'"\x80"',
    "continuation alone 0xBF": b'"\xbf"',
    "two continuations": b'"\x80\xbf"',
    "overlong slash, 2 bytes": b'"\xc0\xaf"',
    "overlong NUL, 2 bytes": b'"\xc0\x80"',
    "overlong DEL, 2 bytes": b'"\xc1\xbf"',
    "overlong slash, 3 bytes": b'"\xe0\x80\xaf"',
    "overlong U+07FF, 3 bytes": b'"\xe0\x9f\xbf"',
    "overlong slash, 4 bytes": b'"\xf0\x80\x80\xaf"',
    "overlong U+FFFF, 4 bytes": b'"\xf0\x8f\xbf\xbf"',
    "surrogate U+D800": b'"\xed\xa0\x80"',
    "surrogate U+DFFF": b'"\xed\xbf\xbf"',
    "surrogate pair in 6 bytes (CESU-8)": b'"\xed\xa0\xbd\xed\xb8\x80"',
    "U+110000": b'"\xf4\x90\x80\x80"',
    "U+13FFFF": b'"\xf4\xbf\xbf\xbf"',
    "lead 0xF5": b'"\xf5\x80\x80\x80"',
    "5 bytes": b'"\xf8\x88\x80\x80\x80"',
    "6 bytes": b'"\xfc\x84\x80\x80\x80\x80"',
    "0xFE": b'"\xfe"',
    "0xFF": b'"\xff"',
    "lead of 2 alone": b'"\xc3"',
    "lead of 2 and a letter": b'"\xc3x"',
    "lead of 3 alone": b'"\xe2"',
    "3 bytes cut": b'"\xe2\x82"',
    "3 bytes broken in the middle": b'"\xe2(\xa1"',
    "3 bytes broken at the end": b'"\xe2\x82("',
    "4 bytes cut": b'"\xf0\x9f\x98"',
    "4 bytes broken in the middle": b'"\xf0\x9f(\x80"',
    "Latin-1": b'"caf\xe9"',
    "invalid UTF-8 in a key": b'{"\xff":1}',
    "invalid UTF-8 outside a string": b"\xff",
    # Structure.
    "comma at an array's end": b"[1,]",
    "comma at an object's end": b'{"a":1,}',
    "comma at an array's start": b"[,1]",
    "comma alone": b"[,]",
    "comma alone in an object": b"{,}",
    "two commas": b"[1,,2]",
    "two commas in an object": b'{"a":1,,"b":2}',
    "no comma": b"[1 2]",
    "no comma in an object": b'{"a":1 "b":2}',
    "semicolon": b"[1;2]",
    "colon in an array": b'["a":1]',
    "comma for a colon": b'{"a",1}',
    "no colon": b'{"a" 1}',
    "two colons": b'{"a"::1}',
    "equals sign": b'{"a"=1}',
    "no value": b'{"a":}',
    "no value and a comma": b'{"a":,"b":1}',
    "no key": b"{:1}",
    "key alone": b'{"a"}',
    "value alone": b"{1}",
    "key without quotes": b"{a:1}",
    "key in single quotes": b"{'a':1}",
    "number as key": b"{1:1}",
    "literal as key": b"{null:1}",
    "array as key": b"{[]:1}",
    "object as key": b"{{}:1}",
    "brace for a bracket": b"[1}",
    "bracket for a brace": b'{"a":1]',
    "crossed brackets": b'[{"a":1]}',
    "parentheses": b"(1)",
    "angle brackets": b"<a>",
    "two values": b"1 2",
    "two arrays": b"[1][2]",
    "two objects": b'{"a":1}{"b":2}',
    "block comment": b"/* c */ 1",
    "line comment": b"1 // c\n",
    "hash comment": b"1 # c\n",
    "comment in an array": b"[1, /* 2 */ 3]",
    "form feed": b"\x0c1",
    "vertical tab": b"\x0b1",
    "no-break space": b"\xc2\xa01",
    "NEL": b"\xc2\x851",
    "U+2028": b"\xe2\x80\xa81",
    "U+3000": b"\xe3\x80\x801",
    "byte order mark": b"\xef\xbb\xbf1",
    "NUL": b"\x001",
    "DEL": b"\x7f1",
    "escape outside a string": b"\\u0031",
    "at sign": b"@",
    "star": b"[*]",
    "ellipsis": b"[1, ...]",
    "function": b"f(1)",
    "template": b"{{x}}",
    "open array in an object": b'{"a":[1}',
    "open object in an array": b'[{"a":1]',
}

# Valid by the grammar; no exact UTF-8 or no double can hold it. Ours: refused under a name of its own.
BEYOND: dict[str, tuple[bytes, str]] = {
    "first surrogate alone": (b'"\\uD83D"', "lone_surrogate"),
    "second surrogate alone": (b'"\\uDE00"', "lone_surrogate"),
    "surrogates in the wrong order": (b'"\\uDE00\\uD83D"', "lone_surrogate"),
    "two first surrogates": (b'"\\uD83D\\uD83D\\uDE00"', "lone_surrogate"),
    "first surrogate and a letter": (b'"\\uD83Dx"', "lone_surrogate"),
    "first surrogate and another escape": (b'"\\uD83D\\n"', "lone_surrogate"),
    "first surrogate and \\u0041": (b'"\\uD83D\\u0041"', "lone_surrogate"),
    "first surrogate before an escaped backslash": (b'"\\uD83D\\\\uDE00"', "lone_surrogate"),
    "surrogate alone in a key": (b'{"\\uD83D":1}', "lone_surrogate"),
    "1e309": (b"1e309", "number_out_of_range"),
    "-1e400": (b"-1e400", "number_out_of_range"),
    "just above the largest double": (b"1.7976931348623159e308", "number_out_of_range"),
    "exponent of 30 digits": (b"1e" + b"9" * 30, "number_out_of_range"),
    "negative exponent of 30 digits": (b"1e-" + b"9" * 30, "number_out_of_range"),
    "400 digits and a fraction": (b"1" + b"0" * 400 + b".5", "number_out_of_range"),
    "4,301 digits": (b"1" * 4_301, "number_out_of_range"),
}


TEXTS = [*(text for text, _ in VALUES.values()), *FORBIDDEN.values(), *(text for text, _ in BEYOND.values())]


def record(text: bytes, number: int = 0) -> bytes:
    """An event; `text` is the value of a member of its properties."""
    return encoded(event(number, event_properties={"v": "@"})).replace(b'"@"', text)


@dataclass(frozen=True)
class Seen:
    """What became of a text in one file: the event that holds it stands between two good ones."""

    middle: bytes
    loaded: list[dict[str, str] | None]
    refused: list[tuple[str, bytes]]
    report: dict[str, Any]


@pytest.fixture(scope="module", params=[False, True], ids=["compiled", "reference"])
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[bytes, list[Seen]]:
    """Every text in two files of its own, an array and lines, all read in one ingestion."""
    lake = Lake(tmp_path_factory.mktemp("grammar"))
    numbers = itertools.count(1)
    delivered = {}
    for place, text in enumerate(TEXTS):
        for layout in (array, lines):
            three = [next(numbers) for _ in range(3)]
            middle = record(text, three[1])
            name = f"{place:03d}-{layout.__name__}.json"
            put(lake, name, layout([event(three[0]), middle, event(three[2])]))
            delivered[name] = text, three, middle
    outcome = ingest(lake, reference=request.param)
    rows = {row["event_type"]: row for row in outcome.rows}
    bad: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
    for line in refused(lake):
        bad[line["file"]].append((line["reason"], line["raw"]))
    found: dict[bytes, list[Seen]] = defaultdict(list)
    for report in outcome.manifest["files"]:
        text, three, middle = delivered[report["path"]]
        loaded = [rows.get(f"event {number}") for number in three]
        found[text].append(Seen(middle, loaded, bad[report["path"]], report))
    return found


def json_value(text: bytes) -> Any:
    """What Python's json reads, held to the RFC: UTF-8 and no NaN."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no JSON")

    return json.loads(text.decode("utf-8"), parse_constant=refuse)


def jiter_value(text: bytes) -> Any:
    """What jiter reads."""
    return pydantic_core.from_json(text, allow_inf_nan=False)


judges = pytest.mark.parametrize("judge", [json_value, jiter_value], ids=["json", "jiter"])


def same(left: Any, right: Any) -> bool:
    """Equal in type too, so that 1, 1.0 and True differ, and 0.0 from -0.0."""
    return repr(left) == repr(right)


def test_there_are_enough_cases_and_none_twice() -> None:
    assert min(len(VALUES), len(FORBIDDEN)) >= 80
    assert len(TEXTS) == len(set(TEXTS)) >= 250


@judges
@pytest.mark.parametrize(("text", "value"), VALUES.values(), ids=VALUES.keys())
def test_other_readers_accept_the_same_values(text: bytes, value: Any, judge: Any) -> None:
    assert same(judge(record(text))["event_properties"]["v"], value)


@judges
@pytest.mark.parametrize("text", FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_other_readers_refuse_the_same_texts(text: bytes, judge: Any) -> None:
    with pytest.raises(ValueError):
        judge(record(text))


@pytest.mark.parametrize(("text", "value"), VALUES.values(), ids=VALUES.keys())
def test_what_the_grammar_allows_loads_with_its_value(seen: dict[bytes, list[Seen]], text: bytes, value: Any) -> None:
    assert len(seen[text]) == 2
    for one in seen[text]:
        assert one.refused == []
        assert None not in one.loaded
        assert same(json.loads(one.loaded[1]["event_properties"]), {"v": value})
        assert (one.report["records_seen"], one.report["irregularities"]) == (3, {})


def assert_only_the_middle_is_refused(found: list[Seen], reason: str) -> None:
    """One span of exactly its bytes; the neighbours loaded with their own properties; nothing else noted."""
    assert len(found) == 2
    for one in found:
        assert one.refused == [(reason, one.middle)]
        first, middle, last = one.loaded
        assert middle is None
        assert [json.loads(row["event_properties"]) for row in (first, last)] == [
            {"n": int(row["event_type"].removeprefix("event "))} for row in (first, last)
        ]
        assert (one.report["records_seen"], one.report["irregularities"], one.report["complete"]) == (3, {}, True)


@pytest.mark.parametrize("text", FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_what_the_grammar_forbids_costs_its_record_alone(seen: dict[bytes, list[Seen]], text: bytes) -> None:
    assert_only_the_middle_is_refused(seen[text], "malformed_json")


@pytest.mark.parametrize(("text", "reason"), BEYOND.values(), ids=BEYOND.keys())
def test_ours_what_nothing_can_hold_is_refused_by_name(seen: dict[bytes, list[Seen]], text: bytes, reason: str) -> None:
    assert_only_the_middle_is_refused(seen[text], reason)
