"""The assets ``exploration_notebook`` and ``figures``: their files, what Dagster shows of them, and what goes wrong."""

from __future__ import annotations

import shutil
from datetime import date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import nbformat
import pyarrow as pa
import pytest
from selenium.webdriver.common.by import By

from analytics_assets.assets.reports import analysis_results, exploration_notebook, figures
from analytics_assets.checks.reports import check_key_figures, check_no_network
from analytics_assets.core.features.engine import open_engine
from analytics_assets.core.features.quality import quality_report
from analytics_assets.core.files import read_json, write_json, write_table
from analytics_assets.core.lake import Lake
from analytics_assets.core.reports import images, notebook, pages
from analytics_assets.core.reports.charts import Chart, charts
from analytics_assets.core.settings import default_settings
from analytics_assets.resources.lake import LakeResource
from analytics_assets.schemas import SUMMARY_TABLES
from analytics_assets_tests.browser import chromium
from analytics_assets_tests.core.event_data import Records, ingest, publish_features

YEAR = "2024"
ODD_NAME = "<script>alert(1)</script> $x_1$ | https://example.org"

SUMMARY_ROWS: dict[str, list[dict[str, Any]]] = {
    "spark_temporal_patterns": [
        {"population": "all", "granularity": "weekday_hour", "bucket": "3-10", "events": 320, "actors": 80,
         "sessions": 80, "busy_place": 1, "in_year": True},
    ],
    "spark_funnels": [
        {"population": "all", "funnel": ODD_NAME, "origin": "configured", "scope": "session", "window_minutes": 60.0,
         "step": step, "event_type": name, "reached": reached, "share_of_first": reached / 80, "share_low": 0.2,
         "share_high": 0.9}
        for step, (name, reached) in enumerate((("start", 80), (ODD_NAME, 40)), 1)
    ],
    "spark_retention": [
        {"population": "all", "granularity": "week", "cohort": date(2024, 4, 29), "period": period,
         "cohort_actors": 80, "active_actors": active, "retention": active / 80, "is_complete": True}
        for period, active in enumerate((80, 0, 20))
    ],
    "spark_latency": [
        {"population": "all", "measure": "upload_ms", "dimension": "overall", "value": None, "events": 400,
         "left_out": 0, "mean": 1.0, "median": 1.0, "p95": 2.0, "p99": 3.0},
    ],
}  # fmt: skip
"""What the template reads of Spark's summaries; Spark itself is tested elsewhere."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A year of 80 users with features, quality, summaries and results."""
    lake, new = Lake(tmp_path_factory.mktemp("analyst's reports")), Records()
    for number in range(80):
        who = {"user_id": f"u{number}", "amplitude_id": number, "session_id": 1_714_557_600_000 + number}
        for second, name in enumerate(("start", ODD_NAME, "other", "end")):
            new.add(f"{YEAR}-05-01 10:{number % 60:02d}:{second:02d}", name, **who)
        new.add(f"{YEAR}-06-01 00:00:00", "start", **who)
    ingest(lake, YEAR, new.made)
    publish_features(lake, YEAR)
    with open_engine(lake.staging() / "duckdb") as engine:
        report = quality_report(engine, lake, YEAR, read_json(lake.manifest(YEAR)), default_settings())
    write_json(lake.quality(YEAR), report)
    tables = {table.name: table for table in SUMMARY_TABLES}
    for name, rows in SUMMARY_ROWS.items():
        schema = tables[name].arrow_schema()
        write_table(lake.summary(YEAR, name), pa.Table.from_pylist(rows, schema=schema), tables[name])
    assert dg.materialize([analysis_results], resources=resources(lake)).success
    return lake


def resources(lake: Lake) -> dict[str, LakeResource]:
    return {"lake": LakeResource(root=str(lake.root))}


def copied(lake: Lake, target: Path) -> Lake:
    return Lake(Path(shutil.copytree(lake.root, target / "lake")))


def shown(result: dg.ExecuteInProcessResult, name: str) -> dict[str, Any]:
    [event] = result.asset_materializations_for_node(name)
    return {key: value.value for key, value in event.metadata.items()}


def failure(result: dg.ExecuteInProcessResult) -> str:
    assert not result.success
    [event] = [event for event in result.all_events if event.is_step_failure]
    data = event.step_failure_data.user_failure_data
    assert data is not None and data.description, "a failure that people can read, not a traceback"
    return data.description


def executed(lake: Lake) -> dg.ExecuteInProcessResult:
    return dg.materialize([exploration_notebook], partition_key=YEAR, resources=resources(lake), raise_on_error=False)


