"""The assets on real event sets: figures of independent code must be met exactly.

The sets lie beside the repository and are not part of it; where they are absent these tests are skipped. Of the models
only the Markov chain has figures to be met, of Spark's summaries only those by place and device.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from analytics_assets.cli.demo import BASELINE_CHECKS
from analytics_assets.core.files import read_json, write_table
from analytics_assets.core.lake import Lake
from analytics_assets.core.settings import load_settings
from analytics_assets.core.summaries.run import summarize
from analytics_assets.definitions import build_defs
from analytics_assets.resources.lake import LakeResource
from analytics_assets.schemas import SUMMARY_TABLES
from analytics_assets_tests.conftest import REAL_SAMPLES
from analytics_assets_tests.core.event_data import chunk_files

SETS = ("apache_weblog", "moodle_edify", "moodle_la")
SUMMARIES = {"spark_dataset_overview", "spark_geography", "spark_device_usage"}
"""Where Spark's shares by place and device stand."""


@dataclass(frozen=True)
class RealRun:
    lake: Lake
    expected: dict[str, Any]
    results: dict[str, Any]
    figures: dict[str, Any]


def materialize(lake: Lake) -> None:
    """Ingestion, features and quality of every year, then the Markov chain and the results; all checks pass."""
    defs = build_defs(resource_overrides={"lake": LakeResource(root=str(lake.root))})
    yearly, models = defs.resolve_job_def("yearly_job"), defs.resolve_job_def("models_job")
    left_out = {dg.AssetKey(name) for name in (*(table.name for table in SUMMARY_TABLES), "exploration_notebook")}
    keys = [key for key in yearly.asset_layer.executable_asset_keys if key not in left_out]
    with dg.DagsterInstance.ephemeral() as instance:
        runs = [
            yearly.execute_in_process(instance=instance, partition_key=year, asset_selection=keys)
            for year in lake.raw_years()
        ]
        chosen = [dg.AssetKey("markov_chain"), dg.AssetKey("analysis_results")]
        runs.append(models.execute_in_process(instance=instance, asset_selection=chosen))
    for result in runs:
        checks = result.get_asset_check_evaluations()
        assert checks
        blocking = [check for check in checks if not check.check_name.startswith(BASELINE_CHECKS)]
        assert not [check for check in blocking if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR]


