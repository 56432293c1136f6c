"""How many segments there are, and whether there are any.

Put here: criteria for the number of segments. Keep out: features and scaling (``kmeans.py``), what segments are like
(``kmeans_profile.py``).

Nothing here knows what the segments should be: points are compared with each other, with bootstrap samples of
themselves, and with random data of the same kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.threads import one_thread

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RESTARTS = 20
"""Starts of each clustering: the best of them is rarely missed with up to ten segments."""

FEW_RESTARTS = 3
"""Starts of clusterings that are only compared with, of which there are hundreds."""

ITERATIONS = 300

SAMPLE = 2_000
"""Actors on which choices rest when there are more: the silhouette takes the square of their number."""

BOOTSTRAPS = 50
"""Samples behind a segment's stability: its standard error is then below 0.05."""

STABLE = 0.75
"""Mean Jaccard similarity from which a segment counts as stable (Hennig 2007)."""

MIN_ACTORS, MIN_SHARE = 10, 0.02
"""A segment has at least so many actors and at least this share of them: smaller ones are outliers, not kinds."""

TOLERANCE = 0.02
"""Silhouettes that differ by less are equal: the Calinski-Harabasz index decides."""

REFERENCES = 19
"""Random data sets of each kind that real structure must beat, all of them: by chance this happens in 5 %."""


@dataclass(frozen=True)
class Tried:
    """One number of segments.

    Parameters
    ----------
    k : int
    centres : float64 array, shape (k, columns)
    labels : int64 array, shape (points,)
    silhouette, macro_silhouette : float
        Mean over points, and mean over clusters of their means: the latter is not ruled by large clusters.
    calinski_harabasz : float or None
        None where the points of each cluster coincide.
    stability : float64 array, shape (k,)
        Of each cluster, see `stability`.
    large_enough : bool
        Whether the smallest cluster has the smallest size allowed.
    shuffled_silhouette : float
        ``silhouette`` of the points with every column shuffled.
    """

    k: int
    centres: Floats
    labels: Ints
    silhouette: float
    macro_silhouette: float
    calinski_harabasz: float | None
    stability: Floats
    large_enough: bool
    shuffled_silhouette: float

    @property
    def stable(self) -> bool:
        """Whether every cluster is."""
        return bool((self.stability >= STABLE).all())


@dataclass(frozen=True)
class Choice:
    """The number of segments and the evidence for it.

    Parameters
    ----------
    tried : list of Tried
        By rising k; empty where there are too few different points.
    chosen : Tried or None
        None: one segment.
    reason : str
        Why, in a sentence.
    candidate : Tried or None
        What was tested against random data.
    shuffled, cloud : list of float
        Silhouettes of random data of two kinds with as many clusters, see `references`.
    sampled : int
        Points that the choice rests on.
    """

    tried: list[Tried]
    chosen: Tried | None
    reason: str
    candidate: Tried | None
    shuffled: list[float]
    cloud: list[float]
    sampled: int

    @property
    def p_value(self) -> float | None:
        """Chance of such a silhouette in random data, the larger one of both kinds; at least 1 / (REFERENCES + 1)."""
        if self.candidate is None:
            return None
        observed = self.candidate.silhouette
        return max(
            (1 + sum(value >= observed for value in values)) / (1 + len(values))
            for values in (self.shuffled, self.cloud)
        )


def cluster(points: Floats, k: int, seed: int, restarts: int = RESTARTS) -> tuple[Floats, Ints]:
    """Centres, shape (k, columns), and labels of KMeans."""
    from sklearn.cluster import KMeans

    # Without tolerance it goes on until no label changes: every centre then is its cluster's mean.
    model = KMeans(k, n_init=restarts, max_iter=ITERATIONS, tol=0, random_state=seed).fit(points)
    return model.cluster_centers_, model.labels_.astype(np.int64)


def nearest(points: Floats, centres: Floats) -> tuple[Ints, Floats]:
    """Place of the nearest centre and all distances, shape (points, centres)."""
    distances = np.column_stack([np.linalg.norm(points - centre, axis=1) for centre in centres])
    return distances.argmin(axis=1), distances


def stability(points: Floats, labels: Ints, k: int, seed: int) -> Floats:
    """Mean over bootstrap samples of each cluster's Jaccard similarity with the most similar one of the sample, among
    the points drawn (Hennig 2007); shape (k,).
    """
    rng = np.random.default_rng(seed)
    found = np.zeros((BOOTSTRAPS, k))
    for number in range(BOOTSTRAPS):
        drawn = rng.integers(len(points), size=len(points))
        again = cluster(points[drawn], k, seed + number, FEW_RESTARTS)[1] if _distinct(points[drawn]) >= k else None
        if again is None:
            continue
        own, first = np.unique(drawn, return_index=True)
        both = np.zeros((k, k))
        np.add.at(both, (labels[own], again[first]), 1)
        union = both.sum(axis=1, keepdims=True) + both.sum(axis=0, keepdims=True) - both
        found[number] = (both / np.maximum(union, 1)).max(axis=1)
    means: Floats = found.mean(axis=0)
    return means


