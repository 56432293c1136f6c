"""The containers' own commands as processes: a backfill of two years, a daemon and a run that are killed, a repair."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import dagster as dg
import psutil
import pytest
import yaml

from analytics_assets.core.lake import Lake
from analytics_assets_tests.browser import wait_for
from analytics_assets_tests.conftest import ROOT, SPARK_JAVA_OPTIONS, Demo
from analytics_assets_tests.containers import FOLDER, command_of, health_command
from analytics_assets_tests.graphql import RUN_SECONDS, Interface
from analytics_assets_tests.test_up import free_port, listens

START_SECONDS = 240
YEARS = ["2024", "2025"]
ASSETS = ["event_chunks", "actors", "clean_events", "dropped_events", "sessions", "daily_metrics", "spark_stickiness"]
"""What is rebuilt: every kind of step, and one summary for all."""


@dataclass
class Services:
    """The running services; killed ones can be started again."""

    lake: Lake
    folder: Path
    environment: dict[str, str]
    ports: dict[str, int]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def here(self, command: list[str]) -> list[str]:
        """A container's command with this machine's addresses in place of the containers'."""
        places = {
            "0.0.0.0": "127.0.0.1",
            "/opt/dagster/workspace.yaml": str(self.folder / "workspace.yaml"),
            "4000": str(self.ports["code"]),
            "3000": str(self.ports["webserver"]),
        }
        for shipped, local in places.items():
            command = [part.replace(shipped, local) for part in command]
        return command

    def start(self, name: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                self.here(command_of(name)),
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """As when the container is killed: every process of the service at once."""
        process = self.processes[name]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)

    def is_well(self, name: str) -> bool:
        """Whether the service's own health check passes."""
        command = self.here(health_command(name))
        result = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, timeout=120, check=False)
        return result.returncode == 0

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()[-2000:]

    @property
    def interface(self) -> Interface:
        return Interface(f"http://127.0.0.1:{self.ports['webserver']}")


@pytest.fixture(scope="module")
def services(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Code server, web server and daemon over a lake that holds the demo's raw files and its key."""
    folder = tmp_path_factory.mktemp("services")
    lake = Lake(folder / "lake")
    for name in ("raw", ".keys"):
        shutil.copytree(demo.lake.root / name, lake.root / name)
    home = lake.dagster_home()
    home.mkdir()
    settings = yaml.safe_load(files("analytics_assets.deploy").joinpath("dagster.yaml").read_text())
    # The shipped settings with a quicker clock: a killed run's place in a pool is freed after seconds.
    settings["run_monitoring"] |= {"poll_interval_seconds": 5, "free_slots_after_run_end_seconds": 1}
    (home / "dagster.yaml").write_text(yaml.safe_dump(settings))
    ports = {"code": free_port(), "webserver": free_port()}
    workspace = yaml.safe_load((FOLDER / "workspace.yaml").read_text())
    workspace["load_from"][0]["grpc_server"] |= {"host": "127.0.0.1", "port": ports["code"]}
    (folder / "workspace.yaml").write_text(yaml.safe_dump(workspace))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANALYTICS_", "DAGSTER_"))}
    environment |= {
        "ANALYTICS_DATA_DIR": str(lake.root),
        "ANALYTICS_SPARK_JAVA_OPTIONS": SPARK_JAVA_OPTIONS,
        "DAGSTER_HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    made = Services(lake, folder, environment, ports)
    with ExitStack() as stack:
        stack.callback(end_all, made)
        made.start("code")
        wait_for(lambda: made.is_well("code"), f"the code server: {made.log('code')}", START_SECONDS)
        made.start("webserver")
        made.start("daemon")
        address = f"http://127.0.0.1:{ports['webserver']}/server_info"
        wait_for(lambda: listens(address), f"the web server: {made.log('webserver')}", START_SECONDS)
        yield made


def end_all(services: Services) -> None:
    for process in services.processes.values():
        family = [process.pid, *(child.pid for child in children(process.pid))]
        for pid in family:
            if psutil.pid_exists(pid):
                os.kill(pid, signal.SIGKILL)
        process.wait(30)


def children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def tables(lake: Lake) -> dict[str, bytes]:
    """Bytes of everything that the backfill publishes."""
    paths = [lake.feature(name, year) for name in ASSETS[1:-1] for year in YEARS]
    paths += [lake.summary(year, ASSETS[-1]) for year in YEARS]
    paths += [path for year in YEARS for path in sorted(lake.chunks(year).iterdir()) if path.is_file()]
    return {path.relative_to(lake.root).as_posix(): path.read_bytes() for path in paths}


def worker_inside_a_step(lake: Lake, year: str, step: str) -> tuple[str, int] | None:
    """Run and process of the year's run, once the step has begun and before it has ended."""
    wanted = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED], tags={"dagster/partition": year})
    with dg.DagsterInstance.from_config(str(lake.dagster_home())) as instance:
        for run in instance.get_runs(wanted):
            events = [entry.dagster_event for entry in instance.all_logs(run.run_id) if entry.dagster_event]
            kinds = {(event.event_type_value, event.step_key) for event in events}
            if ("STEP_START", step) in kinds and ("STEP_SUCCESS", step) not in kinds:
                first = next(
                    event.engine_event_data.metadata["pid"]
                    for event in events
                    if event.event_type_value == "ENGINE_EVENT" and "pid" in event.engine_event_data.metadata
                )
                return run.run_id, int(str(first.value))
    return None