@pytest.fixture(scope="module", params=SETS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RealRun:
    source = REAL_SAMPLES / request.param
    if not source.is_dir():
        pytest.skip(f"the real sample {request.param} is not on this machine")
    lake = Lake(tmp_path_factory.mktemp(request.param))
    shutil.copytree(source / "raw", lake.raw())
    materialize(lake)
    results = read_json(lake.analysis_results())
    figures = {metric["name"]: metric["value"] for metric in results["metrics"]}
    return RealRun(lake, json.loads((source / "expected.json").read_text()), results, figures)


def four_digits(value: float) -> float:
    return round(value, 4)


def test_events_users_and_sessions(run: RealRun) -> None:
    expected, figures = run.expected, run.figures
    for name in ("events", "users", "sessions", "event_types", "transitions", "distinct_transitions"):
        assert figures[name] == expected[name], name
    assert run.results["synthetic"] is False
    assert {year: source["loaded"] for year, source in run.results["sources"].items()} == expected["events_per_year"]
    assert figures["records_seen"] == expected["events"]
    assert figures["duplicates"] == figures["quarantined"] == 0
    assert run.results["data_as_of"] == expected["last_event"]


def test_session_durations_in_both_definitions(run: RealRun) -> None:
    expected, figures = run.expected["session_duration_seconds"], run.figures
    assert four_digits(figures["session_seconds_mean"]) == expected["session_weighted"]["mean"]
    assert figures["session_seconds_median"] == expected["session_weighted"]["median"]
    assert figures["session_seconds_max"] == expected["session_weighted"]["max"]
    assert four_digits(figures["event_session_seconds_mean"]) == expected["event_weighted"]["mean"]
    assert figures["event_session_seconds_median"] == expected["event_weighted"]["median"]


def test_events_per_session_and_per_user(run: RealRun) -> None:
    expected, figures = run.expected, run.figures
    assert four_digits(figures["events_per_session_mean"]) == expected["events_per_session"]["mean"]
    assert figures["events_per_session_median"] == expected["events_per_session"]["median"]
    assert figures["events_per_session_max"] == expected["events_per_session"]["max"]
    assert figures["single_event_sessions"] == expected["events_per_session"]["single_event_sessions"]
    assert four_digits(figures["events_per_actor_mean"]) == expected["events_per_user"]["mean"]
    assert figures["events_per_actor_median"] == expected["events_per_user"]["median"]
    assert figures["events_per_actor_max"] == expected["events_per_user"]["max"]


def test_top_lists(run: RealRun) -> None:
    expected, lists = run.expected, run.results["lists"]
    assert [[row["event_type"], row["events"]] for row in lists["top_events"]][:10] == expected["top_events"]
    transitions = [[row["from_event"], row["to_event"], row["transitions"]] for row in lists["top_transitions"]]
    assert sorted(transitions) == sorted(expected["top_transitions"])
    for ours, theirs in (("entry_events", "top_first_events"), ("exit_events", "top_last_events")):
        assert [[row["event_type"], row["sessions"]] for row in lists[ours]][:5] == expected[theirs]


def test_rhythm_and_days(run: RealRun) -> None:
    expected, lists = run.expected, run.results["lists"]
    hours = {row["hour"]: row["events"] for row in lists["hours"]}
    assert [hours.get(hour, 0) for hour in range(24)] == expected["events_by_hour"]
    weekdays = {row["weekday"]: row["events"] for row in lists["weekdays"]}
    assert [weekdays.get(day, 0) for day in range(1, 8)] == expected["events_by_weekday_mon0"]
    daily = [[row["date"], row["events"]] for row in lists["daily"]]
    assert len(daily) == expected["daily"]["days"]
    assert sum(row["is_gap"] for row in lists["daily"]) == expected["daily"]["empty_days"]
    assert daily[: len(expected["daily"]["head"])] == expected["daily"]["head"]
    assert daily[-len(expected["daily"]["tail"]) :] == expected["daily"]["tail"]
    assert expected["daily"]["max"] in daily


def test_markov_accuracy(run: RealRun) -> None:
    expected, markov = run.expected["next_event_80_20"], run.results["models"]["markov_chain"]
    for name in ("train_sessions", "test_sessions", "test_transitions", "first_test_session_start"):
        assert markov[name] == expected[name], name
    assert markov["most_frequent_event"] == expected["most_frequent_event"]
    for name in (
        "markov1_accuracy",
        "markov1_top3_accuracy",
        "markov2_backoff_accuracy",
        "most_frequent_accuracy",
        "repeat_accuracy",
    ):
        assert round(markov[name], 6) == expected[name], name


def test_dimensions(run: RealRun, request: pytest.FixtureRequest) -> None:
    """Spark's shares by place and device; only one set has them."""
    if "dimensions" not in run.expected:
        pytest.skip("the set has no places and devices")
    spark, lake, [year] = request.getfixturevalue("spark"), run.lake, run.expected["events_per_year"]
    files, actors = chunk_files(lake, year), lake.feature("actors", year)
    for result in summarize(spark, files, actors, year, load_settings(lake), names=SUMMARIES):
        write_table(lake.summary(year, result.table.name), result.rows, result.table)
    for name, expected in run.expected["dimensions"].items():
        table, condition = {
            "country": ("spark_geography", "level = 'country'"),
            "region": ("spark_dataset_overview", ""),
            "city": ("spark_dataset_overview", ""),
        }.get(name, ("spark_device_usage", f"dimension = '{name}'"))
        overview = run.lake.summary(year, "spark_dataset_overview")
        [(nulls, distinct)] = duckdb.execute(
            f"SELECT nulls, distinct_values FROM '{overview}' WHERE column_name = '{name}'"
        ).fetchall()
        assert (nulls, distinct) == (expected["missing"], expected["distinct"]), name
        if condition:
            value = "country" if table == "spark_geography" else "value"
            rows = duckdb.execute(
                f"SELECT {value}, events FROM '{run.lake.summary(year, table)}' "
                f"WHERE population = 'all' AND {condition} AND {value} IS NOT NULL "
                f"ORDER BY events DESC, {value} LIMIT {len(expected['top_by_events'])}"
            ).fetchall()
            assert [list(row) for row in rows] == expected["top_by_events"], name


def test_the_raw_files_are_untouched(run: RealRun, tmp_path: Path) -> None:
    source = REAL_SAMPLES / run.expected["name"] / "raw"
    for path in sorted(source.rglob("*.gz")):
        assert (run.lake.raw() / path.relative_to(source)).read_bytes() == path.read_bytes()
