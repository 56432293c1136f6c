"""Raw export files of one year and their decompressed bytes.

Put here: which files count, how they are opened (plain, gzip, zip of gzip; told apart by content), their digest. Keep
out: where records begin and end (``scanner.py``).
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import lzma
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from analytics_assets.core.errors import PipelineError, explained_os_errors
from analytics_assets.core.files import sha256_of

_GZIP_MAGIC = b"\x1f\x8b"
_ZIP_MAGIC = b"PK\x03\x04"

DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
"""What the standard library raises on damaged archives."""


class ByteStream(Protocol):
    """Anything that gives bytes on demand."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, empty at the end."""
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
    stream: ByteStream
    consumed: Callable[[], int]


def list_sources(folder: Path) -> list[Source]:
    """All files of one year, sorted by name; hidden files and folders and empty ``complete`` markers are left out.

    Raises
    ------
    PipelineError
        The folder is missing, unreadable or holds no file.
    """
    remedy = f"Put the year's Amplitude export (JSON array, NDJSON, gzip or zip) into {folder} and run the step again."
    if not folder.is_dir():
        raise PipelineError(folder, "no raw files: the folder does not exist", remedy)
    with explained_os_errors(folder):
        sources = []
        for parent, folders, names in os.walk(folder, onerror=_raise):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            sources += [Path(parent) / name for name in names if not name.startswith(".")]
        found = [
            Source(path, path.relative_to(folder).as_posix())
            for path in sources
            if not (path.name == "complete" and path.stat().st_size == 0)
        ]
        for source in found:
            _check_usable(source)
    if not found:
        raise PipelineError(folder, "no raw files: the folder is empty", remedy)
    return sorted(found, key=lambda source: source.name)


def _check_usable(source: Source) -> None:
    place = str(source.path).encode("utf-8", "backslashreplace").decode("utf-8")
    if place != str(source.path):
        raise PipelineError(place, "the file name is not UTF-8", "Rename the file.")
    if not source.path.is_file():
        raise PipelineError(place, "no regular file, or a link to nothing", "Put the file itself there, or remove it.")


def _raise(error: OSError) -> None:
    raise error


def digest_of(digests: dict[str, str]) -> str:
    """Digest of a year's delivery from the SHA-256 of each file by name; independent of listing order."""
    total = hashlib.sha256()
    for name in sorted(digests):
        total.update(f"{digests[name]}  {name}\n".encode())
    return total.hexdigest()


def raw_digest(folder: Path) -> str:
    """Digest of the files of one year as they lie now (see `digest_of`)."""
    with explained_os_errors(folder):
        return digest_of({source.name: sha256_of(source.path) for source in list_sources(folder)})


def compression_of(path: Path) -> str:
    """``gzip``, ``zip`` or ``none``, by the first bytes."""
    with explained_os_errors(path), path.open("rb") as stream:
        magic = stream.read(4)
    if magic[:2] == _GZIP_MAGIC:
        return "gzip"
    return "zip" if magic == _ZIP_MAGIC else "none"


@contextlib.contextmanager
def _unzipped(stream: IO[bytes]) -> Iterator[ByteStream]:
    head = stream.read(2)
    stream.seek(0)
    if head == _GZIP_MAGIC:
        with gzip.GzipFile(fileobj=stream, mode="rb") as inner:
            yield inner
    else:
        yield stream


def open_members(source: Source) -> Iterator[Member]:
    """Yield each decompressed stream of a source, to be read before the next is asked for.

    A zip archive's members come in order of their names and are streamed; no name of an archive is used as a path.
    """
    kind = compression_of(source.path)
    if kind != "zip":
        with explained_os_errors(source.path), source.path.open("rb") as stream, _unzipped(stream) as inner:
            yield Member("", inner, stream.tell)
        return
    with source.path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
        names: set[str] = set()
        for entry in sorted(archive.infolist(), key=lambda item: item.filename):
            if entry.is_dir() or entry.file_size == 0:
                continue
            if entry.filename in names:
                raise zipfile.BadZipFile(f"two members are called {entry.filename!r}")
            names.add(entry.filename)
            with _opened(archive, entry) as packed, _unzipped(packed) as inner:
                yield Member(entry.filename, inner, stream.tell)


def _opened(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> IO[bytes]:
    try:
        return archive.open(entry)
    except RuntimeError as error:  # encrypted, or a compression that the standard library does not know
        raise zipfile.BadZipFile(f"{entry.filename!r}: {error}") from error
