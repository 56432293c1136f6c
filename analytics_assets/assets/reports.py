"""Group ``reports``: what people and dashboards read.

Put here: assets that gather published figures. Keep out: their computation (``core/results``).
"""

import time
from typing import Any

import dagster as dg

from analytics_assets.checks.results import check_agreement, check_results_schema, results_check_specs
from analytics_assets.core.errors import PipelineError
from analytics_assets.core.files import read_json, sha256_of, write_json
from analytics_assets.metadata import attributes, cost, document_schema, failing_clearly, file_metadata
from analytics_assets.resources.lake import LakeResource
from analytics_assets.schemas import FEATURE_TABLES, METRICS, SUMMARY_TABLES

MODELS = (
    "markov_chain",
    "hidden_markov_model",
    "lstm_next_event",
    "xgboost_next_event",
    "next_event_leaderboard",
    "kmeans_segments",
    "prophet_forecast",
    "arima_forecast",
    "forecast_leaderboard",
)
"""Models and leaderboards whose metrics the results file carries."""

RESULT_FIELDS = {
    "results_version": "Version of this layout.",
    "years": "Years the figures cover.",
    "synthetic": "Whether the raw files are generated sample data.",
    "data_as_of": "Time of the last event, UTC.",
    "sources": "Per year: digest of the raw files and record counts.",
    "tables": "Per year: the feature tables, summaries and quality figures that there were.",
    "findings": "Ranked plain-language findings, each with its figure, comparison, effect, test and source asset.",
    "metrics": "Every published number with label, unit, denominator, population and source asset, over all, over "
    "people and without the most active actor.",
    "lists": "Rankings, series, matrices and distributions: events, paths, places, devices, times, sessions, actors.",
    "list_info": "Per list: source asset, what a row is, and the years it covers.",
    "quality": "Per year: the sections of the quality figures.",
    "models": "Metrics of every model and leaderboard by asset.",
}

HEADLINES = (
    "records_seen",
    "events",
    "users",
    "actors",
    "sessions",
    "event_types",
    "dropped_events",
    "session_seconds_mean",
    "session_seconds_median",
    "event_session_seconds_mean",
    "events_per_session_mean",
    "bounce_share",
    "noise_share",
    "top_actor_share",
    "scripted_event_share",
    "dau_mau",
    "week1_retention",
    "latency_ms_median",
    "latency_ms_p95",
)
"""Metrics shown as metadata of the asset; the file holds all."""


@dg.asset(
    group_name="reports",
    deps=[
        "event_chunks",
        *(table.name for table in FEATURE_TABLES),
        *(table.name for table in SUMMARY_TABLES),
        "data_quality",
        *MODELS,
    ],
    check_specs=results_check_specs(),
    code_version="3",
    **attributes(document_schema(RESULT_FIELDS), layer="report", kinds={"duckdb", "json"}),
)
def analysis_results(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
    """Every published figure over all years in one JSON file, each with unit, denominator, population and source, and a
    ranked list of findings in plain language."""
    from analytics_assets.core.features.engine import open_engine
    from analytics_assets.core.results import agreement
    from analytics_assets.core.results import analysis_results as compute
    from analytics_assets.core.results.frames import TABLES
    from analytics_assets.core.results.validation import violations

    data, started = lake.lake, time.perf_counter()
    path = data.analysis_results()
    with failing_clearly(path):
        years = sorted(set.intersection(*(set(data.feature_years(table)) for table in TABLES)))
        if not years:
            raise PipelineError(
                data.root / "features",
                f"no year has {', '.join(TABLES)}",
                "Materialize at least one year first.",
            )
        with open_engine(data.staging() / "duckdb") as engine:
            models = [name for name in MODELS if (data.model(name) / "metrics.json").is_file()]
            write_json(path, compute(engine, data, years, models))
            results = read_json(path)
            compared = agreement.comparisons(engine, data, results)
    values = {metric["name"]: metric["value"] for metric in results["metrics"]}
    context.log.info(f"{values['events']:,} events of {', '.join(years)} in {path}")
    return dg.MaterializeResult(
        data_version=dg.DataVersion(sha256_of(path)),
        metadata={
            **{name: values[name] for name in HEADLINES if values[name] is not None},
            "years": years,
            "findings": _findings(results["findings"]),
            "without_top_actor": _without_top_actor(results["metrics"]),
            **cost(started),
            **file_metadata(path),
        },
        check_results=[check_results_schema(violations(results)), check_agreement(compared)],
    )


_ESCAPED = str.maketrans({character: f"\\{character}" for character in "\\`*_{}[]<>()#+-.!|~&$"})
"""Event names come from outside: inside Markdown they must be nothing but text."""


def _findings(findings: list[dict[str, Any]]) -> dg.MetadataValue[str]:
    lines = [
        f"{entry['rank']}. **{entry['title'].translate(_ESCAPED)}**: {entry['text'].translate(_ESCAPED)} "
        f"({entry['source'].translate(_ESCAPED)})"
        for entry in findings
    ]
    return dg.MetadataValue.md("\n".join(lines) or "No finding has enough support.")


def _without_top_actor(metrics: list[dict[str, Any]]) -> dg.MetadataValue[str]:
    """The headlines beside the same without the most active actor."""
    lines = ["| metric | all | people | without the top actor |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {METRICS[metric['name']].label} [{metric['unit']}] "
        f"| {_shown(metric['value'])} | {_shown(metric['people'])} | {_shown(metric['without_top_actor'])} |"
        for metric in metrics
        if metric["by_population"] and metric["name"] in HEADLINES
    ]
    return dg.MetadataValue.md("\n".join(lines))


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
