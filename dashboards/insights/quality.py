"""Page "Data quality & drift" of the insights app: how far to trust a delivery, and how it differs from the last.

Put here: the order and wording of this page. Keep out: reading (``quality_figures.py``) and drawing
(``charts/limits.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from dashboards import components, text
from dashboards.charts import base, limits
from dashboards.components import Tile
from dashboards.insights import quality_figures
from dashboards.insights.quality_figures import ASSET, Report
from dashboards.selection import Scope

DELIVERY_KEY, MEASURE_KEY, COLUMN_KEY = "delivery", "measure", "column"
"""Widget keys and query parameters of this page."""

MEASURES = {"psi": "Population stability index", "js": "Jensen-Shannon divergence, bits"}

LIMIT_NAMES = {"psi": "psi", "js": "js_bits"}
"""Names of the measures' limits in the report."""

OUTLIER_GRADE, ACTOR_GRADE = "outliers_within_limits", "not_dominated_by_one_actor"
"""Grades whose limits the parts below repeat."""

EVENTS_LISTED = 20
"""New and vanished event types in view; the export has all that the report lists."""


def show(scope: Scope) -> None:
    """Draw the page."""
    st.title("Can these data be trusted?")
    years = scope.results["years"][::-1]
    year = st.selectbox("Delivery", years, key=DELIVERY_KEY, help="Year of the folder under raw/.", bind="query-params")
    components.unfiltered(scope, f"this page, which is about the delivery of {year}")
    with components.explained():
        report = quality_figures.report(scope, year)
        st.markdown(_answer(report))
        _tiles(report)
        _grades(report)
        with components.explained():
            _years(scope)
        _drift(scope, report)
        _concentration(scope, report)
        _order_and_outliers(report)
        st.markdown(
            f"Every cleaning step, column and refused record of {year}: "
            f"{components.processing_link('the processing dashboard', year=year)}."
        )


def _name(name: str) -> str:
    return name.replace("_", " ")


def _caption(report: Report, unit: str, population: str) -> None:
    components.caption(ASSET, unit, f"{population}, delivery of {report.year}", text.minute(report.as_of))


def _export(report: Report, rows: Sequence[dict[str, Any]], name: str) -> None:
    """Export of rows that the filters do not narrow."""
    facts = {"Delivery": report.year, "Data as of": text.minute(report.as_of), "Source": ASSET}
    components.download(rows, f"{name} {report.year}", facts, (report.as_of or "")[:10] or None)


def _answer(report: Report) -> str:
    """The verdict in one or two sentences."""
    failed = [grade for grade in report.grades if not grade["passed"]]
    sentence = f"**{report.passed} of {len(report.grades)} grades** of {report.year} are within their limits"
    if failed:
        sentence += f"; beyond them: {text.listed([text.prose(_name(grade['name'])) for grade in failed])}"
    if report.drift is None:
        return f"{sentence}. There is no year before it to compare with."
    before = text.prose(report.drift["previous_year"])
    drifted = report.drifted
    if not drifted:
        number = len(report.drift["columns"])
        return f"{sentence}. None of {number} fields differs from {before} by more than its limit and chance."
    worst = drifted[0]
    return (
        f"{sentence}. **{len(drifted)} of {len(report.drift['columns'])} fields** drifted since {before}, most "
        f"{text.code(worst['column'])}: {worst['times_limit']:.1f} times its limit."
    )


def _tiles(report: Report) -> None:
    concentration, order = report.concentration, report.order
    certain = None if order["burst_step_share"] is None else 1 - order["burst_step_share"]
    drift = report.drift
    components.tiles(
        [
            Tile("Grades within limits", f"{report.passed} of {len(report.grades)}", "by analytics.toml"),
            Tile(
                "Drifted fields",
                text.NO_DATA if drift is None else f"{len(report.drifted)} of {len(drift['columns'])}",
                "no year before" if drift is None else f"against {drift['previous_year']}",
                "Beyond the limit of PSI or Jensen-Shannon divergence, and beyond what chance gives.",
            ),
            Tile(
                "Top actor's events",
                text.share(concentration["top_actor_share"]),
                "no actor" if concentration["gini"] is None else f"Gini {concentration['gini']:.2f}",
                "Share of the events with an actor. Gini coefficient of events per actor: 0 all alike, 1 one has all.",
            ),
            Tile(
                "Certain order",
                text.share(certain),
                f"{text.share(order['burst_step_share'])} in bursts",
                "Share of the steps from one event of a session to the next. Two events closer than the burst limit "
                "(50 ms as shipped) have no certain order.",
            ),
        ]
    )  # fmt: skip


