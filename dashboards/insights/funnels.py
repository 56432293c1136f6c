"""Page "Funnels" of the insights app: where people drop out on the way through a list of steps.

Put here: the order and wording of this page. Keep out: counting (``funnel_figures.py``) and drawing (``charts``).
"""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
import streamlit as st

from dashboards import components, populations, selection, text
from dashboards.charts import base
from dashboards.components import Tile
from dashboards.insights import funnel_figures
from dashboards.insights.funnel_figures import FEWEST_STEPS, MOST_STEPS, Funnel, Published, Step
from dashboards.selection import Scope

FUNNEL_KEY, UNIT_KEY = "funnel", "per"
"""Widget keys and query parameters of this page; each step and each kind of window has one of its own."""

STEP_KEYS = tuple(f"step{number}" for number in range(1, MOST_STEPS + 1))

OWN = "own steps"
"""Value of the choice of funnels under which the steps are chosen on the page."""

FEW_UNITS = 30
"""Below this many units at the first step a share says little; its bar is grey."""

UNIT_NAMES = {"session": "sessions", "actor": "actors"}

MINUTES_PER_DAY = 1_440

WINDOW_NOUNS = {"session": "minutes", "actor": "days"}

WINDOW_KEYS = {"session": "within_minutes", "actor": "within_days"}
"""Widget keys and query parameters of the windows: one each, so that both keep their number."""

LONGEST_WINDOW = {"session": 1_440, "actor": 366}
"""Minutes of a session and days of an actor: a day and a year, beyond which a window is none."""

DEFAULT_WINDOW = {"session": 60, "actor": 7}
"""Minutes and days: the windows that the shipped settings and weekly habits suggest."""


def show(scope: Scope) -> None:
    """Draw the page."""
    st.title("Where do people drop out?")
    with components.explained():
        published: list[Published] = []
        with components.explained():
            published = funnel_figures.published(scope)
        name, funnel, population = _choice(scope, published)
        if funnel is None:
            st.info(f"Choose at least {FEWEST_STEPS} steps.", icon=":material/checklist:")
        else:
            _funnel(scope, name, funnel, population)
        if published:
            _published(scope, published, population)


def _choice(scope: Scope, published: Sequence[Published]) -> tuple[str, Funnel | None, str]:
    """Draw the choice of funnel and population; the funnel is None while its steps are incomplete."""
    funnels = _by_name(published)
    left, right = st.columns([3, 2])
    name = left.selectbox(
        "Funnel",
        [*funnels, OWN],
        key=FUNNEL_KEY,
        format_func=text.visible,
        help="Configured in analytics.toml, found in the data as the most common journeys, or your own.",
        bind="query-params",
    )
    population = populations.choose(right)
    if name != OWN:
        funnel = funnels[name]
        if len(funnel.steps) <= MOST_STEPS:
            st.button("Change these steps", icon=":material/edit:", on_click=_take_over, args=(funnel,))
        return name, funnel, population
    return OWN, _own(scope), population


def _by_name(published: Sequence[Published]) -> dict[str, Funnel]:
    """Published funnels, those of the latest delivery first; a name that stood for other steps says in which one."""
    found: dict[str, Funnel] = {}
    for entry in sorted(published, key=lambda entry: entry.year, reverse=True):
        if found.setdefault(entry.name, entry.funnel) != entry.funnel:
            found[f"{entry.name} ({entry.year})"] = entry.funnel
    return found


def _take_over(funnel: Funnel) -> None:
    """Put the steps of a published funnel into the widgets for own steps."""
    st.session_state[FUNNEL_KEY] = OWN
    for key, step in zip(STEP_KEYS, (*funnel.steps, *[None] * MOST_STEPS), strict=False):
        st.session_state[key] = step
    st.session_state[UNIT_KEY] = funnel.scope
    minutes = funnel.window_minutes / (MINUTES_PER_DAY if funnel.scope == "actor" else 1)
    st.session_state[WINDOW_KEYS[funnel.scope]] = max(1, min(round(minutes), LONGEST_WINDOW[funnel.scope]))


