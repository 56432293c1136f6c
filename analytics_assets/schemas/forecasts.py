"""What is forecast, and the tables of forecasts.

Put here: metrics, columns, files. Keep out: how they are computed (``core/forecasts``).
"""

from __future__ import annotations

from analytics_assets.schemas.columns import Column, Table, count, real, text, time

FORECAST_METRICS: dict[str, str] = {
    "events": "events",
    "sessions": "sessions",
    "actors": "actors",
    "mean_session_seconds": "s",
    "mean_latency_ms": "ms",
}
"""Columns of ``DAILY_METRICS`` that are forecast, with their units."""

HOURLY_METRIC = "events_per_hour"
"""Events by hour, which ARIMA forecasts for the next day."""

_METRIC = text("metric", "Column of daily_metrics, or events_per_hour.", nullable=False)
_MODEL = text("model", "Model, baseline, or the fallback that stands in for a model.", nullable=False)
_HORIZON = Column("horizon", "int64", "Steps ahead: days, for events_per_hour hours.", nullable=False)
_UNIT = text("unit", "Unit of the values; a thing that is counted, or s, ms.", nullable=False)


def _bands(what: str, prefix: str = "") -> tuple[Column, ...]:
    """Ends of the 80 % and the 95 % interval."""
    return tuple(
        real(f"{prefix}{end}{level}", f"{name} end of the {what} {level} % interval; null where it is withheld.")
        for level in (80, 95)
        for end, name in (("lo", "Lower"), ("hi", "Upper"))
    )


FORECASTS = Table(
    "forecasts",
    "What is expected of every metric, by model.",
    (
        _METRIC,
        _UNIT,
        _MODEL,
        _HORIZON,
        Column("date", "date", "UTC date that is forecast.", nullable=False),
        Column("hour", "int64", "UTC hour of the date; null for daily metrics.", unit="h"),
        real("mean", "Expected value; null when no value of the metric is known."),
        *_bands("calibrated"),
        time("trained_until", "Start of the last day or hour that the model learned from.", nullable=False),
        text("fallback_reason", "Why a fallback stands in for the model; null when none does."),
    ),
    key=("metric", "model", "horizon"),
)

FORECAST_BACKTEST = Table(
    "forecast_backtest",
    "What would have been forecast from earlier points in time, and what came.",
    (
        _METRIC,
        _MODEL,
        time("cut", "Start of the last day or hour known to the forecast.", nullable=False),
        _HORIZON,
        time("time", "Start of the day or hour that is forecast.", nullable=False),
        real("actual", "What came; null where unknown."),
        real("mean", "Expected value.", nullable=False),
        real("centre", "Median on the model's scale (metrics.json says which).", nullable=False),
        real("spread", "Standard deviation on the model's scale.", nullable=False),
        *_bands("calibrated"),
        *_bands("model's own", "native_"),
        Column("judged", "bool", "Whether it counts for measures; others served to choose settings.", nullable=False),
    ),
    key=("metric", "model", "cut", "horizon"),
)

FORECAST_HISTORY = Table(
    "forecast_history",
    "The series that were learned from, on a complete index.",
    (
        _METRIC,
        _UNIT,
        time("time", "Start of the day or hour.", nullable=False),
        real("value", "Value; null where unknown: outside delivered years, and means of nothing."),
        real("holiday_share", "Share of events from countries on holiday.", "share", nullable=False),
    ),
    key=("metric", "time"),
)

FORECAST_COMPONENTS = Table(
    "forecast_components",
    "Parts that Prophet adds up, on its scale (metrics.json says which).",
    (
        _METRIC,
        time("time", "Start of the day.", nullable=False),
        text("component", "trend, weekly, yearly or holidays.", nullable=False),
        real("value", "Part on the model's scale.", nullable=False),
    ),
    key=("metric", "time", "component"),
)

FORECAST_CYCLES = Table(
    "forecast_cycles",
    "Periods with more power than red noise gives, strongest first; no row for a metric without any.",
    (
        _METRIC,
        real("period", "Days; for events_per_hour hours.", nullable=False),
        real("power_ratio", "Power over the spectrum of the fitted AR(1) process.", nullable=False),
        real("p_value", "Chance of such a ratio in red noise.", nullable=False, minimum=0, maximum=1),
        real("q_value", "False discovery rate over all frequencies.", nullable=False, minimum=0, maximum=1),
        real("autocorrelation", "At the lag nearest to the period.", nullable=False, minimum=-1, maximum=1),
        Column(
            "autocorrelation_significant", "bool", "Whether that is outside Bartlett's 95 % interval.", nullable=False
        ),
    ),
    key=("metric", "period"),
)

