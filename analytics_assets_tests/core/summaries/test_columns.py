"""Every column of the descriptive summaries equals a query of another engine, written another way.

Put here: overview, top values, time, sessions, places, devices, latency. Keep out: sequences, funnels, cohorts, and how
summaries run (``test_run``).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pycountry
import pytest

from analytics_assets.core.summaries.devices import device_usage
from analytics_assets.core.summaries.frames import Frames
from analytics_assets.core.summaries.latency import latency
from analytics_assets.core.summaries.overview import dataset_overview, top_values
from analytics_assets.core.summaries.places import geography
from analytics_assets.core.summaries.sessions import session_behavior
from analytics_assets.core.summaries.temporal import temporal_patterns
from analytics_assets.schemas import EVENT_CHUNKS, TABLES
from analytics_assets_tests.core.event_data import assert_same_rows
from analytics_assets_tests.core.summaries.conftest import Dataset
from analytics_assets_tests.core.summaries.reference import records_of

TEXT_TIME = "'%Y-%m-%d %H:%M:%S.%f'"
NESTED = ("event_properties", "user_properties")
ACTIVITY = "count(*) AS events, count(DISTINCT actor) AS actors, count(DISTINCT session_key) AS sessions"
KINDS = {column.name: column.type for column in EVENT_CHUNKS.columns}
KINDS |= {"time": "timestamp", "actor": "string", "session_key": "string"}


def _as_text(name: str) -> str:
    return f'strftime("{name}", {TEXT_TIME})' if KINDS[name] == "timestamp" else f'CAST("{name}" AS VARCHAR)'


def expected_overview(dataset: Dataset) -> list[dict[str, Any]]:
    found = []
    for name, kind in KINDS.items():
        text = _as_text(name)
        low, high = (text.replace(f'"{name}"', f'{end}("{name}")') for end in ("min", "max"))
        top = f'(SELECT {text} FROM e WHERE "{name}" IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1)'
        low, high, top = ("NULL::VARCHAR",) * 3 if name in NESTED else (low, high, top)
        query = f"""
            SELECT '{name}' AS column_name, '{kind}' AS column_type, count(*) AS events,
                count(*) FILTER ("{name}" IS NULL) AS nulls,
                (count(*) FILTER ("{name}" IS NULL))::DOUBLE / count(*) AS null_share,
                count(DISTINCT "{name}") AS distinct_values, {low} AS min_value, {high} AS max_value,
                {top} AS top_value,
                (SELECT count(*) FROM e WHERE "{name}" IS NOT NULL GROUP BY "{name}" ORDER BY 1 DESC LIMIT 1)
                    AS top_value_events
            FROM e
        """
        found += records_of(dataset.database, query)
    return found


def expected_top_values(dataset: Dataset) -> list[dict[str, Any]]:
    found = []
    for name in KINDS:
        if name not in NESTED:
            query = f"""
                SELECT '{name}' AS column_name, row_number() OVER (ORDER BY count(*) DESC, {_as_text(name)}) AS place,
                    {_as_text(name)} AS value, count(*) AS events,
                    count(*)::DOUBLE / (SELECT count(*) FROM e) AS event_share
                FROM e WHERE "{name}" IS NOT NULL GROUP BY ALL ORDER BY 2 LIMIT 20
            """
            query = query.replace("GROUP BY ALL", f"GROUP BY {_as_text(name)}")
            found += records_of(dataset.database, query)
    return found


BUCKETS = {
    "hour": "lpad(CAST(extract(hour FROM time) AS VARCHAR), 2, '0')",
    "weekday": "CAST((extract(dow FROM time) + 6) % 7 + 1 AS VARCHAR)",
    "weekday_hour": "CAST((extract(dow FROM time) + 6) % 7 + 1 AS VARCHAR) || '-' || "
    "lpad(CAST(extract(hour FROM time) AS VARCHAR), 2, '0')",
    "month": "left(CAST(time AS VARCHAR), 7)",
    "date": "left(CAST(time AS VARCHAR), 10)",
}


def expected_temporal(dataset: Dataset) -> list[dict[str, Any]]:
    """Changes are looked up by the calendar's bucket before, in plain Python."""
    found = []
    for name, bucket in BUCKETS.items():
        query = f"""
            SELECT population, '{name}' AS granularity, {bucket} AS bucket, {ACTIVITY} FROM pe GROUP BY 1, 3
        """
        rows = records_of(dataset.database, query)
        events = {(row["population"], row["bucket"]): row["events"] for row in rows}
        for row in rows:
            text, counts = (
                row["bucket"],
                sorted((-n, other) for (population, other), n in events.items() if population == row["population"]),
            )
            dated = name in ("month", "date")
            row["busy_place"] = counts.index((-row["events"], text)) + 1
            row["in_year"] = not dated or text.startswith(f"{dataset.year}-")
            row["events_change"] = None
            if dated and row["in_year"]:
                start = date.fromisoformat(text if name == "date" else f"{text}-01")
                before = str(start - timedelta(days=1))[: len(text)]
                base = events.get((row["population"], before)) if before.startswith(dataset.year) else None
                row["events_change"] = None if base is None else row["events"] / base - 1
        found += rows
    return found


