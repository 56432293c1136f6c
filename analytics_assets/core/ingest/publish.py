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
from analytics_assets.core.files import previous_of, replace_folder, sync_folder, write_bytes
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
    with explained_os_errors(lake.root):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
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
    finally:
        os.close(descriptor)


def _staging(lake: Lake, year: str) -> Path:
    return lake.staging() / f"event_chunks-{year}"


def recover(lake: Lake, year: str) -> None:
    """Complete what a killed process had made ready, and remove what it had not. The lock must be held."""
    staging = _staging(lake, year)
    with explained_os_errors(lake.root):
        if (staging / READY).exists():
            _swap(lake, year, staging)
        shutil.rmtree(staging, ignore_errors=True)
        for target in (lake.quarantine(year), lake.chunks(year)):
            if target.exists():
                shutil.rmtree(previous_of(target), ignore_errors=True)


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
    write_bytes(staging / READY, b"")
    try:
        _swap(lake, year, staging)
    finally:
        # Before the first folder is renamed in, the old state still counts; after the last, nothing is left to do.
        if (staging / "quarantine").exists() or not (staging / "chunks").exists():
            (staging / READY).unlink()


def _swap(lake: Lake, year: str, staging: Path) -> None:
    for name, target in (("quarantine", lake.quarantine(year)), ("chunks", lake.chunks(year))):
        if (staging / name).exists():
            replace_folder(staging / name, target)
