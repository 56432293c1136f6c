"""Reading the lake: cached, and with errors that name the file and the asset that makes it.

Put here: every read of a lake file. Keep out: what is done with the content (``selection.py``, the pages) and paths
(``analytics_assets.core.lake``).

A cache entry is keyed by path, modification time and size, so a new materialization is seen at the next run of the
page. Cached values are shared between readers and must not be changed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import streamlit as st

from analytics_assets.core.files import read_json
from analytics_assets.core.lake import Lake
from analytics_assets.schemas import EVENT_CHUNKS, NULL_MARK
from dashboards import shapes

Result = TypeVar("Result")

LONGEST_ROW = 33_554_432
"""Bytes of a row of a chunk at most: twice the longest record, because CSV doubles quotes. Also the size of DuckDB's
buffers, whose own choice for rows as long took 170 MB more."""

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


def file_key(path: Path, asset: str) -> FileKey:
    """State of `path` now; `MissingFileError` when there is none."""
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise MissingFileError(path, asset) from error
    except OSError as error:
        raise DamagedFileError(path, asset, reason(error)) from error
    return FileKey(str(path), status.st_mtime_ns, status.st_size)


def reason(error: OSError) -> str:
    """Why the system gives no access to a file, in words."""
    return f"it cannot be read ({error.strerror or type(error).__name__})"


@st.cache_resource(show_spinner=False, max_entries=64)
def _json(key: FileKey, asset: str, _shape: Any) -> Any:
    path = Path(key.path)
    try:
        content = read_json(path)
        shapes.check(content, _shape)
    except OSError as error:
        raise DamagedFileError(path, asset, reason(error)) from error
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
    return checked(found, shape, lake.analysis_results(), "analysis_results", f"models.{name}")


def checked(content: Any, shape: Any, path: Path, asset: str, where: str = "content") -> Any:
    """`content`, a part of a file that was read; `DamagedFileError` unless it has `shape`."""
    try:
        shapes.check(content, shape, where)
    except shapes.ShapeError as error:
        raise DamagedFileError(path, asset, f"it is not what this asset writes ({error})") from error
    return content


@dataclass(frozen=True)
class Table:
    """One state of the files of one table; `DamagedFileError` of a query names `asset`.

    Parameters
    ----------
    files : tuple of FileKey
        All of one kind.
    asset : str
        Asset that writes them.
    chunks : bool
        Whether they are the CSV files of ``event_chunks``, all columns as text, instead of Parquet.
    """

    files: tuple[FileKey, ...]
    asset: str
    chunks: bool = False

    @classmethod
    def of(cls, files: Sequence[Path], asset: str, *, chunks: bool = False) -> Table:
        """State of the files now; `MissingFileError` when one of them is not there."""
        return cls(tuple(file_key(path, asset) for path in files), asset, chunks)

    def sql(self) -> str:
        """Relation of all files."""
        names = ", ".join("'" + key.path.replace("'", "''") + "'" for key in self.files)
        if not self.chunks:
            return f"read_parquet([{names}])"
        columns = ", ".join(f"'{name}': 'VARCHAR'" for name in EVENT_CHUNKS.column_names)
        return (
            f"read_csv([{names}], header = true, auto_detect = false, delim = ',', quote = '\"', escape = '\"', "
            f"nullstr = '{NULL_MARK}', columns = {{{columns}}}, max_line_size = {LONGEST_ROW}, "
            f"buffer_size = {LONGEST_ROW})"
        )


def query(sql: str, files: Sequence[Path], asset: str) -> list[tuple[Any, ...]]:
    """Rows of a query over Parquet files of one table; ``{files}`` in `sql` stands for their relation."""
    return query_tables(sql, {"files": Table.of(files, asset)})


def query_tables(sql: str, tables: Mapping[str, Table]) -> list[tuple[Any, ...]]:
    """Rows of a query over several tables; ``{name}`` in `sql` stands for the relation of ``tables[name]``."""
    return _query(sql, tuple(sorted(tables.items())))


@st.cache_resource(show_spinner=False, max_entries=512)
def _query(sql: str, tables: tuple[tuple[str, Table], ...]) -> list[tuple[Any, ...]]:
    for name, table in tables:
        sql = sql.replace("{" + name + "}", table.sql())
    return with_engine(lambda engine: engine.execute(sql).fetchall(), [table for _, table in tables])


def with_engine(work: Callable[[duckdb.DuckDBPyConnection], Result], tables: Sequence[Table]) -> Result:
    """Result of `work`, which reads `tables`; `DamagedFileError` names the one that cannot be read."""
    with duckdb.connect(":memory:", config=_ENGINE) as engine:
        try:
            return work(engine)
        except (duckdb.Error, OSError) as error:
            # The message of a query over many files does not always name the bad one.
            for table in tables:
                for key in table.files:
                    if not _is_readable(engine, replace(table, files=(key,))):
                        fact = f"it is not a whole {'CSV' if table.chunks else 'Parquet'} file of this table"
                        raise DamagedFileError(Path(key.path), table.asset, fact) from error
            raise DamagedFileError(
                Path(tables[0].files[0].path).parent, tables[0].asset, "its files are not what this asset writes"
            ) from error


def _is_readable(engine: duckdb.DuckDBPyConnection, table: Table) -> bool:
    try:
        engine.execute(f"SELECT * FROM {table.sql()} LIMIT 1").fetchall()
    except (duckdb.Error, OSError):
        return False
    return True
