"""The exploration notebook of a year: the shipped template, executed on the year's published tables.

Put here: execution of the template, what it needs, and what it found. Keep out: the analysis itself, which is in the
template ``exploration.ipynb``; open that in Jupyter to change it.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.files import write_text
from analytics_assets.core.lake import DATA_DIR_VARIABLE, Lake

if TYPE_CHECKING:
    from nbformat import NotebookNode

TEMPLATE = Path(__file__).with_name("exploration.ipynb")

FEATURES = ("clean_events", "dropped_events", "sessions", "user_features", "daily_metrics")
SUMMARIES = ("spark_temporal_patterns", "spark_funnels", "spark_retention", "spark_latency")
"""Tables that the template reads, beside ``data_quality``."""

PARAMETERS_TAG = "parameters"
"""Tag of the cell that is replaced by the parameters, as papermill has it."""

CELL_SECONDS = 600
"""Time that one cell may take: all of 67,000 events cost eight seconds of CPU, so what is longer hangs."""

FIGURES_TYPE = "application/json"
"""Type of the output that holds the key figures; a notebook has one such output."""

_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
"""Colours of a terminal in a traceback."""


def inputs(lake: Lake, year: str) -> dict[Path, str]:
    """Files that the notebook of a year reads, with the assets that write them."""
    return {
        **{lake.feature(name, year): name for name in FEATURES},
        **{lake.summary(year, name): name for name in SUMMARIES},
        lake.quality(year): "data_quality",
    }


def execute(lake: Lake, year: str, template: Path = TEMPLATE) -> NotebookNode:
    """Execute the template on one year and return the notebook with its outputs.

    The kernel is a process of its own; it reads the lake and writes nothing. Equal tables and libraries give an equal
    notebook: times are not recorded.

    Parameters
    ----------
    lake : Lake
        Where the year's tables lie.
    year : str
        Delivery year.
    template : Path
        Notebook with a cell tagged `PARAMETERS_TAG`.

    Raises
    ------
    PipelineError
        A table is missing, or a cell failed; it is named by its number and the heading above it.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from traitlets.config import Config

    for path, asset in inputs(lake, year).items():
        if not path.is_file():
            raise PipelineError(path, "there is no such file", f"Materialize {asset} for {year} first.")
    notebook = with_parameters(nbformat.read(template, as_version=4), {"year": year})
    started: list[int] = []
    # Sockets and files of the kernel, out of the home folder of whoever runs the pipeline; the path of a socket must be
    # short, which one inside the lake may not be.
    with tempfile.TemporaryDirectory(prefix="notebook-") as work:
        client = NotebookClient(
            notebook,
            timeout=CELL_SECONDS,
            kernel_name="python3",
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": work}},
            # The history of typed commands is for people at a prompt.
            extra_arguments=["--HistoryManager.enabled=False"],
            on_cell_start=lambda cell, cell_index: started.append(cell_index),
            config=Config(KernelManager={"transport": "ipc", "connection_file": f"{work}/kernel.json"}),
        )
        surroundings = {**os.environ, DATA_DIR_VARIABLE: str(lake.root), "IPYTHONDIR": work, "MPLBACKEND": "agg"}
        try:
            client.execute(env=surroundings)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            number = started[-1] if started else 0
            raise PipelineError(
                f"{template.name}, {place_of(notebook.cells, number)}",
                _fact(error),
                "Open the template in Jupyter on this year, mend the cell and materialize exploration_notebook again.",
            ) from error
    return notebook


def with_parameters(notebook: NotebookNode, values: Mapping[str, str]) -> NotebookNode:
    """Put parameters into the tagged cell of a notebook, and return it."""
    tagged = [cell for cell in notebook.cells if PARAMETERS_TAG in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise ValueError(f"the notebook has {len(tagged)} cells tagged {PARAMETERS_TAG!r}")
    tagged[0].source = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    return notebook


def place_of(cells: Sequence[Mapping[str, Any]], number: int) -> str:
    """A cell in words: its number from 1, and the heading above it."""
    headings = [
        line.lstrip("# ")
        for cell in cells[: number + 1]
        if cell["cell_type"] == "markdown"
        for line in cell["source"].splitlines()
        if line.startswith("#")
    ]
    return f"cell {number + 1}" + (f" under “{headings[-1]}”" if headings else "")


def _fact(error: Exception) -> str:
    name = getattr(error, "ename", None)
    if name is None:
        lines = str(error).strip().splitlines()
        return _ESCAPES.sub("", lines[0]) if lines else type(error).__name__
    return _ESCAPES.sub("", f"{name}: {getattr(error, 'evalue', '')}").strip()


def key_figures(notebook: Mapping[str, Any]) -> dict[str, Any]:
    """The figures that an executed notebook found."""
    found = [
        output["data"][FIGURES_TYPE]
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
        if FIGURES_TYPE in output.get("data", {})
    ]
    if len(found) != 1:
        raise ValueError(f"the notebook has {len(found)} outputs of key figures")
    return dict(found[0])


def publish(notebook: NotebookNode, target: Path) -> None:
    """Write an executed notebook atomically."""
    import nbformat

    write_text(target, nbformat.writes(notebook) + "\n")
