"""Numbers and untrusted names in the sentences of findings.

Put here: formatting. Keep out: the sentences (``findings.py``) and Markdown or HTML, which belong to those who show
them.
"""

from __future__ import annotations

import calendar
import unicodedata

NAME_SHOWN = 60
"""Characters of an event's or a country's name in a sentence."""

_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def count(value: float) -> str:
    """Number with thousands separators; one decimal where it is small and not whole."""
    return f"{value:,.0f}" if value >= 100 or value == round(value) else f"{value:,.1f}"


def share(value: float) -> str:
    """Share as percent with one decimal; more where it would read as zero."""
    return f"{100 * value:.1f} %" if value == 0 or abs(value) >= 0.0005 else f"{100 * value:.2g} %"


def change(value: float) -> str:
    """Relative change with its sign."""
    return f"{100 * value:+.1f} %"


def duration(seconds: float) -> str:
    """Duration in its two largest units, as in "5 m 12 s"."""
    if 0 < seconds < 10:
        return f"{seconds:.1f} s" if seconds >= 0.1 else f"{1000 * seconds:.3g} ms"
    rest, parts = round(seconds), []
    for unit, length in _UNITS:
        amount, rest = divmod(rest, length)
        parts.append((amount, unit))
    first = next((place for place, (amount, _) in enumerate(parts) if amount), len(parts) - 1)
    return " ".join(
        f"{amount} {unit}" for amount, unit in parts[first : first + 2] if amount or first == len(parts) - 1
    )


def milliseconds(value: float) -> str:
    """Latency in milliseconds, or in seconds from ten of them on."""
    return f"{value:,.0f} ms" if value < 10_000 else duration(value / 1000)


def measure(value: float, unit: str) -> str:
    """Value of a metric; durations, latencies and shares say their unit, other numbers leave it to a label."""
    if unit == "s":
        return duration(value)
    if unit == "share":
        return share(value)
    return milliseconds(value) if unit == "ms" else count(value)


def hour(value: int) -> str:
    """UTC hour as a span, as in "09:00-10:00 UTC"."""
    return f"{value:02d}:00–{(value + 1) % 24:02d}:00 UTC"


def month(name: str) -> str:
    """Month of "2024-03" in words."""
    year, number = name.split("-")
    return f"{calendar.month_name[int(number)]} {year}"


def quoted(name: str) -> str:
    """Name from the data in quotation marks, on one line, invisible characters left out, cut where it is long."""
    seen = "".join(" " if c.isspace() else c for c in name if c.isspace() or unicodedata.category(c)[0] != "C")
    return f"“{seen if len(seen) <= NAME_SHOWN else seen[: NAME_SHOWN - 1] + '…'}”"
