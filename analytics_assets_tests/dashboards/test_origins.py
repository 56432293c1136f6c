"""Every countable figure is the number of rows behind it, and each row leads to its bytes in a raw file."""

from __future__ import annotations

import json
import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from analytics_assets.core.features.engine import open_engine
from analytics_assets.core.files import read_json, write_json, write_table
from analytics_assets.core.ingest.tracing import LEDGER_FILE
from analytics_assets.core.lake import Lake
from analytics_assets.core.results import analysis_results
from analytics_assets.core.settings import load_settings
from analytics_assets.schemas import METRICS, TABLES
from analytics_assets_tests.core.event_data import ingest, publish_features
from analytics_assets_tests.core.results_summaries import SUMMARIES, write_summaries
from analytics_assets_tests.core.test_results import YEARS, earlier_records, later_records
from analytics_assets_tests.dashboards import building
from analytics_assets_tests.dashboards.conftest import RunApp
from analytics_assets_tests.dashboards.test_insights_app import everything, tiles
from analytics_assets_tests.dashboards.test_processing_app import SCRIPT, table
from dashboards import components
from dashboards.processing import delivered, lineage, list_recounts, origins, recounts

SETTINGS = """
[events]
session_end_events = ["session_end", "{odd} 'name'"]
[cleaning]
profile = "original"
"""

OF_OTHER_TABLES = {"columns", "top_values", "funnels", "retention_weekly", "lifecycle_weekly", "stickiness"}
"""Lists whose entries are no counts of rows of one table."""


def write_stickiness(lake: Lake, year: str) -> None:
    """Active actors of each day up to the last event inside the year, counted in Python."""
    files = [str(lake.feature(name, year)) for name in ("clean_events", "dropped_events")]
    seen = duckdb.execute(
        "SELECT DISTINCT time::DATE, actor FROM read_parquet(?) WHERE actor IS NOT NULL AND NOT outside_year", [files]
    ).fetchall()
    first, last = date(int(year), 1, 1), max(day for day, _ in seen)
    rows = []
    for day in (first + timedelta(days=n) for n in range((last - first).days + 1)):
        dau, wau, mau = (len({a for d, a in seen if day - timedelta(days=n) < d <= day}) for n in (1, 7, 30))
        rows.append(
            {
                "population": "all", "date": day, "dau": dau, "wau": wau, "mau": mau, "is_complete": True,
                "dau_wau": dau / wau if wau else None, "dau_mau": dau / mau if mau else None,
            }
        )  # fmt: skip
    name = "spark_stickiness"
    write_table(lake.summary(year, name), pa.Table.from_pylist(rows, TABLES[name].arrow_schema()), TABLES[name])


