"""Models of a session's next event, and the leaderboard that compares them.

Put here: the assets with their settings. Keep out: what they share (``next_event_training.py``), the models
(``core/models``), segments of actors (``segments.py``).
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import dagster as dg
from pydantic import Field

from analytics_assets.assets.next_event_training import (
    NextEventConfig,
    materialize_model,
    model_attributes,
    model_check_specs,
)
from analytics_assets.checks.models import (
    CROWNED,
    check_beats_simpler,
    check_optimum,
    check_same_test_sessions,
    leaderboard_check_specs,
)
from analytics_assets.checks.tables import check_schema, schema_check_spec
from analytics_assets.core.files import read_json, sha256_of, write_json, write_table
from analytics_assets.core.privacy import Privacy
from analytics_assets.metadata import attributes, column_schema, cost, failing_clearly, file_metadata, preview
from analytics_assets.resources.lake import LakeResource, in_lake
from analytics_assets.schemas import (
    HMM_EMISSIONS,
    HMM_STATE_HOURS,
    HMM_STATES,
    HMM_TRANSITIONS,
    MARKOV_EDGES,
    MARKOV_FLOWS,
    MARKOV_GOALS,
    MARKOV_ORDERS,
    MARKOV_PERIODS,
    MARKOV_PREDICTIONS,
    MARKOV_STATES,
    MARKOV_TRANSITIONS,
    MARKOV_WHAT_IF,
    NEXT_EVENT_LEADERBOARD,
)

if TYPE_CHECKING:
    from analytics_assets.core.models.next_event import Task
    from analytics_assets.core.models.training import SavedModel, Trained


class MarkovConfig(NextEventConfig):
    """Settings of the Markov chain."""

    streams: list[str] = Field(
        default=["intent", "raw", "screen"],
        description="Streams to learn, the first one is the headline: intent (no noise, runs collapsed), raw, screen.",
    )
    max_order: int = Field(default=5, ge=0, le=7, description="Longest context tried, in events.")
    goals: list[str] = Field(
        default=[], description="Events whose chance and distance are computed; none: chosen from the exit events."
    )


MARKOV_TABLES = {
    "transitions": MARKOV_TRANSITIONS,
    "predictions": MARKOV_PREDICTIONS,
    "edges": MARKOV_EDGES,
    "states": MARKOV_STATES,
    "goals": MARKOV_GOALS,
    "orders": MARKOV_ORDERS,
    "what_if": MARKOV_WHAT_IF,
    "periods": MARKOV_PERIODS,
    "flows": MARKOV_FLOWS,
}


@dg.asset(
    group_name="models",
    deps=["clean_events"],
    code_version="2",
    pool="training",
    check_specs=model_check_specs("markov_chain", MARKOV_TABLES),
    **model_attributes({"numpy"}),
)
@in_lake
def markov_chain(context: dg.AssetExecutionContext, lake: LakeResource, config: MarkovConfig) -> dg.MaterializeResult:
    """Which event follows: Markov chain of variable order with back-off, its order chosen on validation sessions; where
    journeys lead, how long they take and what each event contributes; plain transition counts of all raw events."""
    from analytics_assets.core.models import markov, markov_analysis, markov_figures, transitions
    from analytics_assets.core.models.training import Details

    def fit(task: "Task") -> tuple["SavedModel", dict[str, Any]]:
        return markov.fit(task.train, task.validation, max_order=config.max_order)

    def details(trained: "Trained") -> Details:
        goals = [goal for goal in config.goals if goal in trained.task.train.vocabulary]
        figures, tables = markov_analysis.analysis(trained.task.train, goals=goals, seed=config.seed)
        return Details(markov_figures.figures(tables, trained.training), {"analysis": figures}, tables)

    def publish(folder: Path, engine: Any, files: list[Path]) -> Mapping[str, Any]:
        counted, figures, predictions = transitions.reference(engine, files, config.train_share)
        counted.save(folder / "transitions.parquet")
        write_table(folder / "predictions.parquet", predictions, MARKOV_PREDICTIONS)
        return figures

    return materialize_model(
        context,
        lake.lake,
        config,
        name="markov_chain",
        title="Markov chain",
        packages=("numpy", "scipy"),
        fit=fit,
        details=details,
        tables=MARKOV_TABLES,
        publish=publish,
    )


class HiddenMarkovConfig(NextEventConfig):
    """Settings of the hidden Markov model."""

    max_states: int = Field(default=12, ge=1, le=20, description="Largest number of hidden states tried.")
    search_events: int = Field(
        default=40_000, ge=100, description="Training events, in whole sessions, to compare numbers of states."
    )
    fit_events: int = Field(
        default=150_000, ge=100, description="Training events, in whole sessions, for the chosen number."
    )
    max_iterations: int = Field(default=200, ge=1, le=1000, description="Cap on the iterations of each fit.")


HMM_TABLES = {table.name: table for table in (HMM_STATES, HMM_EMISSIONS, HMM_STATE_HOURS, HMM_TRANSITIONS)}


@dg.asset(
    group_name="models",
    deps=["clean_events"],
    code_version="1",
    pool="training",
    check_specs=model_check_specs("hidden_markov_model", HMM_TABLES),
    **model_attributes({"numpy"}),
)
@in_lake
def hidden_markov_model(
    context: dg.AssetExecutionContext, lake: LakeResource, config: HiddenMarkovConfig
) -> dg.MaterializeResult:
    """What people are up to: hidden states behind the events, their number chosen by held-out bits, named by their most
    telling events, with their dwell, their hours and the moves between them."""
    from analytics_assets.core.models import hmm, hmm_figures, hmm_tables
    from analytics_assets.core.models.hmm_recovery import recovery
    from analytics_assets.core.models.training import Details

    data = lake.lake

    def fit(task: "Task") -> tuple["SavedModel", dict[str, Any]]:
        return hmm.fit(task.train, task.validation, **config.own_settings, seed=config.seed)

    def details(trained: "Trained") -> Details:
        model = cast("hmm.HiddenMarkov", trained.model)
        tables = hmm_tables.tables(model, trained.task.train)
        found = None
        if data.is_synthetic() and trained.task.stream == "intent":
            found = recovery(model, read_json(data.sample_truth()), trained.task.test, shown=Privacy.of(data).shown)
        return Details(hmm_figures.figures(model, trained.training, tables), {"recovery": found}, tables)

    return materialize_model(
        context,
        data,
        config,
        name="hidden_markov_model",
        title="Hidden Markov model",
        packages=("numpy", "hmmlearn", "scikit-learn"),
        fit=fit,
        details=details,
        tables=HMM_TABLES,
    )


class LstmConfig(NextEventConfig):
    """Settings of the LSTM."""

    embedding: int = Field(default=32, ge=1, le=512, description="Numbers that describe an event type.")
    units: int = Field(default=64, ge=1, le=1024, description="Units of the recurrent layer.")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="Share of units left out in training.")
    epochs: int = Field(default=40, ge=1, le=500, description="Most passes over the training sessions.")
    patience: int = Field(default=3, ge=1, description="Passes without progress on validation after which it ends.")
    max_sessions: int = Field(default=30_000, ge=1, description="More training sessions than this are sampled.")
    max_length: int = Field(default=50, ge=2, le=1000, description="Longer sessions are cut into stretches.")
    use_history: bool = Field(default=True, description="Whether the actor's earlier sessions are an input.")
    class_weight: bool = Field(default=False, description="Whether rare events count more in training.")
    sample_shares: list[float] = Field(
        default=[], description="Shares of the sessions with which training is repeated to show what more bring."
    )
    threads: int = Field(default=2, ge=1, le=256, description="Threads of TensorFlow.")


@dg.asset(
    group_name="models",
    deps=["clean_events"],
    code_version="1",
    pool="training",
    check_specs=model_check_specs("lstm_next_event"),
    **model_attributes({"tensorflow"}),
)
@in_lake
def lstm_next_event(context: dg.AssetExecutionContext, lake: LakeResource, config: LstmConfig) -> dg.MaterializeResult:
    """Which event follows: a recurrent network (LSTM) over the whole session, its times, the device and the actor's
    earlier sessions; stopped and calibrated on validation sessions."""
    from analytics_assets.core.models import lstm, lstm_figures
    from analytics_assets.core.models.training import Details

    def fit(task: "Task") -> tuple["SavedModel", dict[str, Any]]:
        return lstm.fit(task.train, task.validation, **config.own_settings, seed=config.seed, progress=context.log.info)

    def details(trained: "Trained") -> Details:
        return Details(lstm_figures.figures(trained.training, trained.task.test, trained.scores))

    return materialize_model(
        context,
        lake.lake,
        config,
        name="lstm_next_event",
        title="LSTM",
        packages=("numpy", "tensorflow", "keras"),
        fit=fit,
        details=details,
    )


class XgboostConfig(NextEventConfig):
    """Settings of XGBoost."""

    rounds: int = Field(default=600, ge=1, le=5000, description="Most rounds of the re-ranker.")
    multiclass_rounds: int = Field(default=100, ge=1, le=5000, description="Most rounds of the multi-class form.")
    depth: int = Field(default=6, ge=1, le=15, description="Depth of the trees.")
    step: float = Field(default=0.1, gt=0, le=1, description="Learning rate (eta).")
    min_child_weight: float = Field(default=5.0, ge=0, description="Least weight of a leaf.")
    subsample: float = Field(default=0.8, gt=0, le=1, description="Share of the rows that each tree sees.")
    candidates: int = Field(default=20, ge=2, le=200, description="Events that the re-ranker ranks anew.")
    classes: int = Field(default=60, ge=2, le=300, description="Event types of the multi-class form.")
    max_positions: int = Field(default=40_000, ge=100, description="Most training positions of the re-ranker.")
    multiclass_positions: int = Field(
        default=30_000, ge=100, description="Most training positions of the multi-class form."
    )
    threads: int = Field(default=2, ge=1, le=256, description="Threads of XGBoost.")


@dg.asset(
    group_name="models",
    deps=["clean_events"],
    code_version="1",
    pool="training",
    check_specs=model_check_specs("xgboost_next_event"),
    **model_attributes({"xgboost"}),
)
@in_lake
def xgboost_next_event(
    context: dg.AssetExecutionContext, lake: LakeResource, config: XgboostConfig
) -> dg.MaterializeResult:
    """Which event follows: boosted trees over the last events, counts, times, device, the actor's earlier sessions and
    the Markov chain's candidates, as re-ranker and as multi-class model; validation decides which is published."""
    from analytics_assets.core.models import xgboost_figures, xgboost_training
    from analytics_assets.core.models.training import Details

    def fit(task: "Task") -> tuple["SavedModel", dict[str, Any]]:
        return xgboost_training.fit(
            task.train, task.validation, **config.own_settings, seed=config.seed, progress=context.log.info
        )

    def details(trained: "Trained") -> Details:
        return Details(xgboost_figures.figures(trained.training))

    return materialize_model(
        context,
        lake.lake,
        config,
        name="xgboost_next_event",
        title="XGBoost",
        packages=("numpy", "xgboost"),
        fit=fit,
        details=details,
    )


