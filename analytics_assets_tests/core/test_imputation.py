"""Imputed places against a plain Python implementation of the written rules, and their measured accuracy.

Put here: methods, confidences, consistency, masking. Keep out: spelling (``test_places``).
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from analytics_assets.core.features import imputation
from analytics_assets.core.features.imputation import (
    AGREEMENT,
    COUNTRY_SHARE,
    LEVELS,
    build_places,
    imputation_accuracy,
)
from analytics_assets.core.features.places import Place, city_forms, fold, region_name, standardize
from analytics_assets.sample.generator import SampleConfig, write_sample
from analytics_assets.schemas import CLEAN_EVENTS, SENTINEL_IDS
from analytics_assets_tests.conftest import REAL_SAMPLES
from analytics_assets_tests.core.event_data import TOKENS

KEY = ("actor", "device_id", "country", "region", "city", "dma")
COLUMNS = tuple(
    name
    for name in CLEAN_EVENTS.column_names
    if name.split("_")[0] in ("country", "region", "city")
)  # fmt: skip


@dataclass(frozen=True)
class Event:
    """What an event says about its place."""

    actor: str | None = None
    device_id: str | None = None
    country: str | None = None
    region: str | None = None
    city: str | None = None
    dma: str | None = None
    session_key: str | None = None


@pytest.fixture
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:", config={"threads": 2}) as connection:
        yield connection


def load(engine: duckdb.DuckDBPyConnection, events: Iterable[Event]) -> str:
    names = Event.__dataclass_fields__
    table = pa.Table.from_pylist([vars(e) for e in events], schema=pa.schema([(n, pa.string()) for n in names]))
    engine.register("given_events", table)
    engine.execute("CREATE OR REPLACE TEMP TABLE events AS FROM given_events")
    engine.unregister("given_events")
    return "(SELECT * FROM events)"


def build(engine: duckdb.DuckDBPyConnection, events: Iterable[Event]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Rows of ``places`` by what was delivered."""
    name = build_places(engine, load(engine, events))
    cursor = engine.execute(f"FROM {name}")
    names = [column[0] for column in cursor.description]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    found = {tuple(row[k if k in ("actor", "device_id") else f"delivered_{k}"] for k in KEY): row for row in rows}
    assert len(found) == len(rows)
    return found


# --- The written rules, one event at a time --------------------------------------------------------------------------


@dataclass
class Row:
    event: Event
    place: Place
    out: dict[str, Any]


def key(text: str | None) -> str | None:
    return None if text is None else fold(text) or text


def best(values: Iterable[str]) -> tuple[str, float] | None:
    counts = Counter(values)
    if not counts:
        return None
    value = min(counts, key=lambda v: (-counts[v], v))
    return value, counts[value] / counts.total()


def is_person(actor: str | None) -> bool:
    return actor is not None and actor.split(":", 1)[1].lower() not in SENTINEL_IDS


def same(own: str | None, other: str | None) -> bool:
    return own is not None and own == other


def expected_country(row: Row, known: list[Row]) -> tuple[str, str, float] | None:
    texts = {
        "region": lambda r: key(r.event.region),
        "city": lambda r: key(r.place.city),
        "dma": lambda r: key(r.place.dma),
    }
    where = {
        name: {r.place.country for r in known if same(of(row), of(r))} for name, of in texts.items()
    }  # fmt: skip
    for name in texts:
        if len(where[name]) == 1:
            return name, min(filter(None, where[name])), 1.0
    allowed = [where[name] for name in ("region", "city") if where[name]]
    histories: tuple[tuple[str, Callable[[Row], bool]], ...] = (
        ("actor_history", lambda r: is_person(row.event.actor) and r.event.actor == row.event.actor),
        ("device_history", lambda r: same(row.event.device_id, r.event.device_id)),
    )
    for name, related in histories:
        values = [r.place.country for r in known if related(r)]
        if answer := best(v for v in values if v is not None and all(v in options for options in allowed)):
            return name, *answer
    answer = best(r.place.country for r in known if r.place.country is not None)
    if answer and answer[1] >= COUNTRY_SHARE and row.event.region is None and row.place.city is None:
        return "distribution", *answer
    return None


