"""Charts of activity over time: by day and month, by weekday and hour."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboards import text
from dashboards.charts.base import BLUE, GREY, ORANGE, SKY, VERMILLION, finish, hatched

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

SMOOTHING_DAYS = 7
"""A whole week, so that the weekly rhythm cancels out."""

NAME_SHARE = 0.25
"""Share of the width that a date takes on a phone."""

FEW_DAYS = 31
"""Up to this many days each one gets a marker: a line through few points hides where they are."""


def daily_events(days: Sequence[dict[str, Any]], peaks: Sequence[str] = ()) -> go.Figure:
    """Events per day with a mean over seven days; days without events are zero, days out of scope a hole.

    Parameters
    ----------
    days : sequence of dict
        `date` and `events`, in order.
    peaks : sequence of str
        Dates that are marked and named.
    """
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
    by_date = {entry["date"]: entry["events"] for entry in days}
    if peaks:
        figure.add_scatter(
            x=list(peaks),
            y=[by_date[peak] for peak in peaks],
            mode="markers",
            name="Busiest days",
            marker={"symbol": "diamond", "size": 9, "color": ORANGE, "line": {"width": 1, "color": GREY}},
            hoverinfo="skip",
        )
    for peak in _apart(peaks, days):
        figure.add_annotation(
            x=peak, y=by_date[peak], text=text.day(peak), showarrow=False, yanchor="bottom", yshift=6, font={"size": 12}
        )
    values = [entry["events"] for entry in days]
    highest = days[values.index(max(values))]["date"] if days else None
    alt = (
        f"Line of events per day from {text.day(days[0]['date'])} to {text.day(days[-1]['date'])}; "
        f"highest on {text.day(highest)} with {text.count(max(values))}, {values.count(0):,} days with none."
        if days
        else "No day in scope."
    )
    return finish(
        figure,
        alt,
        340,
        hovermode="x unified",
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        xaxis={"title": {"text": "Day (UTC)"}, "type": "date", "showgrid": False},
        yaxis={"title": {"text": "Events per day"}, "rangemode": "tozero", "tickformat": ",d"},
    )


def _apart(peaks: Sequence[str], days: Sequence[dict[str, Any]]) -> list[str]:
    """Of the peaks those whose names do not cover that of an earlier one."""
    if not days:
        return []
    ends = (date.fromisoformat(days[0]["date"]), date.fromisoformat(days[-1]["date"]))
    apart = (ends[1] - ends[0]) * NAME_SHARE
    named: list[str] = []
    for peak in peaks:
        if all(abs(date.fromisoformat(peak) - date.fromisoformat(other)) > apart for other in named):
            named.append(peak)
    return named


def months(rows: Sequence[tuple[str, int, bool]]) -> go.Figure:
    """Events per month; months that the data do not cover wholly are pale and dotted.

    Parameters
    ----------
    rows : sequence of (str, int, bool)
        Month such as ``2024-03``, its events, and whether every day of it is covered.
    """
    figure = go.Figure()
    for whole in (True, False):
        own = [row for row in rows if row[2] is whole]
        if own:
            figure.add_bar(
                x=[f"{month}-01" for month, _, _ in own],
                y=[events for _, events, _ in own],
                name="Whole month" if whole else "Month in part",
                marker={
                    "color": BLUE if whole else GREY,
                    "opacity": 1 if whole else 0.6,
                    "pattern": hatched("" if whole else "."),
                },
                hovertemplate="%{x|%b %Y}: %{y:,} events<extra></extra>",
            )
    whole_rows = [row for row in rows if row[2]] or list(rows)
    said = ""
    if whole_rows:
        most = max(whole_rows, key=lambda row: row[1])
        said = f" Most in {text.month(most[0])} with {text.count(most[1])}."
    return finish(
        figure,
        f"Bars of events per month, {len(rows)} months, {sum(not row[2] for row in rows)} of them in part.{said}",
        320,
        barmode="overlay",
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        xaxis={"title": {"text": "Month (UTC)"}, "type": "date", "showgrid": False, "fixedrange": True},
        yaxis={
            "title": {"text": "Events per month"}, "rangemode": "tozero", "tickformat": ",d", "fixedrange": True,
        },
    )  # fmt: skip


def hours_by_clock(one_clock: Sequence[int], unknown: Sequence[int]) -> go.Figure:
    """Events by UTC hour: those whose local time follows from their country, and those whose local time is unknown."""
    figure = go.Figure()
    for name, values, colour, pattern in (
        ("Local time known", one_clock, BLUE, ""),
        ("Local time unknown", unknown, GREY, "/"),
    ):
        figure.add_bar(
            x=list(range(24)),
            y=list(values),
            name=name,
            marker={
                "color": colour,
                "pattern": hatched(pattern),
            },
            hovertemplate=f"%{{x}}:00 UTC, {name.lower()}: %{{y:,}} events<extra></extra>",
        )
    total = sum(one_clock) + sum(unknown)
    return finish(
        figure,
        f"Stacked bars of events by UTC hour. The local time of {text.share(text.ratio(sum(unknown), total))} of them "
        "is unknown.",
        300,
        barmode="stack",
        bargap=0.1,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        xaxis={"title": {"text": "Hour of the day (UTC)"}, "tickvals": list(range(0, 24, 3)), "fixedrange": True},
        yaxis={"title": {"text": "Events"}, "rangemode": "tozero", "tickformat": ",d", "fixedrange": True},
    )


def weekday_by_hour(counted: Sequence[Sequence[int]], unit: str = "events") -> go.Figure:
    """Heatmap of events by weekday and hour with the sum of each hour above and of each weekday beside it.

    Parameters
    ----------
    counted : sequence of sequence of int
        Counts by UTC weekday, Monday first, and hour.
    unit : str
        What is counted.
    """
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
        hovertemplate="%{x}:00 UTC: %{y:,} " + unit + "<extra></extra>",
    )  # fmt: skip
    figure.add_heatmap(
        x=hours, y=list(WEEKDAYS), z=[list(row) for row in counted], colorscale="Cividis", zmin=0,
        name="by weekday and hour", showscale=False, xgap=1, ygap=1, row=2, col=1,
        hovertemplate="%{y} %{x}:00 UTC: %{z:,} " + unit + "<extra></extra>",
    )  # fmt: skip
    figure.add_bar(
        x=by_weekday, y=list(WEEKDAYS), orientation="h", marker={"color": BLUE}, name="by weekday", row=2, col=2,
        hovertemplate="%{y}: %{x:,} " + unit + "<extra></extra>",
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
        f"Heatmap of {unit} by weekday and hour, with sums by hour and by weekday. Most on {busiest[1]} from "
        f"{busiest[2]}:00 UTC with {text.count(busiest[0])} {unit}."
    )
    return finish(figure, alt, 380, showlegend=False, bargap=0.1)
