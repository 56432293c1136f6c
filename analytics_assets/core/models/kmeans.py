"""Segments of actors by behaviour: scaling, clustering, assignment, artefact.

Put here: the model itself. Keep out: what is known of an actor (``kmeans_features.py``), how many segments there are
(``kmeans_choice.py``), what they are like (``kmeans_profile.py``).

Behaviour is described by rates, shares and times, never by ids, places or devices. Heavy tails are taken by a
logarithm, scales by the interquartile range; the event mix enters as square roots of shares, whose Euclidean distance
is the Hellinger distance up to a constant, and whose sampling error is the same for frequent and rare types.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.files import read_json, write_json
from analytics_assets.core.models.kmeans_choice import (
    STABLE,
    Choice,
    choose,
    describe,
    nearest,
)
from analytics_assets.core.models.kmeans_features import (
    LOG_MEASURES,
    MEASURES,
    Behaviour,
    load_behaviour,
    middle_time,
    natural_hour,
)
from analytics_assets.core.models.kmeans_profile import SAME, profiles, representatives, segment_names
from analytics_assets.core.threads import one_thread

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

__all__ = ["Behaviour", "Segments", "analysis", "assignments", "drift", "fit", "load_behaviour", "segment_actors"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

CLIP = 3.0
"""Scaled measures are cut here, in robust standard deviations, so that one extreme actor is no segment of its own."""

IQR_OF_NORMAL = 1.349
"""Interquartile range of a normal distribution in standard deviations."""

MIX_WEIGHT = 2.0
"""Spread of the event mix over that of the measures: what people do counts more than how much of it.

Measures alone show no structure on generated samples of 400 and 800 people: random data separate as well. With equal
spread four segments are found on both, with 1.5 four or five, and from 2 on (2, 3 and 100 were tried) five on both, all
stable (Jaccard similarity with bootstrap samples at least 0.94): from there on the weight no longer matters.
"""

MIN_EVENTS = 20
"""Actors with fewer events of their own making have no stable mix; they are labelled, not clustered."""

MIN_ACTIVE_DAYS = 2
"""One day shows no habit: rates per day, hours and weekend share are accidents. With three days the same segments are
found on generated data and a fifth to a quarter of the people fewer are in them."""

MAX_SEGMENTS = 8
"""More segments than that are not read."""

TOO_LITTLE, SCRIPTED, SENTINEL = -1, -2, -3
LABELS = {TOO_LITTLE: "too little activity", SCRIPTED: "machine", SENTINEL: "nobody in particular"}
"""Labels of actors outside the segments."""

KIND = "kmeans_segments"


@dataclass(frozen=True)
class Segments:
    """A fitted segmentation.

    Parameters
    ----------
    event_names : list of str
        Event types of the mix, ``OTHER`` last.
    centre, scale : float64 array, shape (measures,)
        Median and robust standard deviation of the transformed measures.
    measure_weight, mix_weight : float
        Factors of the two groups of columns.
    centroids : float64 array, shape (segments, measures + event_names)
        Largest segment first.
    names : list of str
        One per segment.
    axes, origin : float64 array
        Principal axes, shape (2, columns), and their origin, shape (columns,).
    min_events, min_active_days : int
        Who has less is not assigned.
    """

    event_names: list[str]
    centre: Floats
    scale: Floats
    measure_weight: float
    mix_weight: float
    centroids: Floats
    names: list[str]
    axes: Floats
    origin: Floats
    min_events: int
    min_active_days: int

    def scaled(self, behaviour: Behaviour) -> Floats:
        """Columns in which distances are measured, shape (actors, columns)."""
        return np.column_stack(
            [
                self.measure_weight * _standardised(behaviour, self.centre, self.scale),
                self.mix_weight * np.sqrt(behaviour.shares(self.event_names)),
            ]
        )

    def known(self, behaviour: Behaviour) -> Mask:
        """Which actors can be assigned: people with enough activity."""
        return _enough(behaviour, self.min_events, self.min_active_days)

    def predict(self, behaviour: Behaviour) -> tuple[Ints, Floats]:
        """Nearest segment of each actor and the distance to it, however active the actor is.

        Raises
        ------
        ValueError
            The model has no segment, since it was fitted on nobody.
        """
        if not len(self.centroids):
            raise ValueError("the model has no segments: nobody was there to fit it on")
        labels, distances = nearest(self.scaled(behaviour), self.centroids)
        return labels, distances.min(axis=1)

    def assign(self, behaviour: Behaviour) -> Ints:
        """Segment of each actor, new ones included; a key of `LABELS` for those outside the segments.

        Event types that the model does not know count as ``OTHER``.
        """
        labels = np.full(len(behaviour.actors), TOO_LITTLE, dtype=np.int64)
        classes = np.array(behaviour.classes, dtype=object)
        labels[classes == "scripted"] = SCRIPTED
        labels[classes == "sentinel"] = SENTINEL
        known = self.known(behaviour)
        if known.any() and len(self.centroids):
            labels[known] = self.predict(behaviour.take(known))[0]
        return labels

    def named(self, labels: Ints) -> list[str]:
        """Names of segments and of labels outside them."""
        return [self.names[label] if label >= 0 else LABELS[label] for label in labels.tolist()]

    def save(self, folder: Path) -> None:
        """Write ``model.json`` into `folder`."""
        fields = {
            "kind": KIND,
            "measures": list(MEASURES),
            "log_measures": list(LOG_MEASURES),
            "clip": CLIP,
            "event_names": self.event_names,
            "centre": self.centre.tolist(),
            "scale": self.scale.tolist(),
            "measure_weight": self.measure_weight,
            "mix_weight": self.mix_weight,
            "centroids": self.centroids.tolist(),
            "names": self.names,
            "axes": self.axes.tolist(),
            "origin": self.origin.tolist(),
            "min_events": self.min_events,
            "min_active_days": self.min_active_days,
        }
        write_json(folder / "model.json", fields)

    @classmethod
    def load(cls, folder: Path) -> Segments:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            The model describes actors by other measures than this version of the code does.
        """
        fields = read_json(folder / "model.json")
        made = [fields.get(name) for name in ("kind", "measures", "log_measures", "clip")]
        if made != [KIND, list(MEASURES), list(LOG_MEASURES), CLIP]:
            raise ValueError(f"{folder / 'model.json'} was made for other measures; materialize it again")
        columns = len(MEASURES) + len(fields["event_names"])
        return cls(
            event_names=fields["event_names"],
            centre=np.array(fields["centre"], dtype=np.float64),
            scale=np.array(fields["scale"], dtype=np.float64),
            measure_weight=fields["measure_weight"],
            mix_weight=fields["mix_weight"],
            centroids=np.array(fields["centroids"], dtype=np.float64).reshape(-1, columns),
            names=fields["names"],
            axes=np.array(fields["axes"], dtype=np.float64),
            origin=np.array(fields["origin"], dtype=np.float64),
            min_events=fields["min_events"],
            min_active_days=fields["min_active_days"],
        )


