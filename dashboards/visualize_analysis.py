"""The insights app: ``streamlit run dashboards/visualize_analysis.py``.

Put here: which pages it has. Keep out: the pages (``insights``) and what surrounds them (``frame.py``).
"""

from __future__ import annotations

from dashboards import frame
from dashboards.insights import overview


def main() -> None:
    """Draw the app once, as Streamlit does at every interaction."""
    lake = frame.open_app("User analytics", ":material/insights:")
    scope = frame.insights_scope(lake)
    if scope is not None:
        frame.run(
            {
                "Insights": [
                    frame.PageEntry("Overview", "overview", ":material/monitoring:", lambda: overview.show(scope))
                ]
            }
        )


main()
