"""Charts as files: a page each, plotly.js once beside them, and an index.

Put here: turning charts into a folder that any browser opens without a network. Keep out: which charts there are
(``charts.py``) and images (``images.py``).
"""

from __future__ import annotations

import hashlib
import html
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analytics_assets.core.files import sha256_of, write_text

if TYPE_CHECKING:
    from analytics_assets.core.reports.charts import Chart, Row

SCRIPT = "plotly.min.js"
"""Name of the drawing library beside the pages."""

SYNTHETIC = "Synthetic sample data"

_STYLE = """
body { font: 16px/1.5 sans-serif; color: #2F2D2B; background: #FFFFFF; margin: 1.5rem auto; max-width: 60rem;
  padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; }
.facts { color: #55524E; font-size: .9rem; } .synthetic { color: #8A4B00; font-weight: bold; }
table { border-collapse: collapse; } th, td { padding: .2rem .8rem; text-align: left; }
th { border-bottom: 1px solid #888; } td { border-bottom: 1px solid #DDD; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{style}</style>{script}
</head>
<body>
{body}
</body>
</html>
"""


def write_pages(folder: Path, charts: Sequence[Chart], results: Mapping[str, Any]) -> None:
    """Write a page for every chart, the library that draws them, and ``index.html``.

    Equal charts and results give equal bytes.

    Parameters
    ----------
    folder : Path
        An existing folder.
    charts : sequence of Chart
    results : mapping
        The results file that the charts were made from: what the data are and how old.
    """
    from plotly.offline import get_plotlyjs

    write_text(folder / SCRIPT, get_plotlyjs())
    for chart in charts:
        write_text(folder / f"{chart.name}.html", page(chart, results))
    write_text(folder / "index.html", _index(charts, results))


def page(chart: Chart, results: Mapping[str, Any]) -> str:
    """One chart with its description, where it comes from, and its numbers as a table."""
    figure = chart.figure
    drawn = figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        div_id=chart.name,
        default_width="100%",
        config={"displaylogo": False, "responsive": True, "toImageButtonOptions": {"filename": chart.name}},
    )
    body = f"""<p><a href="index.html">All charts</a></p>
<h1>{_text(chart.title)}</h1>
{_synthetic(results)}{drawn}
<p>{_text(figure.layout.meta["alt"])}</p>
<p class="facts">Source: {_text(chart.source)} · {_text(chart.unit)} · {_text(chart.population)} ·
{_as_of(results)}</p>
<details><summary>The {len(chart.rows):,} rows that are drawn</summary>
<div class="scroll">{_table(chart.rows)}</div></details>"""
    return _PAGE.format(title=_text(chart.title), style=_STYLE, script=f'\n<script src="{SCRIPT}"></script>', body=body)


class _Links(HTMLParser):
    """Collects what a page loads or links to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the addresses of a tag."""
        self.found.update(value for name, value in attrs if name in ("src", "href", "srcset", "data") and value)


def addresses(folder: Path) -> dict[str, set[str]]:
    """Addresses outside `folder` that its pages load or link to, by page; pages without any are left out."""
    local = {path.name for path in folder.iterdir()}
    outside = {}
    for path in sorted(folder.glob("*.html")):
        links = _Links()
        links.feed(path.read_text(encoding="utf-8"))
        if links.found - local:
            outside[path.name] = links.found - local
    return outside


def digest(folder: Path) -> str:
    """SHA-256 over the names and contents of all files in a folder."""
    total = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        total.update(f"{path.name} {sha256_of(path)}\n".encode())
    return total.hexdigest()


def _index(charts: Sequence[Chart], results: Mapping[str, Any]) -> str:
    entries = "\n".join(
        f'<li><a href="{chart.name}.html">{_text(chart.title)}</a><br>'
        f'<span class="facts">{_text(chart.figure.layout.meta["alt"])}</span></li>'
        for chart in charts
    )
    body = f"""<h1>Charts of the published figures</h1>
{_synthetic(results)}<p class="facts">Deliveries: {_text(", ".join(results["years"]))} · {_as_of(results)} ·
made from reports/analysis_results.json; no network is needed.</p>
<ul>
{entries}
</ul>"""
    return _PAGE.format(title="Charts of the published figures", style=_STYLE, script="", body=body)


def _as_of(results: Mapping[str, Any]) -> str:
    return f"data as of {_text(results['data_as_of'] or 'no event')} UTC"


def _synthetic(results: Mapping[str, Any]) -> str:
    return f'<p class="synthetic">{SYNTHETIC}</p>\n' if results["synthetic"] else ""


def _table(rows: Sequence[Row]) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in (rows[0] if rows else ()))
    body = "\n".join("<tr>" + "".join(f"<td>{_text(value)}</td>" for value in row.values()) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"


def _text(value: Any) -> str:
    """A value as text that is nothing but text; invisible characters are shown as escapes."""
    from dashboards import text

    if value is None or isinstance(value, str):
        return html.escape(text.visible(value))
    return html.escape(str(value))
