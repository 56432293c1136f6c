"""Published models beside baselines: leaderboard, forecasts of all, anomalies of the best.

Put here: reading what the models published and joining it with the baselines. Keep out: measures and ranks
(`leaderboard.py`), the split of anomalies (`anomalies.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analytics_assets.core.features.engine import open_engine
from analytics_assets.core.files import read_json
from analytics_assets.core.forecasts.anomalies import anomalies, explained
from analytics_assets.core.forecasts.backtest import Past
from analytics_assets.core.forecasts.leaderboard import MODELS, baseline_forecasts, best, champion_of, judge
from analytics_assets.core.forecasts.scales import Scale
from analytics_assets.core.forecasts.series import Series
from analytics_assets.core.forecasts.tables import Row, arrow, forecast_rows, read_history, read_origins
from analytics_assets.core.lake import Lake
from analytics_assets.core.threads import one_thread
from analytics_assets.schemas import FORECAST_ANOMALIES, FORECAST_CAUSES, FORECAST_LEADERBOARD, FORECASTS, HOURLY_METRIC

if TYPE_CHECKING:
    import pyarrow as pa

ANOMALY_DAYS = 365
"""Days back from the last one that are searched."""


@dataclass(frozen=True)
class Compared:
    """Result of `compare`.

    Parameters
    ----------
    leaderboard, forecasts, anomalies, causes : pyarrow.Table
        As declared in ``schemas/forecasts.py``.
    left_out : dict
        Why a published model is missing, by model.
    champions : dict
        By metric, at its longest judged horizon; None where nothing was judged.
    best : dict
        Their figures, by metric.
    years : list of str
    """

    leaderboard: pa.Table
    forecasts: pa.Table
    anomalies: pa.Table
    causes: pa.Table
    left_out: dict[str, str]
    champions: dict[str, str | None]
    best: dict[str, Row]
    years: list[str]


@dataclass(frozen=True)
class _Published:
    metrics: dict[str, Any]
    series: dict[str, Series]
    pasts: dict[str, Past]
    forecasts: list[Row]


def _published(lake: Lake, model: str) -> _Published | None:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    folder = lake.model(model)
    if not (folder / "metrics.json").is_file():
        return None
    metrics = read_json(folder / "metrics.json")
    series = read_history(pq.read_table(folder / "history.parquet"))
    backtest = pq.read_table(folder / "backtest.parquet")
    pasts = {}
    for name, found in metrics["metrics"].items():
        if found["fallback_reason"] is None:
            own = read_origins(backtest.filter(pc.equal(backtest["metric"], name)), series[name])
            pasts[name] = Past(series[name], model, Scale(found["scale"]), found["horizon"], own)
    return _Published(metrics, series, pasts, pq.read_table(folder / "forecast.parquet").to_pylist())


def _differs(one: _Published, other: _Published) -> str | None:
    """Why two models cannot be compared; None when they can, on the metrics that both have."""
    if one.metrics["raw_digests"] != other.metrics["raw_digests"]:
        return "it was trained on other raw files"
    for name in sorted(one.series.keys() & other.series.keys()):
        mine, theirs = one.series[name], other.series[name]
        if mine.start != theirs.start or not np.array_equal(mine.values, theirs.values, equal_nan=True):
            return f"its series {name} is another one"
        cuts = [[origin.cut for origin in kept.pasts[name].origins] for kept in (one, other) if name in kept.pasts]
        if len(cuts) == 2 and cuts[0] != cuts[1]:
            return f"its backtest of {name} has other cuts"
    return None


def compare(lake: Lake, truth: Mapping[dt.date, float] | None) -> Compared:
    """Judge every published model and every baseline on the same cuts.

    Parameters
    ----------
    lake : Lake
    truth : mapping of date to float, optional
        True daily means of the events of generated data.
    """
    left_out: dict[str, str] = {}
    models: dict[str, _Published] = {}
    for name in MODELS:
        found = _published(lake, name)
        if found is None:
            left_out[name] = "it is not materialized"
            continue
        reason = _differs(next(iter(models.values())), found) if models else None
        if reason:
            left_out[name] = f"{reason}: materialize it again"
        else:
            models[name] = found
    if not models:
        return _nothing(left_out)
    series: dict[str, Series] = {}
    origins: dict[str, int] = {}
    scales: dict[str, Scale] = {}
    for found in models.values():
        series |= found.series
        origins |= dict.fromkeys(found.series, int(found.metrics["config"]["origins"]))
        scales |= {name: Scale(one["scale"]) for name, one in found.metrics["metrics"].items()}
    with one_thread():
        simple = {name: baseline_forecasts(one, origins[name], scales[name]) for name, one in series.items()}
    pasts = {
        name: {way: found.past for way, found in ways.items() if found.past is not None}
        for name, ways in simple.items()
    }
    judged = judge(
        {name: found.pasts for name, found in models.items()},
        {name: ways for name, ways in pasts.items() if ways},
        truth,
    )
    champions = {name: champion_of(judged, name) for name in series}
    forecasts = [row for found in models.values() for row in found.forecasts if row["fallback_reason"] is None]
    forecasts += [row for ways in simple.values() for way in ways.values() for row in forecast_rows(way)]
    years = sorted({year for found in models.values() for year in found.metrics["input_years"]})
    found_days = _surprises(lake, years, pasts, models, champions)
    return Compared(
        arrow(judged, FORECAST_LEADERBOARD),
        arrow({(r["metric"], r["model"], r["horizon"]): r for r in forecasts}.values(), FORECASTS),
        arrow(found_days[0], FORECAST_ANOMALIES),
        arrow(found_days[1], FORECAST_CAUSES),
        left_out,
        champions,
        best(judged),
        years,
    )


def _surprises(
    lake: Lake,
    years: Sequence[str],
    baselines: Mapping[str, Mapping[str, Past]],
    models: Mapping[str, _Published],
    champions: Mapping[str, str | None],
) -> tuple[list[Row], list[Row]]:
    days: list[Row] = []
    series: dict[str, Series] = {}
    for metric, champion in champions.items():
        if champion is None or metric == HOURLY_METRIC:
            continue
        past = models[champion].pasts[metric] if champion in models else baselines[metric][champion]
        series[metric] = past.series
        last: dt.date = past.series.times(len(past.series) - 1, len(past.series))[0].astype(object)
        days += anomalies(past, last - dt.timedelta(days=ANOMALY_DAYS))
    with open_engine(lake.staging() / "duckdb") as engine:
        return explained(
            engine,
            [lake.feature("clean_events", year) for year in years],
            [lake.feature("sessions", year) for year in years],
            days,
            series,
        )


def _nothing(left_out: dict[str, str]) -> Compared:
    tables = (FORECAST_LEADERBOARD, FORECASTS, FORECAST_ANOMALIES, FORECAST_CAUSES)
    leaderboard, forecasts, days, causes = (arrow([], table) for table in tables)
    return Compared(leaderboard, forecasts, days, causes, left_out, {}, {}, [])
