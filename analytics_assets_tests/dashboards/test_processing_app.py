"""The transparency app as a visitor sees it: its first page, and what all its pages have in common."""

from __future__ import annotations

import shutil

import pytest

from analytics_assets.core.files import read_json, write_json
from analytics_assets.core.lake import Lake
from analytics_assets_tests.dashboards import building
from analytics_assets_tests.dashboards.conftest import RunApp
from analytics_assets_tests.dashboards.test_insights_app import everything, tiles
from dashboards.components import SYNTHETIC_LABEL

SCRIPT = "data_processing.py"


def table(app, column: str):
    """The first table that has `column`."""
    return next(element.value for element in app.dataframe if column in element.value.columns)


def waterfall(app) -> str:
    """The lead chart in words."""
    [chart] = app.get("plotly_chart")
    return chart.proto.alt


def test_every_record_is_accounted_for(built_lake: Lake, run_app: RunApp) -> None:
    app = run_app(SCRIPT, built_lake)
    assert not app.exception and not app.error
    assert app.markdown[0].value.startswith("Yes ✓")
    assert tiles(app) == {
        "Records delivered": "125", "Loaded": "123", "Exact duplicates dropped": "1", "In quarantine": "1",
    }  # fmt: skip
    years = table(app, "Adds up")
    assert list(years["Year"]) == ["2020", "2021"]
    assert list(years["Adds up"]) == ["✓", "✓"]
    assert (years["Delivered"] == years["Loaded"] + years["Duplicates"] + years["Quarantined"]).all()
    assert list(years["Delivered"]) == [62, 63]


@pytest.mark.parametrize("broken", ["total", "chunks"])
def test_counts_that_do_not_add_up_are_shown(lake: Lake, run_app: RunApp, broken: str) -> None:
    manifest = read_json(lake.manifest("2021"))
    if broken == "total":
        manifest["total"]["records_seen"] += 3
    else:
        manifest["chunks"][0]["rows"] -= 2
    write_json(lake.manifest("2021"), manifest)
    app = run_app(SCRIPT, lake)
    assert not app.exception
    assert "2021" in app.error[0].value
    assert list(table(app, "Adds up")["Adds up"]) == [
        "✓",
        {"total": "✗ off by +3", "chunks": "✗ chunks off by +2"}[broken],
    ]


def test_the_year_is_chosen(built_lake: Lake, run_app: RunApp) -> None:
    app = run_app(SCRIPT, built_lake)
    assert app.sidebar.selectbox[0].value == "2021"
    assert waterfall(app).startswith("Rows of 2021 after each step, horizontal bars in rows. delivered: 63 rows")
    app.sidebar.selectbox[0].set_value("2020").run()
    assert not app.exception
    assert "delivered: 62 rows" in waterfall(app) and "refuse: 61 rows (−1)" in waterfall(app)
    assert run_app(SCRIPT, built_lake, year="2020").sidebar.selectbox[0].value == "2020"


def test_forgotten_records_are_accounted_for(lake: Lake, run_app: RunApp) -> None:
    manifest = read_json(lake.manifest("2021"))
    manifest["total"]["records_seen"] += 4
    manifest["total"]["forgotten"] += 4
    write_json(lake.manifest("2021"), manifest)
    app = run_app(SCRIPT, lake)
    assert not app.exception and not app.error
    assert "**4** belong to persons who asked to be forgotten" in app.markdown[0].value
    assert list(table(app, "Adds up")["Forgotten"]) == [0, 4]


PAGES = ("overview", "cleaning", "quarantine", "files", "columns", "places", "origins", "runs")


@pytest.mark.parametrize("page", ["", "origins"])
def test_every_page_on_an_empty_lake_says_what_to_run(tmp_path, run_app: RunApp, page: str) -> None:
    app = run_app(SCRIPT, Lake(tmp_path), page)
    assert not app.exception and not app.metric
    assert "`make demo`" in everything(app)


