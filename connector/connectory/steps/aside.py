"""What plug-ins await, on an event loop beside the engine's: ordinary code can wait for it in the middle."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable, Iterator

T = TypeVar("T")

THREADS = 16
"""Records that wait at the same time in steps that take several at once, of all chains together."""

_home: ContextVar[asyncio.AbstractEventLoop | None] = ContextVar("home", default=None)
"""The loop that handed the work over; what is awaited for it inherits it."""


class _Aside:
    """A loop in a thread for what is awaited, and threads for the code that waits for it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, name="connectory-awaits", daemon=True).start()
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="connectory-chain")
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="connectory-chains")
        self.awaited: dict[int, Future[Any]] = {}
        self._given_up = set[int]()
        self._lock = threading.Lock()

    def wait_for(self, awaitable: Awaitable[T]) -> T:
        future = asyncio.run_coroutine_threadsafe(_caught(awaitable), self.loop)
        with self._lock:
            self.awaited[threading.get_ident()] = future
            if threading.get_ident() in self._given_up:
                future.cancel()
        try:
            made, error = future.result()
        finally:
            self.awaited.pop(threading.get_ident(), None)
        if error is not None:
            raise error
        return made  # type: ignore[no-any-return]  # what the plug-in gave

    def begin(self) -> None:
        """Let this thread wait again."""
        with self._lock:
            self._given_up.discard(threading.get_ident())

    def give_up(self, thread: int) -> None:
        """End what a thread waits for, and what its work would wait for next."""
        with self._lock:
            self._given_up.add(thread)
            future = self.awaited.get(thread)
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


def home_loop() -> asyncio.AbstractEventLoop | None:
    """Give the loop of whoever waits for this work; None where it was not handed over by `off_loop`."""
    return _home.get()


async def off_loop(work: Callable[[], T], *, at_once: bool = False) -> T:
    """Do work that waits for plug-ins in a thread; the caller's loop goes on meanwhile.

    One goes after the other, unless it may be done `at_once` with others. Whoever cancels it ends what is awaited too,
    so that the next one need not wait for it.
    """
    aside, worker, home = _aside(), list[int](), asyncio.get_running_loop()

    def noted() -> T:
        aside.begin()
        worker.append(threading.get_ident())
        _home.set(home)
        return work()

    future = (aside.threads if at_once else aside.thread).submit(noted)
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
