"""Export files: how records become bytes on disk.

Belongs here: the two container shapes, reproducible compression, and replacing files as a whole.
Does not belong here: what a record holds (``records``) and which records a file holds (``generator``).

Bytes are reproducible: no clock, no file name and no platform mark is stored. Compressed bytes are equal wherever the
same zlib compresses them; another zlib may pack the same content differently, so each file's ``content_sha256`` in the
truth is taken before compression and holds everywhere.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import numpy as np
from numpy.typing import NDArray

COMPRESSION_LEVEL: Final = 1
"""Fastest: records repeat themselves so much that level 1 already shrinks them to about a tenth."""

_ZIP_TIME: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest time a zip can hold stands for none."""

_PARTS_PER_HOUR: Final = 2
"""Members per hour: first deliveries, and records delivered again."""


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under its name only when complete.

    Parameters
    ----------
    path : pathlib.Path

    Yields
    ------
    BinaryIO
        A temporary file beside `path`; removed again if the body fails.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def gzip_stream(handle: BinaryIO) -> gzip.GzipFile:
    """A gzip stream without time stamp and file name."""
    return gzip.GzipFile(filename="", mode="wb", compresslevel=COMPRESSION_LEVEL, fileobj=handle, mtime=0)


class ExportFile(Protocol):
    """A yearly export file that takes records in the order they shall stand."""

    def write(self, records: list[str], members: list[int]) -> None:
        """Add records; `members` says for each in which hour's member it belongs (see :func:`member_code`)."""

    def close(self) -> str:
        """Finish the file; returns the SHA-256 of its content before compression."""


def member_code(hour: NDArray[np.int64], again: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Order and name of zip members as one number: int64 (n,).

    Parameters
    ----------
    hour : int64 (n,)
        Hours since 1970-01-01 UTC of the server upload.
    again : bool (n,)
        Whether the record is delivered a second time.
    """
    return np.asarray(hour * _PARTS_PER_HOUR + again)


def member_name(app: int, code: int) -> str:
    """Name of a zip member as the Export API spells it: the hour without padding, part numbers with gaps."""
    hour, part = divmod(code, _PARTS_PER_HOUR)
    day = np.datetime64(hour // 24, "D")
    number = 1 + (hour * 37) % 400 + 500 * part
    return f"{app}/{app}_{day}_{hour % 24}#{number}.json.gz"


class ArrayFile:
    """One JSON array with a record per line."""

    def __init__(self, handle: BinaryIO, compress: bool) -> None:
        self._gzip = gzip_stream(handle) if compress else None
        self._out: BinaryIO | gzip.GzipFile = self._gzip or handle
        self._digest = hashlib.sha256()
        self._separator = b"[\n"

    def write(self, records: list[str], members: list[int]) -> None:
        """Add records; their members do not matter here."""
        if records:
            self._put(self._separator + ",\n".join(records).encode())
            self._separator = b",\n"

    def close(self) -> str:
        """Close the array and return the digest of its text."""
        self._put(b"\n]\n" if self._separator != b"[\n" else b"[\n]\n")
        if self._gzip is not None:
            self._gzip.close()
        return self._digest.hexdigest()

    def _put(self, data: bytes) -> None:
        self._digest.update(data)
        self._out.write(data)


class ZipFile:
    """The Export API's answer: a zip of gzipped NDJSON members, one or two per hour of server upload."""

    def __init__(self, handle: BinaryIO, app: int) -> None:
        self._zip = zipfile.ZipFile(handle, "w", zipfile.ZIP_STORED)
        self._app = app
        self._digest = hashlib.sha256()
        self._code: int | None = None
        self._records: list[str] = []

    def write(self, records: list[str], members: list[int]) -> None:
        """Add records; those of one member must follow each other."""
        for code, group in itertools.groupby(zip(members, records, strict=True), key=lambda pair: pair[0]):
            if code != self._code:
                self._finish_member()
                self._code = code
            self._records.extend(record for _, record in group)

    def close(self) -> str:
        """Write the directory and return the digest of the members' text in order."""
        self._finish_member()
        self._zip.close()
        return self._digest.hexdigest()

    def _finish_member(self) -> None:
        if self._code is None:
            return
        data = ("\n".join(self._records) + "\n").encode()
        self._digest.update(data)
        packed = io.BytesIO()
        with gzip_stream(packed) as stream:
            stream.write(data)
        info = zipfile.ZipInfo(member_name(self._app, self._code), date_time=_ZIP_TIME)
        info.create_system = 3
        info.external_attr = 0o644 << 16
        self._zip.writestr(info, packed.getvalue())
        self._records = []
