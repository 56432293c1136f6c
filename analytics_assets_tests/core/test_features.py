"""The feature tables against plain Python on the same chunks.

Put here: every column of every feature table, New Year, and that equal input gives equal bytes. Keep out: cleaning
profiles (``test_cleaning``), places (``test_places``, ``test_imputation``) and publication as assets.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.features import tables
from analytics_assets.core.features.engine import open_engine, parquet, publish
from analytics_assets.core.features.events import staged_chunks
from analytics_assets.core.files import read_json, write_json
from analytics_assets.core.ingest.run import ingest_year
from analytics_assets.core.lake import Lake
from analytics_assets.core.settings import default_settings
from analytics_assets.schemas import CLEAN_EVENTS, EVENT_CHUNKS, FEATURE_TABLES, TABLES
from analytics_assets_tests.core.cleaning_reference import classes_of
from analytics_assets_tests.core.event_data import (
    Event,
    Records,
    assert_same_rows,
    chunk_files,
    events_of,
    hostile_records,
    ingest,
    ingest_nothing,
    publish_features,
    read_rows,
    write_rows,
)
from analytics_assets_tests.core.feature_reference import (
    class_by_actor,
    expected_clean,
    expected_days,
    expected_dropped,
    expected_profiles,
    expected_sessions,
    expected_users,
    kept,
)


@pytest.fixture(autouse=True, scope="module")
def delivered_ids() -> Iterator[None]:
    """The expectations name people as they were delivered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANALYTICS_PII", "keep")
        yield


DATASETS = ["sample", "hostile"]
YEARS = {"sample": "2025", "hostile": "2024"}


