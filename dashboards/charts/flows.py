"""Charts of journeys: the flow through the first steps, and the network of moves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from dashboards import event_names, text
from dashboards.charts.base import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION, finish

FAMILY_COLOURS = (BLUE, GREEN, ORANGE, PURPLE, SKY)
"""Colours of the most frequent families of events; the others are grey. Vermillion is the exit's."""

NODE_LABEL, NETWORK_LABEL = 17, 18
"""Characters of a node's label: the labels of the last two columns share a fourth of the width; around a circle they
stand outside it, on a phone, too."""

RIBBON, EXIT_RIBBON = "rgba(127,127,127,0.28)", "rgba(213,94,0,0.22)"
"""Ribbons, see-through so that crossing ones can be followed."""

WIDEST_ARROW = 7.0
"""Pixels of the strongest move's arrow."""


@dataclass(frozen=True)
class FlowNode:
    """One place of a flow: the event's name, or words where it is none, and its sessions."""

    name: str
    is_event: bool
    is_exit: bool
    sessions: int


def family(name: str) -> str:
    """First part of an event's name."""
    return event_names.readable(name).split(" > ")[0]


def family_colours(weights: Mapping[str, int]) -> dict[str, str]:
    """Colour by family; `weights` are the families with their frequency."""
    order = sorted(weights, key=lambda name: (-weights[name], name))
    return {name: FAMILY_COLOURS[place] if place < len(FAMILY_COLOURS) else GREY for place, name in enumerate(order)}


def sankey(nodes: Sequence[FlowNode], links: Sequence[tuple[int, int, int]], sessions: int) -> go.Figure:
    """Flow of sessions from left to right.

    Parameters
    ----------
    nodes : sequence of FlowNode
    links : sequence of (origin, target, sessions)
        Origins and targets as places in `nodes`.
    sessions : int
        All of them, what shares are of.
    """
    weights: dict[str, int] = {}
    for node in nodes:
        if node.is_event:
            weights[family(node.name)] = weights.get(family(node.name), 0) + node.sessions
    colours = family_colours(weights)
    # A label may return at another step, so it is made unique over events, not over nodes.
    events = list(dict.fromkeys(node.name for node in nodes if node.is_event))
    labels = dict(zip(events, event_names.event_labels(events, NODE_LABEL), strict=True))
    full = [event_names.readable(node.name) if node.is_event else node.name for node in nodes]

    def shown(place: int) -> str:
        node = nodes[place]
        return labels[node.name] if node.is_event else node.name

    def colour(node: FlowNode) -> str:
        return VERMILLION if node.is_exit else colours[family(node.name)] if node.is_event else GREY

    def hover_node(place: int) -> str:
        number = nodes[place].sessions
        return (
            f"{text.for_plotly(full[place])}<br>{text.count(number)} sessions, "
            f"{text.share(text.ratio(number, sessions))} of all"
        )

    def hover_link(origin: int, target: int, number: int) -> str:
        return (
            f"{text.for_plotly(full[origin])} → {text.for_plotly(full[target])}<br>{text.count(number)} sessions: "
            f"{text.share(text.ratio(number, nodes[origin].sessions))} of those there, "
            f"{text.share(text.ratio(number, sessions))} of all"
        )

    figure = go.Figure()
    figure.add_sankey(
        name="sessions",
        # Without it plotly would move ends of sessions to the last column.
        node={
            "align": "left",
            "label": [text.for_plotly(shown(place)) for place in range(len(nodes))],
            "color": [colour(node) for node in nodes],
            "customdata": [hover_node(place) for place in range(len(nodes))],
            "hovertemplate": "%{customdata}<extra></extra>",
            "pad": 10,
            "thickness": 12,
            "line": {"width": 0},
        },
        link={
            "source": [origin for origin, _, _ in links],
            "target": [target for _, target, _ in links],
            "value": [number for _, _, number in links],
            "color": [EXIT_RIBBON if nodes[target].is_exit else RIBBON for _, target, _ in links],
            "customdata": [hover_link(*link) for link in links],
            "hovertemplate": "%{customdata}<extra></extra>",
        },
    )
    largest = sorted(links, key=lambda link: -link[2])[:3]
    said = "; ".join(f"{full[origin]} to {full[target]}: {number:,} sessions" for origin, target, number in largest)
    return finish(figure, f"Flow of {sessions:,} sessions through their first steps. Largest: {said or 'none'}.", 560)


