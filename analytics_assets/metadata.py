"""Metadata of assets: column schemas, previews, common attributes.

Put here: conversions from our declarations and tables to Dagster's metadata. Keep out: what an asset computes.
"""

from __future__ import annotations

import base64
import contextlib
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from analytics_assets.core.errors import PipelineError, explained_os_errors, is_transient
from analytics_assets.schemas import Table
from analytics_assets.schemas.lineage import LINEAGE

if TYPE_CHECKING:
    import pyarrow as pa

OWNERS = ["team:analytics"]
PREVIEW_ROWS = 8
"""Rows of a preview: enough to see the shape, small in the event log."""


SHOWN_PICTURES, PICTURE_BYTES = 3, 80_000
"""Pictures live in the event log: a few small ones say enough, all of them lie beside the model."""


def column_schema(table: Table) -> dg.TableSchema:
    """Dagster's column schema of a declared table."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                column.type,
                description=f"{column.description} [{column.unit}]" if column.unit else column.description,
                constraints=dg.TableColumnConstraints(nullable=column.nullable, unique=table.key == (column.name,)),
            )
            for column in table.columns
        ]
    )


def column_lineage(table: str) -> dg.TableColumnLineage:
    """Dagster's column lineage of a feature table."""
    lineage = LINEAGE[table]
    return dg.TableColumnLineage(
        {
            column: [
                dg.TableColumnDep(asset_key=dg.AssetKey(asset), column_name=name) for asset, name in lineage.of(column)
            ]
            for column in lineage.columns
        }
    )


def cost(started: float) -> dict[str, float]:
    """Seconds since `started` of ``time.perf_counter`` and the peak memory of this process, for the UI to plot.

    A step of a job has a process of its own. Several steps in one process, as in ``analytics demo``, show the peak of
    all until then.
    """
    # Linux counts in kilobytes, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    return {"seconds": time.perf_counter() - started, "peak_memory_mb": peak}


def document_schema(fields: Mapping[str, str]) -> dg.TableSchema:
    """Schema of a JSON document: its top-level fields with their meaning."""
    return dg.TableSchema(columns=[dg.TableColumn(name, "json", description=text) for name, text in fields.items()])


def attributes(schema: dg.TableSchema, *, layer: str, kinds: set[str]) -> dict[str, Any]:
    """Owner, kinds, tags and declared schema in the form that asset decorators and specs take."""
    return {
        "owners": OWNERS,
        "kinds": kinds,
        "tags": {"layer": layer},
        "metadata": {"dagster/column_schema": schema},
    }


def preview(rows: pa.Table) -> dg.MetadataValue[str]:
    """The first rows as a Markdown table; cell texts are escaped and cut."""

    def cell(value: object) -> str:
        text = "" if value is None else str(value)
        text = text if len(text) <= 60 else text[:59] + "…"
        return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")

    head = rows.slice(0, PREVIEW_ROWS)
    lines = ["| " + " | ".join(head.column_names) + " |", "|" + " --- |" * len(head.column_names)]
    lines += ["| " + " | ".join(cell(value) for value in row.values()) + " |" for row in head.to_pylist()]
    return dg.MetadataValue.md("\n".join(lines))


def pictures(images: Mapping[str, bytes]) -> dict[str, dg.MetadataValue[str]]:
    """PNG images by file name as Markdown that the UI shows; the first `SHOWN_PICTURES` of at most `PICTURE_BYTES`."""
    small = {name: content for name, content in images.items() if len(content) <= PICTURE_BYTES}
    return {
        name.removesuffix(".png"): dg.MetadataValue.md(
            f"![{name}](data:image/png;base64,{base64.b64encode(content).decode()})"
        )
        for name, content in list(small.items())[:SHOWN_PICTURES]
    }


def file_metadata(path: Path) -> dict[str, Any]:
    """Where a table lies and how large it is."""
    return {"path": dg.MetadataValue.path(str(path)), "size_bytes": path.stat().st_size}


RETRIES, RETRY_SECONDS = 2, 30
"""Further attempts after a lost connection, and the pause before each: a mount or a Java process is back by then."""


@contextlib.contextmanager
def failing_clearly(place: Path) -> Iterator[None]:
    """Turn errors that users can mend into a failure that names the place and the remedy, without retries.

    What passes by itself (`is_transient`) is tried again; any other error fails the step at once.
    """
    try:
        with explained_os_errors(place):
            yield
    except PipelineError as error:
        raise dg.Failure(
            description=str(error),
            metadata={"place": error.place, "fact": error.fact, "remedy": error.remedy},
            allow_retries=False,
        ) from error
    except Exception as error:
        if is_transient(error):
            raise dg.RetryRequested(max_retries=RETRIES, seconds_to_wait=RETRY_SECONDS) from error
        raise
