"""Figures of the page "Forecasts": what is expected, how good that is, what surprised.

Put here: reading what the forecasting models and their leaderboard published, and names and values for people. Keep
out: drawing, sentences.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from analytics_assets.core.lake import Lake
from analytics_assets.schemas import HOURLY_METRIC
from dashboards import data, text
from dashboards.charts.forecasts import Expected, Point
from dashboards.selection import quoted

LEADERBOARD_ASSET = "forecast_leaderboard"

MODEL_NAMES = {
    "prophet_forecast": "Prophet",
    "arima_forecast": "ARIMA",
    "naive": "Last value",
    "seasonal_naive": "Last week again",
    "season_mean": "Mean of the last week",
    "phase_mean": "Mean of the last four same weekdays",
    "ets": "Exponential smoothing",
    "mean": "Mean of what is known",
}
"""Ways to forecast as people call them."""

MODELS = ("prophet_forecast", "arima_forecast")

METRIC_NAMES = {
    "events": "Events per day",
    "sessions": "Sessions per day",
    "actors": "Actors per day",
    "mean_session_seconds": "Mean session of a day",
    "mean_latency_ms": "Mean upload latency of a day",
    HOURLY_METRIC: "Events per hour",
}

LEVELS = (80, 95)


def name_words(model: str) -> str:
    """A way to forecast as people call it."""
    return MODEL_NAMES.get(model, text.visible(model))


def metric_words(name: str) -> str:
    """A metric as people call it."""
    return METRIC_NAMES.get(name, text.visible(name))


def value_words(value: float | None, unit: str) -> str:
    """A metric's value for people."""
    if value is None:
        return text.NO_DATA
    if unit == "s":
        return text.duration(value)
    if unit == "ms":
        return f"{value:,.0f} ms"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.1f}"


@dataclass(frozen=True)
class Judged:
    """One way to forecast a metric up to one horizon, judged on what came."""

    metric: str
    unit: str
    step: str
    horizon: int
    model: str
    is_model: bool
    rank: int
    is_champion: bool
    points: int
    cuts: int
    mae: float
    rmse: float
    smape: float
    mase: float | None
    relative_mae: float | None
    cuts_won: float
    coverage80: float | None
    coverage95: float | None
    width80: float | None
    width95: float | None
    true_mae: float | None


def leaderboard(lake: Lake) -> list[Judged]:
    """Every way to forecast by metric, horizon and rank."""
    columns = ", ".join(Judged.__dataclass_fields__)
    rows = data.query(
        f"SELECT {columns} FROM {{files}} ORDER BY metric, horizon, rank",
        [lake.leaderboard("forecast")],
        LEADERBOARD_ASSET,
    )
    return [Judged(*row) for row in rows]


@dataclass(frozen=True)
class Forecast:
    """What is expected of a metric by one way to forecast."""

    expected: list[Expected]
    trained_until: datetime
    fallback_reason: str | None


def forecast(lake: Lake, metric: str, model: str, horizon: int) -> Forecast | None:
    """Forecast of a metric for the next `horizon` steps; None when there is none."""
    rows = data.query(
        "SELECT date, hour, mean, lo80, hi80, lo95, hi95, trained_until, fallback_reason FROM {files} "
        f"WHERE metric = {quoted(metric)} AND model = {quoted(model)} AND horizon <= {int(horizon)} ORDER BY horizon",
        [lake.model(LEADERBOARD_ASSET) / "forecast.parquet"],
        LEADERBOARD_ASSET,
    )
    if not rows:
        return None
    return Forecast([_expected(row) for row in rows], rows[0][7], rows[0][8])


def _expected(row: tuple[Any, ...]) -> Expected:
    day, hour, mean, low80, high80, low95, high95 = row[:7]
    moment = datetime(day.year, day.month, day.day, hour or 0)
    bands = {
        level: None if low is None or high is None else (low, high)
        for level, low, high in ((80, low80, high80), (95, low95, high95))
    }
    return Expected(moment.isoformat(), mean, bands)


def ways(lake: Lake, metric: str) -> list[str]:
    """Ways that a metric is forecast by, as in the file."""
    rows = data.query(
        f"SELECT DISTINCT model FROM {{files}} WHERE metric = {quoted(metric)} ORDER BY model",
        [lake.model(LEADERBOARD_ASSET) / "forecast.parquet"],
        LEADERBOARD_ASSET,
    )
    return [name for (name,) in rows]


