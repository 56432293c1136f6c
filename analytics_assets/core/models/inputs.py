"""What models are made from: the years that are there, and the record of it in ``metrics.json``.

Put here: input years and provenance of every model. Keep out: loading of rows (``sequences.py``, ``kmeans.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.files import read_json
from analytics_assets.core.lake import Lake


def input_years(lake: Lake, tables: Sequence[str]) -> list[str]:
    """Years for which all tables exist.

    Raises
    ------
    PipelineError
        There is none.
    """
    years = sorted(set.intersection(*(set(lake.feature_years(table)) for table in tables)))
    if not years:
        raise PipelineError(
            lake.root / "features",
            f"no year has {' and '.join(tables)}",
            "Materialize at least one year, then the models.",
        )
    return years


def provenance(lake: Lake, years: Sequence[str], config: Mapping[str, Any], packages: Sequence[str]) -> dict[str, Any]:
    """Input years with the digests of their raw files, resolved settings, and versions of libraries."""
    return {
        "input_years": list(years),
        "raw_digests": {year: read_json(lake.manifest(year))["raw_digest"] for year in years},
        "config": dict(config),
        "versions": {name: version(name) for name in packages},
    }
