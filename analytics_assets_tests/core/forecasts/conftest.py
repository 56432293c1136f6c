"""Small matrices: more threads would only wait for each other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from analytics_assets.core.threads import one_thread


@pytest.fixture(autouse=True, scope="module")
def alone() -> Iterator[None]:
    with one_thread():
        yield
