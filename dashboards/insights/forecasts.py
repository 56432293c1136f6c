"""Page "Forecasts" of the insights app: what to expect, how far that can be trusted, and which days were a surprise.

Put here: the order and wording of this page. Keep out: its figures (``forecasts_figures.py``), drawing (``charts``).
"""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
import streamlit as st

from analytics_assets.core.intervals import wilson
from dashboards import components, text
from dashboards.charts import base
from dashboards.charts import forecasts as charts
from dashboards.components import Tile
from dashboards.insights import forecasts_figures as figures
from dashboards.insights import forecasts_surprises
from dashboards.insights.forecasts_figures import (
    LEADERBOARD_ASSET,
    METRIC_NAMES,
    Judged,
    metric_words,
    name_words,
    value_words,
)
from dashboards.selection import Scope

METRIC_KEY, HORIZON_KEY, WAY_KEY, DAY_KEY = "metric", "horizon", "way", "surprise"
"""Widget keys and query parameters of the metric, the horizon, the way to forecast and the surprising day."""

HISTORY_STEPS = {"day": 180, "hour": 14 * 24}
"""Steps of history before a forecast: half a year shows the season around a month, two weeks that around a day."""

CAUSES_SHOWN = 6
"""Parts of a difference that are named; the others are one bar, so that all add up."""

FEW_POINTS = 30
"""Below this many held-out outcomes a coverage says little."""

COUNTED = ("events", "sessions", "actors", "events per hour")
"""Units of metrics that are counts: their axis begins at 0 and they can be added up, actors apart."""


def show(scope: Scope) -> None:
    """Draw the page."""
    st.title("What is to be expected?")
    rows = figures.leaderboard(scope.lake)
    if not rows:
        st.info("No series is long enough to judge a forecast.", icon=":material/do_not_disturb_on:")
        return
    # The answer stands above the choices that it depends on.
    answer = st.container()
    judged = _chosen(rows)
    champion = next((row for row in judged if row.is_champion), judged[0])
    answer.markdown(_answer(champion))
    components.unfiltered(scope, "this page")
    with components.explained():
        _forecast(scope, judged, champion)
    with components.explained():
        _ladder(scope, judged)
    with components.explained():
        _backtest(scope, champion)
    with components.explained():
        _components(scope, champion)
    with components.explained():
        forecasts_surprises.show(scope, champion)


def _steps(row: Judged) -> str:
    return f"{row.horizon} {row.step}{'' if row.horizon == 1 else 's'}"


def _chosen(rows: Sequence[Judged]) -> list[Judged]:
    """Draw the choices and return the ways to forecast the chosen metric up to the chosen horizon, by rank."""
    metrics = [name for name in METRIC_NAMES if any(row.metric == name for row in rows)]
    metrics += sorted({row.metric for row in rows} - set(metrics))
    left, right = st.columns(2)
    with left:
        metric = st.selectbox("Metric", metrics, key=METRIC_KEY, format_func=metric_words, bind="query-params")
    own = [row for row in rows if row.metric == metric]
    horizons = sorted({row.horizon for row in own})
    with right:
        horizon = st.selectbox(
            "Steps ahead",
            horizons,
            index=len(horizons) - 1,
            key=HORIZON_KEY,
            format_func=lambda steps: f"{steps} {own[0].step}{'' if steps == 1 else 's'}",
            bind="query-params",
        )
    return [row for row in own if row.horizon == horizon]


def _forecast(scope: Scope, judged: Sequence[Judged], champion: Judged) -> None:
    ways = figures.ways(scope.lake, champion.metric)
    if not ways:
        st.info("There is no forecast of this metric.", icon=":material/do_not_disturb_on:")
        return
    st.subheader("What came, and what is expected?")
    way = st.selectbox(
        "Forecast by",
        ways,
        index=ways.index(champion.model) if champion.model in ways else 0,
        key=f"{WAY_KEY} {champion.metric} {champion.horizon}",
        format_func=lambda name: f"{name_words(name)}{' (the best here)' if name == champion.model else ''}",
    )
    found = figures.forecast(scope.lake, champion.metric, way, champion.horizon)
    if found is None:
        return
    own = next((row for row in judged if row.model == way), None)
    _tiles(champion, figures.forecast(scope.lake, champion.metric, champion.model, champion.horizon))
    history = figures.history(scope.lake, champion.metric, HISTORY_STEPS[champion.step])
    figure = charts.forecast(
        history,
        found.expected,
        title=metric_words(champion.metric),
        unit=champion.unit,
        step=champion.step,
        from_zero=True,
    )
    components.chart(figure, "forecast", scope)
    withheld = [f"{level} %" for level in figures.LEVELS if all(entry.bands[level] is None for entry in found.expected)]
    notes = [
        f"the {text.listed(withheld)} interval is withheld: too few past errors" if withheld else "",
        _covered(own),
    ]
    components.caption(
        LEADERBOARD_ASSET,
        f"{champion.unit} per {champion.step}, 80 % and 95 % intervals",
        "; ".join(filter(None, [f"trained until {text.day(found.trained_until.isoformat())}", *notes])),
        scope.as_of,
    )
    if found.fallback_reason:
        st.info(
            f"A simple forecast stands in for the model: {text.prose(found.fallback_reason)}", icon=":material/info:"
        )
    with st.expander("As a table"):
        _expected_table(scope, found, champion, figure)


