"""Page "Places" of the transparency app: how places are known, how often imputed ones are right, and what was changed.

Put here: the order and wording of this page. Keep out: imputing and its measurement (``core/features/imputation.py``).
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from analytics_assets.core.intervals import wilson
from analytics_assets.core.lake import Lake
from analytics_assets.schemas import EVENT_CHUNKS
from dashboards import components, data, text
from dashboards.charts import base
from dashboards.components import Tile
from dashboards.data import Table
from dashboards.processing import parts, reading, shapes
from dashboards.processing.parts import NUMBER
from dashboards.selection import quoted

PLACES = ("country", "region", "city")

METHODS = {
    "observed": "delivered, spelling unified",
    "region": "the row's region occurs in one country only",
    "city": "the row's city says it",
    "dma": "the row's US market area says it",
    "actor_history": "most frequent value of the actor elsewhere",
    "device_history": "most frequent value of the device elsewhere",
    "distribution": "most frequent value of the place around it",
    "unknown": "no method has an answer",
}
"""What each method rests on; see docs/analysis.md."""

REFERENCES = {
    "all": "the whole chain",
    "mode": "always the most frequent value",
    "country_mode": "the country's most frequent value",
}
"""Ways that are compared: what is done, and two simple ones that it must beat."""

LEVELS = {
    "country": "Country, all else hidden",
    "region": "Region, city known",
    "region_without_city": "Region, city hidden too",
    "region_without_city_and_dma": "Region, city and market area hidden too",
    "city": "City, market area known",
    "city_without_dma": "City, market area hidden too",
}

PROTOCOLS = {
    "session": "whole sessions, so other sessions of the actor may help",
    "actor": "all that an actor says, as for somebody new",
}

FEW_PLACES = 30
"""Below this many independent places an accuracy says little."""

CHANGES_SHOWN = 200
"""Pairs of a text before and after, the most frequent first."""


def show(lake: Lake, year: str) -> None:
    """Draw the page."""
    st.title(f"Where do the places of {year} come from, and are imputed ones right?")
    with components.explained():
        geography = reading.quality_section(lake, year, "geography", shapes.GEOGRAPHY)
        as_of = text.minute(data.quality(lake, year)["time"]["last_event_time"])
        _answer(geography, year)
        with components.explained():
            parts.warn_if_outdated(lake, year)
        _methods(geography, year, as_of)
        _accuracy(geography, year, as_of)
    with components.explained():
        _changes(lake, year)


def _imputed(geography: dict[str, Any], place: str) -> tuple[int, int]:
    """Events with an imputed place, and all events."""
    own = [entry for entry in geography["methods"] if entry["place"] == place]
    imputed = sum(entry["events"] for entry in own if entry["method"] not in ("observed", "unknown"))
    return imputed, sum(entry["events"] for entry in own)


def _score(geography: dict[str, Any], level: str, protocol: str, method: str) -> dict[str, Any] | None:
    for entry in geography["imputation_accuracy"]:
        if (entry["level"], entry["protocol"], entry["method"]) == (level, protocol, method):
            return dict(entry)
    return None


def _answer(geography: dict[str, Any], year: str) -> None:
    counts = {place: _imputed(geography, place) for place in PLACES}
    if not any(total for _, total in counts.values()):
        st.info(f"There are no events in {year}.", icon=":material/do_not_disturb_on:")
        return
    said = [f"**{text.share(text.ratio(*counts[place]))}** an imputed {place}" for place in PLACES]
    chain, mode = (_score(geography, "region_without_city", "session", method) for method in ("all", "mode"))
    sentence = f"Of the events of {year}, {text.listed(said).replace('** an imputed', '** have an imputed', 1)}."
    if chain and mode and chain["accuracy"] is not None:
        sentence += (
            f" Where regions and cities that are known were hidden, **{text.exact_share(chain['accuracy'])}** of the "
            f"regions were imputed right; always answering the most frequent one is right in "
            f"{text.exact_share(mode['accuracy'])} (n = {text.count(chain['covered'])} events)."
        )
    st.markdown(sentence)
    components.tiles(
        [
            Tile(
                f"Imputed {place}",
                text.share(text.ratio(*counts[place])),
                f"{text.count(counts[place][0])} of {text.count(counts[place][1])} events",
            )
            for place in PLACES
        ]
    )


def _methods(geography: dict[str, Any], year: str, as_of: str) -> None:
    st.subheader("How is the place of an event known?")
    for column, place in zip(st.columns(len(PLACES)), PLACES, strict=True):
        with column:
            own = [entry for entry in geography["methods"] if entry["place"] == place]
            rows = [
                base.Bar(
                    entry["method"].replace("_", " "),
                    entry["share"],
                    f"{text.share(entry['share'])} · confidence {_confidence(entry['mean_confidence'])}",
                    _METHOD_COLOURS.get(entry["method"], base.ORANGE),
                )
                for entry in own
            ]
            st.markdown(f"**{place.capitalize()}**")
            if rows:
                figure = base.bars(rows, title=f"{place} by method in {year}", unit="share of events", longest=1.0)
                components.chart(figure, f"methods-{place}")
    components.caption(
        "data_quality", "share of events and mean confidence, by method", f"all loaded events of {year}", as_of
    )
    with st.expander("What the methods do"):
        st.dataframe(
            [{"Method": name.replace("_", " "), "It rests on": words} for name, words in METHODS.items()],
            hide_index=True,
            width="stretch",
            alt="Table of the methods of imputation.",
        )
        st.caption("Confidence is the share of the known events that a method looks at which have the value.")


_METHOD_COLOURS = {"observed": base.BLUE, "unknown": base.GREY}
"""Imputed ones are orange."""


def _confidence(value: float | None) -> str:
    return text.NO_DATA if value is None else f"{value:.2f}"


def _accuracy(geography: dict[str, Any], year: str, as_of: str) -> None:
    st.subheader("How often is an imputed place right?")
    scores = geography["imputation_accuracy"]
    if not scores:
        st.info(f"No place of {year} is known, so nothing could be hidden and asked for.")
        return
    protocol = st.radio(
        "Hidden were",
        list(PROTOCOLS),
        captions=list(PROTOCOLS.values()),
        key="hidden",
        horizontal=True,
        bind="query-params",
    )
    for number, (level, words) in enumerate(LEVELS.items()):
        if number % 2 == 0:
            # A line of its own for each two, so that they stand side by side whatever their heights.
            halves = st.columns(2)
        with halves[number % 2]:
            found = [_score(geography, level, protocol, method) for method in REFERENCES]
            rows = [_accuracy_bar(entry) for entry in found if entry]
            if rows:
                st.markdown(f"**{words}**")
                figure = base.bars(rows, title=f"Imputation of {words} in {year}", unit="share of places", longest=1.0)
                components.chart(figure, f"accuracy-{level}")
    components.caption(
        "data_quality",
        "share of the answered places that are right, with 95 % Wilson interval; a place counts once for each actor "
        "and device",
        f"known places of {year} that were hidden",
        as_of,
    )
    with st.expander("All measurements"):
        parts.table(
            [
                {
                    "Asked for": LEVELS.get(entry["level"], text.visible(entry["level"])),
                    "Hidden were": text.visible(entry["protocol"]),
                    "Method": text.visible(entry["method"].replace("_", " ")),
                    "Events asked": entry["masked"],
                    "Answered": entry["covered"],
                    "Right": entry["correct"],
                    "Accuracy": entry["accuracy"],
                    "Coverage": entry["coverage"],
                    "Mean confidence": entry["confidence"],
                    "Places asked": entry["masked_places"],
                    "Places right": entry["correct_places"],
                }
                for entry in scores
            ],
            f"Accuracy of imputed places of {year}",
            source="data_quality",
            columns={
                **dict.fromkeys(("Events asked", "Answered", "Right", "Places asked", "Places right"), NUMBER),
                **dict.fromkeys(
                    ("Accuracy", "Coverage", "Mean confidence"), st.column_config.NumberColumn(format="%.4f")
                ),
            },
            alt="Table of every measurement of the imputation, in events and in places.",
        )
        st.caption(
            "Accuracy = right / answered, coverage = answered / asked, over events: a frequent place weighs more."
        )


def _accuracy_bar(entry: dict[str, Any]) -> base.Bar:
    covered, correct = entry["covered_places"], entry["correct_places"]
    name = REFERENCES[entry["method"]]
    if not covered:
        return base.Bar(name, 0, f"{text.NO_DATA}: none of {text.count(entry['masked_places'])} answered", base.GREY)
    colour = base.BLUE if entry["method"] == "all" else base.SKY
    return base.Bar(
        name,
        correct / covered,
        f"{text.exact_share(correct / covered)} · n = {text.count(covered)}",
        base.GREY if covered < FEW_PLACES else colour,
        interval=wilson(correct / covered, covered),
    )


def _changes(lake: Lake, year: str) -> None:
    st.subheader("What was changed, for example?")
    chunks = [chunk["path"] for chunk in data.manifest(lake, year)["chunks"]]
    chunk = st.selectbox("Chunk to look at", chunks, key="places_chunk", format_func=text.visible, bind="query-params")
    if chunk is None:
        return
    tables = {
        "delivered": Table.of([lake.chunks(year) / chunk], "event_chunks", chunks=True),
        "events": Table.of([lake.feature(name, year) for name in ("clean_events", "dropped_events")], "clean_events"),
    }
    found = data.query_tables(_CHANGES, tables)
    spelled = [row for row in found if row[1] is not None]
    filled = [row for row in found if row[1] is None]
    for title, rows, nothing in (
        ("Spelling unified", spelled, "Every country, region and city of this chunk was delivered in its common form."),
        ("Filled in", filled, "No place was imputed in this chunk."),
    ):
        st.markdown(f"**{title}**")
        if not rows:
            st.info(nothing)
            continue
        parts.table(
            [
                {
                    "Place": place,
                    "Before": text.visible(before),
                    "After": text.visible(after),
                    "In": text.visible(inside),
                    "Method": text.visible(method),
                    "Confidence": confidence,
                    "Events": number,
                }
                for place, before, after, inside, method, confidence, number in rows
            ],
            f"{title} in {year}",
            source="event_chunks, clean_events",
            columns={"Events": NUMBER, "Confidence": st.column_config.NumberColumn(format="%.2f")},
            alt=f"Table of places before and after: {title.lower()}.",
        )
    st.caption(
        f"Source: event_chunks and clean_events · events of {text.visible(chunk)} by place before and after · the "
        f"{CHANGES_SHOWN} most frequent of each place at most"
    )


def _change(place: str) -> str:
    tokens = ", ".join(quoted(token) for token in EVENT_CHUNKS.column(place).null_tokens) or "NULL"
    inside = "NULL" if place == "country" else "any_value(country)"
    return f"""(
        SELECT '{place}' AS place, before, after, {inside} AS inside, method, avg(confidence) AS confidence,
            count(*) AS events
        FROM (
            SELECT CASE WHEN d.{place} IN ({tokens}) THEN NULL ELSE d.{place} END AS before, e.{place} AS after,
                e.country AS country, e.{place}_method AS method, e.{place}_confidence AS confidence
            FROM {{delivered}} d JOIN {{events}} e USING (uuid)
        )
        WHERE after IS DISTINCT FROM before GROUP BY place, before, after, method
        ORDER BY events DESC, before NULLS LAST, after NULLS LAST LIMIT {CHANGES_SHOWN}
    )"""


_CHANGES = " UNION ALL ".join(_change(place) for place in PLACES)
