"""What people put into the bucket: raw exports and ``analytics.toml``, under their plain names.

Put here: mirroring them into the working copy, and uploading them once. Keep out: what assets publish
(``versions.py``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.files import atomic_path, read_json, write_json
from analytics_assets.core.lake import Lake
from analytics_assets.core.remote.bucket import Bucket, Entry

Stamp = tuple[int, int]


class Scope(NamedTuple):
    """Delivered files that are looked at together.

    Parameters
    ----------
    name : str
        Folder or file below the lake's root.
    deep : bool
        Whether folders in it count too.
    """

    name: str
    deep: bool = True


SETTINGS = Scope("analytics.toml")
TRUTH = Scope("raw", deep=False)
"""Files beside the years: the truth of generated exports."""


def exports_of(year: str) -> Scope:
    """The raw exports of one year."""
    return Scope(f"raw/{year}")


class Delivered:
    """Delivered files of a working copy and its bucket.

    Parameters
    ----------
    lake : Lake
    bucket : Bucket
    """

    def __init__(self, lake: Lake, bucket: Bucket) -> None:
        self._lake, self._bucket = lake, bucket

    def years(self) -> list[str]:
        """Years of which the bucket holds raw exports, ascending."""
        parts = [PurePosixPath(name).parts for name in self._remote(Scope("raw"))]
        return sorted({part[1] for part in parts if len(part) > 2})

    def fetch(self, scope: Scope) -> None:
        """Make the working copy's files those of the bucket.

        Raises
        ------
        PipelineError
            A file lies in the working copy only: it is not removed, because nothing else may have it.
        """
        remote, local = self._remote(scope), self._local(scope)
        record = self._record(scope)
        for name in sorted(local.keys() - remote.keys()):
            if name not in record or record[name][1] != _stamp(local[name]):
                raise PipelineError(
                    local[name],
                    f"it is not in {self._bucket.url}, which holds the lake",
                    "Put it there (analytics push), or move it away.",
                )
            local[name].unlink()
            del record[name]
        for name, entry in remote.items():
            target = self._lake.root / name
            if name in local and record.get(name) == (entry.etag, _stamp(target)):
                continue
            with atomic_path(target) as temporary:
                self._bucket.download(name, temporary)
            record[name] = (entry.etag, _stamp(target))
        self._save(scope, record)

    def push(self, scope: Scope) -> int:
        """Upload files that the bucket does not have; return how many.

        Raises
        ------
        PipelineError
            The bucket has another file of the same name.
        """
        remote, local = self._remote(scope), self._local(scope)
        for name in sorted(local.keys() & remote.keys()):
            if local[name].stat().st_size != remote[name].size:
                raise PipelineError(
                    local[name],
                    f"{self._bucket.place(name)} has the same name and another length",
                    "Move one of them away: delivered files are never overwritten.",
                )
        missing = sorted(local.keys() - remote.keys())
        for name in missing:
            self._bucket.upload(local[name], name)
        listed = self._remote(scope) if missing else remote
        self._save(scope, {name: (listed[name].etag, _stamp(path)) for name, path in local.items()})
        return len(missing)

    def _remote(self, scope: Scope) -> dict[str, Entry]:
        found = self._bucket.list(scope.name, deep=scope.deep)
        for name in found:
            if ".." in PurePosixPath(name).parts:
                raise PipelineError(
                    self._bucket.place(name), "the name leads out of the lake", "Give the object another name."
                )
        return {name: entry for name, entry in sorted(found.items()) if not _is_hidden(name)}

    def _local(self, scope: Scope) -> dict[str, Path]:
        place = self._lake.root / scope.name
        files: Iterator[Path] = iter([place])
        if place.is_dir():
            files = place.rglob("*") if scope.deep else place.glob("*")
        found = {path.relative_to(self._lake.root).as_posix(): path for path in files if path.is_file()}
        return {name: path for name, path in found.items() if not _is_hidden(name)}

    def _record_file(self, scope: Scope) -> Path:
        return self._lake.fetched() / "delivered" / f"{scope.name.replace('/', '-')}.json"

    def _record(self, scope: Scope) -> dict[str, tuple[str, Stamp]]:
        """ETag and local stamp of each file at its last fetch; a record that cannot be read costs a download."""
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            entries = read_json(self._record_file(scope))
            return {name: (entry["etag"], tuple(entry["stamp"])) for name, entry in entries.items()}
        return {}

    def _save(self, scope: Scope, record: dict[str, tuple[str, Stamp]]) -> None:
        entries = {name: {"etag": etag, "stamp": stamp} for name, (etag, stamp) in record.items()}
        write_json(self._record_file(scope), entries)


def _stamp(path: Path) -> Stamp:
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns


def _is_hidden(name: str) -> bool:
    """Whether a file or one of its folders is hidden: such are no deliveries."""
    return any(part.startswith(".") for part in PurePosixPath(name).parts)
