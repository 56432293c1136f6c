"""Which records are the same event: exact duplicates and conflicts, with the state on disk.

Put here: the store of seen identities and the rule that picks the winner of a conflict. Keep out: what makes a
record's identity (``records.py``).
"""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CACHE_KIB = 64 * 1024
"""Page cache of the store: memory stays flat while the identities of about a million events are found without disk."""


@dataclass(frozen=True)
class Place:
    """Where a loaded record came from and where it went."""

    source: int
    member: str
    start: int
    end: int
    chunk: int
    row: int


@contextlib.contextmanager
def _as_os_errors(path: Path) -> Iterator[None]:
    """SQLite reports a full disk in its own way; callers know the operating system's."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise OSError(errno.ENOSPC, "No space left on device", str(path)) from error
        raise


class IdentityStore:
    """Seen (uuid, payload) pairs of one run in a temporary SQLite file.

    Parameters
    ----------
    path : Path
        File to create; the caller removes it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.executescript(
            f"""
            PRAGMA journal_mode = OFF;
            PRAGMA synchronous = OFF;
            PRAGMA cache_size = -{CACHE_KIB};
            CREATE TABLE seen (
                uuid TEXT NOT NULL, payload BLOB NOT NULL, uploaded TEXT NOT NULL,
                source INTEGER NOT NULL, member TEXT NOT NULL, start INTEGER NOT NULL, "end" INTEGER NOT NULL,
                chunk INTEGER NOT NULL, row INTEGER NOT NULL,
                PRIMARY KEY (uuid, payload)
            ) WITHOUT ROWID;
            BEGIN;
            """
        )

    def claim(self, uuid: str, payload: bytes, uploaded: str, place: Place) -> bool:
        """Remember a record; False when the same uuid with the same payload was seen before."""
        with _as_os_errors(self._path):
            inserted = self._connection.execute(
                "INSERT OR IGNORE INTO seen VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (uuid, payload, uploaded, place.source, place.member, place.start, place.end, place.chunk, place.row),
            )
        return inserted.rowcount == 1

    def losers(self) -> Iterator[tuple[str, Place]]:
        """Yield the records that lose a conflict, in the order of sources and spans.

        The winner among different payloads of one uuid is the one uploaded first, then the one with the smallest
        payload digest: content alone decides, never the order of files or lines.
        """
        query = """
            SELECT uuid, source, member, start, "end", chunk, row FROM (
                SELECT *, row_number() OVER (PARTITION BY uuid ORDER BY uploaded = '', uploaded, payload) AS place
                FROM seen WHERE uuid IN (SELECT uuid FROM seen GROUP BY uuid HAVING count(*) > 1)
            ) WHERE place > 1 ORDER BY source, member, start
        """
        with _as_os_errors(self._path):
            for uuid, *place in self._connection.execute(query):
                yield uuid, Place(*place)

    def close(self) -> None:
        """Release the file."""
        self._connection.close()