def expected_value(row: Row, known: list[Row], target: str, proof: float | None) -> tuple[str, str, float] | None:
    """Region or city of a row from rows of the same area."""
    contexts = {"city": lambda r: key(r.place.city)} if target == "region" else {}
    contexts["dma"] = lambda r: key(r.place.dma)
    options: dict[str, list[str]] = {}
    for name, of in contexts.items():
        options[name] = [r.out[target] for r in known if same(of(row), of(r))]

    def permitted(values: list[str], names: Iterable[str]) -> list[str]:
        limits = [set(options[name]) for name in names if options[name]]
        return [v for v in values if all(v in limit for limit in limits)]

    first = None
    for number, name in enumerate(contexts):
        answer = best(permitted(options[name], list(contexts)[:number]))
        first = first or answer
        if answer and answer[1] >= AGREEMENT:
            return name, *answer
    hint = hinted(row, target)
    if hint and proof is not None and proof >= AGREEMENT and not options["dma"] and permitted([hint], contexts):
        return "dma", hint, proof
    histories: tuple[tuple[str, Callable[[Row], bool]], ...] = (
        ("actor_history", lambda r: is_person(row.event.actor) and r.event.actor == row.event.actor),
        ("device_history", lambda r: same(row.event.device_id, r.event.device_id)),
    )
    for name, related in histories:
        if answer := best(permitted([r.out[target] for r in known if related(r)], contexts)):
            return name, *answer
    answer = first or best(r.out[target] for r in known)
    return ("distribution", *answer) if answer else None


def hinted(row: Row, target: str) -> str | None:
    """What the name of a US market area says of the target."""
    state = row.place.dma_region_code
    if row.out["country_code"] != "USA" or state is None:
        return None
    if target == "region":
        return region_name(state)
    return row.out["dma_city"] if row.out["region"] == region_name(state) else None


def expected(events: list[Event]) -> list[dict[str, Any]]:
    """Place columns of every event."""
    rows = [Row(e, standardize(e.country, e.region, e.city, e.dma), {}) for e in events]
    known = [row for row in rows if row.place.country is not None]
    guesses = [None if row.place.country is not None else expected_country(row, known) for row in rows]
    for row, guess in zip(rows, guesses, strict=True):
        if guess:
            row.place = standardize(guess[1], row.event.region, row.event.city, row.event.dma)
        method, _, confidence = guess or ("observed", None, 1.0)
        row.out = {"country": row.place.country, "country_code": row.place.country_code}
        row.out |= {"country_method": method, "country_confidence": confidence}
        if row.place.country is None:
            row.out |= {"country_method": None, "country_confidence": None}
    named = [(r.place.country, r.place.region, r.place.city, 1) for r in rows if r.place.city is not None]
    for row in rows:
        if row.place.dma_city is not None and row.place.dma_region_code is not None:
            named.append((row.place.country, region_name(row.place.dma_region_code), row.place.dma_city, 0))
    forms = city_forms(named)
    for row in rows:
        place, state = row.place, row.place.dma_region_code
        row.out["region"], row.out["region_code"] = place.region, place.region_code
        row.out["city"] = forms[place.country, place.region, place.city] if place.city is not None else None
        if place.dma_city is not None and state is not None:
            row.out["dma_city"] = forms[place.country, region_name(state), place.dma_city]
        else:
            row.out["dma_city"] = None
    for target in ("region", "city"):

        def area(row: Row, target: str = target) -> tuple[Any, ...]:
            return (row.out["country"],) if target == "region" else (row.out["country"], row.out["region"])

        known = [r for r in rows if r.out["country"] is not None and r.out[target] is not None]
        if target == "city":
            known = [r for r in known if r.out["region_method"] in ("observed", None)]
        hints = [(hinted(r, target), r.out[target]) for r in known]
        judged = [hint == value for hint, value in hints if hint is not None]
        proof = sum(judged) / len(judged) if judged else None
        answers: list[tuple[Any, Any, Any]] = []
        for row in rows:
            if row.out[target] is not None:
                answers.append(("observed", row.out[target], 1.0))
            elif row.out["country"] is None:
                answers.append((None, None, None))
            else:
                near = [r for r in known if area(r) == area(row)]
                answers.append(expected_value(row, near, target, proof) or (None, None, None))
        codes = {(r.out["country"], r.out["region"]): r.out["region_code"] for r in rows if r.out["region_code"]}
        for row, (method, value, confidence) in zip(rows, answers, strict=True):
            row.out |= {f"{target}_method": method, target: value, f"{target}_confidence": confidence}
            if target == "region" and method not in ("observed", None):
                hint = row.place.dma_region_code
                named_by_hint = hint is not None and region_name(hint) == value
                code = codes.get((row.out["country"], value))
                row.out["region_code"] = code or (hint if method == "dma" and named_by_hint else None)
    return [{name: row.out[name] for name in COLUMNS} for row in rows]


