"""Marks: what is new, what is asked, and where a walk may stop."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectory.errors import RequestError
from connectory.reading.increments import Incremental, moment


def rule(**options: Any) -> Incremental:
    return Incremental(lambda item, _scope: item, **options)


def test_without_a_mark_and_a_start_everything_is_new():
    newer = rule().since(None)
    assert (newer.asked, newer.take(-5), newer.may_stop) == ({}, True, False)


def test_the_start_is_not_moved_back_and_a_mark_is():
    made = rule(query="since", start=100, lookback=10)
    assert made.since(None).asked == {"since": 100}
    assert made.since(200).asked == {"since": 190}


def test_a_date_stays_a_date():
    made = rule(query="since", lookback=3600)
    assert made.since("2025-01-02T00:30:00Z").asked == {"since": "2025-01-01T23:30:00Z"}


@pytest.mark.parametrize("value", [None, True, "soon", [], float("nan"), float("inf")])
def test_what_is_neither_a_number_nor_a_date_is_an_error(value: Any):
    with pytest.raises(RequestError, match="neither"):
        moment(value)


@given(values=st.lists(st.integers(0, 20)), mark=st.integers(0, 20))
def test_in_any_order_what_is_new_is_taken_and_only_a_list_without_more_is_left(values: list[int], mark: int):
    newer = rule().since(mark)
    for place, value in enumerate(values):
        assert newer.take(value) == (value >= mark)
        if newer.may_stop:  # only a list that was newest-first until here
            assert values[: place + 1] == sorted(values[: place + 1], reverse=True)
    if values:
        assert newer.high == max(values)


@given(values=st.lists(st.integers(0, 20), min_size=2), mark=st.integers(1, 20))
def test_of_a_newest_first_list_nothing_new_is_left(values: list[int], mark: int):
    newer, left = rule().since(mark), sorted(values, reverse=True)
    while left and not newer.may_stop:
        newer.take(left.pop(0))
    assert all(value < mark for value in left)
