"""The transparency app: ``streamlit run dashboards/data_processing.py``.

Put here: which pages it has. Keep out: the pages (``processing``) and what surrounds them (``frame.py``).
"""

from __future__ import annotations

from dashboards import frame
from dashboards.processing import overview


def main() -> None:
    """Draw the app once, as Streamlit does at every interaction."""
    lake = frame.open_app("Data processing", ":material/fact_check:")
    year = frame.processing_year(lake)
    if year is not None:
        frame.run(
            {
                "Data processing": [
                    frame.PageEntry("Overview", "overview", ":material/checklist:", lambda: overview.show(lake, year))
                ]
            }
        )


main()
