"""``analytics forget``: remove a person and print the receipt.

Put here: what is printed, and how tables are computed anew. Keep out: the removal itself (``core/forget.py``).
"""

from __future__ import annotations

from rich.console import Console

from analytics_assets.cli import bucket
from analytics_assets.core.errors import PipelineError
from analytics_assets.core.lake import Lake

console = Console()


def forget_user(lake: Lake, user: str) -> int:
    """Remove a person; returns the exit code."""
    from analytics_assets.core.forget import forget

    def refresh(years: list[str]) -> None:
        from analytics_assets.cli.demo import materialize

        # Steps begin from what is published: the suppression list must be.
        bucket.publish_whole(lake)
        outcome = materialize(lake, years, only_published=True)
        if not outcome.success:
            raise PipelineError(
                lake.root,
                f"the tables could not be computed anew: {outcome.failures + outcome.checks_failed}",
                "Remove the cause and run the command again.",
            )

    bucket.fetch_whole(lake)
    receipt = forget(lake, user, refresh, lambda text: console.print(text, highlight=False))
    bucket.publish_whole(lake)
    bucket.prune(lake, 1, dry=False)
    for year, removed in receipt["removed"].items():
        console.print(
            f"{year}: {removed['events']:,} events, {removed['quarantined']:,} refused records", highlight=False
        )
    for name, rows in receipt["tables"].items():
        console.print(f"{name}: {rows['before']:,} rows of the person before, {rows['after']:,} after", highlight=False)
    for year, files in receipt["raw_files_with_forgotten_records"].items():
        for file, records in files.items():
            console.print(
                f"Still yours to delete: {lake.raw(year) / file} holds {records:,} records of forgotten persons",
                highlight=False,
                soft_wrap=True,
            )
    console.print(f"Receipt: {receipt['path']}", highlight=False, soft_wrap=True)
    return 0
