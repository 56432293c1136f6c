"""Figures of a real product-event export that the synthetic sample imitates.

Belongs here: published aggregate figures, quantile tables drawn from them, and where each comes from.
Does not belong here: names of events, people or places, and any code that draws random values.

Source: the aggregate results published for a one-month Amplitude export of January 2025 (1,850,109 events, 868 users,
59,868 sessions). Aggregates only: no event of that export is reproduced.

Quantile tables are pairs ``(cumulative probability, value)`` read by linear interpolation. They replace logarithms and
exponentials on purpose: interpolation needs only the four basic operations, so two machines draw the same integers.
"""

from __future__ import annotations

from typing import Final

QuantileTable = tuple[tuple[float, float], ...]

SOURCE: Final = "aggregate figures published for a one-month Amplitude export (January 2025)"

MEAN_EVENTS_PER_SESSION: Final = 30.903
"""Events per session, mean over sessions; the median is 2."""

RENDER_SHARE: Final = 0.668
"""Share of events whose name ends in ``:render``."""

SINGLE_EVENT_SESSION_SHARE: Final = 0.068
"""4,079 of 59,868 sessions hold one event."""

SCRIPTED_SESSION_SHARE: Final = 0.055
"""3,320 of 59,868 sessions belong to one actor that always does the same."""

USER_ID_EMPTY_SHARE: Final = 0.0168
"""31,120 of 1,850,109 rows carry the literal text EMPTY as user id."""

USER_ID_NULL_SHARE: Final = 0.003994
CITY_NULL_SHARE: Final = 0.01813
REGION_NULL_SHARE: Final = 0.00893

COUNTRY_SHARE: Final[dict[str, float]] = {
    "United States": 0.740942,
    "India": 0.215935,
    "Poland": 0.028563,
    "Canada": 0.012545,
    "Mexico": 0.001504,
    "United Kingdom": 0.000284,
    "Costa Rica": 0.00009,
    "Singapore": 0.000055,
    "France": 0.000042,
    "Puerto Rico": 0.000015,
    "Zimbabwe": 0.000014,
    "Japan": 0.000011,
    "Germany": 0.000001,
}
"""Share of events by country."""

DEVICE_FAMILY_SHARE: Final[dict[str, float]] = {
    "Windows": 0.818143,
    "Mac OS X": 0.155759,
    "Linux": 0.024993,
    "iOS": 0.001092,
    "Android": 0.000012,
}
"""Share of events by device family, which is the operating system for web traffic."""

BROWSER_SHARE_BY_FAMILY: Final[dict[str, dict[str, float]]] = {
    "Windows": {"Chrome": 0.9082, "Edge": 0.0868, "Firefox": 0.0050},
    "Mac OS X": {"Chrome": 0.9937, "Firefox": 0.0041, "Safari": 0.0022},
    "Linux": {"Chrome": 1.0},
    "iOS": {"Mobile Safari": 0.902, "Chrome Mobile iOS": 0.081, "Edge Mobile": 0.017},
    "Android": {"Chrome Mobile": 1.0},
}
"""Share of events by browser inside a family; the split is chosen so that the overall browser shares come out."""

HOUR_SHARE_UTC: Final[tuple[float, ...]] = (
    0.009411, 0.007217, 0.006144, 0.008209, 0.019212, 0.02825, 0.029728, 0.029608,
    0.03062, 0.029809, 0.035387, 0.034687, 0.036714, 0.049506, 0.071912, 0.086612,
    0.081687, 0.071326, 0.065684, 0.074419, 0.070821, 0.061478, 0.041479, 0.020081,
)  # fmt: skip
"""Share of events by UTC hour, hour 0 first."""

WEEKDAY_SHARE: Final[tuple[float, ...]] = (0.191079, 0.205911, 0.163455, 0.21957, 0.196529, 0.013791, 0.009665)
"""Share of events by weekday, Monday first. Wednesday is low because 1 January 2025 was one."""

LATENCY_MEAN_MS: Final = 234.0
LATENCY_P95_MS: Final = 892.0
"""``server_received_time - client_upload_time`` in milliseconds."""

LATENCY_MS: Final[QuantileTable] = (
    (0.0, 20), (0.5, 90), (0.75, 180), (0.9, 420), (0.95, 892), (0.99, 2200), (1.0, 5000),
)  # fmt: skip
"""Reproduces the mean and the 95th percentile above; everything between is a plausible long tail."""

RENDER_GAP_MS: Final[QuantileTable] = ((0.0, 1), (0.35, 4), (0.75, 26), (0.9, 90), (1.0, 700))
"""Between two rendered widgets. Over all events the quartiles of the time to the next event are 4 ms, 26 ms, 1.3 s."""

ACTION_GAP_MS: Final[QuantileTable] = (
    (0.0, 300), (0.25, 1500), (0.5, 6000), (0.75, 30_000), (0.9, 150_000), (0.97, 700_000), (1.0, 1_790_000),
)  # fmt: skip
"""Thinking time between a page's last render and the next action: mean 86 s, never 30 minutes, after which the vendor's
client starts another session. Gives a mean session of about 10 minutes where the real export has 11.5."""

LATE_DELAY_MS: Final[QuantileTable] = ((0.0, 3_600_000), (0.5, 28_800_000), (0.9, 172_800_000), (1.0, 432_000_000))
"""Extra upload delay of a device that was offline: one hour to five days (37 h 41 min was seen in a real file)."""

ACTIVITY_WEIGHT: Final[QuantileTable] = (
    (0.0, 0.02), (0.25, 0.08), (0.5, 0.3), (0.75, 1.1), (0.9, 3.0), (0.97, 6.5), (1.0, 14.0),
)  # fmt: skip
"""Relative activity of a person. Real sessions per user: quartiles 2, 6, 79 and mean 65, so a few people do most."""
