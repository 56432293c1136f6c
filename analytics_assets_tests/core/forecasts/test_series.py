"""Series are counted from all years' events, with gaps that are unknown and days that are 0."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.forecasts.inputs import load_series
from analytics_assets.core.forecasts.series import (
    country_shares,
    daily_rows,
    daily_series,
    holiday_shares,
    hourly_series,
    last_complete_day,
)
from analytics_assets.core.lake import Lake
from analytics_assets_tests.core.forecasts.series_data import Files, deliver, event, make_series

NEW_YEAR = [
    event("2023-12-30 10:00", "user:ann", session_key="s1", latency_ms=100.0),
    event("2023-12-31 10:00", "user:ann", latency_ms=200.0),
    event("2023-12-31 23:50", "user:bob", session_key="night"),
    event("2021-06-01 10:00", "user:clock"),
]
AFTER = [
    event("2023-12-31 11:00", "user:ann", latency_ms=600.0),
    event("2023-12-31 12:00", "user:eve", latency_ms=None),
    event("2024-01-01 00:10", "user:bob", session_key="night"),
    event("2024-01-01 09:00", "user:ann", session_key="s2"),
    event("2024-01-01 09:05", "user:ann", session_key="s2"),
    event("2024-01-04 08:00", "user:ann"),
    event("2031-01-01 08:00", "user:clock"),
]


@pytest.fixture
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as found:
        yield found


def rows_of(engine: duckdb.DuckDBPyConnection, files: dict[str, Files]) -> dict:
    return daily_rows(
        engine,
        {year: one.daily for year, one in files.items()},
        [one.events for one in files.values()],
        [one.sessions for one in files.values()],
    )


def test_a_date_in_two_years_files_is_counted_anew(engine: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    files = {"2023": deliver(tmp_path, "2023", NEW_YEAR), "2024": deliver(tmp_path, "2024", AFTER)}
    found = rows_of(engine, files)
    day = found[dt.date(2023, 12, 31)]
    assert day["events"] == 4
    assert day["actors"] == 3, "ann is in both files"
    assert day["mean_latency_ms"] == pytest.approx((200 + 100 + 600) / 3)


def test_a_session_over_new_year_is_one_that_began_the_day_before(
    engine: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    kept = [one for one in AFTER if one["time"].year == 2024]
    files = {"2023": deliver(tmp_path, "2023", NEW_YEAR), "2024": deliver(tmp_path, "2024", kept)}
    found = rows_of(engine, files)
    eve, first = found[dt.date(2023, 12, 31)], found[dt.date(2024, 1, 1)]
    assert (eve["sessions"], eve["mean_session_seconds"]) == (1, 20 * 60)
    assert (first["sessions"], first["mean_session_seconds"]) == (1, 5 * 60)
    assert (eve["events"], first["events"]) == (2, 3)


def test_dates_outside_all_delivered_years_are_left_out_and_gaps_inside_are_0(
    engine: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    files = {"2023": deliver(tmp_path, "2023", NEW_YEAR), "2024": deliver(tmp_path, "2024", AFTER)}
    found = rows_of(engine, files)
    assert sorted(found) == [dt.date(2023, 12, 30) + dt.timedelta(days=step) for step in range(6)]
    empty = found[dt.date(2024, 1, 2)]
    assert (empty["events"], empty["actors"], empty["sessions"]) == (0, 0, 0)
    assert empty["mean_latency_ms"] is None and empty["mean_session_seconds"] is None


def test_a_year_that_was_not_delivered_is_unknown_and_not_0(engine: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    files = {
        "2022": deliver(tmp_path, "2022", [event("2022-12-30 10:00"), event("2023-03-01 10:00")]),
        "2024": deliver(tmp_path, "2024", [event("2024-01-02 10:00"), event("2024-01-04 10:00")]),
    }
    rows = rows_of(engine, files)
    events, latency = daily_series(rows, dt.date(2024, 1, 4), ("events", "mean_latency_ms"))
    assert str(events.start) == "2022-12-30" and len(events) == 371
    known = np.flatnonzero(~np.isnan(events.values))
    assert known.tolist() == [0, 368, 369, 370]
    assert events.values[known].tolist() == [1, 1, 0, 1]
    assert np.flatnonzero(~np.isnan(latency.values)).tolist() == [0, 368, 370]
    assert (events.unit, latency.unit) == ("events", "ms")


@pytest.mark.parametrize(("time", "whole"), [("2024-01-04 22:59:59", False), ("2024-01-04 23:00:00", True)])
def test_a_day_is_complete_when_its_last_hour_has_an_event(
    engine: duckdb.DuckDBPyConnection, tmp_path: Path, time: str, whole: bool
) -> None:
    files = deliver(tmp_path, "2024", [event("2024-01-03 23:30"), event("2024-01-04 01:00"), event(time)])
    last = dt.date(2024, 1, 4)
    assert last_complete_day(engine, [files.events], last) == (last if whole else dt.date(2024, 1, 3))


def test_hours_are_counted_and_hours_of_unknown_days_are_unknown(
    engine: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    times = ["2024-01-01 05:00", "2024-01-02 00:00", "2024-01-02 00:59:59", "2024-01-04 23:59", "2024-01-05 00:00"]
    files = deliver(tmp_path, "2024", [event(time) for time in times])
    known = [dt.date(2024, 1, day) for day in (1, 2, 4)]
    found = hourly_series(engine, [files.events], dt.date(2024, 1, 4), days=3, known=known)
    assert (found.frequency, found.season, str(found.start), len(found)) == ("h", 168, "2024-01-02T00", 72)
    expected = np.zeros(72)
    expected[0], expected[71], expected[24:48] = 2, 1, np.nan
    np.testing.assert_array_equal(found.values, expected)
    longer = hourly_series(engine, [files.events], dt.date(2024, 1, 4), days=56, known=known)
    assert str(longer.start) == "2024-01-01T00" and longer.values[5] == 1


def test_countries_are_weighed_by_what_came_before(engine: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    codes = ["NOR"] * 6 + ["DEU"] * 3 + ["FRA"] + [None] * 5
    events = [event("2024-03-01 10:00", country_code=code) for code in codes]
    events += [event("2024-03-02 00:00", country_code="JPN")] * 50
    files = deliver(tmp_path, "2024", events)
    found = country_shares(engine, [files.events], dt.date(2024, 3, 2), 0.2)
    assert found == {"NOR": pytest.approx(0.6), "DEU": pytest.approx(0.3)}
    assert country_shares(engine, [files.events], dt.date(2024, 3, 1), 0.0) == {}


def test_holidays_carry_the_share_of_their_countries_and_unknown_codes_none() -> None:
    found = holiday_shares({"NOR": 0.6, "DEU": 0.3, "XYZ": 0.1}, [2024, 2025])
    assert found[dt.date(2024, 5, 17)] == pytest.approx(0.6), "Norway alone"
    assert found[dt.date(2024, 10, 3)] == pytest.approx(0.3), "Germany alone"
    assert found[dt.date(2025, 12, 25)] == pytest.approx(0.9)
    assert dt.date(2024, 5, 16) not in found
    assert holiday_shares({"XYZ": 1.0}, [2024]) == {}


def test_a_holiday_of_an_hour_is_that_of_its_day() -> None:
    holidays = {dt.date(2024, 1, 2): 0.4, dt.date(2024, 1, 20): 0.5}
    hours = make_series(np.zeros(48), start="2024-01-01T00", season=168, holidays=holidays)
    assert hours.holiday_share(22, 50).tolist() == [0, 0, *[0.4] * 24, 0, 0]
    days = make_series(np.zeros(5), holidays=holidays)
    assert days.holiday_share(18, 21).tolist() == [0, 0.5, 0], "the future is known too"


VALUES = st.lists(st.one_of(st.none(), st.floats(0, 1e6)), min_size=1, max_size=40)


@given(VALUES, st.sampled_from([1, 2, 7]))
@settings(max_examples=200, deadline=None)
def test_filling_keeps_what_is_known_and_takes_the_nearest_same_phase(values: list, season: int) -> None:
    series = make_series(values, season=season)
    found = series.filled()
    expected: list[float | None] = []
    for step, value in enumerate(values):
        before = [values[place] for place in range(step % season, step, season) if values[place] is not None]
        after = [values[place] for place in range(step, len(values), season) if values[place] is not None]
        expected.append(value if value is not None else before[-1] if before else after[0] if after else None)
    there = [value for value in expected if value is not None]
    rest = sum(there) / len(there) if there else 0.0
    np.testing.assert_allclose(found, [rest if value is None else value for value in expected])
    np.testing.assert_array_equal(series.values, make_series(values).values)


def test_all_series_of_a_lake_end_with_the_last_complete_day(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "analyst's lake")
    events = [event(dt.datetime(2024, 1, 1 + day, hour)) for day in range(20) for hour in (8, 23)]
    deliver(lake.root, "2024", [*events, event("2024-01-21 09:00")])
    daily, hourly = load_series(lake, ["2024"], ["events", "events_per_hour"], holidays=True, origins=12, hourly_days=3)
    assert daily.values.tolist() == [2] * 20
    assert daily.holiday_share(0, 1).tolist() == [1.0], "New Year's Day in Norway"
    assert len(hourly) == 72 and hourly.values.sum() == 6 and str(hourly.start) == "2024-01-18T00"
    [plain] = load_series(lake, ["2024"], ["events"], holidays=False, origins=12)
    assert not plain.holidays


def test_a_lake_without_an_event_in_its_years_is_an_error_that_says_so(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    deliver(lake.root, "2024", [event("1970-01-01 00:00")])
    with pytest.raises(PipelineError, match="no event lies inside a delivered year"):
        load_series(lake, ["2024"], ["events"], holidays=False, origins=12)
