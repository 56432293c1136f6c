"""Charts of predictions: how sure models were and how often right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from dashboards import text
from dashboards.charts.base import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION, finish

MODEL_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
MODEL_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "x")

CalibrationPoint = tuple[float, float, tuple[float, float], int]
"""Mean confidence, hit rate, its interval, positions."""


def calibration(curves: Mapping[str, Sequence[CalibrationPoint]], few: int) -> go.Figure:
    """Hit rate by confidence, a line per model with intervals; bins of fewer than `few` positions are hollow."""
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        name="As often right as sure",
        line={"color": GREY, "dash": "dot", "width": 1},
        hoverinfo="skip",
    )
    for place, (name, points) in enumerate(curves.items()):
        colour, symbol = (kinds[place % len(MODEL_COLOURS)] for kinds in (MODEL_COLOURS, MODEL_SYMBOLS))
        figure.add_scatter(
            x=[point[0] for point in points],
            y=[point[1] for point in points],
            mode="lines+markers",
            name=text.for_plotly(name),
            line={"color": colour, "width": 1},
            marker={
                "color": colour,
                "size": 9,
                "symbol": [symbol if point[3] >= few else f"{symbol}-open" for point in points],
            },
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [point[2][1] - point[1] for point in points],
                "arrayminus": [point[1] - point[2][0] for point in points],
                "thickness": 1,
                "width": 2,
            },
            customdata=[[point[3]] for point in points],
            hovertemplate="%{customdata[0]:,} positions: sure to %{x:.1%}, right in %{y:.1%}<extra></extra>",
        )
    said = "; ".join(
        f"{text.visible(name)}: {len(points)} bins from {text.exact_share(points[0][0])} to "
        f"{text.exact_share(points[-1][0])} sure"
        for name, points in curves.items()
        if points
    )
    axis = {"range": [0, 1], "tickformat": ".0%", "zeroline": False}
    return finish(
        figure,
        f"Lines of how often each model was right by how sure it was, with 95 % intervals. {said}.",
        420,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        xaxis={"title": {"text": "Probability of the first choice"}, **axis},
        yaxis={"title": {"text": "Share right"}, **axis},
    )