def _own(scope: Scope) -> Funnel | None:
    """Draw the widgets for own steps."""
    events = selection.names(Scope(scope.lake), "event_type")
    steps: list[str] = []
    for row in (STEP_KEYS[:3], STEP_KEYS[3:]):
        for column, key in zip(st.columns(3), row, strict=True):
            step = column.selectbox(
                f"Step {STEP_KEYS.index(key) + 1}",
                events,
                index=None,
                key=key,
                placeholder="Choose an event",
                format_func=text.visible,
                bind="query-params",
            )
            if step is not None:
                steps.append(step)
    left, right = st.columns(2)
    unit = left.segmented_control(
        "Steps of one",
        list(UNIT_NAMES),
        default="session",
        required=True,
        key=UNIT_KEY,
        help="A session ends with the visit; an actor may take up the way another day.",
        bind="query-params",
    )
    window = right.number_input(
        f"Within how many {WINDOW_NOUNS[unit]} of the first step",
        min_value=1,
        max_value=LONGEST_WINDOW[unit],
        value=DEFAULT_WINDOW[unit],
        key=WINDOW_KEYS[unit],
        bind="query-params",
    )
    if len(steps) < FEWEST_STEPS:
        return None
    return Funnel(tuple(steps), unit, float(window * (MINUTES_PER_DAY if unit == "actor" else 1)))


def _funnel(scope: Scope, name: str, funnel: Funnel, population: str) -> None:
    steps = funnel_figures.counted(scope, funnel, population)
    st.markdown(_answer(scope, funnel, steps))
    if not steps[0].reached:
        return
    _tiles(funnel, steps)
    units = UNIT_NAMES[funnel.scope]
    people = "" if population == "all" else f", {populations.NAMES[population]}"
    about = f"{units} of {scope.words}{people}" if scope.narrowed else f"all {units}{people}"
    window = f"at most {_window(funnel)} after the first step"
    st.subheader("How many get how far?")
    components.chart(_progress(funnel, steps), "progress")
    few = f"; grey: fewer than {FEW_UNITS} began" if steps[0].first < FEW_UNITS else ""
    components.caption(
        "clean_events",
        f"{units} that reached the step, share of those that began with 95 % Wilson interval, and those lost before it",
        f"{about}; each step after the one before, {window}{few}",
        scope.as_of,
    )
    st.subheader("How long does each step take?")
    components.chart(_times(steps), "times")
    components.caption("clean_events", f"median time since the step before, over {units} that reached the step", about,
                       scope.as_of)  # fmt: skip
    st.subheader("All figures of this funnel")
    rows = [_row(number, step) for number, step in enumerate(steps, 1)]
    _table(rows, "Table of the steps with units reached, shares and times.")
    components.caption("clean_events", f"{units}, shares, seconds", about, scope.as_of)
    components.export(rows, f"funnel {name}", scope, source="clean_events")


def _share(step: Step) -> str:
    """Share of the units that began, with its interval."""
    low, high = step.interval
    return f"{text.exact_share(step.share_of_first)} [{100 * low:.1f}–{100 * high:.1f}]"


def _window(funnel: Funnel) -> str:
    return text.duration(funnel.window_minutes * 60)


def _answer(scope: Scope, funnel: Funnel, steps: Sequence[Step]) -> str:
    """The funnel in one sentence."""
    units = UNIT_NAMES[funnel.scope]
    first, last = steps[0], steps[-1]
    if not first.reached:
        where = f" of {text.prose(scope.words)}" if scope.narrowed else ""
        return f"None of the {units}{where} has the first step, {text.code(first.event_type)}."
    sentence = (
        f"**{_share(last)}** of the "
        f"**{text.count(first.reached)} {units}** that begin with {text.code(first.event_type)} reach "
        f"{text.code(last.event_type)} within {_window(funnel)}"
    )
    worst = max(steps[1:], key=lambda step: step.lost)
    if worst.lost:
        sentence += (
            f"; most are lost before {text.code(worst.event_type)}: {text.count(worst.lost)}, "
            f"{text.exact_share(text.ratio(worst.lost, worst.previous))} of those who had come that far"
        )
    return sentence + "."


def _tiles(funnel: Funnel, steps: Sequence[Step]) -> None:
    units = UNIT_NAMES[funnel.scope]
    first, last = steps[0], steps[-1]
    worst = max(steps[1:], key=lambda step: step.lost)
    low, high = last.interval
    seconds = [step.median_seconds for step in steps[1:] if step.median_seconds is not None]
    components.tiles(
        [
            Tile("Began", text.count(first.reached), units, f"{units.capitalize()} with the first step."),
            Tile("Finished", text.count(last.reached), f"of {text.count(first.reached)} {units}",
                 "Reached the last step in order and in time."),
            Tile("Conversion", text.exact_share(last.share_of_first), f"95 %: {100 * low:.1f} to {100 * high:.1f} %",
                 "Finished / began, with E. B. Wilson's interval."),
            Tile("Slowest step", text.duration(max(seconds, default=None)), "median time",
                 f"Since the step before. Largest loss: step {steps.index(worst) + 1}."),
        ]
    )  # fmt: skip


