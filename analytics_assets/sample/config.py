"""What a caller may choose about a sample.

Belongs here: the settings of a sample export and their limits. Does not belong here: fixed figures (``calibration``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MIN_EVENTS = 1_000
"""Fewer events are a few dozen sessions, of which one may hold a third: no share would mean anything."""
MIN_USERS = 10


@dataclass(frozen=True)
class SampleConfig:
    """Settings of a synthetic sample export. Equal settings give equal files.

    Attributes
    ----------
    years : tuple of int
        Consecutive calendar years, one folder and one file each.
    events : int
        Wanted number of distinct events over all years; the sample ends with the session that comes nearest.
    users : int
        People, besides the scripted monitor. Those who get no session (only in very small samples) do not appear.
    seed : int
        Non-negative.
    shape : {"array", "zip"}
        One JSON array per year, or the Export API's zip of hourly gzipped NDJSON members.
    compress : bool
        Whether an array is written as ``.json.gz`` (else ``.json``); a zip is always compressed.
    duplicate_share : float
        Re-delivered records, as a share of a year's distinct events.
    late_share : float
        Events uploaded hours to days after they happened, as a share of all events.
    malformed_records : int
        Records per year that a reader must refuse.
    """

    years: tuple[int, ...] = (2024, 2025)
    events: int = 120_000
    users: int = 400
    seed: int = 7
    shape: Literal["array", "zip"] = "array"
    compress: bool = True
    duplicate_share: float = 0.003
    late_share: float = 0.01
    malformed_records: int = 6

    def __post_init__(self) -> None:
        if not self.years or self.years != tuple(range(self.years[0], self.years[0] + len(self.years))):
            raise ValueError(f"years must be consecutive and ascending, not {self.years}")
        if not 1971 <= self.years[0] <= self.years[-1] <= 2100:
            raise ValueError(f"years must lie between 1971 and 2100, not {self.years}")
        if self.events < MIN_EVENTS:
            raise ValueError(f"events must be at least {MIN_EVENTS}, not {self.events}")
        if self.users < MIN_USERS:
            raise ValueError(f"users must be at least {MIN_USERS}, not {self.users}")
        if self.shape not in ("array", "zip"):
            raise ValueError(f"shape must be 'array' or 'zip', not {self.shape!r}")
        if not 0 <= self.duplicate_share <= 0.5 or not 0 <= self.late_share <= 0.5:
            raise ValueError("duplicate_share and late_share must lie between 0 and 0.5")
        if self.seed < 0 or self.malformed_records < 0:
            raise ValueError("seed and malformed_records must not be negative")

    def file_name(self, year: int) -> str:
        """Name of the export file of a year."""
        return f"synthetic_events_{year}.{self._suffix()}"

    def stale_file_names(self, year: int) -> tuple[str, ...]:
        """Names other settings would have given that file: left beside it they would double the year."""
        return tuple(f"synthetic_events_{year}.{s}" for s in ("json", "json.gz", "zip") if s != self._suffix())

    def _suffix(self) -> str:
        if self.shape == "zip":
            return "zip"
        return "json.gz" if self.compress else "json"
