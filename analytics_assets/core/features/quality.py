"""The quality of one year: what ``quality/<year>.json`` holds.

Put here: the figures of the file and the order in which they are computed. Keep out: the cleaning
(``cleaning.py``), the statistics (``distributions.py``, ``concentration.py``, ``drift.py``) and the judgement
(``grades.py``).

``columns`` and ``imbalance`` are about ``clean_events``, what readers of that table meet; ``correlations`` about
``user_features`` and ``sessions``; everything else about every accepted event, kept or set aside by cleaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.expressions import ACTOR, SESSION_KEY, SYNCHRONISED
from analytics_assets.core.features.concentration import concentration
from analytics_assets.core.features.distributions import Distribution, correlations, described, entropy_bits
from analytics_assets.core.features.drift import YearTables, drift
from analytics_assets.core.features.engine import normalized_chunks, parquet
from analytics_assets.core.features.grades import LATE, grades
from analytics_assets.core.features.tables import accepted_events
from analytics_assets.core.files import read_json
from analytics_assets.core.lake import Lake
from analytics_assets.core.settings import Settings
from analytics_assets.schemas import CLEAN_EVENTS, SESSIONS, USER_FEATURES, Column

QUALITY_VERSION = 2

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400

LATE_BUCKETS = (("up to 1 minute", _MINUTE), ("up to 1 hour", _HOUR), ("up to 1 day", _DAY), ("up to 7 days", 7 * _DAY))
"""Upload delay after the event: upper ends in seconds; the rest is "more than 7 days"."""

SKEW_BUCKETS = (
    ("ahead by more than 1 day", f"latency_ms < {-_DAY * 1000}"),
    ("ahead by 1 hour to 1 day", f"latency_ms < {-_HOUR * 1000}"),
    ("ahead by 1 minute to 1 hour", f"latency_ms < {-_MINUTE * 1000}"),
    ("within 1 minute", f"latency_ms <= {_MINUTE * 1000}"),
    ("behind by 1 minute to 1 hour", f"latency_ms <= {_HOUR * 1000}"),
    ("behind by 1 hour to 1 day", f"latency_ms <= {_DAY * 1000}"),
    ("behind by more than 1 day", "true"),
)
"""How far the device's clock is from the server's at upload, the way of the upload included; the first that holds."""

_CLAIMED_TIMES = {"upload": "client_upload_time", "client_event": "client_event_time", "event": "event_time"}
"""Times that cannot be later than the server's receipt unless a clock is wrong."""

CATEGORIES = (
    "event_type",
    "platform",
    "os_name",
    "os_version",
    "device_family",
    "device_type",
    "country",
    "region",
    "city",
    "language",
    "version_name",
)
"""Columns whose balance is looked at."""

PLACES = ("country", "region", "city")

CYCLIC = ("start_hour", "start_weekday", "peak_hour")
"""Numbers on a circle, which have no linear correlation; their sine and cosine have."""

CORRELATION_LIMIT = 0.9
"""Pairs beyond it say nearly the same: a model needs one of them."""

_DURATION = "date_diff('microsecond', start_time, end_time)"


def quality_report(
    engine: duckdb.DuckDBPyConnection, lake: Lake, year: str, manifest: dict[str, Any], settings: Settings
) -> dict[str, Any]:
    """Quality figures of one year.

    Parameters
    ----------
    engine : duckdb.DuckDBPyConnection
        Open connection.
    lake : Lake
        Where the year's chunks, its feature tables and the report of its cleaning lie.
    year : str
        Delivery year.
    manifest : dict
        Manifest of its chunks.
    settings : Settings
        Limits of outliers and of the grades.

    Returns
    -------
    dict
        ``ingestion`` (counts), ``profile`` and ``waterfall`` (cleaning), ``columns``, ``numeric``, ``imbalance``,
        ``correlations``, ``time``, ``clock``, ``order``, ``identity``, ``geography``, ``concentration``, ``drift``
        (None without the tables of the year before) and ``grades``. Equal tables give an equal report.

    Raises
    ------
    PipelineError
        A table or the cleaning report is missing.
    """
    cleaning = _cleaning(lake, year)
    clean = parquet([_table(lake, "clean_events", year)])
    events, visits, actors = _events(lake, year), parquet([_table(lake, "sessions", year)]), _actors(lake, year)
    chunks = [lake.chunks(year) / chunk["path"] for chunk in manifest["chunks"]]
    delivery = _delivery(engine, chunks)
    columns = _columns(engine, clean)
    figures: dict[str, Any] = {
        "columns": columns,
        "numeric": _numeric(engine, events, visits, actors, year=year, settings=settings),
        "imbalance": _imbalance(engine, clean, columns),
        "correlations": [
            _correlations(engine, parquet([_table(lake, "user_features", year)]), USER_FEATURES.columns, "actor"),
            _correlations(engine, visits, SESSIONS.columns, "session"),
        ],
        "time": _time(engine, events, delivery["upload_delay"]),
        "clock": {**_clock(engine, events), **delivery["after_receipt"]},
        "order": _order(engine, events),
        "identity": _identity(engine, events),
        "geography": _geography(engine, events),
        "concentration": concentration(engine, events, visits, actors),
        "drift": _drift(engine, lake, year, settings),
    }
    engine.execute("DROP TABLE delivered")
    return {
        "quality_version": QUALITY_VERSION,
        "year": manifest["year"],
        "raw_digest": manifest["raw_digest"],
        "ingestion": {**manifest["total"], "reasons": manifest["quarantine_reasons"]},
        "profile": cleaning["profile"],
        "waterfall": cleaning["waterfall"],
        **figures,
        "grades": grades(figures, settings),
    }


