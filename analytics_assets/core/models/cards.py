"""Model cards: what a model is, what it learned from, how good it is, where it ends.

Put here: the text of every ``card.md``. Keep out: the figures in it (each model's own module).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def _card(title: str, lines: Sequence[str]) -> str:
    return f"# {title}\n\n" + "\n".join(f"- {line}" for line in lines) + "\n"


def _figure(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4f}"


def markov_card(metrics: dict[str, Any], years: Sequence[str]) -> str:
    """Card of the Markov chain from its metrics and input years."""
    return _card(
        "Markov chain",
        [
            "Predicts the next event of a session from its last one or two events.",
            f"Learned from {metrics['train_sessions']:,} sessions of {', '.join(years)}; scored on the "
            f"{metrics['test_sessions']:,} that start later.",
            f"Top-1 accuracy: order 1 {_figure(metrics['markov1_accuracy'])}, order 2 with back-off "
            f"{_figure(metrics['markov2_backoff_accuracy'])}; most frequent event "
            f"{_figure(metrics['most_frequent_accuracy'])}, repeating the current event "
            f"{_figure(metrics['repeat_accuracy'])}.",
            "Limits: it sees at most two events back and no time; an event name that is new at prediction time breaks "
            "the context.",
        ],
    )


def kmeans_card(metrics: dict[str, Any], years: Sequence[str], min_events: int) -> str:
    """Card of the segmentation from its metrics and input years."""
    return _card(
        "Segments of actors",
        [
            "Groups actors by how they act: rates, session lengths, hours, event mix. Places and devices play no part.",
            f"Clustered {metrics['clustered_actors']:,} of {metrics['actors']:,} actors of {', '.join(years)}: those "
            f"with at least {min_events} events.",
            f"{metrics['segments']} segments, silhouette {_figure(metrics['silhouette'])}; the same data with shuffled "
            f"columns {_figure(metrics['shuffled_silhouette'])}.",
            *(f"Segment {name}" for name in metrics["names"]),
            "Limits: segments describe, they do not explain; other years may be cut elsewhere.",
        ],
    )
