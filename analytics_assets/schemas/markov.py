"""Tables derived from the Markov chain with entry and exit.

Put here: their columns. Keep out: how they are computed (``core/models/markov_*.py``), tables of prediction
(``models.py``).
"""

from __future__ import annotations

from analytics_assets.schemas.columns import Column, Table, count, real, text, time

MARKOV_EDGES = Table(
    "markov_chain_edges",
    "Every move from one event to the next in the analysed sessions, entry and exit included, tested against what is "
    "expected if the next event did not depend on the current one; also moves that significantly never happen.",
    (
        text("from_event", "Event, or (start) for a session's entry.", nullable=False),
        text("to_event", "Next event, or (exit) for a session's end.", nullable=False),
        count("transitions", "How often the move happened."),
        count("sessions", "Sessions in which it happened."),
        count("actors", "Actors who made it."),
        real("probability", "Share of the moves from from_event.", "share", nullable=False),
        real("probability_low", "Lower end of its 95 % interval, actors' habits accounted for.", "share"),
        real("probability_high", "Upper end.", "share"),
        real(
            "design_effect",
            "Variance of the probability over that of independent moves, at least 1; counts are divided by it in "
            "intervals and tests.",
            nullable=False,
        ),
        real(
            "expected",
            "Moves expected if the next event did not depend on the current one, among the moves that can happen.",
            "rows",
            nullable=False,
        ),
        real("lift", "Transitions over expected; null where none can be expected."),
        real("residual", "Adjusted residual of the effective counts, in standard errors.", nullable=False),
        real("p_value", "Two-sided chance of such a count without dependence.", "share", nullable=False),
        real(
            "q_value",
            "The same adjusted for the number of tested moves (Benjamini and Hochberg).",
            "share",
            nullable=False,
        ),
        Column("significant", "bool", "Whether q_value is at most 0.05.", nullable=False),
        real("dwell_p25", "Lower quartile of the time between the two events; null at entry and exit.", "s"),
        real("dwell_median", "Median of the same.", "s"),
        real("dwell_p75", "Upper quartile of the same.", "s"),
    ),
    key=("from_event", "to_event"),
)

MARKOV_STATES = Table(
    "markov_chain_states",
    "Every event type as a state of the chain with entry and exit.",
    (
        text("event", "Event.", nullable=False),
        count("occurrences", "How often it occurs in the analysed sessions."),
        count("entries", "Sessions that start with it."),
        count("exits", "Sessions that end with it."),
        real(
            "stationary",
            "Stationary probability where an exit is followed by a new session; with that of being outside they sum "
            "to 1.",
            "share",
            nullable=False,
        ),
        real("time_share", "Share of the time inside sessions from this event to the next one.", "share"),
        real("entry_probability", "Share of sessions that start with it.", "share", nullable=False),
        real("exit_probability", "Chance that it is a session's last event.", "share", nullable=False),
        real("events_to_exit", "Expected further events of the session.", "events"),
        real("entropy", "Uncertainty of the next move.", "bit", nullable=False),
        real(
            "removal_effect",
            "Share of the journeys to a goal that is lost when the event leads to the exit instead; for a goal the "
            "share whose first goal it is; null where no journey comes to a goal.",
            "share",
        ),
        real("removal_effect_low", "Lower end of its 95 % interval (bootstrap over actors).", "share"),
        real("removal_effect_high", "Upper end.", "share"),
        real("credit", "Removal effect over the sum of all.", "share"),
    ),
    key=("event",),
)

MARKOV_GOALS = Table(
    "markov_chain_goals",
    "Chance and distance of each goal, and of any of them, from every event and from the start of a session.",
    (
        text("goal", "Goal event, or (any goal).", nullable=False),
        text("from_event", "Current event, or (start).", nullable=False),
        real("probability", "Chance to come to the goal before the session ends.", "share", nullable=False),
        real(
            "events_to_goal",
            "Expected events to the goal, itself included, given that it is reached; null where it cannot be.",
            "events",
        ),
    ),
    key=("goal", "from_event"),
)

MARKOV_ORDERS = Table(
    "markov_chain_orders",
    "Unsmoothed chains with contexts of 0 to k events on the analysed sessions.",
    (
        Column("order", "int64", "Events in the context.", nullable=False),
        count("contexts", "Contexts that occur."),
        Column("parameters", "int64", "Free parameters of those contexts.", nullable=False),
        real("bits", "In-sample code length of an event, which more parameters always lower.", "bit", nullable=False),
        real("bic", "Bayesian information criterion: the smallest one is best.", nullable=False),
        real("bic_bits", "The same as bits per event: bits plus a penalty for parameters.", "bit", nullable=False),
    ),
    key=("order",),
)

MARKOV_WHAT_IF = Table(
    "markov_chain_what_if",
    "Simulated journeys of the chain when an event is no longer there; the first row is the chain as it is.",
    (
        text("removed_event", "Event that no journey comes to; null for the chain as it is."),
        text(
            "reading",
            "exit: who would go there leaves; reroute: they go on to the event's neighbours' other successors, in "
            "their proportions. Null for the chain as it is.",
        ),
        count("journeys", "Simulated journeys."),
        real("goal_rate", "Share of simulated journeys that come to a goal.", "share", nullable=False),
        real("goal_rate_exact", "The same by linear algebra.", "share"),
        real("goal_rate_change", "goal_rate minus that of the chain as it is.", "share", minimum=-1),
        real(
            "goal_rate_change_low", "Lower end of its 95 % interval: what simulation leaves open.", "share", minimum=-2
        ),
        real("goal_rate_change_high", "Upper end.", "share", minimum=-1, maximum=2),
        real("events", "Mean events of the journeys that ended.", "events"),
        real("events_exact", "The same by linear algebra.", "events"),
        real("events_change", "events minus those of the chain as it is.", "events"),
        real("events_change_low", "Lower end of its 95 % interval: what simulation leaves open.", "events"),
        real("events_change_high", "Upper end.", "events"),
        real("endless_share", "Share of journeys that were cut off because they did not end.", "share", nullable=False),
    ),
    key=("removed_event", "reading"),
)

MARKOV_PERIODS = Table(
    "markov_chain_periods",
    "Whether the chain changes: periods of equally many sessions against all of them.",
    (
        Column("period", "int64", "Number of the period, from 1.", nullable=False),
        time("first_start", "Start of its first session.", nullable=False),
        time("last_start", "Start of its last session.", nullable=False),
        count("sessions", "Sessions."),
        count("transitions", "Moves, entries and exits included."),
        real(
            "distance",
            "Mean over its moves of the total variation distance of the period's probabilities from those of all.",
            "share",
            nullable=False,
        ),
        real("chance_distance", "Mean of the same after sessions were shuffled over periods.", "share"),
        real("p_value", "Share of shuffles in which any period is at least as far off.", "share"),
    ),
    key=("period",),
)

MARKOV_FLOWS = Table(
    "markov_chain_flows",
    "How sessions flow through their first events; paths are counted once and what comes to a node also leaves it.",
    (
        Column("step", "int64", "0: from (start) to the first event; k: from the k-th event on.", nullable=False),
        text("from_event", "Event at that step; (other) for less frequent ones together.", nullable=False),
        text("to_event", "Next event, or (exit).", nullable=False),
        count("sessions", "Sessions."),
    ),
    key=("step", "from_event", "to_event"),
)
