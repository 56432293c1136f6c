"""The insights app as a visitor sees it."""

from __future__ import annotations

import re
from dataclasses import asdict
from itertools import pairwise

import pytest

from analytics_assets.core.files import read_json, write_json
from analytics_assets.core.lake import Lake
from analytics_assets_tests.dashboards import building
from analytics_assets_tests.dashboards.conftest import RunApp
from dashboards import selection, text
from dashboards.components import SYNTHETIC_LABEL
from dashboards.insights import overview
from dashboards.selection import Scope

SCRIPT = "visualize_analysis.py"


def everything(app) -> str:
    """All text on the page outside charts and tables, sidebar included."""
    blocks = (
        app.markdown,
        app.title,
        app.subheader,
        app.caption,
        app.info,
        app.error,
        app.warning,
        app.success,
        app.code,
    )
    return "\n".join(element.value for elements in blocks for element in elements)


def values(lake: Lake) -> dict[str, float]:
    return {metric["name"]: metric["value"] for metric in read_json(lake.analysis_results())["metrics"]}


def tiles(app) -> dict[str, str]:
    return {tile.label: tile.value for tile in app.metric}


def test_key_figures_equal_the_published_ones(built_lake: Lake, run_app: RunApp) -> None:
    app = run_app(SCRIPT, built_lake)
    assert not app.exception and not app.error
    published = values(built_lake)
    assert tiles(app) == {
        "Events": f"{published['events']:,}",
        "Users": f"{published['users']:,}",
        "Sessions": f"{published['sessions']:,}",
        "Average session": text.duration(published["session_seconds_mean"]),
    }
    assert f"**{published['events']:,} events**" in app.markdown[0].value
    over_events = text.duration(published["event_session_seconds_mean"])
    assert f"an average event lies in one of **{over_events}**" in app.markdown[0].value
    # The fixture must be able to tell the two means apart.
    assert text.duration(published["session_seconds_mean"]) != text.duration(published["event_session_seconds_mean"])


def test_every_chart_has_a_caption_and_words(built_lake: Lake, run_app: RunApp) -> None:
    app = run_app(SCRIPT, built_lake)
    charts = app.get("plotly_chart")
    assert len(charts) == 10
    assert all(chart.proto.alt for chart in charts)
    said = [element.value for element in (*app.caption, *app.markdown)]
    sources = [line for line in said if re.match(r"(:small\[:gray\[)?Source: ", line)]
    assert len(sources) == 13
    assert all("data as of 29 Mar 2021" in caption for caption in sources)


def test_findings_are_ranked_and_quote_hostile_names_as_text(lake: Lake, run_app: RunApp) -> None:
    results = read_json(lake.analysis_results())
    hostile = f"“{building.SCRIPT_EVENT}” and “{building.MARKDOWN_EVENT}” :red[x] $y$"
    found = [{"title": f"Finding {n}", "text": hostile, "source": "clean_events"} for n in range(7)]
    write_json(lake.analysis_results(), {**results, "findings": found})
    app = run_app(SCRIPT, lake)
    assert not app.exception and not app.error
    shown = [block.value for block in app.markdown if "**Finding" in block.value]
    assert [block.count("**Finding") for block in shown] == [5, 2]
    assert shown[0].startswith("1. **Finding 0**")
    for raw in ("<script>", "**x**", "](b)", ":red[", "$y$"):
        assert raw not in "".join(shown)
    assert "2 more" in [expander.label for expander in app.expander]


def test_without_findings_the_page_says_so(lake: Lake, run_app: RunApp) -> None:
    write_json(lake.analysis_results(), {**read_json(lake.analysis_results()), "findings": []})
    app = run_app(SCRIPT, lake)
    assert "No finding has enough support" in everything(app)


def test_a_year_narrows_the_figures(built_lake: Lake, run_app: RunApp) -> None:
    app = run_app(SCRIPT, built_lake)
    years = {entry["year"]: entry for entry in read_json(built_lake.analysis_results())["lists"]["years"]}
    app.sidebar.multiselect[0].set_value([2020]).run()
    assert not app.exception and not app.error
    # An event of 2020 lies in the delivery of 2021.
    assert tiles(app)["Events"] == str(years[2020]["events"]) == "62"
    assert "events of 2020" in everything(app)
    app.sidebar.multiselect[0].set_value([2021]).run()
    assert tiles(app)["Events"] == str(years[2021]["events"]) == "61"


def test_the_address_carries_the_years(built_lake: Lake, run_app: RunApp) -> None:
    app = run_app(SCRIPT, built_lake, years=["2021"])
    assert app.sidebar.multiselect[0].value == [2021]
    assert tiles(app)["Events"] == "61"
    wrong = run_app(SCRIPT, built_lake, years=["1999"])
    assert not wrong.exception
    assert tiles(wrong)["Events"] == "123"


