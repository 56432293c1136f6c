"""The lake as a Dagster resource.

Put here: its configuration. Keep out: paths (``core/lake.py``) and writing (``core/files.py``).
"""

from __future__ import annotations

from pathlib import Path

import dagster as dg
from pydantic import Field

from analytics_assets.core.lake import Lake


class LakeResource(dg.ConfigurableResource):
    """Root folder of the data; assets use `lake`."""

    root: str = Field(description="Folder that holds raw/, chunks/, summaries/, features/, models/ and reports/.")

    @property
    def lake(self) -> Lake:
        """All paths below the root."""
        return Lake(Path(self.root))
