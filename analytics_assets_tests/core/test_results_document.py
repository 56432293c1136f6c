"""The results file as a whole: its schema, what the schema refuses, and its agreement with other tables.

Put here: the document. Keep out: the values in it (``test_results.py``, ``test_findings.py``).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.features.engine import open_engine
from analytics_assets.core.files import json_bytes
from analytics_assets.core.ingest.run import ingest_year
from analytics_assets.core.lake import Lake
from analytics_assets.core.results import TOP, analysis_results, results_schema, validate
from analytics_assets.core.results.agreement import comparisons
from analytics_assets.core.results.validation import violations
from analytics_assets.schemas import METRICS
from analytics_assets_tests.core.event_data import Records, ingest, publish_features
from analytics_assets_tests.core.results_summaries import write_summaries

YEARS = ["2024", "2025"]


def results_of(lake: Lake, years: list[str]) -> dict[str, Any]:
    with open_engine(lake.staging() / "duckdb") as engine:
        return analysis_results(engine, lake, years, [])


@pytest.fixture(scope="module")
def published(sample_lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, dict[str, Any]]:
    """A lake with features of two years, and its results as read back; read only."""
    lake = Lake(tmp_path_factory.mktemp("document"))
    lake.raw().symlink_to(sample_lake.raw())
    for year in YEARS:
        ingest_year(lake, year)
        publish_features(lake, year)
    return lake, json.loads(json_bytes(results_of(lake, YEARS)))


# The schema


def test_the_schema_is_shipped_and_names_every_metric() -> None:
    from jsonschema import Draft202012Validator

    schema = results_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:analytics-assets:analysis-results:{schema['properties']['results_version']['const']}"
    assert schema["$defs"]["metric"]["properties"]["name"]["enum"] == list(METRICS)
    assert {metric.source for metric in METRICS.values()} <= set(schema["$defs"]["asset"]["enum"])
    limits = {name: rows.get("maxItems") for name, rows in schema["properties"]["lists"]["properties"].items()}
    assert limits["top_events"] == TOP


def test_the_results_fit_the_schema(published: tuple[Lake, dict[str, Any]]) -> None:
    assert violations(published[1]) == []


Mutation = Callable[[dict[str, Any]], Any]
MUTATIONS: dict[str, Mutation] = {
    "another version": lambda r: r.update(results_version=1),
    "no years": lambda r: r.update(years=[]),
    "year as a number": lambda r: r.update(years=[2024]),
    "unknown key": lambda r: r.update(surprise=1),
    "findings gone": lambda r: r.pop("findings"),
    "time in another format": lambda r: r.update(data_as_of="2024-01-01T00:00:00Z"),
    "source without digest": lambda r: r["sources"]["2024"].pop("raw_digest"),
    "negative count": lambda r: r["lists"]["top_events"][0].update(events=-1),
    "count as a real": lambda r: r["lists"]["top_events"][0].update(events=1.5),
    "share over one": lambda r: r["lists"]["top_events"][0].update(event_share=1.01),
    "list row without a key": lambda r: r["lists"]["countries"][0].pop("sessions"),
    "list row with another key": lambda r: r["lists"]["daily"][0].update(note="x"),
    "list gone": lambda r: r["lists"].pop("ngrams"),
    "unknown list": lambda r: r["lists"].update(others=[]),
    "list info gone": lambda r: r["list_info"].pop("ngrams"),
    "hour 24": lambda r: r["lists"]["hours"][0].update(hour=24),
    "weekday 0": lambda r: r["lists"]["weekdays"][0].update(weekday=0),
    "month 13": lambda r: r["lists"]["months"][0].update(month="2024-13"),
    "unknown population": lambda r: r["lists"]["distributions"][0].update(population="robots"),
    "too long a list": lambda r: r["lists"]["busiest_hours"].append(r["lists"]["busiest_hours"][0]),
    "metric gone": lambda r: r["metrics"].pop(),
    "unknown metric": lambda r: r["metrics"][0].update(name="others"),
    "metric without unit": lambda r: r["metrics"][0].update(unit=""),
    "metric without variants": lambda r: _metric(r, "events").pop("people"),
    "variants of a metric without them": lambda r: _metric(r, "records_seen").update(people=1),
    "metric as text": lambda r: _metric(r, "events").update(value="12"),
    "share metric over one": lambda r: _metric(r, "noise_share").update(value=2),
    "metric of an unknown asset": lambda r: _metric(r, "events").update(source="somewhere"),
    "finding without its comparison": lambda r: r["findings"][0].pop("comparison"),
    "finding with too few observations": lambda r: r["findings"][0].update(n=29),
    "finding without rank": lambda r: r["findings"][0].update(rank=0),
    "finding without text": lambda r: r["findings"][0].update(text=""),
    "too many findings": lambda r: r.update(findings=r["findings"][:1] * 13),
    "unknown table": lambda r: r["tables"]["2024"]["summaries"].append("spark_others"),
    "model as a number": lambda r: r["models"].update(markov_chain=1),
}


def _metric(results: dict[str, Any], name: str) -> dict[str, Any]:
    [metric] = [metric for metric in results["metrics"] if metric["name"] == name]
    return metric


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_the_schema_refuses_mutilated_results(published: tuple[Lake, dict[str, Any]], mutation: str) -> None:
    mutilated = copy.deepcopy(published[1])
    MUTATIONS[mutation](mutilated)
    assert violations(mutilated)
    with pytest.raises(PipelineError, match=r"analysis_results\.schema\.json"):
        validate(mutilated, published[0].analysis_results())


# Agreement


def unequal(lake: Lake, results: dict[str, Any]) -> list[str]:
    with open_engine(lake.staging() / "duckdb") as engine:
        return [c["what"] for c in comparisons(engine, lake, results) if c["published"] != c["counted"]]


def test_totals_agree_and_every_difference_is_named(published: tuple[Lake, dict[str, Any]]) -> None:
    lake, found = published[0], copy.deepcopy(published[1])
    assert unequal(lake, found) == []
    _metric(found, "sessions")["value"] += 1
    assert unequal(lake, found) == ["sessions: distinct session_key of sessions"]
    found = copy.deepcopy(published[1])
    found["lists"]["daily"][0]["events"] += 1
    assert unequal(lake, found) == ["events: list daily"]
    found["sources"]["2025"]["loaded"] -= 1
    assert unequal(lake, found) == ["events: list daily", "events of 2025: sources"]


def test_totals_of_spark_summaries_are_compared(lake: Lake) -> None:
    ingest(lake, "2024", [Records().add("2024-05-01 10:00:00")])
    publish_features(lake, "2024")
    found = results_of(lake, ["2024"])
    temporal = {
        "population": "all",
        "granularity": "date",
        "bucket": "2024-05-01",
        "events": 2,
        "actors": 1,
        "sessions": 1,
        "busy_place": 1,
        "in_year": True,
        "events_change": None,
    }
    behavior = {"population": "all", "measure": "duration_seconds", "weighting": "sessions", "observations": 3}
    write_summaries(lake, "2024", {"spark_temporal_patterns": [temporal], "spark_session_behavior": [behavior]})
    assert unequal(lake, found) == [
        "events of 2024: spark_temporal_patterns",
        "sessions of 2024: spark_session_behavior",
    ]
    write_summaries(
        lake,
        "2024",
        {
            "spark_temporal_patterns": [temporal | {"events": 1}],
            "spark_session_behavior": [behavior | {"observations": 1}],
        },
    )
    assert unequal(lake, found) == []
