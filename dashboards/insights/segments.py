"""Page "Segments" of the insights app: kinds of people by what they do, how sure they are, and where one would be put.

Put here: the order and wording of this page. Keep out: its figures (``segments_figures.py``), moving an actor through
(``segments_move.py``), drawing (``charts``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from dashboards import components, data, event_names, selection, text
from dashboards.charts import base, heatmaps
from dashboards.charts import segments as charts
from dashboards.components import Tile
from dashboards.insights import segments_figures as figures
from dashboards.insights import segments_move
from dashboards.insights.segments_figures import ASSET, Feature
from dashboards.selection import Scope

MAP_POINTS = 2_000
"""Actors drawn on the map: more would hide each other and slow the browser."""

HALVES_OF_THE_HOUR = ("hour_sin", "hour_cos")
"""Measures that make an hour only together; the table shows the hour."""

STABLE = 0.75
"""Similarity with bootstrap samples from which a segment is called stable (Hennig 2007), as the model does."""


def show(scope: Scope) -> None:
    """Draw the page."""
    st.title("Which kinds of people are there?")
    metrics = data.model_metrics(scope.lake, ASSET, figures.METRICS)
    if metrics is None:
        raise data.MissingFileError(scope.lake.model(ASSET) / "metrics.json", ASSET)
    if not metrics["sizes"]:
        st.info("Nobody is active enough to be put into a segment.", icon=":material/do_not_disturb_on:")
        return
    st.markdown(_answer(metrics))
    components.unfiltered(scope, "this page")
    _tiles(metrics)
    labels = charts.segment_labels(metrics["names"])
    _sizes(scope, metrics, labels)
    with components.explained():
        _profile(scope, labels)
    with components.explained():
        _map(scope, metrics)
    with components.explained():
        segments_move.show(scope)
    with components.explained():
        _moves(scope, metrics, labels)
    with components.explained():
        _representatives(scope, labels)
    with components.explained():
        _choices(scope)


def _answer(metrics: dict[str, Any]) -> str:
    inside, sizes = metrics["clustered_actors"], metrics["sizes"]
    number = "1 segment" if len(sizes) == 1 else f"{len(sizes)} segments"
    sentence = (
        f"**{number}** of {text.count(inside)} people, the largest with "
        f"{text.share(text.ratio(sizes[0], inside))}: {text.code(metrics['names'][0])}"
    )
    silhouette, shuffled = metrics["silhouette"], metrics["shuffled_silhouette"]
    if silhouette is None or shuffled is None:
        return f"{sentence}. No number of segments separates better than chance."
    against = f"silhouette {silhouette:.2f} against {shuffled:.2f}"
    if silhouette <= shuffled:
        return f"{sentence}. The same data shuffled separate as well ({against}): do not rely on them."
    return f"{sentence}. They separate better than the same data shuffled: {against}."


def _tiles(metrics: dict[str, Any]) -> None:
    actors, inside = metrics["actors"], metrics["clustered_actors"]
    known = [value for value in metrics["stability"] if value is not None]
    drift = metrics["drift"]
    shown = [
        Tile("Segments", text.count(len(metrics["sizes"]))),
        Tile(
            "People in a segment",
            text.count(inside),
            f"of {text.count(actors)} actors",
            f"The others are machines, nobody in particular, or have fewer than {metrics['min_events']} events or "
            f"{metrics['min_active_days']} active days.",
        ),
    ]
    if known:
        shown.append(
            Tile(
                "Least stable segment",
                f"{min(known):.2f}",
                "1 is found in every sample",
                "Mean Jaccard similarity with the nearest segment of bootstrap samples.",
            )
        )
    if drift["same"] is not None:
        shown.append(
            Tile(
                "Stay where they are",
                text.exact_share(drift["same"]),
                f"by chance {text.exact_share(drift['same_by_chance'])}",
                f"Of {text.count(drift['actors'])} people active enough in both halves of the time.",
            )
        )
    components.tiles(shown)


def _sizes(scope: Scope, metrics: dict[str, Any], labels: Sequence[str]) -> None:
    st.subheader("How large are the segments, and are they found again?")
    stability = [*metrics["stability"], *[None] * len(labels)]
    bars = []
    for place, (label, number) in enumerate(zip(labels, metrics["sizes"], strict=False)):
        steady = stability[place]
        said = "" if steady is None else f" · stability {steady:.2f}"
        bars.append(
            base.Bar(
                label,
                number,
                f"{text.count(number)} · {text.share(text.ratio(number, metrics['clustered_actors']))}{said}",
                base.GREY
                if steady is not None and steady < STABLE
                else charts.SEGMENT_COLOURS[place % len(charts.SEGMENT_COLOURS)],
            )
        )
    figure = base.bars(bars, title="Sizes of the segments", unit="people")
    components.chart(figure, "sizes-of-segments", scope)
    components.caption(
        ASSET,
        f"people, share of all in a segment, similarity with bootstrap samples; grey below {STABLE}",
        "people with enough activity, all years",
        scope.as_of,
    )
    components.export(
        [
            {"Segment": text.visible(label), "People": number, "Stability": steady}
            for label, number, steady in zip(labels, metrics["sizes"], stability, strict=False)
        ],
        "Sizes of the segments",
        scope,
        source=ASSET,
        figure=figure,
    )


def natural(value: float, unit: str) -> str:
    """A feature's value for people, in its own unit."""
    if unit == "s":
        return text.duration(value)
    if unit == "share":
        return text.share(value)
    if unit == "h UTC":
        return f"{int(value * 60) // 60:02d}:{int(value * 60) % 60:02d}"
    return f"{value:.2f}" if not unit or abs(value) < 10 else f"{value:,.1f}"


