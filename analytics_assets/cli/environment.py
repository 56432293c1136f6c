"""What every command that starts Dagster needs around it.

Put here: DAGSTER_HOME and process-wide settings. Keep out: the commands.
"""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from analytics_assets.core.files import write_bytes
from analytics_assets.core.lake import DATA_DIR_VARIABLE, Lake


def prepare_dagster_home(lake: Lake) -> Path:
    """Set ``DAGSTER_HOME`` (default: beside the lake) and put the shipped ``dagster.yaml`` there when there is none."""
    os.environ[DATA_DIR_VARIABLE] = str(lake.root)
    # OpenMP threads that wait shall sleep: on a busy machine spinning made XGBoost take twice the time.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    home = Path(os.environ.setdefault("DAGSTER_HOME", str(lake.dagster_home())))
    config = home / "dagster.yaml"
    if not config.exists():
        write_bytes(config, files("analytics_assets.deploy").joinpath("dagster.yaml").read_bytes())
    return home
