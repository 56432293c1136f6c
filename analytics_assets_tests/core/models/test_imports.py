"""Modules of models and forecasts are light to import: heavy libraries are imported where they are used."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from types import ModuleType

import pytest

from analytics_assets.core import forecasts, models

HEAVY = (
    *("tensorflow", "sklearn", "xgboost", "hmmlearn", "matplotlib"),
    *("prophet", "cmdstanpy", "statsmodels", "holidays"),
)
MODULES = {
    package.__name__: [f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__)]
    for package in (models, forecasts)
}
CODE = """
import importlib, json, sys
modules, heavy = json.loads(sys.argv[1])
found = {}
for module in modules:
    before = set(sys.modules)
    importlib.import_module(module)
    brought = [name for name in heavy if name in set(sys.modules) - before]
    if brought:
        found[module] = brought
print(json.dumps(found))
"""


@pytest.mark.parametrize(("package", "least"), [(models, 30), (forecasts, 20)], ids=["models", "forecasts"])
def test_no_module_imports_a_heavy_library_when_it_is_imported(package: ModuleType, least: int) -> None:
    """One fresh interpreter imports all: what one module brings, no module before it has brought."""
    modules = MODULES[package.__name__]
    assert len(modules) > least
    result = subprocess.run(
        [sys.executable, "-c", CODE, json.dumps([modules, HEAVY])], capture_output=True, text=True, check=True
    )
    assert json.loads(result.stdout) == {}, "these modules import heavy libraries"
