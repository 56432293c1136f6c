"""Charts of cohorts and of figures against limits: what they draw is what they were given."""

from __future__ import annotations

import re
from datetime import date

import plotly.graph_objects as go
import pytest

from dashboards.charts import base, cohorts, limits
from dashboards.charts.cohorts import PeriodStates, Share
from dashboards.charts.limits import Measured

HOSTILE = "<script>alert(1)</script>"


def share(part: int, whole: int) -> Share:
    return Share(part / whole, part, whole, (0.1, 0.9))


WEEKS = [date(2024, 1, 1), date(2024, 1, 8), date(2024, 1, 15)]
TRIANGLE = [[share(10, 40), share(0, 40), None], [share(4, 8), None], []]
STATES = [PeriodStates(WEEKS[0], 5, 0, 0, 0, True), PeriodStates(WEEKS[1], 1, 2, 3, 4, False)]
ROWS = [
    Measured(HOSTILE, 0.5, 0.25, "0.5", False, chance=0.1),
    Measured("twice", 9.0, 1.0, "9", False),
    Measured("within", 0.1, 0.4, "0.1", True),
    Measured("no limit", 0.0, 0.0, "0", True),
    Measured("beyond nothing", 0.1, 0.0, "0.1", False),
    Measured("nothing", None, 0.5, "nothing to measure", True),
]

FIGURES = {
    "triangle": cohorts.triangle(WEEKS, TRIANGLE, period="week", few=30),
    "no triangle": cohorts.triangle([], [], period="day", few=30),
    "curve": cohorts.curve([(1, share(10, 48)), (2, share(0, 40))], period="week"),
    "no curve": cohorts.curve([], period="week"),
    "lifecycle": cohorts.lifecycle(STATES, period="week"),
    "no lifecycle": cohorts.lifecycle([], period="month"),
    "stickiness": cohorts.stickiness(["2024-01-01", "2024-02-01"], [(1, 2, 3), (4, 5, 6)], complete_from="2024-02-01"),
    "no stickiness": cohorts.stickiness([], [], complete_from=None),
    "limits": limits.against_limits(ROWS, title="Grades"),
    "no limits": limits.against_limits([], title="Grades"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_complete_and_needs_no_network(name: str) -> None:
    figure: go.Figure = FIGURES[name]
    content = figure.to_json()
    assert not re.search(r"https?:|//[a-z]", content)
    assert "<script" not in content
    assert base.alt_text(figure).strip()
    assert all(trace.name for trace in figure.data)
    assert figure.layout.paper_bgcolor == "rgba(0,0,0,0)"


def test_open_windows_are_blank_and_small_cohorts_grey() -> None:
    many, few = FIGURES["triangle"].data
    assert [list(row) for row in many.z] == [[0.25, 0.0, None], [None] * 3, [None] * 3]
    assert [list(row) for row in few.z] == [[None] * 3, [0.5, None, None], [None] * 3]
    assert many.colorscale != few.colorscale and few.colorscale[-1][1] != many.colorscale[-1][1]
    assert list(many.x) == [1, 2, 3] and many.y[0] == "1 Jan 2024"
    assert many.text[0][0] == "25.0 % [10.0–90.0], 10 of 40"
    assert "from 0 % to 50 %" in base.alt_text(FIGURES["triangle"])


def test_the_curve_keeps_its_band_around_it() -> None:
    band, line = FIGURES["curve"].data
    assert list(line.y) == [10 / 48, 0.0]
    assert list(band.x) == [1, 2, 2, 1] and list(band.y) == [0.9, 0.9, 0.1, 0.1]


def test_dormant_actors_point_down_and_open_periods_are_faded() -> None:
    traces = {trace.name: trace for trace in FIGURES["lifecycle"].data}
    assert {name: list(trace.y) for name, trace in traces.items()} == {
        "Returning": [0, 2], "Resurrected": [0, 3], "New": [5, 1], "Dormant": [0, -4],
    }  # fmt: skip
    assert list(traces["Dormant"].customdata) == [0, 4]
    assert all(list(trace.marker.opacity) == [1, cohorts.FADED] for trace in traces.values())
    assert STATES[1].active == 6 and "6 actors" in base.alt_text(FIGURES["lifecycle"])


def test_windows_that_are_cut_short_are_shaded() -> None:
    figure = FIGURES["stickiness"]
    assert [list(trace.y) for trace in figure.data] == [[1, 4], [2, 5], [3, 6]]
    [shade] = figure.layout.shapes
    assert (shade.x0, shade.x1) == ("2024-01-01", "2024-02-01")


def test_figures_are_multiples_of_their_limits() -> None:
    bars, line, chance = FIGURES["limits"].data
    assert list(bars.x) == [2.0, limits.LONGEST, 0.25, 0.0, limits.LONGEST, 0.0]
    assert list(bars.marker.color) == [
        base.VERMILLION, base.VERMILLION, base.BLUE, base.BLUE, base.VERMILLION, base.GREY,
    ]  # fmt: skip
    assert set(line.x) == {1, None} and list(chance.x) == [0.4] and chance.y[0] == bars.y[0]
    values = [annotation.text for annotation in FIGURES["limits"].layout.annotations][1::2]
    assert values[0] == "✗ 0.5" and values[2] == "✓ 0.1"
    assert "Diamonds" in base.alt_text(FIGURES["limits"])
