"""Raw export files of one year and their decompressed bytes.

Put here: which files count, how they are opened (plain, gzip, zip of gzip; told apart by content), the caps on
archives, digests. Keep out: where records begin and end (``scanner.py``).
"""

from __future__ import annotations

import contextlib
import hashlib
import lzma
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Protocol

from analytics_assets.core.errors import PipelineError, explained_os_errors
from analytics_assets.core.ingest.limits import EXPANSION_FREE_BYTES, Limits

_GZIP_MAGIC = b"\x1f\x8b"
_ZIP_MAGIC = b"PK\x03\x04"
_LOCAL_HEADER_SIZE = 30
_END_OF_DIRECTORY, _END_OF_DIRECTORY_SIZE = b"PK\x05\x06", 22

READ_AHEAD_BYTES = 4 << 20
"""Bytes that are read and decompressed while the ones before are decoded; two such blocks exist per file."""

DIRECTORY_ENTRY_BYTES = 1_024
"""Longest entry of an archive's directory that is counted on; the vendor's have about 120 bytes."""

COMPRESSED_BYTES = 1 << 20
"""Compressed bytes per read."""


class DamagedArchive(Exception):
    """An archive that cannot be read to its end, with the reason for people."""


_DAMAGED = (DamagedArchive, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


class ByteStream(Protocol):
    """Anything that gives bytes on demand."""

    def read(self, size: int = -1, /) -> bytes:
        """Return about `size` bytes, empty at the end."""
        ...


@dataclass(frozen=True)
class Source:
    """One delivered file.

    Parameters
    ----------
    path : Path
        Where it lies.
    name : str
        Path below the year's folder, with forward slashes.
    """

    path: Path
    name: str


@dataclass(frozen=True)
class Inbox:
    """What one year's folder holds.

    Parameters
    ----------
    sources : list of Source
        Files to read, by name.
    markers : list of str
        Empty ``complete`` files, which only say that a delivery is whole.
    """

    sources: list[Source]
    markers: list[str]


def list_inbox(folder: Path) -> Inbox:
    """All files of one year, sorted by name; hidden files and folders are left out.

    Raises
    ------
    PipelineError
        The folder is missing, unreadable or holds no file; a link leaves it.
    """
    remedy = f"Put the year's Amplitude export (JSON array, NDJSON, gzip or zip) into {folder} and run the step again."
    if not folder.is_dir():
        raise PipelineError(folder, "no raw files: the folder does not exist", remedy)
    with explained_os_errors(folder):
        inside = folder.resolve()
        paths = []
        for parent, folders, names in os.walk(folder, onerror=_raise):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in folders:
                if (Path(parent) / name).is_symlink():
                    raise PipelineError(
                        Path(parent) / name, "the folder is a link", "Put the folder itself there, or remove the link."
                    )
            paths += [Path(parent) / name for name in names if not name.startswith(".")]
        sources, markers = [], []
        for path in paths:
            _check_usable(path, inside)
            source = Source(path, path.relative_to(folder).as_posix())
            if path.name == "complete" and path.stat().st_size == 0:
                markers.append(source.name)
            else:
                sources.append(source)
    if not sources:
        raise PipelineError(folder, "no raw files: the folder is empty", remedy)
    return Inbox(sorted(sources, key=lambda source: source.name), sorted(markers))


def _check_usable(path: Path, inside: Path) -> None:
    place = str(path).encode("utf-8", "backslashreplace").decode("utf-8")
    if place != str(path):
        raise PipelineError(place, "the file name is not UTF-8", "Rename the file.")
    if not path.is_file():
        raise PipelineError(place, "no regular file, or a link to nothing", "Put the file itself there, or remove it.")
    if path.is_symlink() and not path.resolve().is_relative_to(inside):
        raise PipelineError(place, "a link that leaves the folder", "Put the file itself there, or remove the link.")


def _raise(error: OSError) -> None:
    raise error


def digest_of(digests: dict[str, str]) -> str:
    """Digest of a year's delivery from the SHA-256 of each file by name; independent of listing order."""
    total = hashlib.sha256()
    for name in sorted(digests):
        total.update(f"{digests[name]}  {name}\n".encode())
    return total.hexdigest()


def compression_of(path: Path) -> str:
    """``gzip``, ``zip`` or ``none``, by the first bytes."""
    with explained_os_errors(path), path.open("rb") as stream:
        magic = stream.read(4)
    if magic[:2] == _GZIP_MAGIC:
        return "gzip"
    return "zip" if magic == _ZIP_MAGIC else "none"


class _Tap:
    """Passes bytes on, counting them, and hashing them when they come in order of the file."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.consumed = 0
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        block = self._stream.read(size)
        self.consumed += len(block)
        self.sha256.update(block)
        return block


class _Gunzip:
    """Decompressed bytes of any number of gzip members; zlib checks each one's CRC and length.

    Zeros after the last member are padding; other bytes there are counted in `garbage`.
    """

    def __init__(self, stream: ByteStream, head: bytes) -> None:
        self._stream, self._input = stream, head
        self._inflate = zlib.decompressobj(wbits=31)
        self._inside = True
        self._ended = False
        self._error: Exception | None = None
        self._salvaged = b""
        self.garbage = 0

    def read(self, size: int = -1, /) -> bytes:
        if self._error is not None:
            raise self._error
        pieces: list[bytes] = []
        length = 0
        try:
            while length < size and not self._ended:
                piece = self._step(size - length)
                pieces.append(piece)
                length += len(piece)
        except _DAMAGED as error:
            # What came before the damage is given first.
            pieces.append(self._salvaged)
            if not any(pieces):
                raise
            self._error = error
        return b"".join(pieces)

    def _step(self, size: int) -> bytes:
        """At most `size` bytes more; none when a member or the stream has ended."""
        if not self._input:
            self._input = self._stream.read(COMPRESSED_BYTES)
            if not self._input:
                if self._inside:
                    raise DamagedArchive("the gzip data end in the middle")
                self._ended = True
                return b""
        if not self._inside and not self._next_member():
            return b""
        before = self._inflate.copy()
        try:
            piece = self._inflate.decompress(self._input, size)
        except zlib.error:
            self._salvaged = _up_to_damage(before, self._input)
            raise
        self._input = self._inflate.unconsumed_tail
        if self._inflate.eof:
            self._input = self._inflate.unused_data
            self._inside = False
        return piece

    def _next_member(self) -> bool:
        """Start the next member; what is neither that nor padding is the garbage at the end."""
        rest = self._input.lstrip(b"\0") if not self.garbage else self._input
        while rest and len(rest) < len(_GZIP_MAGIC) and (more := self._stream.read(1)):
            rest += more
        if not self.garbage and rest.startswith(_GZIP_MAGIC):
            self._input, self._inside, self._inflate = rest, True, zlib.decompressobj(wbits=31)
            return True
        self.garbage += len(rest)
        self._input = b""
        return False


def _up_to_damage(inflate: zlib._Decompress, content: bytes) -> bytes:
    """What decompresses before the first wrong byte, byte by byte."""
    pieces = []
    try:
        for at in range(len(content)):
            pieces.append(inflate.decompress(content[at : at + 1]))
    except zlib.error:
        pass
    return b"".join(pieces)


class _Capped:
    """Guards a decompressed stream: damage, and for its whole file total size and expansion.

    Parameters
    ----------
    stream : ByteStream
        What it guards.
    place : str
        How errors call it.
    compressed : callable
        Bytes that all streams of the file have been made from so far.
    before : int
        Decompressed bytes of the file's earlier streams.
    limits : Limits
        Caps.
    """

    def __init__(
        self, stream: ByteStream, place: str, compressed: Callable[[], int], before: int, limits: Limits
    ) -> None:
        self._stream, self._place, self._compressed, self._limits = stream, place, compressed, limits
        self._before = before
        self.length = 0
        self.damage = ""

    def read(self, size: int = -1, /) -> bytes:
        if self.damage:
            return b""
        try:
            block = self._stream.read(size)
        except _DAMAGED as error:
            self.damage = str(error) or type(error).__name__
            if not self._limits.salvage:
                raise DamagedArchive(self.damage) from error
            return b""
        self.length += len(block)
        total = self._before + self.length
        if total > self._limits.max_total_bytes:
            raise PipelineError(
                self._place,
                f"more than {self._limits.max_total_bytes:,} bytes after decompression",
                "If the file is honest, raise ANALYTICS_MAX_FILE_BYTES; else remove it.",
            )
        if total > max(EXPANSION_FREE_BYTES, self._limits.max_expansion * max(1, self._compressed())):
            raise PipelineError(
                self._place,
                f"decompression gives more than {self._limits.max_expansion} times the bytes (a decompression bomb?)",
                "If the file is honest, raise ANALYTICS_MAX_EXPANSION; else remove it.",
            )
        return block


class _ReadAhead:
    """Reads one block ahead in another thread."""

    def __init__(self, stream: ByteStream, executor: ThreadPoolExecutor) -> None:
        self._stream, self._executor = stream, executor
        self._next: Future[bytes] = executor.submit(stream.read, READ_AHEAD_BYTES)

    def peek(self) -> bytes:
        """The next block, which stays the next."""
        return self._next.result()

    def read(self, size: int = -1, /) -> bytes:
        block = self._next.result()
        if block:
            self._next = self._executor.submit(self._stream.read, READ_AHEAD_BYTES)
        return block


@dataclass
class Member:
    """One decompressed stream of a source.

    Parameters
    ----------
    name : str
        Member of a zip archive, else empty.
    stream : ByteStream
        Decompressed bytes.
    consumed : callable
        Bytes of the delivered file read so far.
    """

    name: str
    stream: _ReadAhead
    consumed: Callable[[], int]
    _capped: _Capped
    _gunzip: _Gunzip | None

    @property
    def length(self) -> int:
        """Decompressed bytes handed out so far, counted where they leave the decompressor."""
        return self._capped.length

    @property
    def damage(self) -> str:
        """Why the stream ended early, when damaged files are salvaged."""
        return self._capped.damage

    @property
    def lost(self) -> bool:
        """Whether nothing could be read, and that is tolerated; raises where it is not."""
        return not self.stream.peek() and bool(self.damage)

    @property
    def garbage(self) -> int:
        """Compressed bytes after the end of the gzip data."""
        return self._gunzip.garbage if self._gunzip else 0


@dataclass
class OpenSource:
    """A delivered file being read: use as a context manager, then iterate over `members`.

    Attributes
    ----------
    compression : str
        ``gzip``, ``zip`` or ``none``.
    irregularities : dict of str to int
        Oddities of the archive itself.
    """

    source: Source
    limits: Limits
    compression: str = ""
    irregularities: dict[str, int] = field(default_factory=dict)
    _tap: _Tap | None = None
    _opened: list[_Capped] = field(default_factory=list)

    def members(self) -> Iterator[Member]:
        """Yield each decompressed stream, to be read before the next is asked for; none of an archive's names is used
        as a path.

        Raises
        ------
        DamagedArchive
            The archive cannot be read.
        PipelineError
            A cap of `Limits` is exceeded.
        """
        path = self.source.path
        self.compression = compression_of(path)
        with explained_os_errors(path), path.open("rb") as stream, ThreadPoolExecutor(1) as ahead:
            if self.compression == "zip":
                yield from self._archive(stream, ahead)
                return
            self._tap = _Tap(stream)
            yield self._member("", self._tap, str(path), lambda: self._tap.consumed if self._tap else 0, ahead)
            while self._tap.read(COMPRESSED_BYTES):  # what follows damage or garbage belongs to the digest
                pass

    def sha256(self) -> str:
        """SHA-256 of the file, after its members were read; a second reading only for zip archives."""
        if self._tap is not None:
            return self._tap.sha256.hexdigest()
        digest = hashlib.sha256()
        with self.source.path.open("rb") as stream:
            while block := stream.read(COMPRESSED_BYTES):
                digest.update(block)
        return digest.hexdigest()

    def _member(
        self, name: str, packed: ByteStream, place: str, compressed: Callable[[], int], ahead: ThreadPoolExecutor
    ) -> Member:
        try:
            head = packed.read(2)
        except _DAMAGED as error:
            head, packed = b"", _Unreadable(error)
        gunzip = _Gunzip(packed, head) if head == _GZIP_MAGIC else None
        before = sum(capped.length for capped in self._opened)
        capped = _Capped(gunzip or _Prefixed(head, packed), place, compressed, before, self.limits)
        self._opened.append(capped)
        return Member(name, _ReadAhead(capped, ahead), compressed, capped, gunzip)

    def _archive(self, stream: IO[bytes], ahead: ThreadPoolExecutor) -> Iterator[Member]:
        path = self.source.path
        _check_directory(stream, path, self.limits)
        try:
            archive = zipfile.ZipFile(stream)
        except _DAMAGED as error:
            raise DamagedArchive(str(error)) from error
        with archive:
            if len(archive.infolist()) > self.limits.max_members:
                raise _too_many_members(path, self.limits)
            entries = sorted(enumerate(archive.infolist()), key=lambda item: (item[1].filename, item[0]))
            self._check_overlap([entry for _, entry in entries])
            names: dict[str, int] = {}
            compressed = 0
            for _, entry in entries:
                if entry.is_dir() or entry.file_size == 0:
                    continue
                if stat.S_ISLNK(entry.external_attr >> 16):
                    raise PipelineError(
                        f"{path}!{entry.filename}", "the member is a link", "Take it out of the archive."
                    )
                if _leaves_folder(entry.filename):
                    self._note("member_name_leaves_folder")
                names[entry.filename] = names.get(entry.filename, 0) + 1
                label = entry.filename
                if names[label] > 1:
                    self._note("member_name_twice")
                    label = f"{label} ({names[entry.filename]})"
                compressed += entry.compress_size
                with _opened(archive, entry) as packed:
                    yield self._member(label, _Tap(packed), f"{path}!{label}", partial(int, compressed), ahead)

    def _note(self, name: str) -> None:
        self.irregularities[name] = self.irregularities.get(name, 0) + 1

    def _check_overlap(self, entries: list[zipfile.ZipInfo]) -> None:
        end = 0
        for entry in sorted(entries, key=lambda entry: entry.header_offset):
            if entry.header_offset < end:
                raise DamagedArchive(f"member {entry.filename!r} overlaps another (a decompression bomb?)")
            end = entry.header_offset + _LOCAL_HEADER_SIZE + entry.compress_size


class _Unreadable:
    """A stream that is damaged from its first byte on."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def read(self, size: int = -1, /) -> bytes:
        raise self._error


class _Prefixed:
    """Gives bytes already read, then the rest."""

    def __init__(self, head: bytes, stream: ByteStream) -> None:
        self._head, self._stream = head, stream

    def read(self, size: int = -1, /) -> bytes:
        head, self._head = self._head, b""
        return head + self._stream.read(max(1, size - len(head))) if head else self._stream.read(size)


def _check_directory(stream: IO[bytes], path: Path, limits: Limits) -> None:
    """Refuse an archive with too many members before its directory is read into memory."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _END_OF_DIRECTORY_SIZE - 0xFFFF))
    tail = stream.read()
    stream.seek(0)
    at = tail.rfind(_END_OF_DIRECTORY)
    if at < 0:
        raise DamagedArchive("the end of the zip archive is missing")
    members = int.from_bytes(tail[at + 10 : at + 12], "little")
    directory = int.from_bytes(tail[at + 12 : at + 16], "little")
    # Both fields may lie or be too narrow: the members are counted again once the directory is read.
    if members != 0xFFFF and members > limits.max_members:
        raise _too_many_members(path, limits)
    if directory != 0xFFFFFFFF and directory > limits.max_members * DIRECTORY_ENTRY_BYTES:
        raise _too_many_members(path, limits)


def _too_many_members(path: Path, limits: Limits) -> PipelineError:
    return PipelineError(
        path,
        f"the archive has more than {limits.max_members:,} members",
        "If it is honest, raise ANALYTICS_MAX_ARCHIVE_MEMBERS; else remove it.",
    )


def _leaves_folder(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return ".." in parts or name.startswith(("/", "\\")) or (len(name) > 1 and name[1] == ":")


@contextlib.contextmanager
def _opened(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[IO[bytes]]:
    try:
        packed = archive.open(entry)
    except (RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:  # encrypted, or an unknown compression
        raise DamagedArchive(f"{entry.filename!r}: {error}") from error
    with packed:
        yield packed
