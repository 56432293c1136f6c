"""Page "Next event" of the insights app: which model to trust, and what each says of a journey that a visitor picks.

Put here: the order and wording of this page. Keep out: its figures (``next_event_figures.py``), asking models
(``scoring.py``), drawing (``charts``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from analytics_assets.core.intervals import wilson
from analytics_assets.core.models.sequences import OTHER
from analytics_assets.schemas.leaderboard import MEASURES
from dashboards import components, data, event_names, scoring, text
from dashboards.charts import base, predictions
from dashboards.components import Tile
from dashboards.insights import journey_picker
from dashboards.insights import next_event_figures as figures
from dashboards.insights.next_event_figures import MODEL_NAMES, Record
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

SHOWN_CHOICES = 5
"""Events that a model's answer names: beyond the fifth the chances are small and alike."""

XGBOOST_IS_LEFT_OUT = (
    "XGBoost is not asked here: loading its library would cost this app more memory and waiting than all its pages "
    "together. What it said of the test sessions counts below."
)


def show(scope: Scope) -> None:
    """Draw the page."""
    st.title("Which event comes next?")
    with components.explained():
        _models_compared(scope)
    _calibration(scope)
    with components.explained():
        _try_a_journey(scope)


def _models_compared(scope: Scope) -> None:
    rows = figures.leaderboard(scope.lake)
    ranked = [row for row in rows if row["rank"] is not None]
    if not ranked:
        st.info("The test sessions have no position to score.", icon=":material/do_not_disturb_on:")
        return
    st.markdown(_answer(ranked))
    components.unfiltered(scope, "the next-event models, which cover all years and everybody")
    _tiles(ranked)
    st.subheader("Which way to predict is right most often?")
    measure = st.selectbox(
        "Measure", list(MEASURES), key=MEASURE_KEY, format_func=MEASURE_NAMES.__getitem__, bind="query-params",
        help="Intervals are 95 %, from resampling users.",
    )  # fmt: skip
    components.chart(_ladder(ranked, measure), "ladder")
    description, unit = MEASURES[measure]
    components.caption(
        "next_event_leaderboard",
        f"{description.lower()}{f', {unit}' if unit else ''}, with 95 % interval over users; models blue, simpler ways "
        "grey",
        _population(ranked[0]),
        scope.as_of,
    )
    _ladder_table(rows)
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


