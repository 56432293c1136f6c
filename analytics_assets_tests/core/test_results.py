"""The published figures and lists against plain Python on small data of two years.

Put here: every metric and every list of ``analysis_results.json``. Keep out: the findings (``test_findings.py``), the
schema and agreement with other tables (``test_results_document.py``).
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import date, datetime
from statistics import fmean
from typing import Any

import pyarrow as pa
import pytest

from analytics_assets.core.features.engine import open_engine
from analytics_assets.core.files import json_bytes, read_json, write_json, write_table
from analytics_assets.core.ingest.run import ingest_year
from analytics_assets.core.lake import Lake
from analytics_assets.core.results import analysis_results
from analytics_assets.core.results.summarized import LISTS as SUMMARY_LISTS
from analytics_assets.schemas import KMEANS_ASSIGNMENTS, METRICS
from analytics_assets_tests.core import results_reference as reference
from analytics_assets_tests.core import results_reference_lists as list_reference
from analytics_assets_tests.core.event_data import (
    Records,
    extreme_records,
    hostile_records,
    ingest,
    ingest_nothing,
    publish_features,
    same,
)
from analytics_assets_tests.core.results_summaries import SUMMARIES, write_summaries

YEARS = ["2024", "2025"]
DATASETS = ["hand-made", "sample"]
NEW_YEAR = {"session_id": 1735688700000, "amplitude_id": 1}
OF_SUMMARIES = (
    "daily_active_actors",
    "weekly_active_actors",
    "monthly_active_actors",
    "dau_mau",
    "week1_retention",
)
OF_FILES = ("records_seen", "duplicates", "quarantined", "dropped_events", "dropped_share")


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
    for number, name in enumerate(("session_start", "a:render", "a", "b:render", "a", "b", "session_end")):
        new.add(f"2025-05-05 05:05:05.{number:03d}", name, session_id=1746421505000, amplitude_id=3, user_id="noisy")
    new.add("2025-05-06 05:05:05", "session_end", session_id=1746507905000, amplitude_id=3, user_id="noisy")
    for month in (5, 6, 7):  # whole months, which can be compared
        new.add(f"2025-{month:02d}-15 10:00:00", "monthly", session_id=-1)
    new.add("2025-08-01 10:00:00", "monthly", session_id=-1)
    return new.made


def earlier_records() -> list[dict[str, Any]]:
    new = Records("o")
    new.add("2024-12-31 23:45:00", "start", **NEW_YEAR)
    new.add("2024-12-31 23:59:59.5", "view", **NEW_YEAR)
    return hostile_records() + new.made


@pytest.fixture(scope="module")
def lakes(sample_lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Lake]:
    """A lake with features of both years per dataset; the hand-made one has summaries of its first year; read only."""
    made, sample = Lake(tmp_path_factory.mktemp("results")), Lake(tmp_path_factory.mktemp("results-sample"))
    ingest(made, "2024", earlier_records())
    ingest(made, "2025", later_records())
    sample.raw().symlink_to(sample_lake.raw())
    for year in YEARS:
        ingest_year(sample, year)
        publish_features(sample, year)
        publish_features(made, year)
    write_summaries(made, "2024", SUMMARIES)
    return {"hand-made": made, "sample": sample}


def results_of(lake: Lake, years: list[str], models: list[str] | None = None) -> dict[str, Any]:
    with open_engine(lake.staging() / "duckdb") as engine:
        return analysis_results(engine, lake, years, models or [])


def values_of(results: dict[str, Any], variant: str = "value") -> dict[str, Any]:
    return {metric["name"]: metric[variant] for metric in results["metrics"] if variant in metric}


@pytest.fixture(scope="module")
def results(lakes: dict[str, Lake]) -> dict[str, dict[str, Any]]:
    return {name: results_of(lake, YEARS) for name, lake in lakes.items()}


@pytest.fixture(scope="module")
def rows(lakes: dict[str, Lake]) -> dict[str, list[reference.Row]]:
    return {name: reference.accepted_rows(lake, YEARS) for name, lake in lakes.items()}


def differences(actual: Any, expected: Any, place: str = "") -> list[str]:
    """Where two JSON values differ; reals to 1e-9, everything else exactly."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        if actual.keys() != expected.keys():
            return [f"{place}: keys {sorted(actual.keys() ^ expected.keys())}"]
        return [found for key in expected for found in differences(actual[key], expected[key], f"{place}.{key}")]
    if isinstance(expected, list) and isinstance(actual, list):
        if len(actual) != len(expected):
            return [f"{place}: {len(actual)} instead of {len(expected)} entries"]
        pairs = zip(actual, expected, strict=True)
        return [found for n, (a, b) in enumerate(pairs) for found in differences(a, b, f"{place}[{n}]")]
    return [] if same(actual, expected) else [f"{place}: {actual!r} instead of {expected!r}"]


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_metric_equals_plain_python(
    lakes: dict[str, Lake], results: dict[str, dict[str, Any]], rows: dict[str, list[reference.Row]], dataset: str
) -> None:
    visits = reference.visits_of(rows[dataset])
    published = results[dataset]["metrics"]
    assert [metric["name"] for metric in published] == list(METRICS)
    for metric in published:
        declared = METRICS[metric["name"]]
        assert (metric["label"], metric["unit"], metric["source"]) == (declared.label, declared.unit, declared.source)
        assert ("people" in metric) is ("without_top_actor" in metric) is declared.by_population
    for population, variant in (("all", "value"), ("people", "people"), ("without_top_actor", "without_top_actor")):
        expected = reference.metrics(rows[dataset], visits, population)
        if population == "all":
            totals = [read_json(lakes[dataset].manifest(year))["total"] for year in YEARS]
            for name in ("records_seen", "duplicates", "quarantined"):
                expected[name] = sum(total[name] for total in totals)
            dropped = sum("dropped_by" in row.features for row in rows[dataset])
            expected |= {"dropped_events": dropped, "dropped_share": dropped / len(rows[dataset])}
        found = {
            name: value for name, value in values_of(results[dataset], variant).items() if name not in OF_SUMMARIES
        }
        assert differences(found, expected) == []


