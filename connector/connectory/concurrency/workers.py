"""Run a coroutine over a stream, several at a time, with bounded memory and results in order."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from connectory.pace.stages import next_stage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

T = TypeVar("T")
R = TypeVar("R")

WINDOW = 16
"""How many results may wait behind the slowest one, for each worker: more would only use memory."""


class _NoMoreError(Exception):
    """Nothing more is taken from the source: a signal between the workers."""


class _Slot(Generic[R]):
    """The place of one result: in the order of its item, or in that of completion."""

    __slots__ = ("done", "result")

    def __init__(self) -> None:
        self.done = False
        self.result: R


class Workers(Generic[T, R]):
    """`limit` workers that share one source.

    Iterating gives lists of results, whatever is ready at once, in the order of the source (`ordered`) or as they
    come. When the source or `work` raises, no more is taken from the source, what is under way is finished and given,
    and then the error is raised. Leaving the iteration early cancels what is under way. The source is closed in any
    case.

    A list is given so many seconds after its first result (`gather`), with what has become ready meanwhile: to deal
    with one result at a time costs more than to make it. `window` bounds the results that are not given yet, those
    under way included. `stopped` is called when no more is
    taken because of an error, in case what is under way waits for something.
    """

    def __init__(
        self,
        source: AsyncIterator[T],
        work: Callable[[T], Awaitable[R]],
        *,
        limit: int,
        ordered: bool = True,
        window: int | None = None,
        gather: float = 0.0,
        stopped: Callable[[], None] | None = None,
    ) -> None:
        self._window, self._gather, self._stopped = window or limit * WINDOW, gather, stopped
        self._source, self._work, self._limit, self._ordered = source, work, limit, ordered
        self._slots: deque[_Slot[R]] = deque()
        self._reading = False
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._taking: asyncio.Task[Any] | None = None
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._running = limit
        self._ended = False
        self._failure: BaseException | None = None

    @property
    def failure(self) -> BaseException | None:
        """Why nothing more is taken from the source, where that is not its end."""
        return self._failure

    def stop(self, reason: BaseException) -> None:
        """Take nothing more from the source; finish what is under way, then raise the reason."""
        self._failure = self._failure or reason
        self._ended = True
        self._room.set()
        if self._stopped is not None:
            self._stopped()
        if self._taking is not None:  # the source may not have a next item for hours
            self._taking.cancel()

    async def __aiter__(self) -> AsyncGenerator[list[R], None]:
        tasks = [asyncio.ensure_future(self._worker()) for _ in range(self._limit)]
        try:
            while self._running or self._slots:
                if self._slots and self._slots[0].done:
                    if self._gather and self._running and len(self._slots) < self._window:
                        await asyncio.sleep(self._gather)
                    yield self._take_ready()
                elif self._running:
                    self._changed.clear()
                    await self._changed.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await close(self._source)
        if self._failure is not None:
            raise self._failure

    async def _worker(self) -> None:
        task = asyncio.current_task()
        try:
            while True:
                slot, item = await self._claim(task)
                slot.result = await self._work(item)
                slot.done = True
                if not self._ordered:
                    self._slots.append(slot)
                self._changed.set()
                await next_stage()
        except _NoMoreError:
            self._ended = True
        except BaseException as error:  # noqa: BLE001 - kept, and raised where the results are read
            self.stop(error)
        finally:
            self._running -= 1
            if not self._running:  # an item whose work raised has no result
                self._slots = deque(slot for slot in self._slots if slot.done)
            self._changed.set()

    async def _claim(self, task: asyncio.Task[Any] | None) -> tuple[_Slot[R], T]:
        while self._reading or (len(self._slots) >= self._window and not self._ended):
            await self._wait_for_turn()
        self._reading, self._taking = True, task
        try:
            if self._ended:
                raise _NoMoreError
            item = await anext(self._source)
            if self._failure is not None:  # stopped by the source's own code: the item stays pending
                raise _NoMoreError
            slot: _Slot[R] = _Slot()
            if self._ordered:
                self._slots.append(slot)
            return slot, item
        except StopAsyncIteration:
            raise _NoMoreError from None
        except asyncio.CancelledError:
            if self._failure is None:
                raise
            raise _NoMoreError from None
        finally:
            self._reading, self._taking = False, None
            if self._waiters:
                self._call_next()

    async def _wait_for_turn(self) -> None:
        """Wait until nobody is in the source, and for room.

        Whoever comes when nobody is in it need not queue. With a lock, which is fair, workers that had to wait together
        once would wait for each other ever after.
        """
        if not self._reading:
            self._room.clear()
            await self._room.wait()
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():  # called, and cancelled before it could go
                self._call_next()
            raise

    def _call_next(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _take_ready(self) -> list[R]:
        taken: list[R] = []
        while self._slots and self._slots[0].done:
            taken.append(self._slots.popleft().result)
        if taken:
            self._room.set()
        return taken


async def close(stream: AsyncIterator[Any]) -> None:
    """Close a stream that can be closed: what an async generator holds is let go now, not when it is collected."""
    aclose = getattr(stream, "aclose", None)
    if aclose is not None:
        await aclose()
