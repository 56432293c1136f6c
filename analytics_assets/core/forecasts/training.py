"""From series to a published forecasting model: every series by one way, artefacts, tables, figures, card.

Put here: the steps that both models share, and what each adds. Keep out: the models (`prophet_model.py`,
`arima_model.py`), which asset uses them (``assets/``).

Every file is the same byte for byte in another run of the same input and seed; times and memory are apart in
``cost.json``.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from analytics_assets.core.files import write_bytes, write_json, write_table, write_text
from analytics_assets.core.forecasts import arima_model, cycles, figures, prophet_model
from analytics_assets.core.forecasts.baselines import SEASONAL_NAIVE, seasonal_naive
from analytics_assets.core.forecasts.cards import forecast_card
from analytics_assets.core.forecasts.forecasting import (
    Prepare,
    SeriesForecast,
    arima,
    forecast_series,
    plain,
    prophet,
)
from analytics_assets.core.forecasts.leaderboard import measured
from analytics_assets.core.forecasts.series import Series
from analytics_assets.core.forecasts.tables import (
    Row,
    arrow,
    backtest_rows,
    component_rows,
    cycle_rows,
    forecast_rows,
    history_rows,
)
from analytics_assets.core.threads import one_thread
from analytics_assets.schemas import FORECAST_TABLES

ARTEFACTS = "series"
"""Folder of the artefacts below a model's folder: one JSON file per metric."""


class Way(Protocol):
    """A forecasting model with its settings; it is sent to other processes."""

    @property
    def name(self) -> str:
        """Name of the asset."""
        ...

    def prepare(self) -> Prepare:
        """How it chooses and fits."""
        ...

    def details(self, found: SeriesForecast) -> tuple[dict[str, list[Row]], dict[str, Any]]:
        """Rows of its own tables, and its own figures of a series."""
        ...


@dataclass(frozen=True)
class ProphetWay:
    """Prophet; parameters as in ``prophet_model.choose``."""

    priors: tuple[float, ...] = prophet_model.CHANGEPOINT_PRIORS
    holidays: bool = True
    seed: int = 7
    name: str = field(default="prophet_forecast", init=False)

    def prepare(self) -> Prepare:
        """How it chooses and fits."""
        return prophet(priors=self.priors, holidays=self.holidays, seed=self.seed)

    def details(self, found: SeriesForecast) -> tuple[dict[str, list[Row]], dict[str, Any]]:
        """Components, and how strong each is over the history."""
        forecaster = found.forecaster
        if not isinstance(forecaster, prophet_model.ProphetForecaster):
            return {}, {}
        parts = forecaster.components(len(found.prediction.mean))
        known = ~np.isnan(found.series.values)
        scaled = found.scale.forward(found.series.values[known])
        fit = np.sum(list(parts.values()), axis=0)[: len(known)][known]
        rest = scaled - fit

        def strength(part: Any) -> float | None:
            together = float(np.var(rest + part[: len(known)][known]))
            return max(0.0, 1 - float(np.var(rest)) / together) if together > 0 else None

        return (
            {"components": component_rows(found.series, parts)},
            {"component_strength": {name: strength(part) for name, part in parts.items()}},
        )


@dataclass(frozen=True)
class ArimaWay:
    """ARIMA; parameters as in ``arima_model.choose``."""

    max_lags: int = arima_model.MAX_LAGS
    holidays: bool = True
    name: str = field(default="arima_forecast", init=False)

    def prepare(self) -> Prepare:
        """How it chooses and fits."""
        return arima(max_lags=self.max_lags, holidays=self.holidays)

    def details(self, found: SeriesForecast) -> tuple[dict[str, list[Row]], dict[str, Any]]:
        """Periods of the series, strengths, residual tests."""
        forecaster = found.forecaster
        if not isinstance(forecaster, arima_model.ArimaForecaster):
            return {}, {}
        return (
            {"cycles": cycle_rows(found.series, cycles.cycles(found.series, found.scale))},
            {
                **cycles.strengths(found.series, found.scale),
                "parameters": forecaster.parameters,
                "diagnostics": arima_model.diagnostics(forecaster),
            },
        )


