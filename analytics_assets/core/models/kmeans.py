"""Segments of actors by behaviour: features, choice of k, naming, artefact.

Put here: the model itself. Keep out: what an actor's features mean (``schemas``).

Behaviour is described by rates and shares, never by ids, places or devices. Heavy tails are taken by a logarithm,
scales by the interquartile range; the event mix enters as square roots of shares, whose Euclidean distance is the
Hellinger distance up to a constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.features.engine import parquet
from analytics_assets.core.features.tables import user_features
from analytics_assets.core.files import read_json, write_json

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

Floats = NDArray[np.float64]

LOG_FEATURES = ("events_per_active_day", "events_per_session", "mean_session_seconds", "median_session_seconds")
"""Heavy-tailed, non-negative measures, taken as log(1 + x)."""

PLAIN_FEATURES = ("action_session_share", "weekend_share", "hour_sin", "hour_cos", "event_entropy")

MIX_EVENTS = 40
"""Event types whose shares describe an actor: the most frequent ones cover nearly all events of real logs."""

MIX_WEIGHT = 4.0
"""Weight of the event mix: its square roots lie in [0, 1], the scaled measures in about [-2, 2]."""

CLIP = 3.0
"""Scaled measures are cut here, so that one extreme actor cannot be a segment of its own."""

MIN_EVENTS = 20
"""Actors with fewer events have no stable mix; they are labelled, not clustered."""

MAX_SEGMENTS = 8
RESTARTS = 20
UNASSIGNED = -1


@dataclass(frozen=True)
class Behaviour:
    """Actors as numbers.

    Parameters
    ----------
    actors : list of str
        Row names.
    measures : float64 array, shape (actors, len(LOG_FEATURES) + len(PLAIN_FEATURES))
        In published units.
    mix : float64 array, shape (actors, len(mix_events))
        Shares of the actor's events.
    events : int64 array, shape (actors,)
        Events of the actor.
    mix_events : list of str
        Event types of `mix`.
    """

    actors: list[str]
    measures: Floats
    mix: Floats
    events: NDArray[np.int64]
    mix_events: list[str]


def load_behaviour(
    engine: duckdb.DuckDBPyConnection, clean: Sequence[Path], session_files: Sequence[Path]
) -> Behaviour:
    """Describe every actor over all given years."""
    names = LOG_FEATURES + PLAIN_FEATURES
    rows = engine.sql(
        f"SELECT actor, events, {', '.join(f'coalesce({n}, 0)::DOUBLE AS {n}' for n in names)} "
        f"FROM ({user_features(parquet(clean), session_files)}) ORDER BY actor"
    ).to_arrow_table()
    mix_events = [
        name
        for (name,) in engine.execute(
            f"SELECT event_type FROM {parquet(clean)} WHERE actor IS NOT NULL "
            f"GROUP BY event_type ORDER BY count(*) DESC, event_type LIMIT {MIX_EVENTS}"
        ).fetchall()
    ]
    actors = rows["actor"].to_pylist()
    row_of = {actor: row for row, actor in enumerate(actors)}
    column_of = {name: column for column, name in enumerate(mix_events)}
    mix = np.zeros((len(actors), len(mix_events)))
    events = rows["events"].to_numpy()
    for actor, name, count in engine.execute(
        f"SELECT actor, event_type, count(*) FROM {parquet(clean)} WHERE actor IS NOT NULL GROUP BY ALL"
    ).fetchall():
        if name in column_of:
            mix[row_of[actor], column_of[name]] = count / events[row_of[actor]]
    measures = np.column_stack([rows[name].to_numpy() for name in names]) if actors else np.zeros((0, len(names)))
    return Behaviour(actors, measures, mix, events, mix_events)


@dataclass(frozen=True)
class Segments:
    """A fitted segmentation.

    Parameters
    ----------
    centre, scale : float64 array, shape (measures,)
        Median and interquartile range of the transformed measures.
    mix_events : list of str
        Event types of the mix.
    centroids : float64 array, shape (segments, measures + mix_events)
        Largest segment first.
    names : list of str
        One per segment.
    axes, origin : float64 array
        Principal axes, shape (2, columns), and their origin, shape (columns,).
    """

    centre: Floats
    scale: Floats
    mix_events: list[str]
    centroids: Floats
    names: list[str]
    axes: Floats
    origin: Floats

    def scaled(self, behaviour: Behaviour) -> Floats:
        """Columns in which distances are measured, shape (actors, columns)."""
        return _scaled(behaviour, self.centre, self.scale)

    def predict(self, behaviour: Behaviour) -> tuple[NDArray[np.int64], Floats]:
        """Nearest segment and the distance to it; `behaviour` must have the same mix events."""
        points = self.scaled(behaviour)
        distances = np.linalg.norm(points[:, None, :] - self.centroids[None, :, :], axis=2)
        return distances.argmin(axis=1), distances.min(axis=1)

    def save(self, folder: Path) -> None:
        """Write ``model.json`` into `folder`."""
        fields = {
            "kind": "kmeans_segments",
            "log_features": list(LOG_FEATURES),
            "plain_features": list(PLAIN_FEATURES),
            "clip": CLIP,
            "mix_weight": MIX_WEIGHT,
            "centre": self.centre.tolist(),
            "scale": self.scale.tolist(),
            "mix_events": self.mix_events,
            "centroids": self.centroids.tolist(),
            "names": self.names,
            "axes": self.axes.tolist(),
            "origin": self.origin.tolist(),
        }
        write_json(folder / "model.json", fields)

    @classmethod
    def load(cls, folder: Path) -> Segments:
        """Read what `save` wrote."""
        fields = read_json(folder / "model.json")
        arrays = {
            name: np.array(fields[name], dtype=float) for name in ("centre", "scale", "centroids", "axes", "origin")
        }
        return cls(mix_events=fields["mix_events"], names=fields["names"], **arrays)


def _transformed(behaviour: Behaviour) -> Floats:
    logs = len(LOG_FEATURES)
    return np.column_stack([np.log1p(behaviour.measures[:, :logs]), behaviour.measures[:, logs:]])


def _scaled(behaviour: Behaviour, centre: Floats, scale: Floats) -> Floats:
    measures = np.clip((_transformed(behaviour) - centre) / scale, -CLIP, CLIP)
    return np.column_stack([measures, MIX_WEIGHT * np.sqrt(behaviour.mix)])


def fit(behaviour: Behaviour, seed: int, max_segments: int = MAX_SEGMENTS) -> tuple[Segments, dict[str, Any]]:
    """Segment the actors with at least `MIN_EVENTS` events.

    Parameters
    ----------
    behaviour : Behaviour
        All actors.
    seed : int
        Seed of the starts.
    max_segments : int
        Largest k tried.

    Returns
    -------
    segments : Segments
        The model; one segment when fewer than four actors can be clustered.
    metrics : dict
        Silhouette per k, chosen k, silhouette of the same data with each column shuffled (the baseline: structure
        must show against it), sizes.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    chosen = behaviour.events >= MIN_EVENTS
    if not chosen.any():
        chosen = np.ones(len(behaviour.actors), dtype=bool)
    transformed = _transformed(behaviour)[chosen]
    centre = np.median(transformed, axis=0) if len(transformed) else np.zeros(transformed.shape[1])
    quartiles = np.percentile(transformed, [25, 75], axis=0) if len(transformed) else np.zeros((2, len(centre)))
    spread = quartiles[1] - quartiles[0]
    scale = np.where(spread > 0, spread, 1.0)
    points = _scaled(behaviour, centre, scale)[chosen]
    rng = np.random.default_rng(seed)
    shuffled = np.column_stack([rng.permutation(column) for column in points.T]) if len(points) else points

    def clustered(data: Floats, k: int) -> tuple[Any, float]:
        model = KMeans(k, n_init=RESTARTS, random_state=seed).fit(data)
        found = len(set(model.labels_.tolist()))
        return model, float(silhouette_score(data, model.labels_)) if 1 < found < len(data) else -1.0

    tried = {k: clustered(points, k) for k in range(2, min(max_segments, len(points) - 1) + 1)}
    best = max(tried, key=lambda k: (tried[k][1], -k), default=1)
    labels = tried[best][0].labels_ if tried else np.zeros(len(points), dtype=int)
    sizes = np.bincount(labels, minlength=best)
    order = np.argsort(-sizes, kind="stable")
    centroids = np.stack([points[labels == label].mean(axis=0) for label in order if sizes[label]])
    origin = points.mean(axis=0)
    axes = np.linalg.svd(points - origin, full_matrices=False)[2][:2]
    # The sign of an axis is arbitrary: the largest entry is made positive, so that a re-run draws the same picture.
    axes = np.stack([axis * np.sign(axis[np.abs(axis).argmax()] or 1) for axis in axes])
    names = _names(centroids, points, behaviour.mix_events)
    metrics = {
        "actors": len(behaviour.actors),
        "clustered_actors": int(chosen.sum()),
        "segments": len(centroids),
        "sizes": sizes[order][: len(centroids)].tolist(),
        "silhouette": tried[best][1] if tried else None,
        "silhouette_by_k": {str(k): value for k, (_, value) in tried.items()},
        "shuffled_silhouette": clustered(shuffled, best)[1] if tried else None,
        "names": names,
        "seed": seed,
    }
    return Segments(centre, scale, behaviour.mix_events, centroids, names, axes, origin), metrics


