"""The page "Journeys": flows are conserved and equal a count by hand, the chain's parts equal what it published."""

from __future__ import annotations

import shutil
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.core.files import read_json, write_json
from analytics_assets.core.lake import Lake
from analytics_assets.schemas import CLEAN_EVENTS, SESSIONS
from analytics_assets_tests.dashboards.conftest import RunApp
from analytics_assets_tests.dashboards.model_building import GOAL, build_ngrams
from analytics_assets_tests.dashboards.test_insights_app import everything, tiles
from analytics_assets_tests.dashboards.test_next_event_page import table
from dashboards.insights import chain_figures, journeys
from dashboards.insights import journeys_figures as figures
from dashboards.insights.journeys_figures import EVENT, EXIT, OTHER, Flows, Node
from dashboards.selection import Scope

PAGE = "journeys"
Walk = list[tuple[str, bool]]
"""Events of a session in their order, each with whether it is noise."""

WALKS = st.lists(
    st.lists(st.tuples(st.sampled_from("abcdefghij"), st.booleans()), min_size=1, max_size=9), min_size=1, max_size=12
)


def plain(table_of: Any) -> dict[str, Any]:
    """A row whose columns that may not be null have a value."""
    values = {"string": "", "int64": 0, "float64": 0.0, "bool": False, "timestamp": datetime(2020, 1, 1)}
    return {column.name: None if column.nullable else values.get(column.type) for column in table_of.columns}


def write_walks(lake: Lake, walks: list[Walk]) -> None:
    """Replace the events of a lake's two years: a session with an even number lies in the first one, every third
    session crosses New Year after its second event."""
    events: dict[str, list[dict[str, Any]]] = {"2020": [], "2021": []}
    visits: dict[str, list[dict[str, Any]]] = {"2020": [], "2021": []}
    for number, walk in enumerate(walks):
        parts = [("2020", walk)] if number % 2 == 0 else [("2021", walk)]
        if number % 3 == 0 and len(walk) > 2:
            parts = [("2020", walk[:2]), ("2021", walk[2:])]
        done = 0
        for year, part in parts:
            step, before = 0, None
            start = datetime(2020, 12, 31, 12) + timedelta(hours=number, minutes=done)
            for place, (name, noise) in enumerate(part):
                if not noise and name != before:
                    step, before = step + 1, name
                events[year].append(
                    {
                        **plain(CLEAN_EVENTS),
                        "uuid": f"{number}-{done + place}", "time": start + timedelta(minutes=place),
                        "event_type": name, "actor": "user:a", "actor_class": "user", "session_key": f"s{number}",
                        "position": place + 1,
                        "is_noise": noise, "intent_step": step,
                    }
                )  # fmt: skip
            visits[year].append(
                {
                    **plain(SESSIONS),
                    "session_key": f"s{number}", "actor": "user:a", "actor_class": "user", "start_time": start,
                    "end_time": start + timedelta(minutes=len(part)), "events": len(part),
                }
            )  # fmt: skip
            done += len(part)
    for year in ("2020", "2021"):
        for name, rows, declared in (("clean_events", events, CLEAN_EVENTS), ("sessions", visits, SESSIONS)):
            pq.write_table(pa.Table.from_pylist(rows[year], declared.arrow_schema()), lake.feature(name, year))


def steps_of(walk: Walk, stream: str) -> list[str]:
    """Steps of a session, by hand."""
    names = [name for name, noise in walk if stream == "raw" or not noise]
    if stream == "raw":
        return names
    return [name for place, name in enumerate(names) if not place or names[place - 1] != name]


def by_hand(walks: list[Walk], stream: str, steps: int, events: int) -> Flows:
    """The same flows with plain Python."""
    paths = [path[:steps] for walk in walks if (path := steps_of(walk, stream))]
    named = []
    for place in range(steps):
        counted = Counter(path[place] for path in paths if len(path) > place)
        named.append({name for name, _ in sorted(counted.items(), key=lambda entry: (-entry[1], entry[0]))[:events]})

    def node(path: list[str], place: int) -> Node:
        if place >= len(path):
            return Node(place + 1, EXIT)
        return Node(place + 1, EVENT, path[place]) if path[place] in named[place] else Node(place + 1, OTHER)

    entries = Counter(node(path, 0) for path in paths)
    links = Counter(
        (node(path, place), node(path, place + 1)) for path in paths for place in range(min(len(path), steps - 1))
    )
    return Flows(len(paths), dict(entries), dict(links))


