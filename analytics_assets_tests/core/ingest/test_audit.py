"""Counting published files by other means than they were written."""

from __future__ import annotations

import pytest

from analytics_assets.core.ingest.audit import Published, count_published
from analytics_assets.core.ingest.run import ingest_year
from analytics_assets.core.lake import Lake
from analytics_assets_tests.core.ingest.exports import YEAR, array, event, put


def test_counts_of_rows_and_refused_bytes(lake: Lake) -> None:
    put(lake, "a.json", array([event(1), event(2, city="two\nlines"), b"{bad", event(3, event_type=None)]))
    ingest_year(lake, YEAR)
    found = count_published(lake, YEAR)
    size = len(b"{bad") + len(array([event(3, event_type=None)])) - 2
    assert found == Published(2, 2, size, 0, 0)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({"$insert_id": "i"}, {"$insert_id": "i"}, (1, 0)),
        ({"$insert_id": "i"}, {"$insert_id": "i", "event_time": "2024-03-09 10:00:00"}, (0, 1)),
        ({"$insert_id": "i"}, {"$insert_id": "j"}, (0, 0)),
        ({"$insert_id": "i"}, {"$insert_id": "i", "device_id": "other"}, (0, 0)),
        ({"$insert_id": "i"}, {"$insert_id": "i", "device_id": None}, (0, 0)),
        ({"event_id": 5}, {"event_id": 5}, (1, 0)),
        ({"event_id": 5}, {"event_id": 6}, (0, 0)),
        ({"event_id": 5}, {"event_id": 5, "client_event_time": "2024-03-01 10:00:01"}, (0, 0)),
        ({}, {}, (0, 0)),
    ],
)
def test_events_sent_twice_under_new_uuids_are_counted_and_kept(
    lake: Lake, first: dict[str, object], second: dict[str, object], expected: tuple[int, int]
) -> None:
    base = {"app": 1, "device_id": "d", "event_time": "2024-03-01 10:00:00", "client_event_time": "2024-03-01 10:00:00"}
    put(lake, "a.json", array([event(1, **(base | first)), event(2, **(base | second))]))
    ingest_year(lake, YEAR)
    found = count_published(lake, YEAR)
    assert found.rows == 2
    assert (found.suspected_duplicates, found.suspected_later) == expected
