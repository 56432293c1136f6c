"""Bounds of what ingestion accepts, and how much of the machine it uses.

Put here: every limit with its reason and its environment variable. Keep out: what happens at a limit.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from analytics_assets.core.errors import PipelineError

MAX_DEPTH = 64
"""Nesting limit: the vendor refuses depth over 40, and ijson's memory grows with the square of the depth."""

MAX_RECORD_BYTES = 16 << 20
"""A record beyond this is refused: the vendor's own limits keep honest ones below 1 MiB."""

EXPANSION_FREE_BYTES = 64 << 20
"""Decompressed bytes of a stream before its expansion ratio is judged: small files of blanks are no threat."""

MAX_WORKERS = 8
"""More threads than this wait for the one that reads and decompresses a file."""


def _cores() -> int:
    return min(MAX_WORKERS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable, "").strip()
    if not text:
        return default
    if not re.fullmatch("[0-9]{1,18}", text) or int(text) < 1:
        raise PipelineError(variable, f"{text!r} is not a positive number", "Correct the variable or unset it.")
    return int(text)


@dataclass(frozen=True)
class Limits:
    """What `Limits.from_environment` reads.

    Parameters
    ----------
    workers : int
        Threads that decode (``ANALYTICS_INGEST_WORKERS``, default: the cores, at most 8).
    max_record_bytes : int
        Longest record (``ANALYTICS_MAX_RECORD_BYTES``), at most 16 MiB.
    max_members : int
        Members of one zip archive (``ANALYTICS_MAX_ARCHIVE_MEMBERS``): a year of hours has 8,760.
    max_expansion : int
        Decompressed over compressed bytes of one stream (``ANALYTICS_MAX_EXPANSION``): real exports reach 30.
    max_total_bytes : int
        Decompressed bytes of one file (``ANALYTICS_MAX_FILE_BYTES``).
    salvage : bool
        Load what can be read of a damaged archive (``ANALYTICS_DAMAGED_FILES=salvage``) instead of failing.
    """

    workers: int = 1
    max_record_bytes: int = MAX_RECORD_BYTES
    max_members: int = 50_000
    max_expansion: int = 200
    max_total_bytes: int = 1 << 40
    salvage: bool = False

    @classmethod
    def from_environment(cls) -> Limits:
        """Read the environment; PipelineError names a variable that makes no sense."""
        damaged = os.environ.get("ANALYTICS_DAMAGED_FILES", "") or "fail"
        if damaged not in ("fail", "salvage"):
            raise PipelineError("ANALYTICS_DAMAGED_FILES", f"{damaged!r} is unknown", "Set it to fail or salvage.")
        return cls(
            workers=_number("ANALYTICS_INGEST_WORKERS", _cores()),
            max_record_bytes=min(MAX_RECORD_BYTES, _number("ANALYTICS_MAX_RECORD_BYTES", MAX_RECORD_BYTES)),
            max_members=_number("ANALYTICS_MAX_ARCHIVE_MEMBERS", cls.max_members),
            max_expansion=_number("ANALYTICS_MAX_EXPANSION", cls.max_expansion),
            max_total_bytes=_number("ANALYTICS_MAX_FILE_BYTES", cls.max_total_bytes),
            salvage=damaged == "salvage",
        )
