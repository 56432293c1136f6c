"""The asset graph as a whole: it loads, it is light, it is documented, and its shape is a reviewed snapshot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from analytics_assets.definitions import build_defs, defs
from analytics_assets.partitions import event_years
from analytics_assets_tests.conftest import ROOT

SNAPSHOT = Path(__file__).with_name("graph_snapshot.json")
HEAVY = (
    "tensorflow pyspark dagster_pyspark sklearn prophet statsmodels xgboost hmmlearn plotly pandas duckdb pyarrow "
    "streamlit s3fs botocore"
).split()


def described_graph() -> dict[str, object]:
    """Keys, dependencies, groups, partitions, kinds and checks of every asset."""
    graph = defs.resolve_asset_graph()
    checks = sorted((key.asset_key.to_user_string(), key.name) for key in graph.asset_check_keys)
    return {
        "assets": {
            key.to_user_string(): {
                "group": graph.get(key).group_name,
                "deps": sorted(parent.to_user_string() for parent in graph.get(key).parent_keys),
                "partitions": type(graph.get(key).partitions_def).__name__ if graph.get(key).partitions_def else None,
                "kinds": sorted(graph.get(key).kinds),
                "materializable": graph.get(key).is_materializable,
                "blocking_checks": sorted(
                    check.name
                    for check in graph.asset_check_keys
                    if check.asset_key == key and graph.get(check).blocking
                ),
            }
            for key in sorted(graph.get_all_asset_keys())
        },
        "checks": [f"{asset}: {name}" for asset, name in checks],
        "jobs": {
            job: sorted(key.to_user_string() for key in defs.resolve_job_def(job).asset_layer.executable_asset_keys)
            for job in ("yearly_job", "models_job")
        },
        "schedules": [schedule.name for schedule in defs.schedules or []],
        "sensors": [sensor.name for sensor in defs.sensors or []],
    }


def test_definitions_load() -> None:
    dg.Definitions.validate_loadable(build_defs())


def test_every_asset_of_a_year_can_be_chosen_singly() -> None:
    """Else the UI refuses a backfill or not by the hash seed of its server: equal subsets may compare as unequal."""
    graph = defs.resolve_asset_graph()
    nodes = [graph.get(key) for key in graph.get_all_asset_keys()]
    yearly = [node for node in nodes if node.is_partitioned and node.is_materializable]
    assert yearly
    assert {node.key: node.execution_set_asset_keys for node in yearly} == {node.key: {node.key} for node in yearly}


def test_graph_is_the_reviewed_one() -> None:
    """A changed graph shows as a diff of the snapshot; UPDATE_SNAPSHOT=1 writes it anew."""
    graph = described_graph()
    if os.environ.get("UPDATE_SNAPSHOT"):
        SNAPSHOT.write_text(json.dumps(graph, indent=1) + "\n")
    assert graph == json.loads(SNAPSHOT.read_text())


def test_every_asset_says_what_it_is() -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        name = key.to_user_string()
        assert node.description and len(node.description) > 40, name
        assert node.owners == ["team:analytics"], name
        assert node.kinds, name
        assert node.group_name and node.group_name != "default", name
        assert node.code_version, name
        assert "layer" in node.tags, name


def test_every_table_shows_its_columns() -> None:
    from analytics_assets.schemas import FEATURE_TABLES, SUMMARY_TABLES

    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        assert "dagster/column_schema" in graph.get(key).metadata, key
    for table in (*SUMMARY_TABLES, *FEATURE_TABLES):
        shown = graph.get(dg.AssetKey(table.name)).metadata["dagster/column_schema"]
        schema = shown if isinstance(shown, dg.TableSchema) else shown.value
        assert isinstance(schema, dg.TableSchema)
        assert [column.name for column in schema.columns] == table.column_names
        assert all(column.description for column in schema.columns)


def test_every_asset_is_checked() -> None:
    graph = defs.resolve_asset_graph()
    checked = {key.asset_key for key in graph.asset_check_keys}
    assert checked == graph.get_all_asset_keys()
    tables = {key for key in graph.get_all_asset_keys() if "parquet" in graph.get(key).kinds}
    blocking = {key.asset_key for key in graph.asset_check_keys if graph.get(key).blocking}
    assert tables <= blocking, "a wrong table stops what reads it"


def test_every_asset_leads_to_its_code() -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        references = graph.get(key).metadata["dagster/code_references"]
        [found] = references.code_references
        path = Path(found.file_path)
        assert path.is_relative_to(ROOT / "analytics_assets" / "assets"), key
        assert path.read_text().splitlines()[found.line_number - 1].startswith("@"), (key, found.line_number)


def test_feature_tables_show_where_columns_come_from() -> None:
    from analytics_assets.metadata import column_lineage
    from analytics_assets.schemas import FEATURE_TABLES

    graph = defs.resolve_asset_graph()
    for table in FEATURE_TABLES:
        lineage = column_lineage(table.name).deps_by_column
        assert lineage.keys() == set(table.column_names)
        upstream = {dep.asset_key for deps in lineage.values() for dep in deps}
        assert upstream <= graph.get(dg.AssetKey(table.name)).parent_keys, table.name


def test_jobs_do_not_mix_partitioned_and_unpartitioned_assets() -> None:
    graph = defs.resolve_asset_graph()
    for job, partitioned in (("yearly_job", True), ("models_job", False)):
        for key in defs.resolve_job_def(job).asset_layer.executable_asset_keys:
            assert (graph.get(key).partitions_def is not None) is partitioned, key


def test_every_asset_is_in_a_job() -> None:
    covered = {
        key
        for job in ("yearly_job", "models_job")
        for key in defs.resolve_job_def(job).asset_layer.executable_asset_keys
    }
    assert covered == defs.resolve_asset_graph().get_all_asset_keys()


def test_years_run_from_the_configured_first_to_the_current_one() -> None:
    from datetime import UTC, datetime

    keys = event_years.get_partition_keys(current_time=datetime(2026, 6, 1, tzinfo=UTC))
    assert keys == [str(year) for year in range(2015, 2027)]


@pytest.mark.parametrize(
    ("variable", "folders", "expected"),
    [("2019", ["2021"], "2019"), (None, ["2022", "2021", "notes"], "2021"), (None, [], "2024")],
)
def test_first_year(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str | None, folders: list[str], expected: str
) -> None:
    from analytics_assets.core.lake import Lake
    from analytics_assets.partitions import FIRST_YEAR_VARIABLE, first_year

    for folder in folders:
        (tmp_path / "raw" / folder).mkdir(parents=True)
    if variable:
        monkeypatch.setenv(FIRST_YEAR_VARIABLE, variable)
    else:
        monkeypatch.delenv(FIRST_YEAR_VARIABLE)
    assert first_year(Lake(tmp_path)) == expected


def test_the_code_location_imports_nothing_heavy() -> None:
    code = f"import sys, analytics_assets.definitions; print([m for m in {HEAVY} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_core_never_imports_dagster() -> None:
    code = (
        "import sys, pkgutil, importlib, analytics_assets.core as core\n"
        "for module in pkgutil.walk_packages(core.__path__, 'analytics_assets.core.'):\n"
        "    importlib.import_module(module.name)\n"
        "print('dagster' in sys.modules, 'tensorflow' in sys.modules, 'pyspark' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False False False"
