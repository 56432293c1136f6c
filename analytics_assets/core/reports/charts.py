"""The main charts of the published figures, each with the numbers it draws.

Put here: which charts there are, and how ``analysis_results.json`` becomes the values that a chart factory takes. Keep
out: the factories, which are those of the dashboards (``dashboards/charts``: values in, Plotly figure out, no Streamlit
and no files), so that a figure on disk and on a page are the same; files and pages (``pages.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

from analytics_assets.core.intervals import wilson

if TYPE_CHECKING:
    import plotly.graph_objects as go

Row = dict[str, Any]

LISTED = 12
"""Rows of a ranking: what a person takes in at a glance; the results file has more."""

FEW = 30
"""Below this many units a share says little; its bar is grey."""

NEXT_EVENT_MODELS = {
    "markov_chain": "Markov chain",
    "hidden_markov_model": "Hidden Markov model",
    "lstm_next_event": "LSTM",
    "xgboost_next_event": "XGBoost",
}
BASELINES = {"most_frequent": "Most frequent event (baseline)", "repeat_last": "Same event again (baseline)"}


FORECAST_METRIC = "events"
"""The forecast series: what the chart of all days shows."""

HISTORY_DAYS = 120
"""Days drawn before a forecast: four times its longest horizon, so that weeks and the trend are seen."""


@dataclass(frozen=True)
class Chart:
    """One chart.

    Parameters
    ----------
    name : str
        Name of its file, without the ending.
    title : str
        What it shows.
    unit, population, source : str
        Of its numbers: what is counted, over what, and the asset they come from.
    rows : list of dict
        The numbers it draws, as in the results file.
    figure : plotly.graph_objects.Figure
    """

    name: str
    title: str
    unit: str
    population: str
    source: str
    rows: list[Row]
    figure: go.Figure


def charts(results: Mapping[str, Any], forecasts: Sequence[Row] = ()) -> list[Chart]:
    """Charts of a results file, and of rows of ``FORECASTS``; one whose figures are not in them is left out."""
    makers: tuple[Callable[[Mapping[str, Any]], Chart | None], ...] = (
        _daily,
        partial(_forecast, forecasts=forecasts),
        _week,
        *(_ranking(*ranking) for ranking in _RANKINGS),
        _funnels,
        _retention,
        _lifecycle,
        _stickiness,
        _next_event,
        _segments,
    )
    return [chart for maker in makers if (chart := maker(results)) is not None]


def _years(results: Mapping[str, Any], name: str) -> str:
    return ", ".join(results["list_info"][name]["years"])


def _source(results: Mapping[str, Any], name: str) -> str:
    return str(results["list_info"][name]["source"])


def _metric(results: Mapping[str, Any], name: str) -> float:
    return next((metric["value"] or 0 for metric in results["metrics"] if metric["name"] == name), 0)


def _daily(results: Mapping[str, Any]) -> Chart | None:
    from dashboards.charts import activity

    rows = [{"date": row["date"], "events": row["events"]} for row in results["lists"]["daily"]]
    if not rows:
        return None
    return Chart(
        "daily-events",
        "Events of every day",
        "events per UTC day",
        f"all events delivered for {_years(results, 'daily')}",
        _source(results, "daily"),
        rows,
        activity.daily_events(rows),
    )


def _forecast(results: Mapping[str, Any], *, forecasts: Sequence[Row]) -> Chart | None:
    """The forecast that was nearest in the backtest, after the days that it was learned from."""
    from dashboards import text
    from dashboards.charts import forecasts as drawing

    best = results["models"].get("forecast_leaderboard", {}).get("best", {}).get(FORECAST_METRIC)
    found = [row for row in forecasts if best and (row["metric"], row["model"]) == (FORECAST_METRIC, best["model"])]
    if not found:
        return None
    found.sort(key=lambda row: row["date"])
    until = found[0]["trained_until"].date().isoformat()
    known = [row for row in results["lists"]["daily"] if row["date"] <= until][-HISTORY_DAYS:]
    names = ("mean", "lo80", "hi80", "lo95", "hi95")
    rows: list[Row] = [{"date": row["date"], "events": row["events"], **dict.fromkeys(names)} for row in known]
    rows += [{"date": row["date"].isoformat(), "events": None, **{name: row[name] for name in names}} for row in found]
    expected = [
        drawing.Expected(
            row["date"],
            row["mean"],
            {
                level: None if row[f"lo{level}"] is None else (row[f"lo{level}"], row[f"hi{level}"])
                for level in drawing.BANDS
            },
        )
        for row in rows[len(known) :]
    ]
    held = best["coverage95"]
    return Chart(
        "daily-events-forecast",
        "Events expected on the next days",
        "events per UTC day, with 80 and 95 % intervals",
        f"learned until {until} by {best['model']}, which was nearest in the backtest"
        + ("" if held is None else f"; its 95 % interval held {text.exact_share(held)} of {best['points']:,} outcomes"),
        "forecast_leaderboard",
        rows,
        drawing.forecast(
            [(row["date"], row["events"]) for row in rows[: len(known)]],
            expected,
            title="daily events",
            unit="events",
            step="day",
            from_zero=True,
        ),
    )


def _week(results: Mapping[str, Any]) -> Chart | None:
    from dashboards.charts import activity

    rows = [
        {"weekday": row["weekday"], "hour": row["hour"], "events": row["events"]}
        for row in results["lists"]["weekday_hours"]
    ]
    if not any(row["events"] for row in rows):
        return None
    counted = [[0] * 24 for _ in range(7)]
    for row in rows:
        counted[row["weekday"] - 1][row["hour"]] = row["events"]
    return Chart(
        "hours-of-the-week",
        "Events by weekday and hour",
        "events (weekday 1 is Monday, hours are UTC)",
        f"all events delivered for {_years(results, 'weekday_hours')}",
        _source(results, "weekday_hours"),
        rows,
        activity.weekday_by_hour(counted),
    )


_RANKINGS = (
    ("top_events", "event_type", "events", "frequent-events", "Most frequent events"),
    ("entry_events", "event_type", "sessions", "entry-events", "Events that sessions begin with"),
    ("exit_events", "event_type", "sessions", "exit-events", "Events that sessions end with"),
    ("countries", "country", "events", "countries", "Countries with most events"),
    ("device_families", "device_family", "events", "device-families", "Device families with most events"),
)
"""List, its category, what is counted (also the metric that is all of it), name and title of the chart."""


def _ranking(
    name: str, category: str, number: str, file: str, title: str
) -> Callable[[Mapping[str, Any]], Chart | None]:
    def make(results: Mapping[str, Any]) -> Chart | None:
        from dashboards.charts import base

        rows = [{category: row[category], number: row[number]} for row in results["lists"][name][:LISTED]]
        if not rows:
            return None
        ranked = [(row[category], row[number]) for row in rows]
        return Chart(
            file,
            title,
            f"{number}, and their share of all",
            f"all {number} of {_years(results, name)}, the {len(rows)} largest",
            _source(results, name),
            rows,
            base.ranking(ranked, int(_metric(results, number)), title=title, unit=number),
        )

    return make


def _funnels(results: Mapping[str, Any]) -> Chart | None:
    """Conversion of every funnel in every delivery."""
    from dashboards import text
    from dashboards.charts import base

    steps: dict[tuple[int, str], list[Row]] = {}
    for row in results["lists"]["funnels"]:
        if row["population"] == "all":
            steps.setdefault((row["year"], row["funnel"]), []).append(row)
    rows = []
    for (year, funnel), found in steps.items():
        first, last = (edge(found, key=lambda row: row["step"]) for edge in (min, max))
        if first["reached"]:
            rows.append(
                {
                    "year": year,
                    "funnel": funnel,
                    "began": first["reached"],
                    "finished": last["reached"],
                    **{name: last[name] for name in ("share_of_first", "share_low", "share_high")},
                }
            )
    if not rows:
        return None
    rows.sort(key=lambda row: (-row["share_of_first"], row["funnel"], row["year"]))
    bars = [
        base.Bar(
            f"{row['funnel']}, {row['year']}",
            row["share_of_first"],
            f"{text.exact_share(row['share_of_first'])} of {text.count(row['began'])}",
            base.PURPLE if row["began"] >= FEW else base.GREY,
            interval=(row["share_low"], row["share_high"]),
        )
        for row in rows
    ]
    return Chart(
        "funnels",
        "Conversion of the funnels",
        "share of the units that began that reached the last step, with 95 % Wilson interval",
        f"sessions or actors of the deliveries of {_years(results, 'funnels')}",
        _source(results, "funnels"),
        rows,
        base.bars(bars, title="Conversion of the funnels", unit="share of those that began", longest=1.0),
    )


def _latest(results: Mapping[str, Any], name: str) -> tuple[int | None, list[Row]]:
    """The last delivery of a list by year, and its rows over everybody."""
    found = [row for row in results["lists"][name] if row["population"] == "all"]
    year = max((row["year"] for row in found), default=None)
    return year, [row for row in found if row["year"] == year]


def _retention(results: Mapping[str, Any]) -> Chart | None:
    from dashboards.charts import cohorts

    year, found = _latest(results, "retention_weekly")
    names = ("week", "cohorts", "cohort_actors", "active_actors", "retention")
    rows = [{name: row[name] for name in names} for row in found if row["week"]]
    if not rows:
        return None
    shares = [
        (
            row["week"],
            cohorts.Share(
                row["retention"],
                row["active_actors"],
                row["cohort_actors"],
                wilson(row["retention"], row["cohort_actors"]),
            ),
        )
        for row in rows
    ]
    return Chart(
        "weekly-retention",
        f"Who comes back so many weeks later, {year}",
        "share of actors, mean weighted by the size of cohorts, with 95 % Wilson interval",
        f"actors by the week in which the delivery of {year} first shows them, where the later week had ended",
        _source(results, "retention_weekly"),
        rows,
        cohorts.curve(shares, period="week"),
    )


def _lifecycle(results: Mapping[str, Any]) -> Chart | None:
    from dashboards.charts import cohorts

    year, found = _latest(results, "lifecycle_weekly")
    names = ("week", "new_actors", "returning_actors", "resurrected_actors", "dormant_actors", "is_complete")
    rows = [{name: row[name] for name in names} for row in found]
    if not rows:
        return None
    states = [cohorts.PeriodStates(date.fromisoformat(row["week"]), *(row[name] for name in names[1:])) for row in rows]
    return Chart(
        "weekly-lifecycle",
        f"New, returning, resurrected and dormant actors, {year}",
        "actors per week; faded where the week had not ended",
        f"actors of the delivery of {year}",
        _source(results, "lifecycle_weekly"),
        rows,
        cohorts.lifecycle(states, period="week"),
    )


def _stickiness(results: Mapping[str, Any]) -> Chart | None:
    from dashboards.charts import cohorts

    found = results["lists"]["stickiness"]
    if not found:
        return None
    # Every delivery begins its windows anew, so years are not joined into one line.
    year = found[-1]["date"][:4]
    names = ("date", "dau", "wau", "mau", "is_complete")
    rows = [{name: row[name] for name in names} for row in found if row["date"].startswith(year)]
    return Chart(
        "active-actors",
        f"Actors active on a day, in 7 and in 30 days, {year}",
        "distinct actors; shaded where the 30 days begin before the delivery does",
        f"actors of the delivery of {year}",
        _source(results, "stickiness"),
        rows,
        cohorts.stickiness(
            [row["date"] for row in rows],
            [(row["dau"], row["wau"], row["mau"]) for row in rows],
            complete_from=next((row["date"] for row in rows if row["is_complete"]), None),
        ),
    )


def _next_event(results: Mapping[str, Any]) -> Chart | None:
    """Every trained model beside the baselines, on the same test positions."""
    from dashboards import text
    from dashboards.charts import base

    rows: list[Row] = []
    for name, label in NEXT_EVENT_MODELS.items():
        found = results["models"].get(name, {})
        if found.get("top1") is not None:
            low, high = found["interval"]["top1"]
            rows.append({"model": label, "top1": found["top1"], "low": low, "high": high})
    baselines = results["models"].get("markov_chain", {}).get("baselines", {})
    for name, label in BASELINES.items():
        top1 = baselines.get(name, {}).get("top1")
        if rows and top1 is not None:
            rows.append({"model": label, "top1": top1, "low": None, "high": None})
    if not rows:
        return None
    rows.sort(key=lambda row: (-row["top1"], row["model"]))
    bars = [
        base.Bar(
            row["model"],
            row["top1"],
            text.exact_share(row["top1"]),
            base.GREY if row["low"] is None else base.BLUE,
            interval=None if row["low"] is None else (row["low"], row["high"]),
        )
        for row in rows
    ]
    return Chart(
        "next-event-accuracy",
        "How often the next event is predicted",
        "share of test positions predicted exactly, with 95 % interval over users",
        "the latest sessions of all years, learned from those before them",
        ", ".join(name for name in NEXT_EVENT_MODELS if name in results["models"]),
        rows,
        base.bars(bars, title="Accuracy of next-event predictions", unit="share of test positions", longest=1.0),
    )


def _segments(results: Mapping[str, Any]) -> Chart | None:
    from dashboards.charts import base

    found = results["models"].get("kmeans_segments", {})
    rows = [
        {"segment": number, "name": name, "actors": size}
        for number, (name, size) in enumerate(zip(found.get("names", ()), found.get("sizes", ()), strict=False))
    ]
    if not rows:
        return None
    ranked: Sequence[tuple[str | None, int]] = [(row["name"], row["actors"]) for row in rows]
    return Chart(
        "segments",
        "Groups of actors that act alike",
        "actors, and their share of those clustered",
        "actors of all years with enough activity",
        "kmeans_segments",
        rows,
        base.ranking(ranked, found["clustered_actors"], title="Segments of actors", unit="actors"),
    )