def _shown(grade: dict[str, Any]) -> str:
    """Value and limit of a grade; all are shares but drift, which is a multiple."""
    if grade["value"] is None:
        return "nothing to measure"
    if grade["name"] == "stable_against_previous_year":
        return f"{grade['value']:.2f} × limit"
    return f"{text.share(grade['value'])} of at most {text.share(grade['limit'])}"


def _grades(report: Report) -> None:
    st.subheader("Which figures are within their limits?")
    rows = [
        limits.Measured(_name(grade["name"]), grade["value"], grade["limit"], _shown(grade), grade["passed"])
        for grade in report.grades
    ]
    components.chart(limits.against_limits(rows, title="Grades"), "grades")
    _caption(report, "figure as a multiple of its limit (grey line)", "all accepted events")
    listed = [
        {
            "Passed": f"{limits.PASSED if grade['passed'] else limits.FAILED}",
            "Grade": _name(grade["name"]),
            "Value": grade["value"],
            "Limit": grade["limit"],
            "What it is": grade["what"],
            "Beyond the limit": "; ".join(
                f"{text.visible(offender['name'])} {offender['value']:.4g}" for offender in grade["offenders"]
            ),
        }
        for grade in report.grades
    ]
    with st.expander("What each grade is, and what is beyond it"):
        st.dataframe(listed, hide_index=True, width="stretch", alt="Table of grades with value, limit and meaning.")
        _export(report, listed, "grades")


def _years(scope: Scope) -> None:
    """Grades of all deliveries side by side, when there are several."""
    years = scope.results["years"]
    if len(years) < 2:
        return
    st.subheader("Is quality getting better or worse?")
    reports = [quality_figures.report(scope, year) for year in years]
    grades: dict[str, dict[str, Any]] = {}
    for report in reports:
        for grade in report.grades:
            row = grades.setdefault(grade["name"], {"Grade": _name(grade["name"])})
            row[report.year] = f"{limits.PASSED if grade['passed'] else limits.FAILED} {_shown(grade)}"
    st.dataframe(
        list(grades.values()),
        hide_index=True,
        width="stretch",
        column_config={"Grade": st.column_config.TextColumn(pinned=True)},
        alt="Table of grades by year of delivery.",
    )
    components.caption(ASSET, "value and limit", "all accepted events, by year of delivery", scope.as_of)
    components.export(list(grades.values()), "grades by year", scope, source=ASSET)


def _drift(scope: Scope, report: Report) -> None:
    drift = report.drift
    st.subheader("What changed since the year before?")
    if drift is None:
        st.info(f"There is no delivery before {report.year} to compare with.", icon=":material/do_not_disturb_on:")
        return
    measure = st.segmented_control(
        "Measure",
        list(MEASURES),
        default="psi",
        required=True,
        key=MEASURE_KEY,
        format_func=MEASURES.__getitem__,
        help="PSI = sum((a - e) ln(a / e)) over the shares of the values; Jensen-Shannon divergence runs from 0 to 1.",
        bind="query-params",
    )
    limit = drift["limits"][LIMIT_NAMES[measure]]
    columns = sorted(drift["columns"], key=lambda column: (-(column["times_limit"] or 0), -(column[measure] or 0)))
    rows = [
        limits.Measured(
            f"{column['column']} ({column['grain']})",
            column[measure],
            limit,
            _drift_shown(column, measure),
            not column["drifted"],
            column[f"{measure}_by_chance"],
        )
        for column in columns
    ]
    components.chart(limits.against_limits(rows, title=f"Drift, {MEASURES[measure]}"), "drift")
    _caption(
        report,
        f"{MEASURES[measure]} against the limit {limit:g} (grey line); diamond: what chance exceeds 1 time in 20",
        f"all accepted events against those of {drift['previous_year']}; ✗: beyond limit and chance in either measure",
    )
    _export(report, [{name: column[name] for name in column if name != "largest"} for column in columns], "drift")
    _moved(report, columns)
    _event_types(report, drift)
    _transitions(report, drift)