@dataclass(frozen=True)
class Move:
    """An arrow of the network: names, its weight from 0 to 1, and words on it, not escaped yet."""

    origin: str
    target: str
    weight: float
    said: str
    solid: bool


def _places(names: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Places on a circle, clockwise from the top, in the order given."""
    angles = [math.tau * place / len(names) for place in range(len(names))]
    return {name: (math.sin(angle), math.cos(angle)) for name, angle in zip(names, angles, strict=True)}


def _arrow(move: Move, at: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    (x0, y0), (x1, y1) = at[move.origin], at[move.target]
    return {
        **{"x": x1, "y": y1, "ax": x0, "ay": y0, "xref": "x", "yref": "y", "axref": "x", "ayref": "y"},
        **{"text": "", "showarrow": True, "arrowhead": 2, "arrowsize": 0.8, "standoff": 9, "startstandoff": 9},
        "opacity": 0.75,
        "arrowwidth": max(1.0, WIDEST_ARROW * move.weight),
        "arrowcolor": BLUE if move.solid else GREY,
    }


def _label(name: str, x: float, y: float) -> dict[str, Any]:
    """A label outside the circle, on the side where its place is."""
    return {
        **{"x": x, "y": y, "xshift": 12 * x, "yshift": 14 * y, "text": text.for_plotly(name), "showarrow": False},
        "xanchor": "center" if abs(x) < 0.15 else "left" if x > 0 else "right",
        "yanchor": "middle" if abs(y) < 0.9 else "bottom" if y > 0 else "top",
        "font": {"size": 12},
    }


def network(moves: Sequence[Move], ends: Sequence[str]) -> go.Figure:
    """Events on a circle, families side by side, an arrow per move.

    The circle is the same at every visit, and no arrow is hidden behind an event.

    Parameters
    ----------
    moves : sequence of Move
    ends : sequence of str
        Names that are no events, such as start and exit; drawn as grey squares.
    """
    names = sorted(
        {name for move in moves for name in (move.origin, move.target)},
        key=lambda name: (name not in ends, family(name), name),
    )
    labels = dict(zip(names, event_names.event_labels(names, NETWORK_LABEL), strict=True))
    degree = {name: sum(move.weight for move in moves if name in (move.origin, move.target)) for name in names}
    weights: dict[str, int] = {}
    for name in names:
        if name not in ends:
            weights[family(name)] = weights.get(family(name), 0) + 1
    colours = family_colours(weights)
    at = _places(names)
    figure = go.Figure()
    # All at once: adding one by one takes Plotly a second for fifty.
    annotations = [_arrow(move, at) for move in moves]
    figure.add_scatter(
        # Two thirds of the way, so that there and back do not share a place.
        x=[(at[move.origin][0] + 2 * at[move.target][0]) / 3 for move in moves],
        y=[(at[move.origin][1] + 2 * at[move.target][1]) / 3 for move in moves],
        mode="markers",
        name="moves",
        marker={"size": 12, "opacity": 0},
        customdata=[text.for_plotly(move.said) for move in moves],
        hovertemplate="%{customdata}<extra></extra>",
    )
    figure.add_scatter(
        x=[at[name][0] for name in names],
        y=[at[name][1] for name in names],
        mode="markers",
        name="events",
        marker={
            "size": [10 + 8 * min(1.0, degree[name]) for name in names],
            "symbol": ["square" if name in ends else "circle" for name in names],
            "color": [GREY if name in ends else colours[family(name)] for name in names],
            "opacity": 1,
        },
        customdata=[text.for_plotly(event_names.readable(name)) for name in names],
        hovertemplate="%{customdata}<extra></extra>",
    )
    annotations += [_label(labels[name], *at[name]) for name in names]
    strongest = sorted(moves, key=lambda move: -move.weight)[:3]
    said = "; ".join(
        f"{event_names.readable(move.origin)} to {event_names.readable(move.target)}" for move in strongest
    )
    axis = {"visible": False, "fixedrange": True}
    return finish(
        figure,
        f"Network of {len(moves)} moves between {len(names)} events. Strongest: {said or 'none'}.",
        620,
        annotations=annotations,
        showlegend=False,
        # Labels stand outside the circle.
        xaxis={"range": [-2.3, 2.3], **axis},
        yaxis={"range": [-1.2, 1.2], **axis},
    )
