"""Python's own iterables as a source: what an embedding program hands over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectory.errors import RecordError
from connectory.interfaces import Item

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterable


class IterableSource:
    """Read records from an iterable or an async iterable; a position is the record's number, from 1."""

    def __init__(self, records: Iterable[Any] | AsyncIterable[Any]) -> None:
        self.records = records
        self.total: int | None = len(records) if isinstance(records, list | tuple) else None

    async def __aiter__(self) -> AsyncIterator[Item]:
        number = 0
        async for record in _each(self.records):
            number += 1
            yield _item(number, record)

    async def acknowledge(self, item: Item) -> None:
        """Do nothing: an iterable does not need to hear."""


def _item(number: int, record: Any) -> Item:
    if isinstance(record, dict):
        return Item(str(number), record)
    kind = type(record).__name__
    return Item(
        str(number), record, RecordError(f"record {number}: a record must be a dict, this is {kind!r}")
    )


async def _each(records: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Any]:
    if hasattr(records, "__aiter__"):
        async for record in records:
            yield record
    else:
        for record in records:
            yield record
