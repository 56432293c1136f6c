"""A warning where one actor makes much of what a page shows.

Put here: the note and its limit. Keep out: counting (``selection.py``).
"""

from __future__ import annotations

import streamlit as st

from dashboards import selection, text
from dashboards.selection import Scope

NOTED_SHARE = 0.05
"""From this share on, one actor's habits can pass for those of all: it alone moves a total by a twentieth."""


def note(scope: Scope) -> None:
    """Say how much of the events one actor makes, if it is more than `NOTED_SHARE`."""
    share = selection.top_actor_share(scope)
    if share is not None and share > NOTED_SHARE:
        st.warning(
            f"One actor makes {text.share(share)} of these events: counts, rankings and means over events lean towards "
            "what it does.",
            icon=":material/person_alert:",
        )
