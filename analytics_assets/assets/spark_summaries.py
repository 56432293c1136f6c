"""Group ``spark_summaries``: what one year's events look like, computed by Spark from one scan.

Put here: the multi-asset over all summaries. Keep out: the aggregations (``core/summaries``).
"""

import time
from collections.abc import Iterator

import dagster as dg

from analytics_assets.checks.summaries import check_summary, summary_check_spec
from analytics_assets.checks.tables import check_schema, schema_check_spec
from analytics_assets.core.files import read_json, sha256_of, write_table
from analytics_assets.core.settings import load_settings
from analytics_assets.metadata import attributes, column_schema, cost, failing_clearly, file_metadata, preview
from analytics_assets.partitions import checked_by_year, event_years
from analytics_assets.resources.lake import LakeResource, in_lake
from analytics_assets.resources.spark import SparkResource
from analytics_assets.schemas import SUMMARY_TABLES


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            table.name,
            deps=["event_chunks", "actors"],
            group_name="spark_summaries",
            description=table.description,
            code_version="2",
            **attributes(column_schema(table), layer="summary", kinds={"pyspark", "parquet"}),
        )
        for table in SUMMARY_TABLES
    ],
    check_specs=checked_by_year(
        [
            *(schema_check_spec(table.name, table) for table in SUMMARY_TABLES),
            *(summary_check_spec(table.name) for table in SUMMARY_TABLES),
        ]
    ),
    partitions_def=event_years,
    can_subset=True,
    pool="spark",
)
@in_lake
def spark_summaries(
    context: dg.AssetExecutionContext, lake: LakeResource, spark: SparkResource
) -> Iterator[dg.MaterializeResult]:
    """Compute the selected summaries of one year in one Spark session."""
    from analytics_assets.core.run_log import SummaryLog
    from analytics_assets.core.summaries.run import summarize

    year, data, started = context.partition_key, lake.lake, time.perf_counter()
    wanted = {key.to_user_string() for key in context.selected_asset_keys}
    with failing_clearly(data.root):
        settings, manifest = load_settings(data), read_json(data.manifest(year))
        files = [data.chunks(year) / chunk["path"] for chunk in manifest["chunks"]]
        session = spark.session
        log = SummaryLog(data.spark_log(), year)
        session_seconds = time.perf_counter() - started
        log.begin(
            {
                "spark": session.version,
                "master": spark.master,
                "java": spark.java.version,
                "java_from": spark.java.origin,
                "events": manifest["total"]["loaded"],
                "files": len(files),
                "session_start_seconds": session_seconds,
            }
        )
        context.log.info(f"Java {spark.java.version} from {spark.java.origin}; Spark master {spark.master}")
        shared: dict[str, float] = {"shared_session_start_seconds": session_seconds}
        for result in summarize(session, files, data.feature("actors", year), year, settings, names=wanted):
            table, path = result.table, data.summary(year, result.table.name)
            rows = write_table(path, result.rows, table)
            log.add(result)
            shared |= {f"shared_{cost.name}_seconds": cost.seconds for cost in result.shared}
            context.log.info(f"{table.name}: {rows} rows in {result.cost.seconds:.1f} s")
            yield dg.MaterializeResult(
                asset_key=table.name,
                data_version=dg.DataVersion(sha256_of(path)),
                metadata={
                    "dagster/partition_row_count": rows,
                    "preview": preview(result.rows),
                    **cost(started),  # the seconds that follow are those of this summary alone
                    **result.cost.figures(),
                    **shared,
                    "raw_digest": manifest["raw_digest"],
                    **file_metadata(path),
                },
                check_results=[
                    check_schema(table.name, table, path),
                    check_summary(table.name, path, result.totals, manifest["total"]["loaded"]),
                ],
            )
        log.end({"wall_seconds": time.perf_counter() - started})