def _enough(behaviour: Behaviour, min_events: int, min_active_days: int) -> Mask:
    enough = (behaviour.events >= min_events) & (behaviour.active_days >= min_active_days)
    return behaviour.people & enough


def _transformed(behaviour: Behaviour) -> Floats:
    logs = len(LOG_MEASURES)
    return np.column_stack([np.log1p(behaviour.measures[:, :logs]), behaviour.measures[:, logs:]])


def _standardised(behaviour: Behaviour, centre: Floats, scale: Floats) -> Floats:
    return np.clip((_transformed(behaviour) - centre) / scale, -CLIP, CLIP)


def _robust_scale(transformed: Floats) -> tuple[Floats, Floats]:
    """Median and robust standard deviation of each column; the plain one where half of the values are equal, 1 for
    constant columns.
    """
    if not len(transformed):
        return np.zeros(transformed.shape[1]), np.ones(transformed.shape[1])
    low, centre, high = np.percentile(transformed, [25, 50, 75], axis=0)
    plain = np.where(_varies(transformed), transformed.std(axis=0), 1.0)
    return centre, np.where(high - low > SAME, (high - low) / IQR_OF_NORMAL, plain)


def _inverse_spread(columns: Floats) -> float:
    """Factor that gives a group of columns a total variance of 1 (multiple factor analysis weighs groups so, by their
    first variance); 1 where they are constant.
    """
    if not len(columns):
        return 1.0
    spread = float(np.sqrt(columns.var(axis=0)[_varies(columns)].sum()))
    return 1 / spread if spread > 0 else 1.0


