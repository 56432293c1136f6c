"""What is true about a sample: counts, parameters, and how well it can be predicted.

Belongs here: everything written to ``truth.json`` and ``truth_hidden_states.csv.gz``. Does not belong here: drawing
the sample. Counts are taken from the sample's arrays, never from the files: reading the files must give the same.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analytics_assets.sample import calibration
from analytics_assets.sample.assembly import Sample
from analytics_assets.sample.journeys import END, PERSONAS, SCRIPTED_PERSONA
from analytics_assets.sample.optimum import bayes_optimal
from analytics_assets.sample.population import EMPTY_USER_ID
from analytics_assets.sample.records import time_texts, uuid_texts
from analytics_assets.sample.simulation import SINGLE
from analytics_assets.sample.timing import CLOCK_LIMIT_MS
from analytics_assets.sample.volume import calendar

GENERATOR: Final = "analytics_assets.sample 1.0"
FLOAT_DIGITS: Final = 12

DEFINITIONS: Final = {
    "records": "elements of the file's array, or lines of its members",
    "events": "distinct valid events, to be loaded",
    "duplicates": "records that repeat an event of the same file, equal in every field",
    "malformed": "records a reader must refuse, see malformed_by_reason",
    "events_outside_year": "events in the year's file whose event_time lies in another year",
    "sessions": "distinct pairs of amplitude_id and session_id; over all years each counts once",
    "users": "distinct amplitude_id; user_ids: distinct user_id, neither null nor EMPTY",
    "session_duration_s": "last minus first event_time, seconds; over_events gives each event its session's duration",
    "latency_ms": "server_received_time - client_upload_time over events, milliseconds; synchronised_clocks leaves out "
    "devices whose clock is wrong by more than a minute; p95 interpolates linearly",
    "expected_daily_events": "mean number of distinct events per UTC date of event_time under the model, given the "
    "people, their stay and their places; a session running past midnight is counted on the day it began",
    "structural_nulls": "device_type is null exactly for device_family Mac OS X and iOS; dma is null exactly where "
    "country is not United States or city is null; region is null only where city is null",
}


def rounded(value: Any) -> Any:
    """Copy of a JSON value with floats rounded to :data:`FLOAT_DIGITS` digits and NumPy numbers made plain."""
    if isinstance(value, dict):
        return {str(key): rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    if isinstance(value, np.ndarray):
        return rounded(value.tolist())
    if isinstance(value, float | np.floating):
        return round(float(value), FLOAT_DIGITS)
    if isinstance(value, np.integer):
        return int(value)
    return value


def _event_years(sample: Sample) -> NDArray[np.int64]:
    """Calendar year of each event's event_time: int64 (E,)."""
    return sample.clocks.event.astype("datetime64[ms]").astype("datetime64[Y]").astype(np.int64) + 1970


def _counts(sample: Sample, events: NDArray[np.int64]) -> dict[str, Any]:
    """Figures every scope has: one file's events, or all."""
    sessions = np.unique(sample.layout.session[events])
    users = np.unique(sample.user[sessions])
    named = {sample.user_ids[u] for u in users.tolist()} - {None, EMPTY_USER_ID}
    times = sample.clocks.event[events]
    first, last = time_texts(np.array([times.min(), times.max()])) if len(events) else (None, None)
    return {
        "events": len(events),
        "sessions": len(sessions),
        "users": len(users),
        "user_ids": len(named),
        "first_event_time": first,
        "last_event_time": last,
    }


def year_truth(
    sample: Sample, year: int, events: NDArray[np.int64], duplicates: int, malformed_by_reason: dict[str, int]
) -> dict[str, Any]:
    """Figures of one year's file.

    Parameters
    ----------
    sample : Sample
    year : int
    events : int64 (n,)
        Indices of the file's distinct events.
    duplicates : int
    malformed_by_reason : dict of str to int

    Returns
    -------
    dict
    """
    malformed = sum(malformed_by_reason.values())
    return {
        **_counts(sample, events),
        "records": len(events) + duplicates + malformed,
        "duplicates": duplicates,
        "malformed": malformed,
        "malformed_by_reason": malformed_by_reason,
        "events_outside_year": int((_event_years(sample)[events] != year).sum()),
    }


def _session_figures(sample: Sample) -> dict[str, Any]:
    """Durations and kinds of sessions, over all years."""
    event = sample.clocks.event
    counts = sample.journeys.n_events()
    first = sample.layout.first
    duration = np.maximum.reduceat(event, first) - np.minimum.reduceat(event, first)
    lowest = np.minimum.reduceat(sample.file_year, first)
    highest = np.maximum.reduceat(sample.file_year, first)
    years = _event_years(sample)
    crossing = np.minimum.reduceat(years, first) != np.maximum.reduceat(years, first)
    per_event = np.repeat(duration, counts)
    ids, uses = np.unique(sample.session_id, return_counts=True)
    return {
        "single_event_sessions": int((sample.journeys.kind == SINGLE).sum()),
        "empty_sessions": int(((counts == 2) & (sample.journeys.n_actions == 0)).sum()),
        "active_sessions": int((sample.journeys.n_actions > 0).sum()),
        "scripted_sessions": len(counts) - sample.n_human,
        "sessions_crossing_new_year": int(crossing.sum()),
        "sessions_in_two_files": int((lowest != highest).sum()),
        "session_ids_of_several_users": len(ids[uses > 1]),
        "events_per_session": {"mean": counts.mean(), "median": np.median(counts)},
        "session_duration_s": {
            "over_sessions": {"mean": duration.mean() / 1000, "median": np.median(duration) / 1000},
            "over_events": {"mean": per_event.mean() / 1000, "median": np.median(per_event) / 1000},
        },
    }


