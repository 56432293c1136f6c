"""Page "Where from?" of the transparency app: any published figure, taken apart down to the bytes of the raw files.

Put here: the order and wording of this page. Keep out: counting again (``recounts.py``, ``list_recounts.py``,
``delivered.py``) and which tables an asset is made from (``lineage.py``).
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import streamlit as st

from analytics_assets.core.ingest.tracing import Origin
from analytics_assets.core.lake import Lake
from dashboards import components, data, text
from dashboards.components import Tile
from dashboards.processing import delivered, lineage, list_recounts, parts, reading, recounts, shapes
from dashboards.processing.parts import DIGEST_SHOWN, NUMBER
from dashboards.processing.recounts import Recount

FIGURE_KEY = "figure"
"""Query parameter that names the figure; see ``components.origin_link``."""

LIST_PREFIX = "lists."

DEFAULT_FIGURE = "events"
"""Shown when the address names none."""

ROWS_BEHIND = 20
"""Rows shown behind a figure: enough to see what is counted."""

ID_COLUMNS = ("Actor", "Session", "uuid")
"""Headings of long ids."""

ENTRIES_SHOWN = 1_000
"""Entries of a list in its table."""

BYTES_SHOWN = 4_000
"""Bytes of a row of a chunk that are shown; its nested properties may be long."""


def show(lake: Lake, year: str) -> None:
    """Draw the page; a figure covers all its years, whatever year is chosen for the other pages."""
    st.title("Where does this figure come from?")
    results = data.results(lake)
    metrics = {metric["name"]: metric for metric in results["metrics"]}
    names = [*metrics, *(LIST_PREFIX + name for name in results["lists"])]
    chosen = st.selectbox(
        "Figure",
        names,
        index=names.index(DEFAULT_FIGURE) if DEFAULT_FIGURE in names else 0,
        format_func=text.visible,
        key=FIGURE_KEY,
        bind="query-params",
        help="A metric, or a list, of analysis_results.json.",
    )
    if chosen is None:
        st.info("The results hold no figure.")
        return
    if results["years"] != [year]:
        st.caption(
            f"The year {year} of the side bar does not apply here: published figures cover the deliveries "
            f"{text.listed(results['years'])}."
        )
    if chosen in metrics:
        _metric(lake, results, metrics[chosen])
    else:
        _list(lake, results, chosen.removeprefix(LIST_PREFIX))
    with components.explained():
        _all_metrics(results)


# One metric


def _metric(lake: Lake, results: dict[str, Any], metric: dict[str, Any]) -> None:
    years, name, published = results["years"], metric["name"], metric["value"]
    shown = text.measure(published, metric["unit"])
    unit = "" if metric["unit"] in ("s", "share") or published is None else f" {metric['unit']}"
    st.markdown(
        f"**{text.prose(metric['label'])}: {shown}{text.prose(unit)}**, over {text.prose(metric['population'])}, from "
        f"{text.code(metric['source'])} of {text.span([int(year) for year in years])}."
    )
    rows_behind: int | None = None
    found: Recount | None = None
    records: delivered.Records | None = None
    with components.explained(), st.spinner("Counting again…"):
        if name in delivered.FIGURES:
            records = delivered.records(lake, years, name, ROWS_BEHIND)
            rows_behind = records.count
            _verdict(published, records.count, metric["unit"])
        else:
            found = recounts.recount(lake, years, name)
            if found is not None:
                rows_behind = recounts.count(lake, years, found)
                _verdict(published, recounts.value(lake, years, found), metric["unit"])
    grain = "records" if records else found.grain.name if found else "rows"
    components.tiles(
        [
            Tile("Published", shown, metric["unit"]),
            Tile("Rows behind it", text.NO_DATA if rows_behind is None else text.count(rows_behind), grain),
            Tile("Deliveries", text.span([int(year) for year in years]), f"{len(years)} of them"),
            Tile("Data as of", text.day(results["data_as_of"]), "last event"),
        ]
    )
    with components.explained():
        _definition(metric, found)
    if records is not None:
        _records(records)
    elif found is not None:
        with components.explained():
            _rows(lake, years, found)
    with components.explained():
        _lineage(lake, results, metric["source"])


def _verdict(published: float | None, counted: float | None, unit: str) -> None:
    if recounts.agrees(published, counted):
        st.markdown(f"Counted again just now from the tables: **{text.measure(counted, unit)} ✓**, the same.")
    else:
        st.warning(
            f"Counted again just now it is {text.measure(counted, unit)}, not {text.measure(published, unit)}: the "
            f"tables or the settings changed since. Materialize `analysis_results` in the "
            f"{components.dagster_link()}.",
            icon=":material/update:",
        )


def _definition(metric: dict[str, Any], found: Recount | None) -> None:
    st.subheader("What does it mean?")
    others = [
        {"What": label, "Value": text.measure(metric[key], metric["unit"])}
        for key, label in (("people", "Over people only"), ("without_top_actor", "Without the most active actor"))
        if key in metric
    ]
    st.dataframe(
        [
            {"What": "Name", "Value": metric["name"]},
            {"What": "Unit", "Value": metric["unit"]},
            {"What": "Taken over", "Value": metric["denominator"] or "— (a count)"},
            {"What": "Population", "Value": metric["population"]},
            {"What": "Source asset", "Value": metric["source"]},
            {"What": "Exact value", "Value": repr(metric["value"])},
            *others,
        ],
        hide_index=True,
        width="stretch",
        column_config={"Value": st.column_config.TextColumn(width="large")},
        alt="Table of the figure's name, unit, denominator, population and source.",
    )
    if found is not None:
        with st.expander("Formula, as SQL over the lake's tables"):
            st.code(found.sql.strip(), language="sql", wrap_lines=True)


# One list


def _list(lake: Lake, results: dict[str, Any], name: str) -> None:
    years = results["years"]
    info = data.checked(
        results.get("list_info", {}), shapes.LIST_INFO, lake.analysis_results(), "analysis_results"
    ).get(name, {"source": "analysis_results", "about": "", "years": years})
    entries = data.checked(results["lists"][name], [dict], lake.analysis_results(), "analysis_results", f"lists.{name}")
    st.markdown(
        f"**{text.count(len(entries))} entries.** {text.prose(info['about'])} From {text.code(info['source'])} of "
        f"{text.span([int(year) for year in info['years']]) or 'no year'}."
    )
    if not entries:
        st.info("The list is empty.", icon=":material/do_not_disturb_on:")
    else:
        st.dataframe(
            [{key: _cell(value) for key, value in entry.items()} for entry in entries[:ENTRIES_SHOWN]],
            hide_index=False,
            width="stretch",
            alt=f"Table of the entries of the list {text.visible(name)}.",
        )
        place = components.page_number(len(entries), 1, "entry", "Entry of {}, from 1")
        with components.explained():
            _entry(lake, years, name, entries[place])
    with components.explained():
        _lineage(lake, results, info["source"])


def _cell(value: Any) -> Any:
    if isinstance(value, str | None):
        return text.visible(value)
    return text.visible(str(value)) if isinstance(value, list | dict) else value


def _entry(lake: Lake, years: list[str], name: str, entry: dict[str, Any]) -> None:
    found = list_recounts.recount(name, entry)
    if found is None:
        st.info(
            "An entry of this list is not a count of rows of one table; its source below says how it is made.",
            icon=":material/functions:",
        )
        return
    recount, published = found
    counted = recounts.count(lake, years, recount)
    said = ", ".join(f"{text.prose(key)} {text.code(str(entry[key]))}" for key in _keys(name, entry))
    st.markdown(f"**{said}: {text.count(published)}** {recount.grain.name}.")
    _verdict(published, counted, recount.grain.name)
    _rows(lake, years, recount)
    with st.expander("Formula, as SQL over the lake's tables"):
        st.code(recount.sql.strip(), language="sql", wrap_lines=True)


def _keys(name: str, entry: dict[str, Any]) -> list[str]:
    counted = list_recounts.counted(name, entry)
    return list(counted.keys) if counted else []


# Rows behind a figure


def _records(records: delivered.Records) -> None:
    st.subheader(f"{min(ROWS_BEHIND, records.count)} records behind it")
    parts.table(
        [{key: text.visible(value) if isinstance(value, str) else value for key, value in row.items()}
         for row in records.first], "Records behind the figure", source="event_chunks",


        columns=dict.fromkeys(("From byte", "To byte"), NUMBER),
        alt="Table of records with their raw file and byte span.",
    )  # fmt: skip
    st.caption(
        f"Source: event_chunks · records with their bytes in the decompressed raw file · {len(records.first)} of "
        f"{text.count(records.count)}"
    )


def _rows(lake: Lake, years: list[str], found: Recount) -> None:
    total = recounts.count(lake, years, found)
    rows = recounts.first_rows(lake, years, found, ROWS_BEHIND)
    st.subheader(f"{len(rows)} {found.grain.name} behind it")
    if not rows:
        st.info("There is none.", icon=":material/do_not_disturb_on:")
        return
    places: list[tuple[str, Origin] | None] = [None] * len(rows)
    with components.explained():
        places = _places(lake, years, rows)
    shown = [_with_place(_facts(row), _place(place)) for row, place in zip(rows, places, strict=True)]
    event = st.dataframe(
        shown,
        hide_index=True,
        width="stretch",
        height="content",
        column_config={
            **dict.fromkeys(("From byte", "To byte"), NUMBER),
            **dict.fromkeys(ID_COLUMNS, st.column_config.TextColumn(width="small")),
        },
        on_select="rerun",
        selection_mode="single-row",
        key=f"behind-{sha256(found.rows.encode()).hexdigest()[:DIGEST_SHOWN]}",
        alt=f"Table of {found.grain.name} behind the figure, each with chunk, raw file and byte span.",
    )
    st.caption(
        f"Source: the figure's own tables and the ledger of event_chunks · {len(rows)} of {text.count(total)} "
        f"{found.grain.name}; a row that stands for several events is traced by one of them · bytes are those of the "
        "decompressed raw file"
    )
    components.download(shown, "Rows behind the figure", {"Source": "tables and ledger of the lake"}, None)
    for number in event.selection.rows[:1]:
        place = places[number] if number < len(places) else None
        if place is not None:
            delivery, origin = place
            with components.explained():
                line = reading.chunk_row(lake, delivery, origin)
                st.caption(
                    f"Row {number + 1} in {text.code(f'chunks/{delivery}/{origin.chunk}')}, bytes "
                    f"{text.count(origin.chunk_start)} to {text.count(origin.chunk_end)}"
                )
                st.code(text.visible(line, BYTES_SHOWN), language=None, wrap_lines=True)


def _places(lake: Lake, years: list[str], rows: list[dict[str, Any]]) -> list[tuple[str, Origin] | None]:
    """Delivery and origin of each row's event."""
    uuids = [row["uuid"] for row in rows if row.get("uuid")]
    if not uuids:
        return [None] * len(rows)
    wanted = {row["Delivery"] for row in rows if row.get("Delivery")} or set(years)
    by_year = {year: reading.origins(lake, year, uuids) for year in years if year in wanted}
    found: list[tuple[str, Origin] | None] = []
    for row in rows:
        own = [row["Delivery"]] if row.get("Delivery") else years
        hits = [(year, by_year[year][row["uuid"]]) for year in own if row.get("uuid") in by_year.get(year, {})]
        found.append(hits[0] if hits else None)
    return found


