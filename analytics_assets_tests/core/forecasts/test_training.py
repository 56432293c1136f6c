"""A model's folder is complete and the same in every run; models and baselines are judged together."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analytics_assets.core.forecasts.baselines import naive, phase_mean
from analytics_assets.core.forecasts.comparing import compare
from analytics_assets.core.forecasts.forecasting import Prepare, SeriesForecast, plain
from analytics_assets.core.forecasts.inputs import load_series
from analytics_assets.core.forecasts.series import Series
from analytics_assets.core.forecasts.training import ArimaWay, ProphetWay, Trained, train, write_forecasts
from analytics_assets.core.lake import Lake
from analytics_assets.schemas import FORECAST_TABLES
from analytics_assets_tests.core.forecasts.series_data import deliver, event, make_series, planted

RECORD = {"input_years": ["2024"], "raw_digests": {"a": "1"}, "config": {"origins": 3}}
SERIES = [
    planted(1, 40).series,
    make_series(np.zeros(40), metric="sessions", unit="sessions"),
    make_series(np.full(40, np.nan), metric="actors", unit="actors"),
]


@dataclass(frozen=True)
class Simple:
    """A model's place taken by a baseline, which fits at once."""

    name: str
    factor: float = 1.0

    def prepare(self) -> Prepare:
        """How it chooses and fits."""
        return plain(phase_mean if self.factor == 1 else naive)

    def details(self, _found: SeriesForecast) -> tuple[dict[str, list], dict[str, Any]]:
        """Nothing of its own."""
        return {}, {}


def publish(folder: Path, way: Any, series: list[Series], record: dict[str, Any] = RECORD) -> list[Trained]:
    told: list[str] = []
    trained = train(
        series, way, folder / "series", origins=3, workers=1, progress=lambda one: told.append(one.found.series.metric)
    )
    assert told == [one.metric for one in series]
    write_forecasts(folder, "Forecast", way, trained, record)
    return trained


@pytest.mark.parametrize(
    ("way", "own"), [(ProphetWay(priors=(0.05,)), "components"), (ArimaWay(max_lags=0), "cycles")], ids=lambda x: str(x)
)
def test_a_folder_is_complete_and_equal_in_every_run(way: Any, own: str, tmp_path: Path) -> None:
    for run in ("one", "two"):
        publish(tmp_path / run, way, SERIES)
    names = sorted(str(path.relative_to(tmp_path / "one")) for path in (tmp_path / "one").rglob("*") if path.is_file())
    for name in ("forecast.parquet", "backtest.parquet", "history.parquet", f"{own}.parquet", "card.md"):
        assert name in names
    assert {"figures/events.png", "figures/sessions.png", "figures/coverage.png", "series/events.json"} <= {*names}
    assert "figures/actors.png" not in names and "series/sessions.json" not in names
    for name in names:
        if name != "cost.json":
            assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    for name, table in FORECAST_TABLES[way.name].items():
        assert pq.read_schema(tmp_path / "one" / f"{name}.parquet").equals(table.arrow_schema())
    assert pq.read_table(tmp_path / "one" / f"{own}.parquet").num_rows > 0
    found = json.loads((tmp_path / "one" / "metrics.json").read_text(encoding="utf-8"))["metrics"]
    assert found["events"]["fallback_reason"] is None and found["events"]["horizons"][-1]["horizon"] == 7
    assert found["sessions"]["fallback_reason"] == "every value is 0" and found["sessions"]["horizons"] == []
    card = (tmp_path / "one" / "card.md").read_text(encoding="utf-8")
    assert "| actors | mean, because no value is known |" in card
    assert f"{found['events']['horizons'][-1]['relative_mae']:.1%}" in card
    metrics = pq.read_table(tmp_path / "one" / "forecast.parquet").column("metric").to_pylist()
    assert set(metrics) == {"events", "sessions"}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """50 days of events with a spike on the 47th."""
    lake = Lake(tmp_path / "analyst's lake")
    events = []
    for day in range(50):
        for number in range(150 if day == 46 else 20 + 5 * (day % 7) + day % 3):
            time = dt.datetime(2024, 1, 1) + dt.timedelta(days=day, seconds=86_399 - 400 * number)
            events.append(event(time, f"user:{number}"))
    deliver(lake.root, "2024", events)
    return lake


def load(lake: Lake) -> list[Series]:
    return load_series(lake, ["2024"], ["events"], holidays=False, origins=3)


def test_models_and_baselines_are_judged_together(lake: Lake) -> None:
    series = load(lake)
    publish(lake.model("arima_forecast"), Simple("arima_forecast"), series)
    publish(lake.model("prophet_forecast"), Simple("prophet_forecast", 3.0), series)
    found = compare(lake, {dt.date(2024, 2, day): 30.0 for day in range(1, 20)})
    assert found.left_out == {} and found.years == ["2024"]
    rows = found.leaderboard.to_pylist()
    assert len(rows) == 2 * 7 and all(row["true_mae"] is not None for row in rows)
    by_model = {row["model"]: row for row in rows if row["horizon"] == 7}
    for model, same in (("arima_forecast", "phase_mean"), ("prophet_forecast", "naive")):
        assert by_model[model]["rmse"] == by_model[same]["rmse"]
        assert by_model[model]["rank"] == by_model[same]["rank"] + 1
    assert found.champions == {"events": min(by_model, key=lambda name: by_model[name]["rank"])}
    models = pa.compute.unique(found.forecasts.column("model")).to_pylist()
    assert sorted(models) == sorted(by_model)
    assert all(row["model"] == found.champions["events"] for row in found.anomalies.to_pylist())


def test_a_model_of_other_data_is_left_out_with_a_reason(lake: Lake) -> None:
    series = load(lake)
    publish(lake.model("arima_forecast"), Simple("arima_forecast"), series)
    assert compare(lake, None).left_out == {"prophet_forecast": "it is not materialized"}
    other = {**RECORD, "raw_digests": {"a": "2"}}
    publish(lake.model("prophet_forecast"), Simple("prophet_forecast"), series, other)
    assert "trained on other raw files" in compare(lake, None).left_out["prophet_forecast"]
    publish(lake.model("prophet_forecast"), Simple("prophet_forecast"), [series[0].until(45)])
    found = compare(lake, None)
    assert "its series events is another one" in found.left_out["prophet_forecast"]
    assert "prophet_forecast" not in found.leaderboard.column("model").to_pylist()


def test_without_models_there_is_nothing_to_judge(lake: Lake) -> None:
    found = compare(lake, None)
    assert sorted(found.left_out) == ["arima_forecast", "prophet_forecast"]
    assert found.leaderboard.num_rows == found.forecasts.num_rows == found.anomalies.num_rows == 0


def test_linear_algebra_has_one_thread_also_where_scipy_was_not_loaded_before() -> None:
    code = (
        "from analytics_assets.core.threads import one_thread\n"
        "from threadpoolctl import threadpool_info\n"
        "with one_thread():\n"
        "    import scipy.linalg.cython_blas\n"
        "    print([one['num_threads'] for one in threadpool_info() if one['user_api'] == 'blas'])\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    counts = json.loads(found.stdout)
    assert len(counts) >= 1 and set(counts) == {1}
