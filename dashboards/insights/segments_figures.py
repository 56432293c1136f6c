"""Figures of the page "Segments": what the segments are like, how sure they are, who moves between them.

Put here: reading what ``kmeans_segments`` published. Keep out: assigning an actor (``scoring.py``), drawing, wording.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from analytics_assets.core.lake import Lake
from dashboards import data, shapes
from dashboards.selection import quoted

ASSET = "kmeans_segments"

METRICS = {
    **shapes.KMEANS_METRICS,
    "stability": [shapes.MAYBE_NUMBER],
    "component_shares": [shapes.NUMBER],
    "min_events": int,
    "min_active_days": int,
    "drift": {
        "actors": int,
        "same": shapes.MAYBE_NUMBER,
        "same_by_chance": shapes.MAYBE_NUMBER,
        "cut": shapes.MAYBE_TEXT,
    },
}
"""What the page reads of the model's metrics."""

EVENTS_PROFILED = 15
"""Event types of the profile: those in which segments differ most."""


def _read(lake: Lake, table: str, columns: str, rest: str = "") -> list[tuple[Any, ...]]:
    return data.query(f"SELECT {columns} FROM {{files}} {rest}", [lake.model(ASSET) / f"{table}.parquet"], ASSET)


@dataclass(frozen=True)
class Feature:
    """One feature of all segments: its kind, name and unit; mean and z by segment, and the mean of everybody."""

    kind: str
    name: str
    unit: str
    overall: float
    means: dict[int, float]
    z: dict[int, float | None]


def profile(lake: Lake) -> list[Feature]:
    """Features that segments were made from, then those that only describe them.

    Measures keep the order of their names; of the events, the `EVENTS_PROFILED` that differ most between segments.
    """
    rows = _read(
        lake, "profiles", "kind, feature, unit, overall_mean, segment, mean, z", "ORDER BY kind, feature, segment"
    )
    found: dict[tuple[str, str], Feature] = {}
    for kind, name, unit, overall, segment, mean, z in rows:
        feature = found.setdefault((kind, name), Feature(kind, name, unit, overall, {}, {}))
        feature.means[segment] = mean
        feature.z[segment] = z
    events = sorted((feature for feature in found.values() if feature.kind == "event"), key=_spread)[:EVENTS_PROFILED]
    kept = [feature for feature in found.values() if feature.kind != "event"]
    order = ("measure", "event", "hour", "country", "device")
    return sorted(
        [*kept, *events],
        key=lambda feature: (
            order.index(feature.kind) if feature.kind in order else len(order),
            _spread(feature) if feature.kind == "event" else 0,
            feature.name,
        ),
    )


def _spread(feature: Feature) -> float:
    """Minus the largest distance of a segment from everybody, so that sorting puts it first."""
    return -max((abs(value) for value in feature.z.values() if value is not None), default=0.0)


@dataclass(frozen=True)
class Choice:
    """One number of segments that was tried."""

    k: int
    silhouette: float
    macro_silhouette: float
    calinski_harabasz: float | None
    stability: float
    smallest: int
    large_enough: bool
    stable: bool
    shuffled_silhouette: float
    chosen: bool


def choices(lake: Lake) -> list[Choice]:
    """Numbers of segments that were tried, ascending."""
    rows = _read(
        lake,
        "choices",
        "k, silhouette, macro_silhouette, calinski_harabasz, stability, smallest, large_enough, stable, "
        "shuffled_silhouette, chosen",
        "ORDER BY k",
    )
    return [Choice(*row) for row in rows]


def representatives(lake: Lake) -> list[tuple[int, str, int, str, float]]:
    """Segment, its name, rank, actor and distance of the actors nearest to each centre."""
    rows = _read(lake, "representatives", "segment, segment_name, rank, actor, distance", "ORDER BY segment, rank")
    return [(segment, name, rank, actor, distance) for segment, name, rank, actor, distance in rows]


def moves(lake: Lake, segments: int) -> tuple[list[list[float | None]], list[list[int]]]:
    """Shares of the actors of each segment in the first half (row) by their segment in the second (column), and counts.

    A segment that nobody was in has no shares.
    """
    counts = [[0] * segments for _ in range(segments)]
    for start, end, actors in _read(lake, "moves", "from_segment, to_segment, actors"):
        if start < segments and end < segments:
            counts[start][end] = actors
    return [[number / sum(row) if sum(row) else None for number in row] for row in counts], counts


def assigned(lake: Lake, actor: str) -> tuple[int, str] | None:
    """Published segment or label of an actor and its name; None when there is no such actor."""
    rows = _read(lake, "assignments", "segment, segment_name", f"WHERE actor = {quoted(actor)}")
    return (rows[0][0], rows[0][1]) if rows else None
