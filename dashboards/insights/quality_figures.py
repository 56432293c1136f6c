"""Figures of the page "Data quality & drift": what ``quality/<year>.json`` says of each delivery.

Put here: which parts of the report the page reads, and their shape. Keep out: wording and drawing. The transparency app
shows the parts that account for single records and columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dashboards import data, shapes
from dashboards.selection import Scope
from dashboards.shapes import MAYBE_NUMBER, MAYBE_TEXT, NUMBER

ASSET = "data_quality"

_DRIFT = {
    "previous_year": str,
    "limits": {"psi": NUMBER, "js_bits": NUMBER},
    "columns": [
        {
            "column": str,
            "grain": str,
            "values": int,
            "psi": MAYBE_NUMBER,
            "js": MAYBE_NUMBER,
            "psi_by_chance": MAYBE_NUMBER,
            "js_by_chance": MAYBE_NUMBER,
            "times_limit": MAYBE_NUMBER,
            "drifted": bool,
            "largest": [{"value": MAYBE_TEXT, "share_before": NUMBER, "share_now": NUMBER}],
        }
    ],
    "event_types": {name: [{"event_type": str, "events": int}] for name in ("new", "vanished")},
    "transitions": {
        "min_transitions": int,
        "compared_events": int,
        "mean_js": MAYBE_NUMBER,
        "largest": [{"from_event": str, "transitions": int, "previous_transitions": int, "js": NUMBER}],
    },
}

_REPORT = {
    "grades": [
        {
            "name": str,
            "what": str,
            "value": MAYBE_NUMBER,
            "limit": NUMBER,
            "passed": bool,
            "offenders": [{"name": str, "value": NUMBER}],
        }
    ],
    "numeric": [
        {
            "name": str,
            "grain": str,
            "unit": str,
            "count": int,
            "iqr": {"low": MAYBE_NUMBER, "high": MAYBE_NUMBER, "outliers": int, "share": MAYBE_NUMBER},
            "z": {"limit": NUMBER, "outliers": int, "share": MAYBE_NUMBER},
        }
    ],
    "order": {
        "events_in_sessions": int,
        "steps": int,
        "tied_steps": int,
        "burst_steps": int,
        "tied_step_share": MAYBE_NUMBER,
        "burst_step_share": MAYBE_NUMBER,
    },
    "concentration": {
        "top_actor_share": MAYBE_NUMBER,
        "gini": MAYBE_NUMBER,
        "headlines": [
            {
                "name": str,
                "unit": str,
                "what": str,
                "value": MAYBE_NUMBER,
                "without_top_actor": MAYBE_NUMBER,
                "relative_change": MAYBE_NUMBER,
            }
        ],
        "classes": [
            {
                "actor_class": str,
                "actors": int,
                "events": int,
                "sessions": int,
                "actors_share": MAYBE_NUMBER,
                "events_share": MAYBE_NUMBER,
                "sessions_share": MAYBE_NUMBER,
            }
        ],
    },
    "drift": (dict, type(None)),
}


@dataclass(frozen=True)
class Report:
    """Quality of one delivery: the parts of its file that the page shows.

    Parameters
    ----------
    year : str
    grades : list
        Figures against their limits.
    numeric : list
        Numbers at their own grain with their outliers.
    order, concentration : dict
    drift : dict, optional
        Against the year before; None without one.
    as_of : str, optional
        Time of its last event.
    """

    year: str
    grades: list[dict[str, Any]]
    numeric: list[dict[str, Any]]
    order: dict[str, Any]
    concentration: dict[str, Any]
    drift: dict[str, Any] | None
    as_of: str | None

    @property
    def passed(self) -> int:
        """Grades within their limit."""
        return sum(grade["passed"] for grade in self.grades)

    @property
    def drifted(self) -> list[dict[str, Any]]:
        """Columns beyond their limit and beyond chance, the furthest first."""
        columns = self.drift["columns"] if self.drift else []
        return sorted((column for column in columns if column["drifted"]), key=lambda column: -column["times_limit"])


def report(scope: Scope, year: str) -> Report:
    """Quality of the delivery of `year`."""
    found = data.quality(scope.lake, year)
    try:
        shapes.check(found, _REPORT)
        if found["drift"] is not None:
            shapes.check(found["drift"], _DRIFT, "content.drift")
    except shapes.ShapeError as error:
        fact = f"it is not what this asset writes ({error})"
        raise data.DamagedFileError(scope.lake.quality(year), ASSET, fact) from error
    parts = {name: found[name] for name in ("grades", "numeric", "order", "concentration", "drift")}
    return Report(year, **parts, as_of=found["time"]["last_event_time"])
