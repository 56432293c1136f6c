"""Periods that a series repeats with.

Put here: tests of the spectrum and of autocorrelation, strength of season and trend. Keep out: models.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analytics_assets.core.forecasts.scales import Scale
from analytics_assets.core.forecasts.series import Floats, Series

SIGNIFICANT = 0.05
MIN_TURNS = 3
"""A period must fit three times into the series: fewer turns are a trend."""

NORMAL_95 = 1.959963984540054


@dataclass(frozen=True)
class Cycle:
    """A period whose power is more than red noise gives.

    Parameters
    ----------
    period : float
        Steps.
    power_ratio : float
        Power of the periodogram over the spectrum of the fitted AR(1) process.
    p_value, q_value : float
        Chance of such a ratio in red noise, and the false discovery rate over all frequencies.
    autocorrelation : float
        At the lag nearest to the period.
    autocorrelation_significant : bool
        Whether that is outside Bartlett's 95 % interval.
    """

    period: float
    power_ratio: float
    p_value: float
    q_value: float
    autocorrelation: float
    autocorrelation_significant: bool


def cycles(series: Series, scale: Scale) -> list[Cycle]:
    """Peaks of the periodogram that red noise does not explain, strongest first; an empty list is a finding too.

    The null is an AR(1) process fitted to the detrended series (Torrence and Compo 1998): the ratio of power to its
    spectrum is exponential with mean 1. Rates are those of Benjamini and Hochberg over all frequencies; of neighbouring
    frequencies the peak is kept.
    """
    from scipy.signal import detrend, periodogram
    from scipy.stats import false_discovery_control

    values = detrend(scale.forward(series.filled()))
    n = len(values)
    if n < 2 * MIN_TURNS or float(np.ptp(values)) < 1e-9:
        return []
    frequency, power = periodogram(values, scaling="spectrum")
    frequency, power = frequency[1:], power[1:]
    if n % 2 == 0:  # the last ordinate of an even length has one degree of freedom instead of two
        frequency, power = frequency[:-1], power[:-1]
    memory = float(np.clip(_autocorrelation(values, 1), 0.0, 0.99))
    red = (1 - memory**2) / (1 + memory**2 - 2 * memory * np.cos(2 * np.pi * frequency))
    ratio = power / (red * (power.mean() / red.mean()))
    chance = np.exp(-ratio)
    rate = np.asarray(false_discovery_control(chance))
    found = []
    for place in np.argsort(-ratio, kind="stable"):
        near = ratio[max(0, place - 1) : place + 2]
        turns = frequency[place] * n
        if rate[place] >= SIGNIFICANT or ratio[place] < near.max() or turns < MIN_TURNS:
            continue
        period = float(1 / frequency[place])
        lag = round(period)
        correlation = _autocorrelation(values, lag)
        squares = sum(_autocorrelation(values, k) ** 2 for k in range(1, lag))
        limit = NORMAL_95 * float(np.sqrt((1 + 2 * squares) / n))
        found.append(
            Cycle(
                period,
                float(ratio[place]),
                float(chance[place]),
                float(rate[place]),
                correlation,
                abs(correlation) > limit,
            )
        )
    return found


def _autocorrelation(values: Floats, lag: int) -> float:
    total = float(values @ values)
    return float(values[lag:] @ values[: len(values) - lag]) / total if total else 0.0


def strengths(series: Series, scale: Scale) -> dict[str, float | None]:
    """Strength of trend and season from 0 to 1: 1 - var(rest) / var(rest + component), of an STL decomposition.

    Wang, Smith and Hyndman 2006. None when fewer than two seasons are there.
    """
    from statsmodels.tsa.seasonal import STL

    if len(series) < 2 * series.season + 1:
        return {"trend_strength": None, "seasonal_strength": None}
    parts = STL(scale.forward(series.filled()), period=series.season, robust=True).fit()
    rest = np.asarray(parts.resid)

    def strength(component: Floats) -> float | None:
        together = float(np.var(rest + component))
        return max(0.0, 1 - float(np.var(rest)) / together) if together > 0 else None

    return {
        "trend_strength": strength(np.asarray(parts.trend)),
        "seasonal_strength": strength(np.asarray(parts.seasonal)),
    }