def expected_behavior(dataset: Dataset) -> list[dict[str, Any]]:
    values = {"duration_seconds": "us / 1e6", "events": "ps.events", "event_types": "event_types"}
    values["intent_events"] = "intent_events"
    weightings = {"sessions": "ps", "events": "steps JOIN ps USING (session_key)"}
    found = []
    for measure, value in values.items():
        for weighting, rows in weightings.items():
            quantiles = ", ".join(
                f"quantile_cont(v, {share}) AS {name}"
                for name, share in zip(
                    ("p25", "median", "p75", "p90", "p95", "p99"), (0.25, 0.5, 0.75, 0.9, 0.95, 0.99), strict=True
                )
            )
            query = f"""
                SELECT population, '{measure}' AS measure, '{weighting}' AS weighting, count(*) AS observations,
                    avg(v) AS mean, stddev_samp(v) AS std, min(v) AS min, {quantiles}, max(v) AS max
                FROM (SELECT population, CAST({value} AS DOUBLE) AS v FROM {rows}) GROUP BY population
            """
            found += records_of(dataset.database, query)
    return found


def expected_geography(dataset: Dataset) -> list[dict[str, Any]]:
    found = []
    names = ("country", "region", "city")
    for depth, level in enumerate(names, start=1):
        columns = ", ".join(name if place < depth else f"NULL::VARCHAR AS {name}" for place, name in enumerate(names))
        query = f"""
            SELECT population, '{level}' AS level, {columns}, {ACTIVITY},
                count(*)::DOUBLE / (SELECT count(*) FROM pe AS whole WHERE whole.population = pe.population)
                    AS event_share
            FROM pe GROUP BY population, {", ".join(names[:depth])}
        """
        found += records_of(dataset.database, query)
    for row in found:
        row["country_code"] = _code(row["country"])
    return found


def _code(name: str | None) -> str | None:
    by_name = {country.name: country.alpha_3 for country in pycountry.countries}
    return by_name.get(name or "")


def expected_devices(dataset: Dataset) -> list[dict[str, Any]]:
    found = []
    plain = ("device_family", "device_type", "os_name", "os_version", "platform", "language", "version_name")
    for name in (*plain, "country_device_family"):
        value = {"os_version": "os_name || ' ' || os_version", "country_device_family": "device_family"}.get(name, name)
        country = "country" if name == "country_device_family" else "NULL::VARCHAR"
        query = f"""
            SELECT population, '{name}' AS dimension, {country} AS country, {value} AS value, {ACTIVITY},
                count(*)::DOUBLE / (SELECT count(*) FROM pe AS whole WHERE whole.population = pe.population)
                    AS event_share
            FROM pe GROUP BY population, {country}, {value}
        """
        found += records_of(dataset.database, query)
    return found