def _expected_table(scope: Scope, found: figures.Forecast, champion: Judged, figure: go.Figure) -> None:
    def interval(entry: charts.Expected, level: int) -> str:
        band = entry.bands[level]
        return (
            text.NO_DATA
            if band is None
            else f"{value_words(band[0], champion.unit)} – {value_words(band[1], champion.unit)}"
        )

    components.table(
        [
            {
                "When": text.minute(entry.time) if champion.step == "hour" else text.day(entry.time),
                "Expected": value_words(entry.mean, champion.unit),
                "80 % interval": interval(entry, 80),
                "95 % interval": interval(entry, 95),
            }
            for entry in found.expected
        ],
        "Forecast",
        scope,
        source=LEADERBOARD_ASSET,
        figure=figure,
        alt="Table of the forecast with its intervals.",
    )


def _coverage(row: Judged, level: int) -> tuple[float, tuple[float, float]] | None:
    covered = row.coverage80 if level == 80 else row.coverage95
    return None if covered is None or not row.points else (covered, wilson(covered, row.points))


def _covered(row: Judged | None) -> str:
    """Nominal against held-out coverage in words; empty where it is not known."""
    if row is None:
        return ""
    parts = []
    for level in figures.LEVELS:
        found = _coverage(row, level)
        if found is not None:
            covered, (low, high) = found
            parts.append(f"the {level} % interval held {100 * covered:.0f} % [{100 * low:.0f}–{100 * high:.0f}]")
    return f"{text.listed(parts)} of {text.count(row.points)} held-out {row.step}s" if parts else ""


def _answer(champion: Judged) -> str:
    kind = "" if champion.is_model else ", a simple rule that no model beats"
    metric, best = metric_words(champion.metric), name_words(champion.model)
    sentence = (
        f"**{metric}**, {_steps(champion)} ahead: best is **{best}**{kind}, on average "
        f"{value_words(champion.mae, champion.unit)} off"
    )
    if champion.relative_mae is not None and champion.model != "seasonal_naive":
        change = 100 * (champion.relative_mae - 1)
        sentence += f", {abs(change):.0f} % {'less' if change < 0 else 'more'} than last week again"
    covered = _covered(champion)
    return sentence + (f"; {covered}." if covered else ".")


def _tiles(champion: Judged, found: figures.Forecast | None) -> None:
    means = [entry.mean for entry in found.expected if entry.mean is not None] if found else []
    # Days share actors, and means cannot be added.
    adds_up = champion.unit in COUNTED and champion.unit != "actors"
    shown = []
    if means:
        value = sum(means) if adds_up else sum(means) / len(means)
        shown.append(
            Tile(
                f"Expected, next {_steps(champion)}",
                value_words(value, champion.unit),
                f"{champion.unit} in all" if adds_up else f"mean of the {champion.step}s",
                "",
                means,
            )
        )
    shown.append(
        Tile(
            "Mean absolute error",
            value_words(champion.mae, champion.unit),
            f"{name_words(champion.model)}",
        )
    )
    if champion.mase is not None:
        shown.append(
            Tile(
                "Scaled error",
                f"{champion.mase:.2f}",
                "below 1 beats repeating",
                "Mean absolute error over that of the seasonal naive forecast inside what was known (MASE).",
            )
        )
    covered = _coverage(champion, 80)
    if covered is not None:
        shown.append(
            Tile(
                "80 % interval held",
                f"{100 * covered[0]:.0f} %",
                f"of {text.count(champion.points)} outcomes",
                f"Share of held-out outcomes inside the 80 % interval; 95 % interval of that share: "
                f"{100 * covered[1][0]:.0f}–{100 * covered[1][1]:.0f} %.",
            )
        )
    components.tiles(shown)


