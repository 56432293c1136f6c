"""Charts of figures against a limit, and against what chance gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from dashboards.charts import base
from dashboards.charts.base import Bar

PASSED, FAILED = "✓", "✗"
"""Signs beside the colours, which alone would not say it to everybody."""

LONGEST = 2.0
"""Multiples of a limit that fill the width: what is further beyond is no longer told apart, its value says how far."""


@dataclass(frozen=True)
class Measured:
    """One figure and its limit.

    Parameters
    ----------
    name : str
    value : float, optional
        None when there was nothing to measure.
    limit : float
        Largest value that passes.
    shown : str
        Value and limit for people.
    passed : bool
    chance : float, optional
        Value that chance alone gives at most.
    """

    name: str
    value: float | None
    limit: float
    shown: str
    passed: bool
    chance: float | None = None


def against_limits(rows: Sequence[Measured], *, title: str) -> go.Figure:
    """Bars of figures as multiples of their own limits, with a line at 1 and a tick at what chance gives."""
    bars = [
        Bar(
            row.name,
            min(_multiple(row.value, row.limit), LONGEST),
            f"{PASSED if row.passed else FAILED} {row.shown}",
            base.GREY if row.value is None else base.BLUE if row.passed else base.VERMILLION,
        )
        for row in rows
    ]
    figure = base.bars(bars, title=title, unit="multiples of the limit", longest=LONGEST)
    if not rows:
        return figure
    places = list(figure.data[0].y)
    reach = base.BAR_HEIGHT / 2 + 2
    figure.add_scatter(
        x=[x for _ in places for x in (1, 1, None)],
        y=[y for place in places for y in (place - reach, place + reach, None)],
        mode="lines",
        line={"color": base.GREY, "width": 2},
        name="limit",
        hoverinfo="skip",
    )
    chances = [
        (min(_multiple(row.chance, row.limit), LONGEST), place)
        for row, place in zip(rows, places, strict=True)
        if row.chance is not None
    ]
    if chances:
        figure.add_scatter(
            x=[x for x, _ in chances],
            y=[y for _, y in chances],
            mode="markers",
            marker={"symbol": "diamond", "size": 9, "color": base.ORANGE, "line": {"color": base.GREY, "width": 1}},
            name="by chance at most",
            cliponaxis=False,
            hovertemplate="by chance at most %{x:.2f} of the limit<extra></extra>",
        )
        figure.update_layout(
            showlegend=False, meta={"alt": f"{base.alt_text(figure)} Diamonds show what chance alone gives."}
        )
    return figure


def _multiple(value: float | None, limit: float) -> float:
    """Value over limit; a limit of 0 is passed by 0 alone."""
    if not value:
        return 0.0
    return value / limit if limit else LONGEST
