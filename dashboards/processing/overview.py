"""Page "Overview" of the transparency app: whether every delivered record is accounted for.

Put here: the order and wording of this page. Keep out: reading files (``data.py``) and drawing (``charts``).
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from analytics_assets.core.lake import Lake
from dashboards import components, data, text
from dashboards.charts import processing
from dashboards.components import Tile
from dashboards.processing import parts
from dashboards.processing.parts import NUMBER

FATES = ("loaded", "duplicates", "quarantined", "forgotten")
"""What can become of a record; the last only where somebody asked to be removed."""


def show(lake: Lake, year: str) -> None:
    """Draw the page with `year` in detail."""
    st.title("Is every delivered record accounted for?")
    _account(lake)
    with components.explained():
        _waterfall(lake, year)


def _adds_up(manifest: dict[str, Any]) -> str:
    """A tick, or by how much the counts differ."""
    total = manifest["total"]
    off = total["records_seen"] - sum(total[name] for name in FATES)
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
        name: sum(manifest["total"][name] for manifest in manifests.values()) for name in ("records_seen", *FATES)
    }
    forgotten = totals["forgotten"] > 0
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
            f"duplicates and **{text.count(totals['quarantined'])}** put in quarantine"
            + (
                f"; **{text.count(totals['forgotten'])}** belong to persons who asked to be forgotten."
                if forgotten
                else "."
            )
        )
    for damage in unreadable:
        components.explain(damage)
    components.tiles(
        [
            Tile(
                "Records delivered",
                text.count(totals["records_seen"]),
                "= forgotten and the other three" if forgotten else "= the other three",
            ),
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
    parts.table(
        [
            {
                "Year": year,
                "Adds up": verdicts[year],
                "Delivered": manifest["total"]["records_seen"],
                "Loaded": manifest["total"]["loaded"],
                "Duplicates": manifest["total"]["duplicates"],
                "Quarantined": manifest["total"]["quarantined"],
                **({"Forgotten": manifest["total"]["forgotten"]} if forgotten else {}),
                "Files": len(manifest["files"]),
                "Size": text.size(manifest["total"]["bytes"]),
            }
            for year, manifest in manifests.items()
        ],
        "Records by year",
        source="event_chunks",
        columns={
            "Year": st.column_config.TextColumn(pinned=True),
            "Delivered": NUMBER,
            "Loaded": NUMBER,
            "Duplicates": NUMBER,
            "Quarantined": NUMBER,
            "Forgotten": NUMBER,
            "Adds up": st.column_config.TextColumn(
                help="Delivered = loaded + duplicates + quarantined + forgotten, and the chunks hold exactly the "
                "loaded records."
            ),
        },
        alt="Table of delivered, loaded, duplicate and quarantined records by year.",
    )
    st.caption(
        "Source: event_chunks · records · all raw files · delivered = loaded + duplicates + quarantined + forgotten"
    )


def _waterfall(lake: Lake, year: str) -> None:
    quality = data.quality(lake, year)
    with components.explained():
        parts.warn_if_outdated(lake, year)
    st.subheader(f"What happened to the rows of {year}?")
    if not quality["waterfall"]:
        st.info("No step is recorded.")
        return
    components.chart(processing.waterfall(quality["waterfall"], year), "waterfall")
    components.caption(
        "data_quality", "rows after each step, removed rows in orange", f"all records of {year}",
        text.minute(quality["time"]["last_event_time"]),
    )  # fmt: skip
    st.caption("The page Cleaning has each step with its rule, its code and the rows that it removed.")
