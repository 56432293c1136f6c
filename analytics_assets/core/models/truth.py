"""Comparison of segments with the ground truth of generated data.

Put here: measures that need ``truth.json`` and judge a model; no model may learn or choose by them. Keep out: measures
on real data (each model's own module), the best possible prediction (``ceiling.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from analytics_assets.core.models.ceiling import personas_of

if TYPE_CHECKING:
    import pyarrow as pa


def persona_agreement(
    truth: dict[str, Any], assignments: pa.Table, shown: Callable[[str, str], str] = lambda column, value: value
) -> float | None:
    """Adjusted Rand index (Hubert and Arabie 1985) of segments against personas.

    Parameters
    ----------
    truth : dict
        Content of ``truth.json``.
    assignments : pyarrow.Table
        Rows of ``KMEANS_ASSIGNMENTS``; actors without a segment or unknown to the truth are left out.
    shown : callable
        What the tables hold in place of an id of a column (``Privacy.shown``).

    Returns
    -------
    float or None
        1 for identical partitions, about 0 for independent ones; None when fewer than two actors can be compared.
    """
    from sklearn.metrics import adjusted_rand_score

    persona_of = personas_of(truth, shown)
    pairs = [
        (persona_of[row["actor"]], row["segment"])
        for row in assignments.select(["actor", "segment"]).to_pylist()
        if row["segment"] >= 0 and row["actor"] in persona_of
    ]
    if len(pairs) < 2:
        return None
    return float(adjusted_rand_score([persona for persona, _ in pairs], [segment for _, segment in pairs]))
