"""Page "Sessions" of the insights app: how long sessions are, how much happens in them, how they begin and end.

Put here: the order and wording of this page. Keep out: counting (``sessions_figures.py``) and drawing (``charts``).
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from analytics_assets.core.intervals import wilson
from dashboards import components, text
from dashboards.charts import base
from dashboards.charts import sessions as charts
from dashboards.components import Tile
from dashboards.insights import sessions_figures
from dashboards.insights.sessions_figures import EntryEvent, SessionFigures, Weighting
from dashboards.selection import Scope

LISTED = 10
"""Rows of the lists of first and last events."""

FEW_SESSIONS = 30
"""Below this many sessions a share of bounces says little and is grey."""


def show(scope: Scope) -> None:
    """Draw the page."""
    st.title("How long do people stay, and what do they do?")
    figures = sessions_figures.figures(scope)
    if not figures.sessions:
        st.markdown("There are no sessions in this selection.")
        return
    st.markdown(_answer(figures))
    _tiles(scope, figures)
    _durations(scope)
    _two_averages(scope, figures)
    _events_per_session(scope)
    _starts(scope)
    _entries(scope, sessions_figures.entries(scope, LISTED))
    _exits(scope, figures)
    _new_year(scope, figures)


def _population(scope: Scope) -> str:
    return components.population(scope, "sessions")


def _answer(figures: SessionFigures) -> str:
    own, events = figures.over_sessions, figures.over_events
    return (
        f"A session lasts **{text.duration(own.mean)}** on average, and half of them at most "
        f"**{text.duration(own.median)}**; an average event lies in one of **{text.duration(events.mean)}**. "
        f"**{text.share(text.ratio(figures.bounces, figures.sessions))}** of {text.count(figures.sessions)} sessions "
        "have at most one step of intent."
    )


def _tiles(scope: Scope, figures: SessionFigures) -> None:
    low, high = wilson(figures.bounces / figures.sessions, figures.sessions)
    components.tiles(
        [
            Tile(
                "Sessions",
                text.count(figures.sessions),
                f"{text.count(figures.single_events)} of one event",
                "Sessions that started in scope; one that crosses New Year counts once.",
            ),
            Tile(
                "Average session",
                text.duration(figures.over_sessions.mean),
                f"over events: {text.duration(figures.over_events.mean)}",
                "Over sessions every session counts once. Over events every event counts once and carries the duration "
                "of its session, so long sessions weigh more.",
            ),
            Tile(
                "Median session",
                text.duration(figures.over_sessions.median),
                f"95 % are below {text.duration(figures.over_sessions.p95)}",
                "Half of the sessions are shorter.",
            ),
            Tile(
                "Bounces",
                text.share(text.ratio(figures.bounces, figures.sessions)),
                f"95 % interval {100 * low:.1f} to {100 * high:.1f} %",
                "Share of sessions with at most one step of intent: what the user interface does by itself is left "
                "out, and repeats of one event are one step.",
            ),
        ]
    )
    components.caption("sessions", "sessions and durations", _population(scope), scope.as_of)


def _durations(scope: Scope) -> None:
    st.subheader("How long are sessions, and in which of them do events happen?")
    rows = sessions_figures.distribution(scope, "seconds", sessions_figures.DURATIONS)
    _distribution(
        scope,
        rows,
        title="Durations of sessions",
        axis="Duration (classes grow about threefold)",
        column="Duration",
        meaning="from a session's first to its last event",
    )


def _events_per_session(scope: Scope) -> None:
    st.subheader("How much happens in a session?")
    rows = sessions_figures.distribution(scope, "events", sessions_figures.EVENT_COUNTS)
    _distribution(
        scope,
        rows,
        title="Events per session",
        axis="Events of a session (classes grow about twofold)",
        column="Events",
        meaning="events of a session, those of the user interface included",
    )


def _distribution(
    scope: Scope, rows: Sequence[tuple[str, int, int]], *, title: str, axis: str, column: str, meaning: str
) -> None:
    figure = charts.two_weightings(rows, title=title, axis=axis)
    components.chart(figure, title, scope)
    components.caption("sessions", f"share of sessions and of events; {meaning}", _population(scope), scope.as_of)
    components.export(
        [{column: name, "Sessions": sessions, "Events in them": events} for name, sessions, events in rows],
        title,
        scope,
        source="sessions",
        figure=figure,
    )


def _two_averages(scope: Scope, figures: SessionFigures) -> None:
    st.subheader("Which average is right?")
    ratio = text.ratio(figures.over_events.mean or 0, figures.over_sessions.mean or 0)
    st.markdown(
        "Both: they answer different questions. **Over sessions**: take any session, how long is it? Every session "
        "counts once, so the many short ones decide. **Over events**: take anything that happened, how long was the "
        "session around it? A session of 100 events counts a hundred times, so the long ones decide"
        + (f"; here that makes the mean {ratio:.1f} times as long." if ratio else ".")
    )
    rows = [
        _weighting_row("sessions", "each session once", figures.over_sessions),
        _weighting_row("events", "each event, with its session's duration", figures.over_events),
    ]
    st.dataframe(
        rows, hide_index=True, width="stretch", alt="Table of session durations over sessions and over events."
    )
    components.caption("sessions", "durations", _population(scope), scope.as_of)
    components.export(
        [
            {
                "Over": name,
                "Observations": weighting.observations,
                "Mean (s)": weighting.mean,
                "Median (s)": weighting.median,
                "95th percentile (s)": weighting.p95,
                "Longest (s)": weighting.longest,
            }
            for name, weighting in (("sessions", figures.over_sessions), ("events", figures.over_events))
        ],
        "Average session duration in two ways",
        scope,
        source="sessions",
    )


def _weighting_row(over: str, counted: str, weighting: Weighting) -> dict[str, str]:
    return {
        "Over": over,
        "What counts": counted,
        "Observations": text.count(weighting.observations),
        "Mean": text.duration(weighting.mean),
        "Median": text.duration(weighting.median),
        "95th percentile": text.duration(weighting.p95),
        "Longest": text.duration(weighting.longest),
    }


def _starts(scope: Scope) -> None:
    st.subheader("When do sessions start?")
    components.weekly_rhythm(
        sessions_figures.starts(scope),
        "Session starts by weekday and hour",
        scope,
        source="sessions",
        rows="sessions",
        unit="session starts",
    )


def _entries(scope: Scope, entries: Sequence[EntryEvent]) -> None:
    st.subheader("How do sessions begin, and which beginnings lead nowhere?")
    bars = []
    for entry in entries:
        share = entry.bounces / entry.sessions
        low, high = wilson(share, entry.sessions)
        few = entry.sessions < FEW_SESSIONS
        bars.append(
            base.Bar(
                entry.event,
                share,
                f"{text.exact_share(share)} [{100 * low:.1f}–{100 * high:.1f}] of {text.count(entry.sessions)}",
                base.GREY if few else base.PURPLE,
                interval=(low, high),
            )
        )
    figure = base.bars(bars, title="Bounces by first event", unit="share of sessions", longest=1.0)
    components.chart(figure, "bounces-by-first-event", scope)
    components.caption(
        "sessions",
        "share of sessions that bounce, with 95 % Wilson interval and number of sessions",
        f"{_population(scope)}, by their first event, the {len(entries)} most frequent; "
        f"grey below {FEW_SESSIONS} sessions",
        scope.as_of,
    )
    components.export(
        [
            {
                "First event": text.visible(entry.event),
                "Sessions": entry.sessions,
                "Bounces": entry.bounces,
                "Share": entry.bounces / entry.sessions,
                "Low": wilson(entry.bounces / entry.sessions, entry.sessions)[0],
                "High": wilson(entry.bounces / entry.sessions, entry.sessions)[1],
                "Median duration (s)": entry.median_seconds,
            }
            for entry in entries
        ],
        "Bounces by first event",
        scope,
        source="sessions",
        figure=figure,
    )


def _exits(scope: Scope, figures: SessionFigures) -> None:
    st.subheader("How do sessions end?")
    exits = sessions_figures.exits(scope, LISTED)
    figure = base.ranking(exits, figures.sessions, title="Last events", unit="sessions", colour=base.PURPLE)
    components.chart(figure, "last-events", scope)
    components.caption(
        "sessions",
        "sessions and share of all",
        f"{_population(scope)}, by their last event, the {len(exits)} most frequent",
        scope.as_of,
    )
    components.export(
        [
            {"Last event": text.visible(name), "Sessions": number, "Share": number / figures.sessions}
            for name, number in exits
        ],
        "Last events of sessions",
        scope,
        source="sessions",
        figure=figure,
    )


def _new_year(scope: Scope, figures: SessionFigures) -> None:
    number = figures.over_new_year
    if number:
        st.caption(
            f"Sessions that cross New Year: {text.count(number)}. Each lies in two deliveries and counts once, where "
            "it starts."
        )
