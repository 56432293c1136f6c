"""Series with known properties, and small event files that daily figures are counted from.

Put here: what several test modules of this folder share. Keep out: assertions.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analytics_assets.core.features.engine import parquet, publish
from analytics_assets.core.features.tables import daily_metrics
from analytics_assets.core.forecasts.prediction import Prediction
from analytics_assets.core.forecasts.scales import Scale
from analytics_assets.core.forecasts.series import NO_HOLIDAYS, Series
from analytics_assets.schemas import DAILY_METRICS

START = dt.date(2024, 1, 1)
"""A Monday."""

WEEKDAYS = np.array([1.1, 1.25, 1.2, 1.15, 1.0, 0.7, 0.6])
LOG, SQRT = Scale("log"), Scale("sqrt")


def make_series(
    values: Iterable[float],
    *,
    metric: str = "events",
    unit: str = "events",
    start: str = "2024-01-01",
    season: int = 7,
    holidays: Mapping[dt.date, float] = NO_HOLIDAYS,
) -> Series:
    """A daily series; an hourly one when `start` has an hour."""
    found = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    return Series(metric, unit, np.datetime64(start, "h" if "T" in start else "D"), found, season, holidays)


@dataclass(frozen=True)
class Planted:
    """A series drawn around a known mean; `mean` goes on after its end."""

    series: Series
    mean: np.ndarray


def planted(seed: int, steps: int = 200, *, dips: Sequence[int] = (), dip: float = 0.5, noise: float = 0.08) -> Planted:
    """Trend, weekday pattern and log-normal noise of mean 1; on the days `dips`, which are holidays, less of all."""
    rng = np.random.default_rng(seed)
    day = np.arange(steps + 60)
    mean = 300 * np.exp(0.002 * day) * WEEKDAYS[day % 7]
    mean[list(dips)] *= dip
    values = mean[:steps] * np.exp(rng.normal(-(noise**2) / 2, noise, steps))
    holidays = {START + dt.timedelta(days=step): 1.0 for step in dips}
    return Planted(make_series(values, holidays=holidays), mean)


def red_noise(seed: int, steps: int, memory: float, spread: float = 0.1) -> np.ndarray:
    """An AR(1) process on the log scale around 5, as values."""
    rng = np.random.default_rng(seed)
    found = np.zeros(steps + 50)
    for step in range(1, len(found)):
        found[step] = memory * found[step - 1] + rng.normal()
    return np.expm1(5 + spread * found[50:])


@dataclass(frozen=True)
class Fixed:
    """A forecaster that says the same whatever it is fitted to."""

    mean: float
    spread: float = 1.0

    def predict(self, steps: int) -> Prediction:
        """Forecast the next `steps` steps."""
        mean = np.full(steps, self.mean)
        return Prediction(mean, LOG.forward(mean), np.full(steps, self.spread))


_EVENT_FILE = pa.schema(
    [
        ("uuid", pa.string()),
        ("time", pa.timestamp("us")),
        ("actor", pa.string()),
        ("actor_class", pa.string()),
        ("user_id", pa.string()),
        ("is_noise", pa.bool_()),
        ("latency_ms", pa.float64()),
        ("session_key", pa.string()),
        ("event_type", pa.string()),
        ("country", pa.string()),
        ("country_code", pa.string()),
        ("device_family", pa.string()),
    ]
)
_SESSION_FILE = pa.schema(
    [
        ("session_key", pa.string()),
        ("actor", pa.string()),
        ("session_id", pa.int64()),
        ("start_time", pa.timestamp("us")),
        ("end_time", pa.timestamp("us")),
        ("events", pa.int64()),
        ("entry_event", pa.string()),
        ("exit_event", pa.string()),
        ("country", pa.string()),
        ("device_family", pa.string()),
    ]
)


def event(time: str | dt.datetime, actor: str | None = "user:ann", **changes: Any) -> dict[str, Any]:
    """One cleaned event; columns that forecasts do not read are left out."""
    made = {
        "time": dt.datetime.fromisoformat(time) if isinstance(time, str) else time,
        "actor": actor,
        "actor_class": "user",
        "user_id": actor,
        "is_noise": False,
        "latency_ms": 100.0,
        "session_key": None,
        "event_type": "view",
        "country": "Norway",
        "country_code": "NOR",
        "device_family": "Windows",
    }
    return {**made, **changes}


@dataclass(frozen=True)
class Files:
    """Files of one delivery year."""

    events: Path
    sessions: Path
    daily: Path


def first_value(rows: Sequence[dict[str, Any]], name: str) -> Any:
    """The first value of a column that is not null."""
    return next((row[name] for row in rows if row[name] is not None), None)


def deliver(folder: Path, year: str, events: Sequence[dict[str, Any]]) -> Files:
    """Write events of one year, their sessions and their daily figures, in the folders of a lake."""
    paths = [folder / "features" / name / f"{year}.parquet" for name in ("clean_events", "sessions", "daily_metrics")]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    ordered = sorted(events, key=lambda one: one["time"])
    rows = [{**one, "uuid": f"{year}-{place}"} for place, one in enumerate(ordered)]
    by_session: dict[str, list[dict[str, Any]]] = {}
    for one in ordered:
        if one["session_key"] is not None:
            by_session.setdefault(one["session_key"], []).append(one)
    visits = [
        {
            "session_key": key,
            "actor": own[0]["actor"],
            "session_id": 1,
            "start_time": own[0]["time"],
            "end_time": own[-1]["time"],
            "events": len(own),
            "entry_event": own[0]["event_type"],
            "exit_event": own[-1]["event_type"],
            "country": first_value(own, "country"),
            "device_family": first_value(own, "device_family"),
        }
        for key, own in by_session.items()
    ]
    pq.write_table(pa.Table.from_pylist(rows, _EVENT_FILE), paths[0])
    pq.write_table(pa.Table.from_pylist(visits, _SESSION_FILE), paths[1])
    with duckdb.connect() as engine:
        publish(engine, daily_metrics(parquet([paths[0]]), [paths[1]], [year]), paths[2], DAILY_METRICS)
    return Files(*paths)
