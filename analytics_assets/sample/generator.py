"""Write a synthetic sample export and its ground truth.

Belongs here: which records each file holds, in which order, and putting all files in place.
Does not belong here: drawing the sample (``assembly``), record text (``records``), containers (``writer``).

Files under the raw folder::

    <year>/synthetic_events_<year>.json.gz     (or .json, or .zip)
    truth.json                                 counts, parameters, best possible prediction
    truth_hidden_states.csv.gz                 hidden state of each action, by uuid
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analytics_assets.sample.assembly import Sample, assemble
from analytics_assets.sample.config import SampleConfig
from analytics_assets.sample.records import (
    APP_ID,
    MALFORMATIONS,
    Actor,
    event_data,
    event_properties,
    record_template,
    spoil,
    time_texts,
    to_json,
    uuid_digits,
    uuid_texts,
)
from analytics_assets.sample.truth import full_truth, hidden_state_lines, year_truth
from analytics_assets.sample.volume import DAY_MS, HOUR_MS
from analytics_assets.sample.writer import ArrayFile, ExportFile, ZipFile, atomic_file, gzip_stream, member_code

__all__ = ["HIDDEN_STATES_FILE", "TRUTH_FILE", "Progress", "SampleConfig", "write_sample"]

TRUTH_FILE: Final = "truth.json"
HIDDEN_STATES_FILE: Final = "truth_hidden_states.csv.gz"

DEFAULT_CONFIG: Final = SampleConfig()

BLOCK: Final = 10_000
"""Records encoded at a time, about 20 MB of text; two blocks exist at once, one of them being compressed."""

Progress = Callable[[str, int, int], None]
"""Called with the stage, how much of it is done, and how much there is: records, or 0 and 1."""


@dataclass(frozen=True)
class FileRows:
    """Rows of one year's file in their order (n rows).

    Attributes
    ----------
    event : int64 (n,)
        Index of the event, also for duplicates and as the model of malformed records.
    malformation : int64 (n,)
        Index into ``MALFORMATIONS``, -1 for valid records.
    member : int64 (n,)
        Zip member, see ``writer.member_code``.
    events : int64 (m,)
        The file's distinct events.
    duplicates : int
    """

    event: NDArray[np.int64]
    malformation: NDArray[np.int64]
    member: NDArray[np.int64]
    events: NDArray[np.int64]
    duplicates: int


def _file_rows(sample: Sample, year_index: int) -> FileRows:
    """Choose duplicates and malformed records of one year and put all rows in their order."""
    config, rng = sample.config, sample.files_rng
    events = np.flatnonzero(sample.file_year == year_index)
    n_duplicates = round(config.duplicate_share * len(events))
    n_malformed = config.malformed_records if len(events) else 0
    again = rng.choice(events, size=n_duplicates, replace=False) if n_duplicates else events[:0]
    spoiled = rng.choice(events, size=n_malformed) if n_malformed else events[:0]
    event = np.concatenate([events, again, spoiled])
    malformation = np.full(len(event), -1, dtype=np.int64)
    malformation[len(events) + n_duplicates :] = np.arange(n_malformed) % len(MALFORMATIONS)
    is_again = np.zeros(len(event), dtype=np.bool_)
    is_again[len(events) : len(events) + n_duplicates] = True
    upload = sample.clocks.server_upload[event]
    member = member_code(upload // HOUR_MS, is_again)
    if config.shape == "zip":
        group = member
    else:
        # Shuffled within days only, as real exports are; a second delivery may come on any day of the file.
        group = upload // DAY_MS
        group[is_again] = rng.choice(group[: len(events)], size=n_duplicates) if n_duplicates else group[:0]
    order = np.lexsort((rng.random(len(event)), group))
    return FileRows(event[order], malformation[order], member[order], events, n_duplicates)


class RecordEncoder:
    """JSON text of a sample's records."""

    def __init__(self, sample: Sample) -> None:
        self._sample = sample
        self._templates: dict[int, str] = {}
        self._properties = event_properties(sample.model)
        self._types = [to_json(name) for name in sample.model.event_types]
        self._data = (event_data(first=False), event_data(first=True))

    def encode(self, events: NDArray[np.int64]) -> list[str]:
        """Records of events.

        Parameters
        ----------
        events : int64 (n,)

        Returns
        -------
        list of str, length n
        """
        s, clocks = self._sample, self._sample.clocks
        session = s.layout.session[events]
        device = s.device[session].tolist()
        for slot in sorted(set(device) - self._templates.keys()):
            self._templates[slot] = record_template(self._actor(slot))
        codes = s.layout.code[events].tolist()
        values = zip(
            uuid_texts(s.insert_id[events]),
            time_texts(clocks.client_event[events]),
            time_texts(clocks.client_upload[events]),
            [self._data[first] for first in s.first_of_user[events].tolist()],
            s.event_id[events].tolist(),
            [self._properties[code] for code in codes],
            time_texts(clocks.event[events]),
            [self._types[code] for code in codes],
            time_texts(clocks.processed[events]),
            time_texts(clocks.server_received[events]),
            time_texts(clocks.server_upload[events]),
            s.session_id[session].tolist(),
            uuid_texts(s.uuid[events]),
            strict=True,
        )
        templates = self._templates
        return [templates[slot] % row for slot, row in zip(device, values, strict=True)]

    def _actor(self, slot: int) -> Actor:
        s = self._sample
        user = slot // 2
        return Actor(
            user_number=user,
            user_id=s.user_ids[user],
            amplitude_id=int(s.amplitude_ids[user]),
            device_id=s.device_ids[slot],
            place=s.places[user],
            family=s.devices.family[slot],
            browser=s.devices.browser[slot],
            browser_version=s.devices.version[slot],
            address=s.devices.address[slot],
        )