def test_the_hand_made_data_exercise_the_populations(results: dict[str, dict[str, Any]]) -> None:
    for name in ("events", "sessions", "actors", "session_seconds_mean", "noise_share"):
        assert values_of(results["hand-made"])[name] != values_of(results["hand-made"], "without_top_actor")[name], name
    assert values_of(results["hand-made"])["events"] != values_of(results["hand-made"], "people")["events"]
    assert values_of(results["hand-made"])["end_only_sessions"] == 1
    assert values_of(results["hand-made"])["dropped_events"] > 0
    months = [entry for entry in results["hand-made"]["lists"]["months"] if entry["events_change"] is not None]
    assert [(entry["month"], entry["events"]) for entry in months if entry["month"] > "2025-05"] == [
        ("2025-06", 1),
        ("2025-07", 1),
    ]


def test_both_definitions_of_session_duration_differ(results: dict[str, dict[str, Any]]) -> None:
    values = values_of(results["sample"])
    assert values["session_seconds_mean"] != values["event_session_seconds_mean"]
    assert values["session_seconds_median"] != values["event_session_seconds_median"]


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_list_equals_plain_python(
    results: dict[str, dict[str, Any]], rows: dict[str, list[reference.Row]], dataset: str
) -> None:
    visits = reference.visits_of(rows[dataset])
    expected = list_reference.lists(rows[dataset], visits, YEARS)
    lists = dict(results[dataset]["lists"])
    daily, spread = lists.pop("daily"), lists.pop("distributions")
    assert lists.pop("user_segments") == []
    for name in SUMMARY_LISTS:
        lists.pop(name)
    assert lists.keys() == expected.keys()
    for name, wanted in expected.items():
        assert differences(lists[name], wanted, name) == []
    inside = [float(row["events"]) for row in daily if not row["outside_year"]]
    assert differences(spread, list_reference.distributions(rows[dataset], visits, inside)) == []


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_daily_list_equals_plain_python(
    results: dict[str, dict[str, Any]], rows: dict[str, list[reference.Row]], dataset: str
) -> None:
    daily = results[dataset]["lists"]["daily"]
    days = reference.grouped(rows[dataset], lambda row: str(row.time.date()))
    inside = sorted(day for day in days if day[:4] in YEARS)
    span = (date.fromisoformat(inside[-1]) - date.fromisoformat(inside[0])).days + 1
    visits = reference.visits_of(rows[dataset])
    started = Counter(str(visit.start.date()) for visit in visits)
    outside = [day for day in {*days, *started} if day[:4] not in YEARS]
    assert len(daily) == span + len(outside)
    assert [row["date"] for row in daily if not row["is_gap"]] == sorted(days)
    for row in daily:
        members = days.get(row["date"], [])
        seconds = [visit.seconds for visit in visits if str(visit.start.date()) == row["date"]]
        latencies = [member.latency for member in members if member.latency is not None]
        expected = {
            "date": row["date"],
            "events": len(members),
            "intent_events": sum(not member.is_noise for member in members),
            "machine_events": sum(not member.is_person for member in members),
            "actors": reference.counted(member.event.actor for member in members),
            "users": reference.counted(member["user_id"] for member in members),
            "sessions": started[row["date"]],
            "mean_session_seconds": fmean(seconds) if seconds else None,
            "median_session_seconds": reference.percentile(seconds, 0.5),
            "mean_latency_ms": fmean(latencies) if latencies else None,
            "p95_latency_ms": reference.percentile(latencies, 0.95),
            "outside_year": row["date"][:4] not in YEARS,
            "is_gap": not members,
        }
        assert differences(row, expected, row["date"]) == []


