"""Commands that change a lake that lies in a bucket."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest

from analytics_assets.assets.ingestion import event_chunks, raw_export
from analytics_assets.cli.forget import forget_user
from analytics_assets.cli.quarantine import export, replay
from analytics_assets.core.files import read_json
from analytics_assets.core.lake import Lake
from analytics_assets.core.privacy import Privacy
from analytics_assets.core.remote.store_errors import URL_VARIABLE
from analytics_assets.core.remote.working_copy import WorkingCopy
from analytics_assets.resources.lake import LakeResource
from analytics_assets_tests.core.ingest.exports import YEAR, array, encoded, event, lines, put, rows
from analytics_assets_tests.s3_server import S3Server

WHO = "ann@example.org"
TORN = encoded(event(2)).replace(b'"n": 2', b'"n": NaN')


def materialize(lake: Lake, url: str) -> None:
    resources = {"lake": LakeResource(root=str(lake.root), url=url)}
    assert dg.materialize(
        [raw_export, event_chunks], selection="event_chunks", partition_key=YEAR, resources=resources
    ).success


@pytest.fixture
def shared(server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WorkingCopy:
    """A bucket with one ingested year, filled by a worker whose folder nobody uses again."""
    copy = WorkingCopy(Lake(tmp_path / "first"), server.new_url())
    put(copy.lake, "a.json", array([event(1), TORN]))
    put(copy.lake, "b.json", lines([event(4, user_id=WHO, device_id="ann's"), event(5, user_id=WHO)]))
    copy.push()
    materialize(copy.lake, copy.bucket.url)
    monkeypatch.setenv(URL_VARIABLE, copy.bucket.url)
    return copy


def everything(copy: WorkingCopy) -> dict[str, bytes]:
    """All objects but the raw exports, which are their owner's."""
    return {name: copy.bucket.read(name) for name in copy.bucket.list("") if not name.startswith("raw/")}


def test_a_forgotten_person_is_gone_from_the_bucket_and_stays_gone(shared: WorkingCopy, tmp_path: Path) -> None:
    pseudonym = Privacy.of(shared.lake).shown("user_id", WHO).encode()
    assert any(pseudonym in content for content in everything(shared).values())
    desk = Lake(tmp_path / "desk")
    assert forget_user(desk, WHO) == 0
    left = everything(shared)
    assert not [name for name, content in left.items() if pseudonym in content and "/privacy/" not in name]
    assert {len(numbers) for numbers in shared.versions.numbers().values()} == {1}
    # A worker with an empty folder, and one that still has the person, read the delivery again.
    for lake in (Lake(tmp_path / "new"), shared.lake):
        materialize(lake, shared.bucket.url)
        assert [row["event_type"] for row in rows(lake)] == ["event 1"]
        assert read_json(lake.manifest(YEAR))["total"]["forgotten"] == 2
    receipts = list(shared.lake.receipts().glob("*.json"))
    assert len(receipts) == 1 and read_json(receipts[0])["removed"] == {YEAR: {"events": 2, "quarantined": 0}}


def test_a_correction_reaches_every_worker(shared: WorkingCopy, tmp_path: Path) -> None:
    desk, file = Lake(tmp_path / "desk"), tmp_path / "refused.ndjson"
    copy = WorkingCopy(desk, shared.bucket.url)
    copy.pull(chunks=False, exports=False)
    export(desk, YEAR, file, None)
    [line] = [json.loads(text) for text in file.read_text().splitlines()]
    file.write_text(json.dumps(line | {"text": encoded(event(2)).decode()}) + "\n")
    assert replay(desk, YEAR, file, tables=False) == 0
    new = Lake(tmp_path / "new")
    materialize(new, shared.bucket.url)
    assert [row["event_type"] for row in rows(new)] == ["event 1", "event 2", "event 4", "event 5"]
    assert len(shared.versions.numbers()[f"event_chunks/{YEAR}"]) == 2
