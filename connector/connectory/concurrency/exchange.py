"""Records traded for results between a thread that blocks and the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Iterator

    from anyio.from_thread import BlockingPortal

    from connectory.record import Record, Result

    Deliver = Callable[[AsyncGenerator[Record, None]], AsyncGenerator[list[Result], None]]

T = TypeVar("T")

MOST_AHEAD = 256
"""Records that may wait for a worker: more would only use memory."""

GATHERING = 0.005
"""Seconds in which results gather while records wait: a hop into the event loop costs as much as several records."""


class Exchange:
    """Trades records for results between the caller's thread and the event loop.

    Each side appends to a deque that the other one empties, which is safe between threads; the caller hops into the
    loop only to wait. `patient`: results count as given only when the caller asks for more.
    """

    def __init__(self, deliver: Deliver, closed: Callable[[Exchange], None], *, patient: bool) -> None:
        self._records: deque[Record] = deque()
        self._results: deque[Result] = deque()
        self._ended = self._hungry = False
        self._fed, self._changed = asyncio.Event(), asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._patient = patient
        self._pump = asyncio.ensure_future(self._run(deliver(self._given())))
        self._pump.add_done_callback(lambda _: self._changed.set())
        self._closed = closed

    # -- in the caller's thread

    def feed(
        self, portal: BlockingPortal, records: Iterable[Record]
    ) -> Generator[Result, None, Exception | None]:
        """Hand over records as fast as there is room, with the results so far; give what the iterable raised."""
        source = iter(records)
        while not self._pump.done():
            try:
                record = next(source)
            except StopIteration:
                break
            except Exception as error:  # noqa: BLE001 - raised again, after the results
                return error
            self._records.append(record)
            self._wake()
            if len(self._records) >= MOST_AHEAD:
                hop(portal, self._wait)
            yield from self._ready()
        return None

    def end(self) -> None:
        """Say that no record follows."""
        self._ended = True
        self._wake()

    def rest(self, portal: BlockingPortal) -> Iterator[Result]:
        """Give the results that are still to come. Raises what stopped the run."""
        while not self._pump.done():
            hop(portal, self._wait)
            yield from self._ready()
        yield from self._ready()
        self._pump.result()

    def _ready(self) -> Iterator[Result]:
        while self._results:
            yield self._results[0]
            self._results.popleft()  # not before: until here the caller may not have dealt with it
        if self._patient:
            self._loop.call_soon_threadsafe(self._changed.set)

    def _wake(self) -> None:
        if self._hungry:
            self._hungry = False
            self._loop.call_soon_threadsafe(self._fed.set)

    # -- in the event loop

    async def aclose(self) -> None:
        """Give up what is under way."""
        self._pump.cancel()
        await asyncio.wait({self._pump})
        if not self._pump.cancelled():
            self._pump.exception()  # it was raised where the results were read
        self._closed(self)

    async def _wait(self) -> None:
        """Wait until there are results or room for many records, or until the run is over."""
        while not (self._results or self._pump.done() or self._has_room()):
            self._changed.clear()
            await self._changed.wait()
        if not (self._ended or self._pump.done() or self._has_room()):
            await asyncio.sleep(GATHERING)

    def _has_room(self) -> bool:
        return not self._ended and len(self._records) <= MOST_AHEAD // 2

    async def _run(self, delivered: AsyncGenerator[list[Result], None]) -> None:
        async with aclosing(delivered) as groups:
            async for results in groups:
                self._results.extend(results)
                self._changed.set()
                while (
                    self._patient and self._results
                ):  # a journal notes what the caller has, not what waits here
                    self._changed.clear()
                    await self._changed.wait()

    async def _given(self) -> AsyncGenerator[Record, None]:
        while True:
            ended = self._ended  # looked at first: what came before the end is still taken
            while self._records:
                yield self._records.popleft()
                self._changed.set()
            if ended:
                return
            self._fed.clear()
            self._hungry = True
            if not self._records and not self._ended:
                await self._fed.wait()


def hop(portal: BlockingPortal, work: Callable[[], Awaitable[T]]) -> T:
    """Run something in the event loop and wait for it; an interrupted wait ends it first."""
    begun: list[asyncio.Task[Any] | None] = []

    async def run() -> T:
        begun.append(asyncio.current_task())
        return await work()

    async def end() -> None:
        for task in filter(None, begun):
            task.cancel()
            await asyncio.wait({task})

    try:
        return portal.call(run)
    except Exception:
        raise
    except BaseException:
        portal.call(end)
        raise
