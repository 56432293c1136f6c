"""Properties that hold for any settings."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_assets.sample.calibration import LATENCY_MS
from analytics_assets.sample.generator import SampleConfig, write_sample
from analytics_assets.sample.sampling import assign_by_share, draw_quantiles, draw_rows, take_share
from analytics_assets.sample.timing import SESSION_TIMEOUT_MS, separate_sessions
from analytics_assets.sample.volume import hour_profiles, utc_day_shift
from analytics_assets_tests.sample.reading import read_sample


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    first_year=st.integers(2019, 2026),
    n_years=st.integers(1, 3),
    events=st.integers(1_000, 3_000),
    users=st.integers(10, 80),
    seed=st.integers(0, 2**40),
    shape=st.sampled_from(["array", "zip"]),
    compress=st.booleans(),
    duplicate_share=st.floats(0, 0.2),
    late_share=st.floats(0, 0.2),
    malformed=st.integers(0, 13),
)
def test_records_are_conserved(
    first_year: int,
    n_years: int,
    events: int,
    users: int,
    seed: int,
    shape: Literal["array", "zip"],
    compress: bool,
    duplicate_share: float,
    late_share: float,
    malformed: int,
) -> None:
    config = SampleConfig(
        years=tuple(range(first_year, first_year + n_years)),
        events=events,
        users=users,
        seed=seed,
        shape=shape,
        compress=compress,
        duplicate_share=duplicate_share,
        late_share=late_share,
        malformed_records=malformed,
    )
    with tempfile.TemporaryDirectory() as folder:
        write_sample(Path(folder), config)
        sample = read_sample(Path(folder))
    assert list(sample.years) == [str(year) for year in config.years]
    for year, content in sample.years.items():
        figures = sample.truth["years"][year]
        assert figures["records"] == len(content.elements)
        assert figures["records"] == figures["events"] + figures["duplicates"] + figures["malformed"]
        assert figures["events"] == len(content.events)
        assert figures["duplicates"] == content.duplicates
        assert figures["malformed"] == sum(content.refused.values())
    total = sample.truth["total"]
    assert total["events"] == len(sample.events)
    assert total["sessions"] == len({(e["amplitude_id"], e["session_id"]) for e in sample.events.values()})
    assert sum(sample.truth["expected_daily_events"].values()) == pytest.approx(events, rel=0.05)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=60), st.lists(st.floats(0.01, 1), min_size=1, max_size=6))
def test_shares_are_met_up_to_the_largest_item(amounts: list[int], shares: list[float]) -> None:
    amount, share = np.array(amounts, dtype=np.int64), np.array(shares)
    category = assign_by_share(amount, share)
    held = np.bincount(category, weights=amount, minlength=len(shares))
    wanted = share / share.sum() * amount.sum()
    assert np.all(held <= wanted + amount.max() + 1e-6)
    marked = take_share(amount, np.arange(len(amount)), 500.0)
    assert amount[marked].sum() <= 500


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_sessions_of_one_person_are_kept_apart(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    start, length, user = rng.integers(0, 10**8, n), rng.integers(0, 10**7, n), rng.integers(0, 3, n)
    moved = separate_sessions(start, length, user)
    assert np.all(moved >= start)
    for person in range(3):
        mine = np.flatnonzero(user == person)
        mine = mine[np.argsort(moved[mine], kind="stable")]
        assert np.all(moved[mine][1:] >= (moved + length)[mine][:-1] + SESSION_TIMEOUT_MS)


@pytest.mark.parametrize("offset", [-480, -300, 0, 60, 330, 540])
def test_local_days_fall_on_utc_days(offset: int) -> None:
    rng = np.random.default_rng(1)
    for profile in hour_profiles():
        shares = utc_day_shift(profile, offset)
        assert sum(shares) == pytest.approx(1)
        hour = draw_rows(rng, profile.cumsum()[None, :], np.zeros(20_000, dtype=np.int64))
        minute = hour * 60 + rng.integers(0, 60, len(hour)) - offset
        drawn = [(minute < 0).mean(), ((minute >= 0) & (minute < 1440)).mean(), (minute >= 1440).mean()]
        assert drawn == pytest.approx(list(shares), abs=0.015)


def test_quantile_tables_are_read_as_quantiles() -> None:
    drawn = draw_quantiles(np.random.default_rng(2), LATENCY_MS, 200_000)
    for probability, value in LATENCY_MS[1:-1]:
        assert np.quantile(drawn, probability) == pytest.approx(value, rel=0.05)
