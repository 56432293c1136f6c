"""Pages "Geography" and "Devices & performance" of the insights app, against the events they are counted from."""

from __future__ import annotations

import duckdb
import pandas as pd
import pytest
from pyarrow import parquet

from analytics_assets.core.expressions import SYNCHRONISED
from analytics_assets.core.lake import Lake
from analytics_assets_tests.dashboards import rich_lake
from analytics_assets_tests.dashboards.conftest import RunApp
from analytics_assets_tests.dashboards.test_insights_app import everything, tiles
from dashboards.insights import devices_figures, geography, geography_figures
from dashboards.selection import Scope


@pytest.fixture
def rich(lake: Lake) -> Lake:
    rich_lake.enrich(lake)
    return lake


def table(app, column: str) -> pd.DataFrame:
    return next(element.value for element in app.dataframe if column in element.value.columns)


def counted(frame: pd.DataFrame, column: str, method: str) -> dict:
    """Events, those filled in and actors by place, a missing place under None."""
    frame = frame.assign(place=frame[column].astype(object).where(frame[column].notna(), None))
    return {
        name: (len(own), int((own[method].notna() & (own[method] != "observed")).sum()), own["actor"].nunique())
        for name, own in frame.groupby("place", dropna=False)
    }


def as_counted(places: list[geography_figures.Place]) -> dict:
    return {place.name: (place.events, place.imputed, place.actors) for place in places if not place.together}


def missing_as_none(found: dict) -> dict:
    return {None if pd.isna(name) else name: value for name, value in found.items()}


def test_countries_equal_the_events(rich: Lake, run_page: RunApp) -> None:
    events = rich_lake.events(rich)
    expected = missing_as_none(counted(events, "country", "country_method"))
    places = geography_figures.places(Scope(rich), "country")
    assert as_counted(places) == expected
    app = run_page("geography", rich)
    rows = table(app, "Actors")
    assert rows["Events"].sum() == len(events)
    assert (rows["As delivered"].sum() + rows["Filled in"].sum() + expected[None][0]) == len(events)
    assert tiles(app)["Countries"] == "3"


def test_a_way_down_adds_up_and_names_nobody(rich: Lake) -> None:
    scope = Scope(rich)
    for country in geography_figures.places(scope, "country"):
        if country.name is None:
            continue
        regions = geography_figures.places(scope, "region", country.name)
        assert sum(region.events for region in regions) == country.events
        events = rich_lake.events(rich)
        expected = missing_as_none(counted(events[events["country"] == country.name], "region", "region_method"))
        few = {name for name, (_, _, actors) in expected.items() if actors < 5 and name is not None}
        assert as_counted(regions) == {name: found for name, found in expected.items() if name not in few}
        together = [region for region in regions if region.together]
        assert len(together) == bool(few)
        for row in together:
            assert row.name is None and row.together == len(few)
            assert row.events == sum(expected[name][0] for name in few)
        for region in regions:
            if region.name is not None:
                cities = geography_figures.places(scope, "city", country.name, region.name)
                assert sum(city.events for city in cities) == region.events


def test_the_address_leads_into_a_country_and_a_region(rich: Lake, run_page: RunApp) -> None:
    app = run_page("geography", rich, in_country="United States")
    assert not app.exception
    events = rich_lake.events(rich)
    inside = events[events["country"] == "United States"]
    assert f"World › `United States`: **{len(inside)} events**" in everything(app)
    rows = table(app, "Region")
    assert rows["Events"].sum() == len(inside)
    assert "1 region with fewer than 5 actors each" in list(rows["Region"])
    assert rich_lake.HOSTILE_REGION not in everything(app) + "".join(rows["Region"])
    assert "fewer than 5" in list(rows["Actors"])
    app = run_page("geography", rich, in_country="United States", in_region="Main")
    assert not app.exception
    main = inside[inside["region"] == "Main"]
    assert f"World › `United States` › `Main`: **{len(main)} events**" in everything(app)
    assert list(table(app, "City")["City"]) == [rich_lake.HOSTILE_CITY]


def test_an_unknown_place_in_the_address_is_the_world(rich: Lake, run_page: RunApp) -> None:
    app = run_page("geography", rich, in_country="Atlantis", in_region="Main")
    assert not app.exception
    assert "World: **123 events**" in everything(app)


def test_a_region_with_few_actors_cannot_be_asked_for(rich: Lake, run_page: RunApp) -> None:
    app = run_page("geography", rich, in_country="United States", in_region=rich_lake.HOSTILE_REGION)
    assert not app.exception and "World › `United States`: **" in everything(app)


