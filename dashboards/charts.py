"""Figure factories: data in, Plotly figure out.

Put here: how something is drawn, and the alternative text that says it in words (``alt_text``). Keep out: Streamlit,
files, wording around a chart. Every text from the data goes through `text.for_plotly`.

Colours are Okabe-Ito without yellow, which cannot be seen on white; none of them alone carries meaning. Backgrounds are
transparent, so that a chart fits the light and the dark theme. Nothing here needs the network: no maps, no tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboards import text

BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, GREY = "#E69F00", "#56B4E9", "#7F7F7F"
SEGMENT_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, GREY)
SEGMENT_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "x", "triangle-down", "star")

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

LABEL_WIDTH = 36
"""Characters of a bar's label that fit beside its value on a phone; a longer one takes more lines."""

LABEL_LENGTH = 96
"""Characters of a whole label: three lines, less what breaking at spaces leaves unused."""

BAR_HEIGHT, LINE_HEIGHT, GAP_HEIGHT = 12, 18, 14
"""Pixels of a bar, of a line of its label, and between one bar and the next label."""

MARGIN = 8
"""Pixels around a plot."""

SMOOTHING_DAYS = 7
"""A whole week, so that the weekly rhythm cancels out."""

FEW_DAYS = 31
"""Up to this many days each one gets a marker: a line through few points hides where they are."""


@dataclass(frozen=True)
class Bar:
    """One bar.

    Parameters
    ----------
    name : str, optional
        What it stands for; None for a missing category.
    value : float
        Its length.
    shown : str
        The value for people.
    colour : str
        Its colour.
    lost : float
        Length of the piece that follows it in `VERMILLION`.
    interval : tuple of float, optional
        Ends of an interval around the value.
    """

    name: str | None
    value: float
    shown: str
    colour: str = BLUE
    lost: float = 0
    interval: tuple[float, float] | None = None


def alt_text(figure: go.Figure) -> str:
    """The figure in words."""
    return str(figure.layout.meta["alt"])


def _finish(figure: go.Figure, alt: str, height: int, **layout: Any) -> go.Figure:
    figure.update_layout(
        height=height,
        margin=dict.fromkeys("lrtb", MARGIN),
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        meta={"alt": alt},
        **layout,
    )
    return figure


def bars(rows: Sequence[Bar], *, title: str, unit: str, longest: float | None = None) -> go.Figure:
    """Horizontal bars, each under its label and value; the order is that of `rows`.

    Labels stand above the bars, not beside them, so that long event names leave the bars their width on a phone.

    Parameters
    ----------
    rows : sequence of Bar
        From top to bottom.
    title : str
        What is shown, for the alternative text.
    unit : str
        Unit of the values.
    longest : float, optional
        Value that fills the width; the largest one unless given.
    """
    names = text.labels([row.name for row in rows], LABEL_LENGTH)
    lines = [text.wrapped(name, LABEL_WIDTH) for name in names]
    # The vertical axis counts pixels, so that only a label of two lines takes the room of two.
    places: list[float] = []
    height = 0
    for label in lines:
        height += LINE_HEIGHT * len(label) + BAR_HEIGHT
        places.append(height - BAR_HEIGHT / 2)
        height += GAP_HEIGHT
    hover = [f"{text.for_plotly(row.name)}<br>{text.for_plotly(row.shown)}" for row in rows]
    figure = go.Figure()
    intervals = [row.interval or (row.value, row.value) for row in rows]
    figure.add_bar(
        x=[row.value for row in rows],
        y=places,
        orientation="h",
        width=BAR_HEIGHT,
        name=unit,
        marker={"color": [row.colour for row in rows]},
        text=hover,
        textposition="none",
        hovertemplate="%{text}<extra></extra>",
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [high - row.value for row, (_, high) in zip(rows, intervals, strict=True)],
            "arrayminus": [row.value - low for row, (low, _) in zip(rows, intervals, strict=True)],
            "thickness": 2,
            "width": 5,
            "color": GREY,
            "visible": any(row.interval for row in rows),
        },
    )
    if any(row.lost for row in rows):
        figure.add_bar(
            x=[row.lost for row in rows],
            y=places,
            orientation="h",
            width=BAR_HEIGHT,
            name="removed",
            marker={"color": VERMILLION},
            hovertemplate="%{x:,} removed<extra></extra>",
        )
    for place, parts, row in zip(places, lines, rows, strict=True):
        above = {"y": place, "yshift": BAR_HEIGHT / 2, "yanchor": "bottom", "showarrow": False, "font": {"size": 13}}
        figure.add_annotation(
            x=0, xref="paper", xanchor="left", text="<br>".join(map(text.for_plotly, parts)), align="left", **above
        )
        figure.add_annotation(x=1, xref="paper", xanchor="right", text=text.for_plotly(row.shown), **above)
    said = "; ".join(f"{text.visible(row.name)}: {row.shown}" for row in rows[:5])
    return _finish(
        figure,
        f"{title}, horizontal bars in {unit}. {said}{'; and more' if len(rows) > 5 else ''}.",
        height + 2 * MARGIN,
        barmode="stack",
        showlegend=False,
        xaxis={
            "visible": False,
            "range": [0, longest or max((row.value + row.lost for row in rows), default=0) or 1],
            "fixedrange": True,
        },
        yaxis={"visible": False, "range": [height, 0], "fixedrange": True},
    )


def ranking(
    rows: Sequence[tuple[str | None, int]], total: int, *, title: str, unit: str, colour: str = BLUE
) -> go.Figure:
    """Ranked categories with value and share of `total`."""
    return bars(
        [
            Bar(name, number, f"{text.count(number)} · {text.share(text.ratio(number, total))}", colour)
            for name, number in rows
        ],
        title=title,
        unit=unit,
    )


