"""Reading the lake: cached, and with errors that name the file and the asset that makes it.

Put here: every read of a lake file. Keep out: what is done with the content (``selection.py``, the pages) and paths
(``analytics_assets.core.lake``).

A cache entry is keyed by path, modification time and size, so a new materialization is seen at the next run of the
page. Cached values are shared between readers and must not be changed.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import streamlit as st

from analytics_assets.core.files import read_json
from analytics_assets.core.lake import Lake
from dashboards import shapes

QUARANTINE_SHOWN = 200
"""Refused records that a page shows: more is a job for a query, not for reading."""

_ENGINE = {
    "memory_limit": "1GB",
    "threads": str(min(4, os.cpu_count() or 1)),
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}
"""A page must neither fetch an extension nor take the memory that a running pipeline needs."""


class LakeFileError(Exception):
    """A file of the lake cannot be shown.

    Parameters
    ----------
    path : Path
        The file.
    asset : str
        Asset that writes it.
    fact : str
        What is wrong with it.
    """

    def __init__(self, path: Path, asset: str, fact: str) -> None:
        self.path, self.asset, self.fact = path, asset, fact
        super().__init__(f"{path}: {fact}. Materialize {asset}.")


class MissingFileError(LakeFileError):
    """The asset has not been materialized."""

    def __init__(self, path: Path, asset: str) -> None:
        super().__init__(path, asset, "there is no such file yet")


class DamagedFileError(LakeFileError):
    """The file is there but cannot be read, or it does not hold what the asset writes."""


@dataclass(frozen=True)
class FileKey:
    """One state of one file."""

    path: str
    mtime_ns: int
    size: int


@dataclass(frozen=True)
class RefusedRecord:
    """One record of the quarantine."""

    reason: str
    detail: str
    source: str
    start: int
    end: int
    raw: bytes


def file_key(path: Path, asset: str) -> FileKey:
    """State of `path` now; `MissingFileError` when there is none."""
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise MissingFileError(path, asset) from error
    except OSError as error:
        raise DamagedFileError(path, asset, _reason(error)) from error
    return FileKey(str(path), status.st_mtime_ns, status.st_size)


def _reason(error: OSError) -> str:
    return f"it cannot be read ({error.strerror or type(error).__name__})"


@st.cache_resource(show_spinner=False, max_entries=64)
def _json(key: FileKey, asset: str, _shape: Any) -> Any:
    path = Path(key.path)
    try:
        content = read_json(path)
        shapes.check(content, _shape)
    except OSError as error:
        raise DamagedFileError(path, asset, _reason(error)) from error
    except shapes.ShapeError as error:
        raise DamagedFileError(path, asset, f"it is not what this asset writes ({error})") from error
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(path, asset, "it is not whole JSON") from error
    return content


def results(lake: Lake) -> dict[str, Any]:
    """The published figures."""
    path, asset = lake.analysis_results(), "analysis_results"
    return _json(file_key(path, asset), asset, shapes.RESULTS)


def manifest(lake: Lake, year: str) -> dict[str, Any]:
    """Manifest of one year's chunks."""
    return _json(file_key(lake.manifest(year), "event_chunks"), "event_chunks", shapes.MANIFEST)


def quality(lake: Lake, year: str) -> dict[str, Any]:
    """Quality figures of one year."""
    return _json(file_key(lake.quality(year), "data_quality"), "data_quality", shapes.QUALITY)


def model_metrics(lake: Lake, name: str, shape: dict[str, Any]) -> dict[str, Any] | None:
    """Metrics of one model out of the published figures; None when that model was not trained."""
    found = results(lake)["models"].get(name)
    if found is None:
        return None
    try:
        shapes.check(found, shape, f"models.{name}")
    except shapes.ShapeError as error:
        raise DamagedFileError(
            lake.analysis_results(), "analysis_results", f"it is not what this asset writes ({error})"
        ) from error
    return found


def query(sql: str, files: Sequence[Path], asset: str) -> list[tuple[Any, ...]]:
    """Rows of a query over Parquet files of one table; ``{files}`` in `sql` stands for their relation."""
    return _query(sql, tuple(file_key(path, asset) for path in files), asset)


@st.cache_resource(show_spinner=False, max_entries=128)
def _query(sql: str, keys: tuple[FileKey, ...], asset: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(":memory:", config=_ENGINE) as engine:
        try:
            return _run(engine, sql, keys)
        except (duckdb.Error, OSError) as error:
            # The message of a query over many files does not always name the bad one.
            for key in keys:
                try:
                    _run(engine, sql, [key])
                except (duckdb.Error, OSError):
                    fact = "it is not a whole Parquet file of this table"
                    raise DamagedFileError(Path(key.path), asset, fact) from error
            raise DamagedFileError(Path(keys[0].path).parent, asset, "its files do not fit together") from error


def _run(engine: duckdb.DuckDBPyConnection, sql: str, keys: Sequence[FileKey]) -> list[tuple[Any, ...]]:
    names = ", ".join("'" + key.path.replace("'", "''") + "'" for key in keys)
    return engine.execute(sql.replace("{files}", f"read_parquet([{names}])")).fetchall()


def quarantine(lake: Lake, year: str, reason: str | None) -> list[RefusedRecord]:
    """The first `QUARANTINE_SHOWN` refused records of one year, of one reason or of all."""
    found: list[RefusedRecord] = []
    for path in sorted(lake.quarantine(year).glob("*.ndjson")):
        found += _refused(file_key(path, "event_chunks"), reason, QUARANTINE_SHOWN - len(found))
    return found


@st.cache_resource(show_spinner=False, max_entries=16)
def _refused(key: FileKey, reason: str | None, limit: int) -> list[RefusedRecord]:
    path = Path(key.path)
    found: list[RefusedRecord] = []
    try:
        with path.open(encoding="ascii") as stream:
            for number, line in enumerate(stream, start=1):
                if len(found) >= limit:
                    break
                fields = json.loads(line)
                shapes.check(fields, shapes.REFUSED, f"line {number}")
                if reason in (None, fields["reason"]):
                    source = "!".join(filter(None, (fields["file"], fields["member"])))
                    raw = base64.b64decode(fields["bytes_base64"], validate=True)
                    found.append(
                        RefusedRecord(fields["reason"], fields["detail"], source, fields["start"], fields["end"], raw)
                    )
    except OSError as error:
        raise DamagedFileError(path, "event_chunks", _reason(error)) from error
    except ValueError as error:
        raise DamagedFileError(path, "event_chunks", "a line of it is not a whole refused record") from error
    return found
