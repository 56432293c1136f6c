"""An S3 server, lakes of a few files, and what a reader finds.

Put here: what the tests of this folder share. Keep out: assertions.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from analytics_assets.core.files import write_bytes, write_json
from analytics_assets.core.lake import Lake
from analytics_assets.core.remote.working_copy import WorkingCopy
from analytics_assets_tests.s3_server import S3Server

YEAR = "2024"
Worker = Callable[[], WorkingCopy]


@pytest.fixture
def url(server: S3Server) -> str:
    return server.new_url()


@pytest.fixture
def worker(url: str, tmp_path: Path) -> Worker:
    """Makes workers of one bucket, each with an empty folder."""
    made: list[WorkingCopy] = []

    def new() -> WorkingCopy:
        made.append(WorkingCopy(Lake(tmp_path / f"worker's folder {len(made)}"), url))
        return made[-1]

    return new


def fill(lake: Lake, content: str) -> None:
    """Files of every kind, each with `content` in it; chunks as many as it has letters."""
    write_bytes(lake.raw(YEAR) / "day" / "a.json", b"[]")
    write_bytes(lake.settings(), b"")
    write_results(lake, content)


def write_results(lake: Lake, content: str) -> None:
    """What assets publish; an event file with a name that is a pattern elsewhere."""
    for number, letter in enumerate(content):
        write_bytes(lake.chunks(YEAR) / f"part-{number:05d}.csv", letter.encode() * 1000)
    write_bytes(lake.chunks(YEAR) / "unreadable_values.ndjson", b"")
    write_bytes(lake.ledger(YEAR) / "0.index", content.encode())
    write_json(lake.manifest(YEAR), {"content": content})
    write_bytes(lake.quarantine(YEAR) / "refused.ndjson", content.encode())
    write_bytes(lake.feature("sessions", YEAR), content.encode())
    write_bytes(lake.model("markov_chain") / "figures" / "a [b] *?.png", content.encode())
    write_bytes(lake.model("markov_chain") / "metrics.json", content.encode())


def tree(lake: Lake) -> dict[str, bytes]:
    """Every file but those that a working copy keeps for itself."""
    own = (".bucket", ".locks", ".staging", ".keys")
    return {
        path.relative_to(lake.root).as_posix(): path.read_bytes()
        for path in sorted(lake.root.rglob("*"))
        if path.is_file() and path.relative_to(lake.root).parts[0] not in own
    }


def pulled(copy: WorkingCopy) -> dict[str, bytes]:
    """What a worker finds in the bucket."""
    copy.pull(chunks=True, exports=True)
    return tree(copy.lake)
