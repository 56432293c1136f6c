"""Lakes and apps for the tests of the dashboards."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from analytics_assets.core.lake import DATA_DIR_VARIABLE, Lake
from analytics_assets_tests.dashboards import building, model_building

SCRIPTS = Path(__file__).resolve().parents[2] / "dashboards"

RunApp = Callable[..., AppTest]

TIMEOUT = 90
"""Seconds for one run of an app, which takes one: a busy machine is no failure."""


@pytest.fixture(scope="session")
def built_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A whole lake that no test may change."""
    return building.build(tmp_path_factory.mktemp("lake"))


@pytest.fixture
def lake(built_lake: Lake, tmp_path: Path) -> Lake:
    """A whole lake of the test's own."""
    return Lake(Path(shutil.copytree(built_lake.root, tmp_path / "lake")))


@pytest.fixture(scope="session")
def modelled_lake(built_lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A whole lake with all models that pages show; no test may change it."""
    lake = Lake(Path(shutil.copytree(built_lake.root, tmp_path_factory.mktemp("models") / "lake")))
    model_building.build(lake)
    return lake


@pytest.fixture
def run_app(monkeypatch: pytest.MonkeyPatch) -> RunApp:
    """Run one of the two apps on a lake, on its first page or on the one whose path in the address is given."""

    def run(script: str, lake: Lake, page: str = "", **parameters: str | list[str]) -> AppTest:
        monkeypatch.setenv(DATA_DIR_VARIABLE, str(lake.root))
        app = AppTest.from_file(str(SCRIPTS / script), default_timeout=TIMEOUT)
        if page:
            # AppTest can only switch to pages that are files of their own.
            app._page_hash = calc_hash(page)
        for name, value in parameters.items():
            app.query_params[name] = value
        return app.run()

    return run


@pytest.fixture
def run_page(run_app: RunApp) -> RunApp:
    """Run one page of the insights app, by its path in the address."""

    def run(path: str, lake: Lake, **parameters: str | list[str]) -> AppTest:
        return run_app("visualize_analysis.py", lake, page=path, **parameters)

    return run
