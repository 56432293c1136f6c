"""One delivered file to its parsed form in the staging folder: CSV parts, an index of rows, refused records.

Put here: the files of the parsed form and their accounting. Keep out: what concerns several files: duplicates and
conflicts (``identity.py``), chunks (``chunks.py``).
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.files import sync_file
from analytics_assets.core.ingest.decoding import PADDING, Batch, Decoder
from analytics_assets.core.ingest.limits import Limits
from analytics_assets.core.ingest.quarantine import QuarantineWriter, Refused
from analytics_assets.core.ingest.records import MERGE_FIELDS, REASONS, Event, Normalizer, Refusal
from analytics_assets.core.ingest.repairs import Repairs
from analytics_assets.core.ingest.scanner import RecordScanner, RecordSpan, decode
from analytics_assets.core.ingest.sources import DamagedArchive, Member, OpenSource, Source
from analytics_assets.core.ingest.tracing import INDEX_FILE, KEYS_FILE, ROW_INDEX
from analytics_assets.core.privacy import Privacy
from analytics_assets.schemas import EVENT_CHUNKS

DECODED, NORMALIZED = 0, 1
"""Which of the two ways gave the digest of a row."""

NEVER_UPLOADED = np.iinfo(np.int64).max

HEADER = ",".join(f'"{name}"' for name in EVENT_CHUNKS.column_names).encode("ascii") + b"\n"

REFUSED_FILE, UNREADABLE_FILE = "refused.ndjson", "unreadable.ndjson"

INDEX_BLOCK_ROWS = 65_536
"""Rows of the index that are read at a time: 5 MB."""

SYNC_BYTES = 32 << 20
"""Written bytes after which the disk is asked to store them, while decoding goes on: little is left at the end."""

PROGRESS_RECORDS = 1_000
"""Single records between two progress reports: several a second."""

_PENDING_ROWS = 1_000
"""Rows of single records kept before they are written."""


@dataclass
class Counts:
    """Records of one file, or of all: ``records_seen = loaded + duplicates + quarantined + forgotten``."""

    records_seen: int = 0
    loaded: int = 0
    duplicates: int = 0
    quarantined: int = 0
    forgotten: int = 0

    def add(self, other: Counts) -> None:
        """Add another file's counts."""
        for name in asdict(Counts()):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def balanced(self) -> bool:
        """Whether every record seen is accounted for once."""
        return self.records_seen == self.loaded + self.duplicates + self.quarantined + self.forgotten


@dataclass
class SourceReport(Counts):
    """Counts and facts of one delivered file.

    Its decompressed bytes are ``record_bytes + refused_bytes + separator_bytes + merge_bytes``; the sum is held against
    the count that was taken where they left the decompressor.
    """

    path: str = ""
    bytes: int = 0
    sha256: str = ""
    compression: str = ""
    decompressed_bytes: int = 0
    record_bytes: int = 0
    refused_bytes: int = 0
    separator_bytes: int = 0
    merge_bytes: int = 0
    merges: int = 0
    repaired: int = 0
    complete: bool = True
    irregularities: dict[str, int] = field(default_factory=dict)

    @property
    def bytes_balanced(self) -> bool:
        """Whether every decompressed byte is accounted for once."""
        return self.decompressed_bytes == (
            self.record_bytes + self.refused_bytes + self.separator_bytes + self.merge_bytes
        )


