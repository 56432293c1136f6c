"""How steps run.

Put here: the executor of daemon-launched runs and its limits. See https://docs.dagster.io/guides/operate/run-executors
"""

from __future__ import annotations

import dagster as dg

PRELOADED = ["dagster", "analytics_assets.definitions"]
"""Loaded once before steps fork from the server. Never TensorFlow, PySpark or Prophet: they deadlock when forked."""

MAX_STEPS = 2
"""Steps at once: two cores is the smallest machine supported, and each step uses threads of its own."""

step_processes = dg.multiprocess_executor.configured(
    {"max_concurrent": MAX_STEPS, "start_method": {"forkserver": {"preload_modules": PRELOADED}}}, name="step_processes"
)
"""Each step in a process of its own: TensorFlow, XGBoost and OpenMP clash in one."""
