"""What generated data allow at best: the predictor that knows the personas and all parameters, on the test positions.

Put here: the exact filter over ``truth.json``. Keep out: the generator (``sample/``) and learned models.

For the *intent* stream, in which runs of an event are one event: with A the moves between hidden states of a persona
and E_x the diagonal of the chances that each state emits x, the weights of the states after a run of x of any length
are ``entry + entry A E_x + ... = entry (I - A E_x)^-1``; the next event is another one, and the session goes on.
Types that share `OTHER` are taken for one: their runs are not, which at their rarity cannot be seen in a score.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.models.sequences import Sequences

Floats = NDArray[np.float64]


def personas_of(truth: Mapping[str, Any], shown: Callable[[str, str], str]) -> dict[str, str]:
    """Persona of each actor as the tables name it.

    Parameters
    ----------
    truth : mapping
        Content of ``truth.json``.
    shown : callable
        What the tables hold in place of an id of a column (``Privacy.shown``).
    """
    found: dict[str, str] = {}
    for user in truth["users"].values():
        if user["user_id"] is not None:
            found[f"user:{shown('user_id', user['user_id'])}"] = user["persona"]
        for device in user["device_ids"]:
            found.setdefault(f"device:{shown('device_id', device)}", user["persona"])
    return found


@dataclass(frozen=True)
class BayesOptimal:
    """The exact filter.

    Parameters
    ----------
    vocabulary : list of str
        Event types, `OTHER` last.
    emission : float64 array, shape (states, events)
        Chance of each event in each state, in the order of `vocabulary`.
    moves : dict of str to float64 array, shape (states, states)
        Moves of each persona while the session goes on.
    initial : dict of str to float64 array, shape (states,)
    personas : dict of str to str
        Persona of each actor.
    """

    vocabulary: list[str]
    emission: Floats
    moves: dict[str, Floats]
    initial: dict[str, Floats]
    personas: dict[str, str]

    @classmethod
    def of(
        cls, truth: Mapping[str, Any], vocabulary: list[str], shown: Callable[[str, str], str] = lambda _, value: value
    ) -> BayesOptimal:
        """Parameters from ``truth.json``; events beyond `vocabulary` are `OTHER` together."""
        states = len(truth["hidden_states"])
        place = {name: code for code, name in enumerate(vocabulary)}
        emission = np.zeros((states, len(vocabulary)))
        for column, name in enumerate(truth["intent_events"]):
            emission[:, place.get(name, len(vocabulary) - 1)] += np.array(truth["emission"])[:, column]
        return cls(
            vocabulary,
            emission,
            {name: np.array(persona["transition"])[:, :states] for name, persona in truth["personas"].items()},
            {name: np.array(persona["initial"]) for name, persona in truth["personas"].items()},
            personas_of(truth, shown),
        )

    def known(self, sequences: Sequences) -> NDArray[np.bool_]:
        """Whether each of ``sequences.positions`` belongs to an actor whose persona is known."""
        actor_known = np.array([self.personas.get(name) in self.moves for name in sequences.actor_names], dtype=bool)
        return actor_known[sequences.actors][sequences.session_of[sequences.positions]]

    def distributions(self, sequences: Sequences) -> Floats:
        """See ``next_event.NextEventModel``; rows of unknown actors are uniform."""
        events, states = len(self.vocabulary), self.emission.shape[0]
        chances = np.full((len(sequences.codes), events), 1 / events)
        lengths = sequences.lengths
        persona_of = np.array([self.personas.get(name, "") for name in sequences.actor_names])[sequences.actors]
        for persona, moves in self.moves.items():
            sessions = np.flatnonzero(persona_of == persona)
            sessions = sessions[np.argsort(-lengths[sessions], kind="stable")]
            if not len(sessions):
                continue
            over_runs = np.linalg.inv(np.eye(states) - moves[None] * self.emission.T[:, None, :])
            forecast = np.tile(self.initial[persona], (len(sessions), 1))
            for step in range(int(lengths[sessions].max()) - 1):
                live = sessions[: int(np.searchsorted(-lengths[sessions], -(step + 1), side="left"))]
                place = sequences.offsets[:-1][live] + step
                event = sequences.codes[place]
                entry = forecast[: len(live)] * self.emission[:, event].T
                # An event that the state cannot emit (clocks put two sessions into one) says nothing about the state.
                impossible = entry.sum(axis=1) <= 0
                entry[impossible] = forecast[: len(live)][impossible]
                forecast = np.einsum("nk,nkj->nj", entry, over_runs[event]) @ moves
                forecast /= forecast.sum(axis=1, keepdims=True)
                chance = forecast @ self.emission
                chance[np.arange(len(live)), event] = 0
                chances[place + 1] = chance / chance.sum(axis=1, keepdims=True)
        return chances[sequences.positions]
