r"""Where each record of a byte stream begins and ends.

Put here: splitting a stream of JSON into the bytes of single records in bounded memory, and finding the next record
after a broken one. Keep out: what a record means (``records.py``); decoding is ijson's work (`decode`).

A stream is a sequence of arrays of records or of records (so JSON array, NDJSON and concatenated values are one case).
A record's end is found by counting brackets outside strings. Bytes that cannot be part of JSON at that place stop the
count; the scanner then looks for the next element that decodes as an event, and everything up to it is one refused
span. So a broken record costs itself, not its neighbours.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ijson

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.ingest.sources import ByteStream

BLOCK_BYTES = 1 << 20
"""Bytes per read: large against a record of about 2 KB, small against memory."""

MAX_RECORD_BYTES = 16 << 20
"""A record beyond this is refused: the vendor's own limits keep honest ones below 1 MiB."""

MAX_DEPTH = 64
"""Nesting limit: the vendor refuses depth over 40, and ijson's memory grows with the square of the depth."""

_BOM = b"\xef\xbb\xbf"
_BLANK = re.compile(rb"[ \t\r\n]*+")
# Outside strings only these bytes occur in JSON: blanks, separators, numbers and the letters of true, false and null.
_TOKEN = re.compile(
    rb'(?:[ \t\r\n,:0-9.eE+\-truefalsn]++|"[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+")*+([\[\]{}])', re.DOTALL
)
_OPEN_STRING = re.compile(rb'"[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+\\?', re.DOTALL)
_FILLER = re.compile(rb'(?:[ \t\r\n,:0-9.eE+\-truefalsn]++|"[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+")*+', re.DOTALL)
_SCALAR = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^ \t\r\n,\[\]{}"]++', re.DOTALL)
_NEXT_OBJECT = re.compile(rb"[,\n\[}][ \t\r\n]*+(\{)")


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
    """
    return next(ijson.items(io.BytesIO(raw), ""))


class RecordScanner:
    """Iterate over the records of one decompressed stream.

    Parameters
    ----------
    stream : ByteStream
        Source of bytes.
    name : str
        How errors call it.

    Attributes
    ----------
    position : int
        Bytes consumed so far.
    irregularities : dict of str to int
        Tolerated deviations by name, ``truncated`` among them.
    """

    def __init__(self, stream: ByteStream, name: str) -> None:
        self._stream, self._name = stream, name
        self._buffer = b""
        self._base = 0  # offset of the buffer in the stream
        self._at = 0  # scanning place in the buffer
        self._ended = False
        self.irregularities: dict[str, int] = {}

    @property
    def position(self) -> int:
        """Bytes consumed so far, in the decompressed stream."""
        return self._base + self._at

    def __iter__(self) -> Iterator[RecordSpan]:
        self._fill()
        if self._buffer.startswith(_BOM):
            self._at = len(_BOM)
            self._note("byte_order_mark")
        if not self._skip_blank():
            raise PipelineError(self._name, "the file is empty", "Download the export again, or remove the file.")
        first = self._buffer[self._at : self._at + 1]
        if first not in (b"[", b"{"):
            kind = "holds a JSON scalar" if self._first_is_scalar() else "is not JSON"
            raise PipelineError(
                f"{self._name}, byte {self.position}",
                f"the file {kind}; expected an array of events or one event per line",
                "Put the Amplitude export there as delivered, or remove the file.",
            )
        while self._skip_blank():
            if self._buffer[self._at] == 0x5B:  # [
                self._at += 1
                yield from self._array()
            else:
                yield self._element()

    def _first_is_scalar(self) -> bool:
        found = _SCALAR.match(self._buffer, self._at)
        return _decoded(found[0] if found else b"")[0]

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
            self._at = found.end() if found else self._at
            if self._at < len(self._buffer):
                return True
            if not self._fill():
                return False

    def _array(self) -> Iterator[RecordSpan]:
        after_comma, after_element = False, False
        while True:
            if not self._skip_blank():
                self._note("truncated")
                return
            byte = self._buffer[self._at]
            if byte == 0x5D:  # ]
                self._at += 1
                if after_comma:
                    self._note("trailing_comma")
                return
            if byte == 0x2C:  # ,
                self._at += 1
                if after_comma or not after_element:
                    self._note("extra_comma")
                after_comma, after_element = True, False
                continue
            if after_element:
                self._note("missing_comma")
            yield self._element()
            after_comma, after_element = False, True

    def _element(self) -> RecordSpan:
        byte = self._buffer[self._at]
        if byte not in b"{[":
            return self._scalar()
        length, depth = self._measure(0)
        if length > 0 and depth > MAX_DEPTH:
            return self._take(length, "too_deep")
        if length > 0:
            valid, value = _decoded(self._buffer[self._at : self._at + length])
            if valid:
                return self._take(length, "", value)
        return self._refuse(length)

    def _scalar(self) -> RecordSpan:
        found = _SCALAR.match(self._buffer, self._at)
        while (found is None or found.end() == len(self._buffer)) and len(self._buffer) - self._at < MAX_RECORD_BYTES:
            if not self._fill():
                break
            found = _SCALAR.match(self._buffer, self._at)
        length = found.end() - self._at if found else 1
        valid, value = _decoded(self._buffer[self._at : self._at + length])
        return self._take(length, "", value) if valid else self._refuse(length)

    def _measure(self, ahead: int) -> tuple[int, int]:
        """Length and depth of the bracketed value that starts `ahead` bytes from the scanning place.

        Length 0 means that the bytes cannot be JSON or exceed the limit, -1 that the stream ended first.
        """
        scanned, depth, deepest = ahead, 0, 0
        while True:
            origin = self._at
            for token in _TOKEN.finditer(self._buffer, origin + scanned):
                if token.start() != origin + scanned:
                    break
                scanned = token.end() - origin
                if token[1] in b"{[":
                    depth += 1
                    deepest = max(deepest, depth)
                else:
                    depth -= 1
                    if depth == 0:
                        return scanned - ahead, deepest
            rest = _FILLER.match(self._buffer, origin + scanned)
            scanned = rest.end() - origin if rest else scanned
            if origin + scanned < len(self._buffer):
                inside = _OPEN_STRING.match(self._buffer, origin + scanned)
                if inside is None or inside.end() < len(self._buffer):
                    return 0, deepest
            if scanned - ahead > MAX_RECORD_BYTES:
                return 0, deepest
            if not self._fill():
                return -1, deepest

    def _refuse(self, length: int) -> RecordSpan:
        """Refuse the element at the scanning place: up to the next event, else its own length, else up to the end."""
        searched = 1
        while searched < MAX_RECORD_BYTES:
            limit = self._at + length if length > 0 else len(self._buffer)
            found = _NEXT_OBJECT.search(self._buffer, self._at + searched, limit)
            if found is None:
                if length > 0:
                    return self._take(length, "malformed_json")
                searched = max(searched, len(self._buffer) - self._at - 1)
                if not self._fill():
                    self._note("truncated")
                    return self._take(len(self._buffer) - self._at, "truncated")
                continue
            ahead = found.start(1) - self._at
            size, depth = self._measure(ahead)
            raw = self._buffer[self._at + ahead : self._at + ahead + size]
            if size > 0 and depth <= MAX_DEPTH and _is_event(raw):
                return self._take(self._separator_before(ahead), "malformed_json")
            searched = ahead
        return self._take(searched, "record_too_large")

    def _separator_before(self, ahead: int) -> int:
        """Length of the refused span that ends before the separator of the event `ahead` bytes on."""
        span = self._buffer[self._at : self._at + ahead].rstrip(b" \t\r\n")
        return len(span.removesuffix(b",")) or ahead

    def _take(self, length: int, problem: str, value: Any = None) -> RecordSpan:
        raw = self._buffer[self._at : self._at + length]
        span = RecordSpan(self.position, self.position + length, raw, problem, value)
        self._at += length
        return span


def _decoded(raw: bytes) -> tuple[bool, Any]:
    try:
        return True, decode(raw)
    except (ijson.JSONError, StopIteration, UnicodeDecodeError):
        return False, None


def _is_event(raw: bytes) -> bool:
    _, value = _decoded(raw)
    return isinstance(value, dict) and ("event_type" in value or "uuid" in value)
