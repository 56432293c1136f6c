"""Heatmaps of tables with named rows and columns."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from dashboards import text
from dashboards.charts.base import finish

CELL_HEIGHT, HEAD_HEIGHT = 26, 150
"""Pixels of a row, and of the names of the columns, which stand at a slant."""

ROW_LABEL, COLUMN_LABEL = 30, 22
"""Characters of the names of rows and columns."""

SHORT_COLUMN, SLANTED_WIDTH = 4, 110
"""Characters of a column's name that stand upright; pixels that slanted names of the last columns need at the right."""

WRITTEN_CELLS = 260
"""Up to so many cells hold their value as text; more of them are too small for it."""


def heatmap(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float | None]],
    shown: Sequence[Sequence[str]],
    *,
    title: str,
    diverging: bool = False,
    rows_are: str = "",
    columns_are: str = "",
) -> go.Figure:
    """Cells coloured by value, with the value as text where there is room.

    Parameters
    ----------
    rows, columns : sequence of str
        Names, not escaped yet; the first row is on top.
    values : sequence of sequence of float or None
        By row and column; None is left blank.
    shown : sequence of sequence of str
        The values for people, for hover boxes and cells.
    title : str
        What is shown, for the alternative text.
    diverging : bool
        Whether values lie around 0: blue below and red above, white at 0.
    rows_are, columns_are : str
        Titles of the axes.
    """
    slanted = any(len(name) > SHORT_COLUMN for name in columns)
    row_names, column_names = text.labels(rows, ROW_LABEL), text.labels(columns, COLUMN_LABEL)
    known = [(value, r, c) for r, row in enumerate(values) for c, value in enumerate(row) if value is not None]
    bound = max((abs(value) for value, _, _ in known), default=0) or 1
    figure = go.Figure()
    figure.add_heatmap(
        x=list(range(len(columns))),
        y=list(range(len(rows))),
        z=[list(row) for row in values],
        name=title,
        # RdBu_r and Cividis are told apart by colour-blind readers, and by lightness.
        colorscale="RdBu_r" if diverging else "Cividis",
        zmin=-bound if diverging else 0,
        zmax=bound,
        showscale=False,
        xgap=1,
        ygap=1,
        text=[[text.for_plotly(cell) for cell in row] for row in shown],
        texttemplate="%{text}" if len(rows) * len(columns) <= WRITTEN_CELLS else None,
        customdata=[
            [
                f"{text.for_plotly(row)} · {text.for_plotly(column)}: {text.for_plotly(shown[r][c])}"
                for c, column in enumerate(columns)
            ]
            for r, row in enumerate(rows)
        ],
        hovertemplate="%{customdata}<extra></extra>",
        hoverongaps=False,
    )
    highest = sorted(known, reverse=True)[:3]
    said = "; ".join(f"{text.visible(rows[r])}, {text.visible(columns[c])}: {shown[r][c]}" for _, r, c in highest)
    drawn = finish(
        figure,
        f"{title}, heatmap of {len(rows)} rows and {len(columns)} columns. Highest: {said or 'none'}.",
        HEAD_HEIGHT + CELL_HEIGHT * max(1, len(rows)),
        xaxis={
            "tickvals": list(range(len(columns))),
            "ticktext": [text.for_plotly(name) for name in column_names],
            "title": {"text": columns_are},
            "side": "top",
            "tickangle": -40 if slanted else 0,
            "automargin": True,
            "fixedrange": True,
            "showgrid": False,
        },
        yaxis={
            "tickvals": list(range(len(rows))),
            "ticktext": [text.for_plotly(name) for name in row_names],
            "title": {"text": rows_are},
            "autorange": "reversed",
            "automargin": True,
            "fixedrange": True,
            "showgrid": False,
        },
    )
    if slanted:
        drawn.update_layout(margin_r=SLANTED_WIDTH)
    return drawn
