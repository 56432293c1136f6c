"""What models may learn from, choose on and be judged by: one split for every next-event model.

Put here: protocols that divide sessions. Keep out: loading (``sequences.py``) and scoring (``next_event.py``).

Everything that is fitted is fitted on the training sessions, every choice is made on the validation sessions, and the
test sessions are scored once. A session is purged when it is still open at the cut that it should lie before:
a model would otherwise learn from events of the later part.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.models.sequences import Sequences

Protocol = Literal["time", "earlier_years", "cut", "unseen_users"]

TRAIN_SHARE = 0.8
"""Share of sessions, by start, before the test part."""

VALIDATION_SHARE = 0.1
"""Last share of the sessions before the test part, on which choices are made."""


@dataclass(frozen=True)
class Split:
    """Sessions of each part.

    Parameters
    ----------
    train, validation, test : bool array, shape (sessions,)
        Disjoint.
    purged : bool array, shape (sessions,)
        Open across a cut: in no part.
    description : dict
        Protocol, cuts (ISO times, UTC), number of sessions of each part, and ``digest`` of the test sessions, by which
        two models are known to have been judged by the same ones.
    """

    train: NDArray[np.bool_]
    validation: NDArray[np.bool_]
    test: NDArray[np.bool_]
    purged: NDArray[np.bool_]
    description: dict[str, Any]


def shown_time(microseconds: int) -> str:
    """Microseconds since 1970 as an ISO time, UTC."""
    return datetime.fromtimestamp(microseconds / 1e6, UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


def split_sessions(
    sequences: Sequences,
    *,
    protocol: Protocol = "time",
    train_share: float = TRAIN_SHARE,
    validation_share: float = VALIDATION_SHARE,
    cut: datetime | None = None,
    seed: int = 7,
) -> Split:
    """Divide the sessions.

    Parameters
    ----------
    sequences : Sequences
        The *raw* stream's sessions, ordered by start, so that all streams share their cuts.
    protocol : {"time", "earlier_years", "cut", "unseen_users"}
        ``time``: the first floor(`train_share` x sessions) come before the test part. ``earlier_years``: the test part
        is the last calendar year (UTC) of the session starts; with one year only, as ``time``. ``cut``: the test part
        starts at `cut`. ``unseen_users``: the test part holds every session of 1 - `train_share` of the actors,
        drawn by a hash of name and seed; all others are divided in time into training and validation.
    train_share, validation_share : float
        In (0, 1). The validation part is the last floor(`validation_share` x n) of the n sessions before the test part.
    cut : datetime, optional
        Naive UTC; needed by ``cut``.
    seed : int
        Of the hash of ``unseen_users``.

    Raises
    ------
    ValueError
        A share lies outside (0, 1), or `cut` is missing.
    """
    if not 0 < train_share < 1 or not 0 <= validation_share < 1:
        raise ValueError("shares must lie between 0 and 1")
    starts, ends, total = sequences.starts, sequences.ends, sequences.sessions
    if protocol == "cut" and cut is None:
        raise ValueError("the protocol 'cut' needs a time to cut at")
    place = np.arange(total)
    if protocol == "unseen_users":
        test = _drawn(sequences, 1 - train_share, seed)
        test_cut = None
    else:
        years = starts.astype("datetime64[us]").astype("datetime64[Y]").astype(np.int64) + 1970
        if protocol == "cut" and cut is not None:
            first = int(np.searchsorted(starts, int(cut.replace(tzinfo=UTC).timestamp() * 1e6)))
        elif protocol == "earlier_years" and total and years[0] != years[-1]:
            first = int(np.searchsorted(years, years[-1]))
        else:
            first = math.floor(train_share * total)
        test = place >= first
        test_cut = int(starts[first]) if first < total else None
    before = np.flatnonzero(~test)
    chosen = before[len(before) - math.floor(validation_share * len(before)) :]
    validation = np.isin(place, chosen)
    validation_cut = int(starts[chosen[0]]) if len(chosen) else None
    train = ~test & ~validation
    purged = np.zeros(total, dtype=bool)
    if validation_cut is not None:
        purged |= train & (ends >= validation_cut)
    if test_cut is not None:
        purged |= (train | validation) & (ends >= test_cut)
    train, validation = train & ~purged, validation & ~purged
    digest = hashlib.sha256("\n".join(sequences.session_keys.to_numpy(zero_copy_only=False)[test]).encode())
    description = {
        "protocol": protocol,
        "train_share": train_share,
        "validation_share": validation_share,
        "validation_cut": None if validation_cut is None else shown_time(validation_cut),
        "test_cut": None if test_cut is None else shown_time(test_cut),
        "train_sessions": int(train.sum()),
        "validation_sessions": int(validation.sum()),
        "test_sessions": int(test.sum()),
        "purged_sessions": int(purged.sum()),
        "digest": digest.hexdigest(),
    }
    return Split(train, validation, test, purged, description)


def _drawn(sequences: Sequences, share: float, seed: int) -> NDArray[np.bool_]:
    """Sessions of a share of the actors, whatever the order of the data."""
    ranked = sorted(
        range(len(sequences.actor_names)),
        key=lambda actor: hashlib.sha256(f"{seed}|{sequences.actor_names[actor]}".encode()).digest(),
    )
    present = set(np.unique(sequences.actors).tolist())
    ranked = [actor for actor in ranked if actor in present]
    return np.isin(sequences.actors, ranked[: max(1, round(share * len(ranked)))])


def sessions_in(part: NDArray[np.bool_], raw: Sequences, stream: Sequences) -> Sequences:
    """The sessions of one part of the raw stream's split, in another stream of the same events."""
    keys = set(raw.session_keys.to_numpy(zero_copy_only=False)[part].tolist())
    return stream.take(np.array([key in keys for key in stream.session_keys.to_pylist()], dtype=bool))