NEXT_EVENT_MODELS = ("markov_chain", "hidden_markov_model", "lstm_next_event", "xgboost_next_event")
"""In the order of their cost."""


SHOWN_COLUMNS = ("rung", "top1", "top1_low", "top1_high", "bits", "share_of_ceiling", "train_seconds", "is_champion")


class LeaderboardConfig(dg.Config):
    """Settings of the leaderboard."""

    seed: int = Field(default=7, ge=0, description="Seed of the bootstraps.")


@dg.asset(
    group_name="models",
    deps=list(NEXT_EVENT_MODELS),
    code_version="1",
    pool="training",
    check_specs=[
        schema_check_spec("next_event_leaderboard", NEXT_EVENT_LEADERBOARD),
        *leaderboard_check_specs("next_event_leaderboard"),
    ],
    **attributes(column_schema(NEXT_EVENT_LEADERBOARD), layer="model", kinds={"numpy", "parquet"}),
)
@in_lake
def next_event_leaderboard(
    context: dg.AssetExecutionContext, lake: LakeResource, config: LeaderboardConfig
) -> dg.MaterializeResult:
    """Which model to trust: every next-event model beside the simpler ways, on the same test positions, with what each
    costs; on generated data also beside the best that is possible."""
    import pyarrow.parquet as pq

    from analytics_assets.core.models.compare import compare

    data, started = lake.lake, time.perf_counter()
    path = data.leaderboard("next_event")
    with failing_clearly(path):
        compared = compare(data, NEXT_EVENT_MODELS, config.seed)
        write_table(path, compared.table, NEXT_EVENT_LEADERBOARD)
        metrics = data.model("next_event_leaderboard") / "metrics.json"
        write_json(metrics, {**compared.details, "left_out": compared.left_out})
    rows = {row["rung"]: row for row in pq.read_table(path).to_pylist()}
    champion = next((name for name, row in rows.items() if row["is_champion"]), None)
    context.log.info(f"best: {champion}")
    return dg.MaterializeResult(
        # Of the figures: the table also holds seconds, which differ from run to run.
        data_version=dg.DataVersion(sha256_of(metrics)),
        metadata={
            "champion": champion or "none",
            **{f"top1_{name}": row["top1"] for name, row in rows.items() if row["top1"] is not None},
            "dagster/row_count": len(rows),
            "left_out": compared.left_out,
            "preview": preview(pq.read_table(path, columns=list(SHOWN_COLUMNS))),
            **cost(started),
            **file_metadata(path),
        },
        check_results=[
            check_schema("next_event_leaderboard", NEXT_EVENT_LEADERBOARD, path),
            check_same_test_sessions(compared.left_out),
            *(check_beats_simpler(name, rows.get(name)) for name in CROWNED),
            check_optimum(compared.over_the_optimum),
        ],
    )