@pytest.mark.parametrize("page", PAGES)
def test_every_page_on_a_lake_with_chunks_only(tmp_path, run_app: RunApp, page: str) -> None:
    lake = Lake(tmp_path)
    building.write_exports(lake)
    building.ingest(lake)
    app = run_app(SCRIPT, lake, "" if page == "overview" else page)
    assert not app.exception and not app.error
    missing = {
        "overview": "`data_quality`",
        "cleaning": "`data_quality`",
        "files": "`data_quality`",
        "columns": "`data_quality`",
        "places": "`data_quality`",
        "origins": "`analysis_results`",
        "runs": "`spark_dataset_overview`",
        "quarantine": "No record of 2021 is in quarantine",
    }
    assert missing[page] in everything(app)
    assert app.title[0].value.endswith("?")


@pytest.mark.parametrize("page", PAGES)
def test_every_page_says_where_its_charts_are_from(built_lake: Lake, run_app: RunApp, page: str) -> None:
    app = run_app(SCRIPT, built_lake, "" if page == "overview" else page, year="2020")
    assert not app.exception and not app.error
    assert app.sidebar.selectbox[0].value == "2020"
    assert all(chart.proto.alt for chart in app.get("plotly_chart"))
    if page != "runs":
        assert any(caption.value.startswith("Source: ") for caption in app.caption)


@pytest.mark.parametrize(
    ("place", "asset", "page"),
    [
        ("chunks/2021/manifest.json", "event_chunks", ""),
        ("chunks/2021/manifest.json", "event_chunks", "files"),
        ("chunks/2021/manifest.json", "event_chunks", "quarantine"),
        ("quality/2021.json", "data_quality", ""),
        ("quality/2021.json", "data_quality", "cleaning"),
        ("quality/2021.json", "data_quality", "files"),
        ("quality/2021.json", "data_quality", "columns"),
        ("quality/2021.json", "data_quality", "places"),
        ("features/dropped_events/2021.parquet", "dropped_events", "cleaning"),
        ("features/clean_events/2021.parquet", "clean_events", "places"),
        ("features/clean_events/2021.parquet", "clean_events", "origins"),
        ("reports/analysis_results.json", "analysis_results", "origins"),
        ("quarantine/2021/refused.ndjson", "event_chunks", "quarantine"),
        ("reports/spark_analysis.log", "spark_dataset_overview", "runs"),
        ("models/markov_chain/cost.json", "markov_chain", "runs"),
    ],
)
def test_a_damaged_file_becomes_a_message(lake: Lake, run_app: RunApp, place: str, asset: str, page: str) -> None:
    path = lake.root / place
    if path.is_file() and path.stat().st_size > 30:
        path.write_bytes(path.read_bytes()[:-30])
    elif path.suffix == ".log":
        path.mkdir(parents=True)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"stre')
    app = run_app(SCRIPT, lake, page, year="2021")
    assert not app.exception
    assert any(place in error.value and f"`{asset}`" in error.value for error in app.error)
    assert app.title[0].value


def test_quality_of_an_earlier_delivery_is_marked(lake: Lake, run_app: RunApp) -> None:
    quality = read_json(lake.quality("2021"))
    write_json(lake.quality("2021"), {**quality, "raw_digest": "other"})
    for page in ("", "cleaning", "files", "columns", "places"):
        assert any("`data_quality`" in warning.value for warning in run_app(SCRIPT, lake, page).warning), page


def test_tables_of_another_delivery_are_marked(lake: Lake, run_app: RunApp) -> None:
    shutil.copyfile(lake.feature("clean_events", "2020"), lake.feature("clean_events", "2021"))
    for page in ("cleaning", "columns"):
        assert any("hold 61 events, its chunks 62" in warning.value for warning in run_app(SCRIPT, lake, page).warning)


def test_synthetic_data_are_labelled(lake: Lake, run_app: RunApp) -> None:
    assert SYNTHETIC_LABEL not in everything(run_app(SCRIPT, lake))
    lake.sample_truth().write_text("{}")
    assert SYNTHETIC_LABEL in everything(run_app(SCRIPT, lake))
