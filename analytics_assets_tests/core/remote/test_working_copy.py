"""Folder and bucket: what belongs together, what is never lost, and what is said when something is wrong."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from analytics_assets.core.errors import PipelineError, is_transient
from analytics_assets.core.files import write_bytes
from analytics_assets.core.lake import Lake
from analytics_assets.core.remote import units
from analytics_assets.core.remote.bucket import Bucket
from analytics_assets.core.remote.store_errors import in_words
from analytics_assets.core.remote.working_copy import WorkingCopy
from analytics_assets_tests.core.remote.conftest import YEAR, Worker, fill, pulled, tree
from analytics_assets_tests.s3_server import BUCKET, SECRET, S3Server, new_clients

SESSIONS = f"sessions/{YEAR}"


@pytest.fixture
def published(worker: Worker) -> WorkingCopy:
    copy = worker()
    fill(copy.lake, "abc")
    copy.push()
    return copy


def key_of(copy: WorkingCopy, path: str) -> str:
    """Object with the content of a file."""
    [key] = [name for name in copy.bucket.list("objects") if name.endswith(f"/{path}")]
    return key


# objects


@pytest.mark.parametrize("unit", ["event_chunks", "sessions"])
def test_a_missing_object_is_named_and_the_folder_stays(published: WorkingCopy, worker: Worker, unit: str) -> None:
    part = units.whole(published.lake, f"{unit}/{YEAR}")
    path = {"event_chunks": f"chunks/{YEAR}/part-00001.csv", "sessions": f"features/{SESSIONS}.parquet"}[unit]
    key = key_of(published, path)
    published.bucket.remove([key])
    reader = worker()
    target = reader.lake.root / path
    write_bytes(target, b"earlier")
    with pytest.raises(PipelineError, match="the object is missing") as caught:
        reader.fetch([part])
    assert caught.value.place == f"{published.bucket.url}/{key}"
    assert target.read_bytes() == b"earlier"


@pytest.mark.parametrize("content", [b"", b"abC"])
def test_a_damaged_object_is_named_and_the_folder_stays(
    published: WorkingCopy, worker: Worker, tmp_path: Path, content: bytes
) -> None:
    key = key_of(published, f"features/{SESSIONS}.parquet")
    (tmp_path / "damaged").write_bytes(content)
    published.bucket.upload(tmp_path / "damaged", key)
    reader = worker()
    reader.attach()
    write_bytes(reader.lake.feature("sessions", YEAR), b"earlier")
    with pytest.raises(PipelineError, match="the object is damaged") as caught:
        reader.fetch([units.whole(reader.lake, SESSIONS)])
    assert caught.value.place == f"{published.bucket.url}/{key}"
    assert reader.lake.feature("sessions", YEAR).read_bytes() == b"earlier"
    # As the message says: without the version it is computed again.
    published.bucket.remove([f"versions/{SESSIONS}/00000001.json"])
    with reader.step(["sessions"], ["clean_events"], YEAR) as publish:
        write_bytes(reader.lake.feature("sessions", YEAR), b"abc")
        publish("sessions")
    assert pulled(published)[f"features/{SESSIONS}.parquet"] == b"abc"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"format": 1, "files": {"../outside": {"key": "k", "bytes": 0, "sha256": ""}}}',
        b'{"format": 1, "files": {"/etc/outside": {"key": "k", "bytes": 0, "sha256": ""}}}',
        b'{"format": 1, "files": {"features/sessions/2024.parquet": {"key": "k"}}}',
        b'{"format": 2}',
    ],
)
def test_a_version_that_is_none_is_named(worker: Worker, content: bytes) -> None:
    copy = worker()
    name = f"versions/{SESSIONS}/00000001.json"
    assert copy.bucket.create(name, content)
    with pytest.raises(PipelineError, match="a later release wrote it" if b"2}" in content else "damaged") as caught:
        copy.pull(chunks=True, exports=True)
    assert caught.value.place == f"{copy.bucket.url}/{name}"
    assert tree(copy.lake) == {}


def test_a_damaged_local_file_is_mended(published: WorkingCopy) -> None:
    before = tree(published.lake)
    part = published.lake.chunks(YEAR) / "part-00001.csv"
    part.write_bytes(b"c" * 1000)
    published.lake.feature("sessions", YEAR).unlink()
    assert pulled(published) == before


def test_dashboards_need_no_chunks(published: WorkingCopy, worker: Worker) -> None:
    copy = worker()
    copy.pull(chunks=False, exports=False)
    everything = tree(published.lake)
    left_out = {name for name in everything if name.startswith(("raw/", f"chunks/{YEAR}/"))} - {
        f"chunks/{YEAR}/manifest.json"
    }
    assert tree(copy.lake) == {name: content for name, content in everything.items() if name not in left_out}


# delivered files


def test_exports_follow_the_bucket(published: WorkingCopy, worker: Worker, tmp_path: Path) -> None:
    reader = worker()
    pulled(reader)
    other = tmp_path / "other.json"
    other.write_bytes(b"[1]")
    published.bucket.upload(other, f"raw/{YEAR}/day/a.json")
    published.bucket.upload(other, "raw/2023/b.json")
    published.bucket.upload(other, f"raw/{YEAR}/.hidden")
    reader.fetch_exports()
    assert {path: content for path, content in tree(reader.lake).items() if path.startswith("raw/")} == {
        f"raw/{YEAR}/day/a.json": b"[1]",
        "raw/2023/b.json": b"[1]",
    }
    published.bucket.remove(["raw/2023/b.json"])
    reader.fetch_exports()
    assert not (reader.lake.raw("2023") / "b.json").exists()


def test_an_export_that_is_only_here_is_kept_and_named(published: WorkingCopy, worker: Worker) -> None:
    reader = worker()
    pulled(reader)
    only = reader.lake.raw(YEAR) / "new.json"
    write_bytes(only, b"[2]")
    changed = reader.lake.raw(YEAR) / "day" / "a.json"
    published.bucket.remove([f"raw/{YEAR}/day/a.json"])
    changed.write_bytes(b"[1, 2]")
    for expected in (changed, only):
        with pytest.raises(PipelineError, match="analytics push") as caught:
            reader.fetch_exports()
        assert caught.value.place == str(expected) and expected.is_file()
        changed.unlink(missing_ok=True)
    reader.push()
    assert pulled(worker())[f"raw/{YEAR}/new.json"] == b"[2]"


def test_an_unchanged_export_is_not_downloaded_again(
    published: WorkingCopy, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = worker()
    pulled(reader)
    monkeypatch.setattr(Bucket, "download", lambda *_: pytest.fail("it is here"))
    reader.fetch_exports()
    published.fetch_exports()


def test_an_export_of_the_same_name_is_never_overwritten(published: WorkingCopy) -> None:
    export = published.lake.raw(YEAR) / "day" / "a.json"
    export.write_bytes(b"[1, 2, 3]")
    with pytest.raises(PipelineError, match="never overwritten") as caught:
        published.push()
    assert caught.value.place == str(export)


# which folder belongs to which bucket


def test_a_lake_of_its_own_is_not_replaced(published: WorkingCopy, worker: Worker) -> None:
    other = worker()
    fill(other.lake, "other")
    before = tree(other.lake)
    for act in (lambda: other.pull(chunks=True, exports=True), other.fetch_exports, other.push):
        with pytest.raises(PipelineError, match="holds"):
            act()
    assert tree(other.lake) == before
    assert published.versions.numbers()[SESSIONS] == [1]


def test_a_working_copy_stays_with_its_bucket(published: WorkingCopy, server: S3Server) -> None:
    moved = WorkingCopy(published.lake, server.new_url())
    with pytest.raises(PipelineError, match="not that of"):
        moved.pull(chunks=True, exports=True)


def test_workers_need_one_key(lake: Lake, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANALYTICS_PII_KEY")
    with pytest.raises(PipelineError, match="ANALYTICS_PII_KEY"):
        WorkingCopy(lake, url)
    monkeypatch.setenv("ANALYTICS_PII", "keep")
    WorkingCopy(lake, url).pull(chunks=False, exports=False)


# surroundings


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """To change the AWS variables with."""
    with new_clients():
        yield monkeypatch


@pytest.mark.parametrize(
    "address",
    [
        f"s3://user:{SECRET}@bucket/prefix",
        f"s3://bucket/prefix?secret={SECRET}",
        f"https://bucket/{SECRET}",
        f"{SECRET}",
        "s3://",
        "s3://Bucket",
        "s3://bucket//double",
    ],
)
def test_an_address_of_another_form_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(PipelineError, match="ANALYTICS_LAKE_URL: it is not of the form") as caught:
        Bucket(address)
    assert SECRET not in str(caught.value)


def test_no_such_bucket(lake: Lake, server: S3Server) -> None:
    with pytest.raises(PipelineError, match="there is no such bucket") as caught:
        WorkingCopy(lake, "s3://no-such-bucket/lake").pull(chunks=False, exports=False)
    assert caught.value.place == "s3://no-such-bucket/lake"


def test_no_credentials(lake: Lake, url: str, elsewhere: pytest.MonkeyPatch) -> None:
    elsewhere.delenv("AWS_ACCESS_KEY_ID")
    elsewhere.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(PipelineError, match="there are no credentials"):
        WorkingCopy(lake, url).pull(chunks=False, exports=False)


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", f"http://user:{SECRET}@127.0.0.1:1"])
def test_a_store_that_does_not_answer_is_tried_again(
    lake: Lake, url: str, elsewhere: pytest.MonkeyPatch, address: str
) -> None:
    elsewhere.setenv("AWS_ENDPOINT_URL", address)
    with pytest.raises(ConnectionError, match="cannot be reached") as caught:
        WorkingCopy(lake, url).pull(chunks=False, exports=False)
    assert is_transient(caught.value)
    assert caught.value.__suppress_context__ and SECRET not in str(caught.value)


def test_an_endpoint_that_is_none(lake: Lake, url: str, elsewhere: pytest.MonkeyPatch) -> None:
    elsewhere.setenv("AWS_ENDPOINT_URL", "not an address")
    with pytest.raises(PipelineError, match="AWS_ENDPOINT_URL: it is not an address"):
        WorkingCopy(lake, url).pull(chunks=False, exports=False)


@pytest.mark.parametrize(
    ("kind", "code", "transient", "text"),
    [
        (PermissionError, "InvalidAccessKeyId", False, "the store refuses access (InvalidAccessKeyId)"),
        (PermissionError, "AccessDenied", False, "the store refuses access (AccessDenied)"),
        (OSError, "SlowDown", True, "cannot be reached (SlowDown)"),
        (OSError, "InternalError", True, "cannot be reached (InternalError)"),
        (OSError, "InvalidBucketName", False, "the store answers InvalidBucketName"),
        (FileNotFoundError, "NoSuchKey", False, "the object is missing"),
    ],
)
def test_answers_of_the_store(kind: type[OSError], code: str, transient: bool, text: str) -> None:
    from botocore.exceptions import ClientError

    error = kind(f"message with {SECRET}")
    error.__cause__ = ClientError({"Error": {"Code": code, "Message": SECRET}}, "PutObject")
    found = in_words("s3://bucket/lake", "s3://bucket/lake/object", error)
    assert is_transient(found) is transient
    assert text in str(found) and "s3://bucket/lake/object" in str(found) and SECRET not in str(found)


def test_a_full_disk_is_not_taken_for_the_store(
    published: WorkingCopy, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = worker()
    real = Bucket.download

    def full(self: Bucket, name: str, target: Path) -> None:
        store = self._store
        monkeypatch.setattr(store, "get_file", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space")))
        real(self, name, target)

    monkeypatch.setattr(Bucket, "download", full)
    with pytest.raises(PipelineError, match="no space left on the device"):
        reader.fetch([units.whole(reader.lake, SESSIONS)])


def test_no_secret_is_left_anywhere(published: WorkingCopy, worker: Worker) -> None:
    reader = worker()
    pulled(reader)
    for root in (published.lake.root, reader.lake.root):
        for path in root.rglob("*"):
            assert path.is_dir() or SECRET.encode() not in path.read_bytes(), path
    for name in published.bucket.list(""):
        assert SECRET.encode() not in published.bucket.read(name), name
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == SECRET and BUCKET in published.bucket.url


def test_a_version_says_what_it_holds(published: WorkingCopy) -> None:
    """The layout is documented: other programs read it."""
    document = json.loads(published.bucket.read(f"versions/{SESSIONS}/00000001.json"))
    assert document["format"] == 1 and document["published"].startswith("20")
    file = document["files"][f"features/{SESSIONS}.parquet"]
    assert published.bucket.read(file["key"]) == b"abc" and file["bytes"] == 3
