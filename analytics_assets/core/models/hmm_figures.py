"""Pictures of a hidden Markov model: moves, events, hours, choice of the number of states.

Put here: drawing. Keep out: the numbers drawn (``hmm.py``, ``hmm_tables.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from analytics_assets.core.models.drawing import PALETTE, canvas, label, png
from analytics_assets.core.models.hmm import HiddenMarkov, telling_events
from analytics_assets.schemas.hmm import HMM_STATE_HOURS, HMM_STATES

if TYPE_CHECKING:
    import pyarrow as pa

EVENTS_PER_STATE = 2
"""Events of each state in the picture of lifts: with 12 states some 24 rows, which a page still shows."""

SHOWN_FROM = 0.02
"""Moves and chances below this are left without a number: a picture is no table."""


def figures(model: HiddenMarkov, training: Mapping[str, Any], tables: Mapping[str, pa.Table]) -> dict[str, bytes]:
    """All pictures as PNG by file name.

    Parameters
    ----------
    model : HiddenMarkov
    training : mapping
        What ``hmm.fit`` told.
    tables : mapping of str to pyarrow.Table
        ``hmm_tables.tables`` of the same model.
    """
    return {
        "hmm_transitions.png": _transitions(model, tables[HMM_STATES.name]),
        "hmm_emissions.png": _emissions(model),
        "hmm_hours.png": _hours(model, tables[HMM_STATE_HOURS.name]),
        "hmm_states.png": _choice(training),
    }


def _transitions(model: HiddenMarkov, states: pa.Table) -> bytes:
    moves = model.parameters.moves
    number = len(moves)
    dwell = states["dwell_events"].to_pylist()
    stays = ["" if events is None else f"  {events:.1f} ev." for events in dwell]
    with canvas(3.6 + 0.42 * number, 2.2 + 0.32 * number) as (figure, axes):
        axes.imshow(moves, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for row, column in zip(*np.nonzero(moves >= SHOWN_FROM), strict=True):
            chance = moves[row, column]
            axes.text(
                column,
                row,
                f"{chance:.2f}"[1:] if chance < 0.995 else "1",
                ha="center",
                va="center",
                fontsize=7,
                color="white" if chance > 0.5 else "black",
            )
        axes.set_yticks(
            range(number),
            [f"{place} {label(name)}{stays[place]}" for place, name in enumerate(model.names)],
            fontsize=8,
        )
        axes.set_xticks(range(number), [str(place) for place in range(number)], fontsize=8)
        axes.set_xlabel("next state")
        axes.set_title("Chance of the next action's state; beside the names: events per visit", fontsize=9, loc="right")
        return png(figure)


def _emissions(model: HiddenMarkov) -> bytes:
    emission, lift = model.parameters.emission, model.lift
    number = len(emission)
    rows = list(
        dict.fromkeys(
            int(event) for found in telling_events(emission, model.shares) for event in found[:EVENTS_PER_STATE]
        )
    )
    shown = np.log2(np.maximum(lift[:, rows].T, 1.0))
    with canvas(3.4 + 0.32 * number, 1.4 + 0.18 * len(rows)) as (figure, axes):
        image = axes.imshow(shown, cmap="Oranges", vmin=0, vmax=max(1.0, float(shown.max())), aspect="auto")
        for row, column in zip(*np.nonzero(emission[:, rows].T >= SHOWN_FROM), strict=True):
            axes.text(column, row, f"{emission[column, rows[row]]:.2f}"[1:], ha="center", va="center", fontsize=6)
        axes.set_yticks(range(len(rows)), [label(model.vocabulary[event]) for event in rows], fontsize=7)
        axes.set_xticks(range(number), [str(place) for place in range(number)], fontsize=8)
        axes.set_xlabel("state")
        axes.set_title("Events that set the states apart; numbers: chance in the state", fontsize=9, loc="right")
        figure.colorbar(image, ax=axes, label="lift, log2")
        return png(figure)


def _hours(model: HiddenMarkov, hours: pa.Table) -> bytes:
    number = model.parameters.states
    shares = np.zeros((24, number))
    shares[hours["hour"].to_numpy(), hours["state"].to_numpy()] = hours["share"].to_numpy()
    with canvas(8.0, 4.2) as (figure, axes):
        bottom = np.zeros(24)
        for state, name in enumerate(model.names):
            # Twelve states and more need the seven colours twice; the second time they are hatched.
            axes.bar(
                range(24),
                shares[:, state],
                bottom=bottom,
                width=0.9,
                color=PALETTE[state % len(PALETTE)],
                hatch=("", "//", "..")[state // len(PALETTE) % 3],
                edgecolor="white",
                linewidth=0,
                label=f"{state} {label(name)}",
            )
            bottom += shares[:, state]
        axes.set_xlim(-0.6, 23.6)
        axes.set_ylim(0, 1)
        axes.set_xticks(range(0, 24, 3))
        axes.set_xlabel("hour, UTC")
        axes.set_ylabel("share of the hour's events")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7, frameon=False)
        return png(figure)


def _choice(training: Mapping[str, Any]) -> bytes:
    grid = training["grid"]
    states = [row["states"] for row in grid]
    with canvas(7.0, 3.8) as (figure, axes):
        lines: list[Any] = []
        if grid[0]["held_out_bits"] is not None:
            bits = axes.errorbar(
                states,
                [row["held_out_bits"] for row in grid],
                yerr=[row["standard_error"] for row in grid],
                color=PALETTE[0],
                marker="o",
                capsize=2,
                label="held-out bits per event; bars: standard error of the distance from the best",
            )
            lines.append(bits)
        axes.axvline(training["states"], color=PALETTE[6], linestyle=":", linewidth=1)
        axes.set_ylabel("bits per event")
        axes.set_xlabel("states (dotted: chosen)")
        axes.set_xticks(states)
        right = axes.twinx()
        bic = [row["bic"] / 1000 for row in grid]
        lines += right.plot(states, bic, color=PALETTE[1], marker="s", linestyle="--", label="BIC")
        right.set_ylabel("BIC, thousands")
        axes.legend(handles=lines, fontsize=8, frameon=False)
        return png(figure)