def _table(lake: Lake, table: str, year: str) -> Path:
    path = lake.feature(table, year)
    if not path.is_file():
        raise PipelineError(path, "there is no such file", f"Materialize {table} for {year} first.")
    return path


def _cleaning(lake: Lake, year: str) -> dict[str, Any]:
    path = lake.cleaning_report(year)
    if not path.is_file():
        raise PipelineError(path, "there is no such file", f"Materialize clean_events for {year} first.")
    report: dict[str, Any] = read_json(path)
    return report


def _events(lake: Lake, year: str) -> str:
    return accepted_events([_table(lake, "clean_events", year)], [_table(lake, "dropped_events", year)])


def _actors(lake: Lake, year: str) -> str:
    return parquet([_table(lake, "actors", year)])


def _one(engine: duckdb.DuckDBPyConnection, query: str) -> dict[str, Any]:
    cursor = engine.execute(query)
    names = [column[0] for column in cursor.description or []]
    [row] = cursor.fetchall()
    return dict(zip(names, row, strict=True))


def _pairs(engine: duckdb.DuckDBPyConnection, query: str) -> dict[Any, Any]:
    return dict(engine.execute(query).fetchall())


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _delivery(engine: duckdb.DuckDBPyConnection, chunks: Sequence[Path]) -> dict[str, dict[str, int]]:
    """What only the chunks know, in one scan of them: late arrivals, times after receipt, places as delivered.

    Leaves the temp table ``delivered`` behind: the delivered places by actor, session and device with ``events``.
    """
    late = "CASE WHEN delay IS NULL THEN 'unknown' " + "".join(
        f"WHEN delay <= {end * 1_000_000} THEN '{name}' " for name, end in LATE_BUCKETS
    )
    after = {f"{name}_after_receipt": f"{time} > server_received_time" for name, time in _CLAIMED_TIMES.items()}
    flags = ", ".join(f"coalesce({condition}, false) AS {name}" for name, condition in after.items())
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE delivered AS
        SELECT {ACTOR} AS actor, {SESSION_KEY} AS session_key, device_id, country, region, city, dma,
            {late} ELSE 'more than 7 days' END AS late, {flags}, count(*) AS events
        FROM (
            SELECT *, date_diff('microsecond', client_event_time, server_upload_time) AS delay
            FROM {normalized_chunks(chunks)}
        ) GROUP BY ALL
        """
    )
    counted = _pairs(engine, "SELECT late, sum(events)::BIGINT FROM delivered GROUP BY ALL")
    names = [*(name for name, _ in LATE_BUCKETS), "more than 7 days", "unknown"]
    sums = ", ".join(f"coalesce(sum(events) FILTER ({name}), 0)::BIGINT AS {name}" for name in after)
    return {
        "upload_delay": {name: counted.get(name, 0) for name in names},
        "after_receipt": _one(engine, f"SELECT {sums} FROM delivered"),
    }


def _columns(engine: duckdb.DuckDBPyConnection, clean: str) -> list[dict[str, Any]]:
    """Completeness, variety and range of each column; ranges only where no value names a person."""
    rows = _one(engine, f"SELECT count(*) AS rows FROM {clean}")["rows"]
    found = []
    for column in CLEAN_EVENTS.columns:
        ranged = column.type in ("int64", "float64", "timestamp") and column.name != "amplitude_id"
        cast = "::VARCHAR" if column.type == "timestamp" else ""
        facts = _one(
            engine,
            f"""
            SELECT coalesce(sum(n), 0)::BIGINT AS present, count(*) AS distinct_values, max(n) AS top,
                {f"min(v){cast}" if ranged else "NULL"} AS min, {f"max(v){cast}" if ranged else "NULL"} AS max
            FROM (SELECT {column.name} AS v, count(*) AS n FROM {clean} WHERE {column.name} IS NOT NULL GROUP BY ALL)
            """,
        )
        present, distinct = facts["present"], facts["distinct_values"]
        found.append(
            {
                "column": column.name,
                "nulls": rows - present,
                "null_share": (rows - present) / rows if rows else 0.0,
                "distinct_values": distinct,
                "uniqueness": _share(distinct, present),
                "top_share": _share(facts["top"] or 0, present),
                "min": facts["min"],
                "max": facts["max"],
            }
        )
    return found


def _imbalance(
    engine: duckdb.DuckDBPyConnection, clean: str, columns: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Top value, entropy and effective number of values (2^entropy; Hill 1973, order 1) of each category."""
    known = {column["column"]: column for column in columns}
    found = []
    for name in CATEGORIES:
        counts = engine.execute(
            f"SELECT {name}, count(*) AS n FROM {clean} WHERE {name} IS NOT NULL GROUP BY ALL ORDER BY n DESC, {name}"
        ).fetchall()
        entropy = entropy_bits([rows for _, rows in counts])
        found.append(
            {
                "column": name,
                "distinct_values": len(counts),
                "top_value": counts[0][0] if counts else None,
                "top_share": known[name]["top_share"],
                "entropy_bits": entropy,
                "effective_values": 2**entropy if counts else 0.0,
            }
        )
    return found


