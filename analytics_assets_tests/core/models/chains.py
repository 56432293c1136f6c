"""Chains and sessions without dependence, for the tests of chains."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from analytics_assets.core.models.markov_states import Chain, Moves
from analytics_assets.core.models.sequences import Sequences
from analytics_assets_tests.core.models.building import make_sequences

SESSIONS = st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=7), min_size=1, max_size=20)


def chain_of(sequences: Sequences) -> Chain:
    moves = Moves.of(sequences)
    return Chain.of(moves.names, moves.counts)


def random_chain(seed: int, events: int = 5, *, density: float = 0.5) -> Chain:
    """Any stochastic matrix: with unreachable events and closed classes among them."""
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.3, 1, (events + 1, events + 1)) * (rng.random((events + 1, events + 1)) < density)
    weights[-1, -1] = 0
    if not weights[-1].any():
        weights[-1, 0] = 1
    return Chain.of([f"e{number}" for number in range(events)], weights)


def independent(count: int, seed: int, *, events: int = 5, collapsed: bool = True) -> Sequences:
    """Sessions in which what comes next does not depend on what came before, but for runs being one event."""
    rng = np.random.default_rng(seed)
    shares = np.arange(1, events + 1) / np.arange(1, events + 1).sum()
    sessions = []
    for _ in range(count):
        path: list[str] = []
        while not path or rng.random() < 0.85:
            event = str(rng.choice(events, p=shares))
            if not (collapsed and path and path[-1] == event):
                path.append(event)
        sessions.append(path)
    return make_sequences(sessions, actors=[f"user:{number % 40}" for number in range(count)])
