"""Segments of actors with similar behaviour.

Put here: the asset that fits and publishes them over every materialized year. Keep out: the model
(``core/models/kmeans.py``), models of the next event (``next_event_models.py``).
"""

import time
from typing import Any

import dagster as dg
from pydantic import Field

from analytics_assets.checks.models import baseline_check_spec, check_baseline
from analytics_assets.checks.tables import check_schema, schema_check_spec
from analytics_assets.core.errors import PipelineError
from analytics_assets.core.files import (
    empty_folder,
    read_json,
    replace_folder,
    sha256_of,
    write_bytes,
    write_json,
    write_table,
    write_text,
)
from analytics_assets.core.lake import Lake
from analytics_assets.core.models.cards import kmeans_card
from analytics_assets.core.privacy import Privacy
from analytics_assets.metadata import attributes, column_schema, cost, failing_clearly, pictures, preview
from analytics_assets.resources.lake import LakeResource, in_lake
from analytics_assets.schemas import (
    KMEANS_ASSIGNMENTS,
    KMEANS_CHOICES,
    KMEANS_MOVES,
    KMEANS_PROFILES,
    KMEANS_REPRESENTATIVES,
)

TABLES = {
    "profiles": KMEANS_PROFILES,
    "choices": KMEANS_CHOICES,
    "representatives": KMEANS_REPRESENTATIVES,
    "moves": KMEANS_MOVES,
}
"""Tables beside ``assignments``."""


class KMeansConfig(dg.Config):
    """Settings of the segmentation."""

    years: list[str] = Field(
        default=[], description="Years to learn from; none named: every complete one that is materialized."
    )
    max_segments: int = Field(default=8, ge=1, le=20, description="Largest number of segments tried.")
    min_events: int = Field(default=20, ge=0, description="People with fewer events are labelled, not segmented.")
    min_active_days: int = Field(default=2, ge=0, description="The same for days with an event.")
    mix_weight: float = Field(
        default=2.0, ge=0, description="Weight of what people do against how much, how long and when."
    )
    seed: int = Field(default=7, ge=0, description="Seed of starts, bootstrap samples and random data.")


@dg.asset(
    group_name="models",
    # user_features describes actors year by year; here the same query describes them over all years.
    deps=["clean_events", "sessions", "user_features"],
    code_version="2",
    pool="training",
    check_specs=[
        schema_check_spec("kmeans_segments", KMEANS_ASSIGNMENTS),
        *(schema_check_spec("kmeans_segments", table, name=f"{name}_schema") for name, table in TABLES.items()),
        baseline_check_spec(
            "kmeans_segments",
            "shuffled_data",
            description="The silhouette beats that of the same data with every column shuffled: there is structure.",
        ),
    ],
    **attributes(column_schema(KMEANS_ASSIGNMENTS), layer="model", kinds={"scikitlearn", "parquet"}),
)
@in_lake
def kmeans_segments(
    context: dg.AssetExecutionContext, lake: LakeResource, config: KMeansConfig
) -> dg.MaterializeResult:
    """Segments of people with similar behaviour by KMeans; their number chosen by silhouette and bootstrap stability
    against random data, named by what sets them apart."""
    import pyarrow.parquet as pq

    from analytics_assets.core.features.engine import open_engine
    from analytics_assets.core.models import kmeans, kmeans_figures
    from analytics_assets.core.models.inputs import input_years, provenance

    data, started = lake.lake, time.perf_counter()
    folder, staged = data.model("kmeans_segments"), data.staging() / "model-kmeans_segments"
    with failing_clearly(folder):
        years = input_years(data, ["clean_events", "sessions"], config.years)
        with open_engine(data.staging() / "duckdb") as engine:
            segments, metrics, tables = kmeans.segment_actors(
                engine,
                [data.feature("clean_events", year) for year in years],
                [data.feature("sessions", year) for year in years],
                config.seed,
                config.max_segments,
                min_events=config.min_events,
                min_active_days=config.min_active_days,
                mix_weight=config.mix_weight,
            )
        if not metrics["actors"]:
            raise PipelineError(
                data.root / "features", "no event has an actor", "Check user_id and device_id in the exports."
            )
        context.log.info(f"{metrics['segments']} segments of {metrics['clustered_actors']:,} people")
        metrics["adjusted_rand_index"] = _agreement_with_truth(data, tables["assignments"])
        empty_folder(staged)
        segments.save(staged)
        for name, table in {"assignments": KMEANS_ASSIGNMENTS, **TABLES}.items():
            write_table(staged / f"{name}.parquet", tables[name], table)
        drawn = kmeans_figures.figures(metrics, tables)
        for name, content in drawn.items():
            write_bytes(staged / "figures" / name, content)
        write_text(staged / "card.md", kmeans_card(metrics, years))
        record = provenance(data, years, config.model_dump(), ("numpy", "scikit-learn"))
        write_json(staged / "metrics.json", {**metrics, **record})
        replace_folder(staged, folder)
    assignments = folder / "assignments.parquet"
    return dg.MaterializeResult(
        data_version=dg.DataVersion(sha256_of(assignments)),
        metadata={
            **{name: value for name, value in metrics.items() if isinstance(value, int | float)},
            "dagster/row_count": metrics["actors"],
            **cost(started),
            "names": metrics["names"],
            "sizes": metrics["sizes"],
            "input_years": years,
            "config": record["config"],
            "preview": preview(pq.read_table(assignments)),
            "card": dg.MetadataValue.md((folder / "card.md").read_text(encoding="utf-8")),
            "folder": dg.MetadataValue.path(str(folder)),
            **pictures(drawn),
        },
        check_results=[
            check_schema("kmeans_segments", KMEANS_ASSIGNMENTS, assignments),
            *(
                check_schema("kmeans_segments", table, folder / f"{name}.parquet", name=f"{name}_schema")
                for name, table in TABLES.items()
            ),
            check_baseline(
                "shuffled_data",
                model=metrics["silhouette"],
                reference=metrics["shuffled_silhouette"],
                severity=dg.AssetCheckSeverity.WARN,
            ),
        ],
    )


def _agreement_with_truth(lake: Lake, assignments: Any) -> float | None:
    """Adjusted Rand index against the personas of generated data; None for real data."""
    from analytics_assets.core.models.truth import persona_agreement

    if not lake.is_synthetic():
        return None
    return persona_agreement(read_json(lake.sample_truth()), assignments, Privacy.of(lake).shown)
