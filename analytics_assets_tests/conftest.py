"""Fixtures shared by all tests.

Put here: the environment that must stand before the package is imported, the real samples, one Spark session, small
generated exports.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

# The partitions are fixed when the code location is imported: the real samples start in 2015.
os.environ["ANALYTICS_FIRST_YEAR"] = "2015"
os.environ["ANALYTICS_DATA_DIR"] = tempfile.mkdtemp(prefix="analytics-tests-")
os.environ.pop("DAGSTER_HOME", None)
# One key for all lakes: equal input gives equal chunks in every test.
os.environ["ANALYTICS_PII_KEY"] = "a key for tests, not for persons"
# Small data: two thirds of the CPU time of Spark's Java process, which most of these tests wait for.
SPARK_JAVA_OPTIONS = os.environ["ANALYTICS_SPARK_JAVA_OPTIONS"] = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"

# A job in the background ignores Ctrl-C, and Dagster then has this process and all that it starts ignore SIGTERM, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest

from analytics_assets.core.lake import Lake

if TYPE_CHECKING:
    from analytics_assets_tests.s3_server import S3Server

ROOT = Path(__file__).resolve().parents[1]
REAL_SAMPLES = ROOT.parent / "shared" / "sample"


DEMO_FILES = ("cli/test_forget.py", "test_end_to_end.py", "test_services.py", "test_up.py")
"""Tests of one finished demo, which takes minutes."""
REAL_FILE = "test_real_samples.py"


def _group(nodeid: str) -> str:
    """Tests that share a costly fixture: of the demo, of one real sample, else of one file."""
    path, _, name = nodeid.partition("::")
    if path.endswith(DEMO_FILES):
        return "demo"
    return f"{path}[{name.partition('[')[2]}" if path.endswith(REAL_FILE) else path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start what takes minutes first, so that no process is left with it at the end."""
    items.sort(key=lambda item: not item.nodeid.split("::")[0].endswith((*DEMO_FILES, REAL_FILE)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Keep the tests of a group in one process, when several processes run them."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    return ByGroup(config, log)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An empty lake; a blank and a quote in its path must never matter."""
    return Lake(tmp_path / "analyst's lake")


@pytest.fixture(scope="session")
def sample_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with small synthetic exports of 2024 and 2025 and their truth under raw/; read only."""
    from analytics_assets.sample.generator import SampleConfig, write_sample

    lake = Lake(tmp_path_factory.mktemp("sample"))
    write_sample(lake.raw(), SampleConfig(events=8_000, users=60))
    return lake


@pytest.fixture(scope="session")
def spark() -> Iterator[object]:
    """One real Spark session with the product's settings for small years."""
    from analytics_assets.core.summaries.run import SMALL_SETTINGS
    from analytics_assets.resources.spark import SparkResource

    resource = SparkResource(
        driver_memory="2g", master="local[2]", java_options=SPARK_JAVA_OPTIONS, extra=SMALL_SETTINGS
    )
    yield resource.session
    resource.stop()


@pytest.fixture(scope="session")
def server() -> Iterator[S3Server]:
    """A local S3 server that the AWS variables name from now on."""
    from analytics_assets_tests.s3_server import s3_server

    with s3_server() as running:
        yield running


def run_as_user(
    *command: str, data_dir: Path, timeout: int = 1_700, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command as a user would, on its own lake, without the settings of the tests."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANALYTICS_", "DAGSTER_"))}
    environment |= {"ANALYTICS_DATA_DIR": str(data_dir), "ANALYTICS_SPARK_JAVA_OPTIONS": SPARK_JAVA_OPTIONS}
    return subprocess.run(
        command,
        env={**environment, "COLUMNS": "200", **variables},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def run_analytics(*arguments: str, data_dir: Path, timeout: int = 1_700) -> subprocess.CompletedProcess[str]:
    """Run the ``analytics`` command."""
    command = (sys.executable, "-m", "analytics_assets.cli.main", *arguments)
    return run_as_user(*command, data_dir=data_dir, timeout=timeout)


@dataclass(frozen=True)
class Demo:
    """A finished ``analytics demo``."""

    lake: Lake
    output: str
    code: int


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """``analytics demo`` on an empty lake with a small sample; the lake is read only for tests."""
    lake = Lake(tmp_path_factory.mktemp("demo") / "analyst's lake")
    result = run_analytics("demo", "--events", "12000", data_dir=lake.root)
    return Demo(lake, result.stdout + result.stderr, result.returncode)
