"""Sessions as integer sequences: the streams that next-event models learn from.

Put here: loading a stream of events, its vocabulary, choosing sessions. Keep out: the split in time (``split.py``),
models and metrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.expressions import SESSION_ORDER, literal
from analytics_assets.core.features.engine import parquet
from analytics_assets.schemas import PEOPLE_CLASSES

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

Ints = NDArray[np.int64]
Stream = Literal["intent", "raw", "screen"]
STREAMS: tuple[Stream, ...] = ("intent", "raw", "screen")

OTHER = "(other)"
"""Stands for every event type that training saw too seldom or never."""

MIN_TRAIN_EVENTS = 20
"""Event types with fewer training events share `OTHER`: a probability learned from less says little."""


@dataclass(frozen=True)
class Sequences:
    """Events of many sessions, session after session.

    Sessions are ordered by (start, actor, session_id), events inside them by (time, event_id, uuid).

    Parameters
    ----------
    codes : int32 array, shape (events,)
        Event types as places in `vocabulary`.
    offsets : int64 array, shape (sessions + 1,)
        Session ``i`` is ``codes[offsets[i]:offsets[i + 1]]``; no session is empty.
    vocabulary : list of str
        Event types; as loaded in ascending order, after `Vocabulary.encode` with `OTHER` as the last one.
    repeats : bool array, shape (events,)
        Whether an event is of the type of the one before it in its session: still known where both are `OTHER`.
    times : int64 array, shape (events,)
        Microseconds since 1970, UTC.
    starts, ends : int64 array, shape (sessions,)
        First and last time of the whole session, noise included, in microseconds since 1970.
    actors, devices : int32 array, shape (sessions,)
        Places in `actor_names` and `device_names`.
    actor_names, device_names : list of str
        Actors, and device families ("" where unknown) of each session's first event.
    uuids : pyarrow.Array, length events
        Identity of every event.
    session_keys : pyarrow.Array, length sessions
        Identity of every session.
    """

    codes: NDArray[np.int32]
    offsets: Ints
    vocabulary: list[str]
    repeats: NDArray[np.bool_]
    times: Ints
    starts: Ints
    ends: Ints
    actors: NDArray[np.int32]
    devices: NDArray[np.int32]
    actor_names: list[str]
    device_names: list[str]
    uuids: pa.Array
    session_keys: pa.Array

    @property
    def sessions(self) -> int:
        """Number of sessions."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Ints:
        """Events of each session."""
        return np.diff(self.offsets)

    @property
    def session_of(self) -> Ints:
        """Session of each event."""
        return np.repeat(np.arange(self.sessions), self.lengths)

    @property
    def positions(self) -> Ints:
        """Events that a model has to predict: all but the first of each session, as places in `codes`."""
        opens = np.zeros(len(self.codes), dtype=bool)
        opens[self.offsets[:-1]] = True
        return np.flatnonzero(~opens)

    @property
    def gaps(self) -> NDArray[np.float64]:
        """Seconds since the event before in the session, 0 for the first one; shape (events,)."""
        gaps = np.diff(self.times, prepend=0) / 1e6
        gaps[self.offsets[:-1]] = 0
        return gaps

    @property
    def hours(self) -> Ints:
        """UTC hour of each event, 0 to 23."""
        return self.times // 3_600_000_000 % 24

    @property
    def weekdays(self) -> Ints:
        """UTC weekday of each event, 0 = Monday (1970-01-01 was a Thursday)."""
        return (self.times // 86_400_000_000 + 3) % 7

    def take(self, sessions: Ints | NDArray[np.bool_]) -> Sequences:
        """The given sessions, in the given order.

        Parameters
        ----------
        sessions : int64 array of places, or bool array of shape (sessions,)
        """
        import pyarrow as pa

        chosen = np.flatnonzero(sessions) if sessions.dtype == bool else sessions
        lengths = self.lengths[chosen]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        events = np.repeat(self.offsets[chosen] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return replace(
            self,
            codes=self.codes[events],
            offsets=offsets,
            repeats=self.repeats[events],
            times=self.times[events],
            starts=self.starts[chosen],
            ends=self.ends[chosen],
            actors=self.actors[chosen],
            devices=self.devices[chosen],
            uuids=self.uuids.take(pa.array(events)),
            session_keys=self.session_keys.take(pa.array(chosen)),
        )

    def names(self, codes: NDArray[np.int32]) -> pa.Array:
        """Names of events by their codes."""
        import pyarrow as pa

        return pa.array(self.vocabulary, pa.string()).take(pa.array(codes))


@dataclass(frozen=True)
class Vocabulary:
    """The event types that models tell apart; every other one is `OTHER`.

    Parameters
    ----------
    names : list of str
        In ascending order, `OTHER` last.
    """

    names: list[str]

    @classmethod
    def fit(cls, train: Sequences, min_events: int = MIN_TRAIN_EVENTS) -> Vocabulary:
        """Event types with at least `min_events` events in the training sessions."""
        counts = np.bincount(train.codes, minlength=len(train.vocabulary))
        return cls(
            [name for name, n in zip(train.vocabulary, counts, strict=True) if n >= max(1, min_events)] + [OTHER]
        )

    @property
    def other(self) -> int:
        """Code of `OTHER`."""
        return len(self.names) - 1

    def encode(self, sequences: Sequences) -> Sequences:
        """The same sessions with the codes of this vocabulary; runs of `OTHER` stay as long as they were."""
        place = {name: code for code, name in enumerate(self.names)}
        translate = np.array([place.get(name, self.other) for name in sequences.vocabulary], dtype=np.int32)
        return replace(sequences, codes=translate[sequences.codes], vocabulary=self.names)

    def codes_of(self, names: Sequence[str]) -> NDArray[np.int32]:
        """Codes of event names; unknown ones are `OTHER`."""
        place = {name: code for code, name in enumerate(self.names)}
        return np.array([place.get(name, self.other) for name in names], dtype=np.int32)


@dataclass(frozen=True)
class SessionEvents:
    """Events of sessions as they lie in the files, from which every stream is made.

    Parameters
    ----------
    rows : pyarrow.Table
        Events in the order of their session's key, then as inside sessions.
    opening : pyarrow.Table
        First event of each session, in the order of sessions.
    first, lengths : int64 array, shape (sessions,)
        Place of each session's first event in `rows`, and its number of events; in the order of sessions.
    has_noise : bool
        Whether any event of the files is noise.
    """

    rows: pa.Table
    opening: pa.Table
    first: Ints
    lengths: Ints
    has_noise: bool

    @classmethod
    def load(
        cls,
        engine: duckdb.DuckDBPyConnection,
        clean: Sequence[Path],
        *,
        people_only: bool = False,
        screens: bool = True,
    ) -> SessionEvents:
        """Load every session of the given clean_events files; a session that crosses years is one.

        Parameters
        ----------
        engine : duckdb.DuckDBPyConnection
            See ``engine.open_engine``.
        clean : sequence of Path
            Files of ``clean_events``.
        people_only : bool
            Whether machines and nobody in particular (see ``actors``) are left out.
        screens : bool
            Whether screens are loaded, which only their stream needs.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        source = parquet(clean)
        ((has_noise,),) = engine.sql(f"SELECT coalesce(bool_or(is_noise), false) FROM {source}").fetchall()
        people = f"AND actor_class IN ({', '.join(literal(name) for name in PEOPLE_CLASSES)})" if people_only else ""
        # One sort in the database: windows over sessions took half as long again for 1.85 million events.
        found = engine.sql(
            f"""
            SELECT session_key, uuid, event_type, epoch_us(time) AS time, session_id, is_noise, actor,
                device_family AS device{", coalesce(screen, event_type) AS screen" if screens else ""}
            FROM {source} WHERE session_key IS NOT NULL {people}
            ORDER BY session_key, {SESSION_ORDER}
            """
        ).to_arrow_table()
        rows = found.combine_chunks()
        keys, _ = _encoded(rows["session_key"])
        first = np.flatnonzero(np.diff(keys, prepend=-1))
        lengths = np.diff(first, append=len(keys))
        opening = rows.select(["session_key", "session_id", "actor", "device"]).take(pa.array(first))
        opening = opening.append_column("start", pa.array(rows["time"].to_numpy()[first]))
        by_start = [(column, "ascending") for column in ("start", "actor", "session_id", "session_key")]
        order = pc.sort_indices(opening, sort_keys=by_start).to_numpy().astype(np.int64)
        kept = ["uuid", "event_type", "time", "is_noise", *(["screen"] if screens else [])]
        return cls(rows.select(kept), opening.take(pa.array(order)), first[order], lengths[order], bool(has_noise))

    def sequences(self, stream: Stream = "raw", *, keep_runs: bool = False) -> Sequences:
        """Sessions that have an event in a stream.

        Parameters
        ----------
        stream : {"intent", "raw", "screen"}
            ``raw``: every event. ``intent``: without noise, runs of one event as its first one. ``screen``: screens of
            the same, runs as the first one. Where no event of the files is noise, nothing is taken out: ``intent`` is
            ``raw`` and ``screen`` keeps its runs.
        keep_runs : bool
            Whether runs of one event stay as long as they are.
        """
        import pyarrow as pa

        reduced = stream != "raw" and self.has_noise
        times = self.rows["time"].to_numpy()
        session = np.repeat(np.arange(len(self.first)), self.lengths)
        events = np.repeat(self.first - (np.cumsum(self.lengths) - self.lengths), self.lengths)
        events += np.arange(len(events))
        if reduced:
            meant = ~self.rows["is_noise"].to_numpy()[events]
            session, events = session[meant], events[meant]
        names = self.rows["screen" if stream == "screen" else "event_type"]
        codes, vocabulary = _encoded(names.take(pa.array(events)))
        opens = np.diff(session, prepend=-1) != 0
        repeats = (np.diff(codes, prepend=-1) == 0) & ~opens
        if reduced and not keep_runs:
            session, events, codes, opens = session[~repeats], events[~repeats], codes[~repeats], opens[~repeats]
            repeats = np.zeros(len(codes), dtype=bool)
        present = session[opens]
        opening = self.opening.take(pa.array(present))
        actors, actor_names = _encoded(opening["actor"].fill_null(""))
        devices, device_names = _encoded(opening["device"].fill_null(""))
        return Sequences(
            codes=codes,
            offsets=np.append(np.flatnonzero(opens), len(codes)).astype(np.int64),
            vocabulary=vocabulary,
            repeats=repeats,
            times=times[events],
            starts=times[self.first[present]],
            ends=times[self.first[present] + self.lengths[present] - 1],
            actors=actors,
            devices=devices,
            actor_names=actor_names,
            device_names=device_names,
            uuids=_whole(self.rows["uuid"].take(pa.array(events))),
            session_keys=_whole(opening["session_key"]),
        )


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks()


def _encoded(column: pa.ChunkedArray) -> tuple[NDArray[np.int32], list[str]]:
    """Codes into the ascending list of the column's values."""
    found = _whole(column).dictionary_encode()
    values = found.dictionary.to_pylist()
    ordered = sorted(values)
    place = {value: code for code, value in enumerate(ordered)}
    translate = np.array([place[value] for value in values], dtype=np.int32)
    return translate[found.indices.to_numpy()] if len(values) else np.empty(0, dtype=np.int32), ordered
