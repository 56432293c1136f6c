"""Workers that share nothing but a bucket: what one materializes, another goes on from."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner

from analytics_assets.assets import features, ingestion, quality
from analytics_assets.cli.main import main
from analytics_assets.core.files import sha256_of
from analytics_assets.core.lake import Lake
from analytics_assets.core.remote import units
from analytics_assets.core.remote.versions import Versions
from analytics_assets.core.remote.working_copy import WorkingCopy
from analytics_assets.definitions import defs
from analytics_assets.resources.lake import LakeResource
from analytics_assets.schedules import nightly
from analytics_assets.sensors import new_raw_files
from analytics_assets_tests.conftest import run_as_user
from analytics_assets_tests.core.event_data import hostile_records
from analytics_assets_tests.core.remote.conftest import tree
from analytics_assets_tests.s3_server import SECRET, S3Server

YEAR = "2024"
ASSETS = dg.load_assets_from_modules([ingestion, features, quality])
FIRST = ("raw_export", "event_chunks", "actors", "clean_events", "dropped_events")
THEN = ("sessions", "user_features", "user_profiles", "daily_metrics", "data_quality")
RECORDS = hostile_records()


def deliver(folder: Path, name: str, records: Sequence[object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(json.dumps(record) for record in records))


def materialize(lake: Lake, url: str, names: Sequence[str], *, good: bool = True) -> dg.ExecuteInProcessResult:
    found = dg.Definitions(
        assets=ASSETS,
        jobs=[dg.define_asset_job("year", selection=dg.AssetSelection.all(include_sources=True))],
        resources={"lake": LakeResource(root=str(lake.root), url=url)},
    )
    result = found.resolve_job_def("year").execute_in_process(
        partition_key=YEAR, asset_selection=[dg.AssetKey(name) for name in names], raise_on_error=False
    )
    assert result.success is good
    return result


def failure(result: dg.ExecuteInProcessResult) -> str:
    [event] = [event for event in result.all_events if event.is_step_failure]
    data = event.step_failure_data.user_failure_data
    assert data is not None, event.step_failure_data.error
    return data.description or ""


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The same year on one machine, without a bucket."""
    lake = Lake(tmp_path_factory.mktemp("local"))
    deliver(lake.raw(YEAR), "export.json", RECORDS)
    materialize(lake, "", (*FIRST, *THEN))
    return lake


@pytest.fixture(scope="module")
def shared(server: S3Server, local: Lake, tmp_path_factory: pytest.TempPathFactory) -> WorkingCopy:
    """A bucket into which worker A has published the first assets, beginning with raw files that lay only there."""
    first = WorkingCopy(Lake(tmp_path_factory.mktemp("a")), server.new_url())
    first.bucket.upload(local.raw(YEAR) / "export.json", f"raw/{YEAR}/export.json")
    materialize(first.lake, first.bucket.url, FIRST)
    return first


def published(lake: Lake) -> dict[str, bytes]:
    """What assets published, without what differs from run to run: quality figures name no times."""
    return {name: content for name, content in tree(lake).items() if not name.startswith((".digests", "analytics"))}


def test_another_worker_goes_on_and_gets_the_bytes_of_one_machine(
    shared: WorkingCopy, local: Lake, tmp_path: Path
) -> None:
    lake, url = Lake(tmp_path / "b"), shared.bucket.url
    result = materialize(lake, url, THEN)
    assert all(check.passed for check in result.get_asset_check_evaluations() if check.blocking)
    names = [f"features/{name}/{YEAR}.parquet" for name in THEN[:-1]] + [f"quality/{YEAR}.json"]
    assert {name: published(lake)[name] for name in names} == {name: published(local)[name] for name in names}
    third = WorkingCopy(Lake(tmp_path / "c"), url)
    third.pull(chunks=True, exports=True)
    assert published(third.lake) == published(local)
    events = " ".join(str(event) for event in result.all_events)
    assert SECRET not in events and "AKIA" not in events


def test_a_worker_without_new_files_takes_over_the_chunks(shared: WorkingCopy, tmp_path: Path) -> None:
    url = shared.bucket.url
    before = {unit: numbers for unit, numbers in shared.versions.numbers().items() if unit.startswith("event_chunks")}
    lake = Lake(tmp_path / "b")
    materialize(lake, url, ["event_chunks"])
    after = {unit: numbers for unit, numbers in shared.versions.numbers().items() if unit.startswith("event_chunks")}
    assert after == before, "equal files are not published anew"


def test_a_failing_step_publishes_nothing(server: S3Server, local: Lake, tmp_path: Path) -> None:
    copy = WorkingCopy(Lake(tmp_path / "a"), server.new_url())
    copy.bucket.upload(local.raw(YEAR) / "export.json", f"raw/{YEAR}/export.json")
    (tmp_path / "broken").write_bytes(b"<html>login</html>")
    copy.bucket.upload(tmp_path / "broken", f"raw/{YEAR}/other.json")
    assert "is not JSON" in failure(materialize(copy.lake, copy.bucket.url, ["event_chunks"], good=False))
    assert copy.versions.numbers() == {}
    missing = failure(materialize(copy.lake, "s3://no-such-bucket/lake", ["actors"], good=False))
    assert "holds the lake of" in missing


