"""Arbitrary deliveries: whatever the bytes, nothing is lost, nothing crashes, both decoders agree.

``make test`` runs a small number of examples, ``make fuzz`` as many as ``ANALYTICS_FUZZ_EXAMPLES`` says.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import event as note
from hypothesis import strategies as st

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.ingest.limits import Limits
from analytics_assets.core.ingest.run import ingest_year
from analytics_assets.core.lake import Lake
from analytics_assets.schemas import NULL_MARK
from analytics_assets_tests.core.ingest.exports import (
    YEAR,
    array,
    decompressed_size,
    encoded,
    event,
    lines,
    put,
    refused,
    rows,
    unpacked,
)

EXAMPLES = int(os.environ.get("ANALYTICS_FUZZ_EXAMPLES", "120"))

FRAGMENTS = [
    *(encoded(event(number)) for number in range(4)),
    encoded(event(1, city="other")),
    encoded(event(2, event_properties={"a": [1, {"b": None}], "né": "\u2028"}), separators=(", ", ": ")),
    *(b"[", b"]", b"{", b"}", b",", b":", b"\n", b" ", b'"', b"\\", b"\\u00e9", b"\\ud83d\\ude00", b"\\ud800"),
    *(
        b"null",
        b"NaN",
        b"-0",
        b"1e400",
        b"1" * 400,
        b"\x00",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        b"\xe2\x80\xa8",
    ),
    *(b'{"data":[', b'],"next":null}', b'{"event_type":"a","event_time":"2024-01-01"}', b'"uuid":"x",', b"[" * 70),
    b'{"merge_time": 1, "amplitude_id": 2, "merged_amplitude_id": 3}',
]


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """Well-formed layouts with damage, or fragments in any order."""
    if draw(st.booleans()):
        content = draw(st.sampled_from([array, lines]))([event(n) for n in range(draw(st.integers(1, 5)))])
        for _ in range(draw(st.integers(0, 3))):
            place = draw(st.integers(0, len(content)))
            content = content[:place] + draw(st.sampled_from(FRAGMENTS)) + content[place + draw(st.integers(0, 40)) :]
        return content
    return b"".join(draw(st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=6)), max_size=12)))


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Content in a container that may be damaged."""
    content = draw(contents())
    packing = draw(st.sampled_from(["plain", "plain", "gzip", "members", "zip"]))
    if packing == "gzip":
        content = gzip.compress(content, mtime=0)
    elif packing == "members":
        half = len(content) // 2
        content = gzip.compress(content[:half], mtime=0) + gzip.compress(content[half:], mtime=0)
    elif packing == "zip":
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))) as archive:
            archive.writestr("a.json.gz", gzip.compress(content, mtime=0))
            archive.writestr("b/b.json", draw(contents()))
        content = target.getvalue()
    if packing != "plain" and draw(st.integers(0, 3)) == 0:
        place = draw(st.integers(0, len(content)))
        content = content[:place] + draw(st.binary(max_size=4)) + content[place + draw(st.integers(0, 8)) :]
    return content


def ingested(delivery: list[bytes], *, reference: bool, salvage: bool) -> Any:
    """Published bytes and manifest, or the error that names what is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        for number, content in enumerate(delivery):
            put(lake, f"{number}.json", content)
        try:
            manifest = ingest_year(
                lake, YEAR, max_rows=3, reference=reference, limits=Limits(workers=2, salvage=salvage)
            )
        except PipelineError as error:
            assert str(lake.raw(YEAR)) in error.place
            assert not lake.chunks(YEAR).exists()
            return error.fact
        check_accounts(lake, manifest, salvage=salvage)
        found = (lake.chunks(YEAR), lake.quarantine(YEAR))
        return {path.name: path.read_bytes() for top in found for path in top.glob("[a-z]*.*")}


def check_accounts(lake: Lake, manifest: dict[str, Any], *, salvage: bool) -> None:
    """Every record and every byte is in one place, counted from the published files and the raw ones."""
    bad, total = refused(lake), manifest["total"]
    assert len(rows(lake)) == total["loaded"]
    assert len(bad) == total["quarantined"]
    assert total["records_seen"] == total["loaded"] + total["duplicates"] + total["quarantined"]
    for entry in manifest["files"]:
        path = lake.raw(YEAR) / entry["path"]
        parts = ("record_bytes", "refused_bytes", "separator_bytes", "merge_bytes")
        assert entry["decompressed_bytes"] == sum(entry[part] for part in parts)
        if not {"damaged", "bytes_after_gzip"} & set(entry["irregularities"]):
            assert entry["decompressed_bytes"] == decompressed_size(path.read_bytes())
            for line in (line for line in bad if line["file"] == entry["path"]):
                assert line["raw"] == unpacked(path, line["member"])[line["start"] : line["end"]]
    for row in rows(lake):
        if row["event_properties"] != NULL_MARK:
            json.loads(row["event_properties"])


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(files(), min_size=1, max_size=3), st.booleans())
def test_any_bytes(delivery: list[bytes], salvage: bool) -> None:
    first = ingested(delivery, reference=False, salvage=salvage)
    note("refused" if isinstance(first, str) else "published")
    assert first == ingested(delivery, reference=True, salvage=salvage)
