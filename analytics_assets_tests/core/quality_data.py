"""Years of feature tables made with pandas, without the code that makes them in the product.

Put here: random events and the tables and chunks around them. Keep out: assertions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analytics_assets.core.features.engine import open_engine
from analytics_assets.core.features.quality import quality_report
from analytics_assets.core.files import read_json, write_json
from analytics_assets.core.lake import Lake
from analytics_assets.core.settings import Settings, default_settings
from analytics_assets.schemas import EVENT_CHUNKS, TABLES
from analytics_assets_tests.core.event_data import write_rows

COUNTRIES = ("United States", "India", "Norway", None)
TYPES = ("a::view", "b::view", "c::click", "d::render", "session_start", "session_end")


def random_events(seed: int, rows: int = 1500, actors: int = 40, year: int = 2024) -> pd.DataFrame:
    """Accepted events of random actors, a few of them very active; sessions of about eight events."""
    random = np.random.default_rng(seed)
    activity = random.lognormal(0, 1.2, actors)
    actor = random.choice(actors, rows, p=activity / activity.sum())
    session = random.integers(0, 1 + rows // 8, rows) % (1 + actor % 7 * 9)
    start = pd.Timestamp(f"{year}-03-01")
    # Whole seconds now and then: ties, and bursts between.
    seconds = session * 86_400.0 + actor * 977 + random.choice([0.0, 1.0, 1.02, 30.5, 3000.25], rows)
    frame = pd.DataFrame(
        {
            "uuid": [f"{year}-{number:06d}" for number in range(rows)],
            "time": start + pd.to_timedelta((seconds * 1e6).astype("int64"), unit="us"),
            "event_type": random.choice(TYPES, rows, p=[0.3, 0.2, 0.1, 0.2, 0.1, 0.1]),
            "actor": [f"user:{number}" if number % 3 else f"device:{number}" for number in actor],
            "actor_class": ["user" if number % 3 else "device" for number in actor],
            "session_key": [f"user:{who}|{number + 1}" for who, number in zip(actor, session, strict=True)],
            "country": [COUNTRIES[(number // 2) % 4] for number in actor],
            "city": [f"city {number % 11}" for number in actor],
            "region": [f"region {number % 5}" for number in actor],
            "platform": random.choice(["Web", "iOS"], rows, p=[0.9, 0.1]),
            "device_family": random.choice(["Windows", "Mac OS X", None], rows),
            "os_name": "Chrome",
            "language": "English",
            "latency_ms": random.choice([np.nan, 20.5, 80.125, 400.0, 59_999.999, 60_000.001, -3_600_001.0], rows),
            "processing_ms": (random.lognormal(5, 1, rows) * 1000).round() / 1000,
            "delay": random.choice([np.nan, 1.0, 60.0, 61.0, 7200.0, 86_401.0, 604_801.0], rows),
        }
    )
    frame["user_id"] = [text.removeprefix("user:") if text.startswith("user:") else None for text in frame["actor"]]
    frame["amplitude_id"] = 1000 + actor
    frame["device_id"] = [f"dev-{number % 13}" for number in actor]
    outside = random.random(rows) < 0.004
    frame.loc[outside, "time"] = frame.loc[outside, "time"] - pd.DateOffset(years=2)
    frame.loc[outside, "session_key"] = None
    nobody = random.random(rows) < 0.01
    frame.loc[nobody, ["actor", "session_key", "user_id", "device_id"]] = None
    frame.loc[nobody, "actor_class"] = "sentinel"
    return frame


def completed(events: pd.DataFrame, year: int = 2024) -> pd.DataFrame:
    """The events with the derived columns that quality reads."""
    frame = events.sort_values(["session_key", "time", "uuid"], na_position="last").reset_index(drop=True)
    inside = frame["session_key"].notna()
    groups = frame[inside].groupby("session_key", sort=False)
    frame["position"] = (groups.cumcount() + 1).reindex(frame.index).astype("Int64")
    since = (frame["time"] - groups["time"].shift(1).reindex(frame.index)).dt.total_seconds()
    frame["seconds_since_previous"] = since.where(inside)
    frame["is_burst"] = (since < 0.05).where(since.notna()).astype("boolean")
    frame["is_noise"] = frame["event_type"].str.endswith(":render") | frame["event_type"].str.startswith("session_")
    intent, step, last, previous = [], 0, None, None
    for key, kind, noise in zip(frame["session_key"], frame["event_type"], frame["is_noise"], strict=True):
        if key != previous:
            step, last, previous = 0, None, key
        if not noise and kind != last:
            step, last = step + 1, kind
        intent.append(step)
    frame["intent_step"] = pd.Series(intent, index=frame.index).where(inside).astype("Int64")
    frame["hour"], frame["weekday"] = frame["time"].dt.hour, frame["time"].dt.day_of_week + 1
    frame["outside_year"] = frame["time"].dt.year != year
    for name in ("hour_sin", "hour_cos", "weekday_sin", "weekday_cos"):
        frame[name] = 0.5
    for place in ("country", "region", "city"):
        frame[f"{place}_method"] = np.where(frame[place].notna(), "observed", None)
        frame[f"{place}_confidence"] = np.where(frame[place].notna(), 1.0, np.nan)
    return frame


def sessions_of(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per session with the columns that quality reads; the rest is made up."""
    inside = frame[frame["session_key"].notna()].sort_values(["session_key", "position"])
    groups = inside.groupby("session_key", sort=True)
    found = groups.agg(
        actor=("actor", "first"),
        actor_class=("actor_class", "first"),
        start_time=("time", "min"),
        end_time=("time", "max"),
        events=("uuid", "size"),
        event_types=("event_type", "nunique"),
        intent_events=("intent_step", "max"),
        entry_event=("event_type", "first"),
        exit_event=("event_type", "last"),
    ).reset_index()
    found["duration_seconds"] = (found["end_time"] - found["start_time"]).dt.total_seconds()
    found["session_id"] = [int(key.split("|")[1]) for key in found["session_key"]]
    found["person"] = [key.split("|")[0] for key in found["session_key"]]
    found["start_hour"], found["start_weekday"] = 1, 1
    found["event_entropy"] = np.log2(found["event_types"].clip(lower=1).astype(float))
    found["mean_latency_ms"] = [float(n) if n % 2 else np.nan for n in range(len(found))]
    found["is_bounce"] = found["intent_events"] <= 1
    found["may_cross_year"] = False
    return found


