"""The asset ``analysis_results`` as Dagster runs it: file, metadata, checks."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from analytics_assets.assets.reports import analysis_results
from analytics_assets.checks.results import check_agreement, check_results_schema
from analytics_assets.core.files import read_json, sha256_of
from analytics_assets.core.lake import Lake
from analytics_assets.resources.lake import LakeResource
from analytics_assets_tests.core.event_data import Records, ingest, publish_features

ODD_NAME = "*bold* [link](http://localhost) | `code`"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, dg.ExecuteInProcessResult]:
    lake, new = Lake(tmp_path_factory.mktemp("reports")), Records()
    for number in range(80):
        who = {"user_id": f"u{number}", "amplitude_id": number, "session_id": 1_714_557_600_000 + number}
        for second, name in enumerate(("start", ODD_NAME, "other", "end")):
            new.add(f"2024-05-01 10:{number % 60:02d}:{second:02d}", name, **who)
        new.add("2024-06-01 00:00:00", "start", **who)
    ingest(lake, "2024", new.made)
    publish_features(lake, "2024")
    result = dg.materialize([analysis_results], resources={"lake": LakeResource(root=str(lake.root))})
    return lake, result


def shown(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    [event] = result.asset_materializations_for_node("analysis_results")
    return {name: value.value for name, value in event.metadata.items()}


def test_metadata_are_those_of_the_file(run: tuple[Lake, dg.ExecuteInProcessResult]) -> None:
    lake, result = run
    results = read_json(lake.analysis_results())
    values = {metric["name"]: metric["value"] for metric in results["metrics"]}
    metadata = shown(result)
    assert metadata["events"] == values["events"] == 400
    assert metadata["session_seconds_mean"] == values["session_seconds_mean"]
    assert metadata["years"] == ["2024"]
    assert metadata["path"] == str(lake.analysis_results())
    assert "week1_retention" not in metadata, "without summaries there is no value to show"
    [event] = result.asset_materializations_for_node("analysis_results")
    assert event.tags is not None and event.tags["dagster/data_version"] == sha256_of(lake.analysis_results())


def test_names_from_outside_do_not_format_the_findings(run: tuple[Lake, dg.ExecuteInProcessResult]) -> None:
    lake, result = run
    findings = read_json(lake.analysis_results())["findings"]
    assert any(ODD_NAME in entry["text"] for entry in findings), "the case is not exercised"
    text = shown(result)["findings"]
    assert len(text.splitlines()) == len(findings)
    assert ODD_NAME not in text and "\\*bold\\* \\[link\\]\\(http" in text
    assert "Mean session duration, over sessions" in shown(result)["without_top_actor"]


def test_checks_pass(run: tuple[Lake, dg.ExecuteInProcessResult]) -> None:
    checks = {check.check_name: check for check in run[1].get_asset_check_evaluations()}
    assert checks.keys() == {"matches_json_schema", "figures_agree"}
    assert all(check.passed for check in checks.values())
    assert checks["matches_json_schema"].blocking
    assert checks["figures_agree"].metadata["compared"].value == 9


def test_checks_name_what_is_wrong() -> None:
    good = {"what": "events", "published": 1, "counted": 1}
    bad = {"what": "sessions", "published": 1, "counted": 2}
    assert check_agreement([good]).passed and check_results_schema([]).passed
    failed = check_agreement([good, bad])
    assert not failed.passed and failed.severity == dg.AssetCheckSeverity.ERROR
    assert failed.metadata["differing"].value == [bad]
    broken = check_results_schema(["$.years: [] should be non-empty"])
    assert not broken.passed and broken.severity == dg.AssetCheckSeverity.ERROR
    assert broken.metadata["first"].value == ["$.years: [] should be non-empty"]
