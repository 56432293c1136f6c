"""Figures of the delivery counted again from the ledger and the quarantine, with the span of each record.

Put here: records delivered, duplicates and refused ones, record by record. Keep out: what is counted from tables
(``recounts.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from analytics_assets.core.ingest.tracing import Origin
from analytics_assets.core.lake import Lake
from dashboards.processing import reading

FIGURES = ("records_seen", "duplicates", "quarantined")

CONFLICT = "identity_conflict"
"""Reason of refused records that were read as events and lost to another one of their uuid: the ledger has them too."""


@dataclass(frozen=True)
class Records:
    """How many records there are, and the first of them.

    Parameters
    ----------
    count : int
        Number of records.
    first : list of dict
        Delivery, what became of it, raw file and span of each.
    """

    count: int
    first: list[dict[str, Any]]


def records(lake: Lake, years: Sequence[str], name: str, limit: int) -> Records:
    """Records behind one of `FIGURES` over some deliveries.

    Parameters
    ----------
    lake, years
        Whose records.
    name : str
        One of `FIGURES`.
    limit : int
        Records listed.
    """
    total = 0
    first: list[dict[str, Any]] = []
    for year in years:
        number, listed = _of_year(lake, year, name, limit - len(first))
        total += number
        first += listed
    return Records(total, first)


def _of_year(lake: Lake, year: str, name: str, limit: int) -> tuple[int, list[dict[str, Any]]]:
    refused = reading.quarantine_counts(lake, year)
    conflicts = sum(number for (reason, _), number in refused.items() if reason == CONFLICT)
    all_refused = sum(refused.values())
    if name == "quarantined":
        return all_refused, [
            _row(year, f"refused: {record.reason}", reading.source_of(record), record.start, record.end)
            for record in reading.quarantine(lake, year)[:limit]
        ]
    if name == "duplicates":
        lost = _conflict_places(lake, year, conflicts)
        number, found = reading.records(lake, year, kept=False, limit=limit + len(lost))
        listed = [origin for origin in found if (origin.file, origin.member, origin.start) not in lost]
        return number - conflicts, [_of_origin(year, "dropped as a duplicate", origin) for origin in listed[:limit]]
    kept, found = reading.records(lake, year, kept=True, limit=limit)
    left_out, _ = reading.records(lake, year, kept=False, limit=0)
    forgotten = reading.manifest(lake, year)["total"]["forgotten"]
    total = kept + left_out + all_refused - conflicts + forgotten
    return total, [_of_origin(year, f"loaded into {origin.chunk}", origin) for origin in found]


def _conflict_places(lake: Lake, year: str, number: int) -> set[tuple[str, str, int]]:
    return {
        (record.file, record.member, record.start)
        for first in range(0, number, reading.PAGE_ROWS)
        for record in reading.quarantine(lake, year, CONFLICT, first=first)
    }


def _of_origin(year: str, fate: str, origin: Origin) -> dict[str, Any]:
    source = "!".join(filter(None, (origin.file, origin.member)))
    return _row(year, fate, source, origin.start, origin.end)


def _row(year: str, fate: str, source: str, start: int, end: int) -> dict[str, Any]:
    return {"Delivery": year, "What became of it": fate, "Raw file": source, "From byte": start, "To byte": end}
