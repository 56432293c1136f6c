"""Group ``models``: models over every materialized year.

Put here: assets that train, score and publish a model. Keep out: the models (``core/models``).
"""

from collections.abc import Sequence
from typing import Any

import dagster as dg
from pydantic import Field

from analytics_assets.checks.models import baseline_check_spec, check_baseline
from analytics_assets.checks.tables import check_schema, schema_check_spec
from analytics_assets.core.errors import PipelineError
from analytics_assets.core.files import read_json, sha256_of, write_json, write_table, write_text
from analytics_assets.core.lake import Lake
from analytics_assets.core.models.cards import kmeans_card, markov_card
from analytics_assets.metadata import attributes, column_schema, failing_clearly, preview
from analytics_assets.resources.lake import LakeResource
from analytics_assets.schemas import KMEANS_ASSIGNMENTS, MARKOV_PREDICTIONS, MARKOV_TRANSITIONS


def _input_years(lake: Lake, tables: Sequence[str]) -> list[str]:
    """Years for which all tables exist; a failure when there is none."""
    years = sorted(set.intersection(*(set(lake.feature_years(table)) for table in tables)))
    if not years:
        raise PipelineError(
            lake.root / "features",
            f"no year has {' and '.join(tables)}",
            "Materialize at least one year, then the models.",
        )
    return years


def _provenance(lake: Lake, years: Sequence[str], config: dg.Config) -> dict[str, Any]:
    """What a model was made from, for its metrics file."""
    return {
        "input_years": list(years),
        "raw_digests": {year: read_json(lake.manifest(year))["raw_digest"] for year in years},
        "config": config.model_dump(),
    }


class MarkovConfig(dg.Config):
    """Settings of the Markov chain."""

    train_share: float = Field(default=0.8, gt=0, lt=1, description="Share of sessions, by start, to learn from.")


@dg.asset(
    group_name="models",
    deps=["clean_events"],
    code_version="1",
    pool="training",
    check_specs=[
        schema_check_spec("markov_chain", MARKOV_TRANSITIONS),
        baseline_check_spec(
            "markov_chain", "most_frequent", description="Order 1 beats always naming the most frequent event."
        ),
        baseline_check_spec("markov_chain", "repeat_last", description="Order 2 beats repeating the current event."),
    ],
    **attributes(column_schema(MARKOV_TRANSITIONS), layer="model", kinds={"numpy", "parquet"}),
)
def markov_chain(context: dg.AssetExecutionContext, lake: LakeResource, config: MarkovConfig) -> dg.MaterializeResult:
    """Which event follows: Markov chain of orders 1 and 2 with back-off, learned from the first sessions in time and
    scored on the last ones, next to the most frequent event and to repeating the current one."""
    from analytics_assets.core.features.engine import open_engine
    from analytics_assets.core.models import markov
    from analytics_assets.core.models.sequences import load_sequences

    data = lake.lake
    folder = data.model("markov_chain")
    with failing_clearly(folder):
        years = _input_years(data, ["clean_events"])
        with open_engine(data.staging() / "duckdb") as engine:
            sequences = load_sequences(engine, [data.feature("clean_events", year) for year in years])
        if not sequences.sessions:
            raise PipelineError(
                data.root / "features", "no event lies in a session", "Check session_id in the exports."
            )
        train = sequences.train_sessions(config.train_share)
        context.log.info(f"{sequences.sessions:,} sessions of {', '.join(years)}, {train:,} to learn from")
        model = markov.fit(sequences, train)
        metrics, predictions = markov.evaluate(model, sequences, train)
        model.save(folder)
        write_table(folder / "predictions.parquet", predictions, MARKOV_PREDICTIONS)
        write_text(folder / "card.md", markov_card(metrics, years))
        write_json(folder / "metrics.json", {**metrics, **_provenance(data, years, config)})
    import pyarrow.parquet as pq

    return dg.MaterializeResult(
        data_version=dg.DataVersion(sha256_of(folder / "transitions.parquet")),
        metadata={
            **{name: value for name, value in metrics.items() if isinstance(value, int | float)},
            "input_years": years,
            "preview": preview(pq.read_table(folder / "transitions.parquet").sort_by([("transitions", "descending")])),
            "folder": dg.MetadataValue.path(str(folder)),
        },
        check_results=[
            check_schema("markov_chain", MARKOV_TRANSITIONS, folder / "transitions.parquet"),
            check_baseline(
                "most_frequent",
                model=metrics["markov1_accuracy"],
                reference=metrics["most_frequent_accuracy"],
                severity=dg.AssetCheckSeverity.ERROR,
            ),
            check_baseline(
                "repeat_last",
                model=metrics["markov2_backoff_accuracy"],
                reference=metrics["repeat_accuracy"],
                severity=dg.AssetCheckSeverity.WARN,
            ),
        ],
    )


