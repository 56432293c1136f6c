r"""Where each record of a byte stream begins and ends.

Put here: splitting a stream of JSON into the bytes of single records in bounded memory, and finding the next record
after a broken one. Keep out: what a record means (``records.py``); decoding is ijson's work (`decode`), or for
stretches of regular records that of the compiled ``block_decoder.py``.

A stream is a sequence of arrays of records or of records (so JSON array, NDJSON and concatenated values are one case),
or of objects that hold an array of records under one key.
A record's end is found by matching brackets outside strings. Bytes that cannot be part of JSON at that place stop it;
the scanner then tries looser rules that still give the record's own end, and where those fail too it looks for the next
element that decodes as an event: everything up to it is one refused span. So a broken record costs itself, not its
neighbours. The spans never depend on how many bytes a read returns.
"""

from __future__ import annotations

import io
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import ijson

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.ingest.decoding import AFTER_COMMA, AFTER_ELEMENT, ARRAY_START, TOP_LEVEL, Batch, Decoder
from analytics_assets.core.ingest.limits import MAX_DEPTH, MAX_RECORD_BYTES
from analytics_assets.core.ingest.records import MERGE_FIELDS, SOURCE_FIELDS
from analytics_assets.core.ingest.sources import ByteStream

BLOCK_BYTES = 1 << 20
"""Bytes per read: large against a record of about 2 KB, small against memory."""

MAX_DIGITS = 4_300
"""Digits of the longest integer that Python converts from text."""

_BOM = b"\xef\xbb\xbf"
_BLANKS = b" \t\r\n"
_BLANK = re.compile(rb"[ \t\r\n]*+")
# Outside strings only these bytes occur in JSON: blanks, separators, numbers and the letters of true, false and null.
_FILLER_TEXT = rb'(?:[ \t\r\n,:0-9.eE+\-truefalsn]++|"[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+")*+'
_FILLER = re.compile(_FILLER_TEXT, re.DOTALL)
_TOKEN = re.compile(_FILLER_TEXT + rb"([\[\]{}])", re.DOTALL)
_SHALLOW_DEPTH = 8


def _shallow_object() -> re.Pattern[bytes]:
    """Pattern of a whole object nested at most `_SHALLOW_DEPTH` deep: one match instead of a step per bracket.

    It pairs brackets of any kind; that they fit, decoding proves.
    """
    inside = _FILLER_TEXT
    for _ in range(_SHALLOW_DEPTH - 1):
        inside = _FILLER_TEXT + rb"(?:[\[{]" + inside + rb"[\]}]" + _FILLER_TEXT + rb")*+"
    return re.compile(rb"\{" + inside + rb"\}", re.DOTALL)


_SHALLOW_OBJECT = _shallow_object()
_OPEN_STRING = re.compile(rb'"[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+\\?', re.DOTALL)
_SCALAR = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^ \t\r\n,:\[\]{}"]++', re.DOTALL)
_PIECE = re.compile(rb'[ \t\r\n]*+([\[\]{},:]|"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^ \t\r\n,:\[\]{}"]++)', re.DOTALL)
_TO_LONG_NUMBER = re.compile(rb'(?:[^"0-9]++|"[^"\\]*+(?:\\.[^"\\]*+)*+"|[0-9]{1,4300}+(?![0-9]))*+[0-9]', re.DOTALL)
_OPENER = {b"]": 0x5B, b"}": 0x7B}
_BRACKETS, _SEPARATORS, _BEFORE_VALUE = (b"[", b"]", b"{", b"}"), (b",", b":"), (b",", b":", b"[", b"{")

# Members of an object whose values are strings, numbers or words, up to one that is an array.
_SCALAR_MEMBER = (
    rb'[ \t\r\n]*+"(?:[^"\\\x00-\x1f]|\\.)*+"[ \t\r\n]*+:[ \t\r\n]*+(?:"(?:[^"\\\x00-\x1f]|\\.)*+"|[0-9.eE+\-a-z]++)'
)
_WRAPPER_HEAD = re.compile(
    rb"\{(?:"
    + _SCALAR_MEMBER
    + rb"[ \t\r\n]*+,)*+"
    + rb'[ \t\r\n]*+"(?P<key>(?:[^"\\\x00-\x1f]|\\.)*+)"[ \t\r\n]*+:[ \t\r\n]*+\['
)
_WRAPPER_TAIL = re.compile(rb"(?:," + _SCALAR_MEMBER + rb"[ \t\r\n]*+)*+\}")

