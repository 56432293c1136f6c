"""The quality report of a year against pandas, numpy and scipy, and years in which there is little to measure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.features.grades import GRADED_COLUMNS, GRADES
from analytics_assets.core.files import json_bytes, read_json
from analytics_assets.core.lake import Lake
from analytics_assets.core.settings import Settings, default_settings
from analytics_assets.schemas import CLEAN_EVENTS
from analytics_assets_tests.core.event_data import chunk_files, events_of, hostile_records, ingest, publish_features
from analytics_assets_tests.core.quality_data import (
    actors_of,
    make_year,
    publish,
    random_events,
    report_of,
    sessions_of,
    user_features_of,
)

YEAR = "2024"


def near(value: float) -> Any:
    return pytest.approx(value, rel=1e-9, abs=1e-12)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake of two years; read only."""
    return Lake(tmp_path_factory.mktemp("quality"))


@pytest.fixture(scope="module")
def events(lake: Lake) -> pd.DataFrame:
    """Accepted events of the year under test."""
    make_year(lake, "2023", random_events(1, year=2023))
    return make_year(lake, YEAR, random_events(2))


@pytest.fixture(scope="module")
def report(lake: Lake, events: pd.DataFrame) -> dict[str, Any]:
    return report_of(lake, YEAR)


def test_sections(lake: Lake, report: dict[str, Any]) -> None:
    manifest = read_json(lake.manifest(YEAR))
    assert report["quality_version"] == 2
    assert (report["year"], report["raw_digest"], report["profile"]) == (YEAR, "digest", "conservative")
    assert report["ingestion"] == {**manifest["total"], "reasons": {}}
    assert report["waterfall"] == read_json(lake.cleaning_report(YEAR))["waterfall"]


def test_the_dashboards_can_read_it(report: dict[str, Any]) -> None:
    from dashboards import shapes

    shapes.check(report, shapes.QUALITY)


def test_columns(events: pd.DataFrame, report: dict[str, Any]) -> None:
    clean = events[~events["dropped"]]
    assert [figure["column"] for figure in report["columns"]] == CLEAN_EVENTS.column_names
    for figure in report["columns"]:
        name = figure["column"]
        values = clean[name].dropna() if name in clean else pd.Series([], dtype=object)
        assert figure["nulls"] == len(clean) - len(values)
        assert figure["null_share"] == near(1 - len(values) / len(clean))
        assert figure["distinct_values"] == values.nunique()
        if not len(values):
            assert figure["uniqueness"] is figure["top_share"] is figure["min"] is figure["max"] is None
            continue
        assert figure["uniqueness"] == near(values.nunique() / len(values))
        assert figure["top_share"] == near(values.value_counts().max() / len(values))
        kind = CLEAN_EVENTS.column(name).type
        if name == "amplitude_id":
            assert figure["min"] is figure["max"] is None, "it names a person"
        elif kind == "timestamp":
            assert (pd.Timestamp(figure["min"]), pd.Timestamp(figure["max"])) == (values.min(), values.max())
        elif kind in ("int64", "float64"):
            assert (figure["min"], figure["max"]) == (values.min(), values.max())
        else:
            assert figure["min"] is figure["max"] is None


def test_imbalance(events: pd.DataFrame, report: dict[str, Any]) -> None:
    clean = events[~events["dropped"]]
    for figure in report["imbalance"]:
        if figure["column"] not in clean:
            assert figure["distinct_values"] == figure["effective_values"] == 0 and figure["top_value"] is None
            continue
        counts = clean[figure["column"]].value_counts()
        bits = stats.entropy(counts, base=2)
        assert figure["top_value"] == min(counts[counts == counts.max()].index)
        assert figure["top_share"] == near(counts.max() / counts.sum())
        assert figure["entropy_bits"] == near(bits)
        assert figure["effective_values"] == near(2**bits)