def has_begun(services: Services, year: str) -> None:
    """Wait until the year's run is under way."""
    wanted = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED], tags={"dagster/partition": year})

    def begun() -> bool:
        with dg.DagsterInstance.from_config(str(services.lake.dagster_home())) as instance:
            return bool(instance.get_runs(wanted))

    wait_for(begun, f"the run of {year}", START_SECONDS)


def inside(services: Services, year: str, step: str) -> tuple[str, int]:
    found: list[tuple[str, int]] = []

    def begun() -> bool:
        worker = worker_inside_a_step(services.lake, year, step)
        found.extend([worker] if worker else [])
        return bool(found)

    wait_for(begun, f"{step} of {year}", RUN_SECONDS)
    return found[0]


def test_a_backfill_survives_a_daemon_and_a_run_that_are_killed(services: Services, demo: Demo) -> None:
    interface, lake = services.interface, services.lake
    # It would train the models between the failed run and its repetition.
    interface.stop_sensor("models_after_year")
    backfill = interface.launch_backfill(ASSETS, YEARS)

    has_begun(services, "2024")
    services.kill("daemon")
    services.start("daemon")

    killed, pid = inside(services, "2025", "spark_summaries")
    # The step runs in a process of its own, which would finish and publish without the run's.
    for member in (psutil.Process(pid), *children(pid)):
        with suppress(psutil.NoSuchProcess):
            member.kill()
    assert interface.end_of_run(killed) == "FAILURE"
    assert interface.end_of_backfill(backfill) == "COMPLETED_FAILED"
    assert interface.years("spark_stickiness", "MATERIALIZED") == {"2024"}
    assert interface.years("spark_stickiness", "FAILED") == {"2025"}
    assert interface.years("event_chunks", "MATERIALIZED") == set(YEARS)
    with dg.DagsterInstance.from_config(str(lake.dagster_home())) as instance:
        first_runs = instance.get_runs()
    assert len(first_runs) == 2, "the restarted daemon neither repeats nor forgets a year"

    again = interface.repeat_from_failure(killed)
    assert interface.end_of_run(again) == "SUCCESS"
    for asset in ASSETS:
        assert interface.years(asset, "MATERIALIZED") == set(YEARS), asset
    checked = interface.checks("spark_stickiness", "rows_reconcile")
    assert {again, *(run.run_id for run in first_runs if run.run_id != killed)} <= checked.keys()
    for execution in checked.values():
        assert execution["status"] == "SUCCEEDED"
        assert {"loaded_records", "events_read"} <= {e["label"] for e in execution["evaluation"]["metadataEntries"]}
    assert tables(lake) == tables(demo.lake), "as the demo made them in one go"
    assert not list(lake.root.rglob("*.tmp"))


@pytest.mark.parametrize("service", ["code", "webserver", "daemon"])
def test_health_checks_pass_while_the_services_run(services: Services, service: str) -> None:
    assert services.is_well(service), services.log(service)


def test_health_checks_fail_when_the_services_are_gone(services: Services) -> None:
    """Last in this module: it ends the services."""
    for service in ("webserver", "code"):
        services.kill(service)
        assert not services.is_well(service), service
