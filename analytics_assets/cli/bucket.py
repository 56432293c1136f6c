"""The lake in a bucket, from the command line.

Put here: ``analytics pull`` and ``analytics push``, and what other commands exchange with the bucket. Keep out: the
exchange itself (``core/remote``).
"""

from __future__ import annotations

import click

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.lake import Lake
from analytics_assets.core.remote import units
from analytics_assets.core.remote.store_errors import URL_VARIABLE
from analytics_assets.core.remote.working_copy import WorkingCopy, working_copy


def _needed(lake: Lake) -> WorkingCopy:
    copy = working_copy(lake)
    if copy is None:
        raise PipelineError(URL_VARIABLE, "it is not set", "Set it to s3://bucket/prefix.")
    return copy


def pull(lake: Lake, *, chunks: bool, exports: bool) -> None:
    """Bring the folder up to date with the bucket."""
    copy = _needed(lake)
    copy.pull(chunks=chunks, exports=exports)
    click.echo(f"{lake.root} is up to date with {copy.bucket.url}.")


def push(lake: Lake) -> None:
    """Put a lake that was a folder into the bucket."""
    copy = _needed(lake)
    files, published = copy.push()
    click.echo(f"{files:,} delivered files and {published:,} results uploaded to {copy.bucket.url}.")


def prune(lake: Lake, keep: int, *, dry: bool) -> None:
    """Remove superseded versions from the bucket, if there is one."""
    copy = working_copy(lake)
    if copy is not None:
        found = copy.versions.prune(keep, dry=dry)
        verb = "would be removed" if dry else "removed"
        click.echo(
            f"{found.versions:,} superseded versions with {found.objects:,} objects ({found.bytes / 1e6:,.1f} MB) "
            f"{verb} from {copy.bucket.url}."
        )


def fetch_exports(lake: Lake) -> None:
    """Fetch all raw exports, if the lake lies in a bucket."""
    copy = working_copy(lake)
    if copy is not None:
        copy.fetch_exports()


def fetch_whole(lake: Lake) -> None:
    """Fetch everything, if the lake lies in a bucket."""
    copy = working_copy(lake)
    if copy is not None:
        copy.pull(chunks=True, exports=True)


def publish_whole(lake: Lake) -> None:
    """Publish what a command has changed, if the lake lies in a bucket."""
    copy = working_copy(lake)
    if copy is not None:
        copy.publish(units.local_units(lake))


def push_exports(lake: Lake) -> None:
    """Upload generated exports, if the lake lies in a bucket."""
    copy = working_copy(lake)
    if copy is not None:
        copy.push()
