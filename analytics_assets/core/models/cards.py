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


def next_event_card(title: str, metrics: dict[str, Any]) -> str:
    """Card of a next-event model from its ``metrics.json``."""
    split, baselines = metrics["split"], metrics["baselines"]
    interval = metrics.get("interval", {}).get("top1")
    lines = [
        f"Predicts the next event of a session (stream: {metrics['stream']}, {metrics['event_types']} event types).",
        f"Learned from {split['train_sessions']:,} sessions of {', '.join(metrics['input_years'])}, choices made on "
        f"{split['validation_sessions']:,}, scored once on the {split['test_sessions']:,} of the test part "
        f"(protocol {split['protocol']}, cut at {split['test_cut'] or 'no time'}; "
        f"{split['purged_sessions']:,} sessions open at a cut left out).",
        f"Top-1 accuracy {_figure(metrics.get('top1'))}"
        + (f", 95 % interval over users {interval[0]:.4f} to {interval[1]:.4f}" if interval else "")
        + f"; most frequent event {_figure(baselines['most_frequent']['top1'])}, repeating the last "
        f"{_figure(baselines['repeat_last']['top1'])}.",
        f"Top-5 accuracy {_figure(metrics.get('top5'))}, {_figure(metrics.get('bits'))} bits per event, expected "
        f"calibration error {_figure(metrics.get('ece'))}, mean recall of event types "
        f"{_figure(metrics.get('macro_recall'))}.",
        "Seeds, settings, library versions, slices and intervals: metrics.json. Times and memory: cost.json.",
        "Limits: it predicts which event comes if the session goes on, not whether it does; rare and new event types "
        "are one class, of which only repetitions can be named; machines and nobody in particular are left out.",
    ]
    return _card(title, lines)


def kmeans_card(metrics: dict[str, Any], years: Sequence[str]) -> str:
    """Card of the segmentation from its metrics and input years."""
    outside = ", ".join(f"{name} {number:,}" for name, number in metrics["outside"].items() if number)
    segments = zip(metrics["names"], metrics["sizes"], metrics["stability"], strict=True)
    if metrics["silhouette"] is None:
        found = f"{metrics['segments']} segments: {metrics['choice']['reason']}."
    else:
        found = (
            f"{metrics['segments']} segments ({metrics['choice']['reason']}): silhouette "
            f"{_figure(metrics['silhouette'])}; random data at best {_figure(metrics['shuffled_silhouette'])} with "
            f"shuffled columns, {_figure(metrics['cloud_silhouette'])} as one cloud of the same covariance."
        )
    if metrics["min_events"]:
        people = f"people with at least {metrics['min_events']} events on {metrics['min_active_days']} days"
    else:
        people = "all people, nobody left out for too little activity"
    lines = [
        "Groups people by how they act: rates, session lengths, breadth, hours, weekends, event mix. Only events of "
        "their own making count; places and devices play no part.",
        f"Clustered {metrics['clustered_actors']:,} of {metrics['actors']:,} actors of {', '.join(years)}: {people}"
        + (f" (outside: {outside})." if outside else "."),
        found,
        *(
            f"Segment {number}, {name}: {size:,} actors, Jaccard similarity with bootstrap samples {_figure(steady)}"
            for number, (name, size, steady) in enumerate(segments)
        ),
    ]
    if metrics.get("adjusted_rand_index") is not None:
        lines.append(
            f"Generated data: adjusted Rand index with the true personas {_figure(metrics['adjusted_rand_index'])}, "
            "over the clustered actors; no choice rests on it."
        )
    lines += [
        "Profiles, representative actors and all numbers of segments tried: the tables beside this card.",
        "Limits: segments describe, they do not explain; hours are UTC, so places far apart differ by them; other "
        "years may be cut elsewhere.",
    ]
    return _card("Segments of actors", lines)
