"""Forecasts as a person meets them in Dagster: launched with settings, measured, checked, reloaded, compared."""

from __future__ import annotations

import datetime as dt
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

from analytics_assets.assets import forecasts as assets
from analytics_assets.core.files import read_json
from analytics_assets.core.forecasts import arima_model, plan, prophet_model, series, training
from analytics_assets.core.forecasts.baselines import BASELINES
from analytics_assets.core.forecasts.inputs import load_series
from analytics_assets.core.ingest.run import ingest_year
from analytics_assets.core.lake import Lake
from analytics_assets.resources.lake import LakeResource
from analytics_assets.sample.generator import SampleConfig, write_sample
from analytics_assets.schemas import FORECAST_METRICS, FORECAST_TABLES, HOURLY_METRIC
from analytics_assets_tests.core.event_data import Records, ingest, publish_features

ORIGINS = 13
SETTINGS: dict[str, dict[str, Any]] = {
    "prophet_forecast": {
        "metrics": ["events", "mean_session_seconds"],
        "origins": ORIGINS,
        "changepoint_priors": [0.02, 0.2],
        "holidays": False,
        "seed": 11,
        "workers": 1,
    },
    "arima_forecast": {
        "metrics": ["events", "events_per_hour"],
        "origins": ORIGINS,
        "max_lags": 1,
        "hourly_days": 21,
        "workers": 1,
    },
}
QUICK: dict[str, dict[str, Any]] = {
    "prophet_forecast": {"metrics": ["events", "sessions"], "origins": 3, "changepoint_priors": [0.05], "workers": 1},
    "arima_forecast": {"metrics": ["events", "sessions"], "origins": 3, "max_lags": 1, "workers": 1},
}
LOADERS: dict[str, Callable[[Path], Any]] = {
    "prophet_forecast": prophet_model.load,
    "arima_forecast": arima_model.load,
}
JUDGED = {("events", horizon): {"prophet_forecast", "arima_forecast"} for horizon in (1, 7, 14, 30)} | {
    **{("mean_session_seconds", horizon): {"prophet_forecast"} for horizon in (1, 7, 14, 30)},
    **{("events_per_hour", horizon): {"arima_forecast"} for horizon in (1, 6, 24)},
}
"""Models by metric and horizon, with `SETTINGS`."""


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


