"""No model may see what it is judged by: parts are disjoint, in order, and sessions open at a cut are in none."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.core.models.next_event import divided
from analytics_assets.core.models.sequences import OTHER, Sequences
from analytics_assets.core.models.split import sessions_in, split_sessions
from analytics_assets_tests.core.models.building import START, make_sequences

HOUR = 3_600_000_000


def with_lengths(lengths: list[int], hours_open: list[int]) -> Sequences:
    made = make_sequences(
        [["a", "b"] * length for length in lengths], actors=[f"user:{n % 5}" for n in range(len(lengths))]
    )
    return replace(made, ends=made.starts + np.array(hours_open) * HOUR)


@given(
    opened=st.lists(st.integers(0, 30), min_size=1, max_size=60),
    train_share=st.sampled_from([0.5, 0.8, 0.9]),
    validation_share=st.sampled_from([0.0, 0.1, 0.3]),
)
@settings(max_examples=100, deadline=None)
def test_parts_in_time(opened: list[int], train_share: float, validation_share: float) -> None:
    raw = with_lengths([1] * len(opened), opened)
    split = split_sessions(raw, train_share=train_share, validation_share=validation_share)
    first_test = int(train_share * len(opened))
    first_validation = first_test - int(validation_share * first_test)
    expected = []
    for number, hours in enumerate(opened):
        end = number + hours
        if number >= first_test:
            expected.append("test")
        elif end >= first_test and first_test < len(opened):
            expected.append("purged")
        elif number >= first_validation:
            expected.append("validation")
        elif first_validation < first_test and end >= first_validation:
            expected.append("purged")
        else:
            expected.append("train")
    for part in ("train", "validation", "test", "purged"):
        assert getattr(split, part).tolist() == [name == part for name in expected], part
        assert split.description[f"{part}_sessions"] == expected.count(part)
    together = sum(getattr(split, part).astype(int) for part in ("train", "validation", "test", "purged"))
    assert (together == 1).all()
    if split.train.any() and split.test.any():
        assert raw.ends[split.train].max() < raw.starts[split.test].min()


def test_a_given_cut_and_the_last_year() -> None:
    raw = make_sequences([["a", "b"]] * 40, between=12 * HOUR * 40)
    cut = datetime(2024, 1, 1) + timedelta(hours=12 * 40 * 30)
    split = split_sessions(raw, protocol="cut", cut=cut)
    assert split.test.tolist() == [number >= 30 for number in range(40)]
    assert split.description["test_cut"] == "2025-08-23T00:00:00.000000"
    by_year = split_sessions(raw, protocol="earlier_years")
    years = raw.starts.astype("datetime64[us]").astype("datetime64[Y]").astype(int) + 1970
    assert by_year.test.tolist() == (years == 2026).tolist()
    one_year = raw.take(years == 2024)
    assert split_sessions(one_year, protocol="earlier_years").test.tolist() == split_sessions(one_year).test.tolist()


def test_unseen_users_share_nobody_with_training() -> None:
    raw = make_sequences([["a", "b"]] * 200, actors=[f"user:{number % 37}" for number in range(200)])
    split = split_sessions(raw, protocol="unseen_users", seed=3)
    assert not set(raw.actors[split.test]) & set(raw.actors[split.train | split.validation])
    assert len(set(raw.actors[split.test])) == round(0.2 * 37)
    assert split.test.tolist() != split_sessions(raw, protocol="unseen_users", seed=4).test.tolist()


def test_wrong_settings_are_named() -> None:
    raw = make_sequences([["a"]])
    with pytest.raises(ValueError, match="needs a time"):
        split_sessions(raw, protocol="cut")
    with pytest.raises(ValueError, match="between 0 and 1"):
        split_sessions(raw, train_share=1.0)


def test_streams_share_the_cuts_and_the_vocabulary_is_of_training_only() -> None:
    raw = make_sequences([["a", "r", "b"], ["r"], ["a", "r"], ["a", "b", "b"], ["new", "a", "r"]])
    intent = make_sequences([["a", "b"], ["a"], ["a", "b"], ["new", "a"]])
    import pyarrow as pa

    intent = replace(intent, session_keys=pa.array(["s0", "s2", "s3", "s4"]))
    split = split_sessions(raw, validation_share=0.25)
    assert split.train.tolist() == [True, True, True, False, False]
    assert sessions_in(split.test, raw, intent).session_keys.to_pylist() == ["s4"]
    task = divided(raw, intent, split, "intent", 1)
    assert task.vocabulary.names == ["a", "b", OTHER]
    assert task.test.codes.tolist() == [2, 0]
    assert task.train.sessions == 2 and task.validation.sessions == 1
    assert divided(raw, intent, split, "intent", 2).vocabulary.names == ["a", OTHER]


def test_the_digest_names_the_test_sessions() -> None:
    raw = make_sequences([["a", "b"]] * 20)
    assert split_sessions(raw).description["digest"] == split_sessions(raw).description["digest"]
    assert split_sessions(raw).description["digest"] != split_sessions(raw, train_share=0.5).description["digest"]
    assert raw.starts[0] == START
