"""Group ``ingestion``: the raw exports and the chunks made from them.

Put here: assets that read ``raw/``. Keep out: parsing (``core/ingest``).
"""

import time
from datetime import timedelta
from typing import Any

import dagster as dg

from analytics_assets.checks.deliveries import check_delivery, delivered_before, delivery_check_spec
from analytics_assets.checks.reconciliation import (
    check_complete,
    check_conservation,
    complete_check_spec,
    conservation_check_spec,
)
from analytics_assets.core.files import sha256_of
from analytics_assets.core.ingest.digests import raw_digests
from analytics_assets.core.ingest.records import SOURCE_FIELDS
from analytics_assets.core.ingest.sources import digest_of
from analytics_assets.core.lake import Lake
from analytics_assets.metadata import attributes, column_schema, cost, document_schema, failing_clearly
from analytics_assets.partitions import checked_by_year, event_years
from analytics_assets.resources.lake import LakeResource, in_lake
from analytics_assets.schemas import EVENT_CHUNKS

RAW_FIELDS = dict.fromkeys(sorted(SOURCE_FIELDS), "Delivered, not carried into the chunks.") | {
    column.name: column.description for column in EVENT_CHUNKS.columns
}
"""Keys of a delivered record with their meaning."""

FRESH = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=4), warn_window=timedelta(days=2))
"""A source that delivers daily may miss a weekend. This looks at the asset, not at a year: a check of ``data_quality``
looks at the age of the newest event."""

LOG_EVERY_SECONDS = 5.0
"""Time between two log lines: a year of gigabytes gives some dozens."""


@dg.multi_observable_source_asset(
    specs=[
        dg.AssetSpec(
            "raw_export",
            group_name="ingestion",
            description="The year's event exports as delivered into raw/<year>/: JSON arrays or NDJSON, plain, gzipped "
            "or zipped. Never written to. Observing it records the digest of the files.",
            code_version="1",
            partitions_def=event_years,
            **attributes(document_schema(RAW_FIELDS), layer="raw", kinds={"json"}),
        )
    ],
    check_specs=checked_by_year([delivery_check_spec()]),
)
@in_lake
def raw_export(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.ObserveResult:
    """Observe one year's files."""
    started = time.perf_counter()
    folder = lake.lake.raw(context.partition_key)
    with failing_clearly(folder):
        digests = raw_digests(lake.lake, context.partition_key)
        digest = digest_of(digests)
    return dg.ObserveResult(
        asset_key="raw_export",
        data_version=dg.DataVersion(digest),
        metadata={
            "files": len(digests),
            "size_bytes": sum((folder / name).stat().st_size for name in digests),
            "folder": dg.MetadataValue.path(str(folder)),
            "raw_digest": digest,
            **cost(started),
        },
        check_results=[check_delivery(digests, delivered_before(lake.lake, context.partition_key))],
    )


@dg.asset(
    group_name="ingestion",
    deps=["raw_export"],
    partitions_def=event_years,
    freshness_policy=FRESH,
    check_specs=checked_by_year([conservation_check_spec(), complete_check_spec()]),
    code_version="2",
    **attributes(column_schema(EVENT_CHUNKS), layer="ingestion", kinds={"python", "csv"}),
)
@in_lake
def event_chunks(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
    """Essential columns of every accepted event as CSV chunks of at most 100,000 records, with a manifest that accounts
    for every record delivered. Refused records lie in the quarantine with their exact bytes and the reason."""
    from analytics_assets.core.ingest.audit import count_published
    from analytics_assets.core.ingest.run import Progress, ingest_year

    year, data, started = context.partition_key, lake.lake, time.perf_counter()
    last = time.monotonic()

    def log_progress(progress: Progress) -> None:
        nonlocal last
        if time.monotonic() - last >= LOG_EVERY_SECONDS:
            last = time.monotonic()
            share = progress.bytes_read / max(1, progress.bytes_total)
            context.log.info(f"{progress.file}: {progress.records_seen:,} records, {share:.0%} of the bytes")

    with failing_clearly(data.root):
        manifest = ingest_year(data, year, progress=log_progress)
        found = count_published(data, year)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(sha256_of(data.manifest(year))),
        metadata=_chunk_metadata(data, year, manifest)
        | {
            "suspected_duplicates_within_7_days": found.suspected_duplicates,
            "suspected_duplicates_later": found.suspected_later,
            **cost(started),
        },
        check_results=[
            check_conservation(
                manifest,
                chunk_rows=found.rows,
                quarantine_rows=found.refused,
                quarantine_bytes=found.refused_bytes,
            ),
            check_complete(manifest),
        ],
    )


def _chunk_metadata(lake: Lake, year: str, manifest: dict[str, Any]) -> dict[str, Any]:
    total = manifest["total"]
    return {
        "dagster/partition_row_count": total["loaded"],
        "records_seen": total["records_seen"],
        "duplicates": total["duplicates"],
        "quarantined": total["quarantined"],
        "forgotten": total["forgotten"],
        "bytes_accounted_for": total["decompressed_bytes"],
        "privacy": manifest["privacy"],
        "quarantine_reasons": manifest["quarantine_reasons"],
        "coerced_values": manifest["coerced_values"],
        "chunks": len(manifest["chunks"]),
        "size_bytes": sum(chunk["bytes"] for chunk in manifest["chunks"]),
        "raw_digest": manifest["raw_digest"],
        "synthetic": lake.is_synthetic(),
        "manifest": dg.MetadataValue.path(str(lake.manifest(year))),
        "quarantine": dg.MetadataValue.path(str(lake.quarantine(year))),
    }
