"""Who may see the dashboards: everybody who reaches them, or people who log in.

Put here: Streamlit's own login, on as soon as its secrets are configured (see docs/operations.md). Keep out: who has an
account; the identity provider decides that.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import streamlit as st
from streamlit.errors import StreamlitAuthError, StreamlitSecretNotFoundError

from dashboards import text

SECTION = "auth"
"""Section of Streamlit's ``secrets.toml`` that configures the login."""


def require_login() -> None:
    """End the page here unless no login is configured or somebody is logged in.

    A file of secrets that cannot be read lets nobody in: it may be the one that was to keep people out.
    """
    try:
        section = st.secrets.to_dict().get(SECTION)
    except StreamlitSecretNotFoundError:
        if not any(Path(path).exists() for path in st.get_option("secrets.files")):
            return
        st.error("The file of secrets cannot be read, so nobody is let in. Mend or remove `.streamlit/secrets.toml`.")
        st.stop()
    if section is None:
        return
    if not isinstance(section, Mapping):
        st.error(f"`{SECTION}` in the secrets is not a section, so nobody is let in.")
        st.stop()
    if not st.user.is_logged_in:
        _ask(section)
        st.stop()
    who = st.user.get("email") or st.user.get("name") or "somebody without a name"
    st.sidebar.caption(f"Logged in as {text.code(str(who))}")
    st.sidebar.button("Log out", on_click=st.logout, icon=":material/logout:")


def _ask(section: Mapping[str, object]) -> None:
    """Offer every configured provider: the section's own, and each of its subsections."""
    st.title("Log in to see this page")
    providers: list[str | None] = [None] if "client_id" in section else []
    providers += [name for name, value in section.items() if isinstance(value, Mapping) and name != "client_kwargs"]
    for provider in providers:
        label = "Log in" if provider is None else f"Log in with {text.visible(provider)}"
        if st.button(label, key=f"login-{provider or ''}", icon=":material/login:"):
            try:
                st.login(provider)
            except StreamlitAuthError as error:
                st.error(
                    f"Nobody can log in here: {text.prose(str(error))} The extra `login` of this project brings it."
                )
