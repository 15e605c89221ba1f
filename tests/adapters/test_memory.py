"""Python's own iterables as a source."""

from __future__ import annotations

from typing import Any

import pytest
from connected import run

from connectory.adapters.memory import IterableSource
from connectory.errors import ConfigError


def items_of(records: Any) -> list[tuple[str, Any, str | None]]:
    async def main():
        source = IterableSource(records)
        items = []
        async for item in source:
            items.append((item.position, item.record, str(item.error) if item.error else None))
            await source.acknowledge(item)
        return items

    return run(main)


async def several():
    yield {"a": 1}
    yield {"a": 2}


@pytest.mark.parametrize(
    "make",
    [lambda: [{"a": 1}, {"a": 2}], lambda: iter([{"a": 1}, {"a": 2}]), several],
    ids=["list", "iterator", "async"],
)
def test_records_come_from_every_kind_of_iterable(make: Any):
    assert items_of(make()) == [("1", {"a": 1}, None), ("2", {"a": 2}, None)]


def test_an_async_iterable_need_not_be_a_generator():
    class Once:
        def __init__(self) -> None:
            self._left = [{"a": 1}]

        def __aiter__(self):
            return self

        async def __anext__(self) -> Any:
            if not self._left:
                raise StopAsyncIteration
            return self._left.pop()

    assert items_of(Once()) == [("1", {"a": 1}, None)]


@pytest.mark.parametrize("record", ["text", 1, None, [{}], ("a", 1)])
def test_what_is_no_dict_is_an_error_of_that_record(record: Any):
    expected = f"record 1: a record must be a dict, this is {type(record).__name__!r}"
    assert items_of([record, {"a": 1}]) == [("1", record, expected), ("2", {"a": 1}, None)]


@pytest.mark.parametrize(("records", "total"), [([{}, {}], 2), (({},), 1), (iter([{}]), None), ({}, None)])
def test_the_total_is_known_for_lists(records: Any, total: int | None):
    assert IterableSource(records).total == total


def test_leaving_early_closes_an_async_generator():
    async def main():
        closed = []

        async def endless():
            try:
                while True:
                    yield {}
            finally:
                closed.append(True)

        items = aiter(IterableSource(endless()))
        await anext(items)
        await items.aclose()
        assert closed == [True]

    run(main)


def test_what_the_iterable_raises_comes_through():
    def broken():
        yield {}
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        items_of(broken())


# -- going on with the same records


def marked(records: Any, mark: Any = None, given: int = 0) -> list[Any]:
    async def main():
        source = IterableSource(records, marked=True)
        if mark is not None:
            source.resume(mark, given)
        return [item async for item in source]

    return run(main)


RECORDS = [{"n": number} for number in range(5)]


@pytest.mark.parametrize("place", range(1, 6))
def test_marked_records_go_on_behind_each_of_them(place: int):
    items = marked(RECORDS)
    rest = marked(iter(RECORDS), items[place - 1].mark, place)

    assert rest == items[place:]


def test_unmarked_records_carry_no_mark():
    async def main():
        return [item.mark async for item in IterableSource(RECORDS)]

    assert run(main) == [None] * 5


@pytest.mark.fault("X11", "other records than a job began with are refused before anything is sent")
@pytest.mark.parametrize(
    "others",
    [[{"n": 9}, *RECORDS[1:]], RECORDS[:2], [], RECORDS[1:], [*RECORDS[:2], {"n": "2"}, *RECORDS[3:]]],
)
def test_other_records_than_those_of_then_are_refused(others: Any):
    mark = marked(RECORDS)[2].mark
    with pytest.raises(ConfigError, match=r"the first 3 records are not those .* nothing was sent"):
        marked(others, mark, 3)


def test_what_comes_after_may_be_different():
    mark = marked(RECORDS)[2].mark

    assert [item.record for item in marked([*RECORDS[:3], {"more": 1}], mark, 3)] == [{"more": 1}]


def test_records_that_are_no_json_are_known_again_too():
    records = [{"n": float("nan")}, "text", {"n": 1}]
    mark = marked(records)[1].mark

    assert [item.record for item in marked(records, mark, 2)] == [{"n": 1}]
