"""Figures of the page "Geography".

Put here: counts by place, and which places have too few actors to be shown. Keep out: wording and drawing
(``geography.py``).

A drill-down counts the events of its place, so its rows add up to the number that was clicked: places that are not
known are a row, and places with fewer than `FEWEST_ACTORS` actors are one row together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dashboards import selection
from dashboards.selection import Scope, quoted

FEWEST_ACTORS = 5
"""A region or city with fewer actors could name a person to somebody who knows them."""

Level = Literal["country", "region", "city"]

LEVELS: tuple[Level, ...] = ("country", "region", "city")


@dataclass(frozen=True)
class Place:
    """Events of one place.

    Parameters
    ----------
    name : str, optional
        The place; None where it is not known, and for the places that are shown together.
    code : str, optional
        ISO 3166-1 alpha-3 code of a country.
    observed, imputed : int
        Events that were delivered with the place, and those whose place was filled in.
    unknown : int
        Events without a place.
    actors : int
        Distinct actors of all of them.
    together : int
        How many places with too few actors the row stands for; 0 for a place of its own.
    """

    name: str | None
    code: str | None
    observed: int
    imputed: int
    unknown: int
    actors: int
    together: int = 0

    @property
    def events(self) -> int:
        """All events of the row."""
        return self.observed + self.imputed + self.unknown

    @property
    def has_few_actors(self) -> bool:
        """Whether the number of actors is too small to be shown."""
        return self.actors < FEWEST_ACTORS


@dataclass(frozen=True)
class Method:
    """Events whose place of one level is known in one way.

    Parameters
    ----------
    level : str
        One of `LEVELS`.
    method : str, optional
        As in ``clean_events``; None where the place is not known.
    events : int
        Their number.
    confidence : float, optional
        Mean share of known rows that the method rests on.
    """

    level: Level
    method: str | None
    events: int
    confidence: float | None


def places(scope: Scope, level: Level, country: str | None = None, region: str | None = None) -> list[Place]:
    """Places of a level inside a country, or inside a region of it, those with most events first.

    Countries are all shown; regions and cities with too few actors come last, as one row.
    """
    inside = " AND ".join(
        f"{column} = {quoted(name)}" for column, name in (("country", country), ("region", region)) if name is not None
    )
    where = f"WHERE {inside}" if inside else ""
    code = "country_code" if level == "country" else "NULL"
    keep = "true" if level == "country" else f"(actors >= {FEWEST_ACTORS} OR judged.name IS NULL)"
    # Counted by actor first, so that what follows has few rows. The actors of places that are shown together are
    # counted anew: one actor can be in several of them.
    found = selection.rows(
        scope,
        f"""
        WITH own AS MATERIALIZED (
            SELECT {level} AS name, {code} AS code, {level}_method AS method, actor, count(*) AS events
            FROM {{events}} {where} GROUP BY ALL
        ),
        judged AS (
            SELECT name, count(DISTINCT actor) AS actors FROM own GROUP BY name
        ),
        marked AS (
            SELECT own.*, {keep} AS is_shown FROM own JOIN judged ON own.name IS NOT DISTINCT FROM judged.name
        )
        SELECT CASE WHEN is_shown THEN name END AS shown, any_value(code) FILTER (is_shown),
            coalesce(sum(events) FILTER (method = 'observed'), 0)::BIGINT,
            coalesce(sum(events) FILTER (name IS NOT NULL AND method <> 'observed'), 0)::BIGINT,
            coalesce(sum(events) FILTER (name IS NULL), 0)::BIGINT,
            count(DISTINCT actor), CASE WHEN is_shown THEN 0 ELSE count(DISTINCT name) END
        FROM marked GROUP BY is_shown, shown ORDER BY is_shown DESC, sum(events) DESC, shown NULLS LAST
        """,
    )
    return [Place(*row) for row in found]


def methods(scope: Scope) -> list[Method]:
    """How the places of the events in scope are known, by level."""
    columns = ", ".join(f"{level}_method, sum({level}_confidence)" for level in LEVELS)
    events: dict[tuple[Level, str | None], int] = {}
    confidence: dict[tuple[Level, str | None], float] = {}
    for number, *known in selection.rows(scope, f"SELECT count(*), {columns} FROM {{events}} GROUP BY ALL"):
        for place, level in enumerate(LEVELS):
            method, total = known[2 * place : 2 * place + 2]
            events[level, method] = events.get((level, method), 0) + number
            confidence[level, method] = confidence.get((level, method), 0) + (total or 0)
    ranked = sorted(events, key=lambda own: (LEVELS.index(own[0]), -events[own], own[1] or ""))
    return [
        Method(
            level, method, events[level, method], confidence[level, method] / events[level, method] if method else None
        )
        for level, method in ranked
    ]
