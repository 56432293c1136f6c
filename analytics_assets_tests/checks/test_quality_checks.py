"""The quality of a year as an asset: every grade is a check, a warning that names figure, limit and offenders."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from analytics_assets.assets.quality import data_quality
from analytics_assets.checks.quality import RECENCY_CHECK, check_quality, check_recency, quality_check_specs
from analytics_assets.core.features.grades import GRADES
from analytics_assets.core.files import read_json
from analytics_assets.core.lake import Lake
from analytics_assets.resources.lake import LakeResource
from analytics_assets_tests.core.quality_data import make_year, random_events


def materialized(lake: Lake, year: str, *, succeeds: bool = True) -> dg.ExecuteInProcessResult:
    result = dg.materialize(
        [data_quality],
        partition_key=year,
        resources={"lake": LakeResource(root=str(lake.root))},
        raise_on_error=False,
    )
    assert result.success is succeeds
    return result


def checks_of(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {check.check_name: check for check in result.get_asset_check_evaluations()}


def fact(check: dg.AssetCheckEvaluation | dg.AssetCheckResult, name: str) -> Any:
    return check.metadata[name].value


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Two years; the second has another platform, and dominating actor and value."""
    lake = Lake(tmp_path_factory.mktemp("checks"))
    make_year(lake, "2023", random_events(1, year=2023))
    make_year(lake, "2024", random_events(2).assign(platform="Android", city=None))
    return lake


@pytest.fixture(scope="module")
def checks(lake: Lake) -> dict[str, dg.AssetCheckEvaluation]:
    """Checks of the second year."""
    return checks_of(materialized(lake, "2024"))


def test_every_grade_is_a_check_that_warns(lake: Lake, checks: dict[str, dg.AssetCheckEvaluation]) -> None:
    assert set(checks) == {*GRADES, RECENCY_CHECK} == {spec.name for spec in quality_check_specs()}
    grades = {grade["name"]: grade for grade in read_json(lake.quality("2024"))["grades"]}
    for name, check in checks.items():
        if name == RECENCY_CHECK:
            continue
        assert not check.blocking and check.severity == dg.AssetCheckSeverity.WARN
        assert check.passed is grades[name]["passed"], name
        assert fact(check, "limit") == grades[name]["limit"]
        assert fact(check, "actual") == grades[name]["value"]
    assert {check.passed for check in checks.values()} == {True, False}


@pytest.mark.parametrize(
    ("name", "offender"),
    [
        ("nulls_within_limits", "city"),
        ("clocks_synchronized", "behind by 1 minute to 1 hour"),
        ("arrives_in_time", "more than 7 days"),
        ("not_dominated_by_one_actor", "events"),
        ("stable_against_previous_year", "platform"),
    ],
)
def test_a_warning_names_what_is_beyond(checks: dict[str, dg.AssetCheckEvaluation], name: str, offender: str) -> None:
    assert not checks[name].passed
    assert fact(checks[name], "offenders")[offender] > 0
    assert fact(checks[name], "actual") > fact(checks[name], "limit")


def test_without_a_year_before_the_comparison_passes_with_a_note(lake: Lake) -> None:
    check = checks_of(materialized(lake, "2023"))["stable_against_previous_year"]
    assert check.passed and fact(check, "actual") == "not measured"
    assert "year before" in fact(check, "note")


def test_a_year_without_events_passes_with_notes(tmp_path_factory: pytest.TempPathFactory) -> None:
    lake = Lake(tmp_path_factory.mktemp("empty"))
    make_year(lake, "2024", random_events(1).head(0))
    found = checks_of(materialized(lake, "2024"))
    assert found.pop(RECENCY_CHECK).passed
    for check in found.values():
        assert check.passed and fact(check, "actual") == "not measured" and fact(check, "note")


def test_a_limit_of_the_lake_counts(tmp_path_factory: pytest.TempPathFactory) -> None:
    lake = Lake(tmp_path_factory.mktemp("limits"))
    make_year(lake, "2024", random_events(1))
    lake.settings().write_text("[quality]\nmax_late_share = 0.9\n", encoding="utf-8")
    check = checks_of(materialized(lake, "2024"))["arrives_in_time"]
    assert check.passed and fact(check, "limit") == 0.9


def test_a_missing_table_fails_with_its_remedy(tmp_path_factory: pytest.TempPathFactory) -> None:
    lake = Lake(tmp_path_factory.mktemp("missing"))
    make_year(lake, "2024", random_events(1, rows=50, actors=4))
    lake.feature("sessions", "2024").unlink()
    result = materialized(lake, "2024", succeeds=False)
    [event] = [event for event in result.all_events if event.is_step_failure]
    failure = event.step_failure_data.user_failure_data
    assert failure is not None and "Materialize sessions" in (failure.description or "")
    assert not lake.quality("2024").exists()


@pytest.mark.parametrize(
    ("year", "last", "passed", "age"),
    [
        ("2025", "2025-06-29 23:00:00", True, 1.042),
        ("2025", "2025-06-20 00:00:00", False, 11.0),
        ("2025", None, False, "no event"),
        ("2024", "2024-06-20 00:00:00", True, 376.0),
    ],
)
def test_the_age_of_the_newest_event(year: str, last: str | None, passed: bool, age: object) -> None:
    now = datetime(2025, 7, 1, 2, tzinfo=ZoneInfo("Europe/Oslo"))  # midnight in UTC
    check = check_recency({"time": {"last_event_time": last}}, year, 3, now)
    assert check.passed is passed
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert check.metadata["age_days"].value == age
    assert ("note" in check.metadata) is (year == "2024")


def test_results_need_nothing_but_the_report(lake: Lake) -> None:
    [*results] = check_quality(read_json(lake.quality("2024")))
    assert [result.check_name for result in results] == list(GRADES)