def test_numbers_are_taken_at_their_own_grain(events: pd.DataFrame, report: dict[str, Any]) -> None:
    visits, actors = sessions_of(events), actors_of(events)
    inside = events[~events["outside_year"]]
    days = inside.set_index("time").resample("D")["uuid"].size()
    assert (days == 0).any(), "the data must have a day without events"
    expected = {
        "duration_seconds": visits["duration_seconds"],
        "events_per_session": visits["events"],
        "intent_events_per_session": visits["intent_events"],
        "latency_ms": events["latency_ms"][events["latency_ms"].abs() <= 60_000],
        "processing_ms": events["processing_ms"].dropna(),
        "events_per_actor": actors["events"],
        "events_per_day": days,
    }
    assert [figure["name"] for figure in report["numeric"]] == list(expected)
    for figure in report["numeric"]:
        values = expected[figure["name"]].to_numpy(np.float64)
        q1, median, q3 = np.percentile(values, [25, 50, 75])
        low, high = q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1)
        far = np.abs(values - values.mean()) > 3 * values.std(ddof=1)
        assert figure["count"] == len(values)
        wanted = {"mean": values.mean(), "std": values.std(ddof=1), "q1": q1, "median": median, "q3": q3}
        wanted |= {"min": values.min(), "max": values.max(), "skewness": stats.skew(values)}
        wanted |= {"excess_kurtosis": stats.kurtosis(values)}
        for name, value in wanted.items():
            assert figure[name] == near(value), (figure["name"], name)
        fences = figure["iqr"]
        assert (fences["low"], fences["high"]) == (near(low), near(high))
        assert (fences["below"], fences["above"]) == ((values < low).sum(), (values > high).sum())
        assert fences["share"] == near(((values < low) | (values > high)).mean())
        assert (figure["z"]["outliers"], figure["z"]["share"]) == (far.sum(), near(far.mean()))


def test_correlations(events: pd.DataFrame, report: dict[str, Any]) -> None:
    by_actor, by_session = report["correlations"]
    for found, frame in ((by_actor, user_features_of(actors_of(events))), (by_session, sessions_of(events))):
        assert found["rows"] == len(frame)
        names = found["columns"]
        for i, j in ((0, 1), (1, 2), (len(names) - 1, 0)):
            both = frame[[names[i], names[j]]].dropna().to_numpy(np.float64)
            assert found["pearson"][i][j] == near(stats.pearsonr(both[:, 0], both[:, 1]).statistic)
            assert found["spearman"][i][j] == near(stats.spearmanr(both[:, 0], both[:, 1]).statistic)
    assert {"peak_hour", "start_hour", "start_weekday", "session_id"}.isdisjoint(
        by_actor["columns"] + by_session["columns"] + by_actor["constant_columns"] + by_session["constant_columns"]
    )
    assert [(pair["first"], pair["second"]) for pair in by_actor["strong_pairs"]] == [("tenure_days", "recency_days")]


def test_time(events: pd.DataFrame, report: dict[str, Any]) -> None:
    times = report["time"]
    assert times["events"] == len(events)
    assert pd.Timestamp(times["first_event_time"]) == events["time"].min()
    assert pd.Timestamp(times["last_event_time"]) == events["time"].max()
    outside = events[events["outside_year"]]["time"].dt.year.astype(str).value_counts()
    assert times["outside_year_by_year"] == outside.to_dict() and times["events_outside_year"] == outside.sum() > 0
    delay = events["delay"]
    ends = {"up to 1 minute": 60, "up to 1 hour": 3600, "up to 1 day": 86_400, "up to 7 days": 604_800}
    expected, before = {}, -np.inf
    for name, end in ends.items():
        expected[name] = int(((delay > before) & (delay <= end)).sum())
        before = end
    expected |= {"more than 7 days": int((delay > 604_800).sum()), "unknown": int(delay.isna().sum())}
    assert times["upload_delay"] == expected
    assert times["late_share"] == near((delay.dropna() > 86_400).mean())


def test_clock(events: pd.DataFrame, report: dict[str, Any]) -> None:
    known = events["latency_ms"].dropna()
    clock = report["clock"]
    assert clock["measured_events"] == len(known) == sum(clock["skew"].values())
    assert clock["synchronized_events"] == (known.abs() <= 60_000).sum()
    assert clock["synchronized_share"] == near((known.abs() <= 60_000).mean())
    assert clock["skew"]["ahead by 1 hour to 1 day"] == (known == -3_600_001.0).sum() > 0
    assert clock["skew"]["behind by 1 minute to 1 hour"] == (known == 60_000.001).sum() > 0
    for name in ("upload_after_receipt", "client_event_after_receipt", "event_after_receipt"):
        assert clock[name] == (known < 0).sum()