def history(lake: Lake, metric: str, steps: int) -> list[Point]:
    """The last `steps` values of the series that was learned from; of the model that has it."""
    # Only ARIMA learns from hours.
    names = MODELS if metric != HOURLY_METRIC else MODELS[1:]
    found = [name for name in names if (lake.model(name) / "history.parquet").is_file()]
    name = (found or list(names))[0]
    rows = data.query(
        f"SELECT time, value FROM (SELECT * FROM {{files}} WHERE metric = {quoted(metric)} ORDER BY time DESC "
        f"LIMIT {int(steps)}) ORDER BY time",
        [lake.model(name) / "history.parquet"],
        name,
    )
    return [(moment.isoformat(), value) for moment, value in rows]


@dataclass(frozen=True)
class Backtest:
    """What came and what one model forecast before, at the cuts that count."""

    actual: list[Point]
    forecasts: list[tuple[str, list[tuple[str, float]]]]


def backtest(lake: Lake, metric: str, model: str, horizon: int) -> Backtest:
    """Judged forecasts of a model of `MODELS` for the steps up to `horizon`."""
    rows = data.query(
        f"SELECT cut, time, actual, mean FROM {{files}} WHERE metric = {quoted(metric)} AND judged "
        f"AND horizon <= {int(horizon)} ORDER BY cut, time",
        [lake.model(model) / "backtest.parquet"],
        model,
    )
    actual: dict[datetime, float | None] = {}
    forecasts: dict[datetime, list[tuple[str, float]]] = {}
    for cut, moment, came, mean in rows:
        actual[moment] = came
        forecasts.setdefault(cut, []).append((moment.isoformat(), mean))
    return Backtest(
        [(moment.isoformat(), actual[moment]) for moment in sorted(actual)],
        [(cut.isoformat(), points) for cut, points in forecasts.items()],
    )


@dataclass(frozen=True)
class Components:
    """Parts that Prophet adds up: the trend, the part of each weekday (Monday first), and the holidays that move it."""

    trend: list[tuple[str, float]]
    weekly: list[float]
    holidays: list[tuple[str, float]]


def components(lake: Lake, metric: str) -> Components | None:
    """Parts of Prophet's model of a metric; None when it has none."""
    rows = data.query(
        f"SELECT time, component, value FROM {{files}} WHERE metric = {quoted(metric)} ORDER BY time",
        [lake.model("prophet_forecast") / "components.parquet"],
        "prophet_forecast",
    )
    if not rows:
        return None
    parts: dict[str, list[tuple[datetime, float]]] = {}
    for moment, component, value in rows:
        parts.setdefault(component, []).append((moment, value))
    by_weekday: dict[int, list[float]] = {}
    for moment, value in parts.get("weekly", []):
        by_weekday.setdefault(moment.weekday(), []).append(value)
    weekly = [sum(by_weekday[day]) / len(by_weekday[day]) for day in range(7)] if len(by_weekday) == 7 else []
    return Components(
        [(moment.isoformat(), value) for moment, value in parts.get("trend", [])],
        weekly,
        [(moment.isoformat(), value) for moment, value in parts.get("holidays", []) if value],
    )


@dataclass(frozen=True)
class Anomaly:
    """A day that nobody could expect."""

    day: date
    rank: int
    direction: str
    actual: float
    expected: float
    low: float
    high: float
    score: float
    model: str
    holiday_share: float
    dimension: str | None
    value: str | None
    contribution: float | None


def anomalies(lake: Lake, metric: str) -> list[Anomaly]:
    """Days outside the 95 % interval, most surprising first."""
    rows = data.query(
        "SELECT date, rank, direction, actual, expected, lo95, hi95, score, model, holiday_share, dimension, value, "
        f"contribution FROM {{files}} WHERE metric = {quoted(metric)} ORDER BY rank",
        [lake.model(LEADERBOARD_ASSET) / "anomalies.parquet"],
        LEADERBOARD_ASSET,
    )
    return [Anomaly(*row) for row in rows]


@dataclass(frozen=True)
class Cause:
    """A value of a dimension and its part of a day's difference from the reference days."""

    value: str
    actual: float
    reference: float
    contribution: float


def causes(lake: Lake, metric: str, day: date) -> dict[str, list[Cause]]:
    """Parts of a surprising day's difference by dimension, largest first; of one dimension they add up to it."""
    rows = data.query(
        "SELECT dimension, value, actual, reference, contribution FROM {files} "
        f"WHERE metric = {quoted(metric)} AND date = DATE '{day.isoformat()}' "
        "ORDER BY dimension, abs(contribution) DESC, value",
        [lake.model(LEADERBOARD_ASSET) / "causes.parquet"],
        LEADERBOARD_ASSET,
    )
    found: dict[str, list[Cause]] = {}
    for dimension, *rest in rows:
        found.setdefault(dimension, []).append(Cause(*rest))
    return found
