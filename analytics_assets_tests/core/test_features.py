"""The feature tables and the quality figures against plain Python on the same chunks.

Put here: every column of every feature table, the waterfall, New Year, and that equal input gives equal bytes. Keep
out: publication as assets and their checks (``test_feature_assets``).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import groupby, pairwise
from pathlib import Path
from statistics import fmean, median
from typing import Any

import pyarrow.parquet as pq
import pytest

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.features import tables
from analytics_assets.core.features.engine import open_engine, publish
from analytics_assets.core.features.quality import quality_report
from analytics_assets.core.files import json_bytes, read_json
from analytics_assets.core.ingest.run import ingest_year
from analytics_assets.core.lake import Lake
from analytics_assets.schemas import CLEAN_EVENTS, EVENT_CHUNKS, FEATURE_TABLES, TABLES
from analytics_assets_tests.core.event_data import (
    NO_TOKENS,
    TOKENS,
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


@pytest.fixture(autouse=True, scope="module")
def delivered_ids() -> Iterator[None]:
    """The expectations name people as they were delivered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANALYTICS_PII", "keep")
        yield


DATASETS = ["sample", "hostile"]
YEARS = {"sample": "2025", "hostile": "2024"}
MICROSECOND = timedelta(microseconds=1)


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


def micros(start: datetime | None, end: datetime | None) -> int | None:
    return None if start is None or end is None else (end - start) // MICROSECOND


def in_sessions(events: Sequence[Event]) -> dict[str, list[Event]]:
    found = defaultdict(list)
    for event in events:
        if event.session is not None:
            found[event.session].append(event)
    return {session: sorted(members, key=lambda e: e.order) for session, members in found.items()}


def expected_clean(events: Sequence[Event], year: str) -> list[dict[str, Any]]:
    places = {e["uuid"]: n for members in in_sessions(events).values() for n, e in enumerate(members, start=1)}
    found = []
    for event in events:
        latency = micros(event["client_upload_time"], event["server_received_time"])
        processing = micros(event["server_received_time"], event["processed_time"])
        derived = {
            "time": event.time,
            "actor": event.actor,
            "session_key": event.session,
            "position": places.get(event["uuid"]),
            "latency_ms": None if latency is None else latency / 1000,
            "processing_ms": None if processing is None else processing / 1000,
            "outside_year": event.time.year != int(year),
        }
        found.append({n: derived[n] if n in derived else event[n] for n in CLEAN_EVENTS.column_names})
    return found


def first_known(events: Sequence[Event], name: str) -> Any:
    return next((event[name] for event in events if event[name] is not None), None)


