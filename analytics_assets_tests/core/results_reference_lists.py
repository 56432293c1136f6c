"""The published lists in plain Python, the daily one left out.

Put here: the reference of lists. Keep out: single figures and what an event is (``results_reference.py``).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from statistics import fmean, stdev
from typing import Any

from analytics_assets_tests.core.results_reference import (
    PLACES,
    POPULATIONS,
    TOP,
    Row,
    Visit,
    counted,
    grouped,
    mean,
    percentile,
    share,
)


def activity(members: list[Row], total: int) -> dict[str, Any]:
    return {
        "events": len(members),
        "actors": counted(row.event.actor for row in members),
        "sessions": counted(row.event.session for row in members),
        "event_share": len(members) / total,
        "people_events": sum(row.is_person for row in members),
        "events_without_top_actor": sum(not row.is_top for row in members),
    }


def _texts(values: Iterable[str | None]) -> tuple[Any, ...]:
    """Sort key of texts with the missing ones last."""
    return tuple((value is None, value or "") for value in values)


def ranked(rows: list[Row], names: Sequence[str], of: Callable[[Row], tuple[str | None, ...]]) -> list[dict[str, Any]]:
    groups = grouped(rows, of)
    order = sorted(groups, key=lambda values: (-len(groups[values]), _texts(values)))[:TOP]
    return [{**dict(zip(names, values, strict=True)), **activity(groups[values], len(rows))} for values in order]


def by_time(rows: list[Row], name: str, of: Callable[[datetime], Any]) -> list[dict[str, Any]]:
    groups = grouped(rows, lambda row: of(row.time))
    return [{name: value, **activity(groups[value], len(rows))} for value in sorted(groups)]


def _places(rows: list[Row], depth: int) -> list[dict[str, Any]]:
    levels = PLACES[:depth]
    found = ranked(rows, levels, lambda row: tuple(row.observed(level) for level in levels))
    known = Counter(tuple(row.features[level] for level in levels) for row in rows)
    for entry in found:
        place = tuple(entry[level] for level in levels)
        entry["events_with_imputed"] = known[place]
        if depth < 3:
            code = f"{levels[-1]}_code"
            entry[code] = min(
                (
                    row.features[code]
                    for row in rows
                    if entry[levels[-1]] is not None
                    and tuple(row.observed(level) for level in levels) == place
                    and row.features[code] is not None
                ),
                default=None,
            )
    return found


def _methods(rows: list[Row]) -> list[dict[str, Any]]:
    found = []
    for level in PLACES:
        groups = grouped(rows, lambda row, level=level: row.features[f"{level}_method"] or "unknown")
        for method in sorted(groups, key=lambda name: (-len(groups[name]), name)):
            members = groups[method]
            known = [row.features[f"{level}_confidence"] for row in members]
            found.append(
                {
                    "level": level,
                    "method": method,
                    "events": len(members),
                    "event_share": len(members) / len(rows),
                    "mean_confidence": None if method == "unknown" else fmean(known),
                }
            )
    return found


def transitions(streams: list[tuple[Visit, list[Row]]]) -> list[dict[str, Any]]:
    found: dict[tuple[str, str], list[tuple[int, Visit, float]]] = defaultdict(list)
    for number, (visit, steps) in enumerate(streams):
        for a, b in pairwise(steps):
            found[a.kind, b.kind].append((number, visit, (b.time - a.time).total_seconds()))
    leaving, arriving, total = Counter[str](), Counter[str](), 0
    for (a, b), cases in found.items():
        leaving[a] += len(cases)
        arriving[b] += len(cases)
        total += len(cases)
    return [
        {
            "from_event": a,
            "to_event": b,
            "transitions": len(cases),
            "sessions": counted(number for number, _, _ in cases),
            "probability": len(cases) / leaving[a],
            "lift": len(cases) / leaving[a] / (arriving[b] / total),
            "median_seconds": percentile([seconds for _, _, seconds in cases], 0.5),
            "people_transitions": sum(visit.is_person for _, visit, _ in cases),
            "transitions_without_top_actor": sum(not visit.is_top for _, visit, _ in cases),
        }
        for (a, b), cases in sorted(found.items(), key=lambda entry: (-len(entry[1]), entry[0]))[:TOP]
    ]


def _ends(visits: list[Visit], place: int) -> list[dict[str, Any]]:
    groups = defaultdict(list)
    for visit in visits:
        groups[visit.members[place].kind].append(visit)
    return [
        {
            "event_type": kind,
            "sessions": len(groups[kind]),
            "session_share": len(groups[kind]) / len(visits),
            "people_sessions": sum(visit.is_person for visit in groups[kind]),
            "sessions_without_top_actor": sum(not visit.is_top for visit in groups[kind]),
        }
        for kind in sorted(groups, key=lambda kind: (-len(groups[kind]), kind))[:TOP]
    ]


def ngrams(visits: list[Visit]) -> list[dict[str, Any]]:
    found = []
    for stream in ("raw", "intent"):
        for length in range(2, 6):
            cases = defaultdict(list)
            for visit in visits:
                kinds = [row.kind for row in (visit.members if stream == "raw" else visit.intents)]
                for place in range(len(kinds) - length + 1):
                    cases[tuple(kinds[place : place + length])].append(visit)
            total = sum(len(members) for members in cases.values())
            order = sorted(cases, key=lambda kinds: (-len(cases[kinds]), kinds))[:TOP]
            found += [
                {
                    "stream": stream,
                    "length": length,
                    "place": place,
                    "events": list(kinds),
                    "occurrences": len(cases[kinds]),
                    "sessions": len({id(visit) for visit in cases[kinds]}),
                    "occurrence_share": len(cases[kinds]) / total,
                    "occurrences_without_top_actor": sum(not visit.is_top for visit in cases[kinds]),
                }
                for place, kinds in enumerate(order, 1)
            ]
    return found


def _timing(visits: list[Visit], name: str, of: Callable[[datetime], Any]) -> list[dict[str, Any]]:
    groups = defaultdict(list)
    for visit in visits:
        groups[of(visit.start)].append(visit)
    return [
        {
            name: value,
            "sessions": len(groups[value]),
            "mean_session_seconds": fmean(visit.seconds for visit in groups[value]),
            "median_session_seconds": percentile([visit.seconds for visit in groups[value]], 0.5),
            "mean_session_seconds_without_top_actor": mean([v.seconds for v in groups[value] if not v.is_top]),
        }
        for value in sorted(groups)
    ]


def _latency(groups: dict[Any, list[Row]], name: str, order: list[Any]) -> list[dict[str, Any]]:
    found = []
    for value in order:
        known = [row.latency for row in groups[value] if row.latency is not None]
        found.append(
            {
                name: value,
                "events": len(known),
                "left_out": len(groups[value]) - len(known),
                "mean_ms": mean(known),
                "median_ms": percentile(known, 0.5),
                "p95_ms": percentile(known, 0.95),
                "p99_ms": percentile(known, 0.99),
            }
        )
    return found


def _months(rows: list[Row], years: Sequence[str]) -> list[dict[str, Any]]:
    found = by_time(rows, "month", lambda time: f"{time:%Y-%m}")
    inside = sorted(row.time.date() for row in rows if str(row.time.year) in years)
    by_name = {}
    for entry in found:
        year, month = map(int, entry["month"].split("-"))
        end = date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
        entry["in_years"] = str(year) in years
        entry["is_complete"] = entry["in_years"] and inside[0] <= date(year, month, 1) and inside[-1] >= end
        before = by_name.get((date(year, month, 1) - timedelta(days=1)).strftime("%Y-%m"))
        comparable = entry["is_complete"] and before is not None and before["is_complete"]
        for change, number in (
            ("events_change", "events"),
            ("events_change_without_top_actor", "events_without_top_actor"),
        ):
            entry[change] = entry[number] / before[number] - 1 if comparable and before and before[number] else None
        by_name[entry["month"]] = entry
    return found


def _peak(rows: list[Row], inside: str, best: str) -> list[dict[str, Any]]:
    of = {"hour": lambda row: row.time.hour, "weekday": lambda row: row.time.isoweekday()}
    found = []
    for value, members in sorted(grouped(rows, of[inside]).items()):
        counts = Counter(of[best](row) for row in members)
        top = min(counts, key=lambda key: (-counts[key], key))
        found.append({inside: value, best: top, "events": counts[top], "share": counts[top] / len(members)})
    return found


def _favourites(members: list[Row], limit: int) -> list[tuple[str, int]]:
    counts = Counter(row.kind for row in members if not row.is_noise)
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:limit]


def _regional(rows: list[Row]) -> list[dict[str, Any]]:
    groups = grouped(
        (row for row in rows if row.observed("region") is not None and not row.is_noise),
        lambda row: (row.observed("country"), row.observed("region")),
    )
    order = sorted(groups, key=lambda place: (-len(groups[place]), _texts(place)))[:TOP]
    return [
        {
            "country": country,
            "region": region,
            "place": place,
            "event_type": kind,
            "events": number,
            "region_share": number / len(groups[country, region]),
        }
        for country, region in order
        for place, (kind, number) in enumerate(_favourites(groups[country, region], 10), 1)
    ]


def _cities(rows: list[Row]) -> list[dict[str, Any]]:
    groups = grouped(
        (row for row in rows if row.observed("city") is not None),
        lambda row: tuple(row.observed(level) for level in PLACES),
    )
    found = []
    for place in sorted(groups, key=lambda place: (-len(groups[place]), _texts(place)))[:TOP]:
        members = groups[place]
        hours = Counter(row.time.hour for row in members)
        counts = activity(members, len(rows))
        found.append(
            {
                **dict(zip(PLACES, place, strict=True)),
                **{name: counts[name] for name in ("events", "actors", "sessions")},
                "events_per_actor": share(counts["events"], counts["actors"]),
                "sessions_per_actor": share(counts["sessions"], counts["actors"]),
                "peak_hour": min(hours, key=lambda hour: (-hours[hour], hour)),
                "top_events": [kind for kind, _ in _favourites(members, 5)],
            }
        )
    return found


def _between(visits: list[Visit]) -> list[dict[str, Any]]:
    gaps = defaultdict(list)
    for visit in visits:
        for a, b in pairwise(visit.members):
            gaps[b.kind].append((b.time - a.time).total_seconds())
    return [
        {
            "event_type": kind,
            "gaps": len(gaps[kind]),
            "mean_seconds": fmean(gaps[kind]),
            **{f"{n}_seconds": percentile(gaps[kind], q) for n, q in (("p25", 0.25), ("median", 0.5), ("p75", 0.75))},
            "p95_seconds": percentile(gaps[kind], 0.95),
        }
        for kind in sorted(gaps, key=lambda kind: (-len(gaps[kind]), kind))[:TOP]
    ]


def _described(measure: str, unit: str, population: str, values: list[float]) -> list[dict[str, Any]]:
    if not values:
        return []
    return [
        {
            "measure": measure,
            "unit": unit,
            "population": population,
            "n": len(values),
            "mean": fmean(values),
            "std": stdev(values) if len(values) > 1 else None,
            "min": float(min(values)),
            "p25": percentile(values, 0.25),
            "median": percentile(values, 0.5),
            "p75": percentile(values, 0.75),
            "p95": percentile(values, 0.95),
            "max": float(max(values)),
        }
    ]


def distributions(every: list[Row], sessions: list[Visit], daily_events: list[float]) -> list[dict[str, Any]]:
    found = []
    for name, chosen in POPULATIONS.items():
        rows, visits = [row for row in every if chosen(row)], [visit for visit in sessions if chosen(visit)]
        actors = grouped((row for row in rows if row.event.actor is not None), lambda row: row.event.actor).values()
        gaps, pauses = (
            [(b.time - a.time).total_seconds() for visit in visits for a, b in pairwise(getattr(visit, stream))]
            for stream in ("members", "intents")
        )
        processing = [row.milliseconds("server_received_time", "processed_time") for row in rows]
        measures: list[tuple[str, str, list[Any]]] = [
            ("events_per_session", "events", [len(visit.members) for visit in visits]),
            ("event_types_per_session", "types", [counted(row.kind for row in visit.members) for visit in visits]),
            ("intent_steps_per_session", "steps", [len(visit.intents) for visit in visits]),
            ("session_seconds", "s", [visit.seconds for visit in visits]),
            ("event_session_seconds", "s", [visit.seconds for visit in visits for _ in visit.members]),
            ("seconds_between_events", "s", gaps),
            ("seconds_between_intents", "s", pauses),
            ("latency_ms", "ms", [row.latency for row in rows if row.latency is not None]),
            ("processing_ms", "ms", [value for value in processing if value is not None]),
            ("events_per_actor", "events", [len(members) for members in actors]),
            ("sessions_per_actor", "sessions", [counted(row.event.session for row in members) for members in actors]),
            ("active_days_per_actor", "days", [counted(row.time.date() for row in members) for members in actors]),
            ("event_types_per_actor", "types", [counted(row.kind for row in members) for members in actors]),
        ]
        for measure, unit, values in measures:
            found += _described(measure, unit, name, values)
    return found + _described("events_per_day", "events", "all", daily_events)


def lists(rows: list[Row], visits: list[Visit], years: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Every list that is counted from events, except the daily one and the distributions."""
    total = len(rows)
    hours = Counter(row.time.hour for row in rows)
    hourly = [{"hour": h, "events": hours[h], "event_share": hours[h] / total} for h in range(24)]
    week = grouped(rows, lambda row: (row.time.isoweekday(), row.time.hour))
    days = grouped(rows, lambda row: row.time.date())
    countries = grouped(rows, lambda row: row.observed("country"))
    by_hour = grouped(rows, lambda row: row.time.hour)
    known = {place: sum(row.latency is not None for row in members) for place, members in countries.items()}
    dropped = Counter(
        (int(row.year), row.features["dropped_by"]) for row in rows if row.features.get("dropped_by") is not None
    )

    def by(*names: str) -> list[dict[str, Any]]:
        return ranked(rows, names, lambda row: tuple(row[name] for name in names))

    return {
        "top_events": by("event_type"),
        "top_transitions": transitions([(visit, visit.members) for visit in visits]),
        "intent_transitions": transitions([(visit, visit.intents) for visit in visits]),
        "ngrams": ngrams(visits),
        "entry_events": _ends(visits, 0),
        "exit_events": _ends(visits, -1),
        "countries": _places(rows, 1),
        "regions": _places(rows, 2),
        "cities": _places(rows, 3),
        "geography_methods": _methods(rows),
        "regional_preferences": _regional(rows),
        "city_patterns": _cities(rows),
        "device_families": by("device_family"),
        "device_types": by("device_type"),
        "os_names": by("os_name"),
        "os_versions": by("os_name", "os_version"),
        "platforms": by("platform"),
        "languages": by("language"),
        "versions": by("version_name"),
        "country_devices": ranked(
            rows, ("country", "device_family"), lambda row: (row.observed("country"), row["device_family"])
        ),
        "hours": by_time(rows, "hour", lambda time: time.hour),
        "weekdays": by_time(rows, "weekday", lambda time: time.isoweekday()),
        "weekday_hours": [
            {"weekday": day, "hour": hour, **activity(week.get((day, hour), []), total)}
            for day in range(1, 8)
            for hour in range(24)
        ],
        "months": _months(rows, years),
        "years": by_time(rows, "year", lambda time: time.year),
        "busiest_days": [
            {"date": str(day), "weekday": day.isoweekday(), **activity(days[day], total)}
            for day in sorted(days, key=lambda day: (-len(days[day]), day))[:10]
        ],
        "busiest_hours": sorted(hourly, key=lambda entry: (-entry["events"], entry["hour"]))[:5],
        "quietest_hours": sorted(hourly, key=lambda entry: (entry["events"], entry["hour"]))[:5],
        "peak_hour_by_weekday": _peak(rows, "weekday", "hour"),
        "peak_weekday_by_hour": _peak(rows, "hour", "weekday"),
        "session_hours": _timing(visits, "hour", lambda time: time.hour),
        "session_weekdays": _timing(visits, "weekday", lambda time: time.isoweekday()),
        "session_months": _timing(visits, "month", lambda time: f"{time:%Y-%m}"),
        "latency_by_country": _latency(
            countries, "country", sorted(countries, key=lambda place: (-known[place], _texts([place])))[:24]
        ),
        "latency_by_hour": _latency(by_hour, "hour", sorted(by_hour)),
        "time_between_events": _between(visits),
        "cleaning": [
            {"year": year, "step": step, "events": dropped[year, step], "event_share": dropped[year, step] / total}
            for year, step in sorted(dropped, key=lambda key: (key[0], -dropped[key], key[1]))
        ],
    }