def _facts(row: dict[str, Any]) -> dict[str, Any]:
    return {key: text.visible(value) if isinstance(value, str | None) else value for key, value in row.items()}


def _with_place(facts: dict[str, Any], place: dict[str, Any]) -> dict[str, Any]:
    """Place before long ids, so that it is in view without scrolling; what the row is comes first."""
    ids = {key: value for key, value in list(facts.items())[1:] if key in ID_COLUMNS}
    return {**{key: value for key, value in facts.items() if key not in ids}, **place, **ids}


def _place(place: tuple[str, Origin] | None) -> dict[str, Any]:
    if place is None:
        return {"Chunk": "", "Raw file": "", "From byte": None, "To byte": None}
    year, origin = place
    source = "!".join(filter(None, (origin.file, origin.member)))
    return {
        "Chunk": f"{year}/{text.visible(origin.chunk)}",
        "Raw file": f"{year}/{text.visible(source)}",
        "From byte": origin.start,
        "To byte": origin.end,
    }


# Assets and files


def _lineage(lake: Lake, results: dict[str, Any], source: str) -> None:
    years = results["years"]
    st.subheader("Which tables and files is it made from?")
    changed = []
    manifests = {}
    for year in years:
        with components.explained():
            manifests[year] = reading.manifest(lake, year)
            if manifests[year]["raw_digest"] != results["sources"].get(year, {}).get("raw_digest"):
                changed.append(year)
    if changed:
        st.warning(
            f"{text.listed([text.code(year) for year in changed])} changed after the figure was made. Materialize "
            f"`models_job` in the {components.dagster_link()}.",
            icon=":material/update:",
        )
    tables = lineage.tables(lake, years, source)
    st.dataframe(
        [
            {
                "Asset": table.asset,
                "Delivery": table.year,
                "File": text.visible(str(table.path.relative_to(lake.root))),
                "Rows": table.rows,
                "Written (UTC)": table.written,
                "State": table.state,
                "Runs": f"{components.dagster_url()}/assets/{table.asset}",
            }
            for table in tables
        ],
        hide_index=True,
        width="stretch",
        column_config={
            "Asset": st.column_config.TextColumn(pinned=True),
            "Rows": NUMBER,
            "Runs": st.column_config.LinkColumn(
                display_text="Dagster", help="Runs of the asset, with their ids and logs, in the Dagster UI."
            ),
        },
        alt="Table of the tables that the figure is made from, with rows and time of writing.",
    )
    components.linked_caption(
        "Source: the lake's files · from the figure's own table down to the events · runs and their ids",
        text.listed([components.asset_link(asset) for asset in dict.fromkeys(table.asset for table in tables)]),
    )
    _files(manifests)