@pytest.fixture(scope="module")
def data(sample_lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with features of hostile records as 2024 and of sample records as 2025; read only."""
    lake = Lake(tmp_path_factory.mktemp("features"))
    ingest(lake, "2024", hostile_records(), max_rows=50)
    lake.raw("2025").symlink_to(sample_lake.raw("2025"))
    ingest_year(lake, "2025", max_rows=1_500)
    for year in YEARS.values():
        publish_features(lake, year)
    return lake


@pytest.fixture(scope="module")
def events(data: Lake) -> dict[str, list[Event]]:
    """Events by dataset, read and interpreted without the code under test."""
    return {dataset: events_of(chunk_files(data, year)) for dataset, year in YEARS.items()}


def rows_of(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("name", [table.name for table in FEATURE_TABLES])
def test_every_column_equals_plain_python(data: Lake, events: dict[str, list[Event]], dataset: str, name: str) -> None:
    year, rows = YEARS[dataset], events[dataset]
    classes = class_by_actor(rows)
    expected = {
        "actors": lambda: list(classes_of(rows, default_settings()).values()),
        "clean_events": lambda: expected_clean(rows, year),
        "dropped_events": lambda: expected_dropped(rows, year),
        "sessions": lambda: expected_sessions(rows, year),
        "user_features": lambda: expected_users(kept(rows), rows, classes),
        "user_profiles": lambda: expected_profiles(kept(rows), classes),
        "daily_metrics": lambda: expected_days(kept(rows), rows, [year], classes),
    }[name]()
    path = data.feature(name, year)
    assert pq.read_schema(path).equals(TABLES[name].arrow_schema())
    found = rows_of(path)
    if name == "dropped_events":
        assert all(row.pop("reason") for row in found)
    assert_same_rows(found, expected, TABLES[name].key)


def test_the_data_exercise_every_class_and_step(data: Lake) -> None:
    """The comparison above means something only as long as the data hold what it is about."""
    classes = {row["actor_class"] for year in YEARS.values() for row in rows_of(data.feature("actors", year))}
    assert classes == {"user", "device", "scripted", "sentinel"}
    steps = {row["dropped_by"] for year in YEARS.values() for row in rows_of(data.feature("dropped_events", year))}
    assert steps == {"exact_duplicates", "rows_without_actor"}


@pytest.mark.parametrize("dataset", DATASETS)
def test_rows_are_in_a_stated_order(data: Lake, dataset: str) -> None:
    orders = {
        "actors": ("actor",),
        "clean_events": ("time", "uuid"),
        "dropped_events": ("time", "uuid"),
        "sessions": ("start_time", "session_key"),
        "user_features": ("actor",),
        "user_profiles": ("actor", "dimension", "value"),
        "daily_metrics": ("date",),
    }
    for name, columns in orders.items():
        keys = [tuple(row[column] for column in columns) for row in rows_of(data.feature(name, YEARS[dataset]))]
        assert keys == sorted(keys), name


@pytest.mark.parametrize("dataset", DATASETS)
def test_no_real_number_is_nan_or_infinite(data: Lake, dataset: str) -> None:
    for table in FEATURE_TABLES:
        for row in rows_of(data.feature(table.name, YEARS[dataset])):
            assert all(math.isfinite(value) for value in row.values() if isinstance(value, float)), (table.name, row)


def test_every_event_is_counted_once_in_sessions_and_days(data: Lake, events: dict[str, list[Event]]) -> None:
    for dataset, year in YEARS.items():
        inside = sum(event.session is not None for event in events[dataset])
        assert sum(row["events"] for row in rows_of(data.feature("sessions", year))) == inside
        clean = len(rows_of(data.feature("clean_events", year)))
        assert clean + len(rows_of(data.feature("dropped_events", year))) == len(events[dataset])
        assert sum(row["events"] for row in rows_of(data.feature("daily_metrics", year))) == clean
        sessions = len({event.session for event in kept(events[dataset])} - {None})
        assert sum(row["sessions"] for row in rows_of(data.feature("daily_metrics", year))) == sessions


# New Year


def new_year(lake: Lake) -> None:
    """One session with its first part delivered for 2024 and its second for 2025, and one session of each year."""
    old, new = Records("old"), Records("new")
    crossing = {"session_id": 1735688700000, "amplitude_id": 1}
    old.add("2024-12-31 23:45:00", "start", **crossing, user_id=None)
    old.add("2024-12-31 23:59:59.5", "view", **crossing)
    new.add("2025-01-01 00:00:10", "view", **crossing)
    new.add("2025-01-01 00:20:00.25", "end", **crossing)
    old.add("2024-06-01 10:00:00", "start", session_id=1717236000000)
    old.add("2024-06-01 10:00:30", "end", session_id=1717236000000)
    new.add("2025-06-01 10:00:00", "start", session_id=1748772000000)
    # Delivered a year late, and a year early.
    new.add("2024-11-01 10:00:00", "late", session_id=-1)
    old.add("2025-02-01 10:00:00", "early", session_id=1738404000000, amplitude_id=2)
    for year, records in {"2024": old, "2025": new}.items():
        ingest(lake, year, records.made)
        publish_features(lake, year)


def query_rows(lake: Lake, query: str) -> list[dict[str, Any]]:
    with open_engine(lake.staging() / "duckdb") as engine:
        found: list[dict[str, Any]] = engine.sql(query).to_arrow_table().to_pylist()
    return found


def test_session_over_new_year_is_flagged_in_both_years_and_merged(lake: Lake) -> None:
    new_year(lake)
    parts = {year: rows_of(lake.feature("sessions", year)) for year in ("2024", "2025")}
    key = "amplitude:1|1735688700000"
    flagged = {year: {row["session_key"] for row in rows if row["may_cross_year"]} for year, rows in parts.items()}
    assert flagged == {"2024": {key, "amplitude:2|1738404000000"}, "2025": {key}}
    assert [row["events"] for rows in parts.values() for row in rows if row["session_key"] == key] == [2, 2]
    merged = query_rows(lake, tables.merged_sessions([lake.feature("sessions", year) for year in parts]))
    assert len(merged) == len({row["session_key"] for row in merged}) == 4
    [crossing] = [row for row in merged if row["session_key"] == key]
    assert crossing == {
        "session_key": key,
        "actor": "device:dev-1",
        "session_id": 1735688700000,
        "start_time": datetime(2024, 12, 31, 23, 45),
        "end_time": datetime(2025, 1, 1, 0, 20, 0, 250_000),
        "duration_us": 2_100_250_000,
        "events": 4,
        "entry_event": "start",
        "exit_event": "end",
    }


def test_tables_over_both_years_equal_plain_python(lake: Lake) -> None:
    new_year(lake)
    years = ("2024", "2025")
    clean, visits = ([lake.feature(name, year) for year in years] for name in ("clean_events", "sessions"))
    events = [event for year in years for event in events_of(chunk_files(lake, year))]
    classes = class_by_actor(events)
    for name, query, expected in (
        ("user_features", tables.user_features(parquet(clean), visits), expected_users(events, events, classes)),
        (
            "daily_metrics",
            tables.daily_metrics(parquet(clean), visits, years),
            expected_days(events, events, years, classes),
        ),
    ):
        order = ", ".join(TABLES[name].column_names)
        assert_same_rows(query_rows(lake, f"SELECT {order} FROM ({query})"), expected, TABLES[name].key)


def test_events_of_other_years_stay_and_are_flagged(lake: Lake) -> None:
    new_year(lake)
    outside = {
        year: [row["event_type"] for row in rows_of(lake.feature("clean_events", year)) if row["outside_year"]]
        for year in ("2024", "2025")
    }
    assert outside == {"2024": ["early"], "2025": ["late"]}


def test_a_clock_that_says_1970_or_9999_adds_one_day_each(lake: Lake) -> None:
    new = Records()
    new.add("1970-01-01 00:00:00")
    new.add("2024-03-01 00:00:00")
    new.add("2024-03-03 00:00:00")
    new.add("9999-12-31 23:59:59")
    ingest(lake, "2024", new.made)
    rows = rows_of(publish_features(lake, "2024")["daily_metrics"])
    assert [(str(row["date"]), row["outside_year"], row["is_gap"]) for row in rows] == [
        ("1970-01-01", True, False),
        ("2024-03-01", False, False),
        ("2024-03-02", False, True),
        ("2024-03-03", False, False),
        ("9999-12-31", True, False),
    ]


def test_days_without_events_are_rows(lake: Lake) -> None:
    new = Records()
    new.add("2024-02-27 23:59:59.999999")
    new.add("2024-03-01 00:00:00")
    ingest(lake, "2024", new.made)
    rows = rows_of(publish_features(lake, "2024")["daily_metrics"])
    assert [(str(row["date"]), row["is_gap"]) for row in rows] == [
        ("2024-02-27", False),
        ("2024-02-28", True),
        ("2024-02-29", True),
        ("2024-03-01", False),
    ]
    empty = {"events": 0, "actors": 0, "sessions": 0, "mean_session_seconds": None, "mean_latency_ms": None}
    assert {name: rows[1][name] for name in empty} == empty


def test_shared_session_belongs_to_every_actor_in_it(lake: Lake) -> None:
    """Someone who logs in after the first event has a session, too."""
    new = Records()
    new.add("2024-05-01 10:00:00", user_id=None)
    new.add("2024-05-01 10:00:10")
    new.add("2024-05-01 10:01:00")
    ingest(lake, "2024", new.made)
    rows = {row["actor"]: row for row in rows_of(publish_features(lake, "2024")["user_features"])}
    assert {actor: row["sessions"] for actor, row in rows.items()} == {"device:dev-1": 1, "user:ann": 1}
    assert {actor: row["events_per_session"] for actor, row in rows.items()} == {"device:dev-1": 1.0, "user:ann": 2.0}
    assert {row["mean_session_seconds"] for row in rows.values()} == {60.0}


def test_actor_without_session_has_nulls_not_zeros(lake: Lake) -> None:
    new = Records()
    new.add("2024-05-01 10:00:00", session_id=-1)
    ingest(lake, "2024", new.made)
    [row] = rows_of(publish_features(lake, "2024")["user_features"])
    assert row["sessions"] == 0
    names = ("events_per_session", "mean_session_seconds", "median_session_seconds", "action_session_share")
    assert [row[name] for name in names] == [None] * 4
    assert math.copysign(1, row["event_entropy"]) == 1.0


# Equal input, equal bytes


def test_order_and_split_of_the_input_do_not_change_a_byte(lake: Lake, data: Lake, tmp_path: Path) -> None:
    records = hostile_records()
    folder = lake.raw("2024")
    ingest(lake, "2024", reversed(records), max_rows=70)
    assert folder.is_dir()
    for name, path in publish_features(lake, "2024").items():
        assert path.read_bytes() == data.feature(name, "2024").read_bytes(), name


def test_second_publication_is_byte_identical(data: Lake, tmp_path: Path) -> None:
    twin = Lake(tmp_path)
    (tmp_path / "chunks").symlink_to(data.root / "chunks")
    for year in YEARS.values():
        for name, path in publish_features(twin, year).items():
            assert path.read_bytes() == data.feature(name, year).read_bytes(), name


def test_thread_count_does_not_change_a_byte(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough rows for several row groups, so that threads share the work; latencies and hours with long fractions."""
    start = "TIMESTAMP '2024-01-01'"
    made = f"""
        SELECT *, 'user:' || (session // 3) % 4000 AS actor, 'amplitude:' || session || '|' || session AS session_key,
            session AS session_id, (hash(i) % 37)::VARCHAR AS event_type,
            {start} + to_microseconds((hash(i, 1) % 31000000000000)::BIGINT) AS time,
            CASE WHEN hash(i, 3) % 5 > 0 THEN (hash(i, 4) % 100000000) / 1000.0 END AS latency_ms,
            ['Norway', 'Chile', NULL][(1 + hash(i, 5) % 3)::BIGINT] AS country
        FROM (SELECT i, (hash(i, 6) % 40000)::BIGINT AS session FROM range(300000) t(i))
    """
    given = {"uuid": "lpad(i::VARCHAR, 7, '0')", "outside_year": "false", "is_noise": "hash(i, 7) % 3 > 0"}
    given |= {"actor_class": "'user'", "hour": "hour(time)", "weekday": "isodow(time)", "intent_step": "i % 9"}
    given |= dict.fromkeys(("hour_sin", "hour_cos", "weekday_sin", "weekday_cos"), "0.0")
    given |= {name: name for name in ("time", "event_type", "actor", "session_key", "session_id", "latency_ms")}
    given |= {"country": "country", "position": "row_number() OVER (PARTITION BY session_key ORDER BY time, i)"}
    columns = ", ".join(f"{given.get(column.name, 'NULL')} AS {column.name}" for column in CLEAN_EVENTS.columns)
    clean, visits = lake.feature("clean_events", "2024"), lake.feature("sessions", "2024")
    contents: dict[str, list[bytes]] = defaultdict(list)
    for threads in ("1", "2", "4"):
        monkeypatch.setenv("ANALYTICS_THREADS", threads)
        with open_engine(lake.staging() / "duckdb") as engine:
            [(used,)] = engine.execute("SELECT current_setting('threads')").fetchall()
            assert str(used) == threads
            if threads == "1":
                publish(engine, f"SELECT {columns} FROM ({made}) ORDER BY time, uuid", clean, CLEAN_EVENTS)
            for table, query in (
                ("sessions", tables.sessions(parquet([clean]), "2024")),
                ("user_features", tables.user_features(parquet([clean]), [visits])),
                ("user_profiles", tables.user_profiles(parquet([clean]))),
                ("daily_metrics", tables.daily_metrics(parquet([clean]), [visits], ["2024"])),
            ):
                publish(engine, query, lake.feature(table, "2024"), TABLES[table])
                contents[table].append(lake.feature(table, "2024").read_bytes())
    assert {name: len(set(found)) for name, found in contents.items()} == dict.fromkeys(contents, 1)


def test_no_events_give_empty_tables(lake: Lake) -> None:
    ingest_nothing(lake, "2024")
    for name, path in publish_features(lake, "2024").items():
        table = pq.read_table(path)
        assert table.num_rows == 0
        assert table.schema.equals(TABLES[name].arrow_schema())


# The chunks


def test_columns_are_taken_by_name(lake: Lake, data: Lake, tmp_path: Path) -> None:
    lake.chunks("2024").mkdir(parents=True)
    names = list(reversed(EVENT_CHUNKS.column_names))
    write_rows(lake.chunks("2024") / "part-00000.csv", names, read_rows(chunk_files(data, "2024")))
    manifest = {**read_json(data.manifest("2024")), "chunks": [{"path": "part-00000.csv"}]}
    write_json(lake.manifest("2024"), manifest)
    publish_features(lake, "2024")
    for name in ("actors", "clean_events"):
        assert lake.feature(name, "2024").read_bytes() == data.feature(name, "2024").read_bytes(), name


@pytest.mark.parametrize("change", ["missing", "undeclared", "twice", "other order"])
def test_wrong_header_names_the_file(lake: Lake, tmp_path: Path, change: str) -> None:
    rows = read_rows(ingest(lake, "2024", [Records().add("2024-05-01 10:00:00")]))
    names = EVENT_CHUNKS.column_names
    good = write_rows(tmp_path / "a.csv", names, rows)
    wrong = {
        "missing": names[:-1],
        "undeclared": [*names, "surprise"],
        "twice": [*names, "city"],
        "other order": names[::-1],
    }[change]
    bad = write_rows(tmp_path / "b.csv", wrong, [{**row, "surprise": "x"} for row in rows])
    with pytest.raises(PipelineError) as failure:
        staged_chunks([good, bad])
    assert failure.value.place == str(bad)


@pytest.mark.parametrize(
    ("column", "value"),
    [("session_id", "abc"), ("session_id", ""), ("event_time", "yesterday")],
)
def test_value_that_does_not_fit_fails(lake: Lake, tmp_path: Path, column: str, value: str) -> None:
    rows = read_rows(ingest(lake, "2024", [Records().add("2024-05-01 10:00:00")]))
    path = write_rows(tmp_path / "bad.csv", EVENT_CHUNKS.column_names, [rows[0], {**rows[0], column: value}])
    with open_engine(lake.staging() / "duckdb") as engine, pytest.raises(Exception, match=r"bad\.csv"):
        engine.execute(f"COPY ({staged_chunks([path])}) TO '{tmp_path / 'staged.parquet'}'")


@pytest.mark.parametrize("fields", [29, 31])
def test_row_of_another_length_fails(lake: Lake, tmp_path: Path, fields: int) -> None:
    [path] = ingest(lake, "2024", [Records().add("2024-05-01 10:00:00")])
    bad = tmp_path / "bad.csv"
    bad.write_text(path.read_text() + ",".join(['"1"'] * fields) + "\n")
    with open_engine(lake.staging() / "duckdb") as engine, pytest.raises(Exception, match=r"bad\.csv"):
        engine.execute(f"COPY ({staged_chunks([bad])}) TO '{tmp_path / 'staged.parquet'}'")
