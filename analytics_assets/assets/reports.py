"""Group ``reports``: what people and dashboards read.

Put here: assets that gather published figures. Keep out: their computation (``core/results.py``).
"""

import dagster as dg

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.files import sha256_of, write_json
from analytics_assets.metadata import attributes, document_schema, failing_clearly, file_metadata
from analytics_assets.resources.lake import LakeResource

MODELS = ("markov_chain", "kmeans_segments")
"""Models whose metrics the results file carries."""

RESULT_FIELDS = {
    "results_version": "Version of this layout.",
    "years": "Years the figures cover.",
    "synthetic": "Whether the raw files are generated sample data.",
    "data_as_of": "Time of the last event, UTC.",
    "sources": "Per year: digest of the raw files and record counts.",
    "metrics": "Every published number with label, unit, denominator, population and source asset.",
    "lists": "Ranked lists and series: events, transitions, places, devices, hours, weekdays, days.",
    "models": "Metrics of every model.",
}


@dg.asset(
    group_name="reports",
    deps=["event_chunks", "clean_events", "sessions", "daily_metrics", *MODELS],
    code_version="1",
    **attributes(document_schema(RESULT_FIELDS), layer="report", kinds={"duckdb", "json"}),
)
def analysis_results(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
    """Every published figure over all years in one JSON file, each with unit, denominator, population and source."""
    from analytics_assets.core.features.engine import open_engine
    from analytics_assets.core.results import analysis_results as compute

    data = lake.lake
    path = data.analysis_results()
    with failing_clearly(path):
        years = sorted(set(data.feature_years("clean_events")) & set(data.feature_years("sessions")))
        if not years:
            raise PipelineError(
                data.root / "features", "no year is materialized", "Materialize at least one year first."
            )
        with open_engine(data.staging() / "duckdb") as engine:
            models = [name for name in MODELS if (data.model(name) / "metrics.json").is_file()]
            results = compute(engine, data, years, models)
        write_json(path, results)
    headline = {metric["name"]: metric["value"] for metric in results["metrics"]}
    context.log.info(f"{headline['events']:,} events of {', '.join(years)} in {path}")
    return dg.MaterializeResult(
        data_version=dg.DataVersion(sha256_of(path)),
        metadata={
            **{name: value for name, value in headline.items() if value is not None},
            "years": years,
            **file_metadata(path),
        },
    )
