"""Charts of what becomes of records and values: rows after each step, values of a column, costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from dashboards import text
from dashboards.charts.base import BLUE, Bar, bars, finish


def waterfall(steps: Sequence[dict[str, Any]], year: str) -> go.Figure:
    """Rows that are left after each step of the waterfall of ``quality/<year>.json``; it must have a step."""
    delivered = steps[0]["rows_before"]
    rows = [Bar("delivered", delivered, f"{text.count(delivered)} rows · {steps[0]['columns_before']} columns")]
    for step in steps:
        lost = step["rows_before"] - step["rows_after"]
        change = f" (−{text.count(lost)})" if lost else ""
        shown = f"{text.count(step['rows_after'])} rows{change} · {step['columns_after']} columns"
        rows.append(Bar(step["step"], step["rows_after"], shown, lost=lost))
    return bars(rows, title=f"Rows of {year} after each step", unit="rows")


@dataclass(frozen=True)
class Bin:
    """One bin of a histogram: its limits as text, and its rows."""

    low: str
    high: str
    rows: int


def histogram(bins: Sequence[Bin], *, title: str, unit: str, rows: str) -> go.Figure:
    """Rows by bins of equal width; `bins` must not be empty.

    Parameters
    ----------
    bins : sequence of Bin
        In ascending order; a bin without rows is one too.
    title, unit, rows : str
        What is shown, for the alternative text; unit of the values; what a row is.
    """
    places = list(range(len(bins)))
    # Six labels fit on a phone.
    shown = sorted({round(number * (len(bins) - 1) / 5) for number in range(6)})
    figure = go.Figure()
    figure.add_bar(
        x=places,
        y=[entry.rows for entry in bins],
        marker={"color": BLUE},
        text=[
            f"{text.for_plotly(b.low)} to {text.for_plotly(b.high)}<br>{b.rows:,} {text.for_plotly(rows)}" for b in bins
        ],
        textposition="none",
        hovertemplate="%{text}<extra></extra>",
        name=rows,
    )
    fullest = max(bins, key=lambda entry: entry.rows)
    return finish(
        figure,
        f"{title}, histogram in {len(bins)} bins from {bins[0].low} to {bins[-1].high} {unit}. Most {rows} from "
        f"{fullest.low} to {fullest.high}: {text.count(fullest.rows)}.",
        280,
        bargap=0.05,
        showlegend=False,
        xaxis={
            "title": {"text": text.for_plotly(unit)},
            "tickvals": shown,
            "ticktext": [text.for_plotly(bins[place].low) for place in shown],
            "fixedrange": True,
            "showgrid": False,
        },
        yaxis={"title": {"text": text.for_plotly(rows)}, "rangemode": "tozero", "tickformat": ",d", "fixedrange": True},
    )
