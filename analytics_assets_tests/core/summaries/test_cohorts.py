"""Retention, lifecycle and stickiness against plain Python sets of actors and dates, and their laws.

Put here: ``cohorts.py``. Keep out: years that hold next to nothing (``test_sequences.py``).
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from typing import Any

import pytest

from analytics_assets.core.summaries.cohorts import retention, stickiness, user_lifecycle
from analytics_assets.schemas import SPARK_RETENTION, SPARK_STICKINESS, SPARK_USER_LIFECYCLE
from analytics_assets_tests.core.event_data import assert_same_rows, events_of
from analytics_assets_tests.core.summaries.conftest import Dataset
from analytics_assets_tests.core.summaries.visits import visits_of

POPULATIONS = ("all", "people", "without_top_actor")
LAST_PERIODS = {"day": 30, "week": 52}
DAY = timedelta(days=1)


class Activity:
    """Dates inside the year of each actor, by population; and the first and last date of any event inside it."""

    def __init__(self, dataset: Dataset) -> None:
        year = int(dataset.year)
        inside = {event.time.date() for event in events_of(dataset.files) if event.time.year == year}
        self.first, self.last = min(inside), max(inside)
        self.dates: dict[str, dict[str, set[date]]] = {name: {} for name in POPULATIONS}
        for actor in visits_of(dataset.files).actors:
            dates = {event.time.date() for event in actor.events if event.time.year == year}
            for population in actor.populations:
                if dates:
                    self.dates[population][actor.key] = dates


def start_of(day: date, granularity: str) -> date:
    if granularity == "week":
        return day - DAY * day.weekday()
    return day.replace(day=1) if granularity == "month" else day


def end_of(start: date, granularity: str) -> date:
    day = start
    while start_of(day + DAY, granularity) == start:
        day += DAY
    return day


@pytest.fixture(scope="module")
def activity(dataset: Dataset) -> Activity:
    return Activity(dataset)


@pytest.fixture(scope="module")
def cohorts(dataset: Dataset) -> list[dict[str, Any]]:
    return dataset.table(SPARK_RETENTION, retention).to_pylist()


@pytest.fixture(scope="module")
def lifecycle(dataset: Dataset) -> list[dict[str, Any]]:
    return dataset.table(SPARK_USER_LIFECYCLE, user_lifecycle).to_pylist()


@pytest.fixture(scope="module")
def sticky(dataset: Dataset) -> list[dict[str, Any]]:
    return dataset.table(SPARK_STICKINESS, stickiness).to_pylist()


def test_data_hold_other_years(hostile: Dataset) -> None:
    """One event of the year 1 or 9999 must not make a row for every day in between."""
    years = {event.time.year for event in events_of(hostile.files)}
    assert {1, 1969, 2023, 2024, 2025, 9999} <= years
    dates = hostile.table(SPARK_STICKINESS, stickiness)["date"].to_pylist()
    assert len(dates) <= 3 * 366
    assert {day.year for day in dates} == {2024}


def test_retention(cohorts: list[dict[str, Any]], activity: Activity) -> None:
    expected = []
    for population, actors in activity.dates.items():
        for granularity, last in LAST_PERIODS.items():
            days = 1 if granularity == "day" else 7
            seen = {actor: {start_of(day, granularity) for day in dates} for actor, dates in actors.items()}
            members: dict[date, list[str]] = defaultdict(list)
            for actor, periods in seen.items():
                members[min(periods)].append(actor)
            for cohort, own in members.items():
                for age in range(last + 1):
                    start = cohort + DAY * days * age
                    if start <= activity.last:
                        back = sum(start in seen[actor] for actor in own)
                        row = {"population": population, "granularity": granularity, "cohort": cohort, "period": age}
                        counts = {"cohort_actors": len(own), "active_actors": back, "retention": back / len(own)}
                        complete = {"is_complete": end_of(start, granularity) < activity.last}
                        expected.append(row | counts | complete)
    assert_same_rows(cohorts, expected, SPARK_RETENTION.key)


def test_laws_of_retention(cohorts: list[dict[str, Any]], activity: Activity) -> None:
    assert all(0 <= row["retention"] <= 1 for row in cohorts)
    begun = [row for row in cohorts if row["period"] == 0]
    assert all(row["retention"] == 1 for row in begun)
    for population, actors in activity.dates.items():
        for granularity in LAST_PERIODS:
            own = [row for row in begun if (row["population"], row["granularity"]) == (population, granularity)]
            assert sum(row["cohort_actors"] for row in own) == len(actors)


def test_lifecycle(lifecycle: list[dict[str, Any]], activity: Activity) -> None:
    expected = []
    span = [activity.first + DAY * n for n in range((activity.last - activity.first).days + 1)]
    for population, actors in activity.dates.items():
        for granularity in ("day", "week", "month"):
            active: dict[date, set[str]] = defaultdict(set)
            for actor, dates in actors.items():
                for day in dates:
                    active[start_of(day, granularity)].add(actor)
            before: set[str] = set()
            known: set[str] = set()
            for period in sorted({start_of(day, granularity) for day in span}):
                now = active[period]
                row = {"population": population, "granularity": granularity, "period": period}
                counts = {
                    "active_actors": len(now),
                    "new_actors": len(now - known),
                    "returning_actors": len(now & before),
                    "resurrected_actors": len((now & known) - before),
                    "dormant_actors": len(before - now),
                }
                expected.append(row | counts | {"is_complete": end_of(period, granularity) < activity.last})
                before, known = now, known | now
    assert_same_rows(lifecycle, expected, SPARK_USER_LIFECYCLE.key)


def test_laws_of_lifecycle(lifecycle: list[dict[str, Any]], activity: Activity) -> None:
    before: dict[str, Any] = {}
    for row in lifecycle:
        assert row["active_actors"] == row["new_actors"] + row["returning_actors"] + row["resurrected_actors"]
        follows = before and all(before[name] == row[name] for name in ("population", "granularity"))
        previous = before["active_actors"] if follows else 0
        assert previous == row["returning_actors"] + row["dormant_actors"]
        before = row
    for population, actors in activity.dates.items():
        own = [row for row in lifecycle if (row["population"], row["granularity"]) == (population, "month")]
        assert sum(row["new_actors"] for row in own) == len(actors)
    assert any(row["resurrected_actors"] for row in lifecycle)


def test_stickiness(sticky: list[dict[str, Any]], activity: Activity) -> None:
    expected = []
    for population, actors in activity.dates.items():
        for n in range((activity.last - activity.first).days + 1):
            day = activity.first + DAY * n
            dau, wau, mau = (
                sum(any(day - DAY * back in dates for back in range(width)) for dates in actors.values())
                for width in (1, 7, 30)
            )
            expected.append(
                {
                    "population": population,
                    "date": day,
                    "dau": dau,
                    "wau": wau,
                    "mau": mau,
                    "dau_wau": dau / wau if wau else None,
                    "dau_mau": dau / mau if mau else None,
                    "is_complete": n >= 29,
                }
            )
    assert_same_rows(sticky, expected, SPARK_STICKINESS.key)


def test_laws_of_stickiness(sticky: list[dict[str, Any]], lifecycle: list[dict[str, Any]]) -> None:
    assert all(row["dau"] <= row["wau"] <= row["mau"] for row in sticky)
    daily = {
        (row["population"], row["period"]): row["active_actors"] for row in lifecycle if row["granularity"] == "day"
    }
    assert daily == {(row["population"], row["date"]): row["dau"] for row in sticky}
