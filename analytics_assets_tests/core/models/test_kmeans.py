"""Segments recover planted groups, survive a round trip, and have a defined result on tiny data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from analytics_assets.core.files import write_table
from analytics_assets.core.models import kmeans
from analytics_assets.core.models.evaluation import persona_agreement
from analytics_assets.schemas import KMEANS_ASSIGNMENTS

MEASURES = len(kmeans.LOG_FEATURES) + len(kmeans.PLAIN_FEATURES)


def planted(
    groups: int = 3, per_group: int = 40, seed: int = 0, events: int = 100
) -> tuple[kmeans.Behaviour, np.ndarray]:
    """Actors of several kinds: each kind has its own rates and its own favourite events."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(groups), per_group)
    measures = np.exp(rng.normal(truth[:, None] * 1.5, 0.2, (len(truth), MEASURES)))
    mix = rng.dirichlet(np.ones(groups), len(truth)) * 0.2
    mix[np.arange(len(truth)), truth] += 0.8
    actors = [f"user:{number}" for number in range(len(truth))]
    counts = np.full(len(truth), events, dtype=np.int64)
    return kmeans.Behaviour(actors, measures, mix, counts, [f"event {g}" for g in range(groups)]), truth


def truth_file(labels: np.ndarray) -> dict[str, object]:
    return {
        "users": {
            str(number): {"user_id": str(number), "persona": f"p{label}", "device_ids": [], "amplitude_id": number}
            for number, label in enumerate(labels)
        }
    }


def test_planted_groups_are_found() -> None:
    behaviour, truth = planted()
    segments, metrics = kmeans.fit(behaviour, seed=7)
    assert metrics["segments"] == 3
    assert persona_agreement(truth_file(truth), kmeans.assignments(segments, behaviour)) == pytest.approx(1.0)
    assert metrics["silhouette"] > metrics["shuffled_silhouette"] + 0.2


def test_no_structure_shows_against_shuffled_data() -> None:
    rng = np.random.default_rng(3)
    noise = kmeans.Behaviour(
        [f"user:{n}" for n in range(120)],
        np.exp(rng.normal(0, 0.3, (120, MEASURES))),
        rng.dirichlet(np.ones(4), 120),
        np.full(120, 50, dtype=np.int64),
        list("abcd"),
    )
    _, metrics = kmeans.fit(noise, seed=7)
    assert metrics["silhouette"] < metrics["shuffled_silhouette"] + 0.1


def test_random_labels_do_not_agree_with_the_truth() -> None:
    _, truth = planted()
    rng = np.random.default_rng(4)
    table = pa.table(
        {"actor": [f"user:{n}" for n in range(len(truth))], "segment": rng.permutation(truth).astype(np.int64)}
    )
    agreement = persona_agreement(truth_file(truth), table)
    assert agreement is not None and abs(agreement) < 0.1


def test_a_saved_model_assigns_the_same(tmp_path: Path) -> None:
    behaviour, _ = planted()
    segments, _ = kmeans.fit(behaviour, seed=7)
    segments.save(tmp_path)
    again = kmeans.Segments.load(tmp_path)
    assert kmeans.assignments(again, behaviour).equals(kmeans.assignments(segments, behaviour))
    newcomer, _ = planted(per_group=1, seed=9)
    assert again.predict(newcomer)[0].tolist() == segments.predict(newcomer)[0].tolist()


def test_largest_segment_comes_first_and_every_actor_has_a_row(tmp_path: Path) -> None:
    behaviour, _ = planted()
    segments, metrics = kmeans.fit(behaviour, seed=7)
    assert metrics["sizes"] == sorted(metrics["sizes"], reverse=True)
    assert sum(metrics["sizes"]) == metrics["clustered_actors"]
    assert write_table(tmp_path / "a.parquet", kmeans.assignments(segments, behaviour), KMEANS_ASSIGNMENTS) == len(
        behaviour.actors
    )


def test_same_seed_same_segments() -> None:
    behaviour, _ = planted()
    first, second = kmeans.fit(behaviour, seed=5), kmeans.fit(behaviour, seed=5)
    assert first[1] == second[1]
    assert np.array_equal(first[0].centroids, second[0].centroids)


def test_actors_with_too_few_events_are_labelled_not_clustered() -> None:
    behaviour, _ = planted()
    behaviour.events[:5] = kmeans.MIN_EVENTS - 1
    segments, metrics = kmeans.fit(behaviour, seed=7)
    rows = kmeans.assignments(segments, behaviour).to_pylist()
    assert [row["segment"] for row in rows[:5]] == [kmeans.UNASSIGNED] * 5
    assert all(row["segment"] >= 0 for row in rows[5:])
    assert metrics["clustered_actors"] == len(rows) - 5


@pytest.mark.parametrize("actors", [1, 2, 3])
@pytest.mark.parametrize("events", [1, 100])
def test_tiny_data_has_a_defined_result(actors: int, events: int, tmp_path: Path) -> None:
    behaviour, _ = planted(groups=1, per_group=actors, events=events)
    segments, metrics = kmeans.fit(behaviour, seed=7)
    assert metrics["segments"] >= 1
    table = kmeans.assignments(segments, behaviour)
    assert write_table(tmp_path / "a.parquet", table, KMEANS_ASSIGNMENTS) == actors


def test_constant_features_do_not_break_scaling() -> None:
    behaviour, _ = planted()
    behaviour.measures[:, 2] = 5.0
    segments, _ = kmeans.fit(behaviour, seed=7)
    assert np.isfinite(segments.centroids).all()
