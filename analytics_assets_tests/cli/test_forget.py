"""``analytics forget`` on a lake in which everything is materialized."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq

from analytics_assets.core.lake import Lake
from analytics_assets.core.privacy import Privacy
from analytics_assets_tests.conftest import Demo, run_analytics

ABSENT = ("hidden_markov_model", "lstm_next_event", "prophet_forecast", "arima_forecast", "forecast_leaderboard")
"""Models that this analyst never trained: the command must not train them either."""
SUMMARY = "2024/spark_device_usage.parquet"
"""The only summary that the analyst ever asked for."""


def files_that_name(lake: Lake, text: str) -> list[str]:
    """Files beside the raw ones and Dagster's history that hold a text."""
    own = [path for path in lake.root.rglob("*") if path.is_file()]
    kept = [path for path in own if not {"raw", ".dagster"} & set(path.relative_to(lake.root).parts[:1])]
    found = [path for path in kept if text.encode() in path.read_bytes()]
    for path in kept:
        if path.suffix == ".parquet":  # compressed: their values are searched, not their bytes
            table = pq.read_table(path)
            columns = [column for column in table.columns if str(column.type) == "string"]
            if any(text in (value or "") for column in columns for value in column.to_pylist()):
                found.append(path)
    return [path.relative_to(lake.root).as_posix() for path in found]


def test_a_person_is_gone_from_every_table(demo: Demo, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("ANALYTICS_PII_KEY")  # the demo used the key of its lake
    lake = Lake(tmp_path / "lake")
    shutil.copytree(demo.lake.root, lake.root)
    for model in ABSENT:
        shutil.rmtree(lake.model(model))
    summaries = lake.root / "summaries"
    for path in summaries.rglob("*.parquet"):
        if path != summaries / SUMMARY:
            path.unlink()
    shutil.rmtree(lake.notebook("2024").parent)  # it needs the summaries
    truth = json.loads(lake.sample_truth().read_bytes())
    person = next(user for user in truth["users"].values() if user["user_id"] is not None)
    shown = Privacy.of(lake).shown("user_id", person["user_id"])
    before = files_that_name(lake, shown)
    assert "features/user_features/2024.parquet" in before

    done = run_analytics("forget", person["user_id"], "--yes", data_dir=lake.root)
    assert done.returncode == 0, done.stdout + done.stderr
    [receipt] = [json.loads(path.read_bytes()) for path in lake.receipts().iterdir()]
    assert receipt["tables"]["clean_events"]["before"] > 0
    assert {rows["after"] for rows in receipt["tables"].values()} == {0}
    assert (
        sum(removed["events"] for removed in receipt["removed"].values()) >= receipt["tables"]["clean_events"]["before"]
    )
    assert files_that_name(lake, person["user_id"]) == []
    left = files_that_name(lake, shown)
    assert left == ["privacy/suppressed.json", *(f"privacy/receipts/{path.name}" for path in lake.receipts().iterdir())]
    assert (lake.model("xgboost_next_event") / "metrics.json").is_file()
    assert not any(lake.model(model).exists() for model in ABSENT)
    assert [*summaries.rglob("*.parquet")] == [summaries / SUMMARY]
    again = run_analytics("forget", person["user_id"], "--yes", data_dir=lake.root)
    assert again.returncode == 0, again.stdout + again.stderr
    _, second = sorted(lake.receipts().iterdir())
    assert json.loads(second.read_bytes())["recomputed_years"] == [], "nothing is left to remove"
