"""Ingested data sets, their frames in Spark and their reference database, made once for all tests of this folder.

Put here: fixtures. Keep out: expectations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from analytics_assets.core.features.actors import actors as actors_query
from analytics_assets.core.features.engine import open_engine, publish
from analytics_assets.core.ingest.run import ingest_year
from analytics_assets.core.lake import Lake
from analytics_assets.core.settings import Settings, default_settings
from analytics_assets.core.summaries.frames import Frames, sorted_rows
from analytics_assets.schemas import ACTORS, Table
from analytics_assets_tests.core.event_data import chunk_files, extreme_records, hostile_records, ingest
from analytics_assets_tests.core.summaries.reference import journey_records, reference_database


def publish_actors(lake: Lake, year: str, files: Sequence[Path] | None = None) -> Path:
    """Publish the ``actors`` of an ingested year, or of other files; return the table's file."""
    target = lake.feature("actors", year)
    with open_engine(lake.staging() / "duckdb") as engine:
        publish(engine, actors_query(files or chunk_files(lake, year), default_settings()), target, ACTORS)
    return target


@dataclass
class Dataset:
    """One year's events: files, frames and reference; tables are computed once and kept."""

    name: str
    year: str
    lake: Lake
    files: list[Path]
    actors: Path
    settings: Settings
    frames: Frames
    database: duckdb.DuckDBPyConnection
    _tables: dict[str, pa.Table] = field(default_factory=dict)

    def table(self, table: Table, computation: Callable[[Frames], Any]) -> pa.Table:
        """Rows of `table`, sorted by its key as when published."""
        if table.name not in self._tables:
            self._tables[table.name] = sorted_rows(computation(self.frames), table)
        return self._tables[table.name]


def _dataset(spark: Any, name: str, year: str, lake: Lake) -> Dataset:
    files, actors, settings = chunk_files(lake, year), publish_actors(lake, year), default_settings()
    frames = Frames(spark, files, actors, year, settings)
    return Dataset(name, year, lake, files, actors, settings, frames, reference_database(files))


@pytest.fixture(scope="session")
def hostile(spark: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    """Records made by hand, of the delivery year 2024, in several files."""
    lake = Lake(tmp_path_factory.mktemp("summaries") / "analyst's hostile")
    ingest(lake, "2024", hostile_records() + extreme_records() + journey_records(), max_rows=150)
    made = _dataset(spark, "hostile", "2024", lake)
    yield made
    made.frames.release()


@pytest.fixture(scope="session")
def sample(spark: Any, sample_lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    """The generated export of 2025, in several files."""
    lake = Lake(tmp_path_factory.mktemp("summaries") / "sample")
    lake.raw().mkdir(parents=True)
    lake.raw("2025").symlink_to(sample_lake.raw("2025"))
    ingest_year(lake, "2025", max_rows=1_500)
    made = _dataset(spark, "sample", "2025", lake)
    yield made
    made.frames.release()


@pytest.fixture(scope="session", params=["sample", "hostile"])
def dataset(request: pytest.FixtureRequest) -> Dataset:
    """Each data set in turn."""
    found: Dataset = request.getfixturevalue(request.param)
    return found
