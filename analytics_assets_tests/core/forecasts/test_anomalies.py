"""A planted spike comes first with its planted cause, and the parts of every difference add up."""

from __future__ import annotations

import datetime as dt

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.core.forecasts.anomalies import (
    DIMENSIONS,
    MEANS,
    anomalies,
    causes,
    explained,
    parts,
    reference_days,
)
from analytics_assets.core.forecasts.backtest import Past, backtest
from analytics_assets.core.forecasts.baselines import phase_mean
from analytics_assets.core.forecasts.forecasting import forecast_series, plain
from analytics_assets.core.forecasts.series import Series, daily_rows, daily_series
from analytics_assets.core.forecasts.tables import arrow
from analytics_assets.schemas import FORECAST_ANOMALIES, FORECAST_CAUSES, FORECAST_METRICS
from analytics_assets_tests.core.forecasts.series_data import LOG, START, Files, Fixed, deliver, event, make_series

DAYS = 90
SPIKE, DROP = START + dt.timedelta(days=75), START + dt.timedelta(days=82)
COUNTRIES, DEVICES, TYPES = ("Norway", "Germany", None), ("Windows", "iPhone"), ("view", "open", "save")


def day_of_events(rng: np.random.Generator, date: dt.date, count: int, **changes: object) -> list[dict]:
    made = []
    for number in range(count):
        time = dt.datetime.combine(date, dt.time()) + dt.timedelta(seconds=int(rng.integers(80_000)))
        actor = f"user:{rng.integers(12)}"
        plain_event = {
            "country": COUNTRIES[rng.choice(3, p=[0.6, 0.3, 0.1])],
            "device_family": DEVICES[rng.integers(2)],
            "event_type": TYPES[rng.integers(3)],
            "latency_ms": float(rng.integers(50, 250)) if number % 5 else None,
            "session_key": f"{actor}|{date}-{rng.integers(2)}",
        }
        made.append(event(time, actor, **{**plain_event, **changes}))
    return made


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Files:
    rng = np.random.default_rng(7)
    events = []
    for step in range(DAYS):
        date = START + dt.timedelta(days=step)
        count = int(rng.integers(36, 44)) + (12 if step % 7 < 5 else 0)
        events += day_of_events(rng, date, 4 if date == DROP else count)
    planted_cause = {"country": "Germany", "device_family": "iPhone", "event_type": "export", "latency_ms": 900.0}
    events += day_of_events(rng, SPIKE, 120, **planted_cause)
    return deliver(tmp_path_factory.mktemp("lake"), "2024", events)


@pytest.fixture(scope="module")
def series(lake: Files) -> dict[str, Series]:
    with duckdb.connect() as engine:
        rows = daily_rows(engine, {"2024": lake.daily}, [lake.events], [lake.sessions])
    return {one.metric: one for one in daily_series(rows, max(rows))}


def past_of(series: Series) -> Past:
    past = forecast_series(series, "phase_mean", plain(phase_mean), scale=LOG).past
    assert past is not None
    return past


@pytest.fixture(scope="module")
def surprises(lake: Files, series: dict[str, Series]) -> tuple[list[dict], list[dict]]:
    found = [row for metric in ("events", "mean_latency_ms") for row in anomalies(past_of(series[metric]), START)]
    with duckdb.connect() as engine:
        return explained(engine, [lake.events], [lake.sessions], found, series)


def test_a_planted_spike_comes_first_with_its_direction_and_cause(surprises: tuple[list[dict], list[dict]]) -> None:
    named, _ = surprises
    events = {row["date"]: row for row in named if row["metric"] == "events"}
    assert (events[SPIKE]["rank"], events[SPIKE]["direction"]) == (1, "high")
    assert events[SPIKE]["actual"] > events[SPIKE]["hi95"]
    top = events[SPIKE]
    assert (top["dimension"], top["value"]) in {
        ("country", "Germany"),
        ("device_family", "iPhone"),
        ("event_type", "export"),
    }
    assert 100 <= top["contribution"] <= 140
    latency = {row["date"]: row for row in named if row["metric"] == "mean_latency_ms"}
    assert latency[SPIKE]["rank"] == 1 and latency[SPIKE]["direction"] == "high"


def test_the_planted_cause_has_the_largest_part_in_every_dimension(surprises: tuple[list[dict], list[dict]]) -> None:
    _, split = surprises
    for metric in ("events", "mean_latency_ms"):
        rows = [row for row in split if (row["metric"], row["date"]) == (metric, SPIKE)]
        for dimension, value in (("country", "Germany"), ("device_family", "iPhone"), ("event_type", "export")):
            own = [row for row in rows if row["dimension"] == dimension]
            assert max(own, key=lambda row: row["contribution"])["value"] == value


def test_parts_add_up_to_the_difference_from_the_reference(
    surprises: tuple[list[dict], list[dict]], series: dict[str, Series]
) -> None:
    named, split = surprises
    assert named
    for row in named:
        values = series[row["metric"]].values
        step = (row["date"] - START).days
        reference = np.mean([values[step - 7 * week] for week in range(1, 5)])
        for dimension in DIMENSIONS:
            own = [
                cause["contribution"]
                for cause in split
                if (cause["metric"], cause["date"], cause["dimension"]) == (row["metric"], row["date"], dimension)
            ]
            assert sum(own) == pytest.approx(values[step] - reference)