def test_order_and_identity(events: pd.DataFrame, report: dict[str, Any]) -> None:
    inside = events[events["session_key"].notna()]
    gaps = inside.sort_values(["session_key", "time"]).groupby("session_key")["time"].diff().dropna()
    order = report["order"]
    assert order["events_in_sessions"] == len(inside)
    assert order["steps"] == len(gaps)
    assert order["tied_steps"] == (gaps == pd.Timedelta(0)).sum() > 0
    assert order["burst_steps"] == (gaps < pd.Timedelta(milliseconds=50)).sum() > order["tied_steps"]
    assert order["tied_step_share"] == near(order["tied_steps"] / len(gaps))
    assert order["burst_step_share"] == near(order["burst_steps"] / len(gaps))
    tied = inside.groupby(["session_key", "time"])["uuid"].transform("size") > 1
    assert report["identity"] == {
        "actors": events["actor"].nunique(),
        "users": events["user_id"].nunique(),
        "devices": events["device_id"].nunique(),
        "sessions": inside["session_key"].nunique(),
        "events_without_actor": events["actor"].isna().sum(),
        "events_of_sentinels": 0,
        "events_without_session": events["session_key"].isna().sum(),
        "tied_events": tied.sum(),
    }


def test_geography(events: pd.DataFrame, report: dict[str, Any]) -> None:
    methods = {(entry["place"], entry["method"]): entry for entry in report["geography"]["methods"]}
    for place in ("country", "region", "city"):
        known = int(events[place].notna().sum())
        assert methods[place, "observed"]["events"] == known
        assert methods[place, "observed"]["mean_confidence"] == 1
        assert methods[place, "observed"]["share"] == near(known / len(events))
    assert methods["country", "unknown"]["events"] == events["country"].isna().sum()
    assert methods["country", "unknown"]["mean_confidence"] is None


def headlines_of(events: pd.DataFrame, visits: pd.DataFrame, actors: pd.DataFrame) -> dict[str, float]:
    latency = events["latency_ms"][events["latency_ms"].abs() <= 60_000]
    carried = np.repeat(visits["duration_seconds"].to_numpy(), visits["events"].to_numpy())
    return {
        "events": len(events),
        "sessions": len(visits),
        "mean_session_seconds": visits["duration_seconds"].mean(),
        "median_session_seconds": visits["duration_seconds"].median(),
        "event_mean_session_seconds": carried.mean(),
        "events_per_session": visits["events"].mean(),
        "mean_latency_ms": latency.mean(),
        "events_per_actor": actors["events"].mean(),
    }


def test_concentration(events: pd.DataFrame, report: dict[str, Any]) -> None:
    visits, actors, found = sessions_of(events), actors_of(events), report["concentration"]
    [top] = actors[actors["is_top_actor"]]["actor"]
    everyone = headlines_of(events, visits, actors)
    others = headlines_of(
        events[events["actor"] != top], visits[visits["actor"] != top], actors[actors["actor"] != top]
    )
    assert {entry["name"] for entry in found["headlines"]} == set(everyone)
    for entry in found["headlines"]:
        name = entry["name"]
        assert (entry["value"], entry["without_top_actor"]) == (near(everyone[name]), near(others[name])), name
        assert entry["relative_change"] == near(others[name] / everyone[name] - 1)
    assert found["top_actor_share"] == near(actors["events"].max() / actors["events"].sum())
    amounts = actors["events"].to_numpy(np.float64)
    assert found["gini"] == near(np.abs(amounts[:, None] - amounts).mean() / (2 * amounts.mean()))
    for entry in found["classes"]:
        kind = entry["actor_class"]
        for name, frame in (("actors", actors), ("events", events), ("sessions", visits)):
            assert entry[name] == (frame["actor_class"] == kind).sum()
            assert entry[f"{name}_share"] == near((frame["actor_class"] == kind).mean())