def _names(centroids: Floats, points: Floats, mix_events: list[str]) -> list[str]:
    """Name each segment from the two columns in which it differs most from everybody."""
    columns = [name.replace("_", " ") for name in LOG_FEATURES + PLAIN_FEATURES] + list(mix_events)
    spread = points.std(axis=0)
    lift = (centroids - points.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    names: list[str] = []
    for number, row in enumerate(lift):
        strongest = np.argsort(-np.abs(row), kind="stable")[:2]
        parts = [f"{'more' if row[c] > 0 else 'less'} {columns[c]}" for c in strongest if row[c] != 0]
        names.append(f"{number}: {', '.join(parts)}" if parts else f"{number}: everybody")
    return names


def assignments(segments: Segments, behaviour: Behaviour) -> pa.Table:
    """Rows of ``KMEANS_ASSIGNMENTS``; actors with too few events are assigned to -1."""
    import pyarrow as pa

    labels, distances = segments.predict(behaviour)
    known = behaviour.events >= MIN_EVENTS
    if not known.any():
        known = np.ones(len(behaviour.actors), dtype=bool)
    labels = np.where(known, labels, UNASSIGNED)
    place = (segments.scaled(behaviour) - segments.origin) @ segments.axes.T
    second = place[:, 1] if place.shape[1] > 1 else np.zeros(len(place))
    return pa.table(
        {
            "actor": pa.array(behaviour.actors, pa.string()),
            "segment": labels,
            "segment_name": ["too little activity" if label < 0 else segments.names[label] for label in labels],
            "distance": pa.array(distances, mask=~known),
            "component_1": pa.array(place[:, 0], mask=~known),
            "component_2": pa.array(second, mask=~known),
        }
    )
