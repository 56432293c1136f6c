"""Pictures of the chain: conserved flows, labels that cannot be confused, small files that are equal again."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from analytics_assets.core.models import markov, markov_figures
from analytics_assets.core.models.markov_analysis import analysis, step_flows
from analytics_assets.core.models.markov_states import EXIT
from analytics_assets.core.models.sequences import OTHER, Sequences, Vocabulary
from analytics_assets_tests.core.models.building import make_sequences, planted
from analytics_assets_tests.core.models.chains import SESSIONS


def drawn(sequences: Sequences) -> dict[str, bytes]:
    _, tables = analysis(sequences, resamples=10, permutations=3, journeys=50)
    _, training = markov.fit(sequences, sequences)
    return markov_figures.figures(tables, training)


@given(SESSIONS, st.integers(1, 4))
@settings(deadline=None)
def test_ribbons_fill_their_nodes_and_nodes_do_not_overlap(sessions: list[list[str]], kept: int) -> None:
    nodes, ribbons = markov_figures.stacked(step_flows(make_sequences(sessions), nodes=kept))
    for (step, name), (top, bottom) in nodes.items():
        size = bottom - top
        leaving = [ribbon for ribbon in ribbons if (ribbon["step"], ribbon["from_event"]) == (step, name)]
        coming = [ribbon for ribbon in ribbons if (ribbon["step"] + 1, ribbon["to_event"]) == (step, name)]
        assert tiles(leaving, "left", top) == pytest.approx(0 if name == EXIT or step == 5 else size)
        assert tiles(coming, "right", top) == pytest.approx(0 if step == 1 else size)
    for step in {step for step, _ in nodes}:
        spans = sorted(span for (at, _), span in nodes.items() if at == step)
        assert all(above[1] < below[0] for above, below in pairwise(spans))


def tiles(ribbons: list[dict[str, Any]], side: str, top: float) -> float:
    """Height of ribbons that lie one below the other from `top` without gap or overlap."""
    here = top
    for ribbon in sorted(ribbons, key=lambda ribbon: ribbon[side]):
        assert ribbon[side] == pytest.approx(here)
        here += ribbon["sessions"]
    return here - top


def test_long_names_keep_distinct_labels() -> None:
    ends = "::a very long name of a section that fills the label::view"
    labels = markov_figures.distinct_labels([f"one{ends}", f"two{ends}", "short", "$price"])
    assert len(set(labels.values())) == 4
    assert labels["short"] == "short"
    assert labels["$price"] == r"\$price"
    plain = markov_figures.distinct_labels([f"one{ends}", "short"])
    assert plain[f"one{ends}"].startswith("…"), "alone it is shortened"
    assert markov_figures.distinct_labels([]) == {}


def test_pictures_are_small_pngs_and_the_same_again() -> None:
    rng = np.random.default_rng(1)
    names = [f"page {number}::a section::view" for number in range(40)]
    sessions = [[names[event] for event in rng.zipf(1.4, rng.integers(1, 30)) % 40] for _ in range(300)]
    sequences = make_sequences(sessions)
    pictures = drawn(sequences)
    assert list(pictures) == ["heatmap.png", "network.png", "flows.png", "orders.png"]
    assert pictures == drawn(sequences)
    for content in pictures.values():
        picture = Image.open(io.BytesIO(content))
        assert picture.format == "PNG"
        assert min(picture.convert("RGB").getpixel((0, 0))) > 250, "the background stays white"
        assert len(picture.getcolors()) > 5, "something is drawn"
        assert len(content) < 80_000


def test_the_heatmap_shows_the_probabilities() -> None:
    _, tables = analysis(planted(50, 1), resamples=10, permutations=3, journeys=50)
    edges = {(row["from_event"], row["to_event"]): row["probability"] for row in tables["edges"].to_pylist()}
    rows, columns = ["event 3", "event 0"], ["event 4", EXIT]
    matrix = markov_figures._matrix(tables["edges"], rows, columns)
    assert matrix.tolist() == [[edges.get((row, column), 0) for column in columns] for row in rows]


def test_the_circle_starts_outside_and_follows_the_most_frequent_moves() -> None:
    edges = [
        {"from_event": "(start)", "to_event": "b", "transitions": 9},
        {"from_event": "b", "to_event": "a", "transitions": 5},
        {"from_event": "b", "to_event": "c", "transitions": 7},
    ]
    assert markov_figures._around(["a", "b", "c", "(start)", EXIT], edges) == ["(start)", "b", "c", "a", EXIT]


@pytest.mark.parametrize("sessions", [[["a"]], [["a"], ["b"]], [["a", "a"]], [["a", "b", "c", "a", "b", "c", "a"]]])
def test_tiny_logs_can_be_drawn(sessions: list[list[str]]) -> None:
    sequences = make_sequences(sessions)
    pictures = drawn(Vocabulary([*sequences.vocabulary, OTHER]).encode(sequences))
    assert ("orders.png" in pictures) is any(len(session) > 1 for session in sessions)


def test_orders_are_drawn_without_validation() -> None:
    sequences = planted(20, 1)
    _, training = markov.fit(sequences, sequences.take(np.array([], dtype=np.int64)))
    orders: pa.Table = analysis(sequences, resamples=5, permutations=3, journeys=5)[1]["orders"]
    assert markov_figures.bits_by_order(orders, training)
