"""Entry point of the ``analytics`` command.

Put here: options and their help. Keep out: what a command does (the other modules of this package).
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import click

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.lake import Lake


class _Group(click.Group):
    """Commands whose expected errors are printed without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (PipelineError, ConnectionError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """User Analytics & Predictive Modeling Pipeline. The lake is ANALYTICS_DATA_DIR, else ./data."""
    # Dagster ends its helpers by this signal. Ignoring it is inherited, as from a parent that does so: they would live
    # on after every step and hold the output open.
    if signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


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


@main.group()
def quarantine() -> None:
    """Look at refused records, and load corrected ones."""


@quarantine.command("list")
@click.argument("years", nargs=-1)
@click.option("--reason", help="Only this reason code.")
@click.option("--limit", default=20, show_default=True, help="Records shown per year; 0 shows all.")
def quarantine_list(years: tuple[str, ...], reason: str | None, limit: int) -> None:
    """Show refused records of YEARS (default: all) with reason, file, byte span and the beginning of their bytes."""
    from analytics_assets.cli.quarantine import show

    show(Lake.default(), list(years), reason, limit)


@quarantine.command("export")
@click.argument("year")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--reason", help="Only this reason code.")
def quarantine_export(year: str, file: Path, reason: str | None) -> None:
    """Write YEAR's refused records to FILE, one JSON object a line; correct its "text" and hand it to replay."""
    from analytics_assets.cli.quarantine import export

    export(Lake.default(), year, file, reason)


@quarantine.command("replay")
@click.argument("year")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--tables/--no-tables", default=True, help="Recompute the year's tables and the published models afterwards."
)
def quarantine_replay(year: str, file: Path, tables: bool) -> None:
    """Load the corrected records of FILE into YEAR, each exactly once however often it is handed in."""
    from analytics_assets.cli.quarantine import replay

    sys.exit(replay(Lake.default(), year, file, tables=tables))


@main.command()
@click.argument("user")
@click.option("--yes", is_flag=True, help="Do not ask.")
def forget(user: str, yes: bool) -> None:
    """Remove the person with login id USER from chunks, quarantine and every table, for good, with a receipt."""
    from analytics_assets.cli.forget import forget_user

    if not yes:
        click.confirm(f"Remove every event of {user!r} from {Lake.default().root}?", abort=True)
    sys.exit(forget_user(Lake.default(), user))


@main.command()
@click.option("--chunks", is_flag=True, help="Also the chunks, which only pipeline steps read.")
@click.option("--exports", is_flag=True, help="Also the raw exports.")
def pull(chunks: bool, exports: bool) -> None:
    """Bring the folder up to date with the bucket of ANALYTICS_LAKE_URL: everything that dashboards read."""
    from analytics_assets.cli.bucket import pull as fetch

    fetch(Lake.default(), chunks=chunks, exports=exports)


@main.command()
def push() -> None:
    """Put the lake of the folder, raw exports and all results, into the bucket of ANALYTICS_LAKE_URL."""
    from analytics_assets.cli.bucket import push as upload

    upload(Lake.default())


@main.command()
@click.option("--days", default=90, show_default=True, help="Runs that ended longer ago are removed.")
@click.option(
    "--versions", default=3, show_default=True, type=click.IntRange(min=1), help="Versions kept of each result."
)
@click.option("--dry-run", is_flag=True, help="Only say how much there is to remove.")
def prune(days: int, versions: int, dry_run: bool) -> None:
    """Remove old runs and their logs from Dagster's history; whatever the UI shows figures of stays.

    Where the lake lies in a bucket, also the versions of results that newer ones have replaced.
    """
    from analytics_assets.cli.bucket import prune as remove_versions
    from analytics_assets.cli.history import prune as remove

    remove(Lake.default(), days, dry=dry_run)
    remove_versions(Lake.default(), versions, dry=dry_run)


@main.command()
def recover() -> None:
    """Mark runs as failed whose process is gone, and free their pools; `analytics up` does it by itself."""
    from analytics_assets.cli.history import recover as end

    end(Lake.default())


if __name__ == "__main__":
    main()
