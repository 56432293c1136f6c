"""Part of the page "Forecasts": days that nobody could expect, and what moved on them.

Put here: its order and wording. Keep out: its figures (``forecasts_figures.py``), drawing (``charts``).
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboards import components, event_names, text
from dashboards.charts import base, changes
from dashboards.charts.changes import Change
from dashboards.insights import forecasts_figures as figures
from dashboards.insights.forecasts_figures import (
    LEADERBOARD_ASSET,
    Anomaly,
    Cause,
    Judged,
    metric_words,
    name_words,
    value_words,
)
from dashboards.selection import Scope

DAY_KEY = "surprise"
"""Prefix of the widget key of the surprising day."""

CAUSES_SHOWN = 6
"""Parts of a difference that are named; the others are one bar, so that all add up."""


def show(scope: Scope, champion: Judged) -> None:
    """Draw this part of the page for the metric of `champion`."""
    st.subheader("Which days could nobody expect?")
    found = figures.anomalies(scope.lake, champion.metric)
    if not found:
        st.info(
            f"No day of {metric_words(champion.metric)} lay outside the 95 % interval, or days are not judged for it.",
            icon=":material/do_not_disturb_on:",
        )
        return
    components.table(
        [
            {
                "Rank": row.rank,
                "Day": text.day(row.day.isoformat()),
                "Came": value_words(row.actual, champion.unit),
                "Expected": value_words(row.expected, champion.unit),
                "95 % interval": f"{value_words(row.low, champion.unit)} – {value_words(row.high, champion.unit)}",
                "Times the half-width": row.score,
                "Direction": row.direction,
                "Holiday share": 100 * row.holiday_share,
                "Moved most": _moved(row),
            }
            for row in found
        ],
        "Surprising days",
        scope,
        source=LEADERBOARD_ASSET,
        column_config={
            "Times the half-width": st.column_config.NumberColumn(format="%.2f"),
            "Holiday share": st.column_config.NumberColumn(
                format="%.0f %%", help="Share of events from countries with a public holiday."
            ),
        },
        alt="Table of days outside the 95 % interval, most surprising first.",
    )
    components.caption(
        LEADERBOARD_ASSET,
        f"days outside the 95 % interval of {name_words(found[0].model)}, by distance",
        "days of the last year that a backtest forecast",
        scope.as_of,
    )
    by_day = {row.day.isoformat(): row for row in found}
    chosen = st.selectbox(
        "Day", list(by_day), key=f"{DAY_KEY} {champion.metric}",
        format_func=lambda day: f"{by_day[day].rank}. {text.day(day)}, {by_day[day].direction}",
    )  # fmt: skip
    _causes(scope, by_day[chosen], champion)


def _moved(row: Anomaly) -> str:
    if row.dimension is None or row.value is None or row.contribution is None:
        return text.NO_DATA
    return f"{text.visible(_part(row.dimension, row.value))} {row.contribution:+,.1f}"


def _part(dimension: str, value: str) -> str:
    return event_names.readable(value) if dimension == "event_type" else value


def shown_causes(causes: Sequence[Cause], limit: int) -> list[tuple[str | None, float]]:
    """The largest parts of a difference and all others as one, named None; they add up to the whole."""
    named: list[tuple[str | None, float]] = [(cause.value, cause.contribution) for cause in causes[:limit]]
    rest = causes[limit:]
    return named + ([(None, sum(cause.contribution for cause in rest))] if rest else [])


def _causes(scope: Scope, day: Anomaly, champion: Judged) -> None:
    found = figures.causes(scope.lake, champion.metric, day.day)
    if not found:
        st.info("This day has no reference days before it, or is beyond those that are split.", icon=":material/info:")
        return
    if day.holiday_share > 0:
        st.caption(
            f":material/celebration: {text.share(day.holiday_share)} of the events come from countries with a public "
            "holiday that day."
        )
    chosen = st.segmented_control(
        "Split by", list(found), default=day.dimension if day.dimension in found else next(iter(found)),
        format_func=lambda name: name.replace("_", " "), key=f"split {champion.metric} {day.day}",
    )  # fmt: skip
    dimension = chosen if chosen in found else next(iter(found))  # Nothing is chosen after a click on the chosen one.
    causes = found[dimension]
    total = sum(cause.contribution for cause in causes)
    parts = shown_causes(causes, CAUSES_SHOWN)
    st.markdown(
        f"{text.day(day.day.isoformat())}: **{total:+,.1f} {champion.unit}** against the same weekday of the four "
        "weeks before. The parts add up to it; they say where it moved, not why."
    )
    figure = changes.changes(
        [
            Change(
                f"{len(causes) - CAUSES_SHOWN} others" if value is None else _part(dimension, value),
                contribution,
                None,
                f"{contribution:+,.1f}",
                base.GREY if value is None else base.BLUE if contribution >= 0 else base.VERMILLION,
            )
            for value, contribution in parts
        ],
        title=f"Parts of the difference of {text.day(day.day.isoformat())}",
        unit=f"difference in {champion.unit}",
        tickformat=",",
    )
    components.chart(figure, "causes-of-a-surprise", scope)
    components.caption(
        LEADERBOARD_ASSET,
        f"part of the difference in {champion.unit} from the mean of the reference days",
        f"{text.day(day.day.isoformat())} and the same weekday of the four weeks before",
        scope.as_of,
    )
    components.export(
        [
            {
                "Part": text.visible(cause.value),
                "That day": cause.actual,
                "Reference days": cause.reference,
                "Difference": cause.contribution,
            }
            for cause in causes
        ],
        "Causes of a surprising day",
        scope,
        source=LEADERBOARD_ASSET,
        figure=figure,
    )
