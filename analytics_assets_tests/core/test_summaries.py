"""The six Spark summaries against queries of their own, on sample chunks and on hostile ones.

Put here: every column of every summary, and how chunks may be laid out. Keep out: publication and checks
(``test_spark_assets``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.ingest.run import ingest_year
from analytics_assets.core.lake import Lake
from analytics_assets.core.summaries import summarize
from analytics_assets.schemas import EVENT_CHUNKS, SUMMARY_TABLES, TABLES
from analytics_assets_tests.core.event_data import (
    INTEGERS,
    NO_TOKENS,
    TIMES,
    Records,
    assert_same_rows,
    chunk_files,
    extreme_records,
    hostile_records,
    ingest,
    ingest_nothing,
    read_rows,
    write_rows,
)

NAMES = [table.name for table in SUMMARY_TABLES]
DATASETS = ["sample", "hostile"]
TEXT_TIME = "'%Y-%m-%d %H:%M:%S.%f'"


@pytest.fixture(scope="module")
def chunks(sample_lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Chunk files by dataset; both in several files."""
    lake = Lake(tmp_path_factory.mktemp("summaries"))
    lake.raw().mkdir()
    lake.raw("2025").symlink_to(sample_lake.raw("2025"))
    ingest_year(lake, "2025", max_rows=1_500)
    hostile = ingest(lake, "2024", hostile_records() + extreme_records(), max_rows=50)
    return {"sample": chunk_files(lake, "2025"), "hostile": hostile}


def compute(spark: Any, files: list[Path], names: list[str] | None = None) -> dict[str, pa.Table]:
    return {result.table.name: result.rows for result in summarize(spark, files, names)}


@pytest.fixture(scope="module")
def computed(spark: Any, chunks: dict[str, list[Path]]) -> dict[str, dict[str, pa.Table]]:
    """Summaries by dataset and name."""
    return {dataset: compute(spark, files) for dataset, files in chunks.items()}


@pytest.fixture(scope="module")
def reference(chunks: dict[str, list[Path]]) -> dict[str, duckdb.DuckDBPyConnection]:
    """A database with the view ``e`` of interpreted events per dataset."""
    return {dataset: _database(files) for dataset, files in chunks.items()}


def _database(files: list[Path]) -> duckdb.DuckDBPyConnection:
    rows = read_rows(files)
    database = duckdb.connect()
    delivered = pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in rows[0]})
    database.register("delivered", delivered)
    columns = []
    for name in delivered.column_names:
        if name in INTEGERS:
            columns.append(f'CAST("{name}" AS BIGINT) AS "{name}"')
        elif name in TIMES:
            columns.append(f'CAST("{name}" AS TIMESTAMP) AS "{name}"')
        elif name in NO_TOKENS:
            columns.append(f'"{name}"')
        else:
            nulls = "nullif(nullif(nullif(nullif(nullif(\"{}\", ''), 'EMPTY'), '(none)'), 'Unknown'), '--') AS \"{}\""
            columns.append(nulls.format(name, name))
    database.execute(f"CREATE TABLE typed AS SELECT {', '.join(columns)} FROM delivered")
    database.execute(
        """
        CREATE TABLE e AS SELECT *,
            ifnull(event_time, ifnull(client_event_time, server_received_time)) AS time,
            ifnull('user:' || user_id, ifnull('device:' || device_id, 'person:' || amplitude_id)) AS actor,
            CASE WHEN session_id = -1 THEN NULL ELSE
                ifnull('amplitude:' || amplitude_id, ifnull('user:' || user_id, 'device:' || device_id))
                || '|' || session_id END AS session_key
        FROM typed
        """
    )
    database.execute(
        """
        CREATE TABLE s AS SELECT session_key, epoch_us(max(time)) - epoch_us(min(time)) AS us, count(*) AS events,
            count(DISTINCT event_type) AS event_types
        FROM e WHERE session_key IS NOT NULL GROUP BY session_key
        """
    )
    return database


