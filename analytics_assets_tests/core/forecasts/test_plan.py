"""Origins of the backtest leave room before and after, and are spent on judging first."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.core.forecasts.forecasting import HORIZONS, HOURLY_HORIZONS
from analytics_assets.core.forecasts.plan import CHOOSING, JUDGING_AT_LEAST, TRAIN_SEASONS, Plan, plan

SEASONS = {7: HORIZONS, 168: HOURLY_HORIZONS}


@given(st.integers(0, 2000), st.sampled_from(sorted(SEASONS)), st.integers(1, 30))
@settings(max_examples=500, deadline=None)
def test_every_origin_has_two_seasons_before_and_a_horizon_after(steps: int, season: int, wanted: int) -> None:
    found = plan(steps, season, SEASONS[season], wanted)
    assert (found is None) == (steps < TRAIN_SEASONS * season + 1)
    if found is None:
        return
    origins = found.origins
    assert found.horizon in SEASONS[season]
    assert list(origins) == sorted(set(origins))
    assert origins[0] >= TRAIN_SEASONS * season
    assert origins[-1] + found.horizon == steps
    assert 1 <= len(origins) <= wanted
    assert found.judging and len(found.choosing) in (0, CHOOSING)
    assert not found.choosing or len(found.judging) >= JUDGING_AT_LEAST
    strides = {later - earlier for earlier, later in pairwise(origins)}
    assert len(strides) <= 1
    assert all(stride == 1 or stride % season for stride in strides)
    assert all(stride <= found.horizon for stride in strides)


@given(st.integers(0, 2000), st.sampled_from(sorted(SEASONS)))
@settings(max_examples=300, deadline=None)
def test_eight_origins_judge_when_there_is_room(steps: int, season: int) -> None:
    shortest = min(SEASONS[season])
    found = plan(steps, season, SEASONS[season])
    if steps >= TRAIN_SEASONS * season + shortest + JUDGING_AT_LEAST - 1:
        assert found is not None and len(found.judging) >= JUDGING_AT_LEAST
    elif found is not None:
        assert len(found.judging) < JUDGING_AT_LEAST and not found.choosing


@given(st.integers(29, 2000))
@settings(max_examples=200, deadline=None)
def test_the_longest_horizon_that_the_data_allow_is_used(steps: int) -> None:
    found = plan(steps, 7, HORIZONS)
    assert found is not None
    allowed = [one for one in HORIZONS if steps >= 4 * one and steps >= 14 + one + 7]
    assert found.horizon == max(allowed)


@pytest.mark.parametrize(
    ("steps", "horizon", "choosing", "judging"),
    [(730, 30, 4, 8), (365, 30, 4, 8), (28, 7, 0, 8), (22, 1, 0, 8), (16, 1, 0, 2), (15, 1, 0, 1)],
)
def test_known_lengths(steps: int, horizon: int, choosing: int, judging: int) -> None:
    found = plan(steps, 7, HORIZONS)
    assert found is not None
    assert (found.horizon, len(found.choosing), len(found.judging)) == (horizon, choosing, judging)


def test_two_years_are_judged_month_by_month_over_the_second() -> None:
    found = plan(730, 7, HORIZONS)
    assert found == Plan(30, (370, 400, 430, 460), tuple(range(490, 701, 30)))


def test_origins_do_not_all_stand_on_one_weekday() -> None:
    found = plan(500, 7, (7,))
    assert found is not None
    assert len({origin % 7 for origin in found.origins}) > 1


def test_fewer_wanted_origins_leave_none_to_choose_on() -> None:
    found = plan(730, 7, HORIZONS, origins=11)
    assert found is not None and not found.choosing and len(found.judging) == 11
