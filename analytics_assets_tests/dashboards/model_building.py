"""Models for the small lake of ``building.py``, trained or written by the functions that the assets call.

Put here: the steps that add models to a lake. Keep out: exports and features (``building.py``), assertions.

What would take minutes is replaced by the same artefact with other numbers: the LSTM has random weights, and the two
forecasting models are baselines under their names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analytics_assets.core.features.engine import open_engine
from analytics_assets.core.files import read_json, write_json, write_table
from analytics_assets.core.forecasts import comparing
from analytics_assets.core.forecasts.baselines import phase_mean, season_mean
from analytics_assets.core.forecasts.forecasting import SeriesForecast, plain
from analytics_assets.core.forecasts.inputs import load_series
from analytics_assets.core.forecasts.tables import arrow, backtest_rows, component_rows, forecast_rows, history_rows
from analytics_assets.core.forecasts.training import train_series
from analytics_assets.core.lake import Lake
from analytics_assets.core.models import compare, hmm, hmm_tables, kmeans, lstm_forward, markov, markov_analysis
from analytics_assets.core.models.inputs import provenance
from analytics_assets.core.models.next_event import Task, prepare_task
from analytics_assets.core.models.training import Details, Trained, measured, train, write_figures, write_model
from analytics_assets.core.results import analysis_results
from analytics_assets.schemas import FORECAST_LEADERBOARD, FORECAST_TABLES, KMEANS_ASSIGNMENTS, NEXT_EVENT_LEADERBOARD
from analytics_assets.schemas.hmm import HMM_TABLES
from analytics_assets.schemas.markov import (
    MARKOV_EDGES,
    MARKOV_FLOWS,
    MARKOV_GOALS,
    MARKOV_ORDERS,
    MARKOV_PERIODS,
    MARKOV_STATES,
    MARKOV_WHAT_IF,
)
from analytics_assets.schemas.segments import KMEANS_CHOICES, KMEANS_MOVES, KMEANS_PROFILES, KMEANS_REPRESENTATIVES
from analytics_assets.schemas.summaries import SPARK_EVENT_NGRAMS

NEXT_EVENT_MODELS = ("markov_chain", "hidden_markov_model", "lstm_next_event")
CONFIG = {"protocol": "time", "train_share": 0.6, "validation_share": 0.1, "seed": 7, "min_train_events": 1, "cut": ""}
"""The last two fifths are the test part: a fifth of twenty sessions would be too few to compare anything."""

MARKOV_TABLES = {
    "edges": MARKOV_EDGES,
    "states": MARKOV_STATES,
    "goals": MARKOV_GOALS,
    "orders": MARKOV_ORDERS,
    "what_if": MARKOV_WHAT_IF,
    "periods": MARKOV_PERIODS,
    "flows": MARKOV_FLOWS,
}
KMEANS_TABLES = {
    "assignments": KMEANS_ASSIGNMENTS,
    "profiles": KMEANS_PROFILES,
    "choices": KMEANS_CHOICES,
    "representatives": KMEANS_REPRESENTATIVES,
    "moves": KMEANS_MOVES,
}
GOAL = "click > button"


def random_lstm(vocabulary: list[str], seed: int = 5, units: int = 6) -> lstm_forward.LstmModel:
    """A network that nobody trained."""
    rng = np.random.default_rng(seed)
    encoder = lstm_forward.Encoder(["Windows"], lstm_forward.GAP_EDGES, lstm_forward.History.none(len(vocabulary)))
    width = {"event": 4, "gap": 2, "hour": 2, "device": 1}
    shapes = {
        "event": (len(vocabulary) + lstm_forward.FIRST_EVENT, width["event"]),
        "gap": (encoder.gap_buckets, width["gap"]),
        "hour": (24, width["hour"]),
        "device": (2, width["device"]),
        "history_kernel": (len(vocabulary) + 1, 3),
        "history_bias": (3,),
        "hidden_kernel": (3, units),
        "hidden_bias": (units,),
        "cell_kernel": (3, units),
        "cell_bias": (units,),
        "lstm_kernel": (sum(width.values()), 4 * units),
        "lstm_recurrent": (units, 4 * units),
        "lstm_bias": (4 * units,),
        "output_kernel": (units + width["event"], len(vocabulary)),
        "output_bias": (len(vocabulary),),
    }
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return lstm_forward.LstmModel(vocabulary, encoder, {"units": units}, weights)


def _markov(task: Task) -> tuple[Any, dict[str, Any]]:
    return markov.fit(task.train, task.validation, max_order=2)


def _hidden(task: Task) -> tuple[Any, dict[str, Any]]:
    return hmm.fit(task.train, task.validation, max_states=2, max_iterations=5)


def _lstm(task: Task) -> tuple[Any, dict[str, Any]]:
    return random_lstm(task.vocabulary.names), {}


def _details(name: str, trained: Trained) -> Details:
    if name == "markov_chain":
        figures, tables = markov_analysis.analysis(
            trained.task.train, goals=[GOAL], max_order=2, resamples=20, permutations=20, journeys=400
        )
        return Details(figures={"analysis": figures}, tables=tables)
    if name == "hidden_markov_model":
        return Details(tables=hmm_tables.tables(trained.model, trained.task.train))
    return Details()


def build_next_event(lake: Lake) -> None:
    """What the next-event models and their leaderboard publish; ``xgboost_next_event`` is left out."""
    years = lake.ingested_years()
    fits: dict[str, Callable[[Task], tuple[Any, dict[str, Any]]]] = {
        "markov_chain": _markov, "hidden_markov_model": _hidden, "lstm_next_event": _lstm,
    }  # fmt: skip
    settings = {**CONFIG, "cut": None}
    with open_engine(lake.staging() / "duckdb") as engine:
        task = prepare_task(engine, [lake.feature("clean_events", year) for year in years], **settings)
    for name, fit in fits.items():
        folder = lake.model(name)
        own = read_json(folder / "metrics.json") if (folder / "metrics.json").is_file() else {}
        trained = train(task, fit, seed=7)
        details = _details(name, trained)
        write_model(folder, trained, details, {**MARKOV_TABLES, **{table.name: table for table in HMM_TABLES}})
        write_figures(
            folder,
            name,
            {"intent": {**measured(trained), **details.figures}},
            {"intent": trained.cost},
            provenance=provenance(lake, years, CONFIG, ("numpy",)),
            own=own,
        )
    compared = compare.compare(lake, NEXT_EVENT_MODELS, seed=7)
    write_table(lake.leaderboard("next_event"), compared.table, NEXT_EVENT_LEADERBOARD)
    write_json(lake.model("next_event_leaderboard") / "metrics.json", compared.details)


def build_segments(lake: Lake) -> None:
    """What ``kmeans_segments`` publishes."""
    years = lake.ingested_years()
    files = [[lake.feature(name, year) for year in years] for name in ("clean_events", "sessions")]
    with open_engine(lake.staging() / "duckdb") as engine:
        model, figures, tables = kmeans.segment_actors(engine, files[0], files[1], max_segments=3)
    folder = lake.model("kmeans_segments")
    model.save(folder)
    for name, rows in tables.items():
        write_table(folder / f"{name}.parquet", rows, KMEANS_TABLES[name])
    write_json(folder / "metrics.json", {**figures, "adjusted_rand_index": None})


@dataclass(frozen=True)
class SimpleWay:
    """A baseline under a model's name."""

    name: str
    fit: Any

    def prepare(self) -> Any:
        """How it chooses and fits."""
        return plain(self.fit)

    def details(self, found: SeriesForecast) -> tuple[dict[str, list[Any]], dict[str, Any]]:
        """Parts of a made-up trend and week, for the model that has parts."""
        if self.name != "prophet_forecast":
            return {}, {}
        steps = np.arange(len(found.series) + len(found.prediction.mean), dtype=float)
        parts = {"trend": 1 + steps / 1000, "weekly": np.sin(steps * 2 * np.pi / 7)}
        return {"components": component_rows(found.series, parts)}, {}


