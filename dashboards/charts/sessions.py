"""Charts of sessions: how a measure is distributed over sessions and over events."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from dashboards import text
from dashboards.charts.base import ORANGE, PURPLE, finish, hatched


def two_weightings(rows: Sequence[tuple[str, int, int]], *, title: str, axis: str) -> go.Figure:
    """Share of sessions, and of the events in them, by class of a measure.

    Parameters
    ----------
    rows : sequence of (str, int, int)
        Class, sessions in it and events of these, in order of the measure.
    title : str
        What is shown, for the alternative text.
    axis : str
        The measure with its unit.
    """
    names = [text.for_plotly(name) for name, _, _ in rows]
    sessions, events = [row[1] for row in rows], [row[2] for row in rows]
    figure = go.Figure()
    for name, counts, colour, pattern in (("sessions", sessions, PURPLE, ""), ("events in them", events, ORANGE, "/")):
        total = sum(counts)
        figure.add_bar(
            x=names,
            y=[text.ratio(number, total) or 0 for number in counts],
            name=f"Share of {name}",
            marker={
                "color": colour,
                "pattern": hatched(pattern),
            },
            text=[f"{text.count(number)} {name}, {text.share(text.ratio(number, total))}" for number in counts],
            textposition="none",
            hovertemplate="%{x}: %{text}<extra></extra>",
        )
    return finish(
        figure,
        f"{title}: bars of the share of sessions and of the share of their events. {_most(rows, 1, 'sessions')} "
        f"{_most(rows, 2, 'events')}",
        340,
        barmode="group",
        bargap=0.2,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        xaxis={"title": {"text": axis}, "type": "category", "fixedrange": True},
        yaxis={"title": {"text": "Share"}, "tickformat": ".0%", "rangemode": "tozero", "fixedrange": True},
    )


def _most(rows: Sequence[tuple[str, int, int]], place: int, unit: str) -> str:
    total = sum(int(row[place]) for row in rows)
    if not total:
        return f"No {unit}."
    largest = max(rows, key=lambda row: row[place])
    return f"Most {unit}: {largest[0]} with {text.share(int(largest[place]) / total)}."
