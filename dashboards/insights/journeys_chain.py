"""Parts of the page "Journeys" that the Markov chain gives: moves, goals, what if, surprises.

Put here: their order and wording. Keep out: reading them (``chain_figures.py``), drawing (``charts``).
"""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import streamlit as st

from dashboards import components, data, event_names, shapes, text
from dashboards.charts import base, changes, flows
from dashboards.charts.changes import Change
from dashboards.charts.flows import Move
from dashboards.insights import chain_figures as figures
from dashboards.insights import next_event_figures
from dashboards.insights.chain_figures import ANY_GOAL, EXIT, START, Edge, Weight
from dashboards.selection import Scope

WEIGHT_KEY, EDGES_KEY, GOAL_KEY = "weight", "edges", "goal"
"""Widget keys and query parameters of the network's weight and number of moves, and of the goal."""

WEIGHT_NAMES: dict[Weight, str] = {"transitions": "How often", "probability": "How probable"}

FEWEST_EDGES, MOST_EDGES, USUAL_EDGES = 5, 80, 30
"""Moves of the network: fewer say nothing, more cannot be followed; what one looks at first is in between."""

ROWS_SHOWN = 12
"""Bars of a list: as many as fit a screen."""

SESSIONS_SHOWN = 15
"""Surprising sessions to choose from."""

CHAIN_METRICS = {
    "analysis": {
        "sessions": int,
        "events": int,
        "events_per_session": shapes.MAYBE_NUMBER,
        "goals": {
            "names": [str],
            "probability": shapes.MAYBE_NUMBER,
            "interval": (list, type(None)),
            "observed": shapes.MAYBE_NUMBER,
        },
    }
}
"""What the page reads of the chain's metrics."""

_SCOPE_NOTE = "what the Markov chain says"
_TRAINING = "training sessions of people, all years"


def _shown(name: str) -> str:
    return {START: "Start of session", EXIT: "End of session"}.get(name, event_names.readable(name))


def moves(scope: Scope) -> None:
    """The network of moves and its table."""
    st.subheader("Which moves connect the events?")
    components.unfiltered(scope, _SCOPE_NOTE)
    left, right = st.columns(2)
    with left:
        weight = st.selectbox(
            "Strength of a move",
            list(WEIGHT_NAMES),
            key=WEIGHT_KEY,
            format_func=WEIGHT_NAMES.__getitem__,
            help=f"How probable: the share of what leaves an event, of moves made at least "
            f"{figures.FEW_TRANSITIONS} times.",
            bind="query-params",
        )
    with right:
        number = st.slider("Moves drawn", FEWEST_EDGES, MOST_EDGES, USUAL_EDGES, 5, key=EDGES_KEY, bind="query-params")
    with components.explained():
        found = figures.edges(scope.lake, weight, number)
        if not found:
            st.info("No session has two events.", icon=":material/do_not_disturb_on:")
            return
        largest = max(_weight(edge, weight) for edge in found)
        figure = flows.network(
            [
                Move(edge.origin, edge.target, _weight(edge, weight) / largest, _edge_words(edge), edge.significant)
                for edge in found
            ],
            (START, EXIT),
        )
        components.chart(figure, "moves-between-events", scope)
        left_out = f"; {number - len(found)} weaker ones would not fit" if len(found) < number else ""
        components.caption(
            "markov_chain",
            f"the {len(found)} strongest moves{left_out}; thickness is {WEIGHT_NAMES[weight].lower()}, blue arrows "
            "differ from chance (5 % false discoveries), grey ones may not",
            _TRAINING,
            scope.as_of,
        )
        _edge_table(scope, found, figure)


def _weight(edge: Edge, weight: Weight) -> float:
    return edge.probability if weight == "probability" else float(edge.transitions)


def _edge_words(edge: Edge) -> str:
    interval = (
        f" [{100 * edge.low:.1f}–{100 * edge.high:.1f}]" if edge.low is not None and edge.high is not None else ""
    )
    return (
        f"{_shown(edge.origin)} → {_shown(edge.target)}: {text.count(edge.transitions)} times in "
        f"{text.count(edge.sessions)} sessions, {text.exact_share(edge.probability)}{interval} of what leaves the first"
    )


