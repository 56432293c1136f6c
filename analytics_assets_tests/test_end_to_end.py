"""The whole graph on generated exports: every figure equals the ground truth, and a re-run changes no byte."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from analytics_assets.core.files import read_json
from analytics_assets.core.lake import Lake
from analytics_assets.core.remote import units
from analytics_assets.definitions import defs
from analytics_assets.schemas import FEATURE_TABLES, METRICS, SUMMARY_TABLES
from analytics_assets_tests.conftest import Demo, run_as_user

YEARS = ("2024", "2025")
ARTEFACTS = {
    "markov_chain": {"model.json", "contexts.parquet", "transitions.parquet", "predictions.parquet"},
    "hidden_markov_model": {"model.json"},
    "lstm_next_event": {"model.json", "model.keras", "weights.npz"},
    "xgboost_next_event": {"features.json", "reranker.ubj"},
    "kmeans_segments": {"model.json", "assignments.parquet"},
    "prophet_forecast": {"forecast.parquet", "backtest.parquet", "history.parquet", "components.parquet", "series"},
    "arima_forecast": {"forecast.parquet", "backtest.parquet", "history.parquet", "cycles.parquet", "series"},
}
FORECAST_TABLES = {"forecast.parquet", "anomalies.parquet", "causes.parquet"}


def results(lake: Lake) -> dict[str, object]:
    return {metric["name"]: metric["value"] for metric in read_json(lake.analysis_results())["metrics"]}


def test_demo_succeeds_and_says_what_it_did(demo: Demo) -> None:
    assert demo.code == 0, demo.output
    texts = "synthetic,records seen,loaded,duplicates,quarantined,0 failed,make up,best forecast"
    for text in texts.split(","):
        assert text in demo.output


def test_every_asset_is_materialized_in_the_run_history(demo: Demo) -> None:
    graph = defs.resolve_asset_graph()
    with dg.DagsterInstance.from_config(str(demo.lake.dagster_home())) as instance:
        for key in graph.get_all_asset_keys():
            node = graph.get(key)
            if not node.is_materializable:
                observed = instance.fetch_observations(key, limit=10).records
                assert {record.partition_key for record in observed} == set(YEARS)
            elif node.partitions_def is None:
                assert instance.get_latest_materialization_event(key) is not None, key
            else:
                assert set(instance.get_materialized_partitions(key)) == set(YEARS), key


def test_every_materialization_shows_its_cost_and_lineage(demo: Demo) -> None:
    """Numbers that the UI plots over runs, and for feature tables the columns they come from."""
    features = {table.name for table in FEATURE_TABLES}
    with dg.DagsterInstance.from_config(str(demo.lake.dagster_home())) as instance:
        for key in defs.resolve_asset_graph().materializable_asset_keys:
            event = instance.get_latest_materialization_event(key)
            assert event is not None and event.asset_materialization is not None, key
            metadata = event.asset_materialization.metadata
            for name in ("seconds", "peak_memory_mb"):
                assert isinstance(metadata[name], dg.FloatMetadataValue), (key, name)
                assert float(metadata[name].value or 0) > 0, (key, name)
            assert ("dagster/column_lineage" in metadata) == (key.to_user_string() in features), key


def test_all_published_files_exist(demo: Demo) -> None:
    lake = demo.lake
    for year in YEARS:
        assert all(lake.summary(year, table.name).is_file() for table in SUMMARY_TABLES)
        assert all(lake.feature(table.name, year).is_file() for table in FEATURE_TABLES)
        assert lake.quality(year).is_file()
    for model, files in ARTEFACTS.items():
        assert {"metrics.json", "card.md", *files} <= {path.name for path in lake.model(model).iterdir()}, model
    assert lake.leaderboard("next_event").is_file() and lake.leaderboard("forecast").is_file()
    compared = {path.name for path in lake.model("forecast_leaderboard").iterdir()}
    assert {"metrics.json", *FORECAST_TABLES} == compared
    for model in ("prophet_forecast", "arima_forecast"):
        metrics = read_json(lake.model(model) / "metrics.json")["metrics"]
        artefacts = {path.stem for path in (lake.model(model) / "series").iterdir()}
        assert {name for name, found in metrics.items() if found["fallback_reason"] is None} == artefacts, model
    assert (lake.figures() / "daily-events-forecast.html").is_file()
    assert lake.spark_log().read_text().count("spark_dataset_overview") == len(YEARS)
    assert not lake.staging().exists() or not any(lake.staging().glob("event_chunks-*"))


def test_every_file_belongs_to_what_one_asset_publishes(demo: Demo) -> None:
    """So that a lake in a bucket holds all of it."""
    root = demo.lake.root
    paths = [path for part in units.local_units(demo.lake) for path in part.paths]
    own = {demo.lake.raw().name, demo.lake.settings().name, demo.lake.spark_log().relative_to(root).as_posix()}
    for file in root.rglob("*"):
        name = file.relative_to(root).as_posix()
        if file.is_file() and not name.startswith(".") and not {name, name.partition("/")[0]} & own:
            assert any(name == path or name.startswith(f"{path}/") for path in paths), name


def test_counts_equal_the_truth(demo: Demo) -> None:
    truth = read_json(demo.lake.sample_truth())
    for year in YEARS:
        total, expected = read_json(demo.lake.manifest(year))["total"], truth["years"][year]
        assert total["records_seen"] == expected["records"]
        assert total["loaded"] == expected["events"]
        assert total["duplicates"] == expected["duplicates"]
        assert total["quarantined"] == expected["malformed"]
    figures = results(demo.lake)
    assert figures["events"] == truth["total"]["events"]
    assert figures["sessions"] == truth["total"]["sessions"]
    assert figures["users"] == truth["total"]["user_ids"]
    assert figures["event_types"] == truth["total"]["event_types"]
    assert figures["events_outside_year"] == truth["total"]["events_outside_year"]
    assert truth["total"]["sessions_in_two_files"] >= 1, "the sample must hold a session that crosses New Year"


def test_distributions_equal_the_truth(demo: Demo) -> None:
    truth, figures = read_json(demo.lake.sample_truth())["total"], results(demo.lake)
    durations = truth["session_duration_s"]
    assert figures["session_seconds_mean"] == pytest.approx(durations["over_sessions"]["mean"])
    assert figures["session_seconds_median"] == pytest.approx(durations["over_sessions"]["median"])
    assert figures["event_session_seconds_mean"] == pytest.approx(durations["over_events"]["mean"])
    assert figures["event_session_seconds_median"] == pytest.approx(durations["over_events"]["median"])
    latency = truth["latency_ms"]["synchronised_clocks"]
    assert figures["latency_ms_mean"] == pytest.approx(latency["mean"])
    assert figures["latency_ms_p95"] == pytest.approx(latency["p95"])


def summed(lake: Lake, summary: str, value: str, condition: str) -> dict[str, int]:
    """Events by a column of a Spark summary over all years and all actors."""
    files = [str(lake.summary(year, summary)) for year in YEARS]
    query = f"""
        SELECT {value}, sum(events)::BIGINT FROM read_parquet(?)
        WHERE population = 'all' AND {value} IS NOT NULL AND {condition} GROUP BY ALL
    """
    return dict(duckdb.execute(query, [files]).fetchall())


def test_places_and_devices_equal_the_truth(demo: Demo) -> None:
    truth = read_json(demo.lake.sample_truth())["total"]
    assert summed(demo.lake, "spark_geography", "country", "level = 'country'") == truth["events_by_country"]
    families = summed(demo.lake, "spark_device_usage", "value", "dimension = 'device_family'")
    assert families == truth["events_by_device_family"]
    clean = [str(demo.lake.feature("clean_events", year)) for year in YEARS]
    query = "SELECT event_type, count(*) FROM read_parquet(?) GROUP BY ALL"
    assert dict(duckdb.execute(query, [clean]).fetchall()) == truth["events_by_event_type"]


def test_latency_of_each_year_adds_up_to_the_truth(demo: Demo) -> None:
    truth = read_json(demo.lake.sample_truth())["total"]["latency_ms"]["synchronised_clocks"]
    files = [str(demo.lake.summary(year, "spark_latency")) for year in YEARS]
    query = """
        SELECT sum(events)::BIGINT, sum(events * mean) / sum(events) FROM read_parquet(?)
        WHERE population = 'all' AND measure = 'upload_ms' AND dimension = 'overall'
    """
    [(events, mean)] = duckdb.execute(query, [files]).fetchall()
    assert events == truth["events"]
    assert mean == pytest.approx(truth["mean"], rel=1e-9)


def test_the_generated_machine_is_the_one_scripted_actor(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    from analytics_assets.core.ingest.run import ingest_year
    from analytics_assets.sample.generator import SampleConfig, write_sample
    from analytics_assets_tests.core.event_data import publish_features

    monkeypatch.setenv("ANALYTICS_PII", "keep")
    truth = write_sample(lake.raw(), SampleConfig(years=(2024,), events=60_000, users=200))
    ingest_year(lake, "2024")
    path = publish_features(lake, "2024")["actors"]
    found = duckdb.execute("SELECT actor FROM read_parquet(?) WHERE actor_class = 'scripted'", [str(path)]).fetchall()
    machine = truth["users"]["scripted"]["user_id"]
    assert found == [(f"user:{machine}",)]


def test_every_metric_is_published_with_its_meaning(demo: Demo) -> None:
    published = read_json(demo.lake.analysis_results())["metrics"]
    assert [metric["name"] for metric in published] == list(METRICS)
    assert all(metric["label"] and metric["population"] and metric["source"] for metric in published)
    assert all(metric["value"] is not None for metric in published)


def test_models_learn_something(demo: Demo) -> None:
    models = read_json(demo.lake.analysis_results())["models"]
    markov = models["markov_chain"]
    assert markov["markov1_accuracy"] > markov["most_frequent_accuracy"]
    assert markov["markov1_accuracy"] > markov["repeat_accuracy"]
    for name in ("markov_chain", "hidden_markov_model", "lstm_next_event", "xgboost_next_event"):
        assert models[name]["improvement"]["most_frequent"]["top1_interval"][0] > 0, name
        assert models[name]["improvement"]["repeat_last"]["top1_interval"][0] > 0, name
    assert {"prophet_forecast", "arima_forecast"} <= models.keys()
    assert models["forecast_leaderboard"]["left_out"] == {}
    assert models["forecast_leaderboard"]["best"]["events"]["relative_mae"] < 1
    board = models["next_event_leaderboard"]
    assert board["left_out"] == {}
    assert all(models[name]["top1"] < board["ceiling"]["top1"] + 0.05 for name in board["ladder"] if name in models)


def test_an_event_can_be_traced_from_the_table_to_its_raw_bytes(demo: Demo) -> None:
    """clean_events → chunk row → manifest span → bytes of the delivered file."""
    import gzip

    lake = demo.lake
    [(uuid,)] = duckdb.execute(
        "SELECT uuid FROM read_parquet(?) ORDER BY uuid LIMIT 1", [str(lake.feature("clean_events", "2024"))]
    ).fetchall()
    chunk = next(
        entry
        for entry in read_json(lake.manifest("2024"))["chunks"]
        if uuid in (lake.chunks("2024") / entry["path"]).read_text()
    )
    [span] = chunk["sources"]
    raw = gzip.decompress((lake.raw("2024") / span["file"]).read_bytes())[span["start"] : span["end"]]
    assert f'"{uuid}"'.encode() in raw


def digests(lake: Lake) -> dict[str, str]:
    """Digest of every published file; run history, notes about raw files and measured times change by nature."""
    return {
        path.relative_to(lake.root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(lake.root.rglob("*"))
        if path.is_file()
        and not {".dagster", ".staging", ".locks", ".digests"} & set(path.parts)
        and path not in (lake.spark_log(), lake.leaderboard("next_event"))
        and path.name != "cost.json"
    }


AGAIN = ("markov_chain", "kmeans_segments", "analysis_results")
"""Models that are trained again here; tests of the assets train each of the others twice."""


def dagster(lake: Lake, *arguments: str) -> None:
    """Run Dagster's own command on a lake, as the daemon does: each step of a job in a process of its own."""
    lake.dagster_home().mkdir(exist_ok=True)
    program = str(Path(sys.executable).with_name("dagster"))
    command = (program, *arguments, "-m", "analytics_assets.definitions")
    result = run_as_user(*command, data_dir=lake.root, DAGSTER_HOME=str(lake.dagster_home()))
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_second_run_is_byte_identical(demo: Demo, tmp_path: Path) -> None:
    """A year, two models and the results; the other year's tables stay as they were."""
    again = Lake(tmp_path / "again")
    shutil.copytree(demo.lake.root, again.root, ignore=shutil.ignore_patterns(".dagster", ".staging"))
    before = digests(again)
    assert before == digests(demo.lake)
    for path in again.root.rglob("2024*"):
        if "raw" not in path.parts and path.is_file():
            path.unlink()
    for folder in (again.root / "summaries" / "2024", again.chunks("2024"), again.quarantine("2024")):
        shutil.rmtree(folder)
    for name in AGAIN[:2]:
        shutil.rmtree(again.model(name))
    again.analysis_results().unlink()
    dagster(again, "job", "execute", "-j", "yearly_job", "--tags", json.dumps({"dagster/partition": "2024"}))
    dagster(again, "asset", "materialize", "--select", ",".join(AGAIN))
    assert digests(again) == before