@pytest.fixture(scope="module")
def figures_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Hostile records of two years, cleaned by the profile that removes most, with every published figure."""
    lake = Lake(tmp_path_factory.mktemp("figures"))
    lake.settings().write_text(SETTINGS, encoding="utf-8")
    for year, records in zip(YEARS, (earlier_records(), later_records()), strict=True):
        ingest(lake, year, records, max_rows=20)
        publish_features(lake, year, load_settings(lake))
    write_summaries(lake, "2024", {name: SUMMARIES[name] for name in SUMMARIES if name != "spark_stickiness"})
    write_stickiness(lake, "2025")
    with open_engine(lake.staging() / "duckdb") as engine:
        write_json(lake.analysis_results(), analysis_results(engine, lake, YEARS, []))
    return lake


def test_every_metric_counted_again_is_the_published_one(figures_lake: Lake) -> None:
    counts = 0
    for metric in read_json(figures_lake.analysis_results())["metrics"]:
        name, published = metric["name"], metric["value"]
        if name in delivered.FIGURES:
            found = delivered.records(figures_lake, YEARS, name, 20)
            assert found.count == published, name
            assert len(found.first) == min(20, published), name
            continue
        recount = recounts.recount(figures_lake, YEARS, name)
        assert recount is not None, name
        value = recounts.value(figures_lake, YEARS, recount)
        assert recounts.agrees(published, value), (name, published, value)
        rows = recounts.count(figures_lake, YEARS, recount)
        shown = recounts.first_rows(figures_lake, YEARS, recount, 20)
        assert len(shown) == min(20, rows), name
        if recount.is_count:
            assert rows == published, name
            counts += published > 0
    # The data make most of the counts something else than zero.
    assert counts >= 15


def test_a_count_is_known_by_its_unit(figures_lake: Lake) -> None:
    """Whatever is published as a number of things is the number of its rows."""
    means = {name for name in METRICS if name.endswith(("_mean", "_median", "_max", "_p95", "_p99"))}
    for name, metric in METRICS.items():
        if metric.unit not in ("s", "ms", "share") and name not in means and name not in delivered.FIGURES:
            recount = recounts.recount(figures_lake, YEARS, name)
            assert recount is not None and recount.is_count, name


def test_every_entry_of_every_countable_list_is_the_number_of_its_rows(figures_lake: Lake) -> None:
    lists = read_json(figures_lake.analysis_results())["lists"]
    for name, entries in lists.items():
        # The first, the last and some between: each entry is a query.
        for entry in [*entries[:2], *entries[2 :: max(1, len(entries) // 3)], *entries[-1:]]:
            found = list_recounts.recount(name, entry)
            if found is None:
                assert name in OF_OTHER_TABLES | {"distributions"}, name
                continue
            recount, published = found
            assert recounts.count(figures_lake, YEARS, recount) == published, (name, entry)


def test_segments_are_counted_again(built_lake: Lake) -> None:
    years = list(building.YEARS)
    segments = read_json(built_lake.analysis_results())["lists"]["user_segments"]
    assert segments
    for entry in segments:
        found = list_recounts.recount("user_segments", entry)
        assert found is not None
        assert recounts.count(built_lake, years, found[0]) == found[1] == entry["actors"]


@pytest.mark.parametrize("name", ["single_event_sessions", "transitions", "users", "active_days"])
def test_each_row_leads_to_its_bytes(figures_lake: Lake, name: str) -> None:
    recount = recounts.recount(figures_lake, YEARS, name)
    assert recount is not None
    rows = recounts.first_rows(figures_lake, YEARS, recount, 20)
    places = origins._places(figures_lake, YEARS, rows)
    assert rows
    for row, place in zip(rows, places, strict=True):
        assert place is not None, row
        year, origin = place
        content = (figures_lake.raw(year) / origin.file).read_bytes()
        assert json.loads(content[origin.start : origin.end])["uuid"] == row["uuid"]


def test_duplicates_and_conflicts_lead_to_their_bytes(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    first, other = building.event(1, "a", 1, building.datetime(2021, 3, 1), 0), {}
    other = {**first, "event_type": "b", "server_upload_time": "2021-03-02 00:00:00"}
    path = lake.raw("2021") / "events.ndjson"
    path.parent.mkdir(parents=True)
    lines = [json.dumps(record) for record in (first, first, other)]
    path.write_text("\n".join([*lines, "{}"]), encoding="utf-8")
    building.ingest(lake)
    counts = {name: delivered.records(lake, ["2021"], name, 20) for name in delivered.FIGURES}
    assert {name: found.count for name, found in counts.items()} == {
        "records_seen": 4, "duplicates": 1, "quarantined": 2,
    }  # fmt: skip
    [again] = counts["duplicates"].first
    assert path.read_bytes()[again["From byte"] : again["To byte"]].decode() == lines[1]


# The page


def test_the_page_takes_a_metric_apart(built_lake: Lake, run_app: RunApp) -> None:
    app = run_app(SCRIPT, built_lake, "origins", figure="events")
    assert not app.exception and not app.error and not app.warning
    assert "**Events: 123 events**" in app.markdown[0].value
    assert "**123 ✓**, the same" in everything(app)
    assert tiles(app)["Rows behind it"] == "123" and tiles(app)["Deliveries"] == "2020–2021"
    behind = next(e.value for e in app.dataframe if "From byte" in e.value.columns)
    assert len(behind) == origins.ROWS_BEHIND == 20
    for _, row in behind.iterrows():
        year, name = row["Raw file"].split("/", 1)
        content = (built_lake.raw(year) / name).read_bytes()
        assert json.loads(content[row["From byte"] : row["To byte"]])["uuid"] == row["uuid"]
    meaning = table(app, "What").set_index("What")["Value"]
    assert meaning["Unit"] == "events" and meaning["Source asset"] == "clean_events" and meaning["Exact value"] == "123"
    tables = table(app, "State")
    assert set(tables["State"]) == {"✓"}
    assert {row["Asset"]: row["Rows"] for _, row in tables.iterrows() if row["Delivery"] == "2021"} == {
        "clean_events": 62, "dropped_events": 0, "actors": 5, "event_chunks": 62,
    }  # fmt: skip
    assert list(table(app, "Records")["Records"]) == [62, 63]


def test_the_page_takes_an_entry_of_a_list_apart(built_lake: Lake, run_app: RunApp) -> None:
    entries = read_json(built_lake.analysis_results())["lists"]["top_events"]
    place = next(n for n, entry in enumerate(entries, 1) if entry["event_type"] == building.SCRIPT_EVENT)
    app = run_app(SCRIPT, built_lake, "origins", figure="lists.top_events", entry=str(place))
    assert not app.exception and not app.error and not app.warning
    events = entries[place - 1]["events"]
    assert f"`{building.SCRIPT_EVENT}`: {events}** events" in everything(app)
    behind = next(e.value for e in app.dataframe if "From byte" in e.value.columns)
    assert set(behind["Event"]) == {building.SCRIPT_EVENT} and len(behind) == min(20, events)


def test_delivered_records_and_lists_without_rows(built_lake: Lake, run_app: RunApp) -> None:
    app = run_app(SCRIPT, built_lake, "origins", figure="duplicates")
    assert not app.exception and not app.error and not app.warning
    [row] = table(app, "What became of it").to_dict("records")
    content = (built_lake.raw("2021") / row["Raw file"]).read_bytes()[row["From byte"] : row["To byte"]]
    assert json.loads(content)["uuid"] == building.year_events(2021)[0]["uuid"]
    app = run_app(SCRIPT, built_lake, "origins", figure="lists.distributions")
    assert not app.exception and not app.error
    assert "is not a count of rows of one table" in everything(app)
    # An address may name a figure that does not exist.
    assert not run_app(SCRIPT, built_lake, "origins", figure="<b>no</b>").exception


def test_every_published_figure_says_where_it_comes_from(built_lake: Lake, run_app: RunApp) -> None:
    app = run_app(SCRIPT, built_lake, "origins")
    figures = table(app, "Population")
    assert list(figures["Figure"]) == [metric.label for metric in METRICS.values()]
    assert list(figures["Source asset"]) == [metric.source for metric in METRICS.values()]
    assert figures.set_index("Figure").loc["Events", "Value"] == "123"
    options = app.selectbox(key=origins.FIGURE_KEY).options
    assert options[: len(METRICS)] == list(METRICS)
    assert "lists.top_events" in options


def test_figures_of_other_tables_are_marked(lake: Lake, run_app: RunApp) -> None:
    results: dict[str, Any] = read_json(lake.analysis_results())
    results["metrics"][1]["value"] += 1
    results["sources"]["2021"]["raw_digest"] = "other"
    write_json(lake.analysis_results(), results)
    app = run_app(SCRIPT, lake, "origins", figure="events")
    assert not app.exception
    found = [warning.value for warning in app.main.warning]
    assert any("it is 123, not 124" in warning for warning in found)
    assert any("`2021` changed after the figure was made" in warning for warning in found)


def test_a_missing_or_damaged_ledger_hides_the_spans_only(lake: Lake, run_app: RunApp) -> None:
    (lake.ledger("2021") / LEDGER_FILE).write_text("{}")
    app = run_app(SCRIPT, lake, "origins", figure="sessions")
    assert not app.exception
    assert any("ledger.json" in error.value and "`event_chunks`" in error.value for error in app.error)
    assert "✓**, the same" in everything(app)
    assert list(next(e.value for e in app.dataframe if "From byte" in e.value.columns)["Raw file"]) == [""] * 20
    shutil.rmtree(lake.ledger("2021"))
    app = run_app(SCRIPT, lake, "origins", figure="sessions")
    assert not app.exception and any("ledger.json" in info.value for info in app.info)


def test_an_unreadable_setting_is_named(lake: Lake, run_app: RunApp) -> None:
    lake.settings().write_text("[events]\nburst_milliseconds = -1")
    app = run_app(SCRIPT, lake, "origins", figure="burst_share")
    assert not app.exception
    assert any("burst_milliseconds" in error.value for error in app.error)


def test_what_an_asset_is_made_from(built_lake: Lake, tmp_path: Path) -> None:
    assert lineage.assets("daily_metrics") == [
        "daily_metrics", "clean_events", "dropped_events", "sessions", "actors", "event_chunks",
    ]  # fmt: skip
    assert all(lineage.assets(metric.source)[-1] == "event_chunks" for metric in METRICS.values())
    states = {table.state for table in lineage.tables(Lake(tmp_path), ["2021"], "sessions")}
    assert states == {"not there yet: materialize it"}
    damaged = Lake(Path(shutil.copytree(built_lake.root, tmp_path / "lake")))
    damaged.feature("sessions", "2021").write_bytes(b"PAR1")
    [bad] = [table for table in lineage.tables(damaged, ["2021"], "sessions") if table.state != "✓"]
    assert bad.asset == "sessions" and bad.rows is None and "materialize it again" in bad.state


def test_the_link_to_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(components.PROCESSING_PORT_VARIABLE, raising=False)
    assert components.origin_link("events") == (
        "[Where does this come from?](http://127.0.0.1:8502/origins?figure=events)"
    )
    monkeypatch.setenv(components.PROCESSING_PORT_VARIABLE, "9999")
    assert "127.0.0.1:9999/origins?figure=lists.a%29%28b)" in components.origin_link("lists.a)(b")
