"""Published models at work: what they say about a journey or an actor that a visitor makes up.

Put here: loading artefacts, with errors that name the folder and the asset, and asking them. Keep out: how models work
(``analytics_assets.core.models``), what they said of past events (modules beside the pages), wording.

Only artefacts that NumPy can score are loaded: importing TensorFlow or XGBoost would cost a page more time and memory
than all the rest of it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np
import streamlit as st

from analytics_assets.core.lake import Lake
from analytics_assets.core.models import next_event
from analytics_assets.core.models.hmm import HiddenMarkov
from analytics_assets.core.models.kmeans import Segments
from analytics_assets.core.models.kmeans_choice import nearest
from analytics_assets.core.models.kmeans_features import LOG_MEASURES, MEASURES, Behaviour, load_behaviour
from analytics_assets.core.models.lstm_forward import LstmModel
from analytics_assets.core.models.markov import MarkovChain
from analytics_assets.core.models.next_event import NextEventModel
from analytics_assets.core.models.sequences import OTHER
from dashboards import data
from dashboards.data import DamagedFileError, FileKey

ARTEFACTS: dict[str, tuple[str, ...]] = {
    "markov_chain": ("model.json", "contexts.parquet"),
    "hidden_markov_model": ("model.json",),
    "lstm_next_event": ("model.json", "weights.npz"),
    "kmeans_segments": ("model.json",),
}
"""Files that each model is loaded from."""

LIVE_MODELS = ("markov_chain", "hidden_markov_model", "lstm_next_event")
"""Next-event models that a page can ask, from the simplest."""

_LOADERS: dict[str, Callable[[Path], NextEventModel]] = {
    "markov_chain": MarkovChain.load,
    "hidden_markov_model": HiddenMarkov.load,
    "lstm_next_event": LstmModel.load,
}

MIX_UNITS = 1_000_000
"""Events that a made-up mix is written with, so that its shares are right to a millionth."""

_UNFIT = (
    OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, EOFError, RecursionError, zipfile.BadZipFile,
)  # fmt: skip
"""What loading or asking a damaged artefact raises."""


def _keys(lake: Lake, name: str) -> tuple[FileKey, ...]:
    return tuple(data.file_key(lake.model(name) / file, name) for file in ARTEFACTS[name])


def next_event_model(lake: Lake, name: str) -> NextEventModel:
    """One of `LIVE_MODELS`; `LakeFileError` when it is not there or cannot predict."""
    return _next_event_model(name, _keys(lake, name))


@st.cache_resource(show_spinner=False, max_entries=6)
def _next_event_model(name: str, keys: tuple[FileKey, ...]) -> NextEventModel:
    folder = Path(keys[0].path).parent
    try:
        model = _LOADERS[name](folder)
        if not all(isinstance(event, str) for event in model.vocabulary) or model.vocabulary[-1] != OTHER:
            raise ValueError("no vocabulary of event types")
        # Parts that do not fit each other show here, not in the middle of a page.
        if not np.isfinite(list(next_event.predict(model, model.vocabulary[:1]).values())).all():
            raise ValueError("probabilities that are no numbers")
    except _UNFIT as error:
        raise _damaged(folder, name) from error
    return model


def _damaged(folder: Path, name: str) -> DamagedFileError:
    return DamagedFileError(folder, name, "its files are not what this asset writes")


def next_event_chances(model: NextEventModel, journey: Sequence[str]) -> list[tuple[str, float]]:
    """Distribution over the event that follows `journey`, likeliest first; of equals the smaller name is first."""
    return sorted(next_event.predict(model, journey).items(), key=lambda entry: (-entry[1], entry[0]))


def hidden_states(lake: Lake) -> HiddenMarkov:
    """The hidden Markov model."""
    model = next_event_model(lake, "hidden_markov_model")
    if not isinstance(model, HiddenMarkov):
        raise _damaged(lake.model("hidden_markov_model"), "hidden_markov_model")
    return model


def decoded(model: HiddenMarkov, journey: Sequence[str]) -> list[list[float]]:
    """Chances of the hidden states at each event of a whole journey; rows are events, columns states."""
    so_far = next_event.one_session(model.vocabulary, journey)
    # The last place is the one that is to be predicted, which a whole journey does not have.
    whole = replace(
        so_far,
        codes=so_far.codes[:-1],
        offsets=np.array([0, len(journey)]),
        repeats=so_far.repeats[:-1],
        times=so_far.times[:-1],
    )
    return [[float(chance) for chance in row] for row in model.posteriors(whole)]


def segments(lake: Lake) -> Segments:
    """The segmentation; `LakeFileError` when it is not there or cannot assign anybody."""
    return _segments(_keys(lake, "kmeans_segments"))


@st.cache_resource(show_spinner=False, max_entries=2)
def _segments(keys: tuple[FileKey, ...]) -> Segments:
    folder = Path(keys[0].path).parent
    try:
        model = Segments.load(folder)
        if len(model.names) != len(model.centroids):
            raise ValueError("not one name per segment")
        if len(model.centroids):
            placed(model, typical(model))
    except _UNFIT as error:
        raise _damaged(folder, "kmeans_segments") from error
    return model


def typical(model: Segments) -> Behaviour:
    """Somebody with the median of every measure and all event types alike, to start from."""
    middle = model.centre.copy()
    middle[: len(LOG_MEASURES)] = np.expm1(middle[: len(LOG_MEASURES)])
    return Behaviour(
        actors=["made up"],
        classes=["user"],
        measures=middle[None, :],
        counts=np.full((1, len(model.event_names)), 1000, dtype=np.int64),
        event_names=model.event_names,
        active_days=np.array([model.min_active_days]),
        countries=[None],
        devices=[None],
    )


def behaviour_of(lake: Lake, years: Sequence[str], actor: str) -> Behaviour | None:
    """What one actor did over the given deliveries; None when there is no such actor."""
    tables = [
        data.Table.of([lake.feature(name, year) for year in years], name) for name in ("clean_events", "sessions")
    ]
    return _behaviour_of(tables[0], tables[1], actor)


@st.cache_resource(show_spinner=False, max_entries=32)
def _behaviour_of(events: data.Table, sessions: data.Table, actor: str) -> Behaviour | None:
    def load(engine: duckdb.DuckDBPyConnection) -> Behaviour:
        paths = [[Path(key.path) for key in table.files] for table in (events, sessions)]
        return load_behaviour(engine, paths[0], paths[1], actor=actor)

    found = data.with_engine(load, (events, sessions))
    return found if found.actors else None


@dataclass(frozen=True)
class Placement:
    """Where an actor is put.

    Parameters
    ----------
    segment : int
        Nearest segment.
    assigned : int
        The segment, or a key of ``kmeans.LABELS`` for who is outside all of them.
    distances : list of float
        To the centre of each segment, in the scaled space.
    point : tuple of float
        Place on the two main components.
    """

    segment: int
    assigned: int
    distances: list[float]
    point: tuple[float, float]


def placed(model: Segments, behaviour: Behaviour) -> Placement:
    """Where the first actor of `behaviour` is put; the model has at least one segment."""
    scaled = model.scaled(behaviour)[:1]
    labels, distances = nearest(scaled, model.centroids)
    first, second = ((scaled - model.origin) @ model.axes.T)[0]
    return Placement(
        int(labels[0]),
        int(model.assign(behaviour)[0]),
        [float(distance) for distance in distances[0]],
        (float(first), float(second)),
    )


def changed(behaviour: Behaviour, measures: dict[str, float], shares: dict[str, float]) -> Behaviour:
    """The first actor of `behaviour` with other measures and other shares of some event types.

    Parameters
    ----------
    behaviour : Behaviour
    measures : dict of str to float
        New values by the names in `MEASURES`.
    shares : dict of str to float
        New shares by event type, together at most 1; all other types give way in proportion.
    """
    values = behaviour.measures[:1].copy()
    for name, value in measures.items():
        values[0, MEASURES.index(name)] = value
    mix = behaviour.shares(behaviour.event_names)[0]
    chosen = [behaviour.event_names.index(name) for name in shares]
    rest = 1 - mix[chosen].sum()
    scale = (1 - sum(shares.values())) / rest if rest > 0 else 0.0
    mix = mix * scale
    mix[chosen] = list(shares.values())
    return replace(
        behaviour.take(np.array([0])), measures=values, counts=np.rint(mix * MIX_UNITS).astype(np.int64)[None, :]
    )
