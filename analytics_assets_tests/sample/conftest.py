"""Samples shared by the tests of this folder, each written and read once."""

from __future__ import annotations

import pytest

from analytics_assets.sample.generator import SampleConfig, write_sample
from analytics_assets_tests.sample.reading import WrittenSample, read_sample

SMALL = SampleConfig(events=6_000, users=60)
MODERATE = SampleConfig(events=30_000, users=200, seed=11)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> WrittenSample:
    """6,000 events in arrays."""
    raw = tmp_path_factory.mktemp("small")
    write_sample(raw, SMALL)
    return read_sample(raw)


@pytest.fixture(scope="session")
def small_zip(tmp_path_factory: pytest.TempPathFactory) -> WrittenSample:
    """The same events in the Export API's shape."""
    raw = tmp_path_factory.mktemp("small_zip")
    write_sample(raw, SampleConfig(events=6_000, users=60, shape="zip"))
    return read_sample(raw)


@pytest.fixture(scope="session")
def moderate(tmp_path_factory: pytest.TempPathFactory) -> WrittenSample:
    """30,000 events: enough for shares to settle."""
    raw = tmp_path_factory.mktemp("moderate")
    write_sample(raw, MODERATE)
    return read_sample(raw)
