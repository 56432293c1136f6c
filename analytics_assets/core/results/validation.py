"""The shipped JSON Schema of the results, and the check against it.

Put here: reading and applying ``schemas/analysis_results.schema.json``. Keep out: what the results hold.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from analytics_assets.core.errors import PipelineError

SCHEMA_FILE = "analysis_results.schema.json"


@cache
def results_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of ``analysis_results.json``."""
    text = files("analytics_assets.schemas").joinpath(SCHEMA_FILE).read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def violations(document: Any) -> list[str]:
    """Where and how a document breaks the schema, first places first; empty when it does not."""
    from jsonschema import Draft202012Validator

    errors = sorted(Draft202012Validator(results_schema()).iter_errors(document), key=lambda e: e.json_path)
    return [f"{error.json_path}: {error.message[:300]}" for error in errors]


def validate(document: Any, path: Path) -> None:
    """Refuse results that break the schema.

    Raises
    ------
    PipelineError
        The first violations by place.
    """
    found = violations(document)
    if found:
        raise PipelineError(
            path,
            f"{len(found)} values are not as {SCHEMA_FILE} says: {'; '.join(found[:3])}",
            "Materialize the features and summaries again; if that does not help, this is a fault of the pipeline.",
        )
