"""Files that Dagster reads: workspace.yaml, dagster_cloud.yaml, dagster.yaml, the dg project table."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.workspace.load import load_workspace_process_context_from_yaml_paths
from dagster_cloud_cli.config.merger import DagsterCloudConfigDefaultsMerger
from dagster_cloud_cli.config.models import load_dagster_cloud_yaml

from analytics_assets_tests.conftest import ROOT

MODULE = "analytics_assets.definitions"


def test_workspace_loads_the_code_location() -> None:
    with (
        dg.instance_for_test() as instance,
        load_workspace_process_context_from_yaml_paths(instance, [str(ROOT / "workspace.yaml")]) as process,
    ):
        context = process.create_request_context()
        assert context.code_location_names == ["analytics_assets"]
        repository = context.get_code_location("analytics_assets").get_repositories()["__repository__"]
        assert {job.name for job in repository.get_all_jobs()} >= {"yearly_job", "models_job"}


def test_dagster_cloud_file_is_valid() -> None:
    """Judged by the vendor's own model, which refuses unknown keys."""
    content = load_dagster_cloud_yaml((ROOT / "dagster_cloud.yaml").read_text())
    [location] = content.locations
    assert location.location_name == "analytics_assets"
    assert location.code_source is not None and location.code_source.module_name == MODULE
    assert content.defaults is not None and content.defaults.agent_queue == "analytics"
    build = content.defaults.build
    assert build is not None and build.registry
    assert (ROOT / str(build.directory)).resolve() == ROOT


@pytest.mark.parametrize(
    ("text", "message"),
    [("buidl: {}", "buidl"), ("agent_queue: [a]", "agent_queue"), ("build: {registry: a, image: b}", "image")],
)
def test_mistakes_in_the_dagster_cloud_file_are_seen(text: str, message: str) -> None:
    shipped = yaml.safe_load((ROOT / "dagster_cloud.yaml").read_text())
    shipped["defaults"] |= yaml.safe_load(text)
    with pytest.raises(ValueError, match=message):
        load_dagster_cloud_yaml(yaml.safe_dump(shipped))


def test_settings_of_the_agent_reach_the_location() -> None:
    """As the vendor's command merges defaults into locations before it sends them."""
    shipped = load_dagster_cloud_yaml((ROOT / "dagster_cloud.yaml").read_text())
    [location] = DagsterCloudConfigDefaultsMerger().process(shipped).locations
    assert location.agent_queue == "analytics"
    assert location.build is not None and location.build.directory == "./"
    assert location.container_context is not None
    assert "ANALYTICS_DATA_DIR=/lake" in location.container_context["k8s"]["env_vars"]


def test_local_dagster_yaml_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_bytes(files("analytics_assets.deploy").joinpath("dagster.yaml").read_bytes())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.telemetry_enabled is False
        assert instance.nux_enabled is False
        assert instance.run_monitoring_enabled is True
        concurrency = instance.get_concurrency_config()
        assert concurrency.pool_config.default_pool_limit == 1
        assert concurrency.run_queue_config is not None
        assert concurrency.run_queue_config.max_concurrent_runs == 1


def test_dg_finds_the_project() -> None:
    result = subprocess.run(
        [str(Path(sys.executable).with_name("dg")), "check", "defs"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_definitions_validate_command() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "-w", str(ROOT / "workspace.yaml")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml", "Makefile"])
def test_no_package_address_is_recorded(name: str) -> None:
    assert "://" not in (ROOT / name).read_text().replace("http://127.0.0.1", "")


def test_lock_has_hashes_for_everything() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    requirements = [line for line in lock.splitlines() if "==" in line and not line.startswith("    ")]
    assert len(requirements) > 100
    assert all(line.endswith("\\") for line in requirements)
