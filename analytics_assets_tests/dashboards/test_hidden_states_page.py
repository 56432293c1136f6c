"""The page "Hidden states": its figures are the published ones, a journey is decoded as the model decodes it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analytics_assets.core.lake import Lake
from analytics_assets.core.models.hmm import HiddenMarkov
from analytics_assets.core.models.next_event import predict
from analytics_assets_tests.core.models.building import make_sequences
from analytics_assets_tests.dashboards.building import MARKDOWN_EVENT, NAMES, SCRIPT_EVENT
from analytics_assets_tests.dashboards.conftest import RunApp
from analytics_assets_tests.dashboards.test_insights_app import everything, tiles
from analytics_assets_tests.dashboards.test_next_event_page import table
from dashboards import scoring
from dashboards.insights import hidden_states_figures as figures

PAGE, ASSET = "hidden-states", "hidden_markov_model"


def published(lake: Lake, name: str) -> pd.DataFrame:
    return pd.read_parquet(lake.model(ASSET) / f"{name}.parquet")


def test_states_are_the_published_ones(modelled_lake: Lake, run_page: RunApp) -> None:
    app = run_page(PAGE, modelled_lake)
    assert not app.exception and not app.error
    expected = published(modelled_lake, "hmm_states").sort_values("state")
    shown = table(app, "Next action stays")
    assert list(shown["Events"]) == list(expected["events"])
    assert list(shown["Share"]) == pytest.approx(list(100 * expected["share"]))
    assert list(shown["Next action stays"]) == pytest.approx(list(100 * expected["stay_probability"]))
    assert tiles(app)["Hidden states"] == str(len(expected))


def test_lifted_events_moves_and_hours_are_the_published_ones(modelled_lake: Lake) -> None:
    emissions = published(modelled_lake, "hmm_emissions")
    for state in (0, 1):
        own = emissions[(emissions["state"] == state) & (emissions["probability"] >= 0.01)]
        found = figures.lifted(modelled_lake, state, 0.01, 99)
        assert {row.event: row.lift for row in found} == dict(zip(own["event_type"], own["lift"], strict=True))
        assert [row.lift for row in found] == sorted(own["lift"], reverse=True)
    moves = published(modelled_lake, "hmm_state_transitions").set_index(["from_state", "to_state"])["probability"]
    matrix = figures.moves(modelled_lake, 2)
    assert all(matrix[start][end] == value for (start, end), value in moves.items())
    shares, events = figures.hours(modelled_lake, 2)
    counted = published(modelled_lake, "hmm_state_hours")
    assert sum(events) == counted["events"].sum()
    for hour, total in enumerate(events):
        column = [row[hour] for row in shares]
        assert column == [None, None] if not total else sum(filter(None, column)) == pytest.approx(1)
    share = counted.set_index(["hour", "state"])["share"]
    assert all(shares[state][hour] == pytest.approx(value) for (hour, state), value in share.items())


@pytest.mark.parametrize("journey", [["view > page"], list(NAMES), [SCRIPT_EVENT, "no such event", MARKDOWN_EVENT]])
def test_a_journey_is_decoded_as_a_whole_session(modelled_lake: Lake, journey: list[str]) -> None:
    model = HiddenMarkov.load(modelled_lake.model(ASSET))
    known = [name if name in model.vocabulary else "(other)" for name in journey]
    session = make_sequences([known])
    place = {name: code for code, name in enumerate(model.vocabulary)}
    codes = np.array([place[session.vocabulary[code]] for code in session.codes], dtype=np.int32)
    expected = model.posteriors(replace(session, codes=codes, vocabulary=model.vocabulary))
    found = scoring.decoded(scoring.hidden_states(modelled_lake), journey)
    assert np.array(found) == pytest.approx(expected)
    assert np.array(found).sum(axis=1) == pytest.approx(np.ones(len(journey)))


def test_the_page_names_the_decoded_states(modelled_lake: Lake, run_page: RunApp) -> None:
    app = run_page(PAGE, modelled_lake, journey=list(NAMES))
    assert not app.exception
    model = HiddenMarkov.load(modelled_lake.model(ASSET))
    likeliest = np.argmax(scoring.decoded(model, list(NAMES)), axis=1)
    [said] = [element.value for element in app.markdown if element.value.startswith("Likeliest: ")]
    passed = [state for place, state in enumerate(likeliest) if not place or likeliest[place - 1] != state]
    assert said.count("→") == len(passed) - 1
    assert predict(model, list(NAMES))  # The same artefact also predicts.


def test_the_state_is_in_the_address(modelled_lake: Lake, run_page: RunApp) -> None:
    assert run_page(PAGE, modelled_lake, state="1: view > page").selectbox(key="state").value == 1
    assert not run_page(PAGE, modelled_lake, state="99").exception


def test_a_lake_without_the_model_names_the_asset(built_lake: Lake, run_page: RunApp) -> None:
    app = run_page(PAGE, built_lake)
    assert not app.exception and not app.error
    assert f"Materialize the asset `{ASSET}`" in everything(app)


@pytest.mark.parametrize("name", ["hmm_states.parquet", "hmm_emissions.parquet", "model.json"])
def test_a_damaged_file_becomes_a_message(modelled_lake: Lake, run_page: RunApp, tmp_path: Path, name: str) -> None:
    lake = Lake(Path(shutil.copytree(modelled_lake.root, tmp_path / "lake")))
    path = lake.model(ASSET) / name
    path.write_bytes(path.read_bytes()[:-30])
    app = run_page(PAGE, lake)
    assert not app.exception
    assert any(ASSET in error.value and f"`{ASSET}` again" in error.value for error in app.error)
