"""The leaderboard's figures equal a written-out computation, and its ranks crown the smallest error."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analytics_assets.core.forecasts.backtest import Past
from analytics_assets.core.forecasts.baselines import BASELINES, season_mean
from analytics_assets.core.forecasts.forecasting import forecast_series, plain
from analytics_assets.core.forecasts.leaderboard import baseline_forecasts, champion_of, judge, measured, ranked
from analytics_assets.core.forecasts.tables import backtest_rows
from analytics_assets.schemas import FORECAST_LEADERBOARD
from analytics_assets_tests.core.forecasts.series_data import LOG, START, make_series, planted

DATA = planted(6, 130)
VALUES = DATA.series.values.copy()
VALUES[[90, 120]] = np.nan
SERIES = make_series(VALUES)
TRUTH = {START + dt.timedelta(days=step): float(mean) for step, mean in enumerate(DATA.mean)}
SIMPLE = {
    name: forecast_series(SERIES, name, plain(fit), scale=LOG) for name, fit in BASELINES.items() if name != "ets"
}
PASTS = {name: found.past for name, found in SIMPLE.items()}


def renamed(past: Past, model: str, factor: float = 1.0) -> Past:
    """The same forecasts under another name, their means multiplied."""
    origins = [
        replace(origin, prediction=replace(origin.prediction, mean=origin.prediction.mean * factor))
        for origin in past.origins
    ]
    return replace(past, model=model, origins=origins)


@pytest.mark.parametrize("horizon", [1, 7, 14, 30])
def test_figures_equal_a_computation_from_the_published_rows(horizon: int) -> None:
    frame = pd.DataFrame(backtest_rows(SIMPLE["phase_mean"])).query("judged and horizon <= @horizon")
    naive = pd.DataFrame(backtest_rows(SIMPLE["seasonal_naive"])).set_index(["cut", "horizon"])["mean"]
    frame["naive"] = [naive[row.cut, row.horizon] for row in frame.itertuples()]
    frame["true"] = [TRUTH[time.date()] for time in frame["time"]]
    true_mae = (frame["mean"] - frame["true"]).abs().mean()
    frame = frame[frame["actual"].notna()].copy()
    error = (frame["actual"] - frame["mean"]).abs()
    frame["error"], frame["naive_error"] = error, (frame["actual"] - frame["naive"]).abs()
    scale = {}
    for cut in frame["cut"].unique():
        known = VALUES[: (cut.date() - START).days + 1]
        scale[cut] = np.nanmean(np.abs(known[7:] - known[:-7]))
    by_cut = frame.groupby("cut")[["error", "naive_error"]].mean()
    expected = {
        "points": len(frame),
        "cuts": 8,
        "mae": error.mean(),
        "rmse": np.sqrt((error**2).mean()),
        "smape": (2 * error / (frame["actual"] + frame["mean"])).mean(),
        "mase": (error / frame["cut"].map(scale)).mean(),
        "relative_mae": error.mean() / frame["naive_error"].mean(),
        "cuts_won": (by_cut["error"] < by_cut["naive_error"]).mean(),
        "true_mae": true_mae,
    }
    losses = []
    for level in (80, 95):
        for prefix in ("", "native_"):
            given = frame[frame[f"{prefix}lo{level}"].notna()]
            low, high = given[f"{prefix}lo{level}"], given[f"{prefix}hi{level}"]
            expected[f"{prefix}coverage{level}"] = ((given["actual"] >= low) & (given["actual"] <= high)).mean()
            if not prefix:
                expected[f"width{level}"] = (high - low).mean()
                for quantile, tail in ((low, (100 - level) / 200), (high, (100 + level) / 200)):
                    over = given["actual"] - quantile
                    losses.append(np.where(over > 0, tail * over, (tail - 1) * over).mean())
    expected["pinball"] = np.mean(losses)
    [found] = [
        row for row in measured(PASTS["phase_mean"], PASTS["seasonal_naive"], TRUTH) if row["horizon"] == horizon
    ]
    assert {"metric", "unit", "step", "horizon", "model"} == found.keys() - expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value), name
    assert found["points"] < 8 * horizon or horizon < 7


def test_every_row_fills_the_declared_columns() -> None:
    rows = judge(
        {"arima_forecast": {"events": renamed(PASTS["phase_mean"], "arima_forecast")}}, {"events": PASTS}, TRUTH
    )
    assert len(rows) == 4 * 5
    for row in rows:
        assert sorted(row) == sorted(FORECAST_LEADERBOARD.column_names)
        assert all(row[column.name] is not None for column in FORECAST_LEADERBOARD.columns)


def test_the_seasonal_naive_is_the_unit_of_relative_error() -> None:
    rows = judge({}, {"events": PASTS}, None)
    own = [row for row in rows if row["model"] == "seasonal_naive"]
    assert len(own) == 4
    assert all(row["relative_mae"] == 1 and row["cuts_won"] == 0 for row in own)
    assert all(row["true_mae"] is None for row in rows)


def test_places_follow_the_squared_error_and_equals_the_simpler() -> None:
    copies = {name: {"events": renamed(PASTS["phase_mean"], name)} for name in ("prophet_forecast", "arima_forecast")}
    rows = judge(copies, {"events": PASTS}, TRUTH)
    for horizon in (1, 7, 14, 30):
        group = sorted((row for row in rows if row["horizon"] == horizon), key=lambda row: row["rank"])
        assert [row["rank"] for row in group] == list(range(1, 7))
        assert [row["rmse"] for row in group] == sorted(row["rmse"] for row in group)
        assert [row["is_champion"] for row in group] == [True] + [False] * 5
        names = [row["model"] for row in group]
        place = names.index("phase_mean")
        assert names[place : place + 3] == ["phase_mean", "arima_forecast", "prophet_forecast"]
        assert [row["is_model"] for row in group] == [name.endswith("_forecast") for name in names]


def test_a_smaller_absolute_error_does_not_win_against_a_smaller_squared_one() -> None:
    base = {"metric": "events", "horizon": 7}
    rows = ranked(
        [{**base, "model": "naive", "mae": 1.0, "rmse": 9.0}, {**base, "model": "ets", "mae": 2.0, "rmse": 3.0}]
    )
    assert champion_of(rows, "events") == "ets"


def test_a_sabotaged_model_is_never_champion() -> None:
    best = min(PASTS, key=lambda name: measured(PASTS[name], PASTS["seasonal_naive"])[-1]["rmse"])
    sound = {"prophet_forecast": {"events": renamed(PASTS[best], "prophet_forecast", 1.0)}}
    broken = {"prophet_forecast": {"events": renamed(PASTS[best], "prophet_forecast", 3.0)}}
    for models, rank in ((sound, 2), (broken, 5)):
        rows = [row for row in judge(models, {"events": PASTS}, TRUTH) if row["model"] == "prophet_forecast"]
        assert len(rows) == 4 and not any(row["is_champion"] for row in rows)
        assert rows[-1]["rank"] == rank


def test_the_champion_of_a_metric_is_that_of_its_longest_horizon() -> None:
    base = {"metric": "events", "mae": 1.0}
    rows = ranked(
        [
            {**base, "horizon": horizon, "model": model, "rmse": rmse}
            for horizon, model, rmse in ((1, "naive", 1.0), (1, "ets", 2.0), (30, "naive", 4.0), (30, "ets", 3.0))
        ]
    )
    assert champion_of(rows, "events") == "ets"
    assert champion_of(rows, "sessions") is None


def test_measures_that_cannot_be_taken_are_missing() -> None:
    weekly = make_series([float(step % 7 + 1) for step in range(40)])
    naive = forecast_series(weekly, "seasonal_naive", plain(BASELINES["seasonal_naive"]), scale=LOG).past
    mean = forecast_series(weekly, "season_mean", plain(season_mean), scale=LOG).past
    assert naive is not None and mean is not None
    [first, *_] = measured(mean, naive)
    assert first["mase"] is None and first["relative_mae"] is None and first["mae"] > 0
    unknown = replace(mean, origins=[replace(one, actual=np.full(len(one.actual), np.nan)) for one in mean.origins])
    assert measured(unknown, naive) == []


def test_every_baseline_is_forecast_on_the_same_cuts() -> None:
    found = baseline_forecasts(SERIES.until(40), 3, LOG)
    assert list(found) == list(BASELINES)
    assert len({tuple(origin.cut for origin in one.origins) for one in found.values()}) == 1
