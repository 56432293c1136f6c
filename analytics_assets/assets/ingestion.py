"""Group ``ingestion``: the raw exports and the chunks made from them.

Put here: assets that read ``raw/``. Keep out: parsing (``core/ingest``).
"""

from itertools import count
from typing import Any

import dagster as dg

from analytics_assets.checks.reconciliation import (
    check_complete,
    check_conservation,
    complete_check_spec,
    conservation_check_spec,
)
from analytics_assets.core.files import READ_BLOCK, sha256_of
from analytics_assets.core.ingest.quarantine import read_quarantine
from analytics_assets.core.ingest.records import SOURCE_FIELDS
from analytics_assets.core.ingest.run import Progress, ingest_year
from analytics_assets.core.ingest.sources import digest_of, list_sources
from analytics_assets.core.lake import Lake
from analytics_assets.metadata import attributes, column_schema, document_schema, failing_clearly
from analytics_assets.partitions import event_years
from analytics_assets.resources.lake import LakeResource
from analytics_assets.schemas import EVENT_CHUNKS

RAW_FIELDS = dict.fromkeys(sorted(SOURCE_FIELDS), "Delivered, not carried into the chunks.") | {
    column.name: column.description for column in EVENT_CHUNKS.columns
}
"""Keys of a delivered record with their meaning."""

LOG_EVERY_PROGRESS = 10
"""Progress reports per log line: one line per 50,000 records keeps the event log small."""


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
    ]
)
def raw_export(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.ObserveResult:
    """Observe one year's files."""
    folder = lake.lake.raw(context.partition_key)
    with failing_clearly(folder):
        sources = list_sources(folder)
        digest = digest_of({source.name: sha256_of(source.path) for source in sources})
    return dg.ObserveResult(
        asset_key="raw_export",
        data_version=dg.DataVersion(digest),
        metadata={
            "files": len(sources),
            "size_bytes": sum(source.path.stat().st_size for source in sources),
            "folder": dg.MetadataValue.path(str(folder)),
            "raw_digest": digest,
        },
    )


@dg.asset(
    group_name="ingestion",
    deps=["raw_export"],
    partitions_def=event_years,
    backfill_policy=dg.BackfillPolicy.multi_run(1),
    check_specs=[conservation_check_spec(), complete_check_spec()],
    code_version="1",
    **attributes(column_schema(EVENT_CHUNKS), layer="ingestion", kinds={"python", "csv"}),
)
def event_chunks(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
    """Essential columns of every accepted event as CSV chunks of at most 100,000 records, with a manifest that accounts
    for every record delivered. Refused records lie in the quarantine with their exact bytes and the reason."""
    year, data = context.partition_key, lake.lake
    reports = count(1)

    def log_progress(progress: Progress) -> None:
        if next(reports) % LOG_EVERY_PROGRESS == 0:
            share = progress.bytes_read / max(1, progress.bytes_total)
            context.log.info(f"{progress.file}: {progress.records_seen:,} records, {share:.0%} of the bytes")

    with failing_clearly(data.root):
        manifest = ingest_year(data, year, progress=log_progress)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(sha256_of(data.manifest(year))),
        metadata=_chunk_metadata(data, year, manifest),
        check_results=[
            check_conservation(
                manifest, _csv_records(data, year), sum(1 for _ in read_quarantine(data.quarantine(year)))
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
        "quarantine_reasons": manifest["quarantine_reasons"],
        "coerced_values": manifest["coerced_values"],
        "chunks": len(manifest["chunks"]),
        "size_bytes": sum(chunk["bytes"] for chunk in manifest["chunks"]),
        "raw_digest": manifest["raw_digest"],
        "synthetic": lake.is_synthetic(),
        "manifest": dg.MetadataValue.path(str(lake.manifest(year))),
        "quarantine": dg.MetadataValue.path(str(lake.quarantine(year))),
    }


def _csv_records(lake: Lake, year: str) -> int:
    """Records in the published chunks, by counting line ends outside quotes: independent of the writer."""
    records = 0
    for path in sorted(lake.chunks(year).glob("part-*.csv")):
        quotes = 0
        with path.open("rb") as stream:
            while block := stream.read(READ_BLOCK):
                for place, piece in enumerate(block.split(b'"')):
                    quotes += place > 0
                    if quotes % 2 == 0:
                        records += piece.count(b"\n")
        records -= 1  # the header
    return records
