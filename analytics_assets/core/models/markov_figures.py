"""Pictures of a Markov chain: moves as a heatmap and as a network, flows of first steps, bits by order.

Put here: how they look. Keep out: what they show (``markov_analysis.py``), what all pictures share (``drawing.py``).
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.models.drawing import MAX_LABEL, PALETTE, canvas, label, pixels
from analytics_assets.core.models.markov_states import EXIT, START
from analytics_assets.core.models.sequences import OTHER

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEATMAP_EVENTS = 20
"""Most frequent events in the heatmap: more rows cannot be labelled."""

NETWORK_EVENTS, NETWORK_MOVES = 14, 40
"""Most frequent events and moves in the network: more lines cannot be followed."""

WIDEST = 7.0
"""Width of a certain move in the network, points."""

QUIET = "#9aa0a6"
"""Colour of what is no event type of its own: exits, rare events, moves within chance."""

NODE_GAP = 0.03
"""Space between the nodes of one step of a flow diagram, in parts of all sessions: a label's height."""

NODE_WIDTH = 0.06
"""Width of a node, in steps."""

PALE = 0.3
"""Share of colour in ribbons, the rest is white: opaque, since every overlap of transparent ones is a new colour."""

COLOURS = 48
"""Colours of a picture's palette: a third of the bytes of true colour; an octree keeps the few strong ones apart."""


def distinct_labels(names: Sequence[str]) -> dict[str, str]:
    """A label for each name, no two alike: as short as `drawing.label` makes them, longer where two would coincide."""
    for length in range(MAX_LABEL, max(map(len, names), default=0) + 1):
        labels = [label(name, length) for name in names]
        if len(set(labels)) == len(labels):
            return dict(zip(names, labels, strict=True))
    return {name: label(name, len(name)) for name in names}


def figures(tables: Mapping[str, pa.Table], training: Mapping[str, Any]) -> dict[str, bytes]:
    """All pictures.

    Parameters
    ----------
    tables : mapping of str to pyarrow.Table
        Of ``markov_analysis.analysis``.
    training : mapping
        Of ``markov.fit`` on the same sessions.

    Returns
    -------
    dict of str to bytes
        PNG by file name; ``orders.png`` only where there was a position to learn from.
    """
    drawn = {"heatmap.png": heatmap(tables), "network.png": network(tables), "flows.png": flows(tables["flows"])}
    if tables["orders"].num_rows:
        drawn["orders.png"] = bits_by_order(tables["orders"], training)
    return drawn


def _small_png(figure: Figure) -> bytes:
    """The figure as PNG with a palette; equal figures give equal bytes."""
    from PIL import Image

    buffer = io.BytesIO()
    picture = Image.fromarray(pixels(figure)).convert("RGB")
    picture.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
        buffer, format="png", optimize=True
    )
    return buffer.getvalue()


def _matrix(edges: pa.Table, rows: Sequence[str], columns: Sequence[str]) -> NDArray[np.float64]:
    """Probabilities of the moves from `rows` to `columns`."""
    row, column = ({name: place for place, name in enumerate(names)} for names in (rows, columns))
    matrix = np.zeros((len(rows), len(columns)))
    for edge in edges.select(["from_event", "to_event", "probability"]).to_pylist():
        if edge["from_event"] in row and edge["to_event"] in column:
            matrix[row[edge["from_event"]], column[edge["to_event"]]] = edge["probability"]
    return matrix


def heatmap(tables: Mapping[str, pa.Table]) -> bytes:
    """Probabilities of moves between the most frequent events, entry as first row and exit as last column."""
    events = tables["states"]["event"].to_pylist()[:HEATMAP_EVENTS]
    labels = distinct_labels(events)
    matrix = _matrix(tables["edges"], [START, *events], [*events, EXIT])
    with canvas(8.5, 7.5) as (figure, axes):
        image = axes.imshow(matrix, cmap="cividis", vmin=0, vmax=max(matrix.max(), 0.01), aspect="auto")
        axes.set_yticks(range(len(events) + 1), [START, *labels.values()], fontsize=7)
        axes.set_xticks(range(len(events) + 1), [*labels.values(), EXIT], fontsize=7, rotation=90)
        for row, column in zip(*np.nonzero(matrix >= 0.1), strict=True):
            dark = matrix[row, column] < matrix.max() / 2
            share = f"{100 * matrix[row, column]:.0f}"
            axes.text(column, row, share, ha="center", va="center", fontsize=6, color="white" if dark else "black")
        axes.set_ylabel("current event")
        axes.set_xlabel("next event")
        axes.set_title(f"Next event after each of the {len(events)} most frequent events (%, from 10 %)", fontsize=10)
        figure.colorbar(image, ax=axes, label="probability", shrink=0.6)
        return _small_png(figure)


