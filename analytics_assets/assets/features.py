"""Group ``features``: actors, cleaned events, sessions, users and days.

Put here: assets that publish feature tables. Keep out: their queries (``core/features``) and the year's quality
(``quality.py``).
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from analytics_assets.checks.reconciliation import check_reconciliation, reconciliation_check_spec
from analytics_assets.checks.tables import check_schema, schema_check_spec
from analytics_assets.core.files import read_json, sha256_of, write_json
from analytics_assets.core.lake import Lake
from analytics_assets.core.settings import load_settings
from analytics_assets.metadata import (
    attributes,
    column_lineage,
    column_schema,
    cost,
    failing_clearly,
    file_metadata,
    preview,
)
from analytics_assets.partitions import checked_by_year, event_years
from analytics_assets.resources.lake import LakeResource, in_lake
from analytics_assets.schemas import (
    ACTORS,
    CLEAN_EVENTS,
    DAILY_METRICS,
    DROPPED_EVENTS,
    SESSIONS,
    USER_FEATURES,
    USER_PROFILES,
    Table,
)

YEARLY: dict[str, Any] = {"partitions_def": event_years}
CODE_VERSION = "2"


def _feature_asset(table: Table, *, deps: list[str], against: str) -> Any:
    """Decorator of an asset that publishes one feature table of a year and accounts for the rows of `against`."""
    return dg.asset(
        name=table.name,
        group_name="features",
        deps=deps,
        description=table.description,
        code_version=CODE_VERSION,
        check_specs=checked_by_year(
            [schema_check_spec(table.name, table), reconciliation_check_spec(table.name, against)]
        ),
        **YEARLY,
        **attributes(column_schema(table), layer="feature", kinds={"duckdb", "parquet"}),
    )


def _publish(
    lake: Lake, year: str, table: Table, query: Callable[[], str], *, accounted: str, expected: Callable[[], str] | int
) -> dg.MaterializeResult:
    """Publish one feature table and check it.

    `accounted` is an aggregate over the new table; it must equal `expected`, a number or a query for one.
    """
    from analytics_assets.core.features.engine import open_engine, parquet, publish

    path, started = lake.feature(table.name, year), time.perf_counter()
    with failing_clearly(path), open_engine(lake.staging() / "duckdb") as engine:
        publish(engine, query(), path, table)
        [(actual,)] = engine.execute(f"SELECT {accounted} FROM {parquet([path])}").fetchall()
        wanted = expected if isinstance(expected, int) else engine.execute(expected()).fetchall()[0][0]
    return dg.MaterializeResult(
        data_version=dg.DataVersion(sha256_of(path)),
        metadata={
            **_table_metadata(table.name, path, lake, year),
            **cost(started),
        },
        check_results=[
            check_schema(table.name, table, path),
            check_reconciliation(table.name, expected=int(wanted or 0), actual=int(actual or 0)),
        ],
    )


def _table_metadata(name: str, path: Path, lake: Lake, year: str) -> dict[str, Any]:
    """Rows, first rows, lineage and place of a published table, and the raw files that it was made from."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as published:
        head = next(published.iter_batches(batch_size=10), None)
        rows = published.metadata.num_rows
    return {
        "dagster/partition_row_count": rows,
        "dagster/column_lineage": column_lineage(name),
        **({"preview": preview(pa.Table.from_batches([head]))} if head is not None else {}),
        "raw_digest": read_json(lake.manifest(year))["raw_digest"],
        **file_metadata(path),
    }


def chunk_files(lake: Lake, year: str) -> list[Path]:
    """The year's chunks as its manifest names them."""
    return [lake.chunks(year) / chunk["path"] for chunk in read_json(lake.manifest(year))["chunks"]]


def _accepted(lake: Lake, year: str) -> str:
    """Relation of every accepted event of the year."""
    from analytics_assets.core.features.tables import accepted_events

    return accepted_events([lake.feature("clean_events", year)], [lake.feature("dropped_events", year)])


def _clean(lake: Lake, year: str) -> str:
    """Relation of the year's clean_events."""
    from analytics_assets.core.features.engine import parquet

    return parquet([lake.feature("clean_events", year)])