def assert_equal(actual: dict[str, Any], wanted: dict[str, Any]) -> None:
    for name, value in wanted.items():
        if isinstance(value, float):
            assert actual[name] == pytest.approx(value, rel=1e-9), name
            assert isinstance(actual[name], float)
        else:
            assert actual[name] == value, (name, actual, wanted)


EVENTS = st.builds(
    Event,
    actor=st.sampled_from([None, "user:a", "user:b", "user:Anonymous", "device:d1"]),
    device_id=st.sampled_from([None, "d1", "d2"]),
    country=st.sampled_from([None, "United States", "United States", "US", "Canada", "Atlantis"]),
    region=st.sampled_from([None, None, "Texas", "TX", "Illinois", "Ontario", "Middle", "Nashville, TN"]),
    city=st.sampled_from([None, None, "Springfield", "SPRINGFIELD", "Austin", "Toronto", "Austin, TX", "Ælfhäm"]),
    dma=st.sampled_from([None, None, "Austin, TX", "Springfield, IL", "Washington, DC (Hagerstown, MD)", "?"]),
    session_key=st.sampled_from([None, "1", "2", "3"]),
)  # fmt: skip
TABLES = st.lists(st.tuples(EVENTS, st.integers(1, 3)).map(lambda pair: [pair[0]] * pair[1]), max_size=14).map(
    lambda groups: [event for group in groups for event in group]
)


@settings(deadline=None, max_examples=40)
@given(TABLES, st.randoms())
def test_places_follow_the_written_rules(events: list[Event], random: Any) -> None:
    with duckdb.connect(":memory:", config={"threads": 2}) as engine:
        found = build(engine, events)
        random.shuffle(events)
        assert build(engine, events) == found
    counts = Counter(tuple(getattr(event, name) for name in KEY) for event in events)
    assert counts == {place: row["events"] for place, row in found.items()}
    for event, wanted in zip(events, expected(events), strict=True):
        row = found[tuple(getattr(event, name) for name in KEY)]
        assert_equal(row, wanted)
        assert_observed(event, row)
    assert_consistent(found.values())


def assert_observed(event: Event, row: dict[str, Any]) -> None:
    """What was delivered is kept, in its standard form."""
    place = standardize(row["country"] if event.country is None else event.country, event.region, event.city, event.dma)
    for name in ("country", "region"):
        if row[f"{name}_method"] == "observed":
            assert row[name] == getattr(place, name)
            assert row[f"{name}_confidence"] == 1
    if event.country is not None:
        assert row["country_method"] == "observed"
    if place.city is not None:
        assert row["city_method"] == "observed"
        assert fold(row["city"]) == fold(place.city)


def assert_consistent(rows: Iterable[dict[str, Any]]) -> None:
    """A guessed region lies in its country and a guessed city in its region, as observed or as the market area says."""
    rows = list(rows)
    regions = {(r["country"], r["region"]) for r in rows if r["region_method"] == "observed"}
    cities = {(r["country"], r["region"], r["city"]) for r in rows if r["city_method"] == "observed"}
    for row in rows:
        for name in ("country", "region", "city"):
            assert (row[name] is None) == (row[f"{name}_method"] is None) == (row[f"{name}_confidence"] is None)
            if row[name] is not None:
                assert 0 < row[f"{name}_confidence"] <= 1
        area = standardize(*(row[name] for name in ("country", "delivered_region", "delivered_city", "delivered_dma")))
        if row["region_method"] not in ("observed", None):
            hint = row["region_method"] == "dma" and row["region_code"] == area.dma_region_code
            assert (row["country"], row["region"]) in regions or hint
        if row["city_method"] not in ("observed", None):
            hint = row["city_method"] == "dma" and row["region_code"] == area.dma_region_code is not None
            assert (row["country"], row["region"], row["city"]) in cities or hint


US = Event(country="United States")