WRAPPER_BYTES = 65_536
"""Bytes within which an array under a key must begin: what comes before it is a handful of counts and names."""

_EVENT_KEYS = SOURCE_FIELDS - {"data"}
"""Keys of an event; ``data`` is also what an API calls its array of records."""

WRAPPER_OBJECTS = 50
"""Objects among which an event must be found, when such an array cannot be looked at as a whole."""

_TIMES = frozenset({"event_time", "client_event_time", "server_received_time"})

# What `_measure` returns in place of a length.
_BROKEN, _CUT, _TOO_LARGE = 0, -1, -2


@dataclass(frozen=True)
class RecordSpan:
    """One element of the stream.

    Parameters
    ----------
    start, end : int
        Byte span in the decompressed stream, end exclusive.
    raw : bytes
        Exactly those bytes.
    problem : str
        Empty, or the reason code why the bytes were refused.
    value : Any
        The decoded element; None when refused.
    """

    start: int
    end: int
    raw: bytes
    problem: str = ""
    value: Any = None


def decode(raw: bytes) -> Any:
    """Decode one complete JSON value with ijson; numbers with a fraction are `decimal.Decimal`.

    Raises
    ------
    ijson.JSONError
        The bytes are not JSON.
    UnicodeDecodeError
        A text holds the second half of a surrogate pair alone.
    ValueError, ArithmeticError
        A number has more digits or a larger exponent than Python converts.
    """
    # Python refuses to convert longer integers, and ijson's C code crashes the process on that.
    if len(raw) > MAX_DIGITS and _TO_LONG_NUMBER.match(raw):
        raise ValueError(f"a number has more than {MAX_DIGITS} digits")
    (value,) = ijson.items(io.BytesIO(raw), "")
    return value


class _Nesting:
    """Brackets open at one place of a value.

    It notices a bracket that was never closed, because the next record then opens where no value may begin. Without
    that, the records after a broken one would count as parts of it.
    """

    def __init__(self, max_depth: int) -> None:
        self._max_depth = max_depth
        self.opened = bytearray()
        self.deepest = 0

    def take(self, bracket: bytes, before: int) -> bool:
        """Open or close; False when `bracket` cannot stand there after the byte `before`."""
        if bracket in _OPENER:
            return self.opened.pop() == _OPENER[bracket]
        if self.opened and before not in (b":" if self.opened[-1] == 0x7B else b"[,"):
            return False
        self.opened += bracket
        self.deepest = max(self.deepest, len(self.opened))
        return self.deepest <= self._max_depth


