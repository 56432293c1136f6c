"""Tables of a hidden Markov model over the sessions that it learned from.

Put here: rows of the tables of ``schemas/hmm.py``. Keep out: their columns' meaning (there), pictures
(``hmm_figures.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.models.hmm import HiddenMarkov, telling_events
from analytics_assets.core.models.sequences import Ints, Sequences
from analytics_assets.schemas.hmm import HMM_EMISSIONS, HMM_STATE_HOURS, HMM_STATES, HMM_TRANSITIONS

if TYPE_CHECKING:
    import pyarrow as pa

TOP_EVENTS = 5
"""Events listed for a state: beyond five a list is no description."""


def tables(model: HiddenMarkov, sequences: Sequences) -> dict[str, pa.Table]:
    """All tables by name.

    Parameters
    ----------
    model : HiddenMarkov
    sequences : Sequences
        The training sessions, in the codes of the model.
    """
    state = model.decode(sequences)
    return {
        HMM_STATES.name: _states(model, sequences, state),
        HMM_EMISSIONS.name: _emissions(model),
        HMM_STATE_HOURS.name: _hours(model, sequences, state),
        HMM_TRANSITIONS.name: _transitions(model, sequences, state),
    }


def _states(model: HiddenMarkov, sequences: Sequences, state: Ints) -> pa.Table:
    import pyarrow as pa

    parameters, lift = model.parameters, model.lift
    number = parameters.states
    events = np.bincount(state, minlength=number)
    visit_state, visit_events, visit_seconds = visits(sequences, state)
    seconds = [visit_seconds[(visit_state == place) & np.isfinite(visit_seconds)] for place in range(number)]
    met = [visit_events[visit_state == place] for place in range(number)]
    telling = telling_events(parameters.emission, model.shares)
    return pa.table(
        {
            "state": np.arange(number),
            "state_name": model.names,
            "events": events,
            "share": events / max(1, len(state)),
            "initial_probability": parameters.initial,
            "stay_probability": parameters.moves.diagonal(),
            "dwell_events": pa.array([float(found.mean()) if len(found) else None for found in met], pa.float64()),
            "dwell_seconds": pa.array(
                [float(np.median(found)) if len(found) else None for found in seconds], pa.float64()
            ),
            "top_events": [
                ", ".join(f"{model.vocabulary[event]} (×{lift[place, event]:.1f})" for event in found[:TOP_EVENTS])
                for place, found in enumerate(telling)
            ],
        },
        schema=HMM_STATES.arrow_schema(),
    )


def visits(sequences: Sequences, state: Ints) -> tuple[Ints, Ints, NDArray[np.float64]]:
    """Stretches of one decoded state inside a session.

    Returns
    -------
    state, events : int64 array, shape (visits,)
    seconds : float64 array, shape (visits,)
        From the first event of the visit to the first of the next one, NaN for a session's last visit.
    """
    session = sequences.session_of
    opens = (np.diff(state, prepend=-1) != 0) | (np.diff(session, prepend=-1) != 0)
    first = np.flatnonzero(opens)
    events = np.diff(np.append(first, len(state)))
    seconds = np.full(len(first), np.nan)
    goes_on = np.flatnonzero(session[first[:-1]] == session[first[1:]])
    seconds[goes_on] = (sequences.times[first[goes_on + 1]] - sequences.times[first[goes_on]]) / 1e6
    return state[first], events, seconds


def _emissions(model: HiddenMarkov) -> pa.Table:
    import pyarrow as pa

    number, events = model.parameters.emission.shape
    return pa.table(
        {
            "state": np.repeat(np.arange(number), events),
            "state_name": [name for name in model.names for _ in range(events)],
            "event_type": model.vocabulary * number,
            "probability": model.parameters.emission.ravel(),
            "lift": model.lift.ravel(),
        },
        schema=HMM_EMISSIONS.arrow_schema(),
    )


def _hours(model: HiddenMarkov, sequences: Sequences, state: Ints) -> pa.Table:
    import pyarrow as pa

    number = model.parameters.states
    counts = np.bincount(sequences.hours * number + state, minlength=24 * number).reshape(24, number)
    seen = np.flatnonzero(counts.sum(axis=1))
    return pa.table(
        {
            "hour": np.repeat(seen, number),
            "state": np.tile(np.arange(number), len(seen)),
            "state_name": model.names * len(seen),
            "events": counts[seen].ravel(),
            "share": (counts[seen] / counts[seen].sum(axis=1, keepdims=True)).ravel(),
        },
        schema=HMM_STATE_HOURS.arrow_schema(),
    )


def _transitions(model: HiddenMarkov, sequences: Sequences, state: Ints) -> pa.Table:
    import pyarrow as pa

    number = model.parameters.states
    positions = sequences.positions
    counts = np.bincount(state[positions - 1] * number + state[positions], minlength=number * number)
    return pa.table(
        {
            "from_state": np.repeat(np.arange(number), number),
            "to_state": np.tile(np.arange(number), number),
            "from_name": [name for name in model.names for _ in range(number)],
            "to_name": model.names * number,
            "probability": model.parameters.moves.ravel(),
            "transitions": counts,
        },
        schema=HMM_TRANSITIONS.arrow_schema(),
    )
