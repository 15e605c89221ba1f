"""The rows of a partition as a source of records, each known by its identifier or by what it holds."""

from __future__ import annotations

import asyncio
from collections import Counter
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, cast

from connectory.engines.spark.columns import json_ready
from connectory.errors import ConfigError
from connectory.interfaces import Item
from connectory.text.json import JsonTextError, dumps

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

    from connectory.engines.spark.arrow import Batch
    from connectory.record import Record


class RowSource:
    """Reads the batches that Spark hands to a task, in a thread: what waits for Spark must not hold up requests.

    A row's position does not say where in the partition it comes, because another attempt may get the rows in another
    order. It is its `identifier`, the same in every partition; without one it is the number of the partition and a hash
    of the row, and equal rows are counted. `hear` is called with each batch before its rows are given, `settled` with
    the number of each row that is done.
    """

    total: int | None = None

    def __init__(
        self,
        batches: Iterator[Batch],
        partition: int,
        identifier: Sequence[str],
        *,
        hear: Callable[[Batch], None] = lambda _batch: None,
        settled: Callable[[int], None] = lambda _row: None,
    ) -> None:
        self._batches, self._partition, self._identifier = batches, partition, identifier
        self._hear, self._settled = hear, settled
        self._met = Counter[str]()

    async def __aiter__(self) -> AsyncGenerator[Item, None]:
        row = 0
        while (batch := await asyncio.to_thread(next, self._batches, None)) is not None:
            self._hear(batch)
            for record in records_of(batch):
                yield Item(self._position(record), record, mark=row)
                row += 1

    def resume(self, mark: Any, given: int) -> None:
        """Need nothing: an attempt gets all of its partition."""

    async def acknowledge(self, item: Item) -> None:
        """Hear that a row is done."""
        self._settled(item.mark)

    def _position(self, record: Record) -> str:
        if self._identifier:
            values = (record[one] for one in self._identifier)
            name = "/".join(one if isinstance(one, str) else dumps(one).decode() for one in values)
        else:
            name = f"{self._partition}:{_digest(record)}"
        self._met[name] += 1
        return name if self._met[name] == 1 else f"{name}#{self._met[name]}"


def refuse_absent(identifier: Sequence[str], columns: Sequence[str]) -> None:
    """Raise ConfigError for an identifier that is no column."""
    for name in identifier:
        if name not in columns:
            raise ConfigError(f"the identifier {name!r} is no column; there is {', '.join(columns)}")


def records_of(batch: Batch) -> list[Record]:
    """Give the rows of a batch as records."""
    rows: list[Record] = batch.to_pylist(maps_as_pydicts="strict")
    return [cast("Record", json_ready(row)) for row in rows]


def _digest(record: Record) -> str:
    try:
        text = dumps(record)
    except JsonTextError:  # it will be an error when it is sent
        text = repr(record).encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=12).hexdigest()
