"""Who is in the sample: people, how long they stay, where they are, which devices they use.

Belongs here: users, devices, places, and handing sessions out to users and days. Does not belong here: what people do
(``journeys``) and the JSON of a record (``records``). All names, addresses and people are invented; addresses come
from the ranges reserved for documentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analytics_assets.sample import calibration
from analytics_assets.sample.journeys import PERSONAS
from analytics_assets.sample.sampling import assign_by_share, draw_quantiles, draw_rows, take_share


@dataclass(frozen=True)
class Place:
    """A place as the vendor derives it from an address; `weight` is relative inside its country."""

    country: str
    region: str | None
    city: str | None
    dma: str | None
    offset_minutes: int
    language: str
    weight: float


# Standard time, without daylight saving: the sample is about volume by hour, and a shift of one hour for half a year
# would blur the profile without teaching a reader of the data anything.
_US: Final = (
    ("Tennessee", "Nashville", "Nashville, TN", -360, 26.0),
    ("Illinois", "Chicago", "Chicago, IL", -360, 14.0),
    ("Texas", "Dallas", "Dallas-Ft. Worth, TX", -360, 12.0),
    ("New York", "New York", "New York, NY", -300, 12.0),
    ("Maryland", "Hagerstown", "Washington, DC (Hagerstown, MD)", -300, 7.0),
    ("Georgia", "Atlanta", "Atlanta, GA", -300, 9.0),
    ("Ohio", "Columbus", "Columbus, OH", -300, 6.0),
    ("Colorado", "Denver", "Denver, CO", -420, 6.0),
    ("California", "San Francisco", "San Francisco-Oakland-San Jose, CA", -480, 8.0),
)
_ELSEWHERE: Final = (
    ("India", "Maharashtra", "Mumbai", 330, "English", 45.0),
    ("India", "Karnataka", "Bengaluru", 330, "English", 30.0),
    ("India", "Telangana", "Hyderabad", 330, "English", 25.0),
    ("Poland", "Lower Silesia", "Wrocław", 60, "Polish", 60.0),
    ("Poland", "Łódź Voivodeship", "Łódź", 60, "Polish", 40.0),
    ("Canada", "Ontario", "Toronto", -300, "English", 60.0),
    ("Canada", "Quebec", "Montréal", -300, "French", 40.0),
    ("Mexico", "Mexico City", "Mexico City", -360, "Spanish", 100.0),
    ("United Kingdom", "England", "London", 0, "English", 100.0),
    ("Costa Rica", "Provincia de San José", "San José", -360, "Spanish", 100.0),
    ("Singapore", "Singapore", "Singapore", 480, "English", 100.0),
    ("France", "Île-de-France", "Paris", 60, "French", 100.0),
    ("Puerto Rico", "San Juan", "San Juan", -240, "Spanish", 100.0),
    ("Zimbabwe", "Harare Province", "Harare", 120, "English", 100.0),
    ("Japan", "Tokyo", "Tokyo", 540, "Japanese", 100.0),
    ("Germany", "Berlin", "Berlin", 60, "German", 100.0),
)
PLACES: Final[tuple[Place, ...]] = (
    *(Place("United States", region, city, dma, off, "English", w) for region, city, dma, off, w in _US),
    *(Place(country, region, city, None, off, lang, w) for country, region, city, off, lang, w in _ELSEWHERE),
)

SCRIPTED_PLACE: Final = Place(
    "United States", "Virginia", "Ashburn", "Washington, DC (Hagerstown, MD)", -300, "English", 1.0
)
SCRIPTED_USER_ID: Final = "monitor@example.com"
EMPTY_USER_ID: Final = "EMPTY"

EXISTING_SHARE: Final = 0.5
"""Share of people who are customers when the sample begins; the others appear evenly over its first 85 %."""
ARRIVAL_SPAN: Final = 0.85
CHURN_SHARE: Final = 0.25
"""Share of people who leave for good before the sample ends, at least :data:`MIN_STAY_DAYS` after they came."""
MIN_STAY_DAYS: Final = 60

TWO_DEVICES_SHARE: Final = 0.35
SECOND_DEVICE_USE: Final = 0.25
"""Share of the sessions of a person with two devices that happen on the second one."""

SKEWED_CLOCK_SHARE: Final = 0.004
"""Share of events on devices whose clock is wrong by more than a minute, the vendor's limit for correcting event times.
A few devices: more would hide the real latency's 95th percentile behind clock errors."""
CLOCK_SKEWS_MS: Final = (-10_800_000, -1_260_000, -420_000, 372_000, 2_940_000, 7_200_000)
"""Minutes to hours: a dead battery, a wrong time zone. All far from the one-minute limit, so no latency crosses it."""

_ADDRESS_RANGES: Final = ("192.0.2", "198.51.100", "203.0.113")
_BROWSER_VERSIONS: Final[dict[str, tuple[str, ...]]] = {
    "Mobile Safari": ("17.6", "18.5"),
    "Safari": ("17.6", "18.5"),
}
_DEFAULT_VERSIONS: Final = ("120", "124", "128", "131", "137")