@dataclass(frozen=True)
class Trained:
    """One series by one way, without the fitted model, which lies in its file.

    Parameters
    ----------
    found : SeriesForecast
    rows : dict
        Of the way's own tables.
    figures : dict
        Of the series, for ``metrics.json``.
    seconds : float
    peak_mb : float
        Of the process that fitted it.
    """

    found: SeriesForecast
    rows: dict[str, list[Row]]
    figures: dict[str, Any]
    seconds: float
    peak_mb: float


def train_series(series: Series, way: Way, folder: Path, origins: int) -> Trained:
    """Forecast one series and write its artefact, ``<metric>.json`` in `folder`."""
    started = time.perf_counter()
    with one_thread():
        found = forecast_series(series, way.name, way.prepare(), origins)
        rows, own = way.details(found)
        naive = forecast_series(series, SEASONAL_NAIVE, plain(seasonal_naive), origins, scale=found.scale)
    save = getattr(found.forecaster, "save", None)
    if save is not None:
        folder.mkdir(parents=True, exist_ok=True)
        save(folder / f"{series.metric}.json")
    known = int((~np.isnan(series.values)).sum())
    shown = {
        "unit": series.unit,
        "steps": len(series),
        "known_steps": known,
        "first": str(series.start),
        "last": str(series.times(len(series) - 1, len(series))[0]) if len(series) else None,
        "used": found.model,
        "fallback_reason": found.reason,
        "scale": found.scale.name,
        "horizon": found.plan.horizon if found.plan else None,
        "cuts": {"choosing": len(found.plan.choosing), "judging": len(found.plan.judging)} if found.plan else None,
        **found.notes,
        **own,
        "horizons": measured(found.past, naive.past) if found.past and naive.past else [],
    }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Trained(replace(found, forecaster=None), rows, shown, time.perf_counter() - started, peak)


def train(
    series: Sequence[Series],
    way: Way,
    folder: Path,
    *,
    origins: int,
    workers: int,
    progress: Callable[[Trained], None],
) -> list[Trained]:
    """Forecast all series, `workers` at a time in processes of their own; `progress` is told of each."""
    if workers <= 1 or len(series) <= 1:
        found = []
        for one in series:
            found.append(train_series(one, way, folder, origins))
            progress(found[-1])
        return found
    # Spawned, not forked: the parent runs threads of DuckDB and Dagster.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = [pool.submit(train_series, one, way, folder, origins) for one in series]
        found = []
        for future in waiting:
            found.append(future.result())
            progress(found[-1])
    return found


def write_forecasts(
    folder: Path, title: str, way: Way, trained: Sequence[Trained], provenance: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Write tables, pictures, ``metrics.json``, ``cost.json`` and ``card.md`` into `folder`.

    Returns
    -------
    metrics, pictures
        What ``metrics.json`` holds, and PNG by file name.
    """
    rows: dict[str, list[Row]] = {
        "forecast": [row for one in trained for row in forecast_rows(one.found)],
        "backtest": [row for one in trained for row in backtest_rows(one.found)],
        "history": [row for one in trained for row in history_rows(one.found.series)],
    }
    for name, table in FORECAST_TABLES[way.name].items():
        written = rows.get(name) or [row for one in trained for row in one.rows.get(name, [])]
        write_table(folder / f"{name}.parquet", arrow(written, table), table)
    drawn: dict[str, bytes] = {}
    for one in trained:
        drawn |= figures.pictures(one.found, one.rows)
    drawn |= figures.coverage_picture([one.found for one in trained])
    for name, content in drawn.items():
        write_bytes(folder / "figures" / name, content)
    metrics = {"metrics": {one.found.series.metric: one.figures for one in trained}, **provenance}
    write_json(folder / "metrics.json", metrics)
    write_json(
        folder / "cost.json",
        {
            "seconds": {one.found.series.metric: one.seconds for one in trained},
            "peak_mb": max((one.peak_mb for one in trained), default=0.0),
        },
    )
    write_text(folder / "card.md", forecast_card(title, metrics))
    return metrics, drawn