def actors_of(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per actor."""
    known = frame[frame["actor"].notna()]
    found = (
        known.groupby("actor", sort=True)
        .agg(actor_class=("actor_class", "first"), events=("uuid", "size"), sessions=("session_key", "nunique"))
        .reset_index()
    )
    found["event_share"] = found["events"] / max(1, len(known))
    found["active_days"], found["sessions_per_active_day"], found["sequence_entropy"] = 1, 1.0, 1.0
    top = found.sort_values(["events", "actor"], ascending=[False, True])["actor"].head(1).tolist()
    found["is_top_actor"] = found["actor"].isin(top)
    return found


def user_features_of(actors: pd.DataFrame) -> pd.DataFrame:
    """One row per actor; the figures are random, as correlations are all that is read of them."""
    random = np.random.default_rng(9)
    found = actors[["actor", "actor_class", "events", "sessions"]].copy()
    for column in TABLES["user_features"].columns:
        if column.name in found:
            continue
        if column.type == "float64":
            found[column.name] = random.lognormal(0, 1, len(found))
        elif column.type == "int64":
            found[column.name] = random.integers(1, 9, len(found))
        elif column.type == "timestamp":
            found[column.name] = pd.Timestamp("2024-05-01")
        else:
            found[column.name] = "text"
    found.loc[found.index % 4 == 0, "mean_latency_ms"] = np.nan
    found["tenure_days"] = 2 * found["recency_days"]
    return found


def publish(lake: Lake, table: str, year: str, frame: pd.DataFrame) -> Path:
    """Write a frame as a feature table; columns that it lacks are null."""
    schema = TABLES[table].arrow_schema()
    columns = [
        pa.Array.from_pandas(frame[field.name], type=field.type)
        if field.name in frame
        else pa.nulls(len(frame), field.type)
        for field in schema
    ]
    path = lake.feature(table, year)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), path)
    return path


def write_chunk(lake: Lake, year: str, frame: pd.DataFrame) -> None:
    """One chunk with the times of the events, and its manifest."""
    empty = dict.fromkeys(EVENT_CHUNKS.column_names)
    rows: list[dict[str, str | None]] = []
    for row in frame.to_dict("records"):
        upload = None if pd.isna(row["delay"]) else row["time"] + pd.Timedelta(seconds=row["delay"])
        latency = row["latency_ms"]
        times = {
            "event_time": row["time"],
            "client_event_time": row["time"],
            "client_upload_time": row["time"],
            "server_received_time": None if pd.isna(latency) else row["time"] + pd.Timedelta(milliseconds=latency),
            "server_upload_time": upload,
        }
        texts = {name: moment and moment.strftime("%Y-%m-%d %H:%M:%S.%f") for name, moment in times.items()}
        rows.append({**empty, "uuid": row["uuid"], "event_type": row["event_type"], **texts})
    folder = lake.chunks(year)
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "part-00000.csv", EVENT_CHUNKS.column_names, rows)
    total = {"records_seen": len(rows), "loaded": len(rows), "duplicates": 0, "quarantined": 0, "forgotten": 0}
    write_json(
        lake.manifest(year),
        {
            "year": year,
            "raw_digest": "digest",
            "total": total,
            "quarantine_reasons": {},
            "chunks": [{"path": "part-00000.csv", "rows": len(rows)}],
        },
    )


def make_year(lake: Lake, year: str, events: pd.DataFrame, *, dropped: float = 0.1) -> pd.DataFrame:
    """Publish everything that the quality of a year is made from; return the accepted events, `dropped` marked."""
    frame = completed(events, int(year))
    frame["dropped"] = np.random.default_rng(3).random(len(frame)) < dropped
    frame.loc[frame["actor"].isna(), "dropped"] = True
    frame["dropped_by"], frame["reason"] = "rows_without_actor", "for the test"
    actors = actors_of(frame)
    publish(lake, "clean_events", year, frame[~frame["dropped"]])
    publish(lake, "dropped_events", year, frame[frame["dropped"]])
    publish(lake, "sessions", year, sessions_of(frame))
    publish(lake, "actors", year, actors)
    publish(lake, "user_features", year, user_features_of(actors))
    write_chunk(lake, year, frame)
    steps = [{"step": "refuse", "rule": "A rule.", "rows_before": len(frame), "rows_after": len(frame)}]
    steps[0] |= {"columns_before": 30, "columns_after": 30, "details": {}, "examples": []}
    write_json(lake.cleaning_report(year), {"profile": "conservative", "steps": [], "waterfall": steps})
    return frame


def report_of(lake: Lake, year: str, settings: Settings | None = None) -> dict[str, Any]:
    """Quality report of a published year."""
    with open_engine(lake.staging() / "duckdb") as engine:
        return quality_report(engine, lake, year, read_json(lake.manifest(year)), settings or default_settings())