def expected_sessions(events: Sequence[Event], year: str) -> list[dict[str, Any]]:
    start, end = datetime(int(year), 1, 1), datetime(int(year) + 1, 1, 1)
    epoch = datetime(1970, 1, 1)
    milliseconds = [(moment - epoch) // timedelta(milliseconds=1) for moment in (start, end)]
    found = []
    for session, members in in_sessions(events).items():
        first, last = members[0], members[-1]
        number = first["session_id"]
        found.append(
            {
                "session_key": session,
                "actor": first.actor,
                "session_id": number,
                "person": session.removesuffix(f"|{number}"),
                "start_time": first.time,
                "end_time": last.time,
                "duration_seconds": (last.time - first.time).total_seconds(),
                "events": len(members),
                "event_types": len({event["event_type"] for event in members}),
                "entry_event": first["event_type"],
                "exit_event": last["event_type"],
                "country": first_known(members, "country"),
                "device_family": first_known(members, "device_family"),
                "may_cross_year": first.time < start
                or last.time >= end - timedelta(minutes=30)
                or not milliseconds[0] <= number < milliseconds[1],
            }
        )
    return found


def most_frequent(values: Sequence[Any]) -> Any:
    counts = Counter(value for value in values if value is not None)
    return min(counts, key=lambda value: (-counts[value], value)) if counts else None


def expected_users(events: Sequence[Event]) -> list[dict[str, Any]]:
    sessions = in_sessions(events)
    by_actor = defaultdict(list)
    for event in events:
        if event.actor is not None:
            by_actor[event.actor].append(event)
    newest = max((event.time for members in by_actor.values() for event in members), default=None)
    found = []
    for actor, members in by_actor.items():
        times = [event.time for event in members]
        days = len({time.date() for time in times})
        own = {event.session for event in members if event.session is not None}
        seconds = [(sessions[key][-1].time - sessions[key][0].time).total_seconds() for key in own]
        types = Counter(event["event_type"] for event in members)
        inside = sum(event.session is not None for event in members)
        shares = [count / len(members) for count in types.values()]
        angles = [2 * math.pi * time.hour / 24 for time in times]
        found.append(
            {
                "actor": actor,
                "first_seen": min(times),
                "last_seen": max(times),
                "active_days": days,
                "tenure_days": (max(times) - min(times)) / timedelta(days=1),
                "recency_days": (newest - max(times)) / timedelta(days=1),
                "events": len(members),
                "sessions": len(own),
                "event_types": len(types),
                "events_per_active_day": len(members) / days,
                "events_per_session": inside / len(own) if own else None,
                "mean_session_seconds": fmean(seconds) if own else None,
                "median_session_seconds": median(seconds) if own else None,
                "action_session_share": sum(s > 1 for s in seconds) / len(own) if own else None,
                "weekend_share": sum(time.weekday() >= 5 for time in times) / len(times),
                "hour_sin": fmean(map(math.sin, angles)),
                "hour_cos": fmean(map(math.cos, angles)),
                "event_entropy": -sum(share * math.log2(share) for share in shares) + 0.0,
                "top_event": most_frequent([event["event_type"] for event in members]),
                "country": most_frequent([event["country"] for event in members]),
                "device_family": most_frequent([event["device_family"] for event in members]),
            }
        )
    return found


def expected_days(events: Sequence[Event]) -> list[dict[str, Any]]:
    by_day: dict[date, list[Event]] = defaultdict(list)
    for event in events:
        by_day[event.time.date()].append(event)
    durations: dict[date, list[float]] = defaultdict(list)
    for members in in_sessions(events).values():
        durations[members[0].time.date()].append((members[-1].time - members[0].time).total_seconds())
    found = []
    for number in range((max(by_day) - min(by_day)).days + 1):
        day = min(by_day) + timedelta(days=number)
        members = by_day.get(day, [])
        latencies = [micros(e["client_upload_time"], e["server_received_time"]) for e in members]
        known = [latency / 1000 for latency in latencies if latency is not None and abs(latency) <= 60_000_000]
        found.append(
            {
                "date": day,
                "events": len(members),
                "actors": len({event.actor for event in members} - {None}),
                "sessions": len(durations.get(day, [])),
                "mean_session_seconds": fmean(durations[day]) if day in durations else None,
                "mean_latency_ms": fmean(known) if known else None,
                "is_gap": not members,
            }
        )
    return found


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("name", [table.name for table in FEATURE_TABLES])
def test_every_column_equals_plain_python(data: Lake, events: dict[str, list[Event]], dataset: str, name: str) -> None:
    year, rows = YEARS[dataset], events[dataset]
    expected = {
        "clean_events": lambda: expected_clean(rows, year),
        "sessions": lambda: expected_sessions(rows, year),
        "user_features": lambda: expected_users(rows),
        "daily_metrics": lambda: expected_days(rows),
    }[name]()
    path = data.feature(name, year)
    assert pq.read_schema(path).equals(TABLES[name].arrow_schema())
    assert_same_rows(rows_of(path), expected, TABLES[name].key)


@pytest.mark.parametrize("dataset", DATASETS)
def test_rows_are_in_a_stated_order(data: Lake, dataset: str) -> None:
    orders = {
        "clean_events": ("time", "uuid"),
        "sessions": ("start_time", "session_key"),
        "user_features": ("actor",),
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
        assert sum(row["events"] for row in rows_of(data.feature("daily_metrics", year))) == len(events[dataset])
        sessions = len(in_sessions(events[dataset]))
        assert sum(row["sessions"] for row in rows_of(data.feature("daily_metrics", year))) == sessions


# Quality


def report_of(lake: Lake, year: str) -> dict[str, Any]:
    with open_engine(lake.staging() / "duckdb") as engine:
        return quality_report(
            engine, read_json(lake.manifest(year)), chunk_files(lake, year), lake.feature("clean_events", year)
        )


@pytest.fixture(scope="module")
def reports(data: Lake) -> dict[str, dict[str, Any]]:
    """Quality report by dataset."""
    return {dataset: report_of(data, year) for dataset, year in YEARS.items()}


@pytest.mark.parametrize("dataset", DATASETS)
def test_waterfall_adds_up(data: Lake, reports: dict[str, dict[str, Any]], dataset: str) -> None:
    steps = reports[dataset]["waterfall"]
    total = read_json(data.manifest(YEARS[dataset]))["total"]
    for before, after in pairwise(steps):
        assert before["rows_after"] == after["rows_before"]
        assert before["columns_after"] == after["columns_before"]
    assert steps[0]["rows_before"] == total["records_seen"]
    assert steps[-1]["rows_after"] == len(rows_of(data.feature("clean_events", YEARS[dataset]))) == total["loaded"]
    assert steps[0]["columns_before"] == 30
    assert steps[-1]["columns_after"] == len(CLEAN_EVENTS.columns)
    lost = {step["step"]: step["rows_before"] - step["rows_after"] for step in steps}
    assert lost.pop("refuse") == total["quarantined"] == sum(steps[0]["details"].values())
    assert lost.pop("drop exact duplicates") == total["duplicates"]
    assert set(lost.values()) == {0}
    if dataset == "sample":
        assert total["quarantined"] and total["duplicates"], "the sample must exercise both"


def test_dropped_columns_are_named_with_a_reason(reports: dict[str, dict[str, Any]]) -> None:
    details = reports["sample"]["waterfall"][-1]["details"]
    assert set(details) == set(EVENT_CHUNKS.column_names) - set(CLEAN_EVENTS.column_names)
    assert all(details.values())


@pytest.mark.parametrize("dataset", DATASETS)
def test_normalized_nulls_are_counted_by_column(data: Lake, reports: dict[str, dict[str, Any]], dataset: str) -> None:
    counts: Counter[str] = Counter()
    for row in read_rows(chunk_files(data, YEARS[dataset])):
        counts.update(name for name, value in row.items() if value in TOKENS and name not in NO_TOKENS)
    [step] = [step for step in reports[dataset]["waterfall"] if step["step"] == "normalize nulls"]
    assert step["details"] == dict(counts)


@pytest.mark.parametrize("dataset", DATASETS)
def test_quality_figures(
    data: Lake, events: dict[str, list[Event]], reports: dict[str, dict[str, Any]], dataset: str
) -> None:
    report, rows, year = reports[dataset], events[dataset], YEARS[dataset]
    manifest = read_json(data.manifest(year))
    assert (report["year"], report["raw_digest"]) == (year, manifest["raw_digest"])
    assert report["ingestion"] == {**manifest["total"], "reasons": manifest["quarantine_reasons"]}
    clean = expected_clean(rows, year)
    for figure, name in zip(report["columns"], CLEAN_EVENTS.column_names, strict=True):
        values = [row[name] for row in clean]
        nulls = values.count(None)
        assert figure == {
            "column": name,
            "nulls": nulls,
            "null_share": pytest.approx(nulls / len(rows), rel=1e-12),
            "distinct_values": len(set(values) - {None}),
        }
    ties = [
        len(list(members))
        for session in in_sessions(rows).values()
        for _, members in groupby(session, key=lambda event: event.time)
    ]
    assert report["identity"] == {
        "actors": len({event.actor for event in rows} - {None}),
        "users": len({event["user_id"] for event in rows} - {None}),
        "devices": len({event["device_id"] for event in rows} - {None}),
        "sessions": len(in_sessions(rows)),
        "events_without_actor": sum(event.actor is None for event in rows),
        "events_without_session": sum(event.session is None for event in rows),
        "tied_events": sum(size for size in ties if size > 1),
    }
    ends = {"up to 1 minute": 60, "up to 1 hour": 3_600, "up to 1 day": 86_400, "up to 7 days": 604_800}
    delays = dict.fromkeys([*ends, "more than 7 days", "unknown"], 0)
    for event in rows:
        delay = micros(event["client_event_time"], event["server_upload_time"])
        if delay is None:
            delays["unknown"] += 1
        else:
            fitting = (name for name, end in ends.items() if delay <= end * 1_000_000)
            delays[next(fitting, "more than 7 days")] += 1
    figures = report["time"]
    assert figures["upload_delay"] == delays
    assert datetime.fromisoformat(figures["first_event_time"]) == min(event.time for event in rows)
    assert datetime.fromisoformat(figures["last_event_time"]) == max(event.time for event in rows)
    assert figures["events_outside_year"] == sum(event.time.year != int(year) for event in rows)
    json_bytes(report)


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
    for name, query, expected in (
        ("user_features", tables.user_features(clean, visits), expected_users(events)),
        ("daily_metrics", tables.daily_metrics(clean, visits), expected_days(events)),
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
    assert {year: report_of(lake, year)["time"]["events_outside_year"] for year in outside} == {"2024": 1, "2025": 1}


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
    given = {"uuid": "lpad(i::VARCHAR, 7, '0')", "outside_year": "false"}
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
                ("sessions", tables.sessions([clean], "2024")),
                ("user_features", tables.user_features([clean], [visits])),
                ("daily_metrics", tables.daily_metrics([clean], [visits])),
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
    report = report_of(lake, "2024")
    json_bytes(report)
    assert [step["rows_after"] for step in report["waterfall"]] == [0] * 5
    assert {figure["null_share"] for figure in report["columns"]} == {0.0}
    assert set(report["identity"].values()) == {0}
    assert set(report["time"]["upload_delay"].values()) == {0}
    assert report["time"]["first_event_time"] is None


# The chunks


def test_columns_are_taken_by_name(lake: Lake, data: Lake, tmp_path: Path) -> None:
    names = list(reversed(EVENT_CHUNKS.column_names))
    path = write_rows(tmp_path / "backwards.csv", names, read_rows(chunk_files(data, "2024")))
    with open_engine(lake.staging() / "duckdb") as engine:
        publish(engine, tables.clean_events([path], "2024"), tmp_path / "clean.parquet", CLEAN_EVENTS)
    assert (tmp_path / "clean.parquet").read_bytes() == data.feature("clean_events", "2024").read_bytes()


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
        tables.clean_events([good, bad], "2024")
    assert failure.value.place == str(bad)


@pytest.mark.parametrize(
    ("column", "value"),
    [("session_id", "abc"), ("session_id", ""), ("event_time", "yesterday")],
)
def test_value_that_does_not_fit_fails(lake: Lake, tmp_path: Path, column: str, value: str) -> None:
    rows = read_rows(ingest(lake, "2024", [Records().add("2024-05-01 10:00:00")]))
    path = write_rows(tmp_path / "bad.csv", EVENT_CHUNKS.column_names, [rows[0], {**rows[0], column: value}])
    with open_engine(lake.staging() / "duckdb") as engine, pytest.raises(Exception, match=r"bad\.csv"):
        publish(engine, tables.clean_events([path], "2024"), tmp_path / "clean.parquet", CLEAN_EVENTS)
    assert not (tmp_path / "clean.parquet").exists()


@pytest.mark.parametrize("fields", [29, 31])
def test_row_of_another_length_fails(lake: Lake, tmp_path: Path, fields: int) -> None:
    [path] = ingest(lake, "2024", [Records().add("2024-05-01 10:00:00")])
    bad = tmp_path / "bad.csv"
    bad.write_text(path.read_text() + ",".join(['"1"'] * fields) + "\n")
    with open_engine(lake.staging() / "duckdb") as engine, pytest.raises(Exception, match=r"bad\.csv"):
        publish(engine, tables.clean_events([bad], "2024"), tmp_path / "clean.parquet", CLEAN_EVENTS)