@_feature_asset(ACTORS, deps=["event_chunks"], against="the chunks' events with an actor")
@in_lake
def actors(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
    """Tell people from machines."""
    from analytics_assets.core.expressions import ACTOR
    from analytics_assets.core.features.actors import actors as query
    from analytics_assets.core.features.engine import normalized_chunks

    year, data = context.partition_key, lake.lake
    with failing_clearly(data.root):
        settings = load_settings(data)
    return _publish(
        data,
        year,
        ACTORS,
        lambda: query(chunk_files(data, year), settings),
        accounted="sum(events)",
        expected=lambda: f"SELECT count({ACTOR}) FROM {normalized_chunks(chunk_files(data, year))}",
    )


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            table.name,
            deps=["event_chunks", "actors"],
            group_name="features",
            description=table.description,
            code_version=CODE_VERSION,
            **attributes(column_schema(table), layer="feature", kinds={"duckdb", "parquet"}),
        )
        for table in (CLEAN_EVENTS, DROPPED_EVENTS)
    ],
    check_specs=checked_by_year(
        [
            schema_check_spec("clean_events", CLEAN_EVENTS),
            schema_check_spec("dropped_events", DROPPED_EVENTS),
            reconciliation_check_spec("clean_events", "the manifest's loaded records, with those of dropped_events"),
            reconciliation_check_spec("dropped_events", "the cleaning steps of the waterfall"),
        ]
    ),
    # Chosen only together, some backfills would be refused: Dagster may compare the two keys' equal years as unequal.
    can_subset=True,
    **YEARLY,
)
@in_lake
def cleaning(context: dg.AssetExecutionContext, lake: LakeResource) -> Iterator[dg.MaterializeResult]:
    """Interpret one year's events and set aside those that the cleaning profile removes.

    Both tables are published together whichever is chosen: they share the year's events between them.
    """
    from analytics_assets.core.features.cleaning import clean_year
    from analytics_assets.core.features.engine import open_engine

    year, data, started = context.partition_key, lake.lake, time.perf_counter()
    with failing_clearly(data.root), open_engine(data.staging() / "duckdb") as engine:
        settings, manifest = load_settings(data), read_json(data.manifest(year))
        report = clean_year(engine, data, year, manifest, settings)
        write_json(data.cleaning_report(year), report)
    steps = report["waterfall"]
    paths = {table.name: data.feature(table.name, year) for table in (CLEAN_EVENTS, DROPPED_EVENTS)}
    described = {name: _table_metadata(name, path, data, year) for name, path in paths.items()}
    rows = {name: found["dagster/partition_row_count"] for name, found in described.items()}
    removed = manifest["total"]["loaded"] - steps[-1]["rows_after"]
    context.log.info(f"{rows['clean_events']:,} events kept, {rows['dropped_events']:,} set aside")
    counts = {
        "clean_events": (manifest["total"]["loaded"], sum(rows.values())),
        "dropped_events": (removed, rows["dropped_events"]),
    }
    chosen = {key.to_user_string() for key in context.selected_asset_keys}
    for table in (CLEAN_EVENTS, DROPPED_EVENTS):
        expected, actual = counts[table.name]
        version = sha256_of(paths[table.name])
        metadata = {
            **described[table.name],
            "profile": report["profile"],
            "waterfall": dg.MetadataValue.table(
                [dg.TableRecord({name: step[name] for name in ("step", "rows_before", "rows_after")}) for step in steps]
            ),
            **cost(started),
        }
        if table.name not in chosen:
            # Published all the same, so recorded all the same.
            tags = {"dagster/data_version": version}
            context.log_event(dg.AssetMaterialization(table.name, metadata=metadata, partition=year, tags=tags))
            continue
        yield dg.MaterializeResult(
            asset_key=table.name,
            data_version=dg.DataVersion(version),
            metadata=metadata,
            check_results=[
                check_schema(table.name, table, paths[table.name]),
                check_reconciliation(table.name, expected=expected, actual=actual),
            ],
        )


@_feature_asset(SESSIONS, deps=["clean_events", "dropped_events"], against="all accepted events inside sessions")
@in_lake
def sessions(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
    """Group one year's events into sessions."""
    from analytics_assets.core.features import tables

    year, data = context.partition_key, lake.lake
    return _publish(
        data,
        year,
        SESSIONS,
        lambda: tables.sessions(_accepted(data, year), year),
        accounted="sum(events)",
        expected=lambda: f"SELECT count(session_key) FROM {_accepted(data, year)}",
    )


@_feature_asset(USER_FEATURES, deps=["clean_events", "sessions"], against="clean_events with an actor")
@in_lake
def user_features(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
    """Describe every actor of one year."""
    from analytics_assets.core.features import tables

    year, data = context.partition_key, lake.lake
    return _publish(
        data,
        year,
        USER_FEATURES,
        lambda: tables.user_features(_clean(data, year), [data.feature("sessions", year)]),
        accounted="sum(events)",
        expected=lambda: f"SELECT count(actor) FROM {_clean(data, year)}",
    )


@_feature_asset(USER_PROFILES, deps=["clean_events"], against="clean_events with an actor")
@in_lake
def user_profiles(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
    """Spread every actor's events over event types, screens and hours."""
    from analytics_assets.core.features import tables

    year, data = context.partition_key, lake.lake
    return _publish(
        data,
        year,
        USER_PROFILES,
        lambda: tables.user_profiles(_clean(data, year)),
        accounted="sum(events) FILTER (dimension = 'event_type')",
        expected=lambda: f"SELECT count(actor) FROM {_clean(data, year)}",
    )


@_feature_asset(DAILY_METRICS, deps=["clean_events", "sessions"], against="clean_events")
@in_lake
def daily_metrics(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
    """Count one year by day."""
    from analytics_assets.core.features import tables

    year, data = context.partition_key, lake.lake
    return _publish(
        data,
        year,
        DAILY_METRICS,
        lambda: tables.daily_metrics(_clean(data, year), [data.feature("sessions", year)], [year]),
        accounted="sum(events)",
        expected=lambda: f"SELECT count(*) FROM {_clean(data, year)}",
    )