FORECAST_LEADERBOARD = Table(
    "forecast_leaderboard",
    "Models and baselines on the same backtest, by metric and horizon: which forecast to trust.",
    (
        _METRIC,
        _UNIT,
        text("step", "day or hour.", nullable=False),
        Column("horizon", "int64", "Judged over the steps from 1 to this many ahead.", nullable=False),
        _MODEL,
        Column("is_model", "bool", "Whether it is a published model, not a baseline.", nullable=False),
        Column(
            "rank",
            "int64",
            "Place by rmse, from 1: a mean minimizes it. Of equals the simpler one is first.",
            nullable=False,
        ),
        Column("is_champion", "bool", "Whether it is first.", nullable=False),
        count("points", "Forecasts whose outcome is known."),
        count("cuts", "Points in time forecast from."),
        real("mae", "Mean absolute error.", nullable=False, minimum=0),
        real("rmse", "Root mean squared error.", nullable=False),
        real("smape", "Mean of 2 |actual - mean| / (actual + mean), 0 to 2.", nullable=False, minimum=0, maximum=2),
        real(
            "mase",
            "Mean absolute error over that of the seasonal naive forecast one season ahead inside what was known; null "
            "where the latter is 0.",
        ),
        real("relative_mae", "mae / mae of seasonal_naive on the same points; null where the latter is 0."),
        real("cuts_won", "Share of the cuts with a smaller error than seasonal_naive.", "share", nullable=False),
        real("pinball", "Mean pinball loss of the calibrated 2.5, 10, 90 and 97.5 % quantiles."),
        *(
            column
            for level in (80, 95)
            for column in (
                real(f"coverage{level}", f"Share of outcomes inside the calibrated {level} % interval.", "share"),
                real(f"native_coverage{level}", f"Share inside the model's own {level} % interval.", "share"),
                real(f"width{level}", f"Mean width of the calibrated {level} % interval."),
            )
        ),
        real("true_mae", "Mean absolute difference from the true mean; null for real data, where nobody knows it."),
    ),
    key=("metric", "horizon", "model"),
)

FORECAST_ANOMALIES = Table(
    "forecast_anomalies",
    "Days outside the calibrated 95 % interval of the best model's backtest, most surprising first.",
    (
        _METRIC,
        _UNIT,
        Column("date", "date", "UTC date.", nullable=False),
        Column("rank", "int64", "Place within the metric by score, from 1.", nullable=False),
        text("direction", "high or low.", nullable=False),
        real("actual", "What came.", nullable=False),
        real("expected", "Forecast mean.", nullable=False),
        real("lo95", "Lower end of the interval.", nullable=False),
        real("hi95", "Upper end.", nullable=False),
        real("score", "Distance from the centre over the interval's half-width, on the model's scale.", nullable=False),
        _MODEL,
        Column("horizon", "int64", "Days between forecast and date.", nullable=False, unit="days"),
        real("holiday_share", "Share of events from countries on holiday that day.", "share", nullable=False),
        text(
            "dimension", "country, device_family or event_type: where one value moved most; null without a reference."
        ),
        text("value", "That value."),
        real("contribution", "Its part of the difference from the reference days (see forecast_causes)."),
    ),
    key=("metric", "date"),
)

FORECAST_CAUSES = Table(
    "forecast_causes",
    "An anomalous day's difference from the mean of the same weekday in the four weeks before, split so that the parts "
    "of one dimension add up to it exactly. Actors active in several parts are shared evenly between them.",
    (
        _METRIC,
        Column("date", "date", "UTC date.", nullable=False),
        text("dimension", "country, device_family or event_type.", nullable=False),
        text("value", "Value of the dimension, (unknown) for none.", nullable=False),
        real("actual", "Its part of the day's value; of means, its distance from the reference's.", nullable=False),
        real("reference", "The same of the reference days.", nullable=False),
        real("contribution", "actual - reference.", nullable=False),
    ),
    key=("metric", "date", "dimension", "value"),
)

_MODEL_TABLES = {"forecast": FORECASTS, "backtest": FORECAST_BACKTEST, "history": FORECAST_HISTORY}

FORECAST_TABLES: dict[str, dict[str, Table]] = {
    "prophet_forecast": {**_MODEL_TABLES, "components": FORECAST_COMPONENTS},
    "arima_forecast": {**_MODEL_TABLES, "cycles": FORECAST_CYCLES},
    "forecast_leaderboard": {"forecast": FORECASTS, "anomalies": FORECAST_ANOMALIES, "causes": FORECAST_CAUSES},
}
"""Tables in each asset's folder by file name; the leaderboard itself is in ``reports``."""
