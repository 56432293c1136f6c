"""No forecast of the past sees what came after its cut."""

from __future__ import annotations

import numpy as np
import pytest

from analytics_assets.core.forecasts import arima_model, prophet_model
from analytics_assets.core.forecasts.backtest import Origin, backtest, calibration, choice_error
from analytics_assets.core.forecasts.baselines import BASELINES, seasonal_naive
from analytics_assets.core.forecasts.conformal import LEVELS, conformal_quantile, scores_of
from analytics_assets.core.forecasts.forecasting import (
    Prepare,
    SeriesForecast,
    arima,
    forecast_series,
    plain,
    plan_of,
    prophet,
    yearly_season,
)
from analytics_assets.core.forecasts.plan import Plan
from analytics_assets.core.forecasts.series import Series
from analytics_assets_tests.core.forecasts.series_data import LOG, Fixed, make_series, planted

STEPS = 100
QUICK = {*BASELINES} - {"ets"}
WAYS: dict[str, Prepare] = {
    **{name: plain(fit) for name, fit in BASELINES.items()},
    "prophet_forecast": prophet(priors=(0.05, 0.5), holidays=False, seed=7),
    "arima_forecast": arima(max_lags=1, holidays=False),
}


def corrupted(series: Series, cut: int) -> Series:
    """Other values after `cut`, far from anything that could be forecast."""
    values = series.values.copy()
    rng = np.random.default_rng(cut)
    values[cut:] = rng.uniform(0, 50_000, len(values) - cut)
    return make_series(values)


def parts(origin: Origin) -> list[np.ndarray]:
    prediction = origin.prediction
    ends = [end for bands in (origin.native, origin.calibrated) for pair in bands for end in pair]
    return [prediction.mean, prediction.centre, prediction.spread, *ends]


def assert_same_until(one: SeriesForecast, other: SeriesForecast, cut: int) -> None:
    assert one.scale == other.scale
    assert one.plan == other.plan
    for name in {*one.notes, *other.notes} - {"simpler_order_used_at"}:
        assert one.notes[name] == other.notes[name]
    for mine, theirs in zip(one.origins, other.origins, strict=True):
        same = [np.array_equal(a, b, equal_nan=True) for a, b in zip(parts(mine), parts(theirs), strict=True)]
        if mine.cut <= cut:
            assert all(same), f"the forecast from {mine.cut} knows what came after {cut}"
        else:
            assert not same[0], f"the forecast from {mine.cut} ignores what came before it"


@pytest.mark.parametrize("name", WAYS)
def test_what_comes_after_a_cut_changes_nothing_before_it(name: str) -> None:
    series = planted(4, STEPS).series
    cuts = plan_of(series)
    assert cuts is not None and len(cuts.choosing) == 4
    scale = None if name in ("ets", "arima_forecast") else LOG
    whole = forecast_series(series, name, WAYS[name], scale=scale)
    # After the first judged cut everything was chosen; later cuts differ from it in their bands alone.
    for cut in (cuts.judging[0], cuts.judging[-3]) if name in QUICK else cuts.judging[:1]:
        assert_same_until(whole, forecast_series(corrupted(series, cut), name, WAYS[name], scale=scale), cut)
    assert not np.isnan(whole.origins[-1].calibrated[1][0]).any()


def test_a_forecaster_is_given_nothing_after_its_cut() -> None:
    series = make_series(np.arange(60.0))
    seen: list[Series] = []

    def fit(known: Series) -> Fixed:
        seen.append(known)
        return Fixed(5.0)

    found = backtest(series, LOG, (20, 30, 58), 5, judging=30, fit=fit)
    assert [known.values.tolist() for known in seen] == [list(range(20)), list(range(30)), list(range(58))]
    assert [origin.judged for origin in found] == [False, True, True]
    assert found[0].actual.tolist() == [20, 21, 22, 23, 24]
    assert found[0].times.tolist() == series.times(20, 25).tolist()
    np.testing.assert_array_equal(found[2].actual, [58, 59, np.nan, np.nan, np.nan])