def _progress(funnel: Funnel, steps: Sequence[Step]) -> go.Figure:
    """Bars of units by step; the piece in another colour is what was lost since the step before."""
    rows = []
    for number, step in enumerate(steps, 1):
        low, high = step.interval
        shown = text.count(step.reached)
        if number > 1:
            shown += f" · {_share(step)}"
        rows.append(
            base.Bar(
                f"{number}. {step.event_type}",
                step.reached,
                shown,
                base.BLUE if step.first >= FEW_UNITS else base.GREY,
                lost=step.lost,
                interval=(low * step.first, high * step.first) if number > 1 else None,
            )
        )
    units = UNIT_NAMES[funnel.scope]
    return base.bars(rows, title=f"Funnel of {len(steps)} steps", unit=units, lost="lost since the step before")


def _times(steps: Sequence[Step]) -> go.Figure:
    rows = [
        base.Bar(
            f"{number}. {step.event_type}", step.median_seconds or 0.0, text.duration(step.median_seconds), base.GREEN
        )
        for number, step in enumerate(steps, 1)
        if number > 1
    ]  # fmt: skip
    return base.bars(rows, title="Median time since the step before", unit="seconds")


def _row(number: int, step: Step) -> dict[str, object]:
    low, high = step.interval
    return {
        "Step": number,
        "Event": step.event_type,
        "Reached": step.reached,
        "Share of first": step.share_of_first,
        "From": low if step.first else None,
        "To": high if step.first else None,
        "Share of previous": step.share_of_previous if number > 1 else None,
        "Lost": step.lost,
        "Median seconds": step.median_seconds,
    }


def _table(rows: Sequence[dict[str, object]], alt: str) -> None:
    shares = ("Share of first", "From", "To", "Share of previous")
    st.dataframe(
        [
            {name: text.visible(value) if isinstance(value, str) else value for name, value in row.items()}
            for row in rows
        ],
        hide_index=True,
        width="stretch",
        column_config={
            **{name: st.column_config.NumberColumn(format="percent") for name in shares},
            "From": st.column_config.NumberColumn("95 % from", format="percent"),
            "To": st.column_config.NumberColumn("95 % to", format="percent"),
            "Reached": st.column_config.NumberColumn(format="localized"),
            "Lost": st.column_config.NumberColumn(format="localized", help="Reached the step before and not this one."),
            "Median seconds": st.column_config.NumberColumn(
                format="%.1f", help="Median time since the step before, over the units that reached this one."
            ),
        },
        alt=alt,
    )


def _published(scope: Scope, published: Sequence[Published], population: str) -> None:
    """All published funnels side by side, delivery by delivery."""
    st.subheader("Which published funnels convert best?")
    components.unfiltered(scope, "this comparison")
    chosen = [entry for entry in published if entry.population == population and entry.steps[0].reached]
    if not chosen:
        st.info("Nobody began any of the published funnels.", icon=":material/do_not_disturb_on:")
        return
    many_years = len({entry.year for entry in chosen}) > 1
    rows = []
    for entry in sorted(chosen, key=lambda entry: (-(entry.steps[-1].share_of_first or 0), entry.name, entry.year)):
        last = entry.steps[-1]
        rows.append(
            base.Bar(
                f"{entry.name}, {entry.year}" if many_years else entry.name,
                last.share_of_first or 0.0,
                f"{_share(last)} of {text.count(last.first)}",
                base.PURPLE if last.first >= FEW_UNITS else base.GREY,
                interval=last.interval,
            )
        )
    figure = base.bars(rows, title="Conversion of the published funnels", unit="share of those that began", longest=1.0)
    components.chart(figure, "published")
    components.caption(
        funnel_figures.ASSET,
        "share of the units that began that reached the last step, with 95 % Wilson interval",
        f"{populations.NAMES[population]}, by year of delivery: a session or actor of two deliveries counts in both, "
        "and above once",
        scope.as_of,
    )
    listed = [
        {
            "Delivery": entry.year,
            "Funnel": entry.name,
            "Origin": entry.origin,
            "Per": entry.funnel.scope,
            "Window, minutes": entry.funnel.window_minutes,
            **_row(number, step),
        }
        for entry in published
        if entry.population == population
        for number, step in enumerate(entry.steps, 1)
    ]
    with st.expander("All published steps"):
        _table(listed, "Table of the steps of every published funnel by delivery.")
        components.export(listed, "published funnels", scope, source=funnel_figures.ASSET)
