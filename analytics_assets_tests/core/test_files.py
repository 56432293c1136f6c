from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.core import files
from analytics_assets.core.errors import PipelineError, explained_os_errors
from analytics_assets.core.files import (
    atomic_path,
    json_bytes,
    read_json,
    replace_folder,
    sha256_of,
    write_bytes,
    write_json,
    write_table,
    write_text,
)
from analytics_assets.schemas import Column, Table

TABLE = Table(
    "example",
    "For these tests.",
    (
        Column("name", "string", "", nullable=False),
        Column("count", "int64", ""),
        Column("share", "float64", ""),
        Column("at", "timestamp", ""),
    ),
)


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def arrow(rows: int) -> pa.Table:
    numbers = list(range(rows))
    return pa.table(
        {
            "name": [f"name {n * 7919} " * (1 + n % 9) for n in numbers],
            "count": [None if n % 7 == 0 else n for n in numbers],
            "share": [n / 3 for n in numbers],
            "at": pa.array([n * 1_000_003 for n in numbers], pa.timestamp("us")),
        },
    )


def test_a_file_appears_whole_and_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "a.txt"
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert temporary.parent == target.parent
        assert not target.exists()
    assert content(tmp_path) == {"new/folder/a.txt": b"new"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_keeps_the_old_file_and_leaves_no_temporary_one(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(error), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise error
    assert content(tmp_path) == {"a.txt": b"old"}


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_error_at_the_end_keeps_the_old_file(tmp_path: Path, monkeypatch, call: str) -> None:
    def fail(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write_bytes(tmp_path / "a.txt", b"old")
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space left"):
        write_bytes(tmp_path / "a.txt", b"new")
    assert content(tmp_path) == {"a.txt": b"old"}


def test_a_file_is_synced_before_it_is_renamed(tmp_path: Path, monkeypatch) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (steps.append("sync"), fsync(descriptor)))
    monkeypatch.setattr(os, "replace", lambda old, new: (steps.append("rename"), replace(old, new)))
    write_text(tmp_path / "a.txt", "é")
    assert steps == ["sync", "rename", "sync"]
    assert (tmp_path / "a.txt").read_bytes() == "é".encode()


def test_json_is_stable_and_comes_back_equal(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, None, "é\u2028"], "a": {}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert (tmp_path / "a.json").read_bytes() == json_bytes(json.loads(json.dumps(value)))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")]])
def test_numbers_that_are_no_json_raise_and_keep_the_old_file(tmp_path: Path, value: object) -> None:
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", value)
    assert content(tmp_path) == {"a.json": b"1\n"}


def test_the_digest_is_that_of_all_bytes(tmp_path: Path) -> None:
    for size in (0, 1, files.READ_BLOCK, files.READ_BLOCK + 1):
        (tmp_path / "a").write_bytes(b"x" * size)
        assert sha256_of(tmp_path / "a") == hashlib.sha256(b"x" * size).hexdigest()


def test_a_table_is_written_under_its_declared_schema_whatever_the_order_of_columns(tmp_path: Path) -> None:
    source = arrow(10)
    wide = source.append_column("more", pa.array(range(10))).select(["more", "at", "count", "name", "share"])
    assert write_table(tmp_path / "a.parquet", wide, TABLE) == 10
    found = pq.read_table(tmp_path / "a.parquet")
    assert found.schema.equals(TABLE.arrow_schema())
    assert found.to_pylist() == source.to_pylist()


@pytest.mark.parametrize("rows", [0, 10])
@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda t: t.drop_columns(["count"]), "count"),
        (lambda t: t.set_column(1, "count", pa.array(["x"] * t.num_rows)), "x"),
        (lambda t: t.set_column(1, "count", pa.array([0.5] * t.num_rows)), "0.5|truncated"),
        (lambda t: t.set_column(1, "count", pa.array([2**64 - 1] * t.num_rows, pa.uint64())), "18446744073709551615"),
        (lambda t: t.set_column(0, "name", pa.array([None] * t.num_rows, pa.string())), "null"),
        (lambda t: t.set_column(3, "at", pa.array([1] * t.num_rows, pa.timestamp("ns"))), "lose data"),
    ],
    ids=["missing column", "text", "fraction", "too large", "null", "nanoseconds"],
)
def test_what_does_not_fit_the_schema_raises_and_keeps_the_old_table(tmp_path: Path, rows, change, error) -> None:
    target = tmp_path / "a.parquet"
    write_table(target, arrow(3), TABLE)
    before = target.read_bytes()
    if rows == 0 and error != "count":
        write_table(target, change(arrow(0)), TABLE)  # no value, so none that does not fit
        assert pq.read_schema(target).equals(TABLE.arrow_schema())
        return
    with pytest.raises((KeyError, ValueError), match=error):
        write_table(target, change(arrow(rows)), TABLE)
    assert content(tmp_path) == {"a.parquet": before}


