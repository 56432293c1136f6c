"""The page "Data quality & drift" against ``quality/<year>.json``."""

from __future__ import annotations

from typing import Any

import pytest

from analytics_assets.core.files import read_json, write_json
from analytics_assets.core.lake import Lake
from analytics_assets_tests.dashboards import building
from analytics_assets_tests.dashboards.conftest import RunApp
from analytics_assets_tests.dashboards.test_insights_app import everything, tiles
from dashboards import text

HOSTILE = "=1+1 <script>alert(1)</script> **x**"


def change(lake: Lake, year: str, **parts: Any) -> dict[str, Any]:
    report = {**read_json(lake.quality(year)), **parts}
    write_json(lake.quality(year), report)
    return report


def test_the_page_shows_the_report(built_lake: Lake, run_page: RunApp) -> None:
    app = run_page("quality", built_lake)
    assert not app.exception and not app.error
    report = read_json(built_lake.quality("2021"))
    passed = sum(grade["passed"] for grade in report["grades"])
    drifted = [column for column in report["drift"]["columns"] if column["drifted"]]
    shown = tiles(app)
    assert shown["Grades within limits"] == f"{passed} of {len(report['grades'])}"
    assert shown["Drifted fields"] == f"{len(drifted)} of {len(report['drift']['columns'])}"
    assert shown["Top actor's events"] == text.share(report["concentration"]["top_actor_share"])
    assert shown["Certain order"] == text.share(1 - report["order"]["burst_step_share"])
    assert f"**{passed} of {len(report['grades'])} grades** of 2021" in everything(app)
    assert "http://127.0.0.1:8502/?year=2021" in everything(app)
    listed = next(table.value for table in app.dataframe if "What it is" in table.value)
    assert list(listed["Value"].astype(object).where(listed["Value"].notna(), None)) == [
        grade["value"] for grade in report["grades"]
    ]
    classes = next(table.value for table in app.dataframe if "Class" in table.value)
    assert list(classes["Events"]) == [row["events"] for row in report["concentration"]["classes"]]
    assert all(chart.proto.alt for chart in app.get("plotly_chart"))


def test_the_first_year_has_nothing_before_it(built_lake: Lake, run_page: RunApp) -> None:
    app = run_page("quality", built_lake, delivery="2020", country=["Spain"])
    assert not app.exception and not app.error
    assert "There is no delivery before 2020" in everything(app)
    assert "do not apply to this page, which is about the delivery of 2020" in everything(app)
    assert tiles(app)["Drifted fields"] == "no data"


def test_drift_and_failed_grades_are_named(lake: Lake, run_page: RunApp) -> None:
    report = read_json(lake.quality("2021"))
    drift, grades = report["drift"], report["grades"]
    moved = {"value": HOSTILE, "share_before": 0.1, "share_now": 0.7}
    drift["columns"][3] |= {"psi": 0.9, "js": 0.3, "times_limit": 3.6, "drifted": True, "largest": [moved]}
    drift["event_types"] = {
        "new": [{"event_type": HOSTILE, "events": 7}],
        "vanished": [{"event_type": building.MARKDOWN_EVENT, "events": 5}],
    }
    drift["transitions"]["largest"] = [
        {"from_event": HOSTILE, "transitions": 200, "previous_transitions": 150, "js": 0.25}
    ]
    grades[0] |= {"value": 0.9, "passed": False, "offenders": [{"name": HOSTILE, "value": 0.9}]}
    change(lake, "2021", drift=drift, grades=grades)
    app = run_page("quality", lake, measure="js")
    assert not app.exception and not app.error
    name = drift["columns"][3]["column"]
    assert f"most `{name}`: 3.6 times its limit" in everything(app)
    assert "beyond them: nulls within limits" in everything(app)
    tables = [table.value for table in app.dataframe]
    values = next(table for table in tables if "Before" in table)
    assert values.to_dict("records") == [{"Value": HOSTILE, "Before": 0.1, "Now": 0.7, "Change": pytest.approx(0.6)}]
    types = [list(table["Event type"]) for table in tables if "Event type" in table]
    assert types == [[HOSTILE], [building.MARKDOWN_EVENT]]
    assert "<script>" not in everything(app)
    by_year = next(table for table in tables if "2020" in table)
    assert next(iter(by_year["2021"])).startswith("✗")


@pytest.mark.parametrize("part", ["grades", "numeric", "order", "concentration", "drift"])
def test_a_report_of_another_shape_becomes_a_message(lake: Lake, run_page: RunApp, part: str) -> None:
    change(lake, "2021", **{part: {"strange": 1}})
    app = run_page("quality", lake)
    assert not app.exception and not app.metric
    assert "quality/2021.json" in app.error[0].value and "`data_quality` again" in app.error[0].value


def test_a_damaged_report_of_another_year_leaves_the_rest(lake: Lake, run_page: RunApp) -> None:
    lake.quality("2020").write_bytes(b'{"grades": [')
    app = run_page("quality", lake)
    assert not app.exception
    [error] = app.error
    assert "quality/2020.json" in error.value and tiles(app)["Grades within limits"]
    lake.quality("2021").unlink()
    app = run_page("quality", lake, delivery="2021")
    assert not app.exception and "Materialize the asset `data_quality`" in everything(app)
