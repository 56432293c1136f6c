"""The insights app: ``streamlit run dashboards/visualize_analysis.py``.

Put here: which pages it has. Keep out: the pages (``insights``) and what surrounds them (``frame.py``).
"""

from __future__ import annotations

from dashboards import frame
from dashboards.insights import funnels, overview, quality, retention


def main() -> None:
    """Draw the app once, as Streamlit does at every interaction."""
    lake = frame.open_app("User analytics", ":material/insights:")
    scope = frame.insights_scope(lake)
    if scope is not None:
        frame.run(
            {
                "Insights": [
                    frame.PageEntry("Overview", "overview", ":material/monitoring:", lambda: overview.show(scope))
                ],
                "Journeys": [
                    frame.PageEntry("Funnels", "funnels", ":material/filter_list:", lambda: funnels.show(scope)),
                    frame.PageEntry(
                        "Retention & lifecycle", "retention", ":material/autorenew:", lambda: retention.show(scope)
                    ),
                ],
                "Data": [
                    frame.PageEntry(
                        "Data quality & drift", "quality", ":material/verified:", lambda: quality.show(scope)
                    )
                ],
            }
        )


main()