def test_rows_fit_their_tables_and_scores_beyond_the_band_exceed_1(surprises: tuple[list[dict], list[dict]]) -> None:
    named, split = surprises
    assert arrow(named, FORECAST_ANOMALIES).num_rows == len(named)
    assert arrow(split, FORECAST_CAUSES).num_rows == len(split)
    assert all(row["score"] > 1 for row in named)
    for metric in ("events", "mean_latency_ms"):
        scores = [row["score"] for row in named if row["metric"] == metric]
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("metric", FORECAST_METRICS)
def test_parts_of_a_day_add_up_to_its_value(metric: str, lake: Files, series: dict[str, Series]) -> None:
    dates = [SPIKE, DROP, START]
    with duckdb.connect() as engine:
        found = parts(engine, [lake.events], [lake.sessions], metric, dates)
    for date in dates:
        value = series[metric].values[(date - START).days]
        for dimension in DIMENSIONS:
            group = found[date, dimension]
            total, weight = (sum(part[place] for part in group.values()) for place in (0, 1))
            assert (total / weight if metric in MEANS else total) == pytest.approx(value)
    assert "(unknown)" in found[SPIKE, "country"] or metric in ("sessions", "mean_session_seconds")


def test_no_days_have_no_parts(lake: Files) -> None:
    with duckdb.connect() as engine:
        assert parts(engine, [lake.events], [lake.sessions], "events", []) == {}


def test_a_day_is_judged_by_the_last_forecast_before_it_and_once(series: dict[str, Series]) -> None:
    past = past_of(series["events"])
    rows = anomalies(past, START)
    assert len({row["date"] for row in rows}) == len(rows)
    for row in rows:
        step = (row["date"] - START).days
        assert row["horizon"] == step - max(one.cut for one in past.origins if one.cut <= step) + 1
    assert [row["date"] for row in anomalies(past, DROP)] == [row["date"] for row in rows if row["date"] >= DROP]


def test_a_drop_is_low_and_the_end_of_the_band_is_inside() -> None:
    """Each day from the day before, limited by the 57th smallest of the 59 other scores: that of the days at 106."""
    values = np.full(80, 100.0)
    values[20:] += np.arange(60) % 7
    values[[40, 50, 60]] = 12.0, 7.0, 30.0
    series = make_series(values)
    found = backtest(series, LOG, range(20, 80), 1, judging=20, fit=lambda _known: Fixed(100.0))
    rows = anomalies(Past(series, "fixed", LOG, 1, found), START)
    assert [(row["date"], row["direction"], row["rank"]) for row in rows] == [
        (START + dt.timedelta(days=50), "low", 1),
        (START + dt.timedelta(days=40), "low", 2),
        (START + dt.timedelta(days=60), "low", 3),
    ]
    assert rows[0]["score"] == pytest.approx(np.log(101 / 8) / np.log(107 / 101))
    assert rows[0]["lo95"] == pytest.approx(101**2 / 107 - 1)


DATE = dt.date(2024, 6, 3)
GROUP = st.dictionaries(
    st.sampled_from("abcd"), st.tuples(st.floats(-1e4, 1e4), st.integers(1, 50).map(float)), min_size=1
)


@given(st.data(), st.sampled_from(["events", "actors", "mean_latency_ms", "mean_session_seconds"]))
@settings(max_examples=200, deadline=None)
def test_contributions_always_add_up(data: st.DataObject, metric: str) -> None:
    is_mean = metric in MEANS
    known = [day for day in reference_days(DATE) if data.draw(st.booleans())]
    found = {}
    for day in (DATE, *known):
        if is_mean or data.draw(st.booleans()):
            found |= {(day, dimension): data.draw(GROUP) for dimension in DIMENSIONS}

    def value(day: dt.date, dimension: str) -> float:
        group = found.get((day, dimension), {})
        total, weight = (sum(part[place] for part in group.values()) for place in (0, 1))
        return total / weight if is_mean else total

    rows = causes(metric, DATE, found, known)
    if not known:
        assert rows == []
    for dimension in DIMENSIONS if known else ():
        own = [row for row in rows if row["dimension"] == dimension]
        difference = value(DATE, dimension) - np.mean([value(day, dimension) for day in known])
        assert sum(row["contribution"] for row in own) == pytest.approx(difference, abs=1e-6)
        assert all(row["contribution"] == row["actual"] - row["reference"] for row in own)


def test_a_known_reference_day_without_events_counts_as_0_and_an_unknown_one_not_at_all() -> None:
    weeks = reference_days(DATE)
    assert [(DATE - day).days for day in weeks] == [7, 14, 21, 28]
    found = {(DATE, "country"): {"Norway": (8.0, 0.0)}, (weeks[0], "country"): {"Norway": (6.0, 0.0)}}
    [row] = [row for row in causes("events", DATE, found, weeks[:2]) if row["dimension"] == "country"]
    assert (row["reference"], row["contribution"]) == (3.0, 5.0)
    [row] = [row for row in causes("events", DATE, found, weeks[:1]) if row["dimension"] == "country"]
    assert (row["reference"], row["contribution"]) == (6.0, 2.0)
