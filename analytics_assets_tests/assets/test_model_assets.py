"""Models as a person meets them in Dagster: launched with settings, measured, checked, reloaded, repeated."""

from __future__ import annotations

import inspect
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow.parquet as pq
import pytest

from analytics_assets.assets import next_event_models as assets
from analytics_assets.core.features.engine import open_engine
from analytics_assets.core.files import read_json
from analytics_assets.core.ingest.run import ingest_year
from analytics_assets.core.lake import Lake
from analytics_assets.core.models import hmm, lstm, lstm_forward, markov, xgboost_next, xgboost_training
from analytics_assets.core.models.next_event import prepare_task, score
from analytics_assets.resources.lake import LakeResource
from analytics_assets.sample.generator import SampleConfig, write_sample
from analytics_assets_tests.core.event_data import Records, ingest, publish_features

QUICK: dict[str, dict[str, Any]] = {
    "markov_chain": {"max_order": 2},
    "hidden_markov_model": {"max_states": 3, "max_iterations": 20},
    "lstm_next_event": {"units": 12, "embedding": 8, "epochs": 3},
    "xgboost_next_event": {"rounds": 15, "multiclass_rounds": 5, "max_positions": 2_000, "depth": 3},
}
LOADERS: dict[str, Callable[[Path], Any]] = {
    "markov_chain": markov.MarkovChain.load,
    "hidden_markov_model": hmm.HiddenMarkov.load,
    "lstm_next_event": lstm_forward.LstmModel.load,
    "xgboost_next_event": xgboost_next.XgboostNext.load,
}


def materialize(lake: Lake, name: str, config: dict[str, Any] | None = None) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [getattr(assets, name)],
        resources={"lake": LakeResource(root=str(lake.root))},
        run_config={"ops": {name: {"config": config}}} if config else None,
        raise_on_error=False,
    )


