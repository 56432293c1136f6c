"""The accessibility scan of a page in the browser, by axe-core.

Put here: running the scan and what of it is Streamlit's own. Keep out: which pages are scanned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from selenium.webdriver import Chrome

from analytics_assets_tests.conftest import ROOT

SCRIPT = ROOT / ".axe" / "node_modules" / "axe-core" / "axe.min.js"
"""Where ``.ci/run`` puts axe-core; nothing is fetched by a test."""

GRAVE = {"serious", "critical"}

STREAMLITS: Mapping[str, tuple[str, ...]] = {
    # Sections of the navigation are boxes inside its list.
    "list": ('data-testid="stSidebarNavItems"',),
    "listitem": ('<li class="st-emotion-cache-',),
    # Colours of code.
    "color-contrast": ('class="token',),
    # The sparkline of a tile.
    "svg-img-alt": ("metric_chart_",),
}
"""By rule, parts of the page that Streamlit itself makes and a page cannot change."""

_RUN = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ['violations']}).then(found => done(found.violations), error => done(String(error)));
"""


def violations(page: Chrome) -> list[str]:
    """Serious and critical violations of the page as it stands, in words."""
    page.execute_script(SCRIPT.read_text(encoding="utf-8"))
    found: Any = page.execute_async_script(_RUN)
    assert isinstance(found, list), found
    said = []
    for violation in found:
        if violation["impact"] in GRAVE:
            for node in violation["nodes"]:
                if not any(part in node["html"] for part in STREAMLITS.get(violation["id"], ())):
                    said.append(f"{violation['id']}: {node['html'][:200]} ({' '.join(map(str, node['target']))[:120]})")
    return said
