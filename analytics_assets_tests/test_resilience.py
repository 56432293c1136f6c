"""What goes wrong around a run ends as docs/operations.md says: two runs of a year at once, and a disk that is full."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._utils.tags import TagConcurrencyLimitsCounter

from analytics_assets.assets.features import actors, cleaning, daily_metrics, sessions, user_features
from analytics_assets.assets.ingestion import event_chunks, raw_export
from analytics_assets.automation import PARTITION_TAG
from analytics_assets.core.lake import Lake
from analytics_assets.definitions import build_defs
from analytics_assets.resources.lake import LakeResource
from analytics_assets_tests.conftest import ROOT
from analytics_assets_tests.core.event_data import hostile_records, ingest, publish_features

YEAR = "2024"
ASSETS = [raw_export, event_chunks, actors, cleaning, sessions, user_features, daily_metrics]
DISK_BYTES = 24_000_000
"""Room for a small year, and little enough to fill at once."""


def published(lake: Lake) -> dict[str, bytes]:
    """Everything that readers see."""
    return {
        path.relative_to(lake.root).as_posix(): path.read_bytes()
        for name in ("chunks", "quarantine", "features", "quality")
        for path in sorted((lake.root / name).rglob("*"))
        if path.is_file() and ".ledger" not in path.parts
    }


def test_the_tables_of_a_year_made_by_two_processes_at_once_are_whole(lake: Lake, tmp_path: Path) -> None:
    """Without the queue, as from two terminals: each file is of one or the other, and both wrote the same."""
    ingest(lake, YEAR, hostile_records())
    work = (
        "import sys; from pathlib import Path; from analytics_assets.core.lake import Lake; "
        "from analytics_assets_tests.core.event_data import publish_features; "
        "[publish_features(Lake(Path(sys.argv[1])), sys.argv[2]) for _ in range(2)]"
    )
    command = [sys.executable, "-c", work, str(lake.root), YEAR]
    both = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    alone = Lake(tmp_path / "alone")
    ingest(alone, YEAR, hostile_records())
    publish_features(alone, YEAR)
    assert published(lake) == published(alone)
    assert not [*lake.root.rglob("*.tmp"), *lake.staging().glob("clean-*")]


@pytest.mark.parametrize("shipped", ["dagster.yaml", "postgres/dagster.yaml"])
def test_the_queue_never_starts_a_year_twice(shipped: str) -> None:
    settings = yaml.safe_load(files("analytics_assets.deploy").joinpath(shipped).read_text())["concurrency"]["runs"]
    job = build_defs().resolve_job_def("yearly_job")
    with dg.DagsterInstance.ephemeral() as instance:
        started, same, other = (
            instance.create_run_for_job(job, status=status, tags={PARTITION_TAG: year})
            for status, year in (
                (dg.DagsterRunStatus.STARTED, "2024"),
                (dg.DagsterRunStatus.NOT_STARTED, "2024"),
                (dg.DagsterRunStatus.NOT_STARTED, "2025"),
            )
        )
    counter = TagConcurrencyLimitsCounter(settings["tag_concurrency_limits"], [started])
    assert counter.is_blocked(same)
    assert not counter.is_blocked(other)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Lake]:
    """A lake on a disk of its own, which can be filled."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield Lake(place / "lake")
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(lake: Lake, room: int) -> Path:
    """Leave so many bytes on the disk."""
    filler = lake.root.parent / "filler"
    with filler.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(b"x" * 65_536)
        except OSError:
            stream.truncate(max(0, stream.tell() - room))
    return filler


def materialize(lake: Lake, *chosen: str) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        ASSETS,
        selection=list(chosen) or None,
        partition_key=YEAR,
        resources={"lake": LakeResource(root=str(lake.root))},
        raise_on_error=False,
    )


def failures(result: dg.ExecuteInProcessResult) -> list[str]:
    found = []
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data.user_failure_data
            assert data is not None, event.step_failure_data.error
            found.append(data.description or "")
    return found


def deliver(lake: Lake) -> None:
    """One more file, whose events are new."""
    text = (lake.raw(YEAR) / "events.ndjson").read_text().replace('"uuid": "h-', '"uuid": "later-')
    (lake.raw(YEAR) / "later.ndjson").write_text(text)


def test_a_full_disk_stops_a_run_and_leaves_the_earlier_tables(small_disk: Lake, tmp_path: Path) -> None:
    lake = small_disk
    ingest(lake, YEAR, hostile_records())
    assert materialize(lake).success
    before = published(lake)
    deliver(lake)
    filler = fill(lake, 200_000)
    [text] = failures(materialize(lake, "event_chunks"))
    assert "no space left on the device" in text and "Free space" in text and str(lake.root) in text
    assert published(lake) == before

    filler.unlink()
    assert materialize(lake, "event_chunks").success
    chunks = published(lake)
    filler = fill(lake, 100_000)
    texts = failures(materialize(lake, "actors", "clean_events", "dropped_events", "sessions"))
    assert texts and all("no space left on the device" in text for text in texts)
    assert published(lake).keys() == before.keys()
    assert {name: content for name, content in published(lake).items() if name.startswith("features/clean")} == {
        name: content for name, content in before.items() if name.startswith("features/clean")
    }
    assert {name: chunks[name] for name in chunks if name.startswith("chunks/")} == {
        name: content for name, content in published(lake).items() if name.startswith("chunks/")
    }

    filler.unlink()
    assert materialize(lake).success
    roomy = Lake(tmp_path / "roomy")
    ingest(roomy, YEAR, hostile_records())
    deliver(roomy)
    assert materialize(roomy).success
    assert published(lake) == published(roomy), "as on a disk that was never full"
    assert not list(lake.root.rglob("*.tmp"))