def _ladder(scope: Scope, judged: Sequence[Judged]) -> None:
    st.subheader("Which way to forecast was nearest?")
    first = judged[0]
    figure = base.bars(
        [
            base.Bar(
                f"{'★ ' if row.is_champion else ''}{name_words(row.model)}{'' if row.is_model else ' (baseline)'}",
                row.rmse,
                f"{value_words(row.rmse, row.unit)} · mean error {value_words(row.mae, row.unit)}",
                base.BLUE if row.is_model and row.points >= FEW_POINTS else base.GREY,
            )
            for row in judged
        ],
        title=f"Error of forecasts of {metric_words(first.metric)}, {_steps(first)} ahead, the best first",
        unit=f"root mean squared error, {first.unit}",
    )
    components.chart(figure, "ways-to-predict", scope)
    components.caption(
        LEADERBOARD_ASSET,
        f"root mean squared error in {first.unit}, shorter is better; models blue, simpler ways grey, all grey below "
        f"{FEW_POINTS} outcomes",
        f"{text.count(first.points)} outcomes at {text.count(first.cuts)} cuts of the past, all years",
        scope.as_of,
    )
    components.table(
        [
            {
                "Rank": row.rank,
                "Way to forecast": name_words(row.model),
                "Kind": "model" if row.is_model else "baseline",
                "Mean error": value_words(row.mae, row.unit),
                "Root mean squared error": value_words(row.rmse, row.unit),
                "Scaled error": row.mase,
                "Against last week again": row.relative_mae,
                "Cuts won": 100 * row.cuts_won,
                "80 % held": None if row.coverage80 is None else 100 * row.coverage80,
                "95 % held": None if row.coverage95 is None else 100 * row.coverage95,
                "Width of 80 %": value_words(row.width80, row.unit),
                "Width of 95 %": value_words(row.width95, row.unit),
            }
            for row in judged
        ],
        "Ways to forecast",
        scope,
        source=LEADERBOARD_ASSET,
        figure=figure,
        column_config={
            "Scaled error": st.column_config.NumberColumn(format="%.2f", help="MASE; below 1 is better."),
            "Against last week again": st.column_config.NumberColumn(
                format="%.2f", help="Mean error over that of repeating the last week; below 1 is better."
            ),
            "Cuts won": st.column_config.NumberColumn(
                format="%.0f %%", help="Share of cuts with a smaller error than repeating the last week."
            ),
            "80 % held": st.column_config.NumberColumn(format="%.0f %%", help="Held-out coverage; 80 % is promised."),
            "95 % held": st.column_config.NumberColumn(format="%.0f %%", help="Held-out coverage; 95 % is promised."),
        },
        alt="Table of all ways to forecast with errors and coverage.",
    )


def _backtest(scope: Scope, champion: Judged) -> None:
    st.subheader("What would have been forecast before?")
    model = champion.model if champion.model in figures.MODELS else None
    if model is None:
        names = [name for name in figures.MODELS if (scope.lake.model(name) / "backtest.parquet").is_file()]
        if champion.step == "hour":
            names = [name for name in names if name == "arima_forecast"]
        model = names[0] if names else figures.MODELS[-1]
    found = figures.backtest(scope.lake, champion.metric, model, champion.horizon)
    if not found.forecasts:
        st.info("There are no cuts far enough in the past.", icon=":material/do_not_disturb_on:")
        return
    figure = charts.backtest(
        found.actual,
        found.forecasts,
        title=metric_words(champion.metric),
        unit=champion.unit,
        step=champion.step,
    )
    components.chart(figure, "backtest", scope)
    components.caption(
        model,
        f"{champion.unit} per {champion.step}; each dashed line knew only what came before it",
        f"{len(found.forecasts)} cuts by {name_words(model)}, {_steps(champion)} ahead",
        scope.as_of,
    )
    came = dict(found.actual)
    components.export(
        [
            {"Cut": cut, "Time (UTC)": moment, "Forecast": mean, "Came": came[moment]}
            for cut, points in found.forecasts
            for moment, mean in points
        ],
        "Backtest",
        scope,
        source=model,
        figure=figure,
    )


def _components(scope: Scope, champion: Judged) -> None:
    st.subheader("What is the forecast made of?")
    if champion.step == "hour":
        st.info("Prophet, whose parts these are, forecasts days only.", icon=":material/do_not_disturb_on:")
        return
    found = figures.components(scope.lake, champion.metric)
    if found is None:
        st.info("Prophet has no model of this metric, so there are no parts.", icon=":material/do_not_disturb_on:")
        return
    left, right = st.columns(2)
    with left:
        figure = charts.trend(found.trend)
        components.chart(figure, "trend", scope)
    with right:
        if found.weekly:
            figure = charts.weekly(found.weekly)
            components.chart(figure, "weekly-part", scope)
    holidays = f"; holidays move {text.count(len(found.holidays))} days" if found.holidays else "; no holidays used"
    components.caption(
        "prophet_forecast",
        f"parts that add up on the model's scale, which is not that of {champion.unit}{holidays}",
        "all years and the days ahead",
        scope.as_of,
    )
