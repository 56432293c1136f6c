"""Pages "Activity" and "Sessions" of the insights app, against the tables they are counted from."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from analytics_assets.core.files import read_json
from analytics_assets.core.lake import Lake
from analytics_assets_tests.dashboards import rich_lake
from analytics_assets_tests.dashboards.conftest import RunApp
from analytics_assets_tests.dashboards.test_insights_app import everything, tiles
from dashboards import selection, text
from dashboards.charts.country_places import country_places, has_one_clock
from dashboards.insights import activity_figures, comparison, sessions_figures
from dashboards.selection import Scope

FILTERS: list[dict[str, list[str]]] = [
    {},
    {"years": ["2020"], "country": ["Germany"]},
    {"device": ["iPhone"], "segment": ["0: everybody"]},
]
PAGES = ("activity", "sessions", "geography", "devices")


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_every_page_stands_under_every_filter(
    built_lake: Lake, run_page: RunApp, path: str, filters: dict[str, list[str]]
) -> None:
    app = run_page(path, built_lake, **filters)
    assert not app.exception and not app.error
    assert len(app.title) == 1 and app.title[0].value.endswith("?")
    charts = app.get("plotly_chart")
    assert len(app.metric) <= 4 and charts and all(chart.proto.alt for chart in charts)
    sources = [caption.value for caption in app.caption if caption.value.startswith("Source: ")]
    assert len(sources) >= len(charts)
    if filters:
        # What no filter narrows must say so.
        assert all(" of 2020, Germany" in source or " of iPhone, segment 0" in source for source in sources)
    keys = [button.key for button in app.download_button]
    assert keys and len(keys) == len(set(keys))


@pytest.mark.parametrize("path", PAGES)
def test_a_selection_without_events_says_so(built_lake: Lake, run_page: RunApp, path: str) -> None:
    app = run_page(path, built_lake, years=["2021"], days=["2020-03-02", "2020-03-09"])
    assert not app.exception and not app.error and not app.metric
    assert "in this selection" in everything(app)


@pytest.mark.parametrize("path", PAGES)
def test_a_damaged_table_becomes_a_message(lake: Lake, run_page: RunApp, path: str) -> None:
    name = "sessions" if path == "sessions" else "clean_events"
    broken = lake.feature(name, "2021")
    broken.write_bytes(broken.read_bytes()[:-20])
    app = run_page(path, lake)
    assert not app.exception
    assert [f"features/{name}/2021.parquet" in error.value for error in app.error] == [True]


def test_a_missing_table_becomes_a_message(lake: Lake, run_page: RunApp) -> None:
    lake.feature("sessions", "2021").unlink()
    app = run_page("sessions", lake)
    assert not app.exception
    assert "features/sessions/2021.parquet` is not there yet" in everything(app)


@pytest.mark.parametrize("path", PAGES)
def test_an_empty_lake_says_what_to_run(tmp_path, run_page: RunApp, path: str) -> None:
    app = run_page(path, Lake(tmp_path))
    assert not app.exception and not app.metric
    assert "`make demo`" in everything(app)


def test_months_are_whole_or_not_compared(built_lake: Lake) -> None:
    months = activity_figures.months(Scope(built_lake))
    # The data begin on 2 March 2020 and end on 29 March 2021.
    assert [month.name for month in months if not month.is_whole] == ["2020-03", "2021-03"]
    published = read_json(built_lake.analysis_results())["lists"]["months"]
    assert {m["month"]: m["is_complete"] for m in published} == {
        month.name: month.is_whole for month in months if month.events
    }
    assert months[-1].change is None and months[1].change is None
    # From 2 events in December to 1 in January.
    assert next(month for month in months if month.name == "2021-01").change == -0.5
    cut = activity_figures.months(Scope(built_lake, days=(date(2020, 12, 5), date(2021, 1, 31))))
    assert [(month.name, month.is_whole, month.change) for month in cut] == [
        ("2020-12", False, None),
        ("2021-01", True, None),
    ]


def test_busiest_days_are_those_of_the_events(built_lake: Lake) -> None:
    expected = rich_lake.events(built_lake)["time"].dt.date.value_counts()
    found = activity_figures.busiest_days(Scope(built_lake), 5)
    assert [day.events for day in found] == sorted(expected, reverse=True)[:5]
    assert all(expected[day.day] == day.events for day in found)
    # Most Mondays to Sundays of the year have no event at all.
    assert {day.usual for day in found} == {0.0}


def test_local_time_is_known_for_countries_with_one_clock(lake: Lake) -> None:
    rich_lake.enrich(lake)
    events = rich_lake.events(lake)
    known, unknown = activity_figures.by_clock(Scope(lake))
    sure = (events["country_method"] == "observed") & events["country"].isin(["India", "Germany"])
    assert known == [int((sure & (events["time"].dt.hour == hour)).sum()) for hour in range(24)]
    assert sum(known) + sum(unknown) == len(events)
    assert (has_one_clock("DEU"), has_one_clock("USA"), has_one_clock(None), has_one_clock("XXX")) == (
        True, False, False, False,
    )  # fmt: skip
    assert all(-90 <= place.latitude <= 90 and -180 <= place.longitude <= 180 for place in country_places().values())


def test_the_activity_page_says_what_was_counted(built_lake: Lake, run_page: RunApp) -> None:
    app = run_page("activity", built_lake)
    hours = rich_lake.events(built_lake)["time"].dt.strftime("%w %H").value_counts()
    assert tiles(app)["Days with events"] == str(sum(entry["events"] > 0 for entry in Scope(built_lake).daily))
    assert f"{hours.max()} events" in app.metric[0].delta
    months = next(table.value for table in app.dataframe if "Month" in table.value.columns)
    assert months["Events"].sum() == 123 and months["Covered"].iloc[0] == "in part"


def test_sessions_equal_the_published_and_the_counted(built_lake: Lake, run_page: RunApp) -> None:
    figures = sessions_figures.figures(Scope(built_lake))
    published = {metric["name"]: metric["value"] for metric in read_json(built_lake.analysis_results())["metrics"]}
    assert figures.sessions == published["sessions"]
    assert figures.over_sessions.mean == pytest.approx(published["session_seconds_mean"])
    assert figures.over_sessions.median == pytest.approx(published["session_seconds_median"])
    assert figures.over_events.mean == pytest.approx(published["event_session_seconds_mean"])
    assert figures.over_events.median == pytest.approx(published["event_session_seconds_median"])
    assert figures.bounces / figures.sessions == pytest.approx(published["bounce_share"])
    assert figures.single_events == published["single_event_sessions"]
    rows = rich_lake.sessions(built_lake)
    repeated = np.repeat(rows["seconds"], rows["events"])
    assert figures.over_events.p95 == pytest.approx(np.quantile(repeated, 0.95))
    assert figures.over_sessions.p95 == pytest.approx(np.quantile(rows["seconds"], 0.95))
    assert figures.over_new_year == 1
    app = run_page("sessions", built_lake)
    assert tiles(app)["Average session"] == text.duration(published["session_seconds_mean"])
    assert "cross New Year: 1." in everything(app)
    averages = next(table.value for table in app.dataframe if "Over" in table.value.columns)
    assert list(averages["Mean"]) == [
        text.duration(published["session_seconds_mean"]), text.duration(published["event_session_seconds_mean"])
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("column", "classes"), [("seconds", sessions_figures.DURATIONS), ("events", sessions_figures.EVENT_COUNTS)]
)
def test_classes_hold_every_session_once(built_lake: Lake, column: str, classes: tuple) -> None:
    found = sessions_figures.distribution(Scope(built_lake), column, classes)
    rows = rich_lake.sessions(built_lake)
    ends = [-1.0, *(end for end, _ in classes)]
    cut = pd.cut(rows[column], ends, labels=[name for _, name in classes])
    assert {name: number for name, number, _ in found} == rows.groupby(cut, observed=False).size().to_dict()
    assert {name: number for name, _, number in found} == rows.groupby(cut, observed=False)["events"].sum().to_dict()


def test_beginnings_and_ends(built_lake: Lake) -> None:
    rows = rich_lake.sessions(built_lake)
    scope = Scope(built_lake)
    entries = sessions_figures.entries(scope, 10)
    assert {entry.event: entry.sessions for entry in entries} == rows["entry"].value_counts().to_dict()
    bounces = rows[rows["intents"] <= 1]["entry"].value_counts().to_dict()
    assert {entry.event: entry.bounces for entry in entries if entry.bounces} == bounces
    assert dict(sessions_figures.exits(scope, 10)) == rows["exit"].value_counts().to_dict()
    starts = sessions_figures.starts(scope)
    assert sum(map(sum, starts)) == len(rows)
    assert starts[2][9] == int(((rows["start"].dt.day_of_week == 2) & (rows["start"].dt.hour == 9)).sum())


def test_the_latest_weeks_are_compared(built_lake: Lake) -> None:
    # With four weeks of events before and after: 29 March 2021 is not over.
    found = comparison.latest(Scope(built_lake))
    assert found is not None
    assert (found.previous.first, found.current.last) == (date(2021, 2, 1), date(2021, 3, 28))
    times = rich_lake.events(built_lake)
    own = times[(times["time"] >= "2021-03-01") & (times["time"] < "2021-03-29")]
    assert (found.current.events, found.current.users) == (len(own), own["user_id"].nunique())
    assert found.previous.events == 0 and found.change("events") is None
    rows = rich_lake.sessions(built_lake)
    started = rows[(rows["start"] >= "2021-03-01") & (rows["start"] < "2021-03-29")]
    assert found.current.sessions == len(started)
    assert found.current.session_seconds_mean == pytest.approx(started["seconds"].mean())


@pytest.mark.parametrize(
    ("scope", "last"),
    [
        ({}, date(2021, 3, 28)),
        ({"chosen": (2020,)}, date(2020, 12, 31)),
        ({"chosen": (2021,)}, date(2021, 3, 28)),
        ({"days": (date(2020, 5, 1), date(2020, 6, 30))}, date(2020, 6, 30)),
        ({"chosen": (2020,), "days": (date(2020, 5, 1), date(2021, 6, 30))}, date(2020, 12, 31)),
        ({"chosen": (2022,)}, None),
    ],
)
def test_the_last_whole_day(built_lake: Lake, scope: dict, last: date | None) -> None:
    assert comparison.last_whole_day(Scope(built_lake, **scope)) == last


def test_too_few_days_are_not_compared(built_lake: Lake, run_page: RunApp) -> None:
    assert comparison.latest(Scope(built_lake, days=(date(2021, 3, 1), date(2021, 3, 28)))) is None
    assert comparison.latest(Scope(built_lake, days=(date(2020, 3, 2), date(2020, 4, 20)))) is None
    compared = comparison.latest(Scope(built_lake, days=(date(2020, 3, 2), date(2020, 4, 26))))
    assert compared is not None and compared.previous.events > 0
    assert "to 31 Dec 2020 against" in everything(run_page("overview", built_lake, years=["2020"]))


def test_one_actor_that_makes_much_is_named(built_lake: Lake, run_page: RunApp) -> None:
    # Five users make a fifth each; one has the session over New Year, too.
    assert any("One actor makes 22 %" in warning.value for warning in run_page("activity", built_lake).main.warning)
    one = Scope(built_lake, countries=("Spain",), devices=("iPhone",))
    assert selection.top_actor_share(one) == 1.0
    assert selection.top_actor_share(Scope(built_lake, (2022,))) is None
