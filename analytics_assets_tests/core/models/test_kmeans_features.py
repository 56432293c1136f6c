"""Only what people do describes them, and measures equal plain counting."""

from __future__ import annotations

from datetime import datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.core.models import kmeans, kmeans_features
from analytics_assets.core.models.kmeans_features import MEASURES, Behaviour, expected_types, natural_hour
from analytics_assets.core.models.sequences import OTHER
from analytics_assets_tests.core.models.behaviours import (
    engine_of,
    event,
)


def loaded(folder: Path, rows: list[dict[str, Any]], **part: Any) -> Behaviour:
    with engine_of(folder, rows) as (engine, events, visits):
        return kmeans.load_behaviour(engine, [events], [visits], **part)


def rows_of_two(*, noise: bool) -> list[dict[str, Any]]:
    """Ann: 3 events of two types and 2 renders on two days; Bob: a render only."""
    return [
        event(0, "user:ann", 0, "open"),
        event(1, "user:ann", 0, "page::render", noise=noise),
        event(3, "user:ann", 0, "open"),
        event(4, "user:ann", 3, "save"),
        event(10, "user:ann", 3, "page::render", noise=noise),
        event(20, "user:bob", 1, "page::render", noise=noise),
    ]


def test_only_what_people_do_is_counted(tmp_path: Path) -> None:
    behaviour = loaded(tmp_path, rows_of_two(noise=True))
    assert behaviour.actors == ["user:ann", "user:bob"]
    assert behaviour.event_names == ["open", "save", OTHER]
    assert behaviour.counts.tolist() == [[2, 1, 0], [0, 0, 0]]
    assert behaviour.active_days.tolist() == [2, 0]
    assert behaviour.countries == ["Norway", None]
    ann = dict(zip(MEASURES, behaviour.measures[0], strict=True))
    entropy = -(2 / 3 * np.log2(2 / 3) + 1 / 3 * np.log2(1 / 3))
    assert ann == pytest.approx(
        {
            "events_per_active_day": 1.5,
            "sessions_per_active_day": 1.0,
            "events_per_session": 1.5,
            "mean_session_seconds": 270.0,
            "median_session_seconds": 270.0,
            "active_day_share": 0.5,
            "breadth": 2.0,
            "event_entropy": entropy,
            "weekend_share": 1 / 3,
            "hour_sin": 1.0,
            "hour_cos": 0.0,
        },
        abs=1e-12,
    )
    assert not behaviour.measures[1].any()


def test_a_log_without_noise_passes_unchanged(tmp_path: Path) -> None:
    behaviour = loaded(tmp_path, rows_of_two(noise=False))
    assert behaviour.event_names == ["page::render", "open", "save", OTHER]
    assert behaviour.counts.tolist() == [[2, 2, 1, 0], [1, 0, 0, 0]]


def test_rare_types_share_a_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kmeans_features, "MIX_EVENTS", 2)
    rows = [event(n, "user:ann", 0, name) for n, name in enumerate("aaabbcd")]
    behaviour = loaded(tmp_path, rows)
    assert behaviour.event_names == ["a", "b", OTHER]
    assert behaviour.counts.tolist() == [[3, 2, 2]]
    assert behaviour.measures[0, MEASURES.index("breadth")] == pytest.approx(4)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_breadth_equals_the_mean_over_all_draws(counts: list[int], draws: int) -> None:
    types = [kind for kind, number in enumerate(counts) for _ in range(number)]
    some = list(combinations(range(len(types)), min(draws, len(types))))
    expected = np.mean([len({types[place] for place in places}) for places in some])
    actor = np.zeros(len(counts), dtype=np.int64)
    assert expected_types(actor, np.array(counts), 1, draws) == pytest.approx([expected])


@pytest.mark.parametrize("hour", [0.5, 6.0, 23.0])
def test_hours_average_on_the_circle(hour: float) -> None:
    measures = np.zeros((2, len(MEASURES)))
    angles = 2 * np.pi * (np.array([hour - 2, hour + 2]) / 24)
    measures[:, MEASURES.index("hour_sin")], measures[:, MEASURES.index("hour_cos")] = np.sin(angles), np.cos(angles)
    assert natural_hour(measures) == pytest.approx(hour)


def test_a_part_in_time_is_what_remains_without_the_rest(tmp_path: Path) -> None:
    rows = rows_of_two(noise=True)
    cut = datetime(2024, 5, 2)
    for folder in ("all", "early"):
        (tmp_path / folder).mkdir()
    early = loaded(tmp_path / "all", rows, until=cut)
    late = loaded(tmp_path / "all", rows, since=cut)
    assert early.counts.tolist() == [[2, 0]]
    assert late.counts.tolist() == [[1, 0], [0, 0]]
    alone = loaded(tmp_path / "early", [row for row in rows if row["time"] < cut])
    assert (early.actors, early.event_names) == (alone.actors, alone.event_names)
    assert np.array_equal(early.measures, alone.measures)
