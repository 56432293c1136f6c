"""Modules of models are light to import: heavy libraries are imported where they are used."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys

from analytics_assets.core import models

HEAVY = ("tensorflow", "sklearn", "xgboost", "hmmlearn", "matplotlib")
MODULES = [f"{models.__name__}.{module.name}" for module in pkgutil.iter_modules(models.__path__)]
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


def test_no_module_imports_a_heavy_library_when_it_is_imported() -> None:
    """One fresh interpreter imports all: what one module brings, no module before it has brought."""
    assert len(MODULES) > 30
    result = subprocess.run(
        [sys.executable, "-c", CODE, json.dumps([MODULES, HEAVY])], capture_output=True, text=True, check=True
    )
    assert json.loads(result.stdout) == {}, "these modules import heavy libraries"
