"""Page "Hidden states" of the insights app: phases of work behind the events, and those of a journey of one's choice.

Put here: the order and wording of this page. Keep out: its figures (``hidden_states_figures.py``), decoding
(``scoring.py``), drawing (``charts``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from analytics_assets.core.models.sequences import OTHER
from dashboards import components, data, event_names, scoring, text
from dashboards.charts import base, heatmaps
from dashboards.components import Tile
from dashboards.insights import hidden_states_figures as figures
from dashboards.insights import journey_picker, next_event_figures
from dashboards.insights.hidden_states_figures import ASSET, HiddenState
from dashboards.selection import Scope

STATE_KEY = "state"
"""Widget key and query parameter of the state whose events are shown."""

TELLING_SHARE = 0.01
"""Least chance of an event that is shown as telling: the lift of a rarer one rests on single events."""

EVENTS_SHOWN = 12
"""Events of a state: as many as fit a screen."""

FEW_HOUR_EVENTS = 30
"""Hours with fewer events are named under the chart: their shares are accidents."""

UNSTABLE = 0.5
"""Overlap of a state with its like from halves of the sessions below which half of what it emits is another thing."""

_TRAINING = "training sessions of people, all years"


def show(scope: Scope) -> None:
    """Draw the page."""
    st.title("What are people up to?")
    with components.explained():
        states = figures.states(scope.lake)
        if not states:
            st.info("The model has no states.", icon=":material/do_not_disturb_on:")
            return
        _states(scope, states)
        _events(scope, states)
        _moves(scope, states)
        _hours(scope, states)
    with components.explained():
        _decode(scope)


def state_labels(states: Sequence[HiddenState]) -> list[str]:
    """Names of the states for people, all different."""
    return event_names.event_labels([f"{state.number}: {state.name}" for state in states], width=60)


def _states(scope: Scope, states: Sequence[HiddenState]) -> None:
    labels = state_labels(states)
    first = states[0]
    st.markdown(
        f"Behind the events stand **{len(states)} hidden states**; the largest, {text.code(labels[0])}, holds "
        f"{text.share(first.share)} of all events"
        + (f" and lasts {first.dwell_events:.1f} events on average." if first.dwell_events is not None else ".")
    )
    components.unfiltered(scope, "the hidden Markov model")
    with components.explained():
        _tiles(scope, states)
    st.subheader("How large are the states?")
    stable = _stability(scope)
    figure = base.bars(
        [
            base.Bar(
                label + (" (unstable)" if stable.get(state.number, 1.0) < UNSTABLE else ""),
                state.events,
                f"{text.count(state.events)} · {text.share(state.share)}",
                base.BLUE if stable.get(state.number, 1.0) >= UNSTABLE else base.GREY,
            )
            for state, label in zip(states, labels, strict=True)
        ],
        title="Sizes of the hidden states",
        unit="events",
    )
    components.chart(figure, "hidden-states", scope)
    components.caption(
        ASSET,
        "events whose likeliest state it is, and share of all; grey where fits to halves of the sessions find a state "
        "that overlaps less than half",
        _TRAINING,
        scope.as_of,
    )
    with st.expander("As a table"):
        components.table(
            [
                {
                    "State": text.visible(label),
                    "Events": state.events,
                    "Share": 100 * state.share,
                    "Sessions begin in it": 100 * state.initial,
                    "Next action stays": 100 * state.stay,
                    "Mean visit": state.dwell_events,
                    "Median visit": text.duration(state.dwell_seconds),
                    "Stability": stable.get(state.number),
                }
                for state, label in zip(states, labels, strict=True)
            ],
            "Hidden states",
            scope,
            source=ASSET,
            figure=figure,
            column_config={
                "Events": st.column_config.NumberColumn(format="localized"),
                **{
                    name: st.column_config.NumberColumn(format="%.1f %%")
                    for name in ("Share", "Sessions begin in it", "Next action stays")
                },
                "Mean visit": st.column_config.NumberColumn("Mean visit, events", format="%.1f"),
                "Stability": st.column_config.NumberColumn(
                    format="%.2f", help="Overlap with the states of fits to halves of the sessions; 1 is the same."
                ),
            },
            alt="Table of the hidden states with their sizes and durations.",
        )


def _metrics(scope: Scope) -> dict[str, Any] | None:
    return data.model_metrics(scope.lake, ASSET, figures.METRICS)


def _stability(scope: Scope) -> dict[int, float]:
    """Stability of each state by number; empty where it is not known."""
    try:
        metrics = _metrics(scope)
    except data.LakeFileError:
        return {}  # The tiles, drawn from the same file, say so.
    found = (metrics or {}).get("training", {}).get("stability") or {}
    values = found.get("by_state")
    return (
        {number: value for number, value in enumerate(values) if isinstance(value, float)}
        if isinstance(values, list)
        else {}
    )


def _tiles(scope: Scope, states: Sequence[HiddenState]) -> None:
    metrics = _metrics(scope)
    chosen = f"Their number was chosen by {metrics['training']['chosen_by']}." if metrics else ""
    shown = [Tile("Hidden states", text.count(len(states)), "", chosen)]
    if metrics:
        bits = metrics["training"]["held_out_bits"]
        if bits["final"] is not None and bits["one_state"] is not None:
            shown.append(
                Tile(
                    "Surprise with states",
                    f"{bits['final']:.2f} bits",
                    f"without: {bits['one_state']:.2f} bits",
                    "Bits per event on sessions that the states were not estimated from: fewer are better.",
                )
            )
        shown.append(Tile("Learned from", text.count(metrics["training"]["samples"]["fit_events"]), "events"))
        stability = metrics["training"]["stability"]
        if stability and isinstance(stability.get("mean_overlap"), float):
            shown.append(
                Tile(
                    "Found again in halves",
                    text.exact_share(stability["mean_overlap"]),
                    "overlap of emissions",
                    "Mean overlap of the states of two fits, each to half of the sessions.",
                )
            )
    components.tiles(shown)


def _choose(states: Sequence[HiddenState]) -> int:
    labels = state_labels(states)
    return st.selectbox(
        "State", range(len(states)), key=STATE_KEY, format_func=lambda place: labels[place], bind="query-params"
    )


def _events(scope: Scope, states: Sequence[HiddenState]) -> None:
    st.subheader("Which events set a state apart?")
    place = _choose(states)
    rows = figures.lifted(scope.lake, states[place].number, TELLING_SHARE, EVENTS_SHOWN)
    if not rows:
        st.info("No event is frequent enough in this state.", icon=":material/do_not_disturb_on:")
        return
    figure = base.bars(
        [
            base.Bar(
                event_names.readable(row.event),
                row.lift,
                f"×{row.lift:.1f} · {text.share(row.probability)} of the state",
                base.GREEN,
            )
            for row in rows
        ],
        title="Events of the state by lift",
        unit="times likelier than over all states",
    )
    components.chart(figure, "events-of-a-state", scope)
    components.caption(
        ASSET,
        f"times likelier than over all states, and chance in the state; events of at least {text.share(TELLING_SHARE)}",
        _TRAINING,
        scope.as_of,
    )
    components.export(
        [
            {"Event": text.visible(event_names.readable(row.event)), "Probability": row.probability, "Lift": row.lift}
            for row in rows
        ],
        f"Events of state {states[place].number}",
        scope,
        source=ASSET,
        figure=figure,
    )


def _moves(scope: Scope, states: Sequence[HiddenState]) -> None:
    st.subheader("How do people pass from one state to another?")
    matrix = figures.moves(scope.lake, len(states))
    labels = state_labels(states)
    figure = heatmaps.heatmap(
        labels,
        labels,
        matrix,
        [[_percent(value) for value in row] for row in matrix],
        title="Chance of the next action's state",
        rows_are="From",
        columns_are="To",
    )
    components.chart(figure, "moves-between-states", scope)
    components.caption(
        ASSET,
        "estimated chance, in percent, that the next action has the state of the column; rows sum to 100",
        _TRAINING,
        scope.as_of,
    )
    components.export(
        [
            {"From": text.visible(label), **dict(zip(labels, row, strict=True))}
            for label, row in zip(labels, matrix, strict=True)
        ],
        "Moves between hidden states",
        scope,
        source=ASSET,
        figure=figure,
    )


def _percent(value: float | None) -> str:
    return "" if value is None else "<1" if 0 < value < 0.005 else f"{100 * value:.0f}"


def _hours(scope: Scope, states: Sequence[HiddenState]) -> None:
    st.subheader("At which hours?")
    shares, events = figures.hours(scope.lake, len(states))
    figure = heatmaps.heatmap(
        state_labels(states),
        [str(hour) for hour in range(24)],
        shares,
        [[_percent(value) for value in row] for row in shares],
        title="Share of each state by hour of the day",
        columns_are="Hour of the day (UTC)",
    )
    components.chart(figure, "hidden-states-by-hour", scope)
    few = [str(hour) for hour, number in enumerate(events) if number < FEW_HOUR_EVENTS]
    note = f"; fewer than {FEW_HOUR_EVENTS} events at {text.listed(few)} h" if few else ""
    components.caption(ASSET, f"share of the state in the events of the hour, in percent{note}", _TRAINING, scope.as_of)
    components.export(
        [
            {"State": text.visible(label), **{f"{hour:02}:00 UTC": share for hour, share in enumerate(row)}}
            for label, row in zip(state_labels(states), shares, strict=True)
        ],
        "Hidden states by hour",
        scope,
        source=ASSET,
        figure=figure,
    )


def _decode(scope: Scope) -> None:
    st.subheader("Which states does a journey of your choice pass through?")
    model = scoring.hidden_states(scope.lake)
    known = sorted(event for event in model.vocabulary if event != OTHER)
    if not known:
        st.info("No event type is frequent enough for the model to know it.", icon=":material/do_not_disturb_on:")
        return
    start = known[0]
    with components.explained():
        opening = _opening(scope)
        start = opening if opening in known else start
    journey = journey_picker.pick(known, start, runs_are_one=not model.parameters.repeats)
    chances = scoring.decoded(model, journey)
    names = event_names.event_labels([f"{number}: {name}" for number, name in enumerate(model.names)], width=60)
    likeliest = [max(range(len(row)), key=row.__getitem__) for row in chances]
    passed = list(dict.fromkeys(likeliest))
    st.markdown(
        f"Likeliest: {' → '.join(text.code(names[state]) for state in _without_runs(likeliest))}"
        + ("; the journey stays in one state." if len(passed) == 1 else ".")
    )
    steps = [f"{place}. {event_names.readable(event)}" for place, event in enumerate(journey, start=1)]
    shown = [state for state in range(len(names)) if max(row[state] for row in chances) >= TELLING_SHARE]
    figure = heatmaps.heatmap(
        [names[state] for state in shown],
        steps,
        [[row[state] for row in chances] for state in shown],
        [[_percent(row[state]) for row in chances] for state in shown],
        title="Chance of each hidden state at each event of the journey",
    )
    components.chart(figure, "states-of-a-journey", scope)
    components.caption(
        ASSET,
        "chance of the state, in percent, given the whole journey; states that reach one percent nowhere are left out",
        "the journey above",
        scope.as_of,
    )


def _opening(scope: Scope) -> str | None:
    """The most frequent first event of the test sessions, if the model published them."""
    if ASSET not in next_event_figures.published(scope.lake):
        return None
    return next_event_figures.opening(scope.lake, ASSET)


def _without_runs(states: Sequence[int]) -> list[int]:
    return [state for place, state in enumerate(states) if not place or states[place - 1] != state]
