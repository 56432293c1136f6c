"""Table that compares next-event models.

Put here: its columns. Keep out: how they are computed (``core/models/leaderboard.py``).
"""

from __future__ import annotations

import math

from analytics_assets.schemas.columns import Column, Table, count, real, text

MEASURES: dict[str, tuple[str, str]] = {
    "top1": ("Share of positions whose event was the first choice", "share"),
    "top3": ("Share of positions whose event was among the first three choices", "share"),
    "top5": ("Share of positions whose event was among the first five choices", "share"),
    "mrr10": ("Mean of 1 / rank of what came, 0 beyond rank 10", ""),
    "bits": ("Mean -log2 of the probability of what came", "bits per event"),
}
"""Meaning and unit of each measure that has an interval; of bits fewer are better, of all others more."""


def _with_interval(name: str, description: str, unit: str, *, signed: bool = False) -> tuple[Column, ...]:
    """A figure and the ends of its 95 % interval over users; a signed one is a difference of two figures."""
    low, high = (-1.0 if signed else 0.0, 1.0) if unit == "share" else (None, None)
    # The ends of an interval from a standard error may lie beyond what the figure itself can be.
    least, most = (None if low is None else low - 1, None if high is None else high + 1)
    ends = "of the 95 % interval of"
    return (
        real(name, f"{description}.", unit, minimum=low, maximum=high),
        real(f"{name}_low", f"Lower end {ends} {name} over users.", unit, minimum=least, maximum=most),
        real(f"{name}_high", f"Upper end {ends} {name} over users.", unit, minimum=least, maximum=most),
    )


NEXT_EVENT_LEADERBOARD = Table(
    "next_event_leaderboard",
    "Every way to predict the next event, from the simplest up, on the same positions of the same test sessions.",
    (
        text("rung", "Model or simpler way to predict.", nullable=False),
        Column("step", "int64", "Place on the ladder of complexity, from 1 for the simplest.", nullable=False),
        text("name", "Name for people.", nullable=False),
        Column("is_model", "bool", "Whether it is one of the published models.", nullable=False),
        Column("rank", "int64", "Place by top-1 accuracy, from 1; of equals the simpler one is first.", nullable=True),
        Column(
            "is_champion",
            "bool",
            "Whether it is the one to use: the best by top-1 accuracy that is either no model or clearly better than "
            "the best simpler rung.",
            nullable=False,
        ),
        count("positions", "Scored positions: every event of the test sessions after the first."),
        count("sessions", "Test sessions with such a position."),
        count("users", "Actors of these sessions."),
        *(
            column
            for name, (description, unit) in MEASURES.items()
            for column in (
                *_with_interval(name, description, unit),
                *_with_interval(f"session_{name}", f"{description}; mean of the sessions' means", unit),
            )
        ),
        real("ece", "Expected calibration error: mean difference of confidence and accuracy in 15 bins.", "share"),
        real("macro_recall", "Mean over the event types that came of the share that was the first choice.", "share"),
        real("train_seconds", "Time to fit.", "seconds"),
        real("microseconds_per_prediction", "Time to score one position, in batches.", "microseconds"),
        Column("model_bytes", "int64", "Size of the artefact; null where there is none.", unit="bytes"),
        text("best_simpler_rung", "The rung below with the best top-1 accuracy."),
        *_with_interval("improvement_top1", "Top-1 accuracy less that of the best simpler rung", "share", signed=True),
        *_with_interval("improvement_bits", "Bits of the best simpler rung less its own", "bits per event"),
        Column("beats_most_frequent", "bool", "Whether improvement_top1 over most_frequent is clearly above 0."),
        Column("beats_repeat_last", "bool", "Whether improvement_top1 over repeat_last is clearly above 0."),
        Column("beats_best_simpler", "bool", "Whether improvement_top1_low is above 0."),
        real(
            "share_of_ceiling",
            "Top-1 accuracy over that of the best possible predictor, on positions where that one is known; null for "
            "real data.",
            "share",
            maximum=math.inf,
        ),
    ),
    key=("rung",),
)