def _numeric(
    engine: duckdb.DuckDBPyConnection, events: str, visits: str, actors: str, *, year: str, settings: Settings
) -> list[dict[str, Any]]:
    """Moments and outliers, each number at its own grain: a long session counts once, not once per event."""
    days = f"""
        WITH counted AS (SELECT time::DATE AS date, count(*) AS n FROM {events} WHERE NOT outside_year GROUP BY ALL),
        span AS (SELECT min(date) AS first, max(date) AS last FROM counted)
        SELECT coalesce(n, 0) FROM (
            SELECT unnest(generate_series(first, last, INTERVAL 1 DAY))::DATE AS date FROM span WHERE first IS NOT NULL
        ) LEFT JOIN counted USING (date)
    """
    processing = f"SELECT round(processing_ms * 1000)::BIGINT FROM {events}"
    numbers = (
        ("duration_seconds", "session", "s", f"SELECT {_DURATION} FROM {visits}", 1e6),
        ("events_per_session", "session", "events", f"SELECT events FROM {visits}", 1),
        ("intent_events_per_session", "session", "events", f"SELECT intent_events FROM {visits}", 1),
        (
            "latency_ms",
            "event whose clock is within a minute",
            "ms",
            f"SELECT round(latency_ms * 1000)::BIGINT FROM {events} WHERE {SYNCHRONISED}",
            1e3,
        ),
        ("processing_ms", "event", "ms", processing, 1e3),
        ("events_per_actor", "actor", "events", f"SELECT events FROM {actors}", 1),
        ("events_per_day", f"UTC date of {year}, days without events included", "events", days, 1),
    )
    limits = settings.cleaning
    return [
        {
            "name": name,
            "grain": grain,
            "unit": unit,
            **described(Distribution.read(engine, query, scale), z_limit=limits.z_limit, iqr_factor=limits.iqr_factor),
        }
        for name, grain, unit, query, scale in numbers
    ]


def _correlations(
    engine: duckdb.DuckDBPyConnection, relation: str, columns: Sequence[Column], grain: str
) -> dict[str, Any]:
    left_out = {*CYCLIC, "session_id"}
    names = [column.name for column in columns if column.type in ("int64", "float64") and column.name not in left_out]
    key = "actor" if grain == "actor" else "session_key"
    query = f"SELECT {', '.join(names)} FROM {relation} ORDER BY {key}"
    return correlations(engine, query, names, grain=grain, limit=CORRELATION_LIMIT)


