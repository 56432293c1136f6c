"""The populations that the published tables tell apart: whose events and sessions count.

Put here: their names for people, the choice of one on a page, and conditions that count the same over events. Keep out:
the global filters (``selection.py``, ``frame.py``).
"""

from __future__ import annotations

from collections.abc import Sequence

from streamlit.delta_generator import DeltaGenerator

from analytics_assets.schemas import PEOPLE_CLASSES, POPULATIONS
from dashboards import data
from dashboards.selection import Scope

KEY = "population"
"""Widget key and query parameter, the same on every page."""

NAMES = {"all": "everyone", "people": "people", "without_top_actor": "all but the most active actor"}

PEOPLE = f"actor_class IN ({', '.join(repr(name) for name in PEOPLE_CLASSES)})"
"""Condition of the events of people."""

TOP_ACTORS = "actor IN (SELECT actor FROM {actors} WHERE is_top_actor)"
"""Condition of the events of the most active actor of each delivery; it needs `tables`."""


def choose(place: DeltaGenerator) -> str:
    """Draw the choice of a population."""
    return place.selectbox(
        "Population",
        POPULATIONS,
        key=KEY,
        format_func=NAMES.__getitem__,
        help="People: actors that are neither machines nor stand for nobody in particular.",
        bind="query-params",
    )


def tables(scope: Scope, population: str, years: Sequence[str]) -> dict[str, data.Table]:
    """Tables that the conditions of a population name, of some deliveries."""
    if population != "without_top_actor":
        return {}
    return {"actors": data.Table.of([scope.lake.feature("actors", year) for year in years], "actors")}


def of_events(population: str) -> str:
    """Condition of the events of a population's actors; those without an actor are nobody's."""
    return {"all": "true", "people": PEOPLE, "without_top_actor": f"NOT ({TOP_ACTORS})"}[population]


def of_sessions(population: str) -> str:
    """Condition of the events of a population's sessions: a session is that of its first event's actor."""
    if population == "all":
        return "true"
    first = "(start_time, end_time)"
    owners = (
        f"(SELECT session_key, arg_min(actor, {first}) AS actor, arg_min(actor_class, {first}) AS actor_class "
        "FROM {session_parts} GROUP BY session_key)"
    )
    if population == "people":
        return f"session_key IN (SELECT session_key FROM {owners} WHERE {PEOPLE})"
    return f"session_key NOT IN (SELECT session_key FROM {owners} WHERE {TOP_ACTORS})"
