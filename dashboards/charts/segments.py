"""Charts of groups of actors."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from dashboards import text
from dashboards.charts.base import BLUE, GREEN, GREY, LABEL_LENGTH, ORANGE, PURPLE, SKY, VERMILLION, finish

SEGMENT_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, GREY)
SEGMENT_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "x", "triangle-down", "star")


def segment_labels(names: Sequence[str]) -> list[str]:
    """Number and name of each segment."""
    return text.labels([f"{number}: {name}" for number, name in enumerate(names)], LABEL_LENGTH)


def segment_map(
    points: Sequence[tuple[int, str, float, float]], marked: Sequence[tuple[str, float, float]] = ()
) -> go.Figure:
    """Clustered actors on their two main components, a colour and a symbol per segment.

    Parameters
    ----------
    points : sequence of (segment, name, first component, second component)
    marked : sequence of (words, first component, second component)
        Places to point out, drawn as large stars with their words beside them.
    """
    figure = go.Figure()
    segments = sorted({(segment, name) for segment, name, _, _ in points})
    for place, (segment, name) in enumerate(segments):
        own = [point for point in points if point[0] == segment]
        figure.add_scatter(
            x=[point[2] for point in own],
            y=[point[3] for point in own],
            mode="markers",
            name=f"Segment {segment}",
            marker={
                "color": SEGMENT_COLOURS[place % len(SEGMENT_COLOURS)],
                "symbol": SEGMENT_SYMBOLS[place % len(SEGMENT_SYMBOLS)],
                "size": 8,
                "opacity": 0.8,
            },
            hovertemplate=f"segment {text.for_plotly(name).replace('%', '&#37;')}<extra></extra>",
        )
    if marked:
        figure.add_scatter(
            x=[place[1] for place in marked],
            y=[place[2] for place in marked],
            mode="markers+text",
            name="Your actor",
            text=[text.for_plotly(place[0]) for place in marked],
            textposition="top center",
            marker={"color": VERMILLION, "symbol": "star", "size": 18, "line": {"color": "white", "width": 1}},
            hovertemplate="%{text}<extra></extra>",
        )
    sizes = [sum(point[0] == segment for point in points) for segment, _ in segments]
    said = "; ".join(f"{text.visible(name)}: {number:,}" for (_, name), number in zip(segments, sizes, strict=True))
    return finish(
        figure,
        f"Scatter of actors on two principal components, coloured by segment. {said}.",
        420,
        showlegend=True,
        legend={
            "orientation": "h",
            "x": 0,
            "y": 1.02,
            "yanchor": "bottom",
        },
        xaxis={"title": {"text": "First principal component"}, "zeroline": False},
        yaxis={"title": {"text": "Second principal component"}, "zeroline": False},
    )
