"""Charts of differences: a dot and an interval per row, around zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from dashboards import text
from dashboards.charts.base import BLUE, GREY, LABEL_LENGTH, LABEL_WIDTH, finish

ROW_HEIGHT = 54
"""Pixels of a row: a label of up to two lines above a dot."""


@dataclass(frozen=True)
class Change:
    """One difference: what it is of, value, interval, and the value for people."""

    name: str
    value: float
    interval: tuple[float, float] | None
    shown: str
    colour: str = BLUE


def changes(rows: Sequence[Change], *, title: str, unit: str, tickformat: str = ".0%") -> go.Figure:
    """Dots with intervals from top to bottom, a line at zero; labels stand above the dots."""
    names = text.labels([row.name for row in rows], LABEL_LENGTH)
    places = list(range(len(rows)))
    figure = go.Figure()
    intervals = [row.interval or (row.value, row.value) for row in rows]
    figure.add_vline(x=0, line={"color": GREY, "width": 1})
    figure.add_scatter(
        x=[row.value for row in rows],
        y=places,
        mode="markers",
        name=unit,
        marker={"color": [row.colour for row in rows], "size": 11},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [high - row.value for row, (_, high) in zip(rows, intervals, strict=True)],
            "arrayminus": [row.value - low for row, (low, _) in zip(rows, intervals, strict=True)],
            "thickness": 2,
            "width": 5,
            "color": GREY,
        },
        customdata=[f"{text.for_plotly(row.name)}<br>{text.for_plotly(row.shown)}" for row in rows],
        hovertemplate="%{customdata}<extra></extra>",
    )
    annotations: list[dict[str, Any]] = []
    for place, name, row in zip(places, names, rows, strict=True):
        above = {"y": place, "yshift": 9, "yanchor": "bottom", "showarrow": False, "font": {"size": 13}}
        lines = text.wrapped(name, LABEL_WIDTH)
        label = "<br>".join(map(text.for_plotly, lines))
        annotations.append({"x": 0, "xref": "paper", "xanchor": "left", "text": label, "align": "left", **above})
        annotations.append({"x": 1, "xref": "paper", "xanchor": "right", "text": text.for_plotly(row.shown), **above})
    said = "; ".join(f"{text.visible(row.name)}: {row.shown}" for row in rows[:5])
    return finish(
        figure,
        f"{title}, dots with intervals in {unit}. {said}{'; and more' if len(rows) > 5 else ''}.",
        60 + ROW_HEIGHT * max(1, len(rows)),
        annotations=annotations,
        showlegend=False,
        xaxis={"title": {"text": unit}, "tickformat": tickformat, "zeroline": False, "fixedrange": True},
        yaxis={"visible": False, "range": [len(rows) - 0.6, -0.95], "fixedrange": True},
    )