@dataclass(frozen=True)
class People:
    """Users before anything is known about their traffic (U users).

    Attributes
    ----------
    persona : int64 (U,)
    weight : float64 (U,)
        Relative number of sessions per working day.
    first_day, last_day : int64 (U,)
        First and last day (index into the calendar) on which the person may start sessions.
    """

    persona: NDArray[np.int64]
    weight: NDArray[np.float64]
    first_day: NDArray[np.int64]
    last_day: NDArray[np.int64]


@dataclass(frozen=True)
class Devices:
    """Two device slots per user, the second often unused; index = 2 * user + slot (V = 2U).

    Attributes
    ----------
    family, browser, version : tuple of str, length V
    address : tuple of str, length V
    skew_ms : int64 (V,)
        Device clock minus true time, milliseconds.
    first_event_id : int64 (V,)
        Start of the device's event counter.
    """

    family: tuple[str, ...]
    browser: tuple[str, ...]
    version: tuple[str, ...]
    address: tuple[str, ...]
    skew_ms: NDArray[np.int64]
    first_event_id: NDArray[np.int64]


def draw_people(rng: np.random.Generator, n_users: int, n_days: int) -> People:
    """Draw personas, activity and stay.

    Parameters
    ----------
    rng : numpy.random.Generator
    n_users, n_days : int

    Returns
    -------
    People
    """
    # Personas by quota, then shuffled: a sample of 40 users still has all of them.
    quota = np.cumsum([p.user_share for p in PERSONAS])
    persona = np.minimum(np.searchsorted(quota, (np.arange(n_users) + 0.5) / n_users), len(PERSONAS) - 1)
    persona = rng.permutation(persona).astype(np.int64)
    activity = np.array([p.activity for p in PERSONAS])
    weight = draw_quantiles(rng, calibration.ACTIVITY_WEIGHT, n_users) * activity[persona]
    existing = rng.random(n_users) < EXISTING_SHARE
    first = np.where(existing, 0, rng.random(n_users) * ARRIVAL_SPAN * n_days).astype(np.int64)
    leaves = rng.random(n_users) < CHURN_SHARE
    stay_from = np.minimum(first + MIN_STAY_DAYS, n_days - 1)
    last_if_leaving = (stay_from + rng.random(n_users) * (n_days - stay_from)).astype(np.int64)
    return People(persona, weight, first, np.where(leaves, last_if_leaving, n_days - 1))


