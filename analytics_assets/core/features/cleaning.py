"""Cleaning: which rows ``clean_events`` leaves out, step by step, with an account of every row.

Put here: the steps that remove rows, their order, the waterfall. Keep out: what a row means (``events.py``) and which
steps a profile switches on (``analytics.toml``).

Steps run in the order of ``settings.CleaningStep``, each on what the ones before have left. A removed row goes to
``dropped_events`` with its step and reason.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import duckdb

from analytics_assets.core.expressions import literal
from analytics_assets.core.features.engine import parquet, publish
from analytics_assets.core.features.events import (
    identified_events,
    interpreted_events,
    staged_chunks,
)
from analytics_assets.core.features.imputation import build_places
from analytics_assets.core.lake import Lake
from analytics_assets.core.settings import CleaningSettings, CleaningStep, Settings
from analytics_assets.schemas import CLEAN_EVENTS, DROPPED_EVENTS, EVENT_CHUNKS

EXAMPLES = 3
"""Removed rows shown per step: enough to see what the rule catches."""

LEFT_OUT_COLUMNS = {
    "$insert_id": "only served the search for duplicates",
    "app": "one project per lake",
    "event_time": "became time",
    "client_event_time": "became time",
    "client_upload_time": "became latency_ms",
    "server_received_time": "became latency_ms and processing_ms",
    "server_upload_time": "only says how the export was cut",
    "processed_time": "became processing_ms",
    "dma": "exists for one country only; helped to impute city and region",
    "library": "a property of the sender, not of the user",
    "ip_address": "personal, and its meaning is in country, region and city",
    "event_properties": "nested; kept in the chunks under the same uuid",
    "user_properties": "nested; kept in the chunks under the same uuid",
}
"""Columns of the chunks that clean_events does not carry, with the reason."""


def clean_year(
    engine: duckdb.DuckDBPyConnection, lake: Lake, year: str, manifest: dict[str, Any], settings: Settings
) -> dict[str, Any]:
    """Publish ``clean_events`` and ``dropped_events`` of one year.

    Parameters
    ----------
    engine : duckdb.DuckDBPyConnection
        Open connection.
    lake : Lake
        Where the year's chunks and ``actors`` lie.
    year : str
        Delivery year.
    manifest : dict
        Manifest of its chunks.
    settings : Settings
        Meaning of the events, and the cleaning profile.

    Returns
    -------
    dict
        ``profile``, ``steps`` (names of the steps that removed rows) and ``waterfall``: for every step from the
        delivered records on ``step``, ``rule``, rows and columns before and after, ``details`` and ``examples``.
    """
    chunks = [lake.chunks(year) / chunk["path"] for chunk in manifest["chunks"]]
    folder = lake.staging() / f"clean-{year}-{os.getpid()}"
    folder.mkdir(parents=True, exist_ok=True)
    delivered, interpreted = folder / "delivered.parquet", folder / "interpreted.parquet"
    try:
        _write(engine, staged_chunks(chunks), delivered)
        nulls = _null_tokens(engine, parquet([delivered]))
        events = f"({identified_events(parquet([delivered]))})"
        places = build_places(engine, events)
        _write(engine, interpreted_events(events, lake.feature("actors", year), places, year, settings), interpreted)
        removed = remove_rows(engine, parquet([interpreted]), settings)
        for table, query in (
            (CLEAN_EVENTS, f"SELECT * FROM {parquet([interpreted])} ANTI JOIN removed USING (uuid)"),
            (DROPPED_EVENTS, f"SELECT * FROM {parquet([interpreted])} JOIN removed USING (uuid)"),
        ):
            publish(engine, f"{query} ORDER BY time, uuid", lake.feature(table.name, year), table)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        engine.execute("DROP TABLE IF EXISTS removed; DROP TABLE IF EXISTS places")
    return {
        "profile": settings.cleaning.profile,
        "steps": [step for step, _, _, _ in removed],
        "waterfall": _waterfall(manifest, nulls, removed),
    }


def _write(engine: duckdb.DuckDBPyConnection, query: str, target: Path) -> None:
    engine.execute(f"COPY ({query}) TO {literal(str(target))} (FORMAT parquet)")


Removed = tuple[CleaningStep, str, int, list[dict[str, Any]]]
"""One step: its name, its rule, the rows it removed and examples of them."""


def remove_rows(engine: duckdb.DuckDBPyConnection, events: str, settings: Settings) -> list[Removed]:
    """Fill the temp table ``removed`` (uuid, dropped_by, reason) step by step.

    Parameters
    ----------
    engine : duckdb.DuckDBPyConnection
        Open connection.
    events : str
        Relation of `interpreted_events`.
    settings : Settings
        The profile's steps and their limits.
    """
    cleaning = settings.cleaning
    engine.execute("CREATE OR REPLACE TEMP TABLE removed (uuid VARCHAR, dropped_by VARCHAR, reason VARCHAR)")
    engine.execute(f"CREATE OR REPLACE TEMP VIEW kept AS SELECT * FROM {events} ANTI JOIN removed USING (uuid)")
    found: list[Removed] = []
    for step in get_args(CleaningStep):
        if step not in cleaning.steps:
            continue
        rule, selection = _STEPS[step](cleaning, settings.events.session_end_events)
        engine.execute(f"INSERT INTO removed SELECT uuid, {literal(step)}, reason FROM ({selection})")
        cursor = engine.execute(
            f"""
            SELECT uuid, event_type, time::VARCHAR AS event_time, reason FROM removed JOIN {events} USING (uuid)
            WHERE dropped_by = {literal(step)} ORDER BY time, uuid LIMIT {EXAMPLES}
            """
        )
        names = [column[0] for column in cursor.description or []]
        examples = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        [(rows,)] = engine.execute(f"SELECT count(*) FROM removed WHERE dropped_by = {literal(step)}").fetchall()
        found.append((step, rule, rows, examples))
    engine.execute("DROP VIEW kept")
    return found


def _exact_duplicates(cleaning: CleaningSettings, ends: Sequence[str]) -> tuple[str, str]:
    same = 'PARTITION BY app, device_id, "$insert_id", content ORDER BY server_upload_time NULLS LAST, uuid'
    return (
        "Rows of one device and $insert_id that agree in everything but uuid and the times of delivery; the one "
        "uploaded first stays.",
        f"""
        SELECT uuid, concat('repeats ', first_value(uuid) OVER ({same})) AS reason FROM kept
        WHERE "$insert_id" IS NOT NULL AND device_id IS NOT NULL QUALIFY row_number() OVER ({same}) > 1
        """,
    )


def _rows_without_actor(cleaning: CleaningSettings, ends: Sequence[str]) -> tuple[str, str]:
    return (
        "Rows that name nobody: no user_id, device_id or amplitude_id.",
        "SELECT uuid, 'no user_id, device_id or amplitude_id' AS reason FROM kept WHERE actor IS NULL",
    )


def _rows_without_user(cleaning: CleaningSettings, ends: Sequence[str]) -> tuple[str, str]:
    return (
        "Rows without a login.",
        "SELECT uuid, 'no user_id' AS reason FROM kept WHERE user_id IS NULL",
    )


def _of_sessions(condition: str, reason: str) -> str:
    """Rows of the sessions that meet a condition over their remaining rows."""
    return f"""
        SELECT uuid, {reason} AS reason FROM kept WHERE session_key IN (
            SELECT session_key FROM kept WHERE session_key IS NOT NULL GROUP BY session_key HAVING {condition}
        )
    """


def _single_event_sessions(cleaning: CleaningSettings, ends: Sequence[str]) -> tuple[str, str]:
    return "Sessions of one event.", _of_sessions("count(*) = 1", "'the only event of its session'")


def _session_end_only_sessions(cleaning: CleaningSettings, ends: Sequence[str]) -> tuple[str, str]:
    names = ", ".join(literal(name) for name in ends) or "NULL"
    return (
        f"Sessions of nothing but {' or '.join(ends) or 'session end events (none is set)'}.",
        _of_sessions(f"bool_and(event_type IN ({names}))", "'its session holds only session ends'"),
    )


def _mobile_rows(cleaning: CleaningSettings, ends: Sequence[str]) -> tuple[str, str]:
    platforms, families = (
        ", ".join(literal(name) for name in names) or "NULL"
        for names in (cleaning.mobile_platforms, cleaning.mobile_device_families)
    )
    return (
        f"Rows from mobile platforms ({', '.join(cleaning.mobile_platforms)}) or device families "
        f"({', '.join(cleaning.mobile_device_families)}).",
        f"""
        SELECT uuid, CASE WHEN platform IN ({platforms}) THEN concat('platform ', platform)
            ELSE concat('device family ', device_family) END AS reason
        FROM kept WHERE platform IN ({platforms}) OR device_family IN ({families})
        """,
    )


_DURATIONS = """
    durations AS (
        SELECT session_key, date_diff('microsecond', min(time), max(time)) AS us
        FROM kept WHERE session_key IS NOT NULL GROUP BY session_key
    )
