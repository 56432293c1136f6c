"""Segments recover planted groups, find none in noise, assign new people, and have a defined result on tiny data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.core.features.engine import open_engine
from analytics_assets.core.files import write_table
from analytics_assets.core.models import kmeans, kmeans_choice, kmeans_figures, kmeans_profile
from analytics_assets.core.models.cards import kmeans_card
from analytics_assets.core.models.kmeans_features import MEASURES, Behaviour, expected_types, natural_hour
from analytics_assets.core.models.sequences import OTHER
from analytics_assets.core.models.truth import persona_agreement
from analytics_assets.schemas import CLEAN_EVENTS, KMEANS_ASSIGNMENTS
from analytics_assets.schemas.segments import KMEANS_CHOICES, KMEANS_MOVES, KMEANS_PROFILES, KMEANS_REPRESENTATIVES

EVENTS = [f"page {letter}::view" for letter in "abcdef"]
TABLES = {
    "assignments": KMEANS_ASSIGNMENTS,
    "profiles": KMEANS_PROFILES,
    "choices": KMEANS_CHOICES,
    "representatives": KMEANS_REPRESENTATIVES,
}


def planted(
    groups: int = 3, per_group: int = 40, seed: int = 0, events: int = 100, favour: float = 0.6
) -> tuple[Behaviour, np.ndarray]:
    """Actors of several kinds: each kind has its favourite event, `favour` of all; measures are the same for all."""
    rng = np.random.default_rng(seed)
    kinds = np.repeat(np.arange(groups), per_group)
    chances = np.full((groups, len(EVENTS)), (1 - favour) / len(EVENTS))
    chances[np.arange(groups), np.arange(groups)] += favour
    counts = np.array([rng.multinomial(events, chances[kind]) for kind in kinds]).reshape(-1, len(EVENTS))
    return behaviour_of(counts, rng), kinds


def behaviour_of(counts: np.ndarray, rng: np.random.Generator) -> Behaviour:
    rows = len(counts)
    return Behaviour(
        actors=[f"user:{number:04d}" for number in range(rows)],
        classes=["user"] * rows,
        measures=np.exp(rng.normal(0, 0.3, (rows, len(MEASURES)))),
        counts=np.column_stack([counts, np.zeros(rows, dtype=np.int64)]).astype(np.int64),
        event_names=[*EVENTS, OTHER],
        active_days=np.full(rows, 9, dtype=np.int64),
        countries=[str(value) for value in rng.choice(["Norway", "Poland"], rows)],
        devices=[None if value < 0.2 else "Windows" for value in rng.random(rows)],
    )


def truth_file(labels: np.ndarray) -> dict[str, Any]:
    return {
        "users": {
            str(number): {"user_id": f"{number:04d}", "persona": f"p{label}", "device_ids": []}
            for number, label in enumerate(labels)
        }
    }


# The model


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


# The number of segments


def blobs(sizes: list[int], seed: int = 0, spread: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Round clusters of given sizes, far from each other in four columns."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    centres = rng.normal(size=(len(sizes), 4)) * 3
    return centres[labels] + rng.normal(scale=spread, size=(len(labels), 4)), labels


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


# Features


def event(uuid: int, actor: str, day: int, name: str, *, noise: bool = False, **changes: Any) -> dict[str, Any]:
    plain = {"string": "", "int64": 0, "float64": 0.0, "bool": False}
    values = {c.name: None if c.nullable else plain.get(c.type) for c in CLEAN_EVENTS.columns}
    time = datetime(2024, 5, 1 + day, 6) + timedelta(minutes=uuid)
    return values | {
        "uuid": f"{uuid:05d}",
        "time": time,
        "hour": 6,
        "weekday": time.isoweekday(),
        "event_type": name,
        "actor": actor,
        "actor_class": "user",
        "session_key": f"{actor}|{day}",
        "is_noise": noise,
        "country": "Norway",
        **changes,
    }


@contextmanager
def engine_of(folder: Path, rows: list[dict[str, Any]]) -> Iterator[tuple[Any, Path, Path]]:
    """An engine with the files of events and of their sessions."""
    events, visits = folder / "events.parquet", folder / "sessions.parquet"
    pq.write_table(pa.Table.from_pylist(rows, CLEAN_EVENTS.arrow_schema()), events)
    sessions: dict[str, list[datetime]] = {}
    for row in rows:
        sessions.setdefault(row["session_key"], []).append(row["time"])
    pq.write_table(
        pa.Table.from_pylist(
            [
                {
                    "session_key": key,
                    "actor": key.split("|")[0],
                    "session_id": 1,
                    "start_time": min(times),
                    "end_time": max(times),
                    "events": len(times),
                    "entry_event": "",
                    "exit_event": "",
                }
                for key, times in sessions.items()
            ]
        ),
        visits,
    )
    with open_engine(folder / "spill") as engine:
        yield engine, events, visits


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
    from analytics_assets.core.models import kmeans_features

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


# Description


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
