"""Missing places, filled in from what the same city, market area, actor or device says elsewhere; and how often right.

Put here: imputation of country, region and city, and its measurement by masking known values. Keep out: spelling
(``places.py``).

A value is filled in by the first method that has an answer, and carries the method's name and its confidence: the share
of the known events that the method looks at which have this value. Methods, in order:

========================  ==========================================================================================
observed                  delivered; confidence 1
region, city, dma         country: the text occurs in one country only
city, dma                 region: at least `AGREEMENT` of the country's events with this city (market area) agree
dma                       city: at least `AGREEMENT` of the region's events with this market area agree
actor_history             most frequent value of the actor in the country (region), unless the actor is a sentinel
device_history            the same of the device
distribution              most frequent value among the events of the same city, else of the same market area, else of
                          the country (for a region); of the region and market area, else of the region (for a city);
                          of all events, if at least `COUNTRY_SHARE` agree (for a country)
========================  ==========================================================================================

A region is only taken from events of the row's country, and from regions in which the row's city and market area occur,
where they are known; a city only from events of its country and region. Ties go to the smallest text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, get_args

import duckdb
import pyarrow as pa

from analytics_assets.core.expressions import IS_SENTINEL
from analytics_assets.core.features.places import Place, city_forms, fold, region_name, standardize

AGREEMENT = 0.8
"""Below this share a name says too little: there are Springfields in many states, and market areas across borders."""

COUNTRY_SHARE = 0.95
"""A country is guessed from all events only for a product of practically one country."""

MASKED_SHARE = 0.2
"""Known values masked in a measurement: enough to count, few enough to leave the distributions as they are."""

MEASURED_PLACES = 50_000
"""Combinations that a measurement looks at, about: it imputes them once per protocol and level. More are sampled."""

Protocol = Literal["session", "actor"]

LEVELS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "region": ("region", ("region",), ("country", "city")),
    "region_without_city": ("region", ("region", "city"), ("country",)),
    "region_without_city_and_dma": ("region", ("region", "city", "dma"), ("country",)),
    "city": ("city", ("city",), ("country", "region")),
    "city_without_dma": ("city", ("city", "dma"), ("country", "region")),
    "country": ("country", ("country", "region", "city", "dma"), ()),
}
"""What is measured: the value asked for, the columns that are masked, and those that must be known."""

_DELIVERED = ("country", "region", "city", "dma")


def build_places(engine: duckdb.DuckDBPyConnection, events: str) -> str:
    """Make the temp table ``places``: standard and imputed places of all combinations of delivered texts.

    Parameters
    ----------
    engine : duckdb.DuckDBPyConnection
        Open connection.
    events : str
        Relation with one row per event and the columns ``actor``, ``device_id``, ``country``, ``region``, ``city`` and
        ``dma``, null tokens as nulls.

    Returns
    -------
    str
        Name of the table. One row per combination: ``actor``, ``device_id``, ``delivered_country``,
        ``delivered_region``, ``delivered_city``, ``delivered_dma``, ``events``, and the place columns of
        ``CLEAN_EVENTS``.
    """
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE place_rows AS
        SELECT actor, device_id, country AS delivered_country, region AS delivered_region, city AS delivered_city,
            dma AS delivered_dma, count(*) AS events
        FROM {events} GROUP BY ALL
        """
    )
    _standardize(engine)
    _impute(engine)
    engine.execute(
        """
        CREATE OR REPLACE TEMP TABLE places AS
        SELECT actor, device_id, delivered_country, delivered_region, delivered_city, delivered_dma, events,
            country, country_code, country_method, country_confidence,
            region, region_code, region_method, region_confidence, city, city_method, city_confidence
        FROM place_rows ORDER BY ALL
        """
    )
    engine.execute("DROP TABLE place_rows; DROP TABLE guessed_countries")
    return "places"


_NAMES = pa.schema(
    [
        *((f"delivered_{name}", pa.string()) for name in _DELIVERED),
        ("guessed_country", pa.string()),
        *((name, pa.string()) for name in Place.__dataclass_fields__),
        ("region_key", pa.string()),
        ("city_key", pa.string()),
        ("dma_key", pa.string()),
        ("dma_region", pa.string()),
    ]
)

_NAME_KEY = (*(f"delivered_{name}" for name in _DELIVERED), "guessed_country")


def _key(text: str | None) -> str | None:
    return None if text is None else fold(text) or text