def references(points: Floats, k: int, seed: int, count: int = REFERENCES) -> tuple[list[float], list[float]]:
    """Silhouettes of k clusters in data without any.

    Two kinds: every column shuffled, so that columns are independent, and one normal cloud with the covariance of the
    points (Liu et al. 2008), since a single elongated cloud also beats shuffled columns.

    Returns
    -------
    shuffled, cloud : list of float
        `count` each.
    """
    rng = np.random.default_rng(seed)
    centred = points - points.mean(axis=0)
    _, spread, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes * (spread / math.sqrt(len(points)))[:, None]

    def shuffled() -> Floats:
        return np.column_stack([rng.permutation(column) for column in points.T])

    def cloud() -> Floats:
        return rng.normal(size=(len(points), len(axes))) @ axes

    def silhouettes(draw: Callable[[], Floats]) -> list[float]:
        return [_silhouette_of(draw(), k, seed + number) for number in range(count)]

    return silhouettes(shuffled), silhouettes(cloud)


def choose(points: Floats, max_segments: int, seed: int) -> Choice:
    """Choose the number of clusters from 2 to `max_segments`, or find none.

    Among the numbers whose clusters all are large enough and stable (large enough, where none is stable) it is the one
    with the highest mean of the clusters' silhouettes; nearly equal ones (`TOLERANCE`) are told apart by the
    Calinski-Harabasz index. Its silhouette then has to beat every random data set of `references`: otherwise there is
    no structure.

    Parameters
    ----------
    points : float64 array, shape (points, columns)
    max_segments : int
    seed : int

    Raises
    ------
    ValueError
        `max_segments` is below 1.
    """
    if max_segments < 1:
        raise ValueError("there must be at least one segment")
    if len(points) > SAMPLE:
        points = points[np.sort(np.random.default_rng(seed).choice(len(points), SAMPLE, replace=False))]
    # Small matrices are clustered ten times faster by one thread than by two, and always alike.
    with one_thread("sklearn.cluster"):
        most = min(max_segments, _distinct(points), len(points) - 1)
        tried = [_tried(points, k, seed) for k in range(2, most + 1)]
        if not tried:
            return Choice(tried, None, "nothing to divide", None, [], [], len(points))
        candidates = eligible(tried)
        if not candidates:
            reason = "every number of segments tried has one that is too small"
            return Choice(tried, None, reason, None, [], [], len(points))
        candidate = best(candidates)
        shuffled, cloud = references(points, candidate.k, seed)
    found: Tried | None = candidate
    if candidate.silhouette <= max(*shuffled, *cloud):
        found, reason = None, "no structure: random data separate as well"
    elif candidate.stable:
        reason = "best silhouette and Calinski-Harabasz index among the stable numbers"
    else:
        reason = "best silhouette and Calinski-Harabasz index; no number is stable"
    return Choice(tried, found, reason, candidate, shuffled, cloud, len(points))


def eligible(tried: Sequence[Tried]) -> list[Tried]:
    """Those whose clusters all are large enough and stable; large enough, where none is stable."""
    large = [each for each in tried if each.large_enough]
    return [each for each in large if each.stable] or large


def best(found: Sequence[Tried]) -> Tried:
    """Highest cluster-averaged silhouette; among those within `TOLERANCE` of it the highest Calinski-Harabasz index."""
    top = max(each.macro_silhouette for each in found)
    near = [each for each in found if each.macro_silhouette >= top - TOLERANCE]
    return max(near, key=lambda each: (each.calinski_harabasz or math.inf, -each.k))


def describe(choice: Choice) -> dict[str, Any]:
    """The choice for ``metrics.json``."""
    return {
        "reason": choice.reason,
        "sampled_actors": choice.sampled,
        "candidate": choice.candidate.k if choice.candidate else None,
        "candidate_silhouette": choice.candidate.silhouette if choice.candidate else None,
        "shuffled_silhouettes": choice.shuffled,
        "cloud_silhouettes": choice.cloud,
        "p_value": choice.p_value,
    }


def _distinct(points: Floats) -> int:
    return len(np.unique(points, axis=0))


def _tried(points: Floats, k: int, seed: int) -> Tried:
    from sklearn.metrics import calinski_harabasz_score, silhouette_samples

    centres, labels = cluster(points, k, seed)
    sizes = np.bincount(labels, minlength=k)
    each = silhouette_samples(points, labels)
    index = float(calinski_harabasz_score(points, labels))
    rng = np.random.default_rng(seed)
    shuffled = np.column_stack([rng.permutation(column) for column in points.T])
    return Tried(
        k=k,
        centres=centres,
        labels=labels,
        silhouette=float(each.mean()),
        macro_silhouette=float((np.bincount(labels, weights=each, minlength=k) / sizes).mean()),
        calinski_harabasz=index if math.isfinite(index) else None,
        stability=stability(points, labels, k, seed),
        large_enough=bool(sizes.min() >= max(MIN_ACTORS, MIN_SHARE * len(points))),
        shuffled_silhouette=_silhouette_of(shuffled, k, seed),
    )


def _silhouette_of(points: Floats, k: int, seed: int) -> float:
    from sklearn.metrics import silhouette_score

    labels = cluster(points, k, seed, FEW_RESTARTS)[1]
    found = len(np.unique(labels))
    return float(silhouette_score(points, labels)) if 1 < found < len(points) else -1.0
