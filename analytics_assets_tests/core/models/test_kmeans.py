"""Segments recover planted groups, assign new people, and have a defined result on tiny data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from analytics_assets.core.files import write_table
from analytics_assets.core.models import kmeans, kmeans_figures
from analytics_assets.core.models.cards import kmeans_card
from analytics_assets.core.models.kmeans_features import MEASURES, Behaviour
from analytics_assets.core.models.sequences import OTHER
from analytics_assets.core.models.truth import persona_agreement
from analytics_assets.schemas import KMEANS_ASSIGNMENTS
from analytics_assets.schemas.segments import KMEANS_CHOICES, KMEANS_MOVES, KMEANS_PROFILES, KMEANS_REPRESENTATIVES
from analytics_assets_tests.core.models.behaviours import (
    EVENTS,
    behaviour_of,
    engine_of,
    event,
    planted,
    truth_file,
)

TABLES = {
    "assignments": KMEANS_ASSIGNMENTS,
    "profiles": KMEANS_PROFILES,
    "choices": KMEANS_CHOICES,
    "representatives": KMEANS_REPRESENTATIVES,
}


def test_planted_groups_are_found_and_described(tmp_path: Path) -> None:
    behaviour, kinds = planted()
    segments, metrics, tables = kmeans.analysis(behaviour, seed=7, max_segments=5)
    assert metrics["segments"] == 3
    assert metrics["sizes"] == [40, 40, 40]
    assert persona_agreement(truth_file(kinds), tables["assignments"]) == pytest.approx(1.0)
    assert all(metrics["stable"])
    assert metrics["silhouette"] > metrics["shuffled_silhouette"] + 0.1
    assert metrics["silhouette"] > metrics["cloud_silhouette"] + 0.1
    assert metrics["choice"]["p_value"] == pytest.approx(1 / 20)
    favourites = {plain for name in segments.names for plain in [name.split(",")[0]]}
    assert favourites == {"page a view", "page b view", "page c view"}
    for name, table in TABLES.items():
        write_table(tmp_path / f"{name}.parquet", tables[name], table)
        keys = tables[name].select(list(table.key)).to_pylist()
        assert len({tuple(key.values()) for key in keys}) == len(keys), f"{name} has a key twice"
    card = kmeans_card(metrics, ["2024"])
    assert "3 segments" in card and "Clustered 120 of 120" in card


def test_random_labels_do_not_agree_with_the_truth() -> None:
    _, kinds = planted()
    shuffled = np.random.default_rng(4).permutation(kinds).astype(np.int64)
    table = pa.table({"actor": [f"user:{number:04d}" for number in range(len(kinds))], "segment": shuffled})
    agreement = persona_agreement(truth_file(kinds), table)
    assert agreement is not None and abs(agreement) < 0.1


def test_agreement_equals_pair_counting() -> None:
    """Adjusted Rand index from the pairs of actors; those outside the segments do not count."""
    rng = np.random.default_rng(8)
    kinds, found = rng.integers(3, size=40), rng.integers(-1, 3, size=40)
    table = pa.table({"actor": [f"user:{number:04d}" for number in range(40)], "segment": found})
    inside = [number for number in range(40) if found[number] >= 0]
    pairs = list(combinations(inside, 2))
    both = sum(kinds[a] == kinds[b] and found[a] == found[b] for a, b in pairs)
    same_kind = sum(kinds[a] == kinds[b] for a, b in pairs)
    same_segment = sum(found[a] == found[b] for a, b in pairs)
    expected = same_kind * same_segment / len(pairs)
    index = (both - expected) / ((same_kind + same_segment) / 2 - expected)
    assert persona_agreement(truth_file(kinds), table) == pytest.approx(index)


def test_a_saved_model_assigns_the_same(tmp_path: Path) -> None:
    behaviour, _ = planted()
    segments, _ = kmeans.fit(behaviour, seed=7, max_segments=4)
    segments.save(tmp_path)
    again = kmeans.Segments.load(tmp_path)
    assert kmeans.assignments(again, behaviour).equals(kmeans.assignments(segments, behaviour))
    newcomers, _ = planted(per_group=5, seed=9)
    assert np.array_equal(again.scaled(newcomers), segments.scaled(newcomers))
    assert again.assign(newcomers).tolist() == segments.assign(newcomers).tolist()
    fields = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**fields, "measures": ["other"]}))
    with pytest.raises(ValueError, match="other measures"):
        kmeans.Segments.load(tmp_path)


def test_new_people_come_to_the_segment_of_their_kind() -> None:
    behaviour, kinds = planted()
    segments, _ = kmeans.fit(behaviour, seed=7, max_segments=4)
    labels = segments.assign(behaviour)
    newcomers, new_kinds = planted(per_group=6, seed=9)
    of_kind = {kind: labels[kinds == kind][0] for kind in range(3)}
    assert segments.assign(newcomers).tolist() == [of_kind[kind] for kind in new_kinds]
    for row in (0, 50, 119):
        assert segments.assign(behaviour.take(np.array([row]))).tolist() == [labels[row]]


def test_events_that_the_model_never_saw_are_other() -> None:
    behaviour, _ = planted()
    segments, _ = kmeans.fit(behaviour, seed=7, max_segments=4)
    renamed = replace(behaviour, event_names=["unheard of", *EVENTS[1:], OTHER])
    shares = renamed.shares(segments.event_names)
    assert shares[:, 0].tolist() == [0] * 120
    assert np.allclose(shares[:, -1], behaviour.counts[:, 0] / 100)
    assert np.allclose(shares.sum(axis=1), 1)
    reordered = replace(behaviour, counts=behaviour.counts[:, ::-1].copy(), event_names=behaviour.event_names[::-1])
    assert np.array_equal(segments.scaled(reordered), segments.scaled(behaviour))


def test_scaled_columns_equal_their_formula() -> None:
    behaviour, _ = planted()
    behaviour.measures[0, 0] = 1e6
    segments, _ = kmeans.fit(behaviour, seed=7, max_segments=2)
    logs = np.log(1 + behaviour.measures[:, 0])
    z = np.clip((logs - np.median(logs)) / (np.subtract(*np.percentile(logs, [75, 25])) / 1.349), -3, 3)
    scaled = segments.scaled(behaviour)
    assert np.allclose(scaled[:, 0] / segments.measure_weight, z)
    assert z[0] == 3
    hellinger = np.sqrt(behaviour.counts / 100)
    assert np.allclose(scaled[:, len(MEASURES) :] / segments.mix_weight, hellinger)
    spread = [part.var(axis=0).sum() for part in (scaled[:, : len(MEASURES)], scaled[:, len(MEASURES) :])]
    assert np.allclose(spread, [1, kmeans.MIX_WEIGHT**2])


def test_assignments_are_nearest_centres() -> None:
    behaviour, _ = planted()
    segments, metrics = kmeans.fit(behaviour, seed=7, max_segments=4)
    rows = kmeans.assignments(segments, behaviour).to_pylist()
    points = segments.scaled(behaviour)
    for number in (0, 41, 100):
        distances = [float(np.sqrt(((points[number] - centre) ** 2).sum())) for centre in segments.centroids]
        near = sorted(range(3), key=distances.__getitem__)
        row = rows[number]
        assert [row["segment"], row["nearest_other"]] == near[:2]
        assert row["distance"] == pytest.approx(distances[near[0]])
        assert row["separation"] == pytest.approx(1 - distances[near[0]] / distances[near[1]])
    assert all(0 <= row["separation"] <= 1 for row in rows)
    labels = np.array([row["segment"] for row in rows])
    for number, centre in enumerate(segments.centroids):
        assert np.allclose(points[labels == number].mean(axis=0), centre), "a centre is its segment's mean"
    flat = points - points.mean(axis=0)
    variance = np.sort(np.linalg.eigvalsh(flat.T @ flat))[::-1]
    assert metrics["component_shares"] == pytest.approx(variance[:2] / variance.sum())
    assert np.array([row["component_1"] for row in rows]).var() * 120 == pytest.approx(variance[0])


def test_machines_nobody_and_the_inactive_have_labels_of_their_own() -> None:
    behaviour, _ = planted()
    behaviour.counts[0] = [kmeans.MIN_EVENTS - 1, 0, 0, 0, 0, 0, 0]
    behaviour.active_days[1] = kmeans.MIN_ACTIVE_DAYS - 1
    behaviour.classes[2:5] = ["scripted", "sentinel", "device"]
    behaviour.counts[2] *= 1000
    segments, metrics = kmeans.fit(behaviour, seed=7, max_segments=4)
    table = kmeans.assignments(segments, behaviour)
    assert table["segment"].to_pylist()[:4] == [kmeans.TOO_LITTLE, kmeans.TOO_LITTLE, kmeans.SCRIPTED, kmeans.SENTINEL]
    assert table["segment_name"].to_pylist()[:4] == [
        "too little activity",
        "too little activity",
        "machine",
        "nobody in particular",
    ]
    assert all(segment >= 0 for segment in table["segment"].to_pylist()[4:])
    assert table["distance"].null_count == table["separation"].null_count == table["component_1"].null_count == 4
    assert metrics["outside"] == {"too little activity": 2, "machine": 1, "nobody in particular": 1}
    assert metrics["clustered_actors"] == sum(metrics["sizes"]) == 116
    # Who is outside has no influence on the segments.
    without, _ = kmeans.fit(behaviour.take(np.arange(4, 120)), seed=7, max_segments=4)
    assert np.array_equal(without.centroids, segments.centroids)


def test_same_seed_same_segments() -> None:
    behaviour, _ = planted()
    first, second = (kmeans.analysis(behaviour, seed=5, max_segments=4) for _ in range(2))
    assert first[1] == second[1]
    assert np.array_equal(first[0].centroids, second[0].centroids)
    assert all(first[2][name].equals(second[2][name]) for name in TABLES)


@pytest.mark.parametrize("actors", [1, 2, 3])
@pytest.mark.parametrize("events", [0, 1, 100])
def test_tiny_data_has_a_defined_result(actors: int, events: int, tmp_path: Path) -> None:
    behaviour, _ = planted(groups=1, per_group=actors, events=events)
    segments, metrics, tables = kmeans.analysis(behaviour)
    assert (metrics["segments"], metrics["sizes"], segments.names) == (1, [actors], ["everybody"])
    for name, table in TABLES.items():
        write_table(tmp_path / f"{name}.parquet", tables[name], table)
    assert tables["assignments"]["nearest_other"].null_count == actors
    assert kmeans_card(metrics, ["2024"])
    assert set(kmeans_figures.figures(metrics, tables)) >= {"projection.png", "profile.png"}


@pytest.mark.parametrize("actors", [0, 4])
def test_without_people_there_are_no_segments(actors: int, tmp_path: Path) -> None:
    behaviour, _ = planted(groups=1, per_group=actors)
    behaviour = replace(behaviour, classes=["scripted"] * actors)
    segments, metrics, tables = kmeans.analysis(behaviour)
    assert (metrics["segments"], metrics["sizes"], segments.names) == (0, [], [])
    assert tables["assignments"]["segment"].to_pylist() == [kmeans.SCRIPTED] * actors
    segments.save(tmp_path)
    again = kmeans.Segments.load(tmp_path)
    assert again.assign(behaviour).tolist() == [kmeans.SCRIPTED] * actors
    somebody, _ = planted(groups=1, per_group=1)
    assert again.assign(somebody).tolist() == [kmeans.TOO_LITTLE]
    with pytest.raises(ValueError, match="no segments"):
        again.predict(somebody)
    assert kmeans_figures.figures(metrics, tables) == {}
    assert kmeans_card(metrics, ["2024"])


def test_one_event_type_only() -> None:
    rng = np.random.default_rng(0)
    counts = np.zeros((60, len(EVENTS)), dtype=np.int64)
    counts[:, 0] = 50
    segments, metrics = kmeans.fit(behaviour_of(counts, rng), max_segments=3)
    assert np.isfinite(segments.centroids).all()
    assert metrics["segments"] == 1


def test_constant_and_equal_data() -> None:
    behaviour, _ = planted()
    behaviour.measures[:, 2] = 0.1
    segments, metrics = kmeans.fit(behaviour, seed=7, max_segments=4)
    assert segments.scale[2] == 1
    assert metrics["segments"] == 3
    behaviour.measures[:] = 0.1
    behaviour.counts[:] = behaviour.counts[0]
    segments, metrics = kmeans.fit(behaviour, seed=7, max_segments=4)
    assert metrics["segments"] == 1
    assert metrics["choices"] == []


def test_settings_that_make_no_sense_are_refused() -> None:
    behaviour, _ = planted(per_group=5)
    with pytest.raises(ValueError, match="at least one segment"):
        kmeans.fit(behaviour, max_segments=0)
    with pytest.raises(ValueError, match="negative"):
        kmeans.fit(behaviour, mix_weight=-1.0)
    assert kmeans.fit(behaviour, max_segments=1)[1]["segments"] == 1


def rows_of(behaviour: Behaviour, days: Sequence[int]) -> list[dict[str, Any]]:
    """Events with the counts of `behaviour` on each of the days."""
    rows: list[dict[str, Any]] = []
    for actor, counts in zip(behaviour.actors, behaviour.counts, strict=True):
        names = np.repeat(behaviour.event_names, counts)
        rows.extend(event(0, actor, day, str(name)) for day in days for name in names)
    return rows


def test_files_to_segments_and_their_drift(tmp_path: Path) -> None:
    """Three kinds of people; in the second half five of the first kind act like the second."""
    kept, _ = planted(per_group=15, events=25, favour=0.8)
    changed = replace(kept, counts=kept.counts.copy())
    changed.counts[:5] = kept.counts[15:20]
    rows = [*rows_of(kept, [0, 1]), *rows_of(changed, [5, 6, 7])]
    rows = [{**row, "uuid": f"{number:07d}"} for number, row in enumerate(rows)]
    with engine_of(tmp_path, rows) as (engine, events, visits):
        _, metrics, tables = kmeans.segment_actors(engine, [events], [visits], max_segments=4)
    assert metrics["segments"] == 3
    assert metrics["drift"]["cut"].startswith("2024-05-06")
    assert metrics["drift"]["actors"] == 45
    assert metrics["drift"]["same"] == pytest.approx(40 / 45)
    assert metrics["drift"]["same_by_chance"] == pytest.approx((15 * 10 + 15 * 20 + 15 * 15) / 45**2)
    assert sorted(tables["moves"]["actors"].to_pylist()) == [5, 10, 15, 15]
    assert sorted(tables["moves"]["share"].to_pylist()) == pytest.approx([1 / 3, 2 / 3, 1, 1])
    write_table(tmp_path / "moves.parquet", tables["moves"], KMEANS_MOVES)


def test_drift_without_common_actors() -> None:
    behaviour, _ = planted(per_group=12)
    segments, _ = kmeans.fit(behaviour, max_segments=3)
    stays, _ = kmeans.drift(segments, behaviour, behaviour)
    assert (stays["actors"], stays["same"], stays["adjusted_rand_index"]) == (36, 1, 1)
    figures, moves = kmeans.drift(segments, behaviour.take(np.arange(5)), behaviour.take(np.arange(5, 12)))
    assert figures == {"actors": 0, "same": None, "same_by_chance": None, "adjusted_rand_index": None}
    assert moves.num_rows == 0
