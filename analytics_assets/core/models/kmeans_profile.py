"""What segments are like: names, profiles, the actors that stand for them.

Put here: description of segments that are there. Keep out: how they are found (``kmeans.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.intervals import Z95
from analytics_assets.core.models.drawing import MAX_LABEL
from analytics_assets.core.models.kmeans_features import MEASURES, UNITS, Behaviour, natural_hour
from analytics_assets.core.models.sequences import OTHER

if TYPE_CHECKING:
    import pyarrow as pa

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

EVERYBODY, AVERAGE = "everybody", "like everybody"
WORDS = {
    "events_per_active_day": ("busy days", "quiet days"),
    "sessions_per_active_day": ("many sessions a day", "few sessions a day"),
    "events_per_session": ("long sessions", "short sessions"),
    "mean_session_seconds": ("lasting sessions", "brief sessions"),
    "median_session_seconds": ("lasting sessions", "brief sessions"),
    "active_day_share": ("here most days", "here on few days"),
    "breadth": ("varied", "few kinds of events"),
    "event_entropy": ("varied", "few kinds of events"),
    "weekend_share": ("weekends", "not on weekends"),
}
"""Plain words for a high and a low value; hours are named by themselves."""

HOUR_COLUMNS = (MEASURES.index("hour_sin"), MEASURES.index("hour_cos"))
SAME = 1e-9
"""Smaller differences are rounding errors."""

NAMED_EVENTS = 2
"""Event types in a name, if both tell."""

TELLING = 0.4
"""An event type or measure is named when it sets the segment apart by at least this part of its strongest one."""

REPRESENTATIVES = 3
"""Actors shown for each segment."""

PLACES = 10
"""Most frequent countries and devices in a profile."""


def plain_words(event: str) -> str:
    """An event's name as words: separators as blanks, the last whole words of a long one."""
    if event == OTHER:
        return "rare events"
    words = " ".join("".join(character if character.isalnum() else " " for character in event).split()) or event
    if len(words) <= MAX_LABEL:
        return words
    end = words[1 - MAX_LABEL :]
    whole = end.partition(" ")[2] if words[-MAX_LABEL] != " " else end
    return "…" + (whole or end)


def segment_names(centroids: Floats, origin: Floats, event_names: Sequence[str], hours: Sequence[float]) -> list[str]:
    """Name each segment from what sets it apart most from everybody; no two names are alike.

    Parameters
    ----------
    centroids : float64 array, shape (segments, len(MEASURES) + len(event_names))
        In the scaled space, where differences of columns are comparable.
    origin : float64 array, shape (columns,)
        Mean of all.
    event_names : sequence of str
        Names of the last columns.
    hours : sequence of float
        Mean hour of each segment, UTC.
    """
    if len(centroids) == 1:
        return [EVERYBODY]
    names: list[str] = []
    for difference, hour in zip(centroids - origin, hours, strict=True):
        events = difference[len(MEASURES) :]
        threshold = TELLING * np.abs(difference).max()
        more = [
            plain_words(event_names[column]) for column in np.argsort(-events, kind="stable") if events[column] > SAME
        ]
        told = min(NAMED_EVENTS, int((events >= threshold).sum()))
        habits = _habits(difference[: len(MEASURES)], hour)
        strong = [words for words, strength in habits if strength >= threshold]
        parts = more[:told] + strong[: 1 if told else 2]
        spare = [words for words in (*dict(habits), *more) if words not in parts]
        name = ", ".join(parts) or AVERAGE
        while name in names and spare:
            parts.append(spare.pop(0))
            name = ", ".join(parts)
        while name in names:
            name += " (2)"
        names.append(name)
    return names


def _habits(measures: Floats, hour: float) -> list[tuple[str, float]]:
    """Plain words for the measures that differ and how much they do, the strongest first, no words twice."""
    found: dict[str, float] = {}
    for name, difference in zip(MEASURES, measures.tolist(), strict=True):
        if name in WORDS and abs(difference) > SAME:
            words = WORDS[name][0 if difference > 0 else 1]
            found[words] = max(abs(difference), found.get(words, 0.0))
    turned = float(np.hypot(*measures[list(HOUR_COLUMNS)]))
    if turned > SAME:
        found[f"around {round(hour) % 24} h UTC"] = turned
    return sorted(found.items(), key=lambda each: -each[1])


