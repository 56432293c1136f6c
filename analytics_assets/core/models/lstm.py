"""LSTM over the events of a session, trained with TensorFlow/Keras; what is fitted runs without it.

Put here: the network, its training, its Keras artefact. Keep out: inputs and predictions (``lstm_forward.py``),
pictures (``lstm_figures.py``).

A session is used once per epoch: the network is causal and predicts every event of it from those before, so there are
no overlapping windows. Batches hold sessions of like length, padded at the right; a causal network reaches the padding
after every real event, so it suffices that padding has no weight in the loss. Epochs end when bits per event on the
validation sessions no longer fall, the best weights are kept, and one temperature (Guo et al. 2017) is fitted on the
same sessions and divided into the output weights.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.files import write_bytes
from analytics_assets.core.models.lstm_forward import (
    FIRST_EVENT,
    GAP_EDGES,
    Encoder,
    History,
    Inputs,
    LstmModel,
    Reals,
    events_before,
)
from analytics_assets.core.models.next_event import MIN_PROBABILITY, score
from analytics_assets.core.models.sequences import Ints, Sequences

SMALL_WIDTH = 4
"""Numbers per gap bucket, hour and device family: they have a dozen values each and say less than the event."""

HISTORY_WIDTH = 16
"""Numbers that an actor's past is pressed into: more let the network tell single actors apart."""

LEARNING_RATE = 2e-3
"""Twice Adam's usual rate (Kingma and Ba 2015): on 38,000 and 238,000 generated events it reached the same bits on
validation (within 0.002) in about half of the epochs."""

CLIP_NORM = 1.0
"""Gradients longer than this are shortened: a rare long session must not undo an epoch (Pascanu et al. 2013)."""

BATCH_SESSIONS = (32, 128)
"""Least and most sessions per update: small data need many updates per epoch, and beyond 128 an update's time, which is
mostly the count of steps one after another below that, grows with the sessions."""

UPDATES_PER_EPOCH = 250
"""Updates per epoch aimed at, within the bounds of `BATCH_SESSIONS`."""

LENGTH_NOISE = 6
"""Lengths of a batch differ by up to this many events, so that batches are not the same ones in every epoch."""

MIN_GAIN = 1e-4
"""Bits by which validation must improve to count as progress."""

TEMPERATURES = (0.5, 3.0)
"""Bounds of the temperature; validation sessions that ask for more are too few to ask."""

HIDDEN_SHARE = 0.01
"""Chance of an event type to be hidden behind `OTHER` in one session of one epoch: so the network learns how types go
on that it has never seen, for instance that they repeat. On a real log whose types change over the years top-1 accuracy
rose by .02 to .05; on generated data it costs about 0.01 bits per event, three times as much with 0.03."""

MAX_CLASS_WEIGHT = 10.0
"""A rare event counts at most this much more than the mean one, else a handful of events would steer training."""

WEIGHTS = {
    "event": ("event",),
    "gap": ("gap",),
    "hour": ("hour",),
    "device": ("device",),
    "history": ("history_kernel", "history_bias"),
    "hidden": ("hidden_kernel", "hidden_bias"),
    "cell": ("cell_kernel", "cell_bias"),
    "lstm": ("lstm_kernel", "lstm_recurrent", "lstm_bias"),
    "output": ("output_kernel", "output_bias"),
}
"""Layers of `network` and the names of their weights in ``LstmModel.weights``."""


@dataclass(frozen=True)
class TrainedLstm(LstmModel):
    """A fitted network that can be written for Keras too; `LstmModel` needs no TensorFlow."""

    def save(self, folder: Path) -> None:
        """Write ``model.keras`` beside the files of ``LstmModel.save``; equal weights give equal bytes.

        The Keras model maps int32 arrays of shape (sessions, steps) ``events``, ``gaps``, ``hours``, ``devices`` and a
        float32 array ``history`` (see ``lstm_forward.Inputs``) to distributions of shape (sessions, steps, events).
        """
        super().save(folder)
        write_bytes(folder / "model.keras", keras_bytes(keras_model(self)))


