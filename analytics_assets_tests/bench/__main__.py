"""Run every piece of work in a process of its own and print tables.

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
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from analytics_assets_tests.bench import analysis, dashboards, forecasts, ingestion, models

RUNS = 3
"""Runs of each stage; the median is printed."""

TABLES = ("location", "ingestion", "analysis", "models", "forecasts", "dashboards", "stages")
LOADS = 7
"""Loads of the code location: they take seconds, and their ratio is what counts."""

LOAD_RATIO, TICK_SECONDS = 1.3, 3
"""What a load may cost beside that of a trivial project, and what an idle night may take."""

STAGES = ("generate", "ingest", "summaries", "features", "import_definitions")


def in_a_process(module: str, *arguments: str, folder: Path) -> dict[str, Any]:
    """Figures that one piece of work prints; a fresh process each, so that peaks of memory are its own."""
    result = subprocess.run(
        [sys.executable, "-m", f"analytics_assets_tests.bench.{module}", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "ANALYTICS_DATA_DIR": str(folder), "ANALYTICS_FIRST_YEAR": "2024"},
    )
    return json.loads(result.stdout.splitlines()[-1])


def measure(module: str, *arguments: str, folder: Path) -> tuple[float, float]:
    """Wall seconds and peak memory in MB."""
    figures = in_a_process(module, *arguments, folder=folder)
    return figures["seconds"], figures["peak_mb"]


@click.command()
@click.option("--events", default=100_000, show_default=True, help="Generated events of one year for the stages.")
@click.option("--ingest-events", default=200_000, show_default=True, help="Events for the comparison of ingestion.")
@click.option("--only", type=click.Choice(TABLES), help="Only one of the tables.")
@click.option(
    "--lake",
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    help="Materialized lake for the dashboards; else one is made.",
)
def main(events: int, ingest_events: int, only: str | None, lake: Path | None) -> None:
    """Measure the code location, ingestion beside other ways, analysis, models, forecasts, dashboards and stages."""
    console = Console()
    if only in (None, "location"):
        measure_location(console)
    if only in (None, "ingestion"):
        compare_ingestion(console, ingest_events)
    if only in (None, "analysis"):
        measure_analysis(console)
    if only in (None, "models"):
        measure_models(console)
    if only in (None, "forecasts"):
        measure_forecasts(console)
    if only in (None, "dashboards"):
        measure_dashboards(console, lake)
    if only in (None, "stages"):
        measure_stages(console, events)


def measure_location(console: Console) -> None:
    """Print what loading the code location costs beside a project with one trivial asset, and an idle night."""
    runs: dict[str, list[tuple[float, float]]] = {"ours": [], "trivial": [], "tick": []}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        measure("location", "prepare", place, folder=folder)
        # They take turns, so that a slow spell of a shared machine meets both.
        for _ in range(LOADS):
            for work, measured in runs.items():
                measured.append(measure("location", work, place, folder=folder))
    seconds = {work: statistics.median(run[0] for run in measured) for work, measured in runs.items()}
    table = Table(title=f"Code location, median of {LOADS} processes, {os.cpu_count()} cores")
    for heading in ("what", "seconds", "target", "peak MB"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    names = {"ours": "load this project", "trivial": "load one trivial asset", "tick": "nightly tick without new files"}
    targets = {"ours": f"{LOAD_RATIO}x the trivial one", "trivial": "", "tick": f"{TICK_SECONDS}"}
    for work, name in names.items():
        peak = max(run[1] for run in runs[work])
        table.add_row(name, f"{seconds[work]:.2f}", targets[work], f"{peak:,.0f}")
    console.print(table)
    console.print(f"this project: {seconds['ours'] / seconds['trivial']:.2f}x the trivial one", highlight=False)


def compare_ingestion(console: Console, events: int) -> None:
    """Print ingestion next to what a user would pick instead."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        facts = in_a_process("ingestion", "prepare", str(folder), str(events), folder=folder)
        seconds: dict[str, float] = {}
        peaks: dict[str, float] = {}
        table = Table(
            title=f"Ingestion: {facts['events']:,} events of {facts['bytes']:,.0f} bytes, median of {RUNS} runs, "
            f"{os.cpu_count()} cores"
        )
        for heading in ("way", "seconds", "events/s", "peak MB"):
            table.add_column(heading, justify="left" if heading == "way" else "right")
        # The ways take turns, so that a slow spell of a shared machine meets all of them.
        runs: dict[str, list[tuple[float, float]]] = {way: [] for way in ingestion.WAYS}
        for _ in range(RUNS):
            for way in ingestion.WAYS:
                runs[way].append(measure("ingestion", way, str(folder), folder=folder))
        for way, measured in runs.items():
            seconds[way] = statistics.median(run[0] for run in measured)
            peaks[way] = max(run[1] for run in measured)
            count = facts["events"] * (ingestion.COPIES if way == "ours_large" else 1)
            rate = "" if way in ("ours_unchanged", "ours_new_file") else f"{count / seconds[way]:,.0f}"
            table.add_row(way, f"{seconds[way]:.3f}", rate, f"{peaks[way]:,.0f}")
    console.print(table)
    large = seconds["ours_large"] / ingestion.COPIES
    for text in (
        f"array: {seconds['plain'] / seconds['ours_array']:.1f}x plain, "
        f"{seconds['duckdb_array'] / seconds['ours_array']:.2f}x DuckDB",
        f"NDJSON: {seconds['duckdb_ndjson'] / seconds['ours_ndjson']:.2f}x DuckDB, "
        f"{seconds['duckdb_ndjson_typed'] / seconds['ours_ndjson']:.2f}x DuckDB with declared types",
        f"unchanged: {seconds['ours_unchanged'] / seconds['ours_ndjson']:.2%} of a full run; "
        f"1 MB added to the large folder: {seconds['ours_new_file'] / seconds['ours_large']:.2%} of its full run",
        f"{ingestion.COPIES}x the events: {large / seconds['ours_ndjson']:.2f}x the time per event, "
        f"{peaks['ours_large'] / peaks['ours_ndjson']:.2f}x the peak memory",
    ):
        console.print(text, highlight=False)