def test_a_click_on_a_row_leads_into_it(rich: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    state: dict = {}
    monkeypatch.setattr(geography.st, "session_state", state)

    class Chosen:
        def __init__(self, **fields: object) -> None:
            self.__dict__.update(fields)

    state["places-country"] = Chosen(selection=Chosen(rows=[1]))
    geography._enter_from_table("places-country", geography.COUNTRY_KEY, ["India", "Germany", None])
    assert state["in_country"] == "Germany" and state["in_region"] is None
    for rows in ([], [2]):
        state["places-country"] = Chosen(selection=Chosen(rows=rows))
        geography._enter_from_table("places-country", geography.COUNTRY_KEY, ["India", "Germany", None])
        assert state["in_country"] == "Germany"
    state[geography.MAP_KEY] = Chosen(selection=Chosen(points=[{"customdata": "IND"}]))
    geography._enter_from_map({"IND": "India"})
    assert state["in_country"] == "India"
    state[geography.MAP_KEY] = Chosen(selection=Chosen(points=[{"curve_number": 0}]))
    geography._enter_from_map({"IND": "India"})
    assert state["in_country"] == "India"


def test_methods_cover_every_event(rich: Lake) -> None:
    events = rich_lake.events(rich)
    found = geography_figures.methods(Scope(rich))
    for level in geography_figures.LEVELS:
        own = {method.method: method.events for method in found if method.level == level}
        assert sum(own.values()) == len(events)
        assert own.get("observed") == int((events[f"{level}_method"] == "observed").sum())
    confidence = {(method.level, method.method): method.confidence for method in found}
    assert confidence["country", "device_history"] == 0.5 and confidence["country", None] is None


def test_the_limit_of_clocks_is_the_pipelines() -> None:
    assert devices_figures.SYNCHRONISED == SYNCHRONISED


def test_latency_equals_the_events(rich: Lake, run_page: RunApp) -> None:
    events = rich_lake.events(rich)
    right = events[events["latency_ms"].abs() <= 60_000]
    found = devices_figures.Latencies.of(Scope(rich))
    overall = found.upload
    assert (overall.events, overall.left_out) == (len(right), len(events) - len(right))
    assert overall.left_out > 0
    assert (overall.median, overall.p95, overall.p99) == pytest.approx(
        tuple(right["latency_ms"].quantile([0.5, 0.95, 0.99]))
    )
    expected = right.groupby(right["time"].dt.strftime("%H"))["latency_ms"].median().to_dict()
    assert {row.name: row.median for row in found.by_hour if row.events} == pytest.approx(expected)
    observed = right["country"].where(right["country_method"] == "observed")
    assert {row.name: row.p95 for row in found.by_country if row.name} == pytest.approx(
        right.groupby(observed)["latency_ms"].quantile(0.95).to_dict()
    )
    assert found.processing.events == int(events["processing_ms"].notna().sum())
    assert found.processing.p95 == pytest.approx(events["processing_ms"].quantile(0.95))
    app = run_page("devices", rich)
    assert tiles(app)["Median upload latency"] == f"{overall.median:,.0f} ms"
    assert list(table(app, "Latency")["Events"]) == [overall.events, int(events["processing_ms"].notna().sum())]


def test_devices_equal_the_events(rich: Lake) -> None:
    events = rich_lake.events(rich)
    devices = devices_figures.Devices(Scope(rich))
    assert devices.events == len(events)
    assert dict(devices.ranking("device_family", 8)) == events["device_family"].value_counts().to_dict()
    versions = (events["os_name"] + " " + events["os_version"]).value_counts().to_dict()
    assert dict(devices.ranking("os_version", 8)) == versions
    rows, columns, values = devices.families_by_country(10, 1)
    observed = events["country"].where(events["country_method"] == "observed")
    assert columns == [events["device_family"].mode()[0], devices_figures.OTHER]
    for row, own in zip(rows, values, strict=True):
        assert sum(own) == int((observed.isna() if row is None else observed == row).sum())


def test_no_latency_at_all(lake: Lake, run_page: RunApp) -> None:
    for year in rich_lake.YEARS:
        for name in ("clean_events", "dropped_events"):
            path = lake.feature(name, year)
            found = duckdb.sql(
                "SELECT * REPLACE (NULL::DOUBLE AS latency_ms, NULL::VARCHAR AS platform) FROM read_parquet($path)",
                params={"path": str(path)},
            )
            parquet.write_table(found.to_arrow_table(), path)
    app = run_page("devices", lake)
    assert not app.exception and not app.error
    assert "no event has a latency that counts" in everything(app)
    assert tiles(app)["Median upload latency"] == "no data" and tiles(app)["Platform"] == "no data"