def test_session_over_new_year_counts_once(lake: Lake) -> None:
    old, new = Records("old"), Records("new")
    old.add("2024-12-31 23:50:00", "start", **NEW_YEAR)
    old.add("2024-12-31 23:59:00", "view", **NEW_YEAR)
    new.add("2025-01-01 00:01:00", "view", **NEW_YEAR)
    new.add("2025-01-01 00:02:00", "end", **NEW_YEAR)
    for year, records in zip(YEARS, (old, new), strict=True):
        ingest(lake, year, records.made)
        publish_features(lake, year)
    found = results_of(lake, YEARS)
    values = values_of(found)
    assert (values["sessions"], values["single_event_sessions"], values["events_per_session_max"]) == (1, 0, 4)
    assert values["session_seconds_mean"] == values["event_session_seconds_median"] == 720.0
    assert values["transitions"] == values["distinct_transitions"] == 3
    assert values["intent_steps_per_session_mean"] == 3.0, "the run of views goes on over New Year"
    [pair] = [row for row in found["lists"]["top_transitions"] if row["from_event"] == row["to_event"]]
    assert (pair["from_event"], pair["transitions"]) == ("view", 1)
    assert [row["event_type"] for row in found["lists"]["entry_events"]] == ["start"]
    assert [row["event_type"] for row in found["lists"]["exit_events"]] == ["end"]
    assert [(row["date"], row["sessions"]) for row in found["lists"]["daily"]] == [("2024-12-31", 1), ("2025-01-01", 0)]
    assert ["start", "view", "end"] in [row["events"] for row in found["lists"]["ngrams"] if row["stream"] == "intent"]
    alone = values_of(results_of(lake, ["2025"]))
    assert (alone["sessions"], alone["transitions"]) == (1, 1)


def test_header_of_the_results(
    lakes: dict[str, Lake], results: dict[str, dict[str, Any]], rows: dict[str, list[reference.Row]]
) -> None:
    lake, found = lakes["sample"], results["sample"]
    assert found["results_version"] == 2
    assert found["years"] == YEARS
    assert found["synthetic"] is True
    assert results["hand-made"]["synthetic"] is False
    for year in YEARS:
        manifest = read_json(lake.manifest(year))
        assert found["sources"][year] == {"raw_digest": manifest["raw_digest"], **manifest["total"]}
    assert datetime.fromisoformat(found["data_as_of"]) == max(row.time for row in rows["sample"])


def test_lists_of_summaries_cover_the_years_that_have_them(results: dict[str, dict[str, Any]]) -> None:
    made, sample = results["hand-made"], results["sample"]
    assert made["tables"]["2024"]["summaries"] == list(SUMMARIES)
    assert made["tables"]["2025"]["summaries"] == []
    assert "dropped_events" in made["tables"]["2025"]["features"]
    for name in SUMMARY_LISTS:
        assert made["list_info"][name]["years"] == ["2024"], name
        assert made["lists"][name], name
        assert sample["list_info"][name]["years"] == [] and sample["lists"][name] == [], name
    assert made["list_info"].keys() == made["lists"].keys()
    assert all(made["list_info"][name]["years"] == YEARS for name in made["lists"].keys() - SUMMARY_LISTS.keys())


