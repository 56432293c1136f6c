"""The folder that one worker computes in, and its exchange with the bucket that holds the lake.

Put here: fetching what a step reads, publishing what it wrote, the rules between folder and bucket. Keep out: which
files those are (``units.py``), how versions lie in the bucket (``versions.py``).

The bucket is the truth: what differs in the folder is replaced. All code reads and writes the folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from analytics_assets.core.errors import PipelineError, explained_os_errors
from analytics_assets.core.files import atomic_path, empty_folder, read_json, replace_folder, sha256_of, write_json
from analytics_assets.core.lake import Lake
from analytics_assets.core.privacy import KEY_VARIABLE, MODE_VARIABLE
from analytics_assets.core.remote import units
from analytics_assets.core.remote.bucket import Bucket, bucket_url
from analytics_assets.core.remote.delivered import SETTINGS, TRUTH, Delivered, Scope, exports_of
from analytics_assets.core.remote.store_errors import URL_VARIABLE, MissingObject
from analytics_assets.core.remote.units import Part
from analytics_assets.core.remote.versions import StoredFile, Version, Versions

Publish = Callable[[str], None]


class WorkingCopy:
    """A lake's folder and its bucket.

    Parameters
    ----------
    lake : Lake
        The folder.
    url : str
        Where the lake lies (see `Bucket`).

    Raises
    ------
    PipelineError
        The URL is of another form, or there is no key that all workers share.
    """

    def __init__(self, lake: Lake, url: str) -> None:
        if not os.environ.get(KEY_VARIABLE) and os.environ.get(MODE_VARIABLE) != "keep":
            raise PipelineError(
                KEY_VARIABLE,
                f"it is not set, and with {URL_VARIABLE} every worker must give a person the same pseudonym",
                "Set it to the same text on all workers, for example the output of: openssl rand -hex 32",
            )
        self.lake, self.bucket = lake, Bucket(url)
        self.versions = Versions(self.bucket)
        self.delivered = Delivered(lake, self.bucket)

    # folder and bucket belong together
    def attach(self) -> None:
        """Note which bucket the folder is a copy of, once.

        Raises
        ------
        PipelineError
            The folder holds a lake of its own, or that of another bucket.
        """
        origin = self._origin()
        if origin == self.bucket.url:
            return
        if origin or units.local_units(self.lake) or self.lake.raw_years():
            raise PipelineError(
                self.lake.root,
                f"it holds the lake of {origin or 'this folder alone'}, not that of {self.bucket.url}",
                "Name an empty folder in ANALYTICS_DATA_DIR, or upload this lake into an empty bucket: analytics push",
            )
        self._save_origin()

    def _origin(self) -> str:
        path = self.lake.fetched() / "origin.json"
        return str(read_json(path)["url"]) if path.is_file() else ""

    def _save_origin(self) -> None:
        write_json(self.lake.fetched() / "origin.json", {"url": self.bucket.url})

    # one step of a run
    @contextlib.contextmanager
    def step(self, assets: Iterable[str], deps: Iterable[str], year: str | None) -> Iterator[Publish]:
        """Fetch what a step reads, and yield the function that publishes one of its assets.

        Whoever else uses this folder waits for it as long as the step lasts, where both need the same files.

        Parameters
        ----------
        assets : iterable of str
            What the step makes or observes.
        deps : iterable of str
            Assets that these depend on.
        year : str or None
            Its partition.
        """
        self.attach()
        made, needed = sorted(assets), set(deps)
        self.fetch_delivered(year if units.RAW in needed or units.RAW in made else None)
        if made == [units.RAW]:
            yield lambda _: None
            return
        numbers = self.versions.numbers()
        years = sorted({unit.partition("/")[2] for unit in numbers if "/" in unit} | units.local_years(self.lake))
        self.fetch(units.read_by(self.lake, made[0], needed, year, years), numbers)
        written = {asset: units.whole(self.lake, units.unit_of(asset, year)) for asset in made}
        own = {part.unit: part for part in written.values()}
        with contextlib.ExitStack() as stack:
            for unit in sorted(own):
                stack.enter_context(self._locked(unit))
            bases = {unit: self.versions.latest(unit) for unit in own}
            for part in own.values():
                if units.builds_on_itself(made[0], year):
                    self._replace(part, bases[part.unit])

            def publish(asset: str) -> None:
                part = written[asset]
                bases[part.unit] = self.versions.publish(bases[part.unit], self._files(part))

            yield publish

    # exchange
    def fetch_delivered(self, year: str | None = None) -> None:
        """Fetch settings and the truth of generated exports, and the raw exports of a year."""
        with self._locked("delivered"), explained_os_errors(self.lake.root):
            for scope in (SETTINGS, TRUTH, *([exports_of(year)] if year else [])):
                self.delivered.fetch(scope)

    def fetch_exports(self, years: Iterable[str] | None = None) -> None:
        """Fetch the raw exports of some years, or of all that the bucket or the folder has."""
        self.attach()
        chosen = {*self.delivered.years(), *self.lake.raw_years()} if years is None else years
        for year in sorted(chosen):
            self.fetch_delivered(year)

    def pull(self, *, chunks: bool, exports: bool) -> None:
        """Fetch every unit; of chunks only counts and quarantine unless `chunks`; with `exports` also raw files."""
        self.attach()
        if exports:
            self.fetch_exports()
        self.fetch_delivered()
        numbers = self.versions.numbers()
        wanted = sorted({*numbers, *(part.unit for part in units.local_units(self.lake))})
        parts = [units.whole(self.lake, unit) for unit in wanted]
        self.fetch([part if chunks else units.without_chunks(self.lake, part) for part in parts], numbers)

    def fetch(self, parts: Iterable[Part], numbers: Mapping[str, list[int]] | None = None) -> None:
        """Make the folder's files those of the bucket.

        Raises
        ------
        PipelineError
            An object is missing or damaged.
        """
        numbers = self.versions.numbers() if numbers is None else numbers
        for part in parts:
            with self._locked(part.unit):
                number = numbers.get(part.unit, [0])[-1]
                try:
                    self._replace(part, self.versions.read(part.unit, number))
                except MissingObject:
                    # A newer version may have replaced it since the listing, and pruning removed it.
                    latest = self.versions.latest(part.unit)
                    if latest.number == number:
                        raise
                    self._replace(part, latest)

    def push(self) -> tuple[int, int]:
        """Upload the whole lake: delivered files, then every unit; return how many of each were new.

        Raises
        ------
        PipelineError
            The bucket holds the lake of another folder.
        """
        numbers = self.versions.numbers()
        if self._origin() != self.bucket.url and numbers:
            raise PipelineError(
                self.bucket.url, f"it holds a lake already, and not that of {self.lake.root}", "Name an empty prefix."
            )
        self._save_origin()
        with self._locked("delivered"):
            scopes: list[Scope] = [SETTINGS, TRUTH, *map(exports_of, self.lake.raw_years())]
            files = sum(self.delivered.push(scope) for scope in scopes)
        return files, self.publish(units.local_units(self.lake))

    def publish(self, parts: Iterable[Part]) -> int:
        """Publish units as they lie in the folder; return how many differed."""
        changed = 0
        for part in parts:
            with self._locked(part.unit):
                base = self.versions.latest(part.unit)
                changed += self.versions.publish(base, self._files(part)).number != base.number
        return changed

    def _files(self, part: Part) -> dict[str, Path]:
        """Local files of a unit by path below the root."""
        found: dict[str, Path] = {}
        for path in part.paths:
            place = self.lake.root / path
            inside = sorted(place.rglob("*")) if place.is_dir() else [place]
            found |= {file.relative_to(self.lake.root).as_posix(): file for file in inside if file.is_file()}
        return found

    def _replace(self, part: Part, version: Version) -> None:
        if not version.number and part.keep:
            return
        with explained_os_errors(self.lake.root):
            for path in part.paths:
                target = self.lake.root / path
                below = {name: file for name, file in version.files.items() if name.startswith(f"{path}/")}
                if path in version.files:
                    if not _is_same(target, version.files[path]):
                        with atomic_path(target) as temporary:
                            self._download(version, version.files[path], temporary)
                elif below:
                    self._replace_folder(target, path, version, below)
                elif target.is_dir():
                    shutil.rmtree(target)
                else:
                    target.unlink(missing_ok=True)

    def _replace_folder(self, target: Path, path: str, version: Version, files: Mapping[str, StoredFile]) -> None:
        """Publish a folder in the working copy as a whole; files that are the same are linked, not downloaded."""
        same = {name for name, file in files.items() if _is_same(self.lake.root / name, file)}
        present = {file.relative_to(self.lake.root).as_posix() for file in target.rglob("*") if file.is_file()}
        if same == files.keys() == present:
            return
        staged = self.lake.staging() / f"bucket-{os.getpid()}"
        empty_folder(staged)
        try:
            for name, file in files.items():
                place = staged / Path(name).relative_to(path)
                place.parent.mkdir(parents=True, exist_ok=True)
                if name in same:
                    _link(self.lake.root / name, place)
                else:
                    self._download(version, file, place)
            replace_folder(staged, target)
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def _download(self, version: Version, file: StoredFile, target: Path) -> None:
        self.bucket.download(file.key, target)
        if not _is_same(target, file):
            raise PipelineError(
                self.bucket.place(file.key),
                "the object is damaged: its length or digest is not the published one",
                f"Restore it from a backup; or remove version {version.number:08d} of {version.unit} "
                "(docs/growing.md) and materialize the asset again.",
            )

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Hold the folder's files of one unit; waits for other processes."""
        path = self.lake.lock(f"bucket-{name.replace('/', '-')}")
        with explained_os_errors(self.lake.root):
            path.parent.mkdir(parents=True, exist_ok=True)
            stream = path.open("w")
        with stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield


def working_copy(lake: Lake) -> WorkingCopy | None:
    """The lake's folder with the bucket that the environment names; None when the folder is all there is."""
    url = bucket_url()
    return WorkingCopy(lake, url) if url else None


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copyfile(source, target)


def _is_same(path: Path, file: StoredFile) -> bool:
    return path.is_file() and path.stat().st_size == file.bytes and sha256_of(path) == file.sha256
