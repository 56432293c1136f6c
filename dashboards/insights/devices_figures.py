"""Figures of the page "Devices & performance".

Put here: counts by device and percentiles of latency. Keep out: wording and drawing (``devices.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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

_STATISTICS = "count(value), count(*) - count(value), avg(value), quantile_cont(value, [0.5, 0.95, 0.99])"


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


class Devices:
    """Events in scope by everything that is known of the device, counted in one pass."""

    def __init__(self, scope: Scope) -> None:
        columns = ", ".join(f"{sql} AS {name}_shown" for name, sql in DIMENSIONS.items())
        self._rows = selection.rows(
            scope, f"SELECT count(*), observed_country, {columns} FROM {{events}} GROUP BY ALL ORDER BY ALL"
        )

    @property
    def events(self) -> int:
        """All events."""
        return sum(row[0] for row in self._rows)

    def ranking(self, dimension: str, limit: int) -> Ranking:
        """Events by one of the `DIMENSIONS`, the most frequent first; a missing value is a row of its own."""
        place = 2 + list(DIMENSIONS).index(dimension)
        counted: dict[str | None, int] = {}
        for row in self._rows:
            counted[row[place]] = counted.get(row[place], 0) + row[0]
        return selection.largest(counted)[:limit]

    def families_by_country(
        self, countries: int, families: int
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
        for number, country, family, *_ in self._rows:
            own = counted.setdefault(country, {})
            own[family] = own.get(family, 0) + number
        totals = {country: sum(own.values()) for country, own in counted.items()}
        rows = [country for country, _ in selection.largest(totals)[:countries]]
        every = self.ranking("device_family", len(self._rows))
        columns = [family for family, _ in every[:families]]
        values = [[counted[row].get(family, 0) for family in columns] for row in rows]
        if len(every) > len(columns):
            columns = [*columns, OTHER]
            values = [[*own, totals[row] - sum(own)] for row, own in zip(rows, values, strict=True)]
        return rows, columns, values


@dataclass(frozen=True)
class Latencies:
    """Both latencies of the events in scope, the upload also by country and by hour.

    Parameters
    ----------
    upload, processing : Latency
        Of all events in scope.
    by_country : list of Latency
        Upload by country as observed, those with most events that count first.
    by_hour : list of Latency
        Upload by UTC hour of the event, "00" to "23", in this order.
    """

    upload: Latency
    processing: Latency
    by_country: list[Latency]
    by_hour: list[Latency]

    @classmethod
    def of(cls, scope: Scope) -> Latencies:
        """Counted in one pass over the upload, and one over the processing."""
        rows = selection.rows(
            scope,
            f"""
            SELECT grouping(country) = 0, grouping(hour) = 0, coalesce(country, hour), {_STATISTICS}
            FROM (
                SELECT observed_country AS country, lpad(hour(time)::VARCHAR, 2, '0') AS hour,
                    {MEASURES["upload"]} AS value
                FROM {{events}}
            ) GROUP BY GROUPING SETS ((), (country), (hour))
            """,
        )
        [processing] = selection.rows(
            scope, f"SELECT NULL, {_STATISTICS} FROM (SELECT {MEASURES['processing']} AS value FROM {{events}})"
        )
        [upload] = [_latency(row) for by_country, by_hour, *row in rows if not by_country and not by_hour]
        by_country = [_latency(row) for is_country, _, *row in rows if is_country]
        by_hour = [_latency(row) for _, is_hour, *row in rows if is_hour and row[0] is not None]
        return cls(
            upload,
            _latency(processing),
            sorted(by_country, key=lambda found: (-found.events, found.name is None, found.name or "")),
            sorted(by_hour, key=lambda found: found.name or ""),
        )


def _latency(row: Sequence[Any]) -> Latency:
    name, number, left_out, mean, quantiles = row
    return Latency(name, number, left_out, mean, *(quantiles or (None, None, None)))
