"""What all assets of next-event models share: settings, checks, and the steps from clean_events to a published model.

Put here: code of more than one such asset. Keep out: the assets (``next_event_models.py``), the models
(``core/models``).
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, cast

import dagster as dg
from pydantic import Field, field_validator

from analytics_assets.checks.models import baseline_check_spec, check_beats, check_not_fallen, not_fallen_check_spec
from analytics_assets.checks.tables import check_schema, schema_check_spec
from analytics_assets.core.errors import PipelineError
from analytics_assets.core.files import empty_folder, read_json, replace_folder, sha256_of
from analytics_assets.core.lake import Lake
from analytics_assets.metadata import attributes, column_schema, cost, failing_clearly, pictures, preview
from analytics_assets.schemas import NEXT_EVENT_PREDICTIONS, Table

if TYPE_CHECKING:
    from analytics_assets.core.models.next_event import Task
    from analytics_assets.core.models.sequences import Stream
    from analytics_assets.core.models.training import Details, SavedModel, Trained

ProtocolName = Literal["time", "earlier_years", "cut", "unseen_users"]

NO_TABLES: Mapping[str, Table] = MappingProxyType({})

HEADLINE_FIGURES = ("top1", "top3", "top5", "mrr10", "bits", "ece", "macro_recall", "positions", "sessions", "users")
"""Figures that become metadata of a materialization, which the UI plots over time."""


class NextEventConfig(dg.Config):
    """Settings that all next-event models share."""

    streams: list[str] = Field(
        default=["intent"],
        description="Streams to learn, the first one is the headline: intent (no noise, runs collapsed), raw, screen.",
    )
    years: list[str] = Field(
        default=[], description="Years to learn from; none named: every complete one that is materialized."
    )
    protocol: ProtocolName = Field(
        default="time",
        description="How sessions are divided: in time; earlier years against the last one; at a given cut; by users.",
    )
    train_share: float = Field(
        default=0.8, gt=0, lt=1, description="Share of sessions, by start, before the test part."
    )
    validation_share: float = Field(
        default=0.1, ge=0, lt=1, description="Last share of the sessions before the test part, for choices."
    )
    cut: str = Field(default="", description="Start of the test part for the protocol 'cut', ISO 8601, UTC.")
    min_train_events: int = Field(
        default=20, ge=1, description="Event types with fewer training events are one class, (other)."
    )
    seed: int = Field(default=7, ge=0, description="Seed of sampling, starts and bootstraps.")
    max_fall: float = Field(
        default=0.02, ge=0, le=1, description="Fall of top-1 accuracy since the last materialization that is warned of."
    )

    @field_validator("streams")
    @classmethod
    def _known_streams(cls, streams: list[str]) -> list[str]:
        if not streams or len(set(streams)) < len(streams) or not set(streams) <= {"intent", "raw", "screen"}:
            raise ValueError("name at least one of intent, raw and screen, each once")
        return streams

    @property
    def task_settings(self) -> dict[str, Any]:
        """Arguments of ``next_event.prepare_tasks``."""
        return {
            "protocol": self.protocol,
            "train_share": self.train_share,
            "validation_share": self.validation_share,
            "cut": datetime.fromisoformat(self.cut) if self.cut else None,
            "seed": self.seed,
            "min_train_events": self.min_train_events,
        }

    @property
    def own_settings(self) -> dict[str, Any]:
        """Values of the fields that the settings of a model add to these."""
        shared = NextEventConfig.model_fields
        return {name: getattr(self, name) for name in type(self).model_fields if name not in shared}


def model_attributes(kinds: set[str]) -> dict[str, Any]:
    """Owner, kinds, tags and schema of the asset of a next-event model."""
    return attributes(column_schema(NEXT_EVENT_PREDICTIONS), layer="model", kinds=kinds | {"parquet"})


def model_check_specs(asset: str, tables: Mapping[str, Table] = NO_TABLES) -> list[dg.AssetCheckSpec]:
    """Checks of every next-event model, and of its own tables."""
    return [
        schema_check_spec(asset, NEXT_EVENT_PREDICTIONS),
        *(schema_check_spec(asset, table, name=f"{file}_schema") for file, table in tables.items()),
        baseline_check_spec(asset, "most_frequent", "It beats always naming the most frequent event."),
        baseline_check_spec(asset, "repeat_last", "It beats repeating the current event."),
        not_fallen_check_spec(asset),
    ]


def materialize_model(
    context: dg.AssetExecutionContext,
    lake: Lake,
    config: NextEventConfig,
    *,
    name: str,
    title: str,
    packages: Sequence[str],
    fit: Callable[["Task"], tuple["SavedModel", dict[str, Any]]],
    details: Callable[["Trained"], "Details"],
    tables: Mapping[str, Table] = NO_TABLES,
    publish: Callable[[Path, Any, list[Path]], Mapping[str, Any]] = lambda *_: {},
) -> dg.MaterializeResult:
    """Train, score and publish one model on every stream asked for.

    `details` gives its own pictures, figures and tables of a stream, `tables` declares these by file name. `publish`
    writes what rests on the events themselves, given folder, DuckDB engine and clean_events files, and returns figures.
    """
    from analytics_assets.core.features.engine import open_engine
    from analytics_assets.core.models.inputs import input_years, provenance
    from analytics_assets.core.models.next_event import prepare_tasks
    from analytics_assets.core.models.training import PREDICTIONS, measured, train, write_figures, write_model

    folder, started = lake.model(name), time.perf_counter()
    staged = lake.staging() / f"model-{name}"
    with failing_clearly(folder), training_clearly(lake):
        previous = read_json(folder / "metrics.json") if (folder / "metrics.json").is_file() else {}
        years = input_years(lake, ["clean_events"], config.years)
        files = [lake.feature("clean_events", year) for year in years]
        empty_folder(staged)
        streams: dict[str, Any] = {}
        costs: dict[str, Any] = {}
        drawn: dict[str, Mapping[str, bytes]] = {}
        with open_engine(lake.staging() / "duckdb") as engine:
            for task in prepare_tasks(engine, files, cast("list[Stream]", config.streams), **config.task_settings):
                stream = task.stream
                context.log.info(
                    f"{stream}: {len(task.train.codes):,} training events of {task.train.sessions:,} sessions, "
                    f"{len(task.vocabulary.names) - 1} event types, {len(task.test.positions):,} test positions"
                )
                trained = train(task, fit, config.seed)
                found = details(trained)
                write_model(staged / stream if streams else staged, trained, found, tables)
                streams[stream] = {**measured(trained), **found.figures}
                costs[stream], drawn[stream] = trained.cost, found.pictures
                context.log.info(
                    f"{stream}: top-1 {streams[stream].get('top1')}, {trained.cost['train_seconds']:.1f} s"
                )
            own = publish(staged, engine, files)
        record = provenance(lake, years, config.model_dump(), packages)
        metrics = write_figures(staged, title, streams, costs, provenance=record, own=own)
        replace_folder(staged, folder)
    import pyarrow.parquet as pq

    headline = config.streams[0]
    return dg.MaterializeResult(
        data_version=dg.DataVersion(sha256_of(folder / "metrics.json")),
        metadata={
            **{figure: value for figure, value in own.items() if isinstance(value, float)},
            **{figure: metrics[figure] for figure in HEADLINE_FIGURES if figure in metrics},
            **{figure: value for figure, value in costs[headline].items() if isinstance(value, float)},
            "dagster/row_count": metrics["positions"],
            "event_types": metrics["event_types"],
            "input_years": years,
            "events": metrics["events"],
            "split": metrics["split"],
            "config": metrics["config"],
            "versions": metrics["versions"],
            "preview": preview(pq.read_table(folder / PREDICTIONS)),
            "card": dg.MetadataValue.md((folder / "card.md").read_text(encoding="utf-8")),
            "folder": dg.MetadataValue.path(str(folder)),
            **cost(started),
            **pictures(drawn[headline]),
        },
        check_results=[
            check_schema(name, NEXT_EVENT_PREDICTIONS, folder / PREDICTIONS),
            *(
                check_schema(name, table, folder / f"{file}.parquet", name=f"{file}_schema")
                for file, table in tables.items()
            ),
            check_beats("most_frequent", metrics["improvement"]["most_frequent"]),
            check_beats("repeat_last", metrics["improvement"]["repeat_last"]),
            check_not_fallen(metrics.get("top1"), previous.get("top1"), config.max_fall),
        ],
    )


@contextlib.contextmanager
def training_clearly(lake: Lake) -> Iterator[None]:
    """Name the place and the remedy where data or settings cannot be learned from."""
    try:
        yield
    except ValueError as error:
        raise PipelineError(
            lake.root / "features" / "clean_events",
            f"a model cannot be trained: {error}",
            "Materialize more events, or change the run's configuration.",
        ) from error
