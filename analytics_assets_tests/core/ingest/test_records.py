from __future__ import annotations

import json
from typing import Any

import pytest

from analytics_assets.core.ingest.records import REASONS, SOURCE_FIELDS, Normalizer, Refusal, read_time
from analytics_assets.core.ingest.scanner import decode
from analytics_assets.schemas import EVENT_CHUNKS, NESTED_COLUMNS, NULL_MARK
from analytics_assets_tests.core.ingest.exports import event

NAMES = EVENT_CHUNKS.column_names
CANONICAL = "2024-03-01 10:11:12.345000"


def row(raw: bytes | dict[str, Any], normalizer: Normalizer | None = None) -> dict[str, str]:
    raw = json.dumps(raw).encode() if isinstance(raw, dict) else raw
    return dict(zip(NAMES, (normalizer or Normalizer())(decode(raw), raw).row, strict=True))


def refusal(raw: bytes | dict[str, Any]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        row(raw)
    assert caught.value.reason in REASONS
    assert len(caught.value.detail) < 400
    return caught.value


def with_value(name: str, text: str) -> bytes:
    """An event whose field `name` has the JSON text `text`."""
    return json.dumps(event(1, **{name: "@"})).replace('"@"', text).encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-03-01 10:11:12.345000", CANONICAL),
        ("2024-03-01 10:11:12.345", CANONICAL),
        ("2024-03-01T10:11:12.345", CANONICAL),
        ("2024-03-01T10:11:12.345000Z", CANONICAL),
        ("2024-03-01T10:11:12.345+00:00", CANONICAL),
        ("2024-03-01T12:11:12.345+02:00", CANONICAL),
        ("2024-03-01 05:41:12.345-04:30", CANONICAL),
        ("2024-03-01 10:11:12.345000999", CANONICAL),
        ("2024-03-01 10:11:12", "2024-03-01 10:11:12.000000"),
        ("2024-03-01T10:11:12Z", "2024-03-01 10:11:12.000000"),
        ("2022:05:27 01:02:50.047099", "2022-05-27 01:02:50.047099"),
        ("2022:05:27T01:02:50Z", "2022-05-27 01:02:50.000000"),
        ("2024-12-31 23:30:00-01:00", "2025-01-01 00:30:00.000000"),
        ("2024-02-29 00:00:00", "2024-02-29 00:00:00.000000"),
        ("0001-01-01 00:00:00.000000", "0001-01-01 00:00:00.000000"),
        ("9999-12-31 23:59:59.999999", "9999-12-31 23:59:59.999999"),
        ("1969-12-31 23:59:59.999999", "1969-12-31 23:59:59.999999"),
        ("2023-02-29 00:00:00.000000", None),
        ("2024-03-01 23:59:60.000000", None),
        ("2024-03-01 24:00:00.000001", None),
        ("2024-13-01 00:00:00.000000", None),
        ("0000-01-01 00:00:00.000000", None),
        ("0001-01-01 00:00:00+01:00", None),
        ("2024-03-01 10:11", "2024-03-01 10:11:00.000000"),
        ("01.03.2024 10:11", None),
        ("２０２４-03-01 10:11:12.345000", None),
        ("1709287872", None),
        ("", None),
        (" ", None),
        ("EMPTY", None),
    ],
)
def test_a_time_is_read_to_utc_microseconds_or_not_at_all(text: str, expected: str | None) -> None:
    assert read_time(text) == expected


def test_times_that_changed_or_could_not_be_read_are_counted_per_column() -> None:
    normalizer = Normalizer()
    values = row(
        event(1, processed_time="2022:05:27 01:02:50", client_upload_time="soon", client_event_time=1709287872),
        normalizer,
    )
    assert values["processed_time"] == "2022-05-27 01:02:50.000000"
    assert values["client_upload_time"] == values["client_event_time"] == NULL_MARK
    assert normalizer.coerced == {"processed_time": 1}
    assert normalizer.unreadable == {"client_upload_time": 1, "client_event_time": 1}


@pytest.mark.parametrize("given", ["event_time", "client_event_time", "server_received_time"])
def test_any_of_the_three_event_times_is_enough(given: str) -> None:
    record = event(1, event_time=None) | {given: CANONICAL}
    assert row(record)[given] == CANONICAL


@pytest.mark.parametrize("bad", [None, "never", "", 1709287872, {}])
def test_an_event_without_a_readable_time_is_refused(bad: Any) -> None:
    assert refusal(event(1, event_time=bad)).reason == "no_event_time"


