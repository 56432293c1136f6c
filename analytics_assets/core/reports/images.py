"""Charts as PNG images, drawn by a browser where one is installed.

Put here: finding a browser and letting it draw. Keep out: the charts (``charts.py``).

One browser draws all charts, from a local page and without a window, a profile of its own and the network.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analytics_assets.core.files import empty_folder, write_text

if TYPE_CHECKING:
    from analytics_assets.core.reports.charts import Chart

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""Names under which Chromium is installed."""

BROWSER_SECONDS = 120
"""Time for all charts; a dozen take a few seconds."""

WIDTH, SCALE = 1000, 2
"""Pixels of an image before scaling, and pixels per pixel: sharp in print."""

_FLAGS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--virtual-time-budget=60000",
    "--dump-dom",
)
"""No window, no calls of the browser's own, and the finished page on standard output. Time on the page is virtual: the
budget is what scripts may wait for, and is used up at once when they are done."""

_PAGE = """<!DOCTYPE html>
<html><head><meta charset="utf-8"><script src="{script}"></script></head><body>
<script>
const charts = {charts};
(async () => {{
  for (const [name, figure] of Object.entries(charts)) {{
    const place = document.createElement("div");
    document.body.appendChild(place);
    const size = {{format: "png", width: {width}, height: figure.layout.height, scale: {scale}}};
    await Plotly.newPlot(place, figure.data, figure.layout, {{staticPlot: true}});
    const image = document.createElement("img");
    image.alt = name;
    image.src = await Plotly.toImage(place, size);
    place.replaceWith(image);
  }}
}})();
</script></body></html>
"""

_IMAGE = re.compile(r'<img alt="([a-z0-9-]+)" src="data:image/png;base64,([A-Za-z0-9+/=]+)">')


def browser() -> str | None:
    """Program of the first browser that is installed."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def draw(charts: Sequence[Chart], script: Path, work: Path, program: str) -> dict[str, bytes]:
    """PNG images of charts by name; those that the browser did not draw are missing.

    Parameters
    ----------
    charts : sequence of Chart
    script : Path
        plotly.js.
    work : Path
        Folder for the browser's files; it is removed.
    program : str
        The browser.
    """
    from plotly.io import to_json

    empty_folder(work)
    figures = {}
    for chart in charts:
        figure = json.loads(to_json(chart.figure))
        figure["layout"]["paper_bgcolor"] = figure["layout"]["plot_bgcolor"] = "#FFFFFF"
        figures[chart.name] = figure
    # Inside a script a "<" could begin its end.
    content = json.dumps(figures).replace("<", "\\u003c")
    page = work / "charts.html"
    write_text(page, _PAGE.format(script=script.as_uri(), charts=content, width=WIDTH, scale=SCALE))
    # Chromium refuses its sandbox to the superuser; it draws our own charts only.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    command = [program, *_FLAGS, *sandbox, f"--user-data-dir={work / 'profile'}", page.as_uri()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=BROWSER_SECONDS)
    except (subprocess.TimeoutExpired, OSError):
        return {}
    finally:
        shutil.rmtree(work, ignore_errors=True)
    wanted = {chart.name for chart in charts}
    images = {}
    for name, encoded in _IMAGE.findall(done.stdout):
        if name in wanted:
            try:
                images[name] = base64.b64decode(encoded, validate=True)
            except binascii.Error:
                continue  # Cut off with the page.
    return images
