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
    "analytics_assets.core.ingest",
    "analytics_assets.core.ingest.tracing",
    # Where a figure that rests on a setting is counted again.
    "analytics_assets.core.errors",
    "analytics_assets.core.settings",
    "analytics_assets.schemas",
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


def test_only_paths_schemas_files_and_intervals_are_imported() -> None:
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
