"""Entry point of the ``analytics`` command.

Put here: options and their help. Keep out: what a command does (the other modules of this package).
"""

from __future__ import annotations

import sys

import click

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.lake import Lake


class _Group(click.Group):
    """Commands whose expected errors are printed without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except PipelineError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """User Analytics & Predictive Modeling Pipeline. The lake is ANALYTICS_DATA_DIR, else ./data."""


@main.command()
@click.option("--events", default=120_000, show_default=True, help="Approximate number of events to generate.")
def demo(events: int) -> None:
    """Materialize every asset, from raw files to reports; sample exports are generated when raw/ is empty."""
    from analytics_assets.cli.demo import run_demo

    sys.exit(run_demo(Lake.default(), events))


@main.command()
@click.option("--events", default=120_000, show_default=True, help="Approximate number of events over all years.")
@click.option("--years", default="2024,2025", show_default=True, help="Years, separated by commas.")
@click.option("--users", default=400, show_default=True, help="Number of users.")
@click.option("--seed", default=7, show_default=True, help="Seed; equal settings give equal bytes.")
@click.option(
    "--shape",
    type=click.Choice(["array", "zip"]),
    default="array",
    show_default=True,
    help="A gzipped JSON array a year, or the Export API's zip of gzipped NDJSON.",
)
def sample(events: int, years: str, users: int, seed: int, shape: str) -> None:
    """Write synthetic exports and their ground truth into the lake's raw/ folder."""
    from analytics_assets.cli.demo import generate_sample
    from analytics_assets.sample.generator import SampleConfig

    config = SampleConfig(
        years=tuple(int(year) for year in years.split(",")),
        events=events,
        users=users,
        seed=seed,
        shape="zip" if shape == "zip" else "array",
    )
    generate_sample(Lake.default(), config)


@main.command()
@click.option("--dagster-port", envvar="ANALYTICS_DAGSTER_PORT", default=3000, show_default=True, help="Dagster UI.")
@click.option(
    "--insights-port", envvar="ANALYTICS_INSIGHTS_PORT", default=8501, show_default=True, help="Insights dashboard."
)
@click.option(
    "--processing-port",
    envvar="ANALYTICS_PROCESSING_PORT",
    default=8502,
    show_default=True,
    help="Processing dashboard.",
)
def up(dagster_port: int, insights_port: int, processing_port: int) -> None:
    """Serve the Dagster UI with its daemon and both dashboards on 127.0.0.1 until Ctrl-C."""
    from analytics_assets.cli.up import serve

    sys.exit(serve(Lake.default(), dagster_port, insights_port, processing_port))


if __name__ == "__main__":
    main()
