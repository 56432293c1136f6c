"""Rules about what the figures mean: weighting, machines, noise, order, quality.

Put here: one function per rule. Keep out: rules about what people do (``rules_behaviour.py``).
"""

from __future__ import annotations

from analytics_assets.core.results import wording
from analytics_assets.core.results.facts import COUNTED, Facts, Finding, Found, Named
from analytics_assets.core.results.significance import (
    effect_of_amounts,
    effect_of_shares,
    outside_wilson,
)

MEASURES = (
    "session_seconds_mean",
    "session_seconds_median",
    "event_session_seconds_mean",
    "events_per_session_mean",
    "bounce_share",
    "noise_share",
    "events_per_actor_mean",
    "latency_ms_mean",
    "latency_ms_p95",
    "week1_retention",
)
"""Means and shares that are looked at for the weight of the most active actor."""

COUNTS = ("events", "sessions", "monthly_active_actors")
"""Counts that are looked at too: they shrink without any actor, so a mean or a share that moves says more."""

OWN_RULES = ("not_dominated_by_one_actor", "stable_against_previous_year")
"""Grades that other rules speak about."""


def _weighting(facts: Facts) -> Found:
    per_event, per_session = facts.value("event_session_seconds_mean"), facts.value("session_seconds_mean")
    if not per_event or not per_session:
        return
    yield Finding(
        "session_length_weighting",
        "The average session depends on what is averaged",
        f"A session lasts {wording.duration(per_session)} on average when every session counts once, but "
        f"{wording.duration(per_event)} when every event counts once and carries its session's duration; the median "
        f"over sessions is {wording.duration(facts.value('session_seconds_median'))}.",
        Named("event_session_seconds_mean", per_event, "s"),
        Named("session_seconds_mean", per_session, "s"),
        effect_of_amounts(per_event, per_session),
        facts.value("sessions"),
        "sessions",
        COUNTED,
        "sessions",
        list(facts.years),
    )


def _noise(facts: Facts) -> Found:
    noise, types, noisy = facts.value("noise_share"), facts.value("event_types"), facts.evidence["noise_types"]
    if not noise or not types:
        return
    of_types = noisy / types
    if not outside_wilson(noise, facts.value("events"), of_types):
        return
    yield Finding(
        "interface_noise",
        "Many events are made by the interface",
        f"{wording.share(noise)} of the events are made by the interface itself, such as page renders, though only "
        f"{wording.count(noisy)} of {wording.count(types)} event types ({wording.share(of_types)}) are of this kind."
        if noise > of_types
        else f"{wording.share(noise)} of the events are made by the interface itself, against "
        f"{wording.share(of_types)} of the event types.",
        Named("noise_share", noise, "share"),
        Named("noise_type_share", of_types, "share"),
        effect_of_shares(noise, of_types),
        facts.value("events"),
        "events",
        "99 % Wilson interval of the first share leaves the second out",
        "clean_events",
        list(facts.years),
    )


def _scripted(facts: Facts) -> Found:
    share, machines, actors = facts.value("scripted_event_share"), facts.value("scripted_actors"), facts.value("actors")
    if not machines or not actors:
        return
    of_actors = machines / actors
    verb = "is" if machines == 1 else "are"
    yield Finding(
        "scripted_actors",
        "Machines act among the users",
        f"{wording.count(machines)} of {wording.count(actors)} actors ({wording.share(of_actors)}) {verb} scripted: "
        f"the same sequence again and again, more often than people come. Their share of the events is "
        f"{wording.share(share)}.",
        Named("scripted_event_share", share, "share"),
        Named("scripted_actor_share", of_actors, "share"),
        effect_of_shares(share, of_actors),
        facts.value("events"),
        "events",
        COUNTED,
        "actors",
        list(facts.years),
    )


def _top_actor(facts: Facts) -> Found:
    """The headline that changes most without the most active actor, if it changes by more than the limit."""
    moved: list[tuple[bool, float, str, float, float]] = []
    for name in (*MEASURES, *COUNTS):
        value, without = facts.value(name), facts.metrics[name]["without_top_actor"]
        if value and without is not None and abs(without / value - 1) > facts.top_actor_limit:
            moved.append((name in MEASURES, effect_of_amounts(value, without), name, value, without))
    if not moved:
        return
    _, effect, name, value, without = max(moved, key=lambda entry: entry[:2])
    metric, share = facts.metrics[name], facts.value("top_actor_share")
    others = f" {len(moved)} of {len(MEASURES) + len(COUNTS)} headline figures change by more than "
    others += f"{wording.share(facts.top_actor_limit)} then."
    yield Finding(
        "top_actor",
        "One actor moves the figures",
        f"The most active actor made {wording.share(share)} of the events. Without it “{metric['label']}” is "
        f"{wording.measure(without, metric['unit'])} instead of {wording.measure(value, metric['unit'])}.{others}",
        Named(name, value, metric["unit"]),
        Named(f"{name}_without_top_actor", without, metric["unit"]),
        effect,
        facts.value("events"),
        "events",
        COUNTED,
        metric["source"],
        list(facts.years),
    )


