"""When sessions happen: how much is expected on each day, and at which hour of the day.

Belongs here: the calendar of the sample (weekdays, seasons, holidays, growth) and the working day in local time.
Does not belong here: who the people are (``population``) and the time stamps of single events (``timing``).
"""

from __future__ import annotations

import datetime as dt
import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analytics_assets.sample import calibration
from analytics_assets.sample.journeys import PERSONAS

DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000

YEARLY_AMPLITUDE: Final = 0.15
"""Half the relative swing between busiest and quietest season: visible over two years, smaller than the week's."""

BUSIEST_DAY_OF_YEAR: Final = 290
"""Mid October, when policies that start on 1 January are written; the quietest day falls half a year away."""

YEARLY_GROWTH: Final = 0.2
"""Relative growth per year, linear: a trend that a forecast should find and that no plot can miss."""

HOLIDAY_FACTOR: Final = 0.3
"""A holiday keeps less than a third of its weekday's volume; in the source one kept 5 %, another about half."""

# Local working day, relative chance per hour from 0 to 23; with the countries' offsets it gives the source's UTC hours.
WORKING_HOURS: Final[tuple[float, ...]] = (
    0.1, 0.1, 0.1, 0.1, 0.2, 0.6, 2.2, 6.8, 10.8, 12.8, 12.2, 10.4,
    9.0, 10.2, 9.4, 7.6, 4.4, 1.6, 0.7, 0.3, 0.1, 0.1, 0.1, 0.1,
)  # fmt: skip
OFF_HOURS: Final = (6, 21)
"""First and last-plus-one local hour at which sessions outside working hours start, evenly."""


def calendar(years: tuple[int, ...]) -> list[dt.date]:
    """All days from 1 January of the first year to 31 December of the last.

    Parameters
    ----------
    years : tuple of int
        Consecutive years.

    Returns
    -------
    list of datetime.date
    """
    first = dt.date(years[0], 1, 1)
    return [first + dt.timedelta(days=i) for i in range((dt.date(years[-1] + 1, 1, 1) - first).days)]


def epoch_ms(day: dt.date) -> int:
    """Milliseconds from 1970-01-01 to midnight UTC of a day."""
    return (day - dt.date(1970, 1, 1)).days * DAY_MS


def _nth_weekday(year: int, month: int, weekday: int, nth: int) -> dt.date:
    """The n-th given weekday of a month; ``nth=-1`` means the last."""
    if nth < 0:
        last = (dt.date(year, month, 28) + dt.timedelta(days=4)).replace(day=1) - dt.timedelta(days=1)
        return last - dt.timedelta(days=(last.weekday() - weekday) % 7)
    first = dt.date(year, month, 1)
    return first + dt.timedelta(days=(weekday - first.weekday()) % 7 + 7 * (nth - 1))


def holidays(year: int) -> frozenset[dt.date]:
    """Days on which most of the sample's people do not work (holidays of the United States, their main country)."""
    thanksgiving = _nth_weekday(year, 11, 3, 4)
    return frozenset(
        {
            dt.date(year, 1, 1),
            _nth_weekday(year, 1, 0, 3),
            _nth_weekday(year, 5, 0, -1),
            dt.date(year, 7, 4),
            _nth_weekday(year, 9, 0, 1),
            thanksgiving,
            thanksgiving + dt.timedelta(days=1),
            dt.date(year, 12, 24),
            dt.date(year, 12, 25),
            dt.date(year, 12, 31),
        }
    )


def day_weights(days: list[dt.date]) -> NDArray[np.float64]:
    """Relative number of sessions per local day.

    Parameters
    ----------
    days : list of datetime.date

    Returns
    -------
    float64 (D,)
        Sums to 1. Rounded, so that the last bit of a cosine cannot differ between machines.
    """
    off = frozenset().union(*(holidays(year) for year in {d.year for d in days}))
    weights = []
    for i, day in enumerate(days):
        angle = 2 * math.pi * (day.timetuple().tm_yday - BUSIEST_DAY_OF_YEAR) / 365.25
        season = 1 + YEARLY_AMPLITUDE * round(math.cos(angle), 9)
        growth = 1 + YEARLY_GROWTH * i / 365.25
        weekday = calibration.WEEKDAY_SHARE[day.weekday()]
        weights.append(weekday * season * growth * (HOLIDAY_FACTOR if day in off else 1.0))
    array = np.array(weights)
    return np.asarray(array / array.sum())


def hour_profiles() -> NDArray[np.float64]:
    """Chance of each local hour for the start of a session, by persona.

    Returns
    -------
    float64 (P, 24)
        Rows sum to 1.
    """
    work = np.array(WORKING_HOURS) / sum(WORKING_HOURS)
    spread = np.zeros(24)
    spread[slice(*OFF_HOURS)] = 1 / (OFF_HOURS[1] - OFF_HOURS[0])
    return np.array([(1 - p.off_hours) * np.roll(work, p.hour_shift) + p.off_hours * spread for p in PERSONAS])


def utc_day_shift(profile: NDArray[np.float64], offset_minutes: int) -> tuple[float, float, float]:
    """How a local day's sessions fall on UTC days.

    Parameters
    ----------
    profile : float64 (24,)
        Chance of each local hour; inside an hour starts are even.
    offset_minutes : int
        Local time minus UTC.

    Returns
    -------
    tuple of float
        Chance that the UTC date is the day before, the same day, the day after; sums to 1.
    """
    before = same = after = 0.0
    for hour, chance in enumerate(profile.tolist()):
        start = hour * 60 - offset_minutes
        early = min(max(-start, 0), 60) / 60
        late = min(max(start + 60 - 1440, 0), 60) / 60
        before += chance * early
        after += chance * late
        same += chance * (1 - early - late)
    return before, same, after
