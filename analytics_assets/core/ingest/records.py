"""One decoded record to one CSV row, or the reason why not.

Put here: types, times, identity and the reasons of refusal of a single record. Keep out: duplicates and conflicts
between records (``identity.py``). This is the reference: what ``block_decoder.py`` does in one compiled pass for
regular records must give the same rows.
"""

from __future__ import annotations

import json
import re
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from analytics_assets.core.privacy import LINKING_COLUMNS, Privacy
from analytics_assets.schemas import EVENT_CHUNKS, NESTED_COLUMNS, NULL_MARK, PERSONAL_COLUMNS

REASONS: dict[str, str] = {
    "malformed_json": "The bytes are not JSON.",
    "truncated": "The stream ends inside the record.",
    "too_deep": "Nested deeper than 64 levels.",
    "record_too_large": "Longer than the limit (16 MiB unless set lower).",
    "not_an_object": "The array element is not an object.",
    "missing_event_type": "event_type is absent, null or not text.",
    "no_event_time": "None of event_time, client_event_time and server_received_time can be read.",
    "bad_integer": "An id or counter is not a 64-bit integer.",
    "number_out_of_range": "A number in the properties is beyond what JSON readers can hold.",
    "duplicate_key": "A column's key occurs more than once, with different values.",
    "lone_surrogate": "A text holds half of a surrogate pair and cannot be written as UTF-8.",
    "null_mark": r"A value equals the text \N, which marks nulls in the chunks.",
    "identity_conflict": "Another record with the same uuid and other content was preferred.",
}
"""Reason codes of the quarantine with their meaning."""

SOURCE_FIELDS = frozenset(
    """$insert_id $insert_key $schema adid amplitude_attribution_ids amplitude_event_type amplitude_id app city
    client_event_time client_upload_time country data data_type device_brand device_carrier device_family device_id
    device_manufacturer device_model device_type dma event_id event_properties event_time event_type
    global_user_properties group_properties groups idfa ip_address is_attribution_event language library location_lat
    location_lng os_name os_version partner_id paying plan platform processed_time region sample_rate
    server_received_time server_upload_time session_id source_id start_version user_creation_time user_id
    user_properties uuid version_name""".split()
)
"""The 55 keys of an Amplitude export record; any other key is reported in the manifest."""

MERGE_FIELDS = frozenset({"amplitude_id", "merged_amplitude_id", "merge_time"})
"""Keys of a record in the vendor's files of merged identities, which are no events."""

_NAMESPACE = uuid.UUID("6f2d7f0e-5f3a-5c1e-9b62-0f6a1c9d5e11")
"""Namespace of derived uuids; changing it changes the identity of events that came without one."""

SHOWN_CHARACTERS = 200
"""Length to which a refused value is quoted in the detail; the whole of it is in the record's bytes."""

_CANONICAL_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}")
_COLON_DATE = re.compile(r"(\d{4}):(\d\d):(\d\d)([ T].*)")
_INTEGER_TEXT = re.compile(r"-?[0-9]{1,19}")
_LONE_SURROGATE_HINT = re.compile(rb"\\u[dD][89a-fA-F]")
_INT64 = range(-(2**63), 2**63)


