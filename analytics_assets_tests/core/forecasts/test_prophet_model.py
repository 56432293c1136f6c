"""Prophet: choice, parts, artefact, and equal results for equal seeds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from analytics_assets.core.forecasts import prophet_model
from analytics_assets.core.forecasts.prediction import Prediction
from analytics_assets.core.forecasts.prophet_model import ProphetSettings
from analytics_assets_tests.core.forecasts.series_data import LOG, SQRT, make_series, planted

DATA = planted(5, 80, dips=(15, 30, 44, 60, 85))
GAPS = DATA.series.values.copy()
GAPS[[3, 40, 41, 42, 79]] = np.nan
SERIES = make_series(GAPS, holidays=DATA.series.holidays)


def assert_equal(one: Prediction, other: Prediction) -> None:
    for name in ("mean", "centre", "spread"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("settings", [ProphetSettings(0.05, holidays=True), ProphetSettings(0.1, seed=3)])
def test_a_saved_forecaster_forecasts_the_same_and_is_json(settings: ProphetSettings, tmp_path: Path) -> None:
    fitted = prophet_model.fit(SERIES, LOG, settings)
    fitted.save(tmp_path / "events.json")
    kept = json.loads((tmp_path / "events.json").read_text(encoding="utf-8"))
    assert kept["settings"]["seed"] == settings.seed and kept["scale"] == "log"
    loaded = prophet_model.load(tmp_path / "events.json")
    assert loaded.settings == fitted.settings and len(loaded.series) == 80
    assert_equal(loaded.predict(30), fitted.predict(30))
    for name, part in fitted.components(9).items():
        np.testing.assert_array_equal(loaded.components(9)[name], part)


def test_the_seed_alone_moves_the_spread_and_nothing_else() -> None:
    np.random.seed(123)
    state = np.random.get_state()[1].copy()
    one, again, other = (
        prophet_model.fit(SERIES, SQRT, ProphetSettings(0.5, seed=seed)).predict(20) for seed in (1, 1, 2)
    )
    assert_equal(one, again)
    np.testing.assert_array_equal(one.centre, other.centre)
    assert not np.array_equal(one.spread, other.spread)
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_components_add_up_to_the_medians_and_name_what_was_planted() -> None:
    fitted = prophet_model.fit(DATA.series, LOG, ProphetSettings(0.05, holidays=True))
    found = fitted.components(10)
    assert list(found) == ["trend", "weekly", "holidays"]
    np.testing.assert_allclose(sum(found.values())[80:], fitted.centre(10), atol=1e-9)
    assert found["weekly"][[5, 6]].mean() < -0.2 < 0 < found["weekly"][1]
    assert found["holidays"][85] < -0.4 and found["holidays"][84] == 0


def test_holidays_that_never_came_are_no_regressor() -> None:
    series = make_series(DATA.series.values[:14], holidays={**DATA.series.holidays})
    assert not prophet_model.fit(series, LOG, ProphetSettings(0.05, holidays=True)).settings.holidays


def test_without_origins_the_middle_prior_is_used_without_holidays() -> None:
    settings, tried = prophet_model.choose(SERIES, LOG, (), 7, (0.1, 0.01, 0.05), holidays=True, yearly=False, seed=11)
    assert settings == ProphetSettings(0.05, False, False, 11)
    assert tried == []


def test_holidays_are_tried_only_where_some_were_known() -> None:
    for holidays, series, expected in ((True, SERIES, [False, True]), (False, SERIES, [False])):
        _, tried = prophet_model.choose(series, LOG, (60,), 7, (0.05,), holidays=holidays, yearly=False, seed=1)
        assert [one["holidays"] for one in tried] == expected
    none = make_series(GAPS)
    _, tried = prophet_model.choose(none, LOG, (60,), 7, (0.05,), holidays=True, yearly=False, seed=1)
    assert [one["holidays"] for one in tried] == [False]
