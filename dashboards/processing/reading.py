"""Reads that only the transparency app needs: accounts of the ingestion, quarantine, origins of events, costs.

Put here: reading with errors that name the file and its asset, as in ``data.py``. Keep out: what is drawn of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import streamlit as st

from analytics_assets.core.files import read_json
from analytics_assets.core.ingest import tracing
from analytics_assets.core.ingest.quarantine import Refused
from analytics_assets.core.ingest.tracing import Origin, Tracer
from analytics_assets.core.lake import Lake
from dashboards import data
from dashboards.data import DamagedFileError, FileKey, LakeFileError
from dashboards.processing import shapes
from dashboards.shapes import ShapeError, check

PAGE_ROWS = 200
"""Records on one page of a browser: as many as a person scans, few enough for a phone."""


def manifest(lake: Lake, year: str) -> dict[str, Any]:
    """Manifest of one year with the accounts of each file."""
    return data.checked(data.manifest(lake, year), shapes.MANIFEST, lake.manifest(year), "event_chunks")


def quality_section(lake: Lake, year: str, name: str, shape: Any) -> Any:
    """One further section of the quality figures of one year."""
    content = data.quality(lake, year)
    return data.checked(content, {name: shape}, lake.quality(year), "data_quality")[name]


def is_outdated(lake: Lake, year: str) -> bool:
    """Whether the quality figures are of an earlier delivery than the chunks."""
    return bool(data.manifest(lake, year)["raw_digest"] != data.quality(lake, year)["raw_digest"])


def quarantine(
    lake: Lake, year: str, reason: str | None = None, file: str | None = None, *, first: int = 0
) -> list[Refused]:
    """Refused records of one year in the order of the quarantine, at most `PAGE_ROWS`.

    Parameters
    ----------
    lake, year
        Whose quarantine.
    reason, file : str, optional
        Only those of this reason, and of this raw file.
    first : int
        Records to pass over.
    """
    found: list[Refused] = []
    for path in sorted(lake.quarantine(year).glob("*.ndjson")):
        found += _refused(data.file_key(path, "event_chunks"), reason, file, first + PAGE_ROWS - len(found))
    return found[first:]


@st.cache_resource(show_spinner=False, max_entries=32)
def _refused(key: FileKey, reason: str | None, file: str | None, limit: int) -> list[Refused]:
    wanted = (
        record
        for record in _refused_lines(Path(key.path))
        if reason in (None, record.reason) and file in (None, record.file)
    )
    return list(islice(wanted, limit))


def source_of(record: Refused) -> str:
    """File of a refused record, and member of an archive."""
    return "!".join(filter(None, (record.file, record.member)))


def quarantine_counts(lake: Lake, year: str) -> dict[tuple[str, str], int]:
    """Refused records of one year by (reason, file)."""
    counts: Counter[tuple[str, str]] = Counter()
    for path in sorted(lake.quarantine(year).glob("*.ndjson")):
        counts.update(_refused_counts(data.file_key(path, "event_chunks")))
    return dict(counts)


@st.cache_resource(show_spinner=False, max_entries=32)
def _refused_counts(key: FileKey) -> dict[tuple[str, str], int]:
    return dict(Counter((record.reason, record.file) for record in _refused_lines(Path(key.path))))


def _refused_lines(path: Path) -> Iterator[Refused]:
    try:
        with path.open(encoding="ascii") as stream:
            for number, line in enumerate(stream, start=1):
                record = Refused.from_line(line)
                check(vars(record), shapes.REFUSED, f"line {number}")
                yield record
    except OSError as error:
        raise DamagedFileError(path, "event_chunks", data.reason(error)) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedFileError(path, "event_chunks", "a line of it is not a whole refused record") from error


def _ledger_key(lake: Lake, year: str) -> FileKey:
    return data.file_key(lake.ledger(year) / tracing.LEDGER_FILE, "event_chunks")


def _damaged_ledger(lake: Lake, year: str, error: Exception) -> LakeFileError:
    path = lake.ledger(year) / tracing.LEDGER_FILE
    fact = data.reason(error) if isinstance(error, OSError) else "it does not lead to the rows of the chunks"
    return DamagedFileError(path, "event_chunks", fact)


def origins(lake: Lake, year: str, uuids: Sequence[str]) -> dict[str, Origin]:
    """Where events of one delivery lie, by uuid; those that its chunks do not hold are left out."""
    return _origins(_ledger_key(lake, year), tuple(uuids), lake, year)


@st.cache_resource(show_spinner=False, max_entries=64)
def _origins(key: FileKey, uuids: tuple[str, ...], _lake: Lake, _year: str) -> dict[str, Origin]:
    # The key names the lake and the year besides the state of the ledger.
    try:
        return Tracer(_lake, _year).find(uuids)
    except (OSError, ValueError, IndexError) as error:
        raise _damaged_ledger(_lake, _year, error) from error


def chunk_row(lake: Lake, year: str, origin: Origin) -> bytes:
    """The row of an event as its chunk holds it."""
    path = lake.chunks(year) / origin.chunk
    data.file_key(path, "event_chunks")
    try:
        return tracing.chunk_row(lake, year, origin)
    except OSError as error:
        raise DamagedFileError(path, "event_chunks", data.reason(error)) from error


def records(lake: Lake, year: str, *, kept: bool, limit: int) -> tuple[int, list[Origin]]:
    """How many records of one delivery are in its chunks (or were read and are in none), and the first of them."""
    return _records(_ledger_key(lake, year), kept, limit, lake, year)


@st.cache_resource(show_spinner=False, max_entries=64)
def _records(key: FileKey, kept: bool, limit: int, _lake: Lake, _year: str) -> tuple[int, list[Origin]]:
    try:
        tracer = Tracer(_lake, _year)
        return tracer.count(kept=kept), list(islice(tracer.records(kept=kept), limit))
    except (OSError, ValueError, IndexError) as error:
        raise _damaged_ledger(_lake, _year, error) from error


LogLine = dict[str, str]


def spark_log(lake: Lake) -> list[LogLine]:
    """Lines of the log of the Spark summaries as names and values; lines of another form are left out."""
    return _spark_log(data.file_key(lake.spark_log(), "spark_dataset_overview"))


@st.cache_resource(show_spinner=False, max_entries=4)
def _spark_log(key: FileKey) -> list[LogLine]:
    path = Path(key.path)
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise DamagedFileError(path, "spark_dataset_overview", data.reason(error)) from error
    found = []
    for line in lines:
        stamp, _, rest = line.partition(" ")
        facts = dict(word.split("=", 1) for word in rest.split() if "=" in word)
        if "year" in facts:
            found.append({"time": stamp, **facts})
    return found


def cost(lake: Lake, model: str) -> dict[str, Any] | None:
    """What a model's training cost; None for a model without such a file."""
    path = lake.model(model) / "cost.json"
    return _cost(data.file_key(path, model), model) if path.is_file() else None


@st.cache_resource(show_spinner=False, max_entries=32)
def _cost(key: FileKey, model: str) -> dict[str, Any]:
    path = Path(key.path)
    try:
        content = read_json(path)
        check(content, {})
        check(content, shapes.FORECAST_COST if "seconds" in content else shapes.NEXT_EVENT_COST)
    except OSError as error:
        raise DamagedFileError(path, model, data.reason(error)) from error
    except ShapeError as error:
        raise DamagedFileError(path, model, f"it is not what this asset writes ({error})") from error
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(path, model, "it is not whole JSON") from error
    return content
