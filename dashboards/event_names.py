"""Names of events for people: "page > section > verb", short enough for a chart, never two alike.

Put here: how an event's name is shown. Keep out: escaping (``text.py``), where it is placed (``charts``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from dashboards import text

LABEL_WIDTH = 34
"""Characters of a label beside a node or on an axis: two of them and a diagram between fit a laptop's width."""

_PARTS = re.compile(r"\s*(?:::|>)\s*")
"""What stands between the parts of a name in the logs that are known."""


def readable(name: str | None) -> str:
    """The whole name with its parts set apart alike; a name of one part stays as it is."""
    plain = text.visible(name)
    parts = _PARTS.split(plain)
    return " > ".join(parts) if len(parts) > 1 and all(parts) else plain


def event_labels(names: Sequence[str | None], width: int = LABEL_WIDTH) -> list[str]:
    """Short readable labels, all different, not escaped yet."""
    return text.labels([readable(name) for name in names], width)
