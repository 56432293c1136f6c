"""Page "Next event" of the insights app: which model to trust, and what each says of a journey that a visitor picks.

Put here: the order and wording of this page. Keep out: its figures (``next_event_figures.py``), asking models
(``scoring.py``), drawing (``charts``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from analytics_assets.schemas.leaderboard import MEASURES
from dashboards import components, data, text
from dashboards.charts import base, predictions
from dashboards.components import Tile
from dashboards.insights import next_event_figures as figures
from dashboards.insights import next_event_journey
from dashboards.insights.next_event_figures import MODEL_NAMES
from dashboards.selection import Scope

MEASURE_KEY = "measure"
"""Widget key and query parameter of the leaderboard's measure."""

MEASURE_NAMES = {
    "top1": "Right at the first choice",
    "top3": "Among the first three",
    "top5": "Among the first five",
    "mrr10": "Mean of 1 / rank",
    "bits": "Surprise in bits (fewer are better)",
}


def show(scope: Scope) -> None:
    """Draw the page."""
    st.title("Which event comes next?")
    with components.explained():
        _models_compared(scope)
    _calibration(scope)
    with components.explained():
        next_event_journey.show(scope)


def _models_compared(scope: Scope) -> None:
    rows = figures.leaderboard(scope.lake)
    ranked = [row for row in rows if row["rank"] is not None]
    if not ranked:
        st.info("The test sessions have no position to score.", icon=":material/do_not_disturb_on:")
        return
    st.markdown(_answer(ranked))
    components.unfiltered(scope, "the next-event models")
    _tiles(ranked)
    st.subheader("Which way to predict is right most often?")
    measure = st.selectbox(
        "Measure", list(MEASURES), key=MEASURE_KEY, format_func=MEASURE_NAMES.__getitem__, bind="query-params",
        help="Intervals are 95 %, from resampling users.",
    )  # fmt: skip
    figure = _ladder(ranked, measure)
    components.chart(figure, "ways-to-predict", scope)
    description, unit = MEASURES[measure]
    components.caption(
        "next_event_leaderboard",
        f"{description.lower()}{f', {unit}' if unit else ''}, with 95 % interval over users; models blue, simpler ways "
        "grey",
        _population(ranked[0]),
        scope.as_of,
    )
    _ladder_table(scope, rows, figure)
    components.caption(
        "next_event_leaderboard",
        "improvement in percentage points over the best simpler way; a way is better when the interval lies above 0",
        _population(ranked[0]),
        scope.as_of,
    )


def _population(row: Mapping[str, Any]) -> str:
    return (
        f"{text.count(row['positions'])} positions of {text.count(row['sessions'])} later sessions of "
        f"{text.count(row['users'])} people, all years"
    )


def _share(row: Mapping[str, Any], measure: str) -> str:
    value, low, high = (row[f"{measure}{end}"] for end in ("", "_low", "_high"))
    if value is None:
        return text.NO_DATA
    if measure in ("mrr10", "bits"):
        return f"{value:.2f}" + (f" [{low:.2f}–{high:.2f}]" if low is not None else "")
    return text.exact_share(value) + (f" [{100 * low:.1f}–{100 * high:.1f}]" if low is not None else "")


def _improvement(row: Mapping[str, Any]) -> str:
    value, low, high = (row[f"improvement_top1{end}"] for end in ("", "_low", "_high"))
    if value is None:
        return text.NO_DATA
    return f"{100 * value:+.1f}" + (f" [{100 * low:+.1f} to {100 * high:+.1f}]" if low is not None else "")


