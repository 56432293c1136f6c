"""Page "Activity" of the insights app: when things happen, by hour, weekday, day and month.

Put here: the order and wording of this page. Keep out: counting (``activity_figures.py``) and drawing (``charts``).
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboards import components, selection, text
from dashboards.charts import activity as charts
from dashboards.components import Tile
from dashboards.insights import activity_figures, concentration
from dashboards.insights.activity_figures import BusyDay, Month
from dashboards.selection import Scope

BUSIEST_DAYS = 10
"""Rows of the table of busiest days, as many as the published list has."""

NAMED_PEAKS = 3
"""Busiest days that are named in the chart: more names would cover each other."""

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def show(scope: Scope) -> None:
    """Draw the page."""
    st.title("When are people active?")
    counted = selection.by_weekday_and_hour(scope)
    months = activity_figures.months(scope)
    busiest = activity_figures.busiest_days(scope, BUSIEST_DAYS)
    if not busiest or not any(map(any, counted)):
        st.markdown("There are no events in this selection.")
        return
    st.markdown(_answer(counted, months, busiest[0]))
    _tiles(scope, counted, months, busiest[0])
    concentration.note(scope)
    _week(scope, counted)
    _months(scope, months)
    _days(scope, busiest)
    _local_time(scope)


def _peak(counted: Sequence[Sequence[int]]) -> tuple[int, int, int]:
    """Weekday, hour and events of the busiest hour of the week; of equal ones the first."""
    number, weekday, hour = max(
        (number, -weekday, -hour) for weekday, row in enumerate(counted) for hour, number in enumerate(row)
    )
    return -weekday, -hour, number


def _last_whole(months: Sequence[Month]) -> Month | None:
    return next((month for month in reversed(months) if month.is_whole), None)


def _answer(counted: Sequence[Sequence[int]], months: Sequence[Month], top: BusyDay) -> str:
    weekday, hour, number = _peak(counted)
    mean = sum(map(sum, counted)) / (7 * 24)
    sentence = (
        f"Most on **{WEEKDAYS[weekday]}s at {hour:02}:00 UTC**: {text.count(number)} events, "
        f"{number / mean:.1f} times the mean hour of the week. The busiest day was "
        f"**{text.day(top.day.isoformat())}** with {text.count(top.events)} events"
    )
    last = _last_whole(months)
    if last is not None and last.change is not None:
        sentence += (
            f"; {text.month(last.name)}, the last whole month, had **{text.change(last.change)}** events against the "
            "month before"
        )
    return f"{sentence}."


def _tiles(scope: Scope, counted: Sequence[Sequence[int]], months: Sequence[Month], top: BusyDay) -> None:
    weekday, hour, number = _peak(counted)
    last = _last_whole(months)
    idle = sum(not entry["events"] for entry in scope.daily)
    components.tiles(
        [
            Tile(
                "Busiest hour of the week",
                f"{charts.WEEKDAYS[weekday]} {hour:02}:00",
                f"UTC, {text.count(number)} events",
                "The weekday and hour in UTC with most events, all weeks in scope together.",
                [sum(row[hour] for row in counted) for hour in range(24)],
            ),
            Tile(
                "Busiest day",
                text.day(top.day.isoformat()),
                f"{text.count(top.events)} events",
                "The UTC day with most events; of equal ones the earliest.",
            ),
            Tile(
                "Last whole month",
                text.count(last.events) if last else text.NO_DATA,
                f"{text.month(last.name)}, {text.change(last.change)}" if last else "",
                "The last month of which data and filters cover every day, and its change to the month before.",
                [month.events for month in months if month.is_whole],
            ),
            Tile(
                "Days with events",
                text.count(len(scope.daily) - idle),
                f"of {text.count(len(scope.daily))} days",
                "Days between the first and the last one with events.",
            ),
        ]
    )
    components.caption(
        "clean_events" if scope.narrowed_in_kind else "clean_events, analysis_results",
        "events",
        components.population(scope),
        scope.as_of,
    )


def _week(scope: Scope, counted: Sequence[Sequence[int]]) -> None:
    st.subheader("At which hours of the week?")
    components.weekly_rhythm(counted, "Events by weekday and hour", scope, source="clean_events")


def _months(scope: Scope, months: Sequence[Month]) -> None:
    st.subheader("How does it change from month to month?")
    figure = charts.months([(month.name, month.events, month.is_whole) for month in months])
    components.chart(figure, "events-by-month", scope)
    source = "clean_events, sessions" if scope.narrowed else "analysis_results"
    parts = [month for month in months if not month.is_whole]
    left_out = (
        f"; {text.listed([text.month(month.name) for month in parts])} covered in part, so not compared"
        if 0 < len(parts) <= 2
        else f"; {text.count(len(parts))} months covered in part, so not compared"
        if parts
        else ""
    )
    components.caption(source, "events per UTC month", f"{components.population(scope)}{left_out}", scope.as_of)
    rows = [
        {
            "Month": month.name,
            "Events": month.events,
            "Change to the month before": text.change(month.change) if month.change is not None else "not compared",
            "Actors": month.actors,
            "Sessions": month.sessions,
            "Covered": "whole" if month.is_whole else "in part",
        }
        for month in months
    ]
    st.dataframe(
        rows[::-1],
        hide_index=True,
        width="stretch",
        column_config={
            name: st.column_config.NumberColumn(format="localized") for name in ("Events", "Actors", "Sessions")
        },
        alt="Table of events, actors and sessions by month, the latest first.",
    )
    components.export(rows[::-1], "Activity by month", scope, source=source, figure=figure)


def _days(scope: Scope, busiest: Sequence[BusyDay]) -> None:
    st.subheader("Which days stand out?")
    figure = charts.daily_events(scope.daily, [day.day.isoformat() for day in busiest[:NAMED_PEAKS]])
    components.chart(figure, "events-by-day", scope)
    source = "clean_events" if scope.narrowed_in_kind else "analysis_results"
    ended = scope.observed is not None and scope.observed[1].isoformat() == scope.daily[-1]["date"]
    open_day = f"; {text.day(scope.daily[-1]['date'])} may not be over" if ended else ""
    components.caption(source, "events per UTC day", f"{components.population(scope)}{open_day}", scope.as_of)
    components.export(
        [{"Day (UTC)": entry["date"], "Events": entry["events"]} for entry in scope.daily],
        "Events by day",
        scope,
        source=source,
        figure=figure,
    )
    rows = [
        {
            "Day (UTC)": day.day.isoformat(),
            "Weekday": WEEKDAYS[day.day.weekday()],
            "Events": day.events,
            "Sessions started": day.sessions,
            "Usual for the weekday": day.usual,
            "Times the usual": day.events / day.usual if day.usual else None,
        }
        for day in busiest
    ]
    st.dataframe(
        rows,
        hide_index=True,
        width="stretch",
        column_config={
            "Events": st.column_config.NumberColumn(format="localized"),
            "Sessions started": st.column_config.NumberColumn(format="localized"),
            "Usual for the weekday": st.column_config.NumberColumn(
                format="localized",
                help="Median events of this weekday's days in scope, those without any included.",
            ),
            "Times the usual": st.column_config.NumberColumn(format="%.1f ×"),
        },
        alt="Table of the busiest days with what is usual for their weekday.",
    )
    components.caption(
        source, "events and sessions per UTC day", f"the {len(rows)} busiest days of {components.population(scope)}",
        scope.as_of,
    )  # fmt: skip
    components.export(rows, "Busiest days", scope, source=source)


def _local_time(scope: Scope) -> None:
    st.subheader("Do these hours say what time it was for people?")
    with components.explained():
        known, unknown = activity_figures.by_clock(scope)
        total = sum(known) + sum(unknown)
        st.markdown(
            f"Only for **{text.share(text.ratio(sum(known), total))}** of the events. Every hour on this page is UTC, "
            f"and the exports name no time zone: {text.count(sum(known))} events come from countries with one clock; "
            f"for the other {text.count(sum(unknown))}, from countries with several or from none that is known, the "
            "local time cannot be told."
        )
        figure = charts.hours_by_clock(known, unknown)
        components.chart(figure, "events-by-hour-and-clock", scope)
        components.caption("clean_events", "events per UTC hour", components.population(scope), scope.as_of)
        components.export(
            [
                {"Hour (UTC)": hour, "Local time known": known[hour], "Local time unknown": unknown[hour]}
                for hour in range(24)
            ],
            "Events by hour and knowledge of local time",
            scope,
            source="clean_events",
            figure=figure,
        )
