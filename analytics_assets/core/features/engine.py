"""DuckDB over the lake's files.

Put here: how a connection is opened and how chunks are read. Keep out: the queries of single tables.

Aggregates over fractions are written on integers (microseconds) or in a stated order, because the order in which
threads add up doubles would change the last bits from run to run.
"""

from __future__ import annotations

import csv
import glob
import os
import platform
import shutil
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import duckdb
import psutil

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.expressions import normalized_select
from analytics_assets.core.files import ROW_GROUP_ROWS, write_table
from analytics_assets.schemas import EVENT_CHUNKS, NULL_MARK, Table

MEMORY_LIMIT = "1500MB"
"""DuckDB's share: below it queries stay in memory, above it they spill to disk."""

_TYPES = {"string": "VARCHAR", "int64": "BIGINT", "timestamp": "TIMESTAMP"}


_NUMBERS = count()
"""Numbers of the connections of this process."""


def open_engine(spill_folder: Path) -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB that may spill below `spill_folder`; it neither loads nor fetches extensions.

    Each connection has a folder of its own: DuckDB names what it spills alike in every process, and two steps run at
    once. Folders of this machine's processes that were killed are removed.
    """
    spill_folder.mkdir(parents=True, exist_ok=True)
    machine = platform.node()
    for left in spill_folder.glob(f"{glob.escape(machine)}~*~*"):
        if not psutil.pid_exists(int(left.name.split("~")[-2])):
            shutil.rmtree(left, ignore_errors=True)
    return duckdb.connect(
        ":memory:",
        config={
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": str(spill_folder / f"{machine}~{os.getpid()}~{next(_NUMBERS)}"),
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "threads": str(os.environ.get("ANALYTICS_THREADS") or os.cpu_count() or 1),
        },
    )


def sql_list(paths: Sequence[Path]) -> str:
    """File names as a SQL list of strings."""
    return "[" + ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths) + "]"


def chunk_header(files: Sequence[Path]) -> list[str]:
    """Column names of the chunks in the order of their own header.

    Raises
    ------
    PipelineError
        A header lacks a declared column, has one twice or another one, or two files differ in their order.
    """
    first: list[str] = []
    for path in files:
        with path.open(encoding="utf-8", newline="") as stream:
            names = next(csv.reader(stream), [])
        missing = [name for name in EVENT_CHUNKS.column_names if name not in names]
        unknown = [name for name in names if name not in EVENT_CHUNKS.column_names]
        fact = ""
        if missing:
            fact = f"the header lacks {', '.join(missing)}"
        elif unknown:
            fact = f"the header has undeclared columns {', '.join(unknown)}"
        elif len(names) > len(EVENT_CHUNKS.columns):
            fact = "the header has a column twice"
        elif first and names != first:
            fact = f"its columns are in another order than those of {files[0].name}"
        if fact:
            raise PipelineError(path, fact, "Materialize event_chunks again for this year.")
        first = names
    return first


def raw_chunks(files: Sequence[Path]) -> str:
    """Relation of the chunks' 30 columns as delivered, named and typed through the files' own header."""
    header = chunk_header(files)
    columns = ", ".join(f"'{name}': '{_TYPES[EVENT_CHUNKS.column(name).type]}'" for name in header)
    return (
        f"read_csv({sql_list(files)}, header = true, auto_detect = false, delim = ',', quote = '\"', escape = '\"', "
        f"nullstr = '{NULL_MARK}', columns = {{{columns}}}, timestampformat = '%Y-%m-%d %H:%M:%S.%f', "
        "max_line_size = 33554432)"
    )


def normalized_chunks(files: Sequence[Path]) -> str:
    """Relation of the chunks' columns with null tokens as nulls."""
    quote = '"'
    return f"(SELECT {normalized_select(quote)} FROM {raw_chunks(files)})"


def parquet(files: Sequence[Path]) -> str:
    """Relation of Parquet files of one table."""
    return f"read_parquet({sql_list(files)})"


def publish(engine: duckdb.DuckDBPyConnection, query: str, target: Path, table: Table) -> int:
    """Run `query` and publish its rows as `table`; return the row count."""
    names = ", ".join(f'"{name}"' for name in table.column_names)
    reader = engine.sql(f"SELECT {names} FROM ({query})").to_arrow_reader(ROW_GROUP_ROWS)
    return write_table(target, reader, table)
