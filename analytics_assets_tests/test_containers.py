"""The container files, judged without a container engine; ``test_services.py`` runs their commands."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from analytics_assets_tests.conftest import ROOT
from analytics_assets_tests.containers import (
    FOLDER,
    SECRET,
    command_of,
    compose,
    copied_paths,
    default_commands,
    health_command,
    instructions,
    run_commands,
)
from analytics_assets_tests.test_postgres import program

BESIDE_PYTHON = Path(sys.executable).parent
PATH = f"{BESIDE_PYTHON}{os.pathsep}{os.environ['PATH']}{os.pathsep}/usr/sbin"
SERVICES = ("postgres", "code", "webserver", "daemon", "insights", "processing")


def accepted(content: dict[str, Any]) -> PyCompose:
    """Judged by an implementation of the Compose specification."""
    judged = PyCompose.from_json(json.dumps(content))
    judged.validate()
    return judged


def pins(lock: Path) -> dict[str, str]:
    found = re.findall(r"^([a-z0-9-]+)==(\S+)", lock.read_text(), re.MULTILINE)
    return dict(found)


def test_the_dockerfile_has_no_lint() -> None:
    linter = shutil.which("hadolint", path=PATH)
    assert linter, "hadolint comes with the extra `dev`: make setup"
    result = subprocess.run(
        [linter, "--no-color", str(FOLDER / "Dockerfile")], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stdout


def test_the_compose_file_follows_the_specification() -> None:
    assert accepted(compose()).service_names() == list(SERVICES)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda c: c["services"]["code"].update(prots=["4000:4000"]), "prots"),
        (lambda c: c["services"]["code"]["healthcheck"].update(intervall="3s"), "intervall"),
        (lambda c: c["services"]["code"]["depends_on"]["postgres"].update(condition="healthy"), "healthy"),
        (lambda c: c["volumes"].pop("console"), "console"),
    ],
)
def test_the_judge_of_the_compose_file_sees_mistakes(mistake: Any, message: str) -> None:
    content = copy.deepcopy(compose())
    mistake(content)
    with pytest.raises(ValueError, match=message):
        accepted(content)


def test_copied_files_exist_and_reach_the_build() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert "*" in (ROOT / ".dockerignore").read_text().splitlines(), "the lake and its keys stay outside"
    assert copied_paths()
    for path in copied_paths():
        assert (ROOT / path).exists(), path
        assert path.parts[0] in sent, path
    for service in ("code", "webserver", "daemon", "insights", "processing"):
        build = compose()["services"][service]["build"]
        assert (FOLDER / build["context"]).resolve() == ROOT
        assert ROOT / build["dockerfile"] == FOLDER / "Dockerfile"
        assert ("FROM", f"base AS {build['target']}") in instructions()


def test_images_run_as_nobody_special() -> None:
    for stage in ("dagster", "code"):
        start = instructions().index(("FROM", f"base AS {stage}"))
        after = instructions()[start + 1 :]
        ends = next((place for place, (name, _) in enumerate(after) if name == "FROM"), len(after))
        assert [rest for name, rest in after[:ends] if name == "USER"] == ["$UID"], stage


def options_of(command: list[str]) -> list[str]:
    return [part.partition("=")[0] for part in command if part.startswith("-") and part != "-c"]


def help_of(command: list[str]) -> str:
    """Help of a command's own subcommand: the words before its first option that are no values."""
    words = []
    for part in command:
        if part.startswith("-") and words[:1] != ["python"]:
            break
        words.append(part)
    if words[0] == "python":
        words = [*words[:3], *([words[3]] if words[2] == "pip" else [])]
    found = shutil.which(words[0], path=PATH)
    if found is None:
        pytest.skip(f"{words[0]} is not installed here; it is part of the images' Debian")
    if words[0] == "streamlit":
        words = words[:2]
    if words[0] in ("install", "useradd"):
        words = words[:1]
    result = subprocess.run(
        [found, *words[1:], "--help"], capture_output=True, text=True, timeout=120, check=False, cwd=ROOT
    )
    assert result.returncode == 0, (words, result.stderr)
    return result.stdout