def profiles(behaviour: Behaviour, labels: Ints, names: Sequence[str], event_names: Sequence[str]) -> pa.Table:
    """Rows of ``KMEANS_PROFILES``.

    Parameters
    ----------
    behaviour : Behaviour
        Of the segmented actors.
    labels : int64 array, shape (actors,)
        Their segments.
    names : sequence of str
        Of the segments.
    event_names : sequence of str
        Event types of the mix.
    """
    import pyarrow as pa

    from analytics_assets.schemas.segments import KMEANS_PROFILES

    signed = {MEASURES[column] for column in HOUR_COLUMNS}
    features = [
        ("measure", name, UNITS[name], behaviour.measures[:, column], name not in signed)
        for column, name in enumerate(MEASURES)
    ]
    shares = behaviour.shares(event_names)
    features += [("event", name, "share", shares[:, column], True) for column, name in enumerate(event_names)]
    features += [
        (kind, value, "share", np.array([each == value for each in values], dtype=np.float64), True)
        for kind, values in (("country", behaviour.countries), ("device", behaviour.devices))
        for value in _most_frequent(values)
    ]
    rows: list[dict[str, Any]] = []
    for segment, name in enumerate(names):
        inside = labels == segment
        common = {"segment": segment, "segment_name": name, "actors": int(inside.sum())}
        for kind, feature, unit, values, liftable in features:
            overall, spread = float(values.mean()), float(values.std())
            mean = float(values[inside].mean())
            lift, low, high = lift_interval(values, inside) if liftable else (None, None, None)
            rows.append(
                {
                    **common,
                    "kind": kind,
                    "feature": feature,
                    "unit": unit,
                    "mean": mean,
                    "median": float(np.median(values[inside])) if kind in ("measure", "event") else None,
                    "overall_mean": overall,
                    "z": (mean - overall) / spread if spread > 0 else None,
                    "lift": lift,
                    "lift_low": low,
                    "lift_high": high,
                }
            )
        rows.append(
            {
                **common,
                "kind": "hour",
                "feature": "mean_hour",
                "unit": "h UTC",
                "mean": natural_hour(behaviour.measures[inside]),
                "overall_mean": natural_hour(behaviour.measures),
            }
        )
    return pa.Table.from_pylist(rows, KMEANS_PROFILES.arrow_schema())


def lift_interval(values: Floats, inside: NDArray[np.bool_]) -> tuple[float | None, float | None, float | None]:
    """Mean of some over the mean of all, with its 95 % interval over actors.

    The interval is that of the logarithm by the infinitesimal jackknife (Jaeckel 1972): it allows
    for the overlap of both means and needs no drawing.

    Parameters
    ----------
    values : float64 array, shape (actors,)
        Not negative.
    inside : bool array, shape (actors,)
        Some of them, at least one.

    Returns
    -------
    lift, low, high : float or None
        All None where nobody has any; no interval where nobody inside has any.
    """
    overall, mean = float(values.mean()), float(values[inside].mean())
    if overall <= 0:
        return None, None, None
    if mean <= 0:
        return 0.0, None, None
    influence = inside * (values / mean - 1) / inside.sum() - (values / overall - 1) / len(values)
    error = float(np.sqrt((influence**2).sum()))
    lift = mean / overall
    return lift, lift * float(np.exp(-Z95 * error)), lift * float(np.exp(Z95 * error))


def representatives(actors: Sequence[str], labels: Ints, distances: Floats, names: Sequence[str]) -> pa.Table:
    """Rows of ``KMEANS_REPRESENTATIVES``: the nearest actors to each centre, ties by name."""
    import pyarrow as pa

    from analytics_assets.schemas.segments import KMEANS_REPRESENTATIVES

    rows = [
        {
            "segment": segment,
            "segment_name": name,
            "rank": rank,
            "actor": actors[row],
            "distance": float(distances[row]),
        }
        for segment, name in enumerate(names)
        for rank, row in enumerate(
            sorted(np.flatnonzero(labels == segment).tolist(), key=lambda row: (distances[row], actors[row]))[
                :REPRESENTATIVES
            ],
            start=1,
        )
    ]
    return pa.Table.from_pylist(rows, KMEANS_REPRESENTATIVES.arrow_schema())


def _most_frequent(values: Sequence[str | None]) -> list[str]:
    names, counts = np.unique([value for value in values if value is not None], return_counts=True)
    order = np.lexsort((names, -counts))[:PLACES]
    return [str(names[place]) for place in order]
