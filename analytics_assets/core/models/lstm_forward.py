"""The fitted LSTM as NumPy arrays: inputs, forward pass, artefact without TensorFlow.

Put here: everything a prediction needs, so that a dashboard never waits for TensorFlow. Keep out: the Keras model and
its training (``lstm.py``), pictures (``lstm_figures.py``).

One step per event of a session. The inputs of step t are the event before (`START` at the first step), the time that
passed before that event, its UTC hour and the session's device family; the state of step 0 is made from the *history*:
how often the actor did each event in the sessions that had ended before this one started. With embeddings side by side
as x_t, the gates are those of Hochreiter and Schmidhuber 1997 with a forget gate (Gers et al. 2000), in Keras' order:

    i, f, g, o = split(x_t K + h_(t-1) R + b)
    c_t = sigmoid(f) * c_(t-1) + sigmoid(i) * tanh(g),   h_t = sigmoid(o) * tanh(c_t),

and the distribution over event t is softmax([h_t, e_t] W + b_W) with e_t the embedding of the event before, which
reaches the output directly too: what follows an event at once needs no memory.

The history is what the model was fitted with, not what it is asked about: a prediction depends on its own session only,
however sessions are put together. A session's times have to be given for its actor's history to be before it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.files import read_json, write_bytes, write_json
from analytics_assets.core.models.sequences import Ints, Sequences
from analytics_assets.core.threads import one_thread

Reals = NDArray[np.float32]
Codes = NDArray[np.int32]

PAD = 0
START = 1
FIRST_EVENT = 2
"""Ids of the network's events: padding, the session's start, then the codes of the vocabulary, `OTHER` last."""

GAP_EDGES = (0.1, 1.0, 3.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1800.0)
"""Seconds between buckets of gaps, about evenly spaced in the logarithm: from one click's own events to an absence."""

HISTORY_PRIOR = 10.0
"""Past events at which an actor's history counts half: below it the shares of events say little."""

SESSIONS_AT_ONCE = 1024
"""Sessions run side by side: enough to make a step's product large, and its arrays (1 MB) stay in the cache."""

POSITIONS_AT_ONCE = 20_000
"""Rows of logits at once: 20,000 rows of 300 types are 24 MB."""


@dataclass(frozen=True)
class History:
    """Events of past sessions, to be asked what an actor had done before a moment.

    Parameters
    ----------
    actors : list of str
        Names, ascending.
    places, ends : int32 and int64 array, shape (sessions,)
        Actor (place in `actors`) and end, in microseconds since 1970, of each past session, ascending.
    totals : int32 array, shape (sessions + 1, events)
        Events of each type in all sessions before the row's one.
    """

    actors: list[str]
    places: Codes
    ends: Ints
    totals: Codes

    @classmethod
    def none(cls, events: int) -> History:
        """No session at all, of `events` event types."""
        nothing = np.empty(0, dtype=np.int64)
        return cls([], nothing.astype(np.int32), nothing, np.zeros((1, events), dtype=np.int32))

    @classmethod
    def of(cls, *parts: Sequences) -> History:
        """The sessions of all parts, which share one vocabulary."""
        names = sorted({part.actor_names[actor] for part in parts for actor in np.unique(part.actors).tolist()})
        place = {name: number for number, name in enumerate(names)}
        places = np.concatenate(
            [np.array([place.get(name, -1) for name in part.actor_names], np.int32)[part.actors] for part in parts]
        )
        ends = np.concatenate([part.ends for part in parts])
        events = len(parts[0].vocabulary)
        counts = np.concatenate([_counts(part) for part in parts])
        order = np.lexsort((ends, places))
        totals = np.zeros((len(ends) + 1, events), dtype=np.int32)
        np.cumsum(counts[order], axis=0, out=totals[1:])
        return cls(names, places[order], ends[order], totals)

    def before(self, sequences: Sequences) -> Reals:
        """Events of each session's actor in the past sessions that had ended before it started.

        Returns
        -------
        float32 array, shape (sessions, events)
            Zeros for actors without a past session.
        """
        place = {name: number for number, name in enumerate(self.actors)}
        actor = np.array([place.get(name, -1) for name in sequences.actor_names], dtype=np.int64)[sequences.actors]
        moments = np.unique(self.ends)
        # One ascending key for (actor, end): a session ended before a start if its rank is below the start's rank.
        base = len(moments) + 1
        keys = self.places.astype(np.int64) * base + np.searchsorted(moments, self.ends)
        last = np.searchsorted(keys, actor * base + np.searchsorted(moments, sequences.starts))
        first = np.searchsorted(keys, actor * base)
        counts = self.totals[last] - self.totals[first]
        counts[actor < 0] = 0
        return counts.astype(np.float32)


