"""Page "Devices & performance" of the insights app: what people use, and how long their events are on the way.

Put here: the order and wording of this page. Keep out: counting (``devices_figures.py``) and drawing (``charts``).
"""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
import streamlit as st

from dashboards import components, text
from dashboards.charts import base, latency
from dashboards.charts import devices as charts
from dashboards.components import Tile
from dashboards.insights import devices_figures
from dashboards.insights.devices_figures import Devices, Latencies, Latency
from dashboards.selection import Ranking, Scope

LISTED = 8
"""Rows of a list that shares its line with another one."""

COUNTRIES = 10
"""Rows of the table of devices by country."""

FAMILIES = 4
"""Device families with a column of their own: as many shares as can be read on a phone."""

NAME_LENGTH = 40
"""Characters of a name in a sentence or tile."""

LATENCY_COUNTRIES = 12
"""Countries whose latency is shown: those with most events."""

FEW_EVENTS = 100
"""Below this many events less than one is above the 99th percentile, so it says nothing of its own."""

_QUESTIONS = (
    ("device_family", "Which device families?", "a device, or on the web the operating system"),
    ("os_name", "Which browsers and systems?", "on the web the browser, else the operating system"),
    ("platform", "Which platforms?", "platform"),
    ("os_version", "Which versions of browsers and systems?", "version of the browser or system"),
    ("version_name", "Which versions of the product?", "version of the product"),
)


def show(scope: Scope) -> None:
    """Draw the page."""
    st.title("What do people use, and how fast does it report?")
    devices = devices_figures.Devices(scope)
    events = devices.events
    if not events:
        st.markdown("There are no events in this selection.")
        return
    rankings = {name: devices.ranking(name, LISTED) for name, _, _ in _QUESTIONS}
    latencies = devices_figures.Latencies.of(scope)
    st.markdown(_answer(rankings, events, latencies.upload))
    _tiles(scope, rankings, events, latencies.upload)
    _rankings(scope, rankings, events)
    _by_country(scope, devices)
    _latency(scope, latencies)


def _leader(rows: Ranking, events: int) -> tuple[str, str]:
    """The most frequent given name, as text, and its share; both say so when none is given."""
    for name, number in rows:
        if name is not None:
            return text.shortened(text.visible(name), NAME_LENGTH), text.share(text.ratio(number, events))
    return text.NO_DATA, text.NO_DATA


def _answer(rankings: dict[str, Ranking], events: int, upload: Latency) -> str:
    device, device_share = _leader(rankings["device_family"], events)
    system, system_share = _leader(rankings["os_name"], events)
    sentence = (
        f"Most events come from {text.code(device)} (**{device_share}**) and {text.code(system)} (**{system_share}**)"
    )
    if upload.median is None:
        return f"{sentence}; no event has a latency that counts."
    return (
        f"{sentence}; half of them reach the server within **{_ms(upload.median)}** of being sent, and 95 % within "
        f"**{_ms(upload.p95)}**."
    )


def _ms(value: float | None) -> str:
    return text.NO_DATA if value is None else f"{value:,.0f} ms"


def _tiles(scope: Scope, rankings: dict[str, Ranking], events: int, upload: Latency) -> None:
    device, device_share = _leader(rankings["device_family"], events)
    platform, platform_share = _leader(rankings["platform"], events)
    components.tiles(
        [
            Tile(
                "Device family", text.prose(device), f"{device_share} of events", "The most frequent one that is given."
            ),
            Tile(
                "Platform", text.prose(platform), f"{platform_share} of events", "The most frequent one that is given."
            ),
            Tile(
                "Median upload latency",
                _ms(upload.median),
                f"{text.count(upload.events)} events",
                "From sending by the device to receipt by the server.",
            ),
            Tile(
                "95th percentile",
                _ms(upload.p95),
                f"99th: {_ms(upload.p99)}",
                "One upload in twenty takes longer, and one in a hundred longer than the 99th percentile.",
            ),
        ]
    )
    components.caption("clean_events", "events and milliseconds", components.population(scope), scope.as_of)


def _rankings(scope: Scope, rankings: dict[str, Ranking], events: int) -> None:
    columns = st.columns(2)
    for place, (dimension, question, meaning) in enumerate(_QUESTIONS):
        rows = rankings[dimension]
        with columns[place % 2]:
            st.subheader(question)
            if all(name is None for name, _ in rows):
                st.info("No event in this selection names one.", icon=":material/do_not_disturb_on:")
                continue
            figure = base.ranking(rows, events, title=question, unit="events", colour=base.GREEN)
            components.chart(figure, dimension, scope)
            more = f", at most the {LISTED} largest" if len(rows) == LISTED else ""
            components.caption(
                "clean_events",
                f"events and share of all; {meaning}",
                f"{components.population(scope)}{more}",
                scope.as_of,
            )
            components.export(
                [{"Name": text.visible(name), "Events": number, "Share": number / events} for name, number in rows],
                question,
                scope,
                source="clean_events",
                figure=figure,
            )