def _varies(columns: Floats) -> Mask:
    """Which columns are not constant: their variance may be a rounding error instead of 0."""
    return np.ptp(columns, axis=0) > SAME


def _main_axes(points: Floats) -> tuple[Floats, Floats, list[float]]:
    """Two principal axes, their origin, and their shares of the variance."""
    columns = points.shape[1]
    origin = points.mean(axis=0) if len(points) else np.zeros(columns)
    axes, shares = np.zeros((2, columns)), [0.0, 0.0]
    if len(points) > 1:
        _, spread, found = np.linalg.svd(points - origin, full_matrices=False)
        total = float((spread**2).sum())
        for place in range(min(2, len(spread))):
            # The sign of an axis is arbitrary: the largest entry is positive, so that a re-run draws the same picture.
            axes[place] = found[place] * (np.sign(found[place][np.abs(found[place]).argmax()]) or 1)
            shares[place] = float(spread[place] ** 2) / total if total > 0 else 0.0
    return axes, origin, shares


def fit(
    behaviour: Behaviour,
    seed: int = 7,
    max_segments: int = MAX_SEGMENTS,
    *,
    min_events: int = MIN_EVENTS,
    min_active_days: int = MIN_ACTIVE_DAYS,
    mix_weight: float = MIX_WEIGHT,
) -> tuple[Segments, dict[str, Any]]:
    """Segment the people with enough activity.

    Parameters
    ----------
    behaviour : Behaviour
        All actors.
    seed : int
        Of starts, bootstrap samples and random data.
    max_segments : int
        Largest number tried.
    min_events, min_active_days : int
        Who has less is left out; where everybody has, all people take part.
    mix_weight : float
        Spread of the event mix over that of the measures.

    Returns
    -------
    segments : Segments
        The model; one segment where no structure is found, none where there are no people.
    metrics : dict
        ``actors``, ``clustered_actors``, ``outside`` (label -> actors), ``segments``, ``sizes``, ``names``,
        ``stability`` and ``stable`` of each segment, ``silhouette``, ``macro_silhouette``, ``calinski_harabasz``
        (None with one segment), ``shuffled_silhouette`` and ``cloud_silhouette`` (highest one in random data with as
        many segments), ``silhouette_by_k``, ``choices`` (rows of ``KMEANS_CHOICES``), ``choice``, ``component_shares``
        (of variance), ``min_events``, ``min_active_days``, ``seed``.

    Raises
    ------
    ValueError
        `max_segments` is below 1 or `mix_weight` is negative.
    """
    if mix_weight < 0:
        raise ValueError("the weight of the event mix cannot be negative")
    chosen = _enough(behaviour, min_events, min_active_days)
    if not chosen.any():
        chosen, min_events, min_active_days = behaviour.people, 0, 0
    members = behaviour.take(chosen)
    centre, scale = _robust_scale(_transformed(members))
    weights = (
        _inverse_spread(_standardised(members, centre, scale)),
        mix_weight * _inverse_spread(np.sqrt(members.shares(members.event_names))),
    )
    columns = len(MEASURES) + len(behaviour.event_names)
    frame = Segments(
        event_names=behaviour.event_names,
        centre=centre,
        scale=scale,
        measure_weight=weights[0],
        mix_weight=weights[1],
        centroids=np.zeros((0, columns)),
        names=[],
        axes=np.zeros((2, columns)),
        origin=np.zeros(columns),
        min_events=min_events,
        min_active_days=min_active_days,
    )
    points = frame.scaled(members)
    choice = choose(points, max_segments, seed)
    centroids, steady = _final(points, choice, seed)
    axes, origin, shares = _main_axes(points)
    nearby = nearest(points, centroids)[0] if len(centroids) else np.zeros(0, dtype=np.int64)
    hours = [natural_hour(members.measures[nearby == number]) for number in range(len(centroids))]
    names = segment_names(centroids, origin, behaviour.event_names, hours)
    names = [name if value >= STABLE else f"{name} (unstable)" for name, value in zip(names, steady, strict=True)]
    segments = Segments(
        **{**vars(frame), "centroids": centroids, "names": names, "axes": axes, "origin": origin},
    )
    labels = segments.assign(behaviour)
    return segments, {
        "actors": len(behaviour.actors),
        "clustered_actors": int(chosen.sum()),
        "outside": {name: int((labels == label).sum()) for label, name in LABELS.items()},
        "segments": len(centroids),
        "sizes": np.bincount(labels[labels >= 0], minlength=len(centroids)).tolist(),
        "names": names,
        "stability": steady,
        "stable": [value >= STABLE for value in steady],
        **_scores(choice),
        "choice": describe(choice),
        "component_shares": shares,
        "min_events": min_events,
        "min_active_days": min_active_days,
        "seed": seed,
    }