def _edge_table(scope: Scope, found: list[Edge], figure: go.Figure) -> None:
    with st.expander("As a table"):
        components.table(
            [
                {
                    "From": text.visible(_shown(edge.origin)),
                    "To": text.visible(_shown(edge.target)),
                    "Times": edge.transitions,
                    "Sessions": edge.sessions,
                    "Probability": 100 * edge.probability,
                    "From %": None if edge.low is None else 100 * edge.low,
                    "To %": None if edge.high is None else 100 * edge.high,
                    "Median time between": text.duration(edge.median_seconds),
                    "Differs from chance": edge.significant,
                }
                for edge in found
            ],
            "Moves between events",
            scope,
            source="markov_chain",
            figure=figure,
            column_config={
                "Times": st.column_config.NumberColumn(format="localized"),
                "Sessions": st.column_config.NumberColumn(format="localized"),
                **{
                    name: st.column_config.NumberColumn(
                        format="%.1f %%", help="Share of what leaves the first event, with its 95 % interval."
                    )
                    for name in ("Probability", "From %", "To %")
                },
            },
            alt="Table of the moves that the network shows.",
        )


def goals(scope: Scope) -> None:
    """Chances of coming to a goal, and what each event contributes."""
    st.subheader("From where do people come to a goal?")
    components.unfiltered(scope, _SCOPE_NOTE)
    with components.explained():
        names = figures.goals(scope.lake)
        if not names:
            st.info("The chain has no goal: no event is frequent at the end of sessions.", icon=":material/flag:")
            return
        goal = st.selectbox(
            "Goal",
            names,
            key=GOAL_KEY,
            format_func=lambda name: (
                "Any of the goals" if name == ANY_GOAL else text.visible(event_names.readable(name))
            ),
            help="Goals are the setting `goals` of the asset markov_chain, else common last events.",
            bind="query-params",
        )
        chances = figures.goal_chances(scope.lake, goal)
        st.markdown(_goal_answer(goal, chances))
        left, right = st.columns(2)
        with left:
            st.markdown("**Chance to come to it**")
            shown = [row for row in chances if row[0] not in (goal, START)][:ROWS_SHOWN]
            figure = base.bars(
                [
                    base.Bar(_shown(event), chance, _distance_words(chance, distance), base.GREEN)
                    for event, chance, distance in shown
                ],
                title="Chance to come to the goal by event",
                unit="probability",
                longest=1.0,
            )
            components.chart(figure, "chance-of-a-goal", scope)
            components.caption(
                "markov_chain",
                f"chance before the session ends and mean events on the way; the {len(shown)} best",
                f"model-based, {_TRAINING}",
                scope.as_of,
            )
            components.export(
                [
                    {"From": text.visible(_shown(event)), "Chance": chance, "Events to the goal": distance}
                    for event, chance, distance in shown
                ],
                "Chance of a goal by event",
                scope,
                source="markov_chain",
                figure=figure,
            )
        with right:
            st.markdown("**What would be lost without an event**")
            _removal(scope)


def _distance_words(chance: float, distance: float | None) -> str:
    return text.share(chance) + (f" in {distance:.1f} events" if distance is not None and chance > 0 else "")


def _goal_answer(goal: str, chances: list[tuple[str, float, float | None]]) -> str:
    start = next((row for row in chances if row[0] == START), None)
    name = "one of the goals" if goal == ANY_GOAL else text.code(event_names.readable(goal))
    if start is None:
        return f"Nothing is known of the way to {name}."
    way = f", on average after {start[2]:.1f} events" if start[2] is not None else ""
    return f"By the chain **{text.exact_share(start[1])}** of sessions come to {name}{way}."


