"""Numbers, durations and untrusted text for people.

Put here: formatting and escaping. Keep out: where text is placed (``components.py``, ``charts``).

Event names, file names and refused records come from outside. Inside Markdown they are shown as code spans, in which
neither links nor emoji nor directives are read; inside Plotly they are escaped, because Plotly reads some HTML tags.
"""

from __future__ import annotations

import html
import re
import textwrap
import unicodedata
from collections.abc import Sequence
from datetime import date, datetime

NO_DATA = "no data"
NOT_GIVEN = "(not given)"
"""Shown for a missing category."""

EMPTY = "(empty)"
"""Shown for a text of no characters where nothing at all would break the sentence."""

_INVISIBLE = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
"""Unicode categories that change how other text looks without being seen, such as direction overrides."""

_SIZES = ("B", "kB", "MB", "GB", "TB")


def count(value: float | None) -> str:
    """Whole number with thousands separators."""
    return NO_DATA if value is None else f"{value:,.0f}"


def share(value: float | None) -> str:
    """Share as percent, never 0 % for something that exists nor 100 % for less than all."""
    if value is None:
        return NO_DATA
    if 0 < value < 0.001:
        return "<0.1 %"
    if 0.999 < value < 1:
        return ">99.9 %"
    decimals = 0 if value in (0, 1) or 0.0995 <= value < 0.995 else 1
    return f"{100 * value:.{decimals}f} %"


def exact_share(value: float | None) -> str:
    """Share as percent with one decimal, for values that are compared with each other."""
    return NO_DATA if value is None else f"{100 * value:.1f} %"


def ratio(part: float, whole: float) -> float | None:
    """`part` / `whole`; None when there is nothing to divide by."""
    return part / whole if whole else None


def duration(seconds: float | None) -> str:
    """Duration in its two largest units, as in "5 m 12 s"."""
    if seconds is None:
        return NO_DATA
    if 0 < seconds < 1:
        return "<1 s" if seconds < 0.1 else f"{seconds:.1f} s"
    rest = round(seconds)
    parts = []
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        amount, rest = divmod(rest, length)
        parts.append((amount, unit))
    first = next((place for place, (amount, _) in enumerate(parts) if amount), len(parts) - 1)
    return " ".join(
        f"{amount} {unit}" for amount, unit in parts[first : first + 2] if amount or unit == parts[first][1]
    )


def measure(value: float | None, unit: str) -> str:
    """Value of a published metric; durations and shares say their unit, other numbers leave it to a label."""
    if value is None:
        return NO_DATA
    if unit == "s":
        return duration(value)
    if unit == "share":
        return exact_share(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def size(amount: float) -> str:
    """Bytes in the largest fitting decimal unit."""
    place = 0
    while amount >= 1000 and place < len(_SIZES) - 1:
        amount, place = amount / 1000, place + 1
    return f"{amount:,.0f} {_SIZES[place]}" if place == 0 else f"{amount:,.1f} {_SIZES[place]}"


def day(moment: str | None) -> str:
    """Date of an ISO time, as in "17 Oct 2021"."""
    return NO_DATA if moment is None else f"{datetime.fromisoformat(moment):%-d %b %Y}"


def month(name: str) -> str:
    """Month such as ``2021-10``, as in "Oct 2021"."""
    return f"{date.fromisoformat(f'{name}-01'):%b %Y}"


def change(value: float | None) -> str:
    """Relative change as percent with its sign, as in "+3.1 %"."""
    return NO_DATA if value is None else f"{100 * value:+.1f} %"


def minute(moment: str | None) -> str:
    """Date and time of an ISO time in UTC, to the minute."""
    return NO_DATA if moment is None else f"{datetime.fromisoformat(moment):%-d %b %Y, %H:%M} UTC"


def span(years: Sequence[int]) -> str:
    """Years with consecutive ones joined by a dash."""
    runs: list[list[int]] = []
    for year in sorted(years):
        if runs and year == runs[-1][-1] + 1:
            runs[-1].append(year)
        else:
            runs.append([year])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)


def listed(names: Sequence[str]) -> str:
    """Names as in "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def visible(content: str | bytes | None, limit: int | None = None) -> str:
    """Text in which every character can be seen.

    Bytes are read as UTF-8; bytes that are not, controls and other invisible characters become escapes. Text longer
    than `limit` is cut, and says so.
    """
    if content is None:
        return NOT_GIVEN
    if limit is not None and len(content) > limit:
        return f"{visible(content[:limit])}… ({len(content) - limit:,} more)"
    decoded = content.decode("utf-8", "backslashreplace") if isinstance(content, bytes) else content
    return "".join(f"\\u{{{ord(sign):04x}}}" if unicodedata.category(sign) in _INVISIBLE else sign for sign in decoded)


def code(content: str | None) -> str:
    """Untrusted text as a Markdown code span."""
    shown = visible(content) or EMPTY
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    # A space keeps a leading or trailing backtick apart from the fence; Markdown strips exactly one on each side.
    padding = " " if longest or shown != shown.strip() else ""
    return f"{fence}{padding}{shown}{padding}{fence}"


_MARKDOWN = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_{}[]<>()#+-.!|~&$:"})


def prose(content: str) -> str:
    """Sentences that quote untrusted text, as Markdown that shows them as they are."""
    return visible(content).translate(_MARKDOWN)


def for_plotly(content: str | None) -> str:
    """Untrusted text for a Plotly label, annotation or hover box."""
    return html.escape(visible(content), quote=False)


def shortened(content: str, width: int) -> str:
    """Text of at most `width` characters; the middle gives way, because names often differ at their end."""
    if len(content) <= width:
        return content
    head = (width - 1) * 2 // 3
    return f"{content[:head].rstrip()}…{content[len(content) - (width - 1 - head) :].lstrip()}"


def wrapped(content: str, width: int) -> list[str]:
    """Text as lines of at most `width` characters, broken at spaces where there are any."""
    return textwrap.wrap(content, width) or [content]


def labels(names: Sequence[str | None], width: int) -> list[str]:
    """Short labels, all different, not escaped yet."""
    taken: set[str] = set()
    found = []
    for name in names:
        plain = visible(name)
        label, number = shortened(plain, width), 1
        while label in taken:
            number += 1
            mark = f" ({number})"
            label = shortened(plain, width - len(mark)) + mark
        taken.add(label)
        found.append(label)
    return found
