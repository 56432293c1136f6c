"""Hand-made records, chunks from them, and chunks read back without the code under test.

Put here: what several test modules of this folder share. Keep out: assertions about single tables.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from analytics_assets.core.files import read_json, write_json
from analytics_assets.core.ingest.run import ingest_year
from analytics_assets.core.lake import Lake
from analytics_assets.core.settings import Settings, default_settings
from analytics_assets.schemas import FEATURE_TABLES, TABLES

INTEGERS = ("app", "amplitude_id", "session_id", "event_id")
TIMES = (
    "event_time",
    "client_event_time",
    "client_upload_time",
    "server_received_time",
    "server_upload_time",
    "processed_time",
)
TEXTS = ("uuid", "$insert_id", "user_id", "device_id", "event_type", "platform", "os_name", "os_version")
TEXTS += ("device_family", "device_type", "country", "region", "city", "dma", "language", "library", "version_name")
TEXTS += ("ip_address", "event_properties", "user_properties")
NO_TOKENS = ("uuid", "$insert_id", "event_type", "event_properties", "user_properties")
TOKENS = ("", "EMPTY", "(none)", "Unknown", "--")


class Records:
    """Makes records that differ from a plain one in what is asked for, each with a uuid of its own."""

    def __init__(self, prefix: str = "u") -> None:
        self.prefix = prefix
        self.made: list[dict[str, Any]] = []

    def add(self, time: str | None, event_type: str = "view", **changes: Any) -> dict[str, Any]:
        """Append one record; `time` like ``2024-05-01 10:00:00`` or with a fraction."""
        made = {
            "uuid": f"{self.prefix}-{len(self.made):04d}",
            "$insert_id": f"i-{len(self.made)}",
            "app": 7,
            "amplitude_id": 100,
            "user_id": "ann",
            "device_id": "dev-1",
            "session_id": 1714557600000,
            "event_id": len(self.made),
            "event_type": event_type,
            "event_time": time,
            "client_event_time": time,
            "client_upload_time": time,
            "server_received_time": time,
            "server_upload_time": time,
            "processed_time": time,
            "platform": "Web",
            "os_name": "Chrome",
            "os_version": "120",
            "device_family": "Windows",
            "device_type": "Windows",
            "country": "Norway",
            "region": "Oslo",
            "city": "Oslo",
            "dma": None,
            "language": "English",
            "library": "amplitude-ts/1.0",
            "version_name": "1.2",
            "ip_address": "10.0.0.1",
            "event_properties": {"place": len(self.made) % 3},
            "user_properties": {},
        }
        made.update(changes)
        self.made.append(made)
        return made


ODD_TEXTS = (
    "comma, comma",
    'quote " and "" two',
    '"',
    '""',
    "line\nfeed",
    "carriage\rreturn",
    "both\r\nof them",
    "\n",
    "back\\slash",
    "ends with \\",
    '\\"',
    "\\N and more",
    "emoji 👩\u200d🚀 é",
    "separators \u2028 \u0085 \ufeff",
    "  blanks around  ",
    "\ttab\t",
    "null",
    "NULL",
    "NaN",
    "# comment",
    "'single'",
    "empty",
    " EMPTY",
    "ends with newline\n",
)


def hostile_records() -> list[dict[str, Any]]:
    """Records of the delivery year 2024 that each break a careless reading."""
    new = Records("h")
    # Ties: only event_id, then only the uuid, settle the order; a missing event_id comes after the others.
    tie = "2024-05-01 10:00:00"
    new.add(tie, "c", event_id=None)
    new.add(tie, "b", event_id=3)
    new.add(tie, "a", event_id=2)
    new.add(tie, "d", event_id=None)
    new.add(tie, "b", event_id=3)
    new.add("2024-05-01 10:30:00.123456", "end", event_id=1)
    # Another person in a session of the same number; a person known by login only, by device only, by nothing.
    for number, ids in enumerate(
        [
            {"amplitude_id": 200, "user_id": "bob", "device_id": "dev-2"},
            {"amplitude_id": None, "user_id": "cy|x", "device_id": "dev-3"},
            {"amplitude_id": None, "user_id": None, "device_id": "dev-4"},
            {"amplitude_id": None, "user_id": "EMPTY", "device_id": "dev-5"},
            {"amplitude_id": 300, "user_id": "(none)", "device_id": "--"},
            {"amplitude_id": None, "user_id": "", "device_id": "Unknown"},
            {"amplitude_id": None, "user_id": "ée👩\u200d🚀", "device_id": None},
        ]
    ):
        new.add(f"2024-05-02 23:59:{number:02d}", "start", **ids)
        new.add(f"2024-05-03 00:0{number}:00.000001", "stop", **ids)
    # Outside any session, and session numbers that are no times.
    for number, session in enumerate([-1, None, 0, 5, -5, 2**63 - 1, -(2**63)]):
        new.add(f"2024-06-0{number + 1} 12:00:00", f"odd {number % 2}", session_id=session)
        new.add(f"2024-06-0{number + 1} 12:00:01", "odd 2", session_id=session)
        new.add(f"2024-06-0{number + 1} 12:00:01.000001", "odd 2", session_id=session)
    # One login, anonymous at first: one session, two actors.
    new.add("2024-07-01 08:00:00", "start", amplitude_id=400, user_id=None, device_id="dev-9", session_id=77)
    new.add("2024-07-01 08:00:05", "login", amplitude_id=400, user_id="dora", device_id="dev-9", session_id=77)
    new.add("2024-07-01 08:01:00", "view", amplitude_id=400, user_id="dora", device_id="dev-9", session_id=77)
    # Other clocks.
    new.add(None, "late", client_event_time="2024-08-03 01:02:03.000004", server_received_time="2024-08-04 00:00:00")
    new.add(None, "later", client_event_time=None, server_received_time="2024-08-05 05:06:07.5")
    new.add("2024-08-06 00:00:00", "no clocks", client_upload_time=None, server_received_time=None, processed_time=None)
    new.add("2024-08-06 00:00:00", "ahead", client_upload_time="2024-08-06 00:00:00.001")
    new.add("2024-08-06 01:00:00", "slow", server_received_time="2024-08-06 01:00:00.1234", session_id=9)
    # Uploads that wait, up to and just over the ends of each class, and before the event; each with its own latency.
    for number, seconds in enumerate([-1, 0, 60, 3_600, 86_400, 604_800] * 4):
        uploaded = datetime(2024, 8, 7) + timedelta(seconds=seconds, microseconds=number // 6)
        received = datetime(2024, 8, 7, microsecond=number * number * 700)
        new.add("2024-08-07 00:00:00", "waits", server_upload_time=str(uploaded), server_received_time=str(received))
    # Places and devices that change inside a session, the first unknown; equal counts for the actor.
    for number, place in enumerate([None, "Peru", "Chile", "Chile", "Peru", "--"]):
        moment = f"2024-08-08 00:00:0{number}"
        who = {"amplitude_id": 600, "user_id": "eve", "session_id": 1723075200000 + number // 3}
        new.add(moment, "moves", **who, country=place, region=place, device_family=place)
    # Times of other years, and of the last half hour.
    new.add("2023-12-31 23:59:59.999999", "before", amplitude_id=500, session_id=1704067199000)
    new.add("2024-01-01 00:00:00", "first", amplitude_id=500, session_id=1704067199000)
    new.add("2024-12-31 23:45:00", "last", amplitude_id=501, session_id=1735688700000)
    new.add("2025-01-01 00:00:00", "after", amplitude_id=502, session_id=1735689600000)
    # Null tokens everywhere, one column each; whole rows of nulls.
    for column in TEXTS:
        if column not in NO_TOKENS:
            for token in TOKENS:
                new.add("2024-09-01 10:00:00", "tokens", session_id=None, **{column: token})
    nothing = {name: None for name in TEXTS if name not in NO_TOKENS}
    new.add("2024-09-02 10:00:00", "nothing", **nothing, **{"$insert_id": None, "event_properties": None})
    new.add("2024-09-02 11:00:00", "nothing", os_name=None, os_version="17.1", **{"$insert_id": ""})
    # Text that CSV readers trip over, in names and in nested values; some of it as sessions' only event.
    for number, text in enumerate(ODD_TEXTS):
        new.add(
            f"2024-10-01 10:{number:02d}:00",
            text if text.strip() else f"x{text}",
            user_id=text,
            city=text,
            os_version=text,
            amplitude_id=None,
            session_id=600 + number // 3,
            event_properties={text: [text, {"nested": text}]},
        )
    # A machine: the same short session again and again, with the noise of its pages.
    for number in range(24):
        for second, name in enumerate(("session_start", "home::list::view", "home::list::render", "session_end")):
            moment = f"2024-11-01 {number:02d}:00:00.{second}"
            new.add(moment, name, amplitude_id=900, user_id="robot", session_id=1730419200000 + number)
    # Steps of intent between noise: runs that go on after it, noise first and last, one screen with several events.
    names = "x::y::render a::b::view a::b::render a::b::view a::b::click c::d::view c::d::render a a a::b::view"
    for second, name in enumerate([*names.split(), "session_end"]):
        new.add(f"2024-11-02 08:00:{second * 0.03:09.6f}", name, amplitude_id=901, user_id="fay", session_id=5)
    # Nobody in particular, nobody at all, and an event that its device sent twice under two uuids.
    new.add("2024-11-03 09:00:00", "visit", user_id="Anonymous", amplitude_id=None, session_id=6)
    new.add("2024-11-03 09:00:01", "visit", user_id="0", device_id=None, amplitude_id=None, session_id=7)
    new.add("2024-11-03 09:00:02", "visit", user_id=None, device_id="--", amplitude_id=None, session_id=8)
    for seconds, properties in ((1, {}), (0, {}), (2, {"other": 1})):
        new.add(
            "2024-11-04 09:00:00",
            "sent twice",
            event_id=1,
            event_properties=properties,
            server_upload_time=f"2024-11-04 09:00:0{seconds}",
            **{"$insert_id": "again"},
        )
    for text in ODD_TEXTS:
        new.add("2024-10-02 10:00:00", f"x{text}", amplitude_id=800, session_id=801, user_id=None, device_id=text)
    return new.made


def extreme_records() -> list[dict[str, Any]]:
    """Times at the ends of what a record can carry; apart, because a table by day would span eight thousand years."""
    new = Records("x")
    new.add("0001-01-01 00:00:00", "oldest", session_id=1)
    new.add("1969-12-31 23:59:59.999999", "before the epoch", session_id=1)
    new.add("9999-12-31 23:59:59.999999", "newest", session_id=1)
    return new.made


def ingest(lake: Lake, year: str, records: Iterable[dict[str, Any]], max_rows: int = 1000) -> list[Path]:
    """Deliver records as one file of `year` and ingest them; return the chunk files."""
    folder = lake.raw(year)
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "events.ndjson").write_text(text, encoding="utf-8")
    manifest = ingest_year(lake, year, max_rows=max_rows)
    assert manifest["total"]["quarantined"] == 0, manifest["quarantine_reasons"]
    return chunk_files(lake, year)


def ingest_nothing(lake: Lake, year: str) -> list[Path]:
    """Deliver an empty array and ingest it: one chunk with a header only."""
    lake.raw(year).mkdir(parents=True, exist_ok=True)
    (lake.raw(year) / "events.json").write_text("[]", encoding="utf-8")
    ingest_year(lake, year)
    return chunk_files(lake, year)


def chunk_files(lake: Lake, year: str) -> list[Path]:
    """Chunks of one year in order."""
    return sorted(lake.chunks(year).glob("part-*.csv"))


def publish_features(lake: Lake, year: str, settings: Settings | None = None) -> dict[str, Path]:
    """Publish the feature tables and the cleaning report of one ingested year; return the tables' files by name."""
    from analytics_assets.core.features import tables
    from analytics_assets.core.features.actors import actors
    from analytics_assets.core.features.cleaning import clean_year
    from analytics_assets.core.features.engine import open_engine, parquet, publish

    settings = settings or default_settings()
    paths = {table.name: lake.feature(table.name, year) for table in FEATURE_TABLES}
    clean, visits = parquet([paths["clean_events"]]), [paths["sessions"]]
    queries = {
        "sessions": lambda: tables.sessions(
            tables.accepted_events([paths["clean_events"]], [paths["dropped_events"]]), year
        ),
        "user_features": lambda: tables.user_features(clean, visits),
        "user_profiles": lambda: tables.user_profiles(clean),
        "daily_metrics": lambda: tables.daily_metrics(clean, visits, [year]),
    }
    with open_engine(lake.staging() / "duckdb") as engine:
        publish(engine, actors(chunk_files(lake, year), settings), paths["actors"], TABLES["actors"])
        report = clean_year(engine, lake, year, read_json(lake.manifest(year)), settings)
        write_json(lake.cleaning_report(year), report)
        for name, query in queries.items():
            publish(engine, query(), paths[name], TABLES[name])
    return paths


