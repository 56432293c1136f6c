"""Where countries stand on a map, and how many clocks each has.

Put here: reading ``country_places.tsv``, which says where it is from. Keep out: drawing (``geography.py``).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple


class CountryPlace(NamedTuple):
    """Place of a country in degrees, and the number of different clocks in it."""

    latitude: float
    longitude: float
    clocks: int


@cache
def country_places() -> dict[str, CountryPlace]:
    """Places by ISO 3166-1 alpha-3 code."""
    lines = Path(__file__).with_name("country_places.tsv").read_text(encoding="utf-8").splitlines()
    rows = (line.split("\t") for line in lines if not line.startswith("#"))
    return {
        code: CountryPlace(float(latitude), float(longitude), int(clocks)) for code, latitude, longitude, clocks in rows
    }


def has_one_clock(code: str | None) -> bool:
    """Whether the country's local time follows from UTC; false for a country that is not known."""
    place = country_places().get(code or "")
    return place is not None and place.clocks == 1