def _removal(scope: Scope) -> None:
    states = [state for state in figures.states(scope.lake) if state.removal_effect is not None][:ROWS_SHOWN]
    if not states:
        st.info("No journey comes to a goal.", icon=":material/do_not_disturb_on:")
        return
    bars = []
    for state in states:
        effect = state.removal_effect or 0.0
        interval = None if state.low is None or state.high is None else (state.low, state.high)
        said = "" if interval is None else f" [{100 * interval[0]:.0f}–{100 * interval[1]:.0f}]"
        bars.append(base.Bar(event_names.readable(state.event), effect, text.share(effect) + said, interval=interval))
    figure = base.bars(bars, title="Removal effect by event", unit="share of goals", longest=1.0)
    components.chart(figure, "removal-effects", scope)
    components.caption(
        "markov_chain",
        "removal effect: share of the journeys to any goal that pass the event (of a goal: that come to it first), "
        f"with 95 % interval over people; the {len(bars)} largest",
        f"model-based, not causal, {_TRAINING}",
        scope.as_of,
    )
    components.export(
        [
            {
                "Event": text.visible(event_names.readable(state.event)),
                "Removal effect": state.removal_effect,
                "From": state.low,
                "To": state.high,
                "Credit": state.credit,
            }
            for state in states
        ],
        "Removal effect by event",
        scope,
        source="markov_chain",
        figure=figure,
    )


def what_if(scope: Scope) -> None:
    """Simulated journeys without an event."""
    st.subheader("What if an event were not there?")
    st.badge("Model-based, not causal", icon=":material/function:", color="gray")
    components.unfiltered(scope, _SCOPE_NOTE)
    with components.explained():
        plain, rows = figures.what_if(scope.lake)
        if plain is None or not rows:
            st.info("There is no event whose removal was simulated.", icon=":material/do_not_disturb_on:")
            return
        st.markdown(
            f"As it is, **{text.exact_share(plain['goal_rate'])}** of {text.count(plain['journeys'])} simulated "
            f"journeys come to a goal (by algebra {text.exact_share(plain['goal_rate_exact'])})."
        )
        _how_true(scope)
        known = [row for row in rows if row["goal_rate_change"] is not None]
        figure = changes.changes(
            [
                Change(
                    f"Without {event_names.readable(row['removed_event'])}, {_reading(row['reading'])}",
                    row["goal_rate_change"],
                    (row["goal_rate_change_low"], row["goal_rate_change_high"]),
                    f"{100 * row['goal_rate_change']:+.1f}",
                    base.VERMILLION if row["reading"] == "exit" else base.BLUE,
                )
                for row in known
            ],
            title="Change of the share of journeys that come to a goal",
            unit="change of the share of journeys that come to a goal",
        )
        components.chart(figure, "without-an-event", scope)
        components.caption(
            "markov_chain",
            "percentage points, with the 95 % interval that simulation leaves open; the events with the largest "
            "removal effects",
            f"{text.count(plain['journeys'])} simulated journeys per case",
            scope.as_of,
        )
        _what_if_table(scope, plain, rows, figure)


def _reading(name: str) -> str:
    return "people leave" if name == "exit" else "people go around it"


def _how_true(scope: Scope) -> None:
    """Say how well the chain reproduces what it learned from: nothing can be concluded from one that does not."""
    metrics = data.model_metrics(scope.lake, "markov_chain", CHAIN_METRICS)
    if metrics is None:
        return
    found = metrics["analysis"]
    goal, length = found["goals"], text.ratio(found["events"], found["sessions"])
    if goal["observed"] is None or goal["probability"] is None or length is None or not found["events_per_session"]:
        return
    words = (
        f"The chain gives a session {found['events_per_session']:.1f} events, the log {length:.1f}; it comes to a goal "
        f"in {text.exact_share(goal['probability'])}, the log in {text.exact_share(goal['observed'])} of the sessions."
    )
    interval = goal["interval"]
    if interval and not interval[0] <= goal["observed"] <= interval[1]:
        st.warning(
            f"{words} That is outside the interval of the chain's figure ({100 * interval[0]:.1f}–"
            f"{100 * interval[1]:.1f} %): take the changes below as a rough guide.",
            icon=":material/warning:",
        )
    else:
        st.caption(words)


