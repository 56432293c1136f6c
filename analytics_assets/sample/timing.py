"""Clocks: when sessions start, when events happen, when they are uploaded, received and processed.

Belongs here: every time stamp of a record, in whole milliseconds since 1970 (UTC), and session ids, which are time
stamps too. Does not belong here: expected volume per day and hour (``volume``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analytics_assets.sample import calibration
from analytics_assets.sample.sampling import draw_ms
from analytics_assets.sample.simulation import SCRIPTED, EventLayout, Journeys
from analytics_assets.sample.volume import DAY_MS, HOUR_MS

SESSION_TIMEOUT_MS: Final = 31 * 60_000
"""Sessions of one person are at least this far apart: the vendor's client starts a new session after 30 minutes."""

SCRIPTED_INTERVAL_MS: Final = HOUR_MS
"""The scripted monitor comes every hour: far more sessions on a day than any person has."""
SCRIPTED_FIRST_DAY: Final = 60
"""It starts about 1 March of each year, away from holidays, and must be done by November."""
SCRIPTED_SPAN_MS: Final = 240 * DAY_MS

CLOCK_LIMIT_MS: Final = 60_000
"""The vendor corrects event times only if the clocks differ by more than this."""

NEW_YEAR_LEAD_MS: Final = 3
"""The burst that straddles New Year ends this much before it and is uploaded after it."""
NEW_YEAR_MIN_SPAN_MS: Final = 10_000
"""A session chosen to cross New Year begins at least this much earlier: longer than any flush plus latency, so that
its first events are surely received in the old year."""

_FLUSH_MS: Final = (50, 1000)
"""The client flushes its queue once per second; at least 50 ms also keeps the New Year burst's upload in January."""
_STORE_MS: Final = (2, 250)
_PROCESS_MS: Final = (300, 3000)


@dataclass(frozen=True)
class Clocks:
    """Time stamps of the raw events, int64 milliseconds (E,) each.

    Attributes
    ----------
    event, client_event, client_upload, server_received, server_upload, processed
        As the fields ``<name>_time`` of a record.
    """

    event: NDArray[np.int64]
    client_event: NDArray[np.int64]
    client_upload: NDArray[np.int64]
    server_received: NDArray[np.int64]
    server_upload: NDArray[np.int64]
    processed: NDArray[np.int64]


def elapsed_ms(rng: np.random.Generator, journeys: Journeys, layout: EventLayout) -> NDArray[np.int64]:
    """Milliseconds from the start of the session to each event.

    Gaps are at least one millisecond, so that time alone orders a session's events. They depend on nothing but the
    kind of event, so that a clock tells a predictor no more about the next event than the events themselves do.

    Parameters
    ----------
    rng : numpy.random.Generator
    journeys : Journeys
    layout : EventLayout

    Returns
    -------
    int64 (E,)
    """
    gap = draw_ms(rng, calibration.RENDER_GAP_MS, len(layout.code))
    gap[layout.action_at] = draw_ms(rng, calibration.ACTION_GAP_MS, len(layout.action_at))
    counts = journeys.n_events()
    active = journeys.n_actions > 0
    # The page a session opens with follows its start like a render does.
    gap[layout.first[active] + 1] = draw_ms(rng, calibration.RENDER_GAP_MS, int(active.sum()))
    gap[(layout.first + counts - 1)[counts > 1]] = 1
    gap[layout.first] = 0
    scripted = journeys.kind == SCRIPTED
    gap[layout.first[scripted] + 1] = 120
    total = np.cumsum(gap)
    return total - np.repeat(total[layout.first], counts)


