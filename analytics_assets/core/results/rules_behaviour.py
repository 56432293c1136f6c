"""Rules about what people do: when, from where, along which paths, and whether they come back.

Put here: one function per rule. Keep out: rules about the meaning of the figures (``rules_data.py``).
"""

from __future__ import annotations

from datetime import date
from statistics import fmean

from analytics_assets.core.results import wording
from analytics_assets.core.results.facts import Facts, Finding, Found, Named
from analytics_assets.core.results.significance import (
    MIN_SUPPORT,
    critical,
    effect_of_amounts,
    effect_of_shares,
    outside_wilson,
    z_of_clusters,
    z_of_competing_shares,
    z_of_differences,
    z_of_means,
    z_of_shares,
)


def _busiest_hour(facts: Facts) -> Found:
    days = [entry["events"] for entry in facts.evidence["hours"]]
    if len(days) < MIN_SUPPORT:
        return
    totals = [sum(day[hour] for day in days) for hour in range(24)]
    best = totals.index(max(totals))
    differences = [day[best] - sum(day) / 24 for day in days]
    if z_of_differences(differences) <= critical(24):
        return
    at_best, average = totals[best] / len(days), sum(totals) / 24 / len(days)
    yield Finding(
        "busiest_hour",
        "One hour of the day is the busiest",
        f"Most events come at {wording.hour(best)}: {wording.count(at_best)} on an average day with events, "
        f"{at_best / average:.1f} times the average hour's {wording.count(average)}.",
        Named(f"events_per_day_at_{best:02d}", at_best, "events"),
        Named("events_per_day_and_hour", average, "events"),
        effect_of_amounts(at_best, average),
        len(days),
        "days with events",
        "paired z test over days, corrected for 24 hours",
        "clean_events",
        list(facts.years),
    )


def _weekend(facts: Facts) -> Found:
    days = [entry for entry in facts.lists["daily"] if not entry["outside_year"]]
    groups: tuple[list[float], list[float]] = ([], [])
    for entry in days:
        groups[_is_weekend(entry["date"])].append(entry["events"])
    working, weekend = groups
    if min(len(working), len(weekend)) < MIN_SUPPORT:
        return
    if abs(z_of_means(working, weekend)) <= critical():
        return
    first, second = fmean(working), fmean(weekend)
    yield Finding(
        "weekend",
        "Weekdays and weekends differ",
        f"A day from Monday to Friday has {wording.count(first)} events on average, a Saturday or Sunday "
        f"{wording.count(second)} (UTC).",
        Named("events_per_weekday", first, "events"),
        Named("events_per_weekend_day", second, "events"),
        effect_of_amounts(first, second),
        len(working) + len(weekend),
        "days",
        "Welch z test over days",
        "daily_metrics",
        list(facts.years),
    )


def _is_weekend(day: str) -> bool:
    return date.fromisoformat(day).isoweekday() >= 6


def _month(facts: Facts) -> Found:
    complete = [entry for entry in facts.lists["months"] if entry["is_complete"]]
    if not complete or complete[-1]["events_change"] is None:
        return
    before, last = complete[-2:]
    days: dict[str, list[float]] = {before["month"]: [], last["month"]: []}
    for entry in facts.lists["daily"]:
        days.get(entry["date"][:7], []).append(entry["events"])
    first, second = days[before["month"]], days[last["month"]]
    if abs(z_of_means(second, first)) <= critical():
        return
    without = last["events_change_without_top_actor"]
    yield Finding(
        "last_month",
        f"{wording.month(last['month'])} differs from the month before",
        f"{wording.month(last['month'])} had {wording.count(last['events'])} events, "
        f"{wording.change(last['events_change'])} against {wording.month(before['month'])} "
        f"({wording.count(before['events'])})"
        + (f"; without the most active actor the change is {wording.change(without)}." if without is not None else "."),
        Named(f"events_{last['month']}", last["events"], "events"),
        Named(f"events_{before['month']}", before["events"], "events"),
        effect_of_amounts(last["events"], before["events"]),
        len(first) + len(second),
        "days",
        "Welch z test over days",
        "clean_events",
        sorted({before["month"][:4], last["month"][:4]}),
    )