def feature_name(feature: Feature) -> str:
    """A feature's name for people with its unit."""
    if feature.kind == "event":
        return event_names.readable(feature.name)
    if feature.kind in ("country", "device"):
        return f"{feature.kind}: {feature.name}"
    plain = feature.name.replace("_", " ")
    return f"{plain}, {feature.unit}" if feature.unit not in ("", "s", "share") else plain


def _profile(scope: Scope, labels: Sequence[str]) -> None:
    st.subheader("What are they like?")
    features = figures.profile(scope.lake)
    if not features:
        st.info("There is nothing to describe the segments by.", icon=":material/do_not_disturb_on:")
        return
    drawn = [
        feature
        for feature in features
        if feature.name not in HALVES_OF_THE_HOUR and any(value is not None for value in feature.z.values())
    ]
    numbers = range(len(labels))
    names = text.labels([feature_name(feature) for feature in drawn], heatmaps.ROW_LABEL)
    if drawn:
        figure = heatmaps.heatmap(
            names,
            labels,
            [[feature.z.get(number) for number in numbers] for feature in drawn],
            [
                [natural(feature.means[number], feature.unit) if number in feature.means else "" for number in numbers]
                for feature in drawn
            ],
            title="Profile of the segments",
            diverging=True,
        )
        components.chart(figure, "profile-of-segments", scope)
        components.caption(
            ASSET,
            "text: mean in its own unit; colour: distance from everybody in standard deviations, red above and blue "
            f"below; of the events the {figures.EVENTS_PROFILED} that differ most",
            "people in a segment, all years; places and devices only describe, segments were not made from them",
            scope.as_of,
        )
    with st.expander("As a table, with distances from everybody"):
        components.table(
            [
                {
                    "Feature": text.visible(feature_name(feature)),
                    "Everybody": natural(feature.overall, feature.unit),
                    **{
                        f"Segment {number}": text.NO_DATA
                        if number not in feature.means
                        else natural(feature.means[number], feature.unit) + _distance(feature.z.get(number))
                        for number in numbers
                    },
                }
                for feature in features
            ],
            "Profile of the segments",
            scope,
            source=ASSET,
            figure=figure,
            alt="Table of the mean of every feature by segment, with its distance from everybody.",
        )


def _distance(z: float | None) -> str:
    return "" if z is None else f" ({z:+.1f} sd)"


