"""Page "Quarantine" of the transparency app: what was refused, with its bytes, and how to load it after all.

Put here: the order and wording of this page. Keep out: reading the quarantine (``reading.py``).
"""

from __future__ import annotations

from collections import Counter

import streamlit as st

from analytics_assets.core.ingest.quarantine import Refused
from analytics_assets.core.lake import Lake
from dashboards import components, data, text
from dashboards.charts import base
from dashboards.processing import reading
from dashboards.processing.parts import NUMBER
from dashboards.processing.reading import PAGE_ROWS

BYTES_SHOWN = 2_000
"""Bytes of a refused record that are shown: its start tells what it is; it may be 16 MiB long."""

PREVIEW_SHOWN = 120
"""Bytes of a refused record in the table."""

FILES_SHOWN = 12
"""Files in the chart: those with most refused records."""

ALL_REASONS, ALL_FILES = "all reasons", "all files"


def show(lake: Lake, year: str) -> None:
    """Draw the page."""
    st.title(f"What was refused in {year}?")
    with components.explained():
        total = data.manifest(lake, year)["total"]
        counts = reading.quarantine_counts(lake, year)
        _answer(year, total, sum(counts.values()))
        if counts:
            _where(counts, year)
            _browser(lake, year, counts)
    _replay(year)


def _answer(year: str, total: dict[str, int], found: int) -> None:
    if found != total["quarantined"]:
        st.error(
            f"The quarantine of {year} holds {text.count(found)} records, its manifest says "
            f"{text.count(total['quarantined'])}. Materialize `event_chunks` again in the "
            f"{components.dagster_link()}.",
            icon=":material/error:",
        )
    elif found:
        st.markdown(
            f"**{text.count(found)}** of {text.count(total['records_seen'])} records of {year} "
            f"({text.share(text.ratio(found, total['records_seen']))}) could not be read as events. Their exact bytes "
            "are kept; a broken record costs itself, not its neighbours."
        )
    else:
        st.success(f"No record of {year} is in quarantine.", icon=":material/check_circle:")


def _where(counts: dict[tuple[str, str], int], year: str) -> None:
    reasons: Counter[str] = Counter()
    files: Counter[str] = Counter()
    for (reason, file), number in counts.items():
        reasons[reason] += number
        files[file] += number
    total = reasons.total()
    left, right = st.columns(2)
    with left:
        st.subheader("By reason")
        named = [(reason.replace("_", " "), number) for reason, number in reasons.most_common()]
        components.chart(base.ranking(named, total, title=f"Refused records of {year}", unit="records"), "reasons")
        st.caption("Source: event_chunks · refused records and their share of all refused")
    with right:
        st.subheader("By file")
        largest: list[tuple[str | None, int]] = [(name, number) for name, number in files.most_common(FILES_SHOWN)]
        components.chart(base.ranking(largest, total, title=f"Refused records of {year}", unit="records"), "files")
        st.caption(f"Source: event_chunks · refused records · {len(largest)} of {text.count(len(files))} files")


def _browser(lake: Lake, year: str, counts: dict[tuple[str, str], int]) -> None:
    st.subheader("Browse the refused records")
    left, right = st.columns(2)
    with left:
        reason = st.selectbox(
            "Reason",
            [ALL_REASONS, *sorted({reason for reason, _ in counts})],
            key="refused_reason",
            format_func=text.visible,
            bind="query-params",
        )
    with right:
        file = st.selectbox(
            "File",
            [ALL_FILES, *sorted({file for _, file in counts})],
            key="refused_file",
            format_func=text.visible,
            bind="query-params",
        )
    chosen = sum(
        number for (why, where), number in counts.items() if reason in (ALL_REASONS, why) and file in (ALL_FILES, where)
    )
    if not chosen:
        st.info("No refused record has both this reason and this file.", icon=":material/filter_alt_off:")
        return
    page = components.page_number(chosen, PAGE_ROWS, "refused_page")
    records = reading.quarantine(
        lake,
        year,
        None if reason == ALL_REASONS else reason,
        None if file == ALL_FILES else file,
        first=page * PAGE_ROWS,
    )
    rows = [_row(record) for record in records]
    event = st.dataframe(
        rows,
        hide_index=True,
        width="stretch",
        column_config={"From byte": NUMBER, "To byte": NUMBER, "Content": st.column_config.TextColumn(width="large")},
        on_select="rerun",
        selection_mode="single-row",
        selection_default={"selection": {"rows": [0], "columns": [], "cells": []}} if records else None,
        key=f"refused-{year}-{reason}-{file}-{page}",
        alt="Table of refused records with reason, place and content.",
    )
    st.caption(
        f"Source: event_chunks · refused records with their bytes in the decompressed file · "
        f"{text.count(len(records))} of {text.count(chosen)} shown"
    )
    components.download(rows, f"Refused records of {year}", {"Source": "event_chunks"}, None)
    for place in event.selection.rows[:1]:
        if place < len(records):
            st.caption(f"Content of row {place + 1}, decoded as UTF-8; bytes that are not text are shown as escapes")
            st.code(text.visible(records[place].raw, BYTES_SHOWN), language=None, wrap_lines=True)


def _row(record: Refused) -> dict[str, object]:
    return {
        "Reason": text.visible(record.reason.replace("_", " ")),
        "Detail": text.visible(record.detail),
        "File": text.visible(reading.source_of(record)),
        "From byte": record.start,
        "To byte": record.end,
        "Content": text.visible(record.raw[:PREVIEW_SHOWN]),
        "Id": text.visible(record.id),
    }


def _replay(year: str) -> None:
    st.subheader("How to correct and load them")
    st.code(
        f"analytics quarantine list {year}\n"
        f'analytics quarantine export {year} refused.ndjson   # correct "text" in the lines you want to load\n'
        f"analytics quarantine replay {year} refused.ndjson",
        language="sh",
    )
    st.markdown(
        f"A correction is kept in `repairs/{year}.json`, tied to the exact bytes it replaces, and loads once, however "
        "often it is handed in. Lines whose text you leave alone stay in the quarantine; if any corrected line is "
        "still refused, nothing is applied."
    )
