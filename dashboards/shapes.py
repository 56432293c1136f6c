"""What the dashboards rely on in the lake's JSON files, and a check of it.

Put here: the parts of each file that a page reads, with their types. Keep out: reading files (``data.py``). A file may
hold more than is declared here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class ShapeError(ValueError):
    """A file's content is not what its writer publishes; the text says where."""


@dataclass(frozen=True)
class Each:
    """An object of any keys whose values all have one shape."""

    shape: Any


NUMBER = (int, float)
MAYBE_NUMBER = (int, float, type(None))
MAYBE_TEXT = (str, type(None))


def check(value: Any, shape: Any, where: str = "content") -> None:
    """Raise `ShapeError` unless `value` has `shape`.

    A shape is a type or tuple of types, a dict of required keys, a list with the shape of its elements, or `Each`.
    """
    if isinstance(shape, dict):
        _expect(value, dict, where)
        for key, inner in shape.items():
            if key not in value:
                raise ShapeError(f"{where} has no {key!r}")
            check(value[key], inner, f"{where}.{key}")
    elif isinstance(shape, list):
        _expect(value, list, where)
        for place, element in enumerate(value):
            check(element, shape[0], f"{where}[{place}]")
    elif isinstance(shape, Each):
        _expect(value, dict, where)
        for key, inner in value.items():
            check(inner, shape.shape, f"{where}.{key}")
    else:
        _expect(value, shape, where)


def _expect(value: Any, kinds: Any, where: str) -> None:
    # bool is an int in Python, but never a count.
    if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
        raise ShapeError(f"{where} is of type {type(value).__name__}")


_COUNTS = {"records_seen": int, "loaded": int, "duplicates": int, "quarantined": int, "forgotten": int}
_ACTIVITY = {"events": int, "actors": int, "sessions": int}

RESULTS = {
    "years": [str],
    "synthetic": bool,
    "data_as_of": MAYBE_TEXT,
    "sources": Each({"raw_digest": str}),
    "metrics": [
        {
            "name": str,
            "label": str,
            "unit": str,
            "denominator": str,
            "population": str,
            "source": str,
            "value": MAYBE_NUMBER,
        }
    ],
    "findings": [{"title": str, "text": str, "source": str}],
    "lists": {
        "top_events": [{"event_type": str, **_ACTIVITY}],
        "top_transitions": [{"from_event": str, "to_event": str, "transitions": int}],
        "entry_events": [{"event_type": str, "sessions": int}],
        "exit_events": [{"event_type": str, "sessions": int}],
        "countries": [{"country": MAYBE_TEXT, **_ACTIVITY}],
        "device_families": [{"device_family": MAYBE_TEXT, **_ACTIVITY}],
        "months": [{"month": str, **_ACTIVITY}],
        "years": [{"year": int, **_ACTIVITY}],
        "daily": [
            {"date": str, "events": int, "sessions": int, "mean_session_seconds": MAYBE_NUMBER, "outside_year": bool}
        ],
    },
    "models": Each({}),
}

MARKOV_METRICS = {
    "train_sessions": int,
    "test_sessions": int,
    "test_transitions": int,
    "markov1_accuracy": MAYBE_NUMBER,
    "markov1_top3_accuracy": MAYBE_NUMBER,
    "markov2_backoff_accuracy": MAYBE_NUMBER,
    "most_frequent_accuracy": MAYBE_NUMBER,
    "repeat_accuracy": MAYBE_NUMBER,
}

KMEANS_METRICS = {
    "actors": int,
    "clustered_actors": int,
    "sizes": [int],
    "names": [str],
    "silhouette": MAYBE_NUMBER,
    "shuffled_silhouette": MAYBE_NUMBER,
}

MANIFEST = {
    "raw_digest": str,
    "total": {**_COUNTS, "bytes": int},
    "files": [{**_COUNTS, "path": str, "bytes": int, "sha256": str, "compression": str, "decompressed_bytes": int}],
    "chunks": [{"path": str, "rows": int, "bytes": int, "sha256": str}],
    "quarantine_reasons": Each(int),
}

QUALITY = {
    "raw_digest": str,
    "waterfall": [
        {
            "step": str,
            "rule": str,
            "rows_before": int,
            "rows_after": int,
            "columns_before": int,
            "columns_after": int,
            "details": Each((str, int, float)),
            "examples": [{"uuid": str, "event_type": str, "event_time": str, "reason": str}],
        }
    ],
    "profile": str,
    "grades": [{"name": str, "what": str, "value": MAYBE_NUMBER, "limit": NUMBER, "passed": bool}],
    "columns": [{"column": str, "nulls": int, "null_share": NUMBER, "distinct_values": int}],
    "time": {
        "first_event_time": MAYBE_TEXT,
        "last_event_time": MAYBE_TEXT,
        "events_outside_year": int,
        "upload_delay": Each(int),
    },
    "identity": Each(int),
}
