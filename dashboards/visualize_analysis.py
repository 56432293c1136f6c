"""The insights app: ``streamlit run dashboards/visualize_analysis.py``.

Put here: which pages it has. Keep out: the pages (``insights``) and what surrounds them (``frame.py``).
"""

from __future__ import annotations

from dashboards import frame
from dashboards.frame import PageEntry
from dashboards.insights import activity, devices, geography, overview, sessions


def main() -> None:
    """Draw the app once, as Streamlit does at every interaction."""
    lake = frame.open_app("User analytics", ":material/insights:")
    scope = frame.insights_scope(lake)
    if scope is not None:
        frame.run(
            {
                "Overview": [PageEntry("Overview", "overview", ":material/monitoring:", lambda: overview.show(scope))],
                "Activity": [
                    PageEntry("Activity", "activity", ":material/schedule:", lambda: activity.show(scope)),
                    PageEntry("Sessions", "sessions", ":material/timelapse:", lambda: sessions.show(scope)),
                    PageEntry("Geography", "geography", ":material/public:", lambda: geography.show(scope)),
                    PageEntry("Devices & performance", "devices", ":material/devices:", lambda: devices.show(scope)),
                ],
            }
        )


main()
