"""Blocks of bytes to batches of rows, on all cores.

Put here: cutting a block into segments, decoding them at the same time, proving the cuts right, pseudonyms of a batch.
Keep out: the compiled loops (``block_decoder.py``), irregular records (``scanner.py``).

A cut is a guess: a place where a record seems to begin. Decoding the segment in front of it either arrives exactly
there, between two records, which proves the guess, or it does not, and the segment behind the cut is decoded again from
where the one in front really ended.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Generator
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, field
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.ingest.limits import MAX_RECORD_BYTES
from analytics_assets.core.privacy import PSEUDONYM_CHARACTERS, Privacy, stands_for_nobody
from analytics_assets.schemas import EVENT_CHUNKS, PERSONAL_COLUMNS

DONE, NEED_MORE, IRREGULAR = 0, 1, 2
"""Why decoding stopped: batch full or segment ended; the next record is not whole; the next bytes are not regular."""

TOP_LEVEL, ARRAY_START, AFTER_COMMA, AFTER_ELEMENT = 0, 1, 2, 3
"""Where in the stream the scanning place is."""

BATCH_RECORDS = 16_384
"""Records per batch: their spans take 4 MiB, small against a block, large against the cost of a call."""

UNKNOWN_KEYS = 4 * BATCH_RECORDS
"""Unknown keys noted per batch; a batch with more ends early."""

SCRATCH_BYTES = 1 << 20
"""Longest nested value with blanks that is handled here; longer ones take the slow way."""

PADDING = bytes(8)
"""What a buffer of the compiled loops ends with: they load eight bytes at a time (see ``block_decoder.py``)."""

SEGMENT_BYTES = 1 << 18
"""Smallest segment worth a thread."""

CUT_WINDOW = 1 << 16
"""Bytes in which the beginning of a record is looked for after an even cut."""

ROW_OVERHEAD = 400
"""Bytes a row can be longer than twice its record: 30 quoted nulls, 3 pseudonyms, 6 times in full."""

KNOWN_PSEUDONYMS = 1 << 17
"""Pseudonyms remembered per thread, 8 MiB; a year of a mid-size product has fewer devices."""

WRITE_PSEUDONYM, WRITE_VALUE = 0, 1
"""What `write_rows` does with a looked-up value."""

_TOKEN_COLUMNS = EVENT_CHUNKS.column_names
_LINKED = (*PERSONAL_COLUMNS, "amplitude_id")
_LINKED_PLACES = np.array([_TOKEN_COLUMNS.index(name) for name in _LINKED], dtype=np.int64)


@dataclass
class Batch:
    """Regular records as CSV rows (n records).

    Parameters
    ----------
    rows : bytes
        Lines without a header, forgotten persons' left out.
    row_sizes : array of int64, shape (n,)
        Bytes of each row, 0 for one that is left out.
    starts, ends : array of int64, shape (n,)
        Byte spans in the decompressed stream.
    keys, digests : array of uint64, shape (n, 2)
        Hash of the uuid, and of the content whatever the order of its keys and its blanks.
    uploaded : array of int64, shape (n,)
        ``server_upload_time`` in microseconds from 1970, the largest integer when there is none.
    coerced, unknown_keys : Counter of str
        As in ``records.Normalizer``.
    """

    rows: bytes
    row_sizes: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    keys: NDArray[np.uint64]
    digests: NDArray[np.uint64]
    uploaded: NDArray[np.int64]
    coerced: Counter[str]
    unknown_keys: Counter[str]


@dataclass
class Stretch:
    """Where decoding arrived.

    Parameters
    ----------
    at : int
        Place in the buffer.
    state : int
        Where in the stream that is.
    separator_bytes : int
        Bytes between the records.
    code : int
        Why it stopped.
    batches : list of Batch
        What was decoded on the way.
    """

    at: int
    state: int
    separator_bytes: int = 0
    code: int = DONE
    batches: list[Batch] = field(default_factory=list)

    @property
    def needs_more(self) -> bool:
        """Whether the record at `at` may be regular, but is not whole."""
        return self.code == NEED_MORE


class Decoder:
    """Decodes stretches of regular records.

    Parameters
    ----------
    privacy : Privacy
        What happens to personal values.
    executor : Executor
        Runs segments; its threads may be shared with other decoders.
    segments : int
        Segments decoded at a time.
    max_record_bytes : int
        Longer records are irregular.
    """

    def __init__(self, privacy: Privacy, executor: Executor, segments: int, max_record_bytes: int) -> None:
        from analytics_assets.core.ingest import block_decoder

        self._executor = executor
        self._workers = [_Worker(block_decoder, privacy, max_record_bytes) for _ in range(segments)]
        self._buffer = self._padded = b""
        self._guesses: dict[tuple[int, int], Future[Stretch]] = {}

    def decode(self, buffer: bytes, at: int, base: int, state: int) -> Generator[Batch, None, Stretch]:
        """Yield batches from place `at` of `buffer`, whose first byte is byte `base` of the stream."""
        if buffer is not self._buffer:
            self._start_ahead(buffer, at, base, state)
        total = Stretch(at, state)
        while True:
            guess = self._guesses.pop((total.at, total.state), None)
            if guess is None:
                stop = min((cut for cut, _ in self._guesses if cut > total.at), default=len(buffer))
                part = self._workers[0].decode(self._padded, total.at, stop, base, total.state)
            else:
                part = guess.result()
            yield from part.batches
            total.separator_bytes += part.separator_bytes
            total.at, total.state, total.code = part.at, part.state, part.code
            if part.code != DONE or part.at >= len(buffer):
                return total

    def _start_ahead(self, buffer: bytes, at: int, base: int, state: int) -> None:
        """Decode what begins at the cuts of a new buffer; records after an irregular one are taken from there too."""
        wait(self._guesses.values())
        self._buffer, self._padded = buffer, buffer + PADDING
        state = TOP_LEVEL if state == TOP_LEVEL else AFTER_COMMA
        cuts = self._cuts(buffer, at, state)
        self._guesses = {
            (start, state): self._executor.submit(worker.decode, self._padded, start, stop, base, state)
            for worker, start, stop in zip(self._workers[1:], cuts, [*cuts[1:], len(buffer)], strict=False)
        }

    def _cuts(self, buffer: bytes, at: int, state: int) -> list[int]:
        """Places at which records seem to begin, one for each thread but the first."""
        size = (len(buffer) - at) // len(self._workers)
        if size < SEGMENT_BYTES:
            return []
        first = _FIRST_KEY.search(buffer, at, at + CUT_WINDOW)
        if first is None:
            return []
        between = b"\\n[ \\t\\r\\n]*" if state == TOP_LEVEL else b",[ \\t\\r\\n]*"
        begin = re.compile(b"\\}[ \\t\\r]*" + between + b"(?=" + re.escape(first[0]) + b")")
        cuts: list[int] = []
        for number in range(1, len(self._workers)):
            target = at + number * size
            found = begin.search(buffer, target, target + CUT_WINDOW)
            if found and (not cuts or found.end() > cuts[-1]):
                cuts.append(found.end())
        return cuts


_FIRST_KEY = re.compile(rb'\{[ \t\r\n]*"[^"\\]*"')


class _Worker:
    """Arrays and pseudonyms of one thread."""

    def __init__(self, compiled: ModuleType, privacy: Privacy, max_record_bytes: int) -> None:
        self._compiled = compiled
        self._max_record = min(max_record_bytes, MAX_RECORD_BYTES)
        n, columns = BATCH_RECORDS, len(_TOKEN_COLUMNS)
        self._spans = np.zeros((n, 2), np.int64)
        self._tokens = np.zeros((n, columns, 2), np.int32)
        self._special = np.zeros(n, np.uint32)
        self._keys, self._digests = np.zeros((n, 2), np.uint64), np.zeros((n, 2), np.uint64)
        self._uploaded, self._row_ends = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self._unknown = np.zeros((UNKNOWN_KEYS, 2), np.int32)
        self._scratch = np.zeros(SCRATCH_BYTES + len(PADDING), np.uint8)
        self._order = np.full(64, -1, np.int64)
        self._coerced = np.zeros(columns, np.int64)
        self._result = np.zeros(6, np.int64)
        self._out = np.zeros(0, np.uint8)
        self._pseudonyms = _Pseudonyms(compiled, privacy)

    def decode(self, padded: bytes, start: int, stop: int, base: int, state: int) -> Stretch:
        """Decode records that begin from `start` up to `stop`."""
        buffer = np.frombuffer(padded, np.uint8)
        end = len(padded) - len(PADDING)
        stretch = Stretch(start, state)
        while True:
            self._coerced[:] = 0
            self._compiled.scan(
                buffer, stretch.at, stop, end, stretch.state, self._max_record,
                self._spans, self._tokens, self._special, self._keys, self._digests, self._uploaded,
                self._unknown, self._scratch, self._order, self._coerced, self._result,
            )  # fmt: skip
            began = stretch.at
            stretch.at, n, stretch.code, stretch.state, separators, unknown = self._result.tolist()
            stretch.separator_bytes += separators
            if n:
                stretch.batches.append(self._batch(padded, buffer, n, unknown, base=base, consumed=stretch.at - began))
            if stretch.code != DONE or stretch.at >= stop or n == 0:
                return stretch

    def _batch(
        self, padded: bytes, buffer: NDArray[np.uint8], n: int, unknown: int, *, base: int, consumed: int
    ) -> Batch:
        skip = self._pseudonyms.look_up(buffer, n, self._tokens)
        if self._out.size < 2 * consumed + n * ROW_OVERHEAD:
            self._out = np.empty(2 * consumed + n * ROW_OVERHEAD, np.uint8)
        size = self._compiled.write_rows(
            buffer, n, self._tokens, self._special, self._pseudonyms.places, self._pseudonyms.entry_of,
            self._pseudonyms.actions, self._pseudonyms.texts, skip, self._out, self._row_ends,
        )  # fmt: skip
        keys = Counter(padded[start : start + length].decode() for start, length in self._unknown[:unknown].tolist())
        return Batch(
            rows=self._out[:size].tobytes(),
            row_sizes=np.diff(self._row_ends[:n], prepend=0),
            starts=self._spans[:n, 0] + base,
            ends=self._spans[:n, 1] + base,
            keys=self._keys[:n].copy(),
            digests=self._digests[:n].copy(),
            uploaded=self._uploaded[:n].copy(),
            coerced=Counter(
                {name: int(count) for name, count in zip(_TOKEN_COLUMNS, self._coerced, strict=True) if count}
            ),
            unknown_keys=keys,
        )


class _Pseudonyms:
    """Known personal values of one thread with what is written in their place.

    Attributes
    ----------
    places : array of int64, shape (30,)
        For each column its place among the looked-up ones, -1 for the others.
    entry_of : array of int32, shape (batch, 4)
        Entry of each record's value, -1 for none.
    actions : array of uint8, shape (entries,)
        Whether the pseudonym or the value is written.
    texts : array of uint8, shape (entries, 32)
        Pseudonyms.
    """

    def __init__(self, compiled: ModuleType, privacy: Privacy) -> None:
        self._compiled = compiled
        self._privacy = privacy
        self._active = privacy.mode == "pseudonymize" or bool(privacy.suppressed)
        self._columns = _LINKED_PLACES if privacy.suppressed else _LINKED_PLACES[: len(PERSONAL_COLUMNS)]
        self.places = np.full(len(_TOKEN_COLUMNS), -1, np.int64)
        self.entry_of = np.full((BATCH_RECORDS, len(_LINKED)), -1, np.int32)
        self._missing = np.zeros((BATCH_RECORDS * len(_LINKED), 2), np.int32)
        self._skip = np.zeros(BATCH_RECORDS, np.bool_)
        capacity = KNOWN_PSEUDONYMS if self._active else 1
        # A batch brings at most 4 x 16,384 new values; slots stay at most three quarters full.
        self._slots = np.zeros((4 * capacity, 2), np.uint64)
        self._slot_entry = np.full(4 * capacity, -1, np.int32)
        self.actions = np.zeros(capacity, np.uint8)
        self.texts = np.zeros((capacity, PSEUDONYM_CHARACTERS), np.uint8)
        self._forgotten = np.zeros(capacity, np.bool_)
        self._nobody = np.zeros(capacity, np.bool_)
        self._known = 0
        if self._active:
            self.places[self._columns] = np.arange(len(self._columns))

    def look_up(self, buffer: NDArray[np.uint8], n: int, tokens: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Fill `entry_of` for `n` records; returns which belong to forgotten persons."""
        if not self._active:
            return self._skip
        if self._known + n * len(self._columns) > len(self.actions):
            self._slot_entry[:] = -1
            self._known = 0
        before = self._known
        self._known, missing = self._compiled.find_entries(
            buffer, n, tokens, self._columns, self._slots, self._slot_entry, before, self.entry_of, self._missing
        )
        for entry, (row, place) in enumerate(self._missing[:missing].tolist(), start=before):
            column = self._columns[place]
            start, size = tokens[row, column].tolist()
            self._learn(entry, _LINKED[place], buffer[start : start + size].tobytes())
        if not self._privacy.suppressed:
            return self._skip
        self._skip[:n] = self._belongs_to_forgotten(self.entry_of[:n])
        return self._skip

    def _learn(self, entry: int, name: str, token: bytes) -> None:
        value = json.loads(token)
        text = value if isinstance(value, str) else str(value)
        shown = self._privacy.shown(name, text)
        self._forgotten[entry] = self._privacy.forgets(name, text)
        self._nobody[entry] = stands_for_nobody(name, text)
        self.actions[entry] = WRITE_VALUE if shown == text else WRITE_PSEUDONYM
        if shown != text:
            self.texts[entry] = np.frombuffer(shown.encode("ascii"), np.uint8)

    def _belongs_to_forgotten(self, entries: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Vectorized ``Privacy.forgets_event``."""
        place = {name: number for number, name in enumerate(_LINKED)}
        known = entries >= 0
        forgotten = known & self._forgotten[entries]
        user = place["user_id"]
        logged_in = known[:, user] & ~self._nobody[entries[:, user]]
        by_device = forgotten[:, place["device_id"]] | forgotten[:, place["amplitude_id"]]
        return np.where(logged_in, forgotten[:, user], by_device)
