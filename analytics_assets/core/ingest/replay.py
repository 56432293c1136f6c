"""Loading corrected records from the quarantine.

Put here: which corrections may be applied, and applying them. Keep out: how they are stored (``repairs.py``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import ijson

from analytics_assets.core.errors import PipelineError, explained_os_errors
from analytics_assets.core.ingest.quarantine import Refused, read_quarantine
from analytics_assets.core.ingest.records import Normalizer, Refusal
from analytics_assets.core.ingest.repairs import Repairs
from analytics_assets.core.ingest.run import ingest_year
from analytics_assets.core.ingest.scanner import decode
from analytics_assets.core.lake import Lake


@dataclass(frozen=True)
class Replayed:
    """What became of a file of corrections.

    Parameters
    ----------
    applied : int
        Corrections that are new.
    known : int
        Corrections applied earlier.
    unchanged : int
        Lines whose text is still the refused one.
    loaded, duplicates : int
        Rows and duplicates that the year has more than before.
    """

    applied: int
    known: int
    unchanged: int
    loaded: int
    duplicates: int


def replay_corrections(lake: Lake, year: str, file: Path) -> Replayed:
    """Apply the corrected records of a file.

    Parameters
    ----------
    lake, year
        Whose quarantine.
    file : Path
        Lines with ``id`` and ``text``, as `export_line` writes them.

    Raises
    ------
    PipelineError
        A line is none of the quarantine's, or its text is still refused; nothing is applied then.
    """
    waiting = {refused.id: refused for refused in read_quarantine(lake.quarantine(year))}
    repairs = Repairs.of(lake, year)
    new: dict[str, dict[str, str]] = {}
    known = unchanged = 0
    with explained_os_errors(file):
        lines = file.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"{file}, line {number}"
        name, text = _read_line(place, line)
        if repairs.texts.get(name, {}).get("text") == text:
            known += 1
            continue
        refused = waiting.get(name)
        if refused is None:
            raise PipelineError(place, f"{name} is not in the quarantine of {year}", "Export the quarantine again.")
        if text == _text_of(refused):
            unchanged += 1
            continue
        _check(place, refused, text)
        new[name] = {"file": refused.file, "text": text}
    before = _totals(lake, year)
    Repairs(repairs.texts | new).save(lake, year)
    try:
        ingest_year(lake, year)
    except PipelineError:
        repairs.save(lake, year)
        raise
    after = _totals(lake, year)
    return Replayed(len(new), known, unchanged, *(after[name] - before[name] for name in ("loaded", "duplicates")))


def export_line(refused: Refused) -> str:
    """One line for a person to correct; bytes that are not UTF-8 are shown as U+FFFD."""
    fields = {
        "id": refused.id,
        "reason": refused.reason,
        "detail": refused.detail,
        "file": refused.file,
        "member": refused.member,
        "start": refused.start,
        "end": refused.end,
        "text": _text_of(refused),
    }
    return json.dumps(fields, ensure_ascii=False) + "\n"


def _text_of(refused: Refused) -> str:
    return refused.raw.decode("utf-8", "replace")


def _read_line(place: str, line: str) -> tuple[str, str]:
    try:
        fields = json.loads(line)
        name, text = fields["id"], fields["text"]
    except (ValueError, KeyError, TypeError) as error:
        raise PipelineError(place, f"no id and text in the line ({error})", "Correct the line.") from error
    if not isinstance(name, str) or not isinstance(text, str):
        raise PipelineError(place, "id and text must be texts", "Correct the line.")
    return name, text


def _check(place: str, refused: Refused, text: str) -> None:
    if refused.reason == "identity_conflict":
        raise PipelineError(
            place,
            "the record is readable; another one with its uuid was preferred",
            "Take the line out: there is nothing to correct.",
        )
    try:
        raw = text.encode("utf-8")
        Normalizer()(decode(raw), raw)
    except Refusal as refusal:
        raise PipelineError(place, f"the corrected record is refused ({refusal})", "Correct it further.") from refusal
    except (ijson.JSONError, ValueError, ArithmeticError) as error:
        raise PipelineError(place, f"the corrected record is not JSON ({error})", "Correct it further.") from error


def _totals(lake: Lake, year: str) -> dict[str, int]:
    return json.loads(lake.manifest(year).read_bytes())["total"]
