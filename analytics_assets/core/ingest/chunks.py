"""Parts of files to published CSV chunks.

Put here: the CSV dialect, which rows go into which chunk, writing them with as little copying as possible. Keep out:
which rows are kept (``identity.py``), the manifest (``run.py``).

Chunks begin with a file: a file's parts of at most 100,000 rows become chunks of their own, and small ones that follow
each other share one. So what a chunk holds depends on its own files alone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.files import READ_BLOCK, sha256_of, sync_file
from analytics_assets.core.ingest.parse import HEADER, Parsed, Part
from analytics_assets.schemas import NULL_MARK

DIALECT = {"delimiter": ",", "quote": '"', "quote_escape": '"', "quoting": "all", "null": NULL_MARK, "line_end": "\n"}
"""How the chunks are written; Spark, pandas and DuckDB read it back without loss."""


@dataclass
class SourceSpan:
    """Part of one source that a chunk was made from; byte positions are those of the decompressed stream."""

    file: str
    member: str
    start: int
    end: int
    rows: int


@dataclass
class Chunk:
    """One finished chunk file."""

    path: str
    rows: int = 0
    bytes: int = 0
    sha256: str = ""
    sources: list[SourceSpan] = field(default_factory=list)


@dataclass
class Piece:
    """The kept rows of one part.

    Parameters
    ----------
    part : Part
        Where the rows lie.
    source, number : int
        Whose part it is, and which.
    first : int
        Row of the source's index with which the part begins.
    present : array of bool, shape (part.rows,)
        Which of the part's rows its file holds.
    kept : array of bool, shape (part.rows,)
        Which of them are wanted; never more than are present.
    parsed : Parsed
        The source.
    """

    part: Part
    source: int
    number: int
    first: int
    present: NDArray[np.bool_]
    kept: NDArray[np.bool_]
    parsed: Parsed

    @property
    def rows(self) -> int:
        """Rows that are wanted."""
        return int(self.kept.sum())

    @property
    def bytes(self) -> int:
        """Their bytes."""
        return int(self.sizes()[self.kept].sum())

    def sizes(self) -> NDArray[np.int64]:
        """Bytes of each row, whether wanted or not."""
        return self.parsed.rows(self.first, self.part.rows)["size"].astype(np.int64)

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Byte ranges of the wanted rows in the part's file, neighbours joined."""
        sizes, kept = self.sizes()[self.present], self.kept[self.present]
        ends = np.cumsum(sizes) + self.part.offset
        changes = np.flatnonzero(np.diff(kept.astype(np.int8), prepend=0, append=0))
        for start, stop in zip(changes[::2].tolist(), changes[1::2].tolist(), strict=True):
            yield int(ends[start] - sizes[start]), int(ends[stop - 1])


def pieces_of(parsed: list[Parsed], kept: list[NDArray[np.bool_]]) -> list[Piece]:
    """All parts with their wanted rows, in order; parts without any are left out."""
    pieces = []
    for source, one in enumerate(parsed):
        first = 0
        for number, part in enumerate(one.parts):
            rows = slice(first, first + part.rows)
            own = part.own_file
            present = np.ones(part.rows, np.bool_) if own else one.rows(first, part.rows)["kept"].astype(np.bool_)
            piece = Piece(part, source, number, first, present, kept[source][rows], one)
            if piece.rows:
                pieces.append(piece)
            first += part.rows
    return pieces


def plan(pieces: list[Piece], max_rows: int) -> list[list[Piece]]:
    """Which pieces share a chunk; at least one chunk, if only with a header."""
    groups: list[list[Piece]] = [[]]
    rows = 0
    for piece in pieces:
        if groups[-1] and rows + piece.rows > max_rows:
            groups.append([])
            rows = 0
        groups[-1].append(piece)
        rows += piece.rows
    return groups


def composition(group: list[Piece], parsed: list[Parsed]) -> str:
    """Digest of what determines a chunk's bytes, given the same settings."""
    total = hashlib.sha256()
    for piece in group:
        report = parsed[piece.source].report
        total.update(f"{report.path}\0{report.sha256}\0{piece.number}\0".encode())
        total.update(np.packbits(piece.kept).tobytes())
    return total.hexdigest()