"""
"""One duration per remaining session: a long session with many events counts once."""


def _zscore_outliers(cleaning: CleaningSettings, ends: Sequence[str]) -> tuple[str, str]:
    return (
        f"Sessions whose duration is more than {cleaning.z_limit:g} standard deviations from the mean over sessions.",
        f"""
        WITH {_DURATIONS},
        centre AS (SELECT sum(us)::DOUBLE / count(*) AS mean FROM durations),
        spread AS (
            SELECT mean, sqrt(sum(pow(us - mean, 2) ORDER BY us) / (count(*) - 1)) AS std
            FROM durations, centre GROUP BY mean HAVING count(*) > 1
        ),
        outliers AS (
            SELECT session_key, us, (us - mean) / std AS z FROM durations, spread
            WHERE std > 0 AND abs(us - mean) / std > {cleaning.z_limit}
        )
        SELECT uuid, printf('session of %.0f s, %.1f standard deviations from the mean', us / 1e6, z) AS reason
        FROM kept JOIN outliers USING (session_key)
        """,
    )


def _iqr_outliers(cleaning: CleaningSettings, ends: Sequence[str]) -> tuple[str, str]:
    return (
        f"Sessions whose duration is more than {cleaning.iqr_factor:g} interquartile ranges outside the quartiles over "
        "sessions.",
        f"""
        WITH {_DURATIONS},
        quartiles AS (SELECT quantile_cont(us, 0.25) AS q1, quantile_cont(us, 0.75) AS q3 FROM durations),
        fences AS (
            SELECT q1 - {cleaning.iqr_factor} * (q3 - q1) AS low, q3 + {cleaning.iqr_factor} * (q3 - q1) AS high
            FROM quartiles
        ),
        outliers AS (SELECT session_key, us, low, high FROM durations, fences WHERE us < low OR us > high)
        SELECT uuid, printf('session of %.0f s, outside %.0f to %.0f s', us / 1e6, low / 1e6, high / 1e6) AS reason
        FROM kept JOIN outliers USING (session_key)
        """,
    )


_STEPS: dict[CleaningStep, Callable[[CleaningSettings, Sequence[str]], tuple[str, str]]] = {
    "exact_duplicates": _exact_duplicates,
    "rows_without_actor": _rows_without_actor,
    "rows_without_user": _rows_without_user,
    "single_event_sessions": _single_event_sessions,
    "session_end_only_sessions": _session_end_only_sessions,
    "mobile_rows": _mobile_rows,
    "zscore_outliers": _zscore_outliers,
    "iqr_outliers": _iqr_outliers,
}
"""Rule in words, and query (uuid, reason) over the rows that are still there, of every step."""


def _waterfall(manifest: dict[str, Any], nulls: dict[str, int], removed: Sequence[Removed]) -> list[dict[str, Any]]:
    total = manifest["total"]
    added = [name for name in CLEAN_EVENTS.column_names if name not in EVENT_CHUNKS.column_names]
    steps: list[dict[str, Any]] = []

    def step(
        name: str, rule: str, *, lost: int = 0, columns: int = 0, details: dict[str, Any] | None = None,
        examples: list[dict[str, Any]] | None = None,
    ) -> None:  # fmt: skip
        rows = steps[-1]["rows_after"] if steps else total["records_seen"]
        width = steps[-1]["columns_after"] if steps else len(EVENT_CHUNKS.columns)
        steps.append(
            {
                "step": name,
                "rule": rule,
                "rows_before": rows,
                "rows_after": rows - lost,
                "columns_before": width,
                "columns_after": width + columns,
                "details": details or {},
                "examples": examples or [],
            }
        )

    step(
        "refuse", "Records that cannot be read as events go to the quarantine.",
        lost=total["quarantined"], details=manifest["quarantine_reasons"],
    )  # fmt: skip
    if total["forgotten"]:
        step("forget", "Records of persons who asked to be forgotten.", lost=total["forgotten"])
    step("drop re-delivered records", "Same uuid, same content.", lost=total["duplicates"])
    step("normalize nulls", "Texts that mean no value become null.", details=nulls)
    step(
        "derive",
        "Time, actor, session, order, place and the features of an event.",
        columns=len(added),
        details=dict.fromkeys(added, "added"),
    )
    for name, rule, lost, examples in removed:
        step(name.replace("_", " "), rule, lost=lost, details={"rows": lost} if lost else {}, examples=examples)
    step(
        "drop columns", "Columns that no later step needs.",
        columns=-len(LEFT_OUT_COLUMNS), details=LEFT_OUT_COLUMNS,
    )  # fmt: skip
    return steps


def _null_tokens(engine: duckdb.DuckDBPyConnection, delivered: str) -> dict[str, int]:
    """Texts that become null, by column; columns without any left out."""
    tokens = {c.name: c.null_tokens for c in EVENT_CHUNKS.columns if c.null_tokens}
    counts = ", ".join(
        f'count(*) FILTER ("{name}" IN ({", ".join(literal(token) for token in values)}))'
        for name, values in tokens.items()
    )
    [row] = engine.execute(f"SELECT {counts} FROM {delivered}").fetchall()
    return {name: number for name, number in zip(tokens, row, strict=True) if number}