COMMANDS = [
    *run_commands(),
    *default_commands(),
    command_of("daemon"),
    command_of("insights"),
    command_of("processing"),
    health_command("code"),
    health_command("daemon"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command)[:60])
def test_programs_know_the_options_they_are_given(command: list[str]) -> None:
    text = help_of(command)
    missing = [option for option in options_of(command) if option not in text and option != "-m"]
    assert not missing, f"{command[0]} does not know {missing}"


def test_postgres_knows_its_health_check() -> None:
    command = health_command("postgres")
    result = subprocess.run([program(command[0]), "--help"], capture_output=True, text=True, timeout=60, check=True)
    assert all(option in result.stdout for option in options_of(command))


def test_every_service_is_watched_and_waits_for_what_it_needs() -> None:
    services = compose()["services"]
    assert all("healthcheck" in described for described in services.values())
    waits = {name: set(described.get("depends_on", {})) for name, described in services.items()}
    assert waits == {
        "postgres": set(),
        "code": {"postgres"},
        "webserver": {"postgres", "code"},
        "daemon": {"postgres", "code"},
        "insights": set(),
        "processing": set(),
    }
    conditions = [need["condition"] for s in services.values() for need in s.get("depends_on", {}).values()]
    assert set(conditions) == {"service_healthy"}


def test_ports_are_published_on_the_loopback_address_only() -> None:
    ports = {name: described.get("ports", []) for name, described in compose()["services"].items()}
    assert all(port.startswith("127.0.0.1:") for found in ports.values() for port in found)
    assert {name for name, found in ports.items() if found} == {"webserver", "insights", "processing"}


def test_secrets_come_from_the_environment() -> None:
    text = (FOLDER / "compose.yaml").read_text()
    assert set(re.findall(r"PASSWORD: (.*)", text)) == {"${ANALYTICS_POSTGRES_PASSWORD:?a password for the history}"}
    assert compose()["services"]["postgres"]["environment"]["POSTGRES_PASSWORD"] == SECRET
    dashboards = compose()["services"]["insights"]["environment"]
    assert "ANALYTICS_POSTGRES_PASSWORD" not in dashboards and "ANALYTICS_PII_KEY" not in dashboards


def test_variables_are_documented() -> None:
    text = "".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
    variables = set(re.findall(r"ANALYTICS_[A-Z_]+", (FOLDER / "compose.yaml").read_text()))
    assert variables
    assert not [name for name in variables if f"`{name}`" not in text and f"{name}=" not in text]


def test_the_dashboards_only_read_the_lake() -> None:
    for service in ("insights", "processing"):
        [volume] = compose()["services"][service]["volumes"]
        assert volume.endswith(":/lake:ro")


def test_the_workspace_names_the_code_service() -> None:
    [entry] = yaml.safe_load((FOLDER / "workspace.yaml").read_text())["load_from"]
    server = entry["grpc_server"]
    assert server["host"] in compose()["services"]
    assert f"--port {server['port']}" in " ".join(command_of("code"))
    assert server["location_name"] == "analytics_assets"


def test_the_light_image_holds_dagster_alone_in_the_tested_versions() -> None:
    light, full = pins(FOLDER / "requirements.lock"), pins(ROOT / "requirements.lock")
    asked = {line for line in (FOLDER / "requirements.in").read_text().split("\n") if line and not line.startswith("#")}
    assert asked == {"dagster", "dagster-postgres", "dagster-webserver", "psycopg2-binary"}
    assert asked <= light.keys()
    assert {name: full.get(name) for name in light} == light
    assert not {"tensorflow", "pyspark", "pandas", "numpy", "duckdb", "streamlit"} & light.keys()
