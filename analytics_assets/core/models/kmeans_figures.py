"""Pictures of segments: their places, their profiles, and how their number was chosen.

Put here: how they look. Keep out: what they show (``kmeans.py``), what all pictures share (``drawing.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from analytics_assets.core.models.drawing import PALETTE, canvas, label, png
from analytics_assets.core.models.kmeans_choice import STABLE
from analytics_assets.core.models.kmeans_profile import plain_words

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.axes import Axes

DRAWN = 600
"""Actors drawn at most: more dots hide each other and cost bytes."""

HEATMAP_EVENTS = 10
"""Event types in the heatmap, those that tell segments apart most."""

MARKS = "osD^vPX*"
"""Segments also differ in shape, for who does not see the colours."""

NAME_LENGTH = 100
"""Characters of a segment's name in a legend: only the longest ones are cut."""

Z_LIMIT = 2.0
"""Ends of the heatmap's colours, in standard deviations."""

SHOWN_Z = 0.5
"""Smaller differences have no number in the heatmap: nobody reads them."""

SHADES = 16
"""Steps of the heatmap's colours."""


def figures(metrics: Mapping[str, Any], tables: Mapping[str, pa.Table]) -> dict[str, bytes]:
    """All pictures.

    Parameters
    ----------
    metrics, tables : mapping
        Of ``kmeans.analysis``.

    Returns
    -------
    dict of str to bytes
        PNG by file name: ``projection.png`` and ``profile.png`` where anybody was segmented, ``choice.png`` where more
        than one segment was tried.
    """
    drawn: dict[str, bytes] = {}
    if metrics["segments"]:
        drawn["projection.png"] = projection(tables["assignments"], metrics)
        drawn["profile.png"] = profile(tables["profiles"])
    if tables["choices"].num_rows:
        drawn["choice.png"] = choice(tables["choices"])
    return drawn


def projection(assignments: pa.Table, metrics: Mapping[str, Any]) -> bytes:
    """Actors on the two main components, coloured by segment."""
    segment = assignments["segment"].to_numpy()
    inside = np.flatnonzero(segment >= 0)
    inside = inside[:: -(-len(inside) // DRAWN)]
    x, y = (assignments[f"component_{number}"].to_numpy(zero_copy_only=False) for number in (1, 2))
    with canvas(7.0, 5.6) as (figure, axes):
        for number, (name, size) in enumerate(zip(metrics["names"], metrics["sizes"], strict=True)):
            here = inside[segment[inside] == number]
            axes.scatter(
                x[here],
                y[here],
                s=14,
                color=PALETTE[number % len(PALETTE)],
                marker=MARKS[number % len(MARKS)],
                label=f"{label(name, NAME_LENGTH)} ({size:,})",
            )
        shares = metrics["component_shares"]
        axes.set_xlabel(f"first component ({shares[0]:.0%} of the variance)")
        axes.set_ylabel(f"second component ({shares[1]:.0%})")
        axes.set_title("Segments on the two main components", fontsize=10)
        figure.legend(loc="outside lower left", fontsize=7, frameon=False)
        return png(figure)


def choice(choices: pa.Table) -> bytes:
    """Silhouette, Calinski-Harabasz index and stability by the number of segments."""
    k = choices["k"].to_numpy()
    chosen = choices["chosen"].to_numpy(zero_copy_only=False)

    def line(axes: Axes, column: str, text: str, place: int, style: str = "-") -> None:
        values = np.array([np.nan if value is None else value for value in choices[column].to_pylist()], dtype=float)
        axes.plot(k, values, style, marker="o", markersize=3, color=PALETTE[place], label=text)

    with canvas(8.0, 2.8) as (figure, first):
        first.remove()
        silhouettes, index, steady = figure.subplots(1, 3)
        line(silhouettes, "silhouette", "silhouette", 0)
        line(silhouettes, "macro_silhouette", "mean of segments", 2)
        line(silhouettes, "shuffled_silhouette", "shuffled data", 1, "--")
        line(index, "calinski_harabasz", "Calinski-Harabasz", 0)
        line(steady, "stability", "least stable segment", 0)
        line(steady, "mean_stability", "mean of segments", 2)
        steady.axhline(STABLE, color="#9aa0a6", linewidth=0.8, linestyle=":")
        titles = ("Silhouette", "Calinski-Harabasz index", f"Stability (Jaccard, stable from {STABLE})")
        for axes, title in zip((silhouettes, index, steady), titles, strict=True):
            for number in k[chosen]:
                axes.axvline(number, color=PALETTE[5], linewidth=0.8)
            axes.set_xticks(k)
            axes.set_xlabel("segments")
            axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
            axes.set_title(title, fontsize=9)
        silhouettes.legend(fontsize=7, frameon=False)
        steady.legend(fontsize=7, frameon=False)
        return png(figure)


def profile(profiles: pa.Table) -> bytes:
    """Measures and the most telling event types by segment, in standard deviations from the mean of all."""
    from matplotlib import colormaps

    rows = [row for row in profiles.to_pylist() if row["kind"] in ("measure", "event")]
    names = list(dict.fromkeys(row["segment_name"] for row in rows))
    z = {(row["segment"], row["kind"], row["feature"]): row["z"] or 0.0 for row in rows}
    features = list(dict.fromkeys((row["kind"], row["feature"]) for row in rows))
    reach = {feature: max(abs(z[number, *feature]) for number in range(len(names))) for feature in features}
    events = sorted((feature for feature in features if feature[0] == "event"), key=lambda each: -reach[each])
    shown = [feature for feature in features if feature[0] == "measure"] + events[:HEATMAP_EVENTS]
    matrix = np.array([[z[number, *feature] for number in range(len(names))] for feature in shown])
    with canvas(max(5.5, 2.9 + 0.75 * len(names)), 1.8 + 0.22 * len(shown)) as (figure, axes):
        colours = colormaps["PuOr_r"].resampled(SHADES)
        axes.imshow(matrix, cmap=colours, vmin=-Z_LIMIT, vmax=Z_LIMIT, aspect="auto")
        texts = [label(plain_words(name) if kind == "event" else name.replace("_", " ")) for kind, name in shown]
        axes.set_yticks(range(len(shown)), texts, fontsize=7)
        numbers = [str(number) for number in range(len(names))]
        axes.set_xticks(range(len(names)), numbers, fontsize=7)
        for row, column in np.argwhere(np.abs(matrix) >= SHOWN_Z):
            pale = abs(matrix[row, column]) < 0.7 * Z_LIMIT
            text = f"{matrix[row, column]:+.1f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=6, color="black" if pale else "white")
        legend = "\n".join(f"{number}: {label(name, NAME_LENGTH)}" for number, name in enumerate(names))
        figure.supxlabel(f"Segments\n{legend}", x=0.01, ha="left", fontsize=7)
        axes.set_title("Standard deviations from the mean of all", fontsize=9)
        return png(figure)
