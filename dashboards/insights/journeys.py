"""Page "Journeys" of the insights app: how sessions run, which moves are common, what goals and surprises there are.

Put here: the order of this page, and its parts that are counted from sessions. Keep out: the parts that the Markov
chain gives (``journeys_chain.py``), counting (``journeys_figures.py``), drawing (``charts``).
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboards import components, data, event_names, text
from dashboards.charts import base, flows
from dashboards.charts.flows import FlowNode
from dashboards.components import Tile
from dashboards.insights import journeys_chain
from dashboards.insights import journeys_figures as figures
from dashboards.insights.journeys_figures import EVENT, EXIT, Flows, Node, Stream
from dashboards.selection import Scope

STREAM_KEY, STEPS_KEY, LENGTH_KEY, DELIVERY_KEY = "stream", "steps", "length", "delivery"
"""Widget keys and query parameters of the stream, the steps drawn, the length of runs, and the delivery that runs are
counted in."""

STREAM_NAMES: dict[Stream, str] = {
    "intent": "What people do",
    "raw": "Every event, with what the interface makes by itself",
}

OTHER_NAME, EXIT_NAME = "Other events", "End of session"

RUNS_SHOWN = 15
"""Runs drawn as bars; the table holds all that are published."""

RUN_LENGTHS = (2, 3, 4, 5)


def show(scope: Scope) -> None:
    """Draw the page."""
    st.title("How do sessions run?")
    with components.explained():
        _flow(scope)
    journeys_chain.moves(scope)
    _runs(scope)
    journeys_chain.goals(scope)
    journeys_chain.what_if(scope)
    journeys_chain.surprises(scope)


def _population(scope: Scope) -> str:
    return f"sessions of people{f', {text.prose(scope.words)}' if scope.narrowed else ', all years'}"


def _flow(scope: Scope) -> None:
    # The answer stands above the choice that it depends on.
    answer = st.container()
    st.subheader("How do sessions flow through their first steps?")
    left, right = st.columns([2, 1])
    with left:
        stream = _stream_choice()
    with right:
        steps = st.slider(
            "Steps",
            2,
            figures.FLOW_STEPS,
            figures.FLOW_STEPS,
            key=STEPS_KEY,
            help="Fewer are easier to read on a phone.",
            bind="query-params",
        )
    found = figures.flows(scope, stream, steps=steps)
    if not found.sessions:
        st.info("No session of people in this selection has an event.", icon=":material/do_not_disturb_on:")
        return
    with answer:
        st.markdown(_answer(found))
        _tiles(found, steps)
    figure = _sankey(found)
    components.chart(figure, "flow-of-sessions", scope)
    components.caption(
        "clean_events, sessions",
        f"sessions by their first {steps} steps; each session counts once, the "
        f"{figures.FLOW_EVENTS} most frequent events of a step keep their name, colours are families of events",
        _population(scope),
        scope.as_of,
    )
    with st.expander("As a table: share of all sessions by event and step"):
        rows = step_matrix(found)
        components.table(
            rows,
            "Share of sessions by event and step",
            scope,
            source="clean_events, sessions",
            figure=figure,
            column_config={
                name: st.column_config.NumberColumn(format="%.1f %%") for name in rows[0] if name != "Event"
            },
            alt="Table of the share of sessions at each event by step.",
        )
        st.caption(
            "A gap: the event is not among the most frequent ones of that step, so it is counted with the other "
            "events. The end of the session counts sessions that ended after the step before."
        )


def _stream_choice() -> Stream:
    chosen = st.segmented_control(
        "Stream",
        list(STREAM_NAMES),
        key=STREAM_KEY,
        default="intent",
        format_func=STREAM_NAMES.__getitem__,
        help="What the interface makes by itself, such as renders, is left out of what people do, and a run of one "
        "event is one step.",
        bind="query-params",
    )
    return chosen or "intent"  # Nothing is chosen after a click on the chosen one.


def _answer(found: Flows) -> str:
    first = max(
        (node for node in found.entries if node.kind == EVENT), key=lambda node: found.entries[node], default=None
    )
    sentence = f"**{text.count(found.sessions)} sessions**"
    if first is not None:
        share = text.share(text.ratio(found.entries[first], found.sessions))
        sentence += f": {share} begin with {text.code(event_names.readable(first.event))}"
    onward = [
        (number, origin, target)
        for (origin, target), number in found.links.items()
        if origin.kind == target.kind == EVENT
    ]
    if onward:
        number, origin, target = max(onward, key=lambda row: row[0])
        sentence += (
            f"; the broadest way leads from {text.code(event_names.readable(origin.event))} to "
            f"{text.code(event_names.readable(target.event))} at step {target.step}, "
            f"{text.share(text.ratio(number, found.sessions))} of all"
        )
    return sentence + "."


def _ended(found: Flows, step: int) -> int:
    """Sessions that have ended before a step."""
    return sum(number for (_, target), number in found.links.items() if target.kind == EXIT and target.step <= step)


def _tiles(found: Flows, steps: int) -> None:
    one, last = _ended(found, 2), found.sessions - _ended(found, steps)
    ways = len([link for link in found.links if link[0].kind == link[1].kind == EVENT])
    components.tiles(
        [
            Tile("Sessions", text.count(found.sessions), "of people, with a step"),
            Tile("End after one step", text.share(text.ratio(one, found.sessions)), f"{text.count(one)} sessions"),
            Tile(
                f"Reach step {steps}",
                text.share(text.ratio(last, found.sessions)),
                f"{text.count(last)} sessions",
            ),
            Tile("Ways drawn", text.count(ways), "between named events"),
        ]
    )


def _name(node: Node) -> str:
    return node.event if node.kind == EVENT else EXIT_NAME if node.kind == EXIT else OTHER_NAME


def _sankey(found: Flows) -> Any:
    through = found.through()
    place = {node: number for number, node in enumerate(through)}
    return flows.sankey(
        [FlowNode(_name(node), node.kind == EVENT, node.kind == EXIT, number) for node, number in through.items()],
        [(place[origin], place[target], number) for (origin, target), number in found.links.items()],
        found.sessions,
    )


def step_matrix(found: Flows) -> list[dict[str, Any]]:
    """Percent of all sessions by event and step, most frequent events first; None where an event is not named."""
    through = found.through()
    events = {(node.kind, node.event) for node in through}
    totals = {key: sum(number for node, number in through.items() if (node.kind, node.event) == key) for key in events}
    order = sorted(events, key=lambda key: (key[0] != EVENT, key[0] == EXIT, -totals[key], key[1]))
    steps = sorted({node.step for node in through})
    return [
        {
            "Event": text.visible(event_names.readable(event)) if kind == EVENT else _name(Node(0, kind)),
            **{
                f"Step {step}": None
                if (number := through.get(Node(step, kind, event))) is None
                else 100 * number / found.sessions
                for step in steps
            },
        }
        for kind, event in order
    ]


def _runs(scope: Scope) -> None:
    st.subheader("Which runs of events recur?")
    years = figures.ngram_years(scope.lake)
    if not years:
        newest = (scope.lake.ingested_years() or ["<year>"])[-1]
        components.explain(
            data.MissingFileError(scope.lake.summary(newest, "spark_event_ngrams"), "spark_event_ngrams")
        )
        return
    components.unfiltered(scope, "runs, which are counted by delivery")
    stream, length, delivery = st.columns(3)
    with stream:
        chosen = st.selectbox(
            "Events", list(STREAM_NAMES), key="runs_of", format_func=STREAM_NAMES.__getitem__, bind="query-params"
        )
    with length:
        number = st.selectbox("Events in a run", RUN_LENGTHS, index=1, key=LENGTH_KEY, bind="query-params")
    with delivery:
        year = st.selectbox("Delivery", years, index=len(years) - 1, key=DELIVERY_KEY, bind="query-params")
    with components.explained():
        runs = figures.runs(scope.lake, year, chosen, number)
        if not runs:
            st.info(f"No session of {year} has {number} such events.", icon=":material/do_not_disturb_on:")
            return
        events = list(dict.fromkeys(name for run in runs for name in run.events))
        labels = dict(zip(events, event_names.event_labels(events), strict=True))
        figure = base.bars(
            [
                base.Bar(
                    " → ".join(labels[name] for name in run.events),
                    run.occurrences,
                    f"{text.count(run.occurrences)} · {text.share(run.share)}",
                )
                for run in runs[:RUNS_SHOWN]
            ],
            title=f"Most frequent runs of {number} events",
            unit="occurrences",
        )
        components.chart(figure, "runs-of-events", scope)
        components.caption(
            "spark_event_ngrams",
            f"occurrences and share of all runs of {number} events, overlapping ones included",
            f"sessions of people in delivery {year}",
            scope.as_of,
        )
        with st.expander(f"All {len(runs)} as a table"):
            components.table(
                [
                    {
                        **{
                            f"Event {place}": text.visible(event_names.readable(name))
                            for place, name in enumerate(run.events, start=1)
                        },
                        "Occurrences": run.occurrences,
                        "Sessions": run.sessions,
                        "Share": 100 * run.share,
                    }
                    for run in runs
                ],
                "Runs of events",
                scope,
                source="spark_event_ngrams",
                figure=figure,
                column_config={
                    "Occurrences": st.column_config.NumberColumn(format="localized"),
                    "Sessions": st.column_config.NumberColumn(format="localized"),
                    "Share": st.column_config.NumberColumn(format="%.2f %%"),
                },
                alt="Table of the most frequent runs of events.",
            )
