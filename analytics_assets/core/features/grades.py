"""Grades of a year: its quality figures against the limits of ``analytics.toml``.

Put here: which figure is held against which limit, and what is named when it is beyond. Keep out: the figures
(``quality.py``) and how a grade is shown (``checks/quality.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from analytics_assets.core.settings import Settings
from analytics_assets.schemas import CLEAN_EVENTS, EVENT_CHUNKS

WORST = 10
"""Offenders named by a grade: the first thing to look at, not a table."""

GRADED_COLUMNS = tuple(
    name
    for name in CLEAN_EVENTS.column_names
    if name in EVENT_CHUNKS.column_names or name in ("actor", "session_key", "latency_ms", "processing_ms")
)
"""Columns whose nulls are graded: what was delivered. Derived ones are null by their meaning, such as the time since
the event before for a first event."""

LATE = ("up to 7 days", "more than 7 days")
"""Upload delays that count as late: the figures of a day are read the day after."""

GRADES: Mapping[str, str] = {
    "nulls_within_limits": "Largest share of nulls of a delivered column; columns that may be empty are left out.",
    "times_within_year": "Share of events whose time lies outside the delivery year.",
    "clocks_synchronized": "Share of events whose device clock is more than a minute off, where both clocks are known.",
    "arrives_in_time": "Share of events uploaded more than a day after they happened, where both times are known.",
    "actors_known": "Share of events that name nobody: no id, or one that stands for nobody in particular.",
    "outliers_within_limits": "Largest share of values outside the Tukey fences of a number at its own grain.",
    "not_dominated_by_one_value": "Largest share of one value in a column that has several.",
    "not_dominated_by_one_actor": "Largest relative change of a headline figure without the most active actor.",
    "stable_against_previous_year": "Largest drift of a column against the year before, as a multiple of its limit "
    "(PSI or Jensen-Shannon divergence, whichever is more); within what chance gives it is 0.",
}
"""Every grade with what its value is."""


def grades(figures: Mapping[str, Any], settings: Settings) -> list[dict[str, Any]]:
    """Hold a year's figures against their limits.

    Parameters
    ----------
    figures : mapping
        Sections of the quality report.
    settings : Settings
        Limits: ``quality``, and ``actors.top_actor_limit``.

    Returns
    -------
    list of dict
        ``name``, ``what``, ``value`` (None: nothing to measure, which passes), ``limit``, ``passed`` and ``offenders``
        (``name`` and ``value`` of what is beyond the limit, worst first).
    """
    limits, identity, total = settings.quality, figures["identity"], figures["time"]["events"]
    nobody = {name: identity[name] for name in ("events_without_actor", "events_of_sentinels")}
    delays = figures["time"]["upload_delay"]
    late, known_delays = {name: delays[name] for name in LATE}, sum(delays.values()) - delays["unknown"]
    nulls = {
        column["column"]: column["null_share"]
        for column in figures["columns"]
        if column["column"] in GRADED_COLUMNS and column["column"] not in limits.optional_columns
    }
    outliers = {number["name"]: number["iqr"]["share"] for number in figures["numeric"] if number["count"]}
    tops = {
        column["column"]: column["top_share"]
        for column in figures["imbalance"]
        if column["distinct_values"] > 1 and column["column"] not in limits.optional_columns
    }
    changes = {
        headline["name"]: abs(headline["relative_change"])
        for headline in figures["concentration"]["headlines"]
        if headline["relative_change"] is not None
    }
    years = figures["time"]["outside_year_by_year"]
    skew = {name: count for name, count in figures["clock"]["skew"].items() if name != "within 1 minute"}
    return [
        _largest("nulls_within_limits", nulls if total else {}, limits.max_null_share),
        _share("times_within_year", years, total, limits.max_outside_year_share),
        _share("clocks_synchronized", skew, figures["clock"]["measured_events"], limits.max_skewed_clock_share),
        _share("arrives_in_time", late, known_delays, limits.max_late_share),
        _share("actors_known", nobody, total, limits.max_without_actor_share),
        _largest("outliers_within_limits", outliers, limits.max_outlier_share),
        _largest("not_dominated_by_one_value", tops, limits.max_imbalance_share),
        _largest("not_dominated_by_one_actor", changes, settings.actors.top_actor_limit),
        _largest("stable_against_previous_year", _drift(figures["drift"]), 1.0),
    ]


def _grade(name: str, value: float | None, limit: float, offenders: Iterable[tuple[str, float]]) -> dict[str, Any]:
    worst = sorted(offenders, key=lambda entry: (-entry[1], entry[0]))[:WORST]
    return {
        "name": name,
        "what": GRADES[name],
        "value": value,
        "limit": limit,
        "passed": value is None or value <= limit,
        "offenders": [{"name": offender, "value": found} for offender, found in worst],
    }


def _largest(name: str, values: Mapping[str, float], limit: float) -> dict[str, Any]:
    beyond = [(offender, value) for offender, value in values.items() if value > limit]
    return _grade(name, max(values.values(), default=None), limit, beyond)


def _share(name: str, parts: Mapping[str, int], whole: int, limit: float) -> dict[str, Any]:
    """Grade of the share that the parts make up together; each is an offender when that is too large."""
    value = sum(parts.values()) / whole if whole else None
    offenders = [(part, count / whole) for part, count in parts.items() if count] if (value or 0.0) > limit else []
    return _grade(name, value, limit, offenders)


def _drift(found: Mapping[str, Any] | None) -> dict[str, float]:
    """Drift of each column as a multiple of its limit."""
    columns = found["columns"] if found else []
    return {column["column"]: column["times_limit"] for column in columns if column["times_limit"] is not None}