def test_lists_of_summaries_hold_their_rows(results: dict[str, dict[str, Any]]) -> None:
    lists = results["hand-made"]["lists"]
    assert lists["funnels"] == [{"year": 2024, **row} for row in SUMMARIES["spark_funnels"]]
    assert {row["column_name"] for row in lists["top_values"]} == {"country"}, "no value that stands for one person"
    assert [row["place"] for row in lists["top_values"]] == [1, 2, 3, 4, 5]
    assert lists["columns"] == [
        {
            "year": 2024,
            **{
                name: SUMMARIES["spark_dataset_overview"][0][name]
                for name in ("column_name", "column_type", "events", "nulls", "null_share", "distinct_values")
            },
        }
    ]
    assert [row["week"] for row in lists["lifecycle_weekly"]] == ["2024-01-01"]
    weeks = {row["week"]: row for row in lists["retention_weekly"]}
    assert [(week, row["cohorts"], row["cohort_actors"], row["active_actors"]) for week, row in weeks.items()] == [
        (0, 4, 46, 46),
        (1, 4, 46, 5 + 5 + 6 + 6),
        (2, 3, 33, 3 + 3 + 4),
        (3, 2, 21, 2 + 2),
    ]
    assert [row["date"] for row in lists["stickiness"]] == [f"2024-12-{day}" for day in (28, 29, 30, 31)]


def test_metrics_of_summaries(results: dict[str, dict[str, Any]]) -> None:
    """The last date is not over, and the one before it has not been observed for 30 days."""
    for lead, variant in enumerate(("value", "people", "without_top_actor"), 1):
        values = values_of(results["hand-made"], variant)
        assert [values[name] for name in OF_SUMMARIES[:4]] == [1 + lead, 7 * (1 + lead), 30 * (1 + lead), 1 / 30]
    assert values_of(results["hand-made"])["week1_retention"] == 22 / 46
    assert all(values_of(results["sample"])[name] is None for name in OF_SUMMARIES)


def test_second_computation_gives_equal_bytes(lakes: dict[str, Lake], results: dict[str, dict[str, Any]]) -> None:
    for name, lake in lakes.items():
        assert json_bytes(results_of(lake, YEARS)) == json_bytes(results[name])


