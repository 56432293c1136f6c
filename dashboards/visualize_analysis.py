"""The insights app: ``streamlit run dashboards/visualize_analysis.py``.

Put here: which pages it has. Keep out: the pages (``insights``) and what surrounds them (``frame.py``).
"""

from __future__ import annotations

from dashboards import frame
from dashboards.insights import forecasts, hidden_states, journeys, next_event, overview, segments


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
                    frame.PageEntry("Journeys", "journeys", ":material/route:", lambda: journeys.show(scope)),
                ],
                "Models": [
                    frame.PageEntry(
                        "Next event", "next-event", ":material/online_prediction:", lambda: next_event.show(scope)
                    ),
                    frame.PageEntry(
                        "Hidden states", "hidden-states", ":material/blur_on:", lambda: hidden_states.show(scope)
                    ),
                    frame.PageEntry("Segments", "segments", ":material/group_work:", lambda: segments.show(scope)),
                    frame.PageEntry("Forecasts", "forecasts", ":material/trending_up:", lambda: forecasts.show(scope)),
                ],
            }
        )


main()
