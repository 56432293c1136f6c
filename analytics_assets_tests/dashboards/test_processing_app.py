"""The transparency app as a visitor sees it."""

from __future__ import annotations

import json

import pytest

from analytics_assets.core.files import read_json, write_json
from analytics_assets.core.lake import Lake
from analytics_assets.schemas import METRICS
from analytics_assets_tests.dashboards import building
from analytics_assets_tests.dashboards.conftest import RunApp
from analytics_assets_tests.dashboards.test_insights_app import everything, tiles
from dashboards import data
from dashboards.components import SYNTHETIC_LABEL

SCRIPT = "data_processing.py"


def table(app, column: str):
    """The first table that has `column`."""
    return next(element.value for element in app.dataframe if column in element.value.columns)


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
    assert list(table(app, "Rows after")["Rows after"]) == [63, *[62] * 6]
    assert "delivery 2021 with a time in another year: **1**" in everything(app)
    app.sidebar.selectbox[0].set_value("2020").run()
    assert not app.exception
    assert list(table(app, "Rows after")["Rows after"]) == [61] * 7
    assert "delivery 2020 with a time in another year: **0**" in everything(app)
    assert run_app(SCRIPT, built_lake, year="2020").sidebar.selectbox[0].value == "2020"


def test_the_quarantine_shows_bytes_as_text(built_lake: Lake, run_app: RunApp) -> None:
    app = run_app(SCRIPT, built_lake, year="2020")
    refused = table(app, "Reason")
    assert list(refused["Reason"]) == ["malformed json"]
    [shown] = app.code
    assert shown.value == building.MALFORMED
    source = built_lake.raw("2020") / refused["File"][0]
    assert source.read_bytes()[refused["From byte"][0] : refused["To byte"][0]].decode() == building.MALFORMED
    assert "No record of 2021" in everything(run_app(SCRIPT, built_lake, year="2021"))


def test_the_quarantine_is_filtered_and_cut(lake: Lake, run_app: RunApp) -> None:
    path = lake.quarantine("2020") / "refused.ndjson"
    line = json.loads(path.read_text())
    lines = [line] * 250 + [{**line, "reason": "too_deep", "bytes_base64": "4oCuAP9h"}]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in lines))
    manifest = read_json(lake.manifest("2020"))
    write_json(lake.manifest("2020"), {**manifest, "quarantine_reasons": {"malformed_json": 250, "too_deep": 1}})
    app = run_app(SCRIPT, lake, year="2020")
    assert len(table(app, "Reason")) == data.QUARANTINE_SHOWN == 200
    app.main.selectbox[0].set_value("too_deep").run()
    assert not app.exception
    # A direction override, a zero byte and a byte that is not UTF-8 are all visible.
    assert list(table(app, "Reason")["Content"]) == ["\\u{202e}\\u{0000}\\xffa"]


def test_files_and_chunks(built_lake: Lake, run_app: RunApp) -> None:
    app = run_app(SCRIPT, built_lake, year="2021")
    manifest = read_json(built_lake.manifest("2021"))
    files, chunks = table(app, "Decompressed"), table(app, "Chunk")
    assert list(files["SHA-256"]) == [manifest["files"][0]["sha256"][:12]]
    assert list(chunks["Rows"]) == [62]


def test_every_published_figure_says_where_it_comes_from(built_lake: Lake, run_app: RunApp) -> None:
    figures = table(run_app(SCRIPT, built_lake), "Population")
    assert list(figures["Figure"]) == [metric.label for metric in METRICS.values()]
    assert list(figures["Source asset"]) == [metric.source for metric in METRICS.values()]
    assert figures.set_index("Figure").loc["Events", "Value"] == "123"


def test_an_empty_lake_says_what_to_run(tmp_path, run_app: RunApp) -> None:
    app = run_app(SCRIPT, Lake(tmp_path))
    assert not app.exception and not app.metric
    assert "`make demo`" in everything(app)


def test_a_lake_with_chunks_only(tmp_path, run_app: RunApp) -> None:
    lake = Lake(tmp_path)
    building.write_exports(lake)
    building.ingest(lake)
    app = run_app(SCRIPT, lake)
    assert not app.exception and not app.error
    assert tiles(app)["Records delivered"] == "125"
    assert "`data_quality`" in everything(app) and "`analysis_results`" in everything(app)


@pytest.mark.parametrize(
    ("place", "asset"),
    [
        ("chunks/2021/manifest.json", "event_chunks"),
        ("quality/2021.json", "data_quality"),
        ("reports/analysis_results.json", "analysis_results"),
        ("quarantine/2020/refused.ndjson", "event_chunks"),
    ],
)
def test_a_damaged_file_becomes_a_message(lake: Lake, run_app: RunApp, place: str, asset: str) -> None:
    path = lake.root / place
    path.write_bytes(path.read_bytes()[:-30])
    app = run_app(SCRIPT, lake, year="2020" if "quarantine" in place else "2021")
    assert not app.exception
    assert any(place in error.value and f"`{asset}`" in error.value for error in app.error)
    # The other year is not hidden by it.
    assert "2020" in list(table(app, "Adds up")["Year"])


def test_quality_of_an_earlier_delivery_is_marked(lake: Lake, run_app: RunApp) -> None:
    quality = read_json(lake.quality("2021"))
    write_json(lake.quality("2021"), {**quality, "raw_digest": "other"})
    assert any("`data_quality`" in warning.value for warning in run_app(SCRIPT, lake).warning)


def test_synthetic_data_are_labelled(lake: Lake, run_app: RunApp) -> None:
    assert SYNTHETIC_LABEL not in everything(run_app(SCRIPT, lake))
    lake.sample_truth().write_text("{}")
    assert SYNTHETIC_LABEL in everything(run_app(SCRIPT, lake))
