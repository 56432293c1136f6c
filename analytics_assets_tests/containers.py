"""The shipped container files, parsed: instructions of the Dockerfile, services of the compose file."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import yaml

from analytics_assets_tests.conftest import ROOT

FOLDER = ROOT / "analytics_assets" / "deploy" / "containers"
SECRET = "not-to-be-printed-anywhere"

_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def instructions() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile with their arguments; continued lines are joined, comments left out."""
    lines = [line for line in (FOLDER / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    found = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(name, rest.strip()) for name, rest in found]


def run_commands() -> list[list[str]]:
    """Every single command of the RUN instructions."""
    return [shlex.split(command) for name, rest in instructions() if name == "RUN" for command in rest.split("&&")]


def default_commands() -> list[list[str]]:
    """What the images start by themselves."""
    return [json.loads(rest) for name, rest in instructions() if name in ("CMD", "ENTRYPOINT")]


def compose(**variables: str) -> dict[str, Any]:
    """The compose file with its variables filled in as compose does it; a required one defaults to `SECRET`."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        return variables.get(name) or (rest if kind == "-" else SECRET)

    content: dict[str, Any] = yaml.safe_load(_VARIABLE.sub(value, (FOLDER / "compose.yaml").read_text()))
    return content


def command_of(service: str) -> list[str]:
    """What a service runs: its own command, else that of its image's stage."""
    described = compose()["services"][service]
    if "command" in described:
        return list(described["command"])
    stage = described["build"]["target"]
    position = 0
    for name, rest in instructions():
        if name == "FROM":
            position = int(rest.endswith(f" AS {stage}"))
        elif name == "CMD" and position:
            return list(json.loads(rest))
    raise KeyError(service)


def health_command(service: str) -> list[str]:
    """What tells whether a service is well."""
    kind, *command = compose()["services"][service]["healthcheck"]["test"]
    assert kind == "CMD"
    return list(command)


def copied_paths() -> list[Path]:
    """Sources of the COPY instructions, relative to the root of the repository."""
    return [
        Path(source)
        for name, rest in instructions()
        if name == "COPY"
        for source in [part for part in rest.split() if not part.startswith("--")][:-1]
    ]
