"""What plug-ins await, on an event loop beside the engine's: ordinary code can wait for it in the middle."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable, Iterator

T = TypeVar("T")


class _Aside:
    """A loop in a thread for what is awaited, and one thread for the code that waits for it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, name="connectory-awaits", daemon=True).start()
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="connectory-chain")
        self.awaited: dict[int, Future[Any]] = {}

    def wait_for(self, awaitable: Awaitable[T]) -> T:
        future = asyncio.run_coroutine_threadsafe(_caught(awaitable), self.loop)
        self.awaited[threading.get_ident()] = future
        try:
            made, error = future.result()
        finally:
            self.awaited.pop(threading.get_ident(), None)
        if error is not None:
            raise error
        return made  # type: ignore[no-any-return]  # what the plug-in gave

    def give_up(self, thread: int | None) -> None:
        future = self.awaited.get(thread or 0)
        if future is not None:
            future.cancel()


_lock = threading.Lock()
_made: list[_Aside] = []


def wait_for(awaitable: Awaitable[T]) -> T:
    """Wait in this thread for what a plug-in has given to be awaited; raises what it raises."""
    return _aside().wait_for(awaitable)


def pulled(source: AsyncIterable[T]) -> Iterator[T]:
    """Give what an asynchronous iterable gives; leaving early closes it."""
    items = aiter(source)
    try:
        while True:
            try:
                item = wait_for(anext(items))
            except StopAsyncIteration:
                return
            yield item
    finally:
        aclose = getattr(items, "aclose", None)
        if aclose is not None:
            wait_for(aclose())


async def off_loop(work: Callable[[], T]) -> T:
    """Do work that waits for plug-ins in a thread, one after the other; the caller's loop goes on meanwhile.

    Whoever cancels it ends what is awaited too, so that the next one need not wait for it.
    """
    aside, worker = _aside(), list[int]()

    def noted() -> T:
        worker.append(threading.get_ident())
        return work()

    future = aside.thread.submit(noted)
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        if worker and not future.done():
            aside.give_up(worker[0])
        raise


def _aside() -> _Aside:
    with _lock:
        if not _made:
            _made.append(_Aside())
        return _made[0]


async def _caught(awaitable: Awaitable[T]) -> tuple[Any, BaseException | None]:
    """Await; an exit or a StopIteration would end the loop or be changed, and is handed on as it is."""
    try:
        return await awaitable, None
    except (SystemExit, StopAsyncIteration, StopIteration) as error:
        return None, error
