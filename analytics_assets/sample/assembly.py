"""The whole sample in memory: journeys, people and clocks put together.

Belongs here: the order in which the parts are drawn and what each needs from the others.
Does not belong here: the parts themselves, JSON and files.

The order matters: journeys are drawn before places and devices, so that those can be handed out by the events a person
really has; places come before starts, because working hours are local.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analytics_assets.sample import calibration
from analytics_assets.sample.config import SampleConfig
from analytics_assets.sample.journeys import Model, build_model, expected_session_events
from analytics_assets.sample.population import (
    SCRIPTED_PLACE,
    SCRIPTED_USER_ID,
    Devices,
    People,
    Place,
    choose_devices,
    draw_people,
    draw_sessions,
    first_session_days,
    make_devices,
    name_users,
    place_users,
    presence,
)
from analytics_assets.sample.records import uuid_digits, uuid_texts
from analytics_assets.sample.sampling import random_streams, take_share
from analytics_assets.sample.simulation import (
    ACTIVE,
    EventLayout,
    Journeys,
    append_scripted,
    draw_kinds,
    lay_out,
    simulate,
)
from analytics_assets.sample.timing import (
    Clocks,
    cross_new_year,
    elapsed_ms,
    human_starts,
    scripted_starts,
    separate_sessions,
    share_session_ids,
    stamp,
)
from analytics_assets.sample.volume import DAY_MS, calendar, day_weights, epoch_ms, hour_profiles, utc_day_shift

STREAMS: Final = ("people", "sessions", "kinds", "journeys", "places", "names", "devices", "times", "ids", "files")

SCRIPTED_EVENTS: Final = 3
"""Events of each session of the scripted monitor."""

SESSIONS_PER_COLLISION: Final = 1000
MIN_COLLISIONS: Final = 3
"""Pairs of sessions of different people with one session id: rare as in life, but never absent."""

FIRST_AMPLITUDE_ID: Final = 1_200_000_000_000
"""Real ids are of this size: beyond 32 bits, below the 53 bits a float keeps."""

_Table = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """Everything there is to know about a sample (S sessions, E events, U users; the scripted monitor is user U).

    Attributes
    ----------
    config, model, journeys, layout, clocks, devices
        The parts; the scripted monitor's sessions come last.
    n_human : int
        Number of human sessions.
    persona : int64 (U,)
    user, device : int64 (S,)
        Person and device slot of each session.
    session_id : int64 (S,)
    event_id : int64 (E,)
    first_of_user : bool (E,)
        A person's first event.
    uuid, insert_id : uint8 (E, 16)
    places, user_ids : list, length U + 1
    amplitude_ids : int64 (U + 1,)
    device_ids : list of str, length 2 (U + 1)
    file_year : int64 (E,)
        Index of the year whose file holds the event: by server upload, the last year also what comes after it.
    expected_daily : float64 (D,)
        Expected distinct events per UTC day.
    files_rng : numpy.random.Generator
        For the order of records, duplicates and malformed records.
    """

    config: SampleConfig
    model: Model
    journeys: Journeys
    layout: EventLayout
    clocks: Clocks
    devices: Devices
    n_human: int
    persona: NDArray[np.int64]
    user: NDArray[np.int64]
    device: NDArray[np.int64]
    session_id: NDArray[np.int64]
    event_id: NDArray[np.int64]
    first_of_user: NDArray[np.bool_]
    uuid: NDArray[np.uint8]
    insert_id: NDArray[np.uint8]
    places: list[Place]
    user_ids: list[str | None]
    amplitude_ids: NDArray[np.int64]
    device_ids: list[str]
    file_year: NDArray[np.int64]
    expected_daily: NDArray[np.float64]
    files_rng: np.random.Generator


def _human_journeys(
    streams: dict[str, np.random.Generator],
    model: Model,
    people: People,
    day_weight: _Table,
    events: int,
) -> tuple[Journeys, NDArray[np.int64], NDArray[np.int64]]:
    """Sessions until their events come nearest to `events`; also the user and local day of each."""
    mean = float(expected_session_events(model).min())
    # Enough sessions even if all were of the persona with the shortest ones.
    n = int(events / mean) + 50
    user, day = draw_sessions(streams["sessions"], people, day_weight, n)
    kind = draw_kinds(streams["kinds"], n)
    # Most of these are cut off below; draw the journeys of a likely portion, rarely of more.
    portion = int(1.3 * events / calibration.MEAN_EVENTS_PER_SESSION) + 100
    while True:
        portion = min(portion, n)
        journeys = simulate(streams["journeys"], model, people.persona[user[:portion]], kind[:portion])
        total = np.cumsum(journeys.n_events())
        if total[-1] >= events or portion == n:
            break
        portion *= 2
    kept = int(np.abs(total - events).argmin()) + 1
    return journeys.head(kept), user[:kept], day[:kept]


def _expected_daily(
    people: People,
    offsets: NDArray[np.int64],
    day_weight: _Table,
    human_events: int,
    model: Model,
) -> _Table:
    """Expected human events per UTC day: float64 (D,), summing to `human_events`.

    The part of a session that runs past midnight is counted on the day it began.
    """
    length = expected_session_events(model)[people.persona]
    every = first_session_days(people, day_weight)
    others = presence(people, day_weight).T * day_weight
    first_events = float(length.sum())
    share_of_every = min(1.0, human_events / first_events)
    n_others = max(0.0, human_events - first_events) / float((others.sum(axis=1) * length).sum())
    local = (share_of_every * every + n_others * others) * length[:, None]
    n_days = len(day_weight)
    out = np.zeros(n_days)
    profiles = hour_profiles()
    for persona, offset in sorted(set(zip(people.persona.tolist(), offsets.tolist(), strict=True))):
        rows = (people.persona == persona) & (offsets == offset)
        for shift, chance in zip((-1, 0, 1), utc_day_shift(profiles[persona], int(offset)), strict=True):
            day = np.arange(n_days) + shift
            # Starts outside the period are moved by a week (see ``human_starts``).
            day = np.where(day < 0, day + 7, np.where(day >= n_days, day - 7, day))
            np.add.at(out, day, chance * local[rows].sum(axis=0))
    return out


def _special_starts(
    journeys: Journeys,
    layout: EventLayout,
    elapsed: NDArray[np.int64],
    user: NDArray[np.int64],
    *,
    starts: NDArray[np.int64],
    free: NDArray[np.bool_],
    new_years_ms: list[int],
) -> NDArray[np.int64]:
    """Starts after some sessions (among `free`) were moved over New Year or made to share a session id: int64 (S,)."""
    length = elapsed[layout.first + journeys.n_events() - 1]
    # The burst in the middle of the session; its last event is just before the next action.
    first_action = np.cumsum(journeys.n_actions) - journeys.n_actions
    long_enough = journeys.n_actions >= 4
    middle = np.where(long_enough, first_action + journeys.n_actions // 2, 0)
    anchor = np.where(long_enough, elapsed[layout.action_at[middle] - 1], 0)
    crossing = free & long_enough & (journeys.kind == ACTIVE)
    starts, moved = cross_new_year(starts, length, user, crossing, anchor, new_years_ms=new_years_ms)
    still_free = free.copy()
    still_free[moved] = False
    pairs = max(MIN_COLLISIONS, len(user) // SESSIONS_PER_COLLISION)
    return share_session_ids(starts, length, user, still_free, pairs)


def _event_ids(device: NDArray[np.int64], time: NDArray[np.int64], first: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counter of each device over its events in time order, from the device's first number: int64 (E,)."""
    order = np.lexsort((time, device))
    ordered = device[order]
    begins = np.searchsorted(ordered, ordered, side="left")
    out = np.empty(len(device), dtype=np.int64)
    out[order] = np.arange(len(device)) - begins + first[ordered]
    return out


