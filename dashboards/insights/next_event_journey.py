"""Part of the page "Next event": what each model expects after a journey of the visitor's choice, and its past record.

Put here: its order and wording. Keep out: past figures (``next_event_figures.py``), asking models (``scoring.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from analytics_assets.core.intervals import wilson
from analytics_assets.core.models.next_event import NextEventModel
from analytics_assets.core.models.sequences import OTHER
from dashboards import components, data, event_names, scoring, text
from dashboards.charts import base
from dashboards.insights import journey_picker
from dashboards.insights import next_event_figures as figures
from dashboards.insights.next_event_figures import MODEL_NAMES, Record
from dashboards.selection import Scope

SHOWN_CHOICES = 5
"""Events that a model's answer names: beyond the fifth the chances are small and alike."""

XGBOOST_IS_LEFT_OUT = (
    "XGBoost is not asked here: its library would cost this app about 3 seconds and 150 MB of memory. What it said of "
    "the test sessions counts below."
)
"""Measured with the model of the sample data: 2.8 s of processor time and 151 MB to import it and load the model."""


def show(scope: Scope) -> None:
    """Draw this part of the page."""
    st.subheader("What do the models expect after a journey of your choice?")
    models: dict[str, NextEventModel] = {}
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
            figure = _choices(MODEL_NAMES[name], answer)
            components.chart(figure, f"choices {name}", scope)
    components.caption(
        text.listed(list(answers)),
        "probability of the next event, given that the session goes on",
        "asked without times, device and history of a person",
        scope.as_of,
    )
    _chances_table(scope, answers)
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


def _chances_table(scope: Scope, answers: Mapping[str, Sequence[tuple[str, float]]]) -> None:
    chances = {name: dict(answer) for name, answer in answers.items()}
    named = {event for answer in answers.values() for event, _ in answer[:SHOWN_CHOICES]}
    order = sorted(named, key=lambda event: (-max(own.get(event, 0.0) for own in chances.values()), event))
    rows = [
        {
            "Next event": text.visible(event),
            **{MODEL_NAMES[name]: 100 * own.get(event, 0.0) for name, own in chances.items()},
        }
        for event in order
    ]
    with st.expander("As a table"):
        components.table(
            rows,
            "Chances of the next event",
            scope,
            source=text.listed(list(answers)),
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
    figure = _record_bars(records)
    components.chart(figure, "past-hit-rates", scope)
    components.caption(
        text.listed(list(records)),
        "share right at the first choice, with 95 % Wilson interval; among the first five in brackets",
        "test positions like this of all years; grey where fewer than "
        f"{figures.FEW_POSITIONS}; the models knew times, device and history there",
        scope.as_of,
    )
    components.export(
        [
            {
                "Model": MODEL_NAMES[model],
                "Positions": record.positions,
                "Right at the first choice": record.first,
                "Among the first five": record.first_five,
            }
            for model, record in records.items()
        ],
        "Past hit rates after a journey like this",
        scope,
        source=text.listed(list(records)),
        figure=figure,
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
