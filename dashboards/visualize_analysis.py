"""The insights app: ``streamlit run dashboards/visualize_analysis.py``.

Put here: which pages it has. Keep out: the pages (``insights``) and what surrounds them (``frame.py``).
"""

from __future__ import annotations

from importlib import import_module

from dashboards import frame
from dashboards.frame import PageEntry
from dashboards.selection import Scope


def main() -> None:
    """Draw the app once, as Streamlit does at every interaction."""
    lake = frame.open_app("User analytics", "insights.svg")
    scope = frame.insights_scope(lake)
    if scope is None:
        return

    def page(title: str, path: str, icon: str, module: str) -> PageEntry:
        return PageEntry(title, path, f":material/{icon}:", lambda: _show(module, scope))

    frame.run(
        {
            "Overview": [page("Overview", "overview", "monitoring", "overview")],
            "Activity": [
                page("Activity", "activity", "schedule", "activity"),
                page("Sessions", "sessions", "timelapse", "sessions"),
                page("Geography", "geography", "public", "geography"),
                page("Devices & performance", "devices", "devices", "devices"),
            ],
            "Journeys": [
                page("Journeys", "journeys", "route", "journeys"),
                page("Funnels", "funnels", "filter_list", "funnels"),
                page("Retention & lifecycle", "retention", "autorenew", "retention"),
            ],
            "Models": [
                page("Next event", "next-event", "online_prediction", "next_event"),
                page("Hidden states", "hidden-states", "blur_on", "hidden_states"),
                page("Segments", "segments", "group_work", "segments"),
                page("Forecasts", "forecasts", "trending_up", "forecasts"),
            ],
            "Data": [page("Data quality & drift", "quality", "verified", "quality")],
        }
    )


def _show(module: str, scope: Scope) -> None:
    """Draw a page; it is imported when it is first asked for, so that the first one need not wait for the others."""
    import_module(f"dashboards.insights.{module}").show(scope)


main()