def _counts(sequences: Sequences) -> Codes:
    """Events of each type in each session, shape (sessions, events)."""
    events = len(sequences.vocabulary)
    cells = sequences.session_of * events + sequences.codes
    return np.bincount(cells, minlength=sequences.sessions * events).reshape(-1, events).astype(np.int32)


def events_before(sequences: Sequences) -> Codes:
    """Id of the event before each event, `START` before the first of a session; shape (events,)."""
    events = np.roll(sequences.codes, 1) + np.int32(FIRST_EVENT)
    events[sequences.offsets[:-1]] = START
    return events


@dataclass(frozen=True)
class Inputs:
    """What the network sees of sessions, one entry per event of `Sequences`: the inputs of the step that predicts it.

    Parameters
    ----------
    events, gaps, hours, devices : int32 array, shape (events,)
        Ids of the event before, the bucket of the gap before that one (0 at the start), its hour, the device family.
    history : float32 array, shape (sessions, event types + 1)
        Root of the shares of past events, shrunken by `HISTORY_PRIOR`, and root of how much history there is; 0 to 1.
    """

    events: Codes
    gaps: Codes
    hours: Codes
    devices: Codes
    history: Reals


@dataclass(frozen=True)
class Encoder:
    """How sessions become inputs.

    Parameters
    ----------
    devices : list of str
        Device families known from training; id 0 stands for all others.
    gap_edges : tuple of float
        Seconds, ascending.
    history : History
        Past sessions.
    """

    devices: list[str]
    gap_edges: tuple[float, ...]
    history: History

    @property
    def gap_buckets(self) -> int:
        """Ids of gaps: the start's and one per bucket."""
        return len(self.gap_edges) + 2

    def encode(self, sequences: Sequences) -> Inputs:
        """Inputs of sessions in the codes of the model's vocabulary."""
        first = sequences.offsets[:-1]
        gaps = np.roll(np.searchsorted(self.gap_edges, sequences.gaps, side="right") + 1, 1).astype(np.int32)
        hours = np.roll(sequences.hours, 1).astype(np.int32)
        gaps[first], hours[first] = 0, sequences.starts // 3_600_000_000 % 24
        place = {name: number for number, name in enumerate(self.devices, start=1)}
        device = np.array([place.get(name, 0) for name in sequences.device_names], dtype=np.int32)
        past = self.history.before(sequences)
        amount = past.sum(axis=1, keepdims=True)
        shares = np.concatenate([past, amount], axis=1) / (amount + np.float32(HISTORY_PRIOR))
        return Inputs(
            events_before(sequences), gaps, hours, device[sequences.devices][sequences.session_of], np.sqrt(shares)
        )


