"""Models learn from complete years, or from those that are named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.ingest.run import ingest_year
from analytics_assets.core.lake import Lake
from analytics_assets.core.models.inputs import input_years, is_complete
from analytics_assets_tests.core.event_data import Records, hostile_records, ingest, publish_features

TABLES = ["clean_events", "sessions", "daily_metrics"]


@pytest.fixture(scope="module")
def years(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(tmp_path_factory.mktemp("years"))
    for year in ("2024", "2025"):
        ingest(lake, year, hostile_records())
        publish_features(lake, year)
    return lake


@pytest.fixture
def copy(years: Lake, tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "copy")
    shutil.copytree(years.root, lake.root)
    return lake


def test_every_complete_year_or_the_named_ones(years: Lake) -> None:
    assert input_years(years, TABLES) == ["2024", "2025"]
    assert input_years(years, TABLES, ["2025"]) == ["2025"]


def test_a_year_without_a_table_is_left_out_and_missed_when_named(copy: Lake) -> None:
    copy.feature("sessions", "2025").unlink()
    assert input_years(copy, TABLES) == ["2024"]
    with pytest.raises(PipelineError, match="2025, 2031 lacks one of clean_events, sessions, daily_metrics"):
        input_years(copy, TABLES, ["2024", "2025", "2031"])


def redeliver(lake: Lake) -> None:
    """One more event in 2025, of which so far only the chunks know."""
    new = Records("later")
    new.add("2025-07-01 10:00:00", "only once")
    (lake.raw("2025") / "later.ndjson").write_text(json.dumps(new.made[0]))
    ingest_year(lake, "2025")


def test_a_year_whose_run_broke_off_is_left_out_until_it_is_whole(copy: Lake, tmp_path: Path) -> None:
    old = tmp_path / "old.parquet"
    shutil.copy(copy.feature("daily_metrics", "2025"), old)
    redeliver(copy)
    assert not is_complete(copy, "2025")
    assert input_years(copy, TABLES) == ["2024"]
    assert input_years(copy, TABLES, ["2025"]) == ["2025"], "who names a year gets it"
    publish_features(copy, "2025")
    assert input_years(copy, TABLES) == ["2024", "2025"]
    shutil.copy(old, copy.feature("daily_metrics", "2025"))
    assert input_years(copy, TABLES) == ["2024"]


def test_no_complete_year_says_so(copy: Lake) -> None:
    shutil.rmtree(copy.root / "features")
    with pytest.raises(PipelineError, match="no year has clean_events and sessions and daily_metrics"):
        input_years(copy, TABLES)


def test_only_broken_years_are_named(copy: Lake) -> None:
    copy.feature("clean_events", "2024").unlink()
    redeliver(copy)
    with pytest.raises(PipelineError, match="the tables of 2025 stem from different deliveries"):
        input_years(copy, TABLES)
