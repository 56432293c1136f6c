"""How models' pictures look: size, fonts, colours, PNG bytes.

Put here: what every picture shares. Keep out: single pictures (each model's own ``*_figures.py``), interactive charts
(``dashboards/``).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
"""Okabe and Ito 2008: told apart by colour-blind readers."""

DPI = 96
"""Screen resolution: the pictures are previewed in the Dagster UI, where bytes in the event log count."""

MAX_LABEL = 34
"""Characters of an event name in a picture; longer names keep their end, which tells most."""


def label(name: str, length: int = MAX_LABEL) -> str:
    """An event name short enough for an axis; ``$`` starts no formula."""
    short = name if len(name) <= length else "…" + name[1 - length :]
    return short.replace("$", r"\$")


@contextmanager
def canvas(width: float = 7.0, height: float = 4.0) -> Iterator[tuple[Figure, Axes]]:
    """A figure with one axes; sizes in inches. No window system and no global state are used."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    yield figure, figure.add_subplot()


def png(figure: Figure) -> bytes:
    """The figure as PNG; equal figures give equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def pixels(figure: Figure) -> NDArray[np.uint8]:
    """The figure as red, green, blue and opacity, shape (height, width, 4)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    drawn = FigureCanvasAgg(figure)
    drawn.draw()  # type: ignore[no-untyped-call]  # matplotlib leaves both without types
    return np.asarray(drawn.buffer_rgba())  # type: ignore[no-untyped-call]
