"""A small lake, built from hand-made exports by the functions that the assets call.

Put here: the exports and the steps that make a lake of them. Keep out: assertions.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

from analytics_assets.core.features.engine import open_engine
from analytics_assets.core.features.quality import quality_report
from analytics_assets.core.files import read_json, write_json, write_table
from analytics_assets.core.ingest.run import ingest_year
from analytics_assets.core.lake import Lake
from analytics_assets.core.models import kmeans, transitions
from analytics_assets.core.models.split import TRAIN_SHARE
from analytics_assets.core.results import analysis_results
from analytics_assets.core.settings import default_settings
from analytics_assets.schemas import KMEANS_ASSIGNMENTS, MARKOV_PREDICTIONS
from analytics_assets_tests.core.event_data import publish_features

SCRIPT_EVENT = "<script>alert(1)</script>"
MARKDOWN_EVENT = "**x** [a](b)"
MALFORMED = '{"event_type": "<b>broken</b>", "user_id": }'
NAMES = ("view > page", "view > page", "click > button", SCRIPT_EVENT, MARKDOWN_EVENT, "view > page")
YEARS = ("2020", "2021")


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")


def event(number: int, name: str, user: int, start: datetime, offset: int) -> dict[str, object]:
    """One record as Amplitude exports it."""
    moment = start + timedelta(seconds=offset)
    return {
        "uuid": f"00000000-0000-4000-8000-{number:012d}",
        "event_type": name,
        "user_id": f"user-{user}",
        "amplitude_id": 1000 + user,
        "session_id": int((start - datetime(1970, 1, 1)).total_seconds() * 1000),
        "event_id": number,
        "event_time": _time(moment),
        "client_event_time": _time(moment),
        "client_upload_time": _time(moment + timedelta(seconds=2)),
        "server_received_time": _time(moment + timedelta(seconds=3)),
        "server_upload_time": _time(moment + timedelta(hours=number % 3)),
        "processed_time": _time(moment + timedelta(seconds=9)),
        "country": ("Germany", "Spain", None)[user % 3],
        "device_family": ("Windows", "iPhone")[user % 2],
        "platform": "Web",
        "language": None if number % 4 else "German",
    }


def year_events(year: int) -> list[dict[str, object]]:
    """Five users with two sessions of six events each; gaps of days lie between the sessions."""
    events = []
    for user in range(5):
        for session in range(2):
            start = datetime(year, 3, 2 + 3 * user + 40 * session % 25, 9 + user + 3 * session, 15)
            for place, name in enumerate(NAMES):
                number = year * 1000 + user * 100 + session * 10 + place
                events.append(event(number, name, user, start, place * (20 + 7 * user)))
    return events


def write_exports(lake: Lake) -> None:
    """Exports of two years: one malformed record, one delivered twice, a session over New Year."""
    first, second = year_events(2020), year_events(2021)
    start = datetime(2020, 12, 31, 23, 59)
    first.append(event(77_001, "view > page", 1, start, 0))
    # The server got this one after New Year, so it came with the next year's delivery, like the one after it.
    second += [event(77_002, "click > button", 1, start, 30), event(77_003, MARKDOWN_EVENT, 1, start, 90)]
    second.append(dict(second[0]))
    for year, events in zip(YEARS, (first, second), strict=True):
        records = [json.dumps(entry) for entry in events]
        if year == YEARS[0]:
            records.insert(5, MALFORMED)
        path = lake.raw(year) / "export.json"
        path.parent.mkdir(parents=True)
        path.write_text("[\n" + ",\n".join(records) + "\n]\n", encoding="utf-8")


def ingest(lake: Lake) -> None:
    """What ``event_chunks`` does."""
    for year in lake.raw_years():
        ingest_year(lake, year)


def build_features(lake: Lake) -> None:
    """What the assets of group ``features`` do."""
    for year in lake.ingested_years():
        publish_features(lake, year)
        with open_engine(lake.staging() / "duckdb") as engine:
            manifest = read_json(lake.manifest(year))
            write_json(lake.quality(year), quality_report(engine, lake, year, manifest, default_settings()))


def build_models(lake: Lake) -> None:
    """What ``markov_chain`` and ``kmeans_segments`` publish of plain counts and segments."""
    years = lake.ingested_years()
    clean = [lake.feature("clean_events", year) for year in years]
    visits = [lake.feature("sessions", year) for year in years]
    with open_engine(lake.staging() / "duckdb") as engine:
        counted, metrics, predictions = transitions.reference(engine, clean, TRAIN_SHARE)
        segments, fitted, tables = kmeans.segment_actors(engine, clean, visits, max_segments=3)
    folder = lake.model("markov_chain")
    counted.save(folder / "transitions.parquet")
    write_table(folder / "predictions.parquet", predictions, MARKOV_PREDICTIONS)
    write_json(folder / "metrics.json", metrics)
    folder = lake.model("kmeans_segments")
    segments.save(folder)
    write_table(folder / "assignments.parquet", tables["assignments"], KMEANS_ASSIGNMENTS)
    write_json(folder / "metrics.json", {**fitted, "adjusted_rand_index": None})


def build_results(lake: Lake) -> None:
    """What ``analysis_results`` does."""
    with open_engine(lake.staging() / "duckdb") as engine:
        results = analysis_results(engine, lake, lake.ingested_years(), ("markov_chain", "kmeans_segments"))
    write_json(lake.analysis_results(), results)


def build(root: Path) -> Lake:
    """A whole lake below `root`."""
    lake = Lake(root)
    write_exports(lake)
    ingest(lake)
    build_features(lake)
    build_models(lake)
    build_results(lake)
    return lake
