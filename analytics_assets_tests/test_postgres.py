"""Dagster's history in Postgres: the shipped ``dagster.yaml`` on a real server."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import dagster as dg
import pytest

from analytics_assets.core.lake import Lake
from analytics_assets_tests.conftest import run_as_user
from analytics_assets_tests.core.event_data import hostile_records, ingest

PASSWORD = "not-to-be-printed-anywhere"


def program(name: str) -> str:
    """A program of the server; Debian keeps them beside the path."""
    beside = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = shutil.which(name) or (str(beside[-1]) if beside else None)
    if found is None:
        pytest.skip(f"there is no {name}: install Debian's postgresql")
    return found


def as_its_user(command: list[str], folder: Path) -> None:
    """Run a program of the server, which refuses to be root."""
    user = pwd.getpwnam("postgres") if os.getuid() == 0 else None
    if user is not None:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid)
    subprocess.run(
        command, check=True, capture_output=True, cwd=folder, user=user.pw_uid if user else None, timeout=120
    )


@dataclass(frozen=True)
class Server:
    home: Path
    settings: dict[str, str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    initdb, control = program("initdb"), program("pg_ctl")
    # Not below pytest's own folder: that one is closed to other users.
    folder = Path("/tmp") / f"analytics-postgres-{os.getpid()}"
    folder.mkdir()
    (folder / "password").write_text(PASSWORD)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    data = str(folder / "data")
    secret = ["--auth=scram-sha-256", f"--pwfile={folder / 'password'}"]
    try:
        as_its_user([initdb, "--pgdata", data, "--username", "analytics", "--encoding", "UTF8", *secret], folder)
        options = f"-h 127.0.0.1 -p {port} -k {folder}"
        as_its_user([control, "-D", data, "-l", str(folder / "log"), "-o", options, "-w", "start"], folder)
        home = tmp_path_factory.mktemp("home")
        shipped = files("analytics_assets.deploy").joinpath("postgres/dagster.yaml")
        (home / "dagster.yaml").write_bytes(shipped.read_bytes())
        settings = {
            "ANALYTICS_POSTGRES_HOST": "127.0.0.1",
            "ANALYTICS_POSTGRES_PORT": port,
            "ANALYTICS_POSTGRES_USER": "analytics",
            "ANALYTICS_POSTGRES_PASSWORD": PASSWORD,
            "ANALYTICS_POSTGRES_DB": "postgres",
        }
        yield Server(home, settings)
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            as_its_user([control, "-D", data, "-m", "immediate", "stop"], folder)
        shutil.rmtree(folder, ignore_errors=True)


def test_runs_and_materializations_are_kept_in_postgres(server: Server, lake: Lake, monkeypatch) -> None:
    import psycopg2

    ingest(lake, "2024", hostile_records())
    dagster = str(Path(sys.executable).with_name("dagster"))
    select = ["--select", "event_chunks,actors", "--partition", "2024", "-m", "analytics_assets.definitions"]
    result = run_as_user(
        dagster, "asset", "materialize", *select, data_dir=lake.root, DAGSTER_HOME=str(server.home), **server.settings
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert PASSWORD not in result.stdout + result.stderr
    for name, value in server.settings.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.from_config(str(server.home)) as instance:
        [run] = instance.get_runs()
        assert run.status == dg.DagsterRunStatus.SUCCESS
        for name in ("event_chunks", "actors"):
            assert instance.get_materialized_partitions(dg.AssetKey(name)) == {"2024"}
        concurrency = instance.get_concurrency_config()
        assert concurrency.run_queue_config is not None and concurrency.run_queue_config.max_concurrent_runs == 2
    settings = server.settings
    connection = psycopg2.connect(
        host=settings["ANALYTICS_POSTGRES_HOST"],
        port=settings["ANALYTICS_POSTGRES_PORT"],
        user=settings["ANALYTICS_POSTGRES_USER"],
        password=PASSWORD,
        dbname=settings["ANALYTICS_POSTGRES_DB"],
    )
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute("SELECT run_id, status FROM runs")
        assert cursor.fetchall() == [(run.run_id, "SUCCESS")]
    assert not list(server.home.rglob("*.db")), "nothing is kept in SQLite"
    stored = [path for path in server.home.rglob("*") if path.is_file()]
    assert not [path for path in stored if PASSWORD.encode() in path.read_bytes()]


def test_without_a_server_the_command_says_so(server: Server, lake: Lake) -> None:
    settings = {**server.settings, "ANALYTICS_POSTGRES_PASSWORD": "wrong"}
    dagster = str(Path(sys.executable).with_name("dagster"))
    result = run_as_user(
        *(dagster, "instance", "info"), data_dir=lake.root, DAGSTER_HOME=str(server.home), timeout=300, **settings
    )
    assert result.returncode != 0
    assert "password authentication failed" in result.stdout + result.stderr
