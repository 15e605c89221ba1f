"""The set of items that are done, kept as the bounds of its runs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from connectory.journal.intervals import Intervals

NUMBERS = st.lists(st.integers(0, 40), max_size=60)


@given(NUMBERS)
def test_it_is_a_set_of_whole_numbers(numbers: list[int]):
    intervals, model = Intervals(), set[int]()
    for number in numbers:
        intervals.add(number)
        model.add(number)

        assert [one for one in range(42) if one in intervals] == sorted(model)
        assert len(intervals) == len(model)
        assert intervals.end == max(model) + 1
        assert intervals.reach == next(one for one in range(42) if one not in model)


@given(NUMBERS)
def test_its_runs_are_in_order_and_never_touch(numbers: list[int]):
    intervals = Intervals()
    for number in numbers:
        intervals.add(number)
    bounds = [bound for run in intervals for bound in run]

    assert bounds == sorted(set(bounds))


@given(NUMBERS)
def test_packed_and_unpacked_it_is_the_same_set(numbers: list[int]):
    intervals = Intervals()
    for number in numbers:
        intervals.add(number)
    again = Intervals(intervals.pack())
    again.add(50)

    assert list(again) == [*intervals, (50, 51)]


def test_an_empty_set_reaches_nowhere_and_packs_to_nothing():
    empty = Intervals()

    assert (empty.reach, empty.end, len(empty), empty.pack(), 0 in empty) == (0, 0, 0, b"", False)


def test_a_million_numbers_in_a_row_are_sixteen_bytes():
    intervals = Intervals()
    for number in range(1_000_000):
        intervals.add(number)

    assert len(intervals.pack()) == 16
    assert intervals.reach == len(intervals) == 1_000_000
