"""Does every summary account for exactly the events of its year?

Put here: what adds up to what in each Spark summary. Keep out: counts across other tables (``reconciliation.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from analytics_assets.checks.reconciliation import RECONCILIATION_CHECK

if TYPE_CHECKING:
    from analytics_assets.core.summaries.frames import Totals


@dataclass(frozen=True)
class Law:
    """What adds up in a summary.

    Parameters
    ----------
    statement : str
        In words.
    query : str
        One number per row over the view ``summary``; each must be the expected one.
    expected : callable
        The number, from the year's totals.
    at_most : bool
        A bound instead of an equality, where a table leaves rows out by design.
    """

    statement: str
    query: str
    expected: Callable[[Totals], int]
    at_most: bool = False


_OVER_ALL = "FROM summary WHERE population = 'all'"

LAWS: dict[str, tuple[Law, ...]] = {
    "spark_dataset_overview": (
        Law("events of every column = loaded records", "SELECT events FROM summary", lambda t: t.events),
        Law(
            "events with a session_key = events inside sessions",
            "SELECT events - nulls FROM summary WHERE column_name = 'session_key'",
            lambda t: t.session_events,
        ),
    ),
    "spark_top_values": (
        Law(
            "events of a column's top values <= loaded records",
            "SELECT sum(events) FROM summary GROUP BY column_name",
            lambda t: t.events,
            at_most=True,
        ),
        Law(
            "events / event_share = loaded records",
            "SELECT DISTINCT round(events / event_share) FROM summary",
            lambda t: t.events,
        ),
    ),
    "spark_temporal_patterns": (
        Law(
            "events of each granularity = loaded records",
            f"SELECT sum(events) {_OVER_ALL} GROUP BY granularity",
            lambda t: t.events,
        ),
    ),
    "spark_session_behavior": (
        Law(
            "observations weighted by events = events inside sessions",
            f"SELECT observations {_OVER_ALL} AND weighting = 'events'",
            lambda t: t.session_events,
        ),
        Law(
            "observations weighted by sessions = sessions",
            f"SELECT observations {_OVER_ALL} AND weighting = 'sessions'",
            lambda t: t.sessions,
        ),
    ),
    "spark_event_transitions": (
        Law(
            "raw transitions + entries = events inside sessions",
            f"SELECT sum(transitions) {_OVER_ALL} AND stream = 'raw' AND kind <> 'exit' HAVING count(*) > 0",
            lambda t: t.session_events,
        ),
        Law(
            "raw entries = raw exits = sessions",
            f"SELECT sum(transitions) {_OVER_ALL} AND stream = 'raw' AND kind <> 'transition' GROUP BY kind",
            lambda t: t.sessions,
        ),
    ),
    "spark_event_ngrams": (
        Law(
            "raw runs of two = events inside sessions - sessions",
            f"SELECT DISTINCT round(occurrences / occurrence_share) {_OVER_ALL} AND stream = 'raw' AND length = 2",
            lambda t: t.session_events - t.sessions,
        ),
    ),
    "spark_geography": (
        Law(
            "events of each level = loaded records",
            f"SELECT sum(events) {_OVER_ALL} GROUP BY level",
            lambda t: t.events,
        ),
    ),
    "spark_device_usage": (
        Law(
            "events of each dimension = loaded records",
            f"SELECT sum(events) {_OVER_ALL} GROUP BY dimension",
            lambda t: t.events,
        ),
    ),
    "spark_latency": (
        Law(
            "events with and without a latency = loaded records, by measure and dimension",
            f"SELECT sum(events + left_out) {_OVER_ALL} GROUP BY measure, dimension",
            lambda t: t.events,
        ),
    ),
    "spark_funnels": (
        Law(
            "sessions in a funnel's first step <= sessions",
            f"SELECT reached {_OVER_ALL} AND scope = 'session' AND step = 1",
            lambda t: t.sessions,
            at_most=True,
        ),
        Law(
            "actors in a funnel's first step <= actors",
            f"SELECT reached {_OVER_ALL} AND scope = 'actor' AND step = 1",
            lambda t: t.actors,
            at_most=True,
        ),
        Law(
            "steps that more units reached than the step before = 0",
            "SELECT count(*) FROM (SELECT reached > lag(reached) OVER (PARTITION BY population, funnel ORDER BY step) "
            "AS grows FROM summary) WHERE grows",
            lambda t: 0,
        ),
    ),
    "spark_retention": (
        Law(
            "actors of all cohorts = actors inside the year, by day and by week",
            f"SELECT sum(cohort_actors) {_OVER_ALL} AND period = 0 GROUP BY granularity",
            lambda t: t.year_actors,
        ),
    ),
    "spark_user_lifecycle": (
        Law(
            "new actors = actors inside the year, by each granularity",
            f"SELECT sum(new_actors) {_OVER_ALL} GROUP BY granularity",
            lambda t: t.year_actors,
        ),
    ),
    "spark_stickiness": (
        Law(
            "daily active actors = actors' active days inside the year",
            f"SELECT sum(dau) {_OVER_ALL} HAVING count(*) > 0",
            lambda t: t.year_actor_days,
        ),
    ),
}
"""Laws of each summary, over the population of all events."""


def summary_check_spec(table: str) -> dg.AssetCheckSpec:
    """Blocking check that a summary's laws hold and that Spark read every loaded record."""
    laws = "; ".join(law.statement for law in LAWS[table])
    return dg.AssetCheckSpec(
        RECONCILIATION_CHECK,
        asset=table,
        blocking=True,
        description=f"Loaded records of the manifest = events read by Spark, and: {laws}.",
    )


def check_summary(table: str, path: Path, totals: Totals, loaded: int) -> dg.AssetCheckResult:
    """Compare the published table at `path` with the year's totals, and those with the manifest's `loaded` records."""
    import duckdb

    from analytics_assets.core.features.engine import parquet

    found: dict[str, str | int] = {}
    kept = totals.events == loaded
    with duckdb.connect(":memory:") as engine:
        engine.execute(f"CREATE VIEW summary AS SELECT * FROM {parquet([path])}")
        for law in LAWS[table]:
            expected = law.expected(totals)
            # A table without rows accounts for nothing.
            numbers = [int(number) for (number,) in engine.execute(law.query).fetchall()] or [0]
            kept &= all(number <= expected if law.at_most else number == expected for number in numbers)
            found[law.statement] = f"{', '.join(map(str, sorted(set(numbers))))}; expected {expected}"
    return dg.AssetCheckResult(
        asset_key=table,
        check_name=RECONCILIATION_CHECK,
        passed=kept,
        metadata={"loaded_records": loaded, "events_read": totals.events, **found},
    )
