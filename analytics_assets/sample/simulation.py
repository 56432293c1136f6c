"""Random journeys: sessions as sequences of events, without any clock.

Belongs here: drawing states, actions and rendered widgets for many sessions at once, and laying them out as one array
of raw events. Does not belong here: who starts a session and when (``population``), time stamps (``timing``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analytics_assets.sample.journeys import HUMAN_EMPTY_SHARE, HUMAN_SINGLE_SHARE, SCRIPTED_ACTION, Model
from analytics_assets.sample.sampling import draw_rows

SINGLE, EMPTY, ACTIVE, SCRIPTED = 0, 1, 2, 3
"""Kinds of session: only a start; start and end; with actions; the scripted monitor's."""

MAX_ACTIONS: Final = 600
"""Bound on the actions of one session, so that the stepping ends: twenty times the longest persona's mean."""

MAX_RENDERS: Final = 79
"""Bound on the renders after one action: the busiest page exceeds it once in three billion actions."""


@dataclass(frozen=True)
class Journeys:
    """Sessions (S), their actions (N) and the widgets rendered after them (W), in session order.

    Attributes
    ----------
    kind : int8 (S,)
    n_actions : int64 (S,)
    state : int64 (N,)
        Hidden state of each action; -1 for the scripted monitor, which has none.
    action : int64 (N,)
        Code of the action.
    n_renders : int64 (N,)
        Widgets rendered after each action.
    render : int64 (W,)
        Index of each widget among the model's renders, in the order of `n_renders`.
    """

    kind: NDArray[np.int8]
    n_actions: NDArray[np.int64]
    state: NDArray[np.int64]
    action: NDArray[np.int64]
    n_renders: NDArray[np.int64]
    render: NDArray[np.int64]

    def session_of_action(self) -> NDArray[np.int64]:
        """Session index of each action: int64 (N,)."""
        return np.repeat(np.arange(len(self.kind)), self.n_actions)

    def n_events(self) -> NDArray[np.int64]:
        """Raw events per session, boundaries included: int64 (S,)."""
        rendered = np.bincount(self.session_of_action(), weights=self.n_renders, minlength=len(self.kind))
        return np.where(self.kind == SINGLE, 1, 2) + self.n_actions + rendered.astype(np.int64)

    def head(self, n: int) -> Journeys:
        """The first `n` sessions."""
        actions = int(self.n_actions[:n].sum())
        renders = int(self.n_renders[:actions].sum())
        return Journeys(
            self.kind[:n],
            self.n_actions[:n],
            self.state[:actions],
            self.action[:actions],
            self.n_renders[:actions],
            self.render[:renders],
        )


def draw_kinds(rng: np.random.Generator, n: int) -> NDArray[np.int8]:
    """Kinds of `n` human sessions: int8 (n,)."""
    u = rng.random(n)
    return np.where(
        u < HUMAN_SINGLE_SHARE, SINGLE, np.where(u < HUMAN_SINGLE_SHARE + HUMAN_EMPTY_SHARE, EMPTY, ACTIVE)
    ).astype(np.int8)