def test_the_notebook_is_executed_and_its_figures_are_those_of_the_tables(made: Lake, tmp_path: Path) -> None:
    lake = copied(made, tmp_path)
    result = executed(lake)
    assert result.success
    first = lake.notebook(YEAR).read_bytes()
    read = nbformat.reads(first.decode(), as_version=4)
    nbformat.validate(read)
    files = [str(lake.feature(name, YEAR)) for name in ("clean_events", "dropped_events")]
    [(events, actors, users)] = duckdb.execute(
        "SELECT count(*), count(DISTINCT actor), count(DISTINCT user_id) FROM read_parquet($files)", {"files": files}
    ).fetchall()
    [(sessions, mean)] = duckdb.execute(
        "SELECT count(*), avg(duration_seconds) FROM read_parquet($file)", {"file": str(lake.feature("sessions", YEAR))}
    ).fetchall()
    found = notebook.key_figures(read)
    assert (found["events"], found["actors"], found["users"], found["sessions"]) == (events, actors, users, sessions)
    assert (events, actors, sessions) == (400, 80, 80) and found["mean_session_seconds"] == pytest.approx(mean)
    outputs = [output for cell in read.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "error"]
    printed = next(output.data["text/plain"] for output in outputs if "application/json" in output.get("data", {}))
    assert f"{'events':<24}{'400':>28}" in printed
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 5
    tables = "".join(output.data["text/html"] for output in outputs if "text/html" in output.get("data", {}))
    assert "<script>" not in tables and "&lt;script&gt;" in tables
    assert all(cell.execution_count for cell in read.cells if cell.cell_type == "code")
    [check] = result.get_asset_check_evaluations()
    assert check.passed and check.metadata["compared"].value == 4
    assert shown(result, "exploration_notebook")["raw_digest"] == read_json(lake.manifest(YEAR))["raw_digest"]
    assert str(lake.root) not in first.decode(), "a notebook is the same wherever the lake lies"
    # A second run on the same tables changes nothing.
    assert executed(lake).success and lake.notebook(YEAR).read_bytes() == first


