"""Figure factories: what they draw is what they were given."""

from __future__ import annotations

import re
from datetime import date, timedelta
from itertools import pairwise

import plotly.graph_objects as go
import pytest

from dashboards.charts import activity, base, segments
from dashboards.charts.base import Bar

HOSTILE = ["<script>alert(1)</script>", "<b>bold</b> & more", "**x** [a](b)", "a" * 300 + "1", "a" * 300 + "2", None]
COUNTED = [[day * 24 + hour for hour in range(24)] for day in range(7)]


def days(first: str, counts: list[int]) -> list[dict]:
    start = date.fromisoformat(first)
    return [{"date": (start + timedelta(days=place)).isoformat(), "events": n} for place, n in enumerate(counts)]


FIGURES = {
    "ranking": base.ranking(
        [(name, 10 - place) for place, name in enumerate(HOSTILE)], 60, title="Names", unit="events"
    ),
    "bars": base.bars([Bar("step", 7, "7", lost=3)], title="Steps", unit="rows"),
    "no bars": base.bars([], title="Steps", unit="rows"),
    "interval": base.bars([Bar("model", 0.4, "40 %", interval=(0.3, 0.6))], title="Accuracy", unit="share", longest=1),
    "daily": activity.daily_events(days("2020-01-01", [3, 0, 5] * 30)),
    "no days": activity.daily_events([]),
    "week": activity.weekday_by_hour(COUNTED),
    "segments": segments.segment_map([(0, HOSTILE[0], 0.0, 1.0), (1, HOSTILE[1], 1.0, 0.0), (1, HOSTILE[1], 2.0, 0.0)]),
}


def shown(figure: go.Figure) -> list[str]:
    return [annotation.text for annotation in figure.layout.annotations]


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_complete_and_needs_no_network(name: str) -> None:
    figure = FIGURES[name]
    content = figure.to_json()
    assert not re.search(r"https?:|//[a-z]", content)
    assert "<script" not in content and "<b>" not in content
    assert base.alt_text(figure).strip()
    assert all(trace.name for trace in figure.data)
    assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert len(content) < 500_000


def test_ranking_shows_every_row_once() -> None:
    figure = FIGURES["ranking"]
    assert list(figure.data[0].x) == [10, 9, 8, 7, 6, 5]
    names = shown(figure)[::2]
    assert len(set(names)) == len(HOSTILE)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in names[0]
    assert shown(figure)[1] == "10 · 17 %"
    assert names[-1] == "(not given)"


def test_bars_do_not_overlap() -> None:
    figure = FIGURES["ranking"]
    places = list(figure.data[0].y)
    assert all(after - before >= base.BAR_HEIGHT + base.LINE_HEIGHT for before, after in pairwise(places))
    assert figure.layout.yaxis.range == (places[-1] + base.BAR_HEIGHT / 2 + base.GAP_HEIGHT, 0)


def test_removed_rows_follow_the_rest() -> None:
    figure = FIGURES["bars"]
    assert [list(trace.x) for trace in figure.data] == [[7], [3]]
    assert figure.layout.xaxis.range == (0, 10)


def test_intervals_are_drawn_around_the_value() -> None:
    trace = FIGURES["interval"].data[0]
    assert trace.error_x.array == pytest.approx([0.2])
    assert trace.error_x.arrayminus == pytest.approx([0.1])


def test_daily_events_keep_zeros_and_sums() -> None:
    trace, mean = FIGURES["daily"].data
    assert sum(trace.y) == 8 * 30 and list(trace.y).count(0) == 30
    assert list(mean.y[:6]) == [None] * 6 and mean.y[6] == pytest.approx((3 + 0 + 5 + 3 + 0 + 5 + 3) / 7)


def test_years_out_of_scope_are_a_hole_and_no_zero() -> None:
    figure = activity.daily_events(days("2018-12-30", [1, 2]) + days("2020-01-01", [4]))
    trace = figure.data[0]
    assert list(trace.y) == [1, 2, None, 4]
    assert list(trace.x) == ["2018-12-30", "2018-12-31", "2019-12-31", "2020-01-01"]
    assert trace.connectgaps is False and len(figure.data[0].x) == 4
    assert "markers" in trace.mode


def test_the_week_keeps_its_sums() -> None:
    hours, cells, weekdays = FIGURES["week"].data
    total = sum(map(sum, COUNTED))
    assert sum(hours.y) == sum(weekdays.x) == sum(map(sum, cells.z)) == total
    assert cells.y[0] == "Mon" and hours.y[5] == sum(row[5] for row in COUNTED)
    assert "Most on Sun from 23:00" in base.alt_text(FIGURES["week"])


def test_every_actor_is_drawn_in_its_segment() -> None:
    first, second = FIGURES["segments"].data
    assert [len(first.x), len(second.x)] == [1, 2]
    assert first.marker.color != second.marker.color and first.marker.symbol != second.marker.symbol
