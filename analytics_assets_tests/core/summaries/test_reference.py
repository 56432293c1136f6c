"""The data sets hold what the comparisons need, and the published actors are those of the written rules."""

from __future__ import annotations

import pyarrow.parquet as pq

from analytics_assets_tests.core.event_data import extreme_records, hostile_records, read_rows
from analytics_assets_tests.core.summaries.conftest import Dataset
from analytics_assets_tests.core.summaries.reference import journey_records, records_of


def test_hostile_records_arrive_whole(hostile: Dataset) -> None:
    """The hostile set means something only as long as ingestion carries it into the chunks."""
    rows = read_rows(hostile.files)
    sent = hostile_records() + extreme_records() + journey_records()
    assert [row["event_type"] for row in rows] == [record["event_type"] for record in sent]
    assert [row["city"] for row in rows] == [record["city"] for record in sent]
    assert len(hostile.files) > 2


def test_hostile_records_have_every_class_of_actor(hostile: Dataset) -> None:
    classes = {row["actor_class"] for row in records_of(hostile.database, "SELECT DISTINCT actor_class FROM e")}
    assert classes == {"user", "device", "scripted", "sentinel"}
    counts = records_of(hostile.database, "SELECT population, count(*) AS n FROM pe GROUP BY 1 ORDER BY 2")
    assert len({row["n"] for row in counts}) == 3, "the populations differ"


def test_published_actors_are_those_of_the_written_rules(dataset: Dataset) -> None:
    query = "SELECT DISTINCT actor, actor_class, top FROM e WHERE actor IS NOT NULL"
    expected = {row["actor"]: (row["actor_class"], row["top"]) for row in records_of(dataset.database, query)}
    published = pq.read_table(dataset.actors).to_pylist()
    assert {row["actor"]: (row["actor_class"], row["is_top_actor"]) for row in published} == expected
