"""Page "Cleaning" of the transparency app: every step, its rule and code, what it removed, and each column's fate.

Put here: the order and wording of this page. Keep out: the steps (``core/features/cleaning.py``) and their text
(``step_code.py``).
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from analytics_assets.core.lake import Lake
from analytics_assets.schemas import CLEAN_EVENTS, EVENT_CHUNKS
from dashboards import components, data, text
from dashboards.charts import base, processing
from dashboards.components import Tile
from dashboards.processing import parts, reading, step_code
from dashboards.processing.parts import NUMBER
from dashboards.selection import quoted

ALL_STEPS, ALL_REASONS = "all steps", "all reasons"

REASONS_SHOWN = 12
"""Reasons in the chart; a reason may quote a value, so there may be thousands."""


def show(lake: Lake, year: str) -> None:
    """Draw the page."""
    st.title(f"What was cleaned away from {year}, and why?")
    with components.explained():
        quality = data.quality(lake, year)
        as_of = text.minute(quality["time"]["last_event_time"])
        _answer(quality, year)
        with components.explained():
            parts.warn_if_outdated(lake, year)
            parts.warn_if_events_differ(lake, year)
        _waterfall(quality, year, as_of)
        _step(quality["waterfall"])
    with components.explained():
        _removed(lake, year)
    with components.explained():
        _columns(lake, year)


def _lost(step: dict[str, Any]) -> int:
    return int(step["rows_before"] - step["rows_after"])


def _answer(quality: dict[str, Any], year: str) -> None:
    steps = quality["waterfall"]
    if not steps:
        st.info("No step is recorded.")
        return
    delivered, left = steps[0]["rows_before"], steps[-1]["rows_after"]
    removing = sorted((step for step in steps if _lost(step)), key=lambda step: -_lost(step))
    sentence = (
        f"**{text.count(left)}** of **{text.count(delivered)} delivered records** of {year} are left "
        f"({text.share(text.ratio(left, delivered))})"
    )
    if removing:
        sentence += f"; most went in the step {text.code(removing[0]['step'])} ({text.count(_lost(removing[0]))})"
    st.markdown(f"{sentence}. Every removed row is kept with its step and reason.")
    components.tiles(
        [
            Tile("Delivered", text.count(delivered), f"{steps[0]['columns_before']} columns"),
            Tile("Removed", text.count(delivered - left), f"by {len(removing)} of {len(steps)} steps"),
            Tile("Left", text.count(left), f"{steps[-1]['columns_after']} columns"),
            Tile("Cleaning profile", text.visible(quality["profile"]), "set in analytics.toml"),
        ]
    )


def _waterfall(quality: dict[str, Any], year: str, as_of: str) -> None:
    steps = quality["waterfall"]
    if not steps:
        return
    st.subheader(f"Rows of {year} after each step")
    components.chart(processing.waterfall(steps, year), "waterfall")
    components.caption("data_quality", "rows after each step, removed rows in orange", f"all records of {year}", as_of)
    parts.table(
        [
            {
                "Step": text.visible(step["step"]),
                "Rule": text.visible(step["rule"]),
                "Removed": _lost(step),
                "Rows before": step["rows_before"],
                "Rows after": step["rows_after"],
                "Columns before": step["columns_before"],
                "Columns after": step["columns_after"],
            }
            for step in steps
        ],
        f"Cleaning steps of {year}",
        source="data_quality",
        columns={
            "Rule": st.column_config.TextColumn(width="large"),
            **dict.fromkeys(("Removed", "Rows before", "Rows after", "Columns before", "Columns after"), NUMBER),
        },
        alt="Table of the cleaning steps with rows and columns before and after.",
    )


def _step(steps: list[dict[str, Any]]) -> None:
    if not steps:
        return
    st.subheader("One step in detail")
    by_name = {text.visible(step["step"]): step for step in steps}
    step = by_name[st.selectbox("Step", list(by_name), key="step", bind="query-params")]
    st.markdown(f"**Rule.** {text.prose(step['rule'])}")
    if step["details"]:
        st.dataframe(
            [
                {
                    "What": text.visible(name),
                    "Detail": f"{text.count(value)} values or records"
                    if isinstance(value, int | float)
                    else text.visible(value),
                }
                for name, value in step["details"].items()
            ],
            hide_index=True,
            width="stretch",
            alt=f"Table of the details of the step {text.visible(step['step'])}.",
        )
    if step["examples"]:
        st.markdown("**Removed rows, for example**")
        st.dataframe(
            [
                {
                    "Reason": text.visible(example["reason"]),
                    "Event": text.visible(example["event_type"]),
                    "Time (UTC)": text.visible(example["event_time"]),
                    "uuid": text.visible(example["uuid"]),
                }
                for example in step["examples"]
            ],
            hide_index=True,
            width="stretch",
            alt="Table of rows that the step removed, with why.",
        )
    found = step_code.code_of(step["step"])
    with st.expander("Code of this step"):
        if not found:
            st.markdown("The installed package has no step of this name: another version made these figures.")
        for code in found:
            st.caption(f"analytics_assets/{code.module}")
            st.code(code.source, language="python", line_numbers=False)


def _removed(lake: Lake, year: str) -> None:
    st.subheader("Browse the removed rows")
    files = [lake.feature("dropped_events", year)]
    counted = data.query(
        "SELECT dropped_by, reason, count(*) FROM {files} GROUP BY ALL ORDER BY 3 DESC, 1, 2", files, "dropped_events"
    )
    total = sum(number for _, _, number in counted)
    if not total:
        st.success(f"Cleaning removed no event of {year}.", icon=":material/check_circle:")
        return
    steps = list(dict.fromkeys(step for step, _, _ in counted))
    left, right = st.columns(2)
    with left:
        step = st.selectbox("Removed by", [ALL_STEPS, *steps], key="removed_by", bind="query-params")
    of_step = [(reason, number) for by, reason, number in counted if step in (ALL_STEPS, by)]
    by_reason: dict[str, int] = {}
    for reason, number in of_step:
        by_reason[reason] = by_reason.get(reason, 0) + number
    ranked = sorted(by_reason.items(), key=lambda item: (-item[1], item[0]))
    with right:
        reason = st.selectbox(
            "Because",
            [ALL_REASONS, *(name for name, _ in ranked[: reading.PAGE_ROWS])],
            key="reason",
            format_func=text.visible,
            bind="query-params",
        )
    count = sum(number for name, number in ranked if reason in (ALL_REASONS, name))
    conditions = ["true"]
    if step != ALL_STEPS:
        conditions.append(f"dropped_by = {quoted(step)}")
    if reason != ALL_REASONS:
        conditions.append(f"reason = {quoted(reason)}")
    page = components.page_number(count, reading.PAGE_ROWS, "removed_page")
    rows = data.query(
        "SELECT time::VARCHAR, event_type, dropped_by, reason, actor, session_key, uuid FROM {files} "
        f"WHERE {' AND '.join(conditions)} ORDER BY time, uuid LIMIT {reading.PAGE_ROWS} "
        f"OFFSET {page * reading.PAGE_ROWS}",
        files,
        "dropped_events",
    )
    names = ("Time (UTC)", "Event", "Removed by", "Reason", "Actor", "Session", "uuid")
    parts.table(
        [dict(zip(names, map(text.visible, row), strict=True)) for row in rows],
        f"Removed rows of {year}",
        source="dropped_events",
        alt="Table of removed rows with step and reason.",
    )
    first = page * reading.PAGE_ROWS + 1
    st.caption(
        f"Source: dropped_events · removed events, ids as pseudonyms · rows {text.count(first)} to "
        f"{text.count(first + len(rows) - 1)} of {text.count(count)}"
    )
    if len(ranked) > 1:
        shown = [base.Bar(name, number, text.count(number)) for name, number in ranked[:REASONS_SHOWN]]
        components.chart(base.bars(shown, title=f"Removed rows of {year} by reason", unit="events"), "removed")
        st.caption(
            f"Source: dropped_events · removed events · the {len(shown)} most frequent of {text.count(len(ranked))} "
            "reasons"
        )


def _columns(lake: Lake, year: str) -> None:
    st.subheader("What became of each column?")
    steps = {step["step"]: step["details"] for step in data.quality(lake, year)["waterfall"]}
    nulled, left_out = steps.get("normalize nulls", {}), steps.get("drop columns", {})
    declared = {column.name: column for column in (*EVENT_CHUNKS.columns, *CLEAN_EVENTS.columns)}
    delivered, clean = EVENT_CHUNKS.column_names, CLEAN_EVENTS.column_names
    rows = []
    for name in dict.fromkeys((*delivered, *clean)):
        note = ""
        if name in left_out:
            fate, note = "left out", str(left_out[name])
        elif name in clean and name in delivered:
            fate = "kept"
        elif name in clean:
            fate = "derived"
        else:
            fate, note = "left out", "the quality figures give no reason"
        if declared[name].personal:
            note = "; ".join(filter(None, [note, "written as a pseudonym unless the settings say otherwise"]))
        tokens = nulled.get(name)
        rows.append(
            {
                "Column": name,
                "Fate": fate,
                "Type": declared[name].type,
                "Texts read as null": tokens if isinstance(tokens, int) else None,
                "Note": text.visible(note),
                "Meaning": declared[name].description,
            }
        )
    fates = [row["Fate"] for row in rows]
    st.markdown(
        f"Of {len(delivered)} delivered columns **{fates.count('kept')}** are kept and **{fates.count('left out')}** "
        f"left out; **{fates.count('derived')}** are derived from them."
    )
    parts.table(
        rows,
        f"Fate of the columns of {year}",
        source="data_quality",
        height="content",
        columns={
            "Column": st.column_config.TextColumn(pinned=True, width=180),
            "Type": st.column_config.TextColumn(width=95),
            "Texts read as null": NUMBER,
            "Note": st.column_config.TextColumn(width="medium"),
            "Meaning": st.column_config.TextColumn(width="large"),
        },
        alt="Table of all columns with what became of each and why.",
    )
    st.caption(f"Source: data_quality and the declared tables · columns of event_chunks and clean_events of {year}")