def _what_if_table(scope: Scope, plain: dict[str, Any], rows: list[dict[str, Any]], figure: go.Figure) -> None:
    with st.expander("As a table"):
        components.table(
            [
                {
                    "Without": "(as it is)"
                    if row["removed_event"] is None
                    else text.visible(event_names.readable(row["removed_event"])),
                    "Then": "" if row["reading"] is None else _reading(row["reading"]),
                    "Come to a goal": 100 * row["goal_rate"],
                    "By algebra": None if row["goal_rate_exact"] is None else 100 * row["goal_rate_exact"],
                    "Events": row["events"],
                    "Change in events": row["events_change"],
                }
                for row in (plain, *rows)
            ],
            "What if an event were not there",
            scope,
            source="markov_chain",
            figure=figure,
            column_config={
                "Come to a goal": st.column_config.NumberColumn(format="%.1f %%"),
                "By algebra": st.column_config.NumberColumn(
                    format="%.1f %%", help="The same without simulation: both must agree."
                ),
                "Events": st.column_config.NumberColumn(format="%.1f", help="Mean events of a journey."),
                "Change in events": st.column_config.NumberColumn(format="%+.1f"),
            },
            alt="Table of simulated journeys with and without single events.",
        )


def surprises(scope: Scope) -> None:
    """The test sessions that models foresaw worst, and where."""
    st.subheader("Which sessions surprised the models most?")
    components.unfiltered(scope, "surprises")
    models = [
        name for name in ("markov_chain", "hidden_markov_model") if name in next_event_figures.published(scope.lake)
    ]
    if not models:
        components.explain(
            data.MissingFileError(scope.lake.model("markov_chain") / "test_predictions.parquet", "markov_chain")
        )
        return
    with components.explained():
        found = figures.surprising_sessions(scope.lake, models, SESSIONS_SHOWN)
        if not found:
            st.info(
                f"No test session has {figures.SHORTEST_SURPRISE} scored events.", icon=":material/do_not_disturb_on:"
            )
            return
        names = [next_event_figures.MODEL_NAMES[model] for model in models]
        by_session = {surprise.session: surprise for surprise in found}
        chosen = st.selectbox(
            "Session",
            list(by_session),
            format_func=lambda key: (
                f"{by_session[key].bits[0]:.1f} bits per event, {by_session[key].events} events: "
                f"{text.visible(text.shortened(key, 40))}"
            ),
            help="Most surprising first, by mean bits per event.",
        )
        rows = figures.steps(scope.lake, models, chosen)
        worst = max(rows, key=lambda step: step.bits[0])
        st.markdown(
            f"The oddest step: after {text.code(_shown(worst.before))} came {text.code(_shown(worst.came))}, worth "
            f"**{worst.bits[0]:.1f} bits**; {text.code(_shown(worst.expected))} was expected."
        )
        components.table(
            [
                {
                    "After": text.visible(_shown(step.before)),
                    "Came": text.visible(_shown(step.came)),
                    "Expected": text.visible(_shown(step.expected)),
                    **{f"Bits, {name}": bits for name, bits in zip(names, step.bits, strict=True)},
                    "Event": step.uuid,
                }
                for step in rows
            ],
            "Steps of a surprising session",
            scope,
            source=text.listed(models),
            column_config={
                **{
                    f"Bits, {name}": st.column_config.ProgressColumn(
                        format="%.1f", min_value=0, max_value=max(20.0, *(max(step.bits) for step in rows))
                    )
                    for name in names
                },
                "Event": st.column_config.TextColumn(help="uuid: the row in clean_events and in the raw export."),
            },
            alt="Table of the steps of the chosen session with their surprise.",
        )
        components.caption(
            text.listed(models),
            "bits: -log2 of the probability of what came; 1 bit is a coin, 20 bits the most that counts",
            f"test sessions with at least {figures.SHORTEST_SURPRISE} scored events, all years",
            scope.as_of,
        )
