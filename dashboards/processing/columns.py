"""Page "Columns" of the transparency app: how complete, how varied and how spread each column is.

Put here: the order and wording of this page. Keep out: counting (``column_figures.py``).
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from analytics_assets.core.lake import Lake
from dashboards import components, data, text
from dashboards.charts import base, processing
from dashboards.charts.processing import Bin
from dashboards.processing import column_figures, parts, reading, shapes
from dashboards.processing.parts import NUMBER

FEW_DISTINCT = 2
"""From this many distinct values on a column tells events apart."""


def show(lake: Lake, year: str) -> None:
    """Draw the page."""
    st.title(f"What is in the columns of {year}?")
    with components.explained():
        quality = data.quality(lake, year)
        reading.quality_section(lake, year, "columns", shapes.COLUMNS)
        as_of = text.minute(quality["time"]["last_event_time"])
        _answer(quality, year)
        with components.explained():
            parts.warn_if_outdated(lake, year)
            parts.warn_if_events_differ(lake, year)
        _nulls(quality, year, as_of)
        _table(quality, year, as_of)
    with components.explained():
        _one(lake, year)
    with components.explained():
        _numbers(lake, year)
    with components.explained():
        quality = data.quality(lake, year)
        as_of = text.minute(quality["time"]["last_event_time"])
        _identity(quality, year, as_of)
        _grades(quality, year, as_of)


def _answer(quality: dict[str, Any], year: str) -> None:
    columns = quality["columns"]
    empty = [entry["column"] for entry in columns if entry["null_share"] == 1]
    gaps = [entry for entry in columns if 0 < entry["null_share"] < 1]
    constant = [entry["column"] for entry in columns if entry["distinct_values"] == 1 and entry["null_share"] < 1]
    sentence = f"{len(columns) - len(gaps) - len(empty)} of {len(columns)} columns have no nulls."
    if empty:
        sentence += f" {len(empty)} hold no value at all: {text.listed([text.code(name) for name in empty])}."
    if constant:
        sentence += f" Always the same value: {text.listed([text.code(name) for name in constant])}."
    st.markdown(sentence)


def _nulls(quality: dict[str, Any], year: str, as_of: str) -> None:
    st.subheader("How complete are the columns?")
    gaps = [entry for entry in quality["columns"] if 0 < entry["null_share"] < 1]
    if gaps:
        rows = [
            base.Bar(entry["column"], entry["null_share"], f"{text.share(entry['null_share'])} null")
            for entry in sorted(gaps, key=lambda entry: -entry["null_share"])
        ]
        components.chart(
            base.bars(rows, title=f"Share of nulls by column in {year}", unit="share of rows", longest=1.0), "nulls"
        )
    else:
        st.success("No column has a value in some rows only.", icon=":material/check_circle:")
    components.caption("data_quality", "share of rows without a value", f"clean_events of {year}", as_of)


def _table(quality: dict[str, Any], year: str, as_of: str) -> None:
    st.subheader("All columns of clean_events")
    parts.table(
        [
            {
                "Column": text.visible(entry["column"]),
                "Type": column_figures.type_of(entry["column"]),
                "Nulls": entry["nulls"],
                "Null share": entry["null_share"],
                "Distinct": entry["distinct_values"],
                "Uniqueness": entry["uniqueness"],
                "Top value's share": entry["top_share"],
                "Smallest": text.visible(str(entry["min"])) if entry.get("min") is not None else "",
                "Largest": text.visible(str(entry["max"])) if entry.get("max") is not None else "",
            }
            for entry in quality["columns"]
        ],
        f"Columns of {year}",
        source="data_quality",
        height="content",
        columns={
            "Column": st.column_config.TextColumn(pinned=True, width=180),
            "Nulls": NUMBER,
            "Distinct": NUMBER,
            "Null share": st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1),
            "Uniqueness": st.column_config.NumberColumn(format="%.4f", help="Distinct values / rows with a value."),
            "Top value's share": st.column_config.NumberColumn(
                format="%.4f", help="Rows with the most frequent value / rows with a value."
            ),
        },
        alt="Table of all columns with nulls, distinct values, uniqueness and range.",
    )
    components.caption("data_quality", "rows and shares of rows", f"clean_events of {year}", as_of)


def _one(lake: Lake, year: str) -> None:
    st.subheader("One column in detail")
    names = column_figures.names()
    name = st.selectbox("Column", names, names.index("event_type"), key="column", bind="query-params")
    profile = column_figures.profile(lake, year, name)
    st.markdown(
        f"{text.code(name)} is of type {text.code(profile.type)}: {text.prose(profile.meaning)} "
        f"**{text.share(text.ratio(profile.nulls, profile.rows))}** of {text.count(profile.rows)} rows have no value; "
        f"the others have **{text.count(profile.distinct)}** distinct ones."
    )
    if not profile.distinct:
        st.info(f"The column has no value in {year}.", icon=":material/do_not_disturb_on:")
        return
    if profile.distinct < FEW_DISTINCT:
        st.caption("One value everywhere: the column tells no events apart.")
    bins = column_figures.bins(lake, year, name)
    left, right = st.columns(2) if bins else (st.container(), st.container())
    with left:
        st.markdown("**Most frequent values**")
        ranked: list[tuple[str | None, int]] = list(profile.top)
        if ranked:
            components.chart(
                base.ranking(ranked, profile.rows, title=f"Most frequent values of {name} in {year}", unit="events"),
                "top",
            )
        else:
            st.info("Its values are nested and are counted, not listed.", icon=":material/data_object:")
        st.caption(
            f"Source: {profile.source} · events and their share of all · the {len(ranked)} most frequent of "
            f"{text.count(profile.distinct)} values"
        )
    if bins:
        with right:
            _spread(bins, year, name, profile.unit)


def _spread(bins: list[Bin], year: str, name: str, unit: str) -> None:
    st.markdown("**Distribution**")
    axis = f"{name} ({unit})" if unit else name
    figure = processing.histogram(bins, title=f"Values of {name} in {year}", unit=axis, rows="events")
    components.chart(figure, "spread")
    st.caption(f"Source: clean_events · events by value, {len(bins)} bins · {column_figures.words_of(bins)}")


def _numbers(lake: Lake, year: str) -> None:
    numeric = reading.quality_section(lake, year, "numeric", shapes.NUMERIC)
    st.subheader("How are the measures spread?")
    parts.table(
        [
            {
                "Measure": text.visible(entry["name"].replace("_", " ")),
                "One per": text.visible(entry["grain"]),
                "Unit": text.visible(entry["unit"]),
                "Count": entry["count"],
                "Mean": entry["mean"],
                "Std": entry["std"],
                "Min": entry["min"],
                "25 %": entry["q1"],
                "Median": entry["median"],
                "75 %": entry["q3"],
                "Max": entry["max"],
                "Skewness": entry["skewness"],
            }
            for entry in numeric
        ],
        f"Measures of {year}",
        source="data_quality",
        columns={
            "Measure": st.column_config.TextColumn(pinned=True),
            "Count": NUMBER,
            **dict.fromkeys(
                ("Mean", "Std", "Min", "25 %", "Median", "75 %", "Max", "Skewness"),
                st.column_config.NumberColumn(format="%.2f"),
            ),
        },
        alt="Table of the measures of sessions, events and actors with moments and quartiles.",
    )
    as_of = text.minute(data.quality(lake, year)["time"]["last_event_time"])
    components.caption("data_quality", "each measure in its own unit", f"all loaded events of {year}", as_of)


def _identity(quality: dict[str, Any], year: str, as_of: str) -> None:
    st.subheader("Whose events are they?")
    parts.table(
        [
            {"What": text.visible(name.replace("_", " ")), "Count": number}
            for name, number in quality["identity"].items()
        ],
        f"Identities of {year}",
        source="data_quality",
        columns={"Count": NUMBER},
        alt="Table of actors, users, devices, sessions and events without them.",
    )
    components.caption("data_quality", "distinct values and events", f"all loaded events of {year}", as_of)


def _grades(quality: dict[str, Any], year: str, as_of: str) -> None:
    st.subheader(f"Does {year} keep its limits?")
    grades = quality["grades"]
    beyond = sum(not grade["passed"] for grade in grades)
    st.markdown(
        f"{len(grades) - beyond} of {len(grades)} limits of `analytics.toml` are kept." if beyond else
        f"All {len(grades)} limits of `analytics.toml` are kept."
    )  # fmt: skip
    parts.table(
        [
            {
                "Kept": "✓" if grade["passed"] else "✗",
                "Limit of": text.visible(grade["name"].replace("_", " ")),
                "Meaning": text.visible(grade["what"]),
                "Value": None if grade["value"] is None else float(grade["value"]),
                "Limit": float(grade["limit"]),
            }
            for grade in grades
        ],
        f"Limits of {year}",
        source="data_quality",
        columns={
            "Kept": st.column_config.TextColumn(width="small"),
            "Meaning": st.column_config.TextColumn(width="large"),
            "Value": st.column_config.NumberColumn(format="%.4f"),
            "Limit": st.column_config.NumberColumn(format="%.4f"),
        },
        alt="Table of the quality figures of the year with their limits.",
    )
    components.caption("data_quality", "figure and its limit, mostly shares", f"events of {year}", as_of)
