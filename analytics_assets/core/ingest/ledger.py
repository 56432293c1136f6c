"""What one ingestion hands to the next, so that unchanged files are not read again.

Put here: the form in which parsed files are kept beside the published chunks. Keep out: whether they may be used
(``run.py``).
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analytics_assets.core.files import json_bytes, read_json, sha256_of, sync_file
from analytics_assets.core.ingest.chunks import Chunk
from analytics_assets.core.ingest.parse import (
    REFUSED_FILE,
    UNREADABLE_FILE,
    Parsed,
    Part,
    SourceReport,
)
from analytics_assets.core.ingest.tracing import INDEX_FILE, KEYS_FILE, LEDGER_FILE, ledger_digest
from analytics_assets.core.lake import Lake

CONFLICTS_FILE = "conflicts.ndjson"
_PUBLISHED = ("manifest.json", "unreadable_values.ndjson")
_FILES = (KEYS_FILE, INDEX_FILE, REFUSED_FILE, UNREADABLE_FILE)


class Ledger:
    """The ledger of a published year, or an empty one.

    Attributes
    ----------
    settings : dict
        Everything besides the files that determined the result.
    chunks : dict of str to (Path, str)
        Published chunks and their digests by composition.
    """

    def __init__(self, lake: Lake, year: str) -> None:
        self._folder = lake.ledger(year)
        self._chunk_folder = lake.chunks(year)
        self.settings: dict[str, Any] = {}
        self.chunks: dict[str, tuple[Path, str]] = {}
        self._sizes: dict[str, int] = {}
        self._files: dict[str, tuple[int, str]] = {}
        self._published: dict[str, tuple[int, str]] = {}
        self._sources: dict[str, Any] = {}
        # A ledger that cannot be read costs a full run, nothing else: what it holds is taken over last, and whole.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            written = read_json(self._folder / LEDGER_FILE)
            content = written["content"]
            if written["sha256"] != ledger_digest(content):
                return
            chunks = {
                entry["composition"]: (self._chunk_folder / entry["path"], entry["sha256"])
                for entry in content["chunks"]
            }
            self._sizes = {entry["path"]: entry["bytes"] for entry in content["chunks"]}
            self._files = {name: (size, sha256) for name, (size, sha256) in content["files"].items()}
            self._published = {name: (size, sha256) for name, (size, sha256) in content["published"].items()}
            self._sources, self.settings = content["sources"], content["settings"]
            self.chunks = chunks

    def intact(self) -> bool:
        """Whether the published chunks still have their sizes."""
        return bool(self._sizes) and all(
            (self._chunk_folder / path).is_file() and (self._chunk_folder / path).stat().st_size == size
            for path, size in self._sizes.items()
        )

    def published(self, quarantine: Path) -> bool:
        """Whether manifest, unreadable values and quarantine are as they were written."""
        return all(
            _is(path, self._published.get(path.name))
            for path in (*(self._chunk_folder / name for name in _PUBLISHED), quarantine)
        )

    def holds(self, name: str) -> bool:
        """Whether the parsed form of a source is as it was written."""
        number = self._sources[name]["number"]
        return all(_is(self._folder / f"{number}.{file}", self._files.get(f"{number}.{file}")) for file in _FILES)

    def holds_conflicts(self) -> bool:
        """Whether the lines of lost conflicts are as they were written."""
        return _is(self.conflicts(), self._files.get(CONFLICTS_FILE))

    def digests(self) -> dict[str, str]:
        """SHA-256 of each source by name."""
        return {name: entry["report"]["sha256"] for name, entry in self._sources.items()}

    def size_of(self, name: str) -> int:
        """Bytes of a source, -1 for an unknown one."""
        return self._sources[name]["report"]["bytes"] if name in self._sources else -1

    def repairs_of(self, name: str) -> dict[str, str]:
        """Corrections that were applied to a source."""
        return self._sources[name]["repairs"]

    def take(self, name: str, folder: Path) -> Parsed:
        """Parsed form of an unchanged source, its small files copied to a new folder."""
        entry = self._sources[name]
        folder.mkdir(parents=True)
        for file in _FILES:
            shutil.copyfile(self._folder / f"{entry['number']}.{file}", folder / file)
        return Parsed(
            SourceReport(**entry["report"]),
            entry["members"],
            [Part(self._chunk_folder / path, rows, offset) for path, rows, offset in entry["parts"]],
            folder,
            entry["coerced"],
            entry["unreadable"],
            entry["unknown_keys"],
        )

    def conflicts(self) -> Path:
        """Lines of the records that lost a conflict."""
        return self._folder / CONFLICTS_FILE


def _facts(path: Path) -> tuple[int, str]:
    return path.stat().st_size, sha256_of(path)


def _is(path: Path, facts: tuple[int, str] | None) -> bool:
    """Whether a file has its size and digest."""
    return facts is not None and path.is_file() and path.stat().st_size == facts[0] and sha256_of(path) == facts[1]


def write_ledger(
    folder: Path,
    *,
    settings: dict[str, Any],
    parsed: list[Parsed],
    reports: list[SourceReport],
    repairs: list[dict[str, str]],
    places: dict[tuple[int, int], tuple[str, int]],
    chunks: list[Chunk],
    compositions: list[str],
    quarantine: Path,
) -> None:
    """Write the ledger into an existing folder.

    Parameters
    ----------
    folder : Path
        Where to.
    settings : dict
        See `Ledger`.
    parsed, reports, repairs
        For each source its parsed form, its counts as parsed, and the corrections applied.
    places : dict
        Chunk and offset of each (source, part) that has rows in the chunks.
    chunks, compositions
        The published chunks.
    quarantine : Path
        The quarantine as it will be published.
    """
    sources = {}
    for number, one in enumerate(parsed):
        for file in _FILES:
            os.replace(one.folder / file, folder / f"{number}.{file}")
            sync_file(folder / f"{number}.{file}")
        parts = [(*places.get((number, place), (chunks[0].path, 0)), part.rows) for place, part in enumerate(one.parts)]
        sources[one.report.path] = {
            "number": number,
            "report": asdict(reports[number]),
            "members": one.members,
            "parts": [(path, rows, offset) for path, offset, rows in parts],
            "repairs": repairs[number],
            "coerced": one.coerced,
            "unreadable": one.unreadable,
            "unknown_keys": one.unknown_keys,
        }
    published = (*(folder.parent / name for name in _PUBLISHED), quarantine)
    content = {
        "settings": settings,
        "sources": sources,
        "files": {path.name: _facts(path) for path in sorted(folder.iterdir())},
        "published": {path.name: _facts(path) for path in published},
        "chunks": [
            {"path": chunk.path, "bytes": chunk.bytes, "sha256": chunk.sha256, "composition": composition}
            for chunk, composition in zip(chunks, compositions, strict=True)
        ],
    }
    path = folder / LEDGER_FILE
    path.write_bytes(json_bytes({"sha256": ledger_digest(content), "content": content}))
    sync_file(path)