class Refusal(Exception):
    """Why a record cannot be loaded: a code of `REASONS` and a detail for people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Event:
    """One accepted record.

    Parameters
    ----------
    row : list of str
        Values in the order of ``EVENT_CHUNKS``, nulls as the null mark.
    uuid : str
        Identity, as delivered or derived.
    payload : bytes
        16-byte digest of the whole record, independent of key order and of how a fraction is spelled (1.5 or 1.50).
    uploaded : str
        ``server_upload_time``, or empty: which of two conflicting records came first.
    time : str
        Time of the event.
    forgotten : bool
        The event belongs to a person on the suppression list.
    unreadable : list of (str, str)
        Columns whose time could not be read, with the text that was delivered.
    """

    row: list[str]
    uuid: str
    payload: bytes
    uploaded: str
    time: str
    forgotten: bool = False
    unreadable: list[tuple[str, str]] = field(default_factory=list)


def read_time(text: str) -> str | None:
    """Normalize a time to ``YYYY-MM-DD HH:MM:SS.ffffff`` in UTC; None when it cannot be read.

    Accepts a blank or ``T``, no fraction or up to nine digits (cut to microseconds), ``Z`` or an offset, and the
    vendor's dates with colons of May 2022.
    """
    try:
        if _CANONICAL_TIME.fullmatch(text):
            datetime.fromisoformat(text)
            return text
        colon = _COLON_DATE.fullmatch(text)
        moment = datetime.fromisoformat("{}-{}-{}{}".format(*colon.groups()) if colon else text)
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None
    return moment.isoformat(sep=" ", timespec="microseconds")


def _number(value: Decimal) -> float:
    return float(value)


# Made once: json.dumps and json.loads build their machinery for every call that asks for more than the defaults.
_WRITE_CANONICAL = json.JSONEncoder(sort_keys=True, allow_nan=False, separators=(",", ":"), default=_number).encode
_WRITE_TEXT = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_number).encode
_DECODE = json.JSONDecoder().raw_decode
_STRING_OR_BLANKS = re.compile(r'("(?:[^"\\]|\\.)*+")|[ \t\r\n]++', re.DOTALL)
_TO_VALUE = re.compile(r"[ \t\r\n]*+:[ \t\r\n]*+")
_TO_KEY = re.compile(r"[ \t\r\n]*+[,{][ \t\r\n]*+")


def minified(text: str) -> str:
    """JSON text without the blanks between its tokens; numbers, strings and the order of keys stay as they are."""
    return _STRING_OR_BLANKS.sub(lambda found: found[1] or "", text)


def top_level(raw: bytes) -> list[tuple[str, str]]:
    """Keys and JSON texts of the values of one valid object, in order, repeated keys included."""
    text = raw.decode("utf-8")
    pairs = []
    at = 0
    while opened := _TO_KEY.match(text, at):
        if text[opened.end()] != '"':  # an empty object
            break
        key, at = _DECODE(text, opened.end())
        start = _TO_VALUE.match(text, at).end()  # type: ignore[union-attr]
        _, at = _DECODE(text, start)
        pairs.append((key, text[start:at]))
    return pairs


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"


def payload_of(record: dict[str, Any]) -> bytes:
    """16-byte digest of a whole record, independent of key order, blanks, escapes and how a fraction is spelled."""
    return blake2b(_WRITE_CANONICAL(record).encode("ascii"), digest_size=16).digest()


def _identity(record: dict[str, Any], payload: bytes) -> str:
    given = record.get("uuid")
    if isinstance(given, str) and given:
        return given
    insert_id = record.get("$insert_id")
    if isinstance(insert_id, str) and insert_id:
        parts = [record.get("app"), record.get("device_id"), insert_id]
        return str(uuid.uuid5(_NAMESPACE, _WRITE_TEXT(parts)))
    return str(uuid.uuid5(_NAMESPACE, payload.hex()))


class Normalizer:
    """Turn decoded records into rows and count what had to be changed on the way.

    Attributes
    ----------
    coerced : Counter of str
        Values per column whose type or spelling was changed to the column's.
    unreadable : Counter of str
        Times per column that could not be read and became null.
    unknown_keys : Counter of str
        Records per key that is not one of `SOURCE_FIELDS`.
    repeated_keys : int
        Records in which a key occurs more than once without consequence.
    """

    def __init__(self, privacy: Privacy | None = None) -> None:
        self._privacy = privacy or Privacy()
        self.repeated_keys = 0
        self.coerced: Counter[str] = Counter()
        self.unreadable: Counter[str] = Counter()
        self.unknown_keys: Counter[str] = Counter()
        readers: dict[str, Callable[[str, Any, str], str | None]] = {
            "string": self._text,
            "int64": self._integer,
            "timestamp": self._time,
        }
        self._columns = [
            (c.name, self._nested if c.name in NESTED_COLUMNS else readers[c.type]) for c in EVENT_CHUNKS.columns
        ]
        self._places = {name: place for place, (name, _) in enumerate(self._columns)}

    def __call__(self, record: Any, raw: bytes) -> Event:
        """Normalize one record.

        Parameters
        ----------
        record : Any
            The decoded element.
        raw : bytes
            The bytes it came from.

        Raises
        ------
        Refusal
            The record cannot become a row.
        """
        if not isinstance(record, dict):
            raise Refusal("not_an_object", f"the element is {type(record).__name__}")
        event_type = record.get("event_type")
        if not isinstance(event_type, str) or not event_type.strip():
            raise Refusal("missing_event_type", f"event_type is {_shown(event_type)}")
        if _LONE_SURROGATE_HINT.search(raw):
            self._check_surrogates(raw)
        try:
            texts = self._texts(raw)
            values = [read(name, record.get(name), texts.get(name, "")) for name, read in self._columns]
            payload = payload_of(record)
        except (ValueError, OverflowError) as error:
            raise Refusal("number_out_of_range", str(error)) from error
        place = self._places
        time = (
            values[place["event_time"]] or values[place["client_event_time"]] or values[place["server_received_time"]]
        )
        if time is None:
            raise Refusal("no_event_time", f"event_time is {_shown(record.get('event_time'))}")
        values[place["uuid"]] = _identity(record, payload)
        if NULL_MARK in values:
            raise Refusal("null_mark", rf"{EVENT_CHUNKS.columns[values.index(NULL_MARK)].name} is \N")
        # Counted only now: a refused record changes nothing.
        self.unknown_keys.update(record.keys() - SOURCE_FIELDS)
        unreadable = self._count_changes(record, values, texts)
        forgotten = self._privacy.forgets_event({name: values[place[name]] for name in LINKING_COLUMNS})
        row = [NULL_MARK if value is None else value for value in values]
        uuid_text = row[place["uuid"]]
        for name in PERSONAL_COLUMNS:
            if row[place[name]] != NULL_MARK:
                row[place[name]] = self._privacy.shown(name, row[place[name]])
        uploaded = values[place["server_upload_time"]] or ""
        return Event(row, uuid_text, payload, uploaded, time, forgotten, unreadable)

    def _count_changes(
        self, record: dict[str, Any], values: list[str | None], texts: dict[str, str]
    ) -> list[tuple[str, str]]:
        """Count values that are not as delivered; returns the times that could not be read."""
        unreadable = []
        for (name, read), value in zip(self._columns, values, strict=True):
            if read == self._time and record.get(name) is not None:
                if value is None:
                    self.unreadable[name] += 1
                    unreadable.append((name, texts[name]))
                elif value != record[name]:
                    self.coerced[name] += 1
            elif value is not None and (
                (read == self._text and name != "uuid" and not isinstance(record[name], str))
                or (read == self._integer and not isinstance(record[name], int))
            ):
                self.coerced[name] += 1
        return unreadable

    def _texts(self, raw: bytes) -> dict[str, str]:
        """JSON text of each top-level value; a repeated key must not change what a column holds."""
        texts: dict[str, str] = {}
        repeated = False
        for key, text in top_level(raw):
            if key in texts:
                repeated = True
                if key in self._places and json.loads(texts[key]) != json.loads(text):
                    raise Refusal("duplicate_key", f"{key} is {_shown(texts[key])} and {_shown(text)}")
            texts[key] = text
        self.repeated_keys += repeated
        return texts

    def _text(self, name: str, value: Any, text: str) -> str | None:
        return value if value is None or isinstance(value, str) else minified(text)

    def _nested(self, name: str, value: Any, text: str) -> str | None:
        return None if value is None else minified(text)

    def _integer(self, name: str, value: Any, text: str) -> str | None:
        if value is None:
            return None
        number: int | None = None
        if (
            (isinstance(value, int) and not isinstance(value, bool))
            or (isinstance(value, str) and _INTEGER_TEXT.fullmatch(value.strip()))
            # The bound comes first: 1e999999999 as an integer would fill the memory.
            or (isinstance(value, Decimal) and _INT64.start <= value < _INT64.stop and value == int(value))
        ):
            number = int(value)
        if number is None or number not in _INT64:
            raise Refusal("bad_integer", f"{name} is {_shown(value)}")
        return str(number)

    def _time(self, name: str, value: Any, text: str) -> str | None:
        return read_time(value) if isinstance(value, str) else None

    @staticmethod
    def _check_surrogates(raw: bytes) -> None:
        # ijson reads a lone surrogate as "?"; the standard library keeps it, so that it can be seen.
        try:
            json.dumps(json.loads(raw), ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            raise Refusal("lone_surrogate", str(error)) from error