def test_the_number_of_threads_changes_nothing(
    lakes: dict[str, Lake], results: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANALYTICS_THREADS", "1")
    assert json_bytes(results_of(lakes["sample"], YEARS)) == json_bytes(results["sample"])


def test_models_and_segments(lakes: dict[str, Lake], rows: dict[str, list[reference.Row]]) -> None:
    lake = lakes["hand-made"]
    write_json(lake.model("some_model") / "metrics.json", {"accuracy": 0.5})
    write_json(lake.model("kmeans_segments") / "metrics.json", {"actors": 2})
    actors = sorted({row.event.actor for row in rows["hand-made"] if row.event.actor is not None})
    assigned = {actor: number % 3 - 1 for number, actor in enumerate(actors)}
    table = [
        {"actor": actor, "segment": segment, "segment_name": f"segment {segment}", "distance": 0.0}
        for actor, segment in assigned.items()
    ]
    write_table(
        lake.model("kmeans_segments") / "assignments.parquet",
        pa.Table.from_pylist(table, KMEANS_ASSIGNMENTS.arrow_schema()),
        KMEANS_ASSIGNMENTS,
    )
    found = results_of(lake, YEARS, ["some_model", "kmeans_segments"])
    assert found["models"] == {"some_model": {"accuracy": 0.5}, "kmeans_segments": {"actors": 2}}
    expected = []
    for segment in (-1, 0, 1):
        kinds = Counter(row.kind for row in rows["hand-made"] if assigned.get(row.event.actor or "") == segment)
        members = sum(value == segment for value in assigned.values())
        expected.append(
            {
                "segment": segment,
                "name": f"segment {segment}",
                "actors": members,
                "actor_share": members / len(assigned),
                "events": sum(kinds.values()),
                "top_events": sorted(kinds, key=lambda kind: (-kinds[kind], kind))[:3],
            }
        )
    assert differences(found["lists"]["user_segments"], expected) == []


def test_quality_is_taken_over_without_rows_and_ids(lakes: dict[str, Lake]) -> None:
    lake = lakes["hand-made"]
    report: dict[str, Any] = {
        "quality_version": 2,
        "year": "2025",
        "ingestion": {"records_seen": 1, "loaded": 1, "duplicates": 0, "quarantined": 0, "reasons": {}},
        "waterfall": [
            {
                "step": "refuse",
                "rule": "r",
                "rows_before": 1,
                "rows_after": 1,
                "columns_before": 30,
                "columns_after": 30,
                "details": {},
                "examples": [{"uuid": "secret"}],
            }
        ],
        "columns": [
            {"column": name, "nulls": 0, "null_share": 0.0, "distinct_values": 1, "min": 5, "max": 5}
            for name in ("amplitude_id", "hour")
        ],
        "grades": [],
        "drift": None,
    }
    write_json(lake.quality("2025"), report)
    try:
        found = results_of(lake, YEARS)["quality"]
    finally:
        lake.quality("2025").unlink()
    assert found.keys() == {"2025"}
    assert "secret" not in json.dumps(found)
    assert [(column["column"], column["min"]) for column in found["2025"]["columns"]] == [
        ("amplitude_id", None),
        ("hour", 5),
    ]


def test_no_identity_of_a_person_is_published(
    results: dict[str, dict[str, Any]], rows: dict[str, list[reference.Row]]
) -> None:
    published = json.dumps(results["sample"], ensure_ascii=False)
    for name in ("user_id", "device_id", "uuid"):
        identities = {row[name] for row in rows["sample"] if row[name] is not None}
        assert not [identity for identity in identities if identity in published], name


# Edge cases


def test_no_events_give_nulls_and_empty_lists(lake: Lake) -> None:
    ingest_nothing(lake, "2024")
    publish_features(lake, "2024")
    found = results_of(lake, ["2024"])
    assert all(rows == [] for rows in found["lists"].values())
    assert found["findings"] == [] and found["data_as_of"] is None
    counts = {"records", "events", "users", "actors", "sessions", "types", "transitions", "pairs", "days", "countries"}
    for metric in found["metrics"]:
        empty = metric["denominator"] or metric["name"].endswith("_max") or metric["name"] in OF_SUMMARIES
        assert metric["value"] == (None if empty or metric["unit"] not in counts else 0), metric["name"]


def test_an_empty_year_beside_a_full_one_changes_nothing(lake: Lake) -> None:
    ingest(lake, "2024", [Records().add("2024-05-01 10:00:00")])
    ingest_nothing(lake, "2025")
    for year in YEARS:
        publish_features(lake, year)
    assert results_of(lake, YEARS)["lists"] == results_of(lake, ["2024"])["lists"]
    assert results_of(lake, YEARS)["metrics"] == results_of(lake, ["2024"])["metrics"]


def test_a_year_that_cleaning_empties_keeps_its_events(lake: Lake) -> None:
    nobody = {"user_id": None, "device_id": None, "amplitude_id": None}
    new = Records()
    for second in range(3):
        new.add(f"2024-05-01 10:00:0{second}", **nobody)
    ingest(lake, "2024", new.made)
    publish_features(lake, "2024")
    found = results_of(lake, ["2024"])
    values = values_of(found)
    assert (values["events"], values["dropped_events"], values["dropped_share"]) == (3, 3, 1.0)
    assert (values["actors"], values["sessions"], values["sentinel_event_share"]) == (0, 0, 1.0)
    assert values_of(found, "people")["events"] == 0 and values_of(found, "people")["noise_share"] is None
    assert found["lists"]["cleaning"] == [{"year": 2024, "step": "rows_without_actor", "events": 3, "event_share": 1.0}]


def test_one_user_one_event_type_and_no_place(lake: Lake) -> None:
    new = Records()
    for day in range(1, 29):
        new.add(f"2024-05-{day:02d} 10:00:00", country=None, region=None, city=None)
    ingest(lake, "2024", new.made)
    publish_features(lake, "2024")
    found = results_of(lake, ["2024"])
    values, without = values_of(found), values_of(found, "without_top_actor")
    assert (values["users"], values["event_types"], values["countries"], values["top_actor_share"]) == (1, 1, 0, 1.0)
    assert without["events"] == without["sessions"] == 0
    assert all(value is None for name, value in without.items() if METRICS[name].unit == "share")
    for name in ("countries", "regions", "cities"):
        [row] = found["lists"][name]
        assert row["events"] == row["events_with_imputed"] == 28
        assert all(row[level] is None for level in reference.PLACES if level in row)
    assert found["lists"]["regional_preferences"] == found["lists"]["city_patterns"] == []


def test_times_at_the_ends_of_the_calendar(lake: Lake) -> None:
    ingest(lake, "2024", [*extreme_records(), Records().add("2024-05-01 10:00:00")])
    publish_features(lake, "2024")
    found = results_of(lake, ["2024"])
    assert [row["year"] for row in found["lists"]["years"]] == [1, 1969, 2024, 9999]
    assert [row["month"] for row in found["lists"]["months"]] == ["0001-01", "1969-12", "2024-05", "9999-12"]
    assert [row["date"] for row in found["lists"]["daily"]] == ["0001-01-01", "1969-12-31", "2024-05-01", "9999-12-31"]
    assert found["data_as_of"] == "9999-12-31 23:59:59.999999"
