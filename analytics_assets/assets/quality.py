"""Group ``features``: the quality of a year.

Put here: the asset ``data_quality``. Keep out: its figures (``core/features/quality.py``), its limits
(``core/features/grades.py``) and its checks (``checks/quality.py``).
"""

import time
from datetime import UTC, datetime

import dagster as dg

from analytics_assets.assets.features import YEARLY
from analytics_assets.checks.quality import check_quality, check_recency, quality_check_specs
from analytics_assets.core.files import read_json, sha256_of, write_json
from analytics_assets.core.settings import load_settings
from analytics_assets.metadata import attributes, cost, document_schema, failing_clearly, file_metadata
from analytics_assets.partitions import checked_by_year
from analytics_assets.resources.lake import LakeResource, in_lake

CODE_VERSION = "2"

_SECTIONS = {
    "ingestion": "Records seen, loaded, dropped and quarantined, with reasons.",
    "waterfall": "Every cleaning step of the profile: rows and columns before and after, rule, examples.",
    "columns": "clean_events by column: nulls, distinct values, share of the most frequent, range.",
    "numeric": "Numbers at their own grain: moments, quartiles, outliers by Tukey fences and by z-score.",
    "imbalance": "Categories: most frequent value, entropy, effective number of values.",
    "correlations": "Pearson and Spearman between the numbers of user_features and of sessions.",
    "time": "Range, events outside the year by year, upload delay.",
    "clock": "Device clocks against the server's.",
    "order": "Steps inside sessions whose order is not certain: ties and bursts.",
    "identity": "Actors, users, devices, sessions, and events that name nobody.",
    "geography": "How each place is known, and how often imputation is right.",
    "concentration": "Headline figures with and without the most active actor; classes of actors.",
    "drift": "PSI and Jensen-Shannon divergence by column against the year before; null without one.",
    "grades": "Figures against the limits of analytics.toml.",
}


@dg.asset(
    group_name="features",
    deps=["event_chunks", "actors", "clean_events", "dropped_events", "sessions", "user_features"],
    code_version=CODE_VERSION,
    check_specs=checked_by_year(quality_check_specs()),
    **YEARLY,
    **attributes(document_schema(_SECTIONS), layer="feature", kinds={"duckdb", "json"}),
)
@in_lake
def data_quality(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
    """Quality of the year: completeness, ranges, outliers, clocks, order, places, concentration on one actor, drift
    against the year before, the waterfall of its cleaning, and a grade of each against its limit."""
    from analytics_assets.core.features.engine import open_engine
    from analytics_assets.core.features.quality import quality_report

    year, data, started = context.partition_key, lake.lake, time.perf_counter()
    path = data.quality(year)
    with failing_clearly(path), open_engine(data.staging() / "duckdb") as engine:
        manifest = read_json(data.manifest(year))
        settings = load_settings(data)
        report = quality_report(engine, data, year, manifest, settings)
        write_json(path, report)
    beyond = [grade["name"] for grade in report["grades"] if not grade["passed"]]
    context.log.info(f"{len(report['grades']) - len(beyond)} of {len(report['grades'])} grades pass")
    return dg.MaterializeResult(
        data_version=dg.DataVersion(sha256_of(path)),
        metadata={
            "grades": dg.MetadataValue.table(
                [
                    dg.TableRecord(
                        {
                            "grade": grade["name"],
                            "value": "not measured" if grade["value"] is None else f"{grade['value']:.4g}",
                            "limit": grade["limit"],
                            "passed": grade["passed"],
                        }
                    )
                    for grade in report["grades"]
                ]
            ),
            "waterfall": dg.MetadataValue.table(
                [
                    dg.TableRecord({name: step[name] for name in ("step", "rows_before", "rows_after")})
                    for step in report["waterfall"]
                ]
            ),
            "events_outside_year": report["time"]["events_outside_year"],
            "upload_delay": report["time"]["upload_delay"],
            "identity": report["identity"],
            "raw_digest": manifest["raw_digest"],
            **cost(started),
            **file_metadata(path),
        },
        check_results=[
            *check_quality(report),
            check_recency(report, year, settings.quality.max_age_days, datetime.now(UTC)),
        ],
    )
