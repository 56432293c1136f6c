"""What only the transparency app relies on in the lake's JSON files.

Put here: parts of files that its pages read besides those of ``dashboards.shapes``. Keep out: reading (``reading.py``).
"""

from __future__ import annotations

from dashboards.shapes import MAYBE_NUMBER, NUMBER, Each

_SPAN = {"file": str, "member": str, "start": int, "end": int, "rows": int}

MANIFEST = {
    "files": [
        {
            "forgotten": int,
            "record_bytes": int,
            "refused_bytes": int,
            "separator_bytes": int,
            "merge_bytes": int,
            "repaired": int,
            "complete": bool,
            "irregularities": Each(int),
        }
    ],
    "total": {"forgotten": int},
    "chunks": [{"sources": [_SPAN]}],
    "privacy": {"mode": str},
    "coerced_values": Each(int),
    "unreadable_times": Each(int),
    "unknown_keys": Each(int),
}

COLUMNS = [{"uniqueness": MAYBE_NUMBER, "top_share": MAYBE_NUMBER}]

NUMERIC = [
    {
        "name": str,
        "grain": str,
        "unit": str,
        "count": int,
        "mean": MAYBE_NUMBER,
        "std": MAYBE_NUMBER,
        "min": MAYBE_NUMBER,
        "q1": MAYBE_NUMBER,
        "median": MAYBE_NUMBER,
        "q3": MAYBE_NUMBER,
        "max": MAYBE_NUMBER,
        "skewness": MAYBE_NUMBER,
    }
]

GEOGRAPHY = {
    "methods": [{"place": str, "method": str, "events": int, "share": NUMBER, "mean_confidence": MAYBE_NUMBER}],
    "imputation_accuracy": [
        {
            "level": str,
            "protocol": str,
            "method": str,
            "masked": int,
            "covered": int,
            "correct": int,
            "accuracy": MAYBE_NUMBER,
            "coverage": MAYBE_NUMBER,
            "confidence": MAYBE_NUMBER,
            "masked_places": int,
            "covered_places": int,
            "correct_places": int,
        }
    ],
}

LIST_INFO = Each({"source": str, "about": str, "years": [str]})

REFUSED = {"reason": str, "detail": str, "file": str, "member": str, "start": int, "end": int, "raw": bytes}
"""One record of the quarantine."""

FORECAST_COST = {"seconds": Each(NUMBER), "peak_mb": NUMBER}

NEXT_EVENT_COST = {
    "model_bytes": int,
    "streams": Each({"train_seconds": NUMBER, "microseconds_per_prediction": NUMBER, "peak_mb": NUMBER}),
}
