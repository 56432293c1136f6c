"""One bucket, or a prefix in it: objects by name.

Put here: calls to the store. Keep out: its errors (``store_errors.py``), what the objects mean (``versions.py``,
``delivered.py``).
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.remote.store_errors import URL_VARIABLE, code_of, in_words, is_local

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


_URL = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[^/\s?#@*\[\]]+)*/?")

_CONFLICTS = {"PreconditionFailed", "ConditionalRequestConflict", "409", "412"}
_UNCONDITIONAL = {"NotImplemented", "501"}


class Entry(NamedTuple):
    """What a listing says about an object."""

    size: int
    etag: str
    modified: datetime


class Bucket:
    """Objects below a URL; names are relative to it.

    Parameters
    ----------
    url : str
        ``s3://bucket/prefix``. Endpoint, region and credentials come from the standard AWS variables and files.

    Raises
    ------
    PipelineError
        The URL has another form. It is not repeated: it may hold a password.
    """

    def __init__(self, url: str) -> None:
        if not _URL.fullmatch(url):
            raise PipelineError(
                URL_VARIABLE,
                "it is not of the form s3://bucket/prefix",
                "Name bucket and prefix only; credentials and endpoint belong into the AWS_* variables.",
            )
        self.url = url.rstrip("/")
        self._root = self.url.removeprefix("s3://")
        self._opened: AbstractFileSystem | None = None

    @property
    def _store(self) -> AbstractFileSystem:
        if self._opened is None:
            try:
                import fsspec

                # Other workers write too: nothing that was listed earlier may be taken for the present.
                self._opened = fsspec.filesystem("s3", use_listings_cache=False)
            except ImportError as error:
                raise PipelineError(
                    URL_VARIABLE, "the packages for buckets are not installed", "Install the extra s3."
                ) from error
        return self._opened

    def place(self, name: str) -> str:
        """URL of an object, for messages."""
        return f"{self.url}/{name}"

    def list(self, prefix: str, *, deep: bool = True) -> dict[str, Entry]:
        """Objects below `prefix` (or the one that is called so), by name; without `deep` not those in folders."""
        with self._explained(prefix):
            found = self._store.find(self._path(prefix), maxdepth=None if deep else 1, detail=True)
        return {
            path.removeprefix(f"{self._root}/"): Entry(
                int(facts["size"]), str(facts["ETag"]).strip('"'), facts["LastModified"]
            )
            for path, facts in found.items()
            if facts["type"] == "file" and not path.endswith("/")
        }

    def read(self, name: str) -> bytes:
        """Content of a small object."""
        with self._explained(name):
            content: bytes = self._store.cat_file(self._path(name))
        return content

    def download(self, name: str, target: Path) -> None:
        """Write an object to a local file."""
        with self._explained(name):
            self._store.get_file(self._path(name), str(target))

    def upload(self, source: Path, name: str) -> None:
        """Write a local file to an object, which is whole or absent."""
        with self._explained(name):
            self._store.put_file(str(source), self._path(name))

    def create(self, name: str, content: bytes) -> bool:
        """Write an object that must not be there yet, at once; False when it is.

        A store without conditional writes lets the last writer win.
        """
        with self._explained(name):
            try:
                self._store.pipe_file(self._path(name), content, mode="create")
            except FileExistsError:
                return False
            except OSError as error:
                code = code_of(error)
                if code in _CONFLICTS:
                    return False
                if code not in _UNCONDITIONAL:
                    raise
                self._store.pipe_file(self._path(name), content)
        return True

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects; those that are gone already do not matter."""
        for name in names:
            with self._explained(name):
                self._store.rm_file(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    @contextlib.contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        """Turn the store's errors into ours. Theirs are not chained: they may quote an address with a password."""
        try:
            yield
        except PipelineError:
            raise
        except Exception as error:
            if is_local(error):
                raise
            raise in_words(self.url, self.place(name), error) from None


def bucket_url() -> str:
    """URL of the lake's bucket as the environment names it; empty: the lake is a folder only."""
    return os.environ.get(URL_VARIABLE, "")
