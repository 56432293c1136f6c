"""Figure factories: what they draw is what they were given."""

from __future__ import annotations

import math
import re
from datetime import date, timedelta
from itertools import accumulate, pairwise

import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.charts import activity, base, devices, geography, latency, segments, sessions
from dashboards.charts.base import Bar
from dashboards.charts.country_outlines import Ring, country_outlines, cut_at_antimeridian
from dashboards.charts.country_places import country_places
from dashboards.charts.geography import Country

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
    "peaks": activity.daily_events(days("2020-01-01", [3, 0, 5, 9]), ["2020-01-04", "2020-01-03"]),
    "months": activity.months([("2020-01", 10, False), ("2020-02", 20, True), ("2020-03", 5, True)]),
    "one month": activity.months([("2020-01", 10, False)]),
    "clocks": activity.hours_by_clock(list(range(24)), [1] * 24),
    "no clocks": activity.hours_by_clock([0] * 24, [0] * 24),
    "weightings": sessions.two_weightings([("0 s", 8, 8), ("<1 s", 2, 72)], title="Durations", axis="Duration"),
    "no weightings": sessions.two_weightings([("0 s", 0, 0)], title="Durations", axis="Duration"),
    "world": geography.world(
        [Country(HOSTILE[0], "DEU", 900, "900"), Country("India", "IND", 100, "100"), Country("Oz", "???", 50, "50")],
        title="Events by country",
        unit="events",
    ),
    "no world": geography.world([], title="Events by country", unit="events"),
    "dots": latency.percentile_dots(
        [(HOSTILE[0], 1000, 10.0, 90.0, 300.0), (None, 5, 20.0, 30.0, 40.0)], title="Latency by country", few=100
    ),
    "no dots": latency.percentile_dots([], title="Latency by country", few=100),
    "below zero": latency.percentile_dots([("a", 1000, -3.0, 90.0, 300.0)], title="Latency by country", few=100),
    "hours": latency.percentiles_by_hour([("00", 9, 10.0, 11.0, 12.0), ("23", 9, 20.0, 21.0, 22.0)], title="Latency"),
    "shares": devices.shares([HOSTILE[0], None], ["Windows", "other"], [[3, 1], [0, 0]], title="Devices"),
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


def test_peaks_are_marked_where_they_are() -> None:
    marks = FIGURES["peaks"].data[-1]
    assert list(marks.x) == ["2020-01-04", "2020-01-03"] and list(marks.y) == [9, 5]
    assert shown(FIGURES["peaks"]) == ["4 Jan 2020", "3 Jan 2020"]


def test_months_in_part_look_different() -> None:
    whole, part = FIGURES["months"].data
    assert (list(whole.y), list(part.y)) == ([20, 5], [10])
    assert part.marker.pattern.shape == "." and part.marker.color != whole.marker.color
    assert "1 of them in part" in base.alt_text(FIGURES["months"])
    assert "Most in Feb 2020 with 20" in base.alt_text(FIGURES["months"])


def test_hours_by_clock_keep_their_sums() -> None:
    known, unknown = FIGURES["clocks"].data
    assert (sum(known.y), sum(unknown.y)) == (276, 24)
    assert "8.0 % of them" in base.alt_text(FIGURES["clocks"])


def test_both_weightings_add_up_to_all() -> None:
    for trace, shares in zip(FIGURES["weightings"].data, ([0.8, 0.2], [0.1, 0.9]), strict=True):
        assert list(trace.y) == pytest.approx(shares)
    assert "Most sessions: 0 s with 80 %. Most events: <1 s with 90 %." in base.alt_text(FIGURES["weightings"])


def test_a_country_is_coloured_by_its_value_and_needs_no_network() -> None:
    others, germany, india, dots = FIGURES["world"].data
    assert list(dots.customdata) == ["DEU", "IND"]
    assert (dots.x[1], dots.y[1]) == (88.4, 22.5)
    assert [round(value, 3) for value in dots.marker.color] == [2.954, 2.0]
    assert germany.fillcolor != india.fillcolor != others.fillcolor
    inside = [(x, y) for x, y in zip(india.x, india.y, strict=True) if x is not None]
    assert all(68 <= x <= 98 and 6 <= y <= 36 for x, y in inside), "India lies there"
    rings = [ring for code, found in country_outlines().items() if code not in {"DEU", "IND"} for ring in found]
    assert sum(x is None for x in others.x) == len(rings) > 200
    assert not any(trace.type in {"choropleth", "scattergeo", "scattermap"} for trace in FIGURES["world"].data)


def test_every_outline_is_closed_and_belongs_to_a_known_country() -> None:
    outlines = country_outlines()
    assert {code for code in outlines if code} <= {*country_places(), "XKX"}
    assert len(outlines) > 170
    for rings in outlines.values():
        for ring in rings:
            assert len(ring) >= 4 and ring[0] == ring[-1]
            assert all(-180 <= longitude <= 180 and -60 <= latitude <= 84 for longitude, latitude in ring)
            assert all(abs(one - other) < 180 for (one, _), (other, _) in pairwise(ring)), "no line crosses the map"


def area(ring: Ring) -> float:
    """Signed area in square degrees (shoelace formula)."""
    return sum(x * v - u * y for (x, y), (u, v) in pairwise(ring)) / 2


@given(
    st.floats(-180, 179),
    st.lists(st.tuples(st.floats(1, 80), st.floats(0.01, 1)), min_size=3, max_size=12),
)
def test_cutting_at_the_antimeridian_loses_no_land(centre: float, arms: list[tuple[float, float]]) -> None:
    turn = 2 * math.pi / sum(step for _, step in arms)
    angles = [turn * step for step in accumulate(step for _, step in arms)]
    whole = [
        (centre + reach * math.cos(angle), reach * math.sin(angle))
        for (reach, _), angle in zip(arms, angles, strict=True)
    ]
    given_ring = tuple(((x + 180) % 360 - 180, y) for x, y in [*whole, whole[0]])
    parts = cut_at_antimeridian(given_ring)
    assert sum(area(part) for part in parts) == pytest.approx(area((*whole, whole[0])), abs=1e-6)
    assert all(-180 <= x <= 180 for part in parts for x, _ in part)
    assert all(part[0] == part[-1] for part in parts)


def test_land_on_one_side_of_the_antimeridian_stays_as_it_is() -> None:
    ring = ((170.0, 0.0), (180.0, 1.0), (175.0, 5.0), (170.0, 0.0))
    assert cut_at_antimeridian(ring) == [ring]


def test_latency_is_logarithmic_only_where_it_can_be() -> None:
    assert FIGURES["dots"].layout.xaxis.type == "log"
    assert FIGURES["below zero"].layout.xaxis.type == "linear"
    assert FIGURES["hours"].layout.yaxis.type == "linear"
    assert FIGURES["dots"].data[-1].marker.color[1] == base.GREY
    assert [list(trace.x) for trace in FIGURES["dots"].data[-3:]] == [[10, 20], [90, 30], [300, 40]]


def test_shares_are_of_rows() -> None:
    cells = FIGURES["shares"].data[0]
    assert [list(row) for row in cells.z] == [[0.75, 0.25], [0, 0]]
    assert [list(row) for row in cells.text] == [["75 %", "25 %"], ["no data", "no data"]]
