"""Page "Geography" of the insights app: where events come from, down to the city.

Put here: the order and wording of this page, and the way from the world into a country and a region. Keep out: counting
(``geography_figures.py``) and drawing (``charts``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import streamlit as st

from dashboards import components, text
from dashboards.charts import base
from dashboards.charts import geography as charts
from dashboards.charts.country_places import country_places
from dashboards.components import Tile
from dashboards.insights import geography_figures
from dashboards.insights.geography_figures import FEWEST_ACTORS, LEVELS, Level, Place
from dashboards.selection import Scope

COUNTRY_KEY, REGION_KEY = "in_country", "in_region"
"""Widget keys and query parameters of the way into a country and a region."""

MAP_KEY = "events-by-country"

LISTED = 8
"""Countries in the list beside the map."""

_WORDS = {"country": ("Country", "countries"), "region": ("Region", "regions"), "city": ("City", "cities")}
"""Name of a row, and of many, by level."""


def show(scope: Scope) -> None:
    """Draw the page."""
    st.title("Where do events come from?")
    countries = geography_figures.places(scope, "country")
    total = sum(place.events for place in countries)
    if not total:
        st.markdown("There are no events in this selection.")
        return
    known = [place for place in countries if place.name is not None]
    st.markdown(_answer(known, total))
    _tiles(scope, known, total)
    if known:
        _map(scope, known, total)
    _way_down(scope, countries, known)
    _methods(scope)


def _answer(known: Sequence[Place], total: int) -> str:
    if not known:
        return "No event in this selection names a country."
    first = known[0]
    sentence = (
        f"From **{text.count(len(known))} countr{'y' if len(known) == 1 else 'ies'}**, and "
        f"**{text.share(first.events / total)}** of all events from {text.code(first.name)}"
    )
    if len(known) > 1:
        sentence += f", {text.share(known[1].events / total)} from {text.code(known[1].name)}"
    missing = total - sum(place.events for place in known)
    return f"{sentence}; {f'of {text.share(missing / total)} the country is not known' if missing else 'all have one'}."


def _tiles(scope: Scope, known: Sequence[Place], total: int) -> None:
    observed = sum(place.observed for place in known)
    imputed = sum(place.imputed for place in known)
    components.tiles(
        [
            Tile("Countries", text.count(len(known)), "with events", "Countries that were filled in are included."),
            Tile(
                "Country as delivered",
                text.share(text.ratio(observed, total)),
                f"{text.count(observed)} events",
                "Events that were delivered with their country.",
            ),
            Tile(
                "Country filled in",
                text.share(text.ratio(imputed, total)),
                f"{text.count(imputed)} events",
                "Events whose country cleaning filled in from others; the table at the end says how.",
            ),
            Tile(
                "Country unknown",
                text.share(text.ratio(total - observed - imputed, total)),
                f"{text.count(total - observed - imputed)} events",
                "Events without a country.",
            ),
        ]
    )
    components.caption("clean_events", "events", components.population(scope), scope.as_of)


def _shown(place: Place) -> str:
    filled = f", {text.count(place.imputed)} of them filled in" if place.imputed else ""
    return f"{text.count(place.events)} events{filled}"


def _map(scope: Scope, known: Sequence[Place], total: int) -> None:
    left, right = st.columns([3, 2])
    with left:
        st.subheader("Which countries?")
        by_code = {place.code: place.name for place in known if place.code}
        figure = charts.world(
            [charts.Country(place.name or "", place.code or "", place.events, _shown(place)) for place in known],
            title="Events by country",
            unit="events",
        )
        components.chart(figure, MAP_KEY, scope, on_select=partial(_enter_from_map, by_code))
        unplaced = sum(place.code not in country_places() for place in known)
        components.caption(
            "clean_events",
            "events; the colour (logarithmic) stands for them, the largest are named",
            f"{components.population(scope)}"
            + (f"; {text.count(unplaced)} names of countries have no place on the map" if unplaced else ""),
            scope.as_of,
        )
        components.export(
            [_exported(place, "country", total) for place in known],
            "Events by country",
            scope,
            source="clean_events",
            figure=figure,
        )
    with right:
        st.subheader("Which are largest?")
        components.chart(
            base.ranking(
                [(place.name, place.events) for place in known[:LISTED]],
                total,
                title="Countries with most events",
                unit="events",
                colour=base.GREEN,
            ),
            "largest-countries",
            scope,
        )
        components.caption(
            "clean_events", "events and share of all", f"{components.population(scope)}, at most {LISTED}", scope.as_of
        )


def _enter_from_map(by_code: dict[str, str | None]) -> None:
    """Go into the country whose dot was clicked."""
    points = st.session_state[MAP_KEY].selection.points
    name = by_code.get(points[0].get("customdata", "")) if points else None
    if name is not None:
        _enter(COUNTRY_KEY, name)


def _enter(key: str, name: str | None) -> None:
    st.session_state[key] = name
    if key == COUNTRY_KEY:
        st.session_state[REGION_KEY] = None


def _enter_from_table(table: str, key: str, names: Sequence[str | None]) -> None:
    """Go into the place whose row was clicked; rows without a place of their own lead nowhere."""
    rows = st.session_state[table].selection.rows
    if rows and names[rows[0]] is not None:
        _enter(key, names[rows[0]])


def _way_down(scope: Scope, countries: Sequence[Place], known: Sequence[Place]) -> None:
    """Tables of countries, of the regions of one, or of the cities of one of these; the address says which."""
    st.subheader("And where exactly?")
    left, right = st.columns(2)
    with left:
        country = _choice("Country", COUNTRY_KEY, known, "All countries", partial(_enter, REGION_KEY, None))
    if country is None:
        _table(scope, "country", countries, (), COUNTRY_KEY)
        return
    regions = geography_figures.places(scope, "region", country)
    with right:
        region = _choice("Region", REGION_KEY, regions, "All regions")
    if region is None:
        _table(scope, "region", regions, (country,), REGION_KEY)
    else:
        _table(scope, "city", geography_figures.places(scope, "city", country, region), (country, region), None)


def _choice(
    label: str, key: str, rows: Sequence[Place], everything: str, on_change: Callable[[], None] | None = None
) -> str | None:
    return st.selectbox(
        label,
        [place.name for place in rows if place.name is not None],
        index=None,
        key=key,
        placeholder=everything,
        format_func=text.visible,
        on_change=on_change,
        bind="query-params",
    )


def _name(place: Place, level: Level) -> str:
    if place.together:
        noun = _WORDS[level][0].lower() if place.together == 1 else _WORDS[level][1]
        return f"{text.count(place.together)} {noun} with fewer than {FEWEST_ACTORS} actors each"
    return text.visible(place.name)


def _actors(place: Place) -> str:
    return f"fewer than {FEWEST_ACTORS}" if place.has_few_actors else text.count(place.actors)


def _exported(place: Place, level: Level, total: int) -> dict[str, Any]:
    return {
        _WORDS[level][0]: _name(place, level),
        "Events": place.events,
        "Share": place.events / total,
        "As delivered": place.observed,
        "Filled in": place.imputed,
        "Actors": _actors(place),
    }


def _table(scope: Scope, level: Level, rows: Sequence[Place], way: Sequence[str], key: str | None) -> None:
    """Table of the places at the end of the `way` from the world; a click on a row leads into it by choice `key`."""
    total = sum(place.events for place in rows)
    if not total:
        st.info("There are no events in this place.", icon=":material/do_not_disturb_on:")
        return
    crumbs = " › ".join(["World", *map(text.code, way)])
    st.markdown(f"{crumbs}: **{text.count(total)} events**, which the rows add up to.")
    names = [place.name for place in rows]
    shown = [{**_exported(place, level, total), "Share": 100 * place.events / total} for place in rows]
    name = f"places-{level}"
    options: dict[str, Any] = {
        "hide_index": True,
        "width": "stretch",
        "column_config": {
            _WORDS[level][0]: st.column_config.TextColumn(width="medium"),
            "Events": st.column_config.NumberColumn(format="localized"),
            "Share": st.column_config.ProgressColumn(format="%.1f %%", min_value=0, max_value=100, color=base.GREEN),
            "As delivered": st.column_config.NumberColumn(
                format="localized", help=f"Events that were delivered with their {level}."
            ),
            "Filled in": st.column_config.NumberColumn(
                format="localized", help=f"Events whose {level} cleaning filled in from others."
            ),
        },
        "alt": f"Table of {_WORDS[level][1]} with their events.",
    }
    if key is None:
        st.dataframe(shown, **options)
    else:
        st.dataframe(
            shown,
            key=name,
            on_select=partial(_enter_from_table, name, key, names),
            selection_mode="single-row",
            **options,
        )
    components.caption(
        "clean_events",
        "events and distinct actors" + ("; click a row to go into it" if key else ""),
        f"{components.population(scope)}; {_WORDS[level][1]} "
        + ("as cleaned" if level == "country" else f"with fewer than {FEWEST_ACTORS} actors are shown together"),
        scope.as_of,
    )
    components.export(
        [_exported(place, level, total) for place in rows],
        f"{_WORDS[level][1].capitalize()} of {', '.join(way) or 'the world'}",
        scope,
        source="clean_events",
    )


def _methods(scope: Scope) -> None:
    st.subheader("How are places known?")
    found = geography_figures.methods(scope)
    totals = {level: sum(method.events for method in found if method.level == level) for level in LEVELS}
    rows = [
        {
            "Level": _WORDS[method.level][0],
            "Known by": "not known" if method.method is None else text.visible(method.method.replace("_", " ")),
            "Events": method.events,
            "Share": 100 * method.events / totals[method.level],
            "Confidence": method.confidence,
        }
        for method in found
    ]
    st.dataframe(
        rows,
        hide_index=True,
        width="stretch",
        column_config={
            "Events": st.column_config.NumberColumn(format="localized"),
            "Share": st.column_config.ProgressColumn(format="%.1f %%", min_value=0, max_value=100, color=base.GREEN),
            "Confidence": st.column_config.NumberColumn(
                format="%.2f", help="Mean share of known rows that the method rests on; 1 for delivered places."
            ),
        },
        alt="Table of the ways in which countries, regions and cities are known.",
    )
    components.caption(
        "clean_events", "events by way in which their place is known", components.population(scope), scope.as_of
    )
    components.export(rows, "How places are known", scope, source="clean_events")