def _final(points: Floats, choice: Choice, seed: int) -> tuple[Floats, list[float]]:
    """Centroids over all points, largest segment first, and each one's stability."""
    if not len(points):
        return np.zeros((0, points.shape[1])), []
    if choice.chosen is None:
        return points.mean(axis=0, keepdims=True), [1.0]
    centres, steady = choice.chosen.centres, choice.chosen.stability
    if choice.sampled < len(points):
        from sklearn.cluster import KMeans

        # From the sample's centres, so that the segments stay those that were chosen.
        with one_thread("sklearn.cluster"):
            centres = KMeans(choice.chosen.k, init=centres, n_init=1, tol=0).fit(points).cluster_centers_
    sizes = np.bincount(nearest(points, centres)[0], minlength=len(centres))
    order = np.argsort(-sizes, kind="stable")
    return centres[order], steady[order].tolist()


def _scores(choice: Choice) -> dict[str, Any]:
    found = choice.chosen
    return {
        "silhouette": found.silhouette if found else None,
        "macro_silhouette": found.macro_silhouette if found else None,
        "calinski_harabasz": found.calinski_harabasz if found else None,
        "shuffled_silhouette": max(choice.shuffled) if found else None,
        "cloud_silhouette": max(choice.cloud) if found else None,
        "silhouette_by_k": {str(each.k): each.silhouette for each in choice.tried},
        "choices": [
            {
                "k": each.k,
                "silhouette": each.silhouette,
                "macro_silhouette": each.macro_silhouette,
                "calinski_harabasz": each.calinski_harabasz,
                "stability": float(each.stability.min()),
                "mean_stability": float(each.stability.mean()),
                "smallest": int(np.bincount(each.labels).min()),
                "large_enough": each.large_enough,
                "stable": each.stable,
                "shuffled_silhouette": each.shuffled_silhouette,
                "chosen": each is found,
            }
            for each in choice.tried
        ],
    }


def assignments(segments: Segments, behaviour: Behaviour) -> pa.Table:
    """Rows of ``KMEANS_ASSIGNMENTS``: every actor; those outside the segments have no distances and places."""
    import pyarrow as pa

    labels = segments.assign(behaviour)
    inside = labels >= 0
    points = segments.scaled(behaviour)
    place = (points - segments.origin) @ segments.axes.T
    own, other, second = np.zeros(len(labels)), np.zeros(len(labels)), np.zeros(len(labels), dtype=np.int64)
    several = len(segments.centroids) > 1
    if inside.any():
        distances = nearest(points[inside], segments.centroids)[1]
        rows = np.arange(len(distances))
        own[inside] = distances[rows, labels[inside]]
        if several:
            distances[rows, labels[inside]] = np.inf
            second[inside], other[inside] = distances.argmin(axis=1), distances.min(axis=1)
    # Centres differ, so the other one's distance is 0 only on it, and then the own one would be no nearer.
    separation = (other - own) / np.where(other > 0, other, 1.0)
    outside, alone = ~inside, ~inside | (not several)
    return pa.table(
        {
            "actor": pa.array(behaviour.actors, pa.string()),
            "segment": labels,
            "segment_name": pa.array(segments.named(labels), pa.string()),
            "distance": pa.array(own, mask=outside),
            "component_1": pa.array(place[:, 0], mask=outside),
            "component_2": pa.array(place[:, 1], mask=outside),
            "nearest_other": pa.array(second, mask=alone),
            "separation": pa.array(separation, mask=alone),
        }
    )


