"""The transparency app: ``streamlit run dashboards/data_processing.py``.

Put here: which pages it has. Keep out: the pages (``processing``) and what surrounds them (``frame.py``).
"""

from __future__ import annotations

from collections.abc import Callable

from analytics_assets.core.lake import Lake
from dashboards import frame
from dashboards.frame import PageEntry
from dashboards.processing import cleaning, columns, files, origins, overview, places, quarantine, runs


def main() -> None:
    """Draw the app once, as Streamlit does at every interaction."""
    lake = frame.open_app("Data processing", "processing.svg")
    year = frame.processing_year(lake)
    if year is None:
        return

    def entry(title: str, path: str, icon: str, show: Callable[[Lake, str], None]) -> PageEntry:
        return PageEntry(title, path, f":material/{icon}:", lambda: show(lake, year))

    frame.run(
        {
            "Records": [
                entry("Overview", "overview", "checklist", overview.show),
                entry("Cleaning", "cleaning", "filter_alt", cleaning.show),
                entry("Quarantine", "quarantine", "report", quarantine.show),
                entry("Files", "files", "folder_open", files.show),
            ],
            "Values": [
                entry("Columns", "columns", "table_chart", columns.show),
                entry("Places", "places", "location_on", places.show),
            ],
            "Figures": [
                entry("Where from?", "origins", "account_tree", origins.show),
                entry("Runs and cost", "runs", "timer", runs.show),
            ],
        }
    )


main()
