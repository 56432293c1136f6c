"""Charts of actors over time: who comes back, who is new or away, how often they come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import plotly.graph_objects as go

from dashboards import text
from dashboards.charts.base import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION, finish

ROW_HEIGHT, AXES_HEIGHT, LEAST_HEIGHT = 14, 90, 260
"""Pixels of a cohort, of the axes around them, and of a triangle of few cohorts."""

FAINT_SCALE = ((0, "#DADADA"), (1, "#3A3A3A"))
"""Colours of small cohorts: a share of 0 is grey, not white, which is a window that has not elapsed."""

FADED = 0.45
"""Opacity of bars whose period had not ended."""


@dataclass(frozen=True)
class Share:
    """One share with what it rests on; `value` is None where it is unknown."""

    value: float | None
    part: int
    whole: int
    interval: tuple[float, float]


def triangle(cohorts: Sequence[date], shares: Sequence[Sequence[Share | None]], *, period: str, few: int) -> go.Figure:
    """Heatmap of cohorts by periods since their first; a cell without a share is blank.

    Parameters
    ----------
    cohorts : sequence of date
        First days, the first on top.
    shares : sequence of sequence of Share
        By cohort and period, from period 1; None where the window has not elapsed.
    period : str
        What one period is: day or week.
    few : int
        Cohorts of fewer actors are grey: their shares say little.
    """
    longest = max(map(len, shares), default=0)
    labels = [f"{day:%-d %b %Y}" for day in cohorts]
    sizes = [next((share.whole for share in row if share), 0) for row in shares]
    figure = go.Figure()
    known = [share.value for row in shares for share in row if share and share.value is not None]
    for name, scale, chosen in (
        (f"cohorts of at least {few} actors", "Cividis", [size >= few for size in sizes]),
        (f"cohorts of fewer than {few} actors", FAINT_SCALE, [size < few for size in sizes]),
    ):
        if not any(chosen):
            continue
        rows = [[*row, *[None] * (longest - len(row))] if ok else [None] * longest
                for row, ok in zip(shares, chosen, strict=True)]  # fmt: skip
        figure.add_heatmap(
            x=list(range(1, longest + 1)),
            y=labels,
            z=[[share.value if share else None for share in row] for row in rows],
            text=[[_hover(share) for share in row] for row in rows],
            name=name,
            colorscale=scale,
            zmin=0,
            # A scale of its own: the shares of small cohorts are wild, and would leave the others one colour.
            zmax=max((share.value or 0 for row in rows for share in row if share), default=0) or 1,
            showscale=scale == "Cividis",
            colorbar={"title": {"text": "Share"}, "tickformat": ".0%", "thickness": 12},
            xgap=1,
            ygap=1,
            hoverongaps=False,
            hovertemplate=f"first seen %{{y}}, {period} %{{x}}: %{{text}}<extra></extra>",
        )
    alt = (
        f"Heatmap of {len(cohorts)} cohorts by {period} of their first event, with the share that came so many "
        f"{period}s later, from {text.share(min(known))} to {text.share(max(known))}; blank where the {period} has not "
        "ended."
        if known
        else f"No cohort has a later {period} that has ended."
    )
    return finish(
        figure,
        alt,
        max(LEAST_HEIGHT, ROW_HEIGHT * len(cohorts) + AXES_HEIGHT),
        xaxis={"title": {"text": f"{period.capitalize()}s after the first one"}, "showgrid": False, "fixedrange": True},
        yaxis={"autorange": "reversed", "type": "category", "showgrid": False, "fixedrange": True,
               "title": {"text": f"First {period} (UTC)"}, "nticks": 12},
    )  # fmt: skip


def _hover(share: Share | None) -> str:
    if share is None or share.value is None:
        return ""
    low, high = share.interval
    return (
        f"{text.exact_share(share.value)} [{100 * low:.1f}–{100 * high:.1f}], "
        f"{text.count(share.part)} of {text.count(share.whole)}"
    )


def curve(shares: Sequence[tuple[int, Share]], *, period: str) -> go.Figure:
    """Mean retention by period with its interval as a band."""
    periods = [number for number, _ in shares]
    figure = go.Figure()
    figure.add_scatter(
        x=[*periods, *reversed(periods)],
        y=[*(share.interval[1] for _, share in shares), *(share.interval[0] for _, share in reversed(shares))],
        fill="toself",
        fillcolor="rgba(0,114,178,0.2)",
        line={"width": 0},
        name="95 % interval",
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=periods,
        y=[share.value for _, share in shares],
        mode="lines+markers",
        line={"color": BLUE, "width": 2},
        name="Mean over cohorts, weighted by actors",
        text=[_hover(share) for _, share in shares],
        hovertemplate=f"{period} %{{x}}: %{{text}}<extra></extra>",
    )
    alt = (
        f"Line of the share of actors that came so many {period}s after their first, from "
        f"{text.exact_share(shares[0][1].value)} at {period} {periods[0]} to "
        f"{text.exact_share(shares[-1][1].value)} at {period} {periods[-1]}."
        if shares
        else f"No {period} after the first has ended."
    )
    return finish(
        figure,
        alt,
        320,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        xaxis={"title": {"text": f"{period.capitalize()}s after the first one"}, "showgrid": False},
        yaxis={"title": {"text": "Share of actors that came"}, "tickformat": ".0%", "rangemode": "tozero"},
    )


@dataclass(frozen=True)
class PeriodStates:
    """Actors of one period by state; `complete` when it had ended."""

    period: date
    new: int
    returning: int
    resurrected: int
    dormant: int
    complete: bool

    @property
    def active(self) -> int:
        """Actors with an event in the period."""
        return self.new + self.returning + self.resurrected


def lifecycle(rows: Sequence[PeriodStates], *, period: str) -> go.Figure:
    """Stacked bars of active actors by state; those that stayed away point down."""
    figure = go.Figure()
    periods = [row.period.isoformat() for row in rows]
    opacity = [1 if row.complete else FADED for row in rows]
    for name, colour, sign, what in (
        ("returning", BLUE, 1, "also active in the period before"),
        ("resurrected", GREEN, 1, "active earlier, but not in the period before"),
        ("new", ORANGE, 1, "first seen"),
        ("dormant", PURPLE, -1, "active in the period before, not in this one"),
    ):
        numbers = [getattr(row, name) for row in rows]
        figure.add_bar(
            x=periods,
            y=[sign * number for number in numbers],
            customdata=numbers,
            name=name.capitalize(),
            marker={"color": colour, "opacity": opacity, "line": {"width": 0}},
            hovertemplate=f"%{{customdata:,}} {name}: {what}<extra></extra>",
        )
    active = [row.active for row in rows]
    peak = rows[active.index(max(active))].period if rows else None
    alt = (
        f"Stacked bars of new, returning and resurrected actors by {period}, with dormant ones below zero; most "
        f"active in the {period} from {text.day(peak.isoformat())}, {text.count(max(active))} actors."
        if peak
        else f"No {period} in this delivery."
    )
    return finish(
        figure,
        alt,
        360,
        barmode="relative",
        bargap=0.15,
        hovermode="x unified",
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        xaxis={"title": {"text": f"First day of the {period} (UTC)"}, "type": "date", "showgrid": False},
        yaxis={"title": {"text": f"Actors per {period}"}, "zeroline": True, "zerolinecolor": GREY},
    )


def stickiness(days: Sequence[str], values: Sequence[tuple[int, int, int]], *, complete_from: str | None) -> go.Figure:
    """Lines of actors active on a date, in 7 and in 30 days up to it; before `complete_from` windows are cut short."""
    figure = go.Figure()
    for place, (name, colour) in enumerate((("Day", SKY), ("7 days", BLUE), ("30 days", VERMILLION))):
        figure.add_scatter(
            x=list(days),
            y=[row[place] for row in values],
            mode="lines",
            name=name,
            line={"color": colour, "width": 1 if place == 0 else 2},
            hovertemplate=f"%{{y:,}} in {'1 day' if place == 0 else name}<extra></extra>",
        )
    if complete_from and days and complete_from > days[0]:
        figure.add_vrect(
            x0=days[0], x1=complete_from, fillcolor=GREY, opacity=0.15, line_width=0, layer="below", name="cut short"
        )
    alt = (
        f"Lines of daily, weekly and monthly active actors from {text.day(days[0])} to {text.day(days[-1])}; at the "
        f"end {text.count(values[-1][0])}, {text.count(values[-1][1])} and {text.count(values[-1][2])}."
        if days
        else "No date in this delivery."
    )
    return finish(
        figure,
        alt,
        320,
        hovermode="x unified",
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        xaxis={"title": {"text": "Last day of the window (UTC)"}, "type": "date", "showgrid": False},
        yaxis={"title": {"text": "Actors"}, "rangemode": "tozero", "tickformat": ",d"},
    )
