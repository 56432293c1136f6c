"""The Spark log for people: what each run read, and what each of its steps cost.

Put here: the format of ``reports/spark_analysis.log``. Keep out: measuring (``core/summaries/measuring.py``).

Every line begins with the time (UTC) and the year, then names and values: a header when a run begins, a line per shared
frame (``step=``) and per table (``summary=``), a total when the run is through.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analytics_assets.core.summaries.measuring import Cost
    from analytics_assets.core.summaries.run import SummaryResult

Value = str | int | float


@dataclass
class SummaryLog:
    """Log of one run; the file grows in place, one write per line.

    Parameters
    ----------
    path : Path
        The log; its folder is made when it is missing.
    year : str
        Delivery year.
    """

    path: Path
    year: str
    _costs: list[Cost] = field(default_factory=list)
    _summaries: int = 0

    def begin(self, facts: Mapping[str, Value]) -> None:
        """Write the header: what is read, and with what."""
        self._line({"run": "begin", **facts})

    def add(self, result: SummaryResult) -> None:
        """Write a line per shared frame that `result` brought, and its own."""
        for cost in result.shared:
            self._line({"step": cost.name, **cost.figures()})
        own = {"summary": result.cost.name, "rows": result.rows.num_rows}
        self._line(own | result.cost.figures())
        self._costs += [*result.shared, result.cost]
        self._summaries += 1

    def end(self, facts: Mapping[str, Value]) -> None:
        """Write the total: sums of times and bytes, largest memory."""
        total: dict[str, Value] = {"run": "end", "summaries": self._summaries, **facts}
        for cost in self._costs:
            for name, value in cost.figures().items():
                before = total.get(name, 0)
                assert not isinstance(before, str)
                total[name] = max(before, value) if name.endswith("_mb") else before + value
        self._line(total)

    def _line(self, facts: Mapping[str, Value]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        stamp = datetime.now(UTC).isoformat(timespec="seconds")
        words = [stamp, f"year={self.year}", *(f"{name}={_shown(value)}" for name, value in facts.items())]
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(" ".join(words) + "\n")


def _shown(value: Value) -> str:
    """A value without blanks; reals to hundredths."""
    if isinstance(value, float):
        return f"{value:.2f}"
    return str(value).replace(" ", "_")
