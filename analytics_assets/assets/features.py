"""Group ``features``: cleaned events, sessions, actors, days and the year's quality.

Put here: assets that publish feature tables. Keep out: their queries (``core/features``).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg

from analytics_assets.checks.reconciliation import check_reconciliation, reconciliation_check_spec
from analytics_assets.checks.tables import check_schema, schema_check_spec
from analytics_assets.core.files import read_json, sha256_of, write_json
from analytics_assets.core.lake import Lake
from analytics_assets.metadata import (
    attributes,
    column_schema,
    document_schema,
    failing_clearly,
    file_metadata,
    preview,
)
from analytics_assets.partitions import event_years
from analytics_assets.resources.lake import LakeResource
from analytics_assets.schemas import CLEAN_EVENTS, DAILY_METRICS, SESSIONS, USER_FEATURES, Table

YEARLY: dict[str, Any] = {
    "group_name": "features",
    "partitions_def": event_years,
    "backfill_policy": dg.BackfillPolicy.multi_run(1),
    "code_version": "1",
}

QUALITY_FIELDS = {
    "quality_version": "Version of this layout.",
    "year": "Delivery year.",
    "raw_digest": "Digest of the raw files.",
    "ingestion": "Records seen, loaded, duplicates and quarantined, and the reasons of refusal.",
    "waterfall": "Every step from the delivered records to clean_events: rule, rows and columns before and after.",
    "columns": "Nulls and distinct values of every column of clean_events.",
    "time": "First and last event, events outside the year, delay of the upload.",
    "identity": "Actors, users, devices, sessions, and events without them.",
}


def _checks(table: Table, against: str) -> list[dg.AssetCheckSpec]:
    return [schema_check_spec(table.name, table), reconciliation_check_spec(table.name, against)]


def _publish(
    lake: Lake, year: str, table: Table, query: Callable[[], str], *, accounted: str, expected: str | int
) -> dg.MaterializeResult:
    """Publish one feature table and check it.

    `accounted` is an aggregate over the new table; it must equal `expected`, a number or an aggregate over the year's
    clean_events.
    """
    import pyarrow.parquet as pq

    from analytics_assets.core.features.engine import open_engine, parquet, publish

    path = lake.feature(table.name, year)
    with failing_clearly(path), open_engine(lake.staging() / "duckdb") as engine:
        rows = publish(engine, query(), path, table)
        [(actual,)] = engine.execute(f"SELECT {accounted} FROM {parquet([path])}").fetchall()
        wanted = expected
        if isinstance(expected, str):
            clean = parquet([lake.feature("clean_events", year)])
            [(wanted,)] = engine.execute(f"SELECT {expected} FROM {clean}").fetchall()
    with pq.ParquetFile(path) as published:
        head = next(published.iter_batches(batch_size=10), None)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(sha256_of(path)),
        metadata={
            "dagster/partition_row_count": rows,
            **({"preview": preview(_table_of(head))} if head is not None else {}),
            "raw_digest": read_json(lake.manifest(year))["raw_digest"],
            **file_metadata(path),
        },
        check_results=[
            check_schema(table.name, table, path),
            check_reconciliation(table.name, expected=int(wanted or 0), actual=int(actual or 0)),
        ],
    )


def _table_of(batch: Any) -> Any:
    import pyarrow as pa

    return pa.Table.from_batches([batch])


def _chunk_files(lake: Lake, year: str) -> list[Path]:
    return [lake.chunks(year) / chunk["path"] for chunk in read_json(lake.manifest(year))["chunks"]]


@dg.asset(
    deps=["event_chunks"],
    description=CLEAN_EVENTS.description,
    check_specs=_checks(CLEAN_EVENTS, "the manifest's loaded records"),
    **YEARLY,
    **attributes(column_schema(CLEAN_EVENTS), layer="feature", kinds={"duckdb", "parquet"}),
)
def clean_events(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
    """Normalize one year's chunks."""
    from analytics_assets.core.features import tables

    year, data = context.partition_key, lake.lake
    return _publish(
        data,
        year,
        CLEAN_EVENTS,
        lambda: tables.clean_events(_chunk_files(data, year), year),
        accounted="count(*)",
        expected=int(read_json(data.manifest(year))["total"]["loaded"]),
    )


@dg.asset(
    deps=["clean_events"],
    description=SESSIONS.description,
    check_specs=_checks(SESSIONS, "clean_events inside sessions"),
    **YEARLY,
    **attributes(column_schema(SESSIONS), layer="feature", kinds={"duckdb", "parquet"}),
)
def sessions(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
    """Group one year's events into sessions."""
    from analytics_assets.core.features import tables

    year, data = context.partition_key, lake.lake
    clean = data.feature("clean_events", year)
    return _publish(
        data,
        year,
        SESSIONS,
        lambda: tables.sessions([clean], year),
        accounted="sum(events)",
        expected="count(session_key)",
    )


@dg.asset(
    deps=["clean_events", "sessions"],
    description=USER_FEATURES.description,
    check_specs=_checks(USER_FEATURES, "clean_events with an actor"),
    **YEARLY,
    **attributes(column_schema(USER_FEATURES), layer="feature", kinds={"duckdb", "parquet"}),
)
def user_features(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
    """Describe every actor of one year."""
    from analytics_assets.core.features import tables

    year, data = context.partition_key, lake.lake
    clean, visits = data.feature("clean_events", year), data.feature("sessions", year)
    return _publish(
        data,
        year,
        USER_FEATURES,
        lambda: tables.user_features([clean], [visits]),
        accounted="sum(events)",
        expected="count(actor)",
    )


@dg.asset(
    deps=["clean_events", "sessions"],
    description=DAILY_METRICS.description,
    check_specs=_checks(DAILY_METRICS, "clean_events"),
    **YEARLY,
    **attributes(column_schema(DAILY_METRICS), layer="feature", kinds={"duckdb", "parquet"}),
)
def daily_metrics(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
    """Count one year by day."""
    from analytics_assets.core.features import tables

    year, data = context.partition_key, lake.lake
    clean, visits = data.feature("clean_events", year), data.feature("sessions", year)
    return _publish(
        data,
        year,
        DAILY_METRICS,
        lambda: tables.daily_metrics([clean], [visits]),
        accounted="sum(events)",
        expected="count(*)",
    )


@dg.asset(
    deps=["event_chunks", "clean_events"],
    **YEARLY,
    **attributes(document_schema(QUALITY_FIELDS), layer="quality", kinds={"duckdb", "json"}),
)
def data_quality(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
    """Quality figures of the year and the row waterfall: every step from the delivered records to clean_events with
    rows and columns before and after."""
    from analytics_assets.core.features.engine import open_engine
    from analytics_assets.core.features.quality import quality_report

    year, data = context.partition_key, lake.lake
    path = data.quality(year)
    with failing_clearly(path), open_engine(data.staging() / "duckdb") as engine:
        manifest = read_json(data.manifest(year))
        report = quality_report(engine, manifest, _chunk_files(data, year), data.feature("clean_events", year))
        write_json(path, report)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(sha256_of(path)),
        metadata={
            "waterfall": dg.MetadataValue.table(
                [
                    dg.TableRecord(
                        {"step": step["step"], "rows_before": step["rows_before"], "rows_after": step["rows_after"]}
                    )
                    for step in report["waterfall"]
                ]
            ),
            "events_outside_year": report["time"]["events_outside_year"],
            "upload_delay": report["time"]["upload_delay"],
            "identity": report["identity"],
            "raw_digest": manifest["raw_digest"],
            **file_metadata(path),
        },
    )
