"""What surrounds every page: window, sidebar, synthetic label, navigation.

Put here: the parts that all pages of an app share and that outlive a change of page. Keep out: the pages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import streamlit as st

from analytics_assets.core.lake import Lake
from dashboards import access, components, data, selection, text
from dashboards.selection import Scope

YEARS_KEY = "years"
"""Widget key and query parameter of the insights app's filter."""

DAYS_KEY, COUNTRIES_KEY, DEVICES_KEY, SEGMENTS_KEY = "days", "country", "device", "segment"
"""Widget keys and query parameters of the other filters."""

YEAR_KEY = "year"
"""Widget key and query parameter of the transparency app's year."""


@dataclass(frozen=True)
class PageEntry:
    """One page of an app: title, path in the address, icon, and what draws it."""

    title: str
    path: str
    icon: str
    show: Callable[[], None]


def open_app(title: str, icon: str) -> Lake:
    """Set up the window, ask for a login where one is configured, and return the lake that the environment names.

    Parameters
    ----------
    title : str
        Name of the app.
    icon : str
        Name of a file in ``icons``: Streamlit would fetch a symbol of its own for the window from a network.
    """
    symbol = str(Path(__file__).with_name("icons") / icon)
    st.set_page_config(page_title=title, page_icon=symbol, layout="wide", initial_sidebar_state="auto")
    access.require_login()
    st.sidebar.markdown(f"**{title}**")
    return Lake.default()


def run(sections: Mapping[str, Sequence[PageEntry]]) -> None:
    """Show the page that the address names; a file that cannot be read becomes a message."""
    page = st.navigation(
        {
            section: [
                st.Page(
                    entry.show, title=entry.title, url_path=entry.path, icon=entry.icon, default=not (number or place)
                )
                for place, entry in enumerate(entries)
            ]
            for number, (section, entries) in enumerate(sections.items())
        },
        expanded=True,
    )
    with components.explained():
        page.run()


def _provenance(lake: Lake) -> None:
    """Sidebar lines on what the published figures cover; a warning when years were ingested since."""
    results = data.results(lake)
    st.sidebar.caption(
        f"Data as of {text.minute(results['data_as_of'])}\n\n"
        f"Deliveries: {text.listed([text.code(year) for year in results['years']])}"
    )
    changed = []
    for year in lake.ingested_years():
        try:
            digest = data.manifest(lake, year)["raw_digest"]
        except data.LakeFileError:
            continue  # The transparency app names damaged manifests; here they would only hide the figures.
        if results["sources"].get(year, {}).get("raw_digest") != digest:
            changed.append(year)
    if changed:
        st.sidebar.warning(
            f"{text.listed([text.code(year) for year in changed])} changed after these figures were made. Materialize "
            f"`models_job` in the {components.dagster_link()}.",
            icon=":material/update:",
        )


def is_synthetic(lake: Lake) -> bool:
    """Whether the figures, or the exports where there are no figures yet, are the generated sample."""
    try:
        return data.results(lake)["synthetic"] or lake.is_synthetic()
    except data.LakeFileError:
        return lake.is_synthetic()


def insights_scope(lake: Lake) -> Scope | None:
    """Draw the sidebar of the insights app; None when there is nothing to show, which the page then says."""
    if is_synthetic(lake):
        components.synthetic_label()
    if not lake.analysis_results().is_file():
        if lake.ingested_years():
            components.no_results(lake)
        else:
            components.empty_lake(lake)
        return None
    try:
        scope = _filters(lake)
    except data.LakeFileError as error:
        st.title("The figures cannot be shown")
        components.explain(error)
        return None
    _provenance(lake)
    return scope


def _filters(lake: Lake) -> Scope:
    """Draw the global filters; each is also a query parameter, so that an address carries them."""
    everything = Scope(lake)
    chosen = st.sidebar.multiselect(
        "Years",
        everything.all_years,
        key=YEARS_KEY,
        placeholder="All years",
        help="Calendar years of the event time in UTC. Models always cover all years.",
        bind="query-params",
    )
    published = everything.results["lists"]["daily"]
    first, last = (date.fromisoformat(entry["date"]) for entry in (published[0], published[-1])) if published else (
        None, None,
    )  # fmt: skip
    days = st.sidebar.date_input(
        "Days",
        [],
        min_value=first,
        max_value=last,
        key=DAYS_KEY,
        help="First and last day in UTC; empty for all.",
        format="YYYY-MM-DD",
        bind="query-params",
    )
    countries = _names_filter("Countries", COUNTRIES_KEY, selection.names(everything, "observed_country"))
    devices = _names_filter("Device families", DEVICES_KEY, selection.names(everything, "device_family"))
    names = selection.segment_names(lake)
    segments = st.sidebar.multiselect(
        "Segments",
        list(names),
        key=SEGMENTS_KEY,
        placeholder="All actors",
        format_func=lambda segment: f"{segment}: {text.visible(names[segment])}",
        help="Groups of actors that act alike, from kmeans_segments.",
        bind="query-params",
    )
    return Scope(
        lake,
        tuple(chosen),
        (days[0], days[1]) if isinstance(days, tuple) and len(days) == 2 else None,  # One day is half a choice.
        tuple(countries),
        tuple(devices),
        tuple(segments),
    )


def _names_filter(label: str, key: str, names: list[str]) -> list[str]:
    return st.sidebar.multiselect(
        label,
        names,
        key=key,
        placeholder="All",
        format_func=text.visible,
        help="Most frequent first.",
        bind="query-params",
    )


def processing_year(lake: Lake) -> str | None:
    """Draw the sidebar of the transparency app; None when nothing is ingested, which the page then says."""
    if is_synthetic(lake):
        components.synthetic_label()
    years = lake.ingested_years()
    if not years:
        components.empty_lake(lake)
        return None
    year = st.sidebar.selectbox(
        "Year in detail",
        years,
        index=len(years) - 1,
        key=YEAR_KEY,
        help="Year of the delivery: the name of its folder under raw/.",
        bind="query-params",
    )
    if lake.analysis_results().is_file():
        with components.explained():
            _provenance(lake)
    return year
