"""A Spark standalone cluster on loopback: a master and two workers.

Put here: starting and stopping it. Keep out: what runs on it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyspark

from analytics_assets.core.java import find_java
from analytics_assets_tests.browser import wait_for

HOST = "127.0.0.1"
START_SECONDS = 120
WORKERS = 2


@dataclass(frozen=True)
class Cluster:
    """Where a cluster listens.

    Parameters
    ----------
    master : str
        URL for drivers.
    status_url : str
        What the master says about itself, JSON.
    """

    master: str
    status_url: str

    def status(self) -> dict[str, Any]:
        """State of workers and applications."""
        with urllib.request.urlopen(self.status_url, timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def alive_workers(self) -> int:
        """Workers that are registered; 0 while the master does not answer."""
        with contextlib.suppress(OSError):
            return sum(worker["state"] == "ALIVE" for worker in self.status()["workers"])
        return 0


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return str(probe.getsockname()[1])


@contextlib.contextmanager
def spark_cluster(folder: Path) -> Iterator[Cluster]:
    """A running cluster; logs and work files go to `folder`."""
    program = str(Path(pyspark.__file__).parent / "bin" / "spark-class")
    environment = {
        **os.environ,
        "JAVA_HOME": find_java().home,
        "SPARK_LOCAL_IP": HOST,
        "SPARK_LOCAL_DIRS": str(folder / "scratch"),
        "SPARK_WORKER_DIR": str(folder / "work"),
    }
    folder.mkdir(parents=True)
    port, web = _free_port(), _free_port()
    cluster = Cluster(f"spark://{HOST}:{port}", f"http://{HOST}:{web}/json/")
    package = "org.apache.spark.deploy"
    commands = [[program, f"{package}.master.Master", "--host", HOST, "--port", port, "--webui-port", web]]
    for _ in range(WORKERS):
        options = ["--host", HOST, "--cores", "1", "--memory", "1g", "--webui-port", _free_port()]
        commands.append([program, f"{package}.worker.Worker", *options, cluster.master])
    running: list[subprocess.Popen[bytes]] = []
    try:
        with (folder / "log").open("wb") as log:
            for command in commands:
                running.append(
                    subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
                )
            wait_for(
                lambda: cluster.alive_workers() == WORKERS or any(process.poll() is not None for process in running),
                f"{WORKERS} workers of the cluster",
                START_SECONDS,
            )
        assert cluster.alive_workers() == WORKERS, (folder / "log").read_text()[-3000:]
        yield cluster
    finally:
        for process in reversed(running):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
