"""One year's ingestion from raw files to published chunks, quarantine and manifest.

Put here: the order of work, the counts over all files, the manifest. Keep out: each single step (the other modules of
this package).
"""

from __future__ import annotations

import csv
import shutil
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from analytics_assets.core.errors import PipelineError, explained_os_errors
from analytics_assets.core.files import json_bytes, read_json, sha256_of, sync_file
from analytics_assets.core.ingest import chunks as chunk_files
from analytics_assets.core.ingest.chunks import DIALECT
from analytics_assets.core.ingest.decoding import Decoder
from analytics_assets.core.ingest.digests import DigestCache, Stamp, stamp_of
from analytics_assets.core.ingest.identity import Resolution, resolve
from analytics_assets.core.ingest.ledger import CONFLICTS_FILE, Ledger, write_ledger
from analytics_assets.core.ingest.limits import Limits
from analytics_assets.core.ingest.parse import (
    REFUSED_FILE,
    UNREADABLE_FILE,
    Counts,
    CsvLine,
    Parsed,
    SourceParser,
    SourceReport,
    digest_of_row,
    spans_again,
)
from analytics_assets.core.ingest.publish import publish, recover, staging_folder, year_lock
from analytics_assets.core.ingest.quarantine import FILE_NAME, Refused, read_refused
from analytics_assets.core.ingest.records import Normalizer
from analytics_assets.core.ingest.repairs import Repairs
from analytics_assets.core.ingest.scanner import decode
from analytics_assets.core.ingest.sources import Inbox, digest_of, list_inbox
from analytics_assets.core.lake import Lake
from analytics_assets.core.privacy import Privacy
from analytics_assets.schemas import EVENT_CHUNKS, MAX_CHUNK_ROWS

MANIFEST_VERSION = 2
PARSER_VERSION = 1
"""Changing it makes every file be read again: raise it when the same bytes give other rows than before."""

csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a nested value may be longer than the module's 128 KiB default


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
    limits: Limits | None = None,
    reference: bool = False,
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
    limits : Limits, optional
        Caps; by default those of the environment.
    reference : bool
        Decode every record with ijson instead of the compiled decoder: the same bytes, slowly.

    Returns
    -------
    dict
        The manifest as written.

    Raises
    ------
    PipelineError
        No files, a file that is not JSON, a damaged archive, an exceeded cap, a full disk, a missing permission,
        another run of the same year. The previous chunks are untouched then.
    """
    with year_lock(lake, year):
        recover(lake, year)
        run = _Run(
            lake, year, max_rows, progress=progress, limits=limits or Limits.from_environment(), reference=reference
        )
        unchanged = run.unchanged()
        if unchanged is not None:
            return unchanged
        with staging_folder(lake, year) as staging:
            try:
                manifest = run.execute(staging)
            except Exception as error:
                run.check_stamps(error)  # what went wrong may be that a file was not left alone
                raise
            publish(lake, year, staging)
        run.cache.save()
    return manifest


class _Run:
    def __init__(
        self,
        lake: Lake,
        year: str,
        max_rows: int,
        *,
        progress: Callable[[Progress], None] | None,
        limits: Limits,
        reference: bool,
    ) -> None:
        self._lake, self._year, self._max_rows, self._limits = lake, year, max_rows, limits
        self._reference = reference
        self.cache = DigestCache(lake, year)
        self._inbox: Inbox = list_inbox(lake.raw(year))
        self._sources = self._inbox.sources
        with explained_os_errors(lake.raw(year)):
            self._stamps: list[Stamp] = [stamp_of(source.path) for source in self._sources]
        self._privacy = Privacy.of(lake)
        self._repairs = Repairs.of(lake, year)
        self._ledger = Ledger(lake, year)
        self._progress = _ProgressReport(progress, sum(stamp[0] for stamp in self._stamps))
        self._settings = {
            "parser": PARSER_VERSION,
            "columns": EVENT_CHUNKS.column_names,
            "max_rows": max_rows,
            "max_record_bytes": limits.max_record_bytes,
            "salvage": limits.salvage,
            "privacy": self._privacy.fingerprint(),
        }

    def _unchanged_sources(self) -> set[int]:
        """Sources whose parsed form the ledger holds."""
        if self._ledger.settings != self._settings or not self._ledger.intact():
            return set()
        known = self._ledger.digests()
        same = set()
        for number, (source, stamp) in enumerate(zip(self._sources, self._stamps, strict=True)):
            if self._ledger.size_of(source.name) != stamp[0]:
                continue
            sha256 = self.cache.known(source, stamp)
            if not sha256:
                with explained_os_errors(source.path):
                    sha256 = sha256_of(source.path)
                self.cache.remember(source, stamp, sha256)
            if sha256 == known[source.name] and self._ledger.repairs_of(source.name) == self._repairs.of_file(
                source.name
            ):
                same.add(number)
        return same

    def unchanged(self) -> dict[str, Any] | None:
        """The published manifest, if a run could only repeat it."""
        self._same = self._unchanged_sources()
        if len(self._same) < len(self._sources) or self._ledger.digests().keys() != {s.name for s in self._sources}:
            return None
        if not self._ledger.published(self._lake.quarantine(self._year) / FILE_NAME):
            return None
        manifest = read_json(self._lake.manifest(self._year))
        if manifest["markers"] != self._inbox.markers:
            return None
        self.cache.save()
        return manifest

    def execute(self, staging: Path) -> dict[str, Any]:
        """Write chunks, quarantine and manifest into the staging folder."""
        workers = self._limits.workers
        # A damaged ledger costs its files a new reading, nothing else.
        self._same = {number for number in self._same if self._ledger.holds(self._sources[number].name)}
        if not self._ledger.holds_conflicts():
            self._same = set()
        with ThreadPoolExecutor(workers) as segments, ThreadPoolExecutor(workers) as files:
            parsed = self._parse(range(len(self._sources)), staging / "parsed", segments, files)

            def digests_of(source: int, spans: NDArray[Any]) -> Iterator[tuple[bytes, bytes]]:
                return self._digests_of(source, parsed[source], spans)

            resolution = resolve(parsed, digests_of, staging)
            missing = [n for n in sorted(self._same) if parsed[n].lacks(resolution.kept[n])]
            if missing:
                # What had been a duplicate is needed now, because the file with the other copy is gone.
                self._same -= set(missing)
                for number, one in zip(
                    missing, self._parse(missing, staging / "parsed again", segments, files), strict=True
                ):
                    parsed[number] = one
                resolution = resolve(parsed, digests_of, staging)
            groups = chunk_files.plan(chunk_files.pieces_of(parsed, resolution.kept), self._max_rows)
            compositions = [chunk_files.composition(group, parsed) for group in groups]
            reusable = self._ledger.chunks if self._same else {}
            chunks = chunk_files.write_chunks(staging / "chunks", groups, parsed, reusable, files)
        as_parsed = [deepcopy(one.report) for one in parsed]
        reasons = self._quarantine(staging, parsed, resolution)
        self.check_stamps()
        for source, stamp, one in zip(self._sources, self._stamps, parsed, strict=True):
            self.cache.remember(source, stamp, one.report.sha256)
        manifest = self._manifest(parsed, chunks, reasons)
        _write(staging / "chunks" / "manifest.json", json_bytes(manifest))
        with (staging / "chunks" / "unreadable_values.ndjson").open("wb") as stream:
            for one in parsed:
                with (one.folder / UNREADABLE_FILE).open("rb") as part:
                    shutil.copyfileobj(part, stream)
        sync_file(staging / "chunks" / "unreadable_values.ndjson")
        places = chunk_files.locate(groups, chunks)
        for one, kept in zip(parsed, resolution.kept, strict=True):
            one.mark_kept(kept)
        ledger = staging / "chunks" / self._lake.ledger(self._year).name
        self._keep_conflicts(staging, ledger)
        write_ledger(
            ledger,
            settings=self._settings,
            parsed=parsed,
            reports=as_parsed,
            repairs=[self._repairs.of_file(one.report.path) for one in parsed],
            places=places,
            chunks=chunks,
            compositions=compositions,
            quarantine=staging / "quarantine" / FILE_NAME,
        )
        return manifest

    def _parse(
        self, numbers: Sequence[int], folder: Path, segments: ThreadPoolExecutor, files: ThreadPoolExecutor
    ) -> list[Parsed]:
        """Parsed forms of some sources, taken over from the ledger where they are unchanged."""
        todo = [number for number in numbers if number not in self._same]
        at_once = max(1, min(self._limits.workers, len(todo)))
        free: list[Decoder | None] = [
            None
            if self._reference
            else Decoder(self._privacy, segments, -(-self._limits.workers // at_once), self._limits.max_record_bytes)
            for _ in range(at_once)
        ]

        def parse(number: int) -> Parsed:
            source, target = self._sources[number], folder / str(number)
            if number in self._same:
                return self._ledger.take(source.name, target)
            decoder = free.pop()
            try:
                with explained_os_errors(source.path):
                    return SourceParser(
                        source,
                        target,
                        limits=self._limits,
                        privacy=self._privacy,
                        repairs=self._repairs,
                        max_rows=self._max_rows,
                        decoder=decoder,
                        progress=lambda done, records: self._progress.report(source.name, done, records),
                    ).parse()
            finally:
                free.append(decoder)

        futures = [files.submit(parse, number) for number in numbers]
        try:
            return [future.result() for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            raise

    def _digests_of(self, source: int, parsed: Parsed, spans: NDArray[Any]) -> Iterator[tuple[bytes, bytes]]:
        """Read some records again: digests of their content and of their row."""
        normalize, line = Normalizer(self._privacy), CsvLine()
        for raw in self._texts_of(source, parsed, spans):
            event = normalize(decode(raw), raw)
            yield event.payload, digest_of_row(event.payload, line.of(event.row))

    def _texts_of(self, source: int, parsed: Parsed, spans: NDArray[Any]) -> Iterator[bytes]:
        """Exact bytes of some records, or their corrections."""
        repaired = self._repairs.of_file(parsed.report.path)
        for raw, span in zip(
            spans_again(self._sources[source], self._limits, parsed.members, spans), spans, strict=True
        ):
            if repaired:
                member = parsed.members[span["member"]]
                place = Refused("", "", parsed.report.path, member, int(span["start"]), int(span["end"]), raw)
                yield self._repairs.get(place) or raw
            else:
                yield raw

    def _quarantine(self, staging: Path, parsed: list[Parsed], resolution: Resolution) -> dict[str, int]:
        """Write the quarantine and settle each file's counts; returns records by reason."""
        folder = staging / "quarantine"
        folder.mkdir()
        reasons: Counter[str] = Counter()
        earlier: dict[tuple[str, str, int], Refused] = {}
        if self._same and self._ledger.conflicts().exists():
            unchanged = {self._sources[number].name for number in self._same}
            for refused in read_refused(self._ledger.conflicts()):
                if refused.file in unchanged:
                    earlier[refused.file, refused.member, refused.start] = refused
        with (staging / CONFLICTS_FILE).open("w", encoding="ascii", newline="\n") as conflicts:
            for number, one in enumerate(parsed):
                for refused in read_refused(one.folder / REFUSED_FILE):
                    reasons[refused.reason] += 1
                lost = resolution.lost[number]
                report = one.report
                report.duplicates += int((~resolution.kept[number]).sum()) - len(lost)
                report.quarantined += len(lost)
                report.loaded = int(resolution.kept[number].sum())
                index = one.some_rows(lost)
                report.record_bytes -= int((index["end"] - index["start"]).sum())
                report.refused_bytes += int((index["end"] - index["start"]).sum())
                reasons["identity_conflict"] += len(lost)
                for refused in self._lost_records(number, one, index, earlier):
                    conflicts.write(refused.to_line())
        target = folder / FILE_NAME
        with target.open("wb") as stream:
            for path in (*(one.folder / REFUSED_FILE for one in parsed), staging / CONFLICTS_FILE):
                with path.open("rb") as part:
                    shutil.copyfileobj(part, stream)
        sync_file(target)
        return dict(sorted((+reasons).items()))

    def _lost_records(
        self, number: int, one: Parsed, index: NDArray[Any], earlier: dict[tuple[str, str, int], Refused]
    ) -> Iterator[Refused]:
        places = [(one.report.path, one.members[entry["member"]], int(entry["start"])) for entry in index]
        if all(place in earlier for place in places):
            yield from (earlier[place] for place in places)
            return
        again = spans_again(self._sources[number], self._limits, one.members, index)
        for (file, member, start), entry, raw in zip(places, index, again, strict=True):
            detail = "its uuid came with several contents; the one uploaded first was kept"
            yield Refused("identity_conflict", detail, file, member, start, int(entry["end"]), raw)

    def _keep_conflicts(self, staging: Path, ledger: Path) -> None:
        ledger.mkdir()
        (staging / CONFLICTS_FILE).rename(ledger / CONFLICTS_FILE)
        sync_file(ledger / CONFLICTS_FILE)

    def check_stamps(self, cause: Exception | None = None) -> None:
        """Raise PipelineError for a file that is not as it was when the run began."""
        for source, stamp in zip(self._sources, self._stamps, strict=True):
            try:
                unchanged = stamp_of(source.path) == stamp
            except FileNotFoundError:
                unchanged = False
            if not unchanged:
                raise PipelineError(
                    source.path, "the file changed while it was read", "Wait until it is complete and run again."
                ) from cause

    def _manifest(
        self, parsed: list[Parsed], chunks: list[chunk_files.Chunk], reasons: dict[str, int]
    ) -> dict[str, Any]:
        total = Counts()
        for one in parsed:
            total.add(one.report)
        balanced = total.balanced and all(one.report.balanced and one.report.bytes_balanced for one in parsed)
        if not balanced or total.loaded != sum(chunk.rows for chunk in chunks):
            raise PipelineError(
                self._lake.raw(self._year), f"the counts do not add up: {total}", "This is a defect; report it."
            )
        return {
            "manifest_version": MANIFEST_VERSION,
            "year": self._year,
            "raw_digest": digest_of({one.report.path: one.report.sha256 for one in parsed}),
            "columns": EVENT_CHUNKS.column_names,
            "dialect": DIALECT,
            "privacy": self._privacy.describe(),
            "files": [asdict(one.report) for one in parsed],
            "markers": self._inbox.markers,
            "total": {**asdict(total), **_sums([one.report for one in parsed])},
            "chunks": [asdict(chunk) for chunk in chunks],
            "quarantine_reasons": reasons,
            "coerced_values": _added(one.coerced for one in parsed),
            "unreadable_times": _added(one.unreadable for one in parsed),
            "unknown_keys": _added(one.unknown_keys for one in parsed),
        }


class _ProgressReport:
    """Adds up what the threads have read."""

    def __init__(self, call: Callable[[Progress], None] | None, bytes_total: int) -> None:
        self._call, self._total = call, bytes_total
        self._lock = threading.Lock()
        self._done: dict[str, tuple[int, int]] = {}

    def report(self, file: str, bytes_read: int, records: int) -> None:
        if self._call is None:
            return
        with self._lock:
            self._done[file] = (bytes_read, records)
            done, seen = (sum(item[place] for item in self._done.values()) for place in (0, 1))
            self._call(Progress(file, seen, min(done, self._total), self._total))


def _sums(reports: list[SourceReport]) -> dict[str, int]:
    names = ("bytes", "decompressed_bytes", "record_bytes", "refused_bytes", "separator_bytes", "merge_bytes")
    return {name: sum(getattr(report, name) for report in reports) for name in (*names, "merges", "repaired")}


def _added(counters: Any) -> dict[str, int]:
    total: Counter[str] = Counter()
    for counter in counters:
        total.update(counter)
    return dict(sorted(total.items()))


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    sync_file(path)
