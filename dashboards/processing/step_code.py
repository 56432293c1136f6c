"""The code of each step between a delivered record and ``clean_events``, as it stands in the package.

Put here: which functions make a step, and reading their text. Keep out: running them; the package's modules are read as
files, because importing them would load what a dashboard must not load.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "analytics_assets"

_CLEANING = "core/features/cleaning.py"

_BEFORE_CLEANING: dict[str, tuple[tuple[str, str], ...]] = {
    "refuse": (("core/ingest/records.py", "Normalizer"), ("core/ingest/records.py", "REASONS")),
    "forget": (("core/privacy.py", "Privacy"),),
    "drop re-delivered records": (("core/ingest/identity.py", "resolve"), ("core/ingest/identity.py", "_repeats")),
    "normalize nulls": (("core/expressions.py", "null_normalized"), ("schemas/columns.py", "NULL_TOKENS")),
    "derive": (
        ("core/features/events.py", "identified_events"),
        ("core/features/events.py", "interpreted_events"),
        ("core/expressions.py", "TIME"),
        ("core/expressions.py", "ACTOR"),
        ("core/expressions.py", "SESSION_KEY"),
    ),
    "drop columns": ((_CLEANING, "LEFT_OUT_COLUMNS"),),
}
"""Module and name of what makes each step that no profile switches; the other steps are functions of their own name."""


@dataclass(frozen=True)
class Code:
    """One definition: its module below the package, and its text."""

    module: str
    source: str


def code_of(step: str) -> list[Code]:
    """Definitions that make a step of the waterfall; none for a step that the package does not know (any more)."""
    names = _BEFORE_CLEANING.get(step) or ((_CLEANING, f"_{step.replace(' ', '_')}"),)
    found = [(module, _definitions(module).get(name)) for module, name in names]
    return [Code(module, source) for module, source in found if source]


@cache
def _definitions(module: str) -> dict[str, str]:
    """Text of each function, class and constant of a module by name."""
    try:
        text = (PACKAGE / module).read_text(encoding="utf-8")
        body = ast.parse(text).body
    except (OSError, SyntaxError):
        return {}
    found = {}
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = ast.get_source_segment(text, node) or ""
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    found[target.id] = ast.get_source_segment(text, node) or ""
    return found
