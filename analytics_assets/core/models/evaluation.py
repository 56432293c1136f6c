"""Comparison of models with the ground truth of generated data.

Put here: measures that need ``truth.json``. Keep out: measures on real data (each model's own module).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

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

    persona_of: dict[str, str] = {}
    for user in truth["users"].values():
        if user["user_id"] is not None:
            persona_of[f"user:{shown('user_id', user['user_id'])}"] = user["persona"]
        for device in user["device_ids"]:
            persona_of.setdefault(f"device:{shown('device_id', device)}", user["persona"])
    pairs = [
        (persona_of[row["actor"]], row["segment"])
        for row in assignments.select(["actor", "segment"]).to_pylist()
        if row["segment"] >= 0 and row["actor"] in persona_of
    ]
    if len(pairs) < 2:
        return None
    return float(adjusted_rand_score([persona for persona, _ in pairs], [segment for _, segment in pairs]))
