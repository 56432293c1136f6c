"""Group ``reports``: what people and dashboards read.

Put here: assets that gather published figures. Keep out: their computation (``core/results``), and how notebooks and
figure files are made (``core/reports``).
"""

import time
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from analytics_assets.assets.features import YEARLY
from analytics_assets.checks.reports import (
    check_key_figures,
    check_no_network,
    figures_check_specs,
    notebook_check_specs,
)
from analytics_assets.checks.results import check_agreement, check_results_schema, results_check_specs
from analytics_assets.core.errors import PipelineError
from analytics_assets.core.files import empty_folder, read_json, replace_folder, sha256_of, write_bytes, write_json
from analytics_assets.metadata import attributes, cost, document_schema, failing_clearly, file_metadata, pictures
from analytics_assets.partitions import checked_by_year
from analytics_assets.resources.lake import LakeResource, in_lake
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
@in_lake
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


NOTEBOOK_FIELDS = {
    "cells": "Cells of the shipped template with their outputs: text, tables and pictures.",
    "metadata": "Kernel and language.",
}


@dg.asset(
    group_name="reports",
    deps=[
        "clean_events",
        "dropped_events",
        "sessions",
        "user_features",
        "daily_metrics",
        "data_quality",
        "spark_temporal_patterns",
        "spark_funnels",
        "spark_retention",
        "spark_latency",
    ],
    check_specs=checked_by_year(notebook_check_specs()),
    code_version="1",
    **YEARLY,
    **attributes(document_schema(NOTEBOOK_FIELDS), layer="report", kinds={"jupyter"}),
)
@in_lake
def exploration_notebook(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
    """An executed notebook of the year with key figures, plots and tables, to read as it is or to go on from in
    Jupyter."""
    from analytics_assets.core.reports import notebook

    year, data, started = context.partition_key, lake.lake, time.perf_counter()
    path = data.notebook(year)
    with failing_clearly(path):
        executed = notebook.execute(data, year)
        notebook.publish(executed, path)
    figures, quality = notebook.key_figures(executed), read_json(data.quality(year))
    context.log.info(f"{len(executed.cells)} cells executed into {path}")
    return dg.MaterializeResult(
        data_version=dg.DataVersion(sha256_of(path)),
        metadata={
            "cells": len(executed.cells),
            "key_figures": dg.MetadataValue.json(figures),
            "raw_digest": quality["raw_digest"],
            **cost(started),
            **file_metadata(path),
        },
        check_results=[check_key_figures(figures, quality)],
    )


FIGURE_FIELDS = {
    "index.html": "List of all charts.",
    "<chart>.html": "One chart with its description, source and numbers; it opens in any browser without a network.",
    "<chart>.png": "The same as an image, where a browser is installed.",
    "plotly.min.js": "The library that draws the charts.",
}


class FigureConfig(dg.Config):
    """What ``figures`` writes."""

    images: bool = Field(default=True, description="Write PNG images, too, where Chromium is installed.")


@dg.asset(
    group_name="reports",
    deps=["analysis_results", "forecast_leaderboard"],
    check_specs=figures_check_specs(),
    code_version="2",
    **attributes(document_schema(FIGURE_FIELDS), layer="report", kinds={"plotly"}),
)
@in_lake
def figures(context: dg.AssetExecutionContext, config: FigureConfig, lake: LakeResource) -> dg.MaterializeResult:
    """The main charts of the published figures and forecasts as files: interactive pages that need no network, and
    images where a browser is installed."""
    import pyarrow.parquet as pq

    from analytics_assets.core.reports import pages
    from analytics_assets.core.reports.charts import charts

    data, started = lake.lake, time.perf_counter()
    path, staged = data.figures(), data.staging() / "figures"
    with failing_clearly(path):
        source = data.analysis_results()
        if not source.is_file():
            raise PipelineError(source, "there is no such file", "Materialize analysis_results first.")
        results = read_json(source)
        forecasts = data.model("forecast_leaderboard") / "forecast.parquet"
        drawn = charts(results, pq.read_table(forecasts).to_pylist() if forecasts.is_file() else [])
        empty_folder(staged)
        pages.write_pages(staged, drawn, results)
        written, digest = pages.addresses(staged), pages.digest(staged)
        made, said = (
            _images(config, drawn, staged, data.staging() / "figure-images")
            if drawn
            else ({}, "There is nothing to draw.")
        )
        for name, content in made.items():
            write_bytes(staged / f"{name}.png", content)
        replace_folder(staged, path)
    context.log.info(f"{len(drawn)} charts and {len(made)} images in {path}")
    return dg.MaterializeResult(
        data_version=dg.DataVersion(digest),
        metadata={
            **pictures({f"{name}.png": content for name, content in made.items()}),
            "charts": len(drawn),
            "images": len(made),
            "images_note": said,
            "index": dg.MetadataValue.path(str(path / "index.html")),
            "years": results["years"],
            **cost(started),
        },
        check_results=[check_no_network(len(drawn) + 1, written)],
    )


def _images(config: FigureConfig, drawn: list[Any], staged: Path, work: Path) -> tuple[dict[str, bytes], str]:
    """PNG images of the charts by name, and what is to be said about them."""
    from analytics_assets.core.reports import images, pages

    if not config.images:
        return {}, "Images are switched off in the run configuration."
    program = images.browser()
    if program is None:
        return {}, "No Chromium is installed, so there are pages but no images."
    made = images.draw(drawn, staged / pages.SCRIPT, work, program)
    missing = [chart.name for chart in drawn if chart.name not in made]
    return made, f"Drawn by {program}." if not missing else f"{program} did not draw {', '.join(missing)}."
