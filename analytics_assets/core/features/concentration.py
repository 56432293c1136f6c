"""How much of a year one actor makes up.

Put here: headline figures with and without the most active actor, shares of the classes of actors. Keep out: how
actors are classified (``actors.py``).

Figures of events leave out the actor's events, figures of sessions the sessions whose first event is the actor's.
"""

from __future__ import annotations

from typing import Any

import duckdb

from analytics_assets.core.expressions import SYNCHRONISED
from analytics_assets.core.features.distributions import Distribution, gini
from analytics_assets.schemas import ACTOR_CLASSES

_DURATION = "date_diff('microsecond', start_time, end_time)"

HEADLINES = {
    "events": ("events", "events"),
    "sessions": ("sessions", "sessions"),
    "mean_session_seconds": ("s", "mean over sessions"),
    "median_session_seconds": ("s", "median over sessions"),
    "event_mean_session_seconds": ("s", "mean over events inside sessions, each carrying its session's duration"),
    "events_per_session": ("events", "mean over sessions"),
    "mean_latency_ms": ("ms", "mean over events whose clock is within a minute"),
    "events_per_actor": ("events", "mean over actors"),
}
"""Unit and meaning of each headline figure."""


def concentration(engine: duckdb.DuckDBPyConnection, events: str, sessions: str, actors: str) -> dict[str, Any]:
    """Headline figures of a year with and without its most active actor.

    Parameters
    ----------
    engine : duckdb.DuckDBPyConnection
        Open connection.
    events, sessions, actors : str
        Relations of the year's accepted events, of ``sessions`` and of ``actors``.

    Returns
    -------
    dict
        ``top_actor_share`` (of the events with an actor), ``gini`` (events per actor), ``headlines`` (``value``,
        ``without_top_actor``, ``relative_change`` = without / value - 1; None where a figure has no value or is 0) and
        ``classes`` (actors, events, sessions of each class with their shares).
    """
    top = f"(SELECT actor FROM {actors} WHERE is_top_actor)"
    everyone, others = (
        _headlines(engine, events, sessions, actors, condition)
        for condition in ("true", f"actor IS DISTINCT FROM {top}")
    )
    [(share,)] = engine.execute(f"SELECT max(events) / nullif(sum(events), 0) FROM {actors}").fetchall()
    return {
        "top_actor_share": share,
        "gini": gini(Distribution.read(engine, f"SELECT events FROM {actors}")),
        "headlines": [
            {
                "name": name,
                "unit": unit,
                "what": what,
                "value": everyone[name],
                "without_top_actor": others[name],
                "relative_change": None
                if others[name] is None or not everyone[name]
                else others[name] / everyone[name] - 1,
            }
            for name, (unit, what) in HEADLINES.items()
        ],
        "classes": _classes(engine, events, sessions, actors),
    }


def _headlines(
    engine: duckdb.DuckDBPyConnection, events: str, sessions: str, actors: str, condition: str
) -> dict[str, Any]:
    # Sums are over integers, so that no order of addition can change them.
    queries = (
        f"""
        SELECT count(*) AS events, avg(round(latency_ms * 1000)::BIGINT) FILTER ({SYNCHRONISED}) / 1000
            AS mean_latency_ms
        FROM {events} WHERE {condition}
        """,
        f"""
        SELECT count(*) AS sessions, avg({_DURATION}) / 1e6 AS mean_session_seconds,
            quantile_cont({_DURATION}, 0.5) / 1e6 AS median_session_seconds,
            sum({_DURATION}::HUGEINT * events) / nullif(sum(events), 0) / 1e6 AS event_mean_session_seconds,
            avg(events) AS events_per_session
        FROM {sessions} WHERE {condition}
        """,
        f"SELECT sum(events) / nullif(count(*), 0) AS events_per_actor FROM {actors} WHERE {condition}",
    )
    found: dict[str, Any] = {}
    for query in queries:
        cursor = engine.execute(query)
        names = [column[0] for column in cursor.description or []]
        [row] = cursor.fetchall()
        found |= zip(names, row, strict=True)
    return found


def _classes(engine: duckdb.DuckDBPyConnection, events: str, sessions: str, actors: str) -> list[dict[str, Any]]:
    counts = {
        name: dict(engine.execute(f"SELECT actor_class, count(*) FROM {relation} GROUP BY ALL").fetchall())
        for name, relation in (("actors", actors), ("events", events), ("sessions", sessions))
    }
    totals = {name: sum(found.values()) for name, found in counts.items()}
    return [
        {
            "actor_class": kind,
            **{name: found.get(kind, 0) for name, found in counts.items()},
            **{
                f"{name}_share": found.get(kind, 0) / totals[name] if totals[name] else None
                for name, found in counts.items()
            },
        }
        for kind in ACTOR_CLASSES
    ]
