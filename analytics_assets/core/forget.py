"""Removing a person from everything that is published, with a receipt.

Put here: which ids belong to a person, the order of the removal, the receipt. Keep out: pseudonyms and the suppression
list (``privacy.py``); recomputing tables is the caller's, because it needs Dagster.

An event belongs to a person by its login. An event without a login belongs to the person when its device or its person
id (``amplitude_id``) was never used with another login.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.features.engine import open_engine, raw_chunks, sql_list
from analytics_assets.core.files import read_json, write_json
from analytics_assets.core.ingest.quarantine import read_quarantine
from analytics_assets.core.ingest.repairs import Repairs
from analytics_assets.core.ingest.run import ingest_year
from analytics_assets.core.lake import Lake
from analytics_assets.core.privacy import Privacy, stands_for_nobody, suppress

PERSON_TABLES = ("actors", "clean_events", "dropped_events", "sessions", "user_features", "user_profiles")
"""Feature tables with one or more rows per person; all others hold counts only and are computed anew."""

Progress = Callable[[str], None]


def forget(lake: Lake, user: str, refresh: Callable[[list[str]], None], say: Progress) -> dict[str, Any]:
    """Remove a person from chunks, quarantine and every table, and keep re-delivered files from bringing them back.

    Parameters
    ----------
    lake : Lake
        Where from.
    user : str
        Login id as delivered.
    refresh : callable
        Recomputes all tables and models for the given years.
    say : callable
        Told what happens.

    Returns
    -------
    dict
        The receipt as written.

    Raises
    ------
    PipelineError
        The id stands for nobody; a year's raw files are missing or its chunks were written under another key; tables
        still hold the person afterwards.
    """
    if stands_for_nobody("user_id", user):
        raise PipelineError(f"user {user!r}", "the id stands for nobody", "Give the login id of one person.")
    privacy = Privacy.of(lake)
    years = lake.ingested_years()
    for year in years:
        _check_year(lake, year, privacy)
    started = _now()
    ids = _ids_of(lake, years, privacy, user)
    say(f"{len(ids['device_id'])} devices and {len(ids['amplitude_id'])} person ids were used by this login only")
    before = {year: _counts(lake, year) for year in years}
    tables_before = _rows_of_person(lake, years, ids)
    privacy = suppress(
        lake,
        privacy,
        {column: [privacy.digest_of_shown(column, value) for value in values] for column, values in ids.items()},
    )
    for year in years:
        _clean_repairs(lake, year, privacy)
        say(f"Reading {year} again without the person")
        ingest_year(lake, year)
    after = {year: _counts(lake, year) for year in years}
    affected = [year for year in years if before[year] != after[year] and lake.feature("clean_events", year).is_file()]
    if affected:
        refresh(affected)
    tables_after = _rows_of_person(lake, years, ids)
    receipt: dict[str, Any] = {
        "subject": privacy.digest("user_id", user),
        "key_id": privacy.key_id,
        "started": started,
        "finished": _now(),
        "linked_devices": len(ids["device_id"]),
        "linked_person_ids": len(ids["amplitude_id"]),
        "removed": {
            year: {name: before[year][name] - after[year][name] for name in ("events", "quarantined")} for year in years
        },
        "tables": {name: {"before": tables_before[name], "after": tables_after[name]} for name in tables_before},
        "recomputed_years": affected,
        "raw_files_with_forgotten_records": {year: _raw_files(lake, year) for year in years},
    }
    receipt["signature"] = _signature(privacy.key, receipt)
    path = lake.receipts() / f"{started.replace(':', '')}-{receipt['subject'][:8]}.json"
    write_json(path, receipt)
    if any(tables_after.values()):
        raise PipelineError(path, f"tables still hold the person: {tables_after}", "Materialize these years again.")
    return receipt | {"path": str(path)}


def is_genuine(receipt: dict[str, Any], key: bytes) -> bool:
    """Whether a receipt was signed with this key and not changed since."""
    content = {name: value for name, value in receipt.items() if name not in ("signature", "path")}
    return hmac.compare_digest(str(receipt.get("signature")), _signature(key, content))


def _signature(key: bytes, receipt: dict[str, Any]) -> str:
    message = b"receipt\0" + json.dumps(receipt, sort_keys=True).encode("utf-8")
    return hmac.digest(key, message, "sha256").hex()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _check_year(lake: Lake, year: str, privacy: Privacy) -> None:
    if year not in lake.raw_years():
        raise PipelineError(
            lake.raw(year),
            f"the raw files of {year} are gone, its chunks cannot be written again",
            f"Put the files back, or remove {lake.chunks(year)} and materialize nothing from it.",
        )
    written = read_json(lake.manifest(year)).get("privacy", {})
    if written.get("mode") != privacy.describe()["mode"] or written.get("key_id") != privacy.describe().get("key_id"):
        raise PipelineError(
            lake.chunks(year),
            "the chunks were written under another key or mode",
            "Materialize the year under the present settings first.",
        )


def _ids_of(lake: Lake, years: Sequence[str], privacy: Privacy, user: str) -> dict[str, list[str]]:
    """Ids that belong to the person alone, as the chunks hold them."""
    ids: dict[str, list[str]] = {"user_id": [privacy.shown("user_id", user)], "device_id": [], "amplitude_id": []}
    files = [path for year in years for path in sorted(lake.chunks(year).glob("part-*.csv"))]
    if not files:
        return ids
    with open_engine(lake.staging() / "duckdb") as engine:
        for column in ("device_id", "amplitude_id"):
            logins: dict[str, set[str]] = {}
            query = f"""
                WITH seen AS (SELECT DISTINCT CAST({column} AS VARCHAR) AS id, user_id FROM {raw_chunks(files)}
                              WHERE {column} IS NOT NULL AND user_id IS NOT NULL)
                SELECT id, user_id FROM seen WHERE id IN (SELECT id FROM seen WHERE user_id = ?)
            """
            for value, login in engine.execute(query, ids["user_id"]).fetchall():
                if not stands_for_nobody("user_id", login):
                    logins.setdefault(value, set()).add(login)
            ids[column] = sorted(
                value for value, seen in logins.items() if len(seen) == 1 and not stands_for_nobody(column, value)
            )
    return ids


def _counts(lake: Lake, year: str) -> dict[str, int]:
    total = read_json(lake.manifest(year))["total"]
    return {"events": total["loaded"], "quarantined": sum(1 for _ in read_quarantine(lake.quarantine(year)))}


def _rows_of_person(lake: Lake, years: Sequence[str], ids: dict[str, list[str]]) -> dict[str, int]:
    """Rows of each table that name the login or one of the ids that were the person's alone."""
    found: dict[str, int] = {}
    [login] = ids["user_id"]
    with open_engine(lake.staging() / "duckdb") as engine:
        chunks = [path for year in years for path in sorted(lake.chunks(year).glob("part-*.csv"))]
        if chunks:
            found["event_chunks"] = _count(engine, raw_chunks(chunks), "user_id = ?", [login])
        names = [f"user:{login}", *(f"device:{value}" for value in ids["device_id"])]
        names += [f"person:{value}" for value in ids["amplitude_id"]]
        for table in PERSON_TABLES:
            files = [lake.feature(table, year) for year in lake.feature_years(table)]
            if files:
                found[table] = _count(engine, f"read_parquet({sql_list(files)})", "list_contains(?, actor)", [names])
        for path in _model_tables(lake):
            name = f"{path.parent.name}/{path.name}"
            columns = [row[0] for row in engine.execute(f"DESCRIBE SELECT * FROM {_parquet(path)}").fetchall()]
            if "actor" in columns:
                found[name] = _count(engine, _parquet(path), "list_contains(?, actor)", [names])
    return found


def _parquet(path: Path) -> str:
    return f"read_parquet({sql_list([path])})"


def _model_tables(lake: Lake) -> list[Path]:
    return sorted((lake.root / "models").glob("*/*.parquet"))


def _count(engine: duckdb.DuckDBPyConnection, relation: str, condition: str, values: list[Any]) -> int:
    return int(engine.execute(f"SELECT count(*) FROM {relation} WHERE {condition}", values).fetchall()[0][0])


def _raw_files(lake: Lake, year: str) -> dict[str, int]:
    """Raw files that still hold records of forgotten persons: they are the owner's to delete."""
    return {
        entry["path"]: entry["forgotten"] for entry in read_json(lake.manifest(year))["files"] if entry["forgotten"]
    }


def _clean_repairs(lake: Lake, year: str, privacy: Privacy) -> None:
    repairs = Repairs.of(lake, year)
    kept = {
        key: entry for key, entry in repairs.texts.items() if not privacy.forgets_bytes(entry["text"].encode("utf-8"))
    }
    if kept != repairs.texts:
        Repairs(kept).save(lake, year)