@pytest.mark.parametrize(
    ("known", "asked", "column", "answer"),
    [
        # One city, one region, and spelling does not matter.
        ([replace(US, region="Texas", city="Austin")], replace(US, city="AUSTIN"), "region", ("Texas", "city", 1.0)),
        # A Springfield in two states says which states, not which one.
        (
            [replace(US, region="Illinois", city="Springfield")] * 3
            + [replace(US, region="Ohio", city="Springfield")]
            + [replace(US, region="Texas", city="Austin")] * 9,
            replace(US, city="Springfield"),
            "region",
            ("Illinois", "distribution", 0.75),
        ),
        (
            [replace(US, region="Illinois", city="Springfield")] * 3
            + [replace(US, region="Ohio", city="Springfield", actor="user:a")]
            + [replace(US, region="Texas", city="Austin", actor="user:a")] * 9,
            replace(US, city="Springfield", actor="user:a"),
            "region",
            ("Ohio", "actor_history", 1.0),
        ),
        # The market area: by its events, by its name where such names have proved right.
        (
            [replace(US, region="Texas", dma="Dallas-Ft. Worth, TX")] * 4
            + [replace(US, region="Oklahoma", dma="Dallas-Ft. Worth, TX")],
            replace(US, dma="DALLAS-FT. WORTH, TX"),
            "region",
            ("Texas", "dma", 0.8),
        ),
        (
            [replace(US, region="Texas", dma="Dallas-Ft. Worth, TX")],
            replace(US, dma="Nashville, TN"),
            "region",
            ("Tennessee", "dma", 1.0),
        ),
        (
            [replace(US, region="Ohio", dma="Dallas-Ft. Worth, TX")],
            replace(US, dma="Nashville, TN"),
            "region",
            ("Ohio", "distribution", 1.0),
        ),
        # The actor before the device; nobody in particular has no history.
        (
            [replace(US, region="Texas", actor="user:a"), replace(US, region="Ohio", device_id="d")],
            replace(US, actor="user:a", device_id="d"),
            "region",
            ("Texas", "actor_history", 1.0),
        ),
        (
            [replace(US, region="Texas", actor="user:Anonymous"), replace(US, region="Ohio", device_id="d")] * 2,
            replace(US, actor="user:Anonymous", device_id="d"),
            "region",
            ("Ohio", "device_history", 1.0),
        ),
        # A history in another country says nothing.
        (
            [Event(country="Canada", region="Ontario", actor="user:a"), replace(US, region="Ohio")],
            replace(US, actor="user:a"),
            "region",
            ("Ohio", "distribution", 1.0),
        ),
        # Ties go to the smallest text.
        ([replace(US, region="Texas"), replace(US, region="Ohio")], US, "region", ("Ohio", "distribution", 0.5)),
        ([replace(US, city="Austin")], US, "region", (None, None, None)),
        # A city from its region only, even where the country has a larger one.
        (
            [replace(US, region="Texas", city="Austin")] + [replace(US, region="Ohio", city="Dayton")] * 5,
            replace(US, region="Texas"),
            "city",
            ("Austin", "distribution", 1.0),
        ),
        (
            [replace(US, region="Ohio", city="Dayton", actor="user:a")],
            replace(US, region="Texas", actor="user:a"),
            "city",
            (None, None, None),
        ),
        # A country from a region that lies in one; not by majority of all.
        (
            [replace(US, region="Georgia"), Event(country="Canada", region="Ontario")],
            Event(region="ontario"),
            "country",
            ("Canada", "region", 1.0),
        ),
        (
            [replace(US, region="Georgia"), Event(country="Georgia", region="Georgia")],
            Event(region="Georgia"),
            "country",
            (None, None, None),
        ),
        (
            [replace(US, actor="user:a")] * 2 + [Event(country="Canada", actor="user:a")],
            Event(actor="user:a"),
            "country",
            ("United States", "actor_history", 2 / 3),
        ),
        ([US] * 18 + [Event(country="Canada")], Event(), "country", (None, None, None)),
        ([US] * 19 + [Event(country="Canada")], Event(), "country", ("United States", "distribution", 0.95)),
    ],
)
def test_methods(
    engine: duckdb.DuckDBPyConnection, known: list[Event], asked: Event, column: str, answer: tuple[Any, ...]
) -> None:
    row = build(engine, [*known, asked])[tuple(getattr(asked, name) for name in KEY)]
    assert (row[column], row[f"{column}_method"]) == answer[:2]
    assert row[f"{column}_confidence"] == (None if answer[2] is None else pytest.approx(answer[2], rel=1e-9))


