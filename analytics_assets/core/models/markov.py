"""Markov chain of variable order: what followed the last k events, backed off to what followed fewer.

Put here: the chain itself, its choice of order, its artefact. Keep out: what is derived from it
(``markov_states.py``, ``markov_analysis.py``), the published table of plain transition counts (``transitions.py``).

With c(h, x) the occurrences of event x after context h and h' the context without its oldest event,

    P(x | h) = (c(h, x) + m_k P(x | h')) / (c(h) + m_k),

a Dirichlet prior of strength m_k centred on the shorter context (MacKay and Peto 1995). The empty context is the share
of x in training with one occurrence of a uniform event added. Strengths and order are chosen by bits per event on the
validation sessions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.files import read_json, write_json, write_table
from analytics_assets.core.models.next_event import MIN_PROBABILITY
from analytics_assets.core.models.sequences import Ints, Sequences
from analytics_assets.schemas import MARKOV_CONTEXTS

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

MAX_ORDER = 5
"""Longest context tried by default: beyond five events contexts of real logs hardly recur."""

STRENGTHS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
"""Prior strengths tried, in events: long contexts that hardly recur want a strong prior, and at the upper end they are
as good as left out."""


def context_codes(sequences: Sequences, order: int) -> Ints:
    """Code of the `order` events before each of ``sequences.positions``; the session's start fills up.

    Raises
    ------
    ValueError
        Contexts of so many events and types have no codes of 64 bits.
    """
    positions = sequences.positions
    base = len(sequences.vocabulary) + 1
    if base**order > np.iinfo(np.int64).max:
        raise ValueError(f"with {base - 1} event types contexts cannot be as long as {order} events")
    since = positions - sequences.offsets[:-1][sequences.session_of[positions]]
    context = np.zeros(len(positions), dtype=np.int64)
    for back in range(order, 0, -1):
        inside = since >= back
        code = sequences.codes[np.where(inside, positions - back, 0)].astype(np.int64) + 1
        context = context * base + np.where(inside, code, 0)
    return context


@dataclass(frozen=True)
class Contexts:
    """What followed the contexts of one length.

    Parameters
    ----------
    codes : int64 array, shape (contexts,)
        Ascending codes of `context_codes`.
    counts : csr_matrix of float64, shape (contexts, events)
        Occurrences of each event after each context.
    strength : float
        Weight of the shorter context, in events.
    """

    codes: Ints
    counts: csr_matrix
    strength: float

    @classmethod
    def count(cls, codes: Ints, following: NDArray[np.int32], events: int) -> Contexts:
        """Count (context, event) pairs; the strength is 1 until it is chosen."""
        from scipy.sparse import csr_matrix

        known, rows = np.unique(codes, return_inverse=True)
        shape = (len(known), events)
        return cls(known, csr_matrix((np.ones(len(codes)), (rows, following)), shape=shape), 1.0)

    def rows(self, codes: Ints) -> tuple[NDArray[np.bool_], Ints]:
        """Whether each context is known, and the rows of those that are."""
        place = np.searchsorted(self.codes, codes)
        known = place < len(self.codes)
        known[known] = self.codes[place[known]] == codes[known]
        return known, place[known]

    @property
    def totals(self) -> NDArray[np.float64]:
        """Occurrences of each context."""
        return np.asarray(self.counts.sum(axis=1)).ravel()


@dataclass(frozen=True)
class MarkovChain:
    """A fitted chain.

    Parameters
    ----------
    vocabulary : list of str
        Event types, `OTHER` last.
    base : float64 array, shape (events,)
        Distribution after the empty context.
    orders : tuple of Contexts
        Contexts of 1 to k events.
    """

    vocabulary: list[str]
    base: NDArray[np.float64]
    orders: tuple[Contexts, ...]

    def distributions(self, sequences: Sequences) -> NDArray[np.float64]:
        """See ``next_event.NextEventModel``."""
        chances = np.tile(self.base, (len(sequences.positions), 1))
        for order, contexts in enumerate(self.orders, start=1):
            known, rows = contexts.rows(context_codes(sequences, order))
            if not len(rows):
                continue
            weight = contexts.strength
            seen = contexts.counts[rows].toarray() + weight * chances[known]
            chances[known] = seen / (contexts.totals[rows] + weight)[:, None]
        return chances

    def truncated(self, order: int) -> MarkovChain:
        """The same chain with contexts of at most `order` events."""
        return MarkovChain(self.vocabulary, self.base, self.orders[:order])

    def save(self, folder: Path) -> None:
        """Write ``contexts.parquet`` and ``model.json`` into `folder`."""
        import pyarrow as pa

        parts = []
        for order, contexts in enumerate(self.orders, start=1):
            pairs = contexts.counts.tocoo()
            parts.append(
                pa.table(
                    {
                        "order": np.full(pairs.nnz, order, dtype=np.int64),
                        "context": contexts.codes[pairs.row],
                        "event": pairs.col.astype(np.int64),
                        "occurrences": pairs.data.astype(np.int64),
                    }
                )
            )
        empty = MARKOV_CONTEXTS.arrow_schema().empty_table()
        write_table(folder / "contexts.parquet", pa.concat_tables(parts) if parts else empty, MARKOV_CONTEXTS)
        model = {
            "kind": "markov_chain",
            "vocabulary": self.vocabulary,
            "base": self.base.tolist(),
            "strengths": [contexts.strength for contexts in self.orders],
        }
        write_json(folder / "model.json", model)

    @classmethod
    def load(cls, folder: Path) -> MarkovChain:
        """Read what `save` wrote."""
        import pyarrow.parquet as pq
        from scipy.sparse import csr_matrix

        model = read_json(folder / "model.json")
        rows = pq.read_table(folder / "contexts.parquet")
        order = rows["order"].to_numpy()
        orders = []
        for number, strength in enumerate(model["strengths"], start=1):
            chosen = order == number
            known, place = np.unique(rows["context"].to_numpy()[chosen], return_inverse=True)
            cells = (rows["occurrences"].to_numpy()[chosen].astype(float), (place, rows["event"].to_numpy()[chosen]))
            counts = csr_matrix(cells, shape=(len(known), len(model["vocabulary"])))
            orders.append(Contexts(known, counts, strength))
        return cls(model["vocabulary"], np.array(model["base"]), tuple(orders))


def fit(
    train: Sequences, validation: Sequences, *, max_order: int = MAX_ORDER, strengths: Sequence[float] = STRENGTHS
) -> tuple[MarkovChain, dict[str, Any]]:
    """Count contexts in `train`; choose strengths and order on `validation`.

    Parameters
    ----------
    train, validation : Sequences
        Of one vocabulary.
    max_order : int
        Longest context tried, 0 to 7 (codes of longer ones do not fit 64 bits).
    strengths : sequence of float
        Prior strengths tried for each order.

    Returns
    -------
    chain : MarkovChain
    choice : dict
        ``order`` chosen; ``validation_bits`` of every order from 0; ``strengths`` of every order from 1; without a
        validation position the highest order with strength 1 and no bits.
    """
    if not 0 <= max_order <= 7:
        raise ValueError("the order must lie between 0 and 7")
    events = len(train.vocabulary)
    counts = np.bincount(train.codes, minlength=events).astype(np.float64)
    base = (counts + 1 / events) / (counts.sum() + 1)
    following, actual = train.codes[train.positions], validation.codes[validation.positions]
    chance = base[actual]
    bits, orders = [_bits(chance)], []
    for order in range(1, max_order + 1):
        contexts = Contexts.count(context_codes(train, order), following, events)
        known, rows = contexts.rows(context_codes(validation, order))
        if len(actual):
            hits = np.asarray(contexts.counts[rows, actual[known]]).ravel() if len(rows) else np.empty(0)
            totals = contexts.totals[rows]
            tried = []
            for strength in strengths:
                mixed = chance.copy()
                mixed[known] = (hits + strength * chance[known]) / (totals + strength)
                tried.append((_bits(mixed), strength, mixed))
            best, strength, chance = min(tried, key=lambda entry: entry[:2])
            contexts = Contexts(contexts.codes, contexts.counts, strength)
            bits.append(best)
        orders.append(contexts)
    order = int(np.argmin(bits)) if len(actual) else max_order
    choice = {
        "order": order,
        "validation_bits": bits if len(actual) else [],
        "strengths": [contexts.strength for contexts in orders],
    }
    return MarkovChain(train.vocabulary, base, tuple(orders[:order])), choice


def _bits(chance: NDArray[np.float64]) -> float:
    return float(-np.log2(np.maximum(chance, MIN_PROBABILITY)).mean()) if len(chance) else 0.0