class RecordScanner:
    """Iterate over the records of one decompressed stream.

    Parameters
    ----------
    stream : ByteStream
        Source of bytes.
    name : str
        How errors call it.
    decoder : Decoder, optional
        Takes stretches of regular records as a whole; without it every record goes through ijson.
    max_record_bytes : int, optional
        Longer records are refused; by default `MAX_RECORD_BYTES`.

    Attributes
    ----------
    separator_bytes : int
        Blanks, commas, brackets and byte order marks passed so far.
    irregularities : dict of str to int
        Tolerated deviations by name, ``truncated`` among them.
    """

    def __init__(
        self,
        stream: ByteStream,
        name: str,
        decoder: Decoder | None = None,
        max_record_bytes: int | None = None,
    ) -> None:
        self._stream, self._name, self._decoder = stream, name, decoder
        self._max_record = MAX_RECORD_BYTES if max_record_bytes is None else max_record_bytes
        self.separator_bytes = 0
        self._buffer = b""
        self._base = 0  # offset of the buffer in the stream
        self._at = 0  # scanning place in the buffer
        self._ended = False
        self.irregularities: dict[str, int] = {}

    @property
    def position(self) -> int:
        """Bytes consumed so far, in the decompressed stream."""
        return self._base + self._at

    def __iter__(self) -> Iterator[RecordSpan | Batch]:
        while len(self._buffer) < len(_BOM) and self._fill():
            pass
        if self._buffer.startswith(_BOM):
            self._pass(len(_BOM))
            self._note("byte_order_mark")
        if not self._skip_blank():
            raise PipelineError(self._name, "the file is empty", "Download the export again, or remove the file.")
        if self._buffer[self._at] not in b"[{":
            length = self._scalar_length()
            scalar = length > 0 and not _decoded(self._buffer[self._at : self._at + length])[0]
            raise PipelineError(
                f"{self._name}, byte {self.position}",
                f"the file {'holds a JSON scalar' if scalar else self._foreign_content()}; "
                "expected an array of events or one event per line",
                "Put the Amplitude export there as delivered, or remove the file.",
            )
        wrapped = False
        while True:
            yield from self._regular(TOP_LEVEL)
            if not self._skip_blank():
                break
            byte = self._buffer[self._at]
            if byte == 0x5B:  # [
                self._pass(1)
                yield from self._array()
            elif wrapped and (tail := self._match(_WRAPPER_TAIL)):
                self._pass(tail)
                wrapped = False
            elif byte in b",]":
                self._pass(1)
                self._note("extra_comma" if byte == 0x2C else "extra_bracket")
            elif head := self._wrapper_head():
                self._pass(head)
                self._note("array_under_key")
                wrapped = True
                yield from self._array()
            else:
                yield from self._element()
        if wrapped:
            self.irregularities["truncated"] = 1

    def _foreign_content(self) -> str:
        if self._buffer.startswith((b"\xff\xfe", b"\xfe\xff")):
            return "is UTF-16 or UTF-32; convert it to UTF-8"
        return "is not JSON"

    def _match(self, pattern: re.Pattern[bytes]) -> int:
        """Length of a match at the scanning place that does not depend on bytes not yet read; 0 for none."""
        while True:
            found = pattern.match(self._buffer, self._at)
            if (found and found.end() < len(self._buffer)) or len(self._buffer) - self._at >= WRAPPER_BYTES:
                break
            if not self._fill():
                break
        return found.end() - self._at if found else 0

    def _wrapper_head(self) -> int:
        """Length of ``{"key": [`` in front of records, other keys with scalar values before it included; else 0."""
        length = self._match(_WRAPPER_HEAD)
        if not length:
            return 0
        size, _ = self._measure(0)
        problem, value = ("malformed_json", None)
        if size > 0:
            problem, value = _decoded(self._buffer[self._at : self._at + size])
        if not problem:
            return length if _wraps_records(value) else 0
        # Too large to be looked at as a whole, cut, or broken somewhere inside: its beginning decides.
        head = _WRAPPER_HEAD.match(self._buffer, self._at)
        assert head is not None
        known = head["key"].decode("utf-8", "replace") in _EVENT_KEYS
        return 0 if known or b'"event_type"' in head[0] or not self._event_follows(length) else length

    def _event_follows(self, ahead: int) -> bool:
        """Whether one of the next few objects from `ahead` bytes on is an event."""
        for _ in range(WRAPPER_OBJECTS):
            ahead = self._buffer.find(b"{", self._at + ahead, self._at + WRAPPER_BYTES) - self._at
            if ahead < 0:
                return False
            if self._is_event_at(ahead):
                return True
            ahead += 1
        return False

    def _regular(self, state: int) -> Generator[Batch, None, int]:
        """Yield the regular records from the scanning place on, as far as they go; returns the state after them."""
        if self._decoder is None:
            return state
        while True:
            stretch = yield from self._decoder.decode(self._buffer, self._at, self._base, state)
            self._at, state = stretch.at, stretch.state
            self.separator_bytes += stretch.separator_bytes
            if not stretch.needs_more or len(self._buffer) - self._at > BLOCK_BYTES or not self._fill():
                return state

    def _pass(self, length: int) -> None:
        self._at += length
        self.separator_bytes += length

    def _note(self, name: str) -> None:
        self.irregularities[name] = self.irregularities.get(name, 0) + 1

    def _fill(self) -> bool:
        """Append at least one block, dropping what lies before the scanning place; False at the end."""
        if self._ended:
            return False
        # Doubling keeps the copying linear when one record spans many blocks.
        block = self._stream.read(max(BLOCK_BYTES, len(self._buffer) - self._at))
        if not block:
            self._ended = True
            return False
        self._buffer = self._buffer[self._at :] + block
        self._base += self._at
        self._at = 0
        return True

    def _skip_blank(self) -> bool:
        """Move to the next byte that is not blank; False at the end of the stream."""
        while True:
            found = _BLANK.match(self._buffer, self._at)
            self._pass(found.end() - self._at if found else 0)
            if self._at < len(self._buffer):
                return True
            if not self._fill():
                return False

    def _array(self) -> Iterator[RecordSpan | Batch]:
        state = ARRAY_START
        while True:
            state = yield from self._regular(state)
            if not self._skip_blank():
                self.irregularities["truncated"] = 1
                return
            byte = self._buffer[self._at]
            if byte == 0x5D:  # ]
                self._pass(1)
                if state == AFTER_COMMA:
                    self._note("trailing_comma")
                return
            if byte == 0x2C:  # ,
                self._pass(1)
                if state != AFTER_ELEMENT:
                    self._note("extra_comma")
                state = AFTER_COMMA
                continue
            if state == AFTER_ELEMENT:
                self._note("missing_comma")
            yield from self._element()
            state = AFTER_ELEMENT

    def _element(self) -> Iterator[RecordSpan | Batch]:
        """Yield the element at the scanning place; bytes that are none give one refused span, longer ones several."""
        whole = _SHALLOW_OBJECT.match(self._buffer, self._at)
        if whole is not None and len(whole[0]) <= self._max_record:
            problem, value = _decoded(whole[0])
            if not problem:
                yield self._take(len(whole[0]), "", value)
                return
        bracketed = self._buffer[self._at] in b"{["
        length, depth = self._measure(0) if bracketed else (self._scalar_length(), 0)
        if length > 0:
            if depth > MAX_DEPTH:
                yield self._take(length, "too_deep")
                return
            problem, value = _decoded(self._buffer[self._at : self._at + length])
            if _holds_events(value):
                self._pass(1)
                self._note("nested_array")
                yield from self._array()
                return
            if problem != "malformed_json":
                yield self._take(length, problem, value)
                return
        elif bracketed and length == _BROKEN:
            length = self._loose_length()
        if length > 0 and self._ends_element(length):
            yield self._take(length, "malformed_json")
        else:
            yield from self._refuse_to_next_event(length)

    def _scalar_length(self) -> int:
        while True:
            found = _SCALAR.match(self._buffer, self._at)
            if found is None and self._buffer[self._at] != 0x22:
                return 1
            if found is not None and found.end() - self._at > self._max_record:
                return _TOO_LARGE
            if found is not None and found.end() < len(self._buffer):
                return found.end() - self._at
            if len(self._buffer) - self._at > self._max_record:
                return _TOO_LARGE
            if not self._fill():
                return found.end() - self._at if found else _CUT

    def _measure(self, ahead: int, max_depth: int = MAX_RECORD_BYTES) -> tuple[int, int]:
        """Length and depth of the bracketed value that starts `ahead` bytes from the scanning place.

        In place of the length: `_BROKEN` when the bytes cannot be JSON or go deeper than `max_depth`, `_CUT` when the
        stream ends first, `_TOO_LARGE` beyond the limit.
        """
        scanned, nesting = ahead, _Nesting(max_depth)
        while True:
            origin, buffer = self._at, self._buffer
            while token := _TOKEN.match(buffer, origin + scanned):
                if token.end() - origin - ahead > self._max_record:
                    return _TOO_LARGE, nesting.deepest
                if not nesting.take(token[1], _byte_before(buffer, token.start(1)) if nesting.opened else 0):
                    return _BROKEN, nesting.deepest
                scanned = token.end() - origin
                if not nesting.opened:
                    return scanned - ahead, nesting.deepest
            rest = _FILLER.match(buffer, origin + scanned)
            reached = rest.end() if rest else origin + scanned
            scanned = reached - origin
            if inside := _OPEN_STRING.match(buffer, reached):
                reached = inside.end()
            if reached - origin - ahead > self._max_record:
                return _TOO_LARGE, nesting.deepest
            if reached < len(buffer) or not self._fill():
                return (_BROKEN if reached < len(buffer) else _CUT), nesting.deepest

    def _loose_length(self) -> int:
        """Length of the bracketed value at the scanning place if any word were a value and any byte fine in a string.

        So a record with, say, NaN or a raw line end in a string keeps its true bounds. `_BROKEN` when brackets and
        separators do not fit even so.
        """
        scanned, nesting = 0, _Nesting(MAX_DEPTH)
        before = b""
        while True:
            found = _PIECE.match(self._buffer, self._at + scanned)
            whole = found is not None and found.end() < len(self._buffer)
            if not whole and len(self._buffer) - self._at <= self._max_record and self._fill():
                continue
            if found is None or found.end() - self._at > self._max_record:
                break
            piece = found[1]
            if piece in _BRACKETS:
                if not nesting.take(piece, before[-1] if before else 0):
                    break
            elif piece not in _SEPARATORS and before not in _BEFORE_VALUE:
                break
            scanned = found.end() - self._at
            before = piece
            if not nesting.opened:
                return scanned
        return _BROKEN

    def _ends_element(self, length: int) -> bool:
        """Whether a separator, a closing bracket, a line end or the end follows the next `length` bytes."""
        while True:
            found = _BLANK.match(self._buffer, self._at + length)
            end = found.end() if found else len(self._buffer)
            if end < len(self._buffer):
                return self._buffer[end] in b",]" or b"\n" in self._buffer[self._at + length : end]
            if not self._fill():
                return True

    def _refuse_to_next_event(self, length: int) -> Iterator[RecordSpan]:
        """Refuse all bytes up to the next event or the end, in pieces of the largest record."""
        problem = {_CUT: "truncated", _TOO_LARGE: "record_too_large"}.get(length, "malformed_json")
        searched = 1
        while True:
            found = self._buffer.find(b"{", self._at + searched, self._at + self._max_record)
            if found >= 0:
                ahead = found - self._at
                if self._is_event_at(ahead):
                    if ahead:
                        problem = "malformed_json" if problem == "truncated" else problem
                        yield self._take(self._separator_before(ahead), problem)
                    return
                searched = ahead + 1
                continue
            searched = min(len(self._buffer) - self._at, self._max_record)
            if searched == self._max_record:
                problem = "record_too_large"
                yield self._take(searched, problem)
                searched = 0
            elif not self._fill():
                if problem == "truncated":
                    self.irregularities["truncated"] = 1
                if searched:
                    yield self._take(searched, problem)
                return

    def _is_event_at(self, ahead: int) -> bool:
        """Whether an event starts `ahead` bytes on; a value after a colon belongs to the record around it."""
        start = self._at + ahead
        blank = start
        while blank > self._at and self._buffer[blank - 1] in _BLANKS:
            blank -= 1
        if blank > self._at and self._buffer[blank - 1] == 0x3A and b"\n" not in self._buffer[blank:start]:
            return False
        size, _ = self._measure(ahead, MAX_DEPTH)
        return size > 0 and _is_event(_decoded(self._buffer[self._at + ahead : self._at + ahead + size])[1])

    def _separator_before(self, ahead: int) -> int:
        """Length of the refused span that ends before the separator of the event `ahead` bytes on."""
        span = self._buffer[self._at : self._at + ahead].rstrip(_BLANKS)
        return len(span.removesuffix(b",").rstrip(_BLANKS)) or ahead

    def _take(self, length: int, problem: str, value: Any = None) -> RecordSpan:
        raw = self._buffer[self._at : self._at + length]
        span = RecordSpan(self.position, self.position + length, raw, problem, value)
        self._at += length
        return span