def test_a_guessed_country_gives_the_region_its_standard_name(engine: duckdb.DuckDBPyConnection) -> None:
    asked = Event(region="Bavaria", city="Nashville, TN")
    row = build(engine, [Event(country="Germany", region="Bavaria"), asked])[
        None, None, None, asked.region, asked.city, None
    ]
    assert (row["country"], row["country_method"]) == ("Germany", "region")
    assert (row["region"], row["region_code"], row["region_method"]) == ("Bayern", "DE-BY", "observed")


def test_nothing_known(engine: duckdb.DuckDBPyConnection) -> None:
    assert build(engine, []) == {}
    found = build(engine, [Event(actor="user:a", device_id="d")] * 3 + [Event()])
    assert [row["events"] for row in found.values()] == [3, 1]
    assert all(row[name] is None for row in found.values() for name in COLUMNS)
    for result in imputation_accuracy(engine, load(engine, [Event()] * 3), share=1.0):
        assert (result["masked"], result["accuracy"], result["coverage"]) == (0, None, None)


def test_column_types(engine: duckdb.DuckDBPyConnection) -> None:
    build(engine, [US, Event()])
    types = dict(
        engine.execute("SELECT column_name, data_type FROM duckdb_columns WHERE table_name = 'places'").fetchall()
    )
    assert {types[name] for name in COLUMNS if name.endswith("confidence")} == {"DOUBLE"}
    assert {types[name] for name in COLUMNS if not name.endswith("confidence")} == {"VARCHAR"}
    assert engine.execute(
        "SELECT count(*) FROM duckdb_tables WHERE table_name LIKE 'place\\_%' ESCAPE '\\'"
    ).fetchall() == [(0,)]


# --- Accuracy --------------------------------------------------------------------------------------------------------


def chosen(seed: int, unit: str | None, share: float) -> bool:
    if unit is None:
        return False
    digest = hashlib.md5(f"{seed}\x1f{unit}".encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[8:], "little") % 1_000_000 < round(share * 1_000_000)


def expected_accuracy(events: list[Event], protocol: str, level: str, share: float, seed: int) -> dict[str, list[int]]:
    """Masked, covered and correct events by method."""
    target, hidden, given_columns = LEVELS[level]
    masked = []
    for event in events:
        unit: str | None = "\x1f".join(part for part in (event.actor, event.session_key) if part is not None)
        masked.append(chosen(seed, (event.actor or event.device_id) if protocol == "actor" else unit, share))
    truth = [
        {
            name: None if name == "country" and row["country_method"] != "observed" else row[name]
            for name in ("country",)
        }
        | {name: row[name] if row[f"{name}_method"] == "observed" else None for name in ("region", "city")}
        | {"dma": standardize(row["country"], event.region, event.city, event.dma).dma}
        for event, row in zip(events, expected(events), strict=True)
    ]
    asked = [
        m and all(row[name] is not None for name in (target, *given_columns))
        for m, row in zip(masked, truth, strict=True)
    ]
    shown = []
    for event, hide, ask, row in zip(events, masked, asked, truth, strict=True):
        values = {name: None if ask and name in hidden else row[name] for name in ("country", "region", "city", "dma")}
        nobody = {"actor": None, "device_id": None} if hide and protocol == "actor" else {}
        shown.append(replace(event, **values, **nobody))
    answers = expected(shown)
    known = [row for row, ask in zip(answers, asked, strict=True) if not ask and row[f"{target}_method"] == "observed"]
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    overall = best(row[target] for row in known)
    for ask, answer, row in zip(asked, answers, truth, strict=True):
        if not ask:
            continue
        country = best(r[target] for r in known if same(answer["country"], r["country"]))
        given_answers = {answer[f"{target}_method"]: answer[target], "all": answer[target]}
        given_answers |= {"mode": overall[0] if overall else None}
        if target != "country":
            given_answers |= {"country_mode": country[0] if country else None}
        for method, value in given_answers.items():
            if method is not None:
                found[method][0] += value is not None
                found[method][1] += value is not None and value == row[target]
    return {method: [sum(asked), *counts] for method, counts in found.items()}


NOBODY = Event(country="United States", region="Illinois", city="Springfield", session_key="1")


