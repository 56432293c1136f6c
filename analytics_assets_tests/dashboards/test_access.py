"""Streamlit's login in front of both apps: off without secrets, and nothing is shown before it where it is on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit import config
from streamlit.testing.v1 import AppTest

from analytics_assets.core.lake import DATA_DIR_VARIABLE, Lake
from analytics_assets_tests.dashboards.conftest import SCRIPTS, RunApp

APPS = ("visualize_analysis.py", "data_processing.py")
OWN = {
    "redirect_uri": "http://127.0.0.1:8501/oauth2callback",
    "cookie_secret": "a secret of the tests, not of persons",
    "client_id": "analytics",
    "client_secret": "another one",
    "server_metadata_url": "http://127.0.0.1:1/.well-known/openid-configuration",
}


def open_with(monkeypatch: pytest.MonkeyPatch, script: str, lake: Lake, auth: object, **user: object) -> AppTest:
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(lake.root))
    app = AppTest.from_file(str(SCRIPTS / script), default_timeout=30)
    app.secrets["auth"] = auth
    app.user = user
    return app.run()


@pytest.mark.parametrize("script", APPS)
def test_without_secrets_everybody_sees_the_figures(run_app: RunApp, built_lake: Lake, script: str) -> None:
    app = run_app(script, built_lake)
    assert app.metric and not app.exception
    assert not [button for button in app.button if "Log" in button.label]


@pytest.mark.parametrize("script", APPS)
def test_nothing_is_shown_before_the_login(monkeypatch: pytest.MonkeyPatch, built_lake: Lake, script: str) -> None:
    app = open_with(monkeypatch, script, built_lake, OWN, is_logged_in=False)
    assert [title.value for title in app.title] == ["Log in to see this page"]
    assert [button.label for button in app.button] == ["Log in"]
    assert not (app.metric or app.exception or app.multiselect or app.dataframe)


def test_who_is_logged_in_sees_the_figures_and_may_leave(monkeypatch: pytest.MonkeyPatch, built_lake: Lake) -> None:
    app = open_with(monkeypatch, APPS[0], built_lake, OWN, is_logged_in=True, email="ada@example.org")
    assert app.metric and not app.exception
    assert any("ada@example.org" in caption.value for caption in app.sidebar.caption)
    assert [button.label for button in app.sidebar.button] == ["Log out"]


def test_each_provider_has_a_button(monkeypatch: pytest.MonkeyPatch, built_lake: Lake) -> None:
    shared = {name: OWN[name] for name in ("redirect_uri", "cookie_secret")}
    own = {name: OWN[name] for name in ("client_id", "client_secret", "server_metadata_url")}
    auth = {**shared, "office": own, "campus": own}
    app = open_with(monkeypatch, APPS[0], built_lake, auth, is_logged_in=False)
    assert [button.label for button in app.button] == ["Log in with office", "Log in with campus"]


def test_without_the_library_the_button_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, built_lake: Lake) -> None:
    def missing(_provider: str | None) -> Any:
        from streamlit.errors import StreamlitMissingAuthlibError

        raise StreamlitMissingAuthlibError

    monkeypatch.setattr(st, "login", missing)
    app = open_with(monkeypatch, APPS[0], built_lake, OWN, is_logged_in=False)
    app.button[0].click().run()
    assert not app.exception
    [error] = app.error
    assert "extra `login`" in error.value


@pytest.mark.parametrize("content", ["[auth\n", "auth = 3\n"])
def test_secrets_that_cannot_be_read_let_nobody_in(
    monkeypatch: pytest.MonkeyPatch, built_lake: Lake, tmp_path: Path, content: str
) -> None:
    from streamlit.runtime.secrets import Secrets

    path = tmp_path / "secrets.toml"
    path.write_text(content)
    before = config.get_option("secrets.files")
    config.set_option("secrets.files", [str(path)])
    monkeypatch.setattr(st, "secrets", Secrets())
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(built_lake.root))
    try:
        app = AppTest.from_file(str(SCRIPTS / APPS[0]), default_timeout=30).run()
    finally:
        config.set_option("secrets.files", before)
    [error] = app.error
    assert "nobody is let in" in error.value
    assert not (app.metric or app.exception or app.multiselect)
