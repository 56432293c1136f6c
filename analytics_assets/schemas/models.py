"""Tables of the models.

Put here: their columns. Keep out: training and scoring (``core/models``).
"""

from __future__ import annotations

from analytics_assets.schemas.columns import Column, Table, count, real, text

MARKOV_TRANSITIONS = Table(
    "markov_chain_transitions",
    "Transition counts and probabilities learned from the training sessions, for contexts of one and two events.",
    (
        Column("order", "int64", "1: the context is from_event; 2: previous_event and from_event.", nullable=False),
        text("previous_event", "Event before from_event in contexts of order 2; null where the session starts."),
        text("from_event", "Current event.", nullable=False),
        text("to_event", "Next event.", nullable=False),
        count("transitions", "Occurrences in training sessions."),
        real("probability", "Occurrences over all that leave the context.", "share", nullable=False),
    ),
    key=("order", "previous_event", "from_event", "to_event"),
)

MARKOV_PREDICTIONS = Table(
    "markov_chain_predictions",
    "Every scored position of the test sessions with the predictions of order 1 and of order 2 with back-off.",
    (
        text("uuid", "Event that was to be predicted.", nullable=False),
        text("session_key", "Session.", nullable=False),
        text("current_event", "Event before it.", nullable=False),
        text("actual_event", "What followed.", nullable=False),
        text("order1_event", "Most probable successor in training; ties go to the smallest text.", nullable=False),
        text("order2_event", "The same for contexts of two events, backing off to order 1.", nullable=False),
    ),
    key=("uuid",),
)

KMEANS_ASSIGNMENTS = Table(
    "kmeans_segments_assignments",
    "Segment of every actor, with its place on the two main components.",
    (
        text("actor", "Actor.", nullable=False),
        Column(
            "segment", "int64", "Segment from 0, largest first; -1 for actors with too little activity.", nullable=False
        ),
        text("segment_name", "Name from the most distinguishing features.", nullable=False),
        real("distance", "Distance to the segment's centre in the scaled space."),
        real("component_1", "First principal component."),
        real("component_2", "Second principal component."),
    ),
    key=("actor",),
)
