"""Run a coroutine over a stream, several at a time, with bounded memory and results in order."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

T = TypeVar("T")
R = TypeVar("R")

WINDOW = 16
"""How many results may wait behind the slowest one, for each worker: more would only use memory."""


class _NoMoreError(Exception):
    """The source has ended: a signal between the workers."""


class _Slot(Generic[R]):
    """The place of one result in the order of its item."""

    __slots__ = ("done", "dropped", "result")

    def __init__(self) -> None:
        self.done = False
        self.dropped = False
        self.result: R


class Workers(Generic[T, R]):
    """`limit` workers that share one source.

    Iterating gives lists of results, whatever is ready at once, in the order of the source (`ordered`) or as they
    come. When the source or `work` raises, no more is taken from the source, what is under way is finished and given,
    and then the error is raised. Leaving the iteration early cancels what is under way.
    """

    def __init__(
        self, source: AsyncIterator[T], work: Callable[[T], Awaitable[R]], *, limit: int, ordered: bool = True
    ) -> None:
        self._source, self._work, self._limit, self._ordered = source, work, limit, ordered
        self._slots: deque[_Slot[R]] = deque()
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._running = limit
        self._ended = False
        self._failure: BaseException | None = None

    def stop(self, reason: BaseException) -> None:
        """Take nothing more from the source; finish what is under way, then raise the reason."""
        self._failure = self._failure or reason
        self._ended = True
        self._room.set()

    async def __aiter__(self) -> AsyncIterator[list[R]]:
        tasks = [asyncio.ensure_future(self._worker()) for _ in range(self._limit)]
        try:
            while True:
                if ready := self._take_ready():
                    yield ready
                if not self._running and not self._slots:
                    break
                self._changed.clear()
                if not self._any_ready() and (self._running or self._slots):
                    await self._changed.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._failure is not None:
            raise self._failure

    async def _worker(self) -> None:
        try:
            while True:
                async with self._turn:
                    slot, item = await self._claim()
                slot.result = await self._work(item)
                slot.done = True
                self._changed.set()
        except _NoMoreError:
            pass
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - kept, and raised where the results are read
            self.stop(error)
        finally:
            self._running -= 1
            if not self._running:
                self._drop_unfinished()
            self._changed.set()

    async def _claim(self) -> tuple[_Slot[R], T]:
        while len(self._slots) >= self._limit * WINDOW and not self._ended:
            self._room.clear()
            await self._room.wait()
        if self._ended:
            raise _NoMoreError
        try:
            item = await anext(self._source)
        except StopAsyncIteration:
            self._ended = True
            raise _NoMoreError from None
        except BaseException:
            self._ended = True
            raise
        slot: _Slot[R] = _Slot()
        self._slots.append(slot)
        return slot, item

    def _any_ready(self) -> bool:
        if self._ordered:
            return bool(self._slots) and self._slots[0].done
        return any(slot.done for slot in self._slots)

    def _take_ready(self) -> list[R]:
        taken: list[_Slot[R]] = []
        if self._ordered:
            while self._slots and self._slots[0].done:
                taken.append(self._slots.popleft())
        else:
            taken = [slot for slot in self._slots if slot.done]
            if taken:
                self._slots = deque(slot for slot in self._slots if not slot.done)
        if taken:
            self._room.set()
        return [slot.result for slot in taken if not slot.dropped]

    def _drop_unfinished(self) -> None:
        for slot in self._slots:
            if not slot.done:
                slot.done = slot.dropped = True
