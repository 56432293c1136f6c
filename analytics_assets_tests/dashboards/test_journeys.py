"""Funnels and retention as counted on the pages against the published Spark summaries and plain Python.

Put here: the pages "Funnels" and "Retention & lifecycle". Keep out: the figures' looks (``test_charts.py``).
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import pytest

from analytics_assets.core.features.engine import open_engine
from analytics_assets.core.files import read_json, write_json, write_table
from analytics_assets.core.ingest.run import ingest_year
from analytics_assets.core.intervals import wilson
from analytics_assets.core.lake import Lake
from analytics_assets.core.results import analysis_results
from analytics_assets.core.settings import default_settings
from analytics_assets.core.summaries.run import summarize
from analytics_assets.schemas import POPULATIONS
from analytics_assets_tests.core.event_data import chunk_files, publish_features
from analytics_assets_tests.core.summaries.test_funnels import chain_by_hand
from analytics_assets_tests.dashboards.conftest import RunApp
from analytics_assets_tests.dashboards.test_insights_app import everything, tiles
from dashboards import text
from dashboards.insights import funnel_figures, funnels, retention_figures
from dashboards.insights.funnel_figures import Funnel
from dashboards.selection import Scope

YEAR = "2025"
SUMMARIES = ("spark_funnels", "spark_retention", "spark_user_lifecycle", "spark_stickiness")


class Counted(Scope):
    """A scope that counts even where nothing is left out."""

    narrowed_in_kind = True


@pytest.fixture(scope="session")
def journeys_lake(spark: Any, sample_lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """One year of the sample with its real Spark summaries."""
    lake = Lake(tmp_path_factory.mktemp("journeys"))
    lake.raw().mkdir(parents=True)
    lake.raw(YEAR).symlink_to(sample_lake.raw(YEAR))
    ingest_year(lake, YEAR)
    publish_features(lake, YEAR)
    found = summarize(
        spark, chunk_files(lake, YEAR), lake.feature("actors", YEAR), YEAR, default_settings(), names=SUMMARIES
    )
    for summary in found:
        write_table(lake.summary(YEAR, summary.table.name), summary.rows, summary.table)
    with open_engine(lake.staging() / "duckdb") as engine:
        write_json(lake.analysis_results(), analysis_results(engine, lake, [YEAR], ()))
    return lake


def events_of(lake: Lake, columns: str, where: str = "true") -> list[tuple[Any, ...]]:
    """Every accepted event in the order of a session, read without the code under test."""
    files = [str(lake.feature(name, YEAR)) for name in ("clean_events", "dropped_events")]
    return duckdb.execute(
        f"SELECT {columns} FROM read_parquet($files) WHERE {where} ORDER BY time, event_id NULLS LAST, uuid",
        {"files": files},
    ).fetchall()


def counted_by_hand(events: list[tuple[Any, ...]], funnel: Funnel) -> list[tuple[int, float | None]]:
    """Units and median seconds of each step, from rows of unit, event and microseconds."""
    walks: dict[Any, list[tuple[str, int]]] = defaultdict(list)
    for unit, name, us in events:
        if unit is not None:
            walks[unit].append((name, us))
    window = round(funnel.window_minutes * 60_000_000)
    chains = [chain for walk in walks.values() if (chain := chain_by_hand(walk, funnel.steps, window))]
    found: list[tuple[int, float | None]] = []
    for step in range(len(funnel.steps)):
        gaps = [chain[step] - chain[step - 1] for chain in chains if step and len(chain) > step]
        found.append((sum(len(chain) > step for chain in chains), median(gaps) / 1e6 if gaps else None))
    return found


def test_published_steps_give_the_published_figures(journeys_lake: Lake) -> None:
    scope = Scope(journeys_lake)
    published = funnel_figures.published(scope)
    assert {entry.population for entry in published} == set(POPULATIONS)
    assert any(0 < step.lost < step.previous for entry in published for step in entry.steps[1:])
    for entry in published:
        assert funnel_figures.counted(scope, entry.funnel, entry.population) == entry.steps, entry.name


FUNNELS = (
    Funnel(("home::overview::view", "search::query::submit"), "session", 30),
    Funnel(("home::overview::view", "home::overview::view", "home::overview::view"), "session", 60),
    Funnel(("session_start", "home::overview::view", "session_end"), "actor", 60 * 24 * 7),
    Funnel(("home::overview::view", "session_end", "home::overview::view", "session_end"), "actor", 60 * 24 * 30),
    Funnel(("session_start", "session_end"), "session", 0.01),
    Funnel(("session_start", "it's {events} that never happen"), "session", 60),
)


@pytest.mark.parametrize("funnel", FUNNELS)
def test_funnels_equal_plain_python(journeys_lake: Lake, funnel: Funnel) -> None:
    unit = "session_key" if funnel.scope == "session" else "actor"
    expected = counted_by_hand(events_of(journeys_lake, f"{unit}, event_type, epoch_us(time)"), funnel)
    steps = funnel_figures.counted(Scope(journeys_lake), funnel, "all")
    assert expected[0][0] > 0
    assert [(step.reached, step.median_seconds) for step in steps] == expected


def test_funnels_under_filters(journeys_lake: Lake) -> None:
    days = (date(2025, 3, 1), date(2025, 8, 31))
    scope = Scope(journeys_lake, days=days, countries=("United States",))
    where = (
        "time::DATE BETWEEN '2025-03-01' AND '2025-08-31' AND country_method = 'observed' AND country = 'United States'"
    )
    events = events_of(journeys_lake, "actor, event_type, epoch_us(time)", where)
    steps = funnel_figures.counted(scope, FUNNELS[3], "all")
    assert [(step.reached, step.median_seconds) for step in steps] == counted_by_hand(events, FUNNELS[3])
    assert 0 < steps[0].reached < funnel_figures.counted(Scope(journeys_lake), FUNNELS[3], "all")[0].reached


@pytest.mark.parametrize("population", POPULATIONS)
def test_counted_cohorts_equal_the_published_ones(journeys_lake: Lake, population: str) -> None:
    published, counted = Scope(journeys_lake), Counted(journeys_lake)
    for granularity in retention_figures.PERIODS:
        expected = retention_figures.cells(published, YEAR, granularity, population)
        assert any(0 < cell.active < cell.actors for cell in expected)
        assert retention_figures.cells(counted, YEAR, granularity, population) == expected
    for granularity in ("day", "week", "month"):
        states = retention_figures.states(published, YEAR, granularity, population)
        assert any(row.resurrected and row.dormant for row in states)
        assert retention_figures.states(counted, YEAR, granularity, population) == states
    activity = retention_figures.activity(published, YEAR, population)
    assert any(day.complete for day in activity)
    assert retention_figures.activity(counted, YEAR, population) == activity


def test_cohorts_under_a_filter(journeys_lake: Lake) -> None:
    """Weekly retention and 30-day actors of one country, by hand; days and years do not apply."""
    scope = Scope(journeys_lake, countries=("United States",), days=(date(2025, 6, 1), date(2025, 6, 2)))
    rows = events_of(
        journeys_lake,
        "actor, time::DATE",
        "country_method = 'observed' AND country = 'United States' AND year(time) = 2025",
    )
    active: dict[str, set[date]] = defaultdict(set)
    for actor, day in rows:
        active[actor].add(day)
    weeks = {actor: {day - timedelta(days=day.weekday()) for day in days} for actor, days in active.items()}
    cells = retention_figures.cells(scope, YEAR, "week", "all")
    assert len(cells) > 100
    for cell in cells:
        cohort = [own for own in weeks.values() if min(own) == cell.cohort]
        later = cell.cohort + timedelta(weeks=cell.period)
        assert (cell.actors, cell.active) == (len(cohort), sum(later in own for own in cohort))
    for day in retention_figures.activity(scope, YEAR, "all"):
        for number, window in ((day.dau, 1), (day.wau, 7), (day.mau, 30)):
            first = day.day - timedelta(days=window - 1)
            assert number == sum(any(first <= own <= day.day for own in days) for days in active.values())


def test_the_mean_curve_is_weighted_and_leaves_out_open_windows(journeys_lake: Lake) -> None:
    cells = retention_figures.cells(Scope(journeys_lake), YEAR, "week", "all")
    assert any(not cell.complete for cell in cells)
    points = {point.period: point for point in retention_figures.curve(cells)}
    listed = [row for row in read_json(journeys_lake.analysis_results())["lists"]["retention_weekly"]
              if row["population"] == "all"]  # fmt: skip
    assert len(listed) == len(points)
    for row in listed:
        point = points[row["week"]]
        assert (point.cohorts, point.actors, point.active) == (
            row["cohorts"], row["cohort_actors"], row["active_actors"],
        )  # fmt: skip
        assert point.share == pytest.approx(row["retention"], rel=1e-12)
        assert point.interval == wilson(row["active_actors"] / row["cohort_actors"], row["cohort_actors"])


def clean(app: Any) -> None:
    assert not app.exception and not app.error, everything(app)


def test_the_funnel_page_shows_the_published_figures(journeys_lake: Lake, run_page: RunApp) -> None:
    app = run_page("funnels", journeys_lake)
    clean(app)
    entry = next(entry for entry in funnel_figures.published(Scope(journeys_lake)) if entry.population == "all")
    first, last = entry.steps[0], entry.steps[-1]
    assert app.selectbox(key="funnel").value == entry.name
    shown = tiles(app)
    assert (shown["Began"], shown["Finished"]) == (text.count(first.reached), text.count(last.reached))
    assert shown["Conversion"] == text.exact_share(last.reached / first.reached)
    assert f"**{text.count(first.reached)} sessions**" in everything(app)
    [steps, *_] = app.dataframe
    assert list(steps.value["Reached"]) == [step.reached for step in entry.steps]
    assert list(steps.value["Median seconds"])[1:] == [step.median_seconds for step in entry.steps[1:]]
    assert all(chart.proto.alt for chart in app.get("plotly_chart"))


def test_own_steps_come_from_the_address(journeys_lake: Lake, run_page: RunApp) -> None:
    chosen = {"funnel": funnels.OWN, "step1": "session_start", "step2": "session_end", "per": "actor"}
    app = run_page("funnels", journeys_lake, **chosen, within_days="2", population="people")
    clean(app)
    funnel = Funnel(("session_start", "session_end"), "actor", 2 * 1440.0)
    steps = funnel_figures.counted(Scope(journeys_lake), funnel, "people")
    assert tiles(app)["Began"] == text.count(steps[0].reached)
    assert tiles(app)["Finished"] == text.count(steps[1].reached)
    # What is chosen on the page is what its address would ask for.
    app.selectbox(key="step3").set_value("home::overview::view").run()
    clean(app)
    same = run_page(
        "funnels", journeys_lake, **chosen, within_days="2", population="people", step3="home::overview::view"
    )
    assert tiles(same) == tiles(app) != {}
    assert same.selectbox(key="step3").value == "home::overview::view"


def test_published_steps_can_be_changed(journeys_lake: Lake, run_page: RunApp) -> None:
    app = run_page("funnels", journeys_lake)
    before = tiles(app)
    app.button[0].click().run()
    clean(app)
    assert app.selectbox(key="funnel").value == funnels.OWN
    assert tiles(app) == before, "the same steps, scope and window"
    app.selectbox(key="step2").set_value(None).run()
    clean(app)
    assert tiles(app) != before


def test_one_step_is_no_funnel_and_strange_addresses_do_no_harm(journeys_lake: Lake, run_page: RunApp) -> None:
    app = run_page("funnels", journeys_lake, funnel=funnels.OWN, step1="session_start", step2="<b>no event</b>")
    clean(app)
    assert "at least 2 steps" in everything(app) and not app.metric
    app = run_page("funnels", journeys_lake, funnel="gone", population="nobody", within_days="-3", per="week")
    clean(app)
    assert app.selectbox(key="population").value == "all"


def test_filters_narrow_the_funnel_and_not_the_comparison(journeys_lake: Lake, run_page: RunApp) -> None:
    app = run_page("funnels", journeys_lake, country=["United States"])
    clean(app)
    entry = next(entry for entry in funnel_figures.published(Scope(journeys_lake)) if entry.population == "all")
    narrow = funnel_figures.counted(Scope(journeys_lake, countries=("United States",)), entry.funnel, "all")
    assert tiles(app)["Began"] == text.count(narrow[0].reached) != text.count(entry.steps[0].reached)
    assert "do not apply to this comparison" in everything(app)


def test_the_retention_page_shows_the_published_figures(journeys_lake: Lake, run_page: RunApp) -> None:
    app = run_page("retention", journeys_lake)
    clean(app)
    results = read_json(journeys_lake.analysis_results())
    listed = {row["week"]: row for row in results["lists"]["retention_weekly"] if row["population"] == "all"}
    metrics = {metric["name"]: metric["value"] for metric in results["metrics"]}
    shown = tiles(app)
    assert shown["Back after 1 week"] == text.exact_share(listed[1]["retention"])
    assert shown["Back after 4 weeks"] == text.exact_share(listed[4]["retention"])
    assert shown["Last full day"] == text.count(metrics["daily_active_actors"])
    assert shown["Stickiness"] == text.exact_share(metrics["dau_mau"])
    assert "First seen means first in the delivery of 2025" in everything(app)
    assert len(app.get("plotly_chart")) == 4 and all(chart.proto.alt for chart in app.get("plotly_chart"))


def test_the_retention_page_by_day_and_under_filters(journeys_lake: Lake, run_page: RunApp) -> None:
    app = run_page(
        "retention", journeys_lake, cohorts="day", by="month", population="people", country=["United States"],
        days=["2025-03-01", "2025-03-31"],
    )  # fmt: skip
    clean(app)
    scope = Scope(journeys_lake, countries=("United States",))
    points = retention_figures.curve(retention_figures.cells(scope, YEAR, "day", "people"))
    assert tiles(app)["Back after 7 days"] == text.exact_share(points[7].share)
    assert "The filter of days does not apply here" in everything(app)


@pytest.mark.parametrize(("page", "table"), [("funnels", "spark_funnels"), ("retention", "spark_retention")])
def test_missing_and_damaged_tables_become_a_message(
    journeys_lake: Lake, run_page: RunApp, tmp_path: Path, page: str, table: str
) -> None:
    lake = Lake(Path(shutil.copytree(journeys_lake.root, tmp_path / "lake", symlinks=True)))
    path = lake.summary(YEAR, table)
    path.write_bytes(path.read_bytes()[:-30])
    app = run_page(page, lake)
    assert not app.exception
    assert f"summaries/{YEAR}/{table}.parquet" in app.error[0].value and f"`{table}`" in app.error[0].value
    path.unlink()
    app = run_page(page, lake)
    assert not app.exception and not app.error
    assert f"Materialize the asset `{table}`" in everything(app)
    if page == "funnels":
        app.selectbox(key="step1").set_value("session_start").run()
        app.selectbox(key="step2").set_value("session_end").run()
        assert not app.exception and tiles(app)["Began"], "own steps need no published funnel"


def test_an_empty_selection_says_so(journeys_lake: Lake, run_page: RunApp) -> None:
    scope = Scope(journeys_lake, countries=("Nowhere",))
    assert not retention_figures.cells(scope, YEAR, "week", "all")
    assert [step.reached for step in funnel_figures.counted(scope, FUNNELS[0], "all")] == [0, 0]
    assert [step.share_of_first for step in funnel_figures.counted(scope, FUNNELS[0], "all")] == [None, None]
    empty = replace(scope, days=(date(2025, 1, 1), date(2025, 1, 1)))
    assert all(not day.mau for day in retention_figures.activity(empty, YEAR, "all"))
