"""Tables of the hidden Markov model.

Put here: their columns. Keep out: training and decoding (``core/models/hmm*.py``).
"""

from __future__ import annotations

from analytics_assets.schemas.columns import Column, Table, count, real, text

_STATE = Column("state", "int64", "State from 0, by falling share of the training events.", nullable=False)
_STATE_NAME = text("state_name", "Name from the events that set the state apart.", nullable=False)

HMM_STATES = Table(
    "hmm_states",
    "Hidden states of the training sessions: how large they are, how long they last, what happens in them.",
    (
        _STATE,
        _STATE_NAME,
        count("events", "Training events whose likeliest state it is, given the whole session."),
        real("share", "Their share of all training events.", "share", nullable=False),
        real("initial_probability", "Chance that a session begins in it.", "share", nullable=False),
        real("stay_probability", "Chance that the next action has the same state.", "share", nullable=False),
        real("dwell_events", "Mean number of events of a decoded visit.", "events"),
        real(
            "dwell_seconds",
            "Median time from a visit's first event to the next state's first event; visits that end with their "
            "session are left out. Null where there is no other.",
            "s",
        ),
        text("top_events", "Events that set it apart, most telling first, each with its lift.", nullable=False),
    ),
    key=("state",),
)

HMM_EMISSIONS = Table(
    "hmm_emissions",
    "Chance of every event type in every hidden state, beside its chance over all states.",
    (
        _STATE,
        _STATE_NAME,
        text("event_type", "Event type; (other) for those that training saw too seldom.", nullable=False),
        real("probability", "Chance of the event in the state.", "share", nullable=False),
        real("lift", "That chance over the event's chance over all states.", "times", nullable=False),
    ),
    key=("state", "event_type"),
)

HMM_STATE_HOURS = Table(
    "hmm_state_hours",
    "Decoded hidden states of the training events by hour of the day; hours without an event are absent.",
    (
        Column("hour", "int64", "Hour of the day, 0 to 23.", nullable=False, unit="UTC"),
        _STATE,
        _STATE_NAME,
        count("events", "Events of the hour in the state."),
        real("share", "Their share of the hour's events.", "share", nullable=False),
    ),
    key=("hour", "state"),
)

HMM_TRANSITIONS = Table(
    "hmm_state_transitions",
    "Moves between hidden states: as estimated, and as decoded from the training sessions.",
    (
        Column("from_state", "int64", "State of an event.", nullable=False),
        Column("to_state", "int64", "State of the next one in the session.", nullable=False),
        text("from_name", "Name of from_state.", nullable=False),
        text("to_name", "Name of to_state.", nullable=False),
        real(
            "probability",
            "Estimated chance of the move, of one action to the next; repeated actions count where the stream shows "
            "them as one event.",
            "share",
            nullable=False,
        ),
        count("transitions", "Pairs of successive events with these decoded states."),
    ),
    key=("from_state", "to_state"),
)

HMM_TABLES: tuple[Table, ...] = (HMM_STATES, HMM_EMISSIONS, HMM_STATE_HOURS, HMM_TRANSITIONS)
