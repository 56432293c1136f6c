"""Charts of devices by place."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from dashboards import text
from dashboards.charts.base import finish

NAME_WIDTH = 16
"""Characters of a name on an axis."""

ROW_HEIGHT = 34
"""Pixels per row."""


def shares(
    rows: Sequence[str | None], columns: Sequence[str | None], counted: Sequence[Sequence[int]], *, title: str
) -> go.Figure:
    """Heatmap of each row's shares over the columns, with the shares as text.

    Parameters
    ----------
    rows, columns : sequence of str
        Names; None for a missing one.
    counted : sequence of sequence of int
        Counts of each row by column.
    title : str
        What is shown, for the alternative text.
    """
    totals = [sum(row) for row in counted]
    values = [[text.ratio(number, total) or 0 for number in row] for row, total in zip(counted, totals, strict=True)]
    shown = [
        [text.share(text.ratio(number, total)) for number in row] for row, total in zip(counted, totals, strict=True)
    ]
    row_labels = [
        f"{text.for_plotly(label)} ({text.count(total)})"
        for label, total in zip(text.labels(rows, NAME_WIDTH), totals, strict=True)
    ]
    figure = go.Figure()
    figure.add_heatmap(
        x=[text.for_plotly(label) for label in text.labels(columns, NAME_WIDTH)],
        y=row_labels,
        z=values,
        text=shown,
        texttemplate="%{text}",
        customdata=[list(row) for row in counted],
        colorscale="Cividis",
        zmin=0,
        zmax=1,
        showscale=False,
        xgap=1,
        ygap=1,
        name=title,
        hovertemplate="%{y}, %{x}: %{customdata:,} events, %{text}<extra></extra>",
    )
    said = "; ".join(
        f"{text.visible(name)}: {text.visible(columns[row.index(max(row))])} {text.share(text.ratio(max(row), total))}"
        for name, row, total in zip(rows[:5], counted[:5], totals[:5], strict=True)
        if total
    )
    return finish(
        figure,
        f"{title}: heatmap of shares. Most in {said or 'no row'}.",
        90 + ROW_HEIGHT * len(rows),
        xaxis={"type": "category", "fixedrange": True, "automargin": True, "showgrid": False},
        yaxis={"autorange": "reversed", "type": "category", "fixedrange": True, "automargin": True, "showgrid": False},
    )