def _time(engine: duckdb.DuckDBPyConnection, events: str, upload_delay: dict[str, int]) -> dict[str, Any]:
    facts = _one(
        engine,
        f"""
        SELECT count(*) AS events, min(time)::VARCHAR AS first_event_time, max(time)::VARCHAR AS last_event_time,
            count(*) FILTER (outside_year) AS events_outside_year
        FROM {events}
        """,
    )
    years = _pairs(
        engine, f"SELECT year(time) AS year, count(*) FROM {events} WHERE outside_year GROUP BY ALL ORDER BY year"
    )
    known = sum(upload_delay.values()) - upload_delay["unknown"]
    return {
        **facts,
        "outside_year_by_year": {str(year): count for year, count in years.items()},
        "upload_delay": upload_delay,
        "late_share": _share(sum(upload_delay[name] for name in LATE), known),
    }


def _clock(engine: duckdb.DuckDBPyConnection, events: str) -> dict[str, Any]:
    cases = " ".join(f"WHEN {condition} THEN '{name}'" for name, condition in SKEW_BUCKETS)
    counted = _pairs(
        engine, f"SELECT CASE {cases} END, count(*) FROM {events} WHERE latency_ms IS NOT NULL GROUP BY ALL"
    )
    skew = {name: counted.get(name, 0) for name, _ in SKEW_BUCKETS}
    measured, synchronized = sum(skew.values()), skew["within 1 minute"]
    return {
        "measured_events": measured,
        "synchronized_events": synchronized,
        "synchronized_share": _share(synchronized, measured),
        "skew": skew,
    }


def _order(engine: duckdb.DuckDBPyConnection, events: str) -> dict[str, Any]:
    facts = _one(
        engine,
        f"""
        SELECT count(session_key) AS events_in_sessions, count(seconds_since_previous) AS steps,
            count(*) FILTER (seconds_since_previous = 0) AS tied_steps, count(*) FILTER (is_burst) AS burst_steps
        FROM {events}
        """,
    )
    return {
        **facts,
        "tied_step_share": _share(facts["tied_steps"], facts["steps"]),
        "burst_step_share": _share(facts["burst_steps"], facts["steps"]),
    }


def _identity(engine: duckdb.DuckDBPyConnection, events: str) -> dict[str, int]:
    found: dict[str, int] = _one(
        engine,
        f"""
        SELECT count(DISTINCT actor) AS actors, count(DISTINCT user_id) AS users,
            count(DISTINCT device_id) AS devices, count(DISTINCT session_key) AS sessions,
            count(*) FILTER (actor IS NULL) AS events_without_actor,
            count(*) FILTER (actor IS NOT NULL AND actor_class = 'sentinel') AS events_of_sentinels,
            count(*) FILTER (session_key IS NULL) AS events_without_session,
            (SELECT coalesce(sum(n), 0)::BIGINT FROM (
                SELECT count(*) AS n FROM {events} WHERE session_key IS NOT NULL GROUP BY session_key, time
            ) WHERE n > 1) AS tied_events
        FROM {events}
        """,
    )
    return found


def _geography(engine: duckdb.DuckDBPyConnection, events: str) -> dict[str, Any]:
    """How each place is known, and how often imputation is right about places that are."""
    from analytics_assets.core.features.imputation import imputation_accuracy

    methods = []
    for place in PLACES:
        rows = engine.execute(
            f"""
            SELECT {place}_method AS method, count(*) AS events,
                round(sum(round({place}_confidence * 1e9)::HUGEINT) / count(*) / 1e9, 9) AS mean_confidence
            FROM {events} GROUP BY ALL ORDER BY events DESC, method
            """
        ).fetchall()
        total = sum(count for _, count, _ in rows)
        methods += [
            {
                "place": place,
                "method": method or "unknown",
                "events": count,
                "share": count / total,
                "mean_confidence": confidence,
            }
            for method, count, confidence in rows
        ]
    # Imputation is measured on the texts that it was made from, and counts a row per event.
    rows = "(SELECT * EXCLUDE (events) FROM delivered, range(events))"
    return {"methods": methods, "imputation_accuracy": imputation_accuracy(engine, rows)}


def _drift(engine: duckdb.DuckDBPyConnection, lake: Lake, year: str, settings: Settings) -> dict[str, Any] | None:
    """Comparison with the delivery of the year before; None without its tables."""
    before = str(int(year) - 1)
    needed = ("clean_events", "dropped_events", "sessions")
    if not all(lake.feature(table, before).is_file() for table in needed):
        return None
    current, previous = (
        YearTables(name, _events(lake, name), parquet([_table(lake, "sessions", name)])) for name in (year, before)
    )
    return drift(engine, current, previous, settings.quality)
