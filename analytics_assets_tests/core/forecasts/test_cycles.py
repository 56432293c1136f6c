"""Planted periods are found, red noise has hardly any."""

from __future__ import annotations

import numpy as np
import pytest

from analytics_assets.core.forecasts.cycles import cycles, strengths
from analytics_assets_tests.core.forecasts.series_data import LOG, SQRT, make_series, planted, red_noise

DAYS = np.arange(364)


def wave(period: int, height: float, seed: int, memory: float = 0.0) -> np.ndarray:
    return red_noise(seed, len(DAYS), memory) * np.exp(height * np.sin(2 * np.pi * DAYS / period))


@pytest.mark.parametrize("period", [7, 30])
@pytest.mark.parametrize("memory", [0.0, 0.5])
def test_a_planted_period_is_the_strongest_cycle(period: int, memory: float) -> None:
    for seed in range(5):
        found = cycles(make_series(wave(period, 0.25, seed, memory)), LOG)
        assert found and found[0].period == pytest.approx(period, rel=0.06)
        assert found[0].q_value < 0.05 and found[0].p_value <= found[0].q_value
        assert found[0].autocorrelation_significant and found[0].autocorrelation > 0.2
        assert [one.power_ratio for one in found] == sorted((one.power_ratio for one in found), reverse=True)


@pytest.mark.parametrize("memory", [0.0, 0.7])
def test_noise_has_false_cycles_at_the_stated_rate_only(memory: float) -> None:
    false = [bool(cycles(make_series(red_noise(seed, 364, memory)), LOG)) for seed in range(200)]
    assert np.mean(false) <= 0.10


@pytest.mark.parametrize("values", [np.full(100, 8.0), np.zeros(100), np.full(100, np.nan), np.arange(5.0)])
def test_series_without_variation_or_length_have_no_cycle(values: np.ndarray) -> None:
    assert cycles(make_series(values), SQRT) == []


def test_a_wave_that_turns_twice_is_a_trend() -> None:
    values = np.exp(5 + np.sin(2 * np.pi * DAYS / 182))
    assert all(one.period < len(DAYS) / 2 for one in cycles(make_series(values), LOG))


def test_unknown_days_do_not_hide_a_cycle() -> None:
    values = wave(7, 0.4, 3)
    values[50:70] = np.nan
    assert cycles(make_series(values), LOG)[0].period == pytest.approx(7, rel=0.02)


def test_strengths_tell_seasons_from_noise() -> None:
    strong = strengths(planted(1, 140, noise=0.02).series, LOG)
    weak = strengths(make_series(red_noise(1, 140, 0.0)), LOG)
    for found in (strong, weak):
        assert all(value is not None and 0 <= value <= 1 for value in found.values())
    assert strong["seasonal_strength"] > 0.95 and strong["trend_strength"] > 0.8
    assert weak["seasonal_strength"] < 0.6


def test_strengths_are_withheld_where_two_seasons_are_missing_or_nothing_varies() -> None:
    assert strengths(make_series(np.arange(14.0)), LOG) == {"trend_strength": None, "seasonal_strength": None}
    assert strengths(make_series(np.zeros(40)), LOG) == {"trend_strength": None, "seasonal_strength": None}
