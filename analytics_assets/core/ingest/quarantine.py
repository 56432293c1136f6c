"""Refused records with their exact bytes, as NDJSON.

Put here: the format of a quarantine line, its writer and reader. Keep out: why a record is refused (``records.py``).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FILE_NAME = "refused.ndjson"


@dataclass(frozen=True)
class Refused:
    """One refused record.

    Parameters
    ----------
    reason, detail : str
        Code of ``records.REASONS`` and a sentence.
    file, member : str
        Source file below the year's folder, and member of a zip archive (else empty).
    start, end : int
        Byte span in the decompressed stream, end exclusive.
    raw : bytes
        Exactly those bytes.
    """

    reason: str
    detail: str
    file: str
    member: str
    start: int
    end: int
    raw: bytes

    @property
    def id(self) -> str:
        """Name of the record: a digest of where it was found and of its bytes."""
        place = json.dumps([self.file, self.member, self.start, self.end])
        return hashlib.sha256(place.encode("ascii") + self.raw).hexdigest()[:16]

    def to_line(self) -> str:
        """One NDJSON line, line end included."""
        fields = {
            "id": self.id,
            "reason": self.reason,
            "detail": self.detail,
            "file": self.file,
            "member": self.member,
            "start": self.start,
            "end": self.end,
            "bytes_base64": base64.b64encode(self.raw).decode("ascii"),
        }
        return json.dumps(fields, ensure_ascii=True) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Refused:
        """Read one NDJSON line."""
        fields = json.loads(line)
        del fields["id"]
        fields["raw"] = base64.b64decode(fields.pop("bytes_base64"), validate=True)
        return cls(**fields)


class QuarantineWriter:
    """Write refused records to a new file."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("w", encoding="ascii", newline="\n")

    def add(self, refused: Refused) -> None:
        """Append one record."""
        self._stream.write(refused.to_line())

    def close(self) -> None:
        """Finish the file."""
        self._stream.close()


def read_refused(path: Path) -> Iterator[Refused]:
    """Yield every refused record of one file."""
    with path.open(encoding="ascii") as stream:
        for line in stream:
            yield Refused.from_line(line)


def read_quarantine(folder: Path) -> Iterator[Refused]:
    """Yield every refused record of one year."""
    for path in sorted(folder.glob("*.ndjson")):
        yield from read_refused(path)