@pytest.mark.parametrize("stream", ["intent", "raw"])
def test_flows_are_conserved_and_equal_a_count_by_hand(lake: Lake, stream: figures.Stream) -> None:
    scope = Scope(lake)

    @settings(max_examples=25, deadline=None, database=None)
    @given(WALKS, st.integers(1, 4))
    def check(walks: list[Walk], events: int) -> None:
        write_walks(lake, walks)
        found = figures.flows(scope, stream, steps=4, events=events)
        assert found == by_hand(walks, stream, 4, events)
        through = found.through()
        for node, number in through.items():
            arriving = found.entries.get(node, 0) + sum(n for (_, to), n in found.links.items() if to == node)
            leaving = sum(n for (origin, _), n in found.links.items() if origin == node)
            assert arriving == number
            assert leaving == (0 if node.kind == EXIT or node.step == 4 else number)
        at_step = Counter()
        for node, number in through.items():
            at_step[node.step] += number
            assert sum(other.kind == EVENT for other in through if other.step == node.step) <= events
        ended = {
            step: sum(n for node, n in through.items() if node.kind == EXIT and node.step < step) for step in at_step
        }
        assert all(at_step[step] + ended[step] == found.sessions for step in at_step)

    check()


def test_flows_follow_the_filters(lake: Lake) -> None:
    walks: list[Walk] = [[("a", False), ("b", False)], [("c", False)]]
    write_walks(lake, walks)
    assert figures.flows(Scope(lake, days=(datetime(2020, 12, 31).date(),) * 2), "intent").sessions == 2
    assert figures.flows(Scope(lake, chosen=(2021,)), "intent").sessions == 0
    assert figures.flows(Scope(lake, countries=("Atlantis",)), "intent") == Flows(0, {}, {})


def test_the_step_matrix_holds_every_node(built_lake: Lake) -> None:
    found = figures.flows(Scope(built_lake), "raw")
    rows = journeys.step_matrix(found)
    cells = {
        (row["Event"], step): row[step] for row in rows for step in row if step != "Event" and row[step] is not None
    }
    assert len(cells) == len(found.through())
    assert sum(value for (_, step), value in cells.items() if step == "Step 1") == pytest.approx(100)
    assert rows[-1]["Event"] == journeys.EXIT_NAME


def test_the_page_shows_the_counted_flows(modelled_lake: Lake, run_page: RunApp) -> None:
    app = run_page(PAGE, modelled_lake)
    assert not app.exception and not app.error
    found = figures.flows(Scope(modelled_lake), "intent")
    assert tiles(app)["Sessions"] == str(found.sessions) == "21"
    raw = run_page(PAGE, modelled_lake, stream=journeys.STREAM_NAMES["raw"])
    assert not raw.exception
    # Every session but the one over New Year sees the page twice at once, which is one step of what people do.
    assert "to `view > page` at step 2" in raw.markdown[0].value
    assert "to `view > page` at step 2" not in app.markdown[0].value
    short = run_page(PAGE, modelled_lake, steps="2")
    assert list(table(short, "Step 1").columns) == ["Event", "Step 1", "Step 2"] and "Reach step 2" in tiles(short)


@pytest.mark.parametrize("weight", ["transitions", "probability"])
def test_edges_are_the_strongest_published_ones(modelled_lake: Lake, weight: chain_figures.Weight) -> None:
    rows = pd.read_parquet(modelled_lake.model("markov_chain") / "edges.parquet")
    least = chain_figures.FEW_TRANSITIONS if weight == "probability" else 1
    rows = rows[(rows["from_event"] != rows["to_event"]) & (rows["transitions"] >= least)]
    found = chain_figures.edges(modelled_lake, weight, 4)
    assert len(found) == min(4, len(rows))
    strongest = sorted(rows[weight], reverse=True)[: len(found)]
    assert [getattr(edge, weight) for edge in found] == strongest
    published = rows.set_index(["from_event", "to_event"])
    assert all(published["sessions"][edge.origin, edge.target] == edge.sessions for edge in found)


