"""Charts of series with forecasts: history solid, forecast dashed, bands, the cut between them; parts of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from dashboards import text
from dashboards.charts.base import BLUE, GREEN, GREY, VERMILLION, finish

BANDS = {95: "rgba(213,94,0,0.13)", 80: "rgba(213,94,0,0.25)"}
"""Fill of the intervals, the wider one first, so that the narrower one lies on it."""

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

FEW_POINTS = 31
"""Up to this many points of history each one gets a marker."""

Point = tuple[str, float | None]
"""ISO time and value; None where unknown."""


@dataclass(frozen=True)
class Expected:
    """One step of a forecast: ISO time, mean, and (low, high) by level; None where an interval is withheld."""

    time: str
    mean: float | None
    bands: Mapping[int, tuple[float, float] | None]


def forecast(
    history: Sequence[Point],
    expected: Sequence[Expected],
    *,
    title: str,
    unit: str,
    step: str,
    from_zero: bool,
) -> go.Figure:
    """A series and what is expected of it.

    Parameters
    ----------
    history : sequence of Point
        Ascending; its last known point is where the forecast begins.
    expected : sequence of Expected
        Ascending.
    title : str
        What the series is.
    unit : str
        Of its values.
    step : str
        ``day`` or ``hour``.
    from_zero : bool
        Whether the vertical axis begins at 0, as it must for counts.
    """
    figure = go.Figure()
    known = [point for point in history if point[1] is not None]
    for level, colour in BANDS.items():
        ends = [(entry.time, band) for entry in expected if (band := entry.bands.get(level)) is not None]
        if ends:
            figure.add_scatter(
                x=[time for time, _ in ends] + [time for time, _ in reversed(ends)],
                y=[band[1] for _, band in ends] + [band[0] for _, band in reversed(ends)],
                fill="toself",
                fillcolor=colour,
                line={"width": 0},
                mode="lines",
                name=f"{level} % interval",
                hoverinfo="skip",
            )
    hover = "%{x|%a %-d %b %Y}" if step == "day" else "%{x|%a %-d %b %Y, %H:%M} UTC"
    figure.add_scatter(
        x=[time for time, _ in history],
        y=[value for _, value in history],
        mode="lines+markers" if len(history) <= FEW_POINTS else "lines",
        name="What came",
        line={"color": BLUE, "width": 1.5},
        connectgaps=False,
        hovertemplate=f"{hover}: %{{y:,.1f}}<extra>what came</extra>",
    )
    means = [(entry.time, entry.mean) for entry in expected if entry.mean is not None]
    figure.add_scatter(
        x=[time for time, _ in [*known[-1:], *means]],
        y=[value for _, value in [*known[-1:], *means]],
        mode="lines",
        name="Expected",
        line={"color": VERMILLION, "width": 2, "dash": "dash"},
        hovertemplate=f"{hover}: %{{y:,.1f}}<extra>expected</extra>",
    )
    if known and expected:
        figure.add_vline(x=known[-1][0], line={"color": GREY, "width": 1, "dash": "dot"})
        figure.add_annotation(
            x=known[-1][0], y=1, yref="paper", text="known until here", showarrow=False, xanchor="right", xshift=-4,
            font={"size": 12},
        )  # fmt: skip
    said = (
        f"expected from {text.count(means[0][1])} to {text.count(means[-1][1])} {unit} over {len(means)} {step}s"
        if means
        else "nothing is expected"
    )
    return finish(
        figure,
        f"Line of {title} with its forecast and intervals: {said}.",
        420,
        hovermode="x unified",
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        xaxis={"title": {"text": f"{step.capitalize()} (UTC)"}, "type": "date", "showgrid": False},
        yaxis={"title": {"text": f"{title}, {unit}"}, "rangemode": "tozero" if from_zero else "normal"},
    )


def backtest(
    actual: Sequence[Point],
    forecasts: Sequence[tuple[str, Sequence[tuple[str, float]]]],
    *,
    title: str,
    unit: str,
    step: str,
) -> go.Figure:
    """What would have been forecast at each cut, over what came.

    Parameters
    ----------
    actual : sequence of Point
        What came at the times that were forecast.
    forecasts : sequence of (cut, points)
        By cut, ascending.
    """
    figure = go.Figure()
    figure.add_scatter(
        x=[time for time, _ in actual],
        y=[value for _, value in actual],
        mode="lines",
        name="What came",
        line={"color": BLUE, "width": 1.5},
        connectgaps=False,
        hovertemplate="%{x}: %{y:,.1f}<extra>what came</extra>",
    )
    for place, (_, points) in enumerate(forecasts):
        figure.add_scatter(
            x=[time for time, _ in points],
            y=[value for _, value in points],
            mode="lines+markers" if len(points) == 1 else "lines",
            name="Forecast at a cut",
            legendgroup="forecast",
            showlegend=not place,
            line={"color": VERMILLION, "width": 2, "dash": "dash"},
            hovertemplate="%{x}: %{y:,.1f}<extra>forecast</extra>",
        )
    return finish(
        figure,
        f"Line of {title} with what was forecast at {len(forecasts)} points of time in the past, in {unit}.",
        340,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        xaxis={"title": {"text": f"{step.capitalize()} (UTC)"}, "type": "date", "showgrid": False},
        yaxis={"title": {"text": f"{title}, {unit}"}, "rangemode": "tozero"},
    )


def trend(points: Sequence[tuple[str, float]]) -> go.Figure:
    """The trend of a model that adds up parts, on its scale."""
    figure = go.Figure()
    figure.add_scatter(
        x=[time for time, _ in points],
        y=[value for _, value in points],
        mode="lines",
        name="trend",
        line={"color": GREEN, "width": 2},
        hovertemplate="%{x|%-d %b %Y}: %{y:.2f}<extra></extra>",
    )
    said = f"from {points[0][1]:.2f} to {points[-1][1]:.2f}" if points else "nothing"
    return finish(
        figure,
        f"Line of the trend, {said}, on the model's scale.",
        300,
        showlegend=False,
        xaxis={"title": {"text": "Day (UTC)"}, "type": "date", "showgrid": False},
        yaxis={"title": {"text": "Trend"}},
    )


def weekly(values: Sequence[float]) -> go.Figure:
    """The part of each weekday, Monday first, on the model's scale."""
    figure = go.Figure()
    figure.add_bar(
        x=list(WEEKDAYS),
        y=list(values),
        name="weekly",
        marker={"color": GREEN},
        hovertemplate="%{x}: %{y:+.2f}<extra></extra>",
    )
    highest = WEEKDAYS[max(range(len(values)), key=values.__getitem__)]
    return finish(
        figure,
        f"Bars of the part of each weekday on the model's scale; highest on {highest}.",
        300,
        showlegend=False,
        xaxis={"title": {"text": "Weekday (UTC)"}, "fixedrange": True},
        yaxis={"title": {"text": "Weekly part"}, "fixedrange": True},
    )
