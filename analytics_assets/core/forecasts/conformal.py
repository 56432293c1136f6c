"""Intervals that cover what they say: split conformal calibration of a forecaster's own spread.

Put here: scores, their quantiles, bands. Keep out: where the errors come from (`backtest.py`).

The score of a past forecast is |actual - centre| / spread on the model's scale (normalized conformal prediction,
Papadopoulos et al. 2008; Lei et al. 2018). A band is centre +- quantile of the scores x spread. Errors of earlier
origins stand in for exchangeable ones, which a series does not give exactly: the leaderboard therefore shows the
coverage that was observed on origins after those that calibrated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analytics_assets.core.forecasts.prediction import Prediction
from analytics_assets.core.forecasts.scales import Scale
from analytics_assets.core.forecasts.series import Floats

LEVELS = (0.8, 0.95)
GROUP_STEPS = (7, 14)
"""Last steps of the groups whose scores are pooled: a week, a second week, everything after."""

MIN_SPREAD = 1e-9
"""A forecaster that claims certainty is given this spread, so that a score exists."""


def conformal_quantile(scores: Floats, level: float) -> float | None:
    """The smallest score that is at least as large as ceil((n + 1) level) of n scores; None when n is too small.

    A level of 0.95 needs 19 scores, 0.8 needs 4.
    """
    rank = math.ceil(round((len(scores) + 1) * level, 9))
    return float(np.partition(scores, rank - 1)[rank - 1]) if 0 < rank <= len(scores) else None


def _rising_quantiles(groups: Sequence[Floats], level: float) -> list[float | None]:
    """Quantile of each group; neighbours are pooled where one has too few scores or the later one's is smaller.

    What lies further ahead is not known better, so a falling quantile is noise (pooled adjacent violators).
    """
    blocks: list[tuple[Floats, int]] = [(group, 1) for group in groups]
    place = 0
    while place + 1 < len(blocks):
        here, there = (conformal_quantile(block[0], level) for block in blocks[place : place + 2])
        if here is None or there is None or there < here:
            (left, m), (right, n) = blocks[place : place + 2]
            blocks[place : place + 2] = [(np.concatenate([left, right]), m + n)]
            place = max(0, place - 1)
        else:
            place += 1
    return [conformal_quantile(scores, level) for scores, count in blocks for _ in range(count)]


def scores_of(scale: Scale, actual: Floats, prediction: Prediction) -> Floats:
    """Scores of one forecast; NaN where the actual value is unknown."""
    return np.asarray(np.abs(scale.forward(actual) - prediction.centre) / np.maximum(prediction.spread, MIN_SPREAD))


@dataclass(frozen=True)
class Calibration:
    """Quantiles of past scores.

    Parameters
    ----------
    quantiles : tuple of tuple
        By level of `LEVELS`, then by group of steps; None where there were too few scores.
    """

    quantiles: tuple[tuple[float | None, ...], ...]

    @classmethod
    def of(cls, scores: Sequence[Floats]) -> Calibration:
        """From the scores of past origins, each by step.

        A level is never narrower than the one before it, which may rest on a group where it rests on more steps.
        """
        edges = (0, *GROUP_STEPS)
        groups = [
            _known([row[first:stop] for row in scores]) for first, stop in zip(edges, (*GROUP_STEPS, None), strict=True)
        ]
        found: list[tuple[float | None, ...]] = []
        for level in LEVELS:
            own = _rising_quantiles(groups, level)
            if found:
                own = [None if q is None else max(q, below or 0.0) for q, below in zip(own, found[-1], strict=True)]
            found.append(tuple(own))
        return cls(tuple(found))

    @classmethod
    def without_horizon(cls, scores: Floats) -> Calibration:
        """From scores that belong to no step ahead: the same quantile for every step."""
        return cls(tuple((conformal_quantile(scores, level),) * (len(GROUP_STEPS) + 1) for level in LEVELS))

    def bands(self, scale: Scale, prediction: Prediction) -> list[tuple[Floats, Floats]]:
        """Low and high ends by level; NaN where a level is withheld."""
        group = np.searchsorted(np.array(GROUP_STEPS), np.arange(len(prediction.mean)), side="right")
        found = []
        for quantiles in self.quantiles:
            width = np.array([np.nan if q is None else q for q in quantiles])[group]
            reach = width * np.maximum(prediction.spread, MIN_SPREAD)
            found.append((_back(scale, prediction.centre - reach), _back(scale, prediction.centre + reach)))
        return found


def native_bands(scale: Scale, prediction: Prediction) -> list[tuple[Floats, Floats]]:
    """Ends of the forecaster's own normal intervals by level."""
    from statistics import NormalDist

    found = []
    for level in LEVELS:
        reach = NormalDist().inv_cdf(0.5 + level / 2) * prediction.spread
        found.append((_back(scale, prediction.centre - reach), _back(scale, prediction.centre + reach)))
    return found


def _back(scale: Scale, ends: Floats) -> Floats:
    return np.where(np.isnan(ends), np.nan, scale.back(np.nan_to_num(ends)))


def _known(scores: Sequence[Floats]) -> Floats:
    together = np.concatenate([np.asarray(row) for row in scores]) if scores else np.array([])
    return together[~np.isnan(together)]