def assemble(config: SampleConfig) -> Sample:
    """Draw a whole sample.

    Parameters
    ----------
    config : SampleConfig

    Returns
    -------
    Sample
    """
    streams = random_streams(config.seed, STREAMS)
    model = build_model()
    days = calendar(config.years)
    day_weight = day_weights(days)
    year_starts = [epoch_ms(d) for d in days if (d.month, d.day) == (1, 1)]
    period = (year_starts[0], epoch_ms(days[-1]) + DAY_MS)

    all_sessions = config.events / calibration.MEAN_EVENTS_PER_SESSION
    n_scripted = round(calibration.SCRIPTED_SESSION_SHARE * all_sessions)
    scripted_events = SCRIPTED_EVENTS * n_scripted
    people = draw_people(streams["people"], config.users, len(days))
    human, user, day = _human_journeys(streams, model, people, day_weight, config.events - scripted_events)
    n_human = len(user)

    human_events = human.n_events()
    per_user = np.bincount(user, weights=human_events, minlength=config.users).astype(np.int64)
    places = [*place_users(streams["places"], per_user, scripted_events), SCRIPTED_PLACE]
    user_ids = [*name_users(streams["names"], per_user, scripted_events), SCRIPTED_USER_ID]
    device = choose_devices(streams["devices"], user, config.users)
    per_device = np.bincount(device, weights=human_events, minlength=2 * config.users).astype(np.int64)
    devices = make_devices(streams["devices"], per_device, scripted_events)

    journeys = append_scripted(human, model, n_scripted)
    user = np.concatenate([user, np.full(n_scripted, config.users)])
    device = np.concatenate([device, np.full(n_scripted, 2 * config.users)])
    layout = lay_out(journeys, model)
    counts = journeys.n_events()
    elapsed = elapsed_ms(streams["times"], journeys, layout)
    length = elapsed[layout.first + counts - 1]

    offsets = np.array([p.offset_minutes for p in places], dtype=np.int64)
    midnight = np.array([epoch_ms(d) for d in days], dtype=np.int64)
    starts = human_starts(
        streams["times"],
        midnight[day],
        hour_profiles()[people.persona[user[:n_human]]],
        offsets[user[:n_human]],
        period,
    )
    starts = separate_sessions(starts, length[:n_human], user[:n_human])
    starts = np.concatenate([starts, scripted_starts(year_starts, n_scripted)])

    skew = devices.skew_ms[device]
    movable = (np.arange(len(user)) < n_human) & (skew == 0)
    any_order = streams["times"].permutation(np.flatnonzero(movable))
    late = take_share(counts, any_order, config.late_share * float(counts.sum()))
    starts = _special_starts(
        journeys, layout, elapsed, user, starts=starts, free=movable & ~late, new_years_ms=year_starts[1:]
    )

    true_time = np.repeat(starts, counts) + elapsed
    clocks = stamp(streams["times"], layout, true_time, skew, late)
    ids = streams["ids"]
    event_device = device[layout.session]
    event_id = _event_ids(event_device, true_time, devices.first_event_id)
    event_user = user[layout.session]
    first_of_user = np.zeros(len(true_time), dtype=np.bool_)
    by_user = np.lexsort((true_time, event_user))
    first_of_user[by_user[np.flatnonzero(np.diff(event_user[by_user], prepend=-1))]] = True
    file_year = np.clip(np.searchsorted(year_starts, clocks.server_upload, side="right") - 1, 0, None)

    expected = _expected_daily(people, offsets[:-1], day_weight, config.events - scripted_events, model)
    scripted_day = (starts[n_human:] - period[0]) // DAY_MS
    expected += SCRIPTED_EVENTS * np.bincount(scripted_day, minlength=len(days))
    return Sample(
        config=config,
        model=model,
        journeys=journeys,
        layout=layout,
        clocks=clocks,
        devices=devices,
        n_human=n_human,
        persona=people.persona,
        user=user,
        device=device,
        session_id=starts + skew,
        event_id=event_id,
        first_of_user=first_of_user,
        uuid=uuid_digits(ids, len(true_time)),
        insert_id=uuid_digits(ids, len(true_time)),
        places=places,
        user_ids=user_ids,
        amplitude_ids=FIRST_AMPLITUDE_ID + np.cumsum(ids.integers(1, 1_000_000, size=config.users + 1)),
        device_ids=[f"{text}R" for text in uuid_texts(uuid_digits(ids, 2 * config.users + 2))],
        file_year=file_year,
        expected_daily=expected,
        files_rng=streams["files"],
    )
