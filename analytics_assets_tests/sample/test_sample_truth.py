"""Truth: every figure recomputed from the files by plain Python."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from analytics_assets.sample.generator import SampleConfig, write_sample
from analytics_assets_tests.sample.reading import WrittenSample, milliseconds, read_sample, sessions_of


def check_counts(figures: dict[str, Any], events: list[dict[str, Any]]) -> None:
    """Compare the figures that every scope has."""
    assert figures["events"] == len(events)
    assert figures["sessions"] == len({(e["amplitude_id"], e["session_id"]) for e in events})
    assert figures["users"] == len({e["amplitude_id"] for e in events})
    assert figures["user_ids"] == len({e["user_id"] for e in events} - {None, "EMPTY"})
    assert figures["first_event_time"] == min(e["event_time"] for e in events)
    assert figures["last_event_time"] == max(e["event_time"] for e in events)


@pytest.mark.parametrize("name", ["small", "small_zip", "moderate"])
def test_counts_of_each_file(name: str, request: pytest.FixtureRequest) -> None:
    sample: WrittenSample = request.getfixturevalue(name)
    for year, content in sample.years.items():
        figures = sample.truth["years"][year]
        check_counts(figures, list(content.events.values()))
        assert figures["records"] == len(content.elements)
        assert figures["duplicates"] == content.duplicates == round(0.003 * len(content.events))
        assert figures["malformed"] == sum(content.refused.values()) == 6
        assert figures["malformed_by_reason"] == content.refused
        outside = sum(e["event_time"][:4] != year for e in content.events.values())
        assert figures["events_outside_year"] == outside


def test_totals(moderate: WrittenSample) -> None:
    total, years = moderate.truth["total"], moderate.truth["years"].values()
    check_counts(total, list(moderate.events.values()))
    for name in ("records", "events", "duplicates", "malformed", "events_outside_year"):
        assert total[name] == sum(figures[name] for figures in years)
    assert total["malformed_by_reason"] == dict(sum((Counter(f["malformed_by_reason"]) for f in years), Counter()))
    assert abs(total["events"] - 30_000) <= 3_000


def test_breakdowns(moderate: WrittenSample) -> None:
    events, total = moderate.events.values(), moderate.truth["total"]
    assert total["events_by_country"] == Counter(e["country"] for e in events)
    assert total["events_by_device_family"] == Counter(e["device_family"] for e in events)
    assert total["events_by_event_type"] == Counter(e["event_type"] for e in events)
    assert total["event_types"] == len(total["events_by_event_type"])


def test_session_figures(moderate: WrittenSample) -> None:
    total = moderate.truth["total"]
    sessions = sessions_of(moderate.events)
    sizes, durations, per_event = [], [], []
    single = empty = crossing = 0
    for events in sessions.values():
        duration = (milliseconds(events[-1]["event_time"]) - milliseconds(events[0]["event_time"])) / 1000
        sizes.append(len(events))
        durations.append(duration)
        per_event.extend([duration] * len(events))
        single += len(events) == 1
        empty += [e["event_type"] for e in events] == ["session_start", "session_end"]
        crossing += len({e["event_time"][:4] for e in events}) > 1
    assert total["single_event_sessions"] == single > 0
    assert total["empty_sessions"] == empty > 0
    assert total["active_sessions"] == len(sessions) - single - empty
    assert total["sessions_crossing_new_year"] == crossing
    assert total["events_per_session"] == {"mean": pytest.approx(statistics.mean(sizes)), "median": 2.0}
    for scope, values in (("over_sessions", durations), ("over_events", per_event)):
        figures = total["session_duration_s"][scope]
        assert figures["mean"] == pytest.approx(statistics.fmean(values), rel=1e-9)
        assert figures["median"] == pytest.approx(statistics.median(values), rel=1e-9)
    owners = Counter(session_id for _, session_id in sessions)
    assert total["session_ids_of_several_users"] == sum(n > 1 for n in owners.values()) >= 2


def test_latency(moderate: WrittenSample) -> None:
    every = [
        milliseconds(e["server_received_time"]) - milliseconds(e["client_upload_time"])
        for e in moderate.events.values()
    ]
    agreed = [v for v in every if abs(v) <= 60_000]
    assert 0 < len(every) - len(agreed) < 0.01 * len(every)
    for name, values in (("all", every), ("synchronised_clocks", agreed)):
        figures = moderate.truth["total"]["latency_ms"][name]
        assert figures["events"] == len(values)
        assert figures["mean"] == pytest.approx(statistics.fmean(values))
        assert figures["p95"] == pytest.approx(statistics.quantiles(values, n=20, method="inclusive")[18])


def test_new_year_session_lies_in_both_files(small: WrittenSample) -> None:
    keys = [{(e["amplitude_id"], e["session_id"]) for e in year.events.values()} for year in small.years.values()]
    both = keys[0] & keys[1]
    assert small.truth["total"]["sessions_in_two_files"] == len(both)
    crossing = [k for k in both if len({e["event_time"][:4] for e in sessions_of(small.events)[k]}) == 2]
    assert crossing
    assert small.truth["total"]["sessions_crossing_new_year"] >= len(crossing)


def test_three_years_have_two_crossings(tmp_path: Path) -> None:
    write_sample(tmp_path, SampleConfig(years=(2022, 2023, 2024), events=6_000, users=40, seed=5))
    sample = read_sample(tmp_path)
    crossings = {
        (events[0]["event_time"][:4], events[-1]["event_time"][:4]) for events in sessions_of(sample.events).values()
    }
    assert {("2022", "2023"), ("2023", "2024")} <= crossings


def test_users(small: WrittenSample) -> None:
    seen: dict[int, tuple[set[Any], set[str]]] = {}
    for event in small.events.values():
        ids, devices = seen.setdefault(event["amplitude_id"], (set(), set()))
        ids.add(event["user_id"])
        devices.add(event["device_id"])
    users = small.truth["users"].values()
    assert {u["amplitude_id"]: ({u["user_id"]}, set(u["device_ids"])) for u in users} == seen
    assert [u["persona"] for u in users if u["scripted"]] == ["scripted monitor"]
    assert {u["persona"] for u in users if not u["scripted"]} == set(small.truth["personas"])


def test_scripted_monitor_always_does_the_same(moderate: WrittenSample) -> None:
    (monitor,) = (u for u in moderate.truth["users"].values() if u["scripted"])
    mine = {k: v for k, v in sessions_of(moderate.events).items() if k[0] == monitor["amplitude_id"]}
    assert len(mine) == moderate.truth["total"]["scripted_sessions"]
    assert 0.03 < len(mine) / moderate.truth["total"]["sessions"] < 0.08
    assert {tuple(e["event_type"] for e in events) for events in mine.values()} == {
        ("session_start", "home::overview::view", "session_end")
    }
    starts = sorted(session_id for _, session_id in mine)
    steps = Counter(b - a for a, b in itertools.pairwise(starts))
    assert steps[3_600_000] == len(starts) - len(moderate.years)


def test_expected_daily_events(moderate: WrittenSample) -> None:
    expected = moderate.truth["expected_daily_events"]
    days = (date(2025, 12, 31) - date(2024, 1, 1)).days + 1
    assert len(expected) == days
    assert list(expected) == sorted(expected)
    assert min(expected.values()) > 0
    assert sum(expected.values()) == pytest.approx(moderate.truth["total"]["events"], rel=0.02)
    # Months are large enough for the realised numbers to follow the expected ones.
    real = Counter(e["event_time"][:7] for e in moderate.events.values())
    wanted: dict[str, float] = dict.fromkeys(real, 0.0)
    for day, mean in expected.items():
        wanted[day[:7]] += mean
    months = sorted(wanted)
    assert statistics.correlation([wanted[m] for m in months], [real[m] for m in months]) > 0.3
    by_weekday = [0.0] * 7
    for day, mean in expected.items():
        by_weekday[date.fromisoformat(day).weekday()] += mean
    assert sum(by_weekday[5:]) < 0.06 * sum(by_weekday)
    assert expected["2025-12-25"] < 0.5 * expected["2025-12-18"]
