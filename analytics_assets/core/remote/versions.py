"""Versions of what one asset publishes: several files become visible by one write.

Put here: how versions lie in the bucket, how one is published, how old ones are removed. Keep out: which files belong
together (``units.py``) and the working copy (``working_copy.py``).

A unit's files are uploaded under names of their own (``objects/<unit>/<token>/...``). Then one object is created that
names them with length and digest, ``versions/<unit>/<number>.json``: that one write publishes. A crash before it leaves
the version before, whole; so does a reader that began earlier. The number is the next one, and the object is only
created when there is none: of two workers that publish at once, the second learns of the first.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.files import json_bytes, sha256_of
from analytics_assets.core.remote.bucket import Bucket

FORMAT = 1
KEPT_VERSIONS = 3
"""Versions of a unit that pruning leaves: the present one, and two to return to."""

UNFINISHED = timedelta(days=1)
"""Age at which an uploaded object that no version names counts as left behind: no upload takes a day."""

_VERSION = re.compile(r"versions/(?P<unit>[a-z_]+(?:/[0-9]{4})?)/(?P<number>[0-9]{8})\.json")


class StoredFile(NamedTuple):
    """One file of a version: the object with its content, its length and digest."""

    key: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Version:
    """Files that count together.

    Parameters
    ----------
    unit : str
        Whose version it is.
    number : int
        Rises by one; 0 stands for "none yet".
    files : mapping of str to StoredFile
        By path below the lake's root.
    """

    unit: str
    number: int
    files: Mapping[str, StoredFile]

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 by path: what makes two versions equal."""
        return {path: file.sha256 for path, file in self.files.items()}


class Pruned(NamedTuple):
    """What pruning removed."""

    versions: int
    objects: int
    bytes: int


class Versions:
    """All versions in a bucket.

    Parameters
    ----------
    bucket : Bucket
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def numbers(self, unit: str = "") -> dict[str, list[int]]:
        """Numbers of the versions by unit, ascending; of one unit or of all."""
        found: dict[str, list[int]] = {}
        for name in sorted(self._bucket.list(f"versions/{unit}".rstrip("/"))):
            match = _VERSION.fullmatch(name)
            if match and unit in ("", match["unit"]):
                found.setdefault(match["unit"], []).append(int(match["number"]))
        return found

    def latest(self, unit: str) -> Version:
        """The version that counts."""
        return self.read(unit, self.numbers(unit).get(unit, [0])[-1])

    def read(self, unit: str, number: int) -> Version:
        """One version.

        Raises
        ------
        PipelineError
            What lies there is no version.
        """
        if not number:
            return Version(unit, 0, {})
        name = _name(unit, number)
        try:
            document = json.loads(self._bucket.read(name))
            if document["format"] != FORMAT:
                raise PipelineError(
                    self._bucket.place(name), "a later release wrote it", "Install that release on this machine."
                )
            files = {
                _inside(path): StoredFile(str(file["key"]), int(file["bytes"]), str(file["sha256"]))
                for path, file in document["files"].items()
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PipelineError(
                self._bucket.place(name), "it is damaged", "Remove it: then the version before it counts again."
            ) from error
        return Version(unit, number, files)

    def publish(self, base: Version, files: Mapping[str, Path]) -> Version:
        """Upload files and make them the unit's version after `base`; `base` itself when nothing differs.

        Parameters
        ----------
        base : Version
            The one that counted when the work began.
        files : mapping of str to Path
            Local files by path below the lake's root.

        Raises
        ------
        PipelineError
            Another worker has published other files meanwhile.
        """
        digests = {path: sha256_of(local) for path, local in sorted(files.items())}
        if digests == base.digests:
            return base
        token, there = uuid.uuid4().hex, {file.sha256: file for file in base.files.values()}
        stored: dict[str, StoredFile] = {}
        for path, digest in digests.items():
            if digest not in there:
                key = f"objects/{base.unit}/{token}/{path}"
                self._bucket.upload(files[path], key)
                there[digest] = StoredFile(key, files[path].stat().st_size, digest)
            stored[path] = there[digest]
        version = Version(base.unit, base.number + 1, stored)
        name = _name(version.unit, version.number)
        content = json_bytes(
            {
                "format": FORMAT,
                "published": datetime.now(UTC).isoformat(timespec="seconds"),
                "token": token,
                "files": {path: file._asdict() for path, file in stored.items()},
            }
        )
        if self._bucket.create(name, content) or self._bucket.read(name) == content:
            return version  # written by an attempt whose answer was lost, it is there already
        other = self.read(version.unit, version.number)
        if other.digests == version.digests:
            return other
        raise PipelineError(
            self._bucket.place(name),
            f"another worker has published {version.unit} while this one was working",
            "Run the step again; it starts from what is published now.",
        )

    def prune(self, keep: int = KEPT_VERSIONS, *, dry: bool = False) -> Pruned:
        """Remove all but the last `keep` versions of each unit, and objects that no version needs any more.

        Objects of an upload in progress stay: nothing younger than `UNFINISHED` goes unless a removed version named it.
        """
        numbers = self.numbers()
        kept = {
            file.key
            for unit, all_ in numbers.items()
            for one in all_[-keep:]
            for file in self.read(unit, one).files.values()
        }
        removed = [(unit, number) for unit, all_ in numbers.items() for number in all_[:-keep]]
        named = {file.key for unit, number in removed for file in self.read(unit, number).files.values()}
        before = datetime.now(UTC) - UNFINISHED
        objects = {
            name: entry.size
            for name, entry in self._bucket.list("objects").items()
            if name not in kept and (name in named or entry.modified < before)
        }
        if not dry:
            self._bucket.remove(_name(unit, number) for unit, number in removed)
            self._bucket.remove(objects)
        return Pruned(len(removed), len(objects), sum(objects.values()))


def _name(unit: str, number: int) -> str:
    return f"versions/{unit}/{number:08d}.json"


def _inside(path: str) -> str:
    """A path from the bucket, which must not lead out of the lake."""
    parts = PurePosixPath(path).parts
    if not parts or parts[0] == "/" or ".." in parts:
        raise ValueError("a path leads out of the lake")
    return path
