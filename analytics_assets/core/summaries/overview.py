"""What the columns hold: completeness, variety and most frequent values.

Put here: ``spark_dataset_overview`` and ``spark_top_values``. Keep out: judgements of quality
(``core/features/quality.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from analytics_assets.core.expressions import quoted
from analytics_assets.core.summaries.frames import REPEATED_COLUMNS, TRANSPORT_TIMES, Frames
from analytics_assets.schemas import EVENT_CHUNKS, NESTED_COLUMNS, ColumnType

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

TOP_PLACES = 20
"""Most frequent values that are kept of each column."""

TIME_FORMAT = "yyyy-MM-dd HH:mm:ss.SSSSSS"
DERIVED: dict[str, ColumnType] = {"time": "timestamp", "actor": "string", "session_key": "string"}
KINDS: dict[str, ColumnType] = {column.name: column.type for column in EVENT_CHUNKS.columns} | DERIVED
"""Type of each column by name."""

FEW_VALUES = (*REPEATED_COLUMNS, "actor", "session_key")
"""Columns counted from the small frame of activity; the others may hold as many values as there are events."""

_MANY = [name for name in KINDS if name not in (*FEW_VALUES, *NESTED_COLUMNS)]
TEXTS, TIMES, NUMBERS = (
    tuple(name for name in _MANY if KINDS[name] == kind) for kind in ("string", "timestamp", "int64")
)

OFTEN_EQUAL = {"time": "event_time", "client_event_time": "event_time"}
"""Columns that hold the same values as another one where no clock was corrected; then only the other is counted."""

_SIZES = ("count(1) AS distinct_values", "sum(n) AS present")
_TOP = f"min_by(struct(value, n), struct(-n, value), {TOP_PLACES}) AS top"


def dataset_overview(frames: Frames) -> DataFrame:
    """Completeness and variety of every column: see ``SPARK_DATASET_OVERVIEW``."""
    events = f"{frames.totals.events}L"
    named = ", ".join(f"'{name}', '{kind}'" for name, kind in KINDS.items())
    columns = frames.spark.range(1).selectExpr(f"stack({len(KINDS)}, {named}) AS (column_name, column_type)")
    nulls = f"{events} - coalesce(present, 0L)"
    return columns.join(_variety(frames), "column_name", "left").selectExpr(
        "column_name",
        "column_type",
        f"{events} AS events",
        f"{nulls} AS nulls",
        f"coalesce(CAST({nulls} AS DOUBLE) / nullif({events}, 0L), 0D) AS null_share",
        "coalesce(distinct_values, 0L) AS distinct_values",
        "min_value",
        "max_value",
        "top[0].value AS top_value",
        "top[0].n AS top_value_events",
    )


def top_values(frames: Frames) -> DataFrame:
    """The most frequent values of every column that is not nested: see ``SPARK_TOP_VALUES``."""
    placed = _variety(frames).selectExpr("column_name", "posexplode(top) AS (place, found)")
    return placed.where("found.value IS NOT NULL").selectExpr(
        "column_name",
        "CAST(place + 1 AS BIGINT) AS place",
        "found.value AS value",
        "found.n AS events",
        f"CAST(found.n AS DOUBLE) / {frames.totals.events} AS event_share",
    )


def _variety(frames: Frames) -> DataFrame:
    """One row per column that has a value, made once for both tables.

    ``column_name``, ``distinct_values``, ``present``, ``min_value``, ``max_value``, ``top`` (array of ``value`` and
    ``n``, most frequent first; ties go to the smallest text; those of nested columns have no value).
    """
    return frames.cached("variety", lambda: _counted_variety(frames))


def _counted_variety(frames: Frames) -> DataFrame:
    return _few(frames).unionAll(_texts(frames)).unionAll(_numbers(frames))


def _few(frames: Frames) -> DataFrame:
    """Variety of all columns with few values, in one pass over the small frame."""
    pairs = {
        name: f"CAST({_named(name)} AS STRING), {name if KINDS[name] == 'int64' else 'CAST(NULL AS BIGINT)'}"
        for name in FEW_VALUES
    }
    values = frames.activity.selectExpr("events", _placed(FEW_VALUES, pairs, "value, number"))
    return _variety_of(
        FEW_VALUES,
        values.where("value IS NOT NULL"),
        ["value", "number"],
        "sum(events) AS n",
        "coalesce(CAST(min(number) AS STRING), min(value)) AS min_value",
        "coalesce(CAST(max(number) AS STRING), max(value)) AS max_value",
        _TOP,
    )


def _texts(frames: Frames) -> DataFrame:
    """Variety of the texts that may differ from event to event."""
    values = frames.events.selectExpr(_placed(TEXTS, {name: _named(name) for name in TEXTS}, "value"))
    ends = ("min(value) AS min_value", "max(value) AS max_value")
    return _variety_of(TEXTS, values.where("value IS NOT NULL"), ["value"], "count(1) AS n", *ends, _TOP)


def _numbers(frames: Frames) -> DataFrame:
    """Variety of times, counters and nested values as whole numbers; only what is published becomes text."""
    equal = _equal_columns(frames)
    pairs = {name: f"{name}_hash_1, {name}_hash_2" for name in NESTED_COLUMNS}
    pairs |= {name: f"{name}, 0L" for name in NUMBERS}
    pairs |= {name: f"{_microseconds(name)}, 0L" for name in TIMES if name not in (*TRANSPORT_TIMES, *equal)}
    transport = {name: f"{_microseconds(name)}, 0L" for name in TRANSPORT_TIMES}
    columns = (*pairs, *transport)
    values = frames.events.selectExpr("1L AS events", _placed(columns, pairs, "number, second")).unionAll(
        frames.uploads.selectExpr("events", _placed(columns, transport, "number, second"))
    )
    # Ties go to the smallest text: the order of times as texts is that of their numbers, the order of counters is not.
    counters = ", ".join(str(columns.index(name)) for name in NUMBERS)
    tie = f"CASE WHEN place IN ({counters}) THEN CAST(number AS STRING) ELSE '' END"
    counted = _variety_of(
        columns,
        values.where("number IS NOT NULL"),
        ["number", "second"],
        "sum(events) AS n",
        "min(number) AS low",
        "max(number) AS high",
        f"min_by(struct(number, n), struct(-n, {tie}, number), {TOP_PLACES}) AS top",
    )
    same = "".join(f", '{name}'" for name in equal)
    found = counted.selectExpr(
        "* EXCEPT (column_name)",
        f"explode(CASE column_name WHEN 'event_time' THEN array('event_time'{same}) ELSE array(column_name) END) "
        "AS column_name",
    )
    return found.selectExpr(
        "column_name",
        "distinct_values",
        "present",
        f"{_number_text('low')} AS min_value",
        f"{_number_text('high')} AS max_value",
        f"transform(top, x -> struct({_number_text('x.number')} AS value, x.n AS n)) AS top",
    )


def _equal_columns(frames: Frames) -> list[str]:
    """Those of `OFTEN_EQUAL` that do hold the same value in every event."""
    tests = (f"bool_and({name} <=> {other})" for name, other in OFTEN_EQUAL.items())
    [answers] = frames.events.selectExpr(*tests).collect()
    return [name for name, same in zip(OFTEN_EQUAL, answers, strict=True) if same]


def _microseconds(name: str) -> str:
    return f"timestampdiff(MICROSECOND, TIMESTAMP_NTZ '1970-01-01 00:00:00', {name})"


def _placed(columns: Sequence[str], values: Mapping[str, str], names: str) -> str:
    """SQL of one row per column, which is named by its place in `columns`: millions of rows hold a number, no text."""
    rows = ", ".join(f"{columns.index(name)}, {value}" for name, value in values.items())
    return f"stack({len(values)}, {rows}) AS (place, {names})"


def _variety_of(columns: Sequence[str], values: DataFrame, parts: list[str], n: str, *figures: str) -> DataFrame:
    """Figures of each of the placed `columns` over its distinct values, which `parts` make up."""
    from pyspark.sql import functions as F

    counted = values.groupBy("place", *parts).agg(F.expr(n))
    found = counted.groupBy("place").agg(*map(F.expr, (*_SIZES, *figures)))
    return found.selectExpr(f"element_at(array({_listed(columns)}), place + 1) AS column_name", "* EXCEPT (place)")


def _named(name: str) -> str:
    return quoted(name, "`")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _number_text(number: str) -> str:
    """What a number stands for as text; null for nested values."""
    return (
        f"CASE WHEN column_name IN ({_listed(TIMES)}) THEN date_format(timestamp_micros({number}), '{TIME_FORMAT}') "
        f"WHEN column_name IN ({_listed(NUMBERS)}) THEN CAST({number} AS STRING) END"
    )
