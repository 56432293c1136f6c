"""``analytics up``: the Dagster UI, its daemon and both dashboards, started and stopped together.

Put here: the processes and their supervision. Keep out: what they serve.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import click

from analytics_assets.cli.history import recover
from analytics_assets.core.errors import PipelineError
from analytics_assets.core.lake import Lake

HOST = "127.0.0.1"
START_SECONDS = 180
"""Longest wait for a service to listen: a cold start imports Dagster several times."""

STOP_SECONDS = 20
"""Longest wait for a service to end by itself: the daemon finishes what it is writing."""

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Service:
    """One process to run.

    Parameters
    ----------
    name : str
        What it is called on the terminal.
    port : int
        Where it listens.
    command : list of str
        How it is started.
    """

    name: str
    port: int
    command: list[str]


def services(dagster_port: int, insights_port: int, processing_port: int) -> list[Service]:
    """All services with their commands."""

    def dashboard(name: str, script: str, port: int) -> Service:
        options = {
            "--server.address": HOST,
            "--server.port": str(port),
            "--server.headless": "true",
            "--browser.gatherUsageStats": "false",
        }
        arguments = [part for option in options.items() for part in option]
        return Service(
            name, port, [sys.executable, "-m", "streamlit", "run", str(ROOT / "dashboards" / script), *arguments]
        )

    dagster = [
        sys.executable,
        "-m",
        "dagster",
        "dev",
        "-w",
        str(ROOT / "workspace.yaml"),
        "-h",
        HOST,
        "-p",
        str(dagster_port),
    ]
    return [
        Service("Dagster UI", dagster_port, dagster),
        dashboard("Insights", "visualize_analysis.py", insights_port),
        dashboard("Data processing", "data_processing.py", processing_port),
    ]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def serve(lake: Lake, dagster_port: int, insights_port: int, processing_port: int) -> int:
    """Run all services until Ctrl-C or until one of them ends; return the exit code."""
    # The dashboards link to the Dagster UI and to each other.
    os.environ["ANALYTICS_DAGSTER_PORT"] = str(dagster_port)
    os.environ["ANALYTICS_INSIGHTS_PORT"] = str(insights_port)
    os.environ["ANALYTICS_PROCESSING_PORT"] = str(processing_port)
    wanted = services(dagster_port, insights_port, processing_port)
    for service in wanted:
        if _listens(service.port):
            raise PipelineError(
                f"port {service.port}",
                f"another program already listens there, so {service.name} cannot start",
                "Stop it, or choose another port (see analytics up --help).",
            )
    recover(lake)
    stopping = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    running: list[tuple[Service, subprocess.Popen[bytes]]] = []
    try:
        for service in wanted:
            # A process group of its own: Ctrl-C reaches this process, which then ends the others in order.
            running.append((service, subprocess.Popen(service.command, cwd=ROOT, start_new_session=True)))
        waiting = {service.name: service for service, _ in running}
        deadline = time.monotonic() + START_SECONDS
        while not stopping:
            for service, process in running:
                if process.poll() is not None:
                    click.echo(f"{service.name} ended with code {process.returncode}; stopping the rest.", err=True)
                    return 1
                if service.name in waiting and _listens(service.port):
                    del waiting[service.name]
                    click.echo(f"{service.name}: http://{HOST}:{service.port}")
                    if not waiting:
                        click.echo("Everything is up. Ctrl-C stops it all.")
            if waiting and time.monotonic() > deadline:
                click.echo(f"{', '.join(waiting)} did not start within {START_SECONDS} s.", err=True)
                return 1
            time.sleep(0.3)
        return 0
    finally:
        _stop_all([process for _, process in running])


def _stop_all(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        _signal_group(process, signal.SIGINT)
    deadline = time.monotonic() + STOP_SECONDS
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.1, deadline - time.monotonic()))
        # The group may hold children that outlive their parent.
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
