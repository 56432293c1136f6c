"""The reference of all tables for people, written from their declarations.

Put here: the text of ``docs/tables.md``. Keep out: the declarations.
"""

from __future__ import annotations

from collections.abc import Iterator

from analytics_assets.schemas import EVENT_CHUNKS, FEATURE_TABLES, METRICS, SUMMARY_TABLES, TABLES, Table

FEATURE_PATH = "features/{name}/<year>.parquet"
SUMMARY_PATH = "summaries/<year>/{name}.parquet"


def markdown() -> str:
    """Every published table with its columns, and every published number."""
    models = [t for t in TABLES.values() if t is not EVENT_CHUNKS and t not in (*SUMMARY_TABLES, *FEATURE_TABLES)]
    lines = [
        "# Tables",
        "",
        "Written from the declarations in `analytics_assets/schemas/`; a test keeps both equal. Times are UTC.",
    ]
    for title, path, tables in (
        ("Chunks", "chunks/<year>/part-NNNNN.csv", (EVENT_CHUNKS,)),
        ("Spark summaries", SUMMARY_PATH, SUMMARY_TABLES),
        ("Features", FEATURE_PATH, FEATURE_TABLES),
        ("Models", "models/", models),
    ):
        lines += ["", f"## {title}"]
        for table in tables:
            lines += ["", *_table(table, path)]
    lines += ["", "## Published numbers", "", "| number | label | unit | taken over | population | source |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for metric in METRICS.values():
        cells = (f"`{metric.name}`", metric.label, metric.unit, metric.denominator, metric.population, metric.source)
        lines.append(_row(cells))
    return "\n".join(lines) + "\n"


def _table(table: Table, path: str) -> Iterator[str]:
    yield f"### {table.name}"
    yield ""
    yield table.description
    yield ""
    yield f"`{path.format(name=table.name)}`, key: {', '.join(f'`{name}`' for name in table.key)}"
    yield ""
    yield "| column | type | unit | meaning |"
    yield "| --- | --- | --- | --- |"
    for column in table.columns:
        kind = column.type if column.nullable else f"{column.type}, never null"
        yield _row((f"`{column.name}`", kind, column.unit, column.description))


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
