"""Funnels: how far sessions or actors get along a list of steps, in order and in time.

Put here: configured funnels, finding funnels in the data, and counting both. Keep out: what follows what without a goal
(``sequences.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from analytics_assets.core.expressions import SESSION_ORDER
from analytics_assets.core.summaries.frames import Frames, by_population
from analytics_assets.core.summaries.sequences import CODES, MICROSECONDS, journeys, with_names
from analytics_assets.schemas import POPULATIONS, STREAMS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

CANDIDATES = 10_000
"""Most common journeys that discovery looks at: they must fit the driver's memory whatever the year holds."""

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Funnel:
    """One funnel to count; ``origin`` is configured or discovered, ``scope`` session or actor."""

    name: str
    origin: str
    scope: str
    window_minutes: float
    steps: tuple[str, ...]


def funnels(frames: Frames) -> DataFrame:
    """Conversion along configured and discovered funnels: see ``SPARK_FUNNELS``.

    Step k is reached by an event that comes after the one of step k - 1 and at most the window after the one of step 1.
    Events at equal times are in the order of a session (event_id, then uuid), which is a convention. The intervals are
    E. B. Wilson's (1927), Probable inference, the law of succession, and statistical inference, JASA 22, 209-212.
    """
    from pyspark.sql import functions as F

    chosen = [*configured(frames), *discovered(frames)]
    units = _walks(frames, chosen, "session").unionByName(_walks(frames, chosen, "actor"))
    reached = (
        by_population(units)
        .selectExpr("population", "funnel_number", "chain", "posexplode(chain) AS (place, us)")
        .selectExpr(
            "population", "funnel_number", "place + 1L AS step",
            "CASE WHEN place > 0 THEN us - chain[place - 1] END AS gap",
        )
        .groupBy("population", "funnel_number", "step")
        .agg(F.count(F.lit(1)).alias("reached"), F.expr("percentile(gap, 0.5D) / 1e6D AS median_seconds"))
    )  # fmt: skip
    every = _steps(frames, chosen).selectExpr(
        "*", f"explode(array({', '.join(repr(name) for name in POPULATIONS)})) AS population"
    )
    counted = every.join(reached, ["population", "funnel_number", "step"], "left").selectExpr(
        "* EXCEPT (reached)", "coalesce(reached, 0) AS reached"
    )
    funnel = "PARTITION BY population, funnel_number"
    shares = counted.selectExpr(
        "*",
        f"CAST(nullif(max(reached) OVER ({funnel}), 0) AS DOUBLE) AS first",
        f"CAST(nullif(lag(reached) OVER ({funnel} ORDER BY step), 0) AS DOUBLE) AS previous",
    ).selectExpr("*", "reached / first AS share_of_first", "reached / previous AS share_of_previous")
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    centre = f"(share_of_first + {z * z / 2!r}D / first)"
    spread = f"({z!r}D * sqrt(share_of_first * (1 - share_of_first) / first + {z * z / 4!r}D / (first * first)))"
    scale = f"(1 + {z * z!r}D / first)"
    return shares.selectExpr(
        "population", "funnel", "origin", "scope", "window_minutes", "step", "event_type", "reached", "share_of_first",
        "share_of_previous", f"greatest(0D, {centre} - {spread}) / {scale} AS share_low",
        f"least({scale}, {centre} + {spread}) / {scale} AS share_high", "median_seconds",
    )  # fmt: skip


def configured(frames: Frames) -> list[Funnel]:
    """The funnels of the settings."""
    return [
        Funnel(funnel.name, "configured", funnel.scope, float(funnel.window_minutes), funnel.steps)
        for funnel in frames.settings.funnels
    ]


def discovered(frames: Frames) -> list[Funnel]:
    """The journeys that most sessions contain: runs of distinct events in the intent stream of people's sessions.

    When no session is a person's, all sessions count. The runs have the length of the settings, or the greatest one
    below that occurs. A run that shares more than half of its events with one already chosen is passed over; ties go
    to the smallest events.
    """
    wanted = frames.settings.funnel_discovery
    if wanted.count == 0:
        return []
    intents = journeys(frames).where(f"stream = {STREAMS.index('intent')}")
    people = intents.where("is_person")
    source = intents if people.isEmpty() else people
    taken = {funnel.name for funnel in frames.settings.funnels}
    for length in range(wanted.steps, 1, -1):
        if runs := _distinct_runs(frames, source, length):
            found = []
            for place, steps in enumerate(_unlike(runs, wanted.count), 1):
                name = f"discovered {place}: {steps[0]} → {steps[-1]}"
                while name in taken:
                    name += " (discovered)"
                found.append(Funnel(name, "discovered", "session", float(wanted.window_minutes), steps))
            return found
    return []


