"""What follows what inside sessions: transitions and runs of events, in three streams.

Put here: the sessions as sequences, and the tables that count their parts. Keep out: steps with a goal and a time limit
(``funnels.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analytics_assets.core.summaries.frames import Frames, by_population
from analytics_assets.schemas import POPULATIONS, STREAMS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

PLACES = 100
"""N-grams published per population, stream and length: what a person can look through."""

LENGTHS = (2, 3, 4, 5)
CODES = ("e1", "e2", "e3", "e4", "e5")

MICROSECONDS = "timestampdiff(MICROSECOND, TIMESTAMP_NTZ'1970-01-01 00:00:00', time)"
"""Time of an event as a number of microseconds, bigint."""

_STREAM_NAME = f"element_at(array({', '.join(repr(name) for name in STREAMS)}), stream + 1) AS stream"


def event_names(frames: Frames) -> DataFrame:
    """Names of events and screens inside sessions with a number each: comparing numbers is cheap.

    ``name`` and ``code`` (int from 1, ascending with the names, so that ties settled by codes are settled by names).
    """
    return frames.cached("event_names", lambda: _event_names(frames))


def _event_names(frames: Frames) -> DataFrame:
    pairs = frames.steps.select("event_type", "screen").distinct()
    names = pairs.selectExpr("explode(array(event_type, screen)) AS name").where("name IS NOT NULL").distinct()
    return names.selectExpr("name", "CAST(row_number() OVER (PARTITION BY 0 ORDER BY name) AS INT) AS code")


def journeys(frames: Frames) -> DataFrame:
    """One row per session and stream that has an event.

    ``session_key``, ``is_person`` and ``is_top`` of the session, ``stream`` (place in ``STREAMS`` from 0), ``codes`` of
    the stream's events in order (array of int) and their ``times`` (array of bigint, microseconds). A session's rows
    are in one partition, so what is grouped by session first needs no exchange.
    """
    return frames.cached("journeys", lambda: _journeys(frames))


def _journeys(frames: Frames) -> DataFrame:
    from pyspark.sql import functions as F

    names = event_names(frames)
    events, screens = names.toDF("event_type", "code"), names.toDF("screen", "screen_code")
    coded = frames.steps.join(F.broadcast(events), "event_type").join(F.broadcast(screens), "screen", "left")
    gathered = (
        coded.selectExpr(
            "session_key", "is_person", "is_top",
            f"struct(position, code, screen_code, {MICROSECONDS} AS us, in_intent, in_screen) AS step",
        )
        .groupBy("session_key")
        .agg(
            F.bool_and("is_person").alias("is_person"),
            F.bool_and("is_top").alias("is_top"),
            F.sort_array(F.collect_list("step")).alias("raw"),
        )
    )  # fmt: skip
    chosen = (
        "CASE stream WHEN 0 THEN raw WHEN 1 THEN filter(raw, step -> step.in_intent) "
        "ELSE filter(raw, step -> step.in_screen) END AS kept"
    )
    return (
        gathered.selectExpr("*", "explode(array(0, 1, 2)) AS stream")
        .selectExpr("session_key", "is_person", "is_top", "stream", chosen)
        .where("size(kept) > 0")
        .selectExpr(
            "session_key", "is_person", "is_top", "stream",
            "CASE WHEN stream = 2 THEN kept.screen_code ELSE kept.code END AS codes", "kept.us AS times",
        )
    )  # fmt: skip


def with_names(frames: Frames, coded: DataFrame, codes: dict[str, str]) -> DataFrame:
    """Add the name of each code: `codes` maps columns of codes to columns of names; code 0 is no event."""
    from pyspark.sql import functions as F

    names = event_names(frames).agg(F.expr("sort_array(collect_list(struct(code, name))).name AS names"))
    looked_up = (f"get(names, {code} - 1) AS {name}" for code, name in codes.items())
    return coded.crossJoin(F.broadcast(names)).selectExpr("*", *looked_up)


def event_transitions(frames: Frames) -> DataFrame:
    """Which event follows which, opens and closes sessions: see ``SPARK_EVENT_TRANSITIONS``.

    Events at equal times follow one another in the order of a session (event_id, then uuid), which is a convention;
    ``ties`` counts them.
    """
    from pyspark.sql import functions as F

    moves = journeys(frames).selectExpr(
        "session_key", "is_person", "is_top", "stream",
        "inline(concat(array(struct(0 AS from_code, codes[0] AS to_code, CAST(NULL AS BIGINT) AS gap)), "
        "transform(codes, (code, i) -> "
        "struct(code AS from_code, coalesce(get(codes, i + 1), 0) AS to_code, get(times, i + 1) - times[i] AS gap))))",
    )  # fmt: skip
    limit = frames.settings.events.burst_milliseconds * 1000
    session = ("session_key", "is_person", "is_top")
    pair = ("stream", "from_code", "to_code")
    in_session = moves.groupBy(*session, *pair).agg(
        F.count(F.lit(1)).alias("transitions"),
        F.expr("count_if(gap = 0)").alias("ties"),
        F.expr(f"count_if(gap = 0 OR gap < {limit!r}D)").alias("bursts"),
    )
    sums = [F.sum(name).alias(name) for name in ("transitions", "sessions", "ties", "bursts")]
    counted = in_session.selectExpr("*", "1L AS sessions").groupBy(*pair, "is_person", "is_top").agg(*sums)
    populated = by_population(counted).groupBy("population", *pair).agg(*sums)
    kinds = populated.join(_median_gaps(moves), ["population", *pair], "left").selectExpr(
        "*", "CASE WHEN from_code = 0 THEN 'entry' WHEN to_code = 0 THEN 'exit' ELSE 'transition' END AS kind"
    )
    # Every session of a stream has one entry and one exit, so both add up to its sessions.
    total = "sum(transitions) OVER (PARTITION BY population, stream, kind)"
    leaving = "sum(transitions) OVER (PARTITION BY population, stream, kind, nullif(from_code, 0))"
    arriving = "sum(transitions) OVER (PARTITION BY population, stream, kind, to_code)"
    shares = kinds.selectExpr(
        "*", f"{total} AS total", f"{leaving} AS leaving", f"{arriving} AS arriving", "kind = 'transition' AS is_move"
    )
    named = with_names(frames, shares, {"from_code": "from_event", "to_code": "to_event"})
    return named.selectExpr(
        "population", _STREAM_NAME, "kind", "from_event", "to_event", "transitions", "sessions",
        "CAST(transitions AS DOUBLE) / CASE WHEN is_move THEN leaving ELSE total END AS probability",
        "CASE WHEN is_move THEN CAST(transitions AS DOUBLE) / leaving / (CAST(arriving AS DOUBLE) / total) END AS lift",
        "median_seconds",
        "CASE WHEN is_move THEN ties END AS ties",
        "CASE WHEN is_move THEN bursts END AS bursts",
    )  # fmt: skip


def _median_gaps(moves: DataFrame) -> DataFrame:
    """Exact median of the gaps of each transition, by population.

    One sort serves the three populations: each counts its own rows along the ascending gaps, and the median is the mean
    of its two middle ones.
    """
    from pyspark.sql import functions as F

    pair = "stream, from_code, to_code"
    member = {"all": "true", "people": "is_person", "without_top_actor": "NOT is_top"}
    ranked = moves.where("gap IS NOT NULL").selectExpr(
        "stream", "from_code", "to_code", "gap", *(f"{test} AS in_{name}" for name, test in member.items()),
        *(
            f"count_if({test}) OVER (PARTITION BY {pair} ORDER BY gap ROWS UNBOUNDED PRECEDING) AS rank_{name}"
            for name, test in member.items()
        ),
        *(f"count_if({test}) OVER (PARTITION BY {pair}) AS size_{name}" for name, test in member.items()),
    )  # fmt: skip
    middle = (
        f"CASE WHEN in_{name} AND rank_{name} IN ((size_{name} + 1) DIV 2, size_{name} DIV 2 + 1) "
        f"THEN struct('{name}' AS population, "
        f"IF(size_{name} % 2 = 1, 2, 1) * gap AS half) END"
        for name in POPULATIONS
    )
    middles = ranked.selectExpr(
        "stream", "from_code", "to_code", f"inline(filter(array({', '.join(middle)}), found -> found IS NOT NULL))"
    )
    return middles.groupBy("population", "stream", "from_code", "to_code").agg(
        F.expr("CAST(sum(half) AS DOUBLE) / 2e6D AS median_seconds")
    )


def _runs(frames: Frames) -> DataFrame:
    """Every run of 2 to 5 successive events with its session; codes after its length are 0."""
    following = ", ".join(f"coalesce(get(codes, i + {n}), 0) AS e{n + 1}" for n in range(1, max(LENGTHS)))
    windows = journeys(frames).selectExpr(
        "session_key", "is_person", "is_top", "stream",
        f"inline(transform(codes, (code, i) -> struct(code AS e1, {following})))",
    )  # fmt: skip
    lengths = ", ".join(
        f"{length}, " + ", ".join(code if place < length else "0" for place, code in enumerate(CODES))
        for length in LENGTHS
    )
    return windows.selectExpr(
        "session_key", "is_person", "is_top", "stream", "array(e1, e2, e3, e4, e5) AS window",
        f"stack({len(LENGTHS)}, {lengths}) AS (length, {', '.join(CODES)})",
    ).where("window[length - 1] > 0").drop("window")  # fmt: skip


def event_ngrams(frames: Frames) -> DataFrame:
    """The most frequent runs of successive events: see ``SPARK_EVENT_NGRAMS``."""
    from pyspark.sql import functions as F

    run = ("stream", "length", *CODES)
    top = frames.cached("top_ngrams", lambda: _top_runs(frames))
    wanted = F.broadcast(top.select(*run).distinct())
    # Distinct sessions only of the runs that are published: grouping all runs by session would cost more than the rest.
    in_session = _runs(frames).join(wanted, list(run)).select("session_key", "is_person", "is_top", *run).distinct()
    counted = in_session.groupBy(*run, "is_person", "is_top").agg(F.count(F.lit(1)).alias("sessions"))
    sessions = by_population(counted).groupBy("population", *run).agg(F.sum("sessions").alias("sessions"))
    found = top.join(sessions, ["population", *run])
    named = with_names(frames, found, {code: f"event_{place}" for place, code in enumerate(CODES, 1)})
    return named.selectExpr(
        "population", _STREAM_NAME, "CAST(length AS BIGINT) AS length", "place",
        *(f"event_{place}" for place in range(1, len(CODES) + 1)),
        "occurrences", "sessions", "CAST(occurrences AS DOUBLE) / total AS occurrence_share",
    )  # fmt: skip


def _top_runs(frames: Frames) -> DataFrame:
    """The most frequent runs per population, stream and length, with the ``total`` of occurrences of all runs there.

    Only runs at least as frequent as the last published place are ranked: most runs happen once, and sorting all of
    them would take longer than counting them.
    """
    from pyspark.sql import functions as F

    run = ("stream", "length", *CODES)
    counts = frames.cached(
        "ngrams",
        lambda: (
            _runs(frames)
            .groupBy(*run)
            .agg(
                F.count(F.lit(1)).alias("all"),
                F.count_if("is_person").alias("people"),
                F.expr("count_if(NOT is_top)").alias("without_top_actor"),
            )
        ),
    )
    pairs = ", ".join(f"'{name}', {name}" for name in POPULATIONS)
    group = ("population", "stream", "length")
    spread = counts.selectExpr(*run, f"stack({len(POPULATIONS)}, {pairs}) AS (population, occurrences)").where(
        "occurrences > 0"
    )
    levels = spread.groupBy(*group, "occurrences").agg(F.count(F.lit(1)).alias("runs"))
    partition = f"PARTITION BY {', '.join(group)}"
    needed = levels.selectExpr(
        *group, "occurrences", f"sum(runs * occurrences) OVER ({partition}) AS total",
        f"coalesce(sum(runs) OVER ({partition} ORDER BY occurrences DESC "
        "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS above",
    ).where(f"above < {PLACES}")  # fmt: skip
    order = f"{partition} ORDER BY occurrences DESC, {', '.join(CODES)}"
    ranked = spread.join(F.broadcast(needed), [*group, "occurrences"]).selectExpr(
        "*", f"CAST(row_number() OVER ({order}) AS BIGINT) AS place"
    )
    return ranked.where(f"place <= {PLACES}").drop("above")
