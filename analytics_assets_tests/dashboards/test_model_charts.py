"""Figure factories of journeys and models: what they draw is what they were given, whatever the names are."""

from __future__ import annotations

import re

import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards import event_names
from dashboards.charts import base, changes, flows, forecasts, heatmaps, predictions
from dashboards.charts.changes import Change
from dashboards.charts.flows import FlowNode, Move
from dashboards.charts.forecasts import Expected

HOSTILE = ["<script>alert(1)</script>", "<b>bold</b> & more", "**x** [a](b)", "=1+1", "page::section::verb", "a" * 300]

NODES = [FlowNode(name, is_event=True, is_exit=False, sessions=9 - place) for place, name in enumerate(HOSTILE)]
NODES.append(FlowNode("End of session", is_event=False, is_exit=True, sessions=3))
LINKS = [(0, 1, 4), (0, 2, 2), (1, 6, 3), (3, 4, 1)]
MOVES = [Move(HOSTILE[0], HOSTILE[1], 1.0, "often", solid=True), Move("(start)", HOSTILE[4], 0.2, "rare", solid=False)]
EXPECTED = [
    Expected("2024-01-03", 5.0, {80: (3.0, 8.0), 95: None}),
    Expected("2024-01-04", 6.0, {80: (4.0, 9.0), 95: None}),
]
HISTORY = [("2024-01-01", 1.0), ("2024-01-02", 2.0)]
FIGURES = {
    "sankey": flows.sankey(NODES, LINKS, 20),
    "no sankey": flows.sankey([], [], 0),
    "network": flows.network(MOVES, ("(start)", "(exit)")),
    "changes": changes.changes(
        [Change(name, 0.1 - place, (-1.0, 1.0), "+1") for place, name in enumerate(HOSTILE)],
        title="Changes",
        unit="share",
    ),
    "no changes": changes.changes([], title="Changes", unit="share"),
    "heatmap": heatmaps.heatmap(
        HOSTILE[:2], HOSTILE, [[1, None, -3, 0, 2, 1]] * 2, [["<b>1</b>"] * 6] * 2, title="Cells", diverging=True
    ),
    "empty heatmap": heatmaps.heatmap([], [], [], [], title="Cells"),
    "calibration": predictions.calibration({HOSTILE[0]: [(0.2, 0.1, (0.0, 0.3), 9), (0.6, 0.7, (0.6, 0.8), 90)]}, 30),
    "forecast": forecasts.forecast(HISTORY, EXPECTED, title="Events", unit="events", step="day", from_zero=True),
    "no forecast": forecasts.forecast([], [], title="Events", unit="events", step="hour", from_zero=True),
    "backtest": forecasts.backtest(
        HISTORY, [("2024-01-01", [("2024-01-02", 2.5)])], title="E", unit="events", step="day"
    ),
    "trend": forecasts.trend([("2024-01-01", 1.0)]),
    "weekly": forecasts.weekly([0, 1, 2, 3, 2, 1, -9]),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_complete_and_needs_no_network(name: str) -> None:
    figure = FIGURES[name]
    content = figure.to_json()
    assert not re.search(r"https?:|//[a-z]", content)
    assert "<script" not in content and "<b>" not in content
    assert base.alt_text(figure).strip()
    assert all(trace.name for trace in figure.data)
    assert len(content) < 500_000


def test_the_flow_is_what_it_was_given() -> None:
    trace: go.Sankey = FIGURES["sankey"].data[0]
    assert list(zip(trace.link.source, trace.link.target, trace.link.value, strict=True)) == LINKS
    assert len(trace.node.label) == len(NODES) and len(set(trace.node.label)) == len(NODES)
    assert "4 sessions: 44 % of those there, 20 % of all" in trace.link.customdata[0]
    assert "page &gt; section &gt; verb" in trace.node.customdata[4]


def test_the_network_has_an_arrow_per_move() -> None:
    figure = FIGURES["network"]
    arrows = [annotation for annotation in figure.layout.annotations if annotation.showarrow]
    assert len(arrows) == len(MOVES) and arrows[0].arrowwidth > arrows[1].arrowwidth
    assert arrows[0].arrowcolor != arrows[1].arrowcolor
    places = set(zip(figure.data[1].x, figure.data[1].y, strict=True))
    assert len(places) == 4 and all((arrow.x, arrow.y) in places and (arrow.ax, arrow.ay) in places for arrow in arrows)
    again = flows.network(list(reversed(MOVES)), ("(start)", "(exit)"))
    assert (again.data[1].x, again.data[1].y) == (figure.data[1].x, figure.data[1].y)


def test_a_heatmap_leaves_unknown_cells_blank_and_lies_around_zero() -> None:
    trace = FIGURES["heatmap"].data[0]
    assert trace.z[0][1] is None and (trace.zmin, trace.zmax) == (-3, 3)
    assert len(set(FIGURES["heatmap"].layout.xaxis.ticktext)) == len(HOSTILE)


def test_few_positions_are_hollow() -> None:
    assert list(FIGURES["calibration"].data[1].marker.symbol) == ["circle-open", "circle"]


def test_a_withheld_interval_is_not_drawn() -> None:
    names = [trace.name for trace in FIGURES["forecast"].data]
    assert "80 % interval" in names and "95 % interval" not in names


@given(st.lists(st.sampled_from(["a::b::c", "a > b > c", "a::b", "::", "a::", "x" * 90, "x" * 91]), unique=True))
def test_labels_of_events_are_unique(names: list[str]) -> None:
    labels = event_names.event_labels(names, 20)
    assert len(set(labels)) == len(names) and all(len(label) <= 20 for label in labels)


def test_a_name_of_one_part_stays_as_it_is() -> None:
    assert event_names.readable("page::section::verb") == "page > section > verb"
    assert event_names.readable("::x") == "::x" and event_names.readable("session_end") == "session_end"
    assert event_names.readable("a\u202eb") == "a\\u{202e}b"