def test_a_broken_cell_is_named(made: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = copied(made, tmp_path)
    lake.notebook(YEAR).parent.mkdir(parents=True)
    lake.notebook(YEAR).write_text("of an earlier run")
    cells = [
        nbformat.v4.new_code_cell("year = ''", metadata={"tags": ["parameters"]}, id="one"),
        nbformat.v4.new_markdown_cell("## The broken part\n\nwords", id="two"),
        nbformat.v4.new_code_cell("print(year)\n1 / 0", id="three"),
        nbformat.v4.new_markdown_cell("## Afterwards", id="four"),
    ]
    template = tmp_path / "broken.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), template)
    monkeypatch.setattr(notebook, "execute", partial(notebook.execute, template=template))
    said = failure(executed(lake))
    assert said.startswith("broken.ipynb, cell 3 under “The broken part”: ZeroDivisionError: division by zero.")
    assert "\x1b" not in said
    assert lake.notebook(YEAR).read_text() == "of an earlier run"


def test_a_missing_table_is_named(made: Lake, tmp_path: Path) -> None:
    lake = copied(made, tmp_path)
    lake.summary(YEAR, "spark_funnels").unlink()
    said = failure(executed(lake))
    assert f"summaries/{YEAR}/spark_funnels.parquet" in said and f"Materialize spark_funnels for {YEAR} first" in said
    assert not lake.notebook(YEAR).exists()


def test_the_template_is_shipped_without_outputs_and_reads_what_is_declared() -> None:
    template = nbformat.read(notebook.TEMPLATE, as_version=4)
    nbformat.validate(template)
    code = [cell for cell in template.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    source = "\n".join(cell.source for cell in code)
    for name in (*notebook.FEATURES, *notebook.SUMMARIES):
        assert name in source, name
    with pytest.raises(ValueError, match="0 outputs of key figures"):
        notebook.key_figures(template)


def test_differing_key_figures_fail_the_check(made: Lake) -> None:
    quality = read_json(made.quality(YEAR))
    right = {"events": 400, "actors": 80, "users": 80, "sessions": 80}
    assert check_key_figures(right, quality).passed
    failed = check_key_figures({**right, "users": 79}, quality)
    assert not failed.passed
    assert failed.metadata["differing"].value == {"users": {"expected": 80, "actual": 79}}


def drawn(lake: Lake, **config: Any) -> dg.ExecuteInProcessResult:
    settings = {"ops": {"figures": {"config": config}}}
    return dg.materialize([figures], resources=resources(lake), run_config=settings, raise_on_error=False)


def test_figures_are_pages_that_need_no_network(made: Lake, tmp_path: Path) -> None:
    lake = copied(made, tmp_path)
    result = drawn(lake, images=False)
    assert result.success
    metadata = shown(result, "figures")
    written = {path.name for path in lake.figures().iterdir()}
    names = {chart.name for chart in charts(read_json(lake.analysis_results()))}
    assert {"daily-events", "hours-of-the-week", "frequent-events", "funnels", "weekly-retention"} <= names
    assert written == {"index.html", "plotly.min.js", *(f"{name}.html" for name in names)}
    assert metadata["charts"] == len(names) and metadata["images"] == 0
    assert "switched off" in metadata["images_note"]
    [check] = result.get_asset_check_evaluations()
    assert check.passed and check.metadata["pages"].value == len(names) + 1
    for path in lake.figures().glob("*.html"):
        content = path.read_text(encoding="utf-8")
        assert "<script>alert" not in content and "\u202e" not in content, path
    index = (lake.figures() / "index.html").read_text(encoding="utf-8")
    assert all(f'href="{name}.html"' in index for name in names)
    [event] = result.asset_materializations_for_node("figures")
    [again] = drawn(lake, images=False).asset_materializations_for_node("figures")
    assert event.tags is not None and again.tags is not None
    assert event.tags["dagster/data_version"] == again.tags["dagster/data_version"]


def test_a_page_opens_in_a_browser_and_images_are_drawn(made: Lake, tmp_path: Path) -> None:
    with chromium(tmp_path / "profile") as page:
        lake = copied(made, tmp_path)
        result = drawn(lake)
        metadata = shown(result, "figures")
        assert metadata["images"] == metadata["charts"], metadata["images_note"]
        for name in ("daily-events", "frequent-events"):
            assert (lake.figures() / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        page.get((lake.figures() / "frequent-events.html").as_uri())
        assert page.find_elements(By.CSS_SELECTOR, "#frequent-events svg.main-svg")
        assert ODD_NAME in page.find_element(By.CSS_SELECTOR, "table").get_attribute("textContent")
        assert not [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"]
        assert not page.execute_script("return performance.getEntriesByType('resource')"
                                       ".filter(entry => !entry.name.startsWith('file:')).length")  # fmt: skip


def test_without_a_browser_the_metadata_say_so(made: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = copied(made, tmp_path)
    monkeypatch.setattr(images, "browser", lambda: None)
    metadata = shown(drawn(lake), "figures")
    assert metadata["images"] == 0 and "No Chromium is installed" in metadata["images_note"]
    monkeypatch.setattr(images, "browser", lambda: "/bin/false")
    metadata = shown(drawn(lake), "figures")
    assert metadata["images"] == 0 and "did not draw daily-events" in metadata["images_note"]


def test_figures_without_results_name_the_file(tmp_path: Path) -> None:
    said = failure(drawn(Lake(tmp_path)))
    assert "analysis_results.json" in said and "Materialize analysis_results first" in said


def test_addresses_outside_the_folder_fail_the_check(tmp_path: Path) -> None:
    (tmp_path / "good.html").write_text('<a href="index.html">https://example.org</a>')
    (tmp_path / "index.html").write_text('<script src="//cdn.example.org/x.js"></script><img src="good.html">')
    found = pages.addresses(tmp_path)
    assert found == {"index.html": {"//cdn.example.org/x.js"}}
    failed = check_no_network(2, found)
    assert not failed.passed and failed.metadata["addresses"].value == {"index.html": ["//cdn.example.org/x.js"]}


def full_results(made: Lake) -> dict[str, Any]:
    """The results with what their small lake has no models and summaries for."""
    results = read_json(made.analysis_results())
    model = {"top1": 0.5, "interval": {"top1": [0.4, 0.6]}, "baselines": {"most_frequent": {"top1": 0.2}}}
    results["models"] |= {
        "markov_chain": model,
        "lstm_next_event": {**model, "top1": 0.6, "interval": {"top1": [0.55, 0.7]}},
        "kmeans_segments": {"names": [ODD_NAME, "rest"], "sizes": [3, 1], "clustered_actors": 4},
    }
    days = [{"date": f"2024-0{month}-01", "dau": month, "wau": 7, "mau": 30 + month, "is_complete": month > 1}
            for month in (1, 2)]  # fmt: skip
    results["lists"]["stickiness"] = [{**days[0], "date": "2023-12-31"}, *days]
    weeks = [
        {"year": 2024, "population": population, "week": week, "active_actors": 6, "new_actors": 1,
         "returning_actors": 2, "resurrected_actors": 3, "dormant_actors": 4, "is_complete": True}
        for population in ("all", "people")
        for week in ("2024-01-01", "2024-01-08")
    ]  # fmt: skip
    results["lists"]["lifecycle_weekly"] = [{**weeks[0], "year": 2023, "week": "2023-12-25"}, *weeks]
    for name in ("stickiness", "lifecycle_weekly"):
        results["list_info"][name] = {"source": f"spark_{name}", "about": "", "years": ["2023", "2024"]}
    return results


def forecast_row(model: str, day: date, mean: float, **intervals: float | None) -> dict[str, Any]:
    known = datetime.combine(day, time()) - timedelta(days=1)
    bands = {name: intervals.get(name) for name in ("lo80", "hi80", "lo95", "hi95")}
    return {"metric": "events", "model": model, "date": day, "mean": mean, "trained_until": known, **bands}


def test_every_chart_draws_the_numbers_of_its_source(made: Lake) -> None:
    results = full_results(made)
    until = date.fromisoformat(results["lists"]["daily"][-2]["date"])
    best = {"model": "ets", "coverage95": 0.9, "points": 1_200}
    results["models"]["forecast_leaderboard"] = {"best": {"events": best}}
    tomorrow = until + timedelta(days=1)
    forecasts = [forecast_row(model, tomorrow, mean, lo80=8, hi80=13) for model, mean in (("naive", 7), ("ets", 9))]
    found: dict[str, Chart] = {chart.name: chart for chart in charts(results, forecasts)}
    assert len(found) == 14
    assert {*found} - {chart.name for chart in charts(results)} == {"daily-events-forecast"}

    def values(name: str, axis: str, trace: int = 0) -> list[Any]:
        return list(found[name].figure.data[trace][axis])

    lists = results["lists"]
    assert values("daily-events", "y") == [row["events"] for row in lists["daily"]]
    forecast = found["daily-events-forecast"]
    band, history, expected = forecast.figure.data
    assert (band.name, list(band.y)) == ("80 % interval", [13, 8]), "the wider interval is withheld"
    days = lists["daily"][:-1]
    assert list(history.y) == [row["events"] for row in days] and history.x[-1] == until.isoformat()
    assert list(expected.x) == [until.isoformat(), tomorrow.isoformat()] and list(expected.y) == [days[-1]["events"], 9]
    assert "by ets" in forecast.population and "90.0 % of 1,200" in forecast.population
    assert sum(map(sum, values("hours-of-the-week", "z", 1))) == sum(row["events"] for row in lists["weekday_hours"])
    for chart, name, number in (
        ("frequent-events", "top_events", "events"), ("entry-events", "entry_events", "sessions"),
        ("exit-events", "exit_events", "sessions"), ("countries", "countries", "events"),
        ("device-families", "device_families", "events"),
    ):  # fmt: skip
        assert values(chart, "x") == [row[number] for row in lists[name]] == [row[number] for row in found[chart].rows]
    assert values("funnels", "x") == [0.5] and found["funnels"].rows[0]["finished"] == 40
    assert values("weekly-retention", "y", 1) == [0.0, 0.25] and values("weekly-retention", "x", 1) == [1, 2]
    assert [values("weekly-lifecycle", "y", trace) for trace in range(4)] == [[2, 2], [3, 3], [1, 1], [-4, -4]]
    assert values("weekly-lifecycle", "x") == ["2024-01-01", "2024-01-08"], "the last delivery, over everybody"
    assert [values("active-actors", "y", trace) for trace in range(3)] == [[1, 2], [7, 7], [31, 32]]
    assert values("next-event-accuracy", "x") == [0.6, 0.5, 0.2]
    assert values("segments", "x") == [3, 1]
    for chart in found.values():
        assert chart.title and chart.unit and chart.population and chart.source and chart.rows
        assert chart.figure.layout.meta["alt"]
        content = pages.page(chart, results)
        assert "<script>alert" not in content
        rows = content.count("<tr>") - 1
        assert rows == len(chart.rows)


def test_no_events_no_charts(made: Lake) -> None:
    results = read_json(made.analysis_results())
    empty = {**results, "lists": {name: [] for name in results["lists"]}, "models": {}}
    assert charts(empty) == []
