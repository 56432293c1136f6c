"""A journey that a visitor makes up, event by event, kept in the address.

Put here: choosing it and checking it against what a model knows. Keep out: what models say of it (the pages).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import streamlit as st

from dashboards import event_names, text

JOURNEY_PARAMETER = "journey"
"""Query parameter, once per event."""

LONGEST_JOURNEY = 30
"""Events of a journey: longer ones are hardly clicked together, and an address stays short enough to be sent."""

_NEXT_KEY = "journey_next"
"""Widget key of the event that is added next."""


def pick(known: Sequence[str], start: str, *, runs_are_one: bool) -> list[str]:
    """Draw the choice of a journey and return it: at least one event, all of them in `known`.

    Parameters
    ----------
    known : sequence of str
        Events that can be chosen; at least one.
    start : str
        The journey's only event while the visitor has chosen none.
    runs_are_one : bool
        Whether a run of one event counts as one event.
    """
    asked = st.query_params.get_all(JOURNEY_PARAMETER)
    unknown = [name for name in dict.fromkeys(asked) if name not in known]
    if unknown:
        shown = text.listed([text.code(text.shortened(name, event_names.LABEL_WIDTH)) for name in unknown[:3]])
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        st.warning(f"The models do not know {shown}{more}; left out.", icon=":material/help:")
    journey = [name for name in asked if name in known][:LONGEST_JOURNEY] or [start]
    labels = dict(zip(known, event_names.event_labels(known, width=80), strict=True))
    actions = (
        ("Add", ":material/add:", _added, len(journey) >= LONGEST_JOURNEY),
        ("Undo", ":material/undo:", _shortened, len(journey) < 2),
        ("Start over", ":material/restart_alt:", _restarted, False),
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox("Then comes", known, key=_NEXT_KEY, format_func=labels.__getitem__)
        for label, icon, change, disabled in actions:
            st.button(label, icon=icon, on_click=change, args=(journey,), disabled=disabled)
    taken = [name for name, _ in itertools.groupby(journey)] if runs_are_one else journey
    st.markdown(" → ".join(text.code(event_names.readable(name)) for name in taken))
    if len(taken) < len(journey):
        st.caption("A run of one event counts as one event, as in the sessions that the models learned from.")
    return taken


def _added(journey: list[str]) -> None:
    st.query_params[JOURNEY_PARAMETER] = [*journey, st.session_state[_NEXT_KEY]]


def _shortened(journey: list[str]) -> None:
    st.query_params[JOURNEY_PARAMETER] = journey[:-1]


def _restarted(_: list[str]) -> None:
    # What was chosen last is where the visitor wants to begin.
    st.query_params[JOURNEY_PARAMETER] = [st.session_state[_NEXT_KEY]]
