"""The feature tables against plain Python on the same chunks.

Put here: every column of every feature table, New Year, and that equal input gives equal bytes. Keep out: cleaning
profiles (``test_cleaning``), places (``test_places``, ``test_imputation``) and publication as assets.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from statistics import fmean, median
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.features import tables
from analytics_assets.core.features.engine import open_engine, parquet, publish
from analytics_assets.core.features.events import staged_chunks
from analytics_assets.core.features.imputation import build_places
from analytics_assets.core.files import read_json, write_json
from analytics_assets.core.ingest.run import ingest_year
from analytics_assets.core.lake import Lake
from analytics_assets.core.settings import default_settings
from analytics_assets.schemas import CLEAN_EVENTS, EVENT_CHUNKS, FEATURE_TABLES, TABLES
from analytics_assets_tests.core.cleaning_reference import (
    classes_of,
    entropy,
    is_noise,
    quantile,
    removed_by,
    screen_of,
)
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


def places_of(events: Sequence[Event]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """What ``build_places`` says about each combination of actor, device and delivered place."""
    key = ("actor", "device_id", "country", "region", "city", "dma")
    columns = {name: [e.actor if name == "actor" else e[name] for e in events] for name in key}
    rows = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    with duckdb.connect() as engine:
        engine.register("rows", rows)
        found = engine.sql(f"SELECT * FROM {build_places(engine, 'rows')}").to_arrow_table().to_pylist()
    names = ("actor", "device_id", "delivered_country", "delivered_region", "delivered_city", "delivered_dma")
    return {tuple(row[name] for name in names): row for row in found}


def steps_of(members: Sequence[Event], name_of: Callable[[str], str | None]) -> list[int]:
    """Number of the step that each event of a session belongs to, when the unnamed ones belong to the one before."""
    found: list[int] = []
    number, last = 0, None
    for event in members:
        name = name_of(event["event_type"])
        if name is not None and name != last:
            number, last = number + 1, name
        found.append(number)
    return found


def expected_events(events: Sequence[Event], year: str) -> dict[str, dict[str, Any]]:
    """Row of clean_events or dropped_events of every event, by uuid."""
    settings = default_settings()
    actors, places = classes_of(events, settings), places_of(events)
    derived: dict[str, dict[str, Any]] = {}
    for members in in_sessions(events).values():
        intents = steps_of(members, lambda name: None if is_noise(name, settings) else name)
        screens = steps_of(members, lambda name: screen_of(name, settings))
        for n, event in enumerate(members):
            gap = (event.time - members[n - 1].time).total_seconds() if n else None
            derived[event["uuid"]] = {
                "position": n + 1,
                "seconds_since_start": (event.time - members[0].time).total_seconds(),
                "seconds_since_previous": gap,
                "is_burst": None if gap is None else gap < 0.05,
                "intent_step": intents[n],
                "screen_step": screens[n],
            }
    outside = ("position", "seconds_since_start", "seconds_since_previous", "is_burst", "intent_step", "screen_step")
    found = {}
    for event in events:
        latency = micros(event["client_upload_time"], event["server_received_time"])
        processing = micros(event["server_received_time"], event["processed_time"])
        key = (event.actor, *(event[name] for name in ("device_id", "country", "region", "city", "dma")))
        hour, weekday = 2 * math.pi * event.time.hour / 24, 2 * math.pi * event.time.weekday() / 7
        row = {name: event.values.get(name) for name in CLEAN_EVENTS.column_names}
        row |= {
            name: value for name, value in places[key].items() if name in row and name not in ("actor", "device_id")
        }
        row |= {
            "time": event.time,
            "actor": event.actor,
            "actor_class": actors[event.actor]["actor_class"] if event.actor else "sentinel",
            "session_key": event.session,
            "latency_ms": None if latency is None else latency / 1000,
            "processing_ms": None if processing is None else processing / 1000,
            "outside_year": event.time.year != int(year),
            "hour": event.time.hour,
            "weekday": event.time.isoweekday(),
            "hour_sin": math.sin(hour),
            "hour_cos": math.cos(hour),
            "weekday_sin": math.sin(weekday),
            "weekday_cos": math.cos(weekday),
            "is_noise": is_noise(event["event_type"], settings),
            "screen": screen_of(event["event_type"], settings),
            **derived.get(event["uuid"], dict.fromkeys(outside)),
        }
        found[event["uuid"]] = row
    return found


def expected_clean(events: Sequence[Event], year: str) -> list[dict[str, Any]]:
    gone = removed_by(events, default_settings())
    return [row for uuid, row in expected_events(events, year).items() if uuid not in gone]


def expected_dropped(events: Sequence[Event], year: str) -> list[dict[str, Any]]:
    gone = removed_by(events, default_settings())
    return [row | {"dropped_by": gone[uuid]} for uuid, row in expected_events(events, year).items() if uuid in gone]


def kept(events: Sequence[Event]) -> list[Event]:
    gone = removed_by(events, default_settings())
    return [event for event in events if event["uuid"] not in gone]


def first_known(events: Sequence[Event], name: str) -> Any:
    return next((event[name] for event in events if event[name] is not None), None)


def expected_sessions(events: Sequence[Event], year: str) -> list[dict[str, Any]]:
    start, end = datetime(int(year), 1, 1), datetime(int(year) + 1, 1, 1)
    epoch = datetime(1970, 1, 1)
    milliseconds = [(moment - epoch) // timedelta(milliseconds=1) for moment in (start, end)]
    settings = default_settings()
    actors = classes_of(events, settings)
    countries = {uuid: row["country"] for uuid, row in expected_events(events, year).items()}
    found = []
    for session, members in in_sessions(events).items():
        first, last = members[0], members[-1]
        number = first["session_id"]
        intents = steps_of(members, lambda name: None if is_noise(name, settings) else name)[-1]
        found.append(
            {
                "session_key": session,
                "actor": first.actor,
                "actor_class": actors[first.actor]["actor_class"],
                "session_id": number,
                "person": session.removesuffix(f"|{number}"),
                "start_time": first.time,
                "end_time": last.time,
                "duration_seconds": (last.time - first.time).total_seconds(),
                "start_hour": first.time.hour,
                "start_weekday": first.time.isoweekday(),
                "events": len(members),
                "event_types": len({event["event_type"] for event in members}),
                "intent_events": intents,
                "event_entropy": entropy(event["event_type"] for event in members),
                "is_bounce": intents <= 1,
                "mean_latency_ms": mean_latency(members),
                "entry_event": first["event_type"],
                "exit_event": last["event_type"],
                "country": next((c for e in members if (c := countries[e["uuid"]]) is not None), None),
                "device_family": first_known(members, "device_family"),
                "may_cross_year": first.time < start
                or last.time >= end - timedelta(minutes=30)
                or not milliseconds[0] <= number < milliseconds[1],
            }
        )
    return found


def latencies(events: Sequence[Event]) -> list[float]:
    known = [micros(event["client_upload_time"], event["server_received_time"]) for event in events]
    return [latency / 1000 for latency in known if latency is not None and abs(latency) <= 60_000_000]


def mean_latency(events: Sequence[Event]) -> float | None:
    known = latencies(events)
    return fmean(known) if known else None


def most_frequent(values: Sequence[Any]) -> Any:
    counts = Counter(value for value in values if value is not None)
    return min(counts, key=lambda value: (-counts[value], value)) if counts else None


def expected_users(
    events: Sequence[Event], all_events: Sequence[Event], classes: dict[str, str]
) -> list[dict[str, Any]]:
    """Rows over `events`; sessions have the length that they have over `all_events`."""
    sessions = in_sessions(all_events)
    countries = {uuid: row["country"] for uuid, row in expected_events(all_events, "2024").items()}
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
        types = [event["event_type"] for event in members]
        inside = sum(event.session is not None for event in members)
        angles = [2 * math.pi * time.hour / 24 for time in times]
        top = most_frequent(types)
        found.append(
            {
                "actor": actor,
                "actor_class": classes[actor],
                "first_seen": min(times),
                "last_seen": max(times),
                "active_days": days,
                "tenure_days": (max(times) - min(times)) / timedelta(days=1),
                "recency_days": (newest - max(times)) / timedelta(days=1),
                "active_day_share": days / ((max(times).date() - min(times).date()).days + 1),
                "events": len(members),
                "sessions": len(own),
                "event_types": len(set(types)),
                "events_per_active_day": len(members) / days,
                "sessions_per_active_day": len(own) / days,
                "events_per_session": inside / len(own) if own else None,
                "mean_session_seconds": fmean(seconds) if own else None,
                "median_session_seconds": median(seconds) if own else None,
                "action_session_share": sum(s > 1 for s in seconds) / len(own) if own else None,
                "noise_share": sum(is_noise(name, default_settings()) for name in types) / len(types),
                "weekend_share": sum(time.weekday() >= 5 for time in times) / len(times),
                "hour_sin": fmean(map(math.sin, angles)),
                "hour_cos": fmean(map(math.cos, angles)),
                "peak_hour": most_frequent([time.hour for time in times]),
                "event_entropy": entropy(types),
                "top_event": top,
                "top_event_share": types.count(top) / len(types),
                "mean_latency_ms": mean_latency(members),
                "country": most_frequent([countries[event["uuid"]] for event in members]),
                "device_family": most_frequent([event["device_family"] for event in members]),
            }
        )
    return found


def expected_profiles(events: Sequence[Event], classes: dict[str, str]) -> list[dict[str, Any]]:
    settings = default_settings()
    found = []
    for dimension, value_of in {
        "event_type": lambda event: event["event_type"],
        "screen": lambda event: screen_of(event["event_type"], settings),
        "hour": lambda event: f"{event.time.hour:02d}",
    }.items():
        pairs = Counter((e.actor, value_of(e)) for e in events if e.actor is not None and value_of(e) is not None)
        totals: Counter[str] = Counter()
        for (actor, _), number in pairs.items():
            totals[actor] += number
        found += [
            {
                "actor": actor,
                "actor_class": classes[actor],
                "dimension": dimension,
                "value": value,
                "events": number,
                "share": number / totals[actor],
            }
            for (actor, value), number in pairs.items()
        ]
    return found


def expected_days(
    events: Sequence[Event], all_events: Sequence[Event], years: Sequence[str], classes: dict[str, str]
) -> list[dict[str, Any]]:
    by_day: dict[date, list[Event]] = defaultdict(list)
    for event in events:
        by_day[event.time.date()].append(event)
    own = {event.session for event in events}
    durations: dict[date, list[float]] = defaultdict(list)
    for session, members in in_sessions(all_events).items():
        if session in own:
            durations[members[0].time.date()].append((members[-1].time - members[0].time).total_seconds())
    inside = [day for day in by_day if str(day.year) in years]
    days = set(by_day) | set(durations)
    days |= {min(inside) + timedelta(days=n) for n in range((max(inside) - min(inside)).days + 1)} if inside else set()
    settings = default_settings()
    found = []
    for day in days:
        members = by_day.get(day, [])
        known = latencies(members)
        found.append(
            {
                "date": day,
                "events": len(members),
                "intent_events": sum(not is_noise(event["event_type"], settings) for event in members),
                "machine_events": sum(
                    event.actor is None or classes[event.actor] in ("scripted", "sentinel") for event in members
                ),
                "actors": len({event.actor for event in members} - {None}),
                "users": len({event["user_id"] for event in members} - {None}),
                "sessions": len(durations.get(day, [])),
                "mean_session_seconds": fmean(durations[day]) if day in durations else None,
                "median_session_seconds": median(durations[day]) if day in durations else None,
                "mean_latency_ms": fmean(known) if known else None,
                "p95_latency_ms": quantile(known, 0.95) if known else None,
                "outside_year": str(day.year) not in years,
                "is_gap": not members,
            }
        )
    return found


def class_by_actor(events: Sequence[Event]) -> dict[str, str]:
    return {actor: row["actor_class"] for actor, row in classes_of(events, default_settings()).items()}


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
