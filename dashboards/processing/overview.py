"""Page "Overview" of the transparency app: what became of every delivered record, and where each figure comes from.

Put here: the order and wording of this page. Keep out: reading files (``data.py``) and drawing (``charts``).
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from analytics_assets.core.lake import Lake
from dashboards import components, data, text
from dashboards.charts import base
from dashboards.components import Tile

DIGEST_SHOWN = 12
"""Characters of a SHA-256 that tell files apart."""

BYTES_SHOWN = 2_000
"""Bytes of a refused record that are shown: its start tells what it is; it may be 16 MiB long."""

PREVIEW_SHOWN = 120
"""Bytes of a refused record in the table."""

ALL_REASONS = "all reasons"

NUMBER = st.column_config.NumberColumn(format="localized")


def show(lake: Lake, year: str) -> None:
    """Draw the page with `year` in detail."""
    st.title("Is every delivered record accounted for?")
    _account(lake)
    with components.explained():
        quality = data.quality(lake, year)
        as_of = text.minute(quality["time"]["last_event_time"])
        with components.explained():
            _warn_if_outdated(lake, year, quality)
        _waterfall(quality, year, as_of)
        left, right = st.columns(2)
        with left:
            _nulls(quality, year, as_of)
            _identity(quality, year, as_of)
        with right:
            _times(quality, year, as_of)
        _grades(quality, year, as_of)
    with components.explained():
        _quarantine(lake, year)
    with components.explained():
        _files(lake, year)
    with components.explained():
        _origins(lake)


def _adds_up(manifest: dict[str, Any]) -> str:
    """A tick, or by how much the counts differ."""
    total = manifest["total"]
    off = total["records_seen"] - total["loaded"] - total["duplicates"] - total["quarantined"]
    in_chunks = total["loaded"] - sum(chunk["rows"] for chunk in manifest["chunks"])
    if off:
        return f"✗ off by {off:+,}"
    return f"✗ chunks off by {in_chunks:+,}" if in_chunks else "✓"


def _account(lake: Lake) -> None:
    manifests: dict[str, dict[str, Any]] = {}
    unreadable: list[data.LakeFileError] = []
    for year in lake.ingested_years():
        try:
            manifests[year] = data.manifest(lake, year)
        except data.LakeFileError as error:
            unreadable.append(error)
    totals = {
        name: sum(manifest["total"][name] for manifest in manifests.values())
        for name in ("records_seen", "loaded", "duplicates", "quarantined")
    }
    verdicts = {year: _adds_up(manifest) for year, manifest in manifests.items()}
    wrong = [year for year, verdict in verdicts.items() if verdict != "✓"]
    of_years = f"of {text.span([int(year) for year in manifests])}"
    if wrong:
        st.error(f"No: the counts of {text.listed(wrong)} do not add up.", icon=":material/error:")
    elif unreadable:
        st.warning(f"{len(unreadable)} of {len(unreadable) + len(manifests)} years cannot be read.")
    else:
        st.markdown(
            f"Yes ✓: of **{text.count(totals['records_seen'])} records** {of_years}, "
            f"**{text.count(totals['loaded'])}** were loaded, **{text.count(totals['duplicates'])}** dropped as exact "
            f"duplicates and **{text.count(totals['quarantined'])}** put in quarantine."
        )
    for damage in unreadable:
        components.explain(damage)
    components.tiles(
        [
            Tile("Records delivered", text.count(totals["records_seen"]), "= the other three"),
            *(
                Tile(label, text.count(totals[name]), text.share(text.ratio(totals[name], totals["records_seen"])))
                for name, label in (
                    ("loaded", "Loaded"),
                    ("duplicates", "Exact duplicates dropped"),
                    ("quarantined", "In quarantine"),
                )
            ),
        ]
    )
    st.dataframe(
        [
            {
                "Year": year,
                "Adds up": verdicts[year],
                "Delivered": manifest["total"]["records_seen"],
                "Loaded": manifest["total"]["loaded"],
                "Duplicates": manifest["total"]["duplicates"],
                "Quarantined": manifest["total"]["quarantined"],
                "Files": len(manifest["files"]),
                "Size": text.size(manifest["total"]["bytes"]),
            }
            for year, manifest in manifests.items()
        ],
        hide_index=True,
        width="stretch",
        column_config={
            "Year": st.column_config.TextColumn(pinned=True),
            "Delivered": NUMBER,
            "Loaded": NUMBER,
            "Duplicates": NUMBER,
            "Quarantined": NUMBER,
            "Adds up": st.column_config.TextColumn(
                help="Delivered = loaded + duplicates + quarantined, and the chunks hold exactly the loaded records."
            ),
        },
        alt="Table of delivered, loaded, duplicate and quarantined records by year.",
    )
    st.caption("Source: event_chunks · records · all raw files · delivered = loaded + duplicates + quarantined")


def _warn_if_outdated(lake: Lake, year: str, quality: dict[str, Any]) -> None:
    if data.manifest(lake, year)["raw_digest"] != quality["raw_digest"]:
        st.warning(
            f"The quality figures of {year} are of an earlier delivery. Materialize `data_quality` in the "
            f"{components.dagster_link()}.",
            icon=":material/update:",
        )


def _detail_rows(step: dict[str, Any]) -> list[dict[str, str]]:
    return [
        {
            "Step": text.visible(step["step"]),
            "What": text.visible(name),
            "Detail": f"{text.count(value)} values or records"
            if isinstance(value, int | float)
            else text.visible(value),
        }
        for name, value in step["details"].items()
    ]


def _waterfall(quality: dict[str, Any], year: str, as_of: str) -> None:
    st.subheader(f"What happened to the rows of {year}?")
    steps = quality["waterfall"]
    if not steps:
        st.info("No step is recorded.")
        return
    delivered = steps[0]["rows_before"]
    rows = [base.Bar("delivered", delivered, f"{text.count(delivered)} rows · {steps[0]['columns_before']} columns")]
    for step in steps:
        lost = step["rows_before"] - step["rows_after"]
        change = f" (−{text.count(lost)})" if lost else ""
        shown = f"{text.count(step['rows_after'])} rows{change} · {step['columns_after']} columns"
        rows.append(base.Bar(step["step"], step["rows_after"], shown, lost=lost))
    components.chart(base.bars(rows, title=f"Rows of {year} after each step", unit="rows"), "waterfall")
    components.caption("data_quality", "rows after each step, removed rows in orange", f"all records of {year}", as_of)
    st.dataframe(
        [
            {
                "Step": text.visible(step["step"]),
                "Rule": text.visible(step["rule"]),
                "Rows before": step["rows_before"],
                "Rows after": step["rows_after"],
                "Columns before": step["columns_before"],
                "Columns after": step["columns_after"],
            }
            for step in steps
        ],
        hide_index=True,
        width="stretch",
        column_config={
            "Rule": st.column_config.TextColumn(width="large"),
            **dict.fromkeys(("Rows before", "Rows after", "Columns before", "Columns after"), NUMBER),
        },
        alt="Table of the cleaning steps with rows and columns before and after.",
    )
    details = [row for step in steps for row in _detail_rows(step)]
    if details:
        with st.expander(f"Details of the steps ({len(details)})"):
            st.dataframe(details, hide_index=True, width="stretch", alt="Table of the details of each cleaning step.")
    examples = [
        {
            "Step": text.visible(step["step"]),
            "Reason": text.visible(example["reason"]),
            "Event": text.visible(example["event_type"]),
            "Time (UTC)": text.visible(example["event_time"]),
            "uuid": text.visible(example["uuid"]),
        }
        for step in steps
        for example in step["examples"]
    ]
    if examples:
        with st.expander(f"Removed rows, for example ({len(examples)})"):
            st.dataframe(
                examples, hide_index=True, width="stretch", alt="Table of rows that cleaning removed, with why."
            )
    st.caption(
        f"Cleaning profile: {text.visible(quality['profile'])} · every removed row is in dropped_events with its step "
        "and reason"
    )


def _grades(quality: dict[str, Any], year: str, as_of: str) -> None:
    st.subheader(f"Does {year} keep its limits?")
    grades = quality["grades"]
    beyond = sum(not grade["passed"] for grade in grades)
    st.markdown(
        f"{len(grades) - beyond} of {len(grades)} limits of `analytics.toml` are kept." if beyond else
        f"All {len(grades)} limits of `analytics.toml` are kept."
    )  # fmt: skip
    st.dataframe(
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
        hide_index=True,
        width="stretch",
        column_config={
            "Kept": st.column_config.TextColumn(width="small"),
            "Meaning": st.column_config.TextColumn(width="large"),
            "Value": st.column_config.NumberColumn(format="%.4f"),
            "Limit": st.column_config.NumberColumn(format="%.4f"),
        },
        alt="Table of the quality figures of the year with their limits.",
    )
    components.caption("data_quality", "figure and its limit, mostly shares", f"events of {year}", as_of)


def _nulls(quality: dict[str, Any], year: str, as_of: str) -> None:
    st.subheader("How complete are the columns?")
    columns = quality["columns"]
    empty = [entry["column"] for entry in columns if entry["null_share"] == 1]
    gaps = [entry for entry in columns if 0 < entry["null_share"] < 1]
    sentence = f"{len(columns) - len(gaps) - len(empty)} of {len(columns)} columns have no nulls."
    if empty:
        sentence += f" {len(empty)} hold no value at all: {text.listed([text.code(name) for name in empty])}."
    st.markdown(sentence)
    if gaps:
        rows = [
            base.Bar(entry["column"], entry["null_share"], f"{text.share(entry['null_share'])} null")
            for entry in sorted(gaps, key=lambda entry: -entry["null_share"])
        ]
        components.chart(
            base.bars(rows, title=f"Share of nulls by column in {year}", unit="share of rows", longest=1.0), "nulls"
        )
    components.caption("data_quality", "share of rows without a value", f"clean_events of {year}", as_of)


def _times(quality: dict[str, Any], year: str, as_of: str) -> None:
    times = quality["time"]
    st.subheader("How late do events arrive?")
    delays = times["upload_delay"]
    total = sum(delays.values())
    if total and delays.get("unknown") == total:
        st.info(f"No event of {year} carries both an event and an upload time.", icon=":material/do_not_disturb_on:")
    else:
        rows = [
            base.Bar(
                name,
                number,
                f"{text.count(number)} · {text.share(text.ratio(number, total))}",
                base.GREY if name == "unknown" else base.BLUE,
            )
            for name, number in delays.items()
        ]
        components.chart(base.bars(rows, title=f"Upload delay of the events of {year}", unit="events"), "delay")
    components.caption("data_quality", "events by server upload − event time", f"all loaded events of {year}", as_of)
    outside = times["events_outside_year"]
    st.markdown(
        f"Events of the delivery {year} with a time in another year: **{text.count(outside)}**. Its events run from "
        f"{text.minute(times['first_event_time'])} to {text.minute(times['last_event_time'])}."
    )


def _identity(quality: dict[str, Any], year: str, as_of: str) -> None:
    st.subheader("Whose events are they?")
    st.dataframe(
        [
            {"What": text.visible(name.replace("_", " ")), "Count": number}
            for name, number in quality["identity"].items()
        ],
        hide_index=True,
        width="stretch",
        column_config={"Count": NUMBER},
        alt="Table of actors, users, devices, sessions and events without them.",
    )
    components.caption("data_quality", "distinct values and events", f"all loaded events of {year}", as_of)


def _quarantine(lake: Lake, year: str) -> None:
    st.subheader(f"What was refused in {year}?")
    reasons = data.manifest(lake, year)["quarantine_reasons"]
    if not reasons:
        st.success(f"No record of {year} is in quarantine.", icon=":material/check_circle:")
        return
    chosen = st.selectbox(
        "Reason",
        [ALL_REASONS, *reasons],
        format_func=lambda name: (
            f"{name.replace('_', ' ')} ({reasons[name]:,})"
            if name in reasons
            else f"{name} ({sum(reasons.values()):,})"
        ),
        key=f"reason-{year}",
    )
    records = data.quarantine(lake, year, None if chosen == ALL_REASONS else chosen)
    event = st.dataframe(
        [
            {
                "Reason": text.visible(record.reason.replace("_", " ")),
                "Detail": text.visible(record.detail),
                "File": text.visible(record.source),
                "From byte": record.start,
                "To byte": record.end,
                "Content": text.visible(record.raw[:PREVIEW_SHOWN]),
            }
            for record in records
        ],
        hide_index=True,
        width="stretch",
        column_config={"From byte": NUMBER, "To byte": NUMBER, "Content": st.column_config.TextColumn(width="large")},
        on_select="rerun",
        selection_mode="single-row",
        selection_default={"selection": {"rows": [0], "columns": [], "cells": []}} if records else None,
        key=f"refused-{year}-{chosen}",
        alt="Table of refused records with reason, place and content.",
    )
    for place in event.selection.rows[:1]:
        st.caption(f"Content of row {place + 1}, decoded as UTF-8; bytes that are not text are shown as escapes")
        st.code(text.visible(records[place].raw, BYTES_SHOWN), language=None, wrap_lines=True)
    st.caption(
        f"Source: event_chunks · refused records with their bytes in the decompressed file · "
        f"{text.count(len(records))} shown, at most {data.QUARANTINE_SHOWN}"
    )


def _files(lake: Lake, year: str) -> None:
    manifest = data.manifest(lake, year)
    st.subheader(f"Which files make up {year}?")
    st.dataframe(
        [
            {
                "File": text.visible(file["path"]),
                "Size": text.size(file["bytes"]),
                "Compression": text.visible(file["compression"]),
                "Decompressed": text.size(file["decompressed_bytes"]),
                "Delivered": file["records_seen"],
                "Loaded": file["loaded"],
                "Duplicates": file["duplicates"],
                "Quarantined": file["quarantined"],
                "SHA-256": file["sha256"][:DIGEST_SHOWN],
            }
            for file in manifest["files"]
        ],
        hide_index=True,
        width="stretch",
        column_config=dict.fromkeys(("Delivered", "Loaded", "Duplicates", "Quarantined"), NUMBER),
        alt="Table of the delivered files with sizes, digests and counts.",
    )
    st.caption(f"Source: raw_export · one row per delivered file · files: {text.count(len(manifest['files']))}")
    st.dataframe(
        [
            {
                "Chunk": text.visible(chunk["path"]),
                "Rows": chunk["rows"],
                "Size": text.size(chunk["bytes"]),
                "SHA-256": chunk["sha256"][:DIGEST_SHOWN],
            }
            for chunk in manifest["chunks"]
        ],
        hide_index=True,
        width="stretch",
        column_config={"Rows": NUMBER},
        alt="Table of the chunks with rows, sizes and digests.",
    )
    st.caption(f"Source: event_chunks · one row per CSV chunk · chunks: {text.count(len(manifest['chunks']))}")


def _origins(lake: Lake) -> None:
    st.subheader("Where do the headline figures come from?")
    results = data.results(lake)
    st.dataframe(
        [
            {
                "Figure": metric["label"],
                "Value": text.measure(metric["value"], metric["unit"]),
                "Unit": metric["unit"],
                "Source asset": metric["source"],
                "Taken over": metric["denominator"] or "—",
                "Population": metric["population"],
            }
            for metric in results["metrics"]
        ],
        hide_index=True,
        width="stretch",
        height="content",
        column_config={
            "Figure": st.column_config.TextColumn(pinned=True, width=235),
            "Value": st.column_config.TextColumn(width=75),
            "Unit": st.column_config.TextColumn(width=80),
            "Source asset": st.column_config.TextColumn(width=105),
            "Taken over": st.column_config.TextColumn(width=180),
        },
        alt="Table of the headline figures with unit, denominator, population and source asset.",
    )
    components.caption(
        "analysis_results", "each figure in its own unit", f"years {', '.join(results['years'])}",
        text.minute(results["data_as_of"]),
    )  # fmt: skip
