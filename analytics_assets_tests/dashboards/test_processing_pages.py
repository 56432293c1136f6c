"""The pages of the transparency app: what they show equals the files, and every choice is in the address."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import get_args

import duckdb
import pyarrow as pa
import pytest

from analytics_assets.core.files import read_json, write_json, write_table
from analytics_assets.core.lake import Lake
from analytics_assets.core.run_log import SummaryLog
from analytics_assets.core.settings import CleaningStep
from analytics_assets.schemas import CLEAN_EVENTS, DROPPED_EVENTS, EVENT_CHUNKS, TABLES
from analytics_assets_tests.dashboards import building
from analytics_assets_tests.dashboards.conftest import RunApp
from analytics_assets_tests.dashboards.test_insights_app import everything, tiles
from analytics_assets_tests.dashboards.test_processing_app import SCRIPT, table
from dashboards.processing import column_figures, reading, runs, step_code

HOSTILE = "<script>alert(1)</script> **x** =1+1 \u202e"
SHOWN = "<script>alert(1)</script> **x** =1+1 \\u{202e}"


def drop(lake: Lake, rows: int, reason: str) -> None:
    """Move the first events of 2021 to the removed ones."""
    clean, dropped = lake.feature("clean_events", "2021"), lake.feature("dropped_events", "2021")
    ordered = f"FROM '{clean}' ORDER BY time, uuid"
    moved = duckdb.sql(f"SELECT *, 'mobile_rows' AS dropped_by, '{reason}' AS reason {ordered} LIMIT {rows}")
    left = duckdb.sql(f"SELECT * {ordered} OFFSET {rows}").to_arrow_table()
    write_table(dropped, moved.to_arrow_table(), DROPPED_EVENTS)
    write_table(clean, left, CLEAN_EVENTS)


def alts(app) -> list[str]:
    return [chart.proto.alt for chart in app.get("plotly_chart")]


# Cleaning


def test_the_waterfall_is_that_of_the_quality_figures(built_lake: Lake, run_app: RunApp) -> None:
    app = run_app(SCRIPT, built_lake, "cleaning", year="2020")
    steps = read_json(built_lake.quality("2020"))["waterfall"]
    shown = table(app, "Rows after")
    assert list(shown["Step"]) == [step["step"] for step in steps]
    assert list(shown["Rows after"]) == [step["rows_after"] for step in steps] == [61] * 7
    assert list(shown["Removed"]) == [1, *[0] * 6]
    assert list(shown["Columns after"]) == [step["columns_after"] for step in steps]
    assert tiles(app)["Removed"] == "1" and tiles(app)["Left"] == "61"
    assert "**61** of **62 delivered records**" in app.markdown[0].value


def test_each_step_shows_its_rule_and_code(built_lake: Lake, run_app: RunApp) -> None:
    app = run_app(SCRIPT, built_lake, "cleaning", step="exact duplicates")
    assert not app.exception
    assert any(block.value.startswith("def _exact_duplicates(") for block in app.code)
    assert "analytics\\_assets" not in everything(app) and "core/features/cleaning.py" in everything(app)


def test_the_code_of_every_step_is_found(built_lake: Lake) -> None:
    waterfall = [step["step"] for step in read_json(built_lake.quality("2021"))["waterfall"]]
    for step in (*waterfall, "forget", *(name.replace("_", " ") for name in get_args(CleaningStep))):
        found = step_code.code_of(step)
        assert found and all(len(code.source) > 30 for code in found), step
    assert step_code.code_of("no such step") == []


def test_removed_rows_are_browsed(lake: Lake, run_app: RunApp) -> None:
    app = run_app(SCRIPT, lake, "cleaning")
    assert "Cleaning removed no event of 2021" in everything(app)
    drop(lake, 3, HOSTILE)
    app = run_app(SCRIPT, lake, "cleaning", removed_by="mobile_rows")
    assert not app.exception and not app.error and not app.warning
    rows = table(app, "Removed by")
    assert list(rows["Reason"]) == [SHOWN] * 3
    kept = duckdb.sql(f"SELECT uuid FROM '{lake.feature('dropped_events', '2021')}' ORDER BY time, uuid")
    assert list(rows["uuid"]) == [uuid for (uuid,) in kept.fetchall()]
    assert any(caption.value.endswith("rows 1 to 3 of 3") for caption in app.caption)


def test_removed_rows_are_paged(lake: Lake, run_app: RunApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PAGE_ROWS", 4)
    drop(lake, 10, "why")
    app = run_app(SCRIPT, lake, "cleaning", removed_page="3")
    assert len(table(app, "Removed by")) == 2
    assert any(caption.value.endswith("rows 9 to 10 of 10") for caption in app.caption)
    # A page that is not there any more is the last one.
    assert not run_app(SCRIPT, lake, "cleaning", removed_page="99").exception


def test_each_column_has_a_fate(built_lake: Lake, run_app: RunApp) -> None:
    fates = table(run_app(SCRIPT, built_lake, "cleaning"), "Fate").set_index("Column")["Fate"]
    delivered, clean = set(EVENT_CHUNKS.column_names), set(CLEAN_EVENTS.column_names)
    assert {name for name, fate in fates.items() if fate == "kept"} == delivered & clean
    assert {name for name, fate in fates.items() if fate == "left out"} == delivered - clean
    assert {name for name, fate in fates.items() if fate == "derived"} == clean - delivered


# Quarantine


def test_the_quarantine_shows_bytes_as_text(built_lake: Lake, run_app: RunApp) -> None:
    app = run_app(SCRIPT, built_lake, "quarantine", year="2020")
    refused = table(app, "Reason")
    assert list(refused["Reason"]) == ["malformed json"]
    assert app.code[0].value == building.MALFORMED
    source = built_lake.raw("2020") / refused["File"][0]
    assert source.read_bytes()[refused["From byte"][0] : refused["To byte"][0]].decode() == building.MALFORMED
    assert "analytics quarantine replay 2020" in app.code[1].value


def test_the_quarantine_is_filtered_and_paged(lake: Lake, run_app: RunApp) -> None:
    path = lake.quarantine("2020") / "refused.ndjson"
    line = json.loads(path.read_text())
    odd = {**line, "reason": "too_deep", "bytes_base64": "4oCuAP9h", "file": HOSTILE}
    path.write_text("".join(json.dumps(entry) + "\n" for entry in [line] * 250 + [odd]))
    manifest = read_json(lake.manifest("2020"))
    manifest["total"] |= {"quarantined": 251, "records_seen": 312}
    write_json(lake.manifest("2020"), manifest)
    app = run_app(SCRIPT, lake, "quarantine", year="2020")
    assert not app.exception and not app.error
    assert len(table(app, "Reason")) == reading.PAGE_ROWS == 200
    assert len(table(run_app(SCRIPT, lake, "quarantine", year="2020", refused_page="2"), "Reason")) == 51
    app = run_app(SCRIPT, lake, "quarantine", year="2020", refused_reason="too_deep", refused_file=SHOWN)
    assert not app.exception
    # A direction override, a zero byte and a byte that is not UTF-8 are all visible.
    assert list(table(app, "Reason")["Content"]) == ["\\u{202e}\\u{0000}\\xffa"]
    app.selectbox(key="refused_reason").set_value("malformed_json").run()
    assert not app.exception and "has both this reason and this file" in everything(app)


def test_a_quarantine_of_another_size_than_the_manifest_says_is_an_error(lake: Lake, run_app: RunApp) -> None:
    path = lake.quarantine("2020") / "refused.ndjson"
    path.write_text(path.read_text() * 2)
    app = run_app(SCRIPT, lake, "quarantine", year="2020")
    assert "holds 2 records, its manifest says 1" in app.error[0].value


# Files


def test_files_chunks_and_spans(built_lake: Lake, run_app: RunApp) -> None:
    app = run_app(SCRIPT, built_lake, "files", year="2021", chunk="part-00000.csv")
    manifest = read_json(built_lake.manifest("2021"))
    files, chunks = table(app, "Decompressed"), table(app, "From files")
    assert list(files["SHA-256"]) == [manifest["files"][0]["sha256"][:12]]
    assert list(files["Whole"]) == ["✓"] and list(files["Bytes"]) == ["✓"]
    assert list(chunks["Rows"]) == [62]
    spans = next(e.value for e in app.dataframe if "From byte" in e.value.columns)
    [source] = manifest["chunks"][0]["sources"]
    assert list(spans["From byte"]) == [source["start"]] and list(spans["To byte"]) == [source["end"]]
    assert "every decompressed byte belongs to a record" in app.markdown[0].value
    assert "delivery 2021 with a time in another year: **1**" in everything(app)


def test_a_file_cut_off_and_bytes_without_an_account_are_shown(lake: Lake, run_app: RunApp) -> None:
    manifest = read_json(lake.manifest("2021"))
    manifest["files"][0] |= {"complete": False, "decompressed_bytes": manifest["files"][0]["decompressed_bytes"] + 7}
    write_json(lake.manifest("2021"), {**manifest, "unknown_keys": {HOSTILE: 3}})
    app = run_app(SCRIPT, lake, "files")
    assert not app.exception
    files = table(app, "Whole")
    assert list(files["Whole"]) == ["✗ cut off"] and list(files["Bytes"]) == ["✗ off by +7"]
    assert any("end before their end" in warning.value for warning in app.warning)
    assert list(table(app, "Times")["Name"]) == [SHOWN]


# Columns


def write_column_summaries(lake: Lake, year: str) -> dict[str, Counter[str]]:
    """What the Spark summaries say of some delivered columns, counted in Python."""
    names = ("event_type", "language", "event_id", "event_properties")
    rows = duckdb.sql(f"SELECT {', '.join(names[:3])}, NULL FROM '{lake.feature('clean_events', year)}'").fetchall()
    counts = {
        name: Counter(str(value) for value in values if value is not None)
        for name, values in zip(names, zip(*rows, strict=True), strict=True)
    }
    overview = [
        {
            "column_name": name, "column_type": "string", "events": len(rows), "distinct_values": len(counts[name]),
            "nulls": len(rows) - counts[name].total(), "null_share": 1 - counts[name].total() / len(rows),
        }
        for name in names
    ]  # fmt: skip
    top = [
        {"column_name": name, "place": place, "value": value, "events": n, "event_share": n / len(rows)}
        for name in names
        for place, (value, n) in enumerate(sorted(counts[name].items(), key=lambda item: (-item[1], item[0]))[:20], 1)
    ]
    for name, content in (("spark_dataset_overview", overview), ("spark_top_values", top)):
        schema = TABLES[name].arrow_schema()
        write_table(lake.summary(year, name), pa.Table.from_pylist(content, schema), TABLES[name])
    return counts


def test_columns_equal_the_quality_figures(lake: Lake, run_app: RunApp) -> None:
    counts = write_column_summaries(lake, "2021")
    app = run_app(SCRIPT, lake, "columns", column="event_type")
    assert not app.exception and not app.error
    shown = table(app, "Uniqueness").set_index("Column")
    for entry in read_json(lake.quality("2021"))["columns"]:
        row = shown.loc[entry["column"]]
        assert row["Nulls"] == entry["nulls"] and row["Distinct"] == entry["distinct_values"]
        assert row["Null share"] == entry["null_share"]
    assert f"**{len(counts['event_type'])}** distinct ones" in everything(app)
    [top] = [alt for alt in alts(app) if alt.startswith("Most frequent values of event_type in 2021")]
    name, number = counts["event_type"].most_common(1)[0]
    assert f"{name}: {number} ·" in top and building.SCRIPT_EVENT in top
    identity = next(e.value for e in app.dataframe if list(e.value.columns) == ["What", "Count"])
    assert list(identity["Count"]) == list(read_json(lake.quality("2021"))["identity"].values())
    assert len(table(app, "Kept")) == len(read_json(lake.quality("2021"))["grades"])


@pytest.mark.parametrize(
    "column", ["event_id", "hour", "latency_ms", "seconds_since_start", "processing_ms", "position"]
)
def test_histograms_hold_every_value(lake: Lake, column: str) -> None:
    clean = lake.feature("clean_events", "2021")
    [(values, low, high)] = duckdb.sql(
        f"SELECT count({column}), min({column}), max({column}) FROM '{clean}'"
    ).fetchall()
    bins = column_figures.bins(lake, "2021", column)
    assert sum(entry.rows for entry in bins) == values > 0
    assert 1 <= len(bins) <= column_figures.BINS
    assert float(bins[0].low.replace(",", "")) <= low + 1e-9
    assert float(bins[-1].high.replace(",", "")) >= high * 0.99


def test_histograms_of_a_heavy_tail_are_logarithmic(lake: Lake) -> None:
    clean = lake.feature("clean_events", "2021")
    odd = "CASE WHEN position = 1 THEN 0 WHEN position = 2 THEN 1e6 ELSE position END"
    changed = duckdb.sql(f"SELECT * REPLACE ({odd} AS latency_ms) FROM '{clean}'").to_arrow_table()
    write_table(clean, changed, CLEAN_EVENTS)
    bins = column_figures.bins(lake, "2021", "latency_ms")
    assert bins[0].low == bins[0].high == "0"
    assert (bins[-1].low, bins[-1].high) == ("1,000,000", "1,778,279")
    [(zeros, large, total)] = duckdb.sql(
        f"SELECT count(*) FILTER (latency_ms = 0), count(*) FILTER (latency_ms = 1e6), count(*) FROM '{clean}'"
    ).fetchall()
    assert (bins[0].rows, bins[-1].rows, sum(entry.rows for entry in bins)) == (zeros, large, total)


def test_histograms_give_a_wrong_clock_a_bin_of_its_own(lake: Lake) -> None:
    clean = lake.feature("clean_events", "2021")
    odd = "CASE WHEN copy = 0 AND uuid = (SELECT min(uuid) FROM events) THEN -1e6 ELSE position END"
    changed = duckdb.sql(
        f"WITH events AS (SELECT * FROM '{clean}') "
        f"SELECT * REPLACE ({odd} AS latency_ms) FROM events, range(10) copies(copy)"
    ).to_arrow_table()
    write_table(clean, changed, CLEAN_EVENTS)
    bins = column_figures.bins(lake, "2021", "latency_ms")
    assert len(bins) == column_figures.BINS
    assert (bins[0].low, bins[0].high, bins[0].rows) == ("-1,000,000", "1", 1)
    assert sum(entry.rows for entry in bins) == changed.num_rows
    assert max(entry.rows for entry in bins) < changed.num_rows / 2


def test_derived_and_empty_columns(built_lake: Lake, run_app: RunApp) -> None:
    app = run_app(SCRIPT, built_lake, "columns", column="hour")
    assert not app.exception and not app.error
    assert any(alt.startswith("Values of hour in 2021, histogram") for alt in alts(app))
    app = run_app(SCRIPT, built_lake, "columns", column="region_code")
    assert "has no value in 2021" in everything(app)
    # The Spark summaries are not there: only the part that needs them says so.
    app = run_app(SCRIPT, built_lake, "columns", column="city")
    assert not app.exception and "`spark_dataset_overview`" in everything(app)
    assert len(table(app, "Uniqueness")) == len(CLEAN_EVENTS.columns)


# Places


def test_places_equal_the_quality_figures(built_lake: Lake, run_app: RunApp) -> None:
    app = run_app(SCRIPT, built_lake, "places", year="2021", hidden="actor")
    assert not app.exception and not app.error
    geography = read_json(built_lake.quality("2021"))["geography"]
    scores = table(app, "Coverage")
    assert list(scores["Right"]) == [entry["correct"] for entry in geography["imputation_accuracy"]]
    imputed = sum(
        e["events"]
        for e in geography["methods"]
        if e["place"] == "country" and e["method"] not in ("observed", "unknown")
    )
    [tile] = [tile for tile in app.metric if tile.label == "Imputed country"]
    assert tile.delta == f"{imputed:,} of 62 events"
    assert app.radio(key="hidden").value == "actor"


def test_changed_places_are_shown_before_and_after(tmp_path: Path, run_app: RunApp) -> None:
    lake = Lake(tmp_path)
    events = building.year_events(2021)
    for number, entry in enumerate(events):
        entry |= {"country": "GERMANY" if number % 2 else "Germany", "region": "bavaria", "city": HOSTILE}
        if number == 0:
            entry["region"] = "EMPTY"
    path = lake.raw("2021") / "export.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(events), encoding="utf-8")
    building.ingest(lake)
    building.build_features(lake)
    app = run_app(SCRIPT, lake, "places", places_chunk="part-00000.csv")
    assert not app.exception and not app.error
    spelled, filled = (element.value for element in app.dataframe if "Before" in element.value.columns)
    changed = {(row["Place"], row["Before"]): (row["After"], row["Events"]) for _, row in spelled.iterrows()}
    assert changed == {("country", "GERMANY"): ("Germany", 30), ("region", "bavaria"): ("Bayern", 59)}
    assert list(filled["Before"]) == ["(not given)"] and list(filled["Place"]) == ["region"]
    assert list(filled["Events"]) == [1] and filled["Method"][0] != "observed"


# Runs and cost


class Cost:
    """What a measured piece of work looks like to the log."""

    def __init__(self, name: str, seconds: float, memory: float) -> None:
        self.name, self._figures = name, {
            "seconds": seconds, "jvm_heap_peak_mb": memory, "jvm_rss_mb": memory, "python_rss_mb": 100.0,
            "spark_shuffle_write_bytes": 5,
        }  # fmt: skip

    def figures(self) -> dict[str, float]:
        return self._figures


class Result:
    """What a summary looks like to the log."""

    def __init__(self, cost: Cost, *shared: Cost) -> None:
        self.cost, self.shared, self.rows = cost, shared, pa.table({"x": [1, 2]})


def write_log(lake: Lake) -> None:
    log = SummaryLog(lake.spark_log(), "2021")
    log.begin({"spark": "4.3.0", "master": HOSTILE, "events": 1000, "session_start_seconds": 12.0})
    log.add(Result(Cost("spark_geography", 3.5, 700.0), Cost("scan", 6.5, 900.0)))
    log.end({"wall_seconds": 11.0})
    SummaryLog(lake.spark_log(), "2020").begin({"spark": "4.3.0", "events": 7})
    with lake.spark_log().open("a") as stream:
        stream.write("half a line year=2021 summary=spark_latency seconds=abc\nnonsense\n")


def test_costs_equal_the_log_and_the_cost_files(lake: Lake, run_app: RunApp) -> None:
    write_log(lake)
    stream = {"train_seconds": 2.5, "peak_mb": 300.0, "microseconds_per_prediction": 4.5}
    write_json(lake.model("lstm_next_event") / "cost.json", {"model_bytes": 99, "streams": {"intent": stream}})
    write_json(lake.model("arima_forecast") / "cost.json", {"seconds": {"events": 61.0}, "peak_mb": 200.0})
    app = run_app(SCRIPT, lake, "runs", memory="Resident memory of Spark")
    assert not app.exception and not app.error
    pieces = table(app, "Piece of work")
    assert list(pieces["Piece of work"]) == ["scan", "spark_geography", "spark_latency"]
    assert list(pieces["Seconds"])[:2] == [6.5, 3.5] and list(pieces["Rows"])[1] == 2
    assert tiles(app) == {
        "Computing": "10 s", "Start of the session": "12 s", "Events per second": "100", "Memory": "1.0 GB",
    }  # fmt: skip
    models = table(app, "Training (s)")
    assert list(models["Model and stream or metric"]) == ["arima_forecast, events", "lstm_next_event, intent"]
    assert list(models["Training (s)"]) == [61.0, 2.5]
    assert any(alt.startswith("Resident memory of Spark for 2021") for alt in alts(app))
    # A run that has not reached its end, without a single piece of work.
    app = run_app(SCRIPT, lake, "runs", year="2020")
    assert not app.exception and any("did not reach its end" in warning.value for warning in app.warning)


def test_runs_of_a_year_are_told_apart() -> None:
    begin, piece = {"time": "t", "year": "2021", "run": "begin"}, {"time": "t", "year": "2021", "step": "scan"}
    other = {"time": "t", "year": "2020", "step": "scan"}
    found = runs.spark_runs([piece, begin, piece, other, {**begin, "time": "u"}, piece, piece], "2021")
    assert [(run.name, len(run.pieces), run.end) for run in found] == [("u", 2, None), ("t", 1, None)]