def human_starts(
    rng: np.random.Generator,
    day_start_ms: NDArray[np.int64],
    hour_chance: NDArray[np.float64],
    offset_minutes: NDArray[np.int64],
    period_ms: tuple[int, int],
) -> NDArray[np.int64]:
    """True start of human sessions.

    Parameters
    ----------
    rng : numpy.random.Generator
    day_start_ms : int64 (S,)
        Local midnight of the session's local day, as if the local zone were UTC.
    hour_chance : float64 (S, 24)
        Chance of each local hour.
    offset_minutes : int64 (S,)
        Local time minus UTC.
    period_ms : (int, int)
        First millisecond of the sample and first after it; starts outside move by a week, which keeps the weekday.

    Returns
    -------
    int64 (S,)
        UTC milliseconds.
    """
    hour = np.minimum((rng.random(len(day_start_ms))[:, None] >= hour_chance.cumsum(axis=1)).sum(axis=1), 23)
    start = day_start_ms + hour * HOUR_MS + rng.integers(0, HOUR_MS, size=len(hour)) - offset_minutes * 60_000
    start = np.where(start < period_ms[0], start + 7 * DAY_MS, start)
    return np.asarray(np.where(start >= period_ms[1], start - 7 * DAY_MS, start))


def scripted_starts(year_starts_ms: list[int], n: int) -> NDArray[np.int64]:
    """Starts of the scripted monitor's sessions, at one fixed interval inside each year.

    Parameters
    ----------
    year_starts_ms : list of int
        1 January of each year.
    n : int
        Sessions over all years.

    Returns
    -------
    int64 (n,)
        UTC milliseconds, ascending.
    """
    per_year = -(-n // len(year_starts_ms)) if n else 0
    interval = min(SCRIPTED_INTERVAL_MS, SCRIPTED_SPAN_MS // max(per_year, 1))
    starts = [y + SCRIPTED_FIRST_DAY * DAY_MS + i * interval for i in range(per_year) for y in year_starts_ms]
    return np.array(sorted(starts[:n]), dtype=np.int64)


def separate_sessions(
    start: NDArray[np.int64], length: NDArray[np.int64], user: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Move sessions later where one would begin before the same person's previous one has timed out.

    Parameters
    ----------
    start, length : int64 (S,)
        Milliseconds.
    user : int64 (S,)

    Returns
    -------
    int64 (S,)
        New starts.
    """
    out = start.copy()
    previous_user, free_from = -1, 0
    for i in np.lexsort((start, user)).tolist():
        if user[i] != previous_user:
            previous_user, free_from = int(user[i]), int(out[i])
        out[i] = max(int(out[i]), free_from)
        free_from = int(out[i] + length[i]) + SESSION_TIMEOUT_MS
    return out


def _is_free(i: int, start: int, starts: NDArray[np.int64], length: NDArray[np.int64], same: NDArray[np.int64]) -> bool:
    """Whether session `i` may begin at `start` without coming too close to the other sessions `same` of its person."""
    others = same[same != i]
    end = start + int(length[i]) + SESSION_TIMEOUT_MS
    return bool(np.all((starts[others] > end) | (starts[others] + length[others] + SESSION_TIMEOUT_MS < start)))


def cross_new_year(
    starts: NDArray[np.int64],
    length: NDArray[np.int64],
    user: NDArray[np.int64],
    allowed: NDArray[np.bool_],
    anchor_ms: NDArray[np.int64],
    *,
    new_years_ms: list[int],
) -> tuple[NDArray[np.int64], list[int]]:
    """Move one session per turn of the year so that it crosses it, with a burst uploaded just after.

    Files are cut by upload time, so this session lies in two files and some of its December events in the later one.

    Parameters
    ----------
    starts, length, user : int64 (S,)
    allowed : bool (S,)
        Sessions that may be moved.
    anchor_ms : int64 (S,)
        Milliseconds from the session's start to the end of the burst that shall straddle New Year.
    new_years_ms : list of int

    Returns
    -------
    int64 (S,), list of int
        New starts and the sessions moved; the session nearest to New Year is taken.
    """
    out = starts.copy()
    moved: list[int] = []
    options = np.flatnonzero(allowed & (anchor_ms >= NEW_YEAR_MIN_SPAN_MS))
    for new_year in new_years_ms:
        for i in options[np.argsort(np.abs(out[options] - new_year), kind="stable")].tolist():
            target = new_year - NEW_YEAR_LEAD_MS - int(anchor_ms[i])
            if i not in moved and _is_free(i, target, out, length, np.flatnonzero(user == user[i])):
                out[i] = target
                moved.append(i)
                break
    return out, moved


def share_session_ids(
    starts: NDArray[np.int64],
    length: NDArray[np.int64],
    user: NDArray[np.int64],
    allowed: NDArray[np.bool_],
    pairs: int,
) -> NDArray[np.int64]:
    """Let pairs of sessions of different people begin in the same millisecond, so that their session ids collide.

    Parameters
    ----------
    starts, length, user : int64 (S,)
    allowed : bool (S,)
    pairs : int
        Wanted number of pairs; fewer if the sample is too small.

    Returns
    -------
    int64 (S,)
        New starts.
    """
    out = starts.copy()
    options = np.flatnonzero(allowed)
    options = options[np.argsort(out[options], kind="stable")]
    made = 0
    # Two apart at least, so that no session is part of two pairs.
    for position in range(0, len(options) - 1, max(2, len(options) // (4 * max(pairs, 1)))):
        if made == pairs:
            break
        i, j = int(options[position]), int(options[position + 1])
        if user[i] != user[j] and _is_free(j, int(out[i]), out, length, np.flatnonzero(user == user[j])):
            out[j] = out[i]
            made += 1
    return out


def stamp(
    rng: np.random.Generator,
    layout: EventLayout,
    true_time: NDArray[np.int64],
    skew_ms: NDArray[np.int64],
    late_session: NDArray[np.bool_],
) -> Clocks:
    """All time stamps of all events.

    Parameters
    ----------
    rng : numpy.random.Generator
    layout : EventLayout
    true_time : int64 (E,)
        When the event really happened.
    skew_ms : int64 (S,)
        Device clock minus true time, by session.
    late_session : bool (S,)
        Sessions recorded offline: uploaded whole, hours to days later.

    Returns
    -------
    Clocks
        ``event = client_event`` where the clocks agree within a minute, else
        ``client_event + server_received - client_upload``.
    """
    n_bursts = int(layout.burst[-1]) + 1 if len(layout.burst) else 0
    burst_last = np.flatnonzero(np.diff(layout.burst, append=n_bursts))
    session = layout.session[burst_last]
    upload = true_time[burst_last] + rng.integers(*_FLUSH_MS, size=n_bursts)
    latency = draw_ms(rng, calibration.LATENCY_MS, n_bursts)
    # A skewed device's event times are corrected by its uploads' clock difference. One latency per session keeps that
    # difference, and with it the order of the session's events, the same in all of its uploads.
    first_burst = np.searchsorted(session, session, side="left")
    one_upload = late_session[session] | (skew_ms[session] != 0)
    latency = np.where(one_upload, latency[first_burst], latency)
    last_of_session = np.searchsorted(session, session, side="right") - 1
    delay = draw_ms(rng, calibration.LATE_DELAY_MS, n_bursts)[first_burst]
    upload = np.where(late_session[session], upload[last_of_session] + delay, upload)
    received = upload + latency
    stored = received + rng.integers(*_STORE_MS, size=n_bursts)
    processed = stored + rng.integers(*_PROCESS_MS, size=n_bursts)
    burst = layout.burst
    skew = skew_ms[layout.session]
    client_event = true_time + skew
    client_upload = upload[burst] + skew
    difference = received[burst] - client_upload
    event = np.where(np.abs(difference) > CLOCK_LIMIT_MS, client_event + difference, client_event)
    return Clocks(event, client_event, client_upload, received[burst], stored[burst], processed[burst])
