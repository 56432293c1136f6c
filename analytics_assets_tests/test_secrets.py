"""Secrets of the environment reach neither logs nor metadata nor files, and the repository holds none."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from analytics_assets.assets.features import actors, cleaning, sessions
from analytics_assets.assets.ingestion import event_chunks, raw_export
from analytics_assets.core.lake import Lake
from analytics_assets.core.privacy import KEY_VARIABLE
from analytics_assets.notifications import WEBHOOK_VARIABLE
from analytics_assets.resources.lake import LakeResource
from analytics_assets.sensors import notify_failure
from analytics_assets_tests.conftest import ROOT
from analytics_assets_tests.core.event_data import Records, ingest

SECRETS = {
    KEY_VARIABLE: "key-4f8a1c9e-of-the-pseudonyms",
    WEBHOOK_VARIABLE: "http://127.0.0.1:9/hook/token-77c2d1",
    "ANALYTICS_POSTGRES_PASSWORD": "password-9b1e55",
}
YEAR = "2024"


@pytest.fixture
def secret_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("analytics_assets.notifications.PAUSE_SECONDS", 0.0)
    yield


def run(lake: Lake, instance: dg.DagsterInstance, year: str) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [raw_export, event_chunks, actors, cleaning, sessions],
        partition_key=year,
        instance=instance,
        resources={"lake": LakeResource(root=str(lake.root))},
        raise_on_error=False,
    )


@pytest.mark.usefixtures("secret_environment")
def test_nothing_that_a_run_leaves_holds_a_secret(
    lake: Lake, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A year that succeeds, one that fails, and the message about it, which nobody takes."""
    new = Records()
    for hour in range(4):
        new.add(f"{YEAR}-05-01 1{hour}:00:00")
    ingest(lake, YEAR, new.made)
    home = tmp_path / "home"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        assert run(lake, instance, YEAR).success
        failed = run(lake, instance, "2025")
        assert not failed.success
        context = dg.build_run_status_sensor_context(
            "notify_failure", failed.get_run_failure_event(), instance, failed.dagster_run
        ).for_run_failure()
        with pytest.raises(RuntimeError) as refused:
            notify_failure(context)
    said = str(refused.value) + repr(refused.value.__cause__) + "".join(capfd.readouterr())
    files = [path for folder in (lake.root, home) for path in folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in files) and lake.manifest(YEAR) in files
    assert "RUN_SUCCESS" in said and "RUN_FAILURE" in said
    for name, value in SECRETS.items():
        secret = value.rpartition("/")[2]
        assert secret not in said, name
        assert not [path for path in files if secret.encode() in path.read_bytes()], name


LEAKS = {
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a password in an address": re.compile(r"\b[a-z][a-z0-9+]*://[^\s/:@$<{]+:[^\s/@$<{]+@[a-z0-9.-]+", re.IGNORECASE),
    "an access key of a cloud": re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    "a token of a forge": re.compile(r"\b(?:gh[pousr]|github_pat|glpat|xox[abp])[-_][0-9A-Za-z_-]{20,}"),
    "a password": re.compile(r"(?i)\b(?:password|passwd|secret|token)\s*[:=]\s*['\"][^'\"$ ]{12,}['\"]"),
}


def tracked_files() -> list[Path]:
    result = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if result.returncode:
        pytest.skip("the sources are not a git repository")
    return [ROOT / name for name in result.stdout.decode().split("\0") if name]


def test_the_repository_holds_no_secret() -> None:
    found = []
    for path in tracked_files():
        if path.suffix in (".png", ".lock") or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        found += [f"{path.relative_to(ROOT)}: {kind}" for kind, pattern in LEAKS.items() if pattern.search(text)]
    assert not [line for line in found if not line.startswith("analytics_assets_tests/")], found


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("-----BEGIN " + "RSA PRIVATE KEY-----", "a private key"),
        ("postgresql://me:" + "hunter2hunter2@db.example.org/x", "a password in an address"),
        ("AKIA" + "ABCDEFGHIJKLMNOP", "an access key of a cloud"),
        ("ghp_" + "a" * 36, "a token of a forge"),
        ('password = "' + 'correcthorsebattery"', "a password"),
    ],
)
def test_the_search_for_secrets_finds_them(text: str, kind: str) -> None:
    assert [name for name, pattern in LEAKS.items() if pattern.search(text)] == [kind]


def test_what_holds_secrets_is_never_committed() -> None:
    ignored = (ROOT / ".gitignore").read_text().split()
    assert {"/data/", "/.streamlit/secrets.toml"} <= set(ignored)
