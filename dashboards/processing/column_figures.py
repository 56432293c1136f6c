"""What the page "Columns" says of one column: its values, the most frequent ones, and how numbers are spread.

Put here: plain values out of the summaries and tables. Keep out: drawing.

Delivered columns are described by the Spark summaries, over all loaded events; derived ones are counted from
``clean_events``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from analytics_assets.core.lake import Lake
from analytics_assets.schemas import CLEAN_EVENTS, EVENT_CHUNKS, NESTED_COLUMNS, Column
from dashboards import data, text
from dashboards.charts.processing import Bin

TOP = 20
"""Values listed per column, as many as ``spark_top_values`` has."""

BINS = 30
"""Bins of a histogram: each is still a few pixels wide on a phone."""

BINS_PER_DECADE = 4
"""Bins from one power of ten to the next."""

HEAVY_TAIL = 100
"""From this ratio of the largest value to the median on, bins of equal width would put nearly all rows into one."""

_DECLARED: dict[str, Column] = {column.name: column for column in (*CLEAN_EVENTS.columns, *EVENT_CHUNKS.columns)}


@dataclass(frozen=True)
class Profile:
    """One column of one year.

    Parameters
    ----------
    type, unit, meaning : str
        As declared.
    rows, nulls, distinct : int
        Rows in all, those without a value, and distinct values.
    top : tuple of (str, int)
        Most frequent values as text with their rows.
    source : str
        Asset that the figures are from.
    """

    type: str
    unit: str
    meaning: str
    rows: int
    nulls: int
    distinct: int
    top: tuple[tuple[str, int], ...]
    source: str


def names() -> list[str]:
    """All columns, those of ``clean_events`` first."""
    return list(_DECLARED)


def type_of(column: str) -> str:
    """Declared type of a column; empty for an unknown one."""
    return _DECLARED[column].type if column in _DECLARED else ""


def _sql(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def profile(lake: Lake, year: str, column: str) -> Profile:
    """Describe a declared column."""
    if column in EVENT_CHUNKS.column_names:
        return _delivered(lake, year, column)
    return _derived(lake, year, column)


def _delivered(lake: Lake, year: str, column: str) -> Profile:
    declared, source = _DECLARED[column], "spark_dataset_overview"
    path = lake.summary(year, source)
    found = data.query("SELECT column_name, events, nulls, distinct_values FROM {files}", [path], source)
    figures = {name: numbers for name, *numbers in found}
    if column not in figures:
        raise data.DamagedFileError(path, source, f"it has no column {column!r}")
    rows, nulls, distinct = figures[column]
    if column in NESTED_COLUMNS:
        top = data.query(
            "SELECT column_name, top_value, top_value_events FROM {files} WHERE top_value IS NOT NULL", [path], source
        )
        listed = tuple((value, number) for name, value, number in top if name == column)
    else:
        source = "spark_top_values"
        ranked = data.query(
            "SELECT column_name, value, events FROM {files} ORDER BY column_name, place",
            [lake.summary(year, source)],
            source,
        )
        listed = tuple((value, number) for name, value, number in ranked if name == column)
    return Profile(declared.type, declared.unit, declared.description, rows, nulls, distinct, listed, source)


def _derived(lake: Lake, year: str, column: str) -> Profile:
    declared, source, name = _DECLARED[column], "clean_events", _sql(column)
    files = [lake.feature(source, year)]
    [(rows, present, distinct)] = data.query(
        f"SELECT count(*), count({name}), count(DISTINCT {name}) FROM {{files}}", files, source
    )
    top = data.query(
        f"SELECT {name}::VARCHAR, count(*) FROM {{files}} WHERE {name} IS NOT NULL GROUP BY ALL "
        f"ORDER BY 2 DESC, 1 LIMIT {TOP}",
        files,
        source,
    )
    return Profile(
        declared.type, declared.unit, declared.description, rows, rows - present, distinct, tuple(top), source
    )


def bins(lake: Lake, year: str, column: str) -> list[Bin]:
    """Histogram of a number of ``clean_events``; empty for other columns and without values.

    Bins are of equal width; where the largest value is far from the median, of equal width on a logarithmic scale.
    """
    if column not in CLEAN_EVENTS.column_names or type_of(column) not in ("int64", "float64"):
        return []
    files, name = [lake.feature("clean_events", year)], _sql(column)
    [(low, middle, high)] = data.query(
        f"SELECT min({name}), median({name}), max({name}) FROM {{files}}", files, "clean_events"
    )
    if low is None:
        return []
    if low >= 0 and high > HEAVY_TAIL * max(middle, 1):
        return _logarithmic(data.query(_LOGARITHMIC.format(column=name), files, "clean_events"))
    whole = type_of(column) == "int64"
    width = (high - low) / BINS
    if whole:
        width = max(1, math.ceil((high - low + 1) / BINS))
    if not width:
        [(number,)] = data.query(f"SELECT count({name}) FROM {{files}}", files, "clean_events")
        return [Bin(_shown(low), _shown(high), number)]
    counted = dict(
        data.query(
            f"SELECT least(floor(({name} - {low!r}) / {width!r})::BIGINT, {BINS - 1}) AS bin, count(*) "
            f"FROM {{files}} WHERE {name} IS NOT NULL GROUP BY ALL",
            files,
            "clean_events",
        )
    )
    # A whole number's bin ends with its last value, so that 0 to 3 are four values.
    return [
        Bin(_shown(low + place * width), _shown(low + (place + 1) * width - (1 if whole else 0)), counted.get(place, 0))
        for place in range(max(counted) + 1)
    ]


_LOGARITHMIC = f"""
    SELECT CASE WHEN {{column}} > 0 THEN floor(log10({{column}}) * {BINS_PER_DECADE})::BIGINT END AS bin, count(*)
    FROM {{{{files}}}} WHERE {{column}} IS NOT NULL GROUP BY ALL
"""


def _logarithmic(counted: list[tuple[int | None, int]]) -> list[Bin]:
    found = {place: rows for place, rows in counted if place is not None}
    zeros = sum(rows for place, rows in counted if place is None)
    places = range(min(found), max(found) + 1) if found else range(0)
    positive = [
        Bin(_shown(10 ** (place / BINS_PER_DECADE)), _shown(10 ** ((place + 1) / BINS_PER_DECADE)), found.get(place, 0))
        for place in places
    ]
    return [Bin("0", "0", zeros), *positive] if zeros else positive


def _shown(value: float) -> str:
    if float(value).is_integer() and abs(value) < 1e15:
        return text.count(value)
    return f"{value:,.3g}"


def words_of(bins: list[Bin]) -> str:
    """Range and number of rows of a histogram, for a caption."""
    return f"{text.count(sum(entry.rows for entry in bins))} values from {bins[0].low} to {bins[-1].high}"
