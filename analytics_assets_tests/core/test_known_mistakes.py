"""Mistakes that analyses of such exports are known to make, each on the smallest data that shows it.

Put here: one test per mistake, over the published tables. Keep out: whole tables against references (``test_features``,
``summaries/``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from analytics_assets.core.features.engine import open_engine
from analytics_assets.core.features.quality import quality_report
from analytics_assets.core.files import read_json
from analytics_assets.core.lake import Lake
from analytics_assets.core.results import analysis_results
from analytics_assets.core.settings import FunnelSettings, default_settings
from analytics_assets.core.summaries.run import summarize
from analytics_assets.schemas import EVENT_CHUNKS, METRICS, SUMMARY_TABLES, TABLES
from analytics_assets_tests.core.event_data import Records, chunk_files, ingest, publish_features

YEAR = "2024"
Rows = list[dict[str, Any]]


def records() -> list[dict[str, Any]]:
    new = Records()
    ann = {
        "user_id": "ann",
        "amplitude_id": 1,
        "device_id": "d1",
        "country": "Norway",
        "region": "Oslo",
        "city": "Oslo",
    }
    bob = {"user_id": "bob", "amplitude_id": 2, "device_id": "d2", "country": "Peru", "region": None, "city": None}
    # One long session with a burst of renders, eight short ones.
    new.add("2024-03-04 10:00:00", "shop::cart:::view", **ann, session_id=1)
    for number in range(100):
        moment = f"2024-03-04 10:00:01.{number:03d}"
        new.add(moment, "shop::cart::render", **ann, session_id=1, os_version="9.1" if number % 2 else "10")
    new.add("2024-03-04 10:30:00", "shop::pay:::view", **ann, session_id=1)
    new.add("2024-03-04 11:00:00", "help::cart:::view", **ann, session_id=1)
    for number in range(8):
        new.add(f"2024-03-1{number} 12:00:00", "shop::pay:::view", **bob, session_id=10 + number)
        new.add(f"2024-03-1{number} 12:00:01", "shop::cart:::view", **bob, session_id=10 + number)
    # Nobody's login, two devices that opened a session in the same millisecond.
    for device in ("d8", "d9"):
        nobody = {"user_id": "EMPTY", "amplitude_id": None, "device_id": device}
        new.add("2024-03-20 08:00:00", "shop::cart:::view", **nobody, session_id=99)
    # Equal times: the counter says what came first, against the order of delivery.
    tie = {"user_id": "cid", "amplitude_id": 3, "device_id": "d3", "session_id": 50}
    new.add("2024-03-21 08:00:00", "tie::second", **tie, event_id=2)
    new.add("2024-03-21 08:00:00", "tie::first", **tie, event_id=1)
    # Stray days: months before the data, and one clock a year ahead.
    new.add("2023-12-31 08:00:00", "shop::cart:::view", **ann, session_id=-1)
    new.add("2024-02-28 08:00:00", "shop::cart:::view", **ann, session_id=-1)
    new.add("2025-01-01 08:00:00", "shop::cart:::view", **ann, session_id=-1)
    return new.made


FUNNEL = FunnelSettings(name="buy", steps=("shop::cart:::view", "shop::pay:::view"), scope="session", window_minutes=60)


@dataclass(frozen=True)
class Year:
    """Everything published about the records."""

    features: dict[str, Rows]
    quality: dict[str, Any]
    summaries: dict[str, Rows]
    metrics: dict[str, Any]

    def all(self, summary: str, **equal: Any) -> Rows:
        """Rows of a summary over all events with these values."""
        wanted = {"population": "all"} | equal
        return [row for row in self.summaries[summary] if all(row[name] == value for name, value in wanted.items())]


@pytest.fixture(scope="module")
def year(spark: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Year]:
    lake = Lake(tmp_path_factory.mktemp("mistakes"))
    settings = default_settings().model_copy(update={"funnels": (FUNNEL,)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANALYTICS_PII", "keep")
        ingest(lake, YEAR, records())
        paths = publish_features(lake, YEAR, settings)
        with open_engine(lake.staging() / "duckdb") as engine:
            quality = quality_report(engine, lake, YEAR, read_json(lake.manifest(YEAR)), settings)
            results = analysis_results(engine, lake, [YEAR], [])
        names = [
            *("spark_temporal_patterns", "spark_session_behavior", "spark_event_transitions", "spark_event_ngrams"),
            *("spark_funnels", "spark_device_usage", "spark_geography"),
        ]
        found = summarize(spark, chunk_files(lake, YEAR), paths["actors"], YEAR, settings, names=names)
        summaries = {result.table.name: result.rows.to_pylist() for result in found}
    features = {name: pq.read_table(path).to_pylist() for name, path in paths.items()}
    yield Year(features, quality, summaries, {metric["name"]: metric for metric in results["metrics"]})


def test_a_mean_over_events_is_not_called_a_mean_over_sessions(year: Year) -> None:
    durations = [row["duration_seconds"] for row in year.features["sessions"]]
    events = [row["events"] for row in year.features["sessions"]]
    per_session = sum(durations) / len(durations)
    per_event = sum(d * n for d, n in zip(durations, events, strict=True)) / sum(events)
    assert per_event > 5 * per_session
    assert year.metrics["session_seconds_mean"]["value"] == pytest.approx(per_session)
    assert year.metrics["event_session_seconds_mean"]["value"] == pytest.approx(per_event)
    assert "over sessions" in METRICS["session_seconds_mean"].label
    assert "over events" in METRICS["event_session_seconds_mean"].label
    means = {row["weighting"]: row["mean"] for row in year.all("spark_session_behavior", measure="duration_seconds")}
    assert means == pytest.approx({"sessions": per_session, "events": per_event})
    [day] = [row for row in year.features["daily_metrics"] if str(row["date"]) == "2024-03-10"]
    assert day["mean_session_seconds"] == 1.0


def test_outlier_sessions_are_counted_as_sessions(year: Year) -> None:
    [figure] = [figure for figure in year.quality["numeric"] if figure["name"] == "duration_seconds"]
    assert figure["grain"] == "session"
    assert figure["count"] == len(year.features["sessions"]) == 12


def test_a_sentinel_login_is_no_user_and_its_events_are_not_lost(year: Year) -> None:
    assert year.metrics["users"]["value"] == 3
    assert {row["actor"] for row in year.features["actors"]} == {
        "user:ann", "user:bob", "user:cid", "device:d8", "device:d9",
    }  # fmt: skip
    assert sum(row["events"] for row in year.features["user_features"]) == year.metrics["events"]["value"]


def test_session_ids_of_two_devices_are_two_sessions(year: Year) -> None:
    assert sum(row["session_id"] == 99 for row in year.features["sessions"]) == 2


def test_shares_of_events_are_not_called_shares_of_users_and_versions_are_not_numbers(year: Year) -> None:
    for name in ("spark_geography", "spark_device_usage"):
        assert "events over" in TABLES[name].column("event_share").description
        assert {"actors", "sessions"} <= set(TABLES[name].column_names)
    assert EVENT_CHUNKS.column("os_version").type == "string"
    assert "Browser on the web" in EVENT_CHUNKS.column("os_name").description
    versions = {row["value"] for row in year.all("spark_device_usage", dimension="os_version")}
    assert {"Chrome 9.1", "Chrome 10"} <= versions


def test_hours_say_that_they_are_utc() -> None:
    for table, column in (
        ("clean_events", "hour"),
        ("clean_events", "weekday"),
        ("sessions", "start_hour"),
        ("user_features", "peak_hour"),
        ("user_features", "weekend_share"),
        ("daily_metrics", "date"),
    ):
        assert "UTC" in TABLES[table].column(column).description, column
    assert "UTC" in TABLES["spark_temporal_patterns"].description


def test_duplicates_are_not_sought_in_rows_that_hold_a_unique_id(tmp_path: Path) -> None:
    lake, new = Lake(tmp_path), Records()
    for _ in range(2):
        new.add("2024-05-01 10:00:00", event_id=1, event_properties={}, **{"$insert_id": "same"})
    new.add("2024-05-01 10:00:00", event_id=1, event_properties={}, **{"$insert_id": "other"})
    ingest(lake, YEAR, new.made)
    dropped = pq.read_table(publish_features(lake, YEAR)["dropped_events"]).to_pylist()
    assert [(row["dropped_by"], row["reason"]) for row in dropped] == [("exact_duplicates", "repeats u-0000")]


def test_no_place_is_invented(year: Year) -> None:
    """Nothing is known about regions and cities of Peru: Oslo, the most frequent, must not be put there."""
    for row in year.features["clean_events"]:
        if row["country"] == "Peru":
            assert row["region"] is row["city"] is row["region_method"] is row["city_method"] is None


def test_pairs_and_gaps_never_cross_sessions(year: Year) -> None:
    pairs = year.all("spark_event_transitions", stream="raw", kind="transition")
    total = sum(row["events"] - 1 for row in year.features["sessions"])
    assert sum(row["transitions"] for row in pairs) == total
    assert not [row for row in pairs if row["from_event"] == "shop::cart:::view" and row["to_event"] == "tie::first"]
    first = {row["session_key"]: row for row in year.features["clean_events"] if row["position"] == 1}
    assert {row["seconds_since_previous"] for row in first.values()} == {None}


def test_equal_times_are_ordered_by_the_counter(year: Year) -> None:
    [pair] = [
        row
        for row in year.all("spark_event_transitions", stream="raw", kind="transition")
        if "tie::" in row["from_event"]
    ]
    assert (pair["from_event"], pair["to_event"], pair["ties"]) == ("tie::first", "tie::second", 1)


def test_a_burst_of_renders_does_not_own_the_pairs(year: Year) -> None:
    raw = max(year.all("spark_event_transitions", stream="raw", kind="transition"), key=lambda row: row["transitions"])
    assert (raw["from_event"], raw["to_event"], raw["transitions"], raw["sessions"]) == (
        "shop::cart::render", "shop::cart::render", 99, 1,
    )  # fmt: skip
    intent = year.all("spark_event_transitions", stream="intent", kind="transition")
    assert not [row for row in intent if row["from_event"] == row["to_event"] or "render" in row["from_event"]]
    runs = year.all("spark_event_ngrams", stream="intent", length=2)
    assert (runs[0]["event_1"], runs[0]["event_2"]) == ("shop::pay:::view", "shop::cart:::view")
    assert (runs[0]["occurrences"], runs[0]["sessions"]) == (8, 8)


def test_events_with_equal_endings_stay_apart(year: Year) -> None:
    nodes = {row["to_event"] for row in year.all("spark_event_transitions", stream="intent", kind="entry")}
    nodes |= {row["to_event"] for row in year.all("spark_event_transitions", stream="intent", kind="transition")}
    assert {name for name in nodes if name.endswith(":view")} == {
        "shop::cart:::view", "shop::pay:::view", "help::cart:::view",
    }  # fmt: skip


def test_a_funnel_is_ordered_and_carries_an_interval(year: Year) -> None:
    """Bob's eight sessions hold both steps, in the other order: only Ann's converts."""
    steps = sorted(year.all("spark_funnels", funnel="buy"), key=lambda row: row["step"])
    assert [row["reached"] for row in steps] == [11, 1]
    assert steps[1]["share_of_first"] == pytest.approx(1 / 11)
    assert 0 < steps[1]["share_low"] < 1 / 11 < steps[1]["share_high"] < 0.5
    assert steps[1]["median_seconds"] == 1800.0


def test_quartiles_come_from_all_sessions_and_the_longest_is_among_them(year: Year) -> None:
    [row] = year.all("spark_session_behavior", measure="duration_seconds", weighting="sessions")
    assert (row["observations"], row["max"], row["median"]) == (12, 3600.0, 1.0)


def test_weekdays_are_in_their_order_and_stray_days_are_marked(year: Year) -> None:
    weekdays = [row["bucket"] for row in year.all("spark_temporal_patterns", granularity="weekday")]
    assert weekdays == sorted(weekdays)
    months = {row["bucket"]: row for row in year.all("spark_temporal_patterns", granularity="month")}
    assert {name: row["in_year"] for name, row in months.items()} == {
        "2023-12": False, "2024-02": True, "2024-03": True, "2025-01": False,
    }  # fmt: skip
    changes = {name: row["events_change"] for name, row in months.items() if row["events_change"] is not None}
    assert set(changes) == {"2024-03"}
    days = {str(row["date"]): row["outside_year"] for row in year.features["daily_metrics"]}
    assert days["2023-12-31"] is days["2025-01-01"] is True
    assert len(days) == 2 + 23


def test_every_summary_says_which_population_it_is_about() -> None:
    """One machine must not own a chart: whoever reads a figure can have it without the most active actor."""
    for table in SUMMARY_TABLES:
        if table.name not in ("spark_dataset_overview", "spark_top_values"):
            assert table.key[0] == "population", table.name
