"""Figures of the page "Funnels": how far sessions or actors get along a list of steps, in order and in time.

Put here: reading the published funnels, and counting any funnel over the events in scope. Keep out: wording, drawing.

Counting follows the definition of ``spark_funnels`` to the letter, so that the steps of a published funnel give the
published figures: step k is reached by an event after the one of step k - 1 and at most the window after the one of
step 1; of all chains that end in an event the one with the latest start counts; a unit stands for the furthest step it
reached, with the times as they were when it first got there.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from analytics_assets.core.expressions import SESSION_ORDER
from analytics_assets.core.intervals import wilson
from dashboards import data, populations, selection, text
from dashboards.selection import Scope

ASSET = "spark_funnels"

FEWEST_STEPS, MOST_STEPS = 2, 6
"""Steps of a funnel that is put together on the page: one is no funnel, and more than six nobody reads at a glance."""

MICROSECONDS_PER_MINUTE = 60_000_000


@dataclass(frozen=True)
class Funnel:
    """What is counted.

    Parameters
    ----------
    steps : tuple of str
        Event types in order; one may come again.
    scope : str
        ``session`` or ``actor``: what one unit is.
    window_minutes : float
        Longest time from the first step.
    """

    steps: tuple[str, ...]
    scope: str
    window_minutes: float


@dataclass(frozen=True)
class Step:
    """One step of a counted funnel.

    Parameters
    ----------
    event_type : str
    reached, first, previous : int
        Units that reached this step, the first one, and the one before (for the first step itself).
    median_seconds : float, optional
        Median time since the step before, over the units that reached this one.
    """

    event_type: str
    reached: int
    first: int
    previous: int
    median_seconds: float | None

    @property
    def share_of_first(self) -> float | None:
        """Share of the units that began; None when none did."""
        return text.ratio(self.reached, self.first)

    @property
    def share_of_previous(self) -> float | None:
        """Share of the units that had reached the step before; None when none had."""
        return text.ratio(self.reached, self.previous)

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson interval of `share_of_first` at 95 %."""
        return wilson(self.share_of_first or 0.0, self.first)

    @property
    def lost(self) -> int:
        """Units that reached the step before and not this one."""
        return self.previous - self.reached


@dataclass(frozen=True)
class Published:
    """One funnel of ``spark_funnels`` in one delivery and population."""

    year: str
    population: str
    name: str
    origin: str
    funnel: Funnel
    steps: tuple[Step, ...]


def published(scope: Scope) -> list[Published]:
    """Every published funnel of every delivery, configured ones first."""
    found: list[Published] = []
    for year in scope.results["years"]:
        rows = data.query(
            "SELECT population, funnel, origin, scope, window_minutes, event_type, reached, median_seconds "
            "FROM {files} ORDER BY origin, funnel, population, step",
            [scope.lake.summary(year, ASSET)],
            ASSET,
        )
        for (population, name, origin, unit, minutes), group in groupby(rows, key=lambda row: row[:5]):
            steps = list(group)
            funnel = Funnel(tuple(row[5] for row in steps), unit, minutes)
            counted = _steps(funnel, {place: (row[6], row[7]) for place, row in enumerate(steps, 1)})
            found.append(Published(year, population, name, origin, funnel, counted))
    return found


def counted(scope: Scope, funnel: Funnel, population: str) -> tuple[Step, ...]:
    """Count a funnel over the events in scope.

    Parameters
    ----------
    scope : Scope
        The filters; they apply to each event.
    funnel : Funnel
        At least one step.
    population : str
        One of ``POPULATIONS``: whose sessions or events count.
    """
    tables = populations.tables(scope, population, scope.results["years"])
    rows = selection.rows(scope, _query(funnel, population), **tables)
    return _steps(funnel, {step: (reached, seconds) for step, reached, seconds in rows})


def _steps(funnel: Funnel, found: dict[int, tuple[int, float | None]]) -> tuple[Step, ...]:
    reached = [found.get(place, (0, None)) for place in range(1, len(funnel.steps) + 1)]
    first = reached[0][0]
    before = [first, *(number for number, _ in reached)]
    return tuple(
        Step(event, number, first, previous, seconds)
        for event, (number, seconds), previous in zip(funnel.steps, reached, before, strict=False)
    )


def _query(funnel: Funnel, population: str) -> str:
    """Rows of step, units that reached it, and their median seconds since the step before.

    Each step joins its events to the chains that end before them, of all the last one: a join as of an order, which
    reads each step's events once, however many there are.
    """
    if funnel.scope == "session":
        unit, member = "session_key", populations.of_sessions(population)
    else:
        unit, member = "actor", populations.of_events(population)
    wanted = ", ".join(selection.quoted(name) for name in sorted(set(funnel.steps)))
    window = funnel.window_minutes * MICROSECONDS_PER_MINUTE
    chains = [
        f"chain_1 AS MATERIALIZED (SELECT unit, number, [us] AS times FROM chosen "
        f"WHERE event_type = {selection.quoted(funnel.steps[0])})"
    ]
    for place, name in enumerate(funnel.steps[1:], start=2):
        chains.append(
            f"""chain_{place} AS MATERIALIZED (
                SELECT event.unit, event.number, list_append(before.times, event.us) AS times
                FROM (SELECT * FROM chosen WHERE event_type = {selection.quoted(name)}) AS event
                ASOF JOIN chain_{place - 1} AS before ON event.unit = before.unit AND event.number > before.number
                WHERE event.us - before.times[1] <= {window!r}::DOUBLE
            )"""
        )
    every = " UNION ALL ".join(f"SELECT unit, number, times FROM chain_{n}" for n in range(1, len(funnel.steps) + 1))
    return f"""
        WITH chosen AS MATERIALIZED (
            SELECT {unit} AS unit, event_type, epoch_us(time) AS us,
                row_number() OVER (PARTITION BY {unit} ORDER BY {SESSION_ORDER}) AS number
            FROM {{events}} WHERE event_type IN ({wanted}) AND {unit} IS NOT NULL AND {member}
        ),
        {", ".join(chains)},
        furthest AS (
            SELECT arg_min(times, (-len(times), number)) AS times FROM ({every}) GROUP BY unit
        ),
        reached AS (SELECT times, unnest(range(1, len(times) + 1)) AS step FROM furthest)
        SELECT step, count(*), quantile_cont(times[step] - times[step - 1], 0.5) / 1e6
        FROM reached GROUP BY step ORDER BY step
    """