def _latency(sample: Sample) -> dict[str, Any]:
    """Latency of all events, and of those whose clocks agree within a minute."""
    latency = sample.clocks.server_received - sample.clocks.client_upload
    agreed = latency[np.abs(latency) <= CLOCK_LIMIT_MS]
    return {
        name: {"events": len(values), "mean": values.mean(), "p95": round(float(np.percentile(values, 95)), 6)}
        for name, values in (("all", latency), ("synchronised_clocks", agreed))
    }


def _breakdowns(sample: Sample) -> dict[str, Any]:
    """Events by country, device family and event type, over all years; values without events left out."""
    counts = sample.journeys.n_events()
    countries: dict[str, int] = {}
    families: dict[str, int] = {}
    for user, device, n in zip(sample.user.tolist(), sample.device.tolist(), counts.tolist(), strict=True):
        country, family = sample.places[user].country, sample.devices.family[device]
        countries[country] = countries.get(country, 0) + n
        families[family] = families.get(family, 0) + n
    names = sample.model.event_types
    per_type = np.bincount(sample.layout.code, minlength=len(names)).tolist()
    types = {name: n for name, n in zip(names, per_type, strict=True) if n}
    return {
        "event_types": len(types),
        "events_by_country": countries,
        "events_by_device_family": families,
        "events_by_event_type": types,
    }


def _users(sample: Sample) -> dict[str, Any]:
    """Who each person is; only those with at least one event."""
    used: dict[int, set[int]] = {}
    for user, device in zip(sample.user.tolist(), sample.device.tolist(), strict=True):
        used.setdefault(user, set()).add(device)
    out = {}
    for user in sorted(used):
        scripted = user == sample.config.users
        out["scripted" if scripted else f"user{user + 1:05d}"] = {
            "persona": SCRIPTED_PERSONA if scripted else sample.model.personas[int(sample.persona[user])],
            "amplitude_id": sample.amplitude_ids[user],
            "user_id": sample.user_ids[user],
            "device_ids": [sample.device_ids[d] for d in sorted(used[user])],
            "scripted": scripted,
        }
    return out


def _parameters(sample: Sample) -> dict[str, Any]:
    """The behaviour model."""
    model = sample.model
    render: dict[str, Any] = {
        page: {"stop_probability": stop, "widgets": {}}
        for page, stop in zip(model.pages, model.stop.tolist(), strict=True)
    }
    for name, page, share in zip(model.renders, model.render_page.tolist(), model.render_share.tolist(), strict=True):
        render[model.pages[page]]["widgets"][name] = share
    return {
        "hidden_states": list(model.states),
        "intent_events": list(model.actions),
        "emission": model.emission,
        "transition_columns": [*model.states, END],
        "personas": {
            persona.name: {
                "description": persona.description,
                "initial": model.initial[p],
                "transition": model.transition[p],
            }
            for p, persona in enumerate(PERSONAS)
        },
        "render": render,
    }


def full_truth(sample: Sample, years: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The content of ``truth.json``.

    Parameters
    ----------
    sample : Sample
    years : dict
        Figures of each year's file, from :func:`year_truth`.

    Returns
    -------
    dict
        JSON values, floats rounded.
    """
    reasons: dict[str, int] = {}
    for figures in years.values():
        for reason, n in figures["malformed_by_reason"].items():
            reasons[reason] = reasons.get(reason, 0) + n
    sums = {
        name: sum(figures[name] for figures in years.values())
        for name in ("records", "duplicates", "malformed", "events_outside_year")
    }
    everything = np.arange(len(sample.layout.code))
    human = sample.journeys.head(sample.n_human)
    days = [day.isoformat() for day in calendar(sample.config.years)]
    truth: dict[str, Any] = rounded(
        {
            "synthetic": True,
            "generator": GENERATOR,
            "calibrated_on": calibration.SOURCE,
            "config": dataclasses.asdict(sample.config),
            "definitions": DEFINITIONS,
            "years": years,
            "total": {
                **_counts(sample, everything),
                **sums,
                "malformed_by_reason": reasons,
                **_session_figures(sample),
                "latency_ms": _latency(sample),
                **_breakdowns(sample),
            },
            **_parameters(sample),
            "users": _users(sample),
            # Six digits: sums over people and days may differ in their last ones between machines.
            "expected_daily_events": dict(zip(days, np.round(sample.expected_daily, 6).tolist(), strict=True)),
            "bayes_optimal": bayes_optimal(sample.model, human, sample.persona[sample.user[: sample.n_human]]),
        }
    )
    return truth


def hidden_state_lines(sample: Sample, block: int = 50_000) -> list[str]:
    """Text blocks of ``truth_hidden_states.csv.gz``: uuid, state and persona of each human action, session by session.

    Parameters
    ----------
    sample : Sample
    block : int
        Actions per text block.

    Returns
    -------
    list of str
        The first block begins with the header.
    """
    n = int(sample.journeys.n_actions[: sample.n_human].sum())
    at = sample.layout.action_at[:n]
    who = sample.persona[sample.user[sample.layout.session[at]]].tolist()
    states = sample.journeys.state[:n].tolist()
    out = ["uuid,state,persona\n"]
    for start in range(0, n, block):
        part = slice(start, start + block)
        rows = zip(uuid_texts(sample.uuid[at[part]]), states[part], who[part], strict=True)
        out.append("".join(f"{uuid},{sample.model.states[k]},{sample.model.personas[p]}\n" for uuid, k, p in rows))
    return out
