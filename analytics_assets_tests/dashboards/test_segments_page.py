"""The page "Segments": its figures are the published ones, and an actor is put where the model puts him."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analytics_assets.core.features.engine import open_engine
from analytics_assets.core.files import read_json, write_json
from analytics_assets.core.lake import Lake
from analytics_assets.core.models.kmeans import Segments
from analytics_assets.core.models.kmeans_features import MEASURES, load_behaviour
from analytics_assets_tests.core.models.behaviours import EVENTS, planted
from analytics_assets_tests.dashboards.conftest import RunApp
from analytics_assets_tests.dashboards.test_insights_app import everything, tiles
from analytics_assets_tests.dashboards.test_next_event_page import table
from dashboards import scoring
from dashboards.insights import segments, segments_figures

PAGE, ASSET = "segments", "kmeans_segments"


@pytest.fixture(scope="module")
def model() -> tuple[Segments, np.ndarray]:
    """Three segments of planted actors, and the kinds of these."""
    from analytics_assets.core.models import kmeans

    behaviour, kinds = planted()
    fitted, _ = kmeans.fit(behaviour, max_segments=4)
    return fitted, kinds


def published(lake: Lake, name: str) -> pd.DataFrame:
    return pd.read_parquet(lake.model(ASSET) / f"{name}.parquet")


def test_profiles_and_sizes_are_the_published_ones(modelled_lake: Lake, run_page: RunApp) -> None:
    app = run_page(PAGE, modelled_lake)
    assert not app.exception and not app.error
    metrics = read_json(modelled_lake.model(ASSET) / "metrics.json")
    assert tiles(app)["Segments"] == str(metrics["segments"])
    assert tiles(app)["People in a segment"] == str(metrics["clustered_actors"])
    rows = published(modelled_lake, "profiles").set_index(["kind", "feature", "segment"])
    for feature in segments_figures.profile(modelled_lake):
        for number, mean in feature.means.items():
            row = rows.loc[(feature.kind, feature.name, number)]
            assert mean == row["mean"] and feature.overall == row["overall_mean"]
            assert (feature.z[number] is None) == np.isnan(row["z"]) and (feature.z[number] or 0) == np.nan_to_num(
                row["z"]
            )
    assert len(table(app, "Everybody")) == len(segments_figures.profile(modelled_lake))
    shown = table(app, "Place")
    assert list(shown["Actor"]) == list(published(modelled_lake, "representatives")["actor"])


def test_every_actor_is_put_where_the_model_put_him(modelled_lake: Lake) -> None:
    years = modelled_lake.ingested_years()
    fitted = scoring.segments(modelled_lake)
    for actor, segment, distance in published(modelled_lake, "assignments")[
        ["actor", "segment", "distance"]
    ].itertuples(index=False):
        behaviour = scoring.behaviour_of(modelled_lake, years, actor)
        assert behaviour is not None and behaviour.actors == [actor]
        placement = scoring.placed(fitted, behaviour)
        assert placement.assigned == segment
        if segment >= 0:
            assert placement.segment == segment and min(placement.distances) == pytest.approx(distance)
    assert scoring.behaviour_of(modelled_lake, years, "user:nobody' OR '1'='1") is None


def test_one_actor_is_described_as_among_all(modelled_lake: Lake) -> None:
    years = modelled_lake.ingested_years()
    files = [[modelled_lake.feature(name, year) for year in years] for name in ("clean_events", "sessions")]
    with open_engine(modelled_lake.staging() / "duckdb") as engine:
        everybody = load_behaviour(engine, files[0], files[1])
        for row, actor in enumerate(everybody.actors):
            alone = load_behaviour(engine, files[0], files[1], actor=actor)
            assert alone.actors == [actor] and alone.classes == [everybody.classes[row]]
            assert alone.measures[0] == pytest.approx(everybody.measures[row])
            assert alone.shares(everybody.event_names)[0] == pytest.approx(everybody.shares(everybody.event_names)[row])


def test_a_changed_actor_moves_to_the_segment_of_its_new_favourite(model: tuple[Segments, np.ndarray]) -> None:
    fitted, kinds = model
    behaviour, _ = planted()
    own = fitted.predict(behaviour)[0]
    assert len(fitted.centroids) == 3
    first = behaviour.take(np.array([0]))
    assert scoring.placed(fitted, first).segment == own[0]
    for kind in range(3):
        moved = scoring.changed(first, {}, {EVENTS[kind]: 0.65})
        assert moved.shares([*EVENTS, "(other)"])[0].sum() == pytest.approx(1)
        assert moved.shares([EVENTS[kind], "(other)"])[0, 0] == pytest.approx(0.65, abs=1e-5)
        assert scoring.placed(fitted, moved).segment == own[np.flatnonzero(kinds == kind)[0]]
    busier = scoring.changed(first, {"events_per_session": 7.5}, {})
    assert busier.measures[0, MEASURES.index("events_per_session")] == 7.5
    assert busier.shares(EVENTS)[0] == pytest.approx(first.shares(EVENTS)[0], abs=1e-5)


def test_an_actor_is_moved_through_on_the_page(
    modelled_lake: Lake, run_page: RunApp, tmp_path: Path, model: tuple[Segments, np.ndarray]
) -> None:
    lake = Lake(Path(shutil.copytree(modelled_lake.root, tmp_path / "lake")))
    fitted, _ = model
    fitted.save(lake.model(ASSET))
    app = run_page(PAGE, lake)
    assert not app.exception
    assert "Somebody with the median of every measure and all events alike is in segment" in everything(app)
    actor = published(lake, "assignments")["actor"][0]
    app.text_input(key="segments_actor").set_value(actor).run()
    assert not app.exception and f"`{actor}` is in" in everything(app)
    app.text_input(key="segments_actor").set_value("").run()
    app.selectbox(key="segments event ").set_value(EVENTS[1]).run()
    app.slider(key=f"segments share {EVENTS[1]} ").set_value(90).run()
    assert not app.exception
    changed = scoring.changed(scoring.typical(fitted), {}, {EVENTS[1]: 0.9})
    expected = scoring.placed(fitted, changed).segment
    [said] = [element.value for element in app.markdown if element.value.startswith("With your changes")]
    assert f"`{expected}: " in said
    app.text_input(key="segments_actor").set_value("**nobody**<script>").run()
    assert not app.exception and "There is no actor `**nobody**<script>`" in everything(app)


def test_moves_between_halves_are_the_published_ones(modelled_lake: Lake, tmp_path: Path) -> None:
    lake = Lake(Path(shutil.copytree(modelled_lake.root, tmp_path / "lake")))
    path = lake.model(ASSET) / "moves.parquet"
    rows = pd.DataFrame(
        [(0, "a", 0, "a", 3, 0.75), (0, "a", 1, "b", 1, 0.25)],
        columns=["from_segment", "from_name", "to_segment", "to_name", "actors", "share"],
    )
    rows.to_parquet(path)
    assert segments_figures.moves(lake, 2) == ([[0.75, 0.25], [None, None]], [[3, 1], [0, 0]])


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (90, "s", "1 m 30 s"),
        (0.256, "share", "26 %"),
        (9.5, "h UTC", "09:30"),
        (1234.5, "events", "1,234.5"),
        (0.5, "", "0.50"),
    ],
)
def test_natural_units(value: float, unit: str, shown: str) -> None:
    assert segments.natural(value, unit) == shown


def test_a_lake_without_the_model_names_the_asset(built_lake: Lake, run_page: RunApp, tmp_path: Path) -> None:
    lake = Lake(Path(shutil.copytree(built_lake.root, tmp_path / "lake")))
    results = read_json(lake.analysis_results())
    write_json(lake.analysis_results(), {**results, "models": {}})
    app = run_page(PAGE, lake)
    assert not app.exception and not app.error
    assert f"Materialize the asset `{ASSET}`" in everything(app)


@pytest.mark.parametrize("name", ["model.json", "profiles.parquet", "moves.parquet", "assignments.parquet"])
def test_a_damaged_file_becomes_a_message(modelled_lake: Lake, run_page: RunApp, tmp_path: Path, name: str) -> None:
    lake = Lake(Path(shutil.copytree(modelled_lake.root, tmp_path / "lake")))
    path = lake.model(ASSET) / name
    path.write_bytes(path.read_bytes()[:-30])
    app = run_page(PAGE, lake)
    assert not app.exception
    assert any(ASSET in error.value and f"`{ASSET}` again" in error.value for error in app.error)
    assert tiles(app)["Segments"] == "1"