def _map(scope: Scope, metrics: dict[str, Any]) -> None:
    st.subheader("How do the segments lie to each other?")
    points, total = selection.segment_points(scope.lake, MAP_POINTS)
    if not points:
        st.info("Nobody is in a segment.", icon=":material/do_not_disturb_on:")
        return
    figure = charts.segment_map(points)
    components.chart(figure, "map-of-segments", scope)
    seen = sum(metrics["component_shares"])
    components.caption(
        ASSET,
        f"people on the two main components, which show {text.share(seen)} of how they differ",
        f"{text.count(len(points))} of {text.count(total)} people in a segment, all years",
        scope.as_of,
    )


def _moves(scope: Scope, metrics: dict[str, Any], labels: Sequence[str]) -> None:
    st.subheader("Do people stay in their segment?")
    shares, counts = figures.moves(scope.lake, len(labels))
    people = sum(map(sum, counts))
    if not people:
        st.info("Nobody is active enough in both halves of the time.", icon=":material/do_not_disturb_on:")
        return
    figure = heatmaps.heatmap(
        labels,
        labels,
        shares,
        [
            [f"{text.share(share)} ({number})" if share is not None else "" for share, number in zip(*row, strict=True)]
            for row in zip(shares, counts, strict=True)
        ],
        title="Segment in the second half of the time by segment in the first",
        rows_are="First half",
        columns_are="Second half",
    )
    components.chart(figure, "moves-between-segments", scope)
    components.caption(
        ASSET,
        "share of the people of the row, and people",
        f"{text.count(people)} people active enough before and after {text.minute(metrics['drift']['cut'])}",
        scope.as_of,
    )
    components.export(
        [
            {"First half": text.visible(label), **dict(zip(labels, row, strict=True))}
            for label, row in zip(labels, counts, strict=True)
        ],
        "Moves between segments",
        scope,
        source=ASSET,
        figure=figure,
    )


def _representatives(scope: Scope, labels: Sequence[str]) -> None:
    st.subheader("Who is most like each segment?")
    rows = figures.representatives(scope.lake)
    if not rows:
        st.info("Nobody is in a segment.", icon=":material/do_not_disturb_on:")
        return
    components.table(
        [
            {
                "Segment": text.visible(labels[segment] if segment < len(labels) else name),
                "Place": rank,
                "Actor": text.visible(actor),
                "Distance to the centre": distance,
            }
            for segment, name, rank, actor, distance in rows
        ],
        "Actors nearest to the centre of each segment",
        scope,
        source=ASSET,
        column_config={"Distance to the centre": st.column_config.NumberColumn(format="%.2f")},
        alt="Table of the actors nearest to the centre of each segment.",
    )
    components.caption(ASSET, "distance in the scaled space", "pseudonyms; paste one above", scope.as_of)


def _choices(scope: Scope) -> None:
    st.subheader("Why this many?")
    rows = figures.choices(scope.lake)
    if not rows:
        st.info("Too few people to compare numbers of segments.", icon=":material/do_not_disturb_on:")
        return
    components.table(
        [
            {
                "Segments": row.k,
                "Silhouette": row.silhouette,
                "The same, shuffled": row.shuffled_silhouette,
                "Mean over segments": row.macro_silhouette,
                "Calinski-Harabasz": row.calinski_harabasz,
                "Least stable": row.stability,
                "Smallest": row.smallest,
                "Verdict": "chosen"
                if row.chosen
                else "too small a segment"
                if not row.large_enough
                else "not stable"
                if not row.stable
                else "separates less",
            }
            for row in rows
        ],
        "Numbers of segments",
        scope,
        source=ASSET,
        column_config={
            **{
                name: st.column_config.NumberColumn(format="%.2f")
                for name in ("Silhouette", "The same, shuffled", "Mean over segments", "Least stable")
            },
            "Calinski-Harabasz": st.column_config.NumberColumn(format="%.1f"),
        },
        alt="Table of the numbers of segments that were tried.",
    )
    components.caption(
        ASSET,
        "silhouette from -1 to 1, higher separates better; stability from 0 to 1",
        "people with enough activity, all years",
        scope.as_of,
    )
