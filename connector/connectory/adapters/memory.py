"""Python's own iterables as a source: what an embedding program hands over."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import aclosing
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, cast

from connectory.errors import ConfigError, ConnectoryError, InputError, RecordError
from connectory.interfaces import Item
from connectory.text.json import JsonTextError, dumps

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class IterableSource:
    """Read records from an iterable or an async iterable; a position is the record's number, from 1.

    `marked` records carry marks, so that a run can be resumed with the same records: they are held against a running
    hash.
    """

    def __init__(self, records: Iterable[Any] | AsyncIterable[Any], *, marked: bool = False) -> None:
        self.records, self._marked = records, marked
        self._mark: Any = None
        self.total: int | None = len(records) if isinstance(records, list | tuple) else None

    def resume(self, mark: Any, given: int) -> None:
        """Go on after the `given`-th record, which had this mark.

        Raises ConfigError while it is read when the records before it are not those of then.
        """
        self._mark = {"number": given, "hash": mark["hash"]}

    async def __aiter__(self) -> AsyncGenerator[Item, None]:
        number, running = 0, blake2b(digest_size=16)
        records = _each(self.records)
        try:
            async for record in records:
                number += 1
                if not self._marked:
                    yield _item(number, record)
                    continue
                running.update(_bytes(record))
                digest = running.copy().hexdigest()
                if self._mark is None or number > self._mark["number"]:
                    yield replace(_item(number, record), mark={"hash": digest})
                elif number == self._mark["number"] and digest != self._mark["hash"]:
                    raise _changed(number)
            if self._mark is not None and number < self._mark["number"]:
                raise _changed(self._mark["number"])
        finally:
            await records.aclose()

    async def acknowledge(self, item: Item) -> None:
        """Do nothing: an iterable does not need to hear."""


class NamedIterable(IterableSource):
    """Read the records that code of the user's gives: it is called anew in each life of a run.

    `known` says, as JSON, by what it is known again; `limit` ends the reading after so many records.
    """

    def __init__(self, make: Callable[[], Any], what: str, known: Any, *, limit: int | None = None) -> None:
        super().__init__((), marked=True)
        self.total: int | None = None
        self._make, self._what, self._known, self._limit = make, what, known, limit

    async def __aiter__(self) -> AsyncGenerator[Item, None]:
        self.records = self._make()
        if not isinstance(self.records, Iterable | AsyncIterable):
            kind = type(self.records).__name__
            raise ConfigError(f"{self._what} gave a value of type {kind!r}; return records, or yield them")
        items = super().__aiter__()
        async with aclosing(items):
            while True:
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    return
                except ConnectoryError:
                    raise
                except Exception as error:  # the user's code: whatever it raises ends the reading
                    problem = f"{type(error).__name__}: {error}"
                    raise InputError(f"{self._what} failed: {problem}") from error
                if self._limit is not None and int(item.position) > self._limit:
                    return
                yield item

    def count(self) -> int | None:
        """Nobody knows before it is read."""
        return None

    def fingerprint(self) -> Any:
        """Say by what it is known again."""
        return self._known

    def keep_in(self, folder: Path) -> None:
        """Keep nothing."""


def _item(number: int, record: Any) -> Item:
    if isinstance(record, dict):
        return Item(str(number), record)
    kind = type(record).__name__
    return Item(
        str(number), record, RecordError(f"record {number}: a record must be a dict, this is {kind!r}")
    )


def _changed(number: int) -> ConfigError:
    return ConfigError(
        f"the first {number} records are not those that the unfinished run of this job began with; "
        "nothing was sent. Give the same records, another job name, or begin anew with --new"
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


def _bytes(record: Any) -> bytes:
    """Give what a record is known by."""
    try:
        return dumps(record)
    except JsonTextError:  # it will be an error when it is sent
        return repr(record).encode("utf-8", "surrogatepass")
