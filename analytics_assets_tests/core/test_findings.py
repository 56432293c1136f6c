"""The findings: each rule on figures made for it, the formulas, the ranking, and the wording.

Put here: which findings are shown, with which numbers, in which order. Keep out: the figures they read
(``test_results.py``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_assets.core.features.engine import open_engine
from analytics_assets.core.intervals import wilson
from analytics_assets.core.lake import Lake
from analytics_assets.core.results import analysis_results, significance, wording
from analytics_assets.core.results.facts import Facts
from analytics_assets.core.results.findings import MAX_FINDINGS, findings
from analytics_assets.core.results.rules_behaviour import BEHAVIOUR_RULES
from analytics_assets.core.results.rules_data import DATA_RULES
from analytics_assets.schemas import METRICS
from analytics_assets_tests.core.event_data import Records, ingest, publish_features, same


def metric(name: str, value: Any, without: Any = None) -> dict[str, Any]:
    declared = METRICS[name]
    return {
        "name": name,
        "label": declared.label,
        "unit": declared.unit,
        "source": declared.source,
        "value": value,
        "people": value,
        "without_top_actor": value if without is None else without,
    }


def facts(**changes: Any) -> Facts:
    """Figures in which no rule finds anything."""
    values = dict.fromkeys(METRICS) | {
        "events": 1000,
        "sessions": 100,
        "actors": 100,
        "event_types": 10,
        "transitions": 900,
        "noise_share": 0.2,
        "bounce_share": 0.2,
        "burst_share": 0.1,
        "tie_share": 0.1,
        "scripted_actors": 0,
        "scripted_event_share": 0.0,
        "session_seconds_mean": 60.0,
        "session_seconds_median": 50.0,
        "event_session_seconds_mean": 60.0,
        "latency_ms_p95": 900.0,
        "top_actor_share": 0.01,
    }
    nothing = Facts(
        years=["2023", "2024"],
        metrics={name: metric(name, value) for name, value in values.items()},
        lists={"daily": [], "months": [], "funnels": [], "retention_weekly": []},
        evidence={
            "hours": [],
            "countries": [],
            "transitions": [],
            "latency": [],
            "bounce_event_share": 0.2,
            "noise_types": 2,
        },
        quality={},
        top_actor_limit=0.05,
    )
    return replace(nothing, **changes)


def with_metrics(base: Facts, **values: Any) -> Facts:
    made = {name: metric(name, *(value if isinstance(value, tuple) else (value,))) for name, value in values.items()}
    return replace(base, metrics={**base.metrics, **made})


def with_evidence(**values: Any) -> Facts:
    base = facts()
    return replace(base, evidence={**base.evidence, **values})


def with_lists(**values: Any) -> Facts:
    base = facts()
    return replace(base, lists={**base.lists, **values})


def days(start: date, events: list[int]) -> list[dict[str, Any]]:
    return [
        {"date": str(start + timedelta(days=number)), "events": count, "outside_year": False}
        for number, count in enumerate(events)
    ]


def month_facts(first: int, second: int, *, noise: int = 1) -> Facts:
    random = Random(1)
    before = [first + random.randint(-noise, noise) for _ in range(31)]
    last = [second + random.randint(-noise, noise) for _ in range(31)]
    entries = [
        {"month": "2024-07", "events": sum(before), "is_complete": True, "events_change": None},
        {"month": "2024-08", "events": sum(last), "is_complete": True, "events_change": sum(last) / sum(before) - 1},
        {"month": "2024-09", "events": 1, "is_complete": False, "events_change": None},
    ]
    for entry in entries:
        entry["events_change_without_top_actor"] = -0.25
    return with_lists(daily=days(date(2024, 7, 1), before + last), months=entries)


def countries(*rows: tuple[int, str, int]) -> Facts:
    return with_evidence(countries=[{"year": y, "country": name, "actors": n} for y, name, n in rows])


def transition(n: int, leaving: int, arriving: int, total: int = 10_000, name: str = "b") -> dict[str, Any]:
    return {
        "from_event": "a",
        "to_event": name,
        "n": n,
        "sessions": n,
        "leaving": leaving,
        "arriving": arriving,
        "total": total,
    }


def funnel(*reached: int, name: str = "order", year: int = 2024, population: str = "all") -> list[dict[str, Any]]:
    return [
        {"year": year, "population": population, "funnel": name, "step": n, "event_type": f"step {n}", "reached": count}
        for n, count in enumerate(reached, 1)
    ]


def retention(*weeks: tuple[int, int]) -> list[dict[str, Any]]:
    return [
        {"year": 2024, "population": "all", "week": week, "active_actors": back, "cohort_actors": cohort}
        for week, (back, cohort) in enumerate(weeks)
    ]


def latency(slow: int, actors: int, *, p95: float = 2000.0) -> Facts:
    """A country of actors with ten events each, of which `slow` are beyond the overall percentile."""
    clusters = [[slow + number % 2, 10] for number in range(actors)]
    return with_evidence(latency=[{"country": "Peru", "p95_ms": p95, "clusters": clusters}])


def hours(best: int, others: int, number: int, *, spread: int = 1) -> Facts:
    random = Random(2)
    made = [[(best if hour == 9 else others) + random.randint(0, spread) for hour in range(24)] for _ in range(number)]
    return with_evidence(hours=[{"date": f"day {n}", "events": events} for n, events in enumerate(made)])


def grades(value: float, *, passed: bool, name: str = "clocks_synchronized") -> Facts:
    grade = {
        "name": name,
        "what": "Share of events.",
        "value": value,
        "limit": 0.1,
        "passed": passed,
        "offenders": [{"name": "far ahead", "value": value}],
    }
    return facts(quality={"2024": {"ingestion": {"loaded": 1000}, "grades": [grade], "drift": None}})


def drift(psi: float, *, drifted: bool) -> Facts:
    column = {
        "column": "platform",
        "psi": psi,
        "drifted": drifted,
        "largest": [{"value": None, "share_before": 0.1, "share_now": 0.4}],
    }
    found = {"previous_year": "2023", "limits": {"psi": 0.25, "js_bits": 0.1}, "columns": [column]}
    return facts(quality={"2024": {"ingestion": {"loaded": 1000}, "grades": [], "drift": found}})


SHOWN: dict[str, tuple[Facts, str, str]] = {
    "session_length_weighting": (
        with_metrics(facts(), event_session_seconds_mean=600.0),
        "10 m",
        "1 m on average when every session counts once",
    ),
    "interface_noise": (with_metrics(facts(), noise_share=0.7), "70.0 %", "only 2 of 10 event types (20.0 %)"),
    "scripted_actors": (
        with_metrics(facts(), scripted_actors=1, scripted_event_share=0.3),
        "1 of 100 actors (1.0 %) is scripted",
        "30.0 %",
    ),
    "top_actor": (
        with_metrics(facts(), session_seconds_mean=(60.0, 30.0), sessions=(100, 90)),
        "Without it “Mean session duration, over sessions” is 30 s instead of 1 m",
        "2 of 13 headline figures",
    ),
    "bounces": (with_metrics(facts(), bounce_share=0.6), "60.0 % of 100 sessions", "20.0 % of the events"),
    "uncertain_order": (with_metrics(facts(), burst_share=0.4), "40.0 % of 900 transitions", "10.0 % have equal times"),
    "data_quality": (grades(0.3, passed=False), "it is 30.0 %, the limit is 10.0 %", "“far ahead”"),
    "drift": (drift(0.5, drifted=True), "“platform” in 2024 differs from that of 2023", "from 10.0 % to 40.0 %"),
    "busiest_hour": (hours(50, 10, 40), "09:00–10:00 UTC", "4."),
    "weekend": (
        with_lists(daily=days(date(2024, 1, 1), [100 + n % 3 if n % 7 < 5 else 10 + n % 3 for n in range(210)])),
        "Monday to Friday has 101 events",
        "Sunday 11",
    ),
    "last_month": (month_facts(100, 150), "August 2024 had", "without the most active actor the change is -25.0 %"),
    "top_country": (
        countries((0, "India", 80), (0, "Peru", 20)),
        "80.0 % of the 100 actors with a known country act mostly from “India”",
        "20.0 % from “Peru”",
    ),
    "country_shift": (
        countries((2023, "Peru", 90), (2023, "India", 10), (2024, "India", 70), (2024, "Peru", 30)),
        "70.0 % of the actors of 2024 act mostly from “India”",
        "after 10.0 % in 2023",
    ),
    "strongest_transition": (
        with_evidence(transitions=[transition(80, 100, 500)]),
        "After “a” comes “b” in 80.0 % of 100 cases",
        "16.0 times its 5.0 %",
    ),
    "weakest_funnel_step": (
        with_lists(funnels=funnel(200, 150, 30) + funnel(999, 1, year=2023) + funnel(999, 1, population="people")),
        "Of 150 that reached “step 2”, 20.0 % went on to “step 3”",
        "it is 75.0 %",
    ),
    "retention": (
        with_lists(retention_weekly=retention((200, 200), (100, 200), (80, 180), (50, 160), (20, 140), (1, 10))),
        "50.0 % of the new actors come back one week",
        "14.3 % 4 weeks after it",
    ),
    "slowest_country": (latency(3, 40), "“Peru” take more than 2,000 ms", "900 ms overall"),
}

HIDDEN: dict[str, Facts] = {
    "both means are the same": facts(),
    "a mean is missing": with_metrics(facts(), session_seconds_mean=None),
    "noise as common as its types, within chance": with_metrics(facts(), noise_share=0.22),
    "bounces of few sessions": with_metrics(facts(), bounce_share=0.9, sessions=20),
    "bounces within chance": with_metrics(facts(), bounce_share=0.28),
    "no scripted actor": with_metrics(facts(), scripted_event_share=0.3),
    "the top actor moves little": with_metrics(facts(), session_seconds_mean=(60.0, 58.0)),
    "a grade within its limit": grades(0.05, passed=True),
    "a grade that another rule speaks about": grades(0.3, passed=False, name="not_dominated_by_one_actor"),
    "a column beyond its limit by chance": drift(0.5, drifted=False),
    "busiest hour of few days": hours(50, 10, 29),
    "busiest hour by chance": hours(10, 10, 40, spread=20),
    "weekends of too few weeks": with_lists(daily=days(date(2024, 1, 1), [100 if n % 7 < 5 else 1 for n in range(98)])),
    "weekends that do not differ": with_lists(daily=days(date(2024, 1, 1), [100 + n % 2 for n in range(210)])),
    "months that differ by chance": month_facts(100, 102, noise=90),
    "no month to compare": with_lists(months=[{"month": "2024-01", "is_complete": True, "events_change": None}]),
    "one country only": countries((0, "India", 100)),
    "two countries about equal": countries((0, "India", 52), (0, "Peru", 48)),
    "few actors with a country": countries((0, "India", 28), (0, "Peru", 1)),
    "a country's share changes by chance": countries(
        (2023, "India", 50), (2023, "Peru", 50), (2024, "India", 55), (2024, "Peru", 45)
    ),
    "no country in the year before": countries((2024, "India", 100)),
    "a transition as often as chance": with_evidence(transitions=[transition(6, 100, 500)]),
    "one strong transition of many tried": with_evidence(
        transitions=[transition(10, 40, 1000), *(transition(10, 1000, 100, name=f"{n}") for n in range(2000))]
    ),
    "funnel step with few units": with_lists(funnels=funnel(29, 28, 1)),
    "funnel steps alike": with_lists(funnels=funnel(400, 200, 98)),
    "funnel of two steps": with_lists(funnels=funnel(400, 4)),
    "retention that stays": with_lists(retention_weekly=retention((200, 200), (100, 200), (95, 190), (90, 180))),
    "retention of few actors": with_lists(retention_weekly=retention((29, 29), (29, 29), (1, 29))),
    "latency of few actors": latency(3, 29),
    "latency as everywhere": latency(0, 40),
    "latency below all": latency(3, 40, p95=800.0),
}


@pytest.mark.parametrize("kind", SHOWN)
def test_each_rule_finds_what_is_there(kind: str) -> None:
    found, *expected = SHOWN[kind]
    [finding] = [entry for entry in findings(found) if entry["kind"] == kind]
    for part in expected:
        assert part in finding["text"]
    assert finding["rank"] >= 1 and finding["n"] >= 30 and finding["effect"] >= 0.05
    assert finding["figure"]["unit"] == finding["comparison"]["unit"]
    assert finding["test"] and finding["source"] and finding["title"]


def test_every_rule_has_a_case() -> None:
    shown = {entry["kind"] for found, *_ in SHOWN.values() for entry in findings(found)}
    assert shown == set(SHOWN) and len(SHOWN) == len(DATA_RULES) + len(BEHAVIOUR_RULES)


@pytest.mark.parametrize("case", HIDDEN)
def test_nothing_is_found_where_nothing_is(case: str) -> None:
    assert findings(HIDDEN[case]) == []


def test_findings_are_ranked_by_effect_and_few() -> None:
    base = SHOWN["session_length_weighting"][0]
    everything = replace(
        with_metrics(
            base,
            noise_share=0.7,
            scripted_actors=1,
            scripted_event_share=0.3,
            session_seconds_mean=(60.0, 30.0),
            bounce_share=0.6,
            burst_share=0.4,
        ),
        lists={
            **base.lists,
            "daily": SHOWN["weekend"][0].lists["daily"],
            "funnels": SHOWN["weakest_funnel_step"][0].lists["funnels"],
            "retention_weekly": SHOWN["retention"][0].lists["retention_weekly"],
        },
        evidence={
            **base.evidence,
            "hours": SHOWN["busiest_hour"][0].evidence["hours"],
            "countries": SHOWN["top_country"][0].evidence["countries"]
            + SHOWN["country_shift"][0].evidence["countries"],
            "transitions": SHOWN["strongest_transition"][0].evidence["transitions"],
            "latency": SHOWN["slowest_country"][0].evidence["latency"],
        },
        quality=SHOWN["drift"][0].quality,
    )
    found = findings(everything)
    assert len(found) == MAX_FINDINGS < 15
    assert [entry["rank"] for entry in found] == list(range(1, MAX_FINDINGS + 1))
    effects = [entry["effect"] for entry in found]
    assert effects == sorted(effects, reverse=True)
    left_out = {entry["kind"] for case in SHOWN.values() for entry in findings(case[0])} - {e["kind"] for e in found}
    assert left_out, "more findings than shown"


CAUSAL = re.compile(
    r"\b(because|caus\w*|due to|leads? to|led to|drives?|driven|results? in|thanks to|therefore|so that|explains?|why"
    r"|influences?|affects?|impacts?)\b",
    re.IGNORECASE,
)


def test_no_finding_says_why() -> None:
    for found, *_ in SHOWN.values():
        for entry in findings(found):
            assert not CAUSAL.search(f"{entry['title']} {entry['text']}"), entry["text"]


def test_figures_in_the_text_are_those_of_the_finding() -> None:
    for found, *_ in SHOWN.values():
        for entry in findings(found):
            if entry["figure"]["unit"] in ("share", "s", "ms"):
                for number in (entry["figure"], entry["comparison"]):
                    assert wording.measure(number["value"], number["unit"]) in entry["text"], entry["kind"]


# From events to findings


def test_findings_from_events(lake: Lake) -> None:
    """People come at 9, more of them on weekdays; each session holds two steps of intent."""
    new = Records()
    start = date(2024, 1, 1)
    for number in range(300):
        day = start + timedelta(days=number)
        for user in range(3 if day.isoweekday() <= 5 else 1):
            who = {"user_id": f"u{number % 40}-{user}", "amplitude_id": 1000 * user + number % 40}
            who["session_id"] = 1_704_067_200_000 + 1000 * (number * 10 + user)
            for second, name in enumerate(("look", "look:render", "look:render", "buy" if user else "leave")):
                new.add(f"{day} 09:00:{second:02d}", name, **who)
    ingest(lake, "2024", new.made)
    publish_features(lake, "2024")
    with open_engine(lake.staging() / "duckdb") as engine:
        found = {entry["kind"]: entry for entry in analysis_results(engine, lake, ["2024"], [])["findings"]}
    events = [record for record in new.made if record["event_type"]]
    working = [r for r in events if date.fromisoformat(r["event_time"][:10]).isoweekday() <= 5]
    weekdays = sum((start + timedelta(days=n)).isoweekday() <= 5 for n in range(300))
    assert same(found["weekend"]["figure"]["value"], len(working) / weekdays)
    assert same(found["weekend"]["comparison"]["value"], 4.0)
    assert same(found["busiest_hour"]["figure"]["value"], len(events) / 300)
    assert same(found["busiest_hour"]["comparison"]["value"], len(events) / 300 / 24)
    assert found["busiest_hour"]["effect"] == math.pi, "the log of 24 is beyond"
    assert (found["interface_noise"]["figure"]["value"], found["interface_noise"]["comparison"]["value"]) == (0.5, 0.25)
    assert found.keys() == {"weekend", "busiest_hour", "interface_noise"}, "every step follows as often as it comes"


# Formulas


SHARES = st.floats(0, 1)


@given(SHARES, SHARES)
def test_effect_of_shares(first: float, second: float) -> None:
    effect = significance.effect_of_shares(first, second)
    assert 0 <= effect <= math.pi + 1e-12
    assert effect == pytest.approx(significance.effect_of_shares(1 - first, 1 - second), abs=1e-6)
    assert effect == significance.effect_of_shares(second, first)


def test_effect_sizes_of_the_literature() -> None:
    """Cohen (1988), table 6.2.2: h of 0.50 and 0.25 is 0.52; of 0.65 and 0.45 it is 0.40."""
    assert significance.effect_of_shares(0.50, 0.25) == pytest.approx(0.52, abs=0.005)
    assert significance.effect_of_shares(0.65, 0.45) == pytest.approx(0.40, abs=0.005)
    assert significance.effect_of_amounts(10, 5) == significance.effect_of_amounts(5, 10) == math.log(2)
    assert significance.effect_of_amounts(0, 0) == 0 and significance.effect_of_amounts(1, 0) == math.pi
    assert significance.effect_of_amounts(1e9, 1) == math.pi


def test_tests_equal_statsmodels_and_scipy() -> None:
    from scipy import stats
    from statsmodels.stats.proportion import proportion_confint, proportions_ztest

    assert significance.critical() == pytest.approx(stats.norm.ppf(0.995))
    assert significance.critical(24) == pytest.approx(stats.norm.ppf(1 - 0.01 / 48))
    low, high = wilson(0.3, 70, significance.critical())
    assert (low, high) == pytest.approx(proportion_confint(21, 70, alpha=0.01, method="wilson"))
    assert significance.z_of_shares(21, 70, 40, 90) == pytest.approx(proportions_ztest([21, 40], [70, 90])[0])
    first, second = [1.0, 2.5, 3.0, 8.0], [2.0, 2.0, 9.0, 4.5, 1.0]
    assert significance.z_of_means(first, second) == pytest.approx(
        stats.ttest_ind(first, second, equal_var=False).statistic
    )
    assert significance.z_of_differences(first) == pytest.approx(stats.ttest_1samp(first, 0).statistic)
    alike = [(number % 2, 1) for number in range(50)]
    assert significance.z_of_clusters(alike, 0.3) == pytest.approx(0.2 / math.sqrt(0.25 / 49), rel=1e-9)


def test_clusters_count_not_their_events() -> None:
    """A hundred times the events of the same actors say no more about the actors."""
    few, many = [(n % 3, 10) for n in range(40)], [(100 * (n % 3), 1000) for n in range(40)]
    assert significance.z_of_clusters(few, 0.05) == pytest.approx(significance.z_of_clusters(many, 0.05))


@pytest.mark.parametrize(
    ("test", "alike", "apart"),
    [
        (significance.z_of_shares, (5, 5, 7, 7), (0, 5, 7, 7)),
        (significance.z_of_means, ([1.0, 1.0], [1.0, 1.0]), ([1.0, 1.0], [2.0, 2.0])),
        (significance.z_of_differences, ([0.0, 0.0],), ([-1.0, -1.0],)),
        (significance.z_of_clusters, ([(1, 2), (1, 2)], 0.5), ([(0, 1), (0, 1)], 0.05)),
    ],
)
def test_constants(test: Callable[..., float], alike: tuple[Any, ...], apart: tuple[Any, ...]) -> None:
    """Equal ones differ by nothing; where nothing varies every difference is beyond chance."""
    assert test(*alike) == 0.0
    assert test(*apart) < -3


def test_wording() -> None:
    assert [wording.count(value) for value in (1850109, 48.93, 3.0, 1234.5)] == ["1,850,109", "48.9", "3", "1,234"]
    assert [wording.share(value) for value in (0, 1, 0.6684, 0.0004)] == ["0.0 %", "100.0 %", "66.8 %", "0.04 %"]
    seconds = (0.0, 0.001, 1.25, 59.6, 688.6, 5220.0, 90_000.0, 86_400.0)
    expected = ["0 s", "1 ms", "1.2 s", "1 m", "11 m 29 s", "1 h 27 m", "1 d 1 h", "1 d"]
    assert [wording.duration(value) for value in seconds] == expected
    assert [wording.milliseconds(value) for value in (234.4, 19_300.0)] == ["234 ms", "19 s"]
    assert wording.month("2024-03") == "March 2024" and wording.hour(23) == "23:00–00:00 UTC"
    assert wording.change(-0.25) == "-25.0 %" and wording.change(0.5) == "+50.0 %"


@given(st.text())
def test_names_from_outside_stay_one_short_line(name: str) -> None:
    shown = wording.quoted(name)
    assert len(shown) <= wording.NAME_SHOWN + 2
    assert shown.isprintable() or not any(c in shown for c in "\n\r\t\u202e\u200d\x00")