def network(tables: Mapping[str, pa.Table]) -> bytes:
    """The most frequent moves as arrows on a circle, wide by probability."""
    from matplotlib.patches import FancyArrowPatch

    states = tables["states"].slice(0, NETWORK_EVENTS)
    share = dict(zip(states["event"].to_pylist(), states["stationary"].to_pylist(), strict=True))
    inside = [*share, START, EXIT]
    edges = [
        edge
        for edge in tables["edges"].select(["from_event", "to_event", "transitions", "probability"]).to_pylist()
        if edge["from_event"] in inside and edge["to_event"] in inside and edge["transitions"]
    ]
    nodes = _around(inside, edges)
    angle = np.pi - 2 * np.pi * np.arange(len(nodes)) / len(nodes)
    place = {name: (float(np.cos(a)), float(np.sin(a))) for name, a in zip(nodes, angle, strict=True)}
    labels = distinct_labels(nodes)
    significant = {
        (edge["from_event"], edge["to_event"])
        for edge in tables["edges"].select(["from_event", "to_event", "significant", "lift"]).to_pylist()
        if edge["significant"] and (edge["lift"] or 0) > 1
    }
    repeats = {edge["from_event"]: edge["probability"] for edge in edges if edge["from_event"] == edge["to_event"]}
    drawn = [edge for edge in edges if edge["from_event"] != edge["to_event"]][:NETWORK_MOVES]
    with canvas(9, 7) as (figure, axes):
        for edge in reversed(drawn):
            pair = (edge["from_event"], edge["to_event"])
            axes.add_patch(
                FancyArrowPatch(
                    place[pair[0]],
                    place[pair[1]],
                    connectionstyle="arc3,rad=0.15",
                    arrowstyle="-|>",
                    mutation_scale=9,
                    linewidth=max(0.4, WIDEST * edge["probability"]),
                    color=PALETTE[0] if pair in significant else QUIET,
                    alpha=0.6,
                    shrinkA=7,
                    shrinkB=7,
                )
            )
        for name, (x, y) in place.items():
            size = 40 + 1500 * share.get(name, 0.03)
            axes.scatter([x], [y], s=size, color=PALETTE[1] if name in share else QUIET, zorder=3)
            text = labels[name] + (f"\nitself {repeats[name]:.0%}" if name in repeats else "")
            side = "center" if abs(x) < 0.15 else "left" if x > 0 else "right"
            axes.text(1.1 * x, 1.1 * y, text, ha=side, va="center", fontsize=7)
        axes.set_xlim(-1.9, 1.9)
        axes.set_ylim(-1.2, 1.2)
        axes.set_axis_off()
        axes.set_title(
            f"The {len(drawn)} most frequent moves: width = probability, blue = more than chance", fontsize=10
        )
        return _small_png(figure)


def _around(names: Sequence[str], edges: Sequence[Mapping[str, Any]]) -> list[str]:
    """Order on the circle, from `START` to `EXIT`: after each event the one that follows it most often."""
    follows = {(edge["from_event"], edge["to_event"]): edge["transitions"] for edge in edges}
    order, left = [START], [name for name in names if name not in (START, EXIT)]
    while left:
        following = max(left, key=lambda name: follows.get((order[-1], name), 0))
        order.append(following)
        left.remove(following)
    return [*order, EXIT]


def stacked(flows: pa.Table) -> tuple[dict[tuple[int, str], tuple[float, float]], list[dict[str, Any]]]:
    """Where nodes and ribbons of a flow diagram lie.

    Parameters
    ----------
    flows : pyarrow.Table
        Rows of ``MARKOV_FLOWS``.

    Returns
    -------
    nodes : dict of (int, str) to (float, float)
        Upper and lower end of the node of an event at a step (from 1), in sessions from the top downwards; largest
        first, rare events and exit last.
    ribbons : list of dict
        ``step``, ``from_event``, ``to_event``; ``left`` and ``right``: upper ends in the two nodes; ``sessions``:
        height at both. Ribbons of a node do not overlap and, but at the last step, fill it.
    """
    rows = flows.to_pylist()
    size: dict[tuple[int, str], int] = {}
    for row in rows:
        key = (row["step"] + 1, row["to_event"])
        size[key] = size.get(key, 0) + row["sessions"]
    total = sum(row["sessions"] for row in rows if row["step"] == 0)
    nodes: dict[tuple[int, str], tuple[float, float]] = {}
    for step in sorted({step for step, _ in size}):
        top = 0.0
        names = [name for at, name in size if at == step]
        for name in sorted(names, key=lambda name: (name == EXIT, name == OTHER, -size[step, name], name)):
            nodes[step, name] = (top, top + size[step, name])
            top += size[step, name] + NODE_GAP * total
    used_left = {key: top for key, (top, _) in nodes.items()}
    used_right = dict(used_left)
    ribbons = []
    inner = [row for row in rows if row["step"] > 0]
    for row in sorted(
        inner,
        key=lambda row: (
            row["step"],
            nodes[row["step"], row["from_event"]],
            nodes[row["step"] + 1, row["to_event"]],
        ),
    ):
        left, right = (row["step"], row["from_event"]), (row["step"] + 1, row["to_event"])
        ribbons.append({**row, "left": used_left[left], "right": used_right[right]})
        used_left[left] += row["sessions"]
        used_right[right] += row["sessions"]
    return nodes, ribbons


