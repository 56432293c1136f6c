"""Building blocks of a page: charts with their caption, tiles, messages about files.

Put here: what several pages draw with Streamlit. Keep out: figures (``charts``), wording of numbers (``text.py``).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import plotly.graph_objects as go
import streamlit as st

from analytics_assets.core.lake import DATA_DIR_VARIABLE, Lake
from dashboards import exports, text
from dashboards.charts import activity, base
from dashboards.data import LakeFileError, MissingFileError
from dashboards.selection import Scope

SYNTHETIC_LABEL = "Synthetic sample data"

DAGSTER_PORT_VARIABLE = "ANALYTICS_DAGSTER_PORT"
DEFAULT_DAGSTER_PORT = "3000"

PROCESSING_PORT_VARIABLE = "ANALYTICS_PROCESSING_PORT"
DEFAULT_PROCESSING_PORT = "8502"

_CHART_OPTIONS = {
    "displaylogo": False,
    "displayModeBar": True,
    "modeBarButtonsToRemove": [
        "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "autoScale2d", "resetScale2d", "resetViews", "toggleSpikelines",
        "hoverClosestCartesian", "hoverCompareCartesian",
    ],
    "scrollZoom": False,
    "showTips": False,
}  # fmt: skip
"""Of Plotly's own buttons "PNG" stays, and Streamlit's "Fullscreen": dragging and double-clicking do the rest."""

BUTTON_STRIP = 30
"""Pixels above a plot, so that the buttons cover neither its values nor its legend."""

_IMAGE_SCALE = 2
"""Pixels of an image per pixel of the screen: sharp in print."""

_TEXT_COLOURS = {"light": "#0A0A0A", "dark": "#FAFAFA"}
"""The text colours of `.streamlit/config.toml` by theme."""


@dataclass(frozen=True)
class Tile:
    """One headline figure.

    Parameters
    ----------
    label, value : str
        What it is, and the figure for people.
    note : str
        A second figure or the definition, under the value.
    meaning : str
        Full definition, shown on demand.
    trend : sequence of float
        Values of a sparkline, oldest first.
    change : float, optional
        Relative change, shown before the note; the page says against what.
    """

    label: str
    value: str
    note: str = ""
    meaning: str = ""
    trend: Sequence[float] = ()
    change: float | None = None


def _local_address(variable: str, default: str) -> str:
    port = os.environ.get(variable, "")
    return f"http://127.0.0.1:{port if port.isdigit() else default}"


def dagster_url() -> str:
    """Address of the Dagster UI."""
    return _local_address(DAGSTER_PORT_VARIABLE, DEFAULT_DAGSTER_PORT)


def dagster_link() -> str:
    """Markdown link to the Dagster UI."""
    return f"[Dagster UI]({dagster_url()})"


def processing_link(words: str, page: str = "", **parameters: str) -> str:
    """Markdown link to a page of the transparency app; its first one unless named."""
    return (
        f"[{words}]({_local_address(PROCESSING_PORT_VARIABLE, DEFAULT_PROCESSING_PORT)}/{page}?{urlencode(parameters)})"
    )


def asset_link(asset: str) -> str:
    """Markdown link to an asset in the Dagster UI, where its runs are listed."""
    return f"[{text.prose(asset)}]({dagster_url()}/assets/{quote(asset, safe='')})"


def origin_link(figure: str, words: str = "Where does this come from?") -> str:
    """Markdown link to the page of the transparency app that takes a published figure apart.

    Parameters
    ----------
    figure : str
        Name of a metric of ``analysis_results.json``, or ``lists.`` and the name of a list.
    words : str
        Text of the link.
    """
    return processing_link(words, "origins", figure=figure)


def page_number(count: int, per_page: int, key: str, words: str = "Page of {}") -> int:
    """Let a person turn the pages of `count` rows; returns the page from 0. One page needs no turning.

    Parameters
    ----------
    count, per_page : int
        Rows in all and on each page.
    key : str
        Widget key and query parameter.
    words : str
        Label; ``{}`` stands for the number of pages.
    """
    pages = max(1, -(-count // per_page))
    if pages == 1:
        return 0
    chosen = st.number_input(words.format(text.count(pages)), 1, pages, key=key, bind="query-params")
    # An address may ask for a page that a filter has taken away.
    return min(int(chosen), pages) - 1


def caption(source: str, unit: str, population: str, as_of: str, figure: str | None = None) -> None:
    """The grey line under a chart or table: where it comes from and what it is about.

    Parameters
    ----------
    source, unit, population, as_of : str
        Asset, what is counted, of what, and time of the last event.
    figure : str, optional
        The published figure that is shown, see `origin_link`.
    """
    said = f"Source: {source} · {unit} · {population} · data as of {as_of}"
    if figure:
        linked_caption(said, origin_link(figure))
    else:
        st.caption(said)


def linked_caption(said: str, links: str) -> None:
    """A caption with links at its end: Streamlit fades all of a caption of its own, which makes links too pale."""
    st.markdown(f":small[:gray[{said} ·] {links}]")


def population(scope: Scope, rows: str = "events") -> str:
    """What a figure is about, for its caption."""
    return f"{rows} of {text.prose(scope.words)}" if scope.narrowed else f"all {rows}"


def chart(figure: go.Figure, key: str, scope: Scope | None = None, on_select: Callable[[], None] | None = None) -> None:
    """Draw a figure over the full width, with its alternative text and text as dark or bright as the page's.

    Parameters
    ----------
    figure : Figure
        What to draw; `charts.base.finish` made it.
    key : str
        Unique on the page; also the subject in the name of an image of it.
    scope : Scope, optional
        Adds the date of the data to that name.
    on_select : callable, optional
        Called after a click on a mark; the session state holds the marks under `key`.
    """
    # Streamlit draws Plotly's text in a grey that is too faint for the labels of bars.
    colour = _TEXT_COLOURS.get(st.context.theme.type or "")
    if colour:
        figure.update_layout(font_color=colour)
        figure.update_annotations(font_color=colour)
    top = figure.layout.margin.t or 0
    figure.update_layout(
        # Without a colour of its own it is the page's, on an image of it, too.
        paper_bgcolor=None,
        margin_t=max(top, BUTTON_STRIP),
        height=figure.layout.height + max(0, BUTTON_STRIP - top),
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": base.GREY, "activecolor": base.BLUE},
    )
    image = {"filename": exports.file_name(key, data_day(scope), ""), "format": "png", "scale": _IMAGE_SCALE}
    st.plotly_chart(
        figure,
        width="stretch",
        config={**_CHART_OPTIONS, "toImageButtonOptions": image},
        key=key,
        on_select=on_select or "ignore",
        selection_mode="points",
        alt=base.alt_text(figure),
    )


def data_day(scope: Scope | None) -> str | None:
    """Date of the last event in the data."""
    return (scope.results["data_as_of"] or "")[:10] or None if scope else None


def unfiltered(scope: Scope, what: str) -> None:
    """Say that the filters do not apply to a part of the page; nothing without filters.

    Parameters
    ----------
    scope : Scope
        The filters.
    what : str
        The part, in words that may hold Markdown, as in "the leaderboard".
    """
    if scope.narrowed:
        st.caption(
            f":material/filter_alt_off: The filters ({text.prose(scope.words)}) do not apply to {what}: "
            "it covers all years and all actors."
        )


def export(
    rows: Sequence[Mapping[str, Any]], name: str, scope: Scope, *, source: str, figure: go.Figure | None = None
) -> None:
    """Offer what a chart or table shows as files; they are made when a person asks for one.

    Parameters
    ----------
    rows : sequence of mapping
        What is shown, column to value.
    name : str
        Its subject, unique on the page: title of the files and of the button's key.
    scope : Scope
        The filters, which the files name.
    source : str
        Asset or assets that the rows come from.
    figure : Figure, optional
        The chart, for a page of its own.
    """
    facts = {
        "Filters": scope.words or "none: all years and all actors",
        "Data as of": scope.as_of,
        "Source": source,
    }
    download(rows, name, facts, data_day(scope), figure=figure)


def download(
    rows: Sequence[Mapping[str, Any]],
    name: str,
    facts: Mapping[str, str],
    day: str | None,
    *,
    figure: go.Figure | None = None,
) -> None:
    """Like `export`, for a page without the filters: `facts` say what the files are about, `day` dates their names."""
    key = exports.file_name(name, None, "")
    with st.popover("Export", type="tertiary", icon=":material/download:", key=f"export-{key}"):
        st.download_button(
            f"CSV, {text.count(len(rows))} {'row' if len(rows) == 1 else 'rows'}",
            lambda: exports.csv_bytes(rows, {"Title": name, **facts}),
            exports.file_name(name, day, "csv"),
            "text/csv",
            key=f"export-{key}-csv",
            on_click="ignore",
            help="Exactly what is shown, with the filters in its first lines.",
        )
        if figure is not None:
            st.download_button(
                "HTML, the chart as a page",
                lambda: exports.html_bytes(figure, name, facts),
                exports.file_name(name, day, "html"),
                "text/html",
                key=f"export-{key}-html",
                on_click="ignore",
                help="Works without a network; about 5 MB.",
            )
            st.caption("PNG: the camera above the chart.")


def weekly_rhythm(
    counted: Sequence[Sequence[int]],
    name: str,
    scope: Scope,
    *,
    source: str,
    rows: str = "events",
    unit: str = "events",
) -> None:
    """Draw counts by weekday and hour, and offer them as files.

    Parameters
    ----------
    counted : sequence of sequence of int
        By UTC weekday (Monday first) and hour.
    name : str
        Its subject, unique on the page.
    scope : Scope
        The filters.
    source : str
        Asset that they are counted from.
    rows : str
        What the filters narrow.
    unit : str
        What is counted of it.
    """
    figure = activity.weekday_by_hour(counted, unit)
    chart(figure, exports.file_name(name, None, ""), scope)
    caption(source, f"{unit} per weekday and hour (UTC), with sums", population(scope, rows), scope.as_of)
    table = [
        {"Weekday": day, **{f"{hour:02}:00 UTC": number for hour, number in enumerate(line)}}
        for day, line in zip(activity.WEEKDAYS, counted, strict=True)
    ]
    export(table, name, scope, source=source, figure=figure)


def tiles(row: Sequence[Tile]) -> None:
    """Headline figures side by side, in as many lines as their width needs."""
    line = st.container(horizontal=True)
    for tile in row:
        with line.container(height="stretch"):
            is_compared = tile.change is not None
            st.metric(
                tile.label,
                tile.value,
                delta=text.change(tile.change) if is_compared else tile.note or None,
                delta_description=tile.note if is_compared and tile.note else None,
                # Whether more is better is for the reader to say.
                delta_color="off",
                delta_arrow="auto" if is_compared else "off",
                help=tile.meaning or None,
                border=True,
                height="stretch",
                chart_data=list(tile.trend) if len(tile.trend) > 1 else None,
                chart_type="area",
            )


def table(
    rows: Sequence[Mapping[str, Any]],
    name: str,
    scope: Scope,
    *,
    source: str,
    alt: str,
    column_config: Mapping[str, Any] | None = None,
    figure: go.Figure | None = None,
) -> None:
    """Draw rows as a table over the full width, and offer them as files.

    Parameters
    ----------
    rows, name, scope, source, figure
        See `export`; `figure` is the chart that shows the same.
    alt : str
        The table in words.
    column_config : mapping, optional
        Streamlit's settings of columns.
    """
    st.dataframe(rows, hide_index=True, width="stretch", column_config=dict(column_config or {}), alt=alt)
    export(rows, name, scope, source=source, figure=figure)


def synthetic_label() -> None:
    """Say at the top of the page that the data are generated."""
    st.badge(SYNTHETIC_LABEL, icon=":material/science:", color="orange")


def _file_name(path: Path) -> str:
    root = Lake.default().root
    return text.code(str(path.relative_to(root) if path.is_relative_to(root) else path))


def explain(error: LakeFileError) -> None:
    """Say which file cannot be shown and how to make it anew."""
    if isinstance(error, MissingFileError):
        st.info(
            f"{_file_name(error.path)} is not there yet. Materialize the asset {text.code(error.asset)} in the "
            f"{dagster_link()}, or run `make demo`.",
            icon=":material/hourglass_empty:",
        )
    else:
        st.error(
            f"{_file_name(error.path)} cannot be shown: {text.code(error.fact)}. Materialize the asset "
            f"{text.code(error.asset)} again in the {dagster_link()}.",
            icon=":material/broken_image:",
        )


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Show a message in place of a part of the page whose file is missing or damaged; the other parts stay."""
    try:
        yield
    except LakeFileError as error:
        explain(error)


