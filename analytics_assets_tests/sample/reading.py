"""Plain readers of a written sample: JSON and the standard library only, sharing no code with the generator."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FIELDS = frozenset(
    [
        "$insert_id",
        "$insert_key",
        "$schema",
        "adid",
        "amplitude_attribution_ids",
        "amplitude_event_type",
        "amplitude_id",
        "app",
        "city",
        "client_event_time",
        "client_upload_time",
        "country",
        "data",
        "data_type",
        "device_brand",
        "device_carrier",
        "device_family",
        "device_id",
        "device_manufacturer",
        "device_model",
        "device_type",
        "dma",
        "event_id",
        "event_properties",
        "event_time",
        "event_type",
        "global_user_properties",
        "group_properties",
        "groups",
        "idfa",
        "ip_address",
        "is_attribution_event",
        "language",
        "library",
        "location_lat",
        "location_lng",
        "os_name",
        "os_version",
        "partner_id",
        "paying",
        "plan",
        "platform",
        "processed_time",
        "region",
        "sample_rate",
        "server_received_time",
        "server_upload_time",
        "session_id",
        "source_id",
        "start_version",
        "user_creation_time",
        "user_id",
        "user_properties",
        "uuid",
        "version_name",
    ]
)
TIMES = (
    "event_time",
    "client_event_time",
    "client_upload_time",
    "server_received_time",
    "server_upload_time",
    "processed_time",
)


def milliseconds(text: str) -> int:
    """Milliseconds since 1970 of an export time; raises ValueError for anything else."""
    moment = datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def elements(path: Path) -> list[Any]:
    """Elements of an export file in file order, whatever they are."""
    if path.suffix == ".zip":
        out: list[Any] = []
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                text = gzip.decompress(archive.read(name)).decode()
                out.extend(json.loads(line) for line in text.splitlines())
        return out
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    parsed = json.loads(data)
    assert isinstance(parsed, list)
    return parsed


def refusal(element: Any) -> str | None:
    """Why a reader must refuse an element, or None."""
    if not isinstance(element, dict):
        return "not_an_object_string" if isinstance(element, str) else "not_an_object_number"
    if "event_type" not in element:
        return "event_type_missing"
    if element["event_type"] is None:
        return "event_type_null"
    if not any(name in element for name in TIMES):
        return "times_missing"
    try:
        for name in TIMES:
            milliseconds(element[name])
    except ValueError:
        return "times_unparsable"
    return None


@dataclass(frozen=True)
class YearFile:
    """One year's file, read and sorted into what it holds."""

    elements: list[Any]
    events: dict[str, dict[str, Any]]
    duplicates: int
    refused: dict[str, int]


def year_file(path: Path) -> YearFile:
    """Read a file; equal uuids must be equal in every field."""
    everything = elements(path)
    events: dict[str, dict[str, Any]] = {}
    duplicates = 0
    refused: dict[str, int] = defaultdict(int)
    for element in everything:
        reason = refusal(element)
        if reason is not None:
            refused[reason] += 1
        elif element["uuid"] in events:
            assert events[element["uuid"]] == element
            duplicates += 1
        else:
            events[element["uuid"]] = element
    return YearFile(everything, events, duplicates, dict(refused))


def export_path(raw: Path, year: str) -> Path:
    """The one file of a year."""
    (path,) = (raw / year).iterdir()
    return path


def sessions_of(events: dict[str, dict[str, Any]]) -> dict[tuple[int, int], list[dict[str, Any]]]:
    """Events by session, in time order; a tie in time is an error, the sample promises none."""
    out: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    for event in events.values():
        out[event["amplitude_id"], event["session_id"]].append(event)
    for session in out.values():
        session.sort(key=lambda e: e["event_time"])
        times = [e["event_time"] for e in session]
        assert len(set(times)) == len(times)
    return dict(out)


@dataclass(frozen=True)
class WrittenSample:
    """A sample on disk, fully read."""

    raw: Path
    truth: dict[str, Any]
    years: dict[str, YearFile]

    @property
    def events(self) -> dict[str, dict[str, Any]]:
        """Distinct valid events of all years by uuid."""
        out: dict[str, dict[str, Any]] = {}
        for year in self.years.values():
            assert not out.keys() & year.events.keys()
            out |= year.events
        return out

    @property
    def persona_of(self) -> dict[int, str]:
        """Persona by amplitude_id."""
        return {user["amplitude_id"]: user["persona"] for user in self.truth["users"].values()}

    def hidden_states(self) -> list[dict[str, str]]:
        """Rows of the hidden-state file."""
        with gzip.open(self.raw / "truth_hidden_states.csv.gz") as handle:
            return list(csv.DictReader(io.TextIOWrapper(handle, encoding="utf-8")))


def read_sample(raw: Path) -> WrittenSample:
    """Read everything a sample wrote."""
    truth = json.loads((raw / "truth.json").read_text(encoding="utf-8"))
    return WrittenSample(raw, truth, {year: year_file(export_path(raw, year)) for year in truth["years"]})