def test_an_error_in_the_source_keeps_the_old_table(tmp_path: Path) -> None:
    def batches():
        yield from arrow(10).to_batches()
        raise RuntimeError("source broke")

    write_table(tmp_path / "a.parquet", arrow(3), TABLE)
    before = content(tmp_path)
    with pytest.raises(RuntimeError, match="source broke"):
        write_table(tmp_path / "a.parquet", pa.RecordBatchReader.from_batches(arrow(1).schema, batches()), TABLE)
    assert content(tmp_path) == before


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[pa.Table, bytes]:
    """300,000 rows and the file they give in one piece."""
    target = tmp_path_factory.mktemp("reference") / "a.parquet"
    source = arrow(300_000)
    assert write_table(target, source, TABLE) == 300_000
    return source, target.read_bytes()


@settings(max_examples=8, deadline=None)
@given(st.lists(st.sampled_from([1, 999, 1_024, 65_536, 131_071, 131_072, 131_073]), min_size=1, max_size=4))
def test_equal_rows_give_equal_bytes_whatever_the_batch_sizes(tmp_path_factory, reference, sizes: list[int]) -> None:
    source, expected = reference

    def batches():
        at = turn = 0
        while at < source.num_rows:
            # Small sizes are used once each: a batch a row would take minutes.
            size = sizes[turn % len(sizes)] if turn < 20 else max(*sizes, 10_000)
            yield from source.slice(at, size).combine_chunks().to_batches()
            at, turn = at + size, turn + 1

    target = tmp_path_factory.mktemp("batches") / "a.parquet"
    reader = pa.RecordBatchReader.from_batches(source.schema, batches())
    assert write_table(target, reader, TABLE) == 300_000
    assert target.read_bytes() == expected


def test_row_groups_have_the_fixed_size(tmp_path: Path, reference) -> None:
    (tmp_path / "a.parquet").write_bytes(reference[1])
    metadata = pq.ParquetFile(tmp_path / "a.parquet").metadata
    sizes = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
    assert sizes == [131_072, 131_072, 300_000 - 2 * 131_072]


def staged(folder: Path) -> Path:
    (folder / "staging" / "deep").mkdir(parents=True)
    (folder / "staging" / "deep" / "new.txt").write_text("new")
    return folder / "staging"


@pytest.mark.parametrize("old", [False, True])
def test_a_folder_is_replaced_as_a_whole(tmp_path: Path, old: bool) -> None:
    if old:
        write_text(tmp_path / "out" / "target" / "old.txt", "old")
    replace_folder(staged(tmp_path), tmp_path / "out" / "target")
    assert content(tmp_path) == {"out/target/deep/new.txt": b"new"}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["target"]


def test_what_an_interrupted_replacement_left_behind_is_cleared(tmp_path: Path) -> None:
    write_text(tmp_path / "out" / "target" / "old.txt", "old")
    write_text(tmp_path / "out" / ".target.previous" / "older.txt", "older")
    replace_folder(staged(tmp_path), tmp_path / "out" / "target")
    assert content(tmp_path) == {"out/target/deep/new.txt": b"new"}


@pytest.mark.parametrize("failing", [1, 2])
def test_a_replacement_that_fails_leaves_the_old_folder(tmp_path: Path, monkeypatch, failing: int) -> None:
    write_text(tmp_path / "out" / "target" / "old.txt", "old")
    staging = staged(tmp_path)
    original, calls = os.replace, []

    def replace(old: Path, new: Path) -> None:
        calls.append(old)
        if len(calls) == failing:
            raise OSError(errno.EACCES, "Permission denied", str(new))
        original(old, new)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(PermissionError):
        replace_folder(staging, tmp_path / "out" / "target")
    assert content(tmp_path / "out") == {"target/old.txt": b"old"}


@pytest.mark.parametrize(
    ("number", "fact"),
    [
        (errno.ENOSPC, "no space left"),
        (errno.EDQUOT, "quota"),
        (errno.EACCES, "permission denied"),
        (errno.EPERM, "not permitted"),
        (errno.EROFS, "read-only"),
    ],
)
def test_known_system_errors_name_place_fact_and_remedy(number: int, fact: str) -> None:
    with pytest.raises(PipelineError) as caught, explained_os_errors("/lake"):
        raise OSError(number, "text", "/lake/file")
    assert (caught.value.place, str(caught.value).count("/lake/file")) == ("/lake/file", 1)
    assert fact in caught.value.fact
    assert caught.value.remedy.endswith(".")
    with pytest.raises(PipelineError) as caught, explained_os_errors("/lake"):
        raise OSError(number, "text")
    assert caught.value.place == "/lake"


def test_other_system_errors_pass_through() -> None:
    with pytest.raises(FileNotFoundError), explained_os_errors("/lake"):
        raise FileNotFoundError(errno.ENOENT, "No such file", "/lake/file")
