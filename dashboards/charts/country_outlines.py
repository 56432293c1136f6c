"""Outlines of countries.

Put here: reading ``country_outlines.tsv``, which says where it is from, and cutting what lies on both sides of the
antimeridian. Keep out: drawing (``geography.py``).
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
            ring = tuple((float(longitude), float(latitude)) for longitude, latitude in pairs)
            found.setdefault(code, []).extend(cut_at_antimeridian(ring))
    return found


def cut_at_antimeridian(ring: Ring) -> list[Ring]:
    """A ring in parts that lie between 180 degrees west and east: else it would be drawn across the whole map.

    A step of more than half the way round the Earth is taken for the short way over the antimeridian. The parts are
    cut as by Sutherland and Hodgman 1974.
    """
    whole = [ring[0]]
    for longitude, latitude in ring[1:]:
        turns = round((whole[-1][0] - longitude) / 360)
        whole.append((longitude + 360 * turns, latitude))
    parts = []
    for turn in (-360, 0, 360):
        moved = [(longitude + turn, latitude) for longitude, latitude in whole]
        part = _clipped(_clipped(moved, -180, 1), 180, -1)
        if any(abs(longitude) < 180 for longitude, _ in part):
            parts.append(tuple(part if part[0] == part[-1] else [*part, part[0]]))
    return parts


def _clipped(ring: list[tuple[float, float]], border: float, side: int) -> list[tuple[float, float]]:
    """The part of a closed ring east (`side` 1) or west (-1) of a meridian."""
    kept: list[tuple[float, float]] = []
    for before, corner in zip([*ring[-1:], *ring[:-1]], ring, strict=True):
        was, is_inside = (side * (point[0] - border) >= 0 for point in (before, corner))
        if was != is_inside:
            share = (border - before[0]) / (corner[0] - before[0])
            kept.append((border, before[1] + share * (corner[1] - before[1])))
        if is_inside:
            kept.append(corner)
    return kept
