"""Ingestion next to what a user would pick instead, on the same files.

Put here: the files, one function per way, run as ``python -m analytics_assets_tests.bench.ingestion WAY FOLDER``, or
``prepare FOLDER EVENTS``. Keep out: repetition and printing (``__main__.py``).

Every way is loaded and has run once on a tiny file before its clock starts, as in a process that has been working.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from analytics_assets.core.lake import Lake
from analytics_assets.schemas import EVENT_CHUNKS, NESTED_COLUMNS

YEAR = "2024"
COPIES = 10
"""How much larger the large file is."""

COLLIDING = ("City", "Country", "Region")
"""Keys that real records hold beside their small-letter twins: DuckDB fails on them, so they are left out here."""

NAMES = ", ".join(f'"{name}"' for name in EVENT_CHUNKS.column_names)
TYPES = {"string": "VARCHAR", "int64": "BIGINT", "timestamp": "TIMESTAMP"}


def prepare(folder: Path, events: int) -> dict[str, float]:
    """Write the same events as a JSON array, as NDJSON and, with other uuids, `COPIES` times; figures about them."""
    from analytics_assets.sample.generator import SampleConfig, write_sample

    with tempfile.TemporaryDirectory(dir=folder) as place:
        write_sample(Path(place), SampleConfig(years=(int(YEAR),), events=events * 102 // 100))
        [source] = Path(place, YEAR).glob("*.gz")
        records = _records(source, events)
    for shape in ("array", "ndjson", "large"):
        (folder / shape / "raw" / YEAR).mkdir(parents=True)
    with (_raw(folder, "array")).open("wb") as stream:
        stream.write(b"[" + b",\n".join(records) + b"]")
    content = b"\n".join(records) + b"\n"
    _raw(folder, "ndjson").write_bytes(content)
    with _raw(folder, "large").open("wb") as stream:
        for copy in range(COPIES):
            stream.write(content.replace(b'"uuid":"', b'"uuid":"%d' % copy))
    return {"events": len(records), "bytes": len(content) / len(records)}


def _records(source: Path, wanted: int) -> list[bytes]:
    """Well-formed events of about 1.8 KB."""
    import gzip

    records: list[bytes] = []
    with gzip.open(source) as stream:
        for line in stream:
            try:
                record = json.loads(line.strip().rstrip(b","))
            except ValueError:
                continue
            if not isinstance(record, dict) or not str(record.get("event_time")).startswith("20"):
                continue
            if not record.get("event_type") or not isinstance(record.get("app"), int):
                continue
            properties = record["user_properties"]
            for name in [*COLLIDING, *(name for name in properties if name.startswith("initial_"))][:19]:
                properties.pop(name, None)
            records.append(json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode("utf-8"))
            if len(records) == wanted:
                break
    return records


def _raw(folder: Path, shape: str) -> Path:
    return folder / shape / "raw" / YEAR / f"events.{'json' if shape == 'array' else 'ndjson'}"


def plain(folder: Path) -> Callable[[], object]:
    """What a notebook does: ijson items into a DataFrame per 100,000 records, then to_csv."""
    import ijson
    import pandas as pd

    target = folder / "plain"
    target.mkdir(exist_ok=True)

    def work() -> None:
        rows: list[dict[str, object]] = []
        part = 0
        with _raw(folder, "array").open("rb") as stream:
            for record in ijson.items(stream, "item"):
                rows.append({name: record.get(name) for name in EVENT_CHUNKS.column_names})
                if len(rows) == 100_000:
                    pd.DataFrame(rows).to_csv(target / f"{part}.csv", index=False)
                    rows, part = [], part + 1
        pd.DataFrame(rows).to_csv(target / f"{part}.csv", index=False)

    return work


def _duckdb(folder: Path, shape: str, *, typed: bool = False) -> Callable[[], object]:
    import duckdb

    engine = duckdb.connect()
    engine.execute(f"SET threads = {len(os.sched_getaffinity(0))}")
    kinds = {c.name: "JSON" if c.name in NESTED_COLUMNS else TYPES[c.type] for c in EVENT_CHUNKS.columns}
    columns = ", columns = {" + ", ".join(f"'{name}': '{kind}'" for name, kind in kinds.items()) + "}"
    options = "format = '" + ("array" if shape == "array" else "newline_delimited") + "'" + (columns if typed else "")
    source = f"read_json('{_raw(folder, shape)}', {options})"
    engine.execute(f"COPY (SELECT {NAMES} FROM {source} LIMIT 10) TO '{folder / 'warm.csv'}' (HEADER)")
    return lambda: engine.execute(f"COPY (SELECT {NAMES} FROM {source}) TO '{folder / 'duckdb.csv'}' (HEADER)")


def duckdb_array(folder: Path) -> Callable[[], object]:
    """DuckDB's ``read_json(format='array')`` to one CSV file, types detected."""
    return _duckdb(folder, "array")


