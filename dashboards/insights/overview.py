"""Page "Overview" of the insights app: what people do, when, from where, and what models make of it.

Put here: the order and wording of this page. Keep out: counting (``selection.py``) and drawing (``charts``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import streamlit as st

from analytics_assets.core.intervals import wilson
from dashboards import components, data, selection, shapes, text
from dashboards.charts import activity, base, segments
from dashboards.components import Tile
from dashboards.insights import comparison, concentration
from dashboards.insights.comparison import COMPARED_DAYS, Comparison
from dashboards.selection import Figures, Ranking, Scope

MAP_POINTS = 2_000
"""Actors drawn on the segment map: more would hide each other and slow the browser."""

SHORT_LIST = 8
"""Rows of a list that shares its line with another one."""

LEAD_LIST = 12
"""Rows of the list of events."""

FEW_SCORED = 30
"""Below this many scored transitions an accuracy says little."""

FINDINGS_SHOWN = 5
"""Findings in view: as many as a person keeps in mind; the others are one click away."""

WEEKDAY_NAMES = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")


def show(scope: Scope) -> None:
    """Draw the page."""
    figures = selection.figures(scope)
    st.title("What do people do, and when?")
    st.markdown(_answer(scope, figures))
    _tiles(scope, figures)
    concentration.note(scope)
    _findings(scope)
    _activity(scope)
    _weekly_rhythm(scope)
    _events(scope, figures)
    _places_and_devices(scope, figures)
    _session_ends(scope, figures)
    _transitions(scope)
    st.markdown("[How sessions flow, step by step](journeys)")
    with components.explained():
        _next_event(scope)
    st.markdown("[All models, and what they expect after a journey of your choice](next-event)")
    with components.explained():
        _segments(scope)
    st.markdown("[What the segments are like, and where the model would put somebody](segments)")


def _answer(scope: Scope, figures: Figures) -> str:
    active = [entry for entry in scope.daily if entry["events"]]
    if not active:
        return "There are no events in this selection."
    sums = [0] * 7
    for entry in active:
        sums[date.fromisoformat(entry["date"]).weekday()] += entry["events"]
    sentence = (
        f"**{text.count(figures.users)} users** made **{text.count(figures.events)} events** in "
        f"**{text.count(figures.sessions)} sessions** from {text.day(active[0]['date'])} to "
        f"{text.day(active[-1]['date'])}, busiest on {WEEKDAY_NAMES[sums.index(max(sums))]}"
    )
    if figures.top_events:
        name, number = figures.top_events[0]
        sentence += f"; {text.code(name)} alone is {text.share(text.ratio(number, figures.events))} of all events"
    if figures.session_seconds_mean is None:
        return sentence + "."
    return (
        f"{sentence}. A session lasts **{text.duration(figures.session_seconds_mean)}** on average; an average event "
        f"lies in one of **{text.duration(figures.event_session_seconds_mean)}**."
    )


def _monthly_session_seconds(scope: Scope) -> list[float]:
    """Mean session duration of each month that has a session."""
    seconds: dict[str, float] = {}
    sessions: dict[str, int] = {}
    for entry in scope.daily:
        if entry["mean_session_seconds"] is not None:
            month = entry["date"][:7]
            seconds[month] = seconds.get(month, 0) + entry["mean_session_seconds"] * entry["sessions"]
            sessions[month] = sessions.get(month, 0) + entry["sessions"]
    return [seconds[month] / sessions[month] for month in seconds if sessions[month]]


def _compared(scope: Scope) -> tuple[Comparison | None, str]:
    """The latest weeks against those before, and in words what is compared or why nothing is."""
    try:
        compared = comparison.latest(scope)
    except data.LakeFileError:
        return None, "No change is shown: a file that it is counted from cannot be read, as is said below."
    if compared is None:
        return None, f"No change is shown: this selection does not hold {2 * COMPARED_DAYS} whole days in a row."
    return compared, (
        f"Changes: {compared.current.words} against {compared.previous.words}, the last {COMPARED_DAYS} whole days of "
        "this selection and as many before them."
    )


def _tiles(scope: Scope, figures: Figures) -> None:
    compared, said = _compared(scope)
    per_session, per_event = scope.metric("session_seconds_mean"), scope.metric("event_session_seconds_mean")

    def meaning(name: str) -> str:
        metric = scope.metric(name)
        return f"{metric['label']}: {metric['population']}, from {text.code(metric['source'])}."

    def change(name: str) -> float | None:
        return compared.change(name) if compared else None

    def note(name: str, otherwise: str) -> str:
        return f"in {COMPARED_DAYS} days" if change(name) is not None else otherwise

    components.tiles(
        [
            Tile(
                "Events",
                text.count(figures.events),
                note("events", "events by month"),
                f"{meaning('events')} The line counts them by month.",
                [entry["events"] for entry in scope.months],
                change=change("events"),
            ),
            Tile(
                "Users",
                text.count(figures.users),
                note("users", "active actors by month"),
                f"{meaning('users')} The line counts actors by month: users, else devices.",
                [entry["actors"] for entry in scope.months],
                change=change("users"),
            ),
            Tile(
                "Sessions",
                text.count(figures.sessions),
                note("sessions", "sessions by month"),
                f"{meaning('sessions')} The line counts them by month.",
                [entry["sessions"] for entry in scope.months],
                change=change("sessions"),
            ),
            Tile(
                "Average session",
                text.duration(figures.session_seconds_mean),
                note("session_seconds_mean", "over sessions"),
                f"{per_session['label']}: every session counts once. {per_event['label']}: a mean over "
                f"{per_event['denominator']}, so long sessions weigh more. The line is the mean over "
                "sessions by month.",
                _monthly_session_seconds(scope),
                change=change("session_seconds_mean"),
            ),
        ]
    )
    components.caption(
        "analysis_results" if not scope.narrowed else "clean_events, sessions",
        "counts and durations",
        components.population(scope, "events and sessions"),
        scope.as_of,
        None if scope.narrowed else "events",
    )
    st.caption(said)


def _findings(scope: Scope) -> None:
    """The ranked findings, which are about all years."""
    findings = scope.results["findings"]
    st.subheader("What stands out?")
    if not findings:
        st.info("No finding has enough support in these data.", icon=":material/do_not_disturb_on:")
        return
    shown = [
        f"{place}. **{text.prose(finding['title'])}** — {text.prose(finding['text'])} "
        f"From {text.code(finding['source'])}."
        for place, finding in enumerate(findings, start=1)
    ]
    st.markdown("\n".join(shown[:FINDINGS_SHOWN]))
    if shown[FINDINGS_SHOWN:]:
        with st.expander(f"{len(shown) - FINDINGS_SHOWN} more"):
            st.markdown("\n".join(shown[FINDINGS_SHOWN:]))
    st.caption(
        f"Source: analysis_results · all years, {text.span(scope.all_years)} · ranked by size of effect · "
        f"data as of {text.day(scope.results['data_as_of'])}"
    )


def _activity(scope: Scope) -> None:
    st.subheader("How much happens each day?")
    if not scope.daily:
        st.info("This selection has no day with events.")
        return
    figure = activity.daily_events(scope.daily)
    components.chart(figure, "daily-events", scope)
    idle = sum(not entry["events"] for entry in scope.daily)
    components.caption(
        "clean_events" if scope.narrowed_in_kind else "analysis_results",
        "events per UTC day",
        f"{components.population(scope)}; {text.count(idle)} of {text.count(len(scope.daily))} days have none "
        "and are drawn as zero",
        scope.as_of,
        None if scope.narrowed_in_kind else "lists.daily",
    )
    components.export(
        [{"Day (UTC)": entry["date"], "Events": entry["events"]} for entry in scope.daily],
        "Events by day",
        scope,
        source="clean_events" if scope.narrowed_in_kind else "analysis_results",
        figure=figure,
    )


def _weekly_rhythm(scope: Scope) -> None:
    st.subheader("At which hours of the week?")
    with components.explained():
        counted = selection.by_weekday_and_hour(scope)
        components.weekly_rhythm(counted, "Events by weekday and hour", scope, source="clean_events")


def _events(scope: Scope, figures: Figures) -> None:
    st.subheader("Which events are most frequent?")
    _ranked(
        scope,
        figures.top_events,
        figures.events,
        "Most frequent events",
        "clean_events",
        published="top_events",
        limit=LEAD_LIST,
    )


def _ranked(
    scope: Scope,
    rows: Ranking,
    total: int,
    title: str,
    table: str,
    *,
    published: str,
    unit: str = "events",
    limit: int = SHORT_LIST,
    colour: str = base.BLUE,
) -> None:
    """Bars of a ranked list of the results; `table` is what a narrowed one is counted from."""
    shown = rows[:limit]
    figure = base.ranking(shown, total, title=title, unit=unit, colour=colour)
    source = table if scope.narrowed else "analysis_results"
    components.chart(figure, title, scope)
    more = f", the {len(shown)} largest" if len(rows) > len(shown) else ""
    components.caption(
        source,
        f"{unit} and share of all",
        f"{components.population(scope, unit)}{more}",
        scope.as_of,
        None if scope.narrowed else f"lists.{published}",
    )
    components.export(
        [
            {"Name": text.visible(name), unit.capitalize(): number, "Share": text.ratio(number, total)}
            for name, number in shown
        ],
        title,
        scope,
        source=source,
        figure=figure,
    )


def _places_and_devices(scope: Scope, figures: Figures) -> None:
    for column, question, rows, missing, published in zip(
        st.columns(2),
        ("From which countries?", "On which devices?"),
        (figures.countries, figures.device_families),
        ("country", "device family"),
        ("countries", "device_families"),
        strict=True,
    ):
        with column:
            st.subheader(question)
            if all(name is None for name, _ in rows):
                st.info(
                    f"No event of {text.prose(scope.words) or 'these data'} names a {missing}.",
                    icon=":material/do_not_disturb_on:",
                )
            else:
                _ranked(scope, rows, figures.events, question, "clean_events", published=published, colour=base.GREEN)


def _session_ends(scope: Scope, figures: Figures) -> None:
    for column, question, rows, published in zip(
        st.columns(2),
        ("How do sessions begin?", "How do sessions end?"),
        (figures.entry_events, figures.exit_events),
        ("entry_events", "exit_events"),
        strict=True,
    ):
        with column:
            st.subheader(question)
            if rows:
                _ranked(
                    scope,
                    rows,
                    figures.sessions,
                    question,
                    "sessions",
                    published=published,
                    unit="sessions",
                    colour=base.PURPLE,
                )
            else:
                st.info("No event lies in a session.")


def _transitions(scope: Scope) -> None:
    st.subheader("Which event follows which?")
    rows = scope.results["lists"]["top_transitions"]
    if not rows:
        st.info("No session has two events.")
        return
    components.unfiltered(scope, "this table")
    total = scope.metric("transitions")["value"] or 0
    shown = [
        {
            "From": text.visible(row["from_event"]),
            "To": text.visible(row["to_event"]),
            "Times": row["transitions"],
            "Share": 100 * (text.ratio(row["transitions"], total) or 0),
        }
        for row in rows
    ]
    st.dataframe(
        shown,
        hide_index=True,
        width="stretch",
        column_config={
            "Times": st.column_config.NumberColumn(format="localized", help="Direct successions inside sessions."),
            "Share": st.column_config.ProgressColumn(
                "Share of all transitions", format="%.1f %%", min_value=0, max_value=100, color=base.BLUE
            ),
        },
        alt="Table of the most frequent successions of two events inside sessions.",
    )
    components.caption(
        "analysis_results",
        "transitions inside sessions",
        f"all sessions of all years; the {len(rows)} most frequent of "
        f"{text.count(scope.metric('distinct_transitions')['value'])} pairs",
        scope.as_of,
        "lists.top_transitions",
    )
    components.export(
        [{**row, "Share": row["Share"] / 100} for row in shown],
        "Most frequent transitions",
        Scope(scope.lake),
        source="analysis_results",
    )


def _next_event(scope: Scope) -> None:
    st.subheader("Can the next event be predicted?")
    metrics = data.model_metrics(scope.lake, "markov_chain", shapes.MARKOV_METRICS)
    if metrics is None:
        raise data.MissingFileError(scope.lake.model("markov_chain") / "metrics.json", "markov_chain")
    scored = metrics["test_transitions"]
    candidates = [
        ("Markov, two events back (model)", metrics["markov2_backoff_accuracy"], True),
        ("Markov, one event back (model)", metrics["markov1_accuracy"], True),
        ("Same event again (baseline)", metrics["repeat_accuracy"], False),
        ("Most frequent event (baseline)", metrics["most_frequent_accuracy"], False),
    ]
    known = [(name, accuracy, is_model) for name, accuracy, is_model in candidates if accuracy is not None]
    if not scored or not known:
        st.info("The test sessions have no transition to score.")
        return
    known.sort(key=lambda row: -row[1])
    st.markdown(_verdict(known, scored))
    rows = []
    for name, accuracy, is_model in known:
        low, high = wilson(accuracy, scored)
        rows.append(
            base.Bar(
                name,
                accuracy,
                f"{text.exact_share(accuracy)} [{100 * low:.1f}–{100 * high:.1f}]",
                base.BLUE if is_model and scored >= FEW_SCORED else base.GREY,
                interval=(low, high),
            )
        )
    figure = base.bars(rows, title="Accuracy of next-event predictions", unit="share of test transitions", longest=1.0)
    components.chart(figure, "markov")
    components.caption(
        "markov_chain",
        f"share of {text.count(scored)} transitions predicted exactly, with 95 % Wilson interval",
        f"the latest {text.count(metrics['test_sessions'])} sessions, learned from the "
        f"{text.count(metrics['train_sessions'])} before them, all years; one of the top 3 guesses of the one-event "
        f"chain is right in {text.exact_share(metrics['markov1_top3_accuracy'])}",
        scope.as_of,
    )


def _verdict(ranked: Sequence[tuple[str, float, bool]], scored: int) -> str:
    """Who predicts best, said without favour to the model; `ranked` is in falling order of accuracy."""
    models = [row for row in ranked if row[2]]
    baselines = [row for row in ranked if not row[2]]
    if scored < FEW_SCORED:
        return f"With only {scored} scored transitions this cannot be told."
    if not models or not baselines:
        return f"Best: {ranked[0][0]}, {text.exact_share(ranked[0][1])}."
    (model, model_share, _), (baseline, baseline_share, _) = models[0], baselines[0]
    low, high = wilson(model_share, scored)
    other_low, other_high = wilson(baseline_share, scored)
    own, other = text.exact_share(model_share), text.exact_share(baseline_share)
    if low > other_high:
        return f"Yes: **{model}** beats **{baseline}**, {own} against {other}."
    if high < other_low:
        return f"Not by these models: **{baseline}** is right more often than **{model}**, {other} against {own}."
    return f"No clear winner: the intervals of **{model}** and **{baseline}** overlap, {own} against {other}."


def _segments(scope: Scope) -> None:
    st.subheader("Which kinds of actors are there?")
    metrics = data.model_metrics(scope.lake, "kmeans_segments", shapes.KMEANS_METRICS)
    if metrics is None:
        raise data.MissingFileError(scope.lake.model("kmeans_segments") / "metrics.json", "kmeans_segments")
    clustered = metrics["clustered_actors"]
    st.markdown(_segment_answer(metrics))
    left, right = st.columns([2, 3])
    with left:
        sizes = list(zip(metrics["names"], metrics["sizes"], strict=False))
        components.chart(
            base.bars(
                [
                    base.Bar(
                        name,
                        number,
                        f"{text.count(number)} · {text.share(text.ratio(number, clustered))}",
                        segments.SEGMENT_COLOURS[place % len(segments.SEGMENT_COLOURS)],
                    )
                    for place, (name, number) in enumerate(sizes)
                ],
                title="Sizes of the segments",
                unit="actors",
            ),
            "sizes",
        )
        components.caption("kmeans_segments", "actors and share of all in a segment", "all years", scope.as_of)
    with right, components.explained():
        points, total = selection.segment_points(scope.lake, MAP_POINTS)
        if points:
            components.chart(segments.segment_map(points), "segments")
        drawn = f"; {text.count(len(points))} of {text.count(total)} drawn" if len(points) < total else ""
        components.caption(
            "kmeans_segments",
            "actors",
            f"{text.count(clustered)} actors with enough activity, all years{drawn}",
            scope.as_of,
        )


def _segment_answer(metrics: dict[str, Any]) -> str:
    left_out = metrics["actors"] - metrics["clustered_actors"]
    more = f"; {text.count(left_out)} more are machines or have too little activity to tell" if left_out else ""
    sentence = f"**{len(metrics['sizes'])} segments** of {text.count(metrics['clustered_actors'])} actors{more}."
    silhouette, shuffled = metrics["silhouette"], metrics["shuffled_silhouette"]
    if silhouette is None or shuffled is None:
        return sentence
    against = f"silhouette {silhouette:.2f} against {shuffled:.2f}"
    if silhouette <= shuffled:
        return f"{sentence} The same data shuffled separate as well ({against}): do not rely on them."
    return f"{sentence} They separate better than the same data shuffled: {against}."
