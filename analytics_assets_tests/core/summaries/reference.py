"""Interpreted events in DuckDB, made without the code under test, and records that show what summaries must tell apart.

Put here: what the tests of several summaries compare with. Keep out: the queries of single tables, and fixtures.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from analytics_assets_tests.core.event_data import INTEGERS, NO_TOKENS, TIMES, Event, Records, events_of, read_rows

NOBODY = "anonymous nil none null n/a na undefined unknown {} [] 0 -1 00000000-0000-0000-0000-000000000000".split()


def journey_records() -> list[dict[str, Any]]:
    """A machine, nobody in particular, noise between steps, bursts, screens, repeated and interleaved journeys."""
    new = Records("j")
    # A machine: the same three steps in each of 24 sessions of one day.
    for number in range(24):
        who = {"amplitude_id": 990, "user_id": "probe", "device_id": "dev-r", "session_id": 1_710_000_000_000 + number}
        for step, name in enumerate(["session_start", "home::view::open", "home::view::render", "home::list::open"]):
            new.add(f"2024-03-09 {number:02d}:00:0{step}", name, **who, country="Sweden")
    # Nobody in particular, twice in one session with a person.
    for number, user in enumerate(["anonymous", "Unknown ", "NULL", "eve"]):
        new.add(f"2024-03-10 08:00:0{number}", "home::view::open", amplitude_id=901, user_id=user, session_id=11)
    # Noise between equal events, bursts below and at 50 ms, ties, screens with too few parts.
    names = [
        "session_start",
        "a::b::open",
        "a::b:render",
        "a::b::open",
        "a::b::close",
        "a::c::open",
        "a",
        "a::c",
        "a::c::open::more",
        "x:render",
        "",
        "::",
        "session_end",
    ]
    for person in range(6):
        millis = 0
        for step, name in enumerate(names[: len(names) - person]):
            millis += (0, 49, 50, 51, 3_600_000, 1)[(step + person) % 6]
            moment = f"2024-04-{8 + person:02d} {10 + millis // 3_600_000:02d}:00:{millis // 1000 % 60:02d}"
            who = {"amplitude_id": 910 + person, "user_id": f"p{person}", "session_id": 1_712_000_000_000 + person}
            new.add(f"{moment}.{millis % 1000:03d}", name or "blank ", **who, version_name=f"2.{person}")
    # People who come back after days, weeks and months, some on the last days of the year.
    for person, dates in enumerate(
        [
            ["01-01", "01-02", "01-08", "02-01", "12-31"],
            ["01-31", "03-01", "03-31"],
            ["12-01", "12-02", "12-29", "12-30", "12-31"],
            ["02-28", "02-29", "03-01"],
        ]
    ):
        for number, date in enumerate(dates):
            who = {"amplitude_id": 930 + person, "user_id": f"back{person}", "session_id": 1_713_000_000_000 + number}
            for step, name in enumerate(["a::b::open", "a::c::open", "a::d::submit"][: 1 + number % 3]):
                new.add(
                    f"2024-{date} {9 + person:02d}:{step * 20:02d}:00", name, **who, country=[None, "Peru"][step % 2]
                )
    # Actors that change inside a session: the session belongs to the first event's. The machine stays one.
    for number, user in enumerate(["probe", "ann", "probe", None]):
        name = ["home::view::open", "s::1", "home::list::open", "s::3"][number]
        new.add(f"2024-03-09 23:30:0{number}", name, amplitude_id=940, user_id=user, session_id=12)
    for number, user in enumerate(["ann", "probe", "probe", "anonymous"]):
        name = ["s::0", "home::view::open", "home::list::open", "s::3"][number]
        new.add(f"2024-03-09 23:40:0{number}", name, amplitude_id=941, user_id=user, session_id=13)
    # Device clocks at and beyond a minute from the server's, both ways.
    for number, received in enumerate(["07:01:00", "07:01:00.000001", "06:59:00", "06:58:59.999999", "23:00:00"]):
        moment = "2024-04-22 07:00:00"
        new.add(moment, "clock", session_id=14, server_received_time=f"2024-04-22 {received}", country=f"C{number % 2}")
    return new.made


def actor_classes(events: Sequence[Event]) -> dict[str, tuple[str, bool]]:
    """Class of each actor, and whether it has most events, ties going to the smallest name; by the written rules."""
    own: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event.actor is not None:
            own[event.actor].append(event)
    rates, entropies = {}, {}
    for actor, mine in own.items():
        sessions = {event.session for event in mine if event.session is not None}
        rates[actor] = (len(sessions) / len({event.time.date() for event in mine}), len(sessions))
        kinds = Counter(_intent(mine, session) for session in sessions)
        shares = [n / len(sessions) for n in kinds.values()]
        entropies[actor] = -sum(share * math.log2(share) for share in shares) if sessions else None
    ranked = sorted(rate for rate, _ in rates.values())
    limit = _quantile(ranked, 0.995) if ranked else 0.0
    top = min(own, key=lambda actor: (-len(own[actor]), actor)) if own else None
    classes = {}
    for actor, (rate, sessions_) in rates.items():
        entropy = entropies[actor]
        if actor.partition(":")[2].lower() in NOBODY:
            found = "sentinel"
        elif rate > limit and sessions_ >= 20 and entropy is not None and entropy < 0.1:
            found = "scripted"
        else:
            found = "user" if actor.startswith("user:") else "device"
        classes[actor] = (found, actor == top)
    return classes


def _intent(events: Sequence[Event], session: str | None) -> tuple[str, ...]:
    inside = sorted((event for event in events if event.session == session), key=lambda event: event.order)
    names = [event["event_type"] for event in inside if not is_noise(event["event_type"])]
    return tuple(name for name, _ in groupby(names))


def is_noise(name: str) -> bool:
    """Whether the page made the event by itself, by the shipped settings."""
    return name.endswith(":render") or name in ("session_start", "session_end")


def _quantile(ranked: Sequence[float], share: float) -> float:
    place = share * (len(ranked) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ranked) - 1)
    return ranked[low] + (ranked[high] - ranked[low]) * (place - low)


def reference_database(files: Sequence[Path]) -> duckdb.DuckDBPyConnection:
    """A database of one year's interpreted events.

    Tables
    ------
    e : one row per event: the chunk columns (typed, null tokens as null), ``time``, ``actor``, ``session_key``,
        ``noise``, ``screen`` (null for noise), ``actor_class`` (sentinel without actor), ``person``, ``top``.
    pe : the rows of ``e``, once per ``population`` of the event's actor.
    steps : rows of ``e`` inside sessions with ``n`` (position from 1), ``size`` (events of the session) and
        ``v_person``, ``v_top`` of the session's first event.
    psteps : the rows of ``steps``, once per ``population`` of the session.
    s : one row per session: ``session_key``, ``us`` (duration in microseconds), ``events``, ``event_types``,
        ``intent_events``, ``v_person``, ``v_top``.
    ps : the rows of ``s``, once per ``population`` of the session.
    """
    rows = read_rows(files)
    classes = actor_classes(events_of(files))
    database = duckdb.connect()
    names = rows[0] if rows else [*INTEGERS, *TIMES]
    delivered = pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in names})
    database.register("delivered", delivered)
    actors = pa.table(
        {
            "actor": pa.array(classes, pa.string()),
            "actor_class": pa.array([name for name, _ in classes.values()], pa.string()),
            "is_top": pa.array([top for _, top in classes.values()], pa.bool_()),
        }
    )
    database.register("classes", actors)
    columns = []
    for name in delivered.column_names:
        if name in INTEGERS:
            columns.append(f'CAST("{name}" AS BIGINT) AS "{name}"')
        elif name in TIMES:
            columns.append(f'CAST("{name}" AS TIMESTAMP) AS "{name}"')
        elif name in NO_TOKENS:
            columns.append(f'"{name}"')
        else:
            nulls = "nullif(nullif(nullif(nullif(nullif(\"{}\", ''), 'EMPTY'), '(none)'), 'Unknown'), '--') AS \"{}\""
            columns.append(nulls.format(name, name))
    database.execute(f"CREATE TABLE typed AS SELECT {', '.join(columns)} FROM delivered")
    database.execute(
        r"""
        CREATE TABLE known AS SELECT *,
            ifnull(event_time, ifnull(client_event_time, server_received_time)) AS time,
            ifnull('user:' || user_id, ifnull('device:' || device_id, 'person:' || amplitude_id)) AS actor,
            CASE WHEN session_id = -1 THEN NULL ELSE
                ifnull('amplitude:' || amplitude_id, ifnull('user:' || user_id, 'device:' || device_id))
                || '|' || session_id END AS session_key,
            event_type LIKE '%:render' OR event_type IN ('session_start', 'session_end') AS noise,
            CASE WHEN event_type LIKE '%:render' OR event_type IN ('session_start', 'session_end') THEN NULL
                WHEN len(event_type) - len(replace(event_type, '::', '')) < 4 THEN event_type
                ELSE split_part(event_type, '::', 1) || '::' || split_part(event_type, '::', 2) END AS screen
        FROM typed
        """
    )
    populations = "(VALUES ('all'), ('people'), ('without_top_actor')) AS names(population)"
    for statement in (
        """
        CREATE TABLE e AS SELECT known.*, ifnull(actor_class, 'sentinel') AS actor_class,
            ifnull(actor_class IN ('user', 'device'), false) AS person, ifnull(is_top, false) AS top
        FROM known LEFT JOIN classes USING (actor)
        """,
        f"""
        CREATE VIEW pe AS SELECT population, e.* FROM e, {populations}
        WHERE population = 'all' OR (population = 'people' AND person)
            OR (population = 'without_top_actor' AND NOT top)
        """,
        """
        CREATE TABLE numbered AS SELECT *,
            row_number() OVER (PARTITION BY session_key ORDER BY time, event_id IS NULL, event_id, uuid) AS n,
            count(*) OVER (PARTITION BY session_key) AS size
        FROM e WHERE session_key IS NOT NULL
        """,
        """
        CREATE TABLE steps AS SELECT numbered.*, opening.person AS v_person, opening.top AS v_top
        FROM numbered JOIN numbered AS opening ON opening.session_key = numbered.session_key AND opening.n = 1
        """,
        f"""
        CREATE VIEW psteps AS SELECT population, steps.* FROM steps, {populations}
        WHERE population = 'all' OR (population = 'people' AND v_person)
            OR (population = 'without_top_actor' AND NOT v_top)
        """,
        """
        CREATE TABLE s AS
        WITH wanted AS (
            SELECT session_key, event_type, row_number() OVER (PARTITION BY session_key ORDER BY n) AS place
            FROM steps WHERE NOT noise
        ), kept AS (
            SELECT a.session_key, count(*) AS intent_events
            FROM wanted a LEFT JOIN wanted b ON a.session_key = b.session_key AND b.place = a.place - 1
            WHERE b.event_type IS NULL OR a.event_type <> b.event_type GROUP BY a.session_key
        )
        SELECT session_key, epoch_us(max(time)) - epoch_us(min(time)) AS us, count(*) AS events,
            count(DISTINCT event_type) AS event_types, ifnull(any_value(intent_events), 0) AS intent_events,
            bool_and(v_person) AS v_person, bool_and(v_top) AS v_top
        FROM steps LEFT JOIN kept USING (session_key) GROUP BY session_key
        """,
        f"""
        CREATE VIEW ps AS SELECT population, s.* FROM s, {populations}
        WHERE population = 'all' OR (population = 'people' AND v_person)
            OR (population = 'without_top_actor' AND NOT v_top)
        """,
    ):
        database.execute(statement)
    return database


def records_of(database: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    """Rows of a query as dictionaries."""
    return database.sql(query).to_arrow_table().to_pylist()
