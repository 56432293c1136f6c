"""Figures of the page "Journeys" that are counted from sessions: how they flow through their first steps, and runs.

Put here: counting and reading them. Keep out: what the Markov chain says (``chain_figures.py``), drawing, wording.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from analytics_assets.core.lake import Lake
from analytics_assets.schemas import PEOPLE_CLASSES
from dashboards import data, selection
from dashboards.selection import Scope

Stream = Literal["intent", "raw"]

FLOW_STEPS = 5
"""First steps of a session that are drawn: ten columns would not fit a screen, and most sessions have parted."""

FLOW_EVENTS = 8
"""Events named at each step: more ribbons than that cannot be told apart."""

EVENT, OTHER, EXIT = "event", "other", "exit"
"""Kinds of nodes: one event, all less frequent events together, and the end of the session."""


@dataclass(frozen=True, order=True)
class Node:
    """One place of the flow: the step from 1, its kind, and the event's name for kind `EVENT`."""

    step: int
    kind: str
    event: str = ""


@dataclass(frozen=True)
class Flows:
    """How sessions flow through their first steps.

    Parameters
    ----------
    sessions : int
        Sessions with at least one step.
    entries : dict of Node to int
        Sessions by their first step.
    links : dict of (Node, Node) to int
        Sessions by two successive steps; to an `EXIT` node where the session has no further one.
    """

    sessions: int
    entries: dict[Node, int]
    links: dict[tuple[Node, Node], int]

    def through(self) -> dict[Node, int]:
        """Sessions at each node, by step."""
        found = dict(self.entries)
        for (_, target), number in self.links.items():
            found[target] = found.get(target, 0) + number
        return dict(sorted(found.items()))


def flows(scope: Scope, stream: Stream, *, steps: int = FLOW_STEPS, events: int = FLOW_EVENTS) -> Flows:
    """Flows of the sessions of people in scope.

    Parameters
    ----------
    scope : Scope
        The filters; a session in scope is taken whole.
    stream : {"intent", "raw"}
        ``intent``: without what the interface makes by itself, a run of one event as one step. ``raw``: every event is
        a step.
    steps : int
        Steps that are looked at.
    events : int
        Most frequent events at each step that keep their name.
    """
    people = ", ".join(selection.quoted(name) for name in PEOPLE_CLASSES)
    place = "intent_step" if stream == "intent" else "position"
    kept = "NOT is_noise AND" if stream == "intent" else ""
    # Both parts of a session that crosses New Year count their steps from 1, so steps are numbered anew.
    new_step = "event IS DISTINCT FROM event_before" if stream == "intent" else "true"
    rows = selection.rows(
        scope,
        f"""
        WITH chosen AS (SELECT session_key FROM {{sessions}} WHERE actor_class IN ({people})),
        parts AS (
            SELECT session_key, filename, {place} AS place, min(time) AS time, any_value(event_type) AS event
            FROM {{clean}} SEMI JOIN chosen USING (session_key)
            WHERE {kept} {place} BETWEEN 1 AND {steps} GROUP BY ALL
        ),
        joined AS (
            SELECT *, lag(event) OVER (PARTITION BY session_key ORDER BY time, filename, place) AS event_before
            FROM parts
        ),
        walked AS (
            SELECT session_key, event,
                row_number() OVER (PARTITION BY session_key ORDER BY time, filename, place) AS step
            FROM joined WHERE {new_step} QUALIFY step <= {steps}
        ),
        ranked AS (
            SELECT step, event, row_number() OVER (PARTITION BY step ORDER BY count(*) DESC, event) <= {events} AS named
            FROM walked GROUP BY step, event
        ),
        nodes AS (
            SELECT session_key, step, CASE WHEN named THEN event END AS event
            FROM walked JOIN ranked USING (step, event)
        )
        SELECT origin.step, origin.event, target.session_key IS NULL, target.event, count(*)
        FROM nodes AS origin LEFT JOIN nodes AS target
            ON origin.session_key = target.session_key AND target.step = origin.step + 1
        WHERE origin.step < {steps} GROUP BY ALL
        UNION ALL SELECT 0, NULL, false, event, count(*) FROM nodes WHERE step = 1 GROUP BY ALL
        ORDER BY ALL
        """,
        clean=data.Table.of(
            [scope.lake.feature("clean_events", year) for year in scope.results["years"]], "clean_events"
        ),
    )
    entries: dict[Node, int] = {}
    links: dict[tuple[Node, Node], int] = {}
    for step, origin, ends, target, number in rows:
        if step:
            links[_node(step, origin), Node(step + 1, EXIT) if ends else _node(step + 1, target)] = number
        else:
            entries[_node(1, target)] = number
    return Flows(sum(entries.values()), entries, links)


def _node(step: int, event: str | None) -> Node:
    return Node(step, OTHER) if event is None else Node(step, EVENT, event)


def ngram_years(lake: Lake) -> list[str]:
    """Deliveries whose runs of events were counted."""
    return [year for year in lake.ingested_years() if lake.summary(year, "spark_event_ngrams").is_file()]


@dataclass(frozen=True)
class Run:
    """Successive events inside a session."""

    events: tuple[str, ...]
    occurrences: int
    sessions: int
    share: float


def runs(lake: Lake, year: str, stream: str, length: int) -> list[Run]:
    """The most frequent runs of people's sessions, most frequent first."""
    rows = data.query(
        "SELECT event_1, event_2, event_3, event_4, event_5, occurrences, sessions, occurrence_share FROM {files} "
        f"WHERE population = 'people' AND stream = {selection.quoted(stream)} AND length = {int(length)} "
        "ORDER BY place",
        [lake.summary(year, "spark_event_ngrams")],
        "spark_event_ngrams",
    )
    return [Run(tuple(row[:length]), row[5], row[6], row[7]) for row in rows]
