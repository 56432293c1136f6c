"""The ``analytics`` command says what is wrong in one line, and never mixes real and synthetic exports."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from analytics_assets.cli.demo import generate_sample
from analytics_assets.core.errors import PipelineError
from analytics_assets.core.lake import Lake
from analytics_assets.sample import generator
from analytics_assets.sample.generator import SampleConfig
from analytics_assets_tests.conftest import run_analytics, run_as_user

SMALL = SampleConfig(events=1_000, users=10)


def deliver(lake: Lake, place: str, content: str) -> Path:
    path = lake.raw() / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def test_exports_outside_a_year_folder_are_pointed_out(lake: Lake) -> None:
    deliver(lake, "export.json", "[]")
    result = run_analytics("demo", data_dir=lake.root)
    assert result.returncode == 1
    assert str(lake.raw()) in result.stderr and "raw/2024" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_bad_export_fails_the_demo_and_names_the_file(lake: Lake) -> None:
    path = deliver(lake, "2024/export.json", "hello")
    result = run_analytics("demo", data_dir=lake.root)
    assert result.returncode == 1
    assert f"Failed: event_chunks: {path}" in result.stdout and "is not JSON" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr


def test_the_demo_ends_under_a_parent_that_ignores_the_signal_to_end(lake: Lake) -> None:
    deliver(lake, "2024/export.json", "hello")
    demo = (sys.executable, "-m", "analytics_assets.cli.main", "demo")
    result = run_as_user("sh", "-c", "trap '' TERM; exec \"$@\"", "sh", *demo, data_dir=lake.root, timeout=300)
    assert result.returncode == 1 and "Failed: event_chunks" in result.stdout


def test_sample_data_never_joins_real_exports(lake: Lake) -> None:
    path = deliver(lake, "2023/export.json", "[]")
    with pytest.raises(PipelineError, match="not generated"):
        generate_sample(lake, SMALL)
    assert [entry.name for entry in lake.raw().iterdir()] == ["2023"] and path.read_text() == "[]"


def test_new_sample_data_replaces_old(lake: Lake) -> None:
    generate_sample(lake, SMALL)
    assert lake.raw_years() == ["2024", "2025"]
    generate_sample(lake, SampleConfig(events=1_000, users=10, years=(2022,)))
    assert lake.raw_years() == ["2022"]
    assert lake.is_synthetic()


def test_interrupted_generation_leaves_nothing_half_made(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(raw: Path, *_: object) -> None:
        deliver(Lake(raw.parent), f"{raw.name}/2024/half.json", "[")
        raise KeyboardInterrupt

    monkeypatch.setattr(generator, "write_sample", interrupted)
    with pytest.raises(KeyboardInterrupt):
        generate_sample(lake, SMALL)
    assert lake.raw_years() == []


def test_up_refuses_a_port_that_is_taken(lake: Lake) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run_analytics("up", "--insights-port", str(port), data_dir=lake.root, timeout=60)
    assert result.returncode == 1
    assert f"port {port}" in result.stderr and "choose another port" in result.stderr


def test_help_lists_the_commands(lake: Lake) -> None:
    result = run_analytics("--help", data_dir=lake.root)
    assert result.returncode == 0
    assert all(command in result.stdout for command in ("demo", "sample", "up"))