def _countries_of(facts: Facts, year: int) -> list[tuple[str, int]]:
    return [(entry["country"], entry["actors"]) for entry in facts.evidence["countries"] if entry["year"] == year]


def _top_country(facts: Facts) -> Found:
    homes = _countries_of(facts, 0)
    total = sum(number for _, number in homes)
    if len(homes) < 2 or total < MIN_SUPPORT:
        return
    (first, most), (second, next_most) = homes[:2]
    if z_of_competing_shares(most, next_most, total) <= critical(len(homes)):
        return
    yield Finding(
        "top_country",
        f"Most actors are in {wording.quoted(first)}" if most > total / 2 else f"{wording.quoted(first)} leads",
        f"{wording.share(most / total)} of the {wording.count(total)} actors with a known country act mostly from "
        f"{wording.quoted(first)}, {wording.share(next_most / total)} from {wording.quoted(second)}.",
        Named("actor_share_of_top_country", most / total, "share"),
        Named("actor_share_of_second_country", next_most / total, "share"),
        effect_of_shares(most / total, next_most / total),
        total,
        "actors",
        f"z test of two shares of one total, corrected for {len(homes)} countries",
        "clean_events",
        list(facts.years),
    )


def _country_shift(facts: Facts) -> Found:
    years = sorted({entry["year"] for entry in facts.evidence["countries"]} - {0})
    if len(years) < 2:
        return
    before, last = (dict(_countries_of(facts, year)) for year in years[-2:])
    trials, other_trials = sum(last.values()), sum(before.values())
    if min(trials, other_trials) < MIN_SUPPORT:
        return
    country = _countries_of(facts, years[-1])[0][0]
    now, then = last[country], before.get(country, 0)
    if abs(z_of_shares(now, trials, then, other_trials)) <= critical():
        return
    yield Finding(
        "country_shift",
        f"The share of {wording.quoted(country)} has changed",
        f"{wording.share(now / trials)} of the actors of {years[-1]} act mostly from {wording.quoted(country)}, after "
        f"{wording.share(then / other_trials)} in {years[-2]}.",
        Named(f"actor_share_{years[-1]}", now / trials, "share"),
        Named(f"actor_share_{years[-2]}", then / other_trials, "share"),
        effect_of_shares(now / trials, then / other_trials),
        trials + other_trials,
        "actors",
        "z test of two shares; actors of both years count in each",
        "clean_events",
        [str(year) for year in years[-2:]],
    )


def _transition(facts: Facts) -> Found:
    candidates = facts.evidence["transitions"]
    for entry in candidates:  # by falling lift
        probability, base = entry["n"] / entry["leaving"], entry["arriving"] / entry["total"]
        if probability <= base or not outside_wilson(probability, entry["leaving"], base, len(candidates)):
            continue
        yield Finding(
            "strongest_transition",
            "One step follows another far more often than chance",
            f"After {wording.quoted(entry['from_event'])} comes {wording.quoted(entry['to_event'])} in "
            f"{wording.share(probability)} of {wording.count(entry['leaving'])} cases, {probability / base:.1f} times "
            f"its {wording.share(base)} among all next steps.",
            Named("transition_probability", probability, "share"),
            Named("base_share", base, "share"),
            effect_of_shares(probability, base),
            entry["leaving"],
            "transitions of the intent stream",
            f"99 % Wilson interval leaves the base share out, corrected for {len(candidates)} transitions in at least "
            f"{MIN_SUPPORT} sessions",
            "clean_events",
            list(facts.years),
        )
        return


