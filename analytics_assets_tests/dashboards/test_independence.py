"""The dashboards stand on the lake's files alone."""

from __future__ import annotations

import ast
import subprocess
import sys

from analytics_assets.core.lake import DATA_DIR_VARIABLE, Lake
from analytics_assets_tests.dashboards.conftest import SCRIPTS

FORBIDDEN = ("dagster", "pyspark", "tensorflow", "sklearn", "prophet", "statsmodels", "xgboost", "hmmlearn")
ALLOWED_CORE = {
    "analytics_assets.core.lake",
    "analytics_assets.core.files",
    "analytics_assets.core.intervals",
    # The order of events inside a session.
    "analytics_assets.core.expressions",
    "analytics_assets.core.ingest",
    "analytics_assets.core.ingest.quarantine",
    "analytics_assets.core.ingest.tracing",
    # Where a figure that rests on a setting is counted again.
    "analytics_assets.core.errors",
    "analytics_assets.core.settings",
    "analytics_assets.schemas",
    "analytics_assets.schemas.leaderboard",
    # Scoring of published models, which needs NumPy and SciPy only.
    "analytics_assets.core.models",
    "analytics_assets.core.models.hmm",
    "analytics_assets.core.models.kmeans",
    "analytics_assets.core.models.kmeans_choice",
    "analytics_assets.core.models.kmeans_features",
    "analytics_assets.core.models.lstm_forward",
    "analytics_assets.core.models.markov",
    "analytics_assets.core.models.next_event",
    "analytics_assets.core.models.sequences",
}


def test_running_both_apps_loads_no_pipeline(built_lake: Lake) -> None:
    code = f"""
import sys
from streamlit.testing.v1 import AppTest
for script in ("visualize_analysis.py", "data_processing.py"):
    app = AppTest.from_file({str(SCRIPTS)!r} + "/" + script, default_timeout=30).run()
    assert not app.exception and app.metric
print(sorted({{name.split(".")[0] for name in sys.modules}} & set({FORBIDDEN!r})))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env={DATA_DIR_VARIABLE: str(built_lake.root), "PATH": ""}, capture_output=True,
        text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_the_pages_of_models_load_no_training_library(modelled_lake: Lake) -> None:
    code = f"""
import sys
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash
for page in ("journeys", "next-event", "hidden-states", "segments", "forecasts"):
    app = AppTest.from_file({str(SCRIPTS)!r} + "/visualize_analysis.py", default_timeout=30)
    app._page_hash = calc_hash(page)
    app.run()
    assert not app.exception and not app.error and app.metric, page
print(sorted({{name.split(".")[0] for name in sys.modules}} & set({FORBIDDEN!r})))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env={DATA_DIR_VARIABLE: str(modelled_lake.root), "PATH": ""}, capture_output=True,
        text=True, check=False, timeout=90,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_only_light_parts_are_imported() -> None:
    imported = set()
    for path in SCRIPTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                imported.add(node.module)
            elif isinstance(node, ast.Import):
                imported.update(alias.name for alias in node.names)
    assert {name for name in imported if name and name.startswith("analytics_assets")} <= ALLOWED_CORE


def test_no_page_writes_html() -> None:
    for path in SCRIPTS.rglob("*.py"):
        content = path.read_text(encoding="utf-8")
        assert "unsafe_allow_html" not in content and "st.html" not in content, path
