"""The Spark log for people: one line per computed summary with its time and memory.

Put here: the format of ``reports/spark_analysis.log``. Keep out: measuring (``summaries.py``).
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analytics_assets.core.summaries import SummaryResult


def append_summary_log(path: Path, year: str, result: SummaryResult) -> None:
    """Append one line; the file is a log and therefore grows in place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    line = (
        f"{now} year={year} summary={result.table.name} rows={result.rows.num_rows} seconds={result.seconds:.2f} "
        f"jvm_heap_mb={result.heap_mb:.0f} python_rss_mb={result.rss_mb:.0f}\n"
    )
    with path.open("a", encoding="utf-8") as stream:
        stream.write(line)
