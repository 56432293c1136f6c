"""Forecasts of daily metrics, and which of them to trust.

Put here: the assets of Prophet, ARIMA and their leaderboard. Keep out: what they compute (``core/forecasts``).
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field, field_validator

from analytics_assets.checks.forecasts import (
    beats_naive_check_spec,
    check_beats_naive,
    check_coverage,
    check_mase,
    check_same_series,
    coverage_check_spec,
    leaderboard_check_specs,
)
from analytics_assets.checks.tables import check_schema, schema_check_spec
from analytics_assets.core.files import empty_folder, read_json, replace_folder, sha256_of, write_json, write_table
from analytics_assets.core.lake import Lake
from analytics_assets.metadata import attributes, column_schema, cost, failing_clearly, file_metadata, pictures, preview
from analytics_assets.resources.lake import LakeResource, in_lake
from analytics_assets.schemas import (
    FORECAST_LEADERBOARD,
    FORECAST_METRICS,
    FORECAST_TABLES,
    FORECASTS,
    HOURLY_METRIC,
)

if TYPE_CHECKING:
    from analytics_assets.core.forecasts.training import Way

SHOWN_COLUMNS = ["metric", "horizon", "model", "rank", "mae", "relative_mae", "mase", "coverage80", "coverage95"]


class ForecastConfig(dg.Config):
    """Settings that both forecasting models share."""

    metrics: list[str] = Field(
        default=list(FORECAST_METRICS),
        description="Columns of daily_metrics to forecast; for ARIMA also events_per_hour.",
    )
    years: list[str] = Field(
        default=[], description="Years to learn from; none named: every complete one that is materialized."
    )
    origins: int = Field(
        default=12,
        ge=1,
        le=60,
        description="Points in time that the backtest forecasts from; of at least 12, four serve to choose settings.",
    )
    holidays: bool = Field(
        default=True,
        description="Offer public holidays, weighed by the countries' shares of events; used where they help.",
    )
    workers: int = Field(default=2, ge=1, le=16, description="Metrics fitted at a time, each in a process of its own.")

    @field_validator("metrics")
    @classmethod
    def _known_metrics(cls, metrics: list[str]) -> list[str]:
        known = cls.known_metrics()
        if not metrics or len(set(metrics)) < len(metrics) or not set(metrics) <= set(known):
            raise ValueError(f"name at least one of {', '.join(known)}, each once")
        return metrics

    @classmethod
    def known_metrics(cls) -> tuple[str, ...]:
        """Metrics that the model can forecast."""
        return tuple(FORECAST_METRICS)


class ProphetConfig(ForecastConfig):
    """Settings of Prophet."""

    changepoint_priors: list[float] = Field(
        default=[0.01, 0.05, 0.1], description="Flexibilities of the trend that are tried, from stiff to supple."
    )
    seed: int = Field(default=7, ge=0, description="Seed of the simulated trends behind the model's own intervals.")

    @field_validator("changepoint_priors")
    @classmethod
    def _positive_priors(cls, priors: list[float]) -> list[float]:
        if not priors or min(priors) <= 0:
            raise ValueError("name at least one flexibility, each above 0")
        return priors


class ArimaConfig(ForecastConfig):
    """Settings of ARIMA."""

    metrics: list[str] = Field(
        default=[*FORECAST_METRICS, HOURLY_METRIC],
        description="Columns of daily_metrics to forecast, and events_per_hour.",
    )
    max_lags: int = Field(default=3, ge=0, le=5, description="Largest p and q that are tried.")
    hourly_days: int = Field(
        default=56, ge=15, le=365, description="Days of hourly history that the next day is forecast from."
    )

    @classmethod
    def known_metrics(cls) -> tuple[str, ...]:
        """Metrics that the model can forecast."""
        return (*FORECAST_METRICS, HOURLY_METRIC)


def _schema_check_specs(asset: str) -> list[dg.AssetCheckSpec]:
    tables = FORECAST_TABLES[asset].items()
    return [schema_check_spec(asset, table, name=f"{file}_schema") for file, table in tables]


def _check_schemas(asset: str, folder: Path) -> list[dg.AssetCheckResult]:
    tables = FORECAST_TABLES[asset].items()
    return [check_schema(asset, table, folder / f"{file}.parquet", name=f"{file}_schema") for file, table in tables]


def _model_check_specs(asset: str) -> list[dg.AssetCheckSpec]:
    return [*_schema_check_specs(asset), beats_naive_check_spec(asset), coverage_check_spec(asset)]


def _publish(
    context: dg.AssetExecutionContext,
    lake: Lake,
    config: ForecastConfig,
    *,
    way: "Way",
    title: str,
    packages: tuple[str, ...],
    **reading: int,
) -> dg.MaterializeResult:
    """Forecast every metric by one model and publish the result; `reading` goes to ``load_series``."""
    import pyarrow.parquet as pq

    from analytics_assets.core.forecasts.inputs import load_series
    from analytics_assets.core.forecasts.training import ARTEFACTS, Trained, train, write_forecasts
    from analytics_assets.core.models.inputs import input_years, provenance

    folder, staged, started = lake.model(way.name), lake.staging() / f"model-{way.name}", time.perf_counter()
    with failing_clearly(folder):
        years = input_years(lake, ["clean_events", "sessions", "daily_metrics"], config.years)
        series = load_series(
            lake,
            years,
            config.metrics,
            holidays=config.holidays,
            origins=config.origins,
            **reading,
        )
        empty_folder(staged)

        def told(one: Trained) -> None:
            found = one.found
            how = f"{found.model} instead, because {found.reason}" if found.reason else f"{len(found.origins)} cuts"
            context.log.info(f"{found.series.metric}: {len(found.series)} steps, {how}, {one.seconds:.1f} s")

        trained = train(series, way, staged / ARTEFACTS, origins=config.origins, workers=config.workers, progress=told)
        record = provenance(lake, years, config.model_dump(), packages)
        metrics, drawn = write_forecasts(staged, title, way, trained, record)
        replace_folder(staged, folder)
    found = metrics["metrics"]
    judged = {name: figures["horizons"][-1] for name, figures in found.items() if figures["horizons"]}
    forecast = folder / "forecast.parquet"
    return dg.MaterializeResult(
        data_version=dg.DataVersion(sha256_of(forecast)),
        metadata={
            **{f"relative_mae_{name}": row["relative_mae"] for name, row in judged.items() if row["relative_mae"]},
            **{f"coverage95_{name}": row["coverage95"] for name, row in judged.items() if row["coverage95"]},
            "dagster/row_count": pq.read_metadata(forecast).num_rows,
            "fallbacks": {name: row["fallback_reason"] for name, row in found.items() if row["fallback_reason"]},
            **cost(started),
            "input_years": years,
            "config": metrics["config"],
            "versions": metrics["versions"],
            "preview": preview(pq.read_table(forecast)),
            "card": dg.MetadataValue.md((folder / "card.md").read_text(encoding="utf-8")),
            "folder": dg.MetadataValue.path(str(folder)),
            **pictures(drawn),
        },
        check_results=[*_check_schemas(way.name, folder), check_beats_naive(found), check_coverage(found)],
    )


DEPS = ["daily_metrics", "clean_events", "sessions"]


@dg.asset(
    group_name="models",
    deps=DEPS,
    code_version="1",
    pool="training",
    check_specs=_model_check_specs("prophet_forecast"),
    **attributes(column_schema(FORECASTS), layer="model", kinds={"prophet", "parquet"}),
)
@in_lake
def prophet_forecast(
    context: dg.AssetExecutionContext, lake: LakeResource, config: ProphetConfig
) -> dg.MaterializeResult:
    """The next 30 days of every daily metric by Prophet: trend, seasons and holidays chosen by backtest, intervals
    calibrated on it."""
    from analytics_assets.core.forecasts.training import ProphetWay

    return _publish(
        context,
        lake.lake,
        config,
        way=ProphetWay(tuple(config.changepoint_priors), config.holidays, config.seed),
        title="Forecast by Prophet",
        packages=("prophet", "holidays", "numpy", "pandas"),
    )


@dg.asset(
    group_name="models",
    deps=DEPS,
    code_version="1",
    pool="training",
    check_specs=_model_check_specs("arima_forecast"),
    **attributes(column_schema(FORECASTS), layer="model", kinds={"statsmodels", "parquet"}),
)
@in_lake
def arima_forecast(context: dg.AssetExecutionContext, lake: LakeResource, config: ArimaConfig) -> dg.MaterializeResult:
    """The next 30 days of every daily metric and the next 24 hours of events by ARIMA with harmonic regression: order
    by unit-root tests and AICc, intervals calibrated on the backtest, periods tested against red noise."""
    from analytics_assets.core.forecasts.training import ArimaWay

    return _publish(
        context,
        lake.lake,
        config,
        way=ArimaWay(config.max_lags, config.holidays),
        title="Forecast by ARIMA",
        packages=("statsmodels", "holidays", "numpy", "scipy"),
        hourly_days=config.hourly_days,
    )


@dg.asset(
    group_name="models",
    deps=["prophet_forecast", "arima_forecast", *DEPS],
    code_version="1",
    check_specs=[
        schema_check_spec("forecast_leaderboard", FORECAST_LEADERBOARD),
        *_schema_check_specs("forecast_leaderboard"),
        *leaderboard_check_specs("forecast_leaderboard"),
    ],
    **attributes(column_schema(FORECAST_LEADERBOARD), layer="report", kinds={"parquet"}),
)
@in_lake
def forecast_leaderboard(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
    """Which forecast to trust, by metric and horizon: both models beside naive forecasts, means and exponential
    smoothing on the same backtest; and the days of the last year that the best could not expect, with what moved."""
    import pyarrow.parquet as pq

    from analytics_assets.core.forecasts.comparing import compare

    data, started = lake.lake, time.perf_counter()
    path, folder, staged = (
        data.leaderboard("forecast"),
        data.model("forecast_leaderboard"),
        data.staging() / "model-forecast_leaderboard",
    )
    with failing_clearly(path):
        compared = compare(data, _true_daily_events(data))
        empty_folder(staged)
        for name, rows in (
            ("forecast", compared.forecasts),
            ("anomalies", compared.anomalies),
            ("causes", compared.causes),
        ):
            write_table(staged / f"{name}.parquet", rows, FORECAST_TABLES["forecast_leaderboard"][name])
        details: dict[str, Any] = {
            "champions": compared.champions,
            "best": compared.best,
            "left_out": compared.left_out,
            "input_years": compared.years,
        }
        write_json(staged / "metrics.json", details)
        replace_folder(staged, folder)
        write_table(path, compared.leaderboard, FORECAST_LEADERBOARD)
    rows = pq.read_table(path).to_pylist()
    context.log.info(f"best: {compared.champions}")
    return dg.MaterializeResult(
        data_version=dg.DataVersion(sha256_of(path)),
        metadata={
            "champions": compared.champions,
            **{f"mae_{row['metric']}_{row['horizon']}": row["mae"] for row in rows if row["is_champion"]},
            "dagster/row_count": len(rows),
            "anomalies": compared.anomalies.num_rows,
            "left_out": compared.left_out,
            "preview": preview(pq.read_table(path, columns=SHOWN_COLUMNS)),
            "surprising_days": preview(compared.anomalies.sort_by([("score", "descending")])),
            "folder": dg.MetadataValue.path(str(folder)),
            **cost(started),
            **file_metadata(path),
        },
        check_results=[
            check_schema("forecast_leaderboard", FORECAST_LEADERBOARD, path),
            *_check_schemas("forecast_leaderboard", folder),
            check_same_series(compared.left_out),
            check_mase(rows),
        ],
    )


def _true_daily_events(lake: Lake) -> dict[Any, float] | None:
    """Expected events by date of generated data; None for real data, of which nobody knows them."""
    import datetime as dt

    if not lake.is_synthetic():
        return None
    expected = read_json(lake.sample_truth())["expected_daily_events"]
    return {dt.date.fromisoformat(day): float(value) for day, value in expected.items()}