def _funnel(facts: Facts) -> Found:
    rows = [entry for entry in facts.lists["funnels"] if entry["population"] == "all"]
    latest = max((entry["year"] for entry in rows), default=0)
    steps: dict[str, list[tuple[int, int, str]]] = {}
    previous: dict[str, tuple[int, str]] = {}
    for entry in rows:
        if entry["year"] != latest:
            continue
        if entry["step"] > 1:
            reached, event = previous[entry["funnel"]]
            steps.setdefault(entry["funnel"], []).append((entry["reached"], reached, f"{event}\0{entry['event_type']}"))
        previous[entry["funnel"]] = (entry["reached"], entry["event_type"])
    candidates = [
        (passed / tried, funnel, passed, tried, events)
        for funnel, pairs in steps.items()
        for passed, tried, events in pairs
        if tried >= MIN_SUPPORT
    ]
    if not candidates:
        return
    share, funnel, passed, tried, events = min(candidates)
    others = [pair for pair in steps[funnel] if pair != (passed, tried, events)]
    other_passed, other_tried = sum(pair[0] for pair in others), sum(pair[1] for pair in others)
    if other_tried < MIN_SUPPORT or z_of_shares(other_passed, other_tried, passed, tried) <= critical(len(candidates)):
        return
    before, after = events.split("\0")
    yield Finding(
        "weakest_funnel_step",
        f"Weakest step of the funnel {wording.quoted(funnel)}",
        f"Of {wording.count(tried)} that reached {wording.quoted(before)}, {wording.share(share)} went on to "
        f"{wording.quoted(after)}; over the other steps of this funnel it is "
        f"{wording.share(other_passed / other_tried)}.",
        Named("step_conversion", share, "share"),
        Named("conversion_of_other_steps", other_passed / other_tried, "share"),
        effect_of_shares(share, other_passed / other_tried),
        tried,
        "sessions or actors",
        f"z test of two shares, corrected for {len(candidates)} steps",
        "spark_funnels",
        [str(latest)],
    )


def _retention(facts: Facts) -> Found:
    weeks: dict[int, list[int]] = {}
    rows = [entry for entry in facts.lists["retention_weekly"] if entry["population"] == "all"]
    for entry in rows:
        sums = weeks.setdefault(entry["week"], [0, 0])
        sums[0] += entry["active_actors"]
        sums[1] += entry["cohort_actors"]
    later = [week for week in (4, 3, 2) if weeks.get(week, [0, 0])[1] >= MIN_SUPPORT]
    if 1 not in weeks or weeks[1][1] < MIN_SUPPORT or not later:
        return
    (back, cohort), (late_back, late_cohort) = weeks[1], weeks[later[0]]
    if abs(z_of_shares(back, cohort, late_back, late_cohort)) <= critical():
        return
    yield Finding(
        "retention",
        "How many come back",
        f"{wording.share(back / cohort)} of the new actors come back one week after their first, "
        f"{wording.share(late_back / late_cohort)} {later[0]} weeks after it.",
        Named("week1_retention", back / cohort, "share"),
        Named(f"week{later[0]}_retention", late_back / late_cohort, "share"),
        effect_of_shares(back / cohort, late_back / late_cohort),
        cohort,
        "actors of cohorts whose week had ended",
        "z test of two shares",
        "spark_retention",
        sorted({str(entry["year"]) for entry in rows}),
    )


def _latency(facts: Facts) -> Found:
    overall, candidates = facts.value("latency_ms_p95"), facts.evidence["latency"]
    for entry in candidates:  # by falling latency
        if not overall or entry["p95_ms"] <= overall:
            return
        clusters = [(above, n) for above, n in entry["clusters"]]
        if z_of_clusters(clusters, 0.05) <= critical(len(candidates)):
            continue
        yield Finding(
            "slowest_country",
            f"Events from {wording.quoted(entry['country'])} arrive slowest",
            f"The slowest 5 % of the events from {wording.quoted(entry['country'])} take more than "
            f"{wording.milliseconds(entry['p95_ms'])} to upload, against {wording.milliseconds(overall)} overall.",
            Named("latency_ms_p95_of_country", entry["p95_ms"], "ms"),
            Named("latency_ms_p95", overall, "ms"),
            effect_of_amounts(entry["p95_ms"], overall),
            len(clusters),
            "actors",
            "z test of the share of events beyond the overall percentile against 5 %, actors as clusters, corrected "
            f"for {len(candidates)} countries",
            "clean_events",
            list(facts.years),
        )
        return


BEHAVIOUR_RULES = (
    _busiest_hour,
    _weekend,
    _month,
    _top_country,
    _country_shift,
    _transition,
    _funnel,
    _retention,
    _latency,
)
"""Every rule of this module."""
