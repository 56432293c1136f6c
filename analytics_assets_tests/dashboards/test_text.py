"""Formatting and escaping."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dashboards import text


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "no data"), (0, "0 s"), (0.04, "<1 s"), (0.4, "0.4 s"), (1, "1 s"), (60, "1 m"), (312.3, "5 m 12 s"),
        (3600, "1 h"), (10_680, "2 h 58 m"), (90_061, "1 d 1 h"), (59.7, "1 m"),
    ],
)  # fmt: skip
def test_duration(seconds: float | None, shown: str) -> None:
    assert text.duration(seconds) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "no data"),
        (0, "0 %"),
        (0.00001, "<0.1 %"),
        (0.0123, "1.2 %"),
        (0.5, "50 %"),
        (0.9999, ">99.9 %"),
        (0.997, "99.7 %"),
        (0.994, "99 %"),
        (1, "100 %"),
    ],
)
def test_share(value: float | None, shown: str) -> None:
    assert text.share(value) == shown


def test_other_numbers() -> None:
    assert text.count(1_234_567) == "1,234,567"
    assert (text.size(999), text.size(363_853), text.size(5_000_000)) == ("999 B", "363.9 kB", "5.0 MB")
    assert text.span([2021, 2017, 2019, 2020]) == "2017, 2019–2021"
    assert (text.listed([]), text.listed(["a"]), text.listed(["a", "b", "c"])) == ("", "a", "a, b and c")
    assert text.minute("2021-10-17 12:46:00.5") == "17 Oct 2021, 12:46 UTC"
    assert text.ratio(1, 0) is None
    assert (text.month("2021-10"), text.change(0.0312), text.change(-0.5), text.change(None)) == (
        "Oct 2021", "+3.1 %", "-50.0 %", "no data",
    )  # fmt: skip


@given(st.text() | st.text("`* ").map(str.strip))
@example("")
def test_a_code_span_cannot_be_left(content: str) -> None:
    span = text.code(content)
    fence = re.match("`+", span).group()
    inner = span.removeprefix(fence).removesuffix(fence)
    assert span == fence + inner + fence and inner
    # A run of backticks ends the span only if it is as long as the fence.
    assert fence not in re.findall("`+", inner)
    assert not inner.startswith("`") and not inner.endswith("`")
    assert "\n" not in inner


@given(st.text() | st.binary())
def test_visible_text_hides_nothing(content: str | bytes) -> None:
    # Unicode's spaces are the only printable-looking characters that Python does not call printable.
    assert all(sign.isprintable() or unicodedata.category(sign) == "Zs" for sign in text.visible(content))


def test_long_text_says_that_it_is_cut() -> None:
    assert text.visible(b"abcdef", 4) == "abcd… (2 more)"
    assert text.visible("abcd", 4) == "abcd"


@given(st.lists(st.text(max_size=60), max_size=12, unique_by=text.visible), st.integers(12, 40))
def test_labels_are_short_and_unique(names: list[str], width: int) -> None:
    labels = text.labels(names, width)
    assert len(set(labels)) == len(names)
    assert all(len(label) <= width for label in labels)
