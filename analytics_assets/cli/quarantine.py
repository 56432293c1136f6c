"""``analytics quarantine``: refused records for people.

Put here: what is printed. Keep out: which corrections are accepted (``core/ingest/replay.py``).
"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from analytics_assets.cli import bucket
from analytics_assets.core.errors import PipelineError, explained_os_errors
from analytics_assets.core.files import write_text
from analytics_assets.core.ingest.quarantine import Refused, read_quarantine
from analytics_assets.core.lake import Lake

SHOWN_BYTES = 80
"""Beginning of a record that is printed."""

console = Console()


def _refused(lake: Lake, year: str, reason: str | None) -> list[Refused]:
    if year not in lake.ingested_years():
        raise PipelineError(lake.chunks(year), f"{year} is not ingested", "Materialize event_chunks for the year.")
    return [refused for refused in read_quarantine(lake.quarantine(year)) if reason in (None, refused.reason)]


def show(lake: Lake, years: list[str], reason: str | None, limit: int) -> None:
    """Print one table per year."""
    for year in years or lake.ingested_years():
        found = _refused(lake, year, reason)
        table = Table(title=f"{year}: {len(found)} refused records")
        for heading in ("id", "reason", "file", "bytes", "begins with"):
            table.add_column(heading, overflow="fold")
        for refused in found[: limit or None]:
            place = f"{refused.file}!{refused.member}" if refused.member else refused.file
            begin = refused.raw[:SHOWN_BYTES].decode("utf-8", "backslashreplace")
            table.add_row(refused.id, refused.reason, place, f"{refused.start}-{refused.end}", ascii(begin)[1:-1])
        console.print(table, markup=False)
        if limit and len(found) > limit:
            console.print(f"{len(found) - limit} more; --limit 0 shows all", highlight=False)


def export(lake: Lake, year: str, file: Path, reason: str | None) -> None:
    """Write refused records for correction."""
    from analytics_assets.core.ingest.replay import export_line

    found = _refused(lake, year, reason)
    with explained_os_errors(file):
        write_text(file, "".join(export_line(refused) for refused in found))
    console.print(
        f"{len(found)} records in {file}. Correct their text, then: analytics quarantine replay {year} {file}",
        highlight=False,
        soft_wrap=True,
    )


def replay(lake: Lake, year: str, file: Path, *, tables: bool) -> int:
    """Apply corrections, recompute what depends on them, print what happened; returns the exit code."""
    from analytics_assets.core.ingest.replay import replay_corrections

    bucket.fetch_whole(lake)
    done = replay_corrections(lake, year, file)
    bucket.publish_whole(lake)
    console.print(
        f"{done.applied} corrections applied ({done.known} were known, {done.unchanged} lines unchanged): "
        f"{done.loaded} more rows, {done.duplicates} more duplicates",
        highlight=False,
    )
    if done.applied and tables and lake.feature("clean_events", year).is_file():
        from analytics_assets.cli.demo import materialize

        return 0 if materialize(lake, [year], only_published=True).success else 1
    return 0