@contextmanager
def _export_file(path: Path, config: SampleConfig) -> Iterator[ExportFile]:
    """The year's file, open for records."""
    with atomic_file(path) as handle:
        yield ZipFile(handle, APP_ID) if config.shape == "zip" else ArrayFile(handle, config.compress)


def _write_year(path: Path, sample: Sample, encoder: RecordEncoder, rows: FileRows, progress: Progress) -> str:
    """Write one year's file; returns the digest of its content.

    Encoding needs the interpreter while compressing does not, so one block is compressed beside the next one's
    encoding.
    """
    n = len(rows.event)
    spoiled_ids = uuid_texts(uuid_digits(sample.files_rng, int((rows.malformation >= 0).sum())))
    with _export_file(path, sample.config) as out, ThreadPoolExecutor(max_workers=1) as packer:
        pending: Future[None] | None = None
        for start in range(0, n, BLOCK):
            part = slice(start, start + BLOCK)
            texts = encoder.encode(rows.event[part])
            malformation = rows.malformation[part]
            for i in np.flatnonzero(malformation >= 0).tolist():
                texts[i] = spoil(texts[i], MALFORMATIONS[malformation[i]], spoiled_ids.pop())
            if pending is not None:
                pending.result()
            pending = packer.submit(out.write, texts, rows.member[part].tolist())
            progress(f"write {path.name}", min(start + BLOCK, n), n)
        if pending is not None:
            pending.result()
        return out.close()


def _ignore_progress(stage: str, done: int, total: int) -> None:
    """Default for callers that do not watch."""


def write_sample(
    raw_dir: Path, config: SampleConfig = DEFAULT_CONFIG, progress: Progress | None = None
) -> dict[str, Any]:
    """Generate a synthetic export, one file per year, and the truth about it.

    Parameters
    ----------
    raw_dir : pathlib.Path
        Raw folder; created if missing. Year folders and files of an earlier sample are replaced, files of other names
        are left alone.
    config : SampleConfig
    progress : callable, optional
        ``progress(stage, done, total)``.

    Returns
    -------
    dict
        The truth, as written to ``truth.json``.
    """
    report = progress or _ignore_progress
    report("simulate", 0, 1)
    sample = assemble(config)
    report("simulate", 1, 1)
    encoder = RecordEncoder(sample)
    years: dict[str, dict[str, Any]] = {}
    raw_dir.mkdir(parents=True, exist_ok=True)
    for index, year in enumerate(config.years):
        folder = raw_dir / str(year)
        folder.mkdir(exist_ok=True)
        rows = _file_rows(sample, index)
        digest = _write_year(folder / config.file_name(year), sample, encoder, rows, report)
        for stale in config.stale_file_names(year):
            (folder / stale).unlink(missing_ok=True)
        used = rows.malformation[rows.malformation >= 0]
        reasons = {name: int((used == i).sum()) for i, name in enumerate(MALFORMATIONS) if (used == i).any()}
        years[str(year)] = {
            **year_truth(sample, year, rows.events, rows.duplicates, reasons),
            "file": config.file_name(year),
            "content_sha256": digest,
        }
    report("score the best possible prediction", 0, 1)
    truth = full_truth(sample, years)
    with atomic_file(raw_dir / HIDDEN_STATES_FILE) as handle, gzip_stream(handle) as stream:
        for text in hidden_state_lines(sample):
            stream.write(text.encode())
    with atomic_file(raw_dir / TRUTH_FILE) as handle:
        handle.write((to_json(truth) + "\n").encode())
    report("score the best possible prediction", 1, 1)
    return truth
