"""Published rows fit their declared tables and can be read back."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from analytics_assets.core.forecasts.backtest import Origin
from analytics_assets.core.forecasts.baselines import phase_mean
from analytics_assets.core.forecasts.cycles import Cycle
from analytics_assets.core.forecasts.forecasting import SeriesForecast, forecast_series, plain
from analytics_assets.core.forecasts.tables import (
    arrow,
    backtest_rows,
    component_rows,
    cycle_rows,
    forecast_rows,
    history_rows,
    read_history,
    read_origins,
)
from analytics_assets.schemas import FORECAST_COMPONENTS, FORECAST_CYCLES, FORECAST_TABLES
from analytics_assets_tests.core.forecasts.series_data import LOG, make_series, planted

TABLES = {**FORECAST_TABLES["prophet_forecast"], **FORECAST_TABLES["arima_forecast"]}
DAYS = planted(2, 100, dips=(20, 50))
GAPS = DAYS.series.values.copy()
GAPS[[0, 60, 99]] = np.nan
SERIES = {
    "days": make_series(GAPS, holidays=DAYS.series.holidays),
    "hours": make_series(
        np.random.default_rng(4).poisson(20, 24 * 16),
        metric="events_per_hour",
        start="2024-03-30T00",
        season=168,
        holidays={dt.date(2024, 4, 1): 0.25},
    ),
}


def forecast_of(name: str) -> SeriesForecast:
    return forecast_series(SERIES[name], "phase_mean", plain(phase_mean), scale=LOG)


def fields(origin: Origin) -> list[np.ndarray]:
    prediction = origin.prediction
    bands = [end for kind in (origin.native, origin.calibrated) for pair in kind for end in pair]
    return [origin.times, origin.actual, prediction.mean, prediction.centre, prediction.spread, *bands]


@pytest.mark.parametrize("name", SERIES)
def test_a_backtest_is_read_back_as_it_was(name: str) -> None:
    found = forecast_of(name)
    table = arrow(backtest_rows(found), TABLES["backtest"])
    assert table.schema.equals(TABLES["backtest"].arrow_schema())
    assert table.column("horizon").null_count == 0 and table.column("lo95").null_count > 0
    read = read_origins(table, found.series)
    assert len(read) == len(found.origins) > 0
    for mine, theirs in zip(found.origins, read, strict=True):
        assert (mine.cut, mine.judged) == (theirs.cut, theirs.judged)
        for one, other in zip(fields(mine), fields(theirs), strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype


def test_series_of_several_metrics_are_read_back_as_they_were() -> None:
    rows = [row for series in SERIES.values() for row in history_rows(series)]
    table = arrow(rows, TABLES["history"])
    assert table.schema.equals(TABLES["history"].arrow_schema())
    found = read_history(table)
    assert list(found) == ["events", "events_per_hour"]
    for series in SERIES.values():
        read = found[series.metric]
        assert (read.unit, read.start, read.season) == (series.unit, series.start, series.season)
        assert read.frequency == series.frequency
        np.testing.assert_array_equal(read.values, series.values)
        np.testing.assert_array_equal(read.holiday_share(0, len(read)), series.holiday_share(0, len(series)))


@pytest.mark.parametrize("name", SERIES)
def test_forecasts_fit_their_table_and_go_on_where_the_series_ends(name: str) -> None:
    found = forecast_of(name)
    table = arrow(forecast_rows(found), TABLES["forecast"])
    assert table.schema.equals(TABLES["forecast"].arrow_schema())
    rows = table.to_pylist()
    assert [row["horizon"] for row in rows] == list(range(1, len(rows) + 1))
    assert {row["model"] for row in rows} == {"phase_mean"}
    if name == "days":
        end = dt.date(2024, 1, 1) + dt.timedelta(days=99)
        assert [row["date"] for row in rows] == [end + dt.timedelta(days=step) for step in range(1, 31)]
        assert {row["hour"] for row in rows} == {None}
        assert {row["trained_until"] for row in rows} == {dt.datetime.combine(end, dt.time())}
        assert [row["lo80"] is None for row in rows] == [step > 14 for step in range(1, 31)]
    else:
        assert [row["hour"] for row in rows] == list(range(24))
        assert {row["date"] for row in rows} == {dt.date(2024, 4, 15)}
        assert rows[0]["trained_until"] == dt.datetime(2024, 4, 14, 23)


def test_unknown_values_are_null_and_never_nan() -> None:
    values = [row["value"] for row in history_rows(SERIES["days"])]
    assert [place for place, value in enumerate(values) if value is None] == [0, 60, 99]
    rows = backtest_rows(forecast_of("days"))
    assert any(row["actual"] is None for row in rows)
    assert not any(isinstance(value, float) and np.isnan(value) for row in rows for value in row.values())


def test_components_and_cycles_fit_their_tables() -> None:
    series = SERIES["days"]
    parts = {"trend": np.arange(103.0), "weekly": np.ones(103)}
    table = arrow(component_rows(series, parts), FORECAST_COMPONENTS)
    assert table.num_rows == 206
    assert max(table.column("time").to_pylist()) == dt.datetime(2024, 1, 1) + dt.timedelta(days=102)
    assert table.to_pylist()[1]["component"] == "weekly"
    cycle = Cycle(7.02, 20.0, 0.001, 0.01, 0.6, True)
    [row] = arrow(cycle_rows(series, [cycle]), FORECAST_CYCLES).to_pylist()
    assert row == {"metric": "events", **vars(cycle)}


@pytest.mark.parametrize("name", TABLES)
def test_no_rows_are_an_empty_table(name: str) -> None:
    assert arrow([], TABLES[name]).num_rows == 0