def tensorflow(threads: int | None = None) -> Any:
    """Import TensorFlow, quietly and with deterministic operations, and let it use `threads` threads.

    The number can be set only before TensorFlow's first operation in a process; later it stays as it is.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    threading = tf.config.threading
    if threads is not None and threading.get_intra_op_parallelism_threads() != threads:
        with contextlib.suppress(RuntimeError):
            threading.set_intra_op_parallelism_threads(threads)
            threading.set_inter_op_parallelism_threads(threads)
    return tf


def network(events: int, gaps: int, devices: int, *, embedding: int, units: int, dropout: float) -> Any:
    """The network, whose output are logits.

    Parameters
    ----------
    events, gaps, devices : int
        Event types, buckets of gaps, device families (unknown ones included).
    embedding, units : int
        Width of the events' embedding and of the LSTM.
    dropout : float
        Share of the numbers before the output that training leaves out.

    Returns
    -------
    keras.Model
    """
    import keras

    layers = keras.layers
    steps = {name: keras.Input((None,), dtype="int32", name=name) for name in ("events", "gaps", "hours", "devices")}
    history = keras.Input((events + 1,), dtype="float32", name="history_input")
    event = layers.Embedding(events + FIRST_EVENT, embedding, name="event")(steps["events"])
    step = layers.Concatenate(name="step")(
        [
            event,
            layers.Embedding(gaps, SMALL_WIDTH, name="gap")(steps["gaps"]),
            layers.Embedding(24, SMALL_WIDTH, name="hour")(steps["hours"]),
            layers.Embedding(devices, SMALL_WIDTH, name="device")(steps["devices"]),
        ]
    )
    past = layers.Dense(HISTORY_WIDTH, activation="relu", name="history")(history)
    state = [layers.Dense(units, activation="tanh", name="hidden")(past), layers.Dense(units, name="cell")(past)]
    hidden = layers.LSTM(units, return_sequences=True, name="lstm")(step, initial_state=state)
    # What follows an event at once reaches the output directly: on the validation sessions of 300,000 generated events
    # this saved 0.03 bits.
    kept = layers.Dropout(dropout, name="dropout")(layers.Concatenate(name="state")([hidden, event]))
    return keras.Model([*steps.values(), history], layers.Dense(events, name="output")(kept), name="next_event")


def keras_model(model: LstmModel) -> Any:
    """A fitted network as Keras model that gives distributions."""
    tensorflow()
    import keras

    built = network(
        len(model.vocabulary),
        model.encoder.gap_buckets,
        len(model.encoder.devices) + 1,
        embedding=model.settings["embedding"],
        units=model.settings["units"],
        dropout=model.settings["dropout"],
    )
    for layer, names in WEIGHTS.items():
        built.get_layer(layer).set_weights([model.weights[name] for name in names])
    return keras.Model(built.inputs, keras.layers.Softmax(name="distribution")(built.output), name="next_event")


def keras_bytes(model: Any) -> bytes:
    """A Keras model as the content of a ``.keras`` file without time of writing and addresses in memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in sorted(archive.namelist())}
    about = json.loads(members["metadata.json"])
    members["metadata.json"] = json.dumps({"keras_version": about["keras_version"]}).encode()
    # Keras names shared parts by their address; their order of appearance does as well.
    numbers: dict[bytes, bytes] = {}
    members["config.json"] = re.sub(
        rb'(?<="shared_object_id": )\d+',
        lambda address: numbers.setdefault(address[0], str(len(numbers)).encode()),
        members["config.json"],
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


@dataclass(frozen=True)
class Windows:
    """Stretches of sessions that training reads at once: ``codes[begins[i]:begins[i] + lengths[i]]``.

    Parameters
    ----------
    sessions, begins, lengths : int64 array, shape (windows,)
    """

    sessions: Ints
    begins: Ints
    lengths: Ints

    @classmethod
    def of(cls, sequences: Sequences, max_length: int) -> Windows:
        """Sessions with an event to predict, cut into stretches of at most `max_length` events."""
        long_enough = np.flatnonzero(sequences.lengths > 1)
        lengths = sequences.lengths[long_enough]
        pieces = -(-lengths // max_length)
        sessions = np.repeat(long_enough, pieces)
        number = np.arange(len(sessions)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        begins = number * max_length
        sizes = np.minimum(sequences.lengths[sessions] - begins, max_length)
        return cls(sessions, sequences.offsets[:-1][sessions] + begins, sizes)

    @property
    def batch_size(self) -> int:
        """Windows per update."""
        least, most = BATCH_SESSIONS
        return min(max(least, -(-len(self.sessions) // UPDATES_PER_EPOCH)), most)

    def batches(self, rng: np.random.Generator) -> Iterator[Ints]:
        """Windows of like length together, in random order."""
        noisy = self.lengths + rng.integers(0, LENGTH_NOISE, len(self.lengths))
        order = np.lexsort((rng.random(len(noisy)), noisy))
        batches = [order[first : first + self.batch_size] for first in range(0, len(order), self.batch_size)]
        for number in rng.permutation(len(batches)):
            yield batches[number]


def padded(sequences: Sequences, inputs: Inputs, windows: Windows, chosen: Ints, weights: Reals) -> list[NDArray]:
    """One batch: the five inputs of `network`, targets and their weights; padding, at the right, weighs 0."""
    lengths = windows.lengths[chosen]
    steps = np.arange(lengths.max())
    real = steps < lengths[:, None]
    place = np.where(real, windows.begins[chosen][:, None] + steps, 0)
    columns = (inputs.events, inputs.gaps, inputs.hours, inputs.devices)
    targets = sequences.codes[place]
    return [
        *(np.where(real, column[place], 0).astype(np.int32) for column in columns),
        inputs.history[windows.sessions[chosen]],
        targets,
        np.where(real, weights[targets], np.float32(0)),
    ]


def partly_hidden(sequences: Sequences, rng: np.random.Generator) -> Sequences:
    """The sessions with some event types of each hidden behind `OTHER`, see `HIDDEN_SHARE`."""
    types = len(sequences.vocabulary)
    hidden = rng.random((sequences.sessions, types), dtype=np.float32) < HIDDEN_SHARE
    codes = np.where(hidden[sequences.session_of, sequences.codes], np.int32(types - 1), sequences.codes)
    return replace(sequences, codes=codes)


def class_weights(codes: NDArray[np.int32], events: int) -> Reals:
    """Weight of each event type, inverse to its occurrences, mean 1 over the types, at most `MAX_CLASS_WEIGHT`."""
    counts = np.bincount(codes, minlength=events)
    inverse = 1 / np.maximum(counts, 1)
    inverse[counts == 0] = 0
    return np.minimum(inverse / inverse[counts > 0].mean(), MAX_CLASS_WEIGHT).astype(np.float32)


def fit(
    train: Sequences,
    validation: Sequences,
    *,
    embedding: int = 32,
    units: int = 64,
    dropout: float = 0.2,
    epochs: int = 40,
    patience: int = 3,
    max_sessions: int = 30_000,
    max_length: int = 50,
    use_history: bool = True,
    class_weight: bool = False,
    sample_shares: Sequence[float] = (),
    seed: int = 7,
    threads: int = 2,
    progress: Callable[[str], None] | None = None,
) -> tuple[TrainedLstm, dict[str, Any]]:
    """Train on `train`; stop and set the temperature by `validation`.

    Parameters
    ----------
    train, validation : Sequences
        Of one vocabulary. Without a validation position all epochs are run and the temperature is 1.
    embedding, units, dropout : int, int, float
        See `network`.
    epochs, patience : int
        Most epochs, and epochs without progress on validation after which training ends.
    max_sessions : int
        More training sessions than this are sampled. Actors' histories are made from all sessions all the same.
    max_length : int
        Longer sessions are cut into stretches for training; predictions run through whole sessions.
    use_history : bool
        Whether the actor's earlier sessions are an input.
    class_weight : bool
        Whether rare events count more in the loss (`class_weights`): better recall of them, worse probabilities.
    sample_shares : sequence of float
        Shares of the sampled sessions, in (0, 1), with which training is repeated to show what more sessions bring.
    seed : int
        Of sampling, weights, dropout and the order of batches.
    threads : int
        See `tensorflow`.
    progress : callable, optional
        Is told about each epoch.

    Returns
    -------
    model : TrainedLstm
    training : dict
        ``sessions`` and ``events`` trained on, ``available_sessions``, ``parameters``, ``batch_sessions``,
        ``threads``; ``epochs``: one dict each with ``train_bits`` (of the weighted loss, with dropout, first events
        included), ``validation_bits`` and ``validation_top1`` (None without a validation position); ``best_epoch``,
        from 1; ``stopped_early``; ``temperature``; ``validation_bits`` and ``validation_top1`` of the model returned;
        ``sample_sizes``: the last two by number of sessions; ``timing``: seconds of each epoch.

    Raises
    ------
    ValueError
        No training session has two events, or a parameter is out of bounds.
    """
    if min(embedding, units, epochs, patience, max_sessions, threads) < 1 or max_length < 2 or not 0 <= dropout < 1:
        raise ValueError("sizes must be at least 1, max_length at least 2, dropout in [0, 1)")
    if any(not 0 < share < 1 for share in sample_shares):
        raise ValueError("shares of the sample must lie between 0 and 1")
    usable = np.flatnonzero(train.lengths > 1)
    if not len(usable):
        raise ValueError("no training session has two events, so there is nothing to learn to predict")
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(usable)[:max_sessions]
    known = History.of(train) if use_history else History.none(len(train.vocabulary))
    devices = sorted({train.device_names[device] for device in np.unique(train.devices).tolist()} - {""})
    encoder = Encoder(devices, GAP_EDGES, known)
    settings = {"embedding": embedding, "units": units, "dropout": dropout}
    found: list[tuple[TrainedLstm, dict[str, Any]]] = []
    for share in [*sorted(set(sample_shares)), 1.0]:
        sample = train.take(np.sort(drawn[: max(1, round(share * len(drawn)))]))
        found.append(
            _run(
                sample,
                validation,
                encoder,
                settings,
                epochs=epochs,
                patience=patience,
                max_length=max_length,
                class_weight=class_weight,
                seed=seed,
                threads=threads,
                progress=progress or (lambda _: None),
            )
        )
    model, training = found[-1]
    if use_history:
        # Predictions come after the validation sessions, so those belong to the past that is stored.
        model = replace(model, encoder=replace(encoder, history=History.of(train, validation)))
    sizes = [{key: run[key] for key in ("sessions", "validation_bits", "validation_top1")} for _, run in found]
    return model, {**training, "available_sessions": len(usable), "sample_sizes": sizes}


def _run(
    sample: Sequences,
    validation: Sequences,
    encoder: Encoder,
    settings: Mapping[str, Any],
    *,
    epochs: int,
    patience: int,
    max_length: int,
    class_weight: bool,
    seed: int,
    threads: int,
    progress: Callable[[str], None],
) -> tuple[TrainedLstm, dict[str, Any]]:
    """One training on the sessions of `sample`; arguments and results as `fit`."""
    tf = tensorflow(threads)
    import keras

    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    events = len(sample.vocabulary)
    built = network(events, encoder.gap_buckets, len(encoder.devices) + 1, **settings)
    step = _step(tf, built)
    inputs, windows = encoder.encode(sample), Windows.of(sample, max_length)
    weights = class_weights(sample.codes, events) if class_weight else np.ones(events, dtype=np.float32)
    held_out = len(validation.positions) > 0

    def fitted() -> TrainedLstm:
        return TrainedLstm(sample.vocabulary, encoder, {**settings, "temperature": 1.0}, _weights(built))

    model, best = fitted(), 0
    curve: list[dict[str, Any]] = []
    seconds: list[float] = []
    for epoch in range(1, epochs + 1):
        started = time.perf_counter()
        shown = partly_hidden(sample, rng)
        seen = replace(inputs, events=events_before(shown))
        losses = [
            step([tf.constant(part) for part in padded(shown, seen, windows, chosen, weights)]).numpy()
            for chosen in windows.batches(rng)
        ]
        entry: dict[str, Any] = {"epoch": epoch, "train_bits": float(np.mean(losses) / np.log(2))}
        candidate = fitted()
        entry |= _validated(candidate, validation)
        seconds.append(time.perf_counter() - started)
        lowest = min((past["validation_bits"] for past in curve), default=np.inf) if held_out else np.inf
        if not held_out or entry["validation_bits"] < lowest - MIN_GAIN:
            model, best = candidate, epoch
        curve.append(entry)
        told = f", validation {entry['validation_bits']:.4f} bits" if held_out else ""
        progress(f"epoch {epoch}: training {entry['train_bits']:.4f} bits{told}, {seconds[-1]:.1f} s")
        if epoch - best >= patience:
            break
    if held_out:
        model = tempered(model, validation)
    training = {
        "sessions": sample.sessions,
        "events": len(sample.codes),
        "parameters": int(built.count_params()),
        "batch_sessions": windows.batch_size,
        "threads": tf.config.threading.get_intra_op_parallelism_threads(),
        "epochs": curve,
        "best_epoch": best,
        "stopped_early": len(curve) < epochs,
        "temperature": model.settings["temperature"],
        **_validated(model, validation),
        "timing": seconds,
    }
    return model, training


def _step(tf: Any, built: Any) -> Callable[..., Any]:
    """One update of the network's weights from a batch as `padded` makes it; gives the loss in nats."""
    import keras

    optimizer = keras.optimizers.Adam(LEARNING_RATE, clipnorm=CLIP_NORM)
    codes, past = tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None, built.inputs[-1].shape[-1]), tf.float32)
    # One signature for all lengths: the step is compiled once.
    signature = [codes, codes, codes, codes, past, codes, tf.TensorSpec((None, None), tf.float32)]

    @tf.function(input_signature=[signature])
    def step(batch: Any) -> Any:
        *inputs, targets, weights = batch
        with tf.GradientTape() as tape:
            logits = built(inputs, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits)
            loss = tf.reduce_sum(losses * weights) / tf.reduce_sum(weights)
        optimizer.apply(tape.gradient(loss, built.trainable_variables), built.trainable_variables)
        return loss

    return step


def _weights(built: Any) -> dict[str, Reals]:
    return {
        name: array
        for layer, names in WEIGHTS.items()
        for name, array in zip(names, built.get_layer(layer).get_weights(), strict=True)
    }


def _validated(model: LstmModel, validation: Sequences) -> dict[str, float | None]:
    scores = score(model, validation)
    if not len(scores.rank):
        return {"validation_bits": None, "validation_top1": None}
    return {"validation_bits": float(scores.bits.mean()), "validation_top1": float(scores.hits(1).mean())}


def tempered(model: TrainedLstm, validation: Sequences) -> TrainedLstm:
    """The model with the temperature that gives the fewest bits on `validation` divided into its output weights."""
    from scipy.optimize import minimize_scalar

    actual = validation.codes[validation.positions]
    # Logits up to a constant per row, which the softmax takes out again.
    logits = np.log(np.maximum(model.distributions(validation), np.finfo(np.float32).tiny))

    def bits(temperature: float) -> float:
        scaled = logits / np.float32(temperature)
        scaled -= scaled.max(axis=1, keepdims=True)
        came = np.exp(scaled[np.arange(len(actual)), actual]) / np.exp(scaled).sum(axis=1)
        return float(-np.log2(np.maximum(came, MIN_PROBABILITY)).mean())

    temperature = float(minimize_scalar(bits, bounds=TEMPERATURES, method="bounded").x)
    divided = {name: model.weights[name] / np.float32(temperature) for name in WEIGHTS["output"]}
    settings = {**model.settings, "temperature": model.settings["temperature"] * temperature}
    return replace(model, settings=settings, weights={**model.weights, **divided})