@pytest.mark.parametrize("name", ["app", "amplitude_id", "session_id", "event_id"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", "0"),
        ("-1", "-1"),
        ("-0", "0"),
        ("9007199254740993", "9007199254740993"),
        ("9223372036854775807", "9223372036854775807"),
        ("-9223372036854775808", "-9223372036854775808"),
        ('"12"', "12"),
        ('" -7 "', "-7"),
        ('"9223372036854775807"', "9223372036854775807"),
        ("12.0", "12"),
        ("1.2e3", "1200"),
        ("9007199254740993.0", "9007199254740993"),
        ("9223372036854775807.000", "9223372036854775807"),
        ("null", NULL_MARK),
    ],
)
def test_an_integer_is_read_exactly(name: str, text: str, expected: str) -> None:
    assert row(with_value(name, text))[name] == expected


@pytest.mark.parametrize(
    "text",
    [
        "true",
        "false",
        "1.5",
        "1e-3",
        "9223372036854775808",
        "-9223372036854775809",
        "1e19",
        "1e999999999",
        "-1e999999999",
        "1e-999999999",
        '"9223372036854775808"',
        '"12.0"',
        '"1e3"',
        '"0x10"',
        '"twelve"',
        '"1_000"',
        '"٣"',
        '""',
        "{}",
        "[1]",
        json.dumps("9" * 5000),
    ],
)
def test_what_is_no_64_bit_integer_is_refused(text: str) -> None:
    assert refusal(with_value("event_id", text)).reason == "bad_integer"


def test_text_columns_take_other_types_as_json_text_and_count_them() -> None:
    normalizer = Normalizer()
    values = row(event(1, os_version=137, user_id=True, device_id=["a"], city={"b": 1}, dma=1.5), normalizer)
    assert [values[n] for n in ("os_version", "user_id", "device_id", "city", "dma")] == [
        "137",
        "true",
        '["a"]',
        '{"b":1}',
        "1.5",
    ]
    assert normalizer.coerced == {"os_version": 1, "user_id": 1, "device_id": 1, "city": 1, "dma": 1}


def test_a_clean_record_counts_nothing() -> None:
    normalizer = Normalizer()
    row(event(1, os_version="137", event_id=5), normalizer)
    assert not normalizer.coerced and not normalizer.unreadable and not normalizer.unknown_keys


@pytest.mark.parametrize(
    "text", ["", " ", "NA", "null", "None", "EMPTY", "=1+1", "007", "\0", "\\", "\\n", "\\\\N", "N"]
)
def test_texts_are_kept_as_they_are(text: str) -> None:
    assert row(event(1, user_id=text))["user_id"] == text


def test_nested_values_come_back_equal_from_their_json_text() -> None:
    properties = {
        "z": {"City": 1, "city": 2},
        "a": [1, 2.5, -0.0, 1e300, 2**63, -(2**80), None, True, "é\u2028\U0001f600\0\\N"],
        "": {},
    }
    assert json.loads(row(event(1, event_properties=properties))["event_properties"]) == properties


@pytest.mark.parametrize("value", ["text", 5, [1], False, "\\N"])
def test_properties_that_are_no_object_are_kept_as_json(value: Any) -> None:
    assert json.loads(row(event(1, user_properties=value))["user_properties"]) == value


@pytest.mark.parametrize("text", ["1e400", "-1e400", '{"a": [1e309]}'])
def test_numbers_beyond_a_double_in_properties_are_refused(text: str) -> None:
    assert refusal(with_value("event_properties", text)).reason == "number_out_of_range"


@pytest.mark.parametrize("text", [r'"\ud800"', r'"a\udbffb"', r'{"k\ud83dk": 1}'])
@pytest.mark.parametrize("name", ["user_id", "event_properties", "some_unknown_key"])
def test_half_a_surrogate_pair_is_refused(name: str, text: str) -> None:
    assert refusal(with_value(name, text)).reason == "lone_surrogate"


@pytest.mark.parametrize("text", [r'"\ud83d\ude00"', r'"\\ud800"', r'"\uD83D\uDE00 \u00e9"'])
def test_whole_surrogate_pairs_and_escaped_backslashes_load(text: str) -> None:
    assert row(with_value("user_id", text))["user_id"] == json.loads(text)


@pytest.mark.parametrize("name", ["uuid", "user_id", "event_type", "city", "$insert_id"])
def test_a_text_equal_to_the_null_mark_is_refused(name: str) -> None:
    found = refusal(event(1, **{name: NULL_MARK}))
    assert found.reason == "null_mark"
    assert name in found.detail