def _by_country(scope: Scope, devices: Devices) -> None:
    st.subheader("Does it differ by country?")
    rows, columns, counted = devices.families_by_country(COUNTRIES, FAMILIES)
    figure = charts.shares(rows, columns, counted, title="Device families by country")
    components.chart(figure, "devices-by-country", scope)
    components.caption(
        "clean_events",
        "share of a country's events by device family; number of events in brackets",
        f"{components.population(scope)}, countries as observed, at most the {COUNTRIES} largest",
        scope.as_of,
    )
    components.export(
        [
            {
                "Country": text.visible(row),
                "Events": sum(own),
                **{text.visible(column): number for column, number in zip(columns, own, strict=True)},
            }
            for row, own in zip(rows, counted, strict=True)
        ],
        "Device families by country",
        scope,
        source="clean_events",
        figure=figure,
    )


def _latency(scope: Scope, latencies: Latencies) -> None:
    st.subheader("How long are events on the way?")
    st.markdown(
        "**Upload** is from sending by the device to receipt by the server, without devices whose clock is more than a "
        "minute off; **processing** is from receipt to the end of the vendor's processing."
    )
    rows = [
        {"Latency": "Upload", **_latency_row(latencies.upload)},
        {"Latency": "Processing", **_latency_row(latencies.processing)},
    ]
    st.dataframe(
        rows, hide_index=True, width="stretch", column_config=_LATENCY_COLUMNS, alt="Table of latency percentiles."
    )
    components.caption("clean_events", "milliseconds", components.population(scope), scope.as_of)
    components.export(rows, "Latency", scope, source="clean_events")

    st.subheader("Where is the upload slow?")
    shown = [entry for entry in latencies.by_country[:LATENCY_COUNTRIES] if entry.events]
    figure = latency.percentile_dots(_percentiles(shown), title="Upload latency by country", few=FEW_EVENTS)
    _latency_chart(
        scope, figure, shown, "Country",
        f"countries as observed, at most the {LATENCY_COUNTRIES} with most events, their number in brackets; grey "
        f"below {FEW_EVENTS} events",
    )  # fmt: skip

    st.subheader("When is the upload slow?")
    shown = [entry for entry in latencies.by_hour if entry.events]
    figure = latency.percentiles_by_hour(_percentiles(shown), title="Upload latency by hour")
    _latency_chart(scope, figure, shown, "Hour (UTC)", "by UTC hour of the event")


def _percentiles(found: Sequence[Latency]) -> list[latency.Percentiles]:
    return [
        (entry.name, entry.events, entry.median, entry.p95, entry.p99)
        for entry in found
        if entry.median is not None and entry.p95 is not None and entry.p99 is not None
    ]


_LATENCY_COLUMNS = {
    name: st.column_config.NumberColumn(format="localized")
    for name in ("Events", "Left out", "Mean (ms)", "Median (ms)", "95th percentile (ms)", "99th percentile (ms)")
}


def _latency_row(found: Latency) -> dict[str, float | None]:
    def rounded(value: float | None) -> float | None:
        return None if value is None else round(value, 1)

    return {
        "Events": found.events,
        "Left out": found.left_out,
        "Mean (ms)": rounded(found.mean),
        "Median (ms)": rounded(found.median),
        "95th percentile (ms)": rounded(found.p95),
        "99th percentile (ms)": rounded(found.p99),
    }


def _latency_chart(scope: Scope, figure: go.Figure, shown: Sequence[Latency], column: str, about: str) -> None:
    if not shown:
        st.info("No event has a latency that counts.", icon=":material/do_not_disturb_on:")
        return
    title = f"Upload latency by {column.partition(' ')[0].lower()}"
    components.chart(figure, title, scope)
    components.caption(
        "clean_events",
        "milliseconds, median, 95th and 99th percentile",
        f"{components.population(scope)} whose device clock is within a minute of the server's, {about}",
        scope.as_of,
    )
    components.export(
        [{column: text.visible(entry.name), **_latency_row(entry)} for entry in shown],
        title,
        scope,
        source="clean_events",
        figure=figure,
    )
