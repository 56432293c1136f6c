"""How much of a generated sample's hidden states a model found: likelihood and states against ``truth.json``.

Put here: comparisons of a hidden Markov model with the parameters that generated the data. Keep out: the best possible
prediction (``ceiling.py``), measures on real data (``hmm.py``).

The generator's people differ by persona: each has its own moves between common states. A model of sessions cannot know
the persona, so it is compared twice: with the true parameters where the persona is known, and with the mixture of all
personas, in which the session itself has to tell which one it is. That mixture is one hidden Markov model whose states
are pairs of persona and state and in which no session changes its persona.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from analytics_assets.core.models.ceiling import BayesOptimal
from analytics_assets.core.models.hmm import HiddenMarkov, matched
from analytics_assets.core.models.hmm_inference import Floats, Parameters, chances
from analytics_assets.core.models.hmm_training import one_state
from analytics_assets.core.models.next_event import MIN_PROBABILITY
from analytics_assets.core.models.sequences import Sequences


def _bits(parameters: Parameters, sequences: Sequences) -> Floats:
    """-log2 of the chance of every event, first ones included; shape (events,)."""
    return np.asarray(-np.log2(np.maximum(chances(parameters, sequences), MIN_PROBABILITY)))


def recovery(
    model: HiddenMarkov,
    truth: Mapping[str, Any],
    sequences: Sequences,
    *,
    shown: Callable[[str, str], str] = lambda _, value: value,
    hidden: Mapping[str, str] | None = None,
) -> dict[str, Any] | None:
    """Compare a model with the truth on sessions that it did not learn from.

    Parameters
    ----------
    model : HiddenMarkov
    truth : mapping
        Content of ``truth.json``.
    sequences : Sequences
        Held-out sessions in the codes of the model; those of actors without a known persona are left out.
    shown : callable
        What the tables hold in place of an id of a column (``Privacy.shown``).
    hidden : mapping of str to str, optional
        True state of events by uuid (``truth_hidden_states.csv.gz``).

    Returns
    -------
    dict or None
        ``sessions``, ``events``. ``bits``: mean of -log2 P(event | events before it, the session goes on) over all
        events of ``model``, ``one_state`` (estimated from these very sessions: the best that one state can do),
        ``truth_persona_known`` and ``truth_persona_blind``. ``share_of_gain_persona_known`` and ``..._blind``: the
        model's gain over one state divided by the truth's. ``states``: each true state that occurs under some persona,
        with the model's state matched to it by the overlap of their emissions, None when the model has too few, and
        that overlap; ``mean_overlap`` over the true states, an unmatched one counting 0. With `hidden`
        ``decoded_share``: events whose decoded state is the one matched to their true state. None when no session's
        persona is known.
    """
    optimal = BayesOptimal.of(truth, model.vocabulary, shown)
    persona_of = np.array([optimal.personas.get(name, "") for name in sequences.actor_names])[sequences.actors]
    known = np.isin(persona_of, list(optimal.moves))
    if not known.any():
        return None
    sequences, persona_of = sequences.take(known), persona_of[known]
    repeats = model.parameters.repeats

    bits_known = np.empty(len(sequences.codes))
    event_persona = persona_of[sequences.session_of]
    for persona, moves in optimal.moves.items():
        true = Parameters(optimal.initial[persona], moves, optimal.emission, repeats=repeats)
        chosen = persona_of == persona
        if chosen.any():
            bits_known[event_persona == persona] = _bits(true, sequences.take(chosen))
    bits = {
        "model": float(_bits(model.parameters, sequences).mean()),
        "one_state": float(_bits(one_state(sequences, repeats=repeats).parameters, sequences).mean()),
        "truth_persona_known": float(bits_known.mean()),
        "truth_persona_blind": float(_bits(_mixture(optimal, persona_of.tolist(), repeats), sequences).mean()),
    }
    gain = bits["one_state"] - bits["model"]
    emission = optimal.emission
    rows, columns, overlaps = matched(emission, model.parameters.emission)
    state_of = dict(zip(rows.tolist(), columns.tolist(), strict=True))
    overlap_of = dict(zip(rows.tolist(), overlaps.tolist(), strict=True))
    names = list(truth["hidden_states"])
    found: dict[str, Any] = {
        "sessions": sequences.sessions,
        "events": len(sequences.codes),
        "bits": bits,
        "share_of_gain_persona_known": gain / (bits["one_state"] - bits["truth_persona_known"]),
        "share_of_gain_persona_blind": gain / (bits["one_state"] - bits["truth_persona_blind"]),
        "states": [
            {
                "true_state": name,
                "model_state": model.names[state_of[place]] if place in state_of else None,
                "overlap": overlap_of.get(place, 0.0),
            }
            for place, name in enumerate(names)
        ],
        "mean_overlap": float(sum(overlap_of.values()) / len(names)),
    }
    if hidden is not None:
        decoded = model.decode(sequences)
        place_of = {name: state_of.get(place, -1) for place, name in enumerate(names)}
        true_state = [hidden.get(uuid) for uuid in sequences.uuids.to_pylist()]
        right = [place_of[true] == state for true, state in zip(true_state, decoded.tolist(), strict=True) if true]
        found["decoded_share"] = float(np.mean(right)) if right else None
    return found


def _mixture(optimal: BayesOptimal, personas: list[str], repeats: bool) -> Parameters:
    """All personas in one model, each with its share of the sessions."""
    names = list(optimal.moves)
    states = len(optimal.emission)
    initial = np.concatenate([personas.count(name) / len(personas) * optimal.initial[name] for name in names])
    moves = np.zeros((len(initial), len(initial)))
    for place, name in enumerate(names):
        own = slice(place * states, (place + 1) * states)
        moves[own, own] = optimal.moves[name]
    return Parameters(initial, moves, np.tile(optimal.emission, (len(names), 1)), repeats=repeats)