def daily_events(days: Sequence[dict[str, Any]]) -> go.Figure:
    """Events per day with a mean over seven days; days without events are zero, days out of scope a hole."""
    runs: list[list[tuple[date, int]]] = []
    for entry in days:
        day = date.fromisoformat(entry["date"])
        if not runs or day - runs[-1][-1][0] > timedelta(days=1):
            runs.append([])
        runs[-1].append((day, entry["events"]))
    dates: list[str | None] = []
    counts: list[int | None] = []
    means: list[float | None] = []
    for number, run in enumerate(runs):
        if number:
            # A point without a value breaks the line.
            dates.append((run[0][0] - timedelta(days=1)).isoformat())
            counts.append(None)
            means.append(None)
        values = [value for _, value in run]
        dates += [day.isoformat() for day, _ in run]
        counts += values
        means += [
            sum(values[end - SMOOTHING_DAYS : end]) / SMOOTHING_DAYS if end >= SMOOTHING_DAYS else None
            for end in range(1, len(values) + 1)
        ]
    few = len(days) <= FEW_DAYS
    figure = go.Figure()
    figure.add_scatter(
        x=dates,
        y=counts,
        mode="lines+markers" if few else "lines",
        name="Events per day",
        line={"color": SKY, "width": 1},
        fill="tozeroy" if len(runs) == 1 else None,
        fillcolor="rgba(86,180,233,0.2)",
        connectgaps=False,
        hovertemplate="%{x|%a %-d %b %Y}: %{y:,} events<extra></extra>",
    )
    if any(mean is not None for mean in means):
        figure.add_scatter(
            x=dates,
            y=means,
            mode="lines",
            name=f"Mean of the last {SMOOTHING_DAYS} days",
            line={"color": VERMILLION, "width": 2},
            connectgaps=False,
            hovertemplate="mean %{y:,.1f}<extra></extra>",
        )
    values = [entry["events"] for entry in days]
    peak = days[values.index(max(values))]["date"] if days else None
    alt = (
        f"Line of events per day from {text.day(days[0]['date'])} to {text.day(days[-1]['date'])}; "
        f"highest on {text.day(peak)} with {text.count(max(values))}, {values.count(0):,} days with none."
        if days
        else "No day in scope."
    )
    return _finish(
        figure,
        alt,
        340,
        hovermode="x unified",
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        xaxis={"title": {"text": "Day (UTC)"}, "type": "date", "showgrid": False},
        yaxis={"title": {"text": "Events per day"}, "rangemode": "tozero", "tickformat": ",d"},
    )


def weekday_by_hour(counted: Sequence[Sequence[int]]) -> go.Figure:
    """Heatmap of events by weekday and hour with the sum of each hour above and of each weekday beside it."""
    hours = list(range(24))
    by_hour = [sum(row[hour] for row in counted) for hour in hours]
    by_weekday = [sum(row) for row in counted]
    figure = make_subplots(
        rows=2,
        cols=2,
        shared_xaxes=True,
        shared_yaxes=True,
        row_heights=[0.28, 0.72],
        column_widths=[0.84, 0.16],
        horizontal_spacing=0.02,
        vertical_spacing=0.04,
    )
    figure.add_bar(
        x=hours, y=by_hour, marker={"color": BLUE}, name="by hour", row=1, col=1,
        hovertemplate="%{x}:00 UTC: %{y:,} events<extra></extra>",
    )  # fmt: skip
    figure.add_heatmap(
        x=hours, y=list(WEEKDAYS), z=[list(row) for row in counted], colorscale="Cividis", zmin=0,
        name="by weekday and hour", showscale=False, xgap=1, ygap=1, row=2, col=1,
        hovertemplate="%{y} %{x}:00 UTC: %{z:,} events<extra></extra>",
    )  # fmt: skip
    figure.add_bar(
        x=by_weekday, y=list(WEEKDAYS), orientation="h", marker={"color": BLUE}, name="by weekday", row=2, col=2,
        hovertemplate="%{y}: %{x:,} events<extra></extra>",
    )  # fmt: skip
    busiest = max(
        ((number, day, hour) for day, row in zip(WEEKDAYS, counted, strict=True) for hour, number in enumerate(row))
    )
    figure.update_xaxes(fixedrange=True, showgrid=False)
    figure.update_yaxes(fixedrange=True, showgrid=False)
    figure.update_yaxes(visible=False, rangemode="tozero", row=1, col=1)
    figure.update_xaxes(visible=False, rangemode="tozero", row=2, col=2)
    figure.update_xaxes(title={"text": "Hour of the day (UTC)"}, tickvals=list(range(0, 24, 3)), row=2, col=1)
    figure.update_yaxes(autorange="reversed", row=2, col=1)
    alt = (
        f"Heatmap of events by weekday and hour, with sums by hour and by weekday. Most on {busiest[1]} from "
        f"{busiest[2]}:00 UTC with {text.count(busiest[0])} events."
    )
    return _finish(figure, alt, 380, showlegend=False, bargap=0.1)


def segment_map(points: Sequence[tuple[int, str, float, float]]) -> go.Figure:
    """Clustered actors on their two main components, a colour and a symbol per segment."""
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
    sizes = [sum(point[0] == segment for point in points) for segment, _ in segments]
    said = "; ".join(f"{text.visible(name)}: {number:,}" for (_, name), number in zip(segments, sizes, strict=True))
    return _finish(
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
