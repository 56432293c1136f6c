"""Where a backtest cuts a series.

Put here: the origins of a rolling-origin evaluation. Keep out: what is fitted there (`backtest.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

ORIGINS = 12
"""Origins when the data allow, four to choose settings on and eight to judge by: with a month between them, a year."""

CHOOSING = 4
JUDGING_AT_LEAST = 8
"""Origins are spent on choosing only when at least this many are left to judge by."""

TRAIN_SEASONS = 2
"""Fewest seasons before the first origin: one to repeat, one to learn how much repeats differ."""

HORIZONS_IN_DATA = 4
"""A horizon is evaluated when the data are at least this many times as long."""


@dataclass(frozen=True)
class Plan:
    """Origins of a series.

    Parameters
    ----------
    horizon : int
        Steps forecast from every origin.
    choosing, judging : tuple of int
        Origins as numbers of steps known there, ascending; settings are chosen on the first, models judged on the
        second. `choosing` is empty when there are few.
    """

    horizon: int
    choosing: tuple[int, ...]
    judging: tuple[int, ...]

    @property
    def origins(self) -> tuple[int, ...]:
        """All origins, ascending."""
        return self.choosing + self.judging


def plan(
    steps: int, season: int, horizons: tuple[int, ...], origins: int = ORIGINS, *, cycle: int | None = None
) -> Plan | None:
    """Spread the origins over the second half of a series.

    Parameters
    ----------
    steps : int
        Length of the series.
    season : int
        Steps of its season.
    horizons : tuple of int
        Wanted horizons; the largest that the data allow is used.
    origins : int
        Wanted number of origins.
    cycle : int, optional
        Shorter cycle that origins should not all meet at the same phase, the day of hours; the season by default.

    Returns
    -------
    Plan or None
        None when not even one step can be held out after two seasons.
    """
    train = TRAIN_SEASONS * season
    if steps < train + 1:
        return None
    fitting = [
        horizon
        for horizon in sorted(horizons)
        if steps >= HORIZONS_IN_DATA * horizon and steps >= train + horizon + JUDGING_AT_LEAST - 1
    ]
    horizon = fitting[-1] if fitting else 1
    first = min(max(train, steps // 2), steps - horizon)
    room = steps - horizon - first
    stride = min(horizon, max(1, room // max(1, origins - 1)))
    if stride > 1 and stride % (cycle or season) == 0:
        stride -= 1  # else every origin would stand at the same phase
    count = min(origins, room // stride + 1)
    cuts = tuple(steps - horizon - stride * back for back in reversed(range(count)))
    choosing = CHOOSING if count >= CHOOSING + JUDGING_AT_LEAST else 0
    return Plan(horizon, cuts[:choosing], cuts[choosing:])
