"""Quality figures of one year and the row waterfall of its cleaning.

Put here: what ``quality/<year>.json`` holds. Keep out: the cleaning itself (``tables.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from analytics_assets.core.features.engine import normalized_chunks, parquet, raw_chunks
from analytics_assets.schemas import CLEAN_EVENTS, EVENT_CHUNKS

QUALITY_VERSION = 1

LATE_BUCKETS = (("up to 1 minute", 60), ("up to 1 hour", 3_600), ("up to 1 day", 86_400), ("up to 7 days", 604_800))
"""Upload delay after the event: upper ends in seconds; the rest is "more than 7 days"."""

DROPPED_COLUMNS = {
    "$insert_id": "only served deduplication, which is done",
    "app": "one project per lake",
    "event_time": "became time",
    "client_event_time": "became time",
    "client_upload_time": "became latency_ms",
    "server_received_time": "became latency_ms and processing_ms",
    "server_upload_time": "only says how the export was cut",
    "processed_time": "became processing_ms",
    "dma": "exists for one country only",
    "library": "a property of the sender, not of the user",
    "ip_address": "personal, and its meaning is in country, region and city",
    "event_properties": "nested; kept in the chunks under the same uuid",
    "user_properties": "nested; kept in the chunks under the same uuid",
}
"""Columns of the chunks that clean_events does not carry, with the reason."""


def quality_report(
    engine: duckdb.DuckDBPyConnection, manifest: dict[str, Any], chunks: Sequence[Path], clean: Path
) -> dict[str, Any]:
    """Quality figures of one year.

    Parameters
    ----------
    engine : duckdb.DuckDBPyConnection
        Open connection.
    manifest : dict
        Manifest of the chunks.
    chunks : sequence of Path
        The chunks.
    clean : Path
        The year's clean_events.

    Returns
    -------
    dict
        ``ingestion`` (counts), ``waterfall`` (steps with rows and columns before and after), ``columns`` (nulls and
        distinct values), ``time`` (range, rows outside the year, upload delay), ``identity`` (actors, sessions).
    """
    table = parquet([clean])
    rows = _one(engine, f"SELECT count(*) FROM {table}")[0]
    return {
        "quality_version": QUALITY_VERSION,
        "year": manifest["year"],
        "raw_digest": manifest["raw_digest"],
        "ingestion": {**manifest["total"], "reasons": manifest["quarantine_reasons"]},
        "waterfall": _waterfall(engine, manifest, chunks, rows),
        "columns": _columns(engine, table, rows),
        "time": _time(engine, chunks, table),
        "identity": _identity(engine, table),
    }


def _one(engine: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    [row] = engine.execute(query).fetchall()
    return tuple(row)


def _waterfall(
    engine: duckdb.DuckDBPyConnection, manifest: dict[str, Any], chunks: Sequence[Path], rows: int
) -> list[dict[str, Any]]:
    total = manifest["total"]
    tokens = {c.name: c.null_tokens for c in EVENT_CHUNKS.columns if c.null_tokens}
    counts = ", ".join(
        f'count(*) FILTER ("{name}" IN ({", ".join(repr(token) for token in values)}))'
        for name, values in tokens.items()
    )
    changed = dict(zip(tokens, _one(engine, f"SELECT {counts} FROM {raw_chunks(chunks)}"), strict=True))
    chunk_columns, clean_columns = len(EVENT_CHUNKS.columns), len(CLEAN_EVENTS.columns)
    added = [name for name in CLEAN_EVENTS.column_names if name not in EVENT_CHUNKS.column_names]
    steps: list[tuple[str, str, int, int, int, int, dict[str, Any]]] = [
        (
            "refuse",
            "Records that cannot be read as events go to the quarantine.",
            total["records_seen"],
            total["records_seen"] - total["quarantined"],
            chunk_columns,
            chunk_columns,
            manifest["quarantine_reasons"],
        ),
        (
            "drop exact duplicates",
            "Re-delivered records: same uuid, same content.",
            total["records_seen"] - total["quarantined"],
            total["loaded"],
            chunk_columns,
            chunk_columns,
            {},
        ),
        (
            "normalize nulls",
            "Texts that mean no value become null.",
            total["loaded"],
            total["loaded"],
            chunk_columns,
            chunk_columns,
            {name: count for name, count in changed.items() if count},
        ),
        (
            "derive identity",
            f"Adds {', '.join(added)}.",
            total["loaded"],
            total["loaded"],
            chunk_columns,
            chunk_columns + len(added),
            {},
        ),
        (
            "drop columns",
            "Columns that no later step needs.",
            total["loaded"],
            rows,
            chunk_columns + len(added),
            clean_columns,
            DROPPED_COLUMNS,
        ),
    ]
    return [
        {
            "step": name,
            "rule": rule,
            "rows_before": before,
            "rows_after": after,
            "columns_before": columns_before,
            "columns_after": columns_after,
            "details": details,
        }
        for name, rule, before, after, columns_before, columns_after, details in steps
    ]


def _columns(engine: duckdb.DuckDBPyConnection, table: str, rows: int) -> list[dict[str, Any]]:
    names = CLEAN_EVENTS.column_names
    figures = _one(engine, f"SELECT {', '.join(f'count({n}), count(DISTINCT {n})' for n in names)} FROM {table}")
    return [
        {
            "column": name,
            "nulls": rows - figures[2 * place],
            "null_share": (rows - figures[2 * place]) / rows if rows else 0.0,
            "distinct_values": figures[2 * place + 1],
        }
        for place, name in enumerate(names)
    ]


def _time(engine: duckdb.DuckDBPyConnection, chunks: Sequence[Path], table: str) -> dict[str, Any]:
    first, last, outside = _one(
        engine, f"SELECT min(time)::VARCHAR, max(time)::VARCHAR, count(*) FILTER (outside_year) FROM {table}"
    )
    delay = "date_diff('microsecond', client_event_time, server_upload_time) / 1e6"
    labels = "CASE WHEN delay IS NULL THEN 'unknown' " + "".join(
        f"WHEN delay <= {end} THEN '{name}' " for name, end in LATE_BUCKETS
    )
    counted = dict(
        engine.execute(
            f"SELECT {labels} ELSE 'more than 7 days' END, count(*) "
            f"FROM (SELECT {delay} AS delay FROM {normalized_chunks(chunks)}) GROUP BY ALL"
        ).fetchall()
    )
    order = [name for name, _ in LATE_BUCKETS] + ["more than 7 days", "unknown"]
    return {
        "first_event_time": first,
        "last_event_time": last,
        "events_outside_year": outside,
        "upload_delay": {name: counted.get(name, 0) for name in order},
    }


def _identity(engine: duckdb.DuckDBPyConnection, table: str) -> dict[str, Any]:
    names = ("actors", "users", "devices", "sessions", "events_without_actor", "events_without_session", "tied_events")
    figures = _one(
        engine,
        f"""
        SELECT count(DISTINCT actor), count(DISTINCT user_id), count(DISTINCT device_id), count(DISTINCT session_key),
            count(*) FILTER (actor IS NULL), count(*) FILTER (session_key IS NULL),
            (SELECT coalesce(sum(n), 0)::BIGINT FROM (
                SELECT count(*) AS n FROM {table} WHERE session_key IS NOT NULL GROUP BY session_key, time
            ) WHERE n > 1)
        FROM {table}
        """,
    )
    return dict(zip(names, figures, strict=True))
