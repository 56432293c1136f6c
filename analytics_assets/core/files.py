"""Atomic writes: a file or folder is either whole or absent.

Put here: temp + fsync + rename for bytes, JSON, Arrow tables and folders. Keep out: paths (``core/lake.py``).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from analytics_assets.schemas import Table

READ_BLOCK = 1 << 20
"""Bytes per read when a whole file is hashed: large enough that the hash, not the call, is the cost."""

ROW_GROUP_ROWS = 131_072
"""Rows per Parquet row group: fixed, so that equal rows give equal bytes."""


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the content of `path` durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; on success it is synced and renamed to `target`, else removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{target.name}.{os.getpid()}.tmp"
    try:
        yield temporary
        sync_file(temporary)
        os.replace(temporary, target)
        sync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(target: Path, content: bytes) -> None:
    """Write `content` to `target` atomically."""
    with atomic_path(target) as temporary:
        temporary.write_bytes(content)


def write_text(target: Path, content: str) -> None:
    """Write UTF-8 `content` to `target` atomically."""
    write_bytes(target, content.encode("utf-8"))


def json_bytes(value: Any) -> bytes:
    """Serialize `value` as stable, readable JSON; NaN and infinity raise ValueError."""
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")


def write_json(target: Path, value: Any) -> None:
    """Write `value` as JSON to `target` atomically."""
    write_bytes(target, json_bytes(value))


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_table(target: Path, batches: pa.RecordBatchReader | pa.Table, table: Table) -> int:
    """Write Arrow data as Parquet under the declared schema, atomically.

    Parameters
    ----------
    target : Path
        File to write.
    batches : pyarrow.RecordBatchReader or pyarrow.Table
        Columns in any order; they are selected by name.
    table : Table
        Declared schema; a missing column or a value that does not fit raises.

    Returns
    -------
    int
        Rows written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = table.arrow_schema()
    rows = 0
    with atomic_path(target) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        source = batches.to_reader() if isinstance(batches, pa.Table) else batches
        source.schema.empty_table().select(schema.names).cast(schema)  # a source without rows must fit too
        pending: list[pa.RecordBatch] = []
        waiting = 0

        def flush() -> None:
            if pending:
                # One contiguous piece: page borders follow the pieces, and equal rows are to give equal bytes.
                part = pa.Table.from_batches(pending).select(schema.names).cast(schema).combine_chunks()
                writer.write_table(part, row_group_size=ROW_GROUP_ROWS)

        for batch in source:
            offset = 0
            while offset < batch.num_rows:
                piece = batch.slice(offset, ROW_GROUP_ROWS - waiting)
                pending.append(piece)
                waiting += piece.num_rows
                offset += piece.num_rows
                rows += piece.num_rows
                if waiting == ROW_GROUP_ROWS:
                    flush()
                    pending, waiting = [], 0
        flush()
    return rows


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(READ_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def empty_folder(folder: Path) -> None:
    """Make `folder`, without anything that a broken run left in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def previous_of(target: Path) -> Path:
    """Where `replace_folder` puts the folder it replaces for the moment between its renames."""
    return target.parent / f".{target.name}.previous"


def replace_folder(staged: Path, target: Path) -> None:
    """Publish `staged` as `target`: the old folder is moved aside, the new one renamed in, the old one removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for path in staged.rglob("*"):
        if path.is_file():
            sync_file(path)
    sync_folder(staged)
    previous = previous_of(target)
    if target.exists():
        shutil.rmtree(previous, ignore_errors=True)
        os.replace(target, previous)
    try:
        os.replace(staged, target)
    except OSError:
        if previous.exists():
            os.replace(previous, target)
        raise
    sync_folder(target.parent)
    shutil.rmtree(previous, ignore_errors=True)