def _names(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {row["rung"]: row["name"] for row in rows}


def _answer(ranked: Sequence[Mapping[str, Any]]) -> str:
    champion = next((row for row in ranked if row["is_champion"]), ranked[0])
    name = f"**{text.prose(champion['name'])}**"
    right = f"its first choice was right at {_share(champion, 'top1')} of {text.count(champion['positions'])} positions"
    if not champion["is_model"]:
        return f"No model is clearly better than the simple way {name}: {right}."
    sentence = f"{name} is the one to use: {right}"
    simpler = _names(ranked).get(champion["best_simpler_rung"])
    if simpler is not None and champion["improvement_top1"] is not None:
        sentence += f", {_improvement(champion)} percentage points against {text.prose(simpler)}"
    if champion["share_of_ceiling"] is not None:
        sentence += f"; that is {text.exact_share(champion['share_of_ceiling'])} of what is possible on these data"
    return sentence + "."


def _tiles(ranked: Sequence[Mapping[str, Any]]) -> None:
    champion = next((row for row in ranked if row["is_champion"]), ranked[0])
    baselines = [row for row in ranked if not row["is_model"]]
    shown = [
        Tile(
            "Right at the first choice",
            text.exact_share(champion["top1"]),
            champion["name"],
            "Share of test positions at which what came was the model's likeliest event.",
        ),
        Tile(
            "Among the first three",
            text.exact_share(champion["top3"]),
            champion["name"],
            "Share of test positions at which what came was among the three likeliest events.",
        ),
    ]
    if baselines:
        shown.append(
            Tile(
                "Best simpler way",
                text.exact_share(baselines[0]["top1"]),
                text.visible(baselines[0]["name"]),
                "The same share of the best way to predict that is no published model.",
            )
        )
    if champion["bits"] is not None:
        shown.append(
            Tile(
                "Surprise left",
                f"{champion['bits']:.2f} bits",
                "per event",
                "Mean of -log2 of the probability of what came: 0 for a model that is sure and right, 1 for a coin.",
            )
        )
    components.tiles(shown)


def _ladder(ranked: Sequence[Mapping[str, Any]], measure: str) -> Any:
    better_first = sorted(
        (row for row in ranked if row[measure] is not None),
        key=lambda row: row[measure] if measure == "bits" else -row[measure],
    )
    bars = []
    for row in better_first:
        low, high = row[f"{measure}_low"], row[f"{measure}_high"]
        mark = "★ " if row["is_champion"] else ""
        bars.append(
            base.Bar(
                f"{mark}{row['name']}{'' if row['is_model'] else ' (baseline)'}",
                row[measure],
                _share(row, measure),
                base.BLUE if row["is_model"] and row["positions"] >= figures.FEW_POSITIONS else base.GREY,
                interval=None if low is None else (low, high),
            )
        )
    return base.bars(
        bars,
        title=f"{MEASURE_NAMES[measure]}, best first, the one to use with a star",
        unit=MEASURES[measure][1] or "0 to 1",
        longest=None if measure == "bits" else 1.0,
    )


def _verdict(row: Mapping[str, Any], names: Mapping[str, str]) -> str:
    simpler = names.get(row["best_simpler_rung"])
    if row["rank"] is None:
        return "not scored"
    if simpler is None:
        return "the simplest"
    return f"better than {simpler}" if row["beats_best_simpler"] else f"not clearly better than {simpler}"


def _ladder_table(scope: Scope, rows: Sequence[Mapping[str, Any]], figure: go.Figure) -> None:
    names = _names(rows)
    components.table(
        [
            {
                "Rank": row["rank"],
                "Way to predict": text.visible(row["name"]),
                "Kind": "model" if row["is_model"] else "baseline",
                "First choice": _share(row, "top1"),
                "Against the best simpler way": _improvement(row),
                "Verdict": text.visible(_verdict(row, names)),
                "First three": _share(row, "top3"),
                "First five": _share(row, "top5"),
                "Bits": _share(row, "bits"),
                "Calibration error": None if row["ece"] is None else 100 * row["ece"],
                "Of the optimum": None if row["share_of_ceiling"] is None else 100 * row["share_of_ceiling"],
                "Microseconds per prediction": row["microseconds_per_prediction"],
                "Training": text.duration(row["train_seconds"]),
                "Size": text.NO_DATA if row["model_bytes"] is None else text.size(row["model_bytes"]),
            }
            for row in rows
        ],
        "Ways to predict the next event",
        scope,
        source="next_event_leaderboard",
        figure=figure,
        column_config={
            "Calibration error": st.column_config.NumberColumn(
                format="%.1f %%", help="Mean distance between how sure and how often right, in 15 bins."
            ),
            "Of the optimum": st.column_config.NumberColumn(
                format="%.1f %%", help="Of the best possible predictor; known for generated data only."
            ),
            "Microseconds per prediction": st.column_config.NumberColumn(format="%.1f", help="In batches."),
        },
        alt="Table of all ways to predict with their figures, intervals and costs.",
    )


def _calibration(scope: Scope) -> None:
    st.subheader("How sure are the models, and are they right that often?")
    curves: dict[str, list[predictions.CalibrationPoint]] = {}
    errors = []
    for model in figures.published(scope.lake):
        with components.explained():
            bins = figures.calibration(scope.lake, model)
            error = figures.calibration_error(bins)
            if error is not None:
                errors.append(f"{MODEL_NAMES[model]} {100 * error:.1f}")
                curves[MODEL_NAMES[model]] = [
                    (found.confidence, found.hit_rate, found.interval, found.positions) for found in bins
                ]
    if not curves:
        components.explain(
            data.MissingFileError(scope.lake.model("markov_chain") / "test_predictions.parquet", "markov_chain")
        )
        return
    st.markdown(f"Mean distance from the dotted line, in percentage points: {text.listed(errors)}.")
    figure = predictions.calibration(curves, figures.FEW_POSITIONS)
    components.chart(figure, "calibration-of-next-event-models", scope)
    components.caption(
        text.listed(list(figures.published(scope.lake))),
        f"share right by probability of the first choice, with 95 % Wilson intervals; hollow where fewer than "
        f"{figures.FEW_POSITIONS} positions",
        "all test positions of all years",
        scope.as_of,
    )
    components.export(
        [
            {"Model": name, "Probability": sure, "Share right": right, "From": low, "To": high, "Positions": positions}
            for name, points in curves.items()
            for sure, right, (low, high), positions in points
        ],
        "Calibration of next-event models",
        scope,
        source=text.listed(list(figures.published(scope.lake))),
        figure=figure,
    )