def test_what_if_and_goals_are_the_published_ones(modelled_lake: Lake, run_page: RunApp) -> None:
    folder = modelled_lake.model("markov_chain")
    rows = pd.read_parquet(folder / "what_if.parquet")
    app = run_page(PAGE, modelled_lake)
    shown = table(app, "By algebra")
    assert sorted(shown["Come to a goal"]) == pytest.approx(sorted(100 * rows["goal_rate"]))
    assert "Model-based, not causal" in everything(app)
    goals = pd.read_parquet(folder / "goals.parquet").set_index(["goal", "from_event"])["probability"]
    chances = {event: chance for event, chance, _ in chain_figures.goal_chances(modelled_lake, GOAL)}
    assert chances == goals[GOAL].to_dict()
    assert f"**{100 * chances['(start)']:.1f} %**" in everything(app)


def test_surprise_is_computed_from_the_test_predictions(modelled_lake: Lake, run_page: RunApp) -> None:
    models = ("markov_chain", "hidden_markov_model")
    bits = [
        pd.read_parquet(modelled_lake.model(name) / "test_predictions.parquet").assign(
            bits=lambda rows: -np.log2(rows["actual_probability"].clip(lower=1e-6))
        )
        for name in models
    ]
    found = chain_figures.surprising_sessions(modelled_lake, models, 3)
    means = [rows.groupby("session_key")["bits"].mean() for rows in bits]
    sizes = bits[0].groupby("session_key").size()
    expected = means[0][sizes >= chain_figures.SHORTEST_SURPRISE].sort_values(ascending=False)
    assert [surprise.bits[0] for surprise in found] == pytest.approx(list(expected[:3]))
    assert [surprise.bits[1] for surprise in found] == pytest.approx([means[1][s.session] for s in found])
    steps = chain_figures.steps(modelled_lake, models, found[0].session)
    own = bits[0][bits[0]["session_key"] == found[0].session]
    assert [step.uuid for step in steps] == list(own["uuid"])
    assert [step.bits[0] for step in steps] == pytest.approx(list(own["bits"]))
    assert list(table(run_page(PAGE, modelled_lake), "Bits, Markov chain")["Event"]) == [step.uuid for step in steps]


def test_runs_are_the_published_ones(modelled_lake: Lake, run_page: RunApp, tmp_path: Path) -> None:
    app = run_page(PAGE, modelled_lake, length="2", delivery="2021")
    assert not app.exception
    expected = build_ngrams(Lake(tmp_path), "2021")
    shown = table(app, "Occurrences")
    assert list(shown["Occurrences"]) == [row["occurrences"] for row in expected]
    assert list(shown["Event 2"]) == ["click > button", "<script>alert(1)</script>"]
    assert "No session of 2021 has 5 such events" in everything(run_page(PAGE, modelled_lake, length="5"))


def test_a_lake_without_the_chain_names_the_assets(built_lake: Lake, run_page: RunApp) -> None:
    app = run_page(PAGE, built_lake)
    assert not app.exception and not app.error
    shown = everything(app)
    assert "Materialize the asset `markov_chain`" in shown and "Materialize the asset `spark_event_ngrams`" in shown
    assert tiles(app)["Sessions"] == "21"


def test_a_chain_that_does_not_fit_its_log_is_named(modelled_lake: Lake, run_page: RunApp, tmp_path: Path) -> None:
    lake = Lake(Path(shutil.copytree(modelled_lake.root, tmp_path / "lake")))
    results = read_json(lake.analysis_results())
    for observed, words in ((0.9, "rough guide"), (0.5, "The chain gives a session")):
        results["models"]["markov_chain"]["analysis"]["goals"].update(
            probability=0.5, interval=[0.4, 0.6], observed=observed
        )
        write_json(lake.analysis_results(), results)
        app = run_page(PAGE, lake)
        assert not app.exception and words in everything(app)
        assert bool(app.main.warning) == (observed == 0.9)


@pytest.mark.parametrize("name", ["edges", "goals", "what_if", "states", "test_predictions"])
def test_a_damaged_table_leaves_the_other_parts(
    modelled_lake: Lake, run_page: RunApp, tmp_path: Path, name: str
) -> None:
    lake = Lake(Path(shutil.copytree(modelled_lake.root, tmp_path / "lake")))
    path = lake.model("markov_chain") / f"{name}.parquet"
    path.write_bytes(path.read_bytes()[:-30])
    app = run_page(PAGE, lake)
    assert not app.exception
    assert any(f"markov_chain/{name}.parquet" in e.value and "`markov_chain` again" in e.value for e in app.error)
    assert tiles(app)["Sessions"] == "21"