def test_counting_equals_publishing(built_lake: Lake) -> None:
    """Counted over every year, the narrowed figures must be the published ones."""
    scope = Scope(built_lake, tuple(Scope(built_lake).all_years))
    published, counted = asdict(selection._published(scope)), asdict(selection._counted(scope))
    for name in ("session_seconds_mean", "event_session_seconds_mean"):
        assert counted.pop(name) == pytest.approx(published.pop(name))
    assert counted == published


def test_years_add_up(built_lake: Lake) -> None:
    scopes = [Scope(built_lake, (year,)) for year in Scope(built_lake).all_years]
    counted = [selection.figures(scope) for scope in scopes]
    assert all(scope.narrowed for scope in scopes)
    published = values(built_lake)
    assert sum(figures.events for figures in counted) == published["events"]
    assert sum(figures.sessions for figures in counted) == published["sessions"]
    assert [sum(map(sum, selection.by_weekday_and_hour(scope))) for scope in scopes] == [f.events for f in counted]
    assert [sum(entry["events"] for entry in scope.daily) for scope in scopes] == [f.events for f in counted]


def test_the_week_agrees_with_the_published_hours_and_weekdays(built_lake: Lake, run_app: RunApp) -> None:
    lists = read_json(built_lake.analysis_results())["lists"]
    counted = selection.by_weekday_and_hour(Scope(built_lake))
    weekdays = {entry["weekday"]: entry["events"] for entry in lists["weekdays"]}
    hours = {entry["hour"]: entry["events"] for entry in lists["hours"]}
    assert [sum(row) for row in counted] == [weekdays.get(day, 0) for day in range(1, 8)]
    assert [sum(column) for column in zip(*counted, strict=True)] == [hours.get(hour, 0) for hour in range(24)]
    busiest = max(weekdays, key=lambda day: weekdays[day])
    assert f"busiest on {overview.WEEKDAY_NAMES[busiest - 1]}" in run_app(SCRIPT, built_lake).markdown[0].value


def test_months_without_events_are_zero(built_lake: Lake) -> None:
    months = Scope(built_lake).months
    assert [entry["month"] for entry in months] == [f"2020-{n:02}" for n in range(3, 13)] + [
        "2021-01",
        "2021-02",
        "2021-03",
    ]
    assert [entry["events"] for entry in months] == [60, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 60]


def test_hostile_names_stay_text(built_lake: Lake, run_app: RunApp) -> None:
    app = run_app(SCRIPT, built_lake)
    rows = app.dataframe[0].value
    names = set(rows["From"]) | set(rows["To"])
    assert {building.SCRIPT_EVENT, building.MARKDOWN_EVENT} <= names
    assert not any(element.allow_html for element in app.markdown)
    figures = "".join(chart.proto.spec for chart in app.get("plotly_chart"))
    assert "alert(1)" in figures
    assert "<script>" not in figures


def test_a_hostile_top_event_is_a_code_span(lake: Lake, run_app: RunApp) -> None:
    results = read_json(lake.analysis_results())
    results["lists"]["top_events"][0]["event_type"] = "`:smile:` " + building.MARKDOWN_EVENT
    write_json(lake.analysis_results(), results)
    assert "`` `:smile:` **x** [a](b) `` alone is" in run_app(SCRIPT, lake).markdown[0].value


@pytest.mark.parametrize(
    ("model", "baseline", "words"), [(0.6, 0.4, "Yes: "), (0.4, 0.6, "Not by these models"), (0.5, 0.5, "No clear")]
)
def test_the_verdict_favours_nobody(lake: Lake, run_app: RunApp, model: float, baseline: float, words: str) -> None:
    results = read_json(lake.analysis_results())
    results["models"]["markov_chain"].update(
        markov1_accuracy=model, markov2_backoff_accuracy=model, repeat_accuracy=baseline, most_frequent_accuracy=0.1,
        test_transitions=1000,
    )  # fmt: skip
    write_json(lake.analysis_results(), results)
    assert any(element.value.startswith(words) for element in run_app(SCRIPT, lake).markdown)


