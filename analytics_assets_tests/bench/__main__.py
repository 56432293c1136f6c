"""Run every stage in a process of its own and print one table.

Put here: what is measured and how often. Keep out: pass or fail (a shared machine is too noisy for that); compare the
ratios of one run.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

RUNS = 3
"""Runs of each stage; the median is printed."""

STAGES = ("generate", "plain_ingest", "ingest", "summaries", "features", "models", "import_definitions")


def measure(stage: str, folder: Path, events: int) -> tuple[float, float]:
    """Wall seconds and peak memory in MB of one stage in a fresh process."""
    result = subprocess.run(
        [sys.executable, "-m", "analytics_assets_tests.bench.stages", stage, str(folder), str(events)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "ANALYTICS_DATA_DIR": str(folder), "ANALYTICS_FIRST_YEAR": "2024"},
    )
    figures = json.loads(result.stdout.splitlines()[-1])
    return figures["seconds"], figures["peak_mb"]


@click.command()
@click.option("--events", default=100_000, show_default=True, help="Generated events of one year.")
def main(events: int) -> None:
    """Measure every stage on generated events of one year."""
    table = Table(title=f"{events:,} events, median of {RUNS} runs, {os.cpu_count()} cores")
    for heading in ("stage", "seconds", "events/s", "peak MB"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    rates: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for stage in STAGES:
            runs = [measure(stage, Path(folder), events) for _ in range(RUNS)]
            seconds = statistics.median(run[0] for run in runs)
            rates[stage] = events / seconds
            rate = "" if stage == "import_definitions" else f"{rates[stage]:,.0f}"
            table.add_row(stage, f"{seconds:.1f}", rate, f"{max(run[1] for run in runs):,.0f}")
    console = Console()
    console.print(table)
    console.print(f"ingest / plain_ingest: {rates['ingest'] / rates['plain_ingest']:.2f}x", highlight=False)


if __name__ == "__main__":
    main()