def _drift_shown(column: dict[str, Any], measure: str) -> str:
    if column[measure] is None:
        return "nothing to compare"
    chance = column[f"{measure}_by_chance"]
    return f"{column[measure]:.3f}" + ("" if chance is None else f", by chance up to {chance:.3f}")


def _moved(report: Report, columns: Sequence[dict[str, Any]]) -> None:
    """The values of one field whose shares moved most."""
    by_name = {column["column"]: column for column in columns}
    column = st.selectbox("Values of the field", list(by_name), key=COLUMN_KEY, format_func=_name, bind="query-params")
    rows = [
        {
            "Value": text.visible(change["value"]),
            "Before": change["share_before"],
            "Now": change["share_now"],
            "Change": change["share_now"] - change["share_before"],
        }
        for change in by_name[column]["largest"]
    ]
    if not rows:
        st.info("No value of this field has another share than the year before.", icon=":material/check:")
        return
    shares = {name: st.column_config.NumberColumn(format="percent") for name in ("Before", "Now")}
    change = st.column_config.NumberColumn("Change, of all rows", format="percent")
    st.dataframe(
        rows,
        hide_index=True,
        width="stretch",
        column_config={**shares, "Change": change},
        alt=f"Table of the values of {_name(column)} whose shares changed most.",
    )
    grain = by_name[column]["grain"]
    _caption(report, f"share of all {grain}s", f"the {len(rows)} of {by_name[column]['values']} values that moved most")
    _export(report, rows, f"values of {column}")


def _event_types(report: Report, drift: dict[str, Any]) -> None:
    for place, kind, question, none in zip(
        st.columns(2),
        ("new", "vanished"),
        ("Which event types are new?", "Which event types vanished?"),
        ("Every event type was there the year before.", "No event type of the year before is missing."),
        strict=True,
    ):
        with place:
            st.markdown(f"**{question}**")
            listed = drift["event_types"][kind]
            if not listed:
                st.markdown(none)
                continue
            rows = [{"Event type": text.visible(row["event_type"]), "Events": row["events"]} for row in listed]
            st.dataframe(
                rows[:EVENTS_LISTED],
                hide_index=True,
                width="stretch",
                column_config={"Events": st.column_config.NumberColumn(format="localized")},
                alt=f"Table of {kind} event types with their events.",
            )
            year = report.year if kind == "new" else drift["previous_year"]
            _caption(report, f"events in {year}", f"{len(rows[:EVENTS_LISTED])} of {len(rows)} {kind} event types")
            _export(report, rows, f"{kind} event types")


def _transitions(report: Report, drift: dict[str, Any]) -> None:
    found = drift["transitions"]
    st.markdown("**After which events do people go on differently?**")
    if not found["largest"]:
        st.markdown(f"No event has {found['min_transitions']} transitions in both years.")
        return
    rows = [
        base.Bar(
            row["from_event"],
            row["js"],
            f"{row['js']:.3f} · {text.count(row['transitions'])} and {text.count(row['previous_transitions'])} before",
        )
        for row in found["largest"]
    ]  # fmt: skip
    components.chart(base.bars(rows, title="Change of the next event", unit="bits", longest=1.0), "transitions")
    mean = "" if found["mean_js"] is None else f"; weighted mean {found['mean_js']:.3f}"
    _caption(
        report,
        f"Jensen-Shannon divergence of the next event, 0 the same to 1 nothing in common{mean}",
        f"intent stream; the {len(rows)} of {found['compared_events']} events with at least {found['min_transitions']} "
        "transitions in both years that changed most; chance makes some of it, more for fewer transitions",
    )
    _export(report, found["largest"], "changed transitions")


