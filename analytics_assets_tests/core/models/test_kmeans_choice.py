"""The number of segments is that of planted groups, and noise has none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analytics_assets.core.models import kmeans, kmeans_choice
from analytics_assets.core.models.cards import kmeans_card
from analytics_assets.core.models.kmeans_features import MEASURES, Behaviour
from analytics_assets.core.models.truth import persona_agreement
from analytics_assets_tests.core.models.behaviours import (
    EVENTS,
    behaviour_of,
    planted,
    truth_file,
)


def blobs(sizes: list[int], seed: int = 0, spread: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Round clusters of given sizes, far from each other in four columns."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    centres = rng.normal(size=(len(sizes), 4)) * 3
    return centres[labels] + rng.normal(scale=spread, size=(len(labels), 4)), labels


@pytest.mark.parametrize("stretch", [1.0, 8.0])
def test_one_cloud_has_no_segments(stretch: float) -> None:
    """Also an elongated one, which shuffled columns alone would take for two segments."""
    rng = np.random.default_rng(3)
    points = rng.normal(size=(150, 6))
    points[:, :3] += stretch * rng.normal(size=(150, 1))
    choice = kmeans_choice.choose(points, 4, 7)
    assert choice.chosen is None
    assert choice.reason.startswith("no structure")
    assert choice.p_value is not None and choice.p_value > 0.05
    assert choice.candidate is not None
    if stretch > 1:
        assert choice.candidate.silhouette > max(choice.shuffled)


def test_actors_without_structure_are_one_segment() -> None:
    rng = np.random.default_rng(4)
    behaviour = behaviour_of(rng.multinomial(60, np.full(len(EVENTS), 1 / len(EVENTS)), size=120), rng)
    segments, metrics = kmeans.fit(behaviour, seed=7, max_segments=4)
    assert (metrics["segments"], segments.names, metrics["sizes"]) == (1, ["everybody"], [120])
    assert metrics["silhouette"] is None
    assert metrics["choice"]["reason"].startswith("no structure")
    assert "no structure" in kmeans_card(metrics, ["2024"])


def test_groups_vanish_when_events_are_dealt_out_anew() -> None:
    """Events shuffled between actors: everyone keeps his number of events and loses his habit."""
    behaviour, kinds = planted()
    rng = np.random.default_rng(5)
    flat = rng.permutation(np.repeat(np.tile(np.arange(7), len(kinds)), behaviour.counts.ravel()))
    dealt = flat.reshape(len(kinds), 100)
    counts = np.array([np.bincount(row, minlength=7) for row in dealt])
    _, metrics = kmeans.fit(replace(behaviour, counts=counts), seed=7, max_segments=4)
    assert metrics["segments"] == 1


def test_criteria_equal_written_out_ones() -> None:
    points, _ = blobs([30, 25, 20])
    choice = kmeans_choice.choose(points, 4, 7)
    for found in choice.tried:
        centre = points.mean(axis=0)
        between = within = 0.0
        values = []
        for number in range(found.k):
            inside = points[found.labels == number]
            between += len(inside) * ((inside.mean(axis=0) - centre) ** 2).sum()
            within += ((inside - inside.mean(axis=0)) ** 2).sum()
        for row, label in zip(points, found.labels, strict=True):
            away = np.sqrt(((points - row) ** 2).sum(axis=1))
            own = away[found.labels == label].sum() / ((found.labels == label).sum() - 1)
            other = min(away[found.labels == number].mean() for number in range(found.k) if number != label)
            values.append((other - own) / max(own, other))
        assert found.silhouette == pytest.approx(np.mean(values))
        by_cluster = [np.mean([v for v, x in zip(values, found.labels, strict=True) if x == c]) for c in range(found.k)]
        assert found.macro_silhouette == pytest.approx(np.mean(by_cluster))
        ratio = (between / (found.k - 1)) / (within / (len(points) - found.k))
        assert found.calinski_harabasz == pytest.approx(ratio)
    assert choice.chosen is not None and choice.chosen.k == 3
    assert choice.chosen.stable


def test_a_cluster_too_small_to_be_a_kind_is_not_chosen() -> None:
    points, _ = blobs([40, 40, 4], seed=1)
    choice = kmeans_choice.choose(points, 3, 7)
    assert [found.large_enough for found in choice.tried] == [True, False]
    assert choice.chosen is not None and choice.chosen.k == 2


def test_stability_tells_real_clusters_from_cut_ones() -> None:
    points, labels = blobs([40, 40])
    assert kmeans_choice.stability(points, labels, 2, 7).min() > 0.99
    cut = kmeans_choice.cluster(points, 4, 7)[1]
    assert kmeans_choice.stability(points, cut, 4, 7).min() < kmeans_choice.STABLE


def on_a_ring(actors: int, seed: int) -> Behaviour:
    """Actors who differ in nothing but their hour, which is any."""
    rng = np.random.default_rng(seed)
    behaviour = behaviour_of(np.full((actors, len(EVENTS)), 10), rng)
    behaviour.measures[:] = 0.5
    angles = rng.uniform(0, 2 * np.pi, actors)
    behaviour.measures[:, MEASURES.index("hour_sin")] = np.sin(angles)
    behaviour.measures[:, MEASURES.index("hour_cos")] = np.cos(angles)
    return behaviour


def test_unstable_segments_say_so() -> None:
    """A ring separates better than random data, but it can be cut anywhere."""
    # Of eight seeds, two make rings without a stable number; this is one of them.
    segments, metrics = kmeans.fit(on_a_ring(200, seed=3), seed=7, max_segments=3)
    assert metrics["choice"]["reason"] == "best silhouette and Calinski-Harabasz index; no number is stable"
    assert metrics["segments"] > 1
    for name, value, stable in zip(segments.names, metrics["stability"], metrics["stable"], strict=True):
        assert name.endswith("(unstable)") == (value < 0.75) == (not stable)
        assert name.startswith("around ")
    assert not all(metrics["stable"])


def test_only_large_and_stable_numbers_are_eligible() -> None:
    tried = kmeans_choice.choose(blobs([40, 40, 40])[0], 4, 7).tried
    two, three, four = (replace(each, stability=np.ones(each.k), large_enough=True) for each in tried)
    shaky = replace(three, stability=np.array([1, 1, kmeans_choice.STABLE - 0.01]))
    small = replace(three, large_enough=False)
    assert kmeans_choice.eligible([two, three, four]) == [two, three, four]
    assert kmeans_choice.eligible([two, shaky, four]) == [two, four]
    assert kmeans_choice.eligible([two, small, four]) == [two, four]
    assert kmeans_choice.eligible([shaky, small]) == [shaky]
    assert kmeans_choice.eligible([small]) == []


def test_a_few_outliers_do_not_win_by_their_silhouette() -> None:
    points, _ = blobs([80])
    points = np.concatenate([points, np.full((4, 4), 40.0) + np.arange(4)[:, None] / 100])
    choice = kmeans_choice.choose(points, 2, 7)
    assert choice.tried[0].silhouette > 0.9
    assert choice.tried[0].stable
    assert choice.chosen is None
    assert choice.reason == "every number of segments tried has one that is too small"


def test_largest_segment_comes_first_with_its_own_stability() -> None:
    behaviour, kinds = planted(per_group=40)
    behaviour = behaviour.take(np.flatnonzero((kinds > 0) | (np.arange(120) < 15)))
    kinds = kinds[(kinds > 0) | (np.arange(120) < 15)]
    behaviour = behaviour.take(np.flatnonzero((kinds != 1) | (np.arange(len(kinds)) < 40)))
    segments, metrics = kmeans.fit(behaviour, seed=7, max_segments=3)
    assert metrics["sizes"] == [40, 25, 15]
    assert [name.split(",")[0] for name in segments.names] == ["page c view", "page b view", "page a view"]
    choice = kmeans_choice.choose(segments.scaled(behaviour), 3, 7)
    assert choice.chosen is not None
    marked = replace(choice, chosen=replace(choice.chosen, stability=np.array([0.1, 0.2, 0.3])))
    centroids, steady = kmeans._final(segments.scaled(behaviour), marked, 7)
    order = np.argsort(-np.bincount(choice.chosen.labels))
    assert order.tolist() != [0, 1, 2]
    assert steady == marked.chosen.stability[order].tolist()
    assert np.array_equal(centroids, segments.centroids)


def test_near_ties_go_to_calinski_harabasz() -> None:
    two, three = kmeans_choice.choose(blobs([40, 40, 40])[0], 3, 7).tried
    near = replace(two, macro_silhouette=three.macro_silhouette - kmeans_choice.TOLERANCE / 2, calinski_harabasz=1e9)
    far = replace(near, macro_silhouette=three.macro_silhouette - 2 * kmeans_choice.TOLERANCE)
    assert kmeans_choice.best([near, three]) is near
    assert kmeans_choice.best([far, three]) is three


def test_choices_rest_on_a_sample_and_centres_on_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    behaviour, kinds = planted(per_group=60)
    monkeypatch.setattr(kmeans_choice, "SAMPLE", 90)
    segments, metrics = kmeans.fit(behaviour, seed=7, max_segments=4)
    assert metrics["choice"]["sampled_actors"] == 90
    assert metrics["sizes"] == [60, 60, 60]
    assert persona_agreement(truth_file(kinds), kmeans.assignments(segments, behaviour)) == 1
    points, labels = segments.scaled(behaviour), segments.assign(behaviour)
    for number, centre in enumerate(segments.centroids):
        assert np.allclose(points[labels == number].mean(axis=0), centre)
