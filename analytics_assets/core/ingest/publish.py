"""One process at a time per year, and publication that a kill at any instant cannot tear.

Put here: the lock, the staging folder, the order of renames and their completion after a crash. Keep out: what is
published.

Everything is written into the staging folder and synced, then a file ``READY`` is written there: from that moment the
new state counts. The renames that follow are completed by the next process that takes the lock, if this one dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from analytics_assets.core.errors import PipelineError, explained_os_errors
from analytics_assets.core.files import previous_of, sync_folder, write_bytes
from analytics_assets.core.lake import Lake

READY = "READY"


@contextlib.contextmanager
def year_lock(lake: Lake, year: str) -> Iterator[None]:
    """Hold the right to ingest one year; it ends with the process.

    Raises
    ------
    PipelineError
        Another process holds it.
    """
    path = lake.lock(f"event_chunks-{year}")
    with contextlib.ExitStack() as stack:
        with explained_os_errors(lake.root):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            stack.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
                raise PipelineError(
                    lake.chunks(year),
                    f"process {holder} is ingesting {year} right now",
                    "Wait until it has finished and run the step again.",
                ) from None
            os.truncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode("ascii"))
        yield


def _staging(lake: Lake, year: str) -> Path:
    return lake.staging() / f"event_chunks-{year}"


def recover(lake: Lake, year: str) -> None:
    """Complete what a killed process had made ready, and remove what it had not. The lock must be held."""
    staging = _staging(lake, year)
    with explained_os_errors(lake.root):
        if (staging / READY).exists():
            _swap(lake, year, staging)
        _remove(staging)
        for _, target in _targets(lake, year):
            if target.exists():
                _remove(previous_of(target))
        for unfinished in lake.raw_digests(year).parent.glob(f".{year}.json.*.tmp"):
            unfinished.unlink()


def _remove(folder: Path) -> None:
    if folder.exists():
        try:
            shutil.rmtree(folder)
        except OSError as error:  # rmtree names a file without its folder
            raise OSError(error.errno, error.strerror, str(folder)) from error


@contextlib.contextmanager
def staging_folder(lake: Lake, year: str) -> Iterator[Path]:
    """An empty staging folder, removed afterwards unless it has to complete a publication."""
    staging = _staging(lake, year)
    with explained_os_errors(lake.root):
        staging.mkdir(parents=True)
    try:
        with explained_os_errors(staging):
            yield staging
    finally:
        if not (staging / READY).exists():
            shutil.rmtree(staging, ignore_errors=True)


def publish(lake: Lake, year: str, staging: Path) -> None:
    """Make ``chunks`` and ``quarantine`` of the staging folder the published ones; all their files are synced."""
    for name in ("quarantine", "chunks"):
        for folder, _, _ in os.walk(staging / name):
            sync_folder(Path(folder))
    try:
        write_bytes(staging / READY, b"")
        _swap(lake, year, staging)
    except OSError:
        # Undone as a whole, the old state counts again; otherwise the next process completes the new one.
        if _is_untouched(lake, year, staging):
            (staging / READY).unlink(missing_ok=True)
        raise
    (staging / READY).unlink()


def _is_untouched(lake: Lake, year: str, staging: Path) -> bool:
    return all(
        (staging / name).exists() and (target.exists() or not previous_of(target).exists())
        for name, target in _targets(lake, year)
    )


def _targets(lake: Lake, year: str) -> list[tuple[str, Path]]:
    return [("quarantine", lake.quarantine(year)), ("chunks", lake.chunks(year))]


def _swap(lake: Lake, year: str, staging: Path) -> None:
    """Rename the staged folders into place; a failure undoes what it can."""
    swapped: list[tuple[Path, Path]] = []
    try:
        for name, target in _targets(lake, year):
            staged = staging / name
            if staged.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                if target.exists():
                    _remove(previous_of(target))
                    os.replace(target, previous_of(target))
                swapped.append((staged, target))
                os.replace(staged, target)
        for _, target in _targets(lake, year):
            sync_folder(target.parent)
    except OSError:
        for staged, target in reversed(swapped):
            if not staged.exists():
                os.replace(target, staged)
            if previous_of(target).exists():
                os.replace(previous_of(target), target)
        raise
    for _, target in _targets(lake, year):
        shutil.rmtree(previous_of(target), ignore_errors=True)
