"""Small helpers to draw and to hand out: quantile tables, named random streams, shares.

Belongs here: helpers that know nothing about events. Does not belong here: any figure of the sample.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from analytics_assets.sample.calibration import QuantileTable

_DRAW_BLOCK: Final = 50_000
"""Rows compared at a time in :func:`draw_rows`: a table of 60 categories then takes 24 MB."""


def random_streams(seed: int, names: tuple[str, ...]) -> dict[str, np.random.Generator]:
    """One independent generator per purpose, so that a change in one part leaves the draws of the others alone.

    Parameters
    ----------
    seed : int
    names : tuple of str
        The order decides which stream a name gets.

    Returns
    -------
    dict of str to numpy.random.Generator
        PCG64, whose streams are the same on every machine.
    """
    children = np.random.SeedSequence(seed).spawn(len(names))
    return {name: np.random.Generator(np.random.PCG64(child)) for name, child in zip(names, children, strict=True)}


def draw_quantiles(rng: np.random.Generator, table: QuantileTable, n: int) -> NDArray[np.float64]:
    """Draw from a distribution given by its quantiles.

    Parameters
    ----------
    rng : numpy.random.Generator
    table : sequence of (cumulative probability, value)
        From probability 0 to 1, ascending; linear in between.
    n : int

    Returns
    -------
    float64 (n,)
        In the unit of the table's values.
    """
    probability, value = np.array(table).T
    return np.asarray(np.interp(rng.random(n), probability, value), dtype=np.float64)


def draw_ms(rng: np.random.Generator, table: QuantileTable, n: int) -> NDArray[np.int64]:
    """Like :func:`draw_quantiles`, in whole milliseconds: int64 (n,)."""
    return draw_quantiles(rng, table, n).astype(np.int64)


def draw_rows(rng: np.random.Generator, cumulative: NDArray[np.float64], row: NDArray[np.int64]) -> NDArray[np.int64]:
    """One categorical draw per element, each from its own row of a table.

    Parameters
    ----------
    rng : numpy.random.Generator
    cumulative : float64 (rows, categories)
        Cumulative probabilities along the last axis.
    row : int64 (n,)

    Returns
    -------
    int64 (n,)
        Category indices. A last cumulative value a hair below 1 cannot lead outside the table.
    """
    u = rng.random(len(row))
    out = np.empty(len(row), dtype=np.int64)
    for start in range(0, len(row), _DRAW_BLOCK):
        part = slice(start, start + _DRAW_BLOCK)
        out[part] = (u[part, None] >= cumulative[row[part]]).sum(axis=1)
    return np.asarray(np.minimum(out, cumulative.shape[1] - 1))


def assign_by_share(
    amount: NDArray[np.int64], share: NDArray[np.float64], taken: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Hand items out to categories so that the categories' totals come close to wanted shares.

    Largest item first, each to the category that still lacks most. Drawing categories at random instead would leave
    the shares to the luck of the few items that hold most of the amount.

    Parameters
    ----------
    amount : int64 (n,)
        Size of each item, for example its number of events.
    share : float64 (c,)
        Wanted share of the total per category; normalised here.
    taken : int64 (c,), optional
        Amounts the categories hold already.

    Returns
    -------
    int64 (n,)
        Category of each item.
    """
    held = np.zeros(len(share)) if taken is None else taken.astype(np.float64)
    lacking = share / share.sum() * (float(amount.sum()) + held.sum()) - held
    out = np.zeros(len(amount), dtype=np.int64)
    for i in np.argsort(-amount, kind="stable").tolist():
        c = int(lacking.argmax())
        out[i] = c
        lacking[c] -= amount[i]
    return out


def take_share(amount: NDArray[np.int64], order: NDArray[np.int64], target: float) -> NDArray[np.bool_]:
    """Mark items until a target amount is reached, skipping those too large for what is left.

    Parameters
    ----------
    amount : int64 (n,)
    order : int64 (m,)
        Indices of the items that may be taken, in the order they are tried.
    target : float
        Wanted total, in the unit of `amount`.

    Returns
    -------
    bool (n,)
    """
    marked = np.zeros(len(amount), dtype=np.bool_)
    left = target
    for i in order.tolist():
        if 0 < amount[i] <= left:
            marked[i] = True
            left -= float(amount[i])
    return marked