def _ladder_table(rows: Sequence[Mapping[str, Any]]) -> None:
    names = _names(rows)
    st.dataframe(
        [
            {
                "Rank": row["rank"],
                "Way to predict": text.visible(row["name"]),
                "Kind": "model" if row["is_model"] else "baseline",
                "First choice": _share(row, "top1"),
                "First three": _share(row, "top3"),
                "First five": _share(row, "top5"),
                "Bits": _share(row, "bits"),
                "Calibration error": None if row["ece"] is None else 100 * row["ece"],
                "Against the best simpler way": _improvement(row),
                "Verdict": text.visible(_verdict(row, names)),
                "Of the optimum": None if row["share_of_ceiling"] is None else 100 * row["share_of_ceiling"],
                "Microseconds per prediction": row["microseconds_per_prediction"],
                "Training": text.duration(row["train_seconds"]),
                "Size": text.NO_DATA if row["model_bytes"] is None else text.size(row["model_bytes"]),
            }
            for row in rows
        ],
        hide_index=True,
        width="stretch",
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
    components.chart(predictions.calibration(curves, figures.FEW_POSITIONS), "calibration")
    components.caption(
        text.listed(list(figures.published(scope.lake))),
        f"share right by probability of the first choice, with 95 % Wilson intervals; hollow where fewer than "
        f"{figures.FEW_POSITIONS} positions",
        "all test positions of all years",
        scope.as_of,
    )


def _try_a_journey(scope: Scope) -> None:
    st.subheader("What do the models expect after a journey of your choice?")
    models: dict[str, scoring.NextEventModel] = {}
    problems = []
    for name in scoring.LIVE_MODELS:
        try:
            models[name] = scoring.next_event_model(scope.lake, name)
        except data.LakeFileError as error:
            problems.append(error)
    for problem in problems:
        components.explain(problem)
    known = sorted({event for model in models.values() for event in model.vocabulary if event != OTHER})
    if not known:
        if models:
            st.info("No event type is frequent enough for the models to know it.", icon=":material/do_not_disturb_on:")
        return
    simplest = next(iter(models))
    start, runs_are_one = known[0], False
    with components.explained():
        start = figures.opening(scope.lake, simplest) or start
        runs_are_one = figures.runs_are_one(scope.lake, simplest)
    journey = journey_picker.pick(known, start if start in known else known[0], runs_are_one=runs_are_one)
    answers = {name: scoring.next_event_chances(model, journey) for name, model in models.items()}
    st.markdown(_agreement(answers))
    for column, (name, answer) in zip(st.columns(len(answers)), answers.items(), strict=True):
        with column:
            st.markdown(f"**{MODEL_NAMES[name]}**")
            components.chart(_choices(MODEL_NAMES[name], answer), f"choices {name}")
    components.caption(
        text.listed(list(answers)),
        "probability of the next event, given that the session goes on",
        "asked without times, device and history of a person",
        scope.as_of,
    )
    _chances_table(answers)
    st.caption(XGBOOST_IS_LEFT_OUT)
    with components.explained():
        _past_record(scope, journey)


def _agreement(answers: Mapping[str, Sequence[tuple[str, float]]]) -> str:
    firsts = {name: answer[0][0] for name, answer in answers.items()}
    if len(set(firsts.values())) == 1:
        first = text.code(event_names.readable(next(iter(firsts.values()))))
        if len(firsts) == 1:
            return f"{MODEL_NAMES[next(iter(firsts))]} expects {first}."
        common = set.intersection(*({name for name, _ in answer[:SHOWN_CHOICES]} for answer in answers.values()))
        return (
            f"All {len(firsts)} models expect {first}; they share {len(common)} of their first {SHOWN_CHOICES} choices."
        )
    return "They do not agree: " + "; ".join(
        f"{MODEL_NAMES[name]} expects {text.code(event_names.readable(first))}" for name, first in firsts.items()
    ) + "."  # fmt: skip


def _choices(model: str, answer: Sequence[tuple[str, float]]) -> Any:
    shown = answer[:SHOWN_CHOICES]
    rest = answer[SHOWN_CHOICES:]
    bars = [
        base.Bar(event_names.readable(name), chance, text.share(chance), base.BLUE if not place else base.SKY)
        for place, (name, chance) in enumerate(shown)
    ]
    if rest:
        left = sum(chance for _, chance in rest)
        bars.append(base.Bar(f"{len(rest)} other events", left, text.share(left), base.GREY))
    return base.bars(bars, title=f"What {model} expects", unit="probability", longest=1.0)


def _chances_table(answers: Mapping[str, Sequence[tuple[str, float]]]) -> None:
    named = list(dict.fromkeys(name for answer in answers.values() for name, _ in answer[:SHOWN_CHOICES]))
    chances = {name: dict(answer) for name, answer in answers.items()}
    rows = [
        {
            "Next event": text.visible(event),
            **{MODEL_NAMES[name]: 100 * chances[name].get(event, 0.0) for name in answers},
        }
        for event in named
    ]
    rows.sort(key=lambda row: -max(row[MODEL_NAMES[name]] for name in answers))
    with st.expander("As a table"):
        st.dataframe(
            rows,
            hide_index=True,
            width="stretch",
            column_config={MODEL_NAMES[name]: st.column_config.NumberColumn(format="%.2f %%") for name in answers},
            alt="Table of the probabilities that each model gives to the likeliest next events.",
        )


def _past_record(scope: Scope, journey: Sequence[str]) -> None:
    st.subheader("How often were they right after a journey like this?")
    models = figures.published(scope.lake)
    if not models:
        raise data.MissingFileError(scope.lake.model("markov_chain") / "test_predictions.parquet", "markov_chain")
    records = {model: figures.in_context(scope.lake, model, journey, 2) for model in models}
    like = (
        f"the same last two events ({text.listed([text.code(event_names.readable(name)) for name in journey[-2:]])})"
        if len(journey) > 1
        else f"{text.code(event_names.readable(journey[-1]))} as the session's first event"
    )
    if max(record.positions for record in records.values()) < figures.FEW_POSITIONS:
        records = {model: figures.in_context(scope.lake, model, journey, 1) for model in models}
        like = f"the same last event ({text.code(event_names.readable(journey[-1]))})"
    st.markdown(f"Test positions with {like}:")
    if not any(record.positions for record in records.values()):
        st.info("No test session came by here, so nobody knows.", icon=":material/do_not_disturb_on:")
        return
    components.chart(_record_bars(records), "record")
    components.caption(
        text.listed(list(records)),
        "share right at the first choice, with 95 % Wilson interval; among the first five in brackets",
        "test positions like this of all years; grey where fewer than "
        f"{figures.FEW_POSITIONS}; the models knew times, device and history there",
        scope.as_of,
    )
    if len(models) > 1:
        st.markdown(_worth_of_agreement(figures.agreement(scope.lake, models), len(models)))


def _record_bars(records: Mapping[str, Record]) -> Any:
    bars = []
    for model, record in records.items():
        rate = record.rate(record.first)
        if rate is None:
            bars.append(base.Bar(MODEL_NAMES[model], 0, text.NO_DATA, base.GREY))
            continue
        low, high = wilson(rate, record.positions)
        bars.append(
            base.Bar(
                MODEL_NAMES[model],
                rate,
                f"{text.exact_share(rate)} [{100 * low:.1f}–{100 * high:.1f}] of {text.count(record.positions)} "
                f"(first five: {text.share(record.rate(record.first_five))})",
                base.BLUE if record.positions >= figures.FEW_POSITIONS else base.GREY,
                interval=(low, high),
            )
        )
    return base.bars(bars, title="How often models were right in contexts like this", unit="share", longest=1.0)


def _worth_of_agreement(found: figures.Agreement, models: int) -> str:
    def part(hits: int, positions: int) -> str:
        rate = text.ratio(hits, positions)
        if rate is None:
            return text.NO_DATA
        low, high = wilson(rate, positions)
        return f"{text.exact_share(rate)} [{100 * low:.1f}–{100 * high:.1f}]"

    return (
        f"Over all test sessions, where {'both' if models == 2 else f'all {models}'} models expected the same event "
        f"({text.count(found.agreed)} positions) it came in {part(found.agreed_hits, found.agreed)}; where they did "
        f"not ({text.count(found.others)}), the best of them was right in {part(found.best_hits, found.others)}."
    )
