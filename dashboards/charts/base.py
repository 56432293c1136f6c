"""What all charts share: colours, layout, alternative text, and horizontal bars.

Put here: what charts of several pages use. Keep out: charts of one subject (a module of this package each), Streamlit,
files, wording around a chart. Every text from the data goes through `text.for_plotly`.

Colours are Okabe-Ito without yellow, which cannot be seen on white; none of them alone carries meaning. Backgrounds are
transparent, so that a chart fits the light and the dark theme. Nothing here needs the network: no maps, no tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from dashboards import text

BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, GREY = "#E69F00", "#56B4E9", "#7F7F7F"

LABEL_WIDTH = 36
"""Characters of a bar's label that fit beside its value on a phone; a longer one takes more lines."""

LABEL_LENGTH = 96
"""Characters of a whole label: three lines, less what breaking at spaces leaves unused."""

BAR_HEIGHT, LINE_HEIGHT, GAP_HEIGHT = 12, 18, 14
"""Pixels of a bar, of a line of its label, and between one bar and the next label."""

MARGIN = 8
"""Pixels around a plot."""


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


def finish(figure: go.Figure, alt: str, height: int, **layout: Any) -> go.Figure:
    """Give a figure what all have in common, and return it; `alt` says in words what it shows."""
    figure.update_layout(
        height=height,
        margin=dict.fromkeys("lrtb", MARGIN),
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        meta={"alt": alt},
        **layout,
    )
    return figure


def hatched(shape: str) -> dict[str, Any]:
    """White signs of a `shape` over a bar's colour, so that the colour is not all that tells it from others."""
    return {"shape": shape, "fgcolor": "white", "size": 6, "fillmode": "overlay"}


def error_bars(values: Sequence[float], intervals: Sequence[tuple[float, float] | None]) -> dict[str, Any]:
    """Plotly's horizontal error bars: from the low to the high end of each interval, where there is one."""
    ends = [interval or (value, value) for value, interval in zip(values, intervals, strict=True)]
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - value for value, (_, high) in zip(values, ends, strict=True)],
        "arrayminus": [value - low for value, (low, _) in zip(values, ends, strict=True)],
        "thickness": 2,
        "width": 5,
        "color": GREY,
        "visible": any(intervals),
    }


def labels_above(
    places: Sequence[float], names: Sequence[Sequence[str]], shown: Sequence[str], shift: float
) -> list[dict[str, Any]]:
    """Annotations above marks: a name at the left and a value at the right.

    Added to a figure at once: one by one they take Plotly a quarter of a second for fifteen bars.

    Parameters
    ----------
    places : sequence of float
        Of the marks on the vertical axis.
    names : sequence of sequence of str
        Lines of each name.
    shown : sequence of str
        Values for people.
    shift : float
        Pixels from the middle of a mark to its label.
    """
    annotations = []
    for place, lines, value in zip(places, names, shown, strict=True):
        above = {"y": place, "yshift": shift, "yanchor": "bottom", "showarrow": False, "font": {"size": 13}}
        name = "<br>".join(map(text.for_plotly, lines))
        annotations.append({"x": 0, "xref": "paper", "xanchor": "left", "text": name, "align": "left", **above})
        annotations.append({"x": 1, "xref": "paper", "xanchor": "right", "text": text.for_plotly(value), **above})
    return annotations


def bars(
    rows: Sequence[Bar], *, title: str, unit: str, longest: float | None = None, lost: str = "removed"
) -> go.Figure:
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
    lost : str
        What happened to the pieces that are lost.
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
        error_x=error_bars([row.value for row in rows], [row.interval for row in rows]),
    )
    if any(row.lost for row in rows):
        figure.add_bar(
            x=[row.lost for row in rows],
            y=places,
            orientation="h",
            width=BAR_HEIGHT,
            name=lost,
            marker={"color": VERMILLION},
            hovertemplate=f"%{{x:,}} {lost}<extra></extra>",
        )
    said = "; ".join(f"{text.visible(row.name)}: {row.shown}" for row in rows[:5])
    return finish(
        figure,
        f"{title}, horizontal bars in {unit}. {said}{'; and more' if len(rows) > 5 else ''}.",
        height + 2 * MARGIN,
        annotations=labels_above(places, lines, [row.shown for row in rows], BAR_HEIGHT / 2),
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
