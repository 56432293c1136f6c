"""Aggregations that several summaries share: counts of activity by population, and distributions of whole numbers.

Put here: what two summary tables or more are made with. Keep out: single tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

POPULATION_PREFIXES = {"all": "all", "people": "people", "without_top_actor": "others"}
"""Prefix of the columns that hold a population's figures side by side."""

QUANTILES = {"p25": 0.25, "median": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99}
"""Published quantiles by column name."""


def activity_by(activity: DataFrame, keys: Sequence[str]) -> DataFrame:
    """Events, distinct actors and distinct sessions of each group, for every population that has events in it.

    An event belongs to the populations of its own actor; a session counts wherever one of its events does. Counting is
    in two steps, first by actor and by session and then by group, because both then hold all populations side by side.

    Parameters
    ----------
    activity : DataFrame
        Columns of `Frames.activity` and `keys`.
    keys : sequence of str
        Columns to group by; nulls are a group of their own.

    Returns
    -------
    DataFrame
        ``population``, `keys`, ``events``, ``actors``, ``sessions``.
    """
    from pyspark.sql import functions as F

    ids = activity.selectExpr(
        *keys,
        "is_person",
        "is_top",
        "stack(2, 'actor', actor, events, 'session', session_key, CAST(NULL AS BIGINT)) AS (kind, id, events)",
    )
    by_id = ids.groupBy(*keys, "kind", "id").agg(
        F.sum("events").alias("events"),
        F.bool_or("is_person").alias("people"),
        F.expr("bool_or(NOT is_top)").alias("others"),
    )
    sums = []
    for name, condition in {"all": "true", "people": "people", "others": "others"}.items():
        sums += [
            F.expr(f"sum(events) FILTER (WHERE kind = 'actor' AND {condition})").alias(f"{name}_events"),
            F.expr(f"count_if(kind = 'actor' AND id IS NOT NULL AND {condition})").alias(f"{name}_actors"),
            F.expr(f"count_if(kind = 'session' AND id IS NOT NULL AND {condition})").alias(f"{name}_sessions"),
        ]
    populations = {
        population: f"{name}_events, {name}_actors, {name}_sessions" for population, name in POPULATION_PREFIXES.items()
    }
    return (
        by_id.groupBy(*keys)
        .agg(*sums)
        .selectExpr(*keys, stacked(populations, "population, events, actors, sessions"))
        .where("events > 0")
    )


def with_share(grouped: DataFrame, whole: Sequence[str]) -> DataFrame:
    """Add ``event_share``: events over those of all rows with the same `whole`, which add up to the population."""
    total = f"sum(events) OVER (PARTITION BY {', '.join(whole)})"
    return grouped.selectExpr("*", f"CAST(events AS DOUBLE) / {total} AS event_share")


def distributions(counted: DataFrame, keys: Sequence[str]) -> DataFrame:
    """Mean, spread and quantiles of whole numbers that were counted value by value.

    Sums of reals run in the order of the values, and the mean is that of an exact sum: the last bit does not depend on
    how rows are spread over files and threads. Quantiles are linear between the two nearest observations.

    Parameters
    ----------
    counted : DataFrame
        `keys`, ``number`` (bigint, null where there was nothing to observe) and ``times`` (bigint, above zero): how
        often it was observed; a number once per key.
    keys : sequence of str
        Columns that name a distribution.

    Returns
    -------
    DataFrame
        `keys`, ``observations`` and ``left_out`` (bigint: numbers and nulls), ``mean``, ``std`` (of a sample; null for
        one observation), ``min``, the names of `QUANTILES`, ``max`` (double, in the unit of the numbers; null without
        observations).
    """
    from pyspark.sql import functions as F

    ordered = f"PARTITION BY {', '.join(keys)} ORDER BY number ASC NULLS LAST"
    whole = f"OVER ({ordered} ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)"
    known = counted.selectExpr(*keys, "number", "times", "CASE WHEN number IS NULL THEN 0L ELSE times END AS known")
    ranked = known.selectExpr(
        "*",
        f"sum(known) OVER ({ordered} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS reached",
        f"sum(known) {whole} AS observations",
        # The sum is exact and cannot overflow: upper and lower 32 bits of the numbers are added apart.
        f"(4294967296D * sum(shiftright(number, 32) * times) {whole} + sum((number & 4294967295L) * times) {whole}) "
        f"/ nullif(sum(known) {whole}, 0) AS mean",
    )
    spread = ranked.selectExpr("*", f"sum(times * (number - mean) * (number - mean)) {whole} AS squares")
    # The observation at place k, from 0, is the smallest number that more than k observations do not exceed.
    ends = [
        F.expr(f"min(CASE WHEN reached > {end}({share}D * (observations - 1)) THEN number END)").alias(f"{name}_{end}")
        for name, share in QUANTILES.items()
        for end in ("floor", "ceil")
    ]
    described = spread.groupBy(*keys).agg(
        F.max("observations").alias("observations"),
        F.expr("sum(times - known)").alias("left_out"),
        F.max("mean").alias("mean"),
        F.expr("sqrt(max(squares) / nullif(max(observations) - 1, 0))").alias("std"),
        F.expr("CAST(min(number) AS DOUBLE)").alias("min"),
        F.expr("CAST(max(number) AS DOUBLE)").alias("max"),
        *ends,
    )
    return described.selectExpr(
        *keys, "observations", "left_out", "mean", "std", "min", *map(_interpolated, QUANTILES), "max"
    )


def _interpolated(name: str) -> str:
    position = f"({QUANTILES[name]}D * (observations - 1))"
    return f"{name}_floor + ({name}_ceil - {name}_floor) * ({position} - floor({position})) AS {name}"


def stacked(pairs: Mapping[str, str], names: str) -> str:
    """SQL ``stack`` of one row per pair of a literal and its expressions, as columns `names`."""
    rows = ", ".join(f"'{key}', {value}" for key, value in pairs.items())
    return f"stack({len(pairs)}, {rows}) AS ({names})"
