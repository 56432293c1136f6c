"""One year's ingestion from raw files to published chunks, quarantine and manifest.

Put here: the order of work, the counts, the manifest, the publication. Keep out: each single step (the other modules
of this package).
"""

from __future__ import annotations

import contextlib
import csv
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from analytics_assets.core.errors import PipelineError, explained_os_errors
from analytics_assets.core.files import json_bytes, replace_folder, sha256_of
from analytics_assets.core.ingest.chunks import DIALECT, ChunkWriter, remove_rows
from analytics_assets.core.ingest.identity import IdentityStore, Place
from analytics_assets.core.ingest.quarantine import QuarantineWriter, Refused
from analytics_assets.core.ingest.records import REASONS, Normalizer, Refusal
from analytics_assets.core.ingest.scanner import RecordScanner, RecordSpan
from analytics_assets.core.ingest.sources import DAMAGED, Source, compression_of, digest_of, list_sources, open_members
from analytics_assets.core.lake import Lake
from analytics_assets.schemas import EVENT_CHUNKS, MAX_CHUNK_ROWS

MANIFEST_VERSION = 1
PROGRESS_RECORDS = 5_000
"""Records between two progress reports: several a second, cheap against the parsing."""

csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a nested value may be longer than the module's 128 KiB default


@dataclass
class Counts:
    """Records of one file, or of all: ``records_seen = loaded + duplicates + quarantined``."""

    records_seen: int = 0
    loaded: int = 0
    duplicates: int = 0
    quarantined: int = 0

    def add(self, other: Counts) -> None:
        """Add another file's counts."""
        self.records_seen += other.records_seen
        self.loaded += other.loaded
        self.duplicates += other.duplicates
        self.quarantined += other.quarantined

    @property
    def balanced(self) -> bool:
        """Whether every record seen is accounted for once."""
        return self.records_seen == self.loaded + self.duplicates + self.quarantined


@dataclass
class SourceReport(Counts):
    """Counts and facts of one delivered file."""

    path: str = ""
    bytes: int = 0
    sha256: str = ""
    compression: str = ""
    decompressed_bytes: int = 0
    irregularities: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """How far an ingestion has come."""

    file: str
    records_seen: int
    bytes_read: int
    bytes_total: int


