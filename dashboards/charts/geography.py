"""The world, each country coloured by a number.

Put here: the map. Keep out: positions (``country_places.py``), outlines (``country_outlines.py``), rankings
(``base.py``).

Outlines are drawn as shapes on plain axes, because Plotly's own maps fetch theirs from a network. A dot in each country
with a value shows small ones and can be clicked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10

import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from dashboards import text
from dashboards.charts.base import BLUE, finish
from dashboards.charts.country_outlines import country_outlines
from dashboards.charts.country_places import country_places

DOT = 9
"""Diameter in pixels of a country's dot: large enough to be hit."""

NAMED = 6
"""Countries with their name on the map: more names would cover each other."""

NAME_LONGITUDES, NAME_LATITUDES = 60, 14
"""Degrees that a name takes; on a phone it may reach a little further."""

NAME_WIDTH = 18
"""Characters of a name on the map."""

LAND, BORDER = "rgba(127,127,127,0.18)", "rgba(127,127,127,0.5)"
"""Land without a value and borders, faint on a light and on a dark page."""

COLOURS = "Cividis"

SOUTH, NORTH = -58, 80
"""Latitudes in view: nobody lives beyond them."""


@dataclass(frozen=True)
class Country:
    """One country with a value.

    Parameters
    ----------
    name, code : str
        Name for people and ISO 3166-1 alpha-3 code.
    value : int
        What the colour stands for.
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


def _shape(codes: Sequence[str]) -> dict[str, list[float | None]]:
    """Outlines of countries as one line; a gap parts two rings."""
    outlines = country_outlines()
    corners = [corner for code in codes for ring in outlines.get(code, ()) for corner in (*ring, (None, None))]
    return {"x": [longitude for longitude, _ in corners], "y": [latitude for _, latitude in corners]}


def world(rows: Sequence[Country], *, title: str, unit: str) -> go.Figure:
    """Countries coloured by the logarithm of their value, on axes of longitude and latitude.

    Countries without a known place are not drawn; the caller says how many there are.
    """
    places = country_places()
    drawn = sorted((row for row in rows if row.code in places and row.value > 0), key=lambda row: -row.value)
    most = max(1.0, log10(max((row.value for row in drawn), default=1)))
    colours = sample_colorscale(COLOURS, [log10(row.value) / most for row in drawn]) if drawn else []
    hover = [f"{text.for_plotly(row.name)}<br>{text.for_plotly(row.shown)}" for row in drawn]
    codes = {row.code for row in drawn}
    outline = {"mode": "lines", "fill": "toself", "line": {"width": 0.5, "color": BORDER}}
    figure = go.Figure()
    figure.add_scatter(
        **_shape([code for code in country_outlines() if code not in codes]),
        **outline,
        fillcolor=LAND,
        name="countries without events",
        hoverinfo="skip",
    )
    for row, colour, words in zip(drawn, colours, hover, strict=True):
        if row.code in country_outlines():
            figure.add_scatter(
                **_shape([row.code]),
                **outline,
                fillcolor=colour,
                name=text.for_plotly(row.name),
                hoveron="fills",
                text=words,
                hoverinfo="text",
            )
    figure.add_scatter(
        x=[places[row.code].longitude for row in drawn],
        y=[places[row.code].latitude for row in drawn],
        mode="markers",
        name=unit,
        marker={
            "size": DOT,
            "color": [log10(row.value) for row in drawn],
            "colorscale": COLOURS,
            "cmin": 0,
            "cmax": most,
            "showscale": bool(drawn),
            "line": {"width": 1.5, "color": BLUE},
            "colorbar": {
                "orientation": "h",
                "y": 0,
                "yanchor": "top",
                "thickness": 10,
                "len": 0.6,
                "tickvals": list(range(int(most) + 1)),
                "ticktext": [text.count(10**power) for power in range(int(most) + 1)],
                "title": {"text": unit, "side": "bottom"},
            },
        },
        customdata=[row.code for row in drawn],
        text=hover,
        hovertemplate="%{text}<extra></extra>",
    )
    for row in _apart(drawn[:NAMED]):
        place = places[row.code]
        figure.add_annotation(
            x=place.longitude,
            y=place.latitude,
            yshift=DOT / 2,
            yanchor="bottom",
            showarrow=False,
            text=text.for_plotly(text.shortened(text.visible(row.name), NAME_WIDTH)),
            font={"size": 12},
            bgcolor="rgba(255,255,255,0.6)",
        )
    said = "; ".join(f"{text.visible(row.name)}: {row.shown}" for row in drawn[:NAMED])
    axis = {"fixedrange": True, "zeroline": False, "visible": False}
    return finish(
        figure,
        f"{title}: a map of the world, countries coloured by {unit}. {said or 'No country is known'}.",
        400,
        showlegend=False,
        hovermode="closest",
        xaxis={**axis, "range": [-180, 180]},
        yaxis={**axis, "range": [SOUTH, NORTH]},
    )
