"""Pictures of the LSTM: its learning, its accuracy per event, its confusions.

Put here: drawing of what ``lstm.fit`` and scoring tell. Keep out: training and scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.models.drawing import PALETTE, canvas, label, png
from analytics_assets.core.models.next_event import Scores
from analytics_assets.core.models.sequences import Sequences

SHOWN_EVENTS = 20
"""Bars that can be read beside each other."""

CONFUSED_EVENTS = 10
"""Rows and columns of a table whose cells still hold a number."""

WRITTEN_SHARE = 0.05
"""Smaller shares of a row are colour only."""


def figures(training: Mapping[str, Any], test: Sequences, scores: Scores) -> dict[str, bytes]:
    """PNG pictures by file name.

    Parameters
    ----------
    training : mapping
        As ``lstm.fit`` gives it.
    test : Sequences
        The scored sessions.
    scores : Scores
        At ``test.positions``.

    Returns
    -------
    dict of str to bytes
        ``learning_curve.png``; ``sample_size.png`` if several sizes were tried; ``event_accuracy.png`` and
        ``confusion.png`` if there is a scored position.
    """
    drawn = {"learning_curve.png": _learning(training)}
    sizes = [size for size in training["sample_sizes"] if size["validation_bits"] is not None]
    if len(sizes) > 1:
        drawn["sample_size.png"] = _sizes(sizes)
    actual = test.codes[test.positions]
    if len(actual):
        drawn["event_accuracy.png"] = _accuracies(test.vocabulary, actual, scores.predicted)
        drawn["confusion.png"] = _confusion(test.vocabulary, actual, scores.predicted)
    return drawn


def frequent(actual: NDArray[np.int32], most: int) -> NDArray[np.int64]:
    """Codes of the events that came most often, at most `most`, the most frequent first, equals by code."""
    counts = np.bincount(actual)
    order = np.argsort(-counts, kind="stable")
    return order[: min(most, int((counts > 0).sum()))]


def accuracies(
    codes: NDArray[np.int64], actual: NDArray[np.int32], predicted: NDArray[np.int32]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Share of each event's occurrences that were predicted, and their number."""
    size = int(actual.max()) + 1
    counts, right = np.bincount(actual, minlength=size), np.bincount(actual[actual == predicted], minlength=size)
    return right[codes] / counts[codes], counts[codes]


def confusion(codes: NDArray[np.int64], actual: NDArray[np.int32], predicted: NDArray[np.int32]) -> NDArray[np.float64]:
    """Shares of predictions by what came.

    Returns
    -------
    float64 array, shape (len(codes), len(codes) + 1)
        Row i: what was predicted where ``codes[i]`` came; the last column holds all other events. Rows sum to 1.
    """
    place = np.full(int(max(actual.max(), predicted.max(), codes.max())) + 1, len(codes))
    place[codes] = np.arange(len(codes))
    rows, columns = place[actual], place[predicted]
    table = np.zeros((len(codes) + 1, len(codes) + 1))
    np.add.at(table, (rows, columns), 1)
    return table[:-1] / table[:-1].sum(axis=1, keepdims=True)


def _learning(training: Mapping[str, Any]) -> bytes:
    curve = training["epochs"]
    epochs = [entry["epoch"] for entry in curve]
    with canvas(7, 3.8) as (figure, axes):
        axes.plot(epochs, [entry["train_bits"] for entry in curve], color=PALETTE[1], label="training, with dropout")
        if curve[0]["validation_bits"] is not None:
            bits = [entry["validation_bits"] for entry in curve]
            axes.plot(epochs, bits, color=PALETTE[0], label="validation")
            best = training["best_epoch"]
            axes.plot([best], [bits[best - 1]], "o", color=PALETTE[0], label=f"kept: epoch {best}")
        axes.set(xlabel="epoch", ylabel="bits per event", title="Learning curve")
        axes.locator_params(axis="x", integer=True)
        axes.legend(frameon=False)
        return png(figure)


def _sizes(sizes: list[dict[str, Any]]) -> bytes:
    with canvas(7, 3.4) as (figure, axes):
        sessions, bits = [size["sessions"] for size in sizes], [size["validation_bits"] for size in sizes]
        axes.plot(sessions, bits, "o-", color=PALETTE[0])
        for size in sizes:
            note = f"top-1 {size['validation_top1']:.3f}"
            axes.annotate(note, (size["sessions"], size["validation_bits"]), xytext=(4, 5), textcoords="offset points")
        axes.margins(x=0.25, y=0.2)
        axes.set(xlabel="training sessions", ylabel="validation bits per event", title="What more sessions bring")
        return png(figure)


def _accuracies(vocabulary: list[str], actual: NDArray[np.int32], predicted: NDArray[np.int32]) -> bytes:
    codes = frequent(actual, SHOWN_EVENTS)
    shares, counts = accuracies(codes, actual, predicted)
    with canvas(5.4, 1.1 + 0.2 * len(codes)) as (figure, axes):
        axes.barh(range(len(codes)), shares, color=PALETTE[0])
        for row, (share, count) in enumerate(zip(shares, counts, strict=True)):
            axes.text(share + 0.01, row, f"{share:.0%} of {count:,}", va="center", fontsize=7)
        axes.set_yticks(range(len(codes)), [label(vocabulary[code]) for code in codes], fontsize=7)
        axes.invert_yaxis()
        axes.set(xlim=(0, 1.2), xlabel="share predicted right", title="Accuracy by the event that came")
        axes.set_xticks(np.arange(0, 1.01, 0.2))
        return png(figure)


def _confusion(vocabulary: list[str], actual: NDArray[np.int32], predicted: NDArray[np.int32]) -> bytes:
    codes = frequent(actual, CONFUSED_EVENTS)
    shares = confusion(codes, actual, predicted)
    names = [label(vocabulary[code], 22) for code in codes]
    with canvas(5.8, 2.2 + 0.24 * len(codes)) as (figure, axes):
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for row, column in zip(*np.nonzero(shares >= WRITTEN_SHARE), strict=True):
            share = shares[row, column]
            axes.text(column, row, f"{share:.0%}", ha="center", va="center", fontsize=7, color=_ink(share))
        columns = [*names, "all other events"]
        axes.set_xticks(range(len(columns)), columns, rotation=40, ha="right", rotation_mode="anchor", fontsize=7)
        axes.set_yticks(range(len(names)), names, fontsize=7)
        axes.set(xlabel="predicted", ylabel="came", title="Confusion of frequent events, shares of a row")
        return png(figure)


def _ink(share: float) -> str:
    return "white" if share > 0.6 else "black"
