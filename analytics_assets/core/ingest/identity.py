"""Which rows are the same event: exact duplicates and conflicts over all files of a year, in bounded memory.

Put here: finding rows with one uuid and the rule that picks the winner. Keep out: what makes a record's identity
(``records.py``), where rows lie (``parse.py``).

Of rows with one uuid and equal content one stays; where equal content was spelled in several ways, the row with the
smallest digest. Of different contents the one uploaded first wins, then the one with the smallest digest: content alone
decides, never the order of files or lines.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.ingest.parse import Parsed

ROWS_AT_ONCE = 200_000
"""Rows whose identities are compared at a time, about 20 MB; more are split by their hash on disk and compared in
turn."""

Digests = Callable[[int, NDArray[Any]], Iterator[tuple[bytes, bytes]]]
"""Gives, of some rows of a source (its number, entries of its index by member and start), two digests of 16 bytes: of
the content however it is spelled, and of the CSV row."""


@dataclass(frozen=True)
class Resolution:
    """What becomes of the rows of all sources.

    Parameters
    ----------
    kept : list of array of bool
        For each source which of its rows are loaded.
    lost : list of array of int64
        For each source the rows that lost a conflict, ascending; the others that are not kept are duplicates.
    """

    kept: list[NDArray[np.bool_]]
    lost: list[NDArray[np.int64]]


def resolve(parsed: list[Parsed], digests_of: Digests, folder: Path) -> Resolution:
    """Compare the rows of all sources.

    Parameters
    ----------
    parsed : list of Parsed
        In order of their names.
    digests_of : callable
        Reads records again; asked only where one uuid came with contents that differ at first sight.
    folder : Path
        Room for temporary files.
    """
    kept = [np.ones(one.report.loaded, np.bool_) for one in parsed]
    lost: list[list[int]] = [[] for _ in parsed]
    for rows in _by_hash(parsed, folder):
        entries = _entries(rows, parsed)
        if entries is None:
            continue
        for source, row in _repeats(entries):
            kept[source][row] = False
        for source, row, duplicate in _conflicts(entries, parsed, digests_of):
            kept[source][row] = False
            if not duplicate:
                lost[source].append(row)
    return Resolution(kept, [np.array(sorted(rows), np.int64) for rows in lost])


_ROW = np.dtype([("key", "<u8"), ("source", "<u4"), ("row", "<u4")])


def _by_hash(parsed: list[Parsed], folder: Path) -> Iterator[NDArray[Any]]:
    """Rows of all sources in groups of about `ROWS_AT_ONCE`; equal keys are in one group."""
    count = 1 + sum(one.report.loaded for one in parsed) // ROWS_AT_ONCE
    if count == 1:
        yield np.concatenate([np.zeros(0, _ROW), *_blocks(parsed)])
        return
    with tempfile.TemporaryDirectory(dir=folder) as place, contextlib.ExitStack() as stack:
        paths = [Path(place, str(number)) for number in range(count)]
        files = [stack.enter_context(path.open("wb")) for path in paths]
        for block in _blocks(parsed):
            group = block["key"] % np.uint64(count)
            order = np.argsort(group, kind="stable")
            ends = np.searchsorted(group[order], np.arange(count), side="right")
            for file, rows in zip(files, np.split(block[order], ends[:-1]), strict=True):
                file.write(rows.tobytes())
        for file, path in zip(files, paths, strict=True):
            file.close()
            yield np.fromfile(path, _ROW)


def _blocks(parsed: list[Parsed]) -> Iterator[NDArray[Any]]:
    for source, one in enumerate(parsed):
        first = 0
        for keys in one.key_blocks():
            block = np.zeros(len(keys), _ROW)
            block["key"], block["source"] = keys, source
            block["row"] = np.arange(first, first + len(keys))
            first += len(keys)
            yield block


_ENTRY = np.dtype(
    [("key", "<u8", 2), ("kind", "u1"), ("digest", "<u8", 2), ("source", "<u4"), ("row", "<u4"), ("new", "u1")]
)


def _entries(rows: NDArray[Any], parsed: list[Parsed]) -> NDArray[Any] | None:
    """Rows whose uuid occurs more than once, by uuid, content, source and row; None when there are none.

    `new` marks the first of each content.
    """
    keys = np.sort(rows["key"])
    repeated = keys[1:][keys[1:] == keys[:-1]]
    if not len(repeated):
        return None
    rows = rows[np.isin(rows["key"], repeated)]
    entries = np.zeros(len(rows), _ENTRY)
    entries["source"], entries["row"] = rows["source"], rows["row"]
    for source, one in enumerate(parsed):
        here = entries["source"] == source
        index = one.some_rows(entries["row"][here])
        for name in ("key", "kind", "digest"):
            entries[name][here] = index[name]
    by = ("key", "kind", "digest")
    order = np.lexsort(
        (
            *(entries["row"], entries["source"], entries["digest"][:, 1], entries["digest"][:, 0], entries["kind"]),
            *(entries["key"][:, 1], entries["key"][:, 0]),
        )
    )
    entries = entries[order]
    same = np.ones(len(entries) - 1, np.bool_)
    for name in by:
        equal = entries[name][1:] == entries[name][:-1]
        same &= equal if equal.ndim == 1 else equal.all(axis=1)
    entries["new"] = 1
    entries["new"][1:] = ~same
    return entries


def _repeats(entries: NDArray[Any]) -> Iterator[tuple[int, int]]:
    for entry in entries[entries["new"] == 0]:
        yield int(entry["source"]), int(entry["row"])


def _conflicts(entries: NDArray[Any], parsed: list[Parsed], digests_of: Digests) -> Iterator[tuple[int, int, bool]]:
    """Yield the rows that give way to another content of their uuid, and whether they are its duplicates after all."""
    firsts = entries[entries["new"] == 1]
    same = (firsts["key"][1:] == firsts["key"][:-1]).all(axis=1)
    several = np.zeros(len(firsts), np.bool_)
    several[1:] |= same
    several[:-1] |= same
    rivals = firsts[several]
    contents = _contents(rivals, parsed, digests_of)
    numbered = [((int(entry["key"][0]), int(entry["key"][1])), number) for number, entry in enumerate(rivals)]
    for _, group in groupby(numbered, key=lambda item: item[0]):
        ranked = []
        for _, number in group:
            source, row = int(rivals["source"][number]), int(rivals["row"][number])
            payload, text = contents[number]["payload"].tobytes(), contents[number]["text"].tobytes()
            ranked.append((int(contents[number]["uploaded"]), payload, text, source, row))
        ranked.sort()
        winner = ranked[0]
        payloads = {winner[1]}
        for _, payload, _, source, row in ranked[1:]:
            yield source, row, payload in payloads
            payloads.add(payload)


def _contents(rivals: NDArray[Any], parsed: list[Parsed], digests_of: Digests) -> NDArray[Any]:
    """Time of upload and digests of the content and of the row of each rival."""
    contents = np.zeros(len(rivals), [("uploaded", "<i8"), ("payload", "V16"), ("text", "V16")])
    for source in np.unique(rivals["source"]).tolist():
        here = np.flatnonzero(rivals["source"] == source)
        here = here[np.argsort(rivals["row"][here])]  # rows are in the order of members and starts
        index = parsed[source].some_rows(rivals["row"][here])
        contents["uploaded"][here] = index["uploaded"]
        for number, (payload, text) in zip(here.tolist(), digests_of(source, index), strict=True):
            contents["payload"][number], contents["text"][number] = payload, text
    return contents
