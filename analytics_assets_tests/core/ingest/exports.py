"""Small raw exports for the ingestion tests.

Put here: builders of events and files, and readers of the published result that share no code with the product. Keep
out: expectations.
"""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from analytics_assets.core.lake import Lake

csv.field_size_limit(2**31 - 1)

YEAR = "2024"


def event(number: int = 0, **fields: Any) -> dict[str, Any]:
    """An event with the fields that matter; `fields` replace or add, None included."""
    base = {
        "uuid": f"00000000-0000-4000-8000-{number:012d}",
        "event_type": f"event {number}",
        "event_time": f"2024-03-01 10:00:{number % 60:02d}.000000",
        "server_upload_time": "2024-03-01 11:00:00.000000",
        "session_id": -1,
        "event_properties": {"n": number},
    }
    return base | fields


def encoded(record: Any, **options: Any) -> bytes:
    """JSON bytes of one record."""
    return json.dumps(record, ensure_ascii=False, **options).encode("utf-8")


def array(records: Iterable[Any]) -> bytes:
    """JSON array; bytes are taken as they are."""
    return b"[" + b",\n".join(r if isinstance(r, bytes) else encoded(r) for r in records) + b"]"


def lines(records: Iterable[Any]) -> bytes:
    """One record per line; bytes are taken as they are."""
    return b"".join((r if isinstance(r, bytes) else encoded(r)) + b"\n" for r in records)


def put(lake: Lake, name: str, content: bytes, year: str = YEAR) -> Path:
    """Write a raw file."""
    path = lake.raw(year) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def gzipped(content: bytes, members: int = 1) -> bytes:
    """Gzip bytes, cut into `members` gzip members."""
    size = len(content) // members + 1
    return b"".join(gzip.compress(content[i * size : (i + 1) * size], mtime=0) for i in range(members))


def zipped(members: dict[str, bytes]) -> bytes:
    """Zip archive of gzipped members, as the Export API delivers it."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, gzipped(content))
    return target.getvalue()


def unpacked(path: Path, member: str) -> bytes:
    """Decompressed bytes of a raw file or of one member of it."""
    content = path.read_bytes()
    if member:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            content = archive.read(member)
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


def decompressed_size(content: bytes) -> int:
    """Bytes of a raw file, or of all its members, after decompression."""
    if content[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return sum(decompressed_size(archive.read(entry)) for entry in archive.infolist())
    return len(gzip.decompress(content)) if content[:2] == b"\x1f\x8b" else len(content)


def rows(lake: Lake, year: str = YEAR) -> list[dict[str, str]]:
    """All chunk rows in order, read with the csv module."""
    found = []
    for path in sorted(lake.chunks(year).glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as stream:
            found += list(csv.DictReader(stream, strict=True))
    return found


def refused(lake: Lake, year: str = YEAR) -> list[dict[str, Any]]:
    """All quarantine lines in order; ``raw`` holds the decoded bytes."""
    found = []
    for path in sorted(lake.quarantine(year).iterdir()):
        for line in path.read_bytes().splitlines():
            fields = json.loads(line)
            fields["raw"] = base64.b64decode(fields["bytes_base64"], validate=True)
            found.append(fields)
    return found


def published(lake: Lake, year: str = YEAR) -> dict[str, bytes]:
    """Bytes of every published file of a year; the ledger's mention of digests and counts included."""
    return {
        str(path.relative_to(lake.root)): path.read_bytes()
        for folder in (lake.chunks(year), lake.quarantine(year))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def leftovers(lake: Lake) -> list[str]:
    """Names of whatever lies in the lake beside raw files and results."""
    results = (path for top in ("chunks", "quarantine") for path in (lake.root / top).rglob("*"))
    hidden = [path for path in results if path.name.startswith(".") and path.name != ".ledger"]
    return [str(path) for path in hidden] + [str(path) for path in lake.staging().glob("*")]
