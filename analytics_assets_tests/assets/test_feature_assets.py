"""Feature assets in Dagster: what is published is recorded, whichever tables were chosen."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest

from analytics_assets.assets.features import actors, cleaning
from analytics_assets.assets.ingestion import event_chunks, raw_export
from analytics_assets.core.files import sha256_of
from analytics_assets.core.lake import Lake
from analytics_assets.resources.lake import LakeResource

EVENTS = [
    {"uuid": "a", "event_type": "open", "event_time": "2024-05-01 10:00:00.000000", "user_id": "u"},
    {"uuid": "b", "event_type": "open", "event_time": "2024-05-01 10:00:01.000000"},
]
TABLES = ["clean_events", "dropped_events"]


@pytest.mark.parametrize("chosen", [["clean_events"], ["dropped_events"], ["clean_events", "dropped_events"]])
def test_tables_of_the_cleaning_are_published_and_recorded_together(
    lake: Lake, tmp_path: Path, chosen: list[str]
) -> None:
    lake.raw("2024").mkdir(parents=True)
    (lake.raw("2024") / "export.json").write_text("\n".join(map(json.dumps, EVENTS)))
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        result = dg.materialize(
            [raw_export, event_chunks, actors, cleaning],
            selection=["event_chunks", "actors", *chosen],
            partition_key="2024",
            instance=instance,
            resources={"lake": LakeResource(root=str(lake.root))},
        )
        recorded = {name: instance.get_latest_materialization_event(dg.AssetKey(name)) for name in TABLES}
    checks = {(check.asset_key.to_user_string(), check.check_name) for check in result.get_asset_check_evaluations()}
    assert {name for name, _ in checks} == {"event_chunks", "actors", *chosen}
    assert all(check.passed for check in result.get_asset_check_evaluations())
    assert {check.partition for check in result.get_asset_check_evaluations()} == {"2024"}, "the UI shows them there"
    for name, rows in (("clean_events", 1), ("dropped_events", 1)):
        event = recorded[name]
        assert event is not None and event.asset_materialization is not None
        assert event.asset_materialization.partition == "2024"
        assert event.asset_materialization.metadata["dagster/partition_row_count"].value == rows
        tags = event.asset_materialization.tags or {}
        assert tags["dagster/data_version"] == sha256_of(lake.feature(name, "2024"))