def _name_rows(delivered: Iterable[tuple[str | None, ...]]) -> pa.Table:
    """Standard names of combinations of (country, region, city, dma, guessed country)."""
    rows = []
    for country, region, city, dma, guess in delivered:
        place = standardize(guess or country, region, city, dma)
        rows.append(
            {f"delivered_{name}": text for name, text in zip(_DELIVERED, (country, region, city, dma), strict=True)}
            | {"guessed_country": guess}
            | vars(place)
            | {
                # Before the country is known a region has no standard name: its text has to do.
                "region_key": _key(region),
                "city_key": _key(place.city),
                "dma_key": _key(place.dma),
                "dma_region": region_name(place.dma_region_code) if place.dma_region_code else None,
            }
        )
    return pa.Table.from_pylist(rows, schema=_NAMES)


def _standardize(engine: duckdb.DuckDBPyConnection) -> None:
    """Add standard names and the country, given or imputed, to ``place_rows``."""
    _join_names(engine, "SELECT *, NULL::VARCHAR AS guessed_country FROM place_rows")
    _impute_countries(engine)
    _join_names(
        engine,
        f"""
        SELECT r.* EXCLUDE (id, guessed_country, {", ".join(n for n in _NAMES.names if n not in _NAME_KEY)}),
            g.country AS guessed_country, g.method AS guessed_method, g.confidence AS guessed_confidence
        FROM place_rows r LEFT JOIN guessed_countries g ON r.country IS NULL AND r.id = g.id
        """,
    )
    forms = city_forms(
        engine.execute(
            """
            SELECT country, region, city, sum(events)::BIGINT FROM place_rows WHERE city IS NOT NULL GROUP BY ALL
            UNION ALL
            SELECT DISTINCT country, dma_region, dma_city, 0 FROM place_rows
            WHERE dma_city IS NOT NULL AND dma_region IS NOT NULL
            """
        ).fetchall()
    )
    columns = zip(*((*place, form) for place, form in forms.items()), strict=True) if forms else ((), (), (), ())
    table = pa.table(
        [pa.array(list(column), pa.string()) for column in columns], names=["country", "region", "city", "form"]
    )
    engine.register("city_forms", table)
    engine.execute(
        """
        CREATE OR REPLACE TEMP TABLE place_rows AS
        SELECT r.* EXCLUDE (city, dma_city, guessed_country, guessed_method, guessed_confidence),
            c.form AS city, d.form AS dma_city,
            CASE WHEN r.country IS NOT NULL THEN coalesce(guessed_method, 'observed') END AS country_method,
            CASE WHEN r.country IS NOT NULL THEN coalesce(guessed_confidence, 1.0) END AS country_confidence
        FROM place_rows r
            LEFT JOIN city_forms c
                ON r.city = c.city AND r.country IS NOT DISTINCT FROM c.country
                AND r.region IS NOT DISTINCT FROM c.region
            LEFT JOIN city_forms d
                ON r.dma_city = d.city AND r.country IS NOT DISTINCT FROM d.country AND r.dma_region = d.region
        """
    )
    engine.unregister("city_forms")


