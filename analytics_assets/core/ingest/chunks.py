"""Accepted records to CSV chunks of bounded size.

Put here: the CSV dialect, the chunk writer, and the removal of rows from written chunks. Keep out: the order of the
whole run and the manifest (``run.py``).
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from analytics_assets.core.files import atomic_path, sha256_of
from analytics_assets.schemas import EVENT_CHUNKS, MAX_CHUNK_ROWS, NULL_MARK

DIALECT = {"delimiter": ",", "quote": '"', "quote_escape": '"', "quoting": "all", "null": NULL_MARK, "line_end": "\n"}
"""How the chunks are written; Spark, pandas and DuckDB read it back without loss."""

FLUSH_CHARACTERS = 2_000_000
"""Text kept before it is written."""


@dataclass
class SourceSpan:
    """Part of one source that a chunk was made from; byte positions are those of the decompressed stream."""

    file: str
    member: str
    start: int
    end: int
    rows: int = 0


@dataclass
class Chunk:
    """One finished chunk file."""

    path: str
    rows: int = 0
    bytes: int = 0
    sha256: str = ""
    sources: list[SourceSpan] = field(default_factory=list)


def part_name(number: int) -> str:
    """File name of a chunk."""
    return f"part-{number:05d}.csv"


class _TextSink:
    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.characters = 0

    def write(self, text: str) -> int:
        self.pieces.append(text)
        self.characters += len(text)
        return len(text)

    def take(self) -> bytes:
        content = "".join(self.pieces).encode("utf-8")
        self.pieces.clear()
        self.characters = 0
        return content


class ChunkWriter:
    """Write rows to ``part-NNNNN.csv`` files of at most `max_rows` rows in a new folder."""

    def __init__(self, folder: Path, max_rows: int = MAX_CHUNK_ROWS) -> None:
        folder.mkdir(parents=True)
        self._folder, self._max_rows = folder, max_rows
        self._sink = _TextSink()
        self._csv = csv.writer(self._sink, quoting=csv.QUOTE_ALL, lineterminator="\n")
        self.chunks: list[Chunk] = []
        self._open_next()

    def _open_next(self) -> None:
        chunk = Chunk(part_name(len(self.chunks)))
        self.chunks.append(chunk)
        self._stream = (self._folder / chunk.path).open("wb")
        self._digest = hashlib.sha256()
        self._csv.writerow(EVENT_CHUNKS.column_names)

    def _flush(self) -> None:
        content = self._sink.take()
        self._stream.write(content)
        self._digest.update(content)
        self.chunks[-1].bytes += len(content)

    def _finish(self) -> None:
        self._flush()
        self._stream.close()
        self.chunks[-1].sha256 = self._digest.hexdigest()

    @property
    def next_place(self) -> tuple[int, int]:
        """Chunk and row that the next record will get, both from 0."""
        last = self.chunks[-1]
        return (len(self.chunks), 0) if last.rows == self._max_rows else (len(self.chunks) - 1, last.rows)

    def add(self, row: list[str], file: str, member: str, start: int, end: int) -> None:
        """Append one row that came from bytes `start` to `end` of a source."""
        if self.chunks[-1].rows == self._max_rows:
            self._finish()
            self._open_next()
        chunk = self.chunks[-1]
        self._csv.writerow(row)
        chunk.rows += 1
        if not chunk.sources or (chunk.sources[-1].file, chunk.sources[-1].member) != (file, member):
            chunk.sources.append(SourceSpan(file, member, start, end))
        chunk.sources[-1].end = end
        chunk.sources[-1].rows += 1
        if self._sink.characters >= FLUSH_CHARACTERS:
            self._flush()

    def close(self) -> list[Chunk]:
        """Finish the last file and return all chunks; there is always one, if only with a header."""
        self._finish()
        return self.chunks

    def discard(self) -> None:
        """Close the open file after a failure."""
        self._stream.close()


def remove_rows(folder: Path, chunk: Chunk, rows: dict[int, tuple[str, str]]) -> None:
    """Rewrite one chunk without some rows.

    Parameters
    ----------
    folder : Path
        Folder of the chunk.
    chunk : Chunk
        Its record, brought up to date.
    rows : dict of int to (str, str)
        Row numbers from 0 with the file and member they came from.
    """
    path = folder / chunk.path
    with (
        atomic_path(path) as temporary,
        path.open(encoding="utf-8", newline="") as old,
        temporary.open("w", encoding="utf-8", newline="") as new,
    ):
        writer = csv.writer(new, quoting=csv.QUOTE_ALL, lineterminator="\n")
        reader = csv.reader(old)
        writer.writerow(next(reader))
        writer.writerows(row for number, row in enumerate(reader) if number not in rows)
    for origin in rows.values():
        for span in chunk.sources:
            if (span.file, span.member) == origin:
                span.rows -= 1
    chunk.rows -= len(rows)
    chunk.bytes = path.stat().st_size
    chunk.sha256 = sha256_of(path)