def test_a_lost_object_fails_the_step_with_its_name(shared: WorkingCopy, server: S3Server, tmp_path: Path) -> None:
    copy = WorkingCopy(Lake(tmp_path / "a"), server.new_url())
    deliver(copy.lake.raw(YEAR), "export.json", RECORDS[:20])
    copy.push()
    materialize(copy.lake, copy.bucket.url, ["event_chunks"])
    [key] = [name for name in copy.bucket.list("objects") if name.endswith("part-00000.csv")]
    copy.bucket.remove([key])
    text = failure(materialize(Lake(tmp_path / "b"), copy.bucket.url, ["actors"], good=False))
    assert f"{copy.bucket.url}/{key}: the object is missing" in text


def test_a_worker_that_the_environment_tells_runs_spark_on_fetched_chunks(shared: WorkingCopy, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    settings = {
        "ANALYTICS_LAKE_URL": shared.bucket.url,
        "ANALYTICS_PII_KEY": "a key for tests, not for persons",
        "ANALYTICS_FIRST_YEAR": "2015",
        "DAGSTER_HOME": str(home),
    }
    dagster = str(Path(sys.executable).with_name("dagster"))
    name = "spark_device_usage"
    select = ["--select", name, "--partition", YEAR, "-m", "analytics_assets.definitions"]
    worker = Lake(tmp_path / "worker")
    done = run_as_user(dagster, "asset", "materialize", *select, data_dir=worker.root, **settings)
    assert done.returncode == 0, done.stderr[-3000:]
    found = Versions(shared.bucket).latest(f"{name}/{YEAR}").files[f"summaries/{YEAR}/{name}.parquet"]
    assert found.sha256 == sha256_of(worker.summary(YEAR, name))
    for text in (done.stdout, done.stderr, *(path.read_bytes().decode("latin-1") for path in home.rglob("*.*"))):
        assert SECRET not in text


def test_a_dashboards_machine_pulls_what_it_shows(
    shared: WorkingCopy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, run = Lake(tmp_path / "reader"), CliRunner().invoke
    monkeypatch.setenv("ANALYTICS_DATA_DIR", str(reader.root))
    alone = run(main, ["pull"])
    assert alone.exit_code == 1 and "ANALYTICS_LAKE_URL: it is not set" in alone.output
    monkeypatch.setenv("ANALYTICS_LAKE_URL", shared.bucket.url)
    pulled = run(main, ["pull"])
    assert pulled.exit_code == 0, pulled.output
    assert f"up to date with {shared.bucket.url}" in pulled.output
    assert reader.feature("clean_events", YEAR).is_file() and reader.manifest(YEAR).is_file()
    assert not list(reader.chunks(YEAR).glob("part-*")) and not reader.raw(YEAR).exists()
    assert run(main, ["pull", "--chunks", "--exports"]).exit_code == 0
    assert len(list(reader.chunks(YEAR).glob("part-*"))) == 1 and (reader.raw(YEAR) / "export.json").is_file()
    assert "0 delivered files and 0 results uploaded" in run(main, ["push"]).output


def test_the_night_looks_into_the_bucket(shared: WorkingCopy, tmp_path: Path) -> None:
    lake = LakeResource(root=str(tmp_path / "night"), url=shared.bucket.url)
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        with dg.build_schedule_context(
            instance=instance, resources={"lake": lake}, scheduled_execution_time=datetime(2024, 5, 1, 2, tzinfo=UTC)
        ) as context:
            [request] = nightly(context)
        assert request.partition_key == YEAR
        with dg.build_sensor_context(instance=instance, resources={"lake": lake}) as context:
            found = new_raw_files(context)
        assert set(json.loads(found.cursor)) == {YEAR}


# the contract


def asset_functions() -> Iterator[tuple[dg.AssetsDefinition, object]]:
    for asset in defs.assets or []:
        assert isinstance(asset, dg.AssetsDefinition)
        yield asset, asset.op.compute_fn.decorated_fn  # type: ignore[union-attr]


def test_every_asset_exchanges_its_files() -> None:
    for asset, function in asset_functions():
        wrapped = inspect.unwrap(function)  # type: ignore[arg-type]
        assert wrapped is not function and "in_lake" in function.__code__.co_qualname, asset.keys  # type: ignore[attr-defined]


def test_every_asset_has_files_of_its_own_and_reads_those_it_depends_on(lake: Lake) -> None:
    owner: dict[str, str] = {}
    for asset, _ in asset_functions():
        for key in asset.keys:
            name, year = key.to_user_string(), YEAR if asset.partitions_def else None
            if name == units.RAW:
                continue
            unit = units.unit_of(name, year)
            for path in units.whole(lake, unit).paths:
                assert owner.setdefault(path, unit) == unit
            read = {part.unit for part in units.read_by(lake, name, _names(asset.dependency_keys), year, [YEAR])}
            for dep in _names(asset.dependency_keys) - {units.RAW}:
                partitioned = defs.resolve_asset_graph().get(dg.AssetKey(dep)).partitions_def
                assert units.unit_of(dep, YEAR if partitioned else None) in read, (name, dep)


def _names(keys: Sequence[dg.AssetKey] | set[dg.AssetKey]) -> set[str]:
    return {key.to_user_string() for key in keys}