def _join_names(engine: duckdb.DuckDBPyConnection, rows: str) -> None:
    """Replace ``place_rows`` by `rows` with an ``id`` and the columns of `_name_rows`."""
    names = _name_rows(engine.execute(f"SELECT DISTINCT {', '.join(_NAME_KEY)} FROM ({rows})").fetchall())
    engine.register("place_names", names)
    same = " AND ".join(f"r.{name} IS NOT DISTINCT FROM n.{name}" for name in _NAME_KEY)
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE place_rows AS
        SELECT row_number() OVER () AS id, r.*, n.* EXCLUDE ({", ".join(_NAME_KEY)})
        FROM ({rows}) r JOIN place_names n ON {same}
        """
    )
    engine.unregister("place_names")


def _top(known: str, by: str, value: str) -> str:
    """The most frequent value of every group, its events and its share of them."""
    return f"""
        SELECT {by}, {value} AS value, n, n / sum(n) OVER (PARTITION BY {by}) AS confidence
        FROM (SELECT {by}, {value}, sum(events)::BIGINT AS n FROM {known} GROUP BY ALL)
        QUALIFY row_number() OVER (PARTITION BY {by} ORDER BY n DESC, {value}) = 1
    """


def _impute_countries(engine: duckdb.DuckDBPyConnection) -> None:
    """Table ``guessed_countries`` (id, country, method, confidence) of the rows without a country."""
    unique = []
    for rank, (method, key) in enumerate((("region", "region_key"), ("city", "city_key"), ("dma", "dma_key")), start=1):
        unique.append(
            f"""
            SELECT id, {rank} AS rank, '{method}' AS method, value, 1.0 AS confidence
            FROM missing JOIN (
                SELECT {key}, min(country) AS value FROM known WHERE {key} IS NOT NULL
                GROUP BY {key} HAVING count(DISTINCT country) = 1
            ) USING ({key})
            """
        )
    histories = []
    for rank, (method, who, condition) in enumerate(
        (("actor_history", "actor", f"NOT {IS_SENTINEL}"), ("device_history", "device_id", "device_id IS NOT NULL")),
        start=4,
    ):
        # A region or city that is known in some countries rules out all others.
        histories.append(
            f"""
            SELECT id, {rank} AS rank, '{method}' AS method, value, n / sum(n) OVER (PARTITION BY id) AS confidence
            FROM missing JOIN (
                SELECT {who}, country AS value, sum(events)::BIGINT AS n FROM known WHERE {condition} GROUP BY ALL
            ) USING ({who})
            WHERE (region_key IS NULL OR region_key NOT IN (SELECT region_key FROM known WHERE region_key IS NOT NULL)
                    OR EXISTS (FROM known k WHERE k.region_key = missing.region_key AND k.country = value))
                AND (city_key IS NULL OR city_key NOT IN (SELECT city_key FROM known WHERE city_key IS NOT NULL)
                    OR EXISTS (FROM known k WHERE k.city_key = missing.city_key AND k.country = value))
            QUALIFY row_number() OVER (PARTITION BY id ORDER BY n DESC, value) = 1
            """
        )
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE guessed_countries AS
        WITH known AS (FROM place_rows WHERE country IS NOT NULL),
        missing AS (FROM place_rows WHERE country IS NULL),
        everything AS ({_top("(SELECT 1 AS one, country, events FROM known)", "one", "country")}),
        answers AS (
            {" UNION ALL ".join([*unique, *histories])}
            UNION ALL
            SELECT id, 6, 'distribution', value, confidence FROM missing, everything
            WHERE confidence >= {COUNTRY_SHARE} AND region_key IS NULL AND city_key IS NULL
        )
        SELECT id, value AS country, method, confidence FROM answers
        QUALIFY row_number() OVER (PARTITION BY id ORDER BY rank) = 1
        """
    )


def _impute(engine: duckdb.DuckDBPyConnection) -> None:
    """Fill in regions, then cities of ``place_rows``, with methods and confidences."""
    _fill(
        engine,
        "region",
        within="country",
        contexts=(("city", "city_key"), ("dma", "dma_key")),
        # Only the United States have market areas.
        named="country_code = 'USA' AND dma_region IS NOT NULL",
        known="true",
    )
    _fill(
        engine,
        "city",
        within="concat(country, chr(31), region)",
        contexts=(("dma", "dma_key"),),
        named="country_code = 'USA' AND dma_city IS NOT NULL AND dma_region = region",
        # A city whose region is a guess says nothing about that region.
        known="coalesce(region_method, 'observed') = 'observed'",
    )
    engine.execute(
        """
        CREATE OR REPLACE TEMP TABLE place_rows AS
        WITH codes AS (
            SELECT DISTINCT country, region, region_code AS code FROM place_rows WHERE region_code IS NOT NULL
        )
        SELECT r.* EXCLUDE (region_code),
            coalesce(
                region_code, code, CASE WHEN region_method = 'dma' AND r.region = dma_region THEN dma_region_code END
            ) AS region_code
        FROM place_rows r LEFT JOIN codes c ON r.country = c.country AND r.region = c.region
        """
    )


