"""The world as circles: one per country, its area by a number.

Put here: the map. Keep out: positions (``country_places.py``), rankings (``base.py``).

Outlines of countries would have to be fetched from a network, as Plotly's own maps do; and a filled outline makes large
countries look important. A circle's area is comparable, and the names of the largest stand beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10, sqrt

import plotly.graph_objects as go

from dashboards import text
from dashboards.charts.base import BLUE, GREY, finish
from dashboards.charts.country_places import country_places

LARGEST, SMALLEST = 64, 7
"""Diameter in pixels of the circle with the largest value, and of the least visible one."""

NAMED = 6
"""Circles with a name beside them: more names would cover each other."""

NAME_LONGITUDES, NAME_LATITUDES = 60, 14
"""Degrees that a name takes; on a phone its circle's name may reach a little further."""

NAME_WIDTH = 18
"""Characters of a name beside a circle."""

SOUTH, NORTH = -58, 80
"""Latitudes in view: nobody lives beyond them."""


@dataclass(frozen=True)
class Country:
    """One circle.

    Parameters
    ----------
    name, code : str
        Name for people and ISO 3166-1 alpha-3 code.
    value : int
        What the area stands for.
    shown : str
        The value for people.
    """

    name: str
    code: str
    value: int
    shown: str


def _apart(rows: Sequence[Country]) -> list[Country]:
    """Of the countries, the largest first, those whose names do not cover that of a larger one."""
    places = country_places()
    named: list[Country] = []
    for row in rows:
        own = places[row.code]
        if all(
            abs(own.longitude - places[other.code].longitude) > NAME_LONGITUDES
            or abs(own.latitude - places[other.code].latitude) > NAME_LATITUDES
            for other in named
        ):
            named.append(row)
    return named


def world(rows: Sequence[Country], *, title: str, unit: str) -> go.Figure:
    """Circles over faint dots of all countries, on axes of longitude and latitude.

    Countries without a known place are not drawn; the caller says how many there are.
    """
    places = country_places()
    drawn = sorted((row for row in rows if row.code in places and row.value > 0), key=lambda row: -row.value)
    most = max((row.value for row in drawn), default=1)
    figure = go.Figure()
    others = [place for code, place in places.items() if code not in {row.code for row in drawn}]
    figure.add_scatter(
        x=[place.longitude for place in others],
        y=[place.latitude for place in others],
        mode="markers",
        name="countries without events",
        marker={"size": 3, "color": GREY, "opacity": 0.45},
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=[places[row.code].longitude for row in drawn],
        y=[places[row.code].latitude for row in drawn],
        mode="markers",
        name=unit,
        marker={
            "size": [max(SMALLEST, LARGEST * sqrt(row.value / most)) for row in drawn],
            "color": [log10(row.value) for row in drawn],
            "colorscale": "Cividis",
            "cmin": 0,
            "cmax": max(1.0, log10(most)),
            "line": {"width": 1, "color": BLUE},
            "opacity": 0.85,
        },
        customdata=[row.code for row in drawn],
        text=[f"{text.for_plotly(row.name)}<br>{text.for_plotly(row.shown)}" for row in drawn],
        hovertemplate="%{text}<extra></extra>",
    )
    for row in _apart(drawn[:NAMED]):
        place = places[row.code]
        figure.add_annotation(
            x=place.longitude,
            y=place.latitude,
            yshift=max(SMALLEST, LARGEST * sqrt(row.value / most)) / 2,
            yanchor="bottom",
            showarrow=False,
            text=text.for_plotly(text.shortened(text.visible(row.name), NAME_WIDTH)),
            font={"size": 12},
        )
    said = "; ".join(f"{text.visible(row.name)}: {row.shown}" for row in drawn[:NAMED])
    axis = {"fixedrange": True, "zeroline": False, "gridcolor": "rgba(127,127,127,0.25)"}
    return finish(
        figure,
        f"{title}: a circle per country, its area by {unit}. {said or 'No country is known'}.",
        380,
        showlegend=False,
        hovermode="closest",
        xaxis={
            **axis,
            "range": [-180, 180],
            "tickvals": [-120, -60, 0, 60, 120],
            "ticktext": ["120° W", "60° W", "0°", "60° E", "120° E"],
        },
        yaxis={
            **axis,
            "range": [SOUTH, NORTH],
            "tickvals": [-30, 0, 30, 60],
            "ticktext": ["30° S", "Equator", "30° N", "60° N"],
        },
    )