def test_an_empty_lake_says_what_to_run(tmp_path, run_app: RunApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANALYTICS_DAGSTER_PORT", "3456")
    app = run_app(SCRIPT, Lake(tmp_path / "nothing"))
    assert not app.exception and not app.metric
    shown = everything(app)
    for words in ("`make demo`", "`yearly_job`", "`models_job`", "http://127.0.0.1:3456", "on generated sample data"):
        assert words in shown


def test_exports_without_chunks(tmp_path, run_app: RunApp) -> None:
    lake = Lake(tmp_path)
    building.write_exports(lake)
    app = run_app(SCRIPT, lake)
    assert not app.exception
    assert "`2020` and `2021`" in everything(app) and "on generated sample data" not in everything(app)


def test_ingested_years_without_figures(tmp_path, run_app: RunApp) -> None:
    lake = Lake(tmp_path)
    building.write_exports(lake)
    building.ingest(lake)
    app = run_app(SCRIPT, lake)
    assert not app.exception and not app.metric
    assert "`analysis_results`" in everything(app)
    assert "`clean_events` is missing" in everything(app)
    building.build_features(lake)
    assert "`clean_events` is missing" not in everything(run_app(SCRIPT, lake))


def damaged(content: bytes) -> list[bytes]:
    return [
        b"",
        b"[]",
        b"null",
        b'{"years": "2020"}',
        content[: len(content) // 2],
        b"\xff\xfe" + content,
        b"[" * 100_000,
    ]


@pytest.mark.parametrize("place", range(7))
def test_damaged_figures_become_a_message(lake: Lake, run_app: RunApp, place: int) -> None:
    path = lake.analysis_results()
    path.write_bytes(damaged(path.read_bytes())[place])
    app = run_app(SCRIPT, lake)
    assert not app.exception and not app.metric
    [error] = app.error
    assert "reports/analysis_results.json" in error.value and "`analysis_results` again" in error.value


@pytest.mark.parametrize("missing", ["metrics", "lists", "data_as_of", "models"])
def test_figures_of_another_shape_become_a_message(lake: Lake, run_app: RunApp, missing: str) -> None:
    results = read_json(lake.analysis_results())
    del results[missing]
    write_json(lake.analysis_results(), results)
    app = run_app(SCRIPT, lake)
    assert not app.exception
    assert missing in app.error[0].value


def test_a_damaged_table_leaves_the_other_parts(lake: Lake, run_app: RunApp) -> None:
    path = lake.feature("clean_events", "2021")
    path.write_bytes(path.read_bytes()[:-20])
    app = run_app(SCRIPT, lake)
    assert not app.exception
    [error] = app.error
    assert "features/clean_events/2021.parquet" in error.value and "`clean_events`" in error.value
    assert tiles(app)["Events"] == "123"
    app.sidebar.multiselect[0].set_value([2020]).run()
    assert not app.exception
    assert "features/clean_events/2021.parquet" in app.error[0].value


def test_missing_models_leave_the_other_parts(lake: Lake, run_app: RunApp) -> None:
    results = read_json(lake.analysis_results())
    results["models"] = {}
    write_json(lake.analysis_results(), results)
    app = run_app(SCRIPT, lake)
    assert not app.exception and not app.error
    assert "`markov_chain`" in everything(app) and "`kmeans_segments`" in everything(app)
    assert tiles(app)["Events"] == "123"


def test_a_new_materialization_is_seen(lake: Lake, run_app: RunApp) -> None:
    run_app(SCRIPT, lake)
    results = read_json(lake.analysis_results())
    for metric in results["metrics"]:
        if metric["name"] == "users":
            metric["value"] = 4321
    write_json(lake.analysis_results(), results)
    assert tiles(run_app(SCRIPT, lake))["Users"] == "4,321"


def test_figures_older_than_the_chunks_are_marked(lake: Lake, run_app: RunApp) -> None:
    assert not run_app(SCRIPT, lake).sidebar.warning
    manifest = read_json(lake.manifest("2021"))
    write_json(lake.manifest("2021"), {**manifest, "raw_digest": "other"})
    [warning] = run_app(SCRIPT, lake).sidebar.warning
    assert "`2021`" in warning.value and "`models_job`" in warning.value


def test_synthetic_data_are_labelled(lake: Lake, run_app: RunApp) -> None:
    assert SYNTHETIC_LABEL not in everything(run_app(SCRIPT, lake))
    results = read_json(lake.analysis_results())
    write_json(lake.analysis_results(), {**results, "synthetic": True})
    assert SYNTHETIC_LABEL in everything(run_app(SCRIPT, lake))


def test_headings_are_in_order(built_lake: Lake, run_app: RunApp) -> None:
    levels = [int(element.tag[1]) for element in run_app(SCRIPT, built_lake).main if getattr(element, "tag", None)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 2 for before, after in pairwise(levels))


def test_published_figures_lead_to_where_they_come_from(built_lake: Lake, run_app: RunApp) -> None:
    def linked(**filters: str | list[str]) -> set[str]:
        shown = everything(run_app(SCRIPT, built_lake, **filters))
        return set(re.findall(r"\(http://127\.0\.0\.1:8502/origins\?figure=([\w.]+)\)", shown))

    lists = {
        "daily", "top_events", "countries", "device_families", "entry_events", "exit_events", "top_transitions",
    }  # fmt: skip
    found = linked()
    assert found == {"events", *(f"lists.{name}" for name in lists)}
    for name in found:
        page = run_app("data_processing.py", built_lake, page="origins", figure=name)
        assert not page.exception and page.selectbox(key="figure").value == name
    assert linked(country=["Germany"]) == {"lists.top_transitions"}, "counted here, so not published"


@pytest.mark.parametrize("column", ["observed_country", "device_family", "event_type"])
def test_names_of_a_published_list_are_those_of_the_events(
    built_lake: Lake, monkeypatch: pytest.MonkeyPatch, column: str
) -> None:
    short = selection.names(Scope(built_lake), column)
    monkeypatch.setattr(selection, "TOP", 0)
    assert short == selection.names(Scope(built_lake), column)
    assert len(short) > 1
