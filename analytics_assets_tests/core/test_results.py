"""The published figures and lists against plain Python on small data of two years.

Put here: every metric and every list of ``analysis_results.json``. Keep out: the asset that writes it
(``test_report_assets``).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import fmean, median
from typing import Any

import pytest

from analytics_assets.core.features.engine import open_engine
from analytics_assets.core.files import json_bytes, read_json, write_json
from analytics_assets.core.ingest.run import ingest_year
from analytics_assets.core.lake import Lake
from analytics_assets.core.results import TOP, analysis_results
from analytics_assets.schemas import METRICS
from analytics_assets_tests.core.event_data import (
    Event,
    Records,
    chunk_files,
    events_of,
    hostile_records,
    ingest,
    ingest_nothing,
    publish_features,
    same,
)

YEARS = ["2024", "2025"]
DATASETS = ["hand-made", "sample"]
NEW_YEAR = {"session_id": 1735688700000, "amplitude_id": 1}


def later_records() -> list[dict[str, Any]]:
    """Records of the delivery year 2025; some continue sessions of the hostile records of 2024."""
    new = Records("n")
    new.add("2025-01-01 00:00:10", "view", **NEW_YEAR)
    new.add("2025-01-01 00:20:00.25", "end", **NEW_YEAR)
    # At the very time that the session began with in the other delivery: the counter says what came first.
    new.add("2024-12-31 23:45:00", "zero", **NEW_YEAR, event_id=-5)
    new.add("2025-01-01 00:20:00.25", "aftermath", **NEW_YEAR, event_id=10**6)
    new.add("2024-05-01 10:00:00", "between", event_id=2)
    new.add("2025-03-03 03:03:03", "alone", session_id=1740970983000, amplitude_id=2, country=None)
    new.add("2025-03-03 03:03:04", "outside", session_id=-1, client_upload_time="2025-03-03 03:03:00.5")
    for number in range(30):  # more equal counts than a list holds
        new.add("2025-04-04 04:04:04", f"tied {number:02d}", session_id=1743739444000 + number % 7)
    return new.made


def earlier_records() -> list[dict[str, Any]]:
    new = Records("o")
    new.add("2024-12-31 23:45:00", "start", **NEW_YEAR)
    new.add("2024-12-31 23:59:59.5", "view", **NEW_YEAR)
    return hostile_records() + new.made


@pytest.fixture(scope="module")
def lakes(sample_lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Lake]:
    """A lake with features of both years per dataset; read only."""
    made, sample = Lake(tmp_path_factory.mktemp("results")), Lake(tmp_path_factory.mktemp("results-sample"))
    ingest(made, "2024", earlier_records())
    ingest(made, "2025", later_records())
    sample.raw().symlink_to(sample_lake.raw())
    for year in YEARS:
        ingest_year(sample, year)
        publish_features(sample, year)
        publish_features(made, year)
    return {"hand-made": made, "sample": sample}


def results_of(lake: Lake, years: list[str], models: list[str] | None = None) -> dict[str, Any]:
    with open_engine(lake.staging() / "duckdb") as engine:
        return analysis_results(engine, lake, years, models or [])


@pytest.fixture(scope="module")
def results(lakes: dict[str, Lake]) -> dict[str, dict[str, Any]]:
    return {name: results_of(lake, YEARS) for name, lake in lakes.items()}


@pytest.fixture(scope="module")
def events(lakes: dict[str, Lake]) -> dict[str, list[tuple[str, Event]]]:
    """Events with their delivery year, read and interpreted without the code under test."""
    return {
        name: [(year, event) for year in YEARS for event in events_of(chunk_files(lake, year))]
        for name, lake in lakes.items()
    }


def journeys(rows: list[Event]) -> list[list[Event]]:
    found = defaultdict(list)
    for event in rows:
        if event.session is not None:
            found[event.session].append(event)
    return [sorted(members, key=lambda event: event.order) for members in found.values()]


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = ordered[math.floor(place)]
    return low + (ordered[math.ceil(place)] - low) * (place - math.floor(place))


def latency(event: Event) -> float | None:
    if event["client_upload_time"] is None or event["server_received_time"] is None:
        return None
    return (event["server_received_time"] - event["client_upload_time"]) / timedelta(milliseconds=1)


def expected_figures(lake: Lake, delivered: list[tuple[str, Event]]) -> dict[str, Any]:
    rows = [event for _, event in delivered]
    sessions = journeys(rows)
    seconds = [(members[-1].time - members[0].time).total_seconds() for members in sessions]
    carried = [value for value, members in zip(seconds, sessions, strict=True) for _ in members]
    sizes = [len(members) for members in sessions]
    actors = Counter(event.actor for event in rows if event.actor is not None)
    steps = Counter((a["event_type"], b["event_type"]) for members in sessions for a, b in pairwise(members))
    latencies = [value for event in rows if (value := latency(event)) is not None and abs(value) <= 60_000]
    totals = [read_json(lake.manifest(year))["total"] for year in YEARS]
    return {
        **{name: sum(total[name] for total in totals) for name in ("records_seen", "duplicates", "quarantined")},
        "events": len(rows),
        "users": len({event["user_id"] for event in rows} - {None}),
        "actors": len(actors),
        "sessions": len(sessions),
        "event_types": len({event["event_type"] for event in rows}),
        "events_outside_year": sum(event.time.year != int(year) for year, event in delivered),
        "session_seconds_mean": fmean(seconds),
        "session_seconds_median": median(seconds),
        "session_seconds_max": max(seconds),
        "event_session_seconds_mean": fmean(carried),
        "event_session_seconds_median": median(carried),
        "events_per_session_mean": fmean(sizes),
        "events_per_session_median": float(median(sizes)),
        "events_per_session_max": max(sizes),
        "single_event_sessions": sizes.count(1),
        "events_per_actor_mean": fmean(actors.values()),
        "events_per_actor_median": float(median(actors.values())),
        "events_per_actor_max": max(actors.values()),
        "top_actor_share": max(actors.values()) / sum(actors.values()),
        "transitions": sum(steps.values()),
        "distinct_transitions": len(steps),
        "latency_ms_mean": fmean(latencies),
        "latency_ms_p95": percentile(latencies, 0.95),
    }


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_metric_equals_plain_python(
    lakes: dict[str, Lake],
    results: dict[str, dict[str, Any]],
    events: dict[str, list[tuple[str, Event]]],
    dataset: str,
) -> None:
    expected = expected_figures(lakes[dataset], events[dataset])
    metrics = results[dataset]["metrics"]
    assert [metric["name"] for metric in metrics] == list(METRICS)
    assert expected.keys() == METRICS.keys()
    wrong = {m["name"]: (m["value"], expected[m["name"]]) for m in metrics if not same(m["value"], expected[m["name"]])}
    assert not wrong
    for metric in metrics:
        declared = METRICS[metric["name"]]
        assert (metric["label"], metric["unit"], metric["source"]) == (declared.label, declared.unit, declared.source)


def test_both_definitions_of_session_duration_differ(results: dict[str, dict[str, Any]]) -> None:
    values = {metric["name"]: metric["value"] for metric in results["sample"]["metrics"]}
    assert values["session_seconds_mean"] != values["event_session_seconds_mean"]
    assert values["session_seconds_median"] != values["event_session_seconds_median"]


def ranked(rows: list[Event], column: str) -> list[dict[str, Any]]:
    groups = defaultdict(list)
    for event in rows:
        groups[event[column]].append(event)
    found = [{column: value, **activity(members)} for value, members in groups.items()]
    return sorted(found, key=lambda row: (-row["events"], row[column] is None, row[column] or ""))[:TOP]


def activity(members: list[Event]) -> dict[str, int]:
    return {
        "events": len(members),
        "actors": len({event.actor for event in members} - {None}),
        "sessions": len({event.session for event in members} - {None}),
    }


def by_time(rows: list[Event], name: str, of: Callable[[datetime], Any]) -> list[dict[str, Any]]:
    groups = defaultdict(list)
    for event in rows:
        groups[of(event.time)].append(event)
    return [{name: value, **activity(groups[value])} for value in sorted(groups)]


def first(counts: Counter[Any], names: tuple[str, ...], count: str) -> list[dict[str, Any]]:
    order = sorted(counts, key=lambda values: (-counts[values], values))[:TOP]
    return [{**dict(zip(names, values, strict=True)), count: counts[values]} for values in order]


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_list_equals_plain_python(
    results: dict[str, dict[str, Any]], events: dict[str, list[tuple[str, Event]]], dataset: str
) -> None:
    rows = [event for _, event in events[dataset]]
    sessions = journeys(rows)
    steps = Counter((a["event_type"], b["event_type"]) for members in sessions for a, b in pairwise(members))
    expected = {
        "top_events": ranked(rows, "event_type"),
        "top_transitions": first(steps, ("from_event", "to_event"), "transitions"),
        "entry_events": first(Counter((s[0]["event_type"],) for s in sessions), ("event_type",), "sessions"),
        "exit_events": first(Counter((s[-1]["event_type"],) for s in sessions), ("event_type",), "sessions"),
        "countries": ranked(rows, "country"),
        "device_families": ranked(rows, "device_family"),
        "hours": by_time(rows, "hour", lambda time: time.hour),
        "weekdays": by_time(rows, "weekday", lambda time: time.isoweekday()),
        "months": by_time(rows, "month", lambda time: f"{time:%Y-%m}"),
        "years": by_time(rows, "year", lambda time: time.year),
    }
    lists = dict(results[dataset]["lists"])
    daily = lists.pop("daily")
    assert lists.keys() == expected.keys()
    for name, wanted in expected.items():
        assert lists[name] == wanted, name
    days = sorted({str(event.time.date()) for event in rows})
    assert [row["date"] for row in daily if not row["is_gap"]] == days
    span = datetime.fromisoformat(days[-1]) - datetime.fromisoformat(days[0])
    assert len(daily) == span.days + 1
    started = Counter(str(members[0].time.date()) for members in sessions)
    for row in daily:
        members = [event for event in rows if str(event.time.date()) == row["date"]] if not row["is_gap"] else []
        assert (row["events"], row["actors"]) == (len(members), activity(members)["actors"])
        assert row["sessions"] == started[row["date"]]


def test_session_over_new_year_counts_once(lake: Lake) -> None:
    old, new = Records("old"), Records("new")
    old.add("2024-12-31 23:50:00", "start", **NEW_YEAR)
    old.add("2024-12-31 23:59:00", "view", **NEW_YEAR)
    new.add("2025-01-01 00:01:00", "cart", **NEW_YEAR)
    new.add("2025-01-01 00:02:00", "end", **NEW_YEAR)
    for year, records in zip(YEARS, (old, new), strict=True):
        ingest(lake, year, records.made)
        publish_features(lake, year)
    found = results_of(lake, YEARS)
    values = {metric["name"]: metric["value"] for metric in found["metrics"]}
    assert (values["sessions"], values["single_event_sessions"], values["events_per_session_max"]) == (1, 0, 4)
    assert values["session_seconds_mean"] == values["event_session_seconds_median"] == 720.0
    assert values["transitions"] == values["distinct_transitions"] == 3
    assert {"from_event": "view", "to_event": "cart", "transitions": 1} in found["lists"]["top_transitions"]
    assert found["lists"]["entry_events"] == [{"event_type": "start", "sessions": 1}]
    assert found["lists"]["exit_events"] == [{"event_type": "end", "sessions": 1}]
    assert [(row["date"], row["sessions"]) for row in found["lists"]["daily"]] == [("2024-12-31", 1), ("2025-01-01", 0)]
    alone = {metric["name"]: metric["value"] for metric in results_of(lake, ["2025"])["metrics"]}
    assert (alone["sessions"], alone["transitions"]) == (1, 1)


def test_header_of_the_results(lakes: dict[str, Lake], results: dict[str, dict[str, Any]]) -> None:
    lake, found = lakes["sample"], results["sample"]
    assert found["years"] == YEARS
    assert found["synthetic"] is True
    assert results["hand-made"]["synthetic"] is False
    for year in YEARS:
        manifest = read_json(lake.manifest(year))
        assert found["sources"][year] == {"raw_digest": manifest["raw_digest"], **manifest["total"]}
    latest = max(event.time for year in YEARS for event in events_of(chunk_files(lake, year)))
    assert datetime.fromisoformat(found["data_as_of"]) == latest


def test_second_computation_gives_equal_bytes(lakes: dict[str, Lake], results: dict[str, dict[str, Any]]) -> None:
    for name, lake in lakes.items():
        assert json_bytes(results_of(lake, YEARS)) == json_bytes(results[name])


def test_models_are_included_as_they_are(lakes: dict[str, Lake]) -> None:
    lake = lakes["hand-made"]
    write_json(lake.model("some_model") / "metrics.json", {"accuracy": 0.5})
    assert results_of(lake, ["2025"], ["some_model"])["models"] == {"some_model": {"accuracy": 0.5}}


def test_no_events_give_nulls_and_empty_lists(lake: Lake) -> None:
    ingest_nothing(lake, "2024")
    publish_features(lake, "2024")
    found = results_of(lake, ["2024"])
    json_bytes(found)
    assert all(rows == [] for rows in found["lists"].values())
    counts = {"records", "events", "users", "actors", "sessions", "types", "transitions", "pairs"}
    for metric in found["metrics"]:
        empty = metric["denominator"] or metric["name"].endswith("_max")
        assert metric["value"] == (None if empty or metric["unit"] not in counts else 0), metric["name"]


def test_an_empty_year_beside_a_full_one_changes_nothing(lake: Lake) -> None:
    ingest(lake, "2024", [Records().add("2024-05-01 10:00:00")])
    ingest_nothing(lake, "2025")
    for year in YEARS:
        publish_features(lake, year)
    assert results_of(lake, YEARS)["lists"] == results_of(lake, ["2024"])["lists"]
    assert results_of(lake, YEARS)["metrics"] == results_of(lake, ["2024"])["metrics"]
