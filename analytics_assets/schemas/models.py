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

MARKOV_CONTEXTS = Table(
    "markov_chain_contexts",
    "Counts of the chain of variable order: what followed each context of one to k events in training.",
    (
        Column("order", "int64", "Events in the context.", nullable=False),
        Column(
            "context",
            "int64",
            "Its events as digits in base vocabulary + 1, the oldest first: 0 before the session's start, else place "
            "in the vocabulary of model.json plus 1.",
            nullable=False,
        ),
        Column("event", "int64", "Next event as place in the vocabulary.", nullable=False),
        count("occurrences", "How often it followed."),
    ),
    key=("order", "context", "event"),
)

NEXT_EVENT_PREDICTIONS = Table(
    "next_event_predictions",
    "Every scored position of the test sessions with the prediction of one model.",
    (
        text("uuid", "Event that was to be predicted.", nullable=False),
        text("session_key", "Session.", nullable=False),
        text(
            "current_event",
            "Event before it in the stream; (other) for a type that training saw too seldom.",
            nullable=False,
        ),
        text("actual_event", "What followed.", nullable=False),
        text("predicted_event", "Likeliest event type.", nullable=False),
        real("confidence", "Its probability.", "share", nullable=False),
        real("actual_probability", "Probability given to what followed.", "share", nullable=False),
        Column(
            "actual_rank",
            "int64",
            "Place of what followed among the types by falling probability, from 1.",
            nullable=False,
        ),
    ),
    key=("uuid",),
)

KMEANS_ASSIGNMENTS = Table(
    "kmeans_segments_assignments",
    "Segment of every actor, with its place on the two main components.",
    (
        text("actor", "Actor.", nullable=False),
        Column(
            "segment",
            "int64",
            "Segment from 0, largest first; -1 for actors with too little activity, -2 for machines, -3 for nobody in "
            "particular.",
            nullable=False,
        ),
        text("segment_name", "Name from the most distinguishing features.", nullable=False),
        real("distance", "Distance to the segment's centre in the scaled space."),
        real("component_1", "First principal component."),
        real("component_2", "Second principal component."),
        Column("nearest_other", "int64", "Segment with the nearest other centre; null with one segment only."),
        real(
            "separation",
            "(distance to the other centre - distance) / distance to the other centre: 0 on the border of two "
            "segments, 1 at the centre; null with one segment only.",
        ),
    ),
    key=("actor",),
)