class KMeansConfig(dg.Config):
    """Settings of the segmentation."""

    max_segments: int = Field(default=8, ge=2, le=20, description="Largest number of segments tried.")
    seed: int = Field(default=7, description="Seed of the starts.")


@dg.asset(
    group_name="models",
    # user_features describes actors year by year; here the same query describes them over all years.
    deps=["clean_events", "sessions", "user_features"],
    code_version="1",
    pool="training",
    check_specs=[
        schema_check_spec("kmeans_segments", KMEANS_ASSIGNMENTS),
        baseline_check_spec(
            "kmeans_segments",
            "shuffled_data",
            description="The silhouette beats that of the same data with every column shuffled: there is structure.",
        ),
    ],
    **attributes(column_schema(KMEANS_ASSIGNMENTS), layer="model", kinds={"scikitlearn", "parquet"}),
)
def kmeans_segments(
    context: dg.AssetExecutionContext, lake: LakeResource, config: KMeansConfig
) -> dg.MaterializeResult:
    """Segments of actors with similar behaviour by KMeans, the number of segments chosen by silhouette."""
    import pyarrow.parquet as pq

    from analytics_assets.core.features.engine import open_engine
    from analytics_assets.core.models import kmeans

    data = lake.lake
    folder = data.model("kmeans_segments")
    with failing_clearly(folder):
        years = _input_years(data, ["clean_events", "sessions"])
        with open_engine(data.staging() / "duckdb") as engine:
            behaviour = kmeans.load_behaviour(
                engine,
                [data.feature("clean_events", year) for year in years],
                [data.feature("sessions", year) for year in years],
            )
        if not behaviour.actors:
            raise PipelineError(
                data.root / "features", "no event has an actor", "Check user_id and device_id in the exports."
            )
        segments, metrics = kmeans.fit(behaviour, config.seed, config.max_segments)
        metrics["adjusted_rand_index"] = _agreement_with_truth(data, kmeans.assignments(segments, behaviour))
        segments.save(folder)
        assignments = folder / "assignments.parquet"
        write_table(assignments, kmeans.assignments(segments, behaviour), KMEANS_ASSIGNMENTS)
        write_text(folder / "card.md", kmeans_card(metrics, years, kmeans.MIN_EVENTS))
        write_json(folder / "metrics.json", {**metrics, **_provenance(data, years, config)})
    return dg.MaterializeResult(
        data_version=dg.DataVersion(sha256_of(assignments)),
        metadata={
            **{name: value for name, value in metrics.items() if isinstance(value, int | float)},
            "dagster/row_count": metrics["actors"],
            "names": segments.names,
            "sizes": metrics["sizes"],
            "input_years": years,
            "preview": preview(pq.read_table(assignments)),
            "folder": dg.MetadataValue.path(str(folder)),
        },
        check_results=[
            check_schema("kmeans_segments", KMEANS_ASSIGNMENTS, assignments),
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
    from analytics_assets.core.models.evaluation import persona_agreement
    from analytics_assets.core.privacy import Privacy

    if not lake.is_synthetic():
        return None
    return persona_agreement(read_json(lake.sample_truth()), assignments, Privacy.of(lake).shown)
