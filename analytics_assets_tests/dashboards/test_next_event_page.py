"""The page "Next event": its figures are the published ones, and a model says on it what it says without it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analytics_assets.core.lake import Lake
from analytics_assets.core.models import hmm, lstm_forward, markov
from analytics_assets.core.models.next_event import predict
from analytics_assets_tests.dashboards.building import MARKDOWN_EVENT, SCRIPT_EVENT
from analytics_assets_tests.dashboards.conftest import RunApp
from analytics_assets_tests.dashboards.model_building import NEXT_EVENT_MODELS
from analytics_assets_tests.dashboards.test_insights_app import everything, tiles
from dashboards import data, scoring
from dashboards.insights import next_event
from dashboards.insights import next_event_figures as figures

PAGE = "next-event"
LOADERS = {
    "markov_chain": markov.MarkovChain,
    "hidden_markov_model": hmm.HiddenMarkov,
    "lstm_next_event": lstm_forward.LstmModel,
}
JOURNEYS = [["view > page"], ["view > page", "view > page", "click > button"], [SCRIPT_EVENT, MARKDOWN_EVENT]]


def published(lake: Lake, model: str) -> pd.DataFrame:
    """Test predictions with the event before the current one, by pandas."""
    rows = pd.read_parquet(lake.model(model) / "test_predictions.parquet")
    return rows.assign(event_before=rows.groupby("session_key", sort=False)["current_event"].shift())


def table(app, column: str) -> pd.DataFrame:
    """The first table that has `column`."""
    return next(element.value for element in app.dataframe if column in element.value.columns)


@pytest.mark.parametrize("name", NEXT_EVENT_MODELS)
@pytest.mark.parametrize("journey", JOURNEYS, ids=len)
def test_the_page_asks_the_published_model(modelled_lake: Lake, name: str, journey: list[str]) -> None:
    expected = predict(LOADERS[name].load(modelled_lake.model(name)), journey)
    found = scoring.next_event_chances(scoring.next_event_model(modelled_lake, name), journey)
    assert dict(found) == expected
    assert [chance for _, chance in found] == sorted(expected.values(), reverse=True)


def test_the_table_of_chances_holds_what_the_models_say(modelled_lake: Lake, run_page: RunApp) -> None:
    app = run_page(PAGE, modelled_lake, journey=JOURNEYS[1])
    assert not app.exception and not app.error
    shown = table(app, "Next event").set_index("Next event")
    for name in NEXT_EVENT_MODELS:
        expected = predict(LOADERS[name].load(modelled_lake.model(name)), JOURNEYS[1])
        column = shown[figures.MODEL_NAMES[name]] / 100
        assert column.to_dict() == pytest.approx({event: expected[event] for event in column.index})
    assert "`view > page` → `view > page` → `click > button`" in everything(app)


def test_the_leaderboard_is_the_published_one(modelled_lake: Lake, run_page: RunApp) -> None:
    expected = pd.read_parquet(modelled_lake.leaderboard("next_event")).sort_values(["rank", "step"])
    app = run_page(PAGE, modelled_lake)
    shown = table(app, "Way to predict")
    assert list(shown["Way to predict"]) == list(expected["name"])
    for said, row in zip(shown["First choice"], expected.itertuples(), strict=True):
        assert said == f"{100 * row.top1:.1f} % [{100 * row.top1_low:.1f}–{100 * row.top1_high:.1f}]"
    assert list(shown["Kind"] == "model") == list(expected["is_model"])
    beaten = expected.set_index("name")["beats_best_simpler"]
    for row in shown.itertuples():
        if row.Verdict.startswith("better than"):
            assert beaten[row[2]]
    champion = expected[expected["is_champion"]].iloc[0]
    assert tiles(app)["Right at the first choice"] == f"{100 * champion['top1']:.1f} %"


@pytest.mark.parametrize("name", NEXT_EVENT_MODELS)
def test_calibration_is_that_of_the_leaderboard(modelled_lake: Lake, name: str) -> None:
    rows = published(modelled_lake, name)
    bins = figures.calibration(modelled_lake, name)
    assert sum(found.positions for found in bins) == len(rows)
    assert sum(found.hits for found in bins) == (rows["actual_rank"] == 1).sum()
    expected = pd.read_parquet(modelled_lake.leaderboard("next_event")).set_index("rung")["ece"][name]
    assert figures.calibration_error(bins) == pytest.approx(expected)


@pytest.mark.parametrize("name", NEXT_EVENT_MODELS)
@pytest.mark.parametrize("journey", JOURNEYS, ids=len)
def test_hit_rates_in_contexts_like_this_are_recomputed(modelled_lake: Lake, name: str, journey: Sequence[str]) -> None:
    rows = published(modelled_lake, name)
    rows = rows[rows["current_event"] == journey[-1]]
    whole = figures.in_context(modelled_lake, name, journey, 1)
    assert (whole.positions, whole.first) == (len(rows), (rows["actual_rank"] == 1).sum())
    rows = rows[rows["event_before"].isna() if len(journey) == 1 else rows["event_before"] == journey[-2]]
    found = figures.in_context(modelled_lake, name, journey, 2)
    assert found.positions == len(rows)
    assert found.first == (rows["actual_rank"] == 1).sum() and found.first_five == (rows["actual_rank"] <= 5).sum()


def test_the_worth_of_agreement_is_recomputed(modelled_lake: Lake) -> None:
    tables = [published(modelled_lake, name).set_index("uuid") for name in NEXT_EVENT_MODELS]
    named = pd.concat([rows["predicted_event"] for rows in tables], axis=1)
    right = pd.concat([rows["actual_rank"] == 1 for rows in tables], axis=1)
    same = named.nunique(axis=1) == 1
    found = figures.agreement(modelled_lake, NEXT_EVENT_MODELS)
    assert (found.agreed, found.others) == (same.sum(), (~same).sum())
    assert found.agreed_hits == right[same].iloc[:, 0].sum()
    assert found.best_hits == right[~same].sum().max()


def in_address(app) -> list[str]:
    """The journey in the address; AppTest gives a single value as text."""
    found = app.query_params["journey"]
    return [found] if isinstance(found, str) else list(found)


def test_a_journey_is_clicked_together(modelled_lake: Lake, run_page: RunApp) -> None:
    app = run_page(PAGE, modelled_lake)
    assert "journey" not in app.query_params
    app.selectbox(key="journey_next").set_value(SCRIPT_EVENT).run()
    next(button for button in app.button if button.label == "Add").click().run()
    assert not app.exception
    assert in_address(app) == ["view > page", SCRIPT_EVENT]
    next(button for button in app.button if button.label == "Undo").click().run()
    assert in_address(app) == ["view > page"]
    next(button for button in app.button if button.label == "Start over").click().run()
    assert in_address(app) == [SCRIPT_EVENT]
    assert f"`{SCRIPT_EVENT}`" in everything(app)


def test_events_that_no_model_knows_are_left_out(modelled_lake: Lake, run_page: RunApp) -> None:
    hostile = ["=1+1", "\u202egnp", "[x](javascript:alert(1))", "view > page", "a" * 5000]
    app = run_page(PAGE, modelled_lake, journey=hostile)
    assert not app.exception
    [warning] = app.warning
    assert "`=1+1`" in warning.value and "\\u{202e}gnp" in warning.value and "1 more" in warning.value
    assert len(warning.value) < 500
    assert "(other)" not in warning.value
    assert any(element.value == "`view > page`" for element in app.markdown)


def test_the_measure_is_in_the_address(modelled_lake: Lake, run_page: RunApp) -> None:
    app = run_page(PAGE, modelled_lake, measure=next_event.MEASURE_NAMES["bits"])
    assert app.selectbox(key="measure").value == "bits"
    assert not run_page(PAGE, modelled_lake, measure="no such").exception


def test_filters_do_not_apply_and_the_page_says_so(modelled_lake: Lake, run_page: RunApp) -> None:
    words = "do not apply to the next-event models"
    assert words not in everything(run_page(PAGE, modelled_lake))
    assert words in everything(run_page(PAGE, modelled_lake, years="2020"))


def test_a_lake_without_models_names_the_assets(built_lake: Lake, run_page: RunApp) -> None:
    app = run_page(PAGE, built_lake)
    assert not app.exception and not app.error
    shown = everything(app)
    for asset in ("next_event_leaderboard", *NEXT_EVENT_MODELS):
        assert f"Materialize the asset `{asset}`" in shown


@pytest.fixture
def broken_lake(modelled_lake: Lake, tmp_path: Path) -> Lake:
    """A lake with models whose files a test may damage."""
    return Lake(Path(shutil.copytree(modelled_lake.root, tmp_path / "lake")))


DAMAGES = {
    "models/markov_chain/model.json": b'{"vocabulary": [1, 2]}',
    "models/markov_chain/contexts.parquet": b"PAR1",
    "models/hidden_markov_model/model.json": b"[]",
    "models/lstm_next_event/weights.npz": b"PK\x03\x04",
    "models/lstm_next_event/test_predictions.parquet": b"",
    "reports/leaderboard_next_event.parquet": b"half",
}


@pytest.mark.parametrize("place", DAMAGES)
def test_a_damaged_file_becomes_a_message(broken_lake: Lake, run_page: RunApp, place: str) -> None:
    (broken_lake.root / place).write_bytes(DAMAGES[place])
    app = run_page(PAGE, broken_lake)
    assert not app.exception
    asset = place.split("/")[1] if place.startswith("models") else "next_event_leaderboard"
    folder = "/".join(place.split("/")[:2])
    assert any(f"`{asset}` again" in error.value and folder in error.value for error in app.error)
    # The other models still answer.
    assert table(app, "Next event").shape[0] >= 1


def test_weights_that_do_not_fit_are_found_when_loading(broken_lake: Lake) -> None:
    path = broken_lake.model("lstm_next_event") / "weights.npz"
    with np.load(path) as arrays:
        changed = {name: arrays[name] for name in arrays}
    np.savez(path, **{**changed, "output_kernel": changed["output_kernel"][:, :-1]})
    with pytest.raises(data.DamagedFileError, match="lstm_next_event"):
        scoring.next_event_model(broken_lake, "lstm_next_event")
