"""Profiles equal plain means, names are distinct and say what sets apart, pictures are small."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.core.models import kmeans, kmeans_figures, kmeans_profile
from analytics_assets.core.models.kmeans_features import MEASURES
from analytics_assets.core.models.sequences import OTHER
from analytics_assets_tests.core.models.behaviours import (
    EVENTS,
    planted,
)


def test_profiles_equal_plain_means() -> None:
    behaviour, _ = planted()
    segments, _, tables = kmeans.analysis(behaviour, max_segments=4)
    labels = segments.assign(behaviour)
    rows = {(row["segment"], row["kind"], row["feature"]): row for row in tables["profiles"].to_pylist()}
    values = behaviour.counts[:, 1] / 100
    row = rows[2, "event", EVENTS[1]]
    assert row["mean"] == pytest.approx(values[labels == 2].mean())
    assert row["median"] == pytest.approx(np.median(values[labels == 2]))
    assert row["z"] == pytest.approx((values[labels == 2].mean() - values.mean()) / values.std())
    assert row["lift"] == pytest.approx(values[labels == 2].mean() / values.mean())
    norway = np.array([country == "Norway" for country in behaviour.countries])
    assert rows[0, "country", "Norway"]["mean"] == pytest.approx(norway[labels == 0].mean())
    assert rows[0, "measure", "hour_sin"]["lift"] is None
    assert sum(row["mean"] for (segment, kind, _), row in rows.items() if segment == 1 and kind == "event") == (
        pytest.approx(1)
    )
    best = tables["representatives"].to_pylist()
    distance = dict(
        zip(tables["assignments"]["actor"].to_pylist(), tables["assignments"]["distance"].to_pylist(), strict=True)
    )
    for segment in range(3):
        nearest = sorted(
            distance[name] for name, label in zip(behaviour.actors, labels, strict=True) if label == segment
        )
        assert [row["distance"] for row in best if row["segment"] == segment] == nearest[:3]


def test_lift_intervals_equal_the_bootstrap() -> None:
    rng = np.random.default_rng(11)
    values, inside = rng.gamma(2, size=200), np.arange(200) < 60
    values[inside] *= 1.4
    lift, low, high = kmeans_profile.lift_interval(values, inside)
    drawn = rng.integers(200, size=(4000, 200))
    ratios = [values[d][inside[d]].mean() / values[d].mean() for d in drawn]
    assert lift == pytest.approx(values[inside].mean() / values.mean())
    assert [low, high] == pytest.approx(np.quantile(ratios, [0.025, 0.975]), rel=0.03)
    assert kmeans_profile.lift_interval(np.zeros(5), np.arange(5) < 2) == (None, None, None)
    assert kmeans_profile.lift_interval(np.arange(5.0), np.arange(5) < 1) == (0.0, None, None)


@given(st.integers(2, 8), st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_names_are_distinct(segments: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    centroids = rng.integers(-1, 2, size=(segments, len(MEASURES) + 3)).astype(float)
    names = kmeans_profile.segment_names(
        centroids, np.zeros(centroids.shape[1]), ["a::b", "c:d", OTHER], [6.0] * segments
    )
    assert len(set(names)) == segments
    assert all(names)


def test_names_say_what_sets_a_segment_apart() -> None:
    difference = np.zeros((3, len(MEASURES) + 3))
    difference[0, len(MEASURES)] = 1.0
    difference[0, MEASURES.index("weekend_share")] = 0.5
    difference[1, MEASURES.index("events_per_session")] = -1.0
    difference[1, MEASURES.index("hour_cos")] = 0.7
    names = kmeans_profile.segment_names(
        difference, np.zeros(difference.shape[1]), ["queue::list:view", "x", OTHER], [1, 23.7, 5]
    )
    assert names == ["queue list view, weekends", "short sessions, around 0 h UTC", "like everybody"]
    assert kmeans_profile.plain_words(OTHER) == "rare events"
    assert (
        kmeans_profile.plain_words("The status::of_the submission has been viewed")
        == "…of the submission has been viewed"
    )
    assert (
        kmeans_profile.plain_words("The state of the submission has been viewed")
        == "…of the submission has been viewed"
    )
    assert kmeans_profile.plain_words("x" * 50) == "…" + "x" * 33


def test_pictures_are_small_and_repeatable() -> None:
    behaviour, _ = planted(groups=4)
    _, metrics, tables = kmeans.analysis(behaviour, max_segments=5)
    first, second = (kmeans_figures.figures(metrics, tables) for _ in range(2))
    assert sorted(first) == ["choice.png", "profile.png", "projection.png"]
    assert first == second
    for content in first.values():
        assert content.startswith(b"\x89PNG") and len(content) < 60_000
    moved = {**metrics, "names": metrics["names"][::-1]}
    other = kmeans_figures.projection(tables["assignments"], moved)
    assert hashlib.sha256(other).digest() != hashlib.sha256(first["projection.png"]).digest()
