"""Files that a reader takes away: rows as CSV, a chart as one HTML page.

Put here: turning what is shown into bytes that are safe to open. Keep out: buttons (``components.py``), figures
(``charts``), wording of numbers (``text.py``).

A CSV file begins with lines of ``#`` that say what it is; ``pandas.read_csv(path, comment="#")`` skips them. It is
UTF-8 with a byte order mark, because spreadsheet programs take it for another encoding without one.
"""

from __future__ import annotations

import csv
import html
import io
import math
import numbers
import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import plotly.graph_objects as go

from dashboards import text
from dashboards.charts import base

NAME_LENGTH = 60
"""Characters of a file name's subject: longer ones are cut by some file systems and mail programs."""

_FORMULA_STARTS = "=+-@＝＋－＠"
"""Signs that make a spreadsheet program read a cell as a formula, those of full width included."""

_PLAIN_NUMBER = re.compile(r"[+-]?\d[\d,]*(\.\d+)?( ?%)?")
_CELL_START = re.compile(rf"((?:^|[,;|])\s*)(?=[{re.escape(_FORMULA_STARTS)}])")

_PAPER, _INK = "#FFFFFF", "#2F2D2B"
"""Colours of an exported page: as on paper, whatever the theme was."""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title></head>
<body style="font-family: sans-serif; background: {paper}; color: {ink}; margin: 1.5rem">
<h1 style="font-size: 1.3rem">{title}</h1>
{chart}
<p>{alt}</p>
<ul>{facts}</ul>
</body>
</html>
"""


def csv_bytes(rows: Sequence[Mapping[str, Any]], facts: Mapping[str, str]) -> bytes:
    """Rows as a CSV file that no spreadsheet program takes for formulas.

    Parameters
    ----------
    rows : sequence of mapping
        As they are shown: column to value; the columns are those of all rows.
    facts : mapping
        What the file is about, a line each: name to value.
    """
    buffer = io.StringIO(newline="")
    for name, value in facts.items():
        buffer.write(f"# {_fact(name)}: {_fact(value)}\r\n")
    columns = list(dict.fromkeys(column for row in rows for column in row))
    writer = csv.writer(buffer, quoting=csv.QUOTE_NONNUMERIC)
    if columns:
        writer.writerow([_cell(column) for column in columns])
    writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    return buffer.getvalue().encode("utf-8-sig")


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, numbers.Number):
        return value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return _cell("; ".join(str(_cell(element)) for element in value))
    shown = text.visible(str(value))
    is_formula = shown.lstrip()[:1] in set(_FORMULA_STARTS) and not _PLAIN_NUMBER.fullmatch(shown)
    return f"'{shown}" if is_formula else shown


def _fact(value: str) -> str:
    """Text for a line of the header, which spreadsheet programs cut into cells at commas, too."""
    return _CELL_START.sub(r"\1'", text.visible(value).replace('"', "'"))


def html_bytes(figure: go.Figure, title: str, facts: Mapping[str, str]) -> bytes:
    """A figure as a page of its own that needs no network: Plotly is inside, so it has about 5 MB."""
    drawn = go.Figure(figure)
    drawn.update_layout(template="plotly_white", paper_bgcolor=_PAPER, plot_bgcolor=_PAPER, font_color=_INK)
    drawn.update_annotations(font_color=_INK)
    chart = drawn.to_html(include_plotlyjs=True, full_html=False, config={"displaylogo": False})
    shown = {name: html.escape(text.visible(value)) for name, value in {"title": title, **facts}.items()}
    return _PAGE.format(
        title=shown.pop("title"),
        paper=_PAPER,
        ink=_INK,
        chart=chart,
        alt=html.escape(base.alt_text(figure)),
        facts="".join(f"<li>{html.escape(name)}: {value}</li>" for name, value in shown.items()),
    ).encode()


def file_name(subject: str, day: str | None, ending: str) -> str:
    """Name such as ``daily-events_2025-12-31.csv``: lower case, digits and dashes only.

    Parameters
    ----------
    subject : str
        What the file is about.
    day : str, optional
        Date up to which the data go.
    ending : str
        Kind of the file, without the dot; nothing is added without one.
    """
    plain = unicodedata.normalize("NFKD", subject).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain)[:NAME_LENGTH].strip("-") or "export"
    return "_".join(filter(None, (slug, day))) + (f".{ending}" if ending else "")
