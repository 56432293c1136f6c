"""Figures of the page "Devices & performance".

Put here: counts by device and percentiles of latency. Keep out: wording and drawing (``devices.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dashboards import selection
from dashboards.selection import Ranking, Scope

SYNCHRONISED = "abs(latency_ms) <= 60000"
"""Events whose device clock can be trusted, as in the published latencies: one clock that is a year off would own the
mean. A test keeps it equal to the pipeline's."""

DIMENSIONS = {
    "device_family": "device_family",
    "os_name": "os_name",
    "platform": "platform",
    "os_version": "CASE WHEN os_version IS NOT NULL THEN concat_ws(' ', os_name, os_version) END",
    "version_name": "version_name",
}
"""SQL of each device dimension; a version alone means nothing without what it is a version of."""

MEASURES = {
    "upload": f"CASE WHEN {SYNCHRONISED} THEN latency_ms END",
    "processing": "processing_ms",
}
"""SQL of each latency in milliseconds; null where it does not count."""

OTHER = "other"


@dataclass(frozen=True)
class Latency:
    """Latency of a group of events in milliseconds; None without an event that counts.

    Parameters
    ----------
    name : str, optional
        The group.
    events, left_out : int
        Events that count, and those without a time or with a clock that is off.
    mean, median, p95, p99 : float, optional
        Over the events that count.
    """

    name: str | None
    events: int
    left_out: int
    mean: float | None
    median: float | None
    p95: float | None
    p99: float | None


def ranking(scope: Scope, dimension: str, limit: int) -> Ranking:
    """Events by one of the `DIMENSIONS`, the most frequent first; a missing value is a row of its own."""
    found = selection.rows(
        scope,
        f"SELECT {DIMENSIONS[dimension]} AS name, count(*) FROM {{events}} GROUP BY name "
        f"ORDER BY 2 DESC, 1 NULLS LAST LIMIT {limit}",
    )
    return [(name, number) for name, number in found]


def events(scope: Scope) -> int:
    """Events in scope."""
    [(number,)] = selection.rows(scope, "SELECT count(*) FROM {events}")
    return number


def families_by_country(
    scope: Scope, countries: int, families: int
) -> tuple[list[str | None], list[str | None], list[list[int]]]:
    """Events of the largest countries by the largest device families, smaller ones together as `OTHER`.

    Returns
    -------
    rows, columns : list of str
        Countries as observed and device families, the most frequent first; None for a missing one.
    counted : list of list of int
        Events of each country by device family; a row's sum is the country's events.
    """
    counted: dict[str | None, dict[str | None, int]] = {}
    by_family: dict[str | None, int] = {}
    for country, family, number in selection.rows(
        scope, "SELECT observed_country, device_family, count(*) FROM {events} GROUP BY ALL"
    ):
        counted.setdefault(country, {})[family] = number
        by_family[family] = by_family.get(family, 0) + number
    rows = sorted(counted, key=lambda name: (-sum(counted[name].values()), name is None, name or ""))[:countries]
    shown = sorted(by_family, key=lambda name: (-by_family[name], name is None, name or ""))[:families]
    values = [[counted[row].get(family, 0) for family in shown] for row in rows]
    columns: Sequence[str | None] = shown
    if len(by_family) > len(shown):
        columns = [*shown, OTHER]
        values = [[*own, sum(counted[row].values()) - sum(own)] for row, own in zip(rows, values, strict=True)]
    return rows, list(columns), values


def latency(scope: Scope, measure: str, group: str = "NULL", limit: int = 1) -> list[Latency]:
    """One of the `MEASURES` by group, those with most events first.

    Parameters
    ----------
    scope : Scope
        The filters.
    measure : str
        Name in `MEASURES`.
    group : str
        SQL of a text over ``{events}``; one group without.
    limit : int
        Most groups.
    """
    return [
        Latency(name, number, left_out, mean, *(quantiles or (None, None, None)))
        for name, number, left_out, mean, quantiles in selection.rows(
            scope,
            f"""
            SELECT name, count(value), count(*) - count(value), avg(value), quantile_cont(value, [0.5, 0.95, 0.99])
            FROM (SELECT {group} AS name, {MEASURES[measure]} AS value FROM {{events}})
            GROUP BY name ORDER BY count(value) DESC, name NULLS LAST LIMIT {limit}
            """,
        )
    ]
