"""SHA-256 of raw files, remembered while a file is unchanged.

Put here: when an earlier digest may be trusted. Keep out: what digests are used for.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

from analytics_assets.core.errors import explained_os_errors
from analytics_assets.core.files import read_json, sha256_of, write_json
from analytics_assets.core.ingest.sources import Source, digest_of, list_inbox
from analytics_assets.core.lake import Lake

SETTLED_NANOSECONDS = 2_000_000_000
"""A file changed less than this before it was read may change again within one tick of a file system's clock (2 s on
FAT): its digest is not remembered."""

Stamp = tuple[int, int, int, int]


def stamp_of(path: Path) -> Stamp:
    """What changes whenever a file's content does: size, times of content and of metadata, inode."""
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino


class DigestCache:
    """Digests of one year's raw files, by name, in a file of the lake.

    Parameters
    ----------
    lake : Lake
        Where the files and the cache lie.
    year : str
        Which folder. To be opened before the stamps of its files are taken.
    """

    def __init__(self, lake: Lake, year: str) -> None:
        self._path = lake.raw_digests(year)
        self._opened = time.time_ns()
        self._entries: dict[str, tuple[Stamp, str]] = {}
        # A cache that cannot be read is made anew.
        with contextlib.suppress(OSError, ValueError, AttributeError, TypeError, KeyError):
            entries: dict[str, Any] = read_json(self._path)
            self._entries = {name: (tuple(entry["stamp"]), str(entry["sha256"])) for name, entry in entries.items()}
        self._changed = False

    def known(self, source: Source, stamp: Stamp) -> str:
        """Digest of a file that still has the stamp under which it was remembered, else empty."""
        remembered, sha256 = self._entries.get(source.name, (None, ""))
        return sha256 if remembered == stamp else ""

    def remember(self, source: Source, stamp: Stamp, sha256: str) -> None:
        """Note a digest that was taken while the file had this stamp."""
        if self._opened - max(stamp[1], stamp[2]) > SETTLED_NANOSECONDS:
            self._entries[source.name] = (stamp, sha256)
            self._changed = True

    def save(self) -> None:
        """Write what is new; a lake that cannot be written to is left as it is."""
        if self._changed:
            with contextlib.suppress(OSError):
                entries = {name: {"stamp": stamp, "sha256": sha256} for name, (stamp, sha256) in self._entries.items()}
                write_json(self._path, entries)


def raw_digests(lake: Lake, year: str) -> dict[str, str]:
    """SHA-256 of each raw file of one year by name, as the files lie now."""
    folder = lake.raw(year)
    with explained_os_errors(folder):
        cache = DigestCache(lake, year)
        digests = {}
        for source in list_inbox(folder).sources:
            stamp = stamp_of(source.path)
            digests[source.name] = cache.known(source, stamp) or sha256_of(source.path)
            cache.remember(source, stamp, digests[source.name])
        cache.save()
    return digests


def raw_digest(lake: Lake, year: str) -> str:
    """One digest over all raw files of a year (see `digest_of`)."""
    return digest_of(raw_digests(lake, year))