def analysis(
    behaviour: Behaviour, seed: int = 7, max_segments: int = MAX_SEGMENTS, **settings: Any
) -> tuple[Segments, dict[str, Any], dict[str, pa.Table]]:
    """Segment actors and describe the segments.

    Parameters
    ----------
    behaviour, seed, max_segments, **settings
        See `fit`.

    Returns
    -------
    segments : Segments
    metrics : dict
        See `fit`.
    tables : dict of str to pyarrow.Table
        ``assignments`` (``KMEANS_ASSIGNMENTS``), ``profiles``, ``choices`` and ``representatives`` (``KMEANS_PROFILES``
        and so on).
    """
    import pyarrow as pa

    from analytics_assets.schemas.segments import KMEANS_CHOICES

    segments, metrics = fit(behaviour, seed, max_segments, **settings)
    assigned = assignments(segments, behaviour)
    labels = assigned["segment"].to_numpy()
    inside = labels >= 0
    members = behaviour.take(inside)
    distances = assigned["distance"].to_numpy(zero_copy_only=False)[inside]
    return (
        segments,
        metrics,
        {
            "assignments": assigned,
            "profiles": profiles(members, labels[inside], segments.names, segments.event_names),
            "choices": pa.Table.from_pylist(metrics["choices"], KMEANS_CHOICES.arrow_schema()),
            "representatives": representatives(members.actors, labels[inside], distances, segments.names),
        },
    )


def drift(segments: Segments, before: Behaviour, after: Behaviour) -> tuple[dict[str, Any], pa.Table]:
    """Whether actors stay in their segments from one period to another.

    Parameters
    ----------
    segments : Segments
    before, after : Behaviour
        Of two periods.

    Returns
    -------
    figures : dict
        ``actors`` (with enough activity in both periods), ``same`` (share of them in the same segment in both),
        ``same_by_chance`` (the same if both periods were independent), ``adjusted_rand_index`` of both periods; the
        last three None without an actor.
    moves : pyarrow.Table
        Rows of ``KMEANS_MOVES``.
    """
    import pyarrow as pa

    from analytics_assets.schemas.segments import KMEANS_MOVES

    first, second = (
        dict(zip(period.actors, segments.assign(period).tolist(), strict=True)) for period in (before, after)
    )
    both = [actor for actor in first if first[actor] >= 0 and second.get(actor, TOO_LITTLE) >= 0]
    counts = np.zeros((len(segments.names), len(segments.names)), dtype=np.int64)
    np.add.at(counts, ([first[actor] for actor in both], [second[actor] for actor in both]), 1)
    rows = [
        {
            "from_segment": start,
            "from_name": segments.names[start],
            "to_segment": end,
            "to_name": segments.names[end],
            "actors": int(counts[start, end]),
            "share": float(counts[start, end] / counts[start].sum()),
        }
        for start, end in np.argwhere(counts).tolist()
    ]
    figures: dict[str, Any] = {"actors": len(both), "same": None, "same_by_chance": None, "adjusted_rand_index": None}
    if both:
        from sklearn.metrics import adjusted_rand_score

        figures["same"] = float(np.trace(counts) / len(both))
        figures["same_by_chance"] = float((counts.sum(axis=0) * counts.sum(axis=1)).sum() / len(both) ** 2)
        pairs = [first[actor] for actor in both], [second[actor] for actor in both]
        figures["adjusted_rand_index"] = float(adjusted_rand_score(*pairs))
    return figures, pa.Table.from_pylist(rows, KMEANS_MOVES.arrow_schema())


def segment_actors(
    engine: duckdb.DuckDBPyConnection,
    clean: Sequence[Path],
    session_files: Sequence[Path],
    seed: int = 7,
    max_segments: int = MAX_SEGMENTS,
    **settings: Any,
) -> tuple[Segments, dict[str, Any], dict[str, pa.Table]]:
    """Segment the actors of the given files, and see whether they stay where they are.

    Parameters
    ----------
    engine, clean, session_files
        See `load_behaviour`.
    seed, max_segments, **settings
        See `fit`.

    Returns
    -------
    segments, metrics, tables
        See `analysis`; with ``drift`` among the metrics and ``moves`` among the tables: assignments by the first half
        of the events against those by the second half (see `drift`), ``cut`` between them. The segments were made from
        both halves, so this is about actors, not a test of the segments on unseen data.
    """
    segments, metrics, tables = analysis(load_behaviour(engine, clean, session_files), seed, max_segments, **settings)
    cut = middle_time(engine, clean)
    before = load_behaviour(engine, clean, session_files, until=cut)
    after = load_behaviour(engine, clean, session_files, since=cut)
    found, moves = drift(segments, before, after)
    return (
        segments,
        {**metrics, "drift": {"cut": cut.isoformat() if cut else None, **found}},
        {**tables, "moves": moves},
    )