def empty_lake(lake: Lake) -> None:
    """What to do when nothing has been ingested."""
    waiting = lake.raw_years()
    if waiting:
        st.title("The exports are there, but not ingested yet")
        st.markdown(f"Exports wait for {text.listed([text.code(year) for year in waiting])}.")
    else:
        st.title("There are no data yet")
        st.markdown(f"The data folder {text.code(str(lake.root))} holds no exports and no results.")
    st.markdown(
        f"""
**Everything at once:** run `make demo`. It materializes every asset{"" if waiting else ", on generated sample data"}.

**Step by step:**

1. Put the exports of each year into `raw/<year>/` of the data folder (the environment variable
   `{DATA_DIR_VARIABLE}` names another folder).
2. Materialize `yearly_job` for each year in the {dagster_link()}.
3. Materialize `models_job` once all years are done.
"""
    )


def no_results(lake: Lake) -> None:
    """What to do when years are ingested but the published figures are missing."""
    years = lake.ingested_years()
    st.title("One step is missing")
    st.markdown(
        f"Ingested: {text.listed([text.code(year) for year in years])}. The figures over all years are not there yet: "
        f"materialize `models_job` in the {dagster_link()} (its last asset, `analysis_results`, writes them), or run "
        "`make demo`."
    )
    unfinished = [year for year in years if not lake.feature("clean_events", year).is_file()]
    if unfinished:
        st.markdown(
            f"Before that, materialize `yearly_job` for {text.listed([text.code(year) for year in unfinished])}: "
            "`clean_events` is missing."
        )