def duckdb_ndjson(folder: Path) -> Callable[[], object]:
    """DuckDB's ``newline_delimited`` to one CSV file, types detected."""
    return _duckdb(folder, "ndjson")


def duckdb_ndjson_typed(folder: Path) -> Callable[[], object]:
    """The same with declared types, nested values as text."""
    return _duckdb(folder, "ndjson", typed=True)


def _ours(folder: Path, shape: str, *, again: bool = False, cold: bool = False) -> Callable[[], object]:
    from analytics_assets.core.ingest.run import ingest_year

    if not cold:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            tiny = Lake(Path(place))
            tiny.raw(YEAR).mkdir(parents=True)
            with _raw(folder, shape).open("rb") as stream:
                (tiny.raw(YEAR) / "tiny").write_bytes(stream.read(5_000_000))
            ingest_year(tiny, YEAR)
    lake = Lake(folder / shape)
    if not again:
        shutil.rmtree(lake.chunks(YEAR), ignore_errors=True)
    return lambda: ingest_year(lake, YEAR)


def ours_array(folder: Path) -> Callable[[], object]:
    """`ingest_year` with everything switched on: pseudonyms, duplicates, accounts, digests, fsync."""
    return _ours(folder, "array")


def ours_ndjson(folder: Path) -> Callable[[], object]:
    """The same on NDJSON."""
    return _ours(folder, "ndjson")


def ours_ndjson_cold(folder: Path) -> Callable[[], object]:
    """The same in a process that has just started."""
    return _ours(folder, "ndjson", cold=True)


def ours_large(folder: Path) -> Callable[[], object]:
    """The same on `COPIES` times as many events."""
    return _ours(folder, "large")


def ours_unchanged(folder: Path) -> Callable[[], object]:
    """A run on a folder in which nothing has changed."""
    return _ours(folder, "ndjson", again=True)


def ours_new_file(folder: Path) -> Callable[[], object]:
    """A run on the large folder to which 1 MB was added."""
    number = len(list((folder / "large" / "raw" / YEAR).iterdir()))
    with _raw(folder, "ndjson").open("rb") as stream:
        content = stream.read(1_000_000)
    content = content[: content.rindex(b"\n") + 1].replace(b'"uuid":"', b'"uuid":"n%d' % number)
    (folder / "large" / "raw" / YEAR / f"new-{number}.ndjson").write_bytes(content)
    return _ours(folder, "large", again=True)


WAYS: dict[str, Callable[[Path], Callable[[], object]]] = {
    way.__name__: way
    for way in (
        *(plain, duckdb_array, ours_array, duckdb_ndjson, duckdb_ndjson_typed, ours_ndjson, ours_ndjson_cold),
        *(ours_unchanged, ours_large, ours_new_file),
    )
}


def main() -> None:
    """Run one way and print seconds and peak memory as JSON, or prepare the files and print figures about them."""
    way, folder = sys.argv[1], Path(sys.argv[2])
    if way == "prepare":
        print(json.dumps(prepare(folder, int(sys.argv[3]))))
        return
    work = WAYS[way](folder)
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mb": peak}))


if __name__ == "__main__":
    main()