def read_rows(files: Sequence[Path]) -> list[dict[str, str | None]]:
    """Rows of chunk files as text, nulls as None."""
    rows = []
    for path in files:
        with path.open(encoding="utf-8", newline="") as stream:
            rows += [
                {name: None if value == "\\N" else value for name, value in row.items()}
                for row in csv.DictReader(stream, strict=True)
            ]
    return rows


def write_rows(path: Path, names: Sequence[str], rows: Iterable[dict[str, str | None]]) -> Path:
    """Write a chunk file with the columns in the order of `names`."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(["\\N" if row[name] is None else row[name] for name in names] for row in rows)
    return path


@dataclass(frozen=True)
class Event:
    """One event by the written rules: null tokens, one time, one actor, one session."""

    values: dict[str, Any]
    time: datetime
    actor: str | None
    session: str | None

    @property
    def order(self) -> tuple[Any, ...]:
        """Order inside a session: time, counter with missing ones last, identity."""
        number = self.values["event_id"]
        return self.time, number is None, number or 0, self.values["uuid"]

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


def events_of(files: Sequence[Path]) -> list[Event]:
    """Events of chunk files, read and interpreted in plain Python."""
    found = []
    for row in read_rows(files):
        values: dict[str, Any] = dict(row)
        for name in TEXTS:
            if name not in NO_TOKENS and values[name] in TOKENS:
                values[name] = None
        for name in INTEGERS:
            values[name] = None if values[name] is None else int(values[name])
        for name in TIMES:
            values[name] = None if values[name] is None else datetime.fromisoformat(values[name])
        person, user, device = values["amplitude_id"], values["user_id"], values["device_id"]
        owner = actor = None
        if device is not None:
            owner = actor = f"device:{device}"
        elif person is not None:
            actor = f"person:{person}"
        if user is not None:
            owner = actor = f"user:{user}"
        if person is not None:
            owner = f"amplitude:{person}"
        number = values["session_id"]
        session = None if number in (None, -1) or owner is None else f"{owner}|{number}"
        time = values["event_time"] or values["client_event_time"] or values["server_received_time"]
        found.append(Event(values, time, actor, session))
    return found


def assert_same_rows(actual: list[dict[str, Any]], expected: list[dict[str, Any]], key: Sequence[str]) -> None:
    """Both hold the same keys and, column by column, the same values: reals to 1e-9, everything else exactly."""
    assert actual or not expected
    by_key = {tuple(row[name] for name in key): row for row in actual}
    wanted = {tuple(row[name] for name in key): row for row in expected}
    assert len(by_key) == len(actual), "a key occurs twice"
    assert len(wanted) == len(expected), "the reference has a key twice"
    assert by_key.keys() == wanted.keys()
    wrong = []
    for place, row in wanted.items():
        assert by_key[place].keys() == row.keys()
        for name, value in row.items():
            if not same(by_key[place][name], value):
                wrong.append(f"{place} {name}: {by_key[place][name]!r} instead of {value!r}")
    assert not wrong, f"{len(wrong)} values differ:\n" + "\n".join(wrong[:20])


def same(left: Any, right: Any) -> bool:
    """Equality with 1e-9 relative tolerance where both are numbers and one is a float; never for None and NaN."""
    if isinstance(left, float) or isinstance(right, float):
        return (
            isinstance(left, int | float)
            and isinstance(right, int | float)
            and math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-12)
        )
    return type(left) is type(right) and bool(left == right)
