"""Page "Files" of the transparency app: raw files, chunks, which bytes of which file each chunk holds, and delays.

Put here: the order and wording of this page. Keep out: reading the manifest (``reading.py``).
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from analytics_assets.core.lake import Lake
from dashboards import components, data, text
from dashboards.charts import base
from dashboards.components import Tile
from dashboards.processing import parts, reading
from dashboards.processing.parts import DIGEST_SHOWN, NUMBER

ALL_CHUNKS = "all chunks"

ROWS_SHOWN = 1_000
"""Rows of a table of files: a year of hourly exports has more, and a browser scrolls no further with pleasure."""


def show(lake: Lake, year: str) -> None:
    """Draw the page."""
    st.title(f"Which files make up {year}?")
    with components.explained():
        manifest = reading.manifest(lake, year)
        _answer(manifest, year)
        _raw_files(manifest, year)
        _chunks(manifest, year)
        _irregularities(manifest, year)
    with components.explained():
        _delays(lake, year)


def _answer(manifest: dict[str, Any], year: str) -> None:
    total, files, chunks = manifest["total"], manifest["files"], manifest["chunks"]
    incomplete = sum(not file["complete"] for file in files)
    off = [file for file in files if _bytes_off(file)]
    st.markdown(
        f"**{text.count(len(files))} raw {'file' if len(files) == 1 else 'files'}** "
        f"({text.size(total['bytes'])}) became **{text.count(len(chunks))} "
        f"{'chunk' if len(chunks) == 1 else 'chunks'}** with {text.count(total['loaded'])} rows; "
        + (
            f"**{text.count(len(off))}** files have bytes that belong to nothing."
            if off
            else "every decompressed byte belongs to a record, a refused span or a separator."
        )
    )
    if incomplete:
        st.warning(
            f"{text.count(incomplete)} of {text.count(len(files))} files of {year} end before their end: what is "
            "missing is unknown. Deliver them again and materialize `event_chunks`.",
            icon=":material/content_cut:",
        )
    components.tiles(
        [
            Tile("Raw files", text.count(len(files)), text.size(total["bytes"])),
            Tile("Decompressed", text.size(sum(file["decompressed_bytes"] for file in files)), "all files"),
            Tile("Chunks", text.count(len(chunks)), text.size(sum(chunk["bytes"] for chunk in chunks))),
            Tile("Personal ids", "kept", "written as delivered")
            if manifest["privacy"]["mode"] == "keep"
            else Tile("Personal ids", "hidden", "written as pseudonyms"),
        ]
    )


def _bytes_off(file: dict[str, Any]) -> int:
    """Decompressed bytes that no account holds."""
    kinds = ("record_bytes", "refused_bytes", "separator_bytes", "merge_bytes")
    return int(file["decompressed_bytes"] - sum(file[kind] for kind in kinds))


def _shown(rows: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    page = components.page_number(len(rows), ROWS_SHOWN, key)
    return rows[page * ROWS_SHOWN : (page + 1) * ROWS_SHOWN]


def _raw_files(manifest: dict[str, Any], year: str) -> None:
    st.subheader("Raw files")
    rows = [
        {
            "File": text.visible(file["path"]),
            "Size": text.size(file["bytes"]),
            "Compression": text.visible(file["compression"]),
            "Decompressed": text.size(file["decompressed_bytes"]),
            "Whole": "✓" if file["complete"] else "✗ cut off",
            "Bytes": "✓" if not _bytes_off(file) else f"✗ off by {_bytes_off(file):+,}",
            "Delivered": file["records_seen"],
            "Loaded": file["loaded"],
            "Duplicates": file["duplicates"],
            "Quarantined": file["quarantined"],
            "Forgotten": file["forgotten"],
            "Corrected": file["repaired"],
            "SHA-256": file["sha256"][:DIGEST_SHOWN],
        }
        for file in manifest["files"]
    ]
    parts.table(
        _shown(rows, "files_page"),
        f"Raw files of {year}",
        source="event_chunks",
        columns={
            "File": st.column_config.TextColumn(pinned=True),
            "Whole": st.column_config.TextColumn(help="Whether the file was read to its end."),
            "Bytes": st.column_config.TextColumn(
                help="Decompressed bytes = records + refused spans + separators + records of merged identities."
            ),
            **dict.fromkeys(("Delivered", "Loaded", "Duplicates", "Quarantined", "Forgotten", "Corrected"), NUMBER),
        },
        alt="Table of the delivered files with sizes, digests and counts.",
    )
    st.caption(
        f"Source: raw_export, event_chunks · one row per delivered file of {year} · files: "
        f"{text.count(len(rows))} · digest of them all: {manifest['raw_digest'][:DIGEST_SHOWN]}"
    )


def _chunks(manifest: dict[str, Any], year: str) -> None:
    st.subheader("Chunks")
    rows = [
        {
            "Chunk": text.visible(chunk["path"]),
            "Rows": chunk["rows"],
            "Size": text.size(chunk["bytes"]),
            "From files": len({span["file"] for span in chunk["sources"]}),
            "SHA-256": chunk["sha256"][:DIGEST_SHOWN],
        }
        for chunk in manifest["chunks"]
    ]
    parts.table(
        _shown(rows, "chunks_page"),
        f"Chunks of {year}",
        source="event_chunks",
        columns={"Rows": NUMBER, "From files": NUMBER},
        alt="Table of the chunks with rows, sizes and digests.",
    )
    st.caption(f"Source: event_chunks · one row per CSV chunk of {year} · chunks: {text.count(len(rows))}")
    st.subheader("Which bytes are in which chunk?")
    names = [text.visible(chunk["path"]) for chunk in manifest["chunks"]]
    chosen = st.selectbox("Chunk", [ALL_CHUNKS, *names], key="chunk", bind="query-params")
    spans = [
        {
            "Chunk": text.visible(chunk["path"]),
            "File": text.visible("!".join(filter(None, (span["file"], span["member"])))),
            "From byte": span["start"],
            "To byte": span["end"],
            "Rows": span["rows"],
        }
        for chunk, name in zip(manifest["chunks"], names, strict=True)
        if chosen in (ALL_CHUNKS, name)
        for span in chunk["sources"]
    ]
    parts.table(
        _shown(spans, "spans_page"),
        f"Spans of {year}",
        source="event_chunks",
        columns=dict.fromkeys(("From byte", "To byte", "Rows"), NUMBER),
        alt="Table of the spans of raw files that each chunk was made from.",
    )
    st.caption(
        f"Source: event_chunks · bytes of the decompressed file from the first to the last row · spans: "
        f"{text.count(len(spans))}"
    )


def _irregularities(manifest: dict[str, Any], year: str) -> None:
    st.subheader("What was unusual while reading?")
    found = [
        {"What": what, "Name": text.visible(name), "Times": number}
        for what, counted in (
            ("values of another type than declared", manifest["coerced_values"]),
            ("times that could not be read", manifest["unreadable_times"]),
            ("keys that no column takes", manifest["unknown_keys"]),
            *(("file " + text.visible(file["path"]), file["irregularities"]) for file in manifest["files"]),
        )
        for name, number in counted.items()
    ]
    if not found:
        st.success("Nothing: all keys, types and times were as declared.", icon=":material/check_circle:")
        return
    parts.table(
        found[:ROWS_SHOWN],
        f"Irregularities of {year}",
        source="event_chunks",
        columns={"Times": NUMBER},
        alt="Table of irregularities with how often each occurred.",
    )
    st.caption(f"Source: event_chunks · occurrences · kinds: {text.count(len(found))}")


def _delays(lake: Lake, year: str) -> None:
    quality = data.quality(lake, year)
    with components.explained():
        parts.warn_if_outdated(lake, year)
    times = quality["time"]
    as_of = text.minute(times["last_event_time"])
    st.subheader("How late do events arrive?")
    delays = times["upload_delay"]
    total = sum(delays.values())
    if not total or delays.get("unknown") == total:
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
