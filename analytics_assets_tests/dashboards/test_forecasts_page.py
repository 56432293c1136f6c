"""The page "Forecasts": its figures are the published ones, and the parts of a surprise add up."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_assets.core.lake import Lake
from analytics_assets_tests.dashboards.conftest import RunApp
from analytics_assets_tests.dashboards.test_insights_app import everything, tiles
from analytics_assets_tests.dashboards.test_next_event_page import table
from dashboards.charts import forecasts as charts
from dashboards.insights import forecasts_figures as figures
from dashboards.insights import forecasts_surprises
from dashboards.insights.forecasts_figures import Cause

PAGE = "forecasts"


def leaderboard(lake: Lake, horizon: int) -> pd.DataFrame:
    rows = pd.read_parquet(lake.leaderboard("forecast"))
    return rows[(rows["metric"] == "events") & (rows["horizon"] == horizon)].sort_values("rank")


def published(lake: Lake, name: str) -> pd.DataFrame:
    return pd.read_parquet(lake.model("forecast_leaderboard") / f"{name}.parquet")


@pytest.mark.parametrize("horizon", [7, 30])
def test_the_ladder_is_the_published_one(modelled_lake: Lake, run_page: RunApp, horizon: int) -> None:
    app = run_page(PAGE, modelled_lake, metric="Events per day", horizon=f"{horizon} days")
    assert not app.exception and not app.error
    expected = leaderboard(modelled_lake, horizon)
    shown = table(app, "Way to forecast")
    assert list(shown["Rank"]) == list(expected["rank"])
    assert list(shown["Way to forecast"]) == [figures.name_words(model) for model in expected["model"]]
    assert list(shown["80 % held"]) == pytest.approx(list(100 * expected["coverage80"]))
    assert list(shown["Scaled error"]) == pytest.approx(list(expected["mase"]))
    champion = expected[expected["is_champion"]].iloc[0]
    answer = app.markdown[0].value
    assert f"best is **{figures.name_words(champion['model'])}**" in answer
    assert ("a simple rule that no model beats" in answer) == (not champion["is_model"])
    assert f"held {100 * champion['coverage80']:.0f} %" in answer


def test_the_forecast_is_the_published_one(modelled_lake: Lake, run_page: RunApp) -> None:
    champion = leaderboard(modelled_lake, 7)["model"].iloc[0]
    rows = published(modelled_lake, "forecast")
    rows = rows[(rows["metric"] == "events") & (rows["model"] == champion) & (rows["horizon"] <= 7)].sort_values(
        "horizon"
    )
    found = figures.forecast(modelled_lake, "events", champion, 7)
    assert found is not None
    assert [entry.mean for entry in found.expected] == list(rows["mean"])
    for entry, low, high in zip(found.expected, rows["lo80"], rows["hi80"], strict=True):
        assert entry.bands[80] == (None if np.isnan(low) else (low, high))
    app = run_page(PAGE, modelled_lake, horizon="7 days")
    assert tiles(app)["Expected, next 7 days"] == figures.value_words(rows["mean"].sum(), "events")
    assert len(table(app, "Expected")) == 7


def test_a_figure_draws_history_forecast_and_bands(modelled_lake: Lake) -> None:
    found = figures.forecast(modelled_lake, "events", "seasonal_naive", 14)
    assert found is not None
    history = figures.history(modelled_lake, "events", 30)
    figure = charts.forecast(history, found.expected, title="Events", unit="events", step="day", from_zero=True)
    traces = {trace.name: trace for trace in figure.data}
    assert list(traces["What came"].y) == [value for _, value in history]
    assert traces["What came"].line.dash is None and traces["Expected"].line.dash == "dash"
    # The forecast goes on from the last known value.
    assert list(traces["Expected"].y) == [history[-1][1], *(entry.mean for entry in found.expected)]
    assert figure.layout.shapes[0].x0 == history[-1][0]
    assert figure.layout.yaxis.rangemode == "tozero"
    known = [entry for entry in found.expected if entry.bands[80]]
    if known:
        assert len(traces["80 % interval"].x) == 2 * len(known)


def test_the_backtest_holds_the_judged_rows(modelled_lake: Lake) -> None:
    rows = pd.read_parquet(modelled_lake.model("prophet_forecast") / "backtest.parquet")
    rows = rows[(rows["metric"] == "events") & rows["judged"] & (rows["horizon"] <= 7)]
    found = figures.backtest(modelled_lake, "events", "prophet_forecast", 7)
    assert sum(len(points) for _, points in found.forecasts) == len(rows)
    assert len(found.forecasts) == rows["cut"].nunique()
    errors = dict(found.actual)
    own = [abs(errors[moment] - mean) for _, points in found.forecasts for moment, mean in points]
    published_error = leaderboard(modelled_lake, 7).set_index("model")["mae"]["prophet_forecast"]
    assert np.mean(own) == pytest.approx(published_error)


def test_components_are_means_by_weekday(modelled_lake: Lake) -> None:
    rows = pd.read_parquet(modelled_lake.model("prophet_forecast") / "components.parquet")
    weekly = rows[rows["component"] == "weekly"]
    expected = weekly.groupby(weekly["time"].dt.weekday)["value"].mean()
    found = figures.components(modelled_lake, "events")
    assert found is not None and found.weekly == pytest.approx(list(expected))
    assert len(found.trend) == (rows["component"] == "trend").sum()


def test_surprises_and_causes_are_the_published_ones_and_add_up(modelled_lake: Lake, run_page: RunApp) -> None:
    expected = published(modelled_lake, "anomalies").sort_values("rank")
    found = figures.anomalies(modelled_lake, "events")
    assert len(found) == len(expected) > 0
    assert list(table(run_page(PAGE, modelled_lake), "Times the half-width")["Rank"]) == list(expected["rank"])
    daily = dict(figures.history(modelled_lake, "events", 10_000))
    for anomaly in found[:5]:
        causes = figures.causes(modelled_lake, "events", anomaly.day)
        day = datetime.combine(anomaly.day, datetime.min.time())
        before = [daily[(day - timedelta(weeks=week)).isoformat()] for week in range(1, 5)]
        for parts in causes.values():
            whole = sum(cause.contribution for cause in parts)
            assert whole == pytest.approx(anomaly.actual - np.mean(before))
            shown = forecasts_surprises.shown_causes(parts, 2)
            assert sum(value for _, value in shown) == pytest.approx(whole)


@given(st.lists(st.floats(-1e6, 1e6), max_size=20), st.integers(1, 8))
def test_shown_parts_always_add_up(values: list[float], limit: int) -> None:
    causes = [Cause(str(place), value, 0.0, value) for place, value in enumerate(values)]
    shown = forecasts_surprises.shown_causes(causes, limit)
    assert sum(value for _, value in shown) == pytest.approx(sum(values), abs=1e-3)
    assert len(shown) == min(len(values), limit + 1)


def test_an_address_that_names_nothing_shows_the_default(modelled_lake: Lake, run_page: RunApp) -> None:
    app = run_page(PAGE, modelled_lake, metric="<script>", horizon="-3")
    assert not app.exception and app.selectbox(key="metric").value == "events"


def test_a_lake_without_forecasts_names_the_asset(built_lake: Lake, run_page: RunApp) -> None:
    app = run_page(PAGE, built_lake)
    assert not app.exception and not app.error
    assert "Materialize the asset `forecast_leaderboard`" in everything(app)


@pytest.mark.parametrize(
    ("place", "asset"),
    [
        ("reports/leaderboard_forecast.parquet", "forecast_leaderboard"),
        ("models/forecast_leaderboard/forecast.parquet", "forecast_leaderboard"),
        ("models/forecast_leaderboard/causes.parquet", "forecast_leaderboard"),
        ("models/prophet_forecast/components.parquet", "prophet_forecast"),
        ("models/prophet_forecast/history.parquet", "prophet_forecast"),
    ],
)
def test_a_damaged_file_becomes_a_message(
    modelled_lake: Lake, run_page: RunApp, tmp_path: Path, place: str, asset: str
) -> None:
    lake = Lake(Path(shutil.copytree(modelled_lake.root, tmp_path / "lake")))
    path = lake.root / place
    path.write_bytes(path.read_bytes()[:-30])
    app = run_page(PAGE, lake)
    assert not app.exception
    assert any(place in error.value and f"`{asset}` again" in error.value for error in app.error)


def test_a_missing_model_leaves_the_other_parts(modelled_lake: Lake, run_page: RunApp, tmp_path: Path) -> None:
    lake = Lake(Path(shutil.copytree(modelled_lake.root, tmp_path / "lake")))
    shutil.rmtree(lake.model("prophet_forecast"))
    app = run_page(PAGE, lake)
    assert not app.exception and not app.error
    assert "Materialize the asset `prophet_forecast`" in everything(app)
    assert len(table(app, "Way to forecast")) == len(leaderboard(lake, 30))