@dataclass
class Parsed:
    """The parsed form of one file, of which duplicates and conflicts are not yet resolved.

    Parameters
    ----------
    report : SourceReport
        Counts so far: `loaded` is every row of the parts.
    members : list of str
        Names of the streams, for the index.
    parts : list of Part
        CSV files of at most the given rows each.
    folder : Path
        Where the index, `REFUSED_FILE` and `UNREADABLE_FILE` lie.
    coerced, unreadable, unknown_keys : dict of str to int
        As in ``records.Normalizer``.
    """

    report: SourceReport
    members: list[str]
    parts: list[Part]
    folder: Path
    coerced: dict[str, int]
    unreadable: dict[str, int]
    unknown_keys: dict[str, int]

    def rows(self, first: int = 0, count: int = -1) -> NDArray[Any]:
        """Entries of the index from row `first` on, all by default."""
        size = ROW_INDEX.itemsize
        return np.fromfile(self.folder / INDEX_FILE, ROW_INDEX, count, offset=first * size)

    def some_rows(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Entries of chosen rows; nothing else is read."""
        if not len(rows):
            return np.zeros(0, ROW_INDEX)
        return np.memmap(self.folder / INDEX_FILE, ROW_INDEX, "r")[rows]

    def key_blocks(self) -> Iterator[NDArray[np.uint64]]:
        """First half of the keys of all rows, in blocks."""
        with (self.folder / KEYS_FILE).open("rb") as stream:
            while len(block := np.fromfile(stream, "<u8", INDEX_BLOCK_ROWS)):
                yield block

    def lacks(self, wanted: NDArray[np.bool_]) -> bool:
        """Whether one of the wanted rows is not in the published chunks."""
        blocks = range(0, len(wanted), INDEX_BLOCK_ROWS)
        return any(
            bool((wanted[at : at + INDEX_BLOCK_ROWS] & (self.rows(at, INDEX_BLOCK_ROWS)["kept"] == 0)).any())
            for at in blocks
        )

    def mark_kept(self, kept: NDArray[np.bool_]) -> None:
        """Note in the index which rows are published."""
        with (self.folder / INDEX_FILE).open("r+b") as stream:
            for at in range(0, len(kept), INDEX_BLOCK_ROWS):
                block = self.rows(at, INDEX_BLOCK_ROWS)
                block["kept"] = kept[at : at + INDEX_BLOCK_ROWS]
                stream.write(block.tobytes())


@dataclass
class Part:
    """Some rows of one source in a file.

    Parameters
    ----------
    path : Path
        A file of this part alone, or the published chunk that holds it.
    rows : int
        Rows of the index that belong to it.
    offset : int
        Where its first row begins.
    sha256 : str
        Digest of the file; empty for a chunk.
    """

    path: Path
    rows: int = 0
    offset: int = len(HEADER)
    sha256: str = ""

    @property
    def own_file(self) -> bool:
        """Whether the file holds this part alone and may be changed."""
        return bool(self.sha256)


class _PartWriter:
    """Writes and hashes parts in a thread of its own, one batch behind the decoding; another one syncs them."""

    def __init__(self, folder: Path, max_rows: int) -> None:
        self._folder, self._max_rows = folder, max_rows
        self.parts: list[Part] = []
        self._stream: Any = None
        self._thread, self._syncing = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._last: Future[None] | None = None
        self._unsynced = 0

    def add(self, rows: bytes, sizes: NDArray[np.int64]) -> None:
        """Append rows, cut where a part is full."""
        if self._last is not None:
            self._last.result()
        self._last = self._thread.submit(self._add, rows, sizes)

    def _add(self, rows: bytes, sizes: NDArray[np.int64]) -> None:
        taken, offset = 0, 0
        while taken < len(sizes):
            if self._stream is None or self.parts[-1].rows == self._max_rows:
                self._finish()
                self._open()
            part = self.parts[-1]
            count = min(len(sizes) - taken, self._max_rows - part.rows)
            length = int(sizes[taken : taken + count].sum())
            piece = memoryview(rows)[offset : offset + length]
            self._stream.write(piece)
            self._digest.update(piece)
            part.rows += count
            taken, offset = taken + count, offset + length
            self._unsynced += length
            if self._unsynced >= SYNC_BYTES:
                self._unsynced = 0
                self._syncing.submit(sync_file, part.path)

    def _open(self) -> None:
        self.parts.append(Part(self._folder / f"part-{len(self.parts):05d}.csv"))
        self._stream = self.parts[-1].path.open("wb")
        self._stream.write(HEADER)
        self._digest = hashlib.sha256(HEADER)

    def _finish(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self.parts[-1].sha256 = self._digest.hexdigest()
            self._stream = None

    def close(self) -> None:
        """Finish the last part; raises what went wrong while writing."""
        try:
            if self._last is not None:
                self._last.result()
        finally:
            self._thread.shutdown()
            self._finish()
            self._syncing.shutdown()


class CsvLine:
    """One row as a line of CSV, by the csv module."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._writer = csv.writer(self, quoting=csv.QUOTE_ALL, lineterminator="\n")

    def write(self, text: str) -> int:
        """Take what the csv module writes."""
        self._pieces.append(text)
        return len(text)

    def of(self, row: list[str]) -> bytes:
        """The line of a row."""
        self._pieces.clear()
        self._writer.writerow(row)
        return "".join(self._pieces).encode("utf-8")


class SourceParser:
    """Parse one delivered file.

    Parameters
    ----------
    source : Source
        What to read.
    folder : Path
        New folder for the parsed form.
    limits : Limits
        Caps.
    privacy : Privacy
        What happens to personal values.
    repairs : Repairs
        Corrected texts of records refused earlier.
    max_rows : int
        Rows per part.
    decoder : Decoder or None
        None sends every record through ijson (the reference).
    progress : callable
        Called with the bytes read and the records seen so far.
    """

    def __init__(
        self,
        source: Source,
        folder: Path,
        *,
        limits: Limits,
        privacy: Privacy,
        repairs: Repairs,
        max_rows: int,
        decoder: Decoder | None,
        progress: Callable[[int, int], None],
    ) -> None:
        folder.mkdir(parents=True)
        self._source, self._folder, self._limits = source, folder, limits
        self._decoder, self._repairs, self._progress = decoder, repairs, progress
        self._report = SourceReport(path=source.name, bytes=source.path.stat().st_size)
        self._privacy, self._normalize = privacy, Normalizer(privacy)
        self._members: list[str] = []
        self._parts = _PartWriter(folder, max_rows)
        self._coerced: Counter[str] = Counter()
        self._unknown_keys: Counter[str] = Counter()
        self._line = CsvLine()
        self._pending: list[tuple[Any, ...]] = []
        self._pending_rows: list[bytes] = []

    def parse(self) -> Parsed:
        """Read the file to its end.

        Raises
        ------
        PipelineError
            The file is not JSON, damaged, or beyond a limit.
        """
        report = self._report
        opened = OpenSource(self._source, self._limits)
        with (
            (self._folder / INDEX_FILE).open("wb") as self._index,
            (self._folder / KEYS_FILE).open("wb") as self._keys,
            (self._folder / UNREADABLE_FILE).open("w", encoding="ascii", newline="\n") as self._unreadable,
        ):
            self._quarantine = QuarantineWriter(self._folder / REFUSED_FILE)
            try:
                for member in opened.members():
                    self._read(member)
                report.sha256 = opened.sha256()
            except DamagedArchive as error:
                raise PipelineError(
                    self._source.path,
                    f"the archive is damaged ({error})",
                    "Download it again, move it out of the folder to go on without it, or set "
                    "ANALYTICS_DAMAGED_FILES=salvage to load what can be read.",
                ) from error
            finally:
                self._parts.close()
                self._quarantine.close()
        report.compression = opened.compression
        self._note(opened.irregularities)
        if self._normalize.repeated_keys:
            self._note({"repeated_keys": self._normalize.repeated_keys})
        if not (report.balanced and report.bytes_balanced):
            raise PipelineError(
                self._source.path,
                f"the accounts do not add up: {report}",
                "This is a defect of the product; report it.",
            )
        self._coerced.update(self._normalize.coerced)
        self._unknown_keys.update(self._normalize.unknown_keys)
        return Parsed(
            report,
            self._members,
            self._parts.parts,
            self._folder,
            dict(sorted(self._coerced.items())),
            dict(sorted(self._normalize.unreadable.items())),
            dict(sorted(self._unknown_keys.items())),
        )

    def _note(self, irregularities: dict[str, int]) -> None:
        for name, count in irregularities.items():
            self._report.irregularities[name] = self._report.irregularities.get(name, 0) + count

    def _read(self, member: Member) -> None:
        report = self._report
        self._members.append(member.name)
        label = f"{self._source.path}!{member.name}" if member.name else str(self._source.path)
        scanner = RecordScanner(member.stream, label, self._decoder, self._limits.max_record_bytes)
        for item in () if member.lost else scanner:
            if isinstance(item, Batch):
                self._take_batch(item)
            else:
                self._take_record(member.name, item)
            if isinstance(item, Batch) or report.records_seen % PROGRESS_RECORDS == 0:
                self._progress(member.consumed(), report.records_seen)
        self._progress(member.consumed(), report.records_seen)
        self._flush()
        report.separator_bytes += scanner.separator_bytes
        report.decompressed_bytes += member.length
        self._note(scanner.irregularities)
        if member.garbage:
            self._note({"bytes_after_gzip": member.garbage})
        if member.damage:
            self._note({"damaged": 1})
        report.complete &= not (member.damage or "truncated" in scanner.irregularities)

    def _take_batch(self, batch: Batch) -> None:
        self._flush()
        report = self._report
        n = len(batch.starts)
        index = np.zeros(n, ROW_INDEX)
        index["key"], index["digest"], index["uploaded"] = batch.keys, batch.digests, batch.uploaded
        index["start"], index["end"], index["size"] = batch.starts, batch.ends, batch.row_sizes
        index["member"], index["kind"] = len(self._members) - 1, DECODED
        loaded = index[batch.row_sizes > 0]
        self._index.write(loaded.tobytes())
        self._keys.write(loaded["key"][:, 0].tobytes())
        self._parts.add(batch.rows, batch.row_sizes[batch.row_sizes > 0])
        report.records_seen += n
        report.loaded += len(loaded)
        report.forgotten += n - len(loaded)
        report.record_bytes += int((batch.ends - batch.starts).sum())
        self._coerced.update(batch.coerced)
        self._unknown_keys.update(batch.unknown_keys)

    def _take_record(self, member: str, span: RecordSpan) -> None:
        report = self._report
        if isinstance(span.value, dict) and "event_type" not in span.value and span.value.keys() >= MERGE_FIELDS:
            report.merges += 1
            report.merge_bytes += len(span.raw)
            return
        report.records_seen += 1
        refused, event = None, None
        try:
            if span.problem:
                raise Refusal(span.problem, REASONS[span.problem])
            event = self._normalize(span.value, span.raw)
        except Refusal as refusal:
            refused = Refused(refusal.reason, refusal.detail, self._source.name, member, span.start, span.end, span.raw)
            repaired = self._repairs.get(refused)
            if repaired is not None:
                event = self._normalize(decode(repaired), repaired)
                report.repaired += 1
        if event is None:
            assert refused is not None
            if self._privacy.forgets_bytes(span.raw):
                report.forgotten += 1
                report.record_bytes += len(span.raw)
                return
            report.quarantined += 1
            report.refused_bytes += len(span.raw)
            self._quarantine.add(refused)
            return
        report.record_bytes += len(span.raw)
        if event.forgotten:
            report.forgotten += 1
            return
        report.loaded += 1
        self._keep(event, span)
        for column, text in event.unreadable:
            line = {"file": self._source.name, "member": member, "start": span.start, "end": span.end}
            self._unreadable.write(json.dumps(line | {"uuid": event.uuid, "column": column, "text": text}) + "\n")

    def _keep(self, event: Event, span: RecordSpan) -> None:
        row = self._line.of(event.row)
        self._pending_rows.append(row)
        self._pending.append(
            (
                key_of(event.uuid),
                _words(digest_of_row(event.payload, row)),
                microseconds(event.uploaded),
                span.start,
                span.end,
                len(row),
                len(self._members) - 1,
                NORMALIZED,
                0,
            )
        )
        if len(self._pending) >= _PENDING_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            index = np.array(self._pending, ROW_INDEX)
            self._index.write(index.tobytes())
            self._keys.write(index["key"][:, 0].tobytes())
            self._parts.add(b"".join(self._pending_rows), index["size"].astype(np.int64))
            self._pending, self._pending_rows = [], []


def digest_of_row(payload: bytes, row: bytes) -> bytes:
    """16-byte digest that two records share when both their content and their CSV row are equal."""
    return hashlib.blake2b(payload + row, digest_size=16).digest()


def _words(digest: bytes) -> tuple[int, int]:
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def key_of(uuid: str) -> tuple[int, int]:
    """Hash of a uuid, as the compiled decoder has it."""
    from analytics_assets.core.ingest.block_decoder import hash_bytes

    content = uuid.encode("utf-8")
    first, second = hash_bytes(np.frombuffer(content + PADDING, np.uint8), len(content))
    return int(first), int(second)


def microseconds(uploaded: str) -> int:
    """Canonical time text to microseconds from 1970."""
    return int(np.datetime64(uploaded, "us").astype(np.int64)) if uploaded else int(NEVER_UPLOADED)


def spans_again(source: Source, limits: Limits, members: list[str], spans: NDArray[Any]) -> Iterator[bytes]:
    """Read some records of a file again.

    Parameters
    ----------
    source, limits
        The file.
    members : list of str
        Names of its streams.
    spans : array of ROW_INDEX
        Which records, ordered by member and start.
    """
    at = 0
    if not len(spans):
        return
    for number, member in enumerate(OpenSource(source, limits).members()):
        assert member.name == members[number]
        buffer, base = b"", 0
        while at < len(spans) and spans["member"][at] == number:
            start, end = int(spans["start"][at]), int(spans["end"][at])
            while base + len(buffer) < end:
                block = member.stream.read()
                if not block:
                    raise PipelineError(
                        source.path, "the file changed while it was read", "Wait until it is complete and run again."
                    )
                keep = max(0, start - base)
                buffer, base = buffer[keep:] + block, base + min(keep, len(buffer))
            yield buffer[start - base : end - base]
            at += 1
        if at == len(spans):
            return