def presence(people: People, day_weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Chance that a session on a given day is a given user's.

    Parameters
    ----------
    people : People
    day_weight : float64 (D,)

    Returns
    -------
    float64 (D, U)
        Rows sum to 1.
    """
    day = np.arange(len(day_weight))[:, None]
    active = (people.first_day <= day) & (day <= people.last_day)
    table = active * people.weight
    # A day on which nobody is a customer (possible with a handful of users) is shared by everyone.
    table[table.sum(axis=1) == 0] = people.weight
    return np.asarray(table / table.sum(axis=1, keepdims=True))


def first_session_days(people: People, day_weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Chance of each day for the one session every user has at least.

    Returns
    -------
    float64 (U, D)
        Rows sum to 1; zero outside a user's stay.
    """
    day = np.arange(len(day_weight))
    table = ((people.first_day[:, None] <= day) & (day <= people.last_day[:, None])) * day_weight
    return np.asarray(table / table.sum(axis=1, keepdims=True))


def draw_sessions(
    rng: np.random.Generator, people: People, day_weight: NDArray[np.float64], n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw user and local day of `n` sessions.

    The first sessions are one per user, the others follow the calendar and the users present on each day.

    Parameters
    ----------
    rng : numpy.random.Generator
    people : People
    day_weight : float64 (D,)
    n : int

    Returns
    -------
    user, day : int64 (n,)
    """
    n_users = len(people.persona)
    every = rng.permutation(n_users)[: min(n, n_users)]
    first_day = draw_rows(rng, first_session_days(people, day_weight).cumsum(axis=1), every)
    day = np.searchsorted(day_weight.cumsum(), rng.random(n - len(every)), side="right")
    day = np.minimum(day, len(day_weight) - 1)
    u = rng.random(len(day))
    user = np.empty(len(day), dtype=np.int64)
    cumulative = presence(people, day_weight).cumsum(axis=1)
    order = np.argsort(day, kind="stable")
    bounds = np.searchsorted(day[order], np.arange(len(day_weight) + 1))
    for d in range(len(day_weight)):
        here = order[bounds[d] : bounds[d + 1]]
        user[here] = np.minimum(np.searchsorted(cumulative[d], u[here], side="right"), n_users - 1)
    return np.concatenate([every, user]), np.concatenate([first_day, day])


def place_users(rng: np.random.Generator, events: NDArray[np.int64], scripted_events: int) -> list[Place]:
    """Give every user a place so that countries and missing places have their shares of the events.

    Parameters
    ----------
    rng : numpy.random.Generator
    events : int64 (U,)
        Events of each user.
    scripted_events : int
        Events of the scripted monitor, which sits in the United States.

    Returns
    -------
    list of Place, length U
        Where the city is missing the market area is missing too; where the region is missing so is the city.
    """
    countries = list(calibration.COUNTRY_SHARE)
    taken = np.zeros(len(countries), dtype=np.int64)
    taken[countries.index(SCRIPTED_PLACE.country)] = scripted_events
    country = assign_by_share(events, np.array(list(calibration.COUNTRY_SHARE.values())), taken)
    places: list[Place] = [PLACES[0]] * len(events)
    for c, name in enumerate(countries):
        here = np.flatnonzero(country == c)
        options = [p for p in PLACES if p.country == name]
        for i, option in zip(
            here.tolist(), assign_by_share(events[here], np.array([p.weight for p in options])).tolist(), strict=True
        ):
            places[i] = options[option]
    # In the source the rows without a market area are those outside the United States plus those without a city, so
    # nearly all missing cities are there.
    order = rng.permutation(np.flatnonzero(country == countries.index("United States")))
    total = float(events.sum()) + scripted_events
    no_region = take_share(events, order, total * calibration.REGION_NULL_SHARE)
    rest = order[~no_region[order]]
    no_city = take_share(events, rest, total * (calibration.CITY_NULL_SHARE - calibration.REGION_NULL_SHARE))
    for i in np.flatnonzero(no_region | no_city).tolist():
        p = places[i]
        region = None if no_region[i] else p.region
        places[i] = Place(p.country, region, None, None, p.offset_minutes, p.language, p.weight)
    return places


def name_users(rng: np.random.Generator, events: NDArray[np.int64], scripted_events: int) -> list[str | None]:
    """Give every user an id; a few whole users have the text EMPTY (before login) or nothing at all.

    Parameters
    ----------
    rng : numpy.random.Generator
    events : int64 (U,)
    scripted_events : int

    Returns
    -------
    list of str or None, length U
    """
    order = rng.permutation(len(events))
    total = float(events.sum()) + scripted_events
    empty = take_share(events, order, total * calibration.USER_ID_EMPTY_SHARE)
    null = take_share(events, order[~empty[order]], total * calibration.USER_ID_NULL_SHARE)
    return [
        EMPTY_USER_ID if empty[i] else None if null[i] else f"user{i + 1:05d}@example.com" for i in range(len(events))
    ]


def choose_devices(rng: np.random.Generator, user: NDArray[np.int64], n_users: int) -> NDArray[np.int64]:
    """Device of each session: int64 (S,), 2 * user + slot."""
    second = rng.random(n_users) < TWO_DEVICES_SHARE
    return 2 * user + (second[user] & (rng.random(len(user)) < SECOND_DEVICE_USE))


def make_devices(rng: np.random.Generator, events: NDArray[np.int64], scripted_events: int) -> Devices:
    """Give every device slot a family, browser, version, address and clock; the last two belong to the monitor.

    Parameters
    ----------
    rng : numpy.random.Generator
    events : int64 (V - 2,)
        Events of each human device slot.
    scripted_events : int

    Returns
    -------
    Devices
        With V slots.
    """
    families = list(calibration.DEVICE_FAMILY_SHARE)
    taken = np.zeros(len(families), dtype=np.int64)
    taken[families.index("Linux")] = scripted_events
    family = assign_by_share(events, np.array(list(calibration.DEVICE_FAMILY_SHARE.values())), taken)
    browser = np.zeros(len(events), dtype=object)
    for f, name in enumerate(families):
        here = np.flatnonzero(family == f)
        share = calibration.BROWSER_SHARE_BY_FAMILY[name]
        names = np.array(list(share), dtype=object)
        browser[here] = names[assign_by_share(events[here], np.array(list(share.values())))]
    pick = rng.random(len(events))
    versions = []
    for name, u in zip(browser.tolist(), pick.tolist(), strict=True):
        options = _BROWSER_VERSIONS.get(name, _DEFAULT_VERSIONS)
        versions.append(options[int(u * len(options))])
    host = rng.integers(1, 255, size=len(events) + 2)
    block = rng.integers(0, len(_ADDRESS_RANGES), size=len(events) + 2)
    skewed = take_share(events, rng.permutation(len(events)), SKEWED_CLOCK_SHARE * float(events.sum()))
    skew = np.where(skewed, rng.choice(np.array(CLOCK_SKEWS_MS), size=len(events)), 0)
    return Devices(
        family=(*(families[f] for f in family.tolist()), "Linux", "Linux"),
        browser=(*browser.tolist(), "Chrome", "Chrome"),
        version=(*versions, "131", "131"),
        address=tuple(f"{_ADDRESS_RANGES[b]}.{h}" for b, h in zip(block.tolist(), host.tolist(), strict=True)),
        skew_ms=np.concatenate([skew, [0, 0]]).astype(np.int64),
        first_event_id=rng.integers(0, 5000, size=len(events) + 2),
    )
