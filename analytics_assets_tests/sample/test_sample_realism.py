"""Realism: the sample has the shares, gaps and quirks of the real export it imitates."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter, defaultdict
from datetime import date

import pytest

from analytics_assets_tests.sample.reading import WrittenSample, milliseconds, sessions_of

# The published figures, typed here again so that a slip in the package cannot hide itself.
DEVICES = {"Windows": 0.818143, "Mac OS X": 0.155759, "Linux": 0.024993, "iOS": 0.001092}
COUNTRIES = {"United States": 0.740942, "India": 0.215935, "Poland": 0.028563, "Canada": 0.012545}
WEEKDAYS = (0.191079, 0.205911, 0.163455, 0.21957, 0.196529, 0.013791, 0.009665)
HOURS_UTC = (
    0.009411, 0.007217, 0.006144, 0.008209, 0.019212, 0.02825, 0.029728, 0.029608,
    0.03062, 0.029809, 0.035387, 0.034687, 0.036714, 0.049506, 0.071912, 0.086612,
    0.081687, 0.071326, 0.065684, 0.074419, 0.070821, 0.061478, 0.041479, 0.020081,
)  # fmt: skip


def share(sample: WrittenSample, **wanted: object) -> float:
    """Share of events whose fields have the wanted values."""
    events = sample.events.values()
    return sum(all(e[k] == v for k, v in wanted.items()) for e in events) / len(events)


def test_devices_and_countries(moderate: WrittenSample) -> None:
    for family, wanted in DEVICES.items():
        assert share(moderate, device_family=family) == pytest.approx(wanted, abs=0.01)
    for country, wanted in COUNTRIES.items():
        assert share(moderate, country=country) == pytest.approx(wanted, abs=0.01)
    assert share(moderate, os_name="Chrome") == pytest.approx(0.922942, abs=0.02)
    assert share(moderate, os_name="Edge") == pytest.approx(0.07099, abs=0.02)


def test_event_mix_and_session_size(moderate: WrittenSample) -> None:
    types = Counter(e["event_type"] for e in moderate.events.values())
    n = sum(types.values())
    assert sum(c for t, c in types.items() if t.endswith(":render")) / n == pytest.approx(0.668, abs=0.02)
    assert (types["session_start"] + types["session_end"]) / n == pytest.approx(0.06, abs=0.01)
    sizes = [len(events) for events in sessions_of(moderate.events).values()]
    assert statistics.median(sizes) == 2
    assert statistics.quantiles(sizes, n=4)[0] == 2
    assert statistics.mean(sizes) == pytest.approx(30.9, rel=0.15)
    assert statistics.stdev(sizes) > 1.5 * statistics.mean(sizes), "the tail must be heavy"
    assert 0.40 <= moderate.truth["total"]["empty_sessions"] / len(sizes) <= 0.50


def test_durations(moderate: WrittenSample) -> None:
    figures = moderate.truth["total"]["session_duration_s"]
    assert figures["over_sessions"]["median"] == 0.001
    assert figures["over_sessions"]["mean"] == pytest.approx(689, rel=0.3)
    assert figures["over_events"]["median"] > 1000, "weighted by events, sessions look long"


def test_weekdays_and_hours(moderate: WrittenSample) -> None:
    starts = [events[0]["event_time"] for events in sessions_of(moderate.events).values()]
    weekdays = Counter(date.fromisoformat(t[:10]).weekday() for t in starts)
    for day, wanted in enumerate(WEEKDAYS):
        assert weekdays[day] / len(starts) == pytest.approx(wanted, abs=0.04)
    hours = Counter(int(t[11:13]) for t in starts)
    apart = sum(abs(hours[h] / len(starts) - wanted) for h, wanted in enumerate(HOURS_UTC)) / 2
    assert apart < 0.15
    assert sum(hours[h] for h in range(14, 22)) > 0.5 * len(starts)


def test_latency_and_gaps(moderate: WrittenSample) -> None:
    latency = moderate.truth["total"]["latency_ms"]
    assert latency["synchronised_clocks"]["mean"] == pytest.approx(234, rel=0.1)
    assert latency["synchronised_clocks"]["p95"] == pytest.approx(892, rel=0.15)
    assert latency["all"]["p95"] == pytest.approx(892, rel=0.3)
    gaps: list[int] = []
    for events in sessions_of(moderate.events).values():
        times = [milliseconds(e["event_time"]) for e in events]
        gaps.extend(b - a for a, b in itertools.pairwise(times))
    quartiles = statistics.quantiles(gaps, n=4)
    assert 1 <= quartiles[0] <= 10
    assert 10 <= quartiles[1] <= 60
    assert min(gaps) >= 1
    assert max(gaps) < 30 * 60_000


def test_user_ids(moderate: WrittenSample) -> None:
    assert share(moderate, user_id="EMPTY") == pytest.approx(0.0168, abs=0.004)
    assert share(moderate, user_id=None) == pytest.approx(0.004, abs=0.002)
    ids = defaultdict(set)
    for event in moderate.events.values():
        ids[event["amplitude_id"]].add(event["user_id"])
    assert all(len(of_person) == 1 for of_person in ids.values())
    assert sum(of_person == {"EMPTY"} for of_person in ids.values()) > 1


def test_nulls_are_structural(moderate: WrittenSample) -> None:
    for event in moderate.events.values():
        assert (event["device_type"] is None) == (event["device_family"] in ("Mac OS X", "iOS"))
        assert (event["dma"] is None) == (event["country"] != "United States" or event["city"] is None)
        assert event["city"] is None or event["region"] is not None
    assert share(moderate, city=None) == pytest.approx(0.01813, abs=0.005)
    assert share(moderate, region=None) == pytest.approx(0.00893, abs=0.004)
    assert share(moderate, dma=None) == pytest.approx(0.2769, abs=0.015)
    assert any(e["dma"] == "Washington, DC (Hagerstown, MD)" for e in moderate.events.values())


def test_clocks(moderate: WrittenSample) -> None:
    corrected = late = 0
    for event in moderate.events.values():
        t = {name: milliseconds(event[name]) for name in event if name.endswith("_time") and event[name]}
        difference = t["server_received_time"] - t["client_upload_time"]
        if abs(difference) > 60_000:
            corrected += 1
            assert t["event_time"] == t["client_event_time"] + difference
        else:
            assert t["event_time"] == t["client_event_time"]
        assert t["client_event_time"] <= t["client_upload_time"]
        assert t["event_time"] <= t["server_received_time"] < t["server_upload_time"] < t["processed_time"]
        late += t["server_received_time"] - t["event_time"] > 3_600_000
    assert 0 < corrected < 0.01 * len(moderate.events)
    assert late / len(moderate.events) == pytest.approx(0.01, abs=0.003)


def test_event_ids_count_up_on_each_device(moderate: WrittenSample) -> None:
    by_device = defaultdict(list)
    for event in moderate.events.values():
        by_device[event["device_id"]].append((event["client_event_time"], event["event_id"]))
    for pairs in by_device.values():
        numbers = [number for _, number in sorted(pairs)]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_sessions_start_and_end_with_their_boundaries(moderate: WrittenSample) -> None:
    for (_, session_id), events in sessions_of(moderate.events).items():
        types = [e["event_type"] for e in events]
        assert types[0] == "session_start"
        assert milliseconds(events[0]["client_event_time"]) == session_id
        if len(types) > 1:
            assert types[-1] == "session_end"
        assert not {"session_start", "session_end"} & set(types[1:-1])
        assert len({e["device_id"] for e in events}) == 1
        page = None
        for name in types[1:-1]:
            if name.endswith("::render"):
                assert name.split("::")[0] == page, "renders belong to the page of the action before"
            else:
                page = name.split("::")[0]


def test_sessions_of_a_person_do_not_overlap(moderate: WrittenSample) -> None:
    spans = defaultdict(list)
    for (person, _), events in sessions_of(moderate.events).items():
        if abs(milliseconds(events[0]["event_time"]) - milliseconds(events[0]["client_event_time"])) < 60_000:
            spans[person].append((events[0]["event_time"], events[-1]["event_time"]))
    for of_person in spans.values():
        of_person.sort()
        assert all(a[1] < b[0] for a, b in itertools.pairwise(of_person))
