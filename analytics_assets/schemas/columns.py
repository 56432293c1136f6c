"""What a table and a column are.

Put here: the declarations' own types and the conversions to Spark and Arrow. Keep out: any single table.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql.types import StructType


ColumnType = Literal["string", "int64", "float64", "bool", "timestamp", "date"]


NULL_TOKENS: tuple[str, ...] = ("", "EMPTY", "(none)", "Unknown", "--")
"""Texts that event sources write where they mean "no value"."""


UNIT_RANGES: dict[str, tuple[float, float]] = {
    "rows": (0, math.inf),
    "share": (0, 1),
    "s": (0, math.inf),
    "days": (0, math.inf),
    "h": (0, 23),
    "bit": (0, math.inf),
    "bits": (0, math.inf),
    "bytes": (0, math.inf),
    "sessions per day": (0, math.inf),
    "events per day": (0, math.inf),
}
"""Smallest and largest value that a unit allows; a column that means something else declares its own."""


@dataclass(frozen=True)
class Column:
    """One column of a published table.

    Parameters
    ----------
    name, type, description
        Type is one of ``string``, ``int64``, ``float64``, ``bool``, ``timestamp`` (UTC, microseconds, without zone)
        and ``date``.
    nullable : bool
        False makes a null in this column an error.
    unit : str
        Unit of a number, empty where it has none.
    null_tokens : tuple of str
        Texts that mean null in this column; cleaning and every summary read them as null.
    personal : bool
        The value identifies a person by itself; ingestion writes a pseudonym in its place.
    minimum, maximum : float, optional
        Bounds of a number in place of those of its unit.
    """

    name: str
    type: ColumnType
    description: str
    nullable: bool = True
    unit: str = ""
    null_tokens: tuple[str, ...] = ()
    personal: bool = False
    minimum: float | None = None
    maximum: float | None = None

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest value allowed, infinite where there is none."""
        low, high = UNIT_RANGES.get(self.unit, (-math.inf, math.inf))
        return (low if self.minimum is None else self.minimum, high if self.maximum is None else self.maximum)


@dataclass(frozen=True)
class Table:
    """One published table; ``key`` names the columns whose values identify a row."""

    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = field(default=())

    @property
    def column_names(self) -> list[str]:
        """Column names in published order."""
        return [column.name for column in self.columns]

    def column(self, name: str) -> Column:
        """Return the column called `name`; KeyError when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"table {self.name} has no column {name!r}")

    def arrow_schema(self) -> pa.Schema:
        """Arrow schema with the declared types and nullability."""
        import pyarrow as pa

        types: dict[str, pa.DataType] = {
            "string": pa.string(),
            "int64": pa.int64(),
            "float64": pa.float64(),
            "bool": pa.bool_(),
            "timestamp": pa.timestamp("us"),
            "date": pa.date32(),
        }
        return pa.schema([pa.field(c.name, types[c.type], nullable=c.nullable) for c in self.columns])

    def spark_schema(self) -> StructType:
        """Spark schema with the declared types; timestamps are zoneless (TIMESTAMP_NTZ)."""
        from pyspark.sql import types as T

        kinds: dict[str, T.DataType] = {
            "string": T.StringType(),
            "int64": T.LongType(),
            "float64": T.DoubleType(),
            "bool": T.BooleanType(),
            "timestamp": T.TimestampNTZType(),
            "date": T.DateType(),
        }
        return T.StructType([T.StructField(c.name, kinds[c.type], True) for c in self.columns])


def text(name: str, description: str, *, nullable: bool = True, tokens: bool = False, personal: bool = False) -> Column:
    """Column of text; `tokens` reads the null tokens as null."""
    return Column(
        name, "string", description, nullable=nullable, null_tokens=NULL_TOKENS if tokens else (), personal=personal
    )


def count(name: str, description: str) -> Column:
    """Column of a number of rows or other things, never null."""
    return Column(name, "int64", description, nullable=False, unit="rows")


def real(
    name: str,
    description: str,
    unit: str = "",
    *,
    nullable: bool = True,
    minimum: float | None = None,
    maximum: float | None = None,
) -> Column:
    """Column of a real number."""
    return Column(name, "float64", description, unit=unit, nullable=nullable, minimum=minimum, maximum=maximum)


def time(name: str, description: str, *, nullable: bool = True) -> Column:
    """Column of a UTC time."""
    return Column(name, "timestamp", description, unit="UTC", nullable=nullable)
