"""Part of the page "Segments": put one actor through the model, as he is and with changes that a visitor makes.

Put here: choosing and changing an actor, and saying where the model puts him. Keep out: assigning (``scoring.py``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import streamlit as st

from analytics_assets.core.models.kmeans import LABELS
from analytics_assets.core.models.kmeans_features import MEASURES, UNITS, Behaviour
from dashboards import components, event_names, scoring, selection, text
from dashboards.charts import base
from dashboards.charts import segments as charts
from dashboards.insights import segments_figures as figures
from dashboards.scoring import Placement
from dashboards.selection import Scope

ACTOR_KEY = "segments_actor"
"""Widget key of the actor. He is not in the address: a link must not carry a person's pseudonym."""

EXAMPLES = 3
"""Actors that are named as examples."""

MAP_POINTS = 500
"""Actors drawn around the chosen one: enough to show the segments, few enough not to hide him."""

SHARE_MEASURES = tuple(name for name, unit in UNITS.items() if unit == "share")
EDITED_MEASURES = tuple(name for name in MEASURES if not name.startswith("hour_"))
"""Measures that can be changed one by one; the hour is changed as an hour."""


def show(scope: Scope) -> None:
    """Draw this part of the page."""
    st.subheader("Where would the model put somebody?")
    model = scoring.segments(scope.lake)
    if not len(model.centroids):
        st.info("The model has no segment.", icon=":material/do_not_disturb_on:")
        return
    # Of the model itself: the published figures may be older.
    labels = charts.segment_labels(model.names)
    actor = _actor(scope)
    behaviour = scoring.behaviour_of(scope.lake, scope.results["years"], actor) if actor else scoring.typical(model)
    if behaviour is None:
        st.warning(f"There is no actor {text.code(text.shortened(actor, 60))}.", icon=":material/person_search:")
        return
    before = scoring.placed(model, behaviour)
    st.markdown(_said(actor, before, labels))
    other = _changes(actor, behaviour)
    after = before if other is None else scoring.placed(model, other)
    if other is not None:
        st.markdown(_said_after(before, after, labels))
    _drawn(scope, before, after, labels, changed=other is not None)


def _actor(scope: Scope) -> str:
    actor = st.text_input(
        "Actor",
        key=ACTOR_KEY,
        placeholder="Somebody made up: the median of every measure, all events alike",
        help="A pseudonym as in the tables, such as user:… or device:…",
    ).strip()
    examples = list(dict.fromkeys(row[3] for row in figures.representatives(scope.lake) if row[2] == 1))[:EXAMPLES]
    if examples:
        st.caption(f"For example {text.listed([text.code(name) for name in examples])}.")
    return actor


def _said(actor: str, placement: Placement, labels: Sequence[str]) -> str:
    who = (
        text.code(text.shortened(actor, 60))
        if actor
        else "Somebody with the median of every measure and all events alike"
    )
    nearest = text.code(labels[placement.segment])
    if actor and placement.assigned in LABELS:
        return f"{who} is in no segment ({LABELS[placement.assigned]}); the nearest one is {nearest}."
    return f"{who} is in segment {nearest}."


def _said_after(before: Placement, after: Placement, labels: Sequence[str]) -> str:
    if after.segment == before.segment:
        return f"With your changes: still {text.code(labels[after.segment])}."
    return (
        f"With your changes: moved from {text.code(labels[before.segment])} to **segment** "
        f"{text.code(labels[after.segment])}."
    )


def _hour(behaviour: Behaviour) -> tuple[float, float]:
    """Mean hour of the first actor, and how strongly the hours gather there (0 to 1)."""
    sine, cosine = (float(behaviour.measures[0, MEASURES.index(name)]) for name in ("hour_sin", "hour_cos"))
    return math.atan2(sine, cosine) * 24 / math.tau % 24, math.hypot(sine, cosine)


def _changes(actor: str, behaviour: Behaviour) -> Behaviour | None:
    """Draw the changes and return the changed actor; None while nothing is changed."""
    measures: dict[str, float] = {}
    shares: dict[str, float] = {}
    with st.expander("Change what they do"):
        columns = st.columns(3)
        for place, name in enumerate(EDITED_MEASURES):
            share = name in SHARE_MEASURES
            own = max(0.0, round(float(behaviour.measures[0, MEASURES.index(name)]), 3))
            current = min(100.0, 100 * own) if share else own
            unit = "%" if share else UNITS[name]
            with columns[place % 3]:
                chosen = st.number_input(
                    f"{name.replace('_', ' ').capitalize()}{f', {unit}' if unit else ''}",
                    min_value=0.0,
                    max_value=100.0 if share else None,
                    value=current,
                    key=f"segments {name} {actor}",
                )
            if chosen != current:
                measures[name] = chosen / 100 if share else chosen
        hour, strength = _hour(behaviour)
        with columns[len(EDITED_MEASURES) % 3]:
            chosen_hour = st.number_input(
                "Mean hour of the day, UTC",
                min_value=0.0,
                max_value=24.0,
                value=round(hour, 2),
                key=f"segments hour {actor}",
            )
        if chosen_hour != round(hour, 2):
            angle = chosen_hour / 24 * math.tau
            measures |= {"hour_sin": strength * math.sin(angle), "hour_cos": strength * math.cos(angle)}
        shares = _share_changes(actor, behaviour)
    return scoring.changed(behaviour, measures, shares) if measures or shares else None


def _share_changes(actor: str, behaviour: Behaviour) -> dict[str, float]:
    names = behaviour.event_names
    own = dict(zip(names, (float(share) for share in behaviour.shares(names)[0]), strict=True))
    left, right = st.columns(2)
    with left:
        event = st.selectbox(
            "Share of an event",
            names,
            format_func=lambda name: text.visible(event_names.readable(name)),
            key=f"segments event {actor}",
            help="All other events give way in proportion.",
        )
    with right:
        current = round(100 * own[event])
        chosen = st.slider("Of all they do, %", 0, 100, current, key=f"segments share {event} {actor}")
    return {} if chosen == current else {event: chosen / 100}


def _drawn(scope: Scope, before: Placement, after: Placement, labels: Sequence[str], *, changed: bool) -> None:
    left, right = st.columns([2, 3])
    with left:
        figure = _distances(after, labels)
        components.chart(figure, "distances-to-segments", scope)
        components.caption(
            figures.ASSET,
            "distance to the centre of each segment in the scaled space; the shortest one wins",
            "the actor above",
            scope.as_of,
        )
    with right:
        points, _ = selection.segment_points(scope.lake, MAP_POINTS)
        marked = [("now" if changed else "here", *before.point), *([("changed", *after.point)] if changed else [])]
        figure = charts.segment_map(points, marked)
        components.chart(figure, "place-of-an-actor", scope)
        components.caption(
            figures.ASSET,
            "place on the two main components; segments are told apart in all of them, not only in these two",
            f"{text.count(len(points))} people around the actor above",
            scope.as_of,
        )


def _distances(placement: Placement, labels: Sequence[str]) -> Any:
    return base.bars(
        [
            base.Bar(
                label,
                distance,
                f"{distance:.2f}{' · nearest' if place == placement.segment else ''}",
                charts.SEGMENT_COLOURS[place % len(charts.SEGMENT_COLOURS)],
            )
            for place, (label, distance) in enumerate(zip(labels, placement.distances, strict=False))
        ],
        title="Distance to the centre of each segment",
        unit="distance",
    )