def graded(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {grade["name"]: grade for grade in report["grades"]}


def test_grades_hold_the_figures_against_the_limits(report: dict[str, Any]) -> None:
    found, limits = graded(report), default_settings().quality
    assert list(found) == list(GRADES)
    nulls = {c["column"]: c["null_share"] for c in report["columns"] if c["column"] in GRADED_COLUMNS}
    nulls = {name: share for name, share in nulls.items() if name not in limits.optional_columns}
    assert found["nulls_within_limits"]["value"] == max(nulls.values())
    assert {entry["name"] for entry in found["nulls_within_limits"]["offenders"]} <= set(nulls)
    assert found["clocks_synchronized"]["value"] == near(1 - report["clock"]["synchronized_share"])
    assert found["arrives_in_time"]["value"] == report["time"]["late_share"]
    assert found["actors_known"]["value"] == near(report["identity"]["events_without_actor"] / report["time"]["events"])
    changes = [abs(entry["relative_change"]) for entry in report["concentration"]["headlines"]]
    assert found["not_dominated_by_one_actor"]["value"] == max(changes) > 0.05
    assert not found["not_dominated_by_one_actor"]["passed"]
    multiples = [column["times_limit"] for column in report["drift"]["columns"]]
    assert found["stable_against_previous_year"]["value"] == max(multiples)
    for grade in found.values():
        assert grade["what"] and grade["passed"] == (grade["value"] <= grade["limit"])
        assert all(entry["value"] > 0 for entry in grade["offenders"])
        assert grade["passed"] != bool(grade["offenders"])


LIMITS = {
    "nulls_within_limits": "max_null_share",
    "times_within_year": "max_outside_year_share",
    "clocks_synchronized": "max_skewed_clock_share",
    "arrives_in_time": "max_late_share",
    "actors_known": "max_without_actor_share",
    "outliers_within_limits": "max_outlier_share",
    "not_dominated_by_one_value": "max_imbalance_share",
}


def with_limits(limit: float) -> Settings:
    base = default_settings()
    quality = base.quality.model_copy(update=dict.fromkeys(LIMITS.values(), limit))
    actors = base.actors.model_copy(update={"top_actor_limit": limit})
    return base.model_copy(update={"quality": quality, "actors": actors})


@pytest.mark.parametrize(("limit", "passed"), [(0.0, False), (1.0, True)])
def test_every_limit_can_be_met_and_missed(lake: Lake, events: pd.DataFrame, limit: float, passed: bool) -> None:
    found = graded(report_of(lake, YEAR, with_limits(limit)))
    assert {name: found[name]["passed"] for name in LIMITS} == dict.fromkeys(LIMITS, passed)
    assert found["not_dominated_by_one_actor"]["passed"] is passed


def test_a_rerun_in_another_order_is_byte_identical(
    lake: Lake, events: pd.DataFrame, report: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    originals = {
        lake.feature(table, YEAR): lake.feature(table, YEAR).read_bytes()
        for table in ("clean_events", "dropped_events")
    }
    shuffled = events.sample(frac=1, random_state=4)
    try:
        publish(lake, "clean_events", YEAR, shuffled[~shuffled["dropped"]])
        publish(lake, "dropped_events", YEAR, shuffled[shuffled["dropped"]])
        monkeypatch.setenv("ANALYTICS_THREADS", "4")
        assert json_bytes(report_of(lake, YEAR)) == json_bytes(report)
    finally:
        for path, content in originals.items():
            path.write_bytes(content)


def nothing(events: pd.DataFrame) -> pd.DataFrame:
    return events.head(0)


def one_user(events: pd.DataFrame) -> pd.DataFrame:
    return events[events["actor"] == events["actor"].mode()[0]]


def one_type(events: pd.DataFrame) -> pd.DataFrame:
    return events.assign(event_type="a::view")


def no_places(events: pd.DataFrame) -> pd.DataFrame:
    return events.assign(country=None, region=None, city=None)


def no_clocks(events: pd.DataFrame) -> pd.DataFrame:
    return events.assign(latency_ms=np.nan, processing_ms=np.nan, delay=np.nan)


def one_event(events: pd.DataFrame) -> pd.DataFrame:
    return events[events["session_key"].notna()].head(1)


def nobody(events: pd.DataFrame) -> pd.DataFrame:
    return events.assign(actor=None, user_id=None, session_key=None, actor_class="sentinel")


CASES = [nothing, one_user, one_type, no_places, no_clocks, one_event, nobody]


BEFORE = [(nothing, nothing), (nothing, one_user), (one_user, nothing), (no_clocks, one_user), (one_type, no_clocks)]


@pytest.mark.parametrize(("case", "before"), [*((case, None) for case in CASES), *BEFORE])
def test_years_with_little_to_measure(
    tmp_path_factory: pytest.TempPathFactory,
    case: Callable[[pd.DataFrame], pd.DataFrame],
    before: Callable[[pd.DataFrame], pd.DataFrame] | None,
) -> None:
    from dashboards import shapes

    lake = Lake(tmp_path_factory.mktemp("little"))
    events = random_events(6, rows=300, actors=9)
    if before:
        make_year(lake, "2023", before(random_events(7, rows=300, actors=9, year=2023)))
    frame = make_year(lake, YEAR, case(events))
    report = report_of(lake, YEAR)
    shapes.check(report, shapes.QUALITY)
    assert json_bytes(report)  # refuses NaN and infinity
    assert report["time"]["events"] == len(frame)
    assert (report["drift"] is None) is (before is None)
    found = graded(report)
    if case is nothing:
        assert all(grade["passed"] for grade in found.values())
        assert found["times_within_year"]["value"] is found["nulls_within_limits"]["value"] is None
    if case is no_clocks:
        assert found["clocks_synchronized"]["value"] is found["arrives_in_time"]["value"] is None
        assert found["clocks_synchronized"]["passed"] and found["arrives_in_time"]["passed"]
        assert {figure["count"] for figure in report["numeric"][3:5]} == {0}
    if case is no_places:
        assert {"country", "region", "city"} <= {e["name"] for e in found["nulls_within_limits"]["offenders"]}
    if case is one_user:
        assert not found["not_dominated_by_one_actor"]["passed"] and report["concentration"]["gini"] == near(0)
    if case is nobody:
        assert found["actors_known"]["value"] == 1 and report["concentration"]["gini"] is None


def test_everything_dropped_by_cleaning(tmp_path_factory: pytest.TempPathFactory) -> None:
    lake = Lake(tmp_path_factory.mktemp("dropped"))
    frame = make_year(lake, YEAR, random_events(6, rows=300, actors=9), dropped=2.0)
    report = report_of(lake, YEAR)
    assert json_bytes(report)
    assert {column["distinct_values"] for column in report["columns"]} == {0}
    assert report["time"]["events"] == len(frame) == 300
    assert report["identity"]["actors"] == frame["actor"].nunique()


@pytest.mark.parametrize("table", ["clean_events", "dropped_events", "sessions", "actors", "user_features", "report"])
def test_a_missing_table_is_named(tmp_path_factory: pytest.TempPathFactory, table: str) -> None:
    lake = Lake(tmp_path_factory.mktemp("missing"))
    make_year(lake, YEAR, random_events(6, rows=30, actors=3))
    path = lake.cleaning_report(YEAR) if table == "report" else lake.feature(table, YEAR)
    path.unlink()
    with pytest.raises(PipelineError) as raised:
        report_of(lake, YEAR)
    assert raised.value.place == str(path) and "Materialize" in raised.value.remedy


def test_a_year_of_the_real_pipeline(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hostile records through ingestion and cleaning, split in two ways: what was delivered is what is counted."""
    monkeypatch.setenv("ANALYTICS_PII", "keep")
    reports = []
    for rows in (50, 1000):
        lake = Lake(tmp_path_factory.mktemp("real"))
        rng = np.random.default_rng(rows)
        records = hostile_records()
        ingest(lake, YEAR, [records[place] for place in rng.permutation(len(records))], max_rows=rows)
        publish_features(lake, YEAR)
        reports.append({**report_of(lake, YEAR), "raw_digest": ""})
    report, events = reports[0], events_of(chunk_files(lake, YEAR))
    assert {name for name, value in report.items() if reports[1][name] != value} <= {"ingestion"}  # bytes of separators
    assert report["waterfall"] == read_json(lake.cleaning_report(YEAR))["waterfall"]
    assert report["waterfall"][-1]["rows_after"] < len(events) == report["time"]["events"]
    received = [event for event in events if event["server_received_time"] is not None]
    for name, time in (
        ("upload", "client_upload_time"),
        ("client_event", "client_event_time"),
        ("event", "event_time"),
    ):
        late = [event for event in received if event[time] is not None and event[time] > event["server_received_time"]]
        assert report["clock"][f"{name}_after_receipt"] == len(late)
    delays = [
        event["server_upload_time"] - event["client_event_time"]
        for event in events
        if event["server_upload_time"] is not None and event["client_event_time"] is not None
    ]
    assert report["time"]["late_share"] == near(np.mean([delay > timedelta(days=1) for delay in delays]))
    assert report["identity"]["events_without_actor"] == sum(event.actor is None for event in events) > 0
    assert report["identity"]["sessions"] == len({event.session for event in events} - {None})
    accuracy = report["geography"]["imputation_accuracy"]
    assert {entry["method"] for entry in accuracy} >= {"all", "mode"}
    assert all(0 <= entry["correct"] <= entry["covered"] <= entry["masked"] <= len(events) for entry in accuracy)
    assert json_bytes(report)