def write_chunks(
    folder: Path,
    groups: list[list[Piece]],
    parsed: list[Parsed],
    reusable: dict[str, tuple[Path, str]],
    executor: Executor,
) -> list[Chunk]:
    """Write every chunk into a new folder.

    Parameters
    ----------
    folder : Path
        New folder.
    groups : list of list of Piece
        See `plan`.
    parsed : list of Parsed
        The sources.
    reusable : dict of str to (Path, str)
        Published chunks and their digests by `composition`; they are linked instead of written.
    executor : Executor
        Writes several chunks at a time.
    """
    folder.mkdir()

    def write(number: int) -> Chunk:
        group = groups[number]
        path = folder / f"part-{number:05d}.csv"
        old, sha256 = reusable.get(composition(group, parsed), (None, ""))
        if old is not None:
            _link(old, path)
        else:
            sha256 = _write(path, group)
            sync_file(path)
        spans = [span for piece in group for span in _spans(piece, parsed[piece.source])]
        return Chunk(path.name, sum(piece.rows for piece in group), path.stat().st_size, sha256, _joined(spans))

    return list(executor.map(write, range(len(groups))))


def _write(path: Path, group: list[Piece]) -> str:
    rest = group
    sha256 = ""
    if group and group[0].part.own_file:
        first, *rest = group
        if not first.kept.all():
            _compact(first)
        elif not rest:
            sha256 = first.part.sha256
        os.replace(first.part.path, path)
    else:
        path.write_bytes(HEADER)
    with path.open("ab", buffering=0) as target:
        for piece in rest:
            with piece.part.path.open("rb", buffering=0) as stream:
                for start, end in piece.ranges():
                    for block in _blocks(stream, start, end):
                        target.write(block)
    return sha256 or sha256_of(path)


def _compact(piece: Piece) -> None:
    """Close the gaps of rows that are not wanted inside the part's own file: no new blocks need to be allocated."""
    with piece.part.path.open("r+b", buffering=0) as stream:
        to = piece.part.offset
        for start, end in piece.ranges():
            if start == to:
                to = end
                continue
            for block in _blocks(stream, start, end):
                stream.seek(to)
                stream.write(block)
                to += len(block)
        stream.truncate(to)


def _blocks(stream: IO[bytes], start: int, end: int) -> Iterator[bytes]:
    while start < end:
        stream.seek(start)
        block = stream.read(min(READ_BLOCK, end - start))
        yield block
        start += len(block)


def _link(old: Path, path: Path) -> None:
    try:
        os.link(old, path)
    except OSError:  # a file system without hard links
        path.write_bytes(old.read_bytes())
        sync_file(path)


def _spans(piece: Piece, parsed: Parsed) -> Iterator[SourceSpan]:
    index = parsed.rows(piece.first, piece.part.rows)[piece.kept]
    for member in np.unique(index["member"]).tolist():
        rows = index[index["member"] == member]
        yield SourceSpan(
            parsed.report.path, parsed.members[member], int(rows["start"][0]), int(rows["end"][-1]), len(rows)
        )


def _joined(spans: list[SourceSpan]) -> list[SourceSpan]:
    """One span per file and member: parts of one file that share a chunk follow each other."""
    joined: list[SourceSpan] = []
    for span in spans:
        if joined and (joined[-1].file, joined[-1].member) == (span.file, span.member):
            joined[-1].end = span.end
            joined[-1].rows += span.rows
        else:
            joined.append(span)
    return joined


def locate(groups: list[list[Piece]], chunks: list[Chunk]) -> dict[tuple[int, int], tuple[str, int]]:
    """Chunk and byte offset at which each (source, part) now lies."""
    places: dict[tuple[int, int], Any] = {}
    for group, chunk in zip(groups, chunks, strict=True):
        offset = len(HEADER)
        for piece in group:
            places[piece.source, piece.number] = (chunk.path, offset)
            offset += piece.bytes
    return places
