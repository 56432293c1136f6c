"""What several pages of the transparency app draw.

Put here: their shared messages and column formats. Keep out: what the insights app draws too (``components.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import streamlit as st

from analytics_assets.core.lake import Lake
from dashboards import components, data, text
from dashboards.processing import reading

NUMBER = st.column_config.NumberColumn(format="localized")
"""A whole number with the reader's own thousands separators."""

DIGEST_SHOWN = 12
"""Characters of a SHA-256 that tell files apart."""


def table(
    rows: Sequence[Mapping[str, Any]],
    subject: str,
    *,
    alt: str,
    source: str,
    columns: Mapping[str, Any] | None = None,
    height: Literal["auto", "content"] = "auto",
) -> None:
    """Draw a table and offer it as a file.

    Parameters
    ----------
    rows : sequence of mapping
        Column to value; untrusted text is made visible before.
    subject : str
        What the rows are, with the year where they are of one; unique on the page.
    alt : str
        The table in words.
    source : str
        Asset or assets that the rows come from.
    columns : mapping, optional
        Formats of columns.
    height : str
        "content" for a table without a scroll bar of its own.
    """
    st.dataframe(
        rows,
        hide_index=True,
        width="stretch",
        column_config=dict(columns or {}),
        height=height,
        alt=alt,
    )
    components.download(rows, subject, {"Source": source}, None)


def warn_if_outdated(lake: Lake, year: str) -> None:
    """Say so when the quality figures are of an earlier delivery than the chunks."""
    if reading.is_outdated(lake, year):
        st.warning(
            f"The quality figures of {year} are of an earlier delivery. Materialize `data_quality` in the "
            f"{components.dagster_link()}.",
            icon=":material/update:",
        )


def warn_if_events_differ(lake: Lake, year: str) -> None:
    """Say so when the event tables do not hold exactly the loaded records: then they are of other chunks."""
    loaded = data.manifest(lake, year)["total"]["loaded"]
    clean, dropped = (events_in(lake, year, table) for table in ("clean_events", "dropped_events"))
    if clean + dropped != loaded:
        st.warning(
            f"The tables of {year} hold {text.count(clean + dropped)} events, its chunks {text.count(loaded)}: they "
            f"are of different deliveries. Materialize `clean_events` in the {components.dagster_link()}.",
            icon=":material/update:",
        )


def events_in(lake: Lake, year: str, table: str) -> int:
    """Rows of one feature table of one year."""
    [(number,)] = data.query("SELECT count(*) FROM {files}", [lake.feature(table, year)], table)
    return int(number)