def build_forecasts(lake: Lake) -> None:
    """What the forecasting models and their leaderboard publish, for events per day."""
    years = lake.ingested_years()
    series = load_series(lake, years, ("events",), holidays=False, origins=12)
    for way in (SimpleWay("prophet_forecast", phase_mean), SimpleWay("arima_forecast", season_mean)):
        folder = lake.model(way.name)
        trained = [train_series(one, way, folder / "series", 12) for one in series]
        rows: dict[str, list[Any]] = {
            "forecast": [row for one in trained for row in forecast_rows(one.found)],
            "backtest": [row for one in trained for row in backtest_rows(one.found)],
            "history": [row for one in trained for row in history_rows(one.found.series)],
            **{name: [row for one in trained for row in one.rows.get(name, [])] for name in ("components", "cycles")},
        }
        for name, table in FORECAST_TABLES[way.name].items():
            write_table(folder / f"{name}.parquet", arrow(rows[name], table), table)
        metrics = {one.found.series.metric: one.figures for one in trained}
        record = provenance(lake, years, {"origins": 12}, ("numpy",))
        write_json(folder / "metrics.json", {"metrics": metrics, **record})
    compared = comparing.compare(lake, None)
    tables = {"forecast": compared.forecasts, "anomalies": compared.anomalies, "causes": compared.causes}
    for name, found in tables.items():
        path = lake.model("forecast_leaderboard") / f"{name}.parquet"
        write_table(path, found, FORECAST_TABLES["forecast_leaderboard"][name])
    write_table(lake.leaderboard("forecast"), compared.leaderboard, FORECAST_LEADERBOARD)


def build_ngrams(lake: Lake, year: str) -> list[dict[str, Any]]:
    """Write runs of two events of one year as ``spark_event_ngrams`` declares them, and return them."""
    import pyarrow as pa

    rows = [
        {
            "population": "people",
            "stream": "intent",
            "length": 2,
            "place": place,
            "event_1": first,
            "event_2": second,
            "event_3": None,
            "event_4": None,
            "event_5": None,
            "occurrences": number,
            "sessions": number,
            "occurrence_share": number / 10,
        }
        for place, (first, second, number) in enumerate(
            [("view > page", "click > button", 6), ("click > button", "<script>alert(1)</script>", 4)], start=1
        )
    ]
    path: Path = lake.summary(year, "spark_event_ngrams")
    write_table(path, pa.Table.from_pylist(rows, SPARK_EVENT_NGRAMS.arrow_schema()), SPARK_EVENT_NGRAMS)
    return rows


def build(lake: Lake) -> None:
    """All models that the insights pages show, and the published figures anew."""
    build_next_event(lake)
    build_segments(lake)
    build_forecasts(lake)
    build_ngrams(lake, lake.ingested_years()[-1])
    names = (*NEXT_EVENT_MODELS, "next_event_leaderboard", "kmeans_segments")
    with open_engine(lake.staging() / "duckdb") as engine:
        write_json(lake.analysis_results(), analysis_results(engine, lake, lake.ingested_years(), names))
