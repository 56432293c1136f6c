"""Outlines of countries.

Put here: reading ``country_outlines.tsv``, which says where it is from. Keep out: drawing (``geography.py``).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

Ring = tuple[tuple[float, float], ...]
"""Longitude and latitude in degrees of the corners of one closed line."""


@cache
def country_outlines() -> dict[str, list[Ring]]:
    """Rings by ISO 3166-1 alpha-3 code; those of land without a code under an empty one."""
    found: dict[str, list[Ring]] = {}
    for line in Path(__file__).with_name("country_outlines.tsv").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            code, corners = line.split("\t")
            pairs = (corner.split(",") for corner in corners.split(" "))
            found.setdefault(code, []).append(
                tuple((float(longitude), float(latitude)) for longitude, latitude in pairs)
            )
    return found