def _records(database: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    return database.sql(query).to_arrow_table().to_pylist()


ACTIVITY = "count(*) AS events, count(DISTINCT actor) AS actors, count(DISTINCT session_key) AS sessions"


def expected_overview(database: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    derived = {"time": "timestamp", "actor": "string", "session_key": "string"}
    kinds: dict[str, str] = {column.name: column.type for column in EVENT_CHUNKS.columns}
    found = []
    for name, kind in (kinds | derived).items():
        text = f'strftime("{name}", {TEXT_TIME})' if kind == "timestamp" else f'CAST("{name}" AS VARCHAR)'
        ends = text.replace(f'"{name}"', "{}")
        low, high = ends.format(f'min("{name}")'), ends.format(f'max("{name}")')
        query = f"""
            SELECT '{name}' AS column_name, '{kind}' AS column_type, count(*) AS events,
                count(*) FILTER ("{name}" IS NULL) AS nulls,
                (count(*) FILTER ("{name}" IS NULL))::DOUBLE / count(*) AS null_share,
                count(DISTINCT "{name}") AS distinct_values, {low} AS min_value, {high} AS max_value,
                (SELECT {text} FROM e WHERE "{name}" IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1)
                    AS top_value,
                (SELECT count(*) FROM e WHERE "{name}" IS NOT NULL GROUP BY "{name}" ORDER BY 1 DESC LIMIT 1)
                    AS top_value_events
            FROM e
        """
        found += _records(database, query)
    return found


def expected_temporal(database: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    buckets = {
        "hour": "lpad(CAST(extract(hour FROM time) AS VARCHAR), 2, '0')",
        "weekday": "CAST((extract(dow FROM time) + 6) % 7 + 1 AS VARCHAR)",
        "weekday_hour": "CAST((extract(dow FROM time) + 6) % 7 + 1 AS VARCHAR) || '-' || "
        "lpad(CAST(extract(hour FROM time) AS VARCHAR), 2, '0')",
        "month": "left(CAST(time AS VARCHAR), 7)",
        "date": "left(CAST(time AS VARCHAR), 10)",
    }
    return [
        row
        for name, bucket in buckets.items()
        for row in _records(
            database, f"SELECT '{name}' AS granularity, {bucket} AS bucket, {ACTIVITY} FROM e GROUP BY 2"
        )
    ]


def expected_behavior(database: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    found = []
    for measure, value in {"duration_seconds": "us / 1e6", "events": "events", "event_types": "event_types"}.items():
        for weighting, rows in {"sessions": "s", "events": "e JOIN s USING (session_key)"}.items():
            value = value if value != "events" else "s.events"
            query = f"""
                SELECT '{measure}' AS measure, '{weighting}' AS weighting, count(*) AS observations, avg(v) AS mean,
                    stddev_samp(v) AS std, min(v) AS min, quantile_cont(v, 0.25) AS p25, median(v) AS median,
                    quantile_cont(v, 0.75) AS p75, quantile_cont(v, 0.95) AS p95, max(v) AS max
                FROM (SELECT CAST({value} AS DOUBLE) AS v FROM {rows})
            """
            found += _records(database, query)
    return found


def expected_transitions(database: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    numbered = """
        SELECT session_key, event_type, row_number() OVER (
            PARTITION BY session_key ORDER BY time, event_id IS NULL, event_id, uuid
        ) AS n, count(*) OVER (PARTITION BY session_key) AS size
        FROM e WHERE session_key IS NOT NULL
    """
    query = f"""
        WITH numbered AS ({numbered}),
        pairs AS (
            SELECT a.event_type AS source, b.event_type AS target, count(*) AS times
            FROM numbered a JOIN numbered b ON a.session_key = b.session_key AND b.n = a.n + 1 GROUP BY ALL
        ),
        leaving AS (SELECT source, sum(times) AS times FROM pairs GROUP BY source),
        total AS (SELECT count(DISTINCT session_key) AS times FROM numbered)
        SELECT 'transition' AS kind, source AS from_event, target AS to_event, pairs.times AS transitions,
            pairs.times::DOUBLE / leaving.times AS probability
        FROM pairs JOIN leaving USING (source)
        UNION ALL BY NAME
        SELECT 'entry' AS kind, NULL AS from_event, event_type AS to_event, count(*) AS transitions,
            count(*)::DOUBLE / any_value(total.times) AS probability
        FROM numbered, total WHERE n = 1 GROUP BY event_type
        UNION ALL BY NAME
        SELECT 'exit' AS kind, event_type AS from_event, NULL AS to_event, count(*) AS transitions,
            count(*)::DOUBLE / any_value(total.times) AS probability
        FROM numbered, total WHERE n = size GROUP BY event_type
    """
    return _records(database, query)


def expected_geography(database: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    found = []
    for depth, level in enumerate(("country", "region", "city"), start=1):
        names = ("country", "region", "city")
        columns = ", ".join(name if place < depth else f"NULL::VARCHAR AS {name}" for place, name in enumerate(names))
        query = f"""
            SELECT '{level}' AS level, {columns}, {ACTIVITY}, count(*)::DOUBLE / (SELECT count(*) FROM e) AS event_share
            FROM e GROUP BY {", ".join(names[:depth])}
        """
        found += _records(database, query)
    return found


def expected_devices(database: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    found = []
    for name in ("device_family", "device_type", "os_name", "os_version", "platform", "language"):
        value = "os_name || ' ' || os_version" if name == "os_version" else name
        query = f"""
            SELECT '{name}' AS dimension, {value} AS value, {ACTIVITY},
                count(*)::DOUBLE / (SELECT count(*) FROM e) AS event_share
            FROM e GROUP BY {value}
        """
        found += _records(database, query)
    return found


EXPECTED = {
    "spark_dataset_overview": expected_overview,
    "spark_temporal_patterns": expected_temporal,
    "spark_session_behavior": expected_behavior,
    "spark_event_transitions": expected_transitions,
    "spark_geography": expected_geography,
    "spark_device_usage": expected_devices,
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dataset", DATASETS)
def test_every_column_equals_an_independent_query(
    computed: dict[str, dict[str, pa.Table]],
    reference: dict[str, duckdb.DuckDBPyConnection],
    dataset: str,
    name: str,
) -> None:
    table = TABLES[name]
    actual = computed[dataset][name]
    assert actual.column_names == table.column_names
    actual.cast(table.arrow_schema())
    assert_same_rows(actual.to_pylist(), EXPECTED[name](reference[dataset]), table.key)


@pytest.mark.parametrize("dataset", DATASETS)
def test_rows_are_sorted_by_key_with_nulls_last(computed: dict[str, dict[str, pa.Table]], dataset: str) -> None:
    for name, rows in computed[dataset].items():
        keys = [tuple((row[k] is None, row[k] or "") for k in TABLES[name].key) for row in rows.to_pylist()]
        assert keys == sorted(keys), name


def test_hostile_records_arrive_whole(chunks: dict[str, list[Path]]) -> None:
    """The hostile set means something only as long as ingestion carries it into the chunks."""
    rows = read_rows(chunks["hostile"])
    sent = hostile_records() + extreme_records()
    assert [row["event_type"] for row in rows] == [record["event_type"] for record in sent]
    assert [row["city"] for row in rows] == [record["city"] for record in sent]
    assert len(chunks["hostile"]) > 2


def test_split_order_and_column_order_of_files_do_not_matter(
    spark: Any, computed: dict[str, dict[str, pa.Table]], chunks: dict[str, list[Path]], tmp_path: Path
) -> None:
    """One file, rows backwards, columns backwards: every table is equal to the last bit."""
    for dataset, wanted in {"hostile": NAMES, "sample": ["spark_session_behavior"]}.items():
        rows = read_rows(chunks[dataset])
        names = list(reversed(EVENT_CHUNKS.column_names))
        path = write_rows(tmp_path / f"{dataset}.csv", names, reversed(rows))
        again = compute(spark, [path], wanted)
        for name in wanted:
            assert again[name].equals(computed[dataset][name]), (dataset, name)


def test_second_run_gives_equal_tables(
    spark: Any, computed: dict[str, dict[str, pa.Table]], chunks: dict[str, list[Path]]
) -> None:
    names = ["spark_session_behavior", "spark_event_transitions", "spark_geography"]
    for name, rows in compute(spark, chunks["sample"], names).items():
        assert rows.equals(computed["sample"][name]), name


def test_only_the_names_asked_for_are_computed(spark: Any, chunks: dict[str, list[Path]]) -> None:
    names = ["spark_device_usage", "spark_temporal_patterns"]
    assert list(compute(spark, chunks["hostile"], names)) == ["spark_temporal_patterns", "spark_device_usage"]
    assert compute(spark, chunks["hostile"], []) == {}
    assert not spark.sparkContext._jsc.getPersistentRDDs()


def test_no_events_give_empty_tables(spark: Any, lake: Lake) -> None:
    tables = compute(spark, ingest_nothing(lake, "2024"))
    overview = tables.pop("spark_dataset_overview")
    overview.cast(TABLES["spark_dataset_overview"].arrow_schema())
    names = [*EVENT_CHUNKS.column_names, "time", "actor", "session_key"]
    assert sorted(overview["column_name"].to_pylist()) == sorted(names)
    for row in overview.to_pylist():
        assert (row["events"], row["nulls"], row["distinct_values"], row["null_share"]) == (0, 0, 0, 0.0)
        assert row["min_value"] is row["max_value"] is row["top_value"] is row["top_value_events"] is None
    for name, rows in tables.items():
        assert rows.num_rows == 0, name
        rows.cast(TABLES[name].arrow_schema())


def test_events_outside_sessions_only(spark: Any, lake: Lake) -> None:
    new = Records()
    new.add("2024-05-01 10:00:00", session_id=-1)
    new.add("2024-05-01 10:00:00", session_id=None)
    tables = compute(spark, ingest(lake, "2024", new.made), ["spark_session_behavior", "spark_event_transitions"])
    assert [rows.num_rows for rows in tables.values()] == [0, 0]


def test_spread_of_one_session_is_null(spark: Any, lake: Lake) -> None:
    new = Records()
    new.add("2024-05-01 10:00:00")
    files = ingest(lake, "2024", new.made)
    rows = compute(spark, files, ["spark_session_behavior"])["spark_session_behavior"].to_pylist()
    assert [row["std"] for row in rows] == [None] * 6
    assert {row["measure"]: row["p95"] for row in rows} == {"duration_seconds": 0.0, "events": 1.0, "event_types": 1.0}


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("change", ["missing", "undeclared", "twice", "no header"])
def test_wrong_header_names_the_file(spark: Any, lake: Lake, tmp_path: Path, change: str, place: int) -> None:
    rows = read_rows(ingest(lake, "2024", [Records().add("2024-05-01 10:00:00")]))
    names = list(EVENT_CHUNKS.column_names)
    files = [write_rows(tmp_path / f"{number}.csv", names, rows) for number in range(2)]
    if change == "missing":
        names.remove("city")
    elif change == "undeclared":
        names.append("surprise")
    elif change == "twice":
        names.append("city")
    else:
        names = []
    extended = [{**row, "surprise": "x"} for row in rows]
    write_rows(files[place], names, extended)
    with pytest.raises(PipelineError) as failure:
        compute(spark, files)
    assert failure.value.place == str(files[place])


def test_other_column_order_in_one_file_is_refused(spark: Any, lake: Lake, tmp_path: Path) -> None:
    rows = read_rows(ingest(lake, "2024", [Records().add("2024-05-01 10:00:00")]))
    names = EVENT_CHUNKS.column_names
    files = [write_rows(tmp_path / "a.csv", names, rows), write_rows(tmp_path / "b.csv", names[::-1], rows)]
    with pytest.raises(PipelineError) as failure:
        compute(spark, files)
    assert failure.value.place == str(files[1])


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("session_id", "abc"),
        ("session_id", "1.5"),
        ("session_id", ""),
        ("amplitude_id", str(2**63)),
        ("event_time", "yesterday"),
        ("server_upload_time", "2024-02-30 00:00:00.000000"),
    ],
)
def test_value_that_does_not_fit_fails(spark: Any, lake: Lake, tmp_path: Path, column: str, value: str) -> None:
    """Also when the summary asked for does not need the column."""
    rows = read_rows(ingest(lake, "2024", [Records().add("2024-05-01 10:00:00")]))
    path = write_rows(tmp_path / "bad.csv", EVENT_CHUNKS.column_names, [rows[0], {**rows[0], column: value}])
    with pytest.raises(Exception, match=r"MALFORMED|FAILFAST|CAST|PARSE"):
        compute(spark, [path], ["spark_geography"])


@pytest.mark.parametrize("fields", [29, 31])
def test_row_of_another_length_fails(spark: Any, lake: Lake, tmp_path: Path, fields: int) -> None:
    [path] = ingest(lake, "2024", [Records().add("2024-05-01 10:00:00")])
    bad = tmp_path / "bad.csv"
    bad.write_text(path.read_text() + ",".join(['"1"'] * fields) + "\n")
    with pytest.raises(Exception, match=r"MALFORMED|FAILFAST|CAST|PARSE"):
        compute(spark, [bad], ["spark_geography"])