@dataclass(frozen=True)
class LstmModel:
    """A fitted network.

    Parameters
    ----------
    vocabulary : list of str
        Event types, `OTHER` last.
    encoder : Encoder
    settings : dict
        What the Keras model is rebuilt with, and the temperature that `weights` hold: ``embedding``, ``units``,
        ``dropout``, ``temperature``.
    weights : dict of str to float32 array
        By layer and role as in ``lstm.network``: ``event``, ``gap``, ``hour``, ``device`` (embeddings),
        ``history_kernel``, ``history_bias``, ``hidden_kernel``, ``hidden_bias``, ``cell_kernel``, ``cell_bias`` (state
        of step 0), ``lstm_kernel``, ``lstm_recurrent``, ``lstm_bias``, ``output_kernel``, ``output_bias``.
    """

    vocabulary: list[str]
    encoder: Encoder
    settings: Mapping[str, Any]
    weights: Mapping[str, Reals]

    def distributions(self, sequences: Sequences) -> Reals:
        """See ``next_event.NextEventModel``; float32."""
        # A step's product is small: handing it to several threads takes three times as long as one thread takes.
        with one_thread():
            return self._distributions(sequences)

    def _distributions(self, sequences: Sequences) -> Reals:
        positions, weights = sequences.positions, self.weights
        chances = np.empty((len(positions), len(self.vocabulary)), dtype=np.float32)
        if not len(positions):
            return chances
        inputs = self.encoder.encode(sequences)
        hidden, last = self._hidden(sequences, inputs)[positions], inputs.events[positions]
        units = hidden.shape[1]
        direct = weights["event"] @ weights["output_kernel"][units:] + weights["output_bias"]
        for first in range(0, len(positions), POSITIONS_AT_ONCE):
            rows = slice(first, first + POSITIONS_AT_ONCE)
            chances[rows] = softmax(hidden[rows] @ weights["output_kernel"][:units] + direct[last[rows]])
        return chances

    def _hidden(self, sequences: Sequences, inputs: Inputs) -> Reals:
        """h_t of every step, shape (events, units)."""
        weights = self.weights
        past = np.maximum(inputs.history @ weights["history_kernel"] + weights["history_bias"], 0)
        start_hidden = np.tanh(past @ weights["hidden_kernel"] + weights["hidden_bias"])
        start_cell = past @ weights["cell_kernel"] + weights["cell_bias"]
        recurrent = weights["lstm_recurrent"]
        units = recurrent.shape[0]
        # x_t K is a sum of one row per input, so each input's rows are multiplied once, not at every step.
        tables, row = {}, 0
        for name in ("event", "gap", "hour", "device"):
            width = weights[name].shape[1]
            tables[name] = weights[name] @ weights["lstm_kernel"][row : row + width]
            row += width
        tables["event"] = tables["event"] + weights["lstm_bias"]
        hidden = np.empty((len(sequences.codes), units), dtype=np.float32)
        lengths = sequences.lengths
        by_length = np.argsort(-lengths, kind="stable")
        for first in range(0, sequences.sessions, SESSIONS_AT_ONCE):
            sessions = by_length[first : first + SESSIONS_AT_ONCE]
            state, cell = start_hidden[sessions], start_cell[sessions]
            for step in range(int(lengths[sessions[0]])):
                live = int(np.searchsorted(-lengths[sessions], -step, side="left"))
                place = sequences.offsets[:-1][sessions[:live]] + step
                gates = state[:live] @ recurrent
                gates += tables["event"][inputs.events[place]] + tables["gap"][inputs.gaps[place]]
                gates += tables["hour"][inputs.hours[place]] + tables["device"][inputs.devices[place]]
                opened = sigmoid(gates[:, : 2 * units])
                cell = opened[:, units:] * cell[:live] + opened[:, :units] * np.tanh(gates[:, 2 * units : 3 * units])
                state = sigmoid(gates[:, 3 * units :]) * np.tanh(cell)
                hidden[place] = state
        return hidden

    def save(self, folder: Path) -> None:
        """Write ``weights.npz`` and ``model.json`` into `folder`; ``lstm.TrainedLstm`` adds ``model.keras``."""
        history = self.encoder.history
        counts = np.diff(history.totals, axis=0)
        rows, columns = np.nonzero(counts)
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {
            **self.weights,
            "history_actors": np.array(history.actors, dtype=np.str_),
            "history_places": history.places,
            "history_ends": history.ends,
            "history_rows": rows.astype(np.int32),
            "history_events": columns.astype(np.int32),
            "history_counts": counts[rows, columns],
        }
        np.savez_compressed(buffer, **arrays)
        write_bytes(folder / "weights.npz", buffer.getvalue())
        model = {
            "kind": "lstm",
            "vocabulary": self.vocabulary,
            "devices": self.encoder.devices,
            "gap_edges": list(self.encoder.gap_edges),
            "settings": dict(self.settings),
            "weights": {name: list(array.shape) for name, array in self.weights.items()},
        }
        write_json(folder / "model.json", model)

    @classmethod
    def load(cls, folder: Path) -> LstmModel:
        """Read what `save` wrote; never imports TensorFlow."""
        model = read_json(folder / "model.json")
        with np.load(folder / "weights.npz", allow_pickle=False) as arrays:
            weights = {name: arrays[name] for name in model["weights"]}
            ends = arrays["history_ends"]
            totals = np.zeros((len(ends) + 1, len(model["vocabulary"])), dtype=np.int32)
            totals[arrays["history_rows"] + 1, arrays["history_events"]] = arrays["history_counts"]
            np.cumsum(totals, axis=0, out=totals)
            history = History(arrays["history_actors"].tolist(), arrays["history_places"], ends, totals)
        encoder = Encoder(model["devices"], tuple(model["gap_edges"]), history)
        return LstmModel(model["vocabulary"], encoder, model["settings"], weights)


def sigmoid(values: Reals) -> Reals:
    """1 / (1 + exp(-x)), in the form that cannot overflow."""
    return np.float32(0.5) * (np.float32(1) + np.tanh(np.float32(0.5) * values))


def softmax(logits: Reals) -> Reals:
    """Rows as distributions."""
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    return chances / chances.sum(axis=1, keepdims=True)
