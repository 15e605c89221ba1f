"""Python's own iterables as a source."""

from __future__ import annotations

from typing import Any

import pytest
from connected import run

from connectory.adapters.memory import IterableSource


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