def _files(manifests: dict[str, dict[str, Any]]) -> None:
    left, right = st.columns(2)
    with left:
        st.markdown("**Chunks**")
        chunks = [
            {
                "Delivery": year,
                "Chunk": text.visible(chunk["path"]),
                "Rows": chunk["rows"],
                "From files": len({span["file"] for span in chunk["sources"]}),
                "SHA-256": chunk["sha256"][:DIGEST_SHOWN],
            }
            for year, manifest in manifests.items()
            for chunk in manifest["chunks"]
        ]
        st.dataframe(
            chunks[:ENTRIES_SHOWN], hide_index=True, width="stretch", column_config={"Rows": NUMBER},
            alt="Table of the chunks with rows and digests.",
        )  # fmt: skip
        st.caption(f"Source: event_chunks · chunks: {text.count(len(chunks))}")
    with right:
        st.markdown("**Raw files**")
        files = [
            {
                "Delivery": year,
                "File": text.visible(file["path"]),
                "Size": text.size(file["bytes"]),
                "Records": file["records_seen"],
                "Loaded": file["loaded"],
                "SHA-256": file["sha256"][:DIGEST_SHOWN],
            }
            for year, manifest in manifests.items()
            for file in manifest["files"]
        ]
        st.dataframe(
            files[:ENTRIES_SHOWN], hide_index=True, width="stretch",
            column_config={"Records": NUMBER, "Loaded": NUMBER},
            alt="Table of the raw files with records and digests.",
        )  # fmt: skip
        st.caption(f"Source: raw_export · files: {text.count(len(files))}")


def _all_metrics(results: dict[str, Any]) -> None:
    st.subheader("All metrics")
    parts.table(
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
        "All metrics",
        source="analysis_results",
        columns={
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
