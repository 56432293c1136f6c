"""Files that a reader takes away."""

from __future__ import annotations

import csv
import io
import re
from datetime import date
from decimal import Decimal

import pandas as pd
import pytest

from analytics_assets.core.lake import Lake
from analytics_assets_tests.dashboards.conftest import RunApp
from dashboards import components, exports
from dashboards.charts import base
from dashboards.charts.base import Bar
from dashboards.selection import Scope

FACTS = {"Title": "Places", "Filters": 'Chad, =HYPERLINK("x"), @a', "Source": "clean_events"}
ROWS = [
    {"Place": "=1+1", "Events": 12, "Share": 0.5},
    {"Place": "-5", "Events": Decimal(3), "Share": None},
    {"Place": "#note, with comma", "Events": 0, "Note": "−"},
]


def table(content: bytes) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(content), comment="#", keep_default_na=False)


def test_a_table_comes_back_as_it_was() -> None:
    found = table(exports.csv_bytes(ROWS, FACTS))
    assert list(found.columns) == ["Place", "Events", "Share", "Note"]
    assert list(found["Events"]) == [12, 3, 0]
    assert list(found["Place"]) == ["'=1+1", "-5", "#note, with comma"]
    assert list(found["Share"]) == ["0.5", "", ""]


def test_the_first_lines_say_what_it_is_and_no_cell_of_them_is_a_formula() -> None:
    content = exports.csv_bytes(ROWS, FACTS)
    assert content.startswith("\ufeff# Title: Places\r\n".encode())
    lines = content.decode("utf-8-sig").splitlines()
    assert lines[1] == "# Filters: Chad, '=HYPERLINK('x'), '@a"
    assert lines[3] == '"Place","Events","Share","Note"'


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"), ("+1+1", "'+1+1"), ("@SUM(A1)", "'@SUM(A1)"), (" =1", "' =1"),
        ("－2+3", "'－2+3"), ("\t=1", "\\u{0009}=1"), ("\r=1", "\\u{000d}=1"), ("-3.1 %", "-3.1 %"),
        ("+5,000", "+5,000"), ("-", "'-"), ("a\u202eb", "a\\u{202e}b"), ("<script>", "<script>"), ("", ""), (None, ""),
        (float("nan"), ""), (True, "true"), (-5, "-5"), (1.25, "1.25"), (date(2024, 2, 29), "2024-02-29"),
        ([1, "=x"], "1; '=x"),
    ],
)  # fmt: skip
def test_a_cell(value: object, cell: str) -> None:
    rows = list(csv.reader(io.StringIO(exports.csv_bytes([{"a": value}], {}).decode("utf-8-sig"))))
    assert rows == [["a"], [cell]]


def test_no_rows_leave_the_facts() -> None:
    assert exports.csv_bytes([], {"Title": "x"}).decode("utf-8-sig") == "# Title: x\r\n"


def test_a_chart_becomes_a_page_without_network_and_scripts_from_data() -> None:
    hostile = "</script><script>alert(1)</script>"
    figure = base.bars([Bar(hostile, 1, "1")], title=hostile, unit="events")
    page = exports.html_bytes(figure, hostile, {"Filters": hostile}).decode()
    own = page.replace(re.search(r"<script[^>]*>/\*\*.*?</script>", page, re.DOTALL).group(), "")
    assert len(page) - len(own) > 1_000_000
    assert "alert(1)" in own and hostile not in own and "<script>alert" not in own
    assert not re.search(r'(src|href)="', own)
    assert "<h1" in own and "Filters: &lt;/script&gt;" in own


@pytest.mark.parametrize(
    ("subject", "day", "ending", "name"),
    [
        ("Daily events", "2025-12-31", "csv", "daily-events_2025-12-31.csv"),
        ("../São Paulo <b>", None, "csv", "sao-paulo-b.csv"),
        ("表", "2025-12-31", "", "export_2025-12-31"),
        ("a" * 200, None, "html", f"{'a' * exports.NAME_LENGTH}.html"),
    ],
)
def test_a_file_name_is_plain(subject: str, day: str | None, ending: str, name: str) -> None:
    assert exports.file_name(subject, day, ending) == name


def test_the_page_names_what_the_filters_leave_alone(built_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(components.st, "caption", said.append)
    components.unfiltered(Scope(built_lake), "the leaderboard")
    assert not said
    components.unfiltered(Scope(built_lake, countries=("**x**",)), "the leaderboard")
    assert said == [
        ":material/filter_alt_off: The filters (\\*\\*x\\*\\*) do not apply to the leaderboard: "
        "it covers all years and all actors."
    ]


def test_rows_and_charts_can_be_taken_away(built_lake: Lake, run_app: RunApp) -> None:
    app = run_app("visualize_analysis.py", built_lake)
    assert not app.exception
    # Every chart and the table of transitions; the segments' charts show no rows.
    labels = [button.label for button in app.download_button]
    assert labels.count("HTML, the chart as a page") == 7
    assert "CSV, 7 rows" in labels and "CSV, 1 row" in labels