def metadata(result: dg.ExecuteInProcessResult, name: str) -> dict[str, Any]:
    [event] = result.asset_materializations_for_node(name)
    return {key: value.value for key, value in event.metadata.items()}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Two small generated years up to clean_events; read only."""
    lake = Lake(tmp_path_factory.mktemp("prepared"))
    write_sample(lake.raw(), SampleConfig(events=16_000, users=60))
    for year in lake.raw_years():
        ingest_year(lake, year)
        publish_features(lake, year)
    return lake


@pytest.fixture(scope="module")
def trained(prepared: Lake) -> dict[str, dg.ExecuteInProcessResult]:
    """Every model of the prepared lake with quick settings, then the leaderboard."""
    results = {name: materialize(prepared, name, config) for name, config in QUICK.items()}
    results["next_event_leaderboard"] = materialize(prepared, "next_event_leaderboard")
    for name, result in results.items():
        assert result.success, name
    return results


def task(lake: Lake) -> Any:
    files = [lake.feature("clean_events", year) for year in lake.feature_years("clean_events")]
    with open_engine(lake.staging() / "duckdb") as engine:
        return prepare_task(engine, files)


@pytest.mark.parametrize("name", QUICK)
def test_settings_of_the_launchpad_are_used_and_recorded(
    prepared: Lake, trained: dict[str, dg.ExecuteInProcessResult], name: str
) -> None:
    shown = metadata(trained[name], name)
    metrics = read_json(prepared.model(name) / "metrics.json")
    for key, value in QUICK[name].items():
        assert shown["config"][key] == metrics["config"][key] == value
    assert metrics["input_years"] == ["2024", "2025"]
    assert metrics["split"]["protocol"] == "time"
    assert metrics["versions"]["numpy"] == np.__version__
    assert metrics["raw_digests"].keys() == {"2024", "2025"}
    for figure in ("top1", "bits", "train_seconds", "microseconds_per_prediction", "peak_mb"):
        assert isinstance(shown[figure], float), figure
    pictures = [value for value in shown.values() if isinstance(value, str) and "data:image/png;base64," in value]
    assert pictures
    assert "Top-1 accuracy" in (prepared.model(name) / "card.md").read_text()
    assert not list(prepared.model(name).rglob("*.pkl"))


@pytest.mark.parametrize("name", QUICK)
def test_the_artefact_repeats_its_published_predictions(
    prepared: Lake, trained: dict[str, dg.ExecuteInProcessResult], name: str
) -> None:
    folder = prepared.model(name)
    published = pq.read_table(folder / "test_predictions.parquet")
    data = task(prepared)
    model = LOADERS[name](folder)
    assert model.vocabulary == data.vocabulary.names
    again = score(model, data.test)
    assert len(again.rank) == published.num_rows > 100
    np.testing.assert_allclose(again.probability, published["actual_probability"].to_numpy(), rtol=1e-6, atol=1e-9)
    assert again.rank.tolist() == published["actual_rank"].to_pylist()


@pytest.mark.parametrize("name", QUICK)
def test_the_same_input_and_seed_give_the_same_files(
    prepared: Lake, trained: dict[str, dg.ExecuteInProcessResult], name: str, tmp_path: Path
) -> None:
    again = Lake(tmp_path / "again")
    shutil.copytree(prepared.root, again.root, ignore=shutil.ignore_patterns("models", ".staging"))
    assert materialize(again, name, QUICK[name]).success
    first, second = prepared.model(name), again.model(name)
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    for path in files:
        if path.name != "cost.json":
            assert (first / path).read_bytes() == (second / path).read_bytes(), path


def test_plain_counts_are_published_beside_the_chain(
    prepared: Lake, trained: dict[str, dg.ExecuteInProcessResult]
) -> None:
    shown = metadata(trained["markov_chain"], "markov_chain")
    metrics = read_json(prepared.model("markov_chain") / "metrics.json")
    for figure in ("markov1_accuracy", "markov2_backoff_accuracy", "most_frequent_accuracy", "repeat_accuracy"):
        assert shown[figure] == metrics[figure] > 0, figure


def test_checks_of_the_models(trained: dict[str, dg.ExecuteInProcessResult]) -> None:
    for name in QUICK:
        checks = {check.check_name: check for check in trained[name].get_asset_check_evaluations()}
        assert checks["matches_schema"].passed
        assert checks["has_not_fallen"].passed
        assert {"beats_most_frequent", "beats_repeat_last"} <= checks.keys()
        assert checks["beats_repeat_last"].severity == dg.AssetCheckSeverity.ERROR
    assert {check.check_name: check for check in trained["markov_chain"].get_asset_check_evaluations()}[
        "beats_most_frequent"
    ].passed


def test_the_leaderboard_holds_every_rung_and_the_optimum(
    prepared: Lake, trained: dict[str, dg.ExecuteInProcessResult]
) -> None:
    rows = {row["rung"]: row for row in pq.read_table(prepared.leaderboard("next_event")).to_pylist()}
    simpler = {"most_frequent", "hour_popularity", "repeat_last", "markov_order1", "sequential_rules"}
    assert simpler | {"nearest_sessions"} | set(QUICK) <= rows.keys()
    for name in QUICK:
        metrics = read_json(prepared.model(name) / "metrics.json")
        assert rows[name]["top1"] == metrics["top1"]
        assert rows[name]["bits"] == metrics["bits"]
        assert 0 < rows[name]["share_of_ceiling"] < 1.1
        assert rows[name]["train_seconds"] > 0
    assert sum(row["is_champion"] for row in rows.values()) == 1
    checks = {
        check.check_name: check.passed for check in trained["next_event_leaderboard"].get_asset_check_evaluations()
    }
    assert checks["same_test_sessions"] and checks["matches_schema"] and checks["no_model_beats_the_optimum"]
    details = read_json(prepared.model("next_event_leaderboard") / "metrics.json")
    assert details["stream"] == "intent"


def test_a_model_of_another_split_is_left_out_and_named(prepared: Lake, trained: Any, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    shutil.copytree(prepared.root, lake.root, ignore=shutil.ignore_patterns(".staging"))
    assert materialize(lake, "hidden_markov_model", {**QUICK["hidden_markov_model"], "train_share": 0.7}).success
    result = materialize(lake, "next_event_leaderboard")
    assert result.success
    left_out = metadata(result, "next_event_leaderboard")["left_out"]
    assert list(left_out) == ["hidden_markov_model"]
    [check] = [c for c in result.get_asset_check_evaluations() if c.check_name == "same_test_sessions"]
    assert not check.passed and check.severity == dg.AssetCheckSeverity.WARN


def test_a_fall_since_the_last_materialization_is_warned_of(prepared: Lake, trained: Any, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    shutil.copytree(prepared.root, lake.root, ignore=shutil.ignore_patterns(".staging"))
    path = lake.model("markov_chain") / "metrics.json"
    path.write_text(json.dumps({**read_json(path), "top1": 0.99}))
    result = materialize(lake, "markov_chain", QUICK["markov_chain"])
    [check] = [c for c in result.get_asset_check_evaluations() if c.check_name == "has_not_fallen"]
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert check.metadata["before"].value == 0.99


def test_streams_and_protocols(prepared: Lake, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    shutil.copytree(prepared.root, lake.root, ignore=shutil.ignore_patterns("models", ".staging"))
    config = {"streams": ["screen", "raw"], "protocol": "earlier_years", "max_order": 1}
    assert materialize(lake, "markov_chain", config).success
    metrics = read_json(lake.model("markov_chain") / "metrics.json")
    assert metrics["stream"] == "screen" and list(metrics["streams"]) == ["raw"]
    assert metrics["split"]["test_cut"].startswith("2025-01-0")
    assert (lake.model("markov_chain") / "raw" / "test_predictions.parquet").is_file()


def test_a_missing_year_is_simply_not_learned_from(prepared: Lake, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    shutil.copytree(prepared.root, lake.root, ignore=shutil.ignore_patterns("models", ".staging"))
    lake.feature("clean_events", "2025").unlink()
    assert materialize(lake, "markov_chain", QUICK["markov_chain"]).success
    assert read_json(lake.model("markov_chain") / "metrics.json")["input_years"] == ["2024"]


@pytest.mark.parametrize("name", QUICK)
def test_one_session_of_one_event_ends_in_a_result_or_a_clear_failure(lake: Lake, name: str) -> None:
    new = Records()
    new.add("2024-05-01 10:00:00", "open")
    ingest(lake, "2024", new.made)
    publish_features(lake, "2024")
    result = materialize(lake, name, QUICK[name])
    if result.success:
        assert read_json(lake.model(name) / "metrics.json")["positions"] == 0
    else:
        [event] = [event for event in result.all_events if event.is_step_failure]
        failure = event.step_failure_data.user_failure_data
        assert failure is not None, event.step_failure_data.error
        assert "cannot be trained" in (failure.description or "")
        assert not lake.model(name).exists()


@pytest.mark.parametrize(
    ("config", "fit", "skipped"),
    [
        (assets.MarkovConfig, markov.fit, {"goals", "seed"}),
        (assets.HiddenMarkovConfig, hmm.fit, set()),
        (assets.LstmConfig, lstm.fit, {"sample_shares"}),
        (assets.XgboostConfig, xgboost_training.fit, set()),
    ],
)
def test_defaults_of_the_launchpad_are_those_of_the_models(config: Any, fit: Any, skipped: set[str]) -> None:
    defaults = {name: p.default for name, p in inspect.signature(fit).parameters.items()}
    own = {**config().own_settings, "seed": config().seed}
    assert set(config.model_fields) - set(assets.NextEventConfig.model_fields) == own.keys() - {"seed"}
    for name in own.keys() - skipped:
        assert own[name] == defaults[name], name
    for field in config.model_fields.values():
        assert field.description
