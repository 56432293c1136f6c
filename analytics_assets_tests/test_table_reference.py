"""docs/tables.md says what the declarations say."""

from __future__ import annotations

import os

from analytics_assets.schemas import FEATURE_TABLES, SUMMARY_TABLES, TABLES
from analytics_assets.schemas.reference import markdown
from analytics_assets_tests.conftest import ROOT

REFERENCE = ROOT / "docs" / "tables.md"


def test_reference_is_current() -> None:
    """UPDATE_REFERENCE=1 writes it anew."""
    if os.environ.get("UPDATE_REFERENCE"):
        REFERENCE.write_text(markdown(), encoding="utf-8")
    assert REFERENCE.read_text(encoding="utf-8") == markdown()


def test_every_column_of_every_table_is_in_it() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    for table in TABLES.values():
        assert f"### {table.name}\n" in text
        section = text.split(f"### {table.name}\n")[1].split("\n### ")[0].split("\n## ")[0]
        assert all(f"| `{name}` |" in section for name in table.column_names), table.name


def test_numbers_say_their_unit_or_formula() -> None:
    """A real number of a summary or feature without a unit is at least explained by more than its name."""
    for table in (*SUMMARY_TABLES, *FEATURE_TABLES):
        for column in table.columns:
            assert column.unit or column.type != "float64" or len(column.description) > 5, (table.name, column.name)
            assert column.description.endswith("."), (table.name, column.name)