def _byte_before(buffer: bytes, place: int) -> int:
    """The last byte before `place` that is not blank."""
    place -= 1
    while buffer[place] in _BLANKS:
        place -= 1
    return buffer[place]


def _decoded(raw: bytes) -> tuple[str, Any]:
    """Problem (empty when there is none) and value."""
    try:
        return "", decode(raw)
    except ijson.JSONError:
        return "malformed_json", None
    except UnicodeDecodeError:
        return ("lone_surrogate" if _is_utf8(raw) else "malformed_json"), None
    except (ValueError, ArithmeticError):
        return "number_out_of_range", None


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _holds_events(value: Any) -> bool:
    return isinstance(value, list) and any(_is_event(element) or _holds_events(element) for element in value)


def _wraps_records(value: Any) -> bool:
    """Whether an object is no event itself and holds an array of events or merges, or an empty one beside no field."""
    if not isinstance(value, dict) or "event_type" in value:
        return False
    arrays = [inner for inner in value.values() if isinstance(inner, list)]
    records = (element for inner in arrays for element in inner if isinstance(element, dict))
    return any(_is_event(record) or record.keys() >= MERGE_FIELDS for record in records) or (
        bool(arrays) and not any(arrays) and _EVENT_KEYS.isdisjoint(value)
    )


def _is_event(value: Any) -> bool:
    return isinstance(value, dict) and "event_type" in value and not _TIMES.isdisjoint(value)
