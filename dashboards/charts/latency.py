"""Charts of latency: percentiles of groups as dots, and by hour as lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from dashboards import text
from dashboards.charts.base import BLUE, GREY, PURPLE, VERMILLION, finish

NAME_WIDTH = 18
"""Characters of a group's name on the axis."""

ROW_HEIGHT = 30
"""Pixels per group."""

LOG_SPREAD = 20
"""From this ratio of the largest to the smallest value on, a linear axis would hide the small ones."""

_MARKS = (("median", BLUE, "circle", "solid"), ("p95", PURPLE, "diamond", "dash"), ("p99", VERMILLION, "square", "dot"))

Percentiles = tuple[str | None, int, float, float, float]
"""Group, events, median, 95th and 99th percentile in milliseconds."""


def _axis(rows: Sequence[Percentiles]) -> dict[str, Any]:
    """Milliseconds, logarithmic where the values need it and all are above zero."""
    values = [value for row in rows for value in row[2:]]
    is_log = bool(values) and min(values) > 0 and max(values) / min(values) >= LOG_SPREAD
    return {
        "title": {"text": "Milliseconds (logarithmic)" if is_log else "Milliseconds"},
        "type": "log" if is_log else "linear",
        "dtick": 1 if is_log else None,
        "tickformat": ",~r",
        "fixedrange": True,
    }


def _alt(title: str, rows: Sequence[Percentiles]) -> str:
    said = "; ".join(f"{text.visible(row[0])}: {row[2]:,.0f}, {row[3]:,.0f} and {row[4]:,.0f} ms" for row in rows[:5])
    return f"{title}: median, 95th and 99th percentile. {said or 'No data'}{'; and more' if len(rows) > 5 else ''}."


def percentile_dots(rows: Sequence[Percentiles], *, title: str, few: int) -> go.Figure:
    """Three marks per group on one line; groups of fewer than `few` events are grey."""
    labels = [
        f"{text.for_plotly(label)} ({text.count(row[1])})"
        for label, row in zip(text.labels([row[0] for row in rows], NAME_WIDTH), rows, strict=True)
    ]
    figure = go.Figure()
    for label, row in zip(labels, rows, strict=True):
        figure.add_scatter(
            x=row[2:], y=[label] * 3, mode="lines", name=label, line={"color": GREY, "width": 1}, hoverinfo="skip",
            showlegend=False,
        )  # fmt: skip
    for place, (name, colour, symbol, _) in enumerate(_MARKS, start=2):
        figure.add_scatter(
            x=[row[place] for row in rows],
            y=labels,
            mode="markers",
            name=name,
            marker={"size": 10, "symbol": symbol, "color": [colour if row[1] >= few else GREY for row in rows]},
            hovertemplate=f"%{{y}}: {name} %{{x:,.0f}} ms<extra></extra>",
        )
    return finish(
        figure,
        _alt(title, rows),
        90 + ROW_HEIGHT * len(rows),
        hovermode="closest",
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        xaxis=_axis(rows),
        yaxis={"autorange": "reversed", "type": "category", "automargin": True, "fixedrange": True},
    )


def percentiles_by_hour(rows: Sequence[Percentiles], *, title: str) -> go.Figure:
    """Three lines over the hours of the day, which are the groups' names."""
    figure = go.Figure()
    for place, (name, colour, symbol, dash) in enumerate(_MARKS, start=2):
        figure.add_scatter(
            x=[int(row[0] or 0) for row in rows],
            y=[row[place] for row in rows],
            mode="lines+markers",
            name=name,
            line={"color": colour, "width": 2, "dash": dash},
            marker={"symbol": symbol, "size": 6},
            hovertemplate=f"%{{x}}:00 UTC: {name} %{{y:,.0f}} ms<extra></extra>",
        )
    return finish(
        figure,
        _alt(title, rows),
        340,
        hovermode="closest",
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        xaxis={
            "title": {"text": "Hour of the day (UTC)"},
            "tickvals": list(range(0, 24, 3)),
            "range": [-0.5, 23.5],
            "fixedrange": True,
        },
        yaxis=_axis(rows),
    )
