"""One ingestion as what a user finds on disk afterwards, checked for conservation on the way.

Put here: running an ingestion in this process or in one of its own, the accounts that must balance after any run. Keep
out: builders of deliveries (``exports.py``), expectations of single tests.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from analytics_assets.core.ingest.limits import Limits
from analytics_assets.core.ingest.run import ingest_year
from analytics_assets.core.lake import Lake
from analytics_assets_tests.core.ingest.exports import YEAR, leftovers, put, refused, rows

both_decoders = pytest.mark.parametrize("reference", [False, True], ids=["compiled", "reference"])

TWO_THREADS = Limits(workers=2)


@dataclass(frozen=True)
class Outcome:
    """What an ingestion left on disk."""

    lake: Lake
    manifest: dict[str, Any]

    @property
    def file(self) -> dict[str, Any]:
        """The manifest's entry of the only file."""
        (entry,) = self.manifest["files"]
        return entry

    @property
    def rows(self) -> list[dict[str, str]]:
        """Rows of the chunks in order."""
        return rows(self.lake)

    @property
    def loaded(self) -> list[str]:
        """Names of the loaded events in order."""
        return [row["event_type"] for row in self.rows]

    @property
    def refused(self) -> list[tuple[str, bytes]]:
        """Reason and bytes of the quarantined records in order."""
        return [(line["reason"], line["raw"]) for line in refused(self.lake)]


def ingest(lake: Lake, *, reference: bool = False, limits: Limits = TWO_THREADS, **options: Any) -> Outcome:
    """Ingest the year and check the accounts."""
    manifest = ingest_year(lake, YEAR, reference=reference, limits=limits, **options)
    assert_conserved(lake, manifest)
    return Outcome(lake, manifest)


def ingest_bytes(lake: Lake, content: bytes, **options: Any) -> Outcome:
    """Ingest one file of that content."""
    put(lake, "export.json", content)
    outcome = ingest(lake, **options)
    if outcome.file["compression"] == "none":
        assert outcome.file["decompressed_bytes"] == len(content)
        for line in refused(lake):
            assert line["raw"] == content[line["start"] : line["end"]]
    return outcome


def assert_conserved(lake: Lake, manifest: dict[str, Any]) -> None:
    """Every record and every byte is accounted for once, and the files hold what the manifest says."""
    assert json.loads(lake.manifest(YEAR).read_bytes()) == manifest
    found, bad = rows(lake), refused(lake)
    for counts in [*manifest["files"], manifest["total"]]:
        parts = ("loaded", "duplicates", "quarantined", "forgotten")
        assert counts["records_seen"] == sum(counts[name] for name in parts), counts
        parts = ("record_bytes", "refused_bytes", "separator_bytes", "merge_bytes")
        assert counts["decompressed_bytes"] == sum(counts[name] for name in parts), counts
    assert manifest["total"]["loaded"] == len(found) == len({row["uuid"] for row in found})
    assert manifest["total"]["quarantined"] == len(bad)
    assert manifest["quarantine_reasons"] == dict(sorted(Counter(line["reason"] for line in bad).items()))
    for file in manifest["files"]:
        mine = [line for line in bad if line["file"] == file["path"]]
        assert file["quarantined"] == len(mine)
        assert file["refused_bytes"] == sum(len(line["raw"]) for line in mine)
        assert all(line["end"] - line["start"] == len(line["raw"]) for line in mine)
    assert leftovers(lake) == []


_ALONE = """
import json, sys
from pathlib import Path
from analytics_assets.core.errors import PipelineError
from analytics_assets.core.ingest.run import ingest_year
from analytics_assets.core.lake import Lake

result = {"error": ""}
try:
    manifest = ingest_year(Lake(Path(sys.argv[1])), sys.argv[2], reference=sys.argv[3] == "True")
    result["file"], result["reasons"] = manifest["files"][0], manifest["quarantine_reasons"]
except PipelineError as error:
    result["error"] = str(error)
(peak,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(json.dumps(result | {"peak": int(peak) * 1024}))
"""

MEMORY = 512 << 20
"""What a whole process may take, whatever it is given."""


def ingest_alone(lake: Lake, *, reference: bool = False) -> dict[str, Any]:
    """Ingest in a process of its own, which must stay within `MEMORY`.

    The peak is the kernel's ``VmHWM``; ``ru_maxrss`` would begin with the size of the process that started this one.
    """
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak is read from /proc")
    arguments = [sys.executable, "-c", _ALONE, str(lake.root), YEAR, str(reference)]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=300)
    result = json.loads(done.stdout)
    assert result["peak"] < MEMORY, f"{result['peak']:,} bytes"
    return result
