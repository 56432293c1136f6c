"""Do the published totals agree with the manifests, the feature tables and the Spark summaries?

Put here: totals counted anew from other places than the figures were. Keep out: what is done about a difference
(``checks/results.py``).
"""

from __future__ import annotations

from typing import Any

import duckdb

from analytics_assets.core.features.engine import parquet
from analytics_assets.core.files import read_json
from analytics_assets.core.lake import Lake

ADDITIVE_LISTS = ("hours", "weekdays", "weekday_hours", "months", "years", "daily")
"""Lists whose events add up to all events."""


def comparisons(engine: duckdb.DuckDBPyConnection, lake: Lake, results: dict[str, Any]) -> list[dict[str, Any]]:
    """Pairs of totals that must be equal.

    Parameters
    ----------
    engine : duckdb.DuckDBPyConnection
        Open connection.
    lake : Lake
        Where the tables lie.
    results : dict
        Content of ``analysis_results.json``.

    Returns
    -------
    list of dict
        ``what``, ``published`` (what the results or the table they were made from say) and ``counted`` elsewhere.
    """
    years: list[str] = results["years"]
    values = {metric["name"]: metric["value"] for metric in results["metrics"]}
    loaded = {year: read_json(lake.manifest(year))["total"]["loaded"] for year in years}
    visits = {year: parquet([lake.feature("sessions", year)]) for year in years}
    distinct = " UNION ".join(f"SELECT session_key FROM {relation}" for relation in visits.values())
    found = [
        _pair("events: manifests", values["events"], sum(loaded.values())),
        _pair("sessions: distinct session_key of sessions", values["sessions"], _number(engine, f"({distinct})")),
    ]
    found += [
        _pair(f"events: list {name}", values["events"], sum(row["events"] for row in results["lists"][name]))
        for name in ADDITIVE_LISTS
    ]
    for year in years:
        found.append(_pair(f"events of {year}: sources", results["sources"][year]["loaded"], loaded[year]))
        temporal, behavior = (
            lake.summary(year, name) for name in ("spark_temporal_patterns", "spark_session_behavior")
        )
        if temporal.is_file():
            dates = f"{parquet([temporal])} WHERE population = 'all' AND granularity = 'date'"
            found.append(
                _pair(
                    f"events of {year}: spark_temporal_patterns",
                    results["sources"][year]["loaded"],
                    _number(engine, dates, "coalesce(sum(events), 0)"),
                )
            )
        if behavior.is_file():
            observed = (
                f"{parquet([behavior])} WHERE population = 'all' AND measure = 'duration_seconds' "
                "AND weighting = 'sessions'"
            )
            found.append(
                _pair(
                    f"sessions of {year}: spark_session_behavior",
                    _number(engine, visits[year]),
                    _number(engine, observed, "coalesce(sum(observations), 0)"),
                )
            )
    return found


def _pair(what: str, published: int, counted: int) -> dict[str, Any]:
    return {"what": what, "published": published, "counted": counted}


def _number(engine: duckdb.DuckDBPyConnection, relation: str, expression: str = "count(*)") -> int:
    [(number,)] = engine.execute(f"SELECT {expression} FROM {relation}").fetchall()
    return int(number)