def flows(table: pa.Table) -> bytes:
    """Sankey diagram of the first steps of sessions; what leaves a step ends in its grey exit node."""
    from matplotlib.colors import to_rgb
    from matplotlib.patches import PathPatch, Rectangle
    from matplotlib.path import Path as Outline

    nodes, ribbons = stacked(table)
    total = sum(bottom - top for (step, _), (top, bottom) in nodes.items() if step == 1)
    named = list(dict.fromkeys(name for _, name in nodes if name not in (OTHER, EXIT)))
    colour = {name: PALETTE[place % (len(PALETTE) - 1)] for place, name in enumerate(named)}
    labels = distinct_labels([*named, OTHER, EXIT])
    with canvas(11, 5.6) as (figure, axes):
        for ribbon in ribbons:
            start, end = ribbon["step"] + NODE_WIDTH, ribbon["step"] + 1
            middle, height = (start + end) / 2, ribbon["sessions"]
            left, right = ribbon["left"], ribbon["right"]
            points = [(start, left), (middle, left), (middle, right), (end, right), (end, right + height)]
            points += [(middle, right + height), (middle, left + height), (start, left + height), (start, left)]
            kinds = [Outline.MOVETO, *[Outline.CURVE4] * 3, Outline.LINETO, *[Outline.CURVE4] * 3, Outline.CLOSEPOLY]
            face = QUIET if ribbon["to_event"] == EXIT else colour.get(ribbon["from_event"], QUIET)
            pale = 1 - PALE * (1 - np.array(to_rgb(face)))
            axes.add_patch(PathPatch(Outline(points, kinds), facecolor=(*pale.tolist(), 1.0), linewidth=0))
        for (step, name), (top, bottom) in nodes.items():
            axes.add_patch(Rectangle((step, top), NODE_WIDTH, bottom - top, color=colour.get(name, QUIET)))
            text = f"{labels[name]} {100 * (bottom - top) / total:.0f} %"
            axes.text(step + 1.3 * NODE_WIDTH, (top + bottom) / 2, text, fontsize=6.5, va="center")
        last, lowest = max(step for step, _ in nodes), max(bottom for _, bottom in nodes.values())
        _frame(axes, last, lowest)
        axes.set_title(f"First {last} events of {total:,.0f} sessions (% of all sessions)", fontsize=10)
        return _small_png(figure)


def _frame(axes: Axes, steps: int, lowest: float) -> None:
    axes.set_xlim(0.98, steps + 0.85)
    axes.set_ylim(1.01 * lowest, -0.01 * lowest)
    axes.set_yticks([])
    axes.set_xticks([step + NODE_WIDTH / 2 for step in range(1, steps + 1)], [f"event {n + 1}" for n in range(steps)])
    for side in axes.spines.values():
        side.set_visible(False)


def bits_by_order(orders: pa.Table, training: Mapping[str, Any]) -> bytes:
    """Bits per event by the length of the context: on training, on validation, and with the penalty of BIC."""
    order = orders["order"].to_numpy()
    validation = training["validation_bits"]
    penalized = orders["bic_bits"].to_numpy()
    top = 1.3 * max([float(orders["bits"].to_numpy().max()), *validation])
    with canvas(7, 4) as (figure, axes):
        axes.plot(order, orders["bits"].to_numpy(), color=QUIET, marker="o", linestyle="--", label="analysed sessions")
        if validation:
            axes.plot(
                range(len(validation)), validation, color=PALETTE[0], marker="o", label="validation, with back-off"
            )
            axes.axvline(training["order"], color=PALETTE[0], linewidth=0.8, linestyle=":")
        axes.plot(order, penalized, color=PALETTE[5], marker="s", label="with BIC's penalty")
        for x, y in zip(order, penalized, strict=True):
            if y > top:
                axes.text(x, 0.93 * top, f"{y:,.0f} ↑", color=PALETTE[5], fontsize=7, ha="center")
        axes.set_ylim(0, top)
        axes.set_xticks(order)
        axes.set_xlabel("events in the context (dotted: chosen)")
        axes.set_ylabel("bits per event")
        axes.set_title("How long a memory pays", fontsize=10)
        axes.legend(fontsize=8, frameon=False, loc="lower left")
        return _small_png(figure)