@pytest.mark.parametrize("bad", [None, "", "  ", 5, ["a"], {"a": "b" * 5000}])
def test_an_event_without_a_name_is_refused(bad: Any) -> None:
    assert refusal(event(1, event_type=bad)).reason == "missing_event_type"
    without = event(1)
    del without["event_type"]
    assert refusal(without).reason == "missing_event_type"


@pytest.mark.parametrize("raw", [b"1", b'"text"', b"null", b"[]", b"[{}]"])
def test_an_element_that_is_no_object_is_refused(raw: bytes) -> None:
    assert refusal(raw).reason == "not_an_object"


@pytest.mark.parametrize("missing", [{}, {"uuid": None}, {"uuid": ""}, {"uuid": 5}])
@pytest.mark.parametrize("insert_id", [{}, {"$insert_id": "abc"}, {"$insert_id": ""}])
def test_a_derived_identity_is_deterministic_and_independent_of_key_order(missing, insert_id) -> None:
    record = {key: value for key, value in event(1).items() if key != "uuid"} | missing | insert_id
    record["event_properties"] = {"b": [1.50, {"y": 1, "x": 2}], "a": 1}
    turned = dict(reversed(record.items()))
    turned["event_properties"] = {"a": 1, "b": [1.5, {"x": 2, "y": 1}]}
    first, second = row(record), row(turned)
    assert json.loads(first.pop("event_properties")) == json.loads(second.pop("event_properties"))
    assert first == second
    assert len(row(record)["uuid"]) == 36


def test_a_derived_identity_never_changes_between_versions() -> None:
    record = {"event_type": "a", "event_time": "2024-01-01 00:00:00.000000"}
    assert row(record)["uuid"] == "ba02044c-77e6-5e73-86a7-599677bfe08d"
    assert (
        row(record | {"app": 1, "device_id": "d", "$insert_id": "i"})["uuid"] == "9b7c71a2-07b9-5caa-a0d0-e3953b73ca73"
    )


def test_a_derived_identity_differs_with_content_and_follows_the_insert_id() -> None:
    def identity(**fields: Any) -> str:
        return row(event(1, uuid=None, **fields))["uuid"]

    assert identity(city="a") != identity(city="b")
    assert identity(unknown=1) != identity(unknown=2)
    first = identity(app=1, device_id="d", **{"$insert_id": "i"})
    assert first == identity(app=1, device_id="d", city="other", **{"$insert_id": "i"})
    assert first != identity(app=2, device_id="d", **{"$insert_id": "i"})
    assert first != identity(app=1, device_id="e", **{"$insert_id": "i"})
    assert first != identity(app=1, device_id="d", **{"$insert_id": "j"})


def with_properties_read(values: list[str]) -> dict[str, Any]:
    """A row with its JSON texts as values."""
    found: dict[str, Any] = dict(zip(EVENT_CHUNKS.column_names, values, strict=True))
    return found | {name: json.loads(found[name]) for name in NESTED_COLUMNS if found[name] != NULL_MARK}


def test_equal_payloads_give_equal_rows_whatever_the_spelling() -> None:
    first = (
        b'{"event_type":"a","event_time":"2024-01-01T00:00:00Z","uuid":"u","event_properties":{"b":1.50,"a":"\\u00e9"}}'
    )
    second = (
        '{ "uuid":"u", "event_properties":{"a":"é","b":1.5e0}, "event_time":"2024-01-01T00:00:00Z","event_type":"a"}'
    )
    normalizer = Normalizer()
    events = [normalizer(decode(raw), raw) for raw in (first, second.encode())]
    assert events[0].payload == events[1].payload
    assert with_properties_read(events[0].row) == with_properties_read(events[1].row)


def test_every_field_of_the_record_is_part_of_the_payload() -> None:
    normalizer = Normalizer()
    payloads = set()
    for name in [*sorted(SOURCE_FIELDS), "another_key"]:
        raw = json.dumps(event(1) | ({name: "5"} if name != "event_time" else {name: CANONICAL})).encode()
        payloads.add(normalizer(decode(raw), raw).payload)
    assert len(payloads) == len(SOURCE_FIELDS) + 1


def test_unknown_keys_are_counted_and_known_ones_are_not() -> None:
    normalizer = Normalizer()
    row(event(1, new_key=1, other=None), normalizer)
    row(event(2, new_key=2) | dict.fromkeys(SOURCE_FIELDS - event(2).keys()), normalizer)
    assert normalizer.unknown_keys == {"new_key": 2, "other": 1}
    assert len(SOURCE_FIELDS) == 55
