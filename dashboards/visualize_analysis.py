"""The insights app: ``streamlit run dashboards/visualize_analysis.py``.

Put here: which pages it has. Keep out: the pages (``insights``) and what surrounds them (``frame.py``).
"""

from __future__ import annotations

from dashboards import frame
from dashboards.frame import PageEntry
from dashboards.insights import (
    activity,
    devices,
    forecasts,
    funnels,
    geography,
    hidden_states,
    journeys,
    next_event,
    overview,
    quality,
    retention,
    segments,
    sessions,
)


def main() -> None:
    """Draw the app once, as Streamlit does at every interaction."""
    lake = frame.open_app("User analytics", "insights.svg")
    scope = frame.insights_scope(lake)
    if scope is None:
        return
    frame.run(
        {
            "Overview": [PageEntry("Overview", "overview", ":material/monitoring:", lambda: overview.show(scope))],
            "Activity": [
                PageEntry("Activity", "activity", ":material/schedule:", lambda: activity.show(scope)),
                PageEntry("Sessions", "sessions", ":material/timelapse:", lambda: sessions.show(scope)),
                PageEntry("Geography", "geography", ":material/public:", lambda: geography.show(scope)),
                PageEntry("Devices & performance", "devices", ":material/devices:", lambda: devices.show(scope)),
            ],
            "Journeys": [
                PageEntry("Journeys", "journeys", ":material/route:", lambda: journeys.show(scope)),
                PageEntry("Funnels", "funnels", ":material/filter_list:", lambda: funnels.show(scope)),
                PageEntry("Retention & lifecycle", "retention", ":material/autorenew:", lambda: retention.show(scope)),
            ],
            "Models": [
                PageEntry("Next event", "next-event", ":material/online_prediction:", lambda: next_event.show(scope)),
                PageEntry("Hidden states", "hidden-states", ":material/blur_on:", lambda: hidden_states.show(scope)),
                PageEntry("Segments", "segments", ":material/group_work:", lambda: segments.show(scope)),
                PageEntry("Forecasts", "forecasts", ":material/trending_up:", lambda: forecasts.show(scope)),
            ],
            "Data": [PageEntry("Data quality & drift", "quality", ":material/verified:", lambda: quality.show(scope))],
        }
    )


main()