def expected_latency(dataset: Dataset) -> list[dict[str, Any]]:
    upload = "(epoch_us(server_received_time) - epoch_us(client_upload_time)) / 1000.0"
    processing = "(epoch_us(processed_time) - epoch_us(server_received_time)) / 1000.0"
    trusted = f"CASE WHEN {upload} BETWEEN -60000 AND 60000 THEN {upload} END"
    found = []
    for measure, value in {"upload_ms": trusted, "processing_ms": processing}.items():
        for dimension, name in {"overall": "NULL::VARCHAR", "country": "country", "hour": BUCKETS["hour"]}.items():
            query = f"""
                SELECT population, '{measure}' AS measure, '{dimension}' AS dimension, value, count(v) AS events,
                    count(*) - count(v) AS left_out, avg(v) AS mean, median(v) AS median,
                    quantile_cont(v, 0.95) AS p95, quantile_cont(v, 0.99) AS p99
                FROM (SELECT population, {name} AS value, CAST({value} AS DOUBLE) AS v FROM pe)
                GROUP BY population, value
            """
            found += records_of(dataset.database, query)
    return found


CASES: dict[str, tuple[Callable[[Frames], Any], Callable[[Dataset], list[dict[str, Any]]]]] = {
    "spark_dataset_overview": (dataset_overview, expected_overview),
    "spark_top_values": (top_values, expected_top_values),
    "spark_temporal_patterns": (temporal_patterns, expected_temporal),
    "spark_session_behavior": (session_behavior, expected_behavior),
    "spark_geography": (geography, expected_geography),
    "spark_device_usage": (device_usage, expected_devices),
    "spark_latency": (latency, expected_latency),
}


@pytest.mark.parametrize("name", CASES)
def test_every_column_equals_an_independent_query(dataset: Dataset, name: str) -> None:
    computation, expected = CASES[name]
    actual = dataset.table(TABLES[name], computation)
    assert actual.schema.equals(TABLES[name].arrow_schema())
    assert_same_rows(actual.to_pylist(), expected(dataset), TABLES[name].key)


@pytest.mark.parametrize("name", CASES)
def test_rows_are_sorted_by_key_with_nulls_last(dataset: Dataset, name: str) -> None:
    key = TABLES[name].key
    rows = dataset.table(TABLES[name], CASES[name][0]).to_pylist()
    keys = [tuple((row[k] is None, row[k] if row[k] is not None else "") for k in key) for row in rows]
    assert keys == sorted(keys)


def test_dates_of_other_years_show_no_growth(hostile: Dataset) -> None:
    """The export of 2024 holds events of the years 1, 1969, 2023, 2025 and 9999."""
    rows = hostile.table(TABLES["spark_temporal_patterns"], temporal_patterns).to_pylist()
    stray = [row for row in rows if row["granularity"] in ("month", "date") and not row["bucket"].startswith("2024")]
    assert {row["bucket"][:4] for row in stray} == {"0001", "1969", "2023", "2025", "9999"}
    assert all(row["events_change"] is None and not row["in_year"] for row in stray)
    edges = [row for row in rows if row["bucket"] in ("2024-01-01", "2024-01")]
    assert edges
    assert all(row["events_change"] is None for row in edges)
    assert any(row["events_change"] is not None for row in rows if row["granularity"] == "date")


def test_one_machine_does_not_own_the_figures_of_people(hostile: Dataset) -> None:
    rows = hostile.table(TABLES["spark_geography"], geography).to_pylist()
    sweden = {
        row["population"]: row["events"] for row in rows if row["country"] == "Sweden" and row["level"] == "country"
    }
    assert sweden["all"] == 24 * 4
    assert "people" not in sweden


def test_untrusted_clocks_are_left_out_of_the_upload_latency(hostile: Dataset) -> None:
    rows = hostile.table(TABLES["spark_latency"], latency).to_pylist()
    [overall] = [r for r in rows if (r["population"], r["measure"], r["dimension"]) == ("all", "upload_ms", "overall")]
    query = "SELECT count(*) FROM e WHERE abs(epoch_us(server_received_time) - epoch_us(client_upload_time)) > 60000000"
    [(untrusted,)] = hostile.database.execute(query).fetchall()
    [(missing,)] = hostile.database.execute(
        "SELECT count(*) FROM e WHERE server_received_time IS NULL OR client_upload_time IS NULL"
    ).fetchall()
    assert untrusted > 0
    assert missing > 0
    assert overall["left_out"] == untrusted + missing