def _fill(
    engine: duckdb.DuckDBPyConnection,
    target: str,
    *,
    within: str,
    contexts: tuple[tuple[str, str], ...],
    named: str,
    known: str,
) -> None:
    """Fill in one column of ``place_rows`` and add its method and confidence.

    Parameters
    ----------
    engine : duckdb.DuckDBPyConnection
        Open connection.
    target : str
        ``region`` or ``city``.
    within : str
        Expression of the area that the answer must lie in.
    contexts : tuple of (method, column)
        What else a row says about its place. Their answers, where there are any, limit those of later methods. The last
        one is the market area, which also names a place itself: that counts where its names have proved right.
    named : str
        Rows for which the market area's own name is an answer.
    known : str
        Rows with a value that may be learnt from.
    """
    last = len(contexts)
    methods = (*contexts, ("actor_history", "actor"), ("device_history", "device_id"))
    sentinel = {"actor": f"NOT {IS_SENTINEL}"}
    found = " UNION ALL ".join(
        f"""
        SELECT id, {rank} AS rank, value, n FROM missing JOIN (
            SELECT within, {key}, value, sum(events)::BIGINT AS n FROM known
            WHERE {sentinel.get(key, f"{key} IS NOT NULL")} GROUP BY ALL
        ) USING (within, {key})
        """
        for rank, (_, key) in enumerate(methods, start=1)
    )
    limits = {rank: f"options_{rank} IS NULL OR list_contains(options_{rank}, value)" for rank in range(1, last + 1)}
    names = " ".join(f"WHEN {rank} THEN '{method}'" for rank, (method, _) in enumerate(methods, start=1))
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE place_rows AS
        WITH known AS (
            SELECT *, {within} AS within, {target} AS value FROM place_rows
            WHERE country IS NOT NULL AND {target} IS NOT NULL AND {known}
        ),
        missing AS (
            SELECT *, {within} AS within FROM place_rows WHERE country IS NOT NULL AND {target} IS NULL
        ),
        found AS ({found}),
        options AS (
            SELECT id, {", ".join(f"list(value) FILTER (rank = {rank}) AS options_{rank}" for rank in limits)}
            FROM found GROUP BY id
        ),
        best AS (
            SELECT id, rank, value, n / sum(n) OVER (PARTITION BY id, rank) AS confidence
            FROM found JOIN options USING (id)
            WHERE {" AND ".join(f"(rank <= {rank} OR {limit})" for rank, limit in limits.items())}
            QUALIFY row_number() OVER (PARTITION BY id, rank ORDER BY n DESC, value) = 1
        ),
        proof AS (
            SELECT sum(events) FILTER (value = dma_{target}) / sum(events) AS confidence FROM known WHERE {named}
        ),
        overall AS ({_top("known", "within", "value")}),
        answers AS (
            FROM best WHERE rank > {last} OR confidence >= {AGREEMENT}
            UNION ALL
            SELECT id, {last}, value, confidence
            FROM (SELECT *, dma_{target} AS value FROM missing) LEFT JOIN options USING (id), proof
            WHERE {named} AND confidence >= {AGREEMENT} AND options_{last} IS NULL
                AND {" AND ".join(f"({limit})" for limit in limits.values())}
            UNION ALL
            SELECT id, {len(methods)} + rank, value, confidence FROM best WHERE rank <= {last}
            UNION ALL
            SELECT id, 99, o.value, confidence FROM missing JOIN overall o USING (within)
        ),
        chosen AS (FROM answers QUALIFY row_number() OVER (PARTITION BY id ORDER BY rank) = 1)
        SELECT r.* EXCLUDE ({target}), coalesce({target}, value) AS {target},
            CASE WHEN {target} IS NOT NULL THEN 'observed' WHEN value IS NOT NULL
                THEN CASE rank {names} ELSE 'distribution' END END AS {target}_method,
            CASE WHEN {target} IS NOT NULL THEN 1.0 ELSE confidence END AS {target}_confidence
        FROM place_rows r LEFT JOIN chosen USING (id)
        """
    )


def imputation_accuracy(
    engine: duckdb.DuckDBPyConnection, events: str, share: float = MASKED_SHARE, seed: int = 0
) -> list[dict[str, Any]]:
    """Mask known values, impute them and count how many come back right.

    Parameters
    ----------
    engine : duckdb.DuckDBPyConnection
        Open connection.
    events : str
        Relation as for `build_places`, with ``session_key`` besides.
    share : float
        Share of the sessions (of the actors) that are masked.
    seed : int
        Chooses which: a hash of the seed and the session's (actor's) name decides, so equal input masks the same.
        Events without actor and device are nobody's, so that the protocol ``actor`` leaves them as they are.
        Of more than `MEASURED_PLACES` combinations another hash chooses the actors that are looked at.

    Returns
    -------
    list of dict
        One for each ``level`` (see `LEVELS`), ``protocol`` and ``method``. Protocol ``session`` masks whole sessions,
        so that other sessions of the actor may help; ``actor`` masks all that an actor says and hides who it is, as for
        somebody new. Method ``all`` is the whole chain; ``mode`` is the reference that always answers the most frequent
        known value, ``country_mode`` the one that answers the country's. ``masked``, ``covered`` (answered) and
        ``correct`` count events; ``accuracy`` = correct / covered and ``coverage`` = covered / masked, None for nothing
        to divide by; ``confidence`` is the mean over covered events. ``masked_places``, ``covered_places`` and
        ``correct_places`` count each combination of actor, device and place once.
    """
    results: list[dict[str, Any]] = []
    for protocol in get_args(Protocol):
        _mask(engine, events, protocol, share, seed)
        for level in LEVELS:
            results += _measure(engine, protocol, level)
    engine.execute("DROP TABLE IF EXISTS place_rows; DROP TABLE IF EXISTS guessed_countries; DROP TABLE place_truth")
    return results


def _mask(engine: duckdb.DuckDBPyConnection, events: str, protocol: Protocol, share: float, seed: int) -> None:
    """Table ``place_truth``: standard names of what is known, and which rows are to be masked."""
    unit = "coalesce(actor, device_id)" if protocol == "actor" else "concat_ws(chr(31), actor, session_key)"
    who = "CASE WHEN NOT masked THEN {0} END AS {0}" if protocol == "actor" else "{0}"
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE place_rows AS
        SELECT actor, device_id, country AS delivered_country, region AS delivered_region, city AS delivered_city,
            dma AS delivered_dma, coalesce(md5_number_lower('{int(seed)}' || chr(31) || {unit}) % 1000000
                < {round(share * 1_000_000)}, false) AS masked, count(*) AS events
        FROM {events} GROUP BY ALL
        """
    )
    # Whole actors, or their histories would be cut; by another hash than that of the mask.
    [(places,)] = engine.execute("SELECT count(*) FROM place_rows").fetchall()
    engine.execute(
        f"""
        DELETE FROM place_rows
        WHERE md5_number_upper(concat({int(seed)}, chr(31), coalesce(actor, device_id))) % 1000000
            >= {1_000_000 * MEASURED_PLACES // max(places, MEASURED_PLACES)}
        """
    )
    _standardize(engine)
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE place_truth AS
        SELECT id AS truth, {who.format("actor")}, {who.format("device_id")}, masked, events,
            CASE WHEN country_method = 'observed' THEN country END AS country, region, city, dma
        FROM place_rows
        """
    )


def _measure(engine: duckdb.DuckDBPyConnection, protocol: Protocol, level: str) -> list[dict[str, Any]]:
    """Figures of one level from ``place_truth``."""
    target, hidden, given = LEVELS[level]
    masked = " AND ".join(["masked", *(f"{name} IS NOT NULL" for name in (target, *given))])
    shown = ", ".join(
        f"CASE WHEN NOT ({masked}) THEN {name} END AS delivered_{name}"
        if name in hidden
        else f"{name} AS delivered_{name}"
        for name in _DELIVERED
    )
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE place_rows AS
        SELECT truth, actor, device_id, {shown}, {masked} AS asked, events FROM place_truth
        """
    )
    _standardize(engine)
    _impute(engine)
    references = {"mode": "1"} | ({"country_mode": "country"} if target != "country" else {})
    answers = [
        f"SELECT truth, {target}_method AS method, {target} AS answer, {target}_confidence AS confidence FROM asked"
    ]
    answers.append(f"SELECT truth, 'all', {target}, {target}_confidence FROM asked")
    for method, group in references.items():
        answers.append(
            f"""
            SELECT truth, '{method}', value, t.confidence
            FROM (SELECT truth, {group} AS grouped FROM asked) a
            LEFT JOIN ({_top(f"(SELECT *, {group} AS grouped FROM plain)", "grouped", target)}) t USING (grouped)
            """
        )
    cursor = engine.execute(
        f"""
        WITH asked AS (FROM place_rows WHERE asked),
        plain AS (FROM place_rows WHERE NOT asked AND {target}_method = 'observed'),
        total AS (
            SELECT coalesce(sum(events), 0)::BIGINT AS masked, count(*) AS masked_places FROM asked
        ),
        answers AS ({" UNION ALL ".join(answers)}),
        judged AS (
            SELECT method, events, confidence, answer IS NOT NULL AS covered,
                coalesce(answer = t.{target}, false) AS correct
            FROM answers JOIN place_truth t USING (truth) WHERE method IS NOT NULL
        ),
        counted AS (
            SELECT method,
                coalesce(sum(events) FILTER (covered), 0)::BIGINT AS covered,
                coalesce(sum(events) FILTER (correct), 0)::BIGINT AS correct,
                sum(confidence * events ORDER BY confidence, events) FILTER (covered) AS weight,
                count(*) FILTER (covered) AS covered_places, count(*) FILTER (correct) AS correct_places
            FROM judged GROUP BY method
        )
        SELECT '{level}' AS level, '{protocol}' AS protocol, method, masked, covered, correct,
            correct / nullif(covered, 0) AS accuracy, covered / nullif(masked, 0) AS coverage,
            weight / nullif(covered, 0) AS confidence, masked_places, covered_places, correct_places
        FROM counted, total ORDER BY method
        """
    )
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
