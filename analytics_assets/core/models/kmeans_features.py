"""Actors as numbers: how much they do, how varied it is, when, and what.

Put here: loading and describing behaviour. Keep out: scaling and clustering (``kmeans.py``).

Only what people do is described: events that the user interface makes by itself (two thirds of a usual log) say more
about pages than about people. A log whose events carry no noise is described by all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analytics_assets.core.expressions import literal
from analytics_assets.core.features.engine import parquet
from analytics_assets.core.features.tables import user_features
from analytics_assets.core.models.sequences import OTHER
from analytics_assets.schemas import PEOPLE_CLASSES

if TYPE_CHECKING:
    import duckdb

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

UNITS = {
    "events_per_active_day": "events per day",
    "sessions_per_active_day": "sessions per day",
    "events_per_session": "events",
    "mean_session_seconds": "s",
    "median_session_seconds": "s",
    "active_day_share": "share",
    "breadth": "event types",
    "event_entropy": "bits",
    "weekend_share": "share",
    "hour_sin": "",
    "hour_cos": "",
}
"""Measures and their units. All but ``breadth`` are those of ``USER_FEATURES`` over the events that people make."""

MEASURES = tuple(UNITS)
LOG_MEASURES = MEASURES[:5]
"""Heavy-tailed, non-negative measures, taken as log(1 + x)."""

BREADTH_EVENTS = 20
"""``breadth`` is the expected number of event types among so many of an actor's events: a plain count of types would
grow with the number of events and say little else."""

MIX_EVENTS = 60
"""Event types whose shares describe an actor, the others are one: 60 types hold 99.6 % of what people do in a large
log."""


@dataclass(frozen=True)
class Behaviour:
    """Actors as numbers.

    Parameters
    ----------
    actors : list of str
        Row names.
    classes : list of str
        ``ACTOR_CLASSES`` of each.
    measures : float64 array, shape (actors, len(MEASURES))
        In published units.
    counts : int64 array, shape (actors, len(event_names))
        Events of each type.
    event_names : list of str
        Most frequent type first, `OTHER` last.
    active_days : int64 array, shape (actors,)
        Dates with an event.
    countries, devices : list of str or None
        Most frequent country and device family: for description only.
    """

    actors: list[str]
    classes: list[str]
    measures: Floats
    counts: Ints
    event_names: list[str]
    active_days: Ints
    countries: list[str | None]
    devices: list[str | None]

    @property
    def events(self) -> Ints:
        """Events of each actor, shape (actors,)."""
        totals: Ints = self.counts.sum(axis=1)
        return totals

    @property
    def people(self) -> Mask:
        """Whether each actor stands for a person, shape (actors,)."""
        return np.array([name in PEOPLE_CLASSES for name in self.classes], dtype=bool)

    def take(self, rows: Mask | Ints) -> Behaviour:
        """The given actors, in the given order; `rows` as places or as bool array of shape (actors,)."""
        chosen = np.flatnonzero(rows) if rows.dtype == bool else rows
        return Behaviour(
            actors=[self.actors[row] for row in chosen],
            classes=[self.classes[row] for row in chosen],
            measures=self.measures[chosen],
            counts=self.counts[chosen],
            event_names=self.event_names,
            active_days=self.active_days[chosen],
            countries=[self.countries[row] for row in chosen],
            devices=[self.devices[row] for row in chosen],
        )

    def shares(self, event_names: Sequence[str]) -> Floats:
        """Share of each of the given event types (`OTHER` last, which takes all that are not named) in each actor's
        events, shape (actors, len(event_names)); rows sum to 1, those of actors without events to 0.
        """
        place = {name: column for column, name in enumerate(event_names)}
        counted = np.zeros((len(self.actors), len(event_names)))
        for column, name in enumerate(self.event_names):
            counted[:, place.get(name, len(event_names) - 1)] += self.counts[:, column]
        return counted / np.maximum(counted.sum(axis=1, keepdims=True), 1)


def load_behaviour(
    engine: duckdb.DuckDBPyConnection,
    clean: Sequence[Path],
    session_files: Sequence[Path],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    actor: str | None = None,
) -> Behaviour:
    """Describe every actor over all given years, or over a part of them, or a single one.

    Parameters
    ----------
    engine : duckdb.DuckDBPyConnection
        See ``engine.open_engine``.
    clean, session_files : sequence of Path
        Files of ``clean_events`` and of ``sessions``.
    since, until : datetime, optional
        Naive UTC; only events from the one on and before the other count. Sessions keep their full length.
    actor : str, optional
        Only this one; the result has no row when there is no such actor.

    Returns
    -------
    Behaviour
        In ascending order of the actors; who made no event by himself has zeros.
    """
    source = parquet(clean)
    bounds = [("time >=", since), ("time <", until)]
    parts = [f"{side} TIMESTAMP '{bound.isoformat()}'" for side, bound in bounds if bound is not None]
    parts += [f"actor = {literal(actor)}"] if actor is not None else []
    source = f"(SELECT * FROM {source} WHERE {' AND '.join(parts) or 'true'})"
    acts = f"(SELECT * FROM {source} WHERE actor IS NOT NULL AND NOT is_noise)"
    measured = [name for name in MEASURES if name != "breadth"]
    rows = engine.sql(
        f"""
        WITH everybody AS (
            SELECT actor, arg_max(actor_class, (time, uuid)) AS class FROM {source}
            WHERE actor IS NOT NULL GROUP BY actor
        )
        SELECT everybody.actor AS actor, class, coalesce(active_days, 0)::BIGINT AS active_days, country, device_family,
            {", ".join(f"coalesce({name}, 0)::DOUBLE AS {name}" for name in measured)}
        FROM everybody LEFT JOIN ({user_features(acts, session_files)}) USING (actor) ORDER BY everybody.actor
        """
    ).to_arrow_table()
    counted = engine.sql(
        f"SELECT actor, event_type, count(*) AS n FROM {acts} GROUP BY ALL ORDER BY actor, event_type"
    ).to_arrow_table()
    actors = rows["actor"].to_pylist()
    row_of = {name: row for row, name in enumerate(actors)}
    row = np.array([row_of[name] for name in counted["actor"].to_pylist()], dtype=np.int64)
    n = counted["n"].to_numpy()
    types, kind = np.unique(np.array(counted["event_type"].to_pylist(), dtype=object), return_inverse=True)
    totals = np.bincount(kind, weights=n, minlength=len(types))
    frequent = np.lexsort((np.arange(len(types)), -totals))[:MIX_EVENTS]
    column = np.full(len(types), len(frequent), dtype=np.int64)
    column[frequent] = np.arange(len(frequent))
    counts = np.zeros((len(actors), len(frequent) + 1), dtype=np.int64)
    np.add.at(counts, (row, column[kind]), n)
    values = {name: rows[name].to_numpy() for name in measured}
    values["breadth"] = expected_types(row, n, len(actors))
    return Behaviour(
        actors=actors,
        classes=rows["class"].to_pylist(),
        measures=np.column_stack([values[name] for name in MEASURES]),
        counts=counts,
        event_names=[*(str(types[place]) for place in frequent), OTHER],
        active_days=rows["active_days"].to_numpy(),
        countries=rows["country"].to_pylist(),
        devices=rows["device_family"].to_pylist(),
    )


def middle_time(engine: duckdb.DuckDBPyConnection, clean: Sequence[Path]) -> datetime | None:
    """Time before which half of the events of people lie, naive UTC; None without any."""
    people = ", ".join(literal(name) for name in PEOPLE_CLASSES)
    ((middle,),) = engine.sql(
        f"SELECT quantile_disc(time, 0.5) FROM {parquet(clean)} WHERE actor_class IN ({people})"
    ).fetchall()
    return middle


def expected_types(actor: Ints, counts: Ints, actors: int, draws: int = BREADTH_EVENTS) -> Floats:
    """Expected number of types among `draws` events of each actor, drawn without putting back (rarefaction, Hurlbert
    1971); among all of them where there are fewer.

    Parameters
    ----------
    actor, counts : int64 array, shape (pairs,)
        Actor and number of events of each pair of actor and type.
    actors : int
        Number of actors.
    draws : int
        At least 1.

    Returns
    -------
    float64 array, shape (actors,)
    """
    from scipy.special import gammaln

    total = np.bincount(actor, weights=counts, minlength=actors)[actor]
    drawn = np.minimum(draws, total)
    others = total - counts
    # log of C(others, drawn) / C(total, drawn): the chance that the type is not drawn.
    missed = (
        gammaln(others + 1)
        - gammaln(np.maximum(others - drawn, 0) + 1)
        - gammaln(total + 1)
        + gammaln(total - drawn + 1)
    )
    seen = np.where(others < drawn, 1.0, -np.expm1(missed))
    return np.bincount(actor, weights=seen, minlength=actors).astype(np.float64)


def natural_hour(measures: Floats) -> float:
    """Direction of the mean of hour_sin and hour_cos over actors as an hour in [0, 24), UTC."""
    sine, cosine = (measures[:, MEASURES.index(name)].mean() for name in ("hour_sin", "hour_cos"))
    return float(np.arctan2(sine, cosine) * 24 / (2 * np.pi) % 24)