def ingest_year(
    lake: Lake,
    year: str,
    *,
    max_rows: int = MAX_CHUNK_ROWS,
    progress: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Read one year's raw files and publish its chunks.

    Parameters
    ----------
    lake : Lake
        Where everything lies.
    year : str
        Name of the year's folder under ``raw/``.
    max_rows : int
        Rows per chunk.
    progress : callable, optional
        Called now and then with a `Progress`.

    Returns
    -------
    dict
        The manifest as written.

    Raises
    ------
    PipelineError
        No files, a file that is not JSON, a damaged archive, a full disk, a missing permission. The previous chunks
        are untouched then.
    """
    sources = list_sources(lake.raw(year))
    with explained_os_errors(lake.root):
        lake.staging().mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f"event_chunks-{year}-", dir=lake.staging()))
    try:
        with explained_os_errors(staging):
            manifest = _Run(year, sources, staging, max_rows, progress).execute()
            replace_folder(staging / "quarantine", lake.quarantine(year))
            replace_folder(staging / "chunks", lake.chunks(year))
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return manifest


class _Run:
    def __init__(
        self,
        year: str,
        sources: list[Source],
        staging: Path,
        max_rows: int,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self._year, self._sources, self._staging, self._progress = year, sources, staging, progress
        self._chunks_folder = staging / "chunks"
        self._writer = ChunkWriter(self._chunks_folder, max_rows)
        self._quarantine = QuarantineWriter(staging / "quarantine")
        self._identities = IdentityStore(staging / "identities.sqlite")
        self._normalize = Normalizer()
        self._reports: list[SourceReport] = []
        self._stamps = [_stamp(source) for source in sources]
        self._bytes_total = sum(size for size, _ in self._stamps)

    def execute(self) -> dict[str, Any]:
        with contextlib.ExitStack() as stack:
            for release in (self._identities.close, self._quarantine.close, self._writer.discard):
                stack.callback(release)
            for number, source in enumerate(self._sources):
                self._read_source(number, source)
            chunks = self._writer.close()
            self._resolve_conflicts()
            self._check_unchanged()
        total = Counts()
        for report in self._reports:
            total.add(report)
        if not total.balanced or total.loaded != sum(chunk.rows for chunk in chunks):
            raise PipelineError(
                self._staging, f"the counts do not add up: {total}", "This is a defect of the product; report it."
            )
        manifest = {
            "manifest_version": MANIFEST_VERSION,
            "year": self._year,
            "raw_digest": digest_of({report.path: report.sha256 for report in self._reports}),
            "columns": EVENT_CHUNKS.column_names,
            "dialect": DIALECT,
            "files": [asdict(report) for report in self._reports],
            "total": {**asdict(total), "bytes": self._bytes_total},
            "chunks": [asdict(chunk) for chunk in chunks],
            "quarantine_reasons": dict(sorted(self._quarantine.reasons.items())),
            "coerced_values": dict(sorted(self._normalize.coerced.items())),
            "unreadable_times": dict(sorted(self._normalize.unreadable.items())),
            "unknown_keys": dict(sorted(self._normalize.unknown_keys.items())),
        }
        (self._chunks_folder / "manifest.json").write_bytes(json_bytes(manifest))
        return manifest

    def _read_source(self, number: int, source: Source) -> None:
        report = SourceReport(
            path=source.name, bytes=source.path.stat().st_size, compression=compression_of(source.path)
        )
        report.sha256 = sha256_of(source.path)
        self._reports.append(report)
        before = sum(done.bytes for done in self._reports[:-1])
        seen_before = sum(done.records_seen for done in self._reports[:-1])
        try:
            for member in open_members(source):
                label = f"{source.path}!{member.name}" if member.name else str(source.path)
                scanner = RecordScanner(member.stream, label)
                for span in scanner:
                    report.records_seen += 1
                    refusal = Refusal(span.problem, REASONS[span.problem]) if span.problem else None
                    if refusal is None:
                        refusal = self._load(report, number, member.name, span)
                    if refusal is not None:
                        report.quarantined += 1
                        self._quarantine.add(
                            Refused(
                                refusal.reason, refusal.detail, source.name, member.name, span.start, span.end, span.raw
                            )
                        )
                    if self._progress and report.records_seen % PROGRESS_RECORDS == 0:
                        done = before + min(member.consumed(), report.bytes)
                        seen = seen_before + report.records_seen
                        self._progress(Progress(source.name, seen, done, self._bytes_total))
                report.decompressed_bytes += scanner.position
                for name, count in scanner.irregularities.items():
                    report.irregularities[name] = report.irregularities.get(name, 0) + count
        except DAMAGED as error:
            raise PipelineError(
                source.path,
                f"the archive is damaged ({error}) after {report.records_seen:,} records",
                "Download it again, or move it out of the folder to go on without it.",
            ) from error
        if self._progress:
            self._progress(
                Progress(source.name, seen_before + report.records_seen, before + report.bytes, self._bytes_total)
            )

    def _load(self, report: SourceReport, number: int, member: str, span: RecordSpan) -> Refusal | None:
        try:
            event = self._normalize(span.value, span.raw)
        except Refusal as refusal:
            return refusal
        place = Place(number, member, span.start, span.end, *self._writer.next_place)
        if self._identities.claim(event.uuid, event.payload, event.uploaded, place):
            self._writer.add(event.row, report.path, member, span.start, span.end)
            report.loaded += 1
        else:
            report.duplicates += 1
        return None

    def _resolve_conflicts(self) -> None:
        """Move the losers of identity conflicts from the chunks to the quarantine."""
        doomed: dict[int, dict[int, tuple[str, str]]] = {}
        losers = list(self._identities.losers())
        for (uuid, place), raw in zip(losers, self._bytes_of([place for _, place in losers]), strict=True):
            file = self._sources[place.source].name
            doomed.setdefault(place.chunk, {})[place.row] = (file, place.member)
            detail = f"uuid {uuid} came with several contents; the one uploaded first was kept"
            self._quarantine.add(Refused("identity_conflict", detail, file, place.member, place.start, place.end, raw))
            self._reports[place.source].loaded -= 1
            self._reports[place.source].quarantined += 1
        for number, rows in doomed.items():
            remove_rows(self._chunks_folder, self._writer.chunks[number], rows)

    def _check_unchanged(self) -> None:
        for source, stamp in zip(self._sources, self._stamps, strict=True):
            if _stamp(source) != stamp:
                raise PipelineError(
                    source.path, "the file changed while it was read", "Wait until it is complete and run again."
                )

    def _bytes_of(self, places: list[Place]) -> Iterator[bytes]:
        """Read spans of the sources again; `places` are ordered by source, member and start."""
        waiting = iter(places)
        place = next(waiting, None)
        while place is not None:
            for member in open_members(self._sources[place.source]):
                position, source = 0, place.source
                while place is not None and (place.source, place.member) == (source, member.name):
                    _read_exactly(member.stream, place.start - position)
                    yield _read_exactly(member.stream, place.end - place.start)
                    position = place.end
                    place = next(waiting, None)
                if place is None or place.source != source:
                    break


def _stamp(source: Source) -> tuple[int, int]:
    facts = source.path.stat()
    return facts.st_size, facts.st_mtime_ns


def _read_exactly(stream: Any, size: int) -> bytes:
    pieces = []
    while size > 0 and (block := stream.read(min(size, 1 << 20))):
        pieces.append(block)
        size -= len(block)
    return b"".join(pieces)