def checks(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    return {check.check_name: check for check in result.get_asset_check_evaluations()}


def board(lake: Lake) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(lake.leaderboard("forecast")).to_pylist()
    return rows


def deliver_days(lake: Lake, counts: list[int]) -> None:
    """One year with so many events on each day from 1 March on; the last one comes late enough to end its day."""
    new = Records()
    for day, count in enumerate(counts):
        date = dt.datetime(2024, 3, 1) + dt.timedelta(days=day)
        session = int(date.timestamp()) * 1000
        for number in range(count):
            person = number % 5
            time = date + dt.timedelta(hours=23 if number == count - 1 else number % 23, seconds=number)
            new.add(str(time), "view", session_id=session, amplitude_id=100 + person, user_id=f"u{person}")
    ingest(lake, "2024", new.made)
    publish_features(lake, "2024")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Two small generated years up to daily_metrics; read only."""
    lake = Lake(tmp_path_factory.mktemp("prepared"))
    write_sample(lake.raw(), SampleConfig(events=36_000, users=200))
    for year in lake.raw_years():
        ingest_year(lake, year)
        publish_features(lake, year)
    return lake


@pytest.fixture(scope="module")
def trained(prepared: Lake) -> dict[str, dg.ExecuteInProcessResult]:
    """Both models of the prepared lake, then the leaderboard."""
    results = {name: materialize(prepared, name, config) for name, config in SETTINGS.items()}
    results["forecast_leaderboard"] = materialize(prepared, "forecast_leaderboard")
    for name, result in results.items():
        assert result.success, name
    return results


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Nine weeks with both models; read only."""
    lake = Lake(tmp_path_factory.mktemp("short"))
    random = np.random.default_rng(3)
    deliver_days(lake, [int(random.poisson(3 if day % 7 < 2 else 9)) + 1 for day in range(63)])
    for name, config in QUICK.items():
        assert materialize(lake, name, config).success, name
    return lake


@pytest.fixture
def short_copy(short: Lake, tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "short")
    shutil.copytree(short.root, lake.root, ignore=shutil.ignore_patterns(".staging"))
    return lake


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_of_the_launchpad_are_used_and_recorded(
    prepared: Lake, trained: dict[str, dg.ExecuteInProcessResult], name: str
) -> None:
    shown = metadata(trained[name], name)
    metrics = read_json(prepared.model(name) / "metrics.json")
    for key, value in SETTINGS[name].items():
        assert shown["config"][key] == metrics["config"][key] == value
    assert metrics["input_years"] == shown["input_years"] == ["2024", "2025"]
    assert metrics["raw_digests"].keys() == {"2024", "2025"}
    assert metrics["versions"]["numpy"] == np.__version__
    assert list(metrics["metrics"]) == SETTINGS[name]["metrics"]
    for metric, found in metrics["metrics"].items():
        assert found["cuts"] == {"choosing": 4, "judging": ORIGINS - 4}, metric
        assert found["fallback_reason"] is None, metric
        assert shown[f"relative_mae_{metric}"] == found["horizons"][-1]["relative_mae"]
        assert shown[f"coverage95_{metric}"] == found["horizons"][-1]["coverage95"]
    events = metrics["metrics"]["events"]
    if name == "prophet_forecast":
        assert {row["changepoint_prior"] for row in events["tried"]} == {0.02, 0.2}
        assert not any(row["holidays"] for row in events["tried"])
        assert events["settings"]["seed"] == 11
    else:
        assert max(max(row["p"], row["q"]) for row in events["aicc"]) == 1
        assert metrics["metrics"]["events_per_hour"]["steps"] == 21 * 24


@pytest.mark.parametrize("name", SETTINGS)
def test_checks_and_files_of_the_models(
    prepared: Lake, trained: dict[str, dg.ExecuteInProcessResult], name: str
) -> None:
    found = checks(trained[name])
    schemas = {f"{file}_schema" for file in FORECAST_TABLES[name]}
    assert found.keys() == schemas | {"beats_seasonal_naive", "intervals_cover"}
    assert all(found[check].passed for check in found if check.endswith("schema"))
    naive, cover = found["beats_seasonal_naive"], found["intervals_cover"]
    assert naive.severity == cover.severity == dg.AssetCheckSeverity.WARN
    assert naive.metadata["relative_mae"].value.keys() == set(SETTINGS[name]["metrics"])
    assert 0 < naive.metadata["relative_mae"].value["events"] < 1
    assert all(0.5 < value <= 1 for value in cover.metadata["coverage95"].value.values())
    shown = metadata(trained[name], name)
    assert any("data:image/png;base64," in str(value) for value in shown.values())
    files = {path.relative_to(prepared.model(name)).as_posix() for path in prepared.model(name).rglob("*.*")}
    assert {
        "metrics.json",
        "cost.json",
        "card.md",
        "forecast.parquet",
        *(f"{t}.parquet" for t in FORECAST_TABLES[name]),
    } <= files
    assert {f"series/{metric}.json" for metric in SETTINGS[name]["metrics"]} <= files
    assert {Path(file).suffix for file in files} == {".json", ".md", ".parquet", ".png"}, "never pickle"


@pytest.mark.parametrize("name", SETTINGS)
def test_the_artefact_repeats_the_published_forecast(prepared: Lake, trained: Any, name: str) -> None:
    folder = prepared.model(name)
    published = pq.read_table(folder / "forecast.parquet").to_pylist()
    for metric in SETTINGS[name]["metrics"]:
        rows = sorted((row for row in published if row["metric"] == metric), key=lambda row: row["horizon"])
        again = LOADERS[name](folder / training.ARTEFACTS / f"{metric}.json").predict(len(rows))
        assert len(rows) == (24 if metric == HOURLY_METRIC else 30)
        np.testing.assert_allclose(again.mean, [row["mean"] for row in rows], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("name", QUICK)
def test_another_run_gives_the_same_bytes(short: Lake, short_copy: Lake, name: str, workers: int) -> None:
    """In one process or in two: only the recorded setting itself differs then, and measured times."""
    first, second = short.model(name), short_copy.model(name)
    shutil.rmtree(second)
    assert materialize(short_copy, name, {**QUICK[name], "workers": workers}).success
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    for path in files:
        one, other = (first / path).read_bytes(), (second / path).read_bytes()
        if path.name == "metrics.json":
            assert f'"workers": {workers}'.encode() in other
            other = other.replace(f'"workers": {workers}'.encode(), b'"workers": 1')
        if path.name != "cost.json":
            assert one == other, path


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("prophet_forecast", {"metrics": []}, "name at least one of events, sessions"),
        ("prophet_forecast", {"metrics": ["events_per_hour"]}, "name at least one of events, sessions"),
        ("prophet_forecast", {"metrics": ["events", "events"]}, "each once"),
        ("prophet_forecast", {"changepoint_priors": []}, "each above 0"),
        ("prophet_forecast", {"changepoint_priors": [0.1, -0.1]}, "each above 0"),
        ("prophet_forecast", {"seed": -1}, "greater than or equal to 0"),
        ("prophet_forecast", {"origins": 0}, "greater than or equal to 1"),
        ("arima_forecast", {"metrics": ["clicks"]}, "events_per_hour, each once"),
        ("arima_forecast", {"max_lags": 6}, "less than or equal to 5"),
        ("arima_forecast", {"hourly_days": 14}, "greater than or equal to 15"),
        ("arima_forecast", {"workers": 0}, "greater than or equal to 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(short: Lake, name: str, config: dict[str, Any], message: str) -> None:
    kinds = {"prophet_forecast": assets.ProphetConfig, "arima_forecast": assets.ArimaConfig}
    with pytest.raises(ValueError, match=message):
        kinds[name](**config)
    before = (short.model(name) / "metrics.json").read_bytes()
    result = materialize(short, name, config)
    assert not result.success
    [failed] = [event for event in result.all_events if event.is_step_failure]
    error = failed.step_failure_data.error
    said = ""
    while error is not None:
        said, error = said + error.message, error.cause
    assert message in said
    assert (short.model(name) / "metrics.json").read_bytes() == before


def test_defaults_of_the_launchpad_are_those_of_the_models() -> None:
    def default(function: Any, name: str) -> Any:
        return inspect.signature(function).parameters[name].default

    prophet, arima = assets.ProphetConfig(), assets.ArimaConfig()
    way = training.ProphetWay()
    assert tuple(prophet.changepoint_priors) == way.priors == default(prophet_model.choose, "priors")
    assert (prophet.holidays, prophet.seed) == (way.holidays, way.seed)
    assert prophet.seed == prophet_model.ProphetSettings().seed
    assert arima.max_lags == training.ArimaWay().max_lags == default(arima_model.choose, "max_lags")
    assert arima.holidays == training.ArimaWay().holidays
    assert prophet.origins == arima.origins == plan.ORIGINS
    assert arima.hourly_days == series.HOURLY_DAYS == default(load_series, "hourly_days")
    assert prophet.metrics == list(FORECAST_METRICS)
    assert arima.metrics == [*FORECAST_METRICS, HOURLY_METRIC]
    for config in (assets.ProphetConfig, assets.ArimaConfig):
        assert all(field.description for field in config.model_fields.values())


def test_the_leaderboard_holds_every_way_and_one_champion(
    prepared: Lake, trained: dict[str, dg.ExecuteInProcessResult]
) -> None:
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in board(prepared):
        groups.setdefault((row["metric"], row["horizon"]), []).append(row)
    assert groups.keys() == JUDGED.keys()
    for key, rows in groups.items():
        assert {row["model"] for row in rows} == {*BASELINES, *JUDGED[key]}, key
        assert {row["model"] for row in rows if row["is_model"]} == JUDGED[key], key
        assert sorted(row["rank"] for row in rows) == list(range(1, len(rows) + 1)), key
        [champion] = [row for row in rows if row["is_champion"]]
        assert champion["rmse"] == min(row["rmse"] for row in rows), key
        assert len({row["points"] for row in rows}) == 1, key
        assert next(row for row in rows if row["model"] == "seasonal_naive")["relative_mae"] in (1, None), key
    for name in SETTINGS:
        for metric, found in read_json(prepared.model(name) / "metrics.json")["metrics"].items():
            for own in found["horizons"]:
                [row] = [row for row in groups[metric, own["horizon"]] if row["model"] == name]
                assert row["mae"] == pytest.approx(own["mae"], rel=1e-12)
                assert row["coverage95"] == own["coverage95"]
    shown = metadata(trained["forecast_leaderboard"], "forecast_leaderboard")
    assert shown["left_out"] == {}
    for metric, champion in shown["champions"].items():
        longest = max(horizon for name, horizon in groups if name == metric)
        assert [row["model"] for row in groups[metric, longest] if row["is_champion"]] == [champion]
    found = checks(trained["forecast_leaderboard"])
    assert found["same_series"].passed
    assert all(found[check].passed for check in found if check.endswith("schema"))
    assert found["mase_below_one"].severity == dg.AssetCheckSeverity.WARN
    assert len(found["mase_below_one"].metadata["mase"].value) == len(JUDGED)


def test_models_are_nearer_to_the_true_mean_than_the_naive_forecast(prepared: Lake, trained: Any) -> None:
    rows = {(row["model"], row["horizon"]): row for row in board(prepared) if row["metric"] == "events"}
    assert all(row["true_mae"] > 0 for row in rows.values())
    naive = rows["seasonal_naive", 30]["true_mae"]
    for name in SETTINGS:
        assert rows[name, 30]["true_mae"] < 0.75 * naive, name
    assert all(row["true_mae"] is None for row in board(prepared) if row["metric"] != "events")


def test_surprising_days_are_outside_their_interval_and_explained(prepared: Lake, trained: Any) -> None:
    folder = prepared.model("forecast_leaderboard")
    days = pq.read_table(folder / "anomalies.parquet").to_pylist()
    causes = pq.read_table(folder / "causes.parquet").to_pylist()
    assert days
    for day in days:
        assert (day["actual"] > day["hi95"]) if day["direction"] == "high" else (day["actual"] < day["lo95"])
        for dimension in ("country", "device_family", "event_type"):
            parts = [
                cause
                for cause in causes
                if (cause["metric"], cause["date"], cause["dimension"]) == (day["metric"], day["date"], dimension)
            ]
            if day["metric"] == "events" and parts:
                assert sum(part["actual"] for part in parts) == pytest.approx(day["actual"])


def test_a_model_of_other_raw_files_is_left_out_and_named(short_copy: Lake) -> None:
    path = short_copy.model("prophet_forecast") / "metrics.json"
    path.write_text(json.dumps({**read_json(path), "raw_digests": {"2024": "0" * 64}}))
    result = materialize(short_copy, "forecast_leaderboard")
    assert result.success
    left_out = metadata(result, "forecast_leaderboard")["left_out"]
    assert left_out == {"prophet_forecast": "it was trained on other raw files: materialize it again"}
    check = checks(result)["same_series"]
    assert not check.passed and check.severity == dg.AssetCheckSeverity.WARN
    assert {row["model"] for row in board(short_copy)} == {*BASELINES, "arima_forecast"}


def test_without_daily_metrics_a_failure_says_what_to_materialize(short_copy: Lake) -> None:
    shutil.rmtree(short_copy.root / "features" / "daily_metrics")
    for name, config in QUICK.items():
        before = (short_copy.model(name) / "forecast.parquet").read_bytes()
        result = materialize(short_copy, name, config)
        [failed] = [event for event in result.all_events if event.is_step_failure]
        failure = failed.step_failure_data.user_failure_data
        assert failure is not None, failed.step_failure_data.error
        assert "no year has clean_events and sessions and daily_metrics" in (failure.description or "")
        assert "Materialize at least one year" in (failure.description or "")
        assert (short_copy.model(name) / "forecast.parquet").read_bytes() == before


def test_a_model_of_other_cuts_is_left_out_and_named(short_copy: Lake) -> None:
    assert materialize(
        short_copy, "prophet_forecast", {**QUICK["prophet_forecast"], "metrics": ["events"], "origins": 2}
    ).success
    result = materialize(short_copy, "forecast_leaderboard")
    left_out = metadata(result, "forecast_leaderboard")["left_out"]
    assert left_out == {"prophet_forecast": "its backtest of events has other cuts: materialize it again"}


def test_a_missing_model_is_named(short_copy: Lake) -> None:
    shutil.rmtree(short_copy.model("arima_forecast"))
    result = materialize(short_copy, "forecast_leaderboard")
    assert result.success
    assert metadata(result, "forecast_leaderboard")["left_out"] == {"arima_forecast": "it is not materialized"}
    assert not checks(result)["same_series"].passed
    rows = board(short_copy)
    assert {row["model"] for row in rows} == {*BASELINES, "prophet_forecast"}
    assert all(row["true_mae"] is None for row in rows), "nobody knows the truth of real data"


def test_without_a_model_the_leaderboard_is_empty(lake: Lake) -> None:
    result = materialize(lake, "forecast_leaderboard")
    assert result.success
    assert board(lake) == []
    assert metadata(result, "forecast_leaderboard")["left_out"].keys() == set(SETTINGS)
    found = checks(result)
    assert not found["same_series"].passed
    assert all(found[check].passed for check in found if check.endswith("schema"))


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ([3, 5, 2, 8, 1, 1, 4, 6, 2, 5], "10 known values, 15 are needed"),
        ([1], "1 known values, 15 are needed"),
        ([4] * 20, "every value is the same"),
    ],
    ids=["ten days", "one event", "constant"],
)
def test_a_fallback_is_named_where_no_model_can_be_fitted(lake: Lake, counts: list[int], reason: str) -> None:
    deliver_days(lake, counts)
    for name, config in QUICK.items():
        result = materialize(lake, name, {**config, "metrics": ["events"]})
        assert result.success, name
        found = read_json(lake.model(name) / "metrics.json")["metrics"]["events"]
        assert metadata(result, name)["fallbacks"] == {"events": reason}
        assert (found["fallback_reason"], found["used"], found["horizons"]) == (reason, "mean", [])
        rows = pq.read_table(lake.model(name) / "forecast.parquet").to_pylist()
        assert len(rows) == 30
        assert {(row["model"], row["fallback_reason"]) for row in rows} == {("mean", reason)}
        assert rows[0]["mean"] == pytest.approx(np.mean(counts))
        assert all(check.passed for check in result.get_asset_check_evaluations())
        assert reason in (lake.model(name) / "card.md").read_text()
    result = materialize(lake, "forecast_leaderboard")
    assert result.success
    assert board(lake) == []
    assert checks(result)["same_series"].passed
