"""What people do: hidden states, the actions each state emits, personas, and the widgets pages render.

Belongs here: the parameters of the behaviour model as tables, and the matrices built from them.
Does not belong here: drawing random journeys (``simulation``) and predicting them (``optimum``).

The product imagined is an insurance workbench: brokers' staff submit properties, underwriters review and rate them,
analysts watch the portfolio. A journey is a plain hidden Markov chain at the level of actions::

    state_1 ~ initial[persona]      state_t ~ transition[persona][state_(t-1)]      action_t ~ emission[state_t]

where a transition may also lead to the end of the session. The emission table is common to all personas, so that one
categorical hidden Markov model can describe everyone; personas differ only in how they move between states.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

END: Final = "END"
SESSION_START: Final = "session_start"
SESSION_END: Final = "session_end"

SCRIPTED_PERSONA: Final = "scripted monitor"
SCRIPTED_ACTION: Final = "home::overview::view"
"""The one action of every session of the scripted monitor."""

BACKGROUND_MOVE: Final = 0.012
"""Share of each transition row that is spread evenly over all states: no move is impossible, so no predictor that
smooths is punished for it and no probability is zero in the filters."""

# Percent per state. One action carries about 80 % of a state that is a step of a flow and 60 to 70 % of a browsing
# state; neighbouring states share an action or two, so that states can be recovered but not from every single event.
EMISSIONS: Final[dict[str, dict[str, int]]] = {
    "landing": {
        "home::overview::view": 72,
        "home::tasks::view": 11,
        "home::alerts::view": 5,
        "navigation::menu::click": 6,
        "home::announcement::click": 2,
        "account::session::click": 4,
    },
    "queue": {
        "queue::list::view": 70,
        "queue::row::click": 13,
        "queue::filter::click": 7,
        "queue::sort::click": 3,
        "queue::assignee::click": 2,
        "navigation::menu::click": 3,
        "search::query::submit": 2,
    },
    "search": {
        "search::query::submit": 66,
        "search::results::view": 19,
        "search::result::click": 7,
        "search::filter::click": 4,
        "search::saved::click": 2,
        "queue::list::view": 2,
    },
    "intake_insured": {
        "intake::insured::submit": 82,
        "intake::insured::view": 9,
        "intake::broker::submit": 5,
        "intake::lookup::click": 4,
    },
    "intake_property": {
        "intake::property::submit": 76,
        "intake::address::submit": 9,
        "intake::occupancy::submit": 5,
        "documents::upload::submit": 8,
        "intake::lookup::click": 2,
    },
    "intake_confirm": {
        "intake::summary::submit": 80,
        "intake::summary::view": 9,
        "intake::confirmation::view": 7,
        "documents::upload::submit": 4,
    },
    "risk_review": {
        "property::risk::view": 69,
        "property::map::view": 11,
        "property::images::click": 7,
        "property::hazards::view": 6,
        "documents::file::click": 4,
        "documents::list::view": 3,
    },
    "rating": {
        "rating::worksheet::view": 71,
        "rating::premium::submit": 12,
        "rating::modifier::submit": 8,
        "rating::compare::view": 5,
        "property::risk::view": 4,
    },
    "decision": {
        "decision::quote::submit": 68,
        "decision::refer::submit": 9,
        "decision::decline::submit": 7,
        "decision::bind::submit": 4,
        "notes::comment::submit": 8,
        "notes::thread::view": 4,
    },
    "reporting": {
        "report::chart::view": 70,
        "report::filter::click": 12,
        "report::table::view": 8,
        "report::export::click": 5,
        "report::schedule::submit": 2,
        "portfolio::exposure::view": 3,
    },
    "portfolio": {
        "portfolio::exposure::view": 69,
        "portfolio::drilldown::click": 11,
        "portfolio::map::view": 8,
        "portfolio::renewals::view": 5,
        "portfolio::benchmark::view": 2,
        "report::chart::view": 3,
        "property::map::view": 2,
    },
    "account_help": {
        "help::article::view": 62,
        "account::profile::view": 9,
        "help::search::submit": 8,
        "account::team::view": 5,
        "account::settings::submit": 5,
        "account::notifications::click": 3,
        "help::contact::submit": 2,
        "home::overview::view": 4,
        "account::session::click": 2,
    },
}

# Page -> (percent chance to stop before each further render, percent per widget). The stop chances give about 2.4
# renders per action, hence two thirds of all events; each page has one dominant widget, as real pages do.
RENDERS: Final[dict[str, tuple[int, dict[str, int]]]] = {
    "home": (26, {"layout": 58, "task_card": 20, "alert_banner": 10, "activity_feed": 7, "greeting": 5}),
    "navigation": (55, {"menu_panel": 80, "breadcrumb": 20}),
    "account": (47, {"profile_card": 50, "form_field": 30, "avatar": 20}),
    "queue": (23, {"table_row": 66, "table_header": 12, "filter_chip": 10, "status_badge": 8, "pager": 4}),
    "search": (30, {"result_row": 62, "facet": 21, "suggestion": 11, "pager": 6}),
    "intake": (32, {"form_field": 61, "stepper": 14, "address_lookup": 9, "validation_hint": 9, "help_tip": 7}),
    "documents": (39, {"file_row": 64, "preview": 24, "upload_progress": 12}),
    "property": (24, {"risk_tile": 47, "map_layer": 22, "image": 16, "hazard_badge": 10, "score_ring": 5}),
    "rating": (30, {"worksheet_cell": 69, "premium_summary": 17, "factor_chart": 9, "modifier_row": 5}),
    "decision": (46, {"quote_card": 57, "authority_check": 26, "letter_preview": 17}),
    "notes": (44, {"comment": 73, "mention": 16, "editor": 11}),
    "report": (28, {"chart": 54, "legend": 18, "table_row": 14, "filter_chip": 9, "axis": 5}),
    "portfolio": (26, {"map_layer": 44, "exposure_tile": 31, "trend_line": 14, "peer_group": 7, "renewal_row": 4}),
    "help": (48, {"article_body": 63, "related_link": 24, "feedback": 13}),
}


@dataclass(frozen=True)
class Persona:
    """One kind of person; all chances in percent.

    Attributes
    ----------
    name, description
        Text for people.
    user_share
        Share of users, 0 to 1.
    activity
        Relative number of sessions per week.
    initial
        State -> chance of being the first.
    moves
        State -> next state or ``END`` -> chance. States left out use :data:`RARE_STATE_MOVES`.
    hour_shift
        Hours by which the working day is shifted against the common profile.
    off_hours
        Share of sessions spread evenly from 6 to 21 o'clock instead, 0 to 1.
    """

    name: str
    description: str
    user_share: float
    activity: float
    initial: dict[str, int]
    moves: dict[str, dict[str, int]]
    hour_shift: int
    off_hours: float


RARE_STATE_MOVES: Final[dict[str, int]] = {"landing": 40, END: 12}
"""From a state a persona has no business in: half stay, most others go back to the landing page."""

PERSONAS: Final[tuple[Persona, ...]] = (
    Persona(
        "submitter",
        "enters new property submissions through the intake steps, one after another",
        0.28, 1.2,
        {"landing": 78, "intake_insured": 16, "queue": 6},
        {
            "landing": {"landing": 24, "intake_insured": 56, "queue": 8, "search": 4, "account_help": 2, END: 6},
            "queue": {"queue": 50, "intake_insured": 27, "landing": 10, "search": 5, END: 8},
            "search": {"search": 50, "intake_insured": 22, "queue": 14, "landing": 7, END: 7},
            "intake_insured": {"intake_insured": 18, "intake_property": 81, END: 1},
            "intake_property": {"intake_property": 70, "intake_confirm": 29, END: 1},
            "intake_confirm": {"intake_confirm": 12, "intake_insured": 53, "landing": 12, "queue": 4, END: 19},
        },
        -1, 0.05,
    ),
    Persona(
        "reviewer",
        "works through the queue: reviews the risk, rates it, decides; the longest sessions",
        0.24, 1.5,
        {"queue": 55, "landing": 45},
        {
            "landing": {"landing": 28, "queue": 63, "search": 5, END: 4},
            "queue": {"queue": 66, "risk_review": 24, "search": 3, "landing": 2, END: 5},
            "search": {"search": 60, "risk_review": 25, "queue": 12, END: 3},
            "risk_review": {"risk_review": 78, "rating": 15, "decision": 3, "queue": 2, END: 2},
            "rating": {"rating": 74, "decision": 20, "risk_review": 5, END: 1},
            "decision": {"decision": 30, "queue": 55, "landing": 4, END: 11},
        },
        0, 0.05,
    ),
    Persona(
        "analyst",
        "explores the portfolio and builds reports; late in the day, long visits to few screens",
        0.16, 0.9,
        {"landing": 34, "portfolio": 36, "reporting": 30},
        {
            "landing": {"landing": 30, "portfolio": 32, "reporting": 26, "search": 7, END: 5},
            "portfolio": {"portfolio": 85, "reporting": 7, "search": 2, "risk_review": 2, END: 4},
            "reporting": {"reporting": 86, "portfolio": 7, "search": 2, END: 5},
            "search": {"search": 68, "portfolio": 24, "risk_review": 5, END: 3},
            "risk_review": {"risk_review": 60, "portfolio": 35, END: 5},
        },
        2, 0.10,
    ),
    Persona(
        "manager",
        "checks the start page and the figures, settles referrals; short sessions early in the day",
        0.14, 0.8,
        {"landing": 62, "decision": 20, "reporting": 18},
        {
            "landing": {"landing": 34, "decision": 24, "reporting": 20, "queue": 9, END: 13},
            "queue": {"queue": 44, "decision": 34, "landing": 10, "reporting": 4, END: 8},
            "decision": {"decision": 70, "landing": 12, "queue": 7, "reporting": 2, END: 9},
            "reporting": {"reporting": 70, "landing": 15, "decision": 4, END: 11},
        },
        -2, 0.02,
    ),
    Persona(
        "occasional",
        "looks something up or reads help, now and then, at any hour",
        0.18, 0.4,
        {"landing": 42, "search": 28, "account_help": 30},
        {
            "landing": {"landing": 33, "search": 22, "account_help": 29, END: 16},
            "search": {"search": 60, "landing": 12, "account_help": 10, END: 18},
            "account_help": {"account_help": 66, "landing": 12, "search": 6, END: 16},
        },
        0, 0.40,
    ),
)  # fmt: skip

HUMAN_EMPTY_SHARE: Final = 0.5
"""Share of human sessions that hold only their two boundary events (about 47 % of all sessions)."""

HUMAN_SINGLE_SHARE: Final = 0.07
"""Share of human sessions whose end was never sent: one event. With the empty ones more than half of all sessions
have at most two events, so the median is 2 as in the real export."""


@dataclass(frozen=True)
class Model:
    """The behaviour model as matrices.

    Attributes
    ----------
    states, actions, renders, pages, personas
        Names, in the order of the indices used everywhere: K states, M actions, R renders, G pages, P personas.
    initial : float64 (P, K)
    transition : float64 (P, K, K + 1)
        The last column is the end of the session; rows sum to 1.
    emission : float64 (K, M)
        Rows sum to 1.
    action_page : int64 (M,)
        Page of each action.
    stop : float64 (G,)
        Chance that no further widget is rendered.
    render_page : int64 (R,)
    render_share : float64 (R,)
        Chance of the widget among those of its page.
    """

    states: tuple[str, ...]
    actions: tuple[str, ...]
    renders: tuple[str, ...]
    pages: tuple[str, ...]
    personas: tuple[str, ...]
    initial: NDArray[np.float64]
    transition: NDArray[np.float64]
    emission: NDArray[np.float64]
    action_page: NDArray[np.int64]
    stop: NDArray[np.float64]
    render_page: NDArray[np.int64]
    render_share: NDArray[np.float64]

    @property
    def event_types(self) -> tuple[str, ...]:
        """All event names by code: actions, renders, then the two session boundaries."""
        return (*self.actions, *self.renders, SESSION_START, SESSION_END)

    @property
    def start_code(self) -> int:
        """Code of ``session_start``."""
        return len(self.actions) + len(self.renders)

    @property
    def end_code(self) -> int:
        """Code of ``session_end``."""
        return self.start_code + 1


def _transition_row(state: str, moves: dict[str, int] | None, states: tuple[str, ...]) -> list[float]:
    """One row of a transition matrix (K + 1 chances, the end last)."""
    if moves is None:
        moves = {**RARE_STATE_MOVES}
        moves[state] = moves.get(state, 0) + 100 - sum(moves.values())
    if sum(moves.values()) != 100:
        raise ValueError(f"the moves from {state} sum to {sum(moves.values())} %, not 100 %")
    listed = [moves.get(name, 0) / 100 for name in states]
    end = moves.get(END, 0) / 100
    # The background is taken from the moves between states only: the chance to end stays as listed.
    spread = BACKGROUND_MOVE * (1 - end) / len(states)
    return [round(p * (1 - BACKGROUND_MOVE) + spread, 9) for p in listed] + [end]


@lru_cache(maxsize=1)
def build_model() -> Model:
    """Build the matrices from the tables of this module.

    Returns
    -------
    Model
        Probabilities in float64; each row sums to 1 up to rounding.
    """
    states = tuple(EMISSIONS)
    actions = tuple(dict.fromkeys(action for row in EMISSIONS.values() for action in row))
    pages = tuple(RENDERS)
    for name, row in EMISSIONS.items():
        if sum(row.values()) != 100:
            raise ValueError(f"the emissions of {name} sum to {sum(row.values())} %, not 100 %")
    for page, (_, widgets) in RENDERS.items():
        if sum(widgets.values()) != 100:
            raise ValueError(f"the widgets of {page} sum to {sum(widgets.values())} %, not 100 %")
    emission = np.array([[EMISSIONS[s].get(a, 0) / 100 for a in actions] for s in states])
    initial = np.array([[p.initial.get(s, 0) / 100 for s in states] for p in PERSONAS])
    transition = np.array([[_transition_row(s, p.moves.get(s), states) for s in states] for p in PERSONAS])
    transition /= transition.sum(axis=2, keepdims=True)
    if not np.allclose(initial.sum(axis=1), 1):
        raise ValueError("the initial chances of a persona do not sum to 100 %")
    renders = [
        (pages.index(page), f"{page}::{widget}::render", percent / 100)
        for page, (_, widgets) in RENDERS.items()
        for widget, percent in widgets.items()
    ]
    return Model(
        states=states,
        actions=actions,
        renders=tuple(name for _, name, _ in renders),
        pages=pages,
        personas=tuple(p.name for p in PERSONAS),
        initial=initial,
        transition=transition,
        emission=emission,
        action_page=np.array([pages.index(a.split("::")[0]) for a in actions], dtype=np.int64),
        stop=np.array([RENDERS[g][0] / 100 for g in pages]),
        render_page=np.array([g for g, _, _ in renders], dtype=np.int64),
        render_share=np.array([share for _, _, share in renders]),
    )


def expected_session_events(model: Model) -> NDArray[np.float64]:
    """Expected number of raw events of a human session, by persona.

    Parameters
    ----------
    model : Model

    Returns
    -------
    float64 (P,)
        Mean over empty, single-event and active sessions.
    """
    k = len(model.states)
    renders_per_state = model.emission @ ((1 - model.stop) / model.stop)[model.action_page]
    means = []
    for initial, transition in zip(model.initial, model.transition, strict=True):
        visits = np.linalg.solve((np.eye(k) - transition[:, :k]).T, initial)
        active = 2 + visits.sum() + visits @ renders_per_state
        single, empty = HUMAN_SINGLE_SHARE, HUMAN_EMPTY_SHARE
        means.append(round(float(single + 2 * empty + (1 - single - empty) * active), 9))
    return np.array(means)
