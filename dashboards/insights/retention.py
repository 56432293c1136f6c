"""Page "Retention & lifecycle" of the insights app: who comes back, who is new or away, how often actors come.

Put here: the order and wording of this page. Keep out: counting (``retention_figures.py``) and drawing
(``charts/cohorts.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import streamlit as st

from analytics_assets.core.intervals import wilson
from dashboards import components, populations, text
from dashboards.charts import cohorts
from dashboards.components import Tile
from dashboards.insights import retention_figures
from dashboards.insights.retention_figures import STATES, Activity, Cell, CurvePoint
from dashboards.selection import Scope

DELIVERY_KEY, COHORT_KEY, LIFECYCLE_KEY = "delivery", "cohorts", "by"
"""Widget keys and query parameters of this page."""

FEW_ACTORS = 30
"""Cohorts of fewer actors are grey: one person more or less moves their share by several percent."""

COHORTS_SHOWN = 60
"""Latest cohorts drawn: two months of days or a whole year of weeks, with fewer than 2,000 cells."""

TILE_PERIODS = {"day": (1, 7), "week": (1, 4)}
"""Periods whose retention the tiles show: the next one, and a week or about a month later."""


def show(scope: Scope) -> None:
    """Draw the page."""
    st.title("Do people come back?")
    with components.explained():
        year, granularity, population = _choice(scope)
        cells = retention_figures.cells(scope, year, granularity, population)
        points = {point.period: point for point in retention_figures.curve(cells) if point.period}
        activity = retention_figures.activity(scope, year, population)
        about = _about(scope, year, population)
        st.markdown(_answer(cells, points, activity, year, granularity))
        _scope_note(scope, year)
        if not cells:
            return
        _tiles(points, activity, granularity)
        _curve(scope, list(points.values()), granularity, about)
        _triangle(scope, cells, granularity, about)
        _lifecycle(scope, year, population, about)
        _stickiness(scope, activity, about)


def _choice(scope: Scope) -> tuple[str, str, str]:
    """Draw the choice of delivery, cohorts and population."""
    published = scope.results["years"]
    years = [year for year in published if int(year) in scope.years] or published
    columns = st.columns(3)
    year = columns[0].selectbox(
        "Delivery", years[::-1], key=DELIVERY_KEY, help="Year of the folder under raw/.", bind="query-params"
    )
    granularity = columns[1].selectbox(
        "Cohorts by", ("week", "day"), key=COHORT_KEY, help="Weeks begin on Monday, UTC.", bind="query-params"
    )
    return year, granularity, populations.choose(columns[2])


def _about(scope: Scope, year: str, population: str) -> str:
    kinds = Scope(scope.lake, countries=scope.countries, devices=scope.devices, segments=scope.segments).words
    parts = [
        f"delivery of {year}",
        *([] if population == "all" else [populations.NAMES[population]]),
        *filter(None, [kinds]),
    ]
    return f"actors of the {', '.join(parts)}"


def _source(scope: Scope, published: str) -> str:
    return "clean_events" if scope.narrowed_in_kind else published


def _answer(
    cells: Sequence[Cell], points: dict[int, CurvePoint], activity: Sequence[Activity], year: str, granularity: str
) -> str:
    """Retention and stickiness in one sentence."""
    actors = sum(cell.actors for cell in cells if cell.period == 0)
    if not actors:
        return f"Nobody of this selection was seen in {year}."
    sentence = f"**{text.count(actors)} actors** were first seen in {year}"
    point = points.get(1)
    if point is not None and point.share is not None:
        low, high = point.interval
        sentence += (
            f"; **{text.exact_share(point.share)}** [{100 * low:.1f}–{100 * high:.1f}] of the "
            f"{text.count(point.actors)} that could came back in the {granularity} after their first"
        )
    last = _last_complete(activity)
    if last is not None and last.mau:
        sentence += (
            f". On {text.day(last.day.isoformat())} **{text.count(last.dau)}** acted, "
            f"{text.exact_share(last.dau / last.mau)} of the {text.count(last.mau)} of the 30 days up to it"
        )
    return sentence + "."


def _last_complete(activity: Sequence[Activity]) -> Activity | None:
    """The last date that had ended when the data end, with all of its 30 days observed."""
    return next((day for day in reversed(activity[:-1]) if day.complete), None)


def _scope_note(scope: Scope, year: str) -> None:
    """What these figures cannot see."""
    note = (
        f"First seen means first in the delivery of {year}: who was there in an earlier year is new again in January, "
        "and nobody is followed into the next year."
    )
    if scope.days is not None:
        note += " The filter of days does not apply here: cut short, everybody would be new on its first day."
    st.caption(note)


def _tiles(points: dict[int, CurvePoint], activity: Sequence[Activity], granularity: str) -> None:
    tiles = []
    for period in TILE_PERIODS[granularity]:
        point = points.get(period)
        label = f"Back after {period} {granularity}{'s' if period > 1 else ''}"
        if point is None:
            tiles.append(Tile(label, text.NO_DATA, "no such window has ended"))
            continue
        low, high = point.interval
        tiles.append(
            Tile(
                label,
                text.exact_share(point.share),
                f"95 %: {100 * low:.1f} to {100 * high:.1f} %",
                f"{text.count(point.active)} of {text.count(point.actors)} actors of {point.cohorts} cohorts.",
            )
        )
    last = _last_complete(activity)
    tiles.append(
        Tile(
            "Last full day",
            text.count(last.dau if last else None),
            f"of {text.count(last.mau)} in 30 days" if last else "no 30 days before",
            "Distinct actors of the last date that had ended when the data end.",
            [day.dau for day in activity],
        )
    )
    tiles.append(
        Tile(
            "Stickiness",
            text.exact_share(text.ratio(last.dau, last.mau) if last else None),
            f"of 7 days: {text.exact_share(text.ratio(last.dau, last.wau))}" if last else "",
            "Actors of the last full day over those of the 30 days up to it.",
            [day.dau / day.mau for day in activity if day.complete and day.mau],
        )
    )
    components.tiles(tiles)


def _curve(scope: Scope, points: Sequence[CurvePoint], granularity: str, about: str) -> None:
    st.subheader(f"How many come back so many {granularity}s later?")
    if not points:
        st.info(f"No {granularity} after a first one has ended.", icon=":material/hourglass_empty:")
        return
    shares = [
        (point.period, cohorts.Share(point.share, point.active, point.actors, point.interval)) for point in points
    ]
    figure = cohorts.curve(shares, period=granularity)
    components.chart(figure, "curve", scope)
    components.caption(
        _source(scope, retention_figures.RETENTION),
        f"share of actors active in the {granularity}, mean weighted by the size of cohorts, with 95 % Wilson interval",
        f"{about}; only cohorts whose {granularity} has ended, so later points rest on fewer of them",
        scope.as_of,
    )
    rows = [
        {
            granularity.capitalize(): point.period,
            "Cohorts": point.cohorts,
            "Actors": point.actors,
            "Active": point.active,
            "Share": point.share,
            "From": point.interval[0],
            "To": point.interval[1],
        }
        for point in points
    ]
    components.export(
        rows, f"retention by {granularity}", scope, source=_source(scope, retention_figures.RETENTION), figure=figure
    )


def _share(cell: Cell) -> cohorts.Share | None:
    """Retention of a cell; None while its window has not elapsed."""
    if not cell.complete:
        return None
    share = cell.active / cell.actors
    return cohorts.Share(share, cell.active, cell.actors, wilson(share, cell.actors))


def _triangle(scope: Scope, cells: Sequence[Cell], granularity: str, about: str) -> None:
    st.subheader("Which cohorts come back?")
    grouped = {cohort: list(group) for cohort, group in groupby(cells, key=lambda cell: cell.cohort)}
    shown = list(grouped)[-COHORTS_SHOWN:]
    shares = [[_share(cell) for cell in grouped[cohort] if cell.period] for cohort in shown]
    components.chart(cohorts.triangle(shown, shares, period=granularity, few=FEW_ACTORS), "triangle", scope)
    cut = f"; the latest {len(shown)} of {len(grouped)} cohorts" if len(shown) < len(grouped) else ""
    components.caption(
        _source(scope, retention_figures.RETENTION),
        f"share of the cohort active in the {granularity}",
        f"{about}{cut}; blank: the {granularity} had not ended when the data end; grey: fewer than {FEW_ACTORS} actors",
        scope.as_of,
    )
    rows = [
        {
            "Cohort": cell.cohort,
            granularity.capitalize(): cell.period,
            "Actors": cell.actors,
            "Active": cell.active if cell.complete else None,
            "Share": cell.active / cell.actors if cell.complete else None,
        }
        for cohort in shown
        for cell in grouped[cohort]
    ]
    components.export(rows, f"cohorts by {granularity}", scope, source=_source(scope, retention_figures.RETENTION))


def _lifecycle(scope: Scope, year: str, population: str, about: str) -> None:
    st.subheader("Who is new, who stays, who is away?")
    granularity = st.segmented_control(
        "By", ["day", "week", "month"], default="week", required=True, key=LIFECYCLE_KEY, bind="query-params"
    )
    with components.explained():
        rows = retention_figures.states(scope, year, granularity, population)
        figure = cohorts.lifecycle(rows, period=granularity)
        components.chart(figure, "lifecycle", scope)
        open_end = "; faded: not over when the data end" if any(not row.complete for row in rows) else ""
        components.caption(
            _source(scope, retention_figures.LIFECYCLE),
            f"actors per {granularity}: new, returning and resurrected ones are active; dormant ones, below zero, were "
            f"active in the {granularity} before",
            f"{about}{open_end}",
            scope.as_of,
        )
        listed = [
            {
                "Period": row.period,
                "Active": row.active,
                **{name.capitalize(): getattr(row, name) for name in STATES},
                "Complete": row.complete,
            }
            for row in rows
        ]
        source = _source(scope, retention_figures.LIFECYCLE)
        components.export(listed, f"lifecycle by {granularity}", scope, source=source, figure=figure)


def _stickiness(scope: Scope, activity: Sequence[Activity], about: str) -> None:
    st.subheader("How often do they come?")
    if not activity:
        st.info("This delivery has no date inside its year.", icon=":material/do_not_disturb_on:")
        return
    figure = cohorts.stickiness(
        [day.day.isoformat() for day in activity],
        [(day.dau, day.wau, day.mau) for day in activity],
        complete_from=next((day.day.isoformat() for day in activity if day.complete), None),
    )
    components.chart(figure, "stickiness", scope)
    components.caption(
        _source(scope, retention_figures.STICKINESS),
        "distinct actors of a date, of 7 and of 30 days up to it",
        f"{about}; shaded: the 30 days begin before the delivery does",
        scope.as_of,
    )
    listed = [
        {"Date": day.day, "Day": day.dau, "7 days": day.wau, "30 days": day.mau, "Complete": day.complete}
        for day in activity
    ]
    source = _source(scope, retention_figures.STICKINESS)
    components.export(listed, "active actors", scope, source=source, figure=figure)
