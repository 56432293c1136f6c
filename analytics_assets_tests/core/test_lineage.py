"""The declared column lineage names real columns, and nothing depends on a column that it does not name."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

from analytics_assets.core.features import tables
from analytics_assets.core.features.engine import open_engine, parquet, publish
from analytics_assets.core.lake import Lake
from analytics_assets.schemas import FEATURE_TABLES, TABLES
from analytics_assets.schemas.lineage import LINEAGE
from analytics_assets_tests.core.event_data import (
    TEXTS,
    TIMES,
    hostile_records,
    ingest,
    publish_features,
    read_rows,
    write_rows,
)

YEAR = "2024"
Published = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A year of hostile records with all feature tables."""
    lake = Lake(tmp_path_factory.mktemp("lineage"))
    ingest(lake, YEAR, hostile_records())
    publish_features(lake, YEAR)
    return lake


def rows(path: Path) -> list[dict[str, Any]]:
    cursor = duckdb.execute("SELECT * FROM read_parquet(?)", [str(path)])
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def changed_columns(table: str, before: list[dict[str, Any]], after: list[dict[str, Any]]) -> set[str]:
    """Columns with another value in a row that both have; all when the rows themselves are others."""
    key = TABLES[table].key
    old, new = ({tuple(row[name] for name in key): row for row in found} for found in (before, after))
    if old.keys() != new.keys():
        return set(TABLES[table].column_names)
    return {name for place, row in old.items() for name, value in row.items() if new[place][name] != value}


def test_every_column_has_its_inputs_and_all_of_them_exist() -> None:
    assert list(LINEAGE) == [table.name for table in FEATURE_TABLES]
    for name, lineage in LINEAGE.items():
        assert sorted(lineage.columns) == sorted(TABLES[name].column_names), name
        for column in lineage.columns:
            assert lineage.of(column), (name, column)
            assert all(input_column in TABLES[table].column_names for table, input_column in lineage.of(column)), column


EVENT_COLUMNS = [column for column in TABLES["clean_events"].column_names if column != "uuid"]


@pytest.mark.parametrize("column", EVENT_COLUMNS)
def test_tables_of_sessions_users_and_days_change_only_where_declared(
    published: Lake, tmp_path: Path, column: str
) -> None:
    """A column of the events is moved by seven rows; everything else stays."""
    events = tmp_path / "events.parquet"
    clean, dropped, visits = (published.feature(name, YEAR) for name in ("clean_events", "dropped_events", "sessions"))
    whole = tables.accepted_events([clean], [dropped])
    names = ", ".join(f'"{name}"' for name in TABLES["clean_events"].column_names if name != column)
    with open_engine(tmp_path / "spill") as engine:
        engine.execute(
            f"""
            COPY (
                SELECT {names}, coalesce(lag("{column}", 7) OVER (ORDER BY uuid), "{column}") AS "{column}" FROM {whole}
            ) TO '{events}' (FORMAT parquet)
            """
        )
        queries = {
            "sessions": tables.sessions(parquet([events]), YEAR),
            "user_features": tables.user_features(parquet([events]), [visits]),
            "user_profiles": tables.user_profiles(parquet([events])),
            "daily_metrics": tables.daily_metrics(parquet([events]), [visits], [YEAR]),
        }
        unchanged = {
            "sessions": tables.sessions(whole, YEAR),
            "user_features": tables.user_features(whole, [visits]),
            "user_profiles": tables.user_profiles(whole),
            "daily_metrics": tables.daily_metrics(whole, [visits], [YEAR]),
        }
        for table, query in queries.items():
            if ("clean_events", column) in LINEAGE[table].rows:
                continue
            found = []
            for one in (unchanged[table], query):
                target = tmp_path / f"{table}.parquet"
                publish(engine, one, target, TABLES[table])
                found.append(rows(target))
            declared = {name for name in LINEAGE[table].columns if ("clean_events", column) in LINEAGE[table].of(name)}
            assert changed_columns(table, *found) <= declared, table


CHUNK_COLUMNS = [name for name in (*TEXTS, *TIMES, "app", "event_id") if name != "uuid"]


@pytest.mark.parametrize("column", CHUNK_COLUMNS)
def test_actors_and_events_change_only_where_declared(published: Lake, tmp_path: Path, column: str) -> None:
    """A column of the chunks is moved by seven rows."""
    lake = Lake(tmp_path / "lake")
    shutil.copytree(published.root, lake.root)
    chunks = sorted(lake.chunks(YEAR).glob("part-*.csv"))
    found = read_rows(chunks)
    names, sizes = list(found[0]), [len(read_rows([path])) for path in chunks]
    moved = [row[column] for row in found[7:] + found[:7]]
    if column in ("event_type", "event_time"):  # never null in the chunks, or the time of last resort
        moved = [value if value is not None else row[column] for value, row in zip(moved, found, strict=True)]
    for row, value in zip(found, moved, strict=True):
        row[column] = value
    start = 0
    for path, size in zip(chunks, sizes, strict=True):
        write_rows(path, names, found[start : start + size])
        start += size
    before = {name: rows(published.feature(name, YEAR)) for name in ("actors", "clean_events", "dropped_events")}
    paths = publish_features(lake, YEAR)
    after = {name: rows(paths[name]) for name in before}
    before["events"], after["events"] = (
        [{name: row[name] for name in TABLES["clean_events"].column_names} for row in each["clean_events"]]
        + [{name: row[name] for name in TABLES["clean_events"].column_names} for row in each["dropped_events"]]
        for each in (before, after)
    )
    for table, declaration in (("actors", "actors"), ("events", "clean_events")):
        lineage = LINEAGE[declaration]
        if table == "actors" and ("event_chunks", column) in lineage.rows:
            continue
        direct = {
            name
            for name, inputs in lineage.columns.items()
            if ("event_chunks", column) in (*inputs, *(lineage.rows if table == "actors" else ()))
        }
        # An actor's class is taken from `actors`, whose own inputs count as well.
        if table == "events" and any(
            ("event_chunks", column) in LINEAGE["actors"].of(name) for name in ("actor", "actor_class")
        ):
            direct.add("actor_class")
        assert changed_columns(declaration, before[table], after[table]) <= direct, table