def _limit(report: Report, name: str) -> float | None:
    return next((grade["limit"] for grade in report.grades if grade["name"] == name), None)


def _concentration(scope: Scope, report: Report) -> None:
    st.subheader("Does one actor, or a machine, own the figures?")
    found = report.concentration
    limit = _limit(report, ACTOR_GRADE)
    measured = [row for row in found["headlines"] if row["relative_change"] is not None]
    if limit is not None and measured:
        rows = [
            limits.Measured(
                _name(row["name"]),
                abs(row["relative_change"]),
                limit,
                f"{100 * row['relative_change']:+.1f} % without",
                abs(row["relative_change"]) <= limit,
            )
            for row in sorted(measured, key=lambda row: -abs(row["relative_change"]))
        ]
        components.chart(limits.against_limits(rows, title="Headlines without the most active actor"), "headlines")
        _caption(
            report, f"change without the most active actor against the limit of {text.share(limit)}", "headline figures"
        )
        _export(report, found["headlines"], "headlines without the most active actor")
    classes = [
        {
            "Class": row["actor_class"],
            "Actors": row["actors"],
            "Events": row["events"],
            "Share of events": row["events_share"],
            "Sessions": row["sessions"],
            "Share of sessions": row["sessions_share"],
        }
        for row in found["classes"]
    ]
    counts = {name: st.column_config.NumberColumn(format="localized") for name in ("Actors", "Events", "Sessions")}
    shares = {
        name: st.column_config.NumberColumn(format="percent") for name in ("Share of events", "Share of sessions")
    }
    st.dataframe(
        classes,
        hide_index=True,
        width="stretch",
        column_config={**counts, **shares},
        alt="Table of the classes of actors with their actors, events and sessions.",
    )
    _caption(report, "actors, events, sessions", "users and devices are people; scripted: machines; sentinel: nobody")
    _export(report, classes, "classes of actors")


def _order_and_outliers(report: Report) -> None:
    st.subheader("How many values are outliers?")
    limit = _limit(report, OUTLIER_GRADE)
    measured = [number for number in report.numeric if number["iqr"]["share"] is not None]
    if limit is None or not measured:
        st.info("There is no number to look at.", icon=":material/do_not_disturb_on:")
        return
    rows = [
        limits.Measured(
            f"{_name(number['name'])} ({number['grain']})",
            number["iqr"]["share"],
            limit,
            f"{text.share(number['iqr']['share'])}, by z-score {text.share(number['z']['share'])}",
            number["iqr"]["share"] <= limit,
        )
        for number in sorted(measured, key=lambda number: -number["iqr"]["share"])
    ]
    components.chart(limits.against_limits(rows, title="Outliers"), "outliers")
    _caption(
        report,
        f"share of values outside the Tukey fences, against the limit of {text.share(limit)}",
        "each number at its own grain; long tails are normal for durations and counts",
    )
    _export(
        report,
        [
            {
                "Number": number["name"],
                "Grain": number["grain"],
                "Values": number["count"],
                "Fence from": number["iqr"]["low"],
                "Fence to": number["iqr"]["high"],
                "Outside the fences": number["iqr"]["outliers"],
                "Beyond the z-score": number["z"]["outliers"],
                "z limit": number["z"]["limit"],
            }
            for number in report.numeric
        ],
        "outliers",
    )
    order = report.order
    st.subheader("Is the order of events certain?")
    if not order["steps"]:
        st.info("No session has two events.", icon=":material/do_not_disturb_on:")
        return
    st.markdown(
        f"Of **{text.count(order['steps'])} steps** from one event of a session to the next, "
        f"**{text.count(order['tied_steps'])}** ({text.share(order['tied_step_share'])}) are at the same microsecond "
        f"and **{text.count(order['burst_steps'])}** ({text.share(order['burst_step_share'])}) closer than the burst "
        "limit: which came first is a convention there."
    )
    _caption(report, "steps", "events of sessions in the order of time, counter, identity")