def test_a_band_rests_only_on_outcomes_known_at_its_cut() -> None:
    rng = np.random.default_rng(3)
    series = make_series(rng.uniform(50, 150, 90))
    cuts = (20, 25, 30, 35, 40)
    found = backtest(series, LOG, cuts, 14, judging=20, fit=lambda known: seasonal_naive(known, LOG))
    for place, origin in enumerate(found):
        known = [
            score
            for earlier in found[:place]
            for step, score in enumerate(scores_of(LOG, earlier.actual, earlier.prediction))
            if earlier.cut + step < origin.cut
        ]
        assert len(known) == sum(min(14, origin.cut - cut) for cut in cuts[:place])
        limits = calibration(LOG, found[:place], cut=origin.cut)
        assert limits.quantiles[0][1] == conformal_quantile(np.array(known), LEVELS[0]) or len(known) > 14
        for mine, theirs in zip(origin.calibrated, limits.bands(LOG, origin.prediction), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_outcomes_after_the_cut_do_not_calibrate() -> None:
    series = make_series(np.full(60, 10.0))
    found = backtest(series, LOG, (20, 24), 10, judging=20, fit=lambda _known: Fixed(11.0))
    later = [
        Origin(
            one.cut,
            one.times,
            np.where(np.arange(10) + one.cut < 30, one.actual, 1e6),
            one.prediction,
            one.native,
            one.calibrated,
            one.judged,
        )
        for one in found
    ]
    assert calibration(LOG, later, cut=30) == calibration(LOG, found, cut=30)
    assert calibration(LOG, later) != calibration(LOG, found)
    nothing = calibration(LOG, found, cut=20)
    assert nothing.quantiles == ((None,) * 3, (None,) * 3)


def test_choosing_error_is_that_of_the_medians_and_infinite_where_fitting_fails() -> None:
    series = make_series([*range(20), np.nan, 30.0, 40.0])
    found = choice_error(series, LOG, (19, 21), lambda _known: LOG.forward(np.array([10.0, 10.0])))
    first = abs(np.log1p(19) - np.log1p(10))
    second = (abs(np.log1p(30) - np.log1p(10)) + abs(np.log1p(40) - np.log1p(10))) / 2
    assert found == pytest.approx((first + second) / 2)

    def fails(_known: Series) -> np.ndarray:
        raise np.linalg.LinAlgError("singular")

    assert choice_error(series, LOG, (19,), fails) == float("inf")
    assert choice_error(series, LOG, (), fails) == float("inf")


@pytest.mark.parametrize(("steps", "expected"), [(729, False), (730, True)])
def test_a_yearly_season_needs_two_years_at_the_first_judged_cut(
    steps: int, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def chosen(*_args: object, yearly: bool, **_more: object) -> tuple:
        asked.append(yearly)
        return prophet_model.ProphetSettings(yearly=yearly), []

    def ordered(*_args: object, yearly: bool, **_more: object) -> tuple:
        asked.append(yearly)
        return arima_model.ArimaSettings(yearly=yearly), {}

    monkeypatch.setattr(prophet_model, "choose", chosen)
    monkeypatch.setattr(arima_model, "choose", ordered)
    known, cuts = make_series(np.ones(steps)), Plan(30, (), (steps,))
    prophet(priors=(0.05,), holidays=False, seed=1)(known, LOG, cuts)
    arima(max_lags=1, holidays=False)(known, LOG, cuts)
    assert asked == [expected, expected]
    assert not yearly_season(make_series(np.ones(steps), start="2024-01-01T00", season=168))


def test_two_years_of_data_alone_do_not_give_a_yearly_season(monkeypatch: pytest.MonkeyPatch) -> None:
    from analytics_assets.core.forecasts import forecasting

    lengths: list[int] = []
    monkeypatch.setattr(forecasting, "yearly_season", lambda known: lengths.append(len(known)) or False)
    series = planted(1, 760).series
    cuts = plan_of(series)
    assert cuts is not None and cuts.judging[0] < 730

    def stop(*_args: object, **_more: object) -> tuple:
        return prophet_model.ProphetSettings(), []

    monkeypatch.setattr(prophet_model, "choose", stop)
    monkeypatch.setattr(prophet_model, "fit", lambda known, scale, _settings: seasonal_naive(known, scale))
    forecast_series(series, "prophet_forecast", prophet(priors=(0.05,), holidays=False, seed=1), scale=LOG)
    assert lengths == [cuts.judging[0]]


def test_an_order_that_cannot_be_estimated_is_replaced_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = arima_model.fit

    def fragile(series: Series, scale: object, settings: arima_model.ArimaSettings) -> object:
        if settings.order != (0, 1, 1) and len(series) > 60:
            raise np.linalg.LinAlgError("no optimum")
        return real(series, LOG, settings)

    chosen = arima_model.ArimaSettings((1, 0, 0))
    monkeypatch.setattr(arima_model, "fit", fragile)
    monkeypatch.setattr(arima_model, "choose", lambda *_args, **_more: (chosen, {}))
    fit, notes = arima(max_lags=1, holidays=False)(make_series(np.ones(50)), LOG, Plan(7, (), (50,)))
    series = planted(1, 70).series
    assert fit(series.until(60)).settings.order == (1, 0, 0)
    assert fit(series).settings.order == (0, 1, 1)
    assert notes["replaced_at"] == {"2024-03-10": "ARIMA(0,1,1)"}
    assert notes["model"] == "ARIMA(1,0,0) + harmonics"


def test_a_cut_on_which_prophet_finds_no_optimum_is_replaced_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(series: Series, *_settings: object) -> object:
        raise RuntimeError("Error during optimization")

    monkeypatch.setattr(prophet_model, "fit", fails)
    series = planted(1, 70).series
    fit, notes = prophet(priors=(0.05,), holidays=False, seed=1)(series, LOG, Plan(7, (50,), (60,)))
    assert [tried["error"] for tried in notes["tried"]] == [None]
    assert fit(series).predict(7).mean == pytest.approx(series.values[-7:])
    assert notes["replaced_at"] == {"2024-03-10": "seasonal_naive"}