def _bounces(facts: Facts) -> Found:
    share, of_events, sessions = (
        facts.value("bounce_share"),
        facts.evidence["bounce_event_share"],
        facts.value("sessions"),
    )
    if not share or of_events is None or not outside_wilson(share, sessions, of_events):
        return
    yield Finding(
        "bounces",
        "Many sessions hold little" if share > 0.5 else "Some sessions hold little",
        f"{wording.share(share)} of {wording.count(sessions)} sessions have at most one step of intent; "
        f"{wording.share(of_events)} of the events inside sessions are theirs.",
        Named("bounce_share", share, "share"),
        Named("event_share_of_bounces", of_events, "share"),
        effect_of_shares(share, of_events),
        sessions,
        "sessions",
        "99 % Wilson interval of the first share leaves the second out",
        "sessions",
        list(facts.years),
    )


def _order(facts: Facts) -> Found:
    bursts, ties, transitions = facts.value("burst_share"), facts.value("tie_share"), facts.value("transitions")
    if not bursts or ties is None:
        return
    yield Finding(
        "uncertain_order",
        "The order of many events is not certain",
        f"{wording.share(bursts)} of {wording.count(transitions)} transitions happen faster than the burst limit, so "
        f"which event came first is not certain; {wording.share(ties)} have equal times.",
        Named("burst_share", bursts, "share"),
        Named("tie_share", ties, "share"),
        effect_of_shares(bursts, ties),
        transitions,
        "transitions",
        COUNTED,
        "clean_events",
        list(facts.years),
    )


def _quality(facts: Facts) -> Found:
    """The grade that is furthest beyond its limit, of the latest year; concentration and drift have their own rules."""
    year = max(facts.quality, default="")
    grades = facts.quality.get(year, {}).get("grades", [])
    beyond = [
        (effect_of_amounts(grade["value"], grade["limit"]), grade)
        for grade in grades
        if not grade["passed"] and grade["value"] is not None and grade["name"] not in OWN_RULES
    ]
    if not beyond:
        return
    effect, grade = max(beyond, key=lambda entry: entry[0])
    worst = f" Worst: {wording.quoted(grade['offenders'][0]['name'])}." if grade["offenders"] else ""
    more = f" {len(beyond)} grades of the year are beyond their limits." if len(beyond) > 1 else ""
    yield Finding(
        "data_quality",
        f"A quality figure of {year} is beyond its limit",
        f"{grade['what']} In {year} it is {wording.share(grade['value'])}, the limit is "
        f"{wording.share(grade['limit'])}.{worst}{more}",
        Named(grade["name"], grade["value"], "share"),
        Named("limit", grade["limit"], "share"),
        effect,
        facts.quality[year]["ingestion"]["loaded"],
        "events",
        "limit of analytics.toml",
        "data_quality",
        [year],
    )


def _drift(facts: Facts) -> Found:
    """The column that has drifted most against the year before, in the latest year that has a comparison."""
    years = [year for year, quality in facts.quality.items() if quality.get("drift")]
    if not years:
        return
    year = max(years)
    drift = facts.quality[year]["drift"]
    drifted = [column for column in drift["columns"] if column["drifted"]]
    if not drifted:
        return
    column = max(drifted, key=lambda entry: entry["psi"])
    moved = column["largest"][:1]
    example = (
        f" {wording.quoted(str(moved[0]['value']))} went from {wording.share(moved[0]['share_before'])} to "
        f"{wording.share(moved[0]['share_now'])}."
        if moved
        else ""
    )
    yield Finding(
        "drift",
        f"{wording.quoted(column['column'])} has drifted",
        f"The distribution of {wording.quoted(column['column'])} in {year} differs from that of "
        f"{drift['previous_year']}: population stability index {column['psi']:.2f}, limit {drift['limits']['psi']:g}."
        f"{example} {len(drifted)} of {len(drift['columns'])} columns have drifted.",
        Named(f"psi_of_{column['column']}", column["psi"], "PSI"),
        Named("limit", drift["limits"]["psi"], "PSI"),
        effect_of_amounts(column["psi"], drift["limits"]["psi"]),
        facts.quality[year]["ingestion"]["loaded"],
        "events",
        "beyond the limit and beyond what redrawing the actors of the year before gives",
        "data_quality",
        sorted([drift["previous_year"], year]),
    )


DATA_RULES = (_weighting, _noise, _scripted, _top_actor, _bounces, _order, _quality, _drift)
"""Every rule of this module."""
