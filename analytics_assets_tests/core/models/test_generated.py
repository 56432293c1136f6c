"""On the default generated sample models come near what is possible there.

Put here: figures against the ground truth of the sample that users meet. Keep out: rules small enough to know the
optimum by hand (tests of single models).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from analytics_assets.core.features.engine import open_engine
from analytics_assets.core.files import read_json
from analytics_assets.core.ingest.run import ingest_year
from analytics_assets.core.lake import Lake
from analytics_assets.core.models import kmeans, lstm, markov, xgboost_training
from analytics_assets.core.models.ceiling import BayesOptimal
from analytics_assets.core.models.next_event import Scores, Task, prepare_task, score
from analytics_assets.core.models.truth import persona_agreement
from analytics_assets.core.privacy import Privacy
from analytics_assets.sample.generator import SampleConfig, write_sample
from analytics_assets_tests.core.event_data import publish_features


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The default sample up to the features; read only."""
    lake = Lake(tmp_path_factory.mktemp("generated"))
    write_sample(lake.raw(), SampleConfig())
    for year in lake.raw_years():
        ingest_year(lake, year)
        publish_features(lake, year)
    return lake


@pytest.fixture(scope="module")
def task(generated: Lake) -> Task:
    files = [generated.feature("clean_events", year) for year in generated.feature_years("clean_events")]
    with open_engine(generated.staging() / "duckdb") as engine:
        return prepare_task(engine, files)


@pytest.fixture(scope="module")
def optimum(generated: Lake, task: Task) -> Scores:
    """Scores of the best possible predictor."""
    truth = read_json(generated.sample_truth())
    best = BayesOptimal.of(truth, task.vocabulary.names, Privacy.of(generated).shown)
    assert best.known(task.test).all() and len(task.test.positions) > 3_000
    return score(best, task.test)


@pytest.mark.parametrize(
    ("fit", "least"),
    [
        # Measured: 0.922, 0.975, 0.968.
        pytest.param(markov.fit, 0.90, id="markov"),
        pytest.param(lstm.fit, 0.95, id="lstm"),
        pytest.param(xgboost_training.fit, 0.95, id="xgboost"),
    ],
)
def test_next_events_are_predicted_nearly_as_well_as_possible(
    task: Task, optimum: Scores, fit: Callable[..., tuple[Any, dict[str, Any]]], least: float
) -> None:
    model, _ = fit(task.train, task.validation)
    share = score(model, task.test).hits(1).sum() / optimum.hits(1).sum()
    assert least <= share < 1.02, "more than possible would be a leak"


def test_segments_are_the_personas(generated: Lake) -> None:
    years = generated.feature_years("clean_events")
    clean, sessions = ([generated.feature(table, year) for year in years] for table in ("clean_events", "sessions"))
    with open_engine(generated.staging() / "duckdb") as engine:
        _, metrics, tables = kmeans.segment_actors(engine, clean, sessions)
    truth = read_json(generated.sample_truth())
    found = persona_agreement(truth, tables["assignments"], Privacy.of(generated).shown)
    assert metrics["clustered_actors"] > 100
    assert found is not None and found >= 0.8, "measured: 1.000"
