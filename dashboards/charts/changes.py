"""Charts of differences: a dot and an interval per row, around zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from dashboards import text
from dashboards.charts.base import BLUE, GREY, LABEL_LENGTH, LABEL_WIDTH, error_bars, finish, labels_above

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
    lines = [text.wrapped(name, LABEL_WIDTH) for name in text.labels([row.name for row in rows], LABEL_LENGTH)]
    places = list(range(len(rows)))
    figure = go.Figure()
    figure.add_vline(x=0, line={"color": GREY, "width": 1})
    figure.add_scatter(
        x=[row.value for row in rows],
        y=places,
        mode="markers",
        name=unit,
        marker={"color": [row.colour for row in rows], "size": 11},
        error_x=error_bars([row.value for row in rows], [row.interval for row in rows]),
        customdata=[f"{text.for_plotly(row.name)}<br>{text.for_plotly(row.shown)}" for row in rows],
        hovertemplate="%{customdata}<extra></extra>",
    )
    said = "; ".join(f"{text.visible(row.name)}: {row.shown}" for row in rows[:5])
    return finish(
        figure,
        f"{title}, dots with intervals in {unit}. {said}{'; and more' if len(rows) > 5 else ''}.",
        60 + ROW_HEIGHT * max(1, len(rows)),
        annotations=labels_above(places, lines, [row.shown for row in rows], 9),
        showlegend=False,
        xaxis={"title": {"text": unit}, "tickformat": tickformat, "zeroline": False, "fixedrange": True},
        yaxis={"visible": False, "range": [len(rows) - 0.6, -0.95], "fixedrange": True},
    )
