"""Group ``spark_summaries``: what one year's events look like, computed by Spark from one scan.

Put here: the multi-asset over all summaries. Keep out: the aggregations (``core/summaries.py``).
"""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from analytics_assets.checks.reconciliation import check_reconciliation, reconciliation_check_spec
from analytics_assets.checks.tables import check_schema, schema_check_spec
from analytics_assets.core.files import read_json, sha256_of, write_table
from analytics_assets.metadata import attributes, column_schema, failing_clearly, file_metadata, preview
from analytics_assets.partitions import event_years
from analytics_assets.resources.lake import LakeResource
from analytics_assets.resources.spark import SparkResource
from analytics_assets.schemas import SPARK_DATASET_OVERVIEW, SPARK_TEMPORAL_PATTERNS, SUMMARY_TABLES

RECONCILED = {
    SPARK_DATASET_OVERVIEW.name: "column_name = 'uuid'",
    SPARK_TEMPORAL_PATTERNS.name: "granularity = 'date'",
    "spark_geography": "level = 'country'",
    "spark_device_usage": "dimension = 'platform'",
}
"""Rows of a summary whose events add up to all events of the year."""


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            table.name,
            deps=["event_chunks"],
            group_name="spark_summaries",
            description=table.description,
            code_version="1",
            **attributes(column_schema(table), layer="summary", kinds={"pyspark", "parquet"}),
        )
        for table in SUMMARY_TABLES
    ],
    check_specs=[
        *(schema_check_spec(table.name, table) for table in SUMMARY_TABLES),
        *(reconciliation_check_spec(name, "event_chunks") for name in RECONCILED),
    ],
    partitions_def=event_years,
    backfill_policy=dg.BackfillPolicy.multi_run(1),
    can_subset=True,
    pool="spark",
)
def spark_summaries(
    context: dg.AssetExecutionContext, lake: LakeResource, spark: SparkResource
) -> Iterator[dg.MaterializeResult]:
    """Compute the selected summaries of one year in one Spark session."""
    from analytics_assets.core.run_log import append_summary_log
    from analytics_assets.core.summaries import summarize

    year, data = context.partition_key, lake.lake
    manifest = read_json(data.manifest(year))
    files = [data.chunks(year) / chunk["path"] for chunk in manifest["chunks"]]
    wanted = {key.to_user_string() for key in context.selected_asset_keys}
    context.log.info(f"Java {spark.java.version} from {spark.java.origin}; Spark master {spark.master}")
    with failing_clearly(data.root):
        for result in summarize(spark.session, files, [t.name for t in SUMMARY_TABLES if t.name in wanted]):
            table, path = result.table, data.summary(year, result.table.name)
            rows = write_table(path, result.rows, table)
            append_summary_log(data.spark_log(), year, result)
            context.log.info(f"{table.name}: {rows} rows in {result.seconds:.1f} s")
            checks = [check_schema(table.name, table, path)]
            if table.name in RECONCILED:
                checks.append(
                    check_reconciliation(
                        table.name,
                        expected=manifest["total"]["loaded"],
                        actual=_events_in(path, RECONCILED[table.name]),
                    )
                )
            yield dg.MaterializeResult(
                asset_key=table.name,
                data_version=dg.DataVersion(sha256_of(path)),
                metadata={
                    "dagster/partition_row_count": rows,
                    "preview": preview(result.rows),
                    "seconds": result.seconds,
                    "jvm_heap_mb": result.heap_mb,
                    "python_rss_mb": result.rss_mb,
                    "raw_digest": manifest["raw_digest"],
                    **file_metadata(path),
                },
                check_results=checks,
            )


def _events_in(path: Path, condition: str) -> int:
    import duckdb

    from analytics_assets.core.features.engine import parquet

    query = f"SELECT coalesce(sum(events), 0) FROM {parquet([path])} WHERE {condition}"
    [(events,)] = duckdb.execute(query).fetchall()
    return int(events)