def simulate(rng: np.random.Generator, model: Model, persona: NDArray[np.int64], kind: NDArray[np.int8]) -> Journeys:
    """Draw the journeys of human sessions, all sessions one step at a time.

    Parameters
    ----------
    rng : numpy.random.Generator
    model : Model
    persona : int64 (S,)
        Persona index of each session.
    kind : int8 (S,)
        ``SINGLE``, ``EMPTY`` or ``ACTIVE``.

    Returns
    -------
    Journeys
    """
    k = len(model.states)
    moves = model.transition.cumsum(axis=2).reshape(-1, k + 1)
    live = np.flatnonzero(kind == ACTIVE)
    state = draw_rows(rng, model.initial.cumsum(axis=1), persona[live])
    who, states = [], []
    for _ in range(MAX_ACTIONS):
        who.append(live)
        states.append(state)
        following = draw_rows(rng, moves, persona[live] * k + state)
        going_on = following < k
        live, state = live[going_on], following[going_on]
        if not len(live):
            break
    session = np.concatenate(who)
    # Steps were appended one after another; a stable sort by session restores each session's own order.
    order = np.argsort(session, kind="stable")
    state = np.concatenate(states)[order]
    action = draw_rows(rng, model.emission.cumsum(axis=1), state)
    page = model.action_page[action]
    # Geometric by table: 1 - (1 - stop)^(n + 1) needs products only, while a library's generator takes logarithms.
    going_on_by_page = np.repeat(1 - model.stop[:, None], MAX_RENDERS + 1, axis=1)
    at_most = np.asarray(1 - np.cumprod(going_on_by_page, axis=1), dtype=np.float64)
    n_renders = draw_rows(rng, at_most, page)
    table = np.zeros((len(model.pages), len(model.renders)))
    table[model.render_page, np.arange(len(model.renders))] = model.render_share
    render = draw_rows(rng, table.cumsum(axis=1), np.repeat(page, n_renders))
    n_actions = np.bincount(session, minlength=len(kind)).astype(np.int64)
    return Journeys(kind, n_actions, state, action, n_renders, render)


def append_scripted(journeys: Journeys, model: Model, n: int) -> Journeys:
    """Add `n` sessions of the scripted monitor: start, one action, end, always the same."""
    code = model.actions.index(SCRIPTED_ACTION)
    ones = np.ones(n, dtype=np.int64)
    return Journeys(
        np.concatenate([journeys.kind, np.full(n, SCRIPTED, dtype=np.int8)]),
        np.concatenate([journeys.n_actions, ones]),
        np.concatenate([journeys.state, -ones]),
        np.concatenate([journeys.action, code * ones]),
        np.concatenate([journeys.n_renders, 0 * ones]),
        journeys.render,
    )


@dataclass(frozen=True)
class EventLayout:
    """Raw events (E) in session order.

    Attributes
    ----------
    first : int64 (S,)
        Index of each session's first event.
    session : int64 (E,)
    code : int64 (E,)
        Event type: index into ``Model.event_types``.
    burst : int64 (E,)
        Number of the upload an event travels in: an action and its renders share one, the session's start joins the
        first, its end has one of its own.
    action_at : int64 (N,)
        Index of the event of each action.
    """

    first: NDArray[np.int64]
    session: NDArray[np.int64]
    code: NDArray[np.int64]
    burst: NDArray[np.int64]
    action_at: NDArray[np.int64]


def lay_out(journeys: Journeys, model: Model) -> EventLayout:
    """Place starts, actions, renders and ends one after another.

    Parameters
    ----------
    journeys : Journeys
    model : Model

    Returns
    -------
    EventLayout
    """
    counts = journeys.n_events()
    first = np.cumsum(counts) - counts
    session = np.repeat(np.arange(len(counts)), counts)
    code = np.full(len(session), -1, dtype=np.int64)
    has_end = journeys.kind != SINGLE
    last = first + counts - 1
    code[first] = model.start_code
    code[last[has_end]] = model.end_code
    # Each action takes one place plus its renders. Boundaries before it: its own session's start, and all of those of
    # earlier sessions.
    size = 1 + journeys.n_renders
    before = np.cumsum(size) - size
    boundaries = np.where(has_end, 2, 1)
    boundaries_before = np.cumsum(boundaries) - boundaries + 1
    action_at = before + boundaries_before[journeys.session_of_action()]
    code[action_at] = journeys.action
    new_burst = np.zeros(len(session), dtype=np.int64)
    new_burst[action_at] = 1
    # The first action shares its burst with the session's start.
    active = journeys.n_actions > 0
    new_burst[first[active] + 1] = 0
    new_burst[first] = 1
    new_burst[last[has_end]] = 1
    code[code < 0] = len(model.actions) + journeys.render
    return EventLayout(first, session, code, np.cumsum(new_burst) - 1, action_at)
