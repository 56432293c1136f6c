"""Cleaning: which rows go, why, and that every row is accounted for.

Put here: profiles, any combination of steps, the waterfall, settings. Keep out: the columns of the events
(``test_features``).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.features.cleaning import LEFT_OUT_COLUMNS, remove_rows
from analytics_assets.core.files import json_bytes, read_json
from analytics_assets.core.lake import Lake
from analytics_assets.core.settings import CleaningStep, Settings, default_settings, load_settings
from analytics_assets.schemas import CLEAN_EVENTS, DROPPED_EVENTS, EVENT_CHUNKS
from analytics_assets_tests.core.cleaning_reference import ORDER, removed_by
from analytics_assets_tests.core.event_data import (
    NO_TOKENS,
    TOKENS,
    Event,
    Records,
    chunk_files,
    events_of,
    hostile_records,
    ingest,
    publish_features,
    read_rows,
)

STEPS: tuple[CleaningStep, ...] = get_args(CleaningStep)


def with_steps(steps: Sequence[CleaningStep], **limits: float) -> Settings:
    """The shipped settings with a cleaning profile of these steps."""
    base = default_settings()
    cleaning = base.cleaning.model_copy(update={"profile": "own", "profiles": {"own": tuple(steps)}, **limits})
    return base.model_copy(update={"cleaning": cleaning})


def rows_of(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found


def test_the_reference_knows_every_step() -> None:
    assert ORDER == STEPS


def test_shipped_profiles() -> None:
    profiles = default_settings().cleaning.profiles
    assert default_settings().cleaning.profile == "conservative"
    assert profiles["conservative"] == ("exact_duplicates", "rows_without_actor")
    assert profiles["original"] == STEPS


# A whole year


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Hostile records cleaned by every step; ids as delivered."""
    lake = Lake(tmp_path_factory.mktemp("cleaning"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANALYTICS_PII", "keep")
        ingest(lake, "2024", [*hostile_records(), *mobile_and_long()])
        publish_features(lake, "2024", with_steps(STEPS))
    return lake


def mobile_and_long() -> list[dict[str, Any]]:
    """Rows that the hostile records lack: phones, sessions of ends only, one session of a month."""
    new = Records("more")
    for number, (platform, family) in enumerate([("iOS", "iPhone"), ("Web", "Android"), ("Android", "Android")]):
        new.add(f"2024-12-0{number + 1} 10:00:00", "tap", session_id=50, platform=platform, device_family=family)
        new.add(f"2024-12-0{number + 1} 10:00:09", "tap", session_id=50 + number)
    for second in range(3):
        new.add(f"2024-12-05 10:00:0{second}", "session_end", session_id=60, amplitude_id=61)
    new.add("2024-01-05 10:00:00", "long", session_id=70)
    new.add("2024-12-05 10:00:00", "long", session_id=70)
    return new.made


@pytest.mark.parametrize("profile", ["conservative", "original"])
def test_each_row_is_removed_by_the_step_that_the_rules_say(lake: Lake, hostile: Lake, profile: str) -> None:
    chosen = with_steps(default_settings().cleaning.profiles[profile])
    (lake.root / "chunks").parent.mkdir(parents=True)
    (lake.root / "chunks").symlink_to(hostile.root / "chunks")
    paths = publish_features(lake, "2024", chosen)
    events = events_of(chunk_files(hostile, "2024"))
    expected = removed_by(events, chosen)
    dropped = {row["uuid"]: row["dropped_by"] for row in rows_of(paths["dropped_events"])}
    assert dropped == expected
    assert {row["uuid"] for row in rows_of(paths["clean_events"])} == {e["uuid"] for e in events} - set(expected)
    if profile == "original":
        assert set(dropped.values()) == set(STEPS), "every step must have something to remove"


def test_sessions_cover_all_rows_whatever_the_profile(lake: Lake, hostile: Lake) -> None:
    (lake.root / "chunks").parent.mkdir(parents=True)
    (lake.root / "chunks").symlink_to(hostile.root / "chunks")
    none = publish_features(lake, "2024", with_steps([]))["sessions"].read_bytes()
    assert hostile.feature("sessions", "2024").read_bytes() == none


def test_waterfall_accounts_for_every_row_and_column(hostile: Lake) -> None:
    report = read_json(hostile.cleaning_report("2024"))
    json_bytes(report)
    steps, total = report["waterfall"], read_json(hostile.manifest("2024"))["total"]
    for before, after in pairwise(steps):
        assert before["rows_after"] == after["rows_before"]
        assert before["columns_after"] == after["columns_before"]
    assert steps[0]["rows_before"] == total["records_seen"]
    assert steps[-1]["rows_after"] == len(rows_of(hostile.feature("clean_events", "2024")))
    assert steps[0]["columns_before"] == len(EVENT_CHUNKS.columns)
    assert steps[-1]["columns_after"] == len(CLEAN_EVENTS.columns)
    lost = {step["step"]: step["rows_before"] - step["rows_after"] for step in steps}
    assert lost["refuse"] == total["quarantined"]
    assert lost["drop re-delivered records"] == total["duplicates"]
    counted = Counter(row["dropped_by"] for row in rows_of(hostile.feature("dropped_events", "2024")))
    assert {name: lost[name.replace("_", " ")] for name in STEPS} == counted
    assert (report["profile"], report["steps"]) == ("own", list(STEPS))


def test_examples_are_removed_rows_with_their_reason(hostile: Lake) -> None:
    dropped = {row["uuid"]: row for row in rows_of(hostile.feature("dropped_events", "2024"))}
    shown = 0
    for step in read_json(hostile.cleaning_report("2024"))["waterfall"]:
        for example in step["examples"]:
            row = dropped[example["uuid"]]
            assert row["dropped_by"].replace("_", " ") == step["step"]
            assert (row["reason"], row["event_type"]) == (example["reason"], example["event_type"])
            shown += 1
    assert shown >= len(STEPS)


def test_every_removed_row_says_why(hostile: Lake) -> None:
    for row in rows_of(hostile.feature("dropped_events", "2024")):
        match row["dropped_by"]:
            case "exact_duplicates":
                assert row["reason"].startswith("repeats ")
                assert row["reason"].removeprefix("repeats ") != row["uuid"]
            case "mobile_rows":
                assert row["platform"] in row["reason"] or row["device_family"] in row["reason"]
            case "zscore_outliers" | "iqr_outliers":
                assert row["reason"].startswith("session of ")
            case _:
                assert row["reason"]


def test_columns_left_out_are_named_with_a_reason(hostile: Lake) -> None:
    details = read_json(hostile.cleaning_report("2024"))["waterfall"][-1]["details"]
    assert set(details) == set(EVENT_CHUNKS.column_names) - set(CLEAN_EVENTS.column_names)
    assert details == LEFT_OUT_COLUMNS
    assert all(details.values())


def test_normalized_nulls_are_counted_by_column(hostile: Lake) -> None:
    counts: Counter[str] = Counter()
    for row in read_rows(chunk_files(hostile, "2024")):
        counts.update(name for name, value in row.items() if value in TOKENS and name not in NO_TOKENS)
    [step] = [
        step for step in read_json(hostile.cleaning_report("2024"))["waterfall"] if step["step"] == "normalize nulls"
    ]
    assert step["details"] == dict(counts)


def test_one_duplicate_of_a_device_goes_and_the_first_uploaded_stays(hostile: Lake) -> None:
    """Equal in everything but uuid and delivery: one goes; other properties: another event, it stays."""
    sent = [row for row in rows_of(hostile.feature("dropped_events", "2024")) if row["event_type"] == "sent twice"]
    twice = [row for row in read_rows(chunk_files(hostile, "2024")) if row["event_type"] == "sent twice"]
    assert len(twice) == 3
    [gone] = [row for row in sent if row["dropped_by"] == "exact_duplicates"]
    first = min(twice, key=lambda row: str(row["server_upload_time"]))
    assert gone["reason"] == f"repeats {first['uuid']}"


def test_a_year_with_nothing_left_gives_empty_tables(lake: Lake) -> None:
    new = Records()
    new.add("2024-05-01 10:00:00", "tap", platform="iOS")
    new.add("2024-05-01 10:00:05", "tap", platform="iOS")
    ingest(lake, "2024", new.made)
    paths = publish_features(lake, "2024", with_steps(["mobile_rows"]))
    counts = {name: pq.read_metadata(path).num_rows for name, path in paths.items()}
    assert counts == {
        "actors": 1,
        "clean_events": 0,
        "dropped_events": 2,
        "sessions": 1,
        "user_features": 0,
        "user_profiles": 0,
        "daily_metrics": 0,
    }
    assert read_json(lake.cleaning_report("2024"))["waterfall"][-1]["rows_after"] == 0


# Any combination of steps

EVENTS = st.fixed_dictionaries(
    {
        "session": st.sampled_from([None, "s1", "s2", "s3", "s4"]),
        "minute": st.sampled_from([0, 0, 1, 2, 3, 500, 100_000]),
        "name": st.sampled_from(["view", "click", "session_end"]),
        "user": st.sampled_from([None, "ann", "bob"]),
        "device": st.sampled_from([None, "d1"]),
        "platform": st.sampled_from([None, "Web", "iOS"]),
        "family": st.sampled_from([None, "Windows", "Android"]),
        "insert": st.sampled_from([None, "i1", "i2", "i3"]),
        "uploaded": st.sampled_from([None, 0, 1]),
    }
)
"""Few values, so that duplicates, ends and short sessions are common."""


def made_events(drawn: Sequence[dict[str, Any]]) -> list[Event]:
    """Events as the reference reads them."""
    start = datetime(2024, 5, 1)
    found = []
    for number, row in enumerate(drawn):
        owner = f"user:{row['user']}" if row["user"] else f"device:{row['device']}" if row["device"] else None
        uploaded = None if row["uploaded"] is None else str(start + timedelta(seconds=row["uploaded"]))
        values = {
            "uuid": f"{number:03d}",
            "event_type": row["name"],
            "user_id": row["user"],
            "device_id": row["device"],
            "platform": row["platform"],
            "device_family": row["family"],
            "$insert_id": row["insert"],
            "server_upload_time": uploaded,
            "session_id": row["session"],
        }
        values["time"] = str(start + timedelta(minutes=row["minute"]))
        found.append(Event(values, start + timedelta(minutes=row["minute"]), owner, row["session"] if owner else None))
    return found


def as_rows(events: Sequence[Event]) -> pa.Table:
    """The same events as the relation that the steps read."""
    delivery = ("uuid", "server_upload_time")
    return pa.Table.from_pylist(
        [
            {
                **{name: value for name, value in event.values.items() if name != "server_upload_time"},
                "time": event.time,
                "actor": event.actor,
                "session_key": event.session,
                "app": 1,
                "content": json.dumps({k: v for k, v in event.values.items() if k not in delivery}, sort_keys=True),
                "server_upload_time": event["server_upload_time"],
            }
            for event in events
        ],
        schema=pa.schema(
            [
                *((name, pa.string()) for name in ("uuid", "event_type", "user_id", "device_id", "platform")),
                *((name, pa.string()) for name in ("device_family", "$insert_id", "actor", "session_key", "content")),
                ("server_upload_time", pa.string()),
                ("time", pa.timestamp("us")),
                ("app", pa.int64()),
            ]
        ),
    )


@settings(max_examples=150, deadline=None)
@given(
    drawn=st.lists(EVENTS, max_size=24),
    steps=st.sets(st.sampled_from(STEPS)),
    z_limit=st.sampled_from([0.5, 1.0, 3.0]),
    iqr_factor=st.sampled_from([0.1, 1.5]),
    order=st.randoms(use_true_random=False),
)
def test_any_combination_of_steps_adds_up_and_equals_the_rules(
    drawn: list[dict[str, Any]], steps: set[CleaningStep], z_limit: float, iqr_factor: float, order: Any
) -> None:
    chosen = with_steps([s for s in STEPS if s in steps], z_limit=z_limit, iqr_factor=iqr_factor)
    events = made_events(drawn)
    shuffled = list(events)
    order.shuffle(shuffled)
    with duckdb.connect() as engine:
        engine.register("rows", as_rows(shuffled))
        account = remove_rows(engine, "rows", chosen)
        removed = engine.execute("SELECT uuid, dropped_by FROM removed").fetchall()
    assert len(removed) == len({uuid for uuid, _ in removed}) == sum(rows for _, _, rows, _ in account)
    assert dict(removed) == removed_by(events, chosen)
    assert [step for step, _, _, _ in account] == [s for s in STEPS if s in steps]


# The settings file


def write_settings(lake: Lake, text: str) -> Path:
    lake.settings().parent.mkdir(parents=True, exist_ok=True)
    lake.settings().write_text(text, encoding="utf-8")
    return lake.settings()


def test_settings_of_a_lake_change_what_they_name_only(lake: Lake) -> None:
    text = '[cleaning]\nprofile = "mine"\n[cleaning.profiles]\nmine = ["mobile_rows"]\n[events]\nnoise_events = []\n'
    write_settings(lake, text)
    found, shipped = load_settings(lake), default_settings()
    assert found.cleaning.steps == ("mobile_rows",)
    assert found.cleaning.profiles["original"] == STEPS
    assert (found.events.noise_events, found.events.noise_suffixes) == ((), shipped.events.noise_suffixes)
    assert found.quality == shipped.quality


def test_without_a_file_the_shipped_settings_hold(lake: Lake) -> None:
    assert load_settings(lake) == default_settings()


def test_the_environment_names_another_file(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_settings(lake, "[cleaning]\nz_limit = 4\n")
    other = tmp_path / "other.toml"
    other.write_text("[cleaning]\nz_limit = 5\n")
    monkeypatch.setenv("ANALYTICS_SETTINGS", str(other))
    assert load_settings(lake).cleaning.z_limit == 5
    monkeypatch.setenv("ANALYTICS_SETTINGS", str(tmp_path / "missing.toml"))
    with pytest.raises(PipelineError, match=r"missing\.toml: there is no such file"):
        load_settings(lake)


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("[cleaning", "it is not TOML"),
        ('[cleaning]\nprofile = "thorough"', "profile 'thorough' is not one of conservative, original"),
        ('[cleaning.profiles]\nmine = ["everything"]', "cleaning.profiles.mine.0"),
        ("[cleaning]\nz_limit = 0", "cleaning.z_limit"),
        ("[cleanin]\nz_limit = 3", "cleanin"),
        ("[events]\nscreen_parts = 0", "events.screen_parts"),
        ('[[funnels]]\nname = "a"\nsteps = ["x"]', "funnels.0.steps"),
        (
            '[[funnels]]\nname="a"\nsteps=["x","y"]\n[[funnels]]\nname="a"\nsteps=["x","z"]',
            "two funnels have the same name",
        ),
    ],
)
def test_wrong_settings_name_the_file_and_the_place(lake: Lake, text: str, fact: str) -> None:
    path = write_settings(lake, text)
    with pytest.raises(PipelineError) as failure:
        load_settings(lake)
    assert failure.value.place == str(path)
    assert fact in failure.value.fact


def test_dropped_events_hold_every_column_of_clean_events() -> None:
    assert DROPPED_EVENTS.column_names[: len(CLEAN_EVENTS.columns)] == CLEAN_EVENTS.column_names