def _distinct_runs(frames: Frames, journeys_: DataFrame, length: int) -> list[tuple[str, ...]]:
    """Runs of `length` distinct events, those of most sessions first."""
    from pyspark.sql import functions as F

    codes = CODES[:length]
    fields = ", ".join(f"get(codes, i + {n}) AS {code}" for n, code in enumerate(codes))
    runs = journeys_.selectExpr("session_key", f"inline(transform(codes, (code, i) -> struct({fields})))").where(
        f"{codes[-1]} IS NOT NULL AND size(array_distinct(array({', '.join(codes)}))) = {length}"
    )
    counted = runs.distinct().groupBy(*codes).agg(F.count(F.lit(1)).alias("sessions"))
    first = counted.orderBy(F.desc("sessions"), *codes).limit(CANDIDATES)
    names = [f"event_{code}" for code in codes]
    rows = with_names(frames, first, dict(zip(codes, names, strict=True))).orderBy(F.desc("sessions"), *codes)
    return [tuple(row) for row in rows.select(*names).collect()]


def _unlike(runs: Sequence[tuple[str, ...]], number: int) -> list[tuple[str, ...]]:
    kept: list[tuple[str, ...]] = []
    for run in runs:
        if len(kept) < number and all(len(set(run) & set(other)) * 2 <= len(run) for other in kept):
            kept.append(run)
    return kept


def _steps(frames: Frames, chosen: Sequence[Funnel]) -> DataFrame:
    """One row per funnel and step."""
    rows = [
        (number, funnel.name, funnel.origin, funnel.scope, funnel.window_minutes, step, event)
        for number, funnel in enumerate(chosen)
        for step, event in enumerate(funnel.steps, 1)
    ]
    return frames.spark.createDataFrame(
        rows,
        "funnel_number INT, funnel STRING, origin STRING, scope STRING, window_minutes DOUBLE, step BIGINT, "
        "event_type STRING",
    )


def _walks(frames: Frames, chosen: Sequence[Funnel], scope: str) -> DataFrame:
    """How far each unit of a scope got in each of its funnels: see `furthest_chains`."""
    own = {number: funnel for number, funnel in enumerate(chosen) if funnel.scope == scope}
    if scope == "session":
        unit, order = "session_key", "position"
        events = frames.steps.selectExpr(
            "session_key", "is_person", "is_top", "position", "event_type", f"{MICROSECONDS} AS us"
        )
    else:
        unit, order = "actor", SESSION_ORDER
        events = frames.events.where("actor IS NOT NULL").selectExpr(
            "actor", "is_person", "is_top", "event_id", "uuid", "event_type", "time", f"{MICROSECONDS} AS us"
        )
    return furthest_chains(events, own, unit, order).drop(unit)


def furthest_chains(events: DataFrame, chosen: Mapping[int, Funnel], unit: str, order: str) -> DataFrame:
    """How far each unit got in each funnel, for units that reached step 1 at least.

    A dynamic programme over the unit's events that are steps: ``chain_k`` of an event is the list of times of a chain
    of steps 1 to k that ends with it, continued from the last event before it that has a ``chain_k-1``. Chains that end
    later never start earlier, so this is the chain with the latest start: if it is too old, all are. An event looks
    only at those before it, so it serves one step of a chain.

    Parameters
    ----------
    events : DataFrame
        The column named by `unit`, ``is_person`` and ``is_top`` of the unit, the columns of `order`, ``event_type`` and
        ``us`` (bigint, microseconds), which never falls along the order.
    chosen : mapping
        Funnels by number.
    unit, order : str
        Column that tells units apart; total order of the events of one.

    Returns
    -------
    DataFrame
        ``funnel_number``, `unit`, ``is_person``, ``is_top`` and ``chain``: the times of the steps up to the furthest
        reached, as they were when that was first reached.
    """
    from pyspark.sql import functions as F

    longest = max((len(funnel.steps) for funnel in chosen.values()), default=1)
    rows = [
        (
            number,
            event,
            [step for step, name in enumerate(funnel.steps, 1) if name == event],
            funnel.window_minutes * 6e7,
        )
        for number, funnel in chosen.items()
        for event in sorted(set(funnel.steps))
    ]
    places = events.sparkSession.createDataFrame(
        rows, "funnel_number INT, event_type STRING, places ARRAY<INT>, window_us DOUBLE"
    )
    window = f"PARTITION BY funnel_number, {unit} ORDER BY {order}"
    walked = events.join(F.broadcast(places), "event_type").selectExpr(
        "*",
        f"row_number() OVER ({window}) AS number",
        "CASE WHEN array_contains(places, 1) THEN array(us) END AS chain_1",
    )
    for step in range(2, longest + 1):
        before = f"last(chain_{step - 1}, true) OVER ({window} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
        walked = walked.selectExpr("*", f"{before} AS before").selectExpr(
            "* EXCEPT (before)",
            f"CASE WHEN array_contains(places, {step}) AND us - before[0] <= window_us "
            f"THEN array_append(before, us) END AS chain_{step}",
        )
    chains = ", ".join(f"chain_{step}" for step in range(longest, 0, -1))
    return (
        walked.selectExpr("funnel_number", unit, "is_person", "is_top", "number", f"coalesce({chains}) AS chain")
        .where("chain IS NOT NULL")
        .groupBy("funnel_number", unit, "is_person", "is_top")
        .agg(F.expr("min_by(chain, struct(-size(chain), number)) AS chain"))
    )