@settings(deadline=None, max_examples=5)
@given(TABLES, st.integers(0, 3), st.sampled_from([0.3, 0.5, 1.0]))
@example([replace(NOBODY, actor="user:b", region="Texas"), NOBODY], 1, 1.0)
def test_accuracy_counts_what_masking_finds(events: list[Event], seed: int, share: float) -> None:
    with duckdb.connect(":memory:", config={"threads": 2}) as engine:
        results = imputation_accuracy(engine, load(engine, events), share=share, seed=seed)
        assert results == imputation_accuracy(engine, load(engine, reversed(events)), share=share, seed=seed)
    for protocol in ("session", "actor"):
        for level in LEVELS:
            found = {
                result["method"]: [result["masked"], result["covered"], result["correct"]]
                for result in results
                if (result["protocol"], result["level"]) == (protocol, level)
            }
            assert found == expected_accuracy(events, protocol, level, share, seed), (protocol, level)
    for result in results:
        assert 0 <= result["correct"] <= result["covered"] <= result["masked"]
        assert 0 <= result["correct_places"] <= result["covered_places"] <= result["masked_places"]
        if result["covered"]:
            assert result["accuracy"] == result["correct"] / result["covered"]


def test_many_places_are_sampled_by_actor(engine: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imputation, "MEASURED_PLACES", 100)
    events = [replace(US, actor=f"user:{n}", region=region) for n in range(300) for region in ("Texas", "Ohio")]
    results = imputation_accuracy(engine, load(engine, events), share=1.0)
    [places] = {r["masked_places"] for r in results if (r["level"], r["method"]) == ("region_without_city", "all")}
    assert 50 < places < 150
    assert places % 2 == 0


def read(paths: Iterable[Path]) -> list[Event]:
    """Events of gzipped arrays without what is no event; null tokens as nulls."""
    events = []
    for path in paths:
        for record in json.loads(gzip.decompress(path.read_bytes())):
            if not isinstance(record, dict) or not isinstance(record.get("event_type"), str):
                continue
            own = {n: None if record.get(n) in TOKENS else record.get(n) for n in Event.__dataclass_fields__}
            user, device = record.get("user_id"), own["device_id"]
            user = None if user in TOKENS else user
            own["actor"] = f"user:{user}" if user is not None else f"device:{device}" if device is not None else None
            own["session_key"] = f"{record.get('amplitude_id') or user or device}|{record.get('session_id')}"
            events.append(Event(**own))
    return events


def figures(results: list[dict[str, Any]], measure: str = "events") -> dict[tuple[str, str, str], float]:
    """Right answers per masked value: what is left unanswered counts as wrong."""
    end = "" if measure == "events" else "_places"
    return {
        (r["protocol"], r["level"], r["method"]): r[f"correct{end}"] / r[f"masked{end}"] for r in results if r["masked"]
    }


def assert_beats_the_mode(results: list[dict[str, Any]]) -> None:
    for measure in ("events", "places"):
        right = figures(results, measure)
        for protocol, level, method in right:
            if method == "mode" and level != "country":
                assert right[protocol, level, "all"] > right[protocol, level, "mode"] + 0.05, (measure, protocol, level)
    [country] = [r for r in results if (r["protocol"], r["level"], r["method"]) == ("session", "country", "all")]
    assert country["accuracy"] > 0.95


@pytest.mark.skipif(not REAL_SAMPLES.exists(), reason="the real samples are not here")
def test_beats_the_mode_on_real_events(engine: duckdb.DuckDBPyConnection) -> None:
    events = read((REAL_SAMPLES / "apache_weblog").glob("raw/*/*.json.gz"))
    results = imputation_accuracy(engine, load(engine, events))
    assert_beats_the_mode(results)
    [by_city] = [r for r in results if (r["protocol"], r["level"], r["method"]) == ("actor", "region", "city")]
    assert by_city["accuracy"] > 0.95
    assert by_city["coverage"] > 0.5


def test_beats_the_mode_on_the_sample_and_its_truth(engine: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    write_sample(tmp_path, SampleConfig(events=8_000, users=60))
    events = read(sorted(tmp_path.glob("20*/*.json.gz")))
    assert len(events) >= 8_000
    results = imputation_accuracy(engine, load(engine, events))
    assert_beats_the_mode(results)
    # In the sample a person has one place for good: what its own history says is the truth.
    history = [r for r in results if (r["protocol"], r["method"]) == ("session", "actor_history")]
    assert history
    assert all(r["correct"] == r["covered"] > 0 for r in history)
