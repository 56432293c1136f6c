"""Days that nobody could expect, and what moved on them.

Put here: days outside the calibrated interval, and the split of their difference. Keep out: the intervals
(`conformal.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analytics_assets.core.expressions import SYNCHRONISED
from analytics_assets.core.features.engine import parquet
from analytics_assets.core.forecasts.backtest import Past, calibration
from analytics_assets.core.forecasts.conformal import LEVELS
from analytics_assets.core.forecasts.series import WEEK, Series

if TYPE_CHECKING:
    import duckdb

Row = dict[str, Any]

MEANS = ("mean_session_seconds", "mean_latency_ms")
"""Metrics that are sums over weights; of all others the parts add up by themselves."""

DIMENSIONS = ("country", "device_family", "event_type")
REFERENCE_WEEKS = 4
"""Same weekdays that a day is compared with: a month, as people do."""

ROUNDING = 1e-9

EXPLAINED = 50
"""Days of a metric that are split at most: the list is for reading."""


def anomalies(past: Past, since: dt.date) -> list[Row]:
    """Days since `since` whose value lies outside the 95 % interval, most surprising first.

    Each day is judged by the forecast made last before it, with intervals calibrated on all other forecasts: a day must
    not widen its own limit.

    Returns
    -------
    list of dict
        Rows of ``FORECAST_ANOMALIES`` without the cause.
    """
    level = LEVELS.index(0.95)
    nearest: dict[dt.date, tuple[int, Row]] = {}
    for origin in past.origins:
        limits = calibration(past.scale, [other for other in past.origins if other is not origin])
        low, high = limits.bands(past.scale, origin.prediction)[level]
        shares = past.series.holiday_share(origin.cut, origin.cut + past.horizon)
        for step, time in enumerate(origin.times):
            date: dt.date = time.astype("datetime64[D]").astype(dt.date)
            actual = origin.actual[step]
            if np.isnan(actual) or np.isnan(low[step]) or date < since:
                continue
            if date in nearest and nearest[date][0] <= step:
                continue
            centre = origin.prediction.centre[step]
            value = float(past.scale.forward(np.array([actual]))[0])
            end = float(past.scale.forward(np.array([high[step] if value > centre else low[step]]))[0])
            reach = abs(end - centre)
            score = float(abs(value - centre) / reach) if reach else 0.0
            # Rounding on the way back must not put outside the very score that is the band's end.
            inside = low[step] <= actual <= high[step] or (reach > 0 and score <= 1 + ROUNDING)
            nearest[date] = (
                step,
                {
                    "metric": past.series.metric,
                    "unit": past.series.unit,
                    "date": date,
                    "direction": "high" if value > centre else "low",
                    "actual": float(actual),
                    "expected": float(origin.prediction.mean[step]),
                    "lo95": float(low[step]),
                    "hi95": float(high[step]),
                    "score": score,
                    "model": past.model,
                    "horizon": step + 1,
                    "holiday_share": float(shares[step]),
                    "_inside": inside,
                },
            )
    outside = [row for _, row in nearest.values() if not row.pop("_inside")]
    outside.sort(key=lambda row: (-row["score"], row["date"]))
    return [{**row, "rank": place} for place, row in enumerate(outside, start=1)]


def parts(
    engine: duckdb.DuckDBPyConnection,
    events: Sequence[Path],
    sessions: Sequence[Path],
    metric: str,
    days: Sequence[dt.date],
) -> dict[tuple[dt.date, str], dict[str, tuple[float, float]]]:
    """By date and dimension: the value's parts as (sum, weight) by value of the dimension.

    For counts the sums add up to the metric and the weight is 0; for means the metric is the sum of sums over the sum
    of weights.
    """
    wanted = ", ".join(f"DATE '{day}'" for day in sorted(set(days)))
    rows: list[tuple[dt.date, str, str, float, float]] = []
    if not wanted:
        return {}
    for dimension in DIMENSIONS:
        if metric in ("sessions", "mean_session_seconds"):
            column = "entry_event" if dimension == "event_type" else dimension
            source = f"""(SELECT min(start_time)::DATE AS date,
                    coalesce(arg_min({column}, start_time), '(unknown)') AS value,
                    date_diff('microsecond', min(start_time), max(end_time)) AS duration_us
                FROM {parquet(list(sessions))}
                WHERE session_key IN (SELECT session_key FROM {parquet(list(events))} WHERE session_key IS NOT NULL)
                GROUP BY session_key)"""
            measure = "count(*), 0" if metric == "sessions" else "sum(duration_us) / 1e6, count(*)"
        elif metric == "actors":
            # An actor active in k values of the dimension is 1 / k of an actor in each.
            source = f"""(SELECT date, value, count(*) OVER (PARTITION BY date, actor) AS k FROM (
                SELECT DISTINCT time::DATE AS date, actor, coalesce({dimension}, '(unknown)') AS value
                FROM {parquet(list(events))} WHERE actor IS NOT NULL AND time::DATE IN ({wanted})))"""
            measure = "sum(1 / k ORDER BY k), 0"
        else:
            source = f"""(SELECT time::DATE AS date, coalesce({dimension}, '(unknown)') AS value, latency_ms
                FROM {parquet(list(events))} WHERE time::DATE IN ({wanted}))"""
            measure = (
                f"sum(round(latency_ms * 1000)::BIGINT) FILTER ({SYNCHRONISED}) / 1000, "
                f"count(latency_ms) FILTER ({SYNCHRONISED})"
                if metric == "mean_latency_ms"
                else "count(*), 0"
            )
        query = f"SELECT date, value, {measure} FROM {source} WHERE date IN ({wanted}) GROUP BY 1, 2 ORDER BY 1, 2"
        rows += [
            (date, dimension, value, float(total or 0), float(weight or 0))
            for date, value, total, weight in engine.execute(query).fetchall()
        ]
    found: dict[tuple[dt.date, str], dict[str, tuple[float, float]]] = {}
    for date, dimension, value, total, weight in rows:
        found.setdefault((date, dimension), {})[value] = (total, weight)
    return found


def reference_days(date: dt.date) -> list[dt.date]:
    """The same weekday of the weeks before."""
    return [date - dt.timedelta(days=WEEK * back) for back in range(1, REFERENCE_WEEKS + 1)]


def causes(
    metric: str,
    date: dt.date,
    found: Mapping[tuple[dt.date, str], Mapping[str, tuple[float, float]]],
    known: Collection[dt.date],
) -> list[Row]:
    """Rows of ``FORECAST_CAUSES`` of one day; none when no reference day has a value.

    `known` are the days whose value is known; one of them without any part counts 0.

    For a mean, a part is its share of the weight times its distance from the reference mean, so that a shift between
    groups and a change inside one both count, and the parts still add up.
    """
    rows: list[Row] = []
    for dimension in DIMENSIONS:
        day = found.get((date, dimension), {})
        before = [found.get((d, dimension), {}) for d in reference_days(date) if d in known]
        is_mean = metric in MEANS
        if not before:
            continue
        level = float(np.mean([_mean(group) for group in before])) if is_mean else 0.0
        now = _parts(day, level, is_mean)
        then = [_parts(group, level, is_mean) for group in before]
        for value in sorted(now.keys() | {value for group in then for value in group}):
            reference = sum(group.get(value, 0.0) for group in then) / len(then)
            actual = now.get(value, 0.0)
            rows.append(
                {
                    "metric": metric,
                    "date": date,
                    "dimension": dimension,
                    "value": value,
                    "actual": actual,
                    "reference": reference,
                    "contribution": actual - reference,
                }
            )
    return rows


def _mean(group: Mapping[str, tuple[float, float]]) -> float:
    return sum(total for total, _ in group.values()) / sum(weight for _, weight in group.values())


def _parts(group: Mapping[str, tuple[float, float]], level: float, is_mean: bool) -> dict[str, float]:
    if not is_mean:
        return {value: total for value, (total, _) in group.items()}
    everything = sum(weight for _, weight in group.values())
    return {value: (total - level * weight) / everything for value, (total, weight) in group.items()}


def explained(
    engine: duckdb.DuckDBPyConnection,
    events: Sequence[Path],
    sessions: Sequence[Path],
    rows: Sequence[Row],
    series: Mapping[str, Series],
) -> tuple[list[Row], list[Row]]:
    """Anomalies with their top cause, and the causes of the first `EXPLAINED` of each metric.

    The top cause is the value with the largest part in the direction of the difference, in the dimension where one
    value moved most.
    """
    split: list[Row] = []
    named: list[Row] = []
    for metric in dict.fromkeys(row["metric"] for row in rows):
        own = [row for row in rows if row["metric"] == metric]
        dates = [row["date"] for row in own if row["rank"] <= EXPLAINED]
        days = [day for date in dates for day in (date, *reference_days(date))]
        found = parts(engine, events, sessions, metric, days)
        one = series[metric]
        known = set(one.times(0, len(one))[~np.isnan(one.values)].astype(object).tolist())
        for row in own:
            why = causes(metric, row["date"], found, known) if row["rank"] <= EXPLAINED else []
            split += why
            sign = 1 if row["direction"] == "high" else -1
            # Of equals the value of the coarser dimension, then the smaller text.
            top = max(
                why,
                key=lambda cause: (sign * cause["contribution"], -DIMENSIONS.index(cause["dimension"])),
                default=None,
            )
            named.append(
                {**row, **{name: top[name] if top else None for name in ("dimension", "value", "contribution")}}
            )
    return named, split
