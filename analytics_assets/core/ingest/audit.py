"""Counting what is published by other means than it was written.

Put here: independent counts for the conservation check, and events that look like one sent twice. Keep out: the
judgement (``checks/reconciliation.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

from analytics_assets.core.features.engine import open_engine, raw_chunks
from analytics_assets.core.ingest.quarantine import read_quarantine
from analytics_assets.core.lake import Lake

VENDOR_WINDOW = "INTERVAL 7 DAY"
"""Within it the vendor drops a second event with the device and ``$insert_id`` of the first."""


@dataclass(frozen=True)
class Published:
    """What was found in one year's files.

    Parameters
    ----------
    rows : int
        Rows that DuckDB reads from the chunks.
    refused, refused_bytes : int
        Records in the quarantine, and their bytes.
    suspected_duplicates, suspected_later : int
        Events that repeat the project, device and ``$insert_id`` (without one: event id and device time) of another
        event under a new uuid, within the vendor's window and later. They are kept: only the uuid is an identity.
    """

    rows: int
    refused: int
    refused_bytes: int
    suspected_duplicates: int
    suspected_later: int


def count_published(lake: Lake, year: str) -> Published:
    """Read one year's chunks and quarantine."""
    with open_engine(lake.staging() / "duckdb") as engine:
        query = f"""
            SELECT count(*), count(*) FILTER (gap <= {VENDOR_WINDOW}), count(*) FILTER (gap > {VENDOR_WINDOW}) FROM (
                SELECT CASE WHEN device_id IS NOT NULL AND sent IS NOT NULL THEN time - lag(time) OVER again END AS gap
                FROM (SELECT app, device_id,
                          coalesce("$insert_id", 'event ' || event_id || ' ' || client_event_time) AS sent,
                          coalesce(event_time, client_event_time, server_received_time) AS time
                      FROM {raw_chunks(sorted(lake.chunks(year).glob("part-*.csv")))})
                WINDOW again AS (PARTITION BY app, device_id, sent ORDER BY time)
            )
        """
        [(rows, soon, later)] = engine.execute(query).fetchall()
    refused = refused_bytes = 0
    for record in read_quarantine(lake.quarantine(year)):
        refused += 1
        refused_bytes += len(record.raw)
    return Published(int(rows), refused, refused_bytes, int(soon), int(later))
