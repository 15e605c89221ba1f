"""Python's own iterables as a source: what an embedding program hands over."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

from connectory.errors import RecordError
from connectory.interfaces import Item

if TYPE_CHECKING:
    from collections.abc import Iterable


class IterableSource:
    """Read records from an iterable or an async iterable; a position is the record's number, from 1."""

    def __init__(self, records: Iterable[Any] | AsyncIterable[Any]) -> None:
        self.records = records
        self.total: int | None = len(records) if isinstance(records, list | tuple) else None

    async def __aiter__(self) -> AsyncGenerator[Item, None]:
        number = 0
        records = _each(self.records)
        try:
            async for record in records:
                number += 1
                yield _item(number, record)
        finally:
            await records.aclose()

    async def acknowledge(self, item: Item) -> None:
        """Do nothing: an iterable does not need to hear."""


def _item(number: int, record: Any) -> Item:
    if isinstance(record, dict):
        return Item(str(number), record)
    kind = type(record).__name__
    return Item(
        str(number), record, RecordError(f"record {number}: a record must be a dict, this is {kind!r}")
    )


async def _each(records: Iterable[Any] | AsyncIterable[Any]) -> AsyncGenerator[Any, None]:
    if isinstance(records, AsyncGenerator):  # left early, it lets go of what it holds now
        async with aclosing(cast("AsyncGenerator[Any, None]", records)) as generator:
            async for record in generator:
                yield record
    elif isinstance(records, AsyncIterable):
        async for record in records:
            yield record
    else:
        for record in records:
            yield record
