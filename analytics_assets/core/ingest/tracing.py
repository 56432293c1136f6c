"""From an accepted event back to its bytes: the row of its chunk and the span of its raw file.

Put here: the form of the ledger's index, and looking up in it. Keep out: writing the ledger (``ledger.py``) and whether
it may be taken over (``run.py``). The dashboards read through this module, so it imports nothing beyond numpy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.files import json_bytes, read_json
from analytics_assets.core.lake import Lake

LEDGER_FILE = "ledger.json"
KEYS_FILE, INDEX_FILE = "keys", "index"

ROW_INDEX = np.dtype(
    [
        ("key", "<u8", 2),  # hash of the uuid
        ("digest", "<u8", 2),  # of the content; comparable within one kind
        ("uploaded", "<i8"),  # microseconds from 1970
        ("start", "<u8"),  # span in the decompressed stream
        ("end", "<u8"),
        ("size", "<u4"),  # bytes of the CSV row
        ("member", "<u4"),  # place in the file's list of members
        ("kind", "u1"),  # DECODED or NORMALIZED
        ("kept", "u1"),  # whether the row is in the published chunks
    ],
    align=False,
)
"""One entry per row of the parts, in their order."""

_WORD = (1 << 64) - 1
_C1, _C2 = 0x87C37B91114253D5, 0x4CF5AD432745937F
_M1, _M2 = 0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53


def uuid_hash(uuid: str) -> tuple[int, int]:
    """Hash of a uuid in the index: what the compiled ``block_decoder.hash_bytes`` gives, for a few of them."""
    content = uuid.encode("utf-8")
    a, b = (_C1 + len(content)) & _WORD, 1 ^ _C2
    # Whole words, then one of what is left, even if that is nothing.
    for at in range(0, len(content) // 8 * 8 + 1, 8):
        word = int.from_bytes(content[at : at + 8], "little")
        a = (a ^ word) * _C1 & _WORD
        a ^= a >> 31
        b = (b + word) * _C2 & _WORD
        b ^= b >> 33
    a = (a + b) & _WORD
    b = (b + a) & _WORD
    return _mixed(a), _mixed(b)


def _mixed(value: int) -> int:
    value ^= value >> 33
    value = value * _M1 & _WORD
    value ^= value >> 33
    value = value * _M2 & _WORD
    return value ^ value >> 33


def ledger_digest(content: Any) -> str:
    """Digest that a ledger carries of its own content."""
    return hashlib.sha256(json_bytes(content)).hexdigest()


@dataclass(frozen=True)
class Origin:
    """Where one event lies.

    Parameters
    ----------
    chunk : str
        File name of the chunk; empty for a record that is in none.
    chunk_start, chunk_end : int
        Bytes of its row in the chunk.
    file, member : str
        Raw file below the year's folder, and member of a zip archive (else empty).
    start, end : int
        Bytes of the record in the decompressed stream, end exclusive.
    """

    chunk: str
    chunk_start: int
    chunk_end: int
    file: str
    member: str
    start: int
    end: int


@dataclass(frozen=True)
class _Source:
    """One raw file in the ledger; `parts` are (chunk, rows, offset of the first row)."""

    name: str
    members: list[str]
    parts: list[tuple[str, int, int]]
    folder: Path
    number: int

    def keys(self) -> NDArray[np.uint64]:
        return np.fromfile(self.folder / f"{self.number}.{KEYS_FILE}", "<u8")

    def index(self) -> NDArray[Any]:
        path = self.folder / f"{self.number}.{INDEX_FILE}"
        if not path.stat().st_size:
            return np.zeros(0, ROW_INDEX)
        return np.memmap(path, ROW_INDEX, "r")

    def origin(self, index: NDArray[Any], row: int) -> Origin:
        entry = index[row]
        chunk, at = self._place(index, row) if entry["kept"] else ("", 0)
        size = int(entry["size"]) if chunk else 0
        member = self.members[int(entry["member"])]
        return Origin(chunk, at, at + size, self.name, member, int(entry["start"]), int(entry["end"]))

    def _place(self, index: NDArray[Any], row: int) -> tuple[str, int]:
        """Chunk and byte offset of a published row: the published rows before it in its part precede it there."""
        first = 0
        for chunk, rows, offset in self.parts:
            if row < first + rows:
                before = index[first:row]
                return chunk, offset + int(before["size"][before["kept"] > 0].sum(dtype=np.int64))
            first += rows
        raise ValueError(f"row {row} of {self.name} belongs to no chunk")


class Tracer:
    """Looks up in one year's ledger.

    Parameters
    ----------
    lake : Lake
        Where the ledger lies.
    year : str
        Delivery year.

    Raises
    ------
    OSError, ValueError
        There is no ledger, or it is damaged. The methods raise the same for a damaged index.
    """

    def __init__(self, lake: Lake, year: str) -> None:
        folder = lake.ledger(year)
        written = read_json(folder / LEDGER_FILE)
        try:
            content = written["content"]
            if written["sha256"] != ledger_digest(content):
                raise ValueError(f"{folder / LEDGER_FILE} does not have its own digest")
            self._sources = [
                _Source(
                    name,
                    entry["members"],
                    [(chunk, rows, offset) for chunk, rows, offset in entry["parts"]],
                    folder,
                    entry["number"],
                )
                for name, entry in content["sources"].items()
            ]
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{folder / LEDGER_FILE} is not a ledger") from error

    def find(self, uuids: Sequence[str]) -> dict[str, Origin]:
        """Origins of published events by uuid; those that the year does not hold are left out."""
        hashes = {uuid_hash(uuid): uuid for uuid in uuids}
        wanted = np.array([first for first, _ in hashes], np.uint64)
        found: dict[str, Origin] = {}
        for source in self._sources:
            rows = np.flatnonzero(np.isin(source.keys(), wanted))
            if not len(rows):
                continue
            index = source.index()
            for row in rows.tolist():
                key = index[row]["key"]
                uuid = hashes.get((int(key[0]), int(key[1])))
                if uuid is not None and index[row]["kept"]:
                    found[uuid] = source.origin(index, row)
        return found

    def count(self, *, kept: bool) -> int:
        """Records that became rows of chunks, or those that were read and are in none."""
        return sum(int(((source.index()["kept"] > 0) == kept).sum()) for source in self._sources)

    def records(self, *, kept: bool) -> Iterator[Origin]:
        """Their origins, in the order of files and bytes."""
        for source in self._sources:
            index = source.index()
            for row in np.flatnonzero((index["kept"] > 0) == kept).tolist():
                yield source.origin(index, row)


def chunk_row(lake: Lake, year: str, origin: Origin) -> bytes:
    """The row of a chunk as it is written there, line end included."""
    with (lake.chunks(year) / origin.chunk).open("rb") as stream:
        stream.seek(origin.chunk_start)
        return stream.read(origin.chunk_end - origin.chunk_start)