def measure_analysis(console: Console) -> None:
    """Print summaries, features, quality and results at two sizes, and how the time per event compares."""
    sizes = (analysis.SMALL, analysis.LARGE)
    runs: dict[tuple[str, int], list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as place:
        for size in sizes:
            in_a_process("analysis", "prepare", str(Path(place, str(size))), str(size), folder=Path(place))
        # The sizes take turns, so that a slow spell of a shared machine meets both.
        for _ in range(RUNS):
            for work in analysis.WORK:
                for size in sizes:
                    folder = Path(place, str(size))
                    runs.setdefault((work, size), []).append(in_a_process("analysis", work, str(folder), folder=folder))
    table = Table(title=f"Analysis, median of {RUNS} runs, {os.cpu_count()} cores")
    for heading in ("work", "events", "seconds", "us/event", "against small", "Python peak MB", "Java peak MB"):
        table.add_column(heading, justify="left" if heading == "work" else "right")
    for work in analysis.WORK:
        per_event = {s: statistics.median(run["seconds"] for run in runs[work, s]) / s * 1e6 for s in sizes}
        for size in sizes:
            table.add_row(
                work,
                f"{size:,}",
                f"{per_event[size] * size / 1e6:.1f}",
                f"{per_event[size]:.1f}",
                f"{per_event[size] / per_event[sizes[0]]:.2f}x",
                f"{max(run['peak_mb'] for run in runs[work, size]):,.0f}",
                f"{max(run['children_mb'] for run in runs[work, size]):,.0f}",
            )
    console.print(table)
    for size in sizes:
        parts = runs["summaries", size]
        medians = {name: statistics.median(run["parts"][name] for run in parts) for name in parts[0]["parts"]}
        console.print(
            f"summaries of {size:,}: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in medians.items()),
            highlight=False,
        )


def measure_models(console: Console) -> None:
    """Print every model at the larger size; once, because a model takes minutes."""
    table = Table(title=f"Models: {analysis.LARGE:,} events, {os.cpu_count()} cores")
    for heading in ("model", "seconds", "of these training", "us/prediction", "top-1", "peak MB"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        in_a_process("models", "prepare", str(folder), str(analysis.LARGE), folder=folder)
        for name in models.NAMES:
            run = in_a_process("models", name, str(folder), folder=folder)
            shown = [run["seconds"], run["train_seconds"], run["microseconds_per_prediction"]]
            cells = ["" if value is None else f"{value:.1f}" for value in shown]
            table.add_row(name, *cells, f"{run['top1']:.4f}" if run["top1"] else "", f"{run['peak_mb']:,.0f}")
    console.print(table)


def measure_forecasts(console: Console) -> None:
    """Print cost and errors of both forecasting models; once, because a model takes minutes."""
    runs: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        facts = in_a_process("forecasts", "prepare", str(folder), str(forecasts.EVENTS), folder=folder)
        for name in forecasts.NAMES:
            runs[name] = in_a_process("forecasts", name, str(folder), folder=folder)
    cost = Table(
        title=f"Forecasts: five daily metrics, two years, {facts['events']:,} events, {forecasts.ORIGINS} cuts, "
        f"{forecasts.WORKERS} workers, {os.cpu_count()} cores"
    )
    for heading in ("asset", "seconds", "target", "peak MB", "workers' peak MB", "target MB"):
        cost.add_column(heading, justify="left" if heading == "asset" else "right")
    for name, run in runs.items():
        targets = (f"{forecasts.TARGET_SECONDS}", f"{forecasts.TARGET_MB:,}") if name in forecasts.MODELS else ("", "")
        memory = [f"{run[key]:,.0f}" for key in ("peak_mb", "children_mb")]
        cost.add_row(name, f"{run['seconds']:.1f}", targets[0], *memory, targets[1])
    console.print(cost)
    rows = runs["forecast_leaderboard"]["rows"]
    naive = {row["metric"]: row for row in rows if row["model"] == "seasonal_naive"}
    errors = Table(title=f"Errors over {forecasts.HORIZON} days against repeating last week, on the same cuts")
    for heading in ("metric", "way", "error", "distance from the true mean", "inside 95 %"):
        errors.add_column(heading, justify="left" if heading in ("metric", "way") else "right")
    for row in rows:
        truth = row["true_mae"] / naive[row["metric"]]["true_mae"] if row["true_mae"] is not None else None
        shown = (row["relative_mae"], truth, row["coverage95"])
        errors.add_row(row["metric"], row["model"], *("" if value is None else f"{value:.3f}" for value in shown))
    console.print(errors)


def measure_dashboards(console: Console, lake: Path | None) -> None:
    """Print how long each page of both apps lets people wait; a lake of the larger size is made when none is given."""
    with tempfile.TemporaryDirectory() as place:
        if lake is None:
            lake = Path(place)
            # A comparison of models with baselines may fail on any data: the exit code is not about speed.
            subprocess.run(
                [sys.executable, "-m", "analytics_assets.cli.main", "demo", "--events", str(analysis.LARGE)],
                stdout=subprocess.DEVNULL,
                check=False,
                env={**os.environ, "ANALYTICS_DATA_DIR": str(lake), "ANALYTICS_FIRST_YEAR": "2024"},
            )
        for script in dashboards.SCRIPTS:
            app = in_a_process("dashboards", script, str(lake), folder=lake)
            table = Table(title=f"{script}: {app['events']:,} events, {os.cpu_count()} cores; seconds of server time")
            for heading in ("page", "first view", "warm page", "slowest filter", "own funnel"):
                table.add_column(heading, justify="left" if heading == "page" else "right")
            for page, seconds in app["pages"].items():
                filtered = max((value for name, value in seconds.items() if name.startswith("filter")), default=None)
                cells = (seconds["first view"], seconds["warm page"], filtered, seconds.get("own funnel"))
                table.add_row(page or "(first page)", *("" if cell is None else f"{cell:.2f}" for cell in cells))
            table.add_section()
            targets = dashboards.TARGETS
            table.add_row("target", "", *(f"{targets[name]:.1f}" for name in ("warm page", "filter", "filter")))
            console.print(table)
            console.print(
                f"first content {app['first content']:.2f} s (target {targets['first content']:.1f}), "
                f"peak {app['peak_mb']:,.0f} MB (target {dashboards.TARGET_MB})",
                highlight=False,
            )


def measure_stages(console: Console, events: int) -> None:
    """Print every stage."""
    table = Table(title=f"Stages: {events:,} events, median of {RUNS} runs, {os.cpu_count()} cores")
    for heading in ("stage", "seconds", "events/s", "peak MB"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for stage in STAGES:
            runs = [measure("stages", stage, str(folder), str(events), folder=folder) for _ in range(RUNS)]
            seconds = statistics.median(run[0] for run in runs)
            rate = "" if stage == "import_definitions" else f"{events / seconds:,.0f}"
            table.add_row(stage, f"{seconds:.1f}", rate, f"{max(run[1] for run in runs):,.0f}")
    console.print(table)


if __name__ == "__main__":
    main()
